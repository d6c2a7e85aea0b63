#include "connect/convert.h"

#include <gtest/gtest.h>

#include <set>

#include "connect/sinks.h"

namespace sluice::connect {
namespace {

// Kept in mind by every test: nothing of this may be shown or written.
constexpr std::string_view kSecret = "s3cr3t";

Conversion converted(std::string_view text, const Options& options = {}) {
  const auto configuration = read_configuration(text, "f");
  if (!configuration) {
    ADD_FAILURE() << configuration.error().message;
    return {};
  }
  auto conversion = convert(*configuration, "f", options);
  if (!conversion) {
    ADD_FAILURE() << conversion.error().message;
    return {};
  }
  EXPECT_EQ(conversion->document.find(kSecret), std::string::npos) << conversion->document;
  std::set<std::string> reported;
  for (const Line& line : conversion->report) {
    EXPECT_EQ(line.text.find(kSecret), std::string::npos) << line.property;
    EXPECT_FALSE(line.text.empty()) << line.property;
    if (line.fate != Fate::kToFillIn) {
      EXPECT_TRUE(reported.insert(line.property).second) << line.property << " has two lines";
    }
  }
  for (const auto& property : configuration->all()) {
    EXPECT_TRUE(reported.contains(property.name)) << property.name << " has no line";
  }
  return std::move(*conversion);
}

std::string refused(std::string_view text, const Options& options = {}) {
  const auto configuration = read_configuration(text, "f");
  if (!configuration) return configuration.error().message;
  const auto conversion = convert(*configuration, "f", options);
  if (conversion) return "taken";
  EXPECT_EQ(conversion.error().message.find(kSecret), std::string::npos);
  return conversion.error().message;
}

std::string fate(const Conversion& conversion, std::string_view property) {
  for (const Line& line : conversion.report) {
    if (line.property == property) return std::string(name_of(line.fate));
  }
  return "no line";
}

void expect_in(const Conversion& conversion, std::initializer_list<std::string_view> parts) {
  for (const auto part : parts) {
    EXPECT_NE(conversion.document.find(part), std::string::npos) << "no <" << part << "> in\n"
                                                                 << conversion.document;
  }
}

constexpr std::string_view kConfluent = R"(
name=orders-sink
connector.class=io.confluent.connect.jdbc.JdbcSinkConnector
tasks.max=4
topics=orders
connection.url=jdbc:postgresql://db.example:5432/shop?ssl=true&reWriteBatchedInserts=true
connection.user=app
connection.password=s3cr3t
connection.loginTimeout=10
dialect.name=PostgreSqlDatabaseDialect
insert.mode=upsert
pk.mode=record_key
pk.fields=id
table.name.format=public.${topic}
fields.whitelist=total,placed_at
delete.enabled=true
auto.create=false
auto.evolve=true
batch.size=3000
max.retries=10
retry.backoff.ms=3000
db.timezone=UTC
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=false
timestamp.fields.list=placed_at
errors.tolerance=all
errors.deadletterqueue.topic.name=orders-dlq
errors.deadletterqueue.topic.replication.factor=1
consumer.override.max.poll.records=500
consumer.override.fetch.min.bytes=100000
consumer.override.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
  required username="u" password="s3cr3t";
consumer.override.ssl.truststore.password=s3cr3t
made.up.property=s3cr3t
)";

TEST(Convert, TakesAConfluentSink) {
  const Conversion conversion = converted(kConfluent, {"k:9092", ""});
  expect_in(
      conversion,
      {"name: \"orders-sink\"", "bootstrap.servers: \"k:9092\"", "topics: [\"orders\"]",
       "start: {group: \"connect-orders-sink\"}",
       "postgres: \"postgresql://app:${env:SLUICE_PG_PASSWORD}@db.example:5432/shop"
       "?sslmode=verify-full\"",
       "table: \"public.orders\"", "write: upsert", "primary_key: [\"id\"]", "on_tombstone: delete",
       "- {meta: key, column: \"id\"}", "- {field: \"total\", column: \"total\"}",
       "- {field: \"placed_at\", column: \"placed_at\", unit: us}", "on_failure: deliver",
       "fetch.min.bytes: \"100000\"", "sasl.password: \"${env:KAFKA_PASSWORD}\"",
       "#   auto.evolve: ", "#   made.up.property: "});
  EXPECT_EQ(fate(conversion, "made.up.property"), "unknown");
  EXPECT_EQ(fate(conversion, "auto.create"), "not needed");
  EXPECT_EQ(fate(conversion, "auto.evolve"), "not supported");
  EXPECT_EQ(fate(conversion, "connection.password"), "taken");
  EXPECT_EQ(fate(conversion, "connection.url ?ssl"), "taken");
  EXPECT_EQ(fate(conversion, "connection.loginTimeout"), "not needed");
  EXPECT_EQ(fate(conversion, "consumer.override.max.poll.records"), "not needed");
  EXPECT_EQ(fate(conversion, "consumer.override.ssl.truststore.password"), "not supported");
  EXPECT_EQ(fate(conversion, "KAFKA_BOOTSTRAP_SERVERS"), "no line");
}

TEST(Convert, TakesAnAivenSink) {
  const Conversion conversion = converted(R"({"name": "9 lives!", "config": {
    "connector.class": "io.aiven.connect.jdbc.JdbcSinkConnector", "topics": "a.b-c",
    "connection.url": "jdbc:postgresql://h/d?user=u&password=s3cr3t",
    "connection.attempts": 3, "insert.mode": "multi", "pk.mode": "none",
    "table.name.normalize": true, "sql.quote.identifiers": "false",
    "table.name.format": "T_${topic}", "errors.tolerance": "all",
    "value.converter": "io.confluent.connect.avro.AvroConverter",
    "value.converter.basic.auth.user.info": "u:s3cr3t"}})");
  expect_in(conversion,
            {"name: \"t-9-lives-\"", "start: {group: \"connect-9 lives!\"}", "table: \"t_a_b_c\"",
             "write: insert", "on_failure: discard", "postgresql://u:${env:SLUICE_PG_PASSWORD}@h/d",
             "bootstrap.servers: \"${env:KAFKA_BOOTSTRAP_SERVERS}\""});
  EXPECT_EQ(fate(conversion, "connection.attempts"), "unknown") << "Confluent's only";
  EXPECT_EQ(fate(conversion, "value.converter"), "not supported");
  EXPECT_EQ(fate(conversion, "connection.url ?password"), "taken");
  EXPECT_EQ(fate(conversion, "KAFKA_BOOTSTRAP_SERVERS"), "to fill in");
}

TEST(Convert, TakesADebeziumSink) {
  const Conversion conversion = converted(R"(
name=dbz
connector.class=io.debezium.connector.jdbc.JdbcSinkConnector
topics=server1.inventory.Customers
connection.url=jdbc:postgresql://h:5432/d
connection.username=${file:/opt/secrets.properties:user}
connection.password=${file:/opt/secrets.properties:password}
connection.pool.max_size=32
insert.mode=upsert
primary.key.mode=record_value
primary.key.fields=Id
schema.evolution=basic
collection.name.format=public.${topic}
field.include.list=other:x,server1.inventory.Customers:Name
quote.identifiers=false
use.time.zone=UTC
value.converter=org.apache.kafka.connect.json.JsonConverter
hibernate.c3p0.idle_test_period=300
)");
  expect_in(conversion, {"table: \"public.server1_inventory_customers\"", "primary_key: [\"id\"]",
                         "- {field: \"Id\", column: \"id\"}",
                         "- {field: \"Name\", column: \"name\"}", "on_tombstone: ignore",
                         "postgresql://${env:SLUICE_PG_USER}:${env:SLUICE_PG_PASSWORD}@h:5432/d"});
  EXPECT_EQ(fate(conversion, "schema.evolution"), "not supported");
  EXPECT_EQ(fate(conversion, "value.converter"), "not supported")
      << "schemas.enable is the default";
  EXPECT_EQ(fate(conversion, "hibernate.c3p0.idle_test_period"), "not supported");
  EXPECT_EQ(fate(conversion, "connection.pool.max_size"), "not needed");
  EXPECT_EQ(fate(conversion, "use.time.zone"), "not needed");
}

std::string with(std::string_view more) {
  return "name=n\nconnector.class=io.confluent.connect.jdbc.JdbcSinkConnector\n"
         "connection.url=jdbc:postgresql://h/d\n" +
         std::string(more);
}

TEST(Convert, RefusesOtherConnectorsAndDatabases) {
  EXPECT_EQ(refused("connector.class=io.confluent.connect.s3.S3SinkConnector\ntopics=a"),
            "f: the connector is io.confluent.connect.s3.S3SinkConnector, which cannot become a "
            "task");
  EXPECT_NE(refused("connector.class=io.confluent.connect.jdbc.JdbcSourceConnector")
                .find("JdbcSourceConnector"),
            std::string::npos);
  EXPECT_EQ(refused(with("")), "topics and topics.regex are missing or empty");
  EXPECT_EQ(refused("connector.class=io.aiven.connect.jdbc.JdbcSinkConnector\ntopics=a"),
            "connection.url is missing");
  EXPECT_EQ(refused("connector.class=io.aiven.connect.jdbc.JdbcSinkConnector\ntopics=a\n"
                    "connection.url=jdbc:oracle:thin:u/s3cr3t@h"),
            "connection.url is a JDBC URL of oracle, not of PostgreSQL");
}

TEST(Convert, OneTaskWritesOneTable) {
  EXPECT_EQ(refused(with("topics=a,b")), "the topics go to 2 tables, and a task writes one: a, b");
  expect_in(converted(with("topics=a,b\ntable.name.format=t")), {"[\"a\", \"b\"]", "table: \"t\""});
  const auto one = converted(with("topics=a,b"), {"", "b"});
  expect_in(one, {"name: \"n.b\"", "topics: [\"b\"]", "table: \"b\"", "\"connect-n\""});
  EXPECT_EQ(refused(with("topics=a,b"), {"", "c"}), "\"c\" is none of the connector's topics");
  EXPECT_NE(refused(with("topics.regex=a.*")).find("a table of its own"), std::string::npos);
  expect_in(converted(with("topics.regex=shop\\\\.\\\\d+\ntable.name.format=t")),
            {"topics: [\"^(shop\\\\.[0-9]+)$\"]"});
  EXPECT_NE(refused(with("topics.regex=(?!a)b\ntable.name.format=t")).find("only regular"),
            std::string::npos);
}

TEST(Convert, TransformsBecomeColumnsWhereTheyCan) {
  const auto exact = converted(with(R"(topics=shop.orders
transforms=route,keep,meta
transforms.route.type=org.apache.kafka.connect.transforms.RegexRouter
transforms.route.regex=shop\\.(.*)
transforms.route.replacement=raw_$1
transforms.keep.type=org.apache.kafka.connect.transforms.ReplaceField$Value
transforms.keep.include=id,total
transforms.keep.renames=total:amount
transforms.meta.type=org.apache.kafka.connect.transforms.InsertField$Value
transforms.meta.offset.field=kafka_offset!
)"));
  expect_in(exact, {"table: \"raw_orders\"", "- {field: \"id\", column: \"id\"}",
                    "- {field: \"total\", column: \"amount\"}",
                    "- {meta: offset, column: \"kafka_offset\"}"});
  EXPECT_EQ(fate(exact, "transforms.keep.renames"), "taken");
  const auto inexact = converted(with(R"(topics=a
transforms=r,x,mine
transforms.r.type=org.apache.kafka.connect.transforms.ReplaceField$Value
transforms.r.renames=a:b
transforms.x.type=io.debezium.transforms.ExtractNewRecordState
transforms.x.predicate=p
transforms.mine.type=com.example.Mine
transforms.mine.token=s3cr3t
transforms.stray.type=com.example.Stray
predicates=p
predicates.p.type=org.apache.kafka.connect.transforms.predicates.RecordIsTombstone
)"));
  for (const char* property : {"transforms.r.type", "transforms.r.renames", "transforms.x.type",
                               "transforms.mine.token", "transforms.stray.type"}) {
    EXPECT_EQ(fate(inexact, property), "not supported") << property;
  }
  EXPECT_EQ(inexact.document.find("columns:\n"), std::string::npos);
}

TEST(Convert, UpdateStaysUpdate) {
  const auto update =
      converted(with("topics=a\ninsert.mode=UPDATE\npk.mode=record_value\npk.fields=id"));
  expect_in(update, {"write: update", "primary_key: [\"id\"]"});
  EXPECT_EQ(fate(update, "insert.mode"), "taken");
}

TEST(Convert, KafkaKeysBecomeMetadata) {
  const auto listed =
      converted(with("topics=a\ninsert.mode=upsert\npk.mode=kafka\n"
                     "pk.fields=t,p,o\nfields.whitelist=x"));
  expect_in(listed, {"primary_key: [\"t\", \"p\", \"o\"]", "{meta: topic, column: \"t\"}",
                     "{meta: partition, column: \"p\"}", "{meta: offset, column: \"o\"}"});
  EXPECT_EQ(fate(converted(with("topics=a\npk.mode=kafka")), "pk.mode"), "not supported");
}

TEST(Convert, NamesAndPlaceholdersAreNotExpanded) {
  const auto odd = converted(
      "connector.class=io.aiven.connect.jdbc.JdbcSinkConnector\ntopics=a\n"
      "connection.url=${vault:secret/pg:url}\nconnection.password=s3cr3t\n"
      "table.name.format=t${env:HOME}\nconsumer.override.group.id=g\n"
      "consumer.override.client.rack=${vault:x:rack}\nerrors.log.include.messages=true");
  expect_in(odd, {"postgres: \"${env:SLUICE_PG_URI}\"", "table: \"t$${env:HOME}\"",
                  "start: {group: \"g\"}", "name: \"a\""});
  EXPECT_EQ(fate(odd, "name"), "to fill in");
  EXPECT_EQ(fate(odd, "consumer.override.client.rack"), "not supported");
  EXPECT_EQ(fate(odd, "connection.password"), "not needed");
}

TEST(Table, IsSound) {
  std::set<std::pair<std::string_view, int>> seen;
  for (const Rule& rule : rules()) {
    EXPECT_TRUE(seen.emplace(rule.property, rule.sinks).second) << rule.property;
    EXPECT_NE(rule.sinks, 0) << rule.property;
    EXPECT_EQ(rule.text.empty(), rule.fate == Fate::kTaken) << rule.property;
    if (!rule.harmless.empty()) {
      EXPECT_EQ(rule.fate, Fate::kNotSupported) << rule.property;
    }
  }
}

}  // namespace
}  // namespace sluice::connect
