#include "compare/postgres_sql.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "postgres/connection.h"

namespace sluice::compare {

using postgres::Connection;

namespace {

// 1.50 is 1.5, as it is in Kafka's decimals and JSON's numbers.
std::string number_text(std::string_view expression) {
  return fmt::format(
      "CASE WHEN strpos(({0})::text, '.') > 0 THEN rtrim(rtrim(({0})::text, '0'), '.') "
      "ELSE ({0})::text END",
      expression);
}

// Infinities, NaN and what no real can hold stay as they are.
std::string real4_text(std::string_view expression, Kind own) {
  if (own == Kind::kReal4) {
    return fmt::format("encode(float4send(({}) + 0::float4), 'hex')", expression);
  }
  return fmt::format(
      "CASE WHEN ({0}) = 0 OR abs(({0})::float8) BETWEEN 1.2e-38 AND 3.4028234e38 OR "
      "({0})::float8 IN ('NaN', 'Infinity', '-Infinity') "
      "THEN encode(float4send(({0})::float4 + 0::float4), 'hex') ELSE ({0})::text END",
      expression);
}

// By the rule of PostgreSQL's own =: a month is 30 days, a day 24 hours.
std::string interval_text(std::string_view e) {
  return number_text(fmt::format(
      "((extract(year FROM {0}) * 12 + extract(month FROM {0})) * 30 + extract(day FROM {0}))"
      "::numeric * 86400 + (extract(hour FROM {0}) * 3600 + extract(minute FROM {0}) * 60)"
      "::numeric + extract(second FROM {0})::numeric",
      e));
}

std::string value_text(std::string_view e, const postgres::Type& type, Kind form) {
  const Kind own = kind_of(type);
  switch (form) {
    case Kind::kNumber:
      if (own == Kind::kBoolean) return fmt::format("(({})::int)::text", e);
      if (own == Kind::kBits) {
        return fmt::format("coalesce(nullif(ltrim(({0})::text, '0'), ''), '0')", e);
      }
      if (own == Kind::kInteger) return fmt::format("({})::text", e);
      return number_text(fmt::format("({})::numeric", e));
    case Kind::kReal4:
      return real4_text(e, own);
    case Kind::kReal8:
      return fmt::format("encode(float8send(({})::float8 + 0), 'hex')", e);
    case Kind::kPadded:
      return fmt::format("rtrim(({})::text, ' ')", e);
    case Kind::kBytes:
      return fmt::format("encode({}, 'hex')", e);
    case Kind::kMoment:
    case Kind::kInstant:
      if (own == Kind::kInstant) return fmt::format("(({}) AT TIME ZONE 'UTC')::text", e);
      return fmt::format("(({})::timestamp)::text", e);
    case Kind::kZonedTime:
      return fmt::format("(({}) AT TIME ZONE 'UTC')::text", e);
    case Kind::kInterval:
      return interval_text(own == Kind::kInterval ? fmt::format("({})", e)
                                                  : fmt::format("(({})::interval)", e));
    case Kind::kJson:
      if (type.oid == 3802) return fmt::format("({})::text", e);
      return fmt::format(
          "CASE WHEN strpos(({0})::text, '\\u0000') > 0 THEN ({0})::text "
          "ELSE (({0})::jsonb)::text END",
          e);
    case Kind::kBoolean:
    case Kind::kInteger:
    case Kind::kText:
    case Kind::kDate:
    case Kind::kTime:
    case Kind::kBits:
    case Kind::kUuid:
    case Kind::kOther:
      break;
  }
  return fmt::format("({})::text", e);
}

bool is_text_type(const postgres::Type& type) {
  const Kind kind = kind_of(type);
  return kind == Kind::kText || kind == Kind::kPadded;
}

// The type in which a key's text becomes a value that is compared as it is; empty: by its text.
std::string_view own_order(const PostgresColumn& column) {
  const Kind own = kind_of(column.type);
  if (column.form.array) return {};
  switch (column.form.kind) {
    case Kind::kBoolean:
      return "boolean";
    case Kind::kInteger:
      return "bigint";
    case Kind::kNumber:
      return own == Kind::kInteger || own == Kind::kNumber ? "numeric" : "";
    case Kind::kDate:
      return "date";
    case Kind::kMoment:
    case Kind::kInstant:
      return own == Kind::kInstant ? "timestamptz" : "timestamp";
    case Kind::kTime:
      return "time";
    case Kind::kUuid:
      return "uuid";
    case Kind::kBytes:
      return "bytea";
    default:
      return {};
  }
}

// A key's text as a value of own_order().
std::string own_literal(std::string_view type, std::string_view text) {
  const std::string quoted = Connection::literal(text);
  if (type == "bytea") return fmt::format("decode( {}, 'hex')", quoted);
  if (type == "timestamptz") return fmt::format("( {}::timestamp AT TIME ZONE 'UTC')", quoted);
  return fmt::format(" {}::{}", quoted, type);
}

}  // namespace

std::string_view text_settings() {
  return "SELECT set_config('DateStyle', 'ISO, YMD', true), "
         "set_config('IntervalStyle', 'postgres', true), set_config('TimeZone', 'UTC', true), "
         "set_config('bytea_output', 'hex', true), set_config('extra_float_digits', '3', true), "
         "set_config('standard_conforming_strings', 'on', true);";
}

std::string canonical(std::string_view expression, const postgres::Type& own, Form form) {
  if (!form.array) return value_text(expression, own, form.kind);
  return fmt::format(
      "CASE WHEN ({0}) IS NOT NULL THEN coalesce(array_dims({0}), '') || "
      "(ARRAY(SELECT {1} FROM unnest({0}) AS u(e)))::text END",
      expression, value_text("u.e", own.element_type.front(), form.kind));
}

std::string array_of(const std::vector<Row>& rows, std::size_t at) {
  std::string text = "{";
  for (const auto& row : rows) {
    if (text.size() > 1) text += ',';
    const auto& value = row.values[at];
    if (!value) {
      text += "NULL";
      continue;
    }
    text += '"';
    for (const char c : *value) {
      if (c == '"' || c == '\\') text += '\\';
      text += c;
    }
    text += '"';
  }
  return text + '}';
}

std::string joined(std::size_t columns) {
  std::string text;
  for (std::size_t i = 0; i < columns; ++i) {
    text +=
        fmt::format("{}coalesce(length(q.c{}) || ':' || q.c{}, '-')", i == 0 ? "" : " || ", i, i);
  }
  return text.empty() ? "''" : text;
}

std::string hash(std::size_t columns, bool utf8) {
  const std::string text = joined(columns);
  return utf8 ? fmt::format("md5({})", text) : fmt::format("md5(convert_to({}, 'UTF8'))", text);
}

std::string_view checksum() {
  return "coalesce(sum(('x' || left(q.hash, 15))::bit(60)::bigint), 0)";
}

KeySql::KeySql(std::vector<PostgresColumn> columns, bool utf8)
    : columns_(std::move(columns)), utf8_(utf8) {}

bool KeySql::by_index() const { return !own_order(columns_.front()).empty(); }

std::string KeySql::text(std::size_t column) const {
  const PostgresColumn& of = columns_[column];
  return canonical("t." + Connection::identifier(of.name), of.type, of.form);
}

std::string KeySql::ordered(const PostgresColumn& column) const {
  const std::string name = "t." + Connection::identifier(column.name);
  if (!own_order(column).empty()) return name;
  const std::string text = canonical(name, column.type, column.form);
  return utf8_ ? fmt::format("({}) COLLATE \"C\"", text)
               : fmt::format("convert_to({}, 'UTF8')", text);
}

std::string KeySql::ordered_literal(const PostgresColumn& column, std::string_view text) const {
  if (const auto type = own_order(column); !type.empty()) return own_literal(type, text);
  const std::string literal = Connection::literal(text);
  return utf8_ ? fmt::format(" {}::text", literal)
               : fmt::format("convert_to( {}, 'UTF8')", literal);
}

std::string KeySql::order() const {
  std::vector<std::string> parts;
  for (const auto& column : columns_) parts.push_back(ordered(column));
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string KeySql::bound(const Key& key) const {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    parts.push_back(ordered_literal(columns_[i], key[i]));
  }
  return fmt::format("ROW({})", fmt::join(parts, ", "));
}

std::string KeySql::within(const Range& range) const {
  std::string condition = "true";
  if (range.after) condition += fmt::format(" AND ROW({}) > {}", order(), bound(*range.after));
  if (range.up_to) condition += fmt::format(" AND ROW({}) <= {}", order(), bound(*range.up_to));
  return condition;
}

std::string KeySql::is_one_of(const std::vector<Key>& keys) const {
  // Equal texts are equal under every collation, and only the column's own has an index. What a
  // collation takes for equal besides is found, too, and told apart by its key.
  std::vector<std::string> names;
  for (const auto& column : columns_) {
    names.push_back(is_text_type(column.type) ? "t." + Connection::identifier(column.name)
                                              : ordered(column));
  }
  std::vector<std::string> rows;
  for (const auto& key : keys) {
    std::vector<std::string> literals;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const bool padded = kind_of(columns_[i].type) == Kind::kPadded;
      literals.push_back(
          is_text_type(columns_[i].type)
              ? fmt::format(" {}::{}", Connection::literal(key[i]), padded ? "bpchar" : "text")
              : ordered_literal(columns_[i], key[i]));
    }
    rows.push_back(fmt::format("({})", fmt::join(literals, ", ")));
  }
  return fmt::format("({}) IN (VALUES {})", fmt::join(names, ", "), fmt::join(rows, ", "));
}

}  // namespace sluice::compare
