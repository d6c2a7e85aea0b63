#include "postgres/connection.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <cctype>

#include "base/log.h"
#include "postgres/connection_impl.h"
#include "postgres/conninfo.h"
#include "postgres/probe.h"
#include "postgres/sqlstate.h"

namespace sluice::postgres {
namespace {

using std::chrono::steady_clock;

// A dead peer is noticed after 30 + 3 * 10 s of silence. Data that is not acknowledged, and a
// window that stays closed, end the connection after 60 s: a server that stalls longer in mid COPY
// is met again by a new connection.
constexpr std::pair<std::string_view, std::string_view> kTcp[] = {
    {"keepalives", "1"},       {"keepalives_idle", "30"},     {"keepalives_interval", "10"},
    {"keepalives_count", "3"}, {"tcp_user_timeout", "60000"},
};

// Notices can carry values: only their kind is told.
void on_notice(void* argument, const PGresult* result) {
  auto& impl = *static_cast<Connection::Impl*>(argument);
  ++impl.notices;
  if (!log::enabled(log::Level::kDebug)) return;
  const char* severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  const char* sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  log::debug("PostgreSQL sent a notice", {{"severity", severity == nullptr ? "" : severity},
                                          {"sqlstate", sqlstate == nullptr ? "" : sqlstate},
                                          {"backend", impl.backend_pid}});
}

std::string where(const Parameters& parameters) {
  const auto endpoint = endpoint_of(parameters);
  return fmt::format("{}:{}", endpoint.host, endpoint.port);
}

// libpq writes a server's answer as "... FATAL:  28P01: text" under PQERRORS_VERBOSE; the word
// before may be translated by the server. Of several answers (with TLS and without, of several
// hosts) the last one counts that came from beyond pg_hba.conf, else the last.
std::string sqlstate_in(std::string_view text) {
  std::string code;
  bool beyond = false;
  while (!text.empty()) {
    const auto line = text.substr(0, std::min(text.find('\n'), text.size()));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const auto found = answer_code(line);
    const bool is_beyond = line.find("pg_hba.conf") == std::string_view::npos;
    if (found.empty() || (beyond && !is_beyond)) continue;
    code = found;
    beyond = is_beyond;
  }
  return code;
}

// "LOCATION:  auth_failed, auth.c:334"
std::string location_in(std::string_view text) {
  const auto at = text.rfind("LOCATION:  ");
  if (at == std::string_view::npos) return {};
  const auto name = text.substr(at + 11);
  return std::string(name.substr(0, std::min(name.find_first_of(",\n"), name.size())));
}

// libpq's first line without its "connection to server at ... failed: ".
std::string_view own_reason(std::string_view text) {
  text = text.substr(0, std::min(text.find('\n'), text.size()));
  const auto prefix = text.find(" failed: ");
  if (text.starts_with("connection to server") && prefix != std::string_view::npos) {
    text.remove_prefix(prefix + 9);
  }
  return text;
}

Error refused(const Parameters& parameters, const std::string& said) {
  Error error;
  error.domain = Domain::kPostgres;
  error.code = sqlstate_in(said);
  if (error.code.empty()) {
    error.code = "connection";
    error.message =
        fmt::format("cannot connect to PostgreSQL at {}: {}", where(parameters), own_reason(said));
  } else {
    error.severity = "FATAL";
    error.source_function = location_in(said);
    error.message = fmt::format("PostgreSQL at {} refused the connection: {} {}", where(parameters),
                                error.code, condition_name(error.code));
  }
  append_detail(error.detail, "MESSAGE", said.c_str());
  return error;
}

Error too_slow(const Parameters& parameters, const std::string& said) {
  Error error;
  error.domain = Domain::kPostgres;
  error.code = "timeout";
  error.message =
      fmt::format("PostgreSQL at {} did not let us in within the time-out", where(parameters));
  append_detail(error.detail, "MESSAGE", said.c_str());
  return error;
}

struct Attempt {
  enum class Outcome : std::uint8_t {
    kOpen,
    kRefused,
    kTimeout,
    kClosed
  } outcome = Outcome::kRefused;
  std::string said;  // libpq's words
  std::string host;  // as PQhost names the one that was tried last
  std::string port;
  std::string address;  // numeric; empty for sockets and if there is none
  bool tcp = false;     // kTimeout: there was a TCP connection
};

PGconn* begin(Connection::Impl& impl, const Parameters& parameters) {
  std::vector<const char*> keywords;
  std::vector<const char*> values;
  for (const auto& parameter : parameters) {
    keywords.push_back(parameter.keyword.c_str());
    values.push_back(parameter.value.c_str());
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  PGconn* link = PQconnectStartParams(keywords.data(), values.data(), 0);
  SLUICE_CHECK(link != nullptr);  // only out of memory
  PQsetNoticeReceiver(link, on_notice, &impl);
  // The only way to learn a refused login's SQLSTATE: its text may be in any language.
  PQsetErrorVerbosity(link, PQERRORS_VERBOSE);
  return link;
}

std::string text_of(const char* text) {
  return text == nullptr ? std::string() : std::string(text);
}

void describe(Attempt& attempt, PGconn* link) {
  attempt.host = text_of(PQhost(link));
  attempt.port = text_of(PQport(link));
  attempt.address = text_of(PQhostaddr(link));
}

// libpq's text so far, with what it would say of a host that is given up, and how far that got.
std::string given_up(Attempt& attempt, PGconn* link) {
  std::string said = text_of(PQerrorMessage(link));
  // From version 14 on libpq writes the beginning of the line when it begins to try a host.
  if (!said.ends_with(" failed: ")) {
    said +=
        fmt::format("connection to server at \"{}\", port {} failed: ", attempt.host, attempt.port);
  }
  const auto phase = PQstatus(link);
  attempt.tcp = phase != CONNECTION_STARTED && phase != CONNECTION_NEEDED;
  return said + (attempt.tcp ? "timeout expired (the TCP connection is there, nothing answers)\n"
                             : "timeout expired (no TCP connection came about)\n");
}

// One run of libpq over the hosts of `parameters`. A host that does not answer within its share of
// the time is given up (kTimeout): libpq's own limit a host works in its blocking calls only.
Async<Attempt> try_connect(Connection::Impl& impl, const Parameters& parameters, SteadyTime until) {
  Attempt attempt;
  impl.link = begin(impl, parameters);
  int hosts_left = host_count(parameters);
  SteadyTime limit = until;
  std::string current;
  PostgresPollingStatusType state = PGRES_POLLING_WRITING;
  while (PQstatus(impl.link) != CONNECTION_BAD) {
    describe(attempt, impl.link);
    if (std::string host = attempt.host + ":" + attempt.port; host != current) {
      current = std::move(host);
      limit = steady_clock::now() + (until - steady_clock::now()) / std::max(hosts_left--, 1);
    }
    Readiness readiness(impl, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, limit);
    const Wake wake = co_await readiness;
    if (wake != Wake::kReady) {
      if (wake == Wake::kTimeout) attempt.said = given_up(attempt, impl.link);
      attempt.outcome =
          wake == Wake::kTimeout ? Attempt::Outcome::kTimeout : Attempt::Outcome::kClosed;
      impl.close();
      co_return attempt;
    }
    state = PQconnectPoll(impl.link);
    const auto phase = PQstatus(impl.link);
    if (PQsslInUse(impl.link) == 0) {
      impl.encrypted_at.reset();  // a new attempt
    } else if (!impl.encrypted_at && phase != CONNECTION_SSL_STARTUP && phase != CONNECTION_BAD) {
      impl.encrypted_at = steady_clock::now();
    }
    if (state == PGRES_POLLING_OK) {
      attempt.outcome = Attempt::Outcome::kOpen;
      co_return attempt;
    }
  }
  describe(attempt, impl.link);
  attempt.said = PQerrorMessage(impl.link);
  impl.close();
  co_return attempt;
}

void opened(Connection::Impl& impl) {
  PQsetnonblocking(impl.link, 1);
  PQsetErrorVerbosity(impl.link, PQERRORS_DEFAULT);
  impl.server_version = PQserverVersion(impl.link);
  impl.backend_pid = PQbackendPID(impl.link);
  impl.notices = 0;
}

bool closed_without_a_word(const std::string& said) {
  return sqlstate_in(said).empty() &&
         said.find("server closed the connection") != std::string::npos;
}

Async<Result<bool>> run_connect(std::shared_ptr<Connection::Impl> impl, std::string conninfo,
                                std::string application_name, std::chrono::milliseconds timeout) {
  auto parsed = parse_conninfo(conninfo);
  if (!parsed) co_return fail(std::move(parsed.error()));
  Parameters& parameters = *parsed;
  for (const auto& [keyword, value] : kTcp) set_parameter(parameters, keyword, value);
  set_parameter(parameters, "client_encoding", "UTF8", true);
  if (!application_name.empty()) {
    set_parameter(parameters, "application_name", application_name, true);
  }
  Operation operation(impl);
  impl->close();
  impl->encrypted_at.reset();
  if (const auto own = connect_timeout_of(parameters)) timeout = *own;
  SteadyTime until = steady_clock::now() + timeout;
  if (operation.until()) until = std::min(until, *operation.until());

  std::string said;  // of hosts that were given up
  const Parameters all = parameters;
  while (true) {
    Async<Attempt> trying = try_connect(*impl, parameters, until);
    const Attempt attempt = co_await trying;
    said += attempt.said;
    if (attempt.outcome == Attempt::Outcome::kOpen) break;
    if (attempt.outcome == Attempt::Outcome::kClosed)
      co_return fail(operation.broken(Wake::kClosed));
    const bool timeout_passed = attempt.outcome == Attempt::Outcome::kTimeout;
    if (timeout_passed && remove_host(parameters, attempt.host, attempt.port)) continue;
    if (!attempt.address.empty() && (timeout_passed ? attempt.tcp : closed_without_a_word(said))) {
      Async<Speaks> probing = probe(*impl, attempt.address, attempt.port, operation.until());
      const Speaks speaks = co_await probing;
      if (speaks == Speaks::kSomethingElse) {
        said += fmt::format("{}: {}, port {}\n", kNotPostgres, attempt.address, attempt.port);
      }
    }
    co_return fail(timeout_passed ? too_slow(all, said) : refused(all, said));
  }
  opened(*impl);
  operation.finish();
  co_return true;
}

}  // namespace

void Connection::Impl::resume(short events) {
  if (!waiter) return;
  const bool broken = (events & (POLLERR | POLLHUP | POLLNVAL)) != 0;
  const bool closed = fd() < 0;
  ready = static_cast<short>((events & wanted) != 0 || broken ? events : 0);
  if (ready == 0 && !closed && !expired()) return;
  waiter.resume();  // may end the operation and destroy what is around it: nothing after this
}

Error Operation::broken(Wake wake) {
  Error error;
  error.domain = Domain::kPostgres;
  if (wake == Wake::kTimeout) {
    error.code = "timeout";
    error.message = "PostgreSQL did not answer before the deadline; the connection was dropped";
  } else if (wake == Wake::kClosed) {
    error.code = "connection";
    error.message = "the connection to PostgreSQL was closed while an operation waited on it";
  } else {
    error.code = "connection";
    error.message = "the connection to PostgreSQL was lost";
    if (link() != nullptr) append_detail(error.detail, "MESSAGE", PQerrorMessage(link()));
  }
  impl_->close();
  return error;
}

Connection::Connection() : impl_(std::make_shared<Impl>()) {}
Connection::~Connection() {
  if (impl_) impl_->close();
}
Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&& other) noexcept {
  if (this != &other) {
    if (impl_) impl_->close();
    impl_ = std::move(other.impl_);
  }
  return *this;
}

Async<Result<bool>> Connection::connect(std::string conninfo, std::string application_name,
                                        std::chrono::milliseconds connect_timeout) {
  return run_connect(impl_, std::move(conninfo), std::move(application_name), connect_timeout);
}

bool Connection::is_open() const {
  return impl_->link != nullptr && PQstatus(impl_->link) == CONNECTION_OK;
}
void Connection::close() { impl_->close(); }
int Connection::fd() const { return impl_->fd(); }
short Connection::wanted_events() const { return impl_->wanted; }
void Connection::on_ready(short events) {
  // Keeps the inside alive if the resumed operation's owner drops this Connection.
  const auto impl = impl_;
  impl->resume(events);
}
std::optional<SteadyTime> Connection::deadline() const { return impl_->wait_until; }
void Connection::set_deadline(std::optional<SteadyTime> deadline) { impl_->deadline = deadline; }
int Connection::server_version() const { return impl_->server_version; }
int Connection::backend_pid() const { return impl_->backend_pid; }
std::optional<SteadyTime> Connection::encrypted_at() const { return impl_->encrypted_at; }
std::string Connection::encryption() const {
  if (!is_open() || PQsslInUse(impl_->link) == 0) return {};
  return fmt::format("{}, {}", text_of(PQsslAttribute(impl_->link, "protocol")),
                     text_of(PQsslAttribute(impl_->link, "cipher")));
}

void Connection::wait_once() {
  SLUICE_CHECK(impl_->waiter);  // else drive() was given something that waits for nothing here
  pollfd polled{fd(), impl_->wanted, 0};
  if (polled.fd >= 0) {
    int timeout_ms = -1;
    if (impl_->wait_until) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(*impl_->wait_until - steady_clock::now());
      timeout_ms = static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 3'600'000));
    }
    if (poll(&polled, 1, timeout_ms) < 0) polled.revents = 0;  // EINTR: the caller comes again
  }
  on_ready(polled.revents);
}

std::string Connection::literal(std::string_view text) {
  // In E'' a backslash escapes under every setting; in '' it does or not by
  // standard_conforming_strings.
  const bool backslash = text.find('\\') != std::string_view::npos;
  std::string quoted = backslash ? "E'" : "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') quoted += c;
    quoted += c;
  }
  quoted += '\'';
  return quoted;
}

std::string Connection::idle_timeout(std::string_view value) {
  // Before 9.6 a setting of our own, which nobody reads, takes its place.
  return fmt::format(
      "pg_catalog.set_config(CASE WHEN pg_catalog.current_setting('server_version_num')::integer <"
      " 90600 THEN 'sluice.idle_timeout' ELSE 'idle_in_transaction_session_timeout' END,"
      " '{}', true)",
      value);
}

std::string_view Connection::own_timeouts() {
  static const std::string kSql =
      "SELECT pg_catalog.set_config('statement_timeout', '60s', true),"
      " pg_catalog.set_config('lock_timeout', '5s', true), " +
      idle_timeout("30s") + ";";
  return kSql;
}

std::string Connection::identifier(std::string_view name) {
  std::string quoted = "\"";
  for (const char c : name) {
    if (c == '"') quoted += c;
    quoted += c;
  }
  quoted += '"';
  return quoted;
}

}  // namespace sluice::postgres
