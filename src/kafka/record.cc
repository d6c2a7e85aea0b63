#include "kafka/consumer.h"
#include "kafka/native.h"

namespace sluice::kafka {
namespace {

rd_kafka_message_t* message_of(void* message) { return static_cast<rd_kafka_message_t*>(message); }

}  // namespace

Record& Record::operator=(Record&& other) noexcept {
  if (this != &other) {
    if (native_ != nullptr) rd_kafka_message_destroy(message_of(native_));
    native_ = std::exchange(other.native_, nullptr);
  }
  return *this;
}

Record::~Record() {
  if (native_ != nullptr) rd_kafka_message_destroy(message_of(native_));
}

std::int32_t Record::partition() const { return message_of(native_)->partition; }
std::int64_t Record::offset() const { return message_of(native_)->offset; }

std::int64_t Record::timestamp_ms() const {
  rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
  const auto timestamp = rd_kafka_message_timestamp(message_of(native_), &type);
  return type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : timestamp;
}

std::string_view Record::key() const {
  const auto* message = message_of(native_);
  return {static_cast<const char*>(message->key), message->key == nullptr ? 0 : message->key_len};
}
bool Record::key_null() const { return message_of(native_)->key == nullptr; }

std::string_view Record::value() const {
  const auto* message = message_of(native_);
  return {static_cast<const char*>(message->payload),
          message->payload == nullptr ? 0 : message->len};
}
bool Record::value_null() const { return message_of(native_)->payload == nullptr; }

void Record::headers(std::vector<HeaderView>& headers) const {
  headers.clear();
  rd_kafka_headers_t* native = nullptr;
  if (rd_kafka_message_headers(message_of(native_), &native) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  for (std::size_t i = 0;
       rd_kafka_header_get_all(native, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
       ++i) {
    headers.push_back(
        {name, {static_cast<const char*>(value), value == nullptr ? 0 : size}, value == nullptr});
  }
}

}  // namespace sluice::kafka
