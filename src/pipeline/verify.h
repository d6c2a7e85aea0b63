// verify: how far a task is, by partition: what the ledger in the target says against what Kafka
// holds. Nothing is written, the group is not joined.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "ledger/ledger.h"
#include "pipeline/environment.h"

namespace sluice::pipeline {

struct PartitionCheck {
  ledger::Key key;
  std::optional<std::int64_t> next;  // the ledger's position; none: the task does not know it yet
  // What Kafka holds: offsets [low, end); none when it no longer has the partition.
  std::optional<std::int64_t> low, end;
  std::int64_t missing = 0;  // offsets that were removed before they were applied
  std::int64_t lag = 0;      // offsets that are there and not applied: at most so many messages
  // Age of the oldest message that is not applied.
  std::optional<double> lag_seconds;
  // What a ledger counts; nothing where there is none (delivery: at_least_once).
  std::optional<std::int64_t> applied = 0, discarded = 0, dead = 0;
};

struct Verification {
  bool begun = false;  // the ledger knows the task
  std::vector<PartitionCheck> partitions;
  std::vector<ledger::Gap> gaps;  // recorded: offsets that were passed over
  std::optional<ledger::HaltNote> halt;
  // Why the picture is not whole: a topic that is gone, a position beyond the end.
  std::vector<Error> problems;

  // Every message up to the ends is applied, discarded or a dead letter.
  bool all_applied() const;
};

Result<Verification> verify(const TaskSource& source, StopSignal stop);

}  // namespace sluice::pipeline
