#include <algorithm>
#include <bit>
#include <cmath>

#include "generate_parts.h"

namespace sluice::values {

Sample integer(Random& random, int bits) {
  const std::int64_t limit = bits == 64 ? INT64_MAX : (std::int64_t{1} << (bits - 1)) - 1;
  std::int64_t value = random.between(-limit - 1, limit) >> random.between(0, bits - 1);
  if (random.one_in(8)) value = random.one_in(2) ? limit : -limit - 1;
  string text = std::to_string(value);
  if (value == 0) return either(random, random.one_in(2) ? "0" : "-0");
  switch (random.between(0, 11)) {
    case 0:
      return {text + ".0", Oracle::kInput, text};
    case 1:
      return {text + ".000e0", Oracle::kInput, text};
    case 2:
      return {text + "000E-3", Oracle::kInput, text};
    case 3:
      return {text + "e+2", Oracle::kInput, text + "00"};
    case 4:
      return {text + ".25e2", Oracle::kInput, text + "25"};
    case 5:
      return token_sample(text + ".5");
    case 6:
      return token_sample(text + random.digits(random.between(1, 30)).insert(0, "1"));
    case 7:
      return text_sample(random, mutated(random, text));
    case 8:
      return text_sample(random, random.one_in(2) ? " " + text + " " : "00" + text);
    case 9:
      return text_sample(random, text);
    default:
      return token_sample(text);
  }
}

string decimal(Random& random, int most) {
  string text = random.one_in(3) ? "-" : "";
  const string whole = random.digits(random.between(1, most));
  const auto first = whole.find_first_not_of('0');
  text += first == string::npos ? "0" : whole.substr(first);
  if (random.one_in(2)) text += "." + random.digits(random.between(1, most));
  if (random.one_in(4)) text += "." + string(static_cast<std::size_t>(random.between(1, 9)), '0');
  if (std::count(text.begin(), text.end(), '.') > 1) text.erase(text.rfind('.'), 1);
  if (random.one_in(4))
    text += format("%s%d", random.one_in(2) ? "e" : "E+", static_cast<int>(random.between(0, 12)));
  if (random.one_in(8) && text.find_first_of("eE") == string::npos)
    text += format("e-%d", static_cast<int>(random.between(0, 20)));
  return text;
}

Sample numeric(Random& random) {
  static const std::vector<string> kOdd = {
      "NaN",   "nan",    "Infinity", "-inf",     "+1",       ".5",       "5.",  ".",
      "",      " 1.50 ", "1e5 ",     "1_000",    "0x1F",     "1e",       "e5",  "--1",
      "1e400", "1e-400", "1e16383",  "1e-16383", "1e131071", "1e131072", "1,5", "１"};
  if (random.one_in(12)) return text_sample(random, random.pick(kOdd));
  const string text = decimal(random, random.one_in(10) ? 150 : 12);
  if (random.one_in(6)) return text_sample(random, mutated(random, text));
  return either(random, text);
}

Sample floating(Random& random, bool narrow) {
  static const std::vector<string> kOdd = {"NaN",
                                           "Infinity",
                                           "-Infinity",
                                           "inf",
                                           "+1.5",
                                           " 1.5 ",
                                           "0x1p4",
                                           "1e400",
                                           "-1e400",
                                           "1e-400",
                                           "5e-324",
                                           "2e-324",
                                           "1e39",
                                           "3.4028235e38",
                                           "3.4028236e38",
                                           "1e-45",
                                           "7e-46",
                                           "1e-46",
                                           "1.17549429e-38",
                                           "2.2250738585072011e-308",
                                           "-0",
                                           "-0.0",
                                           "0e999",
                                           "0.0e-999",
                                           ".5",
                                           "5.",
                                           "1e",
                                           "",
                                           "1.7976931348623159e308",
                                           "16777217",
                                           "0.1e",
                                           "1d"};
  if (random.one_in(6)) {
    const string odd = random.pick(kOdd);
    return text_sample(random, odd);
  }
  if (random.one_in(8)) return text_sample(random, mutated(random, decimal(random, 8)));
  if (random.one_in(2)) return either(random, decimal(random, 25));
  const double value =
      narrow ? static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(random.bits())))
             : std::bit_cast<double>(random.bits());
  if (!std::isfinite(value)) return null_sample();
  return either(random, format("%.*g", static_cast<int>(random.between(1, 25)), value));
}

Sample boolean(Random& random) {
  static const std::vector<string> kWords = {
      "true", "tru", "t", "T",   "TRUE", "yes", "ye", "y", "on", "o",   "1",   "false", "fa",
      "f",    "no",  "n", "off", "of",   "0",   "2",  "",  "01", " t ", "On ", "nope"};
  switch (random.between(0, 4)) {
    case 0:
      return {"true", Oracle::kInput, "true"};
    case 1:
      return {"false", Oracle::kInput, "false"};
    case 2:
      return token_sample(random.pick(std::vector<string>{"0", "1", "2", "1.0", "-1", "10"}));
    default:
      return text_sample(random, random.pick(kWords));
  }
}

}  // namespace sluice::values
