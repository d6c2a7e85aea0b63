// Match: which column of the source is compared with which one of the target, and in what form. No
// I/O.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "compare/kind.h"
#include "postgres/catalog.h"

namespace sluice::compare {

struct SourceColumn {
  std::string name;
  // Of another database: the type of PostgreSQL that is next to the column's own.
  postgres::Type type;
};

struct Pair {
  std::string source, target;  // names of the columns
  postgres::Type source_type, target_type;
  Form form;
};

struct Match {
  std::vector<Pair> key;  // empty: rows are compared as a whole, by how many there are of each
  std::vector<Pair> values;
  std::vector<std::string> only_source, only_target;
  // Target columns of another kind than their source: their texts can differ for the same value.
  std::vector<std::string> by_text;
};

// Columns belong together that have the same name, or else names that differ in upper and lower
// case only. `key`: by which columns of the target a row is found; `ignored`: names of either side
// that are left out. Error, domain kDocument, if the source has no column for one of the key, or
// the two have none in common.
Result<Match> match(const std::vector<SourceColumn>& source, const postgres::TableInfo& target,
                    const std::vector<std::string>& key, const std::vector<std::string>& ignored);

}  // namespace sluice::compare
