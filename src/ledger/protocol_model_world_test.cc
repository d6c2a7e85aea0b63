// The steps of the model in protocol_model.h: what a server, two workers and an operator can do,
// and what can go wrong.
#include <algorithm>

#include "base/result.h"
#include "ledger/protocol_model.h"

namespace sluice::ledger::model {
namespace {

bool waits_for_client(const Backend& backend) {
  return backend.phase == Phase::kLocked || backend.phase == Phase::kWriting;
}

}  // namespace

std::int16_t Lanes::intern(const LaneProtocol& lane) {
  const auto [entry, is_new] = index_.try_emplace(lane, static_cast<std::int16_t>(states_.size()));
  if (is_new) states_.push_back(&entry->first);
  SLUICE_CHECK(states_.size() < 32'000);
  return entry->second;
}

void Lanes::compare(const LaneProtocol& lane, const Decision& decision) {
  decisions_.emplace(decision.kind, decision.verdict);
  for (const auto& [key, position] : decision.positions) {
    disagreed_ = disagreed_ || lane.position(key) != position;
  }
}

World Model::first() const {
  World world;
  world.left = setting_;
  world.clock = world.revisions = 1;
  world.database.epoch = world.database.revision = 1;
  for (int p = 0; p < setting_.partitions; ++p) {
    world.database.ledger[p] = {true, 0, 1};
    world.owner[p] = static_cast<std::int8_t>(p % kWorkers);
  }
  return world;
}

void Model::add(std::vector<Step>& out, const char* label, int worker, int partition,
                const World& world, const char* violation) const {
  if (violation == nullptr) violation = broken_invariant(world.database);
  if (violation == nullptr && lanes_.disagreed()) {
    violation = "a decision and the lane's positions differ";
  }
  out.push_back({label, static_cast<std::int8_t>(worker), static_cast<std::int8_t>(partition),
                 violation, world});
}

const char* Model::broken_invariant(const Database& database) const {
  for (int p = 0; p < setting_.partitions; ++p) {
    const LedgerRow& row = database.ledger[p];
    if (!row.exists) continue;
    for (int offset = 0; offset < setting_.messages; ++offset) {
      const std::int8_t times = database.applied[p][offset];
      if (offset < row.next && times == 0) return "an offset below the position is not applied";
      if (offset < row.next && times > 1) return "an offset is applied twice";
      if (offset >= row.next && times > 0) return "an offset beyond the position is applied";
    }
  }
  return nullptr;
}

void Model::steps(const World& world, std::vector<Step>& out) {
  server_steps(world, out);
  operator_steps(world, out);
  for (int worker = 0; worker < kWorkers; ++worker) {
    worker_steps(world, worker, out);
    idle_step(world, worker, out);
  }
  fault_steps(world, out);
}

// ---- the server

bool Model::is_locked(const World& world, int partition) const {
  const auto locks = [&](const Backend& backend) { return has(backend.rows_locked, partition); };
  return std::any_of(world.backends.begin(), world.backends.end(), locks) ||
         std::any_of(world.orphans.begin(), world.orphans.end(), locks);
}

bool Model::is_shared(const World& world) const {
  const auto shares = [](const Backend& backend) { return backend.has_share; };
  return std::any_of(world.backends.begin(), world.backends.end(), shares) ||
         std::any_of(world.orphans.begin(), world.orphans.end(), shares);
}

void Model::server_steps(const World& world, std::vector<Step>& out) const {
  for (int slot = 0; slot < kMaxOrphans; ++slot) {
    if (world.orphans[slot].phase == Phase::kDoomed) {
      World next = world;
      next.orphans[slot] = {};
      add(out, "the server notices that a client is gone", -1, -1, next);
    }
  }
  for (int slot = 0; slot < kWorkers + kMaxOrphans; ++slot) commit_steps(world, slot, out);
  for (int worker = 0; worker < kWorkers; ++worker) lock_step(world, worker, out);
}

void Model::lock_step(const World& world, int worker, std::vector<Step>& out) const {
  const Backend& backend = world.backends[worker];
  if (backend.phase == Phase::kWantsTask && !world.change_has_task) {
    World next = world;
    next.backends[worker].has_share = true;
    next.backends[worker].phase = Phase::kWantsRows;
    add(out, "task row locked for", worker, -1, next);
  }
  if (backend.phase == Phase::kWantsRows) {
    for (int p = 0; p < setting_.partitions; ++p) {
      if (has(backend.batch, p) && is_locked(world, p)) return;
    }
    World next = world;
    next.backends[worker].rows_locked = backend.batch;
    next.backends[worker].phase = Phase::kLocked;
    add(out, "ledger rows locked for", worker, -1, next);
  }
}

// Slots: the workers' backends, then the orphans.
void Model::commit_steps(const World& world, int slot, std::vector<Step>& out) const {
  const bool attached = slot < kWorkers;
  const Backend backend = attached ? world.backends[slot] : world.orphans[slot - kWorkers];
  if (backend.phase != Phase::kCommitting) return;
  const int worker = attached ? slot : -1;
  const auto end = [&](World& next, bool committed) {
    Backend& ended = attached ? next.backends[slot] : next.orphans[slot - kWorkers];
    ended = {};
    if (attached) ended.phase = Phase::kAnswered;
    ended.committed = attached && committed;
  };
  World committed = world;
  const char* violation = commit(committed, backend, true);
  end(committed, true);
  add(out, attached ? "commit of" : "commit of a lost client", worker, -1, committed, violation);
  if (world.left.failed_commits > 0) {
    World rolled_back = world;
    --rolled_back.left.failed_commits;
    if (mutation_ == Mutation::kRowsApartFromLedger) commit(rolled_back, backend, false);
    end(rolled_back, false);
    add(out, attached ? "ROLLBACK answered to" : "rollback of a lost client", worker, -1,
        rolled_back);
  }
}

const char* Model::commit(World& world, const Backend& backend, bool move) const {
  Database& database = world.database;
  const char* violation = nullptr;
  if (backend.revision != database.revision) {
    violation = "a batch of an older epoch committed after the raise had returned";
  }
  for (int p = 0; p < setting_.partitions; ++p) {
    if (!has(backend.batch, p)) continue;
    LedgerRow& row = database.ledger[p];
    if (!row.exists) violation = "rows were written although their ledger row is lost";
    for (std::int8_t offset = backend.from[p]; offset < backend.to[p]; ++offset) {
      ++database.applied[p][static_cast<std::size_t>(offset)];
    }
    if (move) row = {true, backend.to[p], database.epoch};
  }
  return violation;
}

void Model::operator_steps(const World& world, std::vector<Step>& out) const {
  World next = world;
  if (world.change != Change::kNone) {
    if (!world.change_has_task) {
      if (is_shared(world)) return;
      next.change_has_task = true;
      add(out, "the operator has the task row", -1, -1, next);
      return;
    }
    for (int p = 0; p < setting_.partitions; ++p) {
      if (is_locked(world, p)) return;
    }
    apply_change(next);
    add(out, world.change == Change::kReset ? "reset done" : "raise done", -1, -1, next);
    return;
  }
  if (world.left.raises > 0) {
    --next.left.raises;
    next.change = Change::kRaise;
    add(out, "the operator wants to raise the epoch", -1, -1, next);
    next = world;
  }
  if (world.left.resets > 0) {
    --next.left.resets;
    next.change = Change::kReset;
    add(out, "the operator wants to reset", -1, -1, next);
  }
}

void Model::apply_change(World& world) const {
  Database& database = world.database;
  const bool by_one = mutation_ == Mutation::kCountsEpochsByOne;
  database.epoch = static_cast<std::int8_t>((by_one ? database.epoch : world.clock) + 1);
  world.clock = std::max(world.clock, database.epoch);
  database.revision = ++world.revisions;
  for (int p = 0; p < setting_.partitions; ++p) {
    database.ledger[p].epoch = database.epoch;
    if (world.change != Change::kReset) continue;
    database.ledger[p].exists = true;
    database.ledger[p].next = 0;
    database.applied[p] = {};
  }
  world.change = Change::kNone;
  world.change_has_task = false;
}

// ---- what goes wrong

// The client of a backend is gone: the server keeps its locks until it notices, and a COMMIT that
// has arrived may still be done. False if the model has no room for one more such backend.
bool Model::orphan(World& world, int worker) {
  Backend& backend = world.backends[worker];
  if (backend.has_share) {
    const auto slot =
        std::find_if(world.orphans.begin(), world.orphans.end(),
                     [](const Backend& other) { return other.phase == Phase::kNone; });
    if (slot == world.orphans.end()) return false;
    *slot = backend;
    if (slot->phase != Phase::kCommitting) {
      const Backend doomed = *slot;
      *slot = {};
      slot->phase = Phase::kDoomed;
      slot->has_share = true;
      slot->rows_locked = doomed.rows_locked;
    }
  }
  backend = {};
  return true;
}

void Model::fault_steps(const World& world, std::vector<Step>& out) {
  for (int worker = 0; worker < kWorkers; ++worker) worker_faults(world, worker, out);
  for (int p = 0; p < setting_.partitions; ++p) {
    World next = world;
    if (world.left.handovers > 0) {
      --next.left.handovers;
      next.owner[p] = static_cast<std::int8_t>(1 - world.owner[p]);
      add(out, "the group hands over", -1, p, next);
      next = world;
    }
    if (world.left.lost_rows > 0 && world.database.ledger[p].exists && !is_locked(world, p)) {
      --next.left.lost_rows;
      next.database.ledger[p].exists = false;
      add(out, "somebody deletes the ledger row of", -1, p, next);
    }
  }
  World next = world;
  if (world.left.failovers > 0 && !world.has_snapshot) {
    next.has_snapshot = true;
    next.snapshot = world.database;
    add(out, "the standby stays behind from here", -1, -1, next);
    next = world;
  }
  const auto restart = [](World& restarted) {
    restarted.backends = {};
    restarted.orphans = {};
    restarted.change = Change::kNone;
    restarted.change_has_task = false;
  };
  if (world.left.failovers > 0 && world.has_snapshot) {
    --next.left.failovers;
    next.database = world.snapshot;
    next.has_snapshot = false;
    next.snapshot = {};
    restart(next);
    add(out, "failover to the standby", -1, -1, next);
    next = world;
  }
  if (world.left.restarts > 0) {
    --next.left.restarts;
    restart(next);
    add(out, "the server restarts", -1, -1, next);
  }
}

void Model::worker_faults(const World& world, int worker, std::vector<Step>& out) {
  const Process process = world.workers[worker].process;
  const Backend& backend = world.backends[worker];
  World next = world;
  if (process == Process::kDead) return;
  if (world.left.losses > 0 && backend.phase != Phase::kNone) {
    --next.left.losses;
    if (orphan(next, worker)) add(out, "connection lost by", worker, -1, next);
    next = world;
  }
  if (world.left.terminations > 0 && waits_for_client(backend)) {
    --next.left.terminations;
    next.backends[worker] = {};
    add(out, "pg_terminate_backend of", worker, -1, next);
    next = world;
  }
  if (world.left.crashes > 0) {
    --next.left.crashes;
    if (orphan(next, worker)) {
      next.workers[worker] = {};
      add(out, "kill -9 of", worker, -1, next);
    }
    next = world;
  }
  if (process == Process::kFrozen) {
    next.workers[worker].process = Process::kRunning;
    add(out, "SIGCONT to", worker, -1, next);
    return;
  }
  if (world.left.freezes > 0) {
    --next.left.freezes;
    next.workers[worker].process = Process::kFrozen;
    add(out, "SIGSTOP to", worker, -1, next);
    next = world;
  }
  // Revoked, and not willing to wait for the batch: the connection is dropped.
  const LaneProtocol& protocol = lane(world, worker);
  if (protocol.batch_has_revoked() && orphan(next, worker)) {
    apply(next, worker, kAbandon, [](LaneProtocol& abandoned) {
      abandoned.abandon();
      return Decision{};
    });
    add(out, "batch given up by", worker, -1, next);
  }
}

// ---- letting it run

bool Model::heal(const World& world, Step& out) {
  World calm = world;
  calm.left = {};
  calm.has_snapshot = false;
  calm.snapshot = {};
  std::vector<Step>& possible = healing_;
  possible.clear();
  server_steps(calm, possible);
  operator_steps(calm, possible);
  for (int worker = 0; worker < kWorkers; ++worker) worker_steps(calm, worker, possible);
  if (!possible.empty()) {
    out = possible.front();
    return true;
  }
  const auto running =
      std::find_if(calm.workers.begin(), calm.workers.end(),
                   [](const Worker& worker) { return worker.process == Process::kRunning; });
  if (running == calm.workers.end()) {
    calm.workers[0].process = Process::kRunning;
    out = {"SIGCONT to", 0, -1, nullptr, calm};
    return true;
  }
  for (int worker = 0; worker < kWorkers; ++worker) {
    // What end_stopped_holder() does.
    if (calm.workers[worker].process == Process::kRunning ||
        !waits_for_client(calm.backends[worker]) ||
        mutation_ == Mutation::kNeverEndsStoppedHolder) {
      continue;
    }
    calm.backends[worker] = {};
    out = {"pg_terminate_backend of the frozen", static_cast<std::int8_t>(worker), -1, nullptr,
           calm};
    return true;
  }
  for (int p = 0; p < setting_.partitions; ++p) {
    if (calm.workers[calm.owner[p]].process == Process::kRunning) continue;
    calm.owner[p] = static_cast<std::int8_t>(running - calm.workers.begin());
    out = {"the group hands over", -1, static_cast<std::int8_t>(p), nullptr, calm};
    return true;
  }
  // Only who would learn something, so that the schedule ends.
  for (int worker = 0; worker < kWorkers; ++worker) {
    if (is_out_of_date(calm, worker)) idle_step(calm, worker, possible);
  }
  if (possible.empty()) return false;
  out = possible.front();
  return true;
}

bool Model::is_out_of_date(const World& world, int worker) const {
  if (world.workers[worker].process != Process::kRunning) return false;
  const LaneProtocol& protocol = lane(world, worker);
  if (protocol.epoch() != world.database.epoch) return true;
  for (int p = 0; p < setting_.partitions; ++p) {
    const auto position = protocol.position(key_of(p));
    if (position && *position != world.database.ledger[p].next) return true;
  }
  return false;
}

bool Model::finished(const World& world) const {
  for (int p = 0; p < setting_.partitions; ++p) {
    if (!world.database.ledger[p].exists) return true;
  }
  for (int p = 0; p < setting_.partitions; ++p) {
    if (world.database.ledger[p].next != setting_.messages) return false;
  }
  return world.change == Change::kNone;
}

std::string_view Model::fingerprint(const World& world, Bytes& bytes) {
  char* end = bytes.data();
  const auto put = [&](auto value) { *end++ = static_cast<char>(value); };
  const auto put_database = [&](const Database& database) {
    put(database.epoch), put(database.revision);
    for (const LedgerRow& row : database.ledger) put(row.exists), put(row.next), put(row.epoch);
    for (const auto& partition : database.applied) {
      for (const std::int8_t times : partition) put(times);
    }
  };
  const auto put_backend = [&](const Backend& backend) {
    put(backend.phase), put(backend.committed << 2 | backend.resolving << 1 | backend.has_share);
    put(backend.rows_locked << 4 | backend.batch), put(backend.revision);
    for (int p = 0; p < kMaxPartitions; ++p) put(backend.from[p] << 4 | backend.to[p]);
  };
  put_database(world.database);
  put(world.has_snapshot);
  if (world.has_snapshot) put_database(world.snapshot);
  for (const Worker& worker : world.workers) {
    put(worker.process), put(worker.lane), put(worker.lane >> 8), put(worker.revision);
  }
  for (const Backend& backend : world.backends) put_backend(backend);
  for (const Backend& backend : world.orphans) put_backend(backend);
  for (const std::int8_t owner : world.owner) put(owner);
  put(world.change), put(world.change_has_task), put(world.clock), put(world.revisions);
  const Setting& left = world.left;
  for (const std::int8_t count : {left.handovers, left.losses, left.failed_commits, left.crashes,
                                  left.freezes, left.terminations, left.raises, left.resets,
                                  left.failovers, left.restarts, left.lost_rows}) {
    put(count);
  }
  const auto length = static_cast<std::size_t>(end - bytes.data());
  SLUICE_CHECK(length <= bytes.size());
  return {bytes.data(), length};
}

}  // namespace sluice::ledger::model
