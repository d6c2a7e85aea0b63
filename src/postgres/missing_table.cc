#include "postgres/missing_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/nearest.h"

namespace sluice::postgres {
namespace {

constexpr std::size_t kSuggestions = 3;

std::string quoted(const TableName& name) {
  return name.schema.empty()
             ? Connection::identifier(name.name)
             : Connection::identifier(name.schema) + "." + Connection::identifier(name.name);
}

// How the name is written in a task document: quotes only where parse_table_name needs them.
std::string part_in_document(const std::string& part) {
  return part.find_first_of(".\"") == std::string::npos ? part : Connection::identifier(part);
}
std::string in_document(const Candidate& candidate) {
  const auto& name = candidate.name;
  return part_in_document(name.schema) + "." + part_in_document(name.name);
}

bool equal_without_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && edit_distance(a, b) == 0;
}

// Another schema costs something, so that near names in the right one come first; a schema nobody
// named costs more if search_path does not show it.
int distance(const TableName& wanted, const Candidate& candidate) {
  const int by_name = edit_distance(wanted.name, candidate.name.name);
  if (by_name > largest_distance(wanted.name.size())) return std::numeric_limits<int>::max();
  int score = 2 * by_name + (wanted.name == candidate.name.name ? 0 : 1);
  if (wanted.schema.empty()) return score + (candidate.visible ? 0 : 2);
  return score + 2 * std::min(edit_distance(wanted.schema, candidate.name.schema), 2);
}

}  // namespace

Error missing_table(const TableName& name, const SearchedPlace& place,
                    const std::vector<Candidate>& candidates) {
  Error error;
  error.domain = Domain::kPostgres;
  error.code = "42P01";
  error.message = fmt::format("the table {} does not exist in the database \"{}\"", quoted(name),
                              place.database);
  if (name.schema.empty()) {
    error.message += fmt::format(" (schemas looked in, by search_path: {})",
                                 place.search_path.empty() ? "none" : place.search_path);
  } else if (!place.schema_exists) {
    error.message += fmt::format("; nor does the schema \"{}\"", name.schema);
  }

  std::vector<std::pair<int, const Candidate*>> near;
  for (const auto& candidate : candidates) {
    const int score = distance(name, candidate);
    if (score != std::numeric_limits<int>::max()) near.emplace_back(score, &candidate);
  }
  std::stable_sort(near.begin(), near.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  if (near.size() > kSuggestions) near.resize(kSuggestions);

  if (near.empty()) {
    error.remedy =
        "Create the table, or correct target.table (\\dt *.* in psql lists all there are).";
    return error;
  }
  std::vector<std::string> names;
  bool only_case = false;
  for (const auto& [score, candidate] : near) {
    names.push_back(in_document(*candidate));
    only_case = only_case || (equal_without_case(candidate->name.name, name.name) &&
                              candidate->name.name != name.name);
  }
  error.remedy = fmt::format("Did you mean {}?", fmt::join(names, " or "));
  if (only_case) {
    error.remedy +=
        " Names are matched exactly: write upper and lower case as the database has them "
        "(PostgreSQL "
        "makes names lower case that were created without double quotes).";
  }
  return error;
}

}  // namespace sluice::postgres
