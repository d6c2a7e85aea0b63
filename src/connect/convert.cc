#include "connect/convert.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "connect/draft.h"

namespace sluice::connect {
namespace {

// A text of the document in double quotes: JSON's form is one of YAML's, too.
std::string quoted(std::string_view text) {
  return boost::json::serialize(boost::json::value(text));
}

std::string quoted(const std::vector<std::string>& texts) {
  std::string out;
  for (const auto& text : texts) out += (out.empty() ? "" : ", ") + quoted(text);
  return "[" + out + "]";
}

// Comments are one line each, whatever a property is called.
std::string one_line(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  return out;
}

std::string line_of(const DraftColumn& column) {
  std::string out = column.meta.empty() ? fmt::format("field: {}", quoted(column.field))
                                        : fmt::format("meta: {}", column.meta);
  out += fmt::format(", column: {}", quoted(column.column));
  if (!column.unit.empty()) out += fmt::format(", unit: {}", column.unit);
  return fmt::format("    - {{{}}}\n", out);
}

// One line for each property of the file, in its order; then what belongs to one (a parameter of
// the URL) and what is left to do.
std::vector<Line> ordered(const Configuration& from, Sink sink, Report& report) {
  std::vector<Line> lines;
  std::vector<Line>& all = report.lines();
  for (const auto& property : from.all()) {
    const auto found = std::find_if(all.begin(), all.end(), [&](const Line& line) {
      return line.property == property.name && line.fate != Fate::kToFillIn;
    });
    Line line;
    if (found != all.end()) {
      line = *found;
    } else if (const Rule* rule = rule_of(sink, property.name); rule != nullptr) {
      const bool harmless = is_harmless(*rule, from.get(property.name, ""));
      line = {harmless ? Fate::kNotNeeded : rule->fate, property.name,
              std::string(harmless ? "as it is anyway" : rule->text)};
      // The table promises that somebody handles it: what nobody did has no effect.
      if (line.fate == Fate::kTaken) line = {Fate::kNotNeeded, property.name, "has no effect here"};
    } else {
      line = {Fate::kUnknown, property.name,
              fmt::format("no property of the {} JDBC sink or of Kafka Connect; not looked at",
                          name_of(sink))};
    }
    if (property.repeated) line.text += " (stands in the file more than once: the last one counts)";
    lines.push_back(line);
    for (const Line& part : all) {
      if (part.property.starts_with(property.name + " ")) lines.push_back(part);
    }
  }
  for (const Line& line : all) {
    if (line.fate == Fate::kToFillIn) lines.push_back(line);
  }
  return lines;
}

}  // namespace

std::string document_of(const Draft& draft, std::string_view file,
                        const std::vector<Line>& report) {
  std::string out = fmt::format(
      "# Made by sluice import from {} ({} JDBC sink).\n"
      "# Look at it with: sluice check, sluice preview, sluice rehearse. Stop the connector before "
      "sluice run.\n",
      one_line(file), name_of(draft.sink));
  const auto section = [&](Fate fate, std::string_view title) {
    bool first = true;
    for (const Line& line : report) {
      if (line.fate != fate) continue;
      if (first) out += fmt::format("#\n# {}\n", title);
      first = false;
      out += fmt::format("#   {}: {}\n", one_line(line.property), one_line(line.text));
    }
  };
  section(Fate::kToFillIn, "To fill in or to look at:");
  section(Fate::kNotSupported, "Not supported:");
  section(Fate::kUnknown, "Unknown:");
  out += fmt::format("\nname: {}\n\nsource:\n  kafka:\n", quoted(draft.task));
  for (const auto& [name, value] : draft.kafka) {
    out += fmt::format("    {}: {}\n", name, quoted(value));
  }
  out += fmt::format("  topics: {}\n", quoted(draft.topics));
  out += fmt::format(
      "  # Where the connector has committed; counts until the task has positions of its own.\n"
      "  start: {{group: {}}}\n",
      quoted(draft.group));
  out += fmt::format("\ntarget:\n  postgres: {}\n  table: {}\n", quoted(draft.postgres),
                     quoted(draft.table));
  out += fmt::format("\nsync:\n  write: {}\n", draft.update   ? "update"
                                               : draft.upsert ? "upsert"
                                                              : "insert");
  if (draft.upsert && !draft.primary_key.empty()) {
    out += fmt::format("  primary_key: {}\n", quoted(draft.primary_key));
  }
  if (!draft.on_tombstone.empty()) out += fmt::format("  on_tombstone: {}\n", draft.on_tombstone);
  if (draft.columns && !draft.columns->empty()) {
    out += "  columns:\n";
    for (const auto& column : *draft.columns) out += line_of(column);
  }
  out += fmt::format("\non_failure: {}\n", draft.on_failure);
  return out;
}

Result<Conversion> convert(const Configuration& configuration, std::string_view file,
                           const Options& options) {
  const std::string type = configuration.get("connector.class", "");
  const auto sink = sink_of(type);
  if (!sink) {
    return fail(Domain::kDocument, "connector.class",
                fmt::format("{}: the connector is {}, which cannot become a task", file,
                            has_provider_reference(type) ? "what a config provider says" : type),
                fmt::format("Taken are the JDBC sinks {}.", classes_taken()));
  }
  Draft draft;
  draft.sink = *sink;
  Report report;
  report.taken("connector.class", fmt::format("the {} JDBC sink", name_of(*sink)));
  if (auto source = read_source(configuration, options, draft, report); !source) {
    return fail(source.error());
  }
  if (auto target = read_connection(configuration, draft, report); !target) {
    return fail(target.error());
  }
  read_rows(configuration, draft, report);
  if (*sink == Sink::kDebezium) {
    report.to_fill_in("messages",
                      "change events of Debezium (before, after, op) are not replayed yet; flat "
                      "messages are read");
  }
  Conversion conversion;
  conversion.report = ordered(configuration, *sink, report);
  conversion.document = document_of(draft, file, conversion.report);
  return conversion;
}

}  // namespace sluice::connect
