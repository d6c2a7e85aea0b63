"""The life of a process: how it ends, what it leaves behind, what it says."""

import datetime
import json
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import


def leaves(sluice, number, code):
    started = time.monotonic()
    sluice.signal(number)
    ended = sluice.wait(20).expect(code)
    took = time.monotonic() - started
    check(took < LEFT_EARLY_S, f"it took {took:.1f} s to leave after signal {number}")
    return ended


def _signal_in_mid_work(number, code):
    with numbered_task(15_000, partitions=2, tuning={"batch_rows": 50}) as (_, rows, db, document):
        with Sluice(document, summary=True) as sluice:
            sluice.wait_for(lambda: db.value("SELECT count(*) FROM t") > 0, "the first rows")
            ended = leaves(sluice, number, code)
        written = db.value("SELECT count(*) FROM t")
        check(0 < written < len(rows), f"it was to be stopped in mid work: {written} rows")
        check_equal((ended.summary["end"], ended.summary["rows_written"]), ("stopped", written))
        check_equal(sum(ledger(db, document).values()), written, "the ledger and the table")
        document["tuning"] = {}
        Sluice.run(document, "--until-end").expect(0)
        check_rows(db, rows, "after the next run")


concurrent_test(lambda: _signal_in_mid_work(signal.SIGTERM, 143), name="sigterm-commits-and-leaves")
concurrent_test(lambda: _signal_in_mid_work(signal.SIGINT, 130), name="sigint-commits-and-leaves")


@concurrent_test
def sigterm_leaves_the_group():
    """The next member need not wait for the session to time out."""
    with numbered_task(3, kafka={"session.timeout.ms": "45000", "heartbeat.interval.ms": "1000"}) as (topic, rows, db, document):
        with Sluice(document) as sluice:
            await_rows(sluice, db, rows, "the first process")
            leaves(sluice, signal.SIGTERM, 143)
        rows += produce(topic, 3, 3)
        ended = Sluice.run(document, "--until-end").expect(0)
        check(ended.seconds < 30, f"the next process needed {ended.seconds:.1f} s: the group was not left")
        check_rows(db, rows)


@concurrent_test
def sigterm_while_the_table_is_locked():
    with numbered_task(100) as (_, rows, db, document):
        blocker = db.connect()
        blocker.autocommit = False
        blocker.cursor().execute("LOCK TABLE t IN SHARE MODE")
        with Sluice(document) as sluice:
            sluice.wait_for(lambda: db.value("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = "
                                             "'t'::regclass") > 0, "it waits for the table")
            leaves(sluice, signal.SIGTERM, 143)
        blocker.close()
        check_rows(db, [])
        Sluice.run(document, "--until-end").expect(0)
        check_rows(db, rows, "after the next run")


@concurrent_test
def sigterm_while_it_waits_for_its_servers():
    topic = Topic()
    with Database() as db:
        db.sql(TABLE)
        kafka_away = numbered(topic, db, kafka={"bootstrap.servers": f"127.0.0.1:{free_port()}"})
        postgres_away = numbered(topic, db)
        postgres_away["target"]["postgres"] = f"postgresql://sluice:sluice@127.0.0.1:{free_port()}/{db.name}"
        for document in (kafka_away, postgres_away):
            with Sluice(document) as sluice:
                sluice.wait_output("waiting", 60)
                leaves(sluice, signal.SIGTERM, 143)


@concurrent_test
def summary_and_logs():
    topic = Topic(partitions=2)
    values = [{"id": number} for number in range(20)] + ["not json"]
    topic.produce(values)
    with Database() as db:
        db.sql(TABLE)
        document = numbered(topic, db, on_failure="discard", breaker={"share": 1})
        began = time.time()
        ended = Sluice.run(document, "--until-end", "--log-format", "json").expect(0)
        summary = ended.summary
        check_equal({key: summary[key] for key in ("task", "end", "rows_written", "discarded", "dead_letters", "errors")},
                    {"task": document["name"], "end": "applied", "rows_written": 20, "discarded": 1,
                     "dead_letters": 0, "errors": []})
        check(summary["bytes"] > 150 and summary["batches"] >= 1 and 0 < summary["seconds"] < 60
              and summary["resident_bytes_peak"] > 1 << 20, f"figures: {summary}")
        first, last = (datetime.datetime.fromisoformat(summary[name]).timestamp()
                       for name in ("first_message_at", "last_commit_at"))
        check(began <= first < last <= time.time() and abs(last - first - summary["first_to_last_seconds"]) < 0.01,
              f"times: {summary}, the test began at {began}")
        lines = [json.loads(line) for line in ended.err.splitlines() if line.startswith("{")]
        check(any(line.get("message") == "running" or line.get("msg") == "running" for line in lines),
              f"no line says that it is running: {lines[:3]}")
        check("not json" not in "".join(map(str, lines)), "a log shows a message's payload")
        with Sluice(document, "--until-end", "--summary", "/nonexistent/summary.json") as sluice:
            sluice.wait().expect(2, "/nonexistent/summary.json", "cannot be written")


@concurrent_test
def retry_for_ends_the_waiting():
    topic = Topic()
    with Database() as db:
        db.sql(TABLE)
        document = numbered(topic, db, retry_for="2s")
        document["target"]["postgres"] = f"postgresql://sluice:sluice@127.0.0.1:{free_port()}/{db.name}"
        ended = Sluice.run(document).expect(1, "nothing listens")
        check(2 <= ended.seconds < 30, f"it gave up after {ended.seconds:.1f} s")


@concurrent_test
def many_runs_leave_no_sessions_behind():
    topic = Topic()
    produce(topic, 0, 3)
    with Database() as db:
        db.sql(TABLE)
        document = numbered(topic, db)
        for _ in range(2):
            Sluice.run(document, "--until-end").expect(0)
        eventually(lambda: db.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                                    "application_name LIKE 'sluice%'") == 0, "its sessions are gone", 10)
        check_equal(db.value("SELECT count(*) FROM pg_prepared_xacts"), 0)


main()
