// Access: accounts, log-ins, tokens: who a caller is. What a role may do is the table of the
// server's operations.
//
// Passwords are kept as argon2id hashes, what a browser or a program holds as SHA-256. Thread-safe.
#pragma once

#include <atomic>
#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/buckets.h"
#include "control/database.h"
#include "control/events.h"
#include "control/page.h"
#include "control/problem.h"
#include "control/settings.h"

namespace sluice::control {

enum class Role : std::uint8_t { kNobody, kViewer, kOperator, kAdmin };
std::string_view name_of(Role role);
Role role_of(std::string_view name);  // of the table; anything else is nobody

struct LogIn {
  std::string session;  // for the cookie; kept nowhere
  std::string csrf;     // the console sends it back with every change
  std::int64_t lives_seconds = 0;
  boost::json::object account;
};

// After so many wrong passwords in a row each further one locks.
inline constexpr int kPatientFailures = 5;
// How long the last of `failures` wrong passwords in a row locks: 1 s, 2 s, 4 s, ... 15 minutes.
std::int64_t lock_seconds(std::int64_t failures);
// What the console sends back of a log-in. Made from its cookie, so that a page that was loaded
// anew can be told it again; the cookie does not follow from it.
std::string csrf_token_of(std::string_view session);
// Why `password` is none for an account of that name; empty: it is one.
std::string password_mistake(std::string_view password, std::string_view account);

class Access {
 public:
  Access(Database& database, const Settings& settings) : database_(database), settings_(settings) {}

  // The first administrator, `admin`. Nothing if there are accounts already, unless `again`: then
  // the account `admin` gets a new password, is enabled and unlocked, and its log-ins end. Returns
  // the password.
  Answer<std::optional<std::string>> make_admin(bool again);

  // Wrong passwords are counted for the name, whether there is such an account or not (locked_out,
  // with `retry_after` in more), and for the address (too_many_requests). Neither the answer nor
  // its time tells whether the account exists.
  Answer<LogIn> log_in(const std::string& name, const std::string& password, const Caller& from);
  // Errors: bad_request for a token, which has no log-in.
  Answer<bool> log_out(const Caller& caller);
  // Of a cookie; `csrf` is compared where the request changes something (`changes`).
  Answer<Caller> by_session(const std::string& session, bool changes,
                            const std::optional<std::string>& csrf);
  // Acts with the lower of the token's role and its account's.
  Answer<Caller> by_token(const std::string& token);
  // Whether the caller's log-in or token still counts with the role it had: for streams, which
  // outlive the request that opened them. True while the database is away.
  bool still_counts(const Caller& caller);

  // JSON as the API shows it. Bodies are those of the API; lists are {"items", "next_cursor",
  // "total"}.
  Answer<boost::json::object> me(const Caller& caller);
  Answer<bool> change_password(const Caller& caller, const boost::json::object& body);
  Answer<boost::json::object> accounts(const Page& page);
  Answer<boost::json::object> account(const std::string& id);
  Answer<boost::json::object> create_account(const Caller& caller, const boost::json::object& body);
  // A changed role or password, or disabling, ends the account's log-ins.
  Answer<boost::json::object> edit_account(const Caller& caller, const std::string& id,
                                           std::optional<std::int64_t> version,
                                           const boost::json::object& body);
  Answer<bool> delete_account(const Caller& caller, const std::string& id,
                              std::optional<std::int64_t> version);
  // One's own; an administrator sees everybody's.
  Answer<boost::json::object> tokens(const Caller& caller, const Page& page);
  // The answer's "token" is the secret, shown this once.
  Answer<boost::json::object> create_token(const Caller& caller, const boost::json::object& body);
  Answer<bool> revoke_token(const Caller& caller, const std::string& id);

 private:
  struct Known;
  // Whose password this is. Errors: login_refused, locked_out, too_many_requests, busy.
  Answer<Known> check_password(const std::string& name, const std::string& password,
                               const std::string& address);
  Answer<bool> count_failure(const std::string& name, const std::string& address);

  Database& database_;
  const Settings& settings_;
  // Wrong log-ins of one address: fifty at once, then one a second.
  Buckets wrong_{1, 50};
  std::atomic<int> checking_{0};  // passwords under way: each takes 64 MiB and 0.1 s
};

}  // namespace sluice::control
