#include "sink/encoder.h"

#include <array>
#include <charconv>
#include <limits>

#include "postgres/encode.h"
#include "postgres/encode_time.h"
#include "sink/encoder_type.h"

namespace sluice::sink {
namespace {

using message::Kind;
using message::Problem;
using message::ProblemCode;
using message::Value;

Shape shape_of(const postgres::Type& type) {
  namespace oid = postgres::oid;
  if (type.element != 0 && type.element_type.size() == 1) return Shape::kArray;
  if (type.category == 'c' || !type.attribute_names.empty()) return Shape::kComposite;
  if (type.category == 'e') return Shape::kText;
  switch (type.oid) {
    case oid::kBool:
      return Shape::kBool;
    case oid::kInt2:
      return Shape::kInt2;
    case oid::kInt4:
      return Shape::kInt4;
    case oid::kInt8:
      return Shape::kInt8;
    case oid::kOid:
      return Shape::kOid;
    case oid::kFloat4:
      return Shape::kFloat4;
    case oid::kFloat8:
      return Shape::kFloat8;
    case oid::kNumeric:
      return Shape::kNumeric;
    case oid::kText:
    case oid::kVarchar:
    case oid::kBpchar:
      return Shape::kText;
    case oid::kName:
      return Shape::kName;
    case oid::kBytea:
      return Shape::kBytea;
    case oid::kDate:
      return Shape::kDate;
    case oid::kTime:
      return Shape::kTime;
    case oid::kTimestamp:
      return Shape::kTimestamp;
    case oid::kTimestamptz:
      return Shape::kTimestamptz;
    case oid::kUuid:
      return Shape::kUuid;
    case oid::kJson:
      return Shape::kJson;
    case oid::kJsonb:
      return Shape::kJsonb;
    case oid::kBit:
    case oid::kVarbit:
      return Shape::kBit;
    case oid::kPoint:
      return Shape::kPoint;
    default:
      break;
  }
  // Types of extensions have no fixed oid.
  std::string_view name = type.name;
  name = name.substr(0, name.find('('));
  if (const auto dot = name.rfind('.'); dot != std::string_view::npos) name.remove_prefix(dot + 1);
  if (name == "hstore") return Shape::kHstore;
  if (name == "geometry" || name == "geography") return Shape::kGeometry;
  if (name == "vector" || name == "halfvec" || name == "sparsevec") return Shape::kVector;
  return Shape::kOther;
}

template <class T>
bool fits(std::int64_t value) {
  return value >= std::numeric_limits<T>::min() && value <= std::numeric_limits<T>::max();
}

constexpr Escapes kCopyEscapes = [] {
  Escapes escapes;
  escapes.add('\\', '\\');
  escapes.add('\n', 'n');
  escapes.add('\r', 'r');
  escapes.add('\t', 't');
  return escapes;
}();

}  // namespace

TypeEncoder::TypeEncoder(const std::string& column, const postgres::Type& type,
                         const EncoderOptions& options)
    : shape_(shape_of(type)),
      utc_(postgres::is_utc(options.time_zone)),
      varying_(type.oid == postgres::oid::kVarbit),
      width_(type.typmod),
      options_(options),
      column_(column) {
  if (shape_ == Shape::kArray) {
    if (type.delimiter.size() == 1) delimiter_ = type.delimiter.front();
    parts_.emplace_back(column, type.element_type.front(), options);
  } else if (shape_ == Shape::kComposite) {
    EncoderOptions of_parts = options;  // which attribute would unit and encoding be for?
    of_parts.unit = task::Unit::kNone;
    of_parts.encoding = task::Encoding::kNone;
    attributes_ = type.attribute_names;
    for (const auto& part : type.attribute_types) parts_.emplace_back(column, part, of_parts);
  }
}

const TypeEncoder& TypeEncoder::innermost() const {
  return shape_ == Shape::kArray ? parts_.front().innermost() : *this;
}

Encoded TypeEncoder::binary(const Value& value, Buffer& out, Scratch& scratch,
                            Problem& problem) const {
  switch (value.kind) {  // what rows are full of, first
    case Kind::kNumber:
      if (is_number() || has_unit()) return number_binary(value.text(), out, problem);
      break;
    case Kind::kString:
      if (shape_ == Shape::kText && value.text().find('\0') == std::string_view::npos) {
        postgres::append_bytes(value.text(), out);
        return Encoded::kOk;
      }
      break;
    default:
      break;
  }
  return has_binary() ? any_binary(value, out, scratch, problem) : Encoded::kNeedsText;
}

Encoded TypeEncoder::any_binary(Value value, Buffer& out, Scratch& scratch,
                                Problem& problem) const {
  if (value.kind == Kind::kBytes && shape_ != Shape::kBytea) {
    const Encoded checked = as_string(value, problem);
    if (checked != Encoded::kOk) return checked;
  }
  if (is_text(value) && !has_encoding()) {
    const Encoded clean = without_nul(value, scratch, problem);
    if (clean != Encoded::kOk) return clean;
  }
  if (is_json()) return json_binary(value, out, problem);
  if (has_encoding()) {
    const Encoded checked = check_encoding(value, problem);
    if (checked != Encoded::kOk) return checked;
  }
  switch (value.kind) {
    case Kind::kNumber:
      return string_binary(value.text(), out, problem);
    case Kind::kString:
      return string_binary(value.text(), out, problem);
    case Kind::kInteger:
      return integer_binary(value.integer, out, problem);
    case Kind::kMicros:
      return micros_binary(value.integer, out, problem);
    case Kind::kBool:
      if (shape_ == Shape::kBool) {
        postgres::append_bool(value.integer != 0, out);
        return Encoded::kOk;
      }
      return raw_binary(value.integer != 0 ? "true" : "false", out);
    case Kind::kBytes:
      if (has_encoding()) return encoded_binary(value.text(), out, problem);
      postgres::append_bytes(value.text(), out);
      return Encoded::kOk;
    case Kind::kJsonObject:
    case Kind::kJsonArray:
      return raw_binary(value.text(), out);
    case Kind::kDate:
    case Kind::kTimeOfDay:
    case Kind::kTimestamp:
    case Kind::kDuration:
      return counted_binary(value, out, problem);
    case Kind::kBits:
      return Encoded::kNeedsText;
    case Kind::kAbsent:
    case Kind::kNull:
    case Kind::kUnchanged:
      break;
  }
  return Encoded::kNeedsText;
}

Encoded TypeEncoder::integer_binary(std::int64_t integer, Buffer& out, Problem& problem) const {
  switch (shape_) {
    case Shape::kInt2:
      if (!fits<std::int16_t>(integer)) return Encoded::kNeedsText;
      postgres::append_int2(static_cast<std::int16_t>(integer), out);
      return Encoded::kOk;
    case Shape::kInt4:
      if (!fits<std::int32_t>(integer)) return Encoded::kNeedsText;
      postgres::append_int4(static_cast<std::int32_t>(integer), out);
      return Encoded::kOk;
    case Shape::kInt8:
      postgres::append_int8(integer, out);
      return Encoded::kOk;
    case Shape::kOid:
      if (!fits<std::uint32_t>(integer)) return Encoded::kNeedsText;
      postgres::append_int4(static_cast<std::int32_t>(static_cast<std::uint32_t>(integer)), out);
      return Encoded::kOk;
    case Shape::kNumeric:
      postgres::append_numeric(integer, out);
      return Encoded::kOk;
    default: {
      std::array<char, 24> text;
      const auto end = std::to_chars(text.data(), text.data() + text.size(), integer).ptr;
      return number_binary({text.data(), static_cast<std::size_t>(end - text.data())}, out,
                           problem);
    }
  }
}

Encoded TypeEncoder::number_binary(std::string_view token, Buffer& out, Problem& problem) const {
  if (has_unit()) {
    std::int64_t micros = 0;
    const Encoded read = epoch(token, micros, problem);
    return read == Encoded::kOk ? instant_binary(micros, out) : read;
  }
  if (is_integer()) {
    std::int64_t integer = 0;
    if (!postgres::parse_whole(token, integer)) return Encoded::kNeedsText;
    return integer_binary(integer, out, problem);
  }
  return string_binary(token, out, problem);
}

// Text as the type's input function gets it: of strings, and of numbers where they are no
// different.
Encoded TypeEncoder::string_binary(std::string_view text, Buffer& out, Problem& problem) const {
  bool good = false;
  switch (shape_) {
    case Shape::kText:
    case Shape::kName:
      return raw_binary(text, out);
    case Shape::kInt2:
    case Shape::kInt4:
    case Shape::kInt8:
    case Shape::kOid: {
      std::int64_t integer = 0;
      if (!postgres::parse_integer(text, integer)) return Encoded::kNeedsText;
      return integer_binary(integer, out, problem);
    }
    case Shape::kFloat8: {
      double value = 0;
      good = postgres::parse_float8(text, value);
      if (good) postgres::append_float8(value, out);
      break;
    }
    case Shape::kFloat4: {
      float value = 0;
      good = postgres::parse_float4(text, value);
      if (good) postgres::append_float4(value, out);
      break;
    }
    case Shape::kBool: {
      bool value = false;
      good = postgres::parse_bool(text, value);
      if (good) postgres::append_bool(value, out);
      break;
    }
    case Shape::kNumeric:
      good = postgres::append_numeric(text, out);
      break;
    case Shape::kUuid:
      good = postgres::append_uuid(text, out);
      break;
    case Shape::kBytea:
      if (has_encoding()) return encoded_binary(text, out, problem);
      good = postgres::append_bytea(text, out);
      break;
    case Shape::kDate:
    case Shape::kTime:
    case Shape::kTimestamp:
    case Shape::kTimestamptz:
      if (has_unit()) {
        std::int64_t micros = 0;
        const Encoded read = epoch(text, micros, problem);
        if (read == Encoded::kOk) return instant_binary(micros, out);
        if (read == Encoded::kProblem) return read;
      }
      return date_time_binary(text, out);
    default:
      break;
  }
  return good ? Encoded::kOk : Encoded::kNeedsText;
}

// Types whose bytes are their text.
Encoded TypeEncoder::raw_binary(std::string_view text, Buffer& out) const {
  constexpr std::size_t kNameLength = 63;  // NAMEDATALEN - 1; namein cuts what namerecv refuses
  if (shape_ != Shape::kText && (shape_ != Shape::kName || text.size() > kNameLength)) {
    return Encoded::kNeedsText;
  }
  postgres::append_bytes(text, out);
  return Encoded::kOk;
}

bool TypeEncoder::naive_offset(postgres::Timestamp& timestamp) const {
  const std::int64_t local_seconds = timestamp.days * (postgres::kMicrosPerDay / 1'000'000) +
                                     timestamp.day_micros / postgres::kMicrosPerSecond +
                                     postgres::kUnixToPostgresSeconds;
  return options_.zone != nullptr && options_.zone->offset(local_seconds, timestamp.seconds_east);
}

Encoded TypeEncoder::date_time_binary(std::string_view text, Buffer& out) const {
  if (shape_ == Shape::kTime) {
    std::int64_t micros = 0;
    if (!postgres::parse_time(text, micros)) return Encoded::kNeedsText;
    postgres::append_int8(micros, out);
    return Encoded::kOk;
  }
  postgres::Timestamp timestamp;
  if (!postgres::parse_timestamp(text, timestamp)) return Encoded::kNeedsText;
  if (shape_ == Shape::kDate) {
    postgres::append_int4(timestamp.days, out);
    return Encoded::kOk;
  }
  std::int64_t micros = timestamp.local_micros();
  if (shape_ == Shape::kTimestamptz) {  // a timestamp without time zone ignores the offset
    if (!timestamp.has_offset && !utc_ && !naive_offset(timestamp)) return Encoded::kNeedsText;
    micros -= timestamp.seconds_east * postgres::kMicrosPerSecond;
  }
  postgres::append_int8(micros, out);
  return Encoded::kOk;
}

Encoded TypeEncoder::instant_binary(std::int64_t micros, Buffer& out) const {
  switch (shape_) {
    case Shape::kDate:
      postgres::append_int4(postgres::day_of(micros), out);
      break;
    case Shape::kTime:
      postgres::append_int8(postgres::time_of_day_of(micros), out);
      break;
    default:
      postgres::append_int8(micros, out);
      break;
  }
  return Encoded::kOk;
}

Encoded TypeEncoder::micros_binary(std::int64_t unix_micros, Buffer& out, Problem& problem) const {
  if (!takes_unit()) {
    if (shape_ == Shape::kText) {
      const std::size_t start = out.size();
      out.append_u32(0);
      const Encoded written = micros_text(unix_micros, out, problem);
      out.put_u32(start, static_cast<std::uint32_t>(out.size() - start - 4));
      return written;
    }
    if (!is_number()) return Encoded::kNeedsText;
    return integer_binary(unix_micros / 1'000, out, problem);
  }
  std::int64_t micros = 0;
  if (!postgres::from_unix_micros(unix_micros, micros)) {
    return problem_of(ProblemCode::kBadTimestamp, {}, "before 4714-11-24 BC", problem);
  }
  return instant_binary(micros, out);
}

Encoded TypeEncoder::encoded_binary(std::string_view text, Buffer& out, Problem& problem) const {
  const std::size_t start = out.size();
  out.append_u32(0);
  const Encoded decoded = decode(text, out, problem);
  if (decoded == Encoded::kOk) {
    out.put_u32(start, static_cast<std::uint32_t>(out.size() - start - 4));
  }
  return decoded;
}

Encoded TypeEncoder::json_binary(const Value& value, Buffer& out, Problem& problem) const {
  const std::size_t start = out.size();
  out.append_u32(0);
  if (shape_ == Shape::kJsonb) out.append('\1');  // the version that jsonb_recv takes
  const Encoded written = json_text(value, out, problem);
  if (written == Encoded::kOk) {
    out.put_u32(start, static_cast<std::uint32_t>(out.size() - start - 4));
  }
  return written;
}

Result<ColumnEncoder> ColumnEncoder::compile(const postgres::ColumnInfo& column,
                                             const EncoderOptions& options) {
  auto type = std::make_shared<const TypeEncoder>(column.name, column.type, options);
  const TypeEncoder& innermost = type->innermost();
  const std::string place = "column \"" + column.name + "\" is of type " + column.type.name;
  if (options.unit != task::Unit::kNone && !innermost.takes_unit()) {
    return fail(Domain::kDocument, "unit", place + ", which takes no `unit`",
                "`unit` is for epoch numbers in columns of type date, time, timestamp or "
                "timestamptz, and arrays of them: remove it here, or change the column's type");
  }
  if (options.encoding != task::Encoding::kNone && !innermost.takes_encoding()) {
    return fail(Domain::kDocument, "encoding", place + ", which takes no `encoding`",
                "`encoding` is for columns of type bytea and arrays of it: remove it here, or "
                "change the column's type");
  }
  return ColumnEncoder(std::move(type));
}

bool ColumnEncoder::has_binary() const { return type_->has_binary(); }

Encoded ColumnEncoder::binary(const Value& value, Buffer& out, Scratch& scratch,
                              Problem& problem) const {
  if (value.kind == Kind::kNull) {
    postgres::append_null(out);
    return Encoded::kOk;
  }
  return type_->binary(value, out, scratch, problem);
}

Encoded ColumnEncoder::plain_text(const Value& value, Buffer& out, Scratch& scratch,
                                  Problem& problem) const {
  return type_->text(value, out, scratch, problem);
}

Encoded ColumnEncoder::copy_text(const Value& value, Buffer& out, Scratch& scratch,
                                 Problem& problem) const {
  if (value.kind == Kind::kNull) {
    out.append("\\N");
    return Encoded::kOk;
  }
  const std::size_t mark = out.size();
  const Encoded written = type_->text(value, out, scratch, problem);
  if (written == Encoded::kOk) escape_from(mark, kCopyEscapes, out);
  return written;
}

}  // namespace sluice::sink
