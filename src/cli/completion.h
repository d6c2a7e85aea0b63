// Completion scripts for shells, made from the command line's own description: what is added to a
// command is completed without another line here.
#pragma once

#include <string>
#include <string_view>

namespace CLI {  // NOLINT(readability-identifier-naming): CLI11's
class App;
}

namespace sluice::cli {

// `shell` is bash, zsh or fish. Options of one letter are left out: they need no completion.
std::string completion_script(const CLI::App& app, std::string_view shell);

}  // namespace sluice::cli
