#include "connect/properties.h"

#include <gtest/gtest.h>

#include "connect/configuration.h"

namespace sluice::connect {
namespace {

std::string read(std::string_view text) {
  const auto properties = parse_properties(text);
  if (!properties) return "error: " + properties.error().message;
  std::string out;
  for (const auto& each : *properties) out += "<" + each.name + "=" + each.value + ">";
  return out;
}

TEST(Properties, HaveThreeSeparators) {
  EXPECT_EQ(read("a=1\nb:2\nc 3\nd = 4\ne : 5\nf\t\t6\ng==7\nh = : 8\ni=\nj"),
            "<a=1><b=2><c=3><d=4><e=5><f=6><g==7><h=: 8><i=><j=>");
}

TEST(Properties, LeaveOutCommentsAndBlankLines) {
  EXPECT_EQ(read("# a=1\n  ! b=2\n\n \t \nc=3 # not a comment\r\nd=4\re=5"),
            "<c=3 # not a comment><d=4><e=5>");
  EXPECT_EQ(read("# goes on? \\\na=1"), "<a=1>");
  EXPECT_EQ(read(""), "");
}

TEST(Properties, JoinLinesThatEndInABackslash) {
  EXPECT_EQ(read("topics=a,\\\n   b,\\\r\n\tc\nd=1"), "<topics=a,b,c><d=1>");
  EXPECT_EQ(read("a=1\\\\\nb=2"), "<a=1\\><b=2>");
  EXPECT_EQ(read("a=1\\\\\\\nb=2"), "<a=1\\b=2>");
  EXPECT_EQ(read("a=1\\"), "<a=1>");
  EXPECT_EQ(read("a=\\\n# no comment"), "<a=# no comment>");
}

TEST(Properties, KnowEscapes) {
  EXPECT_EQ(read("a\\=b\\:c\\ d=1\\t2\\n3\\q\\\\"), "<a=b:c d=1\t2\n3q\\>");
  EXPECT_EQ(read("a=\\u0041\\u00e9\\u20AC"), "<a=A\xC3\xA9\xE2\x82\xAC>");
  EXPECT_EQ(read("a=\\uD83D\\uDE00"), "<a=\xF0\x9F\x98\x80>");
  EXPECT_EQ(read("a=\\uD83Dx"), "<a=\xEF\xBF\xBDx>");
  EXPECT_EQ(read("a=\xE9"), "<a=\xC3\xA9>") << "Latin-1, as Java reads it";
  EXPECT_EQ(read("a=1\nb=\\u12g4").substr(0, 14), "error: line 2:");
  EXPECT_EQ(read("a=\\u12").substr(0, 14), "error: line 1:");
}

TEST(Properties, KeepTheLastOfARepeatedName) {
  const auto properties = parse_properties("a=1\nb=2\na=3");
  ASSERT_TRUE(properties);
  ASSERT_EQ(properties->size(), 2U);
  EXPECT_EQ(properties->front().value, "3");
  EXPECT_TRUE(properties->front().repeated);
  EXPECT_FALSE(properties->back().repeated);
}

TEST(Configuration, IsReadInEveryForm) {
  for (const std::string_view text :
       {"name=n\nconnector.class=C\ntasks.max=2", R"({"name": "n", "connector.class": "C",
        "tasks.max": 2})",
        R"({"name": "n", "config": {"connector.class": "C", "tasks.max": "2"}, "tasks": []})",
        "\xEF\xBB\xBF{\"name\": \"n\", \"config\": {\"connector.class\": \"C\", \"tasks.max\": 2, "
        "\"x\": null}}"}) {
    const auto read = read_configuration(text, "f");
    ASSERT_TRUE(read) << text << read.error().message;
    EXPECT_EQ(read->get("name"), "n");
    EXPECT_EQ(read->get("connector.class"), "C");
    EXPECT_EQ(read->get("tasks.max"), "2");
    EXPECT_EQ(read->all().size(), 3U);
  }
}

TEST(Configuration, RefusesWhatIsNone) {
  const auto why = [](std::string_view text) {
    const auto read = read_configuration(text, "f");
    return read ? std::string("taken") : read.error().message;
  };
  EXPECT_EQ(why(""), "f: is empty");
  EXPECT_EQ(why(" \n\t\n"), "f: is empty");
  EXPECT_EQ(why("\xEF\xBB\xBF"), "f: is empty");
  EXPECT_EQ(why("# only a comment"), "f: has no properties");
  EXPECT_EQ(why(std::string("a=1\0b", 5)), "f: no text: it has control characters");
  EXPECT_EQ(why("\x89PNG\r\n\x1a\n"), "f: no text: it has control characters");
  EXPECT_EQ(why(std::string(kMaxConfigurationBytes + 1, 'a')), "f: larger than 1 MB");
  EXPECT_EQ(why("name: x\nsource:\n  kafka: {}\n"),
            "f: is no connector's configuration: connector.class is missing");
  EXPECT_EQ(why("{\"name\": \"x\",\n\"config\""), "f: line 2: not JSON, although it begins with {");
  EXPECT_EQ(why("{} {}"), "f: line 1: not JSON, although it begins with {");
  EXPECT_EQ(why("[1]"), "f: JSON, but no map");
  EXPECT_EQ(why(R"({"name": "x", "config": {}})"),
            "f: is no connector's configuration: connector.class is missing");
  EXPECT_EQ(why(R"({"connector.class": "C", "topics": ["a"]})"),
            "f: \"topics\" is a list, where a property has one value");
  EXPECT_EQ(why("connector.class=\\uXYZ"), "f: line 1: \\u without four hexadecimal digits");
}

}  // namespace
}  // namespace sluice::connect
