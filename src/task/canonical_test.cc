#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "task/node.h"
#include "task/parse.h"
#include "task/task.h"

namespace sluice::task {
namespace {

namespace bj = boost::json;

Task read(std::string_view json) {
  auto task = parse(bj::parse(json));
  if (!task) {
    for (const Error& error : task.error()) ADD_FAILURE() << to_string(error);
    return {};
  }
  return *task;
}

constexpr std::string_view kFull = R"({
  "name": "orders", "description": "d",
  "source": {"kafka": {"bootstrap.servers": "h:9092", "sasl.password": "s3cr3t",
                       "isolation.level": "read_uncommitted"},
             "topics": ["a", "^b"], "start": {"offsets": {"a": {"0": 5}}}, "group": "g",
             "on_gap": "continue"},
  "target": {"postgres": "postgresql://u:s3cr3t@h/db", "table": "t", "ledger_schema": "l"},
  "sync": {"write": "upsert", "primary_key": ["id"], "time_zone": "Asia/Tokyo", "nul": "strip",
           "extra_fields": {"column": "rest"}, "on_tombstone": "delete",
           "columns": [{"field": "id", "column": "id", "on_null": "default", "default": "x"},
                       {"field": "$.t", "column": "t", "unit": "us", "on_absent": "keep"},
                       {"field": "b", "column": "b", "encoding": "hex", "on_absent": "fail"},
                       {"meta": "headers", "column": "h"}]},
  "on_failure": "deliver", "breaker": {"share": 0.1, "window": 50}, "retry_for": "90s",
  "tuning": {"lanes": 3, "batch_rows": 7, "batch_bytes": "1 MB", "linger_ms": 1, "memory_mb": 8,
             "copy_format": "binary"}})";

constexpr std::string_view kSmall = R"({"name": "n",
  "source": {"kafka": {"bootstrap.servers": "h"}, "topics": ["t"]},
  "target": {"postgres": "host=h password='a b' user=u", "table": "t"}})";

TEST(Canonical, HasEveryDefaultAndSortedNames) {
  EXPECT_EQ(
      canonical_json(read(kSmall)),
      R"({"breaker":{"share":0.5,"window":1000},"delivery":"exactly_once","description":"","name":"n",)"
      R"("on_failure":"retain","retry_for":null,"source":{"group":null,"kafka":{"bootstrap.servers":"h"},)"
      R"("on_gap":"stop","start":"earliest","topics":["t"]},"sync":{"columns":null,)"
      R"("extra_fields":"ignore","mode":"mapping","nul":"fail","on_tombstone":"fail","only_if_newer":null,)"
      R"("primary_key":null,)"
      R"("time_zone":"UTC","unchanged":"write","write":"insert"},"target":{"ledger_schema":"sluice",)"
      R"("level":"current",)"
      R"("pooler":"none","postgres":"host=h password=*** user=u","table":"t"},"tuning":{)"
      R"("batch_bytes":"16 MB","batch_rows":20000,"copy_format":"auto","lanes":null,"linger_ms":500,)"
      R"("memory_mb":48}})");
}

TEST(Canonical, IsReadBackAsItself) {
  for (const std::string_view json : {kFull, kSmall}) {
    const std::string canonical = canonical_json(read(json));
    EXPECT_EQ(canonical_json(read(canonical)), canonical);
    EXPECT_EQ(canonical.find("s3cr3t"), std::string::npos);
  }
}

TEST(Canonical, KeepsAGroupToStartFrom) {
  const Task task = read(R"({"name": "n",
    "source": {"kafka": {"bootstrap.servers": "h"}, "topics": ["t"], "start": {"group": "g 1"}},
    "target": {"postgres": "host=h", "table": "t"}})");
  const std::string canonical = canonical_json(task);
  EXPECT_NE(canonical.find(R"("start":{"group":"g 1"})"), std::string::npos) << canonical;
  EXPECT_EQ(canonical_json(read(canonical)), canonical);
  EXPECT_NE(hash_of(task), hash_of(read(kSmall)));
}

TEST(Canonical, KeepsTheDigitsOfDefaults) {
  Node document = from_json(bj::parse(kSmall));
  Node column = Node::map();
  column.add("field", Node::string("a"));
  column.add("column", Node::string("a"));
  column.add("default", Node::number("123456789012345678901.10"));
  document.add("sync", Node::map()).add("columns", Node::list()).items.push_back(column);
  const auto task = parse(document);
  ASSERT_TRUE(task);
  EXPECT_EQ(task->sync.columns->front().default_json, "123456789012345678901.10");
  EXPECT_NE(canonical_json(*task).find(R"("default":123456789012345678901.10,)"),
            std::string::npos);
}

TEST(Hash, IsStable) {
  // If this changes, a new version refuses to run beside an old one: that needs a reason.
  EXPECT_EQ(hash_of(read(kSmall)),
            "91b9491d0889a57b9ec84572bef08b671c8e792f2ffe8125955ef23ba3b14810");
  EXPECT_EQ(hash_of(read(kFull)),
            "48707dc4ae8a6778c8523f4adfa24ad0aa24cec922124c90fedafddfa2582bc3");
}

TEST(Hash, DoesNotSeeWhatChangesNoRow) {
  const std::string hash = hash_of(read(kFull));
  Task task = read(kFull);
  task.description = "other";
  task.tuning = Tuning();
  task.retry_for.reset();
  task.target.postgres = "host=other password=new";
  task.target.pooler = Pooler::kTransaction;
  task.target.level = Level::kPostgres94;
  task.source.kafka["sasl.password"] = "new";
  task.source.kafka["bootstrap.servers"] = "other:9092";
  EXPECT_EQ(hash_of(task), hash);
}

TEST(Hash, SeesEverythingElse) {
  const std::string hash = hash_of(read(kFull));
  const auto changed = [&](auto change) {
    Task task = read(kFull);
    change(task);
    return hash_of(task) != hash;
  };
  EXPECT_TRUE(changed([](Task& t) { t.name = "other"; }));
  EXPECT_TRUE(changed([](Task& t) { t.source.topics.pop_back(); }));
  EXPECT_TRUE(changed([](Task& t) { t.source.start = StartLatest{}; }));
  EXPECT_TRUE(changed([](Task& t) { t.source.group.reset(); }));
  EXPECT_TRUE(changed([](Task& t) { t.source.on_gap = OnGap::kStop; }));
  EXPECT_TRUE(changed([](Task& t) { t.source.kafka.erase("isolation.level"); }));
  EXPECT_TRUE(changed([](Task& t) { t.target.table = "other"; }));
  EXPECT_TRUE(changed([](Task& t) { t.target.ledger_schema = "other"; }));
  EXPECT_TRUE(changed([](Task& t) { t.sync.write = Write::kInsert; }));
  EXPECT_TRUE(changed([](Task& t) { t.sync.primary_key.push_back("b"); }));
  EXPECT_TRUE(changed([](Task& t) { t.sync.time_zone = "UTC"; }));
  EXPECT_TRUE(changed([](Task& t) { t.sync.nul = Nul::kFail; }));
  EXPECT_TRUE(changed([](Task& t) { t.sync.extra_fields = ExtraFields::kFail; }));
  EXPECT_TRUE(changed([](Task& t) { t.sync.extra_fields_column = "other"; }));
  EXPECT_TRUE(changed([](Task& t) { t.sync.on_tombstone = OnTombstone::kIgnore; }));
  EXPECT_TRUE(changed([](Task& t) { t.sync.columns->front().update = false; }));
  EXPECT_TRUE(changed([](Task& t) { t.sync.only_if_newer = "t"; }));
  EXPECT_TRUE(changed([](Task& t) { t.sync.unchanged = Unchanged::kSkip; }));
  EXPECT_TRUE(changed([](Task& t) { t.sync.columns.reset(); }));
  EXPECT_TRUE(changed([](Task& t) { t.sync.columns->pop_back(); }));
  EXPECT_TRUE(changed([](Task& t) { (*t.sync.columns)[0].default_json = "\"y\""; }));
  EXPECT_TRUE(changed([](Task& t) { (*t.sync.columns)[0].on_null = OnNull::kFail; }));
  EXPECT_TRUE(changed([](Task& t) { (*t.sync.columns)[1].unit = Unit::kNanos; }));
  EXPECT_TRUE(changed([](Task& t) { (*t.sync.columns)[1].on_absent = OnAbsent::kNull; }));
  EXPECT_TRUE(changed([](Task& t) { (*t.sync.columns)[2].encoding = Encoding::kBase64; }));
  EXPECT_TRUE(changed([](Task& t) { (*t.sync.columns)[3].meta = Meta::kKey; }));
  EXPECT_TRUE(changed([](Task& t) { t.on_failure = OnFailure::kDiscard; }));
  EXPECT_TRUE(changed([](Task& t) { t.delivery = Delivery::kAtLeastOnce; }));
  EXPECT_TRUE(changed([](Task& t) { t.breaker.share = 0.2; }));
  EXPECT_TRUE(changed([](Task& t) { t.breaker.window = 51; }));
}

TEST(Conninfo, HidesPasswords) {
  const std::pair<const char*, const char*> kCases[] = {
      {"postgresql://u@h:5432/db", "postgresql://u@h:5432/db"},
      {"postgresql://u:pw@h:5432/db?sslmode=require",
       "postgresql://u:***@h:5432/db?sslmode=require"},
      {"postgres://u:p/w@x@h/db", "postgres://u:***@h/db"},
      {"postgres://u:p?w@h/db?a=b", "postgres://u:***@h/db?a=b"},
      {"postgres://h:1/db?user=u&password=pw&x=y", "postgres://h:1/db?user=u&password=***&x=y"},
      {"postgres://h/db?pass%77ord=pw", "postgres://h/db?pass%77ord=***"},
      {"postgres:///db?sslpassword=pw", "postgres:///db?sslpassword=***"},
      {"host=h password=pw dbname=d", "host=h password=*** dbname=d"},
      {"password = 'it\\'s me' host = 'a b'", "password = *** host = 'a b'"},
      {"password=a\\ b host=h", "password=*** host=h"},
      {"host=h password='open", "***"},
      {"nonsense pw", "***"},
      {"", ""},
  };
  for (const auto& [conninfo, masked] : kCases) EXPECT_EQ(mask_conninfo(conninfo), masked);
}

TEST(Property, KnowsSecretOnes) {
  for (const char* name :
       {"sasl.password", "ssl.key.password", "ssl.keystore.password", "ssl.key.pem",
        "sasl.oauthbearer.client.secret", "sasl.oauthbearer.config",
        "sasl.oauthbearer.assertion.private.key.passphrase"}) {
    EXPECT_TRUE(is_secret_property(name)) << name;
  }
  for (const char* name :
       {"bootstrap.servers", "sasl.username", "ssl.ca.location", "security.protocol"}) {
    EXPECT_FALSE(is_secret_property(name)) << name;
  }
}

TEST(LineOf, FindsTheNearest) {
  Node document = Node::map();
  document.line = 1;
  Node& source = document.add("source", Node::map());
  source.line = 2;
  Node& kafka = source.add("kafka", Node::map());
  kafka.line = 3;
  kafka.add("bootstrap.servers", Node::string("h")).line = 4;
  kafka.add("bootstrap", Node::string("h")).line = 5;
  Node& topics = source.add("topics", Node::list());
  topics.line = 6;
  for (int i = 0; i < 12; ++i) {
    topics.items.push_back(Node::string("t"));
    topics.items.back().line = 7 + i;
  }
  EXPECT_EQ(line_of(document, "source.kafka.bootstrap.servers"), 4);
  EXPECT_EQ(line_of(document, "source.kafka.bootstrap"), 5);
  EXPECT_EQ(line_of(document, "source.topics[1]"), 8);
  EXPECT_EQ(line_of(document, "source.topics[11]"), 18);
  EXPECT_EQ(line_of(document, "source.topics[12].x"), 6);
  EXPECT_EQ(line_of(document, "source.start"), 2);
  EXPECT_EQ(line_of(document, "target.table"), 1);
  EXPECT_EQ(line_of(document, ""), 1);
}

}  // namespace
}  // namespace sluice::task
