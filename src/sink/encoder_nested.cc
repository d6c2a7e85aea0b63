// JSON arrays and objects for columns of array and composite types, as the literals that array_in
// and record_in read. Each part is written as its own type's text at the end of the output and then
// quoted in place: so parts nest to any depth without memory of their own.
#include "message/type.h"
#include "sink/encoder_json.h"
#include "sink/encoder_type.h"

namespace sluice::sink {
namespace {

using message::Kind;
using message::Problem;
using message::ProblemCode;
using message::Value;

constexpr Escapes kQuoteEscapes = [] {
  Escapes escapes;
  escapes.add('"', '"');
  escapes.add('\\', '\\');
  return escapes;
}();

}  // namespace

// One element or attribute. `null` is how the literal writes NULL.
Encoded TypeEncoder::part_text(const Value& value, std::string_view null, Buffer& out,
                               Scratch& scratch, Problem& problem) const {
  if (value.kind == Kind::kNull) {
    out.append(null);
    return Encoded::kOk;
  }
  // Numbers and booleans hold nothing that a literal would misread, as long as they stay as they
  // are.
  const bool plain = (value.kind == Kind::kNumber || value.kind == Kind::kBool) && !has_unit();
  if (plain) return text(value, out, scratch, problem);
  out.append('"');
  const std::size_t mark = out.size();
  const Encoded written = text(value, out, scratch, problem);
  if (written != Encoded::kOk) return written;
  escape_from(mark, kQuoteEscapes, out);
  out.append('"');
  return Encoded::kOk;
}

// The elements of a change event's array are converted as its type says; of dimensions within it,
// each by the same.
Encoded TypeEncoder::array_text(const Value& array, Buffer& out, Scratch& scratch,
                                Problem& problem) const {
  const TypeEncoder& element = parts_.front();
  const message::Type* type = array.type();
  if (type != nullptr) type = type->parts.size() == 1 ? type->parts.data() : nullptr;
  // For json, composites and domains over arrays an array within it is an element, not a dimension.
  const bool takes_arrays = element.is_json() || !element.parts_.empty();
  JsonParts parts(array.text());
  std::string_view key;
  Value value;
  out.append('{');
  for (bool first = true; parts.next(key, value, scratch.a, scratch.a); first = false) {
    if (!first) out.append(delimiter_);
    Encoded written = Encoded::kOk;
    if (value.kind == Kind::kJsonArray && !takes_arrays) {
      value.set_type(type != nullptr && type->base == message::Base::kArray ? type : array.type());
      written = array_text(value, out, scratch, problem);
    } else {
      written = element.element_text(value, type, out, scratch, problem);
    }
    if (written != Encoded::kOk) return written;
  }
  out.append('}');
  return parts.good() ? Encoded::kOk : unreadable(array.text(), problem);
}

Encoded TypeEncoder::composite_text(const Value& value, Buffer& out, Scratch& scratch,
                                    Problem& problem) const {
  out.append('(');
  const Encoded written = value.kind == Kind::kJsonObject
                              ? members_text(value.text(), out, scratch, problem)
                              : positions_text(value.text(), out, scratch, problem);
  out.append(')');
  return written;
}

Encoded TypeEncoder::members_text(std::string_view slice, Buffer& out, Scratch& scratch,
                                  Problem& problem) const {
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    if (i > 0) out.append(',');
    // Of equal keys the last one counts, as in jsonb: so all of the object is read.
    JsonParts members(slice);
    const std::size_t mark = out.size();
    std::string_view key;
    Value value;
    while (members.next(key, value, scratch.b, scratch.a)) {
      if (key != attributes_[i]) continue;
      out.truncate(mark);
      const Encoded written = parts_[i].part_text(value, "", out, scratch, problem);
      if (written != Encoded::kOk) return written;
    }
    if (!members.good()) return unreadable(slice, problem);
  }
  return Encoded::kOk;
}

Encoded TypeEncoder::positions_text(std::string_view slice, Buffer& out, Scratch& scratch,
                                    Problem& problem) const {
  JsonParts elements(slice);
  std::string_view key;
  Value value;
  for (std::size_t i = 0; elements.next(key, value, scratch.a, scratch.a); ++i) {
    if (i > 0) out.append(',');
    if (i >= parts_.size()) continue;  // one too many: an empty one, for PostgreSQL to refuse
    const Encoded written = parts_[i].part_text(value, "", out, scratch, problem);
    if (written != Encoded::kOk) return written;
  }
  return elements.good() ? Encoded::kOk : unreadable(slice, problem);
}

// Cannot happen to slices that the reader has validated.
Encoded TypeEncoder::unreadable(std::string_view slice, Problem& problem) const {
  return problem_of(ProblemCode::kNotJson, slice, "an array or object that cannot be read",
                    problem);
}

}  // namespace sluice::sink
