#include "pipeline/failure.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace sluice::pipeline {
namespace {

Error postgres_error(std::string code) {
  Error error;
  error.domain = Domain::kPostgres;
  error.code = std::move(code);
  return error;
}

TEST(Failure, NoGoodMessageIsBadBecauseOfItsSurroundings) {
  for (const char* code : {"08006", "53100", "53300", "57P01", "57P02", "57P03", "58030", "25006",
                           "42501", "28P01", "25P03", "connection", "timeout"}) {
    EXPECT_EQ(classify(postgres_error(code), Phase::kWrite), FailureClass::kEnvironment) << code;
  }
}

TEST(Failure, ConflictsAreTriedAgain) {
  for (const char* code : {"40001", "40P01", "55P03", "57014"}) {
    EXPECT_EQ(classify(postgres_error(code), Phase::kWrite), FailureClass::kConflict) << code;
  }
}

TEST(Failure, DataIsIsolated) {
  for (const char* code :
       {"22P02", "22003", "22001", "23502", "23503", "23505", "23P01", "44000", "54000", "P0001"}) {
    EXPECT_EQ(classify(postgres_error(code), Phase::kWrite), FailureClass::kData) << code;
  }
}

TEST(Failure, APlanThatDoesNotFitIsNeverData) {
  for (const char* code : {"42703", "42P01", "42804", "22P03", "22P04", "0A000", "08P01"}) {
    EXPECT_EQ(classify(postgres_error(code), Phase::kWrite), FailureClass::kPlan) << code;
  }
}

TEST(Failure, ACheckWithoutAConstraintIsAMissingPartition) {
  Error error = postgres_error("23514");
  EXPECT_EQ(classify(error, Phase::kWrite), FailureClass::kEnvironment);
  error.constraint = "positive";
  EXPECT_EQ(classify(error, Phase::kWrite), FailureClass::kData);
}

TEST(Failure, RowSecurityRefusesARowNotATable) {
  Error error = postgres_error("42501");
  error.source_function = "ExecWithCheckOptions";
  EXPECT_EQ(classify(error, Phase::kWrite), FailureClass::kData);
}

TEST(Failure, TheLedgersDivisionByZeroIsAConflictNotData) {
  EXPECT_EQ(classify(postgres_error("22012"), Phase::kMove), FailureClass::kConflict);
  EXPECT_EQ(classify(postgres_error("22012"), Phase::kWrite), FailureClass::kData);
}

TEST(Failure, TheUnknownStops) {
  EXPECT_EQ(classify(postgres_error("XX000"), Phase::kWrite), FailureClass::kFatal);
  EXPECT_EQ(classify(postgres_error("42883"), Phase::kWrite), FailureClass::kFatal);
  Error error;
  error.domain = Domain::kInternal;
  EXPECT_EQ(classify(error, Phase::kWrite), FailureClass::kFatal);
}

TEST(Failure, EveryRuleCanBeReached) {
  const auto rules = failure_rules();
  for (std::size_t i = 0; i < rules.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const bool hides = rules[j].domain == rules[i].domain && rules[j].any_phase &&
                         rules[j].condition == nullptr && rules[j].code == rules[i].code;
      EXPECT_FALSE(hides) << rules[i].code << " stands behind a rule that takes all of it";
    }
  }
}

// SLUICE_REGENERATE=1 pipeline_test writes the page anew.
TEST(Failure, TheReferencePageIsTheTable) {
  const auto path =
      std::filesystem::path(__FILE__).parent_path() / "../../docs/reference/failures.md";
  if (std::getenv("SLUICE_REGENERATE") != nullptr) std::ofstream(path) << failure_reference();
  std::ifstream file(path);
  const std::string page((std::istreambuf_iterator<char>(file)), {});
  EXPECT_EQ(page, failure_reference())
      << "run SLUICE_REGENERATE=1 pipeline_test and commit the file";
}

}  // namespace
}  // namespace sluice::pipeline
