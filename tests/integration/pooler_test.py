#!/usr/bin/python3
"""`target.pooler: transaction`: through a real PgBouncer in transaction mode, whose server sessions are shared."""

import contextlib
import pathlib
import signal
import sys
import time
from urllib.parse import urlsplit, urlunsplit

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import


@contextlib.contextmanager
def bouncer():
    """Its address. Started for this test unless it runs: three sessions of the server for each database."""
    ran = True
    try:
        dev("pgbouncer", "status")
    except Failure:
        ran = False
        dev("install", "run")
        dev("pgbouncer", "up")
    try:
        yield dev("pgbouncer", "uri").strip()
    finally:
        if not ran:
            dev("pgbouncer", "down")


def through(uri, document):
    """The document with the pooler's address."""
    target = document["target"]
    own = urlsplit(target["postgres"])
    document["target"] = {**target, "postgres": urlunsplit(own._replace(netloc=urlsplit(uri).netloc)),
                          "pooler": "transaction"}
    return document


def sessions(db):
    """Those of the server that the program's clients share."""
    return db.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                    "application_name LIKE 'sluice%'")


@test
def inserts_by_two_processes_and_four_lanes_share_three_sessions():
    topic = Topic(partitions=4)
    rows = produce(topic, 0, 4_000)
    with Database() as db, bouncer() as uri:
        db.sql(TABLE)
        document = through(uri, numbered(topic, db, tuning={**SMALL, "lanes": 2}))
        most = 0
        with Sluice(document) as one, Sluice(document) as two:
            def all_written():
                nonlocal most
                most = max(most, sessions(db))
                return count_of(db) >= len(rows)
            one.wait_for(all_written, "all rows through the pooler", 120)
            one.stop().expect(143)
            two.stop().expect(143)
        check_rows(db, rows)
        check(most <= 3, f"{most} sessions of the server: they were not shared")
        check_equal(ledger(db, document), {(topic.name, each): end for each, end in ends(topic).items()}, "the ledger")


@test
def upserts_and_deletes_killed_in_the_middle():
    random = rng("pooler-kill")
    topic = Topic(partitions=2)
    messages = [Message(value={"id": number % 97, "n": number, **({"s": "x"} if number % 5 else {})},
                        key=str(number % 97)) for number in range(4_000)]
    messages += [Message(value=None, key=str(number)) for number in range(10)]
    topic.produce(messages)
    last = {message.value["id"]: message.value["n"] for message in messages if message.value}
    for number in range(10):
        del last[number]
    with Database() as db, bouncer() as uri:
        db.sql("CREATE TABLE public.t (id int PRIMARY KEY, n int, s text DEFAULT 's0')")
        document = through(uri, task_for(topic, db, "public.t", tuning={**SMALL, "lanes": 2},
                                         sync={"write": "upsert", "on_tombstone": "delete"}))
        document["source"]["kafka"].update(QUICK_SESSION)

        def progress():
            return db.value("SELECT coalesce(max(n), 0) FROM t")

        for _ in range(4):
            with Sluice(document) as sluice:
                goal = min(progress() + random.randint(1, 800), 3_900)
                sluice.wait_for(lambda: progress() >= goal, f"progress to {goal}", 60)  # pylint: disable=cell-var-from-loop
                time.sleep(random.uniform(0, 0.03))
                sluice.kill().expect(-signal.SIGKILL)
        document["tuning"] = {}
        Sluice.run(document, "--until-end", deadline_s=90).expect(0)
        check_equal(dict(db.rows("SELECT id, n FROM t")), last, f"the last of each key (seed {seed()})")
        left = db.value("SELECT count(*) FROM pg_class WHERE relname LIKE 'sluice%stage' AND relpersistence = 't'")
        check_equal(left, 0, "temporary tables that outlived their transaction")


@test
def every_way_of_writing_and_bad_rows():
    with Database() as db, bouncer() as uri:
        for write in ("insert_ignore", "update", "upsert"):
            topic = Topic()
            topic.produce(['{"id": 1, "n": 1, "v": 1}', '{"id": 2, "n": -1, "v": 1}', '{"id": 1, "n": 5, "v": 0}',
                           '{"id": 1, "n": 2, "v": 2}', '{"id": "x"}'])
            db.sql("DROP TABLE IF EXISTS public.t; CREATE TABLE public.t (id int PRIMARY KEY, n int CHECK (n > 0), v int); "
                   "INSERT INTO public.t VALUES (1, 9, 0)")
            sync = {"write": write} if write == "insert_ignore" else {"write": write, "only_if_newer": "v"}
            document = through(uri, task_for(topic, db, "public.t", sync=sync, on_failure="deliver"))
            Sluice.run(document, "--until-end").expect(0)
            check_equal(db.rows("SELECT * FROM t"), [(1, 9, 0)] if write == "insert_ignore" else [(1, 2, 2)], write)
            dead = db.rows("SELECT message_offset FROM sluice.dead_letter WHERE task = %s ORDER BY 1", (document["name"],))
            # update finds no row 2 that the bad value could be refused for
            check_equal([offset for offset, in dead], [4] if write == "update" else [1, 4], write)


@test
def a_stopped_process_behind_the_pooler_is_ended():
    random = rng("pooler-stop")
    topic = Topic(partitions=2)
    rows = produce(topic, 0, 12_000)
    with Database() as db, bouncer() as uri:
        db.sql(TABLE)
        document = through(uri, numbered(topic, db, tuning={**SMALL, "lanes": 1}))
        with Sluice(document) as zombie:
            zombie.wait_for(lambda: count_of(db) > 100, "the first rows", 60)
            stop_within_transaction(zombie, db, random)
            before = count_of(db)
            check(before < len(rows), "it was stopped too late: nothing was left to do")
            with Sluice({**document, "tuning": {}}) as successor:
                successor.wait_for(lambda: count_of(db) > before, "the successor goes on", 60)
                await_rows(successor, db, rows, f"the successor's work (seed {seed()})")
                zombie.signal(signal.SIGCONT)
                successor.stop().expect(143)
            zombie.kill()
        check_rows(db, rows, "after the stopped one woke up")


@test
def check_sees_a_pooler_that_the_document_does_not_name():
    topic = Topic()
    with Database() as db, bouncer() as uri:
        db.sql(TABLE)
        document = through(uri, numbered(topic, db))
        named = Sluice.run(document, command="check").expect(0)
        check("pooler stands" not in named.out + named.err, "a warning although it is named")
        document["target"]["pooler"] = "none"
        Sluice.run(document, command="check").expect(0, "a connection pooler stands in front of the server")


main()
