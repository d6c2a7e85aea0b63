#include "json/trie.h"

#include <algorithm>
#include <bit>

namespace sluice::json {
namespace {

// Mixes the length and both ends of a name. Names that were chosen to collide gain nothing: the
// table holds only the names of the task, so a probe ends within its longest run.
std::uint64_t hash_of(std::string_view name) {
  std::uint64_t head = 0;
  std::uint64_t tail = 0;
  const std::size_t size = name.size();
  if (size >= 8) {
    std::memcpy(&head, name.data(), 8);
    std::memcpy(&tail, name.data() + size - 8, 8);
  } else if (size > 0) {
    std::memcpy(&head, name.data(), size);
  }
  std::uint64_t hash = (head ^ std::rotl(tail, 29) ^ size) * 0x9E3779B97F4A7C15U;
  hash ^= hash >> 32;
  return hash * 0xD6E8FEB86659FD93U >> 32;
}

Trie::Node& member_of(Trie::Node& node, const std::string& name) {
  for (auto& member : node.members) {
    if (member.name == name) return *member.node;
  }
  auto& added = node.members.emplace_back();
  added.name = name;
  added.plain = name.find('\\') == std::string::npos;
  added.node = std::make_unique<Trie::Node>();
  return *added.node;
}

Trie::Node& element_of(Trie::Node& node, std::int64_t index) {
  auto& list = index < 0 ? node.from_end : node.elements;
  const auto at = std::ranges::lower_bound(list, index, {}, &Trie::Element::index);
  if (at != list.end() && at->index == index) return *at->node;
  return *list.insert(at, {index, std::make_unique<Trie::Node>()})->node;
}

}  // namespace

Trie::Trie(std::span<const Path> paths) : root_(std::make_unique<Node>()) {
  std::uint32_t slot = 0;
  for (const Path& path : paths) add(*root_, path.steps(), slot++);
  finish(*root_);
}

void Trie::add(Node& node, std::span<const Path::Step> steps, std::uint32_t slot) {
  Node* at = &node;
  for (const auto& step : steps) {
    at->tree.push_back(slot);
    at = step.is_index ? &element_of(*at, step.index) : &member_of(*at, step.name);
  }
  at->own.push_back(slot);
}

Trie::Node& Trie::node_of(const Path& path) {
  Node* at = root_.get();
  for (const auto& step : path.steps()) {
    at = step.is_index ? &element_of(*at, step.index) : &member_of(*at, step.name);
  }
  return *at;
}

void Trie::finish(Node& node) {
  const std::size_t size = std::bit_ceil(node.members.size() * 2 + 1);
  node.table.assign(size, 0);
  for (std::uint32_t number = 0; number < node.members.size(); ++number) {
    Member& member = node.members[number];
    member.next = number + 1;
    std::size_t at = hash_of(member.name) & (size - 1);
    while (node.table[at] != 0) at = (at + 1) & (size - 1);
    node.table[at] = number + 1;
    finish(*member.node);
  }
  for (auto& element : node.elements) finish(*element.node);
  for (auto& element : node.from_end) finish(*element.node);
}

Trie::Member* Trie::find_exact(Node& node, std::string_view name) {
  const std::size_t mask = node.table.size() - 1;
  for (std::size_t at = hash_of(name) & mask; node.table[at] != 0; at = (at + 1) & mask) {
    Member& member = node.members[node.table[at] - 1];
    if (member.name.size() == name.size() &&
        equal_bytes(member.name.data(), name.data(), name.size())) {
      return &member;
    }
  }
  return nullptr;
}

}  // namespace sluice::json
