"""Failover to a standby that lags behind, by real streaming replication: what never reached it is written again, once."""

import contextlib
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import


class Pair:
    """A primary in use, and a standby that follows it until cut_off(); clients reach the primary through `front`."""

    def __init__(self, stack):
        self._stack = stack
        self.primary = stack.enter_context(PostgresServer())
        stack.enter_context(self.primary.use())
        self._wire = stack.enter_context(Proxy(("127.0.0.1", self.primary.port)))
        self.standby = stack.enter_context(
            PostgresServer(standby_of=self.primary.super_uri.replace(f":{self.primary.port}/", f":{self._wire.port}/")))
        self.front = stack.enter_context(Proxy(("127.0.0.1", self.primary.port)))

    def cut_off(self, db):
        """From here on the standby learns nothing more, and it has everything up to here."""
        at = db.sql("SELECT pg_current_wal_flush_lsn()", superuser=True)[0][0]
        eventually(lambda: db.sql("SELECT replay_lsn >= %s FROM pg_stat_replication", (at,), superuser=True)[0][0],
                   "the standby follows")
        self._wire.close()

    def fail_over(self, databases):
        """The primary is gone, the standby takes its place and its address."""
        self.front.close()
        self.primary.crash()
        self.standby.promote()
        self._stack.enter_context(self.standby.use())
        for db in databases:
            db.follow()
        self.front.lead_to(("127.0.0.1", self.standby.port))


def by_front(servers, db):
    return db.uri.replace(f":{servers.primary.port}/", f":{servers.front.port}/")


def by_list(servers, db):
    """Both servers' addresses; libpq finds the one that takes writes."""
    return db.uri.replace(f":{servers.primary.port}/", f":{servers.primary.port},127.0.0.1:{servers.standby.port}/") + (
        "?target_session_attrs=read-write")


@test
def failover_while_tasks_run():
    """Three tasks: two processes behind one address, a list of hosts, and an edit that the standby never saw."""
    with contextlib.ExitStack() as stack:
        servers = Pair(stack)
        databases = one_address, listed, edited = Database(), Database(), Database()  # they go with their servers
        for db in databases:
            stack.callback(db.close)
        topics = {db: Topic(partitions=2) for db in databases}
        documents = {db: numbered(topics[db], db, tuning={**SMALL, "lanes": 1}, on_failure="deliver") for db in databases}
        for db in databases:
            db.sql(TABLE)
            documents[db]["target"]["postgres"] = by_list(servers, db) if db is listed else by_front(servers, db)
        until_end(documents[edited])
        feeds = {db: stack.enter_context(Feed(topics[db])) for db in databases}
        first = stack.enter_context(Sluice(documents[one_address]))
        processes = {one_address: [first, stack.enter_context(Sluice(documents[one_address]))],
                     listed: [stack.enter_context(Sluice(documents[listed]))]}
        for db in (one_address, listed):
            first.wait_for(lambda: count_of(db) > 200, "the first rows")  # pylint: disable=cell-var-from-loop
        servers.cut_off(one_address)
        late = {**documents[edited], "on_failure": "discard"}
        processes[edited] = [stack.enter_context(Sluice(late))]
        goals = {db: count_of(db) + 400 for db in databases}
        for db in databases:
            first.wait_for(lambda: count_of(db) >= goals[db], "rows that the standby never sees")  # pylint: disable=cell-var-from-loop
        servers.fail_over(databases)
        for db in databases:
            check(count_of(db) < goals[db], "the standby was not behind")
        servers.front.open()

        ended = processes[edited][0].wait(60).expect(1)
        check("another document" in ended.err, f"no reason in {ended.err[-800:]}")
        rows = {db: feeds[db].end() for db in databases}
        until_end(documents[edited], deadline_s=90)
        check_rows(edited, rows[edited], "by the document that the standby knows")
        for db in (one_address, listed):
            await_rows(processes[db][0], db, rows[db], "on the server that was the standby", 90)
            check(any("ledger_behind" in process.err for process in processes[db]),
                  f"nobody noticed that the position went back: {processes[db][0].err[-1500:]}")
            for process in processes[db]:
                process.stop().expect(143)
        for db in databases:
            check_rows(db, rows[db], "at the end")
            check_equal(db.value("SELECT count(*) FROM sluice.dead_letter"), 0, "dead letters")
            check_equal(ledger(db, documents[db]), {(topics[db].name, each): end for each, end in ends(topics[db]).items()})


main()
