#include "base/result.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

namespace sluice {

std::string_view name_of(Domain domain) {
  switch (domain) {
    case Domain::kDocument:
      return "document";
    case Domain::kCommandLine:
      return "command line";
    case Domain::kFile:
      return "file";
    case Domain::kKafka:
      return "kafka";
    case Domain::kMariadb:
      return "mariadb";
    case Domain::kPostgres:
      return "postgres";
    case Domain::kMessage:
      return "message";
    case Domain::kLedger:
      return "ledger";
    case Domain::kInternal:
      return "internal";
  }
  return "internal";
}

std::string to_string(const Error& error) {
  std::string text = error.message;
  if (!error.code.empty() && error.domain != Domain::kDocument &&
      error.domain != Domain::kCommandLine) {
    text += fmt::format(" ({} {})", name_of(error.domain), error.code);
  }
  if (!error.remedy.empty()) {
    if (!text.empty() && text.back() != '.') text += '.';
    text += ' ';
    text += error.remedy;
  }
  return text;
}

void invariant_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "sluice: invariant does not hold: %s (%s:%d). Please report this.\n",
               expression, file, line);
  std::abort();
}

}  // namespace sluice
