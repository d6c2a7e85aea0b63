// Problem: how an operation of the control plane says no. The API makes an RFC 9457 problem
// document of it (server/api), the command line one line of text.
//
// `code` is one of the table below and never changes its meaning; `detail` says in one sentence
// what was found where. Texts that depend on the code alone are kept in English and Chinese.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "base/result.h"

namespace sluice::control {

enum class Language : std::uint8_t { kEnglish, kChinese };

// One row of the table of problems: docs/reference/problems.md is made from it.
struct ProblemKind {
  std::string_view code;  // "not_found"
  unsigned status;        // of HTTP
  std::string_view title, title_zh;
  std::string_view advice, advice_zh;  // what to do, where the problem itself says nothing better

  std::string_view title_in(Language language) const {
    return language == Language::kChinese ? title_zh : title;
  }
  std::string_view advice_in(Language language) const {
    return language == Language::kChinese ? advice_zh : advice;
  }
};
std::span<const ProblemKind> problem_kinds();
std::string problems_markdown();
const ProblemKind& problem_kind(std::string_view code);  // of the table; anything else is a bug

// What is wrong with one member of a body, or one parameter.
struct FieldProblem {
  std::string path;  // as the task document writes paths: "sync.columns[2].column"; "?limit"
  std::string message;
};

struct Problem {
  std::string code;
  std::string detail;
  std::string advice = {};  // empty: the kind's own
  std::vector<FieldProblem> fields = {};
  boost::json::object more = {};  // further members of the document: "tasks", "state"
};

template <class T>
using Answer = tl::expected<T, Problem>;

inline tl::unexpected<Problem> refuse(Problem problem) {
  return tl::unexpected<Problem>(std::move(problem));
}
tl::unexpected<Problem> refuse(std::string_view code, std::string detail, std::string advice = {});
// "not_found": there is no WHAT "ID".
tl::unexpected<Problem> not_found(std::string_view what, std::string_view id);
// An Error of a lower module under the code that fits where it came from: connection_failed, ...
// Its message and remedy become detail and advice.
tl::unexpected<Problem> refuse(std::string_view code, const Error& error);
// Errors of a task document: invalid_document with a field for each.
tl::unexpected<Problem> refuse_document(const std::vector<Error>& errors);

}  // namespace sluice::control
