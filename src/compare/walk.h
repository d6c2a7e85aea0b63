// Walk: which keys of two tables differ. Checksums of ranges of keys first; only a range whose
// checksums differ is narrowed, down to its rows.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "compare/table.h"

namespace sluice::compare {

struct WalkSizes {
  std::int64_t chunk = 20'000;   // rows of a first range
  std::int64_t leaf = 500;       // a range with at most so many rows is compared row by row
  std::size_t portion = 50'000;  // keys that one next() returns, about
};

class Walk {
 public:
  // The tables must outlive it.
  Walk(Table& source, Table& target, WalkSizes sizes);

  // Goes on from where it was: the keys that differ, until there are enough for a portion or the
  // walk is at its end. `step` is called between two ranges; false ends it there.
  Result<std::vector<Key>> next(const std::function<bool()>& step);
  bool done() const { return done_; }
  // Of the source, in ranges that are compared.
  std::int64_t rows() const { return rows_; }

 private:
  Result<bool> compare(const Range& range, std::vector<Key>& differing);
  Result<bool> split(const Range& range, Table& larger, std::int64_t rows);
  Result<bool> compare_rows(const Range& range, std::vector<Key>& differing);

  Table& source_;
  Table& target_;
  WalkSizes sizes_;
  std::vector<Range> pending_;  // the next one last
  Range rest_;                  // behind everything that is pending
  bool rest_taken_ = false;
  bool done_ = false;
  std::int64_t rows_ = 0;
};

// A key whose rows differ, by their hashes; empty where there is no such row.
struct Differing {
  Key key;
  std::string source, target;
};
// Those of the keys that differ now.
Result<std::vector<Differing>> still_differing(Table& source, Table& target,
                                               const std::vector<Key>& keys);

// How a row differs.
struct Difference {
  enum class Kind : std::uint8_t { kMissing, kExtra, kDifferent };  // as the target has it
  Kind kind = Kind::kDifferent;
  Key key;
  std::vector<std::size_t> columns;  // kDifferent: those whose values differ
  Values source, target;             // of `columns`, or of all; each cut to kShownBytes
};
inline constexpr std::size_t kShownBytes = 200;
// Of those of the keys that differ now.
Result<std::vector<Difference>> differences(Table& source, Table& target,
                                            const std::vector<Key>& keys);

}  // namespace sluice::compare
