"""Bad input: one clear message with its remedy, the right exit code, no stack trace, no secret; `check` and `run` agree."""

import contextlib
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.parse
from urllib.parse import urlsplit

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import

DOCUMENT, OTHER = 2, 1
STACK_TRACE = re.compile(r"terminate called|what\(\):|Sanitizer|\.cc:\d+|core dumped|\bat 0x[0-9a-f]{6}")
REMEDY = r"^ +-> \S|; allowed: \S"  # a line of its own, or what would have been right
SECRET = "sesame-1f7"  # every password of these tests that is not the servers' own


def inspect(ended, code, *texts):
    """What every refusal has to be."""
    output = ended.out + ended.err
    ended.expect(code)
    for text in texts:
        check(text.lower() in output.lower(), f"'{text}' is not in: {output[-1500:]}")
    check(not STACK_TRACE.search(output), f"that looks like a stack trace: {output[-1500:]}")
    for secret in (SECRET, "://sluice:sluice@", urllib.parse.quote(SECRET, safe="")):
        check(secret not in output, f"a secret is in the output: {output[-1500:]}")
    check(len(output) < 6_000, f"{len(output)} characters of output are not one clear message: {output[:600]}")


def errors_of(ended):
    return [line for line in ended.err.splitlines() if line.startswith("error: ")]


def refused(document, code, *texts, errors=1):
    """By run and by check, with one error that has all these texts, and a remedy under it."""
    run = Sluice.run(document, "--until-end", deadline_s=60)
    inspect(run, code, *texts)
    if errors:
        check_equal(len(errors_of(run)), errors, f"errors in {run.err[-1500:]}")
    check(re.search(REMEDY, run.err, re.MULTILINE), f"no remedy in: {run.err[-1500:]}")
    checked = Sluice.run(document, command="check", deadline_s=60)
    inspect(checked, code, *texts)
    check(re.search(REMEDY, checked.out + checked.err, re.MULTILINE), f"check names no remedy: {checked.out[-1500:]}")


@contextlib.contextmanager
def fixture(columns="id bigint, p int, o bigint", messages=1):
    """A topic with messages, and a database with table t."""
    topic = Topic()
    topic.produce([{"id": number} for number in range(messages)])
    with Database() as db:
        db.sql(f"CREATE TABLE t ({columns})")
        yield topic, db


def changed(document, **paths):
    """A copy with other values: changed(document, target__table="x")."""
    copy = {key: dict(value) if isinstance(value, dict) else value for key, value in document.items()}
    for path, value in paths.items():
        section, _, key = path.partition("__")
        if key:
            copy[section][key] = value
        else:
            copy[section] = value
    return copy


# ---- the file -------------------------------------------------------------------------------------------------------------


def _some_text():
    """A good document, as far as the file itself goes; no server is met before it is refused."""
    return ("name: t\nsource: {kafka: {bootstrap.servers: '127.0.0.1:1'}, topics: [t]}\n"
            f"target: {{postgres: 'postgresql://u:{SECRET}@127.0.0.1:1/d', table: t}}\n")


def _file(name, content, *texts, prepare=None):
    def body():
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "task.yaml")
            if content is not None:
                path.write_bytes(content() if callable(content) else content)
            if prepare:
                path = prepare(path)
            refused(path, DOCUMENT, str(path), *texts)

    concurrent_test(body, name=f"file-{name}")


def _folder(path):
    path.mkdir()
    return path


_file("missing", None, "no such file")
_file("a-folder", None, "folder", prepare=_folder)
_file("empty", b"", "empty")
_file("blank", b" \n\t\n", "empty")
_file("binary", b"\x7fELF\x02\x01\x01\x00" + os.urandom(2000), "not a text")
_file("nul", b"name: t\n\0\n", ":2:", "not a text")
_file("utf-16", _some_text().encode("utf-16"), "UTF-16")
_file("of-10-mb", lambda: (_some_text() + "# " + "x" * 10_000_000).encode(), "10000", "at most 1 MB")
_file("endless", lambda: b"a" * 1000, "", prepare=lambda path: pathlib.Path("/dev/zero"))
_file("not-yaml", b"name: [t\nsource: {", "yaml")
_file("a-list", b"- name: t\n", "list")
_file("two-documents", (_some_text() + "---\n" + _some_text()).encode(), "document")
_file("key-twice", (_some_text() + "name: u\n").encode(), "name", "second time")
_file("anchors-without-end", ("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))).encode(), "")
_file("deep", b"name: " + b"[" * 100_000, "")


@concurrent_test
def file_unreadable():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "task.yaml")
        path.write_text(_some_text(), encoding="utf-8")
        path.chmod(0)
        command = [os.environ["SLUICE_BIN"], "run", str(path)]
        if os.geteuid() == 0:  # root reads everything
            pathlib.Path(folder).chmod(0o755)
            if subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "test", "-x", command[0]],
                              check=False).returncode != 0:
                copy = pathlib.Path(folder, "sluice")  # a build folder that nobody else may enter
                copy.write_bytes(pathlib.Path(command[0]).read_bytes())
                copy.chmod(0o755)
                command[0] = str(copy)
            libraries = pathlib.Path(os.environ.get("LD_LIBRARY_PATH", "").split(":")[0] or "/nonexistent")
            if libraries.is_dir():
                own = pathlib.Path(folder, "lib")
                own.mkdir()
                for library in libraries.glob("*.so*"):
                    (own / library.name).write_bytes(library.read_bytes())
                command = ["env", f"LD_LIBRARY_PATH={own}", *command]
            command = ["setpriv", "--reuid=65534", "--clear-groups", *command]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=60, check=False)
        inspect(Ended(done.returncode, done.stdout, done.stderr, 0), DOCUMENT, str(path), "may not read")


# ---- the document -----------------------------------------------------------------------------------------------------------


def _document(title, texts, errors=1, **paths):
    def body():
        good = {"name": "t", "source": {"kafka": {"bootstrap.servers": "127.0.0.1:1"}, "topics": ["t"]},
                "target": {"postgres": f"postgresql://u:{SECRET}@127.0.0.1:1/d", "table": "t"}, "sync": {}}
        refused(changed(good, **paths), DOCUMENT, *texts, errors=errors)

    concurrent_test(body, name=f"document-{title}")


_document("unknown-key", ["sync.wirte", "write"], sync__wirte="insert")
_document("unknown-key-in-front", ["sorce"], sorce={})
_document("wrong-type", ["tuning.batch_rows", "many", "number"], tuning={"batch_rows": "many"})
_document("list-for-text", ["target.table"], target__table=["a", "b"])
_document("out-of-bounds", ["tuning.lanes", "65", "64"], tuning={"lanes": 65})
_document("unknown-choice", ["sync.write", "insrt", "insert"], sync__write="insrt")
_document("name-with-spaces", ["name", "letter"], name="my task")
_document("no-topics", ["source.topics"], source__topics=[])
_document("not-in-this-version", ["rules", "version"], rules=[{"parse": "json"}])
_document("two-columns-from-one-name", ["sync.columns[1].column", '"a"'],
          sync__columns=[{"field": "x", "column": "a"}, {"field": "y", "column": "a"}])
_document("primary-key-not-in-columns", ["sync.primary_key", "id"],
          sync__write="upsert", sync__primary_key=["id"], sync__columns=[{"field": "x", "column": "a"}])
_document("json-path-that-does-not-compile", ["sync.columns[0].field", "$.a[", "position"],
          sync__columns=[{"field": "$.a[", "column": "a"}])
_document("regex-that-does-not-compile", ["source.topics[0]", "^a("], source__topics=["^a("])
_document("connection-string-that-is-none", ["target.postgres"], target__postgres=f"postgresql://u:{SECRET}@[::1/d")
_document("keyword-that-libpq-does-not-know", ["target.postgres", "passwort"],
          target__postgres=f"host=127.0.0.1 passwort={SECRET}")
_document("variable-that-is-not-set", ["target.postgres", "SLUICE_TEST_NOBODY_SETS_THIS"],
          target__postgres="postgresql://u:${env:SLUICE_TEST_NOBODY_SETS_THIS}@127.0.0.1:1/d")
_document("secret-file-missing", ["target.postgres", "/nonexistent/secret"],
          target__postgres="postgresql://u:${file:/nonexistent/secret}@127.0.0.1:1/d")
_document("several-mistakes-at-once", ["sync.wirte", "tuning.lanes", "on_failure"], errors=3, sync__wirte=1,
          tuning={"lanes": 0}, on_failure="panic")


@concurrent_test
def document_with_a_property_that_is_not_the_users():
    with fixture() as (topic, db):
        for name, value in (("group.id", "mine"), ("enable.auto.commit", "true"), ("plugin.library.paths", "x.so"),
                            ("sasl.kerberos.kinit.cmd", "rm -rf /"), ("no.such.property", "1"),
                            ("session.timeout.ms", "soon")):
            document = numbered(topic, db, kafka={name: value})
            refused(document, DOCUMENT, "source.kafka", name)


@concurrent_test
def secret_file_that_others_may_read():
    with tempfile.NamedTemporaryFile("w") as secret:
        secret.write(SECRET)
        secret.flush()
        os.chmod(secret.name, 0o644)
        text = _some_text().replace(SECRET, "${file:" + secret.name + "}")
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "task.yaml")
            path.write_text(text, encoding="utf-8")
            refused(path, DOCUMENT, "target.postgres", secret.name, "chmod 600")


# ---- the command line -------------------------------------------------------------------------------------------------------


def _command_line(name, arguments, code, *texts):
    def body():
        done = subprocess.run([os.environ["SLUICE_BIN"], *arguments], capture_output=True, text=True, timeout=30,
                              check=False)
        inspect(Ended(done.returncode, done.stdout, done.stderr, 0), code, *texts)
        if code:
            check_equal(done.stdout, "", "what belongs on standard error")
            check("--help" in done.stderr, f"no remedy in: {done.stderr}")

    concurrent_test(body, name=f"command-line-{name}")


_command_line("empty", [], DOCUMENT, "command is missing", "run, check")
_command_line("unknown-command", ["rnu", "x.yaml"], DOCUMENT, "rnu")
_command_line("no-file", ["run"], DOCUMENT, "FILE")
_command_line("unknown-option", ["run", "x.yaml", "--until-edn"], DOCUMENT, "--until-edn")
_command_line("two-files", ["run", "x.yaml", "y.yaml"], DOCUMENT, "y.yaml")
_command_line("adopt-and-reset", ["run", "x.yaml", "--adopt", "--reset"], DOCUMENT, "--adopt", "--reset")
_command_line("unknown-log-format", ["run", "x.yaml", "--log-format", "xml"], DOCUMENT, "xml", "json")
_command_line("summary-without-file", ["run", "x.yaml", "--summary"], DOCUMENT, "--summary")
_command_line("help", ["--help"], 0, "sluice check", "Exit codes")
_command_line("help-of-run", ["run", "--help"], 0, "--until-end", "--summary")
_command_line("version", ["version"], 0, "sluice ", "librdkafka")


# ---- Kafka --------------------------------------------------------------------------------------------------------------------


@concurrent_test
def unknown_topic():
    with fixture() as (topic, db):
        document = numbered(topic, db)
        document["source"]["topics"] = [topic.name + "x"]
        refused(document, OTHER, topic.name + "x", topic.name)  # and names the one that is nearly it


@concurrent_test
def kafka_wrong_password():
    with fixture() as (topic, db):
        for mechanism in ("PLAIN", "SCRAM-SHA-256"):
            document = numbered(topic, db, kafka=kafka_settings("sasl", mechanism, ("sluice", SECRET)))
            refused(document, OTHER, "sluice", "sasl.password")


@concurrent_test
def kafka_tls_required_or_refused():
    with fixture() as (topic, db):
        tls = os.environ["SLUICE_KAFKA_TLS"]
        refused(numbered(topic, db, kafka={"bootstrap.servers": tls}), OTHER, tls, "security.protocol")
        plain = {**kafka_settings("tls"), "bootstrap.servers": os.environ["SLUICE_KAFKA"]}
        refused(numbered(topic, db, kafka=plain), OTHER, os.environ["SLUICE_KAFKA"], "security.protocol is ssl")
        no_authority = {"bootstrap.servers": tls, "security.protocol": "ssl"}
        refused(numbered(topic, db, kafka=no_authority), OTHER, "ssl.ca.location")


@concurrent_test
def kafka_sasl_listener_without_sasl():
    with fixture() as (topic, db):
        sasl = os.environ["SLUICE_KAFKA_SASL"]
        refused(numbered(topic, db, kafka={"bootstrap.servers": sasl}), OTHER, sasl, "security.protocol")


@concurrent_test
def kafka_port_of_postgresql():
    with fixture() as (topic, db):
        server = urlsplit(db.uri)
        port = f"127.0.0.1:{server.port}"
        refused(numbered(topic, db, kafka={"bootstrap.servers": port}), OTHER, port, "Kafka")


@concurrent_test
def kafka_wrong_host():
    with fixture() as (topic, db):
        document = numbered(topic, db, kafka={"bootstrap.servers": "no-such-host.invalid:9092"}, retry_for="1s")
        refused(document, OTHER, "no-such-host.invalid:9092")


@concurrent_test
def kafka_acl_of_topic_and_group_missing():
    with fixture() as (topic, db):
        guest = kafka_settings("sasl", "PLAIN", ("guest", "guest"))
        document = numbered(topic, db, kafka=guest)
        run = Sluice.run(document, "--until-end")
        inspect(run, OTHER, topic.name, "kafka-acls", "--group", "guest")
        inspect(Sluice.run(document, command="check"), OTHER, topic.name, "kafka-acls", "--group", "guest")
        granted = [("--operation", "Read", "--topic", topic.name),
                   ("--operation", "Read", "--group", f"sluice-{document['name']}-", "--resource-pattern-type", "prefixed")]
        try:
            kafka_tool("acls", "--add", "--allow-principal", "User:guest", *granted[0])
            refused(document, OTHER, "group", f"sluice-{document['name']}-", "kafka-acls")
            kafka_tool("acls", "--add", "--allow-principal", "User:guest", *granted[1])
            Sluice.run(document, command="check").expect(0)
            Sluice.run(document, "--until-end").expect(0)
            check_rows(db, [(0, 0, 0)], "with the rights that the remedies name")
        finally:
            for each in granted:
                kafka_tool("acls", "--remove", "--force", "--allow-principal", "User:guest", *each)


# ---- PostgreSQL: the connection -----------------------------------------------------------------------------------------------


def _connection(name, uri_of, *texts, **sections):
    def body():
        with fixture() as (topic, db):
            document = numbered(topic, db, **sections)
            document["target"]["postgres"] = uri_of(db)
            refused(document, OTHER, *texts)

    concurrent_test(body, name=f"postgres-{name}")


def _with(db, **parts):
    url = urlsplit(db.uri)
    user = parts.get("user", "sluice:sluice")
    host = parts.get("host", url.hostname)
    port = parts.get("port", url.port)
    return f"postgresql://{user}@{host}:{port}/{parts.get('database', db.name)}{parts.get('options', '')}"


_connection("wrong-password", lambda db: _with(db, user=f"sluice:{SECRET}"), "password", '"sluice"', "target.postgres")
_connection("no-password", lambda db: _with(db, user="sluice"), "password", "target.postgres")
_connection("unknown-user", lambda db: _with(db, user=f"nobody_there:{SECRET}"), "nobody_there")
_connection("wrong-database", lambda db: _with(db, database="no_such_database"), "no_such_database", "CREATE DATABASE")
_connection("wrong-host", lambda db: _with(db, host="no-such-host.invalid"), "no-such-host.invalid", retry_for="1s")
_connection("wrong-port", lambda db: _with(db, port=free_port()), "refused", "listen_addresses", retry_for="1s")
_connection("port-of-kafka", lambda db: _with(db, port=address(os.environ["SLUICE_KAFKA"])[1], options="?connect_timeout=2"), "not a PostgreSQL server")
_connection("tls-authority-unknown", lambda db: _with(db, options="?sslmode=verify-full&sslrootcert=/etc/hostname"),
            "certificate", "sslrootcert")


@concurrent_test
def postgres_tls_refused():
    """A server without TLS, as its answer to the first packet of a client shows it."""
    def answer():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                if client.recv(8):
                    client.sendall(b"N")
                    client.recv(1)

    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=answer, daemon=True).start()
    with fixture() as (topic, db):
        document = numbered(topic, db)
        document["target"]["postgres"] = _with(db, port=listener.getsockname()[1], options="?sslmode=require")
        refused(document, OTHER, "TLS", "sslmode")
    listener.close()


# ---- PostgreSQL: table, rights, ledger --------------------------------------------------------------------------------


def _table(name, columns, texts, code=OTHER, prepare=(), messages=1, **sections):
    def body():
        with fixture(columns, messages) as (topic, db):
            for statement in prepare:
                db.sql(statement.format(db=db.name), superuser=True)
            kind = dict(sections)
            document = task_for(topic, db, kind.pop("table", "public.t"), **kind)
            refused(document, code, *texts)
            check_equal(db.value("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'sluice'"), 0,
                        "tables of a ledger for a task that never ran")

    concurrent_test(body, name=f"target-{name}")


_table("unknown-table", "id int", ["public.tt", "does not exist"], table="public.tt")
_table("unknown-schema", "id int", ["publik"], table="publik.t")
_table("unknown-column", "id int, customer text", ["custumer", "customer"],
       sync={"columns": [{"field": "id", "column": "id"}, {"field": "c", "column": "custumer"}]})
_table("primary-key-that-is-no-column", "id int", ["idd"], sync={"write": "upsert", "primary_key": ["idd"]})
_table("no-key-for-upsert", "id int", ["sync.primary_key", "no primary key", "ALTER TABLE"], sync={"write": "upsert"})
_table("no-unique-index-for-the-key", "id int, v int", ["CREATE UNIQUE INDEX"],
       sync={"write": "upsert", "primary_key": ["id"]})
_table("not-null-that-nothing-feeds", "id int, must int NOT NULL", ["must", "SET DEFAULT"],
       sync={"columns": [{"field": "id", "column": "id"}]})
_table("generated-column", "id int, twice int GENERATED ALWAYS AS (id * 2) STORED", ["twice", "generated"],
       sync={"columns": [{"field": "id", "column": "id"}, {"field": "x", "column": "twice"}]})
_table("metadata-that-never-fits", "id int, at uuid", ["at", "uuid"],
       sync={"columns": [{"field": "id", "column": "id"}, {"meta": "timestamp", "column": "at"}]})
_table("sequence-instead-of-table", "id int", ['"public"."s"', "takes no INSERT"], table="public.s", prepare=["CREATE SEQUENCE s"])
_table("materialized-view", "id int", ['"public"."m"', "takes no INSERT"], table="public.m",
       prepare=["CREATE MATERIALIZED VIEW m AS SELECT 1 AS id"])


def _as_role(name, statements, texts, **sections):
    def body():
        with fixture() as (topic, db), role_of(db, grants="") as (user, uri):
            for statement in statements:
                db.sql(statement.format(user=user, db=db.name), superuser=True)
            document = numbered(topic, db, **sections)
            document["target"]["postgres"] = uri
            refused(document, OTHER, *[text.format(user=user, db=db.name) for text in texts])

    concurrent_test(body, name=f"rights-{name}")


_as_role("no-insert", ["GRANT SELECT ON t TO {user}"], ["INSERT", "GRANT INSERT", "{user}"])
_as_role("no-update", ["ALTER TABLE t ADD PRIMARY KEY (id)", "GRANT SELECT, INSERT ON t TO {user}"],
         ["UPDATE", "GRANT UPDATE", "{user}"], sync={"write": "upsert"})
_as_role("no-schema", ["GRANT INSERT ON t TO {user}", "REVOKE ALL ON SCHEMA public FROM public"], ["public", "GRANT USAGE"])
_as_role("no-connect", ["REVOKE ALL ON DATABASE {db} FROM public, {user}"], ["{db}", "GRANT CONNECT"])
_as_role("no-ledger", ["GRANT INSERT ON t TO {user}", "REVOKE CREATE ON DATABASE {db} FROM {user}"],
         ["sluice", "CREATE SCHEMA"])
_as_role("ledger-schema-of-somebody-else", ["GRANT INSERT ON t TO {user}", "CREATE SCHEMA sluice"],
         ["sluice", "GRANT", "{user}", "postgres"])


@concurrent_test
def ledger_of_somebody_else():
    """Another role has made the ledger and keeps it to itself."""
    with fixture() as (topic, db), role_of(db, grants="") as (user, uri):
        Sluice.run(numbered(topic, db), "--until-end").expect(0)
        db.sql(f"GRANT INSERT ON t TO {user}")
        document = numbered(topic, db)
        document["target"]["postgres"] = uri
        refused(document, OTHER, "ledger", "sluice", "GRANT", user)
        check_rows(db, [(0, 0, 0)])


@concurrent_test
def ledger_schema_that_holds_something_else():
    with fixture() as (topic, db):
        db.sql("CREATE SCHEMA sluice; CREATE TABLE sluice.task (id int, title text)")
        refused(numbered(topic, db), OTHER, "sluice", "ledger_schema")


@concurrent_test
def ledger_of_a_newer_sluice():
    with fixture() as (topic, db):
        document = numbered(topic, db)
        Sluice.run(document, "--until-end").expect(0)
        db.sql("UPDATE sluice.version SET layout = 999")
        refused(document, OTHER, "sluice", "999")


@concurrent_test
def ledger_has_another_task_of_that_name():
    with fixture() as (topic, db):
        document = numbered(topic, db)
        Sluice.run(document, "--until-end").expect(0)
        db.sql("CREATE TABLE public.u (LIKE t)")
        other = changed(document, target__table="public.u")
        refused(other, OTHER, document["name"], '"public"."t"', '"public"."u"', "another name")
        check_equal(db.rows("SELECT count(*) FROM public.u"), [(0,)])


@concurrent_test
def target_in_the_schema_of_the_ledger():
    with fixture() as (topic, db):
        Sluice.run(numbered(topic, db), "--until-end").expect(0)
        db.sql("CREATE TABLE sluice.u (LIKE t)")
        refused(changed(numbered(topic, db), target__table="sluice.u"), OTHER, '"sluice"."u"', "target.ledger_schema")


# ---- what disturbs all others: last, when they have ended ---------------------------------------------------------------


@test
def postgres_tls_required_and_hosts_refused():
    """Alone, after all others: it changes the server's pg_hba.conf."""
    with fixture() as (topic, db):
        url = urlsplit(db.uri)
        with db.host_rules("hostssl all sluice 127.0.0.1/32 scram-sha-256"):
            document = numbered(topic, db)
            document["target"]["postgres"] = _with(db, options="?sslmode=disable")
            refused(document, OTHER, "pg_hba.conf", "127.0.0.1", "sslmode=require")
            document["target"]["postgres"] = _with(db, options="?sslmode=require")
            Sluice.run(document, command="check").expect(0)
        with db.host_rules():
            refused(numbered(topic, db), OTHER, "pg_hba.conf", "127.0.0.1", f"hostssl {url.path[1:]} sluice 127.0.0.1/32")


main()
