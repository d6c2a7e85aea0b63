// Server: the PostgreSQL that judges, by libpq and one statement at a time. It works in a schema of
// its own, sluice_values, which it drops and creates when it connects and drops when it goes.
#pragma once

#include <libpq-fe.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postgres/catalog.h"

namespace sluice::values {

// Outcome of a statement: the rows' first columns, or the SQLSTATE.
struct Answer {
  bool ok = false;
  std::string sqlstate;
  std::string message;
  std::vector<std::vector<std::optional<std::string>>> rows;

  std::string scalar() const;  // of the first row; empty if there is none
};

class Server {
 public:
  // Ends the program with a message if there is no server.
  explicit Server(const char* conninfo);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  Answer query(const std::string& sql, const std::vector<std::string>& parameters = {});
  // Ends the program if it fails: for statements of the test itself.
  void run(const std::string& sql);
  // COPY ... FROM STDIN with all of its data.
  Answer copy(const std::string& sql, std::string_view data);
  // The type of a column, as the catalog reader of the postgres module describes it.
  postgres::ColumnInfo describe(const std::string& table, const std::string& column);

 private:
  Answer answer(PGresult* result);
  postgres::Type describe_type(const std::string& oid, int typmod);
  PGconn* connection_;
};

}  // namespace sluice::values
