#include "json/text.h"

#include <gtest/gtest.h>

#include <string>

namespace sluice::json {
namespace {

std::string unescaped(std::string_view content, EscapeFault fault = EscapeFault::kNone,
                      std::ptrdiff_t at = 0) {
  Buffer out;
  const EscapeResult result = unescape(content, &out);
  EXPECT_EQ(result.fault, fault) << content;
  if (fault != EscapeFault::kNone) {
    EXPECT_EQ(result.at - content.data(), at) << content;
  }
  // Without a buffer the verdict is the same.
  EXPECT_EQ(unescape(content, nullptr).fault, fault) << content;
  return std::string(out.view());
}

TEST(Unescape, AllEscapes) {
  EXPECT_EQ(unescaped(R"(plain)"), "plain");
  EXPECT_EQ(unescaped(""), "");
  EXPECT_EQ(unescaped(R"(\"\\\/\b\f\n\r\t)"), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(unescaped(R"(a\u0041\u00e9\u20AC\ud83d\ude00z)"), "aAé€😀z");
  EXPECT_EQ(unescaped(R"(\udbff\udfff)"), "\xF4\x8F\xBF\xBF");
  EXPECT_EQ(unescaped(R"(\ud800\udc00)"), "\xF0\x90\x80\x80");
  EXPECT_EQ(unescaped(R"(\uffff\u0800\u07ff\u0080\u007f)"),
            "\xEF\xBF\xBF\xE0\xA0\x80\xDF\xBF\xC2\x80\x7F");
  EXPECT_EQ(unescaped(R"(a\u0000b)"), std::string("a\0b", 3));
}

TEST(Unescape, Faults) {
  unescaped(R"(ab\x)", EscapeFault::kUnknown, 2);
  unescaped(R"(\U0041)", EscapeFault::kUnknown);
  unescaped("\\", EscapeFault::kUnknown);
  unescaped(R"(\u)", EscapeFault::kBadHex);
  unescaped(R"(\u004)", EscapeFault::kBadHex);
  unescaped(R"(\u00g1)", EscapeFault::kBadHex);
  unescaped(R"(\u-001)", EscapeFault::kBadHex);
}

TEST(Unescape, LoneSurrogates) {
  unescaped(R"(a\ud800)", EscapeFault::kLoneSurrogate, 1);          // high at the end
  unescaped(R"(\ud800abcdef)", EscapeFault::kLoneSurrogate);        // high before text
  unescaped(R"(\udc00)", EscapeFault::kLoneSurrogate);              // low alone
  unescaped(R"(\udc00\ud800)", EscapeFault::kLoneSurrogate);        // swapped
  unescaped(R"(\ud800\ud800\udc00)", EscapeFault::kLoneSurrogate);  // high twice
  unescaped(R"(\ud800\u0041)", EscapeFault::kLoneSurrogate);        // high before another escape
  unescaped(R"(\ud800\n12345)", EscapeFault::kLoneSurrogate);
  unescaped(R"(\ud83d\ude00\ude00)", EscapeFault::kLoneSurrogate, 12);  // a pair and a half
}

TEST(Utf8, PrefixAndValidatorAgreeOnEveryTwoBytesAndBoundaries) {
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      const char bytes[] = {static_cast<char>(a), static_cast<char>(b)};
      const std::string_view text(bytes, 2);
      ASSERT_EQ(valid_utf8_prefix(text) == 2, is_utf8(text)) << a << ' ' << b;
    }
  }
  const std::string_view valid[] = {"\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
                                    "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"};
  const std::string_view invalid[] = {"\xE0\x9F\xBF",     "\xED\xA0\x80",     "\xED\xBF\xBF",
                                      "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF0\x90\x80",
                                      "\xE0\xA0",         "\xF5\x80\x80\x80", "\xE2\x82\x28"};
  for (const auto text : valid) {
    EXPECT_EQ(valid_utf8_prefix(text), text.size());
    EXPECT_TRUE(is_utf8(text));
  }
  for (const auto text : invalid) {
    EXPECT_EQ(valid_utf8_prefix(text), 0);
    EXPECT_FALSE(is_utf8(text));
  }
  EXPECT_EQ(valid_utf8_prefix("abc\xFFz"), 3);
}

TEST(Text, Shown) {
  EXPECT_EQ(shown('x'), "'x'");
  EXPECT_EQ(shown('\x07'), "0x07");
  EXPECT_EQ(shown('\xC3'), "0xc3");
}

}  // namespace
}  // namespace sluice::json
