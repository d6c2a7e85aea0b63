#include "connect/properties.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>

namespace sluice::connect {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\f'; }

void append_utf8(std::string& out, std::uint32_t code) {
  const auto byte = [&](std::uint32_t bits) { out += static_cast<char>(bits); };
  if (code < 0x80) return byte(code);
  if (code < 0x800) {
    byte(0xC0 | code >> 6);
  } else if (code < 0x10000) {
    byte(0xE0 | code >> 12);
    byte(0x80 | (code >> 6 & 0x3F));
  } else {
    byte(0xF0 | code >> 18);
    byte(0x80 | (code >> 12 & 0x3F));
    byte(0x80 | (code >> 6 & 0x3F));
  }
  byte(0x80 | (code & 0x3F));
}

// A line as Java sees it: natural lines joined where the first ends in an odd number of
// backslashes, without the blanks at the start of each.
struct Logical {
  std::string text;
  int line = 0;  // of its first natural line, from 1
};

class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {}

  std::optional<Logical> next() {
    while (!rest_.empty()) {
      const int first = line_ + 1;
      std::string_view natural = take();
      if (natural.empty() || natural.front() == '#' || natural.front() == '!') continue;
      Logical logical{std::string(natural), first};
      while (continues(logical.text)) {
        logical.text.pop_back();
        if (rest_.empty()) break;
        logical.text += take();
      }
      return logical;
    }
    return std::nullopt;
  }

 private:
  static bool continues(std::string_view text) {
    const std::size_t last = text.find_last_not_of('\\');
    return (text.size() - (last == std::string_view::npos ? 0 : last + 1)) % 2 == 1;
  }

  std::string_view take() {
    ++line_;
    const std::size_t end = std::min(rest_.find_first_of("\r\n"), rest_.size());
    std::string_view natural = rest_.substr(0, end);
    rest_.remove_prefix(end);
    if (rest_.starts_with("\r\n")) {
      rest_.remove_prefix(2);
    } else if (!rest_.empty()) {
      rest_.remove_prefix(1);
    }
    while (!natural.empty() && is_space(natural.front())) natural.remove_prefix(1);
    return natural;
  }

  std::string_view rest_;
  int line_ = 0;
};

std::optional<std::uint32_t> unicode(std::string_view digits) {
  if (digits.size() < 4) return std::nullopt;
  std::uint32_t code = 0;
  for (const char c : digits.substr(0, 4)) {
    const bool digit = c >= '0' && c <= '9';
    const char lower = static_cast<char>(c | 0x20);
    if (!digit && (lower < 'a' || lower > 'f')) return std::nullopt;
    code = code * 16 + static_cast<std::uint32_t>(digit ? c - '0' : lower - 'a' + 10);
  }
  return code;
}

Result<std::string> unescape(std::string_view text, int line) {
  std::string out;
  std::uint32_t high = 0;  // the first half of a pair of \u escapes
  const auto append = [&](std::uint32_t code) {
    if (high != 0 && code >= 0xDC00 && code < 0xE000) {
      code = 0x10000 + ((high - 0xD800) << 10) + (code - 0xDC00);
    } else if (high != 0) {
      append_utf8(out, 0xFFFD);
    }
    high = 0;
    if (code >= 0xD800 && code < 0xDC00) {
      high = code;
    } else {
      append_utf8(out, code >= 0xDC00 && code < 0xE000 ? 0xFFFD : code);
    }
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      if (text[i] != '\\') append(static_cast<unsigned char>(text[i]));
      continue;
    }
    const char c = text[++i];
    if (c == 'u') {
      const auto code = unicode(text.substr(i + 1));
      if (!code) {
        return fail(Domain::kDocument, "",
                    fmt::format("line {}: \\u without four hexadecimal digits", line),
                    "Java refuses such a file, too; a backslash itself is written \\\\.");
      }
      append(*code);
      i += 4;
    } else {
      append(static_cast<unsigned char>(c == 't'   ? '\t'
                                        : c == 'n' ? '\n'
                                        : c == 'r' ? '\r'
                                        : c == 'f' ? '\f'
                                                   : c));
    }
  }
  if (high != 0) append_utf8(out, 0xFFFD);
  return out;
}

}  // namespace

void put(Properties& properties, std::string name, std::string value) {
  const auto same = std::find_if(properties.begin(), properties.end(),
                                 [&](const Property& each) { return each.name == name; });
  if (same == properties.end()) {
    properties.push_back({std::move(name), std::move(value), false});
  } else {
    same->value = std::move(value);
    same->repeated = true;
  }
}

Result<Properties> parse_properties(std::string_view text) {
  Properties properties;
  Lines lines(text);
  while (const auto logical = lines.next()) {
    const std::string_view line = logical->text;
    // The name ends at the first blank, = or : that no backslash stands in front of.
    std::size_t end = 0;
    while (end < line.size() && !is_space(line[end]) && line[end] != '=' && line[end] != ':') {
      end += line[end] == '\\' ? 2 : 1;
    }
    end = std::min(end, line.size());
    std::size_t from = end;
    const auto skip = [&] {
      while (from < line.size() && is_space(line[from])) ++from;
    };
    skip();
    if (from < line.size() && (line[from] == '=' || line[from] == ':')) ++from;
    skip();
    auto name = unescape(line.substr(0, end), logical->line);
    if (!name) return fail(name.error());
    auto value = unescape(line.substr(from), logical->line);
    if (!value) return fail(value.error());
    put(properties, std::move(*name), std::move(*value));
  }
  return properties;
}

}  // namespace sluice::connect
