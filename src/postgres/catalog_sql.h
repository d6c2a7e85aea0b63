// The SQL that reads the catalog. Internal to `postgres`. All of it works on PostgreSQL 9.4 to 18
// and for any role: catalogs are readable by everybody.
#pragma once

#include <string>

#include "postgres/catalog.h"

namespace sluice::postgres {

// Of resolve_sql: one row with the relation's oid, or none; the search_path, to be put back.
enum Resolved : int { kResolvedTimeouts, kResolvedOid, kPlace, kResolved };
std::string resolve_sql(const TableName& name);

// Statements of describe_sql, in their order, after which search_path is what it was.
enum Described : int {
  kTimeouts,
  kSearchPath,
  kSignature,   // signature
  kRelation,    // see kRelationSql
  kColumns,     // see kColumnsSql
  kTypes,       // every type that the columns' types are made of
  kLabels,      // type, label
  kAttributes,  // type, name, type of the attribute, typmod, SQL name
  kIndexes,     // one row for each key column of a unique index
  kTriggers,
  kForeignKeys,
  kPartitions,
  kParents,
  kRestored,
  kDescribed,  // how many
};
std::string describe_sql(Oid oid, std::string_view search_path);

// After the time-outs: schema, name, visible of relations that could be meant by `name`; whether
// its schema exists.
enum Candidates : int { kCandidateTimeouts, kNames, kSchemaExists };
std::string candidates_sql(const TableName& name);

}  // namespace sluice::postgres
