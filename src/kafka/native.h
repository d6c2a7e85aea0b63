// librdkafka's handles with owners. Private to this module: no other module includes this header.
#pragma once

#include <librdkafka/rdkafka.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "kafka/consumer.h"
#include "kafka/errors.h"

namespace sluice::kafka::native {

template <auto Destroy>
struct Deleter {
  template <class T>
  void operator()(T* handle) const {
    Destroy(handle);
  }
};
using Conf = std::unique_ptr<rd_kafka_conf_t, Deleter<rd_kafka_conf_destroy>>;
using Handle = std::unique_ptr<rd_kafka_t, Deleter<rd_kafka_destroy>>;
using List = std::unique_ptr<rd_kafka_topic_partition_list_t,
                             Deleter<rd_kafka_topic_partition_list_destroy>>;
using Queue = std::unique_ptr<rd_kafka_queue_t, Deleter<rd_kafka_queue_destroy>>;
using Event = std::unique_ptr<rd_kafka_event_t, Deleter<rd_kafka_event_destroy>>;
using Problem = std::unique_ptr<rd_kafka_error_t, Deleter<rd_kafka_error_destroy>>;

// What librdkafka's threads may touch: it outlives the client, also one that was abandoned in
// close(). Thread-safe.
class ClientState {
 public:
  // Whether connection failures are logged, or only kept for the Error that is returned.
  enum class Failures : std::uint8_t { kLogged, kReturned };
  ClientState(Endpoint endpoint, std::string client_id, Failures failures);
  ~ClientState();
  ClientState(const ClientState&) = delete;
  ClientState& operator=(const ClientState&) = delete;

  const Endpoint& endpoint() const { return endpoint_; }

  // The eventfd that all queues of the client write to. Lives as long as the client: librdkafka
  // keeps the number, and it must not come to mean somebody else's socket.
  int wake_fd() const { return wake_fd_; }
  void wake() const;

  // The id under which librdkafka fetches a topic's records; empty if it has not said so. The count
  // grows whenever one of them becomes known or changes, before the first record under the new id.
  std::string topic_id(const std::string& topic) const;
  std::uint64_t topic_id_changes() const { return topic_id_changes_; }
  // librdkafka's debug lines are dropped unless the user asked for them.
  void show_debug_lines() { debug_lines_ = true; }

  // One of librdkafka's log lines, on any thread. The same facility at most once in ten seconds.
  void log_line(int syslog_level, std::string_view facility, std::string_view text);
  // Lines are held back while a client is made: they explain why it could not be.
  void hold_lines();
  // Logs what was held back; or drops it and returns the last line.
  void release_lines();
  std::string drop_lines();
  // After this nothing is logged any more: the client is going, or was left behind.
  void silence() { silent_ = true; }

  // The last connection failure, for the time when a question gets no answer.
  void note_failure(std::string_view code, std::string_view text);
  void clear_failure();
  // False if there was none.
  bool last_failure(std::string& code, std::string& text) const;

  // The object whose callbacks are served on its own thread; null after close().
  void* owner = nullptr;

 private:
  struct Facility {
    std::chrono::steady_clock::time_point last;
    std::uint64_t suppressed = 0;
  };
  struct Line {
    int syslog_level = 0;
    std::string facility;
    std::string text;
  };

  void note_topic_id(std::string_view text);
  log::Level level_of(int syslog_level, std::string_view facility) const;

  const Endpoint endpoint_;
  const std::string client_id_;
  const Failures failures_;
  const int wake_fd_;
  std::atomic<bool> silent_ = false;
  std::atomic<bool> debug_lines_ = false;
  std::atomic<std::uint64_t> topic_id_changes_ = 0;
  mutable std::mutex mutex_;
  std::map<std::string, Facility, std::less<>> facilities_;
  std::map<std::string, std::string, std::less<>> topic_ids_;
  bool holding_ = false;
  std::vector<Line> held_;
  std::string failure_code_;
  std::string failure_text_;
};

// librdkafka's configuration from names and values.
Result<Conf> make_conf(const std::map<std::string, std::string>& properties);
// Takes the configuration; sets its opaque and log callback to `state`, which must outlive the
// handle.
Result<Handle> make_client(Conf conf, ClientState& state);

List make_list(const std::vector<TopicPartition>& partitions);
List make_list(const std::map<TopicPartition, std::int64_t>& offsets);
std::vector<TopicPartition> partitions_of(const rd_kafka_topic_partition_list_t* list);

std::string_view name_of(rd_kafka_resp_err_t code);

// For check_properties(): whether librdkafka has a property of that name; what it says about a
// value (empty if it takes it).
bool knows_property(const std::string& name);
std::string check_value(const std::string& name, const std::string& value);

}  // namespace sluice::kafka::native
