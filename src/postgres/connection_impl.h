// The inside of Connection: libpq's handle and the one wait that can be under way. Internal to
// `postgres`. One thread.
#pragma once

#include <libpq-fe.h>

#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "postgres/connection.h"

namespace sluice::postgres {

struct Connection::Impl {
  PGconn* link = nullptr;
  int probe_fd = -1;                   // a socket of our own that is waited for instead of libpq's
  std::optional<SteadyTime> deadline;  // of operations that start from now on
  bool busy = false;                   // an operation is under way
  int server_version = 0;
  int backend_pid = 0;
  std::optional<SteadyTime> encrypted_at;
  std::uint64_t notices = 0;  // received on this link

  // The wait under way.
  std::coroutine_handle<> waiter;
  short wanted = 0;
  short ready = 0;
  std::optional<SteadyTime> wait_until;

  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { close(); }

  void close() {
    PQfinish(link);
    link = nullptr;
  }
  int fd() const {
    if (probe_fd >= 0) return probe_fd;
    return link == nullptr ? -1 : PQsocket(link);
  }
  bool expired() const { return wait_until && std::chrono::steady_clock::now() >= *wait_until; }
  void resume(short events);
};

enum class Wake : std::uint8_t { kReady, kTimeout, kClosed };

// Awaitable: until the socket shows one of `events`, or `until` passes, or the connection is
// closed. Destroying it while suspended takes it off the connection.
class Readiness {
 public:
  Readiness(Connection::Impl& impl, short events, std::optional<SteadyTime> until)
      : impl_(impl), events_(events), until_(until) {}
  Readiness(const Readiness&) = delete;
  Readiness& operator=(const Readiness&) = delete;
  ~Readiness() { unregister(); }

  bool await_ready() {
    if (impl_.fd() < 0) {
      outcome_ = Wake::kClosed;
      return true;
    }
    if (until_ && std::chrono::steady_clock::now() >= *until_) {
      outcome_ = Wake::kTimeout;
      return true;
    }
    return false;
  }
  void await_suspend(std::coroutine_handle<> handle) {
    SLUICE_CHECK(!impl_.waiter);
    impl_.waiter = handle;
    impl_.wanted = events_;
    impl_.wait_until = until_;
    suspended_ = true;
  }
  Wake await_resume() {
    if (suspended_) {
      if (impl_.fd() < 0) {
        outcome_ = Wake::kClosed;
      } else {
        outcome_ = impl_.ready != 0 ? Wake::kReady : Wake::kTimeout;
      }
      unregister();
    }
    return outcome_;
  }

 private:
  void unregister() {
    if (!suspended_) return;
    suspended_ = false;
    impl_.waiter = nullptr;
    impl_.wanted = 0;
    impl_.wait_until.reset();
  }

  Connection::Impl& impl_;
  short events_;
  std::optional<SteadyTime> until_;
  bool suspended_ = false;
  Wake outcome_ = Wake::kReady;
};

// One operation, as long as its frame lives. If it is destroyed before finish() the protocol stands
// in the middle of an exchange that nobody will complete: the connection is closed.
class Operation {
 public:
  explicit Operation(std::shared_ptr<Connection::Impl> impl)
      : impl_(std::move(impl)), until_(impl_->deadline) {
    SLUICE_CHECK(!impl_->busy);
    impl_->busy = true;
  }
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  ~Operation() {
    impl_->busy = false;
    if (!finished_) impl_->close();
  }

  Connection::Impl& impl() const { return *impl_; }
  PGconn* link() const { return impl_->link; }
  const std::optional<SteadyTime>& until() const { return until_; }
  void finish() { finished_ = true; }

  // The Error of a wait that did not end with kReady, or (kReady) of a lost connection. Closes it.
  Error broken(Wake wake = Wake::kReady);

 private:
  std::shared_ptr<Connection::Impl> impl_;
  std::optional<SteadyTime> until_;
  bool finished_ = false;
};

// Stands in the detail of a failed connect() when something that is not PostgreSQL answers the
// port.
inline constexpr std::string_view kNotPostgres = "the port does not speak PostgreSQL's protocol";

// The SQLSTATE in a line "... FATAL:  28P01: text" of a failed connect(); empty if there is none.
std::string_view answer_code(std::string_view line);

// The Error of a result with status PGRES_FATAL_ERROR (server_error.cc).
Error error_of(const PGresult* result);
// Appends "LABEL: text" and a line end; further lines of `text` get a tab in front.
void append_detail(std::string& detail, std::string_view label, const char* text);
// The column that a CONTEXT of COPY names ("COPY t, line 3, column c: ..."); empty if none.
std::string_view copy_column(std::string_view context);

}  // namespace sluice::postgres
