// rehearse: what a run would do with the next messages, found out by doing it: the real encoders,
// COPY, locks, constraints and triggers, in one transaction that is rolled back. The ledger is not
// read for locks nor moved, no dead letter is written, the group is not joined.
//
// What a rollback does not undo: sequences advance, the target's rows that it updates are locked
// meanwhile, dead rows are left for vacuum, and triggers may have done things outside.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/failure.h"
#include "base/result.h"
#include "ledger/protocol.h"
#include "pipeline/environment.h"
#include "sink/writer.h"

namespace sluice::pipeline {

struct RehearsedCause {
  std::string from;  // "message", "postgres"
  std::string code;
  std::string column;
  std::string constraint;
  std::int64_t count = 0;
  // The first of them.
  ledger::Key key;
  std::int64_t offset = -1;
  Error error;
  std::string excerpt;  // of its value: for people, never for logs
};

struct RehearsalReport {
  bool begun = false;         // the task has a ledger: messages come from its positions
  std::int64_t messages = 0;  // read
  std::int64_t waiting = 0;   // offsets from the positions to the ends
  std::int64_t ignored = 0;   // make no row
  std::int64_t failed = 0;    // cannot become a row
  sink::Apart figures;
  std::vector<RehearsedCause> causes;  // most frequent first
  // Mirror: what a run would have the table given for these messages. It is not done here: what no
  // column takes is left out, and what needs it is ignored.
  std::vector<std::string> ddl;
  double seconds = 0;  // in PostgreSQL, without reading
  // The message at which the task's own policy would have stopped it, and why.
  std::optional<Error> stopped_by;
  ledger::Key stop_key;
  std::int64_t stop_offset = -1;
  // Why the rehearsal itself ended early: what was done until then stands above. With the class
  // that a run would give it.
  std::optional<Error> error;
  FailureClass error_class = FailureClass::kFatal;
  std::vector<std::string> holders;  // after a lock timeout: sessions that hold the table
};

Result<RehearsalReport> rehearse(const TaskSource& source, std::int64_t count, bool from_start,
                                 StopSignal stop);

}  // namespace sluice::pipeline
