#include "sink/convert.h"

#include <gtest/gtest.h>

#include "postgres/encode.h"

namespace sluice::sink {
namespace {

using message::Base;
using message::Kind;
using message::Meaning;
using message::Problem;
using message::Type;
using message::Value;

Type type_of(Base base, std::string_view name, std::int32_t scale = 0) {
  Type type;
  type.base = base;
  message::apply_name(type, name);
  type.scale = scale;
  return type;
}

// The kind and text or count that a value becomes; "!" and the reason if it is refused.
std::string converted(const Type& type, Value value) {
  TextStore store;
  Problem problem;
  if (!convert(type, value, store, problem)) return "!" + problem.detail;
  switch (value.kind) {
    case Kind::kNumber:
      return "number " + std::string(value.text());
    case Kind::kString:
      return "text " + std::string(value.text());
    case Kind::kDate:
      return "date " + std::to_string(value.integer);
    case Kind::kTimestamp:
      return "timestamp " + std::to_string(value.integer);
    case Kind::kTimeOfDay:
      return "time " + std::to_string(value.integer);
    case Kind::kBytes:
      return "bytes " + std::to_string(value.text().size());
    default:
      return "other";
  }
}
Value text(std::string_view content) { return Value::of(Kind::kString, content); }
Value number(std::string_view token) { return Value::of(Kind::kNumber, token); }

TEST(Convert, KeepsAllDigitsOfDecimals) {
  const auto decimal = [](std::int32_t scale, std::string_view base64) {
    return converted(type_of(Base::kBytes, "org.apache.kafka.connect.data.Decimal", scale),
                     text(base64));
  };
  EXPECT_EQ(decimal(4, "EtaH"), "number 123.4567");
  EXPECT_EQ(decimal(0, "AA=="), "number 0");
  EXPECT_EQ(decimal(2, "AA=="), "number 0.00");
  EXPECT_EQ(decimal(2, "/w=="), "number -0.01");
  EXPECT_EQ(decimal(2, "/av0HAE="), "number -99999999.99");
  EXPECT_EQ(decimal(10, "CUmw9vACMxPESZBOzGdFFQ=="),
            "number 1234567890123456789012345678.0123456789");
  EXPECT_EQ(decimal(-2, "ew=="), "number 12300");
  EXPECT_EQ(decimal(0, "gAAAAAAAAAAA")  // -2^71, just beyond 64 bits
            ,
            "number -2361183241434822606848");
  EXPECT_EQ(decimal(0, "123.45").substr(0, 1), "!");
  EXPECT_EQ(decimal(20'000, "AQ==").substr(0, 1), "!");
}

TEST(Convert, ReadsTimesInTheirUnits) {
  EXPECT_EQ(converted(type_of(Base::kInteger, "io.debezium.time.Date"), number("19782")),
            "date 19782");
  EXPECT_EQ(converted(type_of(Base::kInteger, "io.debezium.time.Date"), number("-2147472692")),
            "text infinity");
  EXPECT_EQ(
      converted(type_of(Base::kInteger, "io.debezium.time.Timestamp"), number("1709212455123")),
      "timestamp 1709212455123000");
  EXPECT_EQ(converted(type_of(Base::kInteger, "io.debezium.time.MicroTimestamp"),
                      number("-9223372036832400000")),
            "text -infinity");
  EXPECT_EQ(converted(type_of(Base::kInteger, "io.debezium.time.NanoTimestamp"), number("1500")),
            "timestamp 2");
  EXPECT_EQ(converted(type_of(Base::kInteger, "io.debezium.time.NanoTimestamp"), number("2500")),
            "timestamp 2");
  EXPECT_EQ(converted(type_of(Base::kInteger, "io.debezium.time.MicroTime"), number("86400000000")),
            "time 86400000000");
  EXPECT_EQ(converted(type_of(Base::kString, "io.debezium.time.ZonedTimestamp"),
                      text("-0043-03-15T12:00:00Z")),
            "text 0044-03-15T12:00:00Z BC");
  EXPECT_EQ(converted(type_of(Base::kString, "io.debezium.time.IsoDate"), text("+10000-01-01Z")),
            "text 10000-01-01");
}

TEST(Convert, RefusesWhatContradictsItsSchema) {
  EXPECT_EQ(converted(type_of(Base::kInteger, "io.debezium.time.Date"), text("2024-01-01"))[0],
            '!');
  EXPECT_EQ(converted(type_of(Base::kInteger, ""), text("7"))[0], '!');
  EXPECT_EQ(converted(type_of(Base::kBytes, ""), text("~"))[0], '!');
  EXPECT_EQ(converted(type_of(Base::kBytes, ""), text("AP8="))  // base64 of two bytes
            ,
            "bytes 2");
  EXPECT_EQ(converted(type_of(Base::kFloat, ""), text("NaN")), "text NaN");
}

TEST(Convert, TakesTheBackslashFromCommasOfEnumLabels) {
  Type label = type_of(Base::kString, "io.debezium.data.Enum");
  label.allowed = R"(red,b\,l"u'e,back\slash,x\\,y,)";
  EXPECT_EQ(converted(label, text("red")), "text red");
  EXPECT_EQ(converted(label, text("")), "text ");
  EXPECT_EQ(converted(label, text(R"(b\,l"u'e)")), R"(text b,l"u'e)");
  EXPECT_EQ(converted(label, text(R"(back\slash)")), R"(text back\slash)");
  EXPECT_EQ(converted(label, text(R"(x\\,y)")), R"(text x\,y)");
  EXPECT_EQ(converted(label, text(R"(other\,one)")), R"(text other\,one)");
  EXPECT_EQ(converted(label, number("1"))[0], '!');
  Type set = type_of(Base::kString, "io.debezium.data.EnumSet");
  set.allowed = R"(a\,b)";
  EXPECT_EQ(converted(set, text(R"(a\,b)")), R"(text a\,b)");
}

TEST(Convert, TakesTimesOfIsostringForIntervals) {
  postgres::Type interval;
  interval.oid = postgres::oid::kInterval;
  const Type assumed = assumed_type(interval, task::WireUnit::kNone);
  EXPECT_EQ(converted(assumed, text("13:14:15.123Z")), "text 13:14:15.123");
  EXPECT_EQ(converted(assumed, text("P1Y2M3DT4H5M6.789012S")), "text P1Y2M3DT4H5M6.789012S");
  EXPECT_EQ(converted(type_of(Base::kInteger, "io.debezium.time.MicroDuration"), text("13:14:15Z")),
            "!a text where io.debezium.time.MicroDuration is expected");
}

TEST(Convert, DoesNotGuessTheScaleOfANumeric) {
  postgres::Type numeric;
  numeric.oid = postgres::oid::kNumeric;
  const std::string found = converted(assumed_type(numeric, task::WireUnit::kNone), text("APo="));
  EXPECT_TRUE(found.starts_with("!a text for a column of the type numeric")) << found;
  numeric.typmod = ((5 << 16) | 2) + 4;
  const Type scaled = assumed_type(numeric, task::WireUnit::kNone);
  EXPECT_EQ(converted(scaled, text("APo=")), "number 2.50");
  EXPECT_EQ(converted(scaled, text("Infinity")), "text Infinity");
}

TEST(Unavailable, HasManyForms) {
  const Unavailable unavailable("__debezium_unavailable_value");
  for (const std::string_view form :
       {"__debezium_unavailable_value", "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="}) {
    EXPECT_TRUE(unavailable.is(text(form)));
  }
  for (const std::string_view form :
       {R"(["__debezium_unavailable_value"])", R"(["b68a35a7-17ad-35b3-af2a-ae46edb4545a"])"}) {
    EXPECT_TRUE(unavailable.is(Value::of(Kind::kJsonArray, form))) << form;
  }
  EXPECT_FALSE(unavailable.is(text("__debezium")));
}

}  // namespace
}  // namespace sluice::sink
