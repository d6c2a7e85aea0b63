#include "mariadb/connection.h"

#include <fmt/format.h>
#include <mysql.h>

#include <charconv>

#include "base/hex.h"

namespace sluice::mariadb {

struct Connection::Impl {
  MYSQL* handle = nullptr;
  ~Impl() { mysql_close(handle); }
};

namespace {

Error error_of(MYSQL* handle, std::string_view what) {
  Error error;
  error.domain = Domain::kMariadb;
  error.code = std::to_string(mysql_errno(handle));
  error.message = fmt::format("{}: {}", what, mysql_error(handle));
  return error;
}

tl::unexpected<Error> bad_uri(std::string_view what) {
  return fail(Domain::kCommandLine, "--against", fmt::format("--against: {}", what),
              "Write mysql://USER@HOST:PORT/DATABASE; signs such as @ / : % in a password are "
              "written %40 %2F %3A %25.");
}

// sslmode=verify-full&sslrootcert=FILE
Result<bool> read_parameters(std::string_view query, Address& address) {
  while (!query.empty()) {
    const std::string_view one = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), one.size() + 1));
    const std::size_t equals = one.find('=');
    const std::string_view name = one.substr(0, equals);
    const std::string value =
        equals == std::string_view::npos ? "" : percent_decoded(one.substr(equals + 1));
    if (name == "socket") {
      address.socket = value;
    } else if (name == "sslrootcert") {
      address.authority = value;
    } else if (name == "sslmode" && (value == "require" || value == "verify-full")) {
      address.tls = true;
      address.verify = value == "verify-full";
    } else if (name != "sslmode" || value != "disable") {
      return bad_uri("a parameter of the URI is not known");
    }
  }
  return true;
}

}  // namespace

bool is_uri(std::string_view text) {
  return text.starts_with("mysql://") || text.starts_with("mariadb://");
}

Result<Address> parse_uri(std::string_view uri) {
  Address address;
  std::string_view rest = uri.substr(uri.find("://") + 3);
  if (const std::size_t at = rest.find('?'); at != std::string_view::npos) {
    if (auto read = read_parameters(rest.substr(at + 1), address); !read) {
      return fail(read.error());
    }
    rest = rest.substr(0, at);
  }
  const std::size_t slash = rest.find('/');
  if (slash == std::string_view::npos || slash + 1 == rest.size()) {
    return bad_uri("the URI names no database");
  }
  address.database = percent_decoded(rest.substr(slash + 1));
  rest = rest.substr(0, slash);
  if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos) {
    const std::string_view user = rest.substr(0, at);
    const std::size_t colon = std::min(user.find(':'), user.size());
    address.user = percent_decoded(user.substr(0, colon));
    if (colon < user.size()) address.password = percent_decoded(user.substr(colon + 1));
    rest = rest.substr(at + 1);
  }
  if (const std::size_t colon = rest.rfind(':');
      colon != std::string_view::npos && rest.find(']', colon) == std::string_view::npos) {
    const std::string_view port = rest.substr(colon + 1);
    const auto [end, bad] = std::from_chars(port.data(), port.data() + port.size(), address.port);
    if (bad != std::errc() || end != port.data() + port.size() || address.port > 65535) {
      return bad_uri("the URI's port is no number");
    }
    rest = rest.substr(0, colon);
  }
  if (rest.starts_with('[') && rest.ends_with(']')) rest = rest.substr(1, rest.size() - 2);
  address.host = rest.empty() ? "localhost" : percent_decoded(rest);
  return address;
}

Connection::Connection(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Connection::~Connection() = default;

Result<std::unique_ptr<Connection>> Connection::open(const Address& address,
                                                     std::chrono::seconds connect_timeout) {
  auto impl = std::make_unique<Impl>();
  MYSQL* handle = impl->handle = mysql_init(nullptr);
  const auto seconds = static_cast<unsigned>(connect_timeout.count());
  mysql_options(handle, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
  mysql_options(handle, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  const my_bool tls = address.tls ? 1 : 0;
  const my_bool verify = address.verify ? 1 : 0;
  mysql_options(handle, MYSQL_OPT_SSL_ENFORCE, &tls);
  mysql_options(handle, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
  if (!address.authority.empty()) {
    mysql_options(handle, MYSQL_OPT_SSL_CA, address.authority.c_str());
  }
  if (mysql_real_connect(handle, address.host.c_str(), address.user.c_str(),
                         address.password.c_str(), address.database.c_str(), address.port,
                         address.socket.empty() ? nullptr : address.socket.c_str(), 0) == nullptr) {
    Error error = error_of(handle, fmt::format("{}:{}", address.host, address.port));
    error.remedy = "Is the server there, and may this user log in from here?";
    return fail(std::move(error));
  }
  std::unique_ptr<Connection> connection(new Connection(std::move(impl)));
  auto set = connection->query(
      "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES', time_zone = '+00:00', "
      "tx_isolation = 'REPEATABLE-READ', tx_read_only = 1");
  if (!set && set.error().code == "1193") {  // MySQL 8 has other names for the last two
    set = connection->query(
        "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES', time_zone = '+00:00', "
        "transaction_isolation = 'REPEATABLE-READ', transaction_read_only = 1");
  }
  if (!set) return fail(set.error());
  return connection;
}

Result<Rows> Connection::query(const std::string& sql) {
  MYSQL* handle = impl_->handle;
  if (mysql_real_query(handle, sql.data(), sql.size()) != 0) {
    return fail(error_of(handle, "the server refused a question"));
  }
  Rows rows;
  MYSQL_RES* result = mysql_store_result(handle);
  if (result == nullptr) {
    if (mysql_field_count(handle) == 0) return rows;
    return fail(error_of(handle, "an answer broke off"));
  }
  const unsigned width = mysql_num_fields(result);
  while (MYSQL_ROW row = mysql_fetch_row(result)) {
    const unsigned long* lengths = mysql_fetch_lengths(result);
    auto& values = rows.emplace_back();
    for (unsigned i = 0; i < width; ++i) {
      if (row[i] == nullptr) {
        values.emplace_back(std::nullopt);
      } else {
        values.emplace_back(std::string(row[i], lengths[i]));
      }
    }
  }
  mysql_free_result(result);
  return rows;
}

namespace {

std::string doubled(std::string_view text, char quote) {
  std::string result(1, quote);
  for (const char c : text) {
    if (c == quote) result += c;
    result += c;
  }
  return result + quote;
}

}  // namespace

std::string Connection::literal(std::string_view text) { return doubled(text, '\''); }
std::string Connection::identifier(std::string_view name) { return doubled(name, '`'); }

}  // namespace sluice::mariadb
