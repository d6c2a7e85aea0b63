// The text inside JSON strings: escapes and UTF-8. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/buffer.h"

namespace sluice::json {

// True if `text` is valid UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF. Runs at
// several GB/s.
bool is_utf8(std::string_view text);

// The length of the UTF-8 sequence that `text`, which is not empty, begins with; 0 if it begins
// with none that is valid.
std::size_t utf8_sequence(std::string_view text);

// The position of the first byte that is not part of valid UTF-8; text.size() if there is none.
std::size_t valid_utf8_prefix(std::string_view text);

// Appends `code_point` (not a surrogate, at most 0x10FFFF) as UTF-8.
void append_utf8(std::uint32_t code_point, Buffer& out);

// The value of four hex digits at `digits`; -1 if they are none.
int hex4(const char* digits);

// What is wrong with the escapes of a string.
enum class EscapeFault : std::uint8_t {
  kNone,
  kUnknown,        // a backslash before a character that forms no escape
  kBadHex,         // \u without four hex digits
  kLoneSurrogate,  // \ud800 to \udfff without its other half in its place
};
struct EscapeResult {
  EscapeFault fault = EscapeFault::kNone;
  const char* at = nullptr;  // the backslash
};
// Checks the content of a JSON string (what stands between its quotes), and appends it with its
// escapes resolved to `out` unless that is null. After a fault `out` holds a part.
EscapeResult unescape(std::string_view content, Buffer* out);

// A byte or character as an error text shows it: 'x', or 0x07 for what is not printable ASCII.
std::string shown(char byte);

}  // namespace sluice::json
