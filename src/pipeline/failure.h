// The one table of failure classes: what an error means in the phase in which it happened, and what
// follows. docs/reference/failures.md is made from it; the default for the unknown is to stop.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/failure.h"
#include "base/result.h"

namespace sluice::pipeline {

struct FailureRule {
  Domain domain;
  // An exact code, a prefix that ends in `*`, or `*` alone. Rules are tried in the table's order:
  // specific codes stand before patterns.
  std::string_view code;
  // Only in this phase; `any` (kKafka for Domain::kKafka) if `any_phase`.
  bool any_phase;
  Phase phase;
  // A further condition on the error, or nullptr; its words for the docs.
  bool (*condition)(const Error&);
  std::string_view condition_text;
  FailureClass failure_class;
  std::string_view meaning;  // for operators, one line
};

std::span<const FailureRule> failure_rules();

FailureClass classify(const Error& error, Phase phase);

// docs/reference/failures.md.
std::string failure_reference();

}  // namespace sluice::pipeline
