#include "task/parse.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "task/parse_testing.h"
#include "task/validate.h"

namespace sluice::task {
namespace {

TEST(Parse, FillsInDefaults) {
  const Task task = good(minimal());
  EXPECT_EQ(task.name, "orders");
  EXPECT_EQ(task.source.kafka.at("bootstrap.servers"), "h:9092");
  EXPECT_EQ(task.source.topics, std::vector<std::string>{"orders"});
  EXPECT_TRUE(std::holds_alternative<StartEarliest>(task.source.start));
  EXPECT_EQ(task.source.group, std::nullopt);
  EXPECT_EQ(task.target.table, "public.orders");
  EXPECT_EQ(task.target.ledger_schema, "sluice");
  EXPECT_EQ(task.sync.write, Write::kInsert);
  EXPECT_EQ(task.sync.columns, std::nullopt);
  EXPECT_EQ(task.tuning.lanes, std::nullopt);
  EXPECT_EQ(task.tuning.batch_bytes, 16 << 20);
  EXPECT_EQ(task.retry_for, std::nullopt);
}

TEST(Parse, ReadsTheWholeExampleOfTheDesign) {
  const Task task = good(bj::parse(R"({
    "name": "orders", "description": "",
    "source": {"kafka": {"bootstrap.servers": "127.0.0.1:9092", "session.timeout.ms": 10000,
                         "enable.ssl.certificate.verification": true},
               "topics": ["orders"], "start": "earliest", "group": null, "on_gap": "stop"},
    "rules": [],
    "target": {"postgres": "postgresql://sluice@127.0.0.1:5432/shop", "table": "public.orders",
               "ledger_schema": "sluice", "pooler": "none"},
    "sync": {"mode": "mapping", "write": "upsert", "primary_key": ["id"], "time_zone": "UTC",
             "nul": "fail", "extra_fields": "ignore", "only_if_newer": null, "unchanged": "write",
             "on_tombstone": "delete",
             "columns": [{"field": "id", "column": "id", "update": true},
                         {"field": "$.customer.name", "column": "customer", "on_absent": "default",
                          "on_null": "null", "default": {"a": [1, "x"]}},
                         {"field": "at", "column": "at", "unit": "ms", "on_absent": "keep"},
                         {"field": "b", "column": "b", "encoding": "hex", "on_null": "fail"},
                         {"meta": "offset", "column": "kafka_offset"}]},
    "on_failure": "deliver", "breaker": {"share": 0.25, "window": 10}, "retry_for": "5m",
    "delivery": "exactly_once",
    "tuning": {"lanes": 2, "batch_rows": 5, "batch_bytes": "1 MB", "linger_ms": 7, "memory_mb": 64,
               "copy_format": "text", "max_bytes_per_second": null}})"));
  EXPECT_EQ(task.source.kafka.at("session.timeout.ms"), "10000");
  EXPECT_EQ(task.source.kafka.at("enable.ssl.certificate.verification"), "true");
  EXPECT_EQ(task.sync.write, Write::kUpsert);
  EXPECT_EQ(task.sync.primary_key, std::vector<std::string>{"id"});
  EXPECT_EQ(task.sync.on_tombstone, OnTombstone::kDelete);
  const auto& columns = *task.sync.columns;
  ASSERT_EQ(columns.size(), 5U);
  EXPECT_EQ(columns[1].field, "$.customer.name");
  EXPECT_EQ(columns[1].default_json, R"({"a":[1,"x"]})");
  EXPECT_EQ(columns[2].unit, Unit::kMillis);
  EXPECT_EQ(columns[2].on_absent, OnAbsent::kKeep);
  EXPECT_EQ(columns[3].encoding, Encoding::kHex);
  EXPECT_EQ(columns[3].on_null, OnNull::kFail);
  EXPECT_EQ(columns[4].meta, Meta::kOffset);
  EXPECT_EQ(columns[4].field, std::nullopt);
  EXPECT_EQ(task.on_failure, OnFailure::kDeliver);
  EXPECT_DOUBLE_EQ(task.breaker.share, 0.25);
  EXPECT_EQ(task.breaker.window, 10);
  EXPECT_EQ(task.retry_for, std::chrono::minutes(5));
  EXPECT_EQ(task.tuning.lanes, 2);
  EXPECT_EQ(task.tuning.batch_rows, 5);
  EXPECT_EQ(task.tuning.batch_bytes, 1 << 20);
  EXPECT_EQ(task.tuning.linger, std::chrono::milliseconds(7));
  EXPECT_EQ(task.tuning.memory_mb, 64);
  EXPECT_EQ(task.tuning.copy_format, Tuning::CopyFormat::kText);
}

TEST(Parse, CollectsAllErrors) {
  const Errors errors = bad(bj::parse(R"({"name": "9", "source": {"topics": []},
    "target": {"table": 5, "postgres": "x=y"}, "sync": {"write": "upsrt"}, "zzzzz": 1})"));
  std::vector<std::string> paths;
  for (const Error& error : errors) paths.push_back(error.code);
  std::sort(paths.begin(), paths.end());
  EXPECT_EQ(paths, (std::vector<std::string>{"name", "source.kafka", "source.topics", "sync.write",
                                             "target.table", "zzzzz"}));
}

TEST(Parse, BoundsTheNumberOfErrors) {
  bj::value document = minimal();
  for (int i = 0; i < 1000; ++i) document.as_object()[fmt::format("unknown_{}", i)] = i;
  const Errors errors = bad(document);
  ASSERT_EQ(errors.size(), kMaxErrors + 1);
  EXPECT_NE(errors.back().message.find("more than 50 errors"), std::string::npos);
}

TEST(Parse, RefusesWhatIsNoMap) {
  expect_error(bj::parse("[]"), "", {"found an empty list", "allowed: a map", "name, description"});
  expect_error(bj::parse("null"), "", {"found null"});
  expect_error(bj::parse("\"x\""), "", {"found \"x\""});
}

TEST(Parse, NamesUnknownKeysAndWhatWasMeant) {
  expect_error(with("sync.wirte", "1"), "sync.wirte",
               {"unknown key", "allowed in sync: mode, write", "Did you mean write?"});
  expect_error(with("primary_key", "[\"id\"]"), "primary_key",
               {"unknown key", "allowed here: name,", "There is sync.primary_key: move it there."});
  expect_error(with("sync.columns[0]", R"({"feild": "a", "field": "a", "column": "a"})"),
               "sync.columns[0].feild", {"unknown key", "Did you mean field?"});
  expect_error(with("zzzzzz", "1"), "zzzzzz", {"unknown key", "on_failure"});
}

TEST(Parse, NamesMissingKeys) {
  for (const char* path : {"name", "source", "target"}) {
    bj::value document = minimal();
    document.as_object().erase(path);
    expect_error(document, path, {"found nothing", "allowed: "});
  }
  bj::value document = minimal();
  document.at("target").as_object().erase("table");
  expect_error(document, "target.table", {"found nothing", "SCHEMA.TABLE", "Add table."});
}

TEST(Parse, TakesTemplates) {
  const auto mirror = [](const char* table) {
    bj::value document = with("sync.mode", R"("mirror")");
    set(document, "target.table", table);
    return document;
  };
  EXPECT_TRUE(good(mirror("ods.{source.db}_{source.table}")).has_many_tables());
  EXPECT_FALSE(good(mirror("\"{topic}\"")).has_many_tables());
  for (const char* const wrong :
       {"{table}", "{topic", "a.{topic}.b", "{source.schema}.", "x}{topic}"}) {
    expect_error(mirror(wrong), "target.table", {"template", "{source.table}"});
  }
  expect_error(with("target.table", R"("{topic}")"), "target.table", {"mapping"});
  bj::value document = mirror("{topic}");
  set(document, "sync.tables", {{"include", bj::array{"^("}}});
  expect_error(document, "sync.tables.include", {"regular expression"});
  set(document, "sync.tables", {{"rename", {{"a", "b.c.d"}}}});
  expect_error(document, "sync.tables.rename.a", {"b.c.d"});
  set(document, "sync.tables", bj::object{});
  set(document, "sync.primary_key", bj::array{"id"});
  expect_error(document, "sync.primary_key", {"template"});
  document = mirror("t");
  set(document, "sync.tables", {{"include", bj::array{"t"}}});
  expect_error(document, "sync.tables", {"one table"});
}

TEST(Parse, KnowsKeysOfLaterVersions) {
  const std::pair<const char*, const char*> kLater[] = {
      {"rules", R"([{"parse": "json"}])"},
      {"tuning.max_bytes_per_second", "\"1 MB\""},
  };
  for (const auto& [path, json] : kLater) {
    const Errors errors = bad(with(path, json));
    ASSERT_EQ(errors.size(), 1U) << path;
    EXPECT_TRUE(errors[0].code.starts_with(path)) << errors[0].code;
    EXPECT_NE(errors[0].message.find("this version"), std::string::npos) << errors[0].message;
    EXPECT_NE(errors[0].message.find(SLUICE_VERSION), std::string::npos) << errors[0].message;
    EXPECT_NE(errors[0].message.find("allowed: "), std::string::npos) << errors[0].message;
    EXPECT_EQ(errors[0].message.find("unknown"), std::string::npos) << errors[0].message;
  }
}

TEST(Parse, SaysThatConnectionsAreForServers) {
  expect_error(with("source.connection", "\"prod\""), "source.connection",
               {"on a server", "source.kafka"});
  expect_error(with("target.connection", "\"prod\""), "target.connection",
               {"on a server", "target.postgres"});
  expect_error(with("target.database", "\"shop\""), "target.database", {"target.postgres"});
}

TEST(Mode, HasKeysOfItsOwn) {
  auto document = with("sync.mode", "\"mirror\"");
  good(document);
  set(document, "sync.write", bj::parse("\"upsert\""));
  expect_error(document, "sync.write", {"mode: mirror"});
  expect_error(with("sync.format", "\"json\""), "sync.format", {"mode: mapping"});
  document = with("sync.mode", "\"mirror\"");
  set(document, "sync.units", bj::parse(R"({"at": "weeks"})"));
  expect_error(document, "sync.units.at", {"\"weeks\"", "unsigned"});
}

TEST(Name, HasAPattern) {
  for (const char* json : {R"("")", R"("9a")", R"("a b")", R"("é")", R"("_a")", R"("a/b")"}) {
    expect_error(with("name", json), "name", {"found ", "a letter first", "at most 64"});
  }
  expect_error(with("name", fmt::format("\"{}\"", std::string(65, 'a'))), "name", {"...\""});
  good(with("name", fmt::format("\"{}\"", std::string(64, 'a'))));
  expect_error(with("name", "2024"), "name", {"found the number 2024", "Put it in quotes"});
}

TEST(Topics, AreNamesOrExpressions) {
  expect_error(with("source.topics", "[]"), "source.topics",
               {"found an empty list", "a list of topic"});
  expect_error(with("source.topics", "\"orders\""), "source.topics",
               {"found \"orders\"", "Write topics: [\"orders\"]."});
  expect_error(with("source.topics", R"(["a", "b", "a"])"), "source.topics[2]",
               {"found \"a\" a second time", "source.topics[0]"});
  expect_error(with("source.topics", R"(["a b"])"), "source.topics[0]",
               {"found \"a b\"", "letters"});
  expect_error(with("source.topics", R"([".."])"), "source.topics[0]", {"found \"..\""});
  expect_error(with("source.topics", R"([""])"), "source.topics[0]", {"found an empty text"});
  expect_error(with("source.topics", R"([7])"), "source.topics[0]", {"the number 7", "quotes"});
  expect_error(with("source.topics", R"(["^a(b"])"), "source.topics[0]",
               {"found \"^a(b\"", "RE2", "missing )"});
}

TEST(Start, HasFiveForms) {
  EXPECT_TRUE(
      std::holds_alternative<StartLatest>(good(with("source.start", "\"latest\"")).source.start));
  const Task timed = good(with("source.start", R"({"timestamp": "2026-01-01T00:00:00Z"})"));
  EXPECT_EQ(std::get<StartTimestamp>(timed.source.start).timestamp_ms, 1'767'225'600'000);
  const Task one = good(with("source.start", R"({"offsets": {"0": 42, "1": 0}})"));
  EXPECT_EQ(std::get<StartOffsets>(one.source.start).offsets,
            (std::map<std::string, std::map<std::int32_t, std::int64_t>>{{"", {{0, 42}, {1, 0}}}}));
  const Task named = good(with("source.start", R"({"offsets": {"orders": {"3": 9}}})"));
  EXPECT_EQ(std::get<StartOffsets>(named.source.start).offsets,
            (std::map<std::string, std::map<std::int32_t, std::int64_t>>{{"orders", {{3, 9}}}}));
  const Task after = good(with("source.start", R"({"group": "connect-orders"})"));
  EXPECT_EQ(std::get<StartGroup>(after.source.start).group, "connect-orders");
}

TEST(Start, RefusesTheRest) {
  const auto start = [](std::string_view json) { return with("source.start", json); };
  expect_error(start("\"newest\""), "source.start", {"found \"newest\"", "earliest, latest,"});
  expect_error(start("{}"), "source.start", {"found an empty map"});
  expect_error(start(R"({"group": ""})"), "source.start.group",
               {"found an empty text", "consumer group"});
  expect_error(start(R"({"group": 7})"), "source.start.group", {"found the number 7"});
  expect_error(start(R"({"group": ["g"]})"), "source.start.group", {"found a list"});
  expect_error(with("source.start", "{\"group\": \"" + std::string(250, 'g') + "\"}"),
               "source.start.group", {"1 to 249 characters"});
  expect_error(start(R"({"group": "g", "offsets": {"0": 1}})"), "source.start", {"found a map"});
  expect_error(start(R"({"time": "x"})"), "source.start", {"a map with \"time\"", "{timestamp:"});
  expect_error(start(R"({"timestamp": "x", "offsets": {}})"), "source.start", {"found a map"});
  expect_error(start(R"({"timestamp": "2026-01-01"})"), "source.start.timestamp",
               {"found \"2026-01-01\"", "RFC 3339"});
  expect_error(start(R"({"timestamp": 1767225600})"), "source.start.timestamp",
               {"found the number 1767225600"});
  expect_error(start(R"({"timestamp": "1969-12-31T23:59:59.999Z"})"), "source.start.timestamp",
               {"from 1970 on"});
  expect_error(start(R"({"offsets": {}})"), "source.start.offsets", {"found an empty map"});
  expect_error(start(R"({"offsets": {"00": 1}})"), "source.start.offsets",
               {"partition named \"00\""});
  expect_error(start(R"({"offsets": {"2147483648": 1}})"), "source.start.offsets", {"partition"});
  expect_error(start(R"({"offsets": {"0": -1}})"), "source.start.offsets.0",
               {"found the number -1"});
  expect_error(start(R"({"offsets": {"0": "1"}})"), "source.start.offsets.0", {"found \"1\""});
  expect_error(start(R"({"offsets": {"other": {"0": 1}}})"), "source.start.offsets.other",
               {"source.topics"});
  expect_error(start(R"({"offsets": {"orders": {"0": 1}, "1": 5}})"), "source.start.offsets.1",
               {"found the number 5", "{PARTITION: OFFSET}"});
  bj::value two = start(R"({"offsets": {"0": 1}})");
  two.at("source").as_object()["topics"] = {"a", "b"};
  expect_error(two, "source.start.offsets", {"{TOPIC: {PARTITION: OFFSET}}"});
  two.at("source").as_object()["topics"] = {"^a"};
  expect_error(two, "source.start.offsets", {"{TOPIC: {PARTITION: OFFSET}}"});
}

TEST(Source, NeedsBootstrapServers) {
  expect_error(with("source.kafka", R"({"client.id": "x"})"), "source.kafka.bootstrap.servers",
               {"found nothing", "HOST:PORT"});
  expect_error(with("source.kafka", R"({"bootstrap.servers": ["a", "b"]})"),
               "source.kafka.bootstrap.servers", {"found a list", "joined by commas"});
}

TEST(Target, ChecksNames) {
  const auto table = [](std::string_view name) {
    return with("target.table", bj::serialize(bj::value(name)));
  };
  for (const char* name : {"t", "s.t", "\"a.b\".\"c\"\"d\"", "s.\"\u00e9\"", "Weird Name"}) {
    EXPECT_EQ(good(table(name)).target.table, name);
  }
  for (const char* name :
       {"", ".", "a.", ".a", "a.b.c", "\"a", "\"\"", "a\"b\"", "\"a\"b", "a..b"}) {
    expect_error(table(name), "target.table", {"found ", "SCHEMA.TABLE"});
  }
  expect_error(table(std::string(64, 't')), "target.table", {"found "});
  EXPECT_EQ(good(with("target.pooler", "\"transaction\"")).target.pooler, Pooler::kTransaction);
  expect_error(with("target.pooler", "\"session\""), "target.pooler",
               {"found \"session\"", "none, transaction"});
  EXPECT_EQ(good(with("target.level", "\"postgresql_9_4\"")).target.level, Level::kPostgres94);
  EXPECT_EQ(good(with("target.level", "\"postgresql_9_4\"")).tuning.lanes, 1);
  expect_error(with("target.level", "\"9.4\""), "target.level",
               {"found \"9.4\"", "current, postgresql_9_4"});
  expect_error(with("target.ledger_schema", "\"pg_x\""), "target.ledger_schema",
               {"found \"pg_x\"", "not beginning with pg_"});
}

TEST(Secrets, AreNeverShown) {
  const std::string secret = "s3cr3t";
  for (const auto& [path, json] : std::initializer_list<std::pair<const char*, const char*>>{
           {"target.postgres", R"("s3cr3t")"},
           {"target.postgres", R"(["s3cr3t"])"},
           {"source.kafka.sasl.password", R"(["s3cr3t"])"},
           {"source.kafka", R"("s3cr3t")"}}) {
    bj::value document = minimal();
    if (std::string_view(path) == "source.kafka.sasl.password") {
      document.at("source").at("kafka").as_object()["sasl.password"] = bj::parse(json);
    } else {
      set(document, path, bj::parse(json));
    }
    for (const Error& error : bad(document)) {
      if (std::string_view(path) == "source.kafka") continue;
      EXPECT_EQ(to_string(error).find(secret), std::string::npos) << to_string(error);
    }
  }
  expect_error(with("target.postgres", R"("s3cr3t")"), "target.postgres",
               {"found a text (not shown)", "postgresql://"});
}

TEST(Placeholders, AreShownAsWritten) {
  Node document = from_json(minimal());
  for (Member& member : document.members) {
    if (member.name != "name") continue;
    member.value.text = "9 secret";
    member.value.written = "${env:NAME}";
  }
  const auto task = parse(document);
  ASSERT_FALSE(task);
  const std::string text = to_string(task.error().front());
  EXPECT_EQ(text.find("secret"), std::string::npos) << text;
  EXPECT_NE(text.find("${env:NAME}"), std::string::npos) << text;
}

TEST(Placeholders, FeedNumbers) {
  Node document = from_json(minimal());
  Node lanes = Node::string("4");
  lanes.written = "${env:LANES}";
  document.add("tuning", Node::map()).add("lanes", lanes);
  const auto task = parse(document);
  ASSERT_TRUE(task);
  EXPECT_EQ(task->tuning.lanes, 4);
}

TEST(Columns, AreCheckedOneByOne) {
  const auto column = [](std::string_view json, bool upsert = false) {
    bj::value document = with("sync.columns[0]", json);
    if (upsert) document.at("sync").as_object()["write"] = "upsert";
    return document;
  };
  constexpr std::string_view kPath = "sync.columns[0]";
  expect_error(with("sync.columns", "[]"), "sync.columns",
               {"found an empty list", "one entry a column"});
  expect_error(with("sync.columns", "[\"a\"]"), kPath, {"found \"a\"", "allowed: "});
  expect_error(column(R"({"column": "a"})"), kPath, {"neither field nor meta", "exactly one"});
  expect_error(column(R"({"field": "a", "meta": "key", "column": "a"})"), kPath,
               {"both field and meta"});
  expect_error(column(R"({"field": "a"})"), "sync.columns[0].column",
               {"found nothing", "1 to 63 bytes"});
  expect_error(column(R"({"field": "", "column": "a"})"), "sync.columns[0].field",
               {"an empty text"});
  expect_error(column(R"({"field": "a", "column": ""})"), "sync.columns[0].column",
               {"an empty text"});
  expect_error(column(R"({"field": "a", "column": "x\u0000y"})"), "sync.columns[0].column",
               {"x\\x00y"});
  expect_error(column(R"({"field": "$.a[", "column": "a"})"), "sync.columns[0].field",
               {"found \"$.a[\"", "JSONPath"});
  expect_error(column(R"({"field": "a", "column": "a", "unit": "ms", "encoding": "hex"})"), kPath,
               {"both unit and encoding"});
  expect_error(column(R"({"field": "a", "column": "a", "on_absent": "keep"})"),
               "sync.columns[0].on_absent", {"found keep", "upsert", "default, null, fail"});
  good(column(R"({"field": "a", "column": "a", "on_absent": "keep"})", true));
  expect_error(column(R"({"field": "a", "column": "a", "update": false})"),
               "sync.columns[0].update", {"found false, without write: upsert", "else true"});
  EXPECT_FALSE(good(column(R"({"field": "a", "column": "a", "update": false})", true))
                   .sync.columns->front()
                   .update);
  expect_error(column(R"({"field": "a", "column": "a", "default": 1, "on_absent": "fail"})"),
               "sync.columns[0].default", {"a default that nothing asks for", "on_null: default"});
  good(column(
      R"({"field": "a", "column": "a", "default": 1, "on_absent": "fail", "on_null": "default"})"));
  expect_error(column(R"({"meta": "key", "column": "a", "unit": "ms"})"), "sync.columns[0].unit",
               {"found together with meta"});
  expect_error(column(R"({"meta": "key", "column": "a", "on_absent": "null"})"),
               "sync.columns[0].on_absent", {"found together with meta"});
  good(column(R"({"field": "a", "column": "a", "on_absent": null, "on_null": null})"));
}

TEST(Columns, AreCheckedTogether) {
  bj::value document =
      with("sync.columns", R"([{"field": "a", "column": "x"}, {"field": "b", "column": "X"},
    {"meta": "key", "column": "x"}])");
  expect_error(document, "sync.columns[2].column",
               {"found \"x\"", "sync.columns[0].column feeds already"});
  document = with(
      "sync", R"({"extra_fields": {"column": "x"}, "columns": [{"field": "a", "column": "x"}]})");
  expect_error(document, "sync.extra_fields.column",
               {"sync.columns[0].column feeds", "of its own"});
  document = with("sync", R"({"write": "upsert", "primary_key": ["id", "a"],
                              "columns": [{"field": "a", "column": "a"}]})");
  expect_error(document, "sync.primary_key[0]", {"found \"id\"", "no entry of sync.columns feeds"});
  document = with("sync", R"({"write": "upsert", "primary_key": ["a"],
                              "columns": [{"field": "a", "column": "a", "on_absent": "keep"}]})");
  expect_error(document, "sync.primary_key[0]", {"found \"a\"", "on_absent: keep"});
}

TEST(Sync, ChecksKeyAndTombstones) {
  expect_error(with("sync.primary_key", R"(["a", "a"])"), "sync.primary_key[1]", {"a second time"});
  expect_error(with("sync.primary_key", "\"id\""), "sync.primary_key",
               {"found \"id\"", "Write primary_key: [\"id\"]."});
  expect_error(with("sync.primary_key", fmt::format("[\"{}\"]", std::string(64, 'k'))),
               "sync.primary_key[0]", {"1 to 63 bytes"});
  EXPECT_TRUE(good(with("sync.write", "\"upsert\"")).sync.primary_key.empty());
  for (const char* json : {"\"delete\"", "\"ignore\""}) {
    expect_error(with("sync.on_tombstone", json), "sync.on_tombstone",
                 {"without write: upsert", "else fail"});
  }
  const auto newer = [](std::string_view more) {
    return with("sync", fmt::format(R"({{"only_if_newer": "v"{}}})", more));
  };
  expect_error(with("sync.unchanged", "\"skip\""), "sync.unchanged",
               {"found skip, without write: upsert or update", "else write"});
  constexpr std::string_view kNewer = "sync.only_if_newer";
  EXPECT_EQ(good(newer(R"(, "write": "update")")).sync.only_if_newer, "v");
  expect_error(newer(""), kNewer, {"found \"v\", without write: upsert or update"});
  expect_error(newer(R"(, "write": "insert_ignore")"), kNewer, {"without write: upsert"});
  expect_error(newer(R"(, "write": "upsert", "on_tombstone": "delete")"), "sync.on_tombstone",
               {"found delete, together with only_if_newer", "fail, ignore"});
  expect_error(newer(R"(, "write": "upsert", "primary_key": ["v"])"), kNewer,
               {"found \"v\", a column of the key"});
  expect_error(newer(R"(, "write": "upsert", "columns": [{"field": "a", "column": "a"}])"), kNewer,
               {"found \"v\", which no entry of sync.columns feeds"});
  expect_error(newer(R"(, "write": "upsert", "columns":
                        [{"field": "v", "column": "v", "update": false}])"),
               kNewer, {"found \"v\", whose entry says update: false"});
  expect_error(with("sync.extra_fields", "\"drop\""), "sync.extra_fields",
               {"found \"drop\"", "ignore, fail or {column: NAME}"});
  expect_error(with("sync.extra_fields", R"({"columns": "x"})"), "sync.extra_fields",
               {"found a map"});
  expect_error(with("sync.extra_fields", R"({"column": 5})"), "sync.extra_fields.column",
               {"found the number 5"});
}

}  // namespace
}  // namespace sluice::task
