#include "message/table_change.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace sluice::message {
namespace {

std::string event(std::string_view changes, std::string_view connector = "mysql") {
  return fmt::format(
      R"({{"source":{{"connector":"{}","name":"p q"}},"databaseName":"d","ddl":"DROP TABLE t",)"
      R"("tableChanges":{}}})",
      connector, changes);
}

std::string change(std::string_view columns, std::string_view id = R"(\"d\".\"t\")",
                   std::string_view type = "ALTER") {
  return fmt::format(
      R"([{{"type":"{}","id":"{}","table":{{"primaryKeyColumnNames":["a"],"columns":[{}]}}}}])",
      type, id, columns);
}

std::string column(std::string_view type, std::string_view rest = "") {
  return fmt::format(R"({{"name":"a","typeName":"{}"{}}})", type, rest);
}

Type type_of(std::string_view type, std::string_view rest = "") {
  const auto read = table_changes(event(change(column(type, rest))));
  return read && read->size() == 1 ? read->front().row.parts.front() : Type();
}

TEST(TableChange, SaysTableTopicAndKey) {
  const auto read =
      table_changes(event(change(column("INT"), R"(\"Order Items.v2\".\"sa\"\"y\")", "CREATE")));
  ASSERT_TRUE(read && read->size() == 1);
  EXPECT_EQ(read->front().origin, (Origin{"Order Items.v2", "", "sa\"y"}));
  EXPECT_EQ(read->front().topic, "p_q.Order_Items.v2.sa_y");
  EXPECT_EQ(read->front().key, std::vector<std::string>{"a"});
  EXPECT_EQ(read->front().row.names, std::vector<std::string>{"a"});
}

TEST(TableChange, OtherDocumentsAreNone) {
  for (const auto* text : {"", "null", "[]", "{", R"({"tableChanges":[]})",
                           R"({"source":1,"databaseName":"d","tableChanges":[]})",
                           R"({"source":{},"databaseName":"d","tableChanges":{}})"}) {
    EXPECT_FALSE(table_changes(text)) << text;
  }
}

TEST(TableChange, WhatSaysNoTableIsPassedOver) {
  const std::string good = change(column("INT"));
  for (const auto& text :
       {event("[]"), event(good, "sqlserver"), event("[1,{}]"),
        event(change(column("INT"), R"(\"d\".\"t\")", "DROP")),
        event(change(column("INT"), R"(\"d\".\"s\".\"t\")")), event(change(column("INT"), "d.t")),
        event(change("")), event(change("1")), event(change(R"({"typeName":"INT"})")),
        event(R"([{"type":"ALTER","id":"\"d\".\"t\"","table":null}])")}) {
    const auto read = table_changes(text);
    ASSERT_TRUE(read) << text;
    EXPECT_TRUE(read->empty()) << text;
  }
}

TEST(TableChange, TypesAreThoseOfRows) {
  EXPECT_EQ(type_of("INT UNSIGNED ZEROFILL").bits, 64);
  EXPECT_EQ(type_of("mediumint unsigned").bits, 32);
  EXPECT_EQ(type_of("BIGINT UNSIGNED").meaning, Meaning::kUnsigned);
  EXPECT_EQ(type_of("BIGINT").meaning, Meaning::kPlain);
  const Type decimal = type_of("DECIMAL UNSIGNED", R"(,"length":12,"scale":4)");
  EXPECT_EQ(decimal.meaning, Meaning::kDecimal);
  EXPECT_EQ(decimal.precision, 12);
  EXPECT_EQ(decimal.scale, 4);
  EXPECT_EQ(type_of("DECIMAL").precision, 10);
  EXPECT_EQ(type_of("DATETIME", R"(,"length":3)").power, 3);
  EXPECT_EQ(type_of("DATETIME", R"(,"length":6)").power, 0);
  EXPECT_EQ(type_of("DATETIME", R"(,"length":null)").power, 3);
  EXPECT_EQ(type_of("BIT", R"(,"length":1)").base, Base::kBoolean);
  EXPECT_EQ(type_of("BIT", R"(,"length":20)").length, 20);
  EXPECT_EQ(type_of("VARCHAR", R"(,"length":20)").source.length, 20);
  EXPECT_EQ(type_of("HOLOGRAM").base, Base::kString);
  EXPECT_FALSE(type_of("INT", R"(,"optional":false)").optional);
  EXPECT_TRUE(type_of("INT").optional);
}

TEST(TableChange, DefaultsAreConstantsOrNone) {
  const auto default_of = [](std::string_view type, std::string_view text) {
    return type_of(type, fmt::format(R"(,"length":6,"defaultValueExpression":"{}")", text))
        .default_text;
  };
  EXPECT_EQ(default_of("INT", "-7"), "-7");
  EXPECT_EQ(default_of("INT", "1.5"), std::nullopt);
  EXPECT_EQ(default_of("INT", ""), std::nullopt);
  EXPECT_EQ(default_of("DECIMAL", "1.5"), "1.5");
  EXPECT_EQ(default_of("DECIMAL", "1."), std::nullopt);
  EXPECT_EQ(default_of("DATE", "2024-02-29"), "2024-02-29");
  EXPECT_EQ(default_of("DATE", "2023-02-29"), std::nullopt);
  EXPECT_EQ(default_of("DATETIME", "2024-02-29 23:59:59.5"), "2024-02-29 23:59:59.5");
  EXPECT_EQ(default_of("DATETIME", "2024-02-29 24:00:00"), std::nullopt);
  EXPECT_EQ(default_of("DATETIME", "1970-01-01 00:00:00"), std::nullopt);
  EXPECT_EQ(default_of("TIMESTAMP", "2024-02-29 13:14:15"), std::nullopt);
  EXPECT_EQ(default_of("TIME", "13:14:15"), "13:14:15");
  EXPECT_EQ(default_of("VARCHAR", "it''s"), "it's");
  EXPECT_EQ(default_of("VARCHAR", "uuid()"), std::nullopt);
  EXPECT_EQ(default_of("BINARY", "abcd"), std::nullopt);
}

}  // namespace
}  // namespace sluice::message
