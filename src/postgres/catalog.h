// The catalog of one target table: everything that a plan and a check need to know, read in one go.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/async.h"
#include "base/result.h"
#include "postgres/connection.h"

namespace sluice::postgres {

using Oid = std::uint32_t;

enum class RelationKind : std::uint8_t {
  kTable,
  kPartitioned,
  kView,
  kMaterializedView,
  kForeign,
  kOther
};

// A type as far as encoding needs it. Domains are resolved to their base type for `oid`, and keep
// their own name for casts.
struct Type {
  Oid oid = 0;  // base type behind domains
  std::int32_t typmod = -1;
  std::string name;     // format_type of the column's own type: usable in SQL as it is
  char category = 'X';  // pg_type.typtype: b, c, d (never, resolved), e, r, m, p
  bool domain = false;
  Oid element = 0;                  // arrays: element type (behind domains); 0 otherwise
  std::string delimiter = ",";      // arrays: typdelim of the element
  std::vector<std::string> labels;  // enums
  // Composites: names and types of the attributes, in order.
  std::vector<std::string> attribute_names;
  std::vector<Type> attribute_types;
  // Arrays: the element's own description (one entry).
  std::vector<Type> element_type;
};

struct ColumnInfo {
  std::string name;
  int number = 0;  // attnum
  Type type;
  bool not_null = false;     // of the column or of its domain
  bool has_default = false;  // DEFAULT, identity, or a domain's default
  std::string default_sql;
  bool generated = false;   // GENERATED ALWAYS AS (...) STORED: never written
  char identity = 0;        // 0, 'a' (always), 'd' (by default)
  bool may_insert = false;  // has_column_privilege
  bool may_update = false;
  bool may_select = false;
  std::string comment;
  std::string collation;  // "schema"."name", quoted, where it is not the type's own
};

struct UniqueIndex {
  std::string name;
  std::vector<std::string> columns;
  bool primary = false;
  // What keeps it from arbitrating ON CONFLICT; empty if nothing does: "partial", "expression",
  // "deferrable", "invalid", "exclusion" (WITHOUT OVERLAPS).
  std::string unusable;
  // Of the key, in the place of a column, as pg_get_indexdef shows them. INCLUDE columns are left
  // out.
  std::vector<std::string> expressions;
  // Key columns whose equality is not that of bytes (a nondeterministic collation, citext): two
  // keys that differ for us may be one for the index. Those of numeric and float (1.0 = 1.00, -0 =
  // 0), character(n), interval and jsonb are not listed.
  std::vector<std::string> nondeterministic;
};

struct Trigger {
  std::string name;
  std::string definition;
  bool row_level = false;
  bool before = false;
};

struct TableInfo {
  Oid oid = 0;
  std::string schema;
  std::string name;
  RelationKind kind = RelationKind::kTable;
  bool unlogged = false;
  bool has_rules = false;     // INSERT or UPDATE rules: COPY bypasses them
  bool row_security = false;  // enabled and applying to this role
  // On the table or on at least one column; ColumnInfo has each column's own.
  bool may_insert = false;
  bool may_update = false;
  bool may_delete = false;
  bool may_select = false;
  bool may_use_schema = false;      // USAGE on the schema: without it nothing else helps
  bool table_level_insert = false;  // INSERT on the table itself, not only on columns
  bool may_create_temp = false;     // TEMP on the database
  // Views and foreign tables: pg_relation_is_updatable or an INSTEAD OF trigger.
  bool view_insertable = false;
  bool view_updatable = false;
  std::vector<ColumnInfo> columns;
  // The primary key first, then by name. Of a view over one table: that table's, if their columns
  // stand in the view under their own names (ON CONFLICT goes through to them), else none.
  std::vector<UniqueIndex> unique_indexes;
  std::vector<Trigger> triggers;
  std::vector<std::string> foreign_keys;  // pg_get_constraintdef, with name in front
  std::vector<std::string> partitions;    // of all levels, names, at most 100
  std::vector<std::string> parents;  // tables it inherits from, or the one it is a partition of
  bool is_partition = false;
  // Name, type, typmod, not-null of each column, and the oid: what the one transaction compares
  // before it writes. signature_sql() computes the same on the server.
  std::string signature;

  // Exact name; nullptr if there is none.
  const ColumnInfo* find(std::string_view column) const;
  std::string qualified() const;  // "schema"."table", quoted
};

// Splits "schema.table", "table", "\"My Schema\".\"T.1\"" into unquoted parts; unquoted parts are
// taken as written (no case folding), so that quoted and plain spelling mean the same name.
struct TableName {
  std::string schema;  // empty: found through search_path
  std::string name;
};
Result<TableName> parse_table_name(std::string_view text);

// Two or three round trips, nothing is changed. Names in Type::name, default_sql, definitions and
// constraints are qualified as far as pg_catalog alone does not find them, so that they mean the
// same under every search_path. The signature is read before the columns: a table that is altered
// meanwhile differs from it, and the transaction's comparison says so. PostgreSQL 9.4 and later.
// `connection` must stay where it is meanwhile. Error 42P01 with the nearest names if the table
// does not exist.
Async<Result<TableInfo>> read_table(Connection& connection, TableName name);

// A SELECT of one text value that equals TableInfo::signature while the table `oid` is unchanged;
// NULL if there is no such table any more.
std::string signature_sql(Oid oid);

// The cause of a failed connect() in words an operator can act on: for "no pg_hba.conf entry" the
// host the server saw, the line to add and whether TLS would help; wrong password, missing
// database, TLS refused or required, refused, timed out, too many connections, not a PostgreSQL
// server. `ranges`: networks to name as those to allow. Domain, code and detail stay; what is not
// known comes back with its own message and a general remedy. Never a password.
Error explain_connection_failure(const Error& error, const Endpoint& endpoint,
                                 const std::vector<std::string>& ranges);

// Whether a failed connect() is a matter of circumstances that pass by themselves (unreachable,
// starting up, too many connections), not of what somebody wrote down. Takes the Error before or
// after it was explained.
bool is_environment_failure(const Error& error);

}  // namespace sluice::postgres
