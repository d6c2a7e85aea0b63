// document: the file of `sluice run FILE` and `sluice check FILE` becomes a task::Task.
//
// Any error here is one of the document (exit code 2), also that of a file that cannot be read.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "base/result.h"
#include "task/node.h"
#include "task/task.h"

namespace sluice::cli {

inline constexpr std::size_t kMaxDocumentBytes = 1024 * 1024;

struct LoadedTask {
  task::Task task;  // placeholders replaced: holds secrets
  // The same values with their placeholders looked up again, for every new connection: a secret
  // that was changed is found without a restart. They own what they need, may be copied and called
  // from any thread. Errors: as expand(), with the path of the key in front; trouble of the
  // environment, so worth trying again. They never show what a placeholder stands for.
  std::function<Result<std::string>()> reread_postgres;
  std::function<Result<std::map<std::string, std::string>>()> reread_kafka;
};

// Each error's message begins with "FILE:LINE: PATH: " where there is a line, else with the file's
// name; code is the path of the key (domain kDocument) or the errno's name (kFile).
tl::expected<LoadedTask, std::vector<Error>> load(const std::string& path);

// The same for a text; `name` stands in errors where the file's name would.
tl::expected<LoadedTask, std::vector<Error>> load_text(std::string_view text,
                                                       std::string_view name);

// A file of YAML with its placeholders replaced, and not judged any further: what goes to a server.
tl::expected<task::Node, std::vector<Error>> load_document(const std::string& path);

}  // namespace sluice::cli
