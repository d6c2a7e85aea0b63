#include "pipeline/positions.h"

#include <fmt/format.h>

#include <algorithm>
#include <variant>

namespace sluice::pipeline {

namespace {

constexpr std::chrono::milliseconds kKafkaTimeout{10'000};

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

Result<Positions> start_positions(kafka::Admin& admin, const task::Task& task,
                                  const std::vector<kafka::TopicInfo>& topics,
                                  const AllWatermarks& watermarks) {
  return std::visit(Starting{admin, topics, watermarks}, task.source.start);
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
