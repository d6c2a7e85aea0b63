// Table: one of the two sides of a comparison, as the walk over both sees it.
//
// A row is known by its key, as texts; values are in a canonical text that is the same on both
// sides if and only if the values are equal. Keys have one order, which both sides share. Blocking;
// one thread. What fails is an Error that says which side it was.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace sluice::compare {

using Key = std::vector<std::string>;
using Values = std::vector<std::optional<std::string>>;

// Keys behind `after`, up to and with `up_to`; without them from the first and to the last.
struct Range {
  std::optional<Key> after, up_to;
};

// Equal for the same rows; for other ones by a chance of 2^-60.
struct Digest {
  std::int64_t rows = 0;
  std::string checksum;
  bool operator==(const Digest&) const = default;
};

struct RowHash {
  Key key;
  std::string hash;
};

struct Row {
  Key key;
  Values values;
};

class Table {
 public:
  virtual ~Table() = default;
  // An index can have the order of the keys; else every question about a range reads all rows.
  virtual bool by_index() const = 0;
  virtual Result<std::int64_t> count() = 0;
  virtual Result<Digest> digest(const Range& range) = 0;
  // The key of the range's row of this number, from 1; none if it has fewer.
  virtual Result<std::optional<Key>> key_at(const Range& range, std::int64_t number) = 0;
  // Every row of the range, in no order.
  virtual Result<std::vector<RowHash>> hashes(const Range& range) = 0;
  // The rows that have one of these keys, in no order, and maybe others.
  virtual Result<std::vector<RowHash>> hashes_of(const std::vector<Key>& keys) = 0;
  virtual Result<std::vector<Row>> rows_of(const std::vector<Key>& keys) = 0;
  // The same rows with the values of all columns, the key's first, as texts that the input function
  // of the other side's type takes: to write them there.
  virtual Result<std::vector<Row>> originals(const std::vector<Key>& keys) = 0;
};

}  // namespace sluice::compare
