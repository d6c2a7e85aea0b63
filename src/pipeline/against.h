// verify --against: a task's target compared with the table that its change events come from, row
// by row, and repaired. The ledger is not touched, the group is not joined. Blocking.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "compare/match.h"
#include "compare/repair.h"
#include "compare/walk.h"
#include "pipeline/environment.h"

namespace sluice::pipeline {

struct AgainstProgress {
  std::string doing;
  std::int64_t rows = 0;   // of the source, compared
  std::int64_t total = 0;  // of the source, at the start
  std::int64_t differing = 0;
};

struct AgainstOptions {
  std::string uri;                   // of the source: holds secrets
  std::string table;                 // of the source; empty: named as the target
  std::vector<std::string> ignored;  // columns
  // A difference counts if it is there still when the task has applied what the topics held as it
  // was found, and neither side of the row has changed for so long.
  std::chrono::milliseconds settle{10'000};
  std::size_t listed = 100;  // so many differences are returned
  bool repair = false;
  compare::WalkSizes sizes;
  std::function<void(const AgainstProgress&)> on_progress;
};

struct AgainstReport {
  std::string source, target;  // tables, as their servers name them
  compare::Match match;
  std::vector<std::string> columns;  // a difference's columns, by number
  std::int64_t source_rows = 0;      // counted at the start
  std::int64_t target_rows = 0;
  // Rows that differ; of a table without a key, different rows that one side has more often.
  std::int64_t missing = 0;
  std::int64_t extra = 0;
  std::int64_t different = 0;
  // Rows that differed every time, and changed all the time: nothing can be said of them yet.
  std::int64_t unsettled = 0;
  std::vector<compare::Difference> differences;  // the first of those that count
  compare::Repaired repaired;
  // Rows that were to be repaired. They are as the source had them.
  std::int64_t mended = 0;
  bool behind = false;    // the task had not applied what the topics held, and did not go on
  bool finished = false;  // false: stopped from outside
  // Why the waiting is not sure: Kafka cannot be reached.
  std::vector<Error> problems;

  bool same() const {
    return finished && missing + extra + different - mended == 0 && unsettled == 0;
  }
};

Result<AgainstReport> compare_with_source(const TaskSource& source, const AgainstOptions& options,
                                          StopSignal stop);

}  // namespace sluice::pipeline
