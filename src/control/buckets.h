// Buckets: how many requests each client may make, as buckets that fill with time. A bounded number
// of clients is remembered; beyond it all begin anew.
//
// Thread-safe.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace sluice::control {

class Buckets {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::size_t kMostClients = 10'000;

  // A full bucket holds `most` and gains `per_second`.
  Buckets(double per_second, double most) : per_second_(per_second), most_(most) {}

  // Takes one. Nothing, or the seconds (1 or more) after which there is one again.
  std::optional<int> refuse(const std::string& client,
                            Time now = std::chrono::steady_clock::now()) {
    const std::lock_guard lock(mutex_);
    if (clients_.size() >= kMostClients && !clients_.contains(client)) clients_.clear();
    auto& bucket = clients_.try_emplace(client, Bucket{most_, now}).first->second;
    const double seconds = std::chrono::duration<double>(now - bucket.at).count();
    bucket.left = std::min(most_, bucket.left + std::max(0.0, seconds) * per_second_);
    bucket.at = now;
    if (bucket.left < 1) {
      return std::max(1, static_cast<int>(std::ceil((1 - bucket.left) / per_second_)));
    }
    bucket.left -= 1;
    return std::nullopt;
  }
  // What was taken does not count.
  void give_back(const std::string& client) {
    const std::lock_guard lock(mutex_);
    const auto found = clients_.find(client);
    if (found != clients_.end()) found->second.left = std::min(most_, found->second.left + 1);
  }

 private:
  struct Bucket {
    double left;
    Time at;
  };
  const double per_second_, most_;
  std::mutex mutex_;
  std::map<std::string, Bucket> clients_;
};

}  // namespace sluice::control
