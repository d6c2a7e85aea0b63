// Modes, keys, fields, converters and failures become sync and on_failure.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "connect/draft.h"

namespace sluice::connect {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  return text;
}

class Rows {
 public:
  Rows(const Configuration& from, Draft& draft, Report& report)
      : from_(from), draft_(draft), report_(report), debezium_(draft.sink == Sink::kDebezium) {
    pk_mode_property_ = debezium_ ? "primary.key.mode" : "pk.mode";
    pk_fields_property_ = debezium_ ? "primary.key.fields" : "pk.fields";
    pk_mode_ = lower(from.get(pk_mode_property_, "none"));
    pk_fields_ = from.list(pk_fields_property_);
  }

  void read() {
    Fields fields = read_transforms(from_, report_);
    draft_.columns = std::move(fields.known);
    read_mode();
    read_fields();
    read_key();
    read_times();
    read_deletes();
    read_value_converter();
    read_key_converter();
    read_failures();
    fold();
  }

 private:
  bool uses_key() const { return pk_mode_ == "record_key" || deletes(); }
  bool deletes() const { return from_.is_true("delete.enabled", false); }
  bool plain_key() const {
    return from_.get("key.converter", "").ends_with("StringConverter") && pk_fields_.size() == 1;
  }

  void read_mode() {
    const std::string mode = lower(from_.get("insert.mode", "insert"));
    draft_.upsert = mode == "upsert" || mode == "update";
    draft_.update = mode == "update";
    if (mode == "insert" || mode == "multi" || draft_.upsert) {
      const std::string write = draft_.upsert ? mode : "insert";
      if (from_.get("insert.mode")) report_.taken("insert.mode", "sync.write: " + write);
    } else {
      report_.not_supported("insert.mode", "no mode of this sink; sync.write is insert");
    }
  }

  // fields.whitelist, field.include.list: they name fields behind the transformations.
  void read_fields() {
    const std::string property = debezium_ ? "field.include.list" : "fields.whitelist";
    std::vector<std::string> names = from_.list(property);
    if (debezium_) names = of_topic(names);
    if (from_.get(property)) {
      if (names.empty()) {
        report_.not_needed(property, "names no field of this topic: all are written");
      } else {
        report_.taken(property, "sync.columns");
      }
    }
    if (!names.empty()) {
      if (!draft_.columns) {
        draft_.columns.emplace();
        for (const auto& name : names) draft_.columns->push_back({name, "", name, ""});
      } else {
        std::erase_if(*draft_.columns, [&](const DraftColumn& column) {
          return std::find(names.begin(), names.end(), column.column) == names.end() &&
                 !is_key(column.column);
        });
      }
    }
    if (!debezium_ || !from_.get("field.exclude.list")) return;
    const auto left_out = of_topic(from_.list("field.exclude.list"));
    if (left_out.empty()) {
      report_.not_needed("field.exclude.list", "names no field of this topic");
    } else if (draft_.columns) {
      std::erase_if(*draft_.columns, [&](const DraftColumn& column) {
        return std::find(left_out.begin(), left_out.end(), column.column) != left_out.end();
      });
      report_.taken("field.exclude.list", "sync.columns");
    } else {
      report_.not_supported("field.exclude.list",
                            "a field without a column of its name is left out anyway; if there are "
                            "such columns, name the others in sync.columns");
    }
  }

  // field or topic:field, those of the topics that are read.
  std::vector<std::string> of_topic(const std::vector<std::string>& names) const {
    std::vector<std::string> found;
    for (const auto& name : names) {
      const std::size_t colon = name.rfind(':');
      const std::string topic = colon == std::string::npos ? "" : name.substr(0, colon);
      const bool ours =
          topic.empty() || draft_.topics.front().starts_with('^') ||
          std::find(draft_.topics.begin(), draft_.topics.end(), topic) != draft_.topics.end();
      if (ours) found.push_back(colon == std::string::npos ? name : name.substr(colon + 1));
    }
    return found;
  }

  bool is_key(const std::string& name) const {
    return std::find(pk_fields_.begin(), pk_fields_.end(), name) != pk_fields_.end();
  }

  void put_column(DraftColumn column) {
    const auto same =
        std::find_if(draft_.columns->begin(), draft_.columns->end(),
                     [&](const DraftColumn& each) { return each.column == column.column; });
    if (same == draft_.columns->end()) draft_.columns->insert(draft_.columns->begin(), column);
  }

  void read_key() {
    const bool said = from_.get(pk_mode_property_).has_value();
    if (pk_mode_ == "none") {
      if (said) report_.not_needed(pk_mode_property_, "the default");
      if (from_.get(pk_fields_property_)) report_.not_needed(pk_fields_property_, "no key is used");
      return;
    }
    if (pk_mode_ == "kafka") {
      read_kafka_key();
    } else if (pk_mode_ == "record_value") {
      read_value_key();
    } else if (pk_mode_ == "record_key") {
      read_record_key();
    } else {
      report_.not_supported(pk_mode_property_,
                            pk_mode_ == "record_header"
                                ? "headers cannot be a key; sync.primary_key names columns"
                                : "no mode of this sink; sync.primary_key names columns");
    }
    if (from_.get(pk_fields_property_) && !report_.has(pk_fields_property_)) {
      report_.not_supported(pk_fields_property_, "see " + pk_mode_property_);
    }
  }

  void take_key(std::string text) {
    if (draft_.upsert) draft_.primary_key = pk_fields_;
    report_.taken(pk_mode_property_, text);
    if (from_.get(pk_fields_property_)) report_.taken(pk_fields_property_, std::move(text));
  }

  void read_kafka_key() {
    if (pk_fields_.size() != 3) {
      pk_fields_ = {"__connect_topic", "__connect_partition", "__connect_offset"};
    }
    if (!draft_.columns) {
      report_.not_supported(
          pk_mode_property_,
          fmt::format("a task has columns by name or a list, not both: name the fields in "
                      "sync.columns, and {{meta: topic, column: {}}}, {{meta: partition, column: "
                      "{}}}, {{meta: offset, column: {}}}; rows are applied exactly once without",
                      pk_fields_[0], pk_fields_[1], pk_fields_[2]));
      return;
    }
    const char* metas[] = {"offset", "partition", "topic"};
    for (std::size_t i = 0; i < 3; ++i) put_column({"", metas[i], pk_fields_[2 - i], ""});
    take_key("sync.columns, as meta: topic, partition and offset");
  }

  void read_value_key() {
    if (!draft_.upsert) {
      report_.not_needed(pk_mode_property_, "insert uses no key");
      if (from_.get(pk_fields_property_)) {
        if (draft_.columns) add_key_fields();
        report_.not_needed(pk_fields_property_, "insert uses no key");
      }
      return;
    }
    if (pk_fields_.empty()) {
      report_.not_supported(pk_mode_property_,
                            "every field as the key: the table's own primary key is used, or name "
                            "columns in sync.primary_key");
      return;
    }
    if (draft_.columns) add_key_fields();
    take_key("sync.primary_key");
  }

  void read_record_key() {
    if (plain_key() && draft_.columns) {
      put_column({"", "key", pk_fields_[0], ""});
      return take_key("sync.columns: the message's key (meta: key)");
    }
    if (draft_.columns && !pk_fields_.empty()) add_key_fields();
    if (!pk_fields_.empty()) {
      take_key(
          draft_.upsert
              ? "sync.primary_key; the columns are read from the value's fields of these names, "
                "and from the key for tombstones"
              : "the columns are read from the value's fields of these names");
    } else {
      report_.taken(pk_mode_property_,
                    "the table's own primary key; its columns are read from the "
                    "value's fields, and from the key for tombstones");
    }
    report_.to_fill_in(
        draft_.upsert ? "sync.primary_key" : "sync.columns",
        "see that the value has the key's fields; if only the key has them, list all "
        "in sync.columns, with {meta: key, column: NAME} for a key that is a plain "
        "text or number");
  }

  void add_key_fields() {
    for (auto name = pk_fields_.rbegin(); name != pk_fields_.rend(); ++name) {
      put_column({*name, "", *name, ""});
    }
  }

  void read_times() {
    const auto names = from_.list("timestamp.fields.list");
    if (draft_.sink != Sink::kConfluent || !from_.get("timestamp.fields.list")) return;
    if (names.empty()) return report_.not_needed("timestamp.fields.list", "is empty");
    const bool nanos =
        lower(from_.get("timestamp.precision.mode", "microseconds")) == "nanoseconds";
    const std::string unit = nanos ? "ns" : "us";
    if (!draft_.columns) {
      return report_.not_supported("timestamp.fields.list",
                                   "name the fields in sync.columns, these with unit: " + unit);
    }
    for (auto& column : *draft_.columns) {
      const bool listed = std::find(names.begin(), names.end(), column.column) != names.end();
      if (listed && !column.field.empty()) column.unit = unit;
    }
    report_.taken("timestamp.fields.list", fmt::format("sync.columns, with unit: {}", unit));
  }

  void read_deletes() {
    const bool said = from_.get("delete.enabled").has_value();
    if (deletes() && draft_.upsert) {
      draft_.on_tombstone = "delete";
      return report_.taken("delete.enabled", "sync.on_tombstone: delete");
    }
    if (deletes()) {
      return report_.not_supported("delete.enabled",
                                   "deleting needs sync.write: upsert, and on_tombstone: delete");
    }
    if (debezium_ && draft_.upsert) {
      draft_.on_tombstone = "ignore";
      if (said) report_.taken("delete.enabled", "sync.on_tombstone: ignore");
    } else if (said) {
      report_.not_needed("delete.enabled", "the default: a message without a value fails");
    }
  }

  void read_value_converter() {
    constexpr const char* kProperty = "value.converter";
    const std::string converter = from_.get(kProperty, "");
    const auto schemas = from_.get("value.converter.schemas.enable");
    if (converter.empty()) {
      report_.to_fill_in(kProperty,
                         "the worker's file says how values are written; only plain JSON "
                         "is read (look with sluice preview)");
      if (schemas) report_.not_needed("value.converter.schemas.enable", "about value.converter");
    } else if (converter.ends_with("JsonConverter") &&
               !from_.is_true("value.converter.schemas.enable", true)) {
      report_.taken(kProperty, "plain JSON is what is read");
      report_.taken("value.converter.schemas.enable", "plain JSON is what is read");
    } else if (converter.ends_with("JsonConverter")) {
      constexpr const char* kText =
          "JSON with its schema, {\"schema\": ..., \"payload\": ...}, is not unpacked yet: let the "
          "producer set schemas.enable to false, or name the fields in sync.columns as {field: "
          "$.payload.id, column: id}";
      report_.not_supported(kProperty, kText);
      if (schemas) report_.not_supported("value.converter.schemas.enable", "see value.converter");
    } else if (converter.ends_with("StringConverter")) {
      report_.taken(kProperty, "the text is read as JSON");
      if (schemas) report_.not_needed("value.converter.schemas.enable", "about value.converter");
    } else {
      report_.not_supported(
          kProperty, fmt::format("{} is not read yet: only plain JSON is", form_of(converter)));
      if (schemas) report_.not_supported("value.converter.schemas.enable", "see value.converter");
    }
  }

  static std::string form_of(const std::string& converter) {
    if (converter.ends_with("AvroConverter")) return "Avro";
    if (converter.ends_with("ProtobufConverter")) return "Protobuf";
    if (converter.ends_with("JsonSchemaConverter")) return "JSON with a schema registry's header";
    return "what this class writes";
  }

  void read_key_converter() {
    constexpr const char* kProperty = "key.converter";
    const auto said = from_.get(kProperty);
    const auto schemas = from_.get("key.converter.schemas.enable");
    const auto both = [&](Fate fate, const std::string& text) {
      if (said) report_.add(fate, kProperty, text);
      if (schemas) report_.add(fate, "key.converter.schemas.enable", text);
    };
    if (!uses_key()) return both(Fate::kNotNeeded, "the key is not used");
    const std::string converter = from_.get(kProperty, "");
    const bool json = converter.ends_with("JsonConverter") &&
                      !from_.is_true("key.converter.schemas.enable", true);
    if (json || converter.ends_with("StringConverter")) {
      both(Fate::kTaken, "keys of plain JSON or text are what is read");
    } else if (converter.empty()) {
      report_.to_fill_in(kProperty,
                         "the worker's file says how keys are written; plain JSON and "
                         "texts are read");
      both(Fate::kNotNeeded, "about key.converter");
    } else {
      both(Fate::kNotSupported,
           "keys in this form are not read yet: only plain JSON and texts are");
    }
  }

  void read_failures() {
    const bool tolerates = lower(from_.get("errors.tolerance", "none")) == "all";
    const bool letters = !from_.get("errors.deadletterqueue.topic.name", "").empty();
    if (tolerates) draft_.on_failure = letters ? "deliver" : "discard";
    const std::string text = "on_failure: " + draft_.on_failure;
    if (from_.get("errors.tolerance")) report_.taken("errors.tolerance", text);
    if (from_.get("errors.deadletterqueue.topic.name")) {
      if (tolerates && letters) {
        report_.taken("errors.deadletterqueue.topic.name",
                      text + ", into the table dead_letter beside the target's; not into a topic");
      } else {
        report_.not_needed("errors.deadletterqueue.topic.name", "errors.tolerance is none");
      }
    }
  }

  // Names without quotes are in lower case in PostgreSQL.
  void fold() {
    const std::string quotes =
        lower(draft_.sink == Sink::kConfluent ? from_.get("quote.sql.identifiers", "always")
              : draft_.sink == Sink::kAiven   ? from_.get("sql.quote.identifiers", "true")
                                              : from_.get("quote.identifiers", "false"));
    if (quotes != "never" && quotes != "false") return;
    for (auto& name : draft_.primary_key) name = lower(name);
    if (!draft_.columns) return;
    for (auto& column : *draft_.columns) column.column = lower(column.column);
  }

  const Configuration& from_;
  Draft& draft_;
  Report& report_;
  bool debezium_;
  std::string pk_mode_property_;
  std::string pk_fields_property_;
  std::string pk_mode_;
  std::vector<std::string> pk_fields_;
};

}  // namespace

void read_rows(const Configuration& from, Draft& draft, Report& report) {
  Rows(from, draft, report).read();
}

}  // namespace sluice::connect
