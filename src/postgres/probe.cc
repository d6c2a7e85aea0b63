#include "postgres/probe.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace sluice::postgres {
namespace {

using std::chrono::milliseconds;

// How long a listener may take to close a connection on which nobody speaks, and to answer.
constexpr milliseconds kSilence{150};
constexpr milliseconds kAnswer{500};

// The message that asks PostgreSQL for TLS: length 8, code 80877103 (protocol-message-formats.html,
// SSLRequest). Every server and pooler answers it with one byte, S or N, before any login.
constexpr unsigned char kSslRequest[] = {0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f};

constexpr std::string_view kEndOfLines = "\r\n\r\n";

// The socket, as what the connection's fd() shows while the probe lasts.
class ProbeSocket {
 public:
  ProbeSocket(Connection::Impl& impl, const std::string& address, const std::string& port)
      : impl_(impl) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    if (getaddrinfo(address.c_str(), port.c_str(), &hints, &found) != 0) return;
    const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0 && errno != EINPROGRESS) {
      ::close(fd);
    } else {
      impl_.probe_fd = fd;
    }
    freeaddrinfo(found);
  }
  ProbeSocket(const ProbeSocket&) = delete;
  ProbeSocket& operator=(const ProbeSocket&) = delete;
  ~ProbeSocket() {
    if (impl_.probe_fd >= 0) ::close(impl_.probe_fd);
    impl_.probe_fd = -1;
  }
  int fd() const { return impl_.probe_fd; }

 private:
  Connection::Impl& impl_;
};

std::optional<SteadyTime> sooner(milliseconds from_now, std::optional<SteadyTime> until) {
  const auto own = std::chrono::steady_clock::now() + from_now;
  return until && *until < own ? until : own;
}

}  // namespace

Async<Speaks> probe(Connection::Impl& impl, std::string address, std::string port,
                    std::optional<SteadyTime> until) {
  const ProbeSocket probe_socket(impl, address, port);
  if (probe_socket.fd() < 0) co_return Speaks::kNothing;
  Readiness connected(impl, POLLOUT, sooner(kAnswer, until));
  Wake wake = co_await connected;
  if (wake != Wake::kReady || (impl.ready & (POLLERR | POLLHUP)) != 0) co_return Speaks::kNothing;

  char answer = 0;
  Readiness silence(impl, POLLIN, sooner(kSilence, until));
  wake = co_await silence;
  if (wake == Wake::kReady) {
    co_return recv(probe_socket.fd(), &answer, 1, 0) == 1 ? Speaks::kSomethingElse
                                                          : Speaks::kNothing;
  }
  if (send(probe_socket.fd(), kSslRequest, sizeof kSslRequest, MSG_NOSIGNAL) !=
      sizeof kSslRequest) {
    co_return Speaks::kNothing;
  }
  Readiness answered(impl, POLLIN, sooner(kAnswer, until));
  wake = co_await answered;
  if (wake == Wake::kTimeout) {
    // A server of a protocol of lines still waits for the end of the first one.
    if (send(probe_socket.fd(), kEndOfLines.data(), kEndOfLines.size(), MSG_NOSIGNAL) < 0) {
      co_return Speaks::kNothing;
    }
    Readiness answered_late(impl, POLLIN, sooner(kAnswer, until));
    wake = co_await answered_late;
  }
  if (wake != Wake::kReady) co_return Speaks::kNothing;
  // No byte: the peer closed because of what it was told.
  if (recv(probe_socket.fd(), &answer, 1, 0) != 1) co_return Speaks::kSomethingElse;
  const bool known = answer == 'S' || answer == 'N' || answer == 'E';
  co_return known ? Speaks::kPostgres : Speaks::kSomethingElse;
}

}  // namespace sluice::postgres
