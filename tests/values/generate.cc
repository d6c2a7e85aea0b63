#include "generate.h"

#include <algorithm>

#include "generate_parts.h"

namespace sluice::values {

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

namespace {

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

const std::vector<string> kMoods = {"sad", "it's ok", "häppy\t", "Sad", ""};

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
      {"mood", [](Random& r) { return text_sample(r, r.pick(kMoods)); }},
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
