#include "pipeline/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "kafka/errors.h"
#include "pipeline/look.h"
#include "pipeline/sample.h"

namespace sluice::pipeline {

namespace {

// Timestamps of the oldest messages that are not applied.
void add_ages(const TaskSource& source, const SourceLook& from, Verification& result,
              StopSignal stop) {
  Positions behind;
  for (const auto& partition : result.partitions) {
    if (partition.lag > 0) behind[partition.key] = partition.next.value_or(0);
  }
  AllWatermarks marks;
  for (const auto& [key, next] : behind) marks[key] = from.watermarks.at(key);
  if (behind.empty()) return;
  auto reader = SampleReader::create(source, behind, marks);
  if (!reader) return result.problems.push_back(reader.error());
  const auto count = static_cast<std::int64_t>(behind.size());
  std::map<ledger::Key, std::int64_t> timestamps;
  auto read = reader->read(
      count, 1, std::numeric_limits<std::int64_t>::max(),
      [&](const ledger::Key& key, kafka::Record record) {
        timestamps[key] = record.timestamp_ms();
      },
      stop);
  if (!read) return result.problems.push_back(read.error());
  if (stop.raised()) return;
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
                       std::chrono::system_clock::now().time_since_epoch())
                       .count();
  for (auto& partition : result.partitions) {
    const auto found = timestamps.find(partition.key);
    if (found == timestamps.end() || found->second < 0) {
      // Nothing but transaction markers or gaps of compaction in between.
      if (found == timestamps.end() && partition.lag > 0) partition.lag = 0;
      continue;
    }
    partition.lag_seconds =
        static_cast<double>(std::max<std::int64_t>(0, now - found->second)) / 1000;
  }
}

void compare(PartitionCheck& partition, std::vector<Error>& problems) {
  const ledger::Key& key = partition.key;
  if (!partition.low || !partition.end) {
    problems.push_back(fail(Domain::kLedger, "partition_gone",
                            fmt::format("Kafka has no partition {} of topic \"{}\" any more",
                                        key.partition, key.topic),
                            "Was the topic deleted, or is this another cluster? What is applied "
                            "stays; a run decides by source.on_gap.")
                           .value());
    return;
  }
  const std::int64_t next = partition.next.value_or(*partition.low);
  if (next > *partition.end) {
    problems.push_back(
        fail(Domain::kLedger, "position_unproven",
             fmt::format("{}/{} ends at offset {}, but offsets up to {} are applied: the log was "
                         "truncated, or this is another topic",
                         key.topic, key.partition, *partition.end, next),
             "Find out what happened to the topic; `sluice run --reset` begins again.")
            .value());
    return;
  }
  partition.missing = std::max<std::int64_t>(0, *partition.low - next);
  partition.lag = *partition.end - std::max(next, *partition.low);
}

}  // namespace

bool Verification::all_applied() const {
  return begun && problems.empty() && !halt &&
         std::all_of(partitions.begin(), partitions.end(), [](const auto& partition) {
           return partition.lag == 0 && partition.missing == 0;
         });
}

Result<Verification> verify(const TaskSource& source, StopSignal stop) {
  Verification result;
  auto target = reach_target(source, "sluice verify");
  if (!target) return fail(target.error());
  SourceLook from;
  auto reached = reach_source(source, "sluice-" + source.task.name);
  if (reached) {
    from = std::move(*reached);
  } else if (kafka::is_unknown_topic(reached.error())) {
    result.problems.push_back(reached.error());
  } else {
    return fail(reached.error());
  }
  auto past = read_past(*target, from, source.task);
  if (!past) return fail(past.error());
  result.begun = past->task.has_value();
  if (past->task) result.halt = past->task->halt;

  std::map<ledger::Key, PartitionCheck> partitions;
  for (const auto& row : past->rows) {
    PartitionCheck& partition = partitions[row.key];
    partition.next = row.next_offset;
    if (source.task.keeps_ledger()) {
      partition.applied = row.applied;
      partition.discarded = row.discarded;
      partition.dead = row.dead;
    } else {
      partition.applied = partition.discarded = partition.dead = std::nullopt;
    }
    const auto marks = from.watermarks.find(row.key);
    if (marks == from.watermarks.end()) continue;
    auto caught_up = catch_up(*from.admin, row.key, row.next_offset, marks->second);
    if (!caught_up) return fail(caught_up.error());
  }
  for (const auto& [key, marks] : from.watermarks) {
    PartitionCheck& partition = partitions[key];
    partition.low = marks.low;
    partition.end = marks.end;
  }
  for (auto& [key, partition] : partitions) {
    partition.key = key;
    if (reached) compare(partition, result.problems);
    result.partitions.push_back(std::move(partition));
  }
  if (past->task && source.task.keeps_ledger()) {
    auto gaps = target->connection->drive(ledger::read_gaps(*target->connection, target->handle));
    if (!gaps) return fail(gaps.error());
    result.gaps = std::move(*gaps);
  }
  add_ages(source, from, result, stop);
  return result;
}

}  // namespace sluice::pipeline
