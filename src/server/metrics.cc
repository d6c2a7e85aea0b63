#include "server/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <sstream>
#include <utility>
#include <vector>

namespace sluice::server {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

// Metrics of one task after another: every one carries its task's name, unless that is empty.
class Families {
 public:
  explicit Families(std::string task) : task_(std::move(task)) {}
  void of(std::string task) { task_ = std::move(task); }

  void counter(const char* name, const char* help, double value, Labels labels = {}) {
    add(name, help, MetricType::Counter, std::move(labels)).counter.value = value;
  }
  void gauge(const char* name, const char* help, double value, Labels labels = {}) {
    add(name, help, MetricType::Gauge, std::move(labels)).gauge.value = value;
  }
  void histogram(const char* name, const char* help, const TimeHistogram& times) {
    ClientMetric& metric = add(name, help, MetricType::Histogram, {});
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < TimeHistogram::kBounds.size(); ++i) {
      below += times.counts()[i];
      metric.histogram.bucket.push_back({below, TimeHistogram::kBounds[i]});
    }
    metric.histogram.sample_count = times.count();
    metric.histogram.sample_sum = times.sum();
  }
  std::string text() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
  ClientMetric& add(const char* name, const char* help, MetricType type, Labels labels) {
    auto family = std::find_if(families_.begin(), families_.end(),
                               [&](const MetricFamily& each) { return each.name == name; });
    if (family == families_.end()) {
      family = families_.insert(family, MetricFamily{name, help, type, {}});
    }
    if (!task_.empty()) labels.insert(labels.begin(), {"task", task_});
    ClientMetric metric;
    metric.label = std::move(labels);
    family->metric.push_back(std::move(metric));
    return family->metric.back();
  }

  std::string task_;
  std::vector<MetricFamily> families_;
};

// Linux' own figure, in pages (proc(5)); 0 where there is none.
double resident_bytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  long total = 0;
  long resident = 0;
  const int read = std::fscanf(file, "%ld %ld", &total, &resident);
  std::fclose(file);
  return read == 2 ? static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) : 0;
}

void add_task(Families& all, const pipeline::Progress& progress) {
  const auto number = [](std::int64_t value) { return static_cast<double>(value); };
  const auto& tally = progress.tally;
  for (const char* state : {"starting", "running", "retrying", "ended"}) {
    all.gauge("sluice_task_state", "1 for the state that the task is in.",
              progress.state == state ? 1 : 0, {{"state", state}});
  }
  constexpr const char* kRows = "Rows committed since the process began.";
  all.counter("sluice_rows_total", kRows, number(tally.written), {{"operation", "write"}});
  all.counter("sluice_rows_total", kRows, number(tally.deleted), {{"operation", "delete"}});
  all.counter("sluice_rows_total", kRows, number(tally.swept.value_or(0)),
              {{"operation", "sweep"}});
  all.counter("sluice_ignored_messages_total", "Messages that make no row by the task's own word.",
              number(tally.ignored));
  all.counter("sluice_incomplete_rows_total",
              "Rows that updates have made without values which the source did not send.",
              number(tally.incomplete.rows));
  constexpr const char* kFailed = "Messages that could not become rows, by who refused them.";
  all.counter("sluice_failed_messages_total", kFailed, number(progress.failed_message),
              {{"class", "message"}});
  all.counter("sluice_failed_messages_total", kFailed, number(progress.failed_data),
              {{"class", "data"}});
  constexpr const char* kHandled = "What the failure policy did with them.";
  all.counter("sluice_failures_handled_total", kHandled, number(tally.discarded),
              {{"policy", "discard"}});
  all.counter("sluice_failures_handled_total", kHandled, number(tally.dead),
              {{"policy", "deliver"}});
  all.counter("sluice_batches_total", "Transactions committed.", number(progress.batches));
  all.counter("sluice_bytes_total", "Bytes of keys and values of handled messages.",
              number(progress.bytes));
  all.counter("sluice_postgres_connects_total", "Sessions of PostgreSQL that lanes have opened.",
              number(progress.connects));
  all.counter("sluice_table_alterations_total",
              "Statements by which a mirror has made its table, or given it what messages ask for.",
              number(progress.alterations));
  all.histogram("sluice_commit_seconds", "From BEGIN to the answer to COMMIT.",
                progress.commit_seconds);
  all.histogram("sluice_latency_seconds", "From the timestamp of a message to its commit.",
                progress.latency_seconds);
  all.gauge("sluice_lanes", "Lanes of this process.", progress.lanes);
  all.gauge("sluice_assigned_partitions", "Partitions that this process has.", progress.partitions);
  if (progress.partition_lags) {
    const auto labels = [](const ledger::Key& key) {
      return Labels{{"topic", key.topic}, {"partition", std::to_string(key.partition)}};
    };
    for (const auto& [key, at] : *progress.partition_lags) {
      all.gauge("sluice_lag_offsets",
                "Offsets between the ledger and the end of the partition, looked at every 10 s.",
                number(std::max<std::int64_t>(0, at.end - at.next)), labels(key));
    }
    for (const auto& [key, at] : *progress.partition_lags) {
      all.gauge("sluice_next_offset", "The ledger's position, looked at every 10 s.",
                number(at.next), labels(key));
    }
  }
  all.gauge("sluice_uptime_seconds", "Since the run began.",
            static_cast<double>(progress.elapsed.count()) / 1000);
}

void add_process(Families& all) {
  all.gauge("sluice_resident_memory_bytes", "Resident memory of this process.", resident_bytes());
  all.gauge("sluice_build_info", "1; its label is the version.", 1, {{"version", SLUICE_VERSION}});
}

}  // namespace

std::string metrics_text(const std::string& task, const pipeline::Progress& progress) {
  Families all(task);
  add_task(all, progress);
  add_process(all);
  return all.text();
}

std::string metrics_text(const std::vector<std::pair<std::string, pipeline::Progress>>& tasks) {
  Families all("");
  for (const auto& [name, progress] : tasks) {
    all.of(name);
    add_task(all, progress);
  }
  all.of("");
  add_process(all);
  return all.text();
}

}  // namespace sluice::server
