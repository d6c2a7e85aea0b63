#include "pipeline/look.h"

#include <fmt/format.h>

#include <algorithm>

#include "pipeline/open.h"
#include "pipeline/open_group.h"
#include "sink/structure.h"

namespace sluice::pipeline {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds kTimeout{10'000};
constexpr seconds kQueryTime{60};

}  // namespace

Result<SourceLook> reach_source(const TaskSource& source, const std::string& client_id) {
  SourceLook look;
  auto properties = source.kafka_properties();
  if (!properties) return fail(properties.error());
  auto admin = kafka::Admin::create(*properties, client_id);
  if (!admin) return fail(admin.error());
  look.admin = std::move(*admin);
  auto cluster = look.admin->cluster_id(kTimeout);
  if (!cluster) return fail(cluster.error());
  look.cluster_id = std::move(*cluster);
  auto topics = look.admin->topics(source.task.source.topics, kTimeout);
  if (!topics) return fail(topics.error());
  look.topics = std::move(*topics);
  auto watermarks = read_watermarks(*look.admin, look.topics);
  if (!watermarks) return fail(watermarks.error());
  look.watermarks = std::move(*watermarks);
  return look;
}

Result<postgres::TableInfo> find_table(postgres::Connection& db, const task::Task& task,
                                       const postgres::TableName& name) {
  if (!task.makes_tables()) return db.drive(postgres::read_table(db, name));
  return db.drive(sink::find_table(db, name, task.target.ledger_schema));
}

Result<TargetLook> reach_target(const TaskSource& source, const std::string& application_name) {
  TargetLook look;
  auto conninfo = source.conninfo();
  if (!conninfo) return fail(conninfo.error());
  auto endpoint = postgres::endpoint_of(*conninfo);
  if (!endpoint) return fail(endpoint.error());
  look.endpoint = std::move(*endpoint);
  look.handle.schema = source.task.target.ledger_schema;
  look.handle.task = source.task.name;
  look.connection = std::make_unique<postgres::Connection>();
  postgres::Connection& db = *look.connection;
  auto connected = db.drive(db.connect(*conninfo, application_name, kTimeout));
  if (!connected) {
    return fail(postgres::explain_connection_failure(connected.error(), look.endpoint, {}));
  }
  auto served = serves(source.task.target.level, db.server_version());
  if (!served) return fail(served.error());
  db.set_deadline(steady_clock::now() + kQueryTime);
  if (!source.task.has_many_tables()) {
    auto name = postgres::parse_table_name(source.task.target.table);
    if (!name) return fail(name.error());
    auto table = find_table(db, source.task, *name);
    if (!table) return fail(table.error());
    look.table = std::move(*table);
    if (auto apart = apart_from_ledger(look.table, look.handle.schema); !apart) {
      return fail(apart.error());
    }
  }
  auto zone = read_zone(db, source.task.sync.time_zone);
  if (!zone) return fail(zone.error());
  look.zone = std::move(*zone);
  return look;
}

tl::expected<sink::BatchBuilder, std::vector<Error>> start_builder(
    const TargetLook& target, const task::Task& task, sink::BatchBuilder::Options options) {
  using Errors = std::vector<Error>;
  auto builder = sink::BatchBuilder::create(task, options);
  if (!builder) return tl::unexpected(Errors{builder.error()});
  if (task.has_many_tables()) return std::move(*builder);
  auto plan = sink::compile(task, target.table, target.zone);
  if (!plan) return tl::unexpected(std::move(plan.error()));
  auto set = builder->set_table(0, std::move(*plan));
  if (!set) return tl::unexpected(Errors{set.error()});
  return std::move(*builder);
}

Result<sink::BatchBuilder::Added> add_record(postgres::Connection& db, const task::Task& task,
                                             std::shared_ptr<const postgres::TimeZone> zone,
                                             sink::BatchBuilder& builder, sink::Batch& batch,
                                             sink::Records& records, std::uint16_t partition) {
  while (true) {
    const auto added = builder.add(batch, records, partition);
    if (added != sink::BatchBuilder::Added::kNewTable) return added;
    db.set_deadline(steady_clock::now() + kQueryTime);
    auto table = find_table(db, task, builder.wanted());
    if (!table) return fail(table.error());
    if (auto apart = apart_from_ledger(*table, task.target.ledger_schema); !apart) {
      return fail(apart.error());
    }
    auto plan = sink::compile(task, std::move(*table), zone, builder.tables());
    if (!plan) return fail(plan.error().front());
    if (auto set = builder.set_table(builder.tables(), std::move(*plan)); !set) {
      return fail(set.error());
    }
  }
}

Result<bool> serves(task::Level level, int server_version) {
  const bool current = level == task::Level::kCurrent;
  if (server_version >= (current ? 120000 : 90400)) return true;
  const std::string version =
      server_version >= 100000
          ? std::to_string(server_version / 10000)
          : fmt::format("{}.{}", server_version / 10000, server_version / 100 % 100);
  return fail(
      Domain::kPostgres, "0A000",
      fmt::format("the server is PostgreSQL {}, older than {}", version, current ? "12" : "9.4"),
      current ? "Set target.level: postgresql_9_4: it serves 9.4 and later."
              : "Sluice writes to PostgreSQL 9.4 and later.");
}

Result<bool> apart_from_ledger(const postgres::TableInfo& table, const std::string& schema) {
  if (table.schema.starts_with("pg_") || table.schema == "information_schema") {
    return fail(Domain::kDocument, "target.table",
                fmt::format("{} is PostgreSQL's own, or lasts for a session", table.qualified()),
                "Name a table of yours, with its schema.");
  }
  if (table.schema != schema) return true;
  return fail(
      Domain::kDocument, "target.table",
      fmt::format("{} lies in the ledger's schema (target.ledger_schema)", table.qualified()),
      "That schema is the ledger's alone: ALTER TABLE ... SET SCHEMA public, or choose "
      "another target.ledger_schema.");
}

ledger::Identity identity_of(const std::string& cluster_id, const TargetLook& target,
                             const postgres::TableInfo& table) {
  ledger::Identity identity;
  identity.cluster_id = cluster_id;
  identity.host = target.endpoint.host;
  identity.port = target.endpoint.port;
  identity.database = target.endpoint.database;
  if (table.oid != 0) identity.tables[table.qualified()] = table.oid;
  return identity;
}

Result<LedgerLook> read_past(TargetLook& target, const SourceLook& source, const task::Task& task) {
  if (!task.keeps_ledger()) return read_group(source, task);
  LedgerLook past;
  postgres::Connection& db = *target.connection;
  db.set_deadline(steady_clock::now() + kQueryTime);
  auto ready = db.drive(ledger::inspect(db, target.handle.schema));
  if (!ready) return fail(ready.error());
  if (!*ready) return past;
  auto row = db.drive(ledger::read_task(db, target.handle));
  if (!row) return fail(row.error());
  if (!*row) return past;
  const std::string& cluster =
      source.cluster_id.empty() ? (*row)->identity.cluster_id : source.cluster_id;
  const auto same =
      same_task(target.handle, (*row)->identity, identity_of(cluster, target, target.table));
  if (!same) return fail(same.error());
  target.handle.uid = (*row)->uid;
  auto rows = db.drive(ledger::read_ledger(db, target.handle));
  if (!rows) return fail(rows.error());
  past.task = std::move(*row);
  past.rows = std::move(*rows);
  return past;
}

Result<Positions> next_positions(const SourceLook& source, const LedgerLook& past,
                                 const task::Task& task) {
  if (!past.task) return start_positions(*source.admin, task, source.topics, source.watermarks);
  Positions positions;
  for (const auto& [key, marks] : source.watermarks) positions[key] = marks.low;
  for (const auto& row : past.rows) {
    const auto found = positions.find(row.key);
    if (found != positions.end()) found->second = std::max(found->second, row.next_offset);
  }
  return positions;
}

}  // namespace sluice::pipeline
