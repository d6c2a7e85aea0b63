// TableChange: the form of a table of MySQL or MariaDB, as Debezium's events of schema changes say
// it (their `tableChanges`). Their SQL (`ddl`) is not read. What a row's own schema would say of
// such columns, these types say too, so that both ask for the same table.
//
// Sources: Debezium 3.5 "MySQL connector", "Schema change topic"; its io.debezium.connector.schema
// (Column, Table, Change). That a default which is an expression comes as 1970-01-01 00:00:00 was
// seen in captures: docs/reference/change-events.md. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "message/change.h"
#include "message/type.h"

namespace sluice::message {

struct TableChange {
  Origin origin;
  std::string topic;             // where Debezium puts the table's rows, if nothing routes them
  Type row;                      // a struct of the columns
  std::vector<std::string> key;  // names of columns; empty: none
};

// Of the payload of an event of schema changes: the tables that it makes or alters; none, where it
// drops some, is of no table or of another database system. nullopt: it is no such event.
std::optional<std::vector<TableChange>> table_changes(std::string_view payload);

}  // namespace sluice::message
