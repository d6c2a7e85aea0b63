#include "task/schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "task/sizes.h"

namespace sluice::task {

namespace {

bool is_under(std::string_view path, std::string_view section) {
  if (!section.empty()) {
    if (!path.starts_with(section)) return false;
    path.remove_prefix(section.size());
    if (path.starts_with("[]")) path.remove_prefix(2);
    if (!path.starts_with('.')) return false;
    path.remove_prefix(1);
  }
  return !path.empty() && path.find_first_of(".[") == std::string_view::npos && path != "*";
}

std::string in_units(std::int64_t value,
                     std::span<const std::pair<std::int64_t, const char*>> units,
                     std::string_view separator) {
  for (const auto& [size, unit] : units) {
    if (value >= size && value % size == 0) {
      return fmt::format("{}{}{}", value / size, separator, unit);
    }
  }
  return fmt::format("{}{}{}", value, separator, units.back().second);
}

}  // namespace

const Key* find_key(std::string_view path) {
  for (const Key& key : keys()) {
    if (key.path == path) return &key;
    if (key.path.ends_with(".*") && path.size() >= key.path.size() &&
        path.starts_with(key.path.substr(0, key.path.size() - 1))) {
      return &key;
    }
  }
  return nullptr;
}

std::vector<const Key*> keys_under(std::string_view section) {
  std::vector<const Key*> found;
  for (const Key& key : keys()) {
    if (is_under(key.path, section)) found.push_back(&key);
  }
  return found;
}

std::string_view name_of(const Key& key) {
  return key.path.substr(key.path.rfind('.') + 1);  // npos + 1 is 0
}

std::vector<std::string_view> split_choices(std::string_view choices) {
  std::vector<std::string_view> parts;
  while (!choices.empty()) {
    const std::size_t bar = choices.find('|');
    parts.push_back(choices.substr(0, bar));
    choices.remove_prefix(bar == std::string_view::npos ? choices.size() : bar + 1);
  }
  return parts;
}

std::string bytes_text(std::int64_t bytes) {
  constexpr std::pair<std::int64_t, const char*> kUnits[] = {
      {kGb, "GB"}, {kMb, "MB"}, {kKb, "kB"}, {1, "B"}};
  return in_units(bytes, kUnits, " ");
}

std::string duration_text(std::int64_t milliseconds) {
  constexpr std::pair<std::int64_t, const char*> kUnits[] = {
      {kDay, "d"}, {kDay / 24, "h"}, {60 * kSecond, "m"}, {kSecond, "s"}, {1, "ms"}};
  return in_units(milliseconds, kUnits, "");
}

std::string allowed_text(const Key& key) {
  switch (key.type) {
    case Type::kChoice:
      return fmt::format("{}", fmt::join(split_choices(key.allowed), ", "));
    case Type::kFlag:
      return "true or false";
    case Type::kInteger:
      return fmt::format("a whole number from {} to {}", key.min, key.max);
    case Type::kFraction:
      return fmt::format("a number above {}, at most {}", key.min, key.max);
    case Type::kDuration:
      return fmt::format(
          "a duration such as 500ms, 10s, 5m, 2h or 1d, or a number of seconds; at "
          "most {}",
          duration_text(key.max));
    case Type::kBytes:
      return fmt::format(
          "a size such as \"16 MB\" (B, kB, MB, GB; 1 kB is 1024 B) or a number of "
          "bytes, from {} to {}",
          bytes_text(key.min), bytes_text(key.max));
    case Type::kSection: {
      std::vector<std::string_view> names;
      for (const Key* child : keys_under(key.path)) {
        if (child->type != Type::kLater && child->type != Type::kServer)
          names.push_back(name_of(*child));
      }
      return fmt::format("a map with the keys {}", fmt::join(names, ", "));
    }
    default:
      return std::string(key.allowed);
  }
}

}  // namespace sluice::task
