// sluice verify --against: what it prints.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <boost/json.hpp>
#include <string>

#include "cli/options.h"
#include "cli/placeholder.h"
#include "cli/show.h"
#include "cli/terminal.h"
#include "pipeline/against.h"

namespace sluice::cli {
namespace {

using compare::Difference;

constexpr std::size_t kValueWidth = 60;

std::string_view name_of(Difference::Kind kind) {
  switch (kind) {
    case Difference::Kind::kMissing:
      return "missing";
    case Difference::Kind::kExtra:
      return "extra";
    case Difference::Kind::kDifferent:
      break;
  }
  return "different";
}

std::vector<std::string> key_names(const pipeline::AgainstReport& report) {
  if (report.match.key.empty()) return {"hash"};
  std::vector<std::string> names;
  for (const auto& pair : report.match.key) names.push_back(pair.target);
  return names;
}

boost::json::object values_of(const compare::Values& values,
                              const std::vector<std::string>& names) {
  boost::json::object shown;
  for (std::size_t i = 0; i < values.size() && i < names.size(); ++i) {
    shown[names[i]] =
        values[i] ? boost::json::value(boost::json::string(*values[i])) : boost::json::value();
  }
  return shown;
}

boost::json::object json_of(const Difference& difference, const pipeline::AgainstReport& report) {
  boost::json::object key;
  const auto names = key_names(report);
  for (std::size_t i = 0; i < names.size(); ++i) key[names[i]] = difference.key[i];
  std::vector<std::string> columns;
  for (const std::size_t each : difference.columns) columns.push_back(report.columns[each]);
  boost::json::object shown{{"kind", name_of(difference.kind)}, {"key", std::move(key)}};
  if (difference.kind == Difference::Kind::kDifferent) {
    shown["source"] = values_of(difference.source, columns);
    shown["target"] = values_of(difference.target, columns);
  } else if (difference.kind == Difference::Kind::kMissing) {
    shown["source"] = values_of(difference.source, report.columns);
  } else {
    shown["target"] = values_of(difference.target, report.columns);
  }
  return shown;
}

boost::json::object json_of(const pipeline::AgainstReport& report) {
  boost::json::array differences;
  for (const auto& each : report.differences) differences.push_back(json_of(each, report));
  boost::json::array problems;
  for (const auto& problem : report.problems) problems.push_back(json_of_error(problem));
  boost::json::array compared;
  for (const auto& pair : report.match.values) compared.push_back(boost::json::string(pair.target));
  return {{"same", report.same()},
          {"finished", report.finished},
          {"source", report.source},
          {"target", report.target},
          {"key", boost::json::value_from(key_names(report))},
          {"columns", std::move(compared)},
          {"only_source", boost::json::value_from(report.match.only_source)},
          {"only_target", boost::json::value_from(report.match.only_target)},
          {"by_text", boost::json::value_from(report.match.by_text)},
          {"source_rows", report.source_rows},
          {"target_rows", report.target_rows},
          {"missing", report.missing},
          {"extra", report.extra},
          {"different", report.different},
          {"unsettled", report.unsettled},
          {"behind", report.behind},
          {"repaired",
           {{"rows", report.mended},
            {"inserted", report.repaired.inserted},
            {"updated", report.repaired.updated},
            {"deleted", report.repaired.deleted}}},
          {"differences", std::move(differences)},
          {"problems", std::move(problems)}};
}

std::string value_text(const std::optional<std::string>& value) {
  return value ? excerpt(*value, 0, kValueWidth) : std::string("NULL");
}

void print_difference(const Difference& difference, const pipeline::AgainstReport& report) {
  std::vector<std::string> key;
  const auto names = key_names(report);
  for (std::size_t i = 0; i < names.size(); ++i) {
    key.push_back(fmt::format("{} = {}", names[i], excerpt(difference.key[i], 0, kValueWidth)));
  }
  print(fmt::format("{:<10}{}\n", name_of(difference.kind), fmt::join(key, ", ")));
  for (std::size_t i = 0; i < difference.columns.size(); ++i) {
    print(fmt::format("{:<10}{}: source {}, target {}\n", "", report.columns[difference.columns[i]],
                      value_text(difference.source[i]), value_text(difference.target[i])));
  }
}

void print_report(const pipeline::AgainstReport& report, const std::string& task) {
  print(fmt::format("{}: {} in {} of the source, {} in {}\n", task,
                    counted(report.source_rows, "row"), report.source,
                    counted(report.target_rows, "row"), report.target));
  const auto list = [](std::string_view what, const std::vector<std::string>& names) {
    if (!names.empty()) print(fmt::format("{}: {}\n", what, fmt::join(names, ", ")));
  };
  list("columns that only the source has", report.match.only_source);
  list("columns that only the target has", report.match.only_target);
  list("columns of other types than their source's, compared by their texts", report.match.by_text);
  for (const auto& each : report.differences) print_difference(each, report);
  const std::int64_t all = report.missing + report.extra + report.different;
  const auto listed = static_cast<std::int64_t>(report.differences.size());
  if (all > listed) print(fmt::format("and {} more\n", grouped(all - listed)));
  if (report.unsettled > 0) {
    print(fmt::format("{} changed too often to be compared; run it again\n",
                      counted(report.unsettled, "row")));
  }
  if (report.behind) {
    print("the task had not applied all that its topics held, and did not go on: does it run?\n");
  }
  if (report.mended > 0) {
    print(fmt::format("repaired: {} inserted, {} updated, {} deleted\n",
                      counted(report.repaired.inserted, "row"), grouped(report.repaired.updated),
                      grouped(report.repaired.deleted)));
  }
  const std::string found =
      fmt::format("{} missing, {} extra, {} different", grouped(report.missing),
                  grouped(report.extra), grouped(report.different));
  if (!report.finished) {
    print(fmt::format("{}: stopped before the end; until then {}\n", task, found));
  } else if (all == 0 && report.same()) {
    print(fmt::format("{}: source and target are the same\n", task));
  } else {
    print(fmt::format("{}: {}{}\n", task, found, report.same() ? ", all of them repaired" : ""));
  }
}

}  // namespace

int against_command(const Options& options) {
  const auto loaded = load_or_explain(options.file);
  if (!loaded) return kDocumentWrong;
  auto uri = expand(options.against.uri, Place::kConninfo);
  if (!uri) {
    Error error = uri.error();
    error.message = "--against: " + error.message;
    print_error(error);
    return kDocumentWrong;
  }
  const Signals signals;
  configure_quiet_logs(options);
  pipeline::AgainstOptions against = options.against;
  against.uri = std::move(*uri);
  against.settle = std::chrono::seconds(options.settle_seconds);
  ProgressLine line(loaded->task.name);
  against.on_progress = [&](const pipeline::AgainstProgress& progress) {
    std::string text = fmt::format("{}  {}", loaded->task.name, progress.doing);
    if (progress.total > 0) {
      text += fmt::format("  {} of {}", grouped(progress.rows), counted(progress.total, "row"));
    }
    if (progress.differing > 0) text += fmt::format("  {} differ", grouped(progress.differing));
    line.show(text);
  };
  const auto report = pipeline::compare_with_source(source_of(*loaded), against,
                                                    pipeline::StopSignal(signals.fd()));
  line.clear();
  if (!report) {
    print_error(report.error());
    return report.error().domain == Domain::kCommandLine ? kDocumentWrong : kFailed;
  }
  if (options.json) {
    print(boost::json::serialize(json_of(*report)) + '\n');
  } else {
    print_report(*report, loaded->task.name);
  }
  for (const auto& problem : report->problems) print_error(problem);
  if (!report->finished) return signals.exit_code();
  return report->same() ? 0 : kFailed;
}

}  // namespace sluice::cli
