// PostgresTable: a table of a PostgreSQL server as one side of a comparison. Every question is a
// read-only transaction of its own, sent as one message: the session keeps no settings, so that it
// may go through a pooler.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "compare/postgres_sql.h"
#include "compare/table.h"
#include "postgres/connection.h"

namespace sluice::compare {

// Runs one SELECT in a transaction with text_settings(). `side` stands in front of an error's
// message.
class PostgresReader {
 public:
  PostgresReader(postgres::Connection& connection, std::string side);
  Result<postgres::Rows> read(const std::string& select);
  postgres::Connection& connection() { return connection_; }

 private:
  postgres::Connection& connection_;
  std::string side_;
};

// Whether the texts of the server's database are UTF-8.
Result<bool> is_utf8(PostgresReader& reader);

class PostgresTable : public Table {
 public:
  // from: what stands behind FROM, a table's quoted name or a query in brackets; counted: the SQL
  // of how many rows of the table it is. The key's columns are not NULL. The reader must outlive
  // it.
  PostgresTable(PostgresReader& reader, std::string from, std::string counted,
                std::vector<PostgresColumn> key, std::vector<PostgresColumn> values, bool utf8);

  bool by_index() const override { return key_.by_index(); }
  Result<std::int64_t> count() override;
  Result<Digest> digest(const Range& range) override;
  Result<std::optional<Key>> key_at(const Range& range, std::int64_t number) override;
  Result<std::vector<RowHash>> hashes(const Range& range) override;
  Result<std::vector<RowHash>> hashes_of(const std::vector<Key>& keys) override;
  Result<std::vector<Row>> rows_of(const std::vector<Key>& keys) override;
  Result<std::vector<Row>> originals(const std::vector<Key>& keys) override;

 private:
  std::string keys_listed() const;  // the key's texts, as k0, k1, ...
  std::string hashed(const std::string& condition, const std::string& more) const;
  Result<std::vector<RowHash>> hashes_where(const std::string& condition);
  Result<std::vector<Row>> rows(const std::string& values, const std::vector<Key>& keys);

  PostgresReader& reader_;
  std::string from_;
  std::string counted_;
  KeySql key_;
  std::vector<PostgresColumn> values_;
  std::vector<PostgresColumn> all_;  // the key's first
  bool utf8_;
};

// The table by these columns; without a key as one whose key is the hash of a row, and whose values
// are how many rows have it, and what they hold.
std::unique_ptr<Table> postgres_table(PostgresReader& reader, const std::string& from,
                                      std::vector<PostgresColumn> key,
                                      std::vector<PostgresColumn> values, bool utf8);

}  // namespace sluice::compare
