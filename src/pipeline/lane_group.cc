// The part of Lane that answers the consumer group: partitions assigned, revoked, lost, new.
#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "pipeline/failure.h"
#include "pipeline/lane.h"

namespace sluice::pipeline {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds kReleasePatience{5'000};  // REVOKE waits so long for the batch
constexpr milliseconds kCommittedTimeout{2'000};

}  // namespace

void Lane::serve_control() {
  while (auto event = consumer_->poll_control()) {
    if (event->kind == kafka::ControlEvent::Kind::kError) {
      const bool waits =
          !event->fatal && classify(event->error, Phase::kKafka) == FailureClass::kEnvironment;
      if (!waits) return end_failed(event->error);
      log::warning("kafka reports", {{"task", config_.task->name},
                                     {"lane", number_},
                                     {"code", event->error.code},
                                     {"reason", event->error.message}});
      continue;
    }
    control_.push_back(std::move(*event));
  }
}

// Rebalances are answered one after the other, each when it can be.
void Lane::handle_control() {
  while (!control_.empty() && !done_) {
    const kafka::ControlEvent& event = control_.front();
    if (event.kind == kafka::ControlEvent::Kind::kAssign) {
      if (stopping_) {          // answered, and given back at once by leaving
        assign_waits_ = false;  // its positions, if they are being read, are for nobody
        control_.pop_front();
        continue;
      }
      if (event.partitions.empty()) {
        assign({});
        continue;
      }
      if (!assign_waits_ && !working()) {
        assign_waits_ = true;
        std::vector<ledger::Key> keys;
        for (const auto& partition : event.partitions) keys.push_back(key_of(partition));
        start_positions(std::move(keys));
      }
      return;
    }
    const bool lost = event.kind == kafka::ControlEvent::Kind::kLost;
    if (!release(event.partitions, lost)) return;
    control_.pop_front();
  }
}

const sink::PartitionRange* Lane::range_of(const Side& side, const ledger::Key& key) {
  for (const auto& range : side.batch.partitions) {
    if (range.key == key) return &range;
  }
  return nullptr;
}

bool Lane::holds(const Side& side, const std::vector<kafka::TopicPartition>& partitions) {
  return std::any_of(partitions.begin(), partitions.end(), [&side](const auto& partition) {
    return range_of(side, key_of(partition)) != nullptr;
  });
}

// Gives partitions up: after their batches are applied, or after patience or possession has ended.
bool Lane::release(const std::vector<kafka::TopicPartition>& partitions, bool lost) {
  const bool flying = (applying_.valid() || retry_in_flight_) && holds(*in_flight_, partitions);
  const bool held = filling_->has_messages() && holds(*filling_, partitions);
  if ((flying || held) && !lost && !stopping_) {
    if (!release_by_) release_by_ = steady_clock::now() + kReleasePatience;
    if (steady_clock::now() < *release_by_) return false;
  }
  release_by_.reset();
  if (flying) abandon();
  if (holds(*filling_, partitions)) {
    filling_->clear();
    builder_->begin(filling_->batch);
  }
  commit_group_offsets(true);
  for (const auto& partition : partitions) {
    const ledger::Key key = key_of(partition);
    protocol_.revoked(key);
    partitions_.erase(key);
    group_offsets_.erase(key);
  }
  if (auto done = consumer_->unassign(partitions); !done) end_failed(done.error());
  if (!positions_unknown_) seek_to_ledger();
  log::info("partitions given up", {{"task", config_.task->name},
                                    {"lane", number_},
                                    {"partitions", static_cast<std::int64_t>(partitions.size())},
                                    {"left", static_cast<std::int64_t>(partitions_.size())}});
  publish();
  return true;
}

void Lane::assign(const std::vector<ledger::Found>& rows) {
  SLUICE_CHECK(!control_.empty());
  std::map<kafka::TopicPartition, std::int64_t> positions;
  for (const auto& row : rows) {
    const ledger::Decision decision = protocol_.assigned(row);
    if (decision.kind == ledger::Decision::Kind::kStop) {
      sink::Outcome outcome;
      outcome.kind = sink::Outcome::Kind::kStop;
      outcome.decision = decision;
      return finish_apply(std::move(outcome));
    }
    PartitionState state;
    state.next = *protocol_.position(row.key);
    partitions_[row.key] = state;
    positions[partition_of(row.key)] = state.next;
  }
  if (auto done = consumer_->assign(positions); !done) return end_failed(done.error());
  control_.pop_front();
  assign_waits_ = false;
  if (!rows.empty()) {
    log::info("partitions assigned", {{"task", config_.task->name},
                                      {"lane", number_},
                                      {"partitions", static_cast<std::int64_t>(rows.size())},
                                      {"all", static_cast<std::int64_t>(partitions_.size())}});
  }
  publish();
}

void Lane::start_positions(std::vector<ledger::Key> keys) {
  positions_for_ = keys;
  if (!config_.writer.ledger) return finish_positions(positions_of_group(keys));
  positioning_ = writer_->read_positions(std::move(keys));
  positioning_.start();
}

// delivery: at_least_once.
Result<sink::Writer::Positions> Lane::positions_of_group(const std::vector<ledger::Key>& keys) {
  std::vector<kafka::TopicPartition> partitions;
  for (const auto& key : keys) partitions.push_back(partition_of(key));
  auto committed = consumer_->committed(partitions, kCommittedTimeout);
  if (!committed) return fail(committed.error());
  sink::Writer::Positions positions{true, config_.epoch, {}};
  for (const auto& key : keys) {
    const auto begin = config_.positions.find(key);
    const auto found = committed->find(partition_of(key));
    const auto next = std::max(begin == config_.positions.end() ? 0 : begin->second,
                               found == committed->end() ? 0 : found->second);
    positions.rows.push_back({key, true, next, config_.epoch});
  }
  return positions;
}

void Lane::finish_positions(Result<sink::Writer::Positions> result) {
  if (!result) {
    const Phase phase = config_.writer.ledger ? Phase::kOpen : Phase::kKafka;
    return retry_later(result.error(), classify(result.error(), phase), phase);
  }
  if (!result->task_exists || result->task_epoch != config_.epoch) {
    LaneEnd end;
    end.kind = LaneEnd::Kind::kFenced;
    return end_with(std::move(end));
  }
  retries_ = 0;
  failing_since_.reset();
  if (positions_unknown_) {
    positions_unknown_ = false;
    for (const auto& row : result->rows) {
      if (!row.exists) continue;  // assigned() says so when it is asked
      if (partitions_.find(row.key) != partitions_.end()) protocol_.assigned(row);
    }
    return seek_to_ledger();
  }
  if (!assign_waits_) return;
  std::vector<ledger::Key> missing;
  for (const auto& row : result->rows) {
    const bool known = row.key.partition < topics_[row.key.topic].partitions;
    if (!row.exists && !known) missing.push_back(row.key);
  }
  if (!missing.empty()) return add_new_partitions(missing);
  assign(result->rows);
}

// Partitions that appeared after the start begin at 0; then the positions are read again.
void Lane::add_new_partitions(const std::vector<ledger::Key>& keys) {
  std::map<ledger::Key, std::int64_t> start;
  for (const auto& key : keys) {
    start[key] = 0;
    auto& topic = topics_[key.topic];
    topic.partitions = std::max(topic.partitions, key.partition + 1);
    log::info("new partition",
              {{"task", config_.task->name}, {"topic", key.topic}, {"partition", key.partition}});
  }
  // Those in between belong to other lanes, or are assigned later: their rows are made as well.
  adding_ = writer_->add_partitions(config_.epoch, topics_, std::move(start));
  adding_.start();
}

}  // namespace sluice::pipeline
