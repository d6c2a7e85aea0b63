// By which columns a mirror finds its rows where the task does not say it.
#pragma once

#include <string>
#include <vector>

#include "postgres/catalog.h"

namespace sluice::sink {

// The primary key, or else the only unique index that can identify a row; empty if there is none.
std::vector<std::string> mirror_key(const postgres::TableInfo& table);

}  // namespace sluice::sink
