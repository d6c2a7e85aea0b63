"""Real Kafka, real PostgreSQL and the real program, for the tests of tests/cases, tests/integration and tests/chaos.

    from kit import *

    @test
    def survives_kill():
        topic = Topic(partitions=2)
        topic.produce([Message(value={"id": 1}, partition=0), b"not json"])
        with Database() as db:
            db.sql("CREATE TABLE t (id int)")
            with Sluice(task_for(topic, db, "t")) as sluice:
                eventually(lambda: db.rows("SELECT id FROM t") == [(1,)], "the row arrives")
                sluice.kill()

    main()

Everything has a unique name and is removed when its test ends, so tests may share the servers. The environment names
them (./test sets it): SLUICE_BIN, SLUICE_KAFKA, SLUICE_KAFKA_SASL, SLUICE_KAFKA_TLS, SLUICE_KAFKA_SASL_TLS,
SLUICE_KAFKA_CA, SLUICE_POSTGRES, SLUICE_POSTGRES_SUPER, SLUICE_POSTGRES_CA. There is no fixed sleep here: whatever must come true is polled for, to a
deadline. Runs under Debian's own Python (python3-confluent-kafka, python3-psycopg2, python3-yaml).
"""

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple, Union
from urllib.parse import urlsplit, urlunsplit

import confluent_kafka
import confluent_kafka.admin
import psycopg2
import yaml

from registry import Failure, add, main, rng, seed, test  # re-exported

__all__ = ["Failure", "add", "main", "rng", "seed", "test", "Message", "Topic", "Database", "Sluice", "Ended",
           "task_for", "eventually", "check", "check_equal", "kafka_settings", "kafka_tool", "dev", "PostgresServer", "unique",
           "SASL_USER", "root"]

root = pathlib.Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0
_QUIET = {"log_level": 2}  # what goes wrong is raised, not printed
SASL_USER = ("sluice", "sluice")
_counter = itertools.count()
_server_ports = itertools.count(int(os.environ.get("SLUICE_POSTGRES_PORT", "25432")) + 2_000)


def _environment(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise Failure(f"{name} is not set: run this through ./test, or after `./test up` and `set -a; "
                      "eval \"$(dev/kafka env)\"; eval \"$(dev/postgres env)\"`")
    return value


def unique(prefix: str = "t") -> str:
    """A name that no other test, process or earlier run uses; fits a topic, a database and a task."""
    return f"{prefix}_{os.getpid()}_{next(_counter)}_{os.urandom(3).hex()}"


# ---- assertions -------------------------------------------------------------------------------------------------------


def check(condition: Any, what: str) -> None:
    if not condition:
        raise Failure(what)


def check_equal(found: Any, expected: Any, what: str = "") -> None:
    if found != expected:
        raise Failure(f"{what + ': ' if what else ''}found {_short(found)}, expected {_short(expected)}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 600 else f"{text[:400]} ... {text[-150:]}"


def eventually(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Polls until condition() is true and returns its value; an exception in it counts as not yet."""
    end = time.monotonic() + deadline_s
    pause = 0.01
    while True:
        trouble: Optional[Exception] = None
        try:
            value = condition()
            if value:
                return value
        except Failure:
            raise
        except Exception as error:  # pylint: disable=broad-except
            trouble = error
        if time.monotonic() > end:
            raise Failure(f"not within {deadline_s:g} s: {what}" + (f" (last: {trouble})" if trouble else ""))
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


# ---- the servers ------------------------------------------------------------------------------------------------------


def dev(*arguments: str, deadline_s: float = 180, environment: Optional[Dict[str, str]] = None) -> str:
    """Runs a script of dev/, such as dev("kafka", "down"), on the servers of the tests; returns its output."""
    done = subprocess.run([str(root / "dev" / arguments[0]), *arguments[1:]], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=deadline_s, check=False,
                          env={**os.environ, **(environment or {})})
    if done.returncode != 0:
        raise Failure(f"dev/{' '.join(arguments)}: exit code {done.returncode}: {done.stdout.strip()[-500:]}")
    return done.stdout


class PostgresServer:
    """One more PostgreSQL, of a version, or a standby of the server at a URI; its data go at the end of `with`.

    use() makes it the server of the kit until the end of its `with`: Database, task_for and the like then mean it.
    """

    def __init__(self, version: str = "15", standby_of: str = ""):
        # Beside the ports of the tests: below those that Linux gives to clients.
        self.port = next(_server_ports)
        self._environment = {"SLUICE_VAR": f"{_environment('SLUICE_VAR')}/postgres-{self.port}",
                             "SLUICE_POSTGRES_PORT": str(self.port), "SLUICE_POSTGRES_VERSION": version}
        self._dev("reset")  # what an interrupted run may have left
        self._dev(*(("standby", standby_of) if standby_of else ("up",)), deadline_s=600)
        lines = dict(line.split("=", 1) for line in self._dev("env").splitlines() if line.startswith("SLUICE_"))
        self.environment = {name: shlex.split(value)[0] for name, value in lines.items()}
        self.super_uri = self.environment["SLUICE_POSTGRES_SUPER"]

    def _dev(self, *arguments: str, deadline_s: float = 180) -> str:
        return dev("postgres", *arguments, deadline_s=deadline_s, environment=self._environment)

    def __enter__(self) -> "PostgresServer":
        return self

    def __exit__(self, *_: Any) -> None:
        self._dev("reset")
        shutil.rmtree(self._environment["SLUICE_VAR"], ignore_errors=True)

    def crash(self) -> None:
        self._dev("down", "immediate")

    def up(self) -> None:
        self._dev("up")

    def promote(self) -> None:
        self._dev("promote")

    @contextlib.contextmanager
    def use(self):
        before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            yield self
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def kafka_tool(*arguments: str) -> str:
    """One of Kafka's own tools (about 2 s): kafka_tool("acls", "--add", "--allow-principal", "User:guest", ...)."""
    return dev("kafka", "tool", *arguments)


def kafka_settings(listener: str = "plain", mechanism: str = "SCRAM-SHA-256",
                   user: Tuple[str, str] = SASL_USER) -> Dict[str, str]:
    """librdkafka's properties for a listener of dev/kafka: plain, sasl (PLAIN or SCRAM-SHA-256/512), tls or sasl_tls."""
    if listener == "plain":
        return {"bootstrap.servers": _environment("SLUICE_KAFKA")}
    if listener in ("sasl", "sasl_tls"):
        if mechanism.startswith("SCRAM") and confluent_kafka.libversion()[1] < 0x02060100:
            raise Failure(f"librdkafka {confluent_kafka.libversion()[0]}, like all before 2.6.1, cannot speak SCRAM with "
                          "Kafka 4 (it repeats its nonce); ./test puts the newer one on LD_LIBRARY_PATH")
        login = {"sasl.mechanism": mechanism, "sasl.username": user[0], "sasl.password": user[1]}
        if listener == "sasl_tls":
            return {"bootstrap.servers": _environment("SLUICE_KAFKA_SASL_TLS"), "security.protocol": "sasl_ssl",
                    "ssl.ca.location": _environment("SLUICE_KAFKA_CA"), **login}
        return {"bootstrap.servers": _environment("SLUICE_KAFKA_SASL"), "security.protocol": "sasl_plaintext", **login}
    if listener == "tls":
        return {"bootstrap.servers": _environment("SLUICE_KAFKA_TLS"), "security.protocol": "ssl",
                "ssl.ca.location": _environment("SLUICE_KAFKA_CA")}
    raise ValueError(f"no listener {listener}")


@dataclasses.dataclass
class Message:
    """One record to produce. A value that is neither bytes nor None is written as JSON; text is written as it is."""

    value: Any = None
    key: Union[bytes, str, None] = None
    headers: Sequence[Tuple[str, Optional[bytes]]] = ()
    timestamp_ms: int = 0  # 0: now
    partition: int = -1  # -1: by key

    def bytes(self) -> Optional[bytes]:
        if self.value is None or isinstance(self.value, bytes):
            return self.value
        if isinstance(self.value, str):
            return self.value.encode()
        return json.dumps(self.value, ensure_ascii=False, separators=(",", ":")).encode()


_admin_client: Optional[confluent_kafka.admin.AdminClient] = None


def _admin() -> confluent_kafka.admin.AdminClient:
    global _admin_client
    if _admin_client is None:
        _admin_client = confluent_kafka.admin.AdminClient({**kafka_settings(), **_QUIET})
    return _admin_client


class Topic:
    """A topic of its own. Left behind when the test ends (the folder of the servers is throw-away), unless deleted."""

    def __init__(self, partitions: int = 1, name: str = "", config: Optional[Dict[str, str]] = None):
        self.name = name or unique("topic")
        self.config = dict(config or {})
        self._producer: Optional[confluent_kafka.Producer] = None
        self.create(partitions)

    def create(self, partitions: int = 1) -> None:
        """Creates it; again after delete(). Waits until every partition has a leader."""
        self.partitions = partitions

        def created() -> bool:
            request = confluent_kafka.admin.NewTopic(self.name, partitions, 1, config=self.config)
            try:
                _admin().create_topics([request], operation_timeout=10)[self.name].result(20)
                return True
            except confluent_kafka.KafkaException as error:
                if error.args[0].code() == confluent_kafka.KafkaError.TOPIC_ALREADY_EXISTS:
                    return False  # the one that was just deleted is still going
                raise

        eventually(created, f"topic {self.name} is created")
        self._await_partitions()

    def _await_partitions(self) -> None:
        def ready() -> bool:
            metadata = _admin().list_topics(self.name, timeout=10).topics[self.name]
            return (len(metadata.partitions) == self.partitions
                    and all(partition.leader >= 0 for partition in metadata.partitions.values()))

        eventually(ready, f"{self.partitions} partitions of topic {self.name} have leaders")
        self.watermarks()  # metadata may be ahead of the broker, which then still refuses for an instant

    def delete(self) -> None:
        _admin().delete_topics([self.name], operation_timeout=10)[self.name].result(20)
        eventually(lambda: self.name not in _admin().list_topics(timeout=10).topics, f"topic {self.name} is gone")

    def add_partitions(self, total: int) -> None:
        request = confluent_kafka.admin.NewPartitions(self.name, total)
        _admin().create_partitions([request], operation_timeout=10)[self.name].result(20)
        self.partitions = total
        self._await_partitions()
        self._producer = None  # it may not know the new ones yet

    def delete_records(self, before: Dict[int, int]) -> None:
        """Removes what lies before an offset, by partition, as retention does."""
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump({"version": 1, "partitions": [{"topic": self.name, "partition": partition, "offset": offset}
                                                    for partition, offset in before.items()]}, file)
            file.flush()
            kafka_tool("delete-records", "--offset-json-file", file.name)

    def produce(self, messages: Iterable[Any], compression: str = "none", **settings: Any) -> List[Tuple[int, int]]:
        """Writes them in order and waits for the broker; returns partition and offset of each.

        What is not a Message becomes the value of one. Messages of a partition stay in order.
        """
        if compression == "none" and not settings:
            if self._producer is None:
                self._producer = self._new_producer({})
            return self._write(self._producer, messages)
        return self._write(self._new_producer({"compression.type": compression, **settings}), messages)

    @contextlib.contextmanager
    def transaction(self, transactional_id: str = ""):
        """A transaction: `with topic.transaction() as t: t.produce(...)`. t.abort() inside ends it by an abort."""
        producer = self._new_producer({"transactional.id": transactional_id or unique("tx")})
        producer.init_transactions(30)
        producer.begin_transaction()
        transaction = Transaction(self, producer)
        try:
            yield transaction
        except BaseException:
            producer.abort_transaction(30)
            raise
        if transaction.aborted:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)

    def watermarks(self) -> Dict[int, Tuple[int, int]]:
        """First offset, and the one after the last, by partition."""
        return eventually(self._watermarks, f"the broker tells the offsets of topic {self.name}")

    def _watermarks(self) -> Dict[int, Tuple[int, int]]:
        consumer = confluent_kafka.Consumer({**kafka_settings(), "group.id": "kit-watermarks", **_QUIET})
        try:
            return {partition: consumer.get_watermark_offsets(confluent_kafka.TopicPartition(self.name, partition), 10)
                    for partition in range(self.partitions)}
        finally:
            consumer.close()

    def consume(self, settings: Optional[Dict[str, str]] = None,
                deadline_s: float = DEADLINE_S) -> List[confluent_kafka.Message]:
        """What a read_committed reader finds from the beginning to the end as it is now."""
        consumer = confluent_kafka.Consumer({**(settings or kafka_settings()), "group.id": unique("kit"),
                                             "enable.auto.commit": False, "enable.partition.eof": True,
                                             "isolation.level": "read_committed", **_QUIET})
        found: List[confluent_kafka.Message] = []
        ended = set()
        end = time.monotonic() + deadline_s
        try:
            consumer.assign([confluent_kafka.TopicPartition(self.name, partition, confluent_kafka.OFFSET_BEGINNING)
                             for partition in range(self.partitions)])
            while len(ended) < self.partitions:
                check(time.monotonic() < end, f"topic {self.name} was not read to its end within {deadline_s:g} s")
                message = consumer.poll(0.5)
                if message is None:
                    continue
                error = message.error()
                if error is None:
                    found.append(message)
                elif error.code() == confluent_kafka.KafkaError._PARTITION_EOF:  # pylint: disable=protected-access
                    ended.add(message.partition())
                else:
                    raise Failure(f"reading {self.name}: {error}")
        finally:
            consumer.close()
        return found

    @staticmethod
    def _new_producer(settings: Dict[str, Any]) -> confluent_kafka.Producer:
        return confluent_kafka.Producer({**kafka_settings(), "linger.ms": 1, "acks": "all", "enable.idempotence": True,
                                         "message.max.bytes": 10_000_000, **_QUIET, **settings})

    def _write(self, producer: confluent_kafka.Producer, messages: Iterable[Any]) -> List[Tuple[int, int]]:
        written: List[Tuple[int, int]] = []
        trouble: List[Any] = []
        places: Dict[int, Tuple[int, int]] = {}

        def delivered(number: int) -> Callable[[Any, Any], None]:
            def callback(error: Any, message: Any) -> None:
                if error is not None:
                    trouble.append(error)
                else:
                    places[number] = (message.partition(), message.offset())
            return callback

        count = 0
        for count, item in enumerate(messages, 1):
            message = item if isinstance(item, Message) else Message(value=item)
            options: Dict[str, Any] = {"partition": message.partition} if message.partition >= 0 else {}
            if message.timestamp_ms:
                options["timestamp"] = message.timestamp_ms
            if message.headers:
                options["headers"] = list(message.headers)
            while True:
                try:
                    producer.produce(self.name, value=message.bytes(), key=message.key, on_delivery=delivered(count),
                                     **options)
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        left = producer.flush(DEADLINE_S)
        check(not left and not trouble, f"producing to {self.name}: {left} unsent, errors {trouble[:3]}")
        written.extend(places[number] for number in range(1, count + 1))
        return written


class Transaction:
    """What Topic.transaction yields."""

    def __init__(self, topic: Topic, producer: confluent_kafka.Producer):
        self._topic = topic
        self._producer = producer
        self.aborted = False

    def produce(self, messages: Iterable[Any], topic: Optional[Topic] = None) -> List[Tuple[int, int]]:
        return (topic or self._topic)._write(self._producer, messages)  # pylint: disable=protected-access

    def abort(self) -> None:
        self.aborted = True


class Database:
    """A database of its own, owned by user sluice; dropped at the end of `with`, whoever is connected to it."""

    def __init__(self, name: str = "", owner: str = "sluice"):
        self.name = name or unique("db")
        self._connections: Dict[str, Any] = {}
        self.server(f'CREATE DATABASE "{self.name}" OWNER "{owner}"')
        self.uri = self._with_database(_environment("SLUICE_POSTGRES"))
        self.super_uri = self._with_database(_environment("SLUICE_POSTGRES_SUPER"))

    def follow(self) -> None:
        """The same database on the server that is in use now (PostgresServer.use): after a failover."""
        self.close()
        self.uri = self._with_database(_environment("SLUICE_POSTGRES"))
        self.super_uri = self._with_database(_environment("SLUICE_POSTGRES_SUPER"))

    def _with_database(self, uri: str) -> str:
        return urlunsplit(urlsplit(uri)._replace(path="/" + self.name))

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
        try:
            self.server(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')
        except psycopg2.errors.SyntaxError:  # pylint: disable=no-member
            # PostgreSQL 12 cannot force it.
            self.server(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'")
            eventually(lambda: self.server(f'DROP DATABASE IF EXISTS "{self.name}"') is None, f"{self.name} is dropped")

    def close(self) -> None:
        for connection in self._connections.values():
            with contextlib.suppress(psycopg2.Error):
                connection.close()
        self._connections.clear()

    @staticmethod
    def server(sql: str) -> None:
        """As the superuser, outside any database of a test: roles, databases, settings."""
        connection = psycopg2.connect(_environment("SLUICE_POSTGRES_SUPER"), connect_timeout=10)
        try:
            connection.autocommit = True
            connection.cursor().execute(sql)
        finally:
            connection.close()

    def uri_of(self, user: str, password: str) -> str:
        parts = urlsplit(self.uri)
        return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.hostname}:{parts.port}"))

    def connect(self, superuser: bool = False):
        """A connection of the caller's own, in autocommit."""
        connection = psycopg2.connect(self.super_uri if superuser else self.uri, connect_timeout=10)
        connection.autocommit = True
        return connection

    def sql(self, statements: str, values: Any = None, superuser: bool = False) -> List[Tuple[Any, ...]]:
        """Runs statements as user sluice and returns the rows of the last one ([] if it has none)."""
        uri = self.super_uri if superuser else self.uri
        connection = self._connections.get(uri)
        if connection is None or connection.closed:
            connection = self._connections[uri] = self.connect(superuser)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statements, values)
                return cursor.fetchall() if cursor.description else []
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            connection.close()  # the server went away: the next call connects anew
            raise

    rows = sql

    def value(self, query: str, values: Any = None) -> Any:
        found = self.sql(query, values)
        check(len(found) == 1 and len(found[0]) == 1, f"one value expected of: {query}; found {_short(found)}")
        return found[0][0]

    def text(self, query: str) -> str:
        """The rows as PostgreSQL itself prints them (COPY TO in CSV): the form in which two paths are compared."""
        import io  # pylint: disable=import-outside-toplevel
        out = io.StringIO()
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.copy_expert(f"COPY ({query}) TO STDOUT WITH (FORMAT csv, NULL 'NULL')", out)
        finally:
            connection.close()
        return out.getvalue()

    @contextlib.contextmanager
    def host_rules(self, *lines: str):
        """Replaces pg_hba.conf by these lines plus one that lets the superuser in, until the end of `with`."""
        server = psycopg2.connect(_environment("SLUICE_POSTGRES_SUPER"), connect_timeout=10)
        server.autocommit = True
        with server.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE kit_hba (number serial, line text)")
            cursor.execute("SELECT setting, pg_read_file(setting) FROM pg_settings WHERE name = 'hba_file'")
            file, before = cursor.fetchone()

            def load_time() -> Any:
                cursor.execute("SELECT pg_conf_load_time()")
                return cursor.fetchone()[0]

            def write(text: str) -> None:
                loaded = load_time()
                cursor.execute("TRUNCATE kit_hba RESTART IDENTITY")
                cursor.executemany("INSERT INTO kit_hba (line) VALUES (%s)", [(line,) for line in text.splitlines()])
                cursor.execute(f"COPY (SELECT line FROM kit_hba ORDER BY number) TO '{file}'")
                cursor.execute("SELECT pg_reload_conf()")
                # The server tells its backends while it handles the signal, and takes no connection before it is done.
                eventually(lambda: load_time() != loaded, "pg_hba.conf is read again")

            try:
                method = "scram-sha-256" if server.server_version >= 100000 else "md5"
                write("\n".join([f"host all postgres 127.0.0.1/32 {method}", *lines]))
                yield
            finally:
                write(before)
                server.close()


# ---- the program ------------------------------------------------------------------------------------------------------


def task_for(topic: Union[Topic, Sequence[Topic]], database: Database, table: str, **sections: Any) -> Dict[str, Any]:
    """A task document for these; sections are merged into it, one level deep: sync={"write": "upsert"}, name="x"."""
    topics = [topic] if isinstance(topic, Topic) else list(topic)
    document: Dict[str, Any] = {
        "name": unique("task"),
        "source": {"kafka": {**kafka_settings(), "session.timeout.ms": "2000", "heartbeat.interval.ms": "500"},
                   "topics": [each.name for each in topics], "start": "earliest"},
        "target": {"postgres": database.uri, "table": table},
        "sync": {"mode": "mapping", "write": "insert"},
    }
    for key, value in sections.items():
        if isinstance(value, dict) and isinstance(document.get(key), dict):
            document[key] = {**document[key], **value}
        else:
            document[key] = value
    return document


@dataclasses.dataclass
class Ended:
    """How a run of the program ended."""

    code: int  # negative: by that signal
    out: str
    err: str
    seconds: float
    summary: Optional[Dict[str, Any]] = None

    def expect(self, code: int, *texts: str) -> "Ended":
        """The exit code is this, and the output has each of these texts."""
        output = self.out + self.err
        check(self.code == code, f"exit code {self.code}, expected {code}: {_short(output[-1500:])}")
        for text in texts:
            check(text in output, f"'{text}' is not in the output: {_short(output[-1500:])}")
        check("ERROR: AddressSanitizer" not in output and "runtime error:" not in output,
              f"a sanitizer found something: {output[-3000:]}")
        return self


class Sluice:
    """A process of the program with its task file; `with` ends it by SIGKILL if it still runs.

    command run takes `--until-end` and others as extra arguments. environment holds additions, such as fail points.
    """

    def __init__(self, document: Union[Dict[str, Any], str, pathlib.Path, None], *arguments: str, command: str = "run",
                 environment: Optional[Dict[str, str]] = None, summary: bool = False):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-test-"))
        self._summary = self.folder / "summary.json"
        line = [_environment("SLUICE_BIN"), *command.split()]
        if isinstance(document, dict):
            self.file = self.folder / "task.yaml"
            self.file.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
            self.file.chmod(0o600)
            line.append(str(self.file))
        elif document is not None:
            line.append(str(document))
        line += arguments
        if summary:
            line += ["--summary", str(self._summary)]
        self._started = time.monotonic()
        self._out: List[str] = []
        self._err: List[str] = []
        self.process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env={**os.environ, **(environment or {})}, cwd=self.folder)
        self._readers = [threading.Thread(target=self._read, args=pair, daemon=True)
                         for pair in ((self.process.stdout, self._out), (self.process.stderr, self._err))]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream: Any, into: List[str]) -> None:
        for line in iter(stream.readline, b""):
            into.append(line.decode(errors="replace"))

    def __enter__(self) -> "Sluice":
        return self

    def __exit__(self, *_: Any) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for reader in self._readers:
            reader.join(5)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def out(self) -> str:
        return "".join(self._out)

    @property
    def err(self) -> str:
        return "".join(self._err)

    def running(self) -> bool:
        return self.process.poll() is None

    def wait(self, deadline_s: float = DEADLINE_S) -> Ended:
        """Until it ends by itself."""
        try:
            code = self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise Failure(f"still running after {deadline_s:g} s: {_short((self.out + self.err)[-1500:])}") from None
        for reader in self._readers:
            reader.join(10)
        summary = None
        if self._summary.exists():
            summary = json.loads(self._summary.read_text(encoding="utf-8"))
        return Ended(code, self.out, self.err, time.monotonic() - self._started, summary)

    def wait_for(self, condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
        """As eventually, but fails at once, with its output, if the process ends before."""
        def polled() -> Any:
            value = condition()
            if not value and not self.running():
                value = condition()  # it may have come true just before the end
                if not value:
                    output = (self.out + self.err)[-1500:]
                    raise Failure(f"it ended with code {self.process.returncode} before: {what}: {output}")
            return value
        return eventually(polled, what, deadline_s)

    def wait_output(self, text: str, deadline_s: float = DEADLINE_S) -> None:
        self.wait_for(lambda: text in self.out or text in self.err, f"'{text}' in the output", deadline_s)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self, deadline_s: float = 15) -> Ended:
        """SIGTERM, and its orderly end: the promise is 10 s."""
        self.signal(signal.SIGTERM)
        return self.wait(deadline_s)

    def kill(self) -> Ended:
        self.signal(signal.SIGKILL)
        return self.wait(10)

    @staticmethod
    def run(document: Union[Dict[str, Any], str, pathlib.Path, None], *arguments: str, command: str = "run",
            environment: Optional[Dict[str, str]] = None, deadline_s: float = DEADLINE_S) -> Ended:
        """From start to end: Sluice.run(task, "--until-end"), Sluice.run(task, command="check")."""
        with Sluice(document, *arguments, command=command, environment=environment, summary=command == "run") as sluice:
            return sluice.wait(deadline_s)


if __name__ == "__main__":
    sys.exit("a library; see its first lines")
