// The part of ChangeDecoder that reads keys, and learns how names of columns are spelt.
#include <boost/json.hpp>

#include "json/text.h"
#include "message/change_state.h"

namespace sluice::message {

namespace {

// What a column would have to be for such a value.
Type guess(const boost::json::value& value) {
  Type type;
  switch (value.kind()) {
    case boost::json::kind::bool_:
      type.base = Base::kBoolean;
      break;
    case boost::json::kind::int64:
    case boost::json::kind::uint64:
      type.base = Base::kInteger;
      type.bits = 64;
      break;
    case boost::json::kind::double_:
      type.base = Base::kFloat;
      type.meaning = Meaning::kDecimalText;
      break;
    case boost::json::kind::string:
      type.base = Base::kString;
      break;
    case boost::json::kind::object:
      type.base = Base::kStruct;
      break;
    case boost::json::kind::array:
      type.base = Base::kArray;
      break;
    case boost::json::kind::null:
      break;
  }
  return type;
}

}  // namespace

// Fields in other case than their columns become known names; what is left, and not null, is new.
bool ChangeDecoder::State::learn_aliases(std::string_view collected, Type& left) {
  boost::system::error_code failed;
  const auto json = boost::json::parse(collected, failed);
  const auto* object = json.if_object();
  if (failed || object == nullptr) return false;
  std::vector<std::string> names;
  for (const auto& member : *object) names.emplace_back(member.key());
  bool learned = false;
  for (const auto& name : names) {
    const bool known = std::ranges::find(bare_names, name) != bare_names.end();
    if (!known && column_of(name, names)) {
      bare_names.push_back(name);
      learned = true;
    } else if (!is_ignored(name) && !object->at(name).is_null()) {
      left.names.push_back(name);
      left.parts.push_back(guess(object->at(name)));
    }
  }
  if (learned) {
    bare[0].reset();
    bare[1].reset();
    for (Keys* side : {&keys, &new_keys}) {
      std::erase_if(side->forms, [](const auto& form) { return form->schema.empty(); });
    }
    values_of = nullptr;
  }
  return learned;
}

// A key that is no object: the value of the only column.
ChangeDecoder::State::KeyOutcome ChangeDecoder::State::read_scalar(std::string_view key,
                                                                   const json::Slot& root,
                                                                   bool valid, Keys& side) {
  if (config.key_columns != 1) return KeyOutcome::kOther;
  if (valid) {
    put(side.values[0], root);
    return KeyOutcome::kOk;
  }
  const bool begins_as_json = key.empty() || key[0] == '{' || key[0] == '[' || key[0] == '"';
  if (begins_as_json || !json::is_utf8(key)) return KeyOutcome::kProblem;
  side.values[0] = Value::of(Kind::kString, key);
  return KeyOutcome::kOk;
}

// The columns of the key as a message's key, or a header that holds one, has them.
ChangeDecoder::State::KeyOutcome ChangeDecoder::State::read_key(std::string_view key, Keys& side,
                                                                Problem& problem) {
  if (is_null_text(key)) return KeyOutcome::kNone;
  Parts parts{{}, key};
  if (key.starts_with(kSchemaFirst)) {
    bool known = false;
    const std::string_view rest = key.substr(kSchemaFirst.size());
    for (const auto& form : side.forms) {
      if (form->schema.empty() || !rest.starts_with(form->schema)) continue;
      const std::string_view behind = rest.substr(form->schema.size());
      if (!behind.starts_with(kThenPayload)) continue;
      parts.schema = form->schema;
      known = payload_of(behind.substr(kThenPayload.size()), parts.payload);
      break;
    }
    if (!known) parts = take_apart(key);
  } else if (!key.empty() && key[0] == '{' && key.find("\"payload\"") != std::string_view::npos) {
    parts = take_apart(key);
  }
  KeyForm* const form = key_form(side, parts.schema, problem);
  if (form == nullptr) return KeyOutcome::kProblem;
  side.types = form->key.types;
  std::ranges::fill(side.values, Value{});
  if (is_null_text(parts.payload)) return KeyOutcome::kNone;
  json::Failure failure;
  json::Slot root;
  const bool valid = form->reader->read(parts.payload, form->found, failure, &root);
  if (!valid || root.type != json::Type::kObject) {
    const auto outcome = read_scalar(parts.payload, root, valid, side);
    if (outcome == KeyOutcome::kProblem) {
      problem = to_problem(failure, key);
      problem.detail = "in the message's key: " + problem.detail;
    }
    if (outcome == KeyOutcome::kOther) other_key.clear();
    return outcome;
  }
  Type left;
  const std::string_view collected = form->reader->unmapped();
  if (!collected.empty() && learn_aliases(collected, left)) return KeyOutcome::kAgain;
  std::size_t present = 0;
  for (const auto& [from, column] : form->key.fields) {
    if (form->found[from].type == json::Type::kAbsent) continue;  // of two spellings
    put(side.values[column], form->found[from]);
    ++present;
  }
  if (form->whole && present == config.key_columns && left.names.empty()) {
    return KeyOutcome::kOk;
  }
  other_key = form->names;
  if (form->schema.empty()) {
    for (const auto& [from, column] : form->key.fields) {
      if (form->found[from].type == json::Type::kAbsent) continue;
      other_key.push_back(config.columns[column]);
    }
    other_key.insert(other_key.end(), left.names.begin(), left.names.end());
  }
  return KeyOutcome::kOther;
}

}  // namespace sluice::message
