// What the command line said, and what its commands share. Internal to cli.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/document.h"
#include "pipeline/against.h"
#include "pipeline/environment.h"
#include "pipeline/run.h"

namespace sluice::cli {

inline constexpr int kFailed = 1;
inline constexpr int kDocumentWrong = 2;

struct Options {
  std::string file;
  bool verbose = false;
  bool json = false;
  bool ddl = false;
  // run
  std::string summary;
  std::string metrics;  // HOST:PORT; empty: none
  std::string log_format = "auto";
  bool quiet = false;
  pipeline::RunOptions run;
  // preview, rehearse
  std::int64_t preview_count = 10;
  std::int64_t rehearse_count = 10'000;  // one transaction holds them all
  bool from_start = false;
  // verify --against
  pipeline::AgainstOptions against;
  std::int64_t settle_seconds = 10;
  // dead-letters
  std::string task;
  std::vector<std::int64_t> ids;
  std::string code;
  std::string column;
  std::string topic;
  std::string before;
  std::int64_t limit = 10;
  bool all = false;
};

// Each returns the exit code of the process.
int run_command(Options& options);
int check_command(const Options& options);
int preview_command(const Options& options);
int rehearse_command(const Options& options);
int verify_command(const Options& options);
int against_command(const Options& options);
int list_letters_command(const Options& options);
int show_letters_command(const Options& options);
int replay_letters_command(const Options& options);
int purge_letters_command(const Options& options);

// SIGINT and SIGTERM as a file descriptor, so that a command ends in its own order. Before threads
// are started: they inherit the mask.
class Signals {
 public:
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  int fd() const { return fd_; }
  // The exit code of the signal that came: 128 + its number.
  int exit_code() const;

 private:
  int fd_ = -1;
};

// The task of options.file; without it everything that is wrong was printed.
std::optional<LoadedTask> load_or_explain(const std::string& file);
pipeline::TaskSource source_of(const LoadedTask& loaded);
// Logs of commands that answer on standard output: errors only, unless verbose.
void configure_quiet_logs(const Options& options);

}  // namespace sluice::cli
