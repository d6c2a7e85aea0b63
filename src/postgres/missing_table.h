// What to say when a table does not exist. Internal to `postgres`; no I/O.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "postgres/catalog.h"

namespace sluice::postgres {

struct Candidate {
  TableName name;
  bool visible = false;  // through search_path
};

// What is known about the place where `name` was looked for.
struct SearchedPlace {
  std::string database;
  std::string search_path;     // schemas, joined
  bool schema_exists = false;  // of a name with a schema
};

// Error 42P01: what was looked for and where, and up to three names that may be meant.
Error missing_table(const TableName& name, const SearchedPlace& place,
                    const std::vector<Candidate>& candidates);

}  // namespace sluice::postgres
