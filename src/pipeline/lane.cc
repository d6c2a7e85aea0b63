#include "pipeline/lane.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "base/fail_point.h"
#include "base/log.h"
#include "pipeline/failure.h"

namespace sluice::pipeline {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds kReleasePatience{5'000};   // REVOKE waits so long for the batch
constexpr milliseconds kStopPatience{7'000};      // a stop waits so long for the batch
constexpr milliseconds kLeavePatience{2'000};     // leaving the group
constexpr milliseconds kEndOnlyPeriod{1'000};     // positions that move without a row
constexpr milliseconds kGroupOffsetPeriod{1'000};
constexpr seconds kIdleConnection{30};            // then it is given back
constexpr int kChunk = 500;                       // records taken before sockets are looked at again
constexpr std::size_t kShapesLimit = 64;          // COPYs of one batch

ledger::Key key_of(const kafka::TopicPartition& partition) {
  return {partition.topic, partition.partition};
}
kafka::TopicPartition partition_of(const ledger::Key& key) { return {key.topic, key.partition}; }

}  // namespace

void Lane::Side::clear() {
  records.clear();
  batch.clear();
  bytes = 0;
  closed = false;
}

Lane::Lane(const LaneConfig& config, int number, std::function<void()> ended)
    : config_(config),
      number_(number),
      on_end_(std::move(ended)),
      topics_(config.topics),
      protocol_(config.epoch),
      breaker_(config.task->breaker.share, config.task->breaker.window),
      filling_(std::make_unique<Side>()),
      in_flight_(std::make_unique<Side>()),
      row_limit_(config.task->tuning.batch_rows) {
  stop_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  SLUICE_CHECK(stop_fd_ >= 0);
  polled_.resize(kChunk);
  thread_ = std::thread([this] { run(); });
}

Lane::~Lane() {
  stop();
  thread_.join();
  close(stop_fd_);
}

void Lane::stop() { eventfd_write(stop_fd_, 1); }

LaneFigures Lane::figures() const {
  const std::lock_guard lock(mutex_);
  return figures_;
}

std::optional<LaneEnd> Lane::end() const {
  const std::lock_guard lock(mutex_);
  return end_;
}

void Lane::run() {
  auto ready = set_up();
  if (!ready) {
    end_failed(ready.error());
  } else {
    loop();
  }
  // Order: the connection first (the server rolls back what is open), then what holds records, then
  // the consumer that owns their memory.
  applying_.reset();
  positioning_.reset();
  planning_.reset();
  adding_.reset();
  if (writer_) writer_->drop();
  filling_->clear();
  in_flight_->clear();
  polled_.clear();
  if (consumer_) {
    commit_group_offsets(true);
    consumer_->close(kLeavePatience);
    consumer_.reset();
  }
  end_with({});  // kStopped, unless something else was said before
  on_end_();
}

Result<bool> Lane::set_up() {
  auto plan = sink::compile(*config_.task, config_.table);
  if (!plan) return fail(plan.error().front());
  plan_ = std::move(*plan);
  auto builder = sink::RowBuilder::create(*plan_, config_.task->tuning.copy_format,
                                          config_.task->on_failure == task::OnFailure::kRetain);
  if (!builder) return fail(builder.error());
  builder_ = std::move(*builder);
  builder_->begin(filling_->batch, *plan_);

  sink::WriterConfig writer = config_.writer;
  writer.instance = fmt::format("{}/{}", writer.instance, number_);
  writer.classify = &classify;
  writer_ = std::make_unique<sink::Writer>(std::move(writer));

  kafka::ConsumerConfig consumer = config_.consumer;
  consumer.client_id = fmt::format("{}-{}", consumer.client_id, number_);
  auto created = kafka::Consumer::create(consumer);
  if (!created) return fail(created.error());
  consumer_ = std::move(*created);
  return consumer_->subscribe(config_.task->source.topics);
}

bool Lane::working() const {
  return applying_.valid() || positioning_.valid() || planning_.valid() || adding_.valid();
}

void Lane::loop() {
  last_use_ = steady_clock::now();
  while (!done_) {
    postgres::Connection& connection = writer_->active();
    pollfd fds[3] = {{consumer_->wake_fd(), POLLIN, 0},
                     {stop_fd_, POLLIN, 0},
                     {working() ? connection.fd() : -1, connection.wanted_events(), 0}};
    ::poll(fds, 3, wait_ms());
    if ((fds[1].revents & POLLIN) != 0) {
      eventfd_t ignored = 0;
      eventfd_read(stop_fd_, &ignored);
      begin_stop();
    }
    if ((fds[0].revents & POLLIN) != 0) {
      consumer_->drain_wake();
      for (auto& [key, state] : partitions_) state.maybe_more = true;
    }
    serve_control();
    if (working()) {
      const auto deadline = connection.deadline();
      const bool late = deadline && steady_clock::now() >= *deadline;
      if (fds[2].revents != 0 || late) {
        if (writer_->awaiting_commit() && SLUICE_FAIL_POINT("after_commit_before_answer")) {
          connection.close();
        }
        connection.on_ready(fds[2].revents);
      }
    }
    finish_work();
    commit_group_offsets(false);
    if (!done_) handle_control();
    if (!done_) fill();
    if (!done_) start_work();
  }
}

// How long the loop may sleep: until a socket has something, or the nearest of its own times.
int Lane::wait_ms() const {
  const auto now = steady_clock::now();
  auto until = now + seconds(1);
  if (working()) {
    if (const auto deadline = writer_->active().deadline()) until = std::min(until, *deadline);
  } else if (retry_at_ > now) {
    until = std::min(until, retry_at_);
  } else if (!stopping_ && !release_by_ && filling_->batch.partitions.size() > 0) {
    until = std::min(until, filling_->has_messages() ? now : end_only_at_ + kEndOnlyPeriod);
  }
  if (release_by_) until = std::min(until, *release_by_);
  if (stopping_) until = std::min(until, stop_by_);
  if (!filling_->closed && !release_by_ && !stopping_ && !full()) {
    for (const auto& [key, state] : partitions_) {
      if (state.maybe_more && !state.ended) return 0;
    }
  }
  const auto left = std::chrono::ceil<milliseconds>(until - now).count();
  return static_cast<int>(std::max<std::int64_t>(0, left));
}

// ---- the group -----------------------------------------------------------------------------------

void Lane::serve_control() {
  while (auto event = consumer_->poll_control()) {
    if (event->kind == kafka::ControlEvent::Kind::kError) {
      const bool waits = !event->fatal &&
                         classify(event->error, Phase::kKafka) == FailureClass::kEnvironment;
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
      if (stopping_) {  // answered, and given back at once by leaving
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

bool Lane::holds(const Side& side, const std::vector<kafka::TopicPartition>& partitions) const {
  for (const auto& range : side.batch.partitions) {
    for (const auto& partition : partitions) {
      if (range.key == key_of(partition)) return true;
    }
  }
  return false;
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
    builder_->begin(filling_->batch, *plan_);
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

// ---- from queues to a batch ----------------------------------------------------------------------

bool Lane::full() const {
  return static_cast<std::int64_t>(filling_->records.size()) >= row_limit_ ||
         filling_->bytes >= config_.batch_bytes || filling_->batch.shapes.size() > kShapesLimit;
}

void Lane::fill() {
  if (stopping_ || release_by_ || positions_unknown_ || plan_stale_ || filling_->closed) return;
  int taken = 0;
  for (auto& [key, state] : partitions_) {
    if (!state.maybe_more || state.ended) continue;
    while (!full() && !filling_->closed && taken < 4 * kChunk) {
      const std::size_t before = filling_->records.size();
      if (!fill_partition(key, state)) break;
      if (done_) return;
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
  if (event && !state.ended) handle_event(key, state, *event);
  return true;
}

void Lane::take(const ledger::Key& key, PartitionState& state, kafka::Record record) {
  // Below the position: fetched before a seek. Behind a cut: not to be applied.
  if (state.ended || record.offset() < state.next) return;
  if (!filling_->has_messages()) {
    filling_->opened = steady_clock::now();
    filling_->batch.first_sequence = sequence_;
    if (SLUICE_FAIL_POINT("after_poll")) writer_->drop();
  }
  ++sequence_;
  sink::Batch& batch = filling_->batch;
  const std::uint16_t index = batch.partition_index(key, state.next);
  sink::PartitionRange& range = batch.partitions[index];
  const std::int64_t offset = record.offset();
  range.to = state.next = offset + 1;
  range.last_offset = offset;
  range.last_timestamp_ms = record.timestamp_ms();
  range.at_end = false;
  filling_->bytes += static_cast<std::int64_t>(record.key().size() + record.value().size());
  filling_->records.push(std::move(record));
  const auto added = builder_->add(batch, *plan_, filling_->records, index);
  if (added != sink::RowBuilder::Added::kFailure) return;
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

void Lane::handle_event(const ledger::Key& key, PartitionState& state,
                        const kafka::PartitionEvent& event) {
  switch (event.kind) {
    case kafka::PartitionEvent::Kind::kEnd:
      if (event.offset > state.next) {
        sink::Batch& batch = filling_->batch;
        const std::uint16_t index = batch.partition_index(key, state.next);
        batch.partitions[index].to = state.next = event.offset;
      }
      for (auto& range : filling_->batch.partitions) {
        if (range.key == key) range.at_end = true;
      }
      return;
    case kafka::PartitionEvent::Kind::kOffsetInvalid: {
      LaneEnd end;
      end.kind = LaneEnd::Kind::kGap;
      end.key = key;
      end.offset = state.next;
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

// ---- one piece of work at a time on the connection -----------------------------------------------

// Whether what has accumulated is to be written now.
bool Lane::due() const {
  if (filling_->batch.partitions.empty()) return false;
  const auto now = steady_clock::now();
  if (!filling_->has_messages()) return now - end_only_at_ >= kEndOnlyPeriod;
  if (filling_->closed || full() || release_by_) return true;
  if (now - filling_->opened >= config_.task->tuning.linger) return true;
  return std::none_of(partitions_.begin(), partitions_.end(), [](const auto& item) {
    return item.second.maybe_more && !item.second.ended;
  });
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
  if (plan_stale_) {
    auto name = postgres::parse_table_name(config_.task->target.table);
    SLUICE_CHECK(name.has_value());
    planning_ = writer_->read_table(std::move(*name));
    planning_.start();
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
  } else if (retry_in_flight_ || due()) {
    if (!retry_in_flight_) {
      std::swap(filling_, in_flight_);
      filling_->clear();
      builder_->begin(filling_->batch, *plan_);
      if (in_flight_->has_messages() == false) end_only_at_ = now;
    }
    retry_in_flight_ = false;
    applying_ = writer_->apply(in_flight_->batch, *plan_, in_flight_->records, protocol_, breaker_,
                               tally_);
    applying_.start();
  } else if (writer_->connected() && now - last_use_ > kIdleConnection) {
    writer_->drop();  // 200 idle tasks must not be 200 backends
  }
  if (working()) {
    last_use_ = now;
    finish_work();
  }
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
    if (!result) return retry_later(result.error(), classify(result.error(), Phase::kOpen), Phase::kOpen);
  }
}

void Lane::finish_apply(sink::Outcome outcome) {
  using Kind = sink::Outcome::Kind;
  switch (outcome.kind) {
    case Kind::kApplied: return applied();
    case Kind::kRetry:
      retry_in_flight_ = true;
      if (outcome.failure == FailureClass::kPlan) {
        const std::string again = outcome.error.code + ' ' + plan_->table.signature;
        if (outcome.error.code != "signature" && plan_error_ == again) {
          return end_failed(std::move(outcome.error));
        }
        plan_error_ = again;
        plan_stale_ = true;
        return;
      }
      if (outcome.error.code == "57014" && in_flight_->records.size() > 1) {
        row_limit_ = std::max<std::int64_t>(
            1, static_cast<std::int64_t>(in_flight_->records.size()) / 2);
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
    case Kind::kStop: break;
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
  {
    const std::lock_guard lock(mutex_);
    figures_.tally.written += tally_.written;
    figures_.tally.deleted += tally_.deleted;
    figures_.tally.ignored += tally_.ignored;
    figures_.tally.discarded += tally_.discarded;
    figures_.tally.dead += tally_.dead;
    figures_.batches += 1;
    figures_.bytes += in_flight_->bytes;
    if (in_flight_->has_messages()) {
      if (!figures_.first_taken) figures_.first_taken = in_flight_->opened;
      figures_.last_applied = steady_clock::now();
    }
  }
  retries_ = 0;
  failing_since_.reset();
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
  }
  in_flight_->clear();
  publish();
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
  log::warning(config_.task->on_failure == task::OnFailure::kDeliver ? "message became a dead letter"
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

void Lane::start_positions(std::vector<ledger::Key> keys) {
  positions_for_ = keys;
  positioning_ = writer_->read_positions(std::move(keys));
  positioning_.start();
}

void Lane::finish_positions(Result<sink::Writer::Positions> result) {
  if (!result) {
    return retry_later(result.error(), classify(result.error(), Phase::kOpen), Phase::kOpen);
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
    log::info("new partition", {{"task", config_.task->name},
                                {"topic", key.topic},
                                {"partition", key.partition}});
  }
  // Those in between belong to other lanes, or are assigned later: their rows are made as well.
  adding_ = writer_->add_partitions(config_.epoch, topics_, std::move(start));
  adding_.start();
}

void Lane::finish_plan(Result<postgres::TableInfo> result) {
  if (!result) {
    FailureClass failure = classify(result.error(), Phase::kRead);
    if (failure == FailureClass::kPlan) failure = FailureClass::kFatal;  // the table is gone
    return retry_later(result.error(), failure, Phase::kRead);
  }
  if (result->oid != config_.table.oid) {
    return end_failed(fail(Domain::kLedger, "another_table",
                           fmt::format("{} is another table than when the task began (dropped and "
                                       "created again?)",
                                       plan_->target),
                           "If that is meant, start with --adopt to go on, or with --reset to "
                           "begin again.")
                          .value());
  }
  auto plan = sink::compile(*config_.task, std::move(*result));
  if (!plan) return end_failed(plan.error().front());
  auto builder = sink::RowBuilder::create(*plan, config_.task->tuning.copy_format,
                                          config_.task->on_failure == task::OnFailure::kRetain);
  if (!builder) return end_failed(builder.error());
  plan_ = std::move(*plan);
  builder_ = std::move(*builder);
  plan_stale_ = false;
  const auto form = plan_->binary && config_.task->tuning.copy_format !=
                                         task::Tuning::CopyFormat::kText
                        ? sink::Form::kBinary
                        : sink::Form::kText;
  builder_->rebuild(in_flight_->batch, *plan_, in_flight_->records, form);
  builder_->rebuild(filling_->batch, *plan_, filling_->records, form);
  log::info("the table was altered: compiled anew", {{"task", config_.task->name}});
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

// ---- giving up work --------------------------------------------------------------------------------

void Lane::drop_batches() {
  retry_in_flight_ = false;
  in_flight_->clear();
  filling_->clear();
  builder_->begin(filling_->batch, *plan_);
}

// Every partition goes on from the ledger's position, if it is not there.
void Lane::seek_to_ledger() {
  for (auto& [key, state] : partitions_) {
    const auto position = protocol_.position(key);
    SLUICE_CHECK(position.has_value());
    const bool in_hand = holds(*filling_, {partition_of(key)}) ||
                         ((applying_.valid() || retry_in_flight_) &&
                          holds(*in_flight_, {partition_of(key)}));
    if (in_hand || state.next == *position) continue;
    state.next = *position;
    state.maybe_more = true;
    state.ended = false;
    if (auto done = consumer_->seek(partition_of(key), *position); !done) {
      return end_failed(done.error());
    }
  }
}

// The batch in flight is given up: its connection is dropped, and only the ledger knows what became
// of it.
void Lane::abandon() {
  applying_.reset();
  writer_->drop();
  protocol_.abandon();
  drop_batches();
  positions_unknown_ = true;
}

void Lane::begin_stop() {
  if (stopping_) return;
  stopping_ = true;
  stop_by_ = steady_clock::now() + kStopPatience;
  retry_in_flight_ = false;
}

void Lane::end_with(LaneEnd end) {
  const std::lock_guard lock(mutex_);
  if (!end_) end_ = std::move(end);
  done_ = true;
}

void Lane::end_failed(Error error) {
  LaneEnd end;
  end.kind = LaneEnd::Kind::kFailed;
  end.error = std::move(error);
  end_with(std::move(end));
}

void Lane::commit_group_offsets(bool now) {
  if (group_offsets_.empty()) return;
  const auto time = steady_clock::now();
  if (!now && time - group_offsets_at_ < kGroupOffsetPeriod) return;
  group_offsets_at_ = time;
  std::map<kafka::TopicPartition, std::int64_t> offsets;
  for (const auto& [key, offset] : group_offsets_) offsets[partition_of(key)] = offset;
  consumer_->commit_group_offsets(offsets);
  group_offsets_.clear();
}

void Lane::publish() {
  const std::lock_guard lock(mutex_);
  figures_.partitions = static_cast<int>(partitions_.size());
  figures_.retrying.clear();
}

}  // namespace sluice::pipeline
