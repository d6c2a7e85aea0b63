#include "message/type.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <charconv>
#include <utility>

namespace sluice::message {
namespace {

// A schema as deep as this is nobody's table.
constexpr int kMaxDepth = 16;
constexpr std::size_t kMaxFields = 2000;  // PostgreSQL has 1,600 columns

// What a schema's name says of a type with one of the bases (0: any).
struct Named {
  std::string_view name;
  Meaning meaning;
  std::int16_t power = 0;
};
constexpr auto kNamed = std::to_array<Named>({
    {"org.apache.kafka.connect.data.Decimal", Meaning::kDecimal},
    {"org.apache.kafka.connect.data.Date", Meaning::kDate},
    {"org.apache.kafka.connect.data.Time", Meaning::kTime, 3},
    {"org.apache.kafka.connect.data.Timestamp", Meaning::kTimestamp, 3},
    {"io.debezium.data.VariableScaleDecimal", Meaning::kVariableDecimal},
    {"io.debezium.time.Date", Meaning::kDate},
    {"io.debezium.time.Time", Meaning::kTime, 3},
    {"io.debezium.time.MicroTime", Meaning::kTime, 0},
    {"io.debezium.time.NanoTime", Meaning::kTime, -3},
    {"io.debezium.time.Timestamp", Meaning::kTimestamp, 3},
    {"io.debezium.time.MicroTimestamp", Meaning::kTimestamp, 0},
    {"io.debezium.time.NanoTimestamp", Meaning::kTimestamp, -3},
    {"io.debezium.time.MicroDuration", Meaning::kDuration, 0},
    {"io.debezium.time.NanoDuration", Meaning::kDuration, -3},
    {"io.debezium.time.ZonedTimestamp", Meaning::kZonedTimestamp},
    {"io.debezium.time.IsoDate", Meaning::kIsoDate},
    {"io.debezium.time.IsoTime", Meaning::kIsoTime},
    {"io.debezium.time.IsoTimestamp", Meaning::kIsoTimestamp},
    {"io.debezium.time.StructuredDate", Meaning::kStructured},
    {"io.debezium.time.StructuredTime", Meaning::kStructured},
    {"io.debezium.time.StructuredTimestamp", Meaning::kStructured},
    {"io.debezium.time.StructuredZonedTime", Meaning::kStructured},
    {"io.debezium.time.StructuredZonedTimestamp", Meaning::kStructured},
    {"io.debezium.time.StructuredDuration", Meaning::kStructured},
    {"io.debezium.data.Bits", Meaning::kBits},
    {"io.debezium.data.Json", Meaning::kJson},
    {"io.debezium.data.Enum", Meaning::kEnum},
    {"io.debezium.data.EnumSet", Meaning::kEnumSet},
    {"io.debezium.data.geometry.Point", Meaning::kPoint},
    {"io.debezium.data.geometry.Geometry", Meaning::kGeometry},
    {"io.debezium.data.geometry.Geography", Meaning::kGeometry},
    {"io.debezium.data.SparseDoubleVector", Meaning::kSparseVector},
    {"io.debezium.data.SparseVector", Meaning::kSparseVector},
});

// Whether a value of this base can be read so: a schema that contradicts itself is its base type.
bool fits(Meaning meaning, Base base) {
  switch (meaning) {
    case Meaning::kDecimal:
    case Meaning::kBits:
      return base == Base::kBytes;
    case Meaning::kDate:
    case Meaning::kTime:
    case Meaning::kTimestamp:
    case Meaning::kInstant:
    case Meaning::kDuration:
    case Meaning::kUnsigned:
      return base == Base::kInteger;
    case Meaning::kVariableDecimal:
    case Meaning::kPoint:
    case Meaning::kGeometry:
    case Meaning::kSparseVector:
    case Meaning::kStructured:
      return base == Base::kStruct;
    default:
      return base == Base::kString;
  }
}

struct BaseName {
  std::string_view name;
  Base base;
  std::int8_t bits;
};
constexpr auto kBases = std::to_array<BaseName>({
    {"boolean", Base::kBoolean, 0},
    {"int8", Base::kInteger, 8},
    {"int16", Base::kInteger, 16},
    {"int32", Base::kInteger, 32},
    {"int64", Base::kInteger, 64},
    {"float", Base::kFloat, 32},
    {"float32", Base::kFloat, 32},
    {"double", Base::kFloat, 64},
    {"float64", Base::kFloat, 64},
    {"string", Base::kString, 0},
    {"bytes", Base::kBytes, 0},
    {"array", Base::kArray, 0},
    {"map", Base::kMap, 0},
    {"struct", Base::kStruct, 0},
});

std::optional<std::int32_t> number_of(std::string_view text) {
  std::int32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

class Parser {
 public:
  bool parse(const boost::json::value& json, std::string path, int depth, Type& type) {
    const auto* object = json.if_object();
    if (object == nullptr) return wrong(path, "is not an object");
    if (depth > kMaxDepth) return wrong(path, "is nested too deep");
    const auto* name = text(*object, "type");
    if (name == nullptr) return wrong(path, "has no \"type\"");
    const auto found = std::ranges::find(kBases, std::string_view(*name), &BaseName::name);
    if (found == kBases.end()) {
      return wrong(path, fmt::format("is of the type \"{}\", which Connect does not have",
                                     std::string_view(*name).substr(0, 64)));
    }
    type.base = found->base;
    type.bits = found->bits;
    const auto* optional = object->if_contains("optional");
    type.optional = optional != nullptr && optional->is_bool() && optional->get_bool();
    if (const auto* value = object->if_contains("default"); value != nullptr && !value->is_null()) {
      type.default_json = boost::json::serialize(*value);
    }
    if (const auto* named = text(*object, "name")) apply_name(type, *named);
    parameters(*object, type);
    switch (type.base) {
      case Base::kArray:
        return part(*object, "items", path, depth, type);
      case Base::kMap:
        return part(*object, "keys", path, depth, type) &&
               part(*object, "values", path, depth, type);
      case Base::kStruct:
        return fields(*object, path, depth, type);
      default:
        return true;
    }
  }

  Error take_error() { return std::move(error_); }

 private:
  bool wrong(const std::string& path, std::string what) {
    error_ = fail(Domain::kMessage, "schema", fmt::format("the schema at {} {}", path, what),
                  "Look at the converter that wrote the message: JsonConverter of Kafka Connect "
                  "with schemas.enable=true writes schemas that are taken.")
                 .value();
    return false;
  }
  static const boost::json::string* text(const boost::json::object& object, std::string_view key) {
    const auto* value = object.if_contains(key);
    return value == nullptr ? nullptr : value->if_string();
  }

  bool part(const boost::json::object& object, std::string_view key, const std::string& path,
            int depth, Type& type) {
    const auto* json = object.if_contains(key);
    if (json == nullptr) return wrong(path, fmt::format("has no \"{}\"", key));
    type.parts.emplace_back();
    Type made;  // parts may move while it is filled
    if (!parse(*json, fmt::format("{}.{}", path, key), depth + 1, made)) return false;
    type.parts.back() = std::move(made);
    return true;
  }

  bool fields(const boost::json::object& object, const std::string& path, int depth, Type& type) {
    const auto* json = object.if_contains("fields");
    const auto* list = json == nullptr ? nullptr : json->if_array();
    if (list == nullptr) return wrong(path, "has no list \"fields\"");
    if (list->size() > kMaxFields) {
      return wrong(path, fmt::format("has {} fields, more than {}", list->size(), kMaxFields));
    }
    for (std::size_t i = 0; i < list->size(); ++i) {
      const std::string place = fmt::format("{}.fields[{}]", path, i);
      Type made;
      if (!parse((*list)[i], place, depth + 1, made)) return false;
      const auto* name = text((*list)[i].get_object(), "field");
      if (name == nullptr) return wrong(place, "has no \"field\"");
      type.names.emplace_back(*name);
      type.parts.push_back(std::move(made));
    }
    return true;
  }

  static void parameters(const boost::json::object& object, Type& type) {
    const auto* json = object.if_contains("parameters");
    const auto* map = json == nullptr ? nullptr : json->if_object();
    if (map == nullptr) return;
    const auto number = [&](std::string_view key) -> std::optional<std::int32_t> {
      const auto* value = text(*map, key);
      return value == nullptr ? std::nullopt : number_of(*value);
    };
    type.scale = number("scale").value_or(0);
    type.precision = number("connect.decimal.precision").value_or(0);
    type.length = number("length").value_or(0);
    if (const auto* name = text(*map, "__debezium.source.column.type")) type.source.name = *name;
    type.source.length = number("__debezium.source.column.length");
    type.source.scale = number("__debezium.source.column.scale");
    if (const auto* allowed = text(*map, "allowed")) type.allowed = std::string(*allowed);
  }

  Error error_;
};

}  // namespace

int Type::find(std::string_view field) const {
  const auto found = std::ranges::find(names, field);
  return found == names.end() ? -1 : static_cast<int>(found - names.begin());
}

void apply_name(Type& type, std::string_view name) {
  type.name = name;
  const auto found = std::ranges::find(kNamed, name, &Named::name);
  if (found == kNamed.end() || !fits(found->meaning, type.base)) return;
  type.meaning = found->meaning;
  type.power = found->power;
}

Result<Type> parse_schema(std::string_view json) {
  boost::system::error_code failed;
  const auto value = boost::json::parse(json, failed);
  Parser parser;
  Type type;
  if (failed) {
    return fail(Domain::kMessage, "schema",
                fmt::format("the schema is not JSON: {}", failed.message()));
  }
  if (!parser.parse(value, "its root", 0, type)) return fail(parser.take_error());
  return type;
}

}  // namespace sluice::message
