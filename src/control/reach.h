// Reach: whether a server can be found and spoken to at all: name resolution and TCP, each within a
// time of its own, before a client library is asked.
//
// Blocking; any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace sluice::control {

struct Address {
  std::string text;  // "10.0.0.1", "2001:db8::1"
  std::string port;
};

// The addresses of a host; the system's resolver is left behind when it does not answer in time.
// Errors of domain kInternal, code "name": with message and remedy.
Result<std::vector<Address>> resolve(const std::string& host, const std::string& port,
                                     std::chrono::milliseconds time);

// Opens a TCP connection to the first address that takes one, and closes it; they share the time.
// Returns its place. Errors of domain kInternal, code "refused", "timeout" or "unreachable".
Result<std::size_t> try_tcp(const std::vector<Address>& addresses, std::chrono::milliseconds time);

}  // namespace sluice::control
