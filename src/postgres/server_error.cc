#include <fmt/format.h>

#include <algorithm>

#include "postgres/connection_impl.h"
#include "postgres/sqlstate.h"

namespace sluice::postgres {
namespace {

std::string_view field(const PGresult* result, int code) {
  const char* text = PQresultErrorField(result, code);
  return text == nullptr ? std::string_view{} : text;
}

// Whether the primary message names objects and circumstances only. Those of other classes, and
// what PL/pgSQL raises under whatever SQLSTATE, can carry values of rows.
bool message_without_values(std::string_view sqlstate, std::string_view source_function) {
  if (source_function == "exec_stmt_raise" || sqlstate == "42601") return false;
  for (const std::string_view of_class :
       {"0A", "25", "28", "3D", "3F", "42", "53", "55", "57", "58"}) {
    if (sqlstate.starts_with(of_class)) return true;
  }
  return false;
}

std::string sentence(const PGresult* result, const Error& error) {
  std::string text =
      fmt::format("PostgreSQL {}: {} {}",
                  error.severity == "ERROR" ? "refused the statement" : "ended the connection",
                  error.code, condition_name(error.code));
  const auto name = [&](std::string_view label, std::string_view value) {
    if (!value.empty()) text += fmt::format(", {} \"{}\"", label, value);
  };
  const auto schema = field(result, PG_DIAG_SCHEMA_NAME);
  const auto table = field(result, PG_DIAG_TABLE_NAME);
  name("constraint", error.constraint);
  name("column", error.column);
  name("type", field(result, PG_DIAG_DATATYPE_NAME));
  name("table",
       table.empty() || schema.empty() ? std::string(table) : fmt::format("{}.{}", schema, table));
  if (message_without_values(error.code, error.source_function)) {
    text += fmt::format(" ({})", field(result, PG_DIAG_MESSAGE_PRIMARY));
  }
  return text;
}

}  // namespace

void append_detail(std::string& detail, std::string_view label, const char* text) {
  if (text == nullptr || *text == '\0') return;
  detail += label;
  detail += ": ";
  std::string_view rest = text;
  while (!rest.empty() && rest.back() == '\n') rest.remove_suffix(1);
  for (const char c : rest) {
    detail += c;
    if (c == '\n') detail += '\t';
  }
  detail += '\n';
}

std::string_view answer_code(std::string_view line) {
  for (auto at = line.find(":  "); at != std::string_view::npos; at = line.find(":  ", at + 1)) {
    const auto code = line.substr(at + 3, 5);
    const bool plausible = code.size() == 5 && line.substr(at + 8, 2) == ": " &&
                           std::all_of(code.begin(), code.end(), [](char c) {
                             return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
                           });
    if (plausible) return code;
  }
  return {};
}

std::string_view copy_column(std::string_view context) {
  const auto end_of_line = std::min(context.find('\n'), context.size());
  std::string_view line = context.substr(0, end_of_line);
  if (!line.starts_with("COPY ")) return {};
  // The table's name comes first and may hold anything: look for ", line <digits>, column ".
  for (auto at = line.find(", line "); at != std::string_view::npos;
       at = line.find(", line ", at + 1)) {
    std::string_view rest = line.substr(at + 7);
    const auto digits = rest.find_first_not_of("0123456789");
    if (digits == 0 || digits == std::string_view::npos) continue;
    rest.remove_prefix(digits);
    if (!rest.starts_with(", column ")) continue;
    rest.remove_prefix(9);
    // `c: "value"`, `c: null input`, or (binary) the name alone.
    const auto value = std::min(rest.find(": \""), rest.find(": null input"));
    return rest.substr(0, std::min(value, rest.size()));
  }
  return {};
}

Error error_of(const PGresult* result) {
  Error error;
  error.domain = Domain::kPostgres;
  const auto sqlstate = field(result, PG_DIAG_SQLSTATE);
  if (sqlstate.empty()) {
    error.code = "connection";
    error.message = "the connection to PostgreSQL was lost";
    append_detail(error.detail, "MESSAGE", PQresultErrorMessage(result));
    return error;
  }
  error.code = sqlstate;
  error.severity = field(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  error.constraint = field(result, PG_DIAG_CONSTRAINT_NAME);
  error.source_function = field(result, PG_DIAG_SOURCE_FUNCTION);
  error.column = field(result, PG_DIAG_COLUMN_NAME);
  if (error.column.empty()) error.column = copy_column(field(result, PG_DIAG_CONTEXT));
  append_detail(error.detail, "MESSAGE", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
  append_detail(error.detail, "DETAIL", PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL));
  append_detail(error.detail, "HINT", PQresultErrorField(result, PG_DIAG_MESSAGE_HINT));
  append_detail(error.detail, "CONTEXT", PQresultErrorField(result, PG_DIAG_CONTEXT));
  error.message = sentence(result, error);
  return error;
}

}  // namespace sluice::postgres
