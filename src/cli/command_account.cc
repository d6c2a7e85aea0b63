// sluice account, sluice token.
#include <fmt/format.h>

#include <boost/json.hpp>

#include "cli/options.h"
#include "cli/password.h"
#include "cli/remote.h"
#include "cli/show.h"
#include "cli/table.h"
#include "cli/terminal.h"

namespace sluice::cli {
namespace {

struct Listed {
  ListOptions list;
};
struct Named {
  std::string name;
};
struct Nothing {};

const Columns kMembers{{"name", "name"},
                       {"id", "id"},
                       {"role", "role"},
                       {"disabled", "disabled"},
                       {"by", "by"},
                       {"locked until", "locked_until"},
                       {"created", "created_at"},
                       {"last log-in", "last_login_at"},
                       {"version", "version"}};

int list_accounts(Session& session, const Listed& options) {
  return list_command(session, "/api/v1/accounts", {}, options.list,
                      {{"NAME", "name"},
                       {"ROLE", "role"},
                       {"DISABLED", "disabled"},
                       {"LOCKED UNTIL", "locked_until"},
                       {"LAST LOG-IN", "last_login_at"},
                       {"ID", "id"}});
}

int show(const Session& session, const boost::json::object& account) {
  if (session.is_table()) {
    print_members(account, kMembers);
  } else {
    session.print_value(account);
  }
  return 0;
}

int show_account(Session& session, const Named& options) {
  const auto path = path_of(session, kAccount, options.name);
  if (!path) return kFailed;
  const auto account = session.get(*path);
  return account ? show(session, *account) : kFailed;
}

int show_me(Session& session, const Nothing& /*options*/) {
  const auto me = session.get("/api/v1/me");
  return me ? show(session, *me) : kFailed;
}

struct AccountChange {
  std::string name, role, password_file;
  bool password = false, disable = false, enable = false;
};

std::optional<std::string> password_of(const std::string& file, std::string_view prompt) {
  auto password = read_password(file, prompt);
  if (password) return std::move(*password);
  print_error(password.error());
  return std::nullopt;
}

int say(const Session& session, const client::Answer& answer, std::string_view what) {
  if (!session.is_table()) {
    session.print_value(answer.body);
  } else {
    print(fmt::format("account {} ({}) {}\n", cell(answer.body, "name"), cell(answer.body, "role"),
                      what));
  }
  return 0;
}

int create_account(Session& session, const AccountChange& change) {
  const auto password =
      password_of(change.password_file, fmt::format("Password for {}", change.name));
  if (!password) return kDocumentWrong;
  const auto answer =
      session.send("POST", "/api/v1/accounts",
                   {{"name", change.name}, {"role", change.role}, {"password", *password}});
  return answer ? say(session, *answer, "created") : kFailed;
}

int edit_account(Session& session, const AccountChange& change) {
  boost::json::object body;
  if (!change.role.empty()) body["role"] = change.role;
  if (change.disable) body["disabled"] = true;
  if (change.enable) body["disabled"] = false;
  const bool password = change.password || !change.password_file.empty();
  if (body.empty() && !password) {
    return print_wrong("NAME", "nothing to change was given",
                       "Give --role, --disable, --enable, --password or --password-file.");
  }
  const auto path = path_of(session, kAccount, change.name);
  if (!path) return kFailed;
  const auto before = session.get(*path);
  if (!before) return kFailed;
  if (password) {
    const auto given =
        password_of(change.password_file, fmt::format("New password for {}", change.name));
    if (!given) return kDocumentWrong;
    body["password"] = *given;
  }
  const auto answer = session.send("PATCH", *path, body, version_of(*before));
  return answer ? say(session, *answer, "edited") : kFailed;
}

int delete_account(Session& session, const Named& options) {
  const auto path = path_of(session, kAccount, options.name);
  if (!path || !session.call({.method = "DELETE", .path = *path})) return kFailed;
  if (session.is_table()) print(fmt::format("account {} deleted\n", options.name));
  return 0;
}

struct Passwords {
  std::string current_file, new_file;
};

int change_password(Session& session, const Passwords& options) {
  const auto current = password_of(options.current_file, "Your current password");
  if (!current) return kDocumentWrong;
  const auto wanted = password_of(options.new_file, "Your new password");
  if (!wanted) return kDocumentWrong;
  const auto answer = session.send("PUT", "/api/v1/me/password",
                                   {{"current_password", *current}, {"new_password", *wanted}});
  if (!answer) return kFailed;
  if (session.is_table()) print("password changed\n");
  return 0;
}

// ---- tokens

int list_tokens(Session& session, const Listed& options) {
  return list_command(session, "/api/v1/tokens", {}, options.list,
                      {{"NAME", "name"},
                       {"ROLE", "role"},
                       {"ACCOUNT", "account.name"},
                       {"EXPIRES", "expires_at"},
                       {"EXPIRED", "expired"},
                       {"USED", "used_at"},
                       {"ID", "id"}});
}

struct TokenMade {
  std::string name, role;
  std::int64_t days = 30;  // what a token makes ends before it does
};

int create_token(Session& session, const TokenMade& options) {
  const auto answer = session.send(
      "POST", "/api/v1/tokens",
      {{"name", options.name}, {"role", options.role}, {"expires_in_days", options.days}});
  if (!answer || !answer->body.is_object()) return kFailed;
  if (!session.is_table()) {
    session.print_value(answer->body);
    return 0;
  }
  // The token alone goes where a script reads; it is shown this once.
  std::fputs(
      fmt::format("token {} ({}), until {}; it is not shown again\n", cell(answer->body, "name"),
                  cell(answer->body, "role"), cell(answer->body, "expires_at"))
          .c_str(),
      stderr);
  print(text_at(answer->body.get_object(), "token") + '\n');
  return 0;
}

int revoke_token(Session& session, const Named& options) {
  const auto path = path_of(session, kToken, options.name);
  if (!path || !session.call({.method = "DELETE", .path = *path})) return kFailed;
  if (session.is_table()) print(fmt::format("token {} revoked\n", options.name));
  return 0;
}

void add_role(CLI::App& command, std::string& role, bool required) {
  command.add_option("--role", role, "viewer, operator or admin")
      ->check(CLI::IsMember({"viewer", "operator", "admin"}))
      ->required(required);
}

void add_token_commands(CLI::App& app, Remote& remote) {
  auto* parent = app.add_subcommand("token", "tokens for programs that call a server");
  parent->require_subcommand(1);
  auto [list, listed] = add_remote<Listed>(*parent, remote, "list", "the tokens", list_tokens);
  add_list_options(*list, listed->list, true, "name");
  auto [create, made] =
      add_remote<TokenMade>(*parent, remote, "create", "make a token, and print it", create_token);
  create->add_option("NAME", made->name, "what it is for")->required();
  add_role(*create, made->role, true);
  create->add_option("--days", made->days, "how long it lasts; no longer than your own log-in")
      ->capture_default_str()
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{3650}));
  auto [revoke, revoked] =
      add_remote<Named>(*parent, remote, "revoke", "end a token", revoke_token);
  revoke->add_option("NAME", revoked->name, "the token's name or id")->required();
}

}  // namespace

void add_account_commands(CLI::App& app, Remote& remote) {
  auto* parent = app.add_subcommand("account", "who may log in at a server");
  parent->require_subcommand(1);
  auto [list, listed] = add_remote<Listed>(*parent, remote, "list", "the accounts", list_accounts);
  add_list_options(*list, listed->list, true, "name");
  auto [shows, shown] = add_remote<Named>(*parent, remote, "show", "one account", show_account);
  shows->add_option("NAME", shown->name, "the account's name or id")->required();
  add_remote<Nothing>(*parent, remote, "me", "who you are for the server, and what you may",
                      show_me);
  auto [create, made] = add_remote<AccountChange>(
      *parent, remote, "create", "make an account; asks for its password", create_account);
  create->add_option("NAME", made->name, "the account's name")->required();
  add_role(*create, made->role, true);
  auto [edit, edited] = add_remote<AccountChange>(
      *parent, remote, "edit", "another role or password; disable, enable", edit_account);
  edit->add_option("NAME", edited->name, "the account's name or id")->required();
  add_role(*edit, edited->role, false);
  edit->add_flag("--password", edited->password, "ask for a new password");
  auto* disable = edit->add_flag("--disable", edited->disable, "nobody logs in with it any more");
  edit->add_flag("--enable", edited->enable, "log-ins are possible again")->excludes(disable);
  for (auto [command, change] : {std::pair(create, made), std::pair(edit, edited)}) {
    command->add_option("--password-file", change->password_file, "a file for you alone with it")
        ->type_name("FILE");
  }
  auto [remove, removed] = add_remote<Named>(
      *parent, remote, "delete", "delete it, with its log-ins and tokens", delete_account);
  remove->add_option("NAME", removed->name, "the account's name or id")->required();
  auto [password, passwords] = add_remote<Passwords>(*parent, remote, "password",
                                                     "change your own password", change_password);
  password->add_option("--current-file", passwords->current_file, "a file with the current one")
      ->type_name("FILE");
  password->add_option("--new-file", passwords->new_file, "a file with the new one")
      ->type_name("FILE");
  add_token_commands(app, remote);
}

}  // namespace sluice::cli
