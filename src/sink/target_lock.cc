#include "sink/target_lock.h"

#include <fmt/format.h>

#include <algorithm>

#include "postgres/catalog.h"
#include "sink/plan.h"

namespace sluice::sink {

using postgres::Connection;
using postgres::Rows;

std::vector<std::size_t> used_tables(const Batch& batch) {
  if (batch.tables.size() == 1) return {0};
  std::vector<bool> used(batch.tables.size());
  for (const std::uint16_t table : batch.record_tables) {
    if (table != Batch::kNoTable) used[table] = true;
  }
  std::vector<std::size_t> numbers;
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (used[i]) numbers.push_back(i);
  }
  // One order of locks for all lanes.
  std::ranges::sort(numbers, {},
                    [&](std::size_t number) { return batch.tables[number].plan->table.oid; });
  return numbers;
}

std::string lock_sql(const Batch& batch, const std::vector<std::size_t>& tables) {
  std::string locks;
  std::string looks;
  for (const std::size_t number : tables) {
    const TableRows& rows = batch.tables[number];
    const Plan& plan = *rows.plan;
    const bool empties = std::ranges::any_of(rows.rows, [](const Row& row) {
      return row.operation == Operation::kTruncate && row.position == kNoPosition;
    });
    // The name first: after a rename the oid alone would still look the same.
    looks += fmt::format("{}SELECT to_regclass({})::oid; ", looks.empty() ? "" : "; ",
                         Connection::literal(plan.target));
    if (plan.table.oid == 0) {
      looks += "SELECT NULL";  // it must still be missing
      continue;
    }
    looks += postgres::signature_sql(plan.table.oid);
    if (empties) {
      locks += fmt::format("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE; ", plan.target);
    } else if (plan.lock_target) {
      locks += fmt::format("LOCK TABLE ONLY {} IN ROW EXCLUSIVE MODE; ", plan.target);
    }
  }
  return locks + looks;
}

std::optional<std::size_t> altered_among(const Batch& batch, const std::vector<std::size_t>& tables,
                                         const std::vector<Rows>& rows) {
  std::size_t at = rows.size() - 2 * tables.size();
  for (const std::size_t number : tables) {
    const Plan& plan = *batch.tables[number].plan;
    const Rows& name = rows[at];
    const Rows& signature = rows[at + 1];
    at += 2;
    const bool fits = plan.table.oid == 0
                          ? name.is_null(0, 0)
                          : !name.is_null(0, 0) && name.integer(0, 0) == plan.table.oid &&
                                signature.size() == 1 &&
                                signature.text(0, 0) == plan.table.signature;
    if (!fits) return number;
  }
  return std::nullopt;
}

}  // namespace sluice::sink
