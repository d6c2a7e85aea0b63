#!/usr/bin/python3
"""`sluice import`: a JDBC sink's file becomes a task that runs on from the connector's position."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.parse

import confluent_kafka

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import

SINK = os.environ["SLUICE_BIN"]


def sluice(*arguments, code=0, **environment):
    done = subprocess.run([SINK, *map(str, arguments)], capture_output=True, text=True, timeout=120,
                          env={**os.environ, **environment}, check=False)
    check_equal(done.returncode, code, f"{arguments}: {done.stdout}{done.stderr}")
    return done


def commit(group, topic, offset):
    consumer = confluent_kafka.Consumer({**kafka_settings(), "group.id": group, "log_level": 2})
    try:
        consumer.commit(offsets=[confluent_kafka.TopicPartition(topic.name, 0, offset)], asynchronous=False)
    finally:
        consumer.close()


def sink_of(topic, database, name):
    place = urllib.parse.urlsplit(database.uri)
    return {"name": name, "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "topics": topic.name,
            "connection.url": f"jdbc:postgresql://{place.hostname}:{place.port}{place.path}?reWriteBatchedInserts=true",
            "connection.user": place.username, "connection.password": "unused-s3cr3t/ü",
            "table.name.format": "public.orders", "insert.mode": "upsert", "pk.mode": "record_value", "pk.fields": "id",
            "fields.whitelist": "amount", "auto.evolve": "true", "errors.tolerance": "all",
            "errors.deadletterqueue.topic.name": "dlq", "key.converter": "org.apache.kafka.connect.storage.StringConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable": "false"}


@concurrent_test
def an_imported_sink_runs_on_from_the_connectors_position():
    topic, name = Topic(), unique("sink")
    topic.produce([{"id": number % 4, "amount": number, "more": "x"} for number in range(8)])
    topic.produce(["not json"])
    commit(f"connect-{name}", topic, 5)
    with Database() as db, tempfile.TemporaryDirectory() as folder:
        db.sql("CREATE TABLE orders (id int PRIMARY KEY, amount int)")
        sink = sink_of(topic, db, name)
        password = sink["connection.password"]
        files = {"sink.json": json.dumps({"name": name, "config": sink}),
                 "sink.properties": "".join(f"{key} = {value}\n" for key, value in sink.items())}
        for file, text in files.items():
            pathlib.Path(folder, file).write_text(text, encoding="utf-8")
            document = pathlib.Path(folder, file + ".yaml")
            arguments = ("import", pathlib.Path(folder, file), "--bootstrap-servers",
                         kafka_settings()["bootstrap.servers"], "--output", document)
            done = sluice(*arguments)
            check_equal(done.stdout, "", "the document is in the file")
            for key in sink:
                lines = [line for line in done.stderr.splitlines() if f" {key}:" in line]
                check_equal(len(lines), 1, f"lines about {key}: {done.stderr}")
            check("not supported  auto.evolve: " in done.stderr, done.stderr)
            for secret in (password, urllib.parse.quote(password, safe="")):
                check(secret not in done.stderr + document.read_text(encoding="utf-8"), "the password is nowhere")
            again = sluice(*arguments, code=1)
            check("there already" in again.stderr and "--force" in again.stderr, again.stderr)
            sluice(*arguments, "--force")
        real = urllib.parse.urlsplit(db.uri).password or "unused"
        sluice("check", document, SLUICE_PG_PASSWORD=real)
        sluice("run", document, "--until-end", SLUICE_PG_PASSWORD=real)
        check_equal(db.rows("SELECT id, amount FROM orders ORDER BY id"), [(1, 5), (2, 6), (3, 7)])
        check_equal(db.value("SELECT count(*) FROM sluice.dead_letter"), 1, "dead letters")


@test
def what_is_no_sink_is_refused():
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "x")
        for content, text in ((b"", "is empty"), (b"\x7fELF\x01\x00", "no text"), (b"a" * 1_050_000, "1 MB"),
                              (b"{", "not JSON"), (b"name=x\n", "connector.class is missing"),
                              (b"connector.class=io.confluent.connect.s3.S3SinkConnector", "S3SinkConnector"),
                              (b'{"connector.class": "io.debezium.connector.postgresql.PostgresConnector"}',
                               "PostgresConnector")):
            file.write_bytes(content)
            done = sluice("import", file, code=2)
            check(text in done.stderr and done.stdout == "", f"{content[:30]!r}: {done.stderr}")
        check("JdbcSinkConnector" in done.stderr, "what is taken is named")
        sluice("import", pathlib.Path(folder, "nothing"), code=2)
        sluice("import", folder, code=2)
        # Values that no task takes: said, and nothing written.
        file.write_text("name=x\nconnector.class=io.aiven.connect.jdbc.JdbcSinkConnector\ntopics=a b\n"
                        "connection.url=jdbc:postgresql://h/d\n", encoding="utf-8")
        done = sluice("import", file, code=2)
        check("source.topics[0]" in done.stderr and "nothing was written" in done.stderr, done.stderr)
        check_equal(done.stdout, "")


if __name__ == "__main__":
    main()
