// Canonical JSON of a task, its hash, and what is hidden of secrets.
#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "base/hex.h"
#include "task/names.h"
#include "task/node.h"
#include "task/schema.h"
#include "task/task.h"
#include "task/values.h"

namespace sluice::task {

namespace {

constexpr std::string_view kHidden = "***";

Node number(std::int64_t value) { return Node::number(std::to_string(value)); }

template <class E, std::size_t N>
Node choice(const Name<E> (&names)[N], E value) {
  return Node::string(std::string(name_in(names, value)));
}

Node text_list(const std::vector<std::string>& texts) {
  Node list = Node::list();
  for (const std::string& text : texts) list.items.push_back(Node::string(text));
  return list;
}

Node to_node(const Start& start) {
  if (std::holds_alternative<StartEarliest>(start)) return Node::string("earliest");
  if (std::holds_alternative<StartLatest>(start)) return Node::string("latest");
  Node node = Node::map();
  if (const auto* time = std::get_if<StartTimestamp>(&start)) {
    node.add("timestamp", Node::string(timestamp_text(time->timestamp_ms)));
    return node;
  }
  if (const auto* of = std::get_if<StartGroup>(&start)) {
    node.add("group", Node::string(of->group));
    return node;
  }
  Node& offsets = node.add("offsets", Node::map());
  for (const auto& [topic, partitions] : std::get<StartOffsets>(start).offsets) {
    Node& map = topic.empty() ? offsets : offsets.add(topic, Node::map());
    for (const auto& [partition, offset] : partitions) {
      map.add(std::to_string(partition), number(offset));
    }
  }
  return node;
}

Node to_node(const Source& source) {
  Node node = Node::map();
  Node& kafka = node.add("kafka", Node::map());
  for (const auto& [name, value] : source.kafka) {
    kafka.add(name, Node::string(is_secret_property(name) ? std::string(kHidden) : value));
  }
  node.add("topics", text_list(source.topics));
  node.add("start", to_node(source.start));
  node.add("group", source.group ? Node::string(*source.group) : Node());
  node.add("on_gap", choice(kOnGapNames, source.on_gap));
  return node;
}

Node to_node(const Target& target) {
  Node node = Node::map();
  node.add("postgres", Node::string(mask_conninfo(target.postgres)));
  node.add("table", Node::string(target.table));
  node.add("ledger_schema", Node::string(target.ledger_schema));
  node.add("pooler", choice(kPoolerNames, target.pooler));
  node.add("level", choice(kLevelNames, target.level));
  return node;
}

Node to_node(const Column& column) {
  Node node = Node::map();
  if (column.field) node.add("field", Node::string(*column.field));
  if (column.meta) node.add("meta", choice(kMetaNames, *column.meta));
  node.add("column", Node::string(column.column));
  if (column.field) node.add("on_absent", choice(kOnAbsentNames, column.on_absent));
  node.add("on_null", choice(kOnNullNames, column.on_null));
  // A number node is written as it stands, so any JSON text may be in it.
  if (column.default_json) node.add("default", Node::number(*column.default_json));
  if (column.unit != Unit::kNone) node.add("unit", choice(kUnitNames, column.unit));
  if (column.encoding != Encoding::kNone) {
    node.add("encoding", choice(kEncodingNames, column.encoding));
  }
  if (!column.update) node.add("update", Node::flag(false));
  return node;
}

Node to_node(const Sync& sync) {
  Node node = Node::map();
  node.add("mode", choice(kModeNames, sync.mode));
  node.add("write", choice(kWriteNames, sync.write));
  node.add("primary_key", sync.primary_key.empty() ? Node() : text_list(sync.primary_key));
  node.add("time_zone", Node::string(sync.time_zone));
  node.add("nul", choice(kNulNames, sync.nul));
  Node& extra = node.add("extra_fields", Node::map());
  if (sync.extra_fields == ExtraFields::kColumn) {
    extra.add("column", Node::string(sync.extra_fields_column));
  } else {
    extra = Node::string(sync.extra_fields == ExtraFields::kFail ? "fail" : "ignore");
  }
  node.add("only_if_newer", sync.only_if_newer ? Node::string(*sync.only_if_newer) : Node());
  node.add("unchanged", choice(kUnchangedNames, sync.unchanged));
  node.add("on_tombstone", choice(kOnTombstoneNames, sync.on_tombstone));
  Node& columns = node.add("columns", Node());
  if (sync.columns) {
    columns = Node::list();
    for (const Column& column : *sync.columns) columns.items.push_back(to_node(column));
  }
  if (!sync.mirrors()) return node;
  node.add("format", choice(kFormatNames, sync.format));
  Node& on_delete = node.add("on_delete", Node::map());
  if (sync.on_delete == OnDelete::kMark) {
    on_delete.add("mark", Node::string(sync.mark_column));
  } else {
    on_delete = choice(kOnDeleteNames, sync.on_delete);
  }
  node.add("on_missing_row", choice(kOnMissingRowNames, sync.on_missing_row));
  Node& metadata = node.add("metadata", Node::map());
  for (const auto& [column, meta] : sync.metadata)
    metadata.add(column, choice(kEventMetaNames, meta));
  node.add("on_truncate", choice(kOnTruncateNames, sync.on_truncate));
  if (sync.sweep != Sweep::kOff) node.add("sweep", choice(kSweepNames, sync.sweep));
  node.add("schema_changes", choice(kSchemaChangesNames, sync.schema_changes));
  Node& units = node.add("units", Node::map());
  for (const auto& [column, unit] : sync.units) units.add(column, choice(kWireUnitNames, unit));
  node.add("unavailable_value", Node::string(sync.unavailable_value));
  node.add("signal_tables", text_list(sync.signal_tables));
  Node& tables = node.add("tables", Node::map());
  tables.add("include", text_list(sync.tables.include));
  tables.add("exclude", text_list(sync.tables.exclude));
  Node& rename = tables.add("rename", Node::map());
  for (const auto& [from, to] : sync.tables.rename) rename.add(from, Node::string(to));
  return node;
}

Node to_node(const Tuning& tuning) {
  Node node = Node::map();
  node.add("lanes", tuning.lanes ? number(*tuning.lanes) : Node());
  node.add("batch_rows", number(tuning.batch_rows));
  node.add("batch_bytes", Node::string(bytes_text(tuning.batch_bytes)));
  node.add("linger_ms", number(tuning.linger.count()));
  node.add("memory_mb", number(tuning.memory_mb));
  node.add("copy_format", choice(kCopyFormatNames, tuning.copy_format));
  return node;
}

Node to_node(const Task& task) {
  Node node = Node::map();
  node.add("name", Node::string(task.name));
  node.add("description", Node::string(task.description));
  node.add("source", to_node(task.source));
  node.add("target", to_node(task.target));
  node.add("sync", to_node(task.sync));
  node.add("on_failure", choice(kOnFailureNames, task.on_failure));
  Node& breaker = node.add("breaker", Node::map());
  breaker.add("share", Node::number(fmt::format("{}", task.breaker.share)));
  breaker.add("window", number(task.breaker.window));
  node.add("retry_for",
           task.retry_for ? Node::string(duration_text(task.retry_for->count())) : Node());
  node.add("delivery", choice(kDeliveryNames, task.delivery));
  node.add("tuning", to_node(task.tuning));
  return node;
}

bool is_hashed(std::string_view path) {
  if (path.starts_with("source.kafka.")) return path == "source.kafka.isolation.level";
  constexpr std::string_view kLeftOut[] = {"description",     "tuning",        "retry_for",
                                           "target.postgres", "target.pooler", "target.level"};
  return std::find(std::begin(kLeftOut), std::end(kLeftOut), path) == std::end(kLeftOut);
}

bool is_default(const Node& node, std::string_view key_path) {
  const Key* key = find_key(key_path);
  if (key == nullptr || key->default_text.empty()) return false;
  return (node.kind == Node::Kind::kText ? node.text : to_json(node)) == key->default_text;
}

// Without what is left out of the hash, and without defaults: a later version that brings a new key
// must give an old document the same hash, or processes of both could not share a task.
Node for_hash(const Node& node, const std::string& path, const std::string& key_path) {
  Node kept = node;
  kept.members.clear();
  for (const Member& member : node.members) {
    const std::string child = join_path(path, member.name);
    const std::string child_key = join_path(key_path, member.name);
    if (!is_hashed(child) || is_default(member.value, child_key)) continue;
    Node value = for_hash(member.value, child, child_key);
    if (value.kind == Node::Kind::kMap && value.members.empty()) continue;
    kept.add(member.name, std::move(value));
  }
  for (std::size_t i = 0; i < kept.items.size(); ++i) {
    kept.items[i] = for_hash(node.items[i], join_path(path, i), key_path + "[]");
  }
  return kept;
}

bool is_secret_keyword(std::string_view name) {
  return name.find("password") != std::string_view::npos ||
         name.find("secret") != std::string_view::npos;
}

// Up to the last @ in front of the query, because people do write passwords with / and @ in them.
std::string mask_uri(std::string_view uri) {
  const std::size_t start = uri.find("://") + 3;
  const std::size_t last_at = uri.rfind('@');
  std::size_t query = uri.find('?', start);
  if (last_at != std::string_view::npos && query < last_at) query = uri.find('?', last_at);
  const std::size_t at = uri.substr(0, query).rfind('@');
  std::string masked(uri.substr(0, start));
  std::size_t from = start;
  if (at != std::string_view::npos && at >= start) {
    const std::size_t colon = uri.find(':', start);
    if (colon < at) {
      masked += uri.substr(start, colon - start);
      masked += ':';
      masked += kHidden;
      from = at;
    }
  }
  masked += uri.substr(from, query == std::string_view::npos ? query : query - from);
  while (query < uri.size()) {
    const std::size_t end = std::min(uri.find('&', query + 1), uri.size());
    const std::string_view parameter = uri.substr(query, end - query);
    const std::size_t equals = std::min(parameter.find('='), parameter.size());
    const bool secret = is_secret_keyword(percent_decoded(parameter.substr(1, equals)));
    masked += secret ? std::string(parameter.substr(0, equals)) + "=" + std::string(kHidden)
                     : std::string(parameter);
    query = end;
  }
  return masked;
}

// keyword = value, values plain or in single quotes with \ as escape: libpq's conninfo_parse.
std::string mask_keywords(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\r\f\v";
  std::string masked;
  std::size_t i = 0;
  const auto skip_space = [&] {
    const std::size_t from = i;
    i = std::min(text.find_first_not_of(kSpace, i), text.size());
    masked += text.substr(from, i - from);
  };
  for (skip_space(); i < text.size(); skip_space()) {
    const std::size_t name_end = std::min(text.find_first_of(" \t\n\r\f\v=", i), text.size());
    const std::string_view name = text.substr(i, name_end - i);
    masked += name;
    i = name_end;
    skip_space();
    if (i >= text.size() || text[i] != '=') return std::string(kHidden);  // not what libpq takes
    masked += '=';
    ++i;
    skip_space();
    const std::size_t from = i;
    const bool quotes = i < text.size() && text[i] == '\'';
    if (quotes) ++i;
    while (i < text.size()) {
      if (quotes ? text[i] == '\'' : kSpace.find(text[i]) != std::string_view::npos) break;
      i += text[i] == '\\' ? 2 : 1;
    }
    i = std::min(i, text.size());
    if (quotes) {
      if (i == text.size()) return std::string(kHidden);  // the quotes do not close
      ++i;
    }
    masked += is_secret_keyword(name) ? kHidden : text.substr(from, i - from);
  }
  return masked;
}

std::string sha256_hex(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  SLUICE_CHECK(
      EVP_Digest(text.data(), text.size(), digest.data(), &length, EVP_sha256(), nullptr) == 1);
  std::string hex;
  for (unsigned int i = 0; i < length; ++i) hex += fmt::format("{:02x}", digest.at(i));
  return hex;
}

}  // namespace

bool is_secret_property(std::string_view name) {
  constexpr std::string_view kMarks[] = {"password", "secret",    "passphrase",
                                         "key.pem",  "private",   "jaas",
                                         "token",    "assertion", "oauthbearer.config"};
  return std::any_of(std::begin(kMarks), std::end(kMarks), [&](std::string_view mark) {
    return name.find(mark) != std::string_view::npos;
  });
}

std::string mask_conninfo(std::string_view conninfo) {
  const bool is_uri = conninfo.starts_with("postgresql://") || conninfo.starts_with("postgres://");
  return is_uri ? mask_uri(conninfo) : mask_keywords(conninfo);
}

std::string_view name_of(Write write) { return name_in(kWriteNames, write); }

std::string canonical_json(const Task& task) { return to_json(to_node(task)); }

std::string hash_of(const Task& task) {
  return sha256_hex(to_json(for_hash(to_node(task), "", "")));
}

}  // namespace sluice::task
