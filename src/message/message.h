// Message: one Kafka record as a view, and Problem: why it could not become a row. Both are plain
// values; `pipeline` fills a Message from the kafka module, which this module does not know.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::message {

struct Header {
  std::string_view name;
  std::string_view value;
  bool null = false;
};

// Everything points into memory of the Kafka client, valid while its record is held.
struct Message {
  std::string_view topic;
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::int64_t timestamp_ms = -1;  // since the epoch; -1: the record has none
  std::string_view key;
  std::string_view value;
  bool key_null = true;
  bool value_null = true;  // a tombstone
  std::span<const Header> headers;
};

// What can be wrong with a message itself, before PostgreSQL has seen it.
// docs/reference/messages.md lists each with its outcome; name_of() gives the stable name used in
// dead letters and events.
enum class ProblemCode : std::uint8_t {
  kEmptyValue,      // zero bytes
  kTombstone,       // null value where no policy takes it
  kNotJson,         // does not parse; `detail` says where
  kNotUtf8,         // invalid UTF-8
  kTrailingBytes,   // more after the document
  kTooDeep,         // nested deeper than json::kMaxDepth (1,000)
  kTooLarge,        // larger than json::kMaxBytes (128 MB)
  kSchemaRegistry,  // five-byte header of a schema registry: 0x00 and a 4-byte id
  kNotAnObject,     // array or scalar at the root
  kLoneSurrogate,   // \ud800 without its other half
  kNulCharacter,    // U+0000 where PostgreSQL's text cannot hold it (sync.nul: fail)
  kAbsentField,     // on_absent: fail
  kNullField,       // on_null: fail
  kExtraField,      // extra_fields: fail
  kBadEncoding,     // base64 or hex that is none
  kBadTimestamp,    // epoch number that the unit puts out of range
  kNullKey,         // upsert: a column of the key is null or absent
  kBadEnvelope,     // a change event that is none: unknown op, or without the row that its op needs
  kBadSchema,       // the schema that came with the message cannot be read
  kBadType,         // a value that is not what the message's own schema says
  kNoIdentity,      // an update or delete that does not say which row it is about
  kMissingRow,      // an update of a row that is not there, which it alone cannot make
  kNoPosition,      // a delete or TRUNCATE that cannot be told from what is older or newer
};
inline constexpr std::size_t kProblemCodes = static_cast<std::size_t>(ProblemCode::kNoPosition) + 1;
std::string_view name_of(ProblemCode code);

// A problem of one message. `excerpt` is at most 64 bytes of the offending text (it may carry data:
// kept with the dead letter, shown to those who may read it, never logged).
struct Problem {
  ProblemCode code = ProblemCode::kNotJson;
  std::string field;  // the path as the task document names it; empty if none is to blame
  std::string column;
  std::string excerpt;
  std::string detail;  // "byte 17: ..." and the like
};
// At most 64 bytes of `text` around byte `at`, as Problem::excerpt holds them: valid UTF-8 whatever
// the text is; control characters and what is not UTF-8 become points.
std::string excerpt_of(std::string_view text, std::size_t at = 0);
// Domain kMessage; the message names field, column and place, the remedy says what to change,
// `detail` is the excerpt.
Error to_error(const Problem& problem);

}  // namespace sluice::message
