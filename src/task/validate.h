// Validator: judges a document by the table of keys (task/schema.h) and hands out what passed.
//
// Single-threaded, for one document. Errors have domain kDocument and the path as their code; the
// message reads "PATH: found WHAT; allowed: WHAT".
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "task/node.h"
#include "task/schema.h"

namespace sluice::task {

// More than these are not reported: a file that is no task at all would give one for each line.
inline constexpr std::size_t kMaxErrors = 50;

class Validator {
 public:
  explicit Validator(const Node& document);  // the document must outlive it

  // The value at a path if it is there, not null where null means the default, and of the right
  // type and range. Else null: the default applies, or there is an error about it already.
  const Node* at(std::string_view path) const;

  // Adds an error in the common form. `remedy` may be empty.
  void refuse(std::string_view path, std::string_view found, std::string_view allowed,
              std::string remedy = {});
  // The same with what the schema allows at this path, and what the value is.
  void refuse(std::string_view path, const Node& node, std::string remedy = {});
  // An error in words of its own behind the path.
  void add(std::string_view path, std::string_view sentence, std::string remedy = {});

  // What a value is, for an error: shortened, never a secret or what a placeholder stood for.
  static std::string found_text(std::string_view path, const Node& node);

  std::vector<Error> take_errors() { return std::move(errors_); }

 private:
  void section(const Node& node, std::string_view key_path, std::string_view path);
  void unknown_key(std::string_view key_path, std::string_view path, std::string_view name);
  void value(const Node& node, const Key& key, const std::string& path);
  bool judge(const Node& node, const Key& key, const std::string& path);
  bool choice(const Node& node, const Key& key, const std::string& path);
  bool later(const Node& node, const Key& key, const std::string& path);
  bool text_list(const Node& node, const Key& key, const std::string& path);
  bool text_map(const Node& node, const Key& key, const std::string& path);
  bool section_list(const Node& node, const Key& key, const std::string& path);

  std::map<std::string, const Node*, std::less<>> passed_;
  std::vector<Error> errors_;
};

// The key of the schema that a path of a document belongs to: indexes become [].
const Key* key_at(std::string_view path);

// A text, quoted, with everything unprintable escaped, cut behind 64 characters.
std::string quoted(std::string_view text);

}  // namespace sluice::task
