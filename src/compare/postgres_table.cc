#include "compare/postgres_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>

namespace sluice::compare {

using postgres::Connection;

namespace {

// Of one question: a checksum of a range, or a count of the whole table.
constexpr std::chrono::minutes kQuestionTime{60};

// `values` as columns c0, c1, ... in their canonical texts.
std::string listed(const std::vector<PostgresColumn>& values) {
  std::string list;
  for (std::size_t i = 0; i < values.size(); ++i) {
    list += fmt::format(
        "{}{} AS c{}", i == 0 ? "" : ", ",
        canonical("t." + Connection::identifier(values[i].name), values[i].type, values[i].form),
        i);
  }
  return list;
}

// A text that the input function of the other side's type takes.
std::string original(const PostgresColumn& column) {
  const std::string name = "t." + Connection::identifier(column.name);
  const Kind own = kind_of(column.type);
  if (column.form.kind == Kind::kNumber && own == Kind::kBoolean) {
    return fmt::format("{}::int::text", name);
  }
  const bool money = column.type.oid == 790;
  return name + (money ? "::numeric::text" : "::text");
}

}  // namespace

PostgresReader::PostgresReader(postgres::Connection& connection, std::string side)
    : connection_(connection), side_(std::move(side)) {}

Result<postgres::Rows> PostgresReader::read(const std::string& select) {
  connection_.set_deadline(std::chrono::steady_clock::now() + kQuestionTime);
  const auto answer = connection_.drive(connection_.query(fmt::format(
      "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
      "SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '60s', true); "
      "SELECT set_config('search_path', 'pg_catalog', true); {} {}; COMMIT",
      text_settings(), select)));
  if (!answer) {
    Error error = answer.error();
    error.message = fmt::format("{}: {}", side_, error.message);
    if (connection_.is_open()) {
      connection_.set_deadline(std::chrono::steady_clock::now() + std::chrono::seconds(10));
      connection_.drive(connection_.query("ROLLBACK"));  // if this fails the connection is closed
    }
    return fail(std::move(error));
  }
  return (*answer)[4];  // behind BEGIN and three SELECTs of settings
}

Result<bool> is_utf8(PostgresReader& reader) {
  const auto encoding = reader.read("SELECT current_setting('server_encoding')");
  if (!encoding) return fail(encoding.error());
  return encoding->text(0, 0) == "UTF8";
}

PostgresTable::PostgresTable(PostgresReader& reader, std::string from, std::string counted,
                             std::vector<PostgresColumn> key, std::vector<PostgresColumn> values,
                             bool utf8)
    : reader_(reader),
      from_(std::move(from)),
      counted_(std::move(counted)),
      key_(key, utf8),
      values_(std::move(values)),
      all_(std::move(key)),
      utf8_(utf8) {
  all_.insert(all_.end(), values_.begin(), values_.end());
}

std::string PostgresTable::keys_listed() const {
  std::string list;
  for (std::size_t i = 0; i < key_.size(); ++i) {
    list += fmt::format("{}{} AS k{}", i == 0 ? "" : ", ", key_.text(i), i);
  }
  return list;
}

// The key belongs to what is hashed: else two rows that have swapped their values add up to the
// same. OFFSET 0 keeps the planner from computing each text twice.
std::string PostgresTable::hashed(const std::string& condition, const std::string& more) const {
  return fmt::format("SELECT {}{} AS hash FROM (SELECT {}{} FROM {} t WHERE {} OFFSET 0) q", more,
                     hash(all_.size(), utf8_), listed(all_),
                     more.empty() ? "" : ", " + keys_listed(), from_, condition);
}

Result<std::int64_t> PostgresTable::count() {
  const auto rows = reader_.read(fmt::format("SELECT {} FROM {} t", counted_, from_));
  if (!rows) return fail(rows.error());
  return rows->integer(0, 0);
}

Result<Digest> PostgresTable::digest(const Range& range) {
  std::string keys;
  for (std::size_t i = 0; i < key_.size(); ++i) keys += fmt::format("q.k{}, ", i);
  const auto rows = reader_.read(
      fmt::format("SELECT count(*), {} FROM ({}) q", checksum(), hashed(key_.within(range), "")));
  if (!rows) return fail(rows.error());
  return Digest{rows->integer(0, 0), std::string(rows->text(0, 1))};
}

Result<std::optional<Key>> PostgresTable::key_at(const Range& range, std::int64_t number) {
  const auto rows =
      reader_.read(fmt::format("SELECT {} FROM {} t WHERE {} ORDER BY {} OFFSET {} LIMIT 1",
                               keys_listed(), from_, key_.within(range), key_.order(), number - 1));
  if (!rows) return fail(rows.error());
  if (rows->size() == 0) return std::optional<Key>();
  Key key;
  for (std::size_t i = 0; i < key_.size(); ++i)
    key.emplace_back(rows->text(0, static_cast<int>(i)));
  return std::optional<Key>(std::move(key));
}

Result<std::vector<RowHash>> PostgresTable::hashes(const Range& range) {
  return hashes_where(key_.within(range));
}

Result<std::vector<RowHash>> PostgresTable::hashes_of(const std::vector<Key>& keys) {
  return hashes_where(key_.is_one_of(keys));
}

Result<std::vector<RowHash>> PostgresTable::hashes_where(const std::string& condition) {
  std::string keys;
  for (std::size_t i = 0; i < key_.size(); ++i) keys += fmt::format("q.k{}, ", i);
  const auto rows = reader_.read(hashed(condition, keys));
  if (!rows) return fail(rows.error());
  const int width = static_cast<int>(key_.size());
  std::vector<RowHash> result;
  for (int row = 0; row < rows->size(); ++row) {
    RowHash each;
    for (int i = 0; i < width; ++i) each.key.emplace_back(rows->text(row, i));
    each.hash = rows->text(row, width);
    result.push_back(std::move(each));
  }
  return result;
}

Result<std::vector<Row>> PostgresTable::rows_of(const std::vector<Key>& keys) {
  return rows(listed(values_), keys);
}

Result<std::vector<Row>> PostgresTable::originals(const std::vector<Key>& keys) {
  std::vector<std::string> texts;
  for (const auto& column : all_) texts.push_back(original(column));
  return rows(fmt::format("{}", fmt::join(texts, ", ")), keys);
}

Result<std::vector<Row>> PostgresTable::rows(const std::string& values,
                                             const std::vector<Key>& keys) {
  const auto found =
      reader_.read(fmt::format("SELECT {}{}{} FROM {} t WHERE {}", keys_listed(),
                               values.empty() ? "" : ", ", values, from_, key_.is_one_of(keys)));
  if (!found) return fail(found.error());
  const int width = static_cast<int>(key_.size());
  std::vector<Row> result;
  for (int row = 0; row < found->size(); ++row) {
    Row each;
    for (int i = 0; i < found->columns(); ++i) {
      if (i < width) {
        each.key.emplace_back(found->text(row, i));
      } else if (found->is_null(row, i)) {
        each.values.emplace_back(std::nullopt);
      } else {
        each.values.emplace_back(std::string(found->text(row, i)));
      }
    }
    result.push_back(std::move(each));
  }
  return result;
}

namespace {

std::string grouped_by_hash(const std::string& from, const std::vector<PostgresColumn>& columns,
                            bool utf8) {
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    texts.push_back(fmt::format("coalesce(q.c{}, 'NULL')", i));
  }
  return fmt::format(
      "(SELECT {} AS hash, count(*) AS rows, min(concat_ws(', ', {})) AS \"values\" "
      "FROM (SELECT {} FROM {} t OFFSET 0) q GROUP BY 1)",
      hash(columns.size(), utf8), fmt::join(texts, ", "), listed(columns), from);
}

}  // namespace

std::unique_ptr<Table> postgres_table(PostgresReader& reader, const std::string& from,
                                      std::vector<PostgresColumn> key,
                                      std::vector<PostgresColumn> values, bool utf8) {
  if (!key.empty()) {
    return std::make_unique<PostgresTable>(reader, from, "count(*)", std::move(key),
                                           std::move(values), utf8);
  }
  postgres::Type text;
  text.oid = 25;
  postgres::Type number;
  number.oid = 20;
  return std::make_unique<PostgresTable>(
      reader, grouped_by_hash(from, values, utf8), "coalesce(sum(t.rows), 0)",
      std::vector<PostgresColumn>{{"hash", text, {Kind::kText, false}}},
      std::vector<PostgresColumn>{{"rows", number, {Kind::kInteger, false}},
                                  {"values", text, {Kind::kText, false}}},
      utf8);
}

}  // namespace sluice::compare
