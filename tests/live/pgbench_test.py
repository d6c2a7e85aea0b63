"""pgbench at the source, Debezium, Kafka, and a task for each of its tables that is killed again and again: equal at the end."""

import subprocess

from live import *  # noqa: F403 pylint: disable=wildcard-import,unused-wildcard-import

PGBENCH = "/usr/lib/postgresql/15/bin/pgbench"
TABLES = {"pgbench_accounts": 1, "pgbench_tellers": 2, "pgbench_branches": 1, "pgbench_history": 1}
# History has no key. What is changed is found by all of its columns, and equal rows are there.
HISTORY = """
UPDATE pgbench_history SET delta = 1, mtime = '2026-01-01' WHERE ctid = (SELECT max(ctid) FROM pgbench_history);
DELETE FROM pgbench_history WHERE ctid = (SELECT min(ctid) FROM pgbench_history);
"""
SECONDS = 20


def pgbench(database, *arguments):
    done = subprocess.run([PGBENCH, *arguments, database.uri], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=SECONDS + 120, check=False)
    check(done.returncode == 0, f"pgbench {' '.join(arguments)}: {done.stdout[-800:]}")
    return done.stdout


def follow_pgbench(schemas, identity_of_history, *load):
    random = rng(f"pgbench-{schemas}")
    with Database() as source_db, Database() as target:
        pgbench(source_db, "-i", "-q", "-s", "1")
        pgbench(target, "-i", "-q", "-s", "1", "-I", "dtp")
        source = PostgresSource(source_db)
        if identity_of_history:
            source_db.sql(f"ALTER TABLE pgbench_history REPLICA IDENTITY {identity_of_history}")
        with Capture(source, TABLES, schemas=schemas) as capture:
            documents = {table: mirror_task(capture.topics[table], target, table) for table in TABLES}
            with Followers(target, list(documents.values()), random) as followers:
                followers.await_kills(2 * len(TABLES), lambda: pgbench(
                    source_db, "-n", "-T", str(SECONDS), "-c", "4", "-j", "2", "--rate", "150", *load))
                capture.await_all()
            for table, document in documents.items():
                to_the_end(capture, capture.topics[table], target, document)
                check_same(source_db, target, table, f"after {followers.kills} kills, ")
            check(checksum(target, "pgbench_history")[0] > 0, "no history")


@test
def pgbench_with_schemas_and_a_history_that_grows():
    follow_pgbench(True, "")


@test
def pgbench_without_schemas_and_a_history_that_changes():
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(HISTORY)
        script.flush()
        follow_pgbench(False, "FULL", "-b", "tpcb-like@8", "-f", f"{script.name}@2")


main()
