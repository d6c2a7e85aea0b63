// ChangeDecoder: the bytes of one message become one change of one table's row (sync.mode: mirror).
//
// Forms, told apart message by message (Format::kAuto) or as the task says:
//   Debezium's envelope   {"before", "after", "op", "source"}
//   Canal's rows          {"data", "old", "type", "isDdl"}: message/canal.h
//   a flat row            {"id": 1, ...}, as ExtractNewRecordState leaves it, with __deleted and
//                         __op in the row or as headers, or as anybody writes it
// each bare or in Kafka Connect's {"schema", "payload"}. A schema is recognised by its bytes and
// not parsed again. docs/reference/change-events.md has every form with what becomes of it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "message/message.h"
#include "message/type.h"
#include "message/value.h"

namespace sluice::message {

enum class Format : std::uint8_t { kAuto, kDebezium, kJson, kCanal };

// What an event says beside the row: Debezium's op, ts_ms, source.ts_ms, source.lsn, source.file,
// source.pos, and source.txId or source.gtid; flat rows have them with two underscores in front.
// kPosition is for whoever makes one number of file and pos: no event says it. kSnapshot is
// source.snapshot.
enum class EventMeta : std::uint8_t {
  kOp,
  kTime,
  kSourceTime,
  kLsn,
  kFile,
  kPos,
  kTxId,
  kPosition,
  kSnapshot,
};
inline constexpr std::size_t kEventMetas = 9;

// The table of the source that a change is of: Debezium's source.db, source.schema and
// source.table; flat rows have them as __db, __schema and __table, or as __source_db and so on.
// Empty: not said.
struct Origin {
  std::string db;
  std::string schema;
  std::string table;
  bool operator==(const Origin&) const = default;
};

// The table of the source whose changes are meant.
struct Expected {
  Origin origin;
  // What a row must say of it; what it says besides must be the same.
  bool needs_db = false;
  bool needs_schema = false;
  bool needs_table = false;
  // A tombstone names no table.
  enum class Tombstones : std::uint8_t {
    kNothing,  // it follows a delete that did
    kProblem,  // it is the delete
  };
  Tombstones tombstones = Tombstones::kNothing;
};

struct ChangeConfig {
  Format format = Format::kAuto;
  // Of the target, those of the key first. None: it is not there yet, and has no row to delete.
  std::vector<std::string> columns;
  std::size_t key_columns = 0;  // 0: rows have no key
  // The key of messages must be just the target's: false where the task names its key itself.
  bool same_key = true;
  std::vector<std::string> ignored;  // fields that nothing takes, by the task's own word
  bool metadata = false;             // Change::metadata is wanted
  bool origin = false;               // so is origin()
  // Tables of the source that connectors write and read themselves: their changes are nothing. A
  // name, or its beginning and *.
  std::vector<std::string> signal_tables = {};
  // Rows have no identity in the target: a delete is what its event says of the row, and a
  // tombstone behind it is nothing. All columns count as columns of the key.
  bool history = false;
};

// One change. Spans point into the decoder, Values into it or the message: valid until the next
// decode, and only while the record of the message is held.
struct Change {
  enum class Kind : std::uint8_t {
    kNothing,   // a heartbeat, a transaction's begin or end, a logical message, a tombstone of a
                // table without key
    kWrite,     // the row as it is now: `row`
    kDelete,    // of the row with `key`
    kMove,      // the row with `key` has the key `row` from now on (its key columns alone)
    kTruncate,  // of the whole table
  };
  Kind kind = Kind::kNothing;
  char op = '\0';  // c, r, u, d, t, m; \0: not said
  // kWrite: a value can be the placeholder of one that the source did not send: not in op r, nor
  // in op c without an old key.
  bool partial = false;

  // A value for each column of the target (kAbsent: the message has no such field), and what its
  // schema says of it; null: nothing.
  struct Row {
    std::span<const Value> values;
    std::span<const Type* const> types;
  };
  Row row;     // kWrite: all columns; kMove: those of the key
  Row key;     // kDelete, kMove: those of the key, as they were
  Row before;  // of a table without key: all columns as they were; empty unless the source sends it
  std::array<Value, kEventMetas> metadata = {};  // kAbsent: not said, or not wanted
};

struct TableChange;  // message/table_change.h

// Of a tombstone that is a delete, where tables are told by what messages say of them.
Problem nameless_tombstone();

// What a change needs that is not in the message's payload.
class Headers {
 public:
  virtual ~Headers() = default;
  // Of the message that is being decoded; valid as its record is.
  virtual std::span<const Header> headers() = 0;
};

// One per lane: it owns its parsers and buffers. In steady state it allocates nothing for a
// message. Not thread-safe; movable (Values stay valid across a move).
class ChangeDecoder {
 public:
  explicit ChangeDecoder(ChangeConfig config);
  ChangeDecoder(ChangeDecoder&&) noexcept;
  ChangeDecoder& operator=(ChangeDecoder&&) noexcept;
  ChangeDecoder(const ChangeDecoder&) = delete;
  ChangeDecoder& operator=(const ChangeDecoder&) = delete;
  ~ChangeDecoder();

  enum class Outcome : std::uint8_t {
    kChange,
    kProblem,     // of the message: `problem`
    kNewSchema,   // rows come by a schema that was not accepted yet: asked(), accept_schema()
    kNewFields,   // without schema: fields that no column takes: asked()
    kOtherKey,    // the message's key is not the target's: key_fields()
    kOtherTable,  // the message is of another table than expected: origin()
    kStructure,   // it holds no row, but says what tables are like: table_changes()
  };
  // nullptr: changes of any table are meant.
  Outcome decode(const Message& message, Headers& headers, Change& change, Problem& problem,
                 const Expected* expected = nullptr);
  // Whether the message that was decoded holds another change, which next() is: a message of Canal
  // has several. Not after kProblem, kNewSchema and kNewFields: decode it again.
  bool more() const;
  Outcome next(Change& change, Problem& problem);
  // Whatever the target: kOtherTable, kStructure, kChange if it holds no row, kProblem. `null`: it
  // is a tombstone, in one of its forms.
  Outcome locate(const Message& message, bool& null, Problem& problem);
  // After kOtherTable; with ChangeConfig::origin.
  const Origin& origin() const;
  // Whether deletes are said by values, as far as the last one that was read shows it: by
  // envelopes, or by flat rows with __deleted. Then a tombstone adds nothing.
  bool says_deletes() const;
  bool was_null() const;  // the message that was decoded last
  // After kStructure: one or more. Valid until the next decode.
  std::span<const TableChange> table_changes() const;

  // A struct. After kNewSchema: all fields of a row. After kNewFields: those that no column takes
  // and that are not null, with types guessed from what they hold. Valid until the next decode.
  const Type& asked() const;
  // After kNewSchema: messages with this schema are decoded from now on.
  void accept_schema();
  // After kOtherKey, and after the other two where the target has no columns yet: the names in the
  // message's key; empty: it has none.
  std::span<const std::string> key_fields() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sluice::message
