#include "cli/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <sstream>
#include <unordered_set>
#include <utility>

#include "task/validate.h"

namespace sluice::cli {

namespace {

using task::Node;

// Thrown by the Builder through yaml-cpp, caught in parse_yaml().
struct Refusal {
  YAML::Mark mark;
  std::string what;
  std::string remedy;
};

std::size_t skip_digits(std::string_view text, std::size_t from) {
  while (from < text.size() && text[from] >= '0' && text[from] <= '9') ++from;
  return from;
}

// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?, as JSON; none if it is not
// one.
std::optional<std::string> decimal_as_json(std::string_view text) {
  std::string json;
  std::size_t at = 0;
  if (text.starts_with('-')) json = "-";
  if (text.starts_with('-') || text.starts_with('+')) ++at;
  const std::size_t whole_end = skip_digits(text, at);
  const std::string_view whole = text.substr(at, whole_end - at);
  std::string_view fraction;
  at = whole_end;
  const bool point = at < text.size() && text[at] == '.';
  if (point) {
    const std::size_t end = skip_digits(text, at + 1);
    fraction = text.substr(at + 1, end - at - 1);
    at = end;
  }
  if (whole.empty() && fraction.empty()) return {};
  const std::size_t significant = std::min(whole.find_first_not_of('0'), whole.size());
  json += significant == whole.size() ? std::string_view("0") : whole.substr(significant);
  if (point) {
    json += '.';
    json += fraction.empty() ? std::string_view("0") : fraction;
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    std::size_t digits = at + 1;
    if (digits < text.size() && (text[digits] == '-' || text[digits] == '+')) ++digits;
    const std::size_t end = skip_digits(text, digits);
    if (end == digits) return {};
    json += text.substr(at, end - at);
    at = end;
  }
  if (at != text.size()) return {};
  return json;
}

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), text) != names.end();
}

bool is_infinite_or_nan(std::string_view text) {
  if (is_one_of(text, {".nan", ".NaN", ".NAN"})) return true;
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  return is_one_of(text, {".inf", ".Inf", ".INF"});
}

std::size_t count_nodes(const Node& node, std::size_t& bytes) {
  std::size_t count = 1;
  bytes += node.text.size();
  for (const Node& item : node.items) count += count_nodes(item, bytes);
  for (const auto& member : node.members) {
    bytes += member.name.size();
    count += 1 + count_nodes(member.value, bytes);
  }
  return count;
}

class Builder : public YAML::EventHandler {
 public:
  std::optional<Node> take_root() { return std::exchange(root_, std::nullopt); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (wants_key()) throw Refusal{mark, "found a key that is empty or null", "Put it in quotes."};
    place(Node(), mark, anchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    const bool plain = tag == "?";
    if (!plain && tag != "!") refuse_tag(mark);
    if (wants_key()) {
      if (plain && value == "<<") {
        throw Refusal{mark, "found a merge key (<<), which YAML 1.2 does not have",
                      "Write the keys out."};
      }
      take_key(mark, value);
      return;
    }
    if (!plain) return place(Node::string(value), mark, anchor);
    Result<Node> node = resolve_plain(value);
    if (!node) throw Refusal{mark, node.error().message, node.error().remedy};
    place(std::move(*node), mark, anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (wants_key()) throw Refusal{mark, "found an alias as a key", "Write the key out."};
    const auto anchored = anchors_.find(anchor);
    if (anchored == anchors_.end()) {
      throw Refusal{mark, "found an alias inside of what it stands for", "Write it out."};
    }
    std::size_t bytes = 0;
    const std::size_t nodes = count_nodes(anchored->second, bytes);
    account(mark, nodes, bytes);
    Node copy = anchored->second;
    attach(std::move(copy), mark);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(Node::list(), mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Node::map(), mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    Node node;
    YAML::Mark mark;
    YAML::anchor_t anchor = 0;
    std::optional<std::string> key;
    int key_line = 0;
    std::unordered_set<std::string> names;
  };

  [[noreturn]] static void refuse_tag(const YAML::Mark& mark) {
    throw Refusal{mark, "found a tag (!), which a task document does not need",
                  "Leave it out; put texts that begin with ! in quotes."};
  }

  bool wants_key() const {
    return !frames_.empty() && frames_.back().node.kind == Node::Kind::kMap && !frames_.back().key;
  }

  void account(const YAML::Mark& mark, std::size_t nodes, std::size_t bytes) {
    nodes_ += nodes;
    bytes_ += bytes;
    if (nodes_ <= kMaxYamlNodes && bytes_ <= kMaxYamlBytes) return;
    throw Refusal{mark,
                  fmt::format("found more than {} values or {} MB with aliases followed",
                              kMaxYamlNodes, kMaxYamlBytes >> 20),
                  "This is no task document."};
  }

  void take_key(const YAML::Mark& mark, const std::string& name) {
    Frame& frame = frames_.back();
    account(mark, 1, name.size());
    if (!frame.names.insert(name).second) {
      throw Refusal{mark,
                    fmt::format("found the key {} a second time; line {} has it already",
                                task::quoted(name), frame.node.find(name)->line),
                    "Remove one of them."};
    }
    frame.key = name;
    frame.key_line = mark.line + 1;
  }

  void place(Node node, const YAML::Mark& mark, YAML::anchor_t anchor) {
    account(mark, 1, node.text.size());
    if (anchor != 0) anchors_[anchor] = node;
    attach(std::move(node), mark);
  }

  // Hands a finished value to what it stands in. The line of a member's value is that of its name.
  void attach(Node node, const YAML::Mark& mark) {
    node.line = mark.line + 1;
    if (frames_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = frames_.back();
    if (frame.node.kind == Node::Kind::kList) {
      frame.node.items.push_back(std::move(node));
      return;
    }
    node.line = frame.key_line;
    frame.node.add(*std::exchange(frame.key, std::nullopt), std::move(node));
  }

  void open(Node node, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (!tag.empty() && tag != "?" && tag != "!") refuse_tag(mark);
    if (wants_key()) {
      throw Refusal{mark, "found a list or a map as a key",
                    "Keys are texts; put ${...} and {...} in quotes."};
    }
    if (frames_.size() >= kMaxYamlDepth) {
      throw Refusal{mark, fmt::format("found more than {} levels", kMaxYamlDepth),
                    "This is no task document."};
    }
    account(mark, 1, 0);
    Frame& frame = frames_.emplace_back();
    frame.node = std::move(node);
    frame.mark = mark;
    frame.anchor = anchor;
  }

  void close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    frame.node.line = frame.mark.line + 1;
    if (frame.anchor != 0) {
      std::size_t bytes = 0;
      const std::size_t nodes = count_nodes(frame.node, bytes);
      account(frame.mark, nodes, bytes);  // the copy that is kept for its aliases
      anchors_[frame.anchor] = frame.node;
    }
    attach(std::move(frame.node), frame.mark);
  }

  std::vector<Frame> frames_;
  std::map<YAML::anchor_t, Node> anchors_;
  std::optional<Node> root_;
  std::size_t nodes_ = 0;
  std::size_t bytes_ = 0;
};

tl::unexpected<Error> refused(std::string_view name, const YAML::Mark& mark, std::string_view what,
                              std::string remedy) {
  std::string message =
      mark.is_null() ? fmt::format("{}: {}", name, what)
                     : fmt::format("{}:{}:{}: {}", name, mark.line + 1, mark.column + 1, what);
  return fail(Domain::kDocument, "", std::move(message), std::move(remedy));
}

// yaml-cpp's own words, without what it quotes of the text (behind a colon): that may be a secret
// that somebody forgot to put in quotes.
std::string syntax_text(const YAML::Exception& exception) {
  const std::string words = exception.msg.substr(0, exception.msg.find(':'));
  const bool unclosed =
      words == YAML::ErrorMsg::DOC_IN_SCALAR || words == YAML::ErrorMsg::EOF_IN_SCALAR;
  return "this is not YAML: " + (unclosed ? "a text in quotes does not end" : words);
}

}  // namespace

Result<Node> resolve_plain(const std::string& text) {
  const auto spelled = [&](Node node) {
    if (node.text != text) node.spelled = text;
    return node;
  };
  if (is_one_of(text, {"", "~", "null", "Null", "NULL"})) return Node();
  if (is_one_of(text, {"true", "True", "TRUE"})) return spelled(Node::flag(true));
  if (is_one_of(text, {"false", "False", "FALSE"})) return spelled(Node::flag(false));
  if (auto json = decimal_as_json(text)) return spelled(Node::number(std::move(*json)));
  if (is_infinite_or_nan(text)) {
    return fail(Domain::kDocument, "", "found a number that is infinite or none (.inf, .nan)",
                "Put it in quotes if it is meant as a text.");
  }
  const int base = text.starts_with("0x") ? 16 : text.starts_with("0o") ? 8 : 0;
  if (base == 0 || text.size() == 2) return Node::string(text);
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, problem] = std::from_chars(text.data() + 2, end, value, base);
  if (stopped != end) return Node::string(text);
  if (problem != std::errc()) {
    return fail(Domain::kDocument, "", "found a hexadecimal or octal number beyond 64 bits",
                "Write it in decimal, or in quotes if it is meant as a text.");
  }
  return spelled(Node::number(std::to_string(value)));
}

Result<Node> parse_yaml(std::string_view text, std::string_view name) {
  constexpr std::string_view kQuote =
      "Values that begin with one of & * ! | > % @ `, that hold \": \" or \" #\", and ${...} "
      "inside of { } "
      "need quotes; indent with spaces.";
  try {
    // With the mark of a document's end: yaml-cpp takes a quoted text that the end of the input
    // cuts off after a line break for a whole one, but not one that runs into the mark.
    std::istringstream stream{fmt::format("{}{}...\n", text, text.ends_with('\n') ? "" : "\n")};
    YAML::Parser parser(stream);
    Builder builder;
    std::optional<Node> root;
    if (parser.HandleNextDocument(builder)) root = builder.take_root();
    if (!root || root->is_null()) {
      return fail(Domain::kDocument, "", fmt::format("{}: found nothing in it", name),
                  "A task document needs at least name, source and target.");
    }
    Builder second;
    if (parser.HandleNextDocument(second)) {
      return fail(Domain::kDocument, "", fmt::format("{}: found several documents (---)", name),
                  "Write one task to a file.");
    }
    return std::move(*root);
  } catch (const Refusal& refusal) {
    return refused(name, refusal.mark, refusal.what, refusal.remedy);
  } catch (const YAML::Exception& exception) {
    return refused(name, exception.mark, syntax_text(exception), std::string(kQuote));
  }
}

}  // namespace sluice::cli
