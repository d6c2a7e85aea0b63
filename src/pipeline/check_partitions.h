// What a mirror cannot do with a topic that has several partitions.
#pragma once

#include <vector>

#include "kafka/admin.h"
#include "pipeline/check.h"
#include "task/task.h"

namespace sluice::pipeline {

std::vector<Finding> judge_partitions(const task::Sync& sync, const kafka::TopicInfo& topic);

}  // namespace sluice::pipeline
