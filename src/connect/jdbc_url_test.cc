#include "connect/jdbc_url.h"

#include <gtest/gtest.h>

namespace sluice::connect {
namespace {

TEST(JdbcUrl, HasHostsDatabaseAndParameters) {
  const auto url =
      parse_jdbc_url("jdbc:postgresql://a:1,[::1]:2/shop%20x?user=u&password=p%26+q&ssl=true&flag");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->hosts, "a:1,[::1]:2");
  EXPECT_EQ(url->database, "shop%20x");
  const std::vector<std::pair<std::string, std::string>> expected{
      {"user", "u"}, {"password", "p& q"}, {"ssl", "true"}, {"flag", ""}};
  EXPECT_EQ(url->parameters, expected);
}

TEST(JdbcUrl, KnowsTheDriversDefaults) {
  EXPECT_EQ(parse_jdbc_url("jdbc:postgresql:shop")->hosts, "localhost");
  EXPECT_EQ(parse_jdbc_url("jdbc:postgresql:shop")->database, "shop");
  EXPECT_EQ(parse_jdbc_url("jdbc:postgresql:/")->database, "");
  EXPECT_EQ(parse_jdbc_url("jdbc:postgresql://h")->hosts, "h");
  EXPECT_EQ(parse_jdbc_url("jdbc:postgresql:///shop")->hosts, "localhost");
}

TEST(JdbcUrl, DropsWhatMayBeAPassword) {
  const auto url = parse_jdbc_url("jdbc:postgresql://u:s3/cr@t@h:5/shop");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->hosts, "h:5");
  EXPECT_TRUE(url->had_user_info);
}

TEST(JdbcUrl, RefusesOtherDatabasesByName) {
  EXPECT_EQ(parse_jdbc_url("jdbc:mysql://h/s3cr3t").error().message,
            "connection.url is a JDBC URL of mysql, not of PostgreSQL");
  for (const char* url : {"s3cr3t", "", "jdbc:", "postgresql://u:s3cr3t@h/d", "jdbc:S3cr3t@:x"}) {
    EXPECT_EQ(parse_jdbc_url(url).error().message, "connection.url is no JDBC URL of PostgreSQL");
  }
}

TEST(JdbcUrl, ParametersBecomeThoseOfLibpq) {
  const auto taken = [](std::string_view name, std::string_view value) {
    std::map<std::string, std::string> libpq;
    Report report;
    take_parameter(name, value, name, libpq, report);
    EXPECT_EQ(report.lines().size(), 1U) << name;
    std::string out(name_of(report.lines().front().fate));
    for (const auto& [to, text] : libpq) out += " " + to + "=" + text;
    return out;
  };
  EXPECT_EQ(taken("ssl", "true"), "taken sslmode=verify-full");
  EXPECT_EQ(taken("ssl", "false"), "not needed");
  EXPECT_EQ(taken("sslfactory", "org.postgresql.ssl.NonValidatingFactory"),
            "taken sslmode=require");
  EXPECT_EQ(taken("sslmode", "require"), "taken sslmode=require");
  EXPECT_EQ(taken("sslpassword", "s3cr3t"), "taken sslpassword=${env:SLUICE_PG_SSLPASSWORD}");
  EXPECT_EQ(taken("currentSchema", "a,b c"), "taken options=-c search_path=a,b\\ c");
  EXPECT_EQ(taken("targetServerType", "master"), "taken target_session_attrs=primary");
  EXPECT_EQ(taken("targetServerType", "odd"), "not supported");
  EXPECT_EQ(taken("connectTimeout", "10"), "taken connect_timeout=10");
  EXPECT_EQ(taken("reWriteBatchedInserts", "true"), "not needed");
  EXPECT_EQ(taken("socketFactory", "x"), "not supported");
  EXPECT_EQ(taken("nonsense", "s3cr3t"), "unknown");
}

TEST(JdbcUrl, EncodesForAUri) {
  EXPECT_EQ(percent_encoded("a-Z_0.~ @:/?&=%"), "a-Z_0.~%20%40%3A%2F%3F%26%3D%25");
  EXPECT_EQ(percent_encoded("${env:X}y$"), "${env:X}y%24");
}

}  // namespace
}  // namespace sluice::connect
