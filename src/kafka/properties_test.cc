#include "kafka/properties.h"

#include <gtest/gtest.h>

#include "kafka/native.h"

namespace sluice::kafka {
namespace {

using Properties = std::map<std::string, std::string>;

Properties with(Properties more) {
  more.emplace("bootstrap.servers", "k1:9092,k2:9092");
  return more;
}

std::string refusal(const Properties& properties) {
  const auto checked = check_properties(properties);
  return checked ? "" : checked.error().code + ": " + to_string(checked.error());
}

bool mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(CheckProperties, TakesWhatConnectionsNeed) {
  EXPECT_EQ("", refusal(with({})));
  EXPECT_EQ("", refusal(with({{"security.protocol", "SASL_SSL"},
                              {"sasl.mechanism", "SCRAM-SHA-512"},
                              {"sasl.username", "u"},
                              {"sasl.password", "p"},
                              {"ssl.ca.location", "/etc/ssl/ca.pem"},
                              {"isolation.level", "read_uncommitted"},
                              {"session.timeout.ms", "6000"},
                              {"debug", "cgrp,fetch"}})));
}

TEST(CheckProperties, RefusesWhatRunsCodeOrBreaksThePromise) {
  for (const char* name : {"plugin.library.paths", "sasl.kerberos.kinit.cmd", "ssl.engine.location",
                           "ssl.providers", "enable.sasl.oauthbearer.unsecure.jwt", "group.id",
                           "group.instance.id", "enable.auto.commit", "enable.auto.offset.store",
                           "auto.offset.reset", "enable.partition.eof", "offset.store.path",
                           "partition.assignment.strategy", "allow.auto.create.topics"}) {
    const auto text = refusal(with({{name, "x"}}));
    EXPECT_TRUE(text.starts_with(std::string(name) + ": ")) << name << " " << text;
    EXPECT_TRUE(mentions(text, "cannot be set")) << text;
  }
}

// The list is of what is allowed: whatever else librdkafka has is refused without being named here.
TEST(CheckProperties, RefusesWhatOnlyLibrdkafkaKnows) {
  for (const char* name : {"linger.ms", "transactional.id", "acks", "test.mock.num.brokers"}) {
    ASSERT_TRUE(native::knows_property(name)) << name;
    EXPECT_TRUE(mentions(refusal(with({{name, "1"}})), "no meaning for a consumer")) << name;
  }
}

TEST(CheckProperties, NamesTheNearestProperty) {
  EXPECT_TRUE(
      mentions(refusal(with({{"sasl.user.name", "x"}})), "Did you mean \"sasl.username\"?"));
  EXPECT_TRUE(
      mentions(refusal(with({{"Security.Protokol", "x"}})), "Did you mean \"security.protocol\"?"));
  const auto text = refusal(with({{"frobnicate", "x"}}));
  EXPECT_TRUE(mentions(text, "\"frobnicate\" does not exist"));
  EXPECT_FALSE(mentions(text, "Did you mean"));
}

TEST(CheckProperties, ShowsLibrdkafkasReasonButNoSecret) {
  const auto text = refusal(with({{"session.timeout.ms", "soon"}}));
  EXPECT_TRUE(mentions(text, "session.timeout.ms") && mentions(text, "soon")) << text;
  EXPECT_TRUE(mentions(refusal(with({{"security.protocol", "tls"}})), "tls"));
  for (const char* name :
       {"sasl.password", "ssl.key.password", "ssl.keystore.password", "ssl.key.pem",
        "sasl.oauthbearer.client.secret", "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.oauthbearer.assertion.private.key.pem"}) {
    EXPECT_TRUE(is_secret(name)) << name;
  }
  EXPECT_FALSE(is_secret("sasl.username"));
  const auto key = refusal(with({{"ssl.key.pem", "-----BEGIN hunter2"}}));
  EXPECT_FALSE(mentions(key, "hunter2")) << key;
}

TEST(CheckProperties, WantsServersThatCanBeServers) {
  EXPECT_TRUE(mentions(refusal({}), "\"bootstrap.servers\" is missing"));
  EXPECT_TRUE(mentions(refusal({{"bootstrap.servers", "  "}}), "is missing"));
  EXPECT_EQ("", refusal({{"bootstrap.servers", "k1, k2:9093 ,[::1]:9092,SSL://h:1"}}));
  EXPECT_EQ("", refusal({{"metadata.broker.list", "k1:9092"}}));
  for (const char* bad : {"k1:port", "k1:0", "k1:70000", ":9092", "k1:9092,,k2:9092", "k1:9092,",
                          "[::1", "[]:9092", "user@host:9092", "k 1:9092"}) {
    EXPECT_TRUE(mentions(refusal({{"bootstrap.servers", bad}}), "is not host:port")) << bad;
  }
  EXPECT_TRUE(mentions(refusal(with({{"metadata.broker.list", "k1:9092"}})), "two names"));
}

TEST(CheckProperties, ComparesTimeouts) {
  EXPECT_TRUE(
      mentions(refusal(with({{"session.timeout.ms", "6000"}, {"max.poll.interval.ms", "5000"}})),
               "is above"));
  EXPECT_TRUE(mentions(refusal(with({{"heartbeat.interval.ms", "10000"}})), "is not below"));
  EXPECT_EQ("", refusal(with({{"group.protocol", "consumer"}})));
  EXPECT_TRUE(
      mentions(refusal(with({{"group.protocol", "CONSUMER"}, {"session.timeout.ms", "6000"}})),
               "beside group.protocol"));
}

ConsumerConfig config_with(Properties properties) {
  ConsumerConfig config;
  config.properties = with(std::move(properties));
  config.group = "sluice-orders-0a1b2c";
  config.client_id = "sluice orders/0";
  return config;
}

TEST(ConsumerProperties, OursStandAndTheUsersWinWhereTheyMay) {
  const auto merged = consumer_properties(config_with({{"isolation.level", "read_uncommitted"},
                                                       {"session.timeout.ms", "6000"},
                                                       {"client.id", "mine"},
                                                       {"debug", "fetch"}}));
  EXPECT_EQ("sluice-orders-0a1b2c", merged.at("group.id"));
  EXPECT_EQ("false", merged.at("enable.auto.commit"));
  EXPECT_EQ("false", merged.at("enable.auto.offset.store"));
  EXPECT_EQ("error", merged.at("auto.offset.reset"));
  EXPECT_EQ("true", merged.at("enable.partition.eof"));
  EXPECT_EQ("cooperative-sticky", merged.at("partition.assignment.strategy"));
  EXPECT_EQ("read_uncommitted", merged.at("isolation.level"));
  EXPECT_EQ("6000", merged.at("session.timeout.ms"));
  EXPECT_EQ("300", merged.at("heartbeat.interval.ms"));
  EXPECT_EQ("mine", merged.at("client.id"));
  EXPECT_EQ("fetch,metadata", merged.at("debug"));
  EXPECT_EQ("read_committed", consumer_properties(config_with({})).at("isolation.level"));
}

TEST(ConsumerProperties, NothingClassicBesideTheConsumerProtocol) {
  const auto merged = consumer_properties(config_with({{"group.protocol", "consumer"}}));
  for (const char* name :
       {"session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"}) {
    EXPECT_FALSE(merged.contains(name)) << name;
  }
}

// librdkafka checks properties against each other only when a client is made: whatever the user may
// set must go together with what we set.
TEST(ConsumerProperties, MakeAClientWithWhateverTheUserMaySet) {
  for (const Properties& properties : {Properties{},
                                       {{"group.protocol", "consumer"}},
                                       {{"session.timeout.ms", "600000"}},
                                       {{"max.poll.interval.ms", "5000"}},
                                       {{"message.max.bytes", "50000000"}},
                                       {{"receive.message.max.bytes", "2000000"}},
                                       {{"fetch.max.bytes", "1000000"}},
                                       {{"queued.max.messages.kbytes", "1"}},
                                       {{"topic.blacklist", "^tmp"}}}) {
    for (const std::int64_t queue_bytes : {0LL, 1LL << 20, 16LL << 20, 1LL << 40}) {
      for (const int partitions : {0, 1, 4, 5000}) {
        auto config = config_with(properties);
        config.properties["bootstrap.servers"] = "127.0.0.1:1";
        config.queue_bytes = queue_bytes;
        config.partitions = partitions;
        ASSERT_TRUE(check_properties(config.properties));
        auto conf = native::make_conf(consumer_properties(config));
        ASSERT_TRUE(conf) << to_string(conf.error());
        if (partitions != 4) continue;  // a client costs a millisecond or two
        native::ClientState state(endpoint_of(config.properties), "test",
                                  native::ClientState::Failures::kReturned);
        state.silence();
        const auto client = native::make_client(std::move(*conf), state);
        ASSERT_TRUE(client) << to_string(client.error());
      }
    }
  }
}

TEST(AdminProperties, LeaveTheGroupOut) {
  const auto merged = admin_properties(
      with({{"group.protocol", "consumer"}, {"session.timeout.ms", "1"}, {"ssl.ca.pem", "x"}}),
      "c");
  EXPECT_FALSE(merged.contains("group.protocol"));
  EXPECT_FALSE(merged.contains("session.timeout.ms"));
  EXPECT_TRUE(merged.contains("ssl.ca.pem"));
  EXPECT_EQ("false", merged.at("allow.auto.create.topics"));
}

}  // namespace
}  // namespace sluice::kafka
