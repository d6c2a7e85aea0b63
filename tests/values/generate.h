// Generators of values: for each subject JSON texts of every form that comes to mind, right ones
// and wrong ones, and what PostgreSQL is to be asked about each.
#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "compare.h"

namespace sluice::values {

// The same numbers from the same seed, on every machine (distributions of <random> are not).
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t bits() { return engine_(); }
  // From `low` to `high`, both included.
  std::int64_t between(std::int64_t low, std::int64_t high) {
    const auto span = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low) + 1;
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(low) +
                                     (span == 0 ? bits() : bits() % span));
  }
  bool one_in(int n) { return between(1, n) == 1; }
  template <class T>
  const T& pick(const std::vector<T>& from) {
    return from[static_cast<std::size_t>(between(0, static_cast<std::int64_t>(from.size()) - 1))];
  }
  std::string digits(std::int64_t count) {
    std::string text;
    for (; count > 0; --count) text += static_cast<char>('0' + between(0, 9));
    return text;
  }

 private:
  std::mt19937_64 engine_;
};

struct Generator {
  std::string subject;
  std::function<Sample(Random&)> make;
};

// `transitions` of a time zone: seconds since the epoch in which its offset changes.
using Transitions = std::function<std::vector<std::int64_t>(const std::string& zone)>;
std::vector<Generator> generators(const Transitions& transitions);

}  // namespace sluice::values
