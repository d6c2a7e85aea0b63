#include "sink/convert.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <vector>

#include "json/writer.h"
#include "postgres/encode.h"
#include "postgres/encode_time.h"
#include "sink/encoder_json.h"
#include "sink/mysql_text.h"

namespace sluice::sink {
namespace {

using message::Base;
using message::Kind;
using message::Meaning;
using message::Problem;
using message::ProblemCode;
using message::Type;
using message::Value;

// PostgreSQL's numeric: at most 131,072 digits before the point and 16,383 behind it.
constexpr std::size_t kMaxDecimalBytes = 61'300;
constexpr std::int32_t kMaxScale = 16'383;
constexpr std::int32_t kMinScale = -131'072;

// How the JDBC driver of PostgreSQL, by which Debezium reads snapshots, writes infinity (its
// PGStatement.DATE_POSITIVE_INFINITY and DATE_NEGATIVE_INFINITY, in milliseconds), in the units of
// the wire. As days they overflow.
constexpr std::int64_t kInfinityMillis = 9'223'372'036'825'200;
constexpr std::int64_t kMinusInfinityMillis = -9'223'372'036'832'400;
constexpr std::int64_t kInfinityDays = -2'147'472'692;
constexpr std::int64_t kMinusInfinityDays = -2'147'472'691;
constexpr std::string_view kInfinity = "infinity";
constexpr std::string_view kMinusInfinity = "-infinity";

bool refuse(ProblemCode code, std::string_view text, std::string detail, Problem& problem) {
  problem = {};
  problem.code = code;
  problem.excerpt = message::excerpt_of(text);
  problem.detail = std::move(detail);
  return false;
}

bool contradicts(const Type& type, const Value& value, Problem& problem) {
  constexpr std::string_view kFound[] = {"nothing", "null",  "a boolean", "a number", "a number",
                                         "a text",  "bytes", "an object", "an array"};
  const auto kind = static_cast<std::size_t>(value.kind);
  const std::string_view found = kind < std::size(kFound) ? kFound[kind] : "something else";
  return refuse(
      ProblemCode::kBadType, value.text(),
      fmt::format("{} where {} is expected", found, type.name.empty() ? "another type" : type.name),
      problem);
}

// ---- decimals

// The text of the two's complement number in `bytes` (big-endian), with the point put in.
std::string_view decimal_text(std::string_view bytes, std::int32_t scale, TextStore& store) {
  std::vector<std::uint32_t> limbs;  // little-endian magnitude
  bool negative = !bytes.empty() && (static_cast<unsigned char>(bytes[0]) & 0x80) != 0;
  std::array<char, 24> small;
  std::string large;
  std::string_view digits;
  if (bytes.size() <= 8) {
    std::uint64_t value = negative ? ~std::uint64_t{0} : 0;
    for (const char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
    if (negative) value = ~value + 1;
    const auto end = std::to_chars(small.data(), small.data() + small.size(), value).ptr;
    digits = {small.data(), static_cast<std::size_t>(end - small.data())};
  } else {
    limbs.assign((bytes.size() + 3) / 4, negative ? 0xffffffffU : 0);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const auto byte = static_cast<unsigned char>(bytes[bytes.size() - 1 - i]);
      const unsigned shift = 8 * (i % 4);
      limbs[i / 4] = (limbs[i / 4] & ~(0xffU << shift)) | std::uint32_t{byte} << shift;
    }
    if (negative) {
      std::uint64_t carry = 1;
      for (auto& limb : limbs) {
        carry += static_cast<std::uint32_t>(~limb);
        limb = static_cast<std::uint32_t>(carry);
        carry >>= 32;
      }
    }
    constexpr std::uint32_t kChunk = 1'000'000'000;
    std::vector<std::uint32_t> chunks;  // of nine digits, the lowest first
    while (!limbs.empty()) {
      std::uint64_t rest = 0;
      for (std::size_t i = limbs.size(); i-- > 0;) {
        rest = rest << 32 | limbs[i];
        limbs[i] = static_cast<std::uint32_t>(rest / kChunk);
        rest %= kChunk;
      }
      chunks.push_back(static_cast<std::uint32_t>(rest));
      while (!limbs.empty() && limbs.back() == 0) limbs.pop_back();
    }
    large = fmt::format("{}", chunks.back());
    for (std::size_t i = chunks.size() - 1; i-- > 0;) large += fmt::format("{:09}", chunks[i]);
    digits = large;
  }
  const bool zero = digits == "0";
  if (zero) negative = false;
  const std::size_t behind = scale > 0 ? static_cast<std::size_t>(scale) : 0;
  const std::size_t zeros = scale < 0 && !zero ? static_cast<std::size_t>(-scale) : 0;
  const std::size_t before = digits.size() > behind ? digits.size() - behind : 0;
  const std::size_t size =
      (negative ? 1 : 0) + std::max<std::size_t>(before, 1) + (behind > 0 ? 1 + behind : 0) + zeros;
  char* const begin = store.take(size);
  char* at = begin;
  if (negative) *at++ = '-';
  if (before == 0) *at++ = '0';
  at = std::copy_n(digits.data(), before, at);
  if (behind > 0) {
    *at++ = '.';
    const std::size_t there = digits.size() - before;
    at = std::fill_n(at, behind - there, '0');
    at = std::copy_n(digits.data() + before, there, at);
  }
  std::fill_n(at, zeros, '0');
  return {begin, size};
}

bool unbase64(std::string_view text, TextStore& store, std::string_view& bytes,
              std::size_t& bad_at) {
  Buffer& decoded = store.work();
  if (!postgres::decode_base64(text, decoded, bad_at)) return false;
  bytes = store.keep(decoded.view());
  return true;
}

bool to_decimal(std::string_view base64, std::int32_t scale, Value& value, TextStore& store,
                Problem& problem) {
  std::string_view bytes;
  std::size_t bad_at = 0;
  if (scale == kNoScale) {
    return refuse(ProblemCode::kBadType, base64.substr(0, 64),
                  "a text for a column of the type numeric, where nothing says how many digits are "
                  "behind the point: give the column those of the source, numeric(p,s); if the "
                  "text is the number itself (decimal.handling.mode string), say `text` for the "
                  "column in sync.units",
                  problem);
  }
  if (!unbase64(base64, store, bytes, bad_at) || bytes.empty()) {
    return refuse(ProblemCode::kBadType, base64,
                  "not the base64 of a decimal's unscaled value; if it is the number itself "
                  "(decimal.handling.mode string), say `text` for the column in sync.units",
                  problem);
  }
  if (bytes.size() > kMaxDecimalBytes || scale > kMaxScale || scale < kMinScale) {
    return refuse(ProblemCode::kBadType, base64.substr(0, 64),
                  fmt::format("a decimal of {} bytes and scale {}, more than numeric holds",
                              bytes.size(), scale),
                  problem);
  }
  value = Value::of(Kind::kNumber, decimal_text(bytes, scale, store));
  return true;
}

// The members of an object, by name.
struct Members {
  explicit Members(std::string_view slice) {
    JsonParts parts(slice);
    std::string_view key;
    Value value;
    Buffer key_text;
    while (parts.next(key, value, key_text, values_text)) {
      Value kept = value;
      if (value.kind == Kind::kString) {
        texts.push_back(std::string(value.text()));
      }
      list.emplace_back(std::string(key), kept);
      text_of.push_back(value.kind == Kind::kString ? static_cast<int>(texts.size()) - 1 : -1);
    }
  }
  const Value* find(std::string_view name) {
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (list[i].first != name) continue;
      if (text_of[i] >= 0) {
        list[i].second = Value::of(Kind::kString, texts[static_cast<std::size_t>(text_of[i])]);
      }
      return &list[i].second;
    }
    return nullptr;
  }
  Buffer values_text;
  std::vector<std::pair<std::string, Value>> list;
  std::vector<std::string> texts;
  std::vector<int> text_of;
};

bool to_variable_decimal(Value& value, TextStore& store, Problem& problem) {
  Members members(value.text());
  const Value* scale = members.find("scale");
  const Value* digits = members.find("value");
  std::int64_t number = 0;
  if (scale == nullptr || scale->kind != Kind::kNumber ||
      !postgres::parse_integer(scale->text(), number) || digits == nullptr ||
      digits->kind != Kind::kString) {
    return refuse(ProblemCode::kBadType, value.text(), "no {scale, value} of a decimal", problem);
  }
  const auto bounded = std::clamp<std::int64_t>(number, kMinScale - 1, kMaxScale + 1);
  return to_decimal(digits->text(), static_cast<std::int32_t>(bounded), value, store, problem);
}

std::string_view decimal_name(std::string_view text) {
  if (text == "NAN") return "NaN";
  if (text == "POSITIVE_INFINITY") return "Infinity";
  if (text == "NEGATIVE_INFINITY") return "-Infinity";
  return text;
}

// ---- dates and times

bool to_integer(const Value& value, std::int64_t& number) {
  return value.kind == Kind::kNumber && postgres::parse_whole(value.text(), number);
}

// `number` units of 10^power microseconds in microseconds, rounded to halves even as everywhere.
bool to_micros(std::string_view number, std::int16_t power, std::int64_t& micros) {
  std::int64_t whole = 0;
  if (!postgres::parse_whole(number, whole)) return false;
  switch (power) {
    case 0:
      micros = whole;
      return true;
    case 3:
      return !__builtin_mul_overflow(whole, std::int64_t{1'000}, &micros);
    case 6:
      return !__builtin_mul_overflow(whole, std::int64_t{1'000'000}, &micros);
    case -3: {
      micros = whole / 1'000;
      const std::int64_t rest = whole % 1'000;
      const std::int64_t size = rest < 0 ? -rest : rest;
      if (size > 500 || (size == 500 && micros % 2 != 0)) micros += rest < 0 ? -1 : 1;
      return true;
    }
    default:
      return false;
  }
}

// Infinity in the units of the wire; empty: it is none.
std::string_view infinity_of(std::int64_t number, std::int16_t power) {
  const std::int64_t times = power == 3 ? 1 : power == 0 ? 1'000 : 0;
  if (times != 0 && number == kInfinityMillis * times) return kInfinity;
  if (times != 0 && number == kMinusInfinityMillis * times) return kMinusInfinity;
  if (power == -3 && number == std::numeric_limits<std::int64_t>::max()) return kInfinity;
  if (power == -3 && number == std::numeric_limits<std::int64_t>::min()) return kMinusInfinity;
  return {};
}

Value counted(Kind kind, std::int64_t count, std::string_view token) {
  Value value = Value::of(kind, token);
  value.integer = count;
  return value;
}

// "-0043-03-15..." and "+10000-01-01...": ISO 8601's years beyond four digits, of which 0 is 1 BC,
// as PostgreSQL writes them. Others stay.
std::string_view with_postgres_year(std::string_view text, TextStore& store) {
  if (text.size() < 2 || (text[0] != '-' && text[0] != '+')) {
    if (!text.starts_with("0000-")) return text;
  }
  const bool is_signed = text[0] == '-' || text[0] == '+';
  const std::size_t from = is_signed ? 1 : 0;
  const std::size_t dash = text.find('-', from);
  std::int64_t year = 0;
  if (dash == std::string_view::npos || dash - from > 9 ||
      !postgres::parse_integer(text.substr(from, dash - from), year)) {
    return text;
  }
  const std::string_view rest = text.substr(dash);
  const bool before_christ = text[0] == '-' || year == 0;
  const std::string made = before_christ ? fmt::format("{:04}{} BC", year + 1, rest)
                                         : fmt::format("{:04}{}", year, rest);
  return store.keep(made);
}

// A date or time without zone, to which Debezium's isostring mode adds a Z all the same.
std::string_view iso_text(std::string_view text, TextStore& store) {
  if (text == "-5877611-06-21Z" || text == "+294247-01-10T04:00:25.2Z") return kInfinity;
  if (text == "-5877611-06-22Z" || text == "-290308-12-21T19:59:27.6Z") return kMinusInfinity;
  if (text.ends_with('Z')) text.remove_suffix(1);
  return with_postgres_year(text, store);
}

// Debezium puts a backslash before each comma in a label of MySQL's and MariaDB's enums: in the
// list of the labels, which commas part, and in the values too. Labels of sets have no commas.
std::string_view enum_label(std::string_view text, std::string_view allowed, TextStore& store) {
  constexpr std::string_view kComma = "\\,";
  if (text.find(kComma) == std::string_view::npos) return text;
  if (allowed.find(text) == std::string_view::npos) return text;
  std::string label;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i).starts_with(kComma)) ++i;
    label += text[i];
  }
  return store.keep(label);
}

// Struct forms (time.precision.mode structured): their parts as ISO text.
bool to_structured(Value& value, TextStore& store, Problem& problem) {
  Members members(value.text());
  const auto number = [&](std::string_view name) -> std::optional<std::int64_t> {
    const Value* found = members.find(name);
    std::int64_t result = 0;
    if (found == nullptr || !to_integer(*found, result)) return std::nullopt;
    return result;
  };
  if (const Value* special = members.find("specialValue");
      special != nullptr && special->kind == Kind::kString) {
    const std::string_view text = special->text();
    value = Value::of(
        Kind::kString,
        store.keep(text.find('-') == 0 || text.find("NEG") == 0 ? kMinusInfinity : kInfinity));
    return true;
  }
  std::string text;
  const auto year = number("year");
  const auto month = number("month");
  const auto day = number("day");
  const auto hour = number("hour");
  if (members.find("months") != nullptr || members.find("days") != nullptr) {  // a duration
    text = fmt::format("P{}Y{}M{}DT{}H{}M{}.{:06}S", number("years").value_or(0),
                       number("months").value_or(0), number("days").value_or(0),
                       number("hours").value_or(0), number("minutes").value_or(0),
                       number("seconds").value_or(0), std::abs(number("micros").value_or(0)));
  } else {
    if (year && month && day) {
      text = *year <= 0 ? fmt::format("{:04}-{:02}-{:02}", 1 - *year, *month, *day)
                        : fmt::format("{:04}-{:02}-{:02}", *year, *month, *day);
    }
    if (hour) {
      const std::int64_t nanos = number("nanos").value_or(number("nano").value_or(0));
      if (!text.empty()) text += ' ';
      text += fmt::format("{:02}:{:02}:{:02}", *hour, number("minute").value_or(0),
                          number("second").value_or(0));
      if (nanos != 0) text += fmt::format(".{:09}", nanos);
    }
    if (const Value* zone = members.find("offset");
        zone != nullptr && zone->kind == Kind::kString) {
      text += zone->text();
    } else if (const auto seconds = number("offsetSeconds")) {
      text +=
          fmt::format("{}{:02}:{:02}:{:02}", *seconds < 0 ? '-' : '+', std::abs(*seconds) / 3600,
                      std::abs(*seconds) / 60 % 60, std::abs(*seconds) % 60);
    }
    if (year && *year <= 0) text += " BC";
  }
  if (text.empty()) {
    return refuse(ProblemCode::kBadType, value.text(), "no parts of a date or time", problem);
  }
  value = Value::of(Kind::kString, store.keep(text));
  return true;
}

bool from_number(const Type& type, Value& value, TextStore& store, Problem& problem) {
  std::int64_t number = 0;
  const std::string_view token = value.text();
  switch (type.meaning) {
    case Meaning::kUnsigned:
      if (to_integer(value, number) && number < 0) {
        value = Value::of(Kind::kNumber,
                          store.keep(std::to_string(static_cast<std::uint64_t>(number))));
      }
      return true;
    case Meaning::kDate:
      if (!to_integer(value, number)) break;
      if (number == kInfinityDays || number == kMinusInfinityDays) {
        value = Value::of(Kind::kString, number == kInfinityDays ? kInfinity : kMinusInfinity);
      } else {
        value = counted(Kind::kDate, number, token);
      }
      return true;
    case Meaning::kTime:
      if (!to_micros(token, type.power, number)) break;
      value = counted(Kind::kTimeOfDay, number, token);
      return true;
    case Meaning::kTimestamp:
    case Meaning::kInstant: {
      if (!to_integer(value, number)) break;
      const std::string_view infinite = infinity_of(number, type.power);
      if (!infinite.empty()) {
        value = Value::of(Kind::kString, infinite);
        return true;
      }
      if (!to_micros(token, type.power, number)) break;
      value = counted(type.meaning == Meaning::kInstant ? Kind::kMicros : Kind::kTimestamp, number,
                      token);
      return true;
    }
    case Meaning::kDuration:
      if (!to_micros(token, type.power, number)) break;
      value = counted(Kind::kDuration, number, token);
      return true;
    case Meaning::kPlain:
      if (type.assumed || type.base == Base::kAny || type.base == Base::kInteger ||
          type.base == Base::kFloat) {
        return true;
      }
      return contradicts(type, value, problem);
    default:
      // decimal.handling.mode double, and numbers that are their own text
      return type.assumed || type.meaning == Meaning::kDecimal || contradicts(type, value, problem);
  }
  return refuse(ProblemCode::kBadTimestamp, token, "no whole number, or beyond 64 bits", problem);
}

bool from_string(const Type& type, Value& value, TextStore& store, Problem& problem) {
  const std::string_view text = value.text();
  switch (type.meaning) {
    case Meaning::kDecimal:
      // As doubles are sent that have no digits; "Infinity" would be base64 as well.
      if (type.assumed && (text == "NaN" || text == "Infinity" || text == "-Infinity")) return true;
      return to_decimal(text, type.scale, value, store, problem);
    case Meaning::kDecimalText:
      value = Value::of(Kind::kString, decimal_name(text));
      return true;
    case Meaning::kDate:
    case Meaning::kTime:
    case Meaning::kTimestamp:
      if (!type.assumed) return contradicts(type, value, problem);
      [[fallthrough]];
    case Meaning::kIsoDate:
    case Meaning::kIsoTime:
    case Meaning::kIsoTimestamp:
      value = Value::of(Kind::kString, iso_text(text, store));
      return true;
    case Meaning::kZonedTimestamp:
      value = Value::of(Kind::kString, with_postgres_year(text, store));
      return true;
    case Meaning::kHex: {
      Buffer& decoded = store.work();
      std::size_t bad_at = 0;
      if (!postgres::decode_hex(text, decoded, bad_at)) {
        return refuse(ProblemCode::kBadEncoding, text.substr(bad_at), "no hex", problem);
      }
      value = Value::of(Kind::kBytes, store.keep(decoded.view()));
      return true;
    }
    case Meaning::kJson:
      value.kind = Kind::kJsonObject;  // its text is the document
      value.set_type(nullptr);
      return true;
    case Meaning::kBits: {
      std::string_view bytes;
      std::size_t bad_at = 0;
      if (!unbase64(text, store, bytes, bad_at)) break;
      value = counted(Kind::kBits, type.length, bytes);
      return true;
    }
    case Meaning::kEnum:
      value = Value::of(Kind::kString, enum_label(text, type.allowed, store));
      return true;
    case Meaning::kEnumSet:
      return true;
    case Meaning::kDuration:
      // MySQL's TIME in isostring mode; durations in ISO 8601 end in the letter of a unit.
      if (type.assumed && text.ends_with('Z')) {
        value = Value::of(Kind::kString, iso_text(text, store));
      }
      [[fallthrough]];
    case Meaning::kInstant:
      return type.assumed || contradicts(type, value, problem);
    case Meaning::kMysqlText:
      return from_mysql_text(type, value, store, problem);
    case Meaning::kPlain:
    case Meaning::kUnsigned:
      break;
    case Meaning::kVariableDecimal:
    case Meaning::kPoint:
    case Meaning::kGeometry:
    case Meaning::kSparseVector:
    case Meaning::kStructured:
      return type.assumed || contradicts(type, value, problem);
  }
  if (type.base == Base::kBytes) {
    std::string_view bytes;
    std::size_t bad_at = 0;
    if (!unbase64(text, store, bytes, bad_at)) {
      return refuse(ProblemCode::kBadEncoding, text.substr(std::min(bad_at, text.size())),
                    fmt::format("no base64 from byte {} on", bad_at), problem);
    }
    value = Value::of(Kind::kBytes, bytes);
    return true;
  }
  // NaN and the infinities of floats come as texts.
  const bool taken = type.assumed || type.base == Base::kAny || type.base == Base::kString ||
                     type.base == Base::kFloat;
  return taken || contradicts(type, value, problem);
}

bool from_object(const Type& type, Value& value, TextStore& store, Problem& problem) {
  value.set_type(&type);
  switch (type.meaning) {
    case Meaning::kVariableDecimal:
      return to_variable_decimal(value, store, problem);
    case Meaning::kDecimal:
    case Meaning::kDecimalText:
      return type.assumed ? to_variable_decimal(value, store, problem)
                          : contradicts(type, value, problem);
    case Meaning::kStructured:
      return to_structured(value, store, problem);
    case Meaning::kDate:
    case Meaning::kTime:
    case Meaning::kTimestamp:
    case Meaning::kInstant:
    case Meaning::kDuration:
      return type.assumed ? to_structured(value, store, problem)
                          : contradicts(type, value, problem);
    default:
      break;
  }
  return type.assumed || type.base == Base::kStruct || type.base == Base::kMap ||
         type.base == Base::kAny || contradicts(type, value, problem);
}

}  // namespace

bool convert(const Type& type, Value& value, TextStore& store, Problem& problem) {
  switch (value.kind) {
    case Kind::kBool:
      return type.assumed || type.base == Base::kBoolean || type.base == Base::kAny ||
             contradicts(type, value, problem);
    case Kind::kNumber:
      return from_number(type, value, store, problem);
    case Kind::kString:
      return from_string(type, value, store, problem);
    case Kind::kJsonObject:
      return from_object(type, value, store, problem);
    case Kind::kJsonArray:
      value.set_type(&type);
      return type.assumed || type.base == Base::kArray || type.base == Base::kMap ||
             type.base == Base::kAny || contradicts(type, value, problem);
    default:
      return true;
  }
}

}  // namespace sluice::sink
