// Batch: the changes of one transaction, encoded, with the offset range of each partition. The
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
#include "message/change.h"
#include "message/decoder.h"
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
  kUpdateEqual,
  kDeleteEqual,
};

struct Row {
  std::uint32_t record = 0;  // index into Records
  std::uint32_t begin = 0;   // slice of Batch::bytes: the row in COPY form, without delimiters
  std::uint32_t length = 0;
  std::uint32_t key_length = 0;  // of the slice, behind the 2-byte column count if binary
  // kUpdateEqual, kDeleteEqual: the row as it was, a slice of its own.
  std::uint32_t before = 0;
  std::uint32_t before_length = 0;
  std::uint16_t before_shape = 0;
  std::uint16_t partition = 0;  // index into Batch::partitions
  std::uint16_t shape = 0;      // index into Batch::shapes
  Operation operation = Operation::kWrite;
  bool dead = false;  // isolated as bad, or behind a cut: not written
  // kWrite: its event says that the row was not there before: mostly true.
  bool is_new = false;
};

// Which optional columns a row leaves out. One character per column of the plan.
struct Shape {
  std::string states;          // kPresent, kDefault, kKeep
  bool only_existing = false;  // a row that is not there is not made
  bool operator==(const Shape&) const = default;
  static constexpr char kPresent = '.';
  static constexpr char kDefault = 'd';
  static constexpr char kKeep = 'k';
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
  // Policy retain, or Batch::stop: the offset of the message; nothing from it on is applied. -1:
  // none.
  std::int64_t cut = -1;
};

struct Stop {
  Error error;
  // What the task lets the table be given; without it, the task ends by `error`.
  std::optional<Demand> demand;
};

struct Batch {
  Form form = Form::kBinary;
  Buffer bytes;
  std::vector<Row> rows;
  std::vector<Shape> shapes;
  std::vector<Failure> failures;  // in order of discovery
  std::vector<PartitionRange> partitions;
  std::vector<std::uint16_t> record_partitions;  // by record: index into partitions
  // Why it ends in front of a message: the table, or the task, must change before that can be
  // applied.
  std::optional<Stop> stop;
  std::uint64_t first_sequence =
      0;  // number of the first record in the lane's life, for the breaker

  // The key of a row that has one, as it is encoded.
  std::string_view key_of(const Row& row) const {
    return bytes.view(row.begin + (form == Form::kBinary ? 2 : 0), row.key_length);
  }
  bool empty() const { return rows.empty() && failures.empty() && partitions.empty(); }
  void clear();
  // The partition's range, opened at `from` if it is new to the batch.
  std::uint16_t partition_index(const ledger::Key& key, std::int64_t from);
};

// Turns messages into rows of a batch. Owns the lane's decoder and scratch memory; compiled from a
// plan, and again when the plan changes.
class RowBuilder {
 public:
  // retain: a failure cuts its partition; nothing of it from there on is added.
  static Result<RowBuilder> create(const Plan& plan, task::Tuning::CopyFormat copy_format,
                                   bool retain);

  // What becomes of a message that asks for another table, or has another key.
  enum class OnDemand : std::uint8_t {
    kFail,  // it fails
    kStop,  // it ends the batch: Batch::stop
    kNote,  // demanded_sql() says what the task would do; what no column takes is left out
  };
  void set_on_demand(OnDemand on_demand) { on_demand_ = on_demand; }
  // With kNote: each statement once, in the order in which messages asked for them.
  const std::vector<std::string>& demanded_sql() const { return demanded_sql_; }

  // Empties `batch` and chooses its form.
  void begin(Batch& batch, const Plan& plan) const;
  // Adds the record at the end of `records`: a row, a failure, or nothing (a tombstone that is
  // ignored, or behind a cut). kStop: Batch::stop says why. When a value is beyond the binary
  // encoders the whole batch is encoded again as text, where PostgreSQL's own input functions
  // judge.
  enum class Added : std::uint8_t { kRow, kFailure, kNothing, kStop };
  Added add(Batch& batch, const Plan& plan, Records& records, std::uint16_t partition);
  // Encodes every record of the batch anew: another form, or another plan.
  void rebuild(Batch& batch, const Plan& plan, Records& records, Form form);

 private:
  enum class Outcome : std::uint8_t { kOk, kNeedsText, kProblem, kIgnored, kStop };
  RowBuilder(message::Decoder decoder, task::Tuning::CopyFormat copy_format, bool retain);
  Outcome build(Batch& batch, const Plan& plan, const message::Message& message, Row& row,
                message::Problem& problem);
  // batch_change.cc: mirror
  Outcome build_change(Batch& batch, const Plan& plan, Records& records, std::uint32_t index,
                       Row& row, message::Problem& problem);
  Outcome encode_change(Batch& batch, const Plan& plan, const message::Change& change, Row& row,
                        message::Problem& problem);
  bool take_values(const Plan& plan, const message::Change::Row& from, std::size_t count,
                   bool partial, message::Problem& problem);
  void take_beside(const Plan& plan, const message::Change& change);
  Outcome append_fields(Batch& batch, const Plan& plan, std::size_t first, std::size_t count,
                        std::uint16_t& fields, message::Problem& problem);
  bool take_value(const Plan& plan, std::size_t column, const message::Type& type,
                  message::Value& value, message::Problem& problem);
  Outcome other_key(Batch& batch, const Plan& plan);
  Outcome meet(Batch& batch, const Plan& plan, Demand demand);
  bool mention(const std::vector<Alteration>& all);

  Outcome decode(const Plan& plan, const message::Message& message, Row& row,
                 message::Problem& problem);
  bool resolve(const Plan& plan, int columns, message::Problem& problem);
  Outcome encode(Batch& batch, const Plan& plan, Row& row, message::Problem& problem);
  Added add_record(Batch& batch, const Plan& plan, Records& records, std::uint32_t index,
                   bool& needs_text);
  std::uint16_t shape_index(Batch& batch, bool only_existing = false);

  message::Decoder decoder_;
  std::optional<message::ChangeDecoder> change_decoder_;  // mirror
  message::ChangeConfig change_config_;
  std::vector<message::Value> values_;    // as decoded, by slot
  std::vector<message::Value> resolved_;  // by column of the plan: policies applied
  std::string states_;                    // the row's shape
  Scratch scratch_;
  message::Problem problem_;
  task::Tuning::CopyFormat copy_format_ = task::Tuning::CopyFormat::kAuto;
  bool retain_ = false;
  OnDemand on_demand_ = OnDemand::kFail;
  std::int64_t timestamp_ms_ = -1;  // of the message that is being built
  bool unsent_ = false;             // of the row: it has a value that the source did not send
  bool is_write_ = false;           // of the row: it is no delete
  std::optional<Demand> demand_;    // of the row that is being built
  std::vector<std::string> demanded_sql_;  // noted or logged
};

// Header and trailer of PostgreSQL's binary COPY format (its documentation, "COPY", Binary Format).
inline constexpr std::string_view kBinaryHeader{"PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19};
inline constexpr std::string_view kBinaryTrailer{"\377\377", 2};

}  // namespace sluice::sink
