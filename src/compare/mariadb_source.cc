#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>

#include "compare/mariadb_table.h"
#include "compare/source.h"
#include "mariadb/connection.h"

namespace sluice::compare {
namespace {

using mariadb::Connection;

constexpr std::chrono::seconds kConnectTime{10};

Error of_source(Error error) {
  error.message = "the source: " + error.message;
  return error;
}

struct Counterpart {
  std::string_view name;
  postgres::Oid oid;
  std::string_view type;  // PostgreSQL's
};
constexpr Counterpart kTypes[] = {{"tinyint", 20, "bigint"},    {"smallint", 20, "bigint"},
                                  {"mediumint", 20, "bigint"},  {"int", 20, "bigint"},
                                  {"bigint", 20, "bigint"},     {"year", 20, "bigint"},
                                  {"decimal", 1700, "numeric"}, {"float", 700, "real"},
                                  {"double", 701, "float8"},    {"char", 25, "text"},
                                  {"varchar", 25, "text"},      {"tinytext", 25, "text"},
                                  {"text", 25, "text"},         {"mediumtext", 25, "text"},
                                  {"longtext", 25, "text"},     {"enum", 25, "text"},
                                  {"set", 25, "text"},          {"json", 114, "json"},
                                  {"binary", 17, "bytea"},      {"varbinary", 17, "bytea"},
                                  {"tinyblob", 17, "bytea"},    {"blob", 17, "bytea"},
                                  {"mediumblob", 17, "bytea"},  {"longblob", 17, "bytea"},
                                  {"date", 1082, "date"},       {"datetime", 1114, "timestamp"},
                                  {"time", 1083, "time"},       {"timestamp", 1184, "timestamptz"},
                                  {"bit", 1560, "varbit"},      {"uuid", 2950, "uuid"},
                                  {"inet4", 869, "inet"},       {"inet6", 869, "inet"}};

// data_type and column_type of information_schema.columns: "int", "int(10) unsigned".
postgres::Type type_of(const std::string& name, const std::string& whole) {
  postgres::Type type;
  type.name = "text";
  for (const auto& each : kTypes) {
    if (each.name != name) continue;
    type.oid = each.oid;
    type.name = each.type;
  }
  if (name == "bigint" && whole.find("unsigned") != std::string::npos) {
    type.oid = 1700;
    type.name = "numeric";
  }
  if (const std::size_t open = whole.find('('); name == "bit" && open != std::string::npos) {
    std::from_chars(whole.data() + open + 1, whole.data() + whole.size(), type.typmod);
  }
  return type;
}

class MariadbSource : public Source {
 public:
  MariadbSource(std::unique_ptr<Connection> connection, std::string database)
      : connection_(std::move(connection)), database_(std::move(database)) {}

  Result<bool> look(const std::string& table) {
    auto name = postgres::parse_table_name(table);
    if (!name) return fail(of_source(name.error()));
    const std::string qualified =
        fmt::format("{}.{}", Connection::identifier(database_), Connection::identifier(name->name));
    auto columns = connection_->query(
        fmt::format("SELECT c.column_name, c.data_type, c.column_type, EXISTS (SELECT 1 FROM "
                    "information_schema.check_constraints k WHERE k.constraint_schema = "
                    "c.table_schema AND k.table_name = c.table_name AND k.check_clause = "
                    "CONCAT('json_valid(`', c.column_name, '`)')) FROM information_schema.columns "
                    "c WHERE c.table_schema = {} AND c.table_name = {} ORDER BY c.ordinal_position",
                    Connection::literal(database_), Connection::literal(name->name)));
    if (!columns) return fail(of_source(columns.error()));
    if (columns->empty()) {
      return fail(
          Domain::kMariadb, "1146",
          fmt::format("the source: there is no table {}, or this user may not read it", qualified),
          fmt::format("--table NAME names the source's table; GRANT SELECT ON {} lets this "
                      "user read it.",
                      qualified));
    }
    for (const auto& row : *columns) {
      const bool json = row[3] == "1";
      columns_.push_back(
          {row[0].value_or(""), type_of(json ? "json" : row[1].value_or(""), row[2].value_or(""))});
    }
    name_ = qualified;
    return true;
  }

  std::string name() const override { return name_; }
  const std::vector<SourceColumn>& columns() const override { return columns_; }

  Result<std::unique_ptr<Table>> table(const Match& match, PostgresReader& target) override {
    std::vector<MariadbColumn> key;
    std::vector<MariadbColumn> values;
    for (const auto& pair : match.key) key.push_back({pair.source, pair.source_type, pair.form});
    for (const auto& pair : match.values) {
      values.push_back({pair.source, pair.source_type, pair.form});
    }
    const auto& by = key.empty() ? values : key;
    const auto without = std::find_if_not(by.begin(), by.end(), has_text);
    if (without != by.end()) {
      return fail(Domain::kDocument, "sync.primary_key",
                  fmt::format("the source: rows of {} cannot be told apart by column \"{}\": its "
                              "type has not the same text on both servers",
                              name_, without->name),
                  key.empty() ? "Leave it out with --ignore." : "");
    }
    return mariadb_table(*connection_, target, name_, std::move(key), std::move(values));
  }

 private:
  std::unique_ptr<Connection> connection_;
  std::string database_;
  std::string name_;
  std::vector<SourceColumn> columns_;
};

}  // namespace

Result<std::unique_ptr<Source>> open_mariadb_source(const std::string& uri,
                                                    const std::string& table) {
  auto address = mariadb::parse_uri(uri);
  if (!address) return fail(address.error());
  auto connection = Connection::open(*address, kConnectTime);
  if (!connection) return fail(of_source(connection.error()));
  auto source = std::make_unique<MariadbSource>(std::move(*connection), address->database);
  if (auto looked = source->look(table); !looked) return fail(looked.error());
  return source;
}

}  // namespace sluice::compare
