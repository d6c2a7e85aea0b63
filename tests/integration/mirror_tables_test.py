#!/usr/bin/python3
"""sync.mode: mirror of many tables by one task: target.table as a template.

What each table must hold, tasks of one table say, whose rows mirror_captures_test.py compares with the source.
"""

import json
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import
from captures import columns_of, messages_of, texts_of, unpacked  # noqa: E402 pylint: disable=wrong-import-position

# Topics without rows, and tables whose keys change in mid-stream.
LEFT_OUT = ("message", "transaction", "_schema_changes", "public.ddl_t", "public.late_t", "public.later_t", "public.metrics")


def mirror(topics, db, table, **sections):
    """A task for these topics, which share the beginning of their names: a pattern."""
    sync = {"mode": "mirror", **sections.pop("sync", {})}
    document = task_for(topics, db, table, sync=sync, **{"on_failure": "retain", "breaker": {"share": 1}, **sections})
    document["sync"].pop("write", None)
    return document


def captured(variant):
    """By table: the messages of every topic with rows."""
    with unpacked("postgres") as folder:
        return {file.stem: messages_of(file) for file in sorted((folder / variant).glob("*.jsonl")) if file.stem not in LEFT_OUT}


def tables_of(db):
    found = db.sql("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT IN "
                   "('pg_catalog', 'information_schema', 'sluice') ORDER BY 1", superuser=True)
    return [name for name, in found]


def contents(db):
    return {name: (columns_of(db, name), sorted(texts_of(db, name, list(columns_of(db, name))), key=repr)) for name in tables_of(db)}


def source_of(messages):
    """Schema and table, as the first message with a source says them: topics have names without what Kafka does not take."""
    block = next(json.loads(each.value)["payload"]["source"] for each in messages if each.value and '"source":{"version"' in each.value)
    return block["schema"], block["table"]


def make_schemas(db, messages):
    for schema in {source_of(each)[0] for each in messages.values()}:
        db.sql(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')


def one_by_one(messages):
    """What tasks of one table each make of them."""
    with Database() as db:
        make_schemas(db, messages)
        for each in messages.values():
            topic = Topic()
            topic.produce(each)
            Sluice.run(mirror(topic, db, ".".join(f'"{part}"' for part in source_of(each)), on_failure="deliver", sync={"schema_changes": "apply_all"}),
                       "--until-end").expect(0)
        return contents(db)


def check_contents(found, wanted, what):
    check_equal(sorted(found), sorted(wanted), f"{what}: tables")
    for name, (columns, rows) in wanted.items():
        check_equal(found[name][0], columns, f"{what}: columns of {name}")
        check(found[name][1] == rows, f"{what}: {name} has {len(found[name][1])} rows, expected {len(rows)}: "
              f"{[row for row in found[name][1] if row not in rows][:2]} for {[row for row in rows if row not in found[name][1]][:2]}")


def event(table, after, op="c", schema="public", before=None):
    """An envelope without schema; its key is the row's id."""
    payload = {"before": before, "after": after, "source": {"db": "shop", "schema": schema, "table": table}, "op": op, "ts_ms": 1}
    return Message(value=payload, key=json.dumps({"id": (after or before)["id"]}))


# ---- the captures


@test
def a_source_of_many_tables_is_one_task():
    """Topics by pattern, all tables made by the task: with a batch that holds them all, and with many small ones, and killed."""
    messages = captured("schema")
    wanted = one_by_one(messages)
    check(len(wanted) >= 15, f"{len(wanted)} tables")
    prefix = unique("source")
    for table, each in messages.items():
        Topic(name=f"{prefix}.{table}").produce(each)
    for batch_rows, kills in ((20000, 0), (23, 8)):
        with Database() as db:
            make_schemas(db, messages)
            document = mirror([], db, "{source.schema}.{source.table}", on_failure="deliver", tuning={"batch_rows": batch_rows},
                              sync={"schema_changes": "apply_all"})
            document["source"]["topics"] = [f"^{prefix}\\."]
            for _ in range(kills):
                with Sluice(document, "--until-end") as sluice:
                    time.sleep(random.uniform(0.3, 1.5))
                    sluice.signal(9)
            Sluice.run(document, "--until-end").expect(0)
            check_contents(contents(db), wanted, f"batches of {batch_rows}, {kills} kills")


@test
def many_tables_in_one_topic():
    """As ByLogicalTableRouter leaves them: the message says its table, tombstones and nulls follow their deletes."""
    messages = {table: each for table, each in captured("schema").items() if table != "public.no_key_t"}
    wanted = one_by_one(messages)
    order = random.Random(7)
    left = {table: list(each) for table, each in messages.items()}
    mixed = []
    while left:
        table = order.choice(sorted(left))
        for _ in range(min(order.randint(1, 5), len(left[table]))):
            mixed.append(left[table].pop(0))
        if not left[table]:
            del left[table]
    topic = Topic()
    topic.produce(mixed)
    for batch_rows in (20000, 41):
        with Database() as db:
            make_schemas(db, messages)
            document = mirror(topic, db, "{source.schema}.{source.table}", sync={"schema_changes": "apply_all"}, on_failure="deliver",
                              tuning={"batch_rows": batch_rows})
            Sluice.run(document, "--until-end").expect(0)
            check_contents(contents(db), wanted, f"batches of {batch_rows}")


# ---- which tables, and where they go


@test
def tables_are_chosen_and_renamed():
    with Database() as db:
        db.sql("CREATE SCHEMA ods; CREATE TABLE ods.public_a (id int PRIMARY KEY, n int); CREATE TABLE kept (id int PRIMARY KEY, n int)")
        topic = Topic()
        topic.produce([event(table, {"id": number, "n": number}) for number in range(1, 4) for table in ("a", "b", "tmp_x", "other")])
        document = mirror(topic, db, "ods.{source.schema}_{source.table}", sync={
            "schema_changes": "warn",
            "tables": {"include": ["^ods\\.public_(a|b|tmp)"], "exclude": ["^ods\\.public_tmp_"], "rename": {"ods.public_b": "public.kept"}}})
        with Sluice(document, "--until-end", summary=True) as sluice:
            ended = sluice.wait().expect(0)
        for table in ("ods.public_a", "kept"):
            check_equal(db.sql(f"SELECT id, n FROM {table} ORDER BY id"), [(1, 1), (2, 2), (3, 3)], table)
        check_equal((ended.summary["rows_written"], ended.summary["ignored"]), (6, 6))


@test
def tables_that_steer_connectors_are_nothing():
    """Wherever their changes come: by the default name of DIP, and by a name of one's own."""
    signals = [event("dip_signal_7", {"id": 1, "type": "log"}), event("debezium_signal", {"id": 1, "type": "execute-snapshot"})]
    for table in ("public.t", "public.{source.table}"):
        with Database() as db:
            db.sql("CREATE TABLE t (id int PRIMARY KEY, n int)")
            topic = Topic()
            topic.produce([*signals, event("t", {"id": 5, "n": 5}), *signals])
            document = mirror(topic, db, table, sync={"signal_tables": ["dip_signal_*", "debezium_signal"]})
            ended = Sluice.run(document, "--until-end").expect(0)
            check_equal((ended.summary["rows_written"], ended.summary["ignored"], tables_of(db)), (1, 4, ["public.t"]))
            topic = Topic()
            topic.produce([signals[0], event("t", {"id": 6, "n": 6})])
            Sluice.run(mirror(topic, db, table, sync={"schema_changes": "stop"}), "--until-end").expect(0)
            check_equal(db.sql("SELECT id FROM t ORDER BY id"), [(5,), (6,)])


@test
def topics_name_tables():
    """Rows that say nothing of a table: {topic}, its dots as _; tombstones, heartbeats and topics that come later included."""
    prefix = unique("app")
    with Database() as db:
        for name in ("orders", "people", "late"):
            db.sql(f"CREATE TABLE {prefix}_{name} (id int PRIMARY KEY, n int)")
        topics = {name: Topic(name=f"{prefix}.{name}") for name in ("orders", "people")}
        row = lambda number, n: Message(value={"id": number, "n": n}, key=json.dumps({"id": number}))  # noqa: E731
        for topic in topics.values():
            topic.produce([row(1, 1), row(2, 2), Message(value=None, key=json.dumps({"id": 1})), row(3, 3)])
        heartbeats = Topic(name=f"{prefix}.beat")
        heartbeats.produce([event("x", None, op="m", before={"id": 1})])
        document = mirror([], db, "{topic}", sync={"schema_changes": "warn"})
        document["source"]["topics"] = [f"^{prefix}\\."]
        document["source"]["kafka"]["topic.metadata.refresh.interval.ms"] = "500"
        with Sluice(document) as sluice:
            for name in topics:
                sluice.wait_for(lambda name=name: db.sql(f"SELECT id FROM {prefix}_{name} ORDER BY id") == [(2,), (3,)], name)
            late = Topic(name=f"{prefix}.late")
            late.produce([Message(value=None, key='{"id": 7}'), row(5, 5)])
            sluice.wait_for(lambda: db.sql(f"SELECT id FROM {prefix}_late") == [(5,)], "the topic that came later")
            topics["orders"].produce([Message(value=None, key='{"id": 2}')])
            sluice.wait_for(lambda: db.sql(f"SELECT id FROM {prefix}_orders") == [(3,)], "a tombstone deletes")
            sluice.stop()
        # A tombstone is the first message that the next start sees of its topic.
        topics["people"].produce([Message(value=None, key='{"id": 3}')])
        Sluice.run(document, "--until-end").expect(0)
        check_equal(db.sql(f"SELECT id FROM {prefix}_people"), [(2,)])


@test
def tombstones_of_one_table_do_not_touch_another():
    """Both tables have the key: the tombstone behind a delete comes when the other table was seen last, or nothing was."""
    with Database() as db:
        db.sql("CREATE TABLE a (id int PRIMARY KEY, n int); CREATE TABLE b (id int PRIMARY KEY, n int)")
        topic = Topic(partitions=2)
        document = mirror(topic, db, "public.{source.table}", sync={"schema_changes": "warn"}, tuning={"batch_rows": 1})

        def send(*messages):
            for message in messages:
                message.partition = 0
            topic.produce(messages)

        send(event("a", {"id": 1, "n": 1}), event("b", {"id": 1, "n": 1}), event("a", None, "d", before={"id": 1}),
             event("b", {"id": 2, "n": 2}), Message(value=None, key='{"id": 1}'))
        Sluice.run(document, "--until-end").expect(0)
        check_equal((db.sql("SELECT id FROM a"), db.sql("SELECT id FROM b ORDER BY id")), ([], [(1,), (2,)]))
        send(Message(value=None, key='{"id": 1}'), Message(value="null", key='{"id": 2}'), event("a", {"id": 9, "n": 9}))
        Sluice.run(document, "--until-end").expect(0)
        check_equal((db.sql("SELECT id FROM a"), db.sql("SELECT id FROM b ORDER BY id")), ([(9,)], [(1,), (2,)]))
        # Two of them in a row, when the table has just been compiled anew.
        with Sluice(document) as sluice:
            send(event("a", {"id": 3, "n": 3}), event("a", {"id": 4, "n": 4}), event("a", None, "d", before={"id": 3}))
            sluice.wait_for(lambda: db.value("SELECT count(*) FROM a WHERE id = 4") == 1, "the rows before")
            db.sql("ALTER TABLE a ADD m int")
            send(Message(value=None, key='{"id": 3}'), Message(value=None, key='{"id": 3}'), event("a", {"id": 6, "n": 6, "m": 6}))
            send(Message(value=None, key='{"id": 3}'), Message(value=None, key='{"id": 3}'), event("a", {"id": 7, "n": 7, "m": 7}))
            sluice.wait_for(lambda: db.value("SELECT count(*) FROM a WHERE id = 7") == 1, "the rows behind")
        # Behind a flat row it is the delete, and says no table; behind one with __deleted it is nothing again.
        for deleted, code in ((None, 3), ("true", 0)):
            flat = Topic()
            flat.produce([Message(value={"id": 5, "n": 5, "__table": table, **({"__deleted": "false"} if deleted else {})}, key='{"id": 5}')
                          for table in "ab"])
            if deleted:
                flat.produce([Message(value={"id": 5, "n": 5, "__table": "a", "__deleted": "true"}, key='{"id": 5}')])
            flat.produce([Message(value=None, key='{"id": 5}')])
            document = mirror(flat, db, "public.{source.table}", sync={"schema_changes": "warn"})
            Sluice.run(document, "--until-end").expect(code, *(("a tombstone names no table",) if code else ()))
            check_equal(db.value("SELECT count(*) FROM (SELECT id FROM a UNION ALL SELECT id FROM b) AS ab WHERE id = 5"), 1 if deleted else 2)
        # The first message after a start: nothing tells what it is but the task's word.
        only = Topic()
        only.produce([Message(value=None, key='{"id": 5}')])
        for form, code in (("json", 3), ("debezium", 0), ("auto", 0)):
            document = mirror(only, db, "public.{source.table}", sync={"schema_changes": "warn", "format": form})
            Sluice.run(document, "--until-end").expect(code)


@test
def what_messages_say_decides():
    """Rows that say their source in part, in two ways, or not at all; and offsets that hold nothing in front of a table's first message."""
    with Database() as db:
        db.sql("CREATE SCHEMA t1; CREATE SCHEMA t2; CREATE TABLE t1.orders (id int PRIMARY KEY, n int); CREATE TABLE t2.orders (id int PRIMARY KEY, n int)")
        topic = Topic()
        topic.produce([Message(value={"id": 1, "n": number, "__schema": f"t{number}", "__source_schema": "other"}, key='{"id": 1}') for number in (1, 2)])
        warn = {"schema_changes": "warn"}
        Sluice.run(mirror(topic, db, "{source.schema}.orders", sync=warn), "--until-end").expect(0)
        check_equal((db.sql("SELECT id, n FROM t1.orders"), db.sql("SELECT id, n FROM t2.orders")), ([(1, 1)], [(1, 2)]))
        topic.produce([Message(value={"id": 7, "n": 7}, key='{"id": 7}')])
        Sluice.run(mirror(topic, db, "{source.schema}.orders", sync=warn), "--until-end").expect(1, "does not say its source.schema")
        # A transaction's marker stands in front of the first message of t2, whose table is locked away for a while.
        spaced = Topic()
        with spaced.transaction() as transaction:
            transaction.produce([event("orders", {"id": 10, "n": 1}, schema="t1")])
        with spaced.transaction() as transaction:
            transaction.produce([event("missing", {"id": 11, "n": 1}, schema="t2"), event("orders", {"id": 12, "n": 1}, schema="t2")])
        document = mirror(spaced, db, "{source.schema}.{source.table}", sync=warn)
        Sluice.run(document, "--until-end").expect(1, 'missing')
        check_equal(db.value("SELECT count(*) FROM t1.orders WHERE id = 10"), 1, "what lies before is applied")
        check_ = Sluice.run(document, command="check").expect(0).out
        check("t1" in check_, check_)
        Sluice.run(document, "--json", command="rehearse").expect(1)
        db.sql("CREATE TABLE t2.missing (id int PRIMARY KEY, n int)")
        Sluice.run(document, "--until-end").expect(0)
        check_equal((db.value("SELECT count(*) FROM t2.missing"), db.value("SELECT count(*) FROM t2.orders WHERE id = 12")), (1, 1))
        # Two names of one table are one table: its changes stay in their order.
        both = Topic()
        both.produce([event(table, {"id": 20, "n": number}, schema="t1") for number, table in enumerate(("orders", "alias", "orders", "alias"))])
        document = mirror(both, db, "{source.schema}.{source.table}", sync={**warn, "tables": {"rename": {"t1.alias": "t1.orders"}}})
        Sluice.run(document, "--until-end").expect(0)
        check_equal(db.sql("SELECT n FROM t1.orders WHERE id = 20"), [(3,)])


# ---- bad messages


@test
def a_bad_row_stops_or_leaves_all_tables_at_the_same_message():
    """The batch is one transaction over its tables: retain applies exactly what lies before, in each of them."""
    for first_bad, second_bad in (("b", "a"), ("a", "b")):
        messages = [event("ab"[number % 2], {"id": number, "n": number}) for number in range(200)]
        messages[131 if first_bad == "b" else 130].value["after"]["n"] = 5000  # the table's CHECK refuses it
        messages[160 if second_bad == "a" else 161].value["after"]["n"] = 5000
        bad = [number for number in range(200) if messages[number].value["after"]["n"] == 5000]
        topic = Topic()
        topic.produce(messages)
        for policy in ("retain", "discard", "deliver"):
            with Database() as db:
                for table in "ab":
                    db.sql(f"CREATE TABLE {table} (id int PRIMARY KEY, n int CHECK (n < 1000))")
                document = mirror(topic, db, "{source.table}", on_failure=policy, sync={"schema_changes": "warn"})
                Sluice.run(document, "--until-end").expect(3 if policy == "retain" else 0)
                found = sorted(identity for identity, in db.sql("SELECT id FROM a UNION ALL SELECT id FROM b"))
                wanted = list(range(bad[0])) if policy == "retain" else [each for each in range(200) if each not in bad]
                check_equal(found, wanted, f"{policy}, {first_bad} first")
                if policy != "deliver":
                    continue
                db.sql("ALTER TABLE a DROP CONSTRAINT a_n_check; ALTER TABLE b DROP CONSTRAINT b_n_check")
                Sluice.run(document, command="dead-letters replay").expect(0)
                check_equal(db.value("SELECT count(*) FROM (SELECT id FROM a UNION ALL SELECT id FROM b) AS ab"), 200)


@test
def parents_and_children_of_one_task_meet():
    """A foreign key between two tables of a topic: the batch is written in the order of the source where it must be."""
    with Database() as db:
        db.sql("CREATE TABLE z_parent (id int PRIMARY KEY); CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES z_parent)")
        topic = Topic()
        messages = [event("child", {"id": 0, "parent": None})]
        for number in range(1, 300):
            messages += [event("z_parent", {"id": number}), event("child", {"id": number, "parent": number})]
        topic.produce(messages)
        Sluice.run(mirror(topic, db, "{source.table}", sync={"schema_changes": "warn"}), "--until-end").expect(0)
        check_equal(db.value("SELECT count(*) FROM child"), 300)


@test
def rows_wait_for_what_another_topic_brings():
    """Foreign keys and unique values across topics: the child's topic is read before its parent's; what never comes is bad after a while."""
    for lanes, batch_rows in ((1, 20000), (1, 7), (2, 50)):
        prefix = unique("fk")
        with Database() as db:
            db.sql("CREATE TABLE parent (id int PRIMARY KEY, code int UNIQUE); CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent)")
            child, parent = Topic(name=f"{prefix}.a_child"), Topic(name=f"{prefix}.b_parent", partitions=2)
            children = [event("child", {"id": number, "parent": number // 2}) for number in range(400)]
            child.produce(children)
            places = parent.produce([event("parent", {"id": number, "code": number}) for number in range(200)])
            document = mirror([], db, "{source.table}", sync={"schema_changes": "warn"}, tuning={"batch_rows": batch_rows, "lanes": lanes})
            document["source"]["topics"] = [f"^{prefix}\\."]
            Sluice.run(document, "--until-end").expect(0)
            check_equal(db.value("SELECT count(*) FROM child"), 400)
            # Values of `code` go from row to row: who takes one is read before who gives it.
            given = [number for number, (partition, _) in enumerate(places) if partition == 1]
            givers = [event("parent", {"id": number, "code": None}, op="u", before={"id": number}) for number in given]
            takers = [event("parent", {"id": 1000 + number, "code": number}) for number in given]
            for message in takers:
                message.partition = 0
            parent.produce(takers)
            parent.produce(givers)
            Sluice.run(document, "--until-end").expect(0)
            check_equal(sorted(code for code, in db.sql("SELECT code FROM parent WHERE id >= 1000 AND code = id - 1000")), given)
            check_equal(sorted(number for number, in db.sql("SELECT id FROM parent WHERE code IS NULL")), given)
            # One that refers to nothing: what lies behind it is not held up for ever, and it is counted exactly.
            child.produce([event("child", {"id": 1000, "parent": 1}), event("child", {"id": 1001, "parent": 9999}),
                           event("child", {"id": 1002, "parent": 2})])
            document["on_failure"] = "deliver"
            ended = Sluice.run(document, "--until-end").expect(0)
            check_equal((ended.summary["rows_written"], ended.summary["dead_letters"]), (2, 1))
            check_equal(db.sql("SELECT id FROM child WHERE id >= 1000 ORDER BY 1"), [(1000,), (1002,)])


# ---- structure, looks, errors


@test
def tables_are_altered_one_by_one_and_by_hand():
    """In the middle of a run: one table's columns change by hand, another one is dropped."""
    with Database() as db:
        for table in "abc":
            db.sql(f"CREATE TABLE {table} (id int PRIMARY KEY, n int)")
        topic = Topic()
        document = mirror(topic, db, "{source.table}", sync={"schema_changes": "warn"})
        with Sluice(document) as sluice:
            topic.produce([event(table, {"id": 1, "n": 1}) for table in "abc"])
            sluice.wait_for(lambda: db.value("SELECT count(*) FROM c") == 1, "the first rows")
            db.sql("ALTER TABLE b ADD m int; ALTER TABLE c ALTER n TYPE text")
            topic.produce([event(table, {"id": 2, "n": 2, "m": 3}) for table in "abc"])
            sluice.wait_for(lambda: db.value("SELECT count(*) FROM c") == 2, "the second rows")
            check_equal(db.sql("SELECT id, n, m FROM b ORDER BY id"), [(1, 1, None), (2, 2, 3)])
            check_equal(db.sql("SELECT id, n FROM c ORDER BY id"), [(1, "1"), (2, "2")])
            db.sql("DROP TABLE b; CREATE TABLE b (id int PRIMARY KEY, n int)")
            topic.produce([event(table, {"id": 3, "n": 3}) for table in "abc"])
            sluice.wait().expect(1, "b\" is another table")


@test
def looks_go_by_tables():
    """check names each table that a topic begins with, preview and rehearse say which row goes where, nothing is left behind."""
    with Database() as db:
        db.sql("CREATE TABLE a (id int PRIMARY KEY, n int NOT NULL CHECK (n < 10)); CREATE TABLE b (id int PRIMARY KEY, n int)")
        topics = [Topic(), Topic()]
        topics[0].produce([event("a", {"id": 1, "n": 1}), event("b", {"id": 2, "n": 2}), event("a", {"id": 3, "n": 30})])
        topics[1].produce([event("b", {"id": 4, "n": 4})])
        document = mirror(topics, db, "public.{source.table}", sync={"schema_changes": "warn"}, on_failure="discard")
        check_ = Sluice.run(document, command="check").expect(0, '"public"."a"', '"public"."b"').out
        check_equal(check_.count("columns are written"), 2, check_)
        preview = json.loads(Sluice.run(document, "--json", command="preview").expect(0).out)
        shown = {(each["topic"], each["offset"]): each for each in preview["messages"]}
        check_equal({place: each.get("table") for place, each in shown.items()},
                    {(topics[0].name, 0): '"public"."a"', (topics[0].name, 1): '"public"."b"', (topics[0].name, 2): '"public"."a"',
                     (topics[1].name, 0): '"public"."b"'})
        report = json.loads(Sluice.run(document, "--json", command="rehearse").expect(0).out)
        check_equal((report["rows_written"], report["failed"]), (3, 1), report)
        check_equal(db.value("SELECT count(*) FROM a"), 0)


@test
def one_of_the_tables_is_compared_with_its_source():
    with Database() as source, Database() as db:
        source.sql("CREATE TABLE a (id int PRIMARY KEY, n int); INSERT INTO a VALUES (1, 1), (2, 2)")
        db.sql("CREATE SCHEMA copy; CREATE TABLE copy.a (id int PRIMARY KEY, n int)")
        topic = Topic()
        topic.produce([event("a", {"id": number, "n": number}) for number in (1, 2)])
        document = mirror(topic, db, "copy.{source.table}", sync={"schema_changes": "warn"})
        Sluice.run(document, "--until-end").expect(0)

        def verify(*arguments):
            return Sluice.run(document, "--against", source.uri, *arguments, command="verify")

        verify("--table", "public.a").expect(0, '"copy"."a"', "are the same")
        db.sql("UPDATE copy.a SET n = 7 WHERE id = 2")
        verify("--table", "public.a").expect(1)
        verify().expect(2, "--table SCHEMA.TABLE")
        verify("--table", "public.b").expect(1, "does not exist")


@test
def what_no_table_can_be_named_for_stops():
    with Database() as db:
        topic = Topic()
        topic.produce([event("a", {"id": 1}, schema="")])
        warn = {"schema_changes": "warn"}
        Sluice.run(mirror(topic, db, "{source.schema}.{source.table}", sync=warn), "--until-end").expect(
            1, "does not say its source.schema", "{topic}")
        Sluice.run(mirror(topic, db, "{source.table}", sync=warn), "--until-end").expect(1, 'the table "a" does not exist')
        Sluice.run(mirror(topic, db, "sluice.{source.table}", sync=warn), "--until-end").expect(1)
        ledger_table = Topic()
        ledger_table.produce([event("task", {"id": 1}, schema="sluice")])
        Sluice.run(mirror(ledger_table, db, "{source.schema}.{source.table}", sync=warn), "--until-end").expect(1, "ledger's schema")
        for table, word in (("{source}", "{source}"), ("{topic", "not closed")):
            Sluice.run(mirror(topic, db, table), "--until-end").expect(2, "target.table", word)


if __name__ == "__main__":
    main()
