#include "task/values.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <cmath>

namespace sluice::task {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool same_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

// A decimal number without sign or exponent in front of `text`, which is left behind it.
std::optional<double> take_decimal(std::string_view& text) {
  std::size_t length = 0;
  while (length < text.size() && (is_digit(text[length]) || text[length] == '.')) ++length;
  const std::string_view digits = text.substr(0, length);
  if (digits.empty() || !is_digit(digits.front()) || !is_digit(digits.back())) return {};
  double value = 0;
  const auto [end, problem] =
      std::from_chars(digits.begin(), digits.end(), value, std::chars_format::fixed);
  if (problem != std::errc() || end != digits.end()) return {};
  text.remove_prefix(length);
  return value;
}

// Exactly `length` digits in front of `text`.
std::optional<int> take_digits(std::string_view& text, std::size_t length) {
  int value = 0;
  if (text.size() < length) return {};
  for (std::size_t i = 0; i < length; ++i) {
    if (!is_digit(text[i])) return {};
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(length);
  return value;
}

bool take(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

// ".5", ".000001": milliseconds, rounded up. Nothing there is 0.
std::optional<int> take_fraction_ms(std::string_view& text) {
  if (!take(text, ".")) return 0;
  int milliseconds = 0;
  int digits = 0;
  bool more = false;
  for (; !text.empty() && is_digit(text.front()); text.remove_prefix(1), ++digits) {
    if (digits < 3)
      milliseconds = milliseconds * 10 + (text.front() - '0');
    else
      more = more || text.front() != '0';
  }
  if (digits == 0) return {};
  for (int i = digits; i < 3; ++i) milliseconds *= 10;
  return milliseconds + (more ? 1 : 0);
}

// "Z" or "+02:00", in minutes.
std::optional<int> take_offset(std::string_view& text) {
  if (take(text, "Zz")) return 0;
  const int sign = !text.empty() && text.front() == '-' ? -1 : 1;
  if (!take(text, "+-")) return {};
  const auto hours = take_digits(text, 2);
  if (!hours || !take(text, ":")) return {};
  const auto minutes = take_digits(text, 2);
  if (!minutes || *hours > 23 || *minutes > 59) return {};
  return sign * (*hours * 60 + *minutes);
}

}  // namespace

std::optional<std::int64_t> parse_duration(std::string_view text) {
  const auto number = take_decimal(text);
  if (!number) return {};
  double unit_ms = 0;
  if (text.empty() || text == "s")
    unit_ms = 1000;
  else if (text == "ms")
    unit_ms = 1;
  else if (text == "m")
    unit_ms = 60e3;
  else if (text == "h")
    unit_ms = 3600e3;
  else if (text == "d")
    unit_ms = 86400e3;
  else
    return {};
  const double milliseconds = std::round(*number * unit_ms);
  if (!(milliseconds <= 100 * 366 * 86400e3)) return {};
  return static_cast<std::int64_t>(milliseconds);
}

std::optional<std::int64_t> parse_bytes(std::string_view text) {
  const auto number = take_decimal(text);
  if (!number) return {};
  if (text.starts_with(' ')) text.remove_prefix(1);
  constexpr std::pair<std::string_view, double> kUnits[] = {
      {"", 1},         {"B", 1},         {"kB", 1024},    {"KiB", 1024},
      {"MB", 1 << 20}, {"MiB", 1 << 20}, {"GB", 1 << 30}, {"GiB", 1 << 30},
  };
  for (const auto& [unit, size] : kUnits) {
    if (!same_ignoring_case(text, unit)) continue;
    const double bytes = std::round(*number * size);
    if (!(bytes < 0x1p60)) return {};
    return static_cast<std::int64_t>(bytes);
  }
  return {};
}

std::optional<std::int64_t> parse_timestamp(std::string_view text) {
  const auto year = take_digits(text, 4);
  if (!year || !take(text, "-")) return {};
  const auto month = take_digits(text, 2);
  if (!month || !take(text, "-")) return {};
  const auto day = take_digits(text, 2);
  if (!day || !take(text, "Tt ")) return {};
  const auto hour = take_digits(text, 2);
  if (!hour || !take(text, ":")) return {};
  const auto minute = take_digits(text, 2);
  if (!minute || !take(text, ":")) return {};
  const auto second = take_digits(text, 2);
  if (!second || *hour > 23 || *minute > 59 || *second > 59) return {};
  const auto fraction_ms = take_fraction_ms(text);
  if (!fraction_ms) return {};
  const auto offset = take_offset(text);
  if (!offset || !text.empty()) return {};
  const std::chrono::year_month_day date{std::chrono::year{*year},
                                         std::chrono::month{static_cast<unsigned>(*month)},
                                         std::chrono::day{static_cast<unsigned>(*day)}};
  if (!date.ok()) return {};
  const std::int64_t days = std::chrono::sys_days{date}.time_since_epoch().count();
  const std::int64_t minutes = days * 1440 + *hour * 60 + *minute - *offset;
  return (minutes * 60 + *second) * 1000 + *fraction_ms;
}

std::string timestamp_text(std::int64_t milliseconds) {
  const std::chrono::sys_time<std::chrono::milliseconds> time{
      std::chrono::milliseconds{milliseconds}};
  const auto days = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date{days};
  const std::chrono::hh_mm_ss clock{time - days};
  std::string text =
      fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", int{date.year()}, unsigned{date.month()},
                  unsigned{date.day()}, clock.hours().count(), clock.minutes().count(),
                  clock.seconds().count());
  if (clock.subseconds().count() != 0) text += fmt::format(".{:03}", clock.subseconds().count());
  return text + "Z";
}

std::optional<std::int64_t> parse_count(std::string_view text) {
  if (text.empty() || !is_digit(text.front()) || (text.size() > 1 && text.front() == '0'))
    return {};
  return parse_integer(text);
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, problem] = std::from_chars(text.begin(), text.end(), value);
  if (problem != std::errc() || end != text.end()) return {};
  return value;
}

std::optional<double> parse_number(std::string_view text) {
  double value = 0;
  const auto [end, problem] = std::from_chars(text.begin(), text.end(), value);
  if (problem != std::errc() || end != text.end() || !std::isfinite(value)) return {};
  return value;
}

}  // namespace sluice::task
