"""growth: the ratio to `\\copy` must hold as rows, partitions and tasks grow.

All sizes of one kind alternate with each other and with their `\\copy`: the machine of one minute is not that of the next,
and what is judged here is the difference between sizes.
"""

from typing import Callable, Dict, List, Tuple

import psql
import speed
from data import NARROW, Data
from measure import Bench, Run, ratio

Sides = Dict[str, Callable[[], Run]]


def growth(bench: Bench) -> None:
    _rows(bench)
    _partitions(bench)
    _tasks(bench)


def _rows(bench: Bench) -> None:
    sides: Sides = {}
    counts: Dict[str, int] = {}
    pairs: Dict[str, Tuple[str, str]] = {}
    for rows in (bench.rows // 2, bench.rows * 5):
        ours, theirs = f"{rows:,} rows", f"{rows:,} rows by \\copy"
        sides.update({ours: speed.by_sluice(bench, NARROW, rows), theirs: speed.by_copy(bench, NARROW, rows)})
        counts.update({ours: rows, theirs: rows})
        pairs[ours] = (ours, theirs)
    _judge(bench, "rows", counts, sides, pairs)


def _partitions(bench: Bench) -> None:
    rows = bench.rows // 2
    sides: Sides = {"\\copy": speed.by_copy(bench, NARROW, rows)}
    pairs: Dict[str, Tuple[str, str]] = {}
    for number in (1, 4, 16, 64):
        ours = f"{number} partitions"
        sides[ours] = speed.by_sluice(bench, NARROW, rows, number)
        pairs[ours] = (ours, "\\copy")
    _judge(bench, "partitions", dict.fromkeys(sides, rows), sides, pairs)


def _tasks(bench: Bench) -> None:
    """So many tasks at once, each with a topic and a table of its own, beside `\\copy` of all their rows. As many psql at
    once are shown, but not judged: one psql leaves to others what one task has used already, so that their rate grows."""
    rows = bench.rows // 4
    data = Data(NARROW, rows).write()
    sides: Sides = {}
    counts: Dict[str, int] = {}
    pairs: Dict[str, Tuple[str, str]] = {}
    for number in (1, 2, 4, 8):
        ours, theirs, at_once = f"{number} tasks", f"{number} by \\copy", f"{number} psql at once"
        sides.update({ours: _tasks_at_once(bench, data, number), theirs: _copies(bench, data, number, at_once=False),
                      at_once: _copies(bench, data, number, at_once=True)})
        counts.update(dict.fromkeys((ours, theirs, at_once), number * rows))
        pairs[ours] = (ours, theirs)
    _judge(bench, "tasks at once", counts, sides, pairs)


def _judge(bench: Bench, what: str, counts: Dict[str, int], sides: Sides, pairs: Dict[str, Tuple[str, str]]) -> None:
    """The figure is the deepest fall of the ratio from one size to a larger one."""
    runs = bench.alternate(f"growth of {what}", counts, sides)
    ratios = {name: ratio(runs, ours, theirs) for name, (ours, theirs) in pairs.items()}
    values = list(ratios.values())
    fall = max(1 - later / earlier for i, earlier in enumerate(values) for later in values[i + 1:])
    print(f"  against \\copy: {', '.join(f'{name} {value:.2f} x' for name, value in ratios.items())}")
    bench.figure(f"as {what} grow, the ratio falls by", max(0.0, fall) * 100, "%", 25, 10, less_is_better=True)


def _tasks_at_once(bench: Bench, data: Data, number: int) -> Callable[[], Run]:
    topics = [bench.topic(data, 4, task) for task in range(number)]
    tables = _tables(number)

    def side() -> Run:
        bench.fresh(*(NARROW.create(f"public.{table}") for table in tables))
        tasks = [bench.task(topic, table) for topic, table in zip(topics, tables)]
        return _checked(bench, data, number, bench.run_all(tasks))

    return side


def _copies(bench: Bench, data: Data, number: int, at_once: bool) -> Callable[[], Run]:
    tables = _tables(number)

    def side() -> Run:
        bench.fresh(*(NARROW.create(f"public.{table}") for table in tables))
        return _checked(bench, data, number,
                        bench.timed(lambda: psql.copy(bench.database.uri, [data] * number, tables, at_once)))

    return side


def _tables(number: int) -> List[str]:
    return [f"target_{task}" for task in range(number)]


def _checked(bench: Bench, data: Data, number: int, run: Run) -> Run:
    for table in _tables(number):
        speed.check_table(bench, table, data.rows)
    return run
