// What of `postgres` needs no server: quoting, connection strings, the state machine of a wait
// against a socket of our own.
#include "postgres/connection.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <rapidcheck.h>
#include <sys/socket.h>
#include <unistd.h>

#include "postgres/connection_impl.h"
#include "postgres/conninfo.h"
#include "postgres/sqlstate.h"

namespace sluice::postgres {
namespace {

using namespace std::chrono_literals;

// ---- quoting ----

TEST(Quoting, Literals) {
  EXPECT_EQ(Connection::literal(""), "''");
  EXPECT_EQ(Connection::literal("it's"), "'it''s'");
  EXPECT_EQ(Connection::literal("a\\b"), "E'a\\\\b'");
  EXPECT_EQ(Connection::literal("\\'; drop"), "E'\\\\''; drop'");
  EXPECT_EQ(Connection::literal("\"$1\n"), "'\"$1\n'");
}

TEST(Quoting, Identifiers) {
  EXPECT_EQ(Connection::identifier("Order"), "\"Order\"");
  EXPECT_EQ(Connection::identifier("a\"b"), "\"a\"\"b\"");
  EXPECT_EQ(Connection::identifier("a\\b'c.d"), "\"a\\b'c.d\"");
}

// What PostgreSQL's scanner makes of a literal (both forms); nullopt if it does not end at the end.
std::optional<std::string> scan(std::string_view text) {
  const bool escapes = text.starts_with('E');
  if (escapes) text.remove_prefix(1);
  if (!text.starts_with('\'')) return std::nullopt;
  std::string content;
  for (std::size_t at = 1; at < text.size(); ++at) {
    if (text[at] == '\'') {
      if (at + 1 == text.size()) return content;
      if (text[++at] != '\'') return std::nullopt;
    } else if (text[at] == '\\' && !escapes) {
      return std::nullopt;  // would depend on standard_conforming_strings
    } else if (text[at] == '\\' && ++at == text.size()) {
      return std::nullopt;
    }
    content += text[at];
  }
  return std::nullopt;
}

TEST(Quoting, AnyTextComesBackFromALiteral) {
  rc::check([] {
    const auto text = *rc::gen::container<std::string>(
        rc::gen::oneOf(rc::gen::elementOf(std::string("'\\\"E$;-")), rc::gen::arbitrary<char>()));
    RC_ASSERT(scan(Connection::literal(text)) == text);
  });
}

// ---- connection strings ----

TEST(EndpointOf, UriAndKeywords) {
  const auto uri = endpoint_of("postgresql://sluice:s3cret@db.example:6432/shop?sslmode=require");
  ASSERT_TRUE(uri.has_value());
  EXPECT_EQ(uri->host, "db.example");
  EXPECT_EQ(uri->port, "6432");
  EXPECT_EQ(uri->database, "shop");
  EXPECT_EQ(uri->user, "sluice");
  EXPECT_EQ(uri->sslmode, "require");
  const auto keywords = endpoint_of("host=a,b port=1,2 dbname='my shop' user=u password='x y'");
  ASSERT_TRUE(keywords.has_value());
  EXPECT_EQ(keywords->host, "a,b");
  EXPECT_EQ(keywords->port, "1,2");
  EXPECT_EQ(keywords->database, "my shop");
}

TEST(EndpointOf, Defaults) {
  for (const char* variable :
       {"PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGSSLMODE", "PGSERVICE"}) {
    unsetenv(variable);
  }
  const auto endpoint = endpoint_of("user=u");
  ASSERT_TRUE(endpoint.has_value());
  EXPECT_EQ(endpoint->port, "5432");
  EXPECT_EQ(endpoint->database, "u");
  EXPECT_EQ(endpoint->sslmode, "prefer");
  EXPECT_TRUE(endpoint->host.starts_with('/')) << endpoint->host;
  EXPECT_EQ(endpoint_of("hostaddr=10.0.0.1 user=u")->host, "10.0.0.1");
  EXPECT_EQ(endpoint_of("service=shop user=u")->host, "service shop");
}

TEST(EndpointOf, WhatCannotBeReadNeverShowsThePassword) {
  for (const std::string conninfo :
       {"password = s3cret s3cret2 host=1", "password='s3cret", "s3cret=1",
        "postgresql://u:s3cret%zz@h/x", "postgresql://u:x/s3cret@h/x", "postgresql://u:s3cret/db",
        "postgresql://u:p@[s3cret/db", "postgresql://u:p@[::1]s3cret/db",
        "postgresql://u:a?b/s3cret@h/x", "postgresql://h/x?b=s3cret=1", "postgresql://h/x?s3cret=1",
        "s3cret"}) {
    const auto endpoint = endpoint_of(conninfo);
    ASSERT_FALSE(endpoint.has_value()) << conninfo;
    const Error& error = endpoint.error();
    EXPECT_EQ(error.domain, Domain::kDocument);
    EXPECT_EQ(error.code, "target.postgres");
    EXPECT_FALSE(error.remedy.empty());
    EXPECT_EQ((error.message + error.remedy + error.detail).find("s3cret"), std::string::npos)
        << error.message << error.remedy;
  }
  EXPECT_FALSE(endpoint_of(std::string_view("host=a\0b", 8)).has_value());
}

TEST(EndpointOf, ANearKeywordIsSuggested) {
  const auto endpoint = endpoint_of("pasword=s3cret");
  ASSERT_FALSE(endpoint.has_value());
  EXPECT_NE(endpoint.error().message.find("'pasword'"), std::string::npos);
  EXPECT_NE(endpoint.error().remedy.find("'password'"), std::string::npos);
  EXPECT_NE(endpoint_of("port=banana").error().message.find("'banana'"), std::string::npos);
}

std::string value(const Parameters& parameters, std::string_view keyword) {
  for (const auto& parameter : parameters) {
    if (parameter.keyword == keyword) return parameter.value;
  }
  return "(none)";
}

TEST(RemoveHost, TakesOneOutOfEveryList) {
  auto parameters = *parse_conninfo("host=a,b,a port=1,2,3 hostaddr=1.1.1.1,2.2.2.2,3.3.3.3");
  EXPECT_EQ(host_count(parameters), 3);
  EXPECT_TRUE(remove_host(parameters, "a", "3"));
  EXPECT_EQ(value(parameters, "host"), "a,b");
  EXPECT_EQ(value(parameters, "port"), "1,2");
  EXPECT_EQ(value(parameters, "hostaddr"), "1.1.1.1,2.2.2.2");
  EXPECT_FALSE(remove_host(parameters, "nobody", "1"));
  EXPECT_TRUE(remove_host(parameters, "a", "1"));
  EXPECT_EQ(value(parameters, "host"), "b");
  EXPECT_FALSE(remove_host(parameters, "b", "2"));  // the only one left
}

TEST(RemoveHost, OnePortForAllAndAddressesWithoutNames) {
  auto parameters = *parse_conninfo("hostaddr=1.1.1.1,2.2.2.2 port=5433");
  EXPECT_TRUE(remove_host(parameters, "2.2.2.2", "5433"));
  EXPECT_EQ(value(parameters, "hostaddr"), "1.1.1.1");
  EXPECT_EQ(value(parameters, "port"), "5433");
  EXPECT_EQ(value(parameters, "host"), "(none)");
}

// ---- errors ----

TEST(ConnectTimeoutOf, SecondsForEachHost) {
  const auto seconds = [](std::string_view conninfo) {
    const auto timeout = connect_timeout_of(*parse_conninfo(conninfo));
    return timeout ? static_cast<int>(timeout->count()) : 0;
  };
  EXPECT_EQ(seconds("host=a connect_timeout=5"), 5);
  EXPECT_EQ(seconds("postgresql://a,b,c/?connect_timeout=5"), 15);
  EXPECT_EQ(seconds("host=a connect_timeout=1"), 2) << "as libpq has it";
  EXPECT_EQ(seconds("host=a connect_timeout=0"), 0) << "for ever: the caller's limit";
  EXPECT_EQ(seconds("host=a connect_timeout=-1"), 0);
  EXPECT_EQ(seconds("host=a"), 0);
}

TEST(ConditionName, CodesAndClasses) {
  EXPECT_EQ(condition_name("23505"), "unique_violation");
  EXPECT_EQ(condition_name("08000"), "connection_exception");
  EXPECT_EQ(condition_name("XX000"), "internal_error");
  EXPECT_EQ(condition_name("23ABC"), "integrity_constraint_violation");
  EXPECT_EQ(condition_name("ZZ999"), "unknown");
  EXPECT_EQ(condition_name(""), "unknown");
}

TEST(CopyColumn, ReadFromTheContext) {
  EXPECT_EQ(copy_column("COPY t, line 3, column id: \"x\""), "id");
  EXPECT_EQ(copy_column("COPY t, line 3, column a b: null input"), "a b");
  EXPECT_EQ(copy_column("COPY t, line 3, column id"), "id");
  EXPECT_EQ(copy_column("COPY a, line x, line 12, column c: \"v, line 1, column d\""), "c");
  EXPECT_EQ(copy_column("COPY t, line 3"), "");
  EXPECT_EQ(copy_column("COPY t, line 3: \"1, column c\""), "");
  EXPECT_EQ(copy_column("SQL statement \"x\"\nCOPY t, line 3, column id: \"x\""), "");
  EXPECT_EQ(copy_column(""), "");
}

TEST(AnswerCode, InAnyLanguage) {
  EXPECT_EQ(answer_code("connection to server at \"h\", port 1 failed: FATAL:  28P01: password"),
            "28P01");
  EXPECT_EQ(answer_code("FATAL:  3D000: Datenbank \u00bbx\u00ab existiert nicht"), "3D000");
  EXPECT_EQ(answer_code("connection to server at \"h\", port 1 failed: Connection refused"), "");
  EXPECT_EQ(answer_code("FATAL:  no code here"), "");
}

TEST(AppendDetail, FurtherLinesAreIndented) {
  std::string detail;
  append_detail(detail, "MESSAGE", "one\ntwo\n");
  append_detail(detail, "HINT", nullptr);
  append_detail(detail, "CONTEXT", "three");
  EXPECT_EQ(detail, "MESSAGE: one\n\ttwo\nCONTEXT: three\n");
}

// ---- a wait ----

// Accepts connections in the kernel's backlog and never says a word: a frozen server.
class SilentServer {
 public:
  SilentServer() : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    SLUICE_CHECK(bind(fd_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    SLUICE_CHECK(listen(fd_, 8) == 0);
    SLUICE_CHECK(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
  }
  SilentServer(const SilentServer&) = delete;
  SilentServer& operator=(const SilentServer&) = delete;
  ~SilentServer() { ::close(fd_); }
  std::string conninfo() const {
    return "host=127.0.0.1 user=u dbname=d gssencmode=disable password=s3cret port=" +
           std::to_string(port_);
  }

 private:
  int fd_;
  int port_ = 0;
};

TEST(Connecting, ASilentServerEndsInATimeout) {
  const SilentServer server;
  Connection connection;
  auto connected = connection.drive(connection.connect(server.conninfo(), "test", 200ms));
  ASSERT_FALSE(connected.has_value());
  EXPECT_EQ(connected.error().code, "timeout");
  EXPECT_EQ((connected.error().message + connected.error().detail).find("s3cret"),
            std::string::npos);
  EXPECT_FALSE(connection.is_open());
  EXPECT_EQ(connection.fd(), -1);
  EXPECT_EQ(connection.wanted_events(), 0);
  EXPECT_FALSE(connection.deadline().has_value());
}

TEST(Connecting, TheStringsOwnTimeoutCounts) {
  const SilentServer server;
  Connection connection;
  const auto start = std::chrono::steady_clock::now();
  auto connected =
      connection.drive(connection.connect(server.conninfo() + " connect_timeout=2", "test", 60s));
  ASSERT_FALSE(connected.has_value());
  EXPECT_EQ(connected.error().code, "timeout");
  EXPECT_LT(std::chrono::steady_clock::now() - start, 20s);
}

TEST(Connecting, TheOwnersDeadlineCounts) {
  const SilentServer server;
  Connection connection;
  connection.set_deadline(std::chrono::steady_clock::now() + 100ms);
  auto connected = connection.drive(connection.connect(server.conninfo(), "test", 60s));
  ASSERT_FALSE(connected.has_value());
  EXPECT_EQ(connected.error().code, "timeout");
}

TEST(Connecting, ASuspendedOperationCanBeDestroyed) {
  const SilentServer server;
  Connection connection;
  auto connecting = connection.connect(server.conninfo(), "test", 60s);
  connecting.start();
  ASSERT_FALSE(connecting.done());
  EXPECT_NE(connection.wanted_events(), 0);
  EXPECT_TRUE(connection.deadline().has_value());
  connecting.reset();
  EXPECT_EQ(connection.wanted_events(), 0);
  EXPECT_EQ(connection.fd(), -1);
  connection.on_ready(1);  // nobody waits
  auto again = connection.connect(server.conninfo(), "test", 60s);
  again.start();
  EXPECT_FALSE(again.done());
}

TEST(Connecting, CloseEndsASuspendedOperationAtTheNextLook) {
  const SilentServer server;
  Connection connection;
  auto connecting = connection.connect(server.conninfo(), "test", 60s);
  connecting.start();
  connection.close();
  EXPECT_FALSE(connecting.done());
  connection.on_ready(0);
  ASSERT_TRUE(connecting.done());
  EXPECT_EQ(connecting.take().error().code, "connection");
}

TEST(Connecting, AnOperationMayOutliveItsConnection) {
  const SilentServer server;
  Async<Result<bool>> connecting;
  {
    Connection connection;
    connecting = connection.connect(server.conninfo(), "test", 60s);
    connecting.start();
    const Connection moved = std::move(connection);
    EXPECT_NE(moved.wanted_events(), 0);
  }
  EXPECT_FALSE(connecting.done());
}

TEST(Connecting, RefusedByTheKernel) {
  std::string conninfo;
  {
    const SilentServer server;
    conninfo = server.conninfo();
  }
  Connection connection;
  auto connected = connection.drive(connection.connect(conninfo, "test", 5s));
  ASSERT_FALSE(connected.has_value());
  EXPECT_EQ(connected.error().code, "connection");
  EXPECT_NE(connected.error().message.find("Connection refused"), std::string::npos);
}

TEST(Statements, NeedAnOpenConnection) {
  Connection connection;
  EXPECT_EQ(connection.drive(connection.query("SELECT 1")).error().code, "connection");
  EXPECT_EQ(connection.drive(connection.query_params("SELECT 1", {})).error().code, "connection");
  EXPECT_EQ(connection.drive(connection.copy_in("COPY t FROM STDIN", {})).error().code,
            "connection");
}

}  // namespace
}  // namespace sluice::postgres
