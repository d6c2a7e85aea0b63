// What access.cc and log_in.cc share: an account as it is read and shown.
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "control/access.h"

namespace sluice::control {

// SQL: the key of login_failure for a name.
std::string name_hash(std::string_view expression);

struct AccountRow {
  std::string id, name, role;
  bool disabled = false;
  std::int64_t version = 0;
  boost::json::object shown;

  bool is_enabled_admin() const { return role == "admin" && !disabled; }
  Subject subject() const { return {"account", id, name}; }
};
// `condition` is SQL on account `a`; `lock`: FOR UPDATE.
std::optional<AccountRow> read_account(Transaction& transaction, std::string_view condition,
                                       const std::string& value, bool lock = false);
// The columns read_account and lists read, and one row of them.
std::string account_columns();
std::string account_tables();
AccountRow account_of(const postgres::Rows& rows, int row);

// Log-ins end, except that with the hash `but`.
void end_sessions(Transaction& transaction, const std::string& account_id,
                  const std::string& but = "");
// Its wrong passwords are forgotten.
void unlock(Transaction& transaction, const std::string& name);
// argon2id. Errors: busy, if memory is short.
Answer<std::string> hash_of(const std::string& password);

}  // namespace sluice::control
