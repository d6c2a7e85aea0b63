#include "sink/plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/json.hpp>
#include <iterator>
#include <set>

#include "base/nearest.h"
#include "postgres/connection.h"
#include "postgres/encode.h"
#include "sink/column_type.h"
#include "sink/mirror_key.h"
#include "sink/plan_sql.h"
#include "sink/position.h"
#include "sink/structure.h"

namespace sluice::sink {
namespace {

using postgres::ColumnInfo;
using postgres::RelationKind;
using postgres::TableInfo;

std::string quoted(std::string_view name) { return postgres::Connection::identifier(name); }

std::string quoted_list(const std::vector<std::string>& names) {
  std::string list;
  for (const auto& name : names) list += (list.empty() ? "" : ", ") + quoted(name);
  return list;
}

std::vector<std::string> column_names(const TableInfo& table) {
  std::vector<std::string> names;
  for (const auto& column : table.columns) names.push_back(column.name);
  return names;
}

Error document_error(std::string path, std::string message, std::string remedy = {}) {
  return fail(Domain::kDocument, std::move(path), std::move(message), std::move(remedy)).value();
}

message::Input::Meta input_meta(task::Meta meta) {
  using From = task::Meta;
  using To = message::Input::Meta;
  switch (meta) {
    case From::kTopic:
      return To::kTopic;
    case From::kPartition:
      return To::kPartition;
    case From::kOffset:
      return To::kOffset;
    case From::kTimestamp:
      return To::kTimestamp;
    case From::kKey:
      return To::kKey;
    case From::kHeaders:
      return To::kHeaders;
    case From::kIngestedAt:
      return To::kIngestedAt;
  }
  return To::kNone;
}

std::string_view name_of(task::Meta meta) {
  constexpr std::string_view kNames[] = {"topic", "partition", "offset",     "timestamp",
                                         "key",   "headers",   "ingested_at"};
  return kNames[static_cast<std::size_t>(meta)];
}

// A column name as the decoder's field: one that begins with $ would be taken for a path.
std::string field_of(const std::string& column) {
  if (column.empty() || column[0] != '$') return column;
  std::string path = "$['";
  for (const char c : column) {
    if (c == '\'' || c == '\\') path += '\\';
    path += c;
  }
  return path + "']";
}

class Compiler {
 public:
  Compiler(const task::Task& task, TableInfo table, std::shared_ptr<const postgres::TimeZone> zone,
           std::size_t number)
      : task_(task), zone_(std::move(zone)) {
    plan_.table = std::move(table);
    const std::string suffix = number == 0 ? "" : fmt::format("_{}", number);
    plan_.stage = "pg_temp.sluice_stage" + suffix;
    plan_.delete_stage = "pg_temp.sluice_delete_stage" + suffix;
    plan_.move_stage = "pg_temp.sluice_move_stage" + suffix;
  }

  tl::expected<Plan, std::vector<Error>> run() {
    plan_.write = task_.sync.write;
    plan_.on_tombstone = task_.sync.on_tombstone;
    plan_.deletes = plan_.on_tombstone == task::OnTombstone::kDelete;
    plan_.skip_unchanged = task_.sync.unchanged == task::Unchanged::kSkip;
    plan_.on_conflict = task_.target.level == task::Level::kCurrent;
    plan_.time_zone = task_.sync.time_zone;
    plan_.target = plan_.table.qualified();
    plan_.mirror = task_.sync.mirrors();
    if (plan_.mirror) choose_mirror();
    choose_way();
    choose_key();
    if (plan_.mirror) {
      mirror_columns();
    } else {
      collect_columns();
    }
    plan_.stage_stays = task_.target.pooler == task::Pooler::kNone;
    if (errors_.empty()) add_sql(plan_, key_);
    if (!errors_.empty()) return tl::unexpected(std::move(errors_));
    return std::move(plan_);
  }

 private:
  // Rows with a key are merged by it and deleted; without one they are appended, and updates and
  // deletes look for a row that is equal.
  void choose_mirror() {
    plan_.on_delete = task_.sync.on_delete;
    plan_.on_truncate = task_.sync.on_truncate;
    plan_.schema_changes = task_.sync.schema_changes;
    plan_.history = task_.sync.keeps_history();
    plan_.on_missing_row = task_.sync.on_missing_row;
    plan_.unavailable = std::make_shared<const Unavailable>(task_.sync.unavailable_value);
    const bool has_key = plan_.table.oid != 0 && !plan_.history &&
                         (!task_.sync.primary_key.empty() || !mirror_key(plan_.table).empty());
    plan_.write = has_key ? task::Write::kUpsert : task::Write::kInsert;
    plan_.deletes = true;
    if (plan_.on_delete == task::OnDelete::kMark && plan_.table.oid != 0 && !has_key) {
      errors_.push_back(document_error(
          "sync.on_delete",
          fmt::format("mark, and {} has no key by which rows are found", plan_.target),
          "Give it a primary key, or name its columns in sync.primary_key."));
    }
    if (plan_.table.kind != RelationKind::kTable &&
        plan_.table.kind != RelationKind::kPartitioned) {
      errors_.push_back(document_error("target.table", fmt::format("{} is no table", plan_.target),
                                       "Mirror into a table or a partitioned table."));
    }
  }

  // Every column that can be written; which of them a message has, each says by itself.
  void mirror_columns() {
    for (const auto& column : plan_.table.columns) {
      // The source sends its own generated columns in snapshots, and the stream leaves them out.
      if (column.generated) plan_.change.ignored.push_back(column.name);
      if (column.generated || is_beside(column.name)) continue;
      task::Column by_name;
      by_name.field = column.name;
      by_name.column = column.name;
      if (!key_.empty() && !in_key(column.name)) by_name.on_absent = task::OnAbsent::kKeep;
      // PostgreSQL lets an INSERT override such a value, but no UPDATE.
      if (column.identity == 'a' && !in_key(column.name)) by_name.update = false;
      const std::size_t before = plan_.columns.size();
      add_mapped(by_name, "target.table");
      if (plan_.columns.size() == before) continue;
      PlanColumn& added = plan_.columns.back();
      const auto unit = task_.sync.units.find(column.name);
      if (unit != task_.sync.units.end()) added.unit = unit->second;
      added.assumed = assumed_type(column.type, added.unit);
      added.is_bytea = column.type.oid == postgres::oid::kBytea;
      added.is_money = column.type.oid == postgres::oid::kMoney;
      added.bounds = bounds_of(column.type);
    }
    for (const auto& [name, unit] : task_.sync.units) {
      const bool unknown = plan_.table.oid != 0 && plan_.table.find(name) == nullptr;
      if (unknown && !task_.has_many_tables()) unknown_column("sync.units." + name, name);
    }
    const std::size_t of_rows = plan_.columns.size();
    add_columns_beside_rows();
    plan_.decoder = {};
    order_key_first();
    if (auto error = choose_position(task_, plan_)) errors_.push_back(std::move(*error));
    for (std::size_t i = 0; i < plan_.columns.size(); ++i) {
      plan_.columns[i].slot = static_cast<int>(i);
      if (i < of_rows) plan_.change.columns.push_back(plan_.columns[i].name);
      if (plan_.columns[i].beside == PlanColumn::Beside::kMark) plan_.mark = static_cast<int>(i);
    }
    plan_.change.metadata = !task_.sync.metadata.empty();
    plan_.change.origin = task_.has_many_tables();
    plan_.change.signal_tables = task_.sync.signal_tables;
    plan_.change.history = plan_.history;
    plan_.change.key_columns =
        plan_.history ? of_rows : static_cast<std::size_t>(plan_.key_columns);
    plan_.change.same_key = task_.sync.primary_key.empty() && !plan_.history;
    plan_.named_key = task_.sync.primary_key;
    constexpr message::Format kFormats[] = {message::Format::kAuto, message::Format::kDebezium,
                                            message::Format::kJson, message::Format::kCanal};
    plan_.change.format = kFormats[static_cast<std::size_t>(task_.sync.format)];
  }

  bool is_beside(const std::string& name) const {
    return task_.sync.metadata.contains(name) || task_.sync.mark_column == name;
  }

  void add_columns_beside_rows() {
    using Beside = PlanColumn::Beside;
    const bool marks = plan_.on_delete == task::OnDelete::kMark;
    const auto add = [&](const std::string& name, std::string path, Beside beside,
                         std::string_view type) {
      plan_.beside.push_back(name);
      if (plan_.table.oid == 0) {
        plan_.own_columns += fmt::format(", {} {}", quoted(name), type);
        return;
      }
      task::Column by_name;
      by_name.field = name;
      by_name.column = name;
      const std::size_t before = plan_.columns.size();
      add_mapped(by_name, std::move(path));
      if (plan_.columns.size() > before) plan_.columns.back().beside = beside;
    };
    for (const auto& [name, meta] : task_.sync.metadata) {
      const std::size_t before = plan_.columns.size();
      add(name, "sync.metadata." + name, Beside::kMeta, event_meta_type(meta));
      if (plan_.columns.size() > before) {
        static_assert(static_cast<int>(task::EventMeta::kPosition) ==
                      static_cast<int>(message::EventMeta::kPosition));
        plan_.columns.back().meta = static_cast<message::EventMeta>(meta);
      }
    }
    if (marks) {
      add(task_.sync.mark_column, "sync.on_delete.mark", Beside::kMark,
          "boolean NOT NULL DEFAULT false");
    }
  }

  void choose_way() {
    const TableInfo& table = plan_.table;
    const bool relation =
        table.kind == RelationKind::kTable || table.kind == RelationKind::kPartitioned;
    plan_.lock_target = relation && table.table_level_insert;
    if (table.kind == RelationKind::kMaterializedView || table.kind == RelationKind::kOther ||
        (table.kind == RelationKind::kView && !updates() && !table.view_insertable)) {
      errors_.push_back(
          document_error("target.table",
                         fmt::format("{} is {} that takes no INSERT", plan_.target,
                                     table.kind == RelationKind::kView ? "a view" : "a relation"),
                         "Name a table, or give the view an INSTEAD OF INSERT trigger."));
    }
    if (plan_.write == task::Write::kInsert) {
      if (table.kind == RelationKind::kView || table.row_security || table.has_rules) {
        plan_.way = Way::kStageInsert;
      }
      return;
    }
    plan_.way = Way::kStageMerge;
    if (plan_.write == task::Write::kUpdate) {
      if (table.kind == RelationKind::kView && !table.view_updatable) {
        errors_.push_back(document_error(
            "target.table", fmt::format("{} is a view that takes no UPDATE", plan_.target),
            "Name a table, or give the view an INSTEAD OF UPDATE trigger."));
      }
      return;
    }
    // Without a key to arbitrate, ON CONFLICT DO NOTHING is left to the foreign server.
    const bool foreign = table.kind == RelationKind::kForeign &&
                         (plan_.write == task::Write::kUpsert || !task_.sync.primary_key.empty());
    if (table.has_rules || foreign) {
      errors_.push_back(document_error(
          "sync.write",
          fmt::format("{} {}, and PostgreSQL refuses INSERT ... ON CONFLICT there", plan_.target,
                      table.has_rules ? "has INSERT or UPDATE rules" : "is a foreign table"),
          "Use write: insert, or another table."));
    }
  }

  void choose_key() {
    if (plan_.write == task::Write::kInsert) return;
    key_ = task_.sync.primary_key;
    const auto& indexes = plan_.table.unique_indexes;
    if (plan_.mirror && key_.empty()) key_ = mirror_key(plan_.table);
    if (key_.empty()) {
      if (plan_.write == task::Write::kInsertIgnore) return require_any_index();
      const auto primary = std::find_if(indexes.begin(), indexes.end(),
                                        [](const auto& index) { return index.primary; });
      if (primary == indexes.end()) {
        errors_.push_back(document_error(
            "sync.primary_key", fmt::format("left out, and {} has no primary key", plan_.target),
            fmt::format("Name the columns of a unique index, or create the key: ALTER TABLE {} ADD "
                        "PRIMARY KEY (...);",
                        plan_.target)));
        return;
      }
      key_ = primary->columns;
    }
    for (const auto& column : key_) {
      if (plan_.table.find(column) == nullptr) {
        unknown_column("sync.primary_key", column);
        return;
      }
    }
    // The indexes behind a foreign table or a view are not all in this catalog.
    const bool unseen = plan_.table.kind == RelationKind::kView ||
                        (plan_.table.kind == RelationKind::kForeign && updates());
    if (!unseen) require_index();
  }

  bool updates() const { return plan_.write == task::Write::kUpdate; }

  // insert_ignore without a key: every unique index arbitrates, if there is one and it can.
  void require_any_index() {
    if (!plan_.on_conflict) {
      errors_.push_back(document_error(
          "sync.primary_key", "left out, with write: insert_ignore at target.level: postgresql_9_4",
          "Name the columns that say which rows are there already: without ON CONFLICT the server "
          "cannot look at every unique index."));
      return;
    }
    const bool own =
        plan_.table.kind == RelationKind::kTable || plan_.table.kind == RelationKind::kPartitioned;
    if (own && plan_.table.unique_indexes.empty()) {
      errors_.push_back(document_error(
          "sync.write",
          fmt::format("insert_ignore, and {} has no unique index that says which rows are there "
                      "already",
                      plan_.target),
          fmt::format("Create one: CREATE UNIQUE INDEX CONCURRENTLY ON {} (...);", plan_.target)));
    }
    for (const auto& index : plan_.table.unique_indexes) {
      if (index.unusable != "deferrable") continue;
      errors_.push_back(document_error(
          "sync.primary_key",
          fmt::format("left out, and the constraint {} of {} is deferrable: PostgreSQL's ON "
                      "CONFLICT refuses it",
                      quoted(index.name), plan_.target),
          "Name the columns of another unique index."));
    }
  }

  // A unique index over exactly these columns: ON CONFLICT needs one that can arbitrate; update,
  // that a message changes one row.
  void require_index() {
    const std::set<std::string> wanted(key_.begin(), key_.end());
    std::string unusable;
    for (const auto& index : plan_.table.unique_indexes) {
      if (!index.expressions.empty()) continue;
      if (std::set<std::string>(index.columns.begin(), index.columns.end()) != wanted) continue;
      if (index.unusable.empty() || (updates() && index.unusable == "deferrable")) return;
      unusable = fmt::format(" (index {} is {})", quoted(index.name), index.unusable);
    }
    errors_.push_back(
        document_error("sync.primary_key",
                       fmt::format("no unique index of {} is exactly ({}){}", plan_.target,
                                   quoted_list(key_), unusable),
                       fmt::format("Create one: CREATE UNIQUE INDEX CONCURRENTLY ON {} ({});",
                                   plan_.target, quoted_list(key_))));
  }

  void unknown_column(std::string path, const std::string& column) {
    const auto names = column_names(plan_.table);
    std::string remedy = did_you_mean(column, names);
    if (remedy.empty()) remedy = fmt::format("Its columns: {}.", fmt::join(names, ", "));
    errors_.push_back(document_error(
        std::move(path), fmt::format("{} has no column \"{}\"", plan_.target, column), remedy));
  }

  void collect_columns() {
    if (task_.sync.columns) {
      for (std::size_t i = 0; i < task_.sync.columns->size(); ++i) {
        add_mapped((*task_.sync.columns)[i], fmt::format("sync.columns[{}]", i));
      }
    } else {
      for (const auto& column : plan_.table.columns) {
        if (column.generated || column.name == task_.sync.extra_fields_column) continue;
        if (column.identity == 'a' && !in_key(column.name)) continue;
        task::Column by_name;
        by_name.field = field_of(column.name);
        by_name.column = column.name;
        add_mapped(by_name, "target.table");
      }
    }
    for (const auto& column : key_) {
      if (!has_column(column) && plan_.table.find(column) != nullptr) {
        errors_.push_back(document_error(
            "sync.primary_key", fmt::format("column \"{}\" is not among sync.columns", column),
            "Add the field that fills it to sync.columns."));
      }
    }
    add_extra();
    if (plan_.columns.empty() && errors_.empty()) {
      errors_.push_back(document_error(
          "target.table", fmt::format("{} has no column that can be written", plan_.target)));
    }
    if (updates() && errors_.empty() && plan_.columns.size() == key_.size()) {
      errors_.push_back(document_error(
          "sync.columns", fmt::format("nothing but the key of {} is mapped", plan_.target),
          "Add a column that is to be updated."));
    }
    order_key_first();
    choose_newer();
  }

  // The column of only_if_newer, which must be of a type that has an order.
  void choose_newer() {
    if (!task_.sync.only_if_newer) return;
    const std::string& name = *task_.sync.only_if_newer;
    const ColumnInfo* info = plan_.table.find(name);
    if (info == nullptr) return unknown_column("sync.only_if_newer", name);
    const auto found = std::find_if(plan_.columns.begin(), plan_.columns.end(),
                                    [&](const PlanColumn& column) { return column.name == name; });
    std::string wrong;
    if (is_without_order(info->type)) {
      wrong = fmt::format("is {}, a type without an order", info->type.name);
    } else if (found == plan_.columns.end()) {
      wrong = "is not written by this task";
    } else if (found->key) {
      wrong = "is part of the key";
    }
    if (wrong.empty()) {
      plan_.newer = static_cast<int>(found - plan_.columns.begin());
      return;
    }
    errors_.push_back(document_error(
        "sync.only_if_newer", fmt::format("column \"{}\" of {} {}", name, plan_.target, wrong),
        "Name a column that grows, such as a version or the time of the change."));
  }

  bool in_key(const std::string& name) const {
    return std::find(key_.begin(), key_.end(), name) != key_.end();
  }
  bool has_column(const std::string& name) const {
    return std::any_of(plan_.columns.begin(), plan_.columns.end(),
                       [&](const auto& column) { return column.name == name; });
  }

  void add_mapped(const task::Column& mapped, const std::string& path) {
    const ColumnInfo* info = plan_.table.find(mapped.column);
    if (info == nullptr) return unknown_column(path + ".column", mapped.column);
    if (info->generated) {
      errors_.push_back(
          document_error(path + ".column",
                         fmt::format("column \"{}\" of {} is generated and cannot be written",
                                     mapped.column, plan_.target),
                         "Leave it out."));
      return;
    }
    auto encoder = ColumnEncoder::compile(*info, EncoderOptions{.unit = mapped.unit,
                                                                .encoding = mapped.encoding,
                                                                .nul = task_.sync.nul,
                                                                .time_zone = task_.sync.time_zone,
                                                                .zone = zone_});
    if (!encoder) {
      Error error = encoder.error();
      error.domain = Domain::kDocument;
      error.code = path + '.' + error.code;
      errors_.push_back(std::move(error));
      return;
    }
    PlanColumn column{.name = mapped.column,
                      .field = mapped.field ? *mapped.field : std::string(name_of(*mapped.meta)),
                      .slot = static_cast<int>(plan_.decoder.inputs.size()),
                      .encoder = std::move(*encoder)};
    column.on_absent = mapped.on_absent;
    column.on_null = mapped.on_null;
    set_policy(column, *info, mapped);
    message::Input input;
    input.field = mapped.field;
    input.meta = mapped.meta ? input_meta(*mapped.meta) : message::Input::Meta::kNone;
    if (mapped.meta == task::Meta::kHeaders) plan_.decoder_reads_headers = true;
    plan_.decoder.inputs.push_back(std::move(input));
    plan_.columns.push_back(std::move(column));
    if (info->identity == 'a') plan_.overriding = true;
  }

  void set_policy(PlanColumn& column, const ColumnInfo& info, const task::Column& mapped) {
    column.key = in_key(mapped.column);
    column.update = mapped.update || column.key;
    plan_.insert_only = plan_.insert_only || !column.update;
    column.has_default = info.has_default;
    column.required = info.not_null && !info.has_default;
    column.not_null = info.not_null && !info.type.domain;
    if (info.identity == 0) column.default_sql = info.default_sql;
    // Defaults behind a view or a foreign table are not in this catalog: absent is left out there
    // too.
    const bool unseen =
        plan_.table.kind == RelationKind::kView || plan_.table.kind == RelationKind::kForeign;
    column.optional = info.has_default || unseen || mapped.on_absent == task::OnAbsent::kKeep;
    plan_.keeps = plan_.keeps || mapped.on_absent == task::OnAbsent::kKeep;
    if (!mapped.default_json) return;
    // The schema has seen that this is one JSON value; strings are kept decoded.
    const std::string& json = *mapped.default_json;
    message::Kind kind = message::Kind::kNumber;
    column.constant_text = json;
    switch (json.empty() ? 'n' : json[0]) {
      case '"':
        kind = message::Kind::kString;
        column.constant_text = boost::json::value_to<std::string>(boost::json::parse(json));
        break;
      case '{':
        kind = message::Kind::kJsonObject;
        break;
      case '[':
        kind = message::Kind::kJsonArray;
        break;
      case 'n':
        kind = message::Kind::kNull;
        break;
      case 't':
      case 'f':
        kind = message::Kind::kBool;
        break;
      default:
        break;
    }
    column.constant = kind;
  }

  void add_extra() {
    if (task_.sync.extra_fields == task::ExtraFields::kFail) {
      plan_.decoder.extra = message::Extra::kFail;
    }
    if (task_.sync.extra_fields != task::ExtraFields::kColumn) return;
    plan_.decoder.extra = message::Extra::kCollect;
    const std::string& name = task_.sync.extra_fields_column;
    const ColumnInfo* info = plan_.table.find(name);
    if (info == nullptr) return unknown_column("sync.extra_fields.column", name);
    if (info->type.name != "jsonb" && info->type.name != "json") {
      errors_.push_back(
          document_error("sync.extra_fields.column",
                         fmt::format("column \"{}\" is {}, not jsonb", name, info->type.name),
                         "Name a column of type jsonb or json."));
      return;
    }
    auto encoder = ColumnEncoder::compile(
        *info,
        EncoderOptions{.nul = task_.sync.nul, .time_zone = task_.sync.time_zone, .zone = zone_});
    if (!encoder) {
      errors_.push_back(encoder.error());
      return;
    }
    PlanColumn column{.name = name,
                      .field = "(fields that no column takes)",
                      .slot = static_cast<int>(plan_.decoder.inputs.size()),
                      .encoder = std::move(*encoder)};
    column.has_default = info->has_default;
    column.optional = info->has_default;
    plan_.columns.push_back(std::move(column));
  }

  void order_key_first() {
    const auto rank = [&](const PlanColumn& column) {
      return std::find(key_.begin(), key_.end(), column.name) - key_.begin();
    };
    std::stable_sort(plan_.columns.begin(), plan_.columns.end(),
                     [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
    plan_.key_columns = static_cast<int>(key_.size());
    for (const auto& column : plan_.columns) {
      if (column.key) plan_.key_slots.push_back(column.slot);
    }
    plan_.binary = std::all_of(plan_.columns.begin(), plan_.columns.end(),
                               [](const auto& column) { return column.encoder.has_binary(); }) &&
                   (plan_.way != Way::kCopy || plan_.lock_target);
  }

  const task::Task& task_;
  std::shared_ptr<const postgres::TimeZone> zone_;
  Plan plan_;
  std::vector<std::string> key_;
  std::vector<Error> errors_;
};

}  // namespace

tl::expected<Plan, std::vector<Error>> compile(const task::Task& task, TableInfo table,
                                               std::shared_ptr<const postgres::TimeZone> zone,
                                               std::size_t number) {
  return Compiler(task, std::move(table), std::move(zone), number).run();
}

}  // namespace sluice::sink
