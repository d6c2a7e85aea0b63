#include "control/task_state.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <vector>

namespace sluice::control {
namespace {

using S = TaskState;
using A = TaskAction;

std::vector<S> all_states() {
  std::vector<S> all;
  for (int i = 0; i < kTaskStates; ++i) all.push_back(static_cast<S>(i));
  return all;
}

std::vector<A> all_actions() {
  std::vector<A> all;
  for (int i = 0; i < kTaskActions; ++i) all.push_back(static_cast<A>(i));
  return all;
}

TEST(TaskState, NamesAreReadBack) {
  std::set<std::string_view> names, chinese;
  for (const S state : all_states()) {
    EXPECT_EQ(task_state_of(name_of(state)), state);
    EXPECT_TRUE(names.insert(name_of(state)).second);
    EXPECT_TRUE(chinese.insert(title_in_chinese(state)).second);
  }
  for (const auto* name : {"", "Running", "stopped"}) EXPECT_FALSE(task_state_of(name)) << name;
}

TEST(TaskState, NumbersAreThoseOfDip) {
  const std::map<S, int> expected = {
      {S::kCreating, 0},    {S::kCreateFailed, -1}, {S::kRunning, 1},     {S::kDeleting, 2},
      {S::kDeleted, 3},     {S::kDeleteFailed, 4},  {S::kPausing, 5},     {S::kPaused, 6},
      {S::kPauseFailed, 7}, {S::kResuming, 8},      {S::kResumeFailed, 9}};
  for (const S state : all_states()) {
    const auto found = expected.find(state);
    EXPECT_EQ(dip_number(state),
              found == expected.end() ? std::nullopt : std::optional(found->second))
        << name_of(state);
  }
}

// The whole table, cell by cell: "" is a refusal, "=" no error and nothing done, else the state
// that follows.
TEST(TaskState, EveryActionInEveryState) {
  // In the order of TaskAction: pause, resume, restart, edit, rebuild, delete.
  const std::map<S, std::vector<std::string_view>> expected = {
      {S::kCreating, {"", "", "", "", "=", "deleting"}},
      {S::kCreateFailed, {"", "", "", "create_failed", "creating", "deleting"}},
      {S::kRunning, {"pausing", "=", "", "resuming", "", "deleting"}},
      {S::kRetrying, {"pausing", "=", "", "resuming", "", "deleting"}},
      {S::kFailed, {"", "", "resuming", "failed", "", "deleting"}},
      {S::kPausing, {"=", "", "", "", "", "deleting"}},
      {S::kPaused, {"=", "resuming", "resuming", "paused", "", "deleting"}},
      {S::kPauseFailed, {"pausing", "", "", "", "", "deleting"}},
      {S::kResuming, {"pausing", "=", "=", "resuming", "", "deleting"}},
      {S::kResumeFailed, {"", "resuming", "resuming", "resume_failed", "", "deleting"}},
      {S::kDeleting, {"", "", "", "", "", "="}},
      {S::kDeleted, {"", "", "", "", "", "="}},
      {S::kDeleteFailed, {"", "", "", "", "", "deleting"}},
  };
  ASSERT_EQ(expected.size(), static_cast<std::size_t>(kTaskStates));
  for (const S state : all_states()) {
    for (const A action : all_actions()) {
      const auto cell = expected.at(state).at(static_cast<std::size_t>(action));
      const auto found = verdict(state, action);
      const auto kind = cell.empty()  ? Verdict::Kind::kRefuse
                        : cell == "=" ? Verdict::Kind::kAlready
                                      : Verdict::Kind::kGo;
      EXPECT_EQ(found.kind, kind) << name_of(state) << " " << name_of(action);
      if (kind == Verdict::Kind::kGo) {
        EXPECT_EQ(name_of(found.next), cell) << name_of(state) << " " << name_of(action);
      } else {
        EXPECT_EQ(found.next, state) << "what is not done changes nothing";
      }
    }
  }
}

TEST(TaskState, SluiceMovesOnlyWhatHasWork) {
  for (const S from : all_states()) {
    bool moves = false;
    for (const S to : all_states()) {
      moves = moves || may_become(from, to);
      if (from == to) {
        EXPECT_FALSE(may_become(from, to)) << name_of(from);
      }
    }
    EXPECT_EQ(moves, has_work(from)) << name_of(from);
  }
}

// No state is a trap: by what Sluice does and what users may ask for, each can be deleted, and
// all but the end of a deletion can run again.
TEST(TaskState, NothingIsATrap) {
  const auto reaches = [](S from, S goal) {
    std::set<S> seen{from};
    std::vector<S> open{from};
    while (!open.empty()) {
      const S state = open.back();
      open.pop_back();
      if (state == goal) return true;
      std::vector<S> next;
      for (const S to : all_states()) {
        if (may_become(state, to)) next.push_back(to);
      }
      for (const A action : all_actions()) {
        const auto found = verdict(state, action);
        if (found.kind == Verdict::Kind::kGo) next.push_back(found.next);
      }
      for (const S to : next) {
        if (seen.insert(to).second) open.push_back(to);
      }
    }
    return false;
  };
  for (const S state : all_states()) {
    EXPECT_TRUE(reaches(state, S::kDeleted)) << name_of(state);
    const bool ends = state == S::kDeleting || state == S::kDeleted || state == S::kDeleteFailed;
    EXPECT_EQ(reaches(state, S::kRunning), !ends) << name_of(state);
    EXPECT_TRUE(state == S::kCreating || reaches(S::kCreating, state)) << name_of(state);
  }
}

}  // namespace
}  // namespace sluice::control
