// Where PostgreSQL says that a COPY failed.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace sluice::sink {

// The line that the last "COPY relation, line N" of an error's CONTEXT names
// (CopyFromErrorCallback, src/backend/commands/copyfrom.c, PostgreSQL 12 to 18); 1 is the first.
// The words are translated, their order is not. Triggers put lines of their own before it. A hint:
// values can look the same.
std::optional<std::size_t> copy_error_line(std::string_view detail, std::string_view relation);

}  // namespace sluice::sink
