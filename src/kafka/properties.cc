#include "kafka/properties.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/nearest.h"
#include "kafka/native.h"

namespace sluice::kafka {
namespace {

// Everything a task may set. A list of what is allowed, not of what is forbidden: a later
// librdkafka can bring properties that load code or write files, and those must not slip through.
constexpr std::array kAllowed = std::to_array<std::string_view>({
    "bootstrap.servers",
    "metadata.broker.list",
    "client.id",
    "client.rack",
    "client.dns.lookup",
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "sasl.kerberos.service.name",
    "sasl.kerberos.principal",
    "sasl.kerberos.keytab",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.client.credentials.client.id",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.extensions",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.oauthbearer.sub.claim.name",
    "sasl.oauthbearer.grant.type",
    "sasl.oauthbearer.assertion.algorithm",
    "sasl.oauthbearer.assertion.private.key.file",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.oauthbearer.assertion.file",
    "sasl.oauthbearer.assertion.claim.aud",
    "sasl.oauthbearer.assertion.claim.exp.seconds",
    "sasl.oauthbearer.assertion.claim.iss",
    "sasl.oauthbearer.assertion.claim.jti.include",
    "sasl.oauthbearer.assertion.claim.nbf.seconds",
    "sasl.oauthbearer.assertion.claim.sub",
    "sasl.oauthbearer.assertion.jwt.template.file",
    "sasl.oauthbearer.metadata.authentication.type",
    "ssl.cipher.suites",
    "ssl.curves.list",
    "ssl.sigalgs.list",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.crl.location",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.endpoint.identification.algorithm",
    "enable.ssl.certificate.verification",
    "https.ca.location",
    "https.ca.pem",
    "group.protocol",
    "group.remote.assignor",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "max.poll.interval.ms",
    "coordinator.query.interval.ms",
    "isolation.level",
    "check.crcs",
    "topic.blacklist",
    "queued.min.messages",
    "queued.max.messages.kbytes",
    "fetch.wait.max.ms",
    "fetch.queue.backoff.ms",
    "fetch.message.max.bytes",
    "max.partition.fetch.bytes",
    "fetch.max.bytes",
    "fetch.min.bytes",
    "fetch.error.backoff.ms",
    "message.max.bytes",
    "receive.message.max.bytes",
    "topic.metadata.refresh.interval.ms",
    "metadata.max.age.ms",
    "topic.metadata.refresh.fast.interval.ms",
    "topic.metadata.refresh.sparse",
    "metadata.recovery.strategy",
    "metadata.recovery.rebootstrap.trigger.ms",
    "socket.timeout.ms",
    "socket.send.buffer.bytes",
    "socket.receive.buffer.bytes",
    "socket.keepalive.enable",
    "socket.nagle.disable",
    "socket.max.fails",
    "socket.connection.setup.timeout.ms",
    "connections.max.idle.ms",
    "broker.address.ttl",
    "broker.address.family",
    "reconnect.backoff.ms",
    "reconnect.backoff.max.ms",
    "retry.backoff.ms",
    "retry.backoff.max.ms",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "api.version.request",
    "api.version.request.timeout.ms",
    "api.version.fallback.ms",
    "broker.version.fallback",
    "enable.metrics.push",
    "log.connection.close",
    "log_level",
    "debug",
});

struct Refused {
  std::string_view name;
  std::string_view reason;
  std::string_view remedy;
};
constexpr std::string_view kOurs = "Remove it: Sluice sets it itself";
constexpr std::string_view kNever = "Remove it";
constexpr std::array kRefused = std::to_array<Refused>({
    {"group.id", "the group belongs to the task", "Remove it, or use source.group"},
    {"group.instance.id", "several lanes of one task cannot share it", kNever},
    {"partition.assignment.strategy", "Sluice works with cooperative-sticky alone", kOurs},
    {"group.protocol.type", "it has one value only", kNever},
    {"enable.auto.commit", "positions are kept in the ledger of the target database", kOurs},
    {"auto.commit.enable", "positions are kept in the ledger of the target database", kOurs},
    {"auto.commit.interval.ms", "positions are kept in the ledger of the target database", kNever},
    {"enable.auto.offset.store", "positions are kept in the ledger of the target database", kOurs},
    {"offset.store.method", "positions are kept in the ledger of the target database", kNever},
    {"offset.store.path", "positions are kept in the ledger of the target database", kNever},
    {"offset.store.sync.interval.ms", "positions are kept in the ledger of the target database",
     kNever},
    {"auto.offset.reset", "a silent reset would skip or repeat messages",
     "Remove it, and use source.start and source.on_gap"},
    {"enable.partition.eof", "Sluice needs the ends of partitions", kOurs},
    {"allow.auto.create.topics", "reading must not create topics", kNever},
    {"plugin.library.paths", "it loads code", kNever},
    {"interceptors", "it loads code", kNever},
    {"ssl.providers", "it loads code", kNever},
    {"ssl.engine.location", "it loads code", kNever},
    {"ssl.engine.id", "it loads code", kNever},
    {"sasl.kerberos.kinit.cmd", "it runs a command",
     "Remove it, and keep the Kerberos ticket fresh from outside"},
    {"sasl.kerberos.min.time.before.relogin", "Sluice runs no kinit",
     "Remove it, and keep the Kerberos ticket fresh from outside"},
    {"enable.sasl.oauthbearer.unsecure.jwt", "unsigned tokens prove nothing",
     "Remove it, and use sasl.oauthbearer.method: oidc"},
    {"sasl.oauthbearer.config", "it serves unsigned tokens only",
     "Remove it, and use sasl.oauthbearer.method: oidc"},
    {"statistics.interval.ms", "nobody would read them", kNever},
    {"internal.termination.signal", "signals belong to Sluice", kNever},
    {"log.queue", "logs go to Sluice's own", kOurs},
    {"enabled_events", "events belong to Sluice", kNever},
});

// Librdkafka's classic-protocol settings, which it refuses beside group.protocol=consumer.
constexpr std::array<std::string_view, 2> kClassicOnly = {"session.timeout.ms",
                                                          "heartbeat.interval.ms"};

tl::unexpected<Error> refuse(const std::string& name, std::string message, std::string remedy) {
  return fail(Domain::kDocument, name, std::move(message), std::move(remedy));
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return std::tolower(static_cast<unsigned char>(x)) ==
                  std::tolower(static_cast<unsigned char>(y));
         });
}

Result<bool> check_name(const std::string& name) {
  if (std::find(kAllowed.begin(), kAllowed.end(), name) != kAllowed.end()) return true;
  for (const auto& refused : kRefused) {
    if (refused.name == name) {
      return refuse(name,
                    fmt::format("Kafka property \"{}\" cannot be set: {}", name, refused.reason),
                    std::string(refused.remedy));
    }
  }
  if (native::knows_property(name)) {
    return refuse(name,
                  fmt::format("Kafka property \"{}\" cannot be set: it has no meaning for a "
                              "consumer of Sluice",
                              name),
                  std::string(kNever));
  }
  const std::vector<std::string> known(kAllowed.begin(), kAllowed.end());
  const auto near = nearest(name, known, 1);
  return refuse(name, fmt::format("Kafka property \"{}\" does not exist", name),
                near.empty() ? std::string("Names and values are those of librdkafka")
                             : fmt::format("Did you mean \"{}\"?", near[0]));
}

std::string shortened(const std::string& value) {
  constexpr std::size_t kShown = 100;
  return value.size() <= kShown ? value : value.substr(0, kShown) + "...";
}

// One entry of bootstrap.servers: [protocol://]host[:port], an IPv6 address in brackets.
bool is_server(std::string_view server) {
  const auto scheme = server.find("://");
  if (scheme != std::string_view::npos) server.remove_prefix(scheme + 3);
  std::string_view port;
  if (server.starts_with('[')) {
    const auto close = server.find(']');
    if (close == std::string_view::npos || close == 1) return false;
    port = server.substr(close + 1);
    if (!port.empty() && port[0] != ':') return false;
    if (!port.empty()) port.remove_prefix(1);
    if (port.empty()) return server.back() == ']';
  } else {
    const auto colon = server.find(':');
    const auto host = server.substr(0, colon);
    if (host.empty() || host.find_first_of(" \t/@") != std::string_view::npos) return false;
    if (colon == std::string_view::npos) return true;
    port = server.substr(colon + 1);
  }
  int number = 0;
  const auto [end, status] = std::from_chars(port.data(), port.data() + port.size(), number);
  return status == std::errc() && end == port.data() + port.size() && number > 0 && number < 65536;
}

std::string_view trim(std::string_view text) {
  const auto from = text.find_first_not_of(" \t");
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(" \t") - from + 1);
}

Result<bool> check_servers(const std::map<std::string, std::string>& properties) {
  const auto servers = properties.find("bootstrap.servers");
  const auto brokers = properties.find("metadata.broker.list");
  if (servers != properties.end() && brokers != properties.end()) {
    return refuse(
        "metadata.broker.list",
        "Kafka properties \"bootstrap.servers\" and \"metadata.broker.list\" are two names "
        "of one thing",
        "Keep \"bootstrap.servers\"");
  }
  const auto found = servers != properties.end() ? servers : brokers;
  if (found == properties.end() || trim(found->second).empty()) {
    return refuse("bootstrap.servers", "Kafka property \"bootstrap.servers\" is missing",
                  "Name one or more brokers: host:port,host:port");
  }
  std::string_view rest = found->second;
  while (true) {
    const auto comma = rest.find(',');
    const auto server = trim(rest.substr(0, comma));
    if (!is_server(server)) {
      return refuse(
          found->first,
          fmt::format("Kafka property \"{}\": \"{}\" is not host:port", found->first, server),
          "Name brokers as host:port, several with commas between them");
    }
    if (comma == std::string_view::npos) return true;
    rest = rest.substr(comma + 1);
  }
}

std::optional<std::int64_t> number(const std::map<std::string, std::string>& properties,
                                   const std::string& name) {
  const auto found = properties.find(name);
  if (found == properties.end()) return std::nullopt;
  std::int64_t value = 0;
  const auto& text = found->second;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool consumer_protocol(const std::map<std::string, std::string>& properties) {
  const auto found = properties.find("group.protocol");
  return found != properties.end() && equal_ignoring_case(found->second, "consumer");
}

constexpr std::int64_t kMaxPollIntervalMs = 300'000;  // librdkafka's default
constexpr std::int64_t kSessionTimeoutMs = 10'000;
// A member learns by the answer to a heartbeat that it is to give partitions up: until then the one
// that joined has none. With 3.3 s a second process had its partitions after 3.5 to 7.1 s, with
// this after 1.5 to 1.7 s; such requests are few beside the empty fetches (kFetchWaitMs).
constexpr std::int64_t kHeartbeatMs = 300;

Result<bool> check_timeouts(const std::map<std::string, std::string>& properties) {
  if (consumer_protocol(properties)) {
    for (const auto name : kClassicOnly) {
      if (properties.contains(std::string(name))) {
        return refuse(std::string(name),
                      fmt::format("Kafka property \"{}\" cannot be set beside group.protocol: "
                                  "consumer: the broker's own setting counts there",
                                  name),
                      "Remove one of the two");
      }
    }
    return true;
  }
  const auto session = number(properties, "session.timeout.ms");
  const auto poll = number(properties, "max.poll.interval.ms");
  const auto heartbeat = number(properties, "heartbeat.interval.ms");
  if (session && poll && *session > *poll) {
    return refuse("session.timeout.ms",
                  fmt::format("Kafka property \"session.timeout.ms\" ({}) is above "
                              "\"max.poll.interval.ms\" ({})",
                              *session, *poll),
                  "Raise max.poll.interval.ms, or leave it out");
  }
  const auto effective =
      session.value_or(std::min(kSessionTimeoutMs, poll.value_or(kMaxPollIntervalMs)));
  if (heartbeat && *heartbeat >= effective) {
    return refuse(
        "heartbeat.interval.ms",
        fmt::format("Kafka property \"heartbeat.interval.ms\" ({}) is not below the session "
                    "time-out ({})",
                    *heartbeat, effective),
        "Leave it out: it is a third of session.timeout.ms, 300 ms at most");
  }
  return true;
}

// Internal topics hold no records of anybody; ^.* must not subscribe to them.
constexpr std::string_view kInternalTopics =
    "^__consumer_offsets$,^__transaction_state$,^__share_group_state$,^__cluster_metadata$";

void set_group_timing(const std::map<std::string, std::string>& user,
                      std::map<std::string, std::string>& ours) {
  ours["partition.assignment.strategy"] = "cooperative-sticky";
  const auto poll = number(user, "max.poll.interval.ms");
  const auto session =
      number(user, "session.timeout.ms")
          .value_or(std::min(kSessionTimeoutMs, poll.value_or(kMaxPollIntervalMs)));
  ours["session.timeout.ms"] = std::to_string(session);
  const auto heartbeat = std::clamp<std::int64_t>(session / 3, 1, kHeartbeatMs);
  ours["heartbeat.interval.ms"] = std::to_string(heartbeat);
  if (!poll && session > kMaxPollIntervalMs) ours["max.poll.interval.ms"] = std::to_string(session);
}

// What bounds memory. librdkafka counts the bytes of queued messages, not the 400 or so that each
// one costs beside them, and it looks before a fetch, so that a queue can exceed its bound by what
// one fetch brings once decompressed. So there is a bound on bytes, one on messages, and fetches
// are small: they bring some thousand messages of each partition, a few milliseconds of work. A
// larger message or batch is fetched all the same: the first batch of a broker's answer always
// comes whole.
//
// A partition with a full queue is left out of the next fetch; if the others have nothing, the
// broker keeps that fetch for fetch.wait.max.ms, and nothing else is asked of it meanwhile. With
// librdkafka's 500 ms one busy partition among idle ones came at 20,000 small messages a second,
// with 20 ms and this bound on messages at 450,000; the 50 empty answers a second cost less than
// could be measured.
constexpr std::int64_t kBytesPerMessage = 384;
constexpr const char* kFetchWaitMs = "20";

void set_memory(const ConsumerConfig& config, std::map<std::string, std::string>& ours) {
  const std::int64_t share = config.queue_bytes / std::max<std::int64_t>(1, config.partitions);
  const auto clamp = [](std::int64_t value, std::int64_t low, std::int64_t high) {
    return std::to_string(std::clamp(value, low, high));
  };
  ours["queued.max.messages.kbytes"] = clamp(share / 1024, 64, 2'097'151);
  ours["queued.min.messages"] = clamp(share / kBytesPerMessage, 1000, 10'000'000);
  ours["max.partition.fetch.bytes"] = clamp(share / 16, 64 << 10, 1 << 20);
  ours["fetch.max.bytes"] = clamp(config.queue_bytes / 4, 1'000'000, 16 << 20);
}

// librdkafka wants message.max.bytes <= fetch.max.bytes <= receive.message.max.bytes - 512; ours
// gives way to what the user set.
void fit_fetch_size(const std::map<std::string, std::string>& user,
                    std::map<std::string, std::string>& merged) {
  if (user.contains("fetch.max.bytes")) return;
  auto bytes = number(merged, "fetch.max.bytes").value_or(0);
  bytes = std::max(bytes, number(user, "message.max.bytes").value_or(0));
  if (const auto limit = number(user, "receive.message.max.bytes")) {
    bytes = std::min(bytes, std::max<std::int64_t>(0, *limit - 512));
  }
  merged["fetch.max.bytes"] = std::to_string(bytes);
}

}  // namespace

bool is_secret(std::string_view property) {
  for (const std::string_view part :
       {"password", "secret", "passphrase", "key.pem", "oauthbearer.config"}) {
    if (property.find(part) != std::string_view::npos) return true;
  }
  return false;
}

Result<bool> check_properties(const std::map<std::string, std::string>& properties) {
  for (const auto& [name, value] : properties) {
    auto named = check_name(name);
    if (!named) return named;
    const auto problem = native::check_value(name, value);
    if (!problem.empty()) {
      return refuse(
          name,
          is_secret(name)
              ? fmt::format("Kafka property \"{}\" has a value that librdkafka refuses", name)
              : fmt::format("Kafka property \"{}\" is \"{}\": {}", name, shortened(value), problem),
          "Correct it; librdkafka's CONFIGURATION.md lists the values that it takes.");
    }
  }
  auto servers = check_servers(properties);
  if (!servers) return servers;
  return check_timeouts(properties);
}

std::map<std::string, std::string> consumer_properties(const ConsumerConfig& config) {
  std::map<std::string, std::string> merged;
  merged["client.id"] = config.client_id;
  merged["socket.keepalive.enable"] = "true";
  merged["log.thread.name"] = "false";
  merged["isolation.level"] = "read_committed";
  merged["check.crcs"] = "true";
  merged["topic.metadata.refresh.interval.ms"] = "10000";
  merged["fetch.queue.backoff.ms"] = "10";
  merged["fetch.wait.max.ms"] = kFetchWaitMs;
  merged["reconnect.backoff.max.ms"] = "2000";
  set_memory(config, merged);
  if (!consumer_protocol(config.properties)) set_group_timing(config.properties, merged);

  for (const auto& [name, value] : config.properties) merged[name] = value;
  fit_fetch_size(config.properties, merged);

  merged["group.id"] = config.group;
  merged["enable.auto.commit"] = "false";
  merged["enable.auto.offset.store"] = "false";
  merged["auto.offset.reset"] = "error";
  merged["enable.partition.eof"] = "true";
  merged["allow.auto.create.topics"] = "false";
  // Its lines tell when a topic was replaced by another of the same name (native.cc).
  auto& debug = merged["debug"];
  debug = debug.empty() ? "metadata" : fmt::format("{},metadata", debug);
  auto& blacklist = merged["topic.blacklist"];
  blacklist = blacklist.empty() ? std::string(kInternalTopics)
                                : fmt::format("{},{}", kInternalTopics, blacklist);
  return merged;
}

std::map<std::string, std::string> admin_properties(
    const std::map<std::string, std::string>& properties, const std::string& client_id) {
  std::map<std::string, std::string> merged;
  merged["client.id"] = client_id;
  merged["socket.keepalive.enable"] = "true";
  merged["log.thread.name"] = "false";
  // A question has a deadline of its own; a broker that comes back is to be noticed within a
  // second.
  merged["reconnect.backoff.max.ms"] = "1000";
  for (const auto& [name, value] : properties) {
    // They concern groups and fetching, and librdkafka checks them against a group that is not
    // there.
    if (name.starts_with("group.") || name == "session.timeout.ms" ||
        name == "heartbeat.interval.ms" || name == "max.poll.interval.ms") {
      continue;
    }
    merged[name] = value;
  }
  merged["enable.auto.commit"] = "false";
  merged["allow.auto.create.topics"] = "false";
  return merged;
}

}  // namespace sluice::kafka
