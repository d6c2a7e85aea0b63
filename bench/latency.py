"""latency, start: times that an application sees, taken from outside."""

import statistics
import subprocess
import sys
import time
from typing import List, Tuple

from data import NARROW, NARROW_COLUMNS, Data
from kit import Sluice, check, eventually, root
from measure import Bench, cpu_s_of

RATE = 5_000
PARTITIONS = 4
WARM_UP_S = 3
LOOK_EVERY_S = 0.001


def latency(bench: Bench) -> None:
    """From right before produce() in another process to the answer to a query that has the row.

    A reader asks every millisecond for the highest id of each partition, by the primary key (p, id); rows of a
    partition become visible in order, so each row's time is that of the first answer at or above its id. So figures
    are too high by up to a look, never too low. (pg_xact_commit_timestamp would be too low: it is taken before the
    commit is flushed; timestamps of Kafka are whole milliseconds.)
    """
    count = max(10 * RATE, bench.rows * 3 // 40)
    medians, p99s, worst, cpu = [], [], [], []
    for number in range(bench.rounds):
        seconds, cpu_share = _latencies(bench, WARM_UP_S * RATE + count)
        medians.append(statistics.median(seconds) * 1000)
        p99s.append(statistics.quantiles(seconds, n=100)[98] * 1000)
        worst.append(max(seconds) * 1000)
        cpu.append(cpu_share)
        print(f"  latency, round {number + 1}: median {medians[-1]:.1f} ms, p99 {p99s[-1]:.1f} ms, worst {worst[-1]:.0f} ms,"
              f" Sluice used {cpu_share * 100:.0f} % of a core", flush=True)
    bench.figure(f"produce to visible row, {RATE:,} messages/s, median", statistics.median(medians), "ms", 20, 5,
                 less_is_better=True)
    bench.figure(f"produce to visible row, {RATE:,} messages/s, p99", statistics.median(p99s), "ms", 150, 50,
                 less_is_better=True)


def _latencies(bench: Bench, count: int) -> Tuple[List[float], float]:
    """Seconds for each message behind the warm-up, and the share of a core that Sluice used."""
    topic = bench.empty_topic(PARTITIONS)
    bench.fresh(f"CREATE TABLE public.target (p integer, {NARROW_COLUMNS.replace(' PRIMARY KEY', '')}, sent bigint,"
                " PRIMARY KEY (p, id)) WITH (autovacuum_enabled = off)")
    columns = [{"field": name, "column": name} for name in ("id", "name", "amount", "at", "active", "sent")]
    document = bench.task(topic, "target", sync={"columns": [{"meta": "partition", "column": "p"}, *columns]})
    last = [count - 1 - (count - 1 - partition) % PARTITIONS for partition in range(PARTITIONS)]
    seen: List[Tuple[int, Tuple[int, ...]]] = []  # when, the highest id of each partition
    connection = bench.database.connect()
    try:
        cursor = connection.cursor()
        cursor.execute("PREPARE look AS SELECT " + ", ".join(
            f"coalesce((SELECT max(id) FROM public.target WHERE p = {partition}), -1)" for partition in range(PARTITIONS)))
        with Sluice(document, "-q") as sluice:
            # It has its partitions and a connection before the clock starts.
            eventually(lambda: bench.database.value("SELECT count(*) FROM sluice.task") == 1, "the task is open")
            producer = subprocess.Popen([sys.executable, str(root / "bench/producer.py"), topic.name, str(PARTITIONS),
                                         str(count), str(RATE)])
            try:
                deadline = time.monotonic() + 60 + 2 * count / RATE
                while not seen or any(found < wanted for found, wanted in zip(seen[-1][1], last)):
                    cursor.execute("EXECUTE look")
                    found = cursor.fetchone()
                    seen.append((time.monotonic_ns(), found))
                    check(time.monotonic() < deadline and sluice.running(),
                          f"not all rows came: the highest ids are {found}, of {last}; {sluice.err[-500:]}")
                    time.sleep(LOOK_EVERY_S)
                check(producer.wait(30) == 0, "bench/producer.py failed")
            finally:
                producer.kill()
                producer.wait()
            cpu_s = cpu_s_of(sluice.pid)
            sluice.stop()
    finally:
        connection.close()
    rows = bench.database.rows("SELECT p, id, sent FROM public.target ORDER BY p, id")
    check(len(rows) == count, f"{len(rows)} rows of {count} messages")
    first, end = min(sent for _, _, sent in rows), max(sent for _, _, sent in rows)
    rate = (count - 1) / ((end - first) / 1e9)
    check(abs(rate / RATE - 1) < 0.02, f"the producer made {rate:,.0f} messages a second instead of {RATE:,}: no figure")
    return _match(rows, seen), cpu_s / ((end - first) / 1e9)


def _match(rows: List[Tuple[int, int, int]], seen: List[Tuple[int, Tuple[int, ...]]]) -> List[float]:
    found = []
    partition, look = -1, 0
    for p, number, sent in rows:
        if p != partition:
            partition, look = p, 0
        while seen[look][1][p] < number:
            look += 1
        if number >= WARM_UP_S * RATE:
            found.append((seen[look][0] - sent) / 1e9)
    return found


def start(bench: Bench) -> None:
    """From exec to the first row that a reader sees, with all of the narrow rows waiting."""
    topic = bench.topic(Data(NARROW, bench.rows))
    found = []
    for number in range(bench.rounds):
        bench.fresh(NARROW.create("public.target"))
        connection = bench.database.connect()
        try:
            cursor = connection.cursor()
            cursor.execute("PREPARE look AS SELECT EXISTS (SELECT FROM public.target)")

            def look() -> bool:
                cursor.execute("EXECUTE look")  # pylint: disable=cell-var-from-loop
                return cursor.fetchone()[0]  # pylint: disable=cell-var-from-loop

            began = time.monotonic()
            with Sluice(bench.task(topic, "target"), "-q") as sluice:
                while not look():
                    check(sluice.running(), f"it ended before the first row: {sluice.err[-500:]}")
                    time.sleep(LOOK_EVERY_S)
                found.append(time.monotonic() - began)
                sluice.kill()
        finally:
            connection.close()
        print(f"  start, round {number + 1}: {found[-1]:.2f} s", flush=True)
    bench.figure("start to first row, backlog waiting", statistics.median(found), "s", 3, 1, less_is_better=True)
