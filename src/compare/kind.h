// Kinds of values, and in which form two columns of different types can be compared: int with
// bigint, varchar with text, timestamp with timestamptz, json with jsonb. No I/O.
#pragma once

#include <cstdint>
#include <string_view>

#include "postgres/catalog.h"

namespace sluice::compare {

enum class Kind : std::uint8_t {
  kBoolean,
  kInteger,
  kNumber,  // numeric, money
  kReal4,
  kReal8,
  kText,
  kPadded,  // character(n): blanks at the end mean nothing
  kBytes,
  kDate,
  kMoment,   // timestamp without time zone; one with a zone is compared at UTC
  kInstant,  // timestamp with time zone
  kTime,
  kZonedTime,
  kInterval,
  kBits,
  kJson,
  kUuid,
  kOther,  // by its text
};

Kind kind_of(const postgres::Type& type);

// What both can be brought to. kOther for two kinds of values that have nothing but their texts in
// common.
Kind common_kind(Kind a, Kind b);
// Whether equal values of these kinds have equal texts in common_kind()'s form, whatever they are.
bool are_alike(Kind a, Kind b);

// What two columns are compared as: values of a kind, or arrays of such.
struct Form {
  Kind kind = Kind::kOther;
  bool array = false;
  bool operator==(const Form&) const = default;
};
Form common_form(const postgres::Type& a, const postgres::Type& b);
bool are_alike(const postgres::Type& a, const postgres::Type& b);

}  // namespace sluice::compare
