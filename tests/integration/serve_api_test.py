"""api/openapi.yaml against the real server: its examples are valid and can be sent as they stand, every operation succeeds
with an answer that it describes, and says no as it describes (each answer is checked in tests/kit/described.py)."""

import json
import os
import pathlib
import sys
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
import described
from described import example_of, mistakes, operations
from kit import Database, Failure, Message, Topic, check, check_equal, eventually, main, root, test
from served import Served, postgres_connection

PASSWORD = "correct horse battery"  # of the examples
NOBODY = "nothing_0"


def examples(content):
    return [each["value"] for each in content.get("examples", {}).values()] + \
        ([content["example"]] if "example" in content else [])


@test
def examples_are_what_their_schemas_say():
    count = 0
    for operation in operations():
        holders = [operation.body] if operation.body else []
        for holder in holders + list(operation.responses.values()):
            for kind, content in holder.get("content", {}).items():
                for example in examples(content):
                    count += 1
                    if kind in ("text/plain", "application/yaml"):
                        continue
                    if kind == "text/event-stream":
                        example = json.loads(example.split("data: ")[1])
                        check(isinstance(example, dict), f"{operation.id}: the data of its stream")
                        continue
                    wrong = list(mistakes(content["schema"], example))
                    check(not wrong, f"{operation.id}, {kind}: {wrong}")
        for parameter in operation.parameters:
            if "example" in parameter:
                wrong = list(mistakes(parameter["schema"], parameter["example"]))
                check(not wrong, f"{operation.id}, {parameter['name']}: {wrong}")
    check(count > 100, f"only {count} examples")


@test
def schemas_refuse_what_is_not_theirs():
    """The checks above and below can fail."""
    task = {"$ref": "#/components/schemas/Task"}
    good = described.find("showTask").responses["200"]["content"]["application/json"]["example"]
    check(not list(mistakes(task, good)), "the example")
    for change in ({"state": "away"}, {"extra": 1}, {"version": "1"}, {"created_at": "2026-02-01 08:30:30Z"}):
        check(list(mistakes(task, {**good, **change})), f"{change} is taken")
    check(list(mistakes(task, {name: value for name, value in good.items() if name != "document"})), "without document")
    connection = {"$ref": "#/components/schemas/EditedConnection"}
    good = described.find("editConnection").responses["200"]["content"]["application/json"]["example"]
    check(list(mistakes(connection, {**good, "extra": 1})), "an extra member of a connection is taken")


class Shop:
    """The server and what the examples name: a topic `orders`, which has another name here, and a table public.orders."""

    def __enter__(self) -> "Shop":
        self.topic = Topic()
        self.topic.produce([Message(value={"id": i}) for i in range(10)])
        self.db = Database()
        self.db.sql("CREATE TABLE public.orders (id bigint PRIMARY KEY)")
        self.served = Served(environment={"SLUICE_METRICS_OPEN": "true"})
        self.served.__enter__()
        return self

    def __exit__(self, kind, value, trace) -> None:
        self.served.__exit__(kind, value, trace)
        self.db.__exit__(kind, value, trace)

    def connection(self, which: str):
        body = example_of("createConnection", which)
        if which == "kafka":
            body["parameters"]["properties"]["bootstrap.servers"] = os.environ["SLUICE_KAFKA"]
        else:
            real = postgres_connection(self.db)
            body["parameters"].update(real["parameters"])
            body["secrets"] = real["secrets"]
        return body

    def task(self, operation: str = "createTask", **more):
        body = example_of(operation)
        body["document"]["source"]["topics"] = [self.topic.name]
        body["document"].update(more)
        return body

    def connect(self):
        """The ids of both connections, checked: of Kafka and of PostgreSQL."""
        ids = [self.served.post("/api/v1/connections", self.connection(which)).expect(201).json["id"]
               for which in ("kafka", "postgresql")]
        for each in ids:
            eventually(lambda: self.served.get(f"/api/v1/connections/{each}").json["status"] == "ready", "it is checked")
        return ids


def use_access(served: Served) -> None:
    account = served.post("/api/v1/accounts", example_of("createAccount")).expect(201).json
    path = f"/api/v1/accounts/{account['id']}"
    logged_in = served.request("POST", "/api/v1/login", {**example_of("logIn"), "user": account["name"]}, headers={})
    logged_in.expect(200)
    cookie = {"Cookie": logged_in.headers["set-cookie"].split(";")[0], "X-CSRF-Token": logged_in.json["csrf_token"]}
    check_equal(served.get("/api/v1/me", headers=cookie).expect(200).json["by"], "session")
    served.get("/api/v1/me").expect(200)
    served.request("PUT", "/api/v1/me/password", example_of("changePassword"), headers=cookie).expect(204)
    served.post("/api/v1/logout", headers=cookie).expect(204)
    check_equal(served.get("/api/v1/accounts?limit=1&sort=-name&search=an").expect(200).json["total"], 1)
    served.get(path).expect(200)
    edited = served.patch(path, example_of("editAccount")).expect(200)
    served.delete(path, headers=served.with_header("If-Match", edited.etag)).expect(204)
    token = served.post("/api/v1/tokens", example_of("createToken")).expect(201).json
    served.get("/api/v1/tokens").expect(200)
    served.delete(f"/api/v1/tokens/{token['id']}").expect(204)
    check_equal(served.get("/api/v1/operations").expect(200).json["total"], len(operations()))


def use_connections(shop: Shop, kafka: str, warehouse: str) -> None:
    served = shop.served
    listed = served.get("/api/v1/connections?limit=1&sort=-created_at").expect(200).json
    check_equal((listed["total"], len(listed["items"])), (2, 1))
    next_page = served.get("/api/v1/connections?limit=1&sort=-created_at&cursor=" + listed["next_cursor"]).expect(200).json
    check_equal((next_page["items"][0]["id"], next_page["next_cursor"]), (kafka, None))
    served.post(f"/api/v1/connections/{warehouse}/check").expect(202)
    names = [each["event"] for each in served.stream(f"/api/v1/connections/{kafka}/check", method="POST")]
    check(names.count("step") > 3 and names[-1] == "end", f"{names}")
    for what in ("databases", "schemas", "tables", "table?name=orders&schema=public"):
        served.get(f"/api/v1/connections/{warehouse}/{what}").expect(200)
    for what in (f"topics?search={shop.topic.name}", f"topics/{shop.topic.name}"):
        served.get(f"/api/v1/connections/{kafka}/{what}").expect(200)
    # A group is there once a task has read.
    group = eventually(lambda: served.get(f"/api/v1/connections/{kafka}/groups?fresh=true&limit=100&search=sluice-").json["items"],
                       "there is a group")[0]["name"]
    served.get(f"/api/v1/connections/{kafka}/groups/{urllib.parse.quote(group, '')}").expect(200)
    check_equal(len(served.get(f"/api/v1/connections/{warehouse}/tasks").expect(200).json["items"]), 1)
    wanted = {**example_of("editConnection"), "secrets": shop.connection("postgresql")["secrets"]}
    edited = served.patch(f"/api/v1/connections/{warehouse}", wanted).expect(200).json
    check_equal([task["role"] for task in edited["restarted_tasks"]], ["target"])


def use_tasks(shop: Shop, task_id: str) -> None:
    served, path = shop.served, f"/api/v1/tasks/{task_id}"
    listed = served.get("/api/v1/tasks?state=running&source=kafka&target=warehouse&type=postgresql&tag=team=shop").expect(200)
    check_equal(listed.json["total"], 1)
    eventually(lambda: served.get(path + "/figures").expect(200).json["figures"]["rows_written"] == 10, "ten rows")
    next(served.stream(path + "/figures/stream"))
    edited = served.patch(path, example_of("editTask")).expect(200)
    check_equal((edited.json["revision"], edited.json["tags"]), (2, {"team": "market"}))
    served.post(path + "/pause").expect(202)
    served.until_state(task_id, "paused")
    served.post(path + "/resume").expect(202)
    served.until_state(task_id, "running")
    served.post(path + "/pause").expect(202)
    served.until_state(task_id, "paused")
    restart = example_of("restartTask")
    asked = served.post(path + "/restart", restart).expect(409, "confirmation_needed").json
    served.post(path + "/restart", {**restart, "confirm": asked["confirm"]}).expect(202)
    served.until_state(task_id, "running")
    served.get(path + "/revisions").expect(200)
    served.get(path + "/revisions/1").expect(200)
    check_equal([change["path"] for change in served.get(path + "/revisions/2").expect(200).json["changes"]], ["description"])
    check_equal(served.post(path + "/rollback", example_of("rollBackTask")).expect(200).json["revision"], 3)
    copied = served.post(path + "/copy", example_of("copyTask")).expect(201).json["id"]
    served.until_state(copied, "running")
    failing = served.post("/api/v1/tasks", {"document": shop.task(name="failing", target={
        "connection": "warehouse", "table": "public.missing"})["document"]}).expect(201).json["id"]
    eventually(lambda: served.get(f"/api/v1/tasks/{failing}").json["state"] == "create_failed", "its creation fails")
    served.post(f"/api/v1/tasks/{failing}/rebuild", shop.task("rebuildTask", name="rebuilt")).expect(202)
    served.until_state(failing, "running")
    for each in (failing, copied):
        served.delete(f"/api/v1/tasks/{each}?ledger=true").expect(202)
        eventually(lambda: served.get(f"/api/v1/tasks/{each}").status == 404, "it is gone")


@test
def every_operation_succeeds_with_its_example():
    described.seen.clear()
    with Shop() as shop:
        served = shop.served
        use_access(served)
        kafka, warehouse = shop.connect()
        check_equal(served.post("/api/v1/tasks?dry_run=true", shop.task()).expect(200).json["ok"], True)
        task = served.post("/api/v1/tasks", shop.task()).expect(201).json["id"]
        served.until_state(task, "running")
        use_tasks(shop, task)
        use_connections(shop, kafka, warehouse)
        served.delete(f"/api/v1/tasks/{task}").expect(202)
        eventually(lambda: served.get(f"/api/v1/tasks/{task}").status == 404, "it is gone")
        served.delete(f"/api/v1/connections/{warehouse}").expect(204)
        events = served.get("/api/v1/events?severity=info&kind=task&since=2026-01-01T00:00:00Z").expect(200).json["items"]
        served.get(f"/api/v1/events/{events[0]['id']}").expect(200)
        check_equal(next(served.stream("/api/v1/events/stream?after=1"))["event"], "start")
        served.get("/api/v1/event-types", headers=served.with_header("Accept-Language", "zh-CN")).expect(200)
        check(served.get("/api/v1/audit?operation=task.create").expect(200).json["total"] > 0, "the audit has it")
        for path in ("/healthz", "/readyz", "/metrics"):
            served.get(path, headers={}).expect(200)
        served.get("/api/v1/metrics").expect(200)
        served.get("/api/v1/system").expect(200)
        text = served.get("/api/v1/openapi.yaml").expect(200).body
        check(text == (root / "api" / "openapi.yaml").read_bytes(), "it is the file")
    missing = {operation.id for operation in operations()} - described.seen
    check_equal(missing, set(), "operations that never succeeded")


def some_path(operation) -> str:
    """Its path, with an id that nothing has."""
    return "/".join("1" if part == "{revision}" else NOBODY if part.startswith("{") else part
                    for part in operation.path.split("/"))


def with_required(path: str) -> str:
    return path + ("?name=x" if path.endswith("/table") else "")


@test
def every_operation_says_no_as_it_is_described():
    with Served() as served:
        for operation in operations():
            path, what = some_path(operation), operation.id
            call = lambda *more, **named: served.request(operation.method, *more, **named)
            if operation.role != "nobody":
                call(path, headers={}).expect(401, "not_logged_in")
            for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - {
                    each.method for each in operations() if described.operation_of(each.method, path) is each}:
                refused = served.request(method, path).expect(405, "method_not_allowed")
                check(operation.method in refused.headers["allow"], f"{what}: Allow is {refused.headers['allow']}")
            if what == "metrics":
                call(path).expect(401, "not_logged_in")
                continue
            unknown = call(path + "?nonsense=1").expect(422, "invalid").json
            check_equal([field["path"] for field in unknown["fields"]], ["?nonsense"], what)
            for parameter in operation.parameters:
                name = parameter["name"]
                if parameter["in"] == "query":
                    call(f"{path}?{name}=x&{name}=x").expect(422, "invalid")
                    call(f"{path}?{name}=%00").expect(422, "invalid")
                    call(f"{path}?{name}=" + "x" * 1025).expect(422, "invalid")
                    if operation.body is None and parameter["schema"].get("type") != "string" and name != "fresh":
                        for text in ("nonsense", ""):
                            call(f"{path}?{name}={text}").expect(422, "invalid")
            if operation.body is None:
                call(path, b"{}").expect(400, "bad_request")
            else:
                refuses_bodies(served, operation, path)
            if "{" in operation.path and not (operation.body or {}).get("required"):
                call(with_required(path)).expect(404, "not_found")
                call(with_required(path.replace(NOBODY, "%00%ff"))).expect(404, "not_found")
            if any(parameter["name"] == "If-Match" for parameter in operation.parameters):
                body = {} if operation.body else None
                call(path, body, headers=served.with_header("If-Match", "7")).expect(400, "bad_request")


def refuses_bodies(served: Served, operation, path: str) -> None:
    def call(body, **more):
        return served.request(operation.method, path, body, **more)

    for text in (b"{", b"[]", b"1", b"{} {}", b'{"a": "\xff"}', b'{"a": ' * 40 + b"1" + b"}" * 40, b'{"a": 1e99999999999}x'):
        call(text).expect(400, "bad_json")
    call(b"{}", headers=served.with_header("Content-Type", "text/plain")).expect(415, "media_type")
    call(b'{"a": "' + b"x" * 1_100_000 + b'"}').expect(413, "body_too_large")
    if operation.body.get("required"):
        call(b"").expect(400, "bad_json")
        call(None).expect(415, "media_type")
    if any(parameter["name"] == "Idempotency-Key" for parameter in operation.parameters):
        call({}, headers=served.with_header("Idempotency-Key", "x" * 256)).expect(400, "bad_request")
    # Unknown members and wrong types, all at once; what is changed is looked for first in some.
    answer = call({"nonsense": 1, "name": 7, "document": 7, "password": {}})
    check(answer.status in (404, 422), f"{operation.id}: {answer.status}")
    if answer.status == 422:
        check({"nonsense", "name"} <= {field["path"] for field in answer.json["fields"]}, f"{operation.id}: {answer.json}")


@test
def stale_versions_and_taken_names_are_refused_as_described():
    with Shop() as shop:
        served = shop.served
        kafka, warehouse = shop.connect()
        task = served.post("/api/v1/tasks", shop.task()).expect(201).json["id"]
        account = served.post("/api/v1/accounts", example_of("createAccount")).expect(201).json["id"]
        served.until_state(task, "running")
        stale = served.with_header("If-Match", '"99"')
        paths = {"Account": f"/api/v1/accounts/{account}", "Connection": f"/api/v1/connections/{kafka}",
                 "Task": f"/api/v1/tasks/{task}"}
        count = 0
        for operation in operations():
            if not any(parameter["name"] == "If-Match" for parameter in operation.parameters):
                continue
            path = next(path for kind, path in paths.items() if operation.path.startswith(path.rsplit("/", 1)[0] + "/"))
            path += operation.path.split("{id}")[1]
            body = {"revision": 1} if operation.id == "rollBackTask" else {} if operation.body else None
            served.request(operation.method, path, body, headers=stale).expect(412, "stale")
            count += 1
        check(count > 9, f"only {count} operations with If-Match")
        served.post("/api/v1/accounts", example_of("createAccount")).expect(409, "name_taken")
        served.post("/api/v1/connections", shop.connection("kafka")).expect(409, "name_taken")
        served.post("/api/v1/tasks", shop.task()).expect(409, "name_taken")
        check_equal([each["id"] for each in served.delete(paths["Connection"]).expect(409, "in_use").json["tasks"]], [task])
        served.post(paths["Task"] + "/rebuild").expect(409, "wrong_state")
        served.get(f"/api/v1/connections/{kafka}/tables").expect(404, "not_found")
        served.get(f"/api/v1/connections/{warehouse}/table?name=missing").expect(404, "not_found")
        served.get(f"/api/v1/connections/{warehouse}/schemas?database=missing").expect(404, "not_found")
        served.post("/api/v1/tasks", {"document": {"name": "x", "source": {"connection": "away", "topics": ["t"]},
                                                   "target": {"connection": "warehouse", "table": "t"}}}) \
            .expect(422, "invalid_document")
        for text in ('"a\\u0000b"', "1e400", "123456789012345678901234567890"):  # what a database would not keep
            column = {"field": "id", "column": "id", "on_absent": "default", "default": "HERE"}
            body = json.dumps({"document": shop.task(name="x", sync={"columns": [column]})["document"]})
            served.post("/api/v1/tasks", body.replace('"HERE"', text).encode()).expect(422, "invalid_document")
        broken = served.post("/api/v1/connections", {**shop.connection("postgresql"), "name": "broken",
                                                     "secrets": {"password": "wrong"}}).expect(201).json["id"]
        eventually(lambda: served.get(f"/api/v1/connections/{broken}").json["status"] == "failed", "its check fails")
        served.get(f"/api/v1/connections/{broken}/databases").expect(502, "connection_failed")


@test
def a_create_with_the_same_key_answers_the_same():
    with Served() as served:
        headers = served.with_header("Idempotency-Key", "once")
        body = example_of("createAccount")
        first = served.post("/api/v1/accounts", body, headers=headers).expect(201)
        second = served.post("/api/v1/accounts", body, headers=headers).expect(201)
        check_equal((second.json, second.etag, second.headers["location"]),
                    (first.json, first.etag, first.headers["location"]))
        served.post("/api/v1/accounts", {**body, "name": "bob"}, headers=headers).expect(422, "key_reused")


if __name__ == "__main__":
    main()
