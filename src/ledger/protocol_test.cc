#include "ledger/protocol.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace sluice::ledger {
namespace {

using Kind = Decision::Kind;

const Key kA{"orders", 0};
const Key kB{"orders", 1};
constexpr std::int64_t kEpoch = 7;

Found row(const Key& key, std::int64_t next_offset, std::int64_t epoch = kEpoch) {
  return {key, true, next_offset, epoch};
}
Found no_row(const Key& key) { return {key, false, 0, 0}; }

// A lane with A at 10 and B at 20, and the batch [10, 15) of A and [20, 22) of B, in `state`.
LaneProtocol lane_in(State state) {
  LaneProtocol lane(kEpoch);
  lane.assigned(row(kA, 10));
  lane.assigned(row(kB, 20));
  if (state == State::kIdle) return lane;
  lane.begin({{kB, 20, 22}, {kA, 10, 15}});
  if (state == State::kLocking) return lane;
  lane.locked(kEpoch, {row(kA, 10), row(kB, 20)});
  if (state == State::kWriting) return lane;
  lane.commit_sent();
  if (state == State::kCommitting) return lane;
  lane.commit_answered(CommitAnswer::kUnknown);
  return lane;
}

using Positions = std::map<Key, std::int64_t>;
void expect_at(const LaneProtocol& lane, std::optional<std::int64_t> a,
               std::optional<std::int64_t> b) {
  EXPECT_EQ(lane.position(kA), a);
  EXPECT_EQ(lane.position(kB), b);
}

TEST(LaneProtocol, AssignedTakesThePositionOfTheLedger) {
  LaneProtocol lane(kEpoch);
  EXPECT_EQ(lane.position(kA), std::nullopt);
  const Decision decision = lane.assigned(row(kA, 10));
  EXPECT_EQ(decision.kind, Kind::kGo);
  EXPECT_EQ(decision.positions, (Positions{{kA, 10}}));
  EXPECT_EQ(lane.position(kA), 10);
  EXPECT_EQ(lane.state(), State::kIdle);
}

TEST(LaneProtocol, AssignedStopsWithoutRowOrWithAnotherEpoch) {
  for (const auto& [found, verdict] :
       std::vector<std::pair<Found, Verdict>>{{no_row(kA), Verdict::kLost},
                                              {row(kA, 10, kEpoch + 1), Verdict::kFenced},
                                              {row(kA, 10, kEpoch - 1), Verdict::kGoneBack}}) {
    LaneProtocol lane(kEpoch);
    const Decision decision = lane.assigned(found);
    EXPECT_EQ(decision.kind, Kind::kStop);
    EXPECT_EQ(decision.verdict, verdict) << name_of(verdict);
    EXPECT_EQ(decision.key, kA);
    EXPECT_EQ(lane.state(), State::kStopped);
  }
}

TEST(LaneProtocol, ABatchGoesThroughToItsEnd) {
  LaneProtocol lane = lane_in(State::kIdle);
  lane.begin({{kB, 20, 22}, {kA, 10, 15}});
  EXPECT_EQ(lane.state(), State::kLocking);
  EXPECT_EQ(lane.batch().front().key, kA) << "the batch is kept in lock order";
  EXPECT_EQ(lane.locked(kEpoch, {row(kA, 10), row(kB, 20)}).kind, Kind::kGo);
  EXPECT_EQ(lane.state(), State::kWriting);
  expect_at(lane, 10, 20);
  lane.commit_sent();
  EXPECT_EQ(lane.state(), State::kCommitting);
  const Decision decision = lane.commit_answered(CommitAnswer::kCommitted);
  EXPECT_EQ(decision.kind, Kind::kDone);
  EXPECT_EQ(decision.positions, (Positions{{kA, 15}, {kB, 22}}));
  expect_at(lane, 15, 22);
  EXPECT_EQ(lane.state(), State::kIdle);
  EXPECT_TRUE(lane.batch().empty());
}

struct LockedCase {
  const char* name;
  std::int64_t task_epoch;
  std::vector<Found> rows;
  Kind kind;
  Verdict verdict;
  Key key;
  Positions positions;
};

class Locked : public testing::TestWithParam<LockedCase> {};

TEST_P(Locked, Verdict) {
  const LockedCase& example = GetParam();
  LaneProtocol lane = lane_in(State::kLocking);
  const Decision decision = lane.locked(example.task_epoch, example.rows);
  EXPECT_EQ(decision.kind, example.kind);
  EXPECT_EQ(decision.verdict, example.verdict) << name_of(decision.verdict);
  EXPECT_EQ(decision.key, example.key);
  EXPECT_EQ(decision.positions, example.positions);
  if (example.kind == Kind::kReposition) {
    EXPECT_EQ(lane.state(), State::kIdle);
    for (const auto& [key, position] : example.positions) EXPECT_EQ(lane.position(key), position);
  }
  if (example.kind == Kind::kStop) {
    EXPECT_EQ(lane.state(), State::kStopped);
    expect_at(lane, std::nullopt, std::nullopt);
    EXPECT_EQ(lane.assigned(row(kA, 10)), decision) << "a stopped lane repeats its verdict";
    EXPECT_EQ(lane.connection_lost(), decision);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, Locked,
    testing::Values(
        LockedCase{"ahead",
                   kEpoch,
                   {row(kA, 12), row(kB, 20)},
                   Kind::kReposition,
                   Verdict::kAhead,
                   kA,
                   {{kA, 12}, {kB, 20}}},
        LockedCase{"behind",
                   kEpoch,
                   {row(kA, 10), row(kB, 3)},
                   Kind::kReposition,
                   Verdict::kBehind,
                   kB,
                   {{kA, 10}, {kB, 3}}},
        LockedCase{"behind_outranks_ahead",
                   kEpoch,
                   {row(kA, 99), row(kB, 3)},
                   Kind::kReposition,
                   Verdict::kBehind,
                   kB,
                   {{kA, 99}, {kB, 3}}},
        LockedCase{"behind_first_stays",
                   kEpoch,
                   {row(kA, 1), row(kB, 99)},
                   Kind::kReposition,
                   Verdict::kBehind,
                   kA,
                   {{kA, 1}, {kB, 99}}},
        LockedCase{"newer_epoch",
                   kEpoch + 1,
                   {row(kA, 10, kEpoch + 1), row(kB, 20, kEpoch + 1)},
                   Kind::kStop,
                   Verdict::kFenced,
                   kA,
                   {}},
        LockedCase{"newer_epoch_of_a_row_alone",
                   kEpoch,
                   {row(kA, 10), row(kB, 20, kEpoch + 1)},
                   Kind::kStop,
                   Verdict::kFenced,
                   kB,
                   {}},
        LockedCase{"newer_epoch_explains_missing_rows",
                   kEpoch + 1,
                   {},
                   Kind::kStop,
                   Verdict::kFenced,
                   kA,
                   {}},
        LockedCase{"older_epoch",
                   kEpoch - 1,
                   {row(kA, 10), row(kB, 20)},
                   Kind::kStop,
                   Verdict::kGoneBack,
                   kA,
                   {}},
        LockedCase{"older_epoch_of_a_row_alone",
                   kEpoch,
                   {row(kA, 10), row(kB, 20, kEpoch - 1)},
                   Kind::kStop,
                   Verdict::kGoneBack,
                   kB,
                   {}},
        LockedCase{
            "row_missing", kEpoch, {row(kA, 10), no_row(kB)}, Kind::kStop, Verdict::kLost, kB, {}},
        LockedCase{"row_not_returned", kEpoch, {row(kB, 20)}, Kind::kStop, Verdict::kLost, kA, {}},
        LockedCase{
            "task_missing", 0, {row(kA, 10), row(kB, 20)}, Kind::kStop, Verdict::kLost, kA, {}}),
    [](const auto& test) { return test.param.name; });

TEST(LaneProtocol, RolledBackIsRetriedWithTheSameRanges) {
  LaneProtocol lane = lane_in(State::kCommitting);
  EXPECT_EQ(lane.commit_answered(CommitAnswer::kRolledBack).kind, Kind::kRetry);
  expect_at(lane, 10, 20);
  lane.begin({{kA, 10, 15}, {kB, 20, 22}});
  EXPECT_EQ(lane.state(), State::kLocking);
}

TEST(LaneProtocol, LostConnectionBeforeCommitAppliesNothing) {
  for (const State state : {State::kLocking, State::kWriting}) {
    LaneProtocol lane = lane_in(state);
    EXPECT_EQ(lane.connection_lost().kind, Kind::kRetry);
    EXPECT_EQ(lane.state(), State::kIdle);
    expect_at(lane, 10, 20);
  }
  LaneProtocol idle = lane_in(State::kIdle);
  EXPECT_EQ(idle.connection_lost().kind, Kind::kGo);
  expect_at(idle, 10, 20);
}

TEST(LaneProtocol, LostConnectionAfterCommitIsInDoubt) {
  LaneProtocol lane = lane_in(State::kCommitting);
  EXPECT_EQ(lane.connection_lost().kind, Kind::kGo);
  EXPECT_EQ(lane.state(), State::kInDoubt);
  EXPECT_EQ(lane.connection_lost().kind, Kind::kGo) << "the reconnect failed as well";
  EXPECT_EQ(lane.state(), State::kInDoubt);
  EXPECT_EQ(lane.batch().size(), 2U) << "still needed to judge";
}

TEST(LaneProtocol, InDoubtIsResolvedByTheLedger) {
  LaneProtocol committed = lane_in(State::kInDoubt);
  EXPECT_EQ(committed.resolved(kEpoch, {row(kA, 15), row(kB, 22)}).kind, Kind::kDone);
  expect_at(committed, 15, 22);

  LaneProtocol rolled_back = lane_in(State::kInDoubt);
  EXPECT_EQ(rolled_back.resolved(kEpoch, {row(kA, 10), row(kB, 20)}).kind, Kind::kRetry);
  expect_at(rolled_back, 10, 20);

  LaneProtocol moved_on = lane_in(State::kInDoubt);
  const Decision ahead = moved_on.resolved(kEpoch, {row(kA, 30), row(kB, 22)});
  EXPECT_EQ(ahead.kind, Kind::kReposition);
  EXPECT_EQ(ahead.verdict, Verdict::kAhead);
  expect_at(moved_on, 30, 22);

  LaneProtocol failed_over = lane_in(State::kInDoubt);
  const Decision behind = failed_over.resolved(kEpoch, {row(kA, 4), row(kB, 20)});
  EXPECT_EQ(behind.kind, Kind::kReposition);
  EXPECT_EQ(behind.verdict, Verdict::kBehind);
  expect_at(failed_over, 4, 20);
}

TEST(LaneProtocol, InDoubtEndsTheLaneAsAnyOtherLook) {
  EXPECT_EQ(lane_in(State::kInDoubt).resolved(kEpoch + 1, {}).verdict, Verdict::kFenced);
  EXPECT_EQ(lane_in(State::kInDoubt).resolved(kEpoch - 1, {}).verdict, Verdict::kGoneBack);
  EXPECT_EQ(lane_in(State::kInDoubt).resolved(0, {}).verdict, Verdict::kLost);
  EXPECT_EQ(lane_in(State::kInDoubt).resolved(kEpoch, {row(kA, 15)}).verdict, Verdict::kLost);
}

TEST(LaneProtocol, ACutBatchEndsWhereItWasCut) {
  LaneProtocol lane = lane_in(State::kWriting);
  lane.cut(kA, 12);
  lane.commit_sent();
  EXPECT_EQ(lane.commit_answered(CommitAnswer::kCommitted).positions,
            (Positions{{kA, 12}, {kB, 22}}));
  expect_at(lane, 12, 22);

  LaneProtocol in_doubt = lane_in(State::kWriting);
  in_doubt.cut(kA, 10);  // its very first message is bad
  in_doubt.commit_sent();
  in_doubt.connection_lost();
  EXPECT_EQ(in_doubt.resolved(kEpoch, {row(kA, 10), row(kB, 22)}).kind, Kind::kDone);
  expect_at(in_doubt, 10, 22);
}

TEST(LaneProtocol, RevokedInIdleIsForgotten) {
  LaneProtocol lane = lane_in(State::kIdle);
  lane.revoked(kA);
  lane.revoked({"never", 3});
  expect_at(lane, std::nullopt, 20);
}

TEST(LaneProtocol, RevokedInFlightIsNotMovedByTheBatch) {
  LaneProtocol lane = lane_in(State::kCommitting);
  lane.revoked(kA);
  EXPECT_TRUE(lane.batch_has_revoked());
  const Decision decision = lane.commit_answered(CommitAnswer::kCommitted);
  EXPECT_EQ(decision.kind, Kind::kDone);
  EXPECT_EQ(decision.positions, (Positions{{kB, 22}}));
  expect_at(lane, std::nullopt, 22);
  EXPECT_FALSE(lane.batch_has_revoked());
}

TEST(LaneProtocol, RevokedInFlightAndNotAppliedDropsTheBatch) {
  LaneProtocol lane = lane_in(State::kWriting);
  lane.revoked(kA);
  const Decision decision = lane.connection_lost();
  EXPECT_EQ(decision.kind, Kind::kReposition) << "A's messages are no longer ours to retry";
  EXPECT_EQ(decision.verdict, Verdict::kExpected);
  EXPECT_EQ(decision.positions, (Positions{{kB, 20}}));
  expect_at(lane, std::nullopt, 20);
}

TEST(LaneProtocol, RevokedAndAssignedAgainInFlightKeepsWhatTheConsumerWasTold) {
  LaneProtocol lane = lane_in(State::kCommitting);
  lane.revoked(kA);
  lane.assigned(row(kA, 10));  // read before the commit in flight: the consumer goes to 10
  lane.commit_answered(CommitAnswer::kCommitted);
  expect_at(lane, 10, 22);
  lane.begin({{kA, 10, 15}});  // the same messages again: seen before anything is written
  EXPECT_EQ(lane.locked(kEpoch, {row(kA, 15)}).verdict, Verdict::kAhead);
  expect_at(lane, 15, 22);
}

TEST(LaneProtocol, ARevokedPartitionMustStillMatchBeforeItsRowsAreWritten) {
  LaneProtocol lane = lane_in(State::kLocking);
  lane.revoked(kA);
  const Decision decision = lane.locked(kEpoch, {row(kA, 12), row(kB, 20)});
  EXPECT_EQ(decision.kind, Kind::kReposition);
  EXPECT_EQ(decision.positions, (Positions{{kB, 20}}));
}

TEST(LaneProtocol, InDoubtWithARevokedPartitionThatItsNewOwnerMovedOn) {
  LaneProtocol applied = lane_in(State::kInDoubt);
  applied.revoked(kA);
  EXPECT_EQ(applied.resolved(kEpoch, {row(kA, 50), row(kB, 22)}).kind, Kind::kDone);
  expect_at(applied, std::nullopt, 22);

  LaneProtocol not_applied = lane_in(State::kInDoubt);
  not_applied.revoked(kA);
  const Decision decision = not_applied.resolved(kEpoch, {row(kA, 50), row(kB, 20)});
  EXPECT_EQ(decision.kind, Kind::kReposition);
  EXPECT_EQ(decision.positions, (Positions{{kB, 20}}));

  LaneProtocol all_revoked = lane_in(State::kInDoubt);
  all_revoked.revoked(kA);
  all_revoked.revoked(kB);
  const Decision dropped = all_revoked.resolved(kEpoch, {row(kA, 50), row(kB, 20)});
  EXPECT_EQ(dropped.kind, Kind::kReposition) << "not known to be applied: never claimed to be";
  EXPECT_TRUE(dropped.positions.empty());
}

TEST(LaneProtocol, AbandonLeavesPositionsAlone) {
  for (const State state :
       {State::kLocking, State::kWriting, State::kCommitting, State::kInDoubt}) {
    LaneProtocol lane = lane_in(state);
    lane.abandon();
    EXPECT_EQ(lane.state(), State::kIdle);
    expect_at(lane, 10, 20);
  }
}

TEST(LaneProtocol, EndOnlyBatchMayBeEmpty) {
  LaneProtocol lane = lane_in(State::kIdle);
  lane.begin({{kA, 10, 10}});
  EXPECT_EQ(lane.locked(kEpoch, {row(kA, 10)}).kind, Kind::kGo);
  lane.commit_sent();
  lane.connection_lost();
  EXPECT_EQ(lane.resolved(kEpoch, {row(kA, 10)}).kind, Kind::kDone);
}

using LaneProtocolDeathTest = testing::Test;
TEST(LaneProtocolDeathTest, ImpossibleCallsEndTheProcess) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(lane_in(State::kIdle).begin({{kA, 11, 15}}), "position");
  EXPECT_DEATH(lane_in(State::kIdle).begin({{kA, 10, 9}}), "from");
  EXPECT_DEATH(lane_in(State::kIdle).begin({{{"orders", 2}, 0, 1}}), "position");
  EXPECT_DEATH(lane_in(State::kIdle).begin({{kA, 10, 11}, {kA, 10, 12}}), "key");
  EXPECT_DEATH(lane_in(State::kLocking).begin({{kA, 10, 11}}), "kIdle");
  EXPECT_DEATH(lane_in(State::kLocking).commit_sent(), "kWriting");
  EXPECT_DEATH(lane_in(State::kWriting).cut(kA, 16), "to");
}

TEST(ClassifyCommit, OnlyTheTagCommitCounts) {
  EXPECT_EQ(classify_commit("COMMIT", "", ""), CommitAnswer::kCommitted);
  EXPECT_EQ(classify_commit("ROLLBACK", "", ""), CommitAnswer::kRolledBack);
  EXPECT_EQ(classify_commit("COMMIT PREPARED", "", ""), CommitAnswer::kRolledBack);
}

TEST(ClassifyCommit, AnErrorRolledBackUnlessItMayHaveComeFromElsewhere) {
  for (const char* sqlstate : {"23503", "40001", "57014", "P0001", "22012", "53100", "25P02"}) {
    EXPECT_EQ(classify_commit("", "ERROR", sqlstate), CommitAnswer::kRolledBack) << sqlstate;
  }
  for (const char* sqlstate : {"08006", "08P01", "57P01", "57P02", "57P03", "58000", "XX000"}) {
    EXPECT_EQ(classify_commit("", "ERROR", sqlstate), CommitAnswer::kUnknown) << sqlstate;
  }
  EXPECT_EQ(classify_commit("", "FATAL", "57P01"), CommitAnswer::kUnknown);
  EXPECT_EQ(classify_commit("", "FATAL", "25P03"), CommitAnswer::kUnknown);
  EXPECT_EQ(classify_commit("", "PANIC", "53100"), CommitAnswer::kUnknown);
  EXPECT_EQ(classify_commit("", "", ""), CommitAnswer::kUnknown);
  EXPECT_EQ(classify_commit("", "ERROR", ""), CommitAnswer::kUnknown);
}

// Whatever an unlocked look says, rows are written only from the position that the lock shows.
TEST(LaneProtocol, GoesOnlyWhenEveryRowMatches) {
  EXPECT_TRUE(rc::check("kGo implies that all rows are as expected", [] {
    LaneProtocol lane = lane_in(State::kLocking);
    const auto near = [](std::int64_t centre) { return *rc::gen::inRange(centre - 1, centre + 2); };
    const std::int64_t task_epoch = near(kEpoch);
    std::vector<Found> rows;
    for (const auto& [key, position] : {std::pair{kA, 10}, std::pair{kB, 20}}) {
      rows.push_back({key, *rc::gen::weightedElement<bool>({{5, true}, {1, false}}), near(position),
                      near(kEpoch)});
    }
    const bool matches = task_epoch == kEpoch && rows[0].exists && rows[1].exists &&
                         rows[0].epoch == kEpoch && rows[1].epoch == kEpoch &&
                         rows[0].next_offset == 10 && rows[1].next_offset == 20;
    const Decision decision = lane.locked(task_epoch, rows);
    RC_ASSERT((decision.kind == Kind::kGo) == matches);
    RC_ASSERT((lane.state() == State::kWriting) == matches);
  }));
}

}  // namespace
}  // namespace sluice::ledger
