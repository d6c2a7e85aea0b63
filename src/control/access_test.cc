#include "control/access.h"

#include <gtest/gtest.h>

namespace sluice::control {
namespace {

TEST(LockSeconds, DoublesAfterPatience) {
  for (std::int64_t failures = 0; failures <= kPatientFailures; ++failures) {
    EXPECT_EQ(lock_seconds(failures), 0) << failures;
  }
  const std::int64_t expected[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900};
  std::int64_t failures = kPatientFailures;
  for (const auto seconds : expected) EXPECT_EQ(lock_seconds(++failures), seconds) << failures;
  EXPECT_EQ(lock_seconds(1000), 900);
}

TEST(Role, NamesAreReadBack) {
  for (const Role role : {Role::kViewer, Role::kOperator, Role::kAdmin}) {
    EXPECT_EQ(role_of(name_of(role)), role);
  }
  for (const auto* name : {"nobody", "", "Admin", "admin ", "root"}) {
    EXPECT_EQ(role_of(name), Role::kNobody) << name;
  }
  EXPECT_LT(Role::kNobody, Role::kViewer);
  EXPECT_LT(Role::kViewer, Role::kOperator);
  EXPECT_LT(Role::kOperator, Role::kAdmin);
}

TEST(Password, HasItsBounds) {
  EXPECT_EQ(password_mistake("ten-chars.", "ann"), "");
  EXPECT_NE(password_mistake("nine-char", "ann"), "");
  EXPECT_EQ(password_mistake(std::string(128, 'x'), "ann"), "");
  EXPECT_NE(password_mistake(std::string(129, 'x'), "ann"), "");
  EXPECT_NE(password_mistake("", "ann"), "");
  EXPECT_EQ(password_mistake("密码密码密码密码密码", "ann"), "") << "ten characters, thirty bytes";
  EXPECT_NE(password_mistake("密码密码密码", "ann"), "") << "six characters";
  EXPECT_NE(password_mistake("Administrator", "administrator"), "");
}

TEST(CsrfToken, FollowsFromTheSessionAlone) {
  EXPECT_EQ(csrf_token_of("a"), csrf_token_of("a"));
  EXPECT_NE(csrf_token_of("a"), csrf_token_of("b"));
  EXPECT_EQ(csrf_token_of("a").size(), 64U);
}

TEST(Buckets, RefillAndForget) {
  using namespace std::chrono_literals;
  Buckets buckets(2, 3);
  const Buckets::Time start{};
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(buckets.refuse("a", start));
  EXPECT_EQ(buckets.refuse("a", start), 1);
  EXPECT_FALSE(buckets.refuse("b", start)) << "each client has its own";
  EXPECT_FALSE(buckets.refuse("a", start + 500ms));
  EXPECT_EQ(buckets.refuse("a", start + 500ms), 1);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(buckets.refuse("a", start + 1h)) << "no more than three";
  EXPECT_TRUE(buckets.refuse("a", start + 1h));
  buckets.give_back("a");
  EXPECT_FALSE(buckets.refuse("a", start + 1h));
}

TEST(Buckets, SaysHowLongToWait) {
  Buckets buckets(0.1, 1);
  const Buckets::Time start{};
  EXPECT_FALSE(buckets.refuse("a", start));
  EXPECT_EQ(buckets.refuse("a", start), 10);
}

TEST(Buckets, RememberABoundedNumber) {
  Buckets buckets(1, 1);
  const Buckets::Time start{};
  EXPECT_FALSE(buckets.refuse("first", start));
  EXPECT_TRUE(buckets.refuse("first", start));
  for (std::size_t i = 1; i < Buckets::kMostClients; ++i) {
    EXPECT_FALSE(buckets.refuse(std::to_string(i), start));
  }
  EXPECT_TRUE(buckets.refuse("first", start)) << "full, but known";
  EXPECT_FALSE(buckets.refuse("one more", start));
  EXPECT_FALSE(buckets.refuse("first", start)) << "all begin anew";
}

}  // namespace
}  // namespace sluice::control
