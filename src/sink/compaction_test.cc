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

void add(Batch& batch, const Change& change) {
  std::string states = ".";
  std::string text = change.id;
  for (const auto& field : {change.a, change.b}) {
    states += field ? Shape::kPresent : Shape::kKeep;
    if (field && !change.deletes) text += '\t' + *field;
  }
  text += '\n';
  Row row;
  row.record = static_cast<std::uint32_t>(batch.rows.size());
  row.begin = static_cast<std::uint32_t>(batch.bytes.size());
  row.length = static_cast<std::uint32_t>(text.size());
  row.key_length = static_cast<std::uint32_t>(change.id.size());
  row.operation = change.deletes ? Operation::kDelete : Operation::kWrite;
  if (!change.deletes) {
    std::size_t shape = 0;
    while (shape < batch.shapes.size() && batch.shapes[shape].states != states) ++shape;
    if (shape == batch.shapes.size()) batch.shapes.push_back({states});
    row.shape = static_cast<std::uint16_t>(shape);
  }
  batch.bytes.append(text);
  batch.rows.push_back(row);
}

std::string text_of(const Batch& batch, const Row& row) {
  return std::string(batch.bytes.view(row.begin, row.length - 1));
}

TEST(Compaction, TheLastOfAKeyWinsAndKeysAreSorted) {
  const Plan plan = plan_of(false);
  Batch batch;
  batch.form = Form::kText;
  add(batch, {.id = "2", .a = "x", .b = "x"});
  add(batch, {.id = "1", .a = "y", .b = "y"});
  add(batch, {.id = "2", .a = "z", .b = "z"});
  Compaction compaction;
  compaction.fold(batch, plan, 0, batch.rows.size());
  ASSERT_EQ(compaction.upserts().size(), 2U);
  EXPECT_EQ(text_of(batch, compaction.upserts()[0]), "1\ty\ty");
  EXPECT_EQ(text_of(batch, compaction.upserts()[1]), "2\tz\tz");
}

TEST(Compaction, ADeadChangeUncoversTheOneBefore) {
  const Plan plan = plan_of(false);
  Batch batch;
  batch.form = Form::kText;
  add(batch, {.id = "1", .a = "good", .b = "good"});
  add(batch, {.id = "1", .a = "bad", .b = "bad"});
  batch.rows[1].dead = true;
  Compaction compaction;
  compaction.fold(batch, plan, 0, batch.rows.size());
  ASSERT_EQ(compaction.upserts().size(), 1U);
  EXPECT_EQ(text_of(batch, compaction.upserts()[0]), "1\tgood\tgood");
}

TEST(Compaction, DeleteThenWriteIsAReplacement) {
  const Plan plan = plan_of(true);
  Batch batch;
  batch.form = Form::kText;
  add(batch, {.id = "1", .a = "old", .b = "old"});
  add(batch, {.id = "1", .deletes = true});
  add(batch, {.id = "1", .a = "new"});
  Compaction compaction;
  compaction.fold(batch, plan, 0, batch.rows.size());
  ASSERT_EQ(compaction.deletes().size(), 1U);
  ASSERT_EQ(compaction.upserts().size(), 1U);
  EXPECT_EQ(text_of(batch, compaction.upserts()[0]), "1\tnew");
  EXPECT_EQ(batch.shapes[compaction.upserts()[0].shape].states, "..k");
}

TEST(Compaction, WhatOnlyAnInsertSetsComesFromTheFirst) {
  Plan plan = plan_of(true);
  plan.insert_only = true;
  plan.columns[2].update = false;
  Batch batch;
  batch.form = Form::kText;
  add(batch, {.id = "1", .a = "a1", .b = "first"});
  add(batch, {.id = "1", .a = "a2", .b = "second"});
  add(batch, {.id = "2", .a = "a1"});
  add(batch, {.id = "2", .b = "second"});
  add(batch, {.id = "3", .b = "gone"});
  add(batch, {.id = "3", .deletes = true});
  add(batch, {.id = "3", .b = "after the delete"});
  add(batch, {.id = "3", .b = "last"});
  Compaction compaction;
  compaction.fold(batch, plan, 0, batch.rows.size());
  ASSERT_EQ(compaction.upserts().size(), 3U);
  EXPECT_EQ(text_of(batch, compaction.upserts()[0]), "1\ta2\tfirst");
  EXPECT_EQ(text_of(batch, compaction.upserts()[1]), "2\ta1");
  EXPECT_EQ(batch.shapes[compaction.upserts()[1].shape].states, "..k");
  EXPECT_EQ(text_of(batch, compaction.upserts()[2]), "3\tafter the delete");
  EXPECT_EQ(compaction.messages(), (std::vector<std::int64_t>{2, 2, 2}));
}

TEST(Compaction, RoundsHaveAKeyOnceAndKeepItsOrder) {
  Batch batch;
  batch.form = Form::kText;
  add(batch, {.id = "2", .a = "1"});
  add(batch, {.id = "1", .a = "2"});
  add(batch, {.id = "2", .a = "3"});
  add(batch, {.id = "2", .a = "dead"});
  add(batch, {.id = "2", .a = "4"});
  batch.rows[3].dead = true;
  Compaction compaction;
  std::vector<std::string> found;
  for (const auto& round : compaction.rounds(batch, 0, batch.rows.size())) {
    std::string keys;
    for (const Row& row : round) keys += text_of(batch, row) + ";";
    found.push_back(keys);
  }
  EXPECT_EQ(found, (std::vector<std::string>{"1\t2;2\t1;", "2\t3;", "2\t4;"}));
  EXPECT_TRUE(compaction.rounds(batch, 0, 0).empty());
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

Change read_back(const Batch& batch, const Row& row) {
  std::string text = text_of(batch, row);
  const std::string& states = batch.shapes[row.shape].states;
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
    Batch batch;
    batch.form = Form::kText;
    const int count = *rc::gen::inRange(0, 40);
    for (int i = 0; i < count; ++i) {
      Change change;
      change.id = std::to_string(*rc::gen::inRange(0, 4));
      change.deletes = *rc::gen::inRange(0, 4) == 0;
      if (!change.deletes) {
        change.a = value();
        change.b = value();
      }
      add(batch, change);
      apply_to(expected, change);
    }
    const std::size_t rows = batch.rows.size();
    const std::size_t cut =
        rows == 0 ? 0
                  : static_cast<std::size_t>(*rc::gen::inRange<int>(0, static_cast<int>(rows) + 1));
    Compaction compaction;
    for (const auto& [from, to] : {std::pair{std::size_t{0}, cut}, std::pair{cut, rows}}) {
      compaction.fold(batch, plan, from, to);
      for (const Row& row : compaction.deletes()) {
        found.erase(std::string(batch.bytes.view(row.begin, row.key_length)));
      }
      for (const Row& row : compaction.upserts()) apply_to(found, read_back(batch, row));
    }
    RC_ASSERT(found == expected);
  });
  EXPECT_TRUE(held);
}

}  // namespace
}  // namespace sluice::sink
