#include <algorithm>
#include <ctime>

#include "generate_parts.h"

namespace sluice::values {

string any_date(Random& random) {
  const int year =
      static_cast<int>(random.one_in(10) ? random.between(0, 9999) : random.between(1900, 2100));
  return format(
      "%04d-%02d-%02d", year,
      static_cast<int>(random.between(random.one_in(30) ? 0 : 1, random.one_in(30) ? 13 : 12)),
      static_cast<int>(random.between(random.one_in(30) ? 0 : 1, random.one_in(3) ? 31 : 28)));
}

string any_time(Random& random) {
  string text =
      format("%02d:%02d", static_cast<int>(random.between(0, random.one_in(20) ? 25 : 23)),
             static_cast<int>(random.between(0, random.one_in(30) ? 61 : 59)));
  if (random.one_in(10)) return text;
  text += format(":%02d", static_cast<int>(random.between(0, random.one_in(20) ? 61 : 59)));
  switch (random.between(0, 5)) {
    case 0:
      return text;
    case 1:
      return text + "." + random.digits(3);
    case 2:
      return text + "." + random.digits(random.between(1, 12));
    case 3:
      return text + "." + random.digits(6) +
             random.pick(std::vector<string>{"5", "50", "500", "4999", "5001"});
    case 4:
      return text + ".99999" + random.digits(random.between(1, 4));
    default:
      return text + "." + random.digits(6);
  }
}

namespace {

string any_offset(Random& random) {
  const char sign = random.one_in(2) ? '+' : '-';
  const int hour = static_cast<int>(random.between(0, random.one_in(10) ? 17 : 14));
  const int minute = static_cast<int>(random.between(0, random.one_in(20) ? 61 : 59));
  switch (random.between(0, 8)) {
    case 0:
      return "Z";
    case 1:
      return "";
    case 2:
      return format("%c%02d", sign, hour);
    case 3:
      return format("%c%02d%02d", sign, hour, minute);
    case 4:
      return format(" %c%02d:%02d", sign, hour, minute);
    case 5:
      return format("%c%02d:%02d:%02d", sign, hour, minute,
                    static_cast<int>(random.between(0, 59)));
    case 6:
      return random.pick(
          std::vector<string>{" Z", "z", " UTC", " PST", "+5", "-330", " America/New_York", "+"});
    default:
      return format("%c%02d:%02d", sign, hour, minute);
  }
}

}  // namespace

string any_timestamp(Random& random) {
  static const std::vector<string> kOdd = {"infinity",
                                           "-infinity",
                                           "epoch",
                                           "2001/01/01 06:55",
                                           "Jun 12 1998",
                                           "20260102",
                                           "20260102T030405Z",
                                           "2026-01-02 03:04:05 BC",
                                           "12345-01-02 03:04:05",
                                           "2026-01-02 24:00:00",
                                           "2026-01-02 23:59:60",
                                           "99-01-02",
                                           "2026-002",
                                           "2026-01-02T03",
                                           "03:04:05",
                                           "",
                                           "2026-1-2",
                                           "2026-01-02t03:04:05z",
                                           "294277-01-01",
                                           "0001-01-01T00:00:00+14:00",
                                           "9999-12-31T23:59:59.999999-14:00",
                                           "2026-01-02T03:04:05,678"};
  if (random.one_in(12)) return random.pick(kOdd);
  string text = any_date(random);
  if (random.one_in(8)) return text;
  text += random.one_in(2) ? "T" : " ";
  text += any_time(random) + any_offset(random);
  return random.one_in(10) ? mutated(random, text) : text;
}

Sample date_time(Random& random) {
  if (random.one_in(30)) return token_sample(random.one_in(2) ? "20260102" : "1700000000");
  return text_sample(random, any_timestamp(random));
}

// Naive times around the moments at which clocks change.
Sample naive(Random& random, const std::vector<std::int64_t>& transitions) {
  const std::int64_t around = transitions.empty() || random.one_in(4)
                                  ? random.between(-86'400, 2'145'916'800)
                                  : random.pick(transitions);
  std::int64_t local = around + random.between(-16, 16) * 3'600;
  if (random.one_in(2)) local += random.between(-5'400, 5'400);
  const std::time_t time = local;
  std::tm parts{};
  gmtime_r(&time, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &parts);
  return text_sample(
      random,
      string(text.data()) + (random.one_in(4) ? "." + random.digits(random.between(1, 9)) : ""));
}

// An epoch number whose value is known in whole microseconds, and what it is in SQL's words.
Sample epoch(Random& random, int power) {
  std::int64_t micros = random.between(-62'000'000'000, 250'000'000'000) * 1'000'000;
  if (random.one_in(2))
    micros = random.between(1'600'000'000, 1'900'000'000) * 1'000'000 + random.between(0, 999'999);
  const bool negative = micros < 0;
  string digits = std::to_string(negative ? -micros : micros);
  if (power < 0) {
    digits += "000";
    if (random.one_in(3)) digits.replace(digits.size() - 3, 3, random.one_in(2) ? "499" : "001");
  } else if (power > 0) {
    digits.insert(0, 7, '0');
    digits.insert(digits.size() - static_cast<std::size_t>(power), ".");
    digits.erase(0, std::min(digits.find_first_not_of('0'), digits.find('.') - 1));
    if (random.one_in(2) && digits.find_first_not_of('0', digits.find('.') + 1) == string::npos)
      digits.erase(digits.find('.'));
    if (random.one_in(5) && digits.find('.') != string::npos)
      digits += random.one_in(2) ? "4" : "000";
  }
  const string token = (negative ? "-" : "") + digits;
  const std::int64_t seconds = micros / 1'000'000 - (micros % 1'000'000 < 0 ? 1 : 0);
  const std::time_t time = seconds;
  std::tm parts{};
  gmtime_r(&time, &parts);
  const int year = parts.tm_year + 1900;
  const string reference =
      format("%04d-%02d-%02d %02d:%02d:%02d.%06d+00%s", year > 0 ? year : 1 - year,
             parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
             static_cast<int>(micros - seconds * 1'000'000), year > 0 ? "" : " BC");
  return {random.one_in(4) ? quoted(random, token) : token, Oracle::kInput, reference};
}

}  // namespace sluice::values
