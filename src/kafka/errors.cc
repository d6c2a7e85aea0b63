#include "kafka/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace sluice::kafka {
namespace {

// Errors that stay until somebody changes the configuration, an ACL or a topic. What is not named
// here may heal: the unknown is waited for, because a broker can answer almost anything while it
// starts.
constexpr std::array<std::string_view, 23> kConfiguration = {
    "_AUTHENTICATION",
    "_SSL",
    kProtocolMismatch,
    "_INVALID_ARG",
    "_UNSUPPORTED_FEATURE",
    "_UNKNOWN_GROUP",
    "_FATAL",
    "_FENCED",
    "_CRIT_SYS_RESOURCE",
    "_NOT_CONFIGURED",
    "SASL_AUTHENTICATION_FAILED",
    "UNSUPPORTED_SASL_MECHANISM",
    "ILLEGAL_SASL_STATE",
    "SECURITY_DISABLED",
    "TOPIC_AUTHORIZATION_FAILED",
    "GROUP_AUTHORIZATION_FAILED",
    "CLUSTER_AUTHORIZATION_FAILED",
    "TOPIC_EXCEPTION",
    "INVALID_GROUP_ID",
    "UNSUPPORTED_VERSION",
    "UNSUPPORTED_FOR_MESSAGE_FORMAT",
    "UNSUPPORTED_COMPRESSION_TYPE",
    "INCONSISTENT_GROUP_PROTOCOL",
};
constexpr std::array<std::string_view, 3> kUnknownTopic = {"UNKNOWN_TOPIC_OR_PART",
                                                           "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"};

template <std::size_t N>
bool any_of(const std::array<std::string_view, N>& codes, std::string_view code) {
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string principal(const Endpoint& endpoint) {
  return endpoint.user.empty() ? "User:NAME" : fmt::format("User:{}", endpoint.user);
}

std::string acl_command(const Endpoint& endpoint, std::string_view kind, std::string_view name) {
  return fmt::format(
      "Allow it, for example: kafka-acls.sh --bootstrap-server {} --add --allow-principal {} "
      "--operation Read --{} '{}'",
      endpoint.servers, principal(endpoint), kind, name);
}

std::string mismatch_remedy(const Endpoint& endpoint) {
  return fmt::format(
      "security.protocol is {}: check that bootstrap.servers names a listener of that kind "
      "(plaintext, "
      "ssl, sasl_plaintext or sasl_ssl) and a port where a Kafka broker listens",
      endpoint.protocol);
}

// What to do about a connection that failed; empty if there is nothing better than the text itself.
std::string remedy_of(const Endpoint& endpoint, std::string_view code, std::string_view text) {
  if (code == kProtocolMismatch) return mismatch_remedy(endpoint);
  if (code == "_RESOLVE") {
    return "Check the host name in bootstrap.servers and the name server of this machine";
  }
  if (code == "_AUTHENTICATION" || code == "SASL_AUTHENTICATION_FAILED" ||
      code == "UNSUPPORTED_SASL_MECHANISM" || code == "ILLEGAL_SASL_STATE") {
    if (contains(text, "not valid in current SASL state")) {
      return "The listener takes no login: set security.protocol to plaintext (or ssl), or use the "
             "port of the SASL listener";
    }
    return fmt::format("Check sasl.mechanism, sasl.username{} and sasl.password",
                       endpoint.user.empty() ? "" : fmt::format(" (now {})", endpoint.user));
  }
  if (code == "_SSL") {
    if (contains(text, "PLAINTEXT broker listener") || contains(text, "wrong version number")) {
      return "The listener speaks no TLS: set security.protocol to plaintext (or sasl_plaintext), "
             "or "
             "use the port of the TLS listener";
    }
    if (contains(text, "certificate")) {
      return "Set ssl.ca.location to the authority that signed the broker's certificate, and use a "
             "host name that the certificate names";
    }
    return "Check the ssl.* properties and that the listener speaks TLS";
  }
  if (contains(text, "Connection refused")) {
    return "Check host and port in bootstrap.servers and that the broker runs";
  }
  if (contains(text, "timed out") || contains(text, "unreachable")) {
    return "Check host, port and the firewalls in between";
  }
  return {};
}

std::string_view headline(std::string_view code) {
  if (code == "_RESOLVE") return "The name of the Kafka broker cannot be resolved";
  if (code == "_AUTHENTICATION" || code == "SASL_AUTHENTICATION_FAILED") {
    return "Kafka refused the login";
  }
  if (code == "_SSL") return "The TLS connection to Kafka failed";
  if (code == kProtocolMismatch) return "The listener does not speak the configured protocol";
  if (code == "_TRANSPORT" || code == "_ALL_BROKERS_DOWN" || code == "_TIMED_OUT" ||
      code == "_TIMED_OUT_QUEUE" || code == "_WAIT_COORD") {
    return "Kafka cannot be reached";
  }
  return "Kafka reports an error";
}

}  // namespace

bool is_environment(const Error& error) {
  return error.domain == Domain::kKafka && !any_of(kConfiguration, error.code) &&
         !is_unknown_topic(error);
}

bool is_unknown_topic(const Error& error) {
  return error.domain == Domain::kKafka && any_of(kUnknownTopic, error.code);
}

Endpoint endpoint_of(const std::map<std::string, std::string>& properties) {
  const auto value = [&](const char* name) {
    const auto found = properties.find(name);
    return found == properties.end() ? std::string() : found->second;
  };
  Endpoint endpoint;
  endpoint.servers = value("bootstrap.servers");
  if (endpoint.servers.empty()) endpoint.servers = value("metadata.broker.list");
  endpoint.protocol = value("security.protocol");
  for (char& c : endpoint.protocol)
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (endpoint.protocol.empty()) endpoint.protocol = "plaintext";
  endpoint.user = value("sasl.username");
  return endpoint;
}

bool looks_like_protocol_mismatch(std::string_view text) {
  if (contains(text, "Invalid response size") || contains(text, "HTTP server")) return true;
  // The other side closed at once: what a listener does with a client that speaks another protocol.
  return contains(text, "Disconnected") &&
         (contains(text, "in state SSL_HANDSHAKE") || contains(text, "in state APIVERSION_QUERY") ||
          contains(text, "in state AUTH_") || contains(text, "in state UP"));
}

std::string stable_text(std::string_view text) {
  std::string stable(text);
  // "... (after 2ms in state CONNECT, 3 identical error(s) suppressed)"
  const auto tail = stable.rfind(" (after ");
  if (tail != std::string::npos && stable.ends_with(')')) stable.resize(tail);
  // "protocol://host:port/bootstrap: ": the address is worth keeping, the rest is librdkafka's.
  const auto colon = stable.find(": ");
  if (colon == std::string::npos) return stable;
  std::string address = stable.substr(0, colon);
  if (const auto scheme = address.find("://"); scheme != std::string::npos) {
    address.erase(0, scheme + 3);
  }
  if (const auto slash = address.find('/'); slash != std::string::npos) address.resize(slash);
  // Its advice would only help if the answer were Kafka's.
  if (const auto advice = stable.find(": increase receive.message.max.bytes");
      advice != std::string::npos) {
    stable.resize(advice);
  }
  return address + stable.substr(colon);
}

Error explain(const Endpoint& endpoint, std::string_view code, std::string_view text) {
  // librdkafka calls a refused certificate what comes first: _SSL, or _TRANSPORT when the broker
  // has hung up by then. The second would be waited for, but no waiting changes a certificate.
  if (contains(text, "certificate verify failed")) code = "_SSL";
  Error error;
  error.domain = Domain::kKafka;
  error.code = code;
  error.message = fmt::format("{} (bootstrap.servers {}): {}", headline(code), endpoint.servers,
                              text.empty() ? "no reason was given" : stable_text(text));
  error.remedy = remedy_of(endpoint, code, text);
  return error;
}

Error explain_about(const Endpoint& endpoint, std::string_view code, std::string_view text,
                    std::string_view kind, std::string_view name) {
  Error error;
  error.domain = Domain::kKafka;
  error.code = code;
  if (code == "TOPIC_AUTHORIZATION_FAILED" || code == "GROUP_AUTHORIZATION_FAILED") {
    error.message =
        fmt::format("Kafka does not allow {} to use the {} \"{}\"",
                    endpoint.user.empty() ? "this client" : principal(endpoint), kind, name);
    error.remedy = acl_command(endpoint, kind, name);
  } else if (code == "UNKNOWN_TOPIC_OR_PART" || code == "_UNKNOWN_TOPIC") {
    error.message =
        fmt::format("Kafka (bootstrap.servers {}) has no topic \"{}\"", endpoint.servers, name);
    error.remedy = "Check its name, and that this client may describe it";
  } else {
    error.message = fmt::format("Kafka (bootstrap.servers {}), {} \"{}\": {}", endpoint.servers,
                                kind, name, stable_text(text));
    error.remedy = remedy_of(endpoint, code, text);
  }
  return error;
}

}  // namespace sluice::kafka
