#include "json/path.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/buffer.h"
#include "json/text.h"

namespace sluice::json {
namespace {

// RFC 9535, 2.3.3.1: indexes are within the exact integers of a double.
constexpr std::int64_t kMaxIndex = (std::int64_t{1} << 53) - 1;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_first(char c) {
  const char lower = static_cast<char>(c | 0x20);
  return (lower >= 'a' && lower <= 'z') || c == '_' || (static_cast<unsigned char>(c) & 0x80) != 0;
}
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// Parses one JSONPath; a problem is kept where it was met, and ends the parsing.
class Compiler {
 public:
  explicit Compiler(std::string_view text) : text_(text) {}

  bool run(std::vector<Path::Step>& steps) {
    at_ = 1;  // after the $
    while (at_ < text_.size()) {
      skip_blanks();
      if (at_ == text_.size()) return refuse("blank space at the end", "remove it");
      Path::Step step;
      if (!take_segment(step)) return false;
      steps.push_back(std::move(step));
    }
    return true;
  }
  Error error() const { return error_; }

 private:
  bool ends() const { return at_ == text_.size(); }
  char peek() const { return ends() ? '\0' : text_[at_]; }
  void skip_blanks() {
    while (!ends() && is_blank(text_[at_])) ++at_;
  }
  std::string found() const {
    return ends() ? "the text ends here" : fmt::format("found {}", shown(text_[at_]));
  }

  bool refuse(std::string what, std::string remedy) {
    error_.domain = Domain::kDocument;
    error_.code = "path";
    error_.message = fmt::format("path `{}`: position {}: {}", text_, at_ + 1, what);
    error_.remedy = std::move(remedy);
    return false;
  }
  bool refuse_several(std::string_view what) {
    return refuse(fmt::format("{} selects several values, a column takes one", what),
                  "Allowed are .name, ['name'], [0] and [-1]; to keep a whole object or array, map "
                  "it to a json, jsonb or array column.");
  }

  bool take_segment(Path::Step& step) {
    if (peek() == '[') return take_bracket(step);
    if (peek() == '.') return take_dot(step);
    return refuse(fmt::format("expected . or [, {}", found()),
                  fmt::format("Write .name, ['name'] or [0]; the top-level field of this name is "
                              "$['{}'].",
                              text_));
  }

  bool take_dot(Path::Step& step) {
    ++at_;
    if (peek() == '.') return refuse_several("a descendant segment (..)");
    if (peek() == '*') return refuse_several("a wildcard (*)");
    const std::size_t begin = at_;
    if (ends() || !is_name_first(text_[at_])) {
      return refuse(fmt::format("expected a name after the point, {}", found()), quote_remedy());
    }
    while (!ends() && (is_name_first(text_[at_]) || is_digit(text_[at_]))) ++at_;
    if (!ends() && peek() != '.' && peek() != '[' && !is_blank(peek())) {
      return refuse(fmt::format("{} cannot stand in a name after a point", shown(peek())),
                    quote_remedy());
    }
    step.name = text_.substr(begin, at_ - begin);
    return true;
  }
  static std::string quote_remedy() {
    return "Names with other characters than letters, digits and _, or with a digit first, are "
           "written in brackets and quotes: $['order-id'].";
  }

  bool take_bracket(Path::Step& step) {
    ++at_;
    skip_blanks();
    const char c = peek();
    if (c == '*') return refuse_several("a wildcard (*)");
    if (c == '?') return refuse_several("a filter (?)");
    if (c == ':') return refuse_several("a slice (:)");
    bool taken = false;
    if (c == '\'' || c == '"') {
      taken = take_quoted(step.name);
    } else if (c == '-' || is_digit(c)) {
      taken = take_index(step);
    } else {
      return refuse(fmt::format("expected a name in quotes or a number after [, {}", found()),
                    "Write ['name'] or [0].");
    }
    if (!taken) return false;
    skip_blanks();
    if (peek() == ':') return refuse_several("a slice (:)");
    if (peek() == ',') return refuse_several("a list of selectors (,)");
    if (peek() != ']') return refuse(fmt::format("expected ], {}", found()), "Close the bracket.");
    ++at_;
    return true;
  }

  bool take_index(Path::Step& step) {
    const std::size_t begin = at_;
    const bool negative = peek() == '-';
    if (negative) ++at_;
    const std::size_t digits = at_;
    std::int64_t value = 0;
    while (!ends() && is_digit(text_[at_])) {
      value = std::min(value * 10 + (text_[at_] - '0'), kMaxIndex + 1);
      ++at_;
    }
    const std::size_t length = at_ - digits;
    if (length == 0) return refuse(fmt::format("expected a digit, {}", found()), "Write [-1].");
    const bool leading_zero = text_[digits] == '0' && (length > 1 || negative);
    if (leading_zero || value > kMaxIndex) {
      at_ = begin;
      return refuse(
          leading_zero ? "an index has no leading zero and no -0" : "the index is too large",
          "Elements are counted from 0, or from the end from -1.");
    }
    step.is_index = true;
    step.index = negative ? -value : value;
    return true;
  }

  bool take_quoted(std::string& name) {
    const char quote = text_[at_++];
    Buffer out;
    while (!ends() && text_[at_] != quote) {
      const char c = text_[at_];
      if (static_cast<unsigned char>(c) < 0x20) {
        return refuse(fmt::format("{} inside a quoted name", shown(c)), "Write it as \\u escape.");
      }
      if (c == '\\') {
        if (!take_escape(quote, out)) return false;
      } else {
        out.append(c);
        ++at_;
      }
    }
    if (ends()) return refuse("the quoted name does not end", "Close the quote.");
    ++at_;
    name = std::string(out.view());
    return true;
  }

  // RFC 9535, 2.3.1.1: the escapes of JSON, except that \" stands only in double quotes; and \' in
  // single ones.
  bool take_escape(char quote, Buffer& out) {
    const std::string_view rest = text_.substr(at_);
    const char letter = rest.size() > 1 ? rest[1] : '\0';
    if (letter == '\'' && quote == '\'') {
      out.append('\'');
      at_ += 2;
      return true;
    }
    std::size_t length = letter == 'u' ? 6 : 2;
    EscapeFault fault = unescape(rest.substr(0, length), &out).fault;
    if (fault == EscapeFault::kLoneSurrogate) {  // the first of a pair, perhaps
      length = 12;
      fault = unescape(rest.substr(0, length), &out).fault;
    }
    if (fault != EscapeFault::kNone || (letter == '"' && quote != '"')) {
      return refuse("this is no escape of a quoted name",
                    "Allowed are \\b \\f \\n \\r \\t \\/ \\\\, the quote itself, \\uXXXX and pairs "
                    "of surrogates.");
    }
    at_ += length;
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  Error error_;
};

}  // namespace

Result<Path> Path::compile(std::string_view text) {
  if (!is_utf8(text)) {
    return fail(Domain::kDocument, "path",
                fmt::format("path: position {}: not valid UTF-8", valid_utf8_prefix(text) + 1),
                "Names of fields are UTF-8, as JSON is.");
  }
  Path path;
  path.text_ = text;
  if (!text.starts_with('$')) {
    path.steps_.push_back({.name = std::string(text), .index = 0, .is_index = false});
    return path;
  }
  Compiler compiler(path.text_);
  if (!compiler.run(path.steps_)) return fail(compiler.error());
  if (path.steps_.size() > kMaxPathSteps) {
    return fail(Domain::kDocument, "path",
                fmt::format("path: {} steps, but documents are read {} levels deep",
                            path.steps_.size(), kMaxPathSteps),
                "Shorten the path.");
  }
  return path;
}

Path Path::of_members(std::vector<std::string> names) {
  Path path;
  path.text_.push_back('$');
  for (auto& name : names) {
    path.text_.push_back('.');
    path.text_ += name;
    path.steps_.push_back({.name = std::move(name)});
  }
  return path;
}

}  // namespace sluice::json
