// sluice dead-letters list, show, replay and purge.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <string>

#include "cli/options.h"
#include "cli/show.h"
#include "cli/terminal.h"
#include "pipeline/replay.h"

namespace sluice::cli {
namespace {

ledger::LetterFilter filter_of(const Options& options) {
  ledger::LetterFilter filter;
  filter.ids = options.ids;
  filter.code = options.code;
  filter.column = options.column;
  filter.topic = options.topic;
  if (!options.before.empty()) filter.before = options.before;
  return filter;
}

const std::string& name_of_task(const Options& options, const LoadedTask& loaded) {
  return options.task.empty() ? loaded.task.name : options.task;
}

boost::json::object json_of(const ledger::LetterCause& cause) {
  return {{"class", cause.reason_class}, {"code", cause.code},         {"column", cause.column},
          {"count", cause.count},        {"first_id", cause.first_id}, {"first_at", cause.first_at},
          {"last_at", cause.last_at},    {"message", cause.message}};
}

boost::json::object json_of(const ledger::KeptLetter& letter) {
  boost::json::array headers;
  for (const auto& [name, value] : letter.headers) {
    headers.push_back({{"name", name}, {"value", json_of_bytes(value)}});
  }
  return {{"id", letter.id},
          {"topic", letter.key.topic},
          {"partition", letter.key.partition},
          {"offset", letter.offset},
          {"timestamp_ms", letter.timestamp_ms},
          {"failed_at", letter.failed_at},
          {"class", letter.reason_class},
          {"code", letter.code},
          {"column", letter.column},
          {"message", letter.message},
          {"key", json_of_bytes(letter.message_key)},
          {"value", json_of_bytes(letter.value)},
          {"headers", std::move(headers)}};
}

template <class T>
int answer_json(const std::vector<T>& all) {
  boost::json::array shown;
  for (const auto& each : all) shown.push_back(json_of(each));
  print(boost::json::serialize(shown) + '\n');
  return 0;
}

// The errors of a command on letters; 2 if it is about a filter.
int refused(const Error& error) {
  if (error.code != "22007" && error.code != "22008" && error.code != "22009") {
    print_error(error);
    return kFailed;
  }
  print_error(fail(Domain::kCommandLine, "--before",
                   fmt::format("PostgreSQL takes it for no time: {}", error.message),
                   "Write it as 2026-03-01 00:00, with a zone if it is not the session's.")
                  .value());
  return kDocumentWrong;
}

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

void print_letter(const ledger::KeptLetter& letter) {
  std::string text = fmt::format(
      "{} {}/{} offset {}  {}\n  failed {}: {}\n", bold(fmt::format("#{}", letter.id)),
      letter.key.topic, letter.key.partition, letter.offset, time_text(letter.timestamp_ms),
      letter.failed_at, excerpt(one_line(letter.message), 0, 400));
  if (letter.message_key)
    text += fmt::format("  key    {}\n", excerpt(*letter.message_key, 0, 100));
  for (const auto& [name, value] : letter.headers) {
    text += fmt::format("  header {}: {}\n", excerpt(name, 0, 60),
                        value ? excerpt(*value, 0, 100) : "(null)");
  }
  text += fmt::format("  value  {}\n",
                      letter.value ? excerpt(*letter.value, 0, 400) : "(none: a tombstone)");
  print(text);
}

}  // namespace

int list_letters_command(const Options& options) {
  const auto loaded = load_or_explain(options.file);
  if (!loaded) return kDocumentWrong;
  configure_quiet_logs(options);
  const auto causes =
      pipeline::list_dead_letters(source_of(*loaded), options.task, filter_of(options));
  if (!causes) {
    return refused(causes.error());
  }
  if (options.json) return answer_json(*causes);
  const std::string& name = name_of_task(options, *loaded);
  if (causes->empty()) {
    print(fmt::format("{}: no dead letters{}\n", name,
                      loaded->task.keeps_ledger() ? "" : " (delivery: at_least_once keeps none)"));
    return 0;
  }
  std::vector<std::vector<std::string>> rows{
      {"code", "column", "letters", "first id", "first failed", "last failed"}};
  std::int64_t all = 0;
  for (const auto& cause : *causes) {
    all += cause.count;
    rows.push_back({cause.code, cause.column.empty() ? "-" : cause.column, grouped(cause.count),
                    std::to_string(cause.first_id), first_line(cause.first_at),
                    first_line(cause.last_at)});
  }
  print_table(rows);
  for (const auto& cause : *causes) {
    print(fmt::format("{}: {}\n", cause.code, excerpt(first_line(cause.message), 0, 300)));
  }
  print(fmt::format("{}: {}, {}\n", name, counted(all, "dead letter"),
                    counted(static_cast<std::int64_t>(causes->size()), "cause")));
  return 0;
}

int show_letters_command(const Options& options) {
  const auto loaded = load_or_explain(options.file);
  if (!loaded) return kDocumentWrong;
  configure_quiet_logs(options);
  const auto letters = pipeline::show_dead_letters(source_of(*loaded), options.task,
                                                   filter_of(options), options.limit);
  if (!letters) {
    return refused(letters.error());
  }
  if (options.json) return answer_json(*letters);
  for (const auto& letter : *letters) print_letter(letter);
  if (letters->empty()) {
    print(fmt::format("{}: no such dead letters\n", name_of_task(options, *loaded)));
  }
  return 0;
}

int replay_letters_command(const Options& options) {
  const auto loaded = load_or_explain(options.file);
  if (!loaded) return kDocumentWrong;
  const Signals signals;
  configure_quiet_logs(options);
  pipeline::ReplayReport report;
  const auto done =
      pipeline::replay_dead_letters(source_of(*loaded), options.task, filter_of(options), report,
                                    pipeline::StopSignal(signals.fd()));
  if (options.json) {
    print(boost::json::serialize(boost::json::object{{"applied", report.applied},
                                                     {"failed", report.failed},
                                                     {"left", report.left},
                                                     {"task_known", report.task_known}}) +
          '\n');
  } else {
    std::string text = fmt::format("{}: {} applied and removed; failed again and left: {}",
                                   name_of_task(options, *loaded),
                                   counted(report.applied, "letter"), grouped(report.failed));
    if (report.left > 0) {
      text += fmt::format(", {} not touched (in the hands of another replay, or new)",
                          grouped(report.left));
    }
    print(text + '\n');
    if (done && !report.task_known) {
      print(
          "the ledger has no task of that name (deleted, or never started): its letters were "
          "taken by the mapping of this document\n");
    }
  }
  if (!done) {
    return refused(done.error());
  }
  return report.failed == 0 && report.left == 0 ? 0 : kFailed;
}

int purge_letters_command(const Options& options) {
  const auto loaded = load_or_explain(options.file);
  if (!loaded) return kDocumentWrong;
  const bool filtered = !options.ids.empty() || !options.code.empty() || !options.column.empty() ||
                        !options.topic.empty() || !options.before.empty();
  if (!filtered && !options.all) {
    print_error(fail(Domain::kCommandLine, "--all", "purge without a filter deletes every letter",
                     "Say which (--id, --code, --column, --topic, --before), or --all.")
                    .value());
    return kDocumentWrong;
  }
  configure_quiet_logs(options);
  const auto purged =
      pipeline::purge_dead_letters(source_of(*loaded), options.task, filter_of(options));
  if (!purged) {
    return refused(purged.error());
  }
  if (options.json) {
    print(boost::json::serialize(boost::json::object{{"purged", *purged}}) + '\n');
  } else {
    print(fmt::format("{}: {} deleted\n", name_of_task(options, *loaded),
                      counted(*purged, "dead letter")));
  }
  return 0;
}

}  // namespace sluice::cli
