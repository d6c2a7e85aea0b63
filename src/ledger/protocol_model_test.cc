// Explores every interleaving of the model in protocol_model.h to a fixed depth, breadth first, so
// that a violation comes with a shortest way to it; and from every state found, lets things run.
#include "ledger/protocol_model.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <unordered_set>

namespace sluice::ledger::model {
namespace {

struct Findings {
  std::string violation;  // empty: none
  std::string path;       // the steps that lead to it
  std::size_t states = 0;
  std::size_t steps = 0;
  int depth = 0;           // the deepest level whose states were all expanded
  bool exhausted = false;  // nothing new was left: every reachable state was seen
  std::size_t lane_states = 0;
  std::set<std::pair<Decision::Kind, Verdict>> decisions;
};

class Explorer {
 public:
  Explorer(Setting setting, Mutation mutation) : model_(setting, mutation) {}

  Findings run(int depth) {
    std::vector<std::pair<World, std::uint32_t>> level;
    std::vector<std::pair<World, std::uint32_t>> next_level;
    Step start;
    start.label = "start";
    start.world = model_.first();
    visit(start, 0, next_level);
    while (!next_level.empty() && findings_.depth < depth && findings_.violation.empty()) {
      level.swap(next_level);
      next_level.clear();
      for (const auto& [world, node] : level) {
        if (!expand(world, node, next_level)) break;
      }
      ++findings_.depth;
    }
    findings_.exhausted = next_level.empty();
    findings_.states = nodes_.size();
    findings_.lane_states = model_.lanes().distinct();
    findings_.decisions = model_.lanes().decisions();
    return findings_;
  }

 private:
  using Level = std::vector<std::pair<World, std::uint32_t>>;
  struct Node {
    std::uint32_t parent;
    const char* label;
    std::int8_t worker;
    std::int8_t partition;
  };

  bool expand(const World& world, std::uint32_t node, Level& next_level) {
    steps_.clear();
    model_.steps(world, steps_);
    findings_.steps += steps_.size();
    for (const Step& step : steps_) {
      if (!visit(step, node, next_level)) return false;
    }
    return true;
  }

  // 64 bits of hash stand for a state: with a million of them, two fall together once in 10^7 runs,
  // and then one state is left out.
  static std::uint64_t hash_of(const World& world) {
    Model::Bytes bytes;
    return std::hash<std::string_view>{}(Model::fingerprint(world, bytes));
  }

  bool visit(const Step& step, std::uint32_t parent, Level& next_level) {
    if (step.violation == nullptr && !visited_.insert(hash_of(step.world)).second) return true;
    const auto node = static_cast<std::uint32_t>(nodes_.size());
    nodes_.push_back({parent, step.label, step.worker, step.partition});
    if (step.violation != nullptr) {
      report(step.violation, node, {});
      return false;
    }
    if (!comes_to_rest(step.world, node)) return false;
    next_level.emplace_back(step.world, node);
    return true;
  }

  // Liveness: a fair schedule without further faults ends with everything applied.
  bool comes_to_rest(const World& world, std::uint32_t node) {
    constexpr std::size_t kPatience = 300;
    std::vector<std::string> labels;
    std::vector<std::uint64_t> chain;
    World now = world;
    Step step;
    while (chain.size() < kPatience) {
      if (!model_.heal(now, step)) {
        if (!model_.finished(now)) return report("comes to rest unfinished", node, labels);
        live_.insert(chain.begin(), chain.end());
        return true;
      }
      now = step.world;
      labels.push_back(text_of(step.label, step.worker, step.partition));
      if (step.violation != nullptr) return report(step.violation, node, labels);
      const std::uint64_t hash = hash_of(now);
      if (live_.contains(hash)) {
        live_.insert(chain.begin(), chain.end());
        return true;
      }
      chain.push_back(hash);
    }
    return report("never comes to rest", node, labels);
  }

  static std::string text_of(const char* label, int worker, int partition) {
    std::string text = label;
    if (worker >= 0) text += fmt::format(" worker {}", worker);
    if (partition >= 0) text += fmt::format(" (partition {})", partition);
    return text;
  }

  bool report(const char* violation, std::uint32_t node, const std::vector<std::string>& healing) {
    findings_.violation = violation;
    std::vector<std::string> path;
    for (; node != 0; node = nodes_[node].parent) {
      path.push_back(text_of(nodes_[node].label, nodes_[node].worker, nodes_[node].partition));
    }
    std::reverse(path.begin(), path.end());
    for (const std::string& line : path) findings_.path += "\n  " + line;
    if (!healing.empty()) findings_.path += "\n  -- from here without faults:";
    for (const std::string& line : healing) findings_.path += "\n  " + line;
    return false;
  }

  Model model_;
  Findings findings_;
  std::unordered_set<std::uint64_t> visited_;
  std::unordered_set<std::uint64_t> live_;
  std::vector<Node> nodes_;
  std::vector<Step> steps_;
};

// Levels beyond the ones below, for a machine with time and memory to spare (each costs about 1.6
// times the one before it).
int deeper() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): tests change no environment
  const char* levels = std::getenv("SLUICE_EXPLORE_DEEPER");
  return levels == nullptr ? 0 : std::atoi(levels);
}

struct Scenario {
  const char* name;
  Setting setting;
  int depth;
  std::size_t states;  // at least: an explorer that sees less has gone blind
};

constexpr Setting kEverything = {.partitions = 2,
                                 .handovers = 1,
                                 .losses = 1,
                                 .failed_commits = 1,
                                 .crashes = 1,
                                 .freezes = 1,
                                 .terminations = 1,
                                 .raises = 1,
                                 .resets = 1,
                                 .failovers = 1,
                                 .restarts = 1,
                                 .lost_rows = 1};

const Scenario kScenarios[] = {
    {"HandoversAndCrashes", {.handovers = 2, .losses = 1, .crashes = 1}, 22, 60'000},
    {"LostAnswers", {.handovers = 1, .losses = 2, .failed_commits = 1, .restarts = 1}, 22, 60'000},
    {"StoppedHolder", {.handovers = 2, .losses = 1, .freezes = 1, .terminations = 1}, 19, 60'000},
    {"RaisesAndResets",
     {.handovers = 1, .losses = 1, .freezes = 1, .raises = 1, .resets = 1},
     15,
     50'000},
    {"FailoverToAnOlderState",
     {.handovers = 1, .losses = 1, .raises = 2, .failovers = 1},
     15,
     40'000},
    {"LostLedgerRow", {.handovers = 1, .crashes = 1, .resets = 1, .lost_rows = 1}, 99, 50'000},
    {"ThreeMessages", {.messages = 3, .handovers = 2, .losses = 1, .resets = 1}, 18, 40'000},
    {"TwoPartitions", {.partitions = 2, .handovers = 2, .losses = 1}, 15, 50'000},
    {"Everything", kEverything, 8, 60'000},
};

class Exploration : public testing::TestWithParam<Scenario> {};

TEST_P(Exploration, FindsNoViolation) {
  const Scenario& scenario = GetParam();
  const Findings findings =
      Explorer(scenario.setting, Mutation::kNone).run(scenario.depth + deeper());
  EXPECT_EQ(findings.violation, "") << findings.path;
  EXPECT_GE(findings.states, scenario.states);
  fmt::print("{}: {} states, {} steps, depth {}{}, {} states of a lane\n", scenario.name,
             findings.states, findings.steps, findings.depth,
             findings.exhausted ? " (all there are)" : "", findings.lane_states);
}

INSTANTIATE_TEST_SUITE_P(Model, Exploration, testing::ValuesIn(kScenarios),
                         [](const auto& test) { return std::string(test.param.name); });

// What the scenarios rest on: they lead the lane into every decision that there is.
TEST(ExplorationCoverage, EveryDecisionIsReached) {
  using Kind = Decision::Kind;
  const Setting setting = {
      .handovers = 1, .losses = 1, .raises = 1, .failovers = 1, .lost_rows = 1};
  const Findings findings = Explorer(setting, Mutation::kNone).run(13);
  EXPECT_EQ(findings.violation, "") << findings.path;
  for (const auto& [kind, verdict] :
       std::vector<std::pair<Kind, Verdict>>{{Kind::kGo, Verdict::kExpected},
                                             {Kind::kDone, Verdict::kExpected},
                                             {Kind::kRetry, Verdict::kExpected},
                                             {Kind::kReposition, Verdict::kExpected},
                                             {Kind::kReposition, Verdict::kAhead},
                                             {Kind::kReposition, Verdict::kBehind},
                                             {Kind::kStop, Verdict::kFenced},
                                             {Kind::kStop, Verdict::kLost},
                                             {Kind::kStop, Verdict::kGoneBack}}) {
    EXPECT_TRUE(findings.decisions.contains({kind, verdict}))
        << static_cast<int>(kind) << " " << name_of(verdict);
  }
}

// Each way to be wrong, and what the explorer must say of it.
struct Wrong {
  const char* name;
  Mutation mutation;
  Setting setting;
  int depth;
  const char* violation;
};

class Mutations : public testing::TestWithParam<Wrong> {};

TEST_P(Mutations, AreCaught) {
  const Wrong& wrong = GetParam();
  const Findings right = Explorer(wrong.setting, Mutation::kNone).run(wrong.depth);
  EXPECT_EQ(right.violation, "") << "without the mistake:" << right.path;
  const Findings findings = Explorer(wrong.setting, wrong.mutation).run(wrong.depth);
  EXPECT_EQ(findings.violation, wrong.violation) << findings.path;
}

INSTANTIATE_TEST_SUITE_P(
    Model, Mutations,
    testing::Values(Wrong{"SkipsPositionCheck",
                          Mutation::kSkipsPositionCheck,
                          {.handovers = 1},
                          20,
                          "an offset is applied twice"},
                    Wrong{"IgnoresEpochs",
                          Mutation::kIgnoresEpochs,
                          {.raises = 1},
                          20,
                          "a batch of an older epoch committed after the raise had returned"},
                    Wrong{"IgnoresEpochsAcrossReset",
                          Mutation::kIgnoresEpochs,
                          {.resets = 1},
                          20,
                          "a batch of an older epoch committed after the raise had returned"},
                    Wrong{"CountsRollbackAsCommit",
                          Mutation::kCountsRollbackAsCommit,
                          {.failed_commits = 1},
                          20,
                          "a lane takes for applied what is not"},
                    Wrong{"AssumesCommitWhenInDoubt",
                          Mutation::kAssumesCommitWhenInDoubt,
                          {.losses = 1},
                          20,
                          "a lane takes for applied what is not"},
                    Wrong{"RowsApartFromLedger",
                          Mutation::kRowsApartFromLedger,
                          {.failed_commits = 1},
                          20,
                          "an offset beyond the position is applied"},
                    Wrong{"RecreatesLostRows",
                          Mutation::kRecreatesLostRows,
                          {.lost_rows = 1},
                          20,
                          "rows were written although their ledger row is lost"},
                    Wrong{"CountsEpochsByOne",
                          Mutation::kCountsEpochsByOne,
                          {.raises = 2, .failovers = 1},
                          20,
                          "a batch of an older epoch committed after the raise had returned"},
                    Wrong{"NeverEndsStoppedHolder",
                          Mutation::kNeverEndsStoppedHolder,
                          {.freezes = 1},
                          20,
                          "comes to rest unfinished"}),
    [](const auto& test) { return std::string(test.param.name); });

// Reading the ledger when in doubt is the first line of defence. Behind it stands the position
// check: a lane that takes every lost answer for a rollback and begins again is still never wrong.
TEST(SecondLine, RetryingWhenInDoubtIsCaughtByThePositionCheck) {
  const Setting setting = {.handovers = 1, .losses = 2, .failed_commits = 1};
  const Findings findings = Explorer(setting, Mutation::kRetriesWhenInDoubt).run(18);
  EXPECT_EQ(findings.violation, "") << findings.path;
  EXPECT_GE(findings.states, 10'000U);
}

}  // namespace
}  // namespace sluice::ledger::model
