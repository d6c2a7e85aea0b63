// Connection: one libpq connection, non-blocking, for coroutines. Third-party types stay inside.
//
// Each operation is an Async: it suspends while the socket is not ready. The owner's loop waits for
// fd() with wanted_events() and calls on_ready(); that resumes whoever waits. At most one operation
// at a time. A Connection lives on one thread. Where no loop of one's own is wanted (check,
// commands, tests) drive() runs one Async to its end on this connection's socket alone.
//
// Deadlines: an operation that would have to wait beyond deadline() ends with code "timeout" and
// closes the connection. What fails leaves an Error of domain kPostgres: SQLSTATE in code, or
// "connection" (socket, name resolution, TLS: no SQLSTATE), or "timeout". Its message is safe for
// logs; the server's full words are in detail only, one entry a line: "MESSAGE: ", "DETAIL: ",
// "HINT: ", "CONTEXT: " (labels are never translated; further lines of an entry begin with a tab).
// SQL that contains U+0000 is refused with 22021 before anything is sent.
//
// After a lost connection, a timeout, close(), or an Async that was destroyed while it was
// suspended, is_open() is false and only connect() makes sense. A suspended operation of a
// connection that was closed ends with code "connection" at the next on_ready().
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
  struct Impl;
  Connection();
  ~Connection();
  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) noexcept;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // conninfo: a libpq URI or keyword string; one that cannot be read is an Error of domain
  // kDocument, code "target.postgres", without any part of its text (it may be the password).
  // application_name replaces that of conninfo if non-empty. TCP keepalives are switched on unless
  // conninfo sets them; no startup `options` are sent (poolers refuse them). connect_timeout,
  // unless conninfo has its own, bounds TCP, TLS and login together; of several hosts each gets its
  // share. Name resolution is libpq's getaddrinfo, which blocks the thread: only the resolver's own
  // time-outs bound it (resolv.conf: by default 5 s a server, twice). An address, or hostaddr,
  // avoids it. A refused login has the server's SQLSTATE in code; explain_connection_failure
  // (catalog.h) says what the failure means. An open connection is closed first.
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
  // of the server during the copy ends it with that error, without sending the rest. `sql` may have
  // other statements before the COPY (one round trip for both); their results are dropped.
  Async<Result<std::int64_t>> copy_in(std::string sql, std::vector<std::string_view> data);

  // For the owner's loop. fd() is -1 when closed, and changes while connecting: ask before each
  // poll.
  int fd() const;
  short wanted_events() const;  // POLLIN | POLLOUT; 0 when nothing waits
  // What poll(2) said; 0 to have the deadline looked at. Resumes the waiting operation, which may
  // end: the owner of its Async finds it done(). Nothing happens if none of it is what is waited
  // for.
  void on_ready(short events);
  // Of the wait under way, for poll's time-out; nullopt when nothing waits or it may wait for ever.
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

  // Both keep their value of the last login after the connection is closed; 0 before the first.
  int server_version() const;  // as PQserverVersion: 150018
  int backend_pid() const;
  // Of the last connect(), also a failed one: when TLS stood, if it did; and, of one that is open,
  // its version and cipher ("TLSv1.3, TLS_AES_256_GCM_SHA384"; empty without TLS).
  std::optional<SteadyTime> encrypted_at() const;
  std::string encryption() const;
  // 'x' or E'x' / "x": quoted for use in SQL text, whatever the content; no connection needed. Put
  // white space or a bracket before it. U+0000 stays, and every operation refuses the SQL for it.
  static std::string literal(std::string_view text);
  static std::string identifier(std::string_view name);
  // A SELECT to stand in front of others in one query(), or after BEGIN: until the end of the
  // transaction, or of that query, time-outs that a role or database sets are replaced by ours.
  // Those are made for its people's queries, and would end ours or never let them through.
  static std::string_view own_timeouts();
  // The call that sets idle_in_transaction_session_timeout for this transaction, where the server
  // has it (9.6).
  static std::string idle_timeout(std::string_view value);

 private:
  // Shared with the frames of suspended operations, which may outlive the Connection.
  std::shared_ptr<Impl> impl_;
};

// What a conninfo says about where it leads, for identity and for messages. Never the password.
struct Endpoint {
  // As written, several joined by commas; the socket folder if local; "service NAME" if a service
  // of pg_service.conf decides. What conninfo leaves out is taken from libpq's environment
  // variables.
  std::string host;
  std::string port;
  std::string database;
  std::string user;
  std::string sslmode;
};
Result<Endpoint> endpoint_of(std::string_view conninfo);

}  // namespace sluice::postgres
