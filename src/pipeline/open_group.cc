#include "pipeline/open_group.h"

#include <fmt/format.h>

#include <algorithm>

namespace sluice::pipeline {

using std::chrono::milliseconds;

namespace {

constexpr milliseconds kKafkaTimeout{10'000};
constexpr std::int64_t kOnlyEpoch = 1;

Error running_elsewhere(const task::Task& task, const std::string& group, int members) {
  return fail(Domain::kLedger, "running",
              fmt::format("task \"{}\" is running elsewhere ({} members in group {})", task.name,
                          members, group),
              "Stop it there first. (One that was killed counts until its session.timeout.ms has "
              "passed.)")
      .value();
}

// Nobody may be in the group: Kafka refuses the commit otherwise.
Result<Positions> begin(const SourceLook& source, const task::Task& task,
                        const std::string& group) {
  auto info = source.admin->group(group, kKafkaTimeout);
  if (!info) return fail(info.error());
  if (info->members > 0) return fail(running_elsewhere(task, group, info->members));
  auto members = members_of_start_group(*source.admin, task);
  if (!members) return fail(members.error());
  if (*members > 0) return fail(start_group_at_work(task, *members));
  auto start = start_positions(*source.admin, task, source.topics, source.watermarks);
  if (!start) return start;
  std::map<kafka::TopicPartition, std::int64_t> offsets;
  for (const auto& [key, offset] : *start) offsets[{key.topic, key.partition}] = offset;
  if (offsets.empty()) return start;
  auto done = source.admin->commit(group, offsets, kKafkaTimeout);
  if (!done) return fail(done.error());
  return start;
}

// Positions outside the log: retention was faster, or it is another log.
Result<bool> pass_gaps(const task::Task& task, SourceLook& from, OpenedTask& opened) {
  for (auto& [key, next] : opened.positions) {
    kafka::Watermarks& marks = from.watermarks.at(key);
    if (auto done = catch_up(*from.admin, key, next, marks); !done) return done;
    const std::string where = fmt::format("{}/{}", key.topic, key.partition);
    if (next > marks.end) {
      return fail(Domain::kLedger, "position_unproven",
                  fmt::format("{} ends at offset {}, but group {} has committed {}: the log was "
                              "truncated, or the topic was created again",
                              where, marks.end, opened.group, next),
                  "Find out what happened to the topic; --reset begins again at source.start.");
    }
    if (next >= marks.low) continue;
    const std::string what = fmt::format(
        "{}: offsets {} to {} were removed by retention before "
        "they were applied",
        where, next, marks.low - 1);
    if (task.source.on_gap == task::OnGap::kStop) {
      return fail(Domain::kLedger, "gap", what,
                  "Set source.on_gap: continue to go on behind them, or restore the topic.");
    }
    opened.notes.push_back("gap: " + what);
    next = marks.low;
  }
  return true;
}

}  // namespace

std::string group_of(const task::Task& task) {
  return task.source.group.value_or("sluice-" + task.name);
}

Result<LedgerLook> read_group(const SourceLook& source, const task::Task& task) {
  LedgerLook past;
  if (source.admin == nullptr) return past;
  auto committed =
      source.admin->committed(group_of(task), partitions_of(source.topics), kKafkaTimeout);
  if (!committed) return fail(committed.error());
  if (committed->empty()) return past;
  past.task.emplace().epoch = kOnlyEpoch;
  for (const auto& [id, offset] : *committed) {
    past.rows.push_back({.key = {id.topic, id.partition}, .next_offset = offset});
  }
  return past;
}

Result<OpenedTask> open_with_group(const TaskSource& source, OpenOptions options) {
  const task::Task& task = source.task;
  if (options.adopt || options.take_over) {
    return fail(Domain::kDocument, "delivery",
                fmt::format("{} means nothing to a task with delivery: at_least_once, which keeps "
                            "no identity",
                            options.adopt ? "--adopt" : "--take-over"),
                "Leave it out.");
  }
  auto from = reach_source(source, "sluice-" + task.name);
  if (!from) return fail(from.error());
  auto target = reach_target(source, "sluice supervisor");
  if (!target) return fail(target.error());
  OpenedTask opened;
  opened.group = group_of(task);
  opened.handle = target->handle;
  opened.row.epoch = kOnlyEpoch;
  for (const auto& topic : from->topics) {
    opened.row.topics[topic.name] = {topic.id, topic.partitions};
  }
  opened.notes.push_back(fmt::format(
      "delivery: at_least_once: group {} in Kafka keeps the positions; rows can come twice after "
      "trouble",
      opened.group));
  auto past = read_group(*from, task);
  if (!past) return fail(past.error());
  if (!past->task || options.reset) {
    auto begun = begin(*from, task, opened.group);
    if (!begun) return fail(begun.error());
    opened.positions = std::move(*begun);
    opened.notes.emplace_back("the group begins at source.start");
  } else {
    for (const auto& [key, marks] : from->watermarks) opened.positions[key] = 0;
    for (const auto& row : past->rows) opened.positions[row.key] = row.next_offset;
    if (auto passed = pass_gaps(task, *from, opened); !passed) return fail(passed.error());
  }
  opened.table = std::move(target->table);
  opened.zone = std::move(target->zone);
  opened.connection = std::move(target->connection);
  opened.topics = std::move(from->topics);
  opened.watermarks = std::move(from->watermarks);
  opened.admin = std::move(from->admin);
  return opened;
}

}  // namespace sluice::pipeline
