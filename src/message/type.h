// Type: what a field of a change event holds, as the Kafka Connect schema of its message says, or
// as is assumed from the target's column where a message brings none. It decides how the JSON value
// on the wire becomes a Value (message/convert.h).
//
// Sources: Kafka Connect's JsonConverter (schemas.enable) for base types; its data classes Decimal,
// Date, Time and Timestamp; Debezium 3.6 "Data type mappings" of the PostgreSQL and MySQL
// connectors for io.debezium.*. What the documentation does not say was seen in real captures:
// docs/reference/change-events.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sluice::message {

// How a value stands in JSON.
enum class Base : std::uint8_t {
  kAny,  // nothing is known: by what stands there
  kBoolean,
  kInteger,
  kFloat,
  kString,
  kBytes,  // base64
  kArray,
  kMap,
  kStruct,
};

// What it means, beyond its base.
enum class Meaning : std::uint8_t {
  kPlain,
  kUnsigned,         // integer: 64 bits that the source took for unsigned (sync.units: unsigned)
  kDecimal,          // bytes: unscaled big-endian two's complement, with `scale`
  kVariableDecimal,  // struct {scale, value}
  kDecimalText,      // string: digits, or NAN, POSITIVE_INFINITY, NEGATIVE_INFINITY
  kDate,             // integer: days since 1970-01-01
  kTime,             // integer: of the day, in units of 10^power microseconds
  kTimestamp,        // integer: since 1970 without zone, in units of 10^power microseconds
  kInstant,          // the same, in UTC
  kIsoDate,          // string "2024-02-29Z"
  kIsoTime,          // string "13:14:15.123Z", without zone
  kIsoTimestamp,     // string "2024-02-29T13:14:15Z", without zone
  kZonedTimestamp,   // string "2024-02-29T11:14:15.123456Z", infinity
  kDuration,         // integer: in units of 10^power microseconds
  kHex,              // string: bytes in hex
  kBits,             // bytes: little-endian, `length` bits
  kJson,             // string: JSON text
  kEnum,             // string: a label, one of `allowed`
  kEnumSet,          // string: labels with commas
  kPoint,            // struct {x, y, wkb, srid}
  kGeometry,         // struct {wkb, srid}
  kSparseVector,     // struct {dimensions, vector}
  kStructured,       // struct of date and time parts
  kMysqlText,        // string: as MySQL writes a value of the type `source`
};

// As `__debezium.source.column.*` parameters say it (datatype.propagate.source.type).
struct SourceType {
  std::string name;  // in the source's own spelling: INT4, VARCHAR, BIGINT UNSIGNED
  std::optional<std::int32_t> length;
  std::optional<std::int32_t> scale;
};

struct Type {
  Base base = Base::kAny;
  Meaning meaning = Meaning::kPlain;
  bool optional = true;
  // A guess from the target's column: a value of another kind stays as it is, where that cannot be
  // mistaken.
  bool assumed = false;
  std::int16_t power = 0;      // times and durations: 3 for milliseconds, 0 micro, -3 nano
  std::int32_t scale = 0;      // kDecimal
  std::int32_t precision = 0;  // kDecimal; 0: not said
  std::int32_t length = 0;     // kBits; 0: not said
  std::int8_t bits = 0;        // integers and floats: 8 to 64
  std::string name;            // io.debezium.time.Date; empty: none
  std::string allowed;         // enums and sets: the labels with commas, as they are on the wire
  SourceType source;
  std::string default_json;                 // JSON text; empty: none
  std::optional<std::string> default_text;  // instead: as PostgreSQL reads it
  // Array: the element. Map: key and value. Struct: of the fields, in their order.
  std::vector<Type> parts;
  std::vector<std::string> names;  // struct: of the fields

  // The index of a field of this name; -1 if there is none.
  int find(std::string_view field) const;
};

// Reads the JSON of a Connect schema ("schema" of a message with schemas). An unknown semantic type
// is its base type. Errors (domain kMessage, code "schema"): what is not a schema, and where.
Result<Type> parse_schema(std::string_view json);

// The type that a schema of this name and base has; kPlain for names that are not known.
void apply_name(Type& type, std::string_view name);

}  // namespace sluice::message
