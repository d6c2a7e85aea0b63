// The cases of values.tsv, each by both paths; and the report of all tests.
#pragma once

#include <string>
#include <vector>

#include "server.h"

namespace sluice::values {

// Prints "ok NAME" or "FAIL NAME: why", and counts.
class Report {
 public:
  explicit Report(std::string only) : only_(std::move(only)) {}
  // Whether a test is asked for: its name holds the text of -k.
  bool wants(const std::string& name) const { return name.find(only_) != std::string::npos; }
  void add(const std::string& name, const std::vector<std::string>& failures);
  std::size_t passed() const { return passed_; }
  std::size_t failed() const { return failed_; }

 private:
  std::string only_;
  std::size_t passed_ = 0;
  std::size_t failed_ = 0;
};

// The form of the file is described at its top.
void run_curated(Server& server, const std::string& path, Report& report);

}  // namespace sluice::values
