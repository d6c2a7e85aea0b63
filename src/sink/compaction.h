// Compaction: what the changes of a range leave behind, key by key: one statement may not touch a
// key twice. Changes of one key are folded in their order; the rows come out sorted by key, which
// gives every lane the same lock order and the index its locality.
//
// The changes themselves stay as they are: a bad one can be taken out and the range folded again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sink/batch.h"
#include "sink/plan.h"

namespace sluice::sink {

class Compaction {
 public:
  // Folds the rows [from, to) of `batch` that are not dead; of a mirror with only_if_newer, without
  // those that are older than one before them. With on_absent: keep or update: false,
  // changes of one key are merged into new rows: their bytes are appended to rows.bytes, so that
  // the slices in upserts() stay valid until the batch is cleared.
  void fold(TableRows& rows, const Plan& plan, std::size_t from, std::size_t to);

  // The same rows unfolded, in rounds: the first change of each key, the second of each, and so on.
  // For changes of which the database says whether they count. Writes only.
  std::vector<std::vector<Row>> rounds(const TableRows& rows, std::size_t from, std::size_t to);

  // Rows to insert or update; copies of the batch's, or merged ones.
  const std::vector<Row>& upserts() const { return upserts_; }
  // By index into upserts(): how many changes are folded into it.
  const std::vector<std::int64_t>& messages() const { return messages_; }
  // Keys to delete, before the upserts: the last change was a delete, or a delete came before an
  // upsert, which makes that a replacement and not an update. Rows whose slice holds the key.
  const std::vector<Row>& deletes() const { return deletes_; }

 private:
  struct Entry {
    std::uint64_t prefix = 0;  // of the key's bytes: decides most comparisons
    std::uint32_t row = 0;
  };
  void sort(const TableRows& rows, std::size_t from, std::size_t to);
  std::size_t key_end(const TableRows& rows, std::size_t first) const;
  void fold_key(TableRows& rows, const Plan& plan, std::size_t first, std::size_t last);
  static Row merge(TableRows& rows, const Plan& plan, const Row& earlier, const Row& later);

  std::vector<Entry> entries_;
  std::vector<Row> upserts_;
  std::vector<std::int64_t> messages_;
  std::vector<Row> deletes_;
};

}  // namespace sluice::sink
