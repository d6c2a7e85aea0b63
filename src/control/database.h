// Database: the control database, where connections, tasks, events and users are kept. A bounded
// pool of sessions; every use is one transaction.
//
// Thread-safe: any thread may call transact(), which blocks for a session, and for PostgreSQL.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "control/problem.h"
#include "postgres/connection.h"

namespace sluice::control {

using Parameter = std::optional<std::string>;  // text form; nullopt is NULL
using Parameters = std::vector<Parameter>;

// SQL that shows a timestamptz as the API does: RFC 3339 in UTC, with milliseconds.
std::string time_text(std::string_view expression);

// One transaction under way. The first error of the server stays: later statements do nothing and
// answer no rows, and the transaction ends with that error whatever its function returned. So code
// in between reads as if nothing could fail.
class Transaction {
 public:
  explicit Transaction(postgres::Connection& connection) : connection_(connection) {}
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  postgres::Rows run(std::string sql, Parameters parameters = {});
  // As if a statement had failed so.
  void fail(Error error) {
    if (!error_) error_ = std::move(error);
  }
  bool failed() const { return error_.has_value(); }
  const std::optional<Error>& error() const { return error_; }

 private:
  postgres::Connection& connection_;
  std::optional<Error> error_;
};

class Database {
 public:
  // Does not connect yet. `schema` holds all tables: the search_path of every transaction.
  Database(std::string conninfo, std::string schema, int sessions);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Runs `work(Transaction&) -> Answer<T>` in a READ COMMITTED transaction: committed if it answers
  // with a value, rolled back if it refuses. A session that was lost while idle is opened again
  // first. An error of PostgreSQL becomes database_unavailable (or internal, where a statement of
  // ours was wrong), a lost answer to COMMIT too: then it may have happened. Deadlocks are tried
  // again, so `work` may be called more than once.
  template <class Work>
  auto transact(Work work) -> decltype(work(std::declval<Transaction&>())) {
    constexpr int kTries = 3;
    for (int attempt = 1;; ++attempt) {
      auto session = take();
      if (!session) return refuse(session.error());
      Transaction transaction(session->connection());
      auto answer = begin(*session, transaction)
                        ? work(transaction)
                        : decltype(work(transaction))(refuse("internal", ""));
      if (const auto problem = end(*session, transaction, answer.has_value())) {
        if (attempt < kTries && is_retryable(transaction)) continue;
        return refuse(*problem);
      }
      return answer;
    }
  }

  // Whether a transaction gets through right now.
  Answer<bool> ping();

  const std::string& schema() const { return schema_; }
  const std::string& conninfo() const { return conninfo_; }

 private:
  // A session that goes back into the pool when it is dropped.
  class Lease {
   public:
    Lease(Database& database, std::unique_ptr<postgres::Connection> connection)
        : database_(&database), connection_(std::move(connection)) {}
    Lease(Lease&& other) noexcept = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease();
    postgres::Connection& connection() { return *connection_; }

   private:
    Database* database_;
    std::unique_ptr<postgres::Connection> connection_;
  };

  Answer<Lease> take();
  bool begin(Lease& session, Transaction& transaction);
  std::optional<Problem> end(Lease& session, Transaction& transaction, bool commit);
  static bool is_retryable(const Transaction& transaction);

  const std::string conninfo_, schema_;
  std::mutex mutex_;
  std::condition_variable freed_;
  std::vector<std::unique_ptr<postgres::Connection>> idle_;
  int unopened_;  // sessions that may still be made
};

}  // namespace sluice::control
