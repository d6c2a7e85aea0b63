#include <fmt/format.h>

#include <chrono>

#include "compare/postgres_table.h"
#include "compare/source.h"
#include "mariadb/connection.h"
#include "postgres/connection.h"

namespace sluice::compare {
namespace {

constexpr std::chrono::seconds kConnectTime{10};
constexpr std::chrono::seconds kCatalogTime{60};

Error of_source(Error error) {
  error.message = "the source: " + error.message;
  return error;
}

class PostgresSource : public Source {
 public:
  explicit PostgresSource(std::unique_ptr<postgres::Connection> connection)
      : connection_(std::move(connection)), reader_(*connection_, "the source") {}

  Result<bool> look(const std::string& table, const std::string& user) {
    auto name = postgres::parse_table_name(table);
    if (!name) return fail(of_source(name.error()));
    connection_->set_deadline(std::chrono::steady_clock::now() + kCatalogTime);
    auto info = connection_->drive(postgres::read_table(*connection_, *name));
    if (!info) {
      Error error = of_source(info.error());
      if (error.code == "42P01") error.remedy = "--table SCHEMA.TABLE names the source's table.";
      return fail(std::move(error));
    }
    table_ = std::move(*info);
    if (!table_.may_select || !table_.may_use_schema) {
      const std::string role = postgres::Connection::identifier(user);
      return fail(Domain::kPostgres, "42501",
                  fmt::format("the source: role {} may not read {}", role, table_.qualified()),
                  fmt::format("GRANT USAGE ON SCHEMA {} TO {}; GRANT SELECT ON {} TO {};",
                              postgres::Connection::identifier(table_.schema), role,
                              table_.qualified(), role));
    }
    for (const auto& column : table_.columns) columns_.push_back({column.name, column.type});
    auto utf8 = is_utf8(reader_);
    if (!utf8) return fail(utf8.error());
    utf8_ = *utf8;
    return true;
  }

  std::string name() const override { return table_.qualified(); }
  const std::vector<SourceColumn>& columns() const override { return columns_; }

  Result<std::unique_ptr<Table>> table(const Match& match, PostgresReader& /*target*/) override {
    std::vector<PostgresColumn> key;
    std::vector<PostgresColumn> values;
    for (const auto& pair : match.key) key.push_back({pair.source, pair.source_type, pair.form});
    for (const auto& pair : match.values) {
      values.push_back({pair.source, pair.source_type, pair.form});
    }
    return postgres_table(reader_, table_.qualified(), std::move(key), std::move(values), utf8_);
  }

 private:
  std::unique_ptr<postgres::Connection> connection_;
  PostgresReader reader_;
  postgres::TableInfo table_;
  std::vector<SourceColumn> columns_;
  bool utf8_ = true;
};

}  // namespace

Result<std::unique_ptr<Source>> open_postgres_source(const std::string& uri,
                                                     const std::string& table) {
  auto endpoint = postgres::endpoint_of(uri);
  if (!endpoint) {
    return fail(Domain::kCommandLine, "--against",
                "--against is no URI and no conninfo that libpq can read",
                "Write postgresql://USER@HOST:PORT/DATABASE; signs such as @ / : % in a password "
                "are written %40 %2F %3A %25.");
  }
  auto connection = std::make_unique<postgres::Connection>();
  auto connected = connection->drive(connection->connect(uri, "sluice verify", kConnectTime));
  if (!connected) {
    return fail(of_source(postgres::explain_connection_failure(connected.error(), *endpoint, {})));
  }
  auto source = std::make_unique<PostgresSource>(std::move(connection));
  if (auto looked = source->look(table, endpoint->user); !looked) return fail(looked.error());
  return source;
}

Result<std::unique_ptr<Source>> open_source(const std::string& uri, const std::string& table) {
  return mariadb::is_uri(uri) ? open_mariadb_source(uri, table) : open_postgres_source(uri, table);
}

}  // namespace sluice::compare
