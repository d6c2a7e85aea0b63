#include "message/decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <string_view>
#include <utility>

#include "base/buffer.h"
#include "json/path.h"
#include "json/reader.h"
#include "json/text.h"
#include "json/writer.h"
#include "message/slot.h"

namespace sluice::message {
namespace {

// Wire format of Confluent's serializers: a zero byte, then the schema's id in four bytes.
constexpr std::size_t kRegistryHeader = 5;
// How long a field's name may be that an error text repeats.
constexpr std::size_t kNameBytes = 128;

json::Unmapped unmapped_of(Extra extra) {
  switch (extra) {
    case Extra::kFail:
      return json::Unmapped::kFail;
    case Extra::kCollect:
      return json::Unmapped::kCollect;
    case Extra::kIgnore:
      break;
  }
  return json::Unmapped::kIgnore;
}

ProblemCode code_of(json::Fault fault) {
  switch (fault) {
    case json::Fault::kNotUtf8:
      return ProblemCode::kNotUtf8;
    case json::Fault::kTrailingBytes:
      return ProblemCode::kTrailingBytes;
    case json::Fault::kTooDeep:
      return ProblemCode::kTooDeep;
    case json::Fault::kTooLarge:
      return ProblemCode::kTooLarge;
    case json::Fault::kNotAnObject:
      return ProblemCode::kNotAnObject;
    case json::Fault::kLoneSurrogate:
      return ProblemCode::kLoneSurrogate;
    case json::Fault::kExtraField:
      return ProblemCode::kExtraField;
    case json::Fault::kNone:
    case json::Fault::kNotJson:
      break;
  }
  return ProblemCode::kNotJson;
}

bool has_registry_header(std::string_view text) {
  return text.size() >= kRegistryHeader && text[0] == '\0';
}

Problem registry_problem(std::string_view text) {
  std::uint32_t id = 0;
  for (const char byte : text.substr(1, 4)) id = id << 8 | static_cast<unsigned char>(byte);
  Problem problem;
  problem.code = ProblemCode::kSchemaRegistry;
  problem.detail = fmt::format("schema id {}", id);
  problem.excerpt = excerpt_of(text);
  return problem;
}

std::int64_t now_micros() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

void append_header_name(Buffer& out, std::string_view name, Buffer& scratch) {
  if (json::is_utf8(name)) {
    json::append_string(out, name);
    return;
  }
  scratch.clear();
  scratch.append("base64:");
  json::append_base64(scratch, name);
  json::append_string(out, scratch.view());
}

void append_header_value(Buffer& out, const Header& header) {
  if (header.null) {
    out.append("null");
  } else if (json::is_utf8(header.value)) {
    json::append_string(out, header.value);
  } else {
    out.append(R"({"base64":")");
    json::append_base64(out, header.value);
    out.append(R"("})");
  }
}

}  // namespace

Problem to_problem(const json::Failure& failure, std::string_view text) {
  if (has_registry_header(text)) return registry_problem(text);
  Problem problem;
  problem.code = code_of(failure.fault);
  problem.field = excerpt_of(failure.field.substr(0, kNameBytes));
  problem.excerpt = excerpt_of(text, failure.at);
  const std::string found =
      failure.at < text.size() ? json::shown(text[failure.at]) : "the end of the document";
  problem.detail = fmt::format("byte {}: {}, found {}", failure.at, failure.what, found);
  return problem;
}

struct Decoder::State {
  struct MetaSlot {
    std::size_t slot;
    Input::Meta meta;
  };

  explicit State(std::vector<json::Path> field_paths, Extra extra_fields)
      : paths(std::move(field_paths)),
        extra(extra_fields),
        reader(paths, unmapped_of(extra_fields)),
        found(paths.size()) {}

  bool read_metadata(const Message& message, std::span<Value> values, Problem& problem);
  Value headers_value(const Message& message);
  bool read_key(std::string_view key, std::size_t key_fields, std::size_t only_slot,
                std::span<Value> values, Problem& problem);
  void fill(std::span<Value> values) const {
    for (std::size_t i = 0; i < found.size(); ++i) put(values[field_slots[i]], found[i]);
  }

  std::vector<json::Path> paths;  // of the inputs that are fields
  Extra extra;
  json::Reader reader;
  std::vector<json::Slot> found;         // what each path found
  std::vector<std::size_t> field_slots;  // where each path's value goes
  std::vector<MetaSlot> meta_slots;
  std::size_t inputs = 0;

  std::optional<json::Reader> key_reader;  // made when the first tombstone comes
  Buffer headers;
  Buffer header_name;
  std::vector<std::uint32_t> header_order;
};

Decoder::Decoder(std::unique_ptr<State> state) : state_(std::move(state)) {}
Decoder::Decoder(Decoder&&) noexcept = default;
Decoder& Decoder::operator=(Decoder&&) noexcept = default;
Decoder::~Decoder() = default;

Result<Decoder> Decoder::compile(const DecoderConfig& config) {
  std::vector<json::Path> paths;
  std::vector<std::size_t> field_slots;
  std::vector<State::MetaSlot> meta_slots;
  for (std::size_t i = 0; i < config.inputs.size(); ++i) {
    const Input& input = config.inputs[i];
    const bool has_meta = input.meta != Input::Meta::kNone;
    if (input.field.has_value() == has_meta) {
      return fail(Domain::kDocument, std::to_string(i),
                  has_meta ? "a column names both a field and metadata"
                           : "a column names neither a field nor metadata",
                  "Give it one of `field` and `meta`.");
    }
    if (has_meta) {
      meta_slots.push_back({i, input.meta});
      continue;
    }
    auto path = json::Path::compile(*input.field);
    if (!path) {
      Error error = std::move(path.error());
      error.code = std::to_string(i);
      return sluice::fail(std::move(error));
    }
    if (!path->steps().empty() && path->steps()[0].is_index) {
      return fail(
          Domain::kDocument, std::to_string(i),
          fmt::format("path `{}`: begins with an index, but a message is an object, which has "
                      "no elements",
                      path->text()),
          "Begin with a name: $.items[0].");
    }
    paths.push_back(std::move(*path));
    field_slots.push_back(i);
  }
  auto state = std::make_unique<State>(std::move(paths), config.extra);
  state->field_slots = std::move(field_slots);
  state->meta_slots = std::move(meta_slots);
  state->inputs = config.inputs.size();
  return Decoder(std::move(state));
}

std::size_t Decoder::slots() const {
  return state_->inputs + (state_->extra == Extra::kCollect ? 1 : 0);
}

bool Decoder::decode(const Message& message, std::span<Value> values, Problem& problem) {
  State& state = *state_;
  SLUICE_CHECK(values.size() == slots());
  if (message.value_null || message.value.empty()) [[unlikely]] {
    problem = {};
    problem.code = message.value_null ? ProblemCode::kTombstone : ProblemCode::kEmptyValue;
    return false;
  }
  json::Failure failure;
  if (!state.reader.read(message.value, state.found, failure)) [[unlikely]] {
    problem = to_problem(failure, message.value);
    return false;
  }
  state.fill(values);
  if (state.extra == Extra::kCollect) {
    const std::string_view extras = state.reader.unmapped();
    values.back() = extras.empty() ? Value{} : Value::of(Kind::kJsonObject, extras);
  }
  return state.meta_slots.empty() || state.read_metadata(message, values, problem);
}

bool Decoder::decode_key(const Message& message, std::span<const int> key_slots,
                         std::span<Value> values, Problem& problem) {
  State& state = *state_;
  SLUICE_CHECK(values.size() == slots());
  std::ranges::fill(values, Value{});
  std::size_t key_fields = 0;
  std::size_t only_slot = 0;
  for (const int slot : key_slots) {
    const auto number = static_cast<std::size_t>(slot);
    if (std::ranges::find(state.field_slots, number) == state.field_slots.end()) continue;
    ++key_fields;
    only_slot = number;
  }
  if (key_fields > 0 && message.key_null) {
    problem = {};
    problem.code = ProblemCode::kNullKey;
    problem.detail = "the message has neither value nor key";
    return false;
  }
  if (key_fields > 0 && !state.read_key(message.key, key_fields, only_slot, values, problem)) {
    return false;
  }
  return state.read_metadata(message, values, problem);
}

bool Decoder::State::read_key(std::string_view key, std::size_t key_fields, std::size_t only_slot,
                              std::span<Value> values, Problem& problem) {
  if (!key_reader) key_reader.emplace(paths, json::Unmapped::kIgnore);
  json::Failure failure;
  json::Slot root;
  const bool valid = key_reader->read(key, found, failure, &root);
  if (valid && root.type == json::Type::kObject) {
    fill(values);
    return true;
  }
  if (valid && root.type != json::Type::kArray && key_fields == 1) {
    put(values[only_slot], root);
    return true;
  }
  // Most producers write keys as plain text, which seldom is JSON.
  const bool begins_as_json = !key.empty() && (key[0] == '{' || key[0] == '[' || key[0] == '"');
  const bool no_json = !valid && (failure.fault == json::Fault::kNotJson ||
                                  failure.fault == json::Fault::kTrailingBytes);
  const bool registry = !valid && has_registry_header(key);
  if (no_json && !registry && !begins_as_json && key_fields == 1) {
    values[only_slot] = Value::of(Kind::kString, key);
    return true;
  }
  if (!valid) {
    problem = to_problem(failure, key);
  } else {
    problem = {};
    problem.code = ProblemCode::kNotAnObject;
    problem.excerpt = excerpt_of(key);
  }
  std::string place = "in the message's key";
  if (key_fields > 1) {
    place +=
        fmt::format(", which must be an object with the {} fields of the table's key", key_fields);
  }
  problem.detail = problem.detail.empty() ? place : place + ": " + problem.detail;
  return false;
}

bool Decoder::State::read_metadata(const Message& message, std::span<Value> values,
                                   Problem& problem) {
  constexpr std::int64_t kMicrosPerMilli = 1000;
  constexpr std::int64_t kMaxMillis = std::numeric_limits<std::int64_t>::max() / kMicrosPerMilli;
  for (const auto& [slot, meta] : meta_slots) {
    Value& value = values[slot];
    switch (meta) {
      case Input::Meta::kTopic:
        value = Value::of(Kind::kString, message.topic);
        break;
      case Input::Meta::kPartition:
        value = Value::of(Kind::kInteger, std::int64_t{message.partition});
        break;
      case Input::Meta::kOffset:
        value = Value::of(Kind::kInteger, message.offset);
        break;
      case Input::Meta::kTimestamp:
        if (message.timestamp_ms > kMaxMillis || message.timestamp_ms < -kMaxMillis) {
          problem = {};
          problem.code = ProblemCode::kBadTimestamp;
          problem.field = "timestamp";
          problem.detail = fmt::format("the record's own timestamp is {} ms", message.timestamp_ms);
          return false;
        }
        value = message.timestamp_ms == -1
                    ? Value::of(Kind::kNull, 0)
                    : Value::of(Kind::kMicros, message.timestamp_ms * kMicrosPerMilli);
        break;
      case Input::Meta::kKey:
        value = message.key_null ? Value::of(Kind::kNull, 0) : Value::of(Kind::kBytes, message.key);
        break;
      case Input::Meta::kHeaders:
        value = headers_value(message);
        break;
      case Input::Meta::kIngestedAt:
        value = Value::of(Kind::kMicros, now_micros());
        break;
      case Input::Meta::kNone:
        break;
    }
  }
  return true;
}

// Sorted by name, so that headers of one name stand together however many there are.
Value Decoder::State::headers_value(const Message& message) {
  const auto& list = message.headers;
  header_order.resize(list.size());
  for (std::uint32_t i = 0; i < list.size(); ++i) header_order[i] = i;
  std::ranges::sort(header_order, [&](std::uint32_t a, std::uint32_t b) {
    const int order = list[a].name.compare(list[b].name);
    return order != 0 ? order < 0 : a < b;
  });
  headers.clear();
  headers.append('{');
  for (std::size_t begin = 0; begin < header_order.size();) {
    const std::string_view name = list[header_order[begin]].name;
    std::size_t end = begin + 1;
    while (end < header_order.size() && list[header_order[end]].name == name) ++end;
    if (begin > 0) headers.append(',');
    append_header_name(headers, name, header_name);
    headers.append(':');
    const bool several = end - begin > 1;
    if (several) headers.append('[');
    for (std::size_t i = begin; i < end; ++i) {
      if (i > begin) headers.append(',');
      append_header_value(headers, list[header_order[i]]);
    }
    if (several) headers.append(']');
    begin = end;
  }
  headers.append('}');
  return Value::of(Kind::kJsonObject, headers.view());
}

}  // namespace sluice::message
