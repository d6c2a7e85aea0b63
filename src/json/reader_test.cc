#include "json/reader.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace sluice::json {
namespace {

// A reader of some paths whose slots are shown as text: "number 1", "absent" and so on.
class Reading {
 public:
  explicit Reading(const std::vector<std::string>& paths, Unmapped unmapped = Unmapped::kIgnore)
      : reader_(compile(paths), unmapped), slots_(paths.size()) {}

  bool read(std::string_view document) {
    // Exactly as long as the document, so that the sanitizer sees each byte read beyond it.
    copy_ = std::make_unique<char[]>(document.size());
    std::memcpy(copy_.get(), document.data(), document.size());
    failure = {};
    return reader_.read({copy_.get(), document.size()}, slots_, failure);
  }
  std::vector<std::string> values(std::string_view document) {
    if (!read(document)) {
      ADD_FAILURE() << document << ": " << failure.what << " at " << failure.at;
      return {};
    }
    std::vector<std::string> out;
    for (const Slot& slot : slots_) out.push_back(show(slot));
    return out;
  }
  Fault fault(std::string_view document) {
    EXPECT_FALSE(read(document)) << document;
    return failure.fault;
  }
  std::string unmapped() const { return std::string(reader_.unmapped()); }

  static std::string show(const Slot& slot) {
    const std::string text(slot.text());
    switch (slot.type) {
      case Type::kAbsent:
        return "absent";
      case Type::kNull:
        return "null";
      case Type::kBool:
        return slot.boolean ? "true" : "false";
      case Type::kNumber:
        return "number " + text;
      case Type::kString:
        return "string " + text;
      case Type::kObject:
        return "object " + text;
      case Type::kArray:
        return "array " + text;
    }
    return "?";
  }
  static std::vector<Path> compile(const std::vector<std::string>& texts) {
    std::vector<Path> paths;
    for (const auto& text : texts) paths.push_back(Path::compile(text).value());
    return paths;
  }

  Failure failure;

 private:
  Reader reader_;
  std::vector<Slot> slots_;
  std::unique_ptr<char[]> copy_;
};

using Values = std::vector<std::string>;

TEST(Reader, EveryKindOfValue) {
  Reading reading({"n", "s", "t", "f", "z", "o", "a", "x"});
  EXPECT_EQ(reading.values(R"( {"n" : -1.5e3 ,"s":"x y","t":true,"f":false,"z":null,)"
                           R"("o": { "k" : [ ] } ,"a":[1, 2 ]} )"),
            (Values{"number -1.5e3", "string x y", "true", "false", "null",
                    R"(object { "k" : [ ] })", "array [1, 2 ]", "absent"}));
  EXPECT_EQ(reading.values("{}"), Values(8, "absent"));
}

TEST(Reader, PathsShareBeginnings) {
  Reading reading({"$.a", "$.a.b", "$.a.b[1]", "$.a.c", "$", "$.a.b"});
  EXPECT_EQ(reading.values(R"({"a":{"b":[1,"x"],"c":null}})"),
            (Values{R"(object {"b":[1,"x"],"c":null})", R"(array [1,"x"])", "string x", "null",
                    R"(object {"a":{"b":[1,"x"],"c":null}})", R"(array [1,"x"])"}));
  EXPECT_EQ(reading.values(R"({"a":7})"),
            (Values{"number 7", "absent", "absent", "absent", R"(object {"a":7})", "absent"}));
}

TEST(Reader, ElementsFromBothEnds) {
  Reading reading({"$.a[0]", "$.a[2]", "$.a[-1]", "$.a[-3]", "$.a[-1][-1]", "$.a[-2].k"});
  EXPECT_EQ(
      reading.values(R"({"a":[1,{"k":"\n"},[4,[5]]]})"),
      (Values{"number 1", "array [4,[5]]", "array [4,[5]]", "number 1", "array [5]", "string \n"}));
  EXPECT_EQ(reading.values(R"({"a":[]})"), Values(6, "absent"));
  EXPECT_EQ(reading.values(R"({"a":["x\\y"]})"),
            (Values{"string x\\y", "absent", "string x\\y", "absent", "absent", "absent"}));
  EXPECT_EQ(reading.values(R"({"a":{"0":1}})"), Values(6, "absent"));
  // After the walk back, strings with escapes are still seen as such.
  Reading later({"$.a[-1]", "b", "c"});
  EXPECT_EQ(later.values(R"({"a":["\t",1],"b":"\u0041","c":"\\"})"),
            (Values{"number 1", "string A", "string \\"}));
  EXPECT_EQ(later.values(R"({"a":[1,"\t"],"b":"x","c":"y"})"),
            (Values{"string \t", "string x", "string y"}));
}

TEST(Reader, LastOfSeveralMembersCounts) {
  Reading reading({"a", "$.b.x", "$.b.y", "$.c[0]", "$.c[1]"});
  EXPECT_EQ(reading.values(R"({"a":1,"a":"2","b":{"x":1,"y":2},"b":{"y":3},"c":[1,2],"c":[3]})"),
            (Values{"string 2", "absent", "number 3", "number 3", "absent"}));
  EXPECT_EQ(reading.values(R"({"a":1,"a":null,"b":{"x":1},"b":5,"c":[1],"c":{}})"),
            (Values{"null", "absent", "absent", "absent", "absent"}));
  EXPECT_EQ(reading.values(R"({"a":1,"\u0061":2})")[0], "number 2");
}

TEST(Reader, NamesWithEscapes) {
  Reading reading({"a\"b", "a\\b", "é", "$['a\\u0000']", "", "a\bc"});
  EXPECT_EQ(reading.values("{\"a\\\"b\":1,\"a\\\\b\":2,\"\\u00e9\":3,\"a\\u0000\":4,\"\":5}"),
            (Values{"number 1", "number 2", "number 3", "number 4", "number 5", "absent"}));
  // Written as a\b this is the name a, U+0008: not the name with a backslash.
  EXPECT_EQ(reading.values(R"({"a\b":1,"a\bc":2})")[1], "absent");
  EXPECT_EQ(reading.values(R"({"a\b":1,"a\bc":2})")[5], "number 2");
}

TEST(Reader, OrderOfMembersDoesNotMatter) {
  Reading reading({"a", "b", "c"});
  const Values expected{"number 1", "number 2", "number 3"};
  for (const auto* document :
       {R"({"a":1,"b":2,"c":3})", R"({"c":3,"b":2,"a":1})", R"({"x":0,"b":2,"y":0,"a":1,"c":3})",
        R"({"a":1,"b":2,"c":3})", R"({"b":2,"a":1,"z":{"a":9},"c":3})"}) {
    EXPECT_EQ(reading.values(document), expected) << document;
    EXPECT_EQ(reading.values(document), expected) << document;
  }
  EXPECT_EQ(reading.values(R"({"b":2})"), (Values{"absent", "number 2", "absent"}));
  EXPECT_EQ(reading.values(R"({"aa":1,"":2,"d":3})"), Values(3, "absent"));
}

TEST(Reader, ManyMembers) {
  std::vector<std::string> names;
  std::string forward = "{";
  std::string backward = "}";
  Values expected;
  for (int i = 0; i < 1600; ++i) {
    names.push_back("column_" + std::to_string(i));
    const std::string member = '"' + names.back() + "\":" + std::to_string(i);
    forward += (i > 0 ? "," : "") + member;
    backward.insert(0, (i < 1599 ? "," : "") + member);
    expected.push_back("number " + std::to_string(i));
  }
  // Built from the back: the last member stands first.
  std::string reversed = "{";
  for (int i = 1599; i >= 0; --i) {
    reversed += '"' + names[i] + "\":" + std::to_string(i) + (i > 0 ? "," : "}");
  }
  Reading reading(names);
  EXPECT_EQ(reading.values(forward + "}"), expected);
  EXPECT_EQ(reading.values(reversed), expected);
  EXPECT_EQ(reading.values(forward + "}"), expected);
}

TEST(Reader, Strings) {
  Reading reading({"s", "u"});
  EXPECT_EQ(reading.values(R"({"s":"a\u0000b","u":"\ud83d\ude00"})"),
            (Values{std::string("string a\0b", 10), "string 😀"}));
  EXPECT_EQ(reading.values(R"({"s":"\"","u":""})"), (Values{"string \"", "string "}));
  // The buffer grows while earlier strings stand in it.
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "\\n";
  const Values values = reading.values(R"({"s":"\t1","u":")" + text + "\"}");
  EXPECT_EQ(values[0], "string \t1");
  EXPECT_EQ(values[1], "string " + std::string(5000, '\n'));
}

TEST(Reader, LoneSurrogatesAreFoundEverywhere) {
  Reading reading({"a", "$.m.x"});
  const std::pair<std::string, std::size_t> documents[] = {{R"({"a":"\ud800"})", 6},
                                                           {R"({"a":"x\udc00"})", 7},
                                                           {R"({"a":"\udc00\ud800"})", 6},
                                                           {R"({"b":"\ud800\ud800"})", 6},
                                                           {R"({"\ud800":1})", 2},
                                                           {R"({"b":{"\udc00":1}})", 7},
                                                           {R"({"b":[["\ud800 "]]})", 8},
                                                           {R"({"m":{"y":"\ud83dx"}})", 11},
                                                           {R"({"a":"\ud83d\ude00\ud83d"})", 18}};
  for (const auto& [document, at] : documents) {
    EXPECT_EQ(reading.fault(document), Fault::kLoneSurrogate) << document;
    EXPECT_EQ(reading.failure.at, at) << document;
  }
}

TEST(Reader, NumbersKeepTheirText) {
  Reading reading({"n"});
  for (const std::string text :
       {"0", "-0", "0.0", "1E+2", "1e400", "-1e-400", "12345678901234567890123",
        "0.1000000000000000055511151231257827", "9007199254740993", "1.50"}) {
    EXPECT_EQ(reading.values("{\"n\":" + text + "}")[0], "number " + text);
    EXPECT_EQ(reading.values("{\"n\" : " + text + " \r\n}")[0], "number " + text);
  }
}

TEST(Reader, WhatIsNoJsonIsRefusedMappedOrNot) {
  const std::string values[] = {"01",
                                "-",
                                "+1",
                                "1.",
                                ".5",
                                "1e",
                                "1e+",
                                "-01",
                                "00",
                                "1.e5",
                                "0x10",
                                "NaN",
                                "nan",
                                "Infinity",
                                "-Infinity",
                                "tru",
                                "truee",
                                "True",
                                "nulll",
                                "nil",
                                "1 2",
                                "'x'",
                                "\"a\"b",
                                "\"a\"\"b\"",
                                "1\"a\"",
                                "\"\\x\"",
                                "\"\\u12g4\"",
                                "[1,]",
                                "[,1]",
                                "[1 2]",
                                "[",
                                "]",
                                "{",
                                "{\"x\"}",
                                "{\"x\":}",
                                "{\"x\":1,}",
                                "{,}",
                                "{x:1}",
                                "{'x':1}",
                                "{1:2}",
                                "[1}",
                                "{\"x\":1]",
                                "",
                                ",",
                                ":",
                                "1,",
                                "// c\n1",
                                "/**/1",
                                "1\x01",
                                "\x0c",
                                "[\x1a]",
                                "{\"x\":1 \"y\":2}",
                                "{\"x\" 1}",
                                "{\"x\"::1}",
                                "{\"x\":\"y\":1}",
                                "[\"x\":1]",
                                "1_000",
                                "1.2.3",
                                "--1",
                                "1e5.5",
                                "true false",
                                "\"a\" \"b\"",
                                "{\"a\":1}{",
                                "\v1",
                                "\xC2\xA0"
                                "1"};
  Reading mapped({"a"});
  Reading skipped({"b"});
  Reading deeper({"$.a[-1].x"});
  for (const auto& value : values) {
    const std::string document = "{\"a\":" + value + "}";
    EXPECT_EQ(mapped.fault(document), Fault::kNotJson) << document;
    EXPECT_EQ(skipped.fault(document), Fault::kNotJson) << document;
    EXPECT_EQ(deeper.fault("{\"a\":[[" + value + ",0]]}"), Fault::kNotJson) << document;
    EXPECT_LE(deeper.failure.at, document.size() + 4);
  }
}

TEST(Reader, SaysWhereAndWhat) {
  Reading reading({"a"});
  const struct {
    std::string_view document;
    std::size_t at;
    std::string_view what;
  } cases[] = {
      {R"({"a":1 "b":2})", 7, "expected ',' or '}' after a value"},
      {R"({"x":[1 2]})", 8, "expected ',' or ']' after a value"},
      {R"({"a" 1})", 5, "expected ':' after a name"},
      {R"({"a":1,})", 7, "expected a name in double quotes"},
      {R"({a:1})", 1, "expected a name in double quotes"},
      {R"({"a":})", 5, "expected a value"},
      {R"({"a":NaN})", 5, "expected a value"},
      {R"({"a":01})", 5, "a number has no leading zeros"},
      {R"({"a":1.})", 5, "a number has a digit after its point"},
      {R"({"a":1e})", 5, "a number has a digit in its exponent"},
      {R"({"a":12x})", 5, "a number does not go on like this"},
      {R"({"a":"\q"})", 6, "no such escape"},
      {R"({"a":"\u00zz"})", 6, "\\u needs four hex digits"},
      {R"({"a":"x)", 5, "this string does not end"},
      {"{\"a\":\"x\ny\"}", 7, "a control character in a string is written as an escape"},
      {R"({"a":1)", 6, "expected ',' or '}' after a value"},
      {R"({"a":)", 5, "expected a value"},
      {R"({"a")", 4, "expected ':' after a name"},
      {"{", 1, "expected a name in double quotes"},
      {"  ", 2, "nothing but white space"},
      {"\xEF\xBB\xBF{\"a\":x}", 8, "expected a value"},
  };
  for (const auto& expected : cases) {
    EXPECT_EQ(reading.fault(expected.document), Fault::kNotJson) << expected.document;
    EXPECT_EQ(reading.failure.at, expected.at) << expected.document;
    EXPECT_EQ(reading.failure.what, expected.what) << expected.document;
  }
}

TEST(Reader, OtherFaults) {
  Reading reading({"a"});
  EXPECT_EQ(reading.fault(R"({"a":1} x)"), Fault::kTrailingBytes);
  EXPECT_EQ(reading.failure.at, 8);
  EXPECT_EQ(reading.fault(R"({"a":1}{"a":2})"), Fault::kTrailingBytes);
  EXPECT_EQ(reading.fault(R"({}})"), Fault::kTrailingBytes);
  EXPECT_EQ(reading.fault("[1]"), Fault::kNotAnObject);
  EXPECT_EQ(reading.fault(" 17"), Fault::kNotAnObject);
  EXPECT_EQ(reading.failure.at, 1);
  EXPECT_EQ(reading.fault("\"x\""), Fault::kNotAnObject);
  EXPECT_EQ(reading.fault("null"), Fault::kNotAnObject);
  EXPECT_EQ(reading.fault("[1"), Fault::kNotJson);
  EXPECT_EQ(reading.fault("nul"), Fault::kNotJson);
  EXPECT_EQ(reading.fault("{\"a\":\"\xC3\x28\"}"), Fault::kNotUtf8);
  EXPECT_EQ(reading.failure.at, 6);
  EXPECT_EQ(reading.fault("{\"b\":\"\xED\xA0\x80\"}"), Fault::kNotUtf8);
  EXPECT_EQ(reading.fault("{\"a\":1}\xFF"), Fault::kNotUtf8);
  EXPECT_EQ(reading.fault("\xFF\xFE{\0}\0"), Fault::kNotUtf8);
}

TEST(Reader, ByteOrderMarkIsSkippedOnceAtTheStart) {
  Reading reading({"a"});
  EXPECT_EQ(reading.values("\xEF\xBB\xBF{\"a\":1}")[0], "number 1");
  EXPECT_EQ(reading.fault("\xEF\xBB\xBF\xEF\xBB\xBF{\"a\":1}"), Fault::kNotJson);
  EXPECT_EQ(reading.fault(" \xEF\xBB\xBF{\"a\":1}"), Fault::kNotJson);
  EXPECT_EQ(reading.fault("\xEF\xBB\xBF"), Fault::kNotJson);
  EXPECT_EQ(reading.failure.at, 3);
  EXPECT_EQ(reading.fault("\xEF\xBB\xBF{\"a\":\"\xFF\"}"), Fault::kNotUtf8);
  EXPECT_EQ(reading.failure.at, 9);
}

std::string nested(std::size_t arrays, std::string_view inside = "") {
  return std::string(arrays, '[') + std::string(inside) + std::string(arrays, ']');
}

TEST(Reader, DepthOfAThousandAndNoMore) {
  Reading mapped({"a"});
  Reading skipped({"b"});
  const std::string deepest = "{\"a\":" + nested(kMaxDepth - 1) + "}";
  const std::string deeper = "{\"a\":" + nested(kMaxDepth) + "}";
  EXPECT_EQ(mapped.values(deepest)[0], "array " + nested(kMaxDepth - 1));
  EXPECT_EQ(skipped.values(deepest)[0], "absent");
  EXPECT_EQ(mapped.fault(deeper), Fault::kTooDeep);
  EXPECT_EQ(skipped.fault(deeper), Fault::kTooDeep);
  EXPECT_EQ(skipped.failure.at, 5 + kMaxDepth - 1);
  EXPECT_EQ(skipped.fault("{\"a\":" + std::string(1'000'000, '[')), Fault::kTooDeep);

  std::string objects;
  for (std::size_t i = 1; i < kMaxDepth; ++i) objects += R"({"a":)";
  const std::string closing(kMaxDepth - 1, '}');
  EXPECT_EQ(skipped.values(objects + "{}" + closing)[0], "absent");
  EXPECT_EQ(skipped.fault(objects + "{\"a\":{}}" + closing), Fault::kTooDeep);
}

TEST(Reader, PathAsDeepAsDocumentsMayBe) {
  std::string path = "$.a";
  for (std::size_t i = 1; i < kMaxDepth; ++i) path += "[0]";
  Reading reading({path});
  EXPECT_EQ(reading.values("{\"a\":" + nested(kMaxDepth - 1, "7") + "}")[0], "number 7");
  std::string from_end = "$.a";
  for (std::size_t i = 1; i < kMaxDepth; ++i) from_end += "[-1]";
  Reading backwards({from_end});
  EXPECT_EQ(backwards.values("{\"a\":" + nested(kMaxDepth - 1, "7") + "}")[0], "number 7");
}

TEST(Reader, TooLarge) {
  Reading reading({"a"});
  std::string document = R"({"a":1})";
  document.resize(kMaxBytes + 1, ' ');
  EXPECT_EQ(reading.fault(document), Fault::kTooLarge);
  document.resize(kMaxBytes);
  EXPECT_EQ(reading.values(document)[0], "number 1");
}

TEST(Reader, CostOfRepeatedMembersIsLinear) {
  // 100,000 arrays that are walked from their end, before a long tail without a backslash: looked
  // at from each of them to the end this would take minutes.
  std::string document = "{";
  for (int i = 0; i < 100'000; ++i) document += R"("a":[1,2],)";
  document += "\"b\":\"" + std::string(4'000'000, 'x') + "\"}";
  Reading reading({"$.a[-1]"});
  EXPECT_EQ(reading.values(document)[0], "number 2");
}

TEST(Reader, UnmappedMembersFail) {
  Reading reading({"a", "$.m.x"}, Unmapped::kFail);
  EXPECT_EQ(reading.values(R"({"a":1,"m":{"y":1}})"), (Values{"number 1", "absent"}));
  EXPECT_EQ(reading.fault(R"({"a":1, "other":{}})"), Fault::kExtraField);
  EXPECT_EQ(reading.failure.field, "other");
  EXPECT_EQ(reading.failure.at, 8);
  EXPECT_EQ(reading.fault(R"({"\u00e9":1})"), Fault::kExtraField);
  EXPECT_EQ(reading.failure.field, "é");
  Reading whole({"$"}, Unmapped::kFail);
  EXPECT_EQ(whole.values(R"({"x":1})")[0], R"(object {"x":1})");
  Reading none({}, Unmapped::kFail);
  EXPECT_TRUE(none.read("{}"));
  EXPECT_EQ(none.fault(R"({"x":1})"), Fault::kExtraField);
}

TEST(Reader, UnmappedMembersAreCollected) {
  Reading reading({"a", "$.m.x"}, Unmapped::kCollect);
  EXPECT_EQ(
      reading.values(
          R"({"b" : [1, 2 ] ,"a":1,"c\n":"x\ty","m":{"z":1},"d":null , "e":{ }, "f" :-1.50 })"),
      (Values{"number 1", "absent"}));
  EXPECT_EQ(reading.unmapped(), R"({"b":[1, 2 ],"c\n":"x\ty","d":null,"e":{ },"f":-1.50})");
  EXPECT_TRUE(reading.read(R"({"a":1})"));
  EXPECT_EQ(reading.unmapped(), "");
  EXPECT_TRUE(reading.read(R"({"x":1,"x":2})"));
  EXPECT_EQ(reading.unmapped(), R"({"x":1,"x":2})");
  EXPECT_EQ(reading.fault(R"({"x":[1,}])"), Fault::kNotJson);
  EXPECT_EQ(reading.fault(R"({"x":)"), Fault::kNotJson);
  Reading whole({"$"}, Unmapped::kCollect);
  EXPECT_TRUE(whole.read(R"({"x":1})"));
  EXPECT_EQ(whole.unmapped(), "");
}

TEST(Reader, AnyRoot) {
  Reader reader(Reading::compile({"a"}), Unmapped::kIgnore);
  std::vector<Slot> slots(1);
  Failure failure;
  Slot root;
  const auto root_of = [&](std::string_view document) {
    return reader.read(document, slots, failure, &root) ? Reading::show(root) : "refused";
  };
  EXPECT_EQ(root_of(R"( {"a":1} )"), R"(object {"a":1})");
  EXPECT_EQ(Reading::show(slots[0]), "number 1");
  EXPECT_EQ(root_of(" [1 ]"), "array [1 ]");
  EXPECT_EQ(Reading::show(slots[0]), "absent");
  EXPECT_EQ(root_of(R"("x\u0041")"), "string xA");
  EXPECT_EQ(root_of(" 17 "), "number 17");
  EXPECT_EQ(root_of("true"), "true");
  EXPECT_EQ(root_of("null"), "null");
  EXPECT_EQ(root_of("17 18"), "refused");
  EXPECT_EQ(root_of(R"("\ud800")"), "refused");
  EXPECT_EQ(root_of(""), "refused");
}

TEST(Reader, MovesWithItsSlots) {
  Reader first(Reading::compile({"a"}), Unmapped::kIgnore);
  std::vector<Slot> slots(1);
  Failure failure;
  ASSERT_TRUE(first.read(R"({"a":"\n"})", slots, failure));
  Reader second(std::move(first));
  EXPECT_EQ(slots[0].text(), "\n");
  ASSERT_TRUE(second.read(R"({"a":"\t"})", slots, failure));
  EXPECT_EQ(slots[0].text(), "\t");
}

}  // namespace
}  // namespace sluice::json
