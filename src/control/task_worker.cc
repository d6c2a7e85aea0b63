#include "control/task_worker.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <iterator>

#include "base/log.h"
#include "control/task_document.h"
#include "ledger/ledger.h"
#include "pipeline/look.h"

namespace sluice::control {
namespace {

using namespace std::chrono_literals;

// The steps of a creation, and which of check's belong to each.
struct Step {
  std::string_view name;
  std::initializer_list<std::string_view> checks;
};
constexpr std::size_t kValidate = 0, kConnectSource = 1, kConnectTarget = 2, kStart = 5;
const Step kSteps[] = {
    {"validate", {}},
    {"connect_source", {"kafka", "topics", "group", "start"}},
    {"connect_target", {"postgres"}},
    {"prepare_ledger", {"ledger"}},
    {"prepare_table", {"table", "columns", "key", "privileges"}},
    {"start", {}},
};

std::size_t step_of(std::string_view check) {
  for (std::size_t i = 0; i < std::size(kSteps); ++i) {
    for (const auto name : kSteps[i].checks) {
      if (name == check) return i;
    }
  }
  return kConnectTarget + 2;  // what is not known is about the table
}

boost::json::array fresh_steps() {
  boost::json::array steps;
  for (const auto& step : kSteps) {
    steps.push_back({{"name", step.name}, {"state", "waiting"}, {"message", ""}});
  }
  return steps;
}

boost::json::object end_of(const pipeline::RunReport& report) {
  boost::json::object reason;
  if (!report.errors.empty()) {
    reason = reason_of(report.errors.front());
  } else {
    reason = {{"code", "ended"}, {"message", "the task has ended"}, {"remedy", ""}};
  }
  if (report.errors.size() > 1) {
    boost::json::array others;
    for (std::size_t i = 1; i < report.errors.size(); ++i) {
      others.push_back(reason_of(report.errors[i]));
    }
    reason["others"] = std::move(others);
  }
  if (report.halt_offset >= 0) {
    reason["topic"] = report.halt_key.topic;
    reason["partition"] = report.halt_key.partition;
    reason["offset"] = report.halt_offset;
  }
  return reason;
}

}  // namespace

boost::json::object reason_of(const Error& error) {
  return {{"code", error.code},
          {"from", name_of(error.domain)},
          {"message", error.message},
          {"remedy", error.remedy}};
}

boost::json::object reason_of(const Problem& problem) {
  boost::json::object reason{{"code", problem.code},
                             {"message", problem.detail},
                             {"remedy", problem.advice.empty() ? problem_kind(problem.code).advice
                                                               : std::string_view(problem.advice)}};
  boost::json::array fields;
  for (const auto& field : problem.fields) {
    fields.push_back({{"path", field.path}, {"message", field.message}});
  }
  if (!fields.empty()) reason["fields"] = std::move(fields);
  return reason;
}

boost::json::object figures_of(const pipeline::Progress& progress) {
  const auto& tally = progress.tally;
  const auto known = [](std::int64_t value) {
    return value < 0 ? boost::json::value(nullptr) : boost::json::value(value);
  };
  boost::json::object figures{
      {"activity", progress.state},
      {"waiting_for", progress.reason},
      {"rows_written", tally.written},
      {"rows_deleted", tally.deleted},
      {"ignored", tally.ignored},
      {"discarded", tally.discarded},
      {"dead_letters", tally.dead},
      {"failed", {{"message", progress.failed_message}, {"data", progress.failed_data}}},
      {"rows_per_second", progress.rows_per_second},
      {"lag_messages", known(progress.lag)},
      {"batches", progress.batches},
      {"bytes", progress.bytes},
      {"lanes", progress.lanes},
      {"partitions", progress.partitions},
      {"connects", progress.connects},
      {"alterations", progress.alterations},
      {"seconds", static_cast<double>(progress.elapsed.count()) / 1000},
  };
  // How long what is waiting will take at the present rate.
  figures["catch_up_seconds"] =
      progress.lag == 0 ? boost::json::value(0)
      : progress.lag > 0 && progress.rows_per_second > 0
          ? boost::json::value(static_cast<double>(progress.lag) / progress.rows_per_second)
          : boost::json::value(nullptr);
  return figures;
}

TaskWorker::TaskWorker(TaskHouse& house, std::string id)
    : house_(house), id_(std::move(id)), stop_event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  SLUICE_CHECK(stop_event_ >= 0);
  thread_ = std::thread([this] { work(); });
}

TaskWorker::~TaskWorker() {
  quit();
  thread_.join();
  ::close(stop_event_);
}

TaskWorker::Live TaskWorker::live() const {
  const std::lock_guard lock(mutex_);
  return live_;
}

void TaskWorker::stop_run(int run) {
  const std::lock_guard lock(mutex_);
  if (live_.run != run || live_.stopping) return;
  live_.stopping = true;
  ::eventfd_write(stop_event_, 1);
}

void TaskWorker::quit() {
  quit_ = true;
  ::eventfd_write(stop_event_, 1);
}

bool TaskWorker::wait(std::chrono::milliseconds time) const {
  if (quit_) return false;
  pollfd event{stop_event_, POLLIN, 0};
  ::poll(&event, 1, static_cast<int>(time.count()));
  return !quit_;
}

void TaskWorker::work() {
  while (auto row = read()) {
    if (!has_work(row->state)) break;
    switch (row->state) {
      case TaskState::kCreating:
        create(std::move(*row));
        break;
      case TaskState::kPausing:
      case TaskState::kPauseFailed:
        pause(*row);
        break;
      case TaskState::kDeleting:
        remove(*row);
        break;
      default:
        run(std::move(*row));
    }
    if (quit_) break;
  }
  ended_ = true;
  house_.changed();
}

std::optional<TaskRow> TaskWorker::read() {
  while (!quit_) {
    auto row =
        house_.database.transact([&](Transaction& transaction) -> Answer<std::optional<TaskRow>> {
          return find_task(transaction, id_, false);
        });
    if (row) return std::move(*row);
    if (!wait(1s)) break;
  }
  return std::nullopt;
}

bool TaskWorker::move(const TaskRow& row, TaskState to, boost::json::value reason) {
  while (true) {
    auto moved = house_.database.transact([&](Transaction& transaction) -> Answer<bool> {
      auto now = find_task(transaction, id_, true);
      if (!now || now->run != row.run || now->state != row.state) return false;
      SLUICE_CHECK(may_become(now->state, to));
      move_task(transaction, *now, to, reason);
      return true;
    });
    if (moved) {
      house_.changed();
      return *moved;
    }
    // A process that stops leaves the row as it was: the next one finds the same work there.
    if (!wait(1s)) return false;
  }
}

void TaskWorker::fail(const TaskRow& row, boost::json::object reason) {
  // Retrying and running are the loop's to write; this may be a moment behind it.
  auto now = read();
  if (!now || now->run != row.run) return;
  TaskState to = TaskState::kFailed;
  if (now->state == TaskState::kCreating) to = TaskState::kCreateFailed;
  if (now->state == TaskState::kResuming) to = TaskState::kResumeFailed;
  if (!may_become(now->state, to)) return;
  const std::string message(reason.contains("message")
                                ? std::string_view(reason["message"].as_string())
                                : std::string_view());
  if (!move(*now, to, reason)) return;
  log::error("a task ended by itself",
             {{"task", id_}, {"name", row.name}, {"state", name_of(to)}, {"reason", message}});
  house_.events.add({"task.failed", row.subject(),
                     fmt::format("task {} ended: {}", row.name, message), std::move(reason)});
}

// ---- creation

void TaskWorker::set_step(TaskRow& row, std::size_t step, std::string_view state,
                          const std::string& message) {
  if (row.steps.size() != std::size(kSteps)) row.steps = fresh_steps();
  for (std::size_t i = 0; i < step; ++i) {
    auto& before = row.steps[i].as_object();
    if (before["state"].as_string() != "done") before["state"] = "done";
  }
  row.steps[step] = {{"name", kSteps[step].name}, {"state", state}, {"message", message}};
  row.percent = static_cast<int>(100 * (step + (state == "done" ? 1 : 0)) / std::size(kSteps));
  (void)house_.database.transact([&](Transaction& transaction) -> Answer<bool> {
    transaction.run("UPDATE task SET steps = $2, percent = $3 WHERE id = $1 AND run = $4",
                    {id_, boost::json::serialize(row.steps), std::to_string(row.percent),
                     std::to_string(row.run)});
    return true;
  });
}

void TaskWorker::create(TaskRow row) {
  row.steps = fresh_steps();
  set_step(row, kValidate, "running", "");
  pipeline::OpenOptions open;
  auto source = prepare(row, open);
  if (!source) {
    const bool document = source.error().code == "invalid_document";
    set_step(row, document ? kValidate : kConnectSource, "failed", source.error().detail);
    return fail(row, reason_of(source.error()));
  }
  std::size_t step = kConnectSource;
  set_step(row, step, "running", "");
  std::optional<boost::json::object> first_error;
  pipeline::check(*source, [&](const pipeline::Finding& finding) {
    if (first_error) return;
    const std::size_t at = std::max(step, step_of(finding.step));
    if (at != step) set_step(row, step = at, "running", "");
    if (finding.level == pipeline::Finding::Level::kWarning) {
      house_.events.add(
          {"task.finding",
           row.subject(),
           finding.message,
           {{"step", finding.step}, {"subject", finding.subject}, {"remedy", finding.remedy}}});
    }
    if (finding.level != pipeline::Finding::Level::kError) return;
    set_step(row, step_of(finding.step), "failed", finding.message);
    first_error = {{"code", finding.step},
                   {"step", kSteps[step_of(finding.step)].name},
                   {"subject", finding.subject},
                   {"message", finding.message},
                   {"remedy", finding.remedy}};
  });
  if (quit_) return;
  if (first_error) return fail(row, std::move(*first_error));
  set_step(row, kStart, "running", "");
  run(std::move(row));
}

// ---- a run

// What shall run, and how its ledger is opened.
Answer<pipeline::TaskSource> TaskWorker::prepare(const TaskRow& row, pipeline::OpenOptions& open) {
  auto document = read_document(row.document);
  if (!document) return tl::unexpected(document.error());
  auto source = source_of(*document, id_, house_.connections);
  if (!source) return source;
  const auto is_set = [&](std::string_view name) {
    const auto* value = row.opening.if_contains(name);
    return value != nullptr && value->is_bool() && value->get_bool();
  };
  open.adopt = is_set("adopt");
  open.take_over = is_set("take_over");
  if (row.opening.contains("old")) {
    if (auto carried = carry_over(row, *source); !carried) return tl::unexpected(carried.error());
  }
  const auto* start = row.opening.if_contains("start");
  if (start == nullptr || !start->is_object()) return source;
  // A restart from elsewhere: once, also if this process is killed between it and the row's update.
  task::StartOffsets offsets;
  for (const auto& topic : start->get_object()) {
    for (const auto& partition : topic.value().as_object()) {
      offsets.offsets[std::string(topic.key())][std::stoi(std::string(partition.key()))] =
          partition.value().as_int64();
    }
  }
  source->task.source.start = std::move(offsets);
  auto target = pipeline::reach_target(*source, "sluice control");
  if (!target) return refuse("connection_failed", target.error());
  auto known = target->connection->drive(ledger::read_task(*target->connection, target->handle));
  if (!known) return refuse("connection_failed", known.error());
  const auto* epoch = row.opening.if_contains("epoch");
  open.reset = known->has_value() && epoch != nullptr && epoch->is_int64() &&
               (*known)->epoch == epoch->get_int64();
  if (open.reset) open.adopt = open.take_over = false;
  return source;
}

// The positions of the ledger that the task had before an edit become the start positions of the
// new one. The old one is fenced first, so that nothing is applied there any more; as long as the
// new ledger does not know the task, the same can be done again.
Answer<bool> TaskWorker::carry_over(const TaskRow& row, pipeline::TaskSource& source) {
  const auto* old = row.opening.at("old").if_object();
  if (old == nullptr) return true;
  auto before = read_document(*old);
  if (!before) return tl::unexpected(before.error());
  auto from = source_of(*before, id_, house_.connections);
  if (!from) return tl::unexpected(from.error());
  auto target = pipeline::reach_target(*from, "sluice control");
  if (!target) return refuse("connection_failed", target.error());
  auto& db = *target->connection;
  auto known = db.drive(ledger::read_task(db, target->handle));
  if (!known) return refuse("connection_failed", known.error());
  if (!*known) return true;  // it had never begun
  auto handle = target->handle;
  handle.uid = (*known)->uid;
  ledger::EpochChange change;
  change.halt = ledger::HaltNote{"moved", "the task goes on with another target", {}, -1};
  auto fenced = db.drive(ledger::raise_epoch(db, handle, std::move(change)));
  if (!fenced) return refuse("connection_failed", fenced.error());
  auto rows = db.drive(ledger::read_ledger(db, handle));
  if (!rows) return refuse("connection_failed", rows.error());
  task::StartOffsets offsets;
  for (const auto& position : *rows) {
    offsets.offsets[position.key.topic][position.key.partition] = position.next_offset;
  }
  if (!offsets.offsets.empty()) source.task.source.start = std::move(offsets);
  return true;
}

void TaskWorker::run(TaskRow row) {
  {
    // From here on a stop is for this run; one that came before is seen in the row.
    const std::lock_guard lock(mutex_);
    eventfd_t ignored = 0;
    if (!quit_) ::eventfd_read(stop_event_, &ignored);
    live_ = {row.run, false, std::nullopt};
  }
  pipeline::RunOptions options;
  options.instance = house_.instance;
  auto source = prepare(row, options.open);
  if (!source) {
    // The control database away, or a server that does not answer: no fault of the task's.
    const auto& code = source.error().code;
    const bool passes = code == "database_unavailable" || code == "connection_failed" ||
                        (code == "connection_not_ready" && row.state != TaskState::kCreating);
    {
      const std::lock_guard lock(mutex_);
      live_ = {};
    }
    if (!passes) return fail(row, reason_of(source.error()));
    (void)wait(3s);
    return;
  }
  options.on_progress = [&](const pipeline::Progress& progress) {
    const std::lock_guard lock(mutex_);
    live_.progress = progress;
  };
  const auto report = pipeline::run(*source, options, pipeline::StopSignal(stop_event_));
  {
    const std::lock_guard lock(mutex_);
    live_ = {};
  }

  (void)house_.database.transact([&](Transaction& transaction) -> Answer<bool> {
    transaction.run("UPDATE task SET figures = $2 WHERE id = $1",
                    {id_, boost::json::serialize(figures_of(report.figures))});
    return true;
  });
  if (report.end == pipeline::RunEnd::kStopped) return;
  fail(row, end_of(report));
}

// ---- ends

void TaskWorker::pause(const TaskRow& row) {
  // Here no run of this process is under way any more.
  (void)move(row, TaskState::kPaused, nullptr);
}

void TaskWorker::remove(const TaskRow& row) {
  if (row.drop_ledger) {
    const auto gone = [&]() -> Answer<bool> {
      auto document = read_document(row.document);
      if (!document) return tl::unexpected(document.error());
      auto source = source_of(*document, id_, house_.connections);
      if (!source) return tl::unexpected(source.error());
      auto target = pipeline::reach_target(*source, "sluice control");
      if (!target) return refuse("connection_failed", target.error());
      auto& db = *target->connection;
      db.set_deadline(std::chrono::steady_clock::now() + 20s);
      auto known = db.drive(ledger::read_task(db, target->handle));
      if (!known) return refuse("connection_failed", known.error());
      if (!*known) return true;
      auto forgotten = db.drive(ledger::forget_task(db, target->handle));
      if (!forgotten) return refuse("connection_failed", forgotten.error());
      return true;
    }();
    if (!gone) {
      (void)move(row, TaskState::kDeleteFailed, reason_of(gone.error()));
      return;
    }
  }
  (void)move(row, TaskState::kDeleted, nullptr);
}

}  // namespace sluice::control
