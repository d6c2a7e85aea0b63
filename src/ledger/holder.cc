// Ending a frozen process's transaction, and nobody else's.
#include <fmt/format.h>

#include "ledger/statements.h"

namespace sluice::ledger {
namespace {

struct Holder {
  std::string pid;
  std::string backend_start;  // with the pid: this session, not a later one of the same pid
  std::string xact_start;     // this transaction
  std::string application_name;
  std::string role;
  bool is_visible = false;  // whether we may see what it does
  // Waits for its client, in a transaction older than 4 s; and between two statements since more
  // than 1 s (in mid COPY, where it counts as active, no time tells).
  bool is_stuck = false;
};

// Before 9.6 nobody can tell whether a backend in mid COPY waits for its client: then it counts
// only between two statements.
constexpr std::string_view kWaitsForClient =
    "coalesce((pg_catalog.row_to_json(a) ->> 'wait_event_type') || '/'"
    " || (pg_catalog.row_to_json(a) ->> 'wait_event') = 'Client/ClientRead',"
    " a.state LIKE 'idle in transaction%')";

// The transactions that hold a ledger row: xmax of a locked row is the id of its locker (ours are
// FOR UPDATE alone, so never a multixact), and pg_locks tells whose that id is. Timestamps as text
// with all digits, whatever DateStyle and TimeZone are.
std::string select_holders(const Handle& handle, const std::vector<Key>& keys) {
  return fmt::format(
      "SELECT DISTINCT a.pid, extract(epoch FROM a.backend_start)::numeric(20, 6),"
      " extract(epoch FROM a.xact_start)::numeric(20, 6), coalesce(a.application_name, ''),"
      " coalesce(a.usename::text, ''), a.state IS NOT NULL,"
      " coalesce({0} AND a.xact_start < pg_catalog.clock_timestamp() - interval '4 s'"
      " AND (a.state = 'active' OR a.state_change < pg_catalog.clock_timestamp() - interval '1 s'),"
      " false)"
      " FROM {1} AS l JOIN pg_catalog.pg_locks k ON k.locktype = 'transactionid' AND k.granted"
      " AND k.transactionid = l.xmax JOIN pg_catalog.pg_stat_activity a ON a.pid = k.pid"
      " WHERE l.task = {2} AND {3} AND a.pid <> pg_catalog.pg_backend_pid()",
      kWaitsForClient, sql::table(handle.schema, "ledger"), sql::literal(handle.task),
      sql::among(keys));
}

std::vector<Holder> read_holders(const postgres::Rows& rows) {
  std::vector<Holder> holders(static_cast<std::size_t>(rows.size()));
  for (int i = 0; i < rows.size(); ++i) {
    Holder& holder = holders[static_cast<std::size_t>(i)];
    holder.pid = rows.text(i, 0);
    holder.backend_start = rows.text(i, 1);
    holder.xact_start = rows.text(i, 2);
    holder.application_name = rows.text(i, 3);
    holder.role = rows.text(i, 4);
    holder.is_visible = rows.boolean(i, 5);
    holder.is_stuck = rows.boolean(i, 6);
  }
  return holders;
}

bool is_of_task(const Holder& holder, const Handle& handle) {
  return holder.application_name.starts_with(application_name(handle, ""));
}

tl::unexpected<Error> not_permitted(const Holder& holder, const std::string& role,
                                    std::string_view what) {
  const std::string grantee = postgres::Connection::identifier(role);
  Error error;
  error.domain = Domain::kPostgres;
  error.code = "42501";
  error.severity = "ERROR";
  error.message = fmt::format(
      "session {} of role \"{}\" ({}) holds ledger rows of this task, and role \"{}\" may not {}",
      holder.pid, holder.role, holder.application_name, role, what);
  error.remedy = fmt::format(
      "As a superuser: GRANT pg_signal_backend, pg_read_all_stats TO {}; or run all processes of"
      " the task as one role; or end the session: SELECT pg_terminate_backend({});",
      grantee, holder.pid);
  return fail(std::move(error));
}

// Terminates `holder` if it is still that session, in that transaction, waiting for its client.
std::string terminate(const Holder& holder) {
  return fmt::format(
      "SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a"
      " WHERE a.pid = {} AND extract(epoch FROM a.backend_start)::numeric(20, 6) = {}"
      " AND extract(epoch FROM a.xact_start)::numeric(20, 6) = {} AND {}",
      holder.pid, holder.backend_start, holder.xact_start, kWaitsForClient);
}

bool same_transaction(const Holder& a, const Holder& b) {
  return a.pid == b.pid && a.backend_start == b.backend_start && a.xact_start == b.xact_start;
}

// Those of `before` that are stuck in `now` too.
std::vector<Holder> still_stuck(const std::vector<Holder>& before, const std::vector<Holder>& now) {
  std::vector<Holder> stuck;
  for (const Holder& holder : before) {
    for (const Holder& other : now) {
      if (same_transaction(holder, other) && other.is_stuck) stuck.push_back(holder);
    }
  }
  return stuck;
}

}  // namespace

Async<Result<bool>> end_stopped_holder(postgres::Connection& connection, Handle handle,
                                       std::vector<Key> keys) {
  SLUICE_CHECK(handle.uid.size() >= 16);
  const std::string look = select_holders(handle, keys);
  auto first = connection.query(sql::own_timeouts() + "SELECT current_user;" + look);
  auto rows = co_await first;
  if (!rows) co_return fail(std::move(rows.error()));
  const std::string role((*rows)[1].text(0, 0));
  std::vector<Holder> stuck;
  for (Holder& holder : read_holders(rows->back())) {
    if (!is_of_task(holder, handle)) continue;
    if (!holder.is_visible) co_return not_permitted(holder, role, "see what it does");
    if (holder.is_stuck) stuck.push_back(std::move(holder));
  }
  // A healthy client that feeds a COPY makes its backend wait too, but not each time one looks.
  for (int looks = 0; looks < 2 && !stuck.empty(); ++looks) {
    // Two queries: within one, the view would show what it showed first.
    auto pause = connection.query(sql::own_timeouts() + "SELECT pg_catalog.pg_sleep(0.15)");
    auto paused = co_await pause;
    if (!paused) co_return fail(std::move(paused.error()));
    auto again = connection.query(sql::own_timeouts() + look);
    auto later = co_await again;
    if (!later) co_return fail(std::move(later.error()));
    stuck = still_stuck(stuck, read_holders(later->back()));
  }
  bool ended_one = false;
  for (const Holder& holder : stuck) {
    auto ending = connection.query(sql::own_timeouts() + terminate(holder));
    auto ended = co_await ending;
    if (!ended && ended.error().code == "42501") co_return not_permitted(holder, role, "end it");
    if (!ended) co_return fail(std::move(ended.error()));
    ended_one = ended_one || (ended->back().size() == 1 && ended->back().boolean(0, 0));
  }
  co_return ended_one;
}

}  // namespace sluice::ledger
