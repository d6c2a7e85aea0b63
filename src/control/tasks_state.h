// What the parts of Tasks share: tasks.cc (reading and actions), tasks_change.cc (documents),
// tasks_loop.cc (workers). Internal to control.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "control/body.h"
#include "control/task_document.h"
#include "control/task_store.h"
#include "control/task_worker.h"
#include "control/tasks.h"

namespace sluice::control {

struct Tasks::State {
  State(Database& given_database, Connections& given_connections, const Settings& given_settings,
        Events& given_events);

  // Wakes the loop: a row has changed.
  void changed();

  // Locks the task's row and checks the ETag. Errors: not_found, stale.
  Answer<TaskRow> lock(Transaction& transaction, const std::string& id,
                       std::optional<std::int64_t> version) const;
  // The ids of a document's connections. Errors: invalid_document, naming the field.
  Answer<std::pair<std::string, std::string>> connection_ids(Transaction& transaction,
                                                             const TaskDocument& document) const;
  Answer<bool> quota(Transaction& transaction) const;
  // Inserts a new task with its first revision, event and audit.
  Answer<TaskRow> insert(Transaction& transaction, const Caller& caller,
                         const TaskDocument& document, const boost::json::object& tags,
                         std::string_view operation, const std::string& from);
  // The row as the API shows it, with live figures.
  boost::json::object shown(const TaskRow& row);

  Database& database;
  Connections& connections;
  const Settings& settings;
  Events& events;
  TaskHouse house;

  std::mutex mutex;
  std::condition_variable wake;
  bool changes = false, stopping = false;
  std::map<std::string, std::unique_ptr<TaskWorker>> workers;

  std::optional<TaskWorker::Live> live(const std::string& id);

  // ---- the loop (tasks_loop.cc)
  void loop();
  void tick();
  void look_at(const TaskRow& row);
  void sync_state(const TaskRow& row, const TaskWorker::Live& live);
  void store_figures();
  bool database_there = true;
  std::chrono::steady_clock::time_point lost_at, stored_at;
  std::thread thread;  // last
};

// Tags: at most 20, names as of tasks, values up to 128 characters.
boost::json::object read_tags(Body& body, std::string_view name);

}  // namespace sluice::control
