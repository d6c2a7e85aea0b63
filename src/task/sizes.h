// Times in milliseconds and sizes in bytes, as keys have them. Internal to this module.
#pragma once

#include <cstdint>

namespace sluice::task {

inline constexpr std::int64_t kSecond = 1000;
inline constexpr std::int64_t kDay = 24 * 60 * 60 * kSecond;
inline constexpr std::int64_t kKb = 1024;
inline constexpr std::int64_t kMb = 1024 * kKb;
inline constexpr std::int64_t kGb = 1024 * kMb;

}  // namespace sluice::task
