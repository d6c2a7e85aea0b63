"""kill -9, SIGSTOP and broken servers at random moments: what was sent is in the table, each message exactly once."""

import contextlib
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import


@test
def twenty_kills_into_a_table_without_a_key():
    random = rng("kill-insert")
    with numbered_task(60_000, partitions=4, tuning=SMALL) as (topic, rows, db, document):
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
        until_end(document, deadline_s=90)
        check_rows(db, rows, f"after 20 kills (seed {seed()}; rows after each: {kills})")
        check_equal(ledger(db, document), {(topic.name, each): end for each, end in ends(topic).items()}, "the ledger")


main()
