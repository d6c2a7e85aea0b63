#include "json/reader.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "base/buffer.h"
#include "json/structure.h"
#include "json/text.h"
#include "json/trie.h"

namespace sluice::json {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
// Buffers that one huge message has blown up are given back above this.
constexpr std::size_t kKeptBytes = std::size_t{1} << 20;

// One comparison settles it for nearly every byte that is asked about.
bool is_space(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte <= ' ' && (c == ' ' || c == '\n' || c == '\r' || c == '\t');
}
bool is_digit(char c) { return static_cast<unsigned char>(c - '0') < 10; }

const char* skip_digits(const char* at, const char* end) {
  while (at != end && is_digit(*at)) ++at;
  return at;
}

// RFC 8259, section 6. Null if [at, end) is a number; else what is wrong with it.
const char* number_fault(const char* at, const char* end) {
  if (at != end && *at == '-') ++at;
  if (at == end || !is_digit(*at)) return "expected a value";
  if (*at == '0') {
    ++at;
    if (at != end && is_digit(*at)) return "a number has no leading zeros";
  } else {
    at = skip_digits(at, end);
  }
  if (at != end && *at == '.') {
    const char* const digits = ++at;
    at = skip_digits(at, end);
    if (at == digits) return "a number has a digit after its point";
  }
  if (at != end && (*at | 0x20) == 'e') {
    ++at;
    if (at != end && (*at == '+' || *at == '-')) ++at;
    const char* const digits = at;
    at = skip_digits(at, end);
    if (at == digits) return "a number has a digit in its exponent";
  }
  return at == end ? nullptr : "a number does not go on like this";
}

// Where the scan's finding is: the scan itself does not say. Not on the hot path.
Failure explain(Structure::Outcome outcome, std::string_view text) {
  if (outcome == Structure::Outcome::kEmpty) {
    return {Fault::kNotJson, text.size(), "nothing but white space", {}};
  }
  if (outcome == Structure::Outcome::kNotUtf8) {
    return {Fault::kNotUtf8, valid_utf8_prefix(text), "not valid UTF-8", {}};
  }
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  bool in_string = false;
  std::size_t quote = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '"') {
      in_string = !in_string;
      quote = at;
    }
    if (outcome == Structure::Outcome::kControlCharacter && in_string && byte(at) < 0x20) {
      return {Fault::kNotJson, at, "a control character in a string is written as an escape", {}};
    }
    if (text[at] != '\\' || at + 1 == text.size()) continue;
    if (outcome == Structure::Outcome::kBadEscape && byte(at + 1) >= 0x80) {
      return {Fault::kNotJson, at, "no such escape", {}};
    }
    // Only an escaped quote or backslash changes where strings end.
    if (text[at + 1] == '"' || text[at + 1] == '\\') ++at;
  }
  return {Fault::kNotJson, quote, "this string does not end", {}};
}

}  // namespace

struct Reader::State {
  State(std::span<const Path> paths, Unmapped unmapped_members)
      : trie(paths), unmapped(unmapped_members), judged(&trie.root()), in_scratch(paths.size()) {
    if (!judged->own.empty()) unmapped = Unmapped::kIgnore;
  }

  Trie trie;
  Unmapped unmapped;
  const Trie::Node* judged;  // whose members `unmapped` is about
  Structure structure;
  Buffer scratch;                         // strings with escapes, resolved
  std::vector<std::uint32_t> in_scratch;  // where in it the string of a slot begins
  Buffer name;                            // a name with escapes, resolved
  Buffer collected;
  // Of each open container the character that closes it, by depth.
  std::array<char, kMaxDepth + 1> closing{};
};

// One read. `at_` is the number of the next token; every take_* expects its first token there and
// leaves `at_` behind its last one. False: failure_ is set, and nothing more may be taken.
class Reader::Walk {
 public:
  Walk(State& state, std::string_view text, std::span<Slot> slots, Failure& failure)
      : state_(state),
        text_(text.data()),
        end_(text.data() + text.size()),
        positions_(state.structure.positions()),
        count_(state.structure.count()),
        slots_(slots),
        failure_(failure) {
    next_backslash_ = find_backslash(text_);
  }

  bool run(Slot* root) {
    const char first = peek();
    Slot whole;
    if (!take_root(whole)) return false;
    if (at_ != count_) {
      return fault(Fault::kTrailingBytes, here(), "the document is complete before this byte");
    }
    if (root == nullptr && first != '{') {
      return fault(Fault::kNotAnObject, text_ + positions_[0],
                   first == '[' ? "the document is an array" : "the document is a single value");
    }
    if (root != nullptr) *root = whole;
    settle();
    return true;
  }

 private:
  const char* here() const { return at_ < count_ ? text_ + positions_[at_] : end_; }
  char peek() const { return at_ < count_ ? text_[positions_[at_]] : '\0'; }
  const char* find_backslash(const char* from) const {
    const void* found = from == end_ ? nullptr : std::memchr(from, '\\', end_ - from);
    return found == nullptr ? end_ : static_cast<const char*>(found);
  }
  // The bytes of token `at_`, without the white space behind it.
  std::string_view token() const {
    const char* const begin = text_ + positions_[at_];
    const char* end = text_ + positions_[at_ + 1];
    while (is_space(end[-1])) --end;
    return {begin, static_cast<std::size_t>(end - begin)};
  }

  [[gnu::cold, gnu::noinline]] bool fault(Fault what, const char* at, const char* text) {
    failure_.fault = what;
    failure_.at = at - text_;
    failure_.what = text;
    return false;
  }
  [[gnu::cold, gnu::noinline]] bool unexpected(const char* expected) {
    return fault(Fault::kNotJson, here(), expected);
  }
  [[gnu::cold, gnu::noinline]] bool bad_escape(const EscapeResult& result) {
    switch (result.fault) {
      case EscapeFault::kLoneSurrogate:
        return fault(Fault::kLoneSurrogate, result.at, "half of a surrogate pair");
      case EscapeFault::kBadHex:
        return fault(Fault::kNotJson, result.at, "\\u needs four hex digits");
      default:
        return fault(Fault::kNotJson, result.at, "no such escape");
    }
  }

  // The string at `at_`: what stands between its quotes, escapes not yet looked at.
  [[gnu::always_inline]] bool take_quotes(std::string_view& content, const char* expected) {
    if (peek() != '"') return unexpected(expected);
    const std::string_view quoted = token();
    // The scan has paired the quotes, so this holds; it is what all below relies on.
    SLUICE_CHECK(quoted.size() >= 2 && quoted.back() == '"');
    content = quoted.substr(1, quoted.size() - 2);
    ++at_;
    return true;
  }
  // All backslashes of a valid document are in strings, and strings come in order: most strings
  // are known to have none without being looked at.
  bool has_escapes(std::string_view content) const {
    return next_backslash_ < content.data() + content.size();
  }
  bool resolve(std::string_view content, Buffer* out) {
    const EscapeResult result = unescape(content, out);
    if (result.fault != EscapeFault::kNone) return bad_escape(result);
    next_backslash_ = find_backslash(content.data() + content.size());
    return true;
  }
  bool skip_string(const char* expected) {
    std::string_view content;
    if (!take_quotes(content, expected)) return false;
    return !has_escapes(content) || resolve(content, nullptr);
  }

  // A name and its colon, in skipped parts.
  bool skip_name() {
    if (!skip_string(kExpectedName)) return false;
    return take_colon();
  }
  bool take_colon() {
    if (peek() != ':') return unexpected("expected ':' after a name");
    ++at_;
    return true;
  }

  // A number, true, false or null: its text is its token.
  bool take_scalar(std::string_view& text) {
    if (at_ >= count_) return unexpected(kExpectedValue);
    text = token();
    const char* wrong = nullptr;
    switch (text.front()) {
      case 't':
        if (text != "true") wrong = kExpectedValue;
        break;
      case 'f':
        if (text != "false") wrong = kExpectedValue;
        break;
      case 'n':
        if (text != "null") wrong = kExpectedValue;
        break;
      default:
        wrong = number_fault(text.data(), text.data() + text.size());
    }
    if (wrong != nullptr) return unexpected(wrong);
    ++at_;
    return true;
  }
  static Type scalar_type(std::string_view text) {
    const char first = text.front();
    return first == 'n' ? Type::kNull : first == 't' || first == 'f' ? Type::kBool : Type::kNumber;
  }

  bool open(char closing) {
    if (++depth_ > kMaxDepth) {
      return fault(Fault::kTooDeep, here(), "nested too deep");
    }
    state_.closing[depth_] = closing;
    ++at_;
    return true;
  }

  // Validates one value of any kind without looking for anything in it.
  bool skip() {
    const unsigned floor = depth_;
    std::string_view ignored;
    for (;;) {
      const char c = peek();
      if (c == '{' || c == '[') {
        if (!open(c == '{' ? '}' : ']')) return false;
        if (peek() != state_.closing[depth_]) {
          if (c == '{' && !skip_name()) return false;
          continue;
        }
      } else if (!(c == '"' ? skip_string(kExpectedValue) : take_scalar(ignored))) {
        return false;
      }
      // A value is complete, or a container is empty: close what closes here.
      bool another = false;
      while (!another && depth_ > floor) {
        if (!take_separator(another)) return false;
        if (!another) --depth_;
      }
      if (!another) return true;
      if (state_.closing[depth_] == '}' && !skip_name()) return false;
    }
  }
  // A comma (`another` follows) or the end of the innermost container.
  bool take_separator(bool& another) {
    const char c = peek();
    another = c == ',';
    if (!another && c != state_.closing[depth_]) {
      return unexpected(state_.closing[depth_] == '}' ? "expected ',' or '}' after a value"
                                                      : "expected ',' or ']' after a value");
    }
    ++at_;
    return true;
  }

  // Takes one value for `node`: into its own slots, and those below it.
  bool take_value(Trie::Node& node) {
    for (const std::uint32_t slot : node.tree) slots_[slot].type = Type::kAbsent;
    const char* const begin = here();
    const char first = peek();
    if (first == '"') return take_string(node);
    if (first == '{' || first == '[') {
      if (first == '{' ? !take_object(node) : !take_array(node)) return false;
      store(node, first == '{' ? Type::kObject : Type::kArray, slice_from(begin));
      return true;
    }
    std::string_view text;
    if (!take_scalar(text)) return false;
    store(node, scalar_type(text), text);
    return true;
  }
  std::string_view slice_from(const char* begin) const {
    const char* const end = text_ + positions_[at_ - 1] + 1;
    return {begin, static_cast<std::size_t>(end - begin)};
  }
  void store(const Trie::Node& node, Type type, std::string_view text) {
    for (const std::uint32_t own : node.own) put(slots_[own], type, text);
  }
  // Field by field: to copy a slot just filled so would wait for each of these stores.
  static void put(Slot& slot, Type type, std::string_view text) {
    slot.type = type;
    slot.boolean = type == Type::kBool && text.front() == 't';
    slot.length = static_cast<std::uint32_t>(text.size());
    slot.data = text.data();
  }
  bool take_string(const Trie::Node& node) {
    std::string_view content;
    if (!take_quotes(content, kExpectedValue)) return false;
    if (!has_escapes(content)) {
      store(node, Type::kString, content);
      return true;
    }
    const std::size_t from = state_.scratch.size();
    if (!resolve(content, &state_.scratch)) return false;
    // The buffer may still move: settle() puts the pointer in.
    const std::size_t length = state_.scratch.size() - from;
    for (const std::uint32_t own : node.own) {
      put(slots_[own], Type::kString, {static_cast<const char*>(nullptr), length});
      state_.in_scratch[own] = static_cast<std::uint32_t>(from);
    }
    return true;
  }

  bool take_object(Trie::Node& node) {
    const bool judged = &node == state_.judged && state_.unmapped != Unmapped::kIgnore;
    if (node.members.empty() && !judged) return skip();
    if (judged) state_.collected.clear();  // of two members with its name the last one counts
    if (!open('}')) return false;
    Trie::Member* last = nullptr;
    bool another = peek() != '}';
    if (!another) ++at_;
    while (another) {
      if (!take_member(node, judged, last) || !take_separator(another)) return false;
    }
    --depth_;
    return true;
  }
  bool take_member(Trie::Node& node, bool judged, Trie::Member*& last) {
    const char* const begin = here();
    std::string_view raw;
    if (!take_quotes(raw, kExpectedName)) return false;
    Trie::Member* member = nullptr;
    if (has_escapes(raw)) {
      state_.name.clear();
      if (!resolve(raw, &state_.name)) return false;
      raw = state_.name.view();
      member = Trie::find_exact(node, raw);
    } else {
      member = Trie::find(node, raw, last);
    }
    if (!take_colon()) return false;
    if (member != nullptr) return take_value(*member->node);
    return judged ? take_unmapped(begin, raw) : skip();
  }
  bool take_unmapped(const char* begin, std::string_view name) {
    if (state_.unmapped == Unmapped::kFail) {
      failure_.field = name;
      return fault(Fault::kExtraField, begin, "a field that nothing maps");
    }
    const std::size_t name_length = text_ + positions_[at_ - 1] - begin;  // up to the colon
    const char* const value = here();
    const bool scalar = peek() != '{' && peek() != '[';
    const std::string_view whole = at_ < count_ && scalar ? token() : std::string_view();
    if (!skip()) return false;
    const char* const end = scalar ? value + whole.size() : text_ + positions_[at_ - 1] + 1;
    state_.collected.append(state_.collected.empty() ? '{' : ',');
    state_.collected.append(trimmed({begin, name_length}));
    state_.collected.append(':');
    state_.collected.append({value, static_cast<std::size_t>(end - value)});
    return true;
  }
  static std::string_view trimmed(std::string_view text) {
    while (is_space(text.back())) text.remove_suffix(1);
    return text;
  }

  bool take_array(Trie::Node& node) {
    if (node.elements.empty() && node.from_end.empty()) return skip();
    const std::uint32_t first = at_ + 1;
    if (!open(']')) return false;
    std::int64_t length = 0;
    auto wanted = node.elements.begin();
    bool another = peek() != ']';
    if (!another) ++at_;
    for (; another; ++length) {
      const bool take = wanted != node.elements.end() && wanted->index == length;
      if (take ? !take_value(*wanted->node) : !skip()) return false;
      if (take) ++wanted;
      if (!take_separator(another)) return false;
    }
    if (!node.from_end.empty()) take_from_end(node, first, length);
    --depth_;
    return true;
  }
  // Elements counted from the end are found once the length is known: the array has been validated,
  // and is walked again up to each of them. So a read costs at most one more pass over an array for
  // each such step in the paths.
  void take_from_end(Trie::Node& node, std::uint32_t first, std::int64_t length) {
    const std::uint32_t behind = at_;
    const char* const backslash_behind = next_backslash_;
    at_ = first;
    const void* const backslash =
        std::memchr(here(), '\\', text_ + positions_[behind - 1] - here());
    if (backslash != nullptr) next_backslash_ = static_cast<const char*>(backslash);
    std::int64_t index = 0;
    for (auto& element : node.from_end) {  // ascending: -2 before -1
      const std::int64_t target = length + element.index;
      if (target < 0) continue;
      bool valid = true;
      for (; index < target && valid; ++index) {
        valid = skip();
        ++at_;  // the comma
      }
      valid = valid && take_value(*element.node);
      SLUICE_CHECK(valid);
      ++at_;
      ++index;
    }
    at_ = behind;
    next_backslash_ = backslash_behind;
  }

  bool take_root(Slot& whole) {
    const char* const begin = here();
    const char first = peek();
    if (first == '"') {
      std::string_view content;
      if (!take_quotes(content, kExpectedValue)) return false;
      state_.name.clear();
      if (!resolve(content, &state_.name)) return false;
      put(whole, Type::kString, state_.name.view());
      return true;
    }
    if (first != '{' && first != '[') {
      std::string_view text;
      if (!take_scalar(text)) return false;
      put(whole, scalar_type(text), text);
      return true;
    }
    if (first == '{' ? !take_value(state_.trie.root()) : !skip()) return false;
    put(whole, first == '{' ? Type::kObject : Type::kArray, slice_from(begin));
    return true;
  }

  void settle() {
    if (state_.scratch.empty()) return;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      Slot& slot = slots_[i];
      if (slot.type == Type::kString && slot.data == nullptr) {
        slot.data = state_.scratch.data() + state_.in_scratch[i];
      }
    }
  }

  static constexpr const char* kExpectedName = "expected a name in double quotes";
  static constexpr const char* kExpectedValue = "expected a value";

  State& state_;
  const char* const text_;
  const char* const end_;
  const std::uint32_t* const positions_;
  const std::uint32_t count_;
  std::span<Slot> slots_;
  Failure& failure_;
  const char* next_backslash_ = nullptr;
  std::uint32_t at_ = 0;
  unsigned depth_ = 0;
};

Reader::Reader(std::span<const Path> paths, Unmapped unmapped)
    : state_(std::make_unique<State>(paths, unmapped)) {}
Reader::Reader(std::span<const Path> paths, Unmapped unmapped, std::size_t scope)
    : Reader(paths, unmapped) {
  state_->unmapped = unmapped;
  state_->judged = &state_->trie.node_of(paths[scope]);
}
Reader::Reader(Reader&&) noexcept = default;
Reader& Reader::operator=(Reader&&) noexcept = default;
Reader::~Reader() = default;

bool Reader::read(std::string_view document, std::span<Slot> slots, Failure& failure, Slot* root) {
  State& state = *state_;
  SLUICE_CHECK(slots.size() == state.in_scratch.size());
  std::ranges::fill(slots, Slot{});
  state.scratch.clear();
  state.collected.clear();
  if (document.size() > kMaxBytes) {
    failure = {Fault::kTooLarge, kMaxBytes, "larger than a document may be", {}};
    return false;
  }
  state.scratch.shrink(kKeptBytes);
  state.collected.shrink(kKeptBytes);
  const std::size_t mark = document.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  const std::string_view text = document.substr(mark);
  const Structure::Outcome outcome = state.structure.scan(text);
  bool taken = false;
  if (outcome == Structure::Outcome::kOk) {
    taken = Walk(state, text, slots, failure).run(root);
  } else {
    failure = explain(outcome, text);
  }
  if (!taken) {
    // Where it stands outside of strings, not all CPUs' code sees invalid UTF-8 before the walk.
    const bool odd = failure.fault == Fault::kNotJson || failure.fault == Fault::kTrailingBytes;
    if (odd && !is_utf8(text)) failure = explain(Structure::Outcome::kNotUtf8, text);
    failure.at += mark;
    return false;
  }
  if (!state.collected.empty()) state.collected.append('}');
  return true;
}

std::string_view Reader::unmapped() const { return state_->collected.view(); }

}  // namespace sluice::json
