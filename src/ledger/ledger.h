// The ledger's tables in the target database, and every statement that touches them. One lock order
// everywhere: the task row, ledger rows by topic and partition, advisory lock, target.
//
//   sluice.version      the layout's number; newer than known: refused
//   sluice.task         one row a task: identity, topics, epoch, halt
//   sluice.ledger       one row a partition: next_offset, epoch, counters
//   sluice.dead_letter  messages that could not be applied
//   sluice.gap          offsets that were never applied, and why
//   sluice.progress     a view for people
//
// Before the task row comes its gate, an advisory lock: lock_sql takes it shared, whoever changes
// the task row takes it alone. PostgreSQL lets a new FOR SHARE pass an UPDATE that waits, so that
// lanes whose transactions overlap would hold up a pause for ever; advisory locks queue in order.
//
// The coroutines need a connection that is not inside a transaction, and leave it so: those that
// change something run one READ COMMITTED transaction with lock_timeout 5 s. An error of the
// connection during their COMMIT leaves the change in doubt: read_task tells. Errors of the ledger
// itself have domain kLedger and one of the codes below; all others are the server's.
//   task_exists, task_missing        create_task; all others
//   fenced                           the task has another epoch or uid than the caller knows
//   ledger_lost, position_moved      a row is missing, or not where the caller saw it
//   topic_created_again              the topic's id is not the one stored
//   ledger_newer, ledger_foreign, ledger_no_right      prepare, inspect
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/async.h"
#include "base/buffer.h"
#include "base/result.h"
#include "ledger/protocol.h"
#include "postgres/connection.h"

namespace sluice::ledger {

// Which ledger and which task: quoted once, used in every statement. `now` in rows is the server's.
struct Handle {
  std::string schema = "sluice";
  std::string task;
  std::string uid;  // 32 hex digits
};

// What makes a task this task. Stored when it is created, compared ever after.
struct Identity {
  std::string cluster_id;
  std::string host;  // of the target, as the document writes it
  std::string port;
  std::string database;
  std::map<std::string, std::uint32_t> tables;  // qualified target table -> oid
  std::string document_hash;
};

struct TopicState {
  std::string id;  // topic id; empty if the broker has none
  int partitions = 0;
};

struct HaltNote {
  std::string reason;   // a class or verdict, for example "data 23502"
  std::string message;  // for people
  Key key;
  std::int64_t offset = -1;
};

struct TaskRow {
  std::string uid;
  Identity identity;
  std::map<std::string, TopicState> topics;
  std::int64_t epoch = 0;
  std::optional<HaltNote> halt;
};

// Creates schema and tables if they are missing (one transaction under an advisory lock) and
// checks their version and that this role may use them. Errors: newer layout, no CREATE right (with
// the GRANT), a schema of that name that is not ours.
// Any number of processes may do this at once.
Async<Result<bool>> prepare(postgres::Connection& connection, std::string schema);

// The same checks without changing anything: true if the ledger is there and usable, false if
// prepare() would create it and may.
Async<Result<bool>> inspect(postgres::Connection& connection, std::string schema);

Async<Result<std::optional<TaskRow>>> read_task(postgres::Connection& connection, Handle handle);
// All positions of the task, by partition; no lock.
struct LedgerRow {
  Key key;
  std::int64_t next_offset = 0;
  std::int64_t epoch = 0;
  std::int64_t last_offset = -1;  // -1: none applied yet
  // Of the record at last_offset; -1: it has none, or one that PostgreSQL cannot hold exactly.
  std::int64_t last_timestamp_ms = -1;
  std::uint32_t last_crc32c = 0;
  std::int64_t applied = 0, discarded = 0, dead = 0;
};
Async<Result<std::vector<LedgerRow>>> read_ledger(postgres::Connection& connection, Handle handle);

// One transaction: the task row and the ledger rows of all partitions. epoch 1, a fresh uid
// (handle.uid is not looked at). `start` must name every partition of `topics`.
// Error code "task_exists" if another process was first: read_task again.
Async<Result<TaskRow>> create_task(postgres::Connection& connection, Handle handle,
                                   Identity identity, std::map<std::string, TopicState> topics,
                                   std::map<Key, std::int64_t> start);

// The id of another task in this ledger, if there is one: servers of 9.4 level lock the whole table
// of positions for a batch, so that a ledger is for one task there.
Async<Result<std::optional<std::string>>> other_task(postgres::Connection& connection,
                                                     Handle handle);

// Raises the epoch: UPDATE task; SELECT ledger rows FOR UPDATE in order; UPDATE them. When it
// returns, no batch of an older epoch can commit. Returns the task as it is then. The new epoch is
// the server's clock in microseconds (at least the old one plus 1): a raise after a failover that
// lost an earlier raise can so not give the same number to another revision. An empty handle.uid
// stands for any. After 55P03: end_stopped_holder, and again. What else happens in that
// transaction:
struct EpochChange {
  std::optional<Identity> identity;  // edit: another document, adopt
  bool new_uid = false;              // adopt: the clone must not share the group
  bool clear_halt = false;
  std::optional<HaltNote> halt;                             // policy retain
  std::optional<std::map<std::string, TopicState>> topics;  // reset, a topic created again
  std::optional<std::map<Key, std::int64_t>> reset_to;      // reset: all rows replaced by these
  std::map<Key, std::int64_t> move_to;                      // single positions (gap with continue)
  // Only if the task still has this epoch, else "fenced": a lane that halts must not halt a
  // revision that it does not know.
  std::optional<std::int64_t> only_from;
};
Async<Result<TaskRow>> raise_epoch(postgres::Connection& connection, Handle handle,
                                   EpochChange change);

// Deletes what the ledger knows of the task: positions, gaps, the task row; dead letters stay.
// Waits for batches in flight, as raise_epoch does. Error "task_missing" if there is none.
Async<Result<bool>> forget_task(postgres::Connection& connection, Handle handle);

// A partition or topic that appeared later: rows at `start`, the count in sluice.task raised, under
// the task row's lock. Rows that exist are left alone; counts never shrink. Returns whether a row
// was added.
Async<Result<bool>> add_partitions(postgres::Connection& connection, Handle handle,
                                   std::int64_t epoch, std::map<std::string, TopicState> topics,
                                   std::map<Key, std::int64_t> start);

// Says in complete_at that the partitions among `ends` whose position is at their end or beyond
// were complete at `when` (a timestamptz of the server, read before the ends were asked for). Waits
// for batches that hold their rows, up to 2 s (55P03). Never moves complete_at back. Returns how
// many of `ends` are complete until then.
Async<Result<std::int64_t>> mark_complete(postgres::Connection& connection, Handle handle,
                                          std::string when, std::map<Key, std::int64_t> ends);

struct Gap {
  Key key;
  std::int64_t from = 0;
  std::int64_t to = 0;
  std::string reason;  // "retention", "topic_created_again", "started_later"
};
// With move_position the row moves from gap.from to gap.to in the same transaction; false if it was
// there or beyond already (somebody recorded it), "position_moved" if it is anywhere else.
Async<Result<bool>> record_gap(postgres::Connection& connection, Handle handle, std::int64_t epoch,
                               Gap gap, bool move_position);

// ---- parts of the one transaction (sink/transaction.cc puts them together) ----

// Where ledger rows are in their table: the ctid of the version that this session saw or wrote
// last. Under an open snapshot of somebody else (pg_dump, a long report) the dead versions of a row
// stay, and finding the live one by its key costs more with every batch; by its place it does not.
using Places = std::map<Key, std::string>;

// "SELECT epoch ... FOR SHARE; SELECT topic, partition, next_offset, epoch ... FOR UPDATE": two
// statements for a simple query, inside a transaction; the rows come in lock order. A task row of
// another uid (deleted and created again) shows an epoch newer than any: fenced. If `places` knows
// every range the rows are looked for there alone: one that does not exist() may have moved. Roll
// back then and ask again without.
std::string lock_sql(const Handle& handle, const std::vector<Range>& ranges,
                     const Places& places = {});
// Reads the two Rows that lock_sql's statements returned.
struct Locked {
  bool task_exists = false;
  std::int64_t task_epoch = 0;  // 0 without a task row, as LaneProtocol::locked wants it
  std::vector<Found> rows;      // one for each range, exists = false where there is none
  Places places;                // of those that exist
  bool complete() const;        // all exist
};
Locked read_locked(const postgres::Rows& task, const postgres::Rows& ledger,
                   const std::vector<Range>& ranges);

struct Move {
  Key key;
  std::int64_t from = 0;
  std::int64_t to = 0;
  std::int64_t last_offset = -1;  // of the last record in the range; -1: no record (end only)
  std::int64_t last_timestamp_ms = -1;
  std::uint32_t last_crc32c = 0;                      // record_crc32c() of it
  std::int64_t applied = 0, discarded = 0, dead = 0;  // to be added
};
// One UPDATE that raises an error (22012) unless it hits every row at its expected position and
// epoch. `places` as the transaction's lock returned them: empty, or all of the moves'.
std::string move_sql(const Handle& handle, std::int64_t epoch, const std::vector<Move>& moves,
                     const Places& places = {});
// Reads the Rows of that UPDATE: where its rows are now.
Places read_moved(const postgres::Rows& moved, const std::vector<Move>& moves);

// What is remembered of the last record of a partition, to know its topic again: CRC-32C over key
// and value, null as if empty. Not Kafka's own, which is over a whole batch of records.
std::uint32_t record_crc32c(std::string_view key, std::string_view value);

// The SQL to COPY dead letters in binary, and the order of its columns is DeadLetter's.
std::string dead_letter_copy_sql(const Handle& handle);
struct DeadLetter {
  Key key;
  std::int64_t offset = 0;
  std::int64_t timestamp_ms = -1;
  std::optional<std::string_view> message_key;
  std::optional<std::string_view> value;
  struct Header {
    std::string_view name;
    std::optional<std::string_view> value;
  };
  std::vector<Header> headers;  // kept as two arrays: text[] names, bytea[] values
  std::string reason_class;     // "message", "data"
  std::string code;             // problem name or SQLSTATE
  std::string message;          // full text
  std::string column;
};
// One row of that COPY: appends to `out` in PostgreSQL's binary form (without header and trailer).
void append_dead_letter(const Handle& handle, const DeadLetter& letter, Buffer& out);

// After 55P03 on a ledger row or in raise_epoch: ends the backend that holds ledger rows if it is a
// Sluice session of this task that waits for its client (frozen process): its transaction is older
// than 4 s, it is in mid COPY or idle since 1 s, and three looks within 0.3 s find it at the same
// place. One that works, and anybody else's, is waited for. Runs on a connection of its own. No
// keys: all of the task. Returns whether one was ended. 42501: the error carries the GRANT that
// would help.
Async<Result<bool>> end_stopped_holder(postgres::Connection& connection, Handle handle,
                                       std::vector<Key> keys);

// What was recorded for the task, in order of topic, partition and offset.
Async<Result<std::vector<Gap>>> read_gaps(postgres::Connection& connection, Handle handle);

// "sluice <16 hex of uid> <instance>": how a session of a task is known to others. At most 63 bytes
// of printable ASCII, as PostgreSQL keeps it. "sluice <instance>" before the uid is known.
std::string application_name(const Handle& handle, std::string_view instance);
// "sluice-<task>-<6 hex of uid>"
std::string group_name(const Handle& handle);

// What a role needs that does not own the ledger's schema.
std::string grant_sql(const std::string& schema, const std::string& role);

}  // namespace sluice::ledger
