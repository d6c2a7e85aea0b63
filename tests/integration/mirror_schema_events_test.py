#!/usr/bin/python3
"""sync.mode: mirror learns of tables from Debezium's events of schema changes: types, NOT NULL, keys and defaults for rows that come
without schema. Their SQL is never run.

What Debezium 3.5 wrote for MariaDB (tests/captures), whose topic of schema changes begins with DROPs of live tables; and events that are
made for what the captures do not have.
"""

import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import
from captures import messages_of, quoted, unpacked  # noqa: E402 pylint: disable=wrong-import-position

TABLES = ("my_types", "my_ext", "orders", "order_items", "nopk", "uniq_only", "Order_Items.v2", "customers", "gen_cols", "parent", "child",
          "copy_t", "like_t", "later_t")


def source(prefix, variant="plain", tables=TABLES):
    """The captured topics as a connector with this topic.prefix would have written them: by table, and the events of schema changes."""
    def renamed(messages):
        return [Message(value=each.value and each.value.replace(f"ma_{variant}", prefix), key=each.key, headers=each.headers,
                        timestamp_ms=each.timestamp_ms) for each in messages]
    with unpacked("mariadb") as folder:
        changes = renamed(messages_of(folder / variant / "_schema_changes.jsonl"))
        return {table: renamed(messages_of(folder / variant / f"{table}.jsonl")) for table in tables}, changes


def mirror(topics, db, table="public.{source.table}", **sections):
    sync = {"mode": "mirror", **sections.pop("sync", {})}
    document = task_for([], db, table, sync=sync, **sections)
    document["source"]["topics"] = topics
    document["sync"].pop("write", None)
    return document


def columns(db, table):
    """name -> its type, with NOT NULL and the default where they are."""
    return dict(db.sql("SELECT attname, format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END "
                       "|| coalesce(' DEFAULT ' || pg_get_expr(adbin, adrelid), '') "
                       "FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum "
                       "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum", (f'"{table}"',), superuser=True))


def tables_of(db):
    return [name for name, in db.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1", superuser=True)]


def contents(db, table, types):
    """Its rows as these types print them: intervals as seconds, numbers of 64 bits without sign, and labels without the backslash that
    the connector puts before a comma."""
    def shown(name):
        type_ = types[name].split(" NOT NULL")[0]
        text = f"{quoted(name)}::{type_}"
        if type_ == "numeric(20,0)":
            text = f"({text} + 18446744073709551616) % 18446744073709551616"
        return f"extract(epoch FROM {text})::text" if type_ == "interval" else f"replace(({text})::text, E'\\\\,', ',')"
    return sorted(map(repr, db.sql(f'SELECT {", ".join(map(shown, types))} FROM public."{table}"', superuser=True)))


def column(name, type_, length=None, scale=None, optional=True, default=None):
    return {"name": name, "jdbcType": 4, "typeName": type_, "typeExpression": type_, "length": length, "scale": scale, "position": 1,
            "optional": optional, "autoIncremented": False, "generated": False, "defaultValueExpression": default, "enumValues": None}


def changed(prefix, table, *form, key=("id",), kind="ALTER", ddl="DROP TABLE t", connector="mysql", db="shop"):
    """An event of schema changes, whose SQL would do harm."""
    return Message(key=json.dumps({"databaseName": db}), value={
        "source": {"connector": connector, "name": prefix, "db": db, "table": table}, "ts_ms": 1, "databaseName": db, "schemaName": None, "ddl": ddl,
        "tableChanges": [{"type": kind, "id": f'"{db}"."{table}"', "table": {"primaryKeyColumnNames": list(key), "columns": list(form)}}]})


def event(table, op="c", **after):
    return Message(value={"before": None, "after": after, "op": op, "source": {"connector": "mysql", "db": "shop", "table": table}},
                   key=json.dumps({"id": after["id"]}))


def place(message):
    """Where the source wrote it."""
    return json.loads(message.value)["source"]["pos"]


ID = column("id", "INT", optional=False)


# ---- the captures


@test
def rows_without_schema_have_tables_made():
    """14 tables of MariaDB, made by their events alone; what is in them is what tasks with tables made by hand have."""
    prefix = unique("maria")
    rows, changes = source(prefix)
    Topic(name=prefix).produce(changes)
    for table, messages in rows.items():
        Topic(name=f"{prefix}.inv.{table}").produce(messages)
    topics = [f"^{prefix}$", f"^{prefix}\\."]
    units = {"c_bigu": "unsigned", "order_no": "unsigned"}
    with Database() as db:
        Sluice.run(mirror(topics, db, sync={"units": units, "tables": {"exclude": ["public.late_t", "public.ddl_m", "public.zz_marker"]}}), "--until-end").expect(0)
        check_equal(tables_of(db), sorted(table.replace("Order_", "Order ") for table in TABLES), "tables")
        check_equal(columns(db, "my_types"), MY_TYPES, "my_types")
        check_equal(columns(db, "orders"), {
            "region": "character varying(8) NOT NULL", "order_no": "numeric(20,0) NOT NULL", "customer": "character varying(100)",
            "status": "character varying(16) NOT NULL", "amount": "numeric(12,2)", "qty": "integer",
            "created_at": "timestamp without time zone", "changed_at": "timestamp with time zone NOT NULL"}, "orders")
        for table, key in (("orders", "region,order_no"), ("uniq_only", "code"), ("nopk", None), ("Order Items.v2", "Id")):
            check_equal(db.value("SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_index JOIN pg_attribute a ON attrelid = indrelid AND "
                                 "attnum = ANY (indkey) WHERE indrelid = %s::regclass AND indisprimary", (f'"{table}"',)), key, table)
        made = {table: (columns(db, table), contents(db, table, columns(db, table))) for table in tables_of(db)}
    check_equal([table for table, (_, found) in made.items() if not found], ["later_t"], "tables without rows: that was truncated")
    # The rows with schemas, by which they are read whatever the columns are; each column compared in the type that the events ask for.
    other = unique("maria")
    for table, messages in source(other, "schema")[0].items():
        Topic(name=f"{other}.inv.{table}").produce(messages)
    with Database() as db:
        Sluice.run(mirror([f"^{other}\\."], db, sync={"units": units}), "--until-end").expect(0)
        check_equal(tables_of(db), sorted(made), "tables")
        for table, (types, wanted) in made.items():
            check_equal(contents(db, table, types), wanted, table)


MY_TYPES = {
    "id": "integer NOT NULL", "c_tiny": "smallint", "c_tinyu": "smallint", "c_tiny1": "smallint", "c_bool": "smallint", "c_small": "smallint",
    "c_smallu": "integer", "c_medium": "integer", "c_mediumu": "integer", "c_int": "integer", "c_intu": "bigint", "c_intz": "bigint",
    "c_big": "bigint", "c_bigu": "numeric(20,0)", "c_dec": "numeric(12,4)", "c_decu": "numeric(10,2)", "c_dec65": "numeric(65,30)",
    "c_dec0": "numeric(20,0)", "c_float": "real", "c_float53": "double precision", "c_floatmd": "real", "c_double": "double precision",
    "c_doublemd": "double precision", "c_bit1": "boolean", "c_bit8": "bit(8)", "c_bit20": "bit(20)", "c_bit64": "bit(64)", "c_date": "date",
    "c_dt": "timestamp(3) without time zone", "c_dt3": "timestamp(3) without time zone", "c_dt6": "timestamp without time zone",
    "c_ts": "timestamp with time zone", "c_ts3": "timestamp with time zone", "c_ts6": "timestamp with time zone", "c_time": "interval",
    "c_time3": "interval", "c_time6": "interval", "c_year": "integer", "c_char": "text", "c_varchar": "character varying(50)",
    "c_vlatin": "character varying(50)", "c_vbin": "character varying(20)", "c_tinytext": "text", "c_text": "text", "c_mediumtext": "text",
    "c_longtext": "text", "c_binary": "bytea", "c_varbinary": "bytea", "c_tinyblob": "bytea", "c_blob": "bytea", "c_mediumblob": "bytea",
    "c_longblob": "bytea", "c_enum": "text", "c_set": "text", "c_json": "text", "c_uuid": "uuid", "c_point": "point", "c_geom": "bytea",
    "c_poly": "bytea",
}


@test
def a_table_follows_the_events_of_its_source():
    """One table: 12 kinds of DDL between rows without schema. What takes a rewrite stops in front of the event, with the SQL."""
    prefix = unique("maria")
    rows, changes = source(prefix, tables=("ddl_m",))
    data, events = Topic(name=f"{prefix}.inv.ddl_m"), Topic(name=prefix)
    with Database() as db:
        document = mirror([data.name, events.name], db, "public.other_name", sync={"schema_changes": "apply_all"})
        # In the order in which they came about, as a task that keeps up meets them.
        pending = sorted([(place(each), 0, n, events, each) for n, each in enumerate(changes)] +
                         [(place(each), 1, n, data, each) for n, each in enumerate(rows["ddl_m"]) if each.value], key=lambda each: each[:3])
        seen = []
        while pending:
            topic = pending[0][3]
            together = []
            while pending and pending[0][3] is topic:
                together.append(pending.pop(0)[4])
            topic.produce(together)
            ended = Sluice.run(document, "--until-end")
            sql = re.search(r"ALTER TABLE \"public\"\.\"other_name\" DROP CONSTRAINT.*?ADD PRIMARY KEY \([^)]*\)", ended.err)
            if ended.code != 0 and sql:
                db.sql(sql.group(0))
                ended = Sluice.run(document, "--until-end")
            ended.expect(0)
            seen.append(columns(db, "other_name"))
        check(len(seen) > 10, f"{len(seen)} steps")
        check_equal(seen[-1], {
            "id": "integer NOT NULL", "a": "bigint", "b": "character varying(10)", "c": "numeric(10,4)", "d": "text",
            "e": "timestamp without time zone", "f": "text", "g": "integer NOT NULL DEFAULT 7",
            "h": "timestamp(3) without time zone DEFAULT '2020-01-01 00:00:00'::timestamp without time zone",
            "i": "numeric(8,3) DEFAULT 1.5", "j": "character varying(20) DEFAULT 'dflt''q'::character varying",
            "b_new": "character varying(50)", "a2": "bigint", "k2": "integer NOT NULL DEFAULT 1"}, "columns")
        with unpacked("mariadb") as folder:
            lines = [line.split("\t") for line in (folder / "oracle" / "ddl_m.tsv").read_text(encoding="utf-8").splitlines()]
        names = lines[0]
        got = {each[0]: dict(zip(names, each[1:])) for each in
               db.sql("SELECT id, " + ", ".join(f"coalesce({'rpad(e::text, 26, chr(48))' if name == 'e' else name + '::text'}, 'NULL')" for name in names) + " FROM other_name")}
        wanted = {int(line[names.index("id")]): dict(zip(names, line)) for line in lines[1:]}
        check_equal(sorted(got), sorted(wanted), "rows")
        found = {(id_, name): (got[id_][name], wanted[id_][name]) for id_ in wanted for name in names if got[id_][name] != wanted[id_][name]}
        for name, new in (("a", "a2"), ("b", "b_new")):  # a column with another name is a new one
            for id_ in wanted:
                if found.get((id_, new), ("", ""))[0] == "NULL":
                    check_equal(db.value(f"SELECT {name}::text FROM other_name WHERE id = %s", (id_,)), found.pop((id_, new))[1], f"{name} of {id_}")
        check_equal(found, {
            (3, "f"): ("f3", "0"),  # MODIFY f int gives no event for the rows that are there
            # A NULL is sent as the column's default.
            (5, "h"): ("2020-01-01 00:00:00", "NULL"), (5, "i"): ("1.500", "NULL"), (5, "j"): ("dflt''q", "NULL")}, "differences")


# ---- events that are made


@test
def rows_wait_for_the_event_that_says_their_types():
    """Rows of a table, and of a column, that are read before the event: with one lane, and with two that do not see each other's."""
    for lanes in (1, 2):
        prefix = unique("maria")
        data, events = Topic(name=f"{prefix}.shop.t", partitions=2), Topic(name=prefix)
        with Database() as db:
            document = mirror([data.name, events.name], db, "public.t", tuning={"lanes": lanes})
            with Sluice(document) as sluice:
                data.produce([event("t", id=n, at=1700000000000) for n in range(20)])
                sluice.wait_output("waits for an event of schema changes")
                events.produce([changed(prefix, "t", ID, column("at", "DATETIME", 3), kind="CREATE")])
                sluice.wait_for(lambda: tables_of(db) and db.value("SELECT count(*) FROM t") == 20, "the rows")
                data.produce([event("t", id=n, at=1700000000000, price="Anw=") for n in range(20, 40)])
                time.sleep(1)
                events.produce([changed(prefix, "t", ID, column("at", "DATETIME", 3), column("price", "DECIMAL", 10, 2))])
                sluice.wait_for(lambda: db.value("SELECT count(*) FROM t") == 40, "the other rows")
                sluice.stop().expect(143)
            check_equal(columns(db, "t"), {"id": "integer NOT NULL", "at": "timestamp(3) without time zone", "price": "numeric(10,2)"}, "columns")
            check_equal(db.rows("SELECT DISTINCT at::text, price::text FROM t ORDER BY 2"),
                        [("2023-11-14 22:13:20", "6.36"), ("2023-11-14 22:13:20", None)], "rows")


@test
def without_the_event_the_task_stops_with_the_sql():
    """Nobody says the types of a row without schema: after three seconds in which nothing else came, the task says so."""
    prefix = unique("maria")
    data, events = Topic(name=f"{prefix}.shop.t"), Topic(name=prefix)
    data.produce([event("t", id=1, at=1700000000000)])
    events.produce([changed(prefix, "another", ID, kind="CREATE")])
    with Database() as db:
        ended = Sluice.run(mirror([data.name, events.name], db, "public.t"), "--until-end")
        check(ended.code != 0 and "types are guesses" in ended.err, f"it stops: {ended.err[-1000:]}")
        check_equal(tables_of(db), [], "tables")


@test
def events_are_hints_and_nothing_else():
    """Their SQL is not run, nothing is dropped or narrowed, and tables whose topics are not read are not made; columns that rows do not
    have any more let nulls in."""
    prefix = unique("maria")
    data, events = Topic(name=f"{prefix}.shop.t"), Topic(name=prefix)
    wide = [ID, column("name", "VARCHAR", 50), column("need", "INT", optional=False), column("big", "BIGINT")]
    drop = changed(prefix, "t", kind="DROP")
    drop.value["tableChanges"][0]["table"] = None
    with Database() as db:
        db.sql("CREATE TABLE victim (id integer)")
        events.produce([changed(prefix, "t", *wide, kind="CREATE", ddl="DROP TABLE victim"),
                        drop, changed(prefix, "unread", ID, kind="CREATE"),
                        changed("elsewhere", "t", ID, column("other", "INT"), kind="ALTER"),
                        changed(prefix, "t", ID, column("sql", "INT"), connector="sqlserver"),
                        changed(prefix, "t", ID, column("name", "VARCHAR", 10), column("big", "SMALLINT"))])
        document = mirror([f"^{prefix}$", f"^{prefix}\\."], db, "public.{source.table}", sync={"tables": {"exclude": ["public.unread"]}})
        data.produce([event("t", id=1, name="n" * 50, need=1, big=1 << 40)])
        first = Sluice.run(document, "--until-end").expect(0).summary
        check_equal((first["ignored"], first["rows_written"]), (6, 1), "ignored and written")
        check_equal(tables_of(db), ["t", "victim"], "tables")
        check_equal(columns(db, "t"), {"id": "integer NOT NULL", "name": "character varying(50)", "need": "integer NOT NULL", "big": "bigint"}, "columns")
        data.produce([event("t", id=2, name="m", big=2)])
        Sluice.run(document, "--until-end").expect(0)
        check_equal(columns(db, "t")["need"], "integer", "a column that the source does not have any more")
        check_equal(db.rows("SELECT id, need FROM t ORDER BY id"), [(1, 1), (2, None)], "rows")


@test
def defaults_are_taken_where_they_are_constants():
    """They also fill the rows that are there; an expression, a date that is none and a time in a zone that nobody says are left."""
    prefix = unique("maria")
    data, events = Topic(name=f"{prefix}.shop.t"), Topic(name=prefix)
    taken = {"n": ("INT", None, "7"), "neg": ("DECIMAL", 10, "-1.50"), "u": ("BIGINT UNSIGNED", None, "18446744073709551615"), "f": ("DOUBLE", None, "0.5"),
             "d": ("DATE", None, "2024-02-29"), "dt": ("DATETIME", 6, "2024-02-29 13:14:15.5"), "tm": ("TIME", None, "13:14:15"),
             "v": ("VARCHAR", 20, "it''s"), "e": ("ENUM", 1, "y"), "empty": ("VARCHAR", 20, "")}
    left = {"l1": ("DATETIME", 0, "1970-01-01 00:00:00"), "l2": ("DATETIME", 0, "0000-00-00 00:00:00"), "l3": ("DATE", None, "2023-02-29"),
            "l4": ("TIMESTAMP", 0, "2024-02-29 13:14:15"), "l5": ("VARCHAR", 36, "uuid()"), "l6": ("INT", None, "b'1'"), "l7": ("VARCHAR", 9, "a\\nb"),
            "l8": ("DECIMAL", 10, "pi"), "l9": ("BINARY", 4, "abcd"), "l10": ("TIME", None, "838:59:59"), "l11": ("INT", None, None)}
    form = [column(name, type_, length, 2 if type_ == "DECIMAL" else None, optional=False, default=default)
            for name, (type_, length, default) in {**taken, **left}.items()]
    with Database() as db:
        document = mirror([data.name, events.name], db, "public.t")
        events.produce([changed(prefix, "t", ID, kind="CREATE")])
        data.produce([event("t", id=1)])
        Sluice.run(document, "--until-end").expect(0)
        events.produce([changed(prefix, "t", ID, *form)])
        Sluice.run(document, "--until-end").expect(0)
        got = db.sql("SELECT to_jsonb(t)::text FROM t", superuser=True)[0][0]
        check_equal({name: value for name, value in json.loads(got).items() if value is not None and name != "u"}, {
            "id": 1, "n": 7, "neg": -1.5, "f": 0.5, "d": "2024-02-29", "dt": "2024-02-29T13:14:15.5", "tm": "13:14:15", "v": "it's",
            "e": "y", "empty": ""}, "the row that was there")
        check_equal(db.value("SELECT u::text FROM t"), "18446744073709551615", "a number of 64 bits without sign")
        found = columns(db, "t")
        check_equal([name for name in taken if "NOT NULL" not in found[name]] + [name for name in left if "NOT NULL" in found[name]], [], "NOT NULL")


@test
def policies_hold_for_events_and_what_they_would_do_is_shown():
    """stop and warn do nothing, a rewrite is somebody's decision; check --ddl, preview and rehearse say the SQL, and count rows for it."""
    prefix = unique("maria")
    data, events = Topic(name=f"{prefix}.shop.t"), Topic(name=prefix)
    events.produce([changed(prefix, "t", ID, column("at", "DATETIME", 6), kind="CREATE")])
    data.produce([event("t", id=1, at=1700000000000000)])
    made = 'CREATE TABLE "public"."t" ("id" integer, "at" timestamp, PRIMARY KEY ("id"))'
    topics = [data.name, events.name]
    with Database() as db:
        for table in ("public.t", "public.{source.table}"):
            document = mirror(topics, db, table)
            for command, arguments in (("check", ["--ddl"]), ("preview", []), ("rehearse", [])):
                out = Sluice.run(document, *arguments, command=command).out
                check(made in out, f"{command} of {table} says what would be done: {out}")
            report = json.loads(Sluice.run(document, "--json", command="rehearse").expect(0).out)
            check_equal((report["ddl"], report["failed"]), ([made], 0), f"rehearse of {table}")
            check_equal(tables_of(db), [], "tables")
        ended = Sluice.run(mirror(topics, db, "public.t", sync={"schema_changes": "stop"}), "--until-end")
        check(ended.code != 0, f"stop: {ended.err[-500:]}")
        Sluice.run(mirror(topics, db, "public.t"), "--until-end").expect(0)
        check_equal(db.rows("SELECT id, at::text FROM t"), [(1, "2023-11-14 22:13:20")], "rows")
        events.produce([changed(prefix, "t", ID, column("at", "DATETIME", 6), column("c", "DECIMAL", 5, 2))])
        Sluice.run(mirror(topics, db, "public.t", sync={"schema_changes": "warn"}), "--until-end", "--adopt").expect(0)
        check_equal(list(columns(db, "t")), ["id", "at"], "warn")
        db.sql("ALTER TABLE t ADD c numeric(5,2)")
        events.produce([changed(prefix, "t", ID, column("c", "DECIMAL", 10, 4))])
        ended = Sluice.run(mirror(topics, db, "public.t"), "--until-end", "--adopt")
        check(ended.code != 0 and 'ALTER COLUMN "c" TYPE numeric(10,4)' in ended.err, f"a rewrite: {ended.err[-800:]}")


@test
def the_forms_of_events():
    """With schemas and without, with sync.format debezium, several tables in one event, and in the topic of the rows."""
    for form in ("auto", "debezium"):
        prefix = unique("maria")
        one, two, events = Topic(name=f"{prefix}.shop.one"), Topic(name=f"{prefix}.shop.two"), Topic(name=prefix)
        both = changed(prefix, "one", ID, kind="CREATE")
        both.value["tableChanges"] += changed(prefix, "two", ID, column("v", "VARCHAR", 5), key=(), kind="CREATE").value["tableChanges"]
        drop = changed(prefix, "one", kind="DROP")
        drop.value["tableChanges"] = []
        events.produce([drop, both])
        one.produce([changed(prefix, "one", ID, column("more", "INT")), event("one", id=1, more=2), drop])
        two.produce([Message(value=event("two", id=1, v="v").value)])
        with Database() as db:
            document = mirror([one.name, two.name, events.name], db, "public.{source.table}", sync={"format": form})
            Sluice.run(document, "--until-end").expect(0)
            check_equal(db.rows("SELECT one.*, two.* FROM one, two"), [(1, 2, 1, "v")], form)
            check_equal(columns(db, "two"), {"id": "integer NOT NULL", "v": "character varying(5)"}, form)


if __name__ == "__main__":
    main()
