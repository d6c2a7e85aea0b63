// Names that somebody may have meant: for error messages.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

// Letters to insert, delete or replace (case ignored) to make `a` into `b`.
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      const std::size_t replaced = diagonal + (lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1);
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
      diagonal = above;
    }
  }
  return row[b.size()];
}

// Up to `limit` of `known` within a third of the name's length, nearest first. Names longer than 128
// bytes have none (bounded work).
inline std::vector<std::string> nearest(std::string_view name, std::span<const std::string> known,
                                        std::size_t limit = 3) {
  if (name.size() > 128) return {};
  std::vector<std::pair<std::size_t, std::string>> found;
  for (const auto& candidate : known) {
    if (candidate.size() > 128) continue;
    const std::size_t distance = edit_distance(name, candidate);
    if (distance <= std::max<std::size_t>(1, name.size() / 3)) found.emplace_back(distance, candidate);
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> names;
  for (const auto& [distance, candidate] : found) {
    if (names.size() == limit) break;
    names.push_back(candidate);
  }
  return names;
}

// " Did you mean a, b or c?", or nothing.
inline std::string did_you_mean(std::string_view name, std::span<const std::string> known) {
  const auto names = nearest(name, known);
  if (names.empty()) return {};
  std::string text = "Did you mean ";
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " or " : ", ";
    text += '"' + names[i] + '"';
  }
  return text + '?';
}

}  // namespace sluice
