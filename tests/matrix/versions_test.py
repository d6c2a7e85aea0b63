"""Every PostgreSQL from 12 to 18, and every way to reach both servers: a short real run of each.

Its first run fetches the servers of other versions (50 MB). Not in the gate: ./test matrix.
"""

import os
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import

VERSIONS = ("9.6", "10", "11", "12", "14", "15", "16", "17", "18")


def killed_and_again(db, document, topic, rows, count, random):
    """Killed in mid run, three times, then to the end."""
    for _ in range(3):
        with Sluice(document) as sluice:
            goal = min(count() + random.randint(1, 400), rows)
            sluice.wait_for(lambda: count() >= goal, f"{goal} rows")  # pylint: disable=cell-var-from-loop
            sluice.kill().expect(-signal.SIGKILL)
    until_end(document, deadline_s=90)
    check_equal(sum(position for (name, _), position in ledger(db, document).items() if name == topic.name),
                sum(ends(topic).values()), "the ledger")


def version(number):
    random = rng(f"version-{number}")
    topic = Topic(partitions=2)
    rows = produce(topic, 0, 2_000)
    changes = Topic(partitions=2)
    changes.produce([Message(value={"id": each % 50, "n": each}, key=str(each % 50)) for each in range(1_000)])
    changes.produce([Message(value=None, key="7"), Message(value='{"id": 60, "n": -1}', key="60"), Message(value="no", key="x")])
    with PostgresServer(number) as server, server.use(), Database() as db:
        check(db.value("SHOW server_version").startswith(number + "."), "the server's version")
        db.sql(TABLE)
        document = numbered(topic, db, tuning=SMALL)
        old = float(number) < 12
        if old:
            Sluice.run(document, "--until-end").expect(1, f"PostgreSQL {number}", "target.level: postgresql_9_4")
            document["target"]["level"] = "postgresql_9_4"
        Sluice.run(document, command="check").expect(0)
        killed_and_again(db, document, topic, len(rows), lambda: count_of(db), random)
        check_rows(db, rows, "insert")
        until_end({**document, "tuning": {}})
        check_rows(db, rows, "insert, nothing new")

        db.sql("CREATE TABLE public.u (id int PRIMARY KEY, n int CHECK (n >= 0))")
        upserts = task_for(changes, db, "public.u", sync={"write": "upsert", "on_tombstone": "delete"}, on_failure="deliver", tuning=SMALL)
        upserts["source"]["kafka"].update(QUICK_SESSION)
        if old:
            upserts["target"]["level"] = "postgresql_9_4"
            Sluice.run(upserts, "--until-end").expect(2, document["name"], "ledger_schema")
            upserts["target"]["ledger_schema"] = "sluice_u"
        killed_and_again(db, upserts, changes, 900, lambda: db.value("SELECT coalesce(max(n), 0) FROM public.u"), random)
        check_equal(dict(db.rows("SELECT id, n FROM public.u")), {each % 50: each for each in range(950, 1_000) if each % 50 != 7}, "upsert")
        letters = f"{upserts['target'].get('ledger_schema', 'sluice')}.dead_letter"
        check_equal(db.rows(f"SELECT convert_from(value, 'UTF8'), code FROM {letters} ORDER BY 1"),
                    [("no", "not_json"), ('{"id": 60, "n": -1}', "23514")], "dead letters")

        # SCRAM, and TLS checked against the server's own authority.
        uri = f"{db.uri}?sslmode=verify-full&sslrootcert={os.environ['SLUICE_POSTGRES_CA']}"
        document["target"]["postgres"] = uri
        with db.host_rules(f"hostssl all sluice 127.0.0.1/32 {'md5' if number == '9.6' else 'scram-sha-256'}"):
            rows += produce(topic, 2_000, 10)
            until_end(document)
            check_rows(db, rows, "with TLS")
            document["target"]["postgres"] = db.uri + "?sslmode=disable"
            Sluice.run(document, "--until-end").expect(1, "pg_hba.conf")


for _number in VERSIONS:
    add(f"postgresql-{_number}", lambda number=_number: version(number))


@test
def an_authority_that_did_not_sign_is_refused():
    topic = Topic()
    produce(topic, 0, 1)
    with Database() as db:
        db.sql(TABLE)
        document = numbered(topic, db)
        document["target"]["postgres"] = f"{db.uri}?sslmode=verify-full&sslrootcert={os.environ['SLUICE_KAFKA_CA']}"
        Sluice.run(document, "--until-end").expect(1, "certificate")
        check_rows(db, [])


def _reached(kafka, compression="none", quick=True):
    topic = Topic(partitions=3)
    messages = numbers(0, 600, 3)
    rows = [(message.value["id"], partition, offset)
            for message, (partition, offset) in zip(messages, topic.produce(messages, compression=compression))]
    with Database() as db:
        db.sql(TABLE)
        document = numbered(topic, db, kafka=kafka, tuning={"lanes": 1})
        if not quick:  # the broker says how long a session lasts
            for name in ("session.timeout.ms", "heartbeat.interval.ms"):
                del document["source"]["kafka"][name]
        Sluice.run(document, command="check").expect(0)
        with Sluice(document) as one, Sluice(document) as two:
            await_rows(one, db, rows, "both together")
            rows += produce(topic, 600, 60)
            await_rows(two, db, rows, "more")
            one.kill().expect(-signal.SIGKILL)
            rows += produce(topic, 700, 60)
            await_rows(two, db, rows, "one has been killed")
            two.stop().expect(143)
        check_rows(db, rows)


for _mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
    add(f"kafka-sasl-{_mechanism.lower()}", lambda mechanism=_mechanism: _reached(kafka_settings("sasl", mechanism)))
    add(f"kafka-sasl-tls-{_mechanism.lower()}", lambda mechanism=_mechanism: _reached(kafka_settings("sasl_tls", mechanism)))
for _codec in ("gzip", "snappy", "lz4", "zstd"):
    add(f"compression-{_codec}", lambda codec=_codec: _reached({}, codec))
add("group-protocol-classic", lambda: _reached({"group.protocol": "classic"}))
add("group-protocol-consumer", lambda: _reached({"group.protocol": "consumer"}, quick=False))

main()
