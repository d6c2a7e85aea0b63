// Value: one decoded field of a message, as a small view. The first of the two matrices: a message
// form (plain JSON, JSON with schema, Debezium's change events) becomes Values; sink/encoder.h
// turns a Value and a column's type into COPY bytes.
//
// A Value does not own its text: it points into the decoder's buffers and is valid until the next
// message is decoded. 24 bytes, trivially copyable.
#pragma once

#include <cstdint>
#include <string_view>
#include <type_traits>

namespace sluice::message {

struct Type;  // message/type.h

enum class Kind : std::uint8_t {
  kAbsent,   // the message has no such field; never the same as null
  kNull,     // JSON null
  kBool,     // `integer` is 0 or 1
  kNumber,   // `text` is the exact token of the document, for example 1e400 or 12345678901234567890
  kInteger,  // `integer`: partition, offset (metadata)
  kString,   // `text` is the decoded text: valid UTF-8, escapes resolved, may hold U+0000
  kBytes,    // `text` is any bytes: key, header values (metadata)
  kJsonObject,  // `text` is the slice of the document, validated, as it was written
  kJsonArray,   // the same
  kMicros,      // `integer` is microseconds since 1970-01-01 00:00:00 UTC (metadata timestamps)
  // Of change events. `text` is what stands in the message, for columns of numbers.
  kDate,       // `integer`: days since 1970-01-01
  kTimeOfDay,  // `integer`: microseconds; MySQL's TIME goes below 0 and beyond a day
  kTimestamp,  // `integer`: microseconds since 1970-01-01 00:00:00, without zone
  kDuration,   // `integer`: microseconds
  kBits,       // `text` is bytes, little-endian: bit n is bit n % 8 of byte n / 8
  kUnchanged,  // the source did not send it (TOAST): the row keeps what it has
};

struct Value {
  Kind kind = Kind::kAbsent;
  std::int64_t integer = 0;
  const char* data = nullptr;
  std::uint32_t length = 0;

  std::string_view text() const { return {data, length}; }
  // kJsonObject, kJsonArray: what the parts are; null: what stands there. It outlives the value.
  const Type* type() const { return reinterpret_cast<const Type*>(integer); }
  void set_type(const Type* type) { integer = reinterpret_cast<std::int64_t>(type); }
  static Value of(Kind kind, std::string_view text) {
    return {kind, 0, text.data(), static_cast<std::uint32_t>(text.size())};
  }
  static Value of(Kind kind, std::int64_t integer) { return {kind, integer, nullptr, 0}; }
};
static_assert(std::is_trivially_copyable_v<Value>);

}  // namespace sluice::message
