#include "sink/writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/fail_point.h"
#include "base/log.h"
#include "sink/target_lock.h"

namespace sluice::sink {

using postgres::Connection;
using postgres::Rows;
using std::chrono::steady_clock;

namespace {

std::vector<ledger::Range> ranges_of(const Batch& batch) {
  std::vector<ledger::Range> ranges;
  ranges.reserve(batch.partitions.size());
  for (const auto& range : batch.partitions) ranges.push_back({range.key, range.from, range.to});
  std::sort(ranges.begin(), ranges.end(),
            [](const auto& a, const auto& b) { return a.key < b.key; });
  return ranges;
}

Outcome stop(Error error, Phase phase) {
  Outcome outcome;
  outcome.kind = Outcome::Kind::kStop;
  outcome.failure = FailureClass::kFatal;
  outcome.error = std::move(error);
  outcome.phase = phase;
  return outcome;
}

Outcome from_decision(ledger::Decision decision) {
  Outcome outcome;
  outcome.kind = decision.kind == ledger::Decision::Kind::kStop ? Outcome::Kind::kStop
                                                                : Outcome::Kind::kReposition;
  outcome.failure = FailureClass::kFatal;
  outcome.decision = std::move(decision);
  return outcome;
}

// Without a ledger there is nothing to compare with.
std::vector<ledger::Found> as_the_caller_says(const std::vector<ledger::Range>& ranges,
                                              std::int64_t epoch) {
  std::vector<ledger::Found> rows;
  rows.reserve(ranges.size());
  for (const auto& range : ranges) rows.push_back({range.key, true, range.from, epoch});
  return rows;
}

// The group's offsets in Kafka outlive a crash of the server: so must the rows.
constexpr std::size_t kMostOrders = 8;

constexpr std::string_view kDurable =
    ", CASE current_setting('synchronous_commit') WHEN 'off' THEN "
    "set_config('synchronous_commit', 'on', true) END";

Error ledger_lost(const ledger::Handle& handle) {
  return fail(Domain::kLedger, "ledger_lost",
              fmt::format("the row of task \"{}\" in {}.task is gone", handle.task, handle.schema),
              "Somebody deleted the task or restored an older copy of the target. Restore its "
              "ledger, or start again with --reset.")
      .value();
}

}  // namespace

Writer::Writer(WriterConfig config) : config_(std::move(config)) {}

void Writer::drop() {
  connection_.close();
  rescue_.close();
  rescuing_ = false;
  awaiting_commit_ = false;
}

Outcome Writer::retry(Error error, Phase phase) {
  Outcome outcome;
  outcome.kind = Outcome::Kind::kRetry;
  outcome.failure = config_.classify(error, phase);
  outcome.phase = phase;
  if (outcome.failure == FailureClass::kFatal) outcome.kind = Outcome::Kind::kStop;
  outcome.error = std::move(error);
  return outcome;
}

Async<Result<bool>> Writer::connect() {
  if (connection_.is_open()) co_return true;
  connection_ = Connection();
  places_.clear();
  for (auto& habits : habits_) habits.stage_ddl.clear();
  auto conninfo = config_.conninfo();
  if (!conninfo) co_return fail(conninfo.error());
  std::string name = ledger::application_name(config_.handle, config_.instance);
  connection_.set_deadline(std::nullopt);
  Async<Result<bool>> connecting =
      connection_.connect(std::move(*conninfo), std::move(name), config_.connect_timeout);
  auto connected = co_await connecting;
  if (connected) ++connects_;
  co_return connected;
}

Async<bool> Writer::roll_back() {
  if (!connection_.is_open()) co_return true;
  connection_.set_deadline(steady_clock::now() + kServerPatience);
  std::string sql = "ROLLBACK";
  Async<Result<std::vector<Rows>>> rolling = connection_.query(std::move(sql));
  auto done = co_await rolling;
  if (!done) connection_.close();
  co_return true;
}

// After a lock timeout on ledger rows: a frozen process may hold them for ever.
Async<bool> Writer::end_stopped_holder(std::vector<ledger::Key> keys) {
  auto conninfo = config_.conninfo();
  if (!conninfo) co_return false;
  rescue_ = Connection();
  rescuing_ = true;
  std::string name = ledger::application_name(config_.handle, config_.instance);
  Async<Result<bool>> connecting =
      rescue_.connect(std::move(*conninfo), std::move(name), config_.connect_timeout);
  auto connected = co_await connecting;
  bool ended = false;
  if (connected) {
    rescue_.set_deadline(steady_clock::now() + kServerPatience);
    Async<Result<bool>> ending =
        ledger::end_stopped_holder(rescue_, config_.handle, std::move(keys));
    auto result = co_await ending;
    if (!result) {
      log::warning("cannot end the session that holds the ledger",
                   {{"task", config_.handle.task},
                    {"sqlstate", result.error().code},
                    {"remedy", result.error().remedy}});
    }
    ended = result && *result;
  }
  rescue_.close();
  rescuing_ = false;
  if (ended)
    log::warning("ended a stopped session that held the ledger", {{"task", config_.handle.task}});
  co_return ended;
}

Async<Result<Writer::Positions>> Writer::read_positions(std::vector<ledger::Key> keys) {
  Async<Result<bool>> connecting = connect();
  auto connected = co_await connecting;
  if (!connected) co_return fail(connected.error());
  std::vector<ledger::Range> ranges;
  for (const auto& key : keys) ranges.push_back({key, 0, 0});
  std::sort(ranges.begin(), ranges.end(),
            [](const auto& a, const auto& b) { return a.key < b.key; });
  connection_.set_deadline(steady_clock::now() + kServerPatience);
  std::string sql = "BEGIN ISOLATION LEVEL READ COMMITTED; " +
                    std::string(Connection::own_timeouts()) +
                    ledger::lock_sql(config_.handle, ranges) + "; ROLLBACK";
  Async<Result<std::vector<Rows>>> reading = connection_.query(std::move(sql));
  auto rows = co_await reading;
  if (!rows) {
    Error error = rows.error();
    Async<bool> rolling = roll_back();
    co_await rolling;
    if (error.code == "55P03") {
      Async<bool> ending = end_stopped_holder(std::move(keys));
      co_await ending;
    }
    co_return fail(std::move(error));
  }
  const ledger::Locked locked = ledger::read_locked((*rows)[2], (*rows)[3], ranges);
  Positions positions;
  positions.task_exists = locked.task_exists;
  positions.task_epoch = locked.task_epoch;
  positions.rows = locked.rows;
  co_return positions;
}

Async<Result<postgres::TableInfo>> Writer::read_table(postgres::TableName name, bool may_make) {
  Async<Result<bool>> connecting = connect();
  auto connected = co_await connecting;
  if (!connected) co_return fail(connected.error());
  connection_.set_deadline(steady_clock::now() + kServerPatience);
  Async<Result<postgres::TableInfo>> reading =
      may_make ? find_table(connection_, std::move(name), config_.handle.schema)
               : postgres::read_table(connection_, std::move(name));
  auto table = co_await reading;
  co_return table;
}

Async<Result<bool>> Writer::add_partitions(std::int64_t epoch,
                                           std::map<std::string, ledger::TopicState> topics,
                                           std::map<ledger::Key, std::int64_t> start) {
  Async<Result<bool>> connecting = connect();
  auto connected = co_await connecting;
  if (!connected) co_return fail(connected.error());
  connection_.set_deadline(steady_clock::now() + kServerPatience);
  Async<Result<bool>> adding = ledger::add_partitions(connection_, config_.handle, epoch,
                                                      std::move(topics), std::move(start));
  auto added = co_await adding;
  co_return added;
}

Async<Outcome> Writer::apply(Batch& batch, Records& records, ledger::LaneProtocol& protocol,
                             Breaker& breaker, Tally& tally) {
  Async<Result<bool>> connecting = connect();
  auto connected = co_await connecting;
  if (!connected) co_return retry(connected.error(), Phase::kConnect);

  if (protocol.state() == ledger::State::kInDoubt) {
    Async<Outcome> settling = settle_doubt(ranges_of(batch), protocol);
    auto settled = co_await settling;
    const bool again = settled.kind == Outcome::Kind::kRetry && settled.error.code.empty();
    if (!again) co_return settled;
    restore(batch, breaker);  // not applied, and now known: once more, from the same
  } else {
    remember(batch, breaker);
  }

  Outcome outcome;
  hint_.reset();
  for (const Care care : {Care::kNone, Care::kRows, Care::kPieces}) {
    if (care == Care::kPieces) restore(batch, breaker);
    Async<Outcome> trying = attempt(batch, records, protocol, breaker, tally, care);
    outcome = co_await trying;
    // Rows that others refer to are in a table behind theirs: next time it comes before.
    for (std::size_t i = 1; care == Care::kNone && i < batch.tables.size() && i < kMostOrders;
         ++i) {
      if (outcome.error.code != "23503" || outcome.failure != FailureClass::kData) break;
      std::erase(last_tables_, writing_);
      last_tables_.push_back(writing_);
      restore(batch, breaker);
      trying = attempt(batch, records, protocol, breaker, tally, care);
      outcome = co_await trying;
    }
    if (outcome.kind != Outcome::Kind::kRetry || outcome.failure != FailureClass::kData) break;
  }
  if (outcome.kind == Outcome::Kind::kRetry && protocol.state() == ledger::State::kIdle) {
    restore(batch, breaker);
  }
  co_return outcome;
}

void Writer::remember(const Batch& batch, const Breaker& breaker) {
  before_.failures = batch.failures;
  before_.cuts.clear();
  for (const auto& range : batch.partitions) before_.cuts.push_back(range.cut);
  before_.breaker = breaker;
}

void Writer::restore(Batch& batch, Breaker& breaker) const {
  batch.failures = before_.failures;
  for (std::size_t i = 0; i < before_.cuts.size(); ++i) {
    batch.partitions[i].cut = before_.cuts[i];
    batch.partitions[i].waits_for.reset();
  }
  for (auto& table : batch.tables) {
    for (auto& row : table.rows) row.dead = false;
  }
  breaker = *before_.breaker;
}

// The last COMMIT was never answered: what do the ledger rows say, now that its backend is gone?
Async<Outcome> Writer::settle_doubt(std::vector<ledger::Range> ranges,
                                    ledger::LaneProtocol& protocol) {
  Result<Positions> positions;
  if (config_.ledger) {
    std::vector<ledger::Key> keys;
    for (const auto& range : ranges) keys.push_back(range.key);
    Async<Result<Positions>> reading = read_positions(std::move(keys));
    positions = co_await reading;
  } else {
    positions = Positions{true, protocol.epoch(), as_the_caller_says(ranges, protocol.epoch())};
  }
  if (!positions) co_return retry(positions.error(), Phase::kOpen);
  if (!positions->task_exists) co_return stop(ledger_lost(config_.handle), Phase::kOpen);
  ledger::Decision decision = protocol.resolved(positions->task_epoch, positions->rows);
  log::info(
      "settled a commit that nobody answered",
      {{"task", config_.handle.task}, {"applied", decision.kind == ledger::Decision::Kind::kDone}});
  Outcome outcome;
  switch (decision.kind) {
    case ledger::Decision::Kind::kDone:
      outcome.kind = Outcome::Kind::kApplied;
      co_return outcome;
    case ledger::Decision::Kind::kGo:
    case ledger::Decision::Kind::kRetry:
      outcome.kind = Outcome::Kind::kRetry;  // without an error: apply() goes on at once
      co_return outcome;
    case ledger::Decision::Kind::kReposition:
    case ledger::Decision::Kind::kStop:
      break;
  }
  co_return from_decision(std::move(decision));
}

// BEGIN and the settings that decide how values are read, or that bound what may wait. Ends with a
// semicolon; two results. `by_index`: joins of a stage and the table go by the key's index, not by
// reading the table.
std::string Writer::begin_sql(bool by_index, const std::string& time_zone) const {
  return fmt::format(
      "BEGIN ISOLATION LEVEL READ COMMITTED; "
      "SELECT set_config('lock_timeout', '5s', true), "
      "set_config('statement_timeout', '{}', true), "
      "{}, "
      "set_config('enable_hashjoin', '{}', true), set_config('enable_mergejoin', '{}', true), "
      "{}{}; ",
      config_.statement_timeout.count(), Connection::idle_timeout("30s"), by_index ? "off" : "on",
      by_index ? "off" : "on", reading_settings(time_zone), config_.ledger ? "" : kDurable);
}

// BEGIN, settings, locks, positions, signature: one round trip.
Async<Result<bool>> Writer::open(const Batch& batch, const std::vector<std::size_t>& used,
                                 std::int64_t epoch, ledger::Locked& locked,
                                 std::optional<std::size_t>& altered) {
  const std::vector<ledger::Range> ranges = ranges_of(batch);
  const bool by_index = std::ranges::any_of(used, [&](std::size_t number) {
    const Plan& plan = *batch.tables[number].plan;
    return plan.deletes || plan.write == task::Write::kUpdate ||
           (plan.way == Way::kStageMerge && !plan.on_conflict);
  });
  // Of a task all tables have one time zone.
  const std::string begin =
      begin_sql(by_index, used.empty() ? "UTC" : batch.tables[used.front()].plan->time_zone);
  if (!config_.ledger) {
    connection_.set_deadline(steady_clock::now() + config_.statement_timeout + kServerPatience);
    Async<Result<std::vector<Rows>>> opening = connection_.query(begin + lock_sql(batch, used));
    auto results = co_await opening;
    if (!results) co_return fail(results.error());
    locked.task_exists = true;
    locked.task_epoch = epoch;
    locked.rows = as_the_caller_says(ranges, epoch);
    altered = altered_among(batch, used, *results);
    co_return true;
  }
  while (true) {
    const bool by_place = !places_.empty();
    std::string sql = begin;
    sql += ledger::lock_sql(config_.handle, ranges, places_);
    if (!used.empty()) sql += "; " + lock_sql(batch, used);
    connection_.set_deadline(steady_clock::now() + config_.statement_timeout + kServerPatience);
    Async<Result<std::vector<Rows>>> opening = connection_.query(std::move(sql));
    auto results = co_await opening;
    if (!results) co_return fail(results.error());
    const std::vector<Rows>& rows = *results;
    locked = ledger::read_locked(rows[2], rows[3], ranges);
    altered = altered_among(batch, used, rows);
    if (locked.complete() || !by_place) break;
    // Somebody else moved a row: by their keys then, and in the order of locks from the beginning.
    places_.clear();
    Async<bool> rolling = roll_back();
    co_await rolling;
  }
  for (auto& [key, place] : locked.places) places_[key] = std::move(place);
  co_return true;
}

Async<Outcome> Writer::attempt(Batch& batch, Records& records, ledger::LaneProtocol& protocol,
                               Breaker& breaker, Tally& tally, Care care) {
  Async<Result<bool>> connecting = connect();  // a failed attempt may have lost it
  auto connected = co_await connecting;
  if (!connected) co_return retry(connected.error(), Phase::kConnect);
  const std::vector<std::size_t> used = used_tables(batch);
  writing_ = used.empty() ? 0 : used.front();
  Async<Step> preparing = prepare_stages(batch, used, /*stay=*/true);
  Step written = co_await preparing;
  if (!written) {
    Outcome outcome = retry(written.error().error, written.error().phase);
    outcome.tables = used;
    co_return outcome;
  }

  protocol.begin(ranges_of(batch));
  ledger::Locked locked;
  std::optional<std::size_t> altered;
  Async<Result<bool>> opening = open(batch, used, protocol.epoch(), locked, altered);
  auto opened = co_await opening;
  if (!opened) {
    protocol.connection_lost();
    Async<bool> rolling = roll_back();
    co_await rolling;
    if (opened.error().code == "55P03" && config_.ledger) {
      std::vector<ledger::Key> keys;
      for (const auto& range : batch.partitions) keys.push_back(range.key);
      Async<bool> ending = end_stopped_holder(std::move(keys));
      co_await ending;
    }
    Outcome outcome = retry(opened.error(), Phase::kOpen);
    outcome.tables = used;
    co_return outcome;
  }
  Outcome verdict;
  bool go = false;
  if (!locked.task_exists) {
    protocol.connection_lost();
    verdict = stop(ledger_lost(config_.handle), Phase::kOpen);
  } else {
    ledger::Decision decision = protocol.locked(locked.task_epoch, locked.rows);
    go = decision.kind == ledger::Decision::Kind::kGo;
    if (!go) verdict = from_decision(std::move(decision));
  }
  if (go && altered) {
    protocol.connection_lost();
    go = false;
    verdict.kind = Outcome::Kind::kRetry;
    verdict.failure = FailureClass::kPlan;
    verdict.tables = {*altered};
    verdict.error = fail(Domain::kPostgres, "signature",
                         fmt::format("{} was altered, or another table has its name",
                                     batch.tables[*altered].plan->target))
                        .value();
  }
  if (!go) {
    Async<bool> rolling = roll_back();
    co_await rolling;
    co_return verdict;
  }

  ignored_ = 0;
  incomplete_ = {};
  swept_.reset();
  may_wait_.clear();
  for (const auto& range : batch.partitions) may_wait_.push_back(range.may_wait);
  for (const std::size_t number : used) {
    Habits& habits = habits_[number];
    habits.copies_new = care == Care::kNone && habits.merge_batches == 0;
    if (care == Care::kNone && habits.merge_batches > 0) --habits.merge_batches;
  }
  preparing = prepare_stages(batch, used, /*stay=*/false);
  written = co_await preparing;
  if (!written) {  // below
  } else if (care != Care::kNone) {
    Async<Step> writing = write_isolated(batch, records, breaker, care);
    written = co_await writing;
  } else {
    Async<Step> writing = write_records(batch, 0, batch.record_partitions.size());
    written = co_await writing;
    if (!written) hint_ = written.error().record;
  }
  if (written && config_.on_failure == task::OnFailure::kDeliver && !batch.failures.empty()) {
    Async<Step> burying = write_dead_letters(batch, records);
    written = co_await burying;
  }
  if (!written) {
    protocol.connection_lost();
    Async<bool> rolling = roll_back();
    co_await rolling;
    if (written.error().error.code == "breaker") {
      co_return stop(written.error().error, written.error().phase);
    }
    Outcome outcome = retry(written.error().error, written.error().phase);
    if (!used.empty()) outcome.tables = {writing_};
    // One statement met a key twice in two spellings: single rows cannot.
    if (care == Care::kNone && outcome.error.code == "21000") {
      outcome.kind = Outcome::Kind::kRetry;
      outcome.failure = FailureClass::kData;
    }
    co_return outcome;
  }
  Async<Outcome> committing = commit(batch, records, protocol, tally);
  auto outcome = co_await committing;
  outcome.tables = used;
  co_return outcome;
}

Async<Outcome> Writer::commit(Batch& batch, Records& records, ledger::LaneProtocol& protocol,
                              Tally& tally) {
  tally = {};
  struct Counts {
    std::int64_t applied = 0, failed = 0;
  };
  std::vector<Counts> counts(batch.partitions.size());
  for (const auto& table : batch.tables) {
    for (const auto& row : table.rows) {
      if (row.dead || row.operation == Operation::kSweep) continue;
      ++counts[row.partition].applied;
      count(row, tally);
    }
  }
  for (const auto& failure : batch.failures) ++counts[failure.partition].failed;
  const bool retain = config_.on_failure == task::OnFailure::kRetain;
  const bool deliver = config_.on_failure == task::OnFailure::kDeliver;
  std::vector<ledger::Move> moves;
  for (std::size_t i = 0; i < batch.partitions.size(); ++i) {
    const PartitionRange& range = batch.partitions[i];
    ledger::Move move{.key = range.key, .from = range.from, .to = range.to};
    move.last_offset = range.last_offset;
    move.last_timestamp_ms = range.last_timestamp_ms;
    std::size_t last = range.last_record;
    if (range.cut >= 0) {
      SLUICE_CHECK(retain || batch.stop || range.waits_for);
      move.to = range.cut;
      move.last_offset = -1;
      for (std::size_t r = 0; r < batch.record_partitions.size(); ++r) {
        if (batch.record_partitions[r] != i) continue;
        const message::Message message = records.at(r);
        if (message.offset >= range.cut) break;
        move.last_offset = message.offset;
        move.last_timestamp_ms = message.timestamp_ms;
        last = r;
      }
      protocol.cut(range.key, range.cut);
    }
    if (move.last_offset >= 0) {
      const message::Message message = records.at(last);
      move.last_crc32c = ledger::record_crc32c(message.key, message.value);
    }
    const std::int64_t ignored = !range.waits_for       ? range.ignored
                                 : move.last_offset < 0 ? 0
                                                        : batch.ignored_until(i, last);
    move.applied = counts[i].applied + ignored;
    if (!retain) (deliver ? move.dead : move.discarded) = counts[i].failed;
    tally.ignored += ignored;
    tally.discarded += move.discarded;
    tally.dead += move.dead;
    if (move.to > move.from && config_.ledger) moves.push_back(std::move(move));
  }
  tally.written -= ignored_;
  tally.ignored += ignored_;
  tally.incomplete = incomplete_;
  tally.swept = swept_;
  if (retain) {
    for (const auto& failure : batch.failures) {
      const std::int64_t offset = records.at(failure.record).offset;
      if (batch.partitions[failure.partition].cut != offset) continue;
      tally.cuts.push_back({failure.partition, offset, failure.error});
    }
  }
  std::sort(moves.begin(), moves.end(), [](const auto& a, const auto& b) { return a.key < b.key; });

  if (SLUICE_FAIL_POINT("before_ledger")) connection_.close();
  std::string sql = "SET CONSTRAINTS ALL IMMEDIATE; ";
  if (!moves.empty()) {
    sql += ledger::move_sql(config_.handle, protocol.epoch(), moves, places_) + "; ";
  }
  ledger::Places moved_to;
#ifdef SLUICE_FAIL_POINTS
  // Two round trips in a build for tests, so that there is a moment between ledger and COMMIT.
  connection_.set_deadline(steady_clock::now() + config_.statement_timeout + kServerPatience);
  Async<Result<std::vector<Rows>>> moving = connection_.query(std::move(sql));
  auto moved = co_await moving;
  sql.clear();
  if (!moved) {
    protocol.connection_lost();
    Async<bool> rolling = roll_back();
    co_await rolling;
    co_return retry(moved.error(), moved.error().code == "22012" ? Phase::kMove : Phase::kWrite);
  }
  if (!moves.empty()) moved_to = ledger::read_moved(moved->back(), moves);
  if (SLUICE_FAIL_POINT("after_ledger")) connection_.close();
  if (SLUICE_FAIL_POINT("before_commit")) connection_.close();
#endif
  sql += "COMMIT";
  connection_.set_deadline(steady_clock::now() + config_.statement_timeout + kServerPatience);
  protocol.commit_sent();
  awaiting_commit_ = true;
  Async<Result<std::vector<Rows>>> committing = connection_.query(std::move(sql));
  auto committed = co_await committing;
  awaiting_commit_ = false;

  ledger::CommitAnswer answer = ledger::CommitAnswer::kUnknown;
  if (committed) {
    answer = ledger::classify_commit(committed->back().tag(), {}, {});
  } else {
    const Error& error = committed.error();
    answer = ledger::classify_commit({}, error.severity, error.code.size() == 5 ? error.code : "");
  }
  const ledger::Decision decision = protocol.commit_answered(answer);
  Outcome outcome;
  if (decision.kind == ledger::Decision::Kind::kDone) {
#ifndef SLUICE_FAIL_POINTS
    if (!moves.empty()) moved_to = ledger::read_moved((*committed)[committed->size() - 2], moves);
#endif
    for (auto& [key, place] : moved_to) places_[key] = std::move(place);
    outcome.kind = Outcome::Kind::kApplied;
    co_return outcome;
  }
  Error error = committed ? fail(Domain::kPostgres, "25P02",
                                 "PostgreSQL answered COMMIT with ROLLBACK: a statement had failed")
                                .value()
                          : committed.error();
  if (protocol.state() == ledger::State::kInDoubt) {
    connection_.close();
    outcome = retry(std::move(error), Phase::kCommit);
    outcome.kind = Outcome::Kind::kRetry;
    outcome.failure = FailureClass::kInDoubt;
    co_return outcome;
  }
  Async<bool> rolling = roll_back();
  co_await rolling;
  const Phase phase = error.code == "22012" ? Phase::kMove
                      : committed           ? Phase::kCommit
                                            : Phase::kWrite;
  co_return retry(std::move(error), phase);
}

}  // namespace sluice::sink
