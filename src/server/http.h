// An HTTP/1.1 listener, plain or with TLS. One network thread; handlers that block run on a small
// pool of their own. The only place that knows Boost.Beast.
//
// Everything has a bound: bytes of headers and of a body, time for each, connections, requests that
// wait for a handler, streams. What is beyond one is answered (`refusal`) and closed.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace sluice::server {

struct Request {
  std::string method;                                        // "GET"
  std::string path;                                          // without the query, as it came
  std::string query;                                         // behind the question mark, as it came
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
  std::string address;  // of the client, without port

  // The first header of that name (in lower case), or nothing.
  std::optional<std::string_view> header(std::string_view name) const;
};

struct Response {
  unsigned status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers = {};
  // Instead of `body`: called on a handler's thread every `stream_every`, what it returns is sent
  // at once (nothing if empty); nullopt ends the answer. A client that goes away ends it too.
  std::function<std::optional<std::string>()> stream = {};
  std::chrono::milliseconds stream_every{250};
};

// Called on a thread of the pool, or on the network thread if there is none: then it must not
// block.
using Handler = std::function<Response(const Request&)>;
// For requests that never reach the handler: 400, 408, 413, 431, 503.
using Refusal = std::function<Response(unsigned status)>;

struct ListenOptions {
  std::string address;  // HOST:PORT, an IPv6 host in brackets; port 0 takes a free one
  int handler_threads = 0;
  int connections = 64;
  int streams = 64;
  std::size_t header_bytes = 8 * 1024;
  std::uint64_t body_bytes = 0;        // 0: a body is not read, whatever the handler answers
  std::chrono::seconds read_time{10};  // for the headers, and again for the body
  // PEM files; both empty: no TLS.
  std::string tls_certificate = {}, tls_key = {};
  Refusal refusal = {};  // none: a line of text
};

class HttpListener {
 public:
  // Errors of domain kCommandLine: an address that cannot be read, is not of this machine, or is in
  // use; of kFile: a certificate or key that cannot be used.
  static Result<std::unique_ptr<HttpListener>> start(ListenOptions options, Handler handler);
  // Closes everything and joins its threads; handlers under way are waited for.
  virtual ~HttpListener() = default;
  virtual std::uint16_t port() const = 0;
  // No new connections, streams end; requests under way are answered, up to `time`.
  virtual void drain(std::chrono::milliseconds time) = 0;
};

}  // namespace sluice::server
