"""snapshot, mix, placeholders: change events beside the same rows without them, or beside SQL written by hand."""

import json
import pathlib
import random
import tarfile
from typing import Any, Callable, Dict, List, Tuple

import psql
from data import NARROW, Data, Shape, narrow_fields
from kit import check, check_equal, root
from measure import Bench, Run, ratio
from speed import COLUMNS

CAPTURES = root / "tests" / "captures" / "debezium-postgres.tar.xz"
FIELDS = [
    {"type": "int64", "optional": False, "field": "id"},
    {"type": "string", "optional": True, "field": "name"},
    {"type": "double", "optional": True, "field": "amount"},
    {"type": "string", "optional": True, "name": "io.debezium.time.ZonedTimestamp", "version": 1, "field": "at"},
    {"type": "boolean", "optional": True, "field": "active"},
]
PLACEHOLDER = '"__debezium_unavailable_value"'


class Envelope:
    """Messages as Debezium writes them: schema and source are those of a captured event, with the fields of our rows."""

    def __init__(self, schemas: bool):
        with tarfile.open(CAPTURES) as archive:
            lines = archive.extractfile("postgres/schema/public.customers.jsonl")  # type: ignore[union-attr]
            event = json.loads(json.loads(lines.readline())["value"])  # type: ignore[union-attr]
        source, schema = event["payload"]["source"], event["schema"]
        for part in schema["fields"]:
            if part["field"] in ("before", "after"):
                part["fields"] = FIELDS

        def text(value: Any) -> str:
            return json.dumps(value, separators=(",", ":"))

        key = {"type": "struct", "fields": FIELDS[:1], "optional": False, "name": "p.public.target.Key"}
        self._key = f'{{"schema":{text(key)},"payload":' if schemas else ""
        self._begin = f'{{"schema":{text(schema)},"payload":' if schemas else ""
        self._end = "}" if schemas else ""
        stamp = ',"ts_ms":1767225600000,"ts_us":1767225600000000,"ts_ns":1767225600000000000'
        self._source = f',"source":{text(source)},"transaction":null,"op":"'
        self._stamp = f'"{stamp}}}'

    def message(self, op: str, number: int, after: str) -> Tuple[str, str]:
        """Key and value."""
        before = f'{{"id":{number},"name":null,"amount":null,"at":null,"active":null}}' if op == "d" else "null"
        value = f'{{"before":{before},"after":{after or "null"}{self._source}{op}{self._stamp}'
        return f'{self._key}{{"id":{number}}}{self._end}', f"{self._begin}{value}{self._end}"


def _after(number: int, name: str, amount: float, at: str, active: str) -> str:
    return f'{{"id":{number},"name":{name},"amount":{amount},"at":"{at}","active":{active}}}'


def _snapshot(schemas: bool) -> Shape:
    envelope = Envelope(schemas)

    def line(number: int, rng: random.Random) -> Tuple[str, str, str]:
        name, amount, at, active = narrow_fields(number, rng)
        key, message = envelope.message("r", number, _after(number, f'"{name}"', amount, at, active))
        return key, message, f"{number},{name},{amount},{at},{active}"

    return Shape(f"snapshot-{'schema' if schemas else 'bare'}", NARROW.columns, line)


def _changes(name: str, keys: int, schemas: bool, inserts: float, deletes: float, placeholders: float = 0) -> Shape:
    """Changes of a table that has the keys [0, keys): new keys behind them, updates and deletes of those that are there."""
    envelope = Envelope(schemas)
    live: List[int] = list(range(keys))
    new = [keys]

    def line(number: int, rng: random.Random) -> Tuple[str, str, str]:
        text, amount, at, active = narrow_fields(number, rng)
        kind, place = rng.random(), rng.randrange(len(live))
        if kind < inserts:
            op, identity = "c", new[0]
            live.append(identity)
            new[0] += 1
        elif kind < inserts + deletes:
            op, identity = "d", live[place]
            live[place] = live[-1]
            live.pop()
        else:
            op, identity = "u", live[place]
        shown = PLACEHOLDER if op == "u" and rng.random() < placeholders else f'"{text}"'
        key, message = envelope.message(op, identity, "" if op == "d" else _after(identity, shown, amount, at, active))
        return key, message, f"{number},{op},{identity},{text},{amount},{at},{active}"

    return Shape(name, NARROW.columns, line)


def _mirror(bench: Bench, topic: Any) -> Dict[str, Any]:
    document = bench.task(topic, "target", sync={"mode": "mirror"})
    document["sync"].pop("write", None)
    return document


def _filled(bench: Bench, keys: int) -> None:
    bench.fresh(NARROW.create("public.target"),
                f"INSERT INTO public.target SELECT id, 'before', -1, '2000-01-01Z', true FROM generate_series(0, {keys - 1}) id",
                "ANALYZE public.target")


def snapshot(bench: Bench) -> None:
    """op r into an empty table, with schemas, beside the upsert of the same rows as plain JSON."""
    rows = bench.rows // 4
    events = bench.topic(Data(_snapshot(True), rows))
    plain = bench.topic(Data(NARROW, rows))

    def checked(document: Dict[str, Any]) -> Run:
        bench.fresh(NARROW.create("public.target"))
        run = bench.run(document)
        check_equal(bench.database.rows("SELECT count(*), sum(id)::bigint FROM public.target")[0], (rows, rows * (rows - 1) // 2),
                    "the rows")
        return run

    runs = bench.alternate("snapshot with schema", rows, {
        "mirror": lambda: checked(_mirror(bench, events)),
        "upsert": lambda: checked(bench.task(plain, "target", sync={"write": "upsert", "primary_key": ["id"]})),
    })
    bench.figure("snapshot with schema, against the upsert of the same rows without", ratio(runs, "mirror", "upsert"), "x", 1.0, 2.0)


def mix(bench: Bench) -> None:
    """60 % inserts, 30 % updates, 10 % deletes, beside the same changes by psql: stage, delete, ON CONFLICT."""
    for schemas, share, must, aim in ((False, 2, 0.6, 0.9), (True, 8, 0.4, 0.6)):
        keys, changes = 1_000_000, bench.rows // share
        what = f"mix, {'with' if schemas else 'without'} schema"
        data = Data(_changes(f"mix-{'schema' if schemas else 'bare'}", keys, schemas, 0.6, 0.1), changes)
        topic = bench.topic(data)
        scripts = psql.prepare_changes(data, "target", COLUMNS)
        _filled(bench, keys)
        psql.run_scripts(bench.database.uri, scripts)
        wanted = _sums(bench)

        def side(run_it: Callable[[], Run]) -> Callable[[], Run]:
            def run() -> Run:
                _filled(bench, keys)
                done = run_it()
                check_equal(_sums(bench), wanted, "the rows")
                return done
            return run

        runs = bench.alternate(what, changes, {
            "mirror": side(lambda topic=topic: bench.run(_mirror(bench, topic))),
            "by hand": side(lambda scripts=scripts: bench.timed(lambda: psql.run_scripts(bench.database.uri, scripts))),
        })
        bench.figure(f"{what}, against SQL by hand", ratio(runs, "mirror", "by hand"), "x", must, aim)


def placeholders(bench: Bench) -> None:
    """Updates, one in ten with a value that was not sent, beside updates that have all of theirs."""
    keys, changes = 1_000_000, bench.rows // 2
    topics = {name: bench.topic(Data(_changes(f"updates-{name}", keys, False, 0, 0, share), changes))
              for name, share in (("placeholders", 0.1), ("whole", 0.0))}

    def side(name: str) -> Callable[[], Run]:
        def run() -> Run:
            _filled(bench, keys)
            done = bench.run(_mirror(bench, topics[name]))
            check(bench.database.value("SELECT count(*) FROM public.target WHERE name = '__debezium_unavailable_value'") == 0,
                  "a placeholder became a value")
            return done
        return run

    runs = bench.alternate("updates", changes, {name: side(name) for name in topics})
    bench.figure("updates, 1 in 10 with a placeholder, against none", ratio(runs, "placeholders", "whole"), "x", 0.7, 0.9)


def _sums(bench: Bench) -> Tuple[Any, ...]:
    return bench.database.rows("SELECT count(*), sum(id)::text, sum(hashtext(t::text)::bigint)::text FROM public.target t")[0]
