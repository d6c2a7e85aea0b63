#include "cli/command_serve.h"

#include <fmt/format.h>

#include <cstdlib>
#include <memory>
#include <optional>

#include "base/log.h"
#include "cli/options.h"
#include "cli/placeholder.h"
#include "cli/show.h"
#include "cli/terminal.h"
#include "cli/yaml.h"
#include "control/control.h"
#include "control/settings.h"
#include "pipeline/environment.h"
#include "server/api.h"
#include "server/http.h"

namespace sluice::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto kDrain = 30s;
constexpr std::size_t kMaxConfigBytes = 256 * 1024;

std::optional<std::string> environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

// Every error was printed if there is nothing.
std::optional<control::SettingValues> collect(const ServeOptions& options) {
  control::SettingSources sources;
  sources.environment = environment;
  std::optional<task::Node> file;
  if (!options.config.empty()) {
    auto text = read_small_file(options.config, kMaxConfigBytes, Readers::kAnyone);
    if (!text) {
      print_error(text.error());
      return std::nullopt;
    }
    auto read = parse_yaml(*text, options.config);
    if (!read) {
      print_error(read.error());
      return std::nullopt;
    }
    file = std::move(*read);
    sources.file = &*file;
  }
  if (!options.listen.empty()) sources.command_line["listen"] = options.listen;
  if (!options.database.empty()) sources.command_line["database.url"] = options.database;
  for (const auto& set : options.sets) {
    const auto equals = set.find('=');
    if (equals == std::string::npos) {
      print_error(fail(Domain::kCommandLine, "--set", fmt::format("--set {} has no =", set),
                       "Write --set KEY=VALUE.")
                      .value());
      return std::nullopt;
    }
    sources.command_line[set.substr(0, equals)] = set.substr(equals + 1);
  }
  auto values = control::collect_settings(sources);
  if (values) return std::move(*values);
  for (const auto& error : values.error()) print_error(error);
  return std::nullopt;
}

std::optional<control::Settings> settings_of(const ServeOptions& options) {
  const auto values = collect(options);
  if (!values) return std::nullopt;
  auto settings = control::read_settings(*values);
  if (settings) return std::move(*settings);
  for (const auto& error : settings.error()) print_error(error);
  return std::nullopt;
}

void configure_logs(const control::Settings& settings) {
  const auto& level = settings.log_level;
  log::configure(level == "debug"     ? log::Level::kDebug
                 : level == "info"    ? log::Level::kInfo
                 : level == "warning" ? log::Level::kWarning
                                      : log::Level::kError,
                 settings.log_format == "json" ? log::Format::kJson : log::Format::kText);
}

int init(control::Control& control, const std::string& listen) {
  auto password = control.access.make_admin(true);
  if (!password) {
    print_error(fail(Domain::kPostgres, password.error().code, password.error().detail,
                     password.error().advice)
                    .value());
    return kFailed;
  }
  print(
      fmt::format("user      admin\npassword  {}\n\nShown this once. Log in at {}, and change it: "
                  "PUT /api/v1/me/password.\n",
                  password->value_or(""), listen));
  return 0;
}

}  // namespace

int config_show_command(const ServeOptions& options) {
  const auto values = collect(options);
  if (!values) return kDocumentWrong;
  print(control::show_settings(*values));
  const auto settings = control::read_settings(*values);
  if (settings) return 0;
  for (const auto& error : settings.error()) print_error(error);
  return kDocumentWrong;
}

int serve_command(const ServeOptions& options) {
  auto settings = settings_of(options);
  if (!settings) return kDocumentWrong;
  const Signals signals;
  configure_logs(*settings);
  const bool tls = !settings->tls_certificate.empty();
  const std::string scheme = tls ? "https://" : "http://";
  auto control = control::Control::open(*settings);
  if (!control) {
    print_error(control.error());
    return control.error().domain == Domain::kDocument ? kDocumentWrong : kFailed;
  }
  if (options.init) return init(**control, scheme + settings->listen);

  server::Api api(**control);
  server::ListenOptions listen{.address = settings->listen};
  listen.handler_threads = settings->http_threads;
  listen.connections = settings->http_connections;
  listen.header_bytes = 16 * 1024;
  listen.body_bytes = static_cast<std::uint64_t>(settings->body_bytes);
  listen.tls_certificate = settings->tls_certificate;
  listen.tls_key = settings->tls_key;
  listen.refusal = server::Api::refusal;
  auto listener = server::HttpListener::start(
      std::move(listen), [&api](const server::Request& request) { return api.handle(request); });
  if (!listener) {
    print_error(listener.error());
    return kDocumentWrong;
  }
  (*control)->start();
  log::info("serving", {{"address", settings->listen},
                        {"port", static_cast<int>((*listener)->port())},
                        {"tls", tls},
                        {"version", SLUICE_VERSION}});
  const pipeline::StopSignal stop(signals.fd());
  while (!stop.wait(1h)) {
  }
  log::info("stopping: requests and batches under way are ended");
  api.stop();
  (*listener)->drain(kDrain / 3);
  (*control)->stop(kDrain);
  return signals.exit_code();
}

}  // namespace sluice::cli
