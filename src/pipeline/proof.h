// Whether a topic still is the one whose messages were applied, where its id does not say so: it
// has another id (deleted and created again, or brought back from a backup or a mirror), or the
// broker has no ids (before Kafka 2.8). Blocking; reads one record of each partition, beside the
// group.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "kafka/admin.h"
#include "ledger/ledger.h"
#include "pipeline/environment.h"
#include "pipeline/positions.h"

namespace sluice::pipeline {

struct Proof {
  // What shows that it is another topic, or was cut short; empty if nothing does.
  std::string against;
  // Partitions whose last applied record is there as it was: offset, timestamp and CRC-32C.
  int partitions = 0;
};

// Judges each row that has a last_offset: by that record; if it is gone (compaction, retention), by
// the timestamp of the first one behind it, which must not be older; if nothing is left, by the end
// of the log, which must be the position.
Result<Proof> prove(const TaskSource& source, const kafka::TopicInfo& topic,
                    const std::vector<ledger::LedgerRow>& rows, const AllWatermarks& watermarks);

}  // namespace sluice::pipeline
