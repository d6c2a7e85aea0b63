#include "pipeline/failure.h"

#include <fmt/format.h>

#include <iterator>

#include "kafka/admin.h"
#include "kafka/errors.h"

namespace sluice {

std::string_view name_of(FailureClass failure_class) {
  switch (failure_class) {
    case FailureClass::kEnvironment:
      return "environment";
    case FailureClass::kConflict:
      return "conflict";
    case FailureClass::kPlan:
      return "plan";
    case FailureClass::kInDoubt:
      return "in doubt";
    case FailureClass::kData:
      return "data";
    case FailureClass::kFatal:
      return "fatal";
  }
  return "fatal";
}

std::string_view name_of(Phase phase) {
  switch (phase) {
    case Phase::kConnect:
      return "connect";
    case Phase::kOpen:
      return "open";
    case Phase::kWrite:
      return "write";
    case Phase::kAlter:
      return "alter";
    case Phase::kMove:
      return "move";
    case Phase::kCommit:
      return "commit";
    case Phase::kRead:
      return "read";
    case Phase::kKafka:
      return "kafka";
  }
  return "kafka";
}

}  // namespace sluice

namespace sluice::pipeline {
namespace {

bool no_constraint(const Error& error) { return error.constraint.empty(); }
bool row_security(const Error& error) { return error.source_function == "ExecWithCheckOptions"; }
bool kafka_environment(const Error& error) { return kafka::is_environment(error); }

constexpr auto kAny = Phase::kKafka;  // not looked at where any_phase is true
using enum FailureClass;

constexpr FailureRule kRules[] = {
    // A message that could not become a row.
    {Domain::kMessage, "breaker", true, kAny, nullptr, "", kFatal,
     "too many messages in a row of `breaker.window` could not be applied"},
    {Domain::kMessage, "*", true, kAny, nullptr, "", kData, "the message itself is wrong"},

    // PostgreSQL: specific codes.
    {Domain::kPostgres, "connection", true, kAny, nullptr, "", kEnvironment,
     "the server cannot be reached, or the connection broke"},
    {Domain::kPostgres, "timeout", true, kAny, nullptr, "", kEnvironment,
     "the server did not answer in time"},
    {Domain::kPostgres, "signature", true, kAny, nullptr, "", kPlan,
     "the table was altered since the plan was made"},
    {Domain::kPostgres, "08P01", false, Phase::kWrite, nullptr, "", kPlan,
     "protocol violation inside COPY: the plan does not fit the table"},
    {Domain::kPostgres, "22P03", true, kAny, nullptr, "", kPlan,
     "a binary value does not fit its column: the table is not the plan's"},
    {Domain::kPostgres, "22P04", true, kAny, nullptr, "", kPlan,
     "COPY's columns are not those of the plan"},
    {Domain::kPostgres, "22012", false, Phase::kMove, nullptr, "", kConflict,
     "the ledger's row was not where it was expected: read it again"},
    {Domain::kPostgres, "42501", true, kAny, row_security, "raised by row security", kData,
     "a row security policy refuses the row"},
    {Domain::kPostgres, "42501", true, kAny, nullptr, "", kEnvironment,
     "a privilege is missing, or was revoked while running: waits for the GRANT"},
    {Domain::kPostgres, "28P01", true, kAny, nullptr, "", kEnvironment,
     "the password is refused while running: waits for the right one"},
    {Domain::kPostgres, "28000", true, kAny, nullptr, "", kEnvironment,
     "the server refuses the login while running (pg_hba.conf, role)"},
    {Domain::kPostgres, "25006", true, kAny, nullptr, "", kEnvironment,
     "the server is read-only: a failover is going on"},
    {Domain::kPostgres, "25P02", false, Phase::kCommit, nullptr, "", kConflict,
     "COMMIT was answered with ROLLBACK"},
    {Domain::kPostgres, "25P03", true, kAny, nullptr, "", kEnvironment,
     "the server ended an idle transaction"},
    {Domain::kPostgres, "57014", true, kAny, nullptr, "", kConflict,
     "statement_timeout: the batch is halved, and grows again"},
    {Domain::kPostgres, "55P03", true, kAny, nullptr, "", kConflict,
     "lock_timeout: somebody else holds the row or the table"},
    {Domain::kPostgres, "55006", true, kAny, nullptr, "", kConflict, "an object is in use"},
    {Domain::kPostgres, "21000", false, Phase::kWrite, nullptr, "", kConflict,
     "one statement met a key in two spellings: written in smaller pieces"},
    {Domain::kPostgres, "23514", true, kAny, no_constraint, "names no constraint", kEnvironment,
     "no partition of the table takes the row: waits for one"},
    {Domain::kPostgres, "23001", true, kAny, nullptr, "", kData, "restrict violation"},
    {Domain::kPostgres, "23502", true, kAny, nullptr, "", kData, "NOT NULL violation"},
    {Domain::kPostgres, "23503", true, kAny, nullptr, "", kData, "foreign key violation"},
    {Domain::kPostgres, "23505", true, kAny, nullptr, "", kData, "unique violation"},
    {Domain::kPostgres, "23514", true, kAny, nullptr, "", kData, "CHECK violation"},
    {Domain::kPostgres, "23P01", true, kAny, nullptr, "", kData, "exclusion violation"},
    {Domain::kPostgres, "44000", true, kAny, nullptr, "", kData, "WITH CHECK OPTION of a view"},
    {Domain::kPostgres, "54000", true, kAny, nullptr, "", kData,
     "a limit of PostgreSQL, such as the size of an index row"},
    {Domain::kPostgres, "P0001", true, kAny, nullptr, "", kData, "a trigger raised an exception"},
    {Domain::kPostgres, "42701", false, Phase::kAlter, nullptr, "", kConflict,
     "somebody else has added the column meanwhile: the table is read again"},
    {Domain::kPostgres, "42P07", false, Phase::kAlter, nullptr, "", kConflict,
     "somebody else has made the table meanwhile: it is read again"},
    {Domain::kPostgres, "42*", false, Phase::kAlter, nullptr, "", kFatal,
     "the server refuses to alter the table like this"},
    {Domain::kPostgres, "42703", true, kAny, nullptr, "", kPlan, "a column is gone"},
    {Domain::kPostgres, "42P01", true, kAny, nullptr, "", kPlan, "the table is gone"},
    {Domain::kPostgres, "42P10", true, kAny, nullptr, "", kPlan,
     "no unique index arbitrates ON CONFLICT any more"},
    {Domain::kPostgres, "42804", true, kAny, nullptr, "", kPlan, "a column has another type"},
    {Domain::kPostgres, "428C9", true, kAny, nullptr, "", kPlan, "a column has become generated"},
    {Domain::kPostgres, "0A000", true, kAny, nullptr, "", kPlan,
     "a plan that the server had kept does not fit any more"},
    {Domain::kPostgres, "3D000", false, Phase::kConnect, nullptr, "", kEnvironment,
     "the database is not there: a restore may be going on"},
    {Domain::kPostgres, "55000", false, Phase::kConnect, nullptr, "", kEnvironment,
     "the database takes no connections: a restore may be going on"},
    // PostgreSQL: classes.
    {Domain::kPostgres, "08*", true, kAny, nullptr, "", kEnvironment, "connection exception"},
    {Domain::kPostgres, "53*", true, kAny, nullptr, "", kEnvironment,
     "disk full, out of memory, too many connections"},
    {Domain::kPostgres, "57P0*", true, kAny, nullptr, "", kEnvironment,
     "the server is starting up, shutting down, or ended the session"},
    {Domain::kPostgres, "58*", true, kAny, nullptr, "", kEnvironment, "I/O error of the server"},
    {Domain::kPostgres, "40*", true, kAny, nullptr, "", kConflict,
     "deadlock or serialization failure"},
    {Domain::kPostgres, "22*", false, Phase::kWrite, nullptr, "", kData,
     "a value that its column does not take"},

    {Domain::kKafka, "*", true, kAny, kafka_environment, "brokers unreachable or busy",
     kEnvironment, "librdkafka reconnects by itself"},
    {Domain::kFile, "*", true, kAny, nullptr, "", kEnvironment,
     "a file of ${file:...} cannot be read at a reconnect"},
    {Domain::kPostgres, "*", true, kAny, nullptr, "", kFatal, "unknown: stop and say so"},
    {Domain::kKafka, "*", true, kAny, nullptr, "", kFatal, "configuration or unknown"},
    {Domain::kLedger, "*", true, kAny, nullptr, "", kFatal, "the ledger refuses"},
    {Domain::kDocument, "*", true, kAny, nullptr, "", kFatal, "the task does not fit its target"},
};

bool matches(std::string_view pattern, std::string_view code) {
  if (!pattern.empty() && pattern.back() == '*') {
    pattern.remove_suffix(1);
    return code.substr(0, pattern.size()) == pattern;
  }
  return pattern == code;
}

}  // namespace

std::span<const FailureRule> failure_rules() { return kRules; }

FailureClass classify(const Error& error, Phase phase) {
  for (const auto& rule : kRules) {
    if (rule.domain != error.domain || !matches(rule.code, error.code)) continue;
    if (!rule.any_phase && rule.phase != phase) continue;
    if (rule.condition != nullptr && !rule.condition(error)) continue;
    return rule.failure_class;
  }
  return FailureClass::kFatal;
}

std::string failure_reference() {
  std::string text =
      "# What a failure means, and what follows\n\n"
      "Generated from the table in `src/pipeline/failure.cc`; a test fails when the two differ.\n"
      "Rules are tried from top to bottom; the first that fits decides. What no rule names is\n"
      "fatal: the task stops and says so.\n\n"
      "| class | what happens |\n|---|---|\n"
      "| environment | wait and retry with growing pauses (0.1 s to 10 s), for ever or for "
      "`retry_for`; never a dead letter, never a lost row |\n"
      "| conflict | the batch is applied again; after a statement timeout it is halved |\n"
      "| plan | the catalog is read again, the batch encoded anew; the same error on the same "
      "table once more is fatal |\n"
      "| in doubt | COMMIT was sent and not answered: reconnect, read the ledger under its locks, "
      "go on from what it says |\n"
      "| data | the message is isolated, the failure policy applied, the rest written |\n"
      "| fatal | the task stops, with the remedy |\n\n"
      "| from | code | when | class | meaning |\n|---|---|---|---|---|\n";
  for (const auto& rule : kRules) {
    std::string when = rule.any_phase ? "" : fmt::format("while: {}", name_of(rule.phase));
    if (!rule.condition_text.empty()) {
      when += fmt::format("{}{}", when.empty() ? "" : ", ", rule.condition_text);
    }
    fmt::format_to(std::back_inserter(text), "| {} | `{}` | {} | {} | {} |\n", name_of(rule.domain),
                   rule.code, when, name_of(rule.failure_class), rule.meaning);
  }
  return text;
}

}  // namespace sluice::pipeline
