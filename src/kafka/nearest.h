// Which names somebody may have meant.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::kafka {

// The candidates that are near enough to `name` to be a misspelling of it, nearest first, at most
// `limit`. Case does not count.
std::vector<std::string> nearest_names(std::string_view name,
                                       const std::vector<std::string>& candidates,
                                       std::size_t limit);

}  // namespace sluice::kafka
