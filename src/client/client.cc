#include "client/client.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <cctype>

namespace sluice::client {
namespace {

constexpr long kConnectSeconds = 10, kAnswerSeconds = 150;
// Of a stream: as soon as that, a server that is gone without a word is noticed.
constexpr long kKeepAliveSeconds = 20;
constexpr const char* kAdvice =
    "Is `sluice serve` there? --server, SLUICE_SERVER or `sluice login --server URL` say where.";

struct UrlDeleter {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Url = std::unique_ptr<CURLU, UrlDeleter>;

std::string part(const Url& url, CURLUPart which) {
  char* text = nullptr;
  if (curl_url_get(url.get(), which, &text, 0) != CURLUE_OK) return {};
  std::string copy(text);
  curl_free(text);
  return copy;
}

class Headers {
 public:
  Headers() = default;
  ~Headers() { curl_slist_free_all(list_); }
  Headers(const Headers&) = delete;
  Headers& operator=(const Headers&) = delete;
  void add(const std::string& name, const std::string& value) {
    list_ = curl_slist_append(list_, fmt::format("{}: {}", name, value).c_str());
  }
  curl_slist* list() const { return list_; }

 private:
  curl_slist* list_ = nullptr;
};

// What comes of one request.
struct Incoming {
  std::string body;
  std::map<std::string, std::string> headers;
  CURL* curl = nullptr;
  bool too_large = false;
  // Streams only.
  const std::function<bool(const ServerEvent&)>* take = nullptr;
  EventLines lines;
  bool enough = false;
};

std::size_t take_header(char* data, std::size_t size, std::size_t count, void* given) {
  auto& incoming = *static_cast<Incoming*>(given);
  std::string_view line(data, size * count);
  while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) incoming.headers.clear();
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return size * count;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  auto value = line.substr(colon + 1);
  while (value.starts_with(' ')) value.remove_prefix(1);
  incoming.headers[name] = value;
  return size * count;
}

std::size_t take_body(char* data, std::size_t size, std::size_t count, void* given) {
  auto& incoming = *static_cast<Incoming*>(given);
  const std::string_view bytes(data, size * count);
  long status = 0;
  curl_easy_getinfo(incoming.curl, CURLINFO_RESPONSE_CODE, &status);
  if (incoming.take != nullptr && status == 200) {
    if (incoming.lines.feed(bytes, *incoming.take)) return bytes.size();
    incoming.enough = true;
    return 0;
  }
  if (incoming.body.size() + bytes.size() > kMaxAnswer) {
    incoming.too_large = true;
    return 0;
  }
  incoming.body += bytes;
  return bytes.size();
}

std::string text_of(const boost::json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

// The problem document of an answer.
Refusal refusal_of(unsigned status, const std::string& url, const boost::json::value& body) {
  Refusal refusal;
  refusal.status = status;
  const auto* problem = body.if_object();
  if (problem == nullptr || text_of(*problem, "code").empty()) {
    return {0, "not_sluice",
            fmt::format("{} answered {} without a problem document: that is no Sluice server", url,
                        status),
            kAdvice};
  }
  refusal.code = text_of(*problem, "code");
  refusal.detail = text_of(*problem, "detail");
  if (refusal.detail.empty()) refusal.detail = text_of(*problem, "title");
  refusal.advice = text_of(*problem, "advice");
  if (const auto* fields = problem->if_contains("fields"); fields && fields->is_array()) {
    for (const auto& field : fields->get_array()) {
      if (!field.is_object()) continue;
      refusal.fields.emplace_back(text_of(field.get_object(), "path"),
                                  text_of(field.get_object(), "message"));
    }
  }
  refusal.document = body;
  return refusal;
}

}  // namespace

Result<std::string> read_url(std::string_view text) {
  const auto wrong = [&](std::string_view what) {
    return fail(Domain::kCommandLine, "--server", fmt::format("the server's URL {}", what),
                "Write http://HOST:PORT or https://HOST:PORT.");
  };
  if (!text.starts_with("http://") && !text.starts_with("https://")) {
    return wrong("does not begin with http:// or https://");
  }
  const Url url(curl_url());
  if (curl_url_set(url.get(), CURLUPART_URL, std::string(text).c_str(), 0) != CURLUE_OK) {
    return wrong("cannot be read");
  }
  if (!part(url, CURLUPART_USER).empty() || !part(url, CURLUPART_PASSWORD).empty()) {
    return wrong("has a user or password: log in with `sluice login`");
  }
  if (!part(url, CURLUPART_QUERY).empty() || !part(url, CURLUPART_FRAGMENT).empty()) {
    return wrong("has a query or fragment");
  }
  std::string path = part(url, CURLUPART_PATH);
  while (path.ends_with('/')) path.pop_back();
  std::string host = part(url, CURLUPART_HOST);
  std::transform(host.begin(), host.end(), host.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::string port = part(url, CURLUPART_PORT);
  return fmt::format("{}://{}{}{}{}", part(url, CURLUPART_SCHEME), host, port.empty() ? "" : ":",
                     port, path);
}

bool is_open_to_others(std::string_view url) {
  if (!url.starts_with("http://")) return false;
  const std::string_view host = url.substr(7);
  const auto is = [&](std::string_view name) {
    return host.starts_with(name) &&
           (host.size() == name.size() || host[name.size()] == ':' || host[name.size()] == '/');
  };
  return !is("localhost") && !is("127.0.0.1") && !is("[::1]");
}

std::string encoded(std::string_view text) {
  std::string out;
  for (const unsigned char c : text) {
    const bool plain = std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.' || c == '~';
    out += plain ? std::string(1, static_cast<char>(c)) : fmt::format("%{:02X}", c);
  }
  return out;
}

struct Client::State {
  explicit State(Server given) : server(std::move(given)), curl(curl_easy_init()) {
    SLUICE_CHECK(curl != nullptr);
  }
  ~State() { curl_easy_cleanup(curl); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  // Fills in what all requests have, and performs one.
  CURLcode perform(const Request& request, Incoming& incoming);
  Refusal unreachable(CURLcode code) const;
  tl::expected<Answer, Refusal> read(Incoming& incoming) const;

  const Server server;
  CURL* const curl;
  char error[CURL_ERROR_SIZE] = {};
};

CURLcode Client::State::perform(const Request& request, Incoming& incoming) {
  std::string url = server.url + request.path;
  char separator = '?';
  for (const auto& [name, value] : request.query) {
    url += fmt::format("{}{}={}", separator, encoded(name), encoded(value));
    separator = '&';
  }
  Headers headers;
  if (!server.token.empty()) headers.add("Authorization", "Bearer " + server.token);
  headers.add("Accept", incoming.take != nullptr ? "text/event-stream" : "application/json");
  headers.add("Expect", "");
  if (request.body) headers.add("Content-Type", "application/json");
  for (const auto& [name, value] : request.headers) headers.add(name, value);

  curl_easy_reset(curl);  // keeps the connection
  incoming.curl = curl;
  error[0] = '\0';
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "sluice/" SLUICE_VERSION);
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.list());
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  if (request.body) {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request.body->size()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body->data());
  }
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  if (incoming.take == nullptr) curl_easy_setopt(curl, CURLOPT_TIMEOUT, kAnswerSeconds);
  curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(curl, CURLOPT_TCP_KEEPIDLE, kKeepAliveSeconds);
  curl_easy_setopt(curl, CURLOPT_TCP_KEEPINTVL, kKeepAliveSeconds);
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
  if (!server.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, server.ca_file.c_str());
  // A proxy is for other machines.
  curl_easy_setopt(
      curl, CURLOPT_NOPROXY,
      server.url.starts_with("http://") && !is_open_to_others(server.url) ? "*" : nullptr);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &incoming);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &incoming);
  return curl_easy_perform(curl);
}

Refusal Client::State::unreachable(CURLcode code) const {
  const std::string_view why = error[0] != '\0' ? error : curl_easy_strerror(code);
  const bool certificate =
      code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE;
  return {0, "unreachable", fmt::format("{}: {}", server.url, why),
          certificate ? "Name the PEM file of the authority that signed the server's certificate: "
                        "--ca FILE."
                      : kAdvice};
}

tl::expected<Answer, Refusal> Client::State::read(Incoming& incoming) const {
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  Answer answer;
  answer.status = static_cast<unsigned>(status);
  answer.headers = std::move(incoming.headers);
  answer.text = std::move(incoming.body);
  boost::json::error_code bad;
  if (!answer.text.empty()) answer.body = boost::json::parse(answer.text, bad);
  if (status < 200 || status >= 300 || bad) {
    return tl::unexpected(
        refusal_of(answer.status, server.url, bad ? boost::json::value(nullptr) : answer.body));
  }
  return answer;
}

Client::Client(Server server) : state_(std::make_unique<State>(std::move(server))) {}
Client::~Client() = default;

const Server& Client::server() const { return state_->server; }

tl::expected<Answer, Refusal> Client::call(const Request& request) {
  Incoming incoming;
  const CURLcode code = state_->perform(request, incoming);
  if (incoming.too_large) {
    return tl::unexpected(Refusal{0, "not_sluice", "the answer is larger than 64 MB", kAdvice});
  }
  if (code != CURLE_OK) return tl::unexpected(state_->unreachable(code));
  return state_->read(incoming);
}

tl::expected<bool, Refusal> Client::stream(const Request& request,
                                           const std::function<bool(const ServerEvent&)>& take) {
  Incoming incoming;
  incoming.take = &take;
  const CURLcode code = state_->perform(request, incoming);
  if (incoming.enough) return true;
  if (code != CURLE_OK) return tl::unexpected(state_->unreachable(code));
  auto answer = state_->read(incoming);
  if (!answer) return tl::unexpected(answer.error());
  return true;
}

}  // namespace sluice::client
