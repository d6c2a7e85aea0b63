// What people see: colours where there is a terminal, numbers with separators, a line of progress.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/number.h"
#include "base/result.h"
#include "pipeline/check.h"
#include "pipeline/run.h"

namespace sluice::cli {

// Whether standard error is a terminal that takes colours (NO_COLOR and TERM=dumb are heeded).
bool is_terminal();
std::string human_time(double seconds);  // 850 ms, 12.3 s, 4 min 05 s, 2 h 03 min

// For standard output, if that is a terminal that takes colours.
std::string bold(std::string_view text);
std::string red(std::string_view text);
// Columns as wide as they must be; the first row is the heading, the first column stands left, the
// others right.
void print_table(const std::vector<std::vector<std::string>>& rows);

// "error: ..." with the remedy on a line of its own.
void print_error(const Error& error);
void print_finding(const pipeline::Finding& finding);

// One line that is drawn over itself on a terminal; nothing elsewhere. Owned by one command.
class ProgressLine {
 public:
  explicit ProgressLine(std::string task);
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine();
  void show(const pipeline::Progress& progress);
  void show(std::string line);
  void clear();

 private:
  std::string task_;
  bool on_;
};

}  // namespace sluice::cli
