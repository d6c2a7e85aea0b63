// Body: reading the members of a JSON object that came from outside, with every mistake named at
// once: a missing or unknown member, a wrong type, a text that is too long or has control
// characters. Not thread-safe; the object outlives it.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "control/problem.h"

namespace sluice::control {

class Body {
 public:
  // `path` stands in front of the names in what is wrong; empty at the root.
  explicit Body(const boost::json::object& object, std::string path = {})
      : object_(object), path_(std::move(path)) {}

  bool has(std::string_view name) const { return object_.contains(name); }
  // Whether the member is there and not null.
  bool has_value(std::string_view name) const;

  struct Text {
    std::size_t min = 0;
    std::size_t max = 256;  // characters of UTF-8
    bool lines = false;     // tabs and line breaks are taken
  };
  // Null and a missing member give nothing, and are wrong if `required`. What is wrong gives
  // nothing, too: ask finish() before anything is done.
  std::optional<std::string> text(std::string_view name, Text bounds, bool required = false);
  // A letter first, then letters, digits, _ - . ; at most 64.
  std::optional<std::string> name(std::string_view name, bool required = false);
  std::optional<std::string> choice(std::string_view name,
                                    std::initializer_list<std::string_view> choices,
                                    bool required = false);
  std::optional<std::int64_t> integer(std::string_view name, std::int64_t min, std::int64_t max,
                                      bool required = false);
  std::optional<bool> flag(std::string_view name, bool required = false);
  const boost::json::object* object(std::string_view name, bool required = false);
  const boost::json::array* array(std::string_view name, std::size_t max, bool required = false);
  // Any value; marks the member as known.
  const boost::json::value* value(std::string_view name, bool required = false);

  void wrong(std::string_view name, std::string message);
  void wrong(std::vector<FieldProblem> problems);
  std::string path_of(std::string_view name) const;
  // All mistakes, unknown members among them, as one problem `invalid`.
  Answer<bool> finish();
  // Those of a member's own Body are added to its parent's: problems() of the one, wrong() of the
  // other.
  std::vector<FieldProblem> problems();

 private:
  const boost::json::value* find(std::string_view name, bool required);

  const boost::json::object& object_;
  const std::string path_;
  std::set<std::string, std::less<>> known_;
  std::vector<FieldProblem> problems_;
};

// Empty if `name` may name a task or a connection, else what is wrong with it.
std::string name_mistake(std::string_view name);
// Whether a text of outside has control characters (line breaks and tabs count if not `lines`) or
// is not UTF-8.
bool has_control_characters(std::string_view text, bool lines);
// A time as RFC 3339 has it, as PostgreSQL takes it; nothing if it is none.
std::optional<std::string> read_time(std::string_view text);
std::size_t utf8_length(std::string_view text);

}  // namespace sluice::control
