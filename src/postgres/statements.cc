// Query, query with parameters, COPY: what runs on an open Connection.
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <charconv>

#include "base/fail_point.h"
#include "postgres/connection_impl.h"

namespace sluice::postgres {
namespace {

using ImplPtr = std::shared_ptr<Connection::Impl>;

// Large enough that the five bytes in front and the system call do not count, small enough that a
// blocked socket keeps little in libpq's buffer.
constexpr std::size_t kPiece = 64 * 1024;
// How often input is looked at while the socket takes everything.
constexpr std::size_t kLookEvery = 256 * 1024;
// Pieces that are still sent after the server said something that is no notice: see CopyWatch.
constexpr int kPatience = 4;
constexpr const char* kGivenUp = "the client gave up because the server had already answered";

tl::unexpected<Error> closed_already() {
  return fail(Domain::kPostgres, "connection", "the connection to PostgreSQL is closed");
}

// PostgreSQL's own code for a byte it cannot hold; libpq would cut the text off in silence.
tl::unexpected<Error> refuse_nul(std::string_view where) {
  return fail(
      Domain::kPostgres, "22021",
      fmt::format("{} contains U+0000, which PostgreSQL cannot hold; nothing was sent", where),
      "Remove it from the name or value it comes from.");
}

// An error for callers who broke the contract of query() or copy_in().
Error misuse(std::string code, std::string message) {
  Error error;
  error.domain = Domain::kInternal;
  error.code = std::move(code);
  error.message = std::move(message);
  return error;
}

// Sends what libpq has buffered. An error has closed the connection. Input is read meanwhile: a
// server that cannot get rid of its answers stops reading.
Async<Result<bool>> flush(Operation& operation) {
  while (true) {
    const int left = PQflush(operation.link());
    if (left == 0) co_return true;
    if (left < 0) co_return fail(operation.broken());
    Readiness readiness(operation.impl(), POLLIN | POLLOUT, operation.until());
    const Wake wake = co_await readiness;
    if (wake != Wake::kReady) co_return fail(operation.broken(wake));
    // A failure here shows again, with the server's last words, when the answer is read.
    PQconsumeInput(operation.link());
  }
}

// Waits until a result can be taken without blocking.
Async<Result<bool>> await_answer(Operation& operation) {
  while (PQisBusy(operation.link()) != 0) {
    Readiness readiness(operation.impl(), POLLIN, operation.until());
    const Wake wake = co_await readiness;
    if (wake != Wake::kReady) co_return fail(operation.broken(wake));
    // The server's last words may have been read together with the end: look for them first.
    if (PQconsumeInput(operation.link()) == 0 && PQisBusy(operation.link()) != 0) {
      co_return fail(operation.broken());
    }
  }
  co_return true;
}

// Ends the server's COPY FROM STDIN; `reason` nullptr: with success.
Async<Result<bool>> end_copy(Operation& operation, const char* reason) {
  while (true) {
    const int ended = PQputCopyEnd(operation.link(), reason);
    if (ended > 0) break;
    if (ended < 0) co_return fail(operation.broken());
    Readiness readiness(operation.impl(), POLLIN | POLLOUT, operation.until());
    const Wake wake = co_await readiness;
    if (wake != Wake::kReady) co_return fail(operation.broken(wake));
    PQconsumeInput(operation.link());
  }
  Async<Result<bool>> flushing = flush(operation);
  auto outcome = co_await flushing;
  co_return outcome;
}

// Reads a COPY TO STDOUT that nobody wants to its end.
Async<Result<bool>> drop_copy_out(Operation& operation) {
  while (true) {
    char* row = nullptr;
    const int size = PQgetCopyData(operation.link(), &row, 1);
    if (row != nullptr) PQfreemem(row);
    if (size < 0) co_return true;
    if (size > 0) continue;
    Readiness readiness(operation.impl(), POLLIN, operation.until());
    const Wake wake = co_await readiness;
    if (wake != Wake::kReady) co_return fail(operation.broken(wake));
    if (PQconsumeInput(operation.link()) == 0) co_return fail(operation.broken());
  }
}

Async<Result<bool>> leave_copy(Operation& operation, ExecStatusType status) {
  if (status == PGRES_COPY_IN) {
    Async<Result<bool>> ending = end_copy(operation, "query() was given a COPY FROM STDIN");
    auto outcome = co_await ending;
    co_return outcome;
  }
  if (status == PGRES_COPY_OUT) {
    Async<Result<bool>> dropping = drop_copy_out(operation);
    auto outcome = co_await dropping;
    co_return outcome;
  }
  co_return fail(operation.broken());  // replication: cannot be drained
}

struct FreeResult {
  void operator()(PGresult* result) const { PQclear(result); }
};
using ResultPtr = std::unique_ptr<PGresult, FreeResult>;

}  // namespace

struct Rows::Impl {
  ResultPtr result;
};

namespace {

bool is_copy(ExecStatusType status) {
  return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

// Reads the answer to its end; the first error with an SQLSTATE counts.
Async<Result<std::vector<Rows>>> collect(Operation& operation) {
  std::vector<Rows> rows;
  std::optional<Error> error;
  while (true) {
    Async<Result<bool>> waiting = await_answer(operation);
    auto arrived = co_await waiting;
    if (!arrived) {
      // After FATAL the connection ends: the server's reason says more than that.
      if (error && arrived.error().code == "connection") co_return fail(std::move(*error));
      co_return fail(std::move(arrived.error()));
    }
    ResultPtr result(PQgetResult(operation.link()));
    if (!result) break;
    const auto status = PQresultStatus(result.get());
    if (is_copy(status)) {
      error = misuse("copy_in_query", "query() was given a COPY; it was ended without any row");
      Async<Result<bool>> leaving = leave_copy(operation, status);
      auto left = co_await leaving;
      if (!left) co_return fail(std::move(left.error()));
    } else if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE) {
      if (!error || error->code == "connection") error = error_of(result.get());
    } else {
      auto impl = std::make_shared<Rows::Impl>();
      impl->result = std::move(result);
      rows.emplace_back(std::move(impl));
    }
  }
  if (PQstatus(operation.link()) == CONNECTION_BAD) {
    Error lost = operation.broken();
    co_return fail(error ? std::move(*error) : std::move(lost));
  }
  // libpq's own failure (out of memory): what the server did is unknown.
  if (error && error->code == "connection") operation.impl().close();
  operation.finish();
  if (error) co_return fail(std::move(*error));
  co_return rows;
}

Async<Result<std::vector<Rows>>> run_query(ImplPtr impl, std::string sql) {
  if (impl->link == nullptr) co_return closed_already();
  if (sql.find('\0') != std::string::npos) co_return refuse_nul("the SQL text");
  Operation operation(impl);
  if (PQsendQuery(operation.link(), sql.c_str()) == 0) co_return fail(operation.broken());
  Async<Result<bool>> flushing = flush(operation);
  auto flushed = co_await flushing;
  if (!flushed) co_return fail(std::move(flushed.error()));
  Async<Result<std::vector<Rows>>> collecting = collect(operation);
  auto outcome = co_await collecting;
  co_return outcome;
}

Async<Result<Rows>> run_query_params(ImplPtr impl, std::string sql,
                                     std::vector<std::optional<std::string>> parameters) {
  if (impl->link == nullptr) co_return closed_already();
  if (sql.find('\0') != std::string::npos) co_return refuse_nul("the SQL text");
  std::vector<const char*> values;
  values.reserve(parameters.size());
  for (const auto& parameter : parameters) {
    if (parameter && parameter->find('\0') != std::string::npos) {
      co_return refuse_nul(fmt::format("parameter ${}", values.size() + 1));
    }
    values.push_back(parameter ? parameter->c_str() : nullptr);
  }
  Operation operation(impl);
  if (PQsendQueryParams(operation.link(), sql.c_str(), static_cast<int>(values.size()), nullptr,
                        values.data(), nullptr, nullptr, 0) == 0) {
    co_return fail(operation.broken());
  }
  Async<Result<bool>> flushing = flush(operation);
  auto flushed = co_await flushing;
  if (!flushed) co_return fail(std::move(flushed.error()));
  Async<Result<std::vector<Rows>>> collecting = collect(operation);
  auto collected = co_await collecting;
  if (!collected) co_return fail(std::move(collected.error()));
  if (collected->empty()) co_return Rows();
  co_return std::move(collected->front());
}

// Notices an early end of a COPY. libpq hands no message out while rows are being sent, except
// notices; so input that is no notice is the error that ended the COPY, or the beginning of a long
// notice, or (before PostgreSQL 14, which reports changed settings only between statements) a
// setting changed by a trigger. Hence the patience, and none of this before 14. A COPY that is
// given up wrongly fails with 57014 and is tried again: it is never half done.
class CopyWatch {
 public:
  explicit CopyWatch(const Connection::Impl& impl) : impl_(impl), notices_(impl.notices) {}

  // After input was read and parsed; `arrived`: the socket had shown input.
  void look(bool arrived) {
    if (impl_.notices != notices_) {
      notices_ = impl_.notices;
      suspicion_ = 0;
    } else if (arrived && suspicion_ == 0) {
      suspicion_ = 1;
    }
  }
  // Before each piece: true if there is no use in sending it.
  bool ended() {
    if (suspicion_ == 0 || impl_.server_version < 140000) return false;
    return ++suspicion_ > kPatience;
  }

 private:
  const Connection::Impl& impl_;
  std::uint64_t notices_;
  int suspicion_ = 0;
};

bool has_input(int fd) {
  pollfd ready{fd, POLLIN, 0};
  return poll(&ready, 1, 0) > 0 && (ready.revents & POLLIN) != 0;
}

// Waits for the answer to `sql` until the server asks for rows. Statements before the COPY are
// skipped.
Async<Result<bool>> open_copy(Operation& operation) {
  while (true) {
    Async<Result<bool>> waiting = await_answer(operation);
    auto arrived = co_await waiting;
    if (!arrived) co_return fail(std::move(arrived.error()));
    ResultPtr result(PQgetResult(operation.link()));
    if (!result) {
      operation.finish();
      co_return fail(misuse("no_copy", "copy_in() was given SQL without a COPY FROM STDIN"));
    }
    const auto status = PQresultStatus(result.get());
    if (status == PGRES_COPY_IN) co_return true;
    if (is_copy(status)) {
      Async<Result<bool>> leaving = leave_copy(operation, status);
      auto left = co_await leaving;
      if (!left) co_return fail(std::move(left.error()));
    } else if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE) {
      Error error = error_of(result.get());
      Async<Result<std::vector<Rows>>> draining = collect(operation);
      auto drained = co_await draining;
      if (!drained && error.code == "connection") error = std::move(drained.error());
      co_return fail(std::move(error));
    }
  }
}

// Sends all of `data`. Returns false if the server ended the COPY early.
Async<Result<bool>> send_rows(Operation& operation, const std::vector<std::string_view>& data) {
  Connection::Impl& impl = operation.impl();
  std::size_t total = 0;
  for (const auto part : data) total += part.size();
  std::size_t sent = 0;
  std::size_t flushed = 0;
  std::size_t looked = 0;
  CopyWatch watch(impl);
  for (std::string_view part : data) {
    while (!part.empty()) {
      const auto piece = part.substr(0, kPiece);
      if (sent <= total / 2 && sent + piece.size() > total / 2 && SLUICE_FAIL_POINT("in_copy")) {
        impl.close();
        co_return fail(operation.broken(Wake::kClosed));
      }
      if (watch.ended()) co_return false;
      if (PQputCopyData(impl.link, piece.data(), static_cast<int>(piece.size())) < 0) {
        co_return fail(operation.broken());
      }
      sent += piece.size();
      part.remove_prefix(piece.size());
      if (sent - flushed < kPiece) continue;  // many small parts: one system call for several
      flushed = sent;
      int left = PQflush(impl.link);
      while (left > 0) {
        Readiness readiness(impl, POLLIN | POLLOUT, operation.until());
        const Wake wake = co_await readiness;
        if (wake != Wake::kReady) co_return fail(operation.broken(wake));
        if ((impl.ready & ~POLLOUT) != 0) {
          if (PQconsumeInput(impl.link) == 0) co_return false;  // the answer's reader finds out why
          PQisBusy(impl.link);  // parses what arrived, so that notices are counted
          watch.look(true);
        }
        left = PQflush(impl.link);
      }
      if (left < 0) co_return fail(operation.broken());
      if (sent - looked >= kLookEvery) {
        looked = sent;
        const bool arrived = has_input(impl.fd());
        if (arrived && PQconsumeInput(impl.link) == 0) co_return false;
        PQisBusy(impl.link);
        watch.look(arrived);
      }
    }
  }
  if (total == 0 && SLUICE_FAIL_POINT("in_copy")) {
    impl.close();
    co_return fail(operation.broken(Wake::kClosed));
  }
  co_return true;
}

Async<Result<std::int64_t>> run_copy(ImplPtr impl, std::string sql,
                                     std::vector<std::string_view> data) {
  if (impl->link == nullptr) co_return closed_already();
  if (sql.find('\0') != std::string::npos) co_return refuse_nul("the SQL text");
  Operation operation(impl);
  if (PQsendQuery(operation.link(), sql.c_str()) == 0) co_return fail(operation.broken());
  Async<Result<bool>> flushing = flush(operation);
  auto flushed = co_await flushing;
  if (!flushed) co_return fail(std::move(flushed.error()));
  Async<Result<bool>> opening = open_copy(operation);
  auto opened = co_await opening;
  if (!opened) co_return fail(std::move(opened.error()));
  Async<Result<bool>> sending = send_rows(operation, data);
  auto complete = co_await sending;
  if (!complete) co_return fail(std::move(complete.error()));
  Async<Result<bool>> ending = end_copy(operation, *complete ? nullptr : kGivenUp);
  auto ended = co_await ending;
  if (!ended) co_return fail(std::move(ended.error()));
  Async<Result<std::vector<Rows>>> collecting = collect(operation);
  auto collected = co_await collecting;
  if (!collected) co_return fail(std::move(collected.error()));
  // A COPY that was given up cannot succeed: whatever that was, it must not be committed.
  if (!*complete || collected->empty()) {
    impl->close();
    co_return fail(
        misuse("copy_answer", "PostgreSQL answered a COPY in a way that makes no sense"));
  }
  co_return collected->front().affected();
}

}  // namespace

Async<Result<std::vector<Rows>>> Connection::query(std::string sql) {
  return run_query(impl_, std::move(sql));
}

Async<Result<Rows>> Connection::query_params(std::string sql,
                                             std::vector<std::optional<std::string>> parameters) {
  return run_query_params(impl_, std::move(sql), std::move(parameters));
}

Async<Result<std::int64_t>> Connection::copy_in(std::string sql,
                                                std::vector<std::string_view> data) {
  return run_copy(impl_, std::move(sql), std::move(data));
}

Rows::Rows() = default;
Rows::Rows(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

int Rows::size() const { return impl_ ? PQntuples(impl_->result.get()) : 0; }
int Rows::columns() const { return impl_ ? PQnfields(impl_->result.get()) : 0; }

bool Rows::is_null(int row, int column) const {
  SLUICE_CHECK(row >= 0 && row < size() && column >= 0 && column < columns());
  return PQgetisnull(impl_->result.get(), row, column) != 0;
}

std::string_view Rows::text(int row, int column) const {
  SLUICE_CHECK(row >= 0 && row < size() && column >= 0 && column < columns());
  return {PQgetvalue(impl_->result.get(), row, column),
          static_cast<std::size_t>(PQgetlength(impl_->result.get(), row, column))};
}

std::int64_t Rows::integer(int row, int column) const {
  const auto digits = text(row, column);
  std::int64_t value = 0;
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  SLUICE_CHECK(failed == std::errc() && end == digits.data() + digits.size());
  return value;
}

bool Rows::boolean(int row, int column) const { return text(row, column) == "t"; }

std::string_view Rows::tag() const {
  return impl_ ? std::string_view(PQcmdStatus(impl_->result.get())) : std::string_view{};
}

std::int64_t Rows::affected() const {
  if (!impl_) return 0;
  const std::string_view digits = PQcmdTuples(impl_->result.get());
  std::int64_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

}  // namespace sluice::postgres
