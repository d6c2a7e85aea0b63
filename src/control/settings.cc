#include "control/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "postgres/connection.h"
#include "task/task.h"

namespace sluice::control {
namespace {

// In the order of the reference page.
constexpr SettingKey kKeys[] = {
    {"listen", "127.0.0.1:8080", false,
     "HOST:PORT where the API is served. Beyond this machine only with TLS, here or in front."},
    {"tls.certificate", "", false, "PEM file of the certificate chain; with tls.key: HTTPS."},
    {"tls.key", "", false, "PEM file of its private key."},
    {"database.url", "postgresql://sluice:sluice@127.0.0.1:15432/sluice", true,
     "The control database, as a libpq URI or keywords. The default is the server that "
     "./quickstart "
     "starts."},
    {"database.schema", "sluice_control", false, "Its schema; made at the first start."},
    {"database.sessions", "8", false, "Sessions kept with it, 2 to 64."},
    {"secret_key.file", "", false,
     "The file with the key that seals passwords of connections; made at the first start, readable "
     "by its owner alone. Empty: sluice/secret.key in $XDG_STATE_HOME or ~/.local/state. Keep a "
     "copy "
     "apart from the database's."},
    {"secret_key.value", "", true, "The key itself (openssl rand -base64 32) instead of a file."},
    {"allowlist_ranges", "9.0.0.0/8, 30.0.0.0/8, 11.0.0.0/8", false,
     "Networks that a refused connection's advice names as those to allow in pg_hba.conf; CIDR, "
     "separated by commas."},
    {"connection_check_minutes", "5", false,
     "Minutes after which each connection is looked at again, 1 to 1440."},
    {"session.idle_minutes", "60", false,
     "A log-in ends after so long without a request, 1 to 1440."},
    {"session.longest_hours", "12", false, "And after so long in any case, 1 to 720."},
    {"retention.events_days", "90", false, "Days for which events are kept, 1 to 3650."},
    {"retention.audit_days", "365", false, "Days for which the audit is kept, 1 to 3650."},
    {"limits.body_kb", "1024", false, "Kilobytes of a request's body, 16 to 65536."},
    {"limits.connections", "256", false, "HTTP connections at once, 4 to 10000."},
    {"limits.threads", "8", false, "Requests that are worked on at once, 2 to 64."},
    {"limits.requests_per_second", "50", false,
     "Requests of one client a second, on average, 1 to 100000; four times as many at once."},
    {"limits.tasks", "200", false, "Tasks there may be, 1 to 10000."},
    {"limits.saved_connections", "100", false, "Saved connections there may be, 1 to 10000."},
    {"metrics.open", "false", false, "Serve /metrics to everybody, without log-in."},
    {"log.format", "text", false, "text or json; logs go to standard error."},
    {"log.level", "info", false, "debug, info, warning or error."},
};

const SettingKey* find_setting(std::string_view path) {
  for (const auto& key : kKeys) {
    if (key.path == path) return &key;
  }
  return nullptr;
}

Error mistake(std::string path, std::string message) {
  return fail(Domain::kDocument, path, fmt::format("{}: {}", path, message),
              "docs/reference/configuration.md has every key; so has sluice config show.")
      .value();
}

// A section's members one by one, by their whole path.
void flatten(const task::Node& node, const std::string& path, SettingValues& values,
             std::vector<Error>& errors) {
  const bool section = std::any_of(std::begin(kKeys), std::end(kKeys), [&](const SettingKey& key) {
    return path.empty() || key.path.starts_with(path + '.');
  });
  if (section) {
    if (node.is_null()) return;
    if (node.kind != task::Node::Kind::kMap) {
      errors.push_back(mistake(path, "takes a section of keys"));
      return;
    }
    for (const auto& member : node.members) {
      flatten(member.value, task::join_path(path, member.name), values, errors);
    }
    return;
  }
  if (find_setting(path) == nullptr) {
    errors.push_back(mistake(path, "is no setting"));
    return;
  }
  std::string text = node.as_written();
  if (node.kind == task::Node::Kind::kList) {
    text.clear();
    for (const auto& item : node.items) text += (text.empty() ? "" : ", ") + item.as_written();
  } else if (node.kind == task::Node::Kind::kMap) {
    errors.push_back(mistake(path, "takes one value"));
    return;
  }
  if (!node.is_null()) values[path] = {std::move(text), "file"};
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const auto comma = std::min(text.find(','), text.size());
    std::string_view part = text.substr(0, comma);
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    while (!part.empty() && part.back() == ' ') part.remove_suffix(1);
    if (!part.empty()) parts.emplace_back(part);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return parts;
}

class Reader {
 public:
  explicit Reader(const SettingValues& values) : values_(values) {}

  const std::string& text(std::string_view path) const { return values_.find(path)->second.text; }
  int number(std::string_view path, int min, int max) {
    const auto& given = text(path);
    int value = 0;
    const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), value);
    if (error == std::errc() && end == given.data() + given.size() && value >= min &&
        value <= max) {
      return value;
    }
    wrong(path, fmt::format("takes a whole number from {} to {}, not \"{}\"", min, max, given));
    return min;
  }
  bool flag(std::string_view path) {
    const auto& given = text(path);
    if (given != "true" && given != "false") wrong(path, "takes true or false");
    return given == "true";
  }
  std::string choice(std::string_view path, std::initializer_list<std::string_view> choices) {
    const auto& given = text(path);
    if (std::find(choices.begin(), choices.end(), given) == choices.end()) {
      wrong(path, fmt::format("takes one of {}", fmt::join(choices, ", ")));
    }
    return given;
  }
  void wrong(std::string_view path, std::string message) {
    errors_.push_back(mistake(std::string(path), std::move(message)));
  }
  std::vector<Error> take_errors() { return std::move(errors_); }

 private:
  const SettingValues& values_;
  std::vector<Error> errors_;
};

std::string yaml_text(const std::string& text) {
  const bool plain =
      !text.empty() && text.find_first_of(":#{}[],&*!|>'\"%@`\\\n") == std::string::npos;
  if (plain) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

}  // namespace

std::span<const SettingKey> setting_keys() { return kKeys; }

std::string environment_name(std::string_view path) {
  std::string name = "SLUICE_";
  for (const char c : path) {
    name += c == '.' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  }
  return name;
}

tl::expected<SettingValues, std::vector<Error>> collect_settings(const SettingSources& sources) {
  SettingValues values;
  std::vector<Error> errors;
  for (const auto& key : kKeys) {
    values[std::string(key.path)] = {std::string(key.default_text), "default"};
  }
  if (sources.file != nullptr) flatten(*sources.file, "", values, errors);
  for (const auto& key : kKeys) {
    if (!sources.environment) break;
    auto given = sources.environment(environment_name(key.path));
    if (given) values[std::string(key.path)] = {std::move(*given), "environment"};
  }
  for (const auto& [path, text] : sources.command_line) {
    if (find_setting(path) == nullptr) {
      errors.push_back(mistake(path, "is no setting"));
      continue;
    }
    values[path] = {text, "command line"};
  }
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  return values;
}

tl::expected<Settings, std::vector<Error>> read_settings(const SettingValues& values) {
  Reader reader(values);
  Settings settings;
  settings.listen = reader.text("listen");
  settings.tls_certificate = reader.text("tls.certificate");
  settings.tls_key = reader.text("tls.key");
  if (settings.tls_certificate.empty() != settings.tls_key.empty()) {
    reader.wrong("tls", "takes both certificate and key, or neither");
  }
  settings.database_url = reader.text("database.url");
  if (!postgres::endpoint_of(settings.database_url)) {
    reader.wrong("database.url", "is no libpq URI or list of keywords");
  }
  settings.database_schema = reader.text("database.schema");
  if (settings.database_schema.empty() || settings.database_schema.size() > 63 ||
      settings.database_schema.starts_with("pg_")) {
    reader.wrong("database.schema", "takes 1 to 63 bytes, not beginning with pg_");
  }
  settings.database_sessions = reader.number("database.sessions", 2, 64);
  settings.secret_key_file = reader.text("secret_key.file");
  settings.secret_key = reader.text("secret_key.value");
  settings.allowlist_ranges = split(reader.text("allowlist_ranges"));
  using std::chrono::hours;
  using std::chrono::minutes;
  settings.connection_check = minutes(reader.number("connection_check_minutes", 1, 1440));
  settings.session_idle = minutes(reader.number("session.idle_minutes", 1, 1440));
  settings.session_longest = hours(reader.number("session.longest_hours", 1, 720));
  settings.events_kept = hours(24) * reader.number("retention.events_days", 1, 3650);
  settings.audit_kept = hours(24) * reader.number("retention.audit_days", 1, 3650);
  settings.body_bytes = 1024LL * reader.number("limits.body_kb", 16, 65'536);
  settings.http_connections = reader.number("limits.connections", 4, 10'000);
  settings.http_threads = reader.number("limits.threads", 2, 64);
  settings.requests_per_second = reader.number("limits.requests_per_second", 1, 100'000);
  settings.most_tasks = reader.number("limits.tasks", 1, 10'000);
  settings.most_connections = reader.number("limits.saved_connections", 1, 10'000);
  settings.metrics_open = reader.flag("metrics.open");
  settings.log_format = reader.choice("log.format", {"text", "json"});
  settings.log_level = reader.choice("log.level", {"debug", "info", "warning", "error"});
  auto errors = reader.take_errors();
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  return settings;
}

std::string show_settings(const SettingValues& values) {
  std::string out, section;
  for (const auto& key : kKeys) {
    const auto dot = key.path.find('.');
    const std::string_view of = dot == std::string_view::npos ? "" : key.path.substr(0, dot);
    const std::string_view name =
        dot == std::string_view::npos ? key.path : key.path.substr(dot + 1);
    if (!of.empty() && of != section) out += fmt::format("{}:\n", of);
    section = of;
    const auto& value = values.find(key.path)->second;
    std::string text = value.text;
    if (key.secret)
      text = key.path == "database.url" ? task::mask_conninfo(text) : text.empty() ? "" : "***";
    out += fmt::format("{}{}: {}  # {}\n", of.empty() ? "" : "  ", name, yaml_text(text),
                       value.origin);
  }
  return out;
}

std::string settings_markdown() {
  std::string out =
      "# Configuration of `sluice serve`\n\n"
      "Made from `src/control/settings.cc`. Later wins over earlier: default, file (`--config "
      "FILE`, "
      "YAML), environment, command line (`--set KEY=VALUE`). `sluice config show` prints what is "
      "in "
      "force, and where it came from.\n\n| key | environment | default | what it does "
      "|\n|---|---|---|---|\n";
  for (const auto& key : kKeys) {
    out += fmt::format("| `{}` | `{}` | {} | {} |\n", key.path, environment_name(key.path),
                       key.default_text.empty() ? "" : fmt::format("`{}`", key.default_text),
                       key.what);
  }
  return out;
}

}  // namespace sluice::control
