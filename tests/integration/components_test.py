"""Kafka and PostgreSQL, as dev/ starts them, are what the other tests take for granted."""

import os
import pathlib
import subprocess
import sys

import confluent_kafka
import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from kit import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import


@test
def kafka_keeps_key_value_headers_timestamp_and_order():
    topic = Topic(partitions=2)
    places = topic.produce([
        Message(value={"n": 1}, key="a", headers=[("h", b"\x00\xff"), ("none", None)], timestamp_ms=1_000_000, partition=1),
        Message(value=None, key=b"\xff", partition=1), Message(value="text", partition=0)], compression="lz4")
    check_equal(places, [(1, 0), (1, 1), (0, 0)], "partition and offset of each")
    first, second = [message for message in topic.consume() if message.partition() == 1]
    check_equal((first.key(), first.value(), first.headers(), first.timestamp()[1]),
                (b"a", b'{"n":1}', [("h", b"\x00\xff"), ("none", None)], 1_000_000))
    check_equal((second.key(), second.value()), (b"\xff", None))


@test
def kafka_hides_aborted_transactions():
    topic = Topic()
    with topic.transaction() as transaction:
        transaction.produce(["kept"])
    with topic.transaction() as transaction:
        transaction.produce(["dropped"])
        transaction.abort()
    topic.produce(["last"])
    check_equal([message.value() for message in topic.consume()], [b"kept", b"last"])
    check_equal(topic.watermarks(), {0: (0, 5)}, "two messages, two markers, one message")


@test
def kafka_takes_messages_to_nearly_10_mb():
    topic = Topic()
    topic.produce(["x" * 9_900_000])
    check_equal([len(message.value()) for message in topic.consume()], [9_900_000])


@test
def kafka_refuses_unknown_topics():
    name = unique("nobody_made_this")
    producer = confluent_kafka.Producer(kafka_settings())
    producer.list_topics(name, timeout=10)
    metadata = producer.list_topics(timeout=10)
    check(name not in metadata.topics, "a topic came into being because somebody asked for it")


@test
def kafka_deletes_records_and_topics_and_adds_partitions():
    topic = Topic()
    topic.produce([f"{number}" for number in range(10)])
    topic.delete_records({0: 4})
    check_equal(topic.watermarks(), {0: (4, 10)})
    topic.add_partitions(3)
    topic.delete()
    topic.create(2)
    check_equal(topic.watermarks(), {0: (0, 0), 1: (0, 0)}, "after it was created again")


@test
def kafka_compacts_within_seconds():
    topic = Topic(config={"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01",
                          "max.compaction.lag.ms": "200"})

    def gaps():
        topic.produce([Message(value="v", key="k")])
        return len(topic.consume()) < topic.watermarks()[0][1]

    eventually(gaps, "old values of the key are gone")


def _reads_and_writes(settings):
    topic = Topic()
    producer = confluent_kafka.Producer({**settings, "log_level": 2})
    errors = []
    producer.produce(topic.name, b"v", on_delivery=lambda error, _: errors.append(error))
    check_equal((producer.flush(20), errors), (0, [None]), "produced")
    check_equal([message.value() for message in topic.consume(settings)], [b"v"])


for _mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
    add(f"kafka-sasl-{_mechanism.lower()}",
        lambda mechanism=_mechanism: _reads_and_writes(kafka_settings("sasl", mechanism)))
add("kafka-tls", lambda: _reads_and_writes(kafka_settings("tls")))


@test
def kafka_refuses_a_wrong_password():
    seen = []
    client = confluent_kafka.admin.AdminClient(
        {**kafka_settings("sasl", "SCRAM-SHA-256", ("sluice", "wrong")), "error_cb": seen.append, "log_level": 2})
    eventually(lambda: client.poll(0.1) is not None and
               any(error.code() == confluent_kafka.KafkaError._AUTHENTICATION for error in seen), "it is refused", 20)


@test
def kafka_lets_guest_do_what_an_acl_says_and_no_more():
    topic = Topic()
    topic.produce(["v"])
    guest = {**kafka_settings("sasl", "PLAIN", ("guest", "guest")), "log_level": 2}
    check(topic.name not in confluent_kafka.admin.AdminClient(guest).list_topics(timeout=10).topics,
          "guest sees a topic without having been allowed to")
    kafka_tool("acls", "--add", "--allow-principal", "User:guest", "--operation", "Read", "--topic", topic.name)
    try:
        eventually(lambda: topic.name in confluent_kafka.admin.AdminClient(guest).list_topics(timeout=10).topics,
                   "guest sees the topic")
        producer = confluent_kafka.Producer(guest)
        errors = []
        producer.produce(topic.name, b"v", on_delivery=lambda error, _: errors.append(error))
        producer.flush(20)
        check_equal([error and error.code() for error in errors],
                    [confluent_kafka.KafkaError.TOPIC_AUTHORIZATION_FAILED], "writing")
    finally:
        kafka_tool("acls", "--remove", "--force", "--allow-principal", "User:guest", "--operation", "Read", "--topic",
                   topic.name)


@test
def kafka_allows_short_sessions():
    topic = Topic()
    consumer = confluent_kafka.Consumer({**kafka_settings(), "group.id": unique("group"), "session.timeout.ms": 500,
                                         "heartbeat.interval.ms": 100, "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([topic.name])
        topic.produce(["v"])
        eventually(lambda: (message := consumer.poll(0.2)) is not None and message.error() is None, "a message arrives", 20)
    finally:
        consumer.close()


@test
def postgres_gives_each_test_a_database():
    with Database() as database:
        database.sql("CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x,y'), (2, NULL)")
        check_equal(database.rows("SELECT a, b FROM t ORDER BY a"), [(1, "x,y"), (2, None)])
        check_equal(database.text("SELECT * FROM t ORDER BY a"), '1,"x,y"\n2,NULL\n')
        check_equal(database.value("SELECT current_user"), "sluice")
        check_equal(database.value("SHOW wal_level"), "logical")
        name = database.name
    with psycopg2.connect(database.super_uri.replace(name, "postgres")) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_database WHERE datname = %s", (name,))
            check_equal(cursor.fetchone()[0], 0, "databases left behind")


@test
def postgres_speaks_tls_and_plain():
    with Database() as database:
        for mode, expected in (("verify-full", True), ("require", True), ("disable", False)):
            authority = os.environ["SLUICE_POSTGRES_CA"] if mode == "verify-full" else ""
            connection = psycopg2.connect(database.uri, sslmode=mode, sslrootcert=authority)
            with connection.cursor() as cursor:
                cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
                check_equal(cursor.fetchone()[0], expected, f"TLS with sslmode={mode}")
            connection.close()


@test
def postgres_refuses_a_wrong_password():
    with Database() as database:
        try:
            psycopg2.connect(database.uri_of("sluice", "wrong"))
        except psycopg2.OperationalError as error:
            check("password authentication failed" in str(error), f"refused with another text: {error}")
        else:
            raise Failure("a wrong password was taken")


@test
def postgres_host_rules_come_and_go():
    with Database() as database:
        with database.host_rules("hostssl all sluice 127.0.0.1/32 scram-sha-256"):
            psycopg2.connect(database.uri, sslmode="require").close()
            try:
                psycopg2.connect(database.uri, sslmode="disable")
            except psycopg2.OperationalError as error:
                check("no pg_hba.conf entry for host" in str(error), f"refused with another text: {error}")
            else:
                raise Failure("a connection without TLS was let in")
        eventually(lambda: psycopg2.connect(database.uri, sslmode="disable").close() is None, "the old rules are back", 10)


@test
def scripts_say_that_the_servers_run():
    for name in ("kafka", "postgres"):
        check("running on 127.0.0.1:" in dev(name, "status"), f"dev/{name} status does not say so")
        done = subprocess.run([str(root / "dev" / name), "up"], stderr=subprocess.PIPE, text=True, check=True)
        check("already" in done.stderr, f"dev/{name} up: {done.stderr}")


main()
