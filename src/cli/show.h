// How messages, bytes, times and errors are shown by the commands that answer on standard output.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::cli {

void print(const std::string& text);

// 2026-01-02T03:04:05.678Z, or "no timestamp" below 0.
std::string time_text(std::int64_t timestamp_ms);

// For one line of a terminal, at most `width` bytes of it: what is not printable becomes a point.
// `whole` is how long it is before it was cut; 0: as long as it is.
std::string excerpt(std::string_view bytes, std::int64_t whole, std::size_t width);

boost::json::object json_of_error(const Error& error);
// A string if they are UTF-8, else {"base64": ...}; null for none.
boost::json::value json_of_bytes(const std::optional<std::string>& bytes);

}  // namespace sluice::cli
