// Every file of the corpora through its target, and some thousand mutations of them.
// RC_PARAMS=seed=N (./test --seed N) repeats the mutations of another run.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "targets.h"

namespace sluice::fuzz {
namespace {

constexpr int kMutations = 20'000;
constexpr std::size_t kLongest = 4096;

using Target = void (*)(std::string_view);

std::vector<std::string> corpus(const std::string& name) {
  std::vector<std::string> inputs;
  const std::filesystem::path folder = std::filesystem::path(SLUICE_CORPUS) / name;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream file(entry.path(), std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return inputs;
}

std::uint64_t seed() {
  const char* text = std::getenv("RC_PARAMS");
  const std::string given = text == nullptr ? "" : text;
  const auto at = given.find("seed=");
  return at == std::string::npos ? 1 : std::strtoull(given.c_str() + at + 5, nullptr, 10);
}

// One small change: of a byte, a piece taken out, doubled, or taken from another input.
std::string mutated(std::string input, const std::vector<std::string>& others,
                    std::mt19937_64& random) {
  const auto below = [&](std::size_t bound) { return bound == 0 ? 0 : random() % bound; };
  static constexpr std::string_view kTokens[] = {
      "{",        "}",       "[",     "]",  "\"", "\\",     "\\u0000", "\\ud800", ":",
      ",",        "null",    "1e400", "-",  "$",  "\n",     "\t",      "\xff",    "\xed\xa0\x80",
      "${env:X}", "${file:", "&a",    "*a", "|",  "line 1", "'"};
  for (std::size_t changes = 1 + below(4); changes > 0; --changes) {
    const std::size_t at = below(input.size() + 1);
    switch (below(5)) {
      case 0:
        if (at < input.size()) input[at] = static_cast<char>(random());
        break;
      case 1:
        input.erase(at, below(16));
        break;
      case 2:
        input.insert(at, kTokens[below(std::size(kTokens))]);
        break;
      case 3:
        input.insert(at, input.substr(at, below(64)));
        break;
      default: {
        const std::string& other = others[below(others.size())];
        input = input.substr(0, at) + other.substr(below(other.size() + 1));
      }
    }
  }
  input.resize(std::min(input.size(), kLongest));
  return input;
}

void replay(const std::string& name, Target target, int mutations = kMutations) {
  const auto inputs = corpus(name);
  ASSERT_GE(inputs.size(), 5U) << "the corpus of " << name;
  for (const auto& input : inputs) target(input);
  std::mt19937_64 random(seed());
  for (int i = 0; i < mutations; ++i) {
    target(mutated(inputs[random() % inputs.size()], inputs, random));
  }
}

TEST(Fuzz, Message) { replay("message", message); }
TEST(Fuzz, Change) { replay("change", change, kMutations / 8); }
TEST(Fuzz, Path) { replay("path", path); }
TEST(Fuzz, Document) { replay("document", document); }
TEST(Fuzz, CopyError) { replay("copy_error", copy_error); }

}  // namespace
}  // namespace sluice::fuzz
