"""What the tests with a live Debezium share: sources, what captures them, tasks that are killed while they follow.

./test live starts what they need beside Kafka and PostgreSQL: dev/debezium and dev/mariadb. The source PostgreSQL is another
database of the same server.
"""

import collections
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any, Callable, Dict, List, Sequence, Tuple
from urllib.parse import urlsplit

import psycopg2
import pymysql

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import

JSON_CONVERTER = "org.apache.kafka.connect.json.JsonConverter"
MARKER = "live_marker"  # a table that is captured with the others: a row in it lets the source's position move on


class PostgresSource:
    """A database whose changes Debezium reads, on the server of the tests."""

    def __init__(self, database: Database):
        self.database = database
        self.schema = "public"
        database.sql(f"CREATE TABLE public.{MARKER} (n serial PRIMARY KEY)")

    def properties(self, name: str, tables: Sequence[str]) -> Dict[str, str]:
        uri = urlsplit(self.database.super_uri)
        return {"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "plugin.name": "pgoutput",
                "database.hostname": uri.hostname, "database.port": str(uri.port), "database.user": uri.username,
                "database.password": uri.password, "database.dbname": self.database.name, "slot.name": name,
                "publication.name": name, "publication.autocreate.mode": "filtered",
                "table.include.list": ",".join(f"public.{table}" for table in tables)}

    def forget(self, name: str) -> None:
        """A database with a slot cannot be dropped; the connector's last connection may still be ending."""
        eventually(lambda: self.database.sql(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", (name,),
            superuser=True) is not None, f"slot {name} is dropped")

    def mark(self) -> None:
        self.database.sql(f"INSERT INTO public.{MARKER} DEFAULT VALUES")

    def position(self) -> int:
        return int(self.database.value("SELECT pg_current_wal_lsn() - '0/0'"))

    @staticmethod
    def position_in(offset: Dict[str, Any]) -> int:
        return offset.get("lsn") or 0


class MariaDbSource:
    """A database of its own in the server of dev/mariadb; dropped at the end of `with`."""

    def __init__(self):
        lines = dict(line.split("=", 1) for line in dev("mariadb", "env").splitlines())
        host, port = lines["SLUICE_MARIADB"].split(":")
        self._address = {"host": host, "port": int(port), "user": "sluice", "password": "sluice", "charset": "utf8mb4"}
        self.name = self.schema = unique("live")
        self._connection = pymysql.connect(**self._address, autocommit=True)
        self.sql(f"CREATE DATABASE {self.name}")
        self.sql(f"CREATE TABLE {self.name}.{MARKER} (n int AUTO_INCREMENT PRIMARY KEY)")

    def __enter__(self) -> "MariaDbSource":
        return self

    def __exit__(self, *_: Any) -> None:
        self.sql(f"DROP DATABASE {self.name}")
        self._connection.close()

    def connect(self):
        return pymysql.connect(**self._address, database=self.name)

    def sql(self, statement: str) -> List[Tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def properties(self, name: str, tables: Sequence[str]) -> Dict[str, str]:
        return {"connector.class": "io.debezium.connector.mariadb.MariaDbConnector", "database.hostname": self._address["host"],
                "database.port": str(self._address["port"]), "database.user": "sluice", "database.password": "sluice",
                "database.server.id": str(10_000 + abs(hash(name)) % 1_000_000), "database.include.list": self.name,
                "schema.history.internal.kafka.bootstrap.servers": kafka_settings()["bootstrap.servers"],
                "schema.history.internal.kafka.topic": f"{name}.history", "include.schema.changes": "false",
                "table.include.list": ",".join(f"{self.name}.{table}" for table in tables)}

    def forget(self, name: str) -> None:
        """Nothing stays in the source."""

    def mark(self) -> None:
        self.sql(f"INSERT INTO {self.name}.{MARKER} VALUES ()")

    def position(self) -> Tuple[str, int]:
        file, offset = self.sql("SHOW MASTER STATUS")[0][:2]
        return file, offset

    @staticmethod
    def position_in(offset: Dict[str, Any]) -> Tuple[str, int]:
        return offset.get("file") or "", offset.get("pos") or 0


class Capture:
    """A connector on tables of a source, with a topic for each, until the end of `with`. tables: name -> partitions."""

    def __init__(self, source: Any, tables: Dict[str, int], schemas: bool, **properties: str):
        self.source, self.name = source, unique("live")
        self.topics = {table: Topic(partitions=partitions, name=f"{self.name}.{source.schema}.{table}")
                       for table, partitions in {**tables, MARKER: 1}.items()}
        self._properties = {"name": self.name, "tasks.max": "1", "topic.prefix": self.name, "skipped.operations": "none",
                            # Without a class of its own a connector has the worker's converters, and these say nothing.
                            "key.converter": JSON_CONVERTER, "value.converter": JSON_CONVERTER,
                            "key.converter.schemas.enable": str(schemas).lower(),
                            "value.converter.schemas.enable": str(schemas).lower(),
                            "value.converter.replace.null.with.default": "false",
                            **source.properties(self.name, list(self.topics)),
                            **{name.replace("_", "."): value for name, value in properties.items()}}

    def __enter__(self) -> "Capture":
        self.add()
        return self

    def __exit__(self, *_: Any) -> None:
        dev("debezium", "remove", self.name)
        self.source.forget(self.name)

    def crash(self) -> None:
        """Debezium ends as by kill -9. What it had not kept the position of comes again, once it is added again."""
        os.kill(int(dev("debezium", "pid")), signal.SIGKILL)
        eventually(lambda: subprocess.run([root / "dev/debezium", "status"], stderr=subprocess.DEVNULL, check=False).returncode,
                   "Debezium is gone")

    def add(self) -> None:
        dev("debezium", "up")
        with tempfile.NamedTemporaryFile("w", suffix=".properties") as file:
            file.write("".join(f"{name}={value}\n" for name, value in self._properties.items()))
            file.flush()
            dev("debezium", "add", file.name)

    def await_all(self, deadline_s: float = 300) -> None:
        """Until all that is committed at the source by now is in Kafka. A connector's position moves with events only."""
        wanted = self.source.position()

        def reached() -> bool:
            self.source.mark()
            offsets = json.loads(dev("debezium", "offsets", self.name))["offsets"]
            return bool(offsets) and self.source.position_in(offsets[0]["offset"]) >= wanted

        eventually(reached, f"connector {self.name} has written everything up to {wanted} to Kafka", deadline_s)


def mirror_task(topic: Topic, database: Database, table: str, **sync: Any) -> Dict[str, Any]:
    document = task_for(topic, database, f"public.{table}", sync={"mode": "mirror", **sync})
    document["sync"].pop("write")
    document["source"]["kafka"].update(QUICK_SESSION)
    return document


class Followers:
    """Tasks that run, each killed (kill -9) and started again at random moments, until the end of `with`.

    kills counts those before which the task had committed something since its start.
    """

    def __init__(self, database: Database, documents: Sequence[Dict[str, Any]], random: Any):
        self._database = database
        self._stop = threading.Event()
        self._troubles: List[BaseException] = []
        self.kills = 0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._follow, args=(document, type(random)(random.random())), daemon=True)
                         for document in documents]

    def _applied(self, document: Dict[str, Any]) -> int:
        with contextlib.closing(self._database.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('sluice.ledger') IS NOT NULL")
            if not cursor.fetchone()[0]:
                return 0
            cursor.execute("SELECT coalesce(sum(next_offset), 0) FROM sluice.ledger WHERE task = %s", (document["name"],))
            return int(cursor.fetchone()[0])

    def _follow(self, document: Dict[str, Any], random: Any) -> None:
        before = 0
        try:
            while not self._stop.is_set():
                with Sluice(document) as sluice:
                    if random.random() < 0.25:
                        self._stop.wait(random.uniform(0, 1.5))  # killed while it starts
                    else:
                        while self._applied(document) <= before and not self._stop.wait(0.05):
                            check(sluice.running(), f"it ended by itself: {(sluice.out + sluice.err)[-1500:]}")
                        self._stop.wait(random.uniform(0, 0.5))  # the moment of the crash
                    check(sluice.running(), f"it ended by itself: {(sluice.out + sluice.err)[-1500:]}")
                    sluice.kill()
                after = self._applied(document)
                with self._lock:
                    self.kills += after > before
                before = after
        except BaseException as trouble:  # pylint: disable=broad-except
            self._troubles.append(trouble)

    def await_kills(self, wanted: int, load: Callable[[], None]) -> None:
        """More load, once at least, until so many tasks were killed."""
        end = time.monotonic() + 180
        while True:
            load()
            if self.kills >= wanted:
                return
            if self._troubles:
                raise self._troubles[0]
            check(time.monotonic() < end, f"only {self.kills} kills of tasks that had done something")

    def __enter__(self) -> "Followers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        if self._troubles:
            raise self._troubles[0]


def to_the_end(capture: Capture, topic: Topic, database: Database, document: Dict[str, Any]) -> None:
    """Everything that is in the topic is applied, and the task itself says so."""
    until_end(document, deadline_s=300)
    Sluice.run(document, command="verify").expect(0)
    check_equal(ledger(database, document), {(topic.name, each): end for each, end in ends(topic).items()}, "the ledger")
    check(sum(ends(topic).values()) > 0, f"no change of {topic.name} was captured by {capture.name}")


def checksum(database: Database, table: str) -> Tuple[int, Any]:
    """Rows, and a sum over the hash of each: equal for equal rows in any order, doubled ones counted."""
    return database.rows(f"SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM public.{table} t")[0]


def check_same(source: Database, target: Database, table: str, why: str = "") -> None:
    """The table is the same in both databases; if not, what differs is said."""
    wanted, found = checksum(source, table), checksum(target, table)
    if wanted == found:
        return
    wanted_rows, found_rows = (collections.Counter(text for text, in each.rows(f"SELECT left(t::text, 150) || '#' || md5(t::text) FROM public.{table} t"))
                               for each in (source, target))
    raise Failure(f"{why}table {table}: {found[0]} rows at the target, {wanted[0]} at the source; only at the target "
                  f"{list((found_rows - wanted_rows).items())[:4]}, only at the source "
                  f"{list((wanted_rows - found_rows).items())[:4]}")


# ---- random changes --------------------------------------------------------------------------------------------------------


class Changes:
    """Random transactions on table `t` with key `id`, over a connection of psycopg2 or pymysql.

    values: column -> what makes a value for it; the big ones are set in some updates only. upsert: what follows the column
    list of an INSERT whose row may be there. Keys are few, so that the same rows are met again and again.
    """

    KEYS = 60

    def __init__(self, connection: Any, random: Any, values: Dict[str, Callable[[Any], Any]], upsert: str):
        self._connection, self._random, self._values, self._upsert = connection, random, values, upsert
        self._actions = {self._insert: 300, self._update: 350, self._delete: 120, self._put: 60, self._same: 30}

    def with_changes_of_keys(self) -> "Changes":
        self._actions.update({self._move: 80, self._swap: 40})
        return self

    def run(self, transactions: int, truncates: bool = False) -> None:
        weights = {**self._actions, **({self._truncate: 1} if truncates else {})}
        for _ in range(transactions):
            with self._connection.cursor() as cursor:
                for action in self._random.choices(list(weights), weights.values(), k=self._random.randint(1, 6)):
                    action(cursor)
            if self._random.random() < 0.1:
                self._connection.rollback()
            else:
                self._connection.commit()

    def _keys(self, cursor: Any) -> List[int]:
        cursor.execute("SELECT id FROM t ORDER BY id")
        return [key for key, in cursor.fetchall()]

    def _free(self, cursor: Any) -> int:
        return self._random.choice(sorted(set(range(1, self.KEYS + 1)) - set(self._keys(cursor))) or [0])

    def _taken(self, cursor: Any) -> int:
        return self._random.choice(self._keys(cursor) or [0])

    def _row(self, key: int) -> List[Any]:
        return [key, *(make(self._random) for make in self._values.values())]

    def _write(self, cursor: Any, key: int, clause: str = "") -> None:
        names = ["id", *self._values]
        cursor.execute(f"INSERT INTO t ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))}) {clause}", self._row(key))

    def _insert(self, cursor: Any) -> None:
        key = self._free(cursor)
        if key:
            self._write(cursor, key)

    def _put(self, cursor: Any) -> None:
        self._write(cursor, self._random.randint(1, self.KEYS), self._upsert)

    def _update(self, cursor: Any) -> None:
        names = self._random.sample(sorted(self._values), self._random.randint(1, 2))
        cursor.execute(f"UPDATE t SET {', '.join(f'{name} = %s' for name in names)} WHERE id = %s",
                       [*(self._values[name](self._random) for name in names), self._taken(cursor)])

    def _delete(self, cursor: Any) -> None:
        cursor.execute("DELETE FROM t WHERE id = %s", (self._taken(cursor),))

    def _move(self, cursor: Any) -> None:
        key = self._free(cursor)
        if key:
            cursor.execute("UPDATE t SET id = %s WHERE id = %s", (key, self._taken(cursor)))

    def _swap(self, cursor: Any) -> None:
        one, two = self._taken(cursor), self._taken(cursor)
        for new, old in ((-1, one), (one, two), (two, -1)):
            if one != two:
                cursor.execute("UPDATE t SET id = %s WHERE id = %s", (new, old))

    def _same(self, cursor: Any) -> None:
        cursor.execute("UPDATE t SET id = id WHERE id = %s", (self._taken(cursor),))

    @staticmethod
    def _truncate(cursor: Any) -> None:
        cursor.execute("TRUNCATE TABLE t")


if __name__ == "__main__":
    sys.exit("a library; see its first lines")
