#include "pipeline/shared_prefix.h"

#include <algorithm>

namespace sluice::pipeline {

std::optional<std::size_t> SharedPrefixes::find(std::string_view value) {
  if (value.size() < kLeast) return std::nullopt;
  if (last_ < prefixes_.size() && serves(prefixes_[last_], value)) return last_;
  for (std::size_t i = 0; i < prefixes_.size(); ++i) {
    if (serves(prefixes_[i], value)) return last_ = i;
  }
  const auto [end, _] = std::ranges::mismatch(unmatched_, value);
  const auto shared = static_cast<std::size_t>(end - unmatched_.begin());
  if (shared >= kLeast && 2 * shared >= value.size() && prefixes_.size() < kPrefixes) {
    prefixes_.emplace_back(value.substr(0, shared));
    return last_ = prefixes_.size() - 1;
  }
  unmatched_ = value.substr(0, kMost);
  return std::nullopt;
}

void SharedPrefixes::release() {
  if (prefixes_.size() < kPrefixes) return;
  prefixes_.clear();  // some of them are of schemas that have passed
  unmatched_.clear();
}

}  // namespace sluice::pipeline
