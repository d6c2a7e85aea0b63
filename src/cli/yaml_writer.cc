#include "cli/yaml_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cctype>

#include "cli/yaml.h"

namespace sluice::cli {
namespace {

// Plain where nothing about it can be taken for something else; otherwise a JSON string, which is a
// double-quoted one of YAML.
std::string scalar(std::string_view text) {
  const auto may_stand = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.' || c == '/' || c == ' ';
  };
  const bool simple = !text.empty() && std::isalnum(static_cast<unsigned char>(text[0])) != 0 &&
                      text.back() != ' ' && std::all_of(text.begin(), text.end(), may_stand);
  if (simple) {
    const auto read = resolve_plain(std::string(text));
    if (read && read->kind == task::Node::Kind::kText) return std::string(text);
  }
  std::string quoted;
  for (const char c : boost::json::serialize(boost::json::string(text))) {
    // DEL is the one character that JSON writes as it is and YAML does not take.
    if (c == 0x7F) {
      quoted += "\\x7F";
    } else {
      quoted += c;
    }
  }
  return quoted;
}

bool is_block(const boost::json::value& value) {
  return (value.is_object() && !value.get_object().empty()) ||
         (value.is_array() && !value.get_array().empty());
}

// `hangs`: the first line goes behind what is already there ("- ").
void write(const boost::json::value& value, std::size_t depth, bool hangs, std::string& out) {
  const std::string indent(depth * 2, ' ');
  if (const auto* object = value.if_object(); object != nullptr && !object->empty()) {
    for (const auto& [name, member] : *object) {
      out += fmt::format("{}{}:", hangs ? "" : indent, scalar(name));
      hangs = false;
      out += is_block(member) ? '\n' : ' ';
      write(member, depth + 1, false, out);
    }
    return;
  }
  if (const auto* array = value.if_array(); array != nullptr && !array->empty()) {
    for (const auto& item : *array) {
      out += fmt::format("{}- ", hangs ? "" : indent);
      hangs = false;
      write(item, depth + 1, is_block(item), out);
    }
    return;
  }
  if (value.is_string()) {
    out += scalar(value.get_string());
  } else if (const auto* number = value.if_double()) {
    out += fmt::format("{}", *number);  // Boost.JSON writes 1.7E0
  } else {
    out += boost::json::serialize(value);
  }
  out += '\n';
}

}  // namespace

std::string to_yaml(const boost::json::value& value) {
  std::string out;
  write(value, 0, false, out);
  return out;
}

}  // namespace sluice::cli
