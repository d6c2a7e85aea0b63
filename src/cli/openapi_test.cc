// api/openapi.yaml against the tables in the program that it describes. Here, because this module
// reads YAML.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "cli/yaml.h"
#include "control/events.h"
#include "control/problem.h"
#include "control/task_state.h"
#include "server/api.h"
#include "task/schema.h"

namespace sluice::cli {
namespace {

using Names = std::set<std::string, std::less<>>;
using task::Node;

const Node& description() {
  static const Node kRoot = [] {
    auto parsed = parse_yaml(server::openapi_text(), "api/openapi.yaml");
    EXPECT_TRUE(parsed) << to_string(parsed.error());
    return parsed ? std::move(*parsed) : Node::map();
  }();
  return kRoot;
}

// What stands at a path of names; an empty map if there is nothing.
const Node& at(const Node& from, std::initializer_list<std::string_view> path) {
  static const Node kNothing = Node::map();
  const Node* node = &from;
  for (const auto name : path) {
    node = node->find(name);
    if (node == nullptr) return kNothing;
  }
  return *node;
}

// $ref to the part of components that it names.
const Node& resolved(const Node& node) {
  const Node* reference = node.find("$ref");
  if (reference == nullptr) return node;
  const std::string& text = reference->text;  // "#/components/KIND/NAME"
  const auto slash = text.rfind('/'), before = text.rfind('/', slash - 1);
  return at(description(),
            {"components", text.substr(before + 1, slash - before - 1), text.substr(slash + 1)});
}

Names texts(const Node& list) {
  Names names;
  for (const auto& item : list.items) names.insert(item.text);
  return names;
}

Names enum_of(std::string_view schema) {
  return texts(at(description(), {"components", "schemas", schema, "enum"}));
}

Names members(const Node& map) {
  Names names;
  for (const auto& member : map.members) names.insert(member.name);
  return names;
}

Names words(std::string_view text) {
  Names names;
  while (!text.empty()) {
    const auto blank = std::min(text.find(' '), text.size());
    if (blank > 0) names.emplace(text.substr(0, blank));
    text.remove_prefix(std::min(blank + 1, text.size()));
  }
  return names;
}

// Names of the parameters of an operation that stand in "query", "header" or "path".
Names parameters(const Node& path, const Node& operation, std::string_view place) {
  Names names;
  for (const Node* of : {&path, &operation}) {
    for (const auto& parameter : at(*of, {"parameters"}).items) {
      const Node& whole = resolved(parameter);
      if (at(whole, {"in"}).text == place) names.insert(at(whole, {"name"}).text);
    }
  }
  return names;
}

Names in_braces(std::string_view path) {
  Names names;
  for (auto open = path.find('{'); open != std::string_view::npos; open = path.find('{', open + 1))
    names.emplace(path.substr(open + 1, path.find('}', open) - open - 1));
  return names;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return tolower(c); });
  return out;
}

TEST(OpenApi, HasTheOperationsOfTheTable) {
  Names described, there;
  for (const auto& path : at(description(), {"paths"}).members) {
    for (const auto& method : path.value.members) {
      if (method.name == "parameters") continue;
      described.insert(method.name + ' ' + path.name + ' ' +
                       at(method.value, {"operationId"}).text);
    }
  }
  for (const auto* operation : server::all_operations()) {
    there.insert(lower(operation->method) + ' ' + std::string(operation->path) + ' ' +
                 std::string(operation->name));
  }
  EXPECT_EQ(described, there);
}

TEST(OpenApi, SaysOfEachWhatTheTableSays) {
  for (const auto* operation : server::all_operations()) {
    const Node& path = at(description(), {"paths", operation->path});
    const Node& described = at(path, {lower(operation->method)});
    const auto name = operation->name;
    EXPECT_EQ(at(described, {"x-role"}).text, control::name_of(operation->role)) << name;
    EXPECT_EQ(parameters(path, described, "query"), words(operation->query)) << name;
    EXPECT_EQ(parameters(path, described, "path"), in_braces(operation->path)) << name;
    const Names headers = parameters(path, described, "header");
    EXPECT_EQ(headers.contains("Idempotency-Key"), operation->creates) << name;
    EXPECT_TRUE(headers.contains("Accept-Language") && headers.contains("X-Request-Id")) << name;
    const Node& body = at(described, {"requestBody"});
    EXPECT_EQ(!body.members.empty(), operation->takes_body) << name;
    if (operation->takes_body) {
      EXPECT_EQ(at(body, {"required"}).text, operation->body_optional ? "false" : "true") << name;
    }
    // Changes by cookie need the CSRF header; without log-in nothing is asked for.
    const Node* security = described.find("security");
    if (operation->role == control::Role::kNobody) {
      EXPECT_TRUE(security != nullptr && security->items.empty()) << name;
    } else if (operation->method == "GET") {
      EXPECT_EQ(security, nullptr) << name << ": that of all";
    } else {
      ASSERT_TRUE(security != nullptr && security->items.size() == 2) << name;
      EXPECT_EQ(members(security->items[1]), (Names{"session", "csrf"})) << name;
    }
    EXPECT_FALSE(at(described, {"summary"}).text.empty()) << name;
  }
}

TEST(OpenApi, HasAnExampleOfEachBodyAndAnswer) {
  const auto expect_example = [](const Node& holder, std::string_view where) {
    for (const auto& content : at(resolved(holder), {"content"}).members) {
      if (content.name == "application/problem+json") continue;
      EXPECT_TRUE(content.value.find("example") != nullptr ||
                  content.value.find("examples") != nullptr)
          << where << ' ' << content.name;
    }
  };
  for (const auto* operation : server::all_operations()) {
    const Node& described = at(description(), {"paths", operation->path, lower(operation->method)});
    expect_example(at(described, {"requestBody"}), operation->name);
    for (const auto& response : at(described, {"responses"}).members) {
      expect_example(response.value, operation->name);
    }
  }
}

TEST(OpenApi, NamesEveryProblemEventAndState) {
  Names codes, types, states;
  for (const auto& kind : control::problem_kinds()) codes.emplace(kind.code);
  for (const auto& kind : control::event_kinds()) types.emplace(kind.type);
  for (int i = 0; i < control::kTaskStates; ++i) {
    states.emplace(control::name_of(static_cast<control::TaskState>(i)));
  }
  EXPECT_EQ(enum_of("ProblemCode"), codes);
  EXPECT_EQ(enum_of("EventTypeName"), types);
  EXPECT_EQ(enum_of("TaskState"), states);
  for (const auto& type : enum_of("ConnectionType")) {
    EXPECT_TRUE(control::is_connection_type(type)) << type;
    EXPECT_EQ(enum_of("PostgresType").contains(type), control::is_postgres_type(type)) << type;
  }
}

TEST(OpenApi, HasTheKeysOfATaskDocument) {
  const Node& document = at(description(), {"components", "schemas", "TaskDocument", "properties"});
  for (const std::string_view section : {"", "source", "target"}) {
    Names keys;
    for (const auto* key : task::keys_under(section)) keys.emplace(task::name_of(*key));
    // Those that connections stand for.
    if (section == "source") keys.erase("kafka");
    if (section == "target") keys.erase("postgres");
    const Node& part = section.empty() ? document : at(document, {section, "properties"});
    EXPECT_EQ(members(part), keys) << section;
  }
}

}  // namespace
}  // namespace sluice::cli
