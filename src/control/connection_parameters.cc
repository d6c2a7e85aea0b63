#include "control/connection_parameters.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <cstring>

#include "kafka/consumer.h"
#include "kafka/properties.h"

namespace sluice::control {
namespace {

constexpr std::size_t kMaxPem = 65'536;
constexpr std::size_t kMaxText = 1024;
constexpr std::size_t kMaxHosts = 8;
constexpr std::int64_t kPostgresPort = 5432;
constexpr std::string_view kNewConnection =
    "cannot be changed: make a new connection, and let the tasks use that";
// Where there is nothing: libpq takes certificates of this process's user otherwise.
constexpr std::string_view kNowhere = "/nonexistent/sluice";

struct Property {
  std::string_view name;
  std::string_view what;
  bool pem = false;     // has line breaks
  bool secret = false;  // under "secrets"
  bool login = false;   // who logs in: may be changed
};

// What a Kafka connection may set. Not here, though the task document of `sluice run` takes it:
// what names a file (ssl.*.location, keytabs), runs or asks something else (GSSAPI, OAUTHBEARER),
// decides about memory, which each task bounds by itself (queued.*), or writes to the log (debug).
constexpr auto kProperties = std::to_array<Property>({
    {"bootstrap.servers", "Brokers: host:port, several with commas. Required."},
    {"security.protocol", "plaintext (the default), ssl, sasl_plaintext or sasl_ssl."},
    {"sasl.mechanisms", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; required with sasl_*."},
    {"sasl.mechanism", "The same."},
    {"sasl.username", "Required with sasl_*.", false, false, true},
    {"sasl.password", "Required with sasl_*.", false, true, true},
    {"ssl.ca.pem", "Certificates of the authorities that are trusted; else the system's.", true},
    {"ssl.certificate.pem", "The client's certificate.", true, false, true},
    {"ssl.key.pem", "The client's private key.", true, true, true},
    {"ssl.key.password", "Of that key.", false, true, true},
    {"ssl.endpoint.identification.algorithm", "https (the default), or none."},
    {"enable.ssl.certificate.verification", "true (the default), or false."},
    {"ssl.cipher.suites", "As OpenSSL names them."},
    {"ssl.curves.list", "As OpenSSL names them."},
    {"ssl.sigalgs.list", "As OpenSSL names them."},
    {"client.id", "Under which brokers log and limit this client."},
    {"client.rack", "Where this client is, so that it reads from near replicas."},
    {"client.dns.lookup", "use_all_dns_ips, or resolve_canonical_bootstrap_servers_only."},
    {"broker.address.family", "any, v4 or v6."},
    {"broker.address.ttl", "Milliseconds for which resolved addresses are kept."},
    {"socket.timeout.ms", ""},
    {"socket.send.buffer.bytes", ""},
    {"socket.receive.buffer.bytes", ""},
    {"socket.keepalive.enable", ""},
    {"socket.nagle.disable", ""},
    {"socket.max.fails", ""},
    {"socket.connection.setup.timeout.ms", ""},
    {"connections.max.idle.ms", ""},
    {"reconnect.backoff.ms", ""},
    {"reconnect.backoff.max.ms", ""},
    {"retry.backoff.ms", ""},
    {"retry.backoff.max.ms", ""},
    {"metadata.max.age.ms", ""},
    {"topic.metadata.refresh.interval.ms", ""},
    {"isolation.level", "read_committed (the default) or read_uncommitted."},
    {"check.crcs", ""},
    {"fetch.wait.max.ms", ""},
    {"fetch.min.bytes", ""},
    {"fetch.max.bytes", ""},
    {"fetch.message.max.bytes", ""},
    {"max.partition.fetch.bytes", ""},
    {"message.max.bytes", ""},
    {"receive.message.max.bytes", ""},
    {"group.protocol", "classic (the default) or consumer."},
    {"session.timeout.ms", ""},
    {"heartbeat.interval.ms", ""},
    {"max.poll.interval.ms", ""},
});

const Property* find_property(std::string_view name) {
  const auto* found = std::find_if(kProperties.begin(), kProperties.end(),
                                   [&](const Property& property) { return property.name == name; });
  return found == kProperties.end() ? nullptr : found;
}

std::string text_of(const boost::json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

bool is_host(std::string_view host) {
  return !host.empty() && std::all_of(host.begin(), host.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '-' || c == '_' || c == ':';
  });
}

std::vector<std::string> split_hosts(std::string_view text) {
  std::vector<std::string> hosts;
  while (true) {
    const auto comma = text.find(',');
    auto host = text.substr(0, comma);
    while (host.starts_with(' ')) host.remove_prefix(1);
    while (host.ends_with(' ')) host.remove_suffix(1);
    hosts.emplace_back(host);
    if (comma == std::string_view::npos) return hosts;
    text.remove_prefix(comma + 1);
  }
}

// "db1, db2" as "db1,db2".
std::string read_hosts(Body& body) {
  const auto given = body.text("host", {.min = 1, .max = kMaxText}, true);
  if (!given) return {};
  const auto hosts = split_hosts(*given);
  if (given->find('/') != std::string::npos || given->starts_with('@')) {
    body.wrong("host", "takes a name or an address: sockets are not taken on a server");
  } else if (hosts.size() > kMaxHosts || !std::all_of(hosts.begin(), hosts.end(), is_host)) {
    body.wrong("host", fmt::format("takes a name or an address; several, up to {}, with commas",
                                   kMaxHosts));
  }
  std::string joined;
  for (const auto& host : hosts) joined += (joined.empty() ? "" : ",") + host;
  return joined;
}

void read_certificate(Body& body, std::string_view name, boost::json::object& parameters) {
  const auto pem = body.text(name, {.min = 1, .max = kMaxPem, .lines = true});
  parameters[name] = pem ? boost::json::value(*pem) : boost::json::value(nullptr);
  if (!pem) return;
  if (pem->find("PRIVATE KEY") != std::string::npos) {
    body.wrong(name, "holds a private key: it takes certificates only");
  } else if (pem->find("-----BEGIN CERTIFICATE-----") == std::string::npos) {
    body.wrong(name, "takes certificates in PEM form (-----BEGIN CERTIFICATE-----)");
  }
}

boost::json::object read_postgres(Body& body) {
  boost::json::object parameters;
  const auto nullable = [](const std::optional<std::string>& text) {
    return text ? boost::json::value(*text) : boost::json::value(nullptr);
  };
  parameters["host"] = read_hosts(body);
  parameters["port"] = body.integer("port", 1, 65'535).value_or(kPostgresPort);
  parameters["database"] = nullable(body.text("database", {.min = 1, .max = 63}));
  parameters["user"] = body.text("user", {.min = 1, .max = 128}, true).value_or("");
  const auto sslmode =
      body.choice("sslmode", {"disable", "prefer", "require", "verify-ca", "verify-full"})
          .value_or("prefer");
  parameters["sslmode"] = sslmode;
  read_certificate(body, "ca_certificate", parameters);
  if (sslmode.starts_with("verify") && !body.has_value("ca_certificate")) {
    body.wrong("ca_certificate", fmt::format("is required with sslmode {}", sslmode));
  }
  parameters["connect_timeout"] = body.integer("connect_timeout", 2, 60).value_or(10);
  parameters["pooler"] = body.choice("pooler", {"none", "transaction"}).value_or("none");
  return parameters;
}

// Properties are text for librdkafka; a number or true in JSON means the same.
std::optional<std::string> property_text(const boost::json::value& value) {
  if (value.is_string()) return std::string(value.get_string());
  if (value.is_bool() || value.is_int64()) return boost::json::serialize(value);
  return std::nullopt;
}

// What is wrong with a value by itself; empty if nothing.
std::string value_mistake(const Property& property, std::string_view text) {
  const std::size_t most = property.pem ? kMaxPem : kMaxText * 4;
  if (text.empty() || text.size() > most) return fmt::format("takes 1 to {} bytes", most);
  if (has_control_characters(text, property.pem)) return "has control characters";
  if (property.name.starts_with("sasl.mechanism") && text != "PLAIN" && text != "SCRAM-SHA-256" &&
      text != "SCRAM-SHA-512") {
    return "takes one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512";
  }
  if (property.pem && !property.secret && text.find("PRIVATE KEY") != std::string_view::npos) {
    return "holds a private key: that goes into secrets, as ssl.key.pem";
  }
  return {};
}

std::string unknown_property(std::string_view name, bool secret) {
  const auto* property = find_property(name);
  if (property != nullptr && property->secret != secret) {
    return secret ? "is no secret: it goes into parameters.properties"
                  : "is a secret: it goes into secrets, not here";
  }
  return secret ? "is not a secret of this type; there are sasl.password, ssl.key.pem, "
                  "ssl.key.password"
                : "is not taken on a server; docs/reference/connections.md lists what is";
}

// Members of `object` as properties; what is wrong is told under `path`.
std::map<std::string, std::string> read_properties(Body& body, const boost::json::object& object,
                                                   const std::string& path, bool secret) {
  std::map<std::string, std::string> read;
  for (const auto& member : object) {
    const std::string name(member.key());
    const bool showable = name.size() <= 64 && !has_control_characters(name, false);
    const std::string at = fmt::format("{}.{}", path, showable ? name : "?");
    if (member.value().is_null()) continue;
    const auto* property = find_property(name);
    const auto text = property_text(member.value());
    std::string mistake;
    if (property == nullptr || property->secret != secret) {
      mistake = unknown_property(name, secret);
    } else if (!text) {
      mistake = "takes a text, a number, true or false";
    } else {
      mistake = value_mistake(*property, *text);
    }
    if (mistake.empty()) {
      read[name] = *text;
    } else {
      body.wrong(at, std::move(mistake));
    }
  }
  return read;
}

// What belongs together, and what librdkafka says about the values.
void check_kafka(Body& body, const std::map<std::string, std::string>& properties,
                 const Secrets& secrets) {
  const auto path = [&](const std::string& name) {
    const auto* property = find_property(name);
    const bool secret = property != nullptr && property->secret;
    return (secret ? "secrets." : "parameters.properties.") + name;
  };
  const auto require = [&](const std::string& name, std::string_view beside) {
    if (properties.contains(name) || secrets.contains(name)) return;
    body.wrong(path(name), fmt::format("is required with {}", beside));
  };
  const auto protocol = properties.find("security.protocol");
  const auto is_sasl = [](std::string_view text) {
    return text.starts_with("sasl_") || text.starts_with("SASL_");
  };
  if (protocol != properties.end() && is_sasl(protocol->second)) {
    // Without a mechanism librdkafka takes GSSAPI, which runs kinit.
    if (!properties.contains("sasl.mechanism")) require("sasl.mechanisms", "sasl_*");
    require("sasl.username", "sasl_*");
    require("sasl.password", "sasl_*");
  }
  if (properties.contains("ssl.certificate.pem")) require("ssl.key.pem", "ssl.certificate.pem");
  if (secrets.contains("ssl.key.pem")) require("ssl.certificate.pem", "ssl.key.pem");
  auto all = properties;
  all.insert(secrets.begin(), secrets.end());
  if (const auto checked = kafka::check_properties(all); !checked) {
    body.wrong(path(checked.error().code), checked.error().message);
  }
}

boost::json::object object_of(const std::map<std::string, std::string>& properties) {
  boost::json::object object;
  for (const auto& [name, value] : properties) object[name] = value;
  return object;
}

std::map<std::string, std::string> map_of(const boost::json::object& parameters) {
  std::map<std::string, std::string> properties;
  const auto* object = parameters.if_contains("properties");
  if (object == nullptr || !object->is_object()) return properties;
  for (const auto& member : object->get_object()) {
    properties[std::string(member.key())] = std::string(member.value().get_string());
  }
  return properties;
}

const boost::json::object kNothing;

const boost::json::object& object_or_nothing(Body& body, std::string_view name, bool required) {
  const auto* object = body.object(name, required);
  return object == nullptr ? kNothing : *object;
}

ConnectionParameters read_kafka(Body& body) {
  ConnectionParameters read;
  const bool there = body.has_value("parameters");
  Body parameters(object_or_nothing(body, "parameters", true), "parameters");
  const auto& object = object_or_nothing(parameters, "properties", there);
  const auto properties = read_properties(body, object, "parameters.properties", false);
  read.secrets = read_properties(body, object_or_nothing(body, "secrets", false), "secrets", true);
  auto wrong = parameters.problems();
  const bool good = wrong.empty();
  body.wrong(std::move(wrong));
  if (there && good) check_kafka(body, properties, read.secrets);
  read.parameters["properties"] = object_of(properties);
  return read;
}

ConnectionParameters read_postgres_whole(Body& body) {
  ConnectionParameters read;
  const bool there = body.has_value("parameters");
  Body parameters(object_or_nothing(body, "parameters", true), "parameters");
  if (there) {
    read.parameters = read_postgres(parameters);
    body.wrong(parameters.problems());
  }
  const bool has_secrets = body.has_value("secrets");
  Body secrets(object_or_nothing(body, "secrets", true), "secrets");
  if (has_secrets) {
    // Required, so that none of this process's environment or password file is ever sent.
    const auto password = secrets.text("password", {.min = 1, .max = kMaxText}, true);
    if (password) read.secrets["password"] = *password;
    body.wrong(secrets.problems());
  }
  return read;
}

// The members of a change that must stay as they are, and those that may not.
void merge(Body& body, const std::string& path, const boost::json::object& given,
           boost::json::object& now, const std::vector<std::string_view>& editable,
           std::vector<std::string>& changed) {
  for (const auto& member : given) {
    const std::string name(member.key());
    const auto* before = now.if_contains(name);
    const std::string at = fmt::format(
        "{}.{}", path, name.size() <= 64 && !has_control_characters(name, false) ? name : "?");
    if (before != nullptr && *before == member.value()) continue;
    if (before == nullptr && member.value().is_null()) continue;
    if (std::find(editable.begin(), editable.end(), name) == editable.end()) {
      body.wrong(at, std::string(kNewConnection));
      continue;
    }
    now[name] = member.value();
    changed.push_back(at);
  }
}

void merge_secrets(const boost::json::object& given, Secrets& now,
                   std::vector<std::string>& changed) {
  for (const auto& member : given) {
    const std::string name(member.key());
    const auto before = now.find(name);
    if (member.value().is_null()) {
      if (before == now.end()) continue;
      now.erase(before);
    } else if (member.value().is_string()) {
      const std::string text(member.value().get_string());
      if (before != now.end() && before->second == text) continue;
      now[name] = text;
    } else {
      continue;  // judged below
    }
    changed.push_back("secrets." + (name.size() <= 64 ? name : "?"));
  }
}

std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + '\'';
}

std::string conninfo_of(const boost::json::object& parameters, const std::string& password,
                        const std::string& ca_file) {
  std::string conninfo;
  const auto add = [&](std::string_view keyword, std::string_view value) {
    conninfo += fmt::format("{}{}={}", conninfo.empty() ? "" : " ", keyword, quoted(value));
  };
  const std::string hosts = text_of(parameters, "host");
  add("host", hosts);
  add("port", boost::json::serialize(parameters.at("port")));
  add("user", text_of(parameters, "user"));
  add("password", password);
  add("sslmode", text_of(parameters, "sslmode"));
  add("sslrootcert", ca_file.empty() ? kNowhere : std::string_view(ca_file));
  add("sslcert", kNowhere);
  add("sslkey", kNowhere);
  add("gssencmode", "disable");
  add("connect_timeout", boost::json::serialize(parameters.at("connect_timeout")));
  if (hosts.find(',') != std::string::npos) add("target_session_attrs", "read-write");
  return conninfo;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

}  // namespace

bool is_postgres_type(std::string_view type) {
  return type == "postgresql" || type == "warehouse_postgresql" || type == "tdsql_postgresql" ||
         type == "tdsql_c_postgresql" || type == "greenplum";
}

bool is_connection_type(std::string_view type) { return type == "kafka" || is_postgres_type(type); }

ConnectionParameters read_parameters(Body& body, std::string_view type) {
  return type == "kafka" ? read_kafka(body) : read_postgres_whole(body);
}

ParameterChange read_change(Body& body, std::string_view type, const ConnectionParameters& before) {
  ParameterChange change{before, {}};
  const auto& given = object_or_nothing(body, "parameters", false);
  if (type == "kafka") {
    auto properties = object_of(map_of(before.parameters));
    for (const auto& member : given) {
      if (member.key() == "properties" && member.value().is_object()) {
        merge(body, "parameters.properties", member.value().get_object(), properties,
              {"sasl.username", "ssl.certificate.pem"}, change.changed);
      } else {
        body.wrong("parameters", "takes an object \"properties\" only");
      }
    }
    change.now.parameters["properties"] = std::move(properties);
  } else {
    merge(body, "parameters", given, change.now.parameters, {"user"}, change.changed);
  }
  const auto& secrets = object_or_nothing(body, "secrets", false);
  merge_secrets(secrets, change.now.secrets, change.changed);
  // The whole is judged as if it were new: one reading for both. A secret of another kind than text
  // is judged where it stands.
  boost::json::object whole_secrets = object_of(change.now.secrets);
  for (const auto& member : secrets) {
    if (!member.value().is_null()) whole_secrets[member.key()] = member.value();
  }
  const boost::json::object whole{{"parameters", change.now.parameters},
                                  {"secrets", std::move(whole_secrets)}};
  Body again(whole);
  change.now = read_parameters(again, type);
  body.wrong(again.problems());
  return change;
}

Secrets read_secrets(std::string_view json) {
  Secrets secrets;
  boost::json::error_code error;
  const auto value = boost::json::parse(json, error);
  if (error || !value.is_object()) return secrets;
  for (const auto& member : value.get_object()) {
    if (member.value().is_string()) {
      secrets[std::string(member.key())] = std::string(member.value().get_string());
    }
  }
  return secrets;
}

std::string write_secrets(const Secrets& secrets) {
  return boost::json::serialize(object_of(secrets));
}

std::vector<Server> servers_of(std::string_view type, const boost::json::object& parameters) {
  std::vector<Server> servers;
  if (type != "kafka") {
    const std::string port = boost::json::serialize(parameters.at("port"));
    for (auto& host : split_hosts(text_of(parameters, "host"))) {
      servers.push_back({std::move(host), port});
    }
    return servers;
  }
  for (const auto& entry : split_hosts(map_of(parameters)["bootstrap.servers"])) {
    std::string_view rest(entry);
    if (const auto scheme = rest.find("://"); scheme != std::string_view::npos) {
      rest.remove_prefix(scheme + 3);
    }
    const auto close = rest.find(']');
    const auto colon = rest.find(':', close == std::string_view::npos ? 0 : close);
    auto host = rest.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    const auto port = colon == std::string_view::npos ? "9092" : rest.substr(colon + 1);
    servers.push_back({std::string(host), std::string(port)});
  }
  return servers;
}

OpenConnection open_with(std::string_view type, const ConnectionParameters& given,
                         const std::string& ca_file) {
  OpenConnection open;
  open.type = type;
  if (type == "kafka") {
    open.properties = map_of(given.parameters);
    open.properties.insert(given.secrets.begin(), given.secrets.end());
    return open;
  }
  const auto password = given.secrets.find("password");
  open.conninfo = conninfo_of(given.parameters,
                              password == given.secrets.end() ? "" : password->second, ca_file);
  open.database = text_of(given.parameters, "database");
  return open;
}

CertificateFiles::~CertificateFiles() {
  for (const auto& [id, file] : files_) ::close(file);
}

Result<std::string> CertificateFiles::path_of(const std::string& id, const std::string& pem) {
  const std::lock_guard lock(mutex_);
  auto found = files_.find(id);
  if (found == files_.end()) {
    const int file = ::memfd_create("sluice-ca-certificate", MFD_CLOEXEC);
    if (file < 0 || ::write(file, pem.data(), pem.size()) != static_cast<ssize_t>(pem.size())) {
      auto error =
          fail(Domain::kFile, std::to_string(errno),
               fmt::format("no file in memory for a certificate: {}", std::strerror(errno)),
               "Raise the process's limit of open files.");
      if (file >= 0) ::close(file);
      return error;
    }
    found = files_.emplace(id, file).first;
  }
  return fmt::format("/proc/self/fd/{}", found->second);
}

void CertificateFiles::drop(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto found = files_.find(id);
  if (found == files_.end()) return;
  ::close(found->second);
  files_.erase(found);
}

std::string in_words_of_connections(std::string text) {
  replace_all(text, " (special characters of a URI's password as %XX)", "");
  replace_all(text, ", best as ${env:NAME} or ${file:/path}", "");
  replace_all(text,
              "Set sslrootcert in target.postgres to the certificate authority's file (or "
              "sslrootcert=system where libpq is 16 or later)",
              "Set ca_certificate to the certificate of the server's authority");
  replace_all(text, "target.postgres", "the connection");
  replace_all(text, "Set ssl.ca.location to", "Set ssl.ca.pem to the certificate of");
  if (const auto at = text.find("/proc/self/fd/"); at != std::string::npos) {
    const auto end = text.find_first_not_of("0123456789", at + 14);
    text.replace(at, (end == std::string::npos ? text.size() : end) - at, "ca_certificate");
  }
  return text;
}

std::string kafka_properties_markdown() {
  std::string out = "| property | | secret |\n|---|---|---|\n";
  for (const auto& property : kProperties) {
    out += fmt::format("| `{}` | {} | {} |\n", property.name,
                       property.what.empty() ? "As librdkafka has it." : property.what,
                       property.secret ? "yes" : "");
  }
  return out;
}

}  // namespace sluice::control
