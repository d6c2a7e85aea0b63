// Plan: how the messages of one task become rows of one table, compiled once from the task document
// and the real catalog. Immutable, shared by nobody: each lane compiles its own, and again when the
// table's signature has changed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/result.h"
#include "message/change.h"
#include "message/decoder.h"
#include "postgres/catalog.h"
#include "sink/convert.h"
#include "sink/encoder.h"
#include "sink/structure.h"
#include "task/task.h"

namespace sluice::sink {

enum class Form : std::uint8_t { kBinary, kText };

// How rows reach the table.
enum class Way : std::uint8_t {
  kCopy,         // COPY straight into the target
  kStageInsert,  // COPY into a temporary table, then INSERT ... SELECT: views, row security, rules
  kStageMerge,   // COPY into a temporary table, then INSERT ... ON CONFLICT or UPDATE: sink/merge.h
};

struct PlanColumn {
  std::string name;   // unquoted
  std::string field;  // as the document names its source, for messages
  int slot = 0;       // of the decoder
  ColumnEncoder encoder;
  task::OnAbsent on_absent = task::OnAbsent::kDefault;
  task::OnNull on_null = task::OnNull::kNull;
  // Where absent or null say default: this constant if given, else the column's own default.
  std::optional<message::Kind> constant = std::nullopt;
  std::string constant_text = {};  // strings decoded, everything else as JSON
  bool key = false;
  bool update = true;            // false: an upsert leaves it as it is in a row that exists
  bool has_default = false;      // the table's own
  std::string default_sql = {};  // it, where the catalog shows it
  // Mirror: what a value is taken to be whose message has no schema, and whether that is the
  // task's own word (sync.units), which goes before a schema's.
  message::Type assumed = {};
  task::WireUnit unit = task::WireUnit::kNone;
  bool is_bytea = false;
  bool is_money = false;
  bool required = false;  // NOT NULL without a default: an INSERT must name it
  bool not_null = false;
  std::optional<Bounds> bounds = std::nullopt;  // mirror
  // Mirror: not of the row, but what its event says beside it, or whether it is deleted.
  enum class Beside : std::uint8_t { kNothing, kMeta, kMark };
  Beside beside = Beside::kNothing;
  message::EventMeta meta = message::EventMeta::kOp;  // kMeta
  // Absent can leave the column out of the row's shape (its default acts, or the old value stays).
  bool optional = false;

  message::Value constant_value() const {
    message::Value value = message::Value::of(*constant, constant_text);
    value.integer = constant_text == "true" ? 1 : 0;
    return value;
  }
};

struct Plan {
  postgres::TableInfo table;  // oid 0: it is yet to be made, and no row can be written
  task::Write write = task::Write::kInsert;
  Way way = Way::kCopy;
  bool lock_target = true;  // LOCK TABLE before the signature is read
  bool binary = true;       // every column has a binary encoder and the signature is sure
  bool deletes = false;     // on_tombstone: delete
  bool overriding = false;  // OVERRIDING SYSTEM VALUE: a mapped column is GENERATED ALWAYS identity
  // One key can be spelt in several ways: its bytes in binary, or in text, do not decide equality.
  bool loose_key_binary = false;
  bool loose_key_text = false;
  bool on_conflict = true;   // the server has INSERT ... ON CONFLICT
  bool keeps = false;        // some column has on_absent: keep
  bool insert_only = false;  // some column has update: false
  bool skip_unchanged = false;
  int newer = -1;  // the column of only_if_newer, by index into `columns`
  // Mirror: the column that keeps where rows stand in the source's log; and, with `newer`, the one
  // for op, if positions alone do not tell what a snapshot holds (sink/position.h).
  int position = -1;
  bool sweeps = false;
  int snapshot_op = -1;
  task::OnTombstone on_tombstone = task::OnTombstone::kFail;
  std::string time_zone;
  std::vector<PlanColumn> columns;  // the key's columns first, in the key's order
  int key_columns = 0;
  message::DecoderConfig decoder;
  bool decoder_reads_headers = false;
  std::vector<int> key_slots;

  // Mirror: what the change decoder is made of; the column of a slot has its number.
  bool mirror = false;
  message::ChangeConfig change;
  std::shared_ptr<const Unavailable> unavailable;
  bool history = false;  // every change a row
  int mark = -1;         // on_delete: mark: the column, by index into `columns`
  task::OnMissingRow on_missing_row = task::OnMissingRow::kInsert;
  task::OnDelete on_delete = task::OnDelete::kDelete;
  task::OnTruncate on_truncate = task::OnTruncate::kApply;
  std::vector<std::string> named_key;  // sync.primary_key
  std::vector<std::string> beside;     // names of columns beside rows
  std::string own_columns;             // of a table that is to be made, as SQL: those beside rows
  task::SchemaChanges schema_changes = task::SchemaChanges::kApplySafe;

  // SQL text pieces, quoted.
  std::string target;  // "schema"."table"
  // The temporary tables of a lane's session, their names, then the SQL that makes them.
  std::string stage;
  std::string delete_stage;
  std::string move_stage;
  std::string stage_ddl;    // CREATE TEMPORARY TABLE ...; empty for kCopy
  bool stage_stays = true;  // for the session; else each transaction makes its own
  // Further columns of the stage under kStageMerge: which row of the batch, and its shape.
  std::string stage_sequence;
  std::string stage_shape;
  std::string delete_stage_ddl;
  std::string move_stage_ddl;  // old and new keys, as o1, o2, ... n1, n2, ...
};

// All that is wrong, not only the first: unknown columns (with the nearest names), generated
// columns mapped, options that do not fit a type, a key that no unique index serves (with the SQL
// that would make one), a target that cannot be written this way.
// `zone`: the server's rules for sync.time_zone; without them (nullptr) naive timestamps in another
// zone than UTC go as text. `number`: of the table among those of the task; temporary tables have
// it in their names.
tl::expected<Plan, std::vector<Error>> compile(
    const task::Task& task, postgres::TableInfo table,
    std::shared_ptr<const postgres::TimeZone> zone = nullptr, std::size_t number = 0);

// The calls of set_config, to be selected inside a transaction, that decide how PostgreSQL reads
// the text of values: whatever the role's own settings are.
std::string reading_settings(const std::string& time_zone);

}  // namespace sluice::sink
