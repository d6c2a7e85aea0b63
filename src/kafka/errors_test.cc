#include "kafka/errors.h"

#include <gtest/gtest.h>

#include "base/nearest.h"
#include "kafka/native.h"

namespace sluice::kafka {
namespace {

const Endpoint kEndpoint{"k1:9092", "sasl_ssl", "alice"};

bool mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

Error kafka_error(std::string_view code) {
  Error error;
  error.domain = Domain::kKafka;
  error.code = code;
  return error;
}

TEST(IsEnvironment, WaitsForWhatHealsAndStopsForTheRest) {
  for (const char* code : {"_TRANSPORT", "_RESOLVE", "_TIMED_OUT", "_ALL_BROKERS_DOWN",
                           "LEADER_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS"}) {
    EXPECT_TRUE(is_environment(kafka_error(code))) << code;
  }
  for (const char* code : {"_AUTHENTICATION", "_SSL", "TOPIC_AUTHORIZATION_FAILED",
                           "GROUP_AUTHORIZATION_FAILED", "UNKNOWN_TOPIC_OR_PART"}) {
    EXPECT_FALSE(is_environment(kafka_error(code))) << code;
  }
  EXPECT_FALSE(is_environment(kafka_error(kProtocolMismatch)));
  Error other = kafka_error("_TRANSPORT");
  other.domain = Domain::kPostgres;
  EXPECT_FALSE(is_environment(other));
}

// Every code of the list that librdkafka is meant to give must be one that it gives.
TEST(IsEnvironment, KnowsLibrdkafkasNames) {
  for (const auto code :
       {RD_KAFKA_RESP_ERR__AUTHENTICATION, RD_KAFKA_RESP_ERR__SSL, RD_KAFKA_RESP_ERR__FATAL,
        RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM,
        RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
        RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION,
        RD_KAFKA_RESP_ERR_INVALID_GROUP_ID, RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE,
        RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION, RD_KAFKA_RESP_ERR__INVALID_ARG,
        RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL,
        RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE}) {
    EXPECT_FALSE(is_environment(kafka_error(native::name_of(code)))) << native::name_of(code);
  }
}

TEST(Explain, DropsWhatChangesFromOneAttemptToTheNext) {
  EXPECT_EQ(
      "k1:9093: SASL authentication error: nope",
      stable_text("sasl_ssl://k1:9093/bootstrap: SASL authentication error: nope (after 320ms "
                  "in state AUTH_REQ, 3 identical error(s) suppressed)"));
  EXPECT_EQ(
      "k1:9092: Connect to ipv4#10.0.0.1:9092 failed: Connection refused",
      stable_text("k1:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: Connection refused "
                  "(after 0ms in state CONNECT)"));
  EXPECT_EQ("Local: Timed out", stable_text("Local: Timed out"));
  EXPECT_EQ("", stable_text(""));
  EXPECT_FALSE(mentions(stable_text("a:1/1: Receive failed: Invalid response size 7: increase "
                                    "receive.message.max.bytes (after 1ms in state UP)"),
                        "increase"));
}

TEST(Explain, ARefusedCertificateIsNoPassingState) {
  const auto error =
      explain(kEndpoint, "_TRANSPORT",
              "ssl://k1:9093/bootstrap: error:0A000086:SSL routines::certificate verify failed");
  EXPECT_FALSE(is_environment(error));
  EXPECT_TRUE(mentions(error.remedy, "ssl.ca.location"));
}

TEST(Explain, NamesThePlaceAndTheRemedy) {
  const auto login =
      explain(kEndpoint, "_AUTHENTICATION", "k1:9092/1: SASL authentication error: x");
  EXPECT_TRUE(mentions(login.message, "refused the login") && mentions(login.message, "k1:9092"));
  EXPECT_TRUE(mentions(login.remedy, "alice"));
  EXPECT_TRUE(
      mentions(explain(kEndpoint, "_SSL",
                       "SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker "
                       "listener?")
                   .remedy,
               "speaks no TLS"));
  EXPECT_TRUE(
      mentions(explain(kEndpoint, "_TRANSPORT", "Connect failed: Connection refused").remedy,
               "that the broker runs"));
  const auto topic =
      explain_about(kEndpoint, "TOPIC_AUTHORIZATION_FAILED", "Broker: x", "topic", "orders");
  EXPECT_TRUE(mentions(topic.message, "User:alice") && mentions(topic.message, "\"orders\""));
  EXPECT_TRUE(
      mentions(topic.remedy, "--allow-principal User:alice --operation Read --topic 'orders'"));
  EXPECT_FALSE(mentions(explain(kEndpoint, "CLUSTER_AUTHORIZATION_FAILED", "no").message,
                        "cannot be reached"));
  EXPECT_TRUE(mentions(explain_about(kEndpoint, "_UNKNOWN_TOPIC", "x", "topic", "orders").message,
                       "has no topic \"orders\""));
}

TEST(Explain, TellsAnUnknownTopicFromWhatHeals) {
  for (const char* code : {"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"}) {
    const auto gone = explain_about(kEndpoint, code, "Local: x", "topic", "orders");
    EXPECT_TRUE(is_unknown_topic(gone)) << code;
    EXPECT_FALSE(is_environment(gone)) << code;
    EXPECT_TRUE(mentions(gone.message, "\"orders\"")) << gone.message;
  }
  EXPECT_FALSE(is_unknown_topic(explain(kEndpoint, "_TRANSPORT", "x")));
}

TEST(Explain, RecognisesAListenerOfAnotherProtocol) {
  for (const char* text :
       {"a:1/bootstrap: Disconnected: connection closed by peer (after 0ms in state UP)",
        "a:1/bootstrap: Disconnected: SSL connection closed by peer (after 4ms in state "
        "SSL_HANDSHAKE)",
        "a:1/bootstrap: Receive failed: Invalid response size 1213486160 (0..100000000)"}) {
    EXPECT_TRUE(looks_like_protocol_mismatch(text)) << text;
  }
  for (const char* text : {"a:1/bootstrap: Connect to a failed: Connection refused",
                           "a:1: Failed to resolve 'a:1': Name or service not known"}) {
    EXPECT_FALSE(looks_like_protocol_mismatch(text)) << text;
  }
}

TEST(Endpoint, ComesFromTheProperties) {
  const auto endpoint = endpoint_of({{"metadata.broker.list", "k:1"},
                                     {"security.protocol", "SASL_SSL"},
                                     {"sasl.username", "bob"},
                                     {"sasl.password", "hunter2"}});
  EXPECT_EQ("k:1", endpoint.servers);
  EXPECT_EQ("sasl_ssl", endpoint.protocol);
  EXPECT_EQ("bob", endpoint.user);
  EXPECT_EQ("plaintext", endpoint_of({}).protocol);
}

TEST(ClientState, LearnsTopicIdsFromLogLines) {
  native::ClientState state(kEndpoint, "test", native::ClientState::Failures::kReturned);
  EXPECT_EQ("", state.topic_id("a"));
  state.log_line(7, "METADATA", "Topic a changed id from AAAAAAAAAAAAAAAAAAAAAA to X1");
  state.log_line(7, "METADATA", "Topic a [0] Leader 1 Epoch 0");
  state.log_line(7, "OTHER", "Topic a changed id from X1 to X9");
  EXPECT_EQ("X1", state.topic_id("a"));
  EXPECT_EQ(1U, state.topic_id_changes());
  state.log_line(7, "METADATA", "Topic a changed id from X1 to X2");
  state.log_line(7, "METADATA", "Topic b.c-d changed id from AAAAAAAAAAAAAAAAAAAAAA to Y+/1");
  EXPECT_EQ("X2", state.topic_id("a"));
  EXPECT_EQ("Y+/1", state.topic_id("b.c-d"));
  EXPECT_EQ(3U, state.topic_id_changes());
}

TEST(ClientState, KeepsTheLastFailureAlsoWhenItIsOnlyLogged) {
  native::ClientState state(kEndpoint, "test", native::ClientState::Failures::kReturned);
  std::string code;
  std::string text;
  EXPECT_FALSE(state.last_failure(code, text));
  state.log_line(6, "FAIL", "k1:9092/bootstrap: Disconnected (after 0ms in state UP)");
  ASSERT_TRUE(state.last_failure(code, text));
  EXPECT_EQ("_TRANSPORT", code);
  state.note_failure("_AUTHENTICATION", "no");
  ASSERT_TRUE(state.last_failure(code, text));
  EXPECT_EQ("_AUTHENTICATION", code);
  state.clear_failure();
  EXPECT_FALSE(state.last_failure(code, text));
}

TEST(ClientState, LogsAFacilityOnceInAWhile) {
  native::ClientState state(kEndpoint, "test", native::ClientState::Failures::kLogged);
  testing::internal::CaptureStderr();
  for (int i = 0; i < 100; ++i) state.log_line(3, "FAIL", "k1:9092: refused");
  state.log_line(4, "MAXPOLL", "exceeded");
  state.silence();
  state.log_line(4, "LATE", "after the end");
  const auto printed = testing::internal::GetCapturedStderr();
  EXPECT_EQ(2, std::count(printed.begin(), printed.end(), '\n')) << printed;
  EXPECT_TRUE(mentions(printed, "MAXPOLL"));
}

}  // namespace
}  // namespace sluice::kafka
