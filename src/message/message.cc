#include "message/message.h"

#include <fmt/format.h>

#include <iterator>

#include "json/text.h"

namespace sluice::message {
namespace {

constexpr std::size_t kExcerptBytes = 64;
constexpr std::size_t kExcerptBefore = 24;

struct Wording {
  ProblemCode code;
  std::string_view name;  // stable: in dead letters, events and docs
  std::string_view what;  // the beginning of the sentence
  std::string_view remedy;
};

constexpr Wording kWordings[] = {
    {ProblemCode::kEmptyValue, "empty_value", "the message has a value of zero bytes",
     "If the producer means a deletion, let it send a null value (on_tombstone); else choose "
     "on_failure: discard or deliver to step over such messages."},
    {ProblemCode::kTombstone, "tombstone", "the message has a null value (a tombstone)",
     "Set sync.on_tombstone: delete (needs write: upsert) to delete the row of its key, or "
     "ignore."},
    {ProblemCode::kNotJson, "not_json", "the message is not JSON",
     "Let the producer write one JSON object (RFC 8259) a message; other formats are not decoded."},
    {ProblemCode::kNotUtf8, "not_utf8", "the message is not valid UTF-8",
     "Let the producer write JSON in UTF-8; binary formats such as Avro or Protobuf are not "
     "decoded."},
    {ProblemCode::kTrailingBytes, "trailing_bytes", "the message goes on after its JSON document",
     "Let the producer write one JSON object a message, not several in a row or lines of them."},
    {ProblemCode::kTooDeep, "too_deep", "the message is nested deeper than 1,000 levels",
     "Let the producer send what is nested so deep as a JSON text inside a string."},
    {ProblemCode::kTooLarge, "too_large", "the message is larger than 128 MB",
     "Let the producer split it."},
    {ProblemCode::kSchemaRegistry, "schema_registry",
     "the message begins with the header of a schema registry (byte 0x00 and a schema id)",
     "Let the producer write plain JSON: with Kafka Connect set value.converter (key.converter for "
     "keys) to org.apache.kafka.connect.json.JsonConverter and schemas.enable to false; with a "
     "client library use its string or bytes serializer instead of the registry's."},
    {ProblemCode::kNotAnObject, "not_an_object", "the message is JSON, but not an object",
     "Let the producer wrap the value in an object, one message for each row."},
    {ProblemCode::kLoneSurrogate, "lone_surrogate",
     "the message has an escape \\ud800 to \\udfff without its other half, which is no character",
     "Let the producer cut texts between characters, not between UTF-16 units."},
    {ProblemCode::kNulCharacter, "nul_character",
     "a text holds U+0000, which PostgreSQL cannot store",
     "Set sync.nul: strip or replace, or let the producer leave it out."},
    {ProblemCode::kAbsentField, "absent_field", "the message does not have a field it must have",
     "Correct the producer, or set on_absent of the column to default, null or keep."},
    {ProblemCode::kNullField, "null_field", "a field is null that must not be",
     "Correct the producer, or set on_null of the column to null or default."},
    {ProblemCode::kExtraField, "extra_field", "the message has a field that nothing maps",
     "Map the field in sync.columns, or set sync.extra_fields to ignore or to {column: NAME} of a "
     "jsonb column."},
    {ProblemCode::kBadEncoding, "bad_encoding", "a text is not in the encoding of its bytea column",
     "Correct the producer, or set the column's encoding: base64 or hex."},
    {ProblemCode::kBadTimestamp, "bad_timestamp",
     "an epoch number is out of the range of timestamps",
     "Check the column's unit (s, ms, us, ns) against what the producer writes."},
    {ProblemCode::kNullKey, "null_key", "a column of the table's key would be null",
     "Let the producer fill the fields of sync.primary_key (for tombstones: the message's key)."},
    {ProblemCode::kBadEnvelope, "bad_envelope", "the message is not a whole change event",
     "Look at the message and at what wrote it: a Debezium event has op c, r, u, d, t or m, with "
     "`after` (c, r, u) or a key or `before` (d)."},
    {ProblemCode::kBadSchema, "bad_schema", "the schema in the message cannot be read",
     "Look at the converter that wrote it: JsonConverter of Kafka Connect with schemas.enable=true "
     "writes schemas that are taken."},
    {ProblemCode::kBadType, "bad_type", "a value is not what it should be by its type",
     "Correct what writes the messages; without schemas, say by sync.units how the column's values "
     "are written."},
    {ProblemCode::kNoIdentity, "no_identity",
     "an update or delete does not say which row it is about",
     "Give the source table a primary key, or (PostgreSQL) ALTER TABLE ... REPLICA IDENTITY FULL, "
     "so that events carry the row as it was."},
    {ProblemCode::kMissingRow, "missing_row",
     "an update with values that were not sent is of a row that is not there",
     "Begin at an offset in front of the row's insert, take a new snapshot, or say by "
     "sync.on_missing_row what is to become of such updates."},
    {ProblemCode::kNoPosition, "no_position",
     "nothing says whether the change is older than what is in the table",
     "Let events carry the source's position (add.fields of ExtractNewRecordState) and keep it in "
     "a "
     "column: sync.metadata. A TRUNCATE: or give the topic one partition, or say by "
     "sync.on_truncate: ignore that it is to be left out."},
};
static_assert(std::size(kWordings) == kProblemCodes);

const Wording& wording_of(ProblemCode code) {
  const auto index = static_cast<std::size_t>(code);
  SLUICE_CHECK(index < kProblemCodes && kWordings[index].code == code);
  return kWordings[index];
}

}  // namespace

std::string_view name_of(ProblemCode code) { return wording_of(code).name; }

std::string excerpt_of(std::string_view text, std::size_t at) {
  const std::size_t begin = at > kExcerptBefore ? at - kExcerptBefore : 0;
  if (begin >= text.size()) return {};
  std::string_view rest = text.substr(begin);
  std::string out;
  while (!rest.empty()) {
    const std::size_t length = json::utf8_sequence(rest);
    const auto byte = static_cast<unsigned char>(rest[0]);
    const bool shown = length > 0 && byte >= 0x20 && byte != 0x7F;
    if (out.size() + (shown ? length : 1) > kExcerptBytes) break;
    if (shown) {
      out.append(rest.substr(0, length));
    } else {
      out.push_back('.');
    }
    rest.remove_prefix(shown ? length : 1);
  }
  return out;
}

Error to_error(const Problem& problem) {
  const Wording& wording = wording_of(problem.code);
  std::string message(wording.what);
  if (!problem.field.empty()) message += fmt::format("; field `{}`", problem.field);
  if (!problem.column.empty()) message += fmt::format("; column \"{}\"", problem.column);
  if (!problem.detail.empty()) message += fmt::format("; {}", problem.detail);
  Error error;
  error.domain = Domain::kMessage;
  error.code = wording.name;
  error.message = std::move(message);
  error.remedy = wording.remedy;
  error.detail = problem.excerpt;
  error.column = problem.column;
  return error;
}

}  // namespace sluice::message
