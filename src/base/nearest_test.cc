#include "base/nearest.h"

#include <gtest/gtest.h>

#include <string_view>

namespace sluice {
namespace {

using Names = std::vector<std::string>;

TEST(EditDistance, CountsInsertionsDeletionsReplacementsAndSwaps) {
  EXPECT_EQ(edit_distance("orders", "orders"), 0);
  EXPECT_EQ(edit_distance("Orders", "orders"), 0);
  EXPECT_EQ(edit_distance("ordres", "orders"), 1);
  EXPECT_EQ(edit_distance("order", "orders"), 1);
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
}

TEST(Nearest, FindsWhatWasMeant) {
  const std::vector<std::string_view> names = {"write", "primary_key", "nul", "columns"};
  EXPECT_EQ(nearest("wirte", names), Names{"write"});
  EXPECT_EQ(nearest("writ", names), Names{"write"});
  EXPECT_EQ(nearest("primarykey", names), Names{"primary_key"});
  EXPECT_EQ(nearest("primary_kye", names), Names{"primary_key"});
  EXPECT_EQ(nearest("column", names), Names{"columns"});
  EXPECT_EQ(nearest("zzz", names), Names{});
  EXPECT_EQ(nearest("", names), Names{});
  EXPECT_EQ(nearest(std::string(100'000, 'x'), names), Names{});
}

TEST(Nearest, NearestFirstAndNoMoreThanAskedFor) {
  const Names topics = {"orders", "order", "payments", "ordersold"};
  EXPECT_EQ(nearest("ordes", topics, 1).size(), 1U);
  EXPECT_EQ(nearest("Orders", topics, 1), Names{"orders"});
  EXPECT_EQ(nearest("paymnets", topics), Names{"payments"});
  EXPECT_TRUE(nearest("inventory", topics).empty());
}

TEST(DidYouMean, IsASentenceOrNothing) {
  EXPECT_EQ(did_you_mean("ordes", {"orders"}), "Did you mean \"orders\"?");
  EXPECT_EQ(did_you_mean("zzz", {"orders"}), "");
}

}  // namespace
}  // namespace sluice
