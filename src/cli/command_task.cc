// sluice task: looking at tasks, and what is done with them as they are.
#include "cli/command_task.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <chrono>
#include <cstdio>
#include <thread>

#include "cli/options.h"
#include "cli/password.h"
#include "cli/show.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/yaml.h"

namespace sluice::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto kLookAgain = 300ms;

constexpr const char* kRestartFooter = R"(
Without --from the task goes on where its ledger says. --from takes what source.start takes:

  sluice task restart orders --from earliest
  sluice task restart orders --from '{timestamp: 2026-01-01T00:00:00Z}'
  sluice task restart orders --from '{offsets: {0: 42, 1: 0}}'

How many messages that skips or repeats is said before anything is done, and asked about on a
terminal; elsewhere give --yes, or the very words in --confirm.)";

struct TaskList {
  ListOptions list;
  std::string state, source, target, type, tag;
};

int list_tasks(Session& session, const TaskList& options) {
  Query query;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) query.emplace_back(name, value);
  };
  add("state", options.state);
  add("source", options.source);
  add("target", options.target);
  add("type", options.type);
  add("tag", options.tag);
  return list_command(session, "/api/v1/tasks", std::move(query), options.list,
                      {{"NAME", "name"},
                       {"STATE", "state"},
                       {"%", "percent"},
                       {"LAG", "figures.lag_messages"},
                       {"ROWS", "figures.rows_written"},
                       {"SOURCE", "source"},
                       {"TARGET", "target"},
                       {"ID", "id"},
                       {"REASON", "reason.message"}});
}

struct Named {
  std::string name;
};

int show_task(Session& session, const Named& options) {
  const auto path = path_of(session, kTask, options.name);
  if (!path) return kFailed;
  const auto task = session.get(*path);
  if (!task) return kFailed;
  if (!session.is_table()) {
    session.print_value(*task);
    return 0;
  }
  print_members(*task, {{"name", "name"},
                        {"id", "id"},
                        {"description", "description"},
                        {"tags", "tags"},
                        {"state", "state"},
                        {"since", "state_since"},
                        {"reason", "reason"},
                        {"percent", "percent"},
                        {"source", "source"},
                        {"target", "target"},
                        {"revision", "revision"},
                        {"version", "version"},
                        {"created", "created_at"},
                        {"by", "created_by"},
                        {"updated", "updated_at"},
                        {"figures", "figures"},
                        {"document", "document"}});
  return 0;
}

// ---- waiting

void print_steps(const boost::json::object& task, std::vector<std::string>& told) {
  const auto* steps = task.if_contains("steps");
  if (steps == nullptr || !steps->is_array()) return;
  const auto& list = steps->get_array();
  told.resize(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string state = cell(list[i], "state");
    if (state == told[i] || state == "waiting") continue;
    told[i] = state;
    const std::string message = cell(list[i], "message");
    std::fputs(fmt::format("{:>3} %  {:<8} {}{}\n", cell(task, "percent"), state,
                           cell(list[i], "name"), message == "-" ? "" : ": " + message)
                   .c_str(),
               stderr);
  }
}

bool is_under_way(std::string_view state) {
  return state == "creating" || state == "pausing" || state == "resuming" || state == "deleting" ||
         state == "retrying";
}

void print_reason(const boost::json::object& task) {
  const auto* reason = task.if_contains("reason");
  if (reason == nullptr || !reason->is_object()) return;
  print_error(fail(Domain::kCommandLine, text_at(reason->get_object(), "code"),
                   fmt::format("task {} is {}: {}", cell(task, "name"), cell(task, "state"),
                               cell(task, "reason.message")),
                   one_line(text_at(reason->get_object(), "remedy")))
                  .value());
}

// The task as it is then; nothing if it is deleted, `failed` if it could not be asked.
std::optional<boost::json::object> follow(Session& session, boost::json::object task,
                                          const WaitOptions& wait, bool& failed) {
  const auto path = "/api/v1/tasks/" + client::encoded(text_at(task, "id"));
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(wait.timeout_seconds);
  const bool creation = text_at(task, "state") == "creating";
  std::vector<std::string> told;
  for (;;) {
    if (creation) print_steps(task, told);
    if (!is_under_way(text_at(task, "state"))) return task;
    if (std::chrono::steady_clock::now() > end) {
      failed = true;
      print_error(fail(Domain::kCommandLine, "--timeout",
                       fmt::format("task {} is still {} after {} s", cell(task, "name"),
                                   cell(task, "state"), wait.timeout_seconds),
                       "It goes on by itself: sluice task show says where it is.")
                      .value());
      print_reason(task);
      return task;
    }
    std::this_thread::sleep_for(kLookAgain);
    auto answer = session.client().call({.path = path});
    if (answer && answer->body.is_object()) {
      task = std::move(answer->body.get_object());
    } else if (!answer && answer.error().code == "not_found") {
      return std::nullopt;
    } else if (!answer) {
      failed = true;
      print_refusal(answer.error());
      return task;
    }
  }
}

// ---- actions

struct Act {
  std::string name;
  WaitOptions wait;
};

int act(Session& session, const Act& options, std::string_view action, std::string_view what) {
  const auto path = path_of(session, kTask, options.name, fmt::format("/{}", action));
  if (!path) return kFailed;
  const auto answer = session.call({.method = "POST", .path = *path});
  return answer ? end_change(session, *answer, options.wait, what) : kFailed;
}
int pause_task(Session& session, const Act& options) {
  return act(session, options, "pause", "is to pause");
}
int resume_task(Session& session, const Act& options) {
  return act(session, options, "resume", "is to go on");
}

struct Delete {
  std::string name;
  bool ledger = false;
  WaitOptions wait;
};

int delete_task(Session& session, const Delete& options) {
  const auto path = path_of(session, kTask, options.name);
  if (!path) return kFailed;
  client::Request request{.method = "DELETE", .path = *path};
  if (options.ledger) request.query.emplace_back("ledger", "true");
  const auto answer = session.call(request);
  return answer ? end_change(session, *answer, options.wait, "is to be deleted") : kFailed;
}

struct Restart {
  std::string name, from, confirm;
  bool yes = false;
  WaitOptions wait;
};

int restart_task(Session& session, const Restart& options) {
  boost::json::object body;
  if (!options.from.empty()) {
    const auto from = parse_yaml(options.from, "--from");
    if (!from) {
      print_error(from.error());
      return kDocumentWrong;
    }
    body["from"] = boost::json::parse(task::to_json(*from));
  }
  if (!options.confirm.empty()) body["confirm"] = options.confirm;
  const auto path = path_of(session, kTask, options.name, "/restart");
  if (!path) return kFailed;
  const auto ask = [&] {
    return session.client().call(
        {.method = "POST", .path = *path, .body = boost::json::serialize(body)});
  };
  auto answer = ask();
  if (!answer && answer.error().code == "confirmation_needed" && options.confirm.empty()) {
    const std::string words = cell(answer.error().document, "confirm");
    if (!options.yes && !confirmed(one_line(answer.error().detail) + ": go on?")) {
      answer.error().advice = fmt::format("If that is wanted: --confirm \"{}\", or --yes.", words);
      return print_refusal(answer.error());
    }
    body["confirm"] = words;
    answer = ask();
  }
  if (!answer) return print_refusal(answer.error());
  return end_change(session, *answer, options.wait, "is to go on");
}

// ---- figures

struct Figures {
  std::string name;
  bool watch = false;
};

std::string figures_line(const boost::json::value& value) {
  std::string line =
      fmt::format("{}  {} rows", cell(value, "state"), cell(value, "figures.rows_written"));
  const auto add = [&](std::string_view path, std::string_view form) {
    const auto text = cell(value, path);
    if (text != "-" && text != "0") line += fmt::format(fmt::runtime(form), text);
  };
  add("figures.rows_deleted", "  {} deleted");
  add("figures.dead_letters", "  {} dead");
  add("figures.discarded", "  {} discarded");
  if (const auto* figures = value.as_object().if_contains("figures");
      figures != nullptr && figures->is_object()) {
    if (const auto* rate = figures->get_object().if_contains("rows_per_second");
        rate != nullptr && rate->is_number()) {
      line += fmt::format("  {:.0f}/s", rate->to_number<double>());
    }
  }
  line += fmt::format("  lag {}", cell(value, "figures.lag_messages"));
  add("reason.message", "  {}");
  return line;
}

int watch_figures(Session& session, const std::string& path) {
  const auto streamed =
      session.client().stream({.path = path + "/stream"}, [&](const client::ServerEvent& event) {
        boost::json::error_code bad;
        const auto value = boost::json::parse(event.data, bad);
        if (bad || !value.is_object()) return true;
        if (session.is_table()) {
          print(figures_line(value) + '\n');
        } else {
          if (!session.is_json()) print("---\n");
          session.print_value(value);
        }
        std::fflush(stdout);
        return true;
      });
  if (!streamed) return print_refusal(streamed.error());
  // It ends with the task, or because the server does.
  const auto again = session.client().call({.path = path});
  if (!again && again.error().code == "not_found") return 0;
  return print_refusal({0, "stream_ended", "the server ended the stream of figures",
                        "Look again: it may be about to stop."});
}

int show_figures(Session& session, const Figures& options) {
  const auto path = path_of(session, kTask, options.name, "/figures");
  if (!path) return kFailed;
  if (options.watch) return watch_figures(session, *path);
  const auto figures = session.get(*path);
  if (!figures) return kFailed;
  if (!session.is_table()) {
    session.print_value(*figures);
    return 0;
  }
  print_members(*figures, {{"state", "state"}, {"since", "state_since"}, {"reason", "reason"}});
  const auto* inner = figures->if_contains("figures");
  if (inner == nullptr || !inner->is_object()) return 0;
  Columns columns;
  for (const auto& member : inner->get_object()) columns.emplace_back(member.key(), member.key());
  print_members(inner->get_object(), columns);
  return 0;
}

}  // namespace

void add_wait_options(CLI::App& command, WaitOptions& options) {
  command.add_flag("--wait", options.wait, "until its state lasts; exit 1 if that is a failure");
  command.add_option("--timeout", options.timeout_seconds, "seconds that --wait takes at most")
      ->capture_default_str()
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{86'400}));
}

int end_change(Session& session, const client::Answer& answer, const WaitOptions& wait,
               std::string_view what) {
  if (!answer.body.is_object()) return kFailed;
  boost::json::object task = answer.body.get_object();
  const std::string name = cell(task, "name"), id = cell(task, "id");
  if (!wait.wait) {
    if (!session.is_table()) {
      session.print_value(task);
    } else {
      print(fmt::format("task {} ({}) {}; its state is {}\n", name, id, what, cell(task, "state")));
    }
    return 0;
  }
  bool failed = false;
  auto now = follow(session, std::move(task), wait, failed);
  if (now && !session.is_table()) session.print_value(*now);
  if (failed) return kFailed;
  const std::string state = now ? text_at(*now, "state") : "deleted";
  if (session.is_table()) print(fmt::format("task {} ({}) is {}\n", name, id, state));
  if (state == "running" || state == "paused" || state == "deleted") return 0;
  print_reason(*now);
  return kFailed;
}

void add_task_commands(CLI::App& app, Remote& remote) {
  auto* parent = app.add_subcommand("task", "the tasks of a server");
  parent->require_subcommand(1);
  auto [list, listed] = add_remote<TaskList>(*parent, remote, "list",
                                             "the tasks, with state and figures", list_tasks);
  add_list_options(*list, listed->list, true, "name, created_at or state");
  list->add_option("--state", listed->state, "only in this state");
  list->add_option("--source", listed->source, "only of this connection");
  list->add_option("--target", listed->target, "only into this connection");
  list->add_option("--type", listed->type, "only into connections of this type");
  list->add_option("--tag", listed->tag, "only with this tag")->type_name("NAME[=VALUE]");
  auto [show, shown] = add_remote<Named>(*parent, remote, "show", "one task", show_task);
  show->add_option("NAME", shown->name, "the task's name or id")->required();

  add_task_change_commands(*parent, remote);

  auto [pause, paused] =
      add_remote<Act>(*parent, remote, "pause", "stop it; positions stay", pause_task);
  auto [resume, resumed] =
      add_remote<Act>(*parent, remote, "resume", "let a paused task go on", resume_task);
  for (auto [command, options] : {std::pair(pause, paused), std::pair(resume, resumed)}) {
    command->add_option("NAME", options->name, "the task's name or id")->required();
    add_wait_options(*command, options->wait);
  }
  auto [restart, restarted] = add_remote<Restart>(
      *parent, remote, "restart", "let a failed or stopped task go on", restart_task);
  restart->add_option("NAME", restarted->name, "the task's name or id")->required();
  restart->add_option("--from", restarted->from, "elsewhere than its ledger says")
      ->type_name("START");
  restart->add_option("--confirm", restarted->confirm, "what it skips and repeats, in its words");
  restart->add_flag("--yes", restarted->yes, "whatever it skips and repeats");
  add_wait_options(*restart, restarted->wait);
  restart->footer(kRestartFooter);
  auto [remove, removed] =
      add_remote<Delete>(*parent, remote, "delete", "delete it; its rows stay", delete_task);
  remove->add_option("NAME", removed->name, "the task's name or id")->required();
  remove->add_flag("--ledger", removed->ledger, "forget its positions, too");
  add_wait_options(*remove, removed->wait);
  auto [figures, looked] =
      add_remote<Figures>(*parent, remote, "figures", "what it does at the moment", show_figures);
  figures->add_option("NAME", looked->name, "the task's name or id")->required();
  figures->add_flag("--watch", looked->watch, "once a second, until the task is gone");
}

}  // namespace sluice::cli
