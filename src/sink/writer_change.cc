// The part of Writer for what only mirrors have: rows that get another key, TRUNCATE, and tables
// without key.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "postgres/encode.h"
#include "sink/column_type.h"
#include "sink/merge.h"
#include "sink/position.h"
#include "sink/writer.h"

namespace sluice::sink {

using postgres::Connection;
using postgres::Rows;

namespace {

// It is about all rows of the table.
bool stands_alone(const Row& row) {
  return row.operation == Operation::kTruncate || row.operation == Operation::kSweep;
}

bool is_move(const Row& row) { return !row.dead && row.operation == Operation::kMove; }

// Old and new key of a move, as rows have theirs: without the number of fields of binary.
struct MovedKeys {
  std::string_view before;
  std::string_view after;
};
MovedKeys keys_of(const TableRows& rows, const Row& row) {
  const bool binary = rows.form == Form::kBinary;
  const std::size_t skip = binary ? 2 : 0;
  const std::string_view whole = rows.bytes.view(row.begin + skip, row.length - skip);
  const std::size_t tab = binary ? 0 : 1;
  return {whole.substr(0, row.key_length), whole.substr(row.key_length + tab, row.before_length)};
}

// x.c IS NOT DISTINCT FROM d.c of the columns that the row as it was has; types without an equality
// are compared by their text.
std::string same_row(const Plan& plan, const std::string& states) {
  std::string condition;
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    if (states[i] != Shape::kPresent) continue;
    const bool as_text = is_without_order(plan.table.find(plan.columns[i].name)->type);
    const std::string name = Connection::identifier(plan.columns[i].name);
    condition +=
        fmt::format("{}x.{}{} IS NOT DISTINCT FROM d.{}{}", condition.empty() ? "" : " AND ", name,
                    as_text ? "::text" : "", name, as_text ? "::text" : "");
  }
  return condition.empty() ? "true" : condition;
}

}  // namespace

// Rows [from, to): cut where a change must not be put in front of the ones before it. Within a part
// come first the moves, then the deletes, then the writes, each folded by key: so a part ends where
// a move meets a key that the part has touched, or the table is emptied.
Async<Writer::Step> Writer::write_changes(TableRows& rows, const Plan& plan, std::size_t from,
                                          std::size_t to) {
  const auto begin = rows.rows.begin();
  const bool moves = std::any_of(begin + static_cast<std::ptrdiff_t>(from),
                                 begin + static_cast<std::ptrdiff_t>(to), is_move);
  const bool loose = rows.form == Form::kBinary ? plan.loose_key_binary : plan.loose_key_text;
  std::unordered_set<std::string_view> touched;
  std::size_t last_move = to;
  std::size_t start = from;
  for (std::size_t i = from; i <= to; ++i) {
    bool ends = i == to;
    if (!ends) {
      Row& row = rows.rows[i];
      if (row.dead) continue;
      if (stands_alone(row)) {
        ends = true;
      } else if (moves && row.operation == Operation::kMove) {
        const MovedKeys keys = keys_of(rows, row);
        // Of an update of the key a delete and a tombstone say the same, one after the other.
        if (last_move < i && std::ranges::all_of(
                                 begin + static_cast<std::ptrdiff_t>(last_move + 1),
                                 begin + static_cast<std::ptrdiff_t>(i),
                                 [](const Row& each) { return each.dead; })) {
          const MovedKeys before = keys_of(rows, rows.rows[last_move]);
          if (before.before == keys.before && before.after == keys.after) {
            row.operation = Operation::kMoved;
            last_move = i;
            continue;
          }
        }
        ends =
            touched.contains(keys.before) || touched.contains(keys.after) || (loose && i > start);
      } else if (moves) {
        ends = loose && !touched.empty() && last_move >= start && last_move < i;
      }
    }
    if (ends && i > start) {
      Async<Step> moving = write_moves(rows, plan, start, i);
      auto done = co_await moving;
      if (!done) co_return done;
      Async<Step> writing = write_alike(rows, plan, start, i);
      done = co_await writing;
      if (!done) co_return done;
      touched.clear();
      start = i;
    }
    if (i == to) break;
    const Row& row = rows.rows[i];
    if (stands_alone(row)) {
      Async<Step> emptying =
          row.operation == Operation::kSweep ? sweep(plan, row) : truncate(plan, row);
      auto done = co_await emptying;
      if (!done) co_return done;
      start = i + 1;
    } else if (moves && row.operation == Operation::kMove) {
      const MovedKeys keys = keys_of(rows, row);
      touched.insert(keys.before);
      touched.insert(keys.after);
      last_move = i;
    } else if (moves && row.operation != Operation::kMoved) {
      touched.insert(rows.key_of(row));
    }
  }
  co_return true;
}

// Rows that stand for themselves: neither moves nor TRUNCATE.
Async<Writer::Step> Writer::write_alike(TableRows& rows, const Plan& plan, std::size_t from,
                                        std::size_t to) {
  if (plan.key_columns > 0) {
    Async<Step> writing = write_turns(rows, plan, from, to);
    auto written = co_await writing;
    co_return written;
  }
  while (from < to) {
    const bool equal = rows.rows[from].operation != Operation::kWrite;
    std::size_t end = from + 1;
    if (!equal) {
      // A history keeps the order, which COPYs of several shapes would not.
      const auto alike = [&](const Row& row) {
        return row.operation == Operation::kWrite &&
               (!plan.history || row.shape == rows.rows[from].shape);
      };
      while (end < to && alike(rows.rows[end])) ++end;
    }
    Async<Step> writing =
        equal ? write_equal(rows, plan, rows.rows[from]) : write_piece(rows, plan, from, end);
    auto written = co_await writing;
    if (!written) co_return written;
    from = end;
  }
  co_return true;
}

// The rows with old keys get their new ones, unless a row with the new key is there: then the old
// one goes; not if it is newer than that. Nothing here touches another's key, so that all are two
// statements.
Async<Writer::Step> Writer::write_moves(const TableRows& rows, const Plan& plan, std::size_t from,
                                        std::size_t to) {
  sent_.clear();
  slices_.clear();
  gathered_.clear();
  for (std::size_t i = from; i < to; ++i) {
    const Row& row = rows.rows[i];
    if (!is_move(row)) continue;
    sent_.push_back(row.record);
    gathered_.append(rows.bytes.view(row.begin, row.length));
  }
  if (sent_.empty()) co_return true;
  slices_.push_back(gathered_.view());
  std::string old_columns;
  std::string new_columns;
  std::string is_old;
  std::string is_new;
  std::string set;
  for (int i = 0; i < plan.key_columns; ++i) {
    const std::string name = Connection::identifier(plan.columns[static_cast<std::size_t>(i)].name);
    const char* const comma = i > 0 ? ", " : "";
    const char* const and_ = i > 0 ? " AND " : "";
    old_columns += fmt::format("{}o{}", comma, i + 1);
    new_columns += fmt::format("{}n{}", comma, i + 1);
    is_old += fmt::format("{}t.{} = m.o{}", and_, name, i + 1);
    is_new += fmt::format("{}x.{} = m.n{}", and_, name, i + 1);
    set += fmt::format("{}{} = m.n{}", comma, name, i + 1);
  }
  const bool guarded = plan.newer >= 0;
  if (guarded) is_old += " AND " + may_change(plan, "m.position", {});
  Async<Step> staging = fill_stage(rows, plan.move_stage,
                                   old_columns + ", " + new_columns + (guarded ? ", position" : ""),
                                   habit().move_stage_bytes);
  auto done = co_await staging;
  if (!done) co_return done;
  std::string sql = fmt::format(
      "UPDATE {0} AS t SET {1} FROM {2} AS m WHERE {3} AND NOT EXISTS (SELECT FROM {0} AS x WHERE "
      "{4}); DELETE FROM {0} AS t USING {2} AS m WHERE {3}",
      plan.target, set, plan.move_stage, is_old, is_new);
  Async<Step> moving = execute(std::move(sql));
  done = co_await moving;
  co_return done;
}

// TRUNCATE, or DELETE where a foreign key or the role's rights forbid it, or where newer rows stay.
Async<Writer::Step> Writer::truncate(const Plan& plan, const Row& row) {
  const bool by_position = row.position != kNoPosition;
  if (by_position && row.is_shared && may_wait_[row.partition]) {
    message::Problem problem;
    problem.code = message::ProblemCode::kNoPosition;
    problem.detail = "a TRUNCATE waits for what other partitions hold from before it";
    co_return tl::unexpected(Failed{message::to_error(problem), Phase::kWrite, row.record});
  }
  const std::string older = by_position ? before_truncate(plan, row.position) : "true";
  if (plan.mark >= 0) {
    const PlanColumn& mark = plan.columns[static_cast<std::size_t>(plan.mark)];
    const std::string name = Connection::identifier(mark.name);
    const bool flag = plan.table.find(mark.name)->type.oid == postgres::oid::kBool;
    std::string set =
        fmt::format("{} = {}", name, flag ? "true" : fmt::format("coalesce({}, now())", name));
    std::string where = older;
    if (plan.newer >= 0) {
      set += fmt::format(", {} = {}", newer_name(plan), position_literal(plan, row.position));
    } else {
      where += fmt::format(" AND {} {}", name, flag ? "IS NOT TRUE" : "IS NULL");
    }
    Async<Step> marking =
        execute(fmt::format("UPDATE {} SET {} WHERE {}", plan.target, set, where));
    auto marked = co_await marking;
    co_return marked;
  }
  if (by_position) {
    Async<Step> deleting = execute(fmt::format("DELETE FROM {} WHERE {}", plan.target, older));
    auto deleted = co_await deleting;
    co_return deleted;
  }
  Async<Step> saving = execute("SAVEPOINT sluice_truncate");
  auto done = co_await saving;
  if (!done) co_return done;
  std::string sql = fmt::format("TRUNCATE {}; RELEASE SAVEPOINT sluice_truncate", plan.target);
  Async<Step> emptying = execute(std::move(sql));
  done = co_await emptying;
  if (done) co_return done;
  const std::string& code = done.error().error.code;
  if (code != "0A000" && code != "42501") co_return done;
  sql = fmt::format(
      "ROLLBACK TO SAVEPOINT sluice_truncate; RELEASE SAVEPOINT sluice_truncate; DELETE FROM {}",
      plan.target);
  Async<Step> deleting = execute(std::move(sql));
  done = co_await deleting;
  co_return done;
}

// What the snapshot that ends here did not bring, and what nothing has changed since, is not at the
// source any more.
Async<Writer::Step> Writer::sweep(const Plan& plan, const Row& row) {
  std::string sql = fmt::format("DELETE FROM {}", plan.target);
  std::string where = before_snapshot(plan, row.position);
  if (plan.mark >= 0) {
    const PlanColumn& mark = plan.columns[static_cast<std::size_t>(plan.mark)];
    const std::string name = Connection::identifier(mark.name);
    const bool flag = plan.table.find(mark.name)->type.oid == postgres::oid::kBool;
    sql = fmt::format("UPDATE {} SET {} = {}", plan.target, name, flag ? "true" : "now()");
    if (plan.newer >= 0) {
      sql += fmt::format(", {} = {}", newer_name(plan), position_literal(plan, row.position));
    }
    where += fmt::format(" AND {} {}", name, flag ? "IS NOT TRUE" : "IS NULL");
  }
  Async<tl::expected<Rows, Failed>> sweeping = ask(fmt::format("{} WHERE {}", sql, where));
  auto swept = co_await sweeping;
  if (!swept) co_return tl::unexpected(swept.error());
  swept_ = swept_.value_or(0) + swept->affected();
  co_return true;
}

// One row of a table without key, found by all that its event says of it. Of several that are equal
// any one is as good.
Async<Writer::Step> Writer::write_equal(const TableRows& rows, const Plan& plan, const Row& row) {
  if (row.dead) co_return true;
  const std::string& states = rows.shapes[row.before_shape].states;
  sent_ = {row.record};
  slices_ = {rows.bytes.view(row.before, row.before_length)};
  Async<Step> finding =
      fill_stage(rows, plan.delete_stage, column_list(plan, states), habit().delete_stage_bytes);
  auto done = co_await finding;
  if (!done) co_return done;
  const std::string found = fmt::format(
      "(t.tableoid, t.ctid) = (SELECT x.tableoid, x.ctid FROM {} AS x, {} AS d WHERE {} "
      "LIMIT 1)",
      plan.target, plan.delete_stage, same_row(plan, states));
  if (row.operation == Operation::kDeleteEqual) {
    Async<tl::expected<Rows, Failed>> deleting =
        ask(fmt::format("DELETE FROM {} AS t WHERE {}", plan.target, found));
    auto deleted = co_await deleting;
    if (!deleted) co_return tl::unexpected(deleted.error());
    co_return true;
  }
  const std::string& after = rows.shapes[row.shape].states;
  slices_ = {rows.bytes.view(row.begin, row.length)};
  Async<Step> staging = stage_rows(rows, plan, column_list(plan, after));
  done = co_await staging;
  if (!done) co_return done;
  std::string set;
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    if (after[i] != Shape::kPresent) continue;
    const std::string name = Connection::identifier(plan.columns[i].name);
    set += fmt::format("{}{} = s.{}", set.empty() ? "" : ", ", name, name);
  }
  Async<tl::expected<Rows, Failed>> updating = ask(fmt::format(
      "UPDATE {} AS t SET {} FROM {} AS s WHERE {}", plan.target, set, plan.stage, found));
  auto updated = co_await updating;
  if (!updated) co_return tl::unexpected(updated.error());
  if (updated->affected() > 0) co_return true;
  if (rows.shapes[row.shape].must_exist) co_return missing_row(plan);
  if (rows.shapes[row.shape].only_existing) {
    ++ignored_;
    co_return true;
  }
  // It is not there: the event has the whole row, or what it has is to be made one.
  note_incomplete(rows, plan, row);
  std::string sql = fmt::format("INSERT INTO {0} ({1}) SELECT {1} FROM {2}", plan.target,
                                column_list(plan, after), plan.stage);
  Async<Step> inserting = execute(std::move(sql));
  done = co_await inserting;
  co_return done;
}

}  // namespace sluice::sink
