// Connection strings as lists of parameters. Internal to `postgres`; no I/O.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "postgres/connection.h"

namespace sluice::postgres {

struct Parameter {
  std::string keyword;
  std::string value;
};
using Parameters = std::vector<Parameter>;

// What `conninfo` sets, in libpq's order of keywords. The error never shows a part of the text that
// may be a password.
Result<Parameters> parse_conninfo(std::string_view conninfo);

// Sets `keyword` unless it is set already; `replace` sets it in any case.
void set_parameter(Parameters& parameters, std::string_view keyword, std::string_view value,
                   bool replace = false);

// The number of hosts in the lists `host` and `hostaddr`; at least 1.
int host_count(const Parameters& parameters);
// Takes one host (as PQhost and PQport name it) out of the lists of host, hostaddr and port. False
// if it is not there or is the only one.
bool remove_host(Parameters& parameters, std::string_view host, std::string_view port);

// connect_timeout of all hosts together, which libpq leaves to those who do not block: seconds for
// each host, at least 2. Nothing if it is not set, or is set to wait for ever.
std::optional<std::chrono::seconds> connect_timeout_of(const Parameters& parameters);

Endpoint endpoint_of(const Parameters& parameters);

}  // namespace sluice::postgres
