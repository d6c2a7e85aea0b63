#include "control/page.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace sluice::control {
namespace {

Page by(std::string sort, bool descending = false) {
  Page page;
  page.sort = std::move(sort);
  page.descending = descending;
  return page;
}

TEST(Cursor, IsReadBack) {
  for (const auto* value : {"", "orders", "a\"b\\c", "连接", "2026-01-31T12:00:00.000Z"}) {
    const auto cursor = cursor_of(by("name"), value, "task-1");
    const auto after = read_cursor(by("name"), cursor);
    ASSERT_TRUE(after) << value;
    EXPECT_EQ(after->value, value);
    EXPECT_EQ(after->id, "task-1");
  }
}

TEST(Cursor, BelongsToItsSort) {
  const auto cursor = cursor_of(by("name"), "a", "task-1");
  for (const auto& other : {by("created"), by("name", true)}) {
    const auto after = read_cursor(other, cursor);
    ASSERT_FALSE(after);
    EXPECT_EQ(after.error().code, "bad_cursor");
  }
}

TEST(Cursor, MadeUpOnesAreRefused) {
  const auto hex = [](std::string_view plain) {
    std::string text;
    for (const unsigned char c : plain) text += fmt::format("{:02x}", c);
    return text;
  };
  const std::string good = hex(R"(["name","a","b"])");
  ASSERT_TRUE(read_cursor(by("name"), good));
  for (const std::string& bad :
       {std::string(), std::string("abc"), std::string("zz"), std::string("'; DROP TABLE task --"),
        hex("[]"), hex("{}"), hex(R"(["name","a"])"), hex(R"(["name","a",1])"),
        hex(R"(["name","a","b","c"])"), hex(R"(["name","a\u0000","b"])"),
        hex(R"(["name","a","\ud800"])"), hex("[\"name\",\"\xff\",\"b\"]"), good + "00",
        std::string(5000, '0')}) {
    const auto after = read_cursor(by("name"), bad);
    ASSERT_FALSE(after) << bad;
    EXPECT_EQ(after.error().code, "bad_cursor");
  }
}

TEST(Cursor, AnyBytesAreAnswered) {
  EXPECT_TRUE(rc::check([](const std::string& bytes) {
    const auto after = read_cursor(by("name"), bytes);
    if (!after) RC_ASSERT(after.error().code == "bad_cursor");
  }));
}

}  // namespace
}  // namespace sluice::control
