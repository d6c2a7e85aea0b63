// JsonParts: the elements or members of a JSON array or object, one after the other, as Values. For
// slices that the reader has validated already; on text that is none it stops early and says so.
// Internal to encoder_nested.cc.
#pragma once

#include <string_view>

#include "base/buffer.h"
#include "message/value.h"

namespace sluice::sink {

class JsonParts {
 public:
  // `slice` begins with [ or {.
  explicit JsonParts(std::string_view slice) : at_(slice.data()), end_(at_ + slice.size()) {
    object_ = at_ != end_ && *at_ == '{';
  }

  // The next element, or member with its key. Strings with escapes are resolved into `text`
  // (values) and `key_text` (keys), which are cleared first; all others are views into the slice.
  // False at the end, or when good() turned false.
  bool next(std::string_view& key, message::Value& value, Buffer& key_text, Buffer& text);
  bool good() const { return good_; }

 private:
  bool read_value(message::Value& value, Buffer& text);
  bool read_string(std::string_view& string, Buffer& text);
  bool read_nested(message::Value& value);
  bool skip_string();
  void skip_space();
  bool bad() { return good_ = false; }

  const char* at_;
  const char* end_;
  bool object_ = false;
  bool started_ = false;
  bool good_ = true;
};

}  // namespace sluice::sink
