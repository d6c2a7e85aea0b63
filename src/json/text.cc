#include "json/text.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <cstring>

#include "base/hex.h"

namespace sluice::json {
namespace {

char simple_escape(char letter) {
  switch (letter) {
    case '"':
    case '\\':
    case '/':
      return letter;
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return '\0';
  }
}

// Takes one \u escape, or a pair of them, at `at`; moves `at` behind it.
EscapeFault take_unicode(const char*& at, const char* end, std::uint32_t& code_point) {
  const int first = end - at >= 6 ? hex4(at + 2) : -1;
  if (first < 0) return EscapeFault::kBadHex;
  code_point = static_cast<std::uint32_t>(first);
  const bool surrogate = first >= 0xD800 && first <= 0xDFFF;
  if (!surrogate) {
    at += 6;
    return EscapeFault::kNone;
  }
  if (first >= 0xDC00 || end - at < 12 || at[6] != '\\' || at[7] != 'u') {
    return EscapeFault::kLoneSurrogate;
  }
  const int second = hex4(at + 8);
  if (second < 0xDC00 || second > 0xDFFF) return EscapeFault::kLoneSurrogate;
  code_point =
      0x10000 + ((code_point - 0xD800) << 10) + static_cast<std::uint32_t>(second - 0xDC00);
  at += 12;
  return EscapeFault::kNone;
}

}  // namespace

bool is_utf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

// The length of the valid UTF-8 sequence at the start of `text`, which is not empty; 0 if it is
// none. The ranges are table 3-7 of the Unicode standard.
std::size_t utf8_sequence(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (text.size() < length) return 0;
  std::uint8_t low = 0x80;
  std::uint8_t high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  if (byte(1) < low || byte(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  return length;
}

std::size_t valid_utf8_prefix(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t length = utf8_sequence(text.substr(at));
    if (length == 0) return at;
    at += length;
  }
  return at;
}

void append_utf8(std::uint32_t code_point, Buffer& out) {
  const auto put = [&](std::uint32_t byte) { out.append(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | (code_point >> 18));
    put(0x80 | ((code_point >> 12) & 0x3F));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

int hex4(const char* digits) {
  int value = 0;
  for (int i = 0; i < 4; ++i) {
    const int digit = hex_digit(digits[i]);
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

EscapeResult unescape(std::string_view content, Buffer* out) {
  const char* at = content.data();
  const char* const end = at + content.size();
  while (at != end) {
    const auto* backslash = static_cast<const char*>(std::memchr(at, '\\', end - at));
    const char* const plain_end = backslash == nullptr ? end : backslash;
    if (out != nullptr) out->append(std::string_view(at, plain_end - at));
    if (backslash == nullptr) break;
    at = backslash;
    if (end - at < 2) return {EscapeFault::kUnknown, at};
    if (at[1] == 'u') {
      std::uint32_t code_point = 0;
      const EscapeFault fault = take_unicode(at, end, code_point);
      if (fault != EscapeFault::kNone) return {fault, at};
      if (out != nullptr) append_utf8(code_point, *out);
      continue;
    }
    const char letter = simple_escape(at[1]);
    if (letter == '\0') return {EscapeFault::kUnknown, at};
    if (out != nullptr) out->append(letter);
    at += 2;
  }
  return {};
}

std::string shown(char byte) {
  if (byte >= 0x20 && byte < 0x7F) return fmt::format("'{}'", byte);
  return fmt::format("0x{:02x}", static_cast<unsigned char>(byte));
}

}  // namespace sluice::json
