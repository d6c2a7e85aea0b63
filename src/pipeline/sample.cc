#include "pipeline/sample.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <optional>

#include "kafka/errors.h"

namespace sluice::pipeline {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

constexpr int kChunk = 500;
constexpr std::int64_t kChunkBytes = 1 << 20;
constexpr seconds kPatience{20};
constexpr std::int64_t kQueueBytes = 16 << 20;

}  // namespace

Result<SampleReader> SampleReader::create(const TaskSource& source, const Positions& from,
                                          const AllWatermarks& watermarks) {
  auto properties = source.kafka_properties();
  if (!properties) return fail(properties.error());
  std::map<ledger::Key, Share> shares;
  std::map<kafka::TopicPartition, std::int64_t> positions;
  for (const auto& [key, marks] : watermarks) {
    const auto found = from.find(key);
    const std::int64_t next = std::max(marks.low, found == from.end() ? marks.low : found->second);
    if (next >= marks.end) continue;
    shares[key] = {next, marks.end, 0};
    positions[{key.topic, key.partition}] = next;
  }
  kafka::ConsumerConfig config;
  config.properties = std::move(*properties);
  config.group = source.task.source.group.value_or("sluice-" + source.task.name);  // never joined
  config.client_id = "sluice-" + source.task.name + "-sample";
  config.queue_bytes = kQueueBytes;
  config.partitions = std::max(1, static_cast<int>(positions.size()));
  auto consumer = kafka::Consumer::create(config);
  if (!consumer) return fail(consumer.error());
  if (auto reading = (*consumer)->read_alone(positions); !reading) return fail(reading.error());
  SampleReader reader(std::move(*consumer));
  reader.shares_ = std::move(shares);
  return reader;
}

Result<std::int64_t> SampleReader::read(
    std::int64_t limit, std::int64_t each, std::int64_t bytes,
    const std::function<void(const ledger::Key&, kafka::Record)>& take, StopSignal stop) {
  if (shares_.empty() || limit <= 0) return 0;
  for (auto& [key, share] : shares_) share.taken = 0;
  bytes_ = 0;
  const auto count = static_cast<std::int64_t>(shares_.size());
  // What each may bring until all have brought as much, or are at their end.
  std::int64_t quota = std::min(each, (limit + count - 1) / count);
  std::int64_t total = 0;
  auto patience = steady_clock::now() + kPatience;
  while (total < limit && bytes_ < bytes && !stop.raised()) {
    while (auto event = consumer_->poll_control()) {
      // The group is not joined: that it may not be used is nobody's concern.
      if (event->kind != kafka::ControlEvent::Kind::kError ||
          event->error.code == "GROUP_AUTHORIZATION_FAILED") {
        continue;
      }
      if (event->fatal || !kafka::is_environment(event->error)) return fail(event->error);
    }
    std::int64_t came = 0;
    bool waiting = false;
    for (auto& [key, share] : shares_) {
      const auto room = std::min({limit - total, quota - share.taken, chunk_});
      if (room <= 0 || share.next >= share.end || bytes_ >= bytes) continue;
      const std::int64_t before = share.next;
      auto taken = poll(key, share, room, take);
      if (!taken) return taken;
      total += *taken;
      came += share.next - before;
      waiting = waiting || share.next < share.end;
    }
    if (came > 0) {
      patience = steady_clock::now() + kPatience;
      continue;
    }
    if (!waiting) {
      const bool more = std::any_of(shares_.begin(), shares_.end(), [&](const auto& item) {
        return item.second.next < item.second.end && item.second.taken < each;
      });
      if (!more) break;
      quota = std::min(each, quota * 2);
      continue;
    }
    if (steady_clock::now() > patience) {
      return fail(
          Domain::kKafka, "_TIMED_OUT",
          fmt::format("Kafka sent no message for {} s, although some are there", kPatience.count()),
          "Look at the brokers: a partition without a leader, or a network that is slow?");
    }
    pollfd wake{consumer_->wake_fd(), POLLIN, 0};
    if (::poll(&wake, 1, 100) > 0) consumer_->drain_wake();
  }
  return total;
}

Result<std::int64_t> SampleReader::poll(
    const ledger::Key& key, Share& share, std::int64_t limit,
    const std::function<void(const ledger::Key&, kafka::Record)>& take) {
  std::array<kafka::Record, kChunk> records;
  std::optional<kafka::PartitionEvent> event;
  const int got =
      consumer_->poll({key.topic, key.partition}, records.data(), static_cast<int>(limit), event);
  std::int64_t taken = 0;
  for (int i = 0; i < got; ++i) {
    kafka::Record& record = records[static_cast<std::size_t>(i)];
    if (record.offset() < share.next || record.offset() >= share.end) continue;
    share.next = record.offset() + 1;
    ++share.taken;
    ++taken;
    const auto size = static_cast<std::int64_t>(record.key().size() + record.value().size());
    bytes_ += size;
    chunk_ = std::clamp<std::int64_t>(kChunkBytes / (size + 1), 1, kChunk);
    take(key, std::move(record));
  }
  if (!event) return taken;
  switch (event->kind) {
    case kafka::PartitionEvent::Kind::kEnd:  // past markers and what was compacted away
      share.next = std::max(share.next, event->offset);
      break;
    case kafka::PartitionEvent::Kind::kOffsetInvalid:
      return fail(Domain::kKafka, "OFFSET_OUT_OF_RANGE",
                  fmt::format("offset {} of {}/{} was removed while it was read", share.next,
                              key.topic, key.partition),
                  "Try again.");
    case kafka::PartitionEvent::Kind::kError:
      if (!kafka::is_environment(event->error)) return fail(event->error);
      break;
  }
  return taken;
}

}  // namespace sluice::pipeline
