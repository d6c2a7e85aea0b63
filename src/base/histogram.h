// Histogram: how many observations fell up to each of some fixed bounds. Copying it is cheap; two
// of one kind can be added. Not thread-safe.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace sluice {

// Bounds in seconds, from a millisecond to an hour, about three to a decade; the last bucket takes
// what is above.
class TimeHistogram {
 public:
  static constexpr std::array<double, 18> kBounds = {
      0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1200, 3600};

  void observe(double seconds) {
    const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
    ++counts_[static_cast<std::size_t>(bound - kBounds.begin())];
    sum_ += seconds;
  }
  void add(const TimeHistogram& other) {
    for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    sum_ += other.sum_;
  }
  // By bucket, not cumulative; one more than there are bounds.
  const std::array<std::uint64_t, kBounds.size() + 1>& counts() const { return counts_; }
  double sum() const { return sum_; }
  std::uint64_t count() const {
    std::uint64_t all = 0;
    for (const auto each : counts_) all += each;
    return all;
  }

 private:
  std::array<std::uint64_t, kBounds.size() + 1> counts_{};
  double sum_ = 0;
};

}  // namespace sluice
