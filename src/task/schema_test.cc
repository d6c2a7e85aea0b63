#include "task/schema.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

namespace sluice::task {
namespace {

std::filesystem::path reference_file() {
  return std::filesystem::path(__FILE__).parent_path() / "../../docs/reference/task.md";
}

TEST(Reference, IsWhatTheTableSays) {
  const auto file = reference_file();
  if (std::getenv("SLUICE_REGENERATE") != nullptr) {
    std::ofstream(file, std::ios::binary) << reference_markdown();
  }
  std::ifstream stream(file, std::ios::binary);
  ASSERT_TRUE(stream) << file << " cannot be read; run SLUICE_REGENERATE=1 task_test";
  std::ostringstream contents;
  contents << stream.rdbuf();
  EXPECT_TRUE(contents.str() == reference_markdown())
      << "docs/reference/task.md is not what src/task/schema.cc says; run SLUICE_REGENERATE=1 "
         "task_test and commit the file";
}

TEST(Reference, NamesEveryKeyOnce) {
  const std::string page = reference_markdown();
  for (const Key& key : keys()) {
    if (key.path.ends_with(".*")) continue;
    const std::string row = "| `" + std::string(key.path) + "` | ";
    std::size_t rows = 0;
    for (std::size_t at = page.find(row); at != std::string::npos; at = page.find(row, at + 1)) {
      ++rows;
    }
    // What takes values that only later versions have stands in both tables.
    EXPECT_EQ(rows, key.later.empty() ? 1U : 2U) << key.path;
  }
}

TEST(Table, IsSound) {
  std::set<std::string_view> paths;
  for (const Key& key : keys()) {
    EXPECT_TRUE(paths.insert(key.path).second) << key.path << " stands there twice";
    EXPECT_FALSE(key.what.empty()) << key.path;
    EXPECT_TRUE(key.what.ends_with('.')) << key.path;
    EXPECT_EQ(key.since.empty(), key.type == Type::kLater) << key.path;
    EXPECT_FALSE(key.required && !key.default_text.empty()) << key.path;
    EXPECT_EQ(allowed_text(key).empty(), key.type == Type::kLater || key.type == Type::kServer)
        << key.path;
    EXPECT_EQ(find_key(key.path), &key);
    const bool bounded = key.type == Type::kInteger || key.type == Type::kFraction ||
                         key.type == Type::kDuration || key.type == Type::kBytes;
    EXPECT_EQ(bounded, key.max > key.min) << key.path;
    // Its section stands in front of it.
    const std::size_t dot = key.path.rfind('.');
    if (dot == std::string_view::npos) continue;
    std::string_view parent = key.path.substr(0, dot);
    if (parent.ends_with("[]")) parent.remove_suffix(2);
    EXPECT_TRUE(paths.contains(parent)) << key.path;
  }
}

TEST(Table, FindsKeys) {
  ASSERT_NE(find_key("source.kafka.bootstrap.servers"), nullptr);
  EXPECT_EQ(find_key("source.kafka.bootstrap.servers")->path, "source.kafka.*");
  EXPECT_EQ(find_key("source.kafkas"), nullptr);
  EXPECT_EQ(find_key("source.kafka."), nullptr);
  EXPECT_EQ(find_key(""), nullptr);
  EXPECT_EQ(keys_under("breaker").size(), 2U);
  std::vector<std::string_view> names;
  for (const Key* key : keys_under("sync.columns[]")) names.push_back(name_of(*key));
  EXPECT_EQ(names, (std::vector<std::string_view>{"field", "meta", "column", "on_absent", "on_null",
                                                  "default", "unit", "encoding", "update"}));
}

}  // namespace
}  // namespace sluice::task
