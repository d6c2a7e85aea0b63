// Lane: one thread with its share of a task's partitions, one Kafka consumer (a member of the
// group) and one PostgreSQL connection. Nothing on its way from Kafka to COPY is shared or locked.
//
// Its loop is one poll(2) over the consumer's wake-up, PostgreSQL's socket and a stop signal. While
// PostgreSQL works on one batch the next accumulates; an idle lane writes at once, and rests for as
// long as a small batch took before the next (10 ms at most). It goes on serving the group while
// PostgreSQL hangs. The ledger decides about every position: see docs/delivery.md.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/failure.h"
#include "base/histogram.h"
#include "base/result.h"
#include "kafka/consumer.h"
#include "ledger/ledger.h"
#include "ledger/protocol.h"
#include "pipeline/record_list.h"
#include "sink/batch.h"
#include "sink/batch_builder.h"
#include "sink/writer.h"
#include "task/task.h"

namespace sluice::pipeline {

inline ledger::Key key_of(const kafka::TopicPartition& partition) {
  return {partition.topic, partition.partition};
}
inline kafka::TopicPartition partition_of(const ledger::Key& key) {
  return {key.topic, key.partition};
}

// What a lane needs to know; shared by all lanes of one run, immutable while they live.
struct LaneConfig {
  std::shared_ptr<const task::Task> task;
  sink::WriterConfig writer;
  kafka::ConsumerConfig consumer;
  std::int64_t epoch = 0;
  // Without a ledger: where a partition begins if the group has committed less, or nothing.
  std::map<ledger::Key, std::int64_t> positions;
  std::map<std::string, ledger::TopicState> topics;  // as the ledger knows them
  postgres::TableInfo table;  // as it was when the run began; none for a task of many
  std::shared_ptr<const postgres::TimeZone> zone;  // of sync.time_zone; nullptr for UTC
  std::int64_t batch_bytes = 16 << 20;             // messages held for one batch
};

// Figures since the lane began, and what it is doing. Copied under a lock once a batch.
struct LaneFigures {
  sink::Tally tally;  // sums; cuts stays empty
  std::int64_t batches = 0;
  std::int64_t bytes = 0;  // keys and values of applied messages
  // Of what was discarded or became a dead letter: by who refused it.
  std::int64_t failed_message = 0;
  std::int64_t failed_data = 0;
  TimeHistogram commit_seconds;   // from BEGIN to the answer to COMMIT, of batches with messages
  TimeHistogram latency_seconds;  // from a message's timestamp to its commit
  std::int64_t connects = 0;      // sessions of PostgreSQL opened
  std::int64_t alterations = 0;   // statements that altered the target, or made it
  int partitions = 0;             // assigned now
  std::string retrying;           // why the lane waits; empty while it does not
  FailureClass retry_class = FailureClass::kEnvironment;
  // When the first message was taken from Kafka, and when the last batch with messages was
  // committed.
  std::optional<std::chrono::steady_clock::time_point> first_taken, last_applied;

  // Sums of both; what a lane is doing just now is left out.
  void add(const LaneFigures& more);
};

// Why a lane ended.
struct LaneEnd {
  enum class Kind : std::uint8_t {
    kStopped,  // as asked
    kHalted,   // policy retain: `key`, `offset`, `error`, `excerpt`
    kFenced,   // a newer epoch: read the task again
    kGap,      // `error`: Kafka does not have what comes next (retention, topic gone): look again
    kFailed,   // `error`
  };
  Kind kind = Kind::kStopped;
  Error error;
  ledger::Key key;
  std::int64_t offset = -1;
  std::string excerpt;  // of the halting message's value: for people, never for logs
};

class Lane {
 public:
  // Starts the thread. `ended` is called on it once, as its last act; it must only signal.
  Lane(const LaneConfig& config, int number, std::function<void()> ended);
  // Asks for the end and waits for it.
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // Commits the batch in flight, drops the rest, leaves the group; at most 8 s. Any thread.
  void stop();
  LaneFigures figures() const;         // any thread
  std::optional<LaneEnd> end() const;  // any thread; set once it has ended

 private:
  static constexpr int kChunk = 500;  // records taken before sockets are looked at again
  static constexpr std::chrono::milliseconds kEndOnlyPeriod{1'000};  // moves without a row

  struct PartitionState {
    std::int64_t next = 0;   // behind the last offset put into a batch
    bool maybe_more = true;  // its queue was not seen empty since the last wake-up
    bool ended = false;      // cut: nothing more is taken
    // lane_wait.cc: a row that other partitions may mend.
    std::int64_t applied_timestamp_ms = -1;  // of the last message that was applied
    std::int64_t waits_at = -1;              // the row's offset
    bool last_try = false;                   // what could mend it was applied
    std::chrono::steady_clock::time_point waits_since;
    std::chrono::steady_clock::time_point waits_until;      // nothing is taken
    std::chrono::steady_clock::time_point impatient_until;  // such rows are not waited for
    std::int64_t guesses_at = -1;  // a message whose types another partition may say
  };
  struct Side {
    sink::Batch batch;
    RecordList records;
    std::vector<std::int64_t> timestamps_ms;  // of its messages
    std::int64_t bytes = 0;                   // keys and values of its messages
    std::int64_t held = 0;                    // what of them is in memory
    bool closed = false;                      // takes no more: full, or cut
    std::chrono::steady_clock::time_point opened;
    Side() : records(batch) {}
    void clear();
    bool has_messages() const { return records.size() > 0; }
  };

  void run();
  Result<bool> set_up();
  void loop();
  int wait_ms() const;
  void serve_control();
  void handle_control();
  bool release(const std::vector<kafka::TopicPartition>& partitions, bool lost);
  static const sink::PartitionRange* range_of(const Side& side, const ledger::Key& key);
  static bool holds(const Side& side, const std::vector<kafka::TopicPartition>& partitions);
  void fill();
  bool fill_partition(const ledger::Key& key, PartitionState& state);
  void take(const ledger::Key& key, PartitionState& state, kafka::Record record);
  void handle_event(const ledger::Key& key, PartitionState& state,
                    const kafka::PartitionEvent& event);
  bool full() const;
  bool due() const;
  bool look_due() const;
  void look();
  void start_work();
  void finish_work();
  void finish_apply(sink::Outcome outcome);
  void applied();
  void stop_at(sink::Stop stop);
  void count_applied();
  void finish_positions(Result<sink::Writer::Positions> result);
  void finish_plan(Result<postgres::TableInfo> result);
  void go_on_behind_cuts();
  void finish_altering(Result<sink::Writer::Altered> result);
  Result<bool> compile(std::size_t number, postgres::TableInfo table);
  void take_back(const ledger::Key& key, PartitionState& state, sink::PartitionRange& range,
                 const sink::PartitionRange& before);
  void read_table(std::size_t number);
  void refuse_table(Error error);
  void let_wait(sink::Batch& batch);
  bool wait_for_others();
  bool wait_for_structure(const sink::Stop& stop);
  bool others_passed(const ledger::Key& key, std::int64_t timestamp_ms) const;
  std::size_t partitions_of_task() const;
  void retry_later(const Error& error, FailureClass failure, Phase phase);
  void start_positions(std::vector<ledger::Key> keys);
  Result<sink::Writer::Positions> positions_of_group(const std::vector<ledger::Key>& keys);
  void add_new_partitions(const std::vector<ledger::Key>& keys);
  void assign(const std::vector<ledger::Found>& rows);
  void drop_batches();
  void seek_to_ledger();
  void drop_work();
  void abandon();
  void end_with(LaneEnd end);
  void end_failed(Error error);
  void begin_stop();
  void report_failures();
  void report_incomplete();
  void commit_group_offsets(bool now);
  void publish();
  bool working() const;

  const LaneConfig& config_;
  const int number_;
  const std::function<void()> on_end_;
  std::map<std::string, ledger::TopicState> topics_;

  std::unique_ptr<kafka::Consumer> consumer_;
  std::unique_ptr<sink::Writer> writer_;
  std::optional<sink::BatchBuilder> builder_;
  ledger::LaneProtocol protocol_;
  sink::Breaker breaker_;
  std::uint64_t sequence_ = 0;

  std::map<ledger::Key, PartitionState> partitions_;
  std::map<ledger::Key, std::int64_t> group_offsets_;  // applied and not yet told to the group
  std::chrono::steady_clock::time_point group_offsets_at_;
  std::deque<kafka::ControlEvent> control_;
  std::optional<std::chrono::steady_clock::time_point> release_by_;
  bool assign_waits_ = false;       // the head of control_ waits for its positions
  bool positions_unknown_ = false;  // after abandon(): read them before anything else

  std::unique_ptr<Side> filling_;
  std::unique_ptr<Side> in_flight_;
  bool retry_in_flight_ = false;  // in_flight_ holds a batch that is to be applied again
  std::chrono::steady_clock::time_point applying_since_;
  std::chrono::steady_clock::time_point rest_until_;  // after a batch
  std::chrono::steady_clock::time_point end_only_at_;
  std::chrono::steady_clock::time_point looked_at_;  // the last batch or look
  std::int64_t row_limit_ = 0;  // of a batch; halved by statement timeouts, grows again

  // At most one of these runs at a time: they share the connection.
  Async<sink::Outcome> applying_;
  Async<Result<sink::Writer::Positions>> positioning_;
  Async<Result<postgres::TableInfo>> planning_;
  Async<Result<bool>> adding_;
  Async<Result<sink::Writer::Altered>> altering_;
  sink::Tally tally_;
  std::vector<ledger::Key> positions_for_;
  std::vector<std::size_t> stale_;      // tables to be read again before anything else
  std::size_t reading_ = 0;             // the table that planning_ reads
  std::optional<sink::Demand> demand_;  // what a table is to be given before anything else
  std::size_t demand_table_ = 0;
  std::string alter_error_;  // the last one that may pass by itself
  std::string last_demand_;  // what was asked for, and where: twice is fatal
  std::string plan_error_;   // code and signature of the last plan error: twice is fatal

  std::chrono::steady_clock::time_point retry_at_;
  std::optional<std::chrono::steady_clock::time_point> failing_since_;
  int retries_ = 0;
  std::chrono::steady_clock::time_point last_use_;
  std::chrono::steady_clock::time_point last_sample_;
  std::chrono::steady_clock::time_point last_incomplete_;  // logged

  bool stopping_ = false;
  std::chrono::steady_clock::time_point stop_by_;
  bool done_ = false;

  std::vector<kafka::Record> polled_;

  mutable std::mutex mutex_;  // figures_ and end_
  LaneFigures figures_;
  std::optional<LaneEnd> end_;

  int stop_fd_ = -1;
  std::thread thread_;
};

}  // namespace sluice::pipeline
