// SharedPrefixes: what the values of many messages begin with. Messages that carry their schema are
// little else: kept without it, a batch of them takes a fifth of the memory, or holds five times as
// many. Which bytes are shared is learned from the messages; nothing is known of their form. One
// thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::pipeline {

class SharedPrefixes {
 public:
  // The number of a prefix of `value` that is at least half of it, and no less than kLeast bytes.
  // Values for which there is none are compared with each other: what two of them share becomes a
  // prefix.
  std::optional<std::size_t> find(std::string_view value);
  std::string_view at(std::size_t number) const { return prefixes_[number]; }
  // Nobody uses their numbers any more.
  void release();

 private:
  static constexpr std::size_t kLeast = 512;
  static constexpr std::size_t kMost = 64 * 1024;
  static constexpr std::size_t kPrefixes = 8;
  static bool serves(std::string_view prefix, std::string_view value) {
    return 2 * prefix.size() >= value.size() && value.starts_with(prefix);
  }

  std::vector<std::string> prefixes_;
  std::size_t last_ = 0;   // the one that served last
  std::string unmatched_;  // the last value without one, as far as a prefix can reach
};

}  // namespace sluice::pipeline
