// The REST API under /api/v1, as api/openapi.yaml describes it: finds the operation, knows the
// caller, checks the right, reads the body, and makes problem documents of what was refused.
//
// docs/reference/problems.md has the problems. Thread-safe: called by the listener's handlers.
#pragma once

#include <atomic>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/body.h"
#include "control/buckets.h"
#include "control/control.h"
#include "control/page.h"
#include "server/http.h"

namespace sluice::server {

using control::Answer;
using control::Caller;
using control::Problem;
using control::Role;

struct Operation;

// One request on its way through an operation.
struct Call {
  control::Control& control;
  const Request& request;
  const Operation& operation;
  Caller caller = {};
  control::Language language = control::Language::kEnglish;
  std::vector<std::string> path = {};             // what stood for {id} and so on, decoded
  std::map<std::string, std::string> query = {};  // decoded; only those that the operation knows
  bool stopping = false;                          // the server takes no changes any more
  boost::json::object body = {};                  // of operations that take one

  // A query parameter, or `otherwise`.
  std::string parameter(std::string_view name, std::string otherwise = "") const;
  // Errors: invalid, with the parameter's name.
  Answer<std::int64_t> number(std::string_view name, std::int64_t min, std::int64_t max,
                              std::int64_t otherwise) const;
  Answer<bool> flag(std::string_view name) const;
  Answer<std::optional<std::string>> time(std::string_view name) const;  // RFC 3339
  // limit, cursor, sort ("name" or "-name"), search. `sorts`: what sort may name; the first is the
  // default.
  Answer<control::Page> page(std::initializer_list<std::string_view> sorts) const;
  // The number of If-Match: "7"; nothing without the header. Errors: bad_request.
  Answer<std::optional<std::int64_t>> if_match() const;
};

// "invalid", with the query parameter as its field.
tl::unexpected<Problem> refuse_parameter(std::string_view name, std::string message);

struct Reply {
  unsigned status = 200;
  boost::json::value body = nullptr;  // null with status 204: no body
  std::string content_type = {};      // other than JSON: `body` is a text
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::function<std::optional<std::string>()> stream = {};  // text/event-stream
  std::chrono::milliseconds stream_every{500};
};
// 200 or 201 with the ETag of body.version.
Reply with_etag(boost::json::object body, unsigned status = 200);
Reply created(boost::json::object body, std::string location);
// One message of text/event-stream.
std::string server_sent(std::string_view event, const boost::json::value& data,
                        std::optional<std::int64_t> id = std::nullopt);

struct Operation {
  std::string_view method;
  std::string_view path;  // "/api/v1/tasks/{id}/pause"
  std::string_view name;  // operationId in api/openapi.yaml
  Role role;              // the least that may call it; kNobody: without log-in
  bool takes_body = false;
  bool body_optional = false;
  bool creates = false;          // an Idempotency-Key is honoured
  std::string_view secret = {};  // the member of its answer that is shown once, never stored
  std::string_view query = {};   // parameters it knows, joined by blanks
  Answer<Reply> (*perform)(Call&) = nullptr;
};

// One table of all operations, by resource. Each is in a file of its own: server/operations_*.cc.
std::span<const Operation> access_operations();
std::span<const Operation> connection_operations();
std::span<const Operation> task_operations();
std::span<const Operation> event_operations();
std::span<const Operation> system_operations();
std::vector<const Operation*> all_operations();

// api/openapi.yaml, as it was when this was built (src/CMakeLists.txt).
std::string openapi_text();

class Api {
 public:
  explicit Api(control::Control& control);
  Response handle(const Request& request);
  // The problem document for what never became a request.
  static Response refusal(unsigned status);
  // Readiness goes off: load balancers send no more.
  void stop() { stopping_ = true; }

 private:
  Answer<Reply> perform(Call& call);
  Answer<Reply> perform_once(Call& call, const std::string& key);
  Answer<bool> authenticate(Call& call);

  control::Control& control_;
  control::Buckets limiter_;
  std::atomic<bool> stopping_{false};
};

}  // namespace sluice::server
