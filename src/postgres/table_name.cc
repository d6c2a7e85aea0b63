#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postgres/catalog.h"

namespace sluice::postgres {
namespace {

// PostgreSQL cuts longer names off without an error: two columns would then be one.
constexpr std::size_t kLongestName = 63;

tl::unexpected<Error> refuse(std::string_view text, std::string_view what, std::string remedy) {
  std::string shown(text.substr(0, 160));
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < 0x20) c = '?';
  }
  return fail(Domain::kDocument, "target.table", fmt::format("the table name '{}' {}", shown, what),
              std::move(remedy));
}

constexpr const char* kForm =
    "Write table, schema.table, or with double quotes around a part that holds dots or quotes: "
    "\"my schema\".\"t.1\" (a double quote inside is written twice).";

// Takes one quoted part from the front of `rest`, which begins with its opening quote.
std::optional<std::string> take_quoted(std::string_view& rest) {
  std::string part;
  for (std::size_t at = 1; at < rest.size(); ++at) {
    if (rest[at] != '"') {
      part += rest[at];
    } else if (at + 1 < rest.size() && rest[at + 1] == '"') {
      part += '"';
      ++at;
    } else {
      rest.remove_prefix(at + 1);
      return part;
    }
  }
  return std::nullopt;
}

std::string take_plain(std::string_view& rest) {
  const auto end = std::min(rest.find('.'), rest.size());
  std::string part(rest.substr(0, end));
  rest.remove_prefix(end);
  return part;
}

}  // namespace

Result<TableName> parse_table_name(std::string_view text) {
  if (text.empty()) return refuse(text, "is empty", kForm);
  if (text.find('\0') != std::string_view::npos) {
    return refuse(text, "contains U+0000, which no name in PostgreSQL can", kForm);
  }
  std::vector<std::string> parts;
  std::string_view rest = text;
  while (true) {
    if (!rest.empty() && rest.front() == '"') {
      auto part = take_quoted(rest);
      if (!part) return refuse(text, "has a double quote that is not closed", kForm);
      parts.push_back(std::move(*part));
    } else {
      parts.push_back(take_plain(rest));
      if (parts.back().find('"') != std::string::npos) {
        return refuse(text, "has a double quote in the middle of a part", kForm);
      }
    }
    if (parts.back().empty()) return refuse(text, "has an empty part", kForm);
    if (parts.back().size() > kLongestName) {
      return refuse(text,
                    fmt::format("has a part of {} bytes; PostgreSQL's names have at most {}",
                                parts.back().size(), kLongestName),
                    "Give the name that the table has in the database (\\d in psql shows it).");
    }
    if (rest.empty()) break;
    if (rest.front() != '.') return refuse(text, "has text after a closing quote", kForm);
    rest.remove_prefix(1);
  }
  if (parts.size() > 2) {
    return refuse(text, fmt::format("has {} parts", parts.size()),
                  "Write schema.table; the database is named in target.postgres. Put double quotes "
                  "around a part that holds dots.");
  }
  TableName name;
  name.name = std::move(parts.back());
  if (parts.size() == 2) name.schema = std::move(parts.front());
  return name;
}

}  // namespace sluice::postgres
