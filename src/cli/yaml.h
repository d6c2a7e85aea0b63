// YAML text to a task::Node: YAML 1.2's core schema, one document, no tags, bounded in depth and
// size.
//
// yaml-cpp reads the events; the tree is built here, because its own one keeps the first of two
// equal keys, forgets what was quoted, and follows aliases without a limit. Third-party types and
// exceptions stay inside. No I/O.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "task/node.h"

namespace sluice::cli {

inline constexpr int kMaxYamlDepth = 32;
inline constexpr std::size_t kMaxYamlNodes = 100'000;  // aliases followed
inline constexpr std::size_t kMaxYamlBytes =
    4 * 1024 * 1024;  // of texts and keys, aliases followed

// `name` is what errors call the text. Error: domain kDocument, no code, "NAME:LINE:COLUMN: what".
// No error repeats a value. An empty document is an error.
Result<task::Node> parse_yaml(std::string_view text, std::string_view name);

// A plain scalar by the core schema: null, flag, number (as JSON), else text. Domain kDocument for
// .inf and .nan, which JSON does not have, and hexadecimal or octal numbers beyond 64 bits.
Result<task::Node> resolve_plain(const std::string& text);

}  // namespace sluice::cli
