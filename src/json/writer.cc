#include "json/writer.h"

#include <array>
#include <charconv>
#include <cmath>

#include "json/text.h"

namespace sluice::json {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD
constexpr std::string_view kHex = "0123456789abcdef";

// What stands after the backslash for a byte that must be escaped; 'u' where only \u00XX does; '\0'
// for bytes that stand as they are.
constexpr std::array<char, 256> kEscapes = [] {
  std::array<char, 256> table{};
  for (std::size_t byte = 0; byte < 0x20; ++byte) table[byte] = 'u';
  table['\b'] = 'b';
  table['\f'] = 'f';
  table['\n'] = 'n';
  table['\r'] = 'r';
  table['\t'] = 't';
  table['"'] = '"';
  table['\\'] = '\\';
  return table;
}();

void append_escaped(Buffer& out, std::string_view text) {
  char* const begin = out.reserve(text.size() * 6);
  char* at = begin;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const char escape = kEscapes[byte];
    if (escape == '\0') {
      *at++ = c;
      continue;
    }
    *at++ = '\\';
    *at++ = escape;
    if (escape == 'u') {
      *at++ = '0';
      *at++ = '0';
      *at++ = kHex[byte >> 4];
      *at++ = kHex[byte & 15];
    }
  }
  out.advance(at - begin);
}

template <class Number>
void append_digits(Buffer& out, Number number) {
  constexpr std::size_t kLongest = 32;
  char* const begin = out.reserve(kLongest);
  out.advance(std::to_chars(begin, begin + kLongest, number).ptr - begin);
}

}  // namespace

void append_string(Buffer& out, std::string_view text) {
  // Room six times the text is fine for names and values, not for megabytes: piece by piece.
  constexpr std::size_t kPiece = 4096;
  out.append('"');
  const bool valid = is_utf8(text);
  while (!text.empty()) {
    const std::string_view piece = text.substr(0, kPiece);
    const std::size_t good = valid ? piece.size() : valid_utf8_prefix(piece);
    append_escaped(out, piece.substr(0, good));
    text.remove_prefix(good);
    if (good == piece.size()) continue;
    // The end of the piece may have cut a character in two: then the next piece begins with it.
    const std::string_view rest = text.substr(0, 4);
    if (valid_utf8_prefix(rest) > 0) continue;
    out.append(kReplacement);
    text.remove_prefix(1);
  }
  out.append('"');
}

void append_number(Buffer& out, std::int64_t number) { append_digits(out, number); }
void append_number(Buffer& out, std::uint64_t number) { append_digits(out, number); }
void append_number(Buffer& out, double number) {
  if (!std::isfinite(number)) {
    out.append("null");
    return;
  }
  append_digits(out, number);
}

void append_base64(Buffer& out, std::string_view bytes) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  char* at = out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = bytes.size() - i;
    const auto byte = [&](std::size_t k) {
      return k < left ? static_cast<unsigned char>(bytes[i + k]) : 0U;
    };
    const unsigned group = byte(0) << 16 | byte(1) << 8 | byte(2);
    *at++ = kAlphabet[group >> 18];
    *at++ = kAlphabet[group >> 12 & 63];
    *at++ = left > 1 ? kAlphabet[group >> 6 & 63] : '=';
    *at++ = left > 2 ? kAlphabet[group & 63] : '=';
  }
  out.advance((bytes.size() + 2) / 3 * 4);
}

}  // namespace sluice::json
