// The states of a task, and what may follow what: the one table. docs/reference/states.md is made
// from it, the API decides by it, tests walk it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sluice::control {

// Numbers in brackets: those of the public DIP API; none for ours.
enum class TaskState : std::uint8_t {
  kCreating,      // (0) its creation steps are under way
  kCreateFailed,  // (-1) one of them failed: rebuild, or delete
  kRunning,       // (1)
  kRetrying,      // runs, and waits for Kafka or PostgreSQL to come back
  kFailed,        // ended by itself: at a message (retain), or by an error that no waiting heals
  kPausing,       // (5)
  kPaused,        // (6)
  kPauseFailed,   // (7) did not stop in time: it may still be at work
  kResuming,      // (8)
  kResumeFailed,  // (9) could not start
  kDeleting,      // (2)
  kDeleted,       // (3) only events and audit know it
  kDeleteFailed,  // (4) the target could not be cleaned
};
constexpr int kTaskStates = 13;

std::string_view name_of(TaskState state);  // "create_failed"
std::string_view title_in_chinese(TaskState state);
std::optional<TaskState> task_state_of(std::string_view name);
// The number in the public DIP API; nothing for those it does not have.
std::optional<int> dip_number(TaskState state);

enum class TaskAction : std::uint8_t { kPause, kResume, kRestart, kEdit, kRebuild, kDelete };
constexpr int kTaskActions = 6;
std::string_view name_of(TaskAction action);

// What a user's action does in a state.
struct Verdict {
  enum class Kind : std::uint8_t {
    kGo,       // the task goes to `next`
    kAlready,  // it is there, or on its way: no error, nothing is done
    kRefuse,   // 409 wrong_state
  };
  Kind kind = Kind::kRefuse;
  TaskState next = TaskState::kFailed;
};
Verdict verdict(TaskState state, TaskAction action);

// Whether Sluice itself may move a task so (not a user).
bool may_become(TaskState from, TaskState to);

// The state has work to be done by a worker: steps, a run, an end.
bool has_work(TaskState state);

std::string states_markdown();

}  // namespace sluice::control
