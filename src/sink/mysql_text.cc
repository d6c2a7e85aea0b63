#include "sink/mysql_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string_view>
#include <vector>

namespace sluice::sink {

namespace {

using message::Kind;
using message::Problem;
using message::ProblemCode;
using message::Type;
using message::Value;

struct Name {
  std::string_view source;
  std::string_view target;
};
// Without those whose length counts.
constexpr Name kNames[] = {
    {"TINYINT", "smallint"},
    {"TINYINT UNSIGNED", "smallint"},
    {"SMALLINT", "smallint"},
    {"SMALLINT UNSIGNED", "integer"},
    {"MEDIUMINT", "integer"},
    {"MEDIUMINT UNSIGNED", "integer"},
    {"INT", "integer"},
    {"INTEGER", "integer"},
    {"INT UNSIGNED", "bigint"},
    {"INTEGER UNSIGNED", "bigint"},
    {"BIGINT", "bigint"},
    {"BIGINT UNSIGNED", "numeric(20)"},
    {"FLOAT", "real"},
    {"FLOAT UNSIGNED", "real"},
    {"DOUBLE", "double precision"},
    {"DOUBLE UNSIGNED", "double precision"},
    {"DATE", "date"},
    {"TIME", "interval"},
    {"YEAR", "integer"},
    {"JSON", "jsonb"},
    {"BINARY", "bytea"},
    {"VARBINARY", "bytea"},
    {"TINYBLOB", "bytea"},
    {"BLOB", "bytea"},
    {"MEDIUMBLOB", "bytea"},
    {"LONGBLOB", "bytea"},
};

bool is_binary(std::string_view name) {
  const auto found = std::ranges::find(kNames, name, &Name::source);
  return found != std::end(kNames) && found->target == "bytea";
}

bool refuse(std::string_view text, std::string detail, Problem& problem) {
  problem = {};
  problem.code = ProblemCode::kBadType;
  problem.excerpt = message::excerpt_of(text);
  problem.detail = std::move(detail);
  return false;
}

std::optional<std::uint64_t> number_of(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// 'a','it''s': a, it's.
std::vector<std::string> labels_of(std::string_view list) {
  std::vector<std::string> labels;
  while (list.starts_with('\'')) {
    list.remove_prefix(1);
    std::string& label = labels.emplace_back();
    while (!list.empty()) {
      if (list.front() == '\'' && !list.starts_with("''")) break;
      if (list.front() == '\'') list.remove_prefix(1);
      label += list.front();
      list.remove_prefix(1);
    }
    if (!list.empty()) list.remove_prefix(1);
    if (list.starts_with(',')) list.remove_prefix(1);
  }
  return labels;
}

// What is no number of a label is a label.
void to_label(const Type& type, Value& value, TextStore& store) {
  const auto number = number_of(value.text());
  if (!number) return;
  const auto labels = labels_of(type.allowed);
  if (*number > labels.size()) return;
  // MySQL's number 0 is the empty text of a value that was none.
  value = Value::of(Kind::kString,
                    *number == 0 ? std::string_view("") : store.keep(labels[*number - 1]));
}

void to_labels(const Type& type, Value& value, TextStore& store) {
  const auto mask = number_of(value.text());
  if (!mask) return;
  const auto labels = labels_of(type.allowed);
  if (labels.empty() || (labels.size() < 64 && *mask >> labels.size() != 0)) return;
  std::string text;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if ((*mask >> i & 1) == 0) continue;
    if (!text.empty()) text += ',';
    text += labels[i];
  }
  value = Value::of(Kind::kString, store.keep(text));
}

bool to_bits(const Type& type, Value& value, TextStore& store, Problem& problem) {
  const auto number = number_of(value.text());
  if (!number) return refuse(value.text(), "no number, as BIT comes", problem);
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(*number >> 8 * i & 0xff);
  value = Value::of(Kind::kBits, store.keep(bytes));
  value.integer = type.source.length.value_or(1);
  return true;
}

// Each character is a byte.
bool to_bytes(Value& value, TextStore& store, Problem& problem) {
  const std::string_view text = value.text();
  char* const begin = store.take(text.size());
  char* at = begin;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x80) {
      *at++ = text[i];
    } else if ((byte == 0xc2 || byte == 0xc3) && i + 1 < text.size()) {
      ++i;
      *at++ = static_cast<char>((byte & 3) << 6 | (static_cast<unsigned char>(text[i]) & 0x3f));
    } else {
      return refuse(text, "a character that is no byte (ISO 8859-1), as binary strings come",
                    problem);
    }
  }
  value = Value::of(Kind::kBytes, {begin, static_cast<std::size_t>(at - begin)});
  return true;
}

}  // namespace

std::string column_type_of_mysql(const message::SourceType& type) {
  const auto with_length = [&](std::string_view name) {
    return type.length && *type.length > 0 ? fmt::format("{}({})", name, *type.length)
                                           : std::string(name);
  };
  if (type.name.starts_with("DECIMAL") || type.name.starts_with("NUMERIC")) {
    return fmt::format("numeric({},{})", type.length.value_or(10), type.scale.value_or(0));
  }
  if (type.name == "VARCHAR" || type.name == "CHAR") {
    return type.length && *type.length > 0 ? with_length("character varying") : "text";
  }
  // Six digits at most, here and there.
  if (type.name == "DATETIME") return fmt::format("timestamp({})", type.length.value_or(0));
  if (type.name == "TIMESTAMP") return fmt::format("timestamptz({})", type.length.value_or(0));
  if (type.name == "BIT") return fmt::format("bit({})", type.length.value_or(1));
  const auto found = std::ranges::find(kNames, std::string_view(type.name), &Name::source);
  return found == std::end(kNames) ? "text" : std::string(found->target);
}

bool from_mysql_text(const Type& type, Value& value, TextStore& store, Problem& problem) {
  const std::string& name = type.source.name;
  if (name == "ENUM") to_label(type, value, store);
  if (name == "SET") to_labels(type, value, store);
  if (name == "JSON") {
    value.kind = Kind::kJsonObject;  // its text is the document
    value.set_type(nullptr);
  }
  if (name == "BIT") return to_bits(type, value, store, problem);
  if (is_binary(name)) return to_bytes(value, store, problem);
  return true;
}

}  // namespace sluice::sink
