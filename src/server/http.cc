#include "server/http.h"

#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/version.hpp>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

namespace sluice::server {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;

constexpr std::chrono::seconds kTime{10};
constexpr std::uint32_t kHeaderBytes = 8 * 1024;
constexpr int kConnections = 64;

// One connection; keeps itself alive while something is under way.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, const Handler& handler, int& open)
      : stream_(std::move(socket)), handler_(handler), open_(open) {
    ++open_;
  }
  ~Session() { --open_; }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void read() {
    parser_.emplace();
    parser_->header_limit(kHeaderBytes);
    stream_.expires_after(kTime);
    // Nothing here takes a body: one that comes is not read, and the connection is closed.
    http::async_read_header(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](beast::error_code error, std::size_t /*bytes*/) {
          if (!error) self->answer();
        });
  }

 private:
  void answer() {
    const auto& request = parser_->get();
    const bool head = request.method() == http::verb::head;
    Page page;
    if (head || request.method() == http::verb::get) {
      const auto target = request.target();
      const std::string_view text(target.data(), target.size());
      page = handler_(text.substr(0, text.find('?')));
    } else {
      page = {405, "text/plain; charset=utf-8", "only GET and HEAD\n"};
    }
    response_ = {static_cast<http::status>(page.status), request.version()};
    response_.set(http::field::content_type, page.content_type);
    response_.set("X-Content-Type-Options", "nosniff");
    response_.set(http::field::cache_control, "no-store");
    if (page.status == 405) response_.set(http::field::allow, "GET, HEAD");
    response_.keep_alive(request.keep_alive() && parser_->is_done());
    const std::size_t length = page.body.size();
    if (!head) response_.body() = std::move(page.body);
    response_.content_length(length);
    stream_.expires_after(kTime);
    http::async_write(stream_, response_,
                      [self = shared_from_this()](beast::error_code error, std::size_t /*bytes*/) {
                        if (error) return;
                        if (self->response_.keep_alive()) return self->read();
                        beast::error_code ignored;
                        self->stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
                      });
  }

  beast::tcp_stream stream_;
  const Handler& handler_;
  int& open_;
  beast::flat_buffer buffer_{kHeaderBytes};
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
};

tl::unexpected<Error> refuse(const std::string& address, std::string_view why) {
  return fail(Domain::kCommandLine, "address", fmt::format("cannot listen on {}: {}", address, why),
              "Give HOST:PORT of this machine, for example 127.0.0.1:9187.");
}

class Listener final : public HttpListener {
 public:
  explicit Listener(Handler handler) : handler_(std::move(handler)) {}
  ~Listener() override {
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  Result<bool> listen(const std::string& address) {
    const auto colon = address.rfind(':');
    if (colon == std::string::npos) return refuse(address, "it has no port");
    std::string host = address.substr(0, colon);
    const std::string port = address.substr(colon + 1);
    if (host.size() > 1 && host.front() == '[' && host.back() == ']') {
      host = host.substr(1, host.size() - 2);
    }
    if (port.empty() || port.size() > 5 ||
        port.find_first_not_of("0123456789") != std::string::npos || std::stoi(port) > 65'535) {
      return refuse(address, "the port is no number up to 65535");
    }
    beast::error_code error;
    tcp::resolver resolver(context_);
    const auto found = resolver.resolve(host, port, tcp::resolver::passive, error);
    if (error) return refuse(address, error.message());
    const tcp::endpoint endpoint = found.begin()->endpoint();
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) return refuse(address, error.message());
    port_ = acceptor_.local_endpoint().port();
    accept();
    thread_ = std::thread([this] { context_.run(); });
    return true;
  }
  std::uint16_t port() const override { return port_; }

 private:
  void accept() {
    acceptor_.async_accept([this](beast::error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted) return;
      if (!error && open_ < kConnections) {
        std::make_shared<Session>(std::move(socket), handler_, open_)->read();
      }
      if (!error) return accept();
      // Out of file descriptors, most likely: not in a tight loop.
      pause_.expires_after(std::chrono::milliseconds(100));
      pause_.async_wait([this](beast::error_code stopped) {
        if (!stopped) accept();
      });
    });
  }

  const Handler handler_;
  int open_ = 0;  // outlives the context's sessions
  std::uint16_t port_ = 0;
  asio::io_context context_{1};
  tcp::acceptor acceptor_{context_};
  asio::steady_timer pause_{context_};
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<HttpListener>> HttpListener::start(const std::string& address,
                                                          Handler handler) {
  auto listener = std::make_unique<Listener>(std::move(handler));
  if (auto listening = listener->listen(address); !listening) return fail(listening.error());
  return listener;
}

}  // namespace sluice::server
