#include "task/values.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "task/schema.h"

namespace sluice::task {
namespace {

TEST(Duration, TakesUnitsAndSeconds) {
  EXPECT_EQ(parse_duration("500ms"), 500);
  EXPECT_EQ(parse_duration("10s"), 10'000);
  EXPECT_EQ(parse_duration("5m"), 300'000);
  EXPECT_EQ(parse_duration("2h"), 7'200'000);
  EXPECT_EQ(parse_duration("1d"), 86'400'000);
  EXPECT_EQ(parse_duration("90"), 90'000);
  EXPECT_EQ(parse_duration("1.5s"), 1'500);
  EXPECT_EQ(parse_duration("0"), 0);
}

TEST(Duration, RefusesTheRest) {
  for (const char* text : {"", "s", "-1s", "1w", "10 s", "1.s", ".5s", "1.2.3s", "1e3", "5M",
                           "99999999999999999999d", "36601d", "10s ", "inf"}) {
    EXPECT_EQ(parse_duration(text), std::nullopt) << text;
  }
}

TEST(Bytes, TakesUnits) {
  EXPECT_EQ(parse_bytes("4096"), 4096);
  EXPECT_EQ(parse_bytes("16 MB"), 16 << 20);
  EXPECT_EQ(parse_bytes("16mb"), 16 << 20);
  EXPECT_EQ(parse_bytes("512 kB"), 512 << 10);
  EXPECT_EQ(parse_bytes("1.5 GiB"), 3LL << 29);
  EXPECT_EQ(parse_bytes("7 B"), 7);
}

TEST(Bytes, RefusesTheRest) {
  for (const char* text :
       {"", "MB", "-1", "1 TB", "1  MB", "1e6", "999999999999999 GB", "16 MB "}) {
    EXPECT_EQ(parse_bytes(text), std::nullopt) << text;
  }
}

TEST(Text, GoesThereAndBack) {
  rc::check("sizes and durations are read back as they were written", [] {
    const auto value = *rc::gen::inRange<std::int64_t>(0, std::int64_t{1} << 41);
    RC_ASSERT(parse_bytes(bytes_text(value)) == value);
    RC_ASSERT(parse_duration(duration_text(value)) == value);
    RC_ASSERT(parse_timestamp(timestamp_text(value)) == value);
  });
  EXPECT_EQ(bytes_text(16 << 20), "16 MB");
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(duration_text(90'000), "90s");
  EXPECT_EQ(duration_text(7'200'000), "2h");
}

TEST(Timestamp, IsRfc3339) {
  EXPECT_EQ(parse_timestamp("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(parse_timestamp("2026-01-01T00:00:00Z"), 1'767'225'600'000);
  EXPECT_EQ(parse_timestamp("2026-01-01t02:00:00+02:00"), 1'767'225'600'000);
  EXPECT_EQ(parse_timestamp("2025-12-31 19:30:00-04:30"), 1'767'225'600'000);
  EXPECT_EQ(parse_timestamp("2024-02-29T00:00:00.25Z"), 1'709'164'800'250);
  EXPECT_EQ(parse_timestamp("1970-01-01T00:00:00.0000001Z"), 1);  // the first message after it
  EXPECT_EQ(parse_timestamp("1970-01-01T00:00:00.9990Z"), 999);
  EXPECT_EQ(timestamp_text(1'709'164'800'250), "2024-02-29T00:00:00.250Z");
}

TEST(Timestamp, RefusesTheRest) {
  for (const char* text :
       {"", "2026-01-01", "2026-01-01T00:00:00", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
        "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z",
        "2026-1-1T00:00:00Z", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+0200",
        "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00Zx", "26-01-01T00:00:00Z", "1767225600"}) {
    EXPECT_EQ(parse_timestamp(text), std::nullopt) << text;
  }
}

TEST(Count, IsDigitsWithoutLeadingZeros) {
  EXPECT_EQ(parse_count("0"), 0);
  EXPECT_EQ(parse_count("9223372036854775807"), INT64_MAX);
  for (const char* text : {"", "-1", "+1", "00", "01", "1.0", "1e3", "9223372036854775808", " 1"}) {
    EXPECT_EQ(parse_count(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace sluice::task
