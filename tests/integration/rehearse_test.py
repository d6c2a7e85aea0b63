#!/usr/bin/python3
"""`sluice rehearse`: it finds what a run would meet, and leaves nothing behind."""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from kit import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import
from engine import TABLE, concurrent_test, numbered, produce  # noqa: E402 pylint: disable=wrong-import-position


def rehearse(document, *arguments, code=0):
    return json.loads(Sluice.run(document, "--json", *arguments, command="rehearse").expect(code).out)


def check_untouched(database, rows=0):
    check_equal(database.value("SELECT count(*) FROM public.t"), rows, "rows of the target")
    check_equal(database.sql("SELECT nspname FROM pg_namespace WHERE nspname = 'sluice'"), [], "no ledger was made")


@concurrent_test
def rehearse_counts_what_a_run_would_write():
    database, topic = Database(), Topic(partitions=3)
    database.sql(TABLE)
    produce(topic, 0, 30_000)
    result = rehearse(numbered(topic, database))
    check_equal((result["messages"], result["rows_written"], result["waiting"]), (10_000, 10_000, 30_000))
    check(result["wal_bytes"] > 10_000 * 16, f"{result['wal_bytes']} bytes of WAL for 10,000 rows")
    check(result["seconds"] > 0, "it took its time")
    check_equal(rehearse(numbered(topic, database), "--count", "30000")["rows_written"], 30_000)
    check_untouched(database)


@concurrent_test
def rehearse_of_upserts_tells_new_keys_from_those_that_are_there():
    database, topic = Database(), Topic()
    database.sql("CREATE TABLE public.t (id int PRIMARY KEY, v text); INSERT INTO public.t SELECT n, 'old' FROM "
                 "generate_series(1, 40) n")
    topic.produce([json.dumps({"id": number, "v": "new"}) for number in list(range(31, 61)) + [31]])
    document = task_for(topic, database, "public.t", sync={"write": "upsert"})
    result = rehearse(document)
    check_equal((result["rows_written"], result["keys_there"], result["keys_new"]), (31, 10, 20))
    check_untouched(database, rows=40)
    check_equal(database.value("SELECT count(*) FROM public.t WHERE v = 'new'"), 0)
    # Batches of one rehearsal see each other's rows.
    document["tuning"] = {"batch_rows": 10}
    result = rehearse(document)
    check_equal((result["rows_written"], result["keys_there"], result["keys_new"]), (31, 11, 20))


@concurrent_test
def rehearse_groups_failures_by_cause_and_names_where_a_run_would_stop():
    database, topic = Database(), Topic()
    database.sql("CREATE TABLE public.t (id int CHECK (id <> 13), at date)")
    topic.produce([json.dumps({"id": number, "at": "soon" if number % 10 == 7 else "2026-01-01"})
                   for number in range(100)] + ["not json"] * 3)
    document = task_for(topic, database, "public.t")
    result = rehearse(document, code=1)
    causes = [(cause["code"], cause["column"], cause["count"], cause["offset"]) for cause in result["causes"]]
    check_equal(causes, [("22007", "at", 10, 7), ("not_json", "", 3, 100), ("23514", "", 1, 13)])
    check_equal((result["failed"], result["rows_written"]), (14, 89))
    check_equal((result["would_stop"]["offset"], result["would_stop"]["code"]), (7, "22007"))
    result = rehearse({**document, "on_failure": "deliver"})
    check_equal((result["failed"], result.get("would_stop")), (14, None), "deliver would go on")
    result = rehearse({**document, "on_failure": "discard", "breaker": {"share": 0.1, "window": 20}}, code=1)
    check_equal(result["would_stop"]["code"], "breaker")
    check_untouched(database)


@concurrent_test
def rehearse_runs_triggers_and_finds_conflicts_across_batches():
    database, topic = Database(), Topic()
    database.sql("CREATE TABLE public.t (id int UNIQUE); "
                 "CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS "
                 "'BEGIN IF NEW.id = 5 THEN RAISE ''five''; END IF; RETURN NEW; END'; "
                 "CREATE TRIGGER no BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.no()")
    topic.produce([json.dumps({"id": number}) for number in list(range(30)) + [3]])
    result = rehearse(task_for(topic, database, "public.t", tuning={"batch_rows": 10}, on_failure="deliver"))
    check_equal(sorted((cause["code"], cause["offset"]) for cause in result["causes"]), [("23505", 30), ("P0001", 5)])
    check_untouched(database)


@concurrent_test
def rehearse_goes_on_where_the_task_is():
    database, topic = Database(), Topic()
    database.sql(TABLE)
    document = numbered(topic, database)
    produce(topic, 0, 10)
    Sluice.run(document, "--until-end").expect(0)
    produce(topic, 10, 5)
    result = rehearse(document)
    check_equal((result["from"], result["messages"]), ("ledger", 5))
    check_equal(rehearse(document, "--from-start")["messages"], 15)
    check_equal(database.value("SELECT sum(next_offset) FROM sluice.ledger"), 10, "the ledger's position")
    check_equal(database.value("SELECT count(*) FROM public.t"), 10)


@concurrent_test
def rehearse_without_privileges_says_so():
    database, topic = Database(), Topic()
    database.sql(TABLE)
    database.sql("ALTER TABLE public.t OWNER TO postgres", superuser=True)
    produce(topic, 0, 5)
    done = Sluice.run(numbered(topic, database), command="rehearse").expect(1, "42501")
    check("could not go on" in done.out, done.out)


@concurrent_test
def rehearse_of_a_locked_table_names_who_holds_it():
    database, topic = Database(), Topic()
    database.sql(TABLE)
    produce(topic, 0, 5)
    with database.connect() as holder:
        cursor = holder.cursor()
        cursor.execute("SET application_name = 'the dba'; BEGIN; LOCK TABLE public.t")
        result = rehearse(numbered(topic, database), code=1)
        holder.rollback()
    check_equal(result["error"]["code"], "55P03")
    check(any("the dba" in each for each in result["holders"]), f"holders: {result['holders']}")
    check_equal(result["error_class"], "conflict")


@concurrent_test
def rehearse_of_an_empty_topic():
    database, topic = Database(), Topic()
    database.sql(TABLE)
    check_equal(rehearse(numbered(topic, database))["messages"], 0)
    check_untouched(database)


if __name__ == "__main__":
    main()
