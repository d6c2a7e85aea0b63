// Finds out what listens on a port that closed libpq's connection without a word. Internal to
// `postgres`.
#pragma once

#include <string>

#include "postgres/connection_impl.h"

namespace sluice::postgres {

enum class Speaks : std::uint8_t {
  kPostgres,       // answers an SSLRequest as PostgreSQL and its poolers do
  kSomethingElse,  // stays open until it is spoken to, and does not know the protocol; or speaks
                   // first
  kNothing,  // closes at once (a proxy or load balancer without a server behind it), or unknown
};

// Opens a connection of its own to `address` (numeric) and `port`. Ends by `until`, at most about a
// second after it began. Waits through `impl`, whose link must be closed.
Async<Speaks> probe(Connection::Impl& impl, std::string address, std::string port,
                    std::optional<SteadyTime> until);

}  // namespace sluice::postgres
