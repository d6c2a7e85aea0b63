#include "pipeline/shared_prefix.h"

#include <gtest/gtest.h>

namespace sluice::pipeline {
namespace {

std::string message(char schema, int number) {
  return std::string(2000, schema) + "{\"id\":" + std::to_string(number) + "}";
}

TEST(SharedPrefixes, AreLearnedFromTwoValues) {
  SharedPrefixes prefixes;
  EXPECT_FALSE(prefixes.find(message('a', 1)));
  const auto found = prefixes.find(message('a', 2));
  ASSERT_TRUE(found);
  EXPECT_EQ(prefixes.at(*found), std::string(2000, 'a') + "{\"id\":");
  EXPECT_EQ(prefixes.find(message('a', 70'000)), found);
  // What two values share by chance serves fewer; then a shorter one is learned.
  const auto shorter = prefixes.find(std::string(2000, 'a') + "[]");
  ASSERT_TRUE(shorter);
  EXPECT_EQ(prefixes.at(*shorter), std::string(2000, 'a'));
}

TEST(SharedPrefixes, AreNotForSmallOrVariedValues) {
  SharedPrefixes prefixes;
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(prefixes.find("{\"id\":1}"));
    EXPECT_FALSE(
        prefixes.find(std::string(600, 'a') + std::string(2000, static_cast<char>('b' + i))));
  }
}

TEST(SharedPrefixes, AreBoundedAndForgotten) {
  SharedPrefixes prefixes;
  for (char schema = 'a'; schema < 'i'; ++schema) {
    EXPECT_FALSE(prefixes.find(message(schema, 1)));
    EXPECT_TRUE(prefixes.find(message(schema, 2)));
  }
  EXPECT_FALSE(prefixes.find(message('z', 1)));
  EXPECT_FALSE(prefixes.find(message('z', 2))) << "there are as many as there may be";
  EXPECT_TRUE(prefixes.find(message('a', 3)));
  prefixes.release();
  EXPECT_FALSE(prefixes.find(message('z', 3)));
  EXPECT_TRUE(prefixes.find(message('z', 4)));
}

}  // namespace
}  // namespace sluice::pipeline
