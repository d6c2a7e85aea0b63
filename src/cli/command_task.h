// What the files of `sluice task` share. Internal to cli.
#pragma once

#include <string>

#include "cli/remote.h"

namespace sluice::cli {

struct WaitOptions {
  bool wait = false;
  std::int64_t timeout_seconds = 600;
};
void add_wait_options(CLI::App& command, WaitOptions& options);

// Says what has become of the task that a call answered with; with --wait first follows it, step by
// step, until its state is one that lasts. Returns kFailed if that is one of failure, or time is
// up.
int end_change(Session& session, const client::Answer& answer, const WaitOptions& wait,
               std::string_view what);

void add_task_change_commands(CLI::App& task, Remote& remote);

}  // namespace sluice::cli
