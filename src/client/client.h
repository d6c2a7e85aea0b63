// A client of the REST API over HTTP or HTTPS: one request after the other, and streams of events.
// The only place that knows libcurl.
//
// Certificates are always verified. Redirections are not followed: a token goes to no other address
// than the one it was given for. No answer is larger than kMaxAnswer. One thread.
#pragma once

#include <boost/json/value.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

#include "base/result.h"
#include "client/event_lines.h"

namespace sluice::client {

inline constexpr std::size_t kMaxAnswer = 64 * 1024 * 1024;

struct Server {
  std::string url;      // "https://sluice.internal:8080", as read_url() gives it
  std::string token;    // empty: none is sent
  std::string ca_file;  // PEM file of the authorities that are trusted; empty: the system's
};

// A base URL in its one form: scheme and host in lower case, no slash at the end. Errors
// (kCommandLine): not http or https, without a host, with a user, query or fragment.
Result<std::string> read_url(std::string_view text);
// Whether what is sent there can be read on the way: http to another machine.
bool is_open_to_others(std::string_view url);

struct Request {
  std::string method = "GET";
  std::string path = {};                                        // "/api/v1/tasks/...", encoded
  std::vector<std::pair<std::string, std::string>> query = {};  // not encoded
  std::optional<std::string> body = {};                         // JSON
  std::vector<std::pair<std::string, std::string>> headers = {};
};
// One part of a path.
std::string encoded(std::string_view text);

struct Answer {
  unsigned status = 0;
  boost::json::value body = nullptr;                // null: the answer has none
  std::string text = {};                            // of the body, as it came
  std::map<std::string, std::string> headers = {};  // names in lower case
};

// What was refused, or could not be asked.
struct Refusal {
  unsigned status = 0;  // 0: the server was not reached, or what answered is no Sluice
  std::string code;     // of the problem document; with status 0: "unreachable", "not_sluice"
  std::string detail, advice;
  std::vector<std::pair<std::string, std::string>> fields = {};  // path, message
  boost::json::value document = nullptr;
};

class Client {
 public:
  explicit Client(Server server);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  const Server& server() const;
  // Anything but 2xx is a Refusal.
  tl::expected<Answer, Refusal> call(const Request& request);
  // Each message as it comes, until the server ends the stream (true), `take` wants no more (true),
  // or it breaks.
  tl::expected<bool, Refusal> stream(const Request& request,
                                     const std::function<bool(const ServerEvent&)>& take);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sluice::client
