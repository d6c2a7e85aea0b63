// A model of everything around LaneProtocol, small enough to explore completely: two workers that
// drive the real state machine, a database with transactions and row locks, a group that hands
// partitions over, one operator, and whatever can go wrong between them. Tests only.
//
// A World is a plain value. steps() lists every step that is possible in it, each with the world
// that follows; heal() gives the one step of a fair schedule without faults. What the model takes
// from PostgreSQL: row locks and the share lock of the task row are held until the transaction
// ends; a backend whose client is gone keeps them until the server notices; one that has received
// COMMIT may still commit then. What it makes worse than the real thing: the group may give a
// partition away before its owner knows, and any backend that waits for its client may be ended at
// any time.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ledger/protocol.h"

namespace sluice::ledger::model {

inline constexpr int kWorkers = 2;
inline constexpr int kMaxPartitions = 2;
inline constexpr int kMaxMessages = 3;
inline constexpr int kMaxOrphans = 2;

// What is explored: the size, and how often each thing may happen on one path.
struct Setting {
  int partitions = 1;
  int messages = 2;                // in each partition
  std::int8_t handovers = 0;       // the group gives a partition to the other worker
  std::int8_t losses = 0;          // the connection breaks, between any two steps
  std::int8_t failed_commits = 0;  // the server answers ROLLBACK, or an orphan aborts
  std::int8_t crashes = 0;
  std::int8_t freezes = 0;       // SIGSTOP; SIGCONT follows at any time, or never
  std::int8_t terminations = 0;  // pg_terminate_backend of a backend that waits for its client
  std::int8_t raises = 0;        // pause, edit, halt
  std::int8_t resets = 0;        // to the start, the target emptied
  std::int8_t failovers = 0;     // to a snapshot taken at any earlier time; a restored backup
  std::int8_t restarts = 0;      // of the server: all connections gone, nothing committed lost
  std::int8_t lost_rows = 0;     // somebody deletes a ledger row
};

// Ways to be wrong, to prove that the explorer would see them.
enum class Mutation : std::uint8_t {
  kNone,
  kSkipsPositionCheck,        // writes without looking at the position
  kIgnoresEpochs,             // writes whatever the epoch
  kCountsRollbackAsCommit,    // any answer to COMMIT is taken for success
  kAssumesCommitWhenInDoubt,  // resolves nothing, goes on behind the batch
  kRetriesWhenInDoubt,        // resolves nothing, begins the batch again
  kRowsApartFromLedger,       // rows and position in two transactions
  kRecreatesLostRows,         // a missing ledger row is taken for a new one
  kCountsEpochsByOne,         // a raise after a failover can give an epoch that was there before
  kNeverEndsStoppedHolder,    // waits for a frozen process for ever
};

enum class Phase : std::int8_t {
  kNone,        // no transaction
  kWantsTask,   // waits for the task row's share lock
  kWantsRows,   // has it; waits for its ledger rows
  kLocked,      // has all locks; the rows are on their way to the client
  kWriting,     // the client has judged them, and writes
  kCommitting,  // COMMIT has reached the server
  kAnswered,    // it has ended; the answer is on its way
  kDoomed,      // the client is gone; the server has yet to notice
};

struct Backend {
  Phase phase = Phase::kNone;
  bool committed = false;  // kAnswered: which answer
  bool resolving = false;  // opened to resolve a doubt: reads, then ends
  bool has_share = false;
  std::int8_t rows_locked = 0;  // bit per partition
  std::int8_t batch = 0;        // bit per partition
  std::array<std::int8_t, kMaxPartitions> from{};
  std::array<std::int8_t, kMaxPartitions> to{};
  std::int8_t revision = 0;  // of the lane that opened it
};

enum class Process : std::int8_t { kDead, kRunning, kFrozen };

struct Worker {
  Process process = Process::kDead;
  std::int16_t lane = -1;    // index into Lanes; -1: none
  std::int8_t revision = 0;  // of the task that the lane was started with
};

struct LedgerRow {
  bool exists = false;
  std::int8_t next = 0;
  std::int8_t epoch = 0;
};

// What is committed. `revision` is the truth that epochs stand for: it never repeats.
struct Database {
  std::int8_t epoch = 0;
  std::int8_t revision = 0;
  std::array<LedgerRow, kMaxPartitions> ledger{};
  std::array<std::array<std::int8_t, kMaxMessages>, kMaxPartitions> applied{};  // times
};

enum class Change : std::int8_t { kNone, kRaise, kReset };

struct World {
  Database database;
  bool has_snapshot = false;
  Database snapshot;
  std::array<Worker, kWorkers> workers{};
  std::array<Backend, kWorkers> backends{};         // of each worker
  std::array<Backend, kMaxOrphans> orphans{};       // whose client is gone
  std::array<std::int8_t, kMaxPartitions> owner{};  // as the group says
  Change change = Change::kNone;                    // of the operator
  bool change_has_task = false;                     // holds the task row exclusively
  std::int8_t clock = 0;                            // the newest epoch ever given
  std::int8_t revisions = 0;                        // the newest revision ever given
  Setting left;                                     // what may still happen
};

// A step and where it leads. `violation` is null unless an invariant broke.
struct Step {
  const char* label = "";
  std::int8_t worker = -1;     // who; -1: nobody in particular
  std::int8_t partition = -1;  // of what
  const char* violation = nullptr;
  World world;
};

// The real state machines, each distinct state kept once, and what each event made of it: so the
// explorer pays for LaneProtocol only where it is new.
class Lanes {
 public:
  struct Outcome {
    std::int16_t lane = -1;
    Decision decision;
  };
  std::int16_t start(std::int64_t epoch) { return intern(LaneProtocol(epoch)); }
  const LaneProtocol& at(std::int16_t lane) const {
    return *states_[static_cast<std::size_t>(lane)];
  }
  // Applies `event`; `name` must tell it from every other event.
  template <class Event>
  const Outcome& apply(std::int16_t lane, std::uint64_t name, Event event) {
    const std::uint64_t key = name << 16 | static_cast<std::uint16_t>(lane);
    const auto known = outcomes_.find(key);
    if (known != outcomes_.end()) return known->second;
    LaneProtocol next = at(lane);
    Decision decision = event(next);
    compare(next, decision);
    return outcomes_.emplace(key, Outcome{intern(next), std::move(decision)}).first->second;
  }
  std::size_t distinct() const { return states_.size(); }
  // A decision told the consumer other positions than the lane keeps.
  bool disagreed() const { return disagreed_; }
  const std::set<std::pair<Decision::Kind, Verdict>>& decisions() const { return decisions_; }

 private:
  std::int16_t intern(const LaneProtocol& lane);
  void compare(const LaneProtocol& lane, const Decision& decision);

  std::map<LaneProtocol, std::int16_t> index_;
  std::vector<const LaneProtocol*> states_;
  std::unordered_map<std::uint64_t, Outcome> outcomes_;
  std::set<std::pair<Decision::Kind, Verdict>> decisions_;
  bool disagreed_ = false;
};

// Kinds of events for Lanes::apply: the lowest four bits of their names.
enum Event : std::uint64_t {
  kAssigned = 1,
  kRevoked,
  kBegin,
  kRows,
  kResolved,
  kCommitSent,
  kAnswer,
  kLost,
  kAbandon,
};

inline Key key_of(int partition) { return {"t", partition}; }
inline std::int8_t bit(int partition) { return static_cast<std::int8_t>(1 << partition); }
inline bool has(std::int8_t mask, int partition) { return (mask & bit(partition)) != 0; }

class Model {
 public:
  Model(Setting setting, Mutation mutation) : setting_(setting), mutation_(mutation) {}

  World first() const;
  // Appends every step that is possible now.
  void steps(const World& world, std::vector<Step>& out);
  // One step of a fair schedule in which nothing more goes wrong; false: nothing is left to do.
  bool heal(const World& world, Step& out);
  // Everything is applied once; or a person is rightly waited for, because a ledger row is lost.
  bool finished(const World& world) const;
  // All that decides what can follow, as bytes.
  using Bytes = std::array<char, 160>;
  static std::string_view fingerprint(const World& world, Bytes& bytes);
  const Lanes& lanes() const { return lanes_; }

 private:
  void add(std::vector<Step>& out, const char* label, int worker, int partition, const World& world,
           const char* violation = nullptr) const;
  // Server.
  void server_steps(const World& world, std::vector<Step>& out) const;
  void lock_step(const World& world, int worker, std::vector<Step>& out) const;
  void commit_steps(const World& world, int slot, std::vector<Step>& out) const;
  const char* commit(World& world, const Backend& backend, bool move) const;
  void operator_steps(const World& world, std::vector<Step>& out) const;
  void apply_change(World& world) const;
  bool is_locked(const World& world, int partition) const;
  bool is_shared(const World& world) const;
  const char* broken_invariant(const Database& database) const;
  // Workers.
  void worker_steps(const World& world, int worker, std::vector<Step>& out);
  void lane_steps(const World& world, int worker, std::vector<Step>& out);
  void begin_steps(const World& world, int worker, std::vector<Step>& out);
  void assignment_steps(const World& world, int worker, std::vector<Step>& out);
  void start_lane(World& world, int worker);
  void idle_step(const World& world, int worker, std::vector<Step>& out);
  enum class Amount : std::uint8_t { kNothing, kOneMessage, kEverything };
  void begin(World& world, int worker, int partitions, Amount amount);
  const char* receive_rows(World& world, int worker);
  void write_and_commit(World& world, int worker);
  const char* take_answer(World& world, int worker, bool committed);
  const char* receive_answer(World& world, int worker);
  const char* notice_loss(World& world, int worker);
  const char* apply(World& world, int worker, std::uint64_t event, Decision (*call)(LaneProtocol&));
  const char* false_claim(const World& world, int worker, const std::vector<Range>& batch) const;
  // What goes wrong.
  void fault_steps(const World& world, std::vector<Step>& out);
  void worker_faults(const World& world, int worker, std::vector<Step>& out);
  static bool orphan(World& world, int worker);
  bool is_out_of_date(const World& world, int worker) const;
  const LaneProtocol& lane(const World& world, int worker) const;

  Setting setting_;
  Mutation mutation_;
  Lanes lanes_;
  std::vector<Step> healing_;
};

}  // namespace sluice::ledger::model
