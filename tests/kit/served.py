"""A real `sluice serve` on a fresh control database, and a client of its API.

    with Served() as served:
        served.post("/api/v1/connections", {...}).expect(201)
        task = served.post("/api/v1/tasks", {"document": ...}).expect(201).json
        served.until_state(task["id"], "running")
"""

import http.client
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import time
from typing import Any, Dict, Iterator, Optional
from urllib.parse import urlsplit

import described
from kit import Database, Failure, Topic, check, check_equal, eventually, root

__all__ = ["Answer", "Served", "kafka_connection", "postgres_connection"]


class Answer:
    def __init__(self, status: int, headers: Dict[str, str], body: bytes, what: str):
        self.status, self.headers, self.body, self.what = status, headers, body, what

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None

    def expect(self, status: int, code: str = "") -> "Answer":
        """The status, and for refusals the problem's code."""
        text = self.body.decode("utf-8", "replace")
        check_equal(self.status, status, f"{self.what}: {text[:600]}")
        if status >= 400:
            check_equal(self.headers.get("content-type"), "application/problem+json", self.what)
            check(self.json.get("title") and self.json.get("advice"), f"{self.what}: no title or advice in {text}")
        if code:
            check_equal(self.json["code"], code, f"{self.what}: {text[:600]}")
        return self

    @property
    def etag(self) -> str:
        return self.headers["etag"]


class Served:
    """A server; kill() and start() for crashes. Its log is in .log; everything goes at the end of `with`."""

    def __init__(self, *arguments: str, environment: Optional[Dict[str, str]] = None, role: str = "admin"):
        self._arguments, self._role = arguments, role
        self.folder = tempfile.TemporaryDirectory(prefix="served_")
        self.control = Database()
        self.environment = {**os.environ, "XDG_STATE_HOME": self.folder.name,
                            "SLUICE_DATABASE_URL": self.control.uri, "SLUICE_LISTEN": "127.0.0.1:0",
                            "SLUICE_LIMITS_REQUESTS_PER_SECOND": "10000", **(environment or {})}
        self.process: Optional[subprocess.Popen] = None
        self.port = 0
        self.lines: list = []
        self.password = ""
        self.headers: Dict[str, str] = {}

    # ---- the process

    def __enter__(self) -> "Served":
        self.init()
        self.start()
        self.log_in()
        return self

    def init(self) -> None:
        out = self.run("serve", "--init")
        self.password = next(line.split()[1] for line in out.splitlines() if line.startswith("password"))

    def run(self, *arguments: str, code: int = 0) -> str:
        """sluice with these arguments, in the server's environment, to its end."""
        done = subprocess.run([os.environ["SLUICE_BIN"], *arguments], env=self.environment, capture_output=True,
                              text=True, timeout=120, check=False)
        check_equal(done.returncode, code, f"sluice {' '.join(arguments)}: {done.stdout} {done.stderr}")
        return done.stdout + done.stderr

    def start(self) -> None:
        self.process = subprocess.Popen([os.environ["SLUICE_BIN"], "serve", *self._arguments], env=self.environment,
                                        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        serving = threading.Event()
        before = len(self.lines)

        def read(process: subprocess.Popen) -> None:
            for line in process.stderr:
                self.lines.append(line.rstrip("\n"))
                if "serving" in line and "port=" in line:
                    self.port = int(line.split("port=")[1].split()[0])
                    serving.set()
            serving.set()

        threading.Thread(target=read, args=(self.process,), daemon=True).start()
        serving.wait(60)
        if self.process.poll() is not None or not serving.is_set():
            raise Failure("sluice serve did not start: " + "\n".join(self.lines[before:])[-2000:])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self, code: int = 143) -> None:
        self.process.send_signal(signal.SIGTERM)
        check_equal(self.process.wait(60), code, "exit code of serve: " + self.log[-1500:])

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    def __exit__(self, kind, value, trace) -> None:
        if kind is not None:
            print("    log of serve: " + "\n      ".join(self.lines[-40:]))
        if self.process and self.process.poll() is None:
            try:
                if kind is None:
                    self.stop()
            finally:
                if self.process.poll() is None:
                    self.kill()
        self.control.__exit__(None, None, None)
        self.folder.cleanup()

    # ---- the client

    def log_in(self, user: str = "admin", password: str = "") -> None:
        """Further requests are made with a new token of this account."""
        answer = self.request("POST", "/api/v1/login", {"user": user, "password": password or self.password},
                              headers={}).expect(200)
        cookie = answer.headers["set-cookie"].split(";")[0]
        token = self.request("POST", "/api/v1/tokens", {"name": "test", "role": self._role},
                             headers={"Cookie": cookie, "X-CSRF-Token": answer.json["csrf_token"]}).expect(201)
        self.headers = {"Authorization": "Bearer " + token.json["token"]}

    def request(self, method: str, path: str, body: Any = None, headers: Optional[Dict[str, str]] = None,
                timeout_s: float = 90) -> Answer:
        """body: bytes as they are, anything else as JSON. headers: instead of the token's. Every answer must be one that
        api/openapi.yaml describes."""
        sent = dict(self.headers if headers is None else headers)
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            answer = Answer(response.status, {name.lower(): value for name, value in response.getheaders()},
                            response.read(), f"{method} {path}")
            described.check_answer(method, path, answer.status, answer.headers, answer.body)
            return answer
        finally:
            connection.close()

    def get(self, path: str, **more) -> Answer:
        return self.request("GET", path, **more)

    def post(self, path: str, body: Any = None, **more) -> Answer:
        return self.request("POST", path, body, **more)

    def patch(self, path: str, body: Any = None, **more) -> Answer:
        return self.request("PATCH", path, body, **more)

    def delete(self, path: str, **more) -> Answer:
        return self.request("DELETE", path, **more)

    def with_header(self, name: str, value: str) -> Dict[str, str]:
        return {**self.headers, name: value}

    def stream(self, path: str, headers: Optional[Dict[str, str]] = None, deadline_s: float = 30,
               method: str = "GET") -> Iterator[Dict[str, str]]:
        """The messages of text/event-stream, each as {"event", "data", "id"}, until it ends."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=deadline_s)
        try:
            connection.request(method, path, None, {**self.headers, "Accept": "text/event-stream", **(headers or {})})
            response = connection.getresponse()
            check_equal(response.status, 200, f"{method} {path}")
            check_equal(response.getheader("content-type"), "text/event-stream", path)
            described.check_answer(method, path, 200, {"content-type": "text/event-stream"}, b"")
            message: Dict[str, str] = {}
            for raw in response:
                line = raw.decode().rstrip("\n")
                if line and not line.startswith(":"):
                    name, _, value = line.partition(": ")
                    message[name] = value
                elif not line and message:
                    yield message
                    message = {}
        finally:
            connection.close()

    def until_state(self, task_id: str, *states: str, deadline_s: float = 60) -> Dict[str, Any]:
        """Waits until the task is in one of the states; returns it."""
        seen = []

        def there():
            task = self.get(f"/api/v1/tasks/{task_id}").expect(200).json
            if not seen or seen[-1] != task["state"]:
                seen.append(task["state"])
            if task["state"] in states:
                return task
            if task["state"] in ("failed", "create_failed", "resume_failed", "delete_failed"):
                raise Failure(f"task {task_id} is {task['state']}, not {states}: {task['reason']}")
            return None

        return eventually(there, f"task {task_id} becomes {' or '.join(states)}, not {seen}", deadline_s)


def kafka_connection(name: str = "kafka", **properties: str) -> Dict[str, Any]:
    return {"name": name, "type": "kafka",
            "parameters": {"properties": {"bootstrap.servers": os.environ["SLUICE_KAFKA"], **properties}}}


def postgres_connection(database: Database, name: str = "warehouse", **parameters: Any) -> Dict[str, Any]:
    uri = urlsplit(database.uri)
    return {"name": name, "type": "postgresql",
            "parameters": {"host": uri.hostname, "port": uri.port, "user": uri.username,
                           "database": uri.path.lstrip("/"), **parameters},
            "secrets": {"password": uri.password}}
