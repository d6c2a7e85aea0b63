#include "postgres/encode_time.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "postgres/encode.h"

namespace sluice::postgres {
namespace {

// PostgreSQL's timestamp.h: from 4714-11-24 00:00:00 BC up to but not including 294277-01-01.
constexpr std::int64_t kMinMicros = -211'813'488'000'000'000;
constexpr std::int64_t kEndMicros = 9'223'371'331'200'000'000;
constexpr std::int32_t kUnixToPostgresDays = 10'957;

// A reader of fixed forms: each take_ function answers false, and leaves the rest undefined, if the
// text is different.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : at_(text.data()), end_(at_ + text.size()) {}
  std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }
  bool done() const { return at_ == end_; }
  char peek() const { return done() ? '\0' : *at_; }
  void skip() { ++at_; }
  bool take(char c) {
    if (done() || *at_ != c) return false;
    ++at_;
    return true;
  }
  // The next `length` bytes, which must be there.
  const char* take_bytes(std::size_t length) {
    const char* const from = at_;
    at_ += length;
    return from;
  }
  // Exactly two digits, as a number of at most `most`.
  bool take_two(int most, int& value) {
    if (left() < 2) return false;
    const auto tens = static_cast<unsigned>(at_[0] - '0');
    const auto ones = static_cast<unsigned>(at_[1] - '0');
    if (tens > 9 || ones > 9) return false;
    at_ += 2;
    value = static_cast<int>(tens * 10 + ones);
    return value <= most;
  }
  // All digits from here on.
  std::string_view take_digits() {
    const char* const from = at_;
    while (!done() && static_cast<unsigned>(*at_ - '0') <= 9) ++at_;
    return {from, static_cast<std::size_t>(at_ - from)};
  }

 private:
  const char* at_;
  const char* end_;
};

constexpr bool is_leap(int year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }
constexpr int days_in_month(int year, int month) {
  constexpr std::array<int, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && is_leap(year) ? 29 : kDays[static_cast<std::size_t>(month - 1)];
}

// Days since 2000-01-01 of a proleptic Gregorian date and back, by Howard Hinnant's
// "chrono-Compatible Low-Level Date Algorithms".
constexpr std::int32_t days_of(int year, int month, int day) {
  year -= month <= 2 ? 1 : 0;
  const int era = (year >= 0 ? year : year - 399) / 400;
  const int year_of_era = year - era * 400;
  const int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146'097 + day_of_era - 719'468 - kUnixToPostgresDays;
}
static_assert(days_of(2000, 1, 1) == 0 && days_of(1970, 1, 1) == -kUnixToPostgresDays);

struct Civil {
  int year;  // astronomical: 0 is 1 BC
  int month;
  int day;
};
constexpr Civil civil_of(std::int32_t days) {
  const int shifted = days + kUnixToPostgresDays + 719'468;
  const int era = (shifted >= 0 ? shifted : shifted - 146'096) / 146'097;
  const int day_of_era = shifted - era * 146'097;
  const int year_of_era =
      (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int shifted_month = (5 * day_of_year + 2) / 153;
  const int month = shifted_month + (shifted_month < 10 ? 3 : -9);
  return {year_of_era + era * 400 + (month <= 2 ? 1 : 0), month,
          day_of_year - (153 * shifted_month + 2) / 5 + 1};
}
static_assert(civil_of(days_of(2024, 2, 29)).day == 29 && civil_of(days_of(1, 1, 1)).year == 1);

// The digits behind the point of a second, in microseconds. PostgreSQL multiplies a double and
// rounds halves to even (ParseFractionalSecond in datetime.c); so does this, once there is anything
// to round.
bool take_fraction(Cursor& cursor, std::int64_t& micros) {
  const std::string_view digits = cursor.take_digits();
  if (digits.empty() || digits.size() > 9) return false;
  std::int64_t value = 0;
  for (const char c : digits) value = value * 10 + (c - '0');
  if (digits.size() <= 6) {
    for (std::size_t i = digits.size(); i < 6; ++i) value *= 10;
    micros = value;
    return true;
  }
  std::array<char, 11> text = {'0', '.'};
  std::copy(digits.begin(), digits.end(), text.begin() + 2);
  double fraction = 0;
  std::from_chars(text.data(), text.data() + 2 + digits.size(), fraction);
  micros = static_cast<std::int64_t>(std::rint(fraction * 1e6));
  return micros < kMicrosPerSecond;  // rounded up to the next second: left to PostgreSQL
}

// The value of two digits; `bad` is not 0 afterwards if one of them is none.
unsigned two_digits(const char* at, unsigned& bad) {
  const auto tens = static_cast<unsigned>(at[0] - '0');
  const auto ones = static_cast<unsigned>(at[1] - '0');
  bad |= static_cast<unsigned>(tens > 9) | static_cast<unsigned>(ones > 9);
  return tens * 10 + ones;
}

// HH:MM[:SS[.fraction]]
bool take_time(Cursor& cursor, std::int64_t& micros) {
  if (cursor.left() < 5) return false;
  const char* const at = cursor.take_bytes(5);
  unsigned bad = 0;
  const unsigned hour = two_digits(at, bad);
  const unsigned minute = two_digits(at + 3, bad);
  if (bad != 0 || at[2] != ':' || hour > 23 || minute > 59) return false;
  int second = 0;
  std::int64_t fraction = 0;
  if (cursor.take(':')) {
    if (!cursor.take_two(59, second)) return false;
    if (cursor.take('.') && !take_fraction(cursor, fraction)) return false;
  }
  micros = (hour * 3'600LL + minute * 60LL + second) * kMicrosPerSecond + fraction;
  return true;
}

// What follows the time: Z, +HH, +HHMM, +HH:MM, +HH:MM:SS. 15 hours is PostgreSQL's limit.
bool take_offset(Cursor& cursor, std::int32_t& seconds_east) {
  seconds_east = 0;
  if (cursor.take('Z')) return true;
  const bool west = cursor.peek() == '-';
  if (!west && cursor.peek() != '+') return false;
  cursor.skip();
  int hour = 0;
  int minute = 0;
  int second = 0;
  if (!cursor.take_two(15, hour)) return false;
  if (cursor.take(':')) {
    if (!cursor.take_two(59, minute)) return false;
    if (cursor.take(':') && !cursor.take_two(59, second)) return false;
  } else if (!cursor.done() && !cursor.take_two(59, minute)) {
    return false;
  }
  seconds_east = (hour * 3'600 + minute * 60 + second) * (west ? -1 : 1);
  return true;
}

bool take_date(Cursor& cursor, std::int32_t& days) {
  if (cursor.left() < 10) return false;
  const char* const at = cursor.take_bytes(10);
  unsigned bad = 0;
  const unsigned year = two_digits(at, bad) * 100 + two_digits(at + 2, bad);
  const unsigned month = two_digits(at + 5, bad);
  const unsigned day = two_digits(at + 8, bad);
  if (bad != 0 || at[4] != '-' || at[7] != '-' || year == 0 || month - 1 > 11 || day == 0) {
    return false;
  }
  if (day > 28 &&
      static_cast<int>(day) > days_in_month(static_cast<int>(year), static_cast<int>(month))) {
    return false;
  }
  days = days_of(static_cast<int>(year), static_cast<int>(month), static_cast<int>(day));
  return true;
}

void append_padded(std::int64_t value, int width, Buffer& out) {
  std::array<char, 20> digits;
  auto at = digits.size();
  for (; value != 0 || width > 0; value /= 10, --width) {
    digits[--at] = static_cast<char>('0' + value % 10);
  }
  out.append({digits.data() + at, digits.size() - at});
}

}  // namespace

bool parse_timestamp(std::string_view text, Timestamp& timestamp) {
  Cursor cursor(text);
  timestamp = {};
  if (!take_date(cursor, timestamp.days)) return false;
  if (cursor.done()) return true;
  if (!cursor.take('T') && !cursor.take(' ')) return false;
  if (!take_time(cursor, timestamp.day_micros)) return false;
  if (cursor.done()) return true;
  cursor.take(' ');
  timestamp.has_offset = take_offset(cursor, timestamp.seconds_east);
  return timestamp.has_offset && cursor.done();
}

bool parse_time(std::string_view text, std::int64_t& micros) {
  Cursor cursor(text);
  return take_time(cursor, micros) && cursor.done();
}

Epoch parse_epoch(std::string_view number, int power, std::int64_t& micros) {
  Decimal decimal;
  if (!parse_decimal(number, decimal)) return Epoch::kNotANumber;
  // Digits in a row; the first `whole` of them stand before the point once the unit is applied.
  const auto digit = [&](std::size_t i) {
    const std::size_t integer = decimal.integer.size();
    return (i < integer ? decimal.integer[i] : decimal.fraction[i - integer]) - '0';
  };
  const std::size_t count = decimal.integer.size() + decimal.fraction.size();
  std::size_t first = 0;
  while (first < count && digit(first) == 0) ++first;
  const std::int64_t whole =
      static_cast<std::int64_t>(decimal.integer.size()) + decimal.exponent + power;
  const auto start = static_cast<std::int64_t>(first);
  if (first < count && whole - start > 20) return Epoch::kOutOfRange;
  __extension__ using Wide = __int128;
  Wide sum = 0;
  for (std::int64_t i = start; first < count && i < whole; ++i) {
    const auto index = static_cast<std::size_t>(i);
    sum = sum * 10 + (index < count ? digit(index) : 0);
  }
  if (whole >= start && whole < static_cast<std::int64_t>(count)) {
    const auto index = static_cast<std::size_t>(whole);
    bool more = false;
    for (std::size_t i = index + 1; i < count && !more; ++i) more = digit(i) != 0;
    const int next = digit(index);
    if (next > 5 || (next == 5 && (more || sum % 2 != 0))) ++sum;
  }
  if (decimal.negative) sum = -sum;
  sum -= static_cast<Wide>(kUnixToPostgresSeconds) * kMicrosPerSecond;
  if (sum < kMinMicros || sum >= kEndMicros) return Epoch::kOutOfRange;
  micros = static_cast<std::int64_t>(sum);
  return Epoch::kOk;
}

bool from_unix_micros(std::int64_t unix_micros, std::int64_t& micros) {
  constexpr std::int64_t kShift = kUnixToPostgresSeconds * kMicrosPerSecond;
  if (unix_micros < kMinMicros + kShift) return false;
  micros = unix_micros - kShift;
  return true;
}

std::int32_t day_of(std::int64_t micros) {
  const std::int64_t days = micros / kMicrosPerDay;
  return static_cast<std::int32_t>(days - (micros % kMicrosPerDay < 0 ? 1 : 0));
}

std::int64_t time_of_day_of(std::int64_t micros) {
  const std::int64_t rest = micros % kMicrosPerDay;
  return rest < 0 ? rest + kMicrosPerDay : rest;
}

void append_date_text(std::int32_t days, Buffer& out) {
  const Civil civil = civil_of(days);
  append_padded(civil.year > 0 ? civil.year : 1 - civil.year, 4, out);
  out.append('-');
  append_padded(civil.month, 2, out);
  out.append('-');
  append_padded(civil.day, 2, out);
  if (civil.year <= 0) out.append(" BC");
}

void append_time_text(std::int64_t day_micros, Buffer& out) {
  const std::int64_t seconds = day_micros / kMicrosPerSecond;
  append_padded(seconds / 3'600, 2, out);
  out.append(':');
  append_padded(seconds / 60 % 60, 2, out);
  out.append(':');
  append_padded(seconds % 60, 2, out);
  std::int64_t fraction = day_micros % kMicrosPerSecond;
  if (fraction == 0) return;
  int width = 6;
  for (; fraction % 10 == 0; fraction /= 10) --width;
  out.append('.');
  append_padded(fraction, width, out);
}

void append_timestamp_text(std::int64_t micros, TimeText form, Buffer& out) {
  const Civil civil = civil_of(day_of(micros));
  append_padded(civil.year > 0 ? civil.year : 1 - civil.year, 4, out);
  out.append('-');
  append_padded(civil.month, 2, out);
  out.append('-');
  append_padded(civil.day, 2, out);
  out.append(form == TimeText::kIso8601 ? 'T' : ' ');
  append_time_text(time_of_day_of(micros), out);
  if (form == TimeText::kTimestamptz) out.append("+00");
  if (form == TimeText::kIso8601) out.append('Z');
  if (civil.year <= 0) out.append(" BC");
}

}  // namespace sluice::postgres
