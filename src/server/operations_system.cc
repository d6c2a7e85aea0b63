// What watches the server itself: /healthz, /readyz, /metrics, /api/v1/system; what describes it.
#include <boost/json/value_from.hpp>

#include "server/api.h"
#include "server/metrics.h"

namespace sluice::server {
namespace {

Answer<Reply> healthz(Call& /*call*/) { return Reply{200, {{"status", "ok"}}}; }

Answer<Reply> readyz(Call& call) {
  if (call.stopping) return control::refuse("stopping", "the server is stopping");
  if (!call.control.is_ready()) {
    return control::refuse("database_unavailable", "the control database does not answer");
  }
  return Reply{200, {{"status", "ready"}}};
}

Answer<Reply> metrics(Call& call) {
  std::vector<std::pair<std::string, pipeline::Progress>> tasks;
  for (auto& running : call.control.tasks.running()) {
    tasks.emplace_back(std::move(running.name), std::move(running.progress));
  }
  return Reply{.body = boost::json::value(metrics_text(tasks)),
               .content_type = "text/plain; version=0.0.4; charset=utf-8"};
}

Answer<Reply> open_metrics(Call& call) {
  if (!call.control.settings.metrics_open) {
    return control::refuse("not_logged_in", "metrics.open is false: /api/v1/metrics takes a token");
  }
  return metrics(call);
}

Answer<Reply> system(Call& call) {
  const auto& settings = call.control.settings;
  return Reply{
      200,
      {{"version", SLUICE_VERSION},
       {"allowlist_ranges", boost::json::value_from(settings.allowlist_ranges)},
       {"limits", {{"tasks", settings.most_tasks}, {"connections", settings.most_connections}}}}};
}

Answer<Reply> description(Call& /*call*/) {
  return Reply{.body = boost::json::value(openapi_text()), .content_type = "application/yaml"};
}

constexpr Operation kOperations[] = {
    {.method = "GET",
     .path = "/healthz",
     .name = "healthz",
     .role = Role::kNobody,
     .perform = healthz},
    {.method = "GET",
     .path = "/readyz",
     .name = "readyz",
     .role = Role::kNobody,
     .perform = readyz},
    {.method = "GET",
     .path = "/metrics",
     .name = "metrics",
     .role = Role::kNobody,
     .perform = open_metrics},
    {.method = "GET",
     .path = "/api/v1/metrics",
     .name = "showMetrics",
     .role = Role::kViewer,
     .perform = metrics},
    {.method = "GET",
     .path = "/api/v1/system",
     .name = "showSystem",
     .role = Role::kViewer,
     .perform = system},
    {.method = "GET",
     .path = "/api/v1/openapi.yaml",
     .name = "showDescription",
     .role = Role::kViewer,
     .perform = description},
};

}  // namespace

std::span<const Operation> system_operations() { return kOperations; }

}  // namespace sluice::server
