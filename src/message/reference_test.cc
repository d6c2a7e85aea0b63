// docs/reference/messages.md is true: every example in it is decoded, every problem in it is ours.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "json/reader.h"
#include "message/decoder.h"

namespace sluice::message {
namespace {

using Row = std::vector<std::string>;

std::string page() {
  const auto path =
      std::filesystem::path(__FILE__).parent_path() / "../../docs/reference/messages.md";
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string trimmed(std::string text) {
  while (text.starts_with(' ')) text.erase(0, 1);
  while (text.ends_with(' ')) text.pop_back();
  return text;
}

// The rows of all tables whose header begins with `first` and has `second` next.
std::vector<Row> rows_of(std::string_view first, std::string_view second) {
  std::vector<Row> rows;
  std::stringstream text(page());
  bool inside = false;
  for (std::string line; std::getline(text, line);) {
    if (!line.starts_with('|')) {
      inside = false;
      continue;
    }
    Row row;
    std::stringstream cells(line.substr(1));
    for (std::string cell; std::getline(cells, cell, '|');) row.push_back(trimmed(cell));
    if (inside && !line.starts_with("|---")) rows.push_back(row);
    if (row.size() > 1 && row[0] == first && row[1] == second) inside = true;
  }
  return rows;
}

// What stands in backquotes, with <EF> as the byte EF.
std::string literal(const std::string& cell) {
  const std::size_t begin = cell.find('`');
  const std::size_t end = cell.rfind('`');
  if (begin == std::string::npos || begin == end) return {};
  std::string out;
  for (std::size_t at = begin + 1; at < end; ++at) {
    if (cell[at] == '<' && at + 3 < end && cell[at + 3] == '>') {
      out += static_cast<char>(std::stoi(cell.substr(at + 1, 2), nullptr, 16));
      at += 3;
    } else {
      out += cell[at];
    }
  }
  return out;
}

// The outcome as the page words it, with the literal resolved.
std::string outcome(std::string_view path, std::string_view text) {
  DecoderConfig config;
  config.inputs.push_back({.field = std::string(path), .meta = Input::Meta::kNone});
  auto decoder = Decoder::compile(config);
  if (!decoder) return to_string(decoder.error());
  Message message;
  message.value = text;
  message.value_null = false;
  Value value;
  Problem problem;
  if (!decoder->decode(message, {&value, 1}, problem)) {
    return fmt::format("**{}**", name_of(problem.code));
  }
  switch (value.kind) {
    case Kind::kAbsent:
      return "absent";
    case Kind::kNull:
      return "null";
    case Kind::kNumber:
      return fmt::format("number {}", value.text());
    case Kind::kString:
      return fmt::format("text {}", value.text());
    case Kind::kJsonObject:
      return fmt::format("object {}", value.text());
    case Kind::kJsonArray:
      return fmt::format("array {}", value.text());
    default:
      return "another kind";
  }
}

std::string expected(const std::string& cell) {
  const std::size_t quote = cell.find('`');
  return quote == std::string::npos ? cell : cell.substr(0, quote) + literal(cell);
}

TEST(MessagesPage, EveryExampleHasItsOutcome) {
  const auto rows = rows_of("Input", "Example");
  EXPECT_GE(rows.size(), 58U);
  for (const Row& row : rows) {
    ASSERT_GE(row.size(), 3U) << row[0];
    EXPECT_EQ(outcome("a", literal(row[1])), expected(row[2])) << row[0];
  }
}

TEST(MessagesPage, EveryPathHasItsOutcome) {
  const auto rows = rows_of("Path", "Example");
  EXPECT_GE(rows.size(), 12U);
  for (const Row& row : rows) {
    EXPECT_EQ(outcome(literal(row[0]), literal(row[1])), expected(row[2])) << row[0];
  }
}

TEST(MessagesPage, LimitsAreThoseOfTheReader) {
  const auto rows = rows_of("Limit", "Value");
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0][1], std::to_string(json::kMaxDepth));
  EXPECT_EQ(rows[1][1], std::to_string(json::kMaxBytes));
}

TEST(MessagesPage, ListsEveryProblemWithItsRemedy) {
  const std::string text = page();
  std::string table;
  for (std::size_t i = 0; i < kProblemCodes; ++i) {
    Problem problem;
    problem.code = static_cast<ProblemCode>(i);
    const Error error = to_error(problem);
    table += fmt::format("| `{}` | {} | {} |\n", error.code, error.message, error.remedy);
  }
  EXPECT_TRUE(text.ends_with("|---|---|---|\n" + table)) << "the page must end with\n" << table;
}

}  // namespace
}  // namespace sluice::message
