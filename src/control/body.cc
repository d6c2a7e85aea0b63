#include "control/body.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "json/text.h"

namespace sluice::control {
namespace {

constexpr std::size_t kMaxName = 64;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_leap(int year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

std::string_view kind_of(const boost::json::value& value) {
  switch (value.kind()) {
    case boost::json::kind::null:
      return "null";
    case boost::json::kind::bool_:
      return "true or false";
    case boost::json::kind::string:
      return "a text";
    case boost::json::kind::array:
      return "a list";
    case boost::json::kind::object:
      return "an object";
    default:
      return "a number";
  }
}

}  // namespace

std::string name_mistake(std::string_view name) {
  if (name.empty() || name.size() > kMaxName) return "takes 1 to 64 characters";
  const bool good = is_letter(name[0]) && std::all_of(name.begin(), name.end(), [](char c) {
                      return is_letter(c) || is_digit(c) || c == '_' || c == '-' || c == '.';
                    });
  return good ? "" : "takes a letter first, then letters, digits, _ - .";
}

bool has_control_characters(std::string_view text, bool lines) {
  if (!json::is_utf8(text)) return true;
  return std::any_of(text.begin(), text.end(), [&](char c) {
    if (lines && (c == '\n' || c == '\t' || c == '\r')) return false;
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
}

std::optional<std::string> read_time(std::string_view text) {
  // YYYY-MM-DDTHH:MM:SS, a fraction, and Z or an offset; ranges are judged here, too, since the
  // database would answer a mistake of the client with an error of its own.
  constexpr std::string_view kForm = "0000-00-00T00:00:00";
  if (text.size() < kForm.size() + 1 || text.size() > 40) return std::nullopt;
  const auto digits = [&](std::size_t at) { return (text[at] - '0') * 10 + (text[at + 1] - '0'); };
  for (std::size_t i = 0; i < kForm.size(); ++i) {
    const bool good = kForm[i] == '0' ? is_digit(text[i]) : text[i] == kForm[i];
    if (!good) return std::nullopt;
  }
  constexpr int kDays[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const int year = digits(0) * 100 + digits(2), month = digits(5), day = digits(8);
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > kDays[month - 1] || digits(11) > 23 ||
      digits(14) > 59 || digits(17) > 59 || (month == 2 && day == 29 && !is_leap(year))) {
    return std::nullopt;
  }
  std::size_t at = kForm.size();
  if (text[at] == '.') {
    const std::size_t from = ++at;
    while (at < text.size() && is_digit(text[at])) ++at;
    if (at == from || at - from > 9) return std::nullopt;
  }
  const std::string_view zone = text.substr(at);
  if (zone == "Z") return std::string(text);
  const bool offset = zone.size() == 6 && (zone[0] == '+' || zone[0] == '-') && is_digit(zone[1]) &&
                      is_digit(zone[2]) && zone[3] == ':' && is_digit(zone[4]) &&
                      is_digit(zone[5]) && digits(at + 1) < 15 && digits(at + 4) < 60;
  if (!offset) return std::nullopt;
  return std::string(text);
}

std::size_t utf8_length(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

bool Body::has_value(std::string_view name) const {
  const auto* value = object_.if_contains(name);
  return value != nullptr && !value->is_null();
}

std::string Body::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

void Body::wrong(std::string_view name, std::string message) {
  problems_.push_back({path_of(name), std::move(message)});
}

void Body::wrong(std::vector<FieldProblem> problems) {
  problems_.insert(problems_.end(), std::make_move_iterator(problems.begin()),
                   std::make_move_iterator(problems.end()));
}

const boost::json::value* Body::find(std::string_view name, bool required) {
  known_.emplace(name);
  const auto* value = object_.if_contains(name);
  if (value != nullptr && value->is_null()) value = nullptr;
  if (value == nullptr && required) wrong(name, "is required");
  return value;
}

std::optional<std::string> Body::text(std::string_view name, Text bounds, bool required) {
  const auto* value = find(name, required);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) {
    wrong(name, fmt::format("takes a text, not {}", kind_of(*value)));
    return std::nullopt;
  }
  std::string text(value->get_string());
  const std::size_t length = utf8_length(text);
  if (length < bounds.min || length > bounds.max) {
    wrong(name, fmt::format("takes {} to {} characters, not {}", bounds.min, bounds.max, length));
    return std::nullopt;
  }
  if (has_control_characters(text, bounds.lines)) {
    wrong(name, "has control characters");
    return std::nullopt;
  }
  return text;
}

std::optional<std::string> Body::name(std::string_view name, bool required) {
  auto given = text(name, {.min = 1, .max = kMaxName}, required);
  if (!given) return std::nullopt;
  auto mistake = name_mistake(*given);
  if (mistake.empty()) return given;
  wrong(name, std::move(mistake));
  return std::nullopt;
}

std::optional<std::string> Body::choice(std::string_view name,
                                        std::initializer_list<std::string_view> choices,
                                        bool required) {
  const auto* value = find(name, required);
  if (value == nullptr) return std::nullopt;
  if (value->is_string() && std::find(choices.begin(), choices.end(),
                                      std::string_view(value->get_string())) != choices.end()) {
    return std::string(value->get_string());
  }
  wrong(name, fmt::format("takes one of {}", fmt::join(choices, ", ")));
  return std::nullopt;
}

std::optional<std::int64_t> Body::integer(std::string_view name, std::int64_t min, std::int64_t max,
                                          bool required) {
  const auto* value = find(name, required);
  if (value == nullptr) return std::nullopt;
  if (value->is_int64() && value->get_int64() >= min && value->get_int64() <= max) {
    return value->get_int64();
  }
  wrong(name, fmt::format("takes a whole number from {} to {}", min, max));
  return std::nullopt;
}

std::optional<bool> Body::flag(std::string_view name, bool required) {
  const auto* value = find(name, required);
  if (value == nullptr) return std::nullopt;
  if (value->is_bool()) return value->get_bool();
  wrong(name, "takes true or false");
  return std::nullopt;
}

const boost::json::object* Body::object(std::string_view name, bool required) {
  const auto* value = find(name, required);
  if (value == nullptr) return nullptr;
  if (value->is_object()) return &value->get_object();
  wrong(name, fmt::format("takes an object, not {}", kind_of(*value)));
  return nullptr;
}

const boost::json::array* Body::array(std::string_view name, std::size_t max, bool required) {
  const auto* value = find(name, required);
  if (value == nullptr) return nullptr;
  if (!value->is_array()) {
    wrong(name, fmt::format("takes a list, not {}", kind_of(*value)));
  } else if (value->get_array().size() > max) {
    wrong(name, fmt::format("takes at most {} items, not {}", max, value->get_array().size()));
  } else {
    return &value->get_array();
  }
  return nullptr;
}

const boost::json::value* Body::value(std::string_view name, bool required) {
  return find(name, required);
}

std::vector<FieldProblem> Body::problems() {
  for (const auto& member : object_) {
    const std::string_view name(member.key());
    if (known_.contains(name)) continue;
    // The name is the sender's: what cannot be shown is not.
    const bool showable = utf8_length(name) <= 64 && !has_control_characters(name, false);
    wrong(showable ? name : "?",
          fmt::format("is not known here; there are {}", fmt::join(known_, ", ")));
  }
  return std::move(problems_);
}

Answer<bool> Body::finish() {
  auto problems = this->problems();
  if (problems.empty()) return true;
  Problem problem{"invalid", fmt::format("{}: {}", problems[0].path, problems[0].message)};
  problem.fields = std::move(problems);
  return refuse(std::move(problem));
}

}  // namespace sluice::control
