#!/usr/bin/python3
"""sluice.freshness and sluice.wait_until: an analyst waits in SQL until a table is complete; and --take-over."""

import pathlib
import sys
import time

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from kit import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import
from engine import TABLE, Feed, concurrent_test, numbered, produce  # noqa: E402 pylint: disable=wrong-import-position


def wait_until(database, document, until="clock_timestamp()", timeout="30 s"):
    """None, or the SQLSTATE of its error. Outside of a transaction, as it must be."""
    connection = database.connect()
    try:
        connection.autocommit = True
        connection.cursor().execute(f"CALL sluice.wait_until(%s, {until}, %s)", (document["name"], timeout))
        return None
    except psycopg2.Error as error:
        return error.pgcode
    finally:
        connection.close()


@concurrent_test
def a_table_is_complete_until_the_end_was_seen():
    database, topic = Database(), Topic(partitions=3)
    database.sql(TABLE)
    document = numbered(topic, database)
    produce(topic, 0, 30)
    before = database.value("SELECT clock_timestamp()")
    Sluice.run(document, "--until-end").expect(0)
    complete, partitions, never = database.sql(
        "SELECT complete_until, partitions, never_complete FROM sluice.freshness")[0]
    check_equal((partitions, never), (3, 0))
    check(before < complete <= database.value("SELECT clock_timestamp()"), f"complete until {complete}")
    check_equal(wait_until(database, document, f"'{before}'"), None)
    check_equal(wait_until(database, document, timeout="1 s"), "57014", "nobody runs it")
    check_equal(wait_until(database, {"name": "nobody"}), "P0002", "an unknown task")


@concurrent_test
def whoever_waits_finds_every_message_that_was_there():
    database, topic = Database(), Topic(partitions=3)
    database.sql(TABLE)
    document = numbered(topic, database)
    with Sluice(document) as sluice, Feed(topic) as feed:
        sluice.wait_for(lambda: database.sql("SELECT 1 FROM pg_tables WHERE schemaname = 'sluice' AND tablename = 'ledger'")
                        and database.value("SELECT count(*) FROM sluice.ledger") == 3, "the ledger")
        for _ in range(3):
            sent = len(feed.rows)
            check_equal(wait_until(database, document), None)
            check(database.value("SELECT count(*) FROM t") >= sent, f"{sent} messages were sent before the wait")


@concurrent_test
def a_broker_that_is_gone_makes_nobody_complete():
    database, topic = Database(), Topic()
    database.sql(TABLE)
    document = numbered(topic, database)
    produce(topic, 0, 5)
    Sluice.run(document, "--until-end").expect(0)
    produce(topic, 5, 5)
    until = database.value("SELECT complete_until FROM sluice.freshness")
    with Sluice({**document, "source": {**document["source"], "kafka": {
            **document["source"]["kafka"], "bootstrap.servers": "127.0.0.1:1"}}}):
        time.sleep(4)
    check_equal(database.value("SELECT complete_until FROM sluice.freshness"), until)


@concurrent_test
def a_halted_task_is_not_waited_for():
    database, topic = Database(), Topic()
    database.sql(TABLE)
    document = numbered(topic, database)
    topic.produce(["oops"])
    Sluice.run(document, "--until-end").expect(3)
    check_equal(wait_until(database, document), "55000")


@concurrent_test
def take_over_ends_those_that_run_another_document():
    database, topic = Database(), Topic(partitions=2)
    database.sql(TABLE)
    document = numbered(topic, database)
    edited = numbered(topic, database, sync={"nul": "strip"})
    edited["name"] = document["name"]
    with Sluice(document) as old:
        rows = produce(topic, 0, 100)
        old.wait_for(lambda: database.sql("SELECT 1 FROM t LIMIT 1"), "rows")
        Sluice.run(edited, "--until-end").expect(1, "running elsewhere")
        rows += produce(topic, 100, 100)
        with Sluice(edited, "--take-over") as new:
            old.wait(30).expect(1, "took this task over")
            rows += produce(topic, 200, 100)
            new.wait_for(lambda: database.value("SELECT count(*) FROM t") >= 300, "all rows")
    check_equal(sorted(database.sql("SELECT id, p, o FROM t")), sorted(rows))


if __name__ == "__main__":
    main()
