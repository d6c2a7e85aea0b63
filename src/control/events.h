// Events: what an operator should know, kept in the control database, and shown while it happens.
// And the audit: who changed what.
//
// Thread-safe.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/database.h"
#include "control/problem.h"

namespace sluice::control {

enum class Severity : std::uint8_t { kInfo, kWarning, kError };
std::string_view name_of(Severity severity);

// One row of the catalogue: docs/reference/events.md is made from it.
struct EventKind {
  std::string_view type;  // "task.state_changed"
  Severity severity;
  std::string_view title, title_zh;
  std::string_view data;  // the members of `data`
};
std::span<const EventKind> event_kinds();
const EventKind& event_kind(std::string_view type);  // of the catalogue; anything else is a bug
std::string events_markdown();

struct Subject {
  std::string kind;  // "task", "connection", "account", "server"
  std::string id;
  std::string name;
};

struct NewEvent {
  std::string_view type;  // of the catalogue
  Subject subject;
  std::string message;  // one sentence for people
  boost::json::object data = {};
  std::optional<Severity> severity = {};  // other than the catalogue's
};

struct EventFilter {
  std::string type, severity, subject_id, subject_kind, search;  // empty: any
  std::optional<std::string> since, until;                       // RFC 3339
  std::optional<std::int64_t> before_id, after_id;
  int limit = 50;
};

struct AuditFilter {
  std::string account, operation, subject_id;
  std::optional<std::string> since, until;
  std::optional<std::int64_t> before_id;
  int limit = 50;
};

// Who asks, for the audit and for rights.
struct Caller {
  std::string account_id, account;
  std::string role;  // "viewer", "operator", "admin"
  std::string token_id;
  std::string address;
  std::string request_id;
  std::string session_hash;  // of a log-in by cookie
  std::string csrf_token;    // of the same; GET /me shows it to a page that was loaded anew
};

struct AuditEntry {
  std::string operation;  // "task.pause"
  Subject subject;
  boost::json::value before = nullptr, after = nullptr;  // without secrets
};

class Events {
 public:
  static constexpr std::int64_t kMostCounted = 10'000;

  explicit Events(Database& database) : database_(database) {}

  // As part of a transaction, with what it is about.
  static void add(Transaction& transaction, const NewEvent& event);
  static void audit(Transaction& transaction, const Caller& caller, const AuditEntry& entry);
  // In a transaction of its own. While the database is away events are kept in memory, up to a
  // thousand, and written when it is back.
  void add(const NewEvent& event);
  void flush();

  // Newest first, unless after_id is given: then oldest first. Events are committed in the order
  // of their ids: who goes on behind the last id seen misses none.
  Answer<boost::json::array> list(const EventFilter& filter);
  Answer<boost::json::object> event(std::int64_t id);
  // How many there are; before_id, after_id and limit do not count. At most kMostCounted.
  Answer<std::int64_t> count(const EventFilter& filter);
  Answer<std::int64_t> count_audit(const AuditFilter& filter);
  Answer<boost::json::array> list_audit(const AuditFilter& filter);
  Answer<std::int64_t> newest_id();

  void forget_older(std::chrono::hours events, std::chrono::hours audit);

 private:
  Database& database_;
  std::mutex mutex_;
  struct Late {
    std::string type, severity, kind, id, name, message, data, at;
  };
  std::deque<Late> late_;
};

}  // namespace sluice::control
