// The part of RowBuilder for change events (sync.mode: mirror).
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "postgres/connection.h"
#include "sink/batch.h"
#include "sink/column_type.h"
#include "sink/convert.h"
#include "sink/fields.h"

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

bool null_key(const PlanColumn& column, Problem& problem) {
  problem = {};
  problem.code = ProblemCode::kNullKey;
  return blame(column, problem);
}

// A decimal as text, in a message whose schema knows texts only (decimal.handling.mode string).
const message::Type kDecimalText = [] {
  message::Type type;
  type.base = message::Base::kString;
  type.meaning = message::Meaning::kDecimalText;
  return type;
}();

// A text for bytea whose encoding nobody has said: "deadbeef" is both hex and base64.
bool unsaid_encoding(const PlanColumn& column, const Value& value, Problem& problem) {
  problem = {};
  problem.code = ProblemCode::kBadEncoding;
  problem.excerpt = message::excerpt_of(value.text());
  problem.detail = fmt::format(
      "a text, and the message does not say how it holds bytes: set sync.units to "
      "{{{}: base64}} or hex, as the connector's binary.handling.mode says",
      column.name);
  return blame(column, problem);
}

}  // namespace

RowBuilder::Outcome RowBuilder::build_change(Batch& batch, const Plan& plan, Records& records,
                                             std::uint32_t index, Row& row, Problem& problem) {
  scratch_.store.clear();
  RecordHeaders headers(records, index);
  const message::Message message = records.at(index);
  Change change;
  ChangeDecoder::Outcome outcome = change_decoder_->decode(message, headers, change, problem);
  if (outcome == ChangeDecoder::Outcome::kNewFields &&
      plan.schema_changes == task::SchemaChanges::kWarn) {
    warn_of(plan);
    outcome = change_decoder_->decode(message, headers, change, problem);
  }
  switch (outcome) {
    case ChangeDecoder::Outcome::kChange:
      break;
    case ChangeDecoder::Outcome::kProblem:
      return Outcome::kProblem;
    case ChangeDecoder::Outcome::kNewFields:
    case ChangeDecoder::Outcome::kOtherKey:
      return stop_at(batch, plan, outcome);
  }
  switch (change.kind) {
    case Change::Kind::kNothing:
      return Outcome::kIgnored;
    case Change::Kind::kDelete:
      if (plan.on_delete == task::OnDelete::kIgnore) return Outcome::kIgnored;
      row.operation = plan.key_columns > 0 ? Operation::kDelete : Operation::kDeleteEqual;
      break;
    case Change::Kind::kMove:
      row.operation = Operation::kMove;
      break;
    case Change::Kind::kTruncate:
      if (plan.on_truncate == task::OnTruncate::kIgnore) return Outcome::kIgnored;
      if (plan.on_truncate == task::OnTruncate::kFail) {
        problem = {};
        problem.code = ProblemCode::kBadEnvelope;
        problem.detail = "a TRUNCATE of the source table, with sync.on_truncate: fail";
        return Outcome::kProblem;
      }
      row.operation = Operation::kTruncate;
      return Outcome::kOk;
    case Change::Kind::kWrite:
      row.operation = change.before.values.empty() ? Operation::kWrite : Operation::kUpdateEqual;
      break;
  }
  return encode_change(batch, plan, change, row, problem);
}

// The first `count` columns, as they are to be encoded.
bool RowBuilder::take_values(const Plan& plan, const Change::Row& from, std::size_t count,
                             bool partial, Problem& problem) {
  for (std::size_t i = 0; i < count; ++i) {
    const PlanColumn& column = plan.columns[i];
    Value value = from.values[i];
    states_[i] = Shape::kPresent;
    if (value.kind == Kind::kAbsent || (partial && plan.unavailable->is(value))) {
      if (column.key) return null_key(column, problem);
      states_[i] = plan.key_columns > 0 ? Shape::kKeep : Shape::kDefault;
      if (plan.key_columns == 0 && !column.has_default) {
        states_[i] = Shape::kPresent;
        resolved_[i] = Value::of(Kind::kNull, 0);
      }
      continue;
    }
    if (value.kind == Kind::kNull) {
      if (column.key) return null_key(column, problem);
      resolved_[i] = value;
      continue;
    }
    const bool own_word = column.unit != task::WireUnit::kNone;
    const message::Type* type =
        own_word || from.types[i] == nullptr ? &column.assumed : from.types[i];
    if (type->base == message::Base::kString && type->meaning == message::Meaning::kPlain &&
        column.assumed.meaning == message::Meaning::kDecimal) {
      type = &kDecimalText;
    }
    if (!convert(*type, value, scratch_.store, problem)) return blame(column, problem);
    if (column.is_bytea && value.kind == Kind::kString && !value.text().starts_with("\\x")) {
      return unsaid_encoding(column, value, problem);
    }
    resolved_[i] = value;
  }
  return true;
}

RowBuilder::Outcome RowBuilder::encode_change(Batch& batch, const Plan& plan, const Change& change,
                                              Row& row, Problem& problem) {
  Buffer& out = batch.bytes;
  const bool binary = batch.form == Form::kBinary;
  const auto keys = static_cast<std::size_t>(plan.key_columns);
  const std::size_t all = plan.columns.size();
  if (!change.before.values.empty()) {
    if (!take_values(plan, change.before, all, false, problem)) return Outcome::kProblem;
    // What is not said is not compared.
    for (std::size_t i = 0; i < all; ++i) {
      if (change.before.values[i].kind == Kind::kAbsent) states_[i] = Shape::kKeep;
    }
    const std::size_t begin = out.size();
    if (binary) out.append_u16(0);
    std::uint16_t fields = 0;
    const Outcome outcome = append_fields(batch, plan, 0, all, fields, problem);
    if (outcome != Outcome::kOk) return outcome;
    end_row(out, begin, binary, fields);
    row.before = static_cast<std::uint32_t>(begin);
    row.before_length = static_cast<std::uint32_t>(out.size() - begin);
    row.before_shape = shape_index(batch);
  }
  if (row.operation == Operation::kDeleteEqual) return Outcome::kOk;
  if (row.operation == Operation::kMove) {
    const std::size_t begin = out.size();
    if (binary) out.append_u16(0);
    std::uint16_t fields = 0;
    if (!take_values(plan, change.key, keys, false, problem)) return Outcome::kProblem;
    Outcome outcome = append_fields(batch, plan, 0, keys, fields, problem);
    if (outcome != Outcome::kOk) return outcome;
    row.key_length = static_cast<std::uint32_t>(out.size() - begin - (binary ? 2 : 0));
    if (!take_values(plan, change.row, keys, false, problem)) return Outcome::kProblem;
    outcome = append_fields(batch, plan, 0, keys, fields, problem);
    if (outcome != Outcome::kOk) return outcome;
    end_row(out, begin, binary, fields);
    row.begin = static_cast<std::uint32_t>(begin);
    row.length = static_cast<std::uint32_t>(out.size() - begin);
    return Outcome::kOk;
  }
  const bool only_key = row.operation == Operation::kDelete;
  const bool taken = only_key ? take_values(plan, change.key, keys, false, problem)
                              : take_values(plan, change.row, all, change.partial, problem);
  if (!taken) return Outcome::kProblem;
  row.shape = only_key ? 0 : shape_index(batch);
  return encode(batch, plan, row, problem);
}

// schema_changes: warn. The fields are left out from now on, and said once.
void RowBuilder::warn_of(const Plan& plan) {
  for (const auto& field : change_decoder_->new_fields()) {
    log::warning("a field that no column takes is left out",
                 {{"table", plan.target}, {"field", field.name}});
    change_config_.ignored.push_back(field.name);
  }
  change_decoder_.emplace(change_config_);
}

RowBuilder::Outcome RowBuilder::stop_at(Batch& batch, const Plan& plan,
                                        ChangeDecoder::Outcome outcome) {
  std::vector<std::string> names;
  if (outcome == ChangeDecoder::Outcome::kNewFields) {
    std::string sql;
    for (const auto& field : change_decoder_->new_fields()) {
      names.push_back(field.name);
      sql += fmt::format("{} ADD COLUMN {} {}", sql.empty() ? "" : ",",
                         Connection::identifier(field.name),
                         field.type == nullptr ? "TYPE" : column_type(*field.type));
    }
    batch.stop = fail(Domain::kMessage, "new_fields",
                      fmt::format("the message has fields that {} has no column for: {}",
                                  plan.target, fmt::join(names, ", ")),
                      fmt::format("Add them: ALTER TABLE {}{}; then start again. Or set "
                                  "sync.schema_changes: warn to leave them out.",
                                  plan.target, sql))
                     .value();
  } else {
    const auto fields = change_decoder_->key_fields();
    std::string list;
    for (const auto& name : fields) {
      names.push_back(name);
      list += (list.empty() ? "" : ", ") + Connection::identifier(name);
    }
    std::vector<std::string> ours(plan.change.columns.begin(),
                                  plan.change.columns.begin() + plan.key_columns);
    batch.stop =
        fail(Domain::kMessage, "other_key",
             fmt::format("the message's key is ({}), that of {} is ({})", fmt::join(names, ", "),
                         plan.target, fmt::join(ours, ", ")),
             fmt::format("Give the target the source's key: ALTER TABLE {} ... ADD PRIMARY KEY "
                         "({}); or name the key to go by in sync.primary_key.",
                         plan.target, list))
            .value();
  }
  return Outcome::kStop;
}

}  // namespace sluice::sink
