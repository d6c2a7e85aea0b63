#include "json/path.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sluice::json {
namespace {

using Steps = std::vector<Path::Step>;

Path::Step name(std::string text) {
  return {.name = std::move(text), .index = 0, .is_index = false};
}
Path::Step index(std::int64_t number) { return {.name = "", .index = number, .is_index = true}; }

Steps steps_of(std::string_view text) {
  auto path = Path::compile(text);
  if (!path) {
    ADD_FAILURE() << text << ": " << to_string(path.error());
    return {};
  }
  EXPECT_EQ(path->text(), text);
  return {path->steps().begin(), path->steps().end()};
}

TEST(Path, TextWithoutDollarIsATopLevelName) {
  EXPECT_EQ(steps_of("id"), Steps{name("id")});
  EXPECT_EQ(steps_of("a.b"), Steps{name("a.b")});
  EXPECT_EQ(steps_of("a[0]"), Steps{name("a[0]")});
  EXPECT_EQ(steps_of("a\\nb"), Steps{name("a\\nb")});
  EXPECT_EQ(steps_of(" $"), Steps{name(" $")});
  EXPECT_EQ(steps_of(""), Steps{name("")});
}

TEST(Path, SingularQueries) {
  EXPECT_EQ(steps_of("$"), Steps{});
  EXPECT_EQ(steps_of("$.customer.name"), (Steps{name("customer"), name("name")}));
  EXPECT_EQ(steps_of("$['a b'][\"c.d\"]"), (Steps{name("a b"), name("c.d")}));
  EXPECT_EQ(steps_of("$.items[0][-1]"), (Steps{name("items"), index(0), index(-1)}));
  EXPECT_EQ(steps_of("$.größe.名"), (Steps{name("größe"), name("名")}));
  EXPECT_EQ(steps_of("$._a1"), Steps{name("_a1")});
  EXPECT_EQ(steps_of("$ [ 'a' ]\t.b"), (Steps{name("a"), name("b")}));
  EXPECT_EQ(steps_of("$['']"), Steps{name("")});
  EXPECT_EQ(steps_of("$[9007199254740991]"), Steps{index(9007199254740991)});
  EXPECT_EQ(steps_of("$[-9007199254740991]"), Steps{index(-9007199254740991)});
}

TEST(Path, EscapesInQuotedNames) {
  EXPECT_EQ(steps_of(R"($['it\'s'])"), Steps{name("it's")});
  EXPECT_EQ(steps_of(R"($["say \"x\""])"), Steps{name("say \"x\"")});
  EXPECT_EQ(steps_of(R"($['say "x"'])"), Steps{name("say \"x\"")});
  EXPECT_EQ(steps_of(R"($["it's"])"), Steps{name("it's")});
  EXPECT_EQ(steps_of(R"($['\b\f\n\r\t\/\\'])"), Steps{name("\b\f\n\r\t/\\")});
  EXPECT_EQ(steps_of(R"($['\u00e9\uD83D\ude00!'])"), Steps{name("é😀!")});
  EXPECT_EQ(steps_of(R"($['\u0000'])"), Steps{name(std::string(1, '\0'))});
}

struct Refused {
  std::string_view text;
  std::string_view message;  // a part of it
};
class PathRefused : public testing::TestWithParam<Refused> {};

TEST_P(PathRefused, SaysWhereAndWhat) {
  const auto path = Path::compile(GetParam().text);
  ASSERT_FALSE(path) << GetParam().text;
  EXPECT_EQ(path.error().domain, Domain::kDocument);
  EXPECT_EQ(path.error().code, "path");
  EXPECT_NE(path.error().message.find(GetParam().message), std::string::npos)
      << path.error().message;
  EXPECT_FALSE(path.error().remedy.empty());
}

INSTANTIATE_TEST_SUITE_P(
    All, PathRefused,
    testing::Values(
        Refused{"$..a", "position 3: a descendant segment (..)"},
        Refused{"$.*", "position 3: a wildcard (*)"}, Refused{"$[*]", "position 3: a wildcard (*)"},
        Refused{"$.a[?@.b]", "position 5: a filter (?)"},
        Refused{"$[:]", "position 3: a slice (:)"}, Refused{"$[1:2]", "position 4: a slice (:)"},
        Refused{"$[0,1]", "position 4: a list of selectors (,)"},
        Refused{"$['a','b']", "position 6: a list of selectors (,)"},
        Refused{"$schema", "position 2: expected . or [, found 's'"},
        Refused{"$.", "position 3: expected a name after the point, the text ends here"},
        Refused{"$.a.", "position 5: expected a name after the point"},
        Refused{"$.1a", "position 3: expected a name after the point, found '1'"},
        Refused{"$.order-id", "position 8: '-' cannot stand in a name after a point"},
        Refused{"$.a ", "position 5: blank space at the end"},
        Refused{"$[", "position 3: expected a name in quotes or a number after [, the text ends"},
        Refused{"$[a]", "position 3: expected a name in quotes or a number after [, found 'a'"},
        Refused{"$[0", "position 4: expected ], the text ends here"},
        Refused{"$['a]", "position 6: the quoted name does not end"},
        Refused{"$['a'x]", "position 6: expected ], found 'x'"},
        Refused{"$[01]", "position 3: an index has no leading zero"},
        Refused{"$[-0]", "position 3: an index has no leading zero and no -0"},
        Refused{"$[-]", "position 4: expected a digit, found ']'"},
        Refused{"$[9007199254740992]", "position 3: the index is too large"},
        Refused{"$[99999999999999999999999]", "position 3: the index is too large"},
        Refused{R"($['\"'])", "position 4: this is no escape"},
        Refused{R"($["\'"])", "position 4: this is no escape"},
        Refused{R"($['\x'])", "position 4: this is no escape"},
        Refused{R"($['\u12'])", "position 4: this is no escape"},
        Refused{R"($['\ud800'])", "position 4: this is no escape"},
        Refused{R"($['\ud800\ud800'])", "position 4: this is no escape"},
        Refused{R"($['\udc00\ud800'])", "position 4: this is no escape"},
        Refused{R"($['\)", "position 4: this is no escape"},
        Refused{"$['a\nb']", "position 5: 0x0a inside a quoted name"},
        Refused{"a\xff", "position 2: not valid UTF-8"},
        Refused{"$['\xc3']", "position 4: not valid"}));

TEST(Path, NoMoreStepsThanDocumentsHaveLevels) {
  std::string text = "$";
  for (std::size_t i = 0; i < kMaxPathSteps; ++i) text += ".a";
  EXPECT_TRUE(Path::compile(text));
  const auto path = Path::compile(text + ".a");
  ASSERT_FALSE(path);
  EXPECT_NE(path.error().message.find("1001 steps"), std::string::npos);
}

}  // namespace
}  // namespace sluice::json
