#include "targets.h"

#include <optional>
#include <vector>

#include "cli/document.h"
#include "json/path.h"
#include "json/reader.h"
#include "json/text.h"
#include "message/decoder.h"
#include "sink/copy_error.h"

namespace sluice::fuzz {
namespace {

message::Decoder& decoder() {
  static message::Decoder one = [] {
    message::DecoderConfig config;
    for (const char* field : {"id", "a", "$.b.c", "$['d'][-1]", "$.e[0].f", "$"}) {
      config.inputs.push_back({.field = field});
    }
    config.inputs.push_back({.field = std::nullopt, .meta = message::Input::Meta::kKey});
    auto compiled = message::Decoder::compile(config);
    SLUICE_CHECK(compiled.has_value());
    return std::move(*compiled);
  }();
  return one;
}

void check(const message::Value& value) {
  if (value.kind == message::Kind::kString) SLUICE_CHECK(json::is_utf8(value.text()));
  if (value.kind == message::Kind::kJsonObject) {
    SLUICE_CHECK(value.text().front() == '{' && value.text().back() == '}');
  }
  if (value.kind == message::Kind::kJsonArray) {
    SLUICE_CHECK(value.text().front() == '[' && value.text().back() == ']');
  }
  if (value.kind == message::Kind::kNumber) SLUICE_CHECK(!value.text().empty());
}

}  // namespace

void message(std::string_view bytes) {
  if (bytes.empty()) return;
  const bool by_key = (bytes.front() & 1) != 0;
  bytes.remove_prefix(1);
  message::Message record;
  record.topic = "fuzz";
  record.key_null = !by_key;
  record.value_null = by_key;
  (by_key ? record.key : record.value) = bytes;
  std::vector<message::Value> values(decoder().slots());
  message::Problem problem;
  static const std::vector<int> key_slots{0};
  const bool read = by_key ? decoder().decode_key(record, key_slots, values, problem)
                           : decoder().decode(record, values, problem);
  if (!read) {
    const Error error = message::to_error(problem);
    SLUICE_CHECK(!error.message.empty() && json::is_utf8(error.message));
    SLUICE_CHECK(problem.excerpt.size() <= 64 && json::is_utf8(problem.excerpt));
    return;
  }
  for (const auto& value : values) check(value);
}

void path(std::string_view bytes) {
  const auto compiled = json::Path::compile(bytes);
  if (!compiled) {
    SLUICE_CHECK(!compiled.error().message.empty());
    return;
  }
  SLUICE_CHECK(compiled->steps().size() <= json::kMaxPathSteps);
  const auto again = json::Path::compile(compiled->text());
  SLUICE_CHECK(again.has_value());
  SLUICE_CHECK(std::equal(again->steps().begin(), again->steps().end(), compiled->steps().begin(),
                          compiled->steps().end()));
}

void document(std::string_view bytes) {
  const auto loaded = cli::load_text(bytes, "fuzz.yaml");
  if (loaded) {
    SLUICE_CHECK(!loaded->task.name.empty() && !loaded->task.source.topics.empty());
    return;
  }
  SLUICE_CHECK(!loaded.error().empty());
  for (const auto& error : loaded.error()) SLUICE_CHECK(!error.message.empty());
}

void copy_error(std::string_view bytes) {
  for (const std::string_view relation : {"t", "sluice_stage", ""}) {
    const auto line = sink::copy_error_line(bytes, relation);
    SLUICE_CHECK(!line || *line > 0);
  }
}

}  // namespace sluice::fuzz
