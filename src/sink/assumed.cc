// What values are taken to be whose messages have no schema, and the placeholder of values that
// were not sent.
#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

#include "json/writer.h"
#include "postgres/encode.h"
#include "sink/convert.h"

namespace sluice::sink {

using message::Base;
using message::Kind;
using message::Meaning;
using message::Type;
using message::Value;

Type assumed_type(const postgres::Type& column, task::WireUnit unit) {
  namespace oid = postgres::oid;
  using task::WireUnit;
  Type type;
  type.assumed = true;
  const auto power = [&](int precision) -> std::int16_t {
    switch (unit) {
      case WireUnit::kSeconds:
        return 6;
      case WireUnit::kMillis:
        return 3;
      case WireUnit::kMicros:
        return 0;
      case WireUnit::kNanos:
        return -3;
      default:  // adaptive: what the source's precision needs; without one it is six digits
        return precision >= 0 && precision <= 3 ? 3 : 0;
    }
  };
  if (column.element != 0 && column.element_type.size() == 1) {
    type.base = Base::kArray;
    postgres::Type element = column.element_type.front();
    if (element.typmod < 0) element.typmod = column.typmod;
    type.parts.push_back(assumed_type(element, unit));
    return type;
  }
  if (unit == WireUnit::kHex && column.oid != oid::kBytea) {
    // A type that the connector does not know, as the bytes of its text
    // (include.unknown.datatypes).
    type.base = Base::kString;
    type.meaning = Meaning::kHex;
    return type;
  }
  switch (column.oid) {
    case oid::kNumeric:
      if (unit == WireUnit::kText) {
        type.base = Base::kString;
        type.meaning = Meaning::kDecimalText;
      } else if (unit == WireUnit::kUnsigned) {
        type.base = Base::kInteger;
        type.meaning = Meaning::kUnsigned;
      } else {
        type.base = Base::kBytes;
        type.meaning = Meaning::kDecimal;
        // pg_attribute.atttypmod of numeric: ((precision << 16) | (scale & 0x7ff)) + 4
        // Debezium takes a scale below 0 for one without sign: numeric(5,-2) comes with 2046.
        type.scale = column.typmod >= 4 ? (column.typmod - 4) & 0x7ff : kNoScale;
      }
      break;
    case oid::kDate:
      type.base = Base::kInteger;
      type.meaning = Meaning::kDate;
      break;
    case oid::kTime:
    case oid::kTimestamp:
      type.base = Base::kInteger;
      type.meaning = column.oid == oid::kTime ? Meaning::kTime : Meaning::kTimestamp;
      type.power = power(column.typmod);
      break;
    case oid::kTimestamptz:
      if (unit == WireUnit::kNone) {
        type.base = Base::kString;
        type.meaning = Meaning::kZonedTimestamp;
      } else {
        type.base = Base::kInteger;
        type.meaning = Meaning::kInstant;
        type.power = power(column.typmod);
      }
      break;
    case oid::kInterval:
      type.base = Base::kInteger;
      type.meaning = Meaning::kDuration;
      type.power = power(-1);
      break;
    case oid::kBytea:
      type.base = unit == WireUnit::kHex ? Base::kString : Base::kBytes;
      if (unit == WireUnit::kHex) type.meaning = Meaning::kHex;
      break;
    case oid::kBit:
    case oid::kVarbit:
      type.base = Base::kBytes;
      type.meaning = Meaning::kBits;
      type.length = column.oid == oid::kBit ? column.typmod : 0;
      break;
    case oid::kJson:
    case oid::kJsonb:
      type.base = Base::kString;
      type.meaning = Meaning::kJson;
      break;
    case oid::kMoney:
      type.base = unit == WireUnit::kText ? Base::kString : Base::kBytes;
      type.meaning = unit == WireUnit::kText ? Meaning::kDecimalText : Meaning::kDecimal;
      type.scale = 2;
      break;
    default: {
      std::string_view name = column.name;
      if (const auto dot = name.rfind('.'); dot != std::string_view::npos) {
        name.remove_prefix(dot + 1);
      }
      if (name != "hstore") break;
      type.base = Base::kString;
      type.meaning = Meaning::kJson;
    }
  }
  return type;
}

Unavailable::Unavailable(std::string_view text) : text_(text) {
  const auto quoted = [](std::string_view content) {
    Buffer out;
    json::append_string(out, content);
    return std::string(out.view());
  };
  Buffer encoded;
  json::append_base64(encoded, text);
  base64_ = encoded.view();
  array_ = '[' + quoted(text) + ']';
  base64_array_ = '[' + quoted(base64_) + ']';
  map_ = '{' + quoted(text) + ':' + quoted(text) + '}';
  for (const char byte : text) {
    codes_ += codes_.empty() ? '[' : ',';
    codes_ += std::to_string(static_cast<int>(static_cast<signed char>(byte)));
  }
  codes_ += ']';
  // UUID.nameUUIDFromBytes of Java: version 3, without a name space.
  std::array<unsigned char, EVP_MAX_MD_SIZE> md5{};
  unsigned size = 0;
  if (EVP_Digest(text.data(), text.size(), md5.data(), &size, EVP_md5(), nullptr) == 1) {
    md5[6] = static_cast<unsigned char>((md5[6] & 0x0f) | 0x30);
    md5[8] = static_cast<unsigned char>((md5[8] & 0x3f) | 0x80);
    std::string uuid;
    for (std::size_t i = 0; i < 16; ++i) {
      if (i == 4 || i == 6 || i == 8 || i == 10) uuid += '-';
      uuid += fmt::format("{:02x}", md5[i]);
    }
    uuid_array_ = "[\"" + uuid + "\"]";
  }
}

bool Unavailable::is(const Value& value) const {
  const std::string_view text = value.text();
  switch (value.kind) {
    case Kind::kString:
      return text == text_ || text == base64_ || text == map_;
    case Kind::kJsonArray:
      return text == array_ || text == base64_array_ || text == codes_ || text == uuid_array_;
    case Kind::kJsonObject:
      return text == map_;
    default:
      return false;
  }
}

}  // namespace sluice::sink
