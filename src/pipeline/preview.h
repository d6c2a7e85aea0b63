// preview: the first messages that a run would take, each beside the row that it would become.
//
// Values are what PostgreSQL itself makes of them: they go through its input functions, with the
// types, lengths and NOT NULL of the target's columns, in a temporary table of a transaction that
// is rolled back. Constraints, triggers and what is in the table already are not looked at:
// `rehearse` does.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "ledger/protocol.h"
#include "pipeline/environment.h"

namespace sluice::pipeline {

inline constexpr std::int64_t kMaxPreview = 1000;
inline constexpr std::size_t kPreviewBytes =
    16 * 1024;  // of one key, value or cell; the rest is cut

struct PreviewCell {
  enum class Kind : std::uint8_t {
    kValue,
    kNull,
    kDefault,  // left out: the column's own default acts; `text` is its SQL
    kKeep,     // left out: an existing row keeps what it has
  };
  std::string column;
  std::string type;   // as SQL
  std::string field;  // of the message, as the task document names it
  Kind kind = Kind::kValue;
  std::string text;  // as SQL shows it, without quotes
  bool cut = false;
};

struct PreviewedMessage {
  enum class Becomes : std::uint8_t { kRow, kDelete, kNothing, kFailure };
  ledger::Key key;
  std::int64_t offset = 0;
  std::int64_t timestamp_ms = -1;
  std::optional<std::string> message_key;  // bytes
  std::optional<std::string> value;        // bytes; none: a tombstone
  std::int64_t value_bytes = 0;            // before it was cut
  Becomes becomes = Becomes::kNothing;
  std::string table;               // qualified; of a task of many tables
  std::vector<PreviewCell> cells;  // of kDelete: the key's; of kFailure: none
  std::optional<Error> error;      // kFailure
};

struct Preview {
  bool begun = false;             // the task has a ledger: messages come from its positions
  std::int64_t waiting = 0;       // offsets from there to the ends
  std::vector<std::string> left;  // columns of the table that no field feeds
  std::vector<std::string> ddl;  // mirror: what a run would have the table given for these messages
  std::vector<PreviewedMessage> messages;
  // Why the target could not be looked at: the messages are shown without rows.
  std::vector<Error> target_errors;
};

// Up to `count` messages of all partitions together, by topic, partition and offset. With
// `from_start` from `source.start` although the task has begun.
Result<Preview> preview(const TaskSource& source, std::int64_t count, bool from_start,
                        StopSignal stop);

}  // namespace sluice::pipeline
