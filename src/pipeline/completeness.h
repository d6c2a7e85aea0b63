// Completeness: until when a task's target is complete, for sluice.freshness and sluice.wait_until.
//
// The argument: the target's clock is read, then Kafka is asked for the ends. Whatever was in the
// topics at that time lies below them; so once a partition's position in the ledger is there, it is
// complete until then. While Kafka cannot be asked, nothing is claimed. The supervisor's thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kafka/admin.h"
#include "ledger/ledger.h"
#include "pipeline/positions.h"
#include "postgres/connection.h"

namespace sluice::pipeline {

class Completeness {
 public:
  // Low and end of every partition as they are now, and what mark() is to compare with: once a
  // minute only, while nothing changes. `connection` is open and has a deadline.
  Result<AllWatermarks> look(postgres::Connection& connection, kafka::Admin& admin,
                             const std::vector<kafka::TopicInfo>& topics);
  // Some partitions had not reached the ends of the last look yet.
  bool pending() const { return pending_; }
  // Says in the ledger which have. Trouble is for the next time.
  void mark(postgres::Connection& connection, const ledger::Handle& handle);

 private:
  Positions ends_;    // of the last look that counts
  std::string when_;  // a time of the target's clock before it
  std::chrono::steady_clock::time_point looked_at_;
  bool pending_ = false;
};

}  // namespace sluice::pipeline
