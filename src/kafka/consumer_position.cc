// ConsumerImpl: where partitions stand, and their records.
#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "kafka/consumer_impl.h"

namespace sluice::kafka {
namespace {

// Seeking is answered by librdkafka's main thread, which does no I/O.
constexpr int kSeekAnswerMs = 1000;

}  // namespace

void ConsumerImpl::Partition::drop_pending() {
  for (; next < pending.size(); ++next) rd_kafka_message_destroy(pending[next]);
  pending.clear();
  next = 0;
}

Result<bool> ConsumerImpl::seek(const TopicPartition& id, std::int64_t offset) {
  const auto found = partitions_.find(id);
  if (found == partitions_.end()) {
    return fail(
        Domain::kInternal, "not_assigned",
        fmt::format("Kafka topic \"{}\" partition {} is not assigned", id.topic, id.partition));
  }
  auto& partition = found->second;
  partition.drop_pending();
  partition.restart_at.reset();
  expect_topic(id, partition);
  const auto list = native::make_list({id});
  list->elems[0].offset = offset;
  // Everything fetched before is outdated from here on: librdkafka counts a version per partition.
  const native::Problem problem(rd_kafka_seek_partitions(client_, list.get(), kSeekAnswerMs));
  if (!problem && list->elems[0].err == RD_KAFKA_RESP_ERR_NO_ERROR) return true;
  // A fetcher that stopped (offset out of range) or has not started yet cannot be moved.
  partition.restart_at = offset;
  restart_partitions();
  state_->wake();
  return true;
}

// Assigns partitions anew that could not be sought. Never between a rebalance and its answer:
// taking a partition away would be understood as that answer. The control queue may hold a
// rebalance that we have not seen.
void ConsumerImpl::restart_partitions() {
  if (request_ || rd_kafka_queue_length(control_.get()) > 0) return;
  for (auto& [id, partition] : partitions_) {
    if (!partition.restart_at) continue;
    const auto done = restart(id, *partition.restart_at);
    partition.restart_at.reset();
    if (done) continue;
    ControlEvent event;
    event.kind = ControlEvent::Kind::kError;
    event.error = done.error();
    events_.push_back(std::move(event));
  }
}

Result<bool> ConsumerImpl::restart(const TopicPartition& id, std::int64_t offset) {
  const auto list = native::make_list({id});
  auto done = answered(rd_kafka_incremental_unassign(client_, list.get()), "a move");
  if (!done) return done;
  // librdkafka may have forgotten the partition at once (a deleted topic): its queue is opened
  // anew.
  partitions_.at(id).queue.reset();
  open_queue(id);
  list->elems[0].offset = offset;
  done = answered(rd_kafka_incremental_assign(client_, list.get()), "a move");
  state_->wake();
  return done;
}

void ConsumerImpl::commit_group_offsets(
    const std::map<TopicPartition, std::int64_t>& next_offsets) {
  if (client_ == nullptr || next_offsets.empty()) return;
  const auto list = native::make_list(next_offsets);
  const auto code = rd_kafka_commit(client_, list.get(), 1);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) on_commit(client_, code, nullptr, state_.get());
}

Result<std::map<TopicPartition, std::int64_t>> ConsumerImpl::committed(
    const std::vector<TopicPartition>& partitions, std::chrono::milliseconds timeout) {
  const auto list = native::make_list(partitions);
  auto code = rd_kafka_committed(client_, list.get(), static_cast<int>(timeout.count()));
  std::map<TopicPartition, std::int64_t> offsets;
  for (int i = 0; i < list->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) {
    const auto& each = list->elems[i];
    code = each.err;
    if (each.offset >= 0) offsets[{each.topic, each.partition}] = each.offset;
  }
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return offsets;
  return fail(
      Domain::kKafka, std::string(native::name_of(code)),
      fmt::format("Kafka does not say where the group has committed: {}", rd_kafka_err2str(code)));
}

int ConsumerImpl::poll(const TopicPartition& id, Record* records, int limit,
                       std::optional<PartitionEvent>& event) {
  event.reset();
  const auto found = partitions_.find(id);
  if (found == partitions_.end() || found->second.restart_at) return 0;
  auto& partition = found->second;
  int count = 0;
  while (partition.next < partition.pending.size() && count < limit && !event) {
    count += deliver(id, partition.pending[partition.next++], records[count], event) ? 1 : 0;
  }
  if (partition.next < partition.pending.size()) return count;
  partition.drop_pending();
  compare_topic_ids();
  while (count < limit && !event && !partition.replaced) {
    // Timeout 0: takes what is there and returns; it counts as a poll for max.poll.interval.ms too.
    const auto got = rd_kafka_consume_batch_queue(partition.queue.get(), 0, run_.data(),
                                                  std::min<std::size_t>(limit - count, kRun));
    if (got <= 0) break;
    // A record of the new topic comes after the news of it: none is delivered before this look.
    compare_topic_ids();
    if (partition.replaced) {
      for (auto* message : std::span(run_).first(static_cast<std::size_t>(got))) {
        rd_kafka_message_destroy(message);
      }
      break;
    }
    auto* const end = run_.data() + got;
    auto* next = run_.data();
    while (next != end && !event) count += deliver(id, *next++, records[count], event) ? 1 : 0;
    partition.pending.assign(next, end);
  }
  if (partition.replaced && !event && !std::exchange(partition.replacement_told, true)) {
    event = replaced_event(id, partition);
  }
  return count;
}

void ConsumerImpl::compare_topic_ids() {
  const auto changes = state_->topic_id_changes();
  if (changes == topic_id_changes_) return;
  topic_id_changes_ = changes;
  for (auto& [id, partition] : partitions_) {
    const auto now = state_->topic_id(id.topic);
    if (partition.topic_id.empty()) {
      partition.topic_id = now;
    } else if (partition.topic_id != now) {
      partition.replaced = true;
    }
  }
}

// Which topic the records of a partition must be of, and whether another has its name already.
void ConsumerImpl::expect_topic(const TopicPartition& id, Partition& partition) const {
  const auto known = config_.topic_ids.find(id.topic);
  const std::string now = state_->topic_id(id.topic);
  const bool named = known != config_.topic_ids.end() && !known->second.empty();
  partition.topic_id = named ? known->second : now;
  partition.replaced = !now.empty() && now != partition.topic_id;
  partition.replacement_told = false;
}

PartitionEvent ConsumerImpl::replaced_event(const TopicPartition& id,
                                            const Partition& partition) const {
  PartitionEvent event;
  event.kind = PartitionEvent::Kind::kOffsetInvalid;
  event.error.domain = Domain::kKafka;
  event.error.code = native::name_of(RD_KAFKA_RESP_ERR_INCONSISTENT_TOPIC_ID);
  event.error.message =
      fmt::format("Kafka topic \"{}\" was deleted and created again: its id was {} and is {}",
                  id.topic, partition.topic_id, state_->topic_id(id.topic));
  return event;
}

// True if the message is a record; else it became the event.
bool ConsumerImpl::deliver(const TopicPartition& id, rd_kafka_message_t* message, Record& record,
                           std::optional<PartitionEvent>& event) const {
  if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
    record = Record(message);
    return true;
  }
  event = event_of(id, *message);
  rd_kafka_message_destroy(message);
  return false;
}

PartitionEvent ConsumerImpl::event_of(const TopicPartition& id,
                                      const rd_kafka_message_t& message) const {
  PartitionEvent event;
  event.offset = message.offset;
  switch (message.err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
      event.kind = PartitionEvent::Kind::kEnd;
      return event;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
      event.kind = PartitionEvent::Kind::kOffsetInvalid;
      break;
    default:
      event.kind = PartitionEvent::Kind::kError;
  }
  event.error = explain_about(state_->endpoint(), native::name_of(message.err),
                              rd_kafka_message_errstr(&message), "topic", id.topic);
  return event;
}

}  // namespace sluice::kafka
