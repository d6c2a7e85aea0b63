#include "json/writer.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <boost/json.hpp>
#include <limits>
#include <string>

#include "json/text.h"

namespace sluice::json {
namespace {

std::string written(std::string_view text) {
  Buffer out;
  append_string(out, text);
  return std::string(out.view());
}
std::string base64(std::string_view bytes) {
  Buffer out;
  append_base64(out, bytes);
  return std::string(out.view());
}

TEST(Writer, PutsCommasAndColons) {
  Buffer out;
  Writer writer(out);
  writer.begin_object();
  writer.key("a").number(1).key("b").begin_array();
  writer.boolean(true).null().begin_object().end_object().string("x").end_array();
  writer.key("c").raw(R"({"d":1})").key("e").number(std::uint64_t{18446744073709551615U});
  writer.key("f").number(0.1).key("g").begin_array().end_array().end_object();
  EXPECT_EQ(
      out.view(),
      R"({"a":1,"b":[true,null,{},"x"],"c":{"d":1},"e":18446744073709551615,"f":0.1,"g":[]})");
}

TEST(Writer, Numbers) {
  Buffer out;
  Writer writer(out);
  writer.begin_array().number(std::numeric_limits<std::int64_t>::min());
  writer.number(std::numeric_limits<double>::quiet_NaN());
  writer.number(-std::numeric_limits<double>::infinity()).number(1e300).number(-0.5);
  writer.number(std::numeric_limits<double>::denorm_min()).end_array();
  EXPECT_EQ(out.view(), "[-9223372036854775808,null,null,1e+300,-0.5,5e-324]");
}

TEST(Writer, StringsAreEscaped) {
  EXPECT_EQ(written(""), R"("")");
  EXPECT_EQ(written("a\"b\\c/d"), R"("a\"b\\c/d")");
  EXPECT_EQ(written("\b\f\n\r\t"), R"("\b\f\n\r\t")");
  EXPECT_EQ(written(std::string_view("\0\x01\x1f\x7f", 4)), "\"\\u0000\\u0001\\u001f\x7f\"");
  EXPECT_EQ(written("é😀"), "\"é😀\"");
}

TEST(Writer, InvalidUtf8IsReplaced) {
  EXPECT_EQ(written("a\xFFz"), "\"a\xEF\xBF\xBDz\"");
  EXPECT_EQ(written("\xC3"), "\"\xEF\xBF\xBD\"");
  EXPECT_EQ(written("\xED\xA0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
  // A character across the border of the writer's pieces stays whole.
  for (std::size_t lead = 4090; lead < 4100; ++lead) {
    const std::string text = std::string(lead, 'x') + "😀é";
    EXPECT_EQ(written(text), '"' + text + '"');
    EXPECT_EQ(written(text + '\xFF'), '"' + text + "\xEF\xBF\xBD\"");
  }
}

TEST(Writer, Base64) {  // the vectors of RFC 4648, section 10
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foob"), "Zm9vYg==");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64("\xFB\xFF\xFE"), "+//+");
}

TEST(Writer, WhateverBytesGoInAreOneJsonString) {
  EXPECT_TRUE(
      rc::check("any bytes give a JSON string; valid UTF-8 comes back", [](std::string text) {
        boost::system::error_code error;
        const auto value = boost::json::parse(written(text), error);
        RC_ASSERT(!error);
        if (is_utf8(text)) {
          RC_ASSERT(std::string_view(value.as_string()) == text);
        }
      }));
}

}  // namespace
}  // namespace sluice::json
