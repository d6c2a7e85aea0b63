// The pages of docs/reference that are made from tables of this module.
// SLUICE_REGENERATE=1 control_test writes them anew.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "control/connection_parameters.h"
#include "control/events.h"
#include "control/problem.h"
#include "control/settings.h"
#include "control/task_state.h"

namespace sluice::control {
namespace {

void expect_page(const char* name, const std::string& contents) {
  const auto file = std::filesystem::path(__FILE__).parent_path() / "../../docs/reference" / name;
  if (std::getenv("SLUICE_REGENERATE") != nullptr) {
    std::ofstream(file, std::ios::binary) << contents;
  }
  std::ifstream stream(file, std::ios::binary);
  ASSERT_TRUE(stream) << file << " cannot be read; run SLUICE_REGENERATE=1 control_test";
  std::ostringstream found;
  found << stream.rdbuf();
  EXPECT_TRUE(found.str() == contents)
      << "docs/reference/" << name
      << " is not what its table says; run SLUICE_REGENERATE=1 control_test and commit the file";
}

TEST(Reference, Events) { expect_page("events.md", events_markdown()); }
TEST(Reference, Problems) { expect_page("problems.md", problems_markdown()); }
TEST(Reference, Connections) { expect_page("connections.md", connections_markdown()); }
TEST(Reference, States) { expect_page("states.md", states_markdown()); }
TEST(Reference, Configuration) { expect_page("configuration.md", settings_markdown()); }

TEST(EventKinds, AreDistinctAndComplete) {
  std::set<std::string_view> types;
  for (const auto& kind : event_kinds()) {
    EXPECT_TRUE(types.insert(kind.type).second) << kind.type;
    EXPECT_FALSE(kind.title.empty() || kind.title_zh.empty()) << kind.type;
    EXPECT_EQ(&event_kind(kind.type), &kind);
  }
}

TEST(ProblemKinds, AreDistinctAndCompleteAndInOrder) {
  std::set<std::string_view> codes;
  unsigned status = 400;
  for (const auto& kind : problem_kinds()) {
    EXPECT_TRUE(codes.insert(kind.code).second) << kind.code;
    EXPECT_FALSE(kind.title.empty() || kind.title_zh.empty()) << kind.code;
    EXPECT_FALSE(kind.advice.empty() || kind.advice_zh.empty()) << kind.code;
    EXPECT_GE(kind.status, status) << kind.code << ": by status";
    status = kind.status;
  }
}

}  // namespace
}  // namespace sluice::control
