"""growth: the ratio to `\\copy` must hold as rows, partitions and tasks grow."""

from typing import Dict

import psql
import speed
from data import NARROW, Data
from measure import Bench, Run, ratio


def growth(bench: Bench) -> None:
    small = bench.rows // 2
    _judge(bench, "rows", {f"{rows:,} rows": _beside_copy(bench, f"{rows:,} rows", rows, 4) for rows in (small, bench.rows * 5)})
    _judge(bench, "partitions", {f"{number} partitions": _beside_copy(bench, f"{number} partitions", small, number)
                                 for number in (1, 4, 16, 64)})
    _judge(bench, "tasks at once", {f"{number} tasks": _tasks(bench, number, bench.rows // 4) for number in (1, 2, 4, 8)})


def _judge(bench: Bench, what: str, ratios: Dict[str, float]) -> None:
    """The figure is the deepest fall of the ratio from one size to a larger one."""
    values = list(ratios.values())
    fall = max(1 - later / earlier for i, earlier in enumerate(values) for later in values[i + 1:])
    print(f"  against \\copy: {', '.join(f'{name} {value:.2f} x' for name, value in ratios.items())}")
    bench.figure(f"as {what} grow, the ratio falls by", max(0.0, fall) * 100, "%", 25, 10, less_is_better=True)


def _beside_copy(bench: Bench, what: str, rows: int, partitions: int) -> float:
    return ratio(speed.beside_copy(bench, what, NARROW, rows, partitions), "sluice", "\\copy")


def _tasks(bench: Bench, number: int, rows: int) -> float:
    """So many tasks at once, each with a topic of its own, into a table of its own; beside as many psql."""
    data = Data(NARROW, rows)
    topics = [bench.topic(data, 4, task) for task in range(number)]
    tables = [f"target_{task}" for task in range(number)]

    def checked(run: Run) -> Run:
        for table in tables:
            speed.check_table(bench, table, rows)
        return run

    def ours() -> Run:
        bench.fresh(*(NARROW.create(f"public.{table}") for table in tables))
        return checked(bench.run_all([bench.task(topic, table) for topic, table in zip(topics, tables)]))

    def theirs() -> Run:
        bench.fresh(*(NARROW.create(f"public.{table}") for table in tables))
        return checked(bench.timed(lambda: psql.copy(bench.database.uri, [data] * number, tables)))

    runs = bench.alternate(f"{number} tasks", number * rows, {"sluice": ours, "\\copy": theirs})
    return ratio(runs, "sluice", "\\copy")
