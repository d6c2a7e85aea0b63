#include "task/node.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <utility>

namespace sluice::task {

Node::Node() = default;
Node::Node(const Node&) = default;
Node::Node(Node&&) noexcept = default;
Node& Node::operator=(const Node&) = default;
Node& Node::operator=(Node&&) noexcept = default;
Node::~Node() = default;

namespace {

Node of_kind(Node::Kind kind, std::string text = {}) {
  Node node;
  node.kind = kind;
  node.text = std::move(text);
  return node;
}

// Boost.JSON would write 0.5 as 5E-1, and what it read as infinite as no number at all.
std::string json_of(double number) {
  if (!std::isfinite(number)) return number < 0 ? "-1e999" : "1e999";
  return fmt::format("{}", number);
}

void write_json(const Node& node, std::string& out) {
  switch (node.kind) {
    case Node::Kind::kNull:
      out += "null";
      return;
    case Node::Kind::kFlag:
    case Node::Kind::kNumber:
      out += node.text;
      return;
    case Node::Kind::kText:
      out += boost::json::serialize(boost::json::string(node.text));
      return;
    case Node::Kind::kList: {
      out += '[';
      for (std::size_t i = 0; i < node.items.size(); ++i) {
        if (i > 0) out += ',';
        write_json(node.items[i], out);
      }
      out += ']';
      return;
    }
    case Node::Kind::kMap:
      break;
  }
  std::vector<const Member*> sorted;
  for (const Member& member : node.members) sorted.push_back(&member);
  std::sort(sorted.begin(), sorted.end(),
            [](const Member* a, const Member* b) { return a->name < b->name; });
  out += '{';
  for (const Member* member : sorted) {
    if (member != sorted.front()) out += ',';
    out += boost::json::serialize(boost::json::string(member->name));
    out += ':';
    write_json(member->value, out);
  }
  out += '}';
}

}  // namespace

Node Node::flag(bool value) { return of_kind(Kind::kFlag, value ? "true" : "false"); }
Node Node::number(std::string json) { return of_kind(Kind::kNumber, std::move(json)); }
Node Node::string(std::string characters) { return of_kind(Kind::kText, std::move(characters)); }
Node Node::list() { return of_kind(Kind::kList); }
Node Node::map() { return of_kind(Kind::kMap); }

const Node* Node::find(std::string_view name) const {
  for (const Member& member : members) {
    if (member.name == name) return &member.value;
  }
  return nullptr;
}

Node& Node::add(std::string name, Node value) {
  members.push_back({std::move(name), std::move(value)});
  return members.back().value;
}

Node from_json(const boost::json::value& value) {
  switch (value.kind()) {
    case boost::json::kind::null:
      return {};
    case boost::json::kind::bool_:
      return Node::flag(value.get_bool());
    case boost::json::kind::string:
      return Node::string(std::string(value.get_string()));
    case boost::json::kind::int64:
    case boost::json::kind::uint64:
      return Node::number(boost::json::serialize(value));
    case boost::json::kind::double_:
      return Node::number(json_of(value.get_double()));
    case boost::json::kind::array: {
      Node list = Node::list();
      for (const auto& item : value.get_array()) list.items.push_back(from_json(item));
      return list;
    }
    case boost::json::kind::object:
      break;
  }
  Node map = Node::map();
  for (const auto& member : value.get_object()) {
    map.add(std::string(member.key()), from_json(member.value()));
  }
  return map;
}

std::string to_json(const Node& node) {
  std::string out;
  write_json(node, out);
  return out;
}

std::string join_path(std::string_view path, std::string_view name) {
  std::string joined(path);
  if (!joined.empty()) joined += '.';
  return joined.append(name);
}

std::string join_path(std::string_view path, std::size_t index) {
  return std::string(path) + "[" + std::to_string(index) + "]";
}

// Names may hold dots themselves ("bootstrap.servers"), so the path is never taken apart: children
// are tried by what their path would be.
int line_of(const Node& root, std::string_view path) {
  const Node* node = &root;
  std::string at;
  int line = root.line;
  const auto leads_on = [&](const std::string& child) {
    if (!path.starts_with(child)) return false;
    return path.size() == child.size() || path[child.size()] == '.' || path[child.size()] == '[';
  };
  while (node != nullptr && at != path) {
    const Node* next = nullptr;
    std::string longest;
    const auto consider = [&](std::string child, const Node& value) {
      if (!leads_on(child) || child.size() <= longest.size()) return;
      longest = std::move(child);
      next = &value;
    };
    for (const Member& member : node->members) consider(join_path(at, member.name), member.value);
    for (std::size_t i = 0; i < node->items.size(); ++i) consider(join_path(at, i), node->items[i]);
    if (next != nullptr && next->line > 0) line = next->line;
    node = next;
    at = std::move(longest);
  }
  return line;
}

}  // namespace sluice::task
