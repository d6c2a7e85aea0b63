// The texts are those of libpq 15 (with PQERRORS_VERBOSE) and of servers 12 to 18, as met on real
// ones.
#include <gtest/gtest.h>

#include "base/nearest.h"
#include "postgres/catalog.h"
#include "postgres/connection_impl.h"
#include "postgres/missing_table.h"

namespace sluice::postgres {
namespace {

const std::string kAt = "connection to server at \"10.0.0.9\", port 5432 failed: ";

Error failure(std::string code, const std::string& said, std::string source_function = {}) {
  Error error;
  error.domain = Domain::kPostgres;
  error.code = std::move(code);
  error.message = "as connect() says it";
  error.source_function = std::move(source_function);
  append_detail(error.detail, "MESSAGE", said.c_str());
  return error;
}

Endpoint endpoint(std::string sslmode = "prefer") {
  return {"10.0.0.9", "5432", "shop", "sluice", std::move(sslmode)};
}

std::string hba(const std::string& encryption, const std::string& host = "10.1.2.3") {
  return kAt + "FATAL:  28000: no pg_hba.conf entry for host \"" + host +
         "\", user \"sluice\", database \"shop\", " + encryption +
         "\nLOCATION:  ClientAuthentication, auth.c:544\n";
}

bool holds(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST(ExplainHba, NamesHostLineRangesAndTls) {
  const auto error = explain_connection_failure(
      failure("28000", hba("SSL encryption") + hba("no encryption"), "ClientAuthentication"),
      endpoint(), {"9.0.0.0/8", "30.0.0.0/8"});
  EXPECT_TRUE(holds(error.message,
                    "host \"10.1.2.3\", user \"sluice\", database \"shop\", neither with TLS"))
      << error.message;
  EXPECT_TRUE(holds(error.remedy, "\"hostssl shop sluice 10.1.2.3/32 scram-sha-256\""))
      << error.remedy;
  EXPECT_TRUE(holds(error.remedy, "\"hostssl shop sluice 9.0.0.0/8 scram-sha-256\""));
  EXPECT_TRUE(holds(error.remedy, "\"hostssl shop sluice 30.0.0.0/8 scram-sha-256\""));
  EXPECT_TRUE(holds(error.remedy, "TLS would not help"));
  EXPECT_EQ(error.code, "28000");
  EXPECT_FALSE(is_environment_failure(error));
}

TEST(ExplainHba, WhetherTlsWouldHelp) {
  const auto remedy = [](const std::string& said, const std::string& sslmode) {
    return explain_connection_failure(failure("28000", said), endpoint(sslmode), {}).remedy;
  };
  EXPECT_TRUE(holds(remedy(hba("no encryption"), "disable"), "TLS may help"));
  EXPECT_TRUE(holds(remedy(hba("SSL off"), "disable"), "TLS may help"));  // server 13
  EXPECT_TRUE(holds(remedy(hba("no encryption"), "prefer"), "the server does not offer it"));
  EXPECT_TRUE(holds(remedy(hba("SSL encryption"), "require"), "TLS is in use already"));
  EXPECT_TRUE(holds(remedy(hba("no encryption"), "disable"), "\"host shop sluice 10.1.2.3/32"));
}

TEST(ExplainHba, AddressesAndNamesAsTheFileWantsThem) {
  const auto remedy = [](const std::string& host, Endpoint to) {
    return explain_connection_failure(failure("28000", hba("no encryption", host)), to,
                                      {"9.0.0.0/8"})
        .remedy;
  };
  EXPECT_TRUE(holds(remedy("fe80::1%eth0", endpoint()), " fe80::1/128 "));
  EXPECT_TRUE(holds(remedy("[local]", endpoint()), "\"local shop sluice scram-sha-256\""));
  EXPECT_FALSE(holds(remedy("[local]", endpoint()), "9.0.0.0/8"));
  Endpoint odd = endpoint();
  odd.database = "replication";
  odd.user = "my user";
  EXPECT_TRUE(holds(remedy("10.1.2.3", odd), "host \"replication\" \"my user\" 10.1.2.3/32"));
}

TEST(ExplainHba, ARejectingLine) {
  const auto error = explain_connection_failure(
      failure("28000",
              kAt + "FATAL:  28000: pg_hba.conf rejects connection for host \"10.1.2.3\", user "
                    "\"sluice\", database \"shop\", no encryption\n"),
      endpoint("disable"), {});
  EXPECT_TRUE(holds(error.message, "rejects host \"10.1.2.3\"")) << error.message;
  EXPECT_TRUE(holds(error.remedy, "above the rejecting line"));
}

TEST(ExplainHba, InAnotherLanguage) {
  const auto error = explain_connection_failure(
      failure("28000",
              kAt + "FATAL:  28000: kein pg_hba.conf-Eintrag f\u00fcr Host \u00bb10.1.2.3\u00ab\n",
              "ClientAuthentication"),
      endpoint(), {});
  EXPECT_TRUE(holds(error.message, "no pg_hba.conf entry")) << error.message;
  EXPECT_TRUE(holds(error.remedy, "<address of this machine>/32"));
}

TEST(ExplainHba, AnAnswerFromBeyondItCountsMore) {
  const auto error = explain_connection_failure(
      failure("28000",
              hba("SSL encryption") + kAt + "FATAL:  28000: role \"sluice\" does not exist\n"),
      endpoint(), {});
  EXPECT_EQ(error.message, "PostgreSQL at 10.0.0.9:5432: the role \"sluice\" does not exist");
}

struct Case {
  const char* code;
  std::string said;
  bool environment;
  const char* message;  // a part of it
  const char* remedy;   // a part of it
};

TEST(Explain, EveryKnownFailure) {
  const Case cases[] = {
      {"28P01", "FATAL:  28P01: password authentication failed for user \"sluice\"", false,
       "refused the password of the user \"sluice\"", "target.postgres"},
      {"28000", "FATAL:  28000: role \"sluice\" does not exist", false,
       "role \"sluice\" does not exist", "CREATE ROLE \"sluice\""},
      {"28000", "FATAL:  28000: role \"sluice\" is not permitted to log in", false,
       "may not log in", "ALTER ROLE \"sluice\" LOGIN"},
      {"28000", "FATAL:  28000: Peer authentication failed for user \"sluice\"", false, "(peer)",
       "TCP"},
      {"28000", "FATAL:  28000: Ident authentication failed for user \"sluice\"", false,
       "ident server", "pg_hba.conf"},
      {"28000", "FATAL:  28000: connection requires a valid client certificate", false,
       "client certificate", "sslcert"},
      {"3D000", "FATAL:  3D000: database \"shop\" does not exist", false, "no database \"shop\"",
       "CREATE DATABASE \"shop\""},
      {"42501", "FATAL:  42501: permission denied for database \"shop\"", false, "may not connect",
       "GRANT CONNECT ON DATABASE \"shop\" TO \"sluice\""},
      {"42501", "FATAL:  42501: permission denied to set parameter \"log_statement\"", false,
       "permission denied to set parameter \"log_statement\"", "target.postgres"},
      {"55000", "FATAL:  55000: database \"shop\" is not currently accepting connections", false,
       "accepts no connections", "ALLOW_CONNECTIONS"},
      {"53300", "FATAL:  53300: sorry, too many clients already", true, "too many connections",
       "max_connections"},
      {"53300",
       "FATAL:  53300: remaining connection slots are reserved for non-replication superuser "
       "connections",
       true, "too many connections", "max_connections"},
      {"53300", "FATAL:  53300: too many connections for role \"sluice\"", true,
       "the role \"sluice\"", "CONNECTION LIMIT"},
      {"57P03", "FATAL:  57P03: the database system is starting up", true, "starting up", ""},
      {"57P03", "FATAL:  57P03: the database system is shutting down", true, "shutting down",
       "Start"},
      {"57P03", "FATAL:  57P03: the database system is in recovery mode", true, "recovering", ""},
      {"57P03", "FATAL:  57P03: the database system is not accepting connections", true,
       "does not accept connections now", "standby"},
      {"57P01", "FATAL:  57P01: terminating connection due to administrator command", true,
       "57P01 admin_shutdown", ""},
      {"08P01", "FATAL:  08P01: unsupported startup parameter: options", false, "pooler",
       "ignore_startup_parameters"},
      {"connection", "server does not support SSL, but SSL was required", false,
       "does not offer TLS", "ssl = on"},
      {"connection", "SSL error: certificate verify failed", false, "not signed by an authority",
       "sslrootcert"},
      {"connection", "server certificate for \"pg.example\" does not match host name \"10.0.0.9\"",
       false, "for another host name", "verify-ca"},
      {"connection", "root certificate file \"/r/root.crt\" does not exist", false,
       "cannot be checked", "sslrootcert"},
      {"connection", "SSL error: tlsv1 alert protocol version", false, "TLS with PostgreSQL",
       "both sides"},
      {"connection", "fe_sendauth: no password supplied", false, "none is given", "${env:NAME}"},
      {"connection",
       "Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?",
       true, "nothing listens at 10.0.0.9:5432", "listen_addresses"},
      {"connection",
       "No such file or directory\n\tIs the server running locally and accepting connections on "
       "that "
       "socket?",
       true, "No such file or directory", "unix_socket_directories"},
      {"connection", "could not translate host name \"x\" to address: Name or service not known",
       false, "not known", "host"},
      {"connection",
       "could not translate host name \"x\" to address: Temporary failure in name resolution", true,
       "cannot be resolved now", "DNS"},
      {"connection", "No route to host", true, "no route", "firewalls"},
      {"connection", "Connection timed out", true, "does not answer", "firewalls"},
      {"connection", "received invalid response to SSL negotiation: H", false,
       "not a PostgreSQL server", "Kafka"},
      {"connection", "expected authentication request from server, but received H", false,
       "not a PostgreSQL server", "Kafka"},
      {"connection",
       "server closed the connection unexpectedly\n\tThis probably means the server terminated "
       "abnormally",
       true, "closed it without an answer", "load balancer"},
      {"connection",
       "server closed the connection unexpectedly\n" + std::string(kNotPostgres) + ": 1", false,
       "does not speak its protocol", "Kafka"},
      {"connection", "session is read-only", true, "target_session_attrs", "primary"},
      {"connection", "something that nobody has met", true, "something that nobody has met", "log"},
      {"timeout", "timeout expired (no TCP connection came about)", true, "no TCP connection",
       "firewalls"},
      {"timeout", "timeout expired (the TCP connection is there, nothing answers)", true,
       "takes connections", "frozen"},
      {"timeout", "timeout expired\n" + std::string(kNotPostgres) + ": 1", false,
       "does not speak its protocol", "Kafka"},
      {"XX000", "FATAL:  XX000: what", false, "XX000 internal_error", "log"},
  };
  for (const auto& known : cases) {
    const Error raw = failure(known.code, kAt + known.said + "\n");
    const Error error = explain_connection_failure(raw, endpoint("require"), {"9.0.0.0/8"});
    EXPECT_TRUE(holds(error.message, known.message)) << known.said << "\n" << error.message;
    EXPECT_TRUE(holds(error.remedy, known.remedy)) << known.said << "\n" << error.remedy;
    EXPECT_EQ(error.code, known.code);
    EXPECT_EQ(error.detail, raw.detail);
    EXPECT_EQ(is_environment_failure(raw), known.environment) << known.said;
    EXPECT_EQ(is_environment_failure(error), known.environment) << known.said;
    EXPECT_EQ(error.message.find('{'), std::string::npos) << error.message;
    EXPECT_EQ(error.message.find('\n'), std::string::npos) << error.message;
  }
}

TEST(Explain, BracesInNamesAreLeftAlone) {
  Endpoint odd = endpoint();
  odd.user = "{at}{0}";
  const auto error = explain_connection_failure(failure("28P01", "FATAL:  28P01: no"), odd, {});
  EXPECT_TRUE(holds(error.message, "\"{at}{0}\""));
}

TEST(Explain, TellsWhereThePasswordCameFrom) {
  const auto error = explain_connection_failure(
      failure("28P01",
              kAt + "FATAL:  28P01: password authentication failed for user \"sluice\"\npassword "
                    "retrieved from file \"/etc/shop/pgpass\"\n"),
      endpoint(), {});
  EXPECT_TRUE(holds(error.remedy, "/etc/shop/pgpass"));
}

TEST(Explain, ErrorsOfOthersComeBackAsTheyAre) {
  Error error;
  error.domain = Domain::kDocument;
  error.message = "m";
  EXPECT_EQ(explain_connection_failure(error, endpoint(), {}).message, "m");
  EXPECT_FALSE(is_environment_failure(error));
}

// ---- a table that does not exist ----

SearchedPlace place(bool schema_exists) { return {"shop", "public", schema_exists}; }

TEST(MissingTable, NearestNamesFirstAndAtMostThree) {
  const std::vector<Candidate> candidates = {{{"archive", "orders"}, false},
                                             {{"public", "order"}, true},
                                             {{"public", "ordered"}, true},
                                             {{"public", "orders_2"}, true},
                                             {{"public", "customers"}, true}};
  const auto error = missing_table({"public", "orderss"}, place(true), candidates);
  EXPECT_EQ(error.code, "42P01");
  EXPECT_EQ(error.message,
            "the table \"public\".\"orderss\" does not exist in the database \"shop\"");
  EXPECT_EQ(error.remedy, "Did you mean public.order or public.ordered or public.orders_2?");
}

TEST(MissingTable, AnotherCase) {
  const auto error = missing_table({"", "Orders"}, place(false), {{{"public", "orders"}, true}});
  EXPECT_TRUE(holds(error.message, "search_path: public"));
  EXPECT_TRUE(holds(error.remedy, "Did you mean public.orders?"));
  EXPECT_TRUE(holds(error.remedy, "matched exactly"));
}

TEST(MissingTable, TheSchemaIsMissingToo) {
  const auto error =
      missing_table({"pubic", "orders"}, place(false), {{{"public", "orders"}, true}});
  EXPECT_TRUE(holds(error.message, "nor does the schema \"pubic\""));
  EXPECT_EQ(error.remedy, "Did you mean public.orders?");
}

TEST(MissingTable, NamesWithDotsAreQuotedAsADocumentNeedsThem) {
  const auto error = missing_table({"public", "t.2"}, place(true), {{{"public", "t.1"}, true}});
  EXPECT_TRUE(holds(error.remedy, "public.\"t.1\"")) << error.remedy;
}

TEST(MissingTable, NothingNear) {
  const auto error =
      missing_table({"public", "orders"}, place(true), {{{"public", "users"}, true}});
  EXPECT_TRUE(holds(error.remedy, "Create the table"));
}

}  // namespace
}  // namespace sluice::postgres
