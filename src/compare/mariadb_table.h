// MariadbTable: a table of a MariaDB or MySQL server as one side of a comparison.
//
// Where the server has no text for a type that is PostgreSQL's, too (floating point, JSON,
// networks), rows are fetched and PostgreSQL, the other side, reads the texts and computes the
// rest.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "compare/postgres_table.h"
#include "compare/table.h"
#include "mariadb/connection.h"

namespace sluice::compare {

struct MariadbColumn {
  std::string name;
  postgres::Type type;  // the next to its own
  Form form;
};

// Whether the server itself can bring the column's values to the form's text.
bool has_text(const MariadbColumn& column);

// The table by these columns, without a key as PostgresTable's. The key's columns, and all of a
// table without a key, must have a text.
std::unique_ptr<Table> mariadb_table(mariadb::Connection& connection, PostgresReader& postgres,
                                     const std::string& from, std::vector<MariadbColumn> key,
                                     std::vector<MariadbColumn> values);

}  // namespace sluice::compare
