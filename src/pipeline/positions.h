// Where a task begins, and what else an opening and a look at a task ask the servers for.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "kafka/admin.h"
#include "ledger/ledger.h"
#include "postgres/connection.h"
#include "postgres/encode_zone.h"
#include "task/task.h"

namespace sluice::pipeline {

using Positions = std::map<ledger::Key, std::int64_t>;
using AllWatermarks = std::map<ledger::Key, kafka::Watermarks>;

// Every partition that the topics have now, and its low and end.
std::vector<kafka::TopicPartition> partitions_of(const std::vector<kafka::TopicInfo>& topics);
Result<AllWatermarks> read_watermarks(kafka::Admin& admin,
                                      const std::vector<kafka::TopicInfo>& topics);

// `marks` were read before `next`, and another process may have gone on meanwhile: asks for the end
// again if the position is beyond it.
Result<bool> catch_up(kafka::Admin& admin, const ledger::Key& key, std::int64_t next,
                      kafka::Watermarks& marks);

// What `source.start` means now, for every partition. Errors of domain kDocument: offsets that do
// not name every partition, name one that is not there, or lie outside the log; a group that Kafka
// does not know, or that has committed nothing for a partition with records.
Result<Positions> start_positions(kafka::Admin& admin, const task::Task& task,
                                  const std::vector<kafka::TopicInfo>& topics,
                                  const AllWatermarks& watermarks);

// With `source.start: {group: NAME}`: how many members that group has now. What it has committed is
// about to change as long as there are any. 0 with any other start.
Result<int> members_of_start_group(kafka::Admin& admin, const task::Task& task);
// Why a task may not begin behind a group that has members: no fault of the document's.
Error start_group_at_work(const task::Task& task, int members);

// The server's own rules of a time zone (its tzdata may be another than this machine's); nullptr
// for UTC.
Result<std::shared_ptr<const postgres::TimeZone>> read_zone(postgres::Connection& connection,
                                                            const std::string& name);

}  // namespace sluice::pipeline
