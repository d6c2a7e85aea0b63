// Secrets that a person or a pipe hands over: never as an argument, where others can see them.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::cli {

// From the file, if one is named (for its owner alone); else asked for on the terminal, without
// showing what is typed; else, where standard input is no terminal, its first line. Errors: kFile;
// kCommandLine for an empty one and a terminal that is gone.
Result<std::string> read_password(const std::string& file, std::string_view prompt);

// Whether the answer on the terminal was yes; false where there is no terminal.
bool confirmed(std::string_view question);

}  // namespace sluice::cli
