// What only change events hold: dates and times as counts, bits, and the objects that stand for
// values of hstore, point and PostGIS.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "json/writer.h"
#include "message/type.h"
#include "postgres/encode.h"
#include "postgres/encode_time.h"
#include "sink/convert.h"
#include "sink/encoder_json.h"
#include "sink/encoder_type.h"

namespace sluice::sink {
namespace {

using message::Kind;
using message::Meaning;
using message::Problem;
using message::ProblemCode;
using message::Value;
using postgres::kMicrosPerDay;
using postgres::kMicrosPerSecond;

constexpr std::int64_t kUnixToPostgresDays = 10'957;
// PostgreSQL's date: 4714-11-24 BC to 5874897-12-31, in days from 2000-01-01.
constexpr std::int64_t kFirstDay = -2'451'545;
constexpr std::int64_t kLastDay = 2'145'031'948;
bool is_time_of_day(std::int64_t micros) { return micros >= 0 && micros <= kMicrosPerDay; }
bool is_day(std::int64_t day) { return day >= kFirstDay && day <= kLastDay; }

// [-]HH:MM:SS[.ffffff] with as many hours as there are.
void append_hours(std::int64_t micros, Buffer& out) {
  std::uint64_t rest = static_cast<std::uint64_t>(micros);
  if (micros < 0) {
    out.append('-');
    rest = ~rest + 1;
  }
  const auto two = [&](std::uint64_t number) {
    if (number < 10) out.append('0');
    json::append_number(out, number);
  };
  two(rest / (3'600 * kMicrosPerSecond));
  out.append(':');
  two(rest / (60 * kMicrosPerSecond) % 60);
  out.append(':');
  two(rest / kMicrosPerSecond % 60);
  std::uint64_t fraction = rest % kMicrosPerSecond;
  if (fraction == 0) return;
  std::array<char, 7> digits{'.', '0', '0', '0', '0', '0', '0'};
  std::size_t length = 7;
  for (std::size_t i = 6; i > 0; --i, fraction /= 10) {
    digits[i] = static_cast<char>('0' + fraction % 10);
  }
  while (digits[length - 1] == '0') --length;
  out.append({digits.data(), length});
}

}  // namespace

std::string unsaid_encoding(std::string_view column) {
  return fmt::format(
      "a text, and the message does not say how it holds bytes: set sync.units to "
      "{{{}: base64}} or hex, as the connector's binary.handling.mode says",
      column);
}

// A time without zone that stands for the same clock in the column.
Encoded TypeEncoder::wall_clock_binary(std::int64_t unix_micros, Buffer& out,
                                       Problem& problem) const {
  std::int64_t micros = 0;
  if (!postgres::from_unix_micros(unix_micros, micros)) {
    return problem_of(ProblemCode::kBadTimestamp, {}, "before 4714-11-24 BC", problem);
  }
  if (shape_ == Shape::kTimestamptz && !utc_) {
    postgres::Timestamp timestamp;
    timestamp.days = postgres::day_of(micros);
    timestamp.day_micros = postgres::time_of_day_of(micros);
    if (!naive_offset(timestamp)) return Encoded::kNeedsText;
    micros -= timestamp.seconds_east * kMicrosPerSecond;
  }
  return instant_binary(micros, out);
}

Encoded TypeEncoder::no_day(const Value& value, Problem& problem) const {
  return problem_of(ProblemCode::kBadTimestamp, value.text(), "no day of PostgreSQL's date",
                    problem);
}

Encoded TypeEncoder::no_time(const Value& value, Problem& problem) const {
  return problem_of(ProblemCode::kBadType, value.text(),
                    "a time below 0 or beyond 24 hours, as MySQL has them: a column of the type "
                    "interval takes it",
                    problem);
}

Encoded TypeEncoder::counted_binary(const Value& value, Buffer& out, Problem& problem) const {
  if (is_number()) return number_binary(value.text(), out, problem);
  if (shape_ == Shape::kText) {
    const std::size_t start = out.size();
    out.append_u32(0);
    const Encoded written = counted_text(value, out, problem);
    out.put_u32(start, static_cast<std::uint32_t>(out.size() - start - 4));
    return written;
  }
  switch (value.kind) {
    case Kind::kDate: {
      const std::int64_t day = value.integer - kUnixToPostgresDays;
      if (!is_day(day)) return no_day(value, problem);
      if (shape_ == Shape::kDate) {
        postgres::append_int4(static_cast<std::int32_t>(day), out);
        return Encoded::kOk;
      }
      std::int64_t micros = 0;
      if ((shape_ != Shape::kTimestamp && shape_ != Shape::kTimestamptz) ||
          __builtin_mul_overflow(value.integer, kMicrosPerDay, &micros)) {
        return Encoded::kNeedsText;
      }
      return wall_clock_binary(micros, out, problem);
    }
    case Kind::kTimeOfDay:
      if (shape_ != Shape::kTime) return Encoded::kNeedsText;
      if (!is_time_of_day(value.integer)) return no_time(value, problem);
      postgres::append_int8(value.integer, out);
      return Encoded::kOk;
    case Kind::kTimestamp:
      if (!takes_unit()) return Encoded::kNeedsText;
      return wall_clock_binary(value.integer, out, problem);
    default:
      return Encoded::kNeedsText;
  }
}

Encoded TypeEncoder::counted_text(const Value& value, Buffer& out, Problem& problem) const {
  if (is_number()) return number_text(value.text(), out, problem);
  switch (value.kind) {
    case Kind::kDate: {
      const std::int64_t day = value.integer - kUnixToPostgresDays;
      if (!is_day(day)) return no_day(value, problem);
      postgres::append_date_text(static_cast<std::int32_t>(day), out);
      return Encoded::kOk;
    }
    case Kind::kTimeOfDay:
      if (shape_ == Shape::kTime && !is_time_of_day(value.integer)) return no_time(value, problem);
      append_hours(value.integer, out);
      return Encoded::kOk;
    case Kind::kDuration: {
      // Debezium has made days of 24 hours of all that is longer; PostgreSQL adds, so each part has
      // its sign.
      const std::int64_t days = value.integer / kMicrosPerDay;
      if (days != 0) {
        json::append_number(out, days);
        out.append(" days ");
      }
      append_hours(value.integer % kMicrosPerDay, out);
      return Encoded::kOk;
    }
    default:
      break;
  }
  std::int64_t micros = 0;
  if (!postgres::from_unix_micros(value.integer, micros)) {
    return problem_of(ProblemCode::kBadTimestamp, value.text(),
                      "beyond the years 4714 BC to 294276 AD of PostgreSQL", problem);
  }
  if (shape_ == Shape::kDate) {
    postgres::append_date_text(postgres::day_of(micros), out);
  } else if (shape_ == Shape::kTime) {
    postgres::append_time_text(postgres::time_of_day_of(micros), out);
  } else {
    postgres::append_timestamp_text(micros, postgres::TimeText::kTimestamp, out);
  }
  return Encoded::kOk;
}

// The highest bit first. bit(n) is filled up to n; bit varying begins with the highest bit that is
// set, since its length is not on the wire.
Encoded TypeEncoder::bits_text(const Value& value, Buffer& out, Problem& problem) const {
  const std::string_view bytes = value.text();
  std::size_t width = bytes.size() * 8;
  const auto bit = [&](std::size_t number) {
    const std::size_t at = number / 8;
    return at < bytes.size() && (static_cast<unsigned char>(bytes[at]) >> (number % 8) & 1) != 0;
  };
  if (shape_ == Shape::kBytea) {
    std::string reversed(bytes.rbegin(), bytes.rend());
    postgres::append_hex_text(reversed, out);
    return Encoded::kOk;
  }
  if (is_number() || shape_ == Shape::kBool) {
    std::uint64_t number = 0;
    for (std::size_t i = bytes.size(); i-- > 0;) {
      if (number >> 56 != 0) {
        return problem_of(ProblemCode::kBadType, {}, "more than 64 bits, for a number", problem);
      }
      number = number << 8 | static_cast<unsigned char>(bytes[i]);
    }
    if (shape_ == Shape::kBool) {
      out.append(number != 0 ? "true" : "false");
    } else {
      json::append_number(out, number);
    }
    return Encoded::kOk;
  }
  while (width > 0 && !bit(width - 1)) --width;
  const std::int64_t said = shape_ == Shape::kBit && !varying_ ? width_ : 0;
  const std::int64_t by_type = shape_ == Shape::kBit ? said : value.integer;
  constexpr std::int64_t kFixed = 1 << 16;  // bit varying without length says 2^31 - 1
  if (by_type > 0 && by_type < kFixed) width = std::max(width, static_cast<std::size_t>(by_type));
  for (std::size_t i = width; i-- > 0;) out.append(bit(i) ? '1' : '0');
  return Encoded::kOk;
}

// "key"=>"value" by an object's members; its values are texts or null.
Encoded TypeEncoder::hstore_text(const Value& value, Buffer& out, Scratch& scratch,
                                 Problem& problem) const {
  if (value.text().empty() || value.text().front() != '{') {
    return problem_of(ProblemCode::kBadType, value.text(), "no object, for hstore", problem);
  }
  const auto quote = [&](std::string_view text) {
    out.append('"');
    for (const char c : text) {
      if (c == '"' || c == '\\') out.append('\\');
      out.append(c);
    }
    out.append('"');
  };
  JsonParts members(value.text());
  std::string_view key;
  Value member;
  Buffer key_text;
  bool first = true;
  while (members.next(key, member, key_text, scratch.b)) {
    if (!first) out.append(", ");
    first = false;
    quote(key);
    out.append("=>");
    switch (member.kind) {
      case Kind::kNull:
        out.append("NULL");
        break;
      case Kind::kBool:
        quote(member.integer != 0 ? "true" : "false");
        break;
      default:
        quote(member.text());
    }
  }
  return members.good() ? Encoded::kOk : unreadable(value.text(), problem);
}

// Structs of geometry and vectors; any other struct is its JSON, but for columns that can only hold
// a geometry: without schema nothing else says that it is one.
Encoded TypeEncoder::shape_text(const Value& value, Buffer& out, Scratch& scratch,
                                Problem& problem) const {
  if (shape_ == Shape::kVector && value.type()->meaning == Meaning::kSparseVector) {
    // {dimensions, vector: {"1": 0.5}} to {1:0.5}/dimensions
    JsonParts members(value.text());
    std::string_view key;
    Value member;
    std::string dimensions;
    std::string list;
    Buffer key_text;
    while (members.next(key, member, key_text, scratch.b)) {
      if (key == "dimensions") dimensions = member.text();
      if (key == "vector") list = member.text();
    }
    std::erase(list, '"');
    out.append(list);
    out.append('/');
    out.append(dimensions);
    return Encoded::kOk;
  }
  if (shape_ != Shape::kPoint && shape_ != Shape::kGeometry && shape_ != Shape::kBytea) {
    out.append(value.text());
    return Encoded::kOk;
  }
  JsonParts members(value.text());
  std::string_view key;
  Value member;
  Buffer key_text;
  std::string x;
  std::string y;
  std::string wkb;
  std::string srid;
  while (members.next(key, member, key_text, scratch.b)) {
    if (member.kind == Kind::kNull) continue;
    if (key == "x") x = member.text();
    if (key == "y") y = member.text();
    if (key == "wkb") wkb = member.text();
    if (key == "srid") srid = member.text();
  }
  Buffer bytes;
  std::size_t bad_at = 0;
  if (!postgres::decode_base64(wkb, bytes, bad_at)) {
    return problem_of(ProblemCode::kBadType, wkb, "`wkb` is no base64", problem);
  }
  if (shape_ == Shape::kPoint) {
    if (x.empty() || y.empty()) {
      // WKB of a point: byte order, type 1, two doubles; little-endian as Debezium writes it.
      const std::string_view point = bytes.view();
      if (point.size() != 21 || point[0] != 1 ||
          point.substr(1, 4) != std::string_view("\1\0\0\0", 4)) {
        return problem_of(ProblemCode::kBadType, value.text(), "no point", problem);
      }
      double coordinates[2];
      std::memcpy(coordinates, point.data() + 5, sizeof coordinates);
      out.append('(');
      json::append_number(out, coordinates[0]);
      out.append(',');
      json::append_number(out, coordinates[1]);
      out.append(')');
      return Encoded::kOk;
    }
    out.append('(');
    out.append(x);
    out.append(',');
    out.append(y);
    out.append(')');
    return Encoded::kOk;
  }
  if (shape_ == Shape::kBytea) {
    if (wkb.empty()) {
      return problem_of(ProblemCode::kBadType, value.text(),
                        "an object without `wkb`, which is no geometry", problem);
    }
    postgres::append_hex_text(bytes.view(), out);
    return Encoded::kOk;
  }
  if (!srid.empty()) {
    out.append("SRID=");
    out.append(srid);
    out.append(';');
  }
  Buffer hex;
  postgres::append_hex_text(bytes.view(), hex);
  out.append(hex.view().substr(2));
  return Encoded::kOk;
}

// One element of an array, which `type` describes (null: by what stands there).
Encoded TypeEncoder::element_text(Value value, const message::Type* type, Buffer& out,
                                  Scratch& scratch, Problem& problem) const {
  if (type == nullptr) {
    if (value.kind == Kind::kJsonObject || value.kind == Kind::kJsonArray) value.set_type(nullptr);
    return part_text(value, "NULL", out, scratch, problem);
  }
  if (!convert(*type, value, scratch.store, problem)) {
    problem.column = column_;
    return Encoded::kProblem;
  }
  if (shape_ == Shape::kBytea && value.kind == Kind::kString && !value.text().starts_with("\\x")) {
    return problem_of(ProblemCode::kBadEncoding, value.text(), unsaid_encoding(column_), problem);
  }
  return part_text(value, "NULL", out, scratch, problem);
}

}  // namespace sluice::sink
