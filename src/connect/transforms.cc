// `transforms`: what of single message transformations can be said with sync.columns.
#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <array>

#include "connect/draft.h"

namespace sluice::connect {
namespace {

constexpr std::string_view kApache = "org.apache.kafka.connect.transforms.";

// What to do instead, by the last part of the class's name.
struct Advice {
  std::string_view transformation;
  Fate fate;
  std::string_view text;
};
constexpr auto kAdvice = std::to_array<Advice>({
    {"Cast", Fate::kNotSupported,
     "the column's type decides what a value becomes: nothing to do if it only adapted the type"},
    {"TimestampConverter", Fate::kNotSupported,
     "PostgreSQL reads ISO 8601 texts itself; for numbers since 1970 give the column its unit (s, "
     "ms, us, ns) in sync.columns"},
    {"Flatten", Fate::kNotSupported,
     "name each nested field in sync.columns by a JSONPath: {field: $.customer.name, column: "
     "customer_name}"},
    {"ExtractField", Fate::kNotSupported,
     "name the fields in sync.columns by a JSONPath: {field: $.after.id, column: id}"},
    {"ExtractNewRecordState", Fate::kNotSupported,
     "change events of Debezium are not replayed yet; if only inserts and updates matter, name the "
     "fields in sync.columns: {field: $.after.id, column: id}"},
    {"ValueToKey", Fate::kNotNeeded, "sync.primary_key names fields of the value"},
    {"SetSchemaMetadata", Fate::kNotNeeded, "messages have no schema"},
    {"DropHeaders", Fate::kNotNeeded, "headers are written where meta: headers asks for them"},
    {"InsertHeader", Fate::kNotNeeded, "headers are written where meta: headers asks for them"},
    {"Filter", Fate::kNotSupported,
     "there are no rules for messages yet: filter in front of Sluice"},
    {"MaskField", Fate::kNotSupported,
     "leave the field out of sync.columns, or mask it in a view or trigger"},
    {"HoistField", Fate::kNotSupported, "a value must be one JSON object"},
    {"HeaderFrom", Fate::kNotSupported, "meta: headers has the headers as one JSON object"},
    {"TimestampRouter", Fate::kNotSupported, "a task writes one table; partition it by time"},
});

struct Transformation {
  std::string name;
  std::string type;     // without package and $Key, $Value
  bool apache = false;  // of Apache Kafka itself
  bool of_key = false;
};

Transformation transformation_of(const Configuration& from, const std::string& name) {
  Transformation found;
  found.name = name;
  std::string type = from.get("transforms." + name + ".type", "");
  found.apache = type.starts_with(kApache);
  if (const std::size_t dollar = type.find('$'); dollar != std::string::npos) {
    found.of_key = type.substr(dollar) == "$Key";
    type.resize(dollar);
  }
  found.type = type.substr(type.rfind('.') + 1);
  return found;
}

std::map<std::string, std::string> pairs_of(const Configuration& from, const std::string& name) {
  std::map<std::string, std::string> pairs;
  for (const auto& pair : from.list(name)) {
    const std::size_t colon = pair.find(':');
    if (colon != std::string::npos) pairs[pair.substr(0, colon)] = pair.substr(colon + 1);
  }
  return pairs;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

class Chain {
 public:
  Chain(const Configuration& from, Report& report) : from_(from), report_(report) {}

  Fields run() {
    for (const auto& name : from_.list("transforms")) apply(transformation_of(from_, name));
    return std::move(fields_);
  }

 private:
  std::string property(const Transformation& each, std::string_view name) const {
    return fmt::format("transforms.{}.{}", each.name, name);
  }

  void apply(const Transformation& each) {
    const auto type = from_.get(property(each, "type"));
    Fate fate = Fate::kNotSupported;
    std::string text;
    if (!type) {
      report_.not_supported(property(each, "type"), "is missing: the transformation has no class");
      return;
    }
    if (from_.get(property(each, "predicate"))) {
      text = "it acts on some messages only (predicate), which sync.columns cannot say";
    } else if (each.of_key) {
      text = "acts on the key, which is read as it is";
    } else if (each.apache && each.type == "ReplaceField") {
      text = replace_fields(each, fate);
    } else if (each.apache && each.type == "InsertField") {
      text = insert_fields(each, fate);
    } else if (each.type == "RegexRouter" && each.apache) {
      fate = Fate::kTaken;
      text = "target.table: the table's name is made from the name that it gives the topic";
    } else {
      text = "a class of Java that Sluice has nothing like";
      for (const auto& advice : kAdvice) {
        if (advice.transformation != each.type) continue;
        fate = advice.fate;
        text = advice.text;
      }
    }
    report_.add(fate, property(each, "type"), fmt::format("{}: {}", each.type, text));
    const std::string prefix = fmt::format("transforms.{}.", each.name);
    for (const auto& part : from_.all()) {
      if (part.name.starts_with(prefix) && !report_.has(part.name)) {
        report_.add(fate, part.name, "with " + property(each, "type"));
      }
    }
  }

  // As Kafka: first what is left out, then the new names.
  std::string replace_fields(const Transformation& each, Fate& fate) {
    auto include = from_.list(property(each, "include"));
    if (include.empty()) include = from_.list(property(each, "whitelist"));
    auto exclude = from_.list(property(each, "exclude"));
    if (exclude.empty()) exclude = from_.list(property(each, "blacklist"));
    const auto renames = pairs_of(from_, property(each, "renames"));
    if (!fields_.known && include.empty()) {
      if (renames.empty() && exclude.empty()) {
        fate = Fate::kNotNeeded;
        return "changes nothing";
      }
      return "name the fields in sync.columns, each as {field: NAME, column: NAME}: without "
             "`include` the file does not say which there are";
    }
    fate = Fate::kTaken;
    if (!fields_.known) {
      fields_.known.emplace();
      for (const auto& name : include) fields_.known->push_back({name, "", name, ""});
    } else if (!include.empty()) {
      std::erase_if(*fields_.known,
                    [&](const DraftColumn& column) { return !contains(include, column.column); });
    }
    std::erase_if(*fields_.known,
                  [&](const DraftColumn& column) { return contains(exclude, column.column); });
    for (auto& column : *fields_.known) {
      const auto found = renames.find(column.column);
      if (found == renames.end()) continue;
      fields_.renamed[column.column] = found->second;
      column.column = found->second;
    }
    return "sync.columns";
  }

  std::string insert_fields(const Transformation& each, Fate& fate) {
    if (from_.get(property(each, "static.field"))) {
      return "a constant: let a column default of the table supply it";
    }
    if (!fields_.known) {
      return "name the fields in sync.columns, and these as {meta: offset, column: NAME}: the file "
             "does not say which fields there are";
    }
    fate = Fate::kTaken;
    for (const char* meta : {"topic", "partition", "offset", "timestamp"}) {
      std::string name = from_.get(property(each, std::string(meta) + ".field"), "");
      if (name.ends_with('!') || name.ends_with('?')) name.pop_back();
      if (name.empty()) continue;
      std::erase_if(*fields_.known,
                    [&](const DraftColumn& column) { return column.column == name; });
      fields_.known->push_back({"", meta, name, ""});
    }
    return "sync.columns, as meta";
  }

  const Configuration& from_;
  Report& report_;
  Fields fields_;
};

}  // namespace

Fields read_transforms(const Configuration& from, Report& report) {
  if (from.get("transforms")) {
    report.not_needed("transforms", "each of them has a line of its own");
  }
  return Chain(from, report).run();
}

std::string routed(const Configuration& from, std::string topic) {
  for (const auto& name : from.list("transforms")) {
    const auto each = transformation_of(from, name);
    const std::string prefix = "transforms." + name + ".";
    if (each.type != "RegexRouter" || !each.apache || from.get(prefix + "predicate")) continue;
    // Java's $1 is RE2's \1.
    std::string rewrite = from.get(prefix + "replacement", "");
    for (char& c : rewrite) c = c == '$' ? '\\' : c;
    const RE2 whole(fmt::format("^(?:{})$", from.get(prefix + "regex", "")), RE2::Quiet);
    std::string result;
    if (whole.ok() && RE2::Extract(topic, whole, rewrite, &result)) topic = result;
  }
  return topic;
}

}  // namespace sluice::connect
