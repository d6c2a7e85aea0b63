// Consumer over librdkafka. Private to this module. Everything runs on the lane's thread, callbacks
// included (they are served by poll_control() and close()); only ClientState is touched by others.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kafka/consumer.h"
#include "kafka/native.h"

namespace sluice::kafka {

class ConsumerImpl final : public Consumer {
 public:
  ConsumerImpl(ConsumerConfig config, std::shared_ptr<native::ClientState> state)
      : config_(std::move(config)), state_(std::move(state)) {
    state_->owner = this;
  }
  ~ConsumerImpl() override { close(std::chrono::seconds(5)); }
  ConsumerImpl(const ConsumerImpl&) = delete;
  ConsumerImpl& operator=(const ConsumerImpl&) = delete;

  static void on_rebalance(rd_kafka_t* client, rd_kafka_resp_err_t code,
                           rd_kafka_topic_partition_list_t* list, void* opaque);
  static void on_error(rd_kafka_t* client, int code, const char* text, void* opaque);
  static void on_commit(rd_kafka_t* client, rd_kafka_resp_err_t code,
                        rd_kafka_topic_partition_list_t* list, void* opaque);
  Result<bool> start(native::Conf conf);

  Result<bool> subscribe(const std::vector<std::string>& topics) override;
  Result<bool> read_alone(const std::map<TopicPartition, std::int64_t>& positions) override;
  int wake_fd() const override { return state_->wake_fd(); }
  void drain_wake() override;
  std::optional<ControlEvent> poll_control() override;
  Result<bool> assign(const std::map<TopicPartition, std::int64_t>& positions) override;
  Result<bool> unassign(const std::vector<TopicPartition>& partitions) override;
  Result<bool> seek(const TopicPartition& id, std::int64_t offset) override;
  int poll(const TopicPartition& id, Record* records, int limit,
           std::optional<PartitionEvent>& event) override;
  std::string topic_id(const std::string& topic) const override { return state_->topic_id(topic); }
  void commit_group_offsets(const std::map<TopicPartition, std::int64_t>& next_offsets) override;
  Result<std::map<TopicPartition, std::int64_t>> committed(
      const std::vector<TopicPartition>& partitions, std::chrono::milliseconds timeout) override;
  void close(std::chrono::milliseconds limit) override;

 private:
  // How many messages are taken from librdkafka at once; a call costs it two atomics and a clock.
  static constexpr int kRun = 1024;

  // An assigned partition. `pending` holds the records that librdkafka handed out behind an event,
  // in order, from `next` on; librdkafka's own position is already behind them.
  struct Partition {
    native::Queue queue;
    std::vector<rd_kafka_message_t*> pending;
    std::size_t next = 0;
    // An offset that could not be sought in place: assigned anew as soon as no rebalance is open.
    std::optional<std::int64_t> restart_at;
    // The topic as it was when its records were first asked for; whether another has taken its
    // name.
    std::string topic_id;
    bool replaced = false;
    bool replacement_told = false;

    Partition() = default;
    Partition(Partition&&) = default;
    Partition& operator=(Partition&&) = delete;
    Partition(const Partition&) = delete;
    Partition& operator=(const Partition&) = delete;
    ~Partition() { drop_pending(); }
    void drop_pending();
  };
  struct Request {
    ControlEvent::Kind kind = ControlEvent::Kind::kAssign;
    bool cooperative = true;
    std::vector<TopicPartition> partitions;
  };

  void rebalance_requested(rd_kafka_resp_err_t code, const rd_kafka_topic_partition_list_t* list);
  void add_error(rd_kafka_resp_err_t code, std::string_view text, bool fatal);
  void take_message(rd_kafka_message_t* message);
  Error error_of(rd_kafka_resp_err_t code, std::string_view text) const;
  Result<bool> answered(rd_kafka_error_t* problem, std::string_view what) const;
  void open_queue(const TopicPartition& id);
  void forget(const TopicPartition& id);
  Result<bool> assign_all(const std::map<TopicPartition, std::int64_t>& added);
  void answer_open_request();
  void restart_partitions();
  void compare_topic_ids();
  void expect_topic(const TopicPartition& id, Partition& partition) const;
  PartitionEvent replaced_event(const TopicPartition& id, const Partition& partition) const;
  Result<bool> restart(const TopicPartition& id, std::int64_t offset);
  bool deliver(const TopicPartition& id, rd_kafka_message_t* message, Record& record,
               std::optional<PartitionEvent>& event) const;
  PartitionEvent event_of(const TopicPartition& id, const rd_kafka_message_t& message) const;
  bool leave_group(std::chrono::steady_clock::time_point deadline);
  void destroy_client(std::chrono::steady_clock::time_point deadline, bool left);

  const ConsumerConfig config_;
  const std::shared_ptr<native::ClientState> state_;
  rd_kafka_t* client_ = nullptr;
  native::Queue control_;
  std::map<TopicPartition, Partition> partitions_;
  std::array<rd_kafka_message_t*, kRun> run_{};  // what the current poll() took
  std::deque<ControlEvent> events_;
  std::optional<Request> request_;  // the rebalance that waits for assign() or unassign()
  std::uint64_t topic_id_changes_ = 0;
  bool closing_ = false;
  rd_kafka_resp_err_t last_error_ = RD_KAFKA_RESP_ERR_NO_ERROR;
  std::chrono::steady_clock::time_point last_error_at_;
};

}  // namespace sluice::kafka
