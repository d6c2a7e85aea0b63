"""kill -9, SIGSTOP and broken servers at random moments: what was sent is in the table, each message exactly once."""

import contextlib
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import


@test
def kills_in_upserts():
    random = rng("kill-upsert")
    topic = Topic(partitions=2)
    messages = [Message(value={"id": number % 97, "n": number}, key=str(number % 97)) for number in range(4_000)]
    topic.produce(messages)
    last = {message.value["id"]: message.value["n"] for message in messages}
    with Database() as db:
        db.sql("CREATE TABLE t (id int PRIMARY KEY, n int, written int DEFAULT 0)")
        document = task_for(topic, db, "t", sync={"write": "upsert"}, tuning=SMALL)
        document["source"]["kafka"].update(QUICK_SESSION)

        def progress():
            return db.value("SELECT coalesce(max(n), 0) FROM t")

        for _ in range(6):
            with Sluice(document) as sluice:
                random_moment(sluice, random, progress, total=3_999)
                sluice.kill().expect(-signal.SIGKILL)
        document["tuning"] = {}
        until_end(document, deadline_s=90)
        check_equal(dict(db.rows("SELECT id, n FROM t")), last, f"the last of each key (seed {seed()})")


@test
def two_processes_killed_in_turn_while_messages_come():
    random = rng("kill-two")
    topic = Topic(partitions=4)
    with Database() as db, contextlib.ExitStack() as stack:
        db.sql(TABLE)
        document = numbered(topic, db, tuning={**SMALL, "lanes": 1})
        feed = stack.enter_context(Feed(topic, at_once=8))
        running = [stack.enter_context(Sluice(document)) for _ in range(2)]
        for _ in range(6):
            victim = random.randrange(2)
            random_moment(running[victim], random, lambda: count_of(db))
            running[victim].kill().expect(-signal.SIGKILL)
            running[victim] = stack.enter_context(Sluice(document))
        rows = feed.end()
        await_rows(running[0], db, rows, f"two processes, killed in turn (seed {seed()})")
        for sluice in running:
            sluice.stop().expect(143)
        check_rows(db, rows, "after both have left")


@test
def a_stopped_process_is_fenced_and_holds_nobody_up():
    """SIGSTOP in mid transaction: locks are held by a process that will not let go of them."""
    random = rng("stop")
    with numbered_task(12_000, partitions=2, tuning={**SMALL, "lanes": 1}) as (topic, rows, db, document):
        with Sluice(document) as zombie:
            zombie.wait_for(lambda: count_of(db) > 100, "the first rows", 60)
            stop_within_transaction(zombie, db, random)
            before = count_of(db)
            check(before < len(rows), "it was stopped too late: nothing was left to do")
            with Sluice({**document, "tuning": {}}) as successor:
                started = time.monotonic()
                successor.wait_for(lambda: count_of(db) > before, "the successor goes on", 40)
                held_up = time.monotonic() - started
                await_rows(successor, db, rows, f"the successor's work (seed {seed()})")
                zombie.signal(signal.SIGCONT)
                more = produce(topic, 12_000, 200)
                await_rows(successor, db, rows + more, "after the stopped one woke up")
                check(zombie.running(), f"the one that was stopped ended: {zombie.err[-1500:]}")
                zombie.stop().expect(143)
                successor.stop().expect(143)
            check_rows(db, rows + more, "after both have left")
            check(held_up < 20, f"the successor was held up for {held_up:.1f} s")


@test
def a_process_stopped_for_longer_than_its_session():
    """SIGSTOP between two batches, a successor, SIGCONT: what it had read by then is not written again."""
    topic = Topic(partitions=2)
    with Database() as db, Feed(topic) as feed:
        db.sql(TABLE)
        document = numbered(topic, db, tuning=SMALL)
        with Sluice(document) as zombie:
            zombie.wait_for(lambda: count_of(db) > 100, "the first rows")
            zombie.signal(signal.SIGSTOP)
            before = count_of(db)
            with Sluice(document) as successor:
                successor.wait_for(lambda: count_of(db) > before + 200, "the successor goes on")
                zombie.signal(signal.SIGCONT)
                before = count_of(db)
                successor.wait_for(lambda: count_of(db) > before + 400, "both go on")
                rows = feed.end()
                await_rows(zombie, db, rows, f"both together (seed {seed()})")
                successor.kill()
                more = produce(topic, 1_000_000, 50)
                await_rows(zombie, db, rows + more, "the one that was stopped has everything again")
                zombie.stop().expect(143)


@test
def sessions_lost_and_found_again_until_the_end():
    """Paused for longer than its session at random moments, with whatever it has in hand, and then stopped by a signal."""
    random = rng("pauses")
    topic = Topic(partitions=4)
    with Database() as db, Feed(topic, at_once=8) as feed:
        db.sql(TABLE)
        document = numbered(topic, db, tuning=SMALL)
        for _ in range(4):
            with Sluice(document) as sluice:
                for _ in range(2):
                    random_moment(sluice, random, lambda: count_of(db), 100)
                    sluice.signal(signal.SIGSTOP)
                    time.sleep(random.uniform(1.2, 1.8))  # the session lasts for 1.0 s
                    sluice.signal(signal.SIGCONT)
                time.sleep(random.uniform(0, 0.5))
                sluice.stop().expect(143)
        rows = feed.end()
        document["tuning"] = {}
        until_end(document, deadline_s=90)
        check_rows(db, rows, f"after eight pauses (seed {seed()})")


@test
def backends_terminated_at_random_moments():
    random = rng("terminate")
    topic = Topic(partitions=2)
    with Database() as db, Feed(topic, at_once=8) as feed:
        db.sql(TABLE)
        hits = 0
        with Sluice(numbered(topic, db, tuning=SMALL)) as sluice:
            while hits < 12:
                random_moment(sluice, random, lambda: count_of(db), 250)
                hits += len(db.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
                                    "current_database() AND application_name LIKE 'sluice %'", superuser=True))
            rows = feed.end()
            await_rows(sluice, db, rows, f"after {hits} backends were terminated (seed {seed()})", 90)
            sluice.stop().expect(143)
        check_rows(db, rows)


@test
def connections_cut_between_sluice_and_postgresql():
    """Answers of COMMIT are lost as well: only the ledger knows whether a batch was applied."""
    random = rng("cut")
    with numbered_task(12_000, partitions=2, tuning=SMALL) as (_, rows, db, document):
        with proxied(document) as proxy, Sluice(document) as sluice:
            for _ in range(15):
                random_moment(sluice, random, lambda: count_of(db), 250, len(rows))
                proxy.cut()
            await_rows(sluice, db, rows, f"after 15 cuts (seed {seed()})", 90)
            sluice.stop().expect(143)
        check_rows(db, rows)


@test
def postgresql_crashes_in_mid_run():
    random = rng("crash")
    topic = Topic(partitions=2)
    with Database() as db:
        db.sql(TABLE)
        document = numbered(topic, db, tuning=SMALL, on_failure="deliver")
        with Feed(topic) as feed, Sluice(document) as sluice:
            for _ in range(2):
                goal = count_of(db) + random.randint(50, 500)
                sluice.wait_for(lambda: count_of(db) >= goal, f"{goal} rows")
                dev("postgres", "down", "immediate")
                dev("postgres", "up")
                eventually(lambda: count_of(db) >= 0, "PostgreSQL answers")
            rows = feed.end()
            await_rows(sluice, db, rows, f"after two crashes of PostgreSQL (seed {seed()})", 90)
            sluice.stop().expect(143)
        check_rows(db, rows)
        check_equal(db.value("SELECT count(*) FROM sluice.dead_letter"), 0, "dead letters")


main()
