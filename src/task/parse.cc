#include "task/parse.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <limits>

#include "task/parser.h"
#include "task/table_rules.h"

namespace sluice::task {

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
      } else if (valid_.at("source.topics") != nullptr && !task_.source.reads(topic)) {
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
  read_text("target.table", task_.target.table, [](std::string_view text) {
    return TableRules::is_template(text) || is_table_name(text);
  });
  read_choice("target.pooler", kPoolerNames, task_.target.pooler);
  read_choice("target.level", kLevelNames, task_.target.level);
  read_text("target.ledger_schema", task_.target.ledger_schema,
            [](std::string_view text) { return is_identifier(text) && !text.starts_with("pg_"); });
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

bool Sync::keeps_position() const {
  return only_if_newer || std::ranges::any_of(metadata, [](const auto& item) {
           return item.second == EventMeta::kLsn || item.second == EventMeta::kPosition;
         });
}

bool Source::reads(std::string_view topic) const {
  return std::any_of(topics.begin(), topics.end(), [&](const std::string& each) {
    return each == topic ||
           (each.starts_with('^') && RE2::PartialMatch(topic, RE2(each, RE2::Quiet)));
  });
}

bool Task::has_many_tables() const { return TableRules::is_template(target.table); }

tl::expected<Task, Errors> parse(const Node& document) { return Parser(document).run(); }

tl::expected<Task, Errors> parse(const boost::json::value& document) {
  return parse(from_json(document));
}

}  // namespace sluice::task
