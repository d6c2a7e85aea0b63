// What the tests of parse() share: a smallest document, edits of it, and expectations.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <initializer_list>
#include <string>
#include <string_view>

#include "task/parse.h"

namespace sluice::task {

namespace bj = boost::json;

inline constexpr std::string_view kMinimal = R"({
  "name": "orders",
  "source": {"kafka": {"bootstrap.servers": "h:9092"}, "topics": ["orders"]},
  "target": {"postgres": "postgresql://u@h/db", "table": "public.orders"}
})";

inline bj::value minimal() { return bj::parse(kMinimal); }

// Sets the value at a path such as "sync.columns[0].unit", making what is missing on the way.
inline void set(bj::value& document, std::string_view path, bj::value value) {
  bj::value* at = &document;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find_first_of(".["), path.size());
    const std::string_view name = path.substr(0, end);
    if (at->is_null()) at->emplace_object();
    at = &at->as_object()[name];
    path.remove_prefix(end);
    if (path.starts_with('[')) {
      if (at->is_null()) at->emplace_array();
      if (at->as_array().empty()) at->as_array().emplace_back(bj::object());
      at = &at->as_array().front();
      path.remove_prefix(path.find(']') + 1);
    }
    if (path.starts_with('.')) path.remove_prefix(1);
  }
  *at = std::move(value);
}

inline bj::value with(std::string_view path, std::string_view json) {
  bj::value document = minimal();
  set(document, path, bj::parse(json));
  return document;
}

inline Task good(const bj::value& document) {
  auto task = parse(document);
  if (!task) {
    for (const Error& error : task.error()) ADD_FAILURE() << to_string(error);
    return {};
  }
  return *task;
}

inline Errors bad(const bj::value& document) {
  auto task = parse(document);
  if (task) {
    ADD_FAILURE() << "accepted: " << bj::serialize(document);
    return {};
  }
  for (const Error& error : task.error()) EXPECT_EQ(error.domain, Domain::kDocument);
  return task.error();
}

// Exactly one error, with this path, and all of these parts in its text.
inline void expect_error(const bj::value& document, std::string_view path,
                         std::initializer_list<std::string_view> parts) {
  const Errors errors = bad(document);
  ASSERT_EQ(errors.size(), 1U) << bj::serialize(document) << "\n"
                               << (errors.size() > 1 ? to_string(errors[1]) : "");
  EXPECT_EQ(errors[0].code, path) << to_string(errors[0]);
  const std::string text = to_string(errors[0]);
  EXPECT_TRUE(text.starts_with(std::string(path.empty() ? "the document" : path) + ":")) << text;
  for (const std::string_view part : parts) {
    EXPECT_NE(text.find(part), std::string::npos) << "no <" << part << "> in: " << text;
  }
}

}  // namespace sluice::task
