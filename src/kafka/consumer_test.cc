// The consumer against librdkafka's in-process cluster: groups, queues, positions. What that
// cluster lacks (transactions, retention, real time) is tested on a real broker in
// tests/integration.
#include "kafka/consumer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <poll.h>

#include <functional>
#include <random>
#include <set>

#include "kafka/admin.h"
#include "kafka/errors.h"
#include "kafka/native.h"

namespace sluice::kafka {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr auto kPatience = 30s;

// One broker, and a producer for it.
class Cluster {
 public:
  Cluster() {
    native::Conf conf(rd_kafka_conf_new());
    rd_kafka_conf_set_log_cb(conf.get(), nullptr);
    char reason[256];
    host_.reset(rd_kafka_new(RD_KAFKA_PRODUCER, conf.release(), reason, sizeof reason));
    cluster_ = rd_kafka_mock_cluster_new(host_.get(), 1);
    rd_kafka_mock_group_initial_rebalance_delay_ms(cluster_, 100);
    conf.reset(rd_kafka_conf_new());
    rd_kafka_conf_set_log_cb(conf.get(), nullptr);
    rd_kafka_conf_set(conf.get(), "bootstrap.servers", servers().c_str(), reason, sizeof reason);
    rd_kafka_conf_set(conf.get(), "linger.ms", "1", reason, sizeof reason);
    producer_.reset(rd_kafka_new(RD_KAFKA_PRODUCER, conf.release(), reason, sizeof reason));
  }
  ~Cluster() {
    producer_.reset();
    rd_kafka_mock_cluster_destroy(cluster_);
  }
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  std::string servers() const { return rd_kafka_mock_cluster_bootstraps(cluster_); }
  void create(const char* topic, int partitions) {
    ASSERT_EQ(RD_KAFKA_RESP_ERR_NO_ERROR,
              rd_kafka_mock_topic_create(cluster_, topic, partitions, 1));
  }
  // The next so many questions are answered by closing the connection.
  void hang_up_on_list_offsets(std::size_t count) {
    constexpr std::int16_t kListOffsets = 2;
    const std::vector<rd_kafka_resp_err_t> answers(count, RD_KAFKA_RESP_ERR__TRANSPORT);
    rd_kafka_mock_push_request_errors_array(cluster_, kListOffsets, count, answers.data());
  }
  void produce(const char* topic, int partition, int count, std::int64_t first = 0) {
    for (int i = 0; i < count; ++i) {
      const std::string value = fmt::format("value {}", first + i);
      rd_kafka_producev(producer_.get(), RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
                        RD_KAFKA_V_KEY("key", 3), RD_KAFKA_V_HEADER("h", "x", 1),
                        RD_KAFKA_V_VALUE(const_cast<char*>(value.data()), value.size()),
                        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    }
    ASSERT_EQ(RD_KAFKA_RESP_ERR_NO_ERROR, rd_kafka_flush(producer_.get(), 20'000));
  }

 private:
  native::Handle host_;
  rd_kafka_mock_cluster_t* cluster_ = nullptr;
  native::Handle producer_;
};

// What a lane does with its consumer, waiting by the wake-up alone.
struct Member {
  std::unique_ptr<Consumer> consumer;
  std::map<TopicPartition, std::int64_t> next;
  std::set<TopicPartition> held;
  std::set<TopicPartition> ended;
  std::set<TopicPartition> invalid;
  int limit = 100;
  int wait_ms = 500;
  std::int64_t start = 0;
  bool answer = true;
  int asked = 0;
  std::vector<Record> records = std::vector<Record>(200);

  Member(const Cluster& cluster, const std::string& group, const std::string& topic) {
    ConsumerConfig config;
    config.properties = {{"bootstrap.servers", cluster.servers()}, {"session.timeout.ms", "2000"}};
    config.group = group;
    config.client_id = "test";
    auto made = Consumer::create(config);
    if (!made) throw std::runtime_error(to_string(made.error()));
    consumer = std::move(*made);
    if (!consumer->subscribe({topic})) throw std::runtime_error("subscribe");
  }

  void serve_control() {
    while (auto event = consumer->poll_control()) {
      if (event->kind == ControlEvent::Kind::kError) continue;
      if (event->kind == ControlEvent::Kind::kAssign) {
        ++asked;
        if (!answer) continue;
        std::map<TopicPartition, std::int64_t> positions;
        for (const auto& id : event->partitions) {
          positions[id] = next.emplace(id, start).first->second;
          held.insert(id);
        }
        ASSERT_TRUE(consumer->assign(positions));
      } else {
        for (const auto& id : event->partitions) held.erase(id);
        ASSERT_TRUE(consumer->unassign(event->partitions));
      }
    }
  }

  // False when nothing was there.
  bool take(const TopicPartition& id) {
    std::optional<PartitionEvent> event;
    const int count = consumer->poll(id, records.data(), limit, event);
    for (int i = 0; i < count; ++i) {
      const auto& record = records[static_cast<std::size_t>(i)];
      EXPECT_EQ(next[id], record.offset());
      EXPECT_EQ(id.partition, record.partition());
      EXPECT_EQ(fmt::format("value {}", record.offset()), record.value());
      next[id] = record.offset() + 1;
    }
    if (event && event->kind == PartitionEvent::Kind::kEnd) {
      EXPECT_EQ(next[id], event->offset);
      ended.insert(id);
    } else if (event && event->kind == PartitionEvent::Kind::kOffsetInvalid) {
      invalid.insert(id);
    }
    return count > 0 || event.has_value();
  }

  bool until(const std::function<bool()>& done) {
    const auto deadline = steady_clock::now() + kPatience;
    while (!done()) {
      if (steady_clock::now() > deadline) return false;
      consumer->drain_wake();
      serve_control();
      bool more = false;
      for (const auto& id : std::set<TopicPartition>(held)) more = take(id) || more;
      if (more || done()) continue;
      pollfd wait{consumer->wake_fd(), POLLIN, 0};
      ::poll(&wait, 1, wait_ms);
    }
    return true;
  }
};

const TopicPartition kFirst{"t", 0};

TEST(ConsumerTest, ReadsEveryPartitionToItsEnd) {
  Cluster cluster;
  cluster.create("t", 4);
  for (int i = 0; i < 4; ++i) cluster.produce("t", i, 1000 + i);
  Member member(cluster, "g", "t");
  ASSERT_TRUE(member.until([&] { return member.ended.size() == 4; }));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(1000 + i, (member.next[{"t", i}]));
  // What comes later comes too, and by the wake-up.
  member.ended.clear();
  cluster.produce("t", 2, 1, 1002);
  std::optional<PartitionEvent> event;
  ASSERT_TRUE(member.until([&] {
    const int count = member.consumer->poll({"t", 2}, member.records.data(), 1, event);
    return count == 1;
  }));
  const auto& record = member.records[0];
  EXPECT_EQ(1002, record.offset());
  EXPECT_EQ("key", record.key());
  EXPECT_FALSE(record.key_null() || record.value_null());
  EXPECT_GT(record.timestamp_ms(), 0);
  std::vector<Record::HeaderView> headers;
  record.headers(headers);
  ASSERT_EQ(1U, headers.size());
  EXPECT_EQ("h", headers[0].name);
  EXPECT_EQ("x", headers[0].value);
}

// Ends lie between records here, and polls take a few at a time: no record behind an end may be
// lost, come twice, or come before it (Member checks every offset and every end).
TEST(ConsumerTest, EventsKeepTheirPlaceAmongRecords) {
  Cluster cluster;
  cluster.create("t", 1);
  Member member(cluster, "g", "t");
  ASSERT_TRUE(member.until([&] { return member.ended.contains(kFirst); }));
  std::int64_t produced = 0;
  for (int round = 0; round < 30; ++round) {
    const int count = 1 + round % 9;
    cluster.produce("t", 0, count, produced);
    produced += count;
    if (round % 5 != 4)
      continue;  // several runs and ends gather in the queue before they are taken
    member.limit = 1 + round % 7;
    member.ended.clear();
    ASSERT_TRUE(member.until(
        [&] { return member.next[kFirst] == produced && member.ended.contains(kFirst); }));
  }
  EXPECT_EQ(produced, member.next[kFirst]);
}

TEST(ConsumerTest, SeekDropsWhatWasFetched) {
  Cluster cluster;
  cluster.create("t", 2);
  cluster.produce("t", 0, 5000);
  cluster.produce("t", 1, 10);
  Member member(cluster, "g", "t");
  ASSERT_TRUE(member.until([&] { return member.next[kFirst] > 0; }));
  std::mt19937 random(7);  // NOLINT: the same moves every time
  for (int i = 0; i < 100; ++i) {
    const auto offset = static_cast<std::int64_t>(random() % 5000);
    ASSERT_TRUE(member.consumer->seek(kFirst, offset));
    member.next[kFirst] = offset;
    member.limit = 1 + static_cast<int>(random() % 200);
    ASSERT_TRUE(member.until([&] { return member.next[kFirst] > offset; }));
  }
  member.ended.clear();
  ASSERT_TRUE(member.until([&] { return member.ended.contains(kFirst); }));
  EXPECT_EQ(5000, member.next[kFirst]);
}

TEST(ConsumerTest, APositionOutsideTheLogIsToldAndLeft) {
  Cluster cluster;
  cluster.create("t", 1);
  cluster.produce("t", 0, 50);
  Member member(cluster, "g", "t");
  member.start = 900;
  ASSERT_TRUE(member.until([&] { return member.invalid.contains(kFirst); }));
  ASSERT_TRUE(member.consumer->seek(kFirst, 20));
  member.next[kFirst] = 20;
  ASSERT_TRUE(member.until([&] { return member.ended.contains(kFirst); }));
  EXPECT_EQ(50, member.next[kFirst]);
}

TEST(ConsumerTest, PartitionsMoveBetweenMembers) {
  Cluster cluster;
  cluster.create("t", 4);
  for (int i = 0; i < 4; ++i) cluster.produce("t", i, 500);
  Member first(cluster, "g", "t");
  ASSERT_TRUE(first.until([&] { return first.held.size() == 4; }));
  {
    Member second(cluster, "g", "t");
    first.wait_ms = 20;  // two members take turns on this thread
    ASSERT_TRUE(first.until([&] {
      second.consumer->drain_wake();
      second.serve_control();
      for (const auto& id : std::set<TopicPartition>(second.held)) second.take(id);
      return first.held.size() == 2 && second.held.size() == 2;
    }));
    second.records.clear();
    second.consumer->close(5s);
  }
  ASSERT_TRUE(first.until([&] { return first.held.size() == 4 && first.ended.size() == 4; }));
}

TEST(ConsumerTest, OnlyWhatWasAskedForIsAnswered) {
  Cluster cluster;
  cluster.create("t", 1);
  Member member(cluster, "g", "t");
  member.answer = false;
  const auto early = member.consumer->assign({{kFirst, 0}});
  ASSERT_FALSE(early);
  EXPECT_EQ("no_assignment", early.error().code);
  EXPECT_FALSE(member.consumer->seek(kFirst, 0));
  std::optional<PartitionEvent> event;
  EXPECT_EQ(0, member.consumer->poll(kFirst, member.records.data(), 10, event));
  EXPECT_TRUE(member.consumer->unassign({kFirst}));
  ASSERT_TRUE(member.until([&] { return member.asked == 1; }));
  EXPECT_TRUE(member.consumer->assign({}));  // an empty answer is one
  EXPECT_FALSE(member.consumer->assign({}));
  member.consumer->close(5s);
  EXPECT_FALSE(member.consumer->poll_control());
}

TEST(ConsumerTest, ClosesWithAnUnansweredAssignment) {
  Cluster cluster;
  cluster.create("t", 1);
  Member member(cluster, "g", "t");
  member.answer = false;
  ASSERT_TRUE(member.until([&] { return member.asked == 1; }));
  const auto before = steady_clock::now();
  member.consumer->close(10s);
  EXPECT_LT(steady_clock::now() - before, 9s);
}

TEST(ConsumerTest, ClosesInTimeWhenNoBrokerIsThere) {
  ConsumerConfig config;
  config.properties = {{"bootstrap.servers", "127.0.0.1:1"}};
  config.group = "g";
  config.client_id = "test";
  auto consumer = Consumer::create(config);
  ASSERT_TRUE(consumer);
  ASSERT_TRUE((*consumer)->subscribe({"t"}));
  std::optional<ControlEvent> event;
  const auto deadline = steady_clock::now() + kPatience;
  while (!event && steady_clock::now() < deadline) {
    (*consumer)->drain_wake();
    event = (*consumer)->poll_control();
    pollfd wait{(*consumer)->wake_fd(), POLLIN, 0};
    if (!event) ::poll(&wait, 1, 500);
  }
  ASSERT_TRUE(event);
  EXPECT_EQ(ControlEvent::Kind::kError, event->kind);
  EXPECT_TRUE(is_environment(event->error)) << to_string(event->error);
  const auto before = steady_clock::now();
  (*consumer)->close(200ms);
  EXPECT_LT(steady_clock::now() - before, 5s);
}

TEST(ConsumerTest, RefusesWhatItCannotBeMadeFrom) {
  ConsumerConfig config;
  config.properties = {{"bootstrap.servers", "127.0.0.1:1"},
                       {"security.protocol", "ssl"},
                       {"ssl.ca.location", "/nonexistent/ca.pem"}};
  config.group = "g";
  config.client_id = "test";
  const auto made = Consumer::create(config);
  ASSERT_FALSE(made);
  EXPECT_NE(std::string::npos, made.error().message.find("ssl.ca.location"));
  config.properties = {{"bootstrap.servers", "127.0.0.1:1"}, {"group.id", "x"}};
  EXPECT_EQ("group.id", Consumer::create(config).error().code);
}

TEST(AdminTest, SaysAtOnceWhyNobodyAnswers) {
  auto admin = Admin::create({{"bootstrap.servers", "127.0.0.1:1"}}, "test");
  ASSERT_TRUE(admin);
  const auto before = steady_clock::now();
  const auto id = (*admin)->cluster_id(20s);
  ASSERT_FALSE(id);
  EXPECT_LT(steady_clock::now() - before, 10s);
  EXPECT_NE(std::string::npos, id.error().message.find("Connection refused"));
  EXPECT_TRUE(is_environment(id.error()));
}

// A topic of two partitions with 30 messages in the second.
class AdminOffsetsTest : public testing::Test {
 protected:
  void SetUp() override {
    cluster.create("t", 2);
    cluster.produce("t", 1, 30);
    admin = Admin::create({{"bootstrap.servers", cluster.servers()}}, "test");
    ASSERT_TRUE(admin);
  }
  Cluster cluster;
  Result<std::unique_ptr<Admin>> admin;
};

// librdkafka leaves the offset of such a partition at -1001, and reports no error.
TEST_F(AdminOffsetsTest, AreAskedForAgainWhereALeaderHungUp) {
  cluster.hang_up_on_list_offsets(1);
  const auto marks = (*admin)->watermarks({{"t", 0}, {"t", 1}}, 20s);
  ASSERT_TRUE(marks) << to_string(marks.error());
  EXPECT_EQ(0, marks->at({"t", 0}).low);
  EXPECT_EQ(30, marks->at({"t", 1}).end);
  cluster.hang_up_on_list_offsets(1'000);
  const auto none = (*admin)->watermarks({{"t", 1}}, 2s);
  ASSERT_FALSE(none);
  EXPECT_TRUE(is_environment(none.error())) << to_string(none.error());
}

TEST_F(AdminOffsetsTest, AreThoseOfThePartitions) {
  const auto marks = (*admin)->watermarks({{"t", 0}, {"t", 1}}, 20s);
  ASSERT_TRUE(marks) << to_string(marks.error());
  EXPECT_EQ(0, marks->at({"t", 0}).end);
  EXPECT_EQ(0, marks->at({"t", 1}).low);
  EXPECT_EQ(30, marks->at({"t", 1}).end);
  EXPECT_TRUE((*admin)->watermarks({}, 20s)->empty());
  const auto missing = (*admin)->watermarks({{"t", 7}}, 1s);
  ASSERT_FALSE(missing);
  EXPECT_NE(std::string::npos, missing.error().message.find("partition 7"))
      << missing.error().message;
  const auto bad = (*admin)->topics({"^(("}, 20s);
  ASSERT_FALSE(bad);
  EXPECT_EQ("_INVALID_ARG", bad.error().code);
}

}  // namespace
}  // namespace sluice::kafka
