#include "sink/batch.h"

#include <algorithm>
#include <utility>

#include "sink/fields.h"

namespace sluice::sink {

using message::Kind;
using message::Problem;
using message::ProblemCode;
using message::Value;

void Batch::clear() {
  bytes.clear();
  rows.clear();
  shapes.clear();
  failures.clear();
  partitions.clear();
  record_partitions.clear();
  stop.reset();
}

std::uint16_t Batch::partition_index(const ledger::Key& key, std::int64_t from) {
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    if (partitions[i].key == key) return static_cast<std::uint16_t>(i);
  }
  partitions.push_back({.key = key, .from = from, .to = from});
  return static_cast<std::uint16_t>(partitions.size() - 1);
}

RowBuilder::RowBuilder(message::Decoder decoder, task::Tuning::CopyFormat copy_format, bool retain)
    : decoder_(std::move(decoder)), copy_format_(copy_format), retain_(retain) {}

Result<RowBuilder> RowBuilder::create(const Plan& plan, task::Tuning::CopyFormat copy_format,
                                      bool retain) {
  auto decoder = message::Decoder::compile(plan.decoder);
  if (!decoder) return fail(decoder.error());
  RowBuilder builder(std::move(*decoder), copy_format, retain);
  builder.values_.resize(builder.decoder_.slots());
  builder.resolved_.resize(plan.columns.size());
  builder.states_.assign(plan.columns.size(), Shape::kPresent);
  if (plan.mirror) {
    builder.change_config_ = plan.change;
    builder.change_decoder_.emplace(plan.change);
  }
  return builder;
}

void RowBuilder::begin(Batch& batch, const Plan& plan) const {
  batch.clear();
  const bool binary = plan.binary && copy_format_ != task::Tuning::CopyFormat::kText;
  batch.form = binary ? Form::kBinary : Form::kText;
}

RowBuilder::Added RowBuilder::add(Batch& batch, const Plan& plan, Records& records,
                                  std::uint16_t partition) {
  const auto index = static_cast<std::uint32_t>(records.size() - 1);
  batch.record_partitions.push_back(partition);
  bool needs_text = false;
  const Added added = add_record(batch, plan, records, index, needs_text);
  if (!needs_text) return added;
  const std::size_t failures = batch.failures.size();
  const std::size_t rows = batch.rows.size();
  rebuild(batch, plan, records, Form::kText);
  if (batch.stop) return Added::kStop;
  if (batch.failures.size() > failures) return Added::kFailure;
  return batch.rows.size() > rows ? Added::kRow : Added::kNothing;
}

void RowBuilder::rebuild(Batch& batch, const Plan& plan, Records& records, Form form) {
  batch.form = form;
  batch.bytes.clear();
  batch.rows.clear();
  batch.shapes.clear();
  batch.failures.clear();
  batch.stop.reset();
  for (auto& range : batch.partitions) {
    range.cut = -1;
    range.ignored = 0;
  }
  bool needs_text = false;
  for (std::uint32_t i = 0; i < batch.record_partitions.size(); ++i) {
    add_record(batch, plan, records, i, needs_text);
    if (needs_text) return rebuild(batch, plan, records, Form::kText);
  }
}

RowBuilder::Added RowBuilder::add_record(Batch& batch, const Plan& plan, Records& records,
                                         std::uint32_t index, bool& needs_text) {
  const std::uint16_t partition = batch.record_partitions[index];
  auto& range = batch.partitions[partition];
  if (range.cut >= 0) return Added::kNothing;
  const message::Message message =
      plan.decoder_reads_headers ? records.full(index) : records.at(index);
  Row row;
  row.record = index;
  row.partition = partition;
  const std::size_t mark = batch.bytes.size();
  switch (plan.mirror ? build_change(batch, plan, records, index, row, problem_)
                      : build(batch, plan, message, row, problem_)) {
    case Outcome::kOk:
      batch.rows.push_back(row);
      return Added::kRow;
    case Outcome::kIgnored:
      ++range.ignored;
      return Added::kNothing;
    case Outcome::kNeedsText:
      SLUICE_CHECK(batch.form == Form::kBinary);
      batch.bytes.truncate(mark);
      needs_text = true;
      return Added::kNothing;
    case Outcome::kProblem:
      batch.bytes.truncate(mark);
      batch.failures.push_back({index, partition, message::to_error(problem_)});
      if (retain_) range.cut = message.offset;
      return Added::kFailure;
    case Outcome::kStop:
      batch.bytes.truncate(mark);
      if (on_demand_ == OnDemand::kStop) {
        range.cut = message.offset;
        return Added::kStop;
      }
      batch.failures.push_back({index, partition, std::move(batch.stop->error)});
      batch.stop.reset();
      return Added::kFailure;
  }
  return Added::kNothing;
}

RowBuilder::Outcome RowBuilder::build(Batch& batch, const Plan& plan,
                                      const message::Message& message, Row& row, Problem& problem) {
  const Outcome decoded = decode(plan, message, row, problem);
  if (decoded != Outcome::kOk) return decoded;
  const int columns = row.operation == Operation::kDelete ? plan.key_columns
                                                          : static_cast<int>(plan.columns.size());
  if (!resolve(plan, columns, problem)) return Outcome::kProblem;
  row.shape = row.operation == Operation::kDelete ? 0 : shape_index(batch);
  return encode(batch, plan, row, problem);
}

RowBuilder::Outcome RowBuilder::decode(const Plan& plan, const message::Message& message, Row& row,
                                       Problem& problem) {
  if (message.value_null && plan.on_tombstone != task::OnTombstone::kFail) {
    if (plan.on_tombstone == task::OnTombstone::kIgnore) return Outcome::kIgnored;
    row.operation = Operation::kDelete;
    return decoder_.decode_key(message, plan.key_slots, values_, problem) ? Outcome::kOk
                                                                          : Outcome::kProblem;
  }
  return decoder_.decode(message, values_, problem) ? Outcome::kOk : Outcome::kProblem;
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
bool RowBuilder::resolve(const Plan& plan, int columns, Problem& problem) {
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
          return blame(problem, ProblemCode::kAbsentField, column);
      }
    } else if (value.kind == Kind::kNull) {
      if (column.on_null == task::OnNull::kFail) {
        return blame(problem, ProblemCode::kNullField, column);
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
      return blame(problem, ProblemCode::kNullKey, column);
    }
    resolved_[i] = value;
    states_[i] = state;
  }
  return true;
}

std::uint16_t RowBuilder::shape_index(Batch& batch, bool only_existing) {
  const auto is = [&](const Shape& shape) {
    return shape.states == states_ && shape.only_existing == only_existing;
  };
  // Rows of one topic mostly look alike: the last shape first.
  if (!batch.shapes.empty() && is(batch.shapes.back())) {
    return static_cast<std::uint16_t>(batch.shapes.size() - 1);
  }
  const auto found = std::ranges::find_if(batch.shapes, is);
  if (found != batch.shapes.end()) {
    return static_cast<std::uint16_t>(found - batch.shapes.begin());
  }
  batch.shapes.push_back({states_, only_existing});
  return static_cast<std::uint16_t>(batch.shapes.size() - 1);
}

// The columns [first, first + count) that are present, from resolved_.
RowBuilder::Outcome RowBuilder::append_fields(Batch& batch, const Plan& plan, std::size_t first,
                                              std::size_t count, std::uint16_t& fields,
                                              Problem& problem) {
  Buffer& out = batch.bytes;
  const bool binary = batch.form == Form::kBinary;
  for (std::size_t i = first; i < first + count; ++i) {
    if (states_[i] != Shape::kPresent) continue;
    const ColumnEncoder& encoder = plan.columns[i].encoder;
    if (!binary && fields > 0) out.append('\t');
    const Encoded encoded = binary ? encoder.binary(resolved_[i], out, scratch_, problem)
                                   : encoder.copy_text(resolved_[i], out, scratch_, problem);
    if (encoded == Encoded::kNeedsText) return Outcome::kNeedsText;
    if (encoded == Encoded::kProblem) {
      problem.field = plan.columns[i].field;
      problem.column = plan.columns[i].name;
      return Outcome::kProblem;
    }
    ++fields;
  }
  return Outcome::kOk;
}

RowBuilder::Outcome RowBuilder::encode(Batch& batch, const Plan& plan, Row& row, Problem& problem) {
  Buffer& out = batch.bytes;
  const std::size_t begin = out.size();
  const bool binary = batch.form == Form::kBinary;
  const auto keys = static_cast<std::size_t>(plan.key_columns);
  if (binary) out.append_u16(0);
  std::uint16_t fields = 0;
  Outcome outcome = append_fields(batch, plan, 0, keys, fields, problem);
  if (outcome != Outcome::kOk) return outcome;
  row.key_length = static_cast<std::uint32_t>(out.size() - begin - (binary ? 2 : 0));
  if (row.operation != Operation::kDelete) {
    outcome = append_fields(batch, plan, keys, plan.columns.size() - keys, fields, problem);
    if (outcome != Outcome::kOk) return outcome;
  }
  end_row(out, begin, binary, fields);
  row.begin = static_cast<std::uint32_t>(begin);
  row.length = static_cast<std::uint32_t>(out.size() - begin);
  return Outcome::kOk;
}

}  // namespace sluice::sink
