#include "cli/table.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <boost/json/parse.hpp>
#include <sstream>

namespace sluice::cli {
namespace {

TEST(Table, AlignsColumnsWithoutBlanksAtTheEnd) {
  EXPECT_EQ(table_text({{"NAME", "STATE"}, {"orders", "running"}, {"a", "-"}}, 0),
            "NAME    STATE\norders  running\na       -\n");
  EXPECT_EQ(table_text({}, 80), "");
}

TEST(Table, CutsTheWidestColumnToFit) {
  EXPECT_EQ(table_text({{"NAME", "WHY"}, {"orders", "a very long reason"}}, 20),
            "NAME    WHY\norders  a very long…\n");
}

TEST(Table, CountsWideCharactersTwice) {
  EXPECT_EQ(width_of("订单"), 4);
  EXPECT_EQ(width_of("é"), 1);
  EXPECT_EQ(width_of("e\xCC\x81"), 1);
  EXPECT_EQ(table_text({{"订单", "x"}, {"abc", "y"}}, 0), "订单  x\nabc   y\n");
}

TEST(Table, NoLineIsLongerThanItMay) {
  EXPECT_TRUE(rc::check("every line fits, where each column may have its least width", [] {
    const int columns = *rc::gen::inRange(1, 5);
    const auto text = rc::gen::container<std::string>(rc::gen::inRange<char>('!', '~'));
    std::vector<std::vector<std::string>> rows;
    for (int i = *rc::gen::inRange(1, 5); i > 0; --i) {
      rows.push_back(
          *rc::gen::container<std::vector<std::string>>(static_cast<std::size_t>(columns), text));
    }
    const auto width = static_cast<std::size_t>(*rc::gen::inRange(40, 100));
    std::istringstream lines(table_text(rows, width));
    for (std::string line; std::getline(lines, line);) RC_ASSERT(width_of(line) <= width);
  }));
}

TEST(Table, CellsFollowPaths) {
  const auto value = boost::json::parse(
      R"({"a":{"b":"x\u001b[31m\ny"},"n":null,"t":true,"i":7,"e":"","l":[1],"d":6.1521,"r":12345.6})");
  EXPECT_EQ(cell(value, "a.b"), "x.[31m.y");
  EXPECT_EQ(cell(value, "a.c"), "-");
  EXPECT_EQ(cell(value, "i.c"), "-");
  EXPECT_EQ(cell(value, "n"), "-");
  EXPECT_EQ(cell(value, "e"), "-");
  EXPECT_EQ(cell(value, "t"), "yes");
  EXPECT_EQ(cell(value, "i"), "7");
  EXPECT_EQ(cell(value, "l"), "[1]");
  EXPECT_EQ(cell(value, "d"), "6.15");
  EXPECT_EQ(cell(value, "r"), "12346");
  EXPECT_EQ(one_line("a\xC2\x9B"
                     "b\xC3\xA9\x7F"),
            "a.b\xC3\xA9.");
  EXPECT_EQ(one_line("\xFFz"), ".z");
}

}  // namespace
}  // namespace sluice::cli
