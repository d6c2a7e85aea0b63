"""memory, allocations: what Sluice takes, by the kernel's count and by the allocator's."""

import subprocess
from typing import Iterator

import speed
from data import BIG_COLUMNS, CACHE, NARROW, Data, big_message
from kit import Message, check_equal, root
from measure import MB, Bench

BIG_PARTITIONS = 100


def memory(bench: Bench) -> None:
    """Resident at most, with defaults: the narrow backlog, and 100 partitions of messages of 1 MB."""
    topic = bench.topic(Data(NARROW, bench.rows))
    found = []
    for _ in range(bench.rounds):
        bench.fresh(NARROW.create("public.target"))
        found.append(bench.run(bench.task(topic, "target")).resident / MB)
        speed.check_table(bench, "target", bench.rows)
    bench.figure("resident memory, narrow backlog", max(found), "MB", 128, 64, less_is_better=True)

    count = max(BIG_PARTITIONS, bench.rows // 4000)
    topic = bench.empty_topic(BIG_PARTITIONS)
    topic.produce(_big_messages(count))
    found = []
    for number in range(bench.rounds):
        bench.fresh(f"CREATE TABLE public.target ({BIG_COLUMNS})")
        run = bench.run(bench.task(topic, "target"))
        check_equal(bench.database.rows("SELECT count(*), sum(id)::bigint FROM public.target WHERE length(body) > 900000"),
                    [(count, count * (count - 1) // 2)], "the rows of the big messages")
        found.append(run.resident / MB)
        print(f"  100 partitions, 1 MB, round {number + 1}: {found[-1]:.0f} MB resident, {count / run.seconds:.0f} MB/s",
              flush=True)
    bench.figure("resident memory, 100 partitions with 1 MB messages", max(found), "MB", 256, 192, less_is_better=True)


def _big_messages(count: int) -> Iterator[Message]:
    for number in range(count):
        yield Message(value=big_message(number), partition=number % BIG_PARTITIONS)


def allocations(bench: Bench) -> None:
    """Calls of malloc by Sluice's own code for each message, counted by bench/allocations.c."""
    CACHE.mkdir(parents=True, exist_ok=True)
    library, counts = CACHE / "allocations.so", CACHE / "allocations.txt"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(root / "bench/allocations.c"), "-ldl"], check=True)
    topic = bench.topic(Data(NARROW, bench.rows))
    bench.fresh(NARROW.create("public.target"))
    bench.run(bench.task(topic, "target"), {"LD_PRELOAD": str(library), "SLUICE_ALLOCATIONS": str(counts)})
    by_object = {name: int(number) for name, number in
                 (line.split() for line in counts.read_text(encoding="utf-8").splitlines())}

    def calls(*names: str) -> int:
        return sum(number for name, number in by_object.items() if name.startswith(names))

    own = calls("sluice", "libstdc++", "libsimdjson")
    print(f"  allocations: {own:,} in Sluice's own code, start and end included;"
          f" librdkafka {calls('librdkafka') / bench.rows:.2f} a message")
    bench.figure("allocations in Sluice's own code", own / bench.rows, "a message", 0.1, 0.02, less_is_better=True)
