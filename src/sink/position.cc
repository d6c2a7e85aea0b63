#include "sink/position.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "postgres/connection.h"
#include "postgres/encode.h"

namespace sluice::sink {

using message::EventMeta;
using message::Kind;

namespace {

constexpr postgres::Oid kPgLsn = 3220;  // pg_type.dat

std::optional<std::int64_t> number_of(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

std::string name_of(const Plan& plan, int column) {
  return postgres::Connection::identifier(plan.columns[static_cast<std::size_t>(column)].name);
}

bool fits(EventMeta meta, postgres::Oid type) {
  namespace oid = postgres::oid;
  if (type == oid::kInt8 || type == oid::kNumeric) return true;
  return meta == EventMeta::kLsn ? type == kPgLsn
                                 : meta == EventMeta::kSourceTime && type == oid::kTimestamptz;
}

}  // namespace

std::int64_t position_of(const message::Change& change, EventMeta meta) {
  const auto said = [&](EventMeta of) {
    return number_of(change.metadata[static_cast<std::size_t>(of)].text());
  };
  if (meta != EventMeta::kPosition) return said(meta).value_or(kNoPosition);
  const std::string_view file = change.metadata[static_cast<std::size_t>(EventMeta::kFile)].text();
  const auto number = number_of(file.substr(file.rfind('.') + 1));
  const auto place = said(EventMeta::kPos);
  constexpr std::int64_t kMost = std::int64_t{1} << 31;
  if (!number || !place || *number >= kMost || *place >= 2 * kMost) return kNoPosition;
  return *number << 32 | *place;
}

std::optional<Error> choose_position(const task::Task& task, Plan& plan) {
  const auto& newer = task.sync.only_if_newer;
  if (plan.columns.empty()) return std::nullopt;
  int op = -1;
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    const PlanColumn& column = plan.columns[i];
    if (column.beside != PlanColumn::Beside::kMeta) continue;
    const auto index = static_cast<int>(i);
    if (column.meta == EventMeta::kOp) op = index;
    const bool places = column.meta == EventMeta::kLsn || column.meta == EventMeta::kPosition;
    if (!(newer ? column.name == *newer : places && plan.position < 0)) continue;
    const postgres::Type& type = plan.table.find(column.name)->type;
    if (fits(column.meta, type.oid)) {
      plan.position = index;
      continue;
    }
    if (!newer) continue;
    return fail(Domain::kDocument, "sync.only_if_newer",
                fmt::format("column \"{}\" of {} is {}, which does not keep the order of the "
                            "source's positions",
                            column.name, plan.target, type.name),
                fmt::format("Use a column of type {}.",
                            column.meta == EventMeta::kLsn          ? "bigint or pg_lsn"
                            : column.meta == EventMeta::kSourceTime ? "timestamptz or bigint"
                                                                    : "bigint"))
        .value();
  }
  plan.sweeps = task.sync.sweep == task::Sweep::kAfterSnapshot;
  if (plan.sweeps && plan.position < 0) {
    return fail(Domain::kDocument, "sync.sweep",
                fmt::format(
                    "no column of {} for lsn or position is of a type that keeps their order",
                    plan.target),
                "Use a column of type bigint.")
        .value();
  }
  if (!newer) return std::nullopt;
  if (plan.key_columns == 0) {
    return fail(Domain::kDocument, "sync.only_if_newer",
                fmt::format("{} has no key by which rows are found", plan.target),
                "Give it a primary key, or name its columns in sync.primary_key.")
        .value();
  }
  plan.newer = plan.position;
  const bool exact =
      plan.columns[static_cast<std::size_t>(plan.position)].meta == EventMeta::kPosition;
  if (!exact) plan.snapshot_op = op;
  return std::nullopt;
}

bool is_older(const Plan& plan, const Row& change, const Row& applied) {
  if (applied.position == kNoPosition || change.position >= applied.position) return false;
  return plan.snapshot_op < 0 || !applied.of_snapshot || change.of_snapshot;
}

std::string may_change(const Plan& plan, std::string_view position, std::string_view op) {
  const std::string name = name_of(plan, plan.newer);
  std::string condition = fmt::format("t.{} IS NULL", name);
  if (!position.empty()) condition += fmt::format(" OR {} >= t.{}", position, name);
  if (plan.snapshot_op >= 0) {
    condition += fmt::format(" OR (t.{} = 'r'", name_of(plan, plan.snapshot_op));
    if (!op.empty()) condition += fmt::format(" AND {} IS DISTINCT FROM 'r'", op);
    condition += ')';
  }
  return '(' + condition + ')';
}

std::string position_literal(const Plan& plan, std::int64_t position) {
  const PlanColumn& column = plan.columns[static_cast<std::size_t>(plan.position)];
  const postgres::Oid type = plan.table.find(column.name)->type.oid;
  if (type == kPgLsn) {
    return fmt::format("'{:X}/{:X}'::pg_lsn", position >> 32, position & 0xffffffff);
  }
  if (type == postgres::oid::kTimestamptz) {
    return fmt::format("('1970-01-01 00:00:00+00'::timestamptz + {} * '1 ms'::interval)", position);
  }
  return std::to_string(position);
}

std::string before_snapshot(const Plan& plan, std::int64_t position) {
  const std::string name = name_of(plan, plan.position);
  return fmt::format("({0} IS NULL OR {0} < {1})", name, position_literal(plan, position));
}

std::string before_truncate(const Plan& plan, std::int64_t position) {
  const std::string name = name_of(plan, plan.position);
  return fmt::format("({0} IS NULL OR {0} <= {1})", name, position_literal(plan, position));
}

}  // namespace sluice::sink
