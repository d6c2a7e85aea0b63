"""What the tests of the running program share, on top of kit: oracles, a steady feed, a proxy, tests side by side.

The table of most tests is `t (id bigint, p int, o bigint)` without any key: a row for each message, with the partition
and offset that it came from, so that one that is lost, doubled or from somewhere else shows.
"""

import concurrent.futures
import contextlib
import signal
import socket
import threading
import time
from urllib.parse import urlsplit
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

import confluent_kafka

from kit import *  # noqa: F403 pylint: disable=wildcard-import,unused-wildcard-import
from registry import selected

# Always in public: the role of the tests is named as the ledger schema, which is then the first of its search_path.
TABLE = "CREATE TABLE public.t (id bigint, p int, o bigint)"
COLUMNS = [{"field": "id", "column": "id"}, {"meta": "partition", "column": "p"}, {"meta": "offset", "column": "o"}]
# A member that was killed is missed after a second.
QUICK_SESSION = {"session.timeout.ms": "1000", "heartbeat.interval.ms": "250"}
LEFT_EARLY_S = 10.5  # the promise of SIGTERM is 10 s

Row = Tuple[int, int, int]


# ---- tests side by side ------------------------------------------------------------------------------------------------

_WORKERS = 4
_bodies: Dict[str, Callable[[], None]] = {}
_results: Dict[str, "concurrent.futures.Future[None]"] = {}


def concurrent_test(body: Callable[[], None], name: str = "") -> Callable[[], None]:
    """As @test, for one that mostly waits and disturbs nobody: a few of these run at the same time."""
    name = name or body.__name__.replace("_", "-")
    _bodies[name] = body

    def result() -> None:
        if not _results:
            pool = concurrent.futures.ThreadPoolExecutor(_WORKERS)
            _results.update({each: pool.submit(function) for each, function in _bodies.items() if selected(each)})
        _results[name].result()

    add(name, result)
    return body


# ---- documents and oracles -----------------------------------------------------------------------------------------------


def numbered(topic: Any, database: Database, **sections: Any) -> Dict[str, Any]:
    """The document for table t with COLUMNS; the sections `source` and `sync` are merged into it, kafka too."""
    kafka = sections.pop("kafka", {})
    sync = {"columns": COLUMNS, **sections.pop("sync", {})}
    document = task_for(topic, database, "public.t", sync=sync, **sections)
    document["source"]["kafka"] = {**document["source"]["kafka"], **QUICK_SESSION, **kafka}
    return document


@contextlib.contextmanager
def numbered_task(count: int, *, partitions: int = 1, **sections: Any) -> Iterator[Tuple[Topic, List[Row], Database, Dict[str, Any]]]:
    """A topic of so many numbered messages, the rows they make, a database with table t, and the document between them."""
    topic = Topic(partitions=partitions)
    rows = produce(topic, 0, count)
    with Database() as database:
        database.sql(TABLE)
        yield topic, rows, database, numbered(topic, database, **sections)


def until_end(document: Dict[str, Any], *arguments: str, code: int = 0, texts: Sequence[str] = (), **options: Any) -> Ended:
    return Sluice.run(document, "--until-end", *arguments, **options).expect(code, *texts)


def numbers(first: int, count: int, partitions: int = 1) -> List[Message]:
    return [Message(value={"id": number}, partition=number % partitions) for number in range(first, first + count)]


def produce(topic: Topic, first: int, count: int) -> List[Row]:
    """Numbered messages over all partitions; the rows that table t is to have because of them."""
    messages = numbers(first, count, topic.partitions)
    return [(message.value["id"], partition, offset)
            for message, (partition, offset) in zip(messages, topic.produce(messages))]


def rows_of(database: Database, table: str = "t") -> List[Row]:
    return sorted(database.rows(f"SELECT id, p, o FROM {table}"))


def check_rows(database: Database, expected: Iterable[Row], what: str = "") -> None:
    """Table t holds exactly these rows; what is missing and what is too much is named."""
    found, wanted = rows_of(database), sorted(expected)
    if found == wanted:
        return
    missing, surplus = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    twice = len(found) - len(set(found))
    raise Failure(f"{what or 'table t'}: {len(found)} rows, expected {len(wanted)}; {len(missing)} missing "
                  f"{missing[:5]}, {len(surplus)} that nobody sent {surplus[:5]}, {twice} twice")


def await_rows(sluice: Sluice, database: Database, expected: Sequence[Row], what: str, deadline_s: float = 60) -> None:
    """Until so many rows are there; then they must be the right ones."""
    sluice.wait_for(lambda: database.value("SELECT count(*) FROM t") >= len(expected), what, deadline_s)
    check_rows(database, expected, what)


def ledger(database: Database, document: Dict[str, Any]) -> Dict[Tuple[str, int], int]:
    """Next offset to apply by topic and partition."""
    schema = document["target"].get("ledger_schema", "sluice")
    return {(topic, partition): offset for topic, partition, offset in database.rows(
        f"SELECT topic, partition, next_offset FROM {schema}.ledger WHERE task = %s", (document["name"],))}


def group_of(database: Database, document: Dict[str, Any]) -> str:
    uid = database.value("SELECT uid FROM sluice.task WHERE id = %s", (document["name"],))
    return f"sluice-{document['name']}-{uid[:6]}"


def group_offsets(group: str, topic: Topic) -> Dict[int, int]:
    """What the group has committed to Kafka, by partition; negative where there is nothing."""
    consumer = confluent_kafka.Consumer({**kafka_settings(), "group.id": group, "log_level": 2})
    try:
        asked = [confluent_kafka.TopicPartition(topic.name, partition) for partition in range(topic.partitions)]
        return {each.partition: each.offset for each in consumer.committed(asked, timeout=20)}
    finally:
        consumer.close()


def ends(topic: Topic) -> Dict[int, int]:
    return {partition: end for partition, (_, end) in topic.watermarks().items()}


# ---- moments -------------------------------------------------------------------------------------------------------------

SMALL = {"batch_rows": 25, "linger_ms": 5}  # so many transactions that a random moment meets every part of one


def count_of(database: Database, table: str = "t") -> int:
    return database.value(f"SELECT count(*) FROM {table}")


def random_moment(sluice: Sluice, random: Any, progress: Callable[[], int], most: int = 400,
                  total: Optional[int] = None) -> None:
    """While it starts, or while it works: after so much progress (of `total` at most), and then some milliseconds."""
    if random.random() < 0.25:
        time.sleep(random.uniform(0, 1.5))
        return
    goal = progress() + random.randint(1, most)
    if total is not None:
        goal = min(goal, total)
    sluice.wait_for(lambda: progress() >= goal, f"progress to {goal}", 60)
    time.sleep(random.uniform(0, 0.03))


def stop_within_transaction(sluice: Sluice, database: Database, random: Any) -> None:
    """SIGSTOP at a moment at which it holds locks on its ledger."""
    def stopped() -> bool:
        sluice.signal(signal.SIGSTOP)
        time.sleep(0.05)  # the server ends what it has in hand
        held = database.value("SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation "
                              "WHERE c.relname = 'ledger' AND l.mode = 'RowShareLock' AND l.granted "
                              "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())")
        if held:
            return True
        sluice.signal(signal.SIGCONT)
        time.sleep(random.uniform(0, 0.05))
        return False

    sluice.wait_for(stopped, "it is stopped in mid transaction", 30)


class Feed:
    """Numbered messages, a few at a time, until the end of `with`; `rows` are those that it wrote."""

    def __init__(self, topic: Topic, first: int = 0, at_once: int = 20):
        self._topic, self._next, self._at_once = topic, first, at_once
        self._stop = threading.Event()
        self._trouble: Optional[BaseException] = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.rows: List[Row] = []

    def _run(self) -> None:
        try:
            while not self._stop.wait(0.01):
                self.rows += produce(self._topic, self._next, self._at_once)
                self._next += self._at_once
        except BaseException as trouble:  # pylint: disable=broad-except
            self._trouble = trouble

    def __enter__(self) -> "Feed":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.end()

    def end(self) -> List[Row]:
        self._stop.set()
        self._thread.join(60)
        if self._trouble is not None:
            raise self._trouble
        return self.rows


# ---- a network that fails ----------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Proxy:
    """A TCP port that leads to another one, while it is open; closing it refuses, and cuts what goes through it."""

    def __init__(self, to: Tuple[str, int], open_now: bool = True):
        self._to = to
        self.port = free_port()
        self._listener: Optional[socket.socket] = None
        self._pairs: List[Tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._flows = threading.Event()
        self._flows.set()
        self._hold_at: Optional[bytes] = None
        self._held = threading.Event()
        if open_now:
            self.open()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def open(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(50)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.cut()

    def lead_to(self, to: Tuple[str, int]) -> None:
        """From the next connection on."""
        self._to = to

    def cut(self) -> None:
        """Breaks every connection that goes through it."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def freeze(self) -> None:
        """Nothing goes through any more, and nobody is told: half-open connections."""
        self._flows.clear()

    def hold_back(self, text: bytes) -> None:
        """The first connection whose client says this is stuck with it until let_go(); others go on."""
        self._hold_at = text

    def holds(self) -> bool:
        return self._held.is_set()

    def let_go(self) -> None:
        self._held.clear()

    def thaw(self) -> None:
        self._flows.set()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._to, 10)
                far.settimeout(None)
            except OSError:
                near.close()
                continue
            with self._lock:
                self._pairs.append((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                data = source.recv(65536)
                if self._hold_at is not None and self._hold_at in data:
                    self._hold_at = None
                    self._held.set()
                    while self._held.is_set():
                        time.sleep(0.01)
                self._flows.wait()
                if not data:
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def proxied(document: Dict[str, Any], *, encrypted: bool = True, **options: Any) -> Iterator[Proxy]:
    """A proxy between the document's task and its PostgreSQL."""
    target = document["target"]
    server = urlsplit(target["postgres"])
    with Proxy((server.hostname, server.port), **options) as proxy:
        target["postgres"] = target["postgres"].replace(f":{server.port}/", f":{proxy.port}/")
        if not encrypted:
            target["postgres"] += "?sslmode=disable"
        yield proxy


def address(text: str) -> Tuple[str, int]:
    host, port = text.rsplit(":", 1)
    return host, int(port)


@contextlib.contextmanager
def role_of(database: Database, *settings: str, grants: str = "ALL ON SCHEMA public"):
    """A login role of its own, with settings such as "DateStyle = 'German'"; yields its name and URI."""
    name = unique("role")
    database.server(f"CREATE ROLE {name} LOGIN PASSWORD 'secret word'; "
                    f"GRANT CREATE, TEMPORARY ON DATABASE {database.name} TO {name}")
    try:
        for setting in settings:
            database.server(f"ALTER ROLE {name} SET {setting}")
        if grants:
            database.sql(f"GRANT {grants} TO {name}", superuser=True)
        yield name, database.uri_of(name, "secret%20word")
    finally:
        for statement in (f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{name}'",
                          f"DROP OWNED BY {name}"):
            database.sql(statement, superuser=True)
        database.server(f"DROP ROLE {name}")
