#!/usr/bin/python3
"""`sluice verify --against`: a target compared with its source, row by row, in real databases; and repaired."""

import json
import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from kit import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import
from engine import concurrent_test, role_of  # noqa: E402 pylint: disable=wrong-import-position


def mirror(topic, target, table="public.t", **sync):
    document = task_for(topic, target, table, sync={"mode": "mirror", **sync})
    document["sync"].pop("write", None)
    return document


def compared(document, source, *arguments, code=0, settle="0"):
    done = Sluice.run(document, "--against", source.uri, "--json", "--settle", settle, *arguments, command="verify")
    return json.loads(done.expect(code).out)


def counts(result):
    return tuple(result[name] for name in ("missing", "extra", "different", "unsettled"))


def keys(result, kind, column="id"):
    return sorted(each["key"][column] for each in result["differences"] if each["kind"] == kind)


def both(source_sql, target_sql=None):
    source, target = Database(), Database()
    source.sql(source_sql)
    target.sql(target_sql or source_sql)
    return source, target, mirror(Topic(), target)


MANY = ("CREATE TABLE public.t (id bigint PRIMARY KEY, a text, b numeric, c timestamptz); "
        "INSERT INTO public.t SELECT i, 'row ' || i, i / 7.0, timestamptz '2026-01-01Z' + i * interval '1 s' "
        "FROM generate_series(1, 45000) i")


@concurrent_test
def equal_tables_are_the_same():
    source, target, document = both(MANY)
    result = compared(document, source)
    check_equal((result["same"], result["source_rows"], result["target_rows"], counts(result)), (True, 45000, 45000, (0, 0, 0, 0)))
    check_equal(result["columns"], ["a", "b", "c"])
    done = Sluice.run(document, "--against", source.uri, command="verify").expect(0)
    check("source and target are the same" in done.out, done.out)
    for database in (source, target):
        database.sql("TRUNCATE public.t")
    check_equal(compared(document, source)["same"], True, "two empty tables")


@concurrent_test
def every_difference_is_found_in_many_rows():
    source, target, document = both(MANY)
    target.sql("DELETE FROM public.t WHERE id IN (1, 20000, 20001, 45000); "
               "INSERT INTO public.t (id, a) VALUES (-5, 'no'), (50000, 'no'); "
               "UPDATE public.t SET a = NULL WHERE id = 7; UPDATE public.t SET b = b + 0.0001, c = NULL WHERE id = 30000; "
               # Two rows that have swapped their values.
               "UPDATE public.t o SET (a, b, c) = (SELECT a, b, c FROM public.t WHERE id = 201 - o.id) WHERE id IN (100, 101)")
    result = compared(document, source, code=1)
    check_equal(counts(result), (4, 2, 4, 0))
    check_equal(keys(result, "missing"), ["1", "20000", "20001", "45000"])
    check_equal(keys(result, "extra"), ["-5", "50000"])
    check_equal(keys(result, "different"), ["100", "101", "30000", "7"])
    by_key = {each["key"]["id"]: each for each in result["differences"]}
    check_equal((by_key["7"]["source"], by_key["7"]["target"]), ({"a": "row 7"}, {"a": None}))
    check_equal(sorted(by_key["30000"]["target"]), ["b", "c"])
    check_equal(by_key["50000"]["target"]["a"], "no")
    done = Sluice.run(document, "--against", source.uri, "--settle", "0", "--limit", "3", command="verify").expect(1)
    check("and 7 more" in done.out and "4 missing, 2 extra, 4 different" in done.out, done.out)


@concurrent_test
def a_target_without_any_row_and_one_without_source():
    source, target, document = both(MANY)
    target.sql("TRUNCATE public.t")
    check_equal(counts(compared(document, source, code=1)), (45000, 0, 0, 0))
    target.sql(MANY.split(";")[1])
    source.sql("TRUNCATE public.t")
    result = compared(document, source, code=1)
    check_equal((counts(result), len(result["differences"])), ((0, 45000, 0, 0), 100))


@concurrent_test
def types_that_differ_compare_by_value():
    source, _, document = both(
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE public.t (id int PRIMARY KEY, n numeric(20), p numeric, r real, d double precision, "
        "v varchar(5), c char(4), ts timestamp(3), dt date, j json, b bytea, iv interval, m mood, u uuid, arr numeric[], f boolean, tz timetz, ip inet)",
        "CREATE TABLE public.t (extra int, id bigint PRIMARY KEY, \"N\" bigint, p numeric(10,3), r double precision, d numeric, v text, c text, "
        "ts timestamptz, dt timestamp, j jsonb, b bytea, iv interval, m text, u text, arr numeric(9,4)[], f smallint, tz timetz, ip text)")
    row = ("(1, 12, 1.50, 1.1, 0.1, 'a', 'ab', '2026-01-02 03:04:05.678', '2026-01-02', '{\"b\": 1,  \"a\": [1.0]}', '\\x00ff', '1 day 2 hours', 'ok', "
           "'6b0a7a6e-55b0-4f7e-9d1c-1d1c6d3f0a11', '{1.5,NULL,2}', %s, '12:00:00+02', '10.0.0.1'), (2%s)")
    nulls = ", NULL" * 17
    source.sql("INSERT INTO public.t VALUES " + row % ("true", nulls))
    target = _
    target.sql("INSERT INTO public.t (id, \"N\", p, r, d, v, c, ts, dt, j, b, iv, m, u, arr, f, tz, ip) VALUES "
               + (row % ("1", nulls)).replace("'ab'", "'ab  '").replace("05.678'", "05.678+00'").replace("'1 day 2 hours'", "'26:00:00'")
               .replace("'12:00:00+02'", "'10:00:00+00'").replace("'10.0.0.1'", "'10.0.0.1/32'"))
    result = compared(document, source)
    check_equal((result["same"], result["only_target"], result["only_source"], result["by_text"]), (True, ["extra"], [], []))
    for column, value in (("\"N\"", "13"), ("p", "1.501"), ("r", "1.2"), ("d", "0.10001"), ("v", "'b'"), ("c", "'ab.'"), ("ts", "'2026-01-02 03:04:05.678+01'"),
                          ("dt", "'2026-01-02 00:00:01'"), ("j", "'{\"b\": 2, \"a\": [1.0]}'"), ("b", "'\\x00fe'"), ("iv", "'25:00:00'"), ("m", "'sad'"),
                          ("u", "'x'"), ("arr", "'{1.5,2,NULL}'"), ("f", "0"), ("tz", "'10:00:01+00'"), ("ip", "'10.0.0.2/32'")):
        old = target.value(f"SELECT {column}::text FROM public.t WHERE id = 1")
        target.sql(f"UPDATE public.t SET {column} = {value} WHERE id = 1")
        result = compared(document, source, code=1)
        check_equal([sorted(each["target"]) for each in result["differences"]], [[column.strip('"')]], column)
        target.sql(f"UPDATE public.t SET {column} = %s WHERE id = 1", (old,))
    target.sql("UPDATE public.t SET v = 'x'")
    check_equal(compared(document, source, "--ignore", "v")["same"], True)


@concurrent_test
def keys_of_several_columns_and_texts_in_other_collations():
    table = ("CREATE TABLE public.t (a text {}, b int, c date, v int, PRIMARY KEY (a, b, c)); "
             "INSERT INTO public.t SELECT (ARRAY['a', 'B', 'Á', 'z', 'Zz', 'a b', 'ä', '', '\u4e2d', '\U0001f6b2'])[1 + i %% 10] || i / 500, i, "
             "date '2026-01-01' + i %% 3, i FROM generate_series(1, 9000) i").replace("%%", "%")
    source, target, document = both(table.format('COLLATE "C"'), table.format('COLLATE "en-x-icu"'))
    check_equal(compared(document, source)["same"], True)
    target.sql("DELETE FROM public.t WHERE b = 17; UPDATE public.t SET v = 0 WHERE b IN (4321, 4322); INSERT INTO public.t VALUES ('it''s \\', 1, '2026-01-01')")
    result = compared(document, source, code=1)
    check_equal(counts(result), (1, 1, 2, 0))
    check_equal((keys(result, "missing", "b"), keys(result, "extra", "a"), keys(result, "different", "b")),
                (["17"], ["it's \\"], ["4321", "4322"]))
    check_equal(compared(document, source, "--repair")["same"], True)
    check_equal(target.rows("SELECT a, b, c, v FROM public.t ORDER BY b"), source.rows("SELECT a, b, c, v FROM public.t ORDER BY b"))


@concurrent_test
def without_a_key_rows_are_counted():
    source, target, document = both("CREATE TABLE public.t (a int, b text); INSERT INTO public.t SELECT i % 900, 'x' FROM generate_series(1, 3000) i")
    check_equal(compared(document, source)["same"], True)
    target.sql("INSERT INTO public.t VALUES (5, 'x'); DELETE FROM public.t WHERE a = 7; INSERT INTO public.t VALUES (7000, NULL)")
    result = compared(document, source, code=1)
    check_equal((counts(result), result["target_rows"]), ((1, 1, 1, 0), 2998))
    found = {each["kind"]: each for each in result["differences"]}
    check_equal((found["missing"]["source"], found["extra"]["target"]), ({"rows": "4", "values": "7, x"}, {"rows": "1", "values": "7000, NULL"}))
    check_equal((found["different"]["source"], found["different"]["target"]), ({"rows": "4"}, {"rows": "5"}))
    Sluice.run(document, "--against", source.uri, "--repair", command="verify").expect(2, "has no key")


def event(database, number):
    """Changes one row of the source, and says so in the way of a flat change event."""
    row = number % 300
    value = database.value("INSERT INTO public.t VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET n = excluded.n RETURNING n", (row, number))
    return Message(value={"id": row, "n": value}, key=json.dumps({"id": row}))


@test
def a_source_that_goes_on_changing_is_no_difference():
    topic, source, target = Topic(), Database(), Database()
    table = "CREATE TABLE public.t (id int PRIMARY KEY, n int)"
    source.sql(table + "; INSERT INTO public.t SELECT i, 0 FROM generate_series(1000, 5000) i")
    target.sql(table + "; INSERT INTO public.t SELECT i, 0 FROM generate_series(1000, 5000) i")
    document = mirror(topic, target)
    stop, sent = threading.Event(), []

    def change():
        while not stop.wait(0.002):
            topic.produce([event(source, len(sent))])
            sent.append(1)

    feed = threading.Thread(target=change, daemon=True)
    with Sluice(document) as sluice:
        feed.start()
        try:
            sluice.wait_for(lambda: target.value("SELECT count(*) FROM public.t") == 4301, "every row of the feed")
            before = len(sent)
            result = json.loads(Sluice.run(document, "--against", source.uri, "--json", "--settle", "1", command="verify").out)
            check(len(sent) > before, "the source changed meanwhile")
            check_equal(counts(result)[:3], (0, 0, 0))
            target.sql("UPDATE public.t SET n = -1 WHERE id IN (1234, 4321); DELETE FROM public.t WHERE id = 2000")
            result = compared(document, source, "--repair", settle="1", code=1 if result["unsettled"] else 0)
            check_equal((counts(result)[:3], result["repaired"]["rows"]), ((1, 0, 2), 3))
        finally:
            stop.set()
            feed.join(60)
        # What the task applies late is waited for.
        result = compared(document, source, settle="1")
        check_equal((result["same"], result["behind"]), (True, False))
        sluice.stop().expect(143)
    check_equal(target.rows("SELECT * FROM public.t ORDER BY id"), source.rows("SELECT * FROM public.t ORDER BY id"))
    topic.produce([event(source, 100_000)])
    result = compared(document, source, settle="1", code=1)
    check_equal((counts(result), result["behind"]), ((0, 0, 1, 0), True), "a task that does not run")


@concurrent_test
def repair_writes_what_differs_and_nothing_else():
    source, target, document = both(
        "CREATE TABLE public.t (id int PRIMARY KEY, name varchar(200), at timestamptz, price money, bits bit(3), doc jsonb, tags text[], raw bytea, f real)",
        "CREATE TABLE public.t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name varchar(20), at timestamptz, price numeric, bits bit(3), doc jsonb, "
        "tags text[], raw bytea, f real, seen int DEFAULT 7, twice int GENERATED ALWAYS AS (length(name) * 2) STORED)")
    source.sql("INSERT INTO public.t SELECT i, 'n' || i, timestamptz '2026-01-01Z' + i * interval '1 ms', i::money, b'101', '{\"a\": \"\\\\ \\\" x\"}', "
               "ARRAY['a,b', 'NULL', NULL, '\"'], '\\x005c', i / 3.0 FROM generate_series(1, 1200) i")
    target.sql("INSERT INTO public.t (id, name, seen) OVERRIDING SYSTEM VALUE VALUES (5, 'old', 1), (99999, 'extra', 2)")
    result = compared(document, source, "--repair")
    check_equal(result["repaired"], {"rows": 1201, "inserted": 1199, "updated": 1, "deleted": 1})
    columns = "id, name, at, price::numeric, bits, doc, tags, raw, f"
    check_equal(target.text(f"SELECT {columns} FROM public.t ORDER BY id"), source.text(f"SELECT {columns} FROM public.t ORDER BY id"))
    check_equal(target.rows("SELECT id, seen, twice FROM public.t WHERE id < 7 AND id > 4 ORDER BY id"), [(5, 1, 4), (6, 7, 4)], "the target's own columns")
    check_equal(compared(document, source)["same"], True)
    # What the target cannot take is an error, and nothing of its transaction stays.
    source.sql("UPDATE public.t SET name = repeat('x', 21) WHERE id = 3; UPDATE public.t SET name = 'new' WHERE id = 4")
    done = Sluice.run(document, "--against", source.uri, "--settle", "0", "--repair", command="verify").expect(1, "repair:")
    check("xxxx" not in done.out + done.err, "no values in errors")
    check_equal(target.value("SELECT name FROM public.t WHERE id = 4"), "n4")


@concurrent_test
def upsert_tasks_and_named_tables_can_be_compared():
    source, target = Database(), Database()
    source.sql('CREATE SCHEMA "My Shop"; CREATE TABLE "My Shop"."T.1" (id int, "A b" text); INSERT INTO "My Shop"."T.1" VALUES (1, \'x\')')
    target.sql("CREATE TABLE public.t (id int PRIMARY KEY, \"A b\" text); INSERT INTO public.t VALUES (1, 'y')")
    document = task_for(Topic(), target, "public.t", sync={"write": "upsert", "primary_key": ["id"]})
    result = compared(document, source, "--table", '"My Shop"."T.1"', code=1)
    check_equal((result["source"], keys(result, "different")), ('"My Shop"."T.1"', ["1"]))


@concurrent_test
def what_cannot_be_compared_is_named():
    source, target, document = both("CREATE TABLE public.t (id int PRIMARY KEY)")

    def refused(uri, code, *texts, arguments=(), environment=None):
        done = Sluice.run(document, "--against", uri, *arguments, command="verify", environment=environment).expect(code, *texts)
        check("secret" not in done.out + done.err, done.out + done.err)

    refused("postgresql://u:secret@[bad", 2, "--against is no URI")
    refused("${env:SLUICE_NOT_THERE}", 2, "--against:", "SLUICE_NOT_THERE", "is not set")
    refused("postgresql://sluice:secret@127.0.0.1:1/db", 1, "the source:", "127.0.0.1")
    refused(source.uri_of("sluice", "secret"), 1, "the source:", "password")
    refused(source.uri, 1, "the source:", "\"public\".\"tt\"", "--table SCHEMA.TABLE", arguments=("--table", "public.tt"))
    refused("${env:SHOP}", 0, "are the same", environment={"SHOP": source.uri})
    with role_of(source, grants="USAGE ON SCHEMA public") as (name, uri):
        refused(uri, 1, "may not read", f"GRANT SELECT ON \"public\".\"t\" TO \"{name}\"")
        source.sql(f"GRANT SELECT ON public.t TO {name}")
        check_equal(json.loads(Sluice.run(document, "--against", uri, "--json", command="verify").expect(0).out)["same"], True, "SELECT is enough")
    source.sql("ALTER TABLE public.t RENAME id TO idd")
    refused(source.uri, 1, 'has no column "id"', "idd")
    Sluice.run(document, "--repair", command="verify").expect(2, "--against")


if __name__ == "__main__":
    main()
