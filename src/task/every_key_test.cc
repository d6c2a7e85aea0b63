#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>

#include "task/names.h"
#include "task/parse_testing.h"
#include "task/schema.h"
#include "task/validate.h"

namespace sluice::task {
namespace {

// Every key of the table: a valid value is taken, and each value of a wrong type is refused with
// the path, what was found and what is allowed.
const char* valid_value(const Key& key) {
  static const std::map<std::string_view, const char*> kValid = {
      {"name", R"("a.B_9-")"},
      {"description", R"("x")"},
      {"source", R"({"kafka": {"bootstrap.servers": "h"}, "topics": ["t"]})"},
      {"source.kafka", R"({"bootstrap.servers": "h"})"},
      {"source.kafka.*", R"("v")"},
      {"source.topics", R"(["a", "^b.*"])"},
      {"source.start", R"("latest")"},
      {"source.group", R"("g")"},
      {"target", R"({"postgres": "host=h", "table": "t"})"},
      {"target.postgres", R"("postgres://u@h/d")"},
      {"target.table", R"("\"A b\".\"c\"\"d\"")"},
      {"target.ledger_schema", R"("Ledger")"},
      {"sync", "{}"},
      {"sync.primary_key", R"(["a", "B c"])"},
      {"sync.time_zone", R"("Europe/Paris")"},
      {"sync.extra_fields", R"({"column": "rest"})"},
      {"sync.only_if_newer", R"("version")"},
      {"sync.columns", R"([{"field": "a", "column": "b"}])"},
      {"sync.columns[].field", R"("$.a.b[0]")"},
      {"sync.columns[].column", R"("c")"},
      {"sync.columns[].default", R"([1])"},
      {"sync.columns[].update", "false"},
      {"sync.units", R"({"at": "ms"})"},
      {"sync.units.*", R"("hex")"},
      {"sync.on_delete", R"({"mark": "deleted"})"},
      {"sync.metadata", R"({"_op": "op"})"},
      {"sync.metadata.*", R"("source_ts_ms")"},
      {"sync.unavailable_value", R"("__gone")"},
      {"sync.signal_tables", R"(["debezium_signal", "my_*"])"},
      {"sync.tables", R"({"exclude": ["shop.audit"]})"},
      {"sync.tables.include", R"(["shop.orders", "^shop\\.c"])"},
      {"sync.tables.exclude", R"(["^shop\\.tmp_"])"},
      {"sync.tables.rename", R"({"shop.orders": "sales.orders"})"},
      {"sync.tables.rename.*", R"("racks")"},
      {"breaker", "{}"},
      {"breaker.share", "1"},
      {"breaker.window", "1000000"},
      {"retry_for", R"("10s")"},
      {"tuning", "{}"},
      {"tuning.lanes", "64"},
      {"tuning.batch_rows", "1"},
      {"tuning.batch_bytes", R"("64 kB")"},
      {"tuning.linger_ms", "0"},
      {"tuning.memory_mb", "4"},
  };
  const auto found = kValid.find(key.path);
  return found == kValid.end() ? nullptr : found->second;
}

std::string concrete(std::string_view path) {
  std::string concrete_path(path);
  if (const auto at = concrete_path.find("[]"); at != std::string::npos) {
    concrete_path.replace(at, 2, "[0]");
  }
  if (concrete_path.ends_with(".*")) concrete_path.replace(concrete_path.size() - 1, 1, "rack");
  return concrete_path;
}

bj::value with_key(const Key& key, std::string_view json) {
  bj::value document = minimal();
  if (key.path.starts_with("sync.columns[]")) {
    bj::object column{{"column", "a"}};
    if (key.path != "sync.columns[].meta") column["field"] = "a";
    document.as_object()["sync"] = {{"write", "upsert"}, {"columns", bj::array{column}}};
  }
  for (const char* path : {"sync.on_tombstone", "sync.only_if_newer", "sync.unchanged"}) {
    if (key.path == path) document.as_object()["sync"] = {{"write", "upsert"}};
  }
  for (const char* path :
       {"sync.format", "sync.on_delete", "sync.on_truncate", "sync.schema_changes", "sync.units",
        "sync.units.*", "sync.unavailable_value", "sync.on_missing_row", "sync.metadata",
        "sync.metadata.*", "sync.signal_tables"}) {
    if (key.path == path) document.as_object()["sync"] = {{"mode", "mirror"}};
  }
  if (key.path == "sync.sweep") {
    document.as_object()["sync"] = {{"mode", "mirror"}, {"metadata", {{"_lsn", "lsn"}}}};
  }
  if (key.path.starts_with("sync.tables")) {
    document.as_object()["sync"] = {{"mode", "mirror"}};
    set(document, "target.table", "{source.schema}.{source.table}");
  }
  if (json == R"("history")") document.as_object()["sync"] = {{"mode", "mirror"}};
  set(document, concrete(key.path), bj::parse(json));
  return document;
}

TEST(EveryKey, TakesAValidValue) {
  for (const Key& key : keys()) {
    SCOPED_TRACE(key.path);
    if (key.type == Type::kServer) continue;
    if (key.type == Type::kLater) {
      if (!key.default_text.empty()) good(with_key(key, key.default_text));
    } else if (key.type == Type::kChoice) {
      for (const auto choice : split_choices(key.allowed)) {
        good(with_key(key, fmt::format("\"{}\"", choice)));
      }
    } else {
      ASSERT_NE(valid_value(key), nullptr) << "the test has no valid value for this key";
      good(with_key(key, valid_value(key)));
    }
  }
}

bool takes(const Key& key, const std::string& json) {
  const bool text = json.starts_with('"');
  const bool number = json == "-77";
  switch (key.type) {
    case Type::kValue:
      return json != "null";
    case Type::kLater:
      return json == key.default_text;
    case Type::kSection:
      return json == "null" && key.default_text == "{}";
    case Type::kText: {
      if (key.path == "source.kafka.*" || key.path == "sync.tables.rename.*") {
        return text || number || json == "true";
      }
      if (key.path == "sync.units.*" || key.path == "sync.metadata.*") return false;  // only names
      return text && key.path != "target.postgres";
    }
    case Type::kFlag:
      return json == "true";
    case Type::kChoice:
      return json == "null" && key.allowed.find("null") != std::string_view::npos;
    default:
      return false;
  }
}

TEST(EveryKey, RefusesWrongTypes) {
  for (const Key& key : keys()) {
    if (key.type == Type::kServer) continue;
    for (const std::string json :
         {"null", "true", "-77", "\"wrong\"", "[]", "[[]]", "{}", "{\"x\": 1}"}) {
      SCOPED_TRACE(fmt::format("{}: {}", key.path, json));
      const bool null_default = json == "null" && key.default_text == "null";
      if (null_default || takes(key, json)) {
        if (key.type != Type::kValue && key.type != Type::kLater) good(with_key(key, json));
        continue;
      }
      if (key.type == Type::kSection && json.starts_with('{')) continue;  // judged by its own keys
      if (key.type == Type::kTextMap && json.starts_with('{')) continue;
      const std::string path = concrete(key.path);
      const Errors errors = bad(with_key(key, json));
      const auto about = std::find_if(errors.begin(), errors.end(), [&](const Error& error) {
        return error.code.starts_with(path);
      });
      ASSERT_NE(about, errors.end());
      EXPECT_NE(about->message.find(path), std::string::npos) << about->message;
      EXPECT_NE(about->message.find("found "), std::string::npos) << about->message;
      EXPECT_NE(about->message.find("allowed: "), std::string::npos) << about->message;
    }
  }
}

TEST(EveryKey, KeepsItsBounds) {
  for (const Key& key : keys()) {
    SCOPED_TRACE(key.path);
    if (key.type != Type::kInteger && key.type != Type::kBytes) continue;
    good(with_key(key, std::to_string(key.min)));
    good(with_key(key, std::to_string(key.max)));
    const std::string path(key.path);
    expect_error(with_key(key, std::to_string(key.min - 1)), path, {"allowed: ", "from "});
    expect_error(with_key(key, std::to_string(key.max + 1)), path,
                 {"found the number " + std::to_string(key.max + 1)});
    expect_error(with_key(key, "1.5e0"), path, {"found the number 1.5"});
  }
  expect_error(with("breaker.share", "0"), "breaker.share",
               {"found the number 0", "above 0, at most 1"});
  expect_error(with("breaker.share", "1.01"), "breaker.share", {"found the number 1.01"});
  expect_error(with("retry_for", "\"366d\""), "retry_for", {"found \"366d\"", "at most 365d"});
}

TEST(Names, AreThoseOfTheTable) {
  const auto same = [](std::string_view path, const auto& names) {
    std::string joined;
    for (const auto& [name, value] : names)
      joined += (joined.empty() ? "" : "|") + std::string(name);
    EXPECT_EQ(joined, find_key(path)->allowed) << path;
  };
  same("source.on_gap", kOnGapNames);
  same("sync.mode", kModeNames);
  same("sync.format", kFormatNames);
  same("sync.on_missing_row", kOnMissingRowNames);
  same("sync.on_truncate", kOnTruncateNames);
  same("sync.schema_changes", kSchemaChangesNames);
  same("sync.sweep", kSweepNames);
  same("sync.write", kWriteNames);
  same("on_failure", kOnFailureNames);
  same("delivery", kDeliveryNames);
  same("sync.nul", kNulNames);
  same("sync.on_tombstone", kOnTombstoneNames);
  same("sync.unchanged", kUnchangedNames);
  same("target.pooler", kPoolerNames);
  same("target.level", kLevelNames);
  same("sync.columns[].on_absent", kOnAbsentNames);
  same("sync.columns[].on_null", kOnNullNames);
  same("sync.columns[].unit", kUnitNames);
  same("sync.columns[].encoding", kEncodingNames);
  same("sync.columns[].meta", kMetaNames);
  same("tuning.copy_format", kCopyFormatNames);
}

TEST(Validation, NeverThrowsOnAnyDocument) {
  rc::check("a document of known names and random values is judged, not more", [] {
    const std::vector<std::string> kJson = {"null",
                                            "1",
                                            "-1",
                                            "true",
                                            "\"a\"",
                                            "[]",
                                            "{}",
                                            "[1]",
                                            "[\"^(\"]",
                                            "{\"a\": {}}",
                                            "\"$[\"",
                                            "1e300",
                                            "[{}]",
                                            "{\"offsets\": {\"a\": 1}}",
                                            "[{\"column\": 1}]"};
    bj::value document = minimal();
    const auto edits = *rc::gen::inRange(1, 6);
    for (int i = 0; i < edits; ++i) {
      const auto& key = keys()[*rc::gen::inRange<std::size_t>(0, keys().size())];
      const auto& json = *rc::gen::elementOf(kJson);
      try {
        set(document, concrete(key.path), bj::parse(json));
      } catch (const std::exception&) {  // an edit before this one left no map on the way
      }
    }
    const auto task = parse(document);
    RC_ASSERT(task.has_value() || !task.error().empty());
    if (task) RC_ASSERT(parse(bj::parse(canonical_json(*task))).has_value());
  });
}

}  // namespace
}  // namespace sluice::task
