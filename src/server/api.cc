#include "server/api.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>

#include "base/hex.h"
#include "base/log.h"

namespace sluice::server {
namespace {

using control::Language;
using control::problem_kind;
using control::refuse;

constexpr const char* kJson = "application/json";
constexpr std::size_t kMaxDepth = 32;  // of a body
constexpr std::size_t kMaxTarget = 4096;
constexpr double kBurst = 4;  // seconds' worth of requests that may come at once
constexpr std::string_view kCookie = "sluice_session=";

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const auto end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

// Whether `path` is of the template; the values of its {names} go into `values`.
bool matches(std::string_view pattern, std::string_view path, std::vector<std::string>& values) {
  values.clear();
  const auto wanted = split(pattern, '/'), given = split(path, '/');
  if (wanted.size() != given.size()) return false;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (!wanted[i].starts_with('{')) {
      if (wanted[i] != given[i]) return false;
      continue;
    }
    values.push_back(percent_decoded(given[i]));
    if (values.back().empty()) return false;
  }
  return true;
}

Language language_of(const Request& request) {
  const auto accepted = request.header("accept-language").value_or("");
  const auto zh = accepted.find("zh"), en = accepted.find("en");
  return zh != std::string_view::npos && (en == std::string_view::npos || zh < en)
             ? Language::kChinese
             : Language::kEnglish;
}

Response document_of(const Problem& problem, Language language, const std::string& request_id) {
  const auto& kind = problem_kind(problem.code);
  boost::json::object body = problem.more;
  body["type"] = fmt::format("urn:sluice:problem:{}", problem.code);
  body["title"] = kind.title_in(language);
  body["status"] = kind.status;
  body["code"] = problem.code;
  body["detail"] = problem.detail.empty() ? std::string(kind.title_in(language)) : problem.detail;
  body["advice"] = problem.advice.empty() ? std::string(kind.advice_in(language)) : problem.advice;
  if (!problem.fields.empty()) {
    boost::json::array fields;
    for (const auto& field : problem.fields) {
      fields.push_back({{"path", field.path}, {"message", field.message}});
    }
    body["fields"] = std::move(fields);
  }
  if (!request_id.empty()) body["request_id"] = request_id;
  Response response{kind.status, "application/problem+json", boost::json::serialize(body)};
  if (const auto* seconds = problem.more.if_contains("retry_after")) {
    response.headers.emplace_back("Retry-After", boost::json::serialize(*seconds));
  }
  if (problem.code == "not_logged_in" || problem.code == "login_refused") {
    response.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"sluice\"");
  }
  return response;
}

// What clients may read of a text that came from outside and was not UTF-8.
bool is_text(std::string_view text) { return !control::has_control_characters(text, false); }

Answer<std::map<std::string, std::string>> read_query(const Operation& operation,
                                                      std::string_view query) {
  std::map<std::string, std::string> parameters;
  if (query.empty()) return parameters;
  const auto known = split(operation.query, ' ');
  Problem problem{"invalid", "a query parameter is not valid"};
  for (const auto part : split(query, '&')) {
    if (part.empty()) continue;
    const auto equals = part.find('=');
    const std::string name = percent_decoded(part.substr(0, equals));
    std::string text(equals == std::string_view::npos ? "" : part.substr(equals + 1));
    std::replace(text.begin(), text.end(), '+', ' ');
    std::string value = percent_decoded(text);
    if (std::find(known.begin(), known.end(), name) == known.end() || name.empty()) {
      problem.fields.push_back(
          {is_text(name) ? "?" + name : "?",
           operation.query.empty()
               ? "there are no parameters here"
               : fmt::format("is not known here; there are {}", operation.query)});
    } else if (!is_text(value) || control::utf8_length(value) > 1024) {
      problem.fields.push_back({"?" + name, "is too long, or has control characters"});
    } else if (!parameters.emplace(name, std::move(value)).second) {
      problem.fields.push_back({"?" + name, "stands there twice"});
    }
  }
  if (problem.fields.empty()) return parameters;
  problem.detail = fmt::format("{}: {}", problem.fields[0].path, problem.fields[0].message);
  return refuse(std::move(problem));
}

Answer<boost::json::object> read_body(const Operation& operation, const Request& request) {
  const bool empty = request.body.find_first_not_of(" \t\r\n") == std::string::npos;
  if (!operation.takes_body) {
    if (empty) return boost::json::object();
    return refuse("bad_request", "this operation takes no body");
  }
  if (empty && operation.body_optional) return boost::json::object();
  const auto type = request.header("content-type").value_or("");
  if (!type.starts_with(kJson)) {
    return refuse("media_type", fmt::format("Content-Type is \"{}\"", is_text(type) ? type : "?"));
  }
  boost::json::parse_options options;
  options.max_depth = kMaxDepth;
  boost::json::error_code error;
  auto value = boost::json::parse(request.body, error, {}, options);
  if (error) return refuse("bad_json", fmt::format("the body is not JSON: {}", error.message()));
  if (!value.is_object()) return refuse("bad_json", "the body is JSON, but no object");
  return std::move(value.get_object());
}

// Kept out of logs, audit and headers: what a client may have made up.
std::string request_id_of(const Request& request) {
  const auto given = request.header("x-request-id").value_or("");
  const bool good = !given.empty() && given.size() <= 64 &&
                    std::all_of(given.begin(), given.end(), [](unsigned char c) {
                      return std::isalnum(c) || c == '-' || c == '_' || c == '.';
                    });
  return good ? std::string(given) : control::random_id("req");
}

bool changes(std::string_view method) { return method != "GET" && method != "HEAD"; }

}  // namespace

std::string Call::parameter(std::string_view name, std::string otherwise) const {
  const auto found = query.find(std::string(name));
  return found == query.end() ? std::move(otherwise) : found->second;
}

tl::unexpected<Problem> refuse_parameter(std::string_view name, std::string message) {
  Problem problem{"invalid", fmt::format("?{}: {}", name, message)};
  problem.fields.push_back({fmt::format("?{}", name), std::move(message)});
  return refuse(std::move(problem));
}

Answer<std::int64_t> Call::number(std::string_view name, std::int64_t min, std::int64_t max,
                                  std::int64_t otherwise) const {
  const auto found = query.find(std::string(name));
  if (found == query.end()) return otherwise;
  const auto& text = found->second;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size() && value >= min && value <= max) {
    return value;
  }
  return refuse_parameter(name, fmt::format("takes a whole number from {} to {}", min, max));
}

Answer<bool> Call::flag(std::string_view name) const {
  const auto text = parameter(name, "false");
  if (text == "true" || text == "false") return text == "true";
  return refuse_parameter(name, "takes true or false");
}

Answer<std::optional<std::string>> Call::time(std::string_view name) const {
  const auto found = query.find(std::string(name));
  if (found == query.end()) return std::nullopt;
  if (auto text = control::read_time(found->second)) return text;
  return refuse_parameter(name,
                          "takes a time as RFC 3339 has it, for example 2026-01-31T12:00:00Z");
}

Answer<control::Page> Call::page(std::initializer_list<std::string_view> sorts) const {
  control::Page page;
  auto limit = number("limit", 1, control::kMaxPage, control::kDefaultPage);
  if (!limit) return tl::unexpected(limit.error());
  page.limit = static_cast<int>(*limit);
  page.sort = parameter("sort", std::string(*sorts.begin()));
  if (page.sort.starts_with('-')) {
    page.descending = true;
    page.sort.erase(0, 1);
  }
  if (std::find(sorts.begin(), sorts.end(), page.sort) == sorts.end()) {
    std::string names;
    for (const auto sort : sorts) names += fmt::format("{}{}", names.empty() ? "" : ", ", sort);
    return refuse_parameter("sort",
                            fmt::format("takes one of {}; with - in front, backwards", names));
  }
  page.search = parameter("search");
  if (query.contains("cursor")) {
    auto after = control::read_cursor(page, parameter("cursor"));
    if (!after) return tl::unexpected(after.error());
    page.after = std::move(*after);
  }
  return page;
}

Answer<std::optional<std::int64_t>> Call::if_match() const {
  auto text = request.header("if-match");
  if (!text || *text == "*") return std::nullopt;
  std::int64_t version = 0;
  if (text->size() > 2 && text->front() == '"' && text->back() == '"') {
    const auto digits = text->substr(1, text->size() - 2);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), version);
    if (error == std::errc() && end == digits.data() + digits.size()) return version;
  }
  return refuse("bad_request", "If-Match takes one ETag as this API gave it, for example \"7\"");
}

Reply with_etag(boost::json::object body, unsigned status) {
  Reply reply{status};
  if (const auto* version = body.if_contains("version")) {
    reply.headers.emplace_back("ETag", fmt::format("\"{}\"", boost::json::serialize(*version)));
  }
  reply.body = std::move(body);
  return reply;
}

Reply created(boost::json::object body, std::string location) {
  Reply reply = with_etag(std::move(body), 201);
  reply.headers.emplace_back("Location", std::move(location));
  return reply;
}

std::string server_sent(std::string_view event, const boost::json::value& data,
                        std::optional<std::int64_t> id) {
  return fmt::format("{}event: {}\ndata: {}\n\n", id ? fmt::format("id: {}\n", *id) : "", event,
                     boost::json::serialize(data));
}

std::vector<const Operation*> all_operations() {
  std::vector<const Operation*> all;
  for (const auto& some : {access_operations(), connection_operations(), task_operations(),
                           event_operations(), system_operations()}) {
    for (const auto& operation : some) all.push_back(&operation);
  }
  return all;
}

Api::Api(control::Control& control)
    : control_(control),
      limiter_(control.settings.requests_per_second,
               kBurst * control.settings.requests_per_second) {}

Response Api::refusal(unsigned status) {
  const std::string_view code = status == 413   ? "body_too_large"
                                : status == 431 ? "header_too_large"
                                : status == 503 ? "busy"
                                                : "bad_request";
  return document_of(Problem{std::string(code), ""}, Language::kEnglish, "");
}

Response Api::handle(const Request& request) {
  static const auto operations = all_operations();
  const Language language = language_of(request);
  const std::string request_id = request_id_of(request);
  const bool head = request.method == "HEAD";
  const std::string_view method = head ? "GET" : std::string_view(request.method);
  const auto answer = [&](const Problem& problem) {
    return document_of(problem, language, request_id);
  };

  Response response;
  const Operation* found = nullptr;
  std::vector<std::string> values;
  std::string allowed;
  for (const Operation* operation : operations) {
    std::vector<std::string> these;
    if (!matches(operation->path, request.path, these)) continue;
    if (allowed.find(operation->method) == std::string::npos) {
      allowed += fmt::format("{}{}", allowed.empty() ? "" : ", ", operation->method);
    }
    // events/stream is not the event "stream": what is written out goes before {id}.
    if (operation->method != method || (found && values.size() <= these.size())) continue;
    found = operation;
    values = std::move(these);
  }
  if (const auto seconds = limiter_.refuse(request.address)) {
    Problem problem{"too_many_requests", ""};
    problem.more["retry_after"] = *seconds;
    response = answer(problem);
  } else if (found == nullptr && allowed.empty()) {
    response = answer({"not_found", "there is nothing at this address"});
  } else if (found == nullptr) {
    response = answer({"method_not_allowed", fmt::format("there are {}", allowed)});
    response.headers.emplace_back("Allow", allowed);
  } else if (request.path.size() + request.query.size() > kMaxTarget) {
    response = answer({"uri_too_long", ""});
  } else {
    Call call{.control = control_, .request = request, .operation = *found};
    call.language = language;
    call.stopping = stopping_;
    call.path = std::move(values);
    call.caller.address = request.address;
    call.caller.request_id = request_id;
    auto reply = perform(call);
    if (!reply) {
      response = answer(reply.error());
    } else {
      response.status = reply->status;
      response.content_type = kJson;
      response.headers = std::move(reply->headers);
      response.stream = std::move(reply->stream);
      response.stream_every = reply->stream_every;
      if (response.stream) {
        response.content_type = "text/event-stream";
      } else if (!reply->content_type.empty()) {
        response.content_type = std::move(reply->content_type);
        response.body = std::string(reply->body.get_string());
      } else if (!reply->body.is_null()) {
        response.body = boost::json::serialize(reply->body);
      }
    }
  }
  response.headers.emplace_back("X-Request-Id", request_id);
  if (response.status >= 500) {
    log::warning("a request failed", {{"request", request_id},
                                      {"operation", found ? found->name : std::string_view("?")},
                                      {"status", static_cast<int>(response.status)}});
  }
  return response;
}

Answer<bool> Api::authenticate(Call& call) {
  const auto& request = call.request;
  const std::string address = call.caller.address, request_id = call.caller.request_id;
  Answer<Caller> caller = refuse("not_logged_in", "the request has neither a session nor a token");
  if (const auto authorization = request.header("authorization")) {
    const bool bearer = authorization->starts_with("Bearer ");
    if (bearer) caller = control_.access.by_token(std::string(authorization->substr(7)));
  } else if (const auto cookies = request.header("cookie")) {
    for (auto cookie : split(*cookies, ';')) {
      while (cookie.starts_with(' ')) cookie.remove_prefix(1);
      if (!cookie.starts_with(kCookie)) continue;
      const auto csrf = request.header("x-csrf-token");
      caller = control_.access.by_session(std::string(cookie.substr(kCookie.size())),
                                          changes(request.method),
                                          csrf ? std::optional<std::string>(*csrf) : std::nullopt);
    }
  }
  if (!caller) {
    if (call.operation.role == Role::kNobody && caller.error().code != "database_unavailable") {
      return true;
    }
    return tl::unexpected(caller.error());
  }
  call.caller = std::move(*caller);
  call.caller.address = address;
  call.caller.request_id = request_id;
  if (control::role_of(call.caller.role) >= call.operation.role) return true;
  return refuse("not_allowed",
                fmt::format("{} takes the role {}; yours is {}", call.operation.name,
                            control::name_of(call.operation.role), call.caller.role));
}

Answer<Reply> Api::perform(Call& call) {
  const auto& operation = call.operation;
  if (stopping_ && changes(call.request.method)) return refuse("stopping", "");
  if (operation.role != Role::kNobody) {
    auto known = authenticate(call);
    if (!known) return tl::unexpected(known.error());
  }
  for (const auto& value : call.path) {
    if (!is_text(value) || value.size() > 512) return control::not_found("such thing", "?");
  }
  auto query = read_query(operation, call.request.query);
  if (!query) return tl::unexpected(query.error());
  call.query = std::move(*query);
  auto body = read_body(operation, call.request);
  if (!body) return tl::unexpected(body.error());
  call.body = std::move(*body);
  if (const auto key = call.request.header("idempotency-key"); key && operation.creates) {
    return perform_once(call, std::string(*key));
  }
  return operation.perform(call);
}

// The first request with a key does the work and leaves its answer; later ones get that answer. One
// whose process died before it answered is at work for a minute, then done again.
Answer<Reply> Api::perform_once(Call& call, const std::string& key) {
  if (key.empty() || key.size() > 255 || !is_text(key)) {
    return refuse("bad_request", "Idempotency-Key takes 1 to 255 characters");
  }
  const std::string request =
      control::token_hash(fmt::format("{} {}?{}\n{}", call.request.method, call.request.path,
                                      call.request.query, call.request.body));
  const std::string account = call.caller.account_id;
  struct Before {
    std::optional<Reply> reply;
  };
  auto before = control_.database.transact([&](control::Transaction& transaction)
                                               -> Answer<Before> {
    transaction.run(
        "DELETE FROM idempotency WHERE account_id = $1 AND key = $2 AND status IS NULL"
        " AND created_at < now() - interval '1 minute'",
        {account, key});
    const auto inserted = transaction.run(
        "INSERT INTO idempotency (account_id, key, request) VALUES ($1, $2, $3) ON CONFLICT DO "
        "NOTHING",
        {account, key, request});
    if (transaction.failed() || inserted.affected() == 1) return Before{};
    const auto rows = transaction.run(
        "SELECT request, status, answer, etag, location FROM idempotency WHERE account_id = $1 AND"
        " key = $2",
        {account, key});
    if (rows.size() == 0) return refuse("request_in_progress", "");
    if (rows.text(0, 0) != request) {
      return refuse("key_reused", "this Idempotency-Key was used for another request");
    }
    if (rows.is_null(0, 1)) return refuse("request_in_progress", "the first request is at work");
    Reply reply{static_cast<unsigned>(rows.integer(0, 1))};
    boost::json::error_code ignored;
    reply.body = boost::json::parse(rows.text(0, 2), ignored);
    if (!rows.is_null(0, 3)) reply.headers.emplace_back("ETag", std::string(rows.text(0, 3)));
    if (!rows.is_null(0, 4)) reply.headers.emplace_back("Location", std::string(rows.text(0, 4)));
    return Before{std::move(reply)};
  });
  if (!before) return tl::unexpected(before.error());
  if (before->reply) return std::move(*before->reply);

  auto reply = call.operation.perform(call);
  (void)control_.database.transact([&](control::Transaction& transaction) -> Answer<bool> {
    if (!reply) {  // what failed may be tried again under the same key
      transaction.run("DELETE FROM idempotency WHERE account_id = $1 AND key = $2", {account, key});
      return true;
    }
    control::Parameter etag, location;
    for (const auto& [name, value] : reply->headers) {
      if (name == "ETag") etag = value;
      if (name == "Location") location = value;
    }
    auto kept = reply->body;
    if (!call.operation.secret.empty()) kept.as_object()[call.operation.secret] = nullptr;
    transaction.run(
        "UPDATE idempotency SET status = $3, answer = $4, etag = $5, location = $6 WHERE"
        " account_id = $1 AND key = $2",
        {account, key, std::to_string(reply->status), boost::json::serialize(kept), etag,
         location});
    return true;
  });
  return reply;
}

}  // namespace sluice::server
