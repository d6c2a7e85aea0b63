// Fields: the fields of an encoded row, one after the other. A view; the row stays whose it is.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "sink/plan.h"

namespace sluice::sink {

// Completes a row that begins at `begin`, in binary with room for its number of fields.
inline void end_row(Buffer& out, std::size_t begin, bool binary, std::uint16_t fields) {
  if (!binary) {
    out.append('\n');
    return;
  }
  out.data()[begin] = static_cast<char>(fields >> 8);
  out.data()[begin + 1] = static_cast<char>(fields & 0xff);
}

class Fields {
 public:
  Fields(std::string_view row, Form form) : rest_(row), form_(form) {
    rest_.remove_prefix(form == Form::kBinary ? 2 : 0);
    if (form == Form::kText) rest_.remove_suffix(1);  // the newline
  }
  // Binary: with its length; text: without delimiter.
  std::string_view next() {
    std::size_t length = 0;
    if (form_ == Form::kBinary) {
      std::uint32_t size = 0;
      std::memcpy(&size, rest_.data(), 4);
      size = __builtin_bswap32(size);
      length = 4 + (size == 0xffffffffU ? 0 : size);
      const std::string_view field = rest_.substr(0, length);
      rest_.remove_prefix(length);
      return field;
    }
    length = std::min(rest_.find('\t'), rest_.size());
    const std::string_view field = rest_.substr(0, length);
    rest_.remove_prefix(std::min(length + 1, rest_.size()));
    return field;
  }

 private:
  std::string_view rest_;
  Form form_;
};

}  // namespace sluice::sink
