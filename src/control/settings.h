// Settings: the configuration of `sluice serve`. One table of keys; each has a place in the YAML
// file, an environment variable and can be given on the command line. Later wins over earlier:
// default, file, environment, command line.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "base/result.h"
#include "task/node.h"

namespace sluice::control {

struct Settings {
  std::string listen;
  std::string tls_certificate, tls_key;
  std::string database_url;  // holds a secret
  std::string database_schema;
  int database_sessions = 0;
  std::string secret_key_file;
  std::string secret_key;  // instead of the file; holds a secret
  std::vector<std::string> allowlist_ranges;
  std::chrono::minutes connection_check{0};  // how often each is looked at again
  std::chrono::minutes session_idle{0};      // a log-in ends after so long without a request
  std::chrono::hours session_longest{0};
  std::chrono::hours events_kept{0}, audit_kept{0};
  std::int64_t body_bytes = 0;
  int http_connections = 0;
  int http_threads = 0;
  int requests_per_second = 0;  // of one client, on average; four times as many at once
  int most_tasks = 0, most_connections = 0;
  bool metrics_open = false;  // /metrics without log-in
  std::string log_format, log_level;
};

struct SettingKey {
  std::string_view path;          // "database.url"
  std::string_view default_text;  // as YAML
  bool secret = false;
  std::string_view what;
};
std::span<const SettingKey> setting_keys();
// "database.url" gives "SLUICE_DATABASE_URL".
std::string environment_name(std::string_view path);

// Every value as text, with where it came from.
struct SettingValue {
  std::string text;
  std::string origin;  // "default", "file", "environment", "command line"
};
using SettingValues = std::map<std::string, SettingValue, std::less<>>;

struct SettingSources {
  const task::Node* file = nullptr;  // the document; none: no file
  std::function<std::optional<std::string>(const std::string& name)> environment;
  std::map<std::string, std::string> command_line = {};  // by path
};
// All mistakes at once: domain kDocument with the path as code.
tl::expected<SettingValues, std::vector<Error>> collect_settings(const SettingSources& sources);
tl::expected<Settings, std::vector<Error>> read_settings(const SettingValues& values);

// `sluice config show`: YAML, secrets masked, each with its origin as a comment.
std::string show_settings(const SettingValues& values);
// docs/reference/configuration.md
std::string settings_markdown();

}  // namespace sluice::control
