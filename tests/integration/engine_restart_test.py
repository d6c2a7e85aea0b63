"""Servers that are restarted under a running task. Alone on the servers: these tests disturb everybody."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import


@test
def kafka_restarts_while_it_runs():
    with numbered_task(10, partitions=2, on_failure="deliver") as (topic, rows, db, document):
        with Sluice(document) as sluice:
            await_rows(sluice, db, rows, "before the restart")
            dev("kafka", "down")
            try:
                sluice.wait_output("kafka reports", 30)
                check(sluice.running(), "it ended")
            finally:
                dev("kafka", "up")
            rows += produce(topic, 10, 10)
            await_rows(sluice, db, rows, "after the restart", 90)
            sluice.stop().expect(143)
        check_equal({(topic.name, each): end for each, end in ends(topic).items()}, ledger(db, document), "the ledger")
        check_equal(db.value("SELECT count(*) FROM sluice.dead_letter"), 0, "dead letters")


@test
def postgresql_restarts_while_it_runs():
    topic = Topic(partitions=2)
    with Database() as db:
        db.sql(TABLE)
        document = numbered(topic, db, on_failure="deliver", tuning={"batch_rows": 100})
        with Feed(topic) as feed, Sluice(document) as sluice:
            sluice.wait_for(lambda: db.value("SELECT count(*) FROM t") > 100, "the first rows")
            dev("postgres", "down", "fast")
            try:
                sluice.wait_output("retrying", 30)
                check(sluice.running(), "it ended")
            finally:
                dev("postgres", "up")
            rows = feed.end()
            await_rows(sluice, db, rows, "after the restart", 90)
            sluice.stop().expect(143)
        check_rows(db, rows)
        check_equal(db.value("SELECT count(*) FROM sluice.dead_letter"), 0, "dead letters")


main()
