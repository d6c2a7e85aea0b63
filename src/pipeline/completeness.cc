#include "pipeline/completeness.h"

namespace sluice::pipeline {

using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

constexpr seconds kIdlePeriod{60};

}  // namespace

Result<AllWatermarks> Completeness::look(postgres::Connection& connection, kafka::Admin& admin,
                                         const std::vector<kafka::TopicInfo>& topics) {
  // Before Kafka is asked: what is produced from then on may not be among the ends.
  auto now = connection.drive(connection.query("SELECT clock_timestamp()::text"));
  auto marks = read_watermarks(admin, topics);
  if (!marks || !now) return marks;
  Positions ends;
  for (const auto& [key, mark] : *marks) ends[key] = mark.end;
  const bool idle = !pending_ && ends == ends_;
  if (idle && steady_clock::now() - looked_at_ < kIdlePeriod) return marks;
  looked_at_ = steady_clock::now();
  ends_ = std::move(ends);
  when_ = now->front().text(0, 0);
  pending_ = true;
  return marks;
}

void Completeness::mark(postgres::Connection& connection, const ledger::Handle& handle) {
  auto marked = connection.drive(ledger::mark_complete(connection, handle, when_, ends_));
  if (marked) pending_ = *marked < static_cast<std::int64_t>(ends_.size());
}

}  // namespace sluice::pipeline
