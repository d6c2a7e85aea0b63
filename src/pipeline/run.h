// run: one task from start to end in this process. The supervisor: opens the task, keeps its lanes,
// watches for the end, for halts and for what happens to its topics, and says what became of it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/histogram.h"
#include "base/result.h"
#include "ledger/protocol.h"
#include "pipeline/environment.h"
#include "pipeline/open.h"
#include "sink/writer.h"

namespace sluice::pipeline {

// Where a partition is, as of a look every ten seconds.
struct PartitionLag {
  std::int64_t next = 0;  // the ledger's position
  std::int64_t end = 0;
};

// A look at a running task, for progress lines, metrics, and later for the console.
struct Progress {
  std::string state;   // "starting", "running", "retrying", "stopping"
  std::string reason;  // of retrying
  sink::Tally tally;   // since this process began
  std::int64_t batches = 0;
  std::int64_t bytes = 0;
  int lanes = 0;
  int partitions = 0;
  std::int64_t lag = -1;       // messages up to the end last seen, over all partitions; -1: unknown
  std::int64_t total = -1;     // messages to apply, with until_end; -1 without
  double rows_per_second = 0;  // of the last seconds
  std::int64_t failed_message = 0, failed_data = 0;  // of discarded and dead: who refused them
  std::int64_t connects = 0;                         // sessions of PostgreSQL opened by lanes
  std::int64_t alterations = 0;                      // statements that altered the target
  TimeHistogram commit_seconds;
  TimeHistogram latency_seconds;
  // All partitions of the task, also those that other processes have; nullptr until it was looked.
  std::shared_ptr<const std::map<ledger::Key, PartitionLag>> partition_lags;
  std::chrono::milliseconds elapsed{0};
};

struct RunOptions {
  bool until_end = false;
  OpenOptions open;
  std::string instance;                              // names this process to others: host and pid
  std::function<void(const Progress&)> on_progress;  // a few times a second, on the caller's thread
};

// Exit codes of `sluice run` (design, section 14).
enum class RunEnd : std::uint8_t {
  kApplied = 0,
  kFailed = 1,
  kBadDocument = 2,
  kHalted = 3,
  kStopped = 4,  // by the signal; the command line makes 130 or 143 of it
};

struct RunReport {
  RunEnd end = RunEnd::kFailed;
  std::vector<Error> errors;  // kFailed, kBadDocument, kHalted: why
  // kHalted: where. The excerpt is a piece of the message: for people, never for logs.
  ledger::Key halt_key;
  std::int64_t halt_offset = -1;
  std::string halt_excerpt;
  Progress figures;  // the last ones
  // From the first message taken from Kafka to the last commit.
  std::optional<double> first_to_last_seconds;
  std::optional<std::chrono::system_clock::time_point> first_message_at, last_commit_at;
  std::int64_t resident_bytes_peak = 0;
};

// Blocks until the task has ended. Signals are the caller's: it makes `stop` readable.
RunReport run(const TaskSource& source, const RunOptions& options, StopSignal stop);

}  // namespace sluice::pipeline
