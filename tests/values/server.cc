#include "server.h"

#include <cstdio>
#include <cstdlib>

namespace sluice::values {
namespace {

[[noreturn]] void give_up(const std::string& what, const std::string& why) {
  std::fprintf(stderr, "values_test: %s: %s\n", what.c_str(), why.c_str());
  std::exit(1);
}

}  // namespace

std::string Answer::scalar() const {
  return rows.empty() || rows.front().empty() ? "" : rows.front().front().value_or("");
}

Server::Server(const char* conninfo) : connection_(PQconnectdb(conninfo)) {
  if (PQstatus(connection_) != CONNECTION_OK) {
    give_up("cannot connect to SLUICE_POSTGRES", PQerrorMessage(connection_));
  }
  // What the one transaction sets too, before rows are written.
  run("SET client_min_messages = warning");
  run("SET client_encoding = 'UTF8'");
  run("SET DateStyle = 'ISO, YMD'");
  run("SET IntervalStyle = postgres");
  run("SET TimeZone = 'UTC'");
  run("SET synchronous_commit = off");
  run("DROP SCHEMA IF EXISTS sluice_values CASCADE");
  run("CREATE SCHEMA sluice_values");
  run("SET search_path = sluice_values");
}

Server::~Server() {
  run("DROP SCHEMA IF EXISTS sluice_values CASCADE");
  PQfinish(connection_);
}

Answer Server::answer(PGresult* result) {
  Answer answer;
  const ExecStatusType status = PQresultStatus(result);
  answer.ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_COPY_IN;
  if (!answer.ok) {
    const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    answer.sqlstate = state != nullptr ? state : "connection";
    answer.message = PQresultErrorMessage(result);
  }
  for (int row = 0; row < PQntuples(result); ++row) {
    auto& columns = answer.rows.emplace_back();
    for (int i = 0; i < PQnfields(result); ++i) {
      columns.push_back(PQgetisnull(result, row, i) != 0
                            ? std::nullopt
                            : std::optional<std::string>(PQgetvalue(result, row, i)));
    }
  }
  PQclear(result);
  return answer;
}

Answer Server::query(const std::string& sql, const std::vector<std::string>& parameters) {
  std::vector<const char*> values;
  for (const std::string& parameter : parameters) values.push_back(parameter.c_str());
  return answer(PQexecParams(connection_, sql.c_str(), static_cast<int>(values.size()), nullptr,
                             values.data(), nullptr, nullptr, 0));
}

void Server::run(const std::string& sql) {
  const Answer done = answer(PQexec(connection_, sql.c_str()));
  if (!done.ok) give_up(sql, done.message);
}

Answer Server::copy(const std::string& sql, std::string_view data) {
  Answer started = answer(PQexec(connection_, sql.c_str()));
  if (!started.ok) return started;
  PQputCopyData(connection_, data.data(), static_cast<int>(data.size()));
  PQputCopyEnd(connection_, nullptr);
  Answer done = answer(PQgetResult(connection_));
  while (PGresult* rest = PQgetResult(connection_)) PQclear(rest);
  return done;
}

postgres::Type Server::describe_type(const std::string& oid, int typmod) {
  const Answer found = query(
      "SELECT t.oid, t.typtype, t.typbasetype, t.typtypmod, t.typrelid, "
      "CASE WHEN t.typsubscript = 'array_subscript_handler'::regproc THEN t.typelem ELSE 0 END, "
      "(SELECT e.typdelim FROM pg_type e WHERE e.oid = t.typelem), format_type(t.oid, $2::int) "
      "FROM pg_type t WHERE t.oid = $1::oid",
      {oid, std::to_string(typmod)});
  if (!found.ok || found.rows.size() != 1) give_up("pg_type " + oid, found.message);
  const auto& row = found.rows.front();
  if (*row[1] == "d") {
    postgres::Type base = describe_type(*row[2], std::stoi(*row[3]));
    base.domain = true;
    base.name = *row[7];
    return base;
  }
  postgres::Type type;
  type.oid = static_cast<postgres::Oid>(std::stoul(*row[0]));
  type.category = row[1]->front();
  type.typmod = typmod;
  type.name = *row[7];
  if (*row[5] != "0") {
    type.element = static_cast<postgres::Oid>(std::stoul(*row[5]));
    type.delimiter = *row[6];
    type.element_type.push_back(describe_type(*row[5], typmod));
  }
  if (*row[1] == "c") {
    const Answer attributes = query(
        "SELECT attname, atttypid, atttypmod FROM pg_attribute WHERE attrelid = $1::oid AND "
        "attnum > 0 AND NOT attisdropped ORDER BY attnum",
        {*row[4]});
    for (const auto& attribute : attributes.rows) {
      type.attribute_names.push_back(*attribute[0]);
      type.attribute_types.push_back(describe_type(*attribute[1], std::stoi(*attribute[2])));
    }
  }
  return type;
}

postgres::ColumnInfo Server::describe(const std::string& table, const std::string& column) {
  const Answer found = query(
      "SELECT atttypid, atttypmod, attnum FROM pg_attribute WHERE attrelid = $1::regclass AND "
      "attname = $2",
      {table, column});
  if (!found.ok || found.rows.size() != 1) give_up(table + "." + column, found.message);
  postgres::ColumnInfo info;
  info.name = column;
  info.number = std::stoi(*found.rows[0][2]);
  info.type = describe_type(*found.rows[0][0], std::stoi(*found.rows[0][1]));
  return info;
}

}  // namespace sluice::values
