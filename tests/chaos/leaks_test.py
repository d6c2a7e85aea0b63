"""What is left behind: sessions, file descriptors and memory, after many restarts and under load.

SLUICE_LEAK_RESTARTS (12; the whole proof takes 50) and SLUICE_LEAK_SECONDS of load (15; an hour is 3600) say how long.
"""

import os
import pathlib
import signal
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import

RESTARTS = int(os.environ.get("SLUICE_LEAK_RESTARTS", "12"))
LOAD_S = float(os.environ.get("SLUICE_LEAK_SECONDS", "15"))
MEMORY_MB = 8  # more than this, from the second third of the load to the last, is a leak


def sessions(db):
    return db.sql("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'sluice%'",
                  superuser=True)


def descriptors(sluice):
    """By what they lead to, numbers left out: what is too many has a name."""
    kinds = {}
    for entry in os.scandir(f"/proc/{sluice.pid}/fd"):
        try:
            kind = os.readlink(entry.path).split(":[")[0]
        except FileNotFoundError:  # closed meanwhile
            continue
        kinds[kind] = kinds.get(kind, 0) + 1
    return kinds


def resident_mb(sluice):
    with open(f"/proc/{sluice.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@test
def lanes_that_lose_sessions_and_partitions_leave_nothing_behind():
    """One process: its sessions are ended, and every fifth time another one takes partitions and gives them back."""
    topic = Topic(partitions=4)
    with Database() as db:
        db.sql(TABLE)
        document = numbered(topic, db, tuning={**SMALL, "lanes": 2})
        rows = []

        def more(sluice, what):
            rows.extend(produce(topic, len(rows), 40))
            await_rows(sluice, db, rows, what)

        with Sluice(document) as sluice:
            more(sluice, "the first rows")
            usual, known = descriptors(sluice), len(sessions(db))
            for number in range(RESTARTS):
                if number % 5 == 4:
                    assigned = sluice.err.count("partitions given up")
                    with Sluice(document) as other:
                        sluice.wait_for(lambda: sluice.err.count("partitions given up") > assigned, "it gives partitions up")  # pylint: disable=cell-var-from-loop
                        more(other, f"both, restart {number}")
                        other.stop().expect(143)
                db.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND "
                       "application_name LIKE 'sluice%'", superuser=True)
                more(sluice, f"restart {number}")
                if number < RESTARTS // 2:  # the Kafka client has a connection more or less now and then
                    usual = {kind: max(usual.get(kind, 0), count) for kind, count in {**usual, **descriptors(sluice)}.items()}
            try:
                eventually(lambda: all(count <= usual.get(kind, 0) for kind, count in descriptors(sluice).items()),
                           "no more file descriptors than in the first half", 20)
            except Failure:
                raise Failure(f"after {RESTARTS} restarts: {descriptors(sluice)}, in the first half: {usual}") from None
            eventually(lambda: len(sessions(db)) <= known, f"no more than {known} sessions after {RESTARTS} restarts", 20)
            sluice.stop().expect(143)
        eventually(lambda: not sessions(db), "no session outlives the process")
        check_rows(db, rows)


@test
def restarts_of_a_task_leave_nothing_behind():
    """Stopped or killed wherever it is, time after time."""
    random = rng("leaks")
    topic = Topic(partitions=2)
    with Database() as db:
        db.sql(TABLE)
        document = numbered(topic, db, tuning=SMALL)
        with Feed(topic) as feed:
            for _ in range(RESTARTS):
                with Sluice(document) as sluice:
                    known = len(sluice.err)
                    sluice.wait_for(lambda: len(sluice.err) > known, "it says something")  # pylint: disable=cell-var-from-loop
                    time.sleep(random.uniform(0, 0.4))  # a random moment
                    sluice.signal(random.choice((signal.SIGTERM, signal.SIGKILL)))
                    sluice.wait(15)
            rows = feed.end()
        eventually(lambda: not sessions(db), f"no session outlives {RESTARTS} processes")
        check_equal(db.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database "
                           "WHERE datname = current_database())", superuser=True), [(0,)], "advisory locks")
        check_equal(db.sql("SELECT count(*) FROM pg_class WHERE relpersistence = 't'", superuser=True), [(0,)],
                    "temporary tables")
        document["tuning"] = {}
        until_end(document)
        check_rows(db, rows, f"after {RESTARTS} restarts (seed {seed()})")


@test
def memory_stays_flat_under_load():
    """Upserts with bad messages among them, so that every path is taken; the sanitizer keeps nothing that was freed."""
    topic = Topic(partitions=2)
    batch = [Message(value={"id": number % 500, "n": number, "text": "x" * 100}, key=str(number % 500)) for number in range(999)]
    batch.append(Message(value="not json", key="bad"))
    with Database() as db:
        db.sql("CREATE TABLE t (id int PRIMARY KEY, n int, text text)")
        document = task_for(topic, db, "t", sync={"write": "upsert"}, on_failure="discard", tuning={"batch_rows": 100, "linger_ms": 5},
                            breaker={"share": 1})

        def applied():
            return db.value("SELECT coalesce(sum(next_offset), 0) FROM sluice.ledger")

        quick = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1:thread_local_quarantine_size_kb=64"
        with Sluice(document, environment={"ASAN_OPTIONS": quick.strip(":")}) as sluice:
            samples = []
            sent = 0
            began = time.monotonic()
            while time.monotonic() - began < LOAD_S:
                topic.produce(batch)
                sent += len(batch)
                sluice.wait_for(lambda: applied() >= sent - 5 * len(batch), "it keeps up")  # pylint: disable=cell-var-from-loop
                samples.append(resident_mb(sluice))
            sluice.wait_for(lambda: applied() == sent, "everything is applied")
            sluice.stop().expect(143)
        third = len(samples) // 3
        check(third >= 5, f"{len(samples)} samples in {LOAD_S:g} s are too few to tell")
        # The first third warms up; the second and the third are compared.
        early, late = (statistics.median(part) for part in (samples[third:2 * third], samples[2 * third:]))
        check(late - early < MEMORY_MB, f"{early:.0f} MB in the middle, {late:.0f} MB at the end of {LOAD_S:g} s and {sent} messages")


main()
