// Encodings of values by column type: from text to the bytes that binary COPY carries. Pure
// functions on text that PostgreSQL's input function of the type would get.
//
// A function that takes text answers false for every form whose outcome it is not certain of: not
// necessarily wrong, just for PostgreSQL to judge. What it appended by then is not defined. The
// append_ functions write a whole field, its int32 length first, unless they say otherwise.
// Formats: the
// *_recv functions of PostgreSQL's src/backend/utils/adt; forms of text: the *_in functions there.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/buffer.h"

namespace sluice::postgres {

// pg_type.oid of built-in types: fixed for all servers.
namespace oid {
inline constexpr std::uint32_t kBool = 16, kBytea = 17, kName = 19, kInt8 = 20, kInt2 = 21,
                               kInt4 = 23, kText = 25, kOid = 26, kJson = 114, kFloat4 = 700,
                               kFloat8 = 701, kBpchar = 1042, kVarchar = 1043, kDate = 1082,
                               kTime = 1083, kTimestamp = 1114, kTimestamptz = 1184,
                               kInterval = 1186, kBit = 1560, kVarbit = 1562, kPoint = 600,
                               kMoney = 790, kNumeric = 1700, kUuid = 2950, kJsonb = 3802;
}  // namespace oid

// --- fields of known width

inline void append_null(Buffer& out) { out.append_u32(0xffffffffU); }
// Big-endian, into room that the caller has reserved.
inline void put_be16(char* to, std::uint16_t value) {
  value = __builtin_bswap16(value);
  std::memcpy(to, &value, sizeof value);
}
inline void put_be32(char* to, std::uint32_t value) {
  value = __builtin_bswap32(value);
  std::memcpy(to, &value, sizeof value);
}
inline void put_be64(char* to, std::uint64_t value) {
  value = __builtin_bswap64(value);
  std::memcpy(to, &value, sizeof value);
}
inline void append_bool(bool value, Buffer& out) {
  char* to = out.reserve(5);
  put_be32(to, 1);
  to[4] = value ? '\1' : '\0';
  out.advance(5);
}
inline void append_int2(std::int16_t value, Buffer& out) {
  char* to = out.reserve(6);
  put_be32(to, 2);
  put_be16(to + 4, static_cast<std::uint16_t>(value));
  out.advance(6);
}
inline void append_int4(std::int32_t value, Buffer& out) {
  char* to = out.reserve(8);
  put_be32(to, 4);
  put_be32(to + 4, static_cast<std::uint32_t>(value));
  out.advance(8);
}
inline void append_int8(std::int64_t value, Buffer& out) {
  char* to = out.reserve(12);
  put_be32(to, 8);
  put_be64(to + 4, static_cast<std::uint64_t>(value));
  out.advance(12);
}
inline void append_float4(float value, Buffer& out) {
  append_int4(std::bit_cast<std::int32_t>(value), out);
}
inline void append_float8(double value, Buffer& out) {
  append_int8(std::bit_cast<std::int64_t>(value), out);
}
// text, varchar, bpchar, enums, json: the bytes as they are (UTF-8).
inline void append_bytes(std::string_view bytes, Buffer& out) {
  char* to = out.reserve(4 + bytes.size());
  put_be32(to, static_cast<std::uint32_t>(bytes.size()));
  if (!bytes.empty()) std::memcpy(to + 4, bytes.data(), bytes.size());
  out.advance(4 + bytes.size());
}

// --- numbers

// A decimal number by its parts, as JSON writes it (leading zeros are taken too): value =
// integer.fraction * 10^exponent. The views point into the text; in it one '.' separates the two.
struct Decimal {
  bool negative = false;
  std::string_view integer;   // at least one digit
  std::string_view fraction;  // may be empty
  int exponent = 0;           // within +-100,000
};
bool parse_decimal(std::string_view text, Decimal& decimal);

// Plain digits with an optional minus, as every integer type reads them. False beyond 64 bits.
bool parse_integer(std::string_view text, std::int64_t& value);
// The value of a number that is whole however it is written: 1.0, 1e3, 12.50e1. False for others
// and beyond 64 bits.
bool parse_whole(std::string_view text, std::int64_t& value);
// Appends a whole number of at most 64 digits as plain digits (no length); false for any other.
bool append_whole_text(std::string_view text, Buffer& out);

bool parse_float8(std::string_view text, double& value);
bool parse_float4(std::string_view text, float& value);

// numeric: all digits, and the scale of the text ('1.50' keeps its zero, '1e3' has none).
bool append_numeric(std::string_view text, Buffer& out);
void append_numeric(std::int64_t value, Buffer& out);

// --- others

bool parse_bool(std::string_view text, bool& value);
bool append_uuid(std::string_view text, Buffer& out);
// bytea in its own text forms: \x and hex digits, or text without a backslash.
bool append_bytea(std::string_view text, Buffer& out);

// Bytes out of base64 (standard or URL alphabet, padding optional) or hex (either case). Appended
// to `out` without a length. `bad_at` is where the text is not of that encoding.
bool decode_base64(std::string_view text, Buffer& out, std::size_t& bad_at);
bool decode_hex(std::string_view text, Buffer& out, std::size_t& bad_at);
// "\x" and hex digits, without a length: what bytea's input function takes.
void append_hex_text(std::string_view bytes, Buffer& out);

}  // namespace sluice::postgres
