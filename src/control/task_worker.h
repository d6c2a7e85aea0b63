// TaskWorker: the thread that does what a task's state asks for: its creation steps, a run, its
// end. Internal to control.
//
// It reads the row, does what the state asks, and looks again; it ends when there is no work. What
// it was told to do lies in the row, so that the next process goes on where this one was killed.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "control/connections.h"
#include "control/database.h"
#include "control/events.h"
#include "control/task_store.h"
#include "pipeline/check.h"
#include "pipeline/run.h"

namespace sluice::control {

// The members of TaskRow::opening, all optional:
//   adopt, take_over   as of `sluice run`
//   start, epoch       restart from elsewhere: positions for every partition, {topic: {partition:
//                      offset}}, unless the ledger's epoch is no longer this one: then it was done
//   old                the document before an edit that leads to another ledger: its positions are
//                      taken over, if the new ledger does not know the task yet
struct TaskHouse {
  Database& database;
  Connections& connections;
  Events& events;
  std::string instance;           // names this process in the ledger's sessions
  std::function<void()> changed;  // wakes the loop; any thread
};

class TaskWorker {
 public:
  TaskWorker(TaskHouse& house, std::string id);
  ~TaskWorker();  // quit() and join
  TaskWorker(const TaskWorker&) = delete;
  TaskWorker& operator=(const TaskWorker&) = delete;

  // What it does right now.
  struct Live {
    int run = -1;  // of the row whose run is under way; -1: none is
    bool stopping = false;
    std::optional<pipeline::Progress> progress;
  };
  Live live() const;
  bool ended() const { return ended_; }

  // That run, if it is still under way, ends cleanly; then the row is looked at again.
  void stop_run(int run);
  void quit();  // a run ends cleanly, and so does the worker; the row stays as it is

 private:
  void work();
  std::optional<TaskRow> read();
  void create(TaskRow row);
  void run(TaskRow row);
  void pause(const TaskRow& row);
  void remove(const TaskRow& row);

  Answer<pipeline::TaskSource> prepare(const TaskRow& row, pipeline::OpenOptions& open);
  Answer<bool> carry_over(const TaskRow& row, pipeline::TaskSource& source);
  // Writes until the database takes it, or the process stops. Whether `row` was still at this run
  // and state; then it has the new one.
  bool move(const TaskRow& row, TaskState to, boost::json::value reason);
  void set_step(TaskRow& row, std::size_t step, std::string_view state, const std::string& message);
  void fail(const TaskRow& row, boost::json::object reason);
  bool wait(std::chrono::milliseconds time) const;  // false: quit

  TaskHouse& house_;
  const std::string id_;
  const int stop_event_;
  mutable std::mutex mutex_;
  Live live_;
  std::atomic<bool> quit_{false}, ended_{false};
  std::thread thread_;  // last
};

boost::json::object reason_of(const Error& error);
boost::json::object reason_of(const Problem& problem);
boost::json::object figures_of(const pipeline::Progress& progress);

}  // namespace sluice::control
