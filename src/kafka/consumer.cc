// ConsumerImpl: life, callbacks, assignment.
#include "kafka/consumer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <thread>
#include <utility>

#include "base/log.h"
#include "kafka/consumer_impl.h"
#include "kafka/properties.h"

namespace sluice::kafka {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr auto kSameErrorInterval = std::chrono::seconds(5);
constexpr auto kDestroyTime = std::chrono::milliseconds(500);

}  // namespace

// --- Callbacks: all of them run inside poll_control() or close(), on the lane's thread.

void ConsumerImpl::on_rebalance(rd_kafka_t* /*client*/, rd_kafka_resp_err_t code,
                                rd_kafka_topic_partition_list_t* list, void* opaque) {
  auto* self = static_cast<ConsumerImpl*>(static_cast<native::ClientState*>(opaque)->owner);
  if (self != nullptr) self->rebalance_requested(code, list);
}

void ConsumerImpl::on_error(rd_kafka_t* client, int code, const char* text, void* opaque) {
  auto* state = static_cast<native::ClientState*>(opaque);
  auto* self = static_cast<ConsumerImpl*>(state->owner);
  if (self == nullptr) return;
  auto error_code = static_cast<rd_kafka_resp_err_t>(code);
  if (error_code == RD_KAFKA_RESP_ERR__FATAL) {
    std::array<char, 512> reason{};
    error_code = rd_kafka_fatal_error(client, reason.data(), reason.size());
    self->add_error(error_code, reason.data(), true);
    return;
  }
  // "All brokers are down" says nothing that the failures before it did not say better.
  if (error_code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
    std::string reason_code;
    std::string reason;
    if (state->last_failure(reason_code, reason)) return;
  } else {
    state->note_failure(native::name_of(error_code), text);
  }
  self->add_error(error_code, text, false);
}

void ConsumerImpl::on_commit(rd_kafka_t* /*client*/, rd_kafka_resp_err_t code,
                             rd_kafka_topic_partition_list_t* /*list*/, void* opaque) {
  // Only a courtesy: the ledger holds the position. _NO_OFFSET: there was nothing to commit.
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR__NO_OFFSET) return;
  static_cast<native::ClientState*>(opaque)->log_line(
      4, "GROUPOFFSET",
      fmt::format(
          "group offsets could not be committed ({}): lag tools lag behind, the ledger does "
          "not",
          native::name_of(code)));
}

void ConsumerImpl::rebalance_requested(rd_kafka_resp_err_t code,
                                       const rd_kafka_topic_partition_list_t* list) {
  const char* protocol = rd_kafka_rebalance_protocol(client_);
  Request request;
  request.cooperative = protocol != nullptr && std::string_view(protocol) == "COOPERATIVE";
  request.partitions = native::partitions_of(list);
  request.kind = code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS ? ControlEvent::Kind::kAssign
                 : rd_kafka_assignment_lost(client_) != 0     ? ControlEvent::Kind::kLost
                                                              : ControlEvent::Kind::kRevoke;
  ControlEvent event;
  event.kind = request.kind;
  event.partitions = request.partitions;
  request_ = std::move(request);
  if (closing_) {
    answer_open_request();
  } else {
    events_.push_back(std::move(event));
  }
}

Error ConsumerImpl::error_of(rd_kafka_resp_err_t code, std::string_view text) const {
  const auto name = native::name_of(code);
  if (code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED) {
    return explain_about(state_->endpoint(), name, text, "group", config_.group);
  }
  return explain(state_->endpoint(), name, text);
}

void ConsumerImpl::add_error(rd_kafka_resp_err_t code, std::string_view text, bool fatal) {
  const auto now = steady_clock::now();
  if (!fatal && code == last_error_ && now - last_error_at_ < kSameErrorInterval) return;
  last_error_ = code;
  last_error_at_ = now;
  ControlEvent event;
  event.kind = ControlEvent::Kind::kError;
  event.error = error_of(code, text);
  event.fatal = fatal;
  events_.push_back(std::move(event));
}

// --- Life

Result<bool> ConsumerImpl::start(native::Conf conf) {
  rd_kafka_conf_set_rebalance_cb(conf.get(), on_rebalance);
  rd_kafka_conf_set_error_cb(conf.get(), on_error);
  rd_kafka_conf_set_offset_commit_cb(conf.get(), on_commit);
  auto client = native::make_client(std::move(conf), *state_);
  if (!client) return fail(client.error());
  client_ = client->release();
  // The main queue (errors, commits) joins the consumer queue: one place to serve.
  rd_kafka_poll_set_consumer(client_);
  control_.reset(rd_kafka_queue_get_consumer(client_));
  const std::uint64_t one = 1;
  rd_kafka_queue_io_event_enable(control_.get(), state_->wake_fd(), &one, sizeof one);
  state_->wake();
  return true;
}

Result<bool> ConsumerImpl::subscribe(const std::vector<std::string>& topics) {
  std::vector<TopicPartition> names;
  names.reserve(topics.size());
  for (const auto& topic : topics) names.push_back({topic, RD_KAFKA_PARTITION_UA});
  const auto list = native::make_list(names);
  const auto code = rd_kafka_subscribe(client_, list.get());
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return fail(Domain::kKafka, std::string(native::name_of(code)),
                fmt::format("Kafka topics \"{}\" cannot be subscribed to: {}",
                            fmt::join(topics, "\", \""), rd_kafka_err2str(code)),
                "Check the names and regular expressions of source.topics");
  }
  return true;
}

Result<bool> ConsumerImpl::read_alone(const std::map<TopicPartition, std::int64_t>& positions) {
  SLUICE_CHECK(partitions_.empty() && !request_);
  for (const auto& [id, offset] : positions) open_queue(id);
  Result<bool> done = assign_all(positions);
  state_->wake();
  return done;
}

void ConsumerImpl::drain_wake() {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = ::read(state_->wake_fd(), &count, sizeof count);
}

std::optional<ControlEvent> ConsumerImpl::poll_control() {
  if (client_ == nullptr) return std::nullopt;
  if (events_.empty()) {
    // Serves callbacks, and tells librdkafka that we live (max.poll.interval.ms).
    if (rd_kafka_message_t* message = rd_kafka_consumer_poll(client_, 0)) take_message(message);
    restart_partitions();
  }
  if (events_.empty()) return std::nullopt;
  ControlEvent event = std::move(events_.front());
  events_.pop_front();
  return event;
}

// Only errors come this way: every assigned partition has a queue of its own.
void ConsumerImpl::take_message(rd_kafka_message_t* message) {
  SLUICE_CHECK(message->err != RD_KAFKA_RESP_ERR_NO_ERROR);
  const auto code = message->err;
  std::string text = rd_kafka_message_errstr(message);
  const std::string topic = message->rkt == nullptr ? "" : rd_kafka_topic_name(message->rkt);
  rd_kafka_message_destroy(message);
  if (topic.empty()) {
    add_error(code, text, false);
    return;
  }
  ControlEvent event;
  event.kind = ControlEvent::Kind::kError;
  event.error = explain_about(state_->endpoint(), native::name_of(code), text, "topic", topic);
  events_.push_back(std::move(event));
}

// --- Assignment

Result<bool> ConsumerImpl::answered(rd_kafka_error_t* problem, std::string_view what) const {
  const native::Problem owned(problem);
  if (!owned) return true;
  return fail(Domain::kKafka, rd_kafka_error_name(owned.get()),
              fmt::format("Kafka group \"{}\": {} failed: {}", config_.group, what,
                          rd_kafka_error_string(owned.get())));
}

// Takes the partition's queue off the consumer queue before anything is fetched into it: librdkafka
// leaves a queue alone that the application has forwarded, and "forwarded nowhere" counts.
void ConsumerImpl::open_queue(const TopicPartition& id) {
  auto& partition = partitions_[id];
  if (partition.queue) return;
  expect_topic(id, partition);
  partition.queue.reset(rd_kafka_queue_get_partition(client_, id.topic.c_str(), id.partition));
  SLUICE_CHECK(partition.queue);
  rd_kafka_queue_forward(partition.queue.get(), nullptr);
  const std::uint64_t one = 1;
  rd_kafka_queue_io_event_enable(partition.queue.get(), state_->wake_fd(), &one, sizeof one);
}

void ConsumerImpl::forget(const TopicPartition& id) {
  const auto found = partitions_.find(id);
  if (found == partitions_.end()) return;
  rd_kafka_queue_io_event_enable(found->second.queue.get(), -1, nullptr, 0);
  partitions_.erase(found);
}

Result<bool> ConsumerImpl::assign(const std::map<TopicPartition, std::int64_t>& positions) {
  SLUICE_CHECK(client_ != nullptr);
  if (!request_ || request_->kind != ControlEvent::Kind::kAssign) {
    return fail(Domain::kInternal, "no_assignment",
                fmt::format("Kafka group \"{}\" asked for no assignment", config_.group));
  }
  const bool cooperative = request_->cooperative;
  for (const auto& [id, offset] : positions) open_queue(id);
  Result<bool> done = true;
  if (cooperative) {
    const auto list = native::make_list(positions);
    done = answered(rd_kafka_incremental_assign(client_, list.get()), "the assignment");
  } else {
    done = assign_all(positions);
  }
  request_.reset();
  // What was fetched between enabling the wake-up and now is not to be missed.
  state_->wake();
  return done;
}

// The eager form, where everything was revoked before: what is added is all there is.
Result<bool> ConsumerImpl::assign_all(const std::map<TopicPartition, std::int64_t>& added) {
  const auto list = native::make_list(added);
  const auto code = rd_kafka_assign(client_, list.get());
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return true;
  return fail(Domain::kKafka, std::string(native::name_of(code)),
              fmt::format("Kafka group \"{}\": the assignment failed: {}", config_.group,
                          rd_kafka_err2str(code)));
}

Result<bool> ConsumerImpl::unassign(const std::vector<TopicPartition>& partitions) {
  SLUICE_CHECK(client_ != nullptr);
  const bool answers = request_ && request_->kind != ControlEvent::Kind::kAssign;
  // librdkafka refuses a list that names a partition which is not assigned: those are left out, and
  // an answer covers whatever the group asked for.
  std::vector<TopicPartition> held;
  const auto add = [&](const std::vector<TopicPartition>& ids) {
    for (const auto& id : ids) {
      if (partitions_.contains(id) && std::find(held.begin(), held.end(), id) == held.end()) {
        held.push_back(id);
      }
    }
  };
  add(partitions);
  if (answers) add(request_->partitions);
  if (!answers && held.empty()) return true;

  Result<bool> done = true;
  if (answers && !request_->cooperative) {
    held.clear();
    for (const auto& [id, partition] : partitions_) held.push_back(id);
    rd_kafka_assign(client_, nullptr);
  } else {
    const auto list = native::make_list(held);
    done = answered(rd_kafka_incremental_unassign(client_, list.get()), "giving partitions up");
  }
  for (const auto& id : held) forget(id);
  if (answers) request_.reset();
  return done;
}

// In close(): nobody else will.
void ConsumerImpl::answer_open_request() {
  if (!request_) return;
  const Result<bool> done =
      request_->kind == ControlEvent::Kind::kAssign ? assign({}) : unassign({});
  if (!done) log::warning(done.error().message, {{"code", done.error().code}});
  request_.reset();
}

// --- Close

void ConsumerImpl::close(milliseconds limit) {
  if (client_ == nullptr) return;
  const auto deadline = steady_clock::now() + limit;
  closing_ = true;
  events_.clear();
  for (auto& [id, partition] : partitions_) partition.drop_pending();
  answer_open_request();
  const bool left = leave_group(deadline);
  while (!partitions_.empty()) forget(TopicPartition(partitions_.begin()->first));
  rd_kafka_queue_io_event_enable(control_.get(), -1, nullptr, 0);
  control_.reset();
  destroy_client(deadline, left);
}

// Until the group has let us go, or the time is over: then the group learns it by the session's
// time-out.
bool ConsumerImpl::leave_group(steady_clock::time_point deadline) {
  const native::Problem problem(rd_kafka_consumer_close_queue(client_, control_.get()));
  if (problem) return false;  // after a fatal error there is nothing to leave
  while (rd_kafka_consumer_closed(client_) == 0 && steady_clock::now() < deadline) {
    if (rd_kafka_message_t* message = rd_kafka_consumer_poll(client_, 20)) {
      rd_kafka_message_destroy(message);
    }
  }
  return rd_kafka_consumer_closed(client_) != 0;
}

// Destroying joins librdkafka's threads, and one of those may hang in a name look-up: a thread of
// its own does it, and is left to itself when the time is over. It keeps `state`, and so the
// eventfd.
void ConsumerImpl::destroy_client(steady_clock::time_point deadline, bool left) {
  struct Done {
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
  };
  state_->owner = nullptr;
  state_->silence();
  auto done = std::make_shared<Done>();
  std::thread([client = std::exchange(client_, nullptr), state = state_, left, done] {
    rd_kafka_destroy_flags(client, left ? 0 : RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    const std::lock_guard lock(done->mutex);
    done->done = true;
    done->changed.notify_all();
  }).detach();
  std::unique_lock lock(done->mutex);
  const auto until = std::max(deadline, steady_clock::now() + kDestroyTime);
  const bool destroyed = done->changed.wait_until(lock, until, [&] { return done->done; });
  if (left && destroyed) return;
  log::warning(destroyed
                   ? "the Kafka group was not left in time: it waits for the session's time-out"
                   : "the Kafka client did not close in time and was left behind",
               {{"client", config_.client_id}, {"group", config_.group}});
}

// --- Creation

Result<std::unique_ptr<Consumer>> Consumer::create(const ConsumerConfig& config) {
  auto checked = check_properties(config.properties);
  if (!checked) return fail(checked.error());
  const auto properties = consumer_properties(config);
  auto conf = native::make_conf(properties);
  if (!conf) return fail(conf.error());
  auto state = std::make_shared<native::ClientState>(endpoint_of(config.properties),
                                                     properties.at("client.id"),
                                                     native::ClientState::Failures::kLogged);
  if (config.properties.contains("debug")) state->show_debug_lines();
  auto consumer = std::make_unique<ConsumerImpl>(config, std::move(state));
  auto started = consumer->start(std::move(*conf));
  if (!started) return fail(started.error());
  return consumer;
}

std::string library_version() { return rd_kafka_version_str(); }

}  // namespace sluice::kafka
