// Tasks: reading, and actions that change nothing of the document.
#include "control/tasks.h"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>

#include "control/body.h"
#include "control/tasks_state.h"

namespace sluice::control {
namespace {

std::string instance_name() {
  char name[256] = {};
  const std::string host = gethostname(name, sizeof name - 1) == 0 ? name : "localhost";
  return fmt::format("{}:{}", host, getpid());
}

// The columns that a list may be sorted by, as text of equal order.
std::string sort_expression(const std::string& sort) {
  if (sort == "created_at") return "to_char(created_at AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS')";
  if (sort == "state") return "state";
  return "name";
}

}  // namespace

Tasks::State::State(Database& given_database, Connections& given_connections,
                    const Settings& given_settings, Events& given_events)
    : database(given_database),
      connections(given_connections),
      settings(given_settings),
      events(given_events),
      house{given_database, given_connections, given_events, instance_name(),
            [this] { changed(); }} {}

Tasks::Tasks(Database& database, Connections& connections, const Settings& settings, Events& events)
    : state_(std::make_unique<State>(database, connections, settings, events)) {}

Tasks::~Tasks() { stop(std::chrono::milliseconds(0)); }

Answer<TaskRow> Tasks::State::lock(Transaction& transaction, const std::string& id,
                                   std::optional<std::int64_t> version) const {
  auto row = find_task(transaction, id, true);
  if (!row) return not_found("task", id);
  if (version && *version != row->version) {
    return refuse("stale", fmt::format("task {} has version {} now, not {}", row->name,
                                       row->version, *version));
  }
  return std::move(*row);
}

boost::json::object Tasks::State::shown(const TaskRow& row) {
  auto json = task_json(row);
  const auto now = live(row.id);
  if (now && now->progress) json["figures"] = figures_of(*now->progress);
  return json;
}

Answer<boost::json::object> Tasks::list(const Page& page, const Filter& filter) {
  const std::string sort = sort_expression(page.sort);
  Parameters parameters;
  std::string where = "state <> 'deleted'";
  const auto add = [&](std::string_view condition, std::string value) {
    parameters.emplace_back(std::move(value));
    where += " AND " + fmt::format(fmt::runtime(condition), fmt::format("${}", parameters.size()));
  };
  if (!filter.state.empty()) add("state = {}", filter.state);
  if (!filter.source.empty()) {
    add("source_connection IN (SELECT id FROM connection WHERE id = {0} OR name = {0})",
        filter.source);
  }
  if (!filter.target.empty()) {
    add("target_connection IN (SELECT id FROM connection WHERE id = {0} OR name = {0})",
        filter.target);
  }
  if (!filter.type.empty()) {
    add("target_connection IN (SELECT id FROM connection WHERE type = {})", filter.type);
  }
  if (const auto equals = filter.tag.find('='); equals != std::string::npos) {
    parameters.emplace_back(filter.tag.substr(0, equals));
    parameters.emplace_back(filter.tag.substr(equals + 1));
    where += fmt::format(" AND tags ->> ${} = ${}", parameters.size() - 1, parameters.size());
  } else if (!filter.tag.empty()) {
    add("tags ? {}", filter.tag);
  }
  if (!page.search.empty()) {
    add("position(lower({}) in lower(name || ' ' || description || ' ' || id || ' ' || source_text"
        " || ' ' || target_text)) > 0",
        page.search);
  }
  const std::string counted = fmt::format("SELECT count(*) FROM task WHERE {}", where);
  const Parameters count_parameters = parameters;
  if (page.after) {
    parameters.emplace_back(page.after->value);
    parameters.emplace_back(page.after->id);
    where += fmt::format(" AND ({}, id) {} (${}, ${})", sort, page.descending ? "<" : ">",
                         parameters.size() - 1, parameters.size());
  }
  const std::string_view order = page.descending ? "DESC" : "ASC";
  const std::string listed =
      fmt::format("SELECT {}, {} FROM task WHERE {} ORDER BY {} {}, id {} LIMIT {}", task_columns(),
                  sort, where, sort, order, order, page.limit + 1);
  return state_->database.transact([&](Transaction& transaction) -> Answer<boost::json::object> {
    const auto total = transaction.run(counted, count_parameters);
    const auto rows = transaction.run(listed, parameters);
    boost::json::array items;
    boost::json::value next = nullptr;
    for (int row = 0; row < rows.size(); ++row) {
      if (row == page.limit) {
        const auto last = read_task_row(rows, row - 1);
        next = cursor_of(page, std::string(rows.text(row - 1, rows.columns() - 1)), last.id);
        break;
      }
      auto item = state_->shown(read_task_row(rows, row));
      item.erase("document");  // long, and to be had with the task
      items.push_back(std::move(item));
    }
    return boost::json::object{{"items", std::move(items)},
                               {"next_cursor", std::move(next)},
                               {"total", total.size() > 0 ? total.integer(0, 0) : 0}};
  });
}

Answer<boost::json::object> Tasks::show(const std::string& id) {
  return state_->database.transact([&](Transaction& transaction) -> Answer<boost::json::object> {
    const auto row = find_task(transaction, id, false);
    if (!row) return not_found("task", id);
    return state_->shown(*row);
  });
}

Answer<boost::json::object> Tasks::act(const Caller& caller, const std::string& id,
                                       TaskAction action, std::optional<std::int64_t> version) {
  auto answer =
      state_->database.transact([&](Transaction& transaction) -> Answer<boost::json::object> {
        auto row = state_->lock(transaction, id, version);
        if (!row) return tl::unexpected(row.error());
        const auto what = verdict(row->state, action);
        if (what.kind == Verdict::Kind::kRefuse) return refuse_state(*row, action);
        if (what.kind == Verdict::Kind::kAlready) return state_->shown(*row);
        const auto before = row->state;
        move_task(transaction, *row, what.next);
        transaction.run("UPDATE task SET version = version + 1, run = run + $2 WHERE id = $1",
                        {id, action == TaskAction::kResume ? "1" : "0"});
        ++row->version;
        Events::audit(transaction, caller,
                      {fmt::format("task.{}", name_of(action)),
                       row->subject(),
                       {{"state", name_of(before)}},
                       {{"state", name_of(row->state)}}});
        return state_->shown(*row);
      });
  state_->changed();
  return answer;
}

Answer<boost::json::object> Tasks::remove(const Caller& caller, const std::string& id,
                                          std::optional<std::int64_t> version, bool with_ledger) {
  auto answer =
      state_->database.transact([&](Transaction& transaction) -> Answer<boost::json::object> {
        auto row = state_->lock(transaction, id, version);
        if (!row) return tl::unexpected(row.error());
        const auto what = verdict(row->state, TaskAction::kDelete);
        if (what.kind == Verdict::Kind::kAlready) return state_->shown(*row);
        const auto before = task_json(*row);
        move_task(transaction, *row, what.next);
        transaction.run("UPDATE task SET version = version + 1, drop_ledger = $2 WHERE id = $1",
                        {id, with_ledger ? "true" : "false"});
        Events::audit(transaction, caller,
                      {"task.delete", row->subject(), before, {{"with_ledger", with_ledger}}});
        return state_->shown(*row);
      });
  state_->changed();
  return answer;
}

Answer<boost::json::object> Tasks::figures(const std::string& id) {
  return state_->database.transact([&](Transaction& transaction) -> Answer<boost::json::object> {
    const auto row = find_task(transaction, id, false);
    if (!row) return not_found("task", id);
    const auto json = state_->shown(*row);
    boost::json::object figures{{"id", id},
                                {"state", name_of(row->state)},
                                {"state_since", row->state_since},
                                {"reason", row->reason},
                                {"percent", row->percent},
                                {"figures", json.at("figures")}};
    return figures;
  });
}

void Tasks::open_anew(const std::string& id) {
  (void)state_->database.transact([&](Transaction& transaction) -> Answer<bool> {
    auto row = find_task(transaction, id, true);
    if (!row || verdict(row->state, TaskAction::kEdit).next != TaskState::kResuming) return false;
    if (row->state != TaskState::kResuming) move_task(transaction, *row, TaskState::kResuming);
    transaction.run("UPDATE task SET run = run + 1 WHERE id = $1", {id});
    return true;
  });
  state_->changed();
}

}  // namespace sluice::control
