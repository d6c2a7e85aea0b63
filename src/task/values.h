// The forms of single values in the task document: durations, sizes, timestamps, names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::task {

// "500ms", "10s", "5m", "2h", "1d", "1.5s", or a plain number of seconds; in milliseconds, rounded
// to the nearest. Nothing negative; none if it is no duration or longer than 100 years.
std::optional<std::int64_t> parse_duration(std::string_view text);

// "16 MB", "16MB", "1.5 GB", "4096": B, kB, MB, GB in any case, KiB, MiB and GiB too; each 1024 of
// the one before. None if it is no size or 2^60 bytes or more.
std::optional<std::int64_t> parse_bytes(std::string_view text);

// RFC 3339, "2026-01-01T00:00:00Z", "2026-01-01 00:00:00.5+02:00": milliseconds since 1970, a
// fraction of one rounded up (the first message at or after it is wanted). None if it is not one.
std::optional<std::int64_t> parse_timestamp(std::string_view text);
// The reverse, in UTC, with milliseconds if there are any.
std::string timestamp_text(std::int64_t milliseconds);

// Digits only, no sign, no leading zero: as partitions and offsets are written.
std::optional<std::int64_t> parse_count(std::string_view text);
// A whole JSON number that fits 64 bits.
std::optional<std::int64_t> parse_integer(std::string_view text);
// Any JSON number that is finite.
std::optional<double> parse_number(std::string_view text);

}  // namespace sluice::task
