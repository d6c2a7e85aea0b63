#include "pipeline/positions.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <variant>

namespace sluice::pipeline {

namespace {

constexpr std::chrono::milliseconds kKafkaTimeout{10'000};
constexpr const char* kStartGroup = "source.start.group";

struct Starting {
  kafka::Admin& admin;
  const std::vector<kafka::TopicInfo>& topics;
  const AllWatermarks& watermarks;

  Result<Positions> operator()(const task::StartEarliest& /*start*/) const {
    Positions starts;
    for (const auto& [key, marks] : watermarks) starts[key] = marks.low;
    return starts;
  }

  Result<Positions> operator()(const task::StartLatest& /*start*/) const {
    Positions starts;
    for (const auto& [key, marks] : watermarks) starts[key] = marks.end;
    return starts;
  }

  Result<Positions> operator()(const task::StartTimestamp& start) const {
    auto offsets = admin.offsets_at(partitions_of(topics), start.timestamp_ms, kKafkaTimeout);
    if (!offsets) return fail(offsets.error());
    Positions starts;
    for (const auto& [partition, offset] : *offsets) {
      const ledger::Key key{partition.topic, partition.partition};
      const auto marks = watermarks.find(key);
      starts[key] = marks == watermarks.end() ? offset : std::min(offset, marks->second.end);
    }
    return starts;
  }

  Result<Positions> operator()(const task::StartOffsets& start) const {
    if (auto known = all_known(start); !known) return fail(known.error());
    Positions starts;
    for (const auto& [key, marks] : watermarks) {
      auto topic = start.offsets.find(key.topic);
      if (topic == start.offsets.end() && topics.size() == 1) topic = start.offsets.find("");
      const auto* offsets = topic == start.offsets.end() ? nullptr : &topic->second;
      const auto found =
          offsets == nullptr ? decltype(offsets->end()){} : offsets->find(key.partition);
      if (offsets == nullptr || found == offsets->end()) {
        return fail(Domain::kDocument, "source.start.offsets",
                    fmt::format("names no offset for partition {} of topic \"{}\"", key.partition,
                                key.topic),
                    fmt::format("Name every partition; {} has offsets {} to {}.", key.partition,
                                marks.low, marks.end));
      }
      if (found->second < marks.low || found->second > marks.end) {
        return fail(Domain::kDocument, "source.start.offsets",
                    fmt::format("offset {} of {}/{} is outside its log", found->second, key.topic,
                                key.partition),
                    fmt::format("It holds offsets {} to {}.", marks.low, marks.end));
      }
      starts[key] = found->second;
    }
    return starts;
  }

  Result<Positions> operator()(const task::StartGroup& start) const {
    auto committed = admin.committed(start.group, partitions_of(topics), kKafkaTimeout);
    if (!committed) {
      if (committed.error().code != "UNSTABLE_OFFSET_COMMIT") return fail(committed.error());
      return fail(Domain::kKafka, committed.error().code,
                  fmt::format("group \"{}\" commits offsets in a transaction that is still open",
                              start.group),
                  "Wait until it has ended: until then nobody can say where the group is.");
    }
    if (committed->empty()) {
      auto info = admin.group(start.group, kKafkaTimeout);
      if (!info) return fail(info.error());
      if (info->state == "Dead") {
        return fail(Domain::kDocument, kStartGroup,
                    fmt::format("Kafka knows no consumer group \"{}\"", start.group),
                    "kafka-consumer-groups.sh --list names those it knows; the group of a Kafka "
                    "Connect sink is connect-NAME. Offsets of a group without members are "
                    "forgotten after offsets.retention.minutes (7 days).");
      }
    }
    Positions starts;
    std::vector<std::string> missing;
    for (const auto& [key, marks] : watermarks) {
      const auto found = committed->find({key.topic, key.partition});
      if (found == committed->end()) {
        if (marks.low < marks.end)
          missing.push_back(fmt::format("{}/{}", key.topic, key.partition));
        starts[key] = marks.end;
        continue;
      }
      if (found->second < marks.low || found->second > marks.end) {
        return fail(Domain::kDocument, kStartGroup,
                    fmt::format("group \"{}\" has committed offset {} of {}/{}, which is outside "
                                "its log",
                                start.group, found->second, key.topic, key.partition),
                    fmt::format("It holds offsets {} to {}: records were removed, or the topic was "
                                "created again. Say with source.start: {{offsets: ...}} or "
                                "{{timestamp: ...}} where to begin.",
                                marks.low, marks.end));
      }
      starts[key] = found->second;
    }
    if (missing.empty()) return starts;
    constexpr std::size_t kNamed = 20;
    const std::size_t count = missing.size();
    if (count > kNamed) missing.resize(kNamed);
    return fail(Domain::kDocument, kStartGroup,
                fmt::format("group \"{}\" has committed no offset for {}{}, where records are",
                            start.group, fmt::join(missing, ", "),
                            count > kNamed ? fmt::format(" and {} more", count - kNamed) : ""),
                "Is it the group that read these topics? If so, name every partition with "
                "source.start: {offsets: ...}, or read the topics with a task each.");
  }

  // A slip of the pen would otherwise go unnoticed until somebody misses messages.
  Result<bool> all_known(const task::StartOffsets& start) const {
    for (const auto& [name, offsets] : start.offsets) {
      const auto topic = name.empty() && topics.size() == 1
                             ? topics.begin()
                             : std::find_if(topics.begin(), topics.end(),
                                            [&](const auto& info) { return info.name == name; });
      if (topic == topics.end()) {
        return fail(Domain::kDocument, "source.start.offsets",
                    name.empty() ? "names partitions, but not of which topic"
                                 : fmt::format("names topic \"{}\", which is not read", name),
                    fmt::format("Name topics of source.topics; there are {} now.", topics.size()));
      }
      for (const auto& [partition, offset] : offsets) {
        if (partition < topic->partitions) continue;
        return fail(Domain::kDocument, "source.start.offsets",
                    fmt::format("names partition {} of topic \"{}\", which has no such partition",
                                partition, topic->name),
                    fmt::format("It has partitions 0 to {}.", topic->partitions - 1));
      }
    }
    return true;
  }
};

}  // namespace

std::vector<kafka::TopicPartition> partitions_of(const std::vector<kafka::TopicInfo>& topics) {
  std::vector<kafka::TopicPartition> partitions;
  for (const auto& topic : topics) {
    for (int i = 0; i < topic.partitions; ++i) partitions.push_back({topic.name, i});
  }
  return partitions;
}

Result<AllWatermarks> read_watermarks(kafka::Admin& admin,
                                      const std::vector<kafka::TopicInfo>& topics) {
  AllWatermarks all;
  const auto partitions = partitions_of(topics);
  if (partitions.empty()) return all;
  auto marks = admin.watermarks(partitions, kKafkaTimeout);
  if (!marks) return fail(marks.error());
  for (const auto& [partition, mark] : *marks) all[{partition.topic, partition.partition}] = mark;
  return all;
}

Result<bool> catch_up(kafka::Admin& admin, const ledger::Key& key, std::int64_t next,
                      kafka::Watermarks& marks) {
  if (next <= marks.end) return true;
  auto now = admin.watermarks({{key.topic, key.partition}}, kKafkaTimeout);
  if (!now) return fail(now.error());
  marks.end = now->begin()->second.end;
  return true;
}

Result<Positions> start_positions(kafka::Admin& admin, const task::Task& task,
                                  const std::vector<kafka::TopicInfo>& topics,
                                  const AllWatermarks& watermarks) {
  return std::visit(Starting{admin, topics, watermarks}, task.source.start);
}

Result<int> members_of_start_group(kafka::Admin& admin, const task::Task& task) {
  const auto* start = std::get_if<task::StartGroup>(&task.source.start);
  if (start == nullptr) return 0;
  auto info = admin.group(start->group, kKafkaTimeout);
  if (!info) return fail(info.error());
  return info->members;
}

Error start_group_at_work(const task::Task& task, int members) {
  return fail(Domain::kLedger, "start_group",
              fmt::format("group \"{}\" is still at work ({} members): what it commits from now on "
                          "would be applied a second time",
                          std::get<task::StartGroup>(task.source.start).group, members),
              "Stop what reads under that group (a connector: its state STOPPED), then start the "
              "task. One that was killed counts until its session timeout has passed.")
      .value();
}

Result<std::shared_ptr<const postgres::TimeZone>> read_zone(postgres::Connection& connection,
                                                            const std::string& name) {
  if (postgres::is_utc(name)) return nullptr;
  std::string sql(postgres::Connection::own_timeouts());
  sql += postgres::TimeZone::sql(name);
  auto rules = connection.drive(connection.query(std::move(sql)));
  if (!rules) {
    if (rules.error().code != "22023") return fail(rules.error());
    return fail(Domain::kDocument, "sync.time_zone",
                fmt::format("PostgreSQL knows no time zone \"{}\"", name),
                "SELECT name FROM pg_timezone_names lists those it knows.");
  }
  auto zone = postgres::TimeZone::parse(rules->back().text(0, 0));
  if (!zone) return fail(zone.error());
  return std::make_shared<const postgres::TimeZone>(std::move(*zone));
}

}  // namespace sluice::pipeline
