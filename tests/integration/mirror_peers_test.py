"""What other programs that move Kafka to PostgreSQL get wrong, or test for, with sync.mode: mirror. Each case is named after it.

Every case is a table, its changes and its rows at the end, and runs in four forms: Debezium's envelope and flat rows, each with
and without schema; in one batch, so that all changes of a key meet, and in batches of seven.

| seen at | is |
|---|---|
| Aiven: records first, tombstones last; Confluent: insert, delete, insert of a key in a flush | aiven_tombstone_then_insert |
| Debezium's sink writes the placeholder of unsent values | debezium_sink_placeholder; all forms: mirror_captures (toast_t), sink/convert_test |
| Debezium's sink makes doubles of unconstrained NUMERIC | debezium_sink_variable_scale_decimal |
| Debezium's sink takes the SQL of a batch from its first record: 24:00, infinity, null geometries, enums | debezium_sink_other_sql_in_a_later_row |
| Debezium's sink with UNNEST fails at a repeated key; Confluent: the same record many times | debezium_sink_repeated_key |
| Debezium's sink: tables in transactions of their own | mirror_tables (a_source_of_many_tables_is_one_task, the policy retain) |
| Debezium's and Confluent's dead letters hold what a full disk or a deadlock refused | confluent_dead_letters_of_a_full_disk |
| Confluent fails for good when the server is away | tests/chaos/faults_test.py |
| Confluent retries bad data for half a minute | confluent_retries_bad_data |
| Connect's sinks refuse rows without schema | the forms without schema, here |
| Vector writes NULL for the defaults of columns that no message names, and drops a batch for a row | vector_defaults; confluent_retries_bad_data |
| Redpanda: rows times columns above 65,535 | redpanda_many_parameters |
| Flink: reserved words, mixed case; PeerDB: tricky names | flink_names |
| faucet: no dead letters with exactly-once, no COPY with upsert | tests/cases/policies/dead-letters-and-rows-in-one-transaction |
| faucet: rows of unlike columns in a batch; PeerDB: columns that come and go | faucet_unlike_columns |
| DIP: the preview knows the first message only | look_test.py, mirror_tables (check names each table) |
| Debezium's sink: key GENERATED ALWAYS, keys of several columns, all columns in the key | debezium_sink_identity_key, debezium_sink_only_key |
| Debezium's sink: arrays (null, empty, with nulls), hstore with quotes, native types from texts | debezium_sink_native_types |
| Debezium's sink: rows without key pass as they are | debezium_sink_keyless |
| Debezium's sink: deletes and truncates switched off, delete of a missing row | debezium_sink_switched_off, aiven_tombstone_then_insert |
| Debezium's sink: a table that an update or a delete makes; columns added | mirror_structure |
| PeerDB: partitions with another order of columns; Confluent: views | peerdb_partitions, confluent_view |
| Confluent: a table dropped in flight | mirror_tables (in the middle of a run), tests/cases/targets/dropped-and-created-again |
"""

import concurrent.futures
import functools
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import

UNSENT = "__debezium_unavailable_value"
UNSENT_BYTES = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="
FORMS = tuple((flat, schemas) for flat in (False, True) for schemas in (True, False))


def of(kind, name=None, **more):
    return {"type": kind, "optional": True, **({"name": name} if name else {}), **more}


INT, TEXT, BYTES = of("int32"), of("string"), of("bytes")
TIME, STAMP = of("int64", "io.debezium.time.MicroTime"), of("int64", "io.debezium.time.MicroTimestamp")
JSON, UUID = of("string", "io.debezium.data.Json"), of("string", "io.debezium.data.Uuid")
TEXTS = of("array", items=TEXT)
VARIABLE = of("struct", "io.debezium.data.VariableScaleDecimal", fields=[{**of("int32"), "field": "scale"}, {**BYTES, "field": "value"}])
POINT = of("struct", "io.debezium.data.geometry.Point",
           fields=[{**of("double"), "field": "x"}, {**of("double"), "field": "y"}, {**BYTES, "field": "wkb"}, {**INT, "field": "srid"}])


class Case:
    """A table `t` as DDL, the schemas of its fields, its key, changes, and the rows that a query finds at the end.

    A change is (op, row), with op of Debezium's; of d the key only. "move" is a change of the key: the old key, then the row.
    """

    def __init__(self, name, ddl, fields, key, changes, query, rows):
        self.name, self.ddl, self.fields, self.key = name, ddl, fields, key
        self.changes, self.query, self.rows = changes, query, rows

    def table(self):
        return f"case_{self.name}"

    def _json(self, fields, payload, schemas):
        if not schemas:
            return json.dumps(payload)
        schema = {"type": "struct", "optional": False, "name": f"{self.name}.Value",
                  "fields": [{**each, "field": name} for name, each in fields.items()]}
        return json.dumps({"schema": schema, "payload": payload})

    def _key(self, row, schemas):
        if not self.key:
            return None
        return self._json({name: self.fields[name] for name in self.key}, {name: row[name] for name in self.key}, schemas)

    def _value(self, op, row, flat, schemas):
        fields = {name: self.fields[name] for name in row}
        if flat:
            return self._json(fields, row, schemas)
        part = of("struct", fields=[{**each, "field": name} for name, each in fields.items()])
        payload = {"before": row if op == "d" else None, "after": None if op == "d" else row, "source": {"table": "t"}, "op": op}
        return self._json({"before": part, "after": part, "source": of("struct", fields=[{**TEXT, "field": "table"}]), "op": TEXT}, payload, schemas)

    def messages(self, flat, schemas):
        for op, row, *moved in self.changes:
            headers = {}
            if op == "move":
                new = json.dumps({name: moved[0][name] for name in self.key}).encode()
                headers = {"headers": [("__debezium.newkey", new)]}
            if op in ("d", "move"):
                if not flat:
                    yield Message(key=self._key(row, schemas), value=self._value("d", row, flat, schemas), **headers)
                yield Message(key=self._key(row, schemas), value=None, **headers)
            if op == "move":
                old = [("__debezium.oldkey", json.dumps({name: row[name] for name in self.key}).encode())]
                yield Message(key=self._key(moved[0], schemas), value=self._value("c", moved[0], flat, schemas), headers=old)
            elif op != "d":
                yield Message(key=self._key(row, schemas), value=self._value(op, row, flat, schemas))


def decimal(scale, text):
    return {"scale": scale, "value": text}


CASES = (
    Case("aiven_tombstone_then_insert", "(id int PRIMARY KEY, v text)", {"id": INT, "v": TEXT}, ["id"],
         [("d", {"id": 9}), ("c", {"id": 1, "v": "a"}), ("d", {"id": 1}), ("c", {"id": 1, "v": "b"}),
          ("c", {"id": 2, "v": "a"}), ("d", {"id": 2}), ("d", {"id": 2}),
          ("r", {"id": 3, "v": "a"}), ("u", {"id": 3, "v": "b"}), ("d", {"id": 3}), ("c", {"id": 3, "v": "c"}), ("u", {"id": 3, "v": "d"})],
         "SELECT id, v FROM t ORDER BY id", [(1, "b"), (3, "d")]),
    Case("debezium_sink_placeholder",
         "(id int PRIMARY KEY, v text, t text, j jsonb, b bytea, a text[], i int[], u uuid[]); "
         "INSERT INTO case_debezium_sink_placeholder VALUES (1, 'old', 'T', '{\"k\": 1}', '\\x01', '{a}', '{1}', "
         "'{00000000-0000-0000-0000-000000000001}')",
         {"id": INT, "v": TEXT, "t": TEXT, "j": JSON, "b": BYTES, "a": TEXTS, "i": of("array", items=INT), "u": of("array", items=UUID)}, ["id"],
         [("u", {"id": 1, "v": "new", "t": UNSENT, "j": UNSENT, "b": UNSENT_BYTES, "a": [UNSENT], "i": list(UNSENT.encode()),
                 "u": ["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]}),
          ("u", {"id": 1, "v": "newer", "t": "T2", "j": UNSENT, "b": UNSENT_BYTES, "a": [UNSENT], "i": [2], "u": []}),
          ("move", {"id": 1}, {"id": 7, "v": "moved", "t": UNSENT, "j": UNSENT, "b": UNSENT_BYTES, "a": [UNSENT], "i": [3], "u": None})],
         "SELECT id, v, t, j::text, encode(b, 'hex'), a, i, u::text FROM t", [(7, "moved", "T2", '{"k": 1}', "01", ["a"], [3], None)]),
    Case("debezium_sink_variable_scale_decimal", "(id int PRIMARY KEY, n numeric)", {"id": INT, "n": VARIABLE}, ["id"],
         [("c", {"id": 1, "n": decimal(9, "J+QbMka+ybFuOYEV")}), ("c", {"id": 2, "n": decimal(0, "AA==")}), ("c", {"id": 3, "n": decimal(2, "/w==")}),
          ("c", {"id": 4, "n": None})],
         "SELECT id, n::text FROM t ORDER BY id", [(1, "12345678901234567890.123456789"), (2, "0"), (3, "-0.01"), (4, None)]),
    Case("debezium_sink_other_sql_in_a_later_row",
         "(id int PRIMARY KEY, t time, s timestamp, z timestamptz, p point, m text)",
         {"id": INT, "t": TIME, "s": STAMP, "z": of("string", "io.debezium.time.ZonedTimestamp"), "p": POINT, "m": of("string", "io.debezium.data.Enum")}, ["id"],
         [("c", {"id": 1, "t": 3_600_000_000, "s": 1_704_067_200_000_000, "z": "2024-01-01T00:00:00Z", "p": None, "m": "a"}),
          ("c", {"id": 2, "t": 86_400_000_000, "s": 9_223_372_036_825_200_000, "z": "infinity", "p": {"x": 1.5, "y": -2.0, "wkb": "", "srid": None}, "m": "b, c"}),
          ("c", {"id": 3, "t": 0, "s": -9_223_372_036_832_400_000, "z": "-infinity", "p": None, "m": None}),
          ("c", {"id": 4, "t": None, "s": -1, "z": "1969-12-31T23:59:59.999999Z", "p": {"x": 0.0, "y": 0.5, "wkb": "", "srid": None}, "m": "a"})],
         "SET TIME ZONE 'UTC'; SELECT id, t::text, s::text, z::text, p::text, m FROM t ORDER BY id",
         [(1, "01:00:00", "2024-01-01 00:00:00", "2024-01-01 00:00:00+00", None, "a"), (2, "24:00:00", "infinity", "infinity", "(1.5,-2)", "b, c"),
          (3, "00:00:00", "-infinity", "-infinity", None, None),
          (4, None, "1969-12-31 23:59:59.999999", "1969-12-31 23:59:59.999999+00", "(0,0.5)", "a")]),
    Case("debezium_sink_repeated_key", "(id int PRIMARY KEY, v text)", {"id": INT, "v": TEXT}, ["id"],
         [("c", {"id": 1, "v": "0"})] + [("u", {"id": each % 2, "v": str(each)}) for each in range(50)],
         "SELECT id, v FROM t ORDER BY id", [(0, "48"), (1, "49")]),
    Case("vector_defaults", "(id int PRIMARY KEY, v text DEFAULT 'd', w text DEFAULT 'e', x int NOT NULL DEFAULT 5)",
         {"id": INT, "v": TEXT, "w": TEXT}, ["id"],
         [("c", {"id": 1, "v": "a", "w": None}), ("c", {"id": 2, "v": None, "w": "b"})],
         "SELECT * FROM t ORDER BY id", [(1, "a", None, 5), (2, None, "b", 5)]),
    Case("redpanda_many_parameters", "(id int PRIMARY KEY" + "".join(f", c{each} int" for each in range(199)) + ")",
         {"id": INT, **{f"c{each}": INT for each in range(199)}}, ["id"],
         [("c", {"id": row, **{f"c{each}": row + each for each in range(199)}}) for row in range(340)],
         "SELECT count(*), sum(c0), sum(c198) FROM t", [(340, 57630, 124950)]),
    Case("flink_names", '("userId" int, "order" text, "select" text, "first name" text, "a.b" text, "say ""hi""" text, "ünï" text, '
         '" x" text, PRIMARY KEY ("userId", "order"))',
         {"userId": INT, **{name: TEXT for name in ("order", "select", "first name", "a.b", 'say "hi"', "ünï", " x")}}, ["userId", "order"],
         [("c", {"userId": 1, "order": "a", "select": "b", "first name": "c", "a.b": "d", 'say "hi"': "e", "ünï": "f", " x": "g"}),
          ("u", {"userId": 1, "order": "a", "select": "B", "first name": "C", "a.b": "D", 'say "hi"': "E", "ünï": "F", " x": "G"}),
          ("c", {"userId": 1, "order": "z", "select": "", "first name": None, "a.b": "", 'say "hi"': "", "ünï": "", " x": ""}), ("d", {"userId": 1, "order": "z"})],
         "SELECT * FROM t", [(1, "a", "B", "C", "D", "E", "F", "G")]),
    Case("faucet_unlike_columns", "(id int PRIMARY KEY, a text DEFAULT 'da', b text DEFAULT 'db', c text)", {"id": INT, "a": TEXT, "b": TEXT, "c": TEXT}, ["id"],
         [("c", {"id": 1, "a": "1"}), ("c", {"id": 2, "b": "2"}), ("c", {"id": 3, "a": "3", "b": "3", "c": "3"}), ("u", {"id": 1, "c": "C"}),
          ("u", {"id": 3, "a": None}), ("c", {"id": 4})],
         "SELECT * FROM t ORDER BY id", [(1, "1", "db", "C"), (2, "da", "2", None), (3, None, "3", "3"), (4, "da", "db", None)]),
    Case("debezium_sink_identity_key", "(v text, id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, w int GENERATED ALWAYS AS (length(v)) STORED)",
         {"id": INT, "v": TEXT, "w": INT}, ["id"],
         [("c", {"id": 5, "v": "a", "w": 1}), ("c", {"id": 6, "v": "b", "w": 1}), ("u", {"id": 5, "v": "aaa", "w": 3}), ("d", {"id": 6})],
         "SELECT id, v, w FROM t", [(5, "aaa", 3)]),
    Case("debezium_sink_only_key", "(a int, b text, PRIMARY KEY (a, b))", {"a": INT, "b": TEXT}, ["a", "b"],
         [("c", {"a": 1, "b": "x"}), ("u", {"a": 1, "b": "x"}), ("c", {"a": 1, "b": "y"}), ("move", {"a": 1, "b": "y"}, {"a": 2, "b": "y"}),
          ("c", {"a": 3, "b": ""}), ("d", {"a": 3, "b": ""})],
         "SELECT a, b FROM t ORDER BY a", [(1, "x"), (2, "y")]),
    Case("debezium_sink_native_types",
         "(id int PRIMARY KEY, u uuid, m macaddr8, n inet, r tsrange, a text[], x inet[], h jsonb, e case_mood)",
         {"id": INT, "u": UUID, "m": TEXT, "n": TEXT, "r": TEXT, "a": TEXTS, "x": TEXTS, "h": JSON, "e": of("string", "io.debezium.data.Enum")}, ["id"],
         [("c", {"id": 1, "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "m": "08:00:2b:01:02:03:04:05", "n": "10.0.0.0/8",
                 "r": '["2024-01-01 00:00:00","2024-01-02 12:00:00")', "a": ["", "null", None, 'q"', "\\", "{}", "a,b"], "x": ["::1", None],
                 "h": '{"q\\"k": "v,\\\\", "n": null}', "e": "it's, ok"}),
          ("c", {"id": 2, "u": None, "m": None, "n": None, "r": "empty", "a": [], "x": None, "h": None, "e": "no"})],
         "SELECT id, u::text, m::text, n::text, r::text, a, x::text, h::text, e::text FROM t ORDER BY id",
         [(1, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "08:00:2b:01:02:03:04:05", "10.0.0.0/8", '["2024-01-01 00:00:00","2024-01-02 12:00:00")',
           ["", "null", None, 'q"', "\\", "{}", "a,b"], "{::1,NULL}", '{"n": null, "q\\"k": "v,\\\\"}', "it's, ok"),
          (2, None, None, None, "empty", [], None, None, "no")]),
    Case("debezium_sink_keyless", "(a int, b text)", {"a": INT, "b": TEXT}, [],
         [("c", {"a": 1, "b": "x"}), ("c", {"a": 1, "b": "x"}), ("c", {"a": None, "b": None})],
         "SELECT a, b FROM t ORDER BY a", [(1, "x"), (1, "x"), (None, None)]),
    Case("peerdb_partitions",
         "(id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY LIST (region); CREATE TABLE case_part_a (v text, region text NOT NULL, id int NOT NULL); "
         "ALTER TABLE case_peerdb_partitions ATTACH PARTITION case_part_a FOR VALUES IN ('a'); "
         "CREATE TABLE case_part_b PARTITION OF case_peerdb_partitions FOR VALUES IN ('b')",
         {"id": INT, "region": TEXT, "v": TEXT}, ["id", "region"],
         [("c", {"id": 1, "region": "a", "v": "x"}), ("c", {"id": 2, "region": "b", "v": "y"}), ("u", {"id": 1, "region": "a", "v": "z"}),
          ("move", {"id": 2, "region": "b"}, {"id": 2, "region": "a", "v": "moved"})],
         "SELECT id, region, v, tableoid::regclass::text FROM t ORDER BY id", [(1, "a", "z", "case_part_a"), (2, "a", "moved", "case_part_a")]),
)


@functools.lru_cache(maxsize=None)
def topics_in(flat, schemas):
    """Of each case one, named as its table behind the dot."""
    prefix = unique("peers")

    def made(case):
        topic = Topic(name=f"{prefix}.{case.table()}")
        topic.produce(case.messages(flat, schemas))
        return topic.name

    with concurrent.futures.ThreadPoolExecutor(len(CASES)) as pool:
        return list(pool.map(made, CASES))


@functools.lru_cache(maxsize=None)
def found_in(flat, schemas, batch_rows):
    """Case -> its rows at the end: all in one task, the table by the topic's name."""
    names = topics_in(flat, schemas)
    with Database() as db:
        db.sql("CREATE TYPE case_mood AS ENUM ('no', 'it''s, ok')")
        for case in CASES:
            db.sql(f"CREATE TABLE {case.table()} {case.ddl}")
        document = task_for([], db, "public.{topic}", on_failure="retain", tuning={"batch_rows": batch_rows},
                            sync={"mode": "mirror", "schema_changes": "stop",
                                  "tables": {"rename": {f"public.{name.replace('.', '_')}": f"public.{name.split('.')[1]}" for name in names}}})
        document["sync"].pop("write", None)
        document["source"]["topics"] = names
        Sluice.run(document, "--until-end").expect(0)
        return {case.name: db.rows(case.query.replace("FROM t", f"FROM {case.table()}")) for case in CASES}


def run_case(case):
    for flat, schemas in FORMS:
        for batch_rows in (20000, 7) if (flat, schemas) == (False, True) else (20000,):
            found = found_in(flat, schemas, batch_rows)[case.name]
            check_equal(found, case.rows, f"{'flat' if flat else 'envelope'}, {'with' if schemas else 'without'} schema, batches of {batch_rows}")


# ---- what is more than rows


def events(*changes):
    """Of a table (id, v), without schema."""
    for op, identity, text in changes:
        row = {"id": identity, "v": text}
        payload = {"before": row if op == "d" else None, "after": row if op in "cur" else None, "source": {}, "op": op}
        yield Message(key=None if op == "t" else json.dumps({"id": identity}), value=payload)


def mirror(topic, db, **sections):
    sync = {"mode": "mirror", **sections.pop("sync", {})}
    document = task_for(topic, db, "public.t", sync=sync, **sections)
    document["sync"].pop("write", None)
    return document


REFUSING = """
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE refused (state text); INSERT INTO refused VALUES ('{state}');
CREATE SEQUENCE tries;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wanted text;
BEGIN
  SELECT state INTO wanted FROM refused;
  IF wanted IS NOT NULL AND NOT ('{state}' LIKE '40%' AND nextval('tries') > 2) THEN
    RAISE EXCEPTION 'as if' USING ERRCODE = wanted;
  END IF;
  RETURN new;
END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION refuse();
"""


@concurrent_test
def confluent_dead_letters_of_a_full_disk():
    """What the server cannot do now is no message's fault: it is done again until it can be, and nothing is a dead letter."""
    for state, ends_by_itself in (("53100", False), ("25006", False), ("40P01", True), ("40001", True)):
        with Database() as db:
            db.sql(REFUSING.format(state=state))
            topic = Topic()
            topic.produce(events(("c", 1, "a"), ("c", 2, "b"), ("u", 1, "c"), ("d", 2, None)))
            document = mirror(topic, db, on_failure="deliver", breaker={"share": 1}, sync={"on_missing_row": "insert"})
            with Sluice(document) as sluice:
                if not ends_by_itself:
                    sluice.wait_for(lambda text=state: text in sluice.out + sluice.err, f"{state} is said")
                    db.sql("DELETE FROM refused")
                sluice.wait_for(lambda: db.rows("SELECT id, v FROM t") == [(1, "c")], f"{state}: the rows arrive")
            check_equal(db.value("SELECT count(*) FROM sluice.dead_letter"), 0, f"{state}: dead letters")


@concurrent_test
def confluent_retries_bad_data():
    """A row that the table refuses is found at once, wherever it stands, and the others of its batch are there; so is its letter."""
    for bad in (0, 50, 99):
        with Database() as db:
            db.sql("CREATE TABLE t (id int PRIMARY KEY, v text CHECK (v <> 'bad'))")
            topic = Topic()
            topic.produce(events(*(("c", each, "bad" if each == bad else "good") for each in range(100))))
            ended = Sluice.run(mirror(topic, db, on_failure="deliver", breaker={"share": 1}), "--until-end").expect(0)
            check(ended.seconds < 10, f"it took {ended.seconds:.1f} s")
            check_equal(db.rows("SELECT count(*), count(*) FILTER (WHERE id = %s) FROM t", (bad,)), [(99, 0)])
            check_equal(db.rows("SELECT message_offset, code FROM sluice.dead_letter"), [(bad, "23514")])


@concurrent_test
def debezium_sink_switched_off():
    """Deletes and truncates that shall not be followed leave the rows; a row behind a truncate that is followed is there."""
    changes = [("c", 1, "a"), ("c", 2, "b"), ("d", 1, None), ("t", 0, None), ("c", 3, "c")]
    for sync, wanted in (({"on_delete": "ignore", "on_truncate": "ignore"}, [1, 2, 3]), ({"on_truncate": "ignore"}, [2, 3]),
                         ({"on_delete": "ignore"}, [3])):
        with Database() as db:
            db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
            topic = Topic()
            topic.produce(events(*changes))
            Sluice.run(mirror(topic, db, sync=sync), "--until-end").expect(0)
            check_equal([each for each, in db.rows("SELECT id FROM t ORDER BY id")], wanted, str(sync))
    with Database() as db:
        db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
        topic = Topic()
        topic.produce(events(*changes))
        ended = Sluice.run(mirror(topic, db, sync={"on_truncate": "fail"}), "--until-end")
        check_equal(ended.code, 3, f"on_truncate: fail stops at the message: {ended.err[-600:]}")
        check_equal([each for each, in db.rows("SELECT id FROM t ORDER BY id")], [2], "what stands before it is applied")


@test
def confluent_view():
    """A view is no table to mirror into: that is said at the start, and nothing is altered."""
    with Database() as db:
        db.sql("CREATE TABLE base (id int PRIMARY KEY, v text, own int DEFAULT 7); CREATE VIEW t AS SELECT id, v FROM base")
        topic = Topic()
        topic.produce(events(("c", 1, "a")))
        ended = Sluice.run(mirror(topic, db, sync={"primary_key": ["id"]}), "--until-end")
        check(ended.code == 1 and "Mirror into a table" in ended.err, ended.err[-600:])
        check_equal(db.rows("SELECT * FROM base"), [])


for each_case in CASES:
    add(each_case.name.replace("_", "-"), functools.partial(run_case, each_case))


if __name__ == "__main__":
    main()
