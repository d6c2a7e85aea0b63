#include "sink/batch_builder.h"

#include <fmt/format.h>

#include <algorithm>

namespace sluice::sink {

namespace {

constexpr std::size_t kMostTables = 10'000;

}  // namespace

BatchBuilder::BatchBuilder(const task::Task& task, Options options)
    : options_(options), source_(task.source) {
  message::ChangeConfig config;
  config.format = static_cast<message::Format>(task.sync.format);
  config.origin = true;
  config.signal_tables = task.sync.signal_tables;
  only_flat_ = task.sync.format == task::Format::kJson;
  if (task.has_many_tables()) locator_.emplace(std::move(config));
}

Result<BatchBuilder> BatchBuilder::create(const task::Task& task, Options options) {
  BatchBuilder builder(task, options);
  if (task.has_many_tables()) {
    auto rules = task::TableRules::compile(task.target, task.sync.tables);
    if (!rules) return fail(rules.error());
    builder.rules_ = std::move(*rules);
    return builder;
  }
  auto name = postgres::parse_table_name(task.target.table);
  if (!name) return fail(name.error());
  builder.names_.push_back(std::move(*name));
  return builder;
}

Result<bool> BatchBuilder::set_table(std::size_t number, Plan plan) {
  auto builder = RowBuilder::create(plan, options_.on_demand);
  if (!builder) return fail(builder.error());
  if (number < tables_.size()) {
    tables_[number]->plan = std::move(plan);  // where it is: batches point at it
    tables_[number]->builder = std::move(*builder);
    return true;
  }
  SLUICE_CHECK(number == tables_.size() && wants_table());
  const auto same = std::ranges::find_if(tables_, [&](const auto& table) {
    return plan.table.oid != 0 && table->plan.table.oid == plan.table.oid;
  });
  if (same != tables_.end()) {
    numbers_[{names_.back().schema, names_.back().name}] =
        static_cast<std::uint16_t>(same - tables_.begin());
    forget_wanted();
    return true;
  }
  numbers_[{names_.back().schema, names_.back().name}] = static_cast<std::uint16_t>(number);
  tables_.push_back(std::make_unique<Table>(Table{std::move(plan), std::move(*builder)}));
  return true;
}

Form BatchBuilder::first_form(const Plan& plan) const {
  const bool binary = plan.binary && options_.copy_format != task::Tuning::CopyFormat::kText;
  return binary ? Form::kBinary : Form::kText;
}

void BatchBuilder::begin(Batch& batch) const {
  batch.clear();
  for (std::size_t i = 0; i < batch.tables.size() && i < tables_.size(); ++i) {
    batch.tables[i].plan = &tables_[i]->plan;
    batch.tables[i].form = first_form(tables_[i]->plan);
  }
}

TableRows& BatchBuilder::rows_of(Batch& batch, std::size_t number) const {
  while (batch.tables.size() <= number) {
    TableRows& rows = batch.tables.emplace_back();
    rows.plan = &tables_[batch.tables.size() - 1]->plan;
    rows.form = first_form(*rows.plan);
  }
  return batch.tables[number];
}

BatchBuilder::Added BatchBuilder::add(Batch& batch, Records& records, std::uint16_t partition) {
  const auto index = static_cast<std::uint32_t>(records.size() - 1);
  batch.record_partitions.push_back(partition);
  batch.record_tables.push_back(Batch::kNoTable);
  bool needs_text = false;
  const Added added = add_record(batch, records, index, needs_text);
  if (added == Added::kNewTable) {
    batch.record_partitions.pop_back();
    batch.record_tables.pop_back();
  }
  if (!needs_text) return added;
  const std::uint16_t table = batch.record_tables[index];
  const std::size_t failures = batch.failures.size();
  const std::size_t rows = batch.tables[table].rows.size();
  batch.tables[table].form = Form::kText;
  encode_all(batch, records);
  if (batch.stop) return Added::kStop;
  if (batch.failures.size() > failures) return Added::kFailure;
  return batch.tables[table].rows.size() > rows ? Added::kRow : Added::kNothing;
}

void BatchBuilder::refuse(Batch& batch, Records& records, std::uint16_t partition, Error error) {
  const auto index = static_cast<std::uint32_t>(records.size() - 1);
  batch.record_partitions.push_back(partition);
  batch.record_tables.push_back(Batch::kNoTable);
  batch.failures.push_back({index, partition, std::move(error)});
}

void BatchBuilder::rebuild(Batch& batch, Records& records) {
  for (std::size_t i = 0; i < batch.tables.size(); ++i) {
    batch.tables[i].plan = &tables_[i]->plan;
    batch.tables[i].form = first_form(tables_[i]->plan);
  }
  encode_all(batch, records);
}

// In the forms that the tables of the batch have.
void BatchBuilder::encode_all(Batch& batch, Records& records) {
  for (auto& table : batch.tables) table.clear();
  batch.failures.clear();
  batch.stop.reset();
  for (auto& range : batch.partitions) {
    range.cut = -1;
    range.ignored = 0;
  }
  for (std::uint32_t i = 0; i < batch.record_partitions.size(); ++i) {
    bool needs_text = false;
    add_record(batch, records, i, needs_text);
    if (!needs_text) continue;
    batch.tables[batch.record_tables[i]].form = Form::kText;
    return encode_all(batch, records);
  }
}

BatchBuilder::Added BatchBuilder::add_record(Batch& batch, Records& records, std::uint32_t index,
                                             bool& needs_text) {
  const std::uint16_t partition = batch.record_partitions[index];
  auto& range = batch.partitions[partition];
  if (range.cut >= 0) return Added::kNothing;
  RowBuilder::Outcome outcome = RowBuilder::Outcome::kIgnored;
  std::uint16_t number = 0;
  const message::Expected* expected = nullptr;
  Route way = Route::kTable;
  Seen* seen = nullptr;
  if (rules_) {
    way = route(records.at(index), seen);
    number = seen->table;
    if (rules_->by_source()) expected = &seen->expected;
  }
  if (way == Route::kTable) {
    RowBuilder& builder = tables_[number]->builder;
    TableRows& rows = rows_of(batch, number);
    batch.record_tables[index] = number;
    outcome =
        builder.add(rows, *rows.plan, records, index, {partition, range.has_siblings}, expected);
    const bool read = expected != nullptr && outcome != RowBuilder::Outcome::kOtherTable;
    if (read && !builder.decoder().was_null()) note(builder.decoder(), *seen);
    if (outcome == RowBuilder::Outcome::kOtherTable) {
      batch.record_tables[index] = Batch::kNoTable;
      way = find(records.at(index).topic, message::Origin(builder.decoder().origin()), *seen);
      // Now it is what is expected: this ends.
      if (way == Route::kTable) return add_record(batch, records, index, needs_text);
    } else if (outcome == RowBuilder::Outcome::kProblem) {
      problem_ = builder.problem();
    } else if (outcome == RowBuilder::Outcome::kStop) {
      stop_ = builder.take_stop();
      stop_.table = number;
    } else if (outcome == RowBuilder::Outcome::kStructure) {
      batch.record_tables[index] = Batch::kNoTable;
      way = ask_tables(builder.decoder().table_changes());
    }
  }
  if (way == Route::kStructure) way = ask_tables(locator_->table_changes());
  if (way == Route::kNewTable) return Added::kNewTable;
  if (way == Route::kProblem) outcome = RowBuilder::Outcome::kProblem;
  if (way == Route::kStop) outcome = RowBuilder::Outcome::kStop;
  switch (outcome) {
    case RowBuilder::Outcome::kOk:
      return Added::kRow;
    case RowBuilder::Outcome::kOtherTable:
    case RowBuilder::Outcome::kStructure:
    case RowBuilder::Outcome::kAgain:
    case RowBuilder::Outcome::kIgnored:
      ++range.ignored;
      return Added::kNothing;
    case RowBuilder::Outcome::kNeedsText:
      needs_text = true;
      return Added::kNothing;
    case RowBuilder::Outcome::kProblem:
      batch.failures.push_back({index, partition, message::to_error(problem_)});
      if (options_.retain) range.cut = records.at(index).offset;
      return Added::kFailure;
    case RowBuilder::Outcome::kStop:
      if (options_.on_demand == OnDemand::kStop) {
        range.cut = records.at(index).offset;
        batch.stop = std::move(stop_);
        return Added::kStop;
      }
      batch.failures.push_back({index, partition, std::move(stop_.error)});
      return Added::kFailure;
  }
  return Added::kNothing;
}

// Of a topic that was seen the table is known until a message says another one.
BatchBuilder::Route BatchBuilder::route(const message::Message& message, Seen*& seen) {
  if (last_seen_ == nullptr || *last_topic_ != message.topic) {
    auto found = seen_.find(message.topic);
    if (found == seen_.end()) found = seen_.emplace(message.topic, Seen{}).first;
    last_topic_ = &found->first;
    last_seen_ = &found->second;
  }
  seen = last_seen_;
  if (seen->table != Batch::kNoTable) return Route::kTable;
  bool null = message.value_null;
  auto located = message::ChangeDecoder::Outcome::kChange;
  if (!null) located = locator_->locate(message, null, problem_);
  if (null && !rules_->by_source()) return find(message.topic, {}, *seen);
  if (null) {
    // It follows an envelope's delete, which was applied; of a flat row it is the delete.
    const bool is_delete =
        seen->known ? seen->expected.tombstones == message::Expected::Tombstones::kProblem
                    : only_flat_ || options_.letters;
    if (!is_delete) return Route::kNothing;
    problem_ = message::nameless_tombstone();
    return Route::kProblem;
  }
  if (located == message::ChangeDecoder::Outcome::kProblem) return Route::kProblem;
  if (located == message::ChangeDecoder::Outcome::kStructure) return Route::kStructure;
  if (located != message::ChangeDecoder::Outcome::kOtherTable) return Route::kNothing;
  note(*locator_, *seen);
  return find(message.topic, message::Origin(locator_->origin()), *seen);
}

// What an event of schema changes says of tables whose rows the task reads: it can be of all tables
// of a server, and the topics that Debezium writes them to say which are meant.
BatchBuilder::Route BatchBuilder::ask_tables(std::span<const message::TableChange> changes) {
  for (const auto& change : changes) {
    if (!source_.reads(change.topic)) continue;
    std::size_t number = 0;
    if (rules_) {
      Seen seen;
      const Route way = find(change.topic, change.origin, seen);
      if (way == Route::kNothing) continue;
      if (way != Route::kTable) return way;
      number = seen.table;
    }
    learned_ = true;
    Table& table = *tables_[number];
    const RowBuilder::Outcome outcome = table.builder.ask(table.plan, change);
    if (outcome != RowBuilder::Outcome::kStop) continue;
    stop_ = table.builder.take_stop();
    stop_.table = static_cast<std::uint16_t>(number);
    return Route::kStop;
  }
  return Route::kNothing;
}

void BatchBuilder::note(const message::ChangeDecoder& decoder, Seen& seen) const {
  using Tombstones = message::Expected::Tombstones;
  seen.known = true;
  seen.expected.tombstones =
      decoder.says_deletes() && !options_.letters ? Tombstones::kNothing : Tombstones::kProblem;
}

BatchBuilder::Route BatchBuilder::find(std::string_view topic, const message::Origin& origin,
                                       Seen& seen) {
  seen.table = Batch::kNoTable;
  auto made = rules_->table_of({topic, origin.db, origin.schema, origin.table});
  if (!made || tables_.size() >= kMostTables) {
    stop_ = {};
    stop_.error = made ? fail(Domain::kMessage, "no_source_table",
                              fmt::format("messages name more than {} tables", kMostTables),
                              "Choose among them with sync.tables, or give the task fewer topics.")
                             .value()
                       : made.error();
    return Route::kStop;
  }
  if (!*made) return Route::kNothing;
  const auto known = numbers_.find({(*made)->schema, (*made)->name});
  if (known == numbers_.end()) {
    if (!wants_table()) names_.emplace_back();
    names_.back() = {(*made)->schema, (*made)->name};
    return Route::kNewTable;
  }
  seen.table = known->second;
  seen.expected.origin = origin;
  seen.expected.needs_db = rules_->names_db();
  seen.expected.needs_schema = rules_->names_schema();
  seen.expected.needs_table = rules_->names_table();
  return Route::kTable;
}

std::vector<std::string> BatchBuilder::demanded_sql() const {
  std::vector<std::string> all;
  for (const auto& table : tables_) {
    const auto& sql = table->builder.demanded_sql();
    all.insert(all.end(), sql.begin(), sql.end());
  }
  return all;
}

}  // namespace sluice::sink
