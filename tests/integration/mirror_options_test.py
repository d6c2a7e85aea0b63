"""sync.mode: mirror beyond the copy of a table: rows marked as deleted, what events say beside rows, a history of changes, updates of
rows that are not there. On changes that Debezium captured: orders of PostgreSQL and of MariaDB.
"""

import collections
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import
from captures import messages_of, unpacked  # noqa: E402 pylint: disable=wrong-import-position

META = {"_op": "op", "_at": "source_ts_ms", "_seen": "ts_ms", "_lsn": "lsn", "_file": "file", "_pos": "pos", "_tx": "tx_id"}


def replayed(db, messages, table="t", **sync):
    topic = Topic()
    topic.produce(messages)
    document = task_for(topic, db, table, sync={"mode": "mirror", **sync})
    if sync.get("write") is None:
        document["sync"].pop("write", None)
    return document, Sluice.run(document, "--until-end").expect(0)


def captured(source, variant, table):
    with unpacked(source) as folder:
        return messages_of(folder / variant / f"{table}.jsonl")


def events_of(messages):
    """The payloads that are changes: (key, op, payload)."""
    for message in messages:
        payload = json.loads(message.value) if message.value else None
        payload = payload.get("payload", payload) if payload else None
        if payload and payload.get("op") in tuple("crudt"):
            key = json.loads(message.key) if message.key else {}
            yield key.get("payload", key), payload["op"], payload


@test
def metadata_stands_beside_rows():
    """Of PostgreSQL and MariaDB, with schema and without: the last event of each row that is there says where it came from."""
    for source in ("postgres", "mariadb"):
        for variant in ("schema", "plain"):
            with unpacked(source) as folder:
                messages = messages_of(next(file for file in (folder / variant).glob("*.jsonl") if file.stem.split(".")[-1] == "customers"))
            with Database() as db:
                if variant == "plain":
                    db.sql("CREATE TABLE t (id numeric(20) PRIMARY KEY, _op text, _at timestamptz, _seen bigint, _lsn pg_lsn, _file text, "
                           "_pos bigint, _tx text)")
                replayed(db, messages, metadata=META, schema_changes="apply_all" if variant == "schema" else "warn")
                wanted = {}
                for key, op, payload in events_of(messages):
                    wanted.pop(key["id"], None)
                    if op != "d":
                        wanted[key["id"]] = (op, payload)
                found = db.sql("SELECT id::bigint, _op, extract(epoch FROM _at) * 1000, _lsn::text, _file, _pos, _tx FROM t")
                check_equal({each[0]: each[1] for each in found}, {each: op for each, (op, _) in wanted.items()}, f"{source} {variant}")
                for identity, _, at, lsn, file, pos, tx in found:
                    block = wanted[identity][1]["source"]
                    check_equal(int(at), block["ts_ms"], "source_ts_ms")
                    check_equal((file, pos), (block.get("file"), block.get("pos")), "file and pos")
                    expected = block.get("txId", block.get("gtid"))
                    check_equal(tx, None if expected is None else str(expected), "tx_id")
                    number = block.get("lsn")
                    shown = None if number is None else str(number) if variant == "schema" else f"{number >> 32:X}/{number & 0xffffffff:X}"
                    check_equal(lsn, shown, "lsn")


@test
def deleted_rows_are_marked():
    """As a flag and as a time: what was deleted stays, what came again is not deleted, and TRUNCATE marks all."""
    with unpacked("postgres") as folder:
        messages = messages_of(folder / "schema" / "public.orders.jsonl")
    for kind in ("boolean", "timestamptz"):
        with Database() as db:
            live, gone = set(), set()
            for key, op, _ in events_of(messages):
                identity = (key.get("region"), key.get("order_no"))
                if op == "t":
                    gone, live = gone | live, set()
                elif op == "d":
                    live.discard(identity)
                    gone.add(identity)
                else:
                    live.add(identity)
                    gone.discard(identity)
            check(gone and live, "the capture has both")
            # A change of a key moves its row: the old key is gone with it.
            moved = set()
            for message in messages:
                headers = dict(message.headers or [])
                if headers.get("__debezium.newkey") and message.key:
                    key = json.loads(message.key)["payload"]
                    moved.add((key["region"], key["order_no"]))
            if kind == "boolean":
                replayed(db, messages, on_delete={"mark": "gone"}, metadata={"_op": "op", "_lsn": "lsn"}, schema_changes="apply_all")
                check_equal(db.value("SELECT count(*) FROM t WHERE _op = 'd' AND _lsn IS NULL"), 0, "a tombstone takes nothing away")
                check_equal(db.value("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'gone'"),
                            "boolean")
            else:
                first, *_ = [payload["after"] for _, op, payload in events_of(messages) if op != "t"]
                names = ", ".join(f'"{name}" text' for name in first if name not in ("region", "order_no"))
                db.sql(f"CREATE TABLE t (region text, order_no bigint, gone timestamptz, {names}, PRIMARY KEY (region, order_no))")
                replayed(db, messages, on_delete={"mark": "gone"})
            condition = "gone" if kind == "boolean" else "gone IS NOT NULL"
            found = {(region, number): is_gone for region, number, is_gone in db.sql(f"SELECT region, order_no, {condition} FROM t")}
            check_equal({each for each, is_gone in found.items() if not is_gone}, live, kind)
            check({each for each, is_gone in found.items() if is_gone} <= gone, kind)
            check(gone - moved <= found.keys(), f"{kind}: {gone - moved - found.keys()}")


@test
def a_history_has_every_change():
    """Each event a row, in order, deletes with their key alone, tombstones none; after a restart in the middle too."""
    for variant in ("schema", "plain", "flatrwt"):
        with Database() as db:
            messages = captured("postgres", variant, "public.orders")
            if variant != "schema":
                db.sql("CREATE TABLE t (region text, order_no bigint, status text, _op text, _lsn bigint)")
            metadata = {"_op": "op", "_lsn": "lsn"} if variant != "flatrwt" else {"_op": "op"}
            sync = {"write": "history", "metadata": metadata, "schema_changes": "apply_all" if variant == "schema" else "warn"}
            replayed(db, messages, **sync)
            if variant == "flatrwt":
                rows = [json.loads(message.value) for message in messages if message.value and message.value != "null"]
                wanted = collections.Counter((each["region"], each["order_no"], each.get("__deleted") == "true") for each in rows)
                found = collections.Counter((region, number, op == "d") for region, number, op in db.sql("SELECT region, order_no, _op FROM t"))
                check_equal(found, wanted, variant)
                continue
            wanted = []
            for key, op, payload in events_of(messages):
                row = payload["after"] or key
                wanted.append((row.get("region"), row.get("order_no"), (payload["after"] or {}).get("status"), op, payload["source"]["lsn"]))
            found = db.sql("SELECT region, order_no, status, _op, _lsn FROM t ORDER BY ctid")
            check_equal(found, wanted, variant)


@test
def updates_of_rows_that_are_not_there():
    with Database() as db:
        db.sql("CREATE TABLE t (id int PRIMARY KEY, v text, big text)")
        update = json.dumps({"before": None, "after": {"id": 1, "v": "a", "big": "__debezium_unavailable_value"}, "source": {}, "op": "u"})
        whole = json.dumps({"before": None, "after": {"id": 2, "v": "b", "big": "x"}, "source": {}, "op": "u"})
        messages = [Message(key='{"id":1}', value=update), Message(key='{"id":2}', value=whole)]
        replayed(db, messages, on_missing_row="ignore")
        check_equal(db.sql("SELECT * FROM t ORDER BY id"), [(2, "b", "x")], "a row that the event does not have whole is not made")
        replayed(db, messages)
        check_equal(db.sql("SELECT * FROM t ORDER BY id"), [(1, "a", None), (2, "b", "x")], "insert")
    with Database() as db:
        db.sql("CREATE TABLE t (id int PRIMARY KEY, v text, big text); INSERT INTO t VALUES (1, 'z', 'old')")
        more = json.dumps({"before": None, "after": {"id": 3, "v": "c", "big": "__debezium_unavailable_value"}, "source": {}, "op": "u"})
        topic = Topic()
        topic.produce([messages[0], Message(key='{"id":3}', value=more), messages[1]])
        document = task_for(topic, db, "t", on_failure="deliver", breaker={"share": 1})
        document["sync"] = {"mode": "mirror", "on_missing_row": "fail"}
        Sluice.run(document, "--until-end").expect(0)
        check_equal(db.sql("SELECT * FROM t ORDER BY id"), [(1, "a", "old"), (2, "b", "x")], "fail: only the row that is not there")
        check_equal(db.sql("SELECT code, message_offset FROM sluice.dead_letter"), [("missing_row", 1)])


@test
def rows_without_what_was_not_sent_are_counted():
    """Those that updates make, not those that they find, or that the batch has made before them; with a key and without."""
    def update(key, v, big, before=None):
        return Message(key=json.dumps({"id": key}) if before is None else None,
                       value=json.dumps({"before": before, "after": {"id": key, "v": v, "big": big}, "source": {}, "op": "u"}))
    hole = "__debezium_unavailable_value"
    created = Message(key='{"id":5}', value=json.dumps({"before": None, "after": {"id": 5, "v": "c", "big": "B"}, "source": {}, "op": "c"}))
    messages = [update(1, "found", hole), update(2, "made", hole), update(3, "whole", "x"), update(4, "a", hole), update(4, "b", hole),
                created, update(5, "b", hole), update(6, "a", hole), update(6, "b", "given")]
    wanted = [(1, "found", "old"), (2, "made", None), (3, "whole", "x"), (4, "b", None), (5, "b", "B"), (6, "b", "given")]
    for size, count, settings in ((20000, 2, {}), (1, 3, {}), (20000, 2, {"copy_format": "text"})):
        with Database() as db:
            db.sql("CREATE TABLE t (id int PRIMARY KEY, v text, big text); INSERT INTO t VALUES (1, 'z', 'old')")
            topic = Topic()
            topic.produce(messages)
            document = task_for(topic, db, "t", tuning={"batch_rows": size, **settings})
            document["sync"] = {"mode": "mirror"}
            ended = Sluice.run(document, "--until-end").expect(0)
            check_equal(db.sql("SELECT * FROM t ORDER BY id"), wanted)
            check_equal(ended.summary["incomplete_rows"], count, f"{size} rows a batch: {ended.err[-1500:]}")
            check("a row was made without a value that the source did not send" in ended.err and "offset=1 " in ended.err and "column=big" in ended.err,
                  ended.err[-1500:])
            check(f"{count} rows without values that were not sent" in ended.err, ended.err[-500:])
    with Database() as db:
        db.sql("CREATE TABLE t (id int, v text, big text); INSERT INTO t VALUES (1, 'z', 'old')")
        _, ended = replayed(db, [update(1, "y", hole, {"id": 1, "v": "z", "big": "old"}), update(2, "y", hole, {"id": 2, "v": "z", "big": "old"})])
        check_equal(db.sql("SELECT * FROM t ORDER BY id"), [(1, "y", "old"), (2, "y", None)])
        check_equal(ended.summary["incomplete_rows"], 1)


@test
def what_does_not_go_together_is_refused():
    with Database() as db:
        db.sql("CREATE TABLE t (id int, gone boolean)")
        topic = Topic()
        for sync, text in (({"on_delete": {"mark": "gone"}}, "no key by which rows are found"),
                           ({"on_delete": {"mark": "gone"}, "write": "history"}, "together with write: history"),
                           ({"metadata": {"_op": "op"}}, 'has no column "_op"'),
                           ({"metadata": {"gone": "operation"}}, "op, ts_ms, source_ts_ms, lsn, file, pos, position or tx_id"),
                           ({"write": "upsert"}, "no choice but history")):
            document = task_for(topic, db, "t", sync={"mode": "mirror", **sync})
            if "write" not in sync:
                document["sync"].pop("write", None)
            ended = Sluice.run(document, "--until-end")
            check(ended.code != 0 and text in ended.err, f"{sync}: {ended.err[-800:]}")


if __name__ == "__main__":
    main()
