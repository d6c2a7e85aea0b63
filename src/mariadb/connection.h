// Connection: one blocking connection to a MariaDB or MySQL server, for questions only. Third-party
// types stay inside. One thread.
//
// Errors: domain kMariadb, the server's or client's error number as code; a URI that cannot be
// read is of domain kCommandLine. No message has a password.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sluice::mariadb {

struct Address {
  std::string host, user, password, database, socket, authority;
  unsigned port = 3306;
  bool tls = false;     // refused without
  bool verify = false;  // the server's certificate and name
};

bool is_uri(std::string_view text);  // begins with mysql:// or mariadb://
// mysql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full&sslrootcert=FILE&socket=PATH;
// sslmode: disable, require, verify-full.
Result<Address> parse_uri(std::string_view uri);

using Rows = std::vector<std::vector<std::optional<std::string>>>;

class Connection {
 public:
  // The session is read-only, in UTC and UTF-8, without escapes in literals.
  static Result<std::unique_ptr<Connection>> open(const Address& address,
                                                  std::chrono::seconds connect_timeout);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Result<Rows> query(const std::string& sql);

  static std::string literal(std::string_view text);     // 'x'
  static std::string identifier(std::string_view name);  // `x`

 private:
  struct Impl;
  explicit Connection(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::mariadb
