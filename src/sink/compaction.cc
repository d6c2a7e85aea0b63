#include "sink/compaction.h"

#include <algorithm>
#include <string_view>

#include "sink/fields.h"
#include "sink/position.h"

namespace sluice::sink {
namespace {

// The first eight bytes of the key's first value: a binary field begins with its length.
std::uint64_t prefix_of(std::string_view key, Form form) {
  if (form == Form::kBinary) key.remove_prefix(std::min<std::size_t>(4, key.size()));
  std::uint64_t prefix = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    prefix = prefix << 8 | (i < key.size() ? static_cast<unsigned char>(key[i]) : 0U);
  }
  return prefix;
}

}  // namespace

void Compaction::sort(const TableRows& rows, std::size_t from, std::size_t to) {
  entries_.clear();
  for (std::size_t i = from; i < to; ++i) {
    const Row& row = rows.rows[i];
    // Moves come before all of them.
    const bool moves = row.operation == Operation::kMove || row.operation == Operation::kMoved;
    if (row.dead || moves) continue;
    entries_.push_back({prefix_of(rows.key_of(row), rows.form), static_cast<std::uint32_t>(i)});
  }
  const auto less = [&](const Entry& a, const Entry& b) {
    if (a.prefix != b.prefix) return a.prefix < b.prefix;
    const int order = rows.key_of(rows.rows[a.row]).compare(rows.key_of(rows.rows[b.row]));
    return order != 0 ? order < 0 : a.row < b.row;
  };
  if (!std::is_sorted(entries_.begin(), entries_.end(), less)) {
    std::sort(entries_.begin(), entries_.end(), less);
  }
}

// Behind the last entry with the key of entries_[first].
std::size_t Compaction::key_end(const TableRows& rows, std::size_t first) const {
  std::size_t last = first + 1;
  const std::string_view key = rows.key_of(rows.rows[entries_[first].row]);
  while (last < entries_.size() && entries_[last].prefix == entries_[first].prefix &&
         rows.key_of(rows.rows[entries_[last].row]) == key) {
    ++last;
  }
  return last;
}

void Compaction::fold(TableRows& rows, const Plan& plan, std::size_t from, std::size_t to) {
  upserts_.clear();
  messages_.clear();
  deletes_.clear();
  sort(rows, from, to);
  for (std::size_t first = 0; first < entries_.size();) {
    const std::size_t last = key_end(rows, first);
    fold_key(rows, plan, first, last);
    first = last;
  }
}

std::vector<std::vector<Row>> Compaction::rounds(const TableRows& rows, std::size_t from,
                                                 std::size_t to) {
  std::vector<std::vector<Row>> rounds;
  sort(rows, from, to);
  for (std::size_t first = 0; first < entries_.size();) {
    const std::size_t last = key_end(rows, first);
    if (rounds.size() < last - first) rounds.resize(last - first);
    for (std::size_t i = first; i < last; ++i) {
      rounds[i - first].push_back(rows.rows[entries_[i].row]);
    }
    first = last;
  }
  return rounds;
}

// entries_[first, last) are the changes of one key, in order.
void Compaction::fold_key(TableRows& rows, const Plan& plan, std::size_t first, std::size_t last) {
  bool deleted = false;
  bool exists = false;
  std::int64_t messages = 0;
  const bool merges = plan.keeps || plan.insert_only;
  Row current;
  Row deletion;
  Row applied;
  for (std::size_t i = first; i < last; ++i) {
    const Row row = rows.rows[entries_[i].row];
    if (plan.mirror && plan.newer >= 0) {
      if (is_older(plan, row, applied)) continue;
      // With a deleted row its position is gone, as it would be from the table.
      applied = row.operation == Operation::kDelete ? Row() : row;
    }
    if (row.operation == Operation::kDelete) {
      if (!deleted || row.position >= deletion.position) deletion = row;
      deleted = true;
      exists = false;
      messages = 0;
    } else {
      const bool is_new = exists ? current.is_new : row.is_new;
      current = exists && merges ? merge(rows, plan, current, row) : row;
      current.is_new = is_new;
      exists = true;
      ++messages;
    }
  }
  if (deleted) deletes_.push_back(deletion);
  if (!exists) return;
  upserts_.push_back(current);
  messages_.push_back(messages);
}

// `later` on top of `earlier`, which gives what later keeps and what only an insert sets.
Row Compaction::merge(TableRows& rows, const Plan& plan, const Row& earlier, const Row& later) {
  const std::string early = rows.shapes[earlier.shape].states;
  const std::string late = rows.shapes[later.shape].states;
  if (!plan.insert_only && !rows.shapes[later.shape].keeps()) return later;
  std::string states = late;
  Buffer& out = rows.bytes;
  out.reserve(earlier.length + later.length + 4);  // the views below stay valid while appending
  Fields early_fields(rows.bytes.view(earlier.begin, earlier.length), rows.form);
  Fields late_fields(rows.bytes.view(later.begin, later.length), rows.form);
  const bool binary = rows.form == Form::kBinary;
  Row merged = later;
  merged.begin = static_cast<std::uint32_t>(out.size());
  if (binary) out.append_u16(0);
  std::uint16_t count = 0;
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    std::string_view from_early;
    std::string_view from_late;
    if (early[i] == Shape::kPresent) from_early = early_fields.next();
    if (late[i] == Shape::kPresent) from_late = late_fields.next();
    const bool of_earlier = Shape::keeps(late[i]) || !plan.columns[i].update;
    if (of_earlier && !(Shape::keeps(late[i]) && early[i] == Shape::kKeep)) states[i] = early[i];
    if (states[i] != Shape::kPresent) continue;
    if (!binary && count > 0) out.append('\t');
    out.append(of_earlier ? from_early : from_late);
    ++count;
  }
  end_row(out, merged.begin, binary, count);
  merged.length = static_cast<std::uint32_t>(out.size() - merged.begin);
  const Shape& one = rows.shapes[earlier.shape];
  const Shape& other = rows.shapes[later.shape];
  const bool only_existing = one.only_existing && other.only_existing;
  const Shape shape{states, only_existing, only_existing && (one.must_exist || other.must_exist)};
  const auto found = std::ranges::find(rows.shapes, shape);
  merged.shape = static_cast<std::uint16_t>(found - rows.shapes.begin());
  if (found == rows.shapes.end()) rows.shapes.push_back(shape);
  return merged;
}

}  // namespace sluice::sink
