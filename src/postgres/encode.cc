#include "postgres/encode.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace sluice::postgres {
namespace {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Four and eight digits at a time, all within one register: each step adds neighbours, the left one
// ten (a hundred, ten thousand) times. False if any byte is no digit.
bool read_digits4(const char* at, std::uint32_t& value) {
  std::uint32_t word = 0;
  std::memcpy(&word, at, sizeof word);
  if (((word & 0xf0f0f0f0) | ((word + 0x06060606) & 0xf0f0f0f0) >> 4) != 0x33333333) return false;
  word = ((word & 0x0f0f0f0f) * (1 + (10 << 8))) >> 8;
  value = ((word & 0x00ff00ff) * (1 + (100 << 16))) >> 16;
  return true;
}
bool read_digits8(const char* at, std::uint64_t& value) {
  constexpr std::uint64_t kHigh = 0xf0f0f0f0f0f0f0f0;
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  if (((word & kHigh) | ((word + 0x0606060606060606) & kHigh) >> 4) != 0x3333333333333333) {
    return false;
  }
  word = ((word & 0x0f0f0f0f0f0f0f0f) * (1 + (10 << 8))) >> 8;
  word = ((word & 0x00ff00ff00ff00ff) * (1 + (100 << 16))) >> 16;
  value = ((word & 0x0000ffff0000ffff) * (1 + (std::uint64_t{10'000} << 32))) >> 32;
  return true;
}

// Value of a hexadecimal digit, -1 for any other byte.
constexpr std::array<std::int16_t, 256> kHexValue = [] {
  std::array<std::int16_t, 256> table{};
  for (int c = 0; c < 256; ++c) {
    const int lower = c | 0x20;
    int value = -1;
    if (c >= '0' && c <= '9') value = c - '0';
    if (lower >= 'a' && lower <= 'f') value = lower - 'a' + 10;
    table[static_cast<std::size_t>(c)] = static_cast<std::int16_t>(value);
  }
  return table;
}();
int hex_value(char c) { return kHexValue[static_cast<unsigned char>(c)]; }

// Value of a base64 digit in either alphabet, -1 for any other byte.
constexpr std::array<std::int16_t, 256> kBase64Value = [] {
  std::array<std::int16_t, 256> table{};
  table.fill(-1);
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (std::size_t i = 0; i < kDigits.size(); ++i) {
    table[static_cast<unsigned char>(kDigits[i])] = static_cast<std::int16_t>(i);
  }
  table['-'] = 62;
  table['_'] = 63;
  return table;
}();

// The digits of a Decimal without zeros at either end: value = 0.d0 d1 d2 ... * 10^point.
class Significant {
 public:
  explicit Significant(const Decimal& decimal)
      : start_(decimal.integer.data()), integer_(decimal.integer.size()) {
    std::size_t end = integer_ + decimal.fraction.size();
    while (begin_ < end && raw(begin_) == '0') ++begin_;
    while (end > begin_ && raw(end - 1) == '0') --end;
    count_ = end - begin_;
    point_ = static_cast<int>(integer_) - static_cast<int>(begin_) + decimal.exponent;
  }
  std::size_t count() const { return count_; }  // 0: the value is zero
  int point() const { return point_; }
  int operator[](std::size_t i) const { return raw(begin_ + i) - '0'; }
  // Whole: no digit behind the point.
  bool whole() const { return count_ == 0 || static_cast<int>(count_) <= point_; }

 private:
  char raw(std::size_t i) const { return start_[i < integer_ ? i : i + 1]; }  // over the '.'
  const char* start_;
  std::size_t integer_;
  std::size_t begin_ = 0;
  std::size_t count_ = 0;
  int point_ = 0;
};

template <class T>
bool parse_float(std::string_view text, T& value) {
  // Only plain decimal numbers: from_chars would also take "inf" and "nan", of which PostgreSQL
  // reads more spellings than it.
  const bool negative = !text.empty() && text.front() == '-';
  if (text.size() <= static_cast<std::size_t>(negative) || !is_digit(text[negative])) return false;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stopped != end) return false;
  if (value != 0) return true;
  // A number that vanishes is out of range for PostgreSQL; a written zero is not.
  for (const char c : text) {
    if (c == 'e' || c == 'E') break;
    if (c >= '1' && c <= '9') return false;
  }
  return true;
}

// Header of numeric_recv: int16 number of base-10000 digits, int16 weight of the first, uint16
// sign, uint16 display scale; behind the field's length.
void put_numeric_header(char* to, std::size_t groups, int weight, bool negative, int scale) {
  put_be32(to, static_cast<std::uint32_t>(8 + groups * 2));
  put_be16(to + 4, static_cast<std::uint16_t>(groups));
  put_be16(to + 6, static_cast<std::uint16_t>(weight));
  put_be16(to + 8, negative && groups > 0 ? 0x4000 : 0);
  put_be16(to + 10, static_cast<std::uint16_t>(scale));
}

constexpr std::size_t kNumericHeader = 12;

// Numbers as most are: no exponent, at most 16 digits on either side of the point. Base-10000
// digits begin and end at the point, so both sides are put beside it into a field of zeros, and
// read from it by fours.
bool append_short_numeric(const Decimal& decimal, Buffer& out) {
  constexpr std::size_t kSide = 16;
  const std::size_t integer = decimal.integer.size();
  const std::size_t fraction = decimal.fraction.size();
  if (decimal.exponent != 0 || integer > kSide || fraction > kSide) return false;
  std::array<char, 2 * kSide> digits;
  digits.fill('0');
  std::memcpy(digits.data() + kSide - integer, decimal.integer.data(), integer);
  if (fraction > 0) std::memcpy(digits.data() + kSide, decimal.fraction.data(), fraction);
  std::size_t first = kSide / 4 - (integer + 3) / 4;
  std::size_t end = kSide / 4 + (fraction + 3) / 4;
  std::array<std::uint32_t, 2 * kSide / 4> groups{};
  for (std::size_t i = first; i < end; ++i) read_digits4(digits.data() + i * 4, groups[i]);
  while (first < end && groups[first] == 0) ++first;
  while (end > first && groups[end - 1] == 0) --end;
  const std::size_t count = end - first;
  const int weight = count == 0 ? 0 : static_cast<int>(kSide / 4) - 1 - static_cast<int>(first);
  char* to = out.reserve(kNumericHeader + count * 2);
  put_numeric_header(to, count, weight, decimal.negative, static_cast<int>(fraction));
  to += kNumericHeader;
  for (std::size_t i = first; i < end; ++i, to += 2) {
    put_be16(to, static_cast<std::uint16_t>(groups[i]));
  }
  out.advance(kNumericHeader + count * 2);
  return true;
}

}  // namespace

bool parse_decimal(std::string_view text, Decimal& decimal) {
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto digits = [&] {
    const char* const from = at;
    while (at != end && is_digit(*at)) ++at;
    return std::string_view(from, static_cast<std::size_t>(at - from));
  };
  decimal.negative = at != end && *at == '-';
  if (decimal.negative) ++at;
  decimal.integer = digits();
  if (decimal.integer.empty() || text.size() > 150'000) return false;
  decimal.fraction = {};
  if (at != end && *at == '.') {
    ++at;
    decimal.fraction = digits();
    if (decimal.fraction.empty()) return false;
  }
  decimal.exponent = 0;
  if (at == end) return true;
  if (*at != 'e' && *at != 'E') return false;
  ++at;
  if (at != end && *at == '+') {
    ++at;
    if (at != end && *at == '-') return false;
  }
  const auto [stopped, error] = std::from_chars(at, end, decimal.exponent);
  return error == std::errc() && stopped == end && decimal.exponent >= -100'000 &&
         decimal.exponent <= 100'000;
}

bool parse_integer(std::string_view text, std::int64_t& value) {
  const char* at = text.data();
  const char* const end = at + text.size();
  const bool negative = at != end && *at == '-';
  if (negative) ++at;
  auto count = end - at;
  if (count == 0) return false;
  if (count > 18) {  // may overflow
    if (!is_digit(*at)) return false;
    const auto [stopped, error] = std::from_chars(text.data(), end, value);
    return error == std::errc() && stopped == end;
  }
  std::int64_t sum = 0;
  for (; count >= 8; count -= 8, at += 8) {
    std::uint64_t digits = 0;
    if (!read_digits8(at, digits)) return false;
    sum = sum * 100'000'000 + static_cast<std::int64_t>(digits);
  }
  if (count >= 4) {
    std::uint32_t digits = 0;
    if (!read_digits4(at, digits)) return false;
    sum = sum * 10'000 + digits;
    at += 4;
  }
  for (; at != end; ++at) {
    if (!is_digit(*at)) return false;
    sum = sum * 10 + (*at - '0');
  }
  value = negative ? -sum : sum;
  return true;
}

bool parse_whole(std::string_view text, std::int64_t& value) {
  if (parse_integer(text, value)) return true;
  Decimal decimal;
  if (!parse_decimal(text, decimal)) return false;
  const Significant digits(decimal);
  value = 0;
  if (digits.count() == 0) return true;
  if (!digits.whole() || digits.point() > 19) return false;
  std::uint64_t sum = 0;  // 19 digits fit
  for (int i = 0; i < digits.point(); ++i) {
    const auto index = static_cast<std::size_t>(i);
    sum = sum * 10 + static_cast<std::uint64_t>(index < digits.count() ? digits[index] : 0);
  }
  const auto limit = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (sum > limit + (decimal.negative ? 1 : 0)) return false;
  value = static_cast<std::int64_t>(decimal.negative ? 0 - sum : sum);
  return true;
}

bool append_whole_text(std::string_view text, Buffer& out) {
  Decimal decimal;
  if (!parse_decimal(text, decimal)) return false;
  const Significant digits(decimal);
  if (digits.count() == 0) {
    out.append('0');
    return true;
  }
  if (!digits.whole() || digits.point() > 64) return false;
  if (decimal.negative) out.append('-');
  for (int i = 0; i < digits.point(); ++i) {
    const auto index = static_cast<std::size_t>(i);
    out.append(static_cast<char>('0' + (index < digits.count() ? digits[index] : 0)));
  }
  return true;
}

bool parse_float8(std::string_view text, double& value) { return parse_float(text, value); }
bool parse_float4(std::string_view text, float& value) { return parse_float(text, value); }

bool append_numeric(std::string_view text, Buffer& out) {
  constexpr int kDigitsBeforePoint = 131'072;
  constexpr int kMaxScale = 16'383;
  Decimal decimal;
  if (!parse_decimal(text, decimal)) return false;
  if (append_short_numeric(decimal, out)) return true;
  const int scale = std::max(0, static_cast<int>(decimal.fraction.size()) - decimal.exponent);
  const Significant digits(decimal);
  if (scale > kMaxScale || digits.point() > kDigitsBeforePoint) return false;
  int weight = 0;
  std::size_t lead = 0;  // zeros in front of the first digit that fill its group of four
  if (digits.count() > 0) {
    const int point = digits.point();
    weight = (point > 0 ? (point + 3) / 4 : -(-point / 4)) - 1;
    lead = static_cast<std::size_t>((weight + 1) * 4 - point);
  }
  const std::size_t groups = (lead + digits.count() + 3) / 4;
  put_numeric_header(out.reserve(kNumericHeader + groups * 2), groups, weight, decimal.negative,
                     scale);
  out.advance(kNumericHeader);
  std::size_t next = 0;
  for (std::size_t group = 0; group < groups; ++group) {
    int value = 0;
    for (std::size_t i = group == 0 ? lead : 0; i < 4; ++i) {
      value = value * 10 + (next < digits.count() ? digits[next] : 0);
      ++next;
    }
    out.append_u16(static_cast<std::uint16_t>(value));
  }
  return true;
}

void append_numeric(std::int64_t value, Buffer& out) {
  std::array<char, 24> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  const std::string_view digits(text.data(), static_cast<std::size_t>(end - text.data()));
  SLUICE_CHECK(append_numeric(digits, out));
}

bool parse_bool(std::string_view text, bool& value) {
  if (text.empty() || text.size() > 5) return false;
  std::array<char, 5> lower{};
  for (std::size_t i = 0; i < text.size(); ++i) {
    lower[i] = static_cast<char>(text[i] >= 'A' && text[i] <= 'Z' ? text[i] | 0x20 : text[i]);
  }
  const std::string_view word(lower.data(), text.size());
  for (const std::string_view yes : {"true", "1", "t", "yes", "on", "y"}) {
    if (word == yes) return value = true;
  }
  for (const std::string_view no : {"false", "0", "f", "no", "off", "n"}) {
    if (word == no) {
      value = false;
      return true;
    }
  }
  return false;
}

bool append_uuid(std::string_view text, Buffer& out) {
  const bool hyphens = text.size() == 36;
  if (!hyphens && text.size() != 32) return false;
  char* to = out.reserve(20);
  put_be32(to, 16);
  to += 4;
  int bad = 0;
  for (std::size_t at = 0; at < text.size();) {
    if (hyphens && (at == 8 || at == 13 || at == 18 || at == 23)) {
      if (text[at++] != '-') return false;
    }
    const int high = hex_value(text[at]);
    const int low = hex_value(text[at + 1]);
    bad |= high | low;  // negative as soon as one is
    *to++ = static_cast<char>((high & 15) << 4 | (low & 15));
    at += 2;
  }
  if (bad < 0) return false;
  out.advance(20);
  return true;
}

bool append_bytea(std::string_view text, Buffer& out) {
  if (text.starts_with("\\x")) {
    const std::size_t start = out.size();
    std::size_t bad_at = 0;
    out.append_u32(0);
    if (!decode_hex(text.substr(2), out, bad_at)) return false;
    out.put_u32(start, static_cast<std::uint32_t>(out.size() - start - 4));
    return true;
  }
  if (text.find('\\') != std::string_view::npos) return false;
  append_bytes(text, out);
  return true;
}

bool decode_hex(std::string_view text, Buffer& out, std::size_t& bad_at) {
  char* to = out.reserve(text.size() / 2 + 1);
  for (std::size_t at = 0; at + 1 < text.size(); at += 2) {
    const int high = hex_value(text[at]);
    const int low = hex_value(text[at + 1]);
    if ((high | low) < 0) {
      bad_at = high < 0 ? at : at + 1;
      return false;
    }
    *to++ = static_cast<char>(high << 4 | low);
  }
  bad_at = text.size();
  if (text.size() % 2 != 0) return false;
  out.advance(text.size() / 2);
  return true;
}

bool decode_base64(std::string_view text, Buffer& out, std::size_t& bad_at) {
  std::size_t length = text.size();
  // Padding, where there is any, has to be complete.
  if (length % 4 == 0 && length > 0 && text[length - 1] == '=') {
    length -= text[length - 2] == '=' ? 2 : 1;
  }
  char* const start = out.reserve(length / 4 * 3 + 3);
  char* to = start;
  std::uint32_t bits = 0;
  int have = 0;
  for (std::size_t at = 0; at < length; ++at) {
    const int value = kBase64Value[static_cast<unsigned char>(text[at])];
    if (value < 0) {
      bad_at = at;
      return false;
    }
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    have += 6;
    if (have >= 8) {
      have -= 8;
      *to++ = static_cast<char>(bits >> have & 0xff);
    }
  }
  bad_at = length;
  // One digit left over, or bits that no byte takes: cut off or not base64 at all.
  if (length % 4 == 1 || (bits & ((1U << have) - 1)) != 0) return false;
  out.advance(static_cast<std::size_t>(to - start));
  return true;
}

void append_hex_text(std::string_view bytes, Buffer& out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  char* to = out.reserve(2 + bytes.size() * 2);
  *to++ = '\\';
  *to++ = 'x';
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    *to++ = kDigits[byte >> 4];
    *to++ = kDigits[byte & 15];
  }
  out.advance(2 + bytes.size() * 2);
}

}  // namespace sluice::postgres
