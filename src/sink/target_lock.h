// The targets of a batch: locked for the transaction, then compared with what their plans were
// compiled from. Text only, nothing is run here.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "postgres/connection.h"
#include "sink/batch.h"

namespace sluice::sink {

// Tables that messages of the batch are of, by number; those without rows too, since a failure may
// be the old plan's. The only table of a task always counts.
std::vector<std::size_t> used_tables(const Batch& batch);

// The tables' locks, then two results for each: what altered_among() looks at.
// A TRUNCATE in the batch takes its lock at once: two sessions that have the weaker one would wait
// for each other.
std::string lock_sql(const Batch& batch, const std::vector<std::size_t>& tables);

// The first of `tables` that is not what its plan was compiled from: altered, or another one has
// its name. `rows`: the results of lock_sql(), last of all.
std::optional<std::size_t> altered_among(const Batch& batch, const std::vector<std::size_t>& tables,
                                         const std::vector<postgres::Rows>& rows);

}  // namespace sluice::sink
