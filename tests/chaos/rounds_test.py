#!/usr/bin/python3
"""Round after round, something goes wrong that the seed chooses; after each, the table is what was sent, to the row.

The table has no key, so that a row that comes twice shows. One to three processes run the task while messages come.
What cannot be proven or was lost in Kafka stops them, in words, with the table as the ledger says; told to go on, they
do, and sluice.gap has what is missing. SLUICE_CHAOS_ROUNDS=N (./test chaos --rounds N) runs N rounds; --seed repeats them.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import
from registry import seed  # noqa: E402 pylint: disable=wrong-import-position

ROUNDS = int(os.environ.get("SLUICE_CHAOS_ROUNDS", "12"))
ONLY = os.environ.get("SLUICE_CHAOS_TROUBLES", "").split()  # their names; all of them unless said
TASKS = 4  # rounds are shared out among so many tasks, one after the other
SMALL = {"batch_rows": 40, "linger_ms": 5}
PARTITIONS = 3
TROUBLES = {}
SLOW = ("restart_kafka", "crash_postgres", "disk_full", "older_copy_restored", "retention_overtakes", "topic_created_again")


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
        self.perhaps_refused = {}  # may have been at their first check meanwhile: process, what it then says
        self.kept = []  # rows of topics that are gone
        self.rows = []  # and of this one
        self.gaps = []
        self.sent = 0
        self._feed = None

    @staticmethod
    def _postgres_address():
        return os.environ["SLUICE_POSTGRES"].split("@")[1].split("/")[0]

    # ---- messages

    @contextlib.contextmanager
    def feeding(self):
        with Feed(self.topic, first=self.sent) as self._feed:
            yield
            self.end_feed()

    def end_feed(self):
        if self._feed is not None:
            sent, self._feed = self._feed.end(), None
            self.rows += sent
            self.sent += len(sent)

    def send(self, count):
        self.rows += produce(self.topic, self.sent, count)
        self.sent += count

    # ---- processes

    def start(self, **environment):
        self.processes.append(Sluice(self.document, environment=environment or None))

    def end(self, process, number):
        process.signal(number)
        self._forget(process, process.wait(20))

    def end_all(self):
        for process in list(self.processes):
            self.end(process, self.random.choice((signal.SIGTERM, signal.SIGKILL)))
        self._await_no_sessions()

    def _await_no_sessions(self):
        """The server may still be ending, or committing, what a killed one had begun."""
        eventually(lambda: self.sessions() == 0, "nobody is connected any more")

    def sessions(self):
        return self.database.sql("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name "
                                 "LIKE 'sluice%'", superuser=True)[0][0]

    def _forget(self, process, ended):
        output = ended.out + ended.err
        check("ERROR: AddressSanitizer" not in output and "runtime error:" not in output, f"a sanitizer spoke: {output[-3000:]}")
        self.processes.remove(process)
        process.__exit__()

    def some(self):
        return self.random.choice(self.processes)

    def said(self, text):
        return {process: process.err.count(text) for process in self.processes}

    def starting_may_say(self, text):
        self.perhaps_refused = {process: text for process in self.processes}

    def _refused_at_start(self, process, ended):
        return self.perhaps_refused.get(process, "no such text") in ended.err and "0 rows written" in ended.err

    def keep_running(self):
        """Ended ones are reported if they had no reason; there are one to three."""
        for process in list(self.processes):
            if not process.running():
                ended = process.wait(5)
                check(ended.code == -signal.SIGKILL or self._refused_at_start(process, ended),
                      f"it ended by itself with code {ended.code}: {ended.err[-1500:]}")
                self._forget(process, ended)
        while not self.processes or (len(self.processes) < 3 and self.random.random() < 0.3):
            self.start()

    # ---- what must come of it

    def settle(self, what):
        """Everything that was sent is there, once."""
        wanted = len(self.kept) + len(self.rows)
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
        check_rows(self.database, self.kept + self.rows, f"after {what}")
        check_equal(self.database.value("SELECT count(*) FROM sluice.dead_letter"), 0, f"dead letters after {what}")
        check_equal(sorted(self.database.rows("SELECT partition, from_offset, to_offset, reason FROM sluice.gap")),
                    sorted(self.gaps), f"gaps after {what}")

    def positions(self):
        return {partition: offset for (_, partition), offset in ledger(self.database, self.document).items()}

    def refused(self, *texts):
        """on_gap: stop. Who runs ends by itself with these words, and so does who starts; nothing more was written."""
        for _ in range(2 if self.processes else 1):
            if not self.processes:
                self.start()
            for process in list(self.processes):
                ended = process.wait(60)
                why = ended.code == 1 and all(text in ended.err for text in texts)
                check(why or ended.code == -signal.SIGKILL or self._refused_at_start(process, ended),
                      f"code {ended.code}, not refused by {texts}: {ended.err[-1500:]}")
                self._forget(process, ended)
        self._await_no_sessions()

    def go_on_over_gaps(self, gaps, what):
        """on_gap: continue, by several at once; then it is stop again."""
        self.gaps += gaps
        self.document["source"]["on_gap"] = "continue"
        for _ in range(self.random.randint(1, 3)):
            self.start()
        self.settle(what)
        self.end_all()
        self.document["source"]["on_gap"] = "stop"
        self.start()
        self.processes[0].wait_output("the task document has changed: taken over", 30)

    def close(self):
        for process in self.processes:
            process.kill()
            process.__exit__()
        self.proxy.close()
        self.database.__exit__()


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
def crash_postgres(campaign):
    dev("postgres", "down", "immediate")
    dev("postgres", "up")
    campaign.database.close()  # the connections of the test itself, which are broken too


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
    campaign.starting_may_say("may not INSERT")
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


@trouble
def topic_created_again(campaign):
    """Another topic of the same name is never read by the old one's positions, even where they would fit."""
    campaign.end_feed()
    if campaign.random.random() < 0.3:
        campaign.end_all()
    campaign.starting_may_say(f'has no topic "{campaign.topic.name}"')
    campaign.topic.delete()
    campaign.topic.create(PARTITIONS)
    old, campaign.rows = campaign.rows, []
    campaign.send(campaign.random.randint(1, 3_000))
    campaign.refused("created again", "on_gap: continue")
    at = campaign.positions()
    campaign.kept += [row for row in old if row[2] < at[row[1]]]
    check_rows(campaign.database, campaign.kept, "refused: the topic was created again")
    campaign.go_on_over_gaps([(partition, offset, offset, "topic_created_again") for partition, offset in at.items()],
                             "the new topic is read from its beginning")


@trouble
def retention_overtakes(campaign):
    """While nobody runs: what is gone before it was applied is told, to the offset."""
    campaign.end_feed()
    campaign.end_all()
    campaign.send(campaign.random.randint(50, 500))
    at = campaign.positions()
    low = {partition: campaign.random.randint(max(at[partition] - 30, first), end)
           for partition, (first, end) in sorted(campaign.topic.watermarks().items())}
    campaign.topic.delete_records(low)
    gaps = [(partition, at[partition], low[partition], "retention") for partition in sorted(at) if low[partition] > at[partition]]
    if not gaps:
        return  # what was removed had been applied
    first = gaps[0]
    campaign.refused(f"{campaign.topic.name}/{first[0]}: offsets {first[1]} to {first[2] - 1} were removed", "on_gap: continue")
    check_rows(campaign.database, campaign.kept + [row for row in campaign.rows if row[2] < at[row[1]]], "refused: records are gone")
    campaign.rows = [row for row in campaign.rows if not at[row[1]] <= row[2] < low[row[1]]]
    campaign.go_on_over_gaps(gaps, "going on behind what retention removed")


@trouble
def older_copy_restored(campaign):
    """The position goes back with the rows; what came since is read again."""
    name, copy = campaign.database.name, unique("copy")

    def offline(*statements):
        """While nobody is connected and nobody may."""
        closed, opened = campaign.random.choice((("CONNECTION LIMIT 0", "CONNECTION LIMIT -1"),
                                                 ("ALLOW_CONNECTIONS false", "ALLOW_CONNECTIONS true")))
        campaign.database.close()
        Database.server(f"ALTER DATABASE {name} {closed}")
        Database.server(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'")
        for statement in statements:
            Database.server(statement)
        Database.server(f"ALTER DATABASE {name} {opened}")

    campaign.starting_may_say(name)
    offline(f"CREATE DATABASE {copy} TEMPLATE {name} OWNER sluice")
    before = count_of(campaign.database)
    eventually(lambda: campaign.keep_running() or count_of(campaign.database) > before + 100, "rows that the copy does not have")
    campaign.starting_may_say(name)
    offline(f"DROP DATABASE {name}", f"ALTER DATABASE {copy} RENAME TO {name}")


@contextlib.contextmanager
def small_disk(campaign):
    """Table t on a file system of its own; yields the file that fills it."""
    place, space = tempfile.mkdtemp(prefix="sluice-disk-"), unique("disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "sluice-test", place], check=True)
    try:
        os.mkdir(f"{place}/space")
        shutil.chown(f"{place}/space", "postgres")
        os.chmod(place, 0o755)
        Database.server(f"CREATE TABLESPACE {space} LOCATION '{place}/space'")
        try:
            campaign.database.sql(f"ALTER TABLE public.t SET TABLESPACE {space}", superuser=True)
            yield pathlib.Path(place, "ballast")
        finally:
            campaign.database.sql("ALTER TABLE public.t SET TABLESPACE pg_default", superuser=True)
            Database.server(f"DROP TABLESPACE {space}")
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
        os.rmdir(place)


def no_small_disk():
    """Why there can be none here; empty if there can."""
    if os.geteuid() != 0:
        return "it needs root"
    with tempfile.TemporaryDirectory() as place:
        tried = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "sluice-test", place], stderr=subprocess.PIPE, text=True,
                               check=False)
        if tried.returncode == 0:
            subprocess.run(["umount", place], check=True)
        return tried.stderr.strip()


@trouble
def disk_full(campaign):
    """Waited for, whose fault ever it is: no message's."""
    with small_disk(campaign) as ballast:
        before = campaign.said("53100")
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(65536))

        def somebody_waits():
            campaign.keep_running()
            return any(times > before.get(process, 0) for process, times in campaign.said("53100").items())

        eventually(somebody_waits, "somebody meets the full disk")
        campaign.end_feed()
        ballast.unlink()
        campaign.settle("there is room again")


def run_rounds(number, rounds):
    campaign = Campaign(number)
    seen = {}
    try:
        campaign.start()
        eventually(lambda: campaign.database.value("SELECT count(*) FROM sluice.ledger") == PARTITIONS, "the ledger")
        for turn in range(rounds):
            name = campaign.random.choice(ONLY or [name for name in sorted(TROUBLES) for _ in range(1 if name in SLOW else 4)])
            with campaign.feeding():
                time.sleep(campaign.random.uniform(0, 0.5))
                began = time.monotonic()
                TROUBLES[name](campaign)
                if name == "restart_kafka":
                    time.sleep(1)
            campaign.settle(f"round {turn} of {number}: {name} (seed {seed()})")
            seen.setdefault(name, []).append(time.monotonic() - began)
        check(campaign.sessions() <= 3 * 6, f"{campaign.sessions()} sessions after {rounds} rounds")
    finally:
        print(", ".join(f"{name} x{len(times)} ({max(times):.1f} s)" for name, times in sorted(seen.items())))
        campaign.close()


if reason := no_small_disk():
    print(f"left out: disk_full ({reason})")
    del TROUBLES["disk_full"]
for task in range(min(TASKS, ROUNDS)):
    add(f"rounds-{task}", lambda number=task: run_rounds(number, ROUNDS // TASKS + (number < ROUNDS % TASKS)))

if __name__ == "__main__":
    main()
