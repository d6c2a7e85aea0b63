"""Random changes at a live source, by seed, replayed by tasks that are killed meanwhile: the same rows at the end.

Inserts, updates, deletes, changes and swaps of keys, rolled-back transactions, truncates, values too big to be sent again.
"""

import datetime
import decimal
import json

from live import *  # noqa: F403 pylint: disable=wildcard-import,unused-wildcard-import

TRANSACTIONS = 1500
LETTERS = "abcdefghijklmnopqrstuvwxyzäöü€🚲'\"\\ \n\t,{}"


def text(random, least, most):
    return "".join(random.choices(LETTERS, k=random.randint(least, most)))


def big(random):
    return random.choice([None, text(random, 2500, 4000), text(random, 0, 20)])


def maybe(make):
    return lambda random: None if random.random() < 0.15 else make(random)


def moment(random):
    return datetime.datetime(random.randint(1971, 2037), random.randint(1, 12), random.randint(1, 28), random.randint(0, 23),
                             random.randint(0, 59), random.randint(0, 59), random.randint(0, 999_999))


def number(random):
    return decimal.Decimal(random.randint(-10**11, 10**11)).scaleb(-3)


COMMON = {
    "n": maybe(lambda random: random.randint(-2**31, 2**31 - 1)),
    "amount": maybe(number),
    "note": lambda random: text(random, 0, 30),
    "big": big,
    "day": maybe(lambda random: moment(random).date()),
    "at": maybe(moment),
    "x": maybe(lambda random: random.uniform(-1e9, 1e9)),
}

# ---- PostgreSQL ----------------------------------------------------------------------------------------------------------

POSTGRES = """CREATE TABLE public.t (id bigint PRIMARY KEY, n integer, amount numeric(14,3), note text NOT NULL, big text, day date,
    at timestamp, x double precision, zone timestamptz, doc jsonb, raw bytea, flag boolean, list text[]);
    ALTER TABLE public.t ALTER big SET STORAGE EXTERNAL, ALTER doc SET STORAGE EXTERNAL, ALTER raw SET STORAGE EXTERNAL,
        ALTER list SET STORAGE EXTERNAL"""
POSTGRES_VALUES = {
    **COMMON,
    "zone": maybe(lambda random: moment(random).replace(tzinfo=datetime.timezone.utc)),
    "doc": maybe(lambda random: json.dumps({"v": big(random), "n": random.random()})),
    "raw": maybe(lambda random: bytes(random.choices(range(256), k=random.choice([0, 5, 3000])))),
    "flag": maybe(lambda random: random.random() < 0.5),
    "list": maybe(lambda random: [text(random, 0, random.choice([10, 1500])) for _ in range(random.randint(0, 3))]),
}
COLUMNS_OF_T = ("SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'public.t'::regclass "
                "AND attnum > 0 ORDER BY attnum")
POSTGRES_UPSERT = ("ON CONFLICT (id) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in ("n", "note", "at", "flag")))


def postgres_changes(name, schemas, partitions=1, identity="DEFAULT", keys_change=True, crash=False):
    random = rng(f"changes-{name}")
    with Database() as source_db, Database() as target:
        for each in (source_db, target):
            each.sql(POSTGRES)
        source_db.sql(f"ALTER TABLE public.t REPLICA IDENTITY {identity}")
        with contextlib.closing(psycopg2.connect(source_db.uri)) as connection, \
                Capture(PostgresSource(source_db), {"t": partitions}, schemas) as capture:
            changes = Changes(connection, random, POSTGRES_VALUES, POSTGRES_UPSERT)
            if keys_change:
                changes.with_changes_of_keys()
            document = mirror_task(capture.topics["t"], target, "t")
            document["tuning"] = {"batch_rows": random.choice([20, 500, 20_000])}
            with Followers(target, [document], random) as followers:
                changes.run(TRANSACTIONS, truncates=partitions == 1)
                if crash:
                    capture.crash()
                    changes.run(100)
                    capture.add()
                followers.await_kills(3, lambda: changes.run(100))  # no TRUNCATE at the end: something must be there to compare
                capture.await_all()
            to_the_end(capture, capture.topics["t"], target, document)
            check(checksum(source_db, "t")[0] > 5, "hardly a row is left to compare")
            check_same(source_db, target, "t", f"after {followers.kills} kills, ")


@test
def postgres_changes_with_schemas():
    postgres_changes("schemas", True)


@test
def postgres_changes_without_schemas():
    postgres_changes("plain", False)


@test
def postgres_changes_of_a_full_identity_in_three_partitions():
    # The halves of a change of a key stand in different partitions, which have no order.
    postgres_changes("full", True, partitions=3, identity="FULL", keys_change=False)


@test
def postgres_changes_that_come_again_because_debezium_was_killed():
    # With changes of keys a value that was not sent would be gone: it stood in a row that later changes have removed.
    postgres_changes("again", False, keys_change=False, crash=True)


@test
def postgres_changes_of_a_full_identity_that_come_again():
    postgres_changes("again-full", True, identity="FULL", crash=True)


@test
def postgres_changes_of_a_table_that_is_made_and_grows():
    random = rng("changes-made")
    with Database() as source_db, Database() as target:
        source_db.sql(POSTGRES)
        with contextlib.closing(psycopg2.connect(source_db.uri)) as connection, \
                Capture(PostgresSource(source_db), {"t": 1}, True) as capture:
            document = mirror_task(capture.topics["t"], target, "t")
            with Followers(target, [document], random) as followers:
                values = dict(POSTGRES_VALUES)
                changes = Changes(connection, random, values, POSTGRES_UPSERT).with_changes_of_keys()
                changes.run(300)
                for name, kind, make in (("grown", "integer", COMMON["n"]), ("late", "text", big)):
                    source_db.sql(f"ALTER TABLE public.t ADD {name} {kind}")
                    values[name] = make
                    changes.run(300)
                followers.await_kills(3, lambda: changes.run(100))
                capture.await_all()
            to_the_end(capture, capture.topics["t"], target, document)
            check_equal(target.rows(COLUMNS_OF_T), source_db.rows(COLUMNS_OF_T), "columns and their types")
            check_same(source_db, target, "t", f"after {followers.kills} kills, ")


# ---- MariaDB -------------------------------------------------------------------------------------------------------------

MARIADB = """CREATE TABLE t (id bigint PRIMARY KEY, n int, amount decimal(14,3), note varchar(200) NOT NULL, big mediumtext, day date,
    at datetime(6), x double, whole bigint unsigned, raw mediumblob, small tinyint, kind enum('a', 'b', 'c'))"""
MARIADB_TARGET = """CREATE TABLE public.t (id bigint PRIMARY KEY, n integer, amount numeric(14,3), note text NOT NULL, big text,
    day date, at timestamp, x double precision, whole numeric(20), raw bytea, small smallint, kind text)"""
MARIADB_VALUES = {
    **COMMON,
    "whole": maybe(lambda random: random.choice([0, random.randint(0, 2**63), 2**64 - 1])),
    "raw": POSTGRES_VALUES["raw"],
    "small": maybe(lambda random: random.randint(-128, 127)),
    "kind": maybe(lambda random: random.choice("abc")),
}
MARIADB_UPSERT = "ON DUPLICATE KEY UPDATE " + ", ".join(f"{name} = VALUES({name})" for name in ("n", "note", "at", "kind"))


def mariadb_changes(name, schemas):
    random = rng(f"mariadb-{name}")
    columns = ", ".join(["id", *MARIADB_VALUES])

    def rows(cursor):
        cursor.execute(f"SELECT {columns} FROM t ORDER BY id")
        return [tuple(bytes(value) if isinstance(value, memoryview) else value for value in row) for row in cursor.fetchall()]

    with MariaDbSource() as source, Database() as target, contextlib.closing(source.connect()) as connection:
        with connection.cursor() as cursor:
            cursor.execute(MARIADB)
        target.sql(MARIADB_TARGET)
        with Capture(source, {"t": 1}, schemas) as capture:
            document = mirror_task(capture.topics["t"], target, "t", units={"whole": "unsigned"})
            document["tuning"] = {"batch_rows": random.choice([20, 500, 20_000])}
            with Followers(target, [document], random) as followers:
                changes = Changes(connection, random, MARIADB_VALUES, MARIADB_UPSERT).with_changes_of_keys()
                changes.run(TRANSACTIONS, truncates=True)
                followers.await_kills(3, lambda: changes.run(100))  # no TRUNCATE at the end: something must be there to compare
                capture.await_all()
            to_the_end(capture, capture.topics["t"], target, document)
        connection.commit()
        with connection.cursor() as cursor, contextlib.closing(target.connect()) as postgres, postgres.cursor() as mirrored:
            wanted, found = rows(cursor), rows(mirrored)
        check(len(wanted) > 5, "hardly a row is left to compare")
        different = [pair for pair in zip(found, wanted) if pair[0] != pair[1]][:2]
        check(found == wanted, f"{len(found)} rows at the target, {len(wanted)} at the source; the first that differ: {different}")


@test
def mariadb_changes_with_schemas():
    mariadb_changes("schemas", True)


@test
def mariadb_changes_without_schemas():
    mariadb_changes("plain", False)


main()
