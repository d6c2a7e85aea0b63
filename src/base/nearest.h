// Names that somebody may have meant: for error messages.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice {

// Insertions, deletions, replacements and swaps of neighbours (bytes, letters of ASCII compared
// without case) that make one of the other. Names beyond 63 bytes are cut there.
int edit_distance(std::string_view a, std::string_view b);

// The largest distance at which a name of `length` bytes is still worth a suggestion.
int largest_distance(std::size_t length);

// The names near enough to `name` to be meant by it, nearest first, at most `limit`. `Names` is a
// range of anything that makes a std::string_view.
template <class Names>
std::vector<std::string> nearest(std::string_view name, const Names& names, std::size_t limit = 3) {
  std::vector<std::pair<int, std::string>> found;
  for (const auto& candidate : names) {
    const std::string_view text = candidate;
    const int distance = edit_distance(name, text);
    const std::size_t shorter = std::min(name.size(), text.size());
    if (distance <= std::max(1, largest_distance(shorter)) &&
        distance < static_cast<int>(text.size())) {
      found.emplace_back(distance, std::string(text));
    }
  }
  std::sort(found.begin(), found.end());
  if (found.size() > limit) found.resize(limit);
  std::vector<std::string> nearest_first;
  nearest_first.reserve(found.size());
  for (auto& [distance, candidate] : found) nearest_first.push_back(std::move(candidate));
  return nearest_first;
}

// "Did you mean "a", "b" or "c"?", or nothing.
std::string did_you_mean(std::string_view name, const std::vector<std::string>& known);

}  // namespace sluice
