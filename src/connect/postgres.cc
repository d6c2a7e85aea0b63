// connection.* becomes target.postgres.
#include <fmt/format.h>

#include "connect/draft.h"
#include "connect/jdbc_url.h"

namespace sluice::connect {
namespace {

constexpr std::string_view kPassword = "${env:SLUICE_PG_PASSWORD}";
constexpr std::string_view kPasswordTaken =
    "never copied: target.postgres has ${env:SLUICE_PG_PASSWORD}; set it, or write "
    "${file:/path}";

struct Login {
  std::string user;
  bool password = false;
};

void read_user(const std::string& value, const std::string& called, Login& login, Report& report) {
  if (has_provider_reference(value)) {
    login.user = "${env:SLUICE_PG_USER}";
    report.taken(called, "the user in target.postgres, as ${env:SLUICE_PG_USER}");
    report.to_fill_in("SLUICE_PG_USER", "a config provider of Connect knows the user's name");
    return;
  }
  login.user = value;
  report.taken(called, "the user in target.postgres");
}

}  // namespace

Result<bool> read_connection(const Configuration& from, Draft& draft, Report& report) {
  const auto url = from.get("connection.url");
  if (!url || url->empty()) {
    return fail(Domain::kDocument, "connection.url", "connection.url is missing",
                "Without it there is nowhere to write to: jdbc:postgresql://HOST:5432/DATABASE.");
  }
  const std::string user_property =
      draft.sink == Sink::kDebezium ? "connection.username" : "connection.user";
  if (has_provider_reference(*url)) {
    draft.postgres = "${env:SLUICE_PG_URI}";
    report.taken("connection.url", "target.postgres, as ${env:SLUICE_PG_URI}");
    report.to_fill_in("SLUICE_PG_URI",
                      "a config provider of Connect knows the URL: set it to postgresql://USER:"
                      "PASSWORD@HOST:5432/DATABASE");
    for (const auto& property : from.all()) {
      if (property.name == "connection.password" || property.name == user_property) {
        report.not_needed(property.name, "part of ${env:SLUICE_PG_URI}");
      }
    }
    return true;
  }
  const auto parsed = parse_jdbc_url(*url);
  if (!parsed) return fail(parsed.error());
  report.taken("connection.url", "target.postgres");
  if (parsed->had_user_info) {
    report.not_supported("connection.url (user info)",
                         "the driver takes no user in front of an @; it was left out");
  }

  Login login;
  std::map<std::string, std::string> libpq;
  for (const auto& [name, value] : parsed->parameters) {
    const std::string called = "connection.url ?" + name;
    if (name == "user") {
      read_user(value, called, login, report);
    } else if (name == "password") {
      login.password = true;
      report.taken(called, std::string(kPasswordTaken));
    } else {
      take_parameter(name, value, called, libpq, report);
    }
  }
  for (const auto& property : from.all()) {
    const std::string& name = property.name;
    if (name == user_property) {
      read_user(from.get(name, ""), name, login, report);
    } else if (name == "connection.password") {
      login.password = true;
      report.taken(name, std::string(kPasswordTaken));
    } else if (const Rule* rule = rule_of(draft.sink, name);
               rule != nullptr && rule->property == "connection.*") {
      take_parameter(std::string_view(name).substr(11), property.value, name, libpq, report);
    }
  }

  std::string& uri = draft.postgres;
  uri = "postgresql://" + percent_encoded(login.user);
  if (login.password) uri += fmt::format(":{}", kPassword);
  if (!login.user.empty() || login.password) uri += '@';
  uri += literal(parsed->hosts) + "/" + literal(parsed->database);
  char separator = '?';
  for (const auto& [name, value] : libpq) {
    uri += fmt::format("{}{}={}", separator, name, percent_encoded(value));
    separator = '&';
  }
  return true;
}

}  // namespace sluice::connect
