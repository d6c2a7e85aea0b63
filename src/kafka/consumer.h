// Consumer: one member of a consumer group. librdkafka stays inside.
//
// Threading: one Consumer belongs to one lane's thread; every call is made there. Nothing blocks
// except close(). wake_fd() becomes readable when any of its queues has something (one wake-up a
// period: drain_wake() first, then poll until empty).
//
// Back-pressure: every assigned partition has a queue of its own; the control queue (rebalances,
// errors) is served by poll_control() however full the lane is, a partition's queue only when the
// lane calls poll(). What librdkafka fetches ahead is bounded by queue_bytes over all partitions.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sluice::kafka {

struct TopicPartition {
  std::string topic;
  std::int32_t partition = 0;
  auto operator<=>(const TopicPartition&) const = default;
};

// A record held by the lane. Owns librdkafka's message; its views are valid while it lives. Moving
// is cheap and allocates nothing. Must not outlive its Consumer.
class Record {
 public:
  Record() = default;
  explicit Record(void* native) : native_(native) {}
  Record(Record&& other) noexcept : native_(std::exchange(other.native_, nullptr)) {}
  Record& operator=(Record&& other) noexcept;
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;
  ~Record();

  std::int32_t partition() const;
  std::int64_t offset() const;
  std::int64_t timestamp_ms() const;  // -1: none
  std::string_view key() const;
  bool key_null() const;
  std::string_view value() const;
  bool value_null() const;
  struct HeaderView {
    std::string_view name;
    std::string_view value;
    bool null = false;
  };
  // Appends to `headers` (cleared first); parsed on first use.
  void headers(std::vector<HeaderView>& headers) const;

 private:
  void* native_ = nullptr;
};

struct ConsumerConfig {
  std::map<std::string, std::string> properties;  // of the task; checked by check_properties()
  std::string group;
  std::string client_id;
  std::int64_t queue_bytes = 16 << 20;  // fetched ahead over all partitions of this consumer
  int partitions = 1;                   // how many partitions to share them among, as far as known
  // The ids (base64) of the topics that the positions are of, as far as known; a topic that is not
  // among them is the one that is there when its partition is assigned.
  std::map<std::string, std::string> topic_ids;
};

// What the control queue brought. Rebalances are requests: assign() or unassign() answers them,
// later if need be; meanwhile poll_control() goes on being called.
struct ControlEvent {
  enum class Kind : std::uint8_t {
    kAssign,  // partitions wanted by the group for this member
    kRevoke,  // partitions to give up; answer with unassign()
    kLost,    // as kRevoke, but they are already somebody else's
    kError,   // an error of the client: code, whether fatal
  };
  Kind kind = Kind::kError;
  std::vector<TopicPartition> partitions;
  Error error;
  bool fatal = false;
};

// What a partition's queue brought besides records.
struct PartitionEvent {
  enum class Kind : std::uint8_t {
    kEnd,            // nothing more for now; `offset` is the position, past markers and gaps
    kOffsetInvalid,  // the position is outside the log: retention, truncation, or another topic
    kError,
  };
  Kind kind = Kind::kEnd;
  std::int64_t offset = -1;
  Error error;
};

class Consumer {
 public:
  static Result<std::unique_ptr<Consumer>> create(const ConsumerConfig& config);
  virtual ~Consumer() = default;

  // Names, or ^regex.
  virtual Result<bool> subscribe(const std::vector<std::string>& topics) = 0;
  // Instead of subscribe(), once: reads these partitions from these offsets without joining the
  // group, beside whoever is in it.
  virtual Result<bool> read_alone(const std::map<TopicPartition, std::int64_t>& positions) = 0;

  virtual int wake_fd() const = 0;
  virtual void drain_wake() = 0;

  // Serves callbacks and rebalances; must be called at least every second, and after a wake-up
  // until it brings nothing more. Keeps the membership (max.poll.interval.ms) however long no
  // partition is polled.
  virtual std::optional<ControlEvent> poll_control() = 0;

  // Starts fetching the partitions at these offsets (answers kAssign; an empty list is an answer
  // too).
  virtual Result<bool> assign(const std::map<TopicPartition, std::int64_t>& positions) = 0;
  virtual Result<bool> unassign(const std::vector<TopicPartition>& partitions) = 0;
  // Moves an assigned partition; what was fetched before is dropped.
  virtual Result<bool> seek(const TopicPartition& partition, std::int64_t offset) = 0;

  // Takes up to `limit` records of one assigned partition, in order, into records[0..]; returns how
  // many. At most one event can come with them: it lies behind the returned records; more may wait.
  // Returns 0 without an event when the queue is empty.
  virtual int poll(const TopicPartition& partition, Record* records, int limit,
                   std::optional<PartitionEvent>& event) = 0;

  // The id (base64) of the topic under which records are fetched now; empty if it is not known.
  // When it changes, poll() gives kOffsetInvalid with code INCONSISTENT_TOPIC_ID before the first
  // record of the new topic, and nothing more of that partition until seek() or unassign(). So does
  // a topic that is not the one of ConsumerConfig::topic_ids when its partition is assigned.
  virtual std::string topic_id(const std::string& topic) const = 0;

  // Tells the group, asynchronously: a courtesy to lag tools, or all there is (at_least_once).
  virtual void commit_group_offsets(const std::map<TopicPartition, std::int64_t>& next_offsets) = 0;
  // Where the group has committed, for those of the partitions where it has. Blocking.
  virtual Result<std::map<TopicPartition, std::int64_t>> committed(
      const std::vector<TopicPartition>& partitions, std::chrono::milliseconds timeout) = 0;

  // Leaves the group within `limit`; after that the client is abandoned to a thread of its own.
  // All Records must be gone. Called by the destructor with 5 s if it was not before.
  virtual void close(std::chrono::milliseconds limit) = 0;
};

// Refuses properties that Sluice sets itself or that would break its promise (group.id,
// enable.auto.commit, auto.offset.reset, plugin.library.paths, sasl.kerberos.kinit.cmd ...), and
// names or values that librdkafka does not know. code: the property's name.
Result<bool> check_properties(const std::map<std::string, std::string>& properties);

std::string library_version();

}  // namespace sluice::kafka
