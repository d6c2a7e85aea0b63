// jdbc:postgresql:... as the PostgreSQL driver for Java (pgjdbc 42.7) takes it, and what of it
// libpq takes. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "connect/report.h"

namespace sluice::connect {

struct JdbcUrl {
  std::string hosts;     // host:port,host:port as written
  std::string database;  // as written, percent-encoded; empty: the driver's default
  std::vector<std::pair<std::string, std::string>> parameters;  // decoded
  bool had_user_info = false;  // something stood in front of an @: dropped, it may be a password
};

// Error: domain kDocument, code connection.url, for another database than PostgreSQL; it names the
// database's scheme and nothing else of the URL.
Result<JdbcUrl> parse_jdbc_url(std::string_view url);

// A parameter of the driver becomes one of libpq in `libpq` (values as they are, not encoded), or
// the reason why not is in `report` under `called`. user and password are not for here.
void take_parameter(std::string_view name, std::string_view value, std::string_view called,
                    std::map<std::string, std::string>& libpq, Report& report);

// For a URI: everything but letters, digits and -._~ as %XX. ${...} placeholders of Sluice stay.
std::string percent_encoded(std::string_view text);

}  // namespace sluice::connect
