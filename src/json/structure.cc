#include "json/structure.h"

#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <new>

#include "base/result.h"
#include "json/text.h"

namespace sluice::json {
namespace {

// Positions take four bytes for each byte of text, touched only as far as there are tokens.
constexpr std::size_t kUsualBytes = std::size_t{1} << 20;
// The vector code copies the last block of a text before it looks at it. simdjson promises that of
// none; structure_test.cc holds these to it, with a page behind the text that cannot be read.
constexpr std::string_view kReadsNothingBeyond[] = {"icelake", "haswell", "westmere", "arm64"};
constexpr unsigned kSmallScansBeforeShrinking = 1000;

}  // namespace

// The interface through which simdjson's DOM and on-demand parsers reach the code for this CPU. It
// and its `structural_indexes` are public in simdjson since 0.6, though meant for its own parsers;
// structure_test.cc checks what this module relies on.
struct Structure::Parser {
  std::unique_ptr<simdjson::internal::dom_parser_implementation> stage;
};

Structure::Structure() : parser_(std::make_unique<Parser>()) { reserve(kUsualBytes); }
Structure::Structure(Structure&&) noexcept = default;
Structure& Structure::operator=(Structure&&) noexcept = default;
Structure::~Structure() = default;

void Structure::reserve(std::size_t length) {
  const std::size_t capacity = std::bit_ceil(length);
  const simdjson::implementation* const implementation = simdjson::get_active_implementation();
  const auto error = implementation->create_dom_parser_implementation(capacity, 1, parser_->stage);
  if (error == simdjson::MEMALLOC) throw std::bad_alloc();
  SLUICE_CHECK(error == simdjson::SUCCESS);
  capacity_ = capacity;
  reads_beyond_ = std::ranges::find(kReadsNothingBeyond, implementation->name()) ==
                  std::end(kReadsNothingBeyond);
  padded_ = {};
  small_scans_ = 0;
}

Structure::Outcome Structure::scan(std::string_view text) {
  if (text.size() > capacity_) reserve(text.size());
  // The memory of one huge message is given back once there were enough small ones.
  if (capacity_ > kUsualBytes) {
    if (text.size() > kUsualBytes) small_scans_ = 0;
    if (++small_scans_ > kSmallScansBeforeShrinking) reserve(kUsualBytes);
  }
  const char* bytes = text.data();
  if (reads_beyond_) {
    padded_.clear();
    padded_.append(text);
    std::memset(padded_.reserve(simdjson::SIMDJSON_PADDING), ' ', simdjson::SIMDJSON_PADDING);
    bytes = padded_.data();
  }
  auto& stage = *parser_->stage;
  const auto error = stage.stage1(reinterpret_cast<const std::uint8_t*>(bytes),  // NOLINT
                                  text.size(), simdjson::stage1_mode::regular);
  count_ = stage.n_structural_indexes;
  positions_ = stage.structural_indexes.get();
  if (error == simdjson::SUCCESS) return Outcome::kOk;
  // simdjson reports the first of several problems that it looks at; here UTF-8 comes first.
  if (!is_utf8(text)) return Outcome::kNotUtf8;
  if (error == simdjson::EMPTY) return Outcome::kEmpty;
  if (error == simdjson::UNCLOSED_STRING) return Outcome::kUnclosedString;
  if (error == simdjson::UNESCAPED_CHARS) return Outcome::kControlCharacter;
  // The portable code steps over the byte behind a backslash, and then finds half a character.
  SLUICE_CHECK(error == simdjson::UTF8_ERROR);
  return Outcome::kBadEscape;
}

}  // namespace sluice::json
