#include "postgres/catalog_sql.h"

#include <fmt/format.h>

namespace sluice::postgres {
namespace {

// {0} is the oid everywhere below; braces of fmt are doubled. What servers before 12 do not have is
// asked of row_to_json, which has what there is: NULL then.

// The order of the columns is that in which read_relation (catalog.cc) takes them.
constexpr std::string_view kRelationSql = R"(
SELECT n.nspname, c.relname, c.relkind, c.relpersistence = 'u',
       EXISTS (SELECT FROM pg_catalog.pg_rewrite r
               WHERE r.ev_class = c.oid AND r.ev_type IN ('2', '3') AND r.ev_enabled <> 'D'),
       coalesce((pg_catalog.row_to_json(c) ->> 'relrowsecurity')::boolean, false)
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles r
                         WHERE r.rolname = current_user
                               AND (r.rolsuper OR coalesce((pg_catalog.row_to_json(r) ->>
                                                            'rolbypassrls')::boolean, false)))
         AND (NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')
              OR coalesce((pg_catalog.row_to_json(c) ->> 'relforcerowsecurity')::boolean, false)),
       pg_catalog.has_any_column_privilege(c.oid, 'INSERT'),
       pg_catalog.has_any_column_privilege(c.oid, 'UPDATE'),
       pg_catalog.has_table_privilege(c.oid, 'DELETE'),
       pg_catalog.has_any_column_privilege(c.oid, 'SELECT'),
       pg_catalog.has_schema_privilege(n.oid, 'USAGE'),
       pg_catalog.has_table_privilege(c.oid, 'INSERT'),
       pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY'),
       CASE WHEN c.relkind IN ('v', 'f')
            THEN pg_catalog.pg_relation_is_updatable(c.oid, true) ELSE 0 END,
       coalesce((pg_catalog.row_to_json(c) ->> 'relispartition')::boolean, false)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = {0};)";

constexpr std::string_view kColumnsSql = R"(
SELECT a.attname, a.attnum, a.atttypid, a.atttypmod,
       pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
       pg_catalog.pg_get_expr(d.adbin, d.adrelid),
       coalesce(pg_catalog.row_to_json(a) ->> 'attgenerated' <> '', false),
       coalesce(pg_catalog.row_to_json(a) ->> 'attidentity', ''),
       pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'INSERT'),
       pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'UPDATE'),
       pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT'),
       pg_catalog.col_description(a.attrelid, a.attnum),
       (SELECT pg_catalog.format('%I.%I', n.nspname, c.collname)
        FROM pg_catalog.pg_collation c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
        JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
        WHERE c.oid = a.attcollation AND a.attcollation <> t.typcollation)
FROM pg_catalog.pg_attribute a
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = {0} AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum;)";

// The types of the columns and all that these are made of: bases of domains, elements of arrays,
// attributes of composites. A set, so it ends whatever refers to whatever.
constexpr std::string_view kTypeClosure = R"(
WITH RECURSIVE closure(oid) AS (
  SELECT atttypid FROM pg_catalog.pg_attribute
  WHERE attrelid = {0} AND attnum > 0 AND NOT attisdropped
  UNION
  SELECT part.oid
  FROM closure JOIN pg_catalog.pg_type t ON t.oid = closure.oid,
  LATERAL (SELECT t.typbasetype WHERE t.typtype = 'd'
           UNION ALL
           SELECT e.oid FROM pg_catalog.pg_type e WHERE e.oid = t.typelem AND e.typarray = t.oid
           UNION ALL
           SELECT a.atttypid FROM pg_catalog.pg_attribute a
           WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0
                 AND NOT a.attisdropped) AS part(oid)
))";

constexpr std::string_view kTypesSql = R"(
SELECT t.oid, t.typtype, t.typbasetype, t.typtypmod, t.typnotnull, t.typdefault,
       coalesce(e.oid, 0), coalesce(e.typdelim, ','), pg_catalog.format_type(t.oid, NULL)
FROM closure JOIN pg_catalog.pg_type t ON t.oid = closure.oid
LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND e.typarray = t.oid;)";

constexpr std::string_view kLabelsSql = R"(
SELECT l.enumtypid, l.enumlabel
FROM closure JOIN pg_catalog.pg_enum l ON l.enumtypid = closure.oid
ORDER BY l.enumtypid, l.enumsortorder;)";

constexpr std::string_view kAttributesSql = R"(
SELECT t.oid, a.attname, a.atttypid, a.atttypmod,
       pg_catalog.format_type(a.atttypid, a.atttypmod)
FROM closure JOIN pg_catalog.pg_type t ON t.oid = closure.oid AND t.typtype = 'c'
JOIN pg_catalog.pg_attribute a
  ON a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY t.oid, a.attnum;)";

// The table itself; of a view that can be written without triggers, the one table that its rule
// reads.
constexpr std::string_view kIndexesSql = R"(
WITH target(oid) AS (
  SELECT c.oid FROM pg_catalog.pg_class c WHERE c.oid = {0} AND c.relkind <> 'v'
  UNION ALL
  SELECT pg_catalog.min(base.oid)
  FROM pg_catalog.pg_class v
  JOIN pg_catalog.pg_rewrite r ON r.ev_class = v.oid AND r.rulename = '_RETURN'
  JOIN pg_catalog.pg_depend d
    ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
       AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> v.oid
  JOIN pg_catalog.pg_class base ON base.oid = d.refobjid
  WHERE v.oid = {0} AND v.relkind = 'v'
        AND pg_catalog.pg_relation_is_updatable(v.oid, false) & 8 <> 0
  HAVING pg_catalog.count(DISTINCT base.oid) = 1
)
SELECT i.relname, x.indisprimary, x.indisvalid AND x.indisready AND x.indislive, x.indimmediate,
       x.indpred IS NOT NULL, x.indisexclusion, a.attname,
       pg_catalog.pg_get_indexdef(x.indexrelid, key.place::int, true),
       NOT coalesce((pg_catalog.row_to_json(l) ->> 'collisdeterministic')::boolean, true)
         OR t.typname = 'citext'
FROM target
JOIN pg_catalog.pg_index x ON x.indrelid = target.oid AND x.indisunique
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
CROSS JOIN LATERAL pg_catalog.unnest(x.indkey) WITH ORDINALITY AS key(number, place)
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = key.number
LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_collation l ON l.oid = x.indcollation[key.place::int - 1]
WHERE key.place <= coalesce((pg_catalog.row_to_json(x) ->> 'indnkeyatts')::int, x.indnatts)
ORDER BY x.indisprimary DESC, i.relname, key.place;)";

// tgtype: bit 0 row level, bit 1 BEFORE, bit 6 INSTEAD OF (pg_trigger.h).
constexpr std::string_view kTriggersSql = R"(
SELECT t.tgname, pg_catalog.pg_get_triggerdef(t.oid), t.tgtype & 1 <> 0, t.tgtype & 2 <> 0
FROM pg_catalog.pg_trigger t
WHERE t.tgrelid = {0} AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
ORDER BY t.tgname;)";

constexpr std::string_view kForeignKeysSql = R"(
SELECT pg_catalog.format('%I %s', conname, pg_catalog.pg_get_constraintdef(oid))
FROM pg_catalog.pg_constraint WHERE conrelid = {0} AND contype = 'f' ORDER BY conname;)";

constexpr std::string_view kPartitionsSql = R"(
WITH RECURSIVE part(oid) AS (
  SELECT inhrelid FROM pg_catalog.pg_inherits JOIN pg_catalog.pg_class c ON c.oid = inhparent
  WHERE inhparent = {0} AND c.relkind = 'p'
  UNION
  SELECT i.inhrelid FROM part JOIN pg_catalog.pg_inherits i ON i.inhparent = part.oid
)
SELECT oid::pg_catalog.regclass::text FROM part ORDER BY 1 LIMIT 100;)";

constexpr std::string_view kParentsSql = R"(
SELECT inhparent::pg_catalog.regclass::text
FROM pg_catalog.pg_inherits WHERE inhrelid = {0} ORDER BY inhseqno;)";

std::string of(std::string_view sql, Oid oid) { return fmt::format(fmt::runtime(sql), oid); }

std::string set_search_path(std::string_view path) {
  return fmt::format("SELECT pg_catalog.set_config('search_path', {}, true);",
                     Connection::literal(path));
}

}  // namespace

std::string resolve_sql(const TableName& name) {
  const std::string in_schema = name.schema.empty()
                                    ? std::string("pg_catalog.pg_table_is_visible(c.oid)")
                                    : "n.nspname = " + Connection::literal(name.schema);
  return std::string(Connection::own_timeouts()) +
         fmt::format(
             "SELECT c.oid FROM pg_catalog.pg_class c "
             "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
             "WHERE c.relname = {} AND {}; "
             "SELECT pg_catalog.current_setting('search_path'), pg_catalog.current_database(), "
             "pg_catalog.array_to_string(pg_catalog.current_schemas(false), ', ');",
             Connection::literal(name.name), in_schema);
}

std::string signature_sql(Oid oid) {
  return fmt::format(
      "SELECT '{0} ' || pg_catalog.string_agg(pg_catalog.format('%I %s %s %s', attname, atttypid, "
      "atttypmod, attnotnull), ', ' ORDER BY attnum) FROM pg_catalog.pg_attribute "
      "WHERE attrelid = {0} AND attnum > 0 AND NOT attisdropped",
      oid);
}

std::string describe_sql(Oid oid, std::string_view search_path) {
  std::string sql(Connection::own_timeouts());
  sql += set_search_path("pg_catalog");
  sql += signature_sql(oid) + ";";
  sql += of(kRelationSql, oid);
  sql += of(kColumnsSql, oid);
  sql += of(kTypeClosure, oid) + std::string(kTypesSql);
  sql += of(kTypeClosure, oid) + std::string(kLabelsSql);
  sql += of(kTypeClosure, oid) + std::string(kAttributesSql);
  sql += of(kIndexesSql, oid);
  sql += of(kTriggersSql, oid);
  sql += of(kForeignKeysSql, oid);
  sql += of(kPartitionsSql, oid);
  sql += of(kParentsSql, oid);
  sql += set_search_path(search_path);
  return sql;
}

std::string candidates_sql(const TableName& name) {
  // By length first: the server need not send every name of a database with 100,000 tables.
  return std::string(Connection::own_timeouts()) +
         fmt::format(
             "SELECT n.nspname, c.relname, pg_catalog.pg_table_is_visible(c.oid) "
             "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
             "WHERE c.relkind IN ('r', 'p', 'v', 'f') AND n.nspname <> 'information_schema' "
             "AND n.nspname !~ '^pg_' AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') "
             "AND NOT coalesce((pg_catalog.row_to_json(c) ->> 'relispartition')::boolean, false) "
             "AND pg_catalog.abs(pg_catalog.octet_length(c.relname::text) - {}) <= 4 "
             "ORDER BY c.relname = {} DESC, n.nspname = {} DESC, n.nspname, c.relname LIMIT 20000; "
             "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = {});",
             name.name.size(), Connection::literal(name.name), Connection::literal(name.schema),
             Connection::literal(name.schema));
}

}  // namespace sluice::postgres
