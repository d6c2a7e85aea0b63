#include "message/change.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "message/change_state.h"

namespace sluice::message {

Problem nameless_tombstone() {
  Problem problem;
  problem.code = ProblemCode::kNoIdentity;
  problem.detail =
      "a tombstone names no table, and target.table goes by what messages say of theirs: use "
      "{topic}, or delete.tombstone.handling.mode: rewrite at the source";
  return problem;
}

bool ChangeDecoder::State::read(Form& form, std::string_view payload, Problem& problem) {
  json::Failure failure;
  if (form.reader->read(payload, form.found, failure)) return true;
  problem = to_problem(failure, payload);
  return false;
}

// A message without schema: as the last one was, or else the other way.
Form* ChangeDecoder::State::read_bare(std::string_view payload, Problem& problem) {
  const auto form_of = [&](bool envelope) -> Form& {
    auto& form = bare[envelope ? 1 : 0];
    if (form == nullptr) form = bare_form(envelope);
    return *form;
  };
  const bool envelope =
      config.format == Format::kAuto ? bare_envelope : config.format == Format::kDebezium;
  Form& first = form_of(envelope);
  if (!read(first, payload, problem)) return nullptr;
  if (config.format != Format::kAuto || is_envelope(first) == envelope) return &first;
  bare_envelope = !envelope;
  Form& second = form_of(!envelope);
  return read(second, payload, problem) ? &second : nullptr;
}

// Of a message without schema: fields that no column takes. kChange: there are none.
ChangeDecoder::State::Step ChangeDecoder::State::new_fields(const Message& message, Form& form) {
  asked = {};
  asked.base = Base::kStruct;
  const std::string_view collected = form.reader->unmapped();
  if (!collected.empty() && learn_aliases(collected, asked)) return Step::kAgain;
  if (!form.envelope) {
    drop_added();
    constexpr std::pair<std::size_t, const char*> kNames[] = {{Form::kOp, "op"},
                                                              {Form::kAfter, "after"},
                                                              {Form::kBefore, "before"},
                                                              {Form::kSource, "source"}};
    for (const auto& [place, name] : kNames) {
      const json::Type type = form.found[place].type;
      if (type == json::Type::kAbsent || type == json::Type::kNull || is_ignored(name) ||
          column_of(name, bare_names)) {
        continue;
      }
      Type guessed;
      guessed.base = type == json::Type::kString ? Base::kString : Base::kStruct;
      asked.names.emplace_back(name);
      asked.parts.push_back(std::move(guessed));
    }
  }
  const bool heartbeat = asked.names.size() == 1 && asked.names.front() == "ts_ms" &&
                         message.topic.starts_with(kHeartbeatTopic);
  if (asked.names.empty()) return Step::kChange;
  if (heartbeat || is_service_by_names(asked)) return Step::kNothing;
  ask_for_key(message);
  return Step::kNewFields;
}

// The fields of rows that come by a schema, until it is accepted.
ChangeDecoder::State::Step ChangeDecoder::State::new_schema(const Message& message, Form& form) {
  if (form.accepted) return Step::kChange;
  shown = &form;
  const int after = form.envelope ? form.type->find("after") : -1;
  asked = after < 0 ? *form.type : form.type->parts[static_cast<std::size_t>(after)];
  if (!form.envelope) drop_added();
  if (is_of_mysql(*form.type)) {
    for (Type& field : asked.parts) {
      if (field.meaning == Meaning::kTime) field.meaning = Meaning::kDuration;
    }
  }
  ask_for_key(message);
  return Step::kNewSchema;
}

void ChangeDecoder::State::drop_added() {
  for (std::size_t i = asked.names.size(); i-- > 0;) {
    if (!is_added(asked.names[i])) continue;
    asked.names.erase(asked.names.begin() + static_cast<std::ptrdiff_t>(i));
    asked.parts.erase(asked.parts.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

// Of an event of schema changes, whatever columns there are; nothing: it is none.
std::optional<ChangeDecoder::State::Step> ChangeDecoder::State::structure(const Form& form,
                                                                          const Message& message) {
  const bool may_be = form.schema.empty()
                          ? form.found[Form::kOp].type == json::Type::kAbsent &&
                                form.found[Form::kSource].type == json::Type::kObject
                          : form.structure;
  if (!may_be || message.value.find("\"tableChanges\"") == std::string_view::npos) {
    return std::nullopt;
  }
  auto changes = message::table_changes(take_apart(message.value).payload);
  if (!changes) return std::nullopt;
  table_changes = std::move(*changes);
  return table_changes.empty() ? Step::kChange : Step::kStructure;
}

// Of a target that is not there yet: what is to be its key.
void ChangeDecoder::State::ask_for_key(const Message& message) {
  other_key.clear();
  if (columns > 0 || message.key_null) return;
  Problem ignored;
  read_key(message.key, keys, ignored);
}

// Whether a row whose schema is new is of this table: else the schema is not worth to be kept.
bool ChangeDecoder::State::is_of_unread(std::string_view payload, const Expected& expected) {
  if (!origin_form) {
    origin_form.emplace();
    origin_form->paths = meta_paths();
    for (const bool envelope : {true, false}) {
      origin_form->envelope = envelope;
      bind_origin_of(*origin_form);
    }
    origin_form->reader.emplace(origin_form->paths, json::Unmapped::kIgnore);
    origin_form->found.resize(origin_form->paths.size());
  }
  Problem ignored;
  if (!read(*origin_form, payload, ignored)) return true;  // whoever reads it says so
  take_origin(*origin_form);
  if (origin == Origin()) return true;
  other_table = !is_of(*origin_form, expected);
  return !other_table;
}

// The form by which the value was read, which holds it now. Null: it is none, `null` in one of its
// forms, of another table, or a problem.
Form* ChangeDecoder::State::read_value(const Message& message, const Expected* expected, bool& null,
                                       Problem& problem) {
  null = message.value_null || is_null_text(message.value);
  if (null) return nullptr;
  if (message.value.empty()) {
    problem = {};
    problem.code = ProblemCode::kEmptyValue;
    return nullptr;
  }
  std::string_view payload = message.value;
  Form* form = by_bytes(message.value, payload);
  if (form == nullptr && message.value.starts_with('{') &&
      message.value.find("\"payload\"") != std::string_view::npos) {
    const Parts parts = take_apart(message.value);
    payload = parts.payload;
    if (!parts.schema.empty()) {
      form = known_form(parts.schema);
      if (form == nullptr && expected != nullptr && !is_of_unread(payload, *expected)) {
        return nullptr;
      }
      if (form == nullptr) form = new_form(parts.schema, problem);
      if (form == nullptr) return nullptr;
    }
  }
  null = is_null_text(payload);
  if (null) return nullptr;
  if (form != nullptr) {
    is_canal = false;
    return read(*form, payload, problem) ? form : nullptr;
  }
  const bool only_canal = config.format == Format::kCanal;
  if (only_canal || (is_canal && config.format == Format::kAuto)) {
    if (!read_canal(payload, problem) || is_canal) return nullptr;
    if (only_canal) {
      problem = bad_envelope("no message of Canal: no `isDdl`, no BINLOG_NAME");
      return nullptr;
    }
  }
  is_canal = false;
  form = read_bare(payload, problem);
  if (form == nullptr || form->envelope || config.format != Format::kAuto || !may_be_canal(*form)) {
    return form;
  }
  if (!read_canal(payload, problem) || is_canal) return nullptr;
  return form;
}

ChangeDecoder::State::Step ChangeDecoder::State::decode(const Message& message, Headers& headers,
                                                        Change& change, Problem& problem,
                                                        const Expected* expected) {
  change = {};
  bool null = false;
  other_table = false;
  Form* const form = read_value(message, expected, null, problem);
  if (other_table) return Step::kOtherTable;
  was_null = null;
  if (null) {
    if (expected == nullptr) return decode_null(message, headers, change, problem);
    if (expected->tombstones == Expected::Tombstones::kNothing) return Step::kChange;
    problem = nameless_tombstone();
    return Step::kProblem;
  }
  if (form == nullptr) {
    if (!is_canal) return Step::kProblem;
    says_deletes = true;
    if (is_signal(canal.table)) canal.kind = CanalMessage::Kind::kNothing;
    if (expected != nullptr && !is_of_canal(expected->origin)) return Step::kOtherTable;
    return canal_change(change, problem);
  }
  if (const auto step = structure(*form, message)) return *step;
  if (form->service || is_signal(*form)) return Step::kChange;
  const bool nothing = form->envelope && text_of(form->found[Form::kOp]) == "m";
  if (expected != nullptr && !nothing && !is_of(*form, *expected)) return Step::kOtherTable;
  says_deletes = form->envelope || form->found[Form::kDeleted].type != json::Type::kAbsent;
  for (const auto& [place, meta] : form->metadata) {
    Value& value = change.metadata[static_cast<std::size_t>(meta)];
    const json::Type type = form->found[place].type;
    const bool there = type != json::Type::kAbsent && type != json::Type::kNull;
    if (there && value.kind == Kind::kAbsent) put(value, form->found[place]);
  }
  deletes_are_said = deletes_are_said || says_deletes;
  return form->envelope ? decode_envelope(message, headers, *form, change, problem)
                        : decode_flat(message, headers, *form, change, problem);
}

ChangeDecoder::State::Step ChangeDecoder::State::locate(const Message& message, bool& null,
                                                        Problem& problem) {
  Form* const form = read_value(message, nullptr, null, problem);
  if (null) return Step::kChange;
  if (form == nullptr && is_canal) {
    says_deletes = true;
    const bool nothing = canal.kind == CanalMessage::Kind::kNothing || is_signal(canal.table);
    return nothing || is_of_canal({}) ? Step::kChange : Step::kOtherTable;
  }
  if (form == nullptr) return Step::kProblem;
  if (const auto step = structure(*form, message)) return *step;
  if (form->service || is_signal(*form)) return Step::kChange;
  take_origin(*form);
  says_deletes = form->envelope || form->found[Form::kDeleted].type != json::Type::kAbsent;
  if (form->envelope) {
    return text_of(form->found[Form::kOp]) == "m" ? Step::kChange : Step::kOtherTable;
  }
  if (form->schema.empty() && origin.table.empty()) {
    if (new_fields(message, *form) == Step::kNothing) return Step::kNothing;
  }
  return Step::kOtherTable;
}

// A tombstone, or what stands for one.
ChangeDecoder::State::Step ChangeDecoder::State::decode_null(const Message& message,
                                                             Headers& headers, Change& change,
                                                             Problem& problem) {
  if (columns == 0) return Step::kChange;  // kNothing: there is no row yet
  if (config.history && deletes_are_said) return Step::kChange;
  if (!message.key_null && !is_null_text(message.key)) {
    return decode_delete(message, headers, nullptr, change, problem);
  }
  // kNothing: it follows a delete.
  if (config.key_columns == 0 || config.history) return Step::kChange;
  problem = {};
  problem.code = ProblemCode::kNullKey;
  problem.detail = "the message has neither value nor key";
  return Step::kProblem;
}

ChangeDecoder::State::Step ChangeDecoder::State::decode_envelope(const Message& message,
                                                                 Headers& headers, Form& form,
                                                                 Change& change, Problem& problem) {
  const std::string_view op = text_of(form.found[Form::kOp]);
  const json::Type after = form.found[Form::kAfter].type;
  change.op = op.size() == 1 ? op[0] : '\0';
  switch (change.op) {
    case 'c':
    case 'r':
    case 'u':
      if (after != json::Type::kObject) {
        problem = bad_envelope(fmt::format("op {} without `after`", change.op));
        return Step::kProblem;
      }
      return write(message, headers, form, change, problem);
    case 'd':
      return decode_delete(message, headers, &form, change, problem);
    case 't':
      change.kind = Change::Kind::kTruncate;
      return Step::kChange;
    case 'm':
      return Step::kChange;
    default:
      problem = op.empty() ? bad_envelope("no `op`") : bad_envelope("unknown `op`", op);
      return Step::kProblem;
  }
}

ChangeDecoder::State::Step ChangeDecoder::State::decode_flat(const Message& message,
                                                             Headers& headers, Form& form,
                                                             Change& change, Problem& problem) {
  std::string_view op = text_of(form.found[Form::kRowOp]);
  if (op.empty()) {
    const Header* header = find(headers.headers(), kOpHeader);
    if (header != nullptr) op = header->value;
    if (op.size() == 3 && op.front() == '"' && op.back() == '"') op = op.substr(1, 1);
  }
  change.op = op.size() == 1 ? op[0] : '\0';
  const json::Slot& deleted = form.found[Form::kDeleted];
  const bool is_deleted =
      (deleted.type == json::Type::kBool && deleted.boolean) || text_of(deleted) == "true";
  if (change.op == 't') {
    change.kind = Change::Kind::kTruncate;
    return Step::kChange;
  }
  if (change.op == 'm') return Step::kChange;
  if (is_deleted || change.op == 'd') {
    return decode_delete(message, headers, &form, change, problem);
  }
  return write(message, headers, form, change, problem);
}

void ChangeDecoder::State::fill_before(Form& form, Change& change) {
  const Binding& binding = form.envelope ? form.before : form.row;
  std::ranges::fill(before_values, Value{});
  for (const auto& [from, column] : binding.fields) {
    if (form.found[from].type != json::Type::kAbsent) put(before_values[column], form.found[from]);
  }
  change.before = {before_values, binding.types};
}

// The row as it is now.
ChangeDecoder::State::Step ChangeDecoder::State::write(const Message& message, Headers& headers,
                                                       Form& form, Change& change,
                                                       Problem& problem) {
  other_key.clear();
  const Step known = form.schema.empty() ? new_fields(message, form) : new_schema(message, form);
  if (known == Step::kNothing) return Step::kChange;
  if (known != Step::kChange) return known;
  if (values_of != &form) {
    std::ranges::fill(row_values, Value{});
    values_of = &form;
  }
  for (const auto& [from, column] : form.row.fields) put(row_values[column], form.found[from]);
  if (form.schema.empty() && bare_names.size() > columns) {
    // Of two spellings of one column the one that is there.
    for (const auto& [from, column] : form.row.fields) {
      if (form.found[from].type != json::Type::kAbsent) put(row_values[column], form.found[from]);
    }
  }
  change.kind = Change::Kind::kWrite;
  change.row = {row_values, form.row.types};
  change.partial = change.op != 'r';
  if (change.op == 'c') change.partial = find(headers.headers(), kOldKey) != nullptr;
  if (config.key_columns == 0) {
    if (!message.key_null && config.same_key && columns > 0) {
      const KeyOutcome outcome = read_key(message.key, keys, problem);
      if (outcome == KeyOutcome::kAgain) return Step::kAgain;
      if (outcome == KeyOutcome::kOther) return Step::kOtherKey;
    }
    if (change.op == 'u') {
      if (!form.envelope || form.found[Form::kBefore].type != json::Type::kObject) {
        problem = {};
        problem.code = ProblemCode::kNoIdentity;
        problem.detail = "an update of a table without key, without `before`";
        return Step::kProblem;
      }
      fill_before(form, change);
    }
    return Step::kChange;
  }
  if (!config.same_key || message.key_null) return Step::kChange;
  switch (read_key(message.key, keys, problem)) {
    case KeyOutcome::kOther:
      return Step::kOtherKey;
    case KeyOutcome::kProblem:
      return Step::kProblem;
    case KeyOutcome::kAgain:
      return Step::kAgain;
    case KeyOutcome::kOk:
    case KeyOutcome::kNone:
      break;
  }
  return Step::kChange;
}

// `form` is what the message's value was read by; null: it has none.
ChangeDecoder::State::Step ChangeDecoder::State::decode_delete(const Message& message,
                                                               Headers& headers, Form* form,
                                                               Change& change, Problem& problem) {
  other_key.clear();
  if (columns == 0) return Step::kChange;  // kNothing: there is no row yet
  change.kind = Change::Kind::kDelete;
  change.op = 'd';
  if (config.key_columns == 0) {
    const bool has_before =
        form != nullptr &&
        (!form->envelope || form->found[Form::kBefore].type == json::Type::kObject);
    if (!has_before) {
      problem = {};
      problem.code = ProblemCode::kNoIdentity;
      problem.detail = "a delete from a table without key, without the row as it was";
      return Step::kProblem;
    }
    fill_before(*form, change);
    return Step::kChange;
  }
  KeyOutcome outcome = KeyOutcome::kNone;
  if (!message.key_null) outcome = read_key(message.key, keys, problem);
  if (outcome == KeyOutcome::kProblem) return Step::kProblem;
  if (outcome == KeyOutcome::kAgain) return Step::kAgain;
  if (config.history) {
    // Of `before` only REPLICA IDENTITY FULL has more than the key, and nothing tells that it is.
    const bool has_key =
        outcome != KeyOutcome::kNone && std::ranges::any_of(keys.values, [](const Value& value) {
          return value.kind != Kind::kAbsent;
        });
    if (has_key) {
      change.key = {keys.values, keys.types};
    } else if (form != nullptr) {
      fill_before(*form, change);
      change.key = std::exchange(change.before, {});
    }
    return Step::kChange;
  }
  if (outcome == KeyOutcome::kOther && config.same_key) return Step::kOtherKey;
  const auto whole = [&](const std::vector<Value>& values) {
    return std::ranges::none_of(std::span(values).first(config.key_columns),
                                [](const Value& value) { return value.kind == Kind::kAbsent; });
  };
  if (outcome == KeyOutcome::kOk || (outcome == KeyOutcome::kOther && whole(keys.values))) {
    change.key = {keys.values, keys.types};
  } else {
    if (form != nullptr) fill_before(*form, change);
    if (form == nullptr || !whole(before_values)) {
      problem = {};
      problem.code = ProblemCode::kNoIdentity;
      problem.detail = "a delete whose key has not all columns of the table's key";
      return Step::kProblem;
    }
    change.key = change.before;
  }
  const Header* moved = find(headers.headers(), kNewKey);
  if (moved == nullptr) return Step::kChange;
  const KeyOutcome there = read_key(moved->value, new_keys, problem);
  if (there == KeyOutcome::kAgain) return Step::kAgain;
  if (there != KeyOutcome::kOk) return Step::kChange;  // not readable: the delete stands
  change.kind = Change::Kind::kMove;
  // The header holds the key as text: what its numbers mean, the message's own key says.
  change.row = {new_keys.values, keys.types};
  return Step::kChange;
}

ChangeDecoder::ChangeDecoder(ChangeConfig config)
    : state_(std::make_unique<State>(std::move(config))) {}
ChangeDecoder::ChangeDecoder(ChangeDecoder&&) noexcept = default;
ChangeDecoder& ChangeDecoder::operator=(ChangeDecoder&&) noexcept = default;
ChangeDecoder::~ChangeDecoder() = default;

ChangeDecoder::Outcome ChangeDecoder::decode(const Message& message, Headers& headers,
                                             Change& change, Problem& problem,
                                             const Expected* expected) {
  using Step = State::Step;
  Step step = state_->decode(message, headers, change, problem, expected);
  // Each time at least one more spelling of a column is known: so this ends.
  while (step == Step::kAgain) step = state_->decode(message, headers, change, problem, expected);
  static_assert(static_cast<int>(Step::kStructure) == static_cast<int>(Outcome::kStructure));
  return static_cast<Outcome>(step);
}

ChangeDecoder::Outcome ChangeDecoder::locate(const Message& message, bool& null, Problem& problem) {
  const State::Step step = state_->locate(message, null, problem);
  return step == State::Step::kNothing ? Outcome::kChange : static_cast<Outcome>(step);
}

const Origin& ChangeDecoder::origin() const { return state_->origin; }
bool ChangeDecoder::says_deletes() const { return state_->says_deletes; }
bool ChangeDecoder::was_null() const { return state_->was_null; }
std::span<const TableChange> ChangeDecoder::table_changes() const { return state_->table_changes; }

void ChangeDecoder::accept_schema() { state_->shown->accepted = true; }
const Type& ChangeDecoder::asked() const { return state_->asked; }
std::span<const std::string> ChangeDecoder::key_fields() const { return state_->other_key; }

}  // namespace sluice::message
