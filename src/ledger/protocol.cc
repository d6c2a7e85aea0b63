#include "ledger/protocol.h"

#include <algorithm>

#include "base/result.h"

namespace sluice::ledger {
namespace {

// Rows come from one SELECT over the batch's keys: a key that is not among them has no row.
const Found* find(const std::vector<Found>& rows, const Key& key) {
  const auto row =
      std::find_if(rows.begin(), rows.end(), [&](const Found& found) { return found.key == key; });
  return row == rows.end() || !row->exists ? nullptr : &*row;
}

Decision stop_with(Verdict verdict, const Key& key) {
  Decision decision;
  decision.kind = Decision::Kind::kStop;
  decision.verdict = verdict;
  decision.key = key;
  return decision;
}

Verdict verdict_of_position(std::int64_t found, std::int64_t expected) {
  if (found == expected) return Verdict::kExpected;
  return found > expected ? Verdict::kAhead : Verdict::kBehind;
}

}  // namespace

std::string_view name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kExpected:
      return "expected";
    case Verdict::kAhead:
      return "ledger_ahead";
    case Verdict::kBehind:
      return "ledger_behind";
    case Verdict::kFenced:
      return "fenced";
    case Verdict::kLost:
      return "ledger_lost";
    case Verdict::kGoneBack:
      return "ledger_gone_back";
  }
  return "expected";
}

CommitAnswer classify_commit(std::string_view tag, std::string_view severity,
                             std::string_view sqlstate) {
  if (tag == "COMMIT") return CommitAnswer::kCommitted;
  if (!tag.empty()) return CommitAnswer::kRolledBack;
  if (severity != "ERROR" || sqlstate.size() != 5) return CommitAnswer::kUnknown;
  for (const std::string_view uncertain : {"08", "57P", "58", "XX"}) {
    if (sqlstate.starts_with(uncertain)) return CommitAnswer::kUnknown;
  }
  return CommitAnswer::kRolledBack;
}

std::optional<std::int64_t> LaneProtocol::position(const Key& key) const {
  const auto found = positions_.find(key);
  if (found == positions_.end()) return std::nullopt;
  return found->second;
}

Decision LaneProtocol::assigned(const Found& row) {
  if (state_ == State::kStopped) return stopped_;
  if (!row.exists) return stop(stop_with(Verdict::kLost, row.key));
  if (row.epoch > epoch_) return stop(stop_with(Verdict::kFenced, row.key));
  if (row.epoch < epoch_) return stop(stop_with(Verdict::kGoneBack, row.key));
  // An assignment that comes twice without a revocation between replaces the position as well: a
  // batch in flight must then not move it.
  if (positions_.contains(row.key)) revoked(row.key);
  positions_[row.key] = row.next_offset;
  Decision decision;
  decision.key = row.key;
  decision.positions[row.key] = row.next_offset;
  return decision;
}

void LaneProtocol::revoked(const Key& key) {
  positions_.erase(key);
  const bool in_flight = std::any_of(batch_.begin(), batch_.end(),
                                     [&](const Range& range) { return range.key == key; });
  if (in_flight) detached_.insert(key);
}

void LaneProtocol::begin(std::vector<Range> batch) {
  SLUICE_CHECK(state_ == State::kIdle);
  SLUICE_CHECK(!batch.empty());
  std::sort(batch.begin(), batch.end());
  for (std::size_t i = 0; i < batch.size(); ++i) {
    SLUICE_CHECK(i == 0 || batch[i - 1].key < batch[i].key);
    SLUICE_CHECK(position(batch[i].key) == batch[i].from);
    SLUICE_CHECK(batch[i].from <= batch[i].to);
  }
  batch_ = std::move(batch);
  state_ = State::kLocking;
}

Decision LaneProtocol::locked(std::int64_t task_epoch, const std::vector<Found>& rows) {
  if (state_ == State::kStopped) return stopped_;
  SLUICE_CHECK(state_ == State::kLocking);
  if (auto verdict = verdict_of_epochs(task_epoch, rows)) return stop(std::move(*verdict));
  // Also of a partition that was revoked meanwhile: its rows are in the batch, so it must match.
  const bool expected = std::all_of(batch_.begin(), batch_.end(), [&](const Range& range) {
    return find(rows, range.key)->next_offset == range.from;
  });
  if (!expected) return reposition(rows);
  state_ = State::kWriting;
  return {};
}

void LaneProtocol::cut(const Key& key, std::int64_t to) {
  SLUICE_CHECK(state_ == State::kWriting);
  const auto range = std::find_if(batch_.begin(), batch_.end(),
                                  [&](const Range& candidate) { return candidate.key == key; });
  SLUICE_CHECK(range != batch_.end());
  SLUICE_CHECK(range->from <= to && to <= range->to);
  range->to = to;
}

void LaneProtocol::commit_sent() {
  SLUICE_CHECK(state_ == State::kWriting);
  state_ = State::kCommitting;
}

Decision LaneProtocol::commit_answered(CommitAnswer answer) {
  if (state_ == State::kStopped) return stopped_;
  SLUICE_CHECK(state_ == State::kCommitting);
  switch (answer) {
    case CommitAnswer::kCommitted:
      return done();
    case CommitAnswer::kRolledBack:
      return not_applied();
    case CommitAnswer::kUnknown:
      break;
  }
  state_ = State::kInDoubt;
  return {};
}

Decision LaneProtocol::connection_lost() {
  switch (state_) {
    case State::kIdle:
    case State::kInDoubt:
      return {};
    case State::kStopped:
      return stopped_;
    case State::kCommitting:
      return commit_answered(CommitAnswer::kUnknown);
    case State::kLocking:
    case State::kWriting:
      break;
  }
  return not_applied();
}

Decision LaneProtocol::resolved(std::int64_t task_epoch, const std::vector<Found>& rows) {
  if (state_ == State::kStopped) return stopped_;
  SLUICE_CHECK(state_ == State::kInDoubt);
  if (auto verdict = verdict_of_epochs(task_epoch, rows)) return stop(std::move(*verdict));
  return judge_in_doubt(rows);
}

void LaneProtocol::abandon() {
  if (state_ == State::kStopped) return;
  end_batch();
}

std::optional<Decision> LaneProtocol::verdict_of_epochs(std::int64_t task_epoch,
                                                        const std::vector<Found>& rows) const {
  const Key& first = batch_.front().key;
  if (task_epoch == 0) return stop_with(Verdict::kLost, first);
  // The epoch before missing rows: a reset to other topics removes rows rightly.
  if (task_epoch > epoch_) return stop_with(Verdict::kFenced, first);
  if (task_epoch < epoch_) return stop_with(Verdict::kGoneBack, first);
  for (const Range& range : batch_) {
    const Found* row = find(rows, range.key);
    if (row == nullptr) return stop_with(Verdict::kLost, range.key);
    if (row->epoch > epoch_) return stop_with(Verdict::kFenced, range.key);
    if (row->epoch < epoch_) return stop_with(Verdict::kGoneBack, range.key);
  }
  return std::nullopt;
}

// One transaction moved all rows or none. A partition that was revoked since may have been moved on
// by its new owner, so those still ours speak for the batch; if none is ours, all must agree.
Decision LaneProtocol::judge_in_doubt(const std::vector<Found>& rows) {
  const bool none_is_ours = detached_.size() == batch_.size();
  bool all_at_end = true;
  bool all_at_start = true;
  for (const Range& range : batch_) {
    if (!none_is_ours && detached_.contains(range.key)) continue;
    const std::int64_t next = find(rows, range.key)->next_offset;
    all_at_end = all_at_end && next == range.to;
    all_at_start = all_at_start && next == range.from;
  }
  if (all_at_end) return done();
  if (all_at_start) return not_applied();
  return reposition(rows);
}

Decision LaneProtocol::done() {
  Decision decision;
  decision.kind = Decision::Kind::kDone;
  for (const Range& range : batch_) {
    if (detached_.contains(range.key)) continue;
    positions_[range.key] = range.to;
    decision.positions[range.key] = range.to;
  }
  end_batch();
  return decision;
}

// The same ranges again; but not those that are no longer ours: then the batch is dropped, and the
// rest of it is read again.
Decision LaneProtocol::not_applied() {
  Decision decision;
  decision.kind = detached_.empty() ? Decision::Kind::kRetry : Decision::Kind::kReposition;
  for (const Range& range : batch_) {
    if (!detached_.contains(range.key)) decision.positions[range.key] = range.from;
  }
  end_batch();
  return decision;
}

Decision LaneProtocol::reposition(const std::vector<Found>& rows) {
  Decision decision;
  decision.kind = Decision::Kind::kReposition;
  for (const Range& range : batch_) {
    const std::int64_t next = find(rows, range.key)->next_offset;
    const Verdict verdict = verdict_of_position(next, range.from);
    // The worst one decides: behind is an event, ahead is not.
    if (verdict != Verdict::kExpected && decision.verdict != Verdict::kBehind &&
        decision.verdict != verdict) {
      decision.verdict = verdict;
      decision.key = range.key;
    }
    if (detached_.contains(range.key)) continue;
    positions_[range.key] = next;
    decision.positions[range.key] = next;
  }
  end_batch();
  return decision;
}

Decision LaneProtocol::stop(Decision decision) {
  end_batch();
  state_ = State::kStopped;
  positions_.clear();
  stopped_ = decision;
  return decision;
}

void LaneProtocol::end_batch() {
  batch_.clear();
  detached_.clear();
  state_ = State::kIdle;
}

}  // namespace sluice::ledger
