// Rows of tasks in the control database, and how they move between states. Internal to control.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/database.h"
#include "control/events.h"
#include "control/task_state.h"

namespace sluice::control {

struct TaskRow {
  std::string id, name, description;
  boost::json::object tags;
  boost::json::object document;
  int revision = 1;
  TaskState state = TaskState::kCreating;
  std::string state_since;  // RFC 3339
  int seconds_in_state = 0;
  boost::json::value reason;  // null, or {code, message, remedy, ...}
  boost::json::array steps;   // of its creation: {name, state, message}
  int percent = 0;
  int run = 0;                  // the start that was asked for last
  boost::json::object opening;  // how that start opens the ledger: TaskWorker::Opening
  bool drop_ledger = false;
  std::string source_connection, target_connection;  // ids
  std::string source_text, target_text;
  boost::json::value figures;  // the last ones; null before
  std::int64_t version = 1;
  std::string created_at, created_by, updated_at;

  Subject subject() const { return {"task", id, name}; }
};

std::string_view task_columns();  // for SELECT; read_task_row reads them
TaskRow read_task_row(const postgres::Rows& rows, int row);

// By id; `lock` FOR UPDATE until the transaction ends. Nothing if there is none, or it is deleted.
std::optional<TaskRow> find_task(Transaction& transaction, const std::string& id, bool lock);

// Puts a row that was read under a lock into another state, with its event. The reason is that of
// the new state; null clears it.
void move_task(Transaction& transaction, TaskRow& row, TaskState to,
               boost::json::value reason = nullptr);

// As the API shows it. Live figures are the caller's to add.
boost::json::object task_json(const TaskRow& row);

// 409 wrong_state, with the state.
tl::unexpected<Problem> refuse_state(const TaskRow& row, TaskAction action);

boost::json::value parse_json(std::string_view text);  // null if it is none

}  // namespace sluice::control
