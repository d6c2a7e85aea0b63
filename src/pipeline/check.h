// check: everything that can be known about a task before its first row. Nothing is written.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "pipeline/environment.h"
#include "pipeline/open.h"

namespace sluice::pipeline {

struct Finding {
  enum class Level : std::uint8_t { kOk, kWarning, kError };
  Level level = Level::kOk;
  std::string
      step;  // "kafka", "topics", "group", "postgres", "table", "columns", "key", "ledger" ...
  std::string subject;  // what it is about: a topic, a column; may be empty
  std::string message;
  std::string remedy;  // may be empty for kOk
  // The error comes from surroundings that may heal by themselves: `run` waits.
  bool environment = false;
};
std::string_view name_of(Finding::Level level);

// All findings in the order in which they are made; `on_finding` (optional) sees each at once. What
// the options of a run allow is no error. Later steps that cannot be made because an earlier one
// failed are left out. Blocking, at most about a minute.
std::vector<Finding> check(const TaskSource& source,
                           const std::function<void(const Finding&)>& on_finding = {},
                           OpenOptions options = {});

}  // namespace sluice::pipeline
