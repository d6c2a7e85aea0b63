#include "pipeline/open.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/number.h"
#include "kafka/errors.h"
#include "pipeline/failure.h"
#include "pipeline/look.h"
#include "pipeline/open_group.h"
#include "pipeline/positions.h"
#include "pipeline/proof.h"

namespace sluice::pipeline {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr milliseconds kKafkaTimeout{10'000};
constexpr int kTries = 10;  // while other processes change the task at the same time

using TopicStates = std::map<std::string, ledger::TopicState>;

template <class T>
tl::unexpected<Error> pass(const Result<T>& result) {
  return fail(result.error());
}

TopicStates states_of(const std::vector<kafka::TopicInfo>& topics) {
  TopicStates states;
  for (const auto& topic : topics) states[topic.name] = {topic.id, topic.partitions};
  return states;
}

// The ledger names another database than the one that it is in: it, or the target, is a copy.
bool elsewhere(const ledger::Identity& was, const ledger::Identity& now) {
  return was.host != now.host || was.port != now.port || was.database != now.database;
}

// What is not as it was, in words.
std::vector<std::string> differences_of(const ledger::Identity& was, const ledger::Identity& now) {
  std::vector<std::string> differences;
  if (was.cluster_id != now.cluster_id) {
    differences.push_back(
        fmt::format("it reads Kafka cluster {}, not {}", was.cluster_id, now.cluster_id));
  }
  if (elsewhere(was, now)) {
    differences.push_back(
        fmt::format("it writes to {}:{}/{}, not {}:{}/{} (a copy of that database?)", was.host,
                    was.port, was.database, now.host, now.port, now.database));
  }
  for (const auto& [table, oid] : now.tables) {
    if (was.tables.empty()) break;  // it was yet to be made
    const auto found = was.tables.find(table);
    if (found == was.tables.end()) {
      differences.push_back(
          fmt::format("it writes to {}, not {}", was.tables.begin()->first, table));
    } else if (found->second != oid) {
      differences.push_back(fmt::format("{} was dropped and created again since", table));
    }
  }
  return differences;
}

// Another process changed the task between the look at it and the change.
bool overtaken(const Error& error) {
  return error.domain == Domain::kLedger &&
         (error.code == "fenced" || error.code == "position_moved");
}

// One opening; its steps in order.
class Opening {
 public:
  Opening(const TaskSource& source, OpenOptions options)
      : source_(source), task_(source.task), options_(options) {}

  Result<OpenedTask> run() {
    if (auto done = reach(); !done) return pass(done);
    auto row = ledger::read_task(db(), handle());
    auto existing = db().drive(std::move(row));
    if (!existing) return pass(existing);
    Result<bool> done = *existing ? resume(**existing) : create();
    if (!done && done.error().code == "task_exists") {  // another process was first
      auto again = db().drive(ledger::read_task(db(), handle()));
      if (!again) return pass(again);
      if (*again) done = resume(**again);
    }
    if (!done) return pass(done);
    opened_.handle.uid = opened_.row.uid;
    opened_.group = task_.source.group.value_or(ledger::group_name(opened_.handle));
    if (auto read = read_positions(); !read) return pass(read);
    if (auto checked = look_for_gaps(); !checked) return pass(checked);
    opened_.topics = std::move(topics_);
    return std::move(opened_);
  }

 private:
  postgres::Connection& db() { return *opened_.connection; }
  const ledger::Handle& handle() const { return opened_.handle; }

  Result<bool> reach() {
    auto source = reach_source(source_, "sluice-" + task_.name);
    if (!source) return pass(source);
    auto target = reach_target(source_, "sluice supervisor");
    if (!target) return pass(target);
    topics_ = std::move(source->topics);
    if (topics_.empty()) {
      // A pattern may match later; a task that waits for its first topic is no error.
      opened_.notes.push_back("no topic matches source.topics yet: waiting for one");
    }
    opened_.admin = std::move(source->admin);
    opened_.watermarks = std::move(source->watermarks);
    opened_.handle = std::move(target->handle);
    opened_.connection = std::move(target->connection);
    opened_.table = std::move(target->table);
    opened_.zone = std::move(target->zone);
    identity_ = identity_of(source->cluster_id, *target, opened_.table);
    identity_.document_hash = task::hash_of(task_);
    auto prepared = db().drive(ledger::prepare(db(), handle().schema));
    if (!prepared) return pass(prepared);
    return true;
  }

  // ---- the first start

  Result<bool> create() {
    if (auto free = start_group_is_free(); !free) return free;
    if (auto alone = ledger_is_ours_alone(); !alone) return alone;
    auto start = start_positions(*opened_.admin, task_, topics_, opened_.watermarks);
    if (!start) return pass(start);
    auto row = db().drive(
        ledger::create_task(db(), handle(), identity_, states_of(topics_), std::move(*start)));
    if (!row) return pass(row);
    opened_.row = std::move(*row);
    opened_.notes.push_back(
        fmt::format("task created: {} of {}",
                    counted(static_cast<std::int64_t>(partitions_of(topics_).size()), "partition"),
                    counted(static_cast<std::int64_t>(topics_.size()), "topic")));
    return true;
  }

  Result<bool> ledger_is_ours_alone() {
    if (task_.target.level == task::Level::kCurrent) return true;
    auto other = db().drive(ledger::other_task(db(), handle()));
    if (!other) return pass(other);
    if (!*other) return true;
    return fail(Domain::kDocument, "target.ledger_schema",
                fmt::format("the ledger in schema \"{}\" holds the positions of task \"{}\", and "
                            "with target.level: postgresql_9_4 a ledger is for one task: a batch "
                            "locks the whole of it",
                            handle().schema, **other),
                fmt::format("Give this task its own: target.ledger_schema: \"{}_{}\".",
                            handle().schema, task_.name));
  }

  Result<bool> start_group_is_free() {
    auto members = members_of_start_group(*opened_.admin, task_);
    if (!members) return pass(members);
    if (*members > 0) return fail(start_group_at_work(task_, *members));
    return true;
  }

  // ---- a later start

  Result<bool> resume(ledger::TaskRow row) {
    opened_.row = std::move(row);
    opened_.handle.uid = opened_.row.uid;  // what follows is for this task, and no later one
    if (options_.reset) return reset();
    const auto same = same_task(handle(), opened_.row.identity, identity_);
    if (!same && !options_.adopt) return pass(same);
    ledger::EpochChange change;
    bool changes = false;
    const bool edited = opened_.row.identity.document_hash != identity_.document_hash;
    if (edited || !same) {
      // The group that a copied ledger names is the original's; the copy gets one of its own,
      // unless the document says which.
      const bool shared = !elsewhere(opened_.row.identity, identity_) || task_.source.group;
      if (shared && !options_.take_over) {
        if (auto free = nobody_runs_it("with another document "); !free) return free;
      }
      change.identity = identity_;
      change.new_uid = !same;
      changes = true;
      opened_.notes.emplace_back(same ? "the task document has changed: taken over"
                                      : "adopted: the task has a new identity");
    }
    if (same && opened_.row.identity.tables != identity_.tables && !change.identity) {
      change.identity = identity_;  // the table that the task has made
      changes = true;
    }
    if (opened_.row.halt) {
      const auto& halt = *opened_.row.halt;
      change.clear_halt = true;
      changes = true;
      opened_.notes.push_back(fmt::format("clearing the halt at {}/{} offset {}: {}",
                                          halt.key.topic, halt.key.partition, halt.offset,
                                          halt.reason));
    }
    if (auto known = compare_topics(change, changes); !known) return known;
    if (options_.take_over) {
      changes = true;
      opened_.notes.emplace_back("taken over: processes that run another document end");
    }
    if (!changes) return true;
    return raise(std::move(change));
  }

  // Only from the state that was looked at: another process may have done the same meanwhile, and
  // gone on. Moving its positions once more would write its rows once more.
  Result<bool> raise(ledger::EpochChange change) {
    change.only_from = opened_.row.epoch;
    auto raised = db().drive(ledger::raise_epoch(db(), handle(), std::move(change)));
    if (!raised) return pass(raised);
    opened_.row = std::move(*raised);
    return true;
  }

  Result<bool> reset() {
    if (auto free = nobody_runs_it(""); !free) return free;
    if (auto free = start_group_is_free(); !free) return free;
    auto start = start_positions(*opened_.admin, task_, topics_, opened_.watermarks);
    if (!start) return pass(start);
    ledger::EpochChange change;
    change.identity = identity_;
    change.clear_halt = true;
    change.topics = states_of(topics_);
    change.reset_to = std::move(*start);
    if (auto raised = raise(std::move(change)); !raised) return raised;
    opened_.notes.emplace_back("reset: all positions are at source.start again");
    return true;
  }

  // A document may only change, and positions may only be moved, while no process runs the task.
  Result<bool> nobody_runs_it(std::string_view how) {
    ledger::Handle old = handle();
    old.uid = opened_.row.uid;
    const std::string group = task_.source.group.value_or(ledger::group_name(old));
    auto info = opened_.admin->group(group, kKafkaTimeout);
    if (!info) return pass(info);
    if (info->members == 0) return true;
    return fail(Domain::kLedger, "running",
                fmt::format("task \"{}\" is running elsewhere {}({} members in group {})",
                            task_.name, how, info->members, group),
                fmt::format("Stop it there first{}. (One that was killed counts until its "
                            "session.timeout.ms has passed.)",
                            how.empty() ? ""
                                        : ", or run the same document here to share its "
                                          "partitions"));
  }

  // The offsets of a topic that was deleted and created again mean nothing here, unless it holds
  // what was applied: then it was brought back, or is a mirror.
  Result<bool> compare_topics(ledger::EpochChange& change, bool& changes) {
    std::optional<std::vector<ledger::LedgerRow>> rows;
    for (const auto& topic : topics_) {
      const auto known = opened_.row.topics.find(topic.name);
      if (known == opened_.row.topics.end()) continue;
      const bool ids = !known->second.id.empty() && !topic.id.empty();
      if (ids && known->second.id == topic.id) continue;
      if (!rows) {
        auto read = db().drive(ledger::read_ledger(db(), handle()));
        if (!read) return pass(read);
        rows = std::move(*read);
        for (const auto& row : *rows) {
          const auto marks = opened_.watermarks.find(row.key);
          if (marks == opened_.watermarks.end()) continue;
          auto done = catch_up(*opened_.admin, row.key, row.next_offset, marks->second);
          if (!done) return done;
        }
      }
      auto proof = prove(source_, topic, *rows, opened_.watermarks);
      if (!proof) return pass(proof);
      if (!ids && proof->against.empty()) continue;
      if (ids && proof->against.empty() && proof->partitions > 0) {
        if (!change.topics) change.topics = opened_.row.topics;
        (*change.topics)[topic.name].id = topic.id;
        opened_.notes.push_back(fmt::format(
            "topic \"{}\" has another id, but holds what was applied last (offset, timestamp and "
            "CRC of {} partitions): going on",
            topic.name, proof->partitions));
      } else if (task_.source.on_gap == task::OnGap::kStop) {
        return fail(
            Domain::kLedger, ids ? "topic_created_again" : "position_unproven",
            fmt::format("topic \"{}\" was deleted and created again since this task read "
                        "it: what the old one still held is lost{}",
                        topic.name, proof->against.empty() ? "" : " (" + proof->against + ")"),
            "Set source.on_gap: continue to go on with the new topic from its beginning, "
            "or start with --reset.");
      } else if (auto done = begin_topic_again(topic, *rows, change); !done) {
        return done;
      }
      changes = true;
    }
    return true;
  }

  Result<bool> begin_topic_again(const kafka::TopicInfo& topic,
                                 const std::vector<ledger::LedgerRow>& rows,
                                 ledger::EpochChange& change) {
    if (!change.topics) change.topics = opened_.row.topics;
    (*change.topics)[topic.name] = {topic.id, topic.partitions};
    for (const auto& row : rows) {
      if (row.key.topic != topic.name) continue;
      ledger::Gap gap{row.key, row.next_offset, row.next_offset, "topic_created_again"};
      auto recorded =
          db().drive(ledger::record_gap(db(), handle(), opened_.row.epoch, std::move(gap), false));
      if (!recorded) return recorded;
      if (row.key.partition < topic.partitions) change.move_to[row.key] = 0;
    }
    opened_.notes.push_back(fmt::format(
        "topic \"{}\" was created again: going on at its beginning (gap recorded)", topic.name));
    return true;
  }

  Result<bool> read_positions() {
    auto rows = db().drive(ledger::read_ledger(db(), handle()));
    if (!rows) return pass(rows);
    for (const auto& row : *rows) opened_.positions[row.key] = row.next_offset;
    return true;
  }

  // Positions outside the log: retention removed what was not yet applied, or the log is another.
  Result<bool> look_for_gaps() {
    for (auto& [key, next] : opened_.positions) {
      const auto marks = opened_.watermarks.find(key);
      if (marks == opened_.watermarks.end()) continue;
      if (auto done = catch_up(*opened_.admin, key, next, marks->second); !done) return done;
      if (next > marks->second.end) {
        return fail(Domain::kLedger, "position_unproven",
                    fmt::format("{}/{} ends at offset {}, but this task has applied up to {}: the "
                                "log was truncated, or this is another topic",
                                key.topic, key.partition, marks->second.end, next),
                    "Find out what happened to the topic; --reset begins again at source.start.");
      }
      if (next >= marks->second.low) continue;
      if (task_.source.on_gap == task::OnGap::kStop) {
        return fail(
            Domain::kLedger, "gap",
            fmt::format("{}/{}: offsets {} to {} were removed by retention before they were "
                        "applied",
                        key.topic, key.partition, next, marks->second.low - 1),
            "Set source.on_gap: continue to record the gap and go on, or restore the "
            "topic.");
      }
      ledger::Gap gap{key, next, marks->second.low, "retention"};
      auto recorded =
          db().drive(ledger::record_gap(db(), handle(), opened_.row.epoch, std::move(gap), true));
      if (!recorded) return recorded;
      opened_.notes.push_back(fmt::format("gap recorded: {}/{} offsets {} to {} (retention)",
                                          key.topic, key.partition, next, marks->second.low - 1));
      next = marks->second.low;
    }
    return true;
  }

  const TaskSource& source_;
  const task::Task& task_;
  const OpenOptions options_;
  OpenedTask opened_;
  ledger::Identity identity_;
  std::vector<kafka::TopicInfo> topics_;
};

}  // namespace

Result<bool> same_task(const ledger::Handle& handle, const ledger::Identity& was,
                       const ledger::Identity& now) {
  const auto differences = differences_of(was, now);
  if (differences.empty()) return true;
  return fail(
      Domain::kLedger, "identity",
      fmt::format("task \"{}\" in ledger \"{}\" is another one: {}", handle.task, handle.schema,
                  fmt::join(differences, "; ")),
      "If this is the same task in a new place, start it with --adopt; to forget what it has "
      "applied and begin again, --reset; otherwise give this one another name.");
}

bool worth_waiting(const Error& error) {
  if (error.domain == Domain::kKafka) return kafka::is_environment(error);
  if (error.domain != Domain::kPostgres) return false;
  if (error.code == "connection" || error.code == "timeout") {
    return postgres::is_environment_failure(error);
  }
  const bool refused = error.code.substr(0, 2) == "28" || error.code == "42501" ||
                       error.code == "3D000" || error.code == "55000";
  const FailureClass failure = classify(error, Phase::kConnect);
  return !refused && (failure == FailureClass::kEnvironment || failure == FailureClass::kConflict);
}

Result<OpenedTask> open_task(const TaskSource& source, OpenOptions options) {
  if (!source.task.keeps_ledger()) return open_with_group(source, options);
  for (int tries = 1;; ++tries) {
    auto opened = Opening(source, options).run();
    if (opened || tries == kTries || !overtaken(opened.error())) return opened;
  }
}

}  // namespace sluice::pipeline
