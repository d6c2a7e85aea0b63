#include "task/validate.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/nearest.h"
#include "task/values.h"

namespace sluice::task {

namespace {

bool is_secret(std::string_view path) {
  return path.starts_with("source.kafka.") || path == "target.postgres";
}

// Where a placeholder was replaced, its text may stand for a number too.
bool is_numeric(const Node& node) {
  return node.kind == Node::Kind::kNumber ||
         (node.kind == Node::Kind::kText && node.written.has_value());
}

bool is_duration_or_size(const Node& node) {
  return node.kind == Node::Kind::kNumber || node.kind == Node::Kind::kText;
}

bool in_range(std::optional<std::int64_t> value, const Key& key) {
  return value && *value >= key.min && *value <= key.max;
}

std::string_view place(std::string_view path) { return path.empty() ? "the document" : path; }

}  // namespace

std::string quoted(std::string_view text) {
  constexpr std::size_t kLongest = 64;
  std::string out = "\"";
  std::size_t length = std::min(text.size(), kLongest);
  // Not in the middle of a character of UTF-8.
  while (length < text.size() && length > 0 && (text[length] & 0xC0) == 0x80) --length;
  for (const char c : text.substr(0, length)) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + (length < text.size() ? "...\"" : "\"");
}

const Key* key_at(std::string_view path) {
  std::string key_path;
  for (std::size_t i = 0; i < path.size(); ++i) {
    key_path += path[i];
    if (path[i] != '[') continue;
    while (i + 1 < path.size() && path[i + 1] != ']') ++i;
  }
  if (const Key* key = find_key(key_path)) return key;
  // An item of a list of texts is described with its list.
  if (key_path.ends_with("[]")) return find_key(key_path.substr(0, key_path.size() - 2));
  return nullptr;
}

Validator::Validator(const Node& document) {
  if (document.kind != Node::Kind::kMap) {
    refuse("", document);
    return;
  }
  section(document, "", "");
}

const Node* Validator::at(std::string_view path) const {
  const auto found = passed_.find(path);
  return found == passed_.end() ? nullptr : found->second;
}

void Validator::add(std::string_view path, std::string_view sentence, std::string remedy) {
  if (errors_.size() > kMaxErrors) return;
  Error error;
  error.domain = Domain::kDocument;
  if (errors_.size() == kMaxErrors) {
    error.message = fmt::format("more than {} errors; the rest is not shown", kMaxErrors);
  } else {
    error.code = std::string(path);
    error.message = fmt::format("{}: {}", place(path), sentence);
    error.remedy = std::move(remedy);
  }
  errors_.push_back(std::move(error));
}

void Validator::refuse(std::string_view path, std::string_view found, std::string_view allowed,
                       std::string remedy) {
  add(path, fmt::format("found {}; allowed: {}", found, allowed), std::move(remedy));
}

void Validator::refuse(std::string_view path, const Node& node, std::string remedy) {
  const Key* key = key_at(path);
  std::string allowed;
  if (key != nullptr) {
    allowed = allowed_text(*key);
  } else {
    allowed = allowed_text(Key{.path = "", .type = Type::kSection});
  }
  refuse(path, found_text(path, node), allowed, std::move(remedy));
}

std::string Validator::found_text(std::string_view path, const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull:
      return "null";
    case Node::Kind::kList:
      return node.items.empty() ? "an empty list" : "a list";
    case Node::Kind::kMap:
      return node.members.empty() ? "an empty map" : "a map";
    default:
      break;
  }
  if (node.kind == Node::Kind::kText && node.text.empty()) return "an empty text";
  if (is_secret(path)) {
    if (node.kind == Node::Kind::kText) return "a text (not shown)";
    return "a value (not shown)";
  }
  if (node.written) return fmt::format("what {} stands for (not shown)", quoted(*node.written));
  if (node.kind == Node::Kind::kText) return quoted(node.text);
  if (node.kind == Node::Kind::kFlag) return node.text;
  return fmt::format("the number {}", node.as_written().substr(0, 64));
}

void Validator::section(const Node& node, std::string_view key_path, std::string_view path) {
  for (const Member& member : node.members) {
    const Key* key = find_key(join_path(key_path, member.name));
    if (key == nullptr || name_of(*key) != member.name) {
      unknown_key(key_path, path, member.name);
    } else {
      value(member.value, *key, join_path(path, member.name));
    }
  }
  for (const Key* key : keys_under(key_path)) {
    if (!key->required || node.find(name_of(*key)) != nullptr) continue;
    refuse(join_path(path, name_of(*key)), "nothing", allowed_text(*key),
           fmt::format("Add {}.", name_of(*key)));
  }
}

void Validator::unknown_key(std::string_view key_path, std::string_view path,
                            std::string_view name) {
  std::vector<std::string_view> here;
  for (const Key* key : keys_under(key_path)) {
    if (key->type != Type::kLater && key->type != Type::kServer) here.push_back(name_of(*key));
  }
  std::string remedy;
  if (const auto meant = nearest(name, here, 1); !meant.empty()) {
    remedy = fmt::format("Did you mean {}?", meant.front());
  } else {
    for (const Key& key : keys()) {
      if (name_of(key) != name || key.type == Type::kLater || key.type == Type::kServer) continue;
      remedy = fmt::format("There is {}: move it there.", key.path);
      break;
    }
  }
  const std::string shown = quoted(name);
  add(join_path(path, shown.substr(1, shown.size() - 2)),
      fmt::format("found an unknown key; allowed {}: {}",
                  path.empty() ? std::string("here") : fmt::format("in {}", path),
                  fmt::join(here, ", ")),
      std::move(remedy));
}

void Validator::value(const Node& node, const Key& key, const std::string& path) {
  if (node.is_null()) {
    if (key.default_text == "null") return;
    if (key.type == Type::kSection && key.default_text == "{}") return;
  }
  if (judge(node, key, path)) passed_.emplace(path, &node);
}

bool Validator::judge(const Node& node, const Key& key, const std::string& path) {
  bool good = false;
  std::string remedy;
  switch (key.type) {
    case Type::kSection:
      good = node.kind == Node::Kind::kMap;
      if (good) section(node, key.path, path);
      break;
    case Type::kSectionList:
      return section_list(node, key, path);
    case Type::kTextList:
      return text_list(node, key, path);
    case Type::kTextMap:
      return text_map(node, key, path);
    case Type::kChoice:
      return choice(node, key, path);
    case Type::kServer:
      refuse(path, "a key of tasks on a server", "nothing in a file that sluice runs",
             fmt::format("With sluice run write {} instead.",
                         path.starts_with("source.") ? "source.kafka" : "target.postgres"));
      return false;
    case Type::kLater:
      return later(node, key, path);
    case Type::kText:
      good = node.kind == Node::Kind::kText && node.text.find('\0') == std::string::npos;
      if (node.kind == Node::Kind::kNumber || node.kind == Node::Kind::kFlag) {
        remedy = "Put it in quotes if it is meant as a text.";
      }
      break;
    case Type::kFlag:
      good = node.kind == Node::Kind::kFlag;
      break;
    case Type::kInteger:
      good = is_numeric(node) && in_range(parse_integer(node.text), key);
      break;
    case Type::kFraction: {
      const auto number = is_numeric(node) ? parse_number(node.text) : std::nullopt;
      good = number && *number > static_cast<double>(key.min) &&
             *number <= static_cast<double>(key.max);
      break;
    }
    case Type::kDuration:
      good = is_duration_or_size(node) && in_range(parse_duration(node.text), key);
      break;
    case Type::kBytes:
      good = is_duration_or_size(node) && in_range(parse_bytes(node.text), key);
      break;
    case Type::kValue:
      good = !node.is_null();
      break;
    case Type::kStart:
    case Type::kChoiceOrColumn:
      good = node.kind == Node::Kind::kText || node.kind == Node::Kind::kMap;
      break;
  }
  if (!good) refuse(path, node, std::move(remedy));
  return good;
}

bool Validator::choice(const Node& node, const Key& key, const std::string& path) {
  // A plain null in YAML is what people write for the choice of that name.
  const std::string_view text = node.is_null() ? std::string_view("null") : node.text;
  const auto choices = split_choices(key.allowed);
  const bool scalar = node.is_null() || node.kind == Node::Kind::kText;
  if (scalar && std::find(choices.begin(), choices.end(), text) != choices.end()) return true;
  const auto not_yet = split_choices(key.later);
  if (scalar && std::find(not_yet.begin(), not_yet.end(), text) != not_yet.end()) {
    refuse(path,
           fmt::format("{}, which this version ({}) does not support", found_text(path, node),
                       SLUICE_VERSION),
           allowed_text(key));
    return false;
  }
  std::string remedy;
  if (node.kind == Node::Kind::kText && !node.written) {
    if (const auto meant = nearest(text, choices, 1); !meant.empty()) {
      remedy = fmt::format("Did you mean {}?", meant.front());
    }
  }
  refuse(path, node, std::move(remedy));
  return false;
}

bool Validator::later(const Node& node, const Key& key, const std::string& path) {
  if (!key.default_text.empty() && to_json(node) == key.default_text) return true;
  const std::string allowed =
      key.default_text.empty()
          ? "nothing"
          : fmt::format("{}: {}, or to leave the key out", name_of(key), key.default_text);
  refuse(path, fmt::format("a key that this version ({}) does not support", SLUICE_VERSION),
         allowed, fmt::format("Leave it out. What it is for: {}", key.what));
  return false;
}

bool Validator::text_list(const Node& node, const Key& key, const std::string& path) {
  if (node.kind != Node::Kind::kList || node.items.empty()) {
    std::string remedy;
    if (node.kind == Node::Kind::kText && !node.written && !node.text.empty()) {
      remedy = fmt::format("Write {}: [{}].", name_of(key), quoted(node.text));
    }
    refuse(path, node, std::move(remedy));
    return false;
  }
  bool good = true;
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    const Node& item = node.items[i];
    if (item.kind == Node::Kind::kText && !item.text.empty() &&
        item.text.find('\0') == std::string::npos) {
      continue;
    }
    good = false;
    refuse(join_path(path, i), item,
           item.kind == Node::Kind::kNumber ? "Put it in quotes if it is meant as a text." : "");
  }
  return good;
}

bool Validator::text_map(const Node& node, const Key& key, const std::string& path) {
  if (node.kind != Node::Kind::kMap) {
    refuse(path, node);
    return false;
  }
  bool good = true;
  for (const Member& member : node.members) {
    const Node& item = member.value;
    const bool scalar = item.kind == Node::Kind::kText || item.kind == Node::Kind::kNumber ||
                        item.kind == Node::Kind::kFlag;
    if (member.name.empty()) {
      good = false;
      refuse(path, "a property without a name", allowed_text(key));
    } else if (!scalar || item.text.find('\0') != std::string::npos) {
      good = false;
      refuse(join_path(path, member.name), item,
             item.kind == Node::Kind::kList ? "Write several values as one text, joined by commas."
                                            : "");
    }
  }
  return good;
}

bool Validator::section_list(const Node& node, const Key& key, const std::string& path) {
  if (node.kind != Node::Kind::kList || node.items.empty()) {
    refuse(path, node);
    return false;
  }
  bool good = true;
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    const std::string item_path = join_path(path, i);
    if (node.items[i].kind != Node::Kind::kMap) {
      good = false;
      refuse(item_path, node.items[i]);
      continue;
    }
    section(node.items[i], fmt::format("{}[]", key.path), item_path);
  }
  return good;
}

}  // namespace sluice::task
