// Reader: walks one JSON document forward, once, and delivers the values that a set of paths names.
// Everything else is validated as it is passed over: a document is taken only if it is valid JSON
// (RFC 8259) from the first byte to the last, whatever the paths ask for.
//
// What it holds to beyond the RFC:
//   - the root is an object (unless the caller takes any root);
//   - \ud800 to \udfff without their other half are refused anywhere in the document, keys
//   included;
//   - of members with the same name the last one counts, and what an earlier one held is forgotten;
//   - a byte order mark at the start is skipped;
//   - nesting deeper than kMaxDepth and documents above kMaxBytes are refused.
// Numbers of any size and precision are valid and keep their exact text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "json/path.h"

namespace sluice::json {

// The root is level 1.
inline constexpr unsigned kMaxDepth = 1000;
inline constexpr std::size_t kMaxBytes = std::size_t{128} << 20;
static_assert(kMaxPathSteps <= kMaxDepth);

enum class Type : std::uint8_t { kAbsent, kNull, kBool, kNumber, kString, kObject, kArray };

// What a path found.
struct Slot {
  Type type = Type::kAbsent;
  bool boolean = false;      // of kBool
  std::uint32_t length = 0;  // of `data`
  // kNumber: the exact token. kString: the text with its escapes resolved, valid UTF-8. kObject and
  // kArray: the slice of the document as it was written, with white space.
  const char* data = nullptr;

  std::string_view text() const { return {data, length}; }
};

enum class Fault : std::uint8_t {
  kNone,
  kNotJson,
  kNotUtf8,
  kTrailingBytes,
  kTooDeep,
  kTooLarge,
  kNotAnObject,
  kLoneSurrogate,
  kExtraField,
};

struct Failure {
  Fault fault = Fault::kNone;
  std::size_t at = 0;      // the byte of the document, from 0; its size if it ends too early
  const char* what = "";   // what was expected or is wrong, for people
  std::string_view field;  // of kExtraField: its name. Valid until the next read
};

// What becomes of members that no path begins with: of the document, where a path `$` begins with
// all of them, or of the object at one of the paths.
enum class Unmapped : std::uint8_t { kIgnore, kFail, kCollect };

// One thread owns it. Once its buffers have grown, a read allocates nothing. Movable; slots stay
// valid across a move.
class Reader {
 public:
  Reader(std::span<const Path> paths, Unmapped unmapped);
  // Unmapped members are those of the object that paths[scope] finds.
  Reader(std::span<const Path> paths, Unmapped unmapped, std::size_t scope);
  Reader(Reader&&) noexcept;
  Reader& operator=(Reader&&) noexcept;
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader();

  // Fills slots[i] with what paths[i] finds. They point into `document` or, strings with escapes,
  // into the reader: valid until the next read, while the document is. Of `document` no byte beyond
  // its end is read: it needs no padding. False: `failure` says why, and the slots mean nothing.
  //
  // With `root` an array or a scalar is taken as well: `root` is the whole document's value, and
  // the paths find nothing unless it is an object.
  bool read(std::string_view document, std::span<Slot> slots, Failure& failure,
            Slot* root = nullptr);

  // After a read with Unmapped::kCollect: one JSON object of the members that no path begins
  // with, as they were written; empty if there are none. Valid until the next read.
  std::string_view unmapped() const;

 private:
  struct State;
  class Walk;
  std::unique_ptr<State> state_;
};

}  // namespace sluice::json
