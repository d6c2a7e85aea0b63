// For the tests of this module: a plan without a catalog.
#pragma once

#include <utility>

#include "base/result.h"
#include "sink/plan.h"

namespace sluice::sink {

// A merge into a table t (id, a, b) of texts with the key id, so that rows can be read in a
// failure.
inline Plan text_plan(task::Write write) {
  Plan plan;
  plan.way = Way::kStageMerge;
  plan.write = write;
  plan.key_columns = 1;
  plan.target = "t";
  plan.stage = "pg_temp.sluice_stage";
  for (const char* name : {"id", "a", "b"}) {
    postgres::ColumnInfo info;
    info.name = name;
    info.type.oid = 25;  // text
    info.type.name = "text";
    info.type.category = 'b';
    auto encoder = ColumnEncoder::compile(info, {});
    SLUICE_CHECK(encoder.has_value());
    plan.columns.push_back(
        PlanColumn{.name = name, .field = name, .slot = 0, .encoder = std::move(*encoder)});
    plan.table.columns.push_back(std::move(info));
  }
  plan.columns[0].key = true;
  return plan;
}

}  // namespace sluice::sink
