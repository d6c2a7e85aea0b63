// Connections: checks, on threads of their own.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>

#include "base/log.h"
#include "control/connection_check.h"
#include "control/connections_state.h"

namespace sluice::control {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kMostChecks = 4;  // at once

std::string text_of(const boost::json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

// The step that failed, or nothing.
const boost::json::object* failure_in(const boost::json::array& steps) {
  for (const auto& step : steps) {
    const auto* object = step.if_object();
    if (object != nullptr && text_of(*object, "status") == "failed") return object;
  }
  return nullptr;
}

std::int64_t time_of(const boost::json::array& steps) {
  std::int64_t sum = 0;
  for (const auto& step : steps) {
    const auto& time = step.get_object().at("milliseconds");
    if (time.is_int64()) sum += time.get_int64();
  }
  return sum;
}

}  // namespace

Answer<boost::json::object> Connections::check(const Caller& /*caller*/, const std::string& id) {
  auto row = database_.transact([&](Transaction& transaction) -> Answer<Row> {
    // Reason and time of the last check stay: by them tasks know that it was ready.
    transaction.run("UPDATE connection SET status = 'checking' WHERE id = $1", {id});
    auto found = read_row(transaction, "c.id = $1", id);
    if (!found) return not_found("connection", id);
    return std::move(*found);
  });
  if (!row) return tl::unexpected(row.error());
  start_check(id, true, {});
  auto shown = show_row(*row);
  shown["steps"] = boost::json::array();
  return shown;
}

Answer<Connections::Steps> Connections::steps(const std::string& id, std::size_t from) {
  Steps steps;
  const auto rest = [&](const boost::json::array& all) {
    for (std::size_t i = from; i < all.size(); ++i) steps.steps.push_back(all[i]);
  };
  {
    const std::lock_guard lock(state_->mutex);
    const auto found = state_->checking.find(id);
    if (found != state_->checking.end()) {
      rest(found->second->steps);
      return steps;
    }
  }
  auto shown = show(id);
  if (!shown) return tl::unexpected(shown.error());
  if (shown->at("steps").is_array()) rest(shown->at("steps").get_array());
  steps.ended = true;
  steps.connection = std::move(*shown);
  return steps;
}

void Connections::start_check(const std::string& id, bool asked, std::vector<std::string> restart) {
  const std::lock_guard lock(state_->mutex);
  if (state_->stopping) return;
  auto& checking = state_->checking[id];
  if (!checking) {
    checking = std::make_shared<Checking>();
    state_->waiting.push_back(id);
    const bool more = state_->waiting.size() > static_cast<std::size_t>(state_->idle);
    if (more && state_->threads.size() < kMostChecks) {
      state_->threads.emplace_back([this] { work(); });
    }
    state_->wake.notify_one();
  }
  checking->asked = checking->asked || asked;
  checking->restart.insert(checking->restart.end(), restart.begin(), restart.end());
}

void Connections::work() {
  std::unique_lock lock(state_->mutex);
  while (true) {
    ++state_->idle;
    state_->wake.wait(lock, [&] { return state_->stopping || !state_->waiting.empty(); });
    --state_->idle;
    if (state_->stopping) return;
    const std::string id = std::move(state_->waiting.front());
    state_->waiting.pop_front();
    const auto checking = state_->checking.at(id);
    lock.unlock();
    run_check(id, *checking);
    lock.lock();
  }
}

void Connections::run_check(const std::string& id, Checking& checking) {
  const auto stopped = [&] {
    const std::lock_guard lock(state_->mutex);
    return state_->stopping;
  };
  const auto report = [&](const CheckStep& step) {
    const std::lock_guard lock(state_->mutex);
    checking.steps.push_back(json_of(step));
  };
  bool ended = false;
  while (!ended && !stopped()) {
    {
      const std::lock_guard lock(state_->mutex);
      checking.steps.clear();
    }
    const auto row = load(id);
    if (!row) break;  // deleted, or the control database is away: the house looks again
    auto open = open_row(*row);
    if (open) {
      Checked checked{std::move(*open), servers_of(row->type, row->given.parameters),
                      settings_.allowlist_ranges, text_of(row->given.parameters, "sslmode")};
      check_connection(checked, report, stopped);
    } else {
      report(
          {"secrets", "failed", 0, open.error().code, open.error().message, open.error().remedy});
    }
    if (stopped()) break;
    ended = store_check(*row, checking);
  }
  std::vector<std::string> restart;
  {
    const std::lock_guard lock(state_->mutex);
    if (ended && failure_in(checking.steps) == nullptr) restart = std::move(checking.restart);
    state_->checking.erase(id);
  }
  if (!restart_) return;
  for (const auto& task : restart) restart_(task);
}

// False if the connection was changed since `row` was read: what was found is of something else.
bool Connections::store_check(const Row& row, const Checking& checking) {
  boost::json::array steps;
  bool asked = false;
  {
    const std::lock_guard lock(state_->mutex);
    steps = checking.steps;
    asked = checking.asked;
  }
  const auto* failure = failure_in(steps);
  boost::json::value reason = nullptr;
  if (failure != nullptr) {
    reason = boost::json::object{{"step", failure->at("step")},
                                 {"code", text_of(*failure, "code")},
                                 {"message", text_of(*failure, "message")},
                                 {"remedy", text_of(*failure, "remedy")}};
  }
  auto stored = database_.transact([&](Transaction& transaction) -> Answer<bool> {
    const auto now = read_row(transaction, "c.id = $1 FOR UPDATE", row.id);
    if (!now) return not_found("connection", row.id);
    if (now->version != row.version) return false;
    const bool was_ready = now->was_ready();
    const bool was_failed = !was_ready && !now->checked_at.empty();
    transaction.run(
        "UPDATE connection SET status = $2, reason = $3, steps = $4, checked_at = clock_timestamp()"
        " WHERE id = $1",
        {row.id, failure == nullptr ? "ready" : "failed",
         failure == nullptr ? Parameter() : Parameter(boost::json::serialize(reason)),
         boost::json::serialize(steps)});
    const Subject subject{"connection", row.id, row.name};
    if (failure == nullptr && (asked || !was_ready)) {
      Events::add(transaction, {"connection.ready",
                                subject,
                                fmt::format("The connection \"{}\" passed its check", row.name),
                                {{"milliseconds", time_of(steps)}}});
    } else if (failure != nullptr && (asked || !was_failed)) {
      Events::add(transaction,
                  {"connection.failed",
                   subject,
                   fmt::format("The connection \"{}\" failed at {}: {}", row.name,
                               text_of(*failure, "step"), text_of(*failure, "message")),
                   {{"step", failure->at("step")},
                    {"code", text_of(*failure, "code")},
                    {"remedy", text_of(*failure, "remedy")}}});
    }
    return true;
  });
  return stored.value_or(true);  // gone, or not to be stored now: nothing is to be done again
}

void Connections::recheck_some() {
  const auto due = database_.transact([&](Transaction& transaction)
                                          -> Answer<std::vector<std::string>> {
    const auto rows = transaction.run(
        "SELECT id FROM connection WHERE status IN ('unchecked', 'checking') OR checked_at IS NULL"
        " OR checked_at < now() - $1::interval ORDER BY checked_at NULLS FIRST, id LIMIT 4",
        {fmt::format("{} minutes", settings_.connection_check.count())});
    std::vector<std::string> ids;
    for (int row = 0; row < rows.size(); ++row) ids.emplace_back(rows.text(row, 0));
    return ids;
  });
  if (!due) return;
  for (const auto& id : *due) start_check(id, false, {});
}

void Connections::stop() {
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    threads = std::move(state_->threads);
    state_->threads.clear();
    state_->wake.notify_all();
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace sluice::control
