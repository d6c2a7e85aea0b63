// Which column takes a field: the rule of change events, said once.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sluice::message {

// ASCII letters are compared without their case.
bool same_but_for_case(std::string_view a, std::string_view b);

// By the exact name, else by the only column that differs from it in case: unless more than one of
// `fields`, the row's, could mean that. An index of `columns`.
std::optional<std::size_t> column_of(std::span<const std::string> columns, std::string_view name,
                                     std::span<const std::string> fields);

}  // namespace sluice::message
