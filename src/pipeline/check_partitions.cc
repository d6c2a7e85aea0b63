#include "pipeline/check_partitions.h"

namespace sluice::pipeline {

std::vector<Finding> judge_partitions(const task::Sync& sync, const kafka::TopicInfo& topic) {
  std::vector<Finding> findings;
  if (!sync.mirrors() || sync.keeps_history() || topic.partitions <= 1) return findings;
  if (sync.sweep != task::Sweep::kOff) {
    findings.push_back(
        {Finding::Level::kError, "topics", topic.name,
         "has several partitions, and sync.sweep goes by the order of one: the end of a snapshot "
         "will fail",
         "Give the topic one partition, or leave sync.sweep out.", false});
  }
  if (sync.on_truncate == task::OnTruncate::kApply && !sync.keeps_position()) {
    findings.push_back(
        {Finding::Level::kWarning, "topics", topic.name,
         "has several partitions: a TRUNCATE at the source will fail here, since nothing tells "
         "which rows are older",
         "Keep the source's position in a column, such as sync.metadata: {_lsn: lsn} of "
         "PostgreSQL, {_position: position} of MySQL; or set sync.on_truncate: ignore.",
         false});
  }
  return findings;
}

}  // namespace sluice::pipeline
