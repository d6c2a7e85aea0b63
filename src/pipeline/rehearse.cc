#include "pipeline/rehearse.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <tuple>

#include "pipeline/failure.h"
#include "pipeline/look.h"
#include "pipeline/record_list.h"
#include "pipeline/sample.h"
#include "sink/breaker.h"

namespace sluice::pipeline {

using std::chrono::duration;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

constexpr std::size_t kExcerpt = 200;

// One batch and the records behind it.
struct Piece {
  sink::Batch batch;
  RecordList records{batch};
};

class Rehearsing {
 public:
  Rehearsing(const TaskSource& source, bool from_start, StopSignal stop)
      : source_(source),
        task_(source.task),
        from_start_(from_start),
        stop_(stop),
        breaker_(task_.breaker.share, task_.breaker.window) {}

  Result<RehearsalReport> run(std::int64_t count) {
    auto reached = reach_source(source_, "sluice-" + task_.name);
    if (!reached) return fail(reached.error());
    auto target = reach_target(source_, "sluice rehearse");
    if (!target) return fail(target.error());
    target_ = std::move(*target);
    auto past = read_past(target_, *reached, task_);
    if (!past) return fail(past.error());
    if (from_start_) *past = {};
    report_.begun = past->task.has_value();
    auto positions = next_positions(*reached, *past, task_);
    if (!positions) return fail(positions.error());
    for (const auto& [key, next] : *positions) {
      report_.waiting += std::max<std::int64_t>(0, reached->watermarks[key].end - next);
    }
    positions_ = *positions;
    auto builder = start_builder(
        target_, task_,
        {.copy_format = task_.tuning.copy_format, .on_demand = sink::OnDemand::kNote});
    if (!builder) return fail(builder.error().front());
    builder_ = std::move(*builder);
    auto reader = SampleReader::create(source_, *positions, reached->watermarks);
    if (!reader) return fail(reader.error());
    return write(*reader, count);
  }

 private:
  Result<RehearsalReport> write(SampleReader& reader, std::int64_t count) {
    sink::WriterConfig config;
    config.conninfo = source_.conninfo;
    config.instance = "rehearse";
    config.handle = target_.handle;
    config.on_failure = task::OnFailure::kDiscard;  // bad rows are set aside, the rest is written
    config.classify = &classify;
    sink::Writer writer(std::move(config));
    if (auto begun = writer.drive(writer.begin_apart(task_)); !begun) {
      return stopped(begun.error());
    }
    while (report_.messages < count) {
      Piece piece;
      builder_->begin(piece.batch);
      piece.batch.first_sequence = static_cast<std::uint64_t>(report_.messages);
      auto read = reader.read(
          std::min(count - report_.messages, task_.tuning.batch_rows), task_.tuning.batch_rows,
          task_.tuning.batch_bytes,
          [&](const ledger::Key& key, kafka::Record record) {
            take(piece, key, std::move(record));
          },
          stop_);
      if (!read) return fail(read.error());
      if (no_table_) return fail(*no_table_);
      if (*read == 0) break;
      if (builder_->learned()) builder_->rebuild(piece.batch, piece.records);
      const auto began = steady_clock::now();
      auto written = writer.drive(writer.write_apart(piece.batch, piece.records));
      report_.seconds += duration<double>(steady_clock::now() - began).count();
      if (!written) return stopped(written.error());
      report_.messages += *read;
      count_failures(piece);
      for (const auto& range : piece.batch.partitions) report_.ignored += range.ignored;
    }
    auto ended = writer.drive(writer.roll_back_apart());
    if (!ended) return stopped(ended.error());
    report_.figures = *ended;
    report_.ddl = builder_->demanded_sql();
    std::sort(report_.causes.begin(), report_.causes.end(),
              [](const auto& a, const auto& b) { return a.count > b.count; });
    return std::move(report_);
  }

  void take(Piece& piece, const ledger::Key& key, kafka::Record record) {
    if (no_table_) return;
    const std::uint16_t partition = piece.batch.partition_index(key, positions_[key]);
    piece.records.push(std::move(record));
    auto added = add_record(*target_.connection, task_, target_.zone, *builder_, piece.batch,
                            piece.records, partition);
    if (!added && !no_table_) no_table_ = added.error();
  }

  void count_failures(const Piece& piece) {
    // In the order of the messages, as a lane would meet them.
    std::vector<const sink::Failure*> failures;
    for (const auto& failure : piece.batch.failures) failures.push_back(&failure);
    std::sort(failures.begin(), failures.end(),
              [](const auto* a, const auto* b) { return a->record < b->record; });
    for (const auto* failure : failures) {
      ++report_.failed;
      const message::Message message = piece.records.at(failure->record);
      const ledger::Key& key = piece.batch.partitions[failure->partition].key;
      judge(*failure, key, message.offset, piece.batch.first_sequence + failure->record);
      const Error& error = failure->error;
      const auto found = std::find_if(
          report_.causes.begin(), report_.causes.end(), [&](const RehearsedCause& cause) {
            return std::tie(cause.code, cause.column, cause.constraint) ==
                       std::tie(error.code, error.column, error.constraint) &&
                   cause.from == name_of(error.domain);
          });
      if (found != report_.causes.end()) {
        ++found->count;
        continue;
      }
      RehearsedCause cause{std::string(name_of(error.domain)),
                           error.code,
                           error.column,
                           error.constraint,
                           1,
                           key,
                           message.offset,
                           error,
                           std::string(message.value.substr(0, kExcerpt))};
      report_.causes.push_back(std::move(cause));
    }
  }

  // Would the task's policy have stopped it here?
  void judge(const sink::Failure& failure, const ledger::Key& key, std::int64_t offset,
             std::uint64_t sequence) {
    if (report_.stopped_by) return;
    const bool retains = task_.on_failure == task::OnFailure::kRetain;
    if (!retains && !breaker_.bad(sequence)) return;
    report_.stopped_by =
        retains ? failure.error
                : fail(Domain::kMessage, "breaker",
                       fmt::format("the breaker would open: {} of the last {} messages could not "
                                   "be applied",
                                   breaker_.limit(), task_.breaker.window),
                       "Correct the mapping or the producer, or raise `breaker`.")
                      .value();
    report_.stop_key = key;
    report_.stop_offset = offset;
  }

  // The rehearsal could not go on: that is a result, too.
  Result<RehearsalReport> stopped(Error error) {
    report_.error_class = classify(error, Phase::kWrite);
    if (error.code == "55P03") find_holders();
    report_.error = std::move(error);
    return std::move(report_);
  }

  void find_holders() {
    std::vector<postgres::Oid> tables;
    for (std::size_t i = 0; i < builder_->tables(); ++i) {
      tables.push_back(builder_->plan(i).table.oid);
    }
    postgres::Connection& db = *target_.connection;
    db.set_deadline(steady_clock::now() + seconds(10));
    auto rows = db.drive(db.query(fmt::format(
        "SELECT DISTINCT format('pid %s, user %s, %s, %s, since %s', l.pid, a.usename, "
        "coalesce(nullif(a.application_name, ''), 'unnamed'), l.mode, "
        "date_trunc('second', a.xact_start)) FROM pg_locks l LEFT JOIN pg_stat_activity a "
        "ON a.pid = l.pid WHERE l.locktype = 'relation' AND l.relation IN ({}) AND l.granted AND "
        "l.pid <> pg_backend_pid() AND l.database = (SELECT oid FROM pg_database WHERE datname = "
        "current_database()) LIMIT 10",
        fmt::join(tables, ", "))));
    if (!rows) return;
    for (int i = 0; i < rows->front().size(); ++i) {
      report_.holders.emplace_back(rows->front().text(i, 0));
    }
  }

  const TaskSource& source_;
  const task::Task& task_;
  const bool from_start_;
  const StopSignal stop_;
  TargetLook target_;
  Positions positions_;
  std::optional<sink::BatchBuilder> builder_;
  std::optional<Error> no_table_;  // of a message whose table cannot be written
  sink::Breaker breaker_;
  RehearsalReport report_;
};

}  // namespace

Result<RehearsalReport> rehearse(const TaskSource& source, std::int64_t count, bool from_start,
                                 StopSignal stop) {
  return Rehearsing(source, from_start, stop).run(count);
}

}  // namespace sluice::pipeline
