#include "control/connection_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "control/reach.h"
#include "kafka/admin.h"
#include "kafka/errors.h"
#include "postgres/catalog.h"
#include "postgres/connection.h"

namespace sluice::control {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::array kPostgresSteps = {"name",    "tcp",        "tls",   "login",
                                       "version", "privileges", "ledger"};
constexpr std::array kKafkaSteps = {"name", "tcp", "tls", "login", "cluster", "topics"};

std::int64_t since(steady_clock::time_point begun, steady_clock::time_point now) {
  return std::chrono::duration_cast<milliseconds>(now - begun).count();
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string identifier(std::string_view name) { return postgres::Connection::identifier(name); }

// One check under way: what every type's steps share.
class Check {
 public:
  Check(const Checked& checked, const std::function<void(CheckStep)>& report,
        const std::function<bool()>& stopped)
      : checked_(checked), report_(report), stopped_(stopped) {}
  virtual ~Check() = default;
  Check(const Check&) = delete;
  Check& operator=(const Check&) = delete;

  bool find_servers();
  bool reach_servers();
  // What was not reached.
  template <class Names>
  void skip_rest(const Names& names) {
    for (const char* name : names) {
      if (std::find(told_.begin(), told_.end(), name) != told_.end() || stopped_()) continue;
      tell({.step = name, .status = "skipped", .message = "not reached"});
    }
  }

 protected:
  void begin() { begun_ = steady_clock::now(); }
  void tell(CheckStep step) {
    told_.push_back(step.step);
    report_(std::move(step));
  }
  bool passed(std::string name, std::string message) {
    tell({std::move(name), "ok", since(begun_, steady_clock::now()), "", std::move(message)});
    return !stopped_();
  }
  bool warned(std::string name, std::string message, std::string remedy) {
    tell({std::move(name), "warning", since(begun_, steady_clock::now()), "", std::move(message),
          std::move(remedy)});
    return !stopped_();
  }
  bool failed(std::string name, const Error& error) {
    tell({std::move(name), "failed", since(begun_, steady_clock::now()), error.code, error.message,
          error.remedy});
    return false;
  }
  bool skipped(std::string name, std::string message) {
    tell({.step = std::move(name), .status = "skipped", .message = std::move(message)});
    return !stopped_();
  }

  const Checked& checked_;
  const std::function<void(CheckStep)>& report_;
  const std::function<bool()>& stopped_;
  steady_clock::time_point begun_;
  std::vector<std::string> told_;
  std::vector<std::vector<Address>> addresses_;  // of each server that has a name
};

bool Check::find_servers() {
  begin();
  std::string found;
  std::optional<Error> error;
  const auto share = kStepTime / static_cast<std::int64_t>(checked_.servers.size());
  for (const auto& server : checked_.servers) {
    auto addresses = resolve(server.host, server.port, share);
    if (!addresses) {
      error = addresses.error();
      continue;
    }
    found += fmt::format("{}{}", found.empty() ? "" : "; ", server.host);
    if (!addresses->empty() && addresses->front().text != server.host) {
      found += " is";
      for (const auto& address : *addresses) found += " " + address.text;
    }
    addresses_.push_back(std::move(*addresses));
  }
  if (addresses_.empty()) return failed("name", *error);
  if (error) return warned("name", fmt::format("{}; {}", found, error->message), error->remedy);
  return passed("name", std::move(found));
}

bool Check::reach_servers() {
  begin();
  std::string reached;
  std::optional<Error> error;
  const auto share = kStepTime / static_cast<std::int64_t>(addresses_.size());
  for (const auto& addresses : addresses_) {
    const auto at = try_tcp(addresses, share);
    if (!at) {
      error = at.error();
      continue;
    }
    reached += fmt::format("{}{} port {}", reached.empty() ? "" : "; ", addresses[*at].text,
                           addresses[*at].port);
  }
  if (reached.empty()) {
    if (error->code == "timeout" && !checked_.ranges.empty()) {
      error->remedy += fmt::format(
          " They must let in connections from Sluice's network; ranges "
          "in use: {}.",
          fmt::join(checked_.ranges, ", "));
    }
    return failed("tcp", *error);
  }
  if (error) return warned("tcp", fmt::format("{}; {}", reached, error->message), error->remedy);
  return passed("tcp", std::move(reached));
}

// ---- PostgreSQL ----

class PostgresCheck : public Check {
 public:
  using Check::Check;

  void run() {
    if (find_servers() && reach_servers() && log_in() && look_at_version() &&
        look_at_privileges()) {
      look_at_ledger();
    }
    skip_rest(kPostgresSteps);
  }

 private:
  bool log_in();
  bool tell_tls(const std::optional<Error>& error, std::int64_t took);
  bool look_at_version();
  bool look_at_privileges();
  void look_at_ledger();
  std::optional<postgres::Rows> ask(const std::string& step, std::string sql);

  postgres::Connection session_;
  std::string role_, database_;
};

// Whether a failed connect() failed in TLS, not before or after.
bool is_tls_failure(const Error& error) {
  return error.code == "connection" &&
         (contains(error.detail, "SSL") || contains(error.detail, "ertificate"));
}

// libpq does TLS and login in one go, and says when the first was done.
bool PostgresCheck::log_in() {
  begin();
  const auto opened = open_session(session_, checked_.open, "", kStepTime);
  const auto encrypted = session_.encrypted_at();
  std::optional<Error> error;
  if (!opened) error = opened.error();
  const auto ended = steady_clock::now();
  if (!tell_tls(error, since(begun_, encrypted.value_or(ended)))) return false;
  if (encrypted) begun_ = *encrypted;
  if (error) return failed("login", explain_postgres(*error, checked_.open, checked_.ranges));
  session_.set_deadline(steady_clock::now() + kStepTime);
  const auto who = ask("login", "SELECT current_user, pg_catalog.current_database()");
  if (!who) return false;
  role_ = who->text(0, 0);
  database_ = who->text(0, 1);
  return passed("login", fmt::format("as {} in database {}", role_, database_));
}

bool PostgresCheck::tell_tls(const std::optional<Error>& error, std::int64_t took) {
  const bool wanted = checked_.sslmode != "disable";
  const bool stood = session_.encrypted_at().has_value();
  if (!wanted) return skipped("tls", "sslmode is disable");
  if (error && !stood && is_tls_failure(*error)) {
    return failed("tls", explain_postgres(*error, checked_.open, checked_.ranges));
  }
  if (stood) {
    const auto encryption = session_.encryption();
    const std::string_view proof = checked_.sslmode == "verify-full" ? "certificate and name proved"
                                   : checked_.sslmode == "verify-ca" ? "certificate proved"
                                                                     : "certificate not looked at";
    tell({"tls", "ok", took, "",
          fmt::format("{}{}{}", encryption, encryption.empty() ? "" : "; ", proof)});
    return !stopped_();
  }
  if (error) return skipped("tls", "not reached, or the server offers none");
  tell({"tls", "warning", std::nullopt, "", "the server offers no TLS: what is sent can be read",
        "Switch ssl on in the server, and set sslmode to require or verify-full."});
  return !stopped_();
}

std::optional<postgres::Rows> PostgresCheck::ask(const std::string& step, std::string sql) {
  session_.set_deadline(steady_clock::now() + kStepTime);
  auto rows = session_.drive(session_.query_params(std::move(sql), {}));
  if (rows) return std::move(*rows);
  failed(step, rows.error());
  return std::nullopt;
}

bool PostgresCheck::look_at_version() {
  begin();
  const auto rows = ask("version", "SELECT pg_catalog.version()");
  if (!rows) return false;
  const std::string text(rows->text(0, 0));
  const std::string shown = text.substr(0, text.find(" on "));
  const int version = session_.server_version();
  const bool greenplum = contains(text, "Greenplum");
  if (version < 90400) {
    return failed("version", fail(Domain::kPostgres, "0A000", fmt::format("{} is too old", shown),
                                  "Sluice writes to PostgreSQL 9.4 and later.")
                                 .value());
  }
  if (checked_.open.type == "greenplum" && !greenplum) {
    return warned("version", fmt::format("{}: no Greenplum", shown),
                  "Make the connection with another type, or name the right server.");
  }
  if (version < 120000) {
    return warned("version", shown,
                  "Tasks need target.level: postgresql_9_4 here: no ON CONFLICT, one lane, and a "
                  "ledger for one task.");
  }
  return passed("version", shown);
}

bool PostgresCheck::look_at_privileges() {
  begin();
  const auto rows =
      ask("privileges",
          "SELECT pg_catalog.pg_is_in_recovery(),"
          " pg_catalog.current_setting('default_transaction_read_only') = 'on',"
          " pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),"
          " pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY'),"
          " (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)");
  if (!rows) return false;
  if (rows->boolean(0, 0)) {
    return failed("privileges", fail(Domain::kPostgres, "25006",
                                     "the server is a standby: it can be read, but not written to",
                                     "Name the primary.")
                                    .value());
  }
  if (rows->boolean(0, 1)) {
    return warned(
        "privileges", fmt::format("transactions of {} are read-only by default", role_),
        fmt::format("ALTER ROLE {} SET default_transaction_read_only = off;", identifier(role_)));
  }
  if (!rows->boolean(0, 3)) {
    return warned("privileges",
                  fmt::format("{} may not make temporary tables in {}: tasks that upsert need them",
                              role_, database_),
                  fmt::format("GRANT TEMPORARY ON DATABASE {} TO {};", identifier(database_),
                              identifier(role_)));
  }
  if (rows->boolean(0, 4)) {
    return warned("privileges", fmt::format("{} is a superuser: more than Sluice needs", role_),
                  "A role of its own, with rights on the target tables, is enough.");
  }
  return passed("privileges", fmt::format("{} may{} make schemas and may make temporary tables in "
                                          "{}",
                                          role_, rows->boolean(0, 2) ? "" : " not", database_));
}

void PostgresCheck::look_at_ledger() {
  begin();
  if (checked_.open.database.empty()) {
    skipped("ledger", "the connection names no database; each task's check looks at its own");
    return;
  }
  const auto schema = postgres::Connection::literal(checked_.ledger_schema);
  const auto rows = ask(
      "ledger",
      fmt::format(
          "SELECT n.oid IS NOT NULL,"
          " pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),"
          " coalesce(pg_catalog.has_schema_privilege(n.oid, 'USAGE'), false),"
          " coalesce(pg_catalog.has_schema_privilege(n.oid, 'CREATE'), false),"
          " EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relname ="
          " 'ledger'),"
          " (SELECT pg_catalog.bool_and(pg_catalog.has_table_privilege(c.oid, 'SELECT') AND"
          " pg_catalog.has_table_privilege(c.oid, 'INSERT')) FROM pg_catalog.pg_class c WHERE"
          " c.relnamespace = n.oid AND c.relname IN ('task', 'ledger', 'dead_letter', 'gap')),"
          " pg_catalog.pg_get_userbyid(n.nspowner)"
          " FROM (SELECT) AS one LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = {}",
          schema));
  if (!rows) return;
  const std::string quoted = identifier(checked_.ledger_schema), role = identifier(role_);
  if (!rows->boolean(0, 0)) {
    if (rows->boolean(0, 1)) {
      passed("ledger", fmt::format("schema {} will be made by the first task", quoted));
    } else {
      warned("ledger",
             fmt::format("there is no schema {} in {}, and {} may not make it", quoted, database_,
                         role_),
             fmt::format("As a role that may: CREATE SCHEMA {} AUTHORIZATION {};", quoted, role));
    }
  } else if (!rows->boolean(0, 2) || (!rows->boolean(0, 4) && !rows->boolean(0, 3))) {
    warned("ledger", fmt::format("{} may not use schema {} of {}", role_, quoted, rows->text(0, 6)),
           fmt::format("As {}: GRANT USAGE, CREATE ON SCHEMA {} TO {};",
                       identifier(rows->text(0, 6)), quoted, role));
  } else if (rows->boolean(0, 4) && !rows->boolean(0, 5)) {
    warned("ledger",
           fmt::format("{} lacks rights on the tables of schema {}, which belong to {}", role_,
                       quoted, rows->text(0, 6)),
           fmt::format("As {}: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {} TO "
                       "{};",
                       identifier(rows->text(0, 6)), quoted, role));
  } else {
    passed("ledger", rows->boolean(0, 4) ? fmt::format("schema {} is there", quoted)
                                         : fmt::format("schema {} is empty", quoted));
  }
}

// ---- Kafka ----

class KafkaCheck : public Check {
 public:
  using Check::Check;

  void run() {
    if (find_servers() && reach_servers() && connect()) look_at_topics();
    skip_rest(kKafkaSteps);
  }

 private:
  bool connect();
  void look_at_topics();

  std::unique_ptr<kafka::Admin> admin_;
};

bool is_tls(std::string_view protocol) { return protocol == "ssl" || protocol == "sasl_ssl"; }

// librdkafka does TLS, login and the first question in one go: a failure belongs to the step that
// its code names.
bool KafkaCheck::connect() {
  begin();
  const auto endpoint = kafka::endpoint_of(checked_.open.properties);
  const bool tls = is_tls(endpoint.protocol);
  const bool sasl = endpoint.protocol.starts_with("sasl_");
  auto admin = kafka::Admin::create(checked_.open.properties, "sluice-check");
  if (!admin) return failed(tls ? "tls" : "cluster", explain_kafka(admin.error()));
  admin_ = std::move(*admin);
  const auto cluster = admin_->cluster_id(kStepTime);
  const std::string code = cluster ? "" : cluster.error().code;
  const bool in_login = code == "_AUTHENTICATION" || contains(code, "SASL");
  const bool in_tls = code == "_SSL" || code == kafka::kProtocolMismatch;
  if (in_tls) return failed("tls", explain_kafka(cluster.error()));
  if (!tls) {
    skipped("tls", fmt::format("security.protocol is {}", endpoint.protocol));
  } else if (cluster || in_login) {
    tell({.step = "tls", .status = "ok", .message = "encrypted"});
  }
  if (in_login) return failed("login", explain_kafka(cluster.error()));
  if (!cluster) return failed("cluster", explain_kafka(cluster.error()));
  if (sasl) {
    tell({.step = "login", .status = "ok", .message = fmt::format("as {}", endpoint.user)});
  } else {
    skipped("login", fmt::format("security.protocol is {}", endpoint.protocol));
  }
  return passed("cluster",
                cluster->empty() ? "the cluster tells no id" : fmt::format("cluster {}", *cluster));
}

void KafkaCheck::look_at_topics() {
  begin();
  const auto topics = admin_->all_topics(kStepTime);
  if (!topics) {
    failed("topics", explain_kafka(topics.error()));
    return;
  }
  const auto own = std::count_if(topics->begin(), topics->end(), [](const kafka::TopicInfo& topic) {
    return !topic.name.starts_with("__");
  });
  if (own == 0) {
    warned("topics", "no topic can be seen",
           "Create one, or allow the user to describe those there are (an ACL for Describe and "
           "Read).");
  } else {
    passed("topics", fmt::format("{} topic{} can be seen", own, own == 1 ? "" : "s"));
  }
}

}  // namespace

boost::json::object json_of(const CheckStep& step) {
  boost::json::object object{{"step", step.step}, {"status", step.status}};
  if (step.milliseconds) {
    object["milliseconds"] = *step.milliseconds;
  } else {
    object["milliseconds"] = nullptr;
  }
  object["message"] = step.message;
  if (!step.code.empty()) object["code"] = step.code;
  if (!step.remedy.empty()) object["remedy"] = step.remedy;
  return object;
}

void check_connection(const Checked& checked, const std::function<void(CheckStep)>& report,
                      const std::function<bool()>& stopped) {
  if (checked.open.type == "kafka") {
    KafkaCheck(checked, report, stopped).run();
  } else {
    PostgresCheck(checked, report, stopped).run();
  }
}

std::string_view hint_of(std::string_view type) {
  if (type == "warehouse_postgresql") {
    return " In a cloud data warehouse the administrator adds such entries to the allowlist of the "
           "role, in the warehouse's console.";
  }
  if (type == "tdsql_postgresql" || type == "tdsql_c_postgresql") {
    return " In a cloud database this is set by the security group and the account's allowed "
           "hosts, "
           "in its console.";
  }
  if (type == "greenplum") {
    return " In Greenplum this is the coordinator's pg_hba.conf; gpstop -u loads it anew.";
  }
  return "";
}

std::string with_database(const OpenConnection& open, const std::string& database) {
  const auto& name = !database.empty()        ? database
                     : !open.database.empty() ? open.database
                                              : std::string("postgres");
  std::string quoted;
  for (const char c : name) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return fmt::format("{} dbname='{}'", open.conninfo, quoted);
}

Result<bool> open_session(postgres::Connection& session, const OpenConnection& open,
                          const std::string& database, milliseconds time) {
  // Time to find out what else listens there, when it did not answer as PostgreSQL does.
  constexpr milliseconds kToProbe{2000};
  session.set_deadline(steady_clock::now() + time + kToProbe);
  return session.drive(session.connect(with_database(open, database), "sluice look", time));
}

Error explain_postgres(const Error& error, const OpenConnection& open,
                       const std::vector<std::string>& ranges) {
  const auto endpoint = postgres::endpoint_of(with_database(open, ""));
  if (!endpoint) return error;
  auto explained = postgres::explain_connection_failure(error, *endpoint, ranges);
  const bool hba = contains(explained.message, "pg_hba.conf");
  explained.message = in_words_of_connections(std::move(explained.message));
  explained.remedy = in_words_of_connections(std::move(explained.remedy));
  if (hba) explained.remedy += hint_of(open.type);
  return explained;
}

Error explain_kafka(Error error) {
  error.message = in_words_of_connections(std::move(error.message));
  error.remedy = in_words_of_connections(std::move(error.remedy));
  return error;
}

}  // namespace sluice::control
