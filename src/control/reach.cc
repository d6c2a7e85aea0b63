#include "control/reach.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>

namespace sluice::control {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kMostLookups = 16;  // of a resolver that hangs
std::atomic<int> lookups{0};

using Addresses = std::unique_ptr<addrinfo, void (*)(addrinfo*)>;

// What getaddrinfo's thread and its caller share; whoever is last frees it.
struct Lookup {
  std::string host, port;
  std::mutex mutex;
  std::condition_variable ended;
  bool done = false;
  int code = 0;
  Addresses found{nullptr, freeaddrinfo};
};

tl::unexpected<Error> failed(std::string code, std::string message, std::string remedy) {
  return fail(Domain::kInternal, std::move(code), std::move(message), std::move(remedy));
}

void look_up(const std::shared_ptr<Lookup>& lookup) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int code = getaddrinfo(lookup->host.c_str(), lookup->port.c_str(), &wanted, &found);
  const std::lock_guard lock(lookup->mutex);
  lookup->code = code;
  if (code == 0) lookup->found.reset(found);
  lookup->done = true;
  lookup->ended.notify_all();
  --lookups;
}

std::vector<Address> texts_of(const addrinfo* found) {
  std::vector<Address> addresses;
  for (const auto* each = found; each != nullptr; each = each->ai_next) {
    char host[NI_MAXHOST] = {}, port[NI_MAXSERV] = {};
    if (getnameinfo(each->ai_addr, each->ai_addrlen, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
      addresses.push_back({host, port});
    }
  }
  return addresses;
}

// 0, or the errno of a connection attempt.
int connect_within(const Address& address, milliseconds time) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* raw = nullptr;
  if (getaddrinfo(address.text.c_str(), address.port.c_str(), &wanted, &raw) != 0) return EINVAL;
  const Addresses numeric(raw, freeaddrinfo);
  const int socket = ::socket(numeric->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket < 0) return errno;
  int error = ::connect(socket, numeric->ai_addr, numeric->ai_addrlen) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    pollfd waited{socket, POLLOUT, 0};
    const int ready = ::poll(&waited, 1, static_cast<int>(std::max<std::int64_t>(1, time.count())));
    socklen_t size = sizeof error;
    if (ready == 0) {
      error = ETIMEDOUT;
    } else if (ready < 0 || getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
      error = errno;
    }
  }
  ::close(socket);
  return error;
}

}  // namespace

Result<std::vector<Address>> resolve(const std::string& host, const std::string& port,
                                     milliseconds time) {
  if (++lookups > kMostLookups) {
    --lookups;
    return failed("name", fmt::format("the name {} cannot be looked up: the resolver hangs", host),
                  "Check the DNS servers of the machine that Sluice runs on.");
  }
  const auto lookup = std::make_shared<Lookup>();
  lookup->host = host;
  lookup->port = port;
  std::thread(look_up, lookup).detach();  // getaddrinfo cannot be ended
  std::unique_lock lock(lookup->mutex);
  if (!lookup->ended.wait_for(lock, time, [&] { return lookup->done; })) {
    return failed(
        "name", fmt::format("the name {} was not resolved within {} s", host, time.count() / 1000),
        "Check the DNS servers of the machine that Sluice runs on.");
  }
  if (lookup->code == EAI_AGAIN) {
    return failed("name", fmt::format("the name {} cannot be resolved now", host),
                  "Check the name, and the DNS servers of the machine that Sluice runs on.");
  }
  if (lookup->code != 0) {
    return failed("name",
                  fmt::format("the name {} is not known: {}", host, gai_strerror(lookup->code)),
                  "Correct the host, or make it known to the DNS of the machine that Sluice runs "
                  "on.");
  }
  return texts_of(lookup->found.get());
}

Result<std::size_t> try_tcp(const std::vector<Address>& addresses, milliseconds time) {
  const auto until = steady_clock::now() + time;
  int last = EHOSTUNREACH;
  std::string place = "the server";
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    const auto left = std::chrono::duration_cast<milliseconds>(until - steady_clock::now());
    const auto share = left / static_cast<std::int64_t>(addresses.size() - i);
    last = connect_within(addresses[i], share);
    if (last == 0) return i;
    const bool six = addresses[i].text.find(':') != std::string::npos;
    place = fmt::format("{}{}{}:{}", six ? "[" : "", addresses[i].text, six ? "]" : "",
                        addresses[i].port);
  }
  if (last == ECONNREFUSED) {
    return failed(
        "refused", fmt::format("nothing listens at {}: the connection was refused", place),
        "Start the server, check host and port, and whether it listens to addresses other "
        "than its own.");
  }
  if (last == ETIMEDOUT) {
    return failed("timeout", fmt::format("{} does not answer", place),
                  "Check host and port, and the firewalls and security groups in between: one that "
                  "drops packets looks like this.");
  }
  return failed("unreachable", fmt::format("{} cannot be reached: {}", place, std::strerror(last)),
                "Check the host, the network and the firewalls.");
}

}  // namespace sluice::control
