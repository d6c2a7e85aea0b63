#include "compare/kind.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

namespace sluice::compare {
namespace {

bool is_any(Kind kind, std::initializer_list<Kind> of) {
  return std::find(of.begin(), of.end(), kind) != of.end();
}

bool is_exact_number(Kind kind) {
  return is_any(kind, {Kind::kBoolean, Kind::kInteger, Kind::kNumber});
}

}  // namespace

Kind kind_of(const postgres::Type& type) {
  switch (type.oid) {
    case 16:
      return Kind::kBoolean;
    case 20:
    case 21:
    case 23:
      return Kind::kInteger;
    case 790:
    case 1700:
      return Kind::kNumber;
    case 700:
      return Kind::kReal4;
    case 701:
      return Kind::kReal8;
    case 25:
    case 1043:
      return Kind::kText;
    case 1042:
      return Kind::kPadded;
    case 17:
      return Kind::kBytes;
    case 1082:
      return Kind::kDate;
    case 1114:
      return Kind::kMoment;
    case 1184:
      return Kind::kInstant;
    case 1083:
      return Kind::kTime;
    case 1266:
      return Kind::kZonedTime;
    case 1186:
      return Kind::kInterval;
    case 1560:
    case 1562:
      return Kind::kBits;
    case 114:
    case 3802:
      return Kind::kJson;
    case 2950:
      return Kind::kUuid;
    default:
      return Kind::kOther;
  }
}

Kind common_kind(Kind a, Kind b) {
  if (a == b) return a;
  if (a > b) std::swap(a, b);  // in the order of the enumeration
  if (is_exact_number(a) && is_exact_number(b)) return Kind::kNumber;
  if (b == Kind::kReal4 && is_any(a, {Kind::kInteger, Kind::kNumber})) return Kind::kReal4;
  if (b == Kind::kReal8 && a == Kind::kReal4) return Kind::kReal4;
  if (b == Kind::kReal8 && is_any(a, {Kind::kInteger, Kind::kNumber})) return Kind::kReal8;
  if (a == Kind::kBoolean && b == Kind::kBits) return Kind::kNumber;
  if (a == Kind::kText && b == Kind::kPadded) return Kind::kPadded;
  if (is_any(a, {Kind::kDate, Kind::kMoment}) && is_any(b, {Kind::kMoment, Kind::kInstant})) {
    return Kind::kMoment;
  }
  if (a == Kind::kTime && b == Kind::kInterval) return Kind::kInterval;
  return Kind::kOther;
}

bool are_alike(Kind a, Kind b) {
  if (common_kind(a, b) != Kind::kOther) return true;
  // Types of extensions, enums and networks have one text each, which is what becomes of them.
  const auto by_text = {Kind::kText, Kind::kPadded, Kind::kUuid, Kind::kOther};
  return is_any(a, by_text) && is_any(b, by_text);
}

Form common_form(const postgres::Type& a, const postgres::Type& b) {
  if (a.element != 0 && b.element != 0) {
    return {common_kind(kind_of(a.element_type.front()), kind_of(b.element_type.front())), true};
  }
  return {common_kind(kind_of(a), kind_of(b)), false};
}

bool are_alike(const postgres::Type& a, const postgres::Type& b) {
  if (a.element != 0 && b.element != 0) {
    return are_alike(kind_of(a.element_type.front()), kind_of(b.element_type.front()));
  }
  return are_alike(kind_of(a), kind_of(b));
}

}  // namespace sluice::compare
