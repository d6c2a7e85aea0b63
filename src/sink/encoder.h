// ColumnEncoder: the second of the two matrices. A message::Value and the type of its target column
// become one field of a COPY, binary or text. This is the innermost loop of Sluice.
//
// What decides is the column's type, and what judges is PostgreSQL: the text path hands the type's
// input function the text that a person would type; the binary path is a short cut for forms whose
// outcome is certain to be the same, and answers kNeedsText for every other one. So the binary path
// never refuses what the input function takes, and never stores another value (tests/values holds
// this with PostgreSQL as the oracle).
//
// How a value is read, by the type of the column:
//   integers        numbers whose value is whole are exact (1.0, 1e3, 12.50e1 are 1, 1000, 125);
//   any
//                   other number goes to PostgreSQL as written and is refused there
//   numeric, float  the digits of the document, none lost; floats correctly rounded
//   boolean         true, false, 0, 1 and the texts that PostgreSQL takes
//   text and alike  strings; numbers, objects and arrays as written in the document; true, false
//   json, jsonb     the JSON value of the field: a string becomes a JSON string (it is not parsed
//                   again), objects and arrays are kept as written; bytes (key, header) are JSON
//                   text
//   date and time   text as PostgreSQL reads it under DateStyle ISO, YMD and TimeZone =
//                   sync.time_zone; with a `unit` numbers and numeric strings are an epoch, rounded
//                   to microseconds, halves to even. In columns without time zone, and in date and
//                   time (time of day), an epoch is shown in UTC
//   bytea           text in PostgreSQL's own forms, or base64 or hex with `encoding`; bytes as they
//   are arrays          a JSON array by element, nested ones are dimensions (unless the elements
//   are json
//                   or composite); a string is an array literal
//   composites      an object by attribute name (absent is null, unknown keys are ignored, of equal
//                   keys the last one), an array by position; a string is a row literal
//   all others      (ranges, inet, enums, extensions ...) their text
// Change events bring dates, times and bits as such (message::Kind): into columns of their own kind
// as they are, into numbers as they stand in the message, into everything else as PostgreSQL's
// text; arrays by element; objects into hstore, point and PostGIS's types.
//
// The time of a message (kMicros) is an instant for date and time types, milliseconds since the
// epoch for numbers, ISO 8601 in UTC for text and json.
//
// `unit` and `encoding` reach through domains and arrays.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/buffer.h"
#include "base/result.h"
#include "message/message.h"
#include "message/value.h"
#include "postgres/catalog.h"
#include "postgres/encode_zone.h"
#include "sink/text_store.h"
#include "task/task.h"

namespace sluice::sink {

enum class Encoded : std::uint8_t {
  kOk,
  kNeedsText,  // beyond the binary encoder: PostgreSQL's input function shall judge
  kProblem,    // Sluice itself must refuse; `problem` says why
};

struct EncoderOptions {
  task::Unit unit = task::Unit::kNone;
  task::Encoding encoding = task::Encoding::kNone;
  task::Nul nul = task::Nul::kFail;
  std::string time_zone = "UTC";
  // The server's own rules for time_zone, read with postgres::TimeZone::sql(). Without them naive
  // timestamps for timestamptz columns need text, unless time_zone is UTC.
  std::shared_ptr<const postgres::TimeZone> zone = nullptr;
};

// Working memory of one lane, kept between values. Its contents mean nothing between calls.
struct Scratch {
  Buffer a;
  Buffer b;
  TextStore store;  // what convert() made of a change event's values; cleared by the caller
};

// Why a text for a column of bytes is refused: "deadbeef" is both hex and base64.
std::string unsaid_encoding(std::string_view column);

class TypeEncoder;  // encoder_type.h

// One mapped column. Immutable after compile(), cheap to copy, may be shared by threads.
//
// All three encoders append to `out`; unless they answer kOk, what they appended is not defined and
// the caller truncates it. A Problem is filled but for `field`, which only the caller knows.
class ColumnEncoder {
 public:
  // Domain kDocument; the code is "unit" or "encoding" when that option cannot fit the column's
  // type.
  static Result<ColumnEncoder> compile(const postgres::ColumnInfo& column,
                                       const EncoderOptions& options);

  // False: binary() never answers kOk but for null; the table is better written as text.
  bool has_binary() const;

  // A field of binary COPY: int32 length and the bytes; -1 for kNull. Never called with kAbsent.
  Encoded binary(const message::Value& value, Buffer& out, Scratch& scratch,
                 message::Problem& problem) const;

  // The text that the type's input function shall get, not escaped for COPY. Never called with
  // kAbsent or kNull. Never answers kNeedsText.
  Encoded plain_text(const message::Value& value, Buffer& out, Scratch& scratch,
                     message::Problem& problem) const;

  // A field of text COPY: plain_text() with backslash, tab, newline and carriage return escaped, \N
  // for kNull; no delimiter. Never called with kAbsent.
  Encoded copy_text(const message::Value& value, Buffer& out, Scratch& scratch,
                    message::Problem& problem) const;

 private:
  explicit ColumnEncoder(std::shared_ptr<const TypeEncoder> type) : type_(std::move(type)) {}
  std::shared_ptr<const TypeEncoder> type_;
};

}  // namespace sluice::sink
