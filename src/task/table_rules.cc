#include "task/table_rules.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <iterator>

#include "task/identifiers.h"
#include "task/names.h"

namespace sluice::task {

namespace {

constexpr std::string_view kVariables = "{topic}, {source.db}, {source.schema}, {source.table}";

tl::unexpected<Error> of_template(std::string what) {
  return fail(Domain::kDocument, "target.table", "found a template " + std::move(what),
              fmt::format("Write NAME or SCHEMA.NAME, each of texts and {}.", kVariables));
}

}  // namespace

// A name, or ^regex.
struct TableRules::Pattern {
  std::string text;
  std::unique_ptr<RE2> expression;
  bool matches(const std::string& name) const {
    return expression ? RE2::PartialMatch(name, *expression) : name == text;
  }
};

TableRules::TableRules() = default;
TableRules::TableRules(TableRules&&) noexcept = default;
TableRules& TableRules::operator=(TableRules&&) noexcept = default;
TableRules::~TableRules() = default;

bool TableRules::is_template(std::string_view table) {
  bool quoted = false;
  for (const char c : table) {
    if (c == '"') quoted = !quoted;
    if (c == '{' && !quoted) return true;
  }
  return false;
}

// Parts are separated by the dots outside of braces.
Result<std::vector<TableRules::Part>> TableRules::parse(std::string_view text) {
  constexpr Name<Variable> kNames[] = {{"topic", Variable::kTopic},
                                       {"source.db", Variable::kDb},
                                       {"source.schema", Variable::kSchema},
                                       {"source.table", Variable::kTable}};
  std::vector<Part> parts(1);
  while (!text.empty()) {
    if (text.front() == '.') {
      if (parts.back().empty()) return of_template("with an empty part");
      parts.emplace_back();
      text.remove_prefix(1);
      continue;
    }
    if (text.front() != '{') {
      const std::string_view plain = text.substr(0, text.find_first_of(".{"));
      if (plain.find_first_of("}\"") != std::string_view::npos) {
        return of_template("with a brace or a quote that does not belong there");
      }
      parts.back().push_back({Variable::kText, std::string(plain)});
      text.remove_prefix(plain.size());
      continue;
    }
    const std::size_t end = text.find('}');
    if (end == std::string_view::npos) return of_template("whose brace is not closed");
    const std::string_view name = text.substr(1, end - 1);
    const auto found = std::ranges::find(kNames, name, &Name<Variable>::first);
    if (found == std::end(kNames)) return of_template(fmt::format("with {{{}}}", name));
    parts.back().push_back({found->second, std::string(name)});
    text.remove_prefix(end + 1);
  }
  if (parts.back().empty()) return of_template("with an empty part");
  if (parts.size() > 2) return of_template("of more than two parts");
  return parts;
}

Result<std::vector<TableRules::Pattern>> TableRules::patterns(const std::vector<std::string>& texts,
                                                              std::string_view path) {
  std::vector<Pattern> patterns;
  for (const auto& text : texts) {
    Pattern pattern{text, nullptr};
    if (text.starts_with('^')) {
      pattern.expression = std::make_unique<RE2>(text, RE2::Quiet);
      if (!pattern.expression->ok()) {
        return fail(Domain::kDocument, std::string(path),
                    fmt::format("found \"{}\", which is no regular expression: {}", text,
                                pattern.expression->error()),
                    "Write the name of a table, or ^ and an expression (RE2's syntax).");
      }
    }
    patterns.push_back(std::move(pattern));
  }
  return patterns;
}

Result<TableRules> TableRules::compile(const Target& target, const Tables& tables) {
  TableRules rules;
  auto parts = parse(target.table);
  if (!parts) return fail(parts.error());
  rules.parts_ = std::move(*parts);
  for (const Part& part : rules.parts_) {
    for (const Piece& piece : part) {
      rules.names_db_ = rules.names_db_ || piece.variable == Variable::kDb;
      rules.names_schema_ = rules.names_schema_ || piece.variable == Variable::kSchema;
      rules.names_table_ = rules.names_table_ || piece.variable == Variable::kTable;
    }
  }
  auto include = patterns(tables.include, "sync.tables.include");
  if (!include) return fail(include.error());
  rules.include_ = std::move(*include);
  auto exclude = patterns(tables.exclude, "sync.tables.exclude");
  if (!exclude) return fail(exclude.error());
  rules.exclude_ = std::move(*exclude);
  for (const auto& [from, to] : tables.rename) {
    const std::size_t dot = to.find('.');
    TargetTable table;
    if (dot != std::string::npos) table.schema = to.substr(0, dot);
    table.name = dot == std::string::npos ? to : to.substr(dot + 1);
    const bool good =
        is_identifier(table.name) && (dot == std::string::npos || is_identifier(table.schema)) &&
        to.find_first_of("\"{}") == std::string::npos && table.name.find('.') == std::string::npos;
    if (!good) {
      return fail(Domain::kDocument, "sync.tables.rename." + from,
                  fmt::format("found \"{}\", which is no name of a table", to),
                  "Write NAME or SCHEMA.NAME, without quotes.");
    }
    rules.rename_[from] = std::move(table);
  }
  return rules;
}

Result<std::optional<TargetTable>> TableRules::table_of(const SourceTable& source) const {
  std::vector<std::string> texts;
  for (const Part& part : parts_) {
    std::string& text = texts.emplace_back();
    for (const Piece& piece : part) {
      const std::string_view values[] = {piece.text, source.topic, source.db, source.schema,
                                         source.table};
      const std::string_view value = values[static_cast<std::size_t>(piece.variable)];
      if (value.empty()) {
        return fail(
            Domain::kMessage, "no_source_table",
            fmt::format("the message does not say its {}, which target.table names", piece.text),
            "MySQL's and MariaDB's messages have source.db and no source.schema; flat rows need "
            "add.fields: db,schema,table in their ExtractNewRecordState; others have only "
            "{topic}.");
      }
      const std::size_t begin = text.size();
      text += value;
      // A topic's name has dots, a table's had better not.
      if (piece.variable == Variable::kTopic) {
        std::replace(text.begin() + static_cast<std::ptrdiff_t>(begin), text.end(), '.', '_');
      }
    }
  }
  TargetTable table;
  table.name = texts.back();
  if (texts.size() == 2) table.schema = texts.front();
  const std::string made = table.text();
  const auto among = [&](const std::vector<Pattern>& patterns) {
    return std::ranges::any_of(patterns, [&](const Pattern& each) { return each.matches(made); });
  };
  if ((!include_.empty() && !among(include_)) || among(exclude_)) return std::nullopt;
  if (const auto found = rename_.find(made); found != rename_.end()) table = found->second;
  for (const std::string* text : {&table.schema, &table.name}) {
    if (text->size() <= kLongestIdentifier && text->find('\0') == std::string::npos) continue;
    return fail(Domain::kMessage, "no_source_table",
                fmt::format("target.table makes \"{}\" of topic \"{}\": {} bytes, and names of "
                            "PostgreSQL have at most {}",
                            made.substr(0, 200), source.topic, text->size(), kLongestIdentifier),
                "Give it a shorter name in sync.tables.rename, or another template.");
  }
  return table;
}

}  // namespace sluice::task
