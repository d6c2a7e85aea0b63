// A small HTTP/1.1 listener: GET and HEAD of pages that are made in memory. One thread of its own;
// the handler is called there.
//
// Bounds: 8 KB of headers, no body, 10 s for a request and its answer, 64 connections at once; what
// is beyond them is closed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::server {

struct Page {
  unsigned status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};
// The path without its query.
using Handler = std::function<Page(std::string_view path)>;

class HttpListener {
 public:
  // address: HOST:PORT, with an IPv6 host in brackets; port 0 takes a free one. Errors of domain
  // kCommandLine: an address that cannot be read, is not of this machine, or is in use.
  static Result<std::unique_ptr<HttpListener>> start(const std::string& address, Handler handler);
  virtual ~HttpListener() = default;  // closes everything and joins the thread
  virtual std::uint16_t port() const = 0;
};

}  // namespace sluice::server
