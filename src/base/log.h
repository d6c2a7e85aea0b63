// Structured logs: one line an entry, on standard error, as logfmt (key=value) or JSON.
// Thread-safe.
//
// What may be in a log: names, counts, coordinates, SQLSTATEs, columns, constraints. What may not:
// payloads, row values, passwords, PostgreSQL's own message texts (they carry values).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace sluice::log {

enum class Level : std::uint8_t { kDebug, kInfo, kWarning, kError };
enum class Format : std::uint8_t { kText, kJson };

struct Field {
  Field(std::string_view field_name, std::string_view text) : name(field_name), value(text) {}
  Field(std::string_view field_name, const char* text) : name(field_name), value(text) {}
  Field(std::string_view field_name, const std::string& text) : name(field_name), value(text) {}
  Field(std::string_view field_name, std::int64_t number)
      : name(field_name), value(std::to_string(number)), number_or_bool(true) {}
  Field(std::string_view field_name, int number) : Field(field_name, std::int64_t{number}) {}
  Field(std::string_view field_name, std::uint64_t number)
      : name(field_name), value(std::to_string(number)), number_or_bool(true) {}
  Field(std::string_view field_name, double number);
  Field(std::string_view field_name, bool flag)
      : name(field_name), value(flag ? "true" : "false"), number_or_bool(true) {}

  std::string_view name;
  std::string value;
  bool number_or_bool = false;
};

// Set once at start, before threads.
void configure(Level lowest, Format format);
// While a progress line is drawn on the terminal: called before each log line with the text that
// erases it. Empty for none.
void set_line_eraser(std::string erase);
bool enabled(Level level);

void write(Level level, std::string_view message, std::initializer_list<Field> fields = {});
inline void debug(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::kDebug, message, fields);
}
inline void info(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::kInfo, message, fields);
}
inline void warning(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::kWarning, message, fields);
}
inline void error(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::kError, message, fields);
}

}  // namespace sluice::log
