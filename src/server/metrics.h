// The figures of running tasks in Prometheus' text format (exposition format 0.0.4).
// docs/operating.md lists them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "pipeline/run.h"

namespace sluice::server {

inline constexpr const char* kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

// Of one task, and of the process that runs it.
std::string metrics_text(const std::string& task, const pipeline::Progress& progress);
// Of the tasks of a server, by name; those of the process carry no task.
std::string metrics_text(const std::vector<std::pair<std::string, pipeline::Progress>>& tasks);

}  // namespace sluice::server
