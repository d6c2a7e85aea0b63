#include "json/structure.h"

#include <gtest/gtest.h>
#include <simdjson.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/result.h"

namespace sluice::json {
namespace {

// Text that ends where a page ends behind which nothing may be read.
class GuardedText {
 public:
  explicit GuardedText(std::size_t pages) : size_(pages * page()) {
    void* memory =
        mmap(nullptr, size_ + page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SLUICE_CHECK(memory != MAP_FAILED);  // NOLINT
    memory_ = static_cast<char*>(memory);
    SLUICE_CHECK(mprotect(memory_ + size_, page(), PROT_NONE) == 0);
  }
  ~GuardedText() { munmap(memory_, size_ + page()); }
  GuardedText(const GuardedText&) = delete;
  GuardedText& operator=(const GuardedText&) = delete;

  std::string_view put(std::string_view text) {
    SLUICE_CHECK(text.size() <= size_);
    char* const at = memory_ + size_ - text.size();
    std::memcpy(at, text.data(), text.size());
    return {at, text.size()};
  }

 private:
  static std::size_t page() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }
  std::size_t size_;
  char* memory_ = nullptr;
};

// Runs with every implementation of simdjson that this CPU can run.
class Implementations : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto& active = simdjson::get_active_implementation();
    before_ = active;
    active = simdjson::get_available_implementations()[GetParam()];
  }
  void TearDown() override { simdjson::get_active_implementation() = before_; }

 private:
  const simdjson::implementation* before_ = nullptr;
};

std::vector<std::string> runnable() {
  std::vector<std::string> names;
  for (const auto* implementation : simdjson::get_available_implementations()) {
    if (implementation->supported_by_runtime_system()) names.push_back(implementation->name());
  }
  return names;
}

std::vector<std::uint32_t> positions(Structure& structure, std::string_view text) {
  EXPECT_EQ(structure.scan(text), Structure::Outcome::kOk) << text;
  return {structure.positions(), structure.positions() + structure.count() + 1};
}

TEST_P(Implementations, PositionsOfTokensAndTheLengthBehindThem) {
  Structure structure;
  using Positions = std::vector<std::uint32_t>;
  EXPECT_EQ(positions(structure, R"({"a": 1 } )"), (Positions{0, 1, 4, 6, 8, 10}));
  EXPECT_EQ(positions(structure, "1"), (Positions{0, 1}));
  // What follows a string directly begins a token of its own: reader.cc relies on it.
  EXPECT_EQ(positions(structure, R"("a"b)"), (Positions{0, 3, 4}));
  EXPECT_EQ(positions(structure, R"("a""b")"), (Positions{0, 3, 6}));
  EXPECT_EQ(positions(structure, R"("a\"b,")"), (Positions{0, 7}));
}

TEST_P(Implementations, Outcomes) {
  Structure structure;
  EXPECT_EQ(structure.scan(""), Structure::Outcome::kEmpty);
  EXPECT_EQ(structure.scan(" \t\r\n"), Structure::Outcome::kEmpty);
  EXPECT_EQ(structure.scan("\"a"), Structure::Outcome::kUnclosedString);
  EXPECT_EQ(structure.scan("\"a\x01\""), Structure::Outcome::kControlCharacter);
  EXPECT_EQ(structure.scan("\"a\xff\""), Structure::Outcome::kNotUtf8);
  EXPECT_EQ(structure.scan("\"a\xff"), Structure::Outcome::kNotUtf8);
  // Outside of strings the portable code leaves it to the walk, which takes no such bytes either.
  const bool portable = GetParam() == "fallback";
  EXPECT_EQ(structure.scan("{\xff}"),
            portable ? Structure::Outcome::kOk : Structure::Outcome::kNotUtf8);
  EXPECT_EQ(structure.scan("\"\\\xC3\xA9\""),
            portable ? Structure::Outcome::kBadEscape : Structure::Outcome::kOk);
}

TEST_P(Implementations, ReadsNothingBeyondTheEnd) {
  GuardedText guarded(1);
  Structure structure;
  std::string inside(300, 'x');
  for (std::size_t length = 0; length < 300; ++length) {
    const std::string text = '"' + inside.substr(0, length) + '"';
    EXPECT_EQ(positions(structure, guarded.put(text)).size(), 2U);
    EXPECT_EQ(structure.scan(guarded.put(text.substr(0, length + 1))),
              Structure::Outcome::kUnclosedString);
    // Characters and escapes that the end cuts off.
    for (const auto* cut : {"\xF0", "\xF0\x9F\x98", "\xE2", "\xE2\x82", "\xC3", "\\", "\\u12"}) {
      EXPECT_NE(structure.scan(guarded.put(text.substr(0, length + 1) + cut)),
                Structure::Outcome::kOk);
    }
    const std::string digits(length + 1, '1');
    EXPECT_EQ(positions(structure, guarded.put(digits)).size(), 2U);
  }
}

TEST_P(Implementations, GrowsForHugeTextsAndShrinksAgain) {
  Structure structure;
  std::string huge = "[1";
  for (int i = 0; i < 1'500'000; ++i) huge += ",1";
  huge += ']';
  EXPECT_EQ(positions(structure, huge).size(), 3'000'004U);
  for (int i = 0; i < 1100; ++i) EXPECT_EQ(positions(structure, "[1]").size(), 4U);
  EXPECT_EQ(positions(structure, huge).size(), 3'000'004U);
}

INSTANTIATE_TEST_SUITE_P(All, Implementations, testing::ValuesIn(runnable()),
                         [](const auto& parameter) { return parameter.param; });

}  // namespace
}  // namespace sluice::json
