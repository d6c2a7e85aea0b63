#include "control/task_state.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/result.h"

namespace sluice::control {
namespace {

using S = TaskState;
using A = TaskAction;

struct StateRow {
  S state;
  std::string_view name, chinese;
  std::optional<int> dip;
  bool work;
  // Where Sluice itself takes it.
  std::vector<S> follows;
  std::string_view what;
};

const std::array<StateRow, kTaskStates>& states() {
  static const std::array<StateRow, kTaskStates> kRows{{
      {S::kCreating,
       "creating",
       "创建中",
       0,
       true,
       {S::kRunning, S::kCreateFailed},
       "Its creation goes through named steps, with percent."},
      {S::kCreateFailed,
       "create_failed",
       "创建失败",
       -1,
       false,
       {},
       "A step of its creation failed; `reason` says which, and what to do. Rebuild it, or delete "
       "it."},
      {S::kRunning,
       "running",
       "运行中",
       1,
       true,
       {S::kRetrying, S::kFailed},
       "Messages become rows."},
      {S::kRetrying,
       "retrying",
       "重试中",
       std::nullopt,
       true,
       {S::kRunning, S::kFailed},
       "It waits for Kafka or PostgreSQL to come back, and tries again by itself."},
      {S::kFailed,
       "failed",
       "异常",
       std::nullopt,
       false,
       {},
       "It has ended: at a message (`on_failure: retain`), or by an error that waiting does not "
       "heal."},
      {S::kPausing,
       "pausing",
       "暂停中",
       5,
       true,
       {S::kPaused, S::kPauseFailed},
       "The batch in flight is committed or dropped, then no more is taken."},
      {S::kPaused, "paused", "已暂停", 6, false, {}, "Nothing is read or written; positions stay."},
      {S::kPauseFailed,
       "pause_failed",
       "暂停失败",
       7,
       true,
       {S::kPaused},
       "It did not stop in time and may still be at work; Sluice goes on trying."},
      {S::kResuming,
       "resuming",
       "恢复中",
       8,
       true,
       {S::kRunning, S::kRetrying, S::kResumeFailed},
       "It is being opened, and goes on where the ledger says."},
      {S::kResumeFailed,
       "resume_failed",
       "恢复失败",
       9,
       false,
       {},
       "It could not be opened; `reason` says why."},
      {S::kDeleting,
       "deleting",
       "删除中",
       2,
       true,
       {S::kDeleted, S::kDeleteFailed},
       "It stops; its rows stay, its ledger goes if that was asked for."},
      {S::kDeleted, "deleted", "已删除", 3, false, {}, "Gone from lists; its name is free again."},
      {S::kDeleteFailed,
       "delete_failed",
       "删除失败",
       4,
       false,
       {},
       "Its ledger could not be removed; delete it again, or without the ledger."},
  }};
  return kRows;
}

const StateRow& row(S state) { return states()[static_cast<std::size_t>(state)]; }

struct ActionRow {
  A action;
  std::string_view name;
  S next;
  std::vector<S> from;     // goes to `next`
  std::vector<S> already;  // is there or on its way
};

const std::array<ActionRow, kTaskActions>& actions() {
  static const std::array<ActionRow, kTaskActions> kRows{{
      {A::kPause,
       "pause",
       S::kPausing,
       {S::kRunning, S::kRetrying, S::kResuming, S::kPauseFailed},
       {S::kPausing, S::kPaused}},
      {A::kResume,
       "resume",
       S::kResuming,
       {S::kPaused, S::kResumeFailed},
       {S::kResuming, S::kRunning, S::kRetrying}},
      {A::kRestart,
       "restart",
       S::kResuming,
       {S::kFailed, S::kPaused, S::kResumeFailed},
       {S::kResuming}},
      // Stays where it is, with a new revision: running tasks are opened again with it.
      {A::kEdit, "edit", S::kResuming, {S::kRunning, S::kRetrying, S::kResuming}, {}},
      {A::kRebuild, "rebuild", S::kCreating, {S::kCreateFailed}, {S::kCreating}},
      {A::kDelete,
       "delete",
       S::kDeleting,
       {S::kCreating, S::kCreateFailed, S::kRunning, S::kRetrying, S::kFailed, S::kPausing,
        S::kPaused, S::kPauseFailed, S::kResuming, S::kResumeFailed, S::kDeleteFailed},
       {S::kDeleting, S::kDeleted}},
  }};
  return kRows;
}

bool has(const std::vector<S>& list, S state) {
  return std::find(list.begin(), list.end(), state) != list.end();
}

}  // namespace

std::string_view name_of(TaskState state) { return row(state).name; }
std::string_view title_in_chinese(TaskState state) { return row(state).chinese; }
std::optional<int> dip_number(TaskState state) { return row(state).dip; }
bool has_work(TaskState state) { return row(state).work; }

std::optional<TaskState> task_state_of(std::string_view name) {
  for (const auto& each : states()) {
    if (each.name == name) return each.state;
  }
  return std::nullopt;
}

std::string_view name_of(TaskAction action) {
  return actions()[static_cast<std::size_t>(action)].name;
}

Verdict verdict(TaskState state, TaskAction action) {
  const auto& rule = actions()[static_cast<std::size_t>(action)];
  if (has(rule.from, state)) return {Verdict::Kind::kGo, rule.next};
  if (has(rule.already, state)) return {Verdict::Kind::kAlready, state};
  // A task at rest takes a new revision and stays at rest.
  const bool rests = state == S::kPaused || state == S::kFailed || state == S::kCreateFailed ||
                     state == S::kResumeFailed;
  if (action == A::kEdit && rests) return {Verdict::Kind::kGo, state};
  return {Verdict::Kind::kRefuse, state};
}

bool may_become(TaskState from, TaskState to) { return has(row(from).follows, to); }

std::string states_markdown() {
  std::string out =
      "# States of a task\n\n"
      "Made from `src/control/task_state.cc`. The number is that of the public DIP API.\n\n"
      "| state | 中文 | number | what it means | by itself to |\n|---|---|---|---|---|\n";
  for (const auto& each : states()) {
    std::vector<std::string> follows;
    for (const S next : each.follows) follows.push_back(fmt::format("`{}`", name_of(next)));
    out += fmt::format("| `{}` | {} | {} | {} | {} |\n", each.name, each.chinese,
                       each.dip ? std::to_string(*each.dip) : "", each.what,
                       fmt::format("{}", fmt::join(follows, ", ")));
  }
  out +=
      "\n## Actions\n\n"
      "What an action makes of a state. `=`: it is there or on its way, no error, nothing is done. "
      "Empty: refused with 409 `wrong_state`.\n\n| state |";
  std::string rule = "|---|";
  for (const auto& each : actions()) {
    out += fmt::format(" {} |", each.name);
    rule += "---|";
  }
  out += '\n' + rule + '\n';
  for (const auto& each : states()) {
    out += fmt::format("| `{}` |", each.name);
    for (const auto& action : actions()) {
      const auto result = verdict(each.state, action.action);
      out += result.kind == Verdict::Kind::kRefuse ? " |"
             : result.kind == Verdict::Kind::kAlready
                 ? " = |"
                 : fmt::format(" `{}` |", name_of(result.next));
    }
    out += '\n';
  }
  return out;
}

}  // namespace sluice::control
