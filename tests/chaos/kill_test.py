"""kill -9, SIGSTOP and broken servers at random moments: what was sent is in the table, each message exactly once."""

import contextlib
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import

SMALL = {"batch_rows": 25, "linger_ms": 5}  # so many transactions that a random moment meets every part of one


def count_of(database, table="t"):
    return database.value(f"SELECT count(*) FROM {table}")


def random_moment(sluice, random, progress, most=400, total=None):
    """While it starts, or while it works: after so much progress (of `total` at most), and then some milliseconds."""
    if random.random() < 0.25:
        time.sleep(random.uniform(0, 1.5))
        return
    goal = progress() + random.randint(1, most)
    if total is not None:
        goal = min(goal, total)
    sluice.wait_for(lambda: progress() >= goal, f"progress to {goal}", 60)
    time.sleep(random.uniform(0, 0.03))


def ended_well(document, *texts):
    Sluice.run(document, "--until-end", deadline_s=90).expect(0, *texts)


@test
def twenty_kills_into_a_table_without_a_key():
    random = rng("kill-insert")
    topic = Topic(partitions=4)
    rows = produce(topic, 0, 60_000)
    with Database() as db:
        db.sql(TABLE)
        document = numbered(topic, db, tuning=SMALL)
        kills = []
        for _ in range(20):
            with Sluice(document) as sluice:
                random_moment(sluice, random, lambda: count_of(db), total=len(rows))
                check(sluice.running(), "it ended before it was killed: " + sluice.err[-1500:])
                sluice.kill().expect(-signal.SIGKILL)
            kills.append(count_of(db))
        check(0 < kills[-1] < len(rows), f"the kills met no work: rows after each: {kills}")
        check(len(set(kills)) > 8, f"the kills met hardly any work: rows after each: {kills}")
        document["tuning"] = {}
        ended_well(document)
        check_rows(db, rows, f"after 20 kills (seed {seed()}; rows after each: {kills})")
        check_equal(ledger(db, document), {(topic.name, each): end for each, end in ends(topic).items()}, "the ledger")


main()
