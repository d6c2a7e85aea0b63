// The text path: what the input function of a column's type shall get.
#include <array>
#include <charconv>
#include <cstring>

#include "json/text.h"
#include "json/writer.h"
#include "postgres/encode.h"
#include "postgres/encode_time.h"
#include "sink/encoder_type.h"

namespace sluice::sink {
namespace {

using message::Kind;
using message::Problem;
using message::ProblemCode;
using message::Value;

// The power of ten that makes microseconds of a unit.
int power_of(task::Unit unit) {
  switch (unit) {
    case task::Unit::kSeconds:
      return 6;
    case task::Unit::kMillis:
      return 3;
    case task::Unit::kMicros:
    case task::Unit::kNone:
      return 0;
    case task::Unit::kNanos:
      return -3;
  }
  return 0;
}

const char* name_of(task::Unit unit) {
  switch (unit) {
    case task::Unit::kSeconds:
      return "seconds";
    case task::Unit::kMillis:
      return "milliseconds";
    case task::Unit::kMicros:
      return "microseconds";
    case task::Unit::kNanos:
      return "nanoseconds";
    case task::Unit::kNone:
      break;
  }
  return "units";
}

// Whether a number is written without point and exponent.
bool is_plain(std::string_view token) {
  bool plain = true;
  for (const char c : token) plain &= c <= '9' && c != '.';
  return plain;
}

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD
constexpr std::string_view kNulEscape = "\\u0000";

// The next \u0000 in JSON text from `from` on that is an escape: in \\u0000 the first backslash
// belongs to the second.
std::size_t find_nul_escape(std::string_view json, std::size_t from) {
  for (std::size_t at = json.find(kNulEscape, from); at != std::string_view::npos;
       at = json.find(kNulEscape, at + 1)) {
    std::size_t backslashes = 0;
    while (backslashes < at && json[at - 1 - backslashes] == '\\') ++backslashes;
    if (backslashes % 2 == 0) return at;
  }
  return std::string_view::npos;
}

// Whether there is a quote, a backslash or a control character among eight bytes: all that any
// Escapes has. (Bit tricks of Bit Twiddling Hacks, "Determine if a word has a byte less than n".)
bool may_need_escapes(const char* at) {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  constexpr std::uint64_t kHighs = kOnes * 0x80;
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  const auto less = [](std::uint64_t bytes, std::uint64_t limit) {
    return (bytes - kOnes * limit) & ~bytes & kHighs;
  };
  return (less(word, 0x20) | less(word ^ kOnes * '\\', 1) | less(word ^ kOnes * '"', 1)) != 0;
}

}  // namespace

void escape_from(std::size_t mark, const Escapes& escapes, Buffer& out) {
  std::size_t more = 0;
  const char* at = out.data() + mark;
  const char* const end = out.data() + out.size();
  for (; end - at >= 8; at += 8) {
    if (!may_need_escapes(at)) continue;
    for (int i = 0; i < 8; ++i) more += escapes.of(at[i]) != 0 ? 1 : 0;
  }
  for (; at != end; ++at) more += escapes.of(*at) != 0 ? 1 : 0;
  if (more == 0) return;
  out.reserve(more);
  char* from = out.data() + out.size();
  char* to = from + more;
  out.advance(more);
  while (from != to) {  // from the back, so that nothing is overwritten unread
    const char c = *--from;
    const char with = escapes.of(c);
    *--to = with != 0 ? with : c;
    if (with != 0) *--to = '\\';
  }
}

Encoded TypeEncoder::problem_of(ProblemCode code, std::string_view text, std::string detail,
                                Problem& problem) const {
  problem.code = code;
  problem.field.clear();
  problem.column = column_;
  problem.excerpt = message::excerpt_of(text);
  problem.detail = std::move(detail);
  return Encoded::kProblem;
}

Encoded TypeEncoder::text(Value value, Buffer& out, Scratch& scratch, Problem& problem) const {
  SLUICE_CHECK(value.kind != Kind::kAbsent && value.kind != Kind::kNull);
  if (value.kind == Kind::kBytes && shape_ != Shape::kBytea) {
    const Encoded checked = as_string(value, problem);
    if (checked != Encoded::kOk) return checked;
  }
  if (is_text(value) && !has_encoding()) {
    const Encoded clean = without_nul(value, scratch, problem);
    if (clean != Encoded::kOk) return clean;
  }
  if (is_json()) return json_text(value, out, problem);
  if (has_encoding()) {
    const Encoded checked = check_encoding(value, problem);
    if (checked != Encoded::kOk) return checked;
  }
  switch (value.kind) {
    case Kind::kNumber:
      return number_text(value.text(), out, problem);
    case Kind::kString:
      return string_text(value.text(), out, scratch, problem);
    case Kind::kBytes:
      return bytea_text(value.text(), out, scratch, problem);
    case Kind::kMicros:
      return micros_text(value.integer, out, problem);
    case Kind::kBool:
      if (shape_ == Shape::kBit) {
        out.append(value.integer != 0 ? '1' : '0');
        return Encoded::kOk;
      }
      out.append(value.integer != 0 ? "true" : "false");
      return Encoded::kOk;
    case Kind::kInteger: {
      std::array<char, 24> digits;
      const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value.integer);
      return number_text({digits.data(), static_cast<std::size_t>(end.ptr - digits.data())}, out,
                         problem);
    }
    case Kind::kJsonArray:
      if (shape_ == Shape::kArray) return array_text(value, out, scratch, problem);
      if (shape_ == Shape::kComposite) return composite_text(value, out, scratch, problem);
      break;
    case Kind::kJsonObject:
      if (shape_ == Shape::kComposite) return composite_text(value, out, scratch, problem);
      if (shape_ == Shape::kHstore) return hstore_text(value, out, scratch, problem);
      if (value.type() != nullptr) return shape_text(value, out, scratch, problem);
      break;
    case Kind::kDate:
    case Kind::kTimeOfDay:
    case Kind::kTimestamp:
    case Kind::kDuration:
      return counted_text(value, out, problem);
    case Kind::kBits:
      return bits_text(value, out, problem);
    case Kind::kAbsent:
    case Kind::kNull:
    case Kind::kUnchanged:
      break;
  }
  out.append(value.text());
  return Encoded::kOk;
}

Encoded TypeEncoder::number_text(std::string_view token, Buffer& out, Problem& problem) const {
  Encoded written = Encoded::kOk;
  if (has_unit() && epoch_text(token, out, problem, written)) return written;
  if (is_integer() && !is_plain(token) && postgres::append_whole_text(token, out)) {
    return Encoded::kOk;
  }
  out.append(token);
  return Encoded::kOk;
}

Encoded TypeEncoder::string_text(std::string_view text, Buffer& out, Scratch& scratch,
                                 Problem& problem) const {
  if (has_encoding()) return bytea_text(text, out, scratch, problem);
  Encoded written = Encoded::kOk;
  if (has_unit() && epoch_text(text, out, problem, written)) return written;
  out.append(text);
  return Encoded::kOk;
}

// False if it is not a number: then it is for the input function.
bool TypeEncoder::epoch_text(std::string_view number, Buffer& out, Problem& problem,
                             Encoded& written) const {
  std::int64_t micros = 0;
  written = epoch(number, micros, problem);
  if (written == Encoded::kOk) instant_text(micros, out);
  return written != Encoded::kNeedsText;
}

Encoded TypeEncoder::bytea_text(std::string_view bytes, Buffer& out, Scratch& scratch,
                                Problem& problem) const {
  if (has_encoding()) {
    scratch.b.clear();
    const Encoded decoded = decode(bytes, scratch.b, problem);
    if (decoded != Encoded::kOk) return decoded;
    bytes = scratch.b.view();
  }
  postgres::append_hex_text(bytes, out);
  return Encoded::kOk;
}

Encoded TypeEncoder::micros_text(std::int64_t unix_micros, Buffer& out, Problem& problem) const {
  if (is_number()) {
    json::append_number(out, unix_micros / 1'000);
    return Encoded::kOk;
  }
  std::int64_t micros = 0;
  if (!postgres::from_unix_micros(unix_micros, micros)) {
    return problem_of(ProblemCode::kBadTimestamp, {}, "before 4714-11-24 BC", problem);
  }
  if (takes_unit()) {
    instant_text(micros, out);
  } else {
    postgres::append_timestamp_text(micros, postgres::TimeText::kIso8601, out);
  }
  return Encoded::kOk;
}

void TypeEncoder::instant_text(std::int64_t micros, Buffer& out) const {
  switch (shape_) {
    case Shape::kDate:
      postgres::append_date_text(postgres::day_of(micros), out);
      break;
    case Shape::kTime:
      postgres::append_time_text(postgres::time_of_day_of(micros), out);
      break;
    case Shape::kTimestamp:
      postgres::append_timestamp_text(micros, postgres::TimeText::kTimestamp, out);
      break;
    default:
      postgres::append_timestamp_text(micros, postgres::TimeText::kTimestamptz, out);
      break;
  }
}

Encoded TypeEncoder::epoch(std::string_view number, std::int64_t& micros, Problem& problem) const {
  switch (postgres::parse_epoch(number, power_of(options_.unit), micros)) {
    case postgres::Epoch::kOk:
      return Encoded::kOk;
    case postgres::Epoch::kNotANumber:
      return Encoded::kNeedsText;
    case postgres::Epoch::kOutOfRange:
      break;
  }
  return problem_of(ProblemCode::kBadTimestamp, number,
                    std::string("as ") + name_of(options_.unit) +
                        " since 1970 beyond the years 4714 BC to 294276 AD of PostgreSQL",
                    problem);
}

Encoded TypeEncoder::check_encoding(const Value& value, Problem& problem) const {
  if (value.kind == Kind::kString || value.kind == Kind::kBytes) return Encoded::kOk;
  return problem_of(ProblemCode::kBadEncoding, value.text(), "not a string: nothing to decode",
                    problem);
}

Encoded TypeEncoder::without_nul(Value& value, Scratch& scratch, Problem& problem) const {
  const std::string_view text = value.text();
  std::size_t at = text.find('\0');
  if (at == std::string_view::npos) return Encoded::kOk;
  if (options_.nul == task::Nul::kFail) {
    return problem_of(ProblemCode::kNulCharacter, text, "U+0000 at byte " + std::to_string(at),
                      problem);
  }
  Buffer& clean = scratch.b;
  clean.clear();
  std::size_t copied = 0;
  for (; at != std::string_view::npos; at = text.find('\0', copied)) {
    clean.append(text.substr(copied, at - copied));
    if (options_.nul == task::Nul::kReplace) clean.append(kReplacement);
    copied = at + 1;
  }
  clean.append(text.substr(copied));
  value = Value::of(value.kind, clean.view());
  return Encoded::kOk;
}

Encoded TypeEncoder::as_string(Value& value, Problem& problem) const {
  const std::string_view bytes = value.text();
  if (!json::is_utf8(bytes)) {
    const std::size_t at = json::valid_utf8_prefix(bytes);
    return problem_of(ProblemCode::kNotUtf8, bytes.substr(at),
                      "not UTF-8 from byte " + std::to_string(at) +
                          " on, in a column of text; bytea takes any bytes",
                      problem);
  }
  if (!is_json()) value.kind = Kind::kString;
  return Encoded::kOk;
}

Encoded TypeEncoder::json_text(const Value& value, Buffer& out, Problem& problem) const {
  switch (value.kind) {
    case Kind::kString:
      json::append_string(out, value.text());
      return Encoded::kOk;
    case Kind::kBool:
      out.append(value.integer != 0 ? "true" : "false");
      return Encoded::kOk;
    case Kind::kInteger:
      json::append_number(out, value.integer);
      return Encoded::kOk;
    case Kind::kDate:
    case Kind::kTimeOfDay:
    case Kind::kTimestamp:
    case Kind::kDuration:
    case Kind::kBits: {
      out.append('"');
      const Encoded written = value.kind == Kind::kBits ? bits_text(value, out, problem)
                                                        : counted_text(value, out, problem);
      out.append('"');
      return written;
    }
    case Kind::kMicros: {
      out.append('"');
      const Encoded written = micros_text(value.integer, out, problem);
      out.append('"');
      return written;
    }
    default:
      break;
  }
  // Numbers, objects, arrays, and bytes that hold JSON: as written, but for U+0000, which json
  // takes and jsonb refuses: both follow sync.nul.
  const std::string_view json = value.text();
  std::size_t copied = 0;
  for (std::size_t at = find_nul_escape(json, 0); at != std::string_view::npos;
       at = find_nul_escape(json, copied)) {
    if (options_.nul == task::Nul::kFail) {
      return problem_of(ProblemCode::kNulCharacter, json.substr(at),
                        "\\u0000 at byte " + std::to_string(at), problem);
    }
    out.append(json.substr(copied, at - copied));
    if (options_.nul == task::Nul::kReplace) out.append("\\ufffd");
    copied = at + kNulEscape.size();
  }
  out.append(json.substr(copied));
  return Encoded::kOk;
}

Encoded TypeEncoder::decode(std::string_view text, Buffer& out, Problem& problem) const {
  const bool base64 = options_.encoding == task::Encoding::kBase64;
  std::size_t bad_at = 0;
  if (base64 ? postgres::decode_base64(text, out, bad_at)
             : postgres::decode_hex(text, out, bad_at)) {
    return Encoded::kOk;
  }
  return problem_of(ProblemCode::kBadEncoding, text.substr(bad_at),
                    std::string("no ") + (base64 ? "base64" : "hex") + " from byte " +
                        std::to_string(bad_at) + " on",
                    problem);
}

}  // namespace sluice::sink
