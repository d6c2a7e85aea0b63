#include "mariadb/connection.h"

#include <gtest/gtest.h>

namespace sluice::mariadb {
namespace {

TEST(Uri, HasAllParts) {
  const auto address = parse_uri(
      "mysql://a%40b:p%3A%2F@db.internal:3307/my%20shop?sslmode=verify-full&sslrootcert=%2Fca.pem");
  ASSERT_TRUE(address);
  EXPECT_EQ(address->user, "a@b");
  EXPECT_EQ(address->password, "p:/");
  EXPECT_EQ(address->host, "db.internal");
  EXPECT_EQ(address->port, 3307U);
  EXPECT_EQ(address->database, "my shop");
  EXPECT_TRUE(address->tls && address->verify);
  EXPECT_EQ(address->authority, "/ca.pem");
}

TEST(Uri, LeavesOutWhatItMay) {
  const auto address = parse_uri("mariadb://[::1]/d");
  ASSERT_TRUE(address);
  EXPECT_EQ(address->host, "::1");
  EXPECT_EQ(address->port, 3306U);
  EXPECT_FALSE(address->tls);
  EXPECT_EQ(parse_uri("mysql:///d?socket=/s")->socket, "/s");
}

TEST(Uri, ErrorsShowNoPartOfIt) {
  for (const char* uri : {"mysql://u:secret@h", "mysql://u:secret@h/", "mysql://u:secret@h:x/d",
                          "mysql://u@h/d?secret=1", "mysql://u@h/d?sslmode=secret"}) {
    const auto address = parse_uri(uri);
    ASSERT_FALSE(address) << uri;
    EXPECT_EQ(address.error().domain, Domain::kCommandLine);
    EXPECT_EQ(address.error().message.find("secret"), std::string::npos) << uri;
  }
}

TEST(Literal, DoublesItsOwnSign) {
  EXPECT_EQ(Connection::literal("it's \\"), "'it''s \\'");
  EXPECT_EQ(Connection::identifier("a`b"), "`a``b`");
}

}  // namespace
}  // namespace sluice::mariadb
