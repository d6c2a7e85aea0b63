#!/usr/bin/python3
"""sync.format: canal: rows of MySQL as Canal writes them (several in a message, all values as texts), and the forms that DIP makes of it.

The messages are built here after Canal's FlatMessage: there is no capture of a real Canal.
"""

import json
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import

TYPES = {"id": "bigint(20) unsigned", "name": "varchar(20)", "n": "int(11)"}


def canal(kind, data=None, old=None, types=None, key=("id",), table="t", **more):
    """A message of Canal: rows as dicts of texts."""
    return Message(value={"data": data, "database": "shop", "es": 1700000000000, "id": 7, "isDdl": False, "mysqlType": types or TYPES, "old": old,
                          "pkNames": list(key) if key else None, "sql": "", "sqlType": {}, "table": table, "ts": 1700000000123, "type": kind, **more})


def mirror(topic, db, table="public.t", **sections):
    document = task_for(topic, db, table, **sections)
    document["sync"] = {"mode": "mirror", **sections.get("sync", {})}
    return document


def replayed(db, *messages, code=0, **sections):
    topic = Topic()
    topic.produce(messages)
    return Sluice.run(mirror(topic, db, **sections), "--until-end").expect(code)


@test
def types_of_mysql_make_the_table():
    """Each type of MySQL with a value as Canal writes it: the column that is made for it, and what stands in it."""
    columns = {
        # name: MySQL's type, the text on the wire, the column, its text
        "id": ("bigint(20) unsigned", "18446744073709551615", "numeric(20,0)", "18446744073709551615"),
        "tiny": ("tinyint(1)", "-1", "smallint", "-1"), "small": ("smallint(5) unsigned", "65535", "integer", "65535"),
        "medium": ("mediumint(9)", "-8388608", "integer", "-8388608"), "whole": ("int(10) unsigned zerofill", "4294967295", "bigint", "4294967295"),
        "big": ("bigint(20)", "-9223372036854775808", "bigint", "-9223372036854775808"),
        "price": ("decimal(12,4) unsigned", "12345678.9000", "numeric(12,4)", "12345678.9000"), "real_": ("float", "1.5", "real", "1.5"),
        "double_": ("double", "-2.25E-10", "double precision", "-2.25e-10"), "text_": ("varchar(30)", "Grüße 🎈 'x'", "character varying(30)", "Grüße 🎈 'x'"),
        "fixed": ("char(4)", "ab", "character varying(4)", "ab"), "long_": ("longtext", "a\nb\\c", "text", "a\nb\\c"),
        "day": ("date", "1999-12-31", "date", "1999-12-31"), "at": ("datetime(3)", "2024-02-29 23:59:59.999", "timestamp(3) without time zone",
                                                                  "2024-02-29 23:59:59.999"),
        "second": ("datetime", "2024-02-29 23:59:59", "timestamp(0) without time zone", "2024-02-29 23:59:59"),
        "stamp": ("timestamp(6)", "2024-02-29 12:00:00.123456", "timestamp(6) with time zone", "2024-02-29 12:00:00.123456+00"),
        "time_": ("time", "-838:59:59", "interval", "-838:59:59"), "year_": ("year(4)", "2155", "integer", "2155"),
        "flag": ("bit(1)", "1", "bit(1)", "1"), "bits": ("bit(12)", "2049", "bit(12)", "100000000001"),
        "blob_": ("blob", "\u0000\u00ffA\u0080", "bytea", "\\x00ff4180"), "binary_": ("varbinary(10)", "abc", "bytea", "\\x616263"),
        "enum_": ("enum('a','b,c','it''s')", "3", "text", "it's"), "label": ("enum('0','1')", "1", "text", "0"), "none": ("enum('x')", "0", "text", ""),
        "set_": ("set('x','y','z')", "5", "text", "x,z"), "empty": ("set('x')", "0", "text", ""), "json_": ("json", '{"a": [1, null]}', "jsonb", '{"a": [1, null]}'),
    }
    types = {name: each[0] for name, each in columns.items()}
    types["gone"] = "varchar(9)"
    data = {name: each[1] for name, each in columns.items()}
    for copy_format in ("auto", "text"):
        with Database() as db:
            replayed(db, canal("INSERT", [{**data, "gone": None}], types=types), tuning={"copy_format": copy_format})
            found = dict(db.sql("SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'public.t'::regclass AND attnum > 0"))
            check_equal({name: found[name] for name in columns}, {name: each[2] for name, each in columns.items()})
            texts = ", ".join(f'"{name}"::text' for name in columns)
            check_equal(dict(zip(columns, db.sql(f"SET TIME ZONE 'UTC'; SELECT {texts} FROM public.t")[0])), {name: each[3] for name, each in columns.items()})
            check_equal(db.value("SELECT count(*) FROM pg_index WHERE indrelid = 'public.t'::regclass AND indisprimary"), 1)


def drawn(seed, messages):
    """A random history of a table: Canal's messages, and the rows at the end."""
    order, rows, result = random.Random(seed), {}, []
    for number in range(messages):
        kind = order.choice(("INSERT", "UPDATE", "UPDATE", "DELETE") if len(rows) > 5 else ("INSERT",))
        data, old = [], []
        for _ in range(order.randint(1, 6)):
            if kind == "INSERT":
                key = order.choice([key for key in range(200) if key not in rows])
                rows[key] = {"id": str(key), "name": order.choice((None, "", f"n{number}")), "n": str(number)}
                data.append(dict(rows[key]))
            elif rows:
                key = order.choice(sorted(rows))
                if kind == "DELETE":
                    data.append(rows.pop(key))
                    continue
                row = rows.pop(key)
                before = dict(row)
                if order.random() < 0.2:
                    row["id"] = str(order.choice([other for other in range(200) if other not in rows and other != key]))
                row["n"] = str(number)
                if order.random() < 0.5:
                    row["name"] = order.choice((None, f"u{number}"))
                rows[int(row["id"])] = row
                data.append(dict(row))
                old.append({name: before[name] for name in row if row[name] != before[name]})
        result.append(canal(kind, data, old if kind == "UPDATE" else None))
    return result, sorted((int(row["id"]), row["name"], int(row["n"])) for row in rows.values())


@test
def changes_of_many_rows_are_replayed():
    """Random histories, with keys that change within a message of many rows; in small batches, and killed."""
    for seed in range(4):
        messages, wanted = drawn(random.random(), 400)
        topic = Topic()
        topic.produce(messages)
        with Database() as db:
            document = mirror(topic, db, tuning={"batch_rows": (20000, 7, 3, 50)[seed]})
            for _ in range(3 if seed == 3 else 0):
                with Sluice(document, "--until-end") as sluice:
                    time.sleep(random.uniform(0.3, 0.9))
                    sluice.signal(9)
            Sluice.run(document, "--until-end").expect(0)
            check_equal(db.sql("SELECT id::int, name, n FROM public.t ORDER BY 1"), wanted)


@test
def forms_of_dip():
    """`old` whole, deletes in `old`, neither types nor key; and official format 1, where a message is a row."""
    def canal_of_dip(kind, data, old):
        return Message(value={"data": data, "old": old, "database": "shop", "table": "t", "type": kind, "isDdl": False, "es": 1, "ts": 1, "sql": "",
                              "id": 0, "pkNames": None, "mysqlType": None, "sqlType": None})

    def format_1(kind, new, old):
        return Message(value={"BINLOG_NAME": "b.1", "BINLOG_POS": "4", "DATABASE": "shop", "TABLE": "t", "GLOBAL_ID": "g", "NEW_VALUES": new,
                              "OLD_VALUES": old, "TIME": "20240229120000", "TYPE": kind[0], "EVENT_SERVER_ID": "1", "GROUP_ID": "0"})

    def row(identity, n):
        return {"ID": str(identity), "n": None if n is None else str(n)}

    for listed, make in ((True, canal_of_dip), (False, format_1)):
        wrap = (lambda each: [each]) if listed else (lambda each: each)
        with Database() as db:
            db.sql("CREATE TABLE public.t (id int PRIMARY KEY, n int, at timestamptz DEFAULT '2000-01-01')")
            messages = [make("INSERT", wrap(row(number, number)), None) for number in range(5)]
            messages += [make("UPDATE", wrap(row(1, 10)), wrap(row(1, 1))), make("UPDATE", wrap(row(20, 2)), wrap(row(2, 2))),
                         make("DELETE", None, wrap(row(3, 3))), make("UPDATE", wrap(row(4, None)), wrap(row(4, 4)))]
            replayed(db, *messages)
            check_equal(db.sql("SELECT id, n FROM public.t ORDER BY id"), [(0, 0), (1, 10), (4, None), (20, 2)])


@test
def ddl_is_not_run():
    """Its SQL is nobody's to run, only TRUNCATE empties the table; what a later message's types say is followed."""
    def ddl(kind, sql):
        return canal(kind, None, None, isDdl=True, sql=sql)

    with Database() as db:
        replayed(db, canal("INSERT", [{"id": "1", "name": "a", "n": "1"}]), ddl("ALTER", "ALTER TABLE t ADD later varchar(9)"),
                 ddl("ERASE", "DROP TABLE t"), canal("QUERY", None, None, sql="DELETE FROM t"), canal("TIDB_WATERMARK", None),
                 canal("INSERT", [{"id": "2", "name": "b" * 50, "n": "2", "later": "x"}], types={**TYPES, "name": "varchar(60)", "later": "varchar(9)"}))
        check_equal(db.sql("SELECT id::int, length(name), n, later FROM public.t ORDER BY id"), [(1, 1, 1, None), (2, 50, 2, "x")])
        replayed(db, canal("INSERT", [{"id": "5", "name": "a", "n": "1"}]), ddl("TRUNCATE", "TRUNCATE t"), canal("INSERT", [{"id": "6", "name": "b", "n": "6"}]))
        check_equal(db.sql("SELECT id::int FROM public.t"), [(6,)])


@test
def a_message_is_taken_whole_or_not_at_all():
    """One bad row of several: the decoder's, or PostgreSQL's; the others of its message wait with it in the dead letter."""
    bad = {"a number": {"id": "11", "name": "x", "n": "eleven"}, "the table's CHECK": {"id": "11", "name": "x", "n": "5000"},
           "a key": {"id": None, "name": "x", "n": "1"}}
    for what, row in bad.items():
        with Database() as db:
            db.sql("CREATE TABLE public.t (id numeric(20) PRIMARY KEY, name text, n int CHECK (n < 1000))")
            rows = [{"id": str(number), "name": "y", "n": str(number)} for number in range(10)]
            replayed(db, canal("INSERT", rows[:5]), canal("INSERT", [rows[5], row, rows[6]]), canal("INSERT", rows[7:]), on_failure="deliver",
                     breaker={"share": 1})
            check_equal([identity for identity, in db.sql("SELECT id::int FROM public.t ORDER BY 1")], [0, 1, 2, 3, 4, 7, 8, 9], what)
            check_equal(db.value("SELECT count(*) FROM sluice.dead_letter"), 1, what)
    with Database() as db:
        db.sql("CREATE TABLE public.t (id numeric(20) PRIMARY KEY, name text, n int)")
        wrong = {"no list": canal("INSERT", [1]), "no rows": canal("INSERT", []), "too few old": canal("UPDATE", rows[:2], [{}]),
                 "nested": canal("INSERT", [[rows[0]]]), "no data": canal("INSERT", None)}
        ended = replayed(db, *wrong.values(), on_failure="deliver", breaker={"share": 1})
        check_equal(db.value("SELECT count(*) FROM sluice.dead_letter WHERE code = 'bad_envelope'"), len(wrong), ended.err[-800:])
        replayed(db, Message(value={"id": "1"}), sync={"format": "canal"}, code=3)


@test
def keys_and_tables():
    with Database() as db:
        # Another key than the target's stops in front of the message, with the SQL.
        db.sql("CREATE TABLE public.t (id numeric(20), name text, n int, PRIMARY KEY (id, n))")
        replayed(db, canal("INSERT", [{"id": "1", "name": "a", "n": "1"}]), code=1)
        # Without a key, rows are found by what they were.
        db.sql("CREATE TABLE public.no_key (id numeric(20), name text, n int)")
        row = {"id": "1", "name": "a", "n": "1"}
        replayed(db, canal("INSERT", [row, row, {**row, "id": "2"}], key=None), canal("UPDATE", [{**row, "n": "9"}], [{"n": "1"}], key=None),
                 canal("DELETE", [{**row, "id": "2"}], key=None), table="public.no_key")
        check_equal(db.sql("SELECT id::int, n FROM public.no_key ORDER BY n"), [(1, 1), (1, 9)])
        # Many tables of one topic, as Canal sends a whole instance.
        db.sql("CREATE SCHEMA shop")
        topic = Topic()
        topic.produce([canal("INSERT", [{**row, "id": str(number)}], table=table) for number in range(50) for table in ("orders", "people")]
                      + [canal("DELETE", [{**row, "id": "7"}], table="people")])
        Sluice.run(mirror(topic, db, "{source.db}.{source.table}"), "--until-end").expect(0)
        check_equal((db.value("SELECT count(*) FROM shop.orders"), db.value("SELECT count(*) FROM shop.people")), (50, 49))
        # History: each row of a message is one.
        replayed(db, canal("INSERT", [row, {**row, "id": "2"}]), canal("UPDATE", [{**row, "id": "3"}], [{"id": "1"}]), canal("DELETE", [{**row, "id": "3"}]),
                 table="public.past", sync={"write": "history", "metadata": {"_op": "op", "_at": "source_ts_ms"}})
        check_equal(db.sql("SELECT id::int, _op, extract(epoch FROM _at)::bigint FROM public.past ORDER BY ctid"),
                    [(1, "c", 1700000000), (2, "c", 1700000000), (3, "u", 1700000000), (3, "d", 1700000000)])


if __name__ == "__main__":
    main()
