#include "generate.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <ctime>

namespace sluice::values {
namespace {

using std::string;

string format(const char* form, auto... arguments) {
  std::array<char, 128> text;
  std::snprintf(text.data(), text.size(), form, arguments...);
  return text.data();
}

// `text` as a JSON string, its characters now and then escaped although they need not be.
string quoted(Random& random, const string& text) {
  string json = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      json += '\\';
      json += c;
    } else if (byte < 0x20 || (byte < 0x7f && random.one_in(20))) {
      json += format(random.one_in(2) ? "\\u%04x" : "\\u%04X", byte);
    } else {
      json += c;
    }
  }
  return json + "\"";
}

// JSON text of a string with only the escapes that it must have.
string canonical(const string& text) {
  string json = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const auto at = string("\b\f\n\r\t\"\\").find(c);
    if (at != string::npos) {
      json += '\\';
      json += "bfnrt\"\\"[at];
    } else if (byte < 0x20) {
      json += format("\\u%04x", byte);
    } else {
      json += c;
    }
  }
  return json + "\"";
}

Sample text_sample(Random& random, const string& text) {
  return {quoted(random, text), Oracle::kInput, text};
}
// A number token: what PostgreSQL gets as it is.
Sample token_sample(const string& token) { return {token, Oracle::kInput, token}; }
// The same text as a number or, one time in three, as a string.
Sample either(Random& random, const string& text) {
  return random.one_in(3) ? text_sample(random, text) : token_sample(text);
}
Sample null_sample() { return {"null", Oracle::kInput, std::nullopt}; }

string any_text(Random& random, int most) {
  static const std::vector<string> kPieces = {
      "a",      "Z",    "0",    " ",     "\t",   "\n",   "\r", "\\", "\\N",     "\\.",
      "\"",     "'",    ",",    "{",     "}",    "(",    ")",  ";",  "\b",      "\f",
      "\v",     "\x01", "\x1f", "\x7f",  "NULL", "null", "é",  "ß",  "日本",    "😀",
      "\u2028", "$1",   "%s",   "\\x41", "\r\n", "  ",   "/",  "&",  "abcdefgh"};
  string text;
  for (auto count = random.between(0, most); count > 0; --count) text += random.pick(kPieces);
  return text;
}

// One byte changed, lost, doubled or put in: what a reader of a grammar gets wrong.
string mutated(Random& random, string text) {
  static const string kBytes = "0123456789+-.:eEtTzZ xX/abINF_{}";
  const auto any = [&] { return kBytes[static_cast<std::size_t>(random.between(0, 31))]; };
  const auto at =
      static_cast<std::size_t>(random.between(0, static_cast<std::int64_t>(text.size())));
  switch (random.between(0, 3)) {
    case 0:
      return text.insert(at, 1, any());
    case 1:
      return at < text.size() ? text.erase(at, 1) : text;
    case 2:
      if (at < text.size()) text[at] = any();
      return text;
    default:
      return at < text.size() ? text.insert(at, 1, text[at]) : text;
  }
}

// --- numbers

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

// --- text and bytes

string any_json(Random& random, int depth) {
  switch (random.between(depth > 0 ? 0 : 2, 7)) {
    case 0: {
      string json = "[";
      for (auto count = random.between(0, 3); count > 0; --count) {
        json += any_json(random, depth - 1) + (count > 1 ? (random.one_in(3) ? ", " : ",") : "");
      }
      return json + "]";
    }
    case 1: {
      string json = "{";
      for (auto count = random.between(0, 3); count > 0; --count) {
        json += quoted(random, any_text(random, 2)) + (random.one_in(3) ? " : " : ":") +
                any_json(random, depth - 1) + (count > 1 ? "," : "");
      }
      return json + (random.one_in(4) ? "\n}" : "}");
    }
    case 2:
      return "null";
    case 3:
      return random.one_in(2) ? "true" : "false";
    case 4:
    case 5:
      return decimal(random, 8);
    default:
      return quoted(random, any_text(random, 4));
  }
}

Sample json(Random& random) {
  if (random.one_in(3)) {
    const string text = any_text(random, 6);
    return {quoted(random, text), Oracle::kInput, canonical(text)};
  }
  const string any = any_json(random, 4);
  if (any == "null") return null_sample();
  if (any.front() == '"') return {"[" + any + "]", Oracle::kInput, "[" + any + "]"};
  return token_sample(any);
}

Sample text(Random& random) {
  if (random.one_in(10)) return token_sample(decimal(random, 6));
  if (random.one_in(20)) return token_sample(random.one_in(2) ? "true" : "false");
  if (random.one_in(10)) {
    const string nested = "[" + any_json(random, 3) + "]";
    return token_sample(nested);
  }
  if (random.one_in(30)) return null_sample();
  return text_sample(random, any_text(random, random.one_in(10) ? 60 : 5));
}

Sample bytea(Random& random) {
  string hex;
  for (auto count = random.between(0, 12); count > 0; --count) {
    hex +=
        format(random.one_in(2) ? "%02x" : "%02X", static_cast<unsigned>(random.between(0, 255)));
  }
  switch (random.between(0, 5)) {
    case 0:
      return text_sample(random, "\\x" + mutated(random, hex));
    case 1:
      return text_sample(random, any_text(random, 5));
    case 2:
      return text_sample(random, "\\000\\101\\\\" + any_text(random, 1));
    default:
      return text_sample(random, "\\x" + hex);
  }
}

// Bytes in `encoding`, made here once more, as bytea's hex for the oracle.
Sample encoded(Random& random, bool base64) {
  static const string kStandard =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  static const string kUrl = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  string hex = "\\x";
  string code;
  string bits;
  for (auto count = random.between(0, 20); count > 0; --count) {
    const auto byte = static_cast<unsigned>(random.between(0, 255));
    hex += format("%02x", byte);
    code += format(random.one_in(2) ? "%02x" : "%02X", byte);
    for (int bit = 7; bit >= 0; --bit) bits += (byte >> bit & 1) != 0 ? '1' : '0';
  }
  if (!base64) return {quoted(random, code), Oracle::kInput, hex};
  code.clear();
  while (bits.size() % 6 != 0) bits += '0';
  const string& alphabet = random.one_in(2) ? kStandard : kUrl;
  for (std::size_t at = 0; at < bits.size(); at += 6) {
    code += alphabet[std::stoul(bits.substr(at, 6), nullptr, 2)];
  }
  if (random.one_in(2)) code.append((4 - code.size() % 4) % 4, '=');
  return {quoted(random, code), Oracle::kInput, hex};
}

Sample uuid(Random& random) {
  string hex;
  for (int i = 0; i < 32; ++i) hex += "0123456789abcdefABCDEF"[random.between(0, 21)];
  string canonical = hex;
  for (const std::size_t at : {20U, 16U, 12U, 8U}) canonical.insert(at, "-");
  switch (random.between(0, 7)) {
    case 0:
      return text_sample(random, hex);
    case 1:
      return text_sample(random, "{" + canonical + "}");
    case 2:
      return text_sample(random, mutated(random, canonical));
    case 3:
      return text_sample(random, mutated(random, hex));
    default:
      return text_sample(random, canonical);
  }
}

// --- dates and times

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

// --- arrays and composites

// A JSON array of one shape in every dimension, so that PostgreSQL's own reading of it is defined.
string array(Random& random, const std::function<string(Random&)>& element, int most = 3) {
  const auto dimensions = random.between(1, most);
  std::vector<std::int64_t> lengths;
  for (auto i = dimensions; i > 0; --i) lengths.push_back(random.between(1, 3));
  const std::function<string(std::size_t)> build = [&](std::size_t level) {
    if (level == lengths.size()) return random.one_in(6) ? string("null") : element(random);
    string json = "[";
    for (auto i = lengths[level]; i > 0; --i)
      json += build(level + 1) + (i > 1 ? (random.one_in(4) ? " , " : ",") : "");
    return json + "]";
  };
  if (random.one_in(20)) return "[]";
  return build(0);
}

Sample array_sample(Random& random, const std::function<string(Random&)>& element) {
  return {array(random, element), Oracle::kPopulate, std::nullopt};
}
string pair(Random& random) {
  string json = "{";
  if (!random.one_in(5)) json += "\"a\":" + std::to_string(random.between(-9, 99)) + ",";
  if (random.one_in(4)) json += "\"unknown\":" + any_json(random, 1) + ",";
  if (!random.one_in(5)) json += "\"B c\": " + quoted(random, any_text(random, 4)) + ",";
  json += "\"d\":" + array(random, [](Random& r) { return quoted(r, any_text(r, 2)); });
  return json + "}";
}

}  // namespace

std::vector<Generator> generators(const Transitions& transitions) {
  std::vector<Generator> all = {
      {"smallint", [](Random& r) { return integer(r, 16); }},
      {"integer", [](Random& r) { return integer(r, 32); }},
      {"bigint", [](Random& r) { return integer(r, 64); }},
      {"oid", [](Random& r) { return integer(r, 34); }},
      {"numeric", numeric},
      {"numeric(12,3)", numeric},
      {"numeric(5,-2)", numeric},
      {"real", [](Random& r) { return floating(r, true); }},
      {"double precision", [](Random& r) { return floating(r, false); }},
      {"boolean", boolean},
      {"text", text},
      {"varchar", text},
      {"varchar(5)", text},
      {"char(5)", text},
      {"name", text},
      {"\"char\"", text},
      {"json", json},
      {"jsonb", json},
      {"bytea", bytea},
      {"bytea; encoding=base64", [](Random& r) { return encoded(r, true); }},
      {"bytea; encoding=hex", [](Random& r) { return encoded(r, false); }},
      {"uuid", uuid},
      {"date", date_time},
      {"timestamp", date_time},
      {"timestamp(3)", date_time},
      {"timestamptz", date_time},
      {"timestamptz(0)", date_time},
      {"time",
       [](Random& r) {
         return text_sample(r, r.one_in(8)   ? any_timestamp(r)
                               : r.one_in(8) ? mutated(r, any_time(r))
                                             : any_time(r));
       }},
      {"time(2)", [](Random& r) { return text_sample(r, any_time(r)); }},
      {"interval",
       [](Random& r) {
         return text_sample(
             r, r.one_in(2) ? std::to_string(r.between(-99, 99)) + " days 03:04" : "P1DT2H");
       }},
      {"timestamptz; unit=s", [](Random& r) { return epoch(r, 6); }},
      {"timestamptz; unit=ms", [](Random& r) { return epoch(r, 3); }},
      {"timestamptz; unit=us", [](Random& r) { return epoch(r, 0); }},
      {"timestamptz; unit=ns", [](Random& r) { return epoch(r, -3); }},
      {"timestamp; unit=ms", [](Random& r) { return epoch(r, 3); }},
      {"timestamp; unit=s; zone=Asia/Tokyo", [](Random& r) { return epoch(r, 6); }},
      {"date; unit=s", [](Random& r) { return epoch(r, 6); }},
      {"time; unit=us", [](Random& r) { return epoch(r, 0); }},
      {"mood",
       [](Random& r) {
         return text_sample(r, r.pick(std::vector<string>{"sad", "it's ok", "häppy\t", "Sad", ""}));
       }},
      {"small", [](Random& r) { return token_sample(std::to_string(r.between(-5, 15))); }},
      {"code", [](Random& r) { return text_sample(r, any_text(r, 3)); }},
      {"integer[]",
       [](Random& r) {
         return array_sample(r, [](Random& e) { return std::to_string(e.between(-9, 9999)); });
       }},
      {"numeric(9,2)[]",
       [](Random& r) { return array_sample(r, [](Random& e) { return decimal(e, 3); }); }},
      {"text[]",
       [](Random& r) {
         return array_sample(r, [](Random& e) { return quoted(e, any_text(e, 4)); });
       }},
      {"boolean[]",
       [](Random& r) {
         return array_sample(r, [](Random& e) { return string(e.one_in(2) ? "true" : "false"); });
       }},
      {"timestamptz[]",
       [](Random& r) {
         return array_sample(r, [](Random& e) { return "\"" + any_date(e) + "T01:02:03Z\""; });
       }},
      {"mood[]",
       [](Random& r) {
         return array_sample(
             r, [](Random& e) { return quoted(e, e.one_in(2) ? "it's ok" : "häppy\t"); });
       }},
      {"box[]",
       [](Random& r) {
         return array_sample(
             r, [](Random& e) { return "\"(" + std::to_string(e.between(0, 9)) + ",1),(2,3)\""; });
       }},
      {"pair", [](Random& r) { return Sample{pair(r), Oracle::kPopulate, std::nullopt}; }},
      {"pair[]",
       [](Random& r) { return Sample{array(r, pair, 1), Oracle::kPopulate, std::nullopt}; }},
      {"nest",
       [](Random& r) {
         return Sample{"{\"p\":" + pair(r) + ",\"j\":" + any_json(r, 2) +
                           ",\"ps\":" + array(r, pair, 1) + "}",
                       Oracle::kPopulate, std::nullopt};
       }},
  };
  for (const char* zone : {"America/New_York", "Europe/Dublin", "Asia/Kolkata",
                           "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia",
                           "America/Sao_Paulo", "Antarctica/Troll", "Africa/Monrovia"}) {
    all.push_back({string("timestamptz; zone=") + zone,
                   [changes = transitions(zone)](Random& r) { return naive(r, changes); }});
  }
  return all;
}

}  // namespace sluice::values
