// Opening a task: reach Kafka and PostgreSQL, compare who it is with who it was, find or make its
// positions, notice what happened to its topics meanwhile. Blocking; the supervisor's thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "kafka/admin.h"
#include "ledger/ledger.h"
#include "pipeline/environment.h"
#include "pipeline/positions.h"
#include "postgres/catalog.h"
#include "postgres/connection.h"
#include "postgres/encode_zone.h"

namespace sluice::pipeline {

struct OpenOptions {
  bool adopt = false;      // this cluster, target or table is the task's from now on
  bool reset = false;      // forget all positions, begin again at `source.start`
  bool take_over = false;  // raise the epoch: processes that run another document end
};

struct OpenedTask {
  ledger::Handle handle;
  ledger::TaskRow row;
  postgres::TableInfo table;
  std::shared_ptr<const postgres::TimeZone> zone;  // of sync.time_zone; nullptr for UTC
  std::string group;
  std::map<ledger::Key, std::int64_t> positions;        // of the ledger
  std::vector<kafka::TopicInfo> topics;                 // when it was opened
  std::map<ledger::Key, kafka::Watermarks> watermarks;  // when it was opened
  std::vector<std::string>
      notes;  // for the operator: halt cleared, positions created, gap recorded
  std::unique_ptr<kafka::Admin> admin;
  std::unique_ptr<postgres::Connection> connection;  // the supervisor's own
};

// Whether the ledger's task is the one that runs now, in the same place: cluster, database, tables.
// Documents are not compared. Error: what is different, and what --adopt and --reset would do.
Result<bool> same_task(const ledger::Handle& handle, const ledger::Identity& was,
                       const ledger::Identity& now);

// Whether an error before the first row may heal by itself. Stricter than while running: a refused
// login or a missing privilege is somebody's mistake then, not a passing state.
bool worth_waiting(const Error& error);

Result<OpenedTask> open_task(const TaskSource& source, OpenOptions options);

}  // namespace sluice::pipeline
