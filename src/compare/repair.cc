#include "compare/repair.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <set>

#include "compare/postgres_sql.h"

namespace sluice::compare {

using postgres::Connection;

namespace {

constexpr std::chrono::minutes kTime{2};

// A column that is written: its values lie at `at` of a row's, the key's columns first.
struct Written {
  std::string name;  // quoted
  std::string cast;  // the type that reads a value's text
  std::size_t at = 0;
  bool key = false;
  bool update = true;
};

// What is too long for a column shall be refused, not cut: an explicit cast to its type cuts.
std::string cast_of(const postgres::Type& type) {
  if (type.oid == 1042 || type.oid == 1043) return "text";
  if (type.oid == 1560 || type.oid == 1562) return "bit varying";
  return type.name;
}

std::vector<Written> written_columns(const postgres::TableInfo& table, const Match& match) {
  std::vector<Written> columns;
  std::size_t at = 0;
  const auto add = [&](const Pair& pair, bool key) {
    const postgres::ColumnInfo* column = table.find(pair.target);
    if (column != nullptr && !column->generated) {
      columns.push_back({Connection::identifier(pair.target), cast_of(pair.target_type), at, key,
                         !key && column->identity != 'a'});
    }
    ++at;
  };
  for (const auto& pair : match.key) add(pair, true);
  for (const auto& pair : match.values) add(pair, false);
  return columns;
}

struct Statements {
  std::string update, insert;  // with one parameter for each column, an array; update may be empty
  std::vector<std::size_t> at;
};

Statements statements_for(const postgres::TableInfo& table, const std::vector<Written>& columns) {
  std::vector<std::string> arrays, aliases, values, names, sets, same;
  bool identity = false;
  Statements result;
  for (const auto& column : columns) {
    const std::size_t n = result.at.size();
    result.at.push_back(column.at);
    arrays.push_back(fmt::format("${}::text[]", n + 1));
    aliases.push_back(fmt::format("x{}", n));
    values.push_back(fmt::format("u.x{0}::{1} AS c{0}", n, column.cast));
    names.push_back(column.name);
    if (column.key) same.push_back(fmt::format("t.{} = v.c{}", column.name, n));
    if (column.update) sets.push_back(fmt::format("{} = v.c{}", column.name, n));
  }
  for (const auto& column : table.columns) identity = identity || column.identity == 'a';
  const std::string rows =
      fmt::format("(SELECT {} FROM unnest({}) AS u({})) v", fmt::join(values, ", "),
                  fmt::join(arrays, ", "), fmt::join(aliases, ", "));
  const std::string target = table.qualified();
  if (!sets.empty()) {
    result.update = fmt::format("UPDATE {} t SET {} FROM {} WHERE {}", target,
                                fmt::join(sets, ", "), rows, fmt::join(same, " AND "));
  }
  result.insert = fmt::format(
      "INSERT INTO {} ({}) {} SELECT v.* FROM {} WHERE NOT EXISTS (SELECT 1 FROM {} t WHERE {})",
      target, fmt::join(names, ", "), identity ? "OVERRIDING SYSTEM VALUE" : "", rows, target,
      fmt::join(same, " AND "));
  return result;
}

Error of_repair(Error error) {
  error.message = "repair: " + error.message;
  return error;
}

Result<Repaired> write(Connection& target, const postgres::TableInfo& table, bool utf8,
                       const Match& match, Table& source, const std::vector<Key>& keys) {
  Repaired result;
  const auto run = [&](std::string sql, std::vector<std::optional<std::string>> parameters) {
    return target.drive(target.query_params(std::move(sql), std::move(parameters)));
  };
  auto locked = target.drive(
      target.query(fmt::format("BEGIN; {} {} LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE",
                               Connection::own_timeouts(), text_settings(), table.qualified())));
  if (!locked) return fail(of_repair(locked.error()));
  auto rows = source.originals(keys);
  if (!rows) return fail(rows.error());

  const std::set<Key> asked(keys.begin(), keys.end());
  std::set<Key> gone = asked;
  std::erase_if(*rows, [&](const Row& row) { return !asked.contains(row.key); });
  for (const auto& row : *rows) gone.erase(row.key);
  if (!gone.empty()) {
    std::vector<PostgresColumn> key;
    for (const auto& pair : match.key) key.push_back({pair.target, pair.target_type, pair.form});
    const KeySql condition(std::move(key), utf8);
    auto deleted = run(fmt::format("DELETE FROM {} t WHERE {}", table.qualified(),
                                   condition.is_one_of({gone.begin(), gone.end()})),
                       {});
    if (!deleted) return fail(of_repair(deleted.error()));
    result.deleted = deleted->affected();
  }
  if (!rows->empty()) {
    const Statements statements = statements_for(table, written_columns(table, match));
    std::vector<std::optional<std::string>> arrays;
    for (const std::size_t at : statements.at) arrays.emplace_back(array_of(*rows, at));
    if (!statements.update.empty()) {
      auto updated = run(statements.update, arrays);
      if (!updated) return fail(of_repair(updated.error()));
      result.updated = updated->affected();
    }
    auto inserted = run(statements.insert, arrays);
    if (!inserted) return fail(of_repair(inserted.error()));
    result.inserted = inserted->affected();
  }
  auto committed = target.drive(target.query("COMMIT"));
  if (!committed) return fail(of_repair(committed.error()));
  return result;
}

}  // namespace

Result<Repaired> repair(Connection& target, const postgres::TableInfo& table, bool utf8,
                        const Match& match, Table& source, const std::vector<Key>& keys) {
  target.set_deadline(std::chrono::steady_clock::now() + kTime);
  auto result = write(target, table, utf8, match, source, keys);
  if (!result && target.is_open()) target.drive(target.query("ROLLBACK"));
  return result;
}

}  // namespace sluice::compare
