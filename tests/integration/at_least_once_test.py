#!/usr/bin/python3
"""`delivery: at_least_once`, where the role may not make a ledger: no row is lost, the group in Kafka keeps the positions."""

import contextlib
import json
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import


@contextlib.contextmanager
def fixture(partitions=2, **sections):
    """Table t and a role that may insert into it, and nothing else."""
    topic = Topic(partitions=partitions)
    with Database() as db, role_of(db, grants="") as (user, uri):
        db.server(f"REVOKE CREATE, TEMPORARY ON DATABASE {db.name} FROM {user}")
        db.sql(TABLE)
        db.sql(f"GRANT INSERT ON public.t TO {user}", superuser=True)
        document = numbered(topic, db, delivery="at_least_once", kafka=QUICK_SESSION, **sections)
        document["target"]["postgres"] = uri
        yield topic, db, document, user


def group_is_at_the_end(document, topic):
    return group_offsets(f"sluice-{document['name']}", topic) == ends(topic)


def check_all_there(db, rows, what):
    """Each at least once, and nothing that was not sent."""
    check_equal(sorted(set(rows_of(db))), sorted(rows), what)


@concurrent_test
def rows_without_a_ledger():
    with fixture() as (topic, db, document, _):
        rows = produce(topic, 0, 100)
        until_end(document, texts=["at_least_once", "can come twice"])
        check_rows(db, rows, "the first run")
        check_equal(db.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'sluice'"), [(0,)], "schemas made")
        check(group_is_at_the_end(document, topic), "the group is elsewhere")
        rows += produce(topic, 100, 50)
        Sluice.run(document, command="check").expect(0, "at_least_once", "group")
        verified = json.loads(Sluice.run(document, "--json", command="verify").expect(1).out)
        check_equal(sum(each["lag"] for each in verified["partitions"]), 50, "lag")
        until_end(document)
        check_rows(db, rows, "the second run")
        check_equal(json.loads(Sluice.run(document, "--json", command="verify").expect(0).out)["all_applied"], True)


@concurrent_test
def exactly_once_is_refused_to_that_role():
    with fixture() as (topic, db, document, _):
        produce(topic, 0, 1)
        del document["delivery"]
        until_end(document, code=1, texts=["CREATE"])
        check_rows(db, [])


@concurrent_test
def commits_wait_for_the_disk():
    with fixture() as (topic, db, document, user):
        db.server(f"ALTER ROLE {user} SET synchronous_commit = off")
        db.sql("ALTER TABLE t ADD durable text DEFAULT current_setting('synchronous_commit')")
        produce(topic, 0, 10)
        until_end(document)
        check_equal(db.rows("SELECT durable, count(*) FROM t GROUP BY 1"), [("on", 10)])


@concurrent_test
def kills_lose_nothing():
    random = rng("kills")
    with fixture(tuning=SMALL) as (topic, db, document, _), Feed(topic, at_once=8) as feed:
        for _ in range(8):
            with Sluice(document) as sluice:
                random_moment(sluice, random, lambda: count_of(db), 300)
                sluice.kill().expect(-signal.SIGKILL)
        rows = feed.end()
        until_end(document, deadline_s=60)
        check_all_there(db, rows, f"after 8 kills (seed {seed()})")
        check(group_is_at_the_end(document, topic), "the group is elsewhere")


@concurrent_test
def lost_sessions_and_answers_lose_nothing():
    random = rng("sessions")
    with fixture(tuning=SMALL) as (topic, db, document, user), Feed(topic, at_once=8) as feed:
        with Sluice(document, environment={"SLUICE_FAIL_POINT": "after_commit_before_answer:7:disconnect"}) as sluice:
            for _ in range(6):
                random_moment(sluice, random, lambda: count_of(db), 200)
                db.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (user,), superuser=True)
            rows = feed.end()
            sluice.wait_for(lambda: set(rows_of(db)) == set(rows), "every row", 60)
            sluice.stop().expect(143)
        check_all_there(db, rows, f"after lost sessions (seed {seed()})")
        extra = count_of(db) - len(rows)
        check(extra > 0, "the batch whose COMMIT nobody answered was not written again")


@concurrent_test
def two_processes_share_and_one_dies():
    with fixture(partitions=4, tuning=SMALL) as (topic, db, document, _), Feed(topic, at_once=8) as feed:
        with Sluice(document) as one:
            one.wait_for(lambda: count_of(db) > 100, "the first rows")
            with Sluice(document) as two:
                shared = lambda: two.err.count("partitions assigned") > 0  # noqa: E731
                two.wait_for(shared, "a share for the second")
                one.kill().expect(-signal.SIGKILL)
                rows = feed.end()
                two.wait_for(lambda: set(rows_of(db)) == set(rows), "every row", 60)
                two.stop().expect(143)
        check_all_there(db, rows, "after one of two died")


@concurrent_test
def latest_is_resolved_once():
    with fixture(source={"start": "latest"}) as (topic, db, document, _):
        produce(topic, 0, 10)
        with Sluice(document) as sluice:
            sluice.wait_for(lambda: group_is_at_the_end(document, topic), "the group begins at the end")
            sluice.kill().expect(-signal.SIGKILL)
        rows = produce(topic, 10, 10)
        until_end(document, deadline_s=30)
        check_rows(db, rows, "what came after the first start")


@concurrent_test
def retain_stops_in_front_of_the_message_each_time():
    with fixture(partitions=1) as (topic, db, document, _):
        rows = produce(topic, 0, 5)
        topic.produce([Message(value="not json")])
        more = produce(topic, 6, 5)
        for _ in range(2):
            until_end(document, code=3, texts=["offset 5"])
            check_rows(db, rows, "in front of it")
        document["on_failure"] = "discard"
        until_end(document)
        check_rows(db, rows + more, "without it")


@concurrent_test
def what_makes_no_sense_is_refused():
    with fixture() as (topic, db, document, _):
        produce(topic, 0, 1)
        until_end({**document, "on_failure": "deliver"}, code=2, texts=["on_failure", "at_least_once", "retain, discard"])
        until_end(document, "--adopt", code=2, texts=["--adopt", "at_least_once"])
        until_end(document, "--take-over", code=2, texts=["--take-over"])
        with Sluice(document) as sluice:
            sluice.wait_for(lambda: count_of(db) == 1, "the row")
            sluice.stop().expect(143)
        until_end(document, "--reset", deadline_s=30)
        check_equal(count_of(db), 2, "rows after --reset")


@concurrent_test
def retention_that_was_faster_is_said():
    with fixture(partitions=1) as (topic, db, document, _):
        rows = produce(topic, 0, 10)
        until_end(document)
        later = produce(topic, 10, 10)
        topic.delete_records({0: 15})
        until_end(document, code=1, texts=["offsets 10 to 14", "retention", "on_gap: continue"])
        document["source"]["on_gap"] = "continue"
        until_end(document, texts=["offsets 10 to 14"])
        check_rows(db, rows + later[5:], "behind the gap")


main()
