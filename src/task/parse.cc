#include "task/parse.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <limits>
#include <set>

#include "json/path.h"
#include "task/identifiers.h"
#include "task/names.h"
#include "task/validate.h"
#include "task/values.h"

namespace sluice::task {

namespace {

constexpr std::size_t kMostColumns = 1600;  // of a PostgreSQL table

class Parser {
 public:
  explicit Parser(const Node& document) : valid_(document) {}

  tl::expected<Task, Errors> run() {
    read_head();
    read_source();
    read_target();
    read_sync();
    read_tuning();
    Errors errors = valid_.take_errors();
    if (!errors.empty()) return tl::unexpected(std::move(errors));
    return std::move(task_);
  }

 private:
  template <class E, std::size_t N>
  void read_choice(std::string_view path, const Name<E> (&names)[N], E& into) {
    const Node* node = valid_.at(path);
    if (node == nullptr) return;
    const std::string_view text = node->is_null() ? std::string_view("null") : node->text;
    for (const auto& [name, value] : names) {
      if (name == text) into = value;
    }
  }
  // The text at a path where `good` holds for it; else there is an error about it.
  template <class Good>
  bool read_text(std::string_view path, std::string& into, Good good) {
    const Node* node = valid_.at(path);
    if (node == nullptr) return false;
    if (!good(std::string_view(node->text))) {
      valid_.refuse(path, *node);
      return false;
    }
    into = node->text;
    return true;
  }
  void read_integer(std::string_view path, std::int64_t& into) {
    if (const Node* node = valid_.at(path)) into = *parse_integer(node->text);
  }
  std::vector<std::string> texts(std::string_view path) {
    std::vector<std::string> found;
    if (const Node* node = valid_.at(path)) {
      for (const Node& item : node->items) found.push_back(item.text);
    }
    return found;
  }
  void refuse_duplicates(std::string_view path, const std::vector<std::string>& values);

  void read_head();
  void read_source();
  void read_topics();
  void read_start();
  void read_start_offsets(const Node& node);
  bool read_partitions(const Node& node, std::string_view path, const std::string& topic,
                       StartOffsets& start);
  bool is_subscribed(const std::string& topic) const;
  void read_target();
  void read_sync();
  void read_mirror();
  void read_extra_fields();
  void read_columns();
  Column read_column(const Node& item, const std::string& path);
  void check_column(const Column& column, const Node& item, const std::string& path);
  void check_columns_together();
  void check_write();
  void check_only_if_newer();
  void read_tuning();

  // Existing rows are found by their key and changed.
  bool changes_rows() const {
    return task_.sync.write == Write::kUpsert || task_.sync.write == Write::kUpdate;
  }

  Validator valid_;
  Task task_;
};

void Parser::refuse_duplicates(std::string_view path, const std::vector<std::string>& values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto first = std::find(values.begin(), values.end(), values[i]) - values.begin();
    if (static_cast<std::size_t>(first) == i) continue;
    const auto item = join_path(path, i);
    valid_.add(item,
               fmt::format("found {} a second time; {} has it already",
                           Validator::found_text(item, valid_.at(path)->items[i]),
                           join_path(path, static_cast<std::size_t>(first))),
               "Name it once.");
  }
}

void Parser::read_head() {
  read_text("name", task_.name, is_task_name);
  read_text("description", task_.description, [](auto) { return true; });
  read_choice("on_failure", kOnFailureNames, task_.on_failure);
  read_choice("delivery", kDeliveryNames, task_.delivery);
  if (task_.delivery == Delivery::kAtLeastOnce && task_.on_failure == OnFailure::kDeliver) {
    valid_.refuse("on_failure", "deliver, together with delivery: at_least_once",
                  "retain, discard with delivery: at_least_once",
                  "Dead letters are kept beside the ledger, which such a task does not have.");
  }
  if (const Node* node = valid_.at("breaker.share")) {
    task_.breaker.share = *parse_number(node->text);
  }
  read_integer("breaker.window", task_.breaker.window);
  if (const Node* node = valid_.at("retry_for")) {
    task_.retry_for = std::chrono::milliseconds(*parse_duration(node->text));
  }
}

void Parser::read_source() {
  if (const Node* node = valid_.at("source.kafka")) {
    for (const Member& member : node->members) {
      task_.source.kafka.emplace(member.name, member.value.as_written());
    }
    const auto servers = task_.source.kafka.find("bootstrap.servers");
    if (servers == task_.source.kafka.end() || servers->second.empty()) {
      valid_.refuse("source.kafka.bootstrap.servers",
                    servers == task_.source.kafka.end() ? "nothing" : "an empty text",
                    "HOST:PORT of one or more brokers, joined by commas",
                    "Add bootstrap.servers: \"HOST:9092\".");
    }
  }
  read_topics();
  read_start();
  std::string group;
  if (read_text("source.group", group, is_group_name)) {
    task_.source.group = group;
  }
  read_choice("source.on_gap", kOnGapNames, task_.source.on_gap);
}

void Parser::read_topics() {
  task_.source.topics = texts("source.topics");
  const auto& topics = task_.source.topics;
  for (std::size_t i = 0; i < topics.size(); ++i) {
    const std::string path = join_path("source.topics", i);
    const Node& item = valid_.at("source.topics")->items[i];
    if (!topics[i].starts_with('^')) {
      if (!is_topic_name(topics[i])) valid_.refuse(path, item);
      continue;
    }
    const RE2 expression(topics[i], RE2::Quiet);
    if (expression.ok()) continue;
    // RE2 repeats a piece of the expression; that must not be what a placeholder stood for.
    const std::string why = item.written ? std::string("syntax error") : expression.error();
    valid_.add(path,
               fmt::format("found {}, which is no regular expression of RE2: {}",
                           Validator::found_text(path, item), why),
               "See https://github.com/google/re2/wiki/Syntax.");
  }
  refuse_duplicates("source.topics", topics);
}

bool Parser::is_subscribed(const std::string& topic) const {
  return std::any_of(task_.source.topics.begin(), task_.source.topics.end(), [&](const auto& each) {
    return each == topic ||
           (each.starts_with('^') && RE2::PartialMatch(topic, RE2(each, RE2::Quiet)));
  });
}

void Parser::read_start() {
  constexpr std::string_view kPath = "source.start";
  const Node* node = valid_.at(kPath);
  if (node == nullptr) return;
  if (node->kind == Node::Kind::kText) {
    if (node->text == "latest")
      task_.source.start = StartLatest{};
    else if (node->text != "earliest")
      valid_.refuse(kPath, *node);
    return;
  }
  if (node->members.size() != 1) return valid_.refuse(kPath, *node);
  const auto& [form, value] = node->members.front();
  const std::string path = join_path(kPath, form);
  if (form == "timestamp") {
    const auto time = value.kind == Node::Kind::kText ? parse_timestamp(value.text) : std::nullopt;
    // Kafka takes negative ones for other questions (-1 is the end).
    if (time && *time >= 0)
      task_.source.start = StartTimestamp{*time};
    else {
      valid_.refuse(path, Validator::found_text(path, value),
                    "a time of RFC 3339 from 1970 on, such as 2026-01-01T00:00:00Z or "
                    "2026-01-01T02:00:00+02:00");
    }
  } else if (form == "offsets") {
    read_start_offsets(value);
  } else if (form == "group") {
    if (value.kind == Node::Kind::kText && is_group_name(value.text))
      task_.source.start = StartGroup{value.text};
    else
      valid_.refuse(path, Validator::found_text(path, value),
                    "the name of a consumer group, 1 to 249 characters");
  } else {
    valid_.refuse(kPath, fmt::format("a map with {}", quoted(form)), key_at(kPath)->allowed);
  }
}

void Parser::read_start_offsets(const Node& node) {
  constexpr std::string_view kPath = "source.start.offsets";
  constexpr std::string_view kAllowed =
      "{PARTITION: OFFSET} with one topic, or {TOPIC: {PARTITION: OFFSET}}";
  StartOffsets start;
  bool good = node.kind == Node::Kind::kMap && !node.members.empty();
  if (!good) return valid_.refuse(kPath, Validator::found_text(kPath, node), kAllowed);
  const auto is_map = [](const Member& member) { return member.value.kind == Node::Kind::kMap; };
  const auto maps = std::count_if(node.members.begin(), node.members.end(), is_map);
  if (maps == 0) {
    const auto& topics = task_.source.topics;
    if (valid_.at("source.topics") != nullptr &&
        (topics.size() != 1 || topics.front().starts_with('^'))) {
      valid_.refuse(kPath,
                    "partitions without their topic, where source.topics is more than one name",
                    "{TOPIC: {PARTITION: OFFSET}}");
    }
    good = read_partitions(node, kPath, "", start);
  } else {
    for (const auto& [topic, partitions] : node.members) {
      const std::string path = join_path(kPath, topic);
      if (partitions.kind != Node::Kind::kMap || partitions.members.empty()) {
        valid_.refuse(path, Validator::found_text(path, partitions), "{PARTITION: OFFSET}");
      } else if (valid_.at("source.topics") != nullptr && !is_subscribed(topic)) {
        valid_.refuse(path, "a topic that source.topics does not name", "topics of source.topics");
      } else {
        read_partitions(partitions, path, topic, start);
      }
    }
  }
  task_.source.start = std::move(start);
}

bool Parser::read_partitions(const Node& node, std::string_view path, const std::string& topic,
                             StartOffsets& start) {
  bool good = true;
  for (const auto& [name, value] : node.members) {
    const auto partition = parse_count(name);
    const auto offset =
        value.kind == Node::Kind::kNumber || value.written ? parse_count(value.text) : std::nullopt;
    const std::string item = join_path(path, name);
    if (!partition || *partition > std::numeric_limits<std::int32_t>::max()) {
      good = false;
      valid_.refuse(path, fmt::format("a partition named {}", quoted(name)),
                    "partition numbers from 0 on");
    } else if (!offset) {
      good = false;
      valid_.refuse(item, Validator::found_text(item, value), "an offset, 0 or more");
    } else {
      start.offsets[topic][static_cast<std::int32_t>(*partition)] = *offset;
    }
  }
  return good;
}

void Parser::read_target() {
  read_text("target.postgres", task_.target.postgres, [](std::string_view text) {
    return text.starts_with("postgresql://") || text.starts_with("postgres://") ||
           text.find('=') != std::string_view::npos;
  });
  read_text("target.table", task_.target.table, is_table_name);
  read_choice("target.pooler", kPoolerNames, task_.target.pooler);
  read_choice("target.level", kLevelNames, task_.target.level);
  read_text("target.ledger_schema", task_.target.ledger_schema,
            [](std::string_view text) { return is_identifier(text) && !text.starts_with("pg_"); });
}

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
  constexpr std::string_view kMirrorOnly[] = {"format",         "on_delete", "on_truncate",
                                              "schema_changes", "units",     "unavailable_value"};
  constexpr std::string_view kMappingOnly[] = {"write",     "extra_fields", "only_if_newer",
                                               "unchanged", "on_tombstone", "columns"};
  Sync& sync = task_.sync;
  const auto refuse_all = [&](const auto& names, std::string_view mode) {
    for (const std::string_view name : names) {
      const std::string path = join_path("sync", name);
      if (valid_.at(path) == nullptr) continue;
      valid_.add(path, fmt::format("found together with mode: {}, which has no such choice", mode),
                 "Leave it out.");
    }
  };
  if (!sync.mirrors()) return refuse_all(kMirrorOnly, "mapping");
  refuse_all(kMappingOnly, "mirror");
  if (task_.target.level == Level::kPostgres94) {
    valid_.refuse("sync.mode", "mirror, together with target.level: postgresql_9_4", "mapping");
  }
  read_choice("sync.format", kFormatNames, sync.format);
  read_choice("sync.on_delete", kOnDeleteNames, sync.on_delete);
  read_choice("sync.on_truncate", kOnTruncateNames, sync.on_truncate);
  read_choice("sync.schema_changes", kSchemaChangesNames, sync.schema_changes);
  read_text("sync.unavailable_value", sync.unavailable_value,
            [](std::string_view text) { return !text.empty() && text.size() <= 1000; });
  const Node* units = valid_.at("sync.units");
  if (units == nullptr) return;
  for (const auto& [column, unit] : units->members) {
    const std::string path = join_path("sync.units", column);
    WireUnit known = WireUnit::kNone;
    for (const auto& [name, value] : kWireUnitNames) {
      if (name == unit.text) known = value;
    }
    if (known == WireUnit::kNone) {
      valid_.refuse(path, Validator::found_text(path, unit),
                    "s, ms, us, ns, base64, hex, text or unsigned");
    }
    sync.units[column] = known;
  }
}

void Parser::read_extra_fields() {
  constexpr std::string_view kPath = "sync.extra_fields";
  const Node* node = valid_.at(kPath);
  if (node == nullptr) return;
  const Node* column = node->find("column");
  if (node->kind == Node::Kind::kText && (node->text == "ignore" || node->text == "fail")) {
    task_.sync.extra_fields = node->text == "fail" ? ExtraFields::kFail : ExtraFields::kIgnore;
  } else if (node->members.size() != 1 || column == nullptr) {
    valid_.refuse(kPath, *node);
  } else if (column->kind != Node::Kind::kText || !is_identifier(column->text)) {
    const std::string path = join_path(kPath, "column");
    valid_.refuse(path, Validator::found_text(path, *column),
                  "the name of a column, 1 to 63 bytes");
  } else {
    task_.sync.extra_fields = ExtraFields::kColumn;
    task_.sync.extra_fields_column = column->text;
  }
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
  if (!sync.only_if_newer) return;
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

void Parser::read_tuning() {
  Tuning& tuning = task_.tuning;
  if (const Node* node = valid_.at("tuning.lanes")) {
    tuning.lanes = static_cast<int>(*parse_integer(node->text));
  }
  // An UPDATE of such a server locks the ledger's whole table: a second lane would wait for the
  // first.
  if (task_.target.level == Level::kPostgres94) {
    if (tuning.lanes.value_or(1) > 1) {
      valid_.refuse("tuning.lanes",
                    fmt::format("{}, together with target.level: postgresql_9_4", *tuning.lanes),
                    "1");
    }
    tuning.lanes = 1;
  }
  read_integer("tuning.batch_rows", tuning.batch_rows);
  if (const Node* node = valid_.at("tuning.batch_bytes")) {
    tuning.batch_bytes = *parse_bytes(node->text);
  }
  std::int64_t linger_ms = tuning.linger.count();
  read_integer("tuning.linger_ms", linger_ms);
  tuning.linger = std::chrono::milliseconds(linger_ms);
  read_integer("tuning.memory_mb", tuning.memory_mb);
  read_choice("tuning.copy_format", kCopyFormatNames, tuning.copy_format);
}

}  // namespace

tl::expected<Task, Errors> parse(const Node& document) { return Parser(document).run(); }

tl::expected<Task, Errors> parse(const boost::json::value& document) {
  return parse(from_json(document));
}

}  // namespace sluice::task
