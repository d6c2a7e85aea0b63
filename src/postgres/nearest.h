// How far two names are apart, for "did you mean". Internal to `postgres`.
#pragma once

#include <cstddef>
#include <string_view>

namespace sluice::postgres {

// Insertions, deletions, replacements and swaps of neighbours (bytes, letters of ASCII compared
// without case) that make one of the other. Names beyond 63 bytes are cut there.
int edit_distance(std::string_view a, std::string_view b);

// The largest distance at which a name of `length` bytes is still worth a suggestion.
int largest_distance(std::size_t length);

}  // namespace sluice::postgres
