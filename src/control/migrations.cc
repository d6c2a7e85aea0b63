#include "control/migrations.h"

#include <fmt/format.h>

#include <chrono>

#include "postgres/catalog.h"
#include "postgres/connection.h"

namespace sluice::control {
namespace {

using namespace std::chrono_literals;
using postgres::Connection;
using postgres::Rows;

// Held by whoever migrates, for the transaction: "sluice" in ASCII.
constexpr std::int64_t kLock = 0x736c75696365;

Result<Rows> run(Connection& connection, std::string sql) {
  auto rows = connection.drive(connection.query(std::move(sql)));
  if (!rows) return fail(rows.error());
  return rows->empty() ? Rows() : rows->back();
}

class Migrator {
 public:
  Migrator(Connection& connection, const std::string& schema)
      : connection_(connection), schema_(schema), quoted_(Connection::identifier(schema)) {}

  Result<Migrated> migrate() {
    // Statements of this size come back within seconds; waiting for another migrator may not.
    connection_.set_deadline(std::chrono::steady_clock::now() + 120s);
    auto begun =
        run(connection_,
            fmt::format("BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;"
                        " SELECT pg_advisory_xact_lock({})",
                        kLock));
    if (!begun) return fail(begun.error());
    auto version = current();
    if (!version) return fail(version.error());
    const int newest = migrations().back().number;
    if (*version > newest) return fail(newer(*version, newest));
    for (const auto& migration : migrations()) {
      if (migration.number <= *version) continue;
      auto applied = run(
          connection_,
          fmt::format("{}; INSERT INTO {}.version (number, program) VALUES ({}, {})", migration.sql,
                      quoted_, migration.number, Connection::literal(SLUICE_VERSION)));
      if (!applied) return fail(applied.error());
    }
    auto ended = run(connection_, "COMMIT");
    if (!ended) return fail(ended.error());
    return Migrated{*version, newest};
  }

 private:
  // The number that the schema is at; makes the schema, with its table of versions, if there is
  // none.
  Result<int> current() {
    auto there = run(connection_, fmt::format("SELECT 1 FROM pg_namespace WHERE nspname = {}",
                                              Connection::literal(schema_)));
    if (!there) return fail(there.error());
    if (there->size() == 0) {
      auto made = run(connection_, fmt::format("CREATE SCHEMA {}", quoted_));
      if (!made) return fail(explain(made.error()));
    }
    auto table =
        run(connection_,
            fmt::format("SELECT to_regclass({}) IS NOT NULL, EXISTS (SELECT 1 FROM pg_class c"
                        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {})",
                        Connection::literal(quoted_ + ".version"), Connection::literal(schema_)));
    if (!table) return fail(table.error());
    if (!table->boolean(0, 0)) {
      if (table->boolean(0, 1)) return fail(foreign());
      auto made =
          run(connection_,
              fmt::format("CREATE TABLE {}.version (number integer PRIMARY KEY, program text NOT"
                          " NULL, at timestamptz NOT NULL DEFAULT now())",
                          quoted_));
      if (!made) return fail(explain(made.error()));
    }
    auto path = run(connection_, fmt::format("SET LOCAL search_path = {}, pg_temp", quoted_));
    if (!path) return fail(path.error());
    auto number =
        run(connection_, fmt::format("SELECT coalesce(max(number), 0) FROM {}.version", quoted_));
    if (!number) return fail(explain(number.error()));
    return static_cast<int>(number->integer(0, 0));
  }

  Error newer(int found, int known) const {
    return fail(Domain::kPostgres, "control_newer",
                fmt::format(
                    "the control database's schema {} is at migration {}; this program knows "
                    "them up to {}",
                    quoted_, found, known),
                "Start the newer version of Sluice that was here before: there is no way back.")
        .value();
  }
  Error foreign() const {
    return fail(Domain::kPostgres, "control_foreign",
                fmt::format("schema {} has tables, but none of them is Sluice's table of versions",
                            quoted_),
                "Name another schema in database.schema, or another database.")
        .value();
  }
  // Rights that are missing, said with what would give them.
  Error explain(Error error) const {
    if (error.code != "42501") return error;
    error.message =
        fmt::format("this role may not make or use the schema {} of the control database", quoted_);
    error.remedy = fmt::format(
        "As its owner: CREATE SCHEMA {} AUTHORIZATION the role that Sluice "
        "logs in as; or GRANT CREATE ON DATABASE.",
        quoted_);
    return error;
  }

  Connection& connection_;
  const std::string schema_, quoted_;
};

}  // namespace

Result<Migrated> migrate(const std::string& conninfo, const std::string& schema) {
  Connection connection;
  connection.set_deadline(std::chrono::steady_clock::now() + 10s);
  auto connected = connection.drive(connection.connect(conninfo, "sluice migrate", 10s));
  if (!connected) {
    const auto endpoint = postgres::endpoint_of(conninfo);
    return fail(endpoint ? postgres::explain_connection_failure(connected.error(), *endpoint, {})
                         : connected.error());
  }
  return Migrator(connection, schema).migrate();
}

}  // namespace sluice::control
