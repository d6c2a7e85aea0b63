// TypeEncoder: what ColumnEncoder compiles a column's type to. Arrays and composites hold the
// encoders of their parts. Internal to encoder*.cc.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "postgres/encode_time.h"
#include "sink/encoder.h"

namespace sluice::sink {

// The forms that encoding tells apart. Types beyond the binary encoder come last.
enum class Shape : std::uint8_t {
  kBool,
  kInt2,
  kInt4,
  kInt8,
  kOid,
  kFloat4,
  kFloat8,
  kNumeric,
  kText,  // text, varchar, bpchar, enums: the bytes are the text
  kName,
  kBytea,
  kDate,
  kTime,
  kTimestamp,
  kTimestamptz,
  kUuid,
  kJson,
  kJsonb,
  kArray,
  kComposite,
  kBit,     // bit, bit varying
  kHstore,  // contrib
  kPoint,
  kGeometry,  // PostGIS: geometry, geography
  kVector,    // pgvector
  kOther,
};

class TypeEncoder {
 public:
  TypeEncoder(const std::string& column, const postgres::Type& type, const EncoderOptions& options);

  bool has_binary() const { return shape_ < Shape::kArray; }
  // The innermost element of arrays, the type itself otherwise: what unit and encoding are for.
  const TypeEncoder& innermost() const;
  bool takes_unit() const { return shape_ >= Shape::kDate && shape_ <= Shape::kTimestamptz; }
  bool takes_encoding() const { return shape_ == Shape::kBytea; }

  Encoded binary(const message::Value& value, Buffer& out, Scratch& scratch,
                 message::Problem& problem) const;
  Encoded text(message::Value value, Buffer& out, Scratch& scratch,
               message::Problem& problem) const;

 private:
  bool is_integer() const {
    return shape_ == Shape::kInt2 || shape_ == Shape::kInt4 || shape_ == Shape::kInt8 ||
           shape_ == Shape::kOid;
  }
  bool is_number() const { return shape_ >= Shape::kInt2 && shape_ <= Shape::kNumeric; }
  bool is_json() const { return shape_ == Shape::kJson || shape_ == Shape::kJsonb; }
  // Whose text may hold U+0000.
  bool is_text(const message::Value& value) const {
    return value.kind == message::Kind::kString ||
           (value.kind == message::Kind::kBytes && shape_ != Shape::kBytea);
  }
  bool has_unit() const { return takes_unit() && options_.unit != task::Unit::kNone; }
  bool has_encoding() const {
    return takes_encoding() && options_.encoding != task::Encoding::kNone;
  }

  // encoder.cc: binary
  Encoded any_binary(message::Value value, Buffer& out, Scratch& scratch,
                     message::Problem& problem) const;
  Encoded number_binary(std::string_view token, Buffer& out, message::Problem& problem) const;
  Encoded integer_binary(std::int64_t integer, Buffer& out, message::Problem& problem) const;
  Encoded string_binary(std::string_view text, Buffer& out, message::Problem& problem) const;
  Encoded raw_binary(std::string_view text, Buffer& out) const;
  // Fills the offset of a naive timestamp by sync.time_zone, if the rules for it are known.
  bool naive_offset(postgres::Timestamp& timestamp) const;
  Encoded date_time_binary(std::string_view text, Buffer& out) const;
  Encoded instant_binary(std::int64_t micros, Buffer& out) const;
  Encoded micros_binary(std::int64_t unix_micros, Buffer& out, message::Problem& problem) const;
  Encoded encoded_binary(std::string_view text, Buffer& out, message::Problem& problem) const;
  Encoded json_binary(const message::Value& value, Buffer& out, message::Problem& problem) const;

  // encoder_text.cc: text
  Encoded number_text(std::string_view token, Buffer& out, message::Problem& problem) const;
  bool epoch_text(std::string_view number, Buffer& out, message::Problem& problem,
                  Encoded& written) const;
  Encoded string_text(std::string_view text, Buffer& out, Scratch& scratch,
                      message::Problem& problem) const;
  Encoded micros_text(std::int64_t unix_micros, Buffer& out, message::Problem& problem) const;
  Encoded bytea_text(std::string_view bytes, Buffer& out, Scratch& scratch,
                     message::Problem& problem) const;
  void instant_text(std::int64_t micros, Buffer& out) const;

  // encoder_nested.cc: arrays and composites
  Encoded array_text(const message::Value& value, Buffer& out, Scratch& scratch,
                     message::Problem& problem) const;
  Encoded composite_text(const message::Value& value, Buffer& out, Scratch& scratch,
                         message::Problem& problem) const;
  Encoded members_text(std::string_view slice, Buffer& out, Scratch& scratch,
                       message::Problem& problem) const;
  Encoded positions_text(std::string_view slice, Buffer& out, Scratch& scratch,
                         message::Problem& problem) const;
  Encoded unreadable(std::string_view slice, message::Problem& problem) const;
  Encoded part_text(const message::Value& value, std::string_view null, Buffer& out,
                    Scratch& scratch, message::Problem& problem) const;

  // encoder_change.cc: what only change events hold
  static bool is_counted(message::Kind kind) {
    return kind >= message::Kind::kDate && kind <= message::Kind::kDuration;
  }
  Encoded counted_binary(const message::Value& value, Buffer& out, message::Problem& problem) const;
  Encoded wall_clock_binary(std::int64_t unix_micros, Buffer& out, message::Problem& problem) const;
  Encoded no_day(const message::Value& value, message::Problem& problem) const;
  Encoded no_time(const message::Value& value, message::Problem& problem) const;
  Encoded counted_text(const message::Value& value, Buffer& out, message::Problem& problem) const;
  Encoded bits_text(const message::Value& value, Buffer& out, message::Problem& problem) const;
  Encoded hstore_text(const message::Value& value, Buffer& out, Scratch& scratch,
                      message::Problem& problem) const;
  Encoded shape_text(const message::Value& value, Buffer& out, Scratch& scratch,
                     message::Problem& problem) const;
  Encoded element_text(message::Value value, const message::Type* type, Buffer& out,
                       Scratch& scratch, message::Problem& problem) const;

  // encoder_text.cc: both
  // An epoch number by `unit`. kNeedsText: not a number at all.
  Encoded epoch(std::string_view number, std::int64_t& micros, message::Problem& problem) const;
  // `encoding` is for text: kProblem for anything else where it is set.
  Encoded check_encoding(const message::Value& value, message::Problem& problem) const;
  // Applies sync.nul to `value`, whose text may then be in scratch.b.
  Encoded without_nul(message::Value& value, Scratch& scratch, message::Problem& problem) const;
  // Bytes (key, header) that are to be text: checks UTF-8, makes a kString of them unless they are
  // to be JSON.
  Encoded as_string(message::Value& value, message::Problem& problem) const;
  // A JSON value as its text: what json and jsonb take.
  Encoded json_text(const message::Value& value, Buffer& out, message::Problem& problem) const;
  // Base64 or hex into bytes at the end of `out`.
  Encoded decode(std::string_view text, Buffer& out, message::Problem& problem) const;
  Encoded problem_of(message::ProblemCode code, std::string_view text, std::string detail,
                     message::Problem& problem) const;

  Shape shape_ = Shape::kOther;
  bool utc_ = false;  // sync.time_zone is UTC
  char delimiter_ = ',';
  bool varying_ = false;    // kBit: bit varying
  std::int32_t width_ = 0;  // kBit: of bit(n)
  EncoderOptions options_;
  std::string column_;
  std::vector<std::string> attributes_;  // composites: names of parts_
  std::vector<TypeEncoder> parts_;       // arrays: the element
};

// Which bytes get a backslash in front, and which byte then stands in their place.
struct Escapes {
  std::array<char, 256> with{};  // by byte; 0: as it is

  constexpr void add(char byte, char in_its_place) {
    with[static_cast<unsigned char>(byte)] = in_its_place;
  }
  char of(char byte) const { return with[static_cast<unsigned char>(byte)]; }
};
// Escapes what `out` holds from `mark` on.
void escape_from(std::size_t mark, const Escapes& escapes, Buffer& out);

}  // namespace sluice::sink
