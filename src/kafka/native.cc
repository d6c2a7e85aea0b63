#include "kafka/native.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>

#include "kafka/properties.h"

namespace sluice::kafka::native {
namespace {

constexpr auto kLogInterval = std::chrono::seconds(10);
constexpr int kSyslogError = 3;
constexpr int kSyslogWarning = 4;
constexpr int kSyslogDebug = 7;

void on_log(const rd_kafka_t* client, int level, const char* facility, const char* text) {
  auto* state = static_cast<ClientState*>(rd_kafka_opaque(client));
  if (state != nullptr) state->log_line(level, facility, text);
}

}  // namespace

ClientState::ClientState(Endpoint endpoint, std::string client_id, Failures failures)
    : endpoint_(std::move(endpoint)),
      client_id_(std::move(client_id)),
      failures_(failures),
      wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  SLUICE_CHECK(wake_fd_ >= 0);
}

ClientState::~ClientState() { ::close(wake_fd_); }

void ClientState::wake() const {
  const std::uint64_t one = 1;
  // A full counter means that a wake-up is pending anyway.
  [[maybe_unused]] const auto written = ::write(wake_fd_, &one, sizeof one);
}

// Connection trouble is a warning, whatever librdkafka calls it: it is retried for ever.
log::Level ClientState::level_of(int syslog_level, std::string_view facility) const {
  if (syslog_level >= kSyslogDebug) return log::Level::kDebug;
  if (facility == "FAIL") {
    if (failures_ == Failures::kReturned) return log::Level::kDebug;
    return syslog_level > kSyslogWarning ? log::Level::kInfo : log::Level::kWarning;
  }
  if (syslog_level > kSyslogWarning) return log::Level::kInfo;
  return syslog_level == kSyslogWarning ? log::Level::kWarning : log::Level::kError;
}

void ClientState::log_line(int syslog_level, std::string_view facility, std::string_view text) {
  if (silent_) return;
  if (syslog_level >= kSyslogDebug) {
    if (facility == "METADATA") note_topic_id(text);
    if (!debug_lines_) return;
  }
  {
    const std::lock_guard lock(mutex_);
    if (holding_) {
      held_.push_back({syslog_level, std::string(facility), std::string(text)});
      return;
    }
    // A listener that closes the connection is no error to librdkafka: it says so only here.
    if (facility == "FAIL" && syslog_level > kSyslogError && syslog_level < kSyslogDebug) {
      failure_code_ = "_TRANSPORT";
      failure_text_ = text;
    }
  }
  const auto level = level_of(syslog_level, facility);
  std::uint64_t suppressed = 0;
  if (level != log::Level::kDebug) {
    const std::lock_guard lock(mutex_);
    auto found = facilities_.find(facility);
    if (found == facilities_.end()) found = facilities_.emplace(facility, Facility{}).first;
    const auto now = std::chrono::steady_clock::now();
    auto& seen = found->second;
    if (seen.last.time_since_epoch().count() != 0 && now - seen.last < kLogInterval) {
      ++seen.suppressed;
      return;
    }
    seen.last = now;
    suppressed = std::exchange(seen.suppressed, 0);
  }
  if (suppressed == 0) {
    log::write(level, text, {{"kafka", facility}, {"client", client_id_}});
  } else {
    log::write(level, text,
               {{"kafka", facility}, {"client", client_id_}, {"suppressed", suppressed}});
  }
}

// "Topic NAME changed id from BASE64 to BASE64", in the metadata debug context. There is no other
// way to learn it: librdkafka goes on at the same offset when a topic was deleted and created
// again, and a question to the broker comes after the first wrong record.
void ClientState::note_topic_id(std::string_view text) {
  constexpr std::string_view kBegin = "Topic ";
  constexpr std::string_view kMiddle = " changed id from ";
  constexpr std::string_view kTo = " to ";
  const auto middle = text.find(kMiddle);
  if (!text.starts_with(kBegin) || middle == std::string_view::npos) return;
  const auto to = text.find(kTo, middle + kMiddle.size());
  if (to == std::string_view::npos) return;
  {
    const std::lock_guard lock(mutex_);
    topic_ids_[std::string(text.substr(kBegin.size(), middle - kBegin.size()))] =
        text.substr(to + kTo.size());
  }
  ++topic_id_changes_;
  wake();
}

std::string ClientState::topic_id(const std::string& topic) const {
  const std::lock_guard lock(mutex_);
  const auto found = topic_ids_.find(topic);
  return found == topic_ids_.end() ? std::string() : found->second;
}

void ClientState::hold_lines() {
  const std::lock_guard lock(mutex_);
  holding_ = true;
}

void ClientState::release_lines() {
  std::vector<Line> lines;
  {
    const std::lock_guard lock(mutex_);
    holding_ = false;
    lines.swap(held_);
  }
  for (const auto& line : lines) log_line(line.syslog_level, line.facility, line.text);
}

std::string ClientState::drop_lines() {
  const std::lock_guard lock(mutex_);
  holding_ = false;
  std::string last = held_.empty() ? "" : std::move(held_.back().text);
  held_.clear();
  return last;
}

void ClientState::note_failure(std::string_view code, std::string_view text) {
  const std::lock_guard lock(mutex_);
  failure_code_ = code;
  failure_text_ = text;
}

void ClientState::clear_failure() {
  const std::lock_guard lock(mutex_);
  failure_code_.clear();
  failure_text_.clear();
}

bool ClientState::last_failure(std::string& code, std::string& text) const {
  const std::lock_guard lock(mutex_);
  code = failure_code_;
  text = failure_text_;
  return !failure_code_.empty();
}

Result<Conf> make_conf(const std::map<std::string, std::string>& properties) {
  Conf conf(rd_kafka_conf_new());
  std::array<char, 512> reason{};
  for (const auto& [name, value] : properties) {
    if (rd_kafka_conf_set(conf.get(), name.c_str(), value.c_str(), reason.data(), reason.size()) !=
        RD_KAFKA_CONF_OK) {
      return fail(Domain::kDocument, name,
                  is_secret(name) ? fmt::format("Kafka property \"{}\" is refused", name)
                                  : fmt::format("Kafka property \"{}\": {}", name, reason.data()));
    }
  }
  return conf;
}

Result<Handle> make_client(Conf conf, ClientState& state) {
  rd_kafka_conf_set_opaque(conf.get(), &state);
  rd_kafka_conf_set_log_cb(conf.get(), on_log);
  std::array<char, 512> reason{};
  state.hold_lines();
  rd_kafka_t* client = rd_kafka_new(RD_KAFKA_CONSUMER, conf.get(), reason.data(), reason.size());
  if (client == nullptr) {
    const auto line = state.drop_lines();
    return fail(Domain::kKafka, "_INVALID_ARG",
                fmt::format("The Kafka client cannot be set up: {}{}{}", reason.data(),
                            line.empty() ? "" : "; ", line),
                "Check the Kafka properties and the files that they name");
  }
  state.release_lines();
  (void)conf.release();  // the client owns it now
  return Handle(client);
}

List make_list(const std::vector<TopicPartition>& partitions) {
  List list(rd_kafka_topic_partition_list_new(static_cast<int>(partitions.size())));
  for (const auto& partition : partitions) {
    rd_kafka_topic_partition_list_add(list.get(), partition.topic.c_str(), partition.partition);
  }
  return list;
}

List make_list(const std::map<TopicPartition, std::int64_t>& offsets) {
  List list(rd_kafka_topic_partition_list_new(static_cast<int>(offsets.size())));
  for (const auto& [id, offset] : offsets) {
    rd_kafka_topic_partition_list_add(list.get(), id.topic.c_str(), id.partition)->offset = offset;
  }
  return list;
}

std::vector<TopicPartition> partitions_of(const rd_kafka_topic_partition_list_t* list) {
  std::vector<TopicPartition> partitions;
  if (list == nullptr) return partitions;
  partitions.reserve(static_cast<std::size_t>(list->cnt));
  for (int i = 0; i < list->cnt; ++i) {
    partitions.push_back({list->elems[i].topic, list->elems[i].partition});
  }
  return partitions;
}

std::string_view name_of(rd_kafka_resp_err_t code) { return rd_kafka_err2name(code); }

bool knows_property(const std::string& name) {
  const Conf conf(rd_kafka_conf_new());
  std::array<char, 512> reason{};
  return rd_kafka_conf_set(conf.get(), name.c_str(), "", reason.data(), reason.size()) !=
         RD_KAFKA_CONF_UNKNOWN;
}

std::string check_value(const std::string& name, const std::string& value) {
  const Conf conf(rd_kafka_conf_new());
  std::array<char, 512> reason{};
  if (rd_kafka_conf_set(conf.get(), name.c_str(), value.c_str(), reason.data(), reason.size()) ==
      RD_KAFKA_CONF_OK) {
    return {};
  }
  return reason.data();
}

}  // namespace sluice::kafka::native
