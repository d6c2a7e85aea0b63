#include "postgres/conninfo.h"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <memory>
#include <optional>

#include "base/nearest.h"

namespace sluice::postgres {
namespace {

struct FreeOptions {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};
using Options = std::unique_ptr<PQconninfoOption, FreeOptions>;

constexpr std::string_view kForm =
    "Write a URI (postgresql://user@host:5432/database, special characters of the password as %XX) "
    "or "
    "keywords (host=... port=... dbname=... user=..., values with spaces in single quotes).";

// The text between the first two double quotes.
std::string_view first_quoted(std::string_view text) {
  const auto open = text.find('"');
  if (open == std::string_view::npos) return {};
  const auto close = text.find('"', open + 1);
  return close == std::string_view::npos ? std::string_view{}
                                         : text.substr(open + 1, close - open - 1);
}

// libpq quotes the string, or a part of it, which may be the password: what is quoted is left out,
// unless it is nearly the name of a keyword.
Error unreadable(std::string_view said) {
  Error error;
  error.domain = Domain::kDocument;
  error.code = "target.postgres";
  error.message = "the connection string cannot be read";
  error.remedy = kForm;
  const auto has = [&](std::string_view text) { return said.find(text) != std::string_view::npos; };
  if (has("invalid connection option") || has("invalid URI query parameter")) {
    error.message += ": it has a keyword that libpq does not know";
    const Options known(PQconndefaults());
    for (const auto* option = known.get(); option != nullptr && option->keyword != nullptr;
         ++option) {
      const auto found = first_quoted(said);
      if (edit_distance(found, option->keyword) <= 2 && found.size() > 3) {
        error.message += fmt::format(", '{}'", found);
        error.remedy = fmt::format("Did you mean '{}'? {}", option->keyword, kForm);
        break;
      }
    }
  } else if (has("missing \"=\"") || has("missing key/value separator")) {
    error.message += ": a keyword has no '=' after it";
  } else if (has("extra key/value separator")) {
    error.message += ": a query parameter of the URI has two '='";
  } else if (has("unterminated quoted string")) {
    error.message += ": a single quote is not closed";
  } else if (has("percent-encoded")) {
    error.message += ": a '%' in the URI does not begin two hexadecimal digits other than 00";
  } else if (has("IPv6 host address")) {
    error.message += ": the IPv6 address of the URI is empty or its ']' is missing";
  } else if (has("unexpected character")) {
    error.message +=
        ": the URI has an unexpected character after the host (is a '/', ':' or '@' of the "
        "password not written as %XX?)";
  }
  return error;
}

bool is_uri(std::string_view conninfo) {
  return conninfo.starts_with("postgresql://") || conninfo.starts_with("postgres://");
}

// A '/' of a password that is not written as %2F makes the rest of it the database's name.
bool at_sign_in_path(std::string_view uri) {
  uri.remove_prefix(uri.find("//") + 2);
  uri = uri.substr(0, uri.find('?'));
  const auto path = uri.find('/');
  return path != std::string_view::npos && uri.find('@', path) != std::string_view::npos;
}

bool is_port(std::string_view text) {
  return text.size() <= 5 && text.find_first_not_of("0123456789") == std::string_view::npos;
}

const std::string* value_of(const Parameters& parameters, std::string_view keyword) {
  for (const auto& parameter : parameters) {
    if (parameter.keyword == keyword && !parameter.value.empty()) return &parameter.value;
  }
  return nullptr;
}

std::vector<std::string> split(const std::string* list) {
  std::vector<std::string> parts;
  if (list == nullptr) return parts;
  std::size_t from = 0;
  while (true) {
    const auto comma = list->find(',', from);
    parts.push_back(list->substr(from, comma - from));
    if (comma == std::string::npos) return parts;
    from = comma + 1;
  }
}

std::string join(const std::vector<std::string>& parts) {
  return fmt::format("{}", fmt::join(parts, ","));
}

// The folder of sockets that libpq was built with. No function tells; a connection object that is
// refused for a wrong sslmode, before any I/O, does.
std::string default_socket_folder() {
  const char* const keywords[] = {"host", "hostaddr", "sslmode", nullptr};
  const char* const values[] = {"", "", "none of libpq's", nullptr};
  std::string folder;
  PGconn* link = PQconnectStartParams(keywords, values, 0);
  if (link != nullptr && PQhost(link) != nullptr) folder = PQhost(link);
  PQfinish(link);
  return folder;
}

}  // namespace

Result<Parameters> parse_conninfo(std::string_view conninfo) {
  if (conninfo.find('\0') != std::string_view::npos) return fail(unreadable("U+0000"));
  char* said = nullptr;
  const Options options(PQconninfoParse(std::string(conninfo).c_str(), &said));
  const std::unique_ptr<char, decltype(&PQfreemem)> release(said, &PQfreemem);
  if (!options) return fail(unreadable(said == nullptr ? "" : said));
  Parameters parameters;
  for (const auto* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr) parameters.push_back({option->keyword, option->val});
  }
  // Names that would show a part of the password in later messages, which libpq takes as they are.
  const bool uri = is_uri(conninfo);
  Error misread = unreadable("");
  if (uri && at_sign_in_path(conninfo)) {
    misread.message +=
        ": the URI has an '@' after the host (is a '/' of the password not written as %2F?)";
    return fail(std::move(misread));
  }
  for (const auto& port : split(value_of(parameters, "port"))) {
    if (is_port(port)) continue;
    misread.message +=
        uri ? ": the port in the URI is not a number (is the '@' and the host after the "
              "password missing?)"
            : fmt::format(": the port '{}' is not a number", port);
    return fail(std::move(misread));
  }
  return parameters;
}

void set_parameter(Parameters& parameters, std::string_view keyword, std::string_view value,
                   bool replace) {
  for (auto& parameter : parameters) {
    if (parameter.keyword != keyword) continue;
    if (replace) parameter.value = value;
    return;
  }
  parameters.push_back({std::string(keyword), std::string(value)});
}

int host_count(const Parameters& parameters) {
  const auto hosts = split(value_of(parameters, "host")).size();
  const auto addresses = split(value_of(parameters, "hostaddr")).size();
  return static_cast<int>(std::max<std::size_t>({hosts, addresses, 1}));
}

bool remove_host(Parameters& parameters, std::string_view host, std::string_view port) {
  auto hosts = split(value_of(parameters, "host"));
  auto addresses = split(value_of(parameters, "hostaddr"));
  auto ports = split(value_of(parameters, "port"));
  const auto count = std::max(hosts.size(), addresses.size());
  if (count < 2) return false;
  for (std::size_t at = 0; at < count; ++at) {
    std::string_view name;
    if (at < hosts.size()) name = hosts[at];
    if (name.empty() && at < addresses.size()) name = addresses[at];
    std::string_view own_port;
    if (!ports.empty()) own_port = at < ports.size() ? ports[at] : ports.front();
    if (name != host || (!own_port.empty() && own_port != port)) continue;
    const auto erase = [at](std::vector<std::string>& list) {
      if (at < list.size()) list.erase(list.begin() + static_cast<std::ptrdiff_t>(at));
    };
    erase(hosts);
    erase(addresses);
    if (ports.size() > 1) erase(ports);
    if (!hosts.empty()) set_parameter(parameters, "host", join(hosts), true);
    if (!addresses.empty()) set_parameter(parameters, "hostaddr", join(addresses), true);
    if (!ports.empty()) set_parameter(parameters, "port", join(ports), true);
    return true;
  }
  return false;
}

std::optional<std::chrono::seconds> connect_timeout_of(const Parameters& parameters) {
  const auto* value = value_of(parameters, "connect_timeout");
  int seconds = 0;
  if (value == nullptr) return std::nullopt;
  std::from_chars(value->data(), value->data() + value->size(), seconds);
  if (seconds <= 0) return std::nullopt;
  constexpr int kLongest = 3600;
  return std::chrono::seconds(std::clamp(seconds, 2, kLongest)) * host_count(parameters);
}

Endpoint endpoint_of(const Parameters& parameters) {
  const Options defaults(PQconndefaults());
  const auto value = [&](std::string_view keyword) -> std::string {
    if (const auto* own = value_of(parameters, keyword)) return *own;
    for (const auto* option = defaults.get(); option != nullptr && option->keyword != nullptr;
         ++option) {
      if (option->keyword == keyword && option->val != nullptr) return option->val;
    }
    return {};
  };
  Endpoint endpoint;
  endpoint.port = value("port");
  endpoint.user = value("user");
  endpoint.database = value("dbname");
  endpoint.sslmode = value("sslmode");
  endpoint.host = value("host");
  if (endpoint.host.empty()) endpoint.host = value("hostaddr");
  if (const auto* service = value_of(parameters, "service"); service && endpoint.host.empty()) {
    endpoint.host = "service " + *service;
  }
  if (endpoint.host.empty()) endpoint.host = default_socket_folder();
  if (endpoint.database.empty()) endpoint.database = endpoint.user;
  return endpoint;
}

Result<Endpoint> endpoint_of(std::string_view conninfo) {
  auto parameters = parse_conninfo(conninfo);
  if (!parameters) return fail(std::move(parameters.error()));
  return endpoint_of(*parameters);
}

}  // namespace sluice::postgres
