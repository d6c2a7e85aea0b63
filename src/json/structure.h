// Structure: where the tokens of a JSON text begin. It is the first stage of simdjson (vector code
// chosen for the CPU at run time), which also checks strings for UTF-8, for a missing end and for
// control characters.
//
// simdjson's own second stage is not used: its on-demand API does not validate what is not read and
// is compiled for the baseline CPU, its DOM turns numbers into doubles. json/reader.cc walks the
// positions instead. Not thread-safe; movable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/buffer.h"

namespace sluice::json {

class Structure {
 public:
  enum class Outcome : std::uint8_t {
    kOk,
    kEmpty,  // nothing but white space
    kNotUtf8,
    kUnclosedString,
    kControlCharacter,  // U+0000 to U+001F unescaped inside a string
    kBadEscape,  // a backslash before a character beyond ASCII; not all CPUs' code sees it here
  };

  Structure();
  Structure(Structure&&) noexcept;
  Structure& operator=(Structure&&) noexcept;
  Structure(const Structure&) = delete;
  Structure& operator=(const Structure&) = delete;
  ~Structure();

  // Finds the tokens of `text`, of which not a byte beyond its end is read. Exceptions:
  // std::bad_alloc.
  Outcome scan(std::string_view text);

  // After kOk: the positions of the first byte of each token in `text`, ascending. A token is one
  // of { } [ ] : , or begins a run of other bytes that are no white space: a string with its
  // quotes, or a scalar, well formed or not. positions()[count()] is the length of the text. Valid
  // until the next scan.
  const std::uint32_t* positions() const { return positions_; }
  std::uint32_t count() const { return count_; }

 private:
  struct Parser;
  void reserve(std::size_t length);

  std::unique_ptr<Parser> parser_;
  const std::uint32_t* positions_ = nullptr;
  std::uint32_t count_ = 0;
  std::size_t capacity_ = 0;
  bool reads_beyond_ = false;  // the code for this CPU needs padding
  Buffer padded_;
  unsigned small_scans_ = 0;
};

}  // namespace sluice::json
