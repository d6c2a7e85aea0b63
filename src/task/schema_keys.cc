// The table of all keys itself.
#include <array>

#include "task/schema.h"
#include "task/sizes.h"

namespace sluice::task {

namespace {

constexpr std::string_view kColumnName = "the name of a column, 1 to 63 bytes";

constexpr auto kKeys = std::to_array<Key>({
    {.path = "name",
     .type = Type::kText,
     .required = true,
     .allowed = "a letter first, then letters, digits, _ - . ; at most 64 characters",
     .since = "0.1",
     .what = "The task's identity: its rows in the ledger and its consumer group are found by it. "
             "Renaming a task makes another task."},
    {.path = "description",
     .type = Type::kText,
     .default_text = "\"\"",
     .allowed = "a text",
     .since = "0.1",
     .what = "For people."},

    {.path = "source",
     .type = Type::kSection,
     .required = true,
     .since = "0.1",
     .what = "Where messages come from."},
    {.path = "source.kafka",
     .type = Type::kTextMap,
     .required = true,
     .allowed = "a map of librdkafka's property names to values, `bootstrap.servers` among them",
     .since = "0.1",
     .what = "How to reach and read the Kafka cluster, in librdkafka's own property names. "
             "Properties that Sluice must set itself (group.id, enable.auto.commit, "
             "auto.offset.reset and others) are refused when the client is made."},
    {.path = "source.kafka.*",
     .type = Type::kText,
     .allowed = "a text, a number or true / false",
     .since = "0.1",
     .what = "One property."},
    {.path = "source.connection",
     .type = Type::kServer,
     .since = "0.2",
     .what = "A connection kept by the server, by name. Stands for source.kafka."},
    {.path = "source.topics",
     .type = Type::kTextList,
     .required = true,
     .allowed = "a list of topic names (letters, digits, . _ -), or regular expressions that begin "
                "with ^",
     .since = "0.1",
     .what = "What is read. An expression takes in matching topics that appear later, too."},
    {.path = "source.start",
     .type = Type::kStart,
     .default_text = "earliest",
     .allowed = "earliest, latest, {timestamp: 2026-01-01T00:00:00Z}, {offsets: {0: 42}} with one "
                "topic, {offsets: {TOPIC: {0: 42}}}, or {group: NAME}",
     .since = "0.1",
     .what = "Where a task begins that has no ledger yet; ignored from then on. With offsets every "
             "partition of every topic must be named. group: where that consumer group has "
             "committed, for every partition; it is only read, and must not be at work any more."},
    {.path = "source.group",
     .type = Type::kText,
     .default_text = "null",
     .allowed = "the name of a consumer group, 1 to 249 characters",
     .since = "0.1",
     .what = "Overrides the name of the consumer group, which is sluice-NAME-XXXXXX otherwise "
             "(sluice-NAME with delivery: at_least_once)."},
    {.path = "source.on_gap",
     .type = Type::kChoice,
     .default_text = "stop",
     .allowed = "stop|continue",
     .since = "0.1",
     .what = "When records were lost before they were applied (retention, a topic deleted and "
             "created again): stop the task, or record the gap and go on behind it."},

    {.path = "rules",
     .type = Type::kLater,
     .default_text = "[]",
     .what = "The processing chain: parse, reshape and filter messages before they are mapped."},

    {.path = "target",
     .type = Type::kSection,
     .required = true,
     .since = "0.1",
     .what = "Where rows go."},
    {.path = "target.postgres",
     .type = Type::kText,
     .required = true,
     .allowed = "a libpq URI (postgresql://user@host:5432/database) or keywords (host=... "
                "dbname=...)",
     .since = "0.1",
     .what = "How to reach the database. Everything libpq takes: TLS, several hosts, time-outs."},
    {.path = "target.connection",
     .type = Type::kServer,
     .since = "0.2",
     .what = "A connection kept by the server, by name. Stands for target.postgres."},
    {.path = "target.database",
     .type = Type::kServer,
     .since = "0.2",
     .what = "The database of target.connection; left out: the one that the connection names."},
    {.path = "target.table",
     .type = Type::kText,
     .required = true,
     .allowed = "TABLE or SCHEMA.TABLE; names with dots or quotes in double quotes, \"a.b\"; or a "
                "template, with {topic}, {source.db}, {source.schema}, {source.table}",
     .since = "0.1",
     .what = "The table, partitioned table or view that is written. Upper and lower case count as "
             "written, quoted or not. Without a schema it is found through the search_path. A "
             "template (mode: mirror) has a table for each that it makes a name for: in {topic} "
             "dots become _."},
    {.path = "target.ledger_schema",
     .type = Type::kText,
     .default_text = "sluice",
     .allowed = "the name of a schema, 1 to 63 bytes, not beginning with pg_",
     .since = "0.1",
     .what = "The schema, in the same database, of the ledger and the dead letters; created if the "
             "role may."},
    {.path = "target.pooler",
     .type = Type::kChoice,
     .default_text = "none",
     .allowed = "none|transaction",
     .since = "0.1",
     .what =
         "What stands between Sluice and PostgreSQL. transaction: a pooler such as PgBouncer in "
         "transaction mode; nothing of a session is then relied on between transactions. See "
         "docs/delivery.md."},
    {.path = "target.level",
     .type = Type::kChoice,
     .default_text = "current",
     .allowed = "current|postgresql_9_4",
     .since = "0.1",
     .what =
         "What the server can. current: PostgreSQL 12 and later. postgresql_9_4: servers down to "
         "9.4 and warehouses made of them, such as Greenplum 6: no ON CONFLICT, one lane, and a "
         "ledger_schema that no other task uses. See docs/delivery.md."},

    {.path = "sync",
     .type = Type::kSection,
     .default_text = "{}",
     .since = "0.1",
     .what = "How a message becomes a row, and how the row is written."},
    {.path = "sync.mode",
     .type = Type::kChoice,
     .default_text = "mapping",
     .allowed = "mapping|mirror",
     .since = "0.1",
     .what = "mapping: fields are matched to columns. mirror: the topic holds change events of one "
             "table, inserts, updates and deletes, as Debezium captures them, and the target "
             "follows it by the names of columns. See docs/reference/change-events.md."},
    {.path = "sync.write",
     .type = Type::kChoice,
     .default_text = "insert",
     .allowed = "insert|upsert|update|insert_ignore|history",
     .since = "0.1",
     .what = "insert: every message is a new row. upsert: a row whose key exists is updated, the "
             "last message of a key wins. update: as upsert, but a key that the table does not "
             "have is left out and its messages are counted as ignored. insert_ignore: a row that "
             "is there already stays as it is, and the message is counted as ignored. history: "
             "mirror only, every change is a new row; see sync.metadata."},
    {.path = "sync.primary_key",
     .type = Type::kTextList,
     .default_text = "null",
     .allowed = "a list of column names, each 1 to 63 bytes",
     .since = "0.1",
     .what = "The columns that identify a row; they need a unique index. upsert and update: left "
             "out, it is the table's own primary key. insert_ignore: a row with this key counts as "
             "there already, and other unique indexes make the message fail; left out, any unique "
             "index counts. insert does not use it."},
    {.path = "sync.time_zone",
     .type = Type::kText,
     .default_text = "UTC",
     .allowed = "the name of a time zone, such as UTC or Europe/Paris",
     .since = "0.1",
     .what = "Where timestamps are taken to be that say no offset themselves."},
    {.path = "sync.nul",
     .type = Type::kChoice,
     .default_text = "fail",
     .allowed = "fail|strip|replace",
     .since = "0.1",
     .what =
         "What becomes of U+0000 in texts, which PostgreSQL cannot hold: the message fails, the "
         "character is left out, or U+FFFD takes its place."},
    {.path = "sync.extra_fields",
     .type = Type::kChoiceOrColumn,
     .default_text = "ignore",
     .allowed = "ignore, fail or {column: NAME}",
     .since = "0.1",
     .what = "What becomes of top-level fields that no column takes: they are ignored, the message "
             "fails, or they are collected into one json or jsonb column."},
    {.path = "sync.only_if_newer",
     .type = Type::kText,
     .default_text = "null",
     .allowed = kColumnName,
     .since = "0.1",
     .what = "upsert and update: an existing row is changed only if the message's value of this "
             "column is greater than the row's, as PostgreSQL compares them. Where the row has "
             "NULL it is always changed; a message without a value changes only such rows. Not "
             "with on_tombstone: delete, which knows no value. Mirror: a column that sync.metadata "
             "fills with position, lsn or source_ts_ms (the last two beside one for op): a change "
             "or delete that is older than the row is nothing; equal ones are applied."},
    {.path = "sync.unchanged",
     .type = Type::kChoice,
     .default_text = "write",
     .allowed = "write|skip",
     .since = "0.1",
     .what =
         "Rows that an update would leave as they are, byte for byte: write makes a new version "
         "of the row all the same, and triggers run; skip (upsert, update) does neither. "
         "Skipped messages count as written."},
    {.path = "sync.on_tombstone",
     .type = Type::kChoice,
     .default_text = "fail",
     .allowed = "fail|delete|ignore",
     .since = "0.1",
     .what = "A message whose value is null. delete and ignore need write: upsert or update; "
             "delete removes the row of the key."},
    {.path = "sync.columns",
     .type = Type::kSectionList,
     .default_text = "null",
     .allowed = "a list with one entry a column, such as {field: id, column: id}",
     .since = "0.1",
     .what = "What goes where. Left out: every top-level field goes to the column of its name."},
    {.path = "sync.columns[].field",
     .type = Type::kText,
     .allowed = "the name of a top-level field, or a JSONPath that begins with $",
     .since = "0.1",
     .what = "Where the value is in the message. Each entry has either field or meta."},
    {.path = "sync.columns[].meta",
     .type = Type::kChoice,
     .allowed = "topic|partition|offset|timestamp|key|headers|ingested_at",
     .since = "0.1",
     .what = "The value is about the message: its coordinates, timestamp, key, headers as a JSON "
             "object, or the time it was read."},
    {.path = "sync.columns[].column",
     .type = Type::kText,
     .required = true,
     .allowed = kColumnName,
     .since = "0.1",
     .what = "Where the value goes. Upper and lower case count."},
    {.path = "sync.columns[].on_absent",
     .type = Type::kChoice,
     .default_text = "default",
     .allowed = "default|null|keep|fail",
     .since = "0.1",
     .what =
         "The message does not have the field. default: `default:` if given, else the column's "
         "own default. null: NULL. keep (upsert, update): an existing row keeps what it has. fail: "
         "the message fails. Not with meta, which is never absent."},
    {.path = "sync.columns[].on_null",
     .type = Type::kChoice,
     .default_text = "null",
     .allowed = "null|default|fail",
     .since = "0.1",
     .what = "The field is null. null: NULL. default: `default:` if given, else the column's own "
             "default. fail: the message fails."},
    {.path = "sync.columns[].default",
     .type = Type::kValue,
     .allowed = "any value but null, as a message would hold it",
     .since = "0.1",
     .what = "Stands in where on_absent or on_null say default."},
    {.path = "sync.columns[].unit",
     .type = Type::kChoice,
     .allowed = "s|ms|us|ns",
     .since = "0.1",
     .what = "The field is a number since 1970, in seconds, milli-, micro- or nanoseconds, for a "
             "column of dates or timestamps."},
    {.path = "sync.columns[].encoding",
     .type = Type::kChoice,
     .allowed = "base64|hex",
     .since = "0.1",
     .what = "The field is a text that holds bytes in this form, for a bytea column. Not together "
             "with unit."},
    {.path = "sync.columns[].update",
     .type = Type::kFlag,
     .default_text = "true",
     .since = "0.1",
     .what = "false: upsert sets the column in a new row and leaves it as it is in an existing "
             "one."},
    {.path = "sync.format",
     .type = Type::kChoice,
     .default_text = "auto",
     .allowed = "auto|debezium|json|canal",
     .since = "0.1",
     .what =
         "Mirror: the form of change events. debezium: with before, after, op and source. json: "
         "the row itself, as ExtractNewRecordState leaves it. canal: rows of MySQL as texts, "
         "several "
         "in a message. auto: as each message looks."},
    {.path = "sync.on_delete",
     .type = Type::kChoiceOrColumn,
     .default_text = "delete",
     .allowed = "delete, ignore or {mark: COLUMN}",
     .since = "0.1",
     .what = "Mirror: what a delete at the source does; ignored ones are counted. mark: the row "
             "stays, and the column becomes true, or the time of the delete if it is one of time; "
             "rows that are written have false or NULL there."},
    {.path = "sync.on_truncate",
     .type = Type::kChoice,
     .default_text = "apply",
     .allowed = "apply|ignore|fail",
     .since = "0.1",
     .what =
         "Mirror: what a TRUNCATE at the source does. apply: the target is emptied. Of a "
         "topic with several partitions, and with only_if_newer: of the rows that are not newer "
         "than the TRUNCATE, by the column for lsn or position in sync.metadata; without one "
         "the message fails. fail: the message fails."},
    {.path = "sync.on_missing_row",
     .type = Type::kChoice,
     .default_text = "insert",
     .allowed = "insert|ignore|fail",
     .since = "0.1",
     .what = "Mirror: an update with values that the source did not send, of a row that is not "
             "there. insert: the row is made without them. ignore: nothing is written. fail: the "
             "message fails."},
    {.path = "sync.metadata",
     .type = Type::kTextMap,
     .default_text = "{}",
     .allowed = "a map of columns to op, ts_ms, source_ts_ms, lsn, file, pos, position or tx_id",
     .since = "0.1",
     .what =
         "Mirror: columns for what an event says beside the row. op: c, r, u, d or t. ts_ms: "
         "when the connector saw the change, source_ts_ms: when it was made; times, or "
         "milliseconds in a column of numbers. lsn (PostgreSQL), file and pos (MySQL): where it "
         "stands in the source's log; position: the file's number and pos as one number that "
         "grows. tx_id: its transaction."},
    {.path = "sync.metadata.*",
     .type = Type::kText,
     .allowed = "op, ts_ms, source_ts_ms, lsn, file, pos, position or tx_id",
     .since = "0.1",
     .what = "One column."},
    {.path = "sync.schema_changes",
     .type = Type::kChoice,
     .default_text = "apply_safe",
     .allowed = "apply_safe|apply_all|warn|stop",
     .since = "0.1",
     .what = "Mirror: what messages ask of the table that it does not have: to be made, a column "
             "more, a wider type, nulls. apply_safe: it gets what needs neither a guess nor a "
             "rewrite of the table; at anything else that rows need the task stops in front of "
             "the message and says the SQL. apply_all: it gets everything. stop: the task stops. "
             "warn: it goes on without, and says so once."},
    {.path = "sync.signal_tables",
     .type = Type::kTextList,
     .default_text = "[\"dip_signal_*\"]",
     .allowed = "a list of names of tables, or of beginnings of names and *",
     .since = "0.1",
     .what =
         "Mirror: tables of the source that connectors are steered by, such as debezium_signal. "
         "Their changes are counted as ignored, whatever topic they come by."},
    {.path = "sync.tables",
     .type = Type::kSection,
     .default_text = "{}",
     .since = "0.1",
     .what = "Mirror: which tables, and where they go, where target.table is a template."},
    {.path = "sync.tables.include",
     .type = Type::kTextList,
     .default_text = "[]",
     .allowed = "a list of names as target.table makes them, or of ^regex",
     .since = "0.1",
     .what = "Where target.table is a template: only these tables; the messages of others are "
             "counted as ignored. Empty: all."},
    {.path = "sync.tables.exclude",
     .type = Type::kTextList,
     .default_text = "[]",
     .allowed = "a list of names as target.table makes them, or of ^regex",
     .since = "0.1",
     .what = "Where target.table is a template: not these tables."},
    {.path = "sync.tables.rename",
     .type = Type::kTextMap,
     .default_text = "{}",
     .allowed = "a map of names as target.table makes them to TABLE or SCHEMA.TABLE",
     .since = "0.1",
     .what = "Where target.table is a template: other names for some tables. Several may go to one "
             "table, if their keys differ."},
    {.path = "sync.tables.rename.*",
     .type = Type::kText,
     .allowed = "TABLE or SCHEMA.TABLE",
     .since = "0.1",
     .what = "One table."},
    {.path = "sync.units",
     .type = Type::kTextMap,
     .default_text = "{}",
     .allowed = "a map of columns to s, ms, us, ns, base64, hex, text or unsigned",
     .since = "0.1",
     .what = "Mirror: how a column's values stand in the messages, where no schema in them says it "
             "and it is not what Debezium does by default. s, ms, us, ns: numbers since 1970 (time "
             "columns: of the day). base64, hex: texts for bytea. text: decimals as the number "
             "itself. unsigned: 64 bits without sign that come as with one (MySQL)."},
    {.path = "sync.units.*",
     .type = Type::kText,
     .allowed = "s, ms, us, ns, base64, hex, text or unsigned",
     .since = "0.1",
     .what = "One column."},
    {.path = "sync.unavailable_value",
     .type = Type::kText,
     .default_text = "__debezium_unavailable_value",
     .allowed = "a text",
     .since = "0.1",
     .what = "Mirror: what stands in an event for a value that the source did not send because it "
             "has not changed (TOAST; Debezium's unavailable.value.placeholder). The row keeps "
             "what it has."},
    {.path = "sync.sweep",
     .type = Type::kChoice,
     .default_text = "off",
     .allowed = "off|after_snapshot",
     .since = "0.1",
     .what = "Mirror: what becomes of rows that a whole snapshot of the source does not have. "
             "after_snapshot: at its end they are deleted, or marked, as by on_delete, unless they "
             "are newer. Needs a column for lsn or position in sync.metadata, one table, and one "
             "topic with one partition."},

    {.path = "on_failure",
     .type = Type::kChoice,
     .default_text = "retain",
     .allowed = "retain|discard|deliver",
     .since = "0.1",
     .what = "A message that cannot become a row. retain: the task stops in front of it. discard: "
             "it is counted and left out. deliver: it is kept in the table dead_letter of the "
             "ledger schema."},
    {.path = "breaker",
     .type = Type::kSection,
     .default_text = "{}",
     .since = "0.1",
     .what = "Stops a task that discards or delivers too much, so that a wrong mapping does not "
             "empty a topic."},
    {.path = "breaker.share",
     .type = Type::kFraction,
     .default_text = "0.5",
     .min = 0,
     .max = 1,
     .since = "0.1",
     .what = "The share of failing messages in the window at which the task stops."},
    {.path = "breaker.window",
     .type = Type::kInteger,
     .default_text = "1000",
     .min = 1,
     .max = 1'000'000,
     .since = "0.1",
     .what = "How many of the last messages are looked at."},
    {.path = "retry_for",
     .type = Type::kDuration,
     .default_text = "null",
     .min = 0,
     .max = 365 * kDay,
     .since = "0.1",
     .what =
         "How long trouble of the environment (server down, disk full) is waited for before the "
         "task fails. null: for ever."},
    {.path = "delivery",
     .type = Type::kChoice,
     .default_text = "exactly_once",
     .allowed = "exactly_once|at_least_once",
     .since = "0.1",
     .what = "What is promised; see docs/delivery.md. at_least_once is for databases where no "
             "ledger can be made: positions are kept by the consumer group in Kafka alone, rows "
             "can come twice after trouble, and nothing tells a copy from the original."},

    {.path = "tuning",
     .type = Type::kSection,
     .default_text = "{}",
     .since = "0.1",
     .what = "Speed and memory. Nothing here changes which rows are written."},
    {.path = "tuning.lanes",
     .type = Type::kInteger,
     .default_text = "null",
     .min = 1,
     .max = 64,
     .since = "0.1",
     .what = "Threads, each with its share of the partitions and its own connection to PostgreSQL. "
             "null: one, and a second one while there is a backlog."},
    {.path = "tuning.batch_rows",
     .type = Type::kInteger,
     .default_text = "20000",
     .min = 1,
     .max = 1'000'000,
     .since = "0.1",
     .what = "The most rows of one transaction."},
    {.path = "tuning.batch_bytes",
     .type = Type::kBytes,
     .default_text = "16 MB",
     .min = 64 * kKb,
     .max = kGb,
     .since = "0.1",
     .what = "The most bytes of messages in one transaction; a larger single message is taken."},
    {.path = "tuning.linger_ms",
     .type = Type::kInteger,
     .default_text = "500",
     .min = 0,
     .max = 60 * kSecond,
     .since = "0.1",
     .what = "The longest that a batch goes on growing, in milliseconds. An idle lane never waits "
             "for it; between two small batches a lane rests as long as the last one took, but no "
             "longer than this, and than 10 ms."},
    {.path = "tuning.memory_mb",
     .type = Type::kInteger,
     .default_text = "48",
     .min = 4,
     .max = 65'536,
     .since = "0.1",
     .what = "Messages fetched and not yet applied, by all lanes, in MB."},
    {.path = "tuning.copy_format",
     .type = Type::kChoice,
     .default_text = "auto",
     .allowed = "auto|text|binary",
     .since = "0.1",
     .what = "How COPY sends rows. auto: binary where every column and value allows it. Both give "
             "equal rows."},
    {.path = "tuning.max_bytes_per_second",
     .type = Type::kLater,
     .default_text = "null",
     .what = "A limit on what is read."},
});

}  // namespace

std::span<const Key> keys() { return kKeys; }

}  // namespace sluice::task
