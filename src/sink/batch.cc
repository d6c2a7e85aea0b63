#include "sink/batch.h"

#include <algorithm>

namespace sluice::sink {

namespace {

// One table after the other can have the largest batch: what each keeps of it for the next.
constexpr std::size_t kKeptBytes = 4 << 20;  // all together
constexpr std::size_t kTablesThatKeepAll = 4;

}  // namespace

void TableRows::clear() {
  bytes.clear();
  rows.clear();
  shapes.clear();
}

void Batch::clear() {
  for (auto& table : tables) {
    table.clear();
    if (tables.size() <= kTablesThatKeepAll) continue;
    const std::size_t kept = kKeptBytes / tables.size();
    table.bytes.shrink(kept);
    if (table.rows.capacity() * sizeof(Row) > kept) table.rows = {};
  }
  failures.clear();
  partitions.clear();
  record_partitions.clear();
  record_tables.clear();
  stop.reset();
}

std::size_t Batch::bytes() const {
  std::size_t sum = 0;
  for (const auto& table : tables) sum += table.bytes.size();
  return sum;
}

std::size_t Batch::further_shapes() const {
  std::size_t sum = 0;
  for (const auto& table : tables) sum += table.shapes.empty() ? 0 : table.shapes.size() - 1;
  return sum;
}

std::int64_t Batch::ignored_until(std::size_t partition, std::size_t last) const {
  std::vector<bool> other(record_partitions.size());
  for (const auto& table : tables) {
    for (const auto& row : table.rows) other[row.record] = true;
  }
  for (const auto& failure : failures) other[failure.record] = true;
  std::int64_t count = 0;
  for (std::size_t i = 0; i <= last; ++i) {
    if (record_partitions[i] == partition && !other[i]) ++count;
  }
  return count;
}

std::uint16_t Batch::partition_index(const ledger::Key& key, std::int64_t from) {
  const bool same = last_partition_ < partitions.size() && partitions[last_partition_].key == key;
  if (!same) {
    const auto found = std::ranges::find(partitions, key, &PartitionRange::key);
    last_partition_ = static_cast<std::size_t>(found - partitions.begin());
    if (found == partitions.end()) {
      PartitionRange& range = partitions.emplace_back();
      range.key = key;
      range.from = range.to = from;
    }
  }
  return static_cast<std::uint16_t>(last_partition_);
}

}  // namespace sluice::sink
