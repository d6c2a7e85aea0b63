"""What runs of cases take from the shared servers: topics with their messages, and databases.

Both are made in bulk and ahead of time, because a case itself takes less than a second.
"""

import pathlib
import queue
import sys
import threading
import time
import zlib
from typing import Any, Dict, List, Optional, Sequence, Tuple

import confluent_kafka
import confluent_kafka.admin
import psycopg2

from case_file import Case, Directive, Record

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from kit import Database, Failure, kafka_settings, unique  # noqa: E402 pylint: disable=wrong-import-position

_QUIET = {"log_level": 2}
Place = Tuple[str, int, int]  # topic, partition, offset


class Sent:
    """Where the messages of a case are: its number, from 1 in the order of the file, and back."""

    def __init__(self) -> None:
        self.records: List[Record] = []
        self.places: List[Optional[Place]] = []
        self.hidden = 0  # in aborted transactions
        self.certain = True  # offsets follow from the messages: no transaction markers, nothing compacted

    def number(self, topic: str, partition: int, offset: int) -> int:
        try:
            return self.places.index((topic, partition, offset)) + 1
        except ValueError:
            raise Failure(f"{topic}/{partition} offset {offset} is none of the messages") from None

    def ends(self) -> Dict[Tuple[str, int], int]:
        ends: Dict[Tuple[str, int], int] = {}
        for place in self.places:
            if place is not None:
                ends[place[:2]] = max(ends.get(place[:2], 0), place[2] + 1)
        return ends


class Topics:
    """The topics of one case, with what was sent to them."""

    def __init__(self, case: Case, spread: int):
        self.case = case
        self.partitions = spread if case.partitions is None else case.partitions
        self.prefix = unique("case")
        self.sent = Sent()
        self.lock = threading.Lock()
        self.filled = False
        self._turn = 0

    def name(self, suffix: str) -> str:
        return f"{self.prefix}.{suffix}" if suffix else self.prefix

    def names(self) -> List[str]:
        return [self.name(suffix) for suffix in self.case.topics]

    def partition_of(self, record: Record) -> int:
        """Messages of one key stay in order; those without take turns."""
        if record.partition is not None:
            return record.partition
        if record.key is not None:
            return zlib.crc32(record.key) % self.partitions
        self._turn += 1
        return (self._turn - 1) % self.partitions


class Broker:
    """One client for all: producers cost threads and connections."""

    def __init__(self) -> None:
        self._admin = confluent_kafka.admin.AdminClient({**kafka_settings(), **_QUIET})
        self._producer = self._new_producer()
        self._lock = threading.Lock()  # flush() waits for everybody's messages: one at a time
        self._all: List[str] = []

    @staticmethod
    def _new_producer(**settings: Any) -> confluent_kafka.Producer:
        return confluent_kafka.Producer({**kafka_settings(), "linger.ms": 0, "enable.idempotence": True,
                                         "message.max.bytes": 10_000_000, **_QUIET, **settings})

    def create(self, wanted: Sequence[Topics]) -> None:
        requests = [confluent_kafka.admin.NewTopic(name, topics.partitions, 1, config={"retention.ms": "-1", **topics.case.topic_config})
                    for topics in wanted for name in topics.names()]
        for start in range(0, len(requests), 50):
            for future in self._admin.create_topics(requests[start:start + 50], operation_timeout=60).values():
                future.result(90)
        self._all += [request.topic for request in requests]
        if requests:
            # One look at all of them, instead of one for each first message.
            deadline = time.monotonic() + 60
            while not set(self._all) <= set(self._producer.list_topics(timeout=30).topics):
                if time.monotonic() > deadline:
                    raise Failure("the new topics did not appear within 60 s")
                time.sleep(0.05)

    def remove_all(self) -> None:
        for start in range(0, len(self._all), 100):
            for future in self._admin.delete_topics(self._all[start:start + 100], operation_timeout=60).values():
                future.exception(90)

    def send(self, topics: Topics, items: Sequence[Any]) -> None:
        if not items:
            return
        sent = topics.sent
        transaction: Optional[confluent_kafka.Producer] = None
        first_of_transaction = 0
        pending: List[Record] = []
        for item in items:
            if isinstance(item, Record):
                pending.append(item)
                continue
            self._write(self._producer if transaction is None else transaction, topics, pending)
            pending = []
            sent.certain = False
            if item.word == "begin":
                transaction = self._new_producer(**{"transactional.id": unique("tx")})
                transaction.init_transactions(30)
                transaction.begin_transaction()
                first_of_transaction = len(sent.records)
            elif item.word == "await-compaction":
                self._await_compaction(topics)
            elif transaction is None:
                raise Failure(f"! {item.word} without ! begin")
            else:
                if item.word == "commit":
                    transaction.commit_transaction(30)
                else:
                    transaction.abort_transaction(30)
                    sent.hidden += len(sent.records) - first_of_transaction
                transaction = None
        self._write(self._producer if transaction is None else transaction, topics, pending)
        if transaction is not None:
            raise Failure("! begin without ! commit or ! abort")

    def _write(self, producer: confluent_kafka.Producer, topics: Topics, records: Sequence[Record]) -> None:
        if not records:
            return
        sent = topics.sent
        trouble: List[Any] = []
        first = len(sent.records)
        sent.records += records
        sent.places += [None] * len(records)

        def delivered(number: int):
            def callback(error: Any, message: Any) -> None:
                if error is not None:
                    trouble.append(error)
                else:
                    sent.places[number] = (message.topic(), message.partition(), message.offset())
            return callback

        with self._lock:
            for number, record in enumerate(records, first):
                options: Dict[str, Any] = {}
                if record.timestamp_ms:
                    options["timestamp"] = record.timestamp_ms
                if record.headers:
                    options["headers"] = record.headers
                while True:
                    try:
                        producer.produce(topics.name(record.topic), record.value, record.key,
                                         partition=topics.partition_of(record), on_delivery=delivered(number), **options)
                        break
                    except BufferError:
                        producer.poll(0.1)
            left = producer.flush(60)
        if left or trouble:
            raise Failure(f"producing: {left} unsent, errors {trouble[:3]}")

    def _await_compaction(self, topics: Topics) -> None:
        """Sends the last message again and again until fewer records are left than were sent: the segment that is being
        written is never compacted, and only a new message closes it."""
        last = topics.sent.records[-1]
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self._count(topics) < len(topics.sent.records):
                return
            time.sleep(0.2)  # let the cleaner come round; each message costs it another segment
            self._write(self._producer, topics, [last])
        raise Failure("nothing was compacted within 60 s")

    def _count(self, topics: Topics) -> int:
        consumer = confluent_kafka.Consumer({**kafka_settings(), "group.id": unique("count"), "enable.partition.eof": True,
                                             "enable.auto.commit": False, **_QUIET})
        try:
            wanted = [confluent_kafka.TopicPartition(name, partition, 0)
                      for name in topics.names() for partition in range(topics.partitions)]
            consumer.assign(wanted)
            count = ended = 0
            while ended < len(wanted):
                message = consumer.poll(10)
                if message is None:
                    raise Failure("the topic cannot be read")
                if message.error() is None:
                    count += 1
                else:
                    ended += 1
            return count
        finally:
            consumer.close()

    def fill(self, topics: Topics) -> None:
        """Sends the messages of the first phase, once, whoever comes first."""
        with topics.lock:
            if not topics.filled:
                self.send(topics, topics.case.phases[0].items)
                topics.filled = True


# Everything that a case can have made in its database, or attached to it. Dropping the database itself would wait for a
# checkpoint, and thousands of files, each time. The name of a role that a case made ends in that of the database.
_RESET = """
DO $$
DECLARE
  name text;
BEGIN
  FOR name IN SELECT quote_ident(pubname) FROM pg_publication LOOP
    EXECUTE 'DROP PUBLICATION ' || name;
  END LOOP;
  FOR name IN SELECT quote_ident(extname) FROM pg_extension WHERE extname <> 'plpgsql' LOOP
    EXECUTE 'DROP EXTENSION ' || name || ' CASCADE';
  END LOOP;
  FOR name IN SELECT quote_ident(nspname) FROM pg_namespace
              WHERE nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%' LOOP
    EXECUTE 'DROP SCHEMA ' || name || ' CASCADE';
  END LOOP;
  FOR name IN SELECT quote_ident(rolname) FROM pg_roles WHERE right(rolname, length(current_database()) + 1)
                                                           = '_' || current_database() LOOP
    EXECUTE 'DROP OWNED BY ' || name || '; DROP ROLE ' || name;
  END LOOP;
  EXECUTE format('ALTER DATABASE %I RESET ALL', current_database());
  EXECUTE format('ALTER ROLE sluice IN DATABASE %I RESET ALL', current_database());
  CREATE SCHEMA public AUTHORIZATION pg_database_owner;
  GRANT USAGE ON SCHEMA public TO PUBLIC;
END $$
"""


class Databases:
    """As many databases as cases run at a time; each is emptied before its next use."""

    def __init__(self) -> None:
        self._free: "queue.Queue[Database]" = queue.Queue()
        self._all: List[Database] = []
        self._lock = threading.Lock()

    def take(self) -> Database:
        try:
            return self._free.get_nowait()
        except queue.Empty:
            database = Database(unique("case"))
            with self._lock:
                self._all.append(database)
            return database

    def give_back(self, database: Database) -> None:
        database.close()
        connection = database.connect(superuser=True)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET client_min_messages = 'warning'; SET search_path = pg_catalog; SET lock_timeout = '20s'")
                # A process that was killed leaves its backends at work for a moment.
                cursor.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                               " WHERE datname = current_database() AND pid <> pg_backend_pid()")
                cursor.execute(_RESET)
        finally:
            connection.close()
        self._free.put(database)

    def close(self) -> None:
        for database in self._all:
            try:
                database.__exit__(None, None, None)
            except psycopg2.Error as error:
                print(f"database {database.name} could not be removed: {error}", file=sys.stderr, flush=True)
