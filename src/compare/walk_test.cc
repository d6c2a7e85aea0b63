#include "compare/walk.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <map>
#include <set>

#include "compare/match.h"

namespace sluice::compare {
namespace {

// A table in memory whose keys are in the order of their texts.
class MemoryTable : public Table {
 public:
  explicit MemoryTable(std::map<std::string, std::string> rows) : rows_(std::move(rows)) {}
  bool by_index() const override { return true; }
  Result<std::int64_t> count() override { return static_cast<std::int64_t>(rows_.size()); }
  Result<Digest> digest(const Range& range) override {
    Digest digest;
    for (const auto& [key, value] : within(range)) {
      ++digest.rows;
      digest.checksum += key + '=' + value + ';';
    }
    return digest;
  }
  Result<std::optional<Key>> key_at(const Range& range, std::int64_t number) override {
    const auto rows = within(range);
    if (static_cast<std::int64_t>(rows.size()) < number) return std::optional<Key>();
    return std::optional<Key>(Key{std::next(rows.begin(), number - 1)->first});
  }
  Result<std::vector<RowHash>> hashes(const Range& range) override {
    std::vector<RowHash> result;
    for (const auto& [key, value] : within(range)) result.push_back({{key}, value});
    largest_ = std::max(largest_, result.size());
    return result;
  }
  Result<std::vector<RowHash>> hashes_of(const std::vector<Key>& keys) override {
    std::vector<RowHash> result;
    for (const auto& key : keys) {
      if (const auto row = rows_.find(key[0]); row != rows_.end()) {
        result.push_back({key, row->second});
      }
    }
    return result;
  }
  Result<std::vector<Row>> rows_of(const std::vector<Key>& keys) override {
    std::vector<Row> result;
    for (const auto& key : keys) {
      if (const auto row = rows_.find(key[0]); row != rows_.end()) {
        result.push_back({key, {"same", row->second}});
      }
    }
    return result;
  }
  Result<std::vector<Row>> originals(const std::vector<Key>& keys) override {
    return rows_of(keys);
  }
  std::size_t largest() const { return largest_; }

 private:
  std::map<std::string, std::string> within(const Range& range) const {
    const auto from = range.after ? rows_.upper_bound((*range.after)[0]) : rows_.begin();
    const auto to = range.up_to ? rows_.upper_bound((*range.up_to)[0]) : rows_.end();
    return {from, to};
  }
  std::map<std::string, std::string> rows_;
  std::size_t largest_ = 0;
};

std::map<std::string, std::string> rows_of(const std::map<std::uint8_t, bool>& from) {
  std::map<std::string, std::string> rows;
  for (const auto& [key, value] : from) rows[std::to_string(key)] = value ? "yes" : "no";
  return rows;
}

TEST(Walk, FindsExactlyTheKeysThatDiffer) {
  rc::check([](const std::map<std::uint8_t, bool>& from, const std::map<std::uint8_t, bool>& to) {
    const auto a = rows_of(from);
    const auto b = rows_of(to);
    std::set<std::string> wanted;
    for (const auto& [key, value] : a) {
      if (const auto other = b.find(key); other == b.end() || other->second != value) {
        wanted.insert(key);
      }
    }
    for (const auto& [key, value] : b) {
      if (!a.contains(key)) wanted.insert(key);
    }
    MemoryTable source(a);
    MemoryTable target(b);
    const WalkSizes sizes{*rc::gen::inRange<std::int64_t>(1, 40),
                          *rc::gen::inRange<std::int64_t>(1, 6),
                          *rc::gen::inRange<std::size_t>(1, 30)};
    Walk walk(source, target, sizes);
    std::set<std::string> found;
    std::size_t count = 0;
    while (!walk.done()) {
      const auto keys = walk.next([] { return true; });
      RC_ASSERT(keys.has_value());
      count += keys->size();
      for (const auto& key : *keys) found.insert(key[0]);
    }
    RC_ASSERT(found == wanted);
    RC_ASSERT(count == wanted.size());
    RC_ASSERT(walk.rows() == static_cast<std::int64_t>(a.size()));
    const auto leaf = static_cast<std::size_t>(sizes.leaf);
    RC_ASSERT(source.largest() <= leaf);
    RC_ASSERT(target.largest() <= leaf);
  });
}

TEST(Walk, StopsBetweenTwoRanges) {
  MemoryTable source({{"1", "a"}, {"2", "b"}});
  MemoryTable target({{"1", "x"}, {"2", "y"}});
  Walk walk(source, target, {1, 1, 100});
  int steps = 0;
  const auto keys = walk.next([&] { return ++steps == 1; });
  ASSERT_TRUE(keys);
  EXPECT_EQ(keys->size(), 1U);
  EXPECT_FALSE(walk.done());
}

TEST(Walk, ADifferenceNamesItsColumns) {
  MemoryTable source({{"1", "a"}, {"2", std::string(300, 'b')}, {"4", "d"}});
  MemoryTable target({{"1", "a"}, {"2", "y"}, {"3", "c"}});
  const auto found = differences(source, target, {{"1"}, {"2"}, {"3"}, {"4"}});
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 3U);
  EXPECT_EQ((*found)[0].columns, std::vector<std::size_t>{1});
  EXPECT_EQ((*found)[0].source[0]->size(), kShownBytes + 3);
  EXPECT_EQ((*found)[0].target[0], "y");
  EXPECT_EQ((*found)[1].kind, Difference::Kind::kExtra);
  EXPECT_EQ((*found)[2].kind, Difference::Kind::kMissing);
}

postgres::Type type_of(postgres::Oid oid) {
  postgres::Type type;
  type.oid = oid;
  return type;
}

TEST(Kinds, TypesThatHoldTheSameValuesAreAlike) {
  const auto common = [](postgres::Oid a, postgres::Oid b) {
    EXPECT_EQ(common_form(type_of(a), type_of(b)), common_form(type_of(b), type_of(a)));
    return common_form(type_of(a), type_of(b)).kind;
  };
  EXPECT_EQ(common(23, 20), Kind::kInteger);
  EXPECT_EQ(common(16, 21), Kind::kNumber);
  EXPECT_EQ(common(1700, 20), Kind::kNumber);
  EXPECT_EQ(common(700, 701), Kind::kReal4);
  EXPECT_EQ(common(1700, 701), Kind::kReal8);
  EXPECT_EQ(common(1043, 25), Kind::kText);
  EXPECT_EQ(common(1042, 25), Kind::kPadded);
  EXPECT_EQ(common(1114, 1184), Kind::kMoment);
  EXPECT_EQ(common(1082, 1114), Kind::kMoment);
  EXPECT_EQ(common(114, 3802), Kind::kJson);
  EXPECT_EQ(common(23, 25), Kind::kOther);
  EXPECT_FALSE(are_alike(type_of(23), type_of(25)));
  EXPECT_TRUE(are_alike(type_of(2950), type_of(25)));
}

TEST(Match, ColumnsBelongTogetherByNameThenByLetters) {
  postgres::TableInfo target;
  for (const char* name : {"id", "Name", "name", "own", "skipped"}) {
    postgres::ColumnInfo column;
    column.name = name;
    column.type = type_of(25);
    target.columns.push_back(column);
  }
  const std::vector<SourceColumn> source{
      {"NAME", type_of(25)}, {"name", type_of(25)}, {"ID", type_of(25)}, {"skipped", type_of(25)}};
  const auto found = match(source, target, {"id"}, {"skipped"});
  ASSERT_TRUE(found);
  ASSERT_EQ(found->key.size(), 1U);
  EXPECT_EQ(found->key[0].source, "ID");
  ASSERT_EQ(found->values.size(), 2U);
  EXPECT_EQ(found->values[0].source, "NAME");
  EXPECT_EQ(found->values[1].source, "name");
  EXPECT_EQ(found->only_target, std::vector<std::string>{"own"});
  EXPECT_TRUE(found->only_source.empty());
  EXPECT_FALSE(match({{"idd", type_of(25)}}, target, {"id"}, {}));
}

}  // namespace
}  // namespace sluice::compare
