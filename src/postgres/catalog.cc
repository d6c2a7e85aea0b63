#include "postgres/catalog.h"

#include <fmt/format.h>

#include <charconv>
#include <unordered_map>

#include "postgres/catalog_sql.h"
#include "postgres/missing_table.h"

namespace sluice::postgres {
namespace {

// Types nest as deep as people nest them; beyond this the rest counts as opaque text.
constexpr int kDeepestType = 8;

Oid oid_of(const Rows& rows, int row, int column) {
  return static_cast<Oid>(rows.integer(row, column));
}
std::string text_of(const Rows& rows, int row, int column) {
  return std::string(rows.text(row, column));
}

// One row of pg_type with what belongs to it.
struct RawType {
  char category = 'X';
  Oid base = 0;  // domains
  std::int32_t typmod = -1;
  bool not_null = false;
  std::optional<std::string> default_sql;
  Oid element = 0;
  std::string delimiter;
  std::string name;
  std::vector<std::string> labels;
  struct Attribute {
    std::string name;
    Oid type = 0;
    std::int32_t typmod = -1;
    std::string type_name;
  };
  std::vector<Attribute> attributes;
};
using RawTypes = std::unordered_map<Oid, RawType>;

RawTypes read_types(const Rows& types, const Rows& labels, const Rows& attributes) {
  RawTypes raw;
  for (int row = 0; row < types.size(); ++row) {
    RawType& type = raw[oid_of(types, row, 0)];
    type.category = types.text(row, 1).front();
    type.base = oid_of(types, row, 2);
    type.typmod = static_cast<std::int32_t>(types.integer(row, 3));
    type.not_null = types.boolean(row, 4);
    if (!types.is_null(row, 5)) type.default_sql = text_of(types, row, 5);
    type.element = oid_of(types, row, 6);
    type.delimiter = text_of(types, row, 7);
    type.name = text_of(types, row, 8);
  }
  for (int row = 0; row < labels.size(); ++row) {
    raw[oid_of(labels, row, 0)].labels.push_back(text_of(labels, row, 1));
  }
  for (int row = 0; row < attributes.size(); ++row) {
    RawType::Attribute attribute;
    attribute.name = text_of(attributes, row, 1);
    attribute.type = oid_of(attributes, row, 2);
    attribute.typmod = static_cast<std::int32_t>(attributes.integer(row, 3));
    attribute.type_name = text_of(attributes, row, 4);
    raw[oid_of(attributes, row, 0)].attributes.push_back(std::move(attribute));
  }
  return raw;
}

// Goes down from a domain to its base, gathering the typmod that the innermost one sets.
Oid resolve_domain(const RawTypes& raw, Oid oid, std::int32_t& typmod, bool& not_null) {
  for (auto found = raw.find(oid); found != raw.end() && found->second.category == 'd';
       found = raw.find(oid)) {
    not_null = not_null || found->second.not_null;
    if (found->second.typmod != -1) typmod = found->second.typmod;
    oid = found->second.base;
  }
  return oid;
}

Type build_type(const RawTypes& raw, Oid own, std::int32_t typmod, std::string name, int depth) {
  Type type;
  bool not_null = false;
  type.typmod = typmod;
  type.oid = resolve_domain(raw, own, type.typmod, not_null);
  type.domain = type.oid != own;
  type.name = std::move(name);
  const auto found = raw.find(type.oid);
  if (found == raw.end()) return type;
  const RawType& of = found->second;
  type.category = of.category;
  type.labels = of.labels;
  if (of.element != 0) {
    // An array's typmod is its elements'. Their SQL name is the array's without its brackets, which
    // keeps "(10)"; behind a domain the array's own name serves.
    std::string element_name = type.domain || !type.name.ends_with("[]")
                                   ? raw.at(of.element).name
                                   : type.name.substr(0, type.name.size() - 2);
    std::int32_t element_typmod = type.typmod;
    type.element = resolve_domain(raw, of.element, element_typmod, not_null);
    type.delimiter = of.delimiter;
    if (depth < kDeepestType) {
      type.element_type.push_back(
          build_type(raw, of.element, type.typmod, std::move(element_name), depth + 1));
    }
  }
  if (depth < kDeepestType) {
    for (const auto& attribute : of.attributes) {
      type.attribute_names.push_back(attribute.name);
      type.attribute_types.push_back(
          build_type(raw, attribute.type, attribute.typmod, attribute.type_name, depth + 1));
    }
  }
  return type;
}

RelationKind kind_of(char relkind) {
  switch (relkind) {
    case 'r':
      return RelationKind::kTable;
    case 'p':
      return RelationKind::kPartitioned;
    case 'v':
      return RelationKind::kView;
    case 'm':
      return RelationKind::kMaterializedView;
    case 'f':
      return RelationKind::kForeign;
    default:
      return RelationKind::kOther;
  }
}

void read_relation(const Rows& rows, TableInfo& table) {
  table.schema = text_of(rows, 0, 0);
  table.name = text_of(rows, 0, 1);
  table.kind = kind_of(rows.text(0, 2).front());
  table.unlogged = rows.boolean(0, 3);
  table.has_rules = rows.boolean(0, 4);
  table.row_security = rows.boolean(0, 5);
  table.may_insert = rows.boolean(0, 6);
  table.may_update = rows.boolean(0, 7);
  table.may_delete = rows.boolean(0, 8);
  table.may_select = rows.boolean(0, 9);
  table.may_use_schema = rows.boolean(0, 10);
  table.table_level_insert = rows.boolean(0, 11);
  table.may_create_temp = rows.boolean(0, 12);
  // Bits by CmdType: UPDATE 1 << 2, INSERT 1 << 3 (rewriteHandler.c, relation_is_updatable).
  table.view_updatable = (rows.integer(0, 13) & 4) != 0;
  table.view_insertable = (rows.integer(0, 13) & 8) != 0;
  table.is_partition = rows.boolean(0, 14);
}

ColumnInfo read_column(const Rows& rows, int row, const RawTypes& raw) {
  ColumnInfo column;
  column.name = text_of(rows, row, 0);
  column.number = static_cast<int>(rows.integer(row, 1));
  const Oid own = oid_of(rows, row, 2);
  const auto typmod = static_cast<std::int32_t>(rows.integer(row, 3));
  column.type = build_type(raw, own, typmod, text_of(rows, row, 4), 0);
  column.not_null = rows.boolean(row, 5);
  std::int32_t ignored = -1;
  resolve_domain(raw, own, ignored, column.not_null);
  column.default_sql = text_of(rows, row, 6);
  column.generated = rows.boolean(row, 7);
  const auto identity = rows.text(row, 8);
  column.identity = identity.empty() ? '\0' : identity.front();
  column.has_default = !column.generated && (!rows.is_null(row, 6) || column.identity != '\0');
  // A domain's default acts where the column has none of its own; a domain over a domain has its
  // own copy.
  if (!column.has_default && !column.generated) {
    if (const auto found = raw.find(own);
        found != raw.end() && found->second.category == 'd' && found->second.default_sql) {
      column.default_sql = *found->second.default_sql;
      column.has_default = true;
    }
  }
  column.may_insert = rows.boolean(row, 9);
  column.may_update = rows.boolean(row, 10);
  column.may_select = rows.boolean(row, 11);
  column.comment = text_of(rows, row, 12);
  column.collation = text_of(rows, row, 13);
  return column;
}

// One row for each key column, those of an index together.
std::vector<UniqueIndex> read_indexes(const Rows& rows) {
  std::vector<UniqueIndex> indexes;
  for (int row = 0; row < rows.size(); ++row) {
    if (indexes.empty() || indexes.back().name != rows.text(row, 0)) {
      UniqueIndex index;
      index.name = text_of(rows, row, 0);
      index.primary = rows.boolean(row, 1);
      if (!rows.boolean(row, 2)) index.unusable = "invalid";
      if (!rows.boolean(row, 3)) index.unusable = "deferrable";
      if (rows.boolean(row, 4)) index.unusable = "partial";
      if (rows.boolean(row, 5)) index.unusable = "exclusion";
      indexes.push_back(std::move(index));
    }
    UniqueIndex& index = indexes.back();
    if (rows.is_null(row, 6)) {
      index.expressions.push_back(text_of(rows, row, 7));
      if (index.unusable.empty()) index.unusable = "expression";
    } else {
      index.columns.push_back(text_of(rows, row, 6));
      if (rows.boolean(row, 8)) index.nondeterministic.push_back(index.columns.back());
    }
  }
  return indexes;
}

std::vector<std::string> read_list(const Rows& rows) {
  std::vector<std::string> list;
  for (int row = 0; row < rows.size(); ++row) list.push_back(text_of(rows, row, 0));
  return list;
}

std::vector<Trigger> read_triggers(const Rows& rows) {
  std::vector<Trigger> triggers;
  for (int row = 0; row < rows.size(); ++row) {
    triggers.push_back(
        {text_of(rows, row, 0), text_of(rows, row, 1), rows.boolean(row, 2), rows.boolean(row, 3)});
  }
  return triggers;
}

TableInfo read_described(const std::vector<Rows>& rows, Oid oid) {
  TableInfo table;
  table.oid = oid;
  table.signature = rows[kSignature].text(0, 0);
  read_relation(rows[kRelation], table);
  const RawTypes raw = read_types(rows[kTypes], rows[kLabels], rows[kAttributes]);
  const Rows& columns = rows[kColumns];
  for (int row = 0; row < columns.size(); ++row) {
    table.columns.push_back(read_column(columns, row, raw));
  }
  table.unique_indexes = read_indexes(rows[kIndexes]);
  if (table.kind == RelationKind::kView) {
    std::erase_if(table.unique_indexes, [&](const UniqueIndex& index) {
      for (const auto& column : index.columns) {
        if (table.find(column) == nullptr) return true;
      }
      return !index.expressions.empty();
    });
  }
  table.triggers = read_triggers(rows[kTriggers]);
  table.foreign_keys = read_list(rows[kForeignKeys]);
  table.partitions = read_list(rows[kPartitions]);
  table.parents = read_list(rows[kParents]);
  return table;
}

Async<Error> explain_missing(Connection& connection, TableName name, Rows place) {
  Async<Result<std::vector<Rows>>> asking = connection.query(candidates_sql(name));
  auto answer = co_await asking;
  if (!answer) co_return std::move(answer.error());
  const Rows& names = (*answer)[kNames];
  std::vector<Candidate> candidates;
  for (int row = 0; row < names.size(); ++row) {
    candidates.push_back({{text_of(names, row, 0), text_of(names, row, 1)}, names.boolean(row, 2)});
  }
  SearchedPlace searched;
  searched.database = text_of(place, 0, 1);
  searched.search_path = text_of(place, 0, 2);
  searched.schema_exists = (*answer)[kSchemaExists].boolean(0, 0);
  co_return missing_table(name, searched, candidates);
}

}  // namespace

const ColumnInfo* TableInfo::find(std::string_view column) const {
  for (const auto& info : columns) {
    if (info.name == column) return &info;
  }
  return nullptr;
}

std::string TableInfo::qualified() const {
  return Connection::identifier(schema) + "." + Connection::identifier(name);
}

Async<Result<TableInfo>> read_table(Connection& connection, TableName name) {
  // The table may be dropped between the two looks: then look again.
  while (true) {
    Async<Result<std::vector<Rows>>> resolving = connection.query(resolve_sql(name));
    auto resolved = co_await resolving;
    if (!resolved) co_return fail(std::move(resolved.error()));
    SLUICE_CHECK(resolved->size() == kResolved);
    const Rows place = (*resolved)[kPlace];
    if ((*resolved)[kResolvedOid].size() == 0) {
      Async<Error> explaining = explain_missing(connection, name, place);
      Error missing = co_await explaining;
      co_return fail(std::move(missing));
    }
    const Oid oid = oid_of((*resolved)[kResolvedOid], 0, 0);
    Async<Result<std::vector<Rows>>> describing =
        connection.query(describe_sql(oid, place.text(0, 0)));
    auto described = co_await describing;
    if (!described) co_return fail(std::move(described.error()));
    SLUICE_CHECK(described->size() == kDescribed);
    if ((*described)[kRelation].size() == 0) continue;
    co_return read_described(*described, oid);
  }
}

}  // namespace sluice::postgres
