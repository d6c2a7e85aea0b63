// The part of ChangeDecoder for messages of several rows: Canal's.
#include <algorithm>
#include <boost/json.hpp>

#include "message/change_state.h"

namespace sluice::message {

namespace {

std::vector<std::string> names_of(std::string_view row) {
  std::vector<std::string> names;
  boost::system::error_code failed;
  const auto json = boost::json::parse(row, failed);
  const auto* object = json.if_object();
  if (failed || object == nullptr) return names;
  for (const auto& member : *object) names.emplace_back(member.key());
  return names;
}

}  // namespace

// Whether the payload is of Canal; then `canal` is it.
bool ChangeDecoder::State::read_canal(std::string_view payload, Problem& problem) {
  if (!canal_reader) canal_reader.emplace();
  canal_next = 0;
  canal_moved = false;
  const bool good = canal_reader->read(payload, canal, problem);
  is_canal = good && canal.kind != CanalMessage::Kind::kNone;
  return good;
}

// By the types and the key that the message says, or by the names of the row's fields.
CanalForm& ChangeDecoder::State::canal_form(std::string_view row) {
  std::vector<std::string> names;
  std::string known(canal.types);
  if (canal.types.empty()) {
    names = names_of(row);
    for (const auto& name : names) known += name + '\n';
  }
  known += canal.key_names;
  for (auto& form : canal_forms) {
    if (form->known == known) return *form;
  }
  auto form = std::make_unique<CanalForm>();
  form->known = std::move(known);
  if (!canal.types.empty()) {
    form->now.type = canal_types(canal.types);
    names = form->now.type->names;
  }
  const Type* const type = form->now.type ? &*form->now.type : nullptr;
  for (Form* side : {&form->now, &form->old}) {
    bind(side->paths, side->row, "", names, type, columns);
    for (std::size_t i = 0; type == nullptr && i < names.size(); ++i) {
      if (const auto column = column_of(names[i], names)) side->row.types[*column] = nullptr;
    }
    side->reader.emplace(side->paths, json::Unmapped::kIgnore);
    side->found.resize(side->paths.size());
  }
  for (const auto& name : names) {
    if (!column_of(name, names) && !is_ignored(name)) form->new_names.push_back(name);
  }
  form->key = canal_key(canal.key_names);
  std::vector<std::size_t> key;
  for (const auto& name : form->key) key.push_back(column_of(name, names).value_or(columns));
  std::ranges::sort(key);
  form->same_key = key.size() == config.key_columns;
  for (std::size_t i = 0; i < key.size(); ++i) form->same_key = form->same_key && key[i] == i;
  if (canal_forms.size() == kMaxSchemas) canal_forms.pop_front();
  canal_forms.push_back(std::move(form));
  return *canal_forms.back();
}

// The next change of the message: of a row that gets another key there are two.
ChangeDecoder::State::Step ChangeDecoder::State::canal_change(Change& change, Problem& problem) {
  change = {};
  other_key.clear();
  if (canal.kind == CanalMessage::Kind::kNothing) return Step::kChange;
  change.op = canal.kind == CanalMessage::Kind::kTruncate ? 't' : canal.op;
  change.metadata = canal.metadata;
  if (canal.kind == CanalMessage::Kind::kTruncate) {
    change.kind = Change::Kind::kTruncate;
    return Step::kChange;
  }
  const std::string_view row = canal.rows[canal_next];
  CanalForm& form = canal_form(row);
  other_key = form.key;
  if (canal.op == 'd' && columns == 0) {
    ++canal_next;
    return Step::kChange;
  }
  if (canal.op != 'd' && form.now.type && !form.now.accepted) {
    shown = &form.now;
    asked = *form.now.type;
    return Step::kNewSchema;
  }
  if (canal.op != 'd' && !form.now.type && !form.new_names.empty()) {
    asked = {};
    asked.base = Base::kStruct;
    asked.names = form.new_names;
    asked.parts.resize(asked.names.size());
    for (auto& part : asked.parts) part.base = Base::kString;
    return Step::kNewFields;
  }
  const bool named = config.same_key && !form.key.empty() && columns > 0;
  if (named && !form.same_key) return Step::kOtherKey;
  if (!read(form.now, row, problem)) return Step::kProblem;
  std::ranges::fill(row_values, Value{});
  values_of = nullptr;
  for (const auto& [from, column] : form.now.row.fields)
    put(row_values[column], form.now.found[from]);
  const std::span<const Type* const> types = form.now.row.types;
  const std::size_t key = config.history ? 0 : config.key_columns;
  if (canal.op == 'u') {
    if (!before_now(form, problem)) return Step::kProblem;
    const auto differs = [&](std::size_t i) {
      return before_all[i].kind != row_values[i].kind ||
             before_all[i].text() != row_values[i].text();
    };
    bool moved = false;
    for (std::size_t i = 0; i < key; ++i) moved = moved || differs(i);
    if (moved && !canal_moved) {
      canal_moved = true;
      change.kind = Change::Kind::kMove;
      change.key = {before_all, types};
      change.row = {row_values, types};
      return Step::kChange;
    }
  }
  canal_moved = false;
  ++canal_next;
  if (canal.op == 'd') {
    change.kind = Change::Kind::kDelete;
    (config.key_columns > 0 ? change.key : change.before) = {row_values, types};
    return Step::kChange;
  }
  change.kind = Change::Kind::kWrite;
  change.row = {row_values, types};
  if (canal.op != 'u' || config.key_columns > 0) return Step::kChange;
  if (canal.old.empty()) {
    problem = {};
    problem.code = ProblemCode::kNoIdentity;
    problem.detail = "an update of a table without key, without `old`";
    return Step::kProblem;
  }
  change.before = {before_all, types};
  return Step::kChange;
}

// The row as it was before an update: as it is, but for the fields in `old`.
bool ChangeDecoder::State::before_now(CanalForm& form, Problem& problem) {
  before_all = row_values;
  if (canal.old.empty()) return true;
  if (!read(form.old, canal.old[canal_next], problem)) return false;
  for (const auto& [from, column] : form.old.row.fields) {
    if (form.old.found[from].type != json::Type::kAbsent) {
      put(before_all[column], form.old.found[from]);
    }
  }
  return true;
}

ChangeDecoder::Outcome ChangeDecoder::next(Change& change, Problem& problem) {
  return static_cast<Outcome>(state_->canal_change(change, problem));
}

bool ChangeDecoder::more() const {
  return state_->is_canal && state_->canal.kind == CanalMessage::Kind::kRows &&
         state_->canal_next < state_->canal.rows.size();
}

}  // namespace sluice::message
