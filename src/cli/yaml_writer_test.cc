#include "cli/yaml_writer.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <boost/json.hpp>

#include "cli/yaml.h"

namespace sluice::cli {
namespace {

namespace bj = boost::json;

TEST(YamlWriter, WritesBlocks) {
  EXPECT_EQ(
      to_yaml(bj::parse(R"({"a":{"b":[1,{"c":"x","d":[[2]]}],"e":[],"f":{}},"g":"1","h":""})")),
      "a:\n  b:\n    - 1\n    - c: x\n      d:\n        - - 2\n  e: []\n  f: {}\ng: \"1\"\n"
      "h: \"\"\n");
  EXPECT_EQ(to_yaml(nullptr), "null\n");
  EXPECT_EQ(to_yaml(1.75), "1.75\n");
  EXPECT_EQ(to_yaml("public.orders"), "public.orders\n");
}

TEST(YamlWriter, QuotesWhatCouldBeTakenForSomethingElse) {
  for (const std::string_view text :
       {"null", "true", "1.0", "0x1F", "- a", "a: b", "a #b",  "*a",      "&a",
        "!a",   "%a",   "@a",  "`a",   "{a",  "[a",   " a",    "a ",      "a\nb",
        "'a",   "\"a",  "~",   "...",  "---", "<<",   "a\x7F", "\xC2\x85"}) {
    const auto node = parse_yaml(to_yaml(bj::object{{"k", text}}), "f");
    ASSERT_TRUE(node) << text << to_string(node.error());
    EXPECT_EQ(node->find("k")->kind, task::Node::Kind::kText) << text;
    EXPECT_EQ(node->find("k")->text, text);
  }
}

bj::value some_value(int depth) {
  const int kind = *rc::gen::inRange(0, depth > 0 ? 6 : 4);
  const auto text = [] { return *rc::gen::container<std::string>(rc::gen::inRange<char>(1, 127)); };
  if (kind == 0) return nullptr;
  if (kind == 1) return *rc::gen::arbitrary<bool>();
  if (kind == 2) return *rc::gen::arbitrary<std::int64_t>();
  if (kind == 3) return bj::value(text());
  const int count = *rc::gen::inRange(0, 4);
  if (kind == 4) {
    bj::array array;
    for (int i = 0; i < count; ++i) array.push_back(some_value(depth - 1));
    return array;
  }
  bj::object object;
  for (int i = 0; i < count; ++i) object[text()] = some_value(depth - 1);
  return object;
}

TEST(YamlWriter, IsReadBackAsTheSame) {
  EXPECT_TRUE(rc::check("parse_yaml(to_yaml(value)) is the value", [] {
    const bj::object value{{"v", some_value(4)}};
    const auto node = parse_yaml(to_yaml(value), "f");
    RC_ASSERT(node.has_value());
    RC_ASSERT(task::to_json(*node) == task::to_json(task::from_json(value)));
  }));
}

}  // namespace
}  // namespace sluice::cli
