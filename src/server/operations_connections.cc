// Connections: the operations of /api/v1/connections.
#include <fmt/format.h>

#include <memory>

#include "server/api.h"

namespace sluice::server {
namespace {

using control::Connections;

Answer<Reply> list_connections(Call& call) {
  auto page = call.page({"name", "type", "created_at"});
  if (!page) return tl::unexpected(page.error());
  const auto type = call.parameter("type"), status = call.parameter("status");
  if (call.query.contains("type") && !control::is_connection_type(type)) {
    return refuse_parameter("type", "is no type of a connection; docs/reference/connections.md");
  }
  if (call.query.contains("status") && status != "unchecked" && status != "checking" &&
      status != "ready" && status != "failed") {
    return refuse_parameter("status", "takes one of unchecked, checking, ready, failed");
  }
  auto listed = call.control.connections.list(*page, {.type = type, .status = status});
  if (!listed) return tl::unexpected(listed.error());
  return Reply{.body = std::move(*listed)};
}

Answer<Reply> create_connection(Call& call) {
  auto made = call.control.connections.create(call.caller, call.body);
  if (!made) return tl::unexpected(made.error());
  auto place = fmt::format("/api/v1/connections/{}", std::string_view(made->at("id").get_string()));
  return created(std::move(*made), std::move(place));
}

Answer<Reply> show_connection(Call& call) {
  auto shown = call.control.connections.show(call.path[0]);
  if (!shown) return tl::unexpected(shown.error());
  return with_etag(std::move(*shown));
}

Answer<Reply> edit_connection(Call& call) {
  const auto version = call.if_match();
  if (!version) return tl::unexpected(version.error());
  auto edited = call.control.connections.edit(call.caller, call.path[0], *version, call.body);
  if (!edited) return tl::unexpected(edited.error());
  return with_etag(std::move(*edited));
}

Answer<Reply> delete_connection(Call& call) {
  const auto version = call.if_match();
  if (!version) return tl::unexpected(version.error());
  const auto removed = call.control.connections.remove(call.caller, call.path[0], *version);
  if (!removed) return tl::unexpected(removed.error());
  return Reply{.status = 204};
}

// Steps as they end, then the connection.
std::function<std::optional<std::string>()> stream_of(Connections& connections, std::string id) {
  struct Place {
    std::size_t told = 0;
    bool ended = false;
  };
  return [&connections, id = std::move(id),
          place = std::make_shared<Place>()]() -> std::optional<std::string> {
    if (place->ended) return std::nullopt;
    const auto steps = connections.steps(id, place->told);
    std::string text;
    if (!steps) {  // deleted meanwhile, or the control database is away
      place->ended = true;
      return server_sent("end", {{"code", steps.error().code}, {"detail", steps.error().detail}});
    }
    for (const auto& step : steps->steps) text += server_sent("step", step);
    place->told += steps->steps.size();
    if (steps->ended) {
      place->ended = true;
      text += server_sent("end", steps->connection);
    }
    return text;
  };
}

Answer<Reply> check_connection(Call& call) {
  auto checking = call.control.connections.check(call.caller, call.path[0]);
  if (!checking) return tl::unexpected(checking.error());
  const auto accepted = call.request.header("accept").value_or("");
  if (accepted.find("text/event-stream") == std::string_view::npos) {
    return with_etag(std::move(*checking), 202);
  }
  Reply reply;
  reply.stream = stream_of(call.control.connections, call.path[0]);
  reply.stream_every = std::chrono::milliseconds(100);
  return reply;
}

Answer<Reply> list_connection_tasks(Call& call) {
  auto tasks = call.control.connections.tasks_of(call.path[0]);
  if (!tasks) return tl::unexpected(tasks.error());
  const auto total = tasks->size();
  return Reply{.body = boost::json::object{
                   {"items", std::move(*tasks)}, {"next_cursor", nullptr}, {"total", total}}};
}

Answer<Reply> browse(Call& call, std::string_view what, std::string name = "") {
  Connections::Look look;
  look.what = what;
  look.database = call.parameter("database");
  look.schema = call.parameter("schema");
  look.name = name.empty() ? call.parameter("name") : std::move(name);
  look.search = call.parameter("search");
  look.cursor = call.parameter("cursor");
  const auto limit = call.number("limit", 1, control::kMaxPage, control::kDefaultPage);
  if (!limit) return tl::unexpected(limit.error());
  look.limit = static_cast<int>(*limit);
  const auto fresh = call.flag("fresh");
  if (!fresh) return tl::unexpected(fresh.error());
  look.fresh = *fresh;
  auto found = call.control.connections.browse(call.path[0], look);
  if (!found) return tl::unexpected(found.error());
  return Reply{.body = std::move(*found)};
}

Answer<Reply> list_databases(Call& call) { return browse(call, "databases"); }
Answer<Reply> list_schemas(Call& call) { return browse(call, "schemas"); }
Answer<Reply> list_tables(Call& call) { return browse(call, "tables"); }
Answer<Reply> show_table(Call& call) { return browse(call, "table"); }
Answer<Reply> list_topics(Call& call) { return browse(call, "topics"); }
Answer<Reply> show_topic(Call& call) { return browse(call, "topic", call.path[1]); }
Answer<Reply> list_groups(Call& call) { return browse(call, "groups"); }
Answer<Reply> show_group(Call& call) { return browse(call, "group", call.path[1]); }

// Looking behind a connection uses its password: that is for operators.
constexpr Operation kOperations[] = {
    {.method = "GET",
     .path = "/api/v1/connections",
     .name = "listConnections",
     .role = Role::kViewer,
     .query = "limit cursor sort search type status",
     .perform = list_connections},
    {.method = "POST",
     .path = "/api/v1/connections",
     .name = "createConnection",
     .role = Role::kOperator,
     .takes_body = true,
     .creates = true,
     .perform = create_connection},
    {.method = "GET",
     .path = "/api/v1/connections/{id}",
     .name = "getConnection",
     .role = Role::kViewer,
     .perform = show_connection},
    {.method = "PATCH",
     .path = "/api/v1/connections/{id}",
     .name = "editConnection",
     .role = Role::kOperator,
     .takes_body = true,
     .perform = edit_connection},
    {.method = "DELETE",
     .path = "/api/v1/connections/{id}",
     .name = "deleteConnection",
     .role = Role::kOperator,
     .perform = delete_connection},
    {.method = "POST",
     .path = "/api/v1/connections/{id}/check",
     .name = "checkConnection",
     .role = Role::kOperator,
     .perform = check_connection},
    {.method = "GET",
     .path = "/api/v1/connections/{id}/tasks",
     .name = "listConnectionTasks",
     .role = Role::kViewer,
     .perform = list_connection_tasks},
    {.method = "GET",
     .path = "/api/v1/connections/{id}/databases",
     .name = "listDatabases",
     .role = Role::kOperator,
     .query = "limit cursor search fresh",
     .perform = list_databases},
    {.method = "GET",
     .path = "/api/v1/connections/{id}/schemas",
     .name = "listSchemas",
     .role = Role::kOperator,
     .query = "limit cursor search fresh database",
     .perform = list_schemas},
    {.method = "GET",
     .path = "/api/v1/connections/{id}/tables",
     .name = "listTables",
     .role = Role::kOperator,
     .query = "limit cursor search fresh database schema",
     .perform = list_tables},
    {.method = "GET",
     .path = "/api/v1/connections/{id}/table",
     .name = "getTable",
     .role = Role::kOperator,
     .query = "fresh database schema name",
     .perform = show_table},
    {.method = "GET",
     .path = "/api/v1/connections/{id}/topics",
     .name = "listTopics",
     .role = Role::kOperator,
     .query = "limit cursor search fresh",
     .perform = list_topics},
    {.method = "GET",
     .path = "/api/v1/connections/{id}/topics/{topic}",
     .name = "getTopic",
     .role = Role::kOperator,
     .query = "fresh",
     .perform = show_topic},
    {.method = "GET",
     .path = "/api/v1/connections/{id}/groups",
     .name = "listGroups",
     .role = Role::kOperator,
     .query = "limit cursor search fresh",
     .perform = list_groups},
    {.method = "GET",
     .path = "/api/v1/connections/{id}/groups/{group}",
     .name = "getGroup",
     .role = Role::kOperator,
     .query = "fresh",
     .perform = show_group},
};

}  // namespace

std::span<const Operation> connection_operations() { return kOperations; }

}  // namespace sluice::server
