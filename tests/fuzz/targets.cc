#include "targets.h"

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "cli/document.h"
#include "json/path.h"
#include "json/reader.h"
#include "json/text.h"
#include "message/change.h"
#include "message/decoder.h"
#include "sink/column_type.h"
#include "sink/convert.h"
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

namespace {

class OneHeader : public message::Headers {
 public:
  explicit OneHeader(std::string_view value) : header_{"__debezium.newkey", value, false} {}
  std::span<const message::Header> headers() override { return {&header_, 1}; }

 private:
  message::Header header_;
};

message::ChangeDecoder change_decoder(unsigned kind) {
  message::ChangeConfig config;
  config.format = static_cast<message::Format>(kind & 3);
  if ((kind & 4) == 0) config.columns = {"id", "name", "big", "at"};
  config.key_columns = config.columns.empty() || (kind & 8) != 0 ? 0 : 1;
  config.same_key = (kind & 16) == 0;
  config.history = (kind & 32) != 0;
  if (config.history) config.key_columns = config.columns.size();
  config.metadata = config.origin = (kind & 64) != 0;
  return message::ChangeDecoder(std::move(config));
}

// What each value means, by the type that its message says.
void convert_all(const message::Change::Row& row) {
  static const message::Type nothing;
  static sink::TextStore store;
  store.clear();
  for (std::size_t i = 0; i < row.values.size(); ++i) {
    message::Value value = row.values[i];
    check(value);
    message::Problem problem;
    const message::Type* const type = row.types[i] == nullptr ? &nothing : row.types[i];
    if (!sink::convert(*type, value, store, problem)) {
      SLUICE_CHECK(json::is_utf8(message::to_error(problem).message));
    }
    (void)sink::column_type(*type);
  }
}

}  // namespace

void change(std::string_view bytes) {
  if (bytes.empty()) return;
  message::ChangeDecoder decoder = change_decoder(static_cast<unsigned char>(bytes.front()));
  bytes.remove_prefix(1);
  const auto part = [&bytes] {
    const std::string_view taken = bytes.substr(0, bytes.find('\0'));
    bytes.remove_prefix(std::min(bytes.size(), taken.size() + 1));
    return taken;
  };
  message::Message record;
  record.topic = "fuzz";
  record.key = part();
  record.key_null = record.key.empty();
  record.value = part();
  OneHeader headers(part());
  static const message::Expected expected{{"shop", "public", "t"}, {}};
  // The second time by what the first has learned.
  for (const bool again : {false, true}) {
    message::Change found;
    message::Problem problem;
    auto outcome = decoder.decode(record, headers, found, problem, again ? &expected : nullptr);
    for (int i = 0; outcome == message::ChangeDecoder::Outcome::kChange; ++i) {
      for (const auto& row : {found.row, found.key, found.before}) convert_all(row);
      if (!decoder.more()) break;
      SLUICE_CHECK(i < 10'000);
      outcome = decoder.next(found, problem);
    }
    if (outcome == message::ChangeDecoder::Outcome::kProblem) {
      SLUICE_CHECK(json::is_utf8(message::to_error(problem).message));
    }
    if (outcome == message::ChangeDecoder::Outcome::kNewSchema) decoder.accept_schema();
  }
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
