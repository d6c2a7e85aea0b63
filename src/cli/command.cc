#include "cli/command.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <cstdio>
#include <fstream>
#include <string>

#include "base/log.h"
#include "cli/document.h"
#include "cli/terminal.h"
#include "kafka/consumer.h"
#include "pipeline/check.h"
#include "pipeline/failure.h"
#include "pipeline/run.h"

namespace sluice::cli {
namespace {

constexpr int kDocumentWrong = 2;

struct Options {
  std::string file;
  std::string summary;
  std::string log_format = "auto";
  bool verbose = false;
  bool quiet = false;
  bool json = false;
  pipeline::RunOptions run;
};

std::string host_name() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "localhost";
}

// SIGINT and SIGTERM as a file descriptor: the run ends in its own order.
class Signals {
 public:
  Signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);  // before threads, which inherit it
    fd_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  }
  ~Signals() { close(fd_); }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  int fd() const { return fd_; }
  // The exit code of the signal that came: 128 + its number.
  int exit_code() const {
    signalfd_siginfo info{};
    const bool read_one = read(fd_, &info, sizeof info) == sizeof info;
    return 128 + (read_one ? static_cast<int>(info.ssi_signo) : SIGTERM);
  }

 private:
  int fd_ = -1;
};

pipeline::TaskSource source_of(const LoadedTask& loaded) {
  return {loaded.task, loaded.reread_postgres, loaded.reread_kafka};
}

void configure_logs(const Options& options) {
  const auto lowest = options.verbose ? log::Level::kDebug
                      : options.quiet ? log::Level::kError
                      : is_terminal() ? log::Level::kWarning
                                      : log::Level::kInfo;
  log::configure(lowest, options.log_format == "json" ? log::Format::kJson : log::Format::kText);
}

std::optional<LoadedTask> load_or_explain(const std::string& file) {
  auto loaded = load(file);
  if (loaded) return std::move(*loaded);
  for (const auto& error : loaded.error()) print_error(error);
  return std::nullopt;
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
      {"batches", figures.batches},
      {"bytes", figures.bytes},
      {"seconds", seconds},
      {"resident_bytes_peak", report.resident_bytes_peak},
  };
  if (report.first_to_last_seconds)
    summary["first_to_last_seconds"] = *report.first_to_last_seconds;
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
  std::string text = fmt::format("{}: {} rows written", task, grouped(tally.written));
  if (tally.deleted > 0) text += fmt::format(", {} deleted", grouped(tally.deleted));
  if (tally.ignored > 0) text += fmt::format(", {} messages ignored", grouped(tally.ignored));
  if (tally.discarded > 0) text += fmt::format(", {} discarded", grouped(tally.discarded));
  if (tally.dead > 0) text += fmt::format(", {} dead letters", grouped(tally.dead));
  text += fmt::format(" in {}", human_time(seconds));
  if (report.first_to_last_seconds && *report.first_to_last_seconds > 0) {
    text += fmt::format(" ({} rows/s from the first to the last)",
                        grouped(static_cast<std::int64_t>(static_cast<double>(tally.written) /
                                                          *report.first_to_last_seconds)));
  }
  std::fputs((text + '\n').c_str(), stderr);
}

int run_command(Options& options) {
  const auto loaded = load_or_explain(options.file);
  if (!loaded) return kDocumentWrong;
  const Signals signals;
  configure_logs(options);
  const std::string& name = loaded->task.name;
  pipeline::RunReport report;
  {
    ProgressLine line(name);
    options.run.instance = fmt::format("{}:{}", host_name(), getpid());
    options.run.on_progress = [&](const pipeline::Progress& progress) { line.show(progress); };
    report = pipeline::run(source_of(*loaded), options.run, pipeline::StopSignal(signals.fd()));
  }
  print_end(name, report);
  const bool written =
      options.summary.empty() || write_summary(options.summary, summary_of(name, report));
  if (report.end == pipeline::RunEnd::kStopped) return signals.exit_code();
  const int code = static_cast<int>(report.end);
  return code == 0 && !written ? 1 : code;
}

int check_command(const Options& options) {
  const auto loaded = load_or_explain(options.file);
  if (!loaded) return kDocumentWrong;
  log::configure(options.verbose ? log::Level::kDebug : log::Level::kError, log::Format::kText);
  std::function<void(const pipeline::Finding&)> show;
  if (!options.json) show = print_finding;
  const auto findings = pipeline::check(source_of(*loaded), show);
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
    std::puts(fmt::format("{} findings: {} errors, {} warnings", findings.size(), errors, warnings)
                  .c_str());
  }
  return errors == 0 ? 0 : 1;
}

int version_command() {
  std::puts(
      fmt::format("sluice {}\nlibrdkafka {}", SLUICE_VERSION, kafka::library_version()).c_str());
  return 0;
}

void add_common(CLI::App& command, Options& options) {
  command.add_option("FILE", options.file, "the task document (YAML); see docs/reference/task.md")
      ->required();
  command.add_flag("-v,--verbose", options.verbose, "log more");
}

constexpr const char* kFooter = R"(
Examples
  sluice check orders.yaml               everything that can be known before the first row
  sluice run orders.yaml                 run until stopped (Ctrl-C leaves cleanly)
  sluice run orders.yaml --until-end     stop when what is in the topic now is in the table

Exit codes of run
  0  applied, or handled by the failure policy        1  failed
  2  the document or the command line is wrong        3  halted at a message (on_failure: retain)
  130, 143  stopped by Ctrl-C or SIGTERM: the batch in flight is committed, the group left)";

constexpr const char* kRunFooter = R"(
A run that was killed goes on where the ledger in the target database says; no row is lost or doubled.
Start it as often as you like: processes of one task share its partitions.)";

}  // namespace

int execute(int argc, char** argv) {
  Options options;
  CLI::App app{"sluice moves Kafka topics into PostgreSQL tables, exactly once, at COPY speed."};
  app.name("sluice");
  app.require_subcommand(0, 1);  // none: below, after what was not understood is named
  app.footer(kFooter);
  app.failure_message([](const CLI::App* command, const CLI::Error& error) {
    return fmt::format("error: {}\n  -> {} --help says what is possible\n", error.what(),
                       command->get_parent() != nullptr
                           ? command->get_parent()->get_name() + ' ' + command->get_name()
                           : command->get_name());
  });

  auto* run = app.add_subcommand("run", "run one task from its file until it is stopped");
  add_common(*run, options);
  run->add_flag("--until-end", options.run.until_end,
                "end by itself when everything that the topics hold at the start is applied");
  run->add_option("--summary", options.summary, "write the final figures to this file, as JSON")
      ->type_name("PATH");
  auto* adopt = run->add_flag("--adopt", options.run.open.adopt,
                              "this cluster, database or table is the task's from now on");
  run->add_flag("--reset", options.run.open.reset,
                "forget all positions and begin again at source.start (rows stay)")
      ->excludes(adopt);
  run->add_option("--log-format", options.log_format, "text or json; logs go to standard error")
      ->check(CLI::IsMember({"auto", "text", "json"}))
      ->capture_default_str();
  run->add_flag("-q,--quiet", options.quiet, "log errors only");
  run->footer(kRunFooter);

  auto* check = app.add_subcommand(
      "check", "look at Kafka, PostgreSQL, table and rights; write nothing; exit 1 on errors");
  add_common(*check, options);
  check->add_flag("--json", options.json, "the findings as JSON on standard output");

  auto* version =
      app.add_subcommand("version", "print the versions of sluice and its Kafka client");
  app.set_version_flag("--version", std::string("sluice ") + SLUICE_VERSION);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kDocumentWrong;
  }
  if (run->parsed()) return run_command(options);
  if (check->parsed()) return check_command(options);
  if (version->parsed()) return version_command();
  std::fputs(
      "error: a command is missing: run, check or version\n  -> sluice --help says what is "
      "possible\n",
      stderr);
  return kDocumentWrong;
}

}  // namespace sluice::cli
