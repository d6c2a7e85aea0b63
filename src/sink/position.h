// Position: where a change stands in the log of its source, as a number that grows. A mirror whose
// table keeps it in a column (sync.metadata) can tell older changes from newer ones, whatever order
// they come in: sync.only_if_newer, and TRUNCATE where a topic has several partitions.
//
//   lsn           PostgreSQL's place in the WAL
//   position      MySQL's: the number of the binlog's file * 2^32 + the place in it
//   source_ts_ms  milliseconds since 1970: many changes can have one
//
// PostgreSQL's lsn is where the change was written, not where its transaction was committed. So a
// snapshot can have a greater one than a change that it does not hold: the transaction was under
// way. Such a change comes behind the snapshot, from the stream, and must not be taken for older
// than the snapshot's row. The same goes for times. MySQL writes whole transactions when they
// commit.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "message/change.h"
#include "sink/batch.h"
#include "sink/plan.h"
#include "task/task.h"

namespace sluice::sink {

// kNoPosition: the event does not say it.
std::int64_t position_of(const message::Change& change, message::EventMeta meta);

// Sets Plan::position, newer and snapshot_op of a mirror whose columns are known.
std::optional<Error> choose_position(const task::Task& task, Plan& plan);

// Of two changes of one row, the first of which was applied: whether the other is to be left out.
bool is_older(const Plan& plan, const Row& change, const Row& applied);

// The same of the row t, as a condition: whether a change may be applied to it. The change's
// position and op as expressions; empty: it has none.
std::string may_change(const Plan& plan, std::string_view position, std::string_view op);
// The row t is not newer than a TRUNCATE at `position`.
std::string before_truncate(const Plan& plan, std::int64_t position);
// The row t is older than the snapshot at `position`, which so has not brought it.
std::string before_snapshot(const Plan& plan, std::int64_t position);
// As a value for the column Plan::position.
std::string position_literal(const Plan& plan, std::int64_t position);

}  // namespace sluice::sink
