#include "sink/structure.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <system_error>
#include <utility>

#include "message/column_name.h"
#include "postgres/connection.h"
#include "postgres/encode.h"
#include "sink/column_type.h"
#include "sink/convert.h"
#include "sink/encoder.h"

namespace sluice::sink {

using message::Base;
using message::Kind;
using message::Meaning;
using message::Type;
using message::Value;
using postgres::ColumnInfo;
using postgres::TableInfo;

namespace oid = postgres::oid;

namespace {

constexpr postgres::Oid kTextArray = 1009;
constexpr int kFastDefaults = 110000;  // since PostgreSQL 11 ADD COLUMN ... DEFAULT writes no rows

std::string quoted(std::string_view name) { return postgres::Connection::identifier(name); }

// pg_attribute.atttypmod of numeric: ((precision << 16) | (scale & 0x7ff)) + 4
struct Digits {
  int whole = 0;
  int scale = 0;
};
std::optional<Digits> digits_of(std::int32_t typmod) {
  if (typmod < 4) return std::nullopt;
  const int precision = ((typmod - 4) >> 16) & 0xffff;
  int scale = (typmod - 4) & 0x7ff;
  if (scale > 0x3ff) scale -= 0x800;  // PostgreSQL 15 has scales below 0
  return Digits{precision - scale, scale};
}

int integer_bits(postgres::Oid type) {
  return type == oid::kInt2 ? 16 : type == oid::kInt4 ? 32 : type == oid::kInt8 ? 64 : 0;
}
// Digits that an integer of so many bits can have.
int integer_digits(int bits) { return bits == 16 ? 5 : bits == 32 ? 10 : 19; }

struct Widening {
  std::string type;
  bool rewrites = true;
  bool can_wait = false;
};

std::optional<Widening> widen_integer(int bits, const Type& field) {
  const Widening numeric{"numeric", true, true};
  switch (field.meaning) {
    case Meaning::kPlain:
      if (field.base == Base::kInteger && field.bits > bits) {
        return Widening{field.bits == 64 ? "bigint" : "integer", true, true};
      }
      if (field.base == Base::kFloat && bits < 64) return Widening{"double precision", true, true};
      return std::nullopt;
    case Meaning::kUnsigned:
      return Widening{"numeric(20)", true, true};
    case Meaning::kDecimal: {
      if (field.precision <= 0) return field.scale > 0 ? std::optional(numeric) : std::nullopt;
      const int scale = std::max(0, field.scale);
      if (scale == 0 && field.precision - field.scale < integer_digits(bits)) return std::nullopt;
      const int whole = std::max(field.precision - field.scale, integer_digits(bits));
      return Widening{fmt::format("numeric({},{})", whole + scale, scale), true, true};
    }
    case Meaning::kVariableDecimal:
      return numeric;
    default:
      return std::nullopt;
  }
}

// PostgreSQL rounds what has more digits behind the point, and says nothing.
std::optional<Widening> widen_numeric(const postgres::Type& column, const Type& field) {
  const auto has = digits_of(column.typmod);
  if (!has) return std::nullopt;
  if (field.meaning == Meaning::kVariableDecimal ||
      (field.meaning == Meaning::kDecimal && field.precision <= 0)) {
    return Widening{"numeric", false};
  }
  if (field.meaning != Meaning::kDecimal) return std::nullopt;
  // Debezium takes a scale below 0 for one without sign.
  const int field_scale = field.scale > 0x3ff ? field.scale - 0x800 : field.scale;
  const int scale = std::max(has->scale, field_scale);
  const int whole = std::max(has->whole, field.precision - field_scale);
  if (scale == has->scale && whole == has->whole) return std::nullopt;
  return Widening{fmt::format("numeric({},{})", whole + scale, scale), scale != has->scale};
}

std::optional<Widening> widen_text(const postgres::Type& column, const Type& field) {
  if (column.typmod < 4 || field.source.name.empty()) return std::nullopt;
  const std::string wanted = column_type(field);
  const bool padded = column.oid == oid::kBpchar;
  if (field.source.length && *field.source.length <= column.typmod - 4) return std::nullopt;
  if (wanted == "text") return Widening{"text", padded};
  const bool varying = wanted.starts_with("character varying(");
  if (!varying && !wanted.starts_with("character(")) return std::nullopt;
  return Widening{
      varying || !padded ? fmt::format("character varying({})", *field.source.length) : wanted,
      padded};
}

bool is_timestamp(const Type& field) {
  return field.meaning == Meaning::kTimestamp || field.meaning == Meaning::kIsoTimestamp ||
         field.meaning == Meaning::kInstant || field.meaning == Meaning::kZonedTimestamp;
}

// What a column of one type must become for a field of another; nothing where it can stay: also
// where the two have nothing in common, and the values decide.
std::optional<Widening> widens(const postgres::Type& column, const Type& field) {
  if (column.element != 0) {
    if (field.base != Base::kArray || field.parts.size() != 1) return std::nullopt;
    if (column.element_type.size() != 1) return std::nullopt;
    postgres::Type element = column.element_type.front();
    if (element.typmod < 0) element.typmod = column.typmod;
    auto widening = widens(element, field.parts.front());
    if (widening) widening->type += "[]";
    return widening;
  }
  if (column.domain) return std::nullopt;  // somebody has said what may be in it
  if (const int bits = integer_bits(column.oid); bits > 0) return widen_integer(bits, field);
  const bool plain = field.meaning == Meaning::kPlain;
  switch (column.oid) {
    case oid::kNumeric:
      return widen_numeric(column, field);
    case oid::kFloat4:
      // MySQL's FLOAT(7,3) comes as a double.
      if (plain && field.base == Base::kFloat && field.bits == 64 && column_type(field) != "real") {
        return Widening{"double precision"};
      }
      return std::nullopt;
    case oid::kVarchar:
    case oid::kBpchar:
      return widen_text(column, field);
    case oid::kVarbit:
      if (field.meaning != Meaning::kBits || column.typmod <= 0) return std::nullopt;
      if (field.length > 0 && field.length <= column.typmod) return std::nullopt;
      return Widening{"bit varying", false};
    case oid::kDate:
      if (!is_timestamp(field)) return std::nullopt;
      return Widening{field.meaning == Meaning::kZonedTimestamp ? "timestamptz" : "timestamp"};
    default:
      return std::nullopt;
  }
}

// Digits in front of the point only, where they are what is missing: without a schema the scale of
// what comes is the column's, and one without scale would take 2.50 for 250. Twice as many each
// time, so that there are few times.
std::optional<Widening> widen_numeric_for_any(const postgres::Type& column, int whole_digits) {
  constexpr int kMostDigits = 1000;
  const auto has = digits_of(column.typmod);
  if (!has || whole_digits <= has->whole) return Widening{"numeric", false};
  if (whole_digits + has->scale > kMostDigits) return std::nullopt;
  const int whole = std::min(std::max(whole_digits, 2 * has->whole), kMostDigits - has->scale);
  return Widening{fmt::format("numeric({},{})", whole + has->scale, has->scale), false};
}

// What a column that has refused a value for its size becomes.
std::optional<Widening> widens_for_any(const postgres::Type& column, int whole_digits) {
  switch (column.oid) {
    case oid::kInt2:
    case oid::kInt4:
      return Widening{"bigint"};
    case oid::kInt8:
      return Widening{"numeric"};
    case oid::kNumeric:
      return widen_numeric_for_any(column, whole_digits);
    case oid::kVarchar:
      return Widening{"character varying", false};
    case oid::kBpchar:
      return Widening{"text"};
    case oid::kTime:
      return Widening{"time", false};
    case oid::kTimestamp:
      return Widening{"timestamp", false};
    case oid::kTimestamptz:
      return Widening{"timestamptz", false};
    default:
      return std::nullopt;
  }
}

// The default of a field as an SQL literal without its type; nothing if it has none, or none that
// can be said.
std::optional<std::string> default_literal(const Type& type) {
  if (type.default_text) return postgres::Connection::literal(*type.default_text);
  if (type.default_json.empty()) return std::nullopt;
  boost::system::error_code failed;
  const auto json = boost::json::parse(type.default_json, failed);
  if (failed || json.is_null()) return std::nullopt;
  std::string decoded;
  Value value = Value::of(Kind::kNumber, type.default_json);
  if (json.is_string()) {
    decoded = json.as_string();
    value = Value::of(Kind::kString, decoded);
  } else if (json.is_bool()) {
    value = Value::of(Kind::kBool, json.as_bool() ? 1 : 0);
  } else if (json.is_array()) {
    value = Value::of(Kind::kJsonArray, type.default_json);
  } else if (json.is_object()) {
    value = Value::of(Kind::kJsonObject, type.default_json);
  }
  Scratch scratch;
  message::Problem problem;
  if (!convert(type, value, scratch.store, problem)) return std::nullopt;
  // Its text is what the input function of any type gets.
  ColumnInfo text;
  text.type.oid = oid::kText;
  text.type.category = 'b';
  if (value.kind == Kind::kJsonArray && type.base == Base::kArray) {
    postgres::Type element = text.type;
    text.type.oid = kTextArray;
    text.type.element = oid::kText;
    text.type.element_type = {element};
  }
  auto encoder = ColumnEncoder::compile(text, {});
  Buffer out;
  if (!encoder || encoder->plain_text(value, out, scratch, problem) != Encoded::kOk) {
    return std::nullopt;
  }
  return postgres::Connection::literal(out.view());
}

class Altering {
 public:
  Altering(const TableInfo& table, const Demand& demand, int server_version,
           const std::set<std::string, std::less<>>& absent_types)
      : table_(table), demand_(demand), version_(server_version), absent_(absent_types) {
    for (const auto& column : table.columns) names_.push_back(column.name);
  }

  std::vector<Alteration> run() {
    if (table_.oid == 0) {
      create();
      return std::move(all_);
    }
    std::set<std::string, std::less<>> fed;
    for (std::size_t i = 0; i < demand_.row.names.size(); ++i) {
      if (is_beside(demand_.row.names[i])) continue;
      const ColumnInfo* column = find(demand_.row.names[i]);
      if (column == nullptr) {
        add(demand_.row.names[i], demand_.row.parts[i]);
        continue;
      }
      fed.insert(column->name);
      if (!column->generated) widen(*column, demand_.row.parts[i]);
    }
    if (demand_.whole) drop_not_null_of_what_is_gone(fed);
    if (!demand_.null_in.empty()) drop_not_null(demand_.null_in);
    const ColumnInfo* exceeded = demand_.exceeded.empty() ? nullptr : table_.find(demand_.exceeded);
    if (exceeded != nullptr) {
      if (const auto widening = widens_for_any(exceeded->type, demand_.whole_digits)) {
        alter_type(*exceeded, *widening);
      }
    }
    return std::move(all_);
  }

 private:
  // As the decoder finds columns.
  const ColumnInfo* find(const std::string& name) const {
    const auto found = message::column_of(names_, name, demand_.row.names);
    return found ? &table_.columns[*found] : nullptr;
  }

  // What the task itself puts there goes before what a row has under the name.
  bool is_beside(const std::string& name) const {
    return std::ranges::find(demand_.beside, name) != demand_.beside.end();
  }

  std::string type_of(const Type& field) const {
    const std::string type = column_type(field);
    const std::string_view bare = std::string_view(type).substr(0, type.find_first_of("(["));
    if (!absent_.contains(bare)) return type;
    const std::string known = bare == "hstore" ? "jsonb" : "text";
    return type.ends_with("[]") ? known + "[]" : known;
  }

  void create() {
    std::string columns;
    for (std::size_t i = 0; i < demand_.row.names.size(); ++i) {
      if (is_beside(demand_.row.names[i])) continue;
      const Type& field = demand_.row.parts[i];
      const bool in_key = std::ranges::find(demand_.key, demand_.row.names[i]) != demand_.key.end();
      columns += fmt::format("{}{} {}{}", columns.empty() ? "" : ", ", quoted(demand_.row.names[i]),
                             type_of(field),
                             field.optional || in_key || demand_.history ? "" : " NOT NULL");
    }
    columns += demand_.own_columns;
    std::string key;
    for (const auto& name : demand_.key) key += (key.empty() ? "" : ", ") + quoted(name);
    if (!key.empty()) columns += fmt::format(", PRIMARY KEY ({})", key);
    all_.push_back({.kind = Alteration::Kind::kCreateTable,
                    .column = {},
                    .sql = fmt::format("CREATE TABLE {} ({})", table_.qualified(), columns),
                    .guessed = demand_.guessed});
  }

  Alteration& alter(Alteration::Kind kind, const std::string& column, const std::string& action) {
    all_.push_back({.kind = kind,
                    .column = column,
                    .sql = fmt::format("ALTER TABLE {} {}", table_.qualified(), action)});
    return all_.back();
  }

  void add(const std::string& name, const Type& field) {
    std::string action = fmt::format("ADD COLUMN {} {}", quoted(name), type_of(field));
    const auto value = default_literal(field);
    // Rows that are there have it at the source, and no event says so.
    if (value) action += fmt::format("{} DEFAULT {}", field.optional ? "" : " NOT NULL", *value);
    Alteration& added = alter(Alteration::Kind::kAddColumn, name, action);
    added.rewrites = value && version_ < kFastDefaults;
    added.guessed = demand_.guessed;
  }

  void widen(const ColumnInfo& column, const Type& field) {
    if (const auto widening = widens(column.type, field)) {
      alter_type(column, *widening);
    } else if (demand_.told && column.type.oid == oid::kTimestamp && column.type.typmod >= 0 &&
               column.type.typmod <= 3 && field.meaning == Meaning::kTimestamp &&
               field.power == 0) {
      // Without schema its digits decide whether numbers are milliseconds or microseconds.
      alter_type(column, {"timestamp", false});
    }
  }

  void alter_type(const ColumnInfo& column, const Widening& widening) {
    Alteration& altered =
        alter(Alteration::Kind::kWidenColumn, column.name,
              fmt::format("ALTER COLUMN {} TYPE {}", quoted(column.name), widening.type));
    altered.rewrites = widening.rewrites;
    altered.can_wait = widening.can_wait;
  }

  void drop_not_null(const std::string& column) {
    alter(Alteration::Kind::kDropNotNull, column,
          fmt::format("ALTER COLUMN {} DROP NOT NULL", quoted(column)));
  }

  // Every new row would be refused.
  void drop_not_null_of_what_is_gone(const std::set<std::string, std::less<>>& fed) {
    for (const auto& column : table_.columns) {
      const bool in_key = std::ranges::any_of(table_.unique_indexes, [&](const auto& index) {
        return index.primary &&
               std::ranges::find(index.columns, column.name) != index.columns.end();
      });
      if (!column.not_null || column.has_default || column.generated || column.identity != 0 ||
          in_key || column.type.domain || fed.contains(column.name) || is_beside(column.name)) {
        continue;
      }
      drop_not_null(column.name);
    }
  }

  const TableInfo& table_;
  const Demand& demand_;
  const int version_;
  const std::set<std::string, std::less<>>& absent_;
  std::vector<std::string> names_;  // of the table's columns
  std::vector<Alteration> all_;
};

}  // namespace

std::vector<Alteration> alterations(const TableInfo& table, const Demand& demand,
                                    int server_version,
                                    const std::set<std::string, std::less<>>& absent_types) {
  return Altering(table, demand, server_version, absent_types).run();
}

Chosen choose(task::SchemaChanges schema_changes, std::vector<Alteration> all) {
  Chosen chosen;
  for (auto& alteration : all) {
    switch (schema_changes) {
      case task::SchemaChanges::kApplyAll:
        chosen.now.push_back(std::move(alteration));
        break;
      case task::SchemaChanges::kApplySafe:
        if (alteration.safe()) {
          chosen.now.push_back(std::move(alteration));
        } else if (!alteration.can_wait) {
          chosen.enough = false;
        }
        break;
      case task::SchemaChanges::kStop:
        if (!alteration.can_wait) chosen.enough = false;
        break;
      case task::SchemaChanges::kWarn:
        break;
    }
  }
  return chosen;
}

std::string to_sql(const std::vector<Alteration>& alterations) {
  std::string sql;
  for (const auto& alteration : alterations) {
    sql += fmt::format("{}{};", sql.empty() ? "" : " ", alteration.sql);
  }
  return sql;
}

const std::vector<std::string>& extension_types() {
  static const std::vector<std::string> names = {"citext", "hstore", "ltree"};
  return names;
}

namespace {

bool exceeds_integer(int bits, const Value& value) {
  if (value.kind != Kind::kNumber || value.length < 5) return false;
  std::int64_t number = 0;
  const char* const end = value.data + value.length;
  const auto [stop, error] = std::from_chars(value.data, end, number);
  if (stop != end) return false;  // not whole: no matter of size
  if (error == std::errc::result_out_of_range) return true;
  return bits == 16 ? number != static_cast<std::int16_t>(number)
                    : bits == 32 && number != static_cast<std::int32_t>(number);
}

// Texts are counted in characters, and without the spaces at their end: those are cut off.
bool exceeds_length(std::int32_t typmod, const Value& value) {
  const std::size_t limit = typmod < 4 ? 0 : static_cast<std::size_t>(typmod - 4);
  if (limit == 0 || value.kind != Kind::kString || value.length <= limit) return false;
  const auto begins = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; };
  const std::string_view text = value.text().substr(0, value.text().find_last_not_of(' ') + 1);
  return static_cast<std::size_t>(std::ranges::count_if(text, begins)) > limit;
}

// Digits of a decimal number in front of the point and behind it, without zeros at either end.
struct Spread {
  int whole = 0;
  int behind = 0;
};
// Decimals come as text, too; whatever else a text is, has no size. Doubles come with exponents.
std::optional<Spread> spread_of(const Value& value) {
  const std::string_view text = value.text();
  const bool digits = value.kind == Kind::kString && !text.empty() &&
                      text.find_first_not_of("+-.0123456789") == std::string_view::npos;
  if (value.kind != Kind::kNumber && !digits) return std::nullopt;
  const std::size_t end = std::min(text.find_first_of("eE"), text.size());
  int exponent = 0;
  if (end < text.size()) {
    std::string_view shown = text.substr(end + 1);
    if (shown.starts_with('+')) shown.remove_prefix(1);
    const auto [stop, error] = std::from_chars(shown.data(), shown.data() + shown.size(), exponent);
    if (error != std::errc() || exponent > 1000 || exponent < -1000) return std::nullopt;
  }
  const std::string_view mantissa = text.substr(0, end);
  const std::size_t point = std::min(mantissa.find('.'), mantissa.size());
  const std::size_t first = mantissa.find_first_of("123456789");
  if (first == std::string_view::npos) return Spread{};
  const std::size_t last = mantissa.find_last_of("123456789");
  const auto before_point = [&](std::size_t at) {  // 1: the digit in front of it, 0: behind it
    return static_cast<int>(point) - static_cast<int>(at) + (at > point ? 1 : 0) + exponent;
  };
  return Spread{std::max(0, before_point(first)), std::max(0, 1 - before_point(last))};
}

bool exceeds_digits(std::int32_t typmod, const Value& value, bool exact) {
  const auto has = digits_of(typmod);
  const auto spread = spread_of(value);
  if (!has || !spread) return false;
  return spread->whole > std::max(0, has->whole) ||
         (exact && spread->behind > std::max(0, has->scale));
}

bool exceeds_precision(std::int32_t typmod, const Value& value) {
  if (typmod >= 6) return false;
  if (value.kind == Kind::kString) {
    const std::string_view text = value.text();
    const std::size_t point = text.find('.', std::min(text.find(':'), text.size()));
    if (point == std::string_view::npos) return false;
    const std::size_t end = std::min(text.find_first_not_of("0123456789", point + 1), text.size());
    const std::size_t last = text.substr(0, end).find_last_not_of('0');
    return last > point && last - point > static_cast<std::size_t>(typmod);
  }
  if (value.kind != Kind::kTimestamp && value.kind != Kind::kTimeOfDay &&
      value.kind != Kind::kMicros) {
    return false;
  }
  constexpr std::int64_t kUnits[] = {1'000'000, 100'000, 10'000, 1'000, 100, 10};
  return value.integer % kUnits[typmod] != 0;
}

}  // namespace

std::optional<Bounds> bounds_of(const postgres::Type& column) {
  if (column.domain) return std::nullopt;  // somebody has said what may be in it
  const Bounds bounds{column.oid, column.typmod};
  switch (column.oid) {
    case oid::kInt2:
    case oid::kInt4:
    case oid::kInt8:
      return bounds;
    case oid::kVarchar:
    case oid::kBpchar:
    case oid::kNumeric:
    case oid::kTime:
    case oid::kTimestamp:
    case oid::kTimestamptz:
      return column.typmod >= 0 ? std::optional(bounds) : std::nullopt;
    default:
      return std::nullopt;
  }
}

bool is_too_small(const Bounds& bounds, const Value& value, bool exact) {
  switch (bounds.type) {
    case oid::kInt2:
    case oid::kInt4:
    case oid::kInt8:
      return exceeds_integer(integer_bits(bounds.type), value);
    case oid::kVarchar:
    case oid::kBpchar:
      return exceeds_length(bounds.typmod, value);
    case oid::kNumeric:
      return exceeds_digits(bounds.typmod, value, exact);
    default:
      return exceeds_precision(bounds.typmod, value);
  }
}

int whole_digits(const Bounds& bounds, const Value& value, bool exact) {
  if (bounds.type != oid::kNumeric) return 0;
  const auto has = digits_of(bounds.typmod);
  const auto spread = spread_of(value);
  const bool fits = has && spread && (!exact || spread->behind <= std::max(0, has->scale));
  return fits ? spread->whole : 0;
}

TableInfo table_to_make(postgres::TableName name, std::string_view home) {
  TableInfo table;
  table.schema = name.schema.empty() ? std::string(home) : std::move(name.schema);
  table.name = std::move(name.name);
  table.may_use_schema = table.may_insert = table.may_update = table.may_delete = true;
  table.may_select = table.table_level_insert = true;
  return table;
}

Async<Result<TableInfo>> find_table(postgres::Connection& connection, postgres::TableName name,
                                    std::string ledger_schema) {
  Async<Result<TableInfo>> reading = postgres::read_table(connection, name);
  auto table = co_await reading;
  if (table || table.error().code != "42P01") co_return table;
  Async<Result<std::vector<postgres::Rows>>> asking =
      connection.query(fmt::format("SELECT coalesce((SELECT name FROM "
                                   "unnest(current_schemas(false)) WITH ORDINALITY AS s (name, "
                                   "place) WHERE name <> {} ORDER BY place LIMIT 1), 'public')",
                                   postgres::Connection::literal(ledger_schema)));
  auto home = co_await asking;
  if (!home) co_return fail(home.error());
  co_return table_to_make(std::move(name), home->front().text(0, 0));
}

}  // namespace sluice::sink
