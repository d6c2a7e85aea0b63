// sluice login, sluice logout.
#include <fmt/format.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>

#include "cli/options.h"
#include "cli/password.h"
#include "cli/remote.h"
#include "cli/show.h"
#include "cli/terminal.h"

namespace sluice::cli {
namespace {

constexpr const char* kLoginFooter = R"(
The password is asked for, or read from --password-file (a file for you alone), or from standard input
where that is no terminal. What is kept is a token, not the password: in
$XDG_CONFIG_HOME/sluice/credentials.json (~/.config/sluice), which only you may read.

Other commands ask the server of the last log-in, unless --server or SLUICE_SERVER names another one.
With SLUICE_TOKEN no log-in is needed.)";

struct LoginOptions {
  std::string server, ca_file, user = "admin", password_file, role, name;
  std::int64_t days = 90;
};
struct LogoutOptions {
  std::string server;
};

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "?";
}

// A log-in lasts as long as it takes to make the token.
struct LogIn {
  std::string cookie, csrf, role;
  std::vector<std::pair<std::string, std::string>> headers() const {
    return {{"Cookie", cookie}, {"X-CSRF-Token", csrf}};
  }
};

std::optional<LogIn> log_in(client::Client& client, const std::string& user,
                            const std::string& password) {
  client::Request request{.method = "POST", .path = "/api/v1/login"};
  request.body =
      boost::json::serialize(boost::json::object{{"user", user}, {"password", password}});
  const auto answer = client.call(request);
  if (!answer) {
    print_refusal(answer.error());
    return std::nullopt;
  }
  LogIn made;
  if (const auto cookie = answer->headers.find("set-cookie"); cookie != answer->headers.end()) {
    made.cookie = cookie->second.substr(0, cookie->second.find(';'));
  }
  if (const auto* body = answer->body.if_object()) {
    made.csrf = text_at(*body, "csrf_token");
    const auto* account = body->if_contains("account");
    if (account != nullptr && account->is_object()) {
      made.role = text_at(account->get_object(), "role");
    }
  }
  return made;
}

std::optional<Credential> make_token(client::Client& client, const LogIn& made,
                                     const LoginOptions& options) {
  Credential credential;
  credential.user = options.user;
  credential.role = options.role.empty() ? made.role : options.role;
  const std::string name =
      options.name.empty() ? "sluice login on " + host_name().substr(0, 40) : options.name;
  client::Request request{.method = "POST", .path = "/api/v1/tokens"};
  request.headers = made.headers();
  request.body = boost::json::serialize(boost::json::object{
      {"name", name}, {"role", credential.role}, {"expires_in_days", options.days}});
  const auto answer = client.call(request);
  if (!answer) {
    print_refusal(answer.error());
    return std::nullopt;
  }
  if (const auto* body = answer->body.if_object()) {
    credential.token = text_at(*body, "token");
    credential.token_id = text_at(*body, "id");
  }
  return credential;
}

// Best effort: the token is what is asked with from now on.
void end_session(client::Client& client, const LogIn& made) {
  (void)client.call({.method = "POST", .path = "/api/v1/logout", .headers = made.headers()});
}

// Whatever the file held before for this server is of no use any more.
void revoke(const client::Server& server, const Credential& credential) {
  client::Client client({.url = server.url, .token = credential.token, .ca_file = server.ca_file});
  (void)client.call(
      {.method = "DELETE", .path = "/api/v1/tokens/" + client::encoded(credential.token_id)});
}

int login_command(const LoginOptions& options) {
  auto credentials = read_credentials();
  if (!credentials) {
    print_error(credentials.error());
    return kFailed;
  }
  std::string ca_file = options.ca_file;
  if (!ca_file.empty()) ca_file = std::filesystem::absolute(ca_file).string();
  auto server = find_server({options.server, ca_file}, *credentials);
  if (!server) {
    print_error(server.error());
    return kDocumentWrong;
  }
  server->token.clear();
  if (client::is_open_to_others(server->url)) {
    std::fputs(
        fmt::format("warning: {} is not encrypted: others can read the password on its way\n",
                    server->url)
            .c_str(),
        stderr);
  }
  auto password = read_password(options.password_file,
                                fmt::format("Password of {} at {}", options.user, server->url));
  if (!password) {
    print_error(password.error());
    return password.error().domain == Domain::kCommandLine ? kDocumentWrong : kFailed;
  }
  client::Client client(*server);
  const auto made = log_in(client, options.user, *password);
  if (!made) return kFailed;
  auto credential = make_token(client, *made, options);
  end_session(client, *made);
  if (!credential) return kFailed;
  credential->ca_file = server->ca_file;
  const auto before = credentials->servers.find(server->url);
  const std::optional<Credential> old =
      before == credentials->servers.end() ? std::nullopt : std::optional(before->second);
  credentials->current = server->url;
  credentials->servers[server->url] = *credential;
  if (auto written = write_credentials(*credentials); !written) {
    revoke(*server, *credential);  // nobody has it
    print_error(written.error());
    return kFailed;
  }
  if (old) revoke(*server, *old);
  print(fmt::format("logged in at {} as {} ({}) for {} days\n", server->url, options.user,
                    credential->role, options.days));
  return 0;
}

int logout_command(const LogoutOptions& options) {
  auto credentials = read_credentials();
  if (!credentials) {
    print_error(credentials.error());
    return kFailed;
  }
  auto server = find_server({options.server, ""}, *credentials);
  if (!server) {
    print_error(server.error());
    return kDocumentWrong;
  }
  const auto known = credentials->servers.find(server->url);
  if (known == credentials->servers.end()) {
    print(fmt::format("not logged in at {}\n", server->url));
    return 0;
  }
  // Not the token of SLUICE_TOKEN: that is somebody else's to revoke.
  client::Client client(
      {.url = server->url, .token = known->second.token, .ca_file = known->second.ca_file});
  const auto revoked = client.call(
      {.method = "DELETE", .path = "/api/v1/tokens/" + client::encoded(known->second.token_id)});
  const bool gone = revoked || revoked.error().status == 401 || revoked.error().status == 404;
  if (!gone) {
    print_refusal(revoked.error());
    std::fputs("the token was not revoked, and is kept\n", stderr);
    return kFailed;
  }
  credentials->servers.erase(known);
  if (credentials->current == server->url) credentials->current.clear();
  if (auto written = write_credentials(*credentials); !written) {
    print_error(written.error());
    return kFailed;
  }
  print(fmt::format("logged out at {}\n", server->url));
  return 0;
}

}  // namespace

void add_login_commands(CLI::App& app, Remote& remote) {
  auto options = std::make_shared<LoginOptions>();
  auto* login = app.add_subcommand("login", "log in at a server; keep a token for other commands");
  login->add_option("--server", options->server, "the server's URL")->type_name("URL");
  login->add_option("--ca", options->ca_file, "PEM file of the authorities to trust")
      ->type_name("FILE");
  login->add_option("--user", options->user, "the account")->capture_default_str();
  login->add_option("--password-file", options->password_file, "a file with the password")
      ->type_name("FILE");
  login->add_option("--role", options->role, "what the token may do; else what the account may")
      ->check(CLI::IsMember({"viewer", "operator", "admin"}));
  login->add_option("--days", options->days, "how long the token lasts")
      ->capture_default_str()
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{3650}));
  login->add_option("--name", options->name, "the token's name in lists");
  login->footer(kLoginFooter);
  login->callback(
      [&remote, options] { remote.chosen = [options] { return login_command(*options); }; });

  auto logout_options = std::make_shared<LogoutOptions>();
  auto* logout = app.add_subcommand("logout", "revoke the token that login keeps");
  logout->add_option("--server", logout_options->server, "the server's URL")->type_name("URL");
  logout->callback([&remote, logout_options] {
    remote.chosen = [logout_options] { return logout_command(*logout_options); };
  });
}

}  // namespace sluice::cli
