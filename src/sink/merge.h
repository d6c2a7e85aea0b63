// Merge: how rows that stand in the stage reach the table under kStageMerge: the statements, and
// the form in which rows of several shapes share one stage. Text only, nothing is run here.
//
// A statement takes the rows of one shape, since the shape says which columns it names. Where rows
// of one key may have different shapes, all of them are staged together, with their shape and their
// place in the order of messages, and the statement picks among them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/buffer.h"
#include "sink/batch.h"
#include "sink/plan.h"

namespace sluice::sink {

// Which of the staged rows of one key count.
enum class Pick : std::uint8_t {
  kAll,     // a key is there once
  kFirst,   // the first of each key
  kNewest,  // that with the greatest value of only_if_newer; the first of equals, the last of NULLs
};

// What a statement reads.
struct Staged {
  Pick pick = Pick::kAll;
  std::optional<std::uint16_t> shape = std::nullopt;  // none: the stage holds one shape alone
  bool only_new = false;       // upsert: rows that exist are left as they are
  bool only_existing = false;  // upsert: rows that do not are not made
};

// "a", "b": the columns that rows of this shape fill; the key's columns; that of only_if_newer.
std::string column_list(const Plan& plan, const std::string& states);
std::string key_list(const Plan& plan);
std::string newer_name(const Plan& plan);

// INSERT ... ON CONFLICT or UPDATE of the staged rows of the shape `states`; an INSERT alone under
// kStageInsert. Without Plan::on_conflict an UPDATE, then an INSERT of the keys that are not there:
// between the two somebody else may insert one, which is the error 23505 then, and finds it there
// at the next attempt. Empty: rows of this shape change nothing.
std::string merge_sql(const Plan& plan, const std::string& states, const Staged& staged);
// A row if one key is staged twice, in two spellings.
std::string twice_sql(const Plan& plan);
// The places (Plan::stage_sequence) of staged rows, of one shape or all, whose key the table does
// not have.
std::string missing_sql(const Plan& plan, std::optional<std::uint16_t> shape = std::nullopt);

// The list of columns for append_staged's rows.
std::string staged_columns(const Plan& plan);
// Appends `row` as a row of all columns: NULL where its shape leaves one out, then `sequence` and
// the shape.
void append_staged(const TableRows& rows, const Plan& plan, const Row& row, std::int64_t sequence,
                   Buffer& out);

}  // namespace sluice::sink
