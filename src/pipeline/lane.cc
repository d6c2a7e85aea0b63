#include "pipeline/lane.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "base/fail_point.h"
#include "base/log.h"
#include "kafka/errors.h"
#include "pipeline/failure.h"

namespace sluice::pipeline {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds kStopPatience{7'000};   // a stop waits so long for the batch
constexpr milliseconds kLeavePatience{2'000};  // leaving the group
constexpr milliseconds kGroupOffsetPeriod{1'000};

}  // namespace

void LaneFigures::add(const LaneFigures& more) {
  tally.written += more.tally.written;
  tally.deleted += more.tally.deleted;
  tally.ignored += more.tally.ignored;
  tally.discarded += more.tally.discarded;
  tally.dead += more.tally.dead;
  if (more.tally.swept) tally.swept = tally.swept.value_or(0) + *more.tally.swept;
  tally.incomplete.rows += more.tally.incomplete.rows;
  batches += more.batches;
  bytes += more.bytes;
  failed_message += more.failed_message;
  failed_data += more.failed_data;
  connects += more.connects;
  alterations += more.alterations;
  commit_seconds.add(more.commit_seconds);
  latency_seconds.add(more.latency_seconds);
  if (more.first_taken && (!first_taken || *more.first_taken < *first_taken)) {
    first_taken = more.first_taken;
  }
  if (more.last_applied && (!last_applied || *more.last_applied > *last_applied)) {
    last_applied = more.last_applied;
  }
}

void Lane::Side::clear() {
  records.clear();
  batch.clear();
  timestamps_ms.clear();
  bytes = 0;
  held = 0;
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
  drop_work();
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
  sink::BatchBuilder::Options options;
  options.copy_format = config_.task->tuning.copy_format;
  options.retain = config_.task->on_failure == task::OnFailure::kRetain;
  options.on_demand = sink::OnDemand::kStop;
  auto builder = sink::BatchBuilder::create(*config_.task, options);
  if (!builder) return fail(builder.error());
  builder_ = std::move(*builder);
  if (!config_.task->has_many_tables()) {
    if (auto compiled = compile(0, config_.table); !compiled) return compiled;
  }
  builder_->begin(filling_->batch);

  sink::WriterConfig writer = config_.writer;
  writer.instance = fmt::format("{}/{}", writer.instance, number_);
  writer.classify = &classify;
  writer_ = std::make_unique<sink::Writer>(std::move(writer));

  kafka::ConsumerConfig consumer = config_.consumer;
  consumer.client_id = fmt::format("{}-{}", consumer.client_id, number_);
  for (const auto& [topic, state] : config_.topics) consumer.topic_ids[topic] = state.id;
  auto created = kafka::Consumer::create(consumer);
  if (!created) return fail(created.error());
  consumer_ = std::move(*created);
  return consumer_->subscribe(config_.task->source.topics);
}

Result<bool> Lane::compile(std::size_t number, postgres::TableInfo table) {
  auto plan = sink::compile(*config_.task, std::move(table), config_.zone, number);
  if (!plan) return fail(plan.error().front());
  return builder_->set_table(number, std::move(*plan));
}

bool Lane::working() const {
  return applying_.valid() || positioning_.valid() || planning_.valid() || adding_.valid() ||
         altering_.valid();
}

void Lane::loop() {
  last_use_ = looked_at_ = steady_clock::now();
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
    until = std::min(until, filling_->has_messages() ? std::max(now, rest_until_)
                                                     : end_only_at_ + kEndOnlyPeriod);
  }
  if (release_by_) until = std::min(until, *release_by_);
  if (stopping_) until = std::min(until, stop_by_);
  const bool fills = stale_.empty() && !demand_ && !builder_->wants_table() && !positions_unknown_;
  if (fills && !filling_->closed && !release_by_ && !stopping_ && !full()) {
    for (const auto& [key, state] : partitions_) {
      if (!state.maybe_more || state.ended) continue;
      if (state.waits_until <= now) return 0;
      until = std::min(until, state.waits_until);
    }
  }
  const auto left = std::chrono::ceil<milliseconds>(until - now).count();
  return static_cast<int>(std::max<std::int64_t>(0, left));
}

void Lane::drop_batches() {
  retry_in_flight_ = false;
  in_flight_->clear();
  filling_->clear();
  builder_->begin(filling_->batch);
}

// Every partition goes on behind the last batch that holds it, or from the ledger's position.
void Lane::seek_to_ledger() {
  const bool flying = applying_.valid() || retry_in_flight_;
  for (auto& [key, state] : partitions_) {
    if (range_of(*filling_, key)) continue;
    const auto position = protocol_.position(key);
    SLUICE_CHECK(position.has_value());
    const sink::PartitionRange* range = flying ? range_of(*in_flight_, key) : nullptr;
    const std::int64_t next = range ? range->to : *position;
    const bool cut = range != nullptr && range->cut >= 0;
    if (state.next == next && (cut || !state.ended)) continue;
    state.next = next;
    state.maybe_more = true;
    state.ended = false;
    if (auto done = consumer_->seek(partition_of(key), next); !done) {
      return end_failed(done.error());
    }
  }
}

// Whatever waits for PostgreSQL, then the connection: nobody would wake up what is left waiting.
void Lane::drop_work() {
  applying_.reset();
  positioning_.reset();
  planning_.reset();
  adding_.reset();
  altering_.reset();
  if (writer_) writer_->drop();
}

// The batch in flight is given up: its connection is dropped, and only the ledger knows what became
// of it. What else was going on begins again, from start_work().
void Lane::abandon() {
  drop_work();
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
  end.kind = kafka::is_unknown_topic(error) ? LaneEnd::Kind::kGap : LaneEnd::Kind::kFailed;
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

// Counted exactly and logged as a sample.
void Lane::report_incomplete() {
  if (tally_.swept) {
    log::info("a snapshot has ended: rows that it does not have were swept",
              {{"task", config_.task->name},
               {"table", in_flight_->batch.tables.front().plan->target},
               {"rows", *tally_.swept}});
  }
  if (tally_.incomplete.rows == 0) return;
  const auto now = steady_clock::now();
  if (now - last_incomplete_ < seconds(1)) return;
  last_incomplete_ = now;
  const message::Message message = in_flight_->records.at(tally_.incomplete.record);
  log::warning("a row was made without a value that the source did not send",
               {{"task", config_.task->name},
                {"topic", message.topic},
                {"partition", message.partition},
                {"offset", message.offset},
                {"table", tally_.incomplete.table},
                {"column", tally_.incomplete.column},
                {"rows", tally_.incomplete.rows}});
}

}  // namespace sluice::pipeline
