// The classes of failure and the phases in which something can fail. Modules report Errors; the one
// table that maps (domain, code, phase) to a class is pipeline/failure.cc, because the answer
// depends on the phase. `sink` asks it through a Classify function.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace sluice {

enum class FailureClass : std::uint8_t {
  kEnvironment,  // wait and retry with backoff; never a dead letter, never a lost row
  kConflict,     // retry the batch at once, a few times, then with backoff
  kPlan,         // read the catalog again, compile anew, retry; the same once more: fatal
  kInDoubt,      // the answer to COMMIT is missing: reconnect, read the ledger
  kData,         // isolate the message, apply the failure policy, write the rest
  kFatal,        // stop, with the remedy
};
std::string_view name_of(FailureClass failure_class);

enum class Phase : std::uint8_t {
  kConnect,  // PostgreSQL: reaching the server and logging in
  kOpen,     // BEGIN, locks, ledger rows, signature
  kWrite,    // rows, dead letters, constraints
  kAlter,    // DDL that gives a mirror's table what its messages ask for
  kMove,     // the ledger's update
  kCommit,   // COMMIT itself
  kRead,     // the catalog, positions
  kKafka,    // anything of Kafka
};
std::string_view name_of(Phase phase);

using Classify = FailureClass (*)(const Error& error, Phase phase);

}  // namespace sluice
