#include "ledger/dead_letters.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/hex.h"
#include "ledger/statements.h"

namespace sluice::ledger {
namespace {

using postgres::Connection;
using postgres::Rows;

std::string condition_of(const Handle& handle, const LetterFilter& filter) {
  std::string sql = fmt::format("task = {}", sql::literal(handle.task));
  if (!filter.ids.empty()) sql += fmt::format(" AND id IN ({})", fmt::join(filter.ids, ", "));
  if (!filter.code.empty()) sql += " AND code = " + sql::literal(filter.code);
  if (!filter.column.empty()) sql += " AND column_name = " + sql::literal(filter.column);
  if (!filter.topic.empty()) sql += " AND topic = " + sql::literal(filter.topic);
  if (filter.before) {
    sql += fmt::format(" AND failed_at < {}::timestamptz", sql::literal(*filter.before));
  }
  if (filter.after_id > 0) sql += fmt::format(" AND id > {}", filter.after_id);
  return sql;
}

// What PostgreSQL sends for bytea under bytea_output = hex.
std::string bytes_of(std::string_view text) {
  std::string bytes;
  if (text.substr(0, 2) != "\\x") return bytes;
  bytes.reserve(text.size() / 2);
  for (std::size_t i = 2; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<char>(hex_digit(text[i]) << 4 | hex_digit(text[i + 1])));
  }
  return bytes;
}

std::optional<std::string> optional_bytes(const Rows& rows, int row, int column) {
  if (rows.is_null(row, column)) return std::nullopt;
  return bytes_of(rows.text(row, column));
}

KeptLetter letter_of(const Rows& rows, int i) {
  KeptLetter letter;
  letter.id = rows.integer(i, 0);
  letter.key = {std::string(rows.text(i, 1)), static_cast<std::int32_t>(rows.integer(i, 2))};
  letter.offset = rows.integer(i, 3);
  letter.timestamp_ms = rows.integer(i, 4);
  letter.message_key = optional_bytes(rows, i, 5);
  letter.value = optional_bytes(rows, i, 6);
  letter.reason_class = rows.text(i, 7);
  letter.code = rows.text(i, 8);
  letter.message = rows.text(i, 9);
  letter.column = rows.text(i, 10);
  letter.failed_at = rows.text(i, 11);
  return letter;
}

// Which of the rows (id, size) fit: at least one.
std::string ids_within(const Rows& sizes, std::int64_t bytes) {
  std::string ids;
  std::int64_t sum = 0;
  for (int i = 0; i < sizes.size(); ++i) {
    sum += sizes.integer(i, 1);
    if (i > 0 && sum > bytes) break;
    ids += fmt::format("{}{}", i == 0 ? "" : ", ", sizes.text(i, 0));
  }
  return ids;
}

Async<Result<std::vector<KeptLetter>>> letters(Connection& connection, Handle handle,
                                               LetterFilter filter, std::int64_t limit,
                                               std::int64_t bytes, bool lock) {
  const std::string table = sql::table(handle.schema, "dead_letter");
  std::string_view locking;
  if (lock) {
    locking = connection.server_version() < 90500 ? " FOR UPDATE" : " FOR UPDATE SKIP LOCKED";
  }
  // Sizes first: one letter may have megabytes. toast needs not be read for octet_length.
  auto first = connection.query(fmt::format(
      "SELECT id, coalesce(octet_length(key), 0) + coalesce(octet_length(value), 0) FROM {} WHERE "
      "{} ORDER BY id LIMIT {}{}",
      table, condition_of(handle, filter), limit, locking));
  auto sizes = co_await first;
  if (!sizes) co_return fail(std::move(sizes.error()));
  std::vector<KeptLetter> found;
  const std::string ids = ids_within(sizes->back(), bytes);
  if (ids.empty()) co_return found;
  auto second = connection.query(fmt::format(
      "SET bytea_output = hex; SELECT id, topic, partition, message_offset, CASE WHEN "
      "isfinite(message_timestamp) THEN (extract(epoch FROM message_timestamp) * 1000)::bigint "
      "ELSE -1 END, key, value, reason_class, code, message, column_name, failed_at FROM {0} "
      "WHERE id IN ({1}) ORDER BY id; SELECT l.id, h.name, h.value FROM {0} l, "
      "unnest(header_names, header_values) WITH ORDINALITY AS h (name, value, number) WHERE l.id "
      "IN ({1}) ORDER BY l.id, h.number",
      table, ids));
  auto results = co_await second;
  if (!results) co_return fail(std::move(results.error()));
  const Rows& rows = (*results)[1];
  const Rows& headers = (*results)[2];
  int header = 0;
  for (int i = 0; i < rows.size(); ++i) {
    KeptLetter letter = letter_of(rows, i);
    while (header < headers.size() && headers.integer(header, 0) == letter.id) {
      letter.headers.emplace_back(std::string(headers.text(header, 1)),
                                  optional_bytes(headers, header, 2));
      ++header;
    }
    found.push_back(std::move(letter));
  }
  co_return found;
}

}  // namespace

Async<Result<std::vector<LetterCause>>> list_letters(Connection& connection, Handle handle,
                                                     LetterFilter filter) {
  auto query = connection.query(fmt::format(
      "SELECT reason_class, code, coalesce(column_name, ''), count(*), min(id), min(failed_at), "
      "max(failed_at), (array_agg(message ORDER BY id))[1] FROM {} WHERE {} GROUP BY 1, 2, 3 "
      "ORDER BY 4 DESC, 5",
      sql::table(handle.schema, "dead_letter"), condition_of(handle, filter)));
  auto results = co_await query;
  if (!results) co_return fail(std::move(results.error()));
  const Rows& rows = results->back();
  std::vector<LetterCause> causes;
  for (int i = 0; i < rows.size(); ++i) {
    LetterCause cause;
    cause.reason_class = rows.text(i, 0);
    cause.code = rows.text(i, 1);
    cause.column = rows.text(i, 2);
    cause.count = rows.integer(i, 3);
    cause.first_id = rows.integer(i, 4);
    cause.first_at = rows.text(i, 5);
    cause.last_at = rows.text(i, 6);
    cause.message = rows.text(i, 7);
    causes.push_back(std::move(cause));
  }
  co_return causes;
}

Async<Result<std::vector<KeptLetter>>> read_letters(Connection& connection, Handle handle,
                                                    LetterFilter filter, std::int64_t limit,
                                                    std::int64_t bytes) {
  auto reading =
      letters(connection, std::move(handle), std::move(filter), limit, bytes, /*lock=*/false);
  auto found = co_await reading;
  co_return found;
}

Async<Result<std::vector<KeptLetter>>> take_letters(Connection& connection, Handle handle,
                                                    LetterFilter filter, std::int64_t limit,
                                                    std::int64_t bytes) {
  auto taking =
      letters(connection, std::move(handle), std::move(filter), limit, bytes, /*lock=*/true);
  auto found = co_await taking;
  co_return found;
}

Async<Result<std::int64_t>> purge_letters(Connection& connection, Handle handle,
                                          LetterFilter filter) {
  auto query = connection.query(fmt::format("DELETE FROM {} WHERE {}",
                                            sql::table(handle.schema, "dead_letter"),
                                            condition_of(handle, filter)));
  auto results = co_await query;
  if (!results) co_return fail(std::move(results.error()));
  co_return results->back().affected();
}

Async<Result<bool>> settle_letters(Connection& connection, Handle handle,
                                   std::vector<std::int64_t> applied,
                                   std::vector<FailedLetter> failed) {
  const std::string table = sql::table(handle.schema, "dead_letter");
  std::string sql;
  if (!applied.empty()) {
    sql += fmt::format("DELETE FROM {} WHERE id IN ({}); ", table, fmt::join(applied, ", "));
  }
  for (const auto& letter : failed) {
    sql += fmt::format(
        "UPDATE {} SET reason_class = {}, code = {}, message = {}, column_name = nullif({}, ''), "
        "failed_at = now() WHERE id = {}; ",
        table, sql::literal(letter.reason_class), sql::literal(letter.code),
        sql::literal(letter.message), sql::literal(letter.column), letter.id);
  }
  if (sql.empty()) co_return true;
  auto query = connection.query(std::move(sql));
  auto results = co_await query;
  if (!results) co_return fail(std::move(results.error()));
  co_return true;
}

}  // namespace sluice::ledger
