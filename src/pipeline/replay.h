// Dead letters of a task, from the outside: listing and purging need only the target, replaying
// writes them by the task's own mapping, as rows of the same table.
//
// A replay is exactly once: rows are written and their letters deleted in one transaction, and
// letters that another replay has in hand are left to it. Letters that fail again stay, with their
// new reason. What came after them is in the table already: an upsert of an old letter replaces
// what is newer, unless sync.only_if_newer says which is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "ledger/dead_letters.h"
#include "pipeline/environment.h"

namespace sluice::pipeline {

// `task_name`: whose letters; empty: those of the source's own task.
Result<std::vector<ledger::LetterCause>> list_dead_letters(const TaskSource& source,
                                                           const std::string& task_name,
                                                           const ledger::LetterFilter& filter);
Result<std::vector<ledger::KeptLetter>> show_dead_letters(const TaskSource& source,
                                                          const std::string& task_name,
                                                          const ledger::LetterFilter& filter,
                                                          std::int64_t limit);
Result<std::int64_t> purge_dead_letters(const TaskSource& source, const std::string& task_name,
                                        const ledger::LetterFilter& filter);

struct ReplayReport {
  std::int64_t applied = 0;  // letters that are rows now, or that make none; they are gone
  std::int64_t failed = 0;   // letters that stay
  std::int64_t left = 0;     // that fit the filter and are in the hands of others, or came later
  bool task_known = false;   // the ledger has a task of that name
};
// On an error, what earlier transactions have applied stays applied; `report` counts it.
Result<bool> replay_dead_letters(const TaskSource& source, const std::string& task_name,
                                 const ledger::LetterFilter& filter, ReplayReport& report,
                                 StopSignal stop);

}  // namespace sluice::pipeline
