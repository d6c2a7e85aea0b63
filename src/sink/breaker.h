// Breaker: keeps policy discard or deliver from emptying a topic when the mapping itself is wrong.
// It opens when, of the last `window` messages of a lane, `share` or more could not be applied. One
// lane's thread; copied before an attempt that may be rolled back.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace sluice::sink {

class Breaker {
 public:
  Breaker(double share, std::int64_t window)
      : window_(window),
        limit_(std::max<std::int64_t>(
            1, static_cast<std::int64_t>(std::ceil(share * static_cast<double>(window))))) {}

  // Message number `sequence` of the lane's life is bad. True if the breaker opens.
  bool bad(std::uint64_t sequence) {
    const auto window = static_cast<std::uint64_t>(window_);
    std::erase_if(recent_, [&](std::uint64_t other) {
      return other + window <= sequence || other == sequence;
    });
    recent_.push_back(sequence);
    return static_cast<std::int64_t>(recent_.size()) >= limit_ &&
           sequence + 1 >= window;  // fewer messages than a window say nothing
  }
  std::int64_t limit() const { return limit_; }

 private:
  std::int64_t window_;
  std::int64_t limit_;
  std::vector<std::uint64_t> recent_;
};

}  // namespace sluice::sink
