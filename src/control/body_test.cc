#include "control/body.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <map>

namespace sluice::control {
namespace {

boost::json::object object_of(std::string_view text) {
  return boost::json::parse(text).as_object();
}

// What finish() refuses, by path.
std::map<std::string, std::string> mistakes(Body& body) {
  std::map<std::string, std::string> all;
  const auto finished = body.finish();
  if (finished) return all;
  EXPECT_EQ(finished.error().code, "invalid");
  for (const auto& field : finished.error().fields) all[field.path] = field.message;
  return all;
}

TEST(Body, ReadsWhatIsThere) {
  const auto object = object_of(
      R"({"t": "text", "n": "a-1.b_c", "c": "b", "i": 7, "f": true, "o": {}, "a": [1], "v": 1.5})");
  Body body(object);
  EXPECT_EQ(body.text("t", {}), "text");
  EXPECT_EQ(body.name("n"), "a-1.b_c");
  EXPECT_EQ(body.choice("c", {"a", "b"}), "b");
  EXPECT_EQ(body.integer("i", 1, 7), 7);
  EXPECT_EQ(body.flag("f"), true);
  EXPECT_NE(body.object("o"), nullptr);
  EXPECT_NE(body.array("a", 1), nullptr);
  EXPECT_NE(body.value("v"), nullptr);
  EXPECT_TRUE(mistakes(body).empty());
}

TEST(Body, NamesEveryMistakeAtOnce) {
  const auto object = object_of(
      R"({"t": 1, "long": "abcdef", "n": "1a", "c": "z", "i": 1.5, "big": 8, "f": "true", "o": [],
          "a": {}, "more": [1, 2], "unknown": 1, "line": "a\nb"})");
  Body body(object, "at");
  EXPECT_FALSE(body.text("t", {}));
  EXPECT_FALSE(body.text("long", {.max = 5}));
  EXPECT_FALSE(body.text("missing", {}, true));
  EXPECT_FALSE(body.text("line", {}));
  EXPECT_FALSE(body.name("n"));
  EXPECT_FALSE(body.choice("c", {"a", "b"}));
  EXPECT_FALSE(body.integer("i", 0, 9));
  EXPECT_FALSE(body.integer("big", 0, 7));
  EXPECT_FALSE(body.flag("f"));
  EXPECT_EQ(body.object("o"), nullptr);
  EXPECT_EQ(body.array("a", 9), nullptr);
  EXPECT_EQ(body.array("more", 1), nullptr);
  const auto found = mistakes(body);
  for (const auto* path : {"at.t", "at.long", "at.missing", "at.line", "at.n", "at.c", "at.i",
                           "at.big", "at.f", "at.o", "at.a", "at.more", "at.unknown"}) {
    EXPECT_TRUE(found.contains(path)) << path;
  }
  EXPECT_EQ(found.size(), 13U);
}

TEST(Body, NullIsNotThere) {
  const auto object = object_of(R"({"a": null, "b": null})");
  Body body(object);
  EXPECT_TRUE(body.has("a"));
  EXPECT_FALSE(body.has_value("a"));
  EXPECT_FALSE(body.text("a", {.min = 1}));
  EXPECT_FALSE(body.integer("b", 1, 2, true));
  const auto found = mistakes(body);
  EXPECT_EQ(found.size(), 1U);
  EXPECT_EQ(found.at("b"), "is required");
}

TEST(Body, NeverRepeatsAValue) {
  const auto object = object_of(R"({"password": "s3cret\u0001", "role": "s3cret"})");
  Body body(object);
  (void)body.text("password", {});
  (void)body.choice("role", {"viewer"});
  for (const auto& [path, message] : mistakes(body)) {
    EXPECT_EQ(message.find("s3cret"), std::string::npos) << path;
  }
}

TEST(Body, CountsCharactersNotBytes) {
  const auto object = object_of(R"({"t": "连接连接"})");
  Body body(object);
  EXPECT_TRUE(body.text("t", {.min = 4, .max = 4}));
}

TEST(Body, DoesNotShowNamesThatCannotBeShown) {
  const auto object = object_of(R"({"a\u0000b": 1, "c\u001b[31m": 2})");
  Body body(object);
  const auto found = mistakes(body);
  EXPECT_EQ(found.size(), 1U);
  EXPECT_TRUE(found.contains("?"));
}

TEST(ControlCharacters, AreFound) {
  for (const std::string& bad :
       {std::string("a\0b", 3), std::string("a\x1f"), std::string("\x7f"), std::string("\xff"),
        std::string("\xc0\x80"), std::string("\xed\xa0\x80"), std::string("a\xe2\x82")}) {
    EXPECT_TRUE(has_control_characters(bad, true)) << testing::PrintToString(bad);
  }
  for (const auto* line : {"a\nb", "a\tb", "a\r\n"}) {
    EXPECT_TRUE(has_control_characters(line, false));
    EXPECT_FALSE(has_control_characters(line, true));
  }
  for (const auto* good : {"", "a b", "<b>' OR 1=1 --", "连接", "\xf0\x9f\x98\x80"}) {
    EXPECT_FALSE(has_control_characters(good, false)) << good;
  }
}

TEST(Name, HasOneForm) {
  for (const std::string& good :
       {std::string("a"), std::string("Kafka-1.b_c"), std::string(64, 'a')}) {
    EXPECT_EQ(name_mistake(good), "") << good;
  }
  for (const std::string& bad :
       {std::string(), std::string("1a"), std::string("-a"), std::string("a b"), std::string("a/b"),
        std::string("连接"), std::string(65, 'a'), std::string("a\n"), std::string("a;--")}) {
    EXPECT_NE(name_mistake(bad), "") << bad;
  }
}

TEST(Time, IsRfc3339) {
  for (const auto* good :
       {"2026-01-31T12:00:00Z", "2024-02-29T23:59:59.999Z", "2026-01-31T12:00:00+08:00",
        "2026-01-31T12:00:00.123456789-14:59", "2000-02-29T00:00:00Z", "0001-01-01T00:00:00Z"}) {
    EXPECT_EQ(read_time(good), good);
  }
  for (const auto* bad : {"",
                          "now",
                          "2026-01-31",
                          "2026-01-31 12:00:00Z",
                          "2026-01-31T12:00:00",
                          "2026-13-01T00:00:00Z",
                          "2026-02-29T00:00:00Z",
                          "1900-02-29T00:00:00Z",
                          "2026-04-31T00:00:00Z",
                          "2026-01-31T24:00:00Z",
                          "2026-01-31T12:60:00Z",
                          "2026-01-31T12:00:60Z",
                          "2026-01-31T12:00:00.Z",
                          "2026-01-31T12:00:00.1234567890Z",
                          "2026-01-31T12:00:00+8:00",
                          "2026-01-31T12:00:00+15:00",
                          "2026-01-31T12:00:00+08:60",
                          "2026-01-31T12:00:00Z'",
                          "0000-01-01T00:00:00Z",
                          "2026-00-01T00:00:00Z",
                          "2026-01-00T00:00:00Z",
                          "infinity",
                          "2026-01-31T12:00:00ZZ"}) {
    EXPECT_FALSE(read_time(bad)) << bad;
  }
}

}  // namespace
}  // namespace sluice::control
