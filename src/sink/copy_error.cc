#include "sink/copy_error.h"

#include <fmt/format.h>

#include <charconv>
#include <string>

namespace sluice::sink {

std::optional<std::size_t> copy_error_line(std::string_view detail, std::string_view relation) {
  const std::string mark = fmt::format("COPY {}, ", relation);
  const auto found = detail.rfind(mark);
  if (found == std::string_view::npos) return std::nullopt;
  std::string_view rest = detail.substr(found + mark.size());
  rest = rest.substr(0, rest.find('\n'));
  const auto digit = rest.find_first_of("0123456789");
  if (digit == std::string_view::npos) return std::nullopt;
  std::size_t line = 0;
  std::from_chars(rest.data() + digit, rest.data() + rest.size(), line);
  return line == 0 ? std::nullopt : std::optional(line);
}

}  // namespace sluice::sink
