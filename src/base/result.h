// Result and Error: how everything in Sluice that can fail says so.
//
// An Error is a report, not a decision: it names what failed (domain, code), where, and what to do
// about it. What happens next (retry, dead letter, stop) is decided in one table,
// pipeline/failure.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace sluice {

// Who reports. The meaning of Error::code depends on it.
enum class Domain : std::uint8_t {
  kDocument,     // code: path in the task document, for example "sync.columns[2].column"
  kCommandLine,  // code: the option
  kFile,         // code: the errno name, for example "ENOENT"
  kKafka,        // code: librdkafka's error name, for example "_ALL_BROKERS_DOWN"
  kMariadb,      // code: the error number
  kPostgres,     // code: SQLSTATE, or "connection" when the server gave none
  kMessage,      // code: one of message::ProblemCode's names, for example "not_json"
  kLedger,       // code: a verdict of the ledger, for example "ledger_lost"
  kInternal,     // code: an invariant that did not hold
};
std::string_view name_of(Domain domain);

struct Error {
  Domain domain = Domain::kInternal;
  std::string code;
  // One sentence for people: the thing, the place, what was found. Never a secret, and never a
  // payload or a row's values: those are in `detail`.
  std::string message;
  // What to do about it; may be empty.
  std::string remedy;
  // PostgreSQL's own words with DETAIL and CONTEXT (they can carry values of rows): kept with a
  // dead letter, never logged.
  std::string detail;
  // PostgreSQL only: what the error names. Empty if it names none.
  std::string column;
  std::string constraint;
  std::string source_function;  // the server's C function, for example "ExecWithCheckOptions"
  std::string severity;         // untranslated: ERROR, FATAL, PANIC
};

template <class T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(Error error) { return tl::unexpected<Error>(std::move(error)); }
inline tl::unexpected<Error> fail(Domain domain, std::string code, std::string message,
                                  std::string remedy = {}) {
  Error error;
  error.domain = domain;
  error.code = std::move(code);
  error.message = std::move(message);
  error.remedy = std::move(remedy);
  return tl::unexpected<Error>(std::move(error));
}

// "message (postgres 42P01). Remedy" on one line: the form in which errors are shown to people.
std::string to_string(const Error& error);

// Ends the process when an invariant does not hold, in every build: a wrong row is worse than none.
[[noreturn]] void invariant_failed(const char* expression, const char* file, int line);
#define SLUICE_CHECK(expression)                        \
  (static_cast<bool>(expression) ? static_cast<void>(0) \
                                 : ::sluice::invariant_failed(#expression, __FILE__, __LINE__))

}  // namespace sluice
