#include "control/settings.h"

#include <gtest/gtest.h>

#include <set>

namespace sluice::control {
namespace {

SettingSources environment(std::map<std::string, std::string> values) {
  SettingSources sources;
  sources.environment = [values = std::move(values)](const std::string& name) {
    const auto found = values.find(name);
    return found == values.end() ? std::nullopt : std::optional(found->second);
  };
  return sources;
}

std::vector<std::string> mistakes(const std::map<std::string, std::string>& command_line) {
  SettingSources sources;
  sources.command_line = command_line;
  const auto values = collect_settings(sources);
  std::vector<std::string> codes;
  if (!values) {
    for (const auto& error : values.error()) codes.push_back(error.code);
    return codes;
  }
  const auto settings = read_settings(*values);
  if (settings) return codes;
  for (const auto& error : settings.error()) codes.push_back(error.code);
  return codes;
}

TEST(Settings, DefaultsAreGood) {
  const auto values = collect_settings({});
  ASSERT_TRUE(values);
  EXPECT_EQ(values->size(), setting_keys().size());
  const auto settings = read_settings(*values);
  ASSERT_TRUE(settings) << settings.error()[0].message;
  EXPECT_EQ(settings->session_idle, std::chrono::minutes(60));
  EXPECT_EQ(settings->events_kept, std::chrono::hours(90 * 24));
  EXPECT_EQ(settings->allowlist_ranges,
            (std::vector<std::string>{"9.0.0.0/8", "30.0.0.0/8", "11.0.0.0/8"}));
  EXPECT_FALSE(settings->metrics_open);
}

TEST(Settings, LaterSourcesWin) {
  auto sources = environment({{"SLUICE_LISTEN", "127.0.0.1:1"}, {"SLUICE_LIMITS_TASKS", "7"}});
  sources.command_line["listen"] = "127.0.0.1:2";
  const auto values = collect_settings(sources);
  ASSERT_TRUE(values);
  EXPECT_EQ(values->at("listen").text, "127.0.0.1:2");
  EXPECT_EQ(values->at("listen").origin, "command line");
  EXPECT_EQ(values->at("limits.tasks").text, "7");
  EXPECT_EQ(values->at("limits.tasks").origin, "environment");
  EXPECT_EQ(values->at("limits.threads").origin, "default");
}

TEST(Settings, EveryNumberHasBounds) {
  const std::pair<const char*, std::vector<const char*>> kBad[] = {
      {"database.sessions", {"1", "65", "", "x", "8.5", " 8", "99999999999"}},
      {"connection_check_minutes", {"0", "1441", "-1"}},
      {"session.idle_minutes", {"0", "1441"}},
      {"session.longest_hours", {"0", "721"}},
      {"retention.events_days", {"0", "3651"}},
      {"retention.audit_days", {"0", "3651"}},
      {"limits.body_kb", {"15", "65537"}},
      {"limits.connections", {"3", "10001"}},
      {"limits.threads", {"1", "65"}},
      {"limits.requests_per_second", {"0", "100001"}},
      {"limits.tasks", {"0", "10001"}},
      {"limits.saved_connections", {"0", "10001"}},
      {"metrics.open", {"yes", "", "1"}},
      {"log.format", {"xml", ""}},
      {"log.level", {"trace", ""}},
      {"database.schema", {"", "pg_sluice"}},
      {"database.url", {"host='open"}},
  };
  for (const auto& [path, texts] : kBad) {
    for (const auto* text : texts) {
      EXPECT_EQ(mistakes({{path, text}}), std::vector<std::string>{path}) << path << "=" << text;
    }
  }
}

TEST(Settings, AllMistakesAtOnce) {
  EXPECT_EQ(mistakes({{"limits.tasks", "0"}, {"log.level", "x"}, {"tls.key", "k.pem"}}).size(), 3U);
  EXPECT_EQ(mistakes({{"limits.task", "1"}, {"nothing", "1"}}),
            (std::vector<std::string>{"limits.task", "nothing"}));
}

TEST(Settings, SecretsAreMasked) {
  SettingSources sources;
  sources.command_line["database.url"] = "postgresql://u:s3cret@h/d";
  sources.command_line["secret_key.value"] = "s3cret-key";
  const auto values = collect_settings(sources);
  ASSERT_TRUE(values);
  const std::string shown = show_settings(*values);
  EXPECT_EQ(shown.find("s3cret"), std::string::npos) << shown;
  EXPECT_NE(shown.find("***"), std::string::npos);
  for (const auto& key : setting_keys()) {
    const auto dot = key.path.rfind('.');
    const std::string name(dot == std::string_view::npos ? key.path : key.path.substr(dot + 1));
    EXPECT_NE(shown.find(name + ": "), std::string::npos) << key.path;
  }
}

TEST(Settings, NamesOfTheEnvironmentAreDistinct) {
  std::set<std::string> names;
  for (const auto& key : setting_keys()) {
    EXPECT_TRUE(names.insert(environment_name(key.path)).second) << key.path;
  }
  EXPECT_EQ(environment_name("database.url"), "SLUICE_DATABASE_URL");
}

}  // namespace
}  // namespace sluice::control
