// Numbers as people read them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice {

std::string grouped(std::int64_t number);  // 1,234,567

// "1 message", "2,000 messages": `one` is what a single one is called, its plural an s more.
std::string counted(std::int64_t number, std::string_view one);

}  // namespace sluice
