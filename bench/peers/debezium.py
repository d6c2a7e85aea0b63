"""peers: Debezium's JDBC sink beside Sluice, on the same topic and table, in one run.

The topic has the narrow rows in the envelope with a schema (JsonConverter, schemas.enable), because the sinks of Kafka
Connect read nothing else; Sluice reads it by JSONPath, and the bare topic as well, which is what people have. All are
timed alike, from outside: from the first row that a reader sees to the last. Debezium runs with its defaults and as tuned
as its documentation knows: UNNEST, larger batches and polls, the reduction buffer for upserts; as many tasks as Sluice
has lanes. The better one counts.
"""

import contextlib
import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
from typing import Any, Callable, Dict, List
from urllib.parse import urlsplit

import confluent_kafka

import psql
import speed
from data import ENVELOPED, ENVELOPED_FIELDS, NARROW, Data
from kit import Failure, Sluice, Topic, check, eventually, kafka_settings, root, unique
from measure import RUN_DEADLINE_S, Bench, Run, cpu_s_of, seconds_of

POM = pathlib.Path(__file__).with_name("pom.xml")
LOOK_EVERY_S = 0.005
MODES = {"insert": (6.0, {"insert.mode": "insert", "primary.key.mode": "none"}),
         "upsert": (2.5, {"insert.mode": "upsert", "primary.key.mode": "record_value", "primary.key.fields": "id"})}
TUNED = {"batch.size": "5000", "consumer.override.max.poll.records": "5000",
         "dialect.postgres.unnest.insert.enabled": "true"}
TUNED_UPSERT = {**TUNED, "use.reduction.buffer": "true"}


def beside_sluice(bench: Bench) -> None:
    plugins = fetched()
    enveloped, bare = bench.topic(Data(ENVELOPED, bench.rows)), bench.topic(Data(NARROW, bench.rows))
    columns = {"mode": "mapping", "columns": ENVELOPED_FIELDS}
    for mode, (aim, settings) in MODES.items():
        tuned = TUNED_UPSERT if mode == "upsert" else TUNED
        key = {"primary_key": ["id"]} if mode == "upsert" else {}
        sides: Dict[str, Callable[[], Run]] = {
            "debezium": lambda s=settings: _debezium(bench, plugins, enveloped, s),
            "debezium, tuned": lambda s={**settings, **tuned}: _debezium(bench, plugins, enveloped, s),
            "sluice": lambda s={"write": mode, **key, **columns}: _sluice(bench, enveloped, s),
            "sluice, bare topic": lambda s={"write": mode, **key}: _sluice(bench, bare, s),
        }
        if mode == "upsert":
            sides["sluice, mirror"] = lambda: _sluice(bench, enveloped, {"mode": "mirror"})
        runs = bench.alternate(f"peers, {mode}", bench.rows, sides)
        best = min(seconds_of(runs["debezium"]), seconds_of(runs["debezium, tuned"]))
        bench.figure(f"{mode} against Debezium, same topic", best / seconds_of(runs["sluice"]), "x", aim, aim)
        bench.figure(f"{mode} against Debezium, bare topic", best / seconds_of(runs["sluice, bare topic"]), "x")
        if mode == "upsert":
            bench.figure("mirror against Debezium, same topic", best / seconds_of(runs["sluice, mirror"]), "x", 4.0, 7.0)


def fetched() -> pathlib.Path:
    """The folder for plugin.path; fetched by Maven once for each version of the pom."""
    cache = pathlib.Path(os.environ.get("SLUICE_CACHE") or
                         pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "sluice")
    folder = cache / f"debezium-jdbc-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix="debezium.", dir=cache))
    try:
        print(f"  fetching Debezium's JDBC sink, once, into {folder}", flush=True)
        done = subprocess.run(["mvn", "-q", "-B", "-C", "-Dstyle.color=never", "-f", str(POM), "dependency:copy-dependencies",
                               f"-DoutputDirectory={work}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        check(done.returncode == 0, f"Maven could not fetch Debezium's JDBC sink: {done.stdout[-800:]}")
        for archive in list(work.glob("*.tar.gz")):
            subprocess.run(["tar", "-xzf", str(archive), "-C", str(work)], check=True)
            archive.unlink()
        check(any(work.glob("*/debezium-connector-jdbc-*.jar")), f"no connector in what {POM} fetched")
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


# ---- one side ------------------------------------------------------------------------------------------------------------


def _sluice(bench: Bench, topic: Topic, sync: Dict[str, Any]) -> Run:
    bench.fresh(NARROW.create("public.target"))
    document = bench.task(topic, "target", sync=sync)
    if sync.get("mode") == "mirror":
        document["sync"].pop("write", None)
    with Sluice(document, "-q") as sluice:
        return _watch(bench, topic, sluice.pid, sluice.running, lambda: sluice.err)


def _debezium(bench: Bench, plugins: pathlib.Path, topic: Topic, settings: Dict[str, str]) -> Run:
    bench.fresh(NARROW.create("public.target"))
    uri = urlsplit(bench.database.uri)
    with tempfile.TemporaryDirectory(prefix="sluice-peers-") as name:
        folder = pathlib.Path(name)
        _write(folder / "worker.properties", {
            "bootstrap.servers": kafka_settings()["bootstrap.servers"], "plugin.path": str(plugins),
            "offset.storage.file.filename": str(folder / "offsets"), "listeners": "http://127.0.0.1:0",
            "key.converter": "org.apache.kafka.connect.storage.StringConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable": "true",
            "connector.client.config.override.policy": "All", "consumer.auto.offset.reset": "earliest"})
        _write(folder / "sink.properties", {
            "name": unique("debezium"), "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
            "tasks.max": str(psql.LANES), "topics": topic.name, "collection.name.format": "target",
            "connection.url": f"jdbc:postgresql://{uri.hostname}:{uri.port}{uri.path}?reWriteBatchedInserts=true",
            "connection.username": uri.username or "", "connection.password": uri.password or "",
            "schema.evolution": "none", **settings})
        with open(folder / "log", "wb") as log:
            connect = subprocess.Popen([str(root / "dev/kafka"), "connect", str(folder / "worker.properties"),
                                        str(folder / "sink.properties")], stdout=log, stderr=subprocess.STDOUT, cwd=folder)
        try:
            return _watch(bench, topic, connect.pid, lambda: connect.poll() is None,
                          lambda: (folder / "log").read_text(errors="replace"))
        finally:
            connect.kill()  # what it has not told Kafka does not matter: the group is its own
            connect.wait()


def _write(file: pathlib.Path, properties: Dict[str, str]) -> None:
    file.write_text("".join(f"{key}={value}\n" for key, value in properties.items()), encoding="utf-8")


def _last_ids(topic: Topic) -> List[int]:
    """The id of the last message of each partition: where all of these are rows, nearly all are."""
    consumer = confluent_kafka.Consumer({**kafka_settings(), "group.id": unique("peers"), "enable.auto.commit": False})
    try:
        consumer.assign([confluent_kafka.TopicPartition(topic.name, partition, end - 1)
                         for partition, (low, end) in topic.watermarks().items() if end > low])
        wanted = len(consumer.assignment())
        keys: Dict[int, int] = {}
        deadline = time.monotonic() + 60
        while len(keys) < wanted:
            check(time.monotonic() < deadline, f"the last messages of topic {topic.name} could not be read")
            message = consumer.poll(0.5)
            if message is not None and message.error() is None:
                keys[message.partition()] = int(message.key())
        return list(keys.values())
    finally:
        consumer.close()


def _watch(bench: Bench, topic: Topic, pid: int, running: Callable[[], bool], output: Callable[[], str]) -> Run:
    """Looks for the first row, for the last ones, and counts all of them."""
    last = _last_ids(topic)
    server = bench.server_cpu_s()
    began = time.monotonic()
    with contextlib.closing(bench.database.connect()) as connection, connection.cursor() as cursor:

        def await_true(query: str) -> float:
            cursor.execute(f"PREPARE look AS {query}")
            while True:
                cursor.execute("EXECUTE look")
                if cursor.fetchone()[0]:
                    break
                if not running() or time.monotonic() - began > RUN_DEADLINE_S:
                    raise Failure(f"not all rows came: {output()[-3000:]}")
                time.sleep(LOOK_EVERY_S)
            cursor.execute("DEALLOCATE look")
            return time.monotonic()

        first = await_true("SELECT EXISTS (SELECT FROM public.target)")
        end = await_true(f"SELECT count(*) = {len(last)} FROM public.target WHERE id IN ({', '.join(map(str, last))})")
        rows = bench.rows
        if bench.database.value("SELECT count(*) FROM public.target") != rows:
            eventually(lambda: bench.database.value("SELECT count(*) FROM public.target") >= rows, "all rows are there")
            end = time.monotonic()
    speed.check_table(bench, "target", rows)
    peak = int(pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8").split("VmHWM:")[1].split()[0]) * 1024
    return Run(end - first, cpu_s_of(pid), bench.server_cpu_s() - server, peak, end - began)
