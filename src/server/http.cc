#include "server/http.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/version.hpp>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace sluice::server {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;

// Requests that wait for a handler, for each of its threads.
constexpr int kWaitingPerThread = 16;
constexpr std::chrono::seconds kWriteTime{30};
// For the rest of a request that was refused before its end.
constexpr std::chrono::seconds kLinger{3};
constexpr std::size_t kMostDropped = 16 * 1024 * 1024;
// A stream that says nothing sends a comment, so that proxies keep it and a lost client is noticed.
constexpr std::chrono::seconds kStreamBeat{15};

// What all sessions of a listener share. Counters belong to the network thread.
struct Shared {
  ListenOptions options;
  Handler handler;
  int open = 0;
  int streams = 0;
  int waiting = 0;  // for a handler, or in one
  std::atomic<bool> draining{false};
  std::mutex mutex;
  std::condition_variable idle;
  std::atomic<int> busy{0};  // requests between their last byte and that of their answer
  // Last: sessions that end with the context use what stands above.
  asio::io_context context{1};
  std::unique_ptr<asio::thread_pool> pool;  // none: handlers run on the network thread

  Response refuse(unsigned status) const {
    if (options.refusal) return options.refusal(status);
    return {status, "text/plain; charset=utf-8",
            std::string(http::obsolete_reason(static_cast<http::status>(status))) + '\n'};
  }
  void ended_request() {
    if (--busy > 0) return;
    const std::lock_guard lock(mutex);
    idle.notify_all();
  }
  // Runs `work` where it may block, then `then` with what it returned, on the network thread.
  template <class Work, class Then>
  void run(Work work, Then then) {
    if (!pool) return then(work());
    ++waiting;
    asio::post(*pool, [this, work = std::move(work), then = std::move(then)]() mutable {
      auto result = work();
      asio::post(context, [this, then = std::move(then), result = std::move(result)]() mutable {
        --waiting;
        then(std::move(result));
      });
    });
  }
  bool overloaded() const { return pool && waiting >= kWaitingPerThread * options.handler_threads; }
};

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

// One connection; keeps itself alive while something is under way.
template <class Stream>
class Session : public std::enable_shared_from_this<Session<Stream>> {
 public:
  template <class... Arguments>
  Session(Shared& shared, std::string address, tcp::socket socket, Arguments&... arguments)
      : shared_(shared),
        address_(std::move(address)),
        stream_(std::move(socket), arguments...),
        buffer_(shared.options.header_bytes + 64 * 1024) {
    ++shared_.open;
  }
  ~Session() {
    if (streaming_) --shared_.streams;
    end_request();
    --shared_.open;
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void start() {
    if constexpr (std::is_same_v<Stream, beast::tcp_stream>) {
      read();
    } else {
      beast::get_lowest_layer(stream_).expires_after(shared_.options.read_time);
      stream_.async_handshake(ssl::stream_base::server,
                              [self = this->shared_from_this()](beast::error_code error) {
                                if (!error) self->read();
                              });
    }
  }

 private:
  void read() {
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(shared_.options.header_bytes));
    // Where bodies are not taken at all, one that comes is not read (see dispatch), but answered.
    if (shared_.options.body_bytes > 0) {
      parser_->body_limit(shared_.options.body_bytes);
    } else {
      parser_->body_limit(boost::none);
    }
    beast::get_lowest_layer(stream_).expires_after(shared_.options.read_time);
    http::async_read_header(
        stream_, buffer_, *parser_,
        [self = this->shared_from_this()](beast::error_code error, std::size_t /*bytes*/) {
          if (error) return self->unreadable(error);
          if (self->shared_.options.body_bytes == 0) return self->dispatch();
          self->read_body();
        });
  }

  void read_body() {
    beast::get_lowest_layer(stream_).expires_after(shared_.options.read_time);
    if (beast::iequals(parser_->get()[http::field::expect], "100-continue")) {
      static const std::string kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      asio::async_write(stream_, asio::buffer(kContinue),
                        [self = this->shared_from_this()](beast::error_code error, std::size_t) {
                          if (!error) self->read_rest();
                        });
      return;
    }
    read_rest();
  }

  void read_rest() {
    http::async_read(
        stream_, buffer_, *parser_,
        [self = this->shared_from_this()](beast::error_code error, std::size_t /*bytes*/) {
          if (error) return self->unreadable(error);
          self->dispatch();
        });
  }

  // What could not be read is answered where that makes sense, and the connection closed: nobody
  // knows where the next request would begin.
  void unreadable(beast::error_code error) {
    unsigned status = 400;
    if (error == http::error::body_limit) {
      status = 413;
    } else if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      status = 431;
    } else if (error.category() != make_error_code(http::error::end_of_stream).category() ||
               error == http::error::end_of_stream || error == http::error::partial_message) {
      return;  // the client went away, or took too long
    }
    keep_alive_ = false;
    head_ = false;
    lingers_ = true;
    send(shared_.refuse(status));
  }

  void dispatch() {
    ++shared_.busy;
    counted_ = true;
    auto& message = parser_->get();
    lingers_ = !parser_->is_done();
    keep_alive_ = message.keep_alive() && !lingers_;
    head_ = message.method() == http::verb::head;
    Request request;
    request.method = std::string(view(message.method_string()));
    const std::string_view target = view(message.target());
    const auto mark = target.find('?');
    request.path = std::string(target.substr(0, mark));
    if (mark != std::string_view::npos) request.query = std::string(target.substr(mark + 1));
    for (const auto& field : message) {
      std::string name(view(field.name_string()));
      std::transform(name.begin(), name.end(), name.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      request.headers.emplace_back(std::move(name), std::string(view(field.value())));
    }
    request.body = std::move(message.body());
    request.address = address_;
    if (shared_.overloaded()) return send(shared_.refuse(503));
    // The client's time does not run while it waits for us.
    beast::get_lowest_layer(stream_).expires_never();
    shared_.run(
        [this, request = std::move(request)] { return shared_.handler(request); },
        [self = this->shared_from_this()](Response response) { self->send(std::move(response)); });
  }

  void send(Response response) {
    if (response.stream && shared_.streams >= shared_.options.streams) {
      response = shared_.refuse(503);
    }
    response_ = {static_cast<http::status>(response.status), 11};
    response_.set(http::field::content_type, response.content_type);
    response_.set("X-Content-Type-Options", "nosniff");
    response_.set(http::field::cache_control, "no-store");
    for (const auto& [name, value] : response.headers) response_.insert(name, value);
    response_.keep_alive(keep_alive_ && !shared_.draining);
    beast::get_lowest_layer(stream_).expires_after(kWriteTime);
    if (response.stream && !head_) return begin_stream(std::move(response));
    const std::size_t length = response.body.size();
    if (!head_) response_.body() = std::move(response.body);
    if (response.status != 204) response_.content_length(length);
    http::async_write(stream_, response_,
                      [self = this->shared_from_this()](beast::error_code error, std::size_t) {
                        self->end_request();
                        if (error) return;
                        if (self->response_.keep_alive()) return self->read();
                        self->close();
                      });
  }

  void begin_stream(Response response) {
    ++shared_.streams;
    streaming_ = true;
    end_request();  // a drain does not wait for it
    next_ = std::move(response.stream);
    every_ = response.stream_every;
    response_.chunked(true);
    header_.emplace(response_);
    http::async_write_header(
        stream_, *header_, [self = this->shared_from_this()](beast::error_code error, std::size_t) {
          if (!error) self->stream_on();
        });
  }

  void stream_on() {
    beast::get_lowest_layer(stream_).expires_never();
    shared_.run([this] { return shared_.draining ? std::nullopt : next_(); },
                [self = this->shared_from_this()](std::optional<std::string> piece) {
                  self->send_piece(std::move(piece));
                });
  }

  void send_piece(std::optional<std::string> piece) {
    beast::get_lowest_layer(stream_).expires_after(kWriteTime);
    if (!piece) {
      asio::async_write(stream_, http::make_chunk_last(),
                        [self = this->shared_from_this()](beast::error_code error, std::size_t) {
                          if (!error) self->close();
                        });
      return;
    }
    const auto now = std::chrono::steady_clock::now();
    if (piece->empty() && now - spoken_at_ > kStreamBeat) *piece = ":\n\n";
    if (piece->empty()) return wait();
    spoken_at_ = now;
    piece_ = std::move(*piece);
    asio::async_write(stream_, http::make_chunk(asio::buffer(piece_)),
                      [self = this->shared_from_this()](beast::error_code error, std::size_t) {
                        if (!error) self->wait();
                      });
  }

  void wait() {
    timer_.expires_after(every_);
    timer_.async_wait([self = this->shared_from_this()](beast::error_code error) {
      if (!error) self->stream_on();
    });
  }

  void end_request() {
    if (!counted_) return;
    counted_ = false;
    shared_.ended_request();
  }

  void close() {
    beast::error_code ignored;
    if constexpr (std::is_same_v<Stream, beast::tcp_stream>) {
      stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
      beast::get_lowest_layer(stream_).expires_after(kLinger);
      if (lingers_) drop_rest();
    } else {
      beast::get_lowest_layer(stream_).expires_after(std::chrono::seconds(2));
      stream_.async_shutdown([self = this->shared_from_this()](beast::error_code) {});
    }
  }

  // A client that is still sending would lose the answer to a socket that is closed on it.
  void drop_rest() {
    buffer_.clear();
    stream_.async_read_some(
        buffer_.prepare(32 * 1024),
        [self = this->shared_from_this()](beast::error_code error, std::size_t bytes) {
          self->dropped_ += bytes;
          if (!error && self->dropped_ < kMostDropped) self->drop_rest();
        });
  }

  Shared& shared_;
  const std::string address_;
  Stream stream_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
  std::optional<http::response_serializer<http::string_body>> header_;
  std::function<std::optional<std::string>()> next_;
  std::chrono::milliseconds every_{250};
  std::chrono::steady_clock::time_point spoken_at_ = std::chrono::steady_clock::now();
  std::string piece_;
  asio::steady_timer timer_{shared_.context};
  bool keep_alive_ = false, head_ = false, counted_ = false, streaming_ = false, lingers_ = false;
  std::size_t dropped_ = 0;
};

tl::unexpected<Error> refuse_address(const std::string& address, std::string_view why) {
  return fail(Domain::kCommandLine, "address", fmt::format("cannot listen on {}: {}", address, why),
              "Give HOST:PORT of this machine, for example 127.0.0.1:9187.");
}

class Listener final : public HttpListener {
 public:
  Listener(ListenOptions options, Handler handler) {
    shared_.options = std::move(options);
    shared_.handler = std::move(handler);
    if (shared_.options.handler_threads > 0) {
      shared_.pool = std::make_unique<asio::thread_pool>(shared_.options.handler_threads);
    }
  }
  ~Listener() override {
    // Handlers first: what they post afterwards is never run.
    if (shared_.pool) shared_.pool->join();
    shared_.context.stop();
    if (thread_.joinable()) thread_.join();
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  Result<bool> listen() {
    const std::string& address = shared_.options.address;
    if (auto secured = load_certificate(); !secured) return secured;
    const auto colon = address.rfind(':');
    if (colon == std::string::npos) return refuse_address(address, "it has no port");
    std::string host = address.substr(0, colon);
    const std::string port = address.substr(colon + 1);
    if (host.size() > 1 && host.front() == '[' && host.back() == ']') {
      host = host.substr(1, host.size() - 2);
    }
    if (port.empty() || port.size() > 5 ||
        port.find_first_not_of("0123456789") != std::string::npos || std::stoi(port) > 65'535) {
      return refuse_address(address, "the port is no number up to 65535");
    }
    beast::error_code error;
    tcp::resolver resolver(shared_.context);
    const auto found = resolver.resolve(host, port, tcp::resolver::passive, error);
    if (error) return refuse_address(address, error.message());
    const tcp::endpoint endpoint = found.begin()->endpoint();
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) return refuse_address(address, error.message());
    port_ = acceptor_.local_endpoint().port();
    accept();
    thread_ = std::thread([this] { shared_.context.run(); });
    return true;
  }
  std::uint16_t port() const override { return port_; }

  void drain(std::chrono::milliseconds time) override {
    asio::post(shared_.context, [this] {
      shared_.draining = true;
      beast::error_code ignored;
      acceptor_.close(ignored);
      pause_.cancel();
    });
    std::unique_lock lock(shared_.mutex);
    shared_.idle.wait_for(lock, time, [&] { return shared_.busy == 0; });
  }

 private:
  Result<bool> load_certificate() {
    const auto& options = shared_.options;
    if (options.tls_certificate.empty() && options.tls_key.empty()) return true;
    beast::error_code error;
    auto& tls = tls_.emplace(ssl::context::tls_server);
    tls.set_options(ssl::context::default_workarounds | ssl::context::no_tlsv1 |
                    ssl::context::no_tlsv1_1);
    tls.use_certificate_chain_file(options.tls_certificate, error);
    if (error) return refuse_file(options.tls_certificate, "certificate chain", error);
    tls.use_private_key_file(options.tls_key, ssl::context::pem, error);
    if (error) return refuse_file(options.tls_key, "private key of that certificate", error);
    return true;
  }
  static tl::unexpected<Error> refuse_file(const std::string& file, std::string_view what,
                                           beast::error_code error) {
    return fail(Domain::kFile, "EINVAL",
                fmt::format("{} cannot be used as the {} in PEM: {}", file, what, error.message()),
                "Name PEM files that belong together.");
  }

  void accept() {
    acceptor_.async_accept([this](beast::error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted || shared_.draining) return;
      if (!error && shared_.open < shared_.options.connections) open(std::move(socket));
      if (!error) return accept();
      // Out of file descriptors, most likely: not in a tight loop.
      pause_.expires_after(std::chrono::milliseconds(100));
      pause_.async_wait([this](beast::error_code stopped) {
        if (!stopped) accept();
      });
    });
  }

  void open(tcp::socket socket) {
    beast::error_code error;
    const auto peer = socket.remote_endpoint(error);
    if (error) return;
    socket.set_option(tcp::no_delay(true), error);
    std::string address = peer.address().to_string();
    if (!tls_) {
      std::make_shared<Session<beast::tcp_stream>>(shared_, std::move(address), std::move(socket))
          ->start();
    } else {
      std::make_shared<Session<beast::ssl_stream<beast::tcp_stream>>>(shared_, std::move(address),
                                                                      std::move(socket), *tls_)
          ->start();
    }
  }

  std::optional<ssl::context> tls_;
  Shared shared_;  // before what uses its context
  std::uint16_t port_ = 0;
  tcp::acceptor acceptor_{shared_.context};
  asio::steady_timer pause_{shared_.context};
  std::thread thread_;
};

}  // namespace

std::optional<std::string_view> Request::header(std::string_view name) const {
  for (const auto& [each, value] : headers) {
    if (each == name) return value;
  }
  return std::nullopt;
}

Result<std::unique_ptr<HttpListener>> HttpListener::start(ListenOptions options, Handler handler) {
  auto listener = std::make_unique<Listener>(std::move(options), std::move(handler));
  if (auto listening = listener->listen(); !listening) return fail(listening.error());
  return listener;
}

}  // namespace sluice::server
