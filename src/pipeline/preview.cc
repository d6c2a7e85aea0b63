#include "pipeline/preview.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <set>
#include <tuple>

#include "pipeline/look.h"
#include "pipeline/record_list.h"
#include "pipeline/sample.h"
#include "sink/batch.h"
#include "sink/plan.h"

namespace sluice::pipeline {

using postgres::Connection;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

using Becomes = PreviewedMessage::Becomes;
using CellKind = PreviewCell::Kind;

std::string cut(std::string_view text, bool* was_cut = nullptr) {
  if (was_cut != nullptr) *was_cut = text.size() > kPreviewBytes;
  return std::string(text.substr(0, kPreviewBytes));
}

class Previewing {
 public:
  Previewing(const TaskSource& source, std::int64_t count, bool from_start, StopSignal stop)
      : source_(source), count_(count), from_start_(from_start), stop_(stop) {}

  Result<Preview> run() {
    auto reached = reach_source(source_, "sluice-" + source_.task.name);
    if (!reached) return fail(reached.error());
    SourceLook from = std::move(*reached);
    LedgerLook past = look_at_target(from);
    if (from_start_) past = {};
    preview_.begun = past.task.has_value();
    auto positions = next_positions(from, past, source_.task);
    if (!positions) return fail(positions.error());
    for (const auto& [key, next] : *positions) {
      preview_.waiting += std::max<std::int64_t>(0, from.watermarks[key].end - next);
    }
    auto reader = SampleReader::create(source_, *positions, from.watermarks);
    if (!reader) return fail(reader.error());
    auto read = reader->read(
        count_, count_, std::numeric_limits<std::int64_t>::max(),
        [&](const ledger::Key& key, kafka::Record record) { take(key, std::move(record)); }, stop_);
    if (!read) return fail(read.error());
    if (builder_ && builder_->learned()) {
      for (const auto& held : held_) {
        PreviewedMessage& shown = preview_.messages[held->number];
        shown.error.reset();
        builder_->rebuild(held->batch, held->records);
        show(shown, held->batch);
      }
    }
    if (target_.connection) target_.connection->close();  // nothing of it stays
    if (builder_) preview_.ddl = builder_->demanded_sql();
    std::sort(preview_.messages.begin(), preview_.messages.end(), [](const auto& a, const auto& b) {
      return std::tie(a.key, a.offset) < std::tie(b.key, b.offset);
    });
    return std::move(preview_);
  }

 private:
  Connection& db() { return *target_.connection; }

  // Everything that rows need. What is missing is said, and the messages are shown all the same.
  LedgerLook look_at_target(const SourceLook& from) {
    const auto give_up = [&](std::vector<Error> errors) {
      preview_.target_errors = std::move(errors);
      builder_.reset();
      return LedgerLook();
    };
    auto reached = reach_target(source_, "sluice preview");
    if (!reached) return give_up({reached.error()});
    target_ = std::move(*reached);
    auto past = read_past(target_, from, source_.task);
    if (!past) return give_up({past.error()});
    auto builder = start_builder(
        target_, source_.task,
        {.copy_format = task::Tuning::CopyFormat::kText, .on_demand = sink::OnDemand::kNote});
    if (!builder) return give_up(std::move(builder.error()));
    builder_ = std::move(*builder);
    db().set_deadline(steady_clock::now() + seconds(60));
    auto begun = db().drive(db().query(fmt::format(
        "BEGIN; SELECT set_config('statement_timeout', '60s', true), {}, {}",
        Connection::idle_timeout("0"), sink::reading_settings(source_.task.sync.time_zone))));
    if (!begun) return give_up({begun.error()});
    for (const auto& column : target_.table.columns) {
      const auto& columns = builder_->plan().columns;
      const bool fed = std::any_of(columns.begin(), columns.end(),
                                   [&](const auto& each) { return each.name == column.name; });
      if (!fed) preview_.left.push_back(column.name);
    }
    return std::move(*past);
  }

  // Where rows of a table are put, to be read back.
  Result<std::string> table_for(std::size_t number) {
    const sink::Plan& plan = builder_->plan(number);
    const std::string name = fmt::format("sluice_preview_{}", number);
    if (made_.contains(number)) return name;
    std::string columns;
    for (const auto& column : plan.columns) {
      const auto* info = plan.table.find(column.name);
      columns += fmt::format("{}{} {}", columns.empty() ? "" : ", ",
                             Connection::identifier(column.name), info->type.name);
    }
    auto made = db().drive(db().query(fmt::format(
        "SAVEPOINT sluice; CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP", name, columns)));
    if (!made) {
      if (db().is_open()) (void)db().drive(db().query("ROLLBACK TO SAVEPOINT sluice"));
      return fail(made.error());
    }
    made_.insert(number);
    return name;
  }

  void take(const ledger::Key& key, kafka::Record record) {
    PreviewedMessage shown;
    shown.key = key;
    shown.offset = record.offset();
    shown.timestamp_ms = record.timestamp_ms();
    if (!record.key_null()) shown.message_key = cut(record.key());
    if (!record.value_null()) shown.value = cut(record.value());
    shown.value_bytes = static_cast<std::int64_t>(record.value().size());
    if (builder_) become(shown, std::move(record));
    preview_.messages.push_back(std::move(shown));
  }

  void become(PreviewedMessage& shown, kafka::Record record) {
    auto held = std::make_unique<Held>();
    held->number = preview_.messages.size();
    sink::Batch& batch = held->batch;
    builder_->begin(batch);
    const std::uint16_t partition = batch.partition_index(shown.key, shown.offset);
    held->records.push(std::move(record));
    const auto added =
        add_record(db(), source_.task, target_.zone, *builder_, batch, held->records, partition);
    if (!added) return refuse(shown, added.error());
    show(shown, batch);
    const bool may_change = shown.error && shown.error->code == "schema_change";
    if (may_change) held_.push_back(std::move(held));
  }

  void show(PreviewedMessage& shown, const sink::Batch& batch) {
    shown.becomes = Becomes::kNothing;
    if (!batch.failures.empty()) return refuse(shown, batch.failures.front().error);
    const std::size_t number = batch.record_tables.front();
    if (number == sink::Batch::kNoTable || batch.tables[number].rows.empty()) return;
    const sink::TableRows& rows = batch.tables[number];
    const sink::Row& row = rows.rows.front();
    if (source_.task.has_many_tables()) shown.table = rows.plan->table.qualified();
    if (row.operation == sink::Operation::kTruncate) {
      shown.becomes = Becomes::kNothing;
      return;
    }
    const bool deletes =
        row.operation != sink::Operation::kWrite && row.operation != sink::Operation::kUpdateEqual;
    shown.becomes = deletes ? Becomes::kDelete : Becomes::kRow;
    fill(shown, number, rows, row, deletes);
  }

  // The row as it is sent, then as PostgreSQL has taken it.
  void fill(PreviewedMessage& shown, std::size_t number, const sink::TableRows& rows,
            const sink::Row& row, bool deletes) {
    const sink::Plan& plan = *rows.plan;
    const std::size_t count =
        deletes ? static_cast<std::size_t>(plan.key_columns) : plan.columns.size();
    std::string names;
    std::string shows;
    std::vector<std::size_t> asked;  // the cells that are sent
    for (std::size_t i = 0; i < count; ++i) {
      const sink::PlanColumn& column = plan.columns[i];
      const auto* info = plan.table.find(column.name);
      PreviewCell cell;
      cell.column = column.name;
      cell.type = info->type.name;
      cell.field = column.field;
      const char state = deletes ? sink::Shape::kPresent : rows.shapes[row.shape].states[i];
      if (state == sink::Shape::kPresent) {
        const std::string name = Connection::identifier(column.name);
        const char* comma = names.empty() ? "" : ", ";
        names += comma + name;
        shows += fmt::format("{}{}::text", comma, name);
        asked.push_back(i);
      } else if (state == sink::Shape::kDefault) {
        cell.kind = CellKind::kDefault;
        cell.text = info->default_sql;
      } else {
        cell.kind = CellKind::kKeep;
      }
      shown.cells.push_back(std::move(cell));
    }
    if (asked.empty()) return;
    std::string sent(rows.bytes.view(row.begin, row.length));
    // Behind the key can stand another one, and a position.
    if (row.operation == sink::Operation::kMove || row.operation == sink::Operation::kDelete) {
      sent = sent.substr(0, row.key_length) + '\n';
    }
    auto taken = ask(number, names, shows, sent);
    if (!taken) return refuse(shown, std::move(taken.error()));
    for (std::size_t i = 0; i < asked.size(); ++i) {
      PreviewCell& cell = shown.cells[asked[i]];
      const int column = static_cast<int>(i);
      if (!taken->is_null(0, column)) {
        cell.text = cut(taken->text(0, column), &cell.cut);
        continue;
      }
      cell.kind = CellKind::kNull;
      // Not in the temporary table: there it would fall on what a row leaves to its default, too.
      if (!plan.table.find(cell.column)->not_null) continue;
      Error error = fail(Domain::kPostgres, "23502",
                         fmt::format("column \"{}\" of {} may not be null", cell.column,
                                     plan.table.qualified()))
                        .value();
      error.column = cell.column;
      return refuse(shown, std::move(error));
    }
  }

  static void refuse(PreviewedMessage& shown, Error error) {
    shown.cells.clear();
    shown.becomes = Becomes::kFailure;
    shown.error = std::move(error);
  }

  Result<postgres::Rows> ask(std::size_t number, const std::string& names, const std::string& shows,
                             std::string_view line) {
    auto table = table_for(number);
    if (!table) return fail(table.error());
    db().set_deadline(steady_clock::now() + seconds(90));
    auto copied = db().drive(db().copy_in(
        fmt::format("SAVEPOINT sluice; COPY {} ({}) FROM STDIN", *table, names), {line}));
    if (!copied) {
      if (db().is_open()) (void)db().drive(db().query("ROLLBACK TO SAVEPOINT sluice"));
      return fail(copied.error());
    }
    auto taken = db().drive(
        db().query(fmt::format("SELECT {} FROM {}; ROLLBACK TO SAVEPOINT sluice", shows, *table)));
    if (!taken) return fail(taken.error());
    return taken->front();
  }

  // A message whose types nobody has said yet.
  struct Held {
    std::size_t number = 0;  // of Preview::messages
    sink::Batch batch;
    RecordList records{batch};
  };

  const TaskSource& source_;
  const std::int64_t count_;
  const bool from_start_;
  const StopSignal stop_;
  TargetLook target_;
  std::optional<sink::BatchBuilder> builder_;
  std::set<std::size_t> made_;  // tables of table_for()
  std::vector<std::unique_ptr<Held>> held_;
  Preview preview_;
};

}  // namespace

Result<Preview> preview(const TaskSource& source, std::int64_t count, bool from_start,
                        StopSignal stop) {
  return Previewing(source, count, from_start, stop).run();
}

}  // namespace sluice::pipeline
