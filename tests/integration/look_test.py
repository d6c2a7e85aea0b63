#!/usr/bin/python3
"""`sluice preview` and `sluice verify`: what they show of real topics and tables, and that they change nothing."""

import base64
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from kit import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import
from engine import COLUMNS, TABLE, concurrent_test, numbered, produce  # noqa: E402 pylint: disable=wrong-import-position


def sluice(command, document, *arguments, code=0):
    return Sluice.run(document, *arguments, command=command).expect(code)


def shown(command, document, *arguments, code=0):
    return json.loads(sluice(command, document, "--json", *arguments, code=code).out)


def nothing_written(database):
    schemas = database.sql("SELECT nspname FROM pg_namespace WHERE nspname = 'sluice'")
    check_equal(schemas, [], "no ledger was made")
    check_equal(database.value("SELECT count(*) FROM public.t"), 0, "rows")


@concurrent_test
def preview_shows_the_row_of_each_message_as_postgres_reads_it():
    database, topic = Database(), Topic()
    database.sql("CREATE TABLE public.t (id bigint NOT NULL, price numeric(8,2), at timestamptz, "
                     "name varchar(3), made timestamptz NOT NULL DEFAULT now(), note text)")
    topic.produce(['{"id": 1, "price": 1.005, "at": "2026-03-01T01:00:00+01:00", "name": "a\\tb"}',
                   '{"id": "two"}', 'not json', '{"id": 4, "name": "long"}', '{"id": null}', None,
                   '{"id": 7, "price": null, "name": "\\u00e9\\n\\\\"}'])
    result = shown("preview", task_for(topic, database, "public.t"))
    rows = [message.get("row") for message in result["messages"]]
    codes = [message.get("error", {}).get("code") for message in result["messages"]]
    check_equal(codes, [None, "22P02", "not_json", "22001", "23502", "tombstone", None])
    check_equal(rows[0], {"id": "1", "price": "1.01", "at": "2026-03-01 00:00:00+00", "name": "a\tb",
                          "made": {"default": "now()"}, "note": None})
    check_equal(rows[6]["name"], "é\n\\", "escapes")
    check_equal(result["messages"][5]["value"], None, "a tombstone has no value")
    check_equal((result["from"], result["waiting"]), ("start", 7))
    nothing_written(database)


@concurrent_test
def preview_takes_messages_of_all_partitions_and_goes_on_where_the_task_is():
    database, topic = Database(), Topic(partitions=4)
    database.sql(TABLE)
    produce(topic, 0, 400)
    document = numbered(topic, database)
    result = shown("preview", document, "--count", "12")
    places = [(message["partition"], message["offset"]) for message in result["messages"]]
    check_equal(places, [(partition, offset) for partition in range(4) for offset in range(3)], "three of each")
    nothing_written(database)
    Sluice.run(document, "--until-end").expect(0)
    check_equal(shown("preview", document)["messages"], [], "everything is applied")
    produce(topic, 400, 4)
    result = shown("preview", document)
    check_equal((result["from"], [message["offset"] for message in result["messages"]]), ("ledger", [100] * 4))
    check_equal(len(shown("preview", document, "--from-start", "--count", "5")["messages"]), 5)


@concurrent_test
def preview_shows_messages_although_the_target_is_wrong():
    database, topic = Database(), Topic()
    topic.produce(['{"id": 1}'])
    result = shown("preview", task_for(topic, database, "public.t"), code=1)
    check_equal([message["value"] for message in result["messages"]], ['{"id": 1}'])
    check_equal([error["code"] for error in result["target_errors"]], ["42P01"])


@concurrent_test
def preview_of_binary_huge_and_no_messages():
    database, topic = Database(), Topic()
    database.sql(TABLE)
    document = numbered(topic, database)
    done = sluice("preview", document)
    check("there is no message behind source.start" in done.out, done.out)
    topic.produce([bytes(range(255, -1, -1)), b"\x00\x00\x00\x00\x07abc", '{"id": 1, "pad": "' + "x" * 9_900_000 + '"}'])
    result = shown("preview", document)
    check_equal(base64.b64decode(result["messages"][0]["value"]["base64"]), bytes(range(255, -1, -1)))
    check_equal([message.get("error", {}).get("code") for message in result["messages"]],
                ["not_utf8", "schema_registry", None])
    check_equal(result["messages"][2]["row"]["id"], "1")
    check(result["messages"][2]["value_bytes"] > 9_900_000 > len(result["messages"][2]["value"]), "cut")
    text = sluice("preview", document).out
    check(len(text) < 4_000, f"{len(text)} bytes for three messages")
    check(all(character >= " " or character == "\n" for character in text), "a terminal gets no control characters")


@concurrent_test
def preview_is_no_member_of_the_group():
    database, topic = Database(), Topic()
    database.sql(TABLE)
    produce(topic, 0, 10)
    document = numbered(topic, database)
    Sluice.run(document, "--until-end").expect(0)
    shown("preview", document)
    result = shown("verify", document)
    check_equal(result["all_applied"], True)
    changed = {**document, "on_failure": "discard", "sync": {**document["sync"], "nul": "strip"}}
    Sluice.run(changed, "--until-end").expect(0)  # refused if anybody were in the group


@concurrent_test
def verify_counts_lag_in_messages_and_seconds():
    database, topic = Database(), Topic(partitions=2)
    database.sql(TABLE)
    document = numbered(topic, database)
    result = shown("verify", document, code=1)
    check_equal((result["begun"], result["all_applied"]), (False, False))
    produce(topic, 0, 20)
    Sluice.run(document, "--until-end").expect(0)
    result = shown("verify", document)
    check_equal([(each["next_offset"], each["end"], each["lag"]) for each in result["partitions"]], [(10, 10, 0)] * 2)
    stamp = int((time.time() - 90) * 1000)
    topic.produce([Message(value={"id": 99}, partition=1, timestamp_ms=stamp)] * 3)
    result = shown("verify", document, code=1)
    check_equal([each["lag"] for each in result["partitions"]], [0, 3])
    age = result["partitions"][1]["lag_seconds"]
    check(89 < age < 150, f"the oldest message is {age} s old")
    check_equal(result["partitions"][0]["lag_seconds"], None)
    Sluice.run(document, "--until-end").expect(0)
    check_equal(shown("verify", document)["all_applied"], True)


@concurrent_test
def verify_is_not_misled_by_transaction_markers():
    database, topic = Database(), Topic()
    database.sql(TABLE)
    document = numbered(topic, database)
    topic.produce(['{"id": 1}'])
    Sluice.run(document, "--until-end").expect(0)
    with topic.transaction() as transaction:
        transaction.produce(['{"id": 2}'])
        transaction.abort()
    result = shown("verify", document)
    check_equal((result["partitions"][0]["end"], result["partitions"][0]["lag"]), (3, 0), "nothing to apply")


@concurrent_test
def verify_names_what_retention_took_and_a_topic_that_is_gone():
    database, topic = Database(), Topic()
    database.sql(TABLE)
    document = numbered(topic, database)
    produce(topic, 0, 10)
    Sluice.run(document, "--until-end").expect(0)
    produce(topic, 10, 10)
    topic.delete_records({0: 15})
    result = shown("verify", document, code=1)
    check_equal([(each["low"], each["missing"], each["lag"]) for each in result["partitions"]], [(15, 5, 5)])
    topic.delete()
    result = shown("verify", document, code=1)
    check_equal([problem["code"] for problem in result["problems"]], ["UNKNOWN_TOPIC_OR_PART"])
    check_equal([(each["next_offset"], each["end"]) for each in result["partitions"]], [(10, None)], "the ledger's part")


@concurrent_test
def verify_shows_a_halt():
    database, topic = Database(), Topic()
    database.sql(TABLE)
    document = numbered(topic, database)
    topic.produce(['{"id": 1}', 'oops', '{"id": 3}'])
    Sluice.run(document, "--until-end").expect(3)
    result = shown("verify", document, code=1)
    check_equal((result["halt"]["offset"], result["partitions"][0]["lag"]), (1, 2))
    check("halted at" in sluice("verify", document, code=1).out, "the text says it too")


if __name__ == "__main__":
    main()
