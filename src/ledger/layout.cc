// The DDL of the ledger's tables.
#include <fmt/format.h>

#include "ledger/statements.h"

namespace sluice::ledger {
namespace {

// {0} is the quoted schema. Topics sort as bytes, so that PostgreSQL's order of locks is that of
// Key. No index on anything that a batch changes: the updates stay HOT, in pages that are kept
// three quarters empty for them.
constexpr std::string_view kTables = R"sql(
CREATE TABLE {0}.version (
  layout integer PRIMARY KEY,
  created_at timestamptz NOT NULL DEFAULT now(),
  created_by text NOT NULL DEFAULT current_user
);
INSERT INTO {0}.version (layout) VALUES ({1});

CREATE TABLE {0}.task (
  id text COLLATE "C" PRIMARY KEY,
  uid text NOT NULL,
  epoch bigint NOT NULL CHECK (epoch > 0),
  cluster_id text NOT NULL,
  host text NOT NULL,
  port text NOT NULL,
  database_name text NOT NULL,
  target_names text[] NOT NULL,
  target_oids oid[] NOT NULL,
  document_hash text NOT NULL,
  topic_names text[] NOT NULL,
  topic_ids text[] NOT NULL,
  topic_partitions integer[] NOT NULL,
  halt_reason text,
  halt_message text,
  halt_topic text,
  halt_partition integer,
  halt_offset bigint,
  halted_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  changed_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

CREATE TABLE {0}.ledger (
  task text COLLATE "C" NOT NULL REFERENCES {0}.task (id) ON DELETE CASCADE,
  topic text COLLATE "C" NOT NULL,
  partition integer NOT NULL,
  next_offset bigint NOT NULL CHECK (next_offset >= 0),
  epoch bigint NOT NULL,
  last_offset bigint,
  last_timestamp timestamptz,
  last_crc32c bigint,
  applied bigint NOT NULL DEFAULT 0,
  discarded bigint NOT NULL DEFAULT 0,
  dead bigint NOT NULL DEFAULT 0,
  complete_at timestamptz,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (task, topic, partition)
) WITH (
  fillfactor = 25,
  autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_threshold = 100000,
  autovacuum_analyze_scale_factor = 0{3}
);

CREATE TABLE {0}.dead_letter (
  id {2} PRIMARY KEY,
  task text COLLATE "C" NOT NULL,
  topic text COLLATE "C" NOT NULL,
  partition integer NOT NULL,
  message_offset bigint NOT NULL,
  message_timestamp timestamptz,
  key bytea,
  value bytea,
  header_names text[] NOT NULL,
  header_values bytea[] NOT NULL,
  reason_class text NOT NULL,
  code text NOT NULL,
  message text NOT NULL,
  column_name text,
  failed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX dead_letter_task_failed_at ON {0}.dead_letter (task, failed_at);

CREATE TABLE {0}.gap (
  task text COLLATE "C" NOT NULL,
  topic text COLLATE "C" NOT NULL,
  partition integer NOT NULL,
  from_offset bigint NOT NULL,
  to_offset bigint NOT NULL CHECK (to_offset >= from_offset),
  epoch bigint NOT NULL,
  reason text NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (task, topic, partition, from_offset, to_offset, epoch)
);

CREATE VIEW {0}.progress AS
SELECT l.task, l.topic, l.partition, l.next_offset, l.applied, l.discarded, l.dead,
       l.last_timestamp, l.updated_at, l.complete_at,
       t.halt_reason
         || coalesce(' at ' || t.halt_topic || '/' || t.halt_partition || ' offset '
                     || t.halt_offset, '')
         || coalesce(': ' || t.halt_message, '') AS halt
FROM {0}.ledger l JOIN {0}.task t ON t.id = l.task;

CREATE VIEW {0}.freshness AS
SELECT l.task,
       CASE WHEN count(l.complete_at) = count(*) THEN min(l.complete_at) END AS complete_until,
       count(*) AS partitions,
       count(*) FILTER (WHERE l.complete_at IS NULL) AS never_complete,
       max(l.updated_at) AS updated_at,
       bool_or(t.halt_reason IS NOT NULL) AS halted
FROM {0}.ledger l JOIN {0}.task t ON t.id = l.task
GROUP BY l.task;
)sql";

constexpr std::string_view kWaitUntil = R"sql(
CREATE PROCEDURE {0}.wait_until(task text, until timestamptz DEFAULT clock_timestamp(),
                                timeout interval DEFAULT '10 minutes')
LANGUAGE plpgsql AS $wait$
DECLARE
  seen record;
  began timestamptz := clock_timestamp();
BEGIN
  LOOP
    SELECT f.complete_until, f.halted INTO seen FROM {0}.freshness f WHERE f.task = $1;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'the ledger knows no task "%"', $1 USING ERRCODE = 'no_data_found';
    END IF;
    EXIT WHEN seen.complete_until >= $2;
    IF seen.halted THEN
      RAISE EXCEPTION 'task "%" is halted: it will not become complete', $1
        USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF clock_timestamp() - began > $3 THEN
      RAISE EXCEPTION 'task "%" is complete until %, not until %', $1,
        coalesce(seen.complete_until::text, 'an unknown time'), $2
        USING ERRCODE = 'query_canceled', HINT = 'Is it running? An idle task says once a minute '
          'that it is complete.';
    END IF;
    COMMIT;
    PERFORM pg_sleep(0.2);
  END LOOP;
END
$wait$;
)sql";

struct Comment {
  std::string_view object;  // after COMMENT ON; {} is the quoted schema
  std::string_view text;
};

constexpr Comment kComments[] = {
    {"TABLE {}.version",
     "The layout of these tables, so that an older Sluice does not touch a newer one."},
    {"COLUMN {}.version.layout", "Number of the layout."},
    {"COLUMN {}.version.created_at", "When the tables were created."},
    {"COLUMN {}.version.created_by", "The role that created them."},

    {"TABLE {}.task",
     "One row for each task: what it is, and its epoch. Deleting a row makes Sluice forget the "
     "task: started again, it begins at its start position."},
    {"COLUMN {}.task.id", "The task's immutable id: for sluice run the name in its document."},
    {"COLUMN {}.task.uid",
     "32 hex digits drawn when the row was made or adopted; names the Kafka group and the "
     "sessions."},
    {"COLUMN {}.task.epoch",
     "Raised by pause, edit, halt and reset; a batch of an older epoch cannot commit. After the "
     "first, the server clock in microseconds."},
    {"COLUMN {}.task.cluster_id", "Id of the Kafka cluster that the offsets belong to."},
    {"COLUMN {}.task.host", "Host of this database as the task document names it."},
    {"COLUMN {}.task.port", "Port of this database as the task document names it."},
    {"COLUMN {}.task.database_name", "Name of this database."},
    {"COLUMN {}.task.target_names", "Target tables; target_oids has their oids in the same order."},
    {"COLUMN {}.task.target_oids",
     "Oids of target_names: a table that was dropped and created again is another one."},
    {"COLUMN {}.task.document_hash",
     "SHA-256 of what in the document decides which rows are written."},
    {"COLUMN {}.task.topic_names", "Topics; topic_ids and topic_partitions are in the same order."},
    {"COLUMN {}.task.topic_ids", "Kafka's ids of topic_names; empty where the broker has none."},
    {"COLUMN {}.task.topic_partitions",
     "How many partitions of each topic have a ledger row: one that is missing below this count is "
     "lost."},
    {"COLUMN {}.task.halt_reason",
     "What stopped the task (failure policy retain); null while it may run."},
    {"COLUMN {}.task.halt_message", "The same for people. Can hold values of the message."},
    {"COLUMN {}.task.halt_topic", "Topic of the message that stopped it."},
    {"COLUMN {}.task.halt_partition", "Partition of the message that stopped it."},
    {"COLUMN {}.task.halt_offset",
     "Offset of the message that stopped it: it and what follows in its partition is not applied."},
    {"COLUMN {}.task.halted_at", "When it stopped."},
    {"COLUMN {}.task.created_at", "When the task was first started."},
    {"COLUMN {}.task.changed_at", "When this row last changed."},

    {"TABLE {}.ledger",
     "One row for each partition of a task: how far its messages are applied. Moved by the "
     "transaction that writes their rows; never edit it while the task runs."},
    {"COLUMN {}.ledger.task", "The task."},
    {"COLUMN {}.ledger.topic", "The topic."},
    {"COLUMN {}.ledger.partition", "The partition."},
    {"COLUMN {}.ledger.next_offset",
     "Every message below this offset is applied, discarded or a dead letter; none at or above "
     "it."},
    {"COLUMN {}.ledger.epoch", "The task's epoch, repeated under the lock of this row."},
    {"COLUMN {}.ledger.last_offset",
     "Offset of the last message that was handled; null if there was none yet."},
    {"COLUMN {}.ledger.last_timestamp", "Kafka timestamp of that message."},
    {"COLUMN {}.ledger.last_crc32c",
     "CRC-32C over key and value of that message: by it a topic is known again that has another id "
     "now, or none."},
    {"COLUMN {}.ledger.applied",
     "Messages whose rows were written, since the start or the last reset."},
    {"COLUMN {}.ledger.discarded", "Messages that were dropped by failure policy discard."},
    {"COLUMN {}.ledger.dead", "Messages that went to dead_letter."},
    {"COLUMN {}.ledger.complete_at",
     "When the end of the partition was last seen with everything before it applied."},
    {"COLUMN {}.ledger.updated_at", "When this row last changed."},

    {"TABLE {}.dead_letter",
     "Messages that could not be applied, written in the transaction that passed them by."},
    {"COLUMN {}.dead_letter.id", "Order of arrival."},
    {"COLUMN {}.dead_letter.task", "The task."},
    {"COLUMN {}.dead_letter.topic", "The topic."},
    {"COLUMN {}.dead_letter.partition", "The partition."},
    {"COLUMN {}.dead_letter.message_offset", "The offset."},
    {"COLUMN {}.dead_letter.message_timestamp",
     "Kafka timestamp; null if it has none, infinity if it is beyond what PostgreSQL can hold."},
    {"COLUMN {}.dead_letter.key", "The key as it came; null if it has none."},
    {"COLUMN {}.dead_letter.value", "The value as it came; null if it has none (a tombstone)."},
    {"COLUMN {}.dead_letter.header_names",
     "Names of the headers, in order; header_values has their values."},
    {"COLUMN {}.dead_letter.header_values",
     "Values of the headers as they came; a value can be null."},
    {"COLUMN {}.dead_letter.reason_class",
     "message: it could not be read; data: PostgreSQL refused its row."},
    {"COLUMN {}.dead_letter.code", "Name of the problem, or SQLSTATE."},
    {"COLUMN {}.dead_letter.message", "What was wrong, in full. Can hold values of the message."},
    {"COLUMN {}.dead_letter.column_name", "The column, if the problem has one."},
    {"COLUMN {}.dead_letter.failed_at", "When it was written."},

    {"TABLE {}.gap", "Offsets that were never applied because Kafka no longer had them."},
    {"COLUMN {}.gap.task", "The task."},
    {"COLUMN {}.gap.topic", "The topic."},
    {"COLUMN {}.gap.partition", "The partition."},
    {"COLUMN {}.gap.from_offset", "First offset that is missing."},
    {"COLUMN {}.gap.to_offset", "The offset after the last one that is missing."},
    {"COLUMN {}.gap.epoch", "The task's epoch then."},
    {"COLUMN {}.gap.reason", "retention, topic_created_again or started_later."},
    {"COLUMN {}.gap.recorded_at", "When it was found."},

    {"VIEW {}.progress",
     "How far each partition of each task is, for people and for queries that wait for data."},
    {"COLUMN {}.progress.task", "The task."},
    {"COLUMN {}.progress.topic", "The topic."},
    {"COLUMN {}.progress.partition", "The partition."},
    {"COLUMN {}.progress.next_offset",
     "Every message below this offset is applied, discarded or a dead letter; none at or above "
     "it."},
    {"COLUMN {}.progress.applied",
     "Messages whose rows were written, since the start or the last reset."},
    {"COLUMN {}.progress.discarded", "Messages that were dropped by failure policy discard."},
    {"COLUMN {}.progress.dead", "Messages that went to dead_letter."},
    {"COLUMN {}.progress.last_timestamp", "Kafka timestamp of the last message that was handled."},
    {"COLUMN {}.progress.updated_at", "When the position last changed."},
    {"COLUMN {}.progress.complete_at",
     "When the end of the partition was last seen with everything before it applied."},
    {"COLUMN {}.progress.halt", "What stopped the task; null while it may run."},

    {"VIEW {}.freshness",
     "Until when the target of each task is complete, for queries that must not see half a day."},
    {"COLUMN {}.freshness.task", "The task."},
    {"COLUMN {}.freshness.complete_until",
     "Every message that was in the topics at this time is applied, discarded or a dead letter; "
     "null while some partition was never seen at its end."},
    {"COLUMN {}.freshness.partitions", "How many partitions the task has."},
    {"COLUMN {}.freshness.never_complete", "How many of them were never seen at their end."},
    {"COLUMN {}.freshness.updated_at", "When a position last changed."},
    {"COLUMN {}.freshness.halted", "Whether the task is halted."},
    {"PROCEDURE {}.wait_until(text, timestamptz, interval)",
     "Returns once the target of a task is complete until the given time (now, if none is given); "
     "fails if the task is halted or unknown, or after the timeout. CALL it outside of a "
     "transaction."},
};

}  // namespace

namespace sql {

std::string tables(const std::string& schema, int server_version) {
  const std::string quoted = postgres::Connection::identifier(schema);
  const bool has_identity = server_version >= 100000;
  const bool has_procedures = server_version >= 110000;
  const bool has_vacuum_truncate = server_version >= 120000;
  std::string ddl = fmt::format(kTables, quoted, kLayout,
                                has_identity ? "bigint GENERATED ALWAYS AS IDENTITY" : "bigserial",
                                has_vacuum_truncate ? ", vacuum_truncate = off" : "");
  if (has_procedures) ddl += fmt::format(kWaitUntil, quoted);
  for (const auto& [object, text] : kComments) {
    if (object.starts_with("PROCEDURE") && !has_procedures) continue;
    ddl += fmt::format("COMMENT ON {} IS {};\n", fmt::format(fmt::runtime(object), quoted),
                       literal(text));
  }
  return ddl;
}

}  // namespace sql

std::string grant_sql(const std::string& schema, const std::string& role) {
  const std::string quoted = postgres::Connection::identifier(schema);
  const std::string grantee = postgres::Connection::identifier(role);
  return fmt::format(
      "GRANT USAGE ON SCHEMA {0} TO {1};"
      " GRANT SELECT ON {0}.version, {0}.progress, {0}.freshness TO {1};"
      " GRANT SELECT, INSERT, UPDATE, DELETE ON {0}.task, {0}.ledger TO {1};"
      " GRANT SELECT, INSERT ON {0}.dead_letter, {0}.gap TO {1};",
      quoted, grantee);
}

}  // namespace sluice::ledger
