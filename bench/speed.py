"""insert, wide, upsert, existing, bad: rows a second beside psql, or beside a clean topic."""

from typing import Any, Callable, Dict, List

import psql
from data import CHECKED, CHECKED_BAD, NARROW, WIDE, Data, Shape
from kit import check, check_equal
from measure import MB, Bench, Run, median, ratio

COLUMNS = ("id", "name", "amount", "at", "active")


def check_table(bench: Bench, table: str, rows: int) -> None:
    """Every row once: a benchmark of a wrong table says nothing."""
    found = bench.database.rows(f"SELECT count(*), sum(id)::bigint FROM public.{table}")[0]
    check_equal(found, (rows, rows * (rows - 1) // 2), f"the rows of {table}")


def by_sluice(bench: Bench, shape: Shape, rows: int, partitions: int = 4) -> Callable[[], Run]:
    """A run of Sluice with its defaults into a table with a primary key."""
    topic = bench.topic(Data(shape, rows), partitions)

    def side() -> Run:
        bench.fresh(shape.create("public.target"))
        run = bench.run(bench.task(topic, "target"))
        check_table(bench, "target", rows)
        return run

    return side


def by_copy(bench: Bench, shape: Shape, rows: int) -> Callable[[], Run]:
    """`\\copy` of the same rows into the same table."""
    data = Data(shape, rows).write()

    def side() -> Run:
        bench.fresh(shape.create("public.target"))
        run = bench.timed(lambda: psql.copy(bench.database.uri, [data], ["target"]))
        check_table(bench, "target", rows)
        return run

    return side


def beside_copy(bench: Bench, what: str, shape: Shape, rows: int) -> Dict[str, List[Run]]:
    return bench.alternate(what, rows, {"sluice": by_sluice(bench, shape, rows), "\\copy": by_copy(bench, shape, rows)})


def insert(bench: Bench) -> None:
    runs = beside_copy(bench, "insert, narrow", NARROW, bench.rows)
    bench.figure("insert, narrow, against \\copy", ratio(runs, "sluice", "\\copy"), "x", 0.7, 1.0)
    bench.figure("CPU of Sluice against PostgreSQL's, narrow insert",
                 median(runs["sluice"], "cpu_s") / median(runs["sluice"], "server_cpu_s"), "x", 1.0, 0.6,
                 less_is_better=True)
    bench.figure("resident memory, narrow backlog", max(run.resident for run in runs["sluice"]) / MB, "MB", 128, 64,
                 less_is_better=True)


def wide(bench: Bench) -> None:
    runs = beside_copy(bench, "insert, wide", WIDE, bench.rows // 4)
    bench.figure("insert, wide, against \\copy", ratio(runs, "sluice", "\\copy"), "x", 1.2, 1.7)


# ---- upsert --------------------------------------------------------------------------------------------------------------


def _upsert(bench: Bench, what: str, before: str) -> None:
    data = Data(NARROW, bench.rows)
    topic = bench.topic(data)
    psql.prepare_staged(data, "target", COLUMNS)

    def fresh() -> None:
        statements = [NARROW.create("public.target")]
        if before:
            statements += [before, "ANALYZE public.target"]
        bench.fresh(*statements)

    def checked(run: Run) -> Run:
        check_table(bench, "target", bench.rows)
        check_equal(bench.database.value("SELECT count(*) FROM public.target WHERE amount <= 0"), 0, "rows not updated")
        return run

    def ours() -> Run:
        fresh()
        return checked(bench.run(bench.task(topic, "target", sync={"write": "upsert", "primary_key": ["id"]})))

    def theirs() -> Run:
        fresh()
        return checked(bench.timed(lambda: psql.staged(bench.database.uri, data, "target", COLUMNS)))

    runs = bench.alternate(what, bench.rows, {"sluice": ours, "by hand": theirs})
    bench.figure(f"{what}, against the hand-written stage", ratio(runs, "sluice", "by hand"), "x", 0.8, 1.1)


def upsert(bench: Bench) -> None:
    _upsert(bench, "upsert, new keys", "")


def existing(bench: Bench) -> None:
    _upsert(bench, "upsert, existing keys",
            "INSERT INTO public.target SELECT id, 'before', -1, '2000-01-01Z', true"
            f" FROM generate_series(0, {bench.rows - 1}) id")


# ---- bad messages --------------------------------------------------------------------------------------------------------


def bad(bench: Bench) -> None:
    """One message in 1,000 becomes a dead letter; the clean side differs in nothing else."""
    topics = {"clean": bench.topic(Data(NARROW, bench.rows)), "bad": bench.topic(Data(CHECKED_BAD, bench.rows))}
    letters = {"clean": (0, 0), "bad": ((bench.rows + 1000) // 2000, bench.rows // 2000)}

    def side(name: str) -> Run:
        bench.fresh(CHECKED.create("public.target"))
        document: Dict[str, Any] = bench.task(topics[name], "target", on_failure="deliver")
        run = bench.run(document)
        found = bench.database.rows("SELECT count(*) FILTER (WHERE code <> '23514'), count(*) FILTER (WHERE code = '23514')"
                                    " FROM sluice.dead_letter")[0]
        check_equal(found, letters[name], "dead letters: unparsable, breaking the constraint")
        rows = bench.database.value("SELECT count(*) FROM public.target")
        check(rows == bench.rows - sum(found), f"{rows} rows and {sum(found)} dead letters of {bench.rows} messages")
        return run

    runs = bench.alternate("1 in 1,000 bad", bench.rows, {"bad": lambda: side("bad"), "clean": lambda: side("clean")})
    bench.figure("1 message in 1,000 bad, deliver, against clean", ratio(runs, "bad", "clean"), "x", 0.5, 0.8)
