// The part of Writer that gives a table what change events ask of it.
#include <fmt/format.h>

#include <utility>

#include "sink/writer.h"

namespace sluice::sink {

using postgres::Connection;
using postgres::Rows;
using postgres::TableInfo;
using std::chrono::steady_clock;

namespace {

// pg_advisory_xact_lock(classid, objid): the first says that it is about the structure of a table
// ("slui" in ASCII), the second which one.
constexpr std::int32_t kStructureLock = 0x736c7569;

std::string lock_table_name(const postgres::TableName& name) {
  return fmt::format("SELECT pg_advisory_xact_lock({}, hashtext({}))", kStructureLock,
                     Connection::literal(name.name));
}

std::set<std::string, std::less<>> texts_of(const Rows& rows) {
  std::set<std::string, std::less<>> texts;
  for (int row = 0; row < rows.size(); ++row) texts.emplace(rows.text(row, 0));
  return texts;
}

std::string absent_types_sql() {
  std::string names;
  for (const auto& name : extension_types()) {
    names += fmt::format("{}({})", names.empty() ? "" : ", ", Connection::literal(name));
  }
  return fmt::format("SELECT name FROM (VALUES {}) AS types (name) WHERE to_regtype(name) IS NULL",
                     names);
}

Error explained(Error error, const std::string& sql) {
  if (error.code == "42501") {
    error.message += fmt::format(" (for: {})", sql);
    error.remedy =
        "Only a table's owner may alter it, and only who has CREATE on a schema may make a table "
        "there. Grant it, or have the statement run: the task waits, and then goes on.";
  } else if (error.remedy.empty()) {
    error.remedy = fmt::format("It was: {}", sql);
  }
  return error;
}

}  // namespace

Async<Result<Writer::Altered>> Writer::alter(postgres::TableName name, postgres::Oid oid,
                                             Demand demand, task::SchemaChanges schema_changes) {
  Async<Result<bool>> connecting = connect();
  auto connected = co_await connecting;
  if (!connected) co_return fail(connected.error());
  Async<Result<Altered>> altering =
      alter_open(std::move(name), oid, std::move(demand), schema_changes);
  auto altered = co_await altering;
  if (!altered) {
    Async<bool> rolling = roll_back();
    co_await rolling;
  }
  co_return altered;
}

Async<Result<Writer::Altered>> Writer::alter_open(postgres::TableName name, postgres::Oid oid,
                                                  Demand demand,
                                                  task::SchemaChanges schema_changes) {
  // Whoever waits for this lock holds up all who come after: so it does not wait for long. What
  // rewrites the table may take its time once it has it.
  connection_.set_deadline(steady_clock::now() + kServerPatience);
  Async<Result<std::vector<Rows>>> opening = connection_.query(fmt::format(
      "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT set_config('lock_timeout', '2s', true), "
      "set_config('statement_timeout', '0', true), {}; {}; {}",
      Connection::idle_timeout("30s"), lock_table_name(name), absent_types_sql()));
  auto opened = co_await opening;
  if (!opened) co_return fail(opened.error());
  const auto absent = texts_of(opened->back());
  Async<Result<TableInfo>> finding = find_table(connection_, name, config_.handle.schema);
  auto table = co_await finding;
  if (!table) co_return fail(table.error());
  if (oid != 0 && table->oid != oid) {
    co_return fail(
        Domain::kLedger, "another_table",
        fmt::format("{} was dropped, or is another table than when the task began",
                    table->qualified()),
        "If that is meant, start with --adopt to go on, or with --reset to begin again.");
  }
  Chosen chosen =
      choose(schema_changes, alterations(*table, demand, connection_.server_version(), absent));
  if (!chosen.enough) {
    co_return fail(
        Domain::kMessage, "schema_change",
        fmt::format("messages ask for more than {} has, and on this server that takes a "
                    "rewrite of the table",
                    table->qualified()),
        fmt::format("Run: {} Then start again. Or set sync.schema_changes: apply_all.",
                    to_sql(alterations(*table, demand, connection_.server_version(), absent))));
  }
  connection_.set_deadline(std::nullopt);
  for (const auto& alteration : chosen.now) {
    Async<Result<std::vector<Rows>>> altering = connection_.query(alteration.sql);
    auto done = co_await altering;
    if (!done) co_return fail(explained(done.error(), alteration.sql));
  }
  connection_.set_deadline(steady_clock::now() + kServerPatience);
  if (!chosen.now.empty()) {
    finding = find_table(connection_, std::move(name), config_.handle.schema);
    table = co_await finding;
    if (!table) co_return fail(table.error());
  }
  Async<Result<std::vector<Rows>>> committing = connection_.query("COMMIT");
  auto committed = co_await committing;
  if (!committed) co_return fail(committed.error());
  co_return Altered{std::move(*table), std::move(chosen.now)};
}

}  // namespace sluice::sink
