#include "sink/encoder.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <string>

#include "message/type.h"
#include "postgres/encode.h"
#include "postgres/encode_time.h"

namespace sluice::sink {
namespace {

namespace oid = postgres::oid;
using message::Kind;
using message::Value;

postgres::Type type_of(postgres::Oid of, std::string name = "t") {
  postgres::Type type;
  type.oid = of;
  type.category = 'b';
  type.name = std::move(name);
  return type;
}
postgres::Type array_of(const postgres::Type& element, std::string delimiter = ",") {
  postgres::Type type = type_of(1, element.name + "[]");
  type.element = element.oid;
  type.delimiter = std::move(delimiter);
  type.element_type.push_back(element);
  return type;
}
postgres::Type composite(const std::vector<std::pair<std::string, postgres::Type>>& attributes) {
  postgres::Type type = type_of(2, "composite");
  type.category = 'c';
  for (const auto& [name, part] : attributes) {
    type.attribute_names.push_back(name);
    type.attribute_types.push_back(part);
  }
  return type;
}

// One column, with the three encoders as functions from a Value to what they wrote: "text" for
// kNeedsText, "!name" for kProblem, binary fields in hex.
class Column {
 public:
  explicit Column(const postgres::Type& type, const EncoderOptions& options = {}) {
    postgres::ColumnInfo column;
    column.name = "c";
    column.type = type;
    auto encoder = ColumnEncoder::compile(column, options);
    EXPECT_TRUE(encoder.has_value());
    encoder_ = std::make_unique<ColumnEncoder>(std::move(*encoder));
  }
  std::string binary(const Value& value) {
    Buffer out;
    const Encoded taken = encoder_->binary(value, out, scratch_, problem_);
    if (taken != Encoded::kOk) return refusal(taken);
    if (out.view() == "\xff\xff\xff\xff") return "null";
    Buffer hex;
    postgres::append_hex_text(out.view(), hex);
    const std::string text(hex.view().substr(2));
    const bool whole = std::stoul(text.substr(0, 8), nullptr, 16) * 2 == text.size() - 8;
    return whole ? text.substr(8) : "bad length " + text;
  }
  std::string text(const Value& value) {
    Buffer out;
    const Encoded taken = encoder_->plain_text(value, out, scratch_, problem_);
    return taken == Encoded::kOk ? std::string(out.view()) : refusal(taken);
  }
  std::string copy(const Value& value) {
    Buffer out;
    out.append("kept\t");  // what stands before is not touched
    const Encoded taken = encoder_->copy_text(value, out, scratch_, problem_);
    if (taken != Encoded::kOk) return refusal(taken);
    return out.view().starts_with("kept\t") ? std::string(out.view().substr(5)) : "overwritten";
  }
  bool has_binary() const { return encoder_->has_binary(); }
  const message::Problem& problem() const { return problem_; }

 private:
  std::string refusal(Encoded taken) const {
    return taken == Encoded::kNeedsText ? "text"
                                        : "!" + std::to_string(static_cast<int>(problem_.code));
  }
  std::unique_ptr<ColumnEncoder> encoder_;
  Scratch scratch_;
  message::Problem problem_;
};

std::string refused(message::ProblemCode code) {
  return "!" + std::to_string(static_cast<int>(code));
}
Value string(std::string_view text) { return Value::of(Kind::kString, text); }
Value number(std::string_view token) { return Value::of(Kind::kNumber, token); }
Value boolean(bool value) { return Value::of(Kind::kBool, value ? 1 : 0); }
Value array(std::string_view slice) { return Value::of(Kind::kJsonArray, slice); }
Value object(std::string_view slice) { return Value::of(Kind::kJsonObject, slice); }
const Value kNull = Value::of(Kind::kNull, 0);

std::string hex(std::string_view text) {
  Buffer out;
  postgres::append_hex_text(text, out);
  return std::string(out.view().substr(2));
}

TEST(Encoder, NullIsNullForEveryType) {
  for (const auto of : {oid::kBool, oid::kText, oid::kJsonb, std::uint32_t{869}}) {
    Column column(type_of(of));
    EXPECT_EQ(column.binary(kNull), "null");
    EXPECT_EQ(column.copy(kNull), "\\N");
  }
}

TEST(Encoder, Integers) {
  Column small(type_of(oid::kInt2));
  Column medium(type_of(oid::kInt4));
  Column large(type_of(oid::kInt8));
  EXPECT_EQ(small.binary(number("-2")), "fffe");
  EXPECT_EQ(small.binary(number("32768")), "text");
  EXPECT_EQ(medium.binary(number("1.2e1")), "0000000c");
  EXPECT_EQ(medium.text(number("1.2e1")), "12");
  EXPECT_EQ(medium.binary(number("1.5")), "text");
  EXPECT_EQ(medium.text(number("1.5")), "1.5");
  EXPECT_EQ(medium.binary(string("7")), "00000007");
  EXPECT_EQ(medium.binary(string("7.0")), "text");  // the input function refuses that text
  EXPECT_EQ(medium.text(string("7.0")), "7.0");
  EXPECT_EQ(medium.text(number("1e30")), "1" + std::string(30, '0'));  // out of range, said as such
  EXPECT_EQ(medium.binary(boolean(true)), "text");
  EXPECT_EQ(large.binary(number("9223372036854775807")), "7fffffffffffffff");
  EXPECT_EQ(large.binary(number("9223372036854775808")), "text");
  EXPECT_EQ(large.binary(Value::of(Kind::kInteger, 5)), "0000000000000005");
  EXPECT_EQ(large.text(Value::of(Kind::kInteger, -5)), "-5");
  EXPECT_EQ(large.binary(Value::of(Kind::kMicros, 5'000)), "0000000000000005");  // milliseconds
}

TEST(Encoder, CopyTextEscapesOnlyWhatCopyReads) {
  Column column(type_of(oid::kText));
  EXPECT_EQ(column.copy(string("plain, with \"quotes\" and more")),
            "plain, with \"quotes\" and more");
  EXPECT_EQ(column.copy(string("a\tb\nc\rd\\e")), "a\\tb\\nc\\rd\\\\e");
  EXPECT_EQ(column.copy(string("\\N")), "\\\\N");
  EXPECT_EQ(column.copy(string("\\.")), "\\\\.");
  EXPECT_EQ(column.copy(string("\b\f\v")), "\b\f\v");
  EXPECT_EQ(column.copy(string("")), "");
}

// PostgreSQL's reading of a field of text COPY (CopyReadAttributesText), for what escapes we write.
std::string unescaped(const std::string& field) {
  std::string text;
  for (std::size_t i = 0; i < field.size(); ++i) {
    if (field[i] != '\\') {
      text += field[i];
      continue;
    }
    const char c = field.at(++i);
    text += c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c;
  }
  return text;
}

TEST(Encoder, CopyTextReadsBackAsItWas) {
  Column column(type_of(oid::kText));
  EXPECT_TRUE(rc::check("copy text", [&] {
    const auto byte = rc::gen::element('\\', '\t', '\n', '\r', 'a', '"', 'N', ' ', '\x7f', '\xc3');
    const std::string text = *rc::gen::container<std::string>(byte);
    const std::string field = column.copy(string(text));
    RC_ASSERT(field.find_first_of("\t\n\r") == std::string::npos);
    RC_ASSERT(unescaped(field) == text);
  }));
}

TEST(Encoder, NulCharacters) {
  constexpr std::string_view kText("a\0b", 3);
  EncoderOptions options;
  for (const auto of : {oid::kText, oid::kJson, oid::kInt4, oid::kBytea}) {
    Column column(type_of(of), options);
    EXPECT_EQ(column.binary(string(kText)), refused(message::ProblemCode::kNulCharacter));
    EXPECT_EQ(column.text(string(kText)), refused(message::ProblemCode::kNulCharacter));
    EXPECT_EQ(column.problem().column, "c");
    EXPECT_NE(column.problem().detail.find("byte 1"), std::string::npos);
  }
  options.nul = task::Nul::kStrip;
  EXPECT_EQ(Column(type_of(oid::kText), options).binary(string(kText)), hex("ab"));
  EXPECT_EQ(Column(type_of(oid::kInt4), options).binary(string(std::string_view("1\0", 2))),
            "00000001");
  options.nul = task::Nul::kReplace;
  EXPECT_EQ(Column(type_of(oid::kText), options).text(string(kText)),
            "a\xef\xbf\xbd"
            "b");
  Column json(type_of(oid::kJson), options);
  EXPECT_EQ(json.text(array(R"(["\u0000", "\\u0000", "\\\u0000"])")),
            R"(["\ufffd", "\\u0000", "\\\ufffd"])");
  options.nul = task::Nul::kStrip;
  EXPECT_EQ(Column(type_of(oid::kJsonb), options).text(object(R"({"a\u0000":"\u0000\u0000"})")),
            R"({"a":""})");
}

TEST(Encoder, JsonKeepsTheValueAsJson) {
  Column json(type_of(oid::kJson));
  Column jsonb(type_of(oid::kJsonb));
  EXPECT_EQ(json.text(string("say \"a\\b\"\n")), R"("say \"a\\b\"\n")");
  EXPECT_EQ(json.text(string(R"({"a":1})")), R"("{\"a\":1}")");  // not parsed a second time
  EXPECT_EQ(json.text(number("1.50e400")), "1.50e400");
  EXPECT_EQ(json.text(object("{\"b\" : 1}")), "{\"b\" : 1}");
  EXPECT_EQ(json.text(boolean(false)), "false");
  EXPECT_EQ(json.text(Value::of(Kind::kMicros, 0)), "\"1970-01-01T00:00:00Z\"");
  EXPECT_EQ(json.text(Value::of(Kind::kBytes, "{\"a\":1}")), "{\"a\":1}");
  EXPECT_EQ(jsonb.binary(string("x")), "01" + hex("\"x\""));
  EXPECT_EQ(json.binary(array("[]")), hex("[]"));
}

TEST(Encoder, Bytes) {
  constexpr std::string_view kNotText("\xff\x00", 2);
  EXPECT_EQ(Column(type_of(oid::kBytea)).binary(Value::of(Kind::kBytes, kNotText)), "ff00");
  EXPECT_EQ(Column(type_of(oid::kBytea)).text(Value::of(Kind::kBytes, kNotText)), "\\xff00");
  const std::string not_utf8 = refused(message::ProblemCode::kNotUtf8);
  EXPECT_EQ(Column(type_of(oid::kText)).binary(Value::of(Kind::kBytes, kNotText)), not_utf8);
  EXPECT_EQ(Column(type_of(oid::kJsonb)).text(Value::of(Kind::kBytes, kNotText)), not_utf8);
  EXPECT_EQ(Column(type_of(oid::kInt4)).binary(Value::of(Kind::kBytes, "42")), "0000002a");
}

TEST(Encoder, Encodings) {
  EncoderOptions options;
  options.encoding = task::Encoding::kBase64;
  const std::string bad = refused(message::ProblemCode::kBadEncoding);
  Column base64(type_of(oid::kBytea), options);
  EXPECT_EQ(base64.binary(string("AP9c")), "00ff5c");
  EXPECT_EQ(base64.text(string("AP9c")), "\\x00ff5c");
  EXPECT_EQ(base64.copy(string("AP9c")), "\\\\x00ff5c");
  EXPECT_EQ(base64.binary(string("AP9")), bad);
  for (const Value& value : {string("a b"), number("12"), boolean(true), array("[]")}) {
    EXPECT_EQ(base64.binary(value), bad);
    EXPECT_EQ(base64.text(value), bad);
  }
  Column elements(array_of(type_of(oid::kBytea)), options);
  EXPECT_EQ(elements.text(array(R"(["YQ==",null])")), R"({"\\x61",NULL})");
}

TEST(Encoder, EpochNumbers) {
  EncoderOptions options;
  options.unit = task::Unit::kMillis;
  Column instant(type_of(oid::kTimestamptz), options);
  EXPECT_EQ(instant.binary(number("946684800001")), "00000000000003e8");
  EXPECT_EQ(instant.text(number("946684800001")), "2000-01-01 00:00:00.001+00");
  EXPECT_EQ(instant.text(string("946684800001")), "2000-01-01 00:00:00.001+00");
  EXPECT_EQ(instant.binary(string("2000-01-01T00:00:00Z")), "0000000000000000");
  EXPECT_EQ(instant.text(string("soon")), "soon");
  EXPECT_EQ(instant.binary(number("1e30")), refused(message::ProblemCode::kBadTimestamp));
  EXPECT_EQ(instant.text(number("1e30")), refused(message::ProblemCode::kBadTimestamp));
  EXPECT_EQ(Column(type_of(oid::kTimestamp), options).text(number("0")), "1970-01-01 00:00:00");
  EXPECT_EQ(Column(type_of(oid::kDate), options).text(number("-1")), "1969-12-31");
  EXPECT_EQ(Column(type_of(oid::kDate), options).binary(number("946684800000")), "00000000");
  EXPECT_EQ(Column(type_of(oid::kTime), options).text(number("-1")), "23:59:59.999");
  EXPECT_EQ(Column(array_of(type_of(oid::kDate)), options).text(array("[0]")), "{\"1970-01-01\"}");
  EXPECT_EQ(Column(type_of(oid::kTimestamptz)).binary(number("0")), "text");  // no unit
}

TEST(Encoder, NaiveTimestampsFollowTheTimeZone) {
  const std::string_view naive = "2000-01-01T09:00:00";
  EncoderOptions options;
  EXPECT_EQ(Column(type_of(oid::kTimestamptz), options).binary(string("2000-01-01")),
            "0000000000000000");
  options.time_zone = "Asia/Tokyo";
  Column unknown(type_of(oid::kTimestamptz), options);
  EXPECT_EQ(unknown.binary(string(naive)), "text");
  EXPECT_EQ(unknown.binary(string("2000-01-01T09:00:00+09")), "0000000000000000");
  auto zone = postgres::TimeZone::parse("32400;");
  ASSERT_TRUE(zone.has_value());
  options.zone = std::make_shared<const postgres::TimeZone>(std::move(*zone));
  EXPECT_EQ(Column(type_of(oid::kTimestamptz), options).binary(string(naive)), "0000000000000000");
  // Without time zone in the column neither zone nor offset counts.
  EXPECT_EQ(Column(type_of(oid::kTimestamp), options).binary(string("2000-01-01T00:00+05")),
            "0000000000000000");
}

TEST(Encoder, Arrays) {
  Column integers(array_of(type_of(oid::kInt4)));
  EXPECT_FALSE(integers.has_binary());
  EXPECT_EQ(integers.binary(array("[1]")), "text");
  EXPECT_EQ(integers.text(array("[1, 2.0 ,null]")), "{1,2,NULL}");
  EXPECT_EQ(integers.text(array("[[1],[2]]")), "{{1},{2}}");
  EXPECT_EQ(integers.text(array("[ ]")), "{}");
  EXPECT_EQ(integers.text(string("{1}")), "{1}");
  Column texts(array_of(type_of(oid::kText)));
  EXPECT_EQ(texts.text(array(R"(["","null","a\"b","\\","\u00e9"])")),
            "{\"\",\"null\",\"a\\\"b\",\"\\\\\",\"\xc3\xa9\"}");
  EXPECT_EQ(texts.text(array(R"([{"a":"]"},true])")), R"({"{\"a\":\"]\"}",true})");
  EXPECT_EQ(Column(array_of(type_of(603), ";")).text(array(R"~(["(1,2)","x"])~")),
            R"~({"(1,2)";"x"})~");
  Column documents(array_of(type_of(oid::kJsonb)));
  EXPECT_EQ(documents.text(array(R"([[1],"a",null])")), R"({"[1]","\"a\"",NULL})");
}

TEST(Encoder, Composites) {
  const auto pair = composite({{"a", type_of(oid::kInt4)}, {"b c", type_of(oid::kText)}});
  Column column(pair);
  EXPECT_EQ(column.text(object(R"({"b c":"x\"y","a":1.0})")), R"((1,"x\"y"))");
  EXPECT_EQ(column.text(object(R"({"z":[1,{"a":5}],"b c":""})")), "(,\"\")");
  EXPECT_EQ(column.text(object(R"({"a":1,"\u0061":2})")), "(2,)");
  EXPECT_EQ(column.text(object("{}")), "(,)");
  EXPECT_EQ(column.text(array("[null,\"x\"]")), "(,\"x\")");
  EXPECT_EQ(column.text(array("[1]")), "(1)");         // too few, and
  EXPECT_EQ(column.text(array("[1,2,3]")), "(1,2,)");  // too many: PostgreSQL refuses
  Column many(array_of(pair));
  EXPECT_EQ(many.text(array(R"([{"b c":"\""},[2,"y"]])")), R"~({"(,\"\\\"\")","(2,\"y\")"})~");
  Column nested(composite({{"p", pair}}));
  EXPECT_EQ(nested.text(object(R"({"p":{"b c":"\\"}})")), R"~(("(,\"\\\\\")"))~");
}

TEST(Encoder, OptionsThatCannotFit) {
  postgres::ColumnInfo column;
  column.name = "c";
  column.type = type_of(oid::kText, "text");
  EncoderOptions options;
  options.unit = task::Unit::kMillis;
  auto refused_unit = ColumnEncoder::compile(column, options);
  ASSERT_FALSE(refused_unit.has_value());
  EXPECT_EQ(refused_unit.error().code, "unit");
  EXPECT_EQ(refused_unit.error().message, "column \"c\" is of type text, which takes no `unit`");
  EXPECT_FALSE(refused_unit.error().remedy.empty());
  options = {};
  options.encoding = task::Encoding::kHex;
  auto refused_encoding = ColumnEncoder::compile(column, options);
  ASSERT_FALSE(refused_encoding.has_value());
  EXPECT_EQ(refused_encoding.error().code, "encoding");
}

TEST(Encoder, TimesOutsideADayAreForIntervals) {
  const auto time = [](std::int64_t micros) { return Value::of(Kind::kTimeOfDay, micros); };
  Column column(type_of(oid::kTime));
  EXPECT_EQ(column.text(time(postgres::kMicrosPerDay)), "24:00:00");
  for (const std::int64_t micros : {std::int64_t{-1}, postgres::kMicrosPerDay + 1}) {
    EXPECT_EQ(column.binary(time(micros)), refused(message::ProblemCode::kBadType));
    EXPECT_EQ(column.text(time(micros)), refused(message::ProblemCode::kBadType));
  }
  Column interval(type_of(oid::kInterval));
  EXPECT_EQ(interval.text(time(-3'020'399'999'999)), "-838:59:59.999999");
  EXPECT_EQ(interval.text(time(-1)), "-00:00:00.000001");
}

TEST(Encoder, GeometryNeedsNoSchema) {
  message::Type anything;
  anything.assumed = true;
  const auto geometry = [&](std::string_view json) {
    Value value = object(json);
    value.set_type(&anything);
    return value;
  };
  Column bytes(type_of(oid::kBytea));
  EXPECT_EQ(bytes.text(geometry(R"({"wkb":"AQI=","srid":4326})")), "\\x0102");
  EXPECT_EQ(bytes.text(geometry(R"({"x":1,"y":2})")), refused(message::ProblemCode::kBadType));
  EXPECT_EQ(Column(type_of(600, "point")).text(geometry(R"({"x":1.5,"y":-2,"wkb":"AQ=="})")),
            "(1.5,-2)");
  EXPECT_EQ(Column(type_of(oid::kText)).text(geometry(R"({"wkb":"AQI="})")), R"({"wkb":"AQI="})");
}

TEST(Encoder, EnumsAndNamesAreTheirText) {
  postgres::Type mood = type_of(70'000, "mood");
  mood.category = 'e';
  EXPECT_EQ(Column(mood).binary(string("sad")), hex("sad"));
  EXPECT_EQ(Column(type_of(oid::kName)).binary(string(std::string(63, 'x'))),
            hex(std::string(63, 'x')));
  EXPECT_EQ(Column(type_of(oid::kName)).binary(string(std::string(64, 'x'))), "text");
  EXPECT_FALSE(Column(type_of(869, "inet")).has_binary());
  EXPECT_EQ(Column(type_of(869, "inet")).text(string("::1")), "::1");
}

}  // namespace
}  // namespace sluice::sink
