"""Tasks of `sluice serve`, by its API: creation in steps, actions, edits, revisions, restarts from elsewhere, moves to
another database, crashes at each of them, two clients at once, the control database away."""

import copy
import json
import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from kit import Database, Message, Topic, check, check_equal, eventually, main, test, unique
from served import Served, kafka_connection, postgres_connection


def document_for(topic: Topic, name: str = "orders", table: str = "public.t", **sync):
    return {"name": name, "source": {"connection": "kafka", "topics": [topic.name]},
            "target": {"connection": "warehouse", "table": table},
            "sync": {"write": "insert", "columns": [{"field": "id", "column": "id"}], **sync}}


def connect(served: Served, db: Database) -> None:
    """The two connections that documents here name, checked."""
    for body in (kafka_connection(), postgres_connection(db)):
        made = served.post("/api/v1/connections", body).expect(201).json
        eventually(lambda: served.get(f"/api/v1/connections/{made['id']}").json["status"] == "ready",
                   f"{body['name']} passes its check: {served.get('/api/v1/connections/' + made['id']).json}")


class Shop:
    """A topic with 100 messages, an empty table, and a server that has connections to both."""

    def __init__(self, partitions: int = 2):
        self.topic = Topic(partitions=partitions)
        self.db = Database()
        self.served = Served()
        self.next = 0

    def __enter__(self) -> "Shop":
        self.db.sql("CREATE TABLE public.t (id int PRIMARY KEY)")
        self.served.__enter__()
        connect(self.served, self.db)
        self.produce(100)
        return self

    def __exit__(self, kind, value, trace) -> None:
        self.served.__exit__(kind, value, trace)
        self.db.__exit__(kind, value, trace)

    def produce(self, count: int) -> None:
        self.topic.produce([Message(value={"id": self.next + i}, partition=i % self.topic.partitions)
                            for i in range(count)])
        self.next += count

    def document(self, **more):
        return document_for(self.topic, **more)

    def create(self, document=None):
        task = self.served.post("/api/v1/tasks", {"document": document or self.document()}).expect(201).json
        return task["id"]

    def path(self, task_id: str) -> str:
        return f"/api/v1/tasks/{task_id}"

    def applied(self, count=None, db=None) -> None:
        """Every message so far is a row, once."""
        wanted = list(range(self.next)) if count is None else count
        eventually(lambda: [row[0] for row in (db or self.db).rows("SELECT id FROM public.t ORDER BY id")] == wanted,
                   "all rows are there, once")


@test
def creation_goes_through_its_steps():
    with Shop() as shop:
        served = shop.served
        tried = served.post("/api/v1/tasks?dry_run=true", {"document": shop.document()}).expect(200).json
        check(tried["ok"] and {finding["step"] for finding in tried["findings"]} >= {"kafka", "postgres", "table"},
              f"dry run: {tried}")
        check_equal(served.get("/api/v1/tasks").json["total"], 0, "a dry run keeps nothing")
        made = served.post("/api/v1/tasks", {"document": shop.document(), "tags": {"team": "shop"}}).expect(201)
        check_equal(made.headers["location"], shop.path(made.json["id"]))
        check_equal(made.json["state"], "creating")
        task = served.until_state(made.json["id"], "running")
        check_equal([step["state"] for step in task["steps"]], ["done"] * 6)
        check_equal((task["percent"], task["state_number"], task["tags"]), (100, 1, {"team": "shop"}))
        shop.applied()
        figures = eventually(lambda: (lambda f: f if f["figures"]["rows_written"] == 100 else None)(
            served.get(shop.path(task["id"]) + "/figures").expect(200).json), "the figures say so")
        check_equal(figures["state"], "running")
        for message in served.stream(shop.path(task["id"]) + "/figures/stream"):
            check_equal(message["event"], "figures")
            check_equal(json.loads(message["data"])["id"], task["id"])
            break
        check("sluice_rows_total" in served.get("/api/v1/metrics").expect(200).body.decode(), "metrics")


@test
def a_creation_that_fails_says_at_which_step():
    with Shop() as shop:
        served = shop.served
        task_id = shop.create(shop.document(table="public.missing"))
        task = eventually(
            lambda: (lambda t: t if t["state"] == "create_failed" else None)(served.get(shop.path(task_id)).json),
            "the creation fails")
        check_equal(task["reason"]["step"], "prepare_table")
        check("missing" in task["reason"]["message"], task["reason"])
        check_equal([step["state"] for step in task["steps"]][4], "failed")
        served.post(shop.path(task_id) + "/pause").expect(409, "wrong_state")
        served.post(shop.path(task_id) + "/rebuild", {"document": shop.document()}).expect(202)
        served.until_state(task_id, "running")
        shop.applied()


@test
def actions_are_idempotent_and_refused_by_state():
    with Shop() as shop:
        served, path = shop.served, shop.path(shop.create())
        task_id = path.rsplit("/", 1)[1]
        served.until_state(task_id, "running")
        for _ in range(2):
            served.post(path + "/pause").expect(202)
        served.until_state(task_id, "paused")
        served.post(path + "/pause").expect(202)
        shop.produce(10)
        served.post(path + "/rebuild").expect(409, "wrong_state")
        for _ in range(2):
            served.post(path + "/resume").expect(202)
        served.until_state(task_id, "running")
        served.post(path + "/resume").expect(202)
        served.post(path + "/restart").expect(409, "wrong_state")
        shop.applied()
        copied = served.post(path + "/copy", {"name": "orders2"}).expect(201).json
        served.post(path + "/copy", {"name": "orders2"}).expect(409, "name_taken")
        served.delete(shop.path(copied["id"])).expect(202)
        eventually(lambda: served.get(shop.path(copied["id"])).status == 404, "the copy is gone")
        served.delete(path + "?ledger=true").expect(202)
        eventually(lambda: served.get(path).status == 404, "the task is gone")
        check_equal(shop.db.rows("SELECT count(*) FROM sluice.task WHERE id = '%s'" % task_id), [(0,)])
        shop.applied()  # rows stay


@test
def an_edit_makes_a_revision_and_loses_no_row():
    with Shop() as shop:
        served = shop.served
        task_id = shop.create()
        path = shop.path(task_id)
        served.until_state(task_id, "running")
        shop.applied()
        before = served.get(path).expect(200)
        wanted = shop.document(write="upsert", primary_key=["id"])
        edited = served.patch(path, {"document": wanted, "comment": "upserts"},
                              headers=served.with_header("If-Match", before.etag)).expect(200)
        check_equal(edited.json["revision"], 2)
        served.patch(path, {"document": shop.document()},
                     headers=served.with_header("If-Match", before.etag)).expect(412, "stale")
        served.until_state(task_id, "running")
        shop.topic.produce([Message(value={"id": 1}, partition=0)])  # again: an upsert takes it
        shop.produce(20)
        shop.applied()
        listed = served.get(path + "/revisions").expect(200).json["items"]
        check_equal([(item["revision"], item["comment"]) for item in listed], [(2, "upserts"), (1, "")])
        changes = served.get(path + "/revisions/2").expect(200).json["changes"]
        check_equal([change["path"] for change in changes], ["sync.primary_key", "sync.write"])
        back = served.post(path + "/rollback", {"revision": 1}).expect(200).json
        check_equal((back["revision"], back["document"]["sync"]["write"]), (3, "insert"))
        served.until_state(task_id, "running")
        shop.produce(20)
        shop.applied()
        # What people call it is no reason to open it anew.
        run = served.patch(path, {"name": "renamed", "description": "of the shop"}).expect(200).json
        check_equal((run["state"], run["name"], run["description"]), ("running", "renamed", "of the shop"))
        served.get(path + "/revisions/99").expect(404, "not_found")
        served.post(path + "/rollback", {"revision": 0}).expect(422, "invalid")


@test
def a_restart_from_elsewhere_asks_first():
    with Shop() as shop:
        served = shop.served
        task_id = shop.create(shop.document(write="upsert", primary_key=["id"]))
        path = shop.path(task_id)
        served.until_state(task_id, "running")
        shop.applied()
        served.post(path + "/pause").expect(202)
        served.until_state(task_id, "paused")
        shop.produce(10)
        asked = served.post(path + "/restart", {"from": "latest"}).expect(409, "confirmation_needed").json
        check_equal((asked["skipped"], asked["repeated"]), (10, 0))
        asked = served.post(path + "/restart", {"from": "earliest"}).expect(409, "confirmation_needed").json
        check_equal((asked["skipped"], asked["repeated"]), (0, 100))
        served.post(path + "/restart", {"from": "yesterday"}).expect(422, "invalid_document")
        served.post(path + "/restart", {"from": "earliest", "confirm": asked["confirm"]}).expect(202)
        served.until_state(task_id, "running")
        shop.applied()
        eventually(lambda: served.get(path + "/figures").json["figures"]["rows_written"] == 110, "all were repeated")
        moved = [event for event in served.get("/api/v1/events?type=task.moved").expect(200).json["items"]]
        check_equal([(event["data"]["repeated"], event["subject"]["id"]) for event in moved], [(100, task_id)])


@test
def an_edit_that_leads_to_another_database_takes_the_positions_along():
    with Shop() as shop, Database() as other:
        other.sql("CREATE TABLE public.t (id int PRIMARY KEY)")
        served = shop.served
        task_id = shop.create()
        served.until_state(task_id, "running")
        shop.applied()
        wanted = shop.document()
        wanted["target"]["database"] = other.name
        served.patch(shop.path(task_id), {"document": wanted}).expect(200)
        served.until_state(task_id, "running")
        shop.produce(20)
        shop.applied(list(range(100, 120)), other)
        shop.applied(list(range(100)))
        check_equal(shop.db.rows("SELECT halt_reason FROM sluice.task"), [("moved",)], "the old ledger is fenced")


@test
def a_message_that_stops_the_task_is_named():
    with Shop() as shop:
        served = shop.served
        task_id = shop.create()
        served.until_state(task_id, "running")
        shop.applied()
        shop.topic.produce([Message(value=b"not json", partition=1)])
        task = eventually(lambda: (lambda t: t if t["state"] == "failed" else None)(
            served.get(shop.path(task_id)).json), "the task fails")
        check_equal((task["reason"]["topic"], task["reason"]["partition"], task["reason"]["offset"]),
                    (shop.topic.name, 1, 50))
        events = served.get(f"/api/v1/events?type=task.failed&subject={task_id}").expect(200).json["items"]
        check_equal(len(events), 1)
        wanted = shop.document()
        wanted["on_failure"] = "discard"
        served.patch(shop.path(task_id), {"document": wanted}).expect(200)
        served.post(shop.path(task_id) + "/restart").expect(202)
        served.until_state(task_id, "running")
        shop.produce(10)
        shop.applied()


@test
def a_server_that_is_killed_goes_on_wherever_it_was():
    with Shop() as shop:
        served = shop.served
        task_id = shop.create()
        served.kill()  # most likely in the middle of the creation
        served.start()
        served.until_state(task_id, "running")
        shop.applied()
        path = shop.path(task_id)
        wanted = shop.document()
        for action, state in (("pause", "paused"), ("resume", "running"), ("edit", "running"), ("delete", None)):
            if action == "edit":
                wanted["tuning"] = {"batch_rows": 1000}
                served.patch(path, {"document": wanted}).expect(200)
            elif action == "delete":
                served.delete(path).expect(202)
            else:
                served.post(f"{path}/{action}").expect(202)
            served.kill()
            shop.produce(10)
            served.start()
            if state is None:
                eventually(lambda: served.get(path).status == 404, "the deletion is carried out")
            else:
                served.until_state(task_id, state)
            if state == "running":
                shop.applied()
        check_equal(len(shop.db.rows("SELECT id FROM public.t")), len(set(shop.db.rows("SELECT id FROM public.t"))))


@test
def two_clients_at_once_get_one_answer_each():
    with Shop() as shop:
        served = shop.served
        document = shop.document()
        answers = []

        def create(key):
            answers.append(served.post("/api/v1/tasks", {"document": document},
                                       headers=served.with_header("Idempotency-Key", key)))

        threads = [threading.Thread(target=create, args=(key,)) for key in ("one", "two", "one", "two")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        statuses = sorted(answer.status for answer in answers)
        check(statuses.count(201) in (1, 2) and set(statuses) <= {201, 409}, f"{statuses}")
        check_equal(served.get("/api/v1/tasks").json["total"], 1)
        task_id = served.get("/api/v1/tasks").json["items"][0]["id"]
        created = next(answer for answer in answers if answer.status == 201)
        check_equal(created.json["id"], task_id)
        served.until_state(task_id, "running")
        answers.clear()
        path = shop.path(task_id)
        threads = [threading.Thread(target=lambda name=name: answers.append(served.post(f"{path}/{name}")))
                   for name in ("pause", "pause", "resume", "resume")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check(all(answer.status in (202, 409) for answer in answers), f"{[a.body for a in answers]}")
        eventually(lambda: served.get(path).json["state"] in ("running", "paused"), "it comes to rest")


@test
def tasks_go_on_while_the_control_database_is_away():
    with Shop() as shop:
        served = shop.served
        task_id = shop.create()
        served.until_state(task_id, "running")
        shop.applied()
        name = served.control.name
        Database.server(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        try:
            Database.server(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
            shop.produce(50)
            shop.applied()
            served.get("/api/v1/tasks").expect(503, "database_unavailable")
            check_equal(served.get("/readyz").status, 503)
            served.get("/healthz").expect(200)
            eventually(lambda: "control database cannot be reached" in served.log, "the server notices")
        finally:
            Database.server(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        eventually(lambda: served.get("/readyz").status == 200, "it is ready again")
        served.until_state(task_id, "running")
        served.post(shop.path(task_id) + "/pause").expect(202)
        served.until_state(task_id, "paused")
        eventually(lambda: served.get("/api/v1/events?type=database.back").json["items"], "an event says so")


@test
def lists_are_searched_filtered_and_paged():
    with Shop() as shop:
        served = shop.served
        for i in range(5):
            document = shop.document(name=f"task{i}")
            document["source"]["topics"] = [unique("missing")]  # they fail: nothing runs
            served.post("/api/v1/tasks", {"document": document, "tags": {"odd": str(i % 2)}}).expect(201)
        names, cursor = [], ""
        while True:
            page = served.get("/api/v1/tasks?limit=2&sort=-name" + (f"&cursor={cursor}" if cursor else "")).expect(200).json
            check_equal(page["total"], 5)
            names += [item["name"] for item in page["items"]]
            cursor = page["next_cursor"]
            if not cursor:
                break
        check_equal(names, ["task4", "task3", "task2", "task1", "task0"])
        found = lambda query: [item["name"] for item in served.get("/api/v1/tasks?" + query).expect(200).json["items"]]
        check_equal(found("tag=odd=1"), ["task1", "task3"])
        check_equal(found("search=TASK2"), ["task2"])
        check_equal(found("source=kafka&target=warehouse&limit=1"), ["task0"])
        check_equal(found("source=warehouse"), [])
        served.get("/api/v1/tasks?state=sleeping").expect(422, "invalid")
        served.get("/api/v1/tasks?cursor=zz").expect(400, "bad_cursor")
        served.get("/api/v1/tasks?limit=0").expect(422, "invalid")


@test
def bad_input_is_refused_and_changes_nothing():
    with Shop() as shop:
        served = shop.served
        good = shop.document()

        def refused(change, path, code="invalid_document"):
            document = copy.deepcopy(good)
            change(document)
            answer = served.post("/api/v1/tasks", {"document": document}).expect(422, code).json
            check(any(field["path"].startswith(path) for field in answer["fields"]), f"{path}: {answer}")

        refused(lambda d: d.update(name=""), "name")
        refused(lambda d: d.update(name="1; DROP TABLE task"), "name")
        refused(lambda d: d.update(name="<script>alert(1)</script>"), "name")
        refused(lambda d: d.update(nonsense=1), "nonsense")
        refused(lambda d: d["source"].update(connection="nobody"), "source.connection")
        refused(lambda d: d["source"].update(connection="warehouse"), "source.connection")
        refused(lambda d: d["source"].pop("connection"), "source.connection")
        refused(lambda d: d["source"].update(kafka={"bootstrap.servers": "x"}), "source.kafka")
        refused(lambda d: d["target"].update(postgres="host=x password=y"), "target.postgres")
        refused(lambda d: d["sync"].update(write="sometimes"), "sync.write")
        refused(lambda d: d.update(description="a\u0000b"), "")
        for body, status, code in ((b"", 415, "media_type"), (b"{", 400, "bad_json"), (b"[]", 400, "bad_json"),
                                   (b'{"document": ' + b'{"a":' * 60 + b"1" + b"}" * 61, 400, "bad_json"),
                                   (b'\xff\xfe', 400, "bad_json"), (b"{}", 422, "invalid"),
                                   (b'{"document": 7}', 422, "invalid"),
                                   (b'{"document": {}, "more": 1}', 422, "invalid")):
            headers = dict(served.headers) if status == 415 else None
            served.post("/api/v1/tasks", body, headers=headers and {**headers, "Content-Type": "text/plain"}).expect(
                status, code)
        served.post("/api/v1/tasks", b"x" * 2_000_000).expect(413, "body_too_large")
        served.get("/api/v1/tasks/task-none").expect(404, "not_found")
        served.get("/api/v1/tasks/" + "x" * 5000).expect(414, "uri_too_long")
        connection = served.get("/api/v1/connections").json["items"][0]["id"]
        served.get("/api/v1/tasks/" + connection).expect(404, "not_found")
        answer = served.request("PUT", "/api/v1/tasks").expect(405, "method_not_allowed")
        check_equal(answer.headers["allow"], "GET, POST")
        served.get("/api/v1/tasks?colour=red").expect(422, "invalid")
        served.get("/api/v1/nothing").expect(404, "not_found")
        served.get("/api/v1/tasks", headers={}).expect(401, "not_logged_in")
        chinese = served.get("/api/v1/tasks/none", headers=served.with_header("Accept-Language", "zh-CN,en;q=0.5"))
        check_equal(chinese.expect(404).json["title"], "对象不存在")
        check_equal(served.get("/api/v1/tasks").json["total"], 0, "nothing was kept")


main()
