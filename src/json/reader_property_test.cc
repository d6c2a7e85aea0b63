// The reader against an independent parser, Boost.JSON, on documents made at random: what it finds,
// and what it takes at all.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <simdjson.h>

#include <boost/json.hpp>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "json/reader.h"

namespace sluice::json {
namespace {

namespace bj = boost::json;
using Random = std::mt19937_64;

std::size_t below(Random& random, std::size_t bound) { return random() % bound; }

// Few names, so that paths meet them and members repeat; each is given as JSON text and as it is.
struct Name {
  std::string_view written;
  std::string_view text;
};
constexpr Name kNames[] = {{"a", "a"},
                           {"b", "b"},
                           {"\\u0061", "a"},
                           {"", ""},
                           {"a b", "a b"},
                           {"c\\\\d", "c\\d"},
                           {"\\\"", "\""},
                           {"é", "é"},
                           {"\\u00e9", "é"},
                           {"\\ud83d\\ude00", "😀"},
                           {"name_of_a_column", "name_of_a_column"}};

// Writes one random valid document.
class Documents {
 public:
  explicit Documents(Random& random) : random_(random) {}

  std::string object(unsigned depth) {
    std::string out = "{";
    const std::size_t members = below(random_, 5);
    for (std::size_t i = 0; i < members; ++i) {
      if (i > 0) out += ',';
      const Name& name = kNames[below(random_, std::size(kNames))];
      out += space() + '"' + std::string(name.written) + '"' + space() + ':' + value(depth + 1);
    }
    return out + space() + '}';
  }
  std::string value(unsigned depth) { return space() + bare_value(depth) + space(); }

 private:
  std::string space() {
    static constexpr std::string_view kSpaces[] = {"", "", "", "", " ", "\n", "\t\r\n  "};
    return std::string(kSpaces[below(random_, std::size(kSpaces))]);
  }
  std::string bare_value(unsigned depth) {
    switch (below(random_, depth > 6 ? 5 : 8)) {
      case 0:
        return "null";
      case 1:
        return below(random_, 2) == 0 ? "true" : "false";
      case 2:
        return number();
      case 3:
      case 4:
        return string();
      case 5:
        return array(depth);
      default:
        return object(depth);
    }
  }
  std::string array(unsigned depth) {
    std::string out = "[";
    const std::size_t elements = below(random_, 5);
    for (std::size_t i = 0; i < elements; ++i) out += (i > 0 ? "," : "") + value(depth + 1);
    return out + space() + ']';
  }
  std::string digits() {
    std::string out;
    for (std::size_t i = 1 + below(random_, 6); i > 0; --i) {
      out += static_cast<char>('0' + below(random_, 10));
    }
    return out;
  }
  std::string number() {
    std::string out = below(random_, 2) == 0 ? "-" : "";
    out += below(random_, 3) == 0 ? "0" : static_cast<char>('1' + below(random_, 9)) + digits();
    if (below(random_, 2) == 0) out += '.' + digits();
    static constexpr std::string_view kExponents[] = {"", "", "e5", "E-7", "e+12", "e0"};
    return out + std::string(kExponents[below(random_, std::size(kExponents))]);
  }
  std::string string() {
    static constexpr std::string_view kPieces[] = {
        "x",
        "text ",
        "é",
        "😀",
        "\\n",
        "\\\\",
        "\\\"",
        "\\/",
        "\\u0000",
        "\\u20ac",
        "{",
        "}",
        "[",
        ",",
        "\\ud83d\\ude00",
        ":",
        " ",
        "\\b\\f\\r\\t",
        "a longer run of text without anything special in it, beyond one vector of 64 bytes wide"};
    std::string out = "\"";
    for (std::size_t i = below(random_, 5); i > 0; --i) {
      out += kPieces[below(random_, std::size(kPieces))];
    }
    return out + '"';
  }

  Random& random_;
};

std::vector<Path::Step> random_steps(Random& random) {
  std::vector<Path::Step> steps;
  const auto member = [&] {
    return Path::Step{.name = std::string(kNames[below(random, std::size(kNames))].text),
                      .index = 0,
                      .is_index = false};
  };
  steps.push_back(member());
  for (std::size_t i = below(random, 4); i > 0; --i) {
    if (below(random, 2) == 0) {
      steps.push_back(member());
    } else {
      const auto index = static_cast<std::int64_t>(below(random, 6)) - 3;
      steps.push_back({.name = "", .index = index, .is_index = true});
    }
  }
  return steps;
}

std::string path_text(const std::vector<Path::Step>& steps) {
  std::string text = "$";
  for (const auto& step : steps) {
    if (step.is_index) {
      text += '[' + std::to_string(step.index) + ']';
    } else {
      text += '[' + bj::serialize(bj::value(step.name)) + ']';
    }
  }
  return text;
}

std::optional<bj::value> parse(std::string_view text) {
  bj::parse_options options;
  options.max_depth = kMaxDepth;
  boost::system::error_code error;
  auto value = bj::parse(text, error, {}, options);
  if (error) return std::nullopt;
  return value;
}

const bj::value* find(const bj::value& root, const std::vector<Path::Step>& steps) {
  const bj::value* at = &root;
  for (const auto& step : steps) {
    const bj::value* next = nullptr;
    if (step.is_index && at->is_array()) {
      const auto& array = at->get_array();
      const auto size = static_cast<std::int64_t>(array.size());
      const std::int64_t index = step.index < 0 ? size + step.index : step.index;
      if (index >= 0 && index < size) next = &array[static_cast<std::size_t>(index)];
    } else if (!step.is_index && at->is_object()) {
      next = at->get_object().if_contains(step.name);
    }
    if (next == nullptr) return nullptr;
    at = next;
  }
  return at;
}

bool same(const Slot& slot, const bj::value* expected) {
  if (expected == nullptr) return slot.type == Type::kAbsent;
  switch (slot.type) {
    case Type::kNull:
      return expected->is_null();
    case Type::kBool:
      return expected->is_bool() && expected->get_bool() == slot.boolean;
    case Type::kString:
      return expected->is_string() && std::string_view(expected->get_string()) == slot.text();
    case Type::kNumber:
    case Type::kObject:
    case Type::kArray: {
      // The exact token or slice, so it must begin and end where the value does.
      const std::string_view text = slot.text();
      const auto value = parse(text);
      return value && *value == *expected && text.front() != ' ' && text.back() != ' ';
    }
    case Type::kAbsent:
      break;
  }
  return false;
}

// A copy that ends where its memory ends, for the sanitizer.
class Exact {
 public:
  explicit Exact(std::string_view text) : bytes_(new char[text.size()]), size_(text.size()) {
    std::memcpy(bytes_.get(), text.data(), size_);
  }
  std::string_view view() const { return {bytes_.get(), size_}; }

 private:
  std::unique_ptr<char[]> bytes_;
  std::size_t size_;
};

class ReaderProperty : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    before_ = simdjson::get_active_implementation();
    simdjson::get_active_implementation() = simdjson::get_available_implementations()[GetParam()];
  }
  void TearDown() override { simdjson::get_active_implementation() = before_; }

 private:
  const simdjson::implementation* before_ = nullptr;
};

TEST_P(ReaderProperty, FindsWhatBoostJsonFinds) {
  std::size_t present = 0;
  EXPECT_TRUE(rc::check("slots equal the values at the same paths", [&](std::uint64_t seed) {
    Random random(seed);
    std::vector<std::vector<Path::Step>> steps;
    std::vector<Path> paths;
    for (int i = 0; i < 12; ++i) {
      steps.push_back(random_steps(random));
      paths.push_back(Path::compile(path_text(steps.back())).value());
    }
    Reader reader(paths, Unmapped::kCollect);
    std::vector<Slot> slots(paths.size());
    // Several documents through one reader: what it keeps between them must not show.
    for (int i = 0; i < 20; ++i) {
      const Exact document(Documents(random).object(0));
      Failure failure;
      RC_LOG() << document.view() << '\n';
      RC_ASSERT(reader.read(document.view(), slots, failure));
      const auto root = parse(document.view());
      RC_ASSERT(root.has_value());
      for (std::size_t k = 0; k < slots.size(); ++k) {
        RC_LOG() << path_text(steps[k]) << '\n';
        const bj::value* const expected = find(*root, steps[k]);
        present += expected != nullptr ? 1 : 0;
        RC_ASSERT(same(slots[k], expected));
      }
      bj::object rest = root->get_object();
      for (const auto& list : steps) rest.erase(list[0].name);
      const auto unmapped = reader.unmapped();
      RC_ASSERT(unmapped.empty() == rest.empty());
      RC_ASSERT(unmapped.empty() || parse(unmapped) == bj::value(rest));
    }
  }));
  EXPECT_GT(present, 500U);  // the paths do meet the documents
}

bool takes(Reader& reader, std::string_view text) {
  const Exact document(text);
  Slot root;
  Failure failure;
  std::vector<Slot> slots(3);
  const bool taken = reader.read(document.view(), slots, failure, &root);
  if (!taken && failure.at > text.size()) throw std::logic_error("place beyond the document");
  return taken;
}

Reader some_reader() {
  std::vector<Path> paths;
  for (const auto* text : {"a", "$.b[-1].a", "$['a b'].a[1]"}) {
    paths.push_back(Path::compile(text).value());
  }
  return {paths, Unmapped::kCollect};
}

std::string mutated(std::string text, Random& random) {
  static constexpr std::string_view kBytes =
      "\"\\{}[]:,0123456789.eE+-tfnu \n\x01\x7f\x80\xc3\xa9\xff";
  for (std::size_t i = 1 + below(random, 3); i > 0 && !text.empty(); --i) {
    const std::size_t at = below(random, text.size());
    switch (below(random, 5)) {
      case 0:
        text[at] = static_cast<char>(random());
        break;
      case 1:
        text[at] = kBytes[below(random, kBytes.size())];
        break;
      case 2:
        text.erase(at, 1 + below(random, 3));
        break;
      case 3:
        text.insert(at, 1, kBytes[below(random, kBytes.size())]);
        break;
      default:
        text.resize(at);
    }
  }
  return text;
}

TEST_P(ReaderProperty, TakesWhatBoostJsonTakes) {
  Reader reader = some_reader();
  std::size_t taken = 0;
  std::size_t refused = 0;
  EXPECT_TRUE(rc::check("the same documents are valid", [&](std::uint64_t seed) {
    Random random(seed);
    const std::string document = Documents(random).value(0);
    for (int i = 0; i < 100; ++i) {
      const std::string text = mutated(document, random);
      const bool expected = parse(text).has_value();
      (expected ? taken : refused) += 1;
      RC_LOG() << text << '\n';
      RC_ASSERT(takes(reader, text) == expected);
    }
  }));
  EXPECT_GT(taken, 500U);
  EXPECT_GT(refused, 500U);
}

TEST_P(ReaderProperty, EveryByteAtEveryPlaceAndEveryTruncation) {
  const std::string document =
      R"({"a":-10.5e+3,"b":[1,{"a":"\u00e9\"\ud83d\ude00é"},true ],"a b":{"a":[null,false]}, "x":""})";
  Reader reader = some_reader();
  ASSERT_TRUE(takes(reader, document));
  for (std::size_t at = 0; at < document.size(); ++at) {
    ASSERT_EQ(takes(reader, document.substr(0, at)), parse(document.substr(0, at)).has_value());
    for (int byte = 0; byte < 256; ++byte) {
      std::string text = document;
      text[at] = static_cast<char>(byte);
      ASSERT_EQ(takes(reader, text), parse(text).has_value()) << text;
      text = document;
      text.insert(at, 1, static_cast<char>(byte));
      ASSERT_EQ(takes(reader, text), parse(text).has_value()) << text;
    }
  }
}

std::vector<std::string> runnable() {
  std::vector<std::string> names;
  for (const auto* implementation : simdjson::get_available_implementations()) {
    if (implementation->supported_by_runtime_system()) names.push_back(implementation->name());
  }
  return names;
}
INSTANTIATE_TEST_SUITE_P(All, ReaderProperty, testing::ValuesIn(runnable()),
                         [](const auto& parameter) { return parameter.param; });

}  // namespace
}  // namespace sluice::json
