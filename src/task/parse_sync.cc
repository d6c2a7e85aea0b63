// The part of Parser for the section `sync`.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "json/path.h"
#include "task/parser.h"
#include "task/table_rules.h"

namespace sluice::task {

namespace {

constexpr std::size_t kMostColumns = 1600;  // of a PostgreSQL table

}  // namespace

void Parser::read_sync() {
  Sync& sync = task_.sync;
  read_choice("sync.mode", kModeNames, sync.mode);
  read_choice("sync.write", kWriteNames, sync.write);
  read_choice("sync.nul", kNulNames, sync.nul);
  read_choice("sync.on_tombstone", kOnTombstoneNames, sync.on_tombstone);
  read_choice("sync.unchanged", kUnchangedNames, sync.unchanged);
  read_text("sync.time_zone", sync.time_zone,
            [](std::string_view text) { return !text.empty() && text.size() <= 255; });
  sync.primary_key = texts("sync.primary_key");
  for (std::size_t i = 0; i < sync.primary_key.size(); ++i) {
    if (is_identifier(sync.primary_key[i])) continue;
    valid_.refuse(join_path("sync.primary_key", i), valid_.at("sync.primary_key")->items[i]);
  }
  refuse_duplicates("sync.primary_key", sync.primary_key);
  std::string newer;
  if (read_text("sync.only_if_newer", newer, is_identifier)) sync.only_if_newer = newer;
  read_extra_fields();
  read_columns();
  check_write();
  read_mirror();
}

// What only one of the modes has is refused in the other one: it would do nothing there.
void Parser::read_mirror() {
  constexpr std::string_view kMirrorOnly[] = {
      "format",         "on_delete", "on_truncate",       "on_missing_row", "metadata",     "sweep",
      "schema_changes", "units",     "unavailable_value", "tables",         "signal_tables"};
  constexpr std::string_view kMappingOnly[] = {"extra_fields", "unchanged", "on_tombstone",
                                               "columns"};
  Sync& sync = task_.sync;
  const auto refuse_all = [&](const auto& names, std::string_view mode) {
    for (const std::string_view name : names) {
      const std::string path = join_path("sync", name);
      if (valid_.at(path) == nullptr) continue;
      valid_.add(path, fmt::format("found together with mode: {}, which has no such choice", mode),
                 "Leave it out.");
    }
  };
  if (!sync.mirrors()) {
    if (sync.write == Write::kHistory) {
      valid_.refuse("sync.write", "history, together with mode: mapping", "mode: mirror");
    }
    if (TableRules::is_template(task_.target.table)) {
      valid_.refuse("target.table", "a template, together with mode: mapping", "mode: mirror");
    }
    return refuse_all(kMirrorOnly, "mapping");
  }
  refuse_all(kMappingOnly, "mirror");
  if (!sync.keeps_history() && valid_.at("sync.write") != nullptr) {
    valid_.add("sync.write", "found together with mode: mirror, which has no choice but history",
               "Leave it out.");
  }
  if (task_.target.level == Level::kPostgres94) {
    valid_.refuse("sync.mode", "mirror, together with target.level: postgresql_9_4", "mapping");
  }
  read_choice("sync.format", kFormatNames, sync.format);
  if (const auto column =
          read_choice_or_column("sync.on_delete", "mark", kOnDeleteNames, sync.on_delete)) {
    sync.on_delete = OnDelete::kMark;
    sync.mark_column = *column;
  }
  if (sync.keeps_history() && sync.on_delete == OnDelete::kMark) {
    valid_.refuse("sync.on_delete", "mark, together with write: history", "delete or ignore",
                  "A history has a row for each delete.");
  }
  read_choice("sync.on_missing_row", kOnMissingRowNames, sync.on_missing_row);
  read_choice("sync.on_truncate", kOnTruncateNames, sync.on_truncate);
  read_choice("sync.schema_changes", kSchemaChangesNames, sync.schema_changes);
  read_text("sync.unavailable_value", sync.unavailable_value,
            [](std::string_view text) { return !text.empty() && text.size() <= 1000; });
  read_choices_by_column("sync.units", kWireUnitNames, sync.units);
  read_choices_by_column("sync.metadata", kEventMetaNames, sync.metadata);
  check_position();
  read_choice("sync.sweep", kSweepNames, sync.sweep);
  check_sweep();
  read_tables();
  if (valid_.at("sync.signal_tables") != nullptr) {
    sync.signal_tables = texts("sync.signal_tables");
    for (std::size_t i = 0; i < sync.signal_tables.size(); ++i) {
      const std::string& name = sync.signal_tables[i];
      const bool good = !name.empty() && name != "*" && name.find('*') >= name.size() - 1;
      if (!good) {
        valid_.refuse(join_path("sync.signal_tables", i),
                      valid_.at("sync.signal_tables")->items[i]);
      }
    }
  }
  if (sync.on_delete == OnDelete::kMark && sync.metadata.contains(sync.mark_column)) {
    valid_.add("sync.on_delete.mark",
               fmt::format("found \"{}\", which sync.metadata fills", sync.mark_column),
               "Name another column.");
  }
}

// Mirror: the column that only_if_newer goes by.
void Parser::check_position() {
  constexpr std::string_view kPath = "sync.only_if_newer";
  const Sync& sync = task_.sync;
  if (!sync.only_if_newer) return;
  const std::string found = Validator::found_text(kPath, *valid_.at(kPath));
  if (sync.keeps_history()) {
    valid_.refuse(kPath, fmt::format("{}, together with write: history", found), "null",
                  "A history has a row for each change.");
    return;
  }
  const auto meta = sync.metadata.find(*sync.only_if_newer);
  const bool grows = meta != sync.metadata.end() &&
                     (meta->second == EventMeta::kLsn || meta->second == EventMeta::kPosition ||
                      meta->second == EventMeta::kSourceTime);
  if (!grows) {
    valid_.add(kPath,
               fmt::format("found {}, which sync.metadata does not fill with lsn, position or "
                           "source_ts_ms",
                           found),
               "Deletes say no other column's value: keep the source's position beside the rows, "
               "such as metadata: {_op: op, _lsn: lsn} of PostgreSQL, {_position: position} of "
               "MySQL.");
    return;
  }
  const bool has_op = std::ranges::any_of(
      sync.metadata, [](const auto& item) { return item.second == EventMeta::kOp; });
  if (has_op || meta->second == EventMeta::kPosition) return;
  valid_.add(kPath, fmt::format("found {}, and no column of sync.metadata holds op", found),
             "Add one, such as metadata: {_op: op}: it tells rows of a snapshot, which by their "
             "position seem newer than changes that were under way when it was taken.");
}

// Which rows a snapshot has brought, their position says: that of another topic's or partition's,
// or of another table's, would say nothing.
void Parser::check_sweep() {
  const Sync& sync = task_.sync;
  if (sync.sweep == Sweep::kOff) return;
  constexpr std::string_view kPath = "sync.sweep";
  const auto is_exact = [](const auto& item) {
    return item.second == EventMeta::kLsn || item.second == EventMeta::kPosition;
  };
  const auto newer = sync.metadata.find(sync.only_if_newer.value_or(""));
  const bool by_time = newer != sync.metadata.end() && !is_exact(*newer);
  if (by_time || std::ranges::none_of(sync.metadata, is_exact)) {
    valid_.add(kPath,
               by_time
                   ? "found after_snapshot, and sync.only_if_newer goes by times"
                   : "found after_snapshot, and no column of sync.metadata holds lsn or position",
               "Keep the source's position beside the rows, such as metadata: {_lsn: lsn} of "
               "PostgreSQL, {_position: position} of MySQL.");
  }
  if (sync.keeps_history()) {
    valid_.refuse(kPath, "after_snapshot, together with write: history", "off");
  }
  const auto& topics = task_.source.topics;
  const bool one = topics.size() == 1 && !topics.front().starts_with('^') &&
                   !TableRules::is_template(task_.target.table);
  if (one) return;
  valid_.add(kPath, "found after_snapshot, with several topics or tables",
             "Give the table a task of its own, with its one topic: another topic's rows would be "
             "swept with those that the snapshot does not have.");
}

void Parser::read_tables() {
  Sync& sync = task_.sync;
  sync.tables.include = texts("sync.tables.include");
  sync.tables.exclude = texts("sync.tables.exclude");
  if (const Node* node = valid_.at("sync.tables.rename")) {
    for (const auto& [from, to] : node->members) sync.tables.rename[from] = to.text;
  }
  if (!TableRules::is_template(task_.target.table)) {
    if (valid_.at("sync.tables") != nullptr) {
      valid_.add(
          "sync.tables", "found together with a target.table that is one table",
          "Leave it out, or write a template: target.table: \"{source.schema}.{source.table}\".");
    }
    return;
  }
  if (!sync.primary_key.empty()) {
    valid_.refuse("sync.primary_key", "a key for all tables of a template", "the keys of messages",
                  "Give the tables their keys, or those without one tasks of their own.");
  }
  if (auto rules = TableRules::compile(task_.target, sync.tables); !rules) {
    valid_.add(rules.error().code, rules.error().message, rules.error().remedy);
  }
}

// {COLUMN: CHOICE, ...}
template <class E, std::size_t N>
void Parser::read_choices_by_column(std::string_view path, const Name<E> (&names)[N],
                                    std::map<std::string, E>& choices) {
  const Node* node = valid_.at(path);
  if (node == nullptr) return;
  for (const auto& [column, choice] : node->members) {
    const auto found = std::ranges::find(names, choice.text, &Name<E>::first);
    if (found != std::end(names)) {
      choices[column] = found->second;
      continue;
    }
    const std::string place = join_path(path, column);
    valid_.refuse(place, Validator::found_text(place, choice),
                  std::string(find_key(join_path(path, "*"))->allowed));
  }
}

// A word of the choices, or {WORD: COLUMN}: returns the column.
template <class E, std::size_t N>
std::optional<std::string> Parser::read_choice_or_column(std::string_view path,
                                                         std::string_view word,
                                                         const Name<E> (&names)[N], E& choice) {
  const Node* node = valid_.at(path);
  if (node == nullptr) return std::nullopt;
  const Node* column = node->find(word);
  const auto found = std::ranges::find(names, node->text, &Name<E>::first);
  if (node->kind == Node::Kind::kText && found != std::end(names)) {
    choice = found->second;
  } else if (node->members.size() != 1 || column == nullptr) {
    valid_.refuse(path, *node);
  } else if (column->kind != Node::Kind::kText || !is_identifier(column->text)) {
    const std::string place = join_path(path, word);
    valid_.refuse(place, Validator::found_text(place, *column),
                  "the name of a column, 1 to 63 bytes");
  } else {
    return column->text;
  }
  return std::nullopt;
}

void Parser::read_extra_fields() {
  constexpr Name<ExtraFields> kNames[] = {{"ignore", ExtraFields::kIgnore},
                                          {"fail", ExtraFields::kFail}};
  const auto column =
      read_choice_or_column("sync.extra_fields", "column", kNames, task_.sync.extra_fields);
  if (!column) return;
  task_.sync.extra_fields = ExtraFields::kColumn;
  task_.sync.extra_fields_column = *column;
}

void Parser::read_columns() {
  constexpr std::string_view kPath = "sync.columns";
  const Node* node = valid_.at(kPath);
  if (node == nullptr) return;
  if (node->items.size() > kMostColumns) {
    return valid_.refuse(kPath, fmt::format("{} entries", node->items.size()),
                         fmt::format("at most {}, as a table has", kMostColumns));
  }
  task_.sync.columns.emplace();
  for (std::size_t i = 0; i < node->items.size(); ++i) {
    task_.sync.columns->push_back(read_column(node->items[i], join_path(kPath, i)));
  }
  check_columns_together();
}

Column Parser::read_column(const Node& item, const std::string& path) {
  Column column;
  const auto at = [&](std::string_view name) { return join_path(path, name); };
  read_text(at("column"), column.column, is_identifier);
  std::string field;
  if (read_text(at("field"), field, [](std::string_view text) { return !text.empty(); })) {
    column.field = field;
    if (field.starts_with('$')) {
      const Node& node = *valid_.at(at("field"));
      if (const auto compiled = json::Path::compile(field); !compiled) {
        const std::string why = node.written ? "syntax error" : compiled.error().message;
        valid_.add(at("field"),
                   fmt::format("found {}, which is no JSONPath that Sluice knows: {}",
                               Validator::found_text(at("field"), node), why),
                   node.written ? std::string() : compiled.error().remedy);
      }
    }
  }
  if (valid_.at(at("meta")) != nullptr) read_choice(at("meta"), kMetaNames, column.meta.emplace());
  read_choice(at("on_absent"), kOnAbsentNames, column.on_absent);
  read_choice(at("on_null"), kOnNullNames, column.on_null);
  if (const Node* value = valid_.at(at("default"))) column.default_json = to_json(*value);
  read_choice(at("unit"), kUnitNames, column.unit);
  read_choice(at("encoding"), kEncodingNames, column.encoding);
  if (const Node* update = valid_.at(at("update"))) column.update = update->text == "true";
  check_column(column, item, path);
  return column;
}

void Parser::check_column(const Column& column, const Node& item, const std::string& path) {
  const bool has_field = item.find("field") != nullptr;
  const bool has_meta = item.find("meta") != nullptr;
  if (item.kind != Node::Kind::kMap) return;
  if (has_field == has_meta) {
    valid_.refuse(path, has_field ? "both field and meta" : "neither field nor meta",
                  "exactly one of field and meta");
  }
  if (has_meta && !has_field) {
    for (const char* name : {"on_absent", "unit", "encoding"}) {
      if (item.find(name) == nullptr) continue;
      valid_.add(join_path(path, name),
                 fmt::format("found together with meta; {} is for fields only", name),
                 fmt::format("Leave {} out.", name));
    }
  }
  if (column.unit != Unit::kNone && column.encoding != Encoding::kNone) {
    valid_.refuse(path, "both unit and encoding",
                  "one of them: unit is for timestamps, encoding for bytea");
  }
  if (column.on_absent == OnAbsent::kKeep && !changes_rows()) {
    valid_.refuse(join_path(path, "on_absent"), "keep, without write: upsert or update",
                  "keep with sync.write: upsert or update; else default, null, fail",
                  "Inserted rows have nothing to keep.");
  }
  if (!column.update && task_.sync.write != Write::kUpsert) {
    valid_.refuse(join_path(path, "update"), "false, without write: upsert",
                  "false with sync.write: upsert; else true");
  }
  const bool absent_asks = !has_meta && column.on_absent == OnAbsent::kDefault;
  if (column.default_json && !absent_asks && column.on_null != OnNull::kDefault) {
    valid_.refuse(join_path(path, "default"), "a default that nothing asks for",
                  "default together with on_absent: default or on_null: default");
  }
}

void Parser::check_columns_together() {
  const std::vector<Column>& columns = *task_.sync.columns;
  std::map<std::string, std::string, std::less<>> first_use;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].column.empty()) continue;
    const std::string path = join_path(join_path("sync.columns", i), "column");
    const auto [at, is_new] = first_use.emplace(columns[i].column, path);
    if (is_new) continue;
    valid_.add(path,
               fmt::format("found {}, which {} feeds already",
                           Validator::found_text(path, *valid_.at(path)), at->second),
               "A column takes one value: remove one of the entries.");
  }
  if (task_.sync.extra_fields == ExtraFields::kColumn) {
    const auto used = first_use.find(task_.sync.extra_fields_column);
    if (used != first_use.end()) {
      valid_.refuse("sync.extra_fields.column",
                    fmt::format("the column that {} feeds", used->second), "a column of its own");
    }
  }
  for (std::size_t i = 0; i < task_.sync.primary_key.size(); ++i) {
    const std::string& name = task_.sync.primary_key[i];
    const std::string path = join_path("sync.primary_key", i);
    const Node& item = valid_.at("sync.primary_key")->items[i];
    const auto used = first_use.find(name);
    if (used == first_use.end()) {
      valid_.add(path,
                 fmt::format("found {}, which no entry of sync.columns feeds",
                             Validator::found_text(path, item)),
                 "Add an entry for it, or take it out of the key.");
      continue;
    }
    const auto keeps = std::any_of(columns.begin(), columns.end(), [&](const Column& column) {
      return column.column == name && column.on_absent == OnAbsent::kKeep;
    });
    if (keeps && changes_rows()) {
      valid_.add(
          path,
          fmt::format("found {}, whose entry says on_absent: keep",
                      Validator::found_text(path, item)),
          "A row is found by its key, so the key must be in the message: use on_absent: fail.");
    }
  }
}

void Parser::check_write() {
  check_only_if_newer();
  const OnTombstone on_tombstone = task_.sync.on_tombstone;
  const std::string_view name = name_in(kOnTombstoneNames, on_tombstone);
  if (!changes_rows() && on_tombstone != OnTombstone::kFail) {
    valid_.refuse("sync.on_tombstone", fmt::format("{}, without write: upsert or update", name),
                  "delete, ignore with sync.write: upsert or update; else fail");
  }
  if (!changes_rows() && task_.sync.unchanged == Unchanged::kSkip) {
    valid_.refuse("sync.unchanged", "skip, without write: upsert or update",
                  "skip with sync.write: upsert or update; else write");
  }
  if (task_.sync.only_if_newer && on_tombstone == OnTombstone::kDelete) {
    valid_.refuse("sync.on_tombstone", fmt::format("{}, together with only_if_newer", name),
                  "fail, ignore with sync.only_if_newer",
                  "A tombstone has no value that could be older or newer than the row's.");
  }
}

void Parser::check_only_if_newer() {
  constexpr std::string_view kPath = "sync.only_if_newer";
  const Sync& sync = task_.sync;
  if (!sync.only_if_newer || sync.mirrors()) return;
  const std::string found = Validator::found_text(kPath, *valid_.at(kPath));
  if (!changes_rows()) {
    valid_.refuse(kPath, fmt::format("{}, without write: upsert or update", found),
                  "a column with sync.write: upsert or update; else null");
  }
  const auto& key = sync.primary_key;
  if (std::find(key.begin(), key.end(), *sync.only_if_newer) != key.end()) {
    valid_.add(kPath, fmt::format("found {}, a column of the key, which is equal in both", found),
               "Name a column that grows, such as a version or the time of the change.");
  }
  if (!sync.columns) return;
  const auto entry =
      std::find_if(sync.columns->begin(), sync.columns->end(),
                   [&](const Column& column) { return column.column == *sync.only_if_newer; });
  if (entry == sync.columns->end()) {
    valid_.add(kPath, fmt::format("found {}, which no entry of sync.columns feeds", found),
               "Add an entry for it.");
  } else if (!entry->update) {
    valid_.add(kPath, fmt::format("found {}, whose entry says update: false", found),
               "It must grow with the row: leave update out.");
  }
}

}  // namespace sluice::task
