// The part of Writer that puts rows into the table: COPY, stage and merge, isolation of bad rows.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "sink/copy_error.h"
#include "sink/merge.h"
#include "sink/position.h"
#include "sink/writer.h"

namespace sluice::sink {

using postgres::Connection;
using postgres::Rows;
using std::chrono::steady_clock;

namespace {

// Smaller ranges empty their stage by DELETE, which leaves no catalog rows behind; but DELETE never
// gives a temporary table's space back, and every merge reads the dead rows: beyond this many bytes
// it is TRUNCATE once (decision 8).
constexpr std::int64_t kStageKeepBytes = 512 << 10;

// Rows of a piece while bad ones are looked for: where one is, all before it in its piece are
// written twice, and every piece costs three round trips and a subtransaction. Grows by a quarter
// with each good piece and is halved with each bad one: then there are about three good ones to a
// bad one, which is near the best while there is a bad row in some hundred to some ten thousand.
constexpr std::size_t kFirstPiece = 512;
constexpr std::size_t kSmallestPiece = 32;

// The places of the rows of the records [from, to).
std::pair<std::size_t, std::size_t> range_of(const std::vector<Row>& rows, std::size_t from,
                                             std::size_t to) {
  const auto before = [](const Row& row, std::size_t record) { return row.record < record; };
  const auto first = std::lower_bound(rows.begin(), rows.end(), from, before);
  const auto last = std::lower_bound(first, rows.end(), to, before);
  return {static_cast<std::size_t>(first - rows.begin()),
          static_cast<std::size_t>(last - rows.begin())};
}

// The rows of the records [from, to) that are not dead: how many, and one of them.
std::pair<std::size_t, Row*> alive_in(Batch& batch, std::size_t from, std::size_t to) {
  std::size_t count = 0;
  Row* one = nullptr;
  for (auto& table : batch.tables) {
    const auto [first, last] = range_of(table.rows, from, to);
    for (std::size_t i = first; i < last; ++i) {
      if (table.rows[i].dead) continue;
      ++count;
      one = &table.rows[i];
    }
  }
  return {count, one};
}

std::string copy_sql(const std::string& target, const std::string& columns, Form form) {
  return fmt::format("COPY {} ({}) FROM STDIN{}", target, columns,
                     form == Form::kBinary ? " (FORMAT binary)" : "");
}

}  // namespace

Async<Writer::Step> Writer::execute(std::string sql) {
  connection_.set_deadline(steady_clock::now() + config_.statement_timeout + kServerPatience);
  Async<Result<std::vector<Rows>>> running = connection_.query(std::move(sql));
  auto done = co_await running;
  if (!done) co_return tl::unexpected(Failed{done.error(), Phase::kWrite, std::nullopt});
  co_return true;
}

// The temporary tables of `used` that this session does not have; `stay`: those for the session,
// else those for the transaction. One round trip, or none.
Async<Writer::Step> Writer::prepare_stages(const Batch& batch, const std::vector<std::size_t>& used,
                                           bool stay) {
  if (habits_.size() < batch.tables.size()) habits_.resize(batch.tables.size());
  const auto ddl_of = [](const Plan& plan) { return plan.stage_ddl + plan.delete_stage_ddl; };
  std::string sql;
  std::vector<std::size_t> made;
  for (const std::size_t number : used) {
    const Plan& plan = *batch.tables[number].plan;
    if (plan.stage_ddl.empty() || plan.stage_stays != stay) continue;
    if (stay && habits_[number].stage_ddl == ddl_of(plan)) continue;
    made.push_back(number);
    for (const auto* each : {&plan.stage_ddl, &plan.delete_stage_ddl, &plan.move_stage_ddl}) {
      if (!each->empty()) sql += *each + "; ";
    }
  }
  if (sql.empty()) co_return true;
  Async<Step> creating = execute(std::move(sql));
  auto created = co_await creating;
  if (!created) {
    Failed failed = created.error();
    failed.phase = Phase::kRead;
    co_return tl::unexpected(std::move(failed));
  }
  for (const std::size_t number : made) {
    Habits& habits = habits_[number];
    if (stay) habits.stage_ddl = ddl_of(*batch.tables[number].plan);
    habits.stage_bytes = habits.delete_stage_bytes = habits.move_stage_bytes = 0;
  }
  co_return true;
}

Async<Writer::Step> Writer::empty_stage(std::string table, std::int64_t& bytes) {
  if (bytes == 0) co_return true;
  const bool truncate = bytes > kStageKeepBytes;
  std::string sql = (truncate ? "TRUNCATE " : "DELETE FROM ") + table;
  Async<Step> emptying = execute(std::move(sql));
  auto emptied = co_await emptying;
  // The count survives a rollback of this transaction: too high then, never too low.
  if (emptied && truncate) bytes = 0;
  co_return emptied;
}

// Sends `slices_`, the rows of the records in sent_, as one COPY into `relation` (unqualified).
Async<Writer::Step> Writer::copy_rows(std::string sql, const TableRows& rows,
                                      std::string relation) {
  std::vector<std::string_view> data;
  if (rows.form == Form::kBinary) data.push_back(kBinaryHeader);
  data.insert(data.end(), slices_.begin(), slices_.end());
  if (rows.form == Form::kBinary) data.push_back(kBinaryTrailer);
  connection_.set_deadline(steady_clock::now() + config_.statement_timeout + kServerPatience);
  Async<Result<std::int64_t>> copying = connection_.copy_in(std::move(sql), std::move(data));
  auto copied = co_await copying;
  if (copied) co_return true;  // a trigger may have swallowed some: not ours to judge
  Failed failed{copied.error(), Phase::kWrite, std::nullopt};
  const auto line = copy_error_line(failed.error.detail, relation);
  if (line && *line <= sent_.size()) failed.record = sent_[*line - 1];
  co_return tl::unexpected(std::move(failed));
}

Async<Writer::Step> Writer::write_records(Batch& batch, std::size_t from, std::size_t to) {
  const std::size_t count = batch.tables.size();
  for (std::size_t i = 0; i < count + last_tables_.size(); ++i) {
    const std::size_t number = i < count ? i : last_tables_[i - count];
    const bool waits = i < count && std::ranges::find(last_tables_, i) != last_tables_.end();
    if (waits || number >= count) continue;
    TableRows& rows = batch.tables[number];
    const auto [first, last] = range_of(rows.rows, from, to);
    if (first == last) continue;
    writing_ = number;
    const Plan& plan = *rows.plan;
    Async<Step> writing =
        plan.mirror ? write_changes(rows, plan, first, last) : write_turns(rows, plan, first, last);
    auto written = co_await writing;
    if (!written) co_return written;
  }
  co_return true;
}

// Where folding must end: a change that makes its row must not be given values by one that, if the
// row is not there, is nothing.
std::size_t Writer::end_of_given(const TableRows& rows, std::size_t from, std::size_t to) {
  std::vector<bool> seen(rows.shapes.size());
  for (std::size_t i = from; i < to; ++i) {
    const Row& row = rows.rows[i];
    if (row.dead || row.operation != Operation::kWrite) continue;
    const Shape& shape = rows.shapes[row.shape];
    if (shape.only_existing) {
      seen[row.shape] = true;
      continue;
    }
    if (!shape.keeps()) continue;
    for (std::size_t other = 0; other < seen.size(); ++other) {
      if (!seen[other]) continue;
      const std::string& given = rows.shapes[other].states;
      for (std::size_t column = 0; column < given.size(); ++column) {
        if (given[column] == Shape::kPresent && Shape::keeps(shape.states[column])) return i;
      }
    }
  }
  return to;
}

// Where folding must end under only_if_newer, since which change counts the table says: what one
// has is not to be given to another that keeps what it finds; and changes of the stream and rows of
// snapshots are not compared alike (sink/position.h).
std::size_t Writer::end_of_alike(const TableRows& rows, std::size_t from, std::size_t to) {
  const auto keeps = [&](const Row& row) {
    return row.operation == Operation::kWrite && rows.shapes[row.shape].keeps();
  };
  std::unordered_map<std::string_view, bool> keys;  // whether the last change was of a snapshot
  for (std::size_t i = from; i < to; ++i) {
    const Row& row = rows.rows[i];
    if (row.dead) continue;
    const auto [last, is_first] = keys.try_emplace(rows.key_of(row), row.of_snapshot);
    if (!is_first && (last->second != row.of_snapshot || keeps(row))) return i;
  }
  return to;
}

// Deletes go before the writes of what is folded together; where one key can be spelt in several
// ways folding cannot see that they meet, so that deletes and writes are then written in turns, in
// their order.
Async<Writer::Step> Writer::write_turns(TableRows& rows, const Plan& plan, std::size_t from,
                                        std::size_t to) {
  const bool loose = rows.form == Form::kBinary ? plan.loose_key_binary : plan.loose_key_text;
  while (from < to) {
    std::size_t end = to;
    if (plan.deletes && loose) {
      end = from + 1;
      while (end < to && rows.rows[end].operation == rows.rows[from].operation) ++end;
    }
    if (plan.on_missing_row != task::OnMissingRow::kInsert) end = end_of_given(rows, from, end);
    if (plan.mirror && plan.newer >= 0) end = end_of_alike(rows, from, end);
    Async<Step> writing = write_piece(rows, plan, from, end);
    auto written = co_await writing;
    if (!written) co_return written;
    from = end;
  }
  co_return true;
}

// In as many COPYs as the rows have shapes.
Async<Writer::Step> Writer::write_piece(TableRows& rows, const Plan& plan, std::size_t from,
                                        std::size_t to) {
  if (plan.way == Way::kStageMerge) {
    Async<Step> merging = merge_piece(rows, plan, from, to);
    auto merged = co_await merging;
    co_return merged;
  }
  for (std::size_t shape = 0; shape < rows.shapes.size(); ++shape) {
    sent_.clear();
    slices_.clear();
    for (std::size_t i = from; i < to; ++i) {
      const Row& row = rows.rows[i];
      if (row.dead || row.shape != shape) continue;
      const std::string_view slice = rows.bytes.view(row.begin, row.length);
      // Neighbours are one slice: a clean batch of one shape is sent as it lies.
      if (!sent_.empty() && slices_.back().data() + slices_.back().size() == slice.data()) {
        slices_.back() = {slices_.back().data(), slices_.back().size() + slice.size()};
      } else {
        slices_.push_back(slice);
      }
      sent_.push_back(row.record);
    }
    if (sent_.empty()) continue;
    Async<Step> writing = plan.way == Way::kCopy
                              ? copy_shape(rows, plan, static_cast<std::uint16_t>(shape))
                              : stage_shape(rows, plan, static_cast<std::uint16_t>(shape));
    auto written = co_await writing;
    if (!written) co_return written;
  }
  co_return true;
}

Async<Writer::Step> Writer::copy_shape(TableRows& rows, const Plan& plan, std::uint16_t shape) {
  const std::string columns = column_list(plan, rows.shapes[shape].states);
  if (columns.empty()) {  // every column by its default
    std::string sql =
        fmt::format("INSERT INTO {} SELECT FROM generate_series(1, {})", plan.target, sent_.size());
    Async<Step> inserting = execute(std::move(sql));
    auto inserted = co_await inserting;
    co_return inserted;
  }
  std::string sql = copy_sql(plan.target, columns, rows.form);
  Async<Step> copying = copy_rows(std::move(sql), rows, plan.table.name);
  auto copied = co_await copying;
  co_return copied;
}

Async<Writer::Step> Writer::stage_shape(TableRows& rows, const Plan& plan, std::uint16_t shape) {
  const std::string& states = rows.shapes[shape].states;
  const std::string columns = column_list(plan, states);
  if (columns.empty()) {
    Async<Step> inserting = copy_shape(rows, plan, shape);
    auto inserted = co_await inserting;
    co_return inserted;
  }
  Async<Step> staging = stage_rows(rows, plan, columns);
  auto staged = co_await staging;
  if (!staged) co_return staged;
  std::string sql = merge_sql(plan, states, {.only_existing = rows.shapes[shape].only_existing});
  if (sql.empty()) co_return true;
  if (rows.shapes[shape].must_exist) {
    const auto staged_rows = static_cast<std::int64_t>(sent_.size());
    Async<tl::expected<Rows, Failed>> updating = ask(std::move(sql));
    auto updated = co_await updating;
    if (!updated) co_return tl::unexpected(updated.error());
    if (updated->affected() == staged_rows) co_return true;
    if (plan.newer < 0) co_return missing_row(plan);
    Async<tl::expected<Rows, Failed>> asking = ask(missing_sql(plan));
    auto missing = co_await asking;
    if (!missing) co_return tl::unexpected(missing.error());
    if (missing->size() > 0) co_return missing_row(plan);
    co_return true;
  }
  Async<Step> merging = execute(std::move(sql));
  auto merged = co_await merging;
  co_return merged;
}

// Empties a temporary table and sends `slices_` to it.
Async<Writer::Step> Writer::fill_stage(const TableRows& rows, std::string table,
                                       std::string columns, std::int64_t& bytes) {
  Async<Step> emptying = empty_stage(table, bytes);
  auto emptied = co_await emptying;
  if (!emptied) co_return emptied;
  for (const auto slice : slices_) bytes += static_cast<std::int64_t>(slice.size());
  std::string copy = copy_sql(table, columns, rows.form);
  Async<Step> copying = copy_rows(std::move(copy), rows, table.substr(table.find('.') + 1));
  auto copied = co_await copying;
  co_return copied;
}

// Empties the stage and sends `slices_` to it.
Async<Writer::Step> Writer::stage_rows(const TableRows& rows, const Plan& plan,
                                       std::string columns) {
  Async<Step> copying = fill_stage(rows, plan.stage, std::move(columns), habit().stage_bytes);
  auto copied = co_await copying;
  if (copied && apart_ && plan.key_columns > 0) {
    Async<Step> counting = count_keys(plan);
    copied = co_await counting;
  }
  co_return copied;
}

Async<Writer::Step> Writer::delete_keys(TableRows& rows, const Plan& plan) {
  sent_.clear();
  slices_.clear();
  gathered_.clear();
  for (const Row& row : compaction_.deletes()) {
    sent_.push_back(row.record);
    gathered_.append(rows.bytes.view(row.begin, row.length));
  }
  slices_.push_back(gathered_.view());
  const bool guarded = plan.mirror && plan.newer >= 0;
  std::string columns = key_list(plan);
  if (guarded) columns += ", " + newer_name(plan);
  Async<Step> copying =
      fill_stage(rows, plan.delete_stage, std::move(columns), habit().delete_stage_bytes);
  auto copied = co_await copying;
  if (!copied) co_return copied;
  std::string condition;
  for (int i = 0; i < plan.key_columns; ++i) {
    const std::string name = Connection::identifier(plan.columns[static_cast<std::size_t>(i)].name);
    condition += fmt::format("{}t.{} = d.{}", i > 0 ? " AND " : "", name, name);
  }
  if (guarded) {
    condition += " AND " + may_change(plan, "d." + newer_name(plan), {});
  }
  std::string sql = fmt::format("DELETE FROM {} t USING {} d WHERE {}", plan.target,
                                plan.delete_stage, condition);
  Async<Step> deleting = execute(std::move(sql));
  auto deleted = co_await deleting;
  co_return deleted;
}

bool Writer::take_out(Batch& batch, Row& bad, Error error, Breaker& breaker,
                      const Records& records) const {
  for (auto& table : batch.tables) {  // a message can have several rows
    const auto [first, last] = range_of(table.rows, bad.record, bad.record + 1);
    for (std::size_t i = first; i < last; ++i) table.rows[i].dead = true;
  }
  batch.failures.push_back({bad.record, bad.partition, std::move(error)});
  if (config_.on_failure != task::OnFailure::kRetain) {
    return !breaker.bad(batch.first_sequence + bad.record);
  }
  end_partition(batch, bad, records);
  return true;
}

// Nothing of the row's partition from here on; what lies before is written already or about to be.
void Writer::end_partition(Batch& batch, const Row& bad, const Records& records) {
  PartitionRange& range = batch.partitions[bad.partition];
  const std::int64_t offset = records.at(bad.record).offset;
  if (range.cut < 0 || offset < range.cut) range.cut = offset;
  for (auto& table : batch.tables) {
    for (auto& row : table.rows) {
      if (row.partition == bad.partition && row.record > bad.record) row.dead = true;
    }
  }
}

// Whether another partition may mend it: a foreign key or a unique constraint refuses the row, or a
// TRUNCATE is to come behind what is older than it.
bool Writer::waits(const Batch& batch, const Row& row, const Error& error) {
  return batch.partitions[row.partition].may_wait &&
         (error.code == "23503" || error.code == "23505" ||
          (row.operation == Operation::kTruncate && error.domain == Domain::kMessage));
}

void Writer::set_aside(Batch& batch, const Row& row, Error error, const Records& records) {
  const Row bad = row;
  for (auto& table : batch.tables) {
    const auto [first, last] = range_of(table.rows, bad.record, bad.record + 1);
    for (std::size_t i = first; i < last; ++i) table.rows[i].dead = true;
  }
  end_partition(batch, bad, records);
  batch.partitions[bad.partition].waits_for = std::move(error);
  std::erase_if(batch.failures, [&](const Failure& failure) {
    return failure.partition == bad.partition && failure.record > bad.record;
  });
}

// Writes the batch piece by piece under savepoints, in the order of its records, until every bad
// row stands alone.
// PostgreSQL names a line for most errors of COPY: only a hint, but a good one. The pieces before
// it, that row, and the pieces after it are tried by themselves; without a hint the piece is
// halved.
Async<Writer::Step> Writer::write_isolated(Batch& batch, const Records& records, Breaker& breaker,
                                           Care care) {
  struct Piece {  // of records
    std::size_t from, to;
  };
  std::vector<Piece> pieces;  // the next one last
  const auto push_around = [&pieces](Piece piece, std::size_t record) {
    if (record + 1 < piece.to) pieces.push_back({record + 1, piece.to});
    pieces.push_back({record, record + 1});
    if (record > piece.from) pieces.push_back({piece.from, record});
  };
  const Piece whole{0, batch.record_partitions.size()};
  if (hint_ && *hint_ < whole.to) {
    push_around(whole, *hint_);
  } else {
    pieces.push_back(whole);
  }
  std::size_t limit = care == Care::kRows ? kFirstPiece : whole.to;
  bool saved = false;  // there is a savepoint, and nothing was written since
  while (!pieces.empty()) {
    Piece piece = pieces.back();
    pieces.pop_back();
    if (piece.to - piece.from > limit) {
      pieces.push_back({piece.from + limit, piece.to});
      piece.to = piece.from + limit;
    }
    const auto [alive, one] = alive_in(batch, piece.from, piece.to);
    if (alive == 0) continue;
    const std::optional<Apart> before = apart_;
    Step step = true;
    if (!saved) {
      Async<Step> saving = execute("SAVEPOINT sluice");
      step = co_await saving;
      if (!step) co_return step;
    }
    const std::int64_t ignored = ignored_;
    const Incomplete incomplete = incomplete_;
    const std::optional<std::int64_t> swept = swept_;
    Async<Step> writing = write_records(batch, piece.from, piece.to);
    step = co_await writing;
    if (step) {
      std::string sql;
      if (care == Care::kPieces) {
        // Deferred constraints belong to the piece that breaks them.
        sql = "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED; ";
      }
      sql += "RELEASE SAVEPOINT sluice";
      if (!pieces.empty()) sql += "; SAVEPOINT sluice";
      Async<Step> checking = execute(std::move(sql));
      step = co_await checking;
      if (step) {
        saved = !pieces.empty();
        if (care == Care::kRows) limit += limit / 4;
        continue;
      }
    }
    apart_ = before;
    ignored_ = ignored;
    incomplete_ = incomplete;
    swept_ = swept;
    Failed failed = step.error();
    const bool twice = failed.error.code == "21000" && alive > 1;
    if (!twice && config_.classify(failed.error, failed.phase) != FailureClass::kData) {
      co_return tl::unexpected(std::move(failed));
    }
    Async<Step> undoing = execute("ROLLBACK TO SAVEPOINT sluice");
    step = co_await undoing;
    if (!step) co_return step;
    saved = true;

    if (alive == 1 || piece.to - piece.from == 1) {
      if (waits(batch, *one, failed.error)) {
        set_aside(batch, *one, std::move(failed.error), records);
      } else if (!take_out(batch, *one, std::move(failed.error), breaker, records)) {
        Failed open;
        open.error = fail(Domain::kMessage, "breaker",
                          fmt::format("the breaker opened: {} of the last messages could not be "
                                      "applied",
                                      breaker.limit()),
                          "Look at the dead letters or the log for the reason; correct the "
                          "mapping, or raise `breaker`.")
                         .value();
        co_return tl::unexpected(std::move(open));
      }
      continue;
    }
    if (care == Care::kRows) limit = std::max(limit / 2, kSmallestPiece);
    if (failed.record && *failed.record >= piece.from && *failed.record < piece.to) {
      push_around(piece, *failed.record);
      continue;
    }
    const std::size_t middle = piece.from + (piece.to - piece.from) / 2;
    pieces.push_back({middle, piece.to});
    pieces.push_back({piece.from, middle});
  }
  if (!saved) co_return true;
  Async<Step> releasing = execute("RELEASE SAVEPOINT sluice");
  auto released = co_await releasing;
  co_return released;
}

Async<Writer::Step> Writer::write_dead_letters(const Batch& batch, Records& records) {
  Buffer data;
  data.append(kBinaryHeader);
  for (const auto& failure : batch.failures) {
    const message::Message message = records.full(failure.record);
    ledger::DeadLetter letter;
    letter.key = batch.partitions[failure.partition].key;
    letter.offset = message.offset;
    letter.timestamp_ms = message.timestamp_ms;
    if (!message.key_null) letter.message_key = message.key;
    if (!message.value_null) letter.value = message.value;
    for (const auto& header : message.headers) {
      letter.headers.push_back(
          {header.name, header.null ? std::nullopt : std::optional(header.value)});
    }
    letter.reason_class = failure.error.domain == Domain::kMessage ? "message" : "data";
    letter.code = failure.error.code;
    letter.message = to_string(failure.error);
    if (!failure.error.detail.empty()) letter.message += "\n" + failure.error.detail;
    letter.column = failure.error.column;
    ledger::append_dead_letter(config_.handle, letter, data);
  }
  data.append(kBinaryTrailer);
  std::string sql = ledger::dead_letter_copy_sql(config_.handle);
  std::vector<std::string_view> slices{data.view()};
  connection_.set_deadline(steady_clock::now() + config_.statement_timeout + kServerPatience);
  Async<Result<std::int64_t>> copying = connection_.copy_in(std::move(sql), std::move(slices));
  auto copied = co_await copying;
  if (!copied) co_return tl::unexpected(Failed{copied.error(), Phase::kMove, std::nullopt});
  co_return true;
}

}  // namespace sluice::sink
