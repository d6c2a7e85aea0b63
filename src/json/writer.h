// Writing JSON text into a Buffer: for summaries, logs of our own, headers as JSON. What it writes
// is valid UTF-8 and valid JSON whatever bytes it is given.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/buffer.h"

namespace sluice::json {

// Appends `text` in quotes. Escaped: the quote, the backslash and U+0000 to U+001F. Each byte that
// is not part of valid UTF-8 becomes U+FFFD.
void append_string(Buffer& out, std::string_view text);
void append_number(Buffer& out, std::int64_t number);
void append_number(Buffer& out, std::uint64_t number);
// The shortest text that reads back as `number`; null for NaN and infinities, which JSON has not.
void append_number(Buffer& out, double number);
// Standard base64 (RFC 4648, section 4) with padding, without quotes.
void append_base64(Buffer& out, std::string_view bytes);

// Puts the commas and colons. It does not check that calls are in an order that JSON allows: a test
// of the caller does. The buffer outlives it.
class Writer {
 public:
  explicit Writer(Buffer& out) : out_(out) {}

  Writer& begin_object() { return open('{'); }
  Writer& end_object() { return close('}'); }
  Writer& begin_array() { return open('['); }
  Writer& end_array() { return close(']'); }
  Writer& key(std::string_view name) {
    separate();
    append_string(out_, name);
    out_.append(':');
    comma_ = false;
    return *this;
  }

  Writer& string(std::string_view text) {
    separate();
    append_string(out_, text);
    return *this;
  }
  Writer& number(std::int64_t value) { return put_number(value); }
  Writer& number(int value) { return put_number(std::int64_t{value}); }
  Writer& number(std::uint64_t value) { return put_number(value); }
  Writer& number(double value) { return put_number(value); }
  Writer& boolean(bool value) { return raw(value ? "true" : "false"); }
  Writer& null() { return raw("null"); }
  // One value that is JSON already.
  Writer& raw(std::string_view json) {
    separate();
    out_.append(json);
    return *this;
  }

 private:
  Writer& open(char bracket) {
    separate();
    out_.append(bracket);
    comma_ = false;
    return *this;
  }
  Writer& close(char bracket) {
    out_.append(bracket);
    comma_ = true;
    return *this;
  }
  template <class Number>
  Writer& put_number(Number value) {
    separate();
    append_number(out_, value);
    return *this;
  }
  // Before each value and key: the comma after the one before it.
  void separate() {
    if (comma_) out_.append(',');
    comma_ = true;
  }

  Buffer& out_;
  bool comma_ = false;
};

}  // namespace sluice::json
