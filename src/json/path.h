// Path: where in a document a value stands. Compiled once from the text in the task document.
//
// A text that begins with `$` is a JSONPath, of which exactly the singular queries of RFC 9535
// (section 2.3.5.1) are taken, because they name at most one value:
//   $            the whole document
//   .name        a member; letters, digits, _ and anything beyond ASCII, no digit first
//   ['name']     a member of any name, in either kind of quotes, with the escapes of the RFC
//   [0]  [-1]    an element, counted from the start or from the end
// Wildcards, slices, filters, lists of selectors and descendants are refused. Any other text is the
// name of a top-level member, taken literally: `a.b` is the member "a.b".
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sluice::json {

// Nothing below this depth is read, so a longer path could never find anything.
inline constexpr std::size_t kMaxPathSteps = 1000;

class Path {
 public:
  struct Step {
    std::string name;        // a member, if !is_index
    std::int64_t index = 0;  // an element, if is_index; below 0: from the end
    bool is_index = false;
    bool operator==(const Step&) const = default;
  };

  // Errors (domain kDocument, code "path"): the position in `text` (1 is its first byte), what
  // stands there, what is allowed.
  static Result<Path> compile(std::string_view text);

  // The member `names[0]` of the document, of that the member `names[1]`, and so on.
  static Path of_members(std::vector<std::string> names);

  std::span<const Step> steps() const { return steps_; }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::vector<Step> steps_;
};

}  // namespace sluice::json
