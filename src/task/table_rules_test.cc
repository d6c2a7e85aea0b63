#include "task/table_rules.h"

#include <gtest/gtest.h>

namespace sluice::task {
namespace {

TableRules rules(std::string table, Tables tables = {}) {
  Target target;
  target.table = std::move(table);
  auto compiled = TableRules::compile(target, tables);
  EXPECT_TRUE(compiled.has_value()) << to_string(compiled.error());
  return std::move(*compiled);
}

std::string name(const TableRules& rules, const SourceTable& source) {
  auto table = rules.table_of(source);
  if (!table) return "error " + table.error().code;
  return *table ? (*table)->text() : "none";
}

const SourceTable kOrders{
    .topic = "shop.public.orders", .db = "shop", .schema = "public", .table = "orders"};

const std::string kLong(64, 'x');

SourceTable of(std::string_view db, std::string_view schema, std::string_view table) {
  return {.topic = "t", .db = db, .schema = schema, .table = table};
}

TEST(TableRules, MakesNames) {
  EXPECT_EQ(name(rules("{source.schema}.{source.table}"), kOrders), "public.orders");
  EXPECT_EQ(name(rules("ods.{source.db}_{source.table}_v1"), kOrders), "ods.shop_orders_v1");
  EXPECT_EQ(name(rules("{topic}"), kOrders), "shop_public_orders");
  EXPECT_TRUE(rules("{source.table}").by_source());
  EXPECT_FALSE(rules("x.{topic}").by_source());
  // A part is a name, whatever stands in it.
  const auto odd =
      rules("{source.schema}.{source.table}").table_of(of("", "a.b", "c\"; DROP TABLE d"));
  ASSERT_TRUE(odd && *odd);
  EXPECT_EQ((*odd)->schema, "a.b");
  EXPECT_EQ((*odd)->name, "c\"; DROP TABLE d");
}

TEST(TableRules, AsksForWhatIsNotSaid) {
  EXPECT_EQ(name(rules("{source.schema}.{source.table}"), of("shop", "", "t")),
            "error no_source_table");
  EXPECT_EQ(name(rules("{source.table}"), of("", "", kLong)), "error no_source_table");
  EXPECT_EQ(name(rules("{source.table}"), of("", "", std::string_view("a\0b", 3))),
            "error no_source_table");
}

TEST(TableRules, ChoosesAndRenames) {
  Tables tables;
  tables.include = {"public.orders", "^public\\.c"};
  tables.exclude = {"^_tmp$", "public.cache"};
  tables.rename = {{"public.orders", "sales.orders_eu"}, {"public.customers", "people"}};
  const TableRules all = rules("{source.schema}.{source.table}", tables);
  const auto named = [&](std::string_view table) { return name(all, of("", "public", table)); };
  EXPECT_EQ(named("orders"), "sales.orders_eu");
  EXPECT_EQ(named("customers"), "people");
  EXPECT_EQ(named("cards"), "public.cards");
  EXPECT_EQ(named("cache"), "none");
  EXPECT_EQ(named("payments"), "none");
}

}  // namespace
}  // namespace sluice::task
