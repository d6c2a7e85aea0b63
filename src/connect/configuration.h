// A connector's configuration as it stands in a file: Java properties, or JSON as Kafka Connect's
// REST API has it, {"name": ..., "config": {...}} or the map alone. No I/O.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "connect/properties.h"

namespace sluice::connect {

inline constexpr std::size_t kMaxConfigurationBytes = 1024 * 1024;

class Configuration {
 public:
  explicit Configuration(Properties properties) : properties_(std::move(properties)) {}

  const Properties& all() const { return properties_; }
  // The value without blanks around it, as Kafka takes it; nothing if the property is not there.
  std::optional<std::string> get(std::string_view name) const;
  std::string get(std::string_view name, std::string_view otherwise) const;
  // True for true in any case, as Kafka reads it.
  bool is_true(std::string_view name, bool otherwise) const;
  // The parts of a list, split at commas, without blanks around them and without empty ones.
  std::vector<std::string> list(std::string_view name) const;

 private:
  Properties properties_;
};

// Whether Connect's worker replaces part of this value itself: ${provider:path:key}.
bool has_provider_reference(std::string_view value);
std::vector<std::string> split(std::string_view text, char separator);

// `name` stands in errors where the file's name would. Errors: domain kDocument; a file that is
// empty, too large, binary, neither of both forms, or without connector.class. Never a value.
Result<Configuration> read_configuration(std::string_view text, std::string_view name);

}  // namespace sluice::connect
