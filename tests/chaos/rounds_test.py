#!/usr/bin/python3
"""Round after round, something goes wrong that the seed chooses; after each, the table is what was sent, to the row.

The table has no key, so that a row that comes twice shows. One to three processes run the task while messages come.
SLUICE_CHAOS_ROUNDS=N (./test chaos --rounds N) runs N rounds; --seed repeats them.
"""

import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import
from registry import seed  # noqa: E402 pylint: disable=wrong-import-position

ROUNDS = int(os.environ.get("SLUICE_CHAOS_ROUNDS", "12"))
TASKS = 4  # rounds are shared out among so many tasks, one after the other
SMALL = {"batch_rows": 40, "linger_ms": 5}
PARTITIONS = 3
TROUBLES = {}


def trouble(function):
    TROUBLES[function.__name__] = function
    return function


class Campaign:
    """A task, its processes, and what they go through."""

    def __init__(self, number):
        self.random = rng(f"rounds-{number}")
        self.database = Database()
        self.database.sql(TABLE)
        self.topic = Topic(partitions=PARTITIONS)
        self.proxy = Proxy(address(self._postgres_address()))
        self.document = numbered(self.topic, self.database, tuning=SMALL, on_failure="deliver")
        self.through_proxy = self.database.uri_of("sluice", "sluice").replace(
            self._postgres_address(), f"127.0.0.1:{self.proxy.port}")
        self.document["target"]["postgres"] = self.through_proxy
        self.processes = []
        self.perhaps_refused = []  # may have been at their first check while a privilege was missing
        self.rows = []
        self.sent = 0

    @staticmethod
    def _postgres_address():
        return os.environ["SLUICE_POSTGRES"].split("@")[1].split("/")[0]

    def start(self, **environment):
        self.processes.append(Sluice(self.document, environment=environment or None))

    def end(self, process, number):
        process.signal(number)
        process.wait(20)
        self.processes.remove(process)

    def some(self):
        return self.random.choice(self.processes)

    def keep_running(self):
        """Ended ones are reported if they had no reason; there are one to three."""
        for process in list(self.processes):
            if not process.running():
                ended = process.wait(5)
                refused = process in self.perhaps_refused and "may not INSERT" in ended.err and "0 rows written" in ended.err
                check(ended.code == -signal.SIGKILL or refused, f"it ended by itself with code {ended.code}: {ended.err[-1500:]}")
                self.processes.remove(process)
        while not self.processes or (len(self.processes) < 3 and self.random.random() < 0.3):
            self.start()

    def settle(self, what):
        """Everything that was sent is there, once."""
        wanted = len(self.rows)
        end = time.monotonic() + 90
        while True:
            self.keep_running()
            try:
                if self.database.value("SELECT count(*) FROM public.t") >= wanted:
                    break
            except Exception:  # pylint: disable=broad-except
                pass  # the server is still coming up
            if time.monotonic() > end:
                raise Failure(f"after {what}: {self.database.value('SELECT count(*) FROM public.t')} of {wanted} rows; "
                              + " | ".join(process.err[-700:] for process in self.processes))
            time.sleep(0.05)
        check_rows(self.database, self.rows, f"after {what}")
        check_equal(self.database.value("SELECT count(*) FROM sluice.dead_letter"), 0, f"dead letters after {what}")

    def close(self):
        for process in self.processes:
            process.kill()
        self.proxy.close()
        self.database.close()


@trouble
def kill(campaign):
    campaign.end(campaign.some(), signal.SIGKILL)


@trouble
def leave(campaign):
    campaign.end(campaign.some(), signal.SIGTERM)


@trouble
def join(campaign):
    campaign.start()


@trouble
def freeze_process(campaign):
    """Past its session's time-out: its partitions move while it holds a transaction, and then it wakes up."""
    process = campaign.some()
    process.signal(signal.SIGSTOP)
    campaign.start()
    time.sleep(campaign.random.uniform(0.2, 4))
    process.signal(signal.SIGCONT)


@trouble
def crash_postgres(_):
    dev("postgres", "down", "immediate")
    dev("postgres", "up")


@trouble
def restart_kafka(_):
    dev("kafka", "down")
    dev("kafka", "up")


@trouble
def cut_connections(campaign):
    for _ in range(campaign.random.randint(1, 6)):
        campaign.proxy.cut()
        time.sleep(campaign.random.uniform(0, 0.1))


@trouble
def half_open_connections(campaign):
    """Nothing comes through, nobody is told."""
    campaign.proxy.freeze()
    time.sleep(campaign.random.uniform(0.1, 2))
    if campaign.random.random() < 0.5:
        campaign.proxy.cut()
    campaign.proxy.thaw()


@trouble
def answer_to_commit_lost(campaign):
    visit = campaign.random.randint(1, 20)
    campaign.start(SLUICE_FAIL_POINT=f"after_commit_before_answer:{visit}:disconnect")


@trouble
def killed_at_a_fail_point(campaign):
    point = campaign.random.choice(["after_poll", "in_copy", "before_ledger", "after_ledger", "before_commit",
                                    "after_commit_before_answer", "after_commit_before_group_offset"])
    campaign.start(SLUICE_FAIL_POINT=f"{point}:{campaign.random.randint(1, 20)}")


@trouble
def backends_terminated(campaign):
    for _ in range(campaign.random.randint(1, 4)):
        campaign.database.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                              "AND application_name LIKE 'sluice%'", superuser=True)
        time.sleep(campaign.random.uniform(0, 0.1))


@trouble
def altered_by_a_dba(campaign):
    for statement in ("ADD COLUMN extra text DEFAULT 'x'", "ALTER id TYPE numeric", "ALTER id TYPE bigint", "DROP extra"):
        campaign.database.sql(f"ALTER TABLE public.t {statement}", superuser=True)
        time.sleep(campaign.random.uniform(0, 0.15))


@trouble
def locked_by_a_dba(campaign):
    connection = campaign.database.connect(superuser=True)
    connection.cursor().execute("BEGIN; LOCK TABLE public.t")
    time.sleep(campaign.random.uniform(0.1, 7))  # beyond lock_timeout now and then
    connection.rollback()
    connection.close()


@trouble
def role_revoked(campaign):
    """Who is at work waits; a process that is only starting says what is missing, and ends."""
    campaign.perhaps_refused = list(campaign.processes)
    campaign.database.sql("REVOKE INSERT ON public.t FROM sluice; ALTER TABLE public.t OWNER TO postgres", superuser=True)
    time.sleep(campaign.random.uniform(0.1, 1.5))
    campaign.database.sql("ALTER TABLE public.t OWNER TO sluice; GRANT ALL ON public.t TO sluice", superuser=True)


@trouble
def too_many_connections(campaign):
    name = campaign.database.name
    campaign.database.server(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
    backends_terminated(campaign)
    time.sleep(campaign.random.uniform(0.1, 1.5))
    campaign.database.server(f"ALTER DATABASE {name} CONNECTION LIMIT -1")


def run_rounds(number, rounds):
    campaign = Campaign(number)
    seen = {}
    try:
        campaign.start()
        eventually(lambda: campaign.database.value("SELECT count(*) FROM sluice.ledger") == PARTITIONS, "the ledger")
        for turn in range(rounds):
            # Slow ones less often.
            names = sorted(TROUBLES) * 4
            names = [name for at, name in enumerate(names) if name not in ("restart_kafka", "crash_postgres") or at < len(TROUBLES)]
            name = campaign.random.choice(names)
            with Feed(campaign.topic, first=campaign.sent) as feed:
                time.sleep(campaign.random.uniform(0, 0.5))
                began = time.monotonic()
                TROUBLES[name](campaign)
                if name == "restart_kafka":
                    time.sleep(1)
                campaign.rows += feed.end()
            campaign.sent = len(campaign.rows)
            campaign.settle(f"round {turn} of {number}: {name} (seed {seed()})")
            seen.setdefault(name, []).append(time.monotonic() - began)
        open_now = campaign.database.sql("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                                         "AND application_name LIKE 'sluice%'", superuser=True)[0][0]
        check(open_now <= 3 * 6, f"{open_now} sessions after {rounds} rounds")
    finally:
        print(", ".join(f"{name} x{len(times)} ({max(times):.1f} s)" for name, times in sorted(seen.items())))
        campaign.close()


for task in range(min(TASKS, ROUNDS)):
    add(f"rounds-{task}", lambda number=task: run_rounds(number, ROUNDS // TASKS + (number < ROUNDS % TASKS)))

if __name__ == "__main__":
    main()
