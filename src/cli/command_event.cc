// sluice event, sluice audit.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <chrono>
#include <cstdio>
#include <thread>

#include "cli/options.h"
#include "cli/remote.h"
#include "cli/show.h"
#include "cli/table.h"
#include "cli/terminal.h"

namespace sluice::cli {
namespace {

using namespace std::chrono_literals;

struct EventList {
  ListOptions list;
  std::string type, severity, kind, task, connection, subject, since, until;
  bool follow = false;
};

const Columns kEventColumns{{"AT", "at"},           {"SEVERITY", "severity"},
                            {"TYPE", "type"},       {"SUBJECT", "subject.name"},
                            {"MESSAGE", "message"}, {"ID", "id"}};

std::optional<Query> query_of(Session& session, const EventList& options) {
  Query query;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) query.emplace_back(name, value);
  };
  add("type", options.type);
  add("severity", options.severity);
  add("kind", options.kind);
  add("subject", options.subject);
  for (const auto& [kind, name] :
       {std::pair(kTask, options.task), std::pair(kConnection, options.connection)}) {
    if (name.empty()) continue;
    const auto id = id_of(session, kind, name);
    if (!id) return std::nullopt;
    add("subject", *id);
  }
  return query;
}

void print_event(const Session& session, const boost::json::value& event) {
  if (!session.is_table()) {
    if (!session.is_json()) print("---\n");
    session.print_value(event);
  } else {
    print(fmt::format("{}  {:<7}  {}  {}\n", cell(event, "at"), cell(event, "severity"),
                      cell(event, "type"), cell(event, "message")));
  }
  std::fflush(stdout);
}

// New events as they come. A stream that breaks is taken up again behind the last one that was
// seen: the server has just answered, so only its refusal ends this.
int follow(Session& session, Query query, const std::string& search, std::string last) {
  if (!search.empty()) query.emplace_back("search", search);
  bool lost = false;
  for (;;) {
    client::Request request{.path = "/api/v1/events/stream", .query = query};
    if (!last.empty()) request.headers.emplace_back("Last-Event-ID", last);
    const auto streamed = session.client().stream(request, [&](const client::ServerEvent& message) {
      lost = false;
      if (!message.id.empty()) last = message.id;
      boost::json::error_code bad;
      const auto event = boost::json::parse(message.data, bad);
      if (!bad && message.name == "event") print_event(session, event);
      return true;
    });
    if (!streamed) {
      const auto& refusal = streamed.error();
      if (refusal.code == "not_sluice" || (refusal.status >= 400 && refusal.status < 500)) {
        return print_refusal(refusal);
      }
      if (!std::exchange(lost, true)) {
        std::fputs(fmt::format("waiting for the server: {}\n", one_line(refusal.detail)).c_str(),
                   stderr);
      }
    }
    std::this_thread::sleep_for(1s);
  }
}

int list_events(Session& session, const EventList& options) {
  auto query = query_of(session, options);
  if (!query) return kFailed;
  auto listed = *query;
  if (!options.since.empty()) listed.emplace_back("since", options.since);
  if (!options.until.empty()) listed.emplace_back("until", options.until);
  if (!options.follow) {
    return list_command(session, "/api/v1/events", std::move(listed), options.list, kEventColumns);
  }
  const auto before = read_list(session, "/api/v1/events", std::move(listed), options.list);
  if (!before) return kFailed;
  const auto& items = before->at("items").get_array();  // the newest first
  for (std::size_t i = items.size(); i > 0; --i) print_event(session, items[i - 1]);
  return follow(session, std::move(*query), options.list.search,
                items.empty() ? "" : cell(items[0], "id"));
}

struct EventShown {
  std::string id;
};

int show_event(Session& session, const EventShown& options) {
  const auto event = session.get("/api/v1/events/" + client::encoded(options.id));
  if (!event) return kFailed;
  if (!session.is_table()) {
    session.print_value(*event);
  } else {
    print_members(*event, {{"id", "id"},
                           {"at", "at"},
                           {"type", "type"},
                           {"severity", "severity"},
                           {"subject", "subject"},
                           {"message", "message"},
                           {"data", "data"}});
  }
  return 0;
}

struct Nothing {};

int list_types(Session& session, const Nothing& /*options*/) {
  const auto list = session.get("/api/v1/event-types");
  if (!list || !list->contains("items") || !list->at("items").is_array()) return kFailed;
  if (!session.is_table()) {
    session.print_value(*list);
  } else {
    print_items(list->at("items").get_array(),
                {{"TYPE", "type"}, {"SEVERITY", "severity"}, {"TITLE", "title"}});
  }
  return 0;
}

struct AuditList {
  ListOptions list;
  std::string account, operation, subject, since, until;
};

int list_audit(Session& session, const AuditList& options) {
  Query query;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) query.emplace_back(name, value);
  };
  add("account", options.account);
  add("operation", options.operation);
  add("subject", options.subject);
  add("since", options.since);
  add("until", options.until);
  return list_command(session, "/api/v1/audit", std::move(query), options.list,
                      {{"AT", "at"},
                       {"ACCOUNT", "account"},
                       {"FROM", "address"},
                       {"OPERATION", "operation"},
                       {"SUBJECT", "subject"},
                       {"SUBJECT ID", "subject_id"},
                       {"ID", "id"}});
}

void add_times(CLI::App& command, std::string& since, std::string& until) {
  command.add_option("--since", since, "not before this time, 2026-01-31T12:00:00Z")
      ->type_name("TIME");
  command.add_option("--until", until, "before this time")->type_name("TIME");
}

}  // namespace

void add_event_commands(CLI::App& app, Remote& remote) {
  auto* parent = app.add_subcommand("event", "what has happened on a server");
  parent->require_subcommand(1);
  auto [list, listed] =
      add_remote<EventList>(*parent, remote, "list", "events, the newest first", list_events);
  add_list_options(*list, listed->list, true, "");
  list->add_option("--type", listed->type, "only of this type; sluice event types");
  list->add_option("--severity", listed->severity, "info, warning or error");
  list->add_option("--kind", listed->kind, "about a task, connection, account or the server");
  auto* task = list->add_option("--task", listed->task, "about this task")->type_name("NAME");
  auto* connection = list->add_option("--connection", listed->connection, "about this connection")
                         ->type_name("NAME")
                         ->excludes(task);
  list->add_option("--subject", listed->subject, "about what has this id")
      ->type_name("ID")
      ->excludes(task)
      ->excludes(connection);
  add_times(*list, listed->since, listed->until);
  list->add_flag("--follow", listed->follow, "then new ones as they come, until stopped");
  auto [show, shown] = add_remote<EventShown>(*parent, remote, "show", "one event", show_event);
  show->add_option("ID", shown->id, "its number")->required();
  add_remote<Nothing>(*parent, remote, "types", "the types that there are", list_types);

  auto* audit = app.add_subcommand("audit", "who changed what on a server, and from where");
  audit->require_subcommand(1);
  auto [entries, filter] = add_remote<AuditList>(
      *audit, remote, "list", "changes, the newest first; -o json shows before and after",
      list_audit);
  add_list_options(*entries, filter->list, false, "");
  entries->add_option("--account", filter->account, "only by this account");
  entries->add_option("--operation", filter->operation, "only this, as task.edit");
  entries->add_option("--subject", filter->subject, "only to what has this id")->type_name("ID");
  add_times(*entries, filter->since, filter->until);
}

}  // namespace sluice::cli
