// Admin: blocking questions to a cluster, each with a deadline. For check, start positions,
// identity and the supervisor; never on a lane's thread. Not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "kafka/consumer.h"

namespace sluice::kafka {

struct TopicInfo {
  std::string name;
  std::string id;  // base64 of the topic id; empty where the broker has none
  int partitions = 0;
  bool may_read = true;  // authorized operations, if the broker tells; true if it does not
  bool internal = false;
};

struct Watermarks {
  std::int64_t low = 0;
  std::int64_t end = 0;  // last stable offset under read_committed, else the high watermark
};

struct GroupMember {
  std::string id;
  std::string client_id;
  std::string host;
  std::vector<TopicPartition> partitions;  // that it has now
};

struct GroupInfo {
  std::string state;  // "Empty", "Stable", "Dead" ...
  int members = 0;
  bool may_read = true;
  std::string assignor = {};  // "cooperative-sticky"
  std::vector<GroupMember> member_list = {};
};

struct GroupName {
  std::string name;
  std::string state;  // as GroupInfo's; empty where the broker does not tell
};

class Admin {
 public:
  // properties as in the task document. Does not connect yet.
  static Result<std::unique_ptr<Admin>> create(const std::map<std::string, std::string>& properties,
                                               std::string client_id);
  virtual ~Admin() = default;

  virtual Result<std::string> cluster_id(std::chrono::milliseconds timeout) = 0;
  // Topics that exist among names and ^regexes (POSIX extended, as librdkafka matches them).
  // A plain name that does not exist: code UNKNOWN_TOPIC_OR_PART with the nearest names.
  virtual Result<std::vector<TopicInfo>> topics(const std::vector<std::string>& names,
                                                std::chrono::milliseconds timeout) = 0;
  // Every topic that this client may see, internal ones too: name and partitions alone are set.
  virtual Result<std::vector<TopicInfo>> all_topics(std::chrono::milliseconds timeout) = 0;
  virtual Result<std::map<TopicPartition, Watermarks>> watermarks(
      const std::vector<TopicPartition>& partitions, std::chrono::milliseconds timeout) = 0;
  // First offset whose timestamp is at or after; the end if there is none.
  virtual Result<std::map<TopicPartition, std::int64_t>> offsets_at(
      const std::vector<TopicPartition>& partitions, std::int64_t timestamp_ms,
      std::chrono::milliseconds timeout) = 0;
  // Where the group has committed, for those of the partitions where it has. None for a group that
  // does not exist: Kafka tells no difference.
  virtual Result<std::map<TopicPartition, std::int64_t>> committed(
      const std::string& group, const std::vector<TopicPartition>& partitions,
      std::chrono::milliseconds timeout) = 0;
  // The same for every partition where it has.
  virtual Result<std::map<TopicPartition, std::int64_t>> committed(
      const std::string& group, std::chrono::milliseconds timeout) = 0;
  // Commits for a group without members; one that has some refuses. All or none.
  virtual Result<bool> commit(const std::string& group,
                              const std::map<TopicPartition, std::int64_t>& next_offsets,
                              std::chrono::milliseconds timeout) = 0;
  virtual Result<GroupInfo> group(const std::string& group, std::chrono::milliseconds timeout) = 0;
  // Consumer groups that this client may see, as far as the brokers answer.
  virtual Result<std::vector<GroupName>> groups(std::chrono::milliseconds timeout) = 0;
};

}  // namespace sluice::kafka
