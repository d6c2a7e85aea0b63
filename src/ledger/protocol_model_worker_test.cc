// The workers of the model in protocol_model.h: each drives a real LaneProtocol, one step at a
// time.
#include <algorithm>

#include "base/result.h"
#include "ledger/protocol_model.h"

namespace sluice::ledger::model {
namespace {

std::uint64_t name_of_row(const Found& row) {
  return static_cast<std::uint64_t>(row.exists) << 7 |
         static_cast<std::uint64_t>(row.next_offset) << 5 | static_cast<std::uint64_t>(row.epoch);
}

}  // namespace

const LaneProtocol& Model::lane(const World& world, int worker) const {
  return lanes_.at(world.workers[worker].lane);
}

const char* Model::apply(World& world, int worker, std::uint64_t event,
                         Decision (*call)(LaneProtocol&)) {
  const std::vector<Range>& batch = lane(world, worker).batch();
  const auto& outcome = lanes_.apply(world.workers[worker].lane, event, call);
  world.workers[worker].lane = outcome.lane;
  return outcome.decision.kind == Decision::Kind::kDone ? false_claim(world, worker, batch)
                                                        : nullptr;
}

// What a lane calls done is reported, committed to the group, and may end the process: it must be
// so, unless an operator or a failover has changed the ledger since.
const char* Model::false_claim(const World& world, int worker,
                               const std::vector<Range>& batch) const {
  if (world.workers[worker].revision != world.database.revision) return nullptr;
  for (const Range& range : batch) {
    const LedgerRow& row = world.database.ledger[range.key.partition];
    if (row.exists && row.next < range.to) return "a lane takes for applied what is not";
  }
  return nullptr;
}

void Model::worker_steps(const World& world, int worker, std::vector<Step>& out) {
  if (world.workers[worker].process == Process::kDead) {
    World next = world;
    next.workers[worker].process = Process::kRunning;
    start_lane(next, worker);
    add(out, "start of", worker, -1, next);
  }
  if (world.workers[worker].process != Process::kRunning) return;
  lane_steps(world, worker, out);
  if (lane(world, worker).state() != State::kStopped) assignment_steps(world, worker, out);
}

void Model::start_lane(World& world, int worker) {
  world.workers[worker].lane = lanes_.start(world.database.epoch);
  world.workers[worker].revision = world.database.revision;
}

void Model::lane_steps(const World& world, int worker, std::vector<Step>& out) {
  World next = world;
  const Backend& backend = world.backends[worker];
  const State state = lane(world, worker).state();
  const bool gone = backend.phase == Phase::kNone;
  switch (state) {
    case State::kIdle:
      begin_steps(world, worker, out);
      return;
    case State::kStopped: {
      // Fenced, or the database went back: the task is read again. A lost row waits for a person.
      LaneProtocol stopped = lane(world, worker);
      const auto& ledger = world.database.ledger;
      const bool whole = std::all_of(ledger.begin(), ledger.begin() + setting_.partitions,
                                     [](const LedgerRow& row) { return row.exists; });
      if (stopped.connection_lost().verdict == Verdict::kLost && !whole) return;
      start_lane(next, worker);
      add(out, "the task is read again by", worker, -1, next);
      return;
    }
    case State::kInDoubt:
      if (gone) {
        Backend& fresh = next.backends[worker];
        fresh.phase = Phase::kWantsTask;
        fresh.resolving = true;
        for (const Range& range : lane(world, worker).batch()) {
          fresh.batch = static_cast<std::int8_t>(fresh.batch | bit(range.key.partition));
        }
        add(out, "in doubt, reconnects:", worker, -1, next);
      } else if (backend.phase == Phase::kLocked) {
        const char* violation = receive_rows(next, worker);
        add(out, "doubt resolved by", worker, -1, next, violation);
      }
      return;
    case State::kLocking:
    case State::kWriting:
    case State::kCommitting:
      break;
  }
  if (gone) {
    const char* violation = notice_loss(next, worker);
    add(out, "loss of its connection noticed by", worker, -1, next, violation);
  } else if (state == State::kLocking && backend.phase == Phase::kLocked) {
    const char* violation = receive_rows(next, worker);
    add(out, "locked rows judged by", worker, -1, next, violation);
  } else if (state == State::kWriting) {
    write_and_commit(next, worker);
    add(out, "rows, ledger and COMMIT sent by", worker, -1, next);
  } else if (backend.phase == Phase::kAnswered) {
    const char* violation = receive_answer(next, worker);
    add(out, "answer to COMMIT read by", worker, -1, next, violation);
  }
}

void Model::begin_steps(const World& world, int worker, std::vector<Step>& out) {
  int ready = 0;
  for (int p = 0; p < setting_.partitions; ++p) {
    const auto position = lane(world, worker).position(key_of(p));
    if (!position || *position >= setting_.messages) continue;
    ready |= bit(p);
    World next = world;
    begin(next, worker, bit(p), Amount::kOneMessage);
    add(out, "a batch of one message begun by", worker, p, next);
  }
  if (ready == 0) return;
  World next = world;
  begin(next, worker, ready, Amount::kEverything);
  add(out, "a batch of everything begun by", worker, -1, next);
}

// A lane that has nothing to write still looks at its ledger rows now and then (a batch whose
// ranges are empty): else it would never learn of a reset, or of a database that went back in time.
void Model::idle_step(const World& world, int worker, std::vector<Step>& out) {
  if (world.workers[worker].process != Process::kRunning) return;
  if (lane(world, worker).state() != State::kIdle) return;
  int assigned = 0;
  for (int p = 0; p < setting_.partitions; ++p) {
    const auto position = lane(world, worker).position(key_of(p));
    if (position && *position < setting_.messages) return;
    if (position) assigned |= bit(p);
  }
  if (assigned == 0) return;
  World next = world;
  begin(next, worker, assigned, Amount::kNothing);
  add(out, "an idle look begun by", worker, -1, next);
}

void Model::begin(World& world, int worker, int partitions, Amount amount) {
  Backend& backend = world.backends[worker];
  backend = {};
  backend.phase = Phase::kWantsTask;
  backend.revision = world.workers[worker].revision;
  std::vector<Range> batch;
  std::uint64_t name = kBegin;
  for (int p = 0; p < setting_.partitions; ++p) {
    name = name << 4;
    if (!has(static_cast<std::int8_t>(partitions), p)) continue;
    const std::int64_t from = *lane(world, worker).position(key_of(p));
    const std::int64_t to = amount == Amount::kEverything   ? setting_.messages
                            : amount == Amount::kOneMessage ? from + 1
                                                            : from;
    name |= static_cast<std::uint64_t>(to) << 1 | 1U;
    batch.push_back({key_of(p), from, to});
    backend.batch = static_cast<std::int8_t>(backend.batch | bit(p));
    backend.from[p] = static_cast<std::int8_t>(from);
    backend.to[p] = static_cast<std::int8_t>(to);
  }
  const auto call = [&batch](LaneProtocol& protocol) {
    protocol.begin(batch);
    return Decision{};
  };
  world.workers[worker].lane = lanes_.apply(world.workers[worker].lane, name << 4, call).lane;
}

void Model::assignment_steps(const World& world, int worker, std::vector<Step>& out) {
  for (int p = 0; p < setting_.partitions; ++p) {
    const bool has_it = lane(world, worker).position(key_of(p)).has_value();
    const bool owns_it = world.owner[p] == worker;
    if (has_it == owns_it) continue;
    World next = world;
    std::int16_t& state = next.workers[worker].lane;
    if (owns_it) {
      const LedgerRow& row = world.database.ledger[p];
      const Found found{key_of(p), row.exists, row.next, row.epoch};
      const std::uint64_t name = (name_of_row(found) << 1 | static_cast<unsigned>(p)) << 8;
      state = lanes_
                  .apply(state, name << 4 | kAssigned,
                         [&](LaneProtocol& protocol) { return protocol.assigned(found); })
                  .lane;
      // A lane that stops here drops what it has in flight.
      if (lanes_.at(state).state() == State::kStopped && !orphan(next, worker)) continue;
      add(out, "assignment taken by", worker, p, next);
    } else {
      state = lanes_
                  .apply(state, static_cast<std::uint64_t>(p) << 4 | kRevoked,
                         [&](LaneProtocol& protocol) {
                           protocol.revoked(key_of(p));
                           return Decision{};
                         })
                  .lane;
      add(out, "revocation seen by", worker, p, next);
    }
  }
}

// The rows are those under the locks that the backend holds, so they are still as they were read.
const char* Model::receive_rows(World& world, int worker) {
  Backend& backend = world.backends[worker];
  const std::int64_t own_epoch = lane(world, worker).epoch();
  const bool blind_to_epochs = mutation_ == Mutation::kIgnoresEpochs;
  const std::int64_t task_epoch = blind_to_epochs ? own_epoch : world.database.epoch;
  std::vector<Found> rows;
  std::uint64_t name = static_cast<std::uint64_t>(task_epoch);
  for (int p = 0; p < setting_.partitions; ++p) {
    name <<= 8;
    if (!has(backend.batch, p)) continue;
    const LedgerRow& row = world.database.ledger[p];
    Found found{key_of(p), row.exists, row.next, blind_to_epochs ? own_epoch : row.epoch};
    const bool invented = mutation_ == Mutation::kRecreatesLostRows && !row.exists;
    if (invented) found = {key_of(p), true, 0, own_epoch};
    if (!backend.resolving && (mutation_ == Mutation::kSkipsPositionCheck || invented)) {
      found.next_offset = std::int64_t{backend.from[p]};
    }
    name |= name_of_row(found);
    rows.push_back(found);
  }
  const bool resolving = backend.resolving;
  const std::vector<Range>& batch = lane(world, worker).batch();
  const auto& outcome = lanes_.apply(
      world.workers[worker].lane, name << 4 | (resolving ? kResolved : kRows),
      [&](LaneProtocol& protocol) {
        return resolving ? protocol.resolved(task_epoch, rows) : protocol.locked(task_epoch, rows);
      });
  world.workers[worker].lane = outcome.lane;
  const Decision::Kind kind = outcome.decision.kind;
  if (kind == Decision::Kind::kGo) {
    backend.phase = Phase::kWriting;
  } else {
    backend = {};
  }
  return kind == Decision::Kind::kDone ? false_claim(world, worker, batch) : nullptr;
}

void Model::write_and_commit(World& world, int worker) {
  apply(world, worker, kCommitSent, [](LaneProtocol& protocol) {
    protocol.commit_sent();
    return Decision{};
  });
  world.backends[worker].phase = Phase::kCommitting;
}

const char* Model::take_answer(World& world, int worker, bool committed) {
  if (committed) {
    return apply(world, worker, 1ULL << 4 | kAnswer, [](LaneProtocol& protocol) {
      return protocol.commit_answered(CommitAnswer::kCommitted);
    });
  }
  return apply(world, worker, kAnswer, [](LaneProtocol& protocol) {
    return protocol.commit_answered(CommitAnswer::kRolledBack);
  });
}

const char* Model::receive_answer(World& world, int worker) {
  const bool committed =
      world.backends[worker].committed || mutation_ == Mutation::kCountsRollbackAsCommit;
  world.backends[worker] = {};
  return take_answer(world, worker, committed);
}

const char* Model::notice_loss(World& world, int worker) {
  const bool committing = lane(world, worker).state() == State::kCommitting;
  if (committing && mutation_ == Mutation::kAssumesCommitWhenInDoubt) {
    return take_answer(world, worker, true);
  }
  if (committing && mutation_ == Mutation::kRetriesWhenInDoubt) {
    return take_answer(world, worker, false);
  }
  return apply(world, worker, kLost,
               [](LaneProtocol& protocol) { return protocol.connection_lost(); });
}

}  // namespace sluice::ledger::model
