// What a connection takes and becomes; what needs no server.
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fstream>
#include <sstream>

#include "control/connection_check.h"
#include "control/connection_parameters.h"
#include "control/reach.h"
#include "postgres/connection.h"

namespace sluice::control {
namespace {

using boost::json::object;

object body_of(std::string_view text) { return boost::json::parse(text).get_object(); }

// "path: message" of everything that is wrong.
std::vector<std::string> mistakes(std::string_view type, std::string_view text) {
  const object body = body_of(text);
  Body reader(body);
  read_parameters(reader, type);
  std::vector<std::string> found;
  for (const auto& problem : reader.problems()) {
    found.push_back(problem.path + ": " + problem.message);
  }
  return found;
}

ConnectionParameters read(std::string_view type, std::string_view text) {
  const object body = body_of(text);
  Body reader(body);
  auto given = read_parameters(reader, type);
  const auto good = reader.finish();
  EXPECT_TRUE(good) << good.error().detail;
  return given;
}

bool has(const std::vector<std::string>& all, std::string_view begin) {
  return std::any_of(all.begin(), all.end(),
                     [&](const std::string& one) { return one.starts_with(begin); });
}

constexpr std::string_view kPostgres =
    R"({"parameters": {"host": "db1, db2", "user": "o'hara"}, "secrets": {"password": "p' \\w"}})";
constexpr std::string_view kKafka = R"({"parameters": {"properties": {
    "bootstrap.servers": "k1:9092,[::1]:9093", "security.protocol": "sasl_ssl",
    "sasl.mechanisms": "PLAIN", "sasl.username": "u"}}, "secrets": {"sasl.password": "pw"}})";

TEST(Parameters, FillDefaultsAndKeepSecretsApart) {
  const auto given = read("postgresql", kPostgres);
  EXPECT_EQ("db1,db2", given.parameters.at("host").get_string());
  EXPECT_EQ(5432, given.parameters.at("port").get_int64());
  EXPECT_EQ("prefer", given.parameters.at("sslmode").get_string());
  EXPECT_TRUE(given.parameters.at("database").is_null());
  EXPECT_EQ(std::string::npos, boost::json::serialize(given.parameters).find("\\w"));
  EXPECT_EQ((Secrets{{"password", "p' \\w"}}), given.secrets);
  EXPECT_EQ(given.secrets, read_secrets(write_secrets(given.secrets)));
}

TEST(Parameters, ConninfoQuotesAndNamesNoFileOfOurs) {
  const auto open = open_with("postgresql", read("postgresql", kPostgres), "/proc/self/fd/9");
  EXPECT_NE(std::string::npos, open.conninfo.find("user='o\\'hara'"));
  EXPECT_NE(std::string::npos, open.conninfo.find("password='p\\' \\\\w'"));
  EXPECT_NE(std::string::npos, open.conninfo.find("sslcert='/nonexistent"));
  EXPECT_NE(std::string::npos, open.conninfo.find("sslkey='/nonexistent"));
  EXPECT_NE(std::string::npos, open.conninfo.find("target_session_attrs='read-write'"));
  const auto endpoint = postgres::endpoint_of(with_database(open, "a'b"));
  ASSERT_TRUE(endpoint);
  EXPECT_EQ("a'b", endpoint->database);
  EXPECT_EQ("o'hara", endpoint->user);
  EXPECT_EQ("db1,db2", endpoint->host);
}

TEST(Parameters, EachPostgresFieldIsJudged) {
  const auto all = mistakes("postgresql",
                            R"({"parameters": {"host": "/var/run", "port": 0, "user": "",
      "sslmode": "allow", "ca_certificate": "x", "connect_timeout": 1, "pooler": "session",
      "database": "a\u0000b", "service": "x", "options": "-c x"}, "secrets": {"passfile": "x"}})");
  for (const auto* path :
       {"parameters.host: ", "parameters.port: ", "parameters.user: ", "parameters.sslmode: ",
        "parameters.ca_certificate: ", "parameters.connect_timeout: ", "parameters.pooler: ",
        "parameters.database: ", "parameters.service: is not known",
        "parameters.options: is not known", "secrets.password: is required",
        "secrets.passfile: is not known"}) {
    EXPECT_TRUE(has(all, path)) << path;
  }
  EXPECT_TRUE(has(mistakes("greenplum", "{}"), "parameters: is required"));
  EXPECT_TRUE(has(mistakes("postgresql", R"({"parameters": {"host": "h", "user": "u",
      "sslmode": "verify-full"}, "secrets": {"password": "x"}})"),
                  "parameters.ca_certificate: is required"));
  for (const auto* host : {"@socket", "a b", "a,,b", "a=b", "h'"}) {
    const object parameters{{"host", host}, {"user", "u"}};
    const object body{{"parameters", parameters}, {"secrets", {{"password", "x"}}}};
    EXPECT_TRUE(has(mistakes("postgresql", boost::json::serialize(body)), "parameters.host: "))
        << host;
  }
}

// Nothing that reads a file, loads code, runs a command or asks another server.
TEST(Parameters, KafkaTakesTheListOnly) {
  for (const auto* name :
       {"ssl.ca.location", "ssl.key.location", "ssl.certificate.location", "ssl.keystore.location",
        "ssl.crl.location", "plugin.library.paths", "ssl.providers", "ssl.engine.location",
        "sasl.kerberos.kinit.cmd", "sasl.kerberos.keytab", "sasl.oauthbearer.config",
        "sasl.oauthbearer.token.endpoint.url", "sasl.oauthbearer.assertion.file", "debug",
        "group.id", "no.such", "queued.max.messages.kbytes", "sasl.password", "ssl.key.pem"}) {
    const object properties{{"bootstrap.servers", "k:9092"}, {name, "x"}};
    const object body{{"parameters", {{"properties", properties}}}};
    EXPECT_TRUE(has(mistakes("kafka", boost::json::serialize(body)),
                    std::string("parameters.properties.") + name + ": "))
        << name;
  }
  EXPECT_TRUE(has(mistakes("kafka", R"({"parameters": {"properties": {
      "bootstrap.servers": "k:9092", "security.protocol": "sasl_plaintext"}}})"),
                  "parameters.properties.sasl.mechanisms: is required"));
  for (const auto* mechanism : {"GSSAPI", "OAUTHBEARER", "plain"}) {
    const object properties{{"bootstrap.servers", "k:9092"}, {"sasl.mechanism", mechanism}};
    const object body{{"parameters", {{"properties", properties}}}};
    EXPECT_TRUE(has(mistakes("kafka", boost::json::serialize(body)),
                    "parameters.properties.sasl.mechanism: takes one of"));
  }
  EXPECT_TRUE(has(mistakes("kafka", R"({"parameters": {"properties": {
      "bootstrap.servers": "k:9092", "fetch.min.bytes": "many"}}})"),
                  "parameters.properties.fetch.min.bytes: "));
  EXPECT_TRUE(has(mistakes("kafka", R"({"parameters": {"properties": {
      "bootstrap.servers": "k:99999"}}})"),
                  "parameters.properties.bootstrap.servers: "));
  EXPECT_TRUE(has(mistakes("kafka", R"({"parameters": {"properties": {
      "bootstrap.servers": "k:1", "ssl.certificate.pem": "c"}}})"),
                  "secrets.ssl.key.pem: is required"));
}

TEST(Parameters, KafkaPropertiesComeTogether) {
  const auto given = read("kafka", kKafka);
  EXPECT_EQ(std::string::npos, boost::json::serialize(given.parameters).find("pw"));
  const auto open = open_with("kafka", given, "");
  EXPECT_EQ("pw", open.properties.at("sasl.password"));
  EXPECT_EQ("sasl_ssl", open.properties.at("security.protocol"));
  const auto servers = servers_of("kafka", given.parameters);
  ASSERT_EQ(2U, servers.size());
  EXPECT_EQ("::1", servers[1].host);
  EXPECT_EQ("9093", servers[1].port);
}

TEST(Change, MovesNothingButTheLogin) {
  const auto before = read("postgresql", kPostgres);
  const auto change = [&](std::string_view text, std::vector<std::string>& wrong) {
    const object body = body_of(text);
    Body reader(body);
    auto changed = read_change(reader, "postgresql", before);
    for (const auto& problem : reader.problems()) wrong.push_back(problem.path);
    return changed;
  };
  std::vector<std::string> wrong;
  auto changed = change(R"({"parameters": {"user": "new", "port": 5432}})", wrong);
  EXPECT_TRUE(wrong.empty());
  EXPECT_EQ((std::vector<std::string>{"parameters.user"}), changed.changed);
  EXPECT_EQ(before.secrets, changed.now.secrets);
  changed = change(R"({"secrets": {"password": "other"}})", wrong);
  EXPECT_TRUE(wrong.empty());
  EXPECT_EQ("other", changed.now.secrets["password"]);
  changed = change(R"({"secrets": {"password": "p' \\w"}})", wrong);
  EXPECT_TRUE(changed.changed.empty());
  change(R"({"parameters": {"host": "elsewhere", "port": 1}, "secrets": {"password": null}})",
         wrong);
  EXPECT_EQ((std::vector<std::string>{"parameters.host", "parameters.port", "secrets.password"}),
            wrong);
}

TEST(Certificates, AreFilesOfThisProcessAlone) {
  std::string path;
  {
    CertificateFiles files;
    path = files.path_of("conn-1", "PEM").value();
    EXPECT_EQ(path, files.path_of("conn-1", "PEM").value());
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    EXPECT_EQ("PEM", text.str());
    files.drop("conn-1");
    EXPECT_FALSE(std::ifstream(path).good());
  }
}

TEST(Reach, NamesAndPorts) {
  using namespace std::chrono_literals;
  const auto local = resolve("127.0.0.1", "1", 2s);
  ASSERT_TRUE(local);
  EXPECT_EQ("127.0.0.1", local->front().text);
  const auto refused = try_tcp(*local, 2s);
  ASSERT_FALSE(refused);
  EXPECT_EQ("refused", refused.error().code);
  EXPECT_NE(std::string::npos, refused.error().message.find("127.0.0.1:1"));
  const auto unknown = resolve("no-such-host.invalid", "1", 9s);
  ASSERT_FALSE(unknown);
  EXPECT_EQ("name", unknown.error().code);
}

TEST(Words, SpeakOfTheConnection) {
  EXPECT_EQ(
      "Check user and password in the connection. x",
      in_words_of_connections("Check user and password in target.postgres (special characters "
                              "of a URI's password as %XX). x"));
  EXPECT_EQ("the file ca_certificate is bad",
            in_words_of_connections("the file /proc/self/fd/17 is bad"));
}

}  // namespace
}  // namespace sluice::control
