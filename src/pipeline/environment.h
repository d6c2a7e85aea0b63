// Environment: what a run and a check are told by their caller (cli, later control): the task, how
// to read its secrets again, and how to be stopped.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>

#include "base/result.h"
#include "task/task.h"

namespace sluice::pipeline {

struct TaskSource {
  task::Task task;
  // Read again at every new connection.
  std::function<Result<std::string>()> conninfo;
  std::function<Result<std::map<std::string, std::string>>()> kafka_properties;
};

// A file descriptor that becomes readable when the work shall end; -1: never. Waiting for it is how
// everything here sleeps.
class StopSignal {
 public:
  explicit StopSignal(int fd) : fd_(fd) {}
  // True if the stop came within `time`.
  bool wait(std::chrono::milliseconds time) const;
  bool raised() const { return wait(std::chrono::milliseconds(0)); }
  int fd() const { return fd_; }

 private:
  int fd_;
};

}  // namespace sluice::pipeline
