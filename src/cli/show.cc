#include "cli/show.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdio>

#include "base/buffer.h"
#include "cli/terminal.h"
#include "json/text.h"
#include "json/writer.h"

namespace sluice::cli {

void print(const std::string& text) { std::fputs(text.c_str(), stdout); }

std::string time_text(std::int64_t timestamp_ms) {
  if (timestamp_ms < 0) return "no timestamp";
  const std::chrono::sys_time<std::chrono::milliseconds> time{
      std::chrono::milliseconds(timestamp_ms)};
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", seconds, (time - seconds).count());
}

boost::json::object json_of_error(const Error& error) {
  return {{"from", std::string(name_of(error.domain))},
          {"code", error.code},
          {"message", error.message},
          {"remedy", error.remedy}};
}

boost::json::value json_of_bytes(const std::optional<std::string>& bytes) {
  if (!bytes) return nullptr;
  if (json::is_utf8(*bytes)) return boost::json::string(*bytes);
  Buffer base64;
  json::append_base64(base64, *bytes);
  return boost::json::object{{"base64", std::string(base64.view())}};
}

std::string excerpt(std::string_view bytes, std::int64_t whole, std::size_t width) {
  std::string text;
  const bool utf8 = json::is_utf8(bytes);
  for (const char c : bytes.substr(0, width)) {
    const auto byte = static_cast<unsigned char>(c);
    text.push_back(byte < 0x20 || byte == 0x7f || (!utf8 && byte >= 0x80) ? '.' : c);
  }
  while (utf8 && !text.empty() && !json::is_utf8(text)) text.pop_back();  // cut in a character
  if (whole > static_cast<std::int64_t>(text.size())) {
    text += fmt::format("... ({} bytes)", grouped(whole));
  }
  return text;
}

}  // namespace sluice::cli
