#include "control/database.h"

#include <fmt/format.h>

#include "base/log.h"
#include "postgres/catalog.h"

namespace sluice::control {
namespace {

using namespace std::chrono_literals;

constexpr auto kConnectTime = 5s;
constexpr auto kStatementTime = 15s;
constexpr auto kPatience = 10s;  // for a free session

bool is_connection_error(const Error& error) {
  return error.code == "connection" || error.code == "timeout" || error.code.starts_with("08") ||
         error.code.starts_with("57P") || error.code.starts_with("53") || error.code == "25006";
}

}  // namespace

std::string time_text(std::string_view expression) {
  return fmt::format("to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')",
                     expression);
}

postgres::Rows Transaction::run(std::string sql, Parameters parameters) {
  if (error_) return {};
  auto rows = connection_.drive(connection_.query_params(std::move(sql), std::move(parameters)));
  if (rows) return std::move(*rows);
  error_ = rows.error();
  return {};
}

Database::Database(std::string conninfo, std::string schema, int sessions)
    : conninfo_(std::move(conninfo)), schema_(std::move(schema)), unopened_(sessions) {}

Database::~Database() = default;

Database::Lease::~Lease() {
  if (!connection_) return;
  const std::lock_guard lock(database_->mutex_);
  database_->idle_.push_back(std::move(connection_));
  database_->freed_.notify_one();
}

Answer<Database::Lease> Database::take() {
  std::unique_lock lock(mutex_);
  if (!freed_.wait_for(lock, kPatience, [&] { return !idle_.empty() || unopened_ > 0; })) {
    return refuse("busy", "all sessions of the control database are in use");
  }
  if (!idle_.empty()) {
    Lease lease(*this, std::move(idle_.back()));
    idle_.pop_back();
    return lease;
  }
  --unopened_;
  return Lease(*this, std::make_unique<postgres::Connection>());
}

// BEGIN on an open session; one that turns out to be lost is opened again, once.
bool Database::begin(Lease& session, Transaction& transaction) {
  auto& connection = session.connection();
  const std::string begin =
      fmt::format("BEGIN ISOLATION LEVEL READ COMMITTED; {} SET LOCAL search_path = {}, pg_temp",
                  postgres::Connection::own_timeouts(), postgres::Connection::identifier(schema_));
  for (const bool last : {false, true}) {
    if (!connection.is_open()) {
      connection.set_deadline(std::chrono::steady_clock::now() + kConnectTime);
      auto connected = connection.drive(
          connection.connect(conninfo_, "sluice control", std::chrono::milliseconds(kConnectTime)));
      if (!connected) {
        // Whatever refuses a log-in that once was good is for the database's people to mend.
        Error error = connected.error();
        error.code = "connection";
        transaction.fail(std::move(error));
        return false;
      }
    }
    connection.set_deadline(std::chrono::steady_clock::now() + kStatementTime);
    auto begun = connection.drive(connection.query(begin));
    if (begun) return true;
    connection.close();
    if (last) transaction.fail(begun.error());
  }
  return false;
}

std::optional<Problem> Database::end(Lease& session, Transaction& transaction, bool commit) {
  auto& connection = session.connection();
  if (!transaction.failed() && connection.is_open()) {
    auto ended = connection.drive(connection.query(commit ? "COMMIT" : "ROLLBACK"));
    if (!ended) {
      transaction.fail(ended.error());
    } else if (commit && ended->back().tag() != "COMMIT") {
      return refuse("internal", "the control database rolled a transaction back").value();
    }
  }
  if (!transaction.failed()) return std::nullopt;
  const Error& error = *transaction.error();
  // Whatever state it is in, the next user begins with a new session.
  connection.close();
  if (!is_connection_error(error) && !postgres::is_environment_failure(error)) {
    log::error("the control database refused a statement",
               {{"code", error.code}, {"function", error.source_function}});
    return refuse("internal", fmt::format("the control database answered {}", error.code)).value();
  }
  return refuse("database_unavailable", error.message).value();
}

bool Database::is_retryable(const Transaction& transaction) {
  return transaction.failed() &&
         (transaction.error()->code == "40P01" || transaction.error()->code == "40001");
}

Answer<bool> Database::ping() {
  return transact([](Transaction& transaction) -> Answer<bool> {
    transaction.run("SELECT 1");
    return true;
  });
}

}  // namespace sluice::control
