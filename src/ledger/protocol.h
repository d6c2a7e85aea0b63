// The exactly-once protocol of one lane as a pure state machine: no I/O, no clock, no threads.
// ledger/ledger.h does the SQL that it asks for; pipeline's lane and sink's transaction drive it; a
// unit test explores every interleaving of two lanes and one operator over it. See
// docs/delivery.md.
//
//            begin()          locked(): go            commit_sent()
//   kIdle ----------> kLocking ------------> kWriting -------------> kCommitting
//     ^  ^               |  stale              | connection_lost()      |        |
//     |  '---------------'---------------------'------------------------'        | no answer
//     |                         resolved()                                       v
//     '---------------------------------------------------------------------- kInDoubt
//   any verdict that ends the lane -> kStopped, and every later event is answered with that verdict
//
// A partition that is revoked while a batch with it is in flight is detached from that batch: the
// batch may still commit (the ledger decides), but it no longer moves the lane's position, not even
// if the partition is assigned again meanwhile. The lane's position is always the one that its
// consumer was told.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::ledger {

struct Key {
  std::string topic;
  std::int32_t partition = 0;
  auto operator<=>(const Key&) const = default;
};

// Offsets [from, to) of one partition: `from` is the previous `to`; `to` is the consumer's
// position, which passes transaction markers and compacted gaps.
struct Range {
  Key key;
  std::int64_t from = 0;
  std::int64_t to = 0;
  auto operator<=>(const Range&) const = default;
};

// One ledger row as read under its lock; exists is false where there is none.
struct Found {
  Key key;
  bool exists = false;
  std::int64_t next_offset = 0;
  std::int64_t epoch = 0;
};

enum class Verdict : std::uint8_t {
  kExpected,  // position and epoch are those the lane knows
  kAhead,     // somebody applied it: drop what is stale, go on from there
  kBehind,    // the target went back in time (failover, restored backup): go back with it; an event
  kFenced,    // a newer epoch: these lanes end, the task is read again
  kLost,      // the row is missing although the partition was known: stop, never re-create silently
  kGoneBack,  // an epoch older than ours: the target went back in time beyond the task's last edit
};
std::string_view name_of(Verdict verdict);

enum class State : std::uint8_t { kIdle, kLocking, kWriting, kCommitting, kInDoubt, kStopped };

// What the answer to COMMIT means. Only the command tag COMMIT counts as committed: after a failed
// statement PostgreSQL answers ROLLBACK without an error.
enum class CommitAnswer : std::uint8_t { kCommitted, kRolledBack, kUnknown };
// tag: the command tag if the server answered; otherwise empty with severity and sqlstate of the
// error, both empty if the connection broke. Severity ERROR means rolled back; FATAL, PANIC, class
// 08, 57P0x, a pooler's own error or silence mean unknown; so do the classes 58 and XX, whoever
// sent them: to be in doubt needlessly costs one look at the ledger, to be sure wrongly costs rows.
CommitAnswer classify_commit(std::string_view tag, std::string_view severity,
                             std::string_view sqlstate);

struct Decision {
  enum class Kind : std::uint8_t {
    kGo,          // write the rows
    kDone,        // the batch is applied; positions moved to its ends
    kRetry,       // the batch is not applied; apply the same ranges again
    kReposition,  // drop the batch; seek each partition of `positions`
    kStop,        // the lane ends with `verdict`
  };
  Kind kind = Kind::kGo;
  Verdict verdict = Verdict::kExpected;
  Key key;  // the partition that decided, for kReposition and kStop
  // kReposition: where each partition of the batch that is still assigned goes on. kDone and
  // assigned(): where they are.
  std::map<Key, std::int64_t> positions;
  auto operator<=>(const Decision&) const = default;
};

// Owned by a lane, used by its thread alone. Copyable; two that compare equal behave alike. Calls
// that make no sense in the present state (begin() in mid batch) end the process: they are mistakes
// of the program, and what they would write is unknown.
class LaneProtocol {
 public:
  explicit LaneProtocol(std::int64_t epoch) : epoch_(epoch) {}

  State state() const { return state_; }
  std::int64_t epoch() const { return epoch_; }
  // The next offset of an assigned partition; nullopt if it is not assigned (or revoked since).
  std::optional<std::int64_t> position(const Key& key) const;
  // The ranges in flight as begin() and cut() left them, in lock order; empty in kIdle and
  // kStopped.
  const std::vector<Range>& batch() const { return batch_; }
  // Whether a partition of the batch in flight was revoked since begin().
  bool batch_has_revoked() const { return !detached_.empty(); }

  // A partition was assigned and its ledger row read. kGo, or kStop if the row is missing (kLost)
  // or of another epoch.
  Decision assigned(const Found& row);
  // A partition was taken away: position() is nullopt from now on. A batch with it goes on.
  void revoked(const Key& key);

  // kIdle -> kLocking. Every range must start at the lane's position of an assigned partition; each
  // partition at most once. from == to is allowed (a look: nothing moves).
  void begin(std::vector<Range> batch);
  // The task row's epoch (0: there is no task row) and the ledger rows of the batch, read under
  // their locks. kGo, kReposition or kStop.
  Decision locked(std::int64_t task_epoch, const std::vector<Found>& rows);
  // The batch was cut (policy retain): it ends earlier than begin() said. Only in kWriting.
  void cut(const Key& key, std::int64_t to);
  void commit_sent();
  // kCommitting -> kIdle (kDone, kRetry) or kInDoubt (kGo: the caller reconnects and reads).
  Decision commit_answered(CommitAnswer answer);
  // The transaction ended without a COMMIT, by whatever error; nothing was applied.
  // kLocking, kWriting: kRetry, or kReposition if a partition of the batch was revoked meanwhile.
  // kCommitting, kInDoubt: as commit_answered(kUnknown). kIdle: kGo.
  Decision connection_lost();
  // kInDoubt: the rows read FOR UPDATE on a new connection, so the old backend has ended.
  // kDone, kRetry, kReposition or kStop.
  Decision resolved(std::int64_t task_epoch, const std::vector<Found>& rows);
  // Gives the batch up (revoked beyond patience, shutdown): positions stay as they were.
  void abandon();

  auto operator<=>(const LaneProtocol&) const = default;

 private:
  // The verdicts that end the lane; nullopt: none of them.
  std::optional<Decision> verdict_of_epochs(std::int64_t task_epoch,
                                            const std::vector<Found>& rows) const;
  Decision judge_in_doubt(const std::vector<Found>& rows);
  Decision done();
  Decision not_applied();
  Decision reposition(const std::vector<Found>& rows);
  Decision stop(Decision decision);
  void end_batch();

  std::int64_t epoch_;
  State state_ = State::kIdle;
  std::map<Key, std::int64_t> positions_;
  std::vector<Range> batch_;
  std::set<Key> detached_;  // partitions of batch_ that were revoked since begin()
  Decision stopped_;        // why, once kStopped
};

}  // namespace sluice::ledger
