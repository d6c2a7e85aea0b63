#include "ledger/ledger.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <sstream>

#include "ledger/statements.h"

namespace sluice::ledger {
namespace {

Handle handle() {
  Handle result;
  result.task = "orders";
  result.uid = "0123456789abcdef0123456789abcdef";
  return result;
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST(Names, GroupAndSessionCarryTheUid) {
  EXPECT_EQ(group_name(handle()), "sluice-orders-012345");
  EXPECT_EQ(application_name(handle(), "host-1.42"), "sluice 0123456789abcdef host-1.42");
}

TEST(Names, SessionNameIsWhatPostgresKeeps) {
  const std::string name = application_name(handle(), "caf\xC3\xA9\n" + std::string(100, 'x'));
  EXPECT_EQ(name.size(), 63U);
  EXPECT_TRUE(name.starts_with("sluice 0123456789abcdef caf???x")) << name;
  Handle unknown;
  EXPECT_EQ(application_name(unknown, "check"), "sluice check");
}

TEST(Layout, EveryTableAndColumnHasAComment) {
  const std::string ddl = sql::tables("sluice", 150000);
  int tables = 0;
  int columns = 0;
  std::string table;
  std::istringstream lines(ddl);
  for (std::string line; std::getline(lines, line);) {
    constexpr std::string_view kCreate = "CREATE TABLE ";
    const bool in_table = !table.empty();
    if (line.starts_with(kCreate)) {
      table = line.substr(kCreate.size(), line.find(' ', kCreate.size()) - kCreate.size());
      ++tables;
      EXPECT_TRUE(contains(ddl, "COMMENT ON TABLE " + table + " IS '")) << table;
    } else if (line.starts_with(')')) {
      table.clear();
    } else if (in_table && !line.starts_with("  PRIMARY KEY")) {
      const std::string column = line.substr(2, line.find(' ', 2) - 2);
      ++columns;
      EXPECT_TRUE(contains(ddl, "COMMENT ON COLUMN " + table + "." + column + " IS '"))
          << table << "." << column;
    }
  }
  EXPECT_EQ(tables, 5);
  EXPECT_EQ(columns, 3 + 21 + 12 + 16 + 8);
}

TEST(Layout, TheSchemaIsQuotedEverywhere) {
  const std::string ddl = sql::tables("Odd \"name", 150000);
  EXPECT_TRUE(contains(ddl, "REFERENCES \"Odd \"\"name\".task"));
  EXPECT_FALSE(contains(ddl, "sluice."));
  EXPECT_TRUE(contains(grant_sql("Odd \"name", "R"), "ON \"Odd \"\"name\".dead_letter"));
}

TEST(LockSql, IsTwoStatementsThatNameThePartitionsOfEachTopicOnce) {
  const std::string sql =
      lock_sql(handle(), {{{"b", 3}, 0, 1}, {{"a'; DROP TABLE x --", 0}, 0, 1}, {{"b", 1}, 0, 1}});
  EXPECT_EQ(std::count(sql.begin(), sql.end(), ';'), 2) << "one of them within a literal: " << sql;
  EXPECT_TRUE(contains(sql, "topic = 'a''; DROP TABLE x --' AND partition = ANY ('{0}'"));
  EXPECT_TRUE(contains(sql, "topic = 'b' AND partition = ANY ('{3,1}'"));
  EXPECT_TRUE(contains(sql, "FOR SHARE OF t;"));
  EXPECT_TRUE(contains(sql, "ORDER BY topic, partition FOR UPDATE"));
}

TEST(MoveSql, CountsTheRowsItExpects) {
  Move move;
  move.key = {"a", 0};
  move.from = 3;
  move.to = 7;
  Move other = move;
  other.key.partition = 1;
  const std::string sql = move_sql(handle(), 42, {move, other});
  EXPECT_TRUE(contains(sql, "l.epoch = 42"));
  EXPECT_TRUE(contains(sql, "SELECT 1 / (pg_catalog.count(*) = 2)::integer"));
}

TEST(Gate, IsOnePerSchemaAndTask) {
  Handle other_task = handle();
  other_task.task = "orders2";
  Handle other_schema = handle();
  other_schema.schema = "sluice2";
  Handle other_uid = handle();
  other_uid.uid = "ffffffffffffffffffffffffffffffff";
  EXPECT_NE(sql::gate_key(handle()), sql::gate_key(other_task));
  EXPECT_NE(sql::gate_key(handle()), sql::gate_key(other_schema));
  EXPECT_EQ(sql::gate_key(handle()), sql::gate_key(other_uid));
}

TEST(Uid, IsDrawnAnew) {
  const std::string uid = sql::fresh_uid();
  EXPECT_EQ(uid.size(), 32U);
  EXPECT_EQ(uid.find_first_not_of("0123456789abcdef"), std::string::npos) << uid;
  EXPECT_NE(uid, sql::fresh_uid());
}

std::string cleaned(std::string_view text) {
  std::string clean;
  return sql::is_clean(text, clean) ? std::string(text) : clean;
}

TEST(CleanText, KeepsUtf8AndReplacesTheRest) {
  for (const std::string_view good : {"", "plain", "caf\xC3\xA9", "\xE4\xB8\xAD\xE6\x96\x87",
                                      "\xF0\x9F\x98\x80", "\xED\x9F\xBF", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_EQ(cleaned(good), good);
  }
  const std::string r = "\xEF\xBF\xBD";
  using namespace std::string_view_literals;
  EXPECT_EQ(cleaned("a\0b"sv), "a" + r + "b");
  EXPECT_EQ(cleaned("\xFF"), r);
  EXPECT_EQ(cleaned("\x80x"), r + "x");
  EXPECT_EQ(cleaned("caf\xC3"), "caf" + r);               // cut short
  EXPECT_EQ(cleaned("\xC0\x80"), r + r);                  // overlong
  EXPECT_EQ(cleaned("\xE0\x80\x80"), r + r + r);          // overlong
  EXPECT_EQ(cleaned("\xED\xA0\x80z"), r + r + r + "z");   // surrogate
  EXPECT_EQ(cleaned("\xF4\x90\x80\x80"), r + r + r + r);  // beyond U+10FFFF
  EXPECT_EQ(cleaned("\xC3\xA9\xFF\xC3\xA9"), "\xC3\xA9" + r + "\xC3\xA9");
}

TEST(DeadLetter, IsOneRowOfABinaryCopy) {
  using namespace std::string_view_literals;
  DeadLetter letter;
  letter.key = {"t", 258};
  letter.offset = 1;
  letter.timestamp_ms = 946'684'800'001;  // a millisecond after 2000-01-01
  letter.value = "\0v"sv;
  letter.headers = {{"h\xFF", std::nullopt}};
  letter.reason_class = "data";
  letter.code = "23502";
  letter.message = "m";
  Handle task;
  task.task = "k";
  Buffer out;
  append_dead_letter(task, letter, out);
  const std::string_view expected =
      "\0\x0D"
      "\0\0\0\1k"
      "\0\0\0\1t"
      "\0\0\0\4\0\0\1\2"
      "\0\0\0\x08\0\0\0\0\0\0\0\1"
      "\0\0\0\x08\0\0\0\0\0\0\3\xE8"
      "\xFF\xFF\xFF\xFF"
      "\0\0\0\2\0v"
      "\0\0\0\x1C\0\0\0\1\0\0\0\1\0\0\0\x19\0\0\0\1\0\0\0\1\0\0\0\4h\xEF\xBF\xBD"
      "\0\0\0\x18\0\0\0\1\0\0\0\1\0\0\0\x11\0\0\0\1\0\0\0\1\xFF\xFF\xFF\xFF"
      "\0\0\0\4data"
      "\0\0\0\x05"
      "23502"
      "\0\0\0\1m"
      "\xFF\xFF\xFF\xFF"sv;
  EXPECT_EQ(out.view(), expected);
}

TEST(DeadLetter, TimestampsThatPostgresCannotHoldBecomeInfinite) {
  const auto timestamp_of = [](std::int64_t timestamp_ms) {
    DeadLetter letter;
    letter.timestamp_ms = timestamp_ms;
    Buffer out;
    append_dead_letter({}, letter, out);
    constexpr std::size_t kAt = 2 + 4 + 4 + 8 + 12;
    if (out.view(kAt, 4) == "\xFF\xFF\xFF\xFF") return std::string("null");
    std::string hex;
    for (const char c : out.view(kAt + 4, 8)) {
      hex += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
      hex += "0123456789abcdef"[c & 15];
    }
    return hex;
  };
  EXPECT_EQ(timestamp_of(-1), "null");
  EXPECT_EQ(timestamp_of(0), "fffca2fec4c82000") << "30 years before 2000";
  EXPECT_EQ(timestamp_of(std::numeric_limits<std::int64_t>::max()), "7fffffffffffffff");
  EXPECT_EQ(timestamp_of(std::numeric_limits<std::int64_t>::min()), "8000000000000000");
  EXPECT_EQ(timestamp_of(9'224'318'016'000'000), "7fffffffffffffff") << "the year 294277";
  EXPECT_NE(timestamp_of(9'224'318'015'999'999), "7fffffffffffffff");
}

}  // namespace
}  // namespace sluice::ledger
