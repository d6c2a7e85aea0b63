// SampleReader: the first messages behind given positions, read beside the group that may be
// running the task. For preview, rehearse and verify. Blocking; one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "base/result.h"
#include "kafka/consumer.h"
#include "ledger/ledger.h"
#include "pipeline/environment.h"
#include "pipeline/positions.h"

namespace sluice::pipeline {

class SampleReader {
 public:
  // Reads from `from` up to the ends that `watermarks` name: what is produced later is not looked
  // at. Partitions without watermarks are left out.
  static Result<SampleReader> create(const TaskSource& source, const Positions& from,
                                     const AllWatermarks& watermarks);

  // Takes at most `limit` more records, of each partition in order and of all of them about equally
  // many, and at most `each` of one partition; no more once about `bytes` of them came. The records
  // are gone when the reader is: `take` may keep them until then. Returns how many came; none only
  // at the ends, or when the stop came. Error when nothing comes for 20 s although the ends are not
  // reached.
  Result<std::int64_t> read(
      std::int64_t limit, std::int64_t each, std::int64_t bytes,
      const std::function<void(const ledger::Key& key, kafka::Record record)>& take,
      StopSignal stop);

 private:
  struct Share {
    std::int64_t next = 0;
    std::int64_t end = 0;
    std::int64_t taken = 0;  // of this read()
  };
  explicit SampleReader(std::unique_ptr<kafka::Consumer> consumer)
      : consumer_(std::move(consumer)) {}
  Result<std::int64_t> poll(const ledger::Key& key, Share& share, std::int64_t limit,
                            const std::function<void(const ledger::Key&, kafka::Record)>& take);

  std::unique_ptr<kafka::Consumer> consumer_;
  std::map<ledger::Key, Share> shares_;
  std::int64_t bytes_ = 0;  // of this read()
  std::int64_t chunk_ = 1;  // how many are taken at once: about a megabyte
};

}  // namespace sluice::pipeline
