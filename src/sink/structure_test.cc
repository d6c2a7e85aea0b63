#include "sink/structure.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "postgres/encode.h"

namespace sluice::sink {
namespace {

using message::Base;
using message::Kind;
using message::Value;
namespace oid = postgres::oid;

constexpr int kServer = 170000;

postgres::ColumnInfo column(std::string name, postgres::Oid type, std::int32_t typmod = -1) {
  postgres::ColumnInfo info;
  info.name = std::move(name);
  info.type.oid = type;
  info.type.typmod = typmod;
  info.type.category = 'b';
  return info;
}

postgres::TableInfo table(std::vector<postgres::ColumnInfo> columns) {
  postgres::TableInfo info;
  info.oid = 1;
  info.schema = "s";
  info.name = "t";
  info.columns = std::move(columns);
  return info;
}

message::Type field(std::string_view schema) {
  auto type = message::parse_schema(schema);
  return type ? std::move(*type) : message::Type{};
}

Demand demand(std::vector<std::pair<std::string, std::string_view>> fields) {
  Demand demand;
  demand.row.base = Base::kStruct;
  for (auto& [name, schema] : fields) {
    demand.row.names.push_back(std::move(name));
    demand.row.parts.push_back(field(schema));
  }
  return demand;
}

std::string sql(const postgres::TableInfo& table, const Demand& demand, int server = kServer) {
  return to_sql(alterations(table, demand, server));
}

std::int32_t numeric(int precision, int scale) { return ((precision << 16) | scale) + 4; }

TEST(Structure, MakesATable) {
  auto made = table_to_make({.schema = "", .name = "o'Brien \"x\""}, "public");
  Demand asked = demand({{"id", R"({"type":"int64"})"},
                         {"at", R"({"type":"int64","name":"io.debezium.time.MicroTimestamp"})"},
                         {"note", R"({"type":"string","optional":true})"}});
  asked.key = {"id"};
  EXPECT_EQ(sql(made, asked),
            R"(CREATE TABLE "public"."o'Brien ""x""" ("id" bigint, "at" timestamp NOT NULL, )"
            R"("note" text, PRIMARY KEY ("id"));)");
  asked.key.clear();
  EXPECT_EQ(sql(made, asked).find("PRIMARY"), std::string::npos);
}

TEST(Structure, AddsColumnsWithTheirDefaults) {
  const auto there = table({column("id", oid::kInt4)});
  EXPECT_EQ(sql(there, demand({{"ID", R"({"type":"int32"})"}})), "");  // in other case
  EXPECT_EQ(sql(there, demand({{"n", R"({"type":"int32","default":7})"}})),
            R"(ALTER TABLE "s"."t" ADD COLUMN "n" integer NOT NULL DEFAULT '7';)");
  EXPECT_EQ(sql(there, demand({{"n", R"({"type":"string","optional":true,"default":"it's"})"}})),
            R"(ALTER TABLE "s"."t" ADD COLUMN "n" text DEFAULT 'it''s';)");
  EXPECT_EQ(
      sql(there, demand({{"d", R"({"type":"int32","name":"io.debezium.time.Date","default":1})"}})),
      R"(ALTER TABLE "s"."t" ADD COLUMN "d" date NOT NULL DEFAULT '1970-01-02';)");
  EXPECT_EQ(sql(there,
                demand({{"a", R"({"type":"array","items":{"type":"string"},"default":["x,y"]})"}})),
            R"(ALTER TABLE "s"."t" ADD COLUMN "a" text[] NOT NULL DEFAULT '{"x,y"}';)");
  // Without a default the rows that are there have nothing to put into NOT NULL.
  EXPECT_EQ(sql(there, demand({{"n", R"({"type":"int32"})"}})),
            R"(ALTER TABLE "s"."t" ADD COLUMN "n" integer;)");
  const auto old = alterations(there, demand({{"n", R"({"type":"int32","default":7})"}}), 100000);
  ASSERT_EQ(old.size(), 1U);
  EXPECT_TRUE(old[0].rewrites);
}

// docs/reference/change-events.md: the matrix of types.
TEST(Structure, WidensTypes) {
  struct Row {
    postgres::ColumnInfo column;
    std::string_view schema;
    std::string_view type;  // empty: stays
    bool rewrites = false;
    bool can_wait = false;
  };
  constexpr std::string_view kInt64 = R"({"type":"int64"})";
  constexpr std::string_view kDecimal104 =
      R"({"type":"bytes","name":"org.apache.kafka.connect.data.Decimal",)"
      R"("parameters":{"scale":"4","connect.decimal.precision":"10"}})";
  constexpr std::string_view kVarchar50 =
      R"({"type":"string","parameters":{"__debezium.source.column.type":"VARCHAR",)"
      R"("__debezium.source.column.length":"50"}})";
  const Row kRows[] = {
      {column("x", oid::kInt2), R"({"type":"int32"})", "integer", true, true},
      {column("x", oid::kInt4), kInt64, "bigint", true, true},
      {column("x", oid::kInt8), kInt64, ""},
      {column("x", oid::kInt8), R"({"type":"int16"})", ""},
      {column("x", oid::kInt4), R"({"type":"double"})", "double precision", true, true},
      {column("x", oid::kInt4), kDecimal104, "numeric(14,4)", true, true},
      {column("x", oid::kNumeric, numeric(5, 2)), kDecimal104, "numeric(10,4)", true},
      {column("x", oid::kNumeric, numeric(8, 4)), kDecimal104, "numeric(10,4)", false},
      {column("x", oid::kNumeric, numeric(12, 4)), kDecimal104, ""},
      {column("x", oid::kNumeric), kDecimal104, ""},
      {column("x", oid::kFloat4), R"({"type":"double"})", "double precision", true},
      {column("x", oid::kFloat8), R"({"type":"float"})", ""},
      {column("x", oid::kVarchar, 14), kVarchar50, "character varying(50)", false},
      {column("x", oid::kVarchar, 54), kVarchar50, ""},
      {column("x", oid::kVarchar, 14), R"({"type":"string"})", ""},
      {column("x", oid::kBpchar, 14), kVarchar50, "character varying(50)", true},
      {column("x", oid::kBpchar, 9),
       R"({"type":"string","parameters":{"__debezium.source.column.type":"CHAR",)"
       R"("__debezium.source.column.length":"5"}})",
       ""},
      {column("x", oid::kDate), R"({"type":"int64","name":"io.debezium.time.Timestamp"})",
       "timestamp", true},
      {column("x", oid::kText), kInt64, ""},
      {column("x", oid::kUuid), R"({"type":"string"})", ""},
  };
  for (const Row& row : kRows) {
    const auto found = alterations(table({row.column}), demand({{"x", row.schema}}), kServer);
    if (row.type.empty()) {
      EXPECT_TRUE(found.empty()) << to_sql(found);
      continue;
    }
    ASSERT_EQ(found.size(), 1U) << row.type;
    EXPECT_EQ(found[0].sql,
              fmt::format(R"(ALTER TABLE "s"."t" ALTER COLUMN "x" TYPE {})", row.type));
    EXPECT_EQ(found[0].rewrites, row.rewrites) << row.type;
    EXPECT_EQ(found[0].can_wait, row.can_wait) << row.type;
  }
}

TEST(Structure, KeepsTheScaleOfColumnsThatAreTooSmall) {
  const auto there = table({column("n", oid::kNumeric, numeric(5, 2))});
  const auto widened = [&](int whole_digits) {
    Demand asked;
    asked.exceeded = "n";
    asked.whole_digits = whole_digits;
    const auto found = alterations(there, asked, kServer);
    return found.empty() ? "" : found.front().sql.substr(found.front().sql.find("TYPE"));
  };
  EXPECT_EQ(widened(4), "TYPE numeric(8,2)");
  EXPECT_EQ(widened(20), "TYPE numeric(22,2)");
  EXPECT_EQ(widened(998), "TYPE numeric(1000,2)");
  EXPECT_EQ(widened(999), "");
  EXPECT_EQ(widened(0), "TYPE numeric");  // too many digits behind the point
}

TEST(Structure, LeavesColumnsBesideRowsAlone) {
  auto there = table({column("id", oid::kInt4), column("op", oid::kVarchar, 5)});
  there.columns[1].not_null = true;
  Demand asked = demand({{"id", R"({"type":"int32"})"}});
  asked.whole = true;
  asked.beside = {"op"};
  EXPECT_EQ(sql(there, asked), "");
  Demand twice = demand({{"id", R"({"type":"int32"})"}, {"op", R"({"type":"string"})"}});
  twice.beside = {"op"};
  twice.own_columns = ", \"op\" text";
  EXPECT_EQ(sql(table_to_make({.schema = "s", .name = "t"}, ""), twice),
            R"(CREATE TABLE "s"."t" ("id" integer NOT NULL, "op" text);)");
}

TEST(Structure, LetsNullsIn) {
  auto there = table({column("id", oid::kInt4), column("gone", oid::kText)});
  there.columns[0].not_null = there.columns[1].not_null = true;
  there.unique_indexes.emplace_back().columns = {"id"};
  there.unique_indexes.back().primary = true;
  Demand asked = demand({{"id", R"({"type":"int32"})"}});
  EXPECT_EQ(sql(there, asked), "");  // not all fields are known
  asked.whole = true;
  EXPECT_EQ(sql(there, asked), R"(ALTER TABLE "s"."t" ALTER COLUMN "gone" DROP NOT NULL;)");
}

TEST(Structure, ChoosesByThePolicy) {
  const auto add = demand({{"n", R"({"type":"int32"})"}});
  const auto there = table({column("a", oid::kInt4), column("f", oid::kFloat4)});
  const auto all = [&](const Demand& asked) { return alterations(there, asked, kServer); };
  using task::SchemaChanges;
  EXPECT_TRUE(choose(SchemaChanges::kApplySafe, all(add)).enough);
  EXPECT_EQ(choose(SchemaChanges::kApplySafe, all(add)).now.size(), 1U);
  EXPECT_FALSE(choose(SchemaChanges::kStop, all(add)).enough);
  EXPECT_TRUE(choose(SchemaChanges::kWarn, all(add)).enough);
  EXPECT_TRUE(choose(SchemaChanges::kWarn, all(add)).now.empty());
  Demand guess = add;
  guess.guessed = true;
  EXPECT_FALSE(choose(SchemaChanges::kApplySafe, all(guess)).enough);
  EXPECT_TRUE(choose(SchemaChanges::kApplyAll, all(guess)).enough);
  // A wider integer can wait for a value that needs it; digits that would be lost cannot.
  const auto wider = demand({{"a", R"({"type":"int64"})"}});
  EXPECT_TRUE(choose(SchemaChanges::kApplySafe, all(wider)).enough);
  EXPECT_TRUE(choose(SchemaChanges::kApplySafe, all(wider)).now.empty());
  EXPECT_EQ(choose(SchemaChanges::kApplyAll, all(wider)).now.size(), 1U);
  EXPECT_FALSE(
      choose(SchemaChanges::kApplySafe, all(demand({{"f", R"({"type":"double"})"}}))).enough);
}

TEST(Structure, SeesWhatDoesNotFit) {
  const auto number = [](std::string_view text) { return Value::of(Kind::kNumber, text); };
  const auto text = [](std::string_view each) { return Value::of(Kind::kString, each); };
  const auto is = [](const postgres::ColumnInfo& info, const Value& value, bool exact = true) {
    const auto bounds = bounds_of(info.type);
    return bounds && is_too_small(*bounds, value, exact);
  };
  EXPECT_FALSE(is(column("x", oid::kInt2), number("32767")));
  EXPECT_TRUE(is(column("x", oid::kInt2), number("-32769")));
  EXPECT_FALSE(is(column("x", oid::kInt4), number("-2147483648")));
  EXPECT_TRUE(is(column("x", oid::kInt4), number("2147483648")));
  EXPECT_FALSE(is(column("x", oid::kInt8), number("-9223372036854775808")));
  EXPECT_TRUE(is(column("x", oid::kInt8), number("18446744073709551615")));
  EXPECT_FALSE(is(column("x", oid::kInt4), number("1.5")));
  EXPECT_FALSE(is(column("x", oid::kVarchar, 4 + 3), text("äöü")));
  EXPECT_FALSE(is(column("x", oid::kVarchar, 4 + 3), text("abc   ")));
  EXPECT_TRUE(is(column("x", oid::kVarchar, 4 + 3), text("abcd")));
  const auto money = column("x", oid::kNumeric, numeric(5, 2));
  EXPECT_FALSE(is(money, number("-999.99")));
  EXPECT_TRUE(is(money, number("1000")));
  EXPECT_TRUE(is(money, number("1.005")));
  EXPECT_FALSE(is(money, number("1.0050"), false));  // a binary fraction is rounded
  EXPECT_FALSE(is(money, number("1.0100")));
  EXPECT_TRUE(is(money, text("1.005")));
  EXPECT_FALSE(is(money, text("NaN")));
  EXPECT_TRUE(is(money, number("1.23456789E8"), false));  // as Java writes a double
  EXPECT_FALSE(is(money, number("9.99E+2"), false));
  EXPECT_FALSE(is(money, number("-1.2E-5"), false));
  EXPECT_TRUE(is(money, number("-1.2E-5")));
  EXPECT_FALSE(is(money, number("0.0E9")));
  const auto digits = [&](std::string_view each, bool exact) {
    return whole_digits(*bounds_of(money.type), number(each), exact);
  };
  EXPECT_EQ(digits("-0001234.50", true), 4);
  EXPECT_EQ(digits("1234.567", true), 0);
  EXPECT_EQ(digits("1.234567E3", false), 4);
  const auto zoned = column("x", oid::kTimestamptz, 3);
  EXPECT_FALSE(is(zoned, text("2024-02-29T11:14:15.123000Z")));
  EXPECT_TRUE(is(zoned, text("2024-02-29T11:14:15.1234Z")));
  EXPECT_FALSE(is(zoned, text("infinity")));
  EXPECT_FALSE(is(column("x", oid::kTimestamptz, 0), text("2024-02-29T11:14:15Z")));
  EXPECT_TRUE(is(column("x", oid::kTimestamp, 3), Value::of(Kind::kTimestamp, 1'000'001)));
  EXPECT_FALSE(is(column("x", oid::kTimestamp, 3), Value::of(Kind::kTimestamp, 1'001'000)));
}

// Without schema, a column's digits decide whether numbers are milliseconds or microseconds.
TEST(Structure, DigitsOfATimestampFollowWhoSaysThem) {
  const auto millis = table({column("at", oid::kTimestamp, 3)});
  Demand asked = demand({{"at", R"({"type":"int64","name":"io.debezium.time.MicroTimestamp"})"}});
  EXPECT_EQ(sql(millis, asked), "");
  asked.told = true;
  EXPECT_EQ(sql(millis, asked), R"(ALTER TABLE "s"."t" ALTER COLUMN "at" TYPE timestamp;)");
  EXPECT_EQ(sql(table({column("at", oid::kTimestamp, 6)}), asked), "");
}

TEST(Structure, ADefaultCanBeSaidAsText) {
  Demand asked = demand({{"n", R"({"type":"int32"})"}});
  asked.row.parts.front().default_text = "7";
  EXPECT_EQ(sql(table({column("id", oid::kInt4)}), asked),
            R"(ALTER TABLE "s"."t" ADD COLUMN "n" integer NOT NULL DEFAULT '7';)");
}

}  // namespace
}  // namespace sluice::sink
