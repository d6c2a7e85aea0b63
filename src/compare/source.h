// Source: the table of another server that a target is compared with. Read only.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "compare/match.h"
#include "compare/postgres_table.h"
#include "compare/table.h"

namespace sluice::compare {

class Source {
 public:
  virtual ~Source() = default;
  virtual std::string name() const = 0;  // the table's, quoted as its server does
  virtual const std::vector<SourceColumn>& columns() const = 0;
  // The table by the columns of `match`, with a key or without. It must not outlive the source,
  // nor `target`, which is asked about values that only PostgreSQL can read.
  virtual Result<std::unique_ptr<Table>> table(const Match& match, PostgresReader& target) = 0;
};

// uri: postgresql:// or a conninfo of libpq, mysql:// or mariadb://. table: "schema.table"; of
// MariaDB the schema does not count, the URI names the database. Reaches the server and looks at
// the table: an error of domain kCommandLine if the URI cannot be read, else one of the server. No
// error shows a password.
Result<std::unique_ptr<Source>> open_source(const std::string& uri, const std::string& table);
Result<std::unique_ptr<Source>> open_postgres_source(const std::string& uri,
                                                     const std::string& table);
Result<std::unique_ptr<Source>> open_mariadb_source(const std::string& uri,
                                                    const std::string& table);

}  // namespace sluice::compare
