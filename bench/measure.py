"""What the benchmarks share: one run of Sluice with its figures, sides that alternate, and figures beside what is asked.

Everything happens in a database of its own (`bench.database`) and in topics of its own; both are removed at the end.
"""

import contextlib
import dataclasses
import datetime
import os
import pathlib
import resource
import statistics
import subprocess
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Union

import confluent_kafka.admin

from data import Data
from kit import Database, Failure, Sluice, Topic, check, kafka_settings, task_for

RUN_DEADLINE_S = 900.0
MB = 1 << 20


@dataclasses.dataclass
class Run:
    """One run of one side."""

    seconds: float  # what is compared
    cpu_s: float = 0.0  # of the program itself
    server_cpu_s: float = 0.0  # of PostgreSQL meanwhile, all of its processes
    resident: int = 0  # bytes, at most
    whole_s: float = 0.0  # from start to exit


@dataclasses.dataclass
class Figure:
    """A figure with what it must be and what is aimed at."""

    name: str
    value: float
    unit: str
    must: Optional[float]
    aim: Optional[float]
    less_is_better: bool

    def verdict(self) -> str:
        if self.must is None or self.aim is None:
            return ""
        sign = -1 if self.less_is_better else 1
        shown = float(f"{self.value:.2f}")  # as printed: 0.698 is not below 0.70
        return "aim" if sign * shown >= sign * self.aim else "must" if sign * shown >= sign * self.must else "MISSED"


class Bench:
    """One call of bench/run: how much of it, where, and what came out."""

    def __init__(self, rows: int, rounds: int):
        self.rows = rows
        self.rounds = rounds
        self.database = Database()
        self.figures: List[Figure] = []
        self._topics: Dict[Any, Topic] = {}

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: Any) -> None:
        for topic in self._topics.values():
            with contextlib.suppress(Failure, confluent_kafka.KafkaException):
                topic.delete()
        self.database.__exit__()

    def topic(self, data: Data, partitions: int = 4, copy: int = 0) -> Topic:
        """A topic with the messages of data, lz4; made at the first call for each copy of it."""
        key = (data, partitions, copy)
        if key not in self._topics:
            topic = self.empty_topic(partitions, key)
            with open(data.write().messages, "rb") as messages:
                subprocess.run(["kcat", "-P", "-b", os.environ["SLUICE_KAFKA"], "-t", topic.name, "-K", "\t", "-z", "lz4"],
                               stdin=messages, check=True)
            held = sum(end for _, end in topic.watermarks().values())
            check(held == data.rows, f"topic {topic.name} holds {held} messages, {data.rows} were produced")
        return self._topics[key]

    def empty_topic(self, partitions: int, key: Any = None) -> Topic:
        topic = Topic(partitions)
        self._topics[key or topic.name] = topic
        return topic

    def fresh(self, *statements: str) -> None:
        """Nothing of an earlier side is left: no table, no ledger, no dirty pages that this side would pay for."""
        self.database.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public; DROP SCHEMA IF EXISTS sluice CASCADE")
        for statement in statements:
            self.database.sql(statement)
        Database.server("CHECKPOINT")

    def task(self, topic: Topic, table: str, **sections: Any) -> Dict[str, Any]:
        """A task document with nothing but defaults beside what sections say."""
        return task_for(topic, self.database, f"public.{table}",
                        **{"source": {"kafka": kafka_settings()}, **sections})

    def figure(self, name: str, value: float, unit: str, must: Optional[float] = None, aim: Optional[float] = None,
               less_is_better: bool = False) -> None:
        figure = Figure(name, value, unit, must, aim, less_is_better)
        self.figures.append(figure)
        print(f"{name}: {_asked(figure)}", flush=True)

    def print_all(self) -> None:
        width = max(len(figure.name) for figure in self.figures)
        print("\nfigures (medians; aim: reached what is aimed at, must: what must be, MISSED: neither)")
        for figure in self.figures:
            print(f"  {figure.name:{width}}  {_asked(figure)}")

    # ---- one run --------------------------------------------------------------------------------------------------------

    def run(self, document: Dict[str, Any], environment: Optional[Dict[str, str]] = None) -> Run:
        """A task from the first message to the last one that is there now."""
        return self.run_all([document], environment)

    def run_all(self, documents: Sequence[Dict[str, Any]], environment: Optional[Dict[str, str]] = None) -> Run:
        """Tasks at once, from the first message that one of them took to the last commit of all."""
        server = self.server_cpu_s()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with contextlib.ExitStack() as stack:
            started = [stack.enter_context(Sluice(document, "--until-end", "-q", environment=environment, summary=True))
                       for document in documents]
            summaries = [sluice.wait(RUN_DEADLINE_S).expect(0).summary for sluice in started]
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return Run(seconds=max(_time(summary["last_commit_at"]) for summary in summaries)
                   - min(_time(summary["first_message_at"]) for summary in summaries),
                   cpu_s=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
                   server_cpu_s=self.server_cpu_s() - server,
                   resident=max(summary["resident_bytes_peak"] for summary in summaries),
                   whole_s=max(summary["seconds"] for summary in summaries))

    def timed(self, act: Callable[[], Any]) -> Run:
        """Whatever psql does."""
        server = self.server_cpu_s()
        started = time.monotonic()
        act()
        seconds = time.monotonic() - started
        return Run(seconds, server_cpu_s=self.server_cpu_s() - server, whole_s=seconds)

    def server_cpu_s(self) -> float:
        """CPU seconds so far of every PostgreSQL process, ended ones included."""
        found = self.database.sql("SELECT pg_read_file('postmaster.pid', 0, 20)", superuser=True)
        postmaster = int(found[0][0].split()[0])
        children = subprocess.run(["pgrep", "-P", str(postmaster)], stdout=subprocess.PIPE, text=True, check=False).stdout
        return cpu_s_of(postmaster, with_ended=True) + sum(cpu_s_of(int(child)) for child in children.split())

    # ---- sides that alternate -------------------------------------------------------------------------------------------

    def alternate(self, what: str, rows: Union[int, Dict[str, int]], sides: Dict[str, Callable[[], Run]]) -> Dict[str, List[Run]]:
        """Every side once a round, in another order each time; a side makes its own table fresh. rows: of every side, or by
        the side's name."""
        runs: Dict[str, List[Run]] = {name: [] for name in sides}
        counts = rows if isinstance(rows, dict) else dict.fromkeys(sides, rows)
        names = list(sides)
        for number in range(self.rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                runs[name].append(sides[name]())
                print(f"  {what}, round {number + 1}, {name}: {counts[name] / runs[name][-1].seconds:,.0f} rows/s", flush=True)
        for name, each in runs.items():
            count = counts[name]
            parts = [f"{count / seconds_of(each):,.0f} rows/s"]
            for value, text in ((median(each, "cpu_s") / count * 1e6, "us of its own CPU a row"),
                                (median(each, "server_cpu_s") / count * 1e6, "us of PostgreSQL's"),
                                (max(run.resident for run in each) / MB, "MB resident at most"),
                                (median(each, "whole_s"), "s from start to exit")):
                if value > 0:
                    parts.append(f"{value:.2f} {text}")
            print(f"  {what}, {name}: {', '.join(parts)}", flush=True)
        return runs


def cpu_s_of(pid: int, with_ended: bool = False) -> float:
    """CPU seconds of a process, 0 when it is gone; with_ended: and of its children that have ended."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15] if with_ended else fields[11:13])) / os.sysconf("SC_CLK_TCK")


def median(runs: List[Run], field: str) -> float:
    return statistics.median(getattr(run, field) for run in runs)


def seconds_of(runs: List[Run]) -> float:
    return median(runs, "seconds")


def ratio(runs: Dict[str, List[Run]], ours: str, theirs: str) -> float:
    """How many times as fast ours is."""
    return seconds_of(runs[theirs]) / seconds_of(runs[ours])


def _asked(figure: Figure) -> str:
    text = f"{figure.value:.2f} {figure.unit}"
    if figure.must is None or figure.aim is None:
        return text
    return f"{text} (must {figure.must:g}, aim {figure.aim:g}): {figure.verdict()}"


def _time(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()
