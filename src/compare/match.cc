#include "compare/match.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/nearest.h"

namespace sluice::compare {
namespace {

bool same_letters(std::string_view a, std::string_view b) {
  const auto lower = [](unsigned char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

using Columns = std::vector<SourceColumn>;

const SourceColumn* counterpart(const Columns& source, const postgres::TableInfo& target,
                                const std::string& name) {
  for (const auto& column : source) {
    if (column.name == name) return &column;
  }
  const SourceColumn* found = nullptr;
  for (const auto& column : source) {
    if (!same_letters(column.name, name) || target.find(column.name) != nullptr) continue;
    if (found != nullptr) return nullptr;  // two could be meant
    found = &column;
  }
  return found;
}

}  // namespace

Result<Match> match(const Columns& source, const postgres::TableInfo& target,
                    const std::vector<std::string>& key, const std::vector<std::string>& ignored) {
  Match match;
  std::vector<std::string> taken;
  for (const auto& column : target.columns) {
    const SourceColumn* from = counterpart(source, target, column.name);
    const bool is_key = contains(key, column.name);
    if (from == nullptr && is_key) {
      std::vector<std::string> names;
      for (const auto& each : source) names.push_back(each.name);
      return fail(Domain::kDocument, "sync.primary_key",
                  fmt::format("the source has no column \"{}\", by which rows of {} are found",
                              column.name, target.qualified()),
                  did_you_mean(column.name, names));
    }
    if (from != nullptr) taken.push_back(from->name);
    if (!is_key &&
        (contains(ignored, column.name) || (from != nullptr && contains(ignored, from->name)))) {
      continue;
    }
    if (from == nullptr) {
      match.only_target.push_back(column.name);
      continue;
    }
    if (!are_alike(from->type, column.type)) match.by_text.push_back(column.name);
    Pair pair{from->name, column.name, from->type, column.type,
              common_form(from->type, column.type)};
    (is_key ? match.key : match.values).push_back(std::move(pair));
  }
  // In the key's own order: its index has it.
  std::sort(match.key.begin(), match.key.end(), [&](const Pair& a, const Pair& b) {
    return std::find(key.begin(), key.end(), a.target) <
           std::find(key.begin(), key.end(), b.target);
  });
  for (const auto& column : source) {
    if (!contains(taken, column.name) && !contains(ignored, column.name)) {
      match.only_source.push_back(column.name);
    }
  }
  if (match.key.empty() && match.values.empty()) {
    return fail(Domain::kDocument, "target.table",
                fmt::format("{} and the source have no column in common", target.qualified()),
                "Is it the right table? --table names another one.");
  }
  return match;
}

}  // namespace sluice::compare
