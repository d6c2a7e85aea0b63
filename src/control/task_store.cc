#include "control/task_store.h"

#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace sluice::control {
namespace {

boost::json::object object_of(std::string_view text) {
  auto value = parse_json(text);
  return value.is_object() ? std::move(value.get_object()) : boost::json::object();
}
boost::json::array array_of(std::string_view text) {
  auto value = parse_json(text);
  return value.is_array() ? std::move(value.get_array()) : boost::json::array();
}

}  // namespace

boost::json::value parse_json(std::string_view text) {
  boost::json::error_code error;
  auto value = boost::json::parse(text, error);
  return error ? boost::json::value(nullptr) : value;
}

std::string_view task_columns() {
  static const std::string kColumns = [] {
    const auto time = [](std::string_view column) {
      return fmt::format("to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')",
                         column);
    };
    return fmt::format(
        "task.id, task.name, task.description, task.tags, task.document, task.revision,"
        " task.state, {}, extract(epoch FROM now() - task.state_since)::int, task.reason,"
        " task.steps, task.percent, task.run, task.opening, task.drop_ledger,"
        " task.source_connection, task.target_connection, task.source_text, task.target_text,"
        " task.figures, task.version, {}, task.created_by, {}",
        time("task.state_since"), time("task.created_at"), time("task.updated_at"));
  }();
  return kColumns;
}

TaskRow read_task_row(const postgres::Rows& rows, int row) {
  int column = 0;
  const auto text = [&] { return std::string(rows.text(row, column++)); };
  const auto number = [&] { return rows.integer(row, column++); };
  TaskRow task;
  task.id = text();
  task.name = text();
  task.description = text();
  task.tags = object_of(text());
  task.document = object_of(text());
  task.revision = static_cast<int>(number());
  task.state = task_state_of(text()).value_or(TaskState::kFailed);
  task.state_since = text();
  task.seconds_in_state = static_cast<int>(number());
  task.reason = parse_json(text());
  task.steps = array_of(text());
  task.percent = static_cast<int>(number());
  task.run = static_cast<int>(number());
  task.opening = object_of(text());
  task.drop_ledger = rows.boolean(row, column++);
  task.source_connection = text();
  task.target_connection = text();
  task.source_text = text();
  task.target_text = text();
  task.figures = parse_json(text());
  task.version = number();
  task.created_at = text();
  task.created_by = text();
  task.updated_at = text();
  return task;
}

std::optional<TaskRow> find_task(Transaction& transaction, const std::string& id, bool lock) {
  const auto rows =
      transaction.run(fmt::format("SELECT {} FROM task WHERE id = $1 AND state <> 'deleted'{}",
                                  task_columns(), lock ? " FOR UPDATE" : ""),
                      {id});
  if (rows.size() == 0) return std::nullopt;
  return read_task_row(rows, 0);
}

void move_task(Transaction& transaction, TaskRow& row, TaskState to, boost::json::value reason) {
  const TaskState from = row.state;
  row.state = to;
  row.reason = std::move(reason);
  transaction.run(
      "UPDATE task SET state = $2, state_since = now(), reason = $3, updated_at = now() WHERE id = "
      "$1",
      {row.id, std::string(name_of(to)),
       row.reason.is_null() ? Parameter() : Parameter(boost::json::serialize(row.reason))});
  NewEvent event{"task.state_changed", row.subject(),
                 fmt::format("task {} is {}, after {}", row.name, name_of(to), name_of(from))};
  event.data = {{"from", name_of(from)}, {"to", name_of(to)}, {"reason", row.reason}};
  Events::add(transaction, event);
}

tl::unexpected<Problem> refuse_state(const TaskRow& row, TaskAction action) {
  Problem problem{"wrong_state", fmt::format("task {} is {}: it cannot {} now", row.name,
                                             name_of(row.state), name_of(action))};
  problem.more["state"] = name_of(row.state);
  return refuse(std::move(problem));
}

boost::json::object task_json(const TaskRow& row) {
  boost::json::object json{
      {"id", row.id},
      {"name", row.name},
      {"description", row.description},
      {"type", "outflow"},
      {"tags", row.tags},
      {"state", name_of(row.state)},
      {"state_since", row.state_since},
      {"reason", row.reason},
      {"steps", row.steps},
      {"percent", row.percent},
      {"source", row.source_text},
      {"target", row.target_text},
      {"source_connection_id", row.source_connection},
      {"target_connection_id", row.target_connection},
      {"revision", row.revision},
      {"version", row.version},
      {"document", row.document},
      {"figures", row.figures},
      {"created_at", row.created_at},
      {"created_by", row.created_by},
      {"updated_at", row.updated_at},
  };
  const auto number = dip_number(row.state);
  json["state_number"] = number ? boost::json::value(*number) : boost::json::value(nullptr);
  return json;
}

}  // namespace sluice::control
