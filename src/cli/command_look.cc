// sluice preview, sluice rehearse and sluice verify: what they print.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <string>

#include "cli/options.h"
#include "cli/show.h"
#include "cli/terminal.h"
#include "pipeline/preview.h"
#include "pipeline/rehearse.h"
#include "pipeline/verify.h"

namespace sluice::cli {
namespace {

using pipeline::PreviewCell;
using pipeline::PreviewedMessage;
using Becomes = PreviewedMessage::Becomes;

// ---- preview

std::string_view name_of_becomes(Becomes becomes) {
  switch (becomes) {
    case Becomes::kRow:
      return "row";
    case Becomes::kDelete:
      return "delete";
    case Becomes::kNothing:
      return "nothing";
    case Becomes::kFailure:
      return "failure";
  }
  return "failure";
}

boost::json::object json_of(const PreviewedMessage& message) {
  boost::json::object row;
  for (const auto& cell : message.cells) {
    switch (cell.kind) {
      case PreviewCell::Kind::kValue:
        row[cell.column] = cell.text;
        break;
      case PreviewCell::Kind::kNull:
        row[cell.column] = nullptr;
        break;
      case PreviewCell::Kind::kDefault:
        row[cell.column] = boost::json::object{{"default", cell.text}};
        break;
      case PreviewCell::Kind::kKeep:
        row[cell.column] = boost::json::object{{"keep", true}};
        break;
    }
  }
  boost::json::object shown{{"topic", message.key.topic},
                            {"partition", message.key.partition},
                            {"offset", message.offset},
                            {"timestamp_ms", message.timestamp_ms},
                            {"key", json_of_bytes(message.message_key)},
                            {"value", json_of_bytes(message.value)},
                            {"value_bytes", message.value_bytes},
                            {"becomes", name_of_becomes(message.becomes)}};
  if (!message.table.empty()) shown["table"] = message.table;
  if (!row.empty()) shown["row"] = std::move(row);
  if (message.error) shown["error"] = json_of_error(*message.error);
  return shown;
}

void print_message(const PreviewedMessage& message, std::size_t width) {
  std::string text = fmt::format(
      "{} offset {}  {}", bold(fmt::format("{}/{}", message.key.topic, message.key.partition)),
      message.offset, time_text(message.timestamp_ms));
  if (message.message_key) {
    text += fmt::format(
        "  key {}",
        excerpt(*message.message_key, static_cast<std::int64_t>(message.message_key->size()), 60));
  }
  text +=
      fmt::format("\n  {}\n", message.value ? excerpt(*message.value, message.value_bytes, width)
                                            : "(no value: a tombstone)");
  switch (message.becomes) {
    case Becomes::kRow:
      break;
    case Becomes::kDelete:
      text += "  deletes the row of the key\n";
      break;
    case Becomes::kNothing:
      text += "  makes no row\n";
      break;
    case Becomes::kFailure:
      text += fmt::format("  {} {}\n", red("cannot become a row:"), message.error->message);
      // The server's own words: its first line can hold values, which stand above anyway.
      if (const std::string& detail = message.error->detail; !detail.empty()) {
        text += fmt::format("  {}\n", excerpt(detail.substr(0, detail.find('\n')), 0, 2 * width));
      }
      if (!message.error->remedy.empty()) text += fmt::format("  -> {}\n", message.error->remedy);
      break;
  }
  if (!message.table.empty()) text += fmt::format("  {}\n", bold(message.table));
  std::size_t names = 0;
  std::size_t types = 0;
  for (const auto& cell : message.cells) {
    names = std::max(names, cell.column.size());
    types = std::max(types, cell.type.size());
  }
  for (const auto& cell : message.cells) {
    std::string value;
    switch (cell.kind) {
      case PreviewCell::Kind::kValue:
        value = excerpt(cell.text, static_cast<std::int64_t>(cell.text.size()), width);
        break;
      case PreviewCell::Kind::kNull:
        value = "NULL";
        break;
      case PreviewCell::Kind::kDefault:
        value = cell.text.empty() ? "(its default)" : fmt::format("(default {})", cell.text);
        break;
      case PreviewCell::Kind::kKeep:
        value = "(kept as it is)";
        break;
    }
    text += fmt::format("    {:<{}}  {:<{}}  {}\n", cell.column, names, cell.type, types, value);
  }
  print(text);
}

// Where a run would begin, in words.
std::string_view beginning(bool begun, const task::Task& task) {
  if (!begun) return "source.start";
  return task.keeps_ledger() ? "the position in the ledger" : "the position of its group";
}

void print_ddl(const std::vector<std::string>& ddl) {
  if (ddl.empty()) return;
  print("for these messages a run would have the table altered:\n");
  for (const auto& sql : ddl) print(fmt::format("  {};\n", sql));
}

void print_preview(const pipeline::Preview& preview, const LoadedTask& loaded) {
  constexpr std::size_t kWidth = 100;
  std::int64_t bad = 0;
  for (const auto& message : preview.messages) {
    print_message(message, kWidth);
    bad += message.becomes == Becomes::kFailure ? 1 : 0;
  }
  if (!preview.left.empty()) {
    print(fmt::format("columns that no field feeds: {}\n", fmt::join(preview.left, ", ")));
  }
  print_ddl(preview.ddl);
  const std::string_view from = beginning(preview.begun, loaded.task);
  if (preview.messages.empty()) {
    print(fmt::format("{}: there is no message behind {}\n", loaded.task.name, from));
    return;
  }
  print(fmt::format("{}: {} from {} of about {} that are there", loaded.task.name,
                    counted(static_cast<std::int64_t>(preview.messages.size()), "message"), from,
                    grouped(preview.waiting)));
  print(bad == 0 ? "\n" : fmt::format("; {} cannot become a row\n", bad));
}

// ---- rehearse

boost::json::object json_of(const pipeline::RehearsalReport& report) {
  boost::json::array causes;
  for (const auto& cause : report.causes) {
    causes.push_back({{"from", cause.from},
                      {"code", cause.code},
                      {"column", cause.column},
                      {"constraint", cause.constraint},
                      {"count", cause.count},
                      {"topic", cause.key.topic},
                      {"partition", cause.key.partition},
                      {"offset", cause.offset},
                      {"message", cause.error.message},
                      {"remedy", cause.error.remedy},
                      {"value", json_of_bytes(cause.excerpt)}});
  }
  const auto& figures = report.figures;
  boost::json::object shown{{"from", report.begun ? "ledger" : "start"},
                            {"messages", report.messages},
                            {"waiting", report.waiting},
                            {"rows_written", figures.written},
                            {"rows_deleted", figures.deleted},
                            {"keys_there", figures.keys_there},
                            {"keys_new", figures.keys_new},
                            {"ignored", report.ignored},
                            {"failed", report.failed},
                            {"seconds", report.seconds},
                            {"wal_bytes", figures.wal_bytes},
                            {"causes", std::move(causes)},
                            {"ddl", boost::json::value_from(report.ddl)}};
  if (report.stopped_by) {
    boost::json::object stop = json_of_error(*report.stopped_by);
    stop["topic"] = report.stop_key.topic;
    stop["partition"] = report.stop_key.partition;
    stop["offset"] = report.stop_offset;
    shown["would_stop"] = std::move(stop);
  }
  if (report.error) {
    shown["error"] = json_of_error(*report.error);
    shown["error_class"] = name_of(report.error_class);
    shown["holders"] = boost::json::value_from(report.holders);
  }
  return shown;
}

void print_cause(const pipeline::RehearsedCause& cause) {
  print(fmt::format("{:>8}  {}\n          first: {}/{} offset {}: {}\n", grouped(cause.count),
                    cause.error.message, cause.key.topic, cause.key.partition, cause.offset,
                    excerpt(cause.excerpt, 0, 100)));
  if (!cause.error.remedy.empty()) print(fmt::format("          -> {}\n", cause.error.remedy));
}

void print_rehearsal(const pipeline::RehearsalReport& report, const task::Task& task) {
  const auto& figures = report.figures;
  if (report.messages == 0 && !report.error) {
    print(fmt::format("{}: there is no message behind {}\n", task.name,
                      beginning(report.begun, task)));
    return;
  }
  print(fmt::format("{}: {} of about {} from {}, rolled back\n", task.name,
                    counted(report.messages, "message"), grouped(report.waiting),
                    beginning(report.begun, task)));
  if (!report.error) {
    std::string rows = fmt::format("  {} written", counted(figures.written, "row"));
    if (figures.keys_there + figures.keys_new > 0) {
      rows += fmt::format(" (keys: {} new, {} that are there)", grouped(figures.keys_new),
                          grouped(figures.keys_there));
    }
    if (figures.deleted > 0) rows += fmt::format(", {} deleted", counted(figures.deleted, "key"));
    if (report.ignored > 0) rows += fmt::format(", {} ignored", grouped(report.ignored));
    if (report.failed > 0) rows += fmt::format(", {} cannot become rows", grouped(report.failed));
    print(rows + '\n');
    if (report.seconds > 0) {
      print(fmt::format(
          "  {} rows/s on one connection, {} bytes of WAL by the whole server meanwhile\n",
          grouped(static_cast<std::int64_t>(static_cast<double>(figures.written + figures.deleted) /
                                            report.seconds)),
          grouped(figures.wal_bytes)));
    }
  }
  for (const auto& cause : report.causes) print_cause(cause);
  print_ddl(report.ddl);
  if (report.stopped_by) {
    print(fmt::format("{} at {}/{} offset {}: {}\n", red("a run would stop"), report.stop_key.topic,
                      report.stop_key.partition, report.stop_offset, report.stopped_by->message));
  }
  if (report.error) {
    const bool waits = report.error_class == FailureClass::kEnvironment ||
                       report.error_class == FailureClass::kConflict;
    print(fmt::format("the rehearsal could not go on; a run would {} here (class {})\n",
                      waits ? "wait" : "stop", name_of(report.error_class)));
    for (const auto& holder : report.holders)
      print(fmt::format("  the table is held by {}\n", holder));
  } else if (!report.stopped_by) {
    print("a run would get through\n");
  }
  if (report.figures.written > 0) print("(sequences that the rows use have advanced)\n");
}

// ---- verify

boost::json::object json_of(const pipeline::Verification& result) {
  boost::json::array partitions;
  const auto optional = [](const auto& value) {
    return value ? boost::json::value(*value) : boost::json::value(nullptr);
  };
  for (const auto& each : result.partitions) {
    partitions.push_back({{"topic", each.key.topic},
                          {"partition", each.key.partition},
                          {"next_offset", optional(each.next)},
                          {"low", optional(each.low)},
                          {"end", optional(each.end)},
                          {"missing", each.missing},
                          {"lag", each.lag},
                          {"lag_seconds", optional(each.lag_seconds)},
                          {"applied", optional(each.applied)},
                          {"discarded", optional(each.discarded)},
                          {"dead", optional(each.dead)}});
  }
  boost::json::array gaps;
  for (const auto& gap : result.gaps) {
    gaps.push_back({{"topic", gap.key.topic},
                    {"partition", gap.key.partition},
                    {"from", gap.from},
                    {"to", gap.to},
                    {"reason", gap.reason}});
  }
  boost::json::array problems;
  for (const auto& problem : result.problems) problems.push_back(json_of_error(problem));
  boost::json::object shown{{"all_applied", result.all_applied()},
                            {"begun", result.begun},
                            {"partitions", std::move(partitions)},
                            {"gaps", std::move(gaps)},
                            {"problems", std::move(problems)}};
  if (result.halt) {
    shown["halt"] = {{"topic", result.halt->key.topic},
                     {"partition", result.halt->key.partition},
                     {"offset", result.halt->offset},
                     {"reason", result.halt->reason}};
  }
  return shown;
}

void print_verification(const pipeline::Verification& result, const std::string& task) {
  std::vector<std::vector<std::string>> rows{
      {"partition", "applied to", "first", "end", "lag", "oldest", "missing", "discarded", "dead"}};
  std::int64_t lag = 0;
  std::int64_t missing = 0;
  const auto optional = [](const std::optional<std::int64_t>& value) {
    return value ? grouped(*value) : std::string("-");
  };
  for (const auto& each : result.partitions) {
    lag += each.lag;
    missing += each.missing;
    rows.push_back({fmt::format("{}/{}", each.key.topic, each.key.partition), optional(each.next),
                    optional(each.low), optional(each.end), grouped(each.lag),
                    each.lag_seconds ? human_time(*each.lag_seconds) : "-", grouped(each.missing),
                    optional(each.discarded), optional(each.dead)});
  }
  print_table(rows);
  for (const auto& gap : result.gaps) {
    print(fmt::format("gap: {}/{} offsets {} to {} were passed over ({})\n", gap.key.topic,
                      gap.key.partition, gap.from, gap.to, gap.reason));
  }
  if (result.halt) {
    print(fmt::format("halted at {}/{} offset {}: {}\n", result.halt->key.topic,
                      result.halt->key.partition, result.halt->offset, result.halt->reason));
  }
  if (!result.begun) {
    print(fmt::format("{}: nothing is known of this task: it has never run\n", task));
  } else if (result.all_applied()) {
    print(fmt::format("{}: everything is applied\n", task));
  } else {
    print(fmt::format("{}: not everything is applied: lag {}, missing {}\n", task, grouped(lag),
                      grouped(missing)));
  }
}

}  // namespace

int preview_command(const Options& options) {
  const auto loaded = load_or_explain(options.file);
  if (!loaded) return kDocumentWrong;
  const Signals signals;
  configure_quiet_logs(options);
  const auto preview = pipeline::preview(source_of(*loaded), options.preview_count,
                                         options.from_start, pipeline::StopSignal(signals.fd()));
  if (!preview) {
    print_error(preview.error());
    return kFailed;
  }
  if (options.json) {
    boost::json::array messages;
    for (const auto& message : preview->messages) messages.push_back(json_of(message));
    boost::json::array errors;
    for (const auto& error : preview->target_errors) errors.push_back(json_of_error(error));
    print(boost::json::serialize(
              boost::json::object{{"task", loaded->task.name},
                                  {"from", preview->begun ? "ledger" : "start"},
                                  {"waiting", preview->waiting},
                                  {"columns_not_fed", boost::json::value_from(preview->left)},
                                  {"ddl", boost::json::value_from(preview->ddl)},
                                  {"messages", std::move(messages)},
                                  {"target_errors", std::move(errors)}}) +
          '\n');
  } else {
    print_preview(*preview, *loaded);
  }
  for (const auto& error : preview->target_errors) print_error(error);
  return preview->target_errors.empty() ? 0 : kFailed;
}

int rehearse_command(const Options& options) {
  const auto loaded = load_or_explain(options.file);
  if (!loaded) return kDocumentWrong;
  const Signals signals;
  configure_quiet_logs(options);
  const auto report = pipeline::rehearse(source_of(*loaded), options.rehearse_count,
                                         options.from_start, pipeline::StopSignal(signals.fd()));
  if (!report) {
    print_error(report.error());
    return kFailed;
  }
  if (options.json) {
    print(boost::json::serialize(json_of(*report)) + '\n');
  } else {
    print_rehearsal(*report, loaded->task);
  }
  if (report->error) print_error(*report->error);
  return report->error || report->stopped_by ? kFailed : 0;
}

int verify_command(const Options& options) {
  const auto loaded = load_or_explain(options.file);
  if (!loaded) return kDocumentWrong;
  const Signals signals;
  configure_quiet_logs(options);
  const auto result = pipeline::verify(source_of(*loaded), pipeline::StopSignal(signals.fd()));
  if (!result) {
    print_error(result.error());
    return kFailed;
  }
  if (options.json) {
    print(boost::json::serialize(json_of(*result)) + '\n');
  } else {
    print_verification(*result, loaded->task.name);
  }
  for (const auto& problem : result->problems) print_error(problem);
  return result->all_applied() ? 0 : kFailed;
}

}  // namespace sluice::cli
