// The control database's tables, by numbered migrations: forward only, each applied once, under a
// lock. docs/decisions/0016 says why they are SQL texts in the program.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::control {

struct Migration {
  int number = 0;            // 1, 2, ...
  std::string_view version;  // of Sluice, that brought it
  std::string_view sql;      // unqualified names: the search_path is the control schema
};
std::span<const Migration> migrations();

struct Migrated {
  int from = 0;  // 0: there was no schema
  int to = 0;
};
// Brings the schema in the database of `conninfo` to the newest migration; creates it if it is
// missing. Any number of processes may do so at once. Errors of domain kPostgres: the server's; a
// schema that is newer than this program (code "control_newer") or not ours ("control_foreign");
// no right to create it, with the GRANT. Blocking.
Result<Migrated> migrate(const std::string& conninfo, const std::string& schema);

}  // namespace sluice::control
