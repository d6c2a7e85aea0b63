#include "compare/walk.h"

#include <algorithm>
#include <map>
#include <string_view>

namespace sluice::compare {
namespace {

// Into so many parts a range is split: few levels if everything differs, few rows if little does.
constexpr std::int64_t kParts = 8;
// Rows that are in memory at once, each with all its values.
constexpr std::size_t kRowsAtOnce = 100;
constexpr std::size_t kHashesAtOnce = 5'000;

std::optional<std::string> shown(const std::optional<std::string>& value) {
  if (!value || value->size() <= kShownBytes) return value;
  std::size_t size = kShownBytes;
  while (size > 0 && (static_cast<unsigned char>((*value)[size]) & 0xC0) == 0x80) --size;
  return value->substr(0, size) + "...";
}

Values shown(const Values& values) {
  Values result;
  for (const auto& value : values) result.push_back(shown(value));
  return result;
}

std::vector<Key> part_of(const std::vector<Key>& keys, std::size_t at, std::size_t count) {
  const auto begin = keys.begin() + static_cast<std::ptrdiff_t>(at);
  return {begin, begin + static_cast<std::ptrdiff_t>(std::min(keys.size() - at, count))};
}

std::map<Key, std::string> by_key(std::vector<RowHash> rows) {
  std::map<Key, std::string> result;
  for (auto& row : rows) result.emplace(std::move(row.key), std::move(row.hash));
  return result;
}

std::map<Key, const Row*> by_key(const std::vector<Row>& rows) {
  std::map<Key, const Row*> result;
  for (const auto& row : rows) result.emplace(row.key, &row);
  return result;
}

std::optional<Difference> compare_row(const Key& key, const Row* source, const Row* target) {
  if (source == nullptr && target == nullptr) return std::nullopt;
  Difference difference;
  difference.key = key;
  if (target == nullptr) {
    difference.kind = Difference::Kind::kMissing;
    difference.source = shown(source->values);
    return difference;
  }
  if (source == nullptr) {
    difference.kind = Difference::Kind::kExtra;
    difference.target = shown(target->values);
    return difference;
  }
  for (std::size_t i = 0; i < source->values.size(); ++i) {
    if (source->values[i] == target->values[i]) continue;
    difference.columns.push_back(i);
    difference.source.push_back(shown(source->values[i]));
    difference.target.push_back(shown(target->values[i]));
  }
  if (difference.columns.empty()) return std::nullopt;
  return difference;
}

}  // namespace

Walk::Walk(Table& source, Table& target, WalkSizes sizes)
    : source_(source), target_(target), sizes_(sizes) {}

Result<std::vector<Key>> Walk::next(const std::function<bool()>& step) {
  std::vector<Key> differing;
  while (!done_ && differing.size() < sizes_.portion && step()) {
    if (pending_.empty()) {
      if (rest_taken_) {
        done_ = true;
        break;
      }
      auto end = source_.key_at(rest_, sizes_.chunk);
      if (!end) return fail(end.error());
      pending_.push_back({rest_.after, *end});
      rest_.after = *end;
      rest_taken_ = !end->has_value();
    }
    const Range range = std::move(pending_.back());
    pending_.pop_back();
    if (auto compared = compare(range, differing); !compared) return fail(compared.error());
  }
  return differing;
}

Result<bool> Walk::compare(const Range& range, std::vector<Key>& differing) {
  const auto source = source_.digest(range);
  if (!source) return fail(source.error());
  const auto target = target_.digest(range);
  if (!target) return fail(target.error());
  const std::int64_t rows = std::max(source->rows, target->rows);
  if (*source != *target && rows > sizes_.leaf) {
    auto parted = split(range, source->rows >= target->rows ? source_ : target_, rows);
    if (!parted || *parted) return parted;
  }
  rows_ += source->rows;
  if (*source == *target) return true;
  return compare_rows(range, differing);
}

// False if the range cannot be split: all its rows have one key.
Result<bool> Walk::split(const Range& range, Table& larger, std::int64_t rows) {
  std::vector<Range> parts{range};
  const std::int64_t part = std::max(sizes_.leaf, rows / kParts);
  while (parts.size() < static_cast<std::size_t>(kParts)) {
    auto end = larger.key_at(parts.back(), part);
    if (!end) return fail(end.error());
    if (!*end || *end == parts.back().up_to) break;
    const Range rest{**end, parts.back().up_to};
    parts.back().up_to = std::move(*end);
    parts.push_back(rest);
  }
  if (parts.size() == 1) return false;
  pending_.insert(pending_.end(), parts.rbegin(), parts.rend());
  return true;
}

Result<bool> Walk::compare_rows(const Range& range, std::vector<Key>& differing) {
  auto source = source_.hashes(range);
  if (!source) return fail(source.error());
  auto target = target_.hashes(range);
  if (!target) return fail(target.error());
  std::map<Key, std::string> hashes = by_key(std::move(*target));
  for (auto& row : *source) {
    const auto found = hashes.find(row.key);
    const bool same = found != hashes.end() && found->second == row.hash;
    if (found != hashes.end()) hashes.erase(found);
    if (!same) differing.push_back(std::move(row.key));
  }
  for (auto& [key, hash] : hashes) differing.push_back(key);
  return true;
}

Result<std::vector<Differing>> still_differing(Table& source, Table& target,
                                               const std::vector<Key>& keys) {
  std::vector<Differing> found;
  for (std::size_t at = 0; at < keys.size(); at += kHashesAtOnce) {
    const std::vector<Key> some = part_of(keys, at, kHashesAtOnce);
    auto theirs = source.hashes_of(some);
    if (!theirs) return fail(theirs.error());
    auto ours = target.hashes_of(some);
    if (!ours) return fail(ours.error());
    std::map<Key, std::string> source_hashes = by_key(std::move(*theirs));
    std::map<Key, std::string> target_hashes = by_key(std::move(*ours));
    for (const auto& key : some) {
      const std::string& from = source_hashes[key];
      const std::string& to = target_hashes[key];
      if (from != to) found.push_back({key, from, to});
    }
  }
  return found;
}

Result<std::vector<Difference>> differences(Table& source, Table& target,
                                            const std::vector<Key>& keys) {
  std::vector<Difference> found;
  for (std::size_t at = 0; at < keys.size(); at += kRowsAtOnce) {
    const std::vector<Key> some = part_of(keys, at, kRowsAtOnce);
    const auto theirs = source.rows_of(some);
    if (!theirs) return fail(theirs.error());
    const auto ours = target.rows_of(some);
    if (!ours) return fail(ours.error());
    const auto source_rows = by_key(*theirs);
    const auto target_rows = by_key(*ours);
    for (const auto& key : some) {
      const auto from = source_rows.find(key);
      const auto to = target_rows.find(key);
      auto difference = compare_row(key, from == source_rows.end() ? nullptr : from->second,
                                    to == target_rows.end() ? nullptr : to->second);
      if (difference) found.push_back(std::move(*difference));
    }
  }
  return found;
}

}  // namespace sluice::compare
