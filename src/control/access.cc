#include "control/access.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <utility>

#include "control/access_rows.h"
#include "control/body.h"
#include "control/secrets.h"

namespace sluice::control {
namespace {

constexpr std::string_view kRoles[] = {"nobody", "viewer", "operator", "admin"};
constexpr std::size_t kLeastPassword = 10, kMostPassword = 128;  // characters
constexpr int kMostAccounts = 1000;
constexpr int kMostTokens = 100;  // of one account
constexpr std::int64_t kUsualTokenDays = 90;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return out;
}

tl::unexpected<Problem> refuse_field(std::string path, std::string message) {
  Problem problem{"invalid", fmt::format("{}: {}", path, message)};
  problem.fields.push_back({std::move(path), std::move(message)});
  return refuse(std::move(problem));
}

boost::json::value text_or_null(const postgres::Rows& rows, int row, int column) {
  if (rows.is_null(row, column)) return nullptr;
  return boost::json::value(rows.text(row, column));
}

// What the audit keeps of an account: what its owner or an administrator can change.
boost::json::object kept(const AccountRow& account) {
  return {{"name", account.name}, {"role", account.role}, {"disabled", account.disabled}};
}

bool is_stale(const std::optional<std::int64_t>& wanted, std::int64_t present) {
  return wanted && *wanted != present;
}

tl::unexpected<Problem> refuse_stale(const AccountRow& account) {
  Problem problem{"stale", fmt::format("account \"{}\" was changed: its version is {}",
                                       account.name, account.version)};
  problem.more["version"] = account.version;
  return refuse(std::move(problem));
}

// Locks the enabled administrators, in one order, so that two changes at once cannot take the last
// two of them.
int count_admins(Transaction& transaction) {
  return transaction
      .run("SELECT id FROM account WHERE role = 'admin' AND NOT disabled ORDER BY id FOR UPDATE")
      .size();
}

tl::unexpected<Problem> refuse_last_admin(const AccountRow& account) {
  return refuse("last_admin",
                fmt::format("\"{}\" is the last enabled administrator", account.name));
}

// The SQL of a list that is sorted by `name`, then by `id`, its first column; `parameters` are
// those of `condition`.
struct List {
  std::string columns, tables, condition, name, id, searched;
  Parameters parameters;
};

template <class Show>
boost::json::object read_list(Transaction& transaction, const Page& page, List list, Show show) {
  const auto parameter = [&](std::string value) {
    list.parameters.emplace_back(std::move(value));
    return fmt::format("${}", list.parameters.size());
  };
  std::string where = list.condition;
  if (!page.search.empty()) {
    where += fmt::format(" AND position(lower({}) in lower({})) > 0", parameter(page.search),
                         list.searched);
  }
  const auto counted = transaction.run(
      fmt::format("SELECT count(*) FROM {} WHERE {}", list.tables, where), list.parameters);
  if (page.after) {
    const std::string value = parameter(page.after->value), id = parameter(page.after->id);
    where += fmt::format(" AND ({}, {}) {} ({}, {})", list.name, list.id,
                         page.descending ? "<" : ">", value, id);
  }
  const std::string_view way = page.descending ? "DESC" : "ASC";
  const auto rows = transaction.run(
      fmt::format("SELECT {}, {} FROM {} WHERE {} ORDER BY {} {}, {} {} LIMIT {}", list.columns,
                  list.name, list.tables, where, list.name, way, list.id, way, page.limit + 1),
      list.parameters);
  boost::json::array items;
  boost::json::value next = nullptr;
  for (int row = 0; row < std::min(rows.size(), page.limit); ++row) {
    items.push_back(show(rows, row));
    if (row + 1 == page.limit && rows.size() > page.limit) {
      next = cursor_of(page, std::string(rows.text(row, rows.columns() - 1)),
                       std::string(rows.text(row, 0)));
    }
  }
  return {{"items", std::move(items)},
          {"next_cursor", std::move(next)},
          {"total", counted.size() > 0 ? counted.integer(0, 0) : 0}};
}

std::string token_columns() {
  return fmt::format("t.id, t.name, t.role, a.id, a.name, {}, {}, {}, t.expires_at <= now()",
                     time_text("t.created_at"), time_text("t.expires_at"), time_text("t.used_at"));
}
constexpr const char* kTokenTables = "token t JOIN account a ON a.id = t.account_id";

boost::json::object token_of(const postgres::Rows& rows, int row) {
  return {{"id", rows.text(row, 0)},
          {"name", rows.text(row, 1)},
          {"role", rows.text(row, 2)},
          {"account", {{"id", rows.text(row, 3)}, {"name", rows.text(row, 4)}}},
          {"created_at", rows.text(row, 5)},
          {"expires_at", text_or_null(rows, row, 6)},
          {"used_at", text_or_null(rows, row, 7)},
          {"expired", !rows.is_null(row, 8) && rows.boolean(row, 8)}};
}

}  // namespace

std::string_view name_of(Role role) { return kRoles[static_cast<std::size_t>(role)]; }

Role role_of(std::string_view name) {
  for (const Role role : {Role::kViewer, Role::kOperator, Role::kAdmin}) {
    if (name == name_of(role)) return role;
  }
  return Role::kNobody;
}

std::string password_mistake(std::string_view password, std::string_view account) {
  const auto length = utf8_length(password);
  if (length < kLeastPassword || length > kMostPassword) {
    return fmt::format("takes {} to {} characters", kLeastPassword, kMostPassword);
  }
  return lower(password) == lower(account) ? "is the name of the account" : "";
}

// ---- what log_in.cc uses, too ----

std::string name_hash(std::string_view expression) {
  return fmt::format("encode(sha256(convert_to(lower({}), 'UTF8')), 'hex')", expression);
}

std::string account_columns() {
  return fmt::format(
      "a.id, a.name, a.role, a.disabled, a.version, {}, {},"
      " CASE WHEN f.locked_until > now() THEN {} END",
      time_text("a.created_at"), time_text("a.last_login_at"), time_text("f.locked_until"));
}

std::string account_tables() {
  return fmt::format("account a LEFT JOIN login_failure f ON f.name_hash = {}",
                     name_hash("a.name"));
}

AccountRow account_of(const postgres::Rows& rows, int row) {
  AccountRow account;
  account.id = rows.text(row, 0);
  account.name = rows.text(row, 1);
  account.role = rows.text(row, 2);
  account.disabled = rows.boolean(row, 3);
  account.version = rows.integer(row, 4);
  account.shown = {{"id", account.id},
                   {"name", account.name},
                   {"role", account.role},
                   {"disabled", account.disabled},
                   {"version", account.version},
                   {"created_at", rows.text(row, 5)},
                   {"last_login_at", text_or_null(rows, row, 6)},
                   {"locked_until", text_or_null(rows, row, 7)}};
  return account;
}

std::optional<AccountRow> read_account(Transaction& transaction, std::string_view condition,
                                       const std::string& value, bool lock) {
  const auto rows =
      transaction.run(fmt::format("SELECT {} FROM {} WHERE {}{}", account_columns(),
                                  account_tables(), condition, lock ? " FOR UPDATE OF a" : ""),
                      {value});
  if (rows.size() == 0) return std::nullopt;
  return account_of(rows, 0);
}

void end_sessions(Transaction& transaction, const std::string& account_id, const std::string& but) {
  transaction.run("DELETE FROM session WHERE account_id = $1 AND hash <> $2", {account_id, but});
}

void unlock(Transaction& transaction, const std::string& name) {
  transaction.run(
      fmt::format("DELETE FROM login_failure WHERE name_hash = {}", name_hash("$1::text")), {name});
}

Answer<std::string> hash_of(const std::string& password) {
  auto hash = hash_password(password);
  if (hash.empty()) return refuse("busy", "there is no memory to hash the password with");
  return hash;
}

// ---- accounts ----

Answer<std::optional<std::string>> Access::make_admin(bool again) {
  using Made = std::optional<std::string>;
  auto present = database_.transact([](Transaction& transaction) -> Answer<bool> {
    return transaction.run("SELECT 1 FROM account LIMIT 1").size() > 0;
  });
  if (!present) return tl::unexpected(present.error());
  if (*present && !again) return Made();
  const std::string password = random_token().substr(0, 24);
  const auto hash = hash_of(password);
  if (!hash) return tl::unexpected(hash.error());
  return database_.transact([&](Transaction& transaction) -> Answer<Made> {
    transaction.run("LOCK TABLE account IN SHARE ROW EXCLUSIVE MODE");
    const auto accounts = transaction.run("SELECT 1 FROM account LIMIT 1");
    if (accounts.size() > 0 && !again) return Made();  // another process was first
    transaction.run(
        "INSERT INTO account AS a (id, name, role, password_hash) VALUES ($1, 'admin', 'admin', $2)"
        " ON CONFLICT (lower(name)) DO UPDATE SET role = 'admin', password_hash = $2,"
        " disabled = false, version = a.version + 1",
        {random_id("acct"), *hash});
    const auto admin = read_account(transaction, "lower(a.name) = $1", "admin");
    if (!admin) return Made();
    unlock(transaction, "admin");
    end_sessions(transaction, admin->id);
    const bool made = admin->version == 1;
    Events::add(transaction,
                {.type = made ? "account.created" : "account.changed",
                 .subject = admin->subject(),
                 .message = made ? "The first administrator was made: \"admin\""
                                 : "\"admin\" was given a new password by sluice serve --init",
                 .data = made ? boost::json::object{{"role", "admin"}}
                              : boost::json::object{{"keys", boost::json::array{"password"}}}});
    Caller caller;
    caller.account = "sluice serve --init";
    Events::audit(
        transaction, caller,
        {.operation = "account.make_admin", .subject = admin->subject(), .after = kept(*admin)});
    return Made(password);
  });
}

Answer<boost::json::object> Access::me(const Caller& caller) {
  auto found = account(caller.account_id);
  if (!found) return found;
  (*found)["role"] = caller.role;  // of a token: what it may do
  (*found)["by"] = caller.token_id.empty() ? "session" : "token";
  if (caller.token_id.empty()) {
    (*found)["csrf_token"] = caller.csrf_token;
  } else {
    (*found)["token_id"] = caller.token_id;
  }
  return found;
}

Answer<boost::json::object> Access::accounts(const Page& page) {
  return database_.transact([&](Transaction& transaction) -> Answer<boost::json::object> {
    return read_list(
        transaction, page,
        {.columns = account_columns(),
         .tables = account_tables(),
         .condition = "true",
         .name = "lower(a.name)",
         .id = "a.id",
         .searched = "a.name",
         .parameters = {}},
        [](const postgres::Rows& rows, int row) { return account_of(rows, row).shown; });
  });
}

Answer<boost::json::object> Access::account(const std::string& id) {
  return database_.transact([&](Transaction& transaction) -> Answer<boost::json::object> {
    auto found = read_account(transaction, "a.id = $1", id);
    if (!found) return not_found("account", id);
    return std::move(found->shown);
  });
}

Answer<boost::json::object> Access::create_account(const Caller& caller,
                                                   const boost::json::object& body) {
  Body reader(body);
  const auto name = reader.name("name", true);
  const auto role = reader.choice("role", {"viewer", "operator", "admin"}, true);
  const auto password =
      reader.text("password", {.min = kLeastPassword, .max = kMostPassword}, true);
  if (name && password) {
    auto mistake = password_mistake(*password, *name);
    if (!mistake.empty()) reader.wrong("password", std::move(mistake));
  }
  if (auto good = reader.finish(); !good) return tl::unexpected(good.error());
  const auto hash = hash_of(*password);
  if (!hash) return tl::unexpected(hash.error());
  const std::string id = random_id("acct");
  return database_.transact([&](Transaction& transaction) -> Answer<boost::json::object> {
    const auto count = transaction.run("SELECT count(*) FROM account");
    if (count.size() > 0 && count.integer(0, 0) >= kMostAccounts) {
      return refuse("quota_reached", fmt::format("there are {} accounts", kMostAccounts),
                    "Delete accounts that are no longer needed.");
    }
    const auto inserted = transaction.run(
        "INSERT INTO account (id, name, role, password_hash) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (lower(name)) DO NOTHING",
        {id, *name, *role, *hash});
    if (inserted.affected() != 1) {
      return refuse("name_taken", fmt::format("there is an account \"{}\"", *name));
    }
    // Wrong passwords that were tried for the name before there was an account.
    unlock(transaction, *name);
    auto made = read_account(transaction, "a.id = $1", id);
    if (!made) return not_found("account", id);
    Events::add(transaction, {.type = "account.created",
                              .subject = made->subject(),
                              .message = fmt::format("{} made account \"{}\" with the role {}",
                                                     caller.account, *name, *role),
                              .data = {{"role", *role}}});
    Events::audit(
        transaction, caller,
        {.operation = "account.create", .subject = made->subject(), .after = kept(*made)});
    return std::move(made->shown);
  });
}

Answer<boost::json::object> Access::edit_account(const Caller& caller, const std::string& id,
                                                 std::optional<std::int64_t> version,
                                                 const boost::json::object& body) {
  Body reader(body);
  const auto role = reader.choice("role", {"viewer", "operator", "admin"});
  const auto disabled = reader.flag("disabled");
  const auto password = reader.text("password", {.min = kLeastPassword, .max = kMostPassword});
  if (auto good = reader.finish(); !good) return tl::unexpected(good.error());
  Parameter hash;
  if (password) {
    auto made = hash_of(*password);
    if (!made) return tl::unexpected(made.error());
    hash = std::move(*made);
  }
  return database_.transact([&](Transaction& transaction) -> Answer<boost::json::object> {
    const int admins = count_admins(transaction);
    const auto before = read_account(transaction, "a.id = $1", id, true);
    if (!before) return not_found("account", id);
    if (is_stale(version, before->version)) return refuse_stale(*before);
    AccountRow wanted = *before;
    if (role) wanted.role = *role;
    if (disabled) wanted.disabled = *disabled;
    if (before->is_enabled_admin() && !wanted.is_enabled_admin() && admins < 2) {
      return refuse_last_admin(*before);
    }
    if (password) {
      auto mistake = password_mistake(*password, before->name);
      if (!mistake.empty()) return refuse_field("password", std::move(mistake));
    }
    boost::json::array keys;
    if (wanted.role != before->role) keys.push_back("role");
    if (wanted.disabled != before->disabled) keys.push_back("disabled");
    if (password) keys.push_back("password");
    if (keys.empty()) return before->shown;
    transaction.run(
        "UPDATE account SET role = $2, disabled = $3, password_hash = coalesce($4, password_hash),"
        " version = version + 1 WHERE id = $1",
        {id, wanted.role, wanted.disabled ? "true" : "false", hash});
    end_sessions(transaction, id);
    if (password) unlock(transaction, before->name);
    auto after = read_account(transaction, "a.id = $1", id);
    if (!after) return not_found("account", id);
    boost::json::object kept_after = kept(*after);
    if (password) kept_after["password"] = "changed";
    Events::add(transaction,
                {.type = "account.changed",
                 .subject = after->subject(),
                 .message = fmt::format("{} changed account \"{}\": {}", caller.account,
                                        after->name, boost::json::serialize(keys)),
                 .data = {{"keys", keys}}});
    Events::audit(transaction, caller,
                  {.operation = "account.edit",
                   .subject = after->subject(),
                   .before = kept(*before),
                   .after = std::move(kept_after)});
    return std::move(after->shown);
  });
}

Answer<bool> Access::delete_account(const Caller& caller, const std::string& id,
                                    std::optional<std::int64_t> version) {
  return database_.transact([&](Transaction& transaction) -> Answer<bool> {
    const int admins = count_admins(transaction);
    const auto before = read_account(transaction, "a.id = $1", id, true);
    if (!before) return not_found("account", id);
    if (is_stale(version, before->version)) return refuse_stale(*before);
    if (before->is_enabled_admin() && admins < 2) return refuse_last_admin(*before);
    unlock(transaction, before->name);
    transaction.run("DELETE FROM account WHERE id = $1", {id});  // its log-ins and tokens, too
    Events::add(transaction, {.type = "account.deleted",
                              .subject = before->subject(),
                              .message = fmt::format("{} deleted account \"{}\"", caller.account,
                                                     before->name)});
    Events::audit(
        transaction, caller,
        {.operation = "account.delete", .subject = before->subject(), .before = kept(*before)});
    return true;
  });
}

// ---- tokens ----

Answer<boost::json::object> Access::tokens(const Caller& caller, const Page& page) {
  const bool all = role_of(caller.role) == Role::kAdmin;
  return database_.transact([&](Transaction& transaction) -> Answer<boost::json::object> {
    return read_list(transaction, page,
                     {.columns = token_columns(),
                      .tables = kTokenTables,
                      .condition = all ? "($1 = '' OR true)" : "t.account_id = $1",
                      .name = "lower(t.name)",
                      .id = "t.id",
                      .searched = "t.name || ' ' || a.name",
                      .parameters = {caller.account_id}},
                     token_of);
  });
}

Answer<boost::json::object> Access::create_token(const Caller& caller,
                                                 const boost::json::object& body) {
  Body reader(body);
  const auto name = reader.text("name", {.min = 1, .max = 64}, true);
  const auto role = reader.choice("role", {"viewer", "operator", "admin"}, true);
  auto days = reader.integer("expires_in_days", 1, 3650);
  if (!reader.has("expires_in_days")) days = kUsualTokenDays;
  if (role && role_of(*role) > role_of(caller.role)) {
    reader.wrong("role", fmt::format("is above yours, {}", caller.role));
  }
  if (auto good = reader.finish(); !good) return tl::unexpected(good.error());
  const std::string secret = "slc_" + random_token();
  const std::string id = random_id("tok");
  return database_.transact([&](Transaction& transaction) -> Answer<boost::json::object> {
    // The row is locked, so that the count holds.
    transaction.run("SELECT 1 FROM account WHERE id = $1 FOR UPDATE", {caller.account_id});
    const auto count =
        transaction.run("SELECT count(*) FROM token WHERE account_id = $1", {caller.account_id});
    if (count.size() > 0 && count.integer(0, 0) >= kMostTokens) {
      return refuse("quota_reached", fmt::format("this account has {} tokens", kMostTokens),
                    "Revoke tokens that are no longer needed.");
    }
    // A token that ends makes none that outlives it; what is not asked for ends with it.
    const auto inserted = transaction.run(
        "INSERT INTO token (id, hash, name, role, account_id, expires_at)"
        " SELECT $1, $2, $3, $4, $5, CASE WHEN $8 = 'usual' THEN least(wanted, most) ELSE wanted "
        "END"
        " FROM (SELECT now() + $6::interval AS wanted,"
        " (SELECT expires_at FROM token WHERE id = $7) AS most) AS ends"
        " WHERE $8 = 'usual' OR most IS NULL OR wanted <= most",
        {id, token_hash(secret), *name, *role, caller.account_id,
         days ? Parameter(fmt::format("{} days", *days)) : Parameter(), caller.token_id,
         reader.has("expires_in_days") ? "asked" : "usual"});
    if (!transaction.failed() && inserted.affected() != 1) {
      return refuse_field("expires_in_days", "ends after the token that asks for it");
    }
    const auto rows = transaction.run(
        fmt::format("SELECT {} FROM {} WHERE t.id = $1", token_columns(), kTokenTables), {id});
    if (rows.size() == 0) return not_found("token", id);
    auto shown = token_of(rows, 0);
    Events::add(transaction, {.type = "token.created",
                              .subject = {"account", caller.account_id, caller.account},
                              .message = fmt::format("{} made token {} with the role {}",
                                                     caller.account, id, *role),
                              .data = {{"role", *role}, {"token", id}}});
    Events::audit(transaction, caller,
                  {.operation = "token.create", .subject = {"token", id, *name}, .after = shown});
    shown["token"] = secret;
    return shown;
  });
}

Answer<bool> Access::revoke_token(const Caller& caller, const std::string& id) {
  const bool all = role_of(caller.role) == Role::kAdmin;
  return database_.transact([&](Transaction& transaction) -> Answer<bool> {
    const auto rows = transaction.run(
        fmt::format("SELECT {} FROM {} WHERE t.id = $1 AND ({} OR t.account_id = $2)"
                    " FOR UPDATE OF t",
                    token_columns(), kTokenTables, all ? "true" : "false"),
        {id, caller.account_id});
    if (rows.size() == 0) return not_found("token", id);
    transaction.run("DELETE FROM token WHERE id = $1", {id});
    Events::add(
        transaction,
        {.type = "token.revoked",
         .subject = {"account", std::string(rows.text(0, 3)), std::string(rows.text(0, 4))},
         .message = fmt::format("{} revoked token {} of {}", caller.account, id, rows.text(0, 4)),
         .data = {{"token", id}}});
    Events::audit(transaction, caller,
                  {.operation = "token.revoke",
                   .subject = {"token", id, std::string(rows.text(0, 1))},
                   .before = token_of(rows, 0)});
    return true;
  });
}

}  // namespace sluice::control
