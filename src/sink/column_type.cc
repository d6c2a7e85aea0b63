#include "sink/column_type.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <string_view>

#include "sink/mysql_text.h"

namespace sluice::sink {
namespace {

using message::Base;
using message::Meaning;
using message::Type;

// What connectors report as a column's type, where an event alone says less: texts of a length, and
// the types that come as text or wider than they are. Their spelling, ours.
struct SourceName {
  std::string_view source;
  std::string_view target;
  bool length = false;
};
constexpr SourceName kSourceNames[] = {
    {"VARCHAR", "character varying", true},
    {"BPCHAR", "character", true},
    {"CHAR", "character", true},
    {"TEXT", "text"},
    {"JSON", "json"},
    {"JSONB", "jsonb"},
    {"INET", "inet"},
    {"CIDR", "cidr"},
    {"MACADDR", "macaddr"},
    {"MACADDR8", "macaddr8"},
    {"CITEXT", "citext"},
    {"HSTORE", "hstore"},
    {"LTREE", "ltree"},
    {"MONEY", "money"},
    {"OID", "oid"},
    {"VARBIT", "bit varying", true},
    {"INT4RANGE", "int4range"},
    {"INT8RANGE", "int8range"},
    {"NUMRANGE", "numrange"},
    {"TSRANGE", "tsrange"},
    {"TSTZRANGE", "tstzrange"},
    {"DATERANGE", "daterange"},
    {"TINYTEXT", "text"},
    {"MEDIUMTEXT", "text"},
    {"LONGTEXT", "text"},
    {"BIGINT UNSIGNED", "numeric(20)"},
    {"FLOAT", "real"},
};
constexpr std::int32_t kNoLength = 2'147'483'647;

std::optional<std::string> by_source(const Type& type) {
  const auto& source = type.source;
  // MySQL's and MariaDB's (UNSIGNED, ZEROFILL), in decimal.handling.mode string and double too.
  if (source.name.starts_with("DECIMAL") && source.length && *source.length > 0) {
    return fmt::format("numeric({},{})", *source.length, source.scale.value_or(0));
  }
  // PostgreSQL calls arrays by their elements.
  const bool is_array = type.base == Base::kArray && source.name.starts_with('_');
  const std::string_view name = std::string_view(source.name).substr(is_array ? 1 : 0);
  const auto found = std::ranges::find(kSourceNames, name, &SourceName::source);
  if (found == std::end(kSourceNames) || (type.base == Base::kArray) != is_array) {
    return std::nullopt;
  }
  const std::string_view brackets = is_array ? "[]" : "";
  // A value of 64 bits that the source sends as signed keeps its sign, unless sync.units says so.
  if (source.name == "BIGINT UNSIGNED" && type.base == Base::kInteger) return std::nullopt;
  const bool bounded = found->length && source.length && *source.length != kNoLength &&
                       *source.length > 0 && source.name != "CHAR";
  if (found->length && !bounded) {
    return fmt::format("{}{}", name == "VARBIT" ? found->target : "text", brackets);
  }
  return bounded ? fmt::format("{}({}){}", found->target, *source.length, brackets)
                 : fmt::format("{}{}", found->target, brackets);
}

std::string by_base(const Type& type) {
  switch (type.base) {
    case Base::kBoolean:
      return "boolean";
    case Base::kInteger:
      return type.bits <= 16 ? "smallint" : type.bits == 32 ? "integer" : "bigint";
    case Base::kFloat:
      return type.bits == 32 ? "real" : "double precision";
    case Base::kBytes:
      return "bytea";
    case Base::kArray:
      return type.parts.size() == 1 ? column_type(type.parts.front()) + "[]" : "jsonb";
    case Base::kMap:
    case Base::kStruct:
      return "jsonb";
    case Base::kString:
    case Base::kAny:
      break;
  }
  if (type.name == "io.debezium.data.Uuid") return "uuid";
  if (type.name == "io.debezium.data.Xml") return "xml";
  if (type.name == "io.debezium.data.Tsvector") return "tsvector";
  if (type.name == "io.debezium.data.Ltree") return "ltree";
  if (type.name == "io.debezium.time.ZonedTime") return "time with time zone";
  if (type.name == "io.debezium.time.Interval") return "interval";
  return "text";
}

}  // namespace

std::string column_type(const Type& type) {
  if (type.meaning == Meaning::kMysqlText) return column_type_of_mysql(type.source);
  if (auto found = by_source(type)) return std::move(*found);
  const std::string digits = type.power == 3 ? "(3)" : "";
  switch (type.meaning) {
    case Meaning::kUnsigned:
      return "numeric(20)";
    case Meaning::kDecimal:
      // Debezium takes a scale below 0 for one without sign, which PostgreSQL knows since 15.
      return type.precision > 0 && type.scale <= type.precision
                 ? fmt::format("numeric({},{})", type.precision, type.scale)
                 : "numeric";
    case Meaning::kVariableDecimal:
    case Meaning::kDecimalText:
      return "numeric";
    case Meaning::kDate:
    case Meaning::kIsoDate:
      return "date";
    case Meaning::kTime:
      return "time" + digits;
    case Meaning::kIsoTime:
      return "time";
    case Meaning::kTimestamp:
      return "timestamp" + digits;
    case Meaning::kIsoTimestamp:
      return "timestamp";
    case Meaning::kInstant:
    case Meaning::kZonedTimestamp:
      return "timestamptz";
    case Meaning::kDuration:
      return "interval";
    case Meaning::kHex:
    case Meaning::kGeometry:
      return "bytea";
    case Meaning::kBits:
      return type.length > 0 && type.length < (1 << 20) ? fmt::format("bit({})", type.length)
                                                        : "bit varying";
    case Meaning::kJson:
      return "jsonb";
    case Meaning::kPoint:
      return "point";
    case Meaning::kSparseVector:
    case Meaning::kStructured:
      return "jsonb";
    case Meaning::kEnum:
    case Meaning::kEnumSet:
      return "text";
    case Meaning::kMysqlText:
    case Meaning::kPlain:
      break;
  }
  return by_base(type);
}

std::string_view event_meta_type(task::EventMeta meta) {
  switch (meta) {
    case task::EventMeta::kTime:
    case task::EventMeta::kSourceTime:
      return "timestamptz";
    case task::EventMeta::kLsn:
    case task::EventMeta::kPos:
    case task::EventMeta::kPosition:
      return "bigint";
    case task::EventMeta::kOp:
    case task::EventMeta::kFile:
    case task::EventMeta::kTxId:
      break;
  }
  return "text";
}

bool is_without_order(const postgres::Type& type) {
  // json, xml, point, lseg, path, box, polygon, line, circle (pg_type.dat).
  constexpr postgres::Oid kWithoutOrder[] = {114, 142, 600, 601, 602, 603, 604, 628, 718};
  const postgres::Oid oid = type.element != 0 ? type.element : type.oid;
  return std::find(std::begin(kWithoutOrder), std::end(kWithoutOrder), oid) !=
         std::end(kWithoutOrder);
}

}  // namespace sluice::sink
