#include "base/number.h"

#include <cstddef>

namespace sluice {

std::string grouped(std::int64_t number) {
  std::string digits = std::to_string(number);
  const std::size_t first = digits[0] == '-' ? 1 : 0;
  for (std::size_t i = digits.size(); i > first + 3;) {
    i -= 3;
    digits.insert(i, 1, ',');
  }
  return digits;
}

std::string counted(std::int64_t number, std::string_view one) {
  std::string text = grouped(number) + ' ';
  text += one;
  if (number != 1) text += 's';
  return text;
}

}  // namespace sluice
