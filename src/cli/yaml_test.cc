#include "cli/yaml.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace sluice::cli {
namespace {

using task::Node;

std::string json(std::string_view yaml) {
  const auto node = parse_yaml(yaml, "f.yaml");
  return node ? to_json(*node) : to_string(node.error());
}

void expect_refused(std::string_view yaml, std::initializer_list<std::string_view> parts) {
  const auto node = parse_yaml(yaml, "f.yaml");
  ASSERT_FALSE(node) << yaml << " gave " << to_json(*node);
  EXPECT_EQ(node.error().domain, Domain::kDocument);
  const std::string text = to_string(node.error());
  for (const std::string_view part : parts) {
    EXPECT_NE(text.find(part), std::string::npos) << "no <" << part << "> in: " << text;
  }
}

TEST(Yaml, ResolvesByTheCoreSchema) {
  EXPECT_EQ(json("a: null\nb: ~\nc:\nd: Null\ne: \"null\"\nf: 'x'\ng: nULL"),
            R"({"a":null,"b":null,"c":null,"d":null,"e":"null","f":"x","g":"nULL"})");
  EXPECT_EQ(json("[true, True, FALSE, yes, on, 'true', tRUE]"),
            R"([true,true,false,"yes","on","true","tRUE"])");
  EXPECT_EQ(json("[0, -1, +7, 007, 0x1F, 0o17, 0x, 0xg, 1_000, -0]"),
            R"([0,-1,7,7,31,15,"0x","0xg","1_000",-0])");
  EXPECT_EQ(json("[0.10, .5, 1., -.5e+3, 1e3, 1e, 1.2.3, '.', -, 12:30:00]"),
            R"([0.10,0.5,1.0,-0.5e+3,1e3,"1e","1.2.3",".","-","12:30:00"])");
  EXPECT_EQ(json("a: 123456789012345678901234567890.10"),
            R"({"a":123456789012345678901234567890.10})");
  EXPECT_EQ(json("a: 2026-01-01T00:00:00Z"), R"({"a":"2026-01-01T00:00:00Z"})");
  EXPECT_EQ(json("a: |\n  two\n  lines\nb: >-\n  12"), R"({"a":"two\nlines\n","b":"12"})");
  EXPECT_EQ(json("\xEF\xBB\xBF"
                 "a: 1"),
            R"({"a":1})");
  EXPECT_EQ(json("%YAML 1.2\n---\na: 1\n..."), R"({"a":1})");
  EXPECT_EQ(json("a: |+\n  x\n\n"), R"({"a":"x\n\n"})");
  EXPECT_EQ(json("a: |\n  x"), R"({"a":"x\n"})");
  EXPECT_EQ(json("a: 1\n...\n# end\n"), R"({"a":1})");
  EXPECT_EQ(json("{0: 42, true: x}"), R"({"0":42,"true":"x"})");
}

TEST(Yaml, KeepsHowNumbersWereSpelled) {
  const auto node = parse_yaml("a: 007\nb: True\nc: 12", "f");
  ASSERT_TRUE(node);
  EXPECT_EQ(node->find("a")->text, "7");
  EXPECT_EQ(node->find("a")->as_written(), "007");
  EXPECT_EQ(node->find("b")->as_written(), "True");
  EXPECT_EQ(node->find("c")->as_written(), "12");
}

TEST(Yaml, EveryPlainScalarIsOneJsonNumberOrNone) {
  rc::check("what looks like a number becomes one that JSON takes, everything else stays", [] {
    const auto text =
        *rc::gen::container<std::string>(rc::gen::elementOf(std::string("0123456789+-.eEx")));
    const auto node = resolve_plain(text);
    RC_PRE(node.has_value());
    if (node->kind == Node::Kind::kText) RC_ASSERT(node->text == text);
    if (node->kind != Node::Kind::kNumber) return;
    const auto again = resolve_plain(node->text);  // JSON's numbers are YAML's too
    RC_ASSERT(again.has_value());
    RC_ASSERT(again->kind == Node::Kind::kNumber);
    RC_ASSERT(again->text == node->text);
    const std::size_t first = node->text.starts_with('-') ? 1 : 0;
    RC_ASSERT(node->text[first] != '0' || node->text.size() == first + 1 ||
              !std::isdigit(static_cast<unsigned char>(node->text[first + 1])));
  });
}

TEST(Yaml, RemembersLines) {
  const auto node = parse_yaml("# c\na:\n  b: [1,\n    2]\n  c:\n    - x\n    - y: 1\n", "f");
  ASSERT_TRUE(node);
  EXPECT_EQ(line_of(*node, "a"), 2);
  EXPECT_EQ(line_of(*node, "a.b"), 3);
  EXPECT_EQ(line_of(*node, "a.b[1]"), 4);
  EXPECT_EQ(line_of(*node, "a.c"), 5);
  EXPECT_EQ(line_of(*node, "a.c[0]"), 6);
  EXPECT_EQ(line_of(*node, "a.c[1].y"), 7);
}

TEST(Yaml, RefusesDuplicateKeys) {
  expect_refused("a: 1\nb: 2\na: 3\n",
                 {"f.yaml:3:1:", "the key \"a\" a second time", "line 1 has it"});
  expect_refused("a: {x: 1, 'x': 2}", {"f.yaml:1:", "\"x\" a second time"});
}

TEST(Yaml, RefusesTags) {
  expect_refused("a: !!str 5", {"f.yaml:1:4:", "found a tag"});
  expect_refused("a: !secret s3", {"found a tag", "quotes"});
  expect_refused("a: !x [1]", {"found a tag"});
  expect_refused("!x {a: 1}", {"found a tag"});
}

TEST(Yaml, FollowsAliasesWithinLimits) {
  EXPECT_EQ(json("a: &x [1, {b: c}]\nd: *x\ne: &y z\nf: *y"),
            R"({"a":[1,{"b":"c"}],"d":[1,{"b":"c"}],"e":"z","f":"z"})");
  expect_refused("a: &x [1, *x]", {"alias inside of what it stands for"});
  expect_refused("a: *nobody", {"f.yaml:1:", "anchor is not defined"});
  expect_refused("*x : 1", {"f.yaml:1:"});
  expect_refused("a: &x {b: 1}\nc:\n  <<: *x\n", {"merge key", "Write the keys out"});

  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) bomb += (j > 0 ? ", *a" : "*a") + std::to_string(i - 1);
    bomb += "]\n";
  }
  expect_refused(bomb, {"f.yaml:", "more than 100000 values"});

  std::string wide = "a: &a " + std::string(100'000, 'x') + "\nb: [";
  for (int i = 0; i < 100; ++i) wide += "*a, ";
  expect_refused(wide + "]", {"4 MB"});
}

TEST(Yaml, BoundsDepth) {
  expect_refused("a: " + std::string(40, '[') + std::string(40, ']'),
                 {"f.yaml:1:", "more than 32 levels"});
  expect_refused("a: " + std::string(100'000, '[') + std::string(100'000, ']'),
                 {"more than 32 levels"});
  expect_refused(std::string(100'000, '['), {"f.yaml:1:"});
  expect_refused(std::string(100'000, '{'), {"f.yaml:1:"});
  std::string blocks;
  for (int i = 0; i < 40; ++i) blocks += std::string(static_cast<std::size_t>(i), ' ') + "a:\n";
  expect_refused(blocks + std::string(40, ' ') + "b: 1", {"more than 32 levels"});
  std::string dashes;
  for (int i = 0; i < 20'000; ++i) dashes += "- ";
  expect_refused(dashes, {"more than 32 levels"});
}

TEST(Yaml, RefusesSeveralOrNoDocuments) {
  expect_refused("a: 1\n---\nb: 2\n", {"f.yaml: found several documents"});
  expect_refused("# only a comment\n", {"f.yaml: found nothing in it"});
  expect_refused("---\n", {"found nothing"});
  expect_refused("null", {"found nothing"});
}

TEST(Yaml, PlacesSyntaxErrors) {
  expect_refused("a: 1\nb: [1, 2\nc: 3\n", {"f.yaml:", "this is not YAML"});
  expect_refused("a: b: c\n", {"f.yaml:1:5:", "illegal map value"});
  expect_refused("a: \"open\n", {"f.yaml:", "a text in quotes does not end"});
  expect_refused("a: \"open", {"f.yaml:", "a text in quotes does not end"});
  expect_refused("a: 'open\nb: 1\n\n", {"f.yaml:", "a text in quotes does not end"});
  expect_refused("a:\n\tb: 1\n", {"f.yaml:2:", "spaces"});
  expect_refused("a: {b: ${env:X}}\n", {"f.yaml:1:", "quotes"});
  expect_refused("? [1]\n: 2\n", {"found a list or a map as a key"});
  expect_refused(": 1\n", {"f.yaml:1:", "a key that is empty"});
  expect_refused("a: .nan", {"f.yaml:1:4:", "infinite or none"});
  expect_refused("a: 0x10000000000000000", {"beyond 64 bits"});
}

TEST(Yaml, DoesNotRepeatValues) {
  for (const char* yaml :
       {"password: *s3cr3t", "password: \"s3cr3t\\q\"", "password: !s3cr3t", "password: s3cr3t: x",
        "password: &s3cr3t &s3cr3t x", "password: @s3cr3t"}) {
    const auto node = parse_yaml(yaml, "f.yaml");
    ASSERT_FALSE(node) << yaml;
    EXPECT_EQ(to_string(node.error()).find("s3cr3t"), std::string::npos) << to_string(node.error());
  }
}

TEST(Yaml, TakesAnyBytesWithoutFalling) {
  rc::check("any text gives a document or an error", [] {
    const auto text = *rc::gen::container<std::string>(
        rc::gen::elementOf(std::string("ab:-[]{},&*!|>'\"%@`#?~ \n\n\t01.\\")));
    const auto node = parse_yaml(text, "f");
    RC_ASSERT(node.has_value() || !node.error().message.empty());
  });
}

}  // namespace
}  // namespace sluice::cli
