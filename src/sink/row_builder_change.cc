// The part of RowBuilder for change events (sync.mode: mirror).
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <utility>

#include "base/log.h"
#include "message/table_change.h"
#include "postgres/connection.h"
#include "postgres/encode.h"
#include "sink/column_type.h"
#include "sink/convert.h"
#include "sink/fields.h"
#include "sink/position.h"
#include "sink/row_builder.h"

namespace sluice::sink {

using message::Change;
using message::ChangeDecoder;
using message::Kind;
using message::Problem;
using message::ProblemCode;
using message::Value;
using postgres::Connection;

namespace {

class RecordHeaders : public message::Headers {
 public:
  RecordHeaders(Records& records, std::uint32_t index) : records_(records), index_(index) {}
  std::span<const message::Header> headers() override { return records_.full(index_).headers; }

 private:
  Records& records_;
  std::uint32_t index_;
};

bool blame(const PlanColumn& column, Problem& problem) {
  problem.field = column.field;
  problem.column = column.name;
  return false;
}

bool null_in(const PlanColumn& column, Problem& problem) {
  problem = {};
  problem.code = ProblemCode::kNullField;
  return blame(column, problem);
}

bool too_small(const PlanColumn& column, const Value& value, Problem& problem) {
  problem = {};
  problem.code = ProblemCode::kBadType;
  problem.excerpt = message::excerpt_of(value.text());
  return blame(column, problem);
}

bool null_key(const PlanColumn& column, Problem& problem) {
  problem = {};
  problem.code = ProblemCode::kNullKey;
  return blame(column, problem);
}

// Of the two answers of a server this depends on, the more careful one is for Writer::alter().
constexpr std::size_t kMostColumns = 1600;  // of a PostgreSQL table
constexpr int kNewestServer = 1'000'000;

Error asks_for_more(const Plan& plan, const std::vector<Alteration>& all) {
  const std::string what = plan.table.oid == 0
                               ? fmt::format("{} does not exist", plan.target)
                               : fmt::format("the message asks for more than {} has", plan.target);
  const bool guessed = std::ranges::any_of(all, &Alteration::guessed);
  return fail(Domain::kMessage, "schema_change", what,
              fmt::format("{}: {} Then start again. Or set sync.schema_changes: apply_all to have "
                          "it done{}",
                          guessed ? "The messages have no schema, so that types are guesses. "
                                    "Correct and run"
                                  : "Run",
                          to_sql(all), plan.table.oid == 0 ? "." : ", or warn to go on without."))
      .value();
}

void leave_out(message::Type& row, const std::vector<std::string>& names) {
  for (std::size_t i = row.names.size(); i-- > 0;) {
    if (std::ranges::find(names, row.names[i]) == names.end()) continue;
    row.names.erase(row.names.begin() + static_cast<std::ptrdiff_t>(i));
    row.parts.erase(row.parts.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

// A decimal as text, in a message whose schema knows texts only (decimal.handling.mode string).
const message::Type kDecimalText = [] {
  message::Type type;
  type.base = message::Base::kString;
  type.meaning = message::Meaning::kDecimalText;
  return type;
}();

// Doubles from ten million on come as 1.0E7 (decimal.handling.mode double), which money_in refuses.
void without_exponent(Value& value, TextStore& store) {
  if (value.text().find_first_of("eE") == std::string_view::npos) return;
  const double number = std::strtod(std::string(value.text()).c_str(), nullptr);
  value = Value::of(Kind::kNumber, store.keep(fmt::format("{:.4f}", number)));
}

// A text for bytea whose encoding nobody has said.
bool refuse_encoding(const PlanColumn& column, const Value& value, Problem& problem) {
  problem = {};
  problem.code = ProblemCode::kBadEncoding;
  problem.excerpt = message::excerpt_of(value.text());
  problem.detail = unsaid_encoding(column.name);
  return blame(column, problem);
}

// Of its table. An incremental snapshot has no last row.
bool is_last_of_snapshot(const Change& change) {
  const std::string_view said =
      change.metadata[static_cast<std::size_t>(message::EventMeta::kSnapshot)].text();
  return said == "last" || said == "last_in_data_collection";
}

}  // namespace

// All changes of a message, or none of them.
RowBuilder::Outcome RowBuilder::add_changes(TableRows& rows, const Plan& plan, Records& records,
                                            Row row, const message::Expected* expected) {
  const std::size_t bytes = rows.bytes.size();
  const std::size_t count = rows.rows.size();
  const Row unbuilt = row;
  bool first = true;
  do {
    row = unbuilt;
    const std::size_t mark = rows.bytes.size();
    const Outcome outcome = build_change(rows, plan, records, row, expected, first);
    first = outcome == Outcome::kAgain;
    if (outcome == Outcome::kOk) {
      rows.rows.push_back(row);
      if (ends_snapshot_) {
        row.operation = Operation::kSweep;
        rows.rows.push_back(row);
      }
    } else if (outcome == Outcome::kIgnored) {
      rows.bytes.truncate(mark);
      if (plan.table.oid == 0) return outcome;  // none of its rows has a table
    } else {
      rows.rows.resize(count);
      rows.bytes.truncate(bytes);
      if (!first) return outcome;
    }
  } while (first || change_decoder_->more());
  return rows.rows.size() > count ? Outcome::kOk : Outcome::kIgnored;
}

RowBuilder::Outcome RowBuilder::build_change(TableRows& rows, const Plan& plan, Records& records,
                                             Row& row, const message::Expected* expected,
                                             bool first) {
  scratch_.store.clear();
  RecordHeaders headers(records, row.record);
  const message::Message message = records.at(row.record);
  timestamp_ms_ = message.timestamp_ms;
  Change change;
  while (true) {
    const ChangeDecoder::Outcome decoded =
        first ? change_decoder_->decode(message, headers, change, problem_, expected)
              : change_decoder_->next(change, problem_);
    seen_value_ = seen_value_ || !change_decoder_->was_null();
    if (decoded == ChangeDecoder::Outcome::kChange) break;
    if (decoded == ChangeDecoder::Outcome::kProblem) return Outcome::kProblem;
    if (decoded == ChangeDecoder::Outcome::kOtherKey) return other_key(plan);
    if (decoded == ChangeDecoder::Outcome::kOtherTable) return Outcome::kOtherTable;
    if (decoded == ChangeDecoder::Outcome::kStructure) return Outcome::kStructure;
    Demand demand = demand_of(plan, change_decoder_->asked(), change_decoder_->key_fields());
    demand.guessed = decoded == ChangeDecoder::Outcome::kNewFields;
    demand.whole = !demand.guessed;
    const Outcome met = meet(plan, std::move(demand));
    if (met != Outcome::kOk) return met;
    if (decoded == ChangeDecoder::Outcome::kNewSchema) {
      change_decoder_->accept_schema();
      continue;
    }
    // They are left out from now on.
    const auto& names = change_decoder_->asked().names;
    change_config_.ignored.insert(change_config_.ignored.end(), names.begin(), names.end());
    change_decoder_.emplace(change_config_);
    if (!first) return Outcome::kAgain;
  }
  if (plan.table.oid == 0) {
    if (change.kind != Change::Kind::kWrite) return Outcome::kIgnored;  // of what is not there yet
    problem_ = {};
    problem_.code = ProblemCode::kBadEnvelope;
    problem_.detail = fmt::format("a row without any value, and {} is yet to be made", plan.target);
    return Outcome::kProblem;
  }
  if (plan.position >= 0) {
    row.position = position_of(change, plan.columns[static_cast<std::size_t>(plan.position)].meta);
    row.of_snapshot = change.op == 'r';
  }
  ends_snapshot_ = plan.sweeps && row.of_snapshot && is_last_of_snapshot(change);
  if (ends_snapshot_ && (row.is_shared || row.position == kNoPosition)) {
    problem_ = {};
    problem_.code = ProblemCode::kNoPosition;
    problem_.detail = row.is_shared ? "the end of a snapshot, in a topic with several partitions: "
                                      "sync.sweep: after_snapshot is for topics with one"
                                    : "the end of a snapshot that does not say its position";
    return Outcome::kProblem;
  }
  const bool deletes = change.kind == Change::Kind::kDelete || change.kind == Change::Kind::kMove;
  if (deletes && plan.newer >= 0 && change_decoder_->was_null())
    return tombstone_without_position(plan);
  switch (change.kind) {
    case Change::Kind::kNothing:
      return Outcome::kIgnored;
    case Change::Kind::kDelete:
      if (plan.on_delete == task::OnDelete::kIgnore) return Outcome::kIgnored;
      row.operation = plan.history || plan.mark >= 0 ? Operation::kWrite
                      : plan.key_columns > 0         ? Operation::kDelete
                                                     : Operation::kDeleteEqual;
      break;
    case Change::Kind::kMove:
      row.operation = Operation::kMove;
      break;
    case Change::Kind::kTruncate:
      if (plan.history && plan.on_truncate == task::OnTruncate::kApply) break;
      return take_truncate(plan, row);
    case Change::Kind::kWrite:
      if (plan.history) change.before = {};
      row.operation = change.before.values.empty() ? Operation::kWrite : Operation::kUpdateEqual;
      row.is_new = (change.op == 'c' || change.op == 'r') && !change.partial;
      break;
  }
  const Outcome encoded = encode_change(rows, plan, change, row);
  if (!demand_) return encoded;
  Demand demand = std::move(*demand_);
  demand_.reset();
  const Outcome met = meet(plan, std::move(demand));
  return met == Outcome::kOk ? Outcome::kProblem : met;
}

// What older rows are, only positions tell: where other partitions bring theirs in an order of
// their own, or this TRUNCATE itself may be older than the rows.
RowBuilder::Outcome RowBuilder::take_truncate(const Plan& plan, Row& row) {
  if (plan.on_truncate == task::OnTruncate::kIgnore) return Outcome::kIgnored;
  problem_ = {};
  if (plan.on_truncate == task::OnTruncate::kFail) {
    problem_.code = ProblemCode::kBadEnvelope;
    problem_.detail = "a TRUNCATE of the source table, with sync.on_truncate: fail";
    return Outcome::kProblem;
  }
  row.operation = Operation::kTruncate;
  const bool by_position = row.is_shared || plan.newer >= 0;
  if (!by_position) {
    row.position = kNoPosition;
    return Outcome::kOk;
  }
  if (row.position != kNoPosition) return Outcome::kOk;
  problem_.code = ProblemCode::kNoPosition;
  problem_.detail = plan.position >= 0 ? "a TRUNCATE that does not say its position"
                                       : "a TRUNCATE in a topic with several partitions, and no "
                                         "column of sync.metadata holds lsn or position";
  return Outcome::kProblem;
}

// only_if_newer: a tombstone does not say when its row was deleted. Behind a delete that does it is
// nothing; as long as no message has shown it is taken for that, unless there are none of these.
RowBuilder::Outcome RowBuilder::tombstone_without_position(const Plan& plan) {
  const bool alone =
      seen_value_ ? !change_decoder_->says_deletes() : plan.change.format == message::Format::kJson;
  if (!alone || plan.on_delete == task::OnDelete::kIgnore) return Outcome::kIgnored;
  problem_ = {};
  problem_.code = ProblemCode::kNoPosition;
  problem_.detail =
      "a tombstone alone deletes the row, and has no position for sync.only_if_newer: use "
      "delete.tombstone.handling.mode: rewrite at the source";
  return Outcome::kProblem;
}

// The first `count` columns, as they are to be encoded.
bool RowBuilder::take_values(const Plan& plan, const Change::Row& from, std::size_t count,
                             bool partial) {
  for (std::size_t i = 0; i < count; ++i) {
    const PlanColumn& column = plan.columns[i];
    Value value = from.values[i];
    states_[i] = Shape::kPresent;
    const bool unsent = partial && plan.unavailable->is(value);
    unsent_ = unsent_ || unsent;
    if (value.kind == Kind::kAbsent || unsent) {
      if (column.key) return null_key(column, problem_);
      if (plan.history) {
        // A new row has its default; of a deleted one nothing is known.
        const bool defaults = column.has_default && (is_write_ || column.not_null);
        states_[i] = defaults ? Shape::kDefault : Shape::kPresent;
        resolved_[i] = Value::of(Kind::kNull, 0);
        if (defaults || !column.not_null) continue;
        demand_.emplace().null_in = column.name;
        return null_in(column, problem_);
      }
      states_[i] = !updates_ ? Shape::kDefault : unsent ? Shape::kUnsent : Shape::kKeep;
      if (!updates_ && !column.has_default) {
        states_[i] = Shape::kPresent;
        resolved_[i] = Value::of(Kind::kNull, 0);
      }
      // The source has no such column any more, and nobody has said so.
      if (is_whole_ && column.required && !unsent &&
          plan.schema_changes != task::SchemaChanges::kWarn) {
        demand_.emplace().null_in = column.name;
        return null_in(column, problem_);
      }
      continue;
    }
    if (value.kind == Kind::kNull) {
      if (column.key) return null_key(column, problem_);
      if (column.not_null && plan.schema_changes != task::SchemaChanges::kWarn) {
        demand_.emplace().null_in = column.name;
        return null_in(column, problem_);
      }
      resolved_[i] = value;
      continue;
    }
    const bool own_word = column.unit != task::WireUnit::kNone;
    const message::Type* type =
        own_word || from.types[i] == nullptr ? &column.assumed : from.types[i];
    if (type->base == message::Base::kString && type->meaning == message::Meaning::kPlain) {
      if (column.assumed.meaning == message::Meaning::kDecimal) type = &kDecimalText;
      // MariaDB's JSON is a text for its connector.
      if (column.assumed.meaning == message::Meaning::kJson) type = &column.assumed;
    }
    const bool exact = value.kind != Kind::kNumber;
    if (!convert(*type, value, scratch_.store, problem_)) return blame(column, problem_);
    if (column.bounds && is_too_small(*column.bounds, value, exact) &&
        plan.schema_changes != task::SchemaChanges::kWarn) {
      demand_.emplace().exceeded = column.name;
      demand_->whole_digits = whole_digits(*column.bounds, value, exact);
      return too_small(column, value, problem_);
    }
    if (column.is_bytea && value.kind == Kind::kString && !value.text().starts_with("\\x")) {
      return refuse_encoding(column, value, problem_);
    }
    if (column.is_money && value.kind == Kind::kNumber) without_exponent(value, scratch_.store);
    resolved_[i] = value;
  }
  return true;
}

RowBuilder::Outcome RowBuilder::encode_change(TableRows& rows, const Plan& plan,
                                              const Change& change, Row& row) {
  Buffer& out = rows.bytes;
  const bool binary = rows.form == Form::kBinary;
  const auto keys = static_cast<std::size_t>(plan.key_columns);
  const std::size_t all = plan.columns.size();
  const std::size_t of_rows = plan.change.columns.size();
  unsent_ = false;
  is_write_ = change.kind == Change::Kind::kWrite;
  is_whole_ = false;
  updates_ = plan.key_columns > 0 || row.operation == Operation::kUpdateEqual;
  if (!change.before.values.empty()) {
    if (!take_values(plan, change.before, of_rows, false)) return Outcome::kProblem;
    // What is not said is not compared.
    for (std::size_t i = 0; i < all; ++i) {
      const bool said = i < of_rows && change.before.values[i].kind != Kind::kAbsent;
      if (!said) states_[i] = Shape::kKeep;
    }
    const std::size_t begin = out.size();
    if (binary) out.append_u16(0);
    std::uint16_t fields = 0;
    const Outcome outcome = append_fields(rows, plan, 0, all, fields);
    if (outcome != Outcome::kOk) return outcome;
    end_row(out, begin, binary, fields);
    row.before = static_cast<std::uint32_t>(begin);
    row.before_length = static_cast<std::uint32_t>(out.size() - begin);
    row.before_shape = shape_index(rows);
  }
  if (row.operation == Operation::kDeleteEqual) return Outcome::kOk;
  if (row.operation == Operation::kMove) {
    const std::size_t begin = out.size();
    if (binary) out.append_u16(0);
    std::uint16_t fields = 0;
    if (!take_values(plan, change.key, keys, false)) return Outcome::kProblem;
    Outcome outcome = append_fields(rows, plan, 0, keys, fields);
    if (outcome != Outcome::kOk) return outcome;
    row.key_length = static_cast<std::uint32_t>(out.size() - begin - (binary ? 2 : 0));
    if (!take_values(plan, change.row, keys, false)) return Outcome::kProblem;
    const std::size_t second = out.size() + (binary ? 0 : 1);
    outcome = append_fields(rows, plan, 0, keys, fields);
    if (outcome != Outcome::kOk) return outcome;
    row.before_length = static_cast<std::uint32_t>(out.size() - second);
    if (plan.newer >= 0) {
      const auto newer = static_cast<std::size_t>(plan.newer);
      take_beside(plan, change);
      if (states_[newer] != Shape::kPresent) resolved_[newer] = Value::of(Kind::kNull, 0);
      states_[newer] = Shape::kPresent;
      outcome = append_fields(rows, plan, newer, 1, fields);
      if (outcome != Outcome::kOk) return outcome;
    }
    end_row(out, begin, binary, fields);
    row.begin = static_cast<std::uint32_t>(begin);
    row.length = static_cast<std::uint32_t>(out.size() - begin);
    return Outcome::kOk;
  }
  if (row.operation == Operation::kDelete) {
    if (!take_values(plan, change.key, keys, false)) return Outcome::kProblem;
    if (plan.newer >= 0) take_beside(plan, change);
    row.shape = 0;
    return encode(rows, plan, row);
  }
  bool only_existing = false;
  bool must_exist = false;
  if (change.kind == Change::Kind::kWrite) {
    is_whole_ = change.op == 'c' || change.op == 'r';
    if (!take_values(plan, change.row, of_rows, change.partial)) return Outcome::kProblem;
    only_existing =
        plan.on_missing_row != task::OnMissingRow::kInsert && change.op == 'u' && unsent_;
    must_exist = only_existing && plan.on_missing_row == task::OnMissingRow::kFail;
  } else if (plan.history) {  // a delete, of which the key is known, or a TRUNCATE
    static const std::vector<Value> kNothing(kMostColumns);
    static const std::vector<const message::Type*> kNoTypes(kMostColumns);
    const Change::Row nothing{std::span(kNothing).first(of_rows),
                              std::span(kNoTypes).first(of_rows)};
    const Change::Row& known = change.key.values.empty() ? nothing : change.key;
    if (!take_values(plan, known, of_rows, false)) return Outcome::kProblem;
  } else {  // a row that is marked as deleted
    if (!take_values(plan, change.key, keys, false)) return Outcome::kProblem;
    std::fill(states_.begin() + static_cast<std::ptrdiff_t>(keys), states_.end(), Shape::kKeep);
    only_existing = true;
  }
  take_beside(plan, change);
  row.shape = shape_index(rows, only_existing, must_exist);
  return encode(rows, plan, row);
}

// What stands beside the row: metadata of the event, and the mark of deleted rows.
void RowBuilder::take_beside(const Plan& plan, const Change& change) {
  constexpr postgres::Oid kPgLsn = 3220;
  const bool deleted = change.kind == Change::Kind::kDelete || change.kind == Change::Kind::kMove;
  for (std::size_t i = plan.change.columns.size(); i < plan.columns.size(); ++i) {
    const PlanColumn& column = plan.columns[i];
    Value& value = resolved_[i];
    states_[i] = Shape::kPresent;
    value = Value::of(Kind::kNull, 0);
    if (column.beside == PlanColumn::Beside::kMark) {
      if (plan.table.find(column.name)->type.oid == postgres::oid::kBool) {
        value = Value::of(Kind::kBool, deleted ? 1 : 0);
      } else if (deleted) {
        value = Value::of(Kind::kMicros, timestamp_ms_ * 1000);
      }
      continue;
    }
    const Value& said = change.metadata[static_cast<std::size_t>(column.meta)];
    // A tombstone behind a delete says nothing: what the delete has said stays.
    if (deleted && plan.mark >= 0 && column.meta != message::EventMeta::kOp &&
        said.kind == Kind::kAbsent && column.meta != message::EventMeta::kPosition) {
      states_[i] = Shape::kKeep;
      continue;
    }
    switch (column.meta) {
      case message::EventMeta::kOp:
        if (change.op != '\0')
          value = Value::of(Kind::kString, scratch_.store.keep({&change.op, 1}));
        break;
      case message::EventMeta::kTime:
      case message::EventMeta::kSourceTime: {
        std::int64_t time_ms = 0;
        const std::string_view text = said.text();
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), time_ms);
        if (said.kind == Kind::kNumber && error == std::errc() &&
            end == text.data() + text.size()) {
          value = Value::of(Kind::kMicros, time_ms * 1000);
        }
        break;
      }
      case message::EventMeta::kLsn: {
        std::uint64_t lsn = 0;
        const std::string_view text = said.text();
        const auto parsed = std::from_chars(text.data(), text.data() + text.size(), lsn);
        if (said.kind != Kind::kNumber || parsed.ec != std::errc()) break;
        value = said;
        if (plan.table.find(column.name)->type.oid == kPgLsn) {
          value = Value::of(Kind::kString, scratch_.store.keep(fmt::format("{:X}/{:X}", lsn >> 32,
                                                                           lsn & 0xffffffffU)));
        }
        break;
      }
      case message::EventMeta::kPosition: {
        const std::int64_t position = position_of(change, column.meta);
        if (position != kNoPosition) value = Value::of(Kind::kInteger, position);
        if (position == kNoPosition && deleted && plan.mark >= 0) states_[i] = Shape::kKeep;
        break;
      }
      case message::EventMeta::kSnapshot:  // no column's
        break;
      case message::EventMeta::kFile:
      case message::EventMeta::kPos:
      case message::EventMeta::kTxId:
        if (said.kind != Kind::kAbsent) value = said;
        break;
    }
  }
}

Demand RowBuilder::demand_of(const Plan& plan, message::Type row,
                             std::span<const std::string> key) const {
  Demand demand;
  demand.row = std::move(row);
  demand.key = plan.named_key;
  if (demand.key.empty() && !plan.history) demand.key.assign(key.begin(), key.end());
  demand.own_columns = plan.own_columns;
  demand.beside = plan.beside;
  demand.history = plan.history;
  return demand;
}

// Such events have no order against rows: so what they do not name is not taken for gone.
RowBuilder::Outcome RowBuilder::ask(const Plan& plan, const message::TableChange& change) {
  if (on_demand_ == OnDemand::kNote) told_ = change.row.names;
  Demand demand = demand_of(plan, change.row, change.key);
  demand.told = true;
  return meet(plan, std::move(demand));
}

// Logs or notes what was not before; whether there was any.
bool RowBuilder::mention(const std::vector<Alteration>& all) {
  bool any = false;
  for (const auto& alteration : all) {
    if (std::ranges::find(demanded_sql_, alteration.sql) != demanded_sql_.end()) continue;
    demanded_sql_.push_back(alteration.sql);
    any = true;
  }
  return any;
}

// kOk: the table has what is asked for, or the message goes on without.
RowBuilder::Outcome RowBuilder::meet(const Plan& plan, Demand demand) {
  if (demand.guessed && !told_.empty()) {
    if (plan.table.oid == 0) return Outcome::kIgnored;
    leave_out(demand.row, told_);
  }
  const auto all = alterations(plan.table, demand, kNewestServer);
  if (all.empty()) return Outcome::kOk;
  const Chosen chosen = choose(plan.schema_changes, all);
  const bool makes = plan.table.oid == 0;
  if (chosen.enough && on_demand_ == OnDemand::kNote) {
    mention(chosen.now);
    const bool of_row = !demand.null_in.empty() || !demand.exceeded.empty();
    return makes || of_row ? Outcome::kIgnored : Outcome::kOk;
  }
  if (chosen.enough && chosen.now.empty()) {
    if (mention(all)) {
      log::warning("the table has not all that messages ask for",
                   {{"table", plan.target}, {"sql", to_sql(all)}});
    }
    return Outcome::kOk;
  }
  stop_ = {};
  stop_.error = asks_for_more(plan, all);
  stop_.guess = demand.guessed;
  if (chosen.enough) stop_.demand = std::move(demand);
  return Outcome::kStop;
}

RowBuilder::Outcome RowBuilder::other_key(const Plan& plan) {
  std::string names;
  std::string list;
  for (const auto& name : change_decoder_->key_fields()) {
    names += (names.empty() ? "" : ", ") + name;
    list += (list.empty() ? "" : ", ") + Connection::identifier(name);
  }
  const std::vector<std::string> ours(plan.change.columns.begin(),
                                      plan.change.columns.begin() + plan.key_columns);
  std::string drop;
  for (const auto& index : plan.table.unique_indexes) {
    if (index.primary)
      drop = fmt::format("DROP CONSTRAINT {}, ", Connection::identifier(index.name));
  }
  stop_ = {};
  stop_.error =
      fail(Domain::kMessage, "other_key",
           fmt::format("the message's key is ({}), that of {} is ({})", names, plan.target,
                       fmt::join(ours, ", ")),
           fmt::format("Give the target the source's key: ALTER TABLE {} {}ADD PRIMARY KEY ({}); "
                       "then start again. Or name the key to go by in sync.primary_key.",
                       plan.target, drop, list))
          .value();
  return Outcome::kStop;
}

}  // namespace sluice::sink
