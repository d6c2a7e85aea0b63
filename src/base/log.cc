#include "base/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <iterator>
#include <mutex>

namespace sluice::log {
namespace {

struct Settings {
  Level lowest = Level::kInfo;
  Format format = Format::kText;
  std::string erase;
};
Settings settings;  // written before threads start, except `erase`, under the mutex
std::mutex mutex;

std::string_view name_of(Level level) {
  switch (level) {
    case Level::kDebug:
      return "debug";
    case Level::kInfo:
      return "info";
    case Level::kWarning:
      return "warning";
    case Level::kError:
      return "error";
  }
  return "error";
}

// Quoted and escaped as a JSON string; logfmt takes the same form.
void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned char>(c));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

bool plain(std::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == '"' || c == '=' || c == '\\' || c == 0x7f) {
      return false;
    }
  }
  return true;
}

}  // namespace

Field::Field(std::string_view field_name, double number)
    : name(field_name), value(fmt::format("{:.6g}", number)), number_or_bool(true) {}

void configure(Level lowest, Format format) {
  settings.lowest = lowest;
  settings.format = format;
}

void set_line_eraser(std::string erase) {
  const std::lock_guard lock(mutex);
  settings.erase = std::move(erase);
}

bool enabled(Level level) { return level >= settings.lowest; }

void write(Level level, std::string_view message, std::initializer_list<Field> fields) {
  if (!enabled(level)) return;
  const auto now = std::chrono::system_clock::now();
  const auto millis =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  const std::string time =
      fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                  fmt::gmtime(std::chrono::system_clock::to_time_t(now)), millis);
  std::string line;
  if (settings.format == Format::kJson) {
    line += fmt::format(R"({{"time":"{}","level":"{}","message":)", time, name_of(level));
    append_quoted(line, message);
    for (const auto& field : fields) {
      line += fmt::format(",\"{}\":", field.name);
      if (field.number_or_bool) {
        line += field.value;
      } else {
        append_quoted(line, field.value);
      }
    }
    line += "}\n";
  } else {
    line += fmt::format("{} {:<7} ", time, name_of(level));
    line += message;
    for (const auto& field : fields) {
      line += fmt::format(" {}=", field.name);
      if (plain(field.value)) {
        line += field.value;
      } else {
        append_quoted(line, field.value);
      }
    }
    line += '\n';
  }
  const std::lock_guard lock(mutex);
  if (!settings.erase.empty()) std::fwrite(settings.erase.data(), 1, settings.erase.size(), stderr);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace sluice::log
