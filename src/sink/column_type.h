// The type of a column for values of a change event: for tables and columns that Sluice makes, and
// for the SQL that it proposes.
#pragma once

#include <string>
#include <string_view>

#include "message/type.h"
#include "postgres/catalog.h"
#include "task/task.h"

namespace sluice::sink {

// As SQL writes it: "numeric(12,2)", "timestamp(3) without time zone[]". By the source's own type
// where the connector sends it along and PostgreSQL has it, else by what the event says.
std::string column_type(const message::Type& type);

// The type of a column for what an event says beside its row.
std::string_view event_meta_type(task::EventMeta meta);

// Whether PostgreSQL cannot compare values of a type, or elements of an array, at all.
bool is_without_order(const postgres::Type& type);

}  // namespace sluice::sink
