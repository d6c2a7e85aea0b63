"""sync.mode: mirror gives its table what messages ask for: makes it, adds and widens columns, lets nulls in; or says why not.

What Debezium wrote while a PostgreSQL table went through 18 kinds of DDL (tests/captures), and rows with Kafka Connect's schemas where
the captures have no such case.
"""

import csv
import functools
import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import
from captures import messages_of, unpacked  # noqa: E402 pylint: disable=wrong-import-position

# Topics without rows, and tables whose form changes in mid-stream.
LEFT_OUT = ("message", "transaction", "_schema_changes", "public.ddl_t", "public.late_t", "public.later_t", "public.metrics")


def captured(variant, table):
    with unpacked("postgres") as folder:
        return messages_of(folder / variant / f"{table}.jsonl")


def oracle(folder, table):
    with open(folder / "oracle" / f"{table}.csv", encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def mirror(topic, db, table="t", **sync):
    document = task_for(topic, db, table, sync={"mode": "mirror", **sync})
    document["sync"].pop("write", None)
    return document


def columns(db, table="t"):
    """name -> its type, with NOT NULL where it is."""
    return dict(db.sql("SELECT attname, format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END "
                       "FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum", (table,)))


def row(fields, **values):
    """A row as JsonConverter writes it: fields are name -> schema."""
    schema = {"type": "struct", "optional": False, "name": "row", "fields": [{"field": name, **each} for name, each in fields.items()]}
    return json.dumps({"schema": schema, "payload": values}, separators=(",", ":"))


def key(**values):
    fields = [{"field": name, "type": "int32", "optional": False} for name in values]
    return json.dumps({"schema": {"type": "struct", "fields": fields}, "payload": values}, separators=(",", ":"))


INT = {"type": "int32", "optional": False}
BIG = {"type": "int64", "optional": False}
TEXT = {"type": "string", "optional": True}


def rows(fields, *values):
    return [Message(value=row(fields, **each), key=key(id=each["id"])) for each in values]


# ---- the captures


@test
def ddl_of_the_source_is_followed():
    """18 kinds of DDL between rows, from a table that does not exist to the source's, with the SQL for the new key run by hand."""
    for variant in ("schema", "srctype", "flat"):
        with Database() as db:
            topic = Topic()
            topic.produce(captured(variant, "public.ddl_t"))
            document = mirror(topic, db, "public.ddl_t", schema_changes="apply_all")
            ended = Sluice.run(document, "--until-end")
            check(ended.code != 0, f"{variant}: stops at the other key: {ended.err[-1500:]}")
            sql = re.search(r'ALTER TABLE "public"\."ddl_t" DROP CONSTRAINT "ddl_t_pkey", ADD PRIMARY KEY \("id", "k2"\)', ended.err)
            check(sql, f"the SQL that helps is said: {ended.err[-1500:]}")
            db.sql(sql.group(0))
            Sluice.run(document, "--until-end").expect(0)
            found = columns(db, "ddl_t")
            length = {"b": "character varying(10)", "b_new": "character varying(50)"} if variant == "srctype" else {"b": "text", "b_new": "text"}
            check_equal(found, {"id": "integer NOT NULL", "a": "bigint", "c": "numeric(10,4)", "d": "text", "e": "timestamp without time zone",
                                "f": "text", "g": "integer NOT NULL", "h": "timestamp with time zone", "i": "numeric(8,3)", "j": "text",
                                "k2": "integer NOT NULL", "l": "text", **length}, variant)
            with unpacked("postgres") as folder:
                wanted = oracle(folder, "public.ddl_t")
            # j was dropped and made again with another type: to the events that is nothing.
            names = [name for name in wanted[0] if name != "j"]
            got = {str(each[0]): dict(zip(names, each[1:])) for each in
                   db.sql("SELECT id, " + ", ".join(f"coalesce({name}::text, '')" for name in names) + " FROM ddl_t")}
            check_equal(sorted(got, key=int), sorted((each["id"] for each in wanted), key=int), variant)
            differences = {(each["id"], name): (got[each["id"]][name], each[name]) for each in wanted for name in names
                           if got[each["id"]][name] != each[name]}
            check_equal(differences, {
                # The column got another name, and no event says so: what no later event repeats stays under the old one.
                ("3", "b_new"): ("", "b3"), ("7", "b_new"): ("", "b7"),
                # ALTER ... TYPE int USING NULL gives no event for the rows that are there.
                ("3", "f"): ("f3", ""),
                # A NULL is sent as the column's default.
                ("5", "h"): ("2020-01-01 00:00:00+00", ""), ("5", "i"): ("1.500", ""),
            }, variant)


@test
def a_table_that_was_made_again_goes_on():
    """Dropped and created with another key type, a type that was text, and a column more: what the old one held stays."""
    with Database() as db:
        topic = Topic()
        topic.produce(captured("schema", "public.late_t"))
        document = mirror(topic, db, "late_t", schema_changes="apply_all")
        Sluice.run(document, "--until-end").expect(0)
        check_equal(columns(db, "late_t"), {"id": "bigint NOT NULL", "v": "text", "w": "text"})
        check_equal(db.sql("SELECT id, v, w FROM late_t ORDER BY id"), [(1, "2", "w1"), (2, "b", None)])


def made_from(source, variant, least):
    """Every table of a variant, made by Sluice itself: no message fails, and none asks for more than the first one has."""
    with unpacked(source) as folder, Database() as db:
        files = [file for file in sorted((folder / variant).glob("*.jsonl")) if file.stem not in LEFT_OUT and "ddl" not in file.stem]
        check(len(files) >= least, f"{len(files)} tables of {variant}")
        for number, file in enumerate(files):
            topic = Topic()
            topic.produce(messages_of(file))
            document = mirror(topic, db, f"made_{number}", schema_changes="apply_all")
            document["target"]["ledger_schema"] = f"ledger_{number}"
            lost = 0
            if file.stem == "public.ext_temporal":  # the highest timestamp does not fit into 64 bits of microseconds
                document["on_failure"], document["breaker"], lost = "discard", {"share": 1}, 1
            ended = Sluice.run(document, "--until-end").expect(0)
            altered = [line for line in ended.err.splitlines() if "ALTER TABLE" in line]
            expected = 2 if file.stem.endswith("late_t") else 0  # dropped and made again, with a column more
            check_equal(len(altered), expected, f"{variant}/{file.stem}: {altered}")
            if source == "postgres":
                name = {"public.Order_Items.v2": "public.Order Items.v2", "Mixed_Schema.user": "Mixed Schema.user"}.get(file.stem, file.stem)
                check_equal(db.value(f"SELECT count(*) FROM made_{number}"), len(oracle(folder, name)) - lost, name)


for each_source, each_variant, each_least in (("postgres", "schema", 15), ("postgres", "srctype", 3), ("mariadb", "schema", 10), ("mariadb", "options", 3)):
    add(f"made-from-{each_source}-{each_variant}", functools.partial(made_from, each_source, each_variant, each_least))


@test
def a_second_snapshot_meets_its_rows():
    """New rows are copied straight into the table; where they turn out to be there, nothing of that has happened."""
    for on_failure in ("retain", "discard"):
        with Database() as db:
            db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
            topic = Topic(partitions=2)
            events = [json.dumps({"before": None, "after": {"id": each, "v": f"{turn}-{each}"}, "source": {}, "op": "r"})
                      for turn in ("first", "second") for each in range(100)]
            topic.produce([Message(value=value, key=f'{{"id":{place % 100}}}', partition=place % 2) for place, value in enumerate(events)])
            document = mirror(topic, db)
            document["tuning"], document["on_failure"] = {"batch_rows": 30}, on_failure
            Sluice.run(document, "--until-end").expect(0)
            check_equal(db.sql("SELECT count(*), count(*) FILTER (WHERE v = 'second-' || id) FROM t"), [(100, 100)])


# ---- policies


@test
def safe_changes_stop_at_a_rewrite():
    with Database() as db:
        topic = Topic()
        topic.produce(rows({"id": INT, "n": INT}, {"id": 1, "n": 1}) + rows({"id": INT, "n": BIG}, {"id": 2, "n": 2}, {"id": 3, "n": 3000000000}))
        document = mirror(topic, db)
        ended = Sluice.run(document, "--until-end")
        check(ended.code != 0, "a value that does not fit stops the task")
        check("the table has not all that messages ask for" in ended.err, "a type that can wait is mentioned")
        check('ALTER TABLE "public"."t" ALTER COLUMN "n" TYPE bigint;' in ended.err, ended.err[-1500:])
        check_equal(db.sql("SELECT id, n FROM t ORDER BY id"), [(1, 1), (2, 2)], "what fits is there")
        db.sql('ALTER TABLE "public"."t" ALTER COLUMN "n" TYPE bigint')
        Sluice.run(document, "--until-end").expect(0)
        check_equal(db.sql("SELECT id, n FROM t ORDER BY id"), [(1, 1), (2, 2), (3, 3000000000)])


@test
def texts_become_longer_and_nulls_come():
    with Database() as db:
        db.sql("CREATE TABLE t (id int PRIMARY KEY, v varchar(3) NOT NULL, gone int NOT NULL)")
        topic = Topic()
        topic.produce(rows({"id": INT, "v": TEXT}, {"id": 1, "v": "äöü"}, {"id": 2, "v": None}, {"id": 3, "v": "äöüß"}))
        Sluice.run(mirror(topic, db), "--until-end").expect(0)
        check_equal(db.sql("SELECT id, v, gone FROM t ORDER BY id"), [(1, "äöü", None), (2, None, None), (3, "äöüß", None)])
        check_equal(columns(db), {"id": "integer NOT NULL", "v": "character varying", "gone": "integer"})


@test
def messages_without_schema_are_not_guessed_at():
    with Database() as db:
        topic = Topic()
        topic.produce([Message(key='{"id":1}', value='{"id":1,"v":"x","none":null}')])
        ended = Sluice.run(mirror(topic, db), "--until-end")
        check(ended.code != 0 and 'CREATE TABLE "public"."t" ("id" bigint, "v" text, PRIMARY KEY ("id"));' in ended.err, ended.err[-1500:])
        check("guess" in ended.err, ended.err[-1500:])
        Sluice.run(mirror(topic, db, schema_changes="apply_all"), "--until-end").expect(0)
        check_equal(db.sql("SELECT * FROM t"), [(1, "x")])
        # A field that is null asks for no column; one that is not does.
        topic.produce([Message(key='{"id":2}', value='{"id":2,"v":"y","none":null,"ok":true}')])
        Sluice.run(mirror(topic, db, schema_changes="apply_all"), "--until-end").expect(0)
        check_equal(db.sql("SELECT id, v, ok FROM t ORDER BY id"), [(1, "x", None), (2, "y", True)])


@test
def stop_and_warn():
    with Database() as db:
        db.sql("CREATE TABLE t (id int PRIMARY KEY)")
        topic = Topic()
        topic.produce(rows({"id": INT}, {"id": 1}) + rows({"id": INT, "v": TEXT}, {"id": 2, "v": "x"}))
        ended = Sluice.run(mirror(topic, db, schema_changes="stop"), "--until-end")
        check(ended.code != 0 and 'ALTER TABLE "public"."t" ADD COLUMN "v" text;' in ended.err, ended.err[-1500:])
        check_equal(db.sql("SELECT id FROM t"), [(1,)], "what came before is applied")
        ended = Sluice.run(mirror(topic, db, schema_changes="warn"), "--until-end").expect(0)
        check('ADD COLUMN \\"v\\" text' in ended.err or 'ADD COLUMN "v" text' in ended.err, ended.err[-1500:])
        check_equal(db.sql("SELECT * FROM t ORDER BY id"), [(1,), (2,)])
        check_equal(list(columns(db)), ["id"])


@test
def a_missing_table_is_an_error_where_nothing_may_make_it():
    with Database() as db:
        topic = Topic()
        topic.produce(rows({"id": INT}, {"id": 1}))
        for policy in ("stop", "warn"):
            ended = Sluice.run(mirror(topic, db, schema_changes=policy), "--until-end")
            check(ended.code != 0 and "does not exist" in ended.err, ended.err[-1500:])
        checked = Sluice.run(mirror(topic, db), command="check").expect(0)
        check("will be made from the schema of the first message" in checked.out + checked.err, checked.out)


@test
def what_would_be_done_is_said():
    """check --ddl, preview and rehearse name the SQL and do nothing; a move of a key counts once as deleted and once as written."""
    with Database() as db:
        topic = Topic()
        topic.produce(rows({"id": INT, "v": TEXT}, {"id": 1, "v": "x"}))
        document = mirror(topic, db)
        made = 'CREATE TABLE "public"."t" ("id" integer, "v" text, PRIMARY KEY ("id"));'
        for command, arguments in (("check", ["--ddl"]), ("preview", []), ("rehearse", [])):
            check(made in Sluice.run(document, *arguments, command=command).expect(0).out, command)
        check_equal(db.value("SELECT to_regclass('t')"), None)
        db.sql("CREATE TABLE t (id int PRIMARY KEY)")
        asked = 'ALTER TABLE "public"."t" ADD COLUMN "v" text;'
        for command, arguments in (("check", ["--ddl"]), ("preview", []), ("rehearse", [])):
            check(asked in Sluice.run(document, *arguments, command=command).expect(0).out, command)
        check_equal(list(columns(db)), ["id"])
        topic.produce([Message(key=key(id=1), value=None, headers=[("__debezium.newkey", b'{"id":2}')]),
                       Message(value=row({"id": INT, "v": TEXT}, id=2, v="y"), key=key(id=2))])
        report = json.loads(Sluice.run(document, "--json", command="rehearse").expect(0).out)
        check_equal((report["rows_written"], report["rows_deleted"], report["ddl"]), (2, 1, [asked.rstrip(";")]))
        checked = Sluice.run(mirror(topic, db, schema_changes="stop"), "--ddl", command="check")
        check(checked.code == 1 and asked in checked.out, checked.out)


# ---- rights, races, other hands


@test
def without_the_right_to_alter_the_task_waits():
    with Database() as db:
        db.sql("CREATE TABLE t (id int PRIMARY KEY); GRANT ALL ON t TO sluice; ALTER TABLE t OWNER TO postgres", superuser=True)
        topic = Topic()
        topic.produce(rows({"id": INT, "v": TEXT}, {"id": 1, "v": "x"}))
        with Sluice(mirror(topic, db), "--until-end") as sluice:
            sluice.wait_output('ADD COLUMN')
            check(sluice.running(), "it waits")
            db.sql("ALTER TABLE t ADD COLUMN v text", superuser=True)
            sluice.wait().expect(0)
        check_equal(db.sql("SELECT id, v FROM t"), [(1, "x")])


@test
def lanes_and_processes_meet_the_same_change():
    """Eight partitions, two processes of four lanes: one makes the table, and each column is added once."""
    with Database() as db:
        topic = Topic(partitions=8)
        fields = {"id": INT}
        wanted = []
        for step in range(6):
            fields = {**fields, f"c{step}": {**INT, "default": step}}
            for each in range(64):
                identity = step * 64 + each
                values = {"id": identity, **{name: identity for name in fields if name != "id"}}
                wanted.append(values)
                topic.produce([Message(value=row(fields, **values), key=key(id=identity), partition=each % 8)])
        document = mirror(topic, db)
        document["tuning"] = {"lanes": 4, "batch_rows": 7}
        with Sluice(document, "--until-end") as one, Sluice(document, "--until-end") as two:
            one.wait().expect(0)
            two.wait().expect(0)
        check_equal(list(columns(db)), ["id"] + [f"c{step}" for step in range(6)])
        found = db.sql("SELECT * FROM t ORDER BY id")
        defaults = {f"c{step}": step for step in range(6)}
        expected = [tuple({"id": 0, **defaults, **values}.values()) for values in wanted]
        check_equal(sorted({each[0] for each in expected} - {each[0] for each in found}), [], "rows that are missing")
        check_equal([pair for pair in zip(found, expected) if pair[0] != pair[1]], [])


@test
def a_table_that_somebody_else_makes_is_seen():
    """A lane that waits for the first message takes a delete for nothing only as long as there is no table."""
    with Database() as db:
        topic = Topic()
        topic.produce([Message(key=key(id=7), value=None)])
        document = mirror(topic, db)
        Sluice.run(document, "--until-end").expect(0)
        with Sluice(document) as sluice:
            sluice.wait_output("partitions assigned")
            db.sql("CREATE TABLE public.t (id int PRIMARY KEY, v text); INSERT INTO public.t VALUES (7, 'x'), (8, 'y')")
            topic.produce([Message(key=key(id=7), value=None)])
            sluice.wait_for(lambda: db.sql("SELECT id FROM public.t") == [(8,)], "the second one")


@test
def a_message_that_holds_nothing_makes_no_table():
    with Database() as db:
        topic = Topic()
        topic.produce([Message(key=None, value="{}"), Message(key='{"id":1}', value='{"a":null}')])
        document = mirror(topic, db)
        document["on_failure"], document["breaker"] = "discard", {"share": 1}
        Sluice.run(document, "--until-end").expect(0)
        check_equal(db.value("SELECT to_regclass('t')"), None)
        ended = Sluice.run({**mirror(topic, db), "name": "retains"}, "--until-end").expect(3)
        check("yet to be made" in ended.err, ended.err[-800:])


@test
def ddl_by_hand_in_between():
    """A column that the owner has dropped comes back, because the source has it; a column of his own stays his."""
    with Database() as db:
        topic = Topic()
        fields = {"id": INT, "v": TEXT}
        with Sluice(mirror(topic, db)) as sluice:
            topic.produce(rows(fields, {"id": 1, "v": "a"}))
            sluice.wait_for(lambda: db.value("SELECT to_regclass('t') IS NOT NULL") and db.value("SELECT count(*) FROM t") == 1, "the first row")
            db.sql("ALTER TABLE t DROP COLUMN v, ADD COLUMN own int DEFAULT 5")
            topic.produce(rows(fields, {"id": 2, "v": "b"}))
            sluice.wait_for(lambda: db.value("SELECT count(*) FROM t") == 2, "the second row")
        check_equal(db.sql("SELECT id, own, v FROM t ORDER BY id"), [(1, 5, None), (2, 5, "b")])


if __name__ == "__main__":
    main()
