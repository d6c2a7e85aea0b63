#include "connect/configuration.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

namespace sluice::connect {
namespace {

namespace bj = boost::json;

constexpr std::string_view kForms =
    "A connector's .properties file is taken, or JSON as the REST API of Kafka Connect has it: "
    "GET /connectors/NAME.";

tl::unexpected<Error> refuse(std::string_view file, std::string_view what,
                             std::string_view remedy = kForms) {
  return fail(Domain::kDocument, "", fmt::format("{}: {}", file, what), std::string(remedy));
}

std::string_view without_blanks(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n\f";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

Result<Properties> properties_of(const bj::object& map, std::string_view file) {
  Properties properties;
  for (const auto& [name, value] : map) {
    if (value.is_null()) continue;  // as good as not there
    if (value.is_structured()) {
      return refuse(
          file, fmt::format("\"{}\" is {}, where a property has one value", std::string_view(name),
                            value.is_array() ? "a list" : "a map"));
    }
    put(properties, std::string(name),
        value.is_string() ? std::string(value.get_string()) : bj::serialize(value));
  }
  return properties;
}

Result<Properties> parse_json(std::string_view text, std::string_view file) {
  boost::system::error_code error;
  bj::stream_parser parser;
  const std::size_t read = parser.write_some(text, error);
  if (!error && read == text.size()) parser.finish(error);
  if (error || read < text.size()) {
    const auto lines =
        std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(read), '\n');
    return refuse(file, fmt::format("line {}: not JSON, although it begins with {}", lines + 1,
                                    text.substr(0, 1)));
  }
  const bj::value document = parser.release();
  if (!document.is_object()) return refuse(file, "JSON, but no map");
  const bj::object& map = document.get_object();
  const auto* config = map.if_contains("config");
  if (config == nullptr || !config->is_object()) return properties_of(map, file);
  auto properties = properties_of(config->get_object(), file);
  if (!properties) return properties;
  const auto* name = map.if_contains("name");
  const bool named = std::any_of(properties->begin(), properties->end(),
                                 [](const Property& each) { return each.name == "name"; });
  if (!named && name != nullptr && name->is_string()) {
    properties->insert(properties->begin(), {"name", std::string(name->get_string()), false});
  }
  return properties;
}

}  // namespace

std::optional<std::string> Configuration::get(std::string_view name) const {
  const auto found = std::find_if(properties_.begin(), properties_.end(),
                                  [&](const Property& each) { return each.name == name; });
  if (found == properties_.end()) return std::nullopt;
  return std::string(without_blanks(found->value));
}

std::string Configuration::get(std::string_view name, std::string_view otherwise) const {
  const auto value = get(name);
  return value && !value->empty() ? *value : std::string(otherwise);
}

bool Configuration::is_true(std::string_view name, bool otherwise) const {
  std::string value = get(name, otherwise ? "true" : "false");
  std::transform(value.begin(), value.end(), value.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  return value == "true";
}

std::vector<std::string> Configuration::list(std::string_view name) const {
  return split(get(name, ""), ',');
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (const auto part = without_blanks(text.substr(0, end)); !part.empty()) {
      parts.emplace_back(part);
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

bool has_provider_reference(std::string_view value) {
  const std::size_t start = value.find("${");
  if (start == std::string_view::npos) return false;
  const std::size_t end = value.find('}', start);
  const std::size_t colon = value.find(':', start);
  return end != std::string_view::npos && colon < end;
}

Result<Configuration> read_configuration(std::string_view text, std::string_view name) {
  if (text.size() > kMaxConfigurationBytes) return refuse(name, "larger than 1 MB");
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  const bool binary = std::any_of(text.begin(), text.end(), [](char c) {
    return (c >= 0 && c < 0x20 && c != '\t' && c != '\n' && c != '\r' && c != '\f') || c == 0x7F;
  });
  if (binary) return refuse(name, "no text: it has control characters");
  const std::string_view body = without_blanks(text);
  if (body.empty()) return refuse(name, "is empty");
  const bool json = body.front() == '{' || body.front() == '[';
  auto properties = json ? parse_json(body, name) : parse_properties(text);
  if (!properties && !json)
    return refuse(name, properties.error().message, properties.error().remedy);
  if (!properties) return fail(properties.error());
  Configuration configuration(std::move(*properties));
  if (configuration.get("connector.class", "").empty()) {
    return refuse(name, configuration.all().empty()
                            ? "has no properties"
                            : "is no connector's configuration: connector.class is missing");
  }
  return configuration;
}

}  // namespace sluice::connect
