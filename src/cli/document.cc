#include "cli/document.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "cli/placeholder.h"
#include "cli/yaml.h"
#include "json/text.h"
#include "kafka/consumer.h"
#include "postgres/connection.h"
#include "task/node.h"
#include "task/parse.h"

namespace sluice::cli {

namespace {

using task::Errors;
using task::Node;

constexpr std::string_view kPostgres = "target.postgres";

// NAME:LINE: in front; without a line NAME: alone.
Error placed(Error error, std::string_view name, int line) {
  error.message = line > 0 ? fmt::format("{}:{}: {}", name, line, error.message)
                           : fmt::format("{}: {}", name, error.message);
  return error;
}

Error at_path(Error error, const std::string& path) {
  error.message = fmt::format("{}: {}", path, error.message);
  return error;
}

Result<bool> check_text(std::string_view text, std::string_view name) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return fail(Domain::kDocument, "", fmt::format("{}: the file is empty", name),
                "A task document needs at least name, source and target.");
  }
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
    return fail(Domain::kDocument, "", fmt::format("{}: the file is UTF-16", name),
                "Save it as UTF-8.");
  }
  const std::size_t at = std::min(json::valid_utf8_prefix(text), text.find('\0'));
  if (at >= text.size()) return true;
  const auto line =
      1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
  return fail(Domain::kDocument, "",
              fmt::format("{}:{}: this is not a text file: byte {} is 0x{:02x}, {}", name, line, at,
                          static_cast<unsigned char>(text[at]),
                          text[at] == '\0' ? "which no text has" : "which is not UTF-8"),
              "Is it the right file? Save it as UTF-8.");
}

// Replaces placeholders in every text under `node`; what stood there stays in `written`.
void expand_all(Node& node, const std::string& path, Errors& errors) {
  if (node.kind == Node::Kind::kText && has_placeholder(node.text)) {
    auto value = expand(node.text, path == kPostgres ? Place::kConninfo : Place::kText);
    if (!value) {
      Error error = at_path(value.error(), path);
      error.domain = Domain::kDocument;
      error.code = path;
      errors.push_back(std::move(error));
      node.written = node.text;
      return;
    }
    node.written = std::exchange(node.text, std::move(*value));
  }
  for (auto& member : node.members) {
    expand_all(member.value, task::join_path(path, member.name), errors);
  }
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    expand_all(node.items[i], task::join_path(path, i), errors);
  }
}

// The texts of source.kafka as they are written, before placeholders are replaced.
std::map<std::string, std::string> kafka_as_written(const Node& document) {
  std::map<std::string, std::string> properties;
  const Node* source = document.find("source");
  const Node* kafka = source != nullptr ? source->find("kafka") : nullptr;
  if (kafka == nullptr) return properties;
  for (const auto& member : kafka->members) {
    properties.emplace(member.name, member.value.written.value_or(member.value.as_written()));
  }
  return properties;
}

std::string postgres_as_written(const Node& document) {
  const Node* target = document.find("target");
  const Node* postgres = target != nullptr ? target->find("postgres") : nullptr;
  return postgres == nullptr ? std::string() : postgres->written.value_or(postgres->text);
}

Result<std::string> expand_at(const std::string& path, const std::string& text, Place place) {
  auto value = expand(text, place);
  if (!value) return fail(at_path(value.error(), path));
  return value;
}

// What the schema says of a value whose placeholder failed would only mislead.
void add_unless_known(Errors more, Errors& errors) {
  const std::size_t known = errors.size();
  for (Error& error : more) {
    const auto same = [&](const Error& each) { return each.code == error.code; };
    const auto end = errors.begin() + static_cast<std::ptrdiff_t>(known);
    if (std::none_of(errors.begin(), end, same)) errors.push_back(std::move(error));
  }
}

// With file and line in front, in the order of the lines; "more than N errors" (no code) stays
// last.
Errors in_file_order(Errors errors, const Node& document, std::string_view name) {
  const auto line = [&](const Error& error) {
    return error.code.empty() ? std::numeric_limits<int>::max()
                              : task::line_of(document, error.code);
  };
  std::stable_sort(errors.begin(), errors.end(),
                   [&](const Error& a, const Error& b) { return line(a) < line(b); });
  for (Error& error : errors) {
    error = placed(error, name, error.code.empty() ? document.line : line(error));
  }
  return errors;
}

LoadedTask with_rereaders(task::Task task, const Node& document) {
  LoadedTask loaded;
  loaded.task = std::move(task);
  loaded.reread_postgres = [text = postgres_as_written(document)] {
    return expand_at(std::string(kPostgres), text, Place::kConninfo);
  };
  loaded.reread_kafka =
      [written = kafka_as_written(document)]() -> Result<std::map<std::string, std::string>> {
    std::map<std::string, std::string> properties;
    for (const auto& [name, text] : written) {
      auto value = expand_at(task::join_path("source.kafka", name), text, Place::kText);
      if (!value) return fail(value.error());
      properties.emplace(name, std::move(*value));
    }
    return properties;
  };
  return loaded;
}

// What the clients refuse by themselves is a mistake of the document, too, before any server is
// met.
Errors refused_by_clients(const task::Task& task, std::string_view name) {
  Errors errors;
  const auto add = [&](const std::string& path, Error error) {
    error = placed(at_path(std::move(error), path), name, 0);
    error.domain = Domain::kDocument;
    error.code = path;
    if (error.remedy.empty()) error.remedy = "librdkafka's CONFIGURATION.md says what it takes.";
    errors.push_back(std::move(error));
  };
  if (auto good = kafka::check_properties(task.source.kafka); !good) {
    add("source.kafka", good.error());
  }
  if (auto endpoint = postgres::endpoint_of(task.target.postgres); !endpoint) {
    add(std::string(kPostgres), endpoint.error());
  }
  return errors;
}

}  // namespace

tl::expected<Node, Errors> load_document(const std::string& path) {
  auto text = read_small_file(path, kMaxDocumentBytes, Readers::kAnyone);
  if (!text) return tl::unexpected(Errors{text.error()});
  if (auto good = check_text(*text, path); !good) return tl::unexpected(Errors{good.error()});
  auto document = parse_yaml(*text, path);
  if (!document) return tl::unexpected(Errors{document.error()});
  Errors errors;
  expand_all(*document, "", errors);
  if (errors.empty()) return std::move(*document);
  return tl::unexpected(in_file_order(std::move(errors), *document, path));
}

tl::expected<LoadedTask, Errors> load_text(std::string_view text, std::string_view name) {
  if (auto good = check_text(text, name); !good) return tl::unexpected(Errors{good.error()});
  auto document = parse_yaml(text, name);
  if (!document) return tl::unexpected(Errors{document.error()});
  Errors errors;
  expand_all(*document, "", errors);
  auto task = task::parse(*document);
  if (task && errors.empty()) return with_rereaders(std::move(*task), *document);
  if (!task) add_unless_known(std::move(task.error()), errors);
  return tl::unexpected(in_file_order(std::move(errors), *document, name));
}

tl::expected<LoadedTask, Errors> load(const std::string& path) {
  auto text = read_small_file(path, kMaxDocumentBytes, Readers::kAnyone);
  if (!text) return tl::unexpected(Errors{text.error()});
  auto loaded = load_text(*text, path);
  if (!loaded) return loaded;
  if (auto errors = refused_by_clients(loaded->task, path); !errors.empty()) {
    return tl::unexpected(std::move(errors));
  }
  return loaded;
}

}  // namespace sluice::cli
