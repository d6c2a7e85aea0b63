#include "ledger/statements.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <array>

namespace sluice::ledger::sql {
namespace {

// ARRAY['a','b']::text[]
template <class Range, class Text>
std::string array(const Range& range, std::string_view type, Text text) {
  std::string list;
  for (const auto& element : range) {
    if (!list.empty()) list += ',';
    list += text(element);
  }
  return fmt::format("ARRAY[{}]::{}[]", list, type);
}

std::optional<HaltNote> read_halt(const postgres::Rows& row) {
  constexpr int kReason = 7;
  if (row.is_null(0, kReason)) return std::nullopt;
  HaltNote halt;
  halt.reason = row.text(0, kReason);
  halt.message = row.text(0, kReason + 1);
  halt.key.topic = row.text(0, kReason + 2);
  halt.key.partition =
      row.is_null(0, kReason + 3) ? 0 : static_cast<std::int32_t>(row.integer(0, kReason + 3));
  halt.offset = row.is_null(0, kReason + 4) ? -1 : row.integer(0, kReason + 4);
  return halt;
}

// Bytes of the UTF-8 character that `text` begins with (RFC 3629: no surrogates, no overlong forms,
// nothing above U+10FFFF); 0 if there is none, or if it is U+0000.
std::size_t character_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return lead == 0 ? 0 : 1;
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const unsigned char second = byte(1);
  const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
  const bool surrogate = lead == 0xED && second > 0x9F;
  const bool beyond = lead == 0xF4 && second > 0x8F;
  return overlong || surrogate || beyond ? 0 : length;
}

}  // namespace

std::string literal(std::string_view text) { return postgres::Connection::literal(text); }

std::string own_timeouts() { return std::string(postgres::Connection::own_timeouts()); }

std::string table(const std::string& schema, std::string_view table) {
  return fmt::format("{}.{}", postgres::Connection::identifier(schema), table);
}

std::string begin() {
  return std::string(
             "BEGIN ISOLATION LEVEL READ COMMITTED;"
             "SET LOCAL search_path = pg_catalog;"
             "SET LOCAL client_encoding = 'UTF8';"
             "SET LOCAL lock_timeout = '5s';"
             "SET LOCAL statement_timeout = '30s';"
             "SELECT ") +
         postgres::Connection::idle_timeout("30s") +
         ";"
         "SELECT pg_catalog.set_config('synchronous_commit', 'on', true)"
         " WHERE pg_catalog.current_setting('synchronous_commit') = 'off';";
}

// FNV-1a over schema and task. Two tasks that share a number wait for each other now and then; no
// more than that.
std::int64_t gate_key(const Handle& handle) {
  std::uint64_t hash = 0xcbf29ce484222325;
  const auto mix = [&](std::string_view text) {
    for (const char c : text) {
      hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    }
    hash = (hash ^ 0xff) * 0x100000001b3;
  };
  mix("sluice gate");
  mix(handle.schema);
  mix(handle.task);
  return static_cast<std::int64_t>(hash);
}

std::string gate_alone(const Handle& handle) {
  return fmt::format("SELECT pg_catalog.pg_advisory_xact_lock({});", gate_key(handle));
}

std::string select_task(const Handle& handle) {
  const std::string task = table(handle.schema, "task");
  const std::string id = literal(handle.task);
  return fmt::format(
      "SELECT uid, epoch, cluster_id, host, port, database_name, document_hash, halt_reason,"
      " halt_message, halt_topic, halt_partition, halt_offset FROM {0} WHERE id = {1};"
      "SELECT name, target FROM {0} t, ROWS FROM (pg_catalog.unnest(t.target_names),"
      " pg_catalog.unnest(t.target_oids)) AS u (name, target) WHERE t.id = {1};"
      "SELECT name, topic_id, partitions FROM {0} t, ROWS FROM (pg_catalog.unnest(t.topic_names),"
      " pg_catalog.unnest(t.topic_ids), pg_catalog.unnest(t.topic_partitions))"
      " AS u (name, topic_id, partitions) WHERE t.id = {1};",
      task, id);
}

std::optional<TaskRow> read_task_rows(const std::vector<postgres::Rows>& results) {
  SLUICE_CHECK(results.size() >= 3);
  const postgres::Rows& row = results[results.size() - 3];
  const postgres::Rows& tables = results[results.size() - 2];
  const postgres::Rows& topics = results[results.size() - 1];
  if (row.size() == 0) return std::nullopt;
  TaskRow task;
  task.uid = row.text(0, 0);
  task.epoch = row.integer(0, 1);
  task.identity.cluster_id = row.text(0, 2);
  task.identity.host = row.text(0, 3);
  task.identity.port = row.text(0, 4);
  task.identity.database = row.text(0, 5);
  task.identity.document_hash = row.text(0, 6);
  task.halt = read_halt(row);
  for (int i = 0; i < tables.size(); ++i) {
    task.identity.tables[std::string(tables.text(i, 0))] =
        static_cast<std::uint32_t>(tables.integer(i, 1));
  }
  for (int i = 0; i < topics.size(); ++i) {
    task.topics[std::string(topics.text(i, 0))] = {std::string(topics.text(i, 1)),
                                                   static_cast<int>(topics.integer(i, 2))};
  }
  return task;
}

Columns columns_of(const Identity& identity) {
  const auto name = [](const auto& entry) { return literal(entry.first); };
  const auto oid = [](const auto& entry) { return std::to_string(entry.second); };
  return {{"cluster_id", literal(identity.cluster_id)},
          {"host", literal(identity.host)},
          {"port", literal(identity.port)},
          {"database_name", literal(identity.database)},
          {"target_names", array(identity.tables, "text", name)},
          {"target_oids", array(identity.tables, "oid", oid)},
          {"document_hash", literal(identity.document_hash)}};
}

Columns columns_of(const std::map<std::string, TopicState>& topics) {
  const auto name = [](const auto& entry) { return literal(entry.first); };
  const auto id = [](const auto& entry) { return literal(entry.second.id); };
  const auto partitions = [](const auto& entry) { return std::to_string(entry.second.partitions); };
  return {{"topic_names", array(topics, "text", name)},
          {"topic_ids", array(topics, "text", id)},
          {"topic_partitions", array(topics, "integer", partitions)}};
}

std::string set_list(const Columns& columns) {
  std::string list;
  for (const auto& [column, value] : columns) list += fmt::format(", {} = {}", column, value);
  return list;
}

std::string insert_ledger(const Handle& handle, const std::string& epoch,
                          const std::map<Key, std::int64_t>& start) {
  if (start.empty()) return {};
  std::string rows;
  for (const auto& [key, offset] : start) {
    rows +=
        fmt::format("{}({}::text, {}::text, {}, {}::bigint, {}::bigint)", rows.empty() ? "" : ", ",
                    literal(handle.task), literal(key.topic), key.partition, offset, epoch);
  }
  return fmt::format(
      "INSERT INTO {0} (task, topic, partition, next_offset, epoch)"
      " SELECT * FROM (VALUES {1}) AS n (task, topic, partition, next_offset, epoch)"
      " WHERE NOT EXISTS (SELECT FROM {0} AS l WHERE l.task = n.task AND l.topic = n.topic"
      " AND l.partition = n.partition)",
      table(handle.schema, "ledger"), rows);
}

std::string among(const std::vector<Key>& keys) {
  if (keys.empty()) return "TRUE";
  std::map<std::string_view, std::string> partitions;
  for (const Key& key : keys) {
    std::string& list = partitions[key.topic];
    if (!list.empty()) list += ',';
    list += std::to_string(key.partition);
  }
  std::string condition;
  for (const auto& [topic, list] : partitions) {
    condition += fmt::format("{}topic = {} AND partition = ANY ('{{{}}}'::integer[])",
                             condition.empty() ? "(" : " OR ", literal(topic), list);
  }
  return condition + ")";
}

std::string fresh_uid() {
  std::array<unsigned char, 16> bytes{};
  // 16 bytes are never short, and never fail once the system is up.
  SLUICE_CHECK(::getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  std::string uid;
  for (const unsigned char byte : bytes) uid += fmt::format("{:02x}", byte);
  return uid;
}

bool is_clean(std::string_view text, std::string& clean) {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t length = character_length(text.substr(at));
    if (length == 0) break;
    at += length;
  }
  if (at == text.size()) return true;
  clean.assign(text.substr(0, at));
  while (at < text.size()) {
    const std::size_t length = character_length(text.substr(at));
    if (length == 0) {
      clean += "\xEF\xBF\xBD";
      ++at;
    } else {
      clean += text.substr(at, length);
      at += length;
    }
  }
  return false;
}

Async<Result<bool>> roll_back(postgres::Connection& connection) {
  if (!connection.is_open()) co_return true;
  auto query = connection.query("ROLLBACK");
  auto ended = co_await query;
  if (!ended) co_return fail(std::move(ended.error()));
  co_return true;
}

Async<Result<bool>> commit(postgres::Connection& connection) {
  auto query = connection.query("COMMIT");
  auto answer = co_await query;
  if (!answer) co_return fail(std::move(answer.error()));
  if (answer->empty() || answer->back().tag() != "COMMIT") {
    co_return fail(Domain::kInternal, "not_committed",
                   "PostgreSQL rolled a change of the ledger back without an error");
  }
  co_return true;
}

tl::unexpected<Error> task_missing(const Handle& handle) {
  return fail(
      Domain::kLedger, "task_missing",
      fmt::format("the ledger (schema \"{}\") has no task \"{}\"", handle.schema, handle.task),
      "Start the task, which creates its ledger.");
}

tl::unexpected<Error> fenced(const Handle& handle, std::string what) {
  return fail(Domain::kLedger, "fenced",
              fmt::format("the task \"{}\" was changed meanwhile: {}", handle.task, what),
              "Read the task again; it goes on as it is now.");
}

}  // namespace sluice::ledger::sql
