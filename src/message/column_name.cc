#include "message/column_name.h"

#include <algorithm>

namespace sluice::message {

bool same_but_for_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::optional<std::size_t> column_of(std::span<const std::string> columns, std::string_view name,
                                     std::span<const std::string> fields) {
  const auto exact = std::ranges::find(columns, name);
  if (exact != columns.end()) return static_cast<std::size_t>(exact - columns.begin());
  const auto alike = [&](const std::string& each) { return same_but_for_case(each, name); };
  const auto found = std::ranges::find_if(columns, alike);
  if (found == columns.end() || std::ranges::count_if(columns, alike) > 1 ||
      std::ranges::count_if(fields, alike) > 1) {
    return std::nullopt;  // none, or which of them it is, nobody said
  }
  return static_cast<std::size_t>(found - columns.begin());
}

}  // namespace sluice::message
