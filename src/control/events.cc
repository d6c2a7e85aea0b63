#include "control/events.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "base/log.h"

namespace sluice::control {
namespace {

constexpr std::size_t kMostLate = 1000;

std::string now_text() {
  using namespace std::chrono;
  const auto now = floor<microseconds>(system_clock::now());
  const auto second = floor<seconds>(now);
  return fmt::format("{:%F %T}.{:06}Z", fmt::gmtime(system_clock::to_time_t(second)),
                     (now - second).count());
}

// Conditions that are joined by AND, with their parameters.
class Where {
 public:
  void add(std::string_view condition, std::string value) {
    parameters_.emplace_back(std::move(value));
    sql_ += sql_.empty() ? " WHERE " : " AND ";
    sql_ += fmt::format(fmt::runtime(condition), fmt::format("${}", parameters_.size()));
  }
  void add_if(std::string_view condition, const std::string& value) {
    if (!value.empty()) add(condition, value);
  }
  void add_if(std::string_view condition, const std::optional<std::string>& value) {
    if (value) add(condition, *value);
  }
  void add_if(std::string_view condition, const std::optional<std::int64_t>& value) {
    if (value) add(condition, std::to_string(*value));
  }
  const std::string& sql() const { return sql_; }
  Parameters take() { return std::move(parameters_); }

 private:
  std::string sql_;
  Parameters parameters_;
};

boost::json::value json_of(const postgres::Rows& rows, int row, int column) {
  if (rows.is_null(row, column)) return nullptr;
  boost::json::error_code error;
  auto value = boost::json::parse(rows.text(row, column), error);
  return error ? boost::json::value(nullptr) : value;
}

void insert(Transaction& transaction, std::string_view type, std::string_view severity,
            const Subject& subject, const std::string& message, std::string data,
            const Parameter& at) {
  // One transaction at a time, until its end: ids become visible in their order, and a stream that
  // goes on behind the last one it saw misses none.
  transaction.run("SELECT pg_advisory_xact_lock(1936487795, 'event'::regclass::oid::int)");
  transaction.run(
      "INSERT INTO event (type, severity, subject_kind, subject_id, subject_name, message, data, "
      "at)"
      " VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8::timestamptz, clock_timestamp()))",
      {std::string(type), std::string(severity), subject.kind, subject.id, subject.name, message,
       std::move(data), at});
}

}  // namespace

void Events::add(Transaction& transaction, const NewEvent& event) {
  const auto& kind = event_kind(event.type);
  insert(transaction, event.type, name_of(event.severity.value_or(kind.severity)), event.subject,
         event.message, boost::json::serialize(event.data), std::nullopt);
}

void Events::audit(Transaction& transaction, const Caller& caller, const AuditEntry& entry) {
  const auto text = [](const boost::json::value& value) {
    return value.is_null() ? Parameter() : Parameter(boost::json::serialize(value));
  };
  transaction.run(
      "INSERT INTO audit (account_id, account, token_id, address, request_id, operation, "
      "subject_id,"
      " subject, before, after) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
      {caller.account_id, caller.account,
       caller.token_id.empty() ? Parameter() : Parameter(caller.token_id), caller.address,
       caller.request_id, std::string(entry.operation), entry.subject.id, entry.subject.name,
       text(entry.before), text(entry.after)});
}

void Events::add(const NewEvent& event) {
  const auto& kind = event_kind(event.type);
  {
    const std::lock_guard lock(mutex_);
    late_.push_back({std::string(event.type),
                     std::string(name_of(event.severity.value_or(kind.severity))),
                     event.subject.kind, event.subject.id, event.subject.name, event.message,
                     boost::json::serialize(event.data), now_text()});
    if (late_.size() > kMostLate) {
      late_.pop_front();
      log::warning("an event was dropped: the control database is away for too long");
    }
  }
  flush();
}

void Events::flush() {
  const std::lock_guard lock(mutex_);  // in their order
  if (late_.empty()) return;
  auto written = database_.transact([&](Transaction& transaction) -> Answer<bool> {
    for (const auto& event : late_) {
      insert(transaction, event.type, event.severity, {event.kind, event.id, event.name},
             event.message, event.data, event.at);
    }
    return true;
  });
  if (written) late_.clear();
}

namespace {

Where where_of(const EventFilter& filter) {
  Where where;
  where.add_if("type = {}", filter.type);
  where.add_if("severity = {}", filter.severity);
  where.add_if("subject_id = {}", filter.subject_id);
  where.add_if("subject_kind = {}", filter.subject_kind);
  where.add_if("position(lower({0}) in lower(message || ' ' || subject_name || ' ' || type)) > 0",
               filter.search);
  where.add_if("at >= {}::timestamptz", filter.since);
  where.add_if("at < {}::timestamptz", filter.until);
  return where;
}

Where where_of(const AuditFilter& filter) {
  Where where;
  where.add_if("account = {}", filter.account);
  where.add_if("operation = {}", filter.operation);
  where.add_if("subject_id = {}", filter.subject_id);
  where.add_if("at >= {}::timestamptz", filter.since);
  where.add_if("at < {}::timestamptz", filter.until);
  return where;
}

// Bounded: a list's total must not cost more than its page.
Answer<std::int64_t> count_rows(Database& database, std::string_view table, Where where) {
  const std::string sql = fmt::format("SELECT count(*) FROM (SELECT 1 FROM {}{} LIMIT {}) AS found",
                                      table, where.sql(), Events::kMostCounted);
  return database.transact(
      [&, parameters = where.take()](Transaction& transaction) -> Answer<std::int64_t> {
        const auto rows = transaction.run(sql, parameters);
        return rows.size() > 0 ? rows.integer(0, 0) : 0;
      });
}

}  // namespace

Answer<std::int64_t> Events::count(const EventFilter& filter) {
  return count_rows(database_, "event", where_of(filter));
}

Answer<std::int64_t> Events::count_audit(const AuditFilter& filter) {
  return count_rows(database_, "audit", where_of(filter));
}

Answer<boost::json::object> Events::event(std::int64_t id) {
  EventFilter filter;
  filter.after_id = id - 1;
  filter.limit = 1;
  auto found = list(filter);
  if (!found) return tl::unexpected(found.error());
  if (found->empty() || found->at(0).at("id").as_int64() != id) {
    return not_found("event", std::to_string(id));
  }
  return found->at(0).as_object();
}

Answer<boost::json::array> Events::list(const EventFilter& filter) {
  Where where = where_of(filter);
  where.add_if("id < {}::bigint", filter.before_id);
  where.add_if("id > {}::bigint", filter.after_id);
  const std::string sql = fmt::format(
      "SELECT id, {}, type, severity, subject_kind, subject_id, subject_name, message, data"
      " FROM event{} ORDER BY id {} LIMIT {}",
      time_text("at"), where.sql(), filter.after_id ? "ASC" : "DESC", filter.limit);
  return database_.transact([&, parameters = where.take()](
                                Transaction& transaction) -> Answer<boost::json::array> {
    const auto rows = transaction.run(sql, parameters);
    boost::json::array events;
    for (int row = 0; row < rows.size(); ++row) {
      events.push_back(
          {{"id", rows.integer(row, 0)},
           {"at", rows.text(row, 1)},
           {"type", rows.text(row, 2)},
           {"severity", rows.text(row, 3)},
           {"subject",
            {{"kind", rows.text(row, 4)}, {"id", rows.text(row, 5)}, {"name", rows.text(row, 6)}}},
           {"message", rows.text(row, 7)},
           {"data", json_of(rows, row, 8)}});
    }
    return events;
  });
}

Answer<boost::json::array> Events::list_audit(const AuditFilter& filter) {
  Where where = where_of(filter);
  where.add_if("id < {}::bigint", filter.before_id);
  const std::string sql = fmt::format(
      "SELECT id, {}, account_id, account, token_id, address, request_id, operation, subject_id,"
      " subject, before, after FROM audit{} ORDER BY id DESC LIMIT {}",
      time_text("at"), where.sql(), filter.limit);
  return database_.transact([&, parameters = where.take()](
                                Transaction& transaction) -> Answer<boost::json::array> {
    const auto rows = transaction.run(sql, parameters);
    boost::json::array entries;
    for (int row = 0; row < rows.size(); ++row) {
      entries.push_back({{"id", rows.integer(row, 0)},
                         {"at", rows.text(row, 1)},
                         {"account_id", rows.text(row, 2)},
                         {"account", rows.text(row, 3)},
                         {"token_id", rows.is_null(row, 4) ? boost::json::value(nullptr)
                                                           : boost::json::value(rows.text(row, 4))},
                         {"address", rows.text(row, 5)},
                         {"request_id", rows.text(row, 6)},
                         {"operation", rows.text(row, 7)},
                         {"subject_id", rows.text(row, 8)},
                         {"subject", rows.text(row, 9)},
                         {"before", json_of(rows, row, 10)},
                         {"after", json_of(rows, row, 11)}});
    }
    return entries;
  });
}

Answer<std::int64_t> Events::newest_id() {
  return database_.transact([](Transaction& transaction) -> Answer<std::int64_t> {
    const auto rows = transaction.run("SELECT coalesce(max(id), 0) FROM event");
    return rows.size() > 0 ? rows.integer(0, 0) : 0;
  });
}

void Events::forget_older(std::chrono::hours events, std::chrono::hours audit) {
  (void)database_.transact([&](Transaction& transaction) -> Answer<bool> {
    transaction.run("DELETE FROM event WHERE at < now() - $1::interval",
                    {fmt::format("{} hours", events.count())});
    transaction.run("DELETE FROM audit WHERE at < now() - $1::interval",
                    {fmt::format("{} hours", audit.count())});
    transaction.run("DELETE FROM idempotency WHERE created_at < now() - interval '1 day'");
    transaction.run("DELETE FROM session WHERE expires_at < now()");
    transaction.run(
        "DELETE FROM login_failure WHERE at < now() - interval '1 day' OR at < (SELECT at FROM"
        " login_failure ORDER BY at DESC OFFSET 100000 LIMIT 1)");
    return true;
  });
}

}  // namespace sluice::control
