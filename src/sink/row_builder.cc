#include "sink/row_builder.h"

#include <algorithm>
#include <utility>

#include "sink/fields.h"

namespace sluice::sink {

using message::Kind;
using message::Problem;
using message::ProblemCode;
using message::Value;

RowBuilder::RowBuilder(message::Decoder decoder, OnDemand on_demand)
    : decoder_(std::move(decoder)), on_demand_(on_demand) {}

Result<RowBuilder> RowBuilder::create(const Plan& plan, OnDemand on_demand) {
  auto decoder = message::Decoder::compile(plan.decoder);
  if (!decoder) return fail(decoder.error());
  RowBuilder builder(std::move(*decoder), on_demand);
  builder.values_.resize(builder.decoder_.slots());
  builder.resolved_.resize(plan.columns.size());
  builder.states_.assign(plan.columns.size(), Shape::kPresent);
  if (plan.mirror) {
    builder.change_config_ = plan.change;
    builder.change_decoder_.emplace(plan.change);
  }
  return builder;
}

RowBuilder::Outcome RowBuilder::add(TableRows& rows, const Plan& plan, Records& records,
                                    std::uint32_t record, Place place,
                                    const message::Expected* expected) {
  Row row;
  row.record = record;
  row.partition = place.partition;
  row.is_shared = place.has_siblings;
  if (plan.mirror) return add_changes(rows, plan, records, row, expected);
  const std::size_t mark = rows.bytes.size();
  const Outcome outcome = build(
      rows, plan, plan.decoder_reads_headers ? records.full(record) : records.at(record), row);
  if (outcome == Outcome::kOk) {
    rows.rows.push_back(row);
  } else {
    rows.bytes.truncate(mark);
  }
  return outcome;
}

RowBuilder::Outcome RowBuilder::build(TableRows& rows, const Plan& plan,
                                      const message::Message& message, Row& row) {
  const Outcome decoded = decode(plan, message, row);
  if (decoded != Outcome::kOk) return decoded;
  const int columns = row.operation == Operation::kDelete ? plan.key_columns
                                                          : static_cast<int>(plan.columns.size());
  if (!resolve(plan, columns)) return Outcome::kProblem;
  row.shape = row.operation == Operation::kDelete ? 0 : shape_index(rows);
  return encode(rows, plan, row);
}

RowBuilder::Outcome RowBuilder::decode(const Plan& plan, const message::Message& message,
                                       Row& row) {
  if (message.value_null && plan.on_tombstone != task::OnTombstone::kFail) {
    if (plan.on_tombstone == task::OnTombstone::kIgnore) return Outcome::kIgnored;
    row.operation = Operation::kDelete;
    return decoder_.decode_key(message, plan.key_slots, values_, problem_) ? Outcome::kOk
                                                                           : Outcome::kProblem;
  }
  return decoder_.decode(message, values_, problem_) ? Outcome::kOk : Outcome::kProblem;
}

namespace {

bool blame(Problem& problem, ProblemCode code, const PlanColumn& column) {
  problem = {};
  problem.code = code;
  problem.field = column.field;
  problem.column = column.name;
  return false;
}

}  // namespace

// Applies on_absent and on_null: resolved_ gets what is encoded, states_ what is left out.
bool RowBuilder::resolve(const Plan& plan, int columns) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(columns); ++i) {
    const PlanColumn& column = plan.columns[i];
    const Value& found = values_[static_cast<std::size_t>(column.slot)];
    if (found.kind != Kind::kAbsent && found.kind != Kind::kNull) {
      // Copied whole: a copy that was changed by its parts a moment ago waits for the stores, and
      // that was an eighth of the lane's time.
      resolved_[i] = found;
      states_[i] = Shape::kPresent;
      continue;
    }
    Value value = found;
    char state = Shape::kPresent;
    if (value.kind == Kind::kAbsent) {
      switch (column.on_absent) {
        case task::OnAbsent::kDefault:
          if (column.constant) {
            value = column.constant_value();
          } else if (column.optional) {
            state = Shape::kDefault;
          } else {
            value.kind = Kind::kNull;
          }
          break;
        case task::OnAbsent::kNull:
          value.kind = Kind::kNull;
          break;
        case task::OnAbsent::kKeep:
          state = Shape::kKeep;
          break;
        case task::OnAbsent::kFail:
          return blame(problem_, ProblemCode::kAbsentField, column);
      }
    } else if (value.kind == Kind::kNull) {
      if (column.on_null == task::OnNull::kFail) {
        return blame(problem_, ProblemCode::kNullField, column);
      }
      if (column.on_null == task::OnNull::kDefault) {
        if (column.constant) {
          value = column.constant_value();
        } else if (column.optional) {
          state = Shape::kDefault;
        }
      }
    }
    if (column.key && (state != Shape::kPresent || value.kind == Kind::kNull)) {
      return blame(problem_, ProblemCode::kNullKey, column);
    }
    resolved_[i] = value;
    states_[i] = state;
  }
  return true;
}

std::uint16_t RowBuilder::shape_index(TableRows& rows, bool only_existing, bool must_exist) {
  const auto is = [&](const Shape& shape) {
    return shape.states == states_ && shape.only_existing == only_existing &&
           shape.must_exist == must_exist;
  };
  // Rows of one topic mostly look alike: the last shape first.
  if (!rows.shapes.empty() && is(rows.shapes.back())) {
    return static_cast<std::uint16_t>(rows.shapes.size() - 1);
  }
  const auto found = std::ranges::find_if(rows.shapes, is);
  if (found != rows.shapes.end()) {
    return static_cast<std::uint16_t>(found - rows.shapes.begin());
  }
  rows.shapes.push_back({states_, only_existing, must_exist});
  return static_cast<std::uint16_t>(rows.shapes.size() - 1);
}

// The columns [first, first + count) that are present, from resolved_.
RowBuilder::Outcome RowBuilder::append_fields(TableRows& rows, const Plan& plan, std::size_t first,
                                              std::size_t count, std::uint16_t& fields) {
  Buffer& out = rows.bytes;
  const bool binary = rows.form == Form::kBinary;
  for (std::size_t i = first; i < first + count; ++i) {
    if (states_[i] != Shape::kPresent) continue;
    const ColumnEncoder& encoder = plan.columns[i].encoder;
    if (!binary && fields > 0) out.append('\t');
    const Encoded encoded = binary ? encoder.binary(resolved_[i], out, scratch_, problem_)
                                   : encoder.copy_text(resolved_[i], out, scratch_, problem_);
    if (encoded == Encoded::kNeedsText) return Outcome::kNeedsText;
    if (encoded == Encoded::kProblem) {
      problem_.field = plan.columns[i].field;
      problem_.column = plan.columns[i].name;
      return Outcome::kProblem;
    }
    ++fields;
  }
  return Outcome::kOk;
}

RowBuilder::Outcome RowBuilder::encode(TableRows& rows, const Plan& plan, Row& row) {
  Buffer& out = rows.bytes;
  const std::size_t begin = out.size();
  const bool binary = rows.form == Form::kBinary;
  const auto keys = static_cast<std::size_t>(plan.key_columns);
  if (binary) out.append_u16(0);
  std::uint16_t fields = 0;
  Outcome outcome = append_fields(rows, plan, 0, keys, fields);
  if (outcome != Outcome::kOk) return outcome;
  row.key_length = static_cast<std::uint32_t>(out.size() - begin - (binary ? 2 : 0));
  if (row.operation != Operation::kDelete) {
    outcome = append_fields(rows, plan, keys, plan.columns.size() - keys, fields);
    if (outcome != Outcome::kOk) return outcome;
  } else if (plan.mirror && plan.newer >= 0) {
    outcome = append_fields(rows, plan, static_cast<std::size_t>(plan.newer), 1, fields);
    if (outcome != Outcome::kOk) return outcome;
  }
  end_row(out, begin, binary, fields);
  row.begin = static_cast<std::uint32_t>(begin);
  row.length = static_cast<std::uint32_t>(out.size() - begin);
  return Outcome::kOk;
}

}  // namespace sluice::sink
