// The part of Lane that moves messages: from the partitions' queues into a batch, from the batch
// into PostgreSQL, and what follows from each outcome.
#include <fmt/format.h>

#include <algorithm>

#include "base/fail_point.h"
#include "base/log.h"
#include "pipeline/failure.h"
#include "pipeline/lane.h"
#include "pipeline/look.h"

namespace sluice::pipeline {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

constexpr seconds kLookPeriod{60};
constexpr seconds kIdleConnection{30};    // then it is given back
constexpr std::size_t kShapesLimit = 64;  // COPYs of one batch
// A trickle of messages is not to keep a core busy with transactions of one row each: between two
// batches that are not full a lane rests for as long as the last one took, but no longer than this,
// and than tuning.linger_ms.
constexpr milliseconds kLongestRest{10};

}  // namespace

bool Lane::full() const {
  return static_cast<std::int64_t>(filling_->records.size()) >= row_limit_ ||
         filling_->held >= config_.batch_bytes ||
         static_cast<std::int64_t>(filling_->batch.bytes()) >= config_.batch_bytes ||
         filling_->batch.further_shapes() >= kShapesLimit;
}

void Lane::fill() {
  if (stopping_ || release_by_ || positions_unknown_ || !stale_.empty() || demand_ ||
      builder_->wants_table() || filling_->closed) {
    return;
  }
  int taken = 0;
  const auto now = steady_clock::now();
  for (auto& [key, state] : partitions_) {
    if (!state.maybe_more || state.ended || state.waits_until > now) continue;
    while (!full() && !filling_->closed && taken < 4 * kChunk) {
      const std::size_t before = filling_->records.size();
      if (!fill_partition(key, state)) break;
      if (done_ || builder_->wants_table()) return;
      taken += static_cast<int>(filling_->records.size() - before);
    }
  }
}

// One chunk of one partition. False when its queue is empty.
bool Lane::fill_partition(const ledger::Key& key, PartitionState& state) {
  std::optional<kafka::PartitionEvent> event;
  const auto room = row_limit_ - static_cast<std::int64_t>(filling_->records.size());
  const int limit = static_cast<int>(std::min<std::int64_t>(kChunk, room));
  const int count = consumer_->poll(partition_of(key), polled_.data(), limit, event);
  if (count == 0 && !event) {
    state.maybe_more = false;
    return false;
  }
  for (int i = 0; i < count; ++i) take(key, state, std::move(polled_[static_cast<std::size_t>(i)]));
  if (event && !state.ended && !builder_->wants_table()) handle_event(key, state, *event);
  return true;
}

void Lane::take(const ledger::Key& key, PartitionState& state, kafka::Record record) {
  // Below the position: fetched before a seek. Behind a cut: not to be applied. Behind a message
  // whose table is unknown: it comes again.
  if (state.ended || record.offset() < state.next || builder_->wants_table()) return;
  if (!filling_->has_messages()) {
    filling_->opened = steady_clock::now();
    filling_->batch.first_sequence = sequence_;
    if (SLUICE_FAIL_POINT("after_poll")) {
      writer_->active().close();
      if (working()) writer_->active().on_ready(0);  // whoever waits hears of it
    }
  }
  ++sequence_;
  sink::Batch& batch = filling_->batch;
  const std::uint16_t index = batch.partition_index(key, state.next);
  sink::PartitionRange& range = batch.partitions[index];
  const sink::PartitionRange before = range;
  if (range.last_offset < 0) {
    const auto topic = topics_.find(key.topic);
    range.has_siblings = topic != topics_.end() && topic->second.partitions > 1;
  }
  const std::int64_t offset = record.offset();
  range.to = state.next = offset + 1;
  range.last_offset = offset;
  range.last_timestamp_ms = record.timestamp_ms();
  range.last_record = static_cast<std::uint32_t>(filling_->records.size());
  filling_->timestamps_ms.push_back(range.last_timestamp_ms);
  const auto size = static_cast<std::int64_t>(record.key().size() + record.value().size());
  filling_->bytes += size;
  filling_->records.push(std::move(record));
  const auto added = builder_->add(batch, filling_->records, index);
  if (added == sink::BatchBuilder::Added::kNewTable) {
    filling_->bytes -= size;
    return take_back(key, state, range, before);
  }
  filling_->held += static_cast<std::int64_t>(filling_->records.shrink_last());
  if (added == sink::BatchBuilder::Added::kStop) {
    state.ended = true;
    filling_->closed = true;  // what lies before is applied, then the task says what it needs
    return;
  }
  if (added != sink::BatchBuilder::Added::kFailure) return;
  if (config_.task->on_failure == task::OnFailure::kRetain) {
    state.ended = true;
    filling_->closed = true;  // what lies before is applied, then the task halts
  } else if (breaker_.bad(sequence_ - 1)) {
    end_failed(fail(Domain::kMessage, "breaker",
                    fmt::format("the breaker opened: {} of the last {} messages could not become "
                                "rows; the last reason: {}",
                                breaker_.limit(), config_.task->breaker.window,
                                batch.failures.back().error.message),
                    "Correct the mapping or the producer, or raise `breaker`.")
                   .value());
  }
}

// The last message waits until its table is known: what lies before it stays where it is.
void Lane::take_back(const ledger::Key& key, PartitionState& state, sink::PartitionRange& range,
                     const sink::PartitionRange& before) {
  --sequence_;
  filling_->timestamps_ms.pop_back();
  state.next = before.to;
  state.maybe_more = true;
  range = before;
  filling_->records.drop_last();
  if (auto done = consumer_->seek(partition_of(key), state.next); !done) end_failed(done.error());
}

void Lane::handle_event(const ledger::Key& key, PartitionState& state,
                        const kafka::PartitionEvent& event) {
  switch (event.kind) {
    case kafka::PartitionEvent::Kind::kEnd:
      if (event.offset > state.next) {
        sink::Batch& batch = filling_->batch;
        const std::uint16_t index = batch.partition_index(key, state.next);
        batch.partitions[index].to = state.next = event.offset;
      }
      return;
    case kafka::PartitionEvent::Kind::kOffsetInvalid: {
      LaneEnd end;
      end.kind = LaneEnd::Kind::kGap;
      end.error = fail(Domain::kLedger, "gap",
                       fmt::format("{}/{}: Kafka refuses offset {}, the position of this task",
                                   key.topic, key.partition, state.next))
                      .value();
      return end_with(std::move(end));
    }
    case kafka::PartitionEvent::Kind::kError:
      if (classify(event.error, Phase::kKafka) != FailureClass::kEnvironment) {
        return end_failed(event.error);
      }
      log::warning("kafka reports", {{"task", config_.task->name},
                                     {"topic", key.topic},
                                     {"partition", key.partition},
                                     {"code", event.error.code}});
      return;
  }
}

// Whether what has accumulated is to be written now.
bool Lane::due() const {
  if (filling_->batch.partitions.empty()) return false;
  const auto now = steady_clock::now();
  if (!filling_->has_messages()) return now - end_only_at_ >= kEndOnlyPeriod;
  if (filling_->closed || full() || release_by_) return true;
  if (now < rest_until_) return false;
  if (now - filling_->opened >= config_.task->tuning.linger) return true;
  return std::none_of(partitions_.begin(), partitions_.end(), [&](const auto& item) {
    return item.second.maybe_more && !item.second.ended && item.second.waits_until <= now;
  });
}

// An idle lane looks at the ledger once in a while: it would else never learn of a reset, a halt or
// a failover. The look is a batch without offsets.
bool Lane::look_due() const {
  return !partitions_.empty() && !stopping_ && !release_by_ && filling_->batch.partitions.empty() &&
         steady_clock::now() - looked_at_ >= kLookPeriod;
}

void Lane::look() {
  for (const auto& [key, state] : partitions_) {
    if (state.ended) continue;
    filling_->batch.partition_index(key, state.next);
  }
}

void Lane::start_work() {
  const auto now = steady_clock::now();
  if (stopping_ && (!working() || now >= stop_by_) && !retry_in_flight_) {
    done_ = true;
    return;
  }
  if (stopping_ && now >= stop_by_) {
    done_ = true;
    return;
  }
  if (working() || now < retry_at_) return;
  if (!stale_.empty()) {
    read_table(stale_.front());
  } else if (demand_) {
    const sink::Plan& plan = builder_->plan(demand_table_);
    altering_ = writer_->alter(builder_->name(demand_table_), plan.table.oid, *demand_,
                               plan.schema_changes);
    altering_.start();
  } else if (builder_->wants_table() && !filling_->closed) {
    read_table(builder_->tables());
  } else if (positions_unknown_) {
    std::vector<ledger::Key> keys;
    for (const auto& [key, state] : partitions_) keys.push_back(key);
    if (keys.empty()) {
      positions_unknown_ = false;
      return;
    }
    start_positions(std::move(keys));
  } else if (assign_waits_) {
    start_positions(positions_for_);
  } else if (retry_in_flight_ || due() || look_due()) {
    if (!retry_in_flight_ && filling_->batch.partitions.empty()) {
      look();
      looked_at_ = now;
      if (filling_->batch.partitions.empty()) return;
    }
    if (!retry_in_flight_) {
      std::swap(filling_, in_flight_);
      filling_->clear();
      builder_->begin(filling_->batch);
      if (in_flight_->has_messages() == false) end_only_at_ = now;
    }
    retry_in_flight_ = false;
    applying_since_ = now;
    let_wait(in_flight_->batch);
    applying_ = writer_->apply(in_flight_->batch, in_flight_->records, protocol_, breaker_, tally_);
    applying_.start();
  } else if (writer_->connected() && now - last_use_ > kIdleConnection) {
    writer_->drop();  // 200 idle tasks must not be 200 backends
  }
  if (working()) {
    last_use_ = now;
    finish_work();
  }
}

// A table that is new to the task may be one that messages make.
void Lane::read_table(std::size_t number) {
  reading_ = number;
  const bool is_new = number == builder_->tables();
  const bool may_make = is_new || builder_->plan(number).table.oid == 0;
  planning_ = writer_->read_table(is_new ? builder_->wanted() : builder_->name(number),
                                  may_make && config_.task->makes_tables());
  planning_.start();
}

void Lane::finish_work() {
  if (applying_.done()) {
    sink::Outcome outcome = applying_.take();
    finish_apply(std::move(outcome));
  } else if (positioning_.done()) {
    auto result = positioning_.take();
    finish_positions(std::move(result));
  } else if (planning_.done()) {
    auto result = planning_.take();
    finish_plan(std::move(result));
  } else if (adding_.done()) {
    auto result = adding_.take();
    if (!result)
      return retry_later(result.error(), classify(result.error(), Phase::kOpen), Phase::kOpen);
  } else if (altering_.done()) {
    auto result = altering_.take();
    finish_altering(std::move(result));
  }
}

void Lane::finish_apply(sink::Outcome outcome) {
  using Kind = sink::Outcome::Kind;
  switch (outcome.kind) {
    case Kind::kApplied:
      return applied();
    case Kind::kRetry:
      retry_in_flight_ = true;
      if (outcome.failure == FailureClass::kPlan) {
        // Not of a table: of the ledger, say.
        if (outcome.tables.empty()) return end_failed(std::move(outcome.error));
        const std::size_t first = outcome.tables.front();
        const std::string again = outcome.error.code + ' ' + builder_->plan(first).table.signature;
        if (outcome.error.code != "signature" && plan_error_ == again) {
          return end_failed(std::move(outcome.error));
        }
        plan_error_ = again;
        stale_ = std::move(outcome.tables);
        return;
      }
      if (outcome.error.code == "57014" && in_flight_->records.size() > 1) {
        row_limit_ =
            std::max<std::int64_t>(1, static_cast<std::int64_t>(in_flight_->records.size()) / 2);
        drop_batches();
        seek_to_ledger();
      }
      return retry_later(outcome.error, outcome.failure, outcome.phase);
    case Kind::kReposition:
      log::warning("the ledger is elsewhere: going on from its positions",
                   {{"task", config_.task->name},
                    {"lane", number_},
                    {"verdict", name_of(outcome.decision.verdict)},
                    {"topic", outcome.decision.key.topic},
                    {"partition", outcome.decision.key.partition}});
      drop_batches();
      return seek_to_ledger();
    case Kind::kStop:
      break;
  }
  using ledger::Verdict;
  const ledger::Decision& decision = outcome.decision;
  if (decision.verdict == Verdict::kFenced || decision.verdict == Verdict::kGoneBack) {
    LaneEnd end;
    end.kind = LaneEnd::Kind::kFenced;
    end.key = decision.key;
    return end_with(std::move(end));
  }
  if (decision.verdict == Verdict::kLost) {
    return end_failed(fail(Domain::kLedger, "ledger_lost",
                           fmt::format("the ledger has no row for {}/{}, although it had one",
                                       decision.key.topic, decision.key.partition),
                           "Restore the ledger from a backup, or start again with --reset.")
                          .value());
  }
  end_failed(std::move(outcome.error));
}

void Lane::applied() {
  if (SLUICE_FAIL_POINT("after_commit_before_group_offset")) writer_->drop();
  for (const auto& range : in_flight_->batch.partitions) {
    group_offsets_[range.key] = range.cut >= 0 ? range.cut : range.to;
  }
  commit_group_offsets(false);
  report_failures();
  report_incomplete();
  count_applied();
  retries_ = 0;
  failing_since_.reset();
  looked_at_ = steady_clock::now();
  rest_until_ =
      looked_at_ + std::min<steady_clock::duration>(
                       {looked_at_ - applying_since_, kLongestRest, config_.task->tuning.linger});
  plan_error_.clear();
  row_limit_ = std::min(config_.task->tuning.batch_rows, row_limit_ * 2);
  last_use_ = steady_clock::now();
  if (!tally_.cuts.empty()) {
    const auto& cut = tally_.cuts.front();
    LaneEnd end;
    end.kind = LaneEnd::Kind::kHalted;
    end.key = in_flight_->batch.partitions[cut.partition].key;
    end.offset = cut.offset;
    end.error = cut.error;
    for (std::size_t i = 0; i < in_flight_->records.size(); ++i) {
      const message::Message message = in_flight_->records.at(i);
      if (message.offset != cut.offset || message.partition != end.key.partition ||
          message.topic != end.key.topic) {
        continue;
      }
      end.excerpt = std::string(message.value.substr(0, 200));
    }
    end_with(std::move(end));
  } else if (wait_for_others()) {
    drop_batches();
    seek_to_ledger();
  } else if (in_flight_->batch.stop && !wait_for_structure(*in_flight_->batch.stop)) {
    stop_at(std::move(*in_flight_->batch.stop));
  }
  in_flight_->clear();
  publish();
}

// What lies before the message is applied. The table gets what the message asks for, if the task
// allows it; to ask for the same at the same place again would never end.
void Lane::stop_at(sink::Stop stop) {
  std::string where;
  for (const auto& range : in_flight_->batch.partitions) {
    if (range.cut >= 0) {
      where += fmt::format("{}/{}:{} ", range.key.topic, range.key.partition, range.cut);
    }
  }
  where += stop.error.remedy;
  if (!stop.demand || last_demand_ == where) return end_failed(std::move(stop.error));
  last_demand_ = std::move(where);
  demand_table_ = stop.table;
  demand_ = std::move(stop.demand);
}

void Lane::finish_altering(Result<sink::Writer::Altered> result) {
  if (!result) {
    const Phase phase = Phase::kAlter;
    const FailureClass failure = classify(result.error(), phase);
    // "It is there already" passes by itself if somebody else has made it; the same once more is a
    // name that the server takes for another one.
    const bool there = result.error().code == "42701" || result.error().code == "42P07";
    if (there && result.error().message == alter_error_) return end_failed(result.error());
    if (there) alter_error_ = result.error().message;
    return retry_later(result.error(), failure, phase);
  }
  for (const auto& alteration : result->done) {
    log::info("the table follows its source", {{"task", config_.task->name},
                                               {"table", result->table.qualified()},
                                               {"column", alteration.column},
                                               {"sql", alteration.sql}});
  }
  if (auto compiled = compile(demand_table_, std::move(result->table)); !compiled) {
    return end_failed(compiled.error());
  }
  demand_.reset();
  alter_error_.clear();
  retries_ = 0;
  failing_since_.reset();
  {
    const std::lock_guard lock(mutex_);
    figures_.alterations += static_cast<std::int64_t>(result->done.size());
    figures_.retrying.clear();
  }
  // What has accumulated was encoded for the table as it was.
  drop_batches();
  seek_to_ledger();
}

void Lane::count_applied() {
  TimeHistogram latency;
  const auto now_ms =
      std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  for (const std::int64_t timestamp_ms : in_flight_->timestamps_ms) {
    if (timestamp_ms < 0) continue;
    const auto age_ms = std::max<std::int64_t>(0, now_ms - timestamp_ms);
    latency.observe(static_cast<double>(age_ms) / 1000);
  }
  const auto& failures = in_flight_->batch.failures;
  const auto messages = std::count_if(failures.begin(), failures.end(), [](const auto& failure) {
    return failure.error.domain == Domain::kMessage;
  });
  const auto now = steady_clock::now();
  const std::lock_guard lock(mutex_);
  figures_.tally.written += tally_.written;
  figures_.tally.deleted += tally_.deleted;
  figures_.tally.ignored += tally_.ignored;
  figures_.tally.discarded += tally_.discarded;
  figures_.tally.dead += tally_.dead;
  if (tally_.swept) figures_.tally.swept = figures_.tally.swept.value_or(0) + *tally_.swept;
  figures_.tally.incomplete.rows += tally_.incomplete.rows;
  figures_.batches += 1;
  figures_.bytes += in_flight_->bytes;
  figures_.connects = writer_->connects();
  figures_.latency_seconds.add(latency);
  if (config_.task->on_failure != task::OnFailure::kRetain) {
    figures_.failed_message += messages;
    figures_.failed_data += static_cast<std::int64_t>(failures.size()) - messages;
  }
  if (!in_flight_->has_messages()) return;
  figures_.commit_seconds.observe(std::chrono::duration<double>(now - applying_since_).count());
  if (!figures_.first_taken) figures_.first_taken = in_flight_->opened;
  figures_.last_applied = now;
}

// Discarded or delivered messages are counted exactly and logged as a sample.
void Lane::report_failures() {
  const auto& failures = in_flight_->batch.failures;
  if (failures.empty() || config_.task->on_failure == task::OnFailure::kRetain) return;
  const auto now = steady_clock::now();
  if (now - last_sample_ < seconds(1)) return;
  last_sample_ = now;
  const auto& failure = failures.front();
  const message::Message message = in_flight_->records.at(failure.record);
  log::warning(config_.task->on_failure == task::OnFailure::kDeliver
                   ? "message became a dead letter"
                   : "message discarded",
               {{"task", config_.task->name},
                {"topic", message.topic},
                {"partition", message.partition},
                {"offset", message.offset},
                {"code", failure.error.code},
                {"column", failure.error.column},
                {"constraint", failure.error.constraint},
                {"in_batch", static_cast<std::int64_t>(failures.size())}});
}

void Lane::finish_plan(Result<postgres::TableInfo> result) {
  const bool is_new = reading_ == builder_->tables();
  if (!result) {
    FailureClass failure = classify(result.error(), Phase::kRead);
    if (failure == FailureClass::kPlan) failure = FailureClass::kFatal;  // the table is gone
    if (is_new && failure == FailureClass::kFatal) return refuse_table(result.error());
    // What does not need it goes on.
    if (is_new && filling_->has_messages()) filling_->closed = true;
    return retry_later(result.error(), failure, Phase::kRead);
  }
  if (!is_new) {
    const sink::Plan& plan = builder_->plan(reading_);
    if (plan.table.oid != 0 && result->oid != plan.table.oid) {
      return end_failed(fail(Domain::kLedger, "another_table",
                             fmt::format("{} is another table than when the task began (dropped "
                                         "and created again?)",
                                         plan.target),
                             "If that is meant, start with --adopt to go on, or with --reset to "
                             "begin again.")
                            .value());
    }
  } else if (auto apart = apart_from_ledger(*result, config_.task->target.ledger_schema); !apart) {
    return refuse_table(apart.error());
  }
  const bool same = !is_new && result->signature == builder_->plan(reading_).table.signature;
  if (auto compiled = compile(reading_, std::move(*result)); !compiled) {
    return is_new ? refuse_table(compiled.error()) : end_failed(compiled.error());
  }
  retries_ = 0;
  failing_since_.reset();
  publish();
  if (is_new && reading_ == builder_->tables()) return;  // known by another name
  if (is_new) {
    log::info("a table joins the task", {{"task", config_.task->name},
                                         {"lane", number_},
                                         {"table", builder_->plan(reading_).target}});
    return;
  }
  stale_.erase(stale_.begin());
  if (!stale_.empty()) return;
  builder_->rebuild(in_flight_->batch, in_flight_->records);
  builder_->rebuild(filling_->batch, filling_->records);
  go_on_behind_cuts();
  if (same) return;
  log::info("the table was altered: compiled anew",
            {{"task", config_.task->name}, {"table", builder_->plan(reading_).target}});
}

// What lies before the first message of the table is applied, then the task ends.
void Lane::refuse_table(Error error) {
  if (!filling_->has_messages()) return end_failed(std::move(error));
  builder_->forget_wanted();
  sink::Stop stop;
  stop.error = std::move(error);
  filling_->batch.stop = std::move(stop);
  filling_->closed = true;
}

// After batches were encoded anew: a message that ended its partition may fit now. What came behind
// it was passed over.
void Lane::go_on_behind_cuts() {
  const auto cut = [](const Side& side, const ledger::Key& key) {
    const auto* range = range_of(side, key);
    return range != nullptr && range->cut >= 0;
  };
  for (auto& [key, state] : partitions_) {
    if (!state.ended || cut(*in_flight_, key) || cut(*filling_, key)) continue;
    state.ended = false;
    state.maybe_more = true;
    if (auto done = consumer_->seek(partition_of(key), state.next); !done) {
      return end_failed(done.error());
    }
  }
}

void Lane::retry_later(const Error& error, FailureClass failure, Phase phase) {
  const auto now = steady_clock::now();
  if (failure == FailureClass::kFatal || failure == FailureClass::kData) return end_failed(error);
  if (!failing_since_) failing_since_ = now;
  const auto& limit = config_.task->retry_for;
  if (limit && failure != FailureClass::kInDoubt && now - *failing_since_ > *limit) {
    Error last = error;
    last.message = fmt::format("gave up after retry_for: {}", error.message);
    return end_failed(std::move(last));
  }
  // A primary that was demoted, or a default that was changed, stays read-only for this session.
  if (error.code == "25006") writer_->drop();
  // At once the first time after a conflict or a lost answer; then 0.1 s, doubled up to 10 s.
  const bool at_once = retries_ == 0 && failure != FailureClass::kEnvironment;
  const auto pause =
      at_once ? milliseconds(0)
              : std::min(milliseconds(10'000), milliseconds(100) * (1 << std::min(retries_, 7)));
  retry_at_ = now + pause;
  if (!at_once && (retries_ < 3 || retries_ % 10 == 0)) {
    log::warning("retrying", {{"task", config_.task->name},
                              {"lane", number_},
                              {"class", name_of(failure)},
                              {"phase", name_of(phase)},
                              {"code", error.code},
                              {"reason", error.message},
                              {"in_ms", static_cast<std::int64_t>(pause.count())}});
  }
  ++retries_;
  const std::lock_guard lock(mutex_);
  figures_.retrying = to_string(error);
  figures_.retry_class = failure;
}

}  // namespace sluice::pipeline
