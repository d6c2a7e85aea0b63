// The check of a connection: what stands between Sluice and its server, step by step, so that a
// person sees how far it goes and what to do about the step that fails.
//
// PostgreSQL: name, tcp, tls, login, version, privileges, ledger. Kafka: name, tcp, tls, login,
// cluster, topics. Blocking: each step at most kStepTime; any thread. Nothing is changed there.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/connection_parameters.h"

namespace sluice::control {

inline constexpr std::chrono::milliseconds kStepTime{10'000};

struct CheckStep {
  std::string step;
  std::string status;  // "ok", "warning", "failed", "skipped"
  // Of a step that a client library does together with the next: nothing, the next has its time.
  std::optional<std::int64_t> milliseconds = {};
  std::string code = {};  // of failed: SQLSTATE, librdkafka's name, "refused" ...
  std::string message = {};
  std::string remedy = {};
};
boost::json::object json_of(const CheckStep& step);

struct Checked {
  OpenConnection open;
  std::vector<Server> servers;
  std::vector<std::string> ranges;  // networks to name where a firewall or pg_hba.conf refuses
  std::string sslmode = {};         // PostgreSQL's
  std::string ledger_schema = "sluice";
};

// Reports every step once, in order; those behind a failed one as skipped. Ends early, without
// reporting the rest, once `stopped` says so.
void check_connection(const Checked& checked, const std::function<void(CheckStep)>& report,
                      const std::function<bool()>& stopped);

// "postgresql" and so on: what people should know about a server of this type when it refuses.
std::string_view hint_of(std::string_view type);

// The Error of a failed connect() as the steps tell it: explained, in a connection's words, with
// the type's hint. For browsing and tasks, too.
Error explain_postgres(const Error& error, const OpenConnection& open,
                       const std::vector<std::string>& ranges);
Error explain_kafka(Error error);

// Opens a session in a database ("" takes the connection's own, else "postgres").
Result<bool> open_session(postgres::Connection& session, const OpenConnection& open,
                          const std::string& database, std::chrono::milliseconds time);
// The connection's conninfo with a database.
std::string with_database(const OpenConnection& open, const std::string& database);

}  // namespace sluice::control
