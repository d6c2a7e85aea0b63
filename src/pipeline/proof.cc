#include "pipeline/proof.h"

#include <fmt/format.h>

#include <limits>

#include "pipeline/sample.h"

namespace sluice::pipeline {

namespace {

struct Seen {
  std::int64_t offset = -1;  // -1: the log holds nothing from the last applied record on
  std::int64_t timestamp_ms = -1;
  std::uint32_t crc32c = 0;
};

bool is_same(const ledger::LedgerRow& row, const Seen& seen) {
  const bool timestamps = row.last_timestamp_ms < 0 || seen.timestamp_ms == row.last_timestamp_ms;
  return seen.offset == row.last_offset && timestamps && seen.crc32c == row.last_crc32c;
}

std::string against(const ledger::LedgerRow& row, const Seen& seen,
                    const kafka::Watermarks& marks) {
  const std::string where = fmt::format("{}/{}", row.key.topic, row.key.partition);
  if (marks.end < row.next_offset) {
    return fmt::format("{} ends at offset {}, and offsets below {} were applied", where, marks.end,
                       row.next_offset);
  }
  if (seen.offset == row.last_offset) {
    if (is_same(row, seen)) return {};
    return fmt::format("offset {} of {} holds another message than the one that was applied",
                       row.last_offset, where);
  }
  if (seen.offset < 0) {
    if (marks.end == row.next_offset) return {};
    return fmt::format("{} holds nothing from offset {} on, but ends at {} and not at {}", where,
                       row.last_offset, marks.end, row.next_offset);
  }
  if (row.last_timestamp_ms >= 0 && seen.timestamp_ms >= row.last_timestamp_ms) return {};
  return fmt::format("offset {} of {}, the first behind what was applied, is older than that",
                     seen.offset, where);
}

}  // namespace

Result<Proof> prove(const TaskSource& source, const kafka::TopicInfo& topic,
                    const std::vector<ledger::LedgerRow>& rows, const AllWatermarks& watermarks) {
  Positions from;
  AllWatermarks logs;
  std::vector<const ledger::LedgerRow*> judged;
  Proof proof;
  for (const auto& row : rows) {
    if (row.key.topic != topic.name || row.last_offset < 0) continue;
    const auto marks = watermarks.find(row.key);
    if (marks == watermarks.end()) {
      proof.against = fmt::format("it has {} partitions, and messages of partition {} were applied",
                                  topic.partitions, row.key.partition);
      return proof;
    }
    judged.push_back(&row);
    from[row.key] = row.last_offset;
    logs.insert(*marks);
  }
  if (judged.empty()) return proof;
  std::map<ledger::Key, Seen> seen;
  auto reader = SampleReader::create(source, from, logs);
  if (!reader) return fail(reader.error());
  auto read = reader->read(
      static_cast<std::int64_t>(judged.size()), 1, std::numeric_limits<std::int64_t>::max(),
      [&](const ledger::Key& key, const kafka::Record& record) {
        seen[key] = {record.offset(), record.timestamp_ms(),
                     ledger::record_crc32c(record.key(), record.value())};
      },
      StopSignal(-1));
  if (!read) return fail(read.error());
  for (const auto* row : judged) {
    const Seen& record = seen[row->key];
    proof.against = against(*row, record, logs.at(row->key));
    if (!proof.against.empty()) return proof;
    if (is_same(*row, record)) ++proof.partitions;
  }
  return proof;
}

}  // namespace sluice::pipeline
