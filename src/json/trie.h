// Trie: the paths of a Reader, merged where they share a beginning. Built once; while documents are
// read only the guesses about the order of members change.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "json/path.h"

namespace sluice::json {

// Equality of two runs of `size` bytes, faster than a call of memcmp for the length of a name.
inline bool equal_bytes(const char* a, const char* b, std::size_t size) {
  const auto same = [&]<class Word>(std::size_t at, Word) {
    Word x;
    Word y;
    std::memcpy(&x, a + at, sizeof x);
    std::memcpy(&y, b + at, sizeof y);
    return x == y;
  };
  if (size > 16) return std::memcmp(a, b, size) == 0;
  if (size >= 8) return same(0, std::uint64_t{}) && same(size - 8, std::uint64_t{});
  if (size >= 4) return same(0, std::uint32_t{}) && same(size - 4, std::uint32_t{});
  if (size == 0) return true;
  return a[0] == b[0] && a[size / 2] == b[size / 2] && a[size - 1] == b[size - 1];
}

class Trie {
 public:
  struct Node;
  struct Member {
    std::string name;
    bool plain = true;       // the name has no backslash: written bytes may be compared with it
    std::uint32_t next = 0;  // the guess: which member follows this one
    std::unique_ptr<Node> node;
  };
  struct Element {
    std::int64_t index = 0;
    std::unique_ptr<Node> node;
  };
  // What is asked about one value.
  struct Node {
    std::vector<Member> members;
    std::vector<Element> elements;     // from the start, ascending
    std::vector<Element> from_end;     // index below 0
    std::vector<std::uint32_t> own;    // the slots that take this value itself
    std::vector<std::uint32_t> tree;   // those of all nodes below
    std::vector<std::uint32_t> table;  // open addressing over `members`: number + 1, or 0
    std::uint32_t first = 0;           // the guess: with which member an object begins
  };

  explicit Trie(std::span<const Path> paths);
  Node& root() { return *root_; }

  // The member of `node` whose name is written as `raw` between the quotes of a document. `last` is
  // the one found before in the same object (null at its start), and is moved on. Null: none. Of
  // `escaped` names the caller asks find_exact() instead, with the escapes resolved.
  static Member* find(Node& node, std::string_view raw, Member*& last) {
    std::uint32_t& guess = last == nullptr ? node.first : last->next;
    if (guess < node.members.size()) {
      Member& member = node.members[guess];
      if (member.plain && member.name.size() == raw.size() &&
          equal_bytes(member.name.data(), raw.data(), raw.size())) {
        last = &member;
        return &member;
      }
    }
    Member* const found = find_exact(node, raw);
    if (found == nullptr) return nullptr;
    guess = static_cast<std::uint32_t>(found - node.members.data());
    last = found;
    return found;
  }
  static Member* find_exact(Node& node, std::string_view name);
  // The node of a path that the trie was made of.
  Node& node_of(const Path& path);

 private:
  static void add(Node& node, std::span<const Path::Step> steps, std::uint32_t slot);
  static void finish(Node& node);

  std::unique_ptr<Node> root_;
};

}  // namespace sluice::json
