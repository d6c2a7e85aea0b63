// Node: a document before anybody has judged it: nulls, flags, numbers, texts, lists and maps. YAML
// files (cli/document.h) and JSON bodies both become Nodes, so that one schema validates them all.
// It is not boost::json::value because that turns numbers into binary ones: `default: 0.10` must
// reach a numeric column with both of its digits, and 123456789012345678901 with all of them.
#pragma once

#include <boost/json/value.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::task {

struct Member;

// A value type; nothing in it is shared. `members` keeps the order of the document; names are
// unique.
struct Node {
  enum class Kind : std::uint8_t { kNull, kFlag, kNumber, kText, kList, kMap };

  Kind kind = Kind::kNull;
  // kText: its characters. kNumber: a JSON number, digits as written. kFlag: "true" or "false".
  std::string text;
  std::vector<Node> items;      // kList
  std::vector<Member> members;  // kMap
  int line = 0;                 // of the file, from 1; for the value of a member that of its name
  // How a number or flag was spelled, where `text` differs (YAML's 007, +1, 0x1F, True): a property
  // of Kafka that is a text wants it as it was written.
  std::optional<std::string> spelled;
  // What stood in the document where `text` came out of a placeholder: shown instead of it, always.
  std::optional<std::string> written;

  Node();
  Node(const Node&);
  Node(Node&&) noexcept;
  Node& operator=(const Node&);
  Node& operator=(Node&&) noexcept;
  ~Node();

  static Node flag(bool value);
  static Node number(std::string json);
  static Node string(std::string characters);
  static Node list();
  static Node map();

  const std::string& as_written() const { return spelled ? *spelled : text; }
  bool is_null() const { return kind == Kind::kNull; }
  const Node* find(std::string_view name) const;  // kMap; null if there is none
  // Appends a member; the caller knows that the name is new. Returns its value.
  Node& add(std::string name, Node value);
};

struct Member {
  std::string name;
  Node value;
};

// Numbers are written as Boost.JSON read them.
Node from_json(const boost::json::value& value);

// JSON on one line, without spaces, the names of each map sorted by their bytes: the same document
// always gives the same text.
std::string to_json(const Node& node);

// The path of a member of `path`: "sync" and "write" give "sync.write"; at the root, the name
// alone.
std::string join_path(std::string_view path, std::string_view name);
// "sync.columns" and 2 give "sync.columns[2]".
std::string join_path(std::string_view path, std::size_t index);

// The line of the node at `path`, or of its nearest ancestor that has one; 0 if none has.
int line_of(const Node& root, std::string_view path);

}  // namespace sluice::task
