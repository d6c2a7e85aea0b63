// What a failed connect() means. libpq's and the server's texts are those of PostgreSQL 12 to 18; a
// server that speaks another language is understood by its SQLSTATE and source function.
#include <fmt/args.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "postgres/catalog.h"
#include "postgres/connection_impl.h"
#include "postgres/sqlstate.h"

namespace sluice::postgres {
namespace {

struct Rule {
  std::string_view code;  // SQLSTATE or its class, "connection", "timeout"
  std::string_view text;  // what stands in the detail; empty: anything
  bool environment;
  std::string_view message;  // {at} {host} {port} {user} {database} {sslmode} {said}
  std::string_view remedy;
};

constexpr std::string_view kOtherProtocol =
    "Check host and port in target.postgres: is this the port of another service (Kafka, HTTP, "
    "another "
    "database)? PostgreSQL's is 5432 unless somebody chose another.";
constexpr std::string_view kNotASpeaker = "what listens at {at} is not a PostgreSQL server: {said}";
constexpr std::string_view kAskAdmin =
    "Set user and password in target.postgres, or let the server's administrator change the "
    "pg_hba.conf line that asks for this way of logging in (scram-sha-256 asks for a password).";
constexpr std::string_view kTrust =
    "Set sslrootcert in target.postgres to the certificate authority's file (or sslrootcert=system "
    "where libpq is 16 or later), or sslmode=require to encrypt without checking whom one talks "
    "to.";
constexpr std::string_view kWrongRole =
    "PostgreSQL at {at} is not the kind of server that target_session_attrs asks for: {said}";
constexpr std::string_view kSetting =
    "PostgreSQL at {at} refuses a setting that the connection string makes: {said}";
constexpr std::string_view kSettingRemedy = "Correct or remove it in target.postgres.";
constexpr std::string_view kWaits = "The server ends this by itself; if not, look at its log.";

// The first that fits counts: specific texts before whole codes, codes before classes.
constexpr Rule kRules[] = {
    // ---- the server's answers ----
    {"28P01", "", false, "PostgreSQL at {at} refused the password of the user \"{user}\"",
     "Check user and password in target.postgres (special characters of a URI's password as %XX). "
     "The "
     "server says the same of a role that does not exist, that has no password, or whose password "
     "has "
     "expired."},
    {"28000", "is not permitted to log in", false,
     "PostgreSQL at {at}: the role \"{user}\" may not log in",
     "Let an administrator run: ALTER ROLE {role} LOGIN; or name another user in target.postgres."},
    {"28000", "Peer authentication failed", false,
     "PostgreSQL at {at} refused the user \"{user}\": over this socket it lets in operating-system "
     "users of the same name only (peer)",
     "Connect over TCP (host=127.0.0.1) with a password, run Sluice as that operating-system user, "
     "or "
     "change the pg_hba.conf line from peer to scram-sha-256."},
    {"28000", "Ident authentication failed", false,
     "PostgreSQL at {at} refused the user \"{user}\": pg_hba.conf asks an ident server who we are",
     kAskAdmin},
    {"28000", "valid client certificate", false,
     "PostgreSQL at {at} wants a client certificate of the user \"{user}\"",
     "Set sslcert and sslkey in target.postgres to a certificate that the server's authority "
     "signed."},
    {"28000", "ertificate authentication failed", false,
     "PostgreSQL at {at} refused the client certificate for the user \"{user}\"",
     "The certificate's common name must be the user's name, or pg_ident.conf must map it."},
    {"28000", "does not exist", false, "PostgreSQL at {at}: the role \"{user}\" does not exist",
     "Correct the user in target.postgres, or let an administrator run: CREATE ROLE {role} LOGIN "
     "PASSWORD '...';"},
    {"28000", "authentication failed", false,
     "PostgreSQL at {at} refused to let the user \"{user}\" log in", kAskAdmin},
    {"28000", "InitializeSessionUserId", false,
     "PostgreSQL at {at}: the role \"{user}\" does not exist or may not log in",
     "Correct the user in target.postgres, or let an administrator create the role with LOGIN."},
    {"28", "", false, "PostgreSQL at {at} refused to let the user \"{user}\" log in", kAskAdmin},
    {"3D000", "", false, "PostgreSQL at {at} has no database \"{database}\"",
     "Correct the database in target.postgres (psql -l lists what there is), or create it: CREATE "
     "DATABASE {database_name};"},
    {"42501", "to set parameter", false, kSetting, kSettingRemedy},
    {"42501", "", false,
     "PostgreSQL at {at}: the user \"{user}\" may not connect to the database \"{database}\"",
     "Let an administrator run: GRANT CONNECT ON DATABASE {database_name} TO {role};"},
    {"55000", "", false, "PostgreSQL at {at}: the database \"{database}\" accepts no connections",
     "Name another database, or let an administrator run: ALTER DATABASE {database_name} "
     "ALLOW_CONNECTIONS true;"},
    {"42704", "", false, kSetting, kSettingRemedy},
    {"22", "", false, kSetting, kSettingRemedy},
    {"F0000", "", false, "PostgreSQL at {at} has a mistake in its configuration: {said}",
     "Correct it at the server (its log says more), or connect in another way (sslmode, user)."},
    {"53300", "for role", true,
     "PostgreSQL at {at}: the role \"{user}\" has as many connections as it may have",
     "Close others, or raise it: ALTER ROLE {role} CONNECTION LIMIT n;"},
    {"53300", "for database", true,
     "PostgreSQL at {at}: the database \"{database}\" has as many connections as it may have",
     "Close others, or raise it: ALTER DATABASE {database_name} CONNECTION LIMIT n;"},
    {"53300", "", true, "PostgreSQL at {at} has too many connections",
     "Close connections that nobody needs (pg_stat_activity), use a pooler, or raise "
     "max_connections."},
    {"57P03", "starting up", true, "PostgreSQL at {at} is starting up", kWaits},
    {"57P03", "shutting down", true, "PostgreSQL at {at} is shutting down", "Start it again."},
    {"57P03", "recovery", true, "PostgreSQL at {at} is recovering after a crash", kWaits},
    {"57P03", "", true, "PostgreSQL at {at} does not accept connections now",
     "A standby without hot_standby never does: name the primary in target.postgres."},
    {"08P01", "no such database", false, "the pooler at {at} knows no database \"{database}\"",
     "Correct the database in target.postgres, or add it to the pooler's [databases]."},
    {"08P01", "no such user", false, "the pooler at {at} knows no user \"{user}\"",
     "Correct the user in target.postgres, or add it to the pooler's auth_file."},
    {"08P01", "startup parameter", false,
     "the pooler at {at} refuses a setting that the connection string makes",
     "Take `options` and other settings out of target.postgres, or name them in the pooler's "
     "ignore_startup_parameters."},
    {"08", "", true, "PostgreSQL at {at} broke off the login: {state}", kWaits},
    {"53", "", true, "PostgreSQL at {at} lacks resources: {state}",
     "Look at the server's log, memory and disks."},
    {"57", "", true, "PostgreSQL at {at} ended the login: {state}", kWaits},
    {"58", "", true, "PostgreSQL at {at} has trouble with its system: {state}",
     "Look at the server's log and disks."},
    // ---- libpq's own ----
    {"connection", kNotPostgres, false,
     "what listens at {at} is not a PostgreSQL server: it does not speak its protocol",
     kOtherProtocol},
    {"connection", "invalid response to SSL negotiation", false, kNotASpeaker, kOtherProtocol},
    {"connection", "invalid response to GSSAPI negotiation", false, kNotASpeaker, kOtherProtocol},
    {"connection", "expected authentication request from server", false, kNotASpeaker,
     kOtherProtocol},
    {"connection", "wrong version number", false, kNotASpeaker, kOtherProtocol},
    {"connection", "server does not support SSL", false,
     "PostgreSQL at {at} does not offer TLS, and sslmode={sslmode} asks for it",
     "Switch TLS on at the server (ssl = on with a certificate), or, where the network is trusted, "
     "set "
     "sslmode=prefer in target.postgres."},
    {"connection", "does not match host name", false,
     "the certificate of PostgreSQL at {at} is for another host name: {said}",
     "Write the host as the certificate names it, or set sslmode=verify-ca to check the authority "
     "only."},
    {"connection", "root certificate file", false,
     "the certificate of PostgreSQL at {at} cannot be checked: {said}", kTrust},
    {"connection", "certificate verify failed", false,
     "the certificate of PostgreSQL at {at} is not signed by an authority that we trust: {said}",
     kTrust},
    {"connection", "private key file", false, "the client's key for {at} cannot be used: {said}",
     "Correct sslkey in target.postgres; the file must be readable by its owner alone (chmod "
     "600)."},
    {"connection", "certificate file", false,
     "the client's certificate for {at} cannot be used: {said}",
     "Correct sslcert in target.postgres."},
    {"connection", "alert certificate required", false,
     "PostgreSQL at {at} wants a client certificate: {said}",
     "Set sslcert and sslkey in target.postgres."},
    {"connection", "SSL SYSCALL error", true, "the TLS connection to {at} broke off: {said}",
     "Look at the server's log, and at what stands between."},
    {"connection", "SSL error", false, "TLS with PostgreSQL at {at} failed: {said}",
     "Compare the TLS settings of both sides (ssl_min_protocol_version, certificates); the "
     "server's log "
     "says more."},
    {"connection", "no password supplied", false,
     "PostgreSQL at {at} asks for a password of the user \"{user}\", and none is given",
     "Add the password to target.postgres, best as ${{env:NAME}} or ${{file:/path}}."},
    {"connection", "Temporary failure in name resolution", true,
     "the host name of {at} cannot be resolved now", "Check the network and the DNS servers."},
    {"connection", "could not translate host name", false,
     "the host name of {at} is not known: {said}", "Correct the host in target.postgres."},
    {"connection", "could not parse network address", false,
     "hostaddr of {at} is not an address: {said}", "Correct hostaddr in target.postgres."},
    {"connection", "read-only", true, kWrongRole,
     "Check which server is the primary, and target_session_attrs in target.postgres."},
    {"connection", "hot standby mode", true, kWrongRole,
     "Check which server is the primary, and target_session_attrs in target.postgres."},
    {"connection", "authentication", false,
     "the way of logging in that PostgreSQL at {at} asks for is not possible: {said}", kAskAdmin},
    {"connection", "channel binding", false,
     "PostgreSQL at {at} cannot bind the login to TLS: {said}",
     "Set channel_binding=prefer in target.postgres, or connect with TLS."},
    {"connection", "Unix-domain socket path", false,
     "the socket folder of {at} cannot be used: {said}", "Correct the host in target.postgres."},
    {"connection", "invalid port number", false, "{said}",
     "Write a number from 1 to 65535 as the port in target.postgres."},
    {"connection", "could not match", false, "{said}",
     "Give host, hostaddr and port in target.postgres the same number of entries."},
    {"connection", "definition of service", false, "{said}",
     "Correct service in target.postgres, or add it to pg_service.conf."},
    {"connection", "service file", false, "{said}", "Correct servicefile in target.postgres."},
    {"connection", "invalid sslmode value", false, "{said}",
     "Allowed are disable, allow, prefer, require, verify-ca and verify-full."},
    {"connection", " value: \"", false,
     "the connection string has a value that libpq does not take: {said}",
     "Correct it in target.postgres."},
    {"connection", "on that socket", true,
     "nothing listens on the socket in {host} for port {port}: {said}",
     "Start PostgreSQL, or name the folder of its socket (SHOW unix_socket_directories) or a host "
     "in "
     "target.postgres."},
    {"connection", "Permission denied", false, "{at} may not be reached: {said}",
     "Check the permissions of the socket and its folder, and the firewall."},
    {"connection", "Connection refused", true,
     "nothing listens at {at}: the connection was refused",
     "Start PostgreSQL, check host and port in target.postgres, and whether the server listens to "
     "addresses other than its own (listen_addresses)."},
    {"connection", "No route to host", true, "{at} cannot be reached: no route to host",
     "Check the host in target.postgres, the network and the firewalls."},
    {"connection", "Network is unreachable", true, "{at} cannot be reached: network is unreachable",
     "Check the host in target.postgres, the network and the firewalls."},
    {"connection", "timed out", true, "{at} does not answer",
     "Check the host in target.postgres, the network and the firewalls (one that drops packets "
     "looks "
     "like this)."},
    {"connection", "server closed the connection", true,
     "{at} accepted the connection and closed it without an answer",
     "A server that is being restarted or a load balancer without a server behind it does this; if "
     "it "
     "stays, check host and port in target.postgres."},
    {"connection", "", true, "cannot connect to PostgreSQL at {at}: {said}",
     "Check target.postgres, the network and the server's log."},
    {"timeout", kNotPostgres, false,
     "what listens at {at} is not a PostgreSQL server: it does not speak its protocol",
     kOtherProtocol},
    {"timeout", "no TCP connection", true,
     "{at} does not answer: no TCP connection within the time-out",
     "Check the host in target.postgres, the network and the firewalls (one that drops packets "
     "looks "
     "like this)."},
    {"timeout", "", true, "{at} takes connections, but did not answer within the time-out",
     "The server may be overloaded or frozen, or another service has this port: check host and "
     "port in "
     "target.postgres."},
    // ---- everything else that a server may answer ----
    {"", "", false, "PostgreSQL at {at} refused the connection: {state}",
     "The server's log says more."},
};

const Rule& rule_for(const Error& error) {
  const auto* found = std::find_if(std::begin(kRules), std::end(kRules), [&](const Rule& rule) {
    return error.code.starts_with(rule.code) &&
           (error.detail.find(rule.text) != std::string::npos ||
            error.source_function == rule.text);
  });
  SLUICE_CHECK(found != std::end(kRules));  // the last one fits everything
  return *found;
}

std::vector<std::string_view> lines_of(std::string_view detail) {
  std::vector<std::string_view> lines;
  if (detail.starts_with("MESSAGE: ")) detail.remove_prefix(9);
  while (!detail.empty()) {
    auto line = detail.substr(0, std::min(detail.find('\n'), detail.size()));
    detail.remove_prefix(std::min(line.size() + 1, detail.size()));
    if (line.starts_with('\t')) line.remove_prefix(1);  // append_detail's
    lines.push_back(line);
  }
  return lines;
}

// The line of libpq's text that `text` stands in (or the one it continues), or the first, without
// what every line begins with.
std::string said(const Error& error, std::string_view text) {
  std::string_view chosen;
  std::string_view begun;
  for (const auto line : lines_of(error.detail)) {
    if (!line.starts_with('\t')) begun = line;
    if (chosen.empty()) chosen = begun;
    const bool meant =
        text.empty() ? answer_code(line) == error.code : line.find(text) != std::string_view::npos;
    if (meant) {
      chosen = begun;
      break;
    }
  }
  if (const auto prefix = chosen.find(" failed: ");
      chosen.starts_with("connection to server") && prefix != std::string_view::npos) {
    chosen.remove_prefix(prefix + 9);
  }
  if (const auto code = answer_code(chosen); !code.empty()) {
    chosen.remove_prefix(static_cast<std::size_t>(code.data() - chosen.data()) + code.size() + 2);
  }
  return std::string(chosen);
}

// ---- pg_hba.conf ----

std::string_view between(std::string_view text, std::string_view before, std::string_view after) {
  const auto from = text.find(before);
  if (from == std::string_view::npos) return {};
  text.remove_prefix(from + before.size());
  const auto to = text.find(after);
  return to == std::string_view::npos ? std::string_view{} : text.substr(0, to);
}

// A name as pg_hba.conf wants it: quoted if it has a meaning there or could be split.
std::string in_hba(const std::string& name) {
  static constexpr std::string_view kWords[] = {"all", "sameuser", "samerole", "samegroup",
                                                "replication"};
  const bool plain = !name.empty() && name.find_first_not_of(
                                          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                          "0123456789_-.") == std::string::npos;
  const bool word = std::find(std::begin(kWords), std::end(kWords), name) != std::end(kWords);
  return plain && !word ? name : Connection::identifier(name);
}

struct HbaRefusal {
  bool rejected = false;  // by a line that says so, not for want of one
  std::string host;       // as the server saw us; "[local]"; empty if it did not say
  bool tried_tls = false;
  bool tried_plain = false;
};

HbaRefusal read_hba_refusal(const Error& error) {
  const auto has = [&](std::string_view text) {
    return error.detail.find(text) != std::string::npos;
  };
  HbaRefusal refusal;
  refusal.rejected = has("pg_hba.conf rejects");
  refusal.host = between(
      error.detail,
      refusal.rejected ? "rejects connection for host \"" : "pg_hba.conf entry for host \"", "\"");
  refusal.tried_tls = has("SSL encryption") || has("SSL on");
  refusal.tried_plain = has("no encryption") || has("SSL off");
  return refusal;
}

std::string tls_advice(const HbaRefusal& refusal, const std::string& sslmode) {
  if (refusal.host == "[local]") return {};
  if (refusal.tried_tls && refusal.tried_plain) {
    return " TLS would not help: it was tried with and without.";
  }
  if (refusal.tried_tls) return " TLS is in use already: that is not the reason.";
  if (sslmode == "disable") {
    return " TLS may help: sslmode=disable forbids it, and the server may have hostssl lines; try "
           "sslmode=require.";
  }
  if (refusal.tried_plain) return " TLS would not help: the server does not offer it.";
  return {};
}

std::string hba_address(std::string host) {
  if (host.empty()) return "<address of this machine>/32";
  host = host.substr(0, host.find('%'));  // an IPv6 zone
  return host + (host.find(':') == std::string::npos ? "/32" : "/128");
}

void explain_hba(Error& explained, const Endpoint& endpoint,
                 const std::vector<std::string>& ranges) {
  const HbaRefusal refusal = read_hba_refusal(explained);
  const bool local = refusal.host == "[local]";
  const auto line = [&](std::string_view address) {
    const auto who = fmt::format("{} {}", in_hba(endpoint.database), in_hba(endpoint.user));
    if (local) return fmt::format("\"local {} scram-sha-256\"", who);
    return fmt::format("\"{} {} {} scram-sha-256\"", refusal.tried_tls ? "hostssl" : "host", who,
                       address);
  };
  const std::string_view state = local ? ""
                                 : refusal.tried_tls && refusal.tried_plain
                                     ? ", neither with TLS nor without"
                                 : refusal.tried_tls   ? ", with TLS"
                                 : refusal.tried_plain ? ", without TLS"
                                                       : "";
  explained.message = fmt::format(
      "PostgreSQL at {}:{} {} host \"{}\", user \"{}\", database \"{}\"{}", endpoint.host,
      endpoint.port,
      refusal.rejected ? "has a pg_hba.conf line that rejects" : "has no pg_hba.conf entry for",
      refusal.host.empty() ? "of this machine" : refusal.host, endpoint.user, endpoint.database,
      state);
  explained.remedy =
      fmt::format("{} {}",
                  refusal.rejected ? "Put above the rejecting line of the server's pg_hba.conf:"
                                   : "Add to the server's pg_hba.conf:",
                  line(hba_address(refusal.host)));
  if (!local && !ranges.empty()) {
    std::vector<std::string> lines;
    for (const auto& range : ranges) lines.push_back(line(range));
    explained.remedy += fmt::format(", or for all the networks that connections may come from: {}",
                                    fmt::join(lines, ", "));
  }
  explained.remedy +=
      "; then run SELECT pg_reload_conf() there." + tls_advice(refusal, endpoint.sslmode);
}

bool is_hba_refusal(const Error& error) {
  if (error.code != "28000") return false;
  // With TLS and without, pg_hba.conf may have refused one attempt, and something later the other.
  const bool named = error.detail.find("pg_hba.conf") != std::string::npos;
  for (const auto line : lines_of(error.detail)) {
    const bool beyond = line.find("pg_hba.conf") == std::string_view::npos;
    if (named && beyond && !answer_code(line).empty()) return false;
  }
  const auto has = [&](std::string_view text) {
    return error.detail.find(text) != std::string::npos;
  };
  if (has("no pg_hba.conf entry for host") || has("pg_hba.conf rejects connection")) return true;
  // In another language: the function that looks lines up, unless it asks for a certificate.
  return error.source_function == "ClientAuthentication" && !has("certificate") &&
         !has("authentication failed");
}

}  // namespace

Error explain_connection_failure(const Error& error, const Endpoint& endpoint,
                                 const std::vector<std::string>& ranges) {
  if (error.domain != Domain::kPostgres) return error;
  Error explained = error;
  if (is_hba_refusal(error)) {
    explain_hba(explained, endpoint, ranges);
    return explained;
  }
  const Rule& rule = rule_for(error);
  const bool socket = endpoint.host.starts_with('/') || endpoint.host.starts_with('@');
  const std::string at = socket ? fmt::format("{} (port {})", endpoint.host, endpoint.port)
                                : fmt::format("{}:{}", endpoint.host, endpoint.port);
  const std::string state = fmt::format("{} {}", error.code, condition_name(error.code));
  const std::string own_words = said(error, rule.text);
  const std::string role = Connection::identifier(endpoint.user);
  const std::string database_name = Connection::identifier(endpoint.database);
  fmt::dynamic_format_arg_store<fmt::format_context> arguments;
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, std::string_view>>{
           {"at", at},
           {"host", endpoint.host},
           {"port", endpoint.port},
           {"user", endpoint.user},
           {"database", endpoint.database},
           {"sslmode", endpoint.sslmode},
           {"said", own_words},
           {"state", state},
           {"role", role},
           {"database_name", database_name}}) {
    arguments.push_back(fmt::arg(name, value));
  }
  explained.message = fmt::vformat(rule.message, arguments);
  explained.remedy = fmt::vformat(rule.remedy, arguments);
  const auto file = between(error.detail, "password retrieved from file \"", "\"");
  if (!file.empty()) explained.remedy += fmt::format(" The password came from the file {}.", file);
  return explained;
}

bool is_environment_failure(const Error& error) {
  return error.domain == Domain::kPostgres && rule_for(error).environment;
}

}  // namespace sluice::postgres
