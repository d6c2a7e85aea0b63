// The part of Writer that writes apart from positions: rehearse and replay.
#include <fmt/format.h>

#include <algorithm>

#include "sink/target_lock.h"
#include "sink/writer.h"

namespace sluice::sink {

using postgres::Connection;
using postgres::Rows;
using std::chrono::steady_clock;

namespace {

std::string_view wal_position(const Connection& connection) {
  return connection.server_version() < 100000 ? "pg_current_xlog_insert_location"
                                              : "pg_current_wal_insert_lsn";
}

}  // namespace

Async<Result<bool>> Writer::begin_apart(const task::Task& task) {
  SLUICE_CHECK(config_.on_failure == task::OnFailure::kDiscard && !apart_);
  Async<Result<bool>> connecting = connect();
  auto connected = co_await connecting;
  if (!connected) co_return connected;
  connection_.set_deadline(steady_clock::now() + config_.statement_timeout + kServerPatience);
  // Kafka may be slow to bring the next batch.
  std::string sql = fmt::format("{}SELECT {}; SELECT {}()", begin_sql(true, task.sync.time_zone),
                                Connection::idle_timeout("120s"), wal_position(connection_));
  Async<Result<std::vector<Rows>>> opening = connection_.query(std::move(sql));
  auto opened = co_await opening;
  if (!opened) co_return fail(opened.error());
  apart_from_ = opened->back().text(0, 0);
  apart_of_.clear();
  apart_.emplace();
  co_return true;
}

Async<Result<bool>> Writer::write_apart(Batch& batch, const Records& records) {
  SLUICE_CHECK(apart_.has_value());
  std::vector<std::size_t> met;  // for the first time in this transaction
  for (const std::size_t number : used_tables(batch)) {
    if (std::ranges::find(apart_of_, number) == apart_of_.end()) met.push_back(number);
  }
  if (!met.empty()) {
    connection_.set_deadline(steady_clock::now() + config_.statement_timeout + kServerPatience);
    Async<Result<std::vector<Rows>>> opening = connection_.query(lock_sql(batch, met));
    auto opened = co_await opening;
    if (!opened) co_return fail(opened.error());
    if (const auto altered = altered_among(batch, met, *opened)) {
      co_return fail(
          Domain::kPostgres, "signature",
          fmt::format("{} was altered while this began", batch.tables[*altered].plan->target),
          "Try again.");
    }
    for (const bool stay : {true, false}) {
      Async<Step> preparing = prepare_stages(batch, met, stay);
      auto prepared = co_await preparing;
      if (!prepared) co_return fail(prepared.error().error);
    }
    apart_of_.insert(apart_of_.end(), met.begin(), met.end());
  }
  // Nothing shall stop it before its end: what would have, its caller finds out.
  Breaker never(1.0, static_cast<int>(batch.record_partitions.size()) + 1);
  ignored_ = 0;
  may_wait_.assign(batch.partitions.size(), false);
  Async<Step> writing = write_isolated(batch, records, never, Care::kPieces);
  auto written = co_await writing;
  if (!written) co_return fail(written.error().error);
  Tally tally;
  for (const auto& table : batch.tables) {
    for (const Row& row : table.rows) {
      if (!row.dead) count(row, tally);
    }
  }
  apart_->written += tally.written - ignored_;
  apart_->deleted += tally.deleted;
  co_return true;
}

void Writer::count(const Row& row, Tally& tally) {
  switch (row.operation) {
    case Operation::kWrite:
    case Operation::kUpdateEqual:
      ++tally.written;
      break;
    case Operation::kDelete:
    case Operation::kDeleteEqual:
    case Operation::kMove:  // the delete of an update of the key; its write follows
      ++tally.deleted;
      break;
    case Operation::kMoved:
    case Operation::kTruncate:
      ++tally.ignored;
      break;
    case Operation::kSweep:  // beside its message's row
      break;
  }
}

// What the stage holds is about to be merged: which of its keys are there already?
Async<Writer::Step> Writer::count_keys(const Plan& plan) {
  std::string condition;
  for (int i = 0; i < plan.key_columns; ++i) {
    const std::string name = Connection::identifier(plan.columns[static_cast<std::size_t>(i)].name);
    condition += fmt::format("{}t.{} = s.{}", i > 0 ? " AND " : "", name, name);
  }
  std::string sql = fmt::format(
      "SELECT count(*) FILTER (WHERE there), count(*) FILTER (WHERE NOT there) FROM "
      "(SELECT EXISTS (SELECT FROM {} t WHERE {}) AS there FROM "
      "(SELECT DISTINCT {} FROM {}) AS s) AS keys",
      plan.target, condition, key_list(plan), plan.stage);
  connection_.set_deadline(steady_clock::now() + config_.statement_timeout + kServerPatience);
  Async<Result<std::vector<Rows>>> counting = connection_.query(std::move(sql));
  auto counted = co_await counting;
  if (!counted) co_return tl::unexpected(Failed{counted.error(), Phase::kWrite, std::nullopt});
  apart_->keys_there += counted->front().integer(0, 0);
  apart_->keys_new += counted->front().integer(0, 1);
  co_return true;
}

Async<Result<Apart>> Writer::roll_back_apart() {
  SLUICE_CHECK(apart_.has_value());
  connection_.set_deadline(steady_clock::now() + kServerPatience);
  std::string sql = fmt::format("SELECT ({}() - {}::pg_lsn)::bigint; ROLLBACK",
                                wal_position(connection_), Connection::literal(apart_from_));
  Async<Result<std::vector<Rows>>> ending = connection_.query(std::move(sql));
  auto ended = co_await ending;
  if (!ended) co_return fail(ended.error());
  Apart figures = *apart_;
  apart_.reset();
  figures.wal_bytes = ended->front().integer(0, 0);
  co_return figures;
}

Async<Result<Apart>> Writer::commit_apart() {
  SLUICE_CHECK(apart_.has_value());
  connection_.set_deadline(steady_clock::now() + config_.statement_timeout + kServerPatience);
  Async<Result<std::vector<Rows>>> committing =
      connection_.query("SET CONSTRAINTS ALL IMMEDIATE; COMMIT");
  auto committed = co_await committing;
  if (!committed) co_return fail(committed.error());
  if (committed->back().tag() != "COMMIT") {
    co_return fail(Domain::kPostgres, "25P02",
                   "PostgreSQL answered COMMIT with ROLLBACK: a statement had failed");
  }
  Apart figures = *apart_;
  apart_.reset();
  co_return figures;
}

}  // namespace sluice::sink
