// name, topics and tables become name, source and target.table.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "connect/draft.h"

namespace sluice::connect {
namespace {

constexpr std::string_view kTopic = "${topic}";

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_name_character(char c) {
  return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

std::string task_name(std::string_view name) {
  std::string task;
  for (const char c : name) task += is_name_character(c) ? c : '-';
  if (task.empty() || !is_letter(task.front())) task.insert(0, "t-");
  task.resize(std::min<std::size_t>(task.size(), 64));
  return task;
}

// A regular expression of Java as one that POSIX and RE2 read alike, for the whole name; nothing
// where it has something else in it.
std::optional<std::string> posix_of(std::string_view java) {
  std::string out = "^(";
  bool in_class = false;
  for (std::size_t i = 0; i < java.size(); ++i) {
    const char c = java[i];
    const char next = i + 1 < java.size() ? java[i + 1] : '\0';
    const bool repeats = c == '*' || c == '+' || c == '?' || c == '}';
    if (c == '\\') {
      if (in_class) return std::nullopt;
      ++i;
      if (next == 'd') {
        out += "[0-9]";
      } else if (next == 'w') {
        out += "[A-Za-z0-9_]";
      } else if (next == '-' || next == '_') {
        out += next;
      } else if (std::string_view(".*+?()[]{}|^$\\").find(next) != std::string_view::npos &&
                 next != '\0') {
        out += '\\';
        out += next;
      } else {
        return std::nullopt;
      }
      continue;
    }
    if (in_class && (c == '[' || c == '&')) return std::nullopt;  // Java's sets of sets
    if (!in_class && c == '(' && next == '?') return std::nullopt;
    if (!in_class && repeats && (next == '?' || next == '+')) return std::nullopt;
    if (c == '[') in_class = true;
    if (c == ']') in_class = false;
    out += c;
  }
  return in_class ? std::nullopt : std::optional(out + ")$");
}

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  for (std::size_t at = text.find(what); at != std::string::npos;
       at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
  return text;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  return text;
}

// Which table the messages of a topic go to.
class Tables {
 public:
  Tables(const Configuration& from, Sink sink, std::string database)
      : from_(from), sink_(sink), database_(std::move(database)) {
    property_ = sink == Sink::kDebezium && from.get("collection.name.format")
                    ? "collection.name.format"
                    : "table.name.format";
    format_ = from.get(property_, kTopic);
    for (const auto& pair : from.list("topics.to.tables.mapping")) {
      const std::size_t colon = pair.find(':');
      if (sink == Sink::kAiven && colon != std::string::npos) {
        mapping_[split(pair.substr(0, colon), ',').at(0)] = pair.substr(colon + 1);
      }
    }
    const std::string quotes = sink == Sink::kConfluent
                                   ? from.get("quote.sql.identifiers", "always")
                               : sink == Sink::kAiven ? from.get("sql.quote.identifiers", "true")
                                                      : from.get("quote.identifiers", "false");
    folded_ = lower(quotes) == "never" || lower(quotes) == "false";
  }

  const std::string& property() const { return property_; }
  bool by_topic() const { return format_.find(kTopic) != std::string::npos || !mapping_.empty(); }
  bool by_message() const { return format_.find("${source.") != std::string::npos; }
  bool folded() const { return folded_; }

  std::string of(const std::string& topic) const {
    std::string name = routed(from_, topic);
    if (sink_ == Sink::kDebezium && !keeps_dots()) name = replaced(name, ".", "_");
    std::string table = replaced(format_, kTopic, name);
    if (sink_ == Sink::kAiven && from_.is_true("table.name.normalize", false)) {
      for (char& c : table) c = is_letter(c) || (c >= '0' && c <= '9') ? c : '_';
    }
    if (const auto found = mapping_.find(name); found != mapping_.end()) table = found->second;
    if (folded_ && table.find('"') == std::string::npos) table = lower(table);
    // database.schema.table: the database is that of the connection.
    if (table.find('"') == std::string::npos && std::count(table.begin(), table.end(), '.') == 2 &&
        table.starts_with(database_ + ".")) {
      table.erase(0, database_.size() + 1);
    }
    return table;
  }

 private:
  bool keeps_dots() const {
    return from_.get("collection.naming.strategy", "")
        .ends_with("PassthroughCollectionNamingStrategy");
  }

  const Configuration& from_;
  Sink sink_;
  std::string database_;
  std::string property_;
  std::string format_;
  std::map<std::string, std::string> mapping_;
  bool folded_ = false;
};

void report_tables(const Configuration& from, const Tables& tables, const Draft& draft,
                   Report& report) {
  const std::string taken = fmt::format("target.table: {}", draft.table);
  for (const auto* name : {"table.name.format", "collection.name.format"}) {
    if (!from.get(name)) continue;
    if (name == tables.property()) {
      report.taken(name, taken);
    } else {
      report.not_needed(name, "collection.name.format counts");
    }
  }
  for (const auto* name : {"table.name.normalize", "topics.to.tables.mapping"}) {
    if (from.get(name)) report.taken(name, taken);
  }
  for (const auto* name : {"collection.naming.strategy", "table.naming.strategy"}) {
    const auto strategy = from.get(name);
    if (!strategy) continue;
    if (strategy->ends_with("DefaultCollectionNamingStrategy") ||
        strategy->ends_with("DefaultTableNamingStrategy") ||
        strategy->ends_with("PassthroughCollectionNamingStrategy")) {
      report.taken(name, taken);
    } else {
      report.not_supported(name, "a class of Java: correct target.table by hand");
    }
  }
  for (const auto* name : {"quote.sql.identifiers", "sql.quote.identifiers", "quote.identifiers"}) {
    if (!from.get(name)) continue;
    if (tables.folded()) {
      report.taken(name,
                   "names are in lower case, as PostgreSQL folds them without quotes; fields that "
                   "have upper case need an entry in sync.columns");
    } else {
      report.not_needed(name, "upper and lower case of names count");
    }
  }
}

Result<bool> read_topics(const Configuration& from, const Options& options, Draft& draft,
                         Report& report) {
  auto topics = from.list("topics");
  const std::string pattern = from.get("topics.regex", "");
  if (topics.empty() && pattern.empty()) {
    return fail(Domain::kDocument, "topics", "topics and topics.regex are missing or empty",
                "A sink names its topics with one of them.");
  }
  if (!options.topic.empty()) {
    if (!topics.empty() && std::find(topics.begin(), topics.end(), options.topic) == topics.end()) {
      return fail(Domain::kCommandLine, "--topic",
                  fmt::format("\"{}\" is none of the connector's topics", options.topic),
                  fmt::format("It reads {}.", fmt::join(topics, ", ")));
    }
    const auto* property = topics.empty() ? "topics.regex" : "topics";
    draft.topics = {options.topic};
    report.taken(property, fmt::format("source.topics: {} of them, by --topic", options.topic));
    return true;
  }
  if (!topics.empty()) {
    draft.topics = std::move(topics);
    report.taken("topics", "source.topics");
    return true;
  }
  if (auto expression = posix_of(pattern)) {
    draft.topics = {*expression};
    report.taken("topics.regex", fmt::format("source.topics: {}", *expression));
    return true;
  }
  return fail(Domain::kDocument, "topics.regex",
              "topics.regex has something that only regular expressions of Java have",
              "Name one topic with --topic NAME, and the others in source.topics of the document.");
}

}  // namespace

std::string literal(std::string_view from) { return replaced(std::string(from), "${", "$${"); }

Result<bool> read_source(const Configuration& from, const Options& options, Draft& draft,
                         Report& report) {
  if (auto topics = read_topics(from, options, draft, report); !topics) return topics;

  std::string database = from.get("connection.url", "");
  database.resize(std::min(database.find('?'), database.size()));
  database.erase(0, database.rfind('/') + 1);
  const Tables tables(from, draft.sink, database);
  if (tables.by_message()) {
    return fail(Domain::kDocument, tables.property(),
                "the table's name is taken from each message (${source...})",
                "That is for change events of Debezium, which are not replayed yet.");
  }
  const bool pattern = draft.topics.front().starts_with('^');
  std::set<std::string> names;
  for (const auto& topic : draft.topics) names.insert(tables.of(topic));
  if (names.size() > 1 || (pattern && tables.by_topic())) {
    return fail(Domain::kDocument, tables.property(),
                pattern
                    ? std::string("each topic goes to a table of its own, and a task writes one")
                    : fmt::format("the topics go to {} tables, and a task writes one: {}",
                                  names.size(), fmt::join(names, ", ")),
                "Import the file once for each topic: --topic NAME.");
  }
  draft.table = literal(*names.begin());
  report_tables(from, tables, draft, report);
  if (!report.has(tables.property())) {
    report.to_fill_in("target.table",
                      fmt::format("{} is the connector's default: the topic's name; "
                                  "see that it is so",
                                  draft.table));
  }

  const std::string name = from.get("name", "");
  draft.task = task_name(name.empty() ? draft.topics.front() : name);
  if (!options.topic.empty()) draft.task = task_name(draft.task + "." + options.topic);
  const std::string group = from.get("consumer.override.group.id", "");
  draft.group = group.empty() ? "connect-" + name : group;
  if (name.empty()) {
    report.to_fill_in("name",
                      "the file does not say the connector's name: correct `name`, and the "
                      "group connect-NAME of source.start");
    if (group.empty()) draft.group = "connect-" + draft.task;
  } else {
    report.taken("name", draft.task == name
                             ? fmt::format("name, and source.start: {{group: {}}}", draft.group)
                             : fmt::format("name: {}, and source.start: {{group: {}}}", draft.task,
                                           draft.group));
  }
  if (!options.bootstrap_servers.empty()) {
    draft.kafka["bootstrap.servers"] = literal(options.bootstrap_servers);
  } else {
    draft.kafka["bootstrap.servers"] = "${env:KAFKA_BOOTSTRAP_SERVERS}";
  }
  if (const auto servers = from.get("bootstrap.servers")) {
    if (options.bootstrap_servers.empty() && !has_provider_reference(*servers)) {
      draft.kafka["bootstrap.servers"] = literal(*servers);
      report.taken("bootstrap.servers", "source.kafka");
    } else {
      report.not_needed("bootstrap.servers", "--bootstrap-servers says it, or the environment");
    }
  }
  read_consumer(from, draft, report);
  if (!options.bootstrap_servers.empty()) {
    draft.kafka["bootstrap.servers"] = literal(options.bootstrap_servers);
  }
  if (draft.kafka["bootstrap.servers"] == "${env:KAFKA_BOOTSTRAP_SERVERS}") {
    report.to_fill_in("KAFKA_BOOTSTRAP_SERVERS",
                      "a connector's file does not say where Kafka is: set it, or import with "
                      "--bootstrap-servers HOST:PORT");
  }
  if (!draft.kafka.contains("security.protocol")) {
    report.to_fill_in("source.kafka",
                      "if Kafka asks who one is: security.protocol, sasl.* and ssl.* stand in the "
                      "worker's file, not in the connector's");
  }
  return true;
}

}  // namespace sluice::connect
