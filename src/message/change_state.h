// ChangeDecoder::State: the forms of messages that were met, and the columns that their fields go
// to. Internal to change*.cc.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "json/path.h"
#include "json/reader.h"
#include "message/canal.h"
#include "message/change.h"
#include "message/column_name.h"
#include "message/slot.h"
#include "message/table_change.h"

namespace sluice::message {

// How many schemas are remembered; one table has as many as its form has changed.
inline constexpr std::size_t kMaxSchemas = 256;
inline constexpr std::string_view kSchemaFirst = "{\"schema\":";
inline constexpr std::string_view kThenPayload = ",\"payload\":";
inline constexpr std::string_view kNewKey = "__debezium.newkey";
inline constexpr std::string_view kOldKey = "__debezium.oldkey";
inline constexpr std::string_view kOpHeader = "__op";
inline constexpr std::string_view kHeartbeatTopic = "__debezium-heartbeat";  // the default prefix

inline const Header* find(std::span<const Header> headers, std::string_view name) {
  const auto found = std::ranges::find(headers, name, &Header::name);
  return found == headers.end() || found->null ? nullptr : &*found;
}

inline bool is_white(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

// The four letters, as JsonConverter writes a null without schema.
inline bool is_null_text(std::string_view text) {
  return text.size() >= 4 && text.substr(0, 4) == "null" && is_white(text.substr(4));
}

inline Problem bad_envelope(std::string detail, std::string_view excerpt = {}) {
  Problem problem;
  problem.code = ProblemCode::kBadEnvelope;
  problem.detail = std::move(detail);
  problem.excerpt = excerpt_of(excerpt);
  return problem;
}

// Where values of one JSON object go: which field is which column of the target.
struct Binding {
  std::vector<std::pair<std::size_t, std::size_t>> fields;  // index of `found`, column
  std::vector<const Type*> types;                           // by column
};

// One form of the value of messages: bare, or with one schema.
struct Form {
  bool envelope = false;
  bool service = false;      // it holds no rows
  bool structure = false;    // but says what tables are like
  bool accepted = false;     // else its rows are kNewSchema
  std::string schema;        // its bytes; empty: bare
  std::optional<Type> type;  // of the payload
  std::vector<json::Path> paths;
  std::optional<json::Reader> reader;
  std::vector<json::Slot> found;
  Binding row;
  Binding before;
  std::vector<std::pair<std::size_t, EventMeta>> metadata;  // index of `found`
  std::vector<std::pair<std::size_t, std::string Origin::*>> origin;

  // The first paths of every form, by their place in `found`.
  enum : std::size_t { kOp, kAfter, kBefore, kSource, kDeleted, kRowOp, kIsDdl, kBinlog, kMeta };
};

// The form of Canal's rows, as far as messages say it: types and key, or the names of fields.
struct CanalForm {
  std::string known;  // by what
  Form now;
  Form old;
  std::vector<std::string> new_names;  // that no column takes
  std::vector<std::string> key;        // empty: not said
  bool same_key = false;               // it is the target's
};

struct KeyForm {
  std::string schema;
  std::optional<Type> type;
  std::optional<json::Reader> reader;
  std::vector<json::Slot> found;
  Binding key;
  std::vector<std::string> names;  // of a schema's fields
  bool whole = true;               // its fields are just the columns of the key
};

// The forms of keys met so far, and the last key's columns.
struct Keys {
  explicit Keys(std::size_t columns) : values(columns) {}
  std::deque<std::unique_ptr<KeyForm>> forms;
  std::vector<Value> values;
  std::span<const Type* const> types;
};

// Whether an envelope is of MySQL or MariaDB, whose TIME goes below 0 and beyond a day.
inline bool is_of_mysql(const Type& envelope) {
  const int source = envelope.find("source");
  if (source < 0) return false;
  const std::string& name = envelope.parts[static_cast<std::size_t>(source)].name;
  return name.starts_with("io.debezium.connector.mysql.") ||
         name.starts_with("io.debezium.connector.mariadb.");
}

inline bool is_structure(const Type& type) {
  return type.name.starts_with("io.debezium.connector.") &&
         type.name.ends_with("SchemaChangeValue");
}
// What connectors write beside rows: heartbeats, transactions, changes of schemas.
inline bool is_service(const Type& type) {
  constexpr std::string_view kNames[] = {"io.debezium.connector.common.Heartbeat",
                                         "io.debezium.connector.common.TransactionMetadataValue"};
  return std::ranges::find(kNames, type.name) != std::end(kNames) || is_structure(type);
}
// Without schema: by the names of their fields.
inline bool is_service_by_names(const Type& fields) {
  const auto has = [&](std::string_view name) { return fields.find(name) >= 0; };
  return (has("status") && has("event_count") && has("data_collections")) ||
         (has("ddl") && has("tableChanges") && has("databaseName"));
}

// {"schema": ..., "payload": ...} taken apart.
struct Parts {
  std::string_view schema;  // empty: the document is the payload
  std::string_view payload;
};

struct ChangeDecoder::State {
  explicit State(ChangeConfig the_config)
      : config(std::move(the_config)),
        columns(config.columns.size()),
        wrapper(wrapper_paths(), json::Unmapped::kFail),
        keys(config.key_columns),
        new_keys(config.key_columns),
        row_values(columns),
        before_values(columns) {
    deletes_are_said = config.format == Format::kDebezium;
  }

  static std::vector<json::Path> wrapper_paths() {
    return {json::Path::of_members({"schema"}), json::Path::of_members({"payload"})};
  }

  // ---- fields and columns

  // `names`: all fields of the row.
  std::optional<std::size_t> column_of(std::string_view name,
                                       std::span<const std::string> names) const {
    return message::column_of(config.columns, name, names);
  }
  bool is_ignored(std::string_view name) const {
    return std::ranges::find(config.ignored, name) != config.ignored.end();
  }
  // What ExtractNewRecordState adds to a row, and no table has.
  static bool is_added(std::string_view name) { return name.starts_with("__"); }

  static std::vector<json::Path> meta_paths() {
    std::vector<json::Path> paths(Form::kMeta);
    paths[Form::kOp] = json::Path::of_members({"op"});
    paths[Form::kAfter] = json::Path::of_members({"after"});
    paths[Form::kBefore] = json::Path::of_members({"before"});
    paths[Form::kSource] = json::Path::of_members({"source"});
    paths[Form::kDeleted] = json::Path::of_members({"__deleted"});
    paths[Form::kRowOp] = json::Path::of_members({"__op"});
    paths[Form::kIsDdl] = json::Path::of_members({"isDdl"});
    paths[Form::kBinlog] = json::Path::of_members({"BINLOG_NAME"});
    return paths;
  }

  // Binds fields of `names` below `parent` (empty: of the document) to columns; whether all are.
  bool bind(std::vector<json::Path>& paths, Binding& binding, const char* parent,
            std::span<const std::string> names, const Type* type, std::size_t up_to) const {
    bool all = true;
    binding.types.assign(columns, nullptr);
    for (std::size_t i = 0; i < names.size(); ++i) {
      const Type* const field = type == nullptr ? nullptr : &type->parts[i];
      // Bare names are those of all messages so far: which are in this one, only it says.
      const auto column =
          column_of(names[i], type == nullptr ? std::span<const std::string>() : names);
      if (!column) all = false;
      if (!column || *column >= up_to) continue;
      binding.types[*column] = field;
      binding.fields.emplace_back(paths.size(), *column);
      paths.push_back(*parent == '\0' ? json::Path::of_members({names[i]})
                                      : json::Path::of_members({parent, names[i]}));
    }
    return all;
  }

  void finish(Form& form, json::Unmapped unmapped) {
    bind_metadata(form);
    bind_origin(form);
    if (form.envelope) {
      form.reader.emplace(form.paths, unmapped, Form::kAfter);
    } else {
      form.reader.emplace(form.paths, unmapped);
    }
    form.found.resize(form.paths.size());
  }

  // Of several fields for one thing the first that is there.
  void bind_metadata(Form& form) const {
    if (!config.metadata) return;
    const auto bind = [&](EventMeta meta, std::initializer_list<const char*> members) {
      form.metadata.emplace_back(form.paths.size(), meta);
      form.paths.push_back(json::Path::of_members({members.begin(), members.end()}));
    };
    if (form.envelope) {
      bind(EventMeta::kTime, {"ts_ms"});
      bind(EventMeta::kSourceTime, {"source", "ts_ms"});
      bind(EventMeta::kLsn, {"source", "lsn"});
      bind(EventMeta::kFile, {"source", "file"});
      bind(EventMeta::kPos, {"source", "pos"});
      bind(EventMeta::kTxId, {"source", "txId"});
      bind(EventMeta::kTxId, {"source", "gtid"});
      bind(EventMeta::kSnapshot, {"source", "snapshot"});
      return;
    }
    bind(EventMeta::kTime, {"__ts_ms"});
    bind(EventMeta::kSourceTime, {"__source_ts_ms"});
    bind(EventMeta::kLsn, {"__lsn"});
    bind(EventMeta::kLsn, {"__source_lsn"});
    bind(EventMeta::kFile, {"__file"});
    bind(EventMeta::kFile, {"__source_file"});
    bind(EventMeta::kPos, {"__pos"});
    bind(EventMeta::kPos, {"__source_pos"});
    bind(EventMeta::kTxId, {"__txId"});
    bind(EventMeta::kTxId, {"__source_txId"});
    bind(EventMeta::kSnapshot, {"__snapshot"});
    bind(EventMeta::kSnapshot, {"__source_snapshot"});
  }

  void bind_origin(Form& form) const {
    if (config.origin || !config.signal_tables.empty()) bind_origin_of(form);
  }
  static void bind_origin_of(Form& form) {
    const auto bind = [&](std::string Origin::* part, std::initializer_list<const char*> members) {
      form.origin.emplace_back(form.paths.size(), part);
      form.paths.push_back(json::Path::of_members({members.begin(), members.end()}));
    };
    if (form.envelope) {
      bind(&Origin::db, {"source", "db"});
      bind(&Origin::schema, {"source", "schema"});
      bind(&Origin::table, {"source", "table"});
      return;
    }
    bind(&Origin::db, {"__db"});
    bind(&Origin::db, {"__source_db"});
    bind(&Origin::schema, {"__schema"});
    bind(&Origin::schema, {"__source_schema"});
    bind(&Origin::table, {"__table"});
    bind(&Origin::table, {"__source_table"});
  }

  // What the message that `form` holds says: of several fields for one thing the first that is
  // there.
  void take_origin(const Form& form) {
    origin = {};
    for (const auto& [place, part] : form.origin) {
      const std::string_view said = text_of(form.found[place]);
      if ((origin.*part).empty()) origin.*part = said;
    }
  }
  // Whether the message that `form` holds is of this table.
  bool is_of(const Form& form, const Expected& expected) {
    take_origin(form);
    const auto same = [](const std::string& said, const std::string& meant, bool needed) {
      return said.empty() ? !needed : said == meant;
    };
    return same(origin.db, expected.origin.db, expected.needs_db) &&
           same(origin.schema, expected.origin.schema, expected.needs_schema) &&
           same(origin.table, expected.origin.table, expected.needs_table);
  }
  bool is_signal(std::string_view table) const {
    return std::ranges::any_of(config.signal_tables, [&](const std::string& each) {
      return each.ends_with('*')
                 ? table.starts_with(std::string_view(each).substr(0, each.size() - 1))
                 : table == each;
    });
  }
  bool is_signal(const Form& form) const {
    return std::ranges::any_of(form.origin, [&](const auto& item) {
      return item.second == &Origin::table && is_signal(text_of(form.found[item.first]));
    });
  }
  bool is_of_canal(const Origin& expected) {
    if (canal.table.empty()) return true;
    if (canal.db == expected.db && canal.table == expected.table) return true;
    origin = {std::string(canal.db), {}, std::string(canal.table)};
    return false;
  }

  // How much of `before` is read: what a delete needs.
  std::size_t before_columns() const {
    return config.key_columns > 0 ? config.key_columns : columns;
  }

  // A form without schema: its fields are the columns by their names, and the aliases met so far.
  std::unique_ptr<Form> bare_form(bool envelope) {
    auto form = std::make_unique<Form>();
    form->envelope = envelope;
    form->paths = meta_paths();
    const char* const parent = envelope ? "after" : "";
    bind(form->paths, form->row, parent, bare_names, nullptr, columns);
    if (envelope) {
      bind(form->paths, form->before, "before", bare_names, nullptr, before_columns());
    }
    for (const auto& name : config.ignored) {
      form->paths.push_back(envelope ? json::Path::of_members({parent, name})
                                     : json::Path::of_members({name}));
    }
    finish(*form, json::Unmapped::kCollect);
    return form;
  }

  // ---- schemas

  Form* known_form(std::string_view schema) {
    if (last_form != nullptr && last_form->schema == schema) return last_form;
    for (auto& form : forms) {
      if (form->schema == schema) return last_form = form.get();
    }
    return nullptr;
  }

  // Null: the schema is none, and `problem` says why.
  Form* new_form(std::string_view schema, Problem& problem) {
    auto type = parse_schema(schema);
    if (!type) {
      problem = {};
      problem.code = ProblemCode::kBadSchema;
      problem.detail = type.error().message;
      problem.excerpt = excerpt_of(schema);
      return nullptr;
    }
    auto form = std::make_unique<Form>();
    form->schema = schema;
    form->type = std::move(*type);
    const Type& root = *form->type;
    const int after = root.find("after");
    const int before = root.find("before");
    form->service = is_service(root);
    form->structure = is_structure(root);
    form->envelope = root.find("op") >= 0 && (after >= 0 || before >= 0);
    form->paths = meta_paths();
    if (!form->envelope) {
      bind(form->paths, form->row, "", root.names, &root, columns);
    } else {
      if (after >= 0) {
        const Type& row = root.parts[static_cast<std::size_t>(after)];
        bind(form->paths, form->row, "after", row.names, &row, columns);
      }
      if (before >= 0) {
        const Type& row = root.parts[static_cast<std::size_t>(before)];
        bind(form->paths, form->before, "before", row.names, &row, before_columns());
      }
    }
    if (form->row.types.empty()) form->row.types.assign(columns, nullptr);
    if (form->before.types.empty()) form->before.types.assign(columns, nullptr);
    finish(*form, json::Unmapped::kIgnore);
    if (forms.size() == kMaxSchemas) {
      values_of = nullptr;
      forms.pop_front();
    }
    forms.push_back(std::move(form));
    return last_form = forms.back().get();
  }

  // The form and payload of a message with a schema that was met before, by its bytes alone.
  Form* by_bytes(std::string_view text, std::string_view& payload) {
    if (!text.starts_with(kSchemaFirst)) return nullptr;
    const std::string_view rest = text.substr(kSchemaFirst.size());
    const auto fits = [&](const std::string& schema) {
      return rest.starts_with(schema) && rest.substr(schema.size()).starts_with(kThenPayload);
    };
    Form* found = nullptr;
    if (last_form != nullptr && !last_form->schema.empty() && fits(last_form->schema)) {
      found = last_form;
    } else {
      for (auto& form : forms) {
        if (fits(form->schema)) found = form.get();
      }
    }
    if (found == nullptr) return nullptr;
    if (!payload_of(rest.substr(found->schema.size() + kThenPayload.size()), payload)) {
      return nullptr;
    }
    return last_form = found;
  }
  // `rest` without the brace that ends the document.
  static bool payload_of(std::string_view rest, std::string_view& payload) {
    const std::size_t end = rest.find_last_not_of(" \t\r\n");
    if (end == std::string_view::npos || rest[end] != '}') return false;
    payload = rest.substr(0, end);
    return true;
  }

  // Takes {"schema", "payload"} apart; anything else is the payload itself.
  Parts take_apart(std::string_view text) {
    json::Slot found[2];
    json::Failure failure;
    if (!wrapper.read(text, found, failure)) return {{}, text};
    const auto& [schema, payload] = found;
    if (payload.type == json::Type::kAbsent) return {{}, text};
    if (schema.type == json::Type::kNull) return {{}, slice_of(payload)};
    if (schema.type != json::Type::kObject) return {{}, text};
    return {schema.text(), slice_of(payload)};
  }
  static std::string_view slice_of(const json::Slot& slot) {
    if (slot.type != json::Type::kString) return slot.text();
    return {};  // no row is a text
  }

  // ---- keys

  void bind_key(KeyForm& form, std::span<const std::string> names, const Type* type,
                json::Unmapped unmapped) {
    std::vector<json::Path> paths;
    const bool all = bind(paths, form.key, "", names, type, config.key_columns);
    form.whole = type == nullptr || (all && form.key.fields.size() == config.key_columns &&
                                     names.size() == config.key_columns);
    form.reader.emplace(paths, unmapped);
    form.found.resize(paths.size());
  }

  KeyForm* key_form(Keys& side, std::string_view schema, Problem& problem) {
    for (auto& form : side.forms) {
      if (form->schema == schema) return form.get();
    }
    auto form = std::make_unique<KeyForm>();
    form->schema = schema;
    if (!schema.empty()) {
      auto type = parse_schema(schema);
      if (!type) {
        problem = {};
        problem.code = ProblemCode::kBadSchema;
        problem.detail = "of the message's key: " + type.error().message;
        return nullptr;
      }
      form->type = std::move(*type);
      form->names = form->type->names;
      bind_key(*form, form->type->names, &*form->type, json::Unmapped::kIgnore);
    } else {
      bind_key(*form, bare_names, nullptr, json::Unmapped::kCollect);
    }
    if (side.forms.size() == kMaxSchemas) side.forms.pop_front();
    side.forms.push_back(std::move(form));
    return side.forms.back().get();
  }

  enum class KeyOutcome : std::uint8_t { kOk, kNone, kOther, kProblem, kAgain };
  KeyOutcome read_key(std::string_view key, Keys& side, Problem& problem);
  KeyOutcome read_scalar(std::string_view key, const json::Slot& root, bool valid, Keys& side);
  bool learn_aliases(std::string_view collected, Type& left);

  // ---- one message

  // Outcome, and: a bare form has learned another spelling of a column, so that the message is to
  // be read once more; the message holds no row.
  enum class Step : std::uint8_t {
    kChange,
    kProblem,
    kNewSchema,
    kNewFields,
    kOtherKey,
    kOtherTable,
    kStructure,
    kAgain,
    kNothing,
  };

  Step decode(const Message& message, Headers& headers, Change& change, Problem& problem,
              const Expected* expected);
  Step locate(const Message& message, bool& null, Problem& problem);
  Form* read_value(const Message& message, const Expected* expected, bool& null, Problem& problem);
  bool is_of_unread(std::string_view payload, const Expected& expected);
  Step decode_null(const Message& message, Headers& headers, Change& change, Problem& problem);
  Step decode_envelope(const Message& message, Headers& headers, Form& form, Change& change,
                       Problem& problem);
  Step decode_flat(const Message& message, Headers& headers, Form& form, Change& change,
                   Problem& problem);
  Step decode_delete(const Message& message, Headers& headers, Form* form, Change& change,
                     Problem& problem);
  Step write(const Message& message, Headers& headers, Form& form, Change& change,
             Problem& problem);
  Step new_fields(const Message& message, Form& form);
  Step new_schema(const Message& message, Form& form);
  std::optional<Step> structure(const Form& form, const Message& message);
  void ask_for_key(const Message& message);
  void drop_added();
  bool read(Form& form, std::string_view payload, Problem& problem);
  Form* read_bare(std::string_view payload, Problem& problem);
  bool read_canal(std::string_view payload, Problem& problem);
  CanalForm& canal_form(std::string_view row);
  Step canal_change(Change& change, Problem& problem);
  bool before_now(CanalForm& form, Problem& problem);
  void fill_before(Form& form, Change& change);

  static std::string_view text_of(const json::Slot& slot) {
    return slot.type == json::Type::kString ? slot.text() : std::string_view();
  }
  static bool is_envelope(const Form& form) {
    return form.found[Form::kOp].type == json::Type::kString &&
           form.found[Form::kSource].type == json::Type::kObject &&
           (form.found[Form::kAfter].type != json::Type::kAbsent ||
            form.found[Form::kBefore].type != json::Type::kAbsent ||
            form.found[Form::kOp].text() == "m");
  }

  // What may be Canal's, for which the form says more.
  static bool may_be_canal(const Form& form) {
    return form.found[Form::kIsDdl].type == json::Type::kBool ||
           form.found[Form::kBinlog].type == json::Type::kString;
  }

  ChangeConfig config;
  std::size_t columns;
  std::vector<std::string> bare_names = config.columns;  // and aliases in other case

  json::Reader wrapper;
  std::deque<std::unique_ptr<Form>> forms;  // with schema
  Form* last_form = nullptr;
  std::unique_ptr<Form> bare[2];  // flat, envelope
  bool bare_envelope = true;      // what the last bare message was
  // Two of them, since a message can bring two keys: their values are in the memory of the readers.
  Keys keys;
  Keys new_keys;

  std::vector<Value> row_values;
  std::vector<Value> before_values;
  const Form* values_of = nullptr;  // whose columns row_values holds
  bool deletes_are_said = false;    // history: by events, so that tombstones are nothing
  Type asked;
  Form* shown = nullptr;  // by the last kNewSchema
  std::vector<std::string> other_key;
  std::optional<CanalReader> canal_reader;
  CanalMessage canal;
  bool is_canal = false;       // the last message was
  std::size_t canal_next = 0;  // the row whose change comes next
  bool canal_moved = false;    // of which the move was
  std::deque<std::unique_ptr<CanalForm>> canal_forms;
  std::vector<Value> before_all;

  Origin origin;
  std::optional<Form> origin_form;  // of messages with a schema that is new
  bool says_deletes = false;
  bool was_null = false;
  bool other_table = false;  // is_of_unread() has found
  std::vector<TableChange> table_changes;
};

}  // namespace sluice::message
