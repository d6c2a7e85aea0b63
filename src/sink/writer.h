// Writer: the one transaction. Owns a lane's PostgreSQL connection and its temporary tables; takes
// a batch and a LaneProtocol through BEGIN, locks, rows, dead letters, ledger and COMMIT, isolates
// bad rows, and finds out what became of a COMMIT that nobody answered.
//
// One lane's thread. apply() and read_positions() are coroutines; never two at once. Destroying one
// that is suspended leaves the connection in an unknown state: call drop() then. The caller decides
// about waiting and retrying: every return says what happened, never sleeps.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/async.h"
#include "base/failure.h"
#include "ledger/ledger.h"
#include "ledger/protocol.h"
#include "postgres/connection.h"
#include "sink/batch.h"
#include "sink/breaker.h"
#include "sink/compaction.h"
#include "sink/merge.h"
#include "sink/plan.h"
#include "sink/structure.h"

namespace sluice::sink {

// How much longer than the server's own timeouts the client waits: those come with a reason.
inline constexpr std::chrono::seconds kServerPatience{30};

struct WriterConfig {
  std::function<Result<std::string>()> conninfo;  // read again at every reconnect
  std::string instance;                           // names this process and lane in application_name
  ledger::Handle handle;
  // Without one (delivery: at_least_once) a batch stands where the caller says, and one whose
  // COMMIT nobody answered counts as not applied.
  bool ledger = true;
  task::OnFailure on_failure = task::OnFailure::kRetain;
  Classify classify = nullptr;
  std::chrono::milliseconds connect_timeout{10'000};
  std::chrono::milliseconds statement_timeout{300'000};  // each statement; the server's, SET LOCAL
};

// What became of apply().
struct Outcome {
  enum class Kind : std::uint8_t {
    kApplied,     // committed; `tally` counts it
    kRetry,       // not applied, or not known: call apply() again with the same batch, after what
                  // `failure` calls for (kEnvironment, kConflict: wait; kPlan: compile anew first)
    kReposition,  // the batch is void; go on from `decision.positions`
    kStop,        // the lane ends: `decision.verdict`, or `error` with class kFatal or the breaker
  };
  Kind kind = Kind::kRetry;
  FailureClass failure = FailureClass::kEnvironment;
  Error error;
  Phase phase = Phase::kOpen;
  std::vector<std::size_t> tables;  // kPlan: those of the batch whose plans may be old
  ledger::Decision decision;
};

// Rows that an update has made without values that the source did not send (TOAST).
struct Incomplete {
  std::int64_t rows = 0;
  // One of them.
  std::uint32_t record = 0;
  std::string table;  // quoted
  std::string column;
};

// Exact figures of one committed batch.
struct Tally {
  std::int64_t written = 0;  // rows: inserts and upserts, one for each message
  std::int64_t deleted = 0;
  // Tombstones that the task ignores, and rows that were there already (insert_ignore) or were not
  // (update).
  std::int64_t ignored = 0;
  std::int64_t discarded = 0;
  std::int64_t dead = 0;
  Incomplete incomplete = {};
  std::optional<std::int64_t> swept = {};  // rows; set at the end of a snapshot (sync.sweep)
  // Policy retain: partitions that were cut, by index into Batch::partitions, each with the
  // failure.
  struct Cut {
    std::uint16_t partition = 0;
    std::int64_t offset = 0;
    Error error;
  };
  std::vector<Cut> cuts;
};

// Figures of a transaction apart from the task's positions.
struct Apart {
  std::int64_t written = 0;  // rows
  std::int64_t deleted = 0;  // keys
  // Of upserts: distinct keys of a batch that the table had before, and that it had not.
  std::int64_t keys_there = 0;
  std::int64_t keys_new = 0;
  std::int64_t wal_bytes = 0;  // of the whole server meanwhile; of a rehearsal only
};

class Writer {
 public:
  explicit Writer(WriterConfig config);

  // The batch's failures may grow (rows that PostgreSQL refused). On kApplied `tally` is set.
  Async<Outcome> apply(Batch& batch, Records& records, ledger::LaneProtocol& protocol,
                       Breaker& breaker, Tally& tally);

  // The ledger rows of `keys`, read under their locks: whoever held them has ended. For partitions
  // that were assigned, and for positions that are unknown after abandon().
  struct Positions {
    bool task_exists = false;
    std::int64_t task_epoch = 0;
    std::vector<ledger::Found> rows;
  };
  Async<Result<Positions>> read_positions(std::vector<ledger::Key> keys);

  // The catalog as it is now. `may_make`: a table that is not there is one that is to be made.
  Async<Result<postgres::TableInfo>> read_table(postgres::TableName name, bool may_make);
  // Gives the table what is asked for, as far as `schema_changes` allows it: in a transaction of
  // its own, one process and lane at a time. Whoever comes second finds it done.
  struct Altered {
    postgres::TableInfo table;  // as it is now
    std::vector<Alteration> done;
  };
  Async<Result<Altered>> alter(postgres::TableName name, postgres::Oid oid, Demand demand,
                               task::SchemaChanges schema_changes);
  Async<Result<bool>> add_partitions(std::int64_t epoch,
                                     std::map<std::string, ledger::TopicState> topics,
                                     std::map<ledger::Key, std::int64_t> start);

  // A transaction apart from the task's positions: begin_apart(), then write_apart() for each
  // batch, as apply() would write it, then one of the two ends. No ledger, no dead letters, no
  // policy (on_failure must be kDiscard): bad rows go into the batch's failures, the others are
  // written. In between the caller may use active() for statements of its own. Errors are the
  // server's; after one only drop() makes sense.
  Async<Result<bool>> begin_apart(const task::Task& task);
  Async<Result<bool>> write_apart(Batch& batch, const Records& records);
  Async<Result<Apart>> roll_back_apart();
  // An error of the connection leaves it in doubt: what the caller wrote besides must tell.
  Async<Result<Apart>> commit_apart();

  // Blocking: runs one of the coroutines above, or one on active(), to its end. Where no loop is.
  template <class T>
  T drive(Async<T> async) {
    async.start();
    while (!async.done()) active().wait_once();
    return async.take();
  }

  // Closes the socket at once; whatever was open is rolled back by the server, or in doubt.
  void drop();
  bool connected() const { return connection_.is_open(); }
  std::int64_t connects() const { return connects_; }  // sessions opened so far
  // Between a COMMIT sent and its answer.
  bool awaiting_commit() const { return awaiting_commit_; }

  // For the lane's loop: the socket that is waited for now (see postgres::Connection).
  postgres::Connection& active() { return rescuing_ ? rescue_ : connection_; }

 private:
  struct Failed {  // why a step ended
    Error error;
    Phase phase = Phase::kOpen;
    // The record whose row the server's message points at: a hint.
    std::optional<std::uint32_t> record;
  };
  using Step = tl::expected<bool, Failed>;
  // How a batch is written, each after the one before it has met a data error.
  enum class Care : std::uint8_t {
    kNone,    // as one
    kRows,    // in pieces, until every row that is refused at once stands alone
    kPieces,  // as kRows, and deferred constraints are checked piece by piece
  };

  Async<Result<bool>> connect();
  Async<Outcome> settle_doubt(std::vector<ledger::Range> ranges, ledger::LaneProtocol& protocol);
  Async<Outcome> attempt(Batch& batch, Records& records, ledger::LaneProtocol& protocol,
                         Breaker& breaker, Tally& tally, Care care);
  Async<Result<bool>> open(const Batch& batch, const std::vector<std::size_t>& used,
                           std::int64_t epoch, ledger::Locked& locked,
                           std::optional<std::size_t>& altered);
  std::string begin_sql(bool by_index, const std::string& time_zone) const;
  Async<Step> prepare_stages(const Batch& batch, const std::vector<std::size_t>& used, bool stay);
  static void count(const Row& row, Tally& tally);
  Async<Step> count_keys(const Plan& plan);
  // Of the records [from, to), each table's rows after the other's.
  Async<Step> write_records(Batch& batch, std::size_t from, std::size_t to);
  Async<Step> write_piece(TableRows& rows, const Plan& plan, std::size_t from, std::size_t to);
  Async<Result<Altered>> alter_open(postgres::TableName name, postgres::Oid oid, Demand demand,
                                    task::SchemaChanges schema_changes);
  Async<Step> write_range(TableRows& rows, const Plan& plan, std::size_t from, std::size_t to);
  Async<Step> copy_shape(TableRows& rows, const Plan& plan, std::uint16_t shape);
  Async<Step> stage_shape(TableRows& rows, const Plan& plan, std::uint16_t shape);
  Async<Step> fill_stage(const TableRows& rows, std::string table, std::string columns,
                         std::int64_t& bytes);
  Async<Step> stage_rows(const TableRows& rows, const Plan& plan, std::string columns);
  Async<Step> delete_keys(TableRows& rows, const Plan& plan);
  Async<Step> write_turns(TableRows& rows, const Plan& plan, std::size_t from, std::size_t to);
  static tl::unexpected<Failed> missing_row(const Plan& plan);
  static std::size_t end_of_alike(const TableRows& rows, std::size_t from, std::size_t to);
  static std::size_t end_of_given(const TableRows& rows, std::size_t from, std::size_t to);
  // writer_change.cc
  Async<Step> write_changes(TableRows& rows, const Plan& plan, std::size_t from, std::size_t to);
  Async<Step> write_alike(TableRows& rows, const Plan& plan, std::size_t from, std::size_t to);
  Async<Step> write_moves(const TableRows& rows, const Plan& plan, std::size_t from,
                          std::size_t to);
  Async<Step> write_equal(const TableRows& rows, const Plan& plan, const Row& row);
  Async<Step> truncate(const Plan& plan, const Row& row);
  Async<Step> sweep(const Plan& plan, const Row& row);
  // writer_merge.cc
  Async<Step> merge_piece(TableRows& rows, const Plan& plan, std::size_t from, std::size_t to);
  Async<Step> copy_new(TableRows& rows, const Plan& plan);
  Async<Step> merge_runs(TableRows& rows, const Plan& plan, std::size_t from, std::size_t to);
  Async<Step> merge_newer(TableRows& rows, const Plan& plan, std::size_t from, std::size_t to);
  Async<Step> merge_unsent(TableRows& rows, const Plan& plan);
  Async<Step> note_incomplete(const TableRows& rows, const Plan& plan);
  void note_incomplete(const TableRows& rows, const Plan& plan, const Row& row);
  Async<Step> merge_shapes(TableRows& rows, const Plan& plan);
  Async<Step> merge_staged(TableRows& rows, const Plan& plan, Pick pick);
  Async<tl::expected<std::int64_t, Failed>> merge_each(const TableRows& rows, const Plan& plan,
                                                       Staged staged);
  Async<tl::expected<postgres::Rows, Failed>> ask(std::string sql);
  Async<Step> copy_rows(std::string sql, const TableRows& rows, std::string relation);
  Async<Step> execute(std::string sql);
  Async<Step> write_isolated(Batch& batch, const Records& records, Breaker& breaker, Care care);
  Async<Step> empty_stage(std::string table, std::int64_t& bytes);
  Async<Step> write_dead_letters(const Batch& batch, Records& records);
  Async<Outcome> commit(Batch& batch, Records& records, ledger::LaneProtocol& protocol,
                        Tally& tally);
  Async<bool> roll_back();
  Async<bool> end_stopped_holder(std::vector<ledger::Key> keys);
  Outcome retry(Error error, Phase phase);
  static bool waits(const Batch& batch, const Row& row, const Error& error);
  static void set_aside(Batch& batch, const Row& row, Error error, const Records& records);
  static void end_partition(Batch& batch, const Row& row, const Records& records);
  void remember(const Batch& batch, const Breaker& breaker);
  void restore(Batch& batch, Breaker& breaker) const;
  // Takes a bad row out of the batch; false when the breaker opens.
  bool take_out(Batch& batch, Row& bad, Error error, Breaker& breaker,
                const Records& records) const;

  WriterConfig config_;
  postgres::Connection connection_;
  postgres::Connection rescue_;  // ends a stopped holder while connection_ waits for nothing
  std::int64_t connects_ = 0;
  bool rescuing_ = false;
  bool awaiting_commit_ = false;

  ledger::Places places_;  // of ledger rows, as this session left them

  // What is remembered of one of the task's tables.
  struct Habits {
    // The temporary tables of this session: the DDL they were made by; empty if there are none.
    std::string stage_ddl;
    std::int64_t stage_bytes = 0;  // written since the last TRUNCATE
    std::int64_t delete_stage_bytes = 0;
    std::int64_t move_stage_bytes = 0;
    // New rows of a mirror go into the table without the stage, as long as that is what they are.
    bool copies_new = false;     // in this attempt
    int merge_batches = 0;       // so many are merged before it is tried again
    int last_merge_batches = 0;  // as many as after the last row that was there already
  };
  std::vector<Habits> habits_;  // by number of the table
  std::size_t writing_ = 0;     // the table whose rows are being written
  // Tables that refer to others: written behind all others, the last one last.
  std::vector<std::size_t> last_tables_;
  Habits& habit() { return habits_[writing_]; }

  // What an attempt changes besides the database, as it was before: the next one starts from there.
  struct Before {
    std::vector<Failure> failures;
    std::vector<std::int64_t> cuts;
    std::optional<Breaker> breaker;
  };
  Before before_;
  std::optional<std::uint32_t> hint_;  // Failed::record of the attempt with Care::kNone

  std::optional<Apart> apart_;         // while such a transaction is under way
  std::string apart_from_;             // where the WAL was when it began
  std::vector<std::size_t> apart_of_;  // tables that it has locked and compared

  std::vector<bool> may_wait_;  // of this attempt, by partition of the batch: PartitionRange's

  // Scratch of one range, kept for its memory.
  Compaction compaction_;     // what is left of the range's changes, by key
  std::vector<Row> merging_;  // what goes to the stage together
  std::int64_t ignored_ = 0;  // messages of this attempt that left the table as it is
  Incomplete incomplete_;
  std::optional<std::int64_t> swept_;
  std::vector<std::uint32_t> sent_;  // the records of one COPY, in the order sent
  std::vector<std::string_view> slices_;
  Buffer gathered_;
};

}  // namespace sluice::sink
