// The loop: what the control database says shall be, against what runs in this process.
#include <fmt/format.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>

#include "base/log.h"
#include "control/tasks_state.h"

namespace sluice::control {
namespace {

using namespace std::chrono_literals;

constexpr auto kTick = 500ms;
constexpr auto kStoreFigures = 10s;
constexpr int kPatienceSeconds = 30;  // for a run to end, before pausing has failed

bool wants_run(TaskState state) {
  return state == TaskState::kCreating || state == TaskState::kResuming ||
         state == TaskState::kRunning || state == TaskState::kRetrying;
}

// What a run's progress says of the task's state; nothing while it is being opened.
std::optional<TaskState> state_of(const TaskWorker::Live& live) {
  if (!live.progress || live.stopping) return std::nullopt;
  if (live.progress->state == "running") return TaskState::kRunning;
  if (live.progress->state == "retrying") return TaskState::kRetrying;
  return std::nullopt;
}

}  // namespace

void Tasks::State::changed() {
  {
    const std::lock_guard lock(mutex);
    changes = true;
  }
  wake.notify_all();
}

std::optional<TaskWorker::Live> Tasks::State::live(const std::string& id) {
  const std::lock_guard lock(mutex);
  const auto worker = workers.find(id);
  if (worker == workers.end() || worker->second->ended()) return std::nullopt;
  return worker->second->live();
}

void Tasks::State::loop() {
  std::unique_lock lock(mutex);
  while (!stopping) {
    wake.wait_for(lock, kTick, [&] { return changes || stopping; });
    if (stopping) break;
    changes = false;
    lock.unlock();
    tick();
    lock.lock();
  }
}

void Tasks::State::tick() {
  const auto rows =
      database.transact([&](Transaction& transaction) -> Answer<std::vector<TaskRow>> {
        const auto found = transaction.run(
            fmt::format("SELECT {} FROM task WHERE state IN ('creating', 'running', 'retrying',"
                        " 'pausing', 'pause_failed', 'resuming', 'deleting')",
                        task_columns()));
        std::vector<TaskRow> list;
        for (int row = 0; row < found.size(); ++row) list.push_back(read_task_row(found, row));
        return list;
      });
  const auto now = std::chrono::steady_clock::now();
  if (!rows) {
    if (database_there) lost_at = now;
    if (database_there) log::error("the control database cannot be reached: tasks go on");
    database_there = false;
    return;
  }
  if (!database_there) {
    database_there = true;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - lost_at).count();
    log::info("the control database is back", {{"seconds", std::int64_t{seconds}}});
    events.add({"database.back",
                {"server", "", ""},
                fmt::format("the control database was away for {} s", seconds),
                {{"seconds", seconds}}});
  }
  for (const auto& row : *rows) look_at(row);
  {
    // Workers whose rows have no work any more: they end by themselves.
    const std::lock_guard lock(mutex);
    std::erase_if(workers, [](const auto& each) { return each.second->ended(); });
  }
  if (now - stored_at > kStoreFigures) {
    stored_at = now;
    store_figures();
    events.flush();
  }
}

void Tasks::State::look_at(const TaskRow& row) {
  TaskWorker* worker = nullptr;
  {
    const std::lock_guard lock(mutex);
    if (stopping) return;
    auto& place = workers[row.id];
    if (!place || place->ended()) place = std::make_unique<TaskWorker>(house, row.id);
    worker = place.get();  // only this thread takes workers away
  }
  const auto live = worker->live();
  if (live.run < 0) return;  // it is about to read the row, or at something short
  if (!wants_run(row.state) || live.run != row.run) {
    worker->stop_run(live.run);
    if (row.state != TaskState::kPausing || row.seconds_in_state < kPatienceSeconds) return;
    (void)database.transact([&](Transaction& transaction) -> Answer<bool> {
      auto now = find_task(transaction, row.id, true);
      if (!now || now->state != TaskState::kPausing) return false;
      move_task(transaction, *now, TaskState::kPauseFailed,
                {{"code", "slow_stop"},
                 {"message", "the task did not stop in time and may still be at work"},
                 {"remedy", "Sluice goes on trying; look at what PostgreSQL is waiting for."}});
      return true;
    });
    return;
  }
  sync_state(row, live);
}

// A run that goes, or waits, shows in the row's state.
void Tasks::State::sync_state(const TaskRow& row, const TaskWorker::Live& live) {
  const auto state = state_of(live);
  if (!state || *state == row.state) return;
  // A creation ends when messages can become rows, not when it begins to wait.
  if (!may_become(row.state, *state)) return;
  (void)database.transact([&](Transaction& transaction) -> Answer<bool> {
    auto now = find_task(transaction, row.id, true);
    if (!now || now->state != row.state || now->run != live.run) return false;
    boost::json::value reason = nullptr;
    if (*state == TaskState::kRetrying) {
      reason = {{"code", "retrying"}, {"message", live.progress->reason}, {"remedy", ""}};
    }
    move_task(transaction, *now, *state, std::move(reason));
    if (row.state == TaskState::kCreating) {
      for (auto& step : now->steps) step.as_object()["state"] = "done";
    }
    // The ledger is open: what was to be done once is done.
    transaction.run("UPDATE task SET opening = '{}', percent = 100, steps = $2 WHERE id = $1",
                    {row.id, boost::json::serialize(now->steps)});
    return true;
  });
}

void Tasks::State::store_figures() {
  std::map<std::string, std::string> figures;
  {
    const std::lock_guard lock(mutex);
    for (const auto& [id, worker] : workers) {
      const auto live = worker->live();
      if (live.progress) figures[id] = boost::json::serialize(figures_of(*live.progress));
    }
  }
  if (figures.empty()) return;
  (void)database.transact([&](Transaction& transaction) -> Answer<bool> {
    for (const auto& [id, text] : figures) {
      transaction.run("UPDATE task SET figures = $2 WHERE id = $1", {id, text});
    }
    return true;
  });
}

void Tasks::start() {
  state_->thread = std::thread([this] { state_->loop(); });
}

void Tasks::stop(std::chrono::milliseconds /*time*/) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->stopping) return;
    state_->stopping = true;
    for (auto& [id, worker] : state_->workers) worker->quit();  // all at once
  }
  state_->wake.notify_all();
  if (state_->thread.joinable()) state_->thread.join();
  state_->workers.clear();
}

std::vector<Tasks::Running> Tasks::running() {
  std::vector<Running> list;
  const std::lock_guard lock(state_->mutex);
  for (const auto& [id, worker] : state_->workers) {
    const auto live = worker->live();
    if (live.progress) list.push_back({id, id, *live.progress});
  }
  return list;
}

}  // namespace sluice::control
