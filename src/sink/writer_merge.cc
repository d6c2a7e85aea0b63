// The part of Writer that merges by key: upsert, update, insert_ignore.
#include <algorithm>
#include <utility>

#include "sink/merge.h"
#include "sink/writer.h"

namespace sluice::sink {

using postgres::Rows;
using std::chrono::steady_clock;

Async<tl::expected<Rows, Writer::Failed>> Writer::ask(std::string sql) {
  connection_.set_deadline(steady_clock::now() + config_.statement_timeout + kServerPatience);
  Async<Result<std::vector<Rows>>> asking = connection_.query(std::move(sql));
  auto answer = co_await asking;
  if (!answer) co_return tl::unexpected(Failed{answer.error(), Phase::kWrite, std::nullopt});
  co_return answer->back();
}

// Rows [from, to) that are not dead. Folded by key as far as the bytes of keys show it.
Async<Writer::Step> Writer::merge_piece(TableRows& rows, const Plan& plan, std::size_t from,
                                        std::size_t to) {
  if (plan.write == task::Write::kInsertIgnore) {
    Async<Step> merging = merge_runs(rows, plan, from, to);
    auto merged = co_await merging;
    co_return merged;
  }
  if (plan.newer >= 0 && !plan.mirror) {
    Async<Step> merging = merge_newer(rows, plan, from, to);
    auto merged = co_await merging;
    co_return merged;
  }
  compaction_.fold(rows, plan, from, to);
  if (!compaction_.deletes().empty()) {
    Async<Step> deleting = delete_keys(rows, plan);
    auto deleted = co_await deleting;
    if (!deleted) co_return deleted;
  }
  merging_ = compaction_.upserts();
  // Without the table's lock only text is sure to be read as it was meant.
  const bool sure = plan.lock_target || rows.form == Form::kText;
  if (plan.mirror && habit().copies_new && sure && !apart_ && !plan.table.row_security &&
      !plan.table.has_rules) {
    Async<Step> copying = copy_new(rows, plan);
    auto copied = co_await copying;
    if (!copied) co_return copied;
  }
  if (merging_.empty()) co_return true;
  const bool loose = rows.form == Form::kBinary ? plan.loose_key_binary : plan.loose_key_text;
  const bool one_shape = std::all_of(merging_.begin(), merging_.end(), [&](const Row& row) {
    return row.shape == merging_.front().shape;
  });
  // One statement refuses a key that is there twice (21000), but each shape is a statement of its
  // own, and UPDATE takes any of the two: those are looked for in one stage.
  const bool together =
      plan.write == task::Write::kUpdate || (loose && (!one_shape || !plan.on_conflict));
  if (plan.mirror && !together) {
    Async<Step> merging = merge_unsent(rows, plan);
    auto merged = co_await merging;
    if (!merged) co_return merged;
  }
  Async<Step> merging = together ? merge_staged(rows, plan, Pick::kAll) : merge_shapes(rows, plan);
  auto merged = co_await merging;
  co_return merged;
}

// Takes out of `merging_` the rows with values that were not sent, and merges them by themselves.
Async<Writer::Step> Writer::merge_unsent(TableRows& rows, const Plan& plan) {
  std::vector<bool> unsent;
  for (const Shape& shape : rows.shapes) {
    unsent.push_back(shape.states.find(Shape::kUnsent) != std::string::npos);
  }
  const auto others = std::stable_partition(merging_.begin(), merging_.end(),
                                            [&](const Row& row) { return unsent[row.shape]; });
  if (others == merging_.begin()) co_return true;
  std::vector<Row> rest(others, merging_.end());
  merging_.erase(others, merging_.end());
  Async<Step> merging = merge_staged(rows, plan, Pick::kAll);
  auto merged = co_await merging;
  merging_ = std::move(rest);
  co_return merged;
}

// `merging_` is staged: which of its rows with values that were not sent will be made.
Async<Writer::Step> Writer::note_incomplete(const TableRows& rows, const Plan& plan) {
  const auto can_be = [&](const Row& row) {
    const Shape& shape = rows.shapes[row.shape];
    return !shape.only_existing && shape.states.find(Shape::kUnsent) != std::string::npos;
  };
  if (std::ranges::none_of(merging_, can_be)) co_return true;
  Async<tl::expected<Rows, Failed>> asking = ask(missing_sql(plan));
  auto missing = co_await asking;
  if (!missing) co_return tl::unexpected(missing.error());
  for (int i = 0; i < missing->size(); ++i) {
    const Row& row = merging_[static_cast<std::size_t>(missing->integer(i, 0))];
    if (can_be(row)) note_incomplete(rows, plan, row);
  }
  co_return true;
}

void Writer::note_incomplete(const TableRows& rows, const Plan& plan, const Row& row) {
  const std::size_t column = rows.shapes[row.shape].states.find(Shape::kUnsent);
  if (column == std::string::npos) return;
  if (++incomplete_.rows > 1) return;
  incomplete_.record = row.record;
  incomplete_.table = plan.target;
  incomplete_.column = plan.columns[column].name;
}

// Takes out of `merging_` the rows that their events call new, and copies them into the table: a
// third of the work. If one is there all the same (messages that come again, a second snapshot)
// nothing of it has happened, and they are merged, as are those of the next batches.
Async<Writer::Step> Writer::copy_new(TableRows& rows, const Plan& plan) {
  constexpr int kMostMergeBatches = 256;
  // A key in two spellings can be among both: the copy would overtake what came before it.
  const bool loose = rows.form == Form::kBinary ? plan.loose_key_binary : plan.loose_key_text;
  if (loose && !std::ranges::all_of(merging_, &Row::is_new)) co_return true;
  const auto others = std::stable_partition(merging_.begin(), merging_.end(),
                                            [](const Row& row) { return row.is_new; });
  const auto count = static_cast<std::size_t>(others - merging_.begin());
  if (count == 0) co_return true;
  Async<Step> saving = execute("SAVEPOINT sluice_new");
  auto done = co_await saving;
  if (!done) co_return done;
  for (std::size_t shape = 0; shape < rows.shapes.size() && done; ++shape) {
    sent_.clear();
    slices_.clear();
    gathered_.clear();
    for (std::size_t i = 0; i < count; ++i) {
      const Row& row = merging_[i];
      if (row.shape != shape) continue;
      sent_.push_back(row.record);
      gathered_.append(rows.bytes.view(row.begin, row.length));
    }
    if (sent_.empty()) continue;
    slices_.push_back(gathered_.view());
    Async<Step> copying = copy_shape(rows, plan, static_cast<std::uint16_t>(shape));
    done = co_await copying;
  }
  const bool there = !done && done.error().error.code == "23505";
  if (!done && !there) co_return done;
  Async<Step> ending = execute(there ? "ROLLBACK TO SAVEPOINT sluice_new; RELEASE sluice_new"
                                     : "RELEASE sluice_new");
  auto ended = co_await ending;
  if (!ended) co_return ended;
  if (there) {
    habit().copies_new = false;
    habit().merge_batches = habit().last_merge_batches =
        std::clamp(2 * habit().last_merge_batches, 1, kMostMergeBatches);
    co_return true;
  }
  habit().last_merge_batches = 0;
  merging_.erase(merging_.begin(), others);
  co_return true;
}

// insert_ignore: nothing is folded, the first of a key stays. Without a key any unique index may
// take two rows for one, so that they are written strictly in order, as many at once as have one
// shape.
Async<Writer::Step> Writer::merge_runs(TableRows& rows, const Plan& plan, std::size_t from,
                                       std::size_t to) {
  while (from < to) {
    merging_.clear();
    for (; from < to; ++from) {
      const Row& row = rows.rows[from];
      if (row.dead) continue;
      const bool ends =
          plan.key_columns == 0 && !merging_.empty() && merging_.back().shape != row.shape;
      if (ends) break;
      merging_.push_back(row);
    }
    if (merging_.empty()) break;
    Async<Step> merging =
        merge_staged(rows, plan, plan.key_columns == 0 ? Pick::kAll : Pick::kFirst);
    auto merged = co_await merging;
    if (!merged) co_return merged;
  }
  co_return true;
}

// only_if_newer: which of several changes of a key counts is for PostgreSQL to say. Where changes
// are whole rows that is one of them; partial ones (on_absent: keep) are written in their order.
Async<Writer::Step> Writer::merge_newer(TableRows& rows, const Plan& plan, std::size_t from,
                                        std::size_t to) {
  if (!plan.keeps) {
    merging_.clear();
    for (; from < to; ++from) {
      if (!rows.rows[from].dead) merging_.push_back(rows.rows[from]);
    }
    if (merging_.empty()) co_return true;
    Async<Step> merging = merge_staged(rows, plan, Pick::kNewest);
    auto merged = co_await merging;
    co_return merged;
  }
  std::vector<std::vector<Row>> rounds = compaction_.rounds(rows, from, to);
  for (auto& round : rounds) {
    merging_ = std::move(round);
    Async<Step> merging = merge_staged(rows, plan, Pick::kAll);
    auto merged = co_await merging;
    if (!merged) co_return merged;
  }
  co_return true;
}

// `merging_`, each shape by itself: a COPY of the columns that it has.
Async<Writer::Step> Writer::merge_shapes(TableRows& rows, const Plan& plan) {
  for (std::size_t shape = 0; shape < rows.shapes.size(); ++shape) {
    sent_.clear();
    slices_.clear();
    gathered_.clear();
    for (const Row& row : merging_) {
      if (row.shape != shape) continue;
      sent_.push_back(row.record);
      gathered_.append(rows.bytes.view(row.begin, row.length));
    }
    if (sent_.empty()) continue;
    slices_.push_back(gathered_.view());
    Async<Step> writing = stage_shape(rows, plan, static_cast<std::uint16_t>(shape));
    auto written = co_await writing;
    if (!written) co_return written;
  }
  co_return true;
}

// `merging_`, all shapes in one stage.
Async<Writer::Step> Writer::merge_staged(TableRows& rows, const Plan& plan, Pick pick) {
  sent_.clear();
  slices_.clear();
  gathered_.clear();
  for (std::size_t i = 0; i < merging_.size(); ++i) {
    append_staged(rows, plan, merging_[i], static_cast<std::int64_t>(i), gathered_);
    sent_.push_back(merging_[i].record);
  }
  slices_.push_back(gathered_.view());
  Async<Step> staging = stage_rows(rows, plan, staged_columns(plan));
  auto staged = co_await staging;
  if (!staged) co_return staged;

  const bool loose = rows.form == Form::kBinary ? plan.loose_key_binary : plan.loose_key_text;
  if (pick == Pick::kAll && plan.key_columns > 0 && loose && merging_.size() > 1) {
    Async<tl::expected<Rows, Failed>> asking = ask(twice_sql(plan));
    auto twice = co_await asking;
    if (!twice) co_return tl::unexpected(twice.error());
    if (twice->size() > 0) {
      Failed failed;
      failed.error = fail(Domain::kPostgres, "21000", "one key in two spellings").value();
      failed.phase = Phase::kWrite;
      co_return tl::unexpected(std::move(failed));
    }
  }
  if (plan.mirror) {
    Async<Step> noting = note_incomplete(rows, plan);
    auto noted = co_await noting;
    if (!noted) co_return noted;
  }
  // What only an insert sets comes from the first message of a key, the rest from the newest.
  if (pick == Pick::kNewest && plan.insert_only) {
    Async<tl::expected<std::int64_t, Failed>> inserting =
        merge_each(rows, plan, {.pick = Pick::kFirst, .only_new = true});
    auto inserted = co_await inserting;
    if (!inserted) co_return tl::unexpected(inserted.error());
  }
  Async<tl::expected<std::int64_t, Failed>> merging = merge_each(rows, plan, {.pick = pick});
  auto changed = co_await merging;
  if (!changed) co_return tl::unexpected(changed.error());
  const auto count = static_cast<std::int64_t>(merging_.size());
  if (plan.write == task::Write::kInsertIgnore)
    ignored_ += std::max<std::int64_t>(0, count - *changed);
  if (plan.write != task::Write::kUpdate || *changed == count) co_return true;
  Async<tl::expected<Rows, Failed>> asking = ask(missing_sql(plan));
  auto missing = co_await asking;
  if (!missing) co_return tl::unexpected(missing.error());
  for (int i = 0; i < missing->size(); ++i) {
    const auto row = static_cast<std::size_t>(missing->integer(i, 0));
    ignored_ += plan.newer >= 0 ? 1 : compaction_.messages()[row];
  }
  co_return true;
}

// Which one it is, isolation finds.
tl::unexpected<Writer::Failed> Writer::missing_row(const Plan& plan) {
  message::Problem problem;
  problem.code = message::ProblemCode::kMissingRow;
  problem.detail = "of " + plan.target;
  return tl::unexpected(Failed{message::to_error(problem), Phase::kWrite, std::nullopt});
}

// The statement of each shape among `merging_`, which is staged. Returns the rows they changed.
Async<tl::expected<std::int64_t, Writer::Failed>> Writer::merge_each(const TableRows& rows,
                                                                     const Plan& plan,
                                                                     Staged staged) {
  std::vector<bool> used(rows.shapes.size());
  for (const Row& row : merging_) used[row.shape] = true;
  std::int64_t changed = 0;
  for (std::size_t shape = 0; shape < used.size(); ++shape) {
    if (!used[shape]) continue;
    staged.shape = static_cast<std::uint16_t>(shape);
    staged.only_existing = rows.shapes[shape].only_existing;
    std::string sql = merge_sql(plan, rows.shapes[shape].states, staged);
    if (sql.empty()) continue;
    Async<tl::expected<Rows, Failed>> merging = ask(std::move(sql));
    auto merged = co_await merging;
    if (!merged) co_return tl::unexpected(merged.error());
    changed += merged->affected();
    const auto of_shape = std::ranges::count(merging_, shape, &Row::shape);
    if (!rows.shapes[shape].must_exist || merged->affected() == of_shape) continue;
    if (plan.newer < 0) co_return missing_row(plan);
    Async<tl::expected<Rows, Failed>> asking = ask(missing_sql(plan, staged.shape));
    auto missing = co_await asking;
    if (!missing) co_return tl::unexpected(missing.error());
    if (missing->size() > 0) co_return missing_row(plan);
  }
  co_return changed;
}

}  // namespace sluice::sink
