// sluice run and sluice check.
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>

#include "base/log.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "pipeline/check.h"
#include "pipeline/preview.h"
#include "server/http.h"
#include "server/metrics.h"

namespace sluice::cli {
namespace {

std::string host_name() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "localhost";
}

// What --metrics serves: the latest progress, as the supervisor's thread left it.
class MetricsPage {
 public:
  explicit MetricsPage(std::string task) : task_(std::move(task)) {}

  Result<bool> listen(const std::string& address) {
    auto listener = server::HttpListener::start(
        {.address = address}, [this](const server::Request& request) { return page(request); });
    if (!listener) return fail(listener.error());
    listener_ = std::move(*listener);
    log::info("metrics", {{"task", task_}, {"port", static_cast<int>(listener_->port())}});
    return true;
  }
  void update(const pipeline::Progress& progress) {
    if (!listener_) return;
    const std::lock_guard lock(mutex_);
    progress_ = progress;
  }

 private:
  server::Response page(const server::Request& request) {
    if (request.method != "GET" && request.method != "HEAD") {
      return {405, "text/plain; charset=utf-8", "only GET and HEAD\n", {{"Allow", "GET, HEAD"}}};
    }
    const std::string& path = request.path;
    if (path == "/healthz") return {200, "text/plain; charset=utf-8", "ok\n"};
    if (path != "/metrics") {
      return {404, "text/plain; charset=utf-8", "there are /metrics and /healthz\n"};
    }
    pipeline::Progress progress;
    {
      const std::lock_guard lock(mutex_);
      progress = progress_;
    }
    return {200, server::kMetricsContentType, server::metrics_text(task_, progress)};
  }

  const std::string task_;
  std::mutex mutex_;
  pipeline::Progress progress_;
  std::unique_ptr<server::HttpListener> listener_;  // last: its thread uses what stands above
};

void configure_logs(const Options& options) {
  const auto lowest = options.verbose ? log::Level::kDebug
                      : options.quiet ? log::Level::kError
                      : is_terminal() ? log::Level::kWarning
                                      : log::Level::kInfo;
  log::configure(lowest, options.log_format == "json" ? log::Format::kJson : log::Format::kText);
}

// RFC 3339 in UTC, with microseconds.
std::string text_of(std::chrono::system_clock::time_point time) {
  using std::chrono::microseconds;
  const auto whole = std::chrono::floor<microseconds>(time);
  return fmt::format("{:%FT%T}.{:06d}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(whole)),
                     whole.time_since_epoch().count() % 1'000'000);
}

boost::json::object summary_of(const std::string& task, const pipeline::RunReport& report) {
  constexpr std::string_view kEnds[] = {"applied", "failed", "bad_document", "halted", "stopped"};
  const auto& figures = report.figures;
  const double seconds = static_cast<double>(figures.elapsed.count()) / 1000;
  boost::json::object summary{
      {"task", task},
      {"end", kEnds[static_cast<std::size_t>(report.end)]},
      {"rows_written", figures.tally.written},
      {"rows_deleted", figures.tally.deleted},
      {"ignored", figures.tally.ignored},
      {"discarded", figures.tally.discarded},
      {"dead_letters", figures.tally.dead},
      {"rows_swept", figures.tally.swept.value_or(0)},
      {"incomplete_rows", figures.tally.incomplete.rows},
      {"batches", figures.batches},
      {"bytes", figures.bytes},
      {"seconds", seconds},
      {"resident_bytes_peak", report.resident_bytes_peak},
  };
  if (report.first_to_last_seconds)
    summary["first_to_last_seconds"] = *report.first_to_last_seconds;
  if (report.first_message_at) summary["first_message_at"] = text_of(*report.first_message_at);
  if (report.last_commit_at) summary["last_commit_at"] = text_of(*report.last_commit_at);
  boost::json::array errors;
  for (const auto& error : report.errors) {
    errors.push_back({{"from", std::string(name_of(error.domain))},
                      {"code", error.code},
                      {"message", error.message},
                      {"remedy", error.remedy}});
  }
  summary["errors"] = std::move(errors);
  if (report.halt_offset >= 0) {
    summary["halt"] = {{"topic", report.halt_key.topic},
                       {"partition", report.halt_key.partition},
                       {"offset", report.halt_offset}};
  }
  return summary;
}

bool write_summary(const std::string& file, const boost::json::object& summary) {
  std::ofstream out(file);
  out << boost::json::serialize(summary) << '\n';
  out.close();
  if (out) return true;
  std::fprintf(stderr, "error: cannot write the summary to %s\n", file.c_str());
  return false;
}

// Known before the first row, so that a run of hours does not end with it.
bool can_write_summary(const std::string& file) {
  const auto folder = std::filesystem::path(file).parent_path();
  const bool there = ::access(file.c_str(), F_OK) == 0;
  const std::string asked = there ? file : folder.empty() ? std::string(".") : folder.string();
  if (!std::filesystem::is_directory(file) && ::access(asked.c_str(), W_OK) == 0) return true;
  print_error(fail(Domain::kCommandLine, "--summary", fmt::format("\"{}\" cannot be written", file),
                   "Name a file in a folder that exists and that you may write to.")
                  .value());
  return false;
}

void print_end(const std::string& task, const pipeline::RunReport& report) {
  const auto& tally = report.figures.tally;
  const double seconds = static_cast<double>(report.figures.elapsed.count()) / 1000;
  if (report.end == pipeline::RunEnd::kHalted && report.halt_offset >= 0) {
    std::fputs(
        fmt::format("{}: halted at {}/{} offset {} (on_failure: retain). Everything before "
                    "it in its partition is applied, nothing after it.\n",
                    task, report.halt_key.topic, report.halt_key.partition, report.halt_offset)
            .c_str(),
        stderr);
    if (!report.halt_excerpt.empty()) {
      std::fputs(fmt::format("  message: {}\n", report.halt_excerpt).c_str(), stderr);
    }
  }
  for (const auto& error : report.errors) print_error(error);
  std::string text = fmt::format("{}: {} written", task, counted(tally.written, "row"));
  if (tally.deleted > 0) text += fmt::format(", {} deleted", grouped(tally.deleted));
  if (tally.swept) text += fmt::format(", {} swept", grouped(*tally.swept));
  if (tally.ignored > 0) text += fmt::format(", {} ignored", counted(tally.ignored, "message"));
  if (tally.discarded > 0) text += fmt::format(", {} discarded", grouped(tally.discarded));
  if (tally.dead > 0) text += ", " + counted(tally.dead, "dead letter");
  if (tally.incomplete.rows > 0) {
    text += fmt::format(", {} without values that were not sent",
                        counted(tally.incomplete.rows, "row"));
  }
  text += fmt::format(" in {}", human_time(seconds));
  if (report.first_to_last_seconds && *report.first_to_last_seconds > 0) {
    text += fmt::format(" ({} rows/s from the first to the last)",
                        grouped(static_cast<std::int64_t>(static_cast<double>(tally.written) /
                                                          *report.first_to_last_seconds)));
  }
  std::fputs((text + '\n').c_str(), stderr);
}

}  // namespace

int run_command(Options& options) {
  const auto loaded = load_or_explain(options.file);
  if (!loaded) return kDocumentWrong;
  if (!options.summary.empty() && !can_write_summary(options.summary)) return kDocumentWrong;
  const Signals signals;
  configure_logs(options);
  const std::string& name = loaded->task.name;
  pipeline::RunReport report;
  MetricsPage metrics(name);
  if (!options.metrics.empty()) {
    if (auto listening = metrics.listen(options.metrics); !listening) {
      print_error(listening.error());
      return kDocumentWrong;
    }
  }
  {
    ProgressLine line(name);
    options.run.instance = fmt::format("{}:{}", host_name(), getpid());
    options.run.on_progress = [&](const pipeline::Progress& progress) {
      line.show(progress);
      metrics.update(progress);
    };
    report = pipeline::run(source_of(*loaded), options.run, pipeline::StopSignal(signals.fd()));
  }
  print_end(name, report);
  const bool written =
      options.summary.empty() || write_summary(options.summary, summary_of(name, report));
  if (report.end == pipeline::RunEnd::kStopped) return signals.exit_code();
  const int code = static_cast<int>(report.end);
  return code == 0 && !written ? 1 : code;
}

namespace {

constexpr std::int64_t kDdlMessages = 100;

// check --ddl: what the next messages would have the table altered by.
std::vector<pipeline::Finding> ddl_findings(const LoadedTask& loaded) {
  using Level = pipeline::Finding::Level;
  const auto finding = [](Level level, std::string message, std::string remedy) {
    return pipeline::Finding{level, "ddl", "", std::move(message), std::move(remedy), false};
  };
  const Signals signals;
  const auto preview = pipeline::preview(source_of(loaded), kDdlMessages, /*from_start=*/false,
                                         pipeline::StopSignal(signals.fd()));
  if (!preview) return {finding(Level::kError, preview.error().message, preview.error().remedy)};
  std::vector<pipeline::Finding> findings;
  for (const auto& sql : preview->ddl) findings.push_back(finding(Level::kOk, sql + ';', {}));
  for (const auto& message : preview->messages) {
    if (!message.error || message.error->code != "schema_change") continue;
    findings.push_back(finding(Level::kError, message.error->message, message.error->remedy));
    break;
  }
  if (findings.empty()) findings.push_back(finding(Level::kOk, "nothing", {}));
  return findings;
}

}  // namespace

int check_command(const Options& options) {
  const auto loaded = load_or_explain(options.file);
  if (!loaded) return kDocumentWrong;
  configure_quiet_logs(options);
  std::function<void(const pipeline::Finding&)> show;
  if (!options.json) show = print_finding;
  auto findings = pipeline::check(source_of(*loaded), show);
  if (options.ddl) {
    for (auto& finding : ddl_findings(*loaded)) {
      if (show) show(finding);
      findings.push_back(std::move(finding));
    }
  }
  int errors = 0;
  int warnings = 0;
  boost::json::array all;
  for (const auto& finding : findings) {
    errors += finding.level == pipeline::Finding::Level::kError ? 1 : 0;
    warnings += finding.level == pipeline::Finding::Level::kWarning ? 1 : 0;
    all.push_back({{"level", std::string(name_of(finding.level))},
                   {"step", finding.step},
                   {"subject", finding.subject},
                   {"message", finding.message},
                   {"remedy", finding.remedy}});
  }
  if (options.json) {
    std::puts(boost::json::serialize(all).c_str());
  } else {
    std::puts(fmt::format("{}: {}, {}",
                          counted(static_cast<std::int64_t>(findings.size()), "finding"),
                          counted(errors, "error"), counted(warnings, "warning"))
                  .c_str());
  }
  return errors == 0 ? 0 : kFailed;
}

}  // namespace sluice::cli
