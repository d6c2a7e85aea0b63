#!/usr/bin/python3
"""`sluice dead-letters`: list, show, purge, and a replay that doubles and loses nothing."""

import json
import pathlib
import signal
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from kit import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import
from engine import concurrent_test  # noqa: E402 pylint: disable=wrong-import-position


def letters(document, action, *arguments, code=0):
    return Sluice.run(document, *arguments, command=f"dead-letters {action}").expect(code)


def shown(document, action, *arguments, code=0):
    return json.loads(letters(document, action, "--json", *arguments, code=code).out)


def set_up(count=40, sync=None):
    """A task that delivers: every fourth message is not for an int column, message 1 is no JSON."""
    database, topic = Database(), Topic()
    database.sql("CREATE TABLE public.t (id int PRIMARY KEY, n int, kafka_offset bigint)")
    document = task_for(topic, database, "public.t", on_failure="deliver", breaker={"share": 1, "window": 1000000}, sync={
        "columns": [{"field": "id", "column": "id"}, {"field": "n", "column": "n"},
                    {"meta": "offset", "column": "kafka_offset"}], **(sync or {})})
    topic.produce([Message(value="no json" if number == 1 else {"id": number, "n": "4x" if number % 4 == 0 else number},
                           key=f"k{number}", headers=[("h", b"\x00\xff"), ("none", None)]) for number in range(count)])
    Sluice.run(document, "--until-end").expect(0)
    return database, topic, document


@concurrent_test
def letters_are_listed_by_cause_and_shown_with_everything():
    _, topic, document = set_up()
    causes = shown(document, "list")
    check_equal([(cause["class"], cause["code"], cause["column"], cause["count"]) for cause in causes],
                [("data", "22P02", "n", 10), ("message", "not_json", "", 1)])
    check("11 dead letters, 2 causes" in letters(document, "list").out, "the sum")
    found = shown(document, "show", "--code", "22P02", "--limit", "3")
    check_equal([(letter["topic"], letter["offset"]) for letter in found], [(topic.name, 0), (topic.name, 4), (topic.name, 8)])
    check_equal(found[1]["key"], "k4")
    check_equal(json.loads(found[1]["value"]), {"id": 4, "n": "4x"})
    check_equal(found[1]["headers"], [{"name": "h", "value": {"base64": "AP8="}}, {"name": "none", "value": None}])
    text = letters(document, "show", "--id", str(found[1]["id"])).out
    check("offset 4" in text and "4x" in text and "\x00" not in text, text)
    check_equal(shown(document, "show", "--task", "another"), [])


@concurrent_test
def replay_after_the_table_was_corrected_applies_each_letter_once():
    database, _, document = set_up()
    before = database.value("SELECT count(*) FROM public.t")
    result = shown(document, "replay", code=1)
    check_equal((result["applied"], result["failed"], result["left"]), (0, 11, 0), "nothing has changed yet")
    database.sql("ALTER TABLE public.t ALTER n TYPE text")
    result = shown(document, "replay", "--code", "22P02")
    check_equal((result["applied"], result["failed"], result["task_known"]), (10, 0, True))
    check_equal(database.value("SELECT count(*) FROM public.t"), before + 10)
    check_equal(database.sql("SELECT id, n, kafka_offset FROM public.t WHERE id % 4 = 0 ORDER BY id LIMIT 2"),
                [(0, "4x", 0), (4, "4x", 4)], "the letter's own coordinates")
    check_equal(database.sql("SELECT code FROM sluice.dead_letter"), [("not_json",)], "what failed stays")
    result = shown(document, "replay", code=1)
    check_equal((result["applied"], result["failed"]), (0, 1), "again: nothing twice")
    Sluice.run(document, "--until-end")  # the task itself is not disturbed
    check_equal(database.value("SELECT count(*) FROM public.t"), before + 10)


@concurrent_test
def a_letter_that_fails_again_has_its_new_reason():
    database, _, document = set_up()
    database.sql("ALTER TABLE public.t ALTER n TYPE text, ADD CONSTRAINT no_x CHECK (n NOT LIKE '%x')")
    result = shown(document, "replay", code=1)
    check_equal((result["applied"], result["failed"]), (0, 11))
    check_equal(sorted(database.sql("SELECT code, count(*) FROM sluice.dead_letter GROUP BY 1")),
                [("23514", 10), ("not_json", 1)])


@concurrent_test
def two_replays_at_once_and_one_that_is_killed_double_nothing():
    database, topic = Database(), Topic()
    database.sql("CREATE TABLE public.t (id int, n int)")  # no key: a letter that is applied twice shows
    document = task_for(topic, database, "public.t", on_failure="deliver", breaker={"share": 1, "window": 1000000})
    topic.produce([json.dumps({"id": number, "n": "x"}) for number in range(5000)])
    Sluice.run(document, "--until-end").expect(0)
    database.sql("ALTER TABLE public.t ALTER n TYPE text; "
                 "CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS "
                 "'BEGIN PERFORM pg_sleep(0.0005); RETURN NEW; END'; "
                 "CREATE TRIGGER slow BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.slow()")
    with Sluice(document, command="dead-letters replay") as killed:
        time.sleep(1.5)
        killed.signal(signal.SIGKILL)
        killed.wait(10)
    threads = [threading.Thread(target=lambda: Sluice.run(document, command="dead-letters replay")) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    Sluice.run(document, command="dead-letters replay").expect(0)
    check_equal(database.sql("SELECT count(*), count(DISTINCT id) FROM public.t"), [(5000, 5000)])
    check_equal(database.value("SELECT count(*) FROM sluice.dead_letter"), 0)


@concurrent_test
def a_letter_of_a_task_that_is_gone_is_taken_by_the_document():
    database, _, document = set_up()
    database.sql("DELETE FROM sluice.task")
    database.sql("ALTER TABLE public.t ALTER n TYPE text")
    done = letters(document, "replay", "--code", "22P02")
    check("no task of that name" in done.out, done.out)
    check_equal(database.value("SELECT count(*) FROM public.t WHERE n LIKE '%x'"), 10)


@concurrent_test
def replay_of_a_table_that_is_gone_or_has_lost_a_column_is_refused():
    database, _, document = set_up()
    database.sql("ALTER TABLE public.t DROP n")
    letters(document, "replay", code=1).expect(1, '"n"')
    database.sql("DROP TABLE public.t")
    letters(document, "replay", code=1).expect(1, "does not exist")
    check_equal(database.value("SELECT count(*) FROM sluice.dead_letter"), 11, "nothing is lost")


@concurrent_test
def purge_wants_to_know_which():
    database, _, document = set_up()
    letters(document, "purge", code=2).expect(2, "--all")
    check_equal(shown(document, "purge", "--code", "not_json"), {"purged": 1})
    check_equal(shown(document, "purge", "--before", "2020-01-01"), {"purged": 0})
    letters(document, "purge", "--before", "yesterday evening", code=2)
    check_equal(shown(document, "purge", "--all"), {"purged": 10})
    check_equal(database.value("SELECT count(*) FROM sluice.dead_letter"), 0)


@concurrent_test
def letters_where_there_is_no_ledger():
    database, topic = Database(), Topic()
    database.sql("CREATE TABLE public.t (id int)")
    letters(task_for(topic, database, "public.t"), "list", code=1).expect(1, "no ledger")


if __name__ == "__main__":
    main()
