// Reading and changing a task: creation, epochs, partitions, gaps.
#include <fmt/format.h>

#include "ledger/statements.h"

namespace sluice::ledger {
namespace {

// Runs `attempt`, and ends the transaction that it leaves open when it fails.
template <class T>
Async<Result<T>> or_roll_back(postgres::Connection& connection, Async<Result<T>> attempt) {
  auto result = co_await attempt;
  if (!result) {
    auto rollback = sql::roll_back(connection);
    auto ended = co_await rollback;
    static_cast<void>(ended);  // the first error says what happened
  }
  co_return result;
}

std::string text(std::string_view value) {
  std::string clean;
  return sql::literal(sql::is_clean(value, clean) ? value : std::string_view(clean));
}

// Every partition must have its row, and no other may have one: else the first look finds rows
// lost.
Result<bool> covers(const std::map<Key, std::int64_t>& start,
                    const std::map<std::string, TopicState>& topics) {
  std::size_t expected = 0;
  for (const auto& [topic, state] : topics) {
    expected += static_cast<std::size_t>(state.partitions);
    for (int partition = 0; partition < state.partitions; ++partition) {
      if (start.contains({topic, partition})) continue;
      return fail(
          Domain::kInternal, "start_positions",
          fmt::format("partition {} of topic \"{}\" has no start position", partition, topic));
    }
  }
  if (expected == start.size()) return true;
  return fail(Domain::kInternal, "start_positions",
              "start positions were given for partitions that the topics do not have");
}

Async<Result<TaskRow>> try_create(postgres::Connection& connection, Handle handle,
                                  Identity identity, std::map<std::string, TopicState> topics,
                                  std::map<Key, std::int64_t> start) {
  sql::Columns columns = sql::columns_of(identity);
  for (auto& column : sql::columns_of(topics)) columns.push_back(std::move(column));
  std::string names = "id, uid, epoch";
  std::string values =
      fmt::format("{}, {}, 1", sql::literal(handle.task), sql::literal(sql::fresh_uid()));
  for (const auto& [name, value] : columns) {
    names += fmt::format(", {}", name);
    values += ", " + value;
  }
  auto insert = connection.query(sql::begin() + sql::gate_alone(handle) +
                                 fmt::format("INSERT INTO {0} ({1}) SELECT {2} WHERE NOT EXISTS"
                                             " (SELECT FROM {0} WHERE id = {3})",
                                             sql::table(handle.schema, "task"), names, values,
                                             sql::literal(handle.task)));
  auto inserted = co_await insert;
  if (!inserted) co_return fail(std::move(inserted.error()));
  if (inserted->back().affected() == 0) {
    co_return fail(Domain::kLedger, "task_exists",
                   fmt::format("the ledger (schema \"{}\") has a task \"{}\" already",
                               handle.schema, handle.task),
                   "Read it: another process was first.");
  }
  auto rows =
      connection.query(sql::insert_ledger(handle, "1", start) + ";" + sql::select_task(handle));
  auto created = co_await rows;
  if (!created) co_return fail(std::move(created.error()));
  auto committing = sql::commit(connection);
  auto committed = co_await committing;
  if (!committed) co_return fail(std::move(committed.error()));
  co_return *sql::read_task_rows(*created);
}

// Opens the transaction of a change of the task row and locks that; returns the row. Afterwards no
// lane is between its look at the task and its end.
Async<Result<TaskRow>> open_change(postgres::Connection& connection, Handle handle,
                                   std::optional<std::int64_t> expected_epoch) {
  const std::string lock =
      fmt::format("SELECT FROM {} WHERE id = {} FOR NO KEY UPDATE;",
                  sql::table(handle.schema, "task"), sql::literal(handle.task));
  auto begin =
      connection.query(sql::begin() + sql::gate_alone(handle) + lock + sql::select_task(handle));
  auto rows = co_await begin;
  if (!rows) co_return fail(std::move(rows.error()));
  auto task = sql::read_task_rows(*rows);
  if (!task) co_return sql::task_missing(handle);
  if (!handle.uid.empty() && task->uid != handle.uid) {
    co_return sql::fenced(handle, "it was adopted, or deleted and created again");
  }
  if (expected_epoch && task->epoch != *expected_epoch) {
    co_return sql::fenced(handle,
                          fmt::format("its epoch is {}, not {}", task->epoch, *expected_epoch));
  }
  co_return std::move(*task);
}

std::string set_halt(const EpochChange& change) {
  if (!change.halt) {
    if (!change.clear_halt) return {};
    return ", halt_reason = NULL, halt_message = NULL, halt_topic = NULL, halt_partition = NULL,"
           " halt_offset = NULL, halted_at = NULL";
  }
  const HaltNote& halt = *change.halt;
  const bool has_key = !halt.key.topic.empty();
  return fmt::format(
      ", halt_reason = {}, halt_message = {}, halt_topic = {}, halt_partition = {},"
      " halt_offset = {}, halted_at = pg_catalog.now()",
      text(halt.reason), text(halt.message), has_key ? text(halt.key.topic) : "NULL",
      has_key ? std::to_string(halt.key.partition) : "NULL",
      halt.offset < 0 ? "NULL" : std::to_string(halt.offset));
}

std::string update_task(const Handle& handle, const EpochChange& change) {
  std::string sets =
      "epoch = greatest(epoch + 1, (extract(epoch FROM"
      " pg_catalog.clock_timestamp()) * 1000000)::bigint),"
      " changed_at = pg_catalog.now()";
  if (change.new_uid) sets += fmt::format(", uid = {}", sql::literal(sql::fresh_uid()));
  if (change.identity) sets += sql::set_list(sql::columns_of(*change.identity));
  if (change.topics) sets += sql::set_list(sql::columns_of(*change.topics));
  sets += set_halt(change);
  return fmt::format("UPDATE {} SET {} WHERE id = {};", sql::table(handle.schema, "task"), sets,
                     sql::literal(handle.task));
}

// After the task row: all ledger rows in order, then their new epoch. The last statement moves
// single positions and returns one row for each; there is always one such statement.
std::string update_ledger(const Handle& handle, const EpochChange& change) {
  const std::string ledger = sql::table(handle.schema, "ledger");
  const std::string task = sql::literal(handle.task);
  const std::string epoch =
      fmt::format("(SELECT epoch FROM {} WHERE id = {})", sql::table(handle.schema, "task"), task);
  std::string statements = fmt::format(
      "SELECT FROM {} WHERE task = {} ORDER BY topic, partition FOR UPDATE;", ledger, task);
  if (change.reset_to) {
    statements += fmt::format("DELETE FROM {} WHERE task = {};", ledger, task);
    statements += sql::insert_ledger(handle, epoch, *change.reset_to) + ";";
  } else {
    statements += fmt::format("UPDATE {} SET epoch = {} WHERE task = {};", ledger, epoch, task);
  }
  std::string moves;
  for (const auto& [key, offset] : change.move_to) {
    moves += fmt::format("{}({}, {}, {}::bigint)", moves.empty() ? "" : ", ",
                         sql::literal(key.topic), key.partition, offset);
  }
  if (moves.empty()) return statements + "SELECT 0";
  return statements +
         fmt::format(
             "UPDATE {} AS l SET next_offset = m.next_offset, updated_at = pg_catalog.now()"
             " FROM (VALUES {}) AS m (topic, partition, next_offset) WHERE l.task = {}"
             " AND l.topic = m.topic AND l.partition = m.partition",
             ledger, moves, task);
}

Async<Result<TaskRow>> try_raise(postgres::Connection& connection, Handle handle,
                                 EpochChange change) {
  auto opening = open_change(connection, handle, change.only_from);
  auto task = co_await opening;
  if (!task) co_return fail(std::move(task.error()));

  auto update = connection.query(update_task(handle, change) + update_ledger(handle, change));
  auto updated = co_await update;
  if (!updated) co_return fail(std::move(updated.error()));
  if (!change.move_to.empty() &&
      updated->back().affected() != static_cast<std::int64_t>(change.move_to.size())) {
    co_return fail(Domain::kLedger, "ledger_lost",
                   fmt::format("a partition of task \"{}\" that is to be moved has no ledger row",
                               handle.task),
                   "Restore the ledger from a backup, or start with --reset.");
  }
  auto reading = connection.query(sql::select_task(handle));
  auto rows = co_await reading;
  if (!rows) co_return fail(std::move(rows.error()));
  auto committing = sql::commit(connection);
  auto committed = co_await committing;
  if (!committed) co_return fail(std::move(committed.error()));
  co_return *sql::read_task_rows(*rows);
}

Async<Result<bool>> try_forget(postgres::Connection& connection, Handle handle) {
  auto opening = open_change(connection, handle, std::nullopt);
  auto task = co_await opening;
  if (!task) co_return fail(std::move(task.error()));
  const std::string id = sql::literal(handle.task);
  std::string statements;
  for (const char* name : {"ledger", "gap"}) {
    statements +=
        fmt::format("DELETE FROM {} WHERE task = {};", sql::table(handle.schema, name), id);
  }
  statements += fmt::format("DELETE FROM {} WHERE id = {}", sql::table(handle.schema, "task"), id);
  auto deleting = connection.query(std::move(statements));
  auto deleted = co_await deleting;
  if (!deleted) co_return fail(std::move(deleted.error()));
  auto committing = sql::commit(connection);
  co_return co_await committing;
}

// What sluice.task says of its topics, with what appeared since.
Result<std::map<std::string, TopicState>> merge(std::map<std::string, TopicState> known,
                                                const std::map<std::string, TopicState>& found) {
  for (const auto& [topic, state] : found) {
    TopicState& merged = known[topic];
    if (!merged.id.empty() && !state.id.empty() && merged.id != state.id) {
      return fail(Domain::kLedger, "topic_created_again",
                  fmt::format("topic \"{}\" was deleted and created again: its id was {} and is {}",
                              topic, merged.id, state.id),
                  "Start with --reset to read the new topic from its beginning.");
    }
    if (merged.id.empty()) merged.id = state.id;
    merged.partitions = std::max(merged.partitions, state.partitions);
  }
  return known;
}

// Every partition between the old count and the new needs a row, as in covers().
Result<bool> covers_new(const std::map<Key, std::int64_t>& start,
                        const std::map<std::string, TopicState>& known,
                        const std::map<std::string, TopicState>& merged) {
  for (const auto& [topic, state] : merged) {
    const auto before = known.find(topic);
    for (int partition = before == known.end() ? 0 : before->second.partitions;
         partition < state.partitions; ++partition) {
      if (start.contains({topic, partition})) continue;
      return fail(
          Domain::kInternal, "start_positions",
          fmt::format("new partition {} of topic \"{}\" has no start position", partition, topic));
    }
  }
  return true;
}

Async<Result<bool>> try_add(postgres::Connection& connection, Handle handle, std::int64_t epoch,
                            std::map<std::string, TopicState> topics,
                            std::map<Key, std::int64_t> start) {
  auto opening = open_change(connection, handle, epoch);
  auto task = co_await opening;
  if (!task) co_return fail(std::move(task.error()));
  auto merged = merge(task->topics, topics);
  if (!merged) co_return fail(std::move(merged.error()));
  const auto complete = covers_new(start, task->topics, *merged);
  if (!complete) co_return fail(complete.error());
  // A partition below the stored count had a row; if it has none now it is lost, not new.
  std::map<Key, std::int64_t> fresh;
  for (const auto& [key, offset] : start) {
    const auto known = task->topics.find(key.topic);
    if (known == task->topics.end() || key.partition >= known->second.partitions) {
      fresh[key] = offset;
    }
  }
  auto update = connection.query(
      fmt::format("UPDATE {} SET changed_at = pg_catalog.now(){} WHERE id = {};",
                  sql::table(handle.schema, "task"), sql::set_list(sql::columns_of(*merged)),
                  sql::literal(handle.task)) +
      (fresh.empty() ? "SELECT 0 WHERE false"
                     : sql::insert_ledger(handle, std::to_string(epoch), fresh)));
  auto updated = co_await update;
  if (!updated) co_return fail(std::move(updated.error()));
  auto committing = sql::commit(connection);
  auto committed = co_await committing;
  if (!committed) co_return fail(std::move(committed.error()));
  co_return !fresh.empty() && updated->back().affected() > 0;
}

std::string insert_gap(const Handle& handle, std::int64_t epoch, const Gap& gap) {
  return fmt::format(
      "INSERT INTO {0} (task, topic, partition, from_offset, to_offset, epoch, reason)"
      " SELECT {1}, {2}, {3}, {4}, {5}, {6}, {7} WHERE NOT EXISTS (SELECT FROM {0} WHERE task = {1}"
      " AND topic = {2} AND partition = {3} AND from_offset = {4} AND to_offset = {5}"
      " AND epoch = {6});",
      sql::table(handle.schema, "gap"), sql::literal(handle.task), sql::literal(gap.key.topic),
      gap.key.partition, gap.from, gap.to, epoch, sql::literal(gap.reason));
}

Async<Result<bool>> try_record_gap(postgres::Connection& connection, Handle handle,
                                   std::int64_t epoch, Gap gap, bool move_position) {
  const std::vector<Range> ranges{{gap.key, gap.from, gap.to}};
  auto begin = connection.query(sql::begin() + lock_sql(handle, ranges));
  auto rows = co_await begin;
  if (!rows) co_return fail(std::move(rows.error()));
  const Locked locked = read_locked((*rows)[rows->size() - 2], rows->back(), ranges);
  if (!locked.task_exists) co_return sql::task_missing(handle);
  if (locked.task_epoch != epoch) co_return sql::fenced(handle, "its epoch is another");
  const Found& row = locked.rows.front();
  const std::string place =
      fmt::format("partition {} of topic \"{}\"", gap.key.partition, gap.key.topic);
  if (!row.exists) {
    co_return fail(Domain::kLedger, "ledger_lost",
                   fmt::format("{} has no row in the ledger of task \"{}\"", place, handle.task),
                   "Restore the ledger from a backup, or start with --reset.");
  }
  std::string statements = insert_gap(handle, epoch, gap);
  if (move_position) {
    if (row.next_offset >= gap.to) {
      auto rollback = sql::roll_back(connection);
      auto ended = co_await rollback;
      if (!ended) co_return fail(std::move(ended.error()));
      co_return false;
    }
    if (row.next_offset != gap.from) {
      co_return fail(Domain::kLedger, "position_moved",
                     fmt::format("{} is at offset {} in the ledger, not at {}", place,
                                 row.next_offset, gap.from),
                     "Look again where it goes on.");
    }
    Move move;
    move.key = gap.key;
    move.from = gap.from;
    move.to = gap.to;
    statements += move_sql(handle, epoch, {move});
  }
  auto recording = connection.query(std::move(statements));
  auto recorded = co_await recording;
  if (!recorded) co_return fail(std::move(recorded.error()));
  auto committing = sql::commit(connection);
  auto committed = co_await committing;
  co_return committed;
}

}  // namespace

Async<Result<std::optional<TaskRow>>> read_task(postgres::Connection& connection, Handle handle) {
  // One snapshot for the three statements.
  auto query = connection.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;" +
                                sql::own_timeouts() + sql::select_task(handle));
  auto rows = co_await query;
  auto rollback = sql::roll_back(connection);
  auto ended = co_await rollback;
  if (!rows) co_return fail(std::move(rows.error()));
  if (!ended) co_return fail(std::move(ended.error()));
  co_return sql::read_task_rows(*rows);
}

Async<Result<std::vector<LedgerRow>>> read_ledger(postgres::Connection& connection, Handle handle) {
  auto query =
      connection.query(sql::own_timeouts() +
                       fmt::format("SELECT topic, partition, next_offset, epoch, "
                                   "coalesce(last_offset, -1), applied, discarded, dead,"
                                   " last_crc32c, CASE WHEN isfinite(last_timestamp) THEN"
                                   " (extract(epoch FROM last_timestamp) * 1000)::bigint END"
                                   " FROM {} WHERE task = {} ORDER BY topic, partition",
                                   sql::table(handle.schema, "ledger"), sql::literal(handle.task)));
  auto results = co_await query;
  if (!results) co_return fail(std::move(results.error()));
  const postgres::Rows& rows = results->back();
  std::vector<LedgerRow> ledger(static_cast<std::size_t>(rows.size()));
  for (int i = 0; i < rows.size(); ++i) {
    LedgerRow& row = ledger[static_cast<std::size_t>(i)];
    row.key = {std::string(rows.text(i, 0)), static_cast<std::int32_t>(rows.integer(i, 1))};
    row.next_offset = rows.integer(i, 2);
    row.epoch = rows.integer(i, 3);
    row.last_offset = rows.integer(i, 4);
    row.applied = rows.integer(i, 5);
    row.discarded = rows.integer(i, 6);
    row.dead = rows.integer(i, 7);
    if (!rows.is_null(i, 8)) row.last_crc32c = static_cast<std::uint32_t>(rows.integer(i, 8));
    if (!rows.is_null(i, 9)) row.last_timestamp_ms = rows.integer(i, 9);
  }
  co_return ledger;
}

Async<Result<std::int64_t>> mark_complete(postgres::Connection& connection, Handle handle,
                                          std::string when, std::map<Key, std::int64_t> ends) {
  std::string values;
  for (const auto& [key, end] : ends) {
    values += fmt::format("{}({}, {}, {}::bigint)", values.empty() ? "" : ", ",
                          sql::literal(key.topic), key.partition, end);
  }
  if (values.empty()) co_return 0;
  auto query = connection.query(fmt::format(
      "BEGIN; SET LOCAL lock_timeout = '2s'; "
      "WITH at_end AS (SELECT l.task, l.topic, l.partition FROM {0} l"
      " JOIN (VALUES {1}) AS e (topic, partition, end_offset)"
      " ON e.topic = l.topic AND e.partition = l.partition"
      " WHERE l.task = {2} AND l.next_offset >= e.end_offset"
      " AND EXISTS (SELECT FROM {3} t WHERE t.id = l.task AND t.uid = {4})"
      " ORDER BY l.topic, l.partition FOR UPDATE OF l)"
      " UPDATE {0} AS l SET complete_at = greatest(l.complete_at, {5}::timestamptz) FROM at_end a"
      " WHERE l.task = a.task AND l.topic = a.topic AND l.partition = a.partition; COMMIT",
      sql::table(handle.schema, "ledger"), values, sql::literal(handle.task),
      sql::table(handle.schema, "task"), sql::literal(handle.uid), sql::literal(when)));
  auto results = co_await query;
  if (!results) {
    auto rollback = sql::roll_back(connection);
    auto ended = co_await rollback;
    static_cast<void>(ended);  // the first error says what happened
    co_return fail(std::move(results.error()));
  }
  co_return (*results)[2].affected();
}

Async<Result<std::vector<Gap>>> read_gaps(postgres::Connection& connection, Handle handle) {
  auto query = connection.query(
      sql::own_timeouts() +
      fmt::format("SELECT topic, partition, from_offset, to_offset, reason FROM {} WHERE task = {}"
                  " ORDER BY topic, partition, from_offset",
                  sql::table(handle.schema, "gap"), sql::literal(handle.task)));
  auto results = co_await query;
  if (!results) co_return fail(std::move(results.error()));
  const postgres::Rows& rows = results->back();
  std::vector<Gap> gaps;
  for (int i = 0; i < rows.size(); ++i) {
    gaps.push_back({{std::string(rows.text(i, 0)), static_cast<std::int32_t>(rows.integer(i, 1))},
                    rows.integer(i, 2),
                    rows.integer(i, 3),
                    std::string(rows.text(i, 4))});
  }
  co_return gaps;
}

Async<Result<TaskRow>> create_task(postgres::Connection& connection, Handle handle,
                                   Identity identity, std::map<std::string, TopicState> topics,
                                   std::map<Key, std::int64_t> start) {
  const auto complete = covers(start, topics);
  if (!complete) co_return fail(complete.error());
  auto attempt =
      try_create(connection, handle, std::move(identity), std::move(topics), std::move(start));
  auto guarded = or_roll_back(connection, std::move(attempt));
  auto result = co_await guarded;
  co_return result;
}

Async<Result<std::optional<std::string>>> other_task(postgres::Connection& connection,
                                                     Handle handle) {
  auto query =
      connection.query(sql::own_timeouts() +
                       fmt::format("SELECT id FROM {} WHERE id <> {} ORDER BY id LIMIT 1",
                                   sql::table(handle.schema, "task"), sql::literal(handle.task)));
  auto rows = co_await query;
  if (!rows) co_return fail(std::move(rows.error()));
  if (rows->back().size() == 0) co_return std::nullopt;
  co_return std::string(rows->back().text(0, 0));
}

Async<Result<TaskRow>> raise_epoch(postgres::Connection& connection, Handle handle,
                                   EpochChange change) {
  if (change.reset_to && change.topics) {
    const auto complete = covers(*change.reset_to, *change.topics);
    if (!complete) co_return fail(complete.error());
  }
  auto attempt = try_raise(connection, handle, std::move(change));
  auto guarded = or_roll_back(connection, std::move(attempt));
  auto result = co_await guarded;
  co_return result;
}

Async<Result<bool>> forget_task(postgres::Connection& connection, Handle handle) {
  auto attempt = try_forget(connection, handle);
  auto guarded = or_roll_back(connection, std::move(attempt));
  auto result = co_await guarded;
  co_return result;
}

Async<Result<bool>> add_partitions(postgres::Connection& connection, Handle handle,
                                   std::int64_t epoch, std::map<std::string, TopicState> topics,
                                   std::map<Key, std::int64_t> start) {
  auto attempt = try_add(connection, handle, epoch, std::move(topics), std::move(start));
  auto guarded = or_roll_back(connection, std::move(attempt));
  auto result = co_await guarded;
  co_return result;
}

Async<Result<bool>> record_gap(postgres::Connection& connection, Handle handle, std::int64_t epoch,
                               Gap gap, bool move_position) {
  auto attempt = try_record_gap(connection, handle, epoch, std::move(gap), move_position);
  auto guarded = or_roll_back(connection, std::move(attempt));
  auto result = co_await guarded;
  co_return result;
}

}  // namespace sluice::ledger
