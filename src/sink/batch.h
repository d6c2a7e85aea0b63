// Batch: the changes of one transaction, encoded table by table, with the offset range of each
// partition. The
// memory is reused from batch to batch: in steady state nothing is allocated for a message. One
// lane's thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/result.h"
#include "ledger/ledger.h"
#include "ledger/protocol.h"
#include "message/message.h"
#include "sink/plan.h"
#include "sink/structure.h"

namespace sluice::sink {

// The records behind a batch, kept until it is committed: for another encoding, for dead letters.
class Records {
 public:
  virtual ~Records() = default;
  virtual std::size_t size() const = 0;
  // The views are valid until another record is asked for; headers until the next call of full().
  virtual message::Message at(std::size_t index) const = 0;  // without headers
  virtual message::Message full(std::size_t index) = 0;      // with headers
};

// Of rows of a mirror: kMove gives the row with the first key the second one; a table without key
// has kUpdateEqual and kDeleteEqual of one row that is as it was.
enum class Operation : std::uint8_t {
  kWrite,
  kDelete,
  kMove,
  kMoved,  // a move that says what the one before it has said
  kTruncate,
  kSweep,  // behind a snapshot's last row: what the snapshot did not bring goes
  kUpdateEqual,
  kDeleteEqual,
};

inline constexpr std::int64_t kNoPosition = -1;

struct Row {
  std::uint32_t record = 0;  // index into Records
  std::uint32_t begin = 0;   // slice of TableRows::bytes: the row in COPY form, without delimiters
  std::uint32_t length = 0;
  std::uint32_t key_length = 0;  // of the slice, behind the 2-byte column count if binary
  // kUpdateEqual, kDeleteEqual: the row as it was, a slice of its own. kMove: the second key's
  // length alone, behind the first one.
  std::uint32_t before = 0;
  std::uint32_t before_length = 0;
  std::uint16_t before_shape = 0;
  std::uint16_t partition = 0;  // index into Batch::partitions
  std::uint16_t shape = 0;      // index into TableRows::shapes
  Operation operation = Operation::kWrite;
  bool dead = false;  // isolated as bad, or behind a cut: not written
  // kWrite: its event says that the row was not there before: mostly true.
  bool is_new = false;
  bool of_snapshot = false;  // op r
  // kTruncate: rows up to `position` alone; else all. Other partitions hold such rows, too.
  bool is_shared = false;
  std::int64_t position = kNoPosition;  // in the source's log: sink/position.h
};

// Which optional columns a row leaves out. One character per column of the plan.
struct Shape {
  std::string states;          // kPresent, kDefault, kKeep, kUnsent
  bool only_existing = false;  // a row that is not there is not made
  bool must_exist = false;     // and is a failure of its message
  bool operator==(const Shape&) const = default;
  static constexpr char kPresent = '.';
  static constexpr char kDefault = 'd';
  static constexpr char kKeep = 'k';
  static constexpr char kUnsent = 'u';  // as kKeep: the source did not send it (TOAST)
  static bool keeps(char state) { return state == kKeep || state == kUnsent; }
  bool keeps() const { return states.find_first_of("ku") != std::string::npos; }
};

// A message that could not become a row, or whose row PostgreSQL refused.
struct Failure {
  std::uint32_t record = 0;
  std::uint16_t partition = 0;
  Error error;  // domain kMessage or kPostgres
};

struct PartitionRange {
  ledger::Key key;
  std::int64_t from = 0;
  std::int64_t to = 0;
  std::int64_t last_offset = -1;
  std::int64_t last_timestamp_ms = -1;
  std::uint32_t last_record = 0;  // where the record at last_offset is in Records
  std::int64_t ignored = 0;       // messages that make no row by the task's own word (on_tombstone)
  // Another partition may hold what a row refers to, or what gives its unique value free: such a
  // row ends the partition for now.
  bool may_wait = false;
  bool has_siblings = false;       // its topic has several partitions
  std::optional<Error> waits_for;  // why it has: nothing from `cut` on is applied
  // Policy retain, Batch::stop or waits_for: the offset of the message; nothing from it on is
  // applied. -1: none.
  std::int64_t cut = -1;
};

struct Stop {
  Error error;
  std::uint16_t table = 0;  // index into Batch::tables
  // What the task lets the table be given; without it, the task ends by `error`.
  std::optional<Demand> demand;
  // The message alone leaves types to be guessed: another one may say them.
  bool guess = false;
};

// The rows of one table in a batch, in the order of their records.
struct TableRows {
  const Plan* plan = nullptr;  // by which they are encoded; its BatchBuilder's
  Form form = Form::kBinary;
  Buffer bytes;
  std::vector<Row> rows;
  std::vector<Shape> shapes;

  // The key of a row that has one, as it is encoded.
  std::string_view key_of(const Row& row) const {
    return bytes.view(row.begin + (form == Form::kBinary ? 2 : 0), row.key_length);
  }
  void clear();
};

struct Batch {
  std::vector<TableRows> tables;  // by their numbers in the BatchBuilder; some without rows
  std::vector<Failure> failures;  // in order of discovery
  std::vector<PartitionRange> partitions;
  std::vector<std::uint16_t> record_partitions;  // by record: index into partitions
  std::vector<std::uint16_t> record_tables;      // by record: index into tables, or kNoTable
  // Why it ends in front of a message: the table, or the task, must change before that can be
  // applied.
  std::optional<Stop> stop;
  std::uint64_t first_sequence =
      0;  // number of the first record in the lane's life, for the breaker

  static constexpr std::uint16_t kNoTable = 0xffff;

  std::size_t bytes() const;           // encoded
  std::size_t further_shapes() const;  // beyond one for each table
  // Messages of a partition, up to the record `last`, that are neither rows nor failures.
  std::int64_t ignored_until(std::size_t partition, std::size_t last) const;
  void clear();
  // The partition's range, opened at `from` if it is new to the batch.
  std::uint16_t partition_index(const ledger::Key& key, std::int64_t from);

 private:
  std::size_t last_partition_ = 0;  // messages come in runs of one partition
};

// Header and trailer of PostgreSQL's binary COPY format (its documentation, "COPY", Binary Format).
inline constexpr std::string_view kBinaryHeader{"PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19};
inline constexpr std::string_view kBinaryTrailer{"\377\377", 2};

}  // namespace sluice::sink
