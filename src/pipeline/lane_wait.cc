// The part of Lane for messages that another partition may mend. Rows that a foreign key or a
// unique constraint refuses: what they refer to, or who gives their value free, may be behind in
// there. A TRUNCATE, behind which nothing older than it is to come. And rows without schema for
// which a table or a column is missing: an event of schema changes may be behind in there, or
// another lane has met it.
#include <algorithm>

#include "base/log.h"
#include "pipeline/lane.h"

namespace sluice::pipeline {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

// A queue that is empty may be one that Kafka has not yet filled.
constexpr seconds kLeastPatience{1};
constexpr seconds kMostPatience{10};
constexpr milliseconds kWaitPeriod{20};
// In vain, the task ends: so it is not in a hurry.
constexpr seconds kLeastStructurePatience{3};
constexpr milliseconds kStructurePeriod{200};
// When it was in vain, the partition's next such rows are bad at once for a while: a stream of them
// is not to crawl.
constexpr seconds kImpatience{60};

}  // namespace

std::size_t Lane::partitions_of_task() const {
  std::size_t sum = 0;
  for (const auto& [name, topic] : topics_) sum += static_cast<std::size_t>(topic.partitions);
  return sum;
}

// Before the batch is applied: which of its partitions may wait.
void Lane::let_wait(sink::Batch& batch) {
  const bool others = config_.task->sync.mirrors() && partitions_of_task() > 1;
  const auto now = steady_clock::now();
  for (auto& range : batch.partitions) {
    const auto found = partitions_.find(range.key);
    range.may_wait = others && found != partitions_.end() && now >= found->second.impatient_until;
    if (!range.may_wait || found->second.waits_at < 0) continue;
    PartitionState& state = found->second;
    if (range.from > state.waits_at) {  // it went through
      state.waits_at = -1;
      continue;
    }
    const auto waited = now - state.waits_since;
    if (waited < kMostPatience && !(state.last_try && waited > kLeastPatience)) continue;
    if (!state.last_try) {
      log::warning("waited in vain for other partitions: the row is written before what they hold",
                   {{"task", config_.task->name},
                    {"topic", range.key.topic},
                    {"partition", range.key.partition},
                    {"offset", state.waits_at}});
    }
    range.may_wait = false;
    state.waits_at = -1;
    state.impatient_until = now + kImpatience;
  }
}

// Whether this lane has all partitions of the task, and what they hold up to this time was applied.
bool Lane::others_passed(const ledger::Key& key, std::int64_t timestamp_ms) const {
  return partitions_.size() == partitions_of_task() &&
         std::all_of(partitions_.begin(), partitions_.end(), [&](const auto& item) {
           const auto& [other, state] = item;
           return other == key || state.applied_timestamp_ms > timestamp_ms ||
                  (!state.maybe_more && range_of(*filling_, other) == nullptr);
         });
}

// After the batch was applied: partitions whose next row waits pause for a moment. Whether there
// are any.
bool Lane::wait_for_others() {
  const auto now = steady_clock::now();
  for (const auto& range : in_flight_->batch.partitions) {
    const auto found = partitions_.find(range.key);
    if (found == partitions_.end() || range.waits_for) continue;
    if (range.last_timestamp_ms >= 0) found->second.applied_timestamp_ms = range.last_timestamp_ms;
  }
  bool any = false;
  for (const auto& range : in_flight_->batch.partitions) {
    const auto found = partitions_.find(range.key);
    if (!range.waits_for || found == partitions_.end()) continue;
    any = true;
    PartitionState& state = found->second;
    if (state.waits_at != range.cut) {
      state.waits_at = range.cut;
      state.waits_since = now;
      log::info("a row waits for other partitions", {{"task", config_.task->name},
                                                     {"topic", range.key.topic},
                                                     {"partition", range.key.partition},
                                                     {"offset", range.cut},
                                                     {"code", range.waits_for->code},
                                                     {"constraint", range.waits_for->constraint}});
    }
    state.last_try = others_passed(range.key, range.last_timestamp_ms);
    state.waits_until = now + kWaitPeriod;
  }
  return any;
}

// After the batch was applied, which ends in front of such a message: whether it is tried again, by
// the table as it will be then.
bool Lane::wait_for_structure(const sink::Stop& stop) {
  if (!stop.guess || stop.demand || partitions_of_task() <= 1) return false;
  const auto& ranges = in_flight_->batch.partitions;
  const auto range = std::ranges::find_if(ranges, [](const auto& each) { return each.cut >= 0; });
  if (range == ranges.end()) return false;
  const auto found = partitions_.find(range->key);
  if (found == partitions_.end()) return false;
  PartitionState& state = found->second;
  const auto now = steady_clock::now();
  if (state.guesses_at != range->cut) {
    state.guesses_at = range->cut;
    state.waits_since = now;
    state.last_try = false;
    log::info("a message waits for an event of schema changes",
              {{"task", config_.task->name},
               {"topic", range->key.topic},
               {"partition", range->key.partition},
               {"offset", range->cut},
               {"table", builder_->plan(stop.table).target}});
  }
  const auto waited = now - state.waits_since;
  if (waited >= kMostPatience || (state.last_try && waited > kLeastStructurePatience)) return false;
  state.last_try = others_passed(range->key, range->last_timestamp_ms);
  state.waits_until = now + kStructurePeriod;
  stale_.assign(1, stop.table);
  drop_batches();
  seek_to_ledger();
  return true;
}

}  // namespace sluice::pipeline
