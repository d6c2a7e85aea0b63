#include "pipeline/against.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "compare/postgres_table.h"
#include "compare/source.h"
#include "pipeline/look.h"
#include "sink/mirror_key.h"
#include "task/table_rules.h"

namespace sluice::pipeline {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

using compare::Differing;

constexpr milliseconds kFirstPause{100};
constexpr milliseconds kLongestPause{5'000};
constexpr std::size_t kRepairedAtOnce = 500;
// Rows that never stop changing are given up after so many times the time to settle.
constexpr int kPatience = 4;

// Whether the task has applied what its topics held at one time.
class Catchup {
 public:
  Catchup(const TaskSource& source, TargetLook& target, milliseconds patience)
      : source_(source), target_(target), patience_(patience) {}

  // From now on the ends of now are what counts. An error: Kafka cannot be reached.
  Result<bool> begin() {
    auto from = reach_source(source_, "sluice-" + source_.task.name);
    if (!from) return fail(from.error());
    from_ = std::move(*from);
    applied_ = -1;
    return true;
  }

  enum class State : std::uint8_t { kApplied, kGoesOn, kStands };
  Result<State> look() {
    if (!from_) return State::kApplied;
    auto past = read_past(target_, *from_, source_.task);
    if (!past) return fail(past.error());
    Positions positions;
    for (const auto& row : past->rows) positions[row.key] = row.next_offset;
    std::int64_t applied = 0;
    bool all = true;
    for (const auto& [key, marks] : from_->watermarks) {
      const auto found = positions.find(key);
      const std::int64_t next = found == positions.end() ? marks.low : found->second;
      applied += next;
      all = all && next >= marks.end;
    }
    if (all) return State::kApplied;
    const auto now = steady_clock::now();
    if (applied != applied_) moved_ = now;
    applied_ = applied;
    return now - moved_ < patience_ ? State::kGoesOn : State::kStands;
  }

 private:
  const TaskSource& source_;
  TargetLook& target_;
  milliseconds patience_;
  std::optional<SourceLook> from_;
  std::int64_t applied_ = -1;
  steady_clock::time_point moved_;
};

class Comparison {
 public:
  Comparison(const TaskSource& task, const AgainstOptions& options, StopSignal stop)
      : task_(task), options_(options), stop_(stop) {}

  Result<AgainstReport> run() {
    if (auto opened = open(); !opened) return fail(opened.error());
    if (auto compared = compare_all(); !compared) return fail(compared.error());
    return std::move(report_);
  }

 private:
  Result<bool> choose_table();
  Result<bool> open();
  Result<bool> compare_all();
  Result<std::vector<Differing>> settle(std::vector<Differing> found);
  Result<bool> repair(const std::vector<Differing>& settled);
  void tell(std::string doing) const;
  Result<bool> count(const std::vector<Differing>& settled);

  const TaskSource& task_;
  const AgainstOptions& options_;
  StopSignal stop_;
  AgainstReport report_;
  TargetLook target_;
  std::unique_ptr<compare::Source> source_;
  std::unique_ptr<compare::PostgresReader> reader_;
  std::unique_ptr<compare::Table> source_table_, target_table_;
  bool utf8_ = true;
  std::int64_t rows_ = 0;
  std::int64_t differing_ = 0;
};

void Comparison::tell(std::string doing) const {
  if (!options_.on_progress) return;
  options_.on_progress({std::move(doing), rows_, report_.source_rows, differing_});
}

// Of a task of many tables the one that --table makes.
Result<bool> Comparison::choose_table() {
  const auto& task = task_.task;
  auto rules = task::TableRules::compile(task.target, task.sync.tables);
  if (!rules) return fail(rules.error());
  if (options_.table.empty()) {
    return fail(Domain::kCommandLine, "--table",
                fmt::format("target.table is {}: which of its tables is to be compared?",
                            task.target.table),
                "Name the source's table: --table SCHEMA.TABLE (MySQL: DATABASE.TABLE).");
  }
  auto source = postgres::parse_table_name(options_.table);
  if (!source) return fail(source.error());
  auto made = rules->table_of(
      {.topic = "", .db = source->schema, .schema = source->schema, .table = source->name});
  if (!made || !*made) {
    return fail(
        Domain::kCommandLine, "--table",
        fmt::format("{} makes no table of \"{}\"", task.target.table, options_.table),
        "Name the source's table as SCHEMA.TABLE (MySQL: DATABASE.TABLE). Tables that go by "
        "{topic} cannot be told from it: compare them by a document that names one table.");
  }
  auto table = find_table(*target_.connection, task, {(*made)->schema, (*made)->name});
  if (!table) return fail(table.error());
  target_.table = std::move(*table);
  return true;
}

Result<bool> Comparison::open() {
  tell("connecting");
  auto target = reach_target(task_, "sluice verify");
  if (!target) return fail(target.error());
  target_ = std::move(*target);
  if (task_.task.has_many_tables()) {
    if (auto chosen = choose_table(); !chosen) return chosen;
  }
  const postgres::TableInfo& table = target_.table;
  if (table.oid == 0) {
    return fail(
        Domain::kPostgres, "42P01",
        fmt::format("{} does not exist yet: no message of the task has made it", table.qualified()),
        "Run the task first.");
  }
  auto source = compare::open_source(
      options_.uri, options_.table.empty() ? task_.task.target.table : options_.table);
  if (!source) return fail(source.error());
  source_ = std::move(*source);
  const auto& named = task_.task.sync.primary_key;
  auto match = compare::match(source_->columns(), table,
                              named.empty() ? sink::mirror_key(table) : named, options_.ignored);
  if (!match) return fail(match.error());
  if (options_.repair && match->key.empty()) {
    return fail(Domain::kCommandLine, "--repair",
                table.qualified() + " has no key: nothing tells which row is to be repaired",
                "Give it a primary key, or run without --repair.");
  }
  report_.source = source_->name();
  report_.target = table.qualified();
  report_.match = std::move(*match);

  reader_ = std::make_unique<compare::PostgresReader>(*target_.connection, "the target");
  auto source_table = source_->table(report_.match, *reader_);
  if (!source_table) return fail(source_table.error());
  source_table_ = std::move(*source_table);
  auto utf8 = compare::is_utf8(*reader_);
  if (!utf8) return fail(utf8.error());
  utf8_ = *utf8;
  std::vector<compare::PostgresColumn> key;
  std::vector<compare::PostgresColumn> values;
  for (const auto& pair : report_.match.key) {
    key.push_back({pair.target, pair.target_type, pair.form});
  }
  for (const auto& pair : report_.match.values) {
    values.push_back({pair.target, pair.target_type, pair.form});
    report_.columns.push_back(pair.target);
  }
  if (key.empty()) report_.columns = {"rows", "values"};
  target_table_ = compare::postgres_table(*reader_, table.qualified(), std::move(key),
                                          std::move(values), utf8_);
  tell("counting rows");
  for (auto* side : {source_table_.get(), target_table_.get()}) {
    auto rows = side->count();
    if (!rows) return fail(rows.error());
    (side == source_table_.get() ? report_.source_rows : report_.target_rows) = *rows;
  }
  return true;
}

Result<bool> Comparison::compare_all() {
  const std::int64_t most = std::max(report_.source_rows, report_.target_rows);
  compare::WalkSizes sizes = options_.sizes;
  // Where no index has the order of the keys each range reads the whole table.
  if (!source_table_->by_index() || !target_table_->by_index()) {
    sizes.chunk = std::max(sizes.chunk, most / 16);
    sizes.leaf = std::max(sizes.leaf, sizes.chunk / 8);
  }
  compare::Walk walk(*source_table_, *target_table_, sizes);
  while (!walk.done() && !stop_.raised()) {
    auto keys = walk.next([&] {
      rows_ = walk.rows();
      tell("comparing");
      return !stop_.raised();
    });
    if (!keys) return fail(keys.error());
    rows_ = walk.rows();
    if (keys->empty() || stop_.raised()) continue;
    auto found = compare::still_differing(*source_table_, *target_table_, *keys);
    if (!found) return fail(found.error());
    auto settled = settle(std::move(*found));
    if (!settled) return fail(settled.error());
    if (stop_.raised()) break;
    if (auto counted = count(*settled); !counted) return fail(counted.error());
    if (!options_.repair) continue;
    if (auto repaired = repair(*settled); !repaired) return fail(repaired.error());
  }
  report_.finished = walk.done();
  return true;
}

Result<bool> Comparison::count(const std::vector<Differing>& settled) {
  std::vector<compare::Key> shown;
  for (const auto& each : settled) {
    if (each.target.empty()) {
      ++report_.missing;
    } else if (each.source.empty()) {
      ++report_.extra;
    } else {
      ++report_.different;
    }
    if (report_.differences.size() + shown.size() < options_.listed) shown.push_back(each.key);
  }
  differing_ = report_.missing + report_.extra + report_.different;
  auto found = compare::differences(*source_table_, *target_table_, shown);
  if (!found) return fail(found.error());
  for (auto& each : *found) report_.differences.push_back(std::move(each));
  return true;
}

// Those that stay different. The two sides are never read at the same moment, the task is behind
// its source, and the source goes on changing.
Result<std::vector<Differing>> Comparison::settle(std::vector<Differing> found) {
  using State = Catchup::State;
  Catchup catchup(task_, target_, std::max(options_.settle, kFirstPause));
  if (auto begun = catchup.begin(); !begun && report_.problems.empty()) {
    report_.problems.push_back(begun.error());
  }
  const auto start = steady_clock::now();
  std::map<compare::Key, steady_clock::time_point> since;
  for (const auto& each : found) since[each.key] = start;
  auto caught_up_at = start;
  State state = State::kGoesOn;
  milliseconds pause = kFirstPause;
  while (!found.empty()) {
    if (state == State::kGoesOn) {
      auto looked = catchup.look();
      if (!looked) return fail(looked.error());
      state = *looked;
      caught_up_at = steady_clock::now();
    }
    const auto now = steady_clock::now();
    const auto quiet = [&](const Differing& each) {
      return now - since[each.key] >= options_.settle;
    };
    const bool given_up = now - caught_up_at >= kPatience * options_.settle;
    const bool all_quiet = std::all_of(found.begin(), found.end(), quiet);
    if (state != State::kGoesOn && now - caught_up_at >= kFirstPause && (given_up || all_quiet)) {
      report_.unsettled += std::erase_if(found, [&](const auto& each) { return !quiet(each); });
      report_.behind = report_.behind || state == State::kStands;
      return found;
    }
    differing_ = static_cast<std::int64_t>(found.size());
    tell(state == State::kGoesOn ? "waiting for the task" : "looking again");
    if (stop_.wait(pause)) return found;
    pause = std::min(2 * pause, kLongestPause);
    std::map<compare::Key, std::pair<std::string, std::string>> before;
    std::vector<compare::Key> keys;
    for (const auto& each : found) {
      before[each.key] = {each.source, each.target};
      keys.push_back(each.key);
    }
    auto again = compare::still_differing(*source_table_, *target_table_, keys);
    if (!again) return fail(again.error());
    found = std::move(*again);
    for (const auto& each : found) {
      if (before[each.key] != std::pair(each.source, each.target)) {
        since[each.key] = steady_clock::now();
      }
    }
  }
  return found;
}

Result<bool> Comparison::repair(const std::vector<Differing>& settled) {
  for (std::size_t at = 0; at < settled.size() && !stop_.raised(); at += kRepairedAtOnce) {
    tell("repairing");
    std::vector<compare::Key> keys;
    for (std::size_t i = at; i < std::min(settled.size(), at + kRepairedAtOnce); ++i) {
      keys.push_back(settled[i].key);
    }
    auto done = compare::repair(*target_.connection, target_.table, utf8_, report_.match,
                                *source_table_, keys);
    if (!done) return fail(done.error());
    report_.repaired.inserted += done->inserted;
    report_.repaired.updated += done->updated;
    report_.repaired.deleted += done->deleted;
    report_.mended += static_cast<std::int64_t>(keys.size());
  }
  return true;
}

}  // namespace

Result<AgainstReport> compare_with_source(const TaskSource& source, const AgainstOptions& options,
                                          StopSignal stop) {
  return Comparison(source, options, stop).run();
}

}  // namespace sluice::pipeline
