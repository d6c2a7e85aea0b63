#include "control/task_document.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <set>

#include "task/parse.h"

namespace sluice::control {
namespace {

// A section of the document where connections stand; its keys are taken out of `section`.
class Place {
 public:
  Place(boost::json::object& document, std::string_view name, std::vector<Error>& errors)
      : name_(name), errors_(errors) {
    auto* found = document.if_contains(name);
    if (found != nullptr && found->is_object()) section_ = &found->get_object();
  }

  // Addresses and passwords are the connections' alone.
  void refuse_key(std::string_view key) {
    if (section_ == nullptr || !section_->contains(key)) return;
    section_->erase(key);
    wrong(key, "is not taken by a server",
          fmt::format("Name a connection in {}.connection.", name_));
  }
  std::string take(std::string_view key, bool required) {
    if (section_ == nullptr) return "";  // the schema says what is missing
    auto* value = section_->if_contains(key);
    if (value == nullptr || value->is_null()) {
      if (required) wrong(key, "is required", "Name a connection: GET /api/v1/connections.");
      section_->erase(key);
      return "";
    }
    std::string text = value->is_string() ? std::string(value->get_string()) : "";
    if (text.empty() || text.size() > 64 || text.find('\0') != std::string::npos) {
      wrong(key, "takes a text of 1 to 64 bytes", "");
    }
    section_->erase(key);
    return text;
  }
  void put(std::string_view key, boost::json::value value) {
    if (section_ != nullptr) (*section_)[key] = std::move(value);
  }

 private:
  void wrong(std::string_view key, std::string_view what, std::string remedy) {
    const std::string path = fmt::format("{}.{}", name_, key);
    errors_.push_back(
        fail(Domain::kDocument, path, fmt::format("{}: {}", path, what), std::move(remedy))
            .value());
  }

  const std::string_view name_;
  std::vector<Error>& errors_;
  boost::json::object* section_ = nullptr;
};

// A value of a conninfo in keyword form (libpq: "Keyword/Value Connection Strings").
std::string conninfo_value(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '\'';
}

// What the control database would not take, or not give back as it was: U+0000, and numbers beyond
// what a double holds exactly, which is what Boost.JSON makes of those beyond 64 bits.
void find_unkept(const boost::json::value& value, const std::string& path,
                 std::vector<Error>& errors) {
  constexpr double kExact = 9007199254740992.0;  // 2^53
  const auto wrong = [&](std::string_view what, std::string remedy) {
    errors.push_back(
        fail(Domain::kDocument, path, fmt::format("{}: {}", path, what), std::move(remedy))
            .value());
  };
  const auto has_nul = [](std::string_view text) {
    return text.find('\0') != std::string_view::npos;
  };
  if (const auto* text = value.if_string(); text != nullptr && has_nul(*text)) {
    wrong("has U+0000, which a server cannot keep", "Leave it out.");
  } else if (const auto* number = value.if_double();
             number != nullptr && !(std::abs(*number) < kExact)) {
    wrong("is a number that cannot be kept exactly", "Write it as a text.");
  } else if (const auto* list = value.if_array(); list != nullptr) {
    for (std::size_t i = 0; i < list->size(); ++i) {
      find_unkept((*list)[i], task::join_path(path, i), errors);
    }
  } else if (const auto* map = value.if_object(); map != nullptr) {
    for (const auto& member : *map) {
      if (has_nul(member.key())) {
        wrong("has a name with U+0000", "Leave it out.");
      } else {
        find_unkept(member.value(), task::join_path(path, member.key()), errors);
      }
    }
  }
}

void compare(const std::string& path, const boost::json::value* before,
             const boost::json::value* after, boost::json::array& out) {
  if (before != nullptr && after != nullptr && *before == *after) return;
  const auto* left = before != nullptr ? before->if_object() : nullptr;
  const auto* right = after != nullptr ? after->if_object() : nullptr;
  if (left == nullptr || right == nullptr) {
    out.push_back({{"path", path},
                   {"before", before != nullptr ? *before : boost::json::value(nullptr)},
                   {"after", after != nullptr ? *after : boost::json::value(nullptr)}});
    return;
  }
  std::set<std::string> names;
  for (const auto& member : *left) names.emplace(member.key());
  for (const auto& member : *right) names.emplace(member.key());
  for (const auto& name : names) {
    compare(task::join_path(path, name), left->if_contains(name), right->if_contains(name), out);
  }
}

}  // namespace

std::string TaskDocument::text() const { return boost::json::serialize(json); }

std::string TaskDocument::source_text() const {
  std::string text = source_connection + ": ";
  for (std::size_t i = 0; i < task.source.topics.size(); ++i) {
    text += (i == 0 ? "" : ", ") + task.source.topics[i];
  }
  return text;
}

std::string TaskDocument::target_text() const {
  return fmt::format("{}: {}{}", target_connection, database.empty() ? "" : database + '.',
                     task.target.table);
}

Answer<TaskDocument> read_document(const boost::json::object& json) {
  TaskDocument document;
  document.json = json;
  boost::json::object rest = json;
  std::vector<Error> errors;
  {
    Place source(rest, "source", errors);
    source.refuse_key("kafka");
    document.source_connection = source.take("connection", true);
    source.put("kafka", {{"bootstrap.servers", "connection"}});
    Place target(rest, "target", errors);
    target.refuse_key("postgres");
    document.target_connection = target.take("connection", true);
    document.database = target.take("database", false);
    target.put("postgres", "host=connection");
  }
  auto parsed = task::parse(boost::json::value(rest));
  if (parsed) {
    find_unkept(json, "", errors);
  } else {
    errors.insert(errors.end(), parsed.error().begin(), parsed.error().end());
  }
  if (!errors.empty()) return refuse_document(errors);
  document.task = std::move(*parsed);
  return document;
}

Answer<pipeline::TaskSource> source_of(const TaskDocument& document, const std::string& id,
                                       Connections& connections) {
  auto source = connections.open(document.source_connection);
  if (!source) return tl::unexpected(source.error());
  auto target = connections.open(document.target_connection);
  if (!target) return tl::unexpected(target.error());
  if (source->type != "kafka" || !is_postgres_type(target->type)) {
    const bool bad_source = source->type != "kafka";
    Problem problem{"invalid_document", "a connection is of another kind than its place asks for"};
    problem.fields.push_back(
        {bad_source ? "source.connection" : "target.connection",
         fmt::format("names a connection of type {}", bad_source ? source->type : target->type)});
    return refuse(std::move(problem));
  }
  const std::string conninfo =
      fmt::format("{} dbname={}", target->conninfo,
                  conninfo_value(document.database.empty() ? target->database : document.database));
  pipeline::TaskSource result;
  result.task = document.task;
  if (!id.empty()) result.task.name = id;
  result.task.source.kafka = source->properties;
  result.task.target.postgres = conninfo;
  // A password that is changed opens the task anew (Connections::edit), so these are constant.
  result.conninfo = [conninfo]() -> Result<std::string> { return conninfo; };
  result.kafka_properties =
      [properties = source->properties]() -> Result<std::map<std::string, std::string>> {
    return properties;
  };
  return result;
}

boost::json::array difference(const boost::json::value& before, const boost::json::value& after) {
  boost::json::array out;
  compare("", &before, &after, out);
  return out;
}

}  // namespace sluice::control
