// Access: accounts, log-ins, tokens: who a caller is. What a role may do is server/operations.
//
// Thread-safe.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/database.h"
#include "control/events.h"
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

class Access {
 public:
  Access(Database& database, const Settings& settings) : database_(database), settings_(settings) {}

  // The first administrator. Nothing if there are accounts already, unless `again`: then the
  // account `admin` gets a new password, is unlocked, and its log-ins end. Returns the password.
  Answer<std::optional<std::string>> make_admin(bool again);

  // After `kPatientFailures` wrong passwords in a row each further one locks the account for twice
  // as long as the one before, up to 15 minutes: locked_out with `retry_after` in more. The answer
  // and its time do not tell whether the account exists.
  Answer<LogIn> log_in(const std::string& name, const std::string& password,
                       const std::string& address, const std::string& request_id);
  void log_out(const Caller& caller);
  // Of a cookie; `csrf` is compared where the request changes something (`changes`).
  Answer<Caller> by_session(const std::string& session, bool changes,
                            const std::optional<std::string>& csrf);
  Answer<Caller> by_token(const std::string& token);

  // JSON as the API shows them. Bodies are those of the API.
  Answer<boost::json::object> me(const Caller& caller);
  Answer<bool> change_password(const Caller& caller, const boost::json::object& body);
  Answer<boost::json::array> accounts();
  Answer<boost::json::object> account(const std::string& id);
  Answer<boost::json::object> create_account(const Caller& caller, const boost::json::object& body);
  Answer<boost::json::object> edit_account(const Caller& caller, const std::string& id,
                                           const boost::json::object& body);
  Answer<bool> delete_account(const Caller& caller, const std::string& id);
  // One's own; an administrator sees everybody's.
  Answer<boost::json::array> tokens(const Caller& caller);
  Answer<boost::json::object> create_token(const Caller& caller, const boost::json::object& body);
  Answer<bool> revoke_token(const Caller& caller, const std::string& id);

 private:
  Database& database_;
  const Settings& settings_;
};

}  // namespace sluice::control
