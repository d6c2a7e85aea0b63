#!/usr/bin/python3
"""`sluice run --metrics`: what Prometheus would scrape, and a listener that does not give way."""

import pathlib
import re
import socket
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from kit import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import
from engine import TABLE, concurrent_test, numbered, produce  # noqa: E402 pylint: disable=wrong-import-position

LINE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$")


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def scrape(port):
    """{name{labels without the task}: value}"""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        check_equal(page.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        text = page.read().decode()
    found = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = LINE.match(line)
        check(match, f"no line of the format: {line}")
        labels = ",".join(label for label in (match[2] or "").split(",") if not label.startswith("task="))
        found[match[1] + (f"{{{labels}}}" if labels else "")] = float(match[3])
    return found


@concurrent_test
def metrics_count_rows_failures_batches_and_lag():
    database, topic, port = Database(), Topic(partitions=2), free_port()
    database.sql(TABLE)
    database.sql("ALTER TABLE public.t ADD CHECK (id <> 13)")
    document = numbered(topic, database, on_failure="deliver")
    produce(topic, 0, 100)
    topic.produce([Message(value="not json", partition=0)] * 3)
    with Sluice(document, "--metrics", f"127.0.0.1:{port}") as sluice:
        sluice.wait_for(lambda: database.value("SELECT count(*) FROM public.t") == 99, "rows")
        figures = eventually(lambda: (lambda seen: seen if seen["sluice_batches_total"] > 0 and
                                      seen["sluice_rows_total{operation=\"write\"}"] == 99 else None)(scrape(port)),
                             "the figures of the batch")
        check_equal(figures['sluice_failed_messages_total{class="message"}'], 3)
        check_equal(figures['sluice_failed_messages_total{class="data"}'], 1)
        check_equal(figures['sluice_failures_handled_total{policy="deliver"}'], 4)
        check_equal(figures['sluice_task_state{state="running"}'], 1)
        check_equal(figures["sluice_assigned_partitions"], 2)
        check_equal(figures["sluice_commit_seconds_count"], figures['sluice_commit_seconds_bucket{le="+Inf"}'])
        check_equal(figures["sluice_latency_seconds_count"], 103, "one for each message")
        check(figures["sluice_bytes_total"] > 103 * 7, "bytes")
        check(figures["sluice_resident_memory_bytes"] > 1e6, "memory")
        check_equal(len([name for name in figures if name.startswith("sluice_lag_offsets")]), 2)
        sluice.wait_for(lambda: scrape(port)[f'sluice_lag_offsets{{topic="{topic.name}",partition="0"}}'] == 0,
                        "the lag of the look every ten seconds", 30)
        check_equal(sluice.stop().code, 143)


@concurrent_test
def metrics_answer_while_the_task_waits_and_refuse_what_is_not_theirs():
    database, topic, port = Database(), Topic(), free_port()
    database.sql(TABLE)
    document = numbered(topic, database, kafka={"bootstrap.servers": "127.0.0.1:1"})
    with Sluice(document, "--metrics", f"127.0.0.1:{port}") as sluice:
        sluice.wait_for(lambda: scrape_or_none(port), "metrics of a task that cannot begin")
        sluice.wait_for(lambda: scrape(port)['sluice_task_state{state="retrying"}'] == 1, "state retrying", 40)
        for path, code in (("/", 404), ("/../etc/passwd", 404), ("/metrics?x=1", 200), ("/healthz", 200)):
            check_equal(status(port, path), code, path)
        check_equal(status(port, "/metrics", data=b"x" * 10), 405, "POST")
        with socket.create_connection(("127.0.0.1", port)) as rude:  # headers beyond the bound
            rude.sendall(b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 100_000)
            rude.settimeout(15)
            check_equal(drained(rude)[:12], b"HTTP/1.1 431", "refused, and closed")
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]  # more than it takes at once
        try:
            time.sleep(11)  # silent ones are closed after 10 s
            check(scrape(port), "it serves again")
        finally:
            for each in idle:
                each.close()


def drained(connection):
    try:
        return connection.recv(100)
    except ConnectionResetError:
        return b""


def scrape_or_none(port):
    try:
        return scrape(port)
    except (urllib.error.URLError, ConnectionError):
        return None


def status(port, path, data=None):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data=data, timeout=10) as page:
            return page.status
    except urllib.error.HTTPError as error:
        return error.code


@concurrent_test
def metrics_of_an_address_that_cannot_be_listened_on():
    database, topic = Database(), Topic()
    database.sql(TABLE)
    document = numbered(topic, database)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for address in (f"127.0.0.1:{taken.getsockname()[1]}", "127.0.0.1", "127.0.0.1:99999", "no.such.host.invalid:80",
                        "192.0.2.1:9187"):
            Sluice.run(document, "--metrics", address).expect(2, "cannot listen on", address)


if __name__ == "__main__":
    main()
