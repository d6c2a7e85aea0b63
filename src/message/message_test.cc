#include "message/message.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "json/text.h"

namespace sluice::message {
namespace {

TEST(Problem, EveryCodeHasANameATextAndARemedy) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kProblemCodes; ++i) {
    Problem problem;
    problem.code = static_cast<ProblemCode>(i);
    const Error error = to_error(problem);
    EXPECT_EQ(error.domain, Domain::kMessage);
    EXPECT_EQ(error.code, name_of(problem.code));
    EXPECT_FALSE(error.message.empty());
    EXPECT_FALSE(error.remedy.empty());
    names.insert(name_of(problem.code));
  }
  EXPECT_EQ(names.size(), kProblemCodes);
}

TEST(Problem, ErrorNamesFieldColumnAndPlaceAndKeepsTheExcerptOutOfTheMessage) {
  Problem problem;
  problem.code = ProblemCode::kNulCharacter;
  problem.field = "$.customer.name";
  problem.column = "customer";
  problem.detail = "byte 3";
  problem.excerpt = "secret";
  const Error error = to_error(problem);
  EXPECT_EQ(error.message,
            "a text holds U+0000, which PostgreSQL cannot store; field `$.customer.name`; column "
            "\"customer\"; byte 3");
  EXPECT_EQ(error.column, "customer");
  EXPECT_EQ(error.detail, "secret");
  EXPECT_EQ(to_string(error).find("secret"), std::string::npos);
}

TEST(Excerpt, AtMost64BytesOfValidTextAroundThePlace) {
  EXPECT_EQ(excerpt_of(""), "");
  EXPECT_EQ(excerpt_of("short"), "short");
  EXPECT_EQ(excerpt_of(std::string_view("a\0b\n\x7f\xFFz", 7)), "a.b...z");
  std::string digits;
  for (int i = 0; i < 100; ++i) digits += std::to_string(i % 10);
  EXPECT_EQ(excerpt_of(digits), digits.substr(0, 64));
  EXPECT_EQ(excerpt_of(digits, 50), digits.substr(26, 64));
  EXPECT_EQ(excerpt_of(digits, 100), digits.substr(76));
  EXPECT_EQ(excerpt_of(digits, 1000), "");
}

TEST(Excerpt, NeverCutsACharacter) {
  std::string text;
  for (int i = 0; i < 40; ++i) text += "é😀";
  for (std::size_t at = 0; at <= text.size(); ++at) {
    const std::string excerpt = excerpt_of(text, at);
    EXPECT_LE(excerpt.size(), 64U);
    EXPECT_TRUE(json::is_utf8(excerpt));
  }
}

}  // namespace
}  // namespace sluice::message
