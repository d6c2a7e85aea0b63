// ${env:NAME} and ${file:/path} in the texts of a document, and the reading of small files that
// they and the document itself need. Only the commands of a user's own machine use this: a server
// never expands placeholders.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::cli {

inline constexpr std::size_t kMaxSecretBytes = 64 * 1024;

enum class Readers : std::uint8_t {
  kAnyone,
  kOwnerOnly,  // others must have no right to read it, its group only if root owns it
};
// Reads a regular file of at most `limit` bytes. Error: domain kFile, the errno's name as code (or
// "not_regular", "too_large", "too_open"); the message names the path.
Result<std::string> read_small_file(const std::string& path, std::size_t limit, Readers readers);

enum class Place : std::uint8_t {
  kText,      // what a placeholder stands for is put in as it is
  kConninfo,  // where it is a whole password or value of a conninfo, encoded as libpq wants it
              // there
};
bool has_placeholder(std::string_view text);  // "$${" alone is one, too: expand() changes it

// `text` with every placeholder replaced and $${ made ${. What was put in is not looked at again.
// Error: domain kDocument (code "placeholder") for one that is malformed or a variable that is not
// set; else as read_small_file(). Messages name the placeholder, never what it stands for.
// Thread-safe as long as nobody changes the environment.
Result<std::string> expand(std::string_view text, Place place);

}  // namespace sluice::cli
