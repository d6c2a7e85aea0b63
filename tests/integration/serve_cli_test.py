#!/usr/bin/python3
"""The command line over the API: `sluice login`, `connection`, `task`, `event`, `account`, `token`, `audit`."""

import contextlib
import fcntl
import http.server
import json
import os
import pathlib
import pty
import select
import signal
import stat
import subprocess
import sys
import tempfile
import termios
import threading
import time

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from kit import *
from served import *

PASSWORD = "correct horse battery"


class Cli:
    """sluice as somebody with a home of their own uses it."""

    def __init__(self, served, scheme="http", log_in=True):
        self.served = served
        self.home = pathlib.Path(served.folder.name, unique("home"))
        self.home.mkdir()
        self.url = f"{scheme}://127.0.0.1:{served.port}"
        self.environment = {**os.environ, "XDG_CONFIG_HOME": str(self.home), "SLUICE_SERVER": self.url}
        for name in ("SLUICE_TOKEN", "http_proxy", "https_proxy"):
            self.environment.pop(name, None)
        self.credentials = self.home / "sluice" / "credentials.json"
        self.said = ""  # all output so far
        if log_in:
            self("login", stdin=served.password + "\n")

    def done(self, *arguments, stdin="", code=0, environment=None):
        done = subprocess.run([os.environ["SLUICE_BIN"], *arguments], input=stdin, capture_output=True, text=True,
                              env={**self.environment, **(environment or {})}, timeout=120, check=False)
        self.said += done.stdout + done.stderr
        check_equal(done.returncode, code, f"sluice {' '.join(arguments)}: {done.stdout}\n{done.stderr}")
        return done

    def __call__(self, *arguments, **more):
        return self.done(*arguments, **more).stdout

    def refused(self, *arguments, code=1, says=(), **more):
        """What stands on standard error; nothing stands on standard output."""
        done = self.done(*arguments, code=code, **more)
        check_equal(done.stdout, "", f"output of the refused sluice {' '.join(arguments)}")
        for text in says:
            check(text in done.stderr, f"{text!r} is missing in: {done.stderr}")
        return done.stderr

    def json(self, *arguments, **more):
        return json.loads(self(*arguments, "-o", "json", **more))

    def file(self, text, name="", mode=0o600):
        path = self.home / (name or unique("file"))
        path.write_text(text if isinstance(text, str) else yaml.safe_dump(text, sort_keys=False))
        path.chmod(mode)
        return str(path)

    def start(self, *arguments):
        return subprocess.Popen([os.environ["SLUICE_BIN"], *arguments], env=self.environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class Terminal:
    """sluice with a terminal of its own."""

    def __init__(self, cli, *arguments):
        self.said = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(os.environ["SLUICE_BIN"], ["sluice", *arguments], cli.environment)

    def read_until(self, text, deadline_s=30):
        end = time.monotonic() + deadline_s
        while text not in self.said:
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            check(ready, f"{text!r} never came, only: {self.said!r}")
            try:
                piece = os.read(self.fd, 4096)
            except OSError:  # its end
                piece = b""
            check(piece, f"{text!r} never came, only: {self.said!r}")
            self.said += piece.decode()

    def type(self, text):
        os.write(self.fd, text.encode())

    def echoes(self):
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def end(self):
        """What is left of the output; then how it ended, as of waitpid()."""
        with contextlib.suppress(OSError):
            while piece := os.read(self.fd, 4096):
                self.said += piece.decode()
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return status


@contextlib.contextmanager
def prepared():
    """A server with the connections kafka and warehouse, ready; a topic with 10 messages and a table for them."""
    topic = Topic()
    with Served() as served, Database() as database:
        cli = Cli(served)
        cli("connection", "create", "--name", "kafka", "--type", "kafka", "--wait", "--property",
            f"bootstrap.servers={os.environ['SLUICE_KAFKA']}")
        given = postgres_connection(database)
        parameters = given["parameters"]
        cli("connection", "create", "--name", "warehouse", "--type", "postgresql", "--host", parameters["host"],
            "--port", str(parameters["port"]), "--user", parameters["user"], "--database", parameters["database"],
            "--wait", stdin=given["secrets"]["password"] + "\n")
        database.sql("CREATE TABLE orders (id int PRIMARY KEY, name text)")
        topic.produce(json.dumps({"id": i, "name": f"n{i}"}) for i in range(10))
        yield cli, topic, database


def document(topic, name="orders", **more):
    return {"name": name, "source": {"connection": "kafka", "topics": [topic.name]},
            "target": {"connection": "warehouse", "table": "public.orders"},
            "sync": {"write": "upsert", "primary_key": ["id"]}, **more}


# ---- log-in -----------------------------------------------------------------------------------------------------------


@test
def a_log_in_keeps_a_token_for_its_owner_alone():
    with Served() as served:
        cli = Cli(served, log_in=False)
        cli.refused("task", "list", says=["sluice login"])
        cli.refused("login", stdin="wrong\n", says=["->"])
        check(not cli.credentials.exists(), "a refused log-in keeps nothing")
        said = cli("login", "--role", "operator", stdin=served.password + "\n")
        check("as admin (operator)" in said, said)
        check_equal(stat.S_IMODE(cli.credentials.stat().st_mode), 0o600)
        check_equal(stat.S_IMODE(cli.credentials.parent.stat().st_mode), 0o700)
        check(served.password not in cli.credentials.read_text(), "the password was kept")
        check_equal(cli.json("account", "me")["role"], "operator", "role of the token")
        cli.refused("account", "list", says=["admin"])

        # Another log-in takes the place of the first, whose token goes.
        first = json.loads(cli.credentials.read_text())["servers"][cli.url]
        cli("login", "--password-file", cli.file(served.password))
        served.get("/api/v1/me", headers={"Authorization": "Bearer " + first["token"]}).expect(401)
        check_equal(cli.json("account", "me")["role"], "admin")
        second = json.loads(cli.credentials.read_text())["servers"][cli.url]
        # The server is remembered.
        cli("task", "list", environment={"SLUICE_SERVER": ""})
        cli("logout")
        served.get("/api/v1/me", headers={"Authorization": "Bearer " + second["token"]}).expect(401)
        cli.refused("task", "list", says=["sluice login"])
        check("not logged in" in cli("logout"), "a second logout")
        check(second["token"] not in cli.said and served.password not in cli.said, "a secret was printed")
        check(second["token"] not in served.log and served.password not in served.log, "a secret was logged")


@test
def what_is_open_to_others_is_refused():
    with Served() as served:
        cli = Cli(served)
        cli.credentials.chmod(0o644)
        cli.refused("task", "list", says=["credentials.json"])
        cli.credentials.chmod(0o600)
        cli.credentials.parent.chmod(0o755)
        cli.refused("task", "list", says=["chmod 700"])
        cli.refused("login", stdin=served.password + "\n", says=["chmod 700"])
        cli.credentials.parent.chmod(0o700)
        cli("task", "list")
        cli.refused("login", "--password-file", cli.file(served.password, mode=0o644), says=["file"])
        cli.credentials.write_text("[]")
        cli.refused("task", "list", says=["not a file that sluice login wrote"])


@test
def a_token_goes_to_its_own_server_alone():
    seen = []

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(dict(self.headers))
            self.send_response(302)
            self.send_header("Location", cli.url + "/api/v1/tasks")
            self.end_headers()

        def log_message(self, *_):
            pass

    with Served() as served, http.server.HTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        cli = Cli(served)
        cli.refused("task", "list", "--server", f"http://127.0.0.1:{other.server_port}", says=["no Sluice server"])
        other.shutdown()
        check(len(seen) == 1 and "Authorization" not in seen[0], f"what another server got: {seen}")
        # SLUICE_TOKEN goes before what was kept, and needs no file.
        viewer = cli("token", "create", "reader", "--role", "viewer").strip()
        check_equal(cli.json("account", "me", environment={"SLUICE_TOKEN": viewer})["role"], "viewer")
        cli.refused("account", "me", environment={"SLUICE_TOKEN": "slc_nobody"}, says=["sluice login"])
        cli.refused("account", "me", code=2, environment={"SLUICE_TOKEN": viewer + "\r\nX: y"}, says=["SLUICE_TOKEN"])
        cli("token", "revoke", "reader")
        cli.refused("account", "me", environment={"SLUICE_TOKEN": viewer})
        cli.refused("token", "revoke", "reader", says=["no token", "sluice token list"])


@test
def a_password_is_typed_unseen():
    with Served() as served:
        cli = Cli(served, log_in=False)
        terminal = Terminal(cli, "login")
        terminal.read_until("Password of admin at")
        check(not terminal.echoes(), "the terminal shows what is typed")
        terminal.type(served.password + "\n")
        status = terminal.end()
        check_equal(os.waitstatus_to_exitcode(status), 0, terminal.said)
        check("logged in at" in terminal.said and served.password not in terminal.said, terminal.said)

        # Ctrl-C ends it by the signal, and the terminal is as it was.
        master, slave = pty.openpty()
        process = subprocess.Popen([os.environ["SLUICE_BIN"], "login"], env=cli.environment, stdin=slave, stdout=slave,
                                   stderr=slave, start_new_session=True,
                                   preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0))
        said = b""
        while b"Password" not in said:
            said += os.read(master, 4096)
        os.write(master, b"half of it\x03")
        check_equal(process.wait(30), -signal.SIGINT, "Ctrl-C at the prompt")
        check(termios.tcgetattr(slave)[3] & termios.ECHO, "the terminal stays silent")
        os.close(master)
        os.close(slave)


@test
def over_tls_the_certificate_is_verified():
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = f"{folder}/certificate.pem", f"{folder}/key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
                       check=True, capture_output=True)
        served = Served(environment={"SLUICE_TLS_CERTIFICATE": certificate, "SLUICE_TLS_KEY": key})
        try:
            served.init()
            served.start()
            cli = Cli(served, "https", log_in=False)
            cli.refused("login", stdin=served.password + "\n", says=["certificate", "--ca FILE"])
            cli("login", "--ca", certificate, stdin=served.password + "\n")
            check_equal(cli.json("account", "me")["name"], "admin", "the authority is remembered")
        finally:
            served.__exit__(None, None, None)


@test
def a_wrong_command_line_and_a_server_that_is_not_there():
    with Served() as served:
        cli = Cli(served)
        cli.refused("task", code=2)
        cli.refused("task", "show", code=2, says=["NAME"])
        cli.refused("task", "list", "-o", "xml", code=2)
        cli.refused("task", "list", "--server", "ftp://host", code=2, says=["http://"])
        cli.refused("task", "list", "--server", "http://u:secretword@host", code=2, says=["user or password"])
        check("secretword" not in cli.said, "a password of a URL was printed")
        cli.refused("task", "create", str(cli.home / "none.yaml"), code=2, says=["none.yaml"])
        cli.refused("task", "create", cli.file("a: [", "bad.yaml"), code=2, says=["bad.yaml:"])
        cli.refused("task", "show", "nobody", says=['"nobody"', "sluice task list"])
        cli.refused("task", "list", "--state", "dancing", says=["?state"])
        cli.refused("event", "list", "--since", "yesterday", says=["?since", "RFC 3339"])
        served.stop()
        cli.refused("task", "list", says=[cli.url, "sluice serve"])
        served.start()  # for the end of `with`


# ---- connections ------------------------------------------------------------------------------------------------------


@test
def connections_are_made_checked_edited_and_deleted():
    with prepared() as (cli, topic, database):
        check_equal([(each["name"], each["status"]) for each in cli.json("connection", "list")["items"]],
                    [("kafka", "ready"), ("warehouse", "ready")])
        lines = cli("connection", "list", "--sort", "-name").splitlines()
        check(lines[0].split()[:3] == ["NAME", "TYPE", "STATUS"] and lines[1].startswith("warehouse"), str(lines))
        check(all(line == line.rstrip() and "\033" not in line for line in lines), "blanks or colours in a pipe")

        # From a file: the secret is looked up here, and stays out of what is shown.
        given = postgres_connection(database, "second")
        secret = cli.file(given["secrets"]["password"])
        given["secrets"]["password"] = "${file:%s}" % secret
        made = cli.json("connection", "create", cli.file(given, "second.yaml"), "--description", "from a file", "--wait")
        check_equal((made["status"], made["description"]), ("ready", "from a file"))
        check_equal(made["secrets"], {"password": True})

        # A wrong password: step by step, with the reason, and exit code 1.
        said = cli("connection", "edit", "second", "--password-file", cli.file("wrong password"), "--wait", code=1)
        check("login" in said and "->" in said and "is failed" in said, said)
        said = cli("connection", "check", "second", code=1)
        check(said.startswith("ok       name") and "is failed" in said, said)
        cli("connection", "edit", "second", "--password-file", secret, "--wait")
        said = cli("connection", "check", made["id"])
        check("login" in said and "is ready" in said, said)
        check_equal(cli.json("connection", "check", "second")["status"], "ready")

        check("edited" in cli("connection", "edit", "second", "--description", "shown ${env:HOME}"), "another description")
        check("is so already" in cli("connection", "edit", "second", "--description", "shown ${env:HOME}"), "the same")
        check_equal(cli.json("connection", "show", "second")["description"], "shown ${env:HOME}", "flags are no documents")
        shown = cli("connection", "show", "second", "-o", "yaml")
        check_equal(yaml.safe_load(shown)["id"], made["id"])
        check("host" in cli("connection", "show", "second"), "parameters in the table form")

        cli.refused("connection", "edit", "second", code=2, says=["nothing to change"])
        cli.refused("connection", "create", "--name", "x", code=2, says=["--type"])
        cli.refused("connection", "create", "--name", "x", "--type", "kafka", "--property", "sasl.password=open sesame",
                    code=2, says=["--secret-file sasl.password=FILE"])
        cli.refused("connection", "create", "--name", "x", "--type", "postgresql", "--host", "h", "--user", "u", code=2,
                    says=["Password of the connection"])
        cli.refused("connection", "create", "--name", "", "--type", "kafka", "--property", "debug=all",
                    says=["parameters.properties.debug", "name"])
        cli.refused("connection", "create", "--name", "second", "--type", "kafka", "--property", "bootstrap.servers=h:1",
                    says=["second"])
        cli("connection", "delete", "second")
        cli.refused("connection", "show", "second", says=["no connection"])
        for password in ("wrong password", "open sesame"):
            check(password not in cli.said and password not in cli.served.log, "a password was printed or logged")


@test
def what_is_behind_a_connection_can_be_looked_at():
    with prepared() as (cli, topic, database):
        database.sql("CREATE TABLE \"odd name\" (a int, b text DEFAULT 'x'); COMMENT ON COLUMN \"odd name\".a IS 'first'")
        tables = cli.json("connection", "browse", "warehouse", "tables", "--schema", "public")
        check_equal(sorted(table["name"] for table in tables["items"]), ["odd name", "orders"])
        check_equal(len(cli.json("connection", "browse", "warehouse", "tables", "-n", "1", "--fresh")["items"]), 1)
        said = cli("connection", "browse", "warehouse", "table", "odd name", "--schema", "public")
        check("first" in said and "columns" in said, said)
        check_equal(cli("connection", "browse", "warehouse", "table", "public.odd name"), said, "with its schema")
        check_equal(cli("connection", "browse", "warehouse", "table", "odd name"), said, "in public")
        check(topic.name in cli("connection", "browse", "kafka", "topics", "--search", topic.name), "the topic")
        shown = cli.json("connection", "browse", "kafka", "topic", topic.name)
        check_equal(shown["messages"], 10)
        cli.refused("connection", "browse", "kafka", "topic", code=2, says=["topic takes a name"])
        cli.refused("connection", "browse", "kafka", "topic", "no.such", says=["no.such"])
        cli.refused("connection", "browse", "kafka", "tables", says=["topics and groups"])


# ---- tasks ------------------------------------------------------------------------------------------------------------


@test
def a_task_from_its_file_to_its_end():
    with prepared() as (cli, topic, database):
        file = cli.file(document(topic), "orders.yaml")
        done = cli.done("task", "create", file, "--dry-run")
        check("ok" in done.stdout, done.stdout)
        check_equal(cli.json("task", "list")["items"], [], "a dry run keeps nothing")
        done = cli.done("task", "apply", file, "--tag", "team=shop", "--tag", "hot", "--wait")
        check("is running" in done.stdout, done.stdout)
        for step in ("validate", "connect_source", "connect_target", "prepare_ledger", "prepare_table", "start"):
            check(step in done.stderr and "%" in done.stderr, f"{step} is missing in {done.stderr}")
        eventually(lambda: database.value("SELECT count(*) FROM orders") == 10, "10 rows")
        task = cli.json("task", "show", "orders")
        check_equal(task["tags"], {"team": "shop", "hot": ""})
        check_equal(cli.json("task", "show", task["id"])["name"], "orders", "by its id")
        check_equal([each["name"] for each in cli.json("task", "list", "--tag", "team=shop")["items"]], ["orders"])
        check_equal(cli.json("task", "list", "--tag", "team=other")["items"], [])
        check("orders" in cli("task", "list") and "running" in cli("task", "list"), "the table")
        check("orders" in cli("connection", "tasks", "kafka"), "the connection's tasks")
        cli.refused("connection", "delete", "kafka", says=["task orders (running)"])
        cli.refused("task", "create", file, says=["orders"])

        # apply: the same again changes nothing; another document is a revision.
        check("keeps revision 1" in cli("task", "apply", file), "nothing has changed")
        changed = cli.file(document(topic, description="second"), "orders.yaml")
        check("has revision 2" in cli("task", "apply", changed, "--comment", "with words"), "a change")
        check("with words" in cli("task", "revisions", "orders"), "the comment")
        said = cli("task", "diff", "orders")
        check("revision 2 against 1" in said and "+ second" in said, said)
        check_equal(cli.json("task", "diff", "orders", "1", "--against", "2")["changes"],
                    [{"path": "description", "before": "second", "after": None}])
        check("first" in cli("task", "diff", "orders", "1"), "the first revision")
        check("has revision 3" in cli("task", "rollback", "orders", "1"), "rolled back")
        check_equal(cli.json("task", "edit", "orders", "--untag", "hot", "--tag", "a=b", "--description", "third",
                             "--wait")["tags"], {"a": "b", "team": "shop"})
        cli.refused("task", "edit", "orders", code=2, says=["nothing to change"])
        cli.refused("task", "rollback", "orders", "99", says=["99"])

        figures = cli.json("task", "figures", "orders")
        check_equal(figures["state"], "running")
        check("lag_messages" in cli("task", "figures", "orders"), "figures as a table")

        check("is paused" in cli("task", "pause", "orders", "--wait"), "paused")
        check("paused" in cli("task", "pause", "orders"), "twice is no error")
        said = cli.refused("task", "restart", "orders", "--from", "earliest",
                           says=["10 repeated", '--confirm "skip 0, repeat 10"'])
        check_equal(cli.json("task", "show", "orders")["state"], "paused", said)
        cli.refused("task", "restart", "orders", "--from", "earliest", "--confirm", "skip 1, repeat 1", says=["repeat"])
        cli.refused("task", "restart", "orders", "--from", "{offsets: [", code=2)
        database.sql("TRUNCATE orders")
        check("is running" in cli("task", "restart", "orders", "--from", "earliest", "--yes", "--wait"), "moved")
        eventually(lambda: database.value("SELECT count(*) FROM orders") == 10, "the 10 rows again")
        cli("task", "pause", "orders", "--wait")
        cli.refused("task", "rebuild", "orders", says=["paused"])
        check("is running" in cli("task", "resume", "orders", "--wait"), "resumed")

        check("was created" in cli("task", "copy", "orders", "--name", "copied"), "copied")
        check("is deleted" in cli("task", "delete", "copied", "--ledger", "--wait"), "deleted")
        check("is deleted" in cli("task", "delete", "orders", "--wait"), "deleted")
        cli.refused("task", "show", "orders", says=["no task"])
        check_equal(database.value("SELECT count(*) FROM orders"), 10, "rows stay")


@test
def a_terminal_is_asked_before_a_task_is_moved():
    with prepared() as (cli, topic, database):
        cli("task", "create", cli.file(document(topic)), "--wait")
        eventually(lambda: database.value("SELECT count(*) FROM orders") == 10, "10 rows")
        cli("task", "pause", "orders", "--wait")
        for answer, code, state in (("n", 1, "paused"), ("y", 0, "running")):
            terminal = Terminal(cli, "task", "restart", "orders", "--from", "earliest", "--wait")
            terminal.read_until("go on? [y/N]")
            check("10 repeated" in terminal.said, terminal.said)
            terminal.type(answer + "\n")
            check_equal(os.waitstatus_to_exitcode(terminal.end()), code, terminal.said)
            check_equal(cli.json("task", "show", "orders")["state"], state)


@test
def what_is_wrong_with_a_document_has_its_line():
    with prepared() as (cli, topic, _):
        file = cli.file("name: orders\nsource:\n  connection: nowhere\n  topics: [a]\n"
                        "target: {connection: warehouse, table: t}\n", "wrong.yaml")
        cli.refused("task", "create", file, says=[f"{file}:3: source.connection", "nowhere"])
        file = cli.file("name: orders\nsource: {connection: kafka, topics: [a]}\n"
                        "target: {connection: warehouse, table: t}\nsync:\n  write: sideways\n", "wrong.yaml")
        said = cli.refused("task", "apply", file, says=[f"{file}:5: sync.write"])
        check("orders" not in cli("task", "list"), said)
        # Numbers and placeholders are the user's: what was not found is said with its place.
        cli.refused("task", "apply", cli.file("name: ${env:SLUICE_NOT_SET}\n", "open.yaml"), code=2,
                    says=["open.yaml:1", "SLUICE_NOT_SET"])
        cli.refused("task", "apply", cli.file("description: x\n", "nameless.yaml"), code=2, says=["has no name"])

        # A table that is not there: the dry run says so; a creation fails, and can be rebuilt.
        missing = cli.file({**document(topic), "target": {"connection": "warehouse", "table": "public.none"}})
        said = cli("task", "create", missing, "--dry-run", code=1)
        check("none" in said and "->" in said, said)
        done = cli.done("task", "create", missing, "--wait", code=1)
        check("is create_failed" in done.stdout and "public.none" in done.stderr.replace('"', ""), done.stderr)
        check("is running" in cli("task", "rebuild", "orders", cli.file(document(topic)), "--wait"), "rebuilt")


@test
def an_edit_on_top_of_anothers_is_refused():
    class Between(http.server.BaseHTTPRequestHandler):
        """Passes everything on; somebody else's edit comes in front of each PATCH."""

        def do_GET(self):
            length = int(self.headers.get("Content-Length", 0))
            headers = {name: value for name, value in self.headers.items() if name in kept}
            if self.command == "PATCH":
                cli.served.patch(self.path, {"description": "somebody else's"}).expect(200)
            answer = cli.served.request(self.command, self.path, self.rfile.read(length) if length else None, headers)
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers["content-type"])
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_PATCH = do_GET

        def log_message(self, *_):
            pass

    kept = ("Authorization", "Content-Type", "If-Match")
    with prepared() as (cli, topic, _), http.server.HTTPServer(("127.0.0.1", 0), Between) as between:
        threading.Thread(target=between.serve_forever, daemon=True).start()
        file = cli.file(document(topic))
        cli("task", "create", file, "--wait")
        token = cli("token", "create", "between", "--role", "operator").strip()
        there = {"environment": {"SLUICE_TOKEN": token, "SLUICE_SERVER": f"http://127.0.0.1:{between.server_port}"}}
        check_equal(cli.json("task", "list", **there)["total"], 1, "through the one between")
        for arguments in (["task", "edit", "orders", "--description", "mine"], ["task", "apply", file],
                          ["connection", "edit", "kafka", "--description", "mine"]):
            cli.refused(*arguments, says=["Somebody else changed it"], **there)
        between.shutdown()
        check_equal(cli.json("task", "show", "orders")["description"], "somebody else's")
        check_equal(cli.json("connection", "show", "kafka")["description"], "somebody else's")


@test
def figures_and_events_are_watched():
    with prepared() as (cli, topic, database):
        watching = cli.start("event", "list", "--follow", "-n", "1", "-o", "json")
        first = json.loads(watching.stdout.readline())
        check("type" in first, f"the last event before: {first}")
        cli("task", "create", cli.file(document(topic)), "--wait")
        seen = []
        while "task.state_changed" not in seen:
            seen.append(json.loads(watching.stdout.readline())["type"])
        check("task.created" in seen, f"events as they come: {seen}")
        watching.terminate()
        watching.wait()

        figures = cli.start("task", "figures", "orders", "--watch")
        line = figures.stdout.readline()
        check("running" in line and "lag" in line, line)
        eventually(lambda: "10 rows" in figures.stdout.readline(), "10 rows in a line")
        cli("task", "delete", "orders", "--wait")
        check_equal(figures.wait(30), 0, "it ends with the task")

        events = cli.json("event", "list", "--all")
        check_equal(len(events["items"]), events["total"])
        some = cli.json("event", "list", "--type", "task.created")["items"]
        check_equal(len(some), 1)
        check("task.created" in cli("event", "show", str(some[0]["id"])), "one event")
        check("task.created" in cli("event", "types"), "the catalogue")
        check_equal({each["subject"]["name"] for each in cli.json("event", "list", "--connection", "kafka")["items"]},
                    {"kafka"})
        done = cli.done("event", "list", "-n", "2")
        check(f"2 of {events['total']}; --all" in done.stderr and len(done.stdout.splitlines()) == 3, done.stdout)
        check("task.delete" in cli("audit", "list", "--operation", "task.delete"), "the audit")
        entry = cli.json("audit", "list", "--operation", "connection.create")["items"][0]
        check_equal(entry["account"], "admin")


@test
def a_stream_of_events_survives_the_server():
    with Served(environment={"SLUICE_LISTEN": "127.0.0.1:0"}) as served:
        cli = Cli(served)
        watching = cli.start("event", "list", "--follow", "-n", "1", "-o", "json")
        json.loads(watching.stdout.readline())
        served.get("/readyz").expect(200)
        served.environment["SLUICE_LISTEN"] = f"127.0.0.1:{served.port}"
        served.kill()
        served.start()
        cli("account", "create", "later", "--role", "viewer", stdin=PASSWORD + "\n")
        while "account.created" not in watching.stdout.readline():
            check(watching.poll() is None, "it has ended")
        watching.terminate()
        watching.wait()


# ---- accounts and tokens ----------------------------------------------------------------------------------------------


@test
def accounts_and_tokens():
    with Served() as served:
        cli = Cli(served)
        check("account ada (operator) created" in cli("account", "create", "ada", "--role", "operator", "--password-file",
                                                      cli.file(PASSWORD)), "made")
        cli.refused("account", "create", "ada", "--role", "viewer", stdin=PASSWORD + "\n", says=["ada"])
        cli.refused("account", "create", "bob", "--role", "viewer", stdin="short\n", says=["password", "10 to 128"])
        cli.refused("account", "create", "bob", "--role", "king", code=2)
        check("ada" in cli("account", "list") and "operator" in cli("account", "show", "ada"), "listed")

        ada = Cli(served, log_in=False)
        ada("login", "--user", "ada", stdin=PASSWORD + "\n")
        ada.refused("login", "--user", "ada", "--role", "admin", stdin=PASSWORD + "\n", says=["role"])
        check_equal(ada.json("account", "me")["name"], "ada", "a refused log-in keeps the one before")
        token = ada("token", "create", "nightly", "--role", "viewer", "--days", "3").strip()
        check(token.startswith("slc_") and "\n" not in token, "the token alone stands on standard output")
        check("nightly" in ada("token", "list") and token not in ada("token", "list"), "listed without its secret")
        ada("token", "create", "nightly", "--role", "viewer")
        ada.refused("token", "revoke", "nightly", code=1, says=["there are 2", "tok-"])
        for each in ada.json("token", "list", "--search", "nightly")["items"]:
            ada("token", "revoke", each["id"])
        ada("account", "password", "--current-file", ada.file(PASSWORD), "--new-file", ada.file(PASSWORD + "!"))
        ada("login", "--user", "ada", stdin=PASSWORD + "!\n")

        cli.refused("account", "edit", "ada", code=2, says=["nothing to change"])
        cli("account", "edit", "ada", "--role", "viewer")
        cli("account", "edit", "ada", "--disable")
        ada.refused("task", "list")
        cli("account", "edit", "ada", "--enable", "--password-file", cli.file(PASSWORD))
        cli("account", "delete", "ada")
        cli.refused("account", "delete", "admin", says=["administrator"])
        for secret in (PASSWORD, served.password, token):
            check(secret not in cli.said and secret not in served.log, "a secret was printed or logged")


if __name__ == "__main__":
    main()
