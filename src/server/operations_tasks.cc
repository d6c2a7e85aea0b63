// /api/v1/tasks
#include <fmt/format.h>

#include "server/api.h"

namespace sluice::server {
namespace {

using control::TaskAction;

// What a changing call answers: the task, with its ETag.
Answer<Reply> reply_of(Answer<boost::json::object> answer, unsigned status = 200) {
  if (!answer) return tl::unexpected(answer.error());
  return with_etag(std::move(*answer), status);
}
Answer<Reply> created_task(Answer<boost::json::object> answer) {
  if (!answer) return tl::unexpected(answer.error());
  const std::string id(answer->at("id").as_string());
  return created(std::move(*answer), "/api/v1/tasks/" + id);
}

Answer<Reply> list_tasks(Call& call) {
  auto page = call.page({"name", "created_at", "state"});
  if (!page) return tl::unexpected(page.error());
  const std::string state = call.parameter("state");
  if (call.query.contains("state") && !control::task_state_of(state)) {
    return refuse_parameter("state", "is no state of a task; docs/reference/states.md");
  }
  const std::string type = call.parameter("type");
  if (call.query.contains("type") && !control::is_connection_type(type)) {
    return refuse_parameter("type", "is no type of a connection; docs/reference/connections.md");
  }
  auto list = call.control.tasks.list(
      *page,
      {state, call.parameter("source"), call.parameter("target"), type, call.parameter("tag")});
  if (!list) return tl::unexpected(list.error());
  return Reply{200, std::move(*list)};
}

Answer<Reply> create_task(Call& call) {
  auto dry = call.flag("dry_run");
  if (!dry) return tl::unexpected(dry.error());
  if (!*dry) return created_task(call.control.tasks.create(call.caller, call.body));
  auto tried = call.control.tasks.try_out(call.body);
  if (!tried) return tl::unexpected(tried.error());
  return Reply{200, std::move(*tried)};
}

Answer<Reply> show_task(Call& call) { return reply_of(call.control.tasks.show(call.path[0])); }

Answer<Reply> edit_task(Call& call) {
  auto version = call.if_match();
  if (!version) return tl::unexpected(version.error());
  return reply_of(call.control.tasks.edit(call.caller, call.path[0], *version, call.body));
}

Answer<Reply> delete_task(Call& call) {
  auto version = call.if_match();
  if (!version) return tl::unexpected(version.error());
  auto ledger = call.flag("ledger");
  if (!ledger) return tl::unexpected(ledger.error());
  return reply_of(call.control.tasks.remove(call.caller, call.path[0], *version, *ledger), 202);
}

template <TaskAction action>
Answer<Reply> act_on_task(Call& call) {
  auto version = call.if_match();
  if (!version) return tl::unexpected(version.error());
  return reply_of(call.control.tasks.act(call.caller, call.path[0], action, *version), 202);
}

Answer<Reply> restart_task(Call& call) {
  auto version = call.if_match();
  if (!version) return tl::unexpected(version.error());
  return reply_of(call.control.tasks.restart(call.caller, call.path[0], *version, call.body), 202);
}

Answer<Reply> copy_task(Call& call) {
  return created_task(call.control.tasks.copy(call.caller, call.path[0], call.body));
}

Answer<Reply> rebuild_task(Call& call) {
  auto version = call.if_match();
  if (!version) return tl::unexpected(version.error());
  return reply_of(call.control.tasks.rebuild(call.caller, call.path[0], *version, call.body), 202);
}

Answer<Reply> list_revisions(Call& call) {
  auto list = call.control.tasks.revisions(call.path[0]);
  if (!list) return tl::unexpected(list.error());
  const auto total = list->size();
  return Reply{200, {{"items", std::move(*list)}, {"next_cursor", nullptr}, {"total", total}}};
}

Answer<int> revision_number(const std::string& text) {
  const bool good = !text.empty() && text.size() < 10 &&
                    text.find_first_not_of("0123456789") == std::string::npos;
  if (!good) return control::not_found("revision", text);
  return std::stoi(text);
}

Answer<Reply> show_revision(Call& call) {
  auto number = revision_number(call.path[1]);
  if (!number) return tl::unexpected(number.error());
  auto against = call.number("against", 1, 999'999'999, 0);
  if (!against) return tl::unexpected(against.error());
  std::optional<int> other;
  if (*against > 0) other = static_cast<int>(*against);
  auto revision = call.control.tasks.revision(call.path[0], *number, other);
  if (!revision) return tl::unexpected(revision.error());
  return Reply{200, std::move(*revision)};
}

Answer<Reply> roll_back_task(Call& call) {
  auto version = call.if_match();
  if (!version) return tl::unexpected(version.error());
  return reply_of(call.control.tasks.roll_back(call.caller, call.path[0], *version, call.body));
}

Answer<Reply> show_figures(Call& call) {
  auto figures = call.control.tasks.figures(call.path[0]);
  if (!figures) return tl::unexpected(figures.error());
  return Reply{200, std::move(*figures)};
}

// The figures once a second, until the task is gone.
Answer<Reply> stream_figures(Call& call) {
  auto figures = call.control.tasks.figures(call.path[0]);
  if (!figures) return tl::unexpected(figures.error());
  Reply reply;
  reply.stream_every = std::chrono::seconds(1);
  reply.stream = [&control = call.control, id = call.path[0]]() -> std::optional<std::string> {
    auto now = control.tasks.figures(id);
    if (now) return server_sent("figures", std::move(*now));
    if (now.error().code != "not_found") return "";  // the database is away: wait for it
    return std::nullopt;
  };
  return reply;
}

constexpr std::string_view kList = "limit cursor sort search state source target type tag";

constexpr Operation kOperations[] = {
    {.method = "GET",
     .path = "/api/v1/tasks",
     .name = "listTasks",
     .role = Role::kViewer,
     .query = kList,
     .perform = list_tasks},
    {.method = "POST",
     .path = "/api/v1/tasks",
     .name = "createTask",
     .role = Role::kOperator,
     .takes_body = true,
     .creates = true,
     .query = "dry_run",
     .perform = create_task},
    {.method = "GET",
     .path = "/api/v1/tasks/{id}",
     .name = "showTask",
     .role = Role::kViewer,
     .perform = show_task},
    {.method = "PATCH",
     .path = "/api/v1/tasks/{id}",
     .name = "editTask",
     .role = Role::kOperator,
     .takes_body = true,
     .perform = edit_task},
    {.method = "DELETE",
     .path = "/api/v1/tasks/{id}",
     .name = "deleteTask",
     .role = Role::kOperator,
     .query = "ledger",
     .perform = delete_task},
    {.method = "POST",
     .path = "/api/v1/tasks/{id}/pause",
     .name = "pauseTask",
     .role = Role::kOperator,
     .perform = act_on_task<TaskAction::kPause>},
    {.method = "POST",
     .path = "/api/v1/tasks/{id}/resume",
     .name = "resumeTask",
     .role = Role::kOperator,
     .perform = act_on_task<TaskAction::kResume>},
    {.method = "POST",
     .path = "/api/v1/tasks/{id}/restart",
     .name = "restartTask",
     .role = Role::kOperator,
     .takes_body = true,
     .body_optional = true,
     .perform = restart_task},
    {.method = "POST",
     .path = "/api/v1/tasks/{id}/copy",
     .name = "copyTask",
     .role = Role::kOperator,
     .takes_body = true,
     .creates = true,
     .perform = copy_task},
    {.method = "POST",
     .path = "/api/v1/tasks/{id}/rebuild",
     .name = "rebuildTask",
     .role = Role::kOperator,
     .takes_body = true,
     .body_optional = true,
     .perform = rebuild_task},
    {.method = "GET",
     .path = "/api/v1/tasks/{id}/revisions",
     .name = "listTaskRevisions",
     .role = Role::kViewer,
     .perform = list_revisions},
    {.method = "GET",
     .path = "/api/v1/tasks/{id}/revisions/{revision}",
     .name = "showTaskRevision",
     .role = Role::kViewer,
     .query = "against",
     .perform = show_revision},
    {.method = "POST",
     .path = "/api/v1/tasks/{id}/rollback",
     .name = "rollBackTask",
     .role = Role::kOperator,
     .takes_body = true,
     .perform = roll_back_task},
    {.method = "GET",
     .path = "/api/v1/tasks/{id}/figures",
     .name = "showTaskFigures",
     .role = Role::kViewer,
     .perform = show_figures},
    {.method = "GET",
     .path = "/api/v1/tasks/{id}/figures/stream",
     .name = "streamTaskFigures",
     .role = Role::kViewer,
     .perform = stream_figures},
};

}  // namespace

std::span<const Operation> task_operations() { return kOperations; }

}  // namespace sluice::server
