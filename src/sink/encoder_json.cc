#include "sink/encoder_json.h"

#include "json/text.h"

namespace sluice::sink {
namespace {

using message::Kind;
using message::Value;

// What may follow a number, true, false or null.
constexpr std::string_view kEnds = ",]} \t\n\r";

}  // namespace

bool JsonParts::next(std::string_view& key, Value& value, Buffer& key_text, Buffer& text) {
  if (!good_) return false;
  skip_space();
  if (at_ == end_) return bad();
  if (started_) {
    if (*at_ != ',') return (*at_ == (object_ ? '}' : ']')) ? false : bad();
    ++at_;
  } else {
    started_ = true;
    if (*at_ != '{' && *at_ != '[') return bad();
    ++at_;
    skip_space();
    if (at_ != end_ && *at_ == (object_ ? '}' : ']')) return false;
  }
  skip_space();
  if (object_) {
    if (at_ == end_ || *at_ != '"' || !read_string(key, key_text)) return bad();
    skip_space();
    if (at_ == end_ || *at_ != ':') return bad();
    ++at_;
    skip_space();
  }
  return at_ != end_ && read_value(value, text) ? true : bad();
}

bool JsonParts::read_value(Value& value, Buffer& text) {
  if (*at_ == '"') {
    std::string_view string;
    if (!read_string(string, text)) return false;
    value = Value::of(Kind::kString, string);
    return true;
  }
  if (*at_ == '[' || *at_ == '{') return read_nested(value);
  const char* const from = at_;
  while (at_ != end_ && kEnds.find(*at_) == std::string_view::npos) ++at_;
  const std::string_view token(from, static_cast<std::size_t>(at_ - from));
  if (token == "null") {
    value = Value::of(Kind::kNull, 0);
  } else if (token == "true" || token == "false") {
    value = Value::of(Kind::kBool, token == "true" ? 1 : 0);
  } else {
    value = Value::of(Kind::kNumber, token);
  }
  return !token.empty();
}

bool JsonParts::read_string(std::string_view& string, Buffer& text) {
  const char* const from = at_ + 1;
  if (!skip_string()) return false;
  string = {from, static_cast<std::size_t>(at_ - 1 - from)};
  if (string.find('\\') == std::string_view::npos) return true;
  text.clear();
  if (json::unescape(string, &text).fault != json::EscapeFault::kNone) return false;
  string = text.view();
  return true;
}

// From one quote to behind the other.
bool JsonParts::skip_string() {
  for (++at_; at_ != end_; ++at_) {
    if (*at_ == '"') {
      ++at_;
      return true;
    }
    if (*at_ == '\\' && ++at_ == end_) return false;
  }
  return false;
}

bool JsonParts::read_nested(Value& value) {
  const Kind kind = *at_ == '[' ? Kind::kJsonArray : Kind::kJsonObject;
  const char* const from = at_;
  std::size_t depth = 0;
  while (at_ != end_) {
    if (*at_ == '"') {
      if (!skip_string()) return false;
      continue;
    }
    if (*at_ == '[' || *at_ == '{') ++depth;
    if (*at_ == ']' || *at_ == '}') --depth;
    ++at_;
    if (depth == 0) {
      value = Value::of(kind, std::string_view(from, static_cast<std::size_t>(at_ - from)));
      return true;
    }
  }
  return false;
}

void JsonParts::skip_space() {
  while (at_ != end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\n' || *at_ == '\r')) ++at_;
}

}  // namespace sluice::sink
