// The parts of a plan that are SQL: temporary tables and what may be said of keys by their bytes.
// Internal to plan*.cc.
#pragma once

#include <string>
#include <vector>

#include "sink/plan.h"

namespace sluice::sink {

// `key`: the names of its columns. Everything else of the plan is there.
void add_sql(Plan& plan, const std::vector<std::string>& key);

}  // namespace sluice::sink
