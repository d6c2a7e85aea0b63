// Which texts are names: of tasks, topics, groups, columns and tables. Internal to this module.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace sluice::task {

// Bytes; PostgreSQL cuts longer ones silently.
inline constexpr std::size_t kLongestIdentifier = 63;

inline bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

inline bool all_name_characters(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
  });
}

inline bool is_task_name(std::string_view text) {
  return !text.empty() && text.size() <= 64 && is_letter(text.front()) && all_name_characters(text);
}

// As Kafka's own check: 249 characters, not "." or "..".
inline bool is_topic_name(std::string_view text) {
  return !text.empty() && text.size() <= 249 && text != "." && text != ".." &&
         all_name_characters(text);
}

inline bool is_group_name(std::string_view text) { return !text.empty() && text.size() <= 249; }

inline bool is_identifier(std::string_view text) {
  return !text.empty() && text.size() <= kLongestIdentifier;
}

// table, schema.table, each plain or in double quotes (doubled within).
inline bool is_table_name(std::string_view text) {
  for (int parts = 1; parts <= 2; ++parts) {
    std::size_t length = 0;  // of the name itself
    if (text.starts_with('"')) {
      text.remove_prefix(1);
      bool closed = false;
      while (!text.empty() && !closed) {
        closed = text.front() == '"' && !text.starts_with("\"\"");
        if (!closed) ++length;
        text.remove_prefix(text.starts_with("\"\"") && !closed ? 2 : 1);
      }
      if (!closed) return false;
    } else {
      length = std::min(text.find_first_of(".\""), text.size());
      text.remove_prefix(length);
    }
    if (length == 0 || length > kLongestIdentifier) return false;
    if (text.empty()) return true;
    if (text.front() != '.') return false;
    text.remove_prefix(1);
  }
  return false;
}

}  // namespace sluice::task
