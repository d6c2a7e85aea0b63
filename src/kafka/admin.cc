#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <set>
#include <thread>

#include "base/nearest.h"
#include "kafka/admin_impl.h"
#include "kafka/topic_pattern.h"

namespace sluice::kafka {
namespace {

using native::List;
using native::Queue;
using Options =
    std::unique_ptr<rd_kafka_AdminOptions_t, native::Deleter<rd_kafka_AdminOptions_destroy>>;
using Names =
    std::unique_ptr<rd_kafka_TopicCollection_t, native::Deleter<rd_kafka_TopicCollection_destroy>>;

constexpr auto kClosedGrace = milliseconds(1500);
constexpr auto kAskAgain = milliseconds(1000);

// A base64 topic id of zeros: the broker keeps no ids.
constexpr std::string_view kNoTopicId = "AAAAAAAAAAAAAAAAAAAAAA";

}  // namespace

bool is_passing(rd_kafka_resp_err_t code) {
  switch (code) {
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
    case RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
      return true;
    default:
      return false;
  }
}

bool may_read(const rd_kafka_AclOperation_t* operations, std::size_t count) {
  if (operations == nullptr) return true;  // the broker does not tell
  return std::any_of(operations, operations + count, [](rd_kafka_AclOperation_t operation) {
    return operation == RD_KAFKA_ACL_OPERATION_READ || operation == RD_KAFKA_ACL_OPERATION_ALL ||
           operation == RD_KAFKA_ACL_OPERATION_ANY;
  });
}

void AdminImpl::on_error(rd_kafka_t* /*client*/, int code, const char* text, void* opaque) {
  auto* state = static_cast<native::ClientState*>(opaque);
  auto* self = static_cast<AdminImpl*>(state->owner);
  if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
    self->all_down_ = true;
  } else {
    state->note_failure(native::name_of(static_cast<rd_kafka_resp_err_t>(code)), text);
  }
}

Result<bool> AdminImpl::start(native::Conf conf) {
  rd_kafka_conf_set_error_cb(conf.get(), on_error);
  auto client = native::make_client(std::move(conf), state_);
  if (!client) return fail(client.error());
  client_ = std::move(*client);
  return true;
}

// --- Questions

// Why a question got no answer: what the connections said, if they said anything.
Error AdminImpl::unanswered(rd_kafka_resp_err_t code, std::string_view text) const {
  std::string failure;
  std::string reason;
  if (!state_.last_failure(failure, reason)) {
    return explain(state_.endpoint(), native::name_of(code), text);
  }
  if (!contacted_ && looks_like_protocol_mismatch(reason)) {
    failure = kProtocolMismatch;
  }
  return explain(state_.endpoint(), failure, reason);
}

Result<Event> AdminImpl::ask(rd_kafka_admin_op_t operation, const Deadline& deadline,
                             bool operations, const Send& send) {
  const Options options(rd_kafka_AdminOptions_new(client_.get(), operation));
  std::array<char, 256> reason{};
  rd_kafka_AdminOptions_set_request_timeout(options.get(), deadline.left_ms(), reason.data(),
                                            reason.size());
  if (operations) {
    const native::Problem ignored(
        rd_kafka_AdminOptions_set_include_authorized_operations(options.get(), 1));
  }
  if (operation == RD_KAFKA_ADMIN_OP_LISTOFFSETS) {
    const native::Problem ignored(
        rd_kafka_AdminOptions_set_isolation_level(options.get(), isolation_));
  }
  if (operation == RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS) {
    // A commit in an open transaction is waited for: it may be the one that counts.
    const native::Problem ignored(
        rd_kafka_AdminOptions_set_require_stable_offsets(options.get(), 1));
  }
  // What the connections said before this question does not answer it.
  rd_kafka_poll(client_.get(), 0);
  all_down_ = false;
  // A queue of its own: an answer that comes too late falls with it.
  const Queue queue(rd_kafka_queue_new(client_.get()));
  send(options.get(), queue.get());
  auto event = wait(queue.get(), deadline);
  if (!event) return event;
  const auto code = rd_kafka_event_error(event->get());
  if (code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__TRANSPORT) {
    return fail(unanswered(code, rd_kafka_event_error_string(event->get())));
  }
  contacted_ = true;
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return fail(explain(state_.endpoint(), native::name_of(code),
                        rd_kafka_event_error_string(event->get())));
  }
  state_.clear_failure();
  return event;
}

// Until the answer is there.
Result<Event> AdminImpl::wait(rd_kafka_queue_t* queue, const Deadline& deadline) {
  std::optional<steady_clock::time_point> down_since;
  while (true) {
    rd_kafka_poll(client_.get(), 0);
    Event event(rd_kafka_queue_poll(queue, static_cast<int>(kSlice.count())));
    if (event) return event;
    if (auto error = hopeless(deadline, down_since)) return fail(std::move(*error));
  }
}

// Why waiting for an answer is to end. Early once every broker has been tried in vain, so that a
// wrong password or port is told at once; but not at the first closed connection, which a broker
// that is just going down causes as well: its next one is refused.
std::optional<Error> AdminImpl::hopeless(
    const Deadline& deadline, std::optional<steady_clock::time_point>& down_since) const {
  const auto now = steady_clock::now();
  if (all_down_ && !contacted_) {
    if (!down_since) down_since = now;
    auto error = unanswered(RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, "no broker could be reached");
    const auto grace = error.code == kProtocolMismatch ? kClosedGrace : kSlice;
    if (now - *down_since >= grace) return error;
  }
  if (now > deadline.at + kSlice) {
    return unanswered(RD_KAFKA_RESP_ERR__TIMED_OUT, "no answer in time");
  }
  return std::nullopt;
}

// Not by DescribeCluster: a broker that is just starting, or that was away for too long, names no
// broker at all for a moment, and librdkafka (2.15.1, rd_kafka_admin_response_parse) ends the
// process on such an answer. The client's own metadata carry the id too.
Result<std::string> AdminImpl::cluster_id(milliseconds timeout) {
  const Deadline deadline(timeout);
  rd_kafka_poll(client_.get(), 0);
  all_down_ = false;
  std::optional<steady_clock::time_point> down_since;
  auto asked = steady_clock::now();
  bool told = false;  // there were metadata
  while (true) {
    rd_kafka_poll(client_.get(), 0);
    char* id = rd_kafka_clusterid(client_.get(), static_cast<int>(kSlice.count()));
    if (id != nullptr || told) {
      std::string text(id == nullptr ? "" : id);  // brokers before 0.10.1 have none
      if (id != nullptr) rd_kafka_mem_free(client_.get(), id);
      contacted_ = true;
      state_.clear_failure();
      return text;
    }
    if (auto error = hopeless(deadline, down_since)) return fail(std::move(*error));
    if (steady_clock::now() - asked < kAskAgain) continue;
    // The client asks when it has connected, and not for long.
    const rd_kafka_metadata_t* metadata = nullptr;
    told = rd_kafka_metadata(client_.get(), 0, nullptr, &metadata,
                             static_cast<int>(kRetryPause.count())) == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (told) rd_kafka_metadata_destroy(metadata);
    asked = steady_clock::now();
  }
}

// --- Topics

Result<std::vector<TopicInfo>> AdminImpl::all_topics(milliseconds timeout) {
  const Deadline deadline(timeout);
  if (!contacted_) {  // the plain call below waits without listening to what the connections say
    const auto cluster = cluster_id(milliseconds(deadline.left_ms()));
    if (!cluster) return fail(cluster.error());
  }
  const rd_kafka_metadata_t* metadata = nullptr;
  const auto code = rd_kafka_metadata(client_.get(), 1, nullptr, &metadata, deadline.left_ms());
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    rd_kafka_poll(client_.get(), 0);
    return fail(unanswered(code, rd_kafka_err2str(code)));
  }
  std::vector<TopicInfo> topics;
  for (int i = 0; i < metadata->topic_cnt; ++i) {
    TopicInfo topic;
    topic.name = metadata->topics[i].topic;
    topic.partitions = metadata->topics[i].partition_cnt;
    topics.push_back(std::move(topic));
  }
  rd_kafka_metadata_destroy(metadata);
  return topics;
}

Result<std::vector<std::string>> AdminImpl::topic_names(const Deadline& deadline) {
  const auto topics = all_topics(milliseconds(deadline.left_ms()));
  if (!topics) return fail(topics.error());
  std::vector<std::string> names;
  for (const auto& topic : *topics) names.push_back(topic.name);
  return names;
}

Error AdminImpl::unknown_topic(const std::string& name, const Deadline& deadline) {
  auto error = explain_about(state_.endpoint(), "UNKNOWN_TOPIC_OR_PART", "", "topic", name);
  const auto known = topic_names(deadline);
  if (!known) return error;
  const auto near = nearest(name, *known, 3);
  if (!near.empty())
    error.remedy = fmt::format("Did you mean \"{}\"?", fmt::join(near, "\" or \""));
  return error;
}

Result<std::vector<TopicInfo>> AdminImpl::describe(const std::vector<std::string>& names,
                                                   const Deadline& deadline) {
  std::vector<const char*> texts;
  texts.reserve(names.size());
  for (const auto& name : names) texts.push_back(name.c_str());
  const Names collection(rd_kafka_TopicCollection_of_topic_names(texts.data(), texts.size()));
  const auto send = [&](const rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
    rd_kafka_DescribeTopics(client_.get(), collection.get(), options, queue);
  };
  auto event = ask(RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, deadline, true, send);
  if (!event && event.error().code == "_UNSUPPORTED_FEATURE") {  // brokers before 2.3
    event = ask(RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, deadline, false, send);
  }
  if (!event) return fail(event.error());

  std::size_t count = 0;
  const auto** described = rd_kafka_DescribeTopics_result_topics(
      rd_kafka_event_DescribeTopics_result(event->get()), &count);
  std::vector<TopicInfo> infos;
  for (std::size_t i = 0; i < count; ++i) {
    const auto* topic = described[i];
    TopicInfo info;
    info.name = rd_kafka_TopicDescription_name(topic);
    const auto* problem = rd_kafka_TopicDescription_error(topic);
    const auto code =
        problem == nullptr ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_error_code(problem);
    if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
      return fail(unknown_topic(info.name, deadline));
    }
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) {
      return fail(explain_about(state_.endpoint(), native::name_of(code),
                                rd_kafka_error_string(problem), "topic", info.name));
    }
    std::size_t size = 0;
    (void)rd_kafka_TopicDescription_partitions(topic, &size);
    info.partitions = static_cast<int>(size);
    const char* id = rd_kafka_Uuid_base64str(rd_kafka_TopicDescription_topic_id(topic));
    info.id = id == nullptr || id == kNoTopicId ? "" : id;
    info.internal = rd_kafka_TopicDescription_is_internal(topic) != 0;
    const auto* operations = rd_kafka_TopicDescription_authorized_operations(topic, &size);
    info.may_read = may_read(operations, size);
    infos.push_back(std::move(info));
  }
  return infos;
}

Result<std::vector<TopicInfo>> AdminImpl::topics(const std::vector<std::string>& names,
                                                 milliseconds timeout) {
  const Deadline deadline(timeout);
  std::set<std::string> plain;
  std::vector<TopicPattern> patterns;
  for (const auto& name : names) {
    if (!name.starts_with('^')) {
      plain.insert(name);
      continue;
    }
    auto pattern = TopicPattern::compile(name);
    if (!pattern) return fail(pattern.error());
    patterns.push_back(std::move(*pattern));
  }
  std::set<std::string> wanted = plain;
  if (!patterns.empty()) {
    const auto known = topic_names(deadline);
    if (!known) return fail(known.error());
    for (const auto& name : *known) {
      for (const auto& pattern : patterns) {
        if (pattern.matches(name)) wanted.insert(name);
      }
    }
  }
  if (wanted.empty()) return std::vector<TopicInfo>{};
  auto infos = describe({wanted.begin(), wanted.end()}, deadline);
  if (!infos) return infos;
  // Internal topics are there by name only.
  std::erase_if(*infos, [&](const TopicInfo& info) {
    return !plain.contains(info.name) && (info.internal || info.name.starts_with("__"));
  });
  return infos;
}

// --- Offsets

Error AdminImpl::no_leader(const TopicPartition& id) const {
  return explain_about(state_.endpoint(), "LEADER_NOT_AVAILABLE",
                       fmt::format("partition {} does not exist or has no leader", id.partition),
                       "topic", id.topic);
}

// `spec`: a timestamp in ms, or one of librdkafka's OFFSET_SPEC numbers. -1 where there is none.
Result<std::map<TopicPartition, std::int64_t>> AdminImpl::offsets(
    const std::vector<TopicPartition>& partitions, std::int64_t spec, const Deadline& deadline) {
  std::map<TopicPartition, std::int64_t> found;
  std::vector<TopicPartition> open = partitions;
  while (!open.empty()) {
    const auto list = native::make_list(open);
    for (int i = 0; i < list->cnt; ++i) list->elems[i].offset = spec;
    auto event = ask(RD_KAFKA_ADMIN_OP_LISTOFFSETS, deadline, false,
                     [&](const rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
                       rd_kafka_ListOffsets(client_.get(), list.get(), options, queue);
                     });
    if (!event && event.error().code == "_NOENT") {  // none of these partitions has a leader
      if (deadline.over()) return fail(no_leader(open.front()));
      std::this_thread::sleep_for(kRetryPause);
      continue;
    }
    if (!event) return fail(event.error());
    std::size_t count = 0;
    const auto** infos =
        rd_kafka_ListOffsets_result_infos(rd_kafka_event_ListOffsets_result(event->get()), &count);
    open.clear();
    for (std::size_t i = 0; i < count; ++i) {
      const auto* info = rd_kafka_ListOffsetsResultInfo_topic_partition(infos[i]);
      const TopicPartition id{info->topic, info->partition};
      auto code = info->err;
      // A leader that hung up leaves its partitions as they were before the question, without an
      // error (librdkafka 2.15, rd_kafka_ListOffsets_response_merge).
      if (code == RD_KAFKA_RESP_ERR_NO_ERROR && info->offset == RD_KAFKA_OFFSET_INVALID) {
        code = RD_KAFKA_RESP_ERR__TRANSPORT;
      }
      if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        found[id] = info->offset;
      } else if (is_passing(code) && !deadline.over()) {
        open.push_back(id);
      } else {
        return fail(explain_about(
            state_.endpoint(), native::name_of(code),
            fmt::format("offsets of partition {}: {}", id.partition, rd_kafka_err2str(code)),
            "topic", id.topic));
      }
    }
    if (!open.empty()) std::this_thread::sleep_for(kRetryPause);
  }
  return found;
}

Result<std::map<TopicPartition, Watermarks>> AdminImpl::watermarks(
    const std::vector<TopicPartition>& partitions, milliseconds timeout) {
  const Deadline deadline(timeout);
  const auto low = offsets(partitions, RD_KAFKA_OFFSET_SPEC_EARLIEST, deadline);
  if (!low) return fail(low.error());
  const auto end = offsets(partitions, RD_KAFKA_OFFSET_SPEC_LATEST, deadline);
  if (!end) return fail(end.error());
  std::map<TopicPartition, Watermarks> marks;
  for (const auto& [id, offset] : *low) marks[id] = {offset, std::max(offset, end->at(id))};
  return marks;
}

Result<std::map<TopicPartition, std::int64_t>> AdminImpl::offsets_at(
    const std::vector<TopicPartition>& partitions, std::int64_t timestamp_ms,
    milliseconds timeout) {
  const Deadline deadline(timeout);
  // Negative numbers are librdkafka's own marks; nothing is older than the epoch.
  auto found = offsets(partitions, std::max<std::int64_t>(0, timestamp_ms), deadline);
  if (!found) return found;
  std::vector<TopicPartition> beyond;
  for (const auto& [id, offset] : *found) {
    if (offset < 0) beyond.push_back(id);
  }
  const auto ends = offsets(beyond, RD_KAFKA_OFFSET_SPEC_LATEST, deadline);
  if (!ends) return ends;
  for (const auto& [id, offset] : *ends) (*found)[id] = offset;
  return found;
}

Result<std::unique_ptr<Admin>> Admin::create(const std::map<std::string, std::string>& properties,
                                             std::string client_id) {
  auto checked = check_properties(properties);
  if (!checked) return fail(checked.error());
  auto conf = native::make_conf(admin_properties(properties, client_id));
  if (!conf) return fail(conf.error());
  auto admin = std::make_unique<AdminImpl>(properties, std::move(client_id));
  auto started = admin->start(std::move(*conf));
  if (!started) return fail(started.error());
  return admin;
}

}  // namespace sluice::kafka
