// Opening a task whose positions the consumer group in Kafka keeps (delivery: at_least_once): no
// ledger, no identity, no halt. Blocking, with time-outs of some ten seconds.
#pragma once

#include "base/result.h"
#include "pipeline/look.h"
#include "pipeline/open.h"

namespace sluice::pipeline {

// The group of such a task: source.group, or "sluice-<name>".
std::string group_of(const task::Task& task);

// As open_task(). The first time the start positions are committed for the group before anybody
// joins it, so that `latest` is resolved once.
Result<OpenedTask> open_with_group(const TaskSource& source, OpenOptions options);

// What the group knows, in the form of a ledger: nothing if it has committed nowhere yet.
Result<LedgerLook> read_group(const SourceLook& source, const task::Task& task);

}  // namespace sluice::pipeline
