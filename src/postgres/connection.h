// Connection: one libpq connection, non-blocking, for coroutines. Third-party types stay inside.
//
// Each operation is an Async: it suspends while the socket is not ready. The owner's loop waits for
// fd() with wanted_events() and calls on_ready(); that resumes whoever waits. At most one operation at
// a time. A Connection lives on one thread. Where no loop of one's own is wanted (check, commands,
// tests) drive() runs one Async to its end on this connection's socket alone.
//
// Deadlines: an operation ends with code "timeout" when deadline() passes; the connection is then
// broken and must be dropped. What fails leaves an Error of domain kPostgres: SQLSTATE in code, or
// "connection" (socket, name resolution, TLS: no SQLSTATE), or "timeout"; the server's full words in
// detail only.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/async.h"
#include "base/result.h"

namespace sluice::postgres {

using SteadyTime = std::chrono::steady_clock::time_point;

// One result set in text form. Owns its memory.
class Rows {
 public:
  struct Impl;
  Rows();
  explicit Rows(std::shared_ptr<const Impl> impl);
  int size() const;
  int columns() const;
  bool is_null(int row, int column) const;
  // Empty for NULL; check is_null where it matters.
  std::string_view text(int row, int column) const;
  std::int64_t integer(int row, int column) const;  // the caller knows it is one
  bool boolean(int row, int column) const;
  // Command tag of the statement, for example "COMMIT" or "INSERT 0 5".
  std::string_view tag() const;
  std::int64_t affected() const;

 private:
  std::shared_ptr<const Impl> impl_;
};

class Connection {
 public:
  // conninfo: a libpq URI or keyword string. application_name is added if non-empty. TCP keepalives
  // are switched on; no startup `options` are sent (poolers refuse them).
  Connection();
  ~Connection();
  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) noexcept;

  // connect_timeout bounds name resolution, TCP, TLS and login together.
  Async<Result<bool>> connect(std::string conninfo, std::string application_name,
                              std::chrono::milliseconds connect_timeout);
  bool is_open() const;
  // Drops the socket at once, without waiting for anything. The server rolls back.
  void close();

  // Simple query protocol: one or several statements; one Rows for each that ran. On an error the
  // statements after it did not run.
  Async<Result<std::vector<Rows>>> query(std::string sql);
  // One statement with parameters in text form (nullopt is NULL).
  Async<Result<Rows>> query_params(std::string sql,
                                   std::vector<std::optional<std::string>> parameters);
  // COPY ... FROM STDIN: sends `sql`, then `data` (whole, with the header and trailer if binary) in
  // pieces, then ends it. Returns the number of rows. The data must outlive the operation. An error
  // of the server during the copy ends it with that error.
  Async<Result<std::int64_t>> copy_in(std::string sql, std::vector<std::string_view> data);

  // For the owner's loop.
  int fd() const;
  short wanted_events() const;  // POLLIN | POLLOUT; 0 when nothing waits
  void on_ready(short events);
  std::optional<SteadyTime> deadline() const;
  // Every operation started from now on must end by then.
  void set_deadline(std::optional<SteadyTime> deadline);

  // Blocking: runs `async` (which uses this connection only) to its end.
  template <class T>
  T drive(Async<T> async) {
    async.start();
    while (!async.done()) wait_once();
    return async.take();
  }
  // Blocks until the socket is ready or the deadline passes, then resumes the waiting operation.
  void wait_once();

  int server_version() const;  // as PQserverVersion: 150018
  int backend_pid() const;
  // 'x' or E'x' / "x": quoted for use in SQL text, whatever the content; no connection needed.
  static std::string literal(std::string_view text);
  static std::string identifier(std::string_view name);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// What a conninfo says about where it leads, for identity and for messages. Never the password.
struct Endpoint {
  std::string host;  // as written; several joined by commas; the socket folder if local
  std::string port;
  std::string database;
  std::string user;
  std::string sslmode;
};
Result<Endpoint> endpoint_of(std::string_view conninfo);

}  // namespace sluice::postgres
