#include "message/decoder.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace sluice::message {
namespace {

using Meta = Input::Meta;
using Shown = std::vector<std::string>;

Input field(std::string name) { return {.field = std::move(name), .meta = Meta::kNone}; }
Input meta(Meta which) { return {.field = std::nullopt, .meta = which}; }

std::string show(const Value& value) {
  const std::string text(value.text());
  switch (value.kind) {
    case Kind::kAbsent:
      return "absent";
    case Kind::kNull:
      return "null";
    case Kind::kBool:
      return value.integer != 0 ? "true" : "false";
    case Kind::kNumber:
      return "number " + text;
    case Kind::kInteger:
      return "integer " + std::to_string(value.integer);
    case Kind::kString:
      return "string " + text;
    case Kind::kBytes:
      return "bytes " + text;
    case Kind::kJsonObject:
      return "object " + text;
    case Kind::kJsonArray:
      return "array " + text;
    case Kind::kMicros:
      return "micros " + std::to_string(value.integer);
    default:
      return "?";  // of change events only
  }
}

Message with_value(std::string_view value) {
  Message message;
  message.value = value;
  message.value_null = false;
  return message;
}
Message tombstone(std::string_view key) {
  Message message;
  message.key = key;
  message.key_null = false;
  return message;
}

class Decoding {
 public:
  explicit Decoding(std::vector<Input> inputs, Extra extra = Extra::kIgnore)
      : decoder(Decoder::compile({.inputs = std::move(inputs), .extra = extra}).value()),
        values(decoder.slots()) {}

  Shown of(const Message& message) {
    return decoder.decode(message, values, problem) ? shown() : Shown{problem_text()};
  }
  Shown of(std::string_view value) { return of(with_value(value)); }
  Shown of_key(const Message& message, const std::vector<int>& key_slots) {
    return decoder.decode_key(message, key_slots, values, problem) ? shown()
                                                                   : Shown{problem_text()};
  }
  ProblemCode code(const Message& message) {
    EXPECT_FALSE(decoder.decode(message, values, problem));
    return problem.code;
  }
  ProblemCode code(std::string_view value) { return code(with_value(value)); }

  Decoder decoder;
  std::vector<Value> values;
  Problem problem;

 private:
  Shown shown() const {
    Shown out;
    for (const Value& value : values) out.push_back(show(value));
    return out;
  }
  std::string problem_text() const { return "problem " + std::string(name_of(problem.code)); }
};

TEST(Decoder, FieldsInTheOrderOfTheInputs) {
  Decoding decoding(
      {field("b"), field("$.a.x"), field("c"), field("d"), field("e"), field("f"), field("g")});
  EXPECT_EQ(
      decoding.of(R"({"a":{"x":1.50},"b":"t\n","c":true,"d":null,"e":[1],"f":{}})"),
      (Shown{"string t\n", "number 1.50", "true", "null", "array [1]", "object {}", "absent"}));
  EXPECT_EQ(decoding.of(R"({"c":false})")[2], "false");
}

TEST(Decoder, Metadata) {
  Decoding decoding({meta(Meta::kTopic), field("a"), meta(Meta::kPartition), meta(Meta::kOffset),
                     meta(Meta::kTimestamp), meta(Meta::kKey), meta(Meta::kHeaders)});
  Message message = with_value(R"({"a":1})");
  message.topic = "orders";
  message.partition = 3;
  message.offset = 9'000'000'000;
  EXPECT_EQ(decoding.of(message), (Shown{"string orders", "number 1", "integer 3",
                                         "integer 9000000000", "null", "null", "object {}"}));
  const Header headers[] = {{"a", "1", false}};
  message.timestamp_ms = 1'767'225'600'123;
  message.key = std::string_view("\0\xFF", 2);
  message.key_null = false;
  message.headers = headers;
  EXPECT_EQ(decoding.of(message), (Shown{"string orders", "number 1", "integer 3",
                                         "integer 9000000000", "micros 1767225600123000",
                                         std::string("bytes \0\xFF", 8), R"(object {"a":"1"})"}));
  message.timestamp_ms = 0;
  EXPECT_EQ(decoding.of(message)[4], "micros 0");
  message.timestamp_ms = std::numeric_limits<std::int64_t>::max() / 1000 + 1;
  EXPECT_EQ(decoding.of(message), Shown{"problem bad_timestamp"});
  EXPECT_EQ(decoding.problem.field, "timestamp");
}

TEST(Decoder, IngestedAtIsNow) {
  Decoding decoding({meta(Meta::kIngestedAt)});
  const auto micros = [] {
    return std::chrono::duration_cast<std::chrono::microseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  };
  const auto before = micros();
  ASSERT_EQ(decoding.of("{}").size(), 1U);
  EXPECT_EQ(decoding.values[0].kind, Kind::kMicros);
  EXPECT_GE(decoding.values[0].integer, before);
  EXPECT_LE(decoding.values[0].integer, micros());
}

TEST(Decoder, HeadersAsJson) {
  Decoding decoding({meta(Meta::kHeaders)});
  Message message = with_value("{}");
  const Header headers[] = {{"trace", "b", false},      {"", "", false},
                            {"bin", "\xFF\xFE", false}, {"trace", "a", false},
                            {"none", "", true},         {"quote\"", "x\ny", false},
                            {"trace", "\xC3", false},   {"\xFF", "odd name", false}};
  message.headers = headers;
  EXPECT_EQ(decoding.of(message)[0],
            "object {\"\":\"\",\"bin\":{\"base64\":\"//4=\"},\"none\":null,\"quote\\\"\":\"x\\ny\","
            "\"trace\":[\"b\",\"a\",{\"base64\":\"ww==\"}],\"base64:/w==\":\"odd name\"}");
}

TEST(Decoder, ManyHeadersOfOneNameStayInOrder) {
  Decoding decoding({meta(Meta::kHeaders)});
  Message message = with_value("{}");
  std::vector<std::string> texts;
  for (int i = 0; i < 1000; ++i) texts.push_back(std::to_string(i));
  std::vector<Header> headers;
  std::string expected = "object {\"h\":[";
  for (const auto& text : texts) {
    headers.push_back({"h", text, false});
    expected += (headers.size() > 1 ? ",\"" : "\"") + text + '"';
  }
  message.headers = headers;
  EXPECT_EQ(decoding.of(message)[0], expected + "]}");
}

TEST(Decoder, ProblemsOfTheValueItself) {
  Decoding decoding({field("a")});
  EXPECT_EQ(decoding.code(Message{}), ProblemCode::kTombstone);
  EXPECT_EQ(decoding.code(""), ProblemCode::kEmptyValue);
  EXPECT_EQ(decoding.code(std::string_view("\0\0\0\1\2{}", 7)), ProblemCode::kSchemaRegistry);
  EXPECT_EQ(decoding.problem.detail, "schema id 258");
  EXPECT_EQ(decoding.code(std::string_view("\0\0\0\0\1", 5)), ProblemCode::kSchemaRegistry);
  EXPECT_EQ(decoding.code(std::string_view("\0\0\0\0", 4)), ProblemCode::kNotJson);
  // A problem of one message leaves nothing behind in the next one's.
  EXPECT_EQ(decoding.code(""), ProblemCode::kEmptyValue);
  EXPECT_EQ(decoding.problem.detail, "");
  EXPECT_EQ(decoding.problem.excerpt, "");
}

TEST(Decoder, DetailAndExcerptNameThePlace) {
  Decoding decoding({field("a")});
  EXPECT_EQ(decoding.code(R"({"a":1 "b":2})"), ProblemCode::kNotJson);
  EXPECT_EQ(decoding.problem.detail, "byte 7: expected ',' or '}' after a value, found '\"'");
  EXPECT_EQ(decoding.problem.excerpt, R"({"a":1 "b":2})");
  EXPECT_EQ(decoding.code(R"({"a":1)"), ProblemCode::kNotJson);
  EXPECT_EQ(decoding.problem.detail,
            "byte 6: expected ',' or '}' after a value, found the end of the document");
  EXPECT_EQ(decoding.code("{\"a\":\"\xFF\"}"), ProblemCode::kNotUtf8);
  EXPECT_EQ(decoding.problem.detail, "byte 6: not valid UTF-8, found 0xff");
  EXPECT_EQ(decoding.code(R"({"a":1}{})"), ProblemCode::kTrailingBytes);
  EXPECT_EQ(decoding.problem.detail,
            "byte 7: the document is complete before this byte, found '{'");
}

TEST(Decoder, Limits) {
  Decoding decoding({field("a")});
  const auto nested = [](std::size_t arrays) {
    return "{\"a\":" + std::string(arrays, '[') + std::string(arrays, ']') + "}";
  };
  EXPECT_EQ(decoding.of(nested(999)).size(), 1U);
  EXPECT_EQ(decoding.values[0].kind, Kind::kJsonArray);
  EXPECT_EQ(decoding.code(nested(1000)), ProblemCode::kTooDeep);
  std::string large = R"({"a":1})";
  large.resize(134217728, ' ');
  EXPECT_EQ(decoding.of(large), Shown{"number 1"});
  large += ' ';
  EXPECT_EQ(decoding.code(large), ProblemCode::kTooLarge);
}

TEST(Decoder, ExtraFields) {
  Decoding ignored({field("a"), field("$.b.c")});
  EXPECT_EQ(ignored.of(R"({"a":1,"x":2})"), (Shown{"number 1", "absent"}));

  Decoding failing({field("a"), field("$.b.c")}, Extra::kFail);
  EXPECT_EQ(failing.of(R"({"a":1,"b":{"d":1}})"), (Shown{"number 1", "absent"}));
  EXPECT_EQ(failing.of(R"({"a":1,"n\u00e4me":2})"), Shown{"problem extra_field"});
  EXPECT_EQ(failing.problem.field, "näme");
  EXPECT_EQ(failing.of("{\"" + std::string(10'000, 'x') + "\":2}"), Shown{"problem extra_field"});
  EXPECT_LE(failing.problem.field.size(), 128U);

  Decoding collected({field("a"), meta(Meta::kOffset)}, Extra::kCollect);
  ASSERT_EQ(collected.decoder.slots(), 3U);
  EXPECT_EQ(collected.of(R"({"x":[1, 2],"a":1,"y":"\u0041"})"),
            (Shown{"number 1", "integer 0", R"(object {"x":[1, 2],"y":"\u0041"})"}));
  EXPECT_EQ(collected.of(R"({"a":1})"), (Shown{"number 1", "integer 0", "absent"}));
}

TEST(Decoder, ReadsNothingBeyondTheMessage) {
  Decoding decoding({field("a")});
  for (const std::string text : {R"({"a":1})", R"({"a":"\ud83d"})", R"({"a":12)", R"({"a":"x)"}) {
    const auto exact = std::make_unique<char[]>(text.size());
    std::memcpy(exact.get(), text.data(), text.size());
    decoding.of(std::string_view(exact.get(), text.size()));
  }
}

TEST(DecodeKey, ObjectGivesItsFields) {
  Decoding decoding({field("id"), field("$.at.day"), field("name"), meta(Meta::kOffset)},
                    Extra::kFail);
  Message message = tombstone(R"({"id":7,"at":{"day":"x\n"},"other":1})");
  message.offset = 12;
  EXPECT_EQ(decoding.of_key(message, {0, 1}),
            (Shown{"number 7", "string x\n", "absent", "integer 12"}));
  EXPECT_EQ(decoding.of_key(tombstone(R"({"id":8})"), {0})[0], "number 8");
  Decoding collecting({field("id")}, Extra::kCollect);
  EXPECT_EQ(collecting.of_key(tombstone(R"({"id":8,"x":1})"), {0}), (Shown{"number 8", "absent"}));
}

TEST(DecodeKey, ScalarGivesTheOnlyField) {
  Decoding decoding({field("name"), field("id")});
  const std::pair<std::string_view, std::string> keys[] = {
      {"17", "number 17"},
      {" 1e5 ", "number 1e5"},
      {R"("a\u0041")", "string aA"},
      {"true", "true"},
      {"null", "null"},
      {"customer-17", "string customer-17"},
      {"2026-01-01", "string 2026-01-01"},
      {"007", "string 007"},
      {"12 34", "string 12 34"},
      {"größe", "string größe"},
      {"a\tb", "string a\tb"},
      {"it's \"x", "string it's \"x"},
      {"", "string "},
      {"   ", "string    "},
  };
  for (const auto& [key, expected] : keys) {
    EXPECT_EQ(decoding.of_key(tombstone(key), {1}), (Shown{"absent", expected})) << key;
  }
}

TEST(DecodeKey, Problems) {
  Decoding decoding({field("a"), field("b")});
  EXPECT_EQ(decoding.of_key(tombstone("17"), {0, 1}), Shown{"problem not_an_object"});
  EXPECT_EQ(decoding.problem.detail,
            "in the message's key, which must be an object with the 2 fields of the table's key");
  EXPECT_EQ(decoding.of_key(tombstone("x-17"), {0, 1}), Shown{"problem not_json"});
  EXPECT_EQ(decoding.of_key(tombstone("[1]"), {0}), Shown{"problem not_an_object"});
  EXPECT_EQ(decoding.of_key(tombstone("[1"), {0}), Shown{"problem not_json"});
  EXPECT_EQ(decoding.of_key(tombstone("{\"a\":1"), {0}), Shown{"problem not_json"});
  EXPECT_EQ(decoding.of_key(tombstone("\"x"), {0}), Shown{"problem not_json"});
  EXPECT_EQ(decoding.of_key(tombstone("{}{}"), {0}), Shown{"problem trailing_bytes"});
  EXPECT_EQ(decoding.of_key(tombstone("\xFFx"), {0}), Shown{"problem not_utf8"});
  EXPECT_EQ(decoding.problem.detail, "in the message's key: byte 0: not valid UTF-8, found 0xff");
  EXPECT_EQ(decoding.of_key(tombstone(R"("\ud800")"), {0}), Shown{"problem lone_surrogate"});
  EXPECT_EQ(decoding.of_key(tombstone(std::string_view("\0\0\0\0\7x", 6)), {0}),
            Shown{"problem schema_registry"});
  EXPECT_EQ(decoding.problem.detail, "in the message's key: schema id 7");
  Message keyless;
  EXPECT_EQ(decoding.of_key(keyless, {0}), Shown{"problem null_key"});
}

TEST(DecodeKey, MetadataAloneNeedsNoKey) {
  Decoding decoding({meta(Meta::kKey), field("a"), meta(Meta::kPartition)});
  EXPECT_EQ(decoding.of_key(tombstone("{broken"), {0}),
            (Shown{"bytes {broken", "absent", "integer 0"}));
  EXPECT_EQ(decoding.of_key(Message{}, {2}), (Shown{"null", "absent", "integer 0"}));
  // Of a mixed key the only field takes the scalar.
  EXPECT_EQ(decoding.of_key(tombstone("x"), {1, 2}), (Shown{"bytes x", "string x", "integer 0"}));
}

TEST(Decoder, CompileNamesTheInput) {
  const auto error_of = [](std::vector<Input> inputs) {
    auto decoder = Decoder::compile({.inputs = std::move(inputs), .extra = Extra::kIgnore});
    EXPECT_FALSE(decoder);
    return decoder ? Error{} : decoder.error();
  };
  EXPECT_EQ(error_of({field("a"), field("$..b")}).code, "1");
  EXPECT_EQ(error_of({field("a"), meta(Meta::kKey), field("$[0]")}).code, "2");
  EXPECT_EQ(error_of({Input{}}).code, "0");
  EXPECT_EQ(error_of({Input{.field = "a", .meta = Meta::kKey}}).code, "0");
  EXPECT_EQ(error_of({field("$.a[*]")}).domain, Domain::kDocument);
  EXPECT_NE(error_of({field("$.a[*]")}).message.find("`$.a[*]`"), std::string::npos);
}

TEST(Decoder, MovesWithItsValues) {
  Decoding decoding({field("a"), meta(Meta::kHeaders)});
  ASSERT_EQ(decoding.of(R"({"a":"\n"})")[0], "string \n");
  Decoder moved(std::move(decoding.decoder));
  EXPECT_EQ(show(decoding.values[0]), "string \n");
  EXPECT_EQ(show(decoding.values[1]), "object {}");
  Problem problem;
  ASSERT_TRUE(moved.decode(with_value(R"({"a":2})"), decoding.values, problem));
  EXPECT_EQ(show(decoding.values[0]), "number 2");
}

}  // namespace
}  // namespace sluice::message
