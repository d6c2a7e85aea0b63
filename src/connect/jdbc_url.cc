#include "connect/jdbc_url.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/hex.h"

namespace sluice::connect {
namespace {

constexpr std::string_view kPrefix = "jdbc:postgresql:";

// As java.net.URLDecoder: + is a space.
std::string decoded(std::string_view encoded) {
  std::string text(encoded);
  std::replace(text.begin(), text.end(), '+', ' ');
  return percent_decoded(text);
}

template <std::size_t N>
bool is_one_of(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Has its meaning inside of the driver, or is Sluice's own business.
constexpr auto kDriversOwn = std::to_array<std::string_view>({"reWriteBatchedInserts",
                                                              "stringtype",
                                                              "prepareThreshold",
                                                              "preparedStatementCacheQueries",
                                                              "preparedStatementCacheSizeMiB",
                                                              "defaultRowFetchSize",
                                                              "adaptiveFetch",
                                                              "adaptiveFetchMinimum",
                                                              "adaptiveFetchMaximum",
                                                              "binaryTransfer",
                                                              "binaryTransferEnable",
                                                              "binaryTransferDisable",
                                                              "autosave",
                                                              "cleanupSavepoints",
                                                              "logUnclosedConnections",
                                                              "loggerLevel",
                                                              "loggerFile",
                                                              "logServerErrorDetail",
                                                              "disableColumnSanitiser",
                                                              "assumeMinServerVersion",
                                                              "unknownLength",
                                                              "receiveBufferSize",
                                                              "sendBufferSize",
                                                              "maxResultBuffer",
                                                              "maxSendBufferSize",
                                                              "allowEncodingChanges",
                                                              "databaseMetadataCacheFields",
                                                              "databaseMetadataCacheFieldsMiB",
                                                              "escapeSyntaxCallMode",
                                                              "groupStartupParameters",
                                                              "hostRecheckSeconds",
                                                              "preferQueryMode",
                                                              "queryTimeout",
                                                              "quoteReturningIdentifiers",
                                                              "readOnlyMode",
                                                              "protocolVersion",
                                                              "tcpNoDelay",
                                                              "xmlFactoryFactory",
                                                              "cancelSignalTimeout",
                                                              "sslResponseTimeout",
                                                              "gssResponseTimeout",
                                                              "hideUnprivilegedObjects",
                                                              "socketTimeout",
                                                              "convertBooleanToNumeric",
                                                              "ApplicationName",
                                                              "compatible",
                                                              "classLoaderStrategy",
                                                              "pemKeyAlgorithm",
                                                              "loginTimeout"});
constexpr auto kNotInLibpq = std::to_array<std::string_view>({"socketFactory",
                                                              "socketFactoryArg",
                                                              "sslfactory",
                                                              "sslfactoryarg",
                                                              "sslhostnameverifier",
                                                              "sslpasswordcallback",
                                                              "authenticationPluginClassName",
                                                              "useSpnego",
                                                              "sspiServiceClass",
                                                              "jaasApplicationName",
                                                              "jaasLogin",
                                                              "gssLib",
                                                              "gsslib",
                                                              "localSocketAddress",
                                                              "loadBalanceHosts",
                                                              "readOnly",
                                                              "replication",
                                                              "service",
                                                              "sslNegotiation",
                                                              "requireAuth",
                                                              "channelBindingPolicy",
                                                              "PGHOST",
                                                              "PGPORT",
                                                              "PGDBNAME",
                                                              "gssUseDefaultCreds",
                                                              "allowUnrestrictedClassNames"});
constexpr auto kRenamed = std::to_array<std::pair<std::string_view, std::string_view>>(
    {{"sslmode", "sslmode"},
     {"sslrootcert", "sslrootcert"},
     {"sslcert", "sslcert"},
     {"connectTimeout", "connect_timeout"},
     {"channelBinding", "channel_binding"},
     {"gssEncMode", "gssencmode"},
     {"kerberosServerName", "krbsrvname"}});
constexpr auto kSessions = std::to_array<std::pair<std::string_view, std::string_view>>(
    {{"any", "any"},
     {"primary", "primary"},
     {"master", "primary"},
     {"secondary", "standby"},
     {"slave", "standby"},
     {"preferSecondary", "prefer-standby"},
     {"preferSlave", "prefer-standby"}});

std::string_view in(const auto& table, std::string_view name) {
  for (const auto& [from, to] : table) {
    if (from == name) return to;
  }
  return {};
}

std::string without_spaces_meaning(std::string_view text) {  // for libpq's options
  std::string out;
  for (const char c : text) {
    if (c == ' ' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

Result<JdbcUrl> parse_jdbc_url(std::string_view url) {
  if (!url.starts_with(kPrefix)) {
    std::string_view scheme = url.starts_with("jdbc:") ? url.substr(5) : std::string_view();
    scheme = scheme.substr(0, scheme.find(':'));
    const bool word = !scheme.empty() && scheme.size() <= 20 &&
                      std::all_of(scheme.begin(), scheme.end(), [](char c) {
                        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
                      });
    return fail(Domain::kDocument, "connection.url",
                word ? fmt::format("connection.url is a JDBC URL of {}, not of PostgreSQL", scheme)
                     : std::string("connection.url is no JDBC URL of PostgreSQL"),
                "Sluice writes to PostgreSQL: jdbc:postgresql://HOST:5432/DATABASE.");
  }
  JdbcUrl parsed;
  std::string_view rest = url.substr(kPrefix.size());
  const std::size_t query = std::min(rest.find('?'), rest.size());
  std::string_view place = rest.substr(0, query);
  rest.remove_prefix(std::min(query + 1, rest.size()));
  if (place.starts_with("//")) {
    place.remove_prefix(2);
    const std::size_t slash = std::min(place.find('/', place.rfind('@') + 1), place.size());
    parsed.hosts = place.substr(0, slash);
    place.remove_prefix(slash);
    if (const std::size_t at = parsed.hosts.rfind('@'); at != std::string::npos) {
      parsed.hosts.erase(0, at + 1);
      parsed.had_user_info = true;
    }
  }
  while (place.starts_with('/')) place.remove_prefix(1);
  parsed.database = place;
  if (parsed.hosts.empty()) parsed.hosts = "localhost";  // the driver's; libpq's is a socket
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view part = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (part.empty()) continue;
    const std::size_t equals = std::min(part.find('='), part.size());
    parsed.parameters.emplace_back(decoded(part.substr(0, equals)),
                                   decoded(part.substr(std::min(equals + 1, part.size()))));
  }
  return parsed;
}

void take_parameter(std::string_view name, std::string_view value, std::string_view called,
                    std::map<std::string, std::string>& libpq, Report& report) {
  const std::string property(called);
  const auto take = [&](const std::string& to, std::string text) {
    libpq[to] = std::move(text);
    report.taken(property, fmt::format("{} in target.postgres", to));
  };
  if (name == "ssl") {
    if (value == "false") return report.not_needed(property, "the default");
    if (libpq.contains("sslmode")) return report.not_needed(property, "sslmode says it");
    return take("sslmode", "verify-full");
  }
  if (name == "sslfactory" && value == "org.postgresql.ssl.NonValidatingFactory") {
    return take("sslmode", "require");
  }
  if (name == "sslkey") {
    take("sslkey", std::string(value));
    report.lines().back().text += "; libpq reads PEM, not the driver's PKCS-8 DER or PKCS-12";
    return;
  }
  if (name == "sslpassword") {
    take("sslpassword", "${env:SLUICE_PG_SSLPASSWORD}");
    report.lines().back().text += " as ${env:SLUICE_PG_SSLPASSWORD}";
    return;
  }
  if (name == "currentSchema" || name == "options") {
    std::string& options = libpq["options"];
    const std::string more = name == "options"
                                 ? std::string(value)
                                 : fmt::format("-c search_path={}", without_spaces_meaning(value));
    options += (options.empty() ? "" : " ") + more;
    return report.taken(property, "options in target.postgres");
  }
  if (name == "targetServerType") {
    const std::string_view to = in(kSessions, value);
    if (!to.empty()) return take("target_session_attrs", std::string(to));
    return report.not_supported(property,
                                "libpq has no such choice; target_session_attrs is the nearest");
  }
  if (name == "tcpKeepAlive") {
    if (value != "false") return report.not_needed(property, "libpq's default");
    return take("keepalives", "0");
  }
  if (const std::string_view to = in(kRenamed, name); !to.empty()) {
    return take(std::string(to), std::string(value));
  }
  if (is_one_of(kDriversOwn, name)) {
    return report.not_needed(property, "about the inside of the driver for Java");
  }
  if (is_one_of(kNotInLibpq, name)) {
    return report.not_supported(
        property, "libpq has nothing like it; see its connection parameters for target.postgres");
  }
  report.add(Fate::kUnknown, property, "no parameter of the PostgreSQL driver for Java (42.7)");
}

std::string percent_encoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (text.substr(i).starts_with("${env:") && text.find('}', i) != std::string_view::npos) {
      const std::size_t end = text.find('}', i);
      out += text.substr(i, end - i + 1);
      i = end;
      continue;
    }
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace sluice::connect
