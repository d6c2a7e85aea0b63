#include "cli/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/log.h"

namespace sluice::cli {
namespace {

constexpr std::string_view kErase = "\r\033[K";

// Whether this stream is a terminal that takes colours.
bool takes_colours(int fd) {
  const char* term = std::getenv("TERM");           // NOLINT(concurrency-mt-unsafe)
  const char* no_colour = std::getenv("NO_COLOR");  // NOLINT(concurrency-mt-unsafe)
  const bool dumb = term != nullptr && std::string_view(term) == "dumb";
  return isatty(fd) == 1 && !dumb && (no_colour == nullptr || *no_colour == '\0');
}

bool output_is_terminal() {
  static const bool yes = takes_colours(STDOUT_FILENO);
  return yes;
}

std::string coloured(std::string_view colour, std::string_view text) {
  if (!is_terminal()) return std::string(text);
  return fmt::format("\033[{}m{}\033[0m", colour, text);
}

int terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

bool is_terminal() {
  static const bool yes = takes_colours(STDERR_FILENO);
  return yes;
}

std::string bold(std::string_view text) {
  return output_is_terminal() ? fmt::format("\033[1m{}\033[0m", text) : std::string(text);
}

std::string red(std::string_view text) {
  return output_is_terminal() ? fmt::format("\033[31;1m{}\033[0m", text) : std::string(text);
}

void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += i == 0 ? fmt::format("{:<{}}", row[i], widths[i])
                     : fmt::format("  {:>{}}", row[i], widths[i]);
    }
    std::puts(line.c_str());
  }
}

std::string human_time(double seconds) {
  if (seconds < 1) return fmt::format("{:.0f} ms", seconds * 1000);
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::int64_t>(seconds);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
}

void print_error(const Error& error) {
  std::string text = fmt::format("{} {}\n", coloured("31;1", "error:"), error.message);
  if (!error.remedy.empty()) text += fmt::format("  {} {}\n", coloured("36", "->"), error.remedy);
  std::fputs(text.c_str(), stderr);
}

void print_finding(const pipeline::Finding& finding) {
  using Level = pipeline::Finding::Level;
  const std::string_view colour = finding.level == Level::kOk        ? "32"
                                  : finding.level == Level::kWarning ? "33"
                                                                     : "31;1";
  std::string text = fmt::format(
      "{} {:<10} ", coloured(colour, fmt::format("{:<8}", name_of(finding.level))), finding.step);
  if (!finding.subject.empty()) text += finding.subject + ": ";
  text += finding.message + '\n';
  if (!finding.remedy.empty() && finding.level != Level::kOk) {
    text += fmt::format("{:>9}{} {}\n", "", coloured("36", "->"), finding.remedy);
  }
  std::fputs(text.c_str(), stdout);
}

ProgressLine::ProgressLine(std::string task) : task_(std::move(task)), on_(is_terminal()) {
  if (on_) log::set_line_eraser(std::string(kErase));
}

ProgressLine::~ProgressLine() { clear(); }

void ProgressLine::clear() {
  if (!on_) return;
  std::fwrite(kErase.data(), 1, kErase.size(), stderr);
  log::set_line_eraser({});
}

void ProgressLine::show(const pipeline::Progress& progress) {
  if (!on_) return;
  const auto& tally = progress.tally;
  std::string line = fmt::format("{} {}  {}", task_, progress.state,
                                 counted(tally.written + tally.deleted, "row"));
  if (tally.dead > 0) line += fmt::format("  {} dead", grouped(tally.dead));
  if (tally.discarded > 0) line += fmt::format("  {} discarded", grouped(tally.discarded));
  line += fmt::format("  {}/s", grouped(static_cast<std::int64_t>(progress.rows_per_second)));
  if (progress.lag >= 0) line += fmt::format("  lag {}", grouped(progress.lag));
  if (progress.total > 0 && progress.rows_per_second > 1 && progress.lag > 0) {
    line += fmt::format("  about {} left",
                        human_time(static_cast<double>(progress.lag) / progress.rows_per_second));
  }
  if (!progress.reason.empty()) line += "  " + progress.reason;
  show(std::move(line));
}

void ProgressLine::show(std::string line) {
  if (!on_) return;
  const auto width = static_cast<std::size_t>(terminal_width());
  if (line.size() >= width) line.resize(width - 1);
  std::string text = std::string(kErase) + line;
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

}  // namespace sluice::cli
