#include "cli/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <cstdint>
#include <numeric>

#include "json/text.h"

namespace sluice::cli {
namespace {

constexpr std::size_t kGap = 2;
constexpr std::size_t kNarrowest = 6;  // no column is cut below that

struct Character {
  std::uint32_t code = 0;
  std::size_t bytes = 1;
};

Character first_of(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  std::size_t bytes = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  bytes = std::min(bytes, text.size());
  std::uint32_t code = bytes == 1 ? lead : lead & (0xFFU >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) code = code << 6 | (byte(i) & 0x3FU);
  return {code, bytes};
}

// After wcwidth(), without its locale: the ranges that people write.
std::size_t width_of_code(std::uint32_t code) {
  const auto in = [&](std::uint32_t low, std::uint32_t high) {
    return code >= low && code <= high;
  };
  if (in(0x300, 0x36F) || in(0x200B, 0x200F) || in(0xFE00, 0xFE0F)) return 0;
  const bool wide = in(0x1100, 0x115F) || in(0x2E80, 0xA4CF) || in(0xAC00, 0xD7A3) ||
                    in(0xF900, 0xFAFF) || in(0xFE30, 0xFE6F) || in(0xFF00, 0xFF60) ||
                    in(0xFFE0, 0xFFE6) || in(0x1F300, 0x1FAFF) || in(0x20000, 0x3FFFD);
  return wide ? 2 : 1;
}

std::string cut(std::string_view text, std::size_t width) {
  if (width_of(text) <= width) return std::string(text);
  std::string out;
  std::size_t used = 1;  // of the ellipsis
  while (!text.empty()) {
    const auto next = first_of(text);
    used += width_of_code(next.code);
    if (used > width) break;
    out += text.substr(0, next.bytes);
    text.remove_prefix(next.bytes);
  }
  return out + "…";
}

// Takes from the widest until the sum fits, or nothing more can be taken.
void shrink(std::vector<std::size_t>& widths, std::size_t room) {
  while (std::accumulate(widths.begin(), widths.end(), std::size_t{0}) > room) {
    const auto widest = std::max_element(widths.begin(), widths.end());
    if (*widest <= kNarrowest) return;
    --*widest;
  }
}

}  // namespace

std::string cell(const boost::json::value& value, std::string_view path) {
  const boost::json::value* at = &value;
  while (!path.empty() && at != nullptr) {
    const auto point = path.find('.');
    const auto* object = at->if_object();
    at = object == nullptr ? nullptr : object->if_contains(path.substr(0, point));
    path = point == std::string_view::npos ? std::string_view() : path.substr(point + 1);
  }
  if (at == nullptr || at->is_null()) return "-";
  if (at->is_string()) return at->get_string().empty() ? "-" : one_line(at->get_string());
  if (at->is_bool()) return at->get_bool() ? "yes" : "no";
  if (const auto* number = at->if_double()) {
    return fmt::format("{:.{}f}", *number, std::abs(*number) < 100 ? 2 : 0);
  }
  return one_line(boost::json::serialize(*at));
}

std::string one_line(std::string_view text) {
  std::string out;
  const bool utf8 = json::is_utf8(text);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    // U+0080 to U+009F are control characters, too: terminals obey some of them.
    const bool second =
        c == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (second) ++i;
    out += second || c < 0x20 || c == 0x7F || (!utf8 && c >= 0x80) ? '.' : static_cast<char>(c);
  }
  return out;
}

std::size_t width_of(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    const auto next = first_of(text);
    width += width_of_code(next.code);
    text.remove_prefix(next.bytes);
  }
  return width;
}

std::string table_text(std::vector<std::vector<std::string>> rows, std::size_t width) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  const std::size_t gaps = widths.empty() ? 0 : (widths.size() - 1) * kGap;
  if (width != 0) shrink(widths, width > gaps ? width - gaps : 0);
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    std::size_t owed = 0;  // blanks that stand only if something follows
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string text = width == 0 ? row[i] : cut(row[i], widths[i]);
      line += std::string(owed, ' ') + text;
      owed = widths[i] - width_of(text) + kGap;
    }
    out += line + '\n';
  }
  return out;
}

}  // namespace sluice::cli
