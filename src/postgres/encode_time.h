// Dates and times: text and epoch numbers to PostgreSQL's counts, and back to text. PostgreSQL
// counts days and microseconds from 2000-01-01; everything here that is called `micros` or `days`
// does too, unless its name says unix.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/buffer.h"

namespace sluice::postgres {

inline constexpr std::int64_t kMicrosPerDay = 86'400'000'000;
inline constexpr std::int64_t kMicrosPerSecond = 1'000'000;
inline constexpr std::int64_t kUnixToPostgresSeconds = 946'684'800;

// An ISO 8601 text by its parts.
struct Timestamp {
  std::int32_t days = 0;
  std::int64_t day_micros = 0;
  bool has_offset = false;
  std::int32_t seconds_east = 0;

  std::int64_t local_micros() const { return days * kMicrosPerDay + day_micros; }
};

// YYYY-MM-DD, alone or with T or a space and HH:MM[:SS[.fraction]], and then, an optional space
// before it, Z or an offset [+-]HH, HHMM, HH:MM or HH:MM:SS. Years 0001 to 9999; the fraction has
// at most 9 digits and is rounded as PostgreSQL rounds it. False for every other form (see
// encode.h).
bool parse_timestamp(std::string_view text, Timestamp& timestamp);
// HH:MM[:SS[.fraction]]: microseconds of the day.
bool parse_time(std::string_view text, std::int64_t& micros);

enum class Epoch : std::uint8_t { kOk, kNotANumber, kOutOfRange };
// A number of units of 10^power microseconds since 1970 (6: seconds, -3: nanoseconds), exactly,
// rounded to microseconds with halves to even. Out of range: what a timestamp cannot hold.
Epoch parse_epoch(std::string_view number, int power, std::int64_t& micros);

// Of unix microseconds; false where a timestamp cannot hold them.
bool from_unix_micros(std::int64_t unix_micros, std::int64_t& micros);

std::int32_t day_of(std::int64_t micros);          // rounded down
std::int64_t time_of_day_of(std::int64_t micros);  // 0 to kMicrosPerDay - 1

// Text without length, as the input functions take it: "2026-01-02", "03:04:05.006", years beyond
// 9999 with as many digits as they need, " BC" where it belongs.
enum class TimeText : std::uint8_t {
  kTimestamp,    // 2026-01-02 03:04:05.006
  kTimestamptz,  // 2026-01-02 03:04:05.006+00
  kIso8601,      // 2026-01-02T03:04:05.006Z
};
void append_timestamp_text(std::int64_t micros, TimeText form, Buffer& out);
void append_date_text(std::int32_t days, Buffer& out);
void append_time_text(std::int64_t day_micros, Buffer& out);

}  // namespace sluice::postgres
