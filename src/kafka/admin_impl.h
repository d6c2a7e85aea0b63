// Admin over librdkafka. Private to this module.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kafka/admin.h"
#include "kafka/native.h"
#include "kafka/properties.h"

namespace sluice::kafka {

using native::Event;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr auto kSlice = milliseconds(50);        // of waiting for an answer
constexpr auto kRetryPause = milliseconds(200);  // before a question is asked again

// A partition or coordinator that is moving answers later.
bool is_passing(rd_kafka_resp_err_t code);
// Authorized operations as the broker tells them; true if it does not.
bool may_read(const rd_kafka_AclOperation_t* operations, std::size_t count);

struct Deadline {
  explicit Deadline(milliseconds timeout) : at(steady_clock::now() + timeout) {}
  // At least 1: librdkafka takes 0 for "its default".
  int left_ms() const {
    const auto left = std::chrono::duration_cast<milliseconds>(at - steady_clock::now()).count();
    return static_cast<int>(std::clamp<std::int64_t>(left, 1, 3'600'000));
  }
  bool over() const { return steady_clock::now() >= at; }
  steady_clock::time_point at;
};

class AdminImpl final : public Admin {
 public:
  AdminImpl(const std::map<std::string, std::string>& properties, std::string client_id)
      : state_(endpoint_of(properties), std::move(client_id),
               native::ClientState::Failures::kReturned) {
    state_.owner = this;
    if (properties.contains("debug")) state_.show_debug_lines();
    const auto isolation = properties.find("isolation.level");
    if (isolation != properties.end() && isolation->second == "read_uncommitted") {
      isolation_ = RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED;
    }
  }
  ~AdminImpl() override { state_.silence(); }
  AdminImpl(const AdminImpl&) = delete;
  AdminImpl& operator=(const AdminImpl&) = delete;

  Result<bool> start(native::Conf conf);
  static void on_error(rd_kafka_t* client, int code, const char* text, void* opaque);

  Result<std::string> cluster_id(milliseconds timeout) override;
  Result<std::vector<TopicInfo>> topics(const std::vector<std::string>& names,
                                        milliseconds timeout) override;
  Result<std::vector<TopicInfo>> all_topics(milliseconds timeout) override;
  Result<std::map<TopicPartition, Watermarks>> watermarks(
      const std::vector<TopicPartition>& partitions, milliseconds timeout) override;
  Result<std::map<TopicPartition, std::int64_t>> offsets_at(
      const std::vector<TopicPartition>& partitions, std::int64_t timestamp_ms,
      milliseconds timeout) override;
  Result<std::map<TopicPartition, std::int64_t>> committed(
      const std::string& group, const std::vector<TopicPartition>& partitions,
      milliseconds timeout) override;
  Result<std::map<TopicPartition, std::int64_t>> committed(const std::string& group,
                                                           milliseconds timeout) override;
  Result<bool> commit(const std::string& group,
                      const std::map<TopicPartition, std::int64_t>& next_offsets,
                      milliseconds timeout) override;
  Result<GroupInfo> group(const std::string& group, milliseconds timeout) override;
  Result<std::vector<GroupName>> groups(milliseconds timeout) override;

 private:
  using Send = std::function<void(const rd_kafka_AdminOptions_t*, rd_kafka_queue_t*)>;

  Result<Event> ask(rd_kafka_admin_op_t operation, const Deadline& deadline, bool operations,
                    const Send& send);
  Result<Event> wait(rd_kafka_queue_t* queue, const Deadline& deadline);
  std::optional<Error> hopeless(const Deadline& deadline,
                                std::optional<steady_clock::time_point>& down_since) const;
  Error unanswered(rd_kafka_resp_err_t code, std::string_view text) const;
  Result<std::vector<std::string>> topic_names(const Deadline& deadline);
  Result<std::vector<TopicInfo>> describe(const std::vector<std::string>& names,
                                          const Deadline& deadline);
  Error unknown_topic(const std::string& name, const Deadline& deadline);
  Error no_leader(const TopicPartition& id) const;
  Result<std::map<TopicPartition, std::int64_t>> offsets(
      const std::vector<TopicPartition>& partitions, std::int64_t spec, const Deadline& deadline);

  native::ClientState state_;  // outlives client_
  native::Handle client_;
  rd_kafka_IsolationLevel_t isolation_ = RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED;
  bool contacted_ = false;  // a broker has answered once
  bool all_down_ = false;   // since the current question was sent
};

}  // namespace sluice::kafka
