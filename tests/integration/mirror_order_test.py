#!/usr/bin/python3
"""sync.mode: mirror where changes do not come in the order of their source: sync.only_if_newer goes by what events say of their place in the
source's log. The events are built here, after Debezium's.
"""

import json
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import

PLACEHOLDER = "__debezium_unavailable_value"
LSN = {"only_if_newer": "_lsn", "metadata": {"_op": "op", "_lsn": "lsn"}}
TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text, big text, _op text, _lsn bigint)"


def event(op, key, lsn=None, partition=-1, timestamp_ms=0, moves_to=None, moves_from=None, source=None, **row):
    """An envelope as Debezium writes it for PostgreSQL, unless `source` says otherwise."""
    headers = []
    if moves_to is not None:
        headers.append(("__debezium.newkey", json.dumps({"id": moves_to}).encode()))
    if moves_from is not None:
        headers.append(("__debezium.oldkey", json.dumps({"id": moves_from}).encode()))
    value = {"before": {"id": key} if op == "d" else None, "after": {"id": key, **row} if op in "cru" else None, "op": op,
             "source": {"lsn": lsn, **(source or {})}}
    return Message(key=None if op == "t" else json.dumps({"id": key}), value=json.dumps(value), headers=headers, partition=partition,
                   timestamp_ms=timestamp_ms)


def tombstone(key, partition=-1):
    return Message(key=json.dumps({"id": key}), value=None, partition=partition)


def replayed(db, messages, code=0, partitions=1, **sections):
    topic = Topic(partitions=partitions)
    topic.produce(messages)
    document = task_for(topic, db, "t", **sections)
    document["sync"] = {"mode": "mirror", **sections.get("sync", {})}
    return Sluice.run(document, "--until-end").expect(code)


@test
def older_changes_are_nothing():
    """Updates, deletes, snapshots and changes of the key that are older than the row, in one batch and in one for each message."""
    messages = [
        event("c", 1, 100, v="a", big="A"), event("u", 1, 300, v="c", big="C"), event("u", 1, 200, v="b", big="B"),
        event("c", 2, 100, v="a", big="A"), event("u", 2, 300, v="c", big="C"), event("d", 2, 200), tombstone(2),
        event("c", 3, 100, v="a", big="A"), event("u", 3, 300, v="c", big="C"), event("r", 3, 200, v="s", big="S"),
        event("u", 4, 300, v="c", big="C"), event("d", 4, 200, moves_to=14), event("c", 14, 200, moves_from=4, v="m", big="M"),
        event("u", 5, 300, v="c", big="C"), event("d", 5, 300), tombstone(5),
        event("u", 6, 300, v="c", big="C"), event("u", 6, 300, v="again", big="C"),
        event("u", 7, 300, v="c", big="C"), event("u", 7, 200, v="b", big="B"), event("u", 7, 400, v="d", big=PLACEHOLDER),
        event("r", 8, 300, v="s", big="S"), event("u", 8, 200, v="under way", big="U"),
    ]
    wanted = [(1, "c", "C", 300), (2, "c", "C", 300), (3, "c", "C", 300), (4, "c", "C", 300), (6, "again", "C", 300), (7, "d", "C", 400),
              (8, "under way", "U", 200), (14, "m", "M", 200)]
    for rows in (1, 20000):
        for column in ("bigint", "pg_lsn", "numeric"):
            with Database() as db:
                db.sql(TABLE.replace("_lsn bigint", f"_lsn {column}"))
                replayed(db, messages, sync=LSN, tuning={"batch_rows": rows})
                lsn = "(_lsn - '0/0')" if column == "pg_lsn" else "_lsn"
                check_equal(db.sql(f"SELECT id, v, big, {lsn}::int FROM t ORDER BY id"), wanted, f"{rows} rows a batch, {column}")


@test
def marks_keep_their_position():
    """A row that is marked as deleted is not brought back by what came before its delete."""
    messages = [event("c", 1, 100, v="a", big="A"), event("d", 1, 300), tombstone(1), event("u", 1, 200, v="b", big="B"),
                event("c", 2, 100, v="a", big="A"), event("d", 2, 300), event("c", 2, 400, v="again", big="B")]
    for rows in (1, 20000):
        with Database() as db:
            db.sql("CREATE TABLE t (id int PRIMARY KEY, v text, big text, _op text, _lsn bigint, gone boolean)")
            replayed(db, messages, sync={**LSN, "on_delete": {"mark": "gone"}}, tuning={"batch_rows": rows})
            check_equal(db.sql("SELECT id, v, _op, _lsn, gone FROM t ORDER BY id"),
                        [(1, "a", "d", 300, True), (2, "again", "c", 400, False)], f"{rows} rows a batch")


@test
def tombstones_alone_have_no_position():
    """Behind deletes of values they are nothing; where they are all that says a delete, they are a failure, not a row that stays."""
    with Database() as db:
        db.sql(TABLE)
        flat = [Message(key='{"id":1}', value={"id": 1, "v": "a", "__op": "c", "__lsn": 100}), tombstone(1)]
        ended = replayed(db, flat, code=3, sync=LSN)
        check("a tombstone alone deletes the row" in ended.err and "delete.tombstone.handling.mode" in ended.err, ended.err)
        check_equal(db.sql("SELECT id FROM t"), [(1,)])
    with Database() as db:
        db.sql(TABLE)
        rewritten = [Message(key='{"id":1}', value={"id": 1, "v": "a", "__deleted": "false", "__op": "c", "__lsn": 100}),
                     Message(key='{"id":1}', value={"id": 1, "__deleted": "true", "__op": "d", "__lsn": 200}), tombstone(1)]
        replayed(db, rewritten, sync=LSN)
        check_equal(db.sql("SELECT id FROM t"), [])


@test
def files_of_binlogs_have_an_order():
    """position: of MySQL the file's number comes before the place in it, also where the names do not sort."""
    def at(file, pos):
        return {"file": f"mysql-bin.{file}", "pos": pos, "lsn": None}
    messages = [event("c", 1, source=at("999999", 900), v="a"), event("u", 1, source=at("1000000", 4), v="b"),
                event("u", 1, source=at("999999", 950), v="old"), event("d", 1, source=at("999999", 960)),
                event("r", 2, source=at("000002", 500), v="s"), event("u", 2, source=at("000002", 499), v="in the snapshot")]
    for rows in (1, 20000):
        with Database() as db:
            db.sql("CREATE TABLE t (id int PRIMARY KEY, v text, _position bigint)")
            replayed(db, messages, sync={"only_if_newer": "_position", "metadata": {"_position": "position"}}, tuning={"batch_rows": rows})
            check_equal(db.sql("SELECT * FROM t ORDER BY id"), [(1, "b", (1000000 << 32) + 4), (2, "s", (2 << 32) + 500)], f"{rows} rows a batch")


@test
def times_are_compared():
    with Database() as db:
        db.sql("CREATE TABLE t (id int PRIMARY KEY, v text, _op text, _at timestamptz)")
        messages = [event("c", 1, source={"ts_ms": 1700000000123}, v="a"), event("u", 1, source={"ts_ms": 1700000000122}, v="old"),
                    event("u", 1, source={"ts_ms": 1700000000123}, v="b"), event("d", 1, source={"ts_ms": 1700000000122})]
        replayed(db, messages, sync={"only_if_newer": "_at", "metadata": {"_op": "op", "_at": "source_ts_ms"}})
        check_equal(db.sql("SELECT id, v FROM t"), [(1, "b")])


class Oracle:
    """What sync.only_if_newer makes of changes, one after the other."""

    def __init__(self, mark):
        self.rows, self.mark = {}, mark

    def apply(self, op, key, lsn, new_key, row):
        if op == "t":
            self.rows = {each: row for each, row in self.rows.items() if row["lsn"] > lsn}
            return
        old = self.rows.get(key)
        stale = old is not None and old["lsn"] > lsn and not (old["op"] == "r" and op != "r")
        if op == "d":
            if old is None or stale:
                return
            if new_key is not None:
                moved = self.rows.pop(key)
                self.rows.setdefault(new_key, moved)
            elif self.mark:
                self.rows[key] = {**old, "op": "d", "lsn": lsn, "gone": True}
            else:
                del self.rows[key]
            return
        if stale:
            return
        sent = {name: value for name, value in row.items() if value != PLACEHOLDER}
        self.rows[key] = {"v": None, "big": None, **(old or {}), **sent, "op": op, "lsn": lsn, "gone": False}


@test
def any_order_is_as_one_by_one():
    """Changes by chance with positions by chance, cut into batches of any size: as if each was applied by itself."""
    seed = random.randrange(1 << 30)
    for round_ in range(6):
        chance = random.Random(f"{seed} {round_}")
        mark = round_ % 3 == 2
        oracle, messages = Oracle(mark), []
        for _ in range(400):
            op = chance.choice("ccuuuuuudrrm" + ("" if mark else "t" if chance.random() < 0.1 else ""))
            key, lsn = chance.randrange(6), chance.randrange(1, 60)
            row = {"v": f"v{len(messages)}", "big": PLACEHOLDER if op == "u" and chance.random() < 0.4 else f"b{len(messages)}"}
            if op == "m":
                there = chance.randrange(6)
                if there == key:
                    continue
                messages += [event("d", key, lsn, moves_to=there), event("c", there, lsn, moves_from=key, **{**row, "big": PLACEHOLDER})]
                oracle.apply("d", key, lsn, there, None)
                oracle.apply("c", there, lsn, None, {**row, "big": PLACEHOLDER})
                continue
            if op == "t":
                messages.append(event("t", None, lsn))
            elif op == "d":
                messages += [event("d", key, lsn), tombstone(key)]
            else:
                messages.append(event(op, key, lsn, **row))
            oracle.apply(op, key, lsn, None, row)
        with Database() as db:
            db.sql("CREATE TABLE t (id int PRIMARY KEY, v text, big text, _op text, _lsn bigint, gone boolean)")
            sync = {**LSN, **({"on_delete": {"mark": "gone"}} if mark else {})}
            size = chance.choice([1, 3, 10, 50, 20000])
            replayed(db, messages, sync=sync, tuning={"batch_rows": size, "copy_format": chance.choice(["auto", "text"])})
            wanted = [(key, row["v"], row["big"], row["op"], row["lsn"]) for key, row in sorted(oracle.rows.items())]
            check_equal(db.sql("SELECT id, v, big, _op, _lsn FROM t ORDER BY id"), wanted, f"seed {seed}, round {round_}, {size} rows a batch")


@test
def truncate_goes_by_position():
    """One partition: a TRUNCATE that comes again, behind newer rows, leaves them; and with marks, nothing older comes back."""
    with Database() as db:
        db.sql(TABLE)
        replayed(db, [event("c", 1, 100, v="a"), event("c", 2, 300, v="b"), event("t", None, 200), event("c", 3, 50, v="c")], sync=LSN)
        check_equal(db.sql("SELECT id, v FROM t ORDER BY id"), [(2, "b"), (3, "c")], "with the row its position is gone, too")
    with Database() as db:
        db.sql("CREATE TABLE t (id int PRIMARY KEY, v text, _op text, _lsn bigint, gone timestamptz)")
        messages = [event("c", 1, 100, v="a"), event("c", 2, 300, v="b"), event("t", None, 200), event("u", 1, 150, v="c"), event("c", 4, 400, v="d")]
        replayed(db, messages, sync={**LSN, "on_delete": {"mark": "gone"}})
        check_equal(db.sql("SELECT id, v, gone IS NOT NULL FROM t ORDER BY id"), [(1, "a", True), (2, "b", False), (4, "d", False)])


@test
def truncate_of_several_partitions():
    """It waits until the others have passed its time, and takes what is older: rows from before it are gone, those from after it stay."""
    now = int(time.time() * 1000) - 10_000
    older = [event("c", key, 100 + key, partition=key % 2, timestamp_ms=now + key, v="old") for key in range(200)]
    newer = [event("c", key, 1100 + key, partition=1, timestamp_ms=now + 2000 + key, v="new") for key in range(501, 700, 2)]
    emptied = event("t", None, 1000, partition=0, timestamp_ms=now + 1000)
    with Database() as db:
        db.sql(TABLE)
        # The TRUNCATE comes first, then what is older and newer in the other partition.
        topic = Topic(partitions=2)
        topic.produce([each for each in older if each.partition == 0] + [emptied])
        topic.produce([each for each in older if each.partition == 1] + newer)
        document = task_for(topic, db, "t", tuning={"lanes": 1, "batch_rows": 30})
        document["sync"] = {"mode": "mirror", "metadata": {"_lsn": "lsn"}}
        ended = Sluice.run(document, "--until-end").expect(0)
        check("a row waits for other partitions" in ended.err, ended.err[-2000:])
        check_equal(db.sql("SELECT min(id), count(*) FROM t"), [(501, 100)])
        check_equal(Sluice.run(document, command="check").expect(0).out.count("a TRUNCATE at the source will fail"), 0)
    with Database() as db:
        db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
        messages = [event("c", 1, 100, partition=0, v="a"), emptied]
        ended = replayed(db, messages, code=3, partitions=2)
        check("a TRUNCATE in a topic with several partitions" in ended.err and "sync.on_truncate: ignore" in ended.err, ended.err[-2000:])
        check_equal(db.sql("SELECT id FROM t"), [(1,)])
        document = task_for(Topic(partitions=2), db, "t")
        document["sync"] = {"mode": "mirror"}
        check("a TRUNCATE at the source will fail" in Sluice.run(document, command="check").out, "check says it before")
        replayed(db, messages, partitions=2, sync={"on_truncate": "ignore"})


@test
def a_snapshot_sweeps_what_it_does_not_have():
    """At its end, not before; rows that are newer stay, rows that were never seen go; in any batches, and with a crash in between."""
    def row(key, lsn, mark, v):
        return event("r", key, lsn, source={"snapshot": mark}, v=v)
    first = [row(1, 100, "first_in_data_collection", "a"), row(2, 100, "true", "a"), row(3, 100, "last_in_data_collection", "a"),
             event("u", 2, 150, v="b"), event("c", 4, 160, v="c"), event("c", 5, 300, v="ahead")]
    second = [row(1, 200, "first_in_data_collection", "A"), row(6, 200, "true", "new")]
    end = [row(4, 200, "last_in_data_collection", "C"), event("c", 7, 190, v="under way")]
    for size in (1, 20000):
        for marks in (False, True):
            with Database() as db:
                db.sql("CREATE TABLE t (id int PRIMARY KEY, v text, _op text, _lsn bigint, gone boolean); INSERT INTO t VALUES (9, 'by hand')")
                topic = Topic()
                document = task_for(topic, db, "t", tuning={"batch_rows": size})
                document["sync"] = {"mode": "mirror", "sweep": "after_snapshot", **LSN, **({"on_delete": {"mark": "gone"}} if marks else {})}
                rows = "SELECT id FROM t WHERE gone IS NOT TRUE ORDER BY id"
                topic.produce(first)
                ended = Sluice.run(document, "--until-end").expect(0)
                check_equal(([each for each, in db.sql(rows)], ended.summary["rows_swept"]), ([1, 2, 3, 4, 5], 1), ended.err)
                topic.produce(second)
                ended = Sluice.run(document, "--until-end").expect(0)
                check_equal(([each for each, in db.sql(rows)], ended.summary["rows_swept"]), ([1, 2, 3, 4, 5, 6], 0), "the snapshot is not at its end")
                topic.produce(end)
                ended = Sluice.run(document, "--until-end").expect(0)
                check_equal(db.sql("SELECT id, v FROM t WHERE gone IS NOT TRUE ORDER BY id"),
                            [(1, "A"), (4, "C"), (5, "ahead"), (6, "new"), (7, "under way")], f"{size} rows a batch, marks {marks}")
                check_equal(ended.summary["rows_swept"], 2)
                check("a snapshot has ended" in ended.err and "rows=2" in ended.err and "2 swept" in ended.err, ended.err[-1500:])
                if marks:
                    check_equal(db.sql("SELECT id FROM t WHERE gone ORDER BY id"), [(2,), (3,), (9,)])


@test
def sweep_wants_one_partition_and_a_position():
    with Database() as db:
        db.sql(TABLE)
        document = task_for(Topic(partitions=2), db, "t")
        document["sync"] = {"mode": "mirror", "sweep": "after_snapshot", **LSN}
        ended = Sluice.run(document, command="check")
        check(ended.code != 0 and "goes by the order of one" in ended.out + ended.err, ended.out + ended.err)
        ended = Sluice.run(document, "--until-end")
        check(ended.code != 0 and "goes by the order of one" in ended.err, "nor does it run")
        for sync, text in (({"metadata": {"_op": "op"}}, "no column of sync.metadata holds lsn or position"),
                           ({"only_if_newer": "_at", "metadata": {"_op": "op", "_at": "source_ts_ms", "_lsn": "lsn"}}, "goes by times"),
                           ({**LSN, "write": "history"}, "write: history")):
            document = task_for(Topic(), db, "t")
            document["sync"] = {"mode": "mirror", "sweep": "after_snapshot", **sync}
            ended = Sluice.run(document, "--until-end")
            check(ended.code != 0 and text in ended.err, f"{sync}: {ended.err[-800:]}")
        document = task_for(Topic(), db, "t")
        document["sync"] = {"mode": "mirror", "sweep": "after_snapshot", **LSN}
        document["source"]["topics"].append("^more")
        ended = Sluice.run(document, "--until-end")
        check(ended.code != 0 and "with several topics or tables" in ended.err, ended.err[-800:])


@test
def columns_that_cannot_tell_are_refused():
    with Database() as db:
        db.sql("CREATE TABLE t (id int PRIMARY KEY, v text, _op text, _lsn text); CREATE TABLE n (id int, _op text, _lsn bigint)")
        for table, sync, text in (("t", {"only_if_newer": "v"}, "sync.metadata does not fill"),
                                  ("t", {"only_if_newer": "_at", "metadata": {"_at": "ts_ms"}}, "sync.metadata does not fill"),
                                  ("t", {"only_if_newer": "_lsn", "metadata": {"_lsn": "lsn"}}, "no column of sync.metadata holds op"),
                                  ("t", {**LSN, "write": "history"}, "together with write: history"),
                                  ("t", LSN, "does not keep the order"), ("n", LSN, "no key by which rows are found")):
            document = task_for(Topic(), db, table)
            document["sync"] = {"mode": "mirror", **sync}
            ended = Sluice.run(document, "--until-end")
            check(ended.code != 0 and text in ended.err, f"{sync}: {ended.err[-800:]}")


if __name__ == "__main__":
    main()
