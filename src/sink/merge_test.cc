#include "sink/merge.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "sink/plan_testing.h"

namespace sluice::sink {
namespace {

// A table (id, a, b) of texts with the key id.
Plan plan_of(task::Write write) {
  Plan plan = text_plan(write);
  plan.stage_sequence = "seq";
  plan.stage_shape = "shape";
  return plan;
}

Row add(TableRows& rows, const std::string& bytes, const std::string& states) {
  Row row;
  row.begin = static_cast<std::uint32_t>(rows.bytes.size());
  row.length = static_cast<std::uint32_t>(bytes.size());
  row.shape = static_cast<std::uint16_t>(rows.shapes.size());
  rows.shapes.push_back({states});
  rows.bytes.append(bytes);
  rows.rows.push_back(row);
  return row;
}

TEST(Staged, TextRowsAreFilledWithNulls) {
  const Plan plan = plan_of(task::Write::kUpsert);
  TableRows rows;
  rows.form = Form::kText;
  const Row whole = add(rows, "1\tx\ty\n", "...");
  const Row part = add(rows, "2\tz\n", ".k.");
  const Row key = add(rows, "3\n", ".dk");
  Buffer out;
  append_staged(rows, plan, whole, 0, out);
  append_staged(rows, plan, part, 1, out);
  append_staged(rows, plan, key, 12, out);
  EXPECT_EQ(out.view(), "1\tx\ty\t0\t0\n2\t\\N\tz\t1\t1\n3\t\\N\t\\N\t12\t2\n");
}

TEST(Staged, BinaryRowsAreFilledWithNulls) {
  using namespace std::string_literals;
  const Plan plan = plan_of(task::Write::kUpsert);
  TableRows rows;
  rows.form = Form::kBinary;
  const Row part = add(rows, "\0\2\0\0\0\1x\xff\xff\xff\xff"s, ".d.");
  const Row whole = add(rows, "\0\3\0\0\0\1x\0\0\0\0\0\0\0\1y"s, "...");
  const std::string null = "\xff\xff\xff\xff";
  Buffer out;
  append_staged(rows, plan, part, 3, out);
  EXPECT_EQ(out.view(), "\0\5\0\0\0\1x"s + null + null + "\0\0\0\10\0\0\0\0\0\0\0\3\0\0\0\2\0\0"s);
  out.clear();
  append_staged(rows, plan, whole, 4, out);
  EXPECT_EQ(out.view(), "\0\5\0\0\0\1x\0\0\0\0\0\0\0\1y\0\0\0\10\0\0\0\0\0\0\0\4\0\0\0\2\0\1"s);
}

TEST(Merge, NamesWhatTheShapeHas) {
  Plan plan = plan_of(task::Write::kUpsert);
  EXPECT_EQ(
      merge_sql(plan, "..k", {}),
      "INSERT INTO t AS t (\"id\", \"a\") SELECT \"id\", \"a\" FROM pg_temp.sluice_stage AS s "
      "ON CONFLICT (\"id\") DO UPDATE SET \"a\" = excluded.\"a\"");
  EXPECT_EQ(merge_sql(plan, ".kk", {}),
            "INSERT INTO t AS t (\"id\") SELECT \"id\" FROM pg_temp.sluice_stage AS s "
            "ON CONFLICT (\"id\") DO NOTHING");
  plan.write = task::Write::kUpdate;
  EXPECT_EQ(merge_sql(plan, ".d.", {.shape = 2}),
            "UPDATE t AS t SET \"a\" = DEFAULT, \"b\" = s.\"b\" FROM pg_temp.sluice_stage AS s "
            "WHERE t.\"id\" = s.\"id\" AND s.shape = 2");
  EXPECT_EQ(merge_sql(plan, ".kk", {}), "");
}

TEST(Merge, WithoutOnConflictUpdatesAndInserts) {
  Plan plan = plan_of(task::Write::kUpsert);
  plan.on_conflict = false;
  const std::string missing = "NOT EXISTS (SELECT FROM t AS t WHERE t.\"id\" = s.\"id\")";
  EXPECT_EQ(merge_sql(plan, "..k", {.shape = 2}),
            "UPDATE t AS t SET \"a\" = s.\"a\" FROM pg_temp.sluice_stage AS s "
            "WHERE t.\"id\" = s.\"id\" AND s.shape = 2; "
            "INSERT INTO t (\"id\", \"a\") SELECT \"id\", \"a\" FROM pg_temp.sluice_stage AS s "
            "WHERE s.shape = 2 AND " +
                missing);
  const std::string inserted =
      "INSERT INTO t (\"id\") SELECT \"id\" FROM pg_temp.sluice_stage AS s WHERE " + missing;
  EXPECT_EQ(merge_sql(plan, ".kk", {}), inserted) << "nothing but the key";
  EXPECT_EQ(merge_sql(plan, ".kk", {.only_new = true}), inserted);
  plan.write = task::Write::kInsertIgnore;
  EXPECT_EQ(merge_sql(plan, "...", {}).find("UPDATE"), std::string::npos);
}

TEST(Merge, SkipsOnlyWhatItCanCompare) {
  Plan plan = plan_of(task::Write::kUpdate);
  plan.skip_unchanged = true;
  EXPECT_EQ(merge_sql(plan, ".d.", {}).find("*<>"), std::string::npos) << "an unknown default";
  plan.columns[1].default_sql = "'x'";
  EXPECT_NE(merge_sql(plan, ".d.", {})
                .find("ROW(t.\"a\", t.\"b\")::record OPERATOR(pg_catalog.*<>) "
                      "ROW(('x')::text, s.\"b\")::record"),
            std::string::npos);
}

TEST(Merge, AMessageWithoutAVersionChangesOnlyRowsWithoutOne) {
  Plan plan = plan_of(task::Write::kUpsert);
  plan.newer = 1;
  const std::string present = merge_sql(plan, "...", {});
  EXPECT_TRUE(present.ends_with(" WHERE (t.\"a\" IS NULL OR excluded.\"a\" > t.\"a\")")) << present;
  const std::string absent = merge_sql(plan, ".d.", {});
  EXPECT_TRUE(absent.ends_with(" WHERE t.\"a\" IS NULL")) << absent;
}

}  // namespace
}  // namespace sluice::sink
