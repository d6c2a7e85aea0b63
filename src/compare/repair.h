// Repair: rows of the target are made as the source has them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "compare/match.h"
#include "compare/table.h"
#include "postgres/catalog.h"
#include "postgres/connection.h"

namespace sluice::compare {

struct Repaired {
  std::int64_t inserted = 0;
  std::int64_t updated = 0;
  std::int64_t deleted = 0;
};

// One transaction on `target`: the table is locked against all other writers, the rows of these
// keys are read from the source, and only then written; those that the source has no more are
// deleted. So a task that runs meanwhile has either applied a change before the lock, and the read
// finds it, or applies it afterwards. Columns that `match` does not name keep what they have, or
// get their default. Generated columns are left to PostgreSQL. On an error nothing was written.
Result<Repaired> repair(postgres::Connection& target, const postgres::TableInfo& table, bool utf8,
                        const Match& match, Table& source, const std::vector<Key>& keys);

}  // namespace sluice::compare
