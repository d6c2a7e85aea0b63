#include "sink/mirror_key.h"

#include <algorithm>

namespace sluice::sink {

std::vector<std::string> mirror_key(const postgres::TableInfo& table) {
  std::vector<std::vector<std::string>> found;
  for (const auto& index : table.unique_indexes) {
    if (index.primary) return index.columns;
    const bool whole =
        index.unusable.empty() && index.expressions.empty() &&
        std::all_of(index.columns.begin(), index.columns.end(), [&](const auto& name) {
          const postgres::ColumnInfo* column = table.find(name);
          return column != nullptr && column->not_null;
        });
    if (whole) found.push_back(index.columns);
  }
  return found.size() == 1 ? found.front() : std::vector<std::string>();
}

}  // namespace sluice::sink
