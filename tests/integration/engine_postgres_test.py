"""What PostgreSQL and its administrators do while a task writes: ALTER, DROP, REVOKE, locks, limits, odd settings."""

import contextlib
import datetime
import os
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import

BUSY = {"batch_rows": 200, "linger_ms": 5}


def no_dead_letters(db):
    check_equal(db.sql("SELECT count(*) FROM sluice.dead_letter", superuser=True), [(0,)],
                "good messages taken for bad ones")


def flowing(sluice, db, more=200):
    """Until so many more rows have come."""
    goal = db.value("SELECT count(*) FROM t") + more
    sluice.wait_for(lambda: db.value("SELECT count(*) FROM t") >= goal, f"{goal} rows")


def terminate_sessions(db):
    db.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND "
           "application_name LIKE 'sluice%'", superuser=True)


# ---- the table changes while rows are written -------------------------------------------------------------------------


@concurrent_test
def column_types_change_while_it_writes():
    """Eight bytes are a bigint, a double, a timestamp: sent for one and read as another they would be nonsense."""
    topic = Topic(partitions=2)
    with Database() as db, Feed(topic) as feed:
        db.sql(TABLE)
        with Sluice(numbered(topic, db, tuning=BUSY, on_failure="deliver")) as sluice:
            flowing(sluice, db)
            for kind in ("double precision", "numeric", "text", "int", "bigint"):
                db.sql(f"ALTER TABLE t ALTER COLUMN id TYPE {kind} USING id::{kind}")
                flowing(sluice, db)
            rows = feed.end()
            await_rows(sluice, db, rows, "after five changes of a type")
            sluice.stop().expect(143)
        no_dead_letters(db)


@concurrent_test
def columns_come_and_move_while_it_writes():
    topic = Topic(partitions=2)
    with Database() as db, Feed(topic) as feed:
        db.sql("CREATE TABLE t (gone text, id bigint, p int, o bigint)")
        with Sluice(numbered(topic, db, tuning=BUSY, on_failure="deliver")) as sluice:
            flowing(sluice, db)
            db.sql("ALTER TABLE t ADD extra int NOT NULL DEFAULT 7")
            flowing(sluice, db)
            db.sql("ALTER TABLE t DROP COLUMN gone")
            flowing(sluice, db)
            db.sql("ALTER TABLE t DROP COLUMN p; ALTER TABLE t ADD p int")  # now it is the last one
            flowing(sluice, db)
            db.sql("ALTER TABLE t ALTER COLUMN extra DROP DEFAULT, ALTER COLUMN extra DROP NOT NULL")
            flowing(sluice, db)
            rows = feed.end()
            sluice.wait_for(lambda: db.value("SELECT count(*) FROM t") >= len(rows), "the rest")
            sluice.stop().expect(143)
        check_equal(sorted(db.rows("SELECT id, o FROM t")), sorted((id, offset) for id, _, offset in rows))
        check_equal(db.rows("SELECT DISTINCT extra FROM t ORDER BY 1"), [(7,), (None,)], "the default of a new column")
        check_equal(db.value("SELECT count(*) FROM (SELECT id, p FROM t WHERE p IS NOT NULL EXCEPT "
                             "SELECT id, (id % 2)::int FROM t) wrong"), 0, "rows whose p is not theirs")
        no_dead_letters(db)


@concurrent_test
def a_mapped_column_is_dropped_while_it_writes():
    topic = Topic()
    with Database() as db, Feed(topic) as feed:
        db.sql(TABLE)
        document = numbered(topic, db, tuning=BUSY, on_failure="deliver")
        with Sluice(document) as sluice:
            flowing(sluice, db)
            db.sql("ALTER TABLE t DROP COLUMN o")
            sluice.wait(60).expect(1, 'has no column "o"')
        rows = feed.end()
        position = ledger(db, document)[(topic.name, 0)]
        check_equal([id for (id,) in sorted(db.rows("SELECT id FROM t"))], list(range(position)),
                    "rows up to the position, and none behind it")
        no_dead_letters(db)
        db.sql("ALTER TABLE t ADD o bigint; UPDATE t SET o = id")
        until_end(document)
        check_rows(db, rows, "after the column came back")


@concurrent_test
def a_column_becomes_not_null_while_it_writes():
    """Then the messages themselves do not fit any more: policy, not nonsense."""
    topic = Topic()
    topic.produce([{"id": 0, "v": None}])
    with Database() as db:
        db.sql("CREATE TABLE t (id int, v text)")
        with Sluice(task_for(topic, db, "t", on_failure="deliver", breaker={"share": 1})) as sluice:
            sluice.wait_for(lambda: db.rows("SELECT id FROM t") == [(0,)], "the first row")
            db.sql("TRUNCATE t; ALTER TABLE t ALTER v SET NOT NULL")
            topic.produce([{"id": 1, "v": None}, {"id": 2, "v": "x"}, {"id": 3}])
            sluice.wait_for(lambda: db.rows("SELECT id FROM t") == [(2,)], "the row that fits")
            check_equal(db.rows("SELECT message_offset, code, column_name FROM sluice.dead_letter ORDER BY 1"),
                        [(1, "23502", "v"), (3, "23502", "v")])
            sluice.stop().expect(143)


@concurrent_test
def the_table_is_dropped_while_it_writes():
    topic = Topic()
    with Database() as db, Feed(topic) as feed:
        db.sql(TABLE)
        document = numbered(topic, db, tuning=BUSY, on_failure="deliver")
        with Sluice(document) as sluice:
            flowing(sluice, db)
            db.sql("DROP TABLE t")
            sluice.wait(60).expect(1, "t")
        position = ledger(db, document)[(topic.name, 0)]
        rows = feed.end()
        until_end(document, code=1, texts=("t", "does not exist"))
        db.sql(TABLE)
        until_end(document, code=1, texts=("dropped and created again", "--adopt"))
        until_end(document, "--adopt")
        check_rows(db, [row for row in rows if row[2] >= position], "from the position on")
        no_dead_letters(db)


@concurrent_test
def the_table_is_replaced_while_it_writes():
    """Another table of the same name must not get rows that the first one is to have."""
    topic = Topic()
    with Database() as db, Feed(topic) as feed:
        db.sql(TABLE + "; CREATE TABLE other (LIKE t)")
        document = numbered(topic, db, tuning=BUSY)
        with Sluice(document) as sluice:
            flowing(sluice, db)
            db.sql("BEGIN; ALTER TABLE t RENAME TO old; ALTER TABLE other RENAME TO t; COMMIT")
            sluice.wait(60).expect(1, "t")
        check_rows(db, [], "the other table")
        rows = feed.end()
        db.sql("BEGIN; ALTER TABLE t RENAME TO other; ALTER TABLE old RENAME TO t; COMMIT")
        until_end(document)
        check_rows(db, rows, "after the first one is back")


# ---- trouble that passes: wait, lose nothing, blame no message -----------------------------------------------------------


def _waits(name, begin, end, text, grants="", role=False):
    """`begin` makes trouble while rows are written, `end` ends it."""

    def body():
        topic = Topic(partitions=2)
        with Database() as db, contextlib.ExitStack() as stack:
            db.sql(TABLE)
            document = numbered(topic, db, tuning=BUSY, on_failure="deliver")
            user = "sluice"
            if role:
                user, document["target"]["postgres"] = stack.enter_context(role_of(db, grants=grants))
            feed = stack.enter_context(Feed(topic))
            with Sluice(document) as sluice:
                flowing(sluice, db, 100)
                begin(db, user)
                sluice.wait_output(text)
                frozen = db.rows("SELECT count(*) FROM t")
                check(sluice.running(), f"{name}: it ended")
                end(db, user)
                sluice.wait_for(lambda: db.rows("SELECT count(*) FROM t") > frozen, "it goes on")
                rows = feed.end()
                await_rows(sluice, db, rows, name)
                sluice.stop().expect(143)
            no_dead_letters(db)

    concurrent_test(body, name=f"waits-while-{name}")


def _as_super(*statements):
    def act(db, user):
        for statement in statements:
            db.sql(statement.format(user=user, db=db.name), superuser=True)
    return act


def _then_new_sessions(*statements):
    def act(db, user):
        _as_super(*statements)(db, user)
        terminate_sessions(db)
    return act


def _closed(db, _):
    terminate_sessions(db)  # who is connected stays, and we are from now on
    Database.server(f"ALTER DATABASE {db.name} ALLOW_CONNECTIONS false")
    terminate_sessions(db)


_waits("the-privilege-is-revoked", _as_super("REVOKE INSERT ON t FROM {user}"), _as_super("GRANT INSERT ON t TO {user}"),
       "42501", role=True, grants="INSERT, SELECT ON t")
_waits("the-schema-is-closed", _as_super("REVOKE USAGE ON SCHEMA sluice FROM {user}"),
       _as_super("GRANT USAGE ON SCHEMA sluice TO {user}"), "42501", role=True, grants="INSERT, SELECT ON t")
_waits("the-database-is-read-only", _then_new_sessions("ALTER DATABASE {db} SET default_transaction_read_only = on"),
       _as_super("SET default_transaction_read_only = off", "ALTER DATABASE {db} RESET default_transaction_read_only"),
       "25006")
_waits("the-database-takes-no-connection", _then_new_sessions("ALTER DATABASE {db} CONNECTION LIMIT 0"),
       _as_super("ALTER DATABASE {db} CONNECTION LIMIT -1"), "53300")
_waits("the-database-is-closed", _closed, lambda db, _: Database.server(f"ALTER DATABASE {db.name} ALLOW_CONNECTIONS true"), "55000")
_waits("the-role-may-not-log-in", _then_new_sessions("ALTER ROLE {user} NOLOGIN"), _as_super("ALTER ROLE {user} LOGIN"),
       "28000", role=True, grants="INSERT, SELECT ON t")


@concurrent_test
def waits_while_the_table_is_locked():
    with numbered_task(100, on_failure="deliver") as (_, rows, db, document):
        blocker = db.connect()
        blocker.autocommit = False
        blocker.cursor().execute("LOCK TABLE t IN SHARE MODE")
        with Sluice(document) as sluice:
            sluice.wait_output("55P03")
            blocker.close()
            await_rows(sluice, db, rows, "after the lock was given back")
            sluice.stop().expect(143)
        no_dead_letters(db)


@concurrent_test
def waits_while_no_partition_takes_the_row():
    topic = Topic()
    rows = produce(topic, 0, 120)
    with Database() as db:
        db.sql("CREATE TABLE t (id bigint, p int, o bigint) PARTITION BY RANGE (id); "
               "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (100)")
        document = numbered(topic, db, on_failure="deliver")
        with Sluice(document) as sluice:
            sluice.wait_output("23514")
            db.sql("CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (100) TO (200)")
            await_rows(sluice, db, rows, "after the partition was created")
            sluice.stop().expect(143)
        no_dead_letters(db)


@concurrent_test
def the_password_changes_while_it_runs():
    """${file:} is read again at every connection."""
    topic = Topic()
    rows = produce(topic, 0, 5)
    with Database() as db, role_of(db) as (user, uri):
        db.sql(TABLE)
        db.sql(f"GRANT INSERT, SELECT ON t TO {user}")
        document = numbered(topic, db)
        with tempfile.NamedTemporaryFile("w") as secret:
            def write(password):
                secret.seek(0)
                secret.truncate()
                secret.write(password)
                secret.flush()

            write("secret word")
            document["target"]["postgres"] = uri.replace("secret%20word", "${file:" + secret.name + "}")
            with Sluice(document) as sluice:
                await_rows(sluice, db, rows, "with the first password")
                Database.server(f"ALTER ROLE {user} PASSWORD 'another: one'")
                terminate_sessions(db)
                rows += produce(topic, 5, 5)
                sluice.wait_output("28P01")
                write("another: one\n")
                await_rows(sluice, db, rows, "with the second password")
                ended = sluice.stop().expect(143)
                check("another: one" not in ended.out + ended.err and "secret word" not in ended.out + ended.err,
                      "the password is in the output")


@concurrent_test
def postgresql_unreachable_at_start():
    with numbered_task(5) as (topic, rows, db, document):
        with proxied(document, open_now=False) as proxy, Sluice(document) as sluice:
            sluice.wait_output("waiting")
            sluice.wait_output(f"127.0.0.1:{proxy.port}")
            proxy.open()
            await_rows(sluice, db, rows, "once PostgreSQL can be reached")
            proxy.close()
            rows += produce(topic, 5, 5)
            sluice.wait_output("retrying")
            proxy.open()
            await_rows(sluice, db, rows, "after it was away again")
            sluice.stop().expect(143)


# ---- roles with settings of their own ---------------------------------------------------------------------------------------


@concurrent_test
def odd_settings_of_the_role():
    """How values are read, and how transactions behave, is the task's affair and not the role's."""
    settings = ["DateStyle = 'German, DMY'", "TimeZone = 'Asia/Kolkata'", "IntervalStyle = 'sql_standard'",
                "bytea_output = 'escape'", "array_nulls = off", "xmloption = 'document'",
                "default_transaction_isolation = 'repeatable read'", "synchronous_commit = off",
                "client_encoding = 'LATIN1'", "extra_float_digits = -15", "lock_timeout = '1ms'",
                "standard_conforming_strings = off", "default_transaction_deferrable = on",
                "idle_in_transaction_session_timeout = '1ms'", "row_security = off", "enable_seqscan = off"]
    messages = [{"id": number, "d": "2026-02-03", "us": "2026/02/03", "ts": "2026-02-03 04:05:06",
                 "tz": "2026-02-03T04:05:06+02:00", "iv": "1 day 02:00:00", "f": 0.1234567890123456, "a": [1, None, 3],
                 "text": "Grüße \\ 'x' ✓", "x": "two <b>parts</b>"} for number in range(50)]
    table = ("CREATE TABLE {} (id int {}, d date, us date, ts timestamptz, tz timestamptz, iv interval, f double precision, "
             "a int[], text text, x xml)")
    topic = Topic(partitions=2)
    topic.produce([Message(value=message, key=str(message["id"])) for message in messages])
    with Database() as db, role_of(db) as (user, uri), role_of(db, *settings) as (odd, odd_uri):
        for write, key in (("insert", ""), ("upsert", "PRIMARY KEY")):
            for name, grantee in ((f"plain_{write}", user), (f"odd_{write}", odd)):
                db.sql(table.format(name, key))
                db.sql(f"GRANT SELECT, INSERT, UPDATE ON {name} TO {grantee}")
        texts = {}
        for write in ("insert", "upsert"):
            for kind, where in (("plain", uri), ("odd", odd_uri)):
                document = task_for(topic, db, f"public.{kind}_{write}", sync={"write": write, "time_zone": "Europe/Paris"},
                                    target={"postgres": where, "ledger_schema": f"ledger_{kind}"})
                until_end(document)
                texts[kind, write] = db.text(f"SELECT * FROM {kind}_{write} ORDER BY id")
            check_equal(texts["odd", write], texts["plain", write], f"{write}: rows by an odd role")
        check_equal(db.rows("SELECT count(*), min(d), min(us), min(ts)::text, min(tz)::text, min(f), min(text), min(a) FROM "
                            "odd_insert"),
                    [(50, datetime.date(2026, 2, 3), datetime.date(2026, 2, 3), "2026-02-03 03:05:06+00",
                      "2026-02-03 02:05:06+00", 0.1234567890123456, "Grüße \\ 'x' ✓", [1, None, 3])])
        check_equal(texts["odd", "upsert"], texts["odd", "insert"], "upsert and insert")


@concurrent_test
def a_short_statement_timeout_of_the_role():
    """The role's own is overruled; a slow table is not a bad message."""
    topic = Topic()
    rows = produce(topic, 0, 3)
    with Database() as db, role_of(db, "statement_timeout = '20ms'", "synchronous_commit = off") as (user, uri):
        db.sql(TABLE)
        db.sql("CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.1); RETURN NULL; END'; "
               "CREATE TRIGGER slow AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION slow(); "
               f"GRANT INSERT, SELECT ON t TO {user}")
        document = numbered(topic, db, on_failure="deliver", tuning={"batch_rows": 2})
        document["target"]["postgres"] = uri
        until_end(document)
        check_rows(db, rows)
        no_dead_letters(db)


# ---- TLS -----------------------------------------------------------------------------------------------------------------------


@concurrent_test
def tls_to_postgresql():
    topic = Topic()
    with Database() as db:
        db.sql(TABLE)
        rows = []
        name = unique("task")
        authority = os.environ["SLUICE_POSTGRES_CA"]
        for number, (options, tls) in enumerate(((f"?sslmode=verify-full&sslrootcert={authority}", True),
                                                 ("?sslmode=require", True), ("?sslmode=disable", False))):
            document = numbered(topic, db, name=name)
            document["target"]["postgres"] = db.uri + options
            with Sluice(document) as sluice:
                rows += produce(topic, number, 1)
                await_rows(sluice, db, rows, f"with {options}")
                found = db.rows("SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = "
                                "current_database() AND application_name LIKE 'sluice%'", superuser=True)
                check_equal(found, [(tls,)], f"TLS with {options}")
                sluice.stop().expect(143)


@concurrent_test
def idle_lanes_serve_many_small_tasks():
    """Three tasks in one database share its ledger and do not meet."""
    with Database() as db, contextlib.ExitStack() as stack:
        topics = [Topic() for _ in range(3)]
        for number, topic in enumerate(topics):
            db.sql(TABLE.replace("public.t", f"public.t{number}"))
        tasks = []
        for number, topic in enumerate(topics):
            document = numbered(topic, db)
            document["target"]["table"] = f"public.t{number}"
            tasks.append(stack.enter_context(Sluice(document)))
        for round_number in range(2):
            for number, topic in enumerate(topics):
                produce(topic, 10 * round_number, 2)
            for number, sluice in enumerate(tasks):
                sluice.wait_for(lambda n=number: len(rows_of(db, f"t{n}")) == 2 * round_number + 2, f"rows of task {number}")
        for sluice in tasks:
            sluice.stop().expect(143)


main()
