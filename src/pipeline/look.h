// look: what is known of a task's source and target once they were reached, before anything is
// written and without joining the group. An opening begins with it; preview, rehearse and verify
// have nothing else. Blocking, with time-outs of some ten seconds.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "kafka/admin.h"
#include "ledger/ledger.h"
#include "pipeline/environment.h"
#include "pipeline/positions.h"
#include "postgres/catalog.h"
#include "postgres/connection.h"
#include "sink/batch_builder.h"

namespace sluice::pipeline {

struct SourceLook {
  std::unique_ptr<kafka::Admin> admin;
  std::string cluster_id;
  std::vector<kafka::TopicInfo> topics;
  AllWatermarks watermarks;
};
Result<SourceLook> reach_source(const TaskSource& source, const std::string& client_id);

struct TargetLook {
  std::unique_ptr<postgres::Connection> connection;
  postgres::Endpoint endpoint;
  ledger::Handle handle;                           // without a uid
  postgres::TableInfo table;                       // none for a task of many tables
  std::shared_ptr<const postgres::TimeZone> zone;  // of sync.time_zone; nullptr for UTC
};
// A connection failure comes explained. Error if the table lies in the ledger's schema, or
// if the server is older than target.level allows.
Result<TargetLook> reach_target(const TaskSource& source, const std::string& application_name);

// The target's table. A mirror whose table messages may bring into being gets one with oid 0 where
// there is none.
Result<postgres::TableInfo> find_table(postgres::Connection& db, const task::Task& task,
                                       const postgres::TableName& name);

// The task's tables as they are met; the one of a task that has one is there already.
tl::expected<sink::BatchBuilder, std::vector<Error>> start_builder(
    const TargetLook& target, const task::Task& task, sink::BatchBuilder::Options options);
// BatchBuilder::add(), which reads tables that it wants through `db`. Error: of such a table.
Result<sink::BatchBuilder::Added> add_record(postgres::Connection& db, const task::Task& task,
                                             std::shared_ptr<const postgres::TimeZone> zone,
                                             sink::BatchBuilder& builder, sink::Batch& batch,
                                             sink::Records& records, std::uint16_t partition);

// Whether the server is one that target.level means.
Result<bool> serves(task::Level level, int server_version);

// The ledger's schema holds nothing but the ledger: a target in it would be granted, copied and
// dropped together with it.
Result<bool> apart_from_ledger(const postgres::TableInfo& table, const std::string& schema);

// Everything of an identity but the document's hash.
ledger::Identity identity_of(const std::string& cluster_id, const TargetLook& target,
                             const postgres::TableInfo& table);

// What the ledger knows of the task: nothing if it was never started, or there is no ledger yet.
// Error "identity" if its task of that name is another one; a source that was not reached is not
// compared. With delivery: at_least_once, where the group has committed.
struct LedgerLook {
  std::optional<ledger::TaskRow> task;
  std::vector<ledger::LedgerRow> rows;
};
Result<LedgerLook> read_past(TargetLook& target, const SourceLook& source, const task::Task& task);

// Where a run would begin now: the ledger's positions, `source.start` for a task that has none, 0
// for partitions that appeared since. What retention has removed is passed over.
Result<Positions> next_positions(const SourceLook& source, const LedgerLook& past,
                                 const task::Task& task);

}  // namespace sluice::pipeline
