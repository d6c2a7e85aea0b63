// The one table of all keys of the task document: what validation, the reference page
// (docs/reference/task.md) and completion are made from.
//
// Paths of keys: "sync.columns[].field" is `field` of every item of the list, "source.kafka.*" any
// name in that map.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::task {

enum class Type : std::uint8_t {
  kSection,      // a map with keys of its own
  kSectionList,  // a list of such maps
  kText,
  kTextList,
  kTextMap,         // a map of any names to texts; numbers and flags are taken as they are written
  kChoice,          // one of `allowed`; null may be one of them
  kFlag,            // true or false
  kInteger,         // min to max
  kFraction,        // above min, to max
  kDuration,        // "500ms", "10s", "5m", "2h", "1d" or a number of seconds; min and max in ms
  kBytes,           // "16 MB" or a number of bytes; min and max in bytes
  kValue,           // any JSON value but null
  kStart,           // earliest, latest, {timestamp: ...}, {offsets: ...}, {group: ...}
  kChoiceOrColumn,  // a word, or {word: COLUMN}
  kServer,          // a text, in documents of tasks on a server alone (control/task_document.h)
  kLater,  // a key of the design that this version does not have; only its default is taken
};

struct Key {
  std::string_view path = {};
  Type type = Type::kText;
  // As YAML; what stands in where the key is left out. Empty: nothing does (see `required`).
  std::string_view default_text = {};
  bool required = false;
  std::int64_t min = 0;
  std::int64_t max = 0;
  // kChoice: the values, joined by |. Else, for people: what is taken; empty where the type says
  // it.
  std::string_view allowed = {};
  // Values of a choice that this version does not support, joined by |.
  std::string_view later = {};
  // The version that brought the key; for kLater empty.
  std::string_view since = {};
  // One or two sentences: what it does.
  std::string_view what = {};
};

// In the order of the reference page. Static.
std::span<const Key> keys();
// By path with [] for indexes; null if there is none. A name in a map of texts is found as "MAP.*".
const Key* find_key(std::string_view path);
// The keys directly under a section ("" for the document), kLater included.
std::vector<const Key*> keys_under(std::string_view section);

// The last name of a key's path: "sync.write" gives "write".
std::string_view name_of(const Key& key);
// "insert|upsert" gives its parts.
std::vector<std::string_view> split_choices(std::string_view choices);
// What a key takes, for error messages and the reference page: "a whole number from 1 to 64".
std::string allowed_text(const Key& key);
// 16777216 gives "16 MB", 60000 ms gives "1m": the largest unit that leaves a whole number.
std::string bytes_text(std::int64_t bytes);
std::string duration_text(std::int64_t milliseconds);

// docs/reference/task.md.
std::string reference_markdown();

}  // namespace sluice::task
