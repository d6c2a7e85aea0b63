// What a Kafka client reports, turned into Errors that name the broker, topic or group and say what
// to do; and the one question that everybody asks of them: does waiting help?
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::kafka {

// True if the error comes from surroundings that can heal by themselves (broker unreachable,
// starting up, leader moving, time-out): wait and try again. False if somebody has to change
// something first (authentication, authorization, unknown topic, TLS, a listener of another
// protocol).
bool is_environment(const Error& error);

// True if the topic, or a partition of it, is not there (any more), or may not be described.
bool is_unknown_topic(const Error& error);

// The code that Admin gives an endpoint that accepts connections but does not speak the configured
// protocol: TLS listener with a plaintext client, SASL listener without SASL, not a Kafka broker.
// Ours: librdkafka reports these as _TRANSPORT, which a restarting broker causes as well.
inline constexpr std::string_view kProtocolMismatch = "_PROTOCOL_MISMATCH";

// The clients of one connection, as far as error texts need to know them. No secrets.
struct Endpoint {
  std::string servers;   // bootstrap.servers
  std::string protocol;  // security.protocol, lower case; "plaintext" when not set
  std::string user;      // sasl.username; may be empty
};
Endpoint endpoint_of(const std::map<std::string, std::string>& properties);

// An error of a connection. `code` is librdkafka's name of the error, `text` its description, such
// as "sasl_ssl://k1:9093/bootstrap: SASL authentication error: ... (after 3ms in state AUTH_REQ)".
Error explain(const Endpoint& endpoint, std::string_view code, std::string_view text);

// The same for an error that concerns a topic or a group ("topic" / "group", name).
Error explain_about(const Endpoint& endpoint, std::string_view code, std::string_view text,
                    std::string_view kind, std::string_view name);

// Whether `text` is one of librdkafka's guesses that the listener speaks another protocol.
bool looks_like_protocol_mismatch(std::string_view text);

// librdkafka's description without the parts that change from one attempt to the next.
std::string stable_text(std::string_view text);

}  // namespace sluice::kafka
