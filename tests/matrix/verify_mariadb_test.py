#!/usr/bin/python3
"""`sluice verify --against` with a MariaDB as the source. Not in the gate: ./test matrix, which installs the server.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import


class MariaDB:
    """A server of its own on a free port, with database shop, user reader (password 'p@ss:w/rd', SELECT only)."""

    def __enter__(self):
        for program in ("mariadbd", "mariadb-install-db", "mariadb"):
            check(shutil.which(program), f"{program} is missing: dev/install matrix")
        self.folder = tempfile.mkdtemp(prefix="sluice-mariadb-")
        self.port, data = free_port(), f"{self.folder}/data"
        subprocess.run(["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", f"--user={self._user()}"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
        self.process = subprocess.Popen(
            ["mariadbd", "--no-defaults", f"--datadir={data}", f"--port={self.port}", "--bind-address=127.0.0.1", f"--socket={self.folder}/socket",
             f"--user={self._user()}", "--skip-name-resolve", "--innodb-buffer-pool-size=32M"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self._fill()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _fill(self):
        eventually(lambda: self._ask("SELECT 1").returncode == 0, "MariaDB answers")
        self.sql("CREATE DATABASE shop CHARACTER SET latin1; CREATE USER reader@'127.0.0.1' IDENTIFIED BY 'p@ss:w/rd'; GRANT SELECT ON shop.* TO reader@'127.0.0.1'")
        self.uri = f"mysql://reader:p%40ss%3Aw%2Frd@127.0.0.1:{self.port}/shop"

    def _user(self):
        return "root" if os.geteuid() == 0 else os.environ.get("USER", "")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ask(self, statements, database=""):
        return subprocess.run(["mariadb", "--no-defaults", f"--socket={self.folder}/socket", "-uroot", "--default-character-set=utf8mb4", "-N", "-B",
                               *([database] if database else [])], input=statements.encode(), capture_output=True, timeout=60, check=False)

    def sql(self, statements, database=""):
        done = self._ask(statements, database)
        check(done.returncode == 0, done.stderr.decode())
        return done.stdout.decode()


def verified(document, uri, *arguments, code=0):
    done = Sluice.run(document, "--against", uri, "--json", "--settle", "0", *arguments, command="verify").expect(code)
    return json.loads(done.out)


def counts(result):
    return tuple(result[name] for name in ("missing", "extra", "different", "unsettled"))


def mirror(database):
    document = task_for(Topic(), database, "public.t", sync={"mode": "mirror"})
    document["sync"].pop("write")
    return document


TYPES = (  # of MariaDB, of PostgreSQL, a value there, here, another one here
    ("bigint unsigned", "numeric(20)", "18446744073709551615", "18446744073709551615", "1"),
    ("int(5) zerofill", "bigint", "42", "42", "43"),
    ("decimal(20,6)", "numeric", "-1.500000", "-1.5", "-1.500001"),
    ("tinyint(1)", "boolean", "1", "true", "false"),
    ("bit(1)", "boolean", "b'1'", "true", "false"),
    ("bit(5)", "bit(5)", "b'00101'", "b'00101'", "b'00100'"),
    ("year", "int", "2026", "2026", "2025"),
    ("varchar(20) character set latin1", "text", "'Äpfel '", "'Äpfel '", "'Äpfel'"),
    ("varchar(20) character set utf8mb4", "varchar(20)", "'\U0001f6b2\\\\''x'", "'\U0001f6b2\\''x'", "'\U0001f6b2'"),
    ("char(6)", "char(6)", "'ab'", "'ab'", "'aB'"),
    ("enum('a','b')", "text", "'b'", "'b'", "'a'"),
    ("varbinary(9)", "bytea", "x'00ff5c'", "'\\x00ff5c'", "'\\x00ff'"),
    ("date", "date", "'0987-12-31'", "'0987-12-31'", "'0987-12-30'"),
    ("datetime(3)", "timestamp", "'2026-01-02 03:04:05.670'", "'2026-01-02 03:04:05.67'", "'2026-01-02 03:04:05.671'"),
    ("datetime", "timestamptz", "'2026-01-02 03:04:00'", "'2026-01-02 03:04:00Z'", "'2026-01-02 03:04:00+01'"),
    ("time(6)", "time", "'23:59:59.000001'", "'23:59:59.000001'", "'23:59:59'"),
    ("time", "interval", "'-101:00:00'", "'-101 hours'", "'101 hours'"),
    ("uuid", "uuid", "'6b0a7a6e-55b0-4f7e-9d1c-1d1c6d3f0a11'", "'6b0a7a6e-55b0-4f7e-9d1c-1d1c6d3f0a11'", "'6b0a7a6e-55b0-4f7e-9d1c-1d1c6d3f0a12'"),
    ("date", "date", "'0000-00-00'", "NULL", "'2026-01-01'"),
)
BY_ROWS = (
    ("double", "double precision", "0.1", "0.1", "0.10000000000000002"),
    ("float", "real", "1.1", "1.1", "1.2"),
    ("json", "jsonb", "'{\"b\": 1,\"a\": [1]}'", "'{\"a\": [1], \"b\": 1}'", "'{}'"),
    ("inet6", "inet", "'::1'", "'::1'", "'::2'"),
)


def values_of(types):
    with MariaDB() as server, Database() as db:
        server.sql("SET sql_mode = ''; CREATE TABLE t (id int PRIMARY KEY, " + ", ".join(f"c{i} {each[0]}" for i, each in enumerate(types))
                   + "); INSERT INTO t VALUES (1, " + ", ".join(each[2] for each in types) + "); INSERT INTO t (id) VALUES (2)", "shop")
        db.sql("CREATE TABLE public.t (id int PRIMARY KEY, " + ", ".join(f"c{i} {each[1]}" for i, each in enumerate(types))
               + "); INSERT INTO public.t VALUES (1, " + ", ".join(each[3] for each in types) + "); INSERT INTO public.t (id) VALUES (2)")
        document = mirror(db)
        result = verified(document, server.uri)
        check_equal((result["same"], result["by_text"]), (True, []))
        for i, each in enumerate(types):
            db.sql(f"UPDATE public.t SET c{i} = {each[4]} WHERE id = 1")
            result = verified(document, server.uri, "--repair")
            check_equal([sorted(found["target"]) for found in result["differences"]], [[f"c{i}"]], each[0])
            check_equal(db.value(f"SELECT c{i} IS NOT DISTINCT FROM {each[3]}::{each[1]} FROM public.t WHERE id = 1"), True, f"{each[0]} repaired")


@test
def values_with_a_text_on_both_servers():
    values_of(TYPES)


@test
def values_that_postgresql_reads():
    values_of(TYPES[:3] + BY_ROWS)


@test
def many_rows_keys_of_several_columns_and_no_key():
    with MariaDB() as server, Database() as db:
        server.sql("CREATE TABLE t (a varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, b int, v int, PRIMARY KEY (b, a)); "
                   "INSERT INTO t SELECT CONCAT(ELT(1 + seq % 4, 'a', 'B', 'ä', '中'), seq), seq DIV 3, seq FROM seq_1_to_50000", "shop")
        db.sql("CREATE TABLE public.t (a text, b bigint, v int, PRIMARY KEY (b, a)); INSERT INTO public.t SELECT "
               "(ARRAY['a', 'B', 'ä', '中'])[1 + i % 4] || i, i / 3, i FROM generate_series(1, 50000) i")
        document = mirror(db)
        check_equal(verified(document, server.uri)["same"], True)
        change = "DELETE FROM public.t WHERE v = 777; UPDATE public.t SET v = 0 WHERE v IN (1, 33333); INSERT INTO public.t VALUES ('it''s', 5, 5)"
        db.sql(change)
        check_equal(counts(verified(document, server.uri, code=1)), (1, 1, 2, 0))
        check_equal(verified(document, server.uri, "--repair")["same"], True)
        check_equal(verified(document, server.uri)["same"], True)
        # Texts first: their bytes are the order.
        db.sql("ALTER TABLE public.t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (a, b); " + change)
        check_equal(counts(verified(document, server.uri, code=1)), (1, 1, 2, 0))
        check_equal(verified(document, server.uri, "--repair")["same"], True)
        db.sql("ALTER TABLE public.t DROP CONSTRAINT t_pkey, ALTER a DROP NOT NULL, ALTER b DROP NOT NULL")
        check_equal(verified(document, server.uri)["same"], True, "without a key")
        db.sql("INSERT INTO public.t SELECT * FROM public.t WHERE v = 9; DELETE FROM public.t WHERE v = 10")
        check_equal(counts(verified(document, server.uri, code=1)), (1, 0, 1, 0))


@test
def what_cannot_be_reached_is_named():
    with MariaDB() as server, Database() as db:
        db.sql("CREATE TABLE public.t (id int PRIMARY KEY)")
        document = mirror(db)
        for uri, code, texts in ((server.uri, 1, ("there is no table `shop`.`t`",)),
                                 (f"mysql://reader:secret@127.0.0.1:{server.port}/shop", 1, ("the source:", "Access denied")),
                                 ("mariadb://reader:secret@127.0.0.1:1/shop", 1, ("the source: 127.0.0.1:1",)),
                                 ("mysql://reader:secret@127.0.0.1", 2, ("names no database",))):
            done = Sluice.run(document, "--against", uri, command="verify").expect(code, *texts)
            check("secret" not in done.out + done.err, "the password is shown")


if __name__ == "__main__":
    main()
