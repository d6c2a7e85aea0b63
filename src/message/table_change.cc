#include "message/table_change.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <charconv>
#include <chrono>
#include <iterator>
#include <optional>

namespace sluice::message {

namespace {

namespace json = boost::json;

std::string_view text_of(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  const auto* text = value == nullptr ? nullptr : value->if_string();
  return text == nullptr ? std::string_view() : std::string_view(*text);
}

std::optional<std::int32_t> number_of(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  if (value == nullptr || !value->is_int64()) return std::nullopt;
  return static_cast<std::int32_t>(value->as_int64());
}

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// "-12", and "-12.5" if `fraction`.
bool is_number(std::string_view text, bool fraction) {
  if (text.starts_with('-')) text.remove_prefix(1);
  const std::size_t point = text.find('.');
  if (point == std::string_view::npos) return all_digits(text);
  return fraction && all_digits(text.substr(0, point)) && all_digits(text.substr(point + 1));
}

// "2024-02-29". The first day of 1970 is what stands for an expression.
bool is_date(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
  std::array<int, 3> parts{};
  const std::array<std::string_view, 3> said{text.substr(0, 4), text.substr(5, 2),
                                             text.substr(8, 2)};
  for (std::size_t i = 0; i < said.size(); ++i) {
    if (!all_digits(said[i])) return false;
    std::from_chars(said[i].data(), said[i].data() + said[i].size(), parts[i]);
  }
  const std::chrono::year_month_day date{std::chrono::year(parts[0]),
                                         std::chrono::month(static_cast<unsigned>(parts[1])),
                                         std::chrono::day(static_cast<unsigned>(parts[2]))};
  return date.ok() && parts[0] > 0 && text != "1970-01-01";
}

// "13:14:15" or "13:14:15.123"
bool is_clock(std::string_view text) {
  if (text.size() < 8 || text[2] != ':' || text[5] != ':') return false;
  if (text.size() > 8 && (text[8] != '.' || !all_digits(text.substr(9)))) return false;
  return all_digits(text.substr(0, 2)) && all_digits(text.substr(3, 2)) &&
         all_digits(text.substr(6, 2)) && text.substr(0, 2) < "24" && text.substr(3, 2) < "60" &&
         text.substr(6, 2) < "60";
}

// A literal of MySQL without its outer quotes as the text it is. Nothing: it could be an
// expression, or hold escapes that mean something else elsewhere.
std::optional<std::string> plain_text(std::string_view literal) {
  if (literal.find_first_of("(\\") != std::string_view::npos || literal == "NULL") {
    return std::nullopt;
  }
  std::string text;
  for (std::size_t i = 0; i < literal.size(); ++i) {
    text += literal[i];
    if (literal[i] == '\'' && i + 1 < literal.size() && literal[i + 1] == '\'') ++i;
  }
  return text;
}

// What is surely a constant that PostgreSQL reads alike.
std::optional<std::string> default_of(const Type& type, std::string_view said) {
  const auto if_it_is = [&](bool good) {
    return good ? std::optional(std::string(said)) : std::nullopt;
  };
  switch (type.meaning) {
    case Meaning::kUnsigned:
      return if_it_is(is_number(said, false));
    case Meaning::kDecimal:
      return if_it_is(is_number(said, true));
    case Meaning::kDate:
      return if_it_is(is_date(said));
    case Meaning::kTimestamp:
      return if_it_is(said.size() >= 19 && said[10] == ' ' && is_date(said.substr(0, 10)) &&
                      is_clock(said.substr(11)));
    case Meaning::kDuration:
      return if_it_is(is_clock(said));
    case Meaning::kPlain:
    case Meaning::kEnum:
      break;
    default:  // a TIMESTAMP is in a time zone that nothing says
      return std::nullopt;
  }
  if (type.base == Base::kInteger) return if_it_is(is_number(said, false));
  if (type.base == Base::kFloat) return if_it_is(is_number(said, true));
  return type.base == Base::kString && type.name.empty() ? plain_text(said) : std::nullopt;
}

// How rows of such a column come.
struct Known {
  std::string_view name;  // without UNSIGNED and ZEROFILL
  Base base = Base::kString;
  Meaning meaning = Meaning::kPlain;
  std::int8_t bits = 0;
  std::int8_t unsigned_bits = 0;
  std::string_view source = {};  // SourceType::name, where that decides about the column's type
};
constexpr Known kKnown[] = {
    {"TINYINT", Base::kInteger, Meaning::kPlain, 16, 16},
    {"BOOL", Base::kInteger, Meaning::kPlain, 16, 16},
    {"BOOLEAN", Base::kInteger, Meaning::kPlain, 16, 16},
    {"SMALLINT", Base::kInteger, Meaning::kPlain, 16, 32},
    {"MEDIUMINT", Base::kInteger, Meaning::kPlain, 32, 32},
    {"INT", Base::kInteger, Meaning::kPlain, 32, 64},
    {"INTEGER", Base::kInteger, Meaning::kPlain, 32, 64},
    {"BIGINT", Base::kInteger, Meaning::kPlain, 64, 64},
    {"YEAR", Base::kInteger, Meaning::kPlain, 32, 32},
    {"DECIMAL", Base::kBytes, Meaning::kDecimal, 0, 0, "DECIMAL"},
    {"NUMERIC", Base::kBytes, Meaning::kDecimal, 0, 0, "DECIMAL"},
    {"DEC", Base::kBytes, Meaning::kDecimal, 0, 0, "DECIMAL"},
    {"FIXED", Base::kBytes, Meaning::kDecimal, 0, 0, "DECIMAL"},
    {"FLOAT", Base::kFloat, Meaning::kPlain, 32, 32, "FLOAT"},
    {"DOUBLE", Base::kFloat, Meaning::kPlain, 64, 64},
    {"DOUBLE PRECISION", Base::kFloat, Meaning::kPlain, 64, 64},
    {"REAL", Base::kFloat, Meaning::kPlain, 64, 64},
    {"BIT", Base::kBytes, Meaning::kBits},
    {"DATE", Base::kInteger, Meaning::kDate},
    {"DATETIME", Base::kInteger, Meaning::kTimestamp},
    {"TIMESTAMP", Base::kString, Meaning::kZonedTimestamp},
    {"TIME", Base::kInteger, Meaning::kDuration},
    {"CHAR", Base::kString, Meaning::kPlain, 0, 0, "CHAR"},
    {"VARCHAR", Base::kString, Meaning::kPlain, 0, 0, "VARCHAR"},
    {"TINYTEXT", Base::kString, Meaning::kPlain, 0, 0, "TEXT"},
    {"TEXT", Base::kString, Meaning::kPlain, 0, 0, "TEXT"},
    {"MEDIUMTEXT", Base::kString, Meaning::kPlain, 0, 0, "TEXT"},
    {"LONGTEXT", Base::kString, Meaning::kPlain, 0, 0, "TEXT"},
    {"ENUM", Base::kString, Meaning::kEnum},
    {"SET", Base::kString, Meaning::kEnumSet},
    {"JSON", Base::kString, Meaning::kJson},
    {"BINARY", Base::kBytes},
    {"VARBINARY", Base::kBytes},
    {"TINYBLOB", Base::kBytes},
    {"BLOB", Base::kBytes},
    {"MEDIUMBLOB", Base::kBytes},
    {"LONGBLOB", Base::kBytes},
    {"POINT", Base::kStruct, Meaning::kPoint},
    {"GEOMETRY", Base::kStruct, Meaning::kGeometry},
    {"LINESTRING", Base::kStruct, Meaning::kGeometry},
    {"POLYGON", Base::kStruct, Meaning::kGeometry},
    {"MULTIPOINT", Base::kStruct, Meaning::kGeometry},
    {"MULTILINESTRING", Base::kStruct, Meaning::kGeometry},
    {"MULTIPOLYGON", Base::kStruct, Meaning::kGeometry},
    {"GEOMETRYCOLLECTION", Base::kStruct, Meaning::kGeometry},
    {"GEOMCOLLECTION", Base::kStruct, Meaning::kGeometry},
};

// A name that is not known is a text: any value can be that.
Type type_of(const json::object& column) {
  std::string name(text_of(column, "typeName"));
  for (char& c : name) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  bool is_unsigned = false;
  for (const std::string_view word : {" ZEROFILL", " UNSIGNED", " SIGNED"}) {
    const std::size_t at = name.find(word);
    if (at == std::string::npos) continue;
    is_unsigned = is_unsigned || word == " UNSIGNED";
    name.erase(at, word.size());
  }
  Type type;
  type.base = Base::kString;
  if (name == "UUID") type.name = "io.debezium.data.Uuid";
  const auto* const known = std::ranges::find(kKnown, std::string_view(name), &Known::name);
  if (known == std::end(kKnown)) return type;
  const auto length = number_of(column, "length");
  const auto scale = number_of(column, "scale");
  type.base = known->base;
  type.meaning = known->meaning;
  type.bits = is_unsigned ? known->unsigned_bits : known->bits;
  if (!known->source.empty()) type.source = {std::string(known->source), length, scale};
  if (name == "BIGINT" && is_unsigned) type.meaning = Meaning::kUnsigned;
  if (type.meaning == Meaning::kDecimal) {
    type.precision = length.value_or(10);
    type.scale = scale.value_or(0);
    type.source.length = type.precision;
  }
  if (type.meaning == Meaning::kTimestamp) type.power = length.value_or(0) <= 3 ? 3 : 0;
  if (type.meaning == Meaning::kBits) {
    type.length = length.value_or(1);
    if (type.length == 1) {
      type.base = Base::kBoolean;
      type.meaning = Meaning::kPlain;
    }
  }
  return type;
}

// `"inv"."Order Items.v2"`: the names in it.
std::vector<std::string> names_of(std::string_view id) {
  std::vector<std::string> names;
  while (id.starts_with('"')) {
    std::string& name = names.emplace_back();
    std::size_t i = 1;
    for (; i < id.size(); ++i) {
      if (id[i] == '"' && (i + 1 == id.size() || id[i + 1] != '"')) break;
      name += id[i];
      if (id[i] == '"') ++i;
    }
    id.remove_prefix(std::min(i + 1, id.size()));
    if (id.starts_with('.')) id.remove_prefix(1);
  }
  return names;
}

std::string topic_of(std::string_view prefix, const Origin& origin) {
  std::string topic = std::string(prefix) + '.' + origin.db + '.' + origin.table;
  for (char& c : topic) {
    const bool taken = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '_' || c == '-';
    if (!taken) c = '_';
  }
  return topic;
}

std::optional<TableChange> table_change(const json::object& change, std::string_view prefix) {
  const std::string_view type = text_of(change, "type");
  const auto* const found = change.if_contains("table");
  const auto* const table = found == nullptr ? nullptr : found->if_object();
  if ((type != "CREATE" && type != "ALTER") || table == nullptr) return std::nullopt;
  const auto names = names_of(text_of(change, "id"));
  const auto* const columns = table->if_contains("columns");
  if (names.size() != 2 || columns == nullptr || !columns->is_array()) return std::nullopt;
  TableChange result;
  result.origin = {names[0], {}, names[1]};
  result.topic = topic_of(prefix, result.origin);
  result.row.base = Base::kStruct;
  for (const auto& each : columns->as_array()) {
    const auto* const column = each.if_object();
    const std::string_view name = column == nullptr ? std::string_view() : text_of(*column, "name");
    if (name.empty()) return std::nullopt;
    Type field = type_of(*column);
    const auto* const optional = column->if_contains("optional");
    field.optional = optional == nullptr || !optional->is_bool() || optional->as_bool();
    const auto* const said = column->if_contains("defaultValueExpression");
    if (said != nullptr && said->is_string()) {
      field.default_text = default_of(field, said->as_string());
    }
    result.row.names.emplace_back(name);
    result.row.parts.push_back(std::move(field));
  }
  if (result.row.names.empty()) return std::nullopt;
  const auto* const key = table->if_contains("primaryKeyColumnNames");
  if (key != nullptr && key->is_array()) {
    for (const auto& name : key->as_array()) {
      if (const auto* text = name.if_string()) result.key.emplace_back(text->data(), text->size());
    }
  }
  return result;
}

}  // namespace

std::optional<std::vector<TableChange>> table_changes(std::string_view payload) {
  boost::system::error_code failed;
  const auto parsed = json::parse(payload, failed);
  const auto* const event = failed ? nullptr : parsed.if_object();
  if (event == nullptr || !event->contains("databaseName")) return std::nullopt;
  const auto* const source = event->if_contains("source");
  const auto* const changes = event->if_contains("tableChanges");
  if (source == nullptr || !source->is_object() || changes == nullptr || !changes->is_array()) {
    return std::nullopt;
  }
  std::vector<TableChange> result;
  const std::string_view connector = text_of(source->as_object(), "connector");
  if (connector != "mysql" && connector != "mariadb") return result;
  for (const auto& each : changes->as_array()) {
    const auto* const change = each.if_object();
    if (change == nullptr) continue;
    auto read = table_change(*change, text_of(source->as_object(), "name"));
    if (read) result.push_back(std::move(*read));
  }
  return result;
}

}  // namespace sluice::message
