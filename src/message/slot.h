// From what the JSON reader found to a Value. Internal to this module.
#pragma once

#include "json/reader.h"
#include "message/message.h"
#include "message/value.h"

namespace sluice::message {

inline constexpr Kind kKinds[] = {
    Kind::kAbsent, Kind::kNull,       Kind::kBool,      Kind::kNumber,
    Kind::kString, Kind::kJsonObject, Kind::kJsonArray,
};
static_assert(kKinds[static_cast<std::size_t>(json::Type::kArray)] == Kind::kJsonArray);

// Field by field: to copy a Value just filled would wait for each of these stores.
inline void put(Value& value, const json::Slot& slot) {
  value.kind = kKinds[static_cast<std::size_t>(slot.type)];
  value.integer = slot.boolean ? 1 : 0;
  value.data = slot.data;
  value.length = slot.length;
}

// What is wrong with a document that the reader refused; names the schema registry if that is it.
Problem to_problem(const json::Failure& failure, std::string_view text);

}  // namespace sluice::message
