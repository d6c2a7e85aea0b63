#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "postgres/catalog.h"

namespace sluice::postgres {
namespace {

TEST(TableName, PlainPartsAreTakenAsWritten) {
  const auto name = parse_table_name("Public.Orders 2024-x");
  ASSERT_TRUE(name.has_value());
  EXPECT_EQ(name->schema, "Public");
  EXPECT_EQ(name->name, "Orders 2024-x");
  const auto alone = parse_table_name("orders");
  ASSERT_TRUE(alone.has_value());
  EXPECT_EQ(alone->schema, "");
  EXPECT_EQ(alone->name, "orders");
}

TEST(TableName, QuotedPartsHoldDotsAndQuotes) {
  const auto name = parse_table_name(R"("My Schema"."T.1 ""x""")");
  ASSERT_TRUE(name.has_value());
  EXPECT_EQ(name->schema, "My Schema");
  EXPECT_EQ(name->name, "T.1 \"x\"");
  const auto mixed = parse_table_name(R"(public."t.1")");
  ASSERT_TRUE(mixed.has_value());
  EXPECT_EQ(mixed->schema, "public");
  EXPECT_EQ(mixed->name, "t.1");
}

TEST(TableName, RefusesWhatNamesNoTable) {
  using namespace std::string_view_literals;
  for (const auto text : {""sv, "."sv, "a."sv, ".a"sv, "a..b"sv, "a.b.c"sv, "\"a"sv, "\"\""sv,
                          "\"a\"b"sv, "a\"b"sv, "a.\"b"sv, "a\0b"sv, "\"a\0b\""sv}) {
    const auto name = parse_table_name(text);
    ASSERT_FALSE(name.has_value()) << text;
    EXPECT_EQ(name.error().domain, Domain::kDocument);
    EXPECT_FALSE(name.error().remedy.empty()) << text;
    EXPECT_EQ(name.error().message.find('\0'), std::string::npos);
  }
}

TEST(TableName, LongNamesAreRefusedNotCut) {
  EXPECT_TRUE(parse_table_name(std::string(63, 'a')).has_value());
  EXPECT_FALSE(parse_table_name(std::string(64, 'a')).has_value());
  std::string umlauts;
  for (int i = 0; i < 32; ++i) umlauts += "\u00e4";  // 64 bytes
  EXPECT_FALSE(parse_table_name(umlauts).has_value());
}

TEST(TableName, QuotedFormOfAnyNameIsReadBack) {
  rc::check([] {
    const auto part =
        rc::gen::suchThat(rc::gen::container<std::string>(rc::gen::inRange(' ', '~')),
                          [](const std::string& s) { return !s.empty() && s.size() < 64; });
    const std::string schema = *part;
    const std::string table = *part;
    const auto name =
        parse_table_name(Connection::identifier(schema) + "." + Connection::identifier(table));
    RC_ASSERT(name.has_value());
    RC_ASSERT(name->schema == schema);
    RC_ASSERT(name->name == table);
  });
}

}  // namespace
}  // namespace sluice::postgres
