#include "sink/compaction.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>
#include <optional>
#include <string>

#include "sink/plan_testing.h"

namespace sluice::sink {
namespace {

// `keep` says that an absent a or b leaves the old value.
Plan plan_of(bool keep) {
  Plan plan = text_plan(task::Write::kUpsert);
  plan.keeps = keep;
  return plan;
}

struct Change {
  std::string id;
  bool deletes = false;
  std::optional<std::string> a = std::nullopt;
  std::optional<std::string> b = std::nullopt;
};

void add(TableRows& rows, const Change& change) {
  std::string states = ".";
  std::string text = change.id;
  for (const auto& field : {change.a, change.b}) {
    states += field ? Shape::kPresent : Shape::kKeep;
    if (field && !change.deletes) text += '\t' + *field;
  }
  text += '\n';
  Row row;
  row.record = static_cast<std::uint32_t>(rows.rows.size());
  row.begin = static_cast<std::uint32_t>(rows.bytes.size());
  row.length = static_cast<std::uint32_t>(text.size());
  row.key_length = static_cast<std::uint32_t>(change.id.size());
  row.operation = change.deletes ? Operation::kDelete : Operation::kWrite;
  if (!change.deletes) {
    std::size_t shape = 0;
    while (shape < rows.shapes.size() && rows.shapes[shape].states != states) ++shape;
    if (shape == rows.shapes.size()) rows.shapes.push_back({states});
    row.shape = static_cast<std::uint16_t>(shape);
  }
  rows.bytes.append(text);
  rows.rows.push_back(row);
}

std::string text_of(const TableRows& rows, const Row& row) {
  return std::string(rows.bytes.view(row.begin, row.length - 1));
}

TEST(Compaction, TheLastOfAKeyWinsAndKeysAreSorted) {
  const Plan plan = plan_of(false);
  TableRows rows;
  rows.form = Form::kText;
  add(rows, {.id = "2", .a = "x", .b = "x"});
  add(rows, {.id = "1", .a = "y", .b = "y"});
  add(rows, {.id = "2", .a = "z", .b = "z"});
  Compaction compaction;
  compaction.fold(rows, plan, 0, rows.rows.size());
  ASSERT_EQ(compaction.upserts().size(), 2U);
  EXPECT_EQ(text_of(rows, compaction.upserts()[0]), "1\ty\ty");
  EXPECT_EQ(text_of(rows, compaction.upserts()[1]), "2\tz\tz");
}

TEST(Compaction, ADeadChangeUncoversTheOneBefore) {
  const Plan plan = plan_of(false);
  TableRows rows;
  rows.form = Form::kText;
  add(rows, {.id = "1", .a = "good", .b = "good"});
  add(rows, {.id = "1", .a = "bad", .b = "bad"});
  rows.rows[1].dead = true;
  Compaction compaction;
  compaction.fold(rows, plan, 0, rows.rows.size());
  ASSERT_EQ(compaction.upserts().size(), 1U);
  EXPECT_EQ(text_of(rows, compaction.upserts()[0]), "1\tgood\tgood");
}

TEST(Compaction, DeleteThenWriteIsAReplacement) {
  const Plan plan = plan_of(true);
  TableRows rows;
  rows.form = Form::kText;
  add(rows, {.id = "1", .a = "old", .b = "old"});
  add(rows, {.id = "1", .deletes = true});
  add(rows, {.id = "1", .a = "new"});
  Compaction compaction;
  compaction.fold(rows, plan, 0, rows.rows.size());
  ASSERT_EQ(compaction.deletes().size(), 1U);
  ASSERT_EQ(compaction.upserts().size(), 1U);
  EXPECT_EQ(text_of(rows, compaction.upserts()[0]), "1\tnew");
  EXPECT_EQ(rows.shapes[compaction.upserts()[0].shape].states, "..k");
}

TEST(Compaction, WhatOnlyAnInsertSetsComesFromTheFirst) {
  Plan plan = plan_of(true);
  plan.insert_only = true;
  plan.columns[2].update = false;
  TableRows rows;
  rows.form = Form::kText;
  add(rows, {.id = "1", .a = "a1", .b = "first"});
  add(rows, {.id = "1", .a = "a2", .b = "second"});
  add(rows, {.id = "2", .a = "a1"});
  add(rows, {.id = "2", .b = "second"});
  add(rows, {.id = "3", .b = "gone"});
  add(rows, {.id = "3", .deletes = true});
  add(rows, {.id = "3", .b = "after the delete"});
  add(rows, {.id = "3", .b = "last"});
  Compaction compaction;
  compaction.fold(rows, plan, 0, rows.rows.size());
  ASSERT_EQ(compaction.upserts().size(), 3U);
  EXPECT_EQ(text_of(rows, compaction.upserts()[0]), "1\ta2\tfirst");
  EXPECT_EQ(text_of(rows, compaction.upserts()[1]), "2\ta1");
  EXPECT_EQ(rows.shapes[compaction.upserts()[1].shape].states, "..k");
  EXPECT_EQ(text_of(rows, compaction.upserts()[2]), "3\tafter the delete");
  EXPECT_EQ(compaction.messages(), (std::vector<std::int64_t>{2, 2, 2}));
}

TEST(Compaction, RoundsHaveAKeyOnceAndKeepItsOrder) {
  TableRows rows;
  rows.form = Form::kText;
  add(rows, {.id = "2", .a = "1"});
  add(rows, {.id = "1", .a = "2"});
  add(rows, {.id = "2", .a = "3"});
  add(rows, {.id = "2", .a = "dead"});
  add(rows, {.id = "2", .a = "4"});
  rows.rows[3].dead = true;
  Compaction compaction;
  std::vector<std::string> found;
  for (const auto& round : compaction.rounds(rows, 0, rows.rows.size())) {
    std::string keys;
    for (const Row& row : round) keys += text_of(rows, row) + ";";
    found.push_back(keys);
  }
  EXPECT_EQ(found, (std::vector<std::string>{"1\t2;2\t1;", "2\t3;", "2\t4;"}));
  EXPECT_TRUE(compaction.rounds(rows, 0, 0).empty());
}

// A table in memory: what a row of `states` does to it.
using Table =
    std::map<std::string, std::pair<std::optional<std::string>, std::optional<std::string>>>;

void apply_to(Table& table, const Change& change) {
  if (change.deletes) {
    table.erase(change.id);
    return;
  }
  auto& row = table[change.id];
  if (change.a) row.first = change.a;
  if (change.b) row.second = change.b;
}

Change read_back(const TableRows& rows, const Row& row) {
  std::string text = text_of(rows, row);
  const std::string& states = rows.shapes[row.shape].states;
  Change change;
  auto next = [&] {
    const auto tab = text.find('\t');
    std::string field = text.substr(0, tab);
    text = tab == std::string::npos ? "" : text.substr(tab + 1);
    return field;
  };
  change.id = next();
  if (states[1] == Shape::kPresent) change.a = next();
  if (states[2] == Shape::kPresent) change.b = next();
  return change;
}

TEST(Compaction, LeavesWhatTheChangesOneByOneWouldLeave) {
  const bool held = rc::check("folded in any pieces, the table is the same", [] {
    const Plan plan = plan_of(true);
    const auto value = [] {
      return *rc::gen::inRange(0, 3) == 0
                 ? std::nullopt
                 : std::optional(std::to_string(*rc::gen::inRange(0, 100)));
    };
    Table expected;
    Table found;
    TableRows rows;
    rows.form = Form::kText;
    const int count = *rc::gen::inRange(0, 40);
    for (int i = 0; i < count; ++i) {
      Change change;
      change.id = std::to_string(*rc::gen::inRange(0, 4));
      change.deletes = *rc::gen::inRange(0, 4) == 0;
      if (!change.deletes) {
        change.a = value();
        change.b = value();
      }
      add(rows, change);
      apply_to(expected, change);
    }
    const std::size_t there = rows.rows.size();
    const std::size_t cut =
        there == 0
            ? 0
            : static_cast<std::size_t>(*rc::gen::inRange<int>(0, static_cast<int>(there) + 1));
    Compaction compaction;
    for (const auto& [from, to] : {std::pair{std::size_t{0}, cut}, std::pair{cut, there}}) {
      compaction.fold(rows, plan, from, to);
      for (const Row& row : compaction.deletes()) {
        found.erase(std::string(rows.bytes.view(row.begin, row.key_length)));
      }
      for (const Row& row : compaction.upserts()) apply_to(found, read_back(rows, row));
    }
    RC_ASSERT(found == expected);
  });
  EXPECT_TRUE(held);
}

}  // namespace
}  // namespace sluice::sink
