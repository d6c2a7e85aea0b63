// Decoder: the bytes of one message become Values, one for each input that the task maps. It reads
// plain JSON: the value must be one JSON object; fields are found by top-level name or JSONPath
// (json/path.h), the rest of the document is validated as it is passed over (json/reader.h).
// docs/reference/messages.md lists every kind of input with its outcome; it is tested row by row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "message/message.h"
#include "message/value.h"

namespace sluice::message {

// Where one value comes from: a field of the message, or its metadata. Exactly one of the two.
struct Input {
  // A top-level name taken literally, or a JSONPath if it begins with `$`.
  std::optional<std::string> field;
  enum class Meta : std::uint8_t {
    kNone,
    kTopic,       // kString
    kPartition,   // kInteger
    kOffset,      // kInteger
    kTimestamp,   // kMicros; kNull if the record has none
    kKey,         // kBytes; kNull if the record has none
    kHeaders,     // kJsonObject, see Decoder
    kIngestedAt,  // kMicros: the clock when the message was decoded
  } meta = Meta::kNone;
};

// Top-level fields that no input names. An input `$` takes the whole document, so none is left
// over.
enum class Extra : std::uint8_t { kIgnore, kFail, kCollect };

struct DecoderConfig {
  std::vector<Input> inputs;
  Extra extra = Extra::kIgnore;
};

// One per lane: it owns its parser and buffers, and remembers the order of fields of the last
// message to find those of the next one sooner. No allocation per message once its buffers have
// grown. Not thread-safe; movable (Values stay valid across a move).
//
// Values point into the message's own memory (payload, key, topic) or into the decoder's buffers
// (strings with escapes, headers, collected extras): they are valid until the next decode, and only
// while the record of the message is held.
//
// Headers become one JSON object, sorted by name: {"name": "value"}. A value that is not UTF-8 is
// {"base64": "..."}, a null value null; several headers of one name are an array in their order. A
// name that is not UTF-8 is written as `base64:` and its base64.
class Decoder {
 public:
  // Errors (domain kDocument): an input that cannot be compiled; code is the index of the input as
  // text, for example "2".
  static Result<Decoder> compile(const DecoderConfig& config);

  Decoder(Decoder&&) noexcept;
  Decoder& operator=(Decoder&&) noexcept;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder();

  // One per input, in their order, and one more at the end for the collected extras if `extra` is
  // kCollect.
  std::size_t slots() const;

  // Fills values[i] for inputs[i] (kAbsent where the message has no such field), and the last one
  // with the collected extras: kJsonObject, or kAbsent if there are none. values.size() == slots().
  // False: `problem` says why, and the values mean nothing.
  bool decode(const Message& message, std::span<Value> values, Problem& problem);

  // For a tombstone (on_tombstone: delete): the same slots, filled from the message's key instead
  // of its value, metadata as ever. `key_slots` are those that form the key of the table.
  //
  // A key that is a JSON object gives its fields by the same names and paths; what it has besides
  // is never an extra field. A scalar key (JSON, or plain UTF-8 text as most producers write it) is
  // the value of the only field among `key_slots`; it is a problem if there are several. A null key
  // is kNullKey unless metadata alone forms the table's key. Fields the key does not have are
  // kAbsent: the caller judges them.
  bool decode_key(const Message& message, std::span<const int> key_slots, std::span<Value> values,
                  Problem& problem);

 private:
  struct State;
  explicit Decoder(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sluice::message
