// Finding or creating the ledger's schema.
#include <fmt/format.h>

#include "ledger/statements.h"

namespace sluice::ledger {
namespace {

// One row about the schema of that name, read without needing any right on it.
struct SchemaState {
  bool exists = false;
  std::string role;   // ours
  std::string owner;  // of the schema
  std::string database;
  bool may_create_schema = false;
  bool may_use = false;      // USAGE on the schema
  bool may_create = false;   // CREATE in the schema
  bool has_version = false;  // a table `version` with a column `layout`
  bool has_all = false;      // all our other tables and the view
  bool is_empty = false;     // no relation at all
};

// has_schema_privilege and the like take oids, so a schema that is dropped meanwhile gives NULL.
std::string select_schema(const std::string& schema) {
  return fmt::format(
      "SELECT n.oid IS NOT NULL, current_user, pg_catalog.pg_get_userbyid(n.nspowner),"
      " pg_catalog.current_database(),"
      " pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),"
      " coalesce(pg_catalog.has_schema_privilege(n.oid, 'USAGE'), false),"
      " coalesce(pg_catalog.has_schema_privilege(n.oid, 'CREATE'), false),"
      " EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid ="
      " c.oid WHERE c.relnamespace = n.oid AND c.relname = 'version' AND c.relkind = 'r'"
      " AND a.attname = 'layout' AND NOT a.attisdropped),"
      " (SELECT pg_catalog.count(*) = 5 FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid"
      " AND c.relkind IN ('r', 'v')"
      " AND c.relname IN ('task', 'ledger', 'dead_letter', 'gap', 'progress')),"
      " NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid)"
      " FROM (SELECT) AS one LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = {}",
      sql::literal(schema));
}

SchemaState read_schema(const postgres::Rows& row) {
  SchemaState found;
  found.exists = row.boolean(0, 0);
  found.role = row.text(0, 1);
  found.owner = row.text(0, 2);
  found.database = row.text(0, 3);
  found.may_create_schema = row.boolean(0, 4);
  found.may_use = row.boolean(0, 5);
  found.may_create = row.boolean(0, 6);
  found.has_version = row.boolean(0, 7);
  found.has_all = row.boolean(0, 8);
  found.is_empty = row.boolean(0, 9);
  return found;
}

tl::unexpected<Error> no_right(std::string message, std::string remedy) {
  return fail(Domain::kLedger, "ledger_no_right", std::move(message), std::move(remedy));
}

// Whether the tables must be created, or why neither that nor using them is possible.
Result<bool> must_create(const SchemaState& found, const std::string& schema) {
  const auto identifier = [](const std::string& name) {
    return postgres::Connection::identifier(name);
  };
  if (!found.exists && !found.may_create_schema) {
    return no_right(
        fmt::format("the ledger's schema \"{}\" does not exist in database \"{}\", and role \"{}\""
                    " may not create it",
                    schema, found.database, found.role),
        fmt::format("As a role that may: CREATE SCHEMA {} AUTHORIZATION {};", identifier(schema),
                    identifier(found.role)));
  }
  if (!found.exists) return true;
  if (found.has_version && found.has_all) {
    if (found.may_use) return false;
    return no_right(fmt::format("role \"{}\" may not use the ledger's schema \"{}\", which belongs"
                                " to role \"{}\"",
                                found.role, schema, found.owner),
                    fmt::format("As \"{}\": {}", found.owner, grant_sql(schema, found.role)));
  }
  if (!found.is_empty) {
    const bool half = found.has_version;
    return fail(
        Domain::kLedger, "ledger_foreign",
        half ? fmt::format("the schema \"{}\" in database \"{}\" is a ledger of which some of the"
                           " tables task, ledger, dead_letter, gap and progress are gone",
                           schema, found.database)
             : fmt::format("the schema \"{}\" in database \"{}\" exists, belongs to role \"{}\","
                           " and is not a ledger of Sluice (it has no table version)",
                           schema, found.database, found.owner),
        half ? "Restore them from a backup: they hold what is already applied."
             : "Choose another name with target.ledger_schema.");
  }
  if (found.may_create && found.may_use) return true;
  return no_right(fmt::format("role \"{}\" may not create tables in the ledger's empty schema"
                              " \"{}\", which belongs to role \"{}\"",
                              found.role, schema, found.owner),
                  fmt::format("As \"{}\": GRANT USAGE, CREATE ON SCHEMA {} TO {};", found.owner,
                              identifier(schema), identifier(found.role)));
}

// One row for each privilege that this role lacks on a table of the ledger.
std::string select_missing_privileges(const std::string& schema) {
  return fmt::format(
      "SELECT w.privilege, w.relation FROM (VALUES ('SELECT', 'version'), ('SELECT', 'progress'),"
      " ('SELECT', 'task'), ('INSERT', 'task'), ('UPDATE', 'task'), ('DELETE', 'task'),"
      " ('SELECT', 'ledger'), ('INSERT', 'ledger'), ('UPDATE', 'ledger'), ('DELETE', 'ledger'),"
      " ('SELECT', 'dead_letter'), ('INSERT', 'dead_letter'), ('SELECT', 'gap'),"
      " ('INSERT', 'gap')) AS w (privilege, relation)"
      " JOIN pg_catalog.pg_namespace n ON n.nspname = {}"
      " JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.relation"
      " WHERE NOT pg_catalog.has_table_privilege(c.oid, w.privilege)",
      sql::literal(schema));
}

Result<bool> judge_privileges(const postgres::Rows& missing, const SchemaState& found,
                              const std::string& schema) {
  if (missing.size() == 0) return true;
  std::string list;
  for (int i = 0; i < missing.size(); ++i) {
    list += fmt::format("{}{} on {}", i == 0 ? "" : ", ", missing.text(i, 0), missing.text(i, 1));
  }
  return no_right(fmt::format("role \"{}\" lacks rights on the ledger in schema \"{}\", which"
                              " belongs to role \"{}\": {}",
                              found.role, schema, found.owner, list),
                  fmt::format("As \"{}\": {}", found.owner, grant_sql(schema, found.role)));
}

Result<bool> judge_version(const postgres::Rows& version, const std::string& schema) {
  if (version.size() == 1 && version.integer(0, 0) == sql::kLayout) return true;
  if (version.size() == 1 && version.integer(0, 0) > sql::kLayout) {
    return fail(Domain::kLedger, "ledger_newer",
                fmt::format("the ledger in schema \"{}\" has layout {}; this Sluice ({}) knows"
                            " layouts up to {}",
                            schema, version.integer(0, 0), SLUICE_VERSION, sql::kLayout),
                "Use the newer Sluice that made it, or another target.ledger_schema.");
  }
  return fail(
      Domain::kLedger, "ledger_foreign",
      fmt::format("the table \"{}\".version holds no layout number that Sluice ever gave", schema),
      "Choose another name with target.ledger_schema.");
}

// Everything but creating. True: the ledger is there and usable; false: it must be created.
Async<Result<bool>> look(postgres::Connection& connection, std::string schema) {
  auto schema_query = connection.query(sql::own_timeouts() + select_schema(schema));
  auto rows = co_await schema_query;
  if (!rows) co_return fail(std::move(rows.error()));
  const SchemaState found = read_schema(rows->back());
  const auto create = must_create(found, schema);
  if (!create) co_return fail(create.error());
  if (*create) co_return false;

  auto privilege_query = connection.query(sql::own_timeouts() + select_missing_privileges(schema));
  auto missing = co_await privilege_query;
  if (!missing) co_return fail(std::move(missing.error()));
  const auto usable = judge_privileges(missing->back(), found, schema);
  if (!usable) co_return fail(usable.error());

  auto version_query =
      connection.query(sql::own_timeouts() + "SELECT layout FROM " + sql::table(schema, "version"));
  auto version = co_await version_query;
  if (!version) co_return fail(std::move(version.error()));
  co_return judge_version(version->back(), schema);
}

Async<Result<bool>> look_and_create(postgres::Connection& connection, std::string schema) {
  // The lock is of this schema's preparation alone; after it, a new statement sees what another
  // process has created meanwhile.
  Handle preparation;
  preparation.schema = schema;
  preparation.task = "";
  auto begin = connection.query(sql::begin() + sql::gate_alone(preparation));
  auto begun = co_await begin;
  if (!begun) co_return fail(std::move(begun.error()));

  auto looking = look(connection, schema);
  auto ready = co_await looking;
  if (!ready) co_return fail(std::move(ready.error()));
  if (!*ready) {
    auto schema_query = connection.query(select_schema(schema));
    auto rows = co_await schema_query;
    if (!rows) co_return fail(std::move(rows.error()));
    std::string ddl = sql::tables(schema, connection.server_version());
    if (!read_schema(rows->back()).exists) {
      ddl.insert(0, fmt::format("CREATE SCHEMA {};", postgres::Connection::identifier(schema)));
    }
    auto create = connection.query(std::move(ddl));
    auto created = co_await create;
    if (!created) co_return fail(std::move(created.error()));
  }
  auto committing = sql::commit(connection);
  auto committed = co_await committing;
  co_return committed;
}

}  // namespace

Async<Result<bool>> prepare(postgres::Connection& connection, std::string schema) {
  auto attempt = look_and_create(connection, std::move(schema));
  auto result = co_await attempt;
  if (!result) {
    auto rollback = sql::roll_back(connection);
    auto ended = co_await rollback;
    static_cast<void>(ended);  // the first error says what happened
  }
  co_return result;
}

Async<Result<bool>> inspect(postgres::Connection& connection, std::string schema) {
  auto looking = look(connection, std::move(schema));
  auto result = co_await looking;
  co_return result;
}

}  // namespace sluice::ledger
