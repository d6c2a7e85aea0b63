// Access: log-ins, sessions, and what a request is known by.
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "control/access_rows.h"
#include "control/body.h"
#include "control/secrets.h"

namespace sluice::control {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t kLongestLock = 15 * 60;
constexpr std::int64_t kMostCounted = 1000;  // of failures
constexpr int kMostSessions = 50;            // of one account
constexpr std::string_view kToken = "slc_";

std::string seconds_text(std::chrono::seconds time) { return fmt::format("{} s", time.count()); }

// Seen at most once a minute, or four times in the time that a log-in may idle.
std::chrono::seconds seen_every(std::chrono::seconds idle) { return std::min(60s, idle / 4); }

// One of a few at once, while it lives.
class Turn {
 public:
  Turn(std::atomic<int>& count, int most) : count_(count), given_(++count <= most) {}
  ~Turn() { --count_; }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  explicit operator bool() const { return given_; }

 private:
  std::atomic<int>& count_;
  const bool given_;
};

tl::unexpected<Problem> refuse_for(std::string_view code, std::string detail,
                                   std::int64_t seconds) {
  Problem problem{std::string(code), std::move(detail)};
  problem.more["retry_after"] = seconds;
  return refuse(std::move(problem));
}

// Refused while the name is locked.
std::optional<Problem> lock_of(Transaction& transaction, const std::string& name) {
  const auto rows = transaction.run(
      fmt::format("SELECT ceil(extract(epoch FROM locked_until - clock_timestamp()))::bigint"
                  " FROM login_failure WHERE name_hash = {} AND locked_until > clock_timestamp()",
                  name_hash("$1::text")),
      {name});
  if (rows.size() == 0) return std::nullopt;
  const auto seconds = std::max<std::int64_t>(1, rows.integer(0, 0));
  return refuse_for("locked_out", fmt::format("log-ins of this user are locked for {} s", seconds),
                    seconds)
      .value();
}

tl::unexpected<Problem> refuse_login() {
  return refuse("login_refused", "the user or the password is wrong");
}

}  // namespace

std::int64_t lock_seconds(std::int64_t failures) {
  if (failures <= kPatientFailures) return 0;
  const auto doublings = std::min<std::int64_t>(failures - kPatientFailures - 1, 10);
  return std::min(std::int64_t{1} << doublings, kLongestLock);
}

std::string csrf_token_of(std::string_view session) {
  return token_hash(fmt::format("csrf {}", session));
}

struct Access::Known {
  AccountRow account;
  std::string hash;
};

// The lock is looked at before and after the password: several at once are not several guesses.
Answer<Access::Known> Access::check_password(const std::string& name, const std::string& password,
                                             const std::string& address) {
  if (const auto seconds = wrong_.refuse(address)) {
    return refuse_for("too_many_requests", "too many wrong log-ins from this address", *seconds);
  }
  const Turn turn(checking_, std::max(1, settings_.http_threads / 2));
  if (!turn) {
    wrong_.give_back(address);
    return refuse_for("busy", "too many passwords are being checked", 1);
  }
  std::optional<AccountRow> account;
  std::string hash;
  auto read = database_.transact([&](Transaction& transaction) -> Answer<bool> {
    if (auto locked = lock_of(transaction, name)) return refuse(std::move(*locked));
    account = read_account(transaction, "lower(a.name) = lower($1)", name);
    const auto rows = transaction.run(
        "SELECT password_hash FROM account WHERE lower(name) = lower($1)"
        " AND NOT disabled AND password_hash IS NOT NULL",
        {name});
    hash = rows.size() > 0 ? rows.text(0, 0) : std::string_view();
    return true;
  });
  if (!read) {  // locked, most likely: no password was tried
    wrong_.give_back(address);
    return tl::unexpected(read.error());
  }
  const bool right = password_is(hash.empty() ? kDummyHash : std::string_view(hash), password);
  if (!right || hash.empty() || !account) {
    auto counted = count_failure(name, address);
    if (!counted) return tl::unexpected(counted.error());
    return refuse_login();
  }
  wrong_.give_back(address);
  return Known{std::move(*account), std::move(hash)};
}

Answer<bool> Access::count_failure(const std::string& name, const std::string& address) {
  return database_.transact([&](Transaction& transaction) -> Answer<bool> {
    const auto rows = transaction.run(
        fmt::format("INSERT INTO login_failure AS f (name_hash, failures) VALUES ({}, 1)"
                    " ON CONFLICT (name_hash) DO UPDATE SET at = now(), failures = CASE WHEN"
                    " f.at < now() - interval '1 day' THEN 1 ELSE least(f.failures + 1, {}) END"
                    " RETURNING failures, name_hash",
                    name_hash("$1::text"), kMostCounted),
        {name});
    const std::int64_t failures = rows.size() > 0 ? rows.integer(0, 0) : 0;
    const std::int64_t seconds = lock_seconds(failures);
    if (seconds == 0) return true;
    transaction.run(
        "UPDATE login_failure SET locked_until = clock_timestamp() + $2::interval"
        " WHERE name_hash = $1",
        {std::string(rows.text(0, 1)), seconds_text(std::chrono::seconds(seconds))});
    const auto account = read_account(transaction, "lower(a.name) = lower($1)", name);
    if (!account) return true;
    Events::add(
        transaction,
        {.type = "account.locked",
         .subject = account->subject(),
         .message = fmt::format("Account \"{}\" is locked for {} s after {} wrong passwords",
                                account->name, seconds, failures),
         .data = {{"failures", failures}, {"seconds", seconds}, {"address", address}}});
    return true;
  });
}

Answer<LogIn> Access::log_in(const std::string& name, const std::string& password,
                             const Caller& from) {
  auto known = check_password(name, password, from.address);
  if (!known) return tl::unexpected(known.error());
  const std::chrono::seconds lives = settings_.session_longest;
  LogIn log_in{
      .session = random_token(), .csrf = {}, .lives_seconds = lives.count(), .account = {}};
  log_in.csrf = csrf_token_of(log_in.session);
  return database_.transact([&](Transaction& transaction) -> Answer<LogIn> {
    if (auto locked = lock_of(transaction, name)) return refuse(std::move(*locked));
    const std::string& id = known->account.id;
    const auto updated = transaction.run(
        "UPDATE account SET last_login_at = now() WHERE id = $1 AND NOT disabled"
        " AND password_hash = $2",
        {id, known->hash});
    if (updated.affected() != 1) return refuse_login();
    unlock(transaction, name);
    transaction.run(
        "DELETE FROM session WHERE account_id = $1 AND hash NOT IN (SELECT hash FROM session"
        " WHERE account_id = $1 ORDER BY seen_at DESC LIMIT $2)",
        {id, std::to_string(kMostSessions - 1)});
    transaction.run(
        "INSERT INTO session (hash, account_id, address, expires_at)"
        " VALUES ($1, $2, $3, now() + $4::interval)",
        {token_hash(log_in.session), id, from.address, seconds_text(lives)});
    const auto account = read_account(transaction, "a.id = $1", id);
    if (!account) return refuse_login();
    Caller caller = from;
    caller.account_id = id;
    caller.account = account->name;
    Events::audit(transaction, caller,
                  {.operation = "account.log_in", .subject = account->subject()});
    log_in.account = account->shown;
    return log_in;
  });
}

Answer<bool> Access::log_out(const Caller& caller) {
  if (caller.session_hash.empty()) {
    return refuse("bad_request", "a token has no log-in to end",
                  "Revoke it with DELETE /api/v1/tokens/{id}.");
  }
  return database_.transact([&](Transaction& transaction) -> Answer<bool> {
    transaction.run("DELETE FROM session WHERE hash = $1", {caller.session_hash});
    Events::audit(transaction, caller,
                  {.operation = "account.log_out",
                   .subject = {"account", caller.account_id, caller.account}});
    return true;
  });
}

Answer<Caller> Access::by_session(const std::string& session, bool changes,
                                  const std::optional<std::string>& csrf) {
  Caller caller;
  caller.session_hash = token_hash(session);
  caller.csrf_token = csrf_token_of(session);
  const std::chrono::seconds idle = settings_.session_idle;
  auto known = database_.transact([&](Transaction& transaction) -> Answer<bool> {
    const auto rows = transaction.run(
        "SELECT a.id, a.name, a.role, s.seen_at < now() - $3::interval FROM session s"
        " JOIN account a ON a.id = s.account_id WHERE s.hash = $1 AND s.expires_at > now()"
        " AND s.seen_at > now() - $2::interval AND NOT a.disabled",
        {caller.session_hash, seconds_text(idle), seconds_text(seen_every(idle))});
    if (rows.size() == 0) return refuse("not_logged_in", "the log-in has ended");
    caller.account_id = rows.text(0, 0);
    caller.account = rows.text(0, 1);
    caller.role = rows.text(0, 2);
    if (rows.boolean(0, 3)) {
      transaction.run("UPDATE session SET seen_at = now() WHERE hash = $1", {caller.session_hash});
    }
    return true;
  });
  if (!known) return tl::unexpected(known.error());
  if (changes && !(csrf && is_same_secret(*csrf, caller.csrf_token))) {
    return refuse("bad_csrf_token", csrf ? "X-CSRF-Token is not that of this log-in"
                                         : "the header X-CSRF-Token is missing");
  }
  return caller;
}

Answer<Caller> Access::by_token(const std::string& token) {
  const auto unknown = [] {
    return refuse("not_logged_in", "the token is not known here, or was revoked");
  };
  if (!token.starts_with(kToken)) return unknown();
  return database_.transact([&](Transaction& transaction) -> Answer<Caller> {
    const auto rows = transaction.run(
        "SELECT a.id, a.name, a.role, t.role, t.id, t.expires_at <= now(), a.disabled,"
        " t.used_at IS NULL OR t.used_at < now() - interval '1 minute'"
        " FROM token t JOIN account a ON a.id = t.account_id WHERE t.hash = $1",
        {token_hash(token)});
    if (rows.size() == 0) return unknown();
    if (!rows.is_null(0, 5) && rows.boolean(0, 5)) {
      return refuse("not_logged_in", "the token has expired");
    }
    if (rows.boolean(0, 6)) return refuse("not_logged_in", "the token's account is disabled");
    Caller caller;
    caller.account_id = rows.text(0, 0);
    caller.account = rows.text(0, 1);
    caller.role = name_of(std::min(role_of(rows.text(0, 2)), role_of(rows.text(0, 3))));
    caller.token_id = rows.text(0, 4);
    if (rows.boolean(0, 7)) {
      transaction.run("UPDATE token SET used_at = now() WHERE id = $1", {caller.token_id});
    }
    return caller;
  });
}

bool Access::still_counts(const Caller& caller) {
  const bool token = !caller.token_id.empty();
  const std::string sql =
      token ? "SELECT a.role, t.role FROM token t JOIN account a ON a.id = t.account_id WHERE"
              " t.id = $1 AND (t.expires_at IS NULL OR t.expires_at > now()) AND NOT a.disabled"
            : "SELECT a.role, a.role FROM session s JOIN account a ON a.id = s.account_id WHERE"
              " s.hash = $1 AND s.expires_at > now() AND NOT a.disabled";
  auto counts = database_.transact([&](Transaction& transaction) -> Answer<bool> {
    const auto rows = transaction.run(sql, {token ? caller.token_id : caller.session_hash});
    return rows.size() > 0 &&
           std::min(role_of(rows.text(0, 0)), role_of(rows.text(0, 1))) >= role_of(caller.role);
  });
  return counts.value_or(true);
}

Answer<bool> Access::change_password(const Caller& caller, const boost::json::object& body) {
  Body reader(body);
  const auto present = reader.text("current_password", {.min = 1, .max = 128}, true);
  const auto wanted = reader.text("new_password", {.min = 1, .max = 128}, true);
  if (wanted) {
    auto mistake = password_mistake(*wanted, caller.account);
    if (!mistake.empty()) reader.wrong("new_password", std::move(mistake));
    if (wanted == present) reader.wrong("new_password", "is the current one");
  }
  if (auto good = reader.finish(); !good) return good;
  auto known = check_password(caller.account, *present, caller.address);
  if (!known) return tl::unexpected(known.error());
  auto hash = hash_of(*wanted);
  if (!hash) return tl::unexpected(hash.error());
  return database_.transact([&](Transaction& transaction) -> Answer<bool> {
    if (auto locked = lock_of(transaction, caller.account)) return refuse(std::move(*locked));
    const auto updated = transaction.run(
        "UPDATE account SET password_hash = $3, version = version + 1 WHERE id = $1"
        " AND password_hash = $2",
        {caller.account_id, known->hash, *hash});
    if (updated.affected() != 1) {
      return refuse("stale", "the account was changed at the same moment");
    }
    unlock(transaction, caller.account);
    end_sessions(transaction, caller.account_id, caller.session_hash);
    const Subject subject{"account", caller.account_id, caller.account};
    Events::add(transaction, {.type = "account.changed",
                              .subject = subject,
                              .message = fmt::format("\"{}\" has a new password", caller.account),
                              .data = {{"keys", boost::json::array{"password"}}}});
    Events::audit(transaction, caller,
                  {.operation = "account.change_password", .subject = subject});
    return true;
  });
}

}  // namespace sluice::control
