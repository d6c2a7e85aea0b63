#include "control/page.h"

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "base/hex.h"

namespace sluice::control {
namespace {

std::string mark_of(const Page& page) { return (page.descending ? "-" : "") + page.sort; }

}  // namespace

std::string cursor_of(const Page& page, const std::string& value, const std::string& id) {
  const std::string plain = boost::json::serialize(boost::json::array{mark_of(page), value, id});
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char c : plain) {
    text += kDigits[static_cast<unsigned char>(c) >> 4];
    text += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

Answer<Page::After> read_cursor(const Page& page, std::string_view cursor) {
  const auto bad = [] { return refuse("bad_cursor", "cursor is not one that this list gave"); };
  if (cursor.empty() || cursor.size() % 2 != 0 || cursor.size() > 4096) return bad();
  std::string plain;
  for (std::size_t i = 0; i < cursor.size(); i += 2) {
    const int high = hex_digit(cursor[i]), low = hex_digit(cursor[i + 1]);
    if (high < 0 || low < 0) return bad();
    plain += static_cast<char>(high * 16 + low);
  }
  boost::json::error_code error;
  const auto value = boost::json::parse(plain, error);
  if (error || !value.is_array() || value.get_array().size() != 3) return bad();
  const auto& parts = value.get_array();
  for (const auto& part : parts) {
    if (!part.is_string() || part.get_string().find('\0') != boost::json::string::npos)
      return bad();
  }
  if (std::string_view(parts[0].get_string()) != mark_of(page)) return bad();
  return Page::After{std::string(parts[1].get_string()), std::string(parts[2].get_string())};
}

}  // namespace sluice::control
