#include "postgres/encode.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <string>

#include "postgres/encode_time.h"
#include "postgres/encode_zone.h"

namespace sluice::postgres {
namespace {

// The bytes of a field behind its length, in hex; "bad length" if that is not theirs.
std::string hex_of(const Buffer& out) {
  Buffer hex;
  append_hex_text(out.view(), hex);
  std::string text(hex.view().substr(2));
  if (text.size() < 8 || std::stoul(text.substr(0, 8), nullptr, 16) * 2 != text.size() - 8) {
    return "bad length " + text;
  }
  return text.substr(8);
}

std::string numeric(std::string_view text) {
  Buffer out;
  return append_numeric(text, out) ? hex_of(out) : "needs text";
}
std::string whole(std::string_view text) {
  Buffer out;
  std::int64_t value = 0;
  const bool fits = parse_whole(text, value);
  const bool written = append_whole_text(text, out);
  if (fits && written && std::to_string(value) != out.view()) return "differ";
  return fits ? std::to_string(value) : written ? std::string(out.view()) : "no";
}

TEST(Encode, FixedWidths) {
  const auto field = [](auto append, auto value) {
    Buffer out;
    append(value, out);
    return hex_of(out);
  };
  EXPECT_EQ(field(append_bool, true), "01");
  EXPECT_EQ(field(append_int2, std::int16_t{-2}), "fffe");
  EXPECT_EQ(field(append_int4, 0x01020304), "01020304");
  EXPECT_EQ(field(append_int8, std::int64_t{0x0102030405060708}), "0102030405060708");
  EXPECT_EQ(field(append_float4, 1.0F), "3f800000");
  EXPECT_EQ(field(append_float8, -2.5), "c004000000000000");
  EXPECT_EQ(field(append_bytes, std::string_view("a\0b", 3)), "610062");
  Buffer null;
  append_null(null);
  EXPECT_EQ(null.view(), "\xff\xff\xff\xff");
}

TEST(Encode, NumericHasBase10000DigitsWeightSignAndScale) {
  EXPECT_EQ(numeric("0"), "0000000000000000");
  EXPECT_EQ(numeric("-0.00"), "0000000000000002");
  EXPECT_EQ(numeric("1.50"),
            "0002000000000002"
            "00011388");
  EXPECT_EQ(numeric("-1.5"),
            "0002000040000001"
            "00011388");
  EXPECT_EQ(numeric("12345.6789"),
            "0003000100000004"
            "00010929"
            "1a85");
  EXPECT_EQ(numeric("10000"),
            "0001000100000000"
            "0001");
  EXPECT_EQ(numeric("1e3"),
            "0001000000000000"
            "03e8");
  EXPECT_EQ(numeric("1e-3"),
            "0001ffff00000003"
            "000a");
  EXPECT_EQ(numeric("1.20e1"),
            "0001000000000001"
            "000c");
  EXPECT_EQ(numeric("0.00001"),
            "0001fffe00000005"
            "03e8");
}

TEST(Encode, NumericLeavesWhatItIsNotSureOf) {
  for (const char* text : {"", "-", ".5", "5.", "+1", "1e", "1e+", "1e+-5", "1e1.5", " 1", "1 ",
                           "NaN", "Infinity", "0x10", "1_0", "1e100001", "1e131072", "1e-16384"}) {
    EXPECT_EQ(numeric(text), "needs text") << text;
  }
}

// Reads the bytes back, by their definition.
std::string text_of_numeric(const Buffer& out) {
  const auto word = [&](std::size_t i) {
    const auto* at = reinterpret_cast<const unsigned char*>(out.data()) + 4 + i * 2;
    return at[0] * 256 + at[1];
  };
  const int groups = word(0);
  const int weight = static_cast<std::int16_t>(word(1));
  std::string whole_part;
  std::string fraction;
  for (int at = std::max(weight, 0); at >= 0 || fraction.size() < static_cast<std::size_t>(word(3));
       --at) {
    const int index = weight - at;
    const int group = index >= 0 && index < groups ? word(4 + static_cast<std::size_t>(index)) : 0;
    std::string digits = std::to_string(10'000 + group).substr(1);
    (at >= 0 ? whole_part : fraction) += digits;
  }
  const auto first = whole_part.find_first_not_of('0');
  whole_part = first == std::string::npos ? "0" : whole_part.substr(first);
  fraction.resize(static_cast<std::size_t>(word(3)));
  return std::string(word(2) == 0x4000 ? "-" : "") + whole_part +
         (fraction.empty() ? "" : "." + fraction);
}

TEST(Encode, NumericLosesNoDigit) {
  EXPECT_TRUE(rc::check("numeric", [] {
    const auto digit = rc::gen::inRange('0', static_cast<char>('9' + 1));
    std::string whole_part = *rc::gen::container<std::string>(digit);
    whole_part.erase(0, std::min(whole_part.find_first_not_of('0'), whole_part.size()));
    const std::string fraction = *rc::gen::container<std::string>(digit);
    std::string text = whole_part.empty() ? "0" : whole_part;
    if (!fraction.empty()) text += "." + fraction;
    const bool zero = text.find_first_of("123456789") == std::string::npos;
    if (!zero && *rc::gen::arbitrary<bool>()) text.insert(0, "-");
    Buffer out;
    RC_ASSERT(append_numeric(text, out));
    RC_ASSERT(text_of_numeric(out) == text);
  }));
}

TEST(Encode, WholeNumbersHoweverTheyAreWritten) {
  EXPECT_EQ(whole("0"), "0");
  EXPECT_EQ(whole("-0.0"), "0");
  EXPECT_EQ(whole("1.0"), "1");
  EXPECT_EQ(whole("1e3"), "1000");
  EXPECT_EQ(whole("-12.50e1"), "-125");
  EXPECT_EQ(whole("1000E-3"), "1");
  EXPECT_EQ(whole("9223372036854775807.0"), "9223372036854775807");
  EXPECT_EQ(whole("-9223372036854775808.0"), "-9223372036854775808");
  EXPECT_EQ(whole("-9223372036854775808"), "-9223372036854775808");
  EXPECT_EQ(whole("9223372036854775808.0"), "9223372036854775808");  // as text only
  EXPECT_EQ(whole("1e40"), "1" + std::string(40, '0'));
  for (const char* text : {"1.5", "1e-1", "1e64", "1e400", "", "x", "1x", "0x1"}) {
    EXPECT_EQ(whole(text), "no") << text;
  }
}

TEST(Encode, IntegersArePlainDigits) {
  std::int64_t value = 0;
  for (const char* text :
       {"", "-", "+1", " 1", "1 ", "1.0", "--1", "9223372036854775808", "-9223372036854775809",
        "-+123456789012345678", "1234567890123456789x"}) {
    EXPECT_FALSE(parse_integer(text, value)) << text;
  }
  EXPECT_TRUE(rc::check("round trip", [](std::int64_t number) {
    std::int64_t read = 0;
    RC_ASSERT(parse_integer(std::to_string(number), read));
    RC_ASSERT(read == number);
  }));
}

TEST(Encode, FloatsAreRoundedOnce) {
  double wide = 0;
  float narrow = 0;
  EXPECT_TRUE(parse_float8("0.1", wide) && wide == 0.1);
  EXPECT_TRUE(parse_float8("-0", wide) && std::signbit(wide));
  EXPECT_TRUE(parse_float8("0e-999", wide) && wide == 0);
  EXPECT_TRUE(parse_float8("5e-324", wide) && wide == 5e-324);
  // Just above the middle of two floats: by way of a double, which is that middle, it would be 1.
  EXPECT_TRUE(parse_float4("1.00000005960464477539062500000000000000001", narrow));
  EXPECT_EQ(narrow, std::nextafter(1.0F, 2.0F));
  for (const char* text :
       {"", "-", "inf", "nan", "NaN", "+1", " 1", "1 ", "1e400", "1e-400", "0x1p4", "1x"}) {
    EXPECT_FALSE(parse_float8(text, wide)) << text;
  }
  for (const char* text : {"1e39", "1e-46", "-3.5e38"})
    EXPECT_FALSE(parse_float4(text, narrow)) << text;
}

TEST(Encode, Uuid) {
  const auto uuid = [](std::string_view text) {
    Buffer out;
    return append_uuid(text, out) ? hex_of(out) : "needs text";
  };
  const std::string bytes = "a0eebc999c0b4ef8bb6d6bb9bd380a11";
  EXPECT_EQ(uuid("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), bytes);
  EXPECT_EQ(uuid("A0EEBC999C0B4EF8BB6D6BB9BD380A11"), bytes);
  EXPECT_EQ(uuid("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g"), "needs text");
  EXPECT_EQ(uuid("a0eebc999-c0b-4ef8-bb6d-6bb9bd380a11"), "needs text");
  EXPECT_EQ(uuid("{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1"), "needs text");
  EXPECT_EQ(uuid(""), "needs text");
}

TEST(Encode, Bytea) {
  const auto bytea = [](std::string_view text) {
    Buffer out;
    return append_bytea(text, out) ? hex_of(out) : "needs text";
  };
  EXPECT_EQ(bytea("\\x00fF"), "00ff");
  EXPECT_EQ(bytea(""), "");
  EXPECT_EQ(bytea("ab"), "6162");
  for (const char* text : {"\\x1", "\\xzz", "\\x 41", "\\101", "a\\\\"}) {
    EXPECT_EQ(bytea(text), "needs text") << text;
  }
}

TEST(Encode, DecodesWhatWasEncoded) {
  EXPECT_TRUE(rc::check("hex", [](const std::string& bytes) {
    Buffer hex;
    Buffer back;
    std::size_t bad_at = 0;
    append_hex_text(bytes, hex);
    RC_ASSERT(decode_hex(hex.view().substr(2), back, bad_at));
    RC_ASSERT(back.view() == bytes);
  }));
  const auto base64 = [](std::string_view text) {
    Buffer out;
    std::size_t bad_at = 0;
    return decode_base64(text, out, bad_at) ? std::string(out.view())
                                            : "bad at " + std::to_string(bad_at);
  };
  EXPECT_EQ(base64("aGVsbG8="), "hello");
  EXPECT_EQ(base64("aGVsbG8"), "hello");
  EXPECT_EQ(base64("-_+/"), "\xfb\xff\xbf");
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("aGVs bG8="), "bad at 4");
  EXPECT_EQ(base64("aGVsb"), "bad at 5");
  EXPECT_EQ(base64("aGVsbG9="), "bad at 7");  // bits that belong to no byte
  EXPECT_EQ(base64("===="), "bad at 0");
}

TEST(Encode, Booleans) {
  bool value = false;
  for (const char* text : {"true", "T", "1", "Yes", "y", "ON"}) {
    value = false;
    EXPECT_TRUE(parse_bool(text, value) && value) << text;
  }
  for (const char* text : {"false", "f", "0", "NO", "n", "off"}) {
    value = true;
    EXPECT_TRUE(parse_bool(text, value) && !value) << text;
  }
  for (const char* text : {"", "tru", " t", "o", "2", "maybe!"}) {
    EXPECT_FALSE(parse_bool(text, value)) << text;
  }
}

std::string timestamp(std::string_view text) {
  Timestamp read;
  if (!parse_timestamp(text, read)) return "needs text";
  Buffer out;
  append_timestamp_text(read.local_micros(), TimeText::kTimestamp, out);
  return std::string(out.view()) + (read.has_offset ? " " + std::to_string(read.seconds_east) : "");
}

TEST(EncodeTime, Timestamps) {
  EXPECT_EQ(timestamp("2026-01-02"), "2026-01-02 00:00:00");
  EXPECT_EQ(timestamp("2026-01-02 03:04"), "2026-01-02 03:04:00");
  EXPECT_EQ(timestamp("2026-01-02T03:04:05.6Z"), "2026-01-02 03:04:05.6 0");
  EXPECT_EQ(timestamp("2026-01-02T03:04:05+05:30"), "2026-01-02 03:04:05 19800");
  EXPECT_EQ(timestamp("2026-01-02T03:04:05 -0330"), "2026-01-02 03:04:05 -12600");
  EXPECT_EQ(timestamp("2026-01-02T03:04:05-15:59:59"), "2026-01-02 03:04:05 -57599");
  EXPECT_EQ(timestamp("2024-02-29T00:00:00"), "2024-02-29 00:00:00");
  EXPECT_EQ(timestamp("2026-01-02T03:04:05.1234565"), "2026-01-02 03:04:05.123456");
  EXPECT_EQ(timestamp("0001-01-01"), "0001-01-01 00:00:00");
  for (const char* text : {"",
                           "2026",
                           "2026-1-2",
                           "2026-02-29",
                           "1900-02-29",
                           "0000-01-01",
                           "2026-13-01",
                           "2026-00-01",
                           "2026-01-00",
                           "2026-01-02T",
                           "2026-01-02T24:00",
                           "2026-01-02T23:59:60",
                           "2026-01-02T03:04:05.",
                           "2026-01-02T03:04:05.1234567890",
                           "2026-01-02T03:04:05.9999999",
                           "2026-01-02T03:04:05+16",
                           "2026-01-02T03:04:05+1",
                           "2026-01-02T03:04:05+01:",
                           "2026-01-02T03:04:05Z ",
                           "2026-01-02Z",
                           "2026-01-02t03:04:05z",
                           " 2026-01-02",
                           "2026-01-02  03:04:05",
                           "2026-01-02T03:04:05 UTC"}) {
    EXPECT_EQ(timestamp(text), "needs text") << text;
  }
}

TEST(EncodeTime, TextOfATimestampReadsBack) {
  EXPECT_TRUE(rc::check("round trip", [] {
    // The years that parse_timestamp takes.
    const auto micros =
        *rc::gen::inRange<std::int64_t>(-63'082'281'600'000'000, 252'455'616'000'000'000);
    Buffer out;
    append_timestamp_text(micros, TimeText::kIso8601, out);
    Timestamp read;
    RC_ASSERT(parse_timestamp(out.view(), read));
    RC_ASSERT(read.local_micros() == micros);
    RC_ASSERT(day_of(micros) * kMicrosPerDay + time_of_day_of(micros) == micros);
  }));
}

TEST(EncodeTime, EpochNumbersAreExact) {
  const auto epoch = [](std::string_view text, int power) -> std::string {
    std::int64_t micros = 0;
    switch (parse_epoch(text, power, micros)) {
      case Epoch::kNotANumber:
        return "not a number";
      case Epoch::kOutOfRange:
        return "out of range";
      case Epoch::kOk:
        break;
    }
    return std::to_string(micros + kUnixToPostgresSeconds * kMicrosPerSecond);
  };
  EXPECT_EQ(epoch("1700000000", 6), "1700000000000000");
  EXPECT_EQ(epoch("1700000000.123", 6), "1700000000123000");
  EXPECT_EQ(epoch("1.7e9", 6), "1700000000000000");
  EXPECT_EQ(epoch("0.0000005", 6), "0");
  EXPECT_EQ(epoch("0.0000015", 6), "2");
  EXPECT_EQ(epoch("-0.0000015", 6), "-2");
  EXPECT_EQ(epoch("0.0000025", 6), "2");
  EXPECT_EQ(epoch("0.00000250000000000000000000000000000001", 6), "3");
  EXPECT_EQ(epoch("999", -3), "1");
  EXPECT_EQ(epoch("1500", -3), "2");
  EXPECT_EQ(epoch("2500", -3), "2");
  EXPECT_EQ(epoch("-1", -3), "0");
  EXPECT_EQ(epoch("0", 6), "0");
  EXPECT_EQ(epoch("0e99999", 6), "0");
  EXPECT_EQ(epoch("1e-99999", 6), "0");
  EXPECT_EQ(epoch("-210866803200", 6), "-210866803200000000");
  EXPECT_EQ(epoch("-210866803200.0000005", 6), "-210866803200000000");
  EXPECT_EQ(epoch("-210866803200.000001", 6), "out of range");
  EXPECT_EQ(epoch("9224318016000", 6), "out of range");
  EXPECT_EQ(epoch("1e99999", 6), "out of range");
  EXPECT_EQ(epoch("2026-01-02", 6), "not a number");
  EXPECT_EQ(epoch("", 6), "not a number");
}

TEST(EncodeTime, TextBeyondFourDigitYears) {
  const auto text = [](std::int64_t seconds) {
    Buffer out;
    append_timestamp_text((seconds - kUnixToPostgresSeconds) * kMicrosPerSecond,
                          TimeText::kTimestamptz, out);
    return std::string(out.view());
  };
  EXPECT_EQ(text(253'402'300'800), "10000-01-01 00:00:00+00");
  EXPECT_EQ(text(-62'135'596'801), "0001-12-31 23:59:59+00 BC");
  EXPECT_EQ(text(-210'866'803'200), "4714-11-24 00:00:00+00 BC");
}

TEST(EncodeZone, GapAndOverlapAsPostgresHasThem) {
  // New York 2026: forward on March 8 at 07:00 UTC, back on November 1 at 06:00 UTC.
  const auto zone = TimeZone::parse("-18000;1772953200,-18000,-14400;1793512800,-14400,-18000;");
  ASSERT_TRUE(zone.has_value());
  const auto offset = [&](std::int64_t local) {
    std::int32_t east = 1;
    return zone->offset(local, east) ? std::to_string(east) : "unknown";
  };
  const std::int64_t forward = 1'772'953'200 - 18'000;  // 02:00 on the clock
  EXPECT_EQ(offset(forward - 1), "-18000");
  EXPECT_EQ(offset(forward), "-18000");
  EXPECT_EQ(offset(forward + 3'599), "-18000");
  EXPECT_EQ(offset(forward + 3'600), "-14400");
  const std::int64_t back = 1'793'512'800 - 18'000;  // 01:00, the second time
  EXPECT_EQ(offset(back - 1), "-14400");
  EXPECT_EQ(offset(back), "-18000");
  EXPECT_EQ(offset(back + 3'600), "-18000");
  EXPECT_EQ(offset(-1), "unknown");
  EXPECT_EQ(offset(2'145'916'800), "unknown");
  for (const char* text : {"", "x", "0", "0;1", "0;1,2", "0;1,2,3", "0;5,0,1;5,1,0;"}) {
    EXPECT_FALSE(TimeZone::parse(text).has_value()) << text;
  }
  EXPECT_TRUE(is_utc("UTC") && is_utc("Etc/UTC") && !is_utc("Europe/London"));
}

}  // namespace
}  // namespace sluice::postgres
