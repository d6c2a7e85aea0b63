#include "sink/column_type.h"

#include <gtest/gtest.h>

namespace sluice::sink {
namespace {

using message::Base;
using message::Type;

Type sent_as(Base base, std::int8_t bits, std::string source,
             std::optional<std::int32_t> length = {}, std::optional<std::int32_t> scale = {}) {
  Type type;
  type.base = base;
  type.bits = bits;
  type.source = {.name = std::move(source), .length = length, .scale = scale};
  return type;
}

TEST(ColumnType, FollowsTheSourceWhereItSaysMore) {
  EXPECT_EQ(column_type(sent_as(Base::kString, 0, "VARCHAR", 50)), "character varying(50)");
  EXPECT_EQ(column_type(sent_as(Base::kString, 0, "DECIMAL", 12, 4)), "numeric(12,4)");
  EXPECT_EQ(column_type(sent_as(Base::kFloat, 64, "DECIMAL UNSIGNED", 10, 2)), "numeric(10,2)");
  EXPECT_EQ(column_type(sent_as(Base::kString, 0, "DECIMAL UNSIGNED ZEROFILL", 20)),
            "numeric(20,0)");
  EXPECT_EQ(column_type(sent_as(Base::kString, 0, "DECIMAL")), "text");
  EXPECT_EQ(column_type(sent_as(Base::kFloat, 64, "FLOAT", 7, 3)), "real");
  EXPECT_EQ(column_type(sent_as(Base::kBytes, 0, "BIGINT UNSIGNED", 20)), "numeric(20)");
  EXPECT_EQ(column_type(sent_as(Base::kBytes, 0, "VARBIT", 5)), "bit varying(5)");
  EXPECT_EQ(column_type(sent_as(Base::kBytes, 0, "VARBIT", 2147483647)), "bit varying");
  const auto list = [](std::string source, std::int32_t length = 2147483647) {
    Type type = sent_as(Base::kArray, 0, std::move(source), length);
    type.parts = {sent_as(Base::kString, 0, "")};
    return column_type(type);
  };
  EXPECT_EQ(list("_INET"), "inet[]");
  EXPECT_EQ(list("_VARCHAR", 5), "character varying(5)[]");
  EXPECT_EQ(list("_VARCHAR"), "text[]");
  EXPECT_EQ(list("_MOOD"), "text[]");
}

TEST(ColumnType, HoldsWhatTheEventHolds) {
  EXPECT_EQ(column_type(sent_as(Base::kInteger, 64, "BIGINT UNSIGNED", 20)), "bigint");
  EXPECT_EQ(column_type(sent_as(Base::kInteger, 16, "TINYINT UNSIGNED", 3)), "smallint");
  Type label = sent_as(Base::kString, 0, "ENUM", 1);
  message::apply_name(label, "io.debezium.data.Enum");
  EXPECT_EQ(column_type(label), "text");
  Type year = sent_as(Base::kInteger, 32, "YEAR", 4);
  message::apply_name(year, "io.debezium.time.Year");
  EXPECT_EQ(column_type(year), "integer");
}

}  // namespace
}  // namespace sluice::sink
