// Task: the task document as a value type. One document describes a task everywhere (design: the
// YAML file of `sluice run`, the JSON body of the API, the row in the control database); one
// schema, in task/schema.h, validates it. Immutable once parsed; no I/O here.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace sluice::task {

struct StartEarliest {};
struct StartLatest {};
struct StartTimestamp {
  std::int64_t timestamp_ms = 0;  // since the epoch
};
struct StartOffsets {
  // By topic and partition; a document with one topic may leave the topic out ("" here).
  std::map<std::string, std::map<std::int32_t, std::int64_t>> offsets;
};
struct StartGroup {
  std::string group;  // a consumer group: where it has committed
};
using Start = std::variant<StartEarliest, StartLatest, StartTimestamp, StartOffsets, StartGroup>;

enum class OnGap : std::uint8_t { kStop, kContinue };
enum class Write : std::uint8_t { kInsert, kUpsert, kUpdate, kInsertIgnore, kHistory };
enum class Delivery : std::uint8_t { kExactlyOnce, kAtLeastOnce };
enum class OnFailure : std::uint8_t { kRetain, kDiscard, kDeliver };
enum class Nul : std::uint8_t { kFail, kStrip, kReplace };
enum class ExtraFields : std::uint8_t { kIgnore, kFail, kColumn };
enum class OnTombstone : std::uint8_t { kFail, kDelete, kIgnore };
enum class Pooler : std::uint8_t { kNone, kTransaction };
enum class Level : std::uint8_t { kCurrent, kPostgres94 };
enum class Unchanged : std::uint8_t { kWrite, kSkip };
enum class OnAbsent : std::uint8_t { kDefault, kNull, kKeep, kFail };
enum class OnNull : std::uint8_t { kNull, kDefault, kFail };
enum class Mode : std::uint8_t { kMapping, kMirror };
enum class Format : std::uint8_t { kAuto, kDebezium, kJson, kCanal };
enum class OnDelete : std::uint8_t { kDelete, kIgnore, kMark };
enum class OnTruncate : std::uint8_t { kApply, kIgnore, kFail };
enum class OnMissingRow : std::uint8_t { kInsert, kIgnore, kFail };
// What a change event says beside the row.
enum class Sweep : std::uint8_t { kOff, kAfterSnapshot };
enum class EventMeta : std::uint8_t {
  kOp,
  kTime,
  kSourceTime,
  kLsn,
  kFile,
  kPos,
  kTxId,
  kPosition,  // file and pos as one number
};
enum class SchemaChanges : std::uint8_t { kApplySafe, kApplyAll, kWarn, kStop };
enum class Unit : std::uint8_t { kNone, kSeconds, kMillis, kMicros, kNanos };
enum class Encoding : std::uint8_t { kNone, kBase64, kHex };
// sync.units: how a column's values stand in change events, where no schema says it.
enum class WireUnit : std::uint8_t {
  kNone,
  kSeconds,
  kMillis,
  kMicros,
  kNanos,
  kBase64,
  kHex,
  kText,      // decimals: the number itself
  kUnsigned,  // 64 bits without sign, sent as with one
};
enum class Meta : std::uint8_t {
  kTopic,
  kPartition,
  kOffset,
  kTimestamp,
  kKey,
  kHeaders,
  kIngestedAt
};

struct Source {
  std::map<std::string, std::string> kafka;  // librdkafka properties, placeholders expanded
  std::vector<std::string> topics;           // names, or ^regex
  Start start;
  std::optional<std::string> group;
  OnGap on_gap = OnGap::kStop;

  bool reads(std::string_view topic) const;  // it is one of `topics`
};

struct Target {
  std::string postgres;  // libpq URI or conninfo, placeholders expanded: holds secrets
  // As written: schema.table, quoted names allowed; or a template (task/table_rules.h).
  std::string table;
  std::string ledger_schema = "sluice";
  Pooler pooler = Pooler::kNone;
  Level level = Level::kCurrent;
};

struct Column {
  // Exactly one of field and meta.
  std::optional<std::string> field;  // top-level name, or a JSONPath beginning with $
  std::optional<Meta> meta;
  std::string column;
  OnAbsent on_absent = OnAbsent::kDefault;
  OnNull on_null = OnNull::kNull;
  // A JSON value, as its text, that stands in where on_absent or on_null say default.
  std::optional<std::string> default_json;
  Unit unit = Unit::kNone;
  Encoding encoding = Encoding::kNone;
  bool update = true;  // false: set by the insert of an upsert, never by its update
};

// Of a target.table that is a template: by the names that it makes.
struct Tables {
  std::vector<std::string> include;  // names or ^regex; none: all
  std::vector<std::string> exclude;
  std::map<std::string, std::string> rename;
};

struct Sync {
  Mode mode = Mode::kMapping;
  Write write = Write::kInsert;
  std::vector<std::string> primary_key;
  std::string time_zone = "UTC";
  Nul nul = Nul::kFail;
  ExtraFields extra_fields = ExtraFields::kIgnore;
  std::string extra_fields_column;
  OnTombstone on_tombstone = OnTombstone::kFail;
  std::optional<std::string> only_if_newer;  // a column
  Unchanged unchanged = Unchanged::kWrite;
  std::optional<std::vector<Column>> columns;  // none: by name against the real table
  // Mirror only.
  Format format = Format::kAuto;
  OnDelete on_delete = OnDelete::kDelete;
  std::string mark_column;  // on_delete: mark
  OnTruncate on_truncate = OnTruncate::kApply;
  OnMissingRow on_missing_row = OnMissingRow::kInsert;
  Sweep sweep = Sweep::kOff;
  std::map<std::string, EventMeta> metadata;  // by column
  SchemaChanges schema_changes = SchemaChanges::kApplySafe;
  std::map<std::string, WireUnit> units;  // by column
  Tables tables;
  std::vector<std::string> signal_tables{"dip_signal_*"};  // names, or beginnings and *
  std::string unavailable_value = "__debezium_unavailable_value";

  bool mirrors() const { return mode == Mode::kMirror; }
  bool keeps_history() const { return mirrors() && write == Write::kHistory; }
  bool keeps_position() const;  // a column holds where each row stands in the source's log
};

struct Breaker {
  double share = 0.5;
  std::int64_t window = 1000;
};

struct Tuning {
  std::optional<int> lanes;  // none: one, a second one while there is a backlog
  std::int64_t batch_rows = 20'000;
  std::int64_t batch_bytes = 16 << 20;
  std::chrono::milliseconds linger{500};  // an upper bound; an idle lane never waits
  std::int64_t memory_mb = 48;            // fetched and not yet applied, by all lanes
  enum class CopyFormat : std::uint8_t { kAuto, kText, kBinary } copy_format = CopyFormat::kAuto;
};

struct Task {
  std::string name;
  std::string description;
  Source source;
  Target target;
  Sync sync;
  OnFailure on_failure = OnFailure::kRetain;
  Delivery delivery = Delivery::kExactlyOnce;
  Breaker breaker;
  std::optional<std::chrono::milliseconds> retry_for;  // none: for ever
  Tuning tuning;

  bool has_many_tables() const;  // target.table is a template
  // Messages may bring tables into being.
  bool makes_tables() const {
    return sync.mirrors() && (sync.schema_changes == SchemaChanges::kApplySafe ||
                              sync.schema_changes == SchemaChanges::kApplyAll);
  }
  bool keeps_ledger() const { return delivery == Delivery::kExactlyOnce; }
};

// As the document writes it: "upsert".
std::string_view name_of(Write write);

// One line of JSON, names sorted, defaults filled in; passwords in target.postgres and values of
// is_secret_property() in source.kafka are ***. parse() takes it back (without the secrets).
std::string canonical_json(const Task& task);

// SHA-256 in hex over the canonical JSON of what decides which rows are written. Left out:
// description, tuning, retry_for, target.postgres, target.pooler, source.kafka but for
// isolation.level (where connections lead is compared by itself: cluster id, server, database,
// table oid), and every key that has its default, so that a version with new keys gives an old
// document the same hash.
std::string hash_of(const Task& task);

// A conninfo for people: passwords are ***. One that does not parse is *** as a whole.
std::string mask_conninfo(std::string_view conninfo);
// Whether the value of this librdkafka property must not be shown.
bool is_secret_property(std::string_view name);

}  // namespace sluice::task
