// The exactly-once protocol of one lane as a pure state machine: no I/O, no clock, no threads.
// ledger/ledger.h does the SQL that it asks for; pipeline's lane and sink's transaction drive it; a
// unit test explores every interleaving of two lanes and one operator over it. See docs/delivery.md.
//
//            begin()          locked(): go            commit_sent()
//   kIdle ----------> kLocking ------------> kWriting -------------> kCommitting
//     ^  ^               |  stale              | rolled_back()          |        |
//     |  '---------------'---------------------'------------------------'        | no answer
//     |                         resolved()                                       v
//     '---------------------------------------------------------------------- kInDoubt
//   any verdict that ends the lane -> kStopped
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::ledger {

struct Key {
  std::string topic;
  std::int32_t partition = 0;
  auto operator<=>(const Key&) const = default;
};

// Offsets [from, to) of one partition: `from` is the previous `to`; `to` is the consumer's position,
// which passes transaction markers and compacted gaps.
struct Range {
  Key key;
  std::int64_t from = 0;
  std::int64_t to = 0;
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
// 08, 57P0x, a pooler's own error or silence mean unknown.
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
  Key key;                                 // the partition that decided, for kReposition and kStop
  std::map<Key, std::int64_t> positions;   // kReposition: where each partition of the batch goes on
};

class LaneProtocol {
 public:
  explicit LaneProtocol(std::int64_t epoch) : epoch_(epoch) {}

  State state() const { return state_; }
  std::int64_t epoch() const { return epoch_; }
  // The next offset of an assigned partition; nullopt if it is not assigned.
  std::optional<std::int64_t> position(const Key& key) const;

  // A partition was assigned and its ledger row read.
  Decision assigned(const Found& row);
  // A partition was taken away. While a batch with it is in flight this only marks it.
  void revoked(const Key& key);

  // kIdle -> kLocking. Every range must start at the lane's position of an assigned partition.
  void begin(std::vector<Range> batch);
  // The task row's epoch and the ledger rows of the batch, read under their locks.
  Decision locked(std::int64_t task_epoch, const std::vector<Found>& rows);
  // The batch was cut (policy retain): it ends earlier than begin() said. Only in kWriting.
  void cut(const Key& key, std::int64_t to);
  void commit_sent();
  // kCommitting -> kIdle (kDone, kRetry) or kInDoubt (kGo: the caller reconnects and reads).
  Decision commit_answered(CommitAnswer answer);
  // kLocking, kWriting: the transaction ended without a COMMIT; nothing was applied (kRetry).
  // kCommitting: as commit_answered(kUnknown).
  Decision connection_lost();
  // kInDoubt: the rows read FOR UPDATE on a new connection, so the old backend has ended.
  Decision resolved(std::int64_t task_epoch, const std::vector<Found>& rows);
  // Gives the batch up (revoked beyond patience, shutdown): positions stay as they were.
  void abandon();

 private:
  Decision judge(std::int64_t task_epoch, const std::vector<Found>& rows, bool in_doubt);

  std::int64_t epoch_;
  State state_ = State::kIdle;
  std::map<Key, std::int64_t> positions_;
  std::vector<Range> batch_;
};

}  // namespace sluice::ledger
