#!/usr/bin/python3
"""Connections through `sluice serve`: made, checked step by step, edited, browsed, against a real Kafka and PostgreSQL."""

import contextlib
import json
import os
import pathlib
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from kit import Database, Topic, check, check_equal, eventually, kafka_settings, unique  # noqa: E402
from registry import main, test  # noqa: E402
from served import Served, kafka_connection, postgres_connection  # noqa: E402

CONNECTIONS = "/api/v1/connections"
PASSWORD = "Geheim-7c1d'\\x"
POSTGRES_STEPS = ["name", "tcp", "tls", "login", "version", "privileges", "ledger"]
KAFKA_STEPS = ["name", "tcp", "tls", "login", "cluster", "topics"]


def checked(served, body):
    """Makes the connection and waits for the end of its check."""
    made = served.post(CONNECTIONS, body).expect(201)
    check_equal(made.json["status"], "checking")
    check_equal(made.headers["location"], f"{CONNECTIONS}/{made.json['id']}")
    return until_checked(served, made.json["id"])


def until_checked(served, identity):
    def ended():
        shown = served.get(f"{CONNECTIONS}/{identity}").expect(200).json
        return shown if shown["status"] != "checking" else None

    return eventually(ended, "the check ends", 40)


def failed(connection, step, *words):
    """The check failed at this step, and says these words; what is behind it was not reached."""
    reason = connection["reason"] or {}
    check_equal((connection["status"], reason.get("step")), ("failed", step), json.dumps(connection["steps"]))
    text = reason["message"] + " " + reason["remedy"]
    for word in words:
        check(word in text, f"{word!r} is not in {text!r}")
    check("target.postgres" not in text and "/proc/" not in text, text)
    names = [one["step"] for one in connection["steps"]]
    check_equal(names, KAFKA_STEPS if connection["type"] == "kafka" else POSTGRES_STEPS)
    for one in connection["steps"][names.index(step) + 1:]:
        check_equal(one["status"], "skipped", one["step"])


def renamed(body, **parameters):
    return {**body, "name": unique("c"), "parameters": {**body["parameters"], **parameters}}


def kafka_over(listener, password="", **properties):
    settings = kafka_settings(listener)
    if "ssl.ca.location" in settings:
        settings["ssl.ca.pem"] = pathlib.Path(settings.pop("ssl.ca.location")).read_text(encoding="utf-8")
    secret = settings.pop("sasl.password", None)
    if "sasl.mechanism" in settings:
        settings["sasl.mechanisms"] = settings.pop("sasl.mechanism")
    body = {"name": unique("k"), "type": "kafka", "parameters": {"properties": {**settings, **properties}}}
    if secret:
        body["secrets"] = {"sasl.password": password or secret}
    return body


@contextlib.contextmanager
def role(password=PASSWORD):
    name = unique("role")
    quoted = password.replace("'", "''")
    Database.server(f"CREATE ROLE {name} LOGIN PASSWORD '{quoted}'")
    try:
        yield name
    finally:
        Database.server(f"DROP ROLE {name}")


@test
def ready_and_nowhere_a_secret():
    with Served() as served, Database() as db, role() as user:
        body = {**postgres_connection(db, user=user), "secrets": {"password": PASSWORD}, "description": "Häuser 房"}
        connection = checked(served, body)
        check_equal(connection["status"], "ready", json.dumps(connection["steps"]))
        check_equal([step["step"] for step in connection["steps"]], POSTGRES_STEPS)
        steps = {step["step"]: step for step in connection["steps"]}
        check("TLSv1" in steps["tls"]["message"], steps["tls"]["message"])
        check(user in steps["login"]["message"], steps["login"]["message"])
        check_equal(steps["ledger"]["status"], "warning")  # this role may not make a schema
        check("CREATE SCHEMA" in steps["ledger"]["remedy"], steps["ledger"]["remedy"])
        check_equal((connection["secrets"], connection["description"]), ({"password": True}, "Häuser 房"))
        check(connection["checked_at"].endswith("Z") and connection["reason"] is None, str(connection))
        kafka = checked(served, kafka_over("sasl"))
        check_equal(kafka["secrets"], {"sasl.password": True})
        served.patch(f"{CONNECTIONS}/{connection['id']}", {"secrets": {"password": PASSWORD + "2"}}).expect(200)
        failed(until_checked(served, connection["id"]), "login", "password")
        served.patch(f"{CONNECTIONS}/{connection['id']}", {"secrets": {"password": PASSWORD}}).expect(200)
        check_equal(until_checked(served, connection["id"])["status"], "ready")
        served.delete(f"{CONNECTIONS}/{connection['id']}").expect(204)
        served.get(f"{CONNECTIONS}/{connection['id']}").expect(404, "not_found")
        everything = [served.log] + [served.get(f"/api/v1/{what}?limit=100").expect(200).body.decode()
                                     for what in ("connections", "events", "audit")]
        types = [event["type"] for event in json.loads(everything[2])["items"]]
        for kind in ("connection.created", "connection.ready", "connection.failed", "connection.edited",
                     "connection.deleted"):
            check(kind in types, f"no event {kind} in {types}")
        operations = [entry["operation"] for entry in json.loads(everything[3])["items"]]
        for operation in ("connection.create", "connection.edit", "connection.delete"):
            check(operation in operations, f"no audit {operation} in {operations}")
        for (table,) in served.control.sql("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
                                           " WHERE schemaname = 'sluice_control'"):
            everything.append(str(served.control.sql(f"SELECT t::text FROM {table} t")))
        for text in everything:
            for secret in ("Geheim", "\"sasl.password\": \"", "47656865696d"):  # and its bytes in hex
                check(secret not in text, f"{secret} is in {text[:300]}")


@test
def refusals_of_postgres_explained():
    with Served() as served, Database() as db:
        body = postgres_connection(db)
        failed(checked(served, {**renamed(body), "secrets": {"password": "wrong"}}), "login", "password", "sluice")
        failed(checked(served, renamed(body, database="no-such")), "login", 'no database "no-such"', "CREATE DATABASE")
        failed(checked(served, renamed(body, host="no-such-host.invalid")), "name", "no-such-host.invalid")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            failed(checked(served, renamed(body, port=free.getsockname()[1])), "tcp", "refused", "127.0.0.1")
        kafka = int(os.environ["SLUICE_KAFKA"].rsplit(":", 1)[1])
        answer = checked(served, renamed(body, port=kafka))
        check_equal(answer["status"], "failed", json.dumps(answer["steps"]))
        check("not a PostgreSQL server" in answer["reason"]["message"], str(answer["reason"]))
        other = pathlib.Path(os.environ["SLUICE_KAFKA_CA"]).read_text(encoding="utf-8")
        own = pathlib.Path(os.environ["SLUICE_POSTGRES_CA"]).read_text(encoding="utf-8")
        failed(checked(served, renamed(body, sslmode="verify-full", ca_certificate=other)), "tls", "certificate")
        good = checked(served, renamed(body, sslmode="verify-full", ca_certificate=own))
        check_equal(good["status"], "ready", json.dumps(good["steps"]))
        check("name proved" in good["steps"][2]["message"], str(good["steps"][2]))
        several = checked(served, renamed(body, host="no-such-host.invalid,127.0.0.1"))
        check_equal((several["status"], several["steps"][0]["status"]), ("ready", "warning"), str(several["steps"]))
        wrong_type = checked(served, {**renamed(body), "type": "greenplum"})
        check_equal(wrong_type["steps"][4]["status"], "warning", str(wrong_type["steps"][4]))


@test
def silent_server_is_given_up():
    """A full backlog drops what knocks, as a firewall does."""
    with Served() as served, Database() as db, contextlib.ExitStack() as sockets:
        server = sockets.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            client = sockets.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        body = postgres_connection(db, port=server.getsockname()[1])
        made = served.post(CONNECTIONS, body).expect(201).json
        # Killed in the middle: the next process looks again.
        eventually(lambda: served.get(f"{CONNECTIONS}/{made['id']}").json["steps"], "the first step ends")
        served.kill()
        served.start()
        connection = until_checked(served, made["id"])
        failed(connection, "tcp", "does not answer", "9.0.0.0/8")
        check(9000 <= connection["steps"][1]["milliseconds"] <= 15000, str(connection["steps"][1]))


@test
def kafka_listeners():
    Topic()  # there is one at least
    with Served() as served:
        for listener, encrypted, login in (("plain", "skipped", "skipped"), ("sasl", "skipped", "ok"),
                                           ("tls", "ok", "skipped"), ("sasl_tls", "ok", "ok")):
            connection = checked(served, kafka_over(listener))
            check_equal(connection["status"], "ready", json.dumps(connection["steps"]))
            check_equal([step["step"] for step in connection["steps"]], KAFKA_STEPS, listener)
            states = {step["step"]: step["status"] for step in connection["steps"]}
            check_equal((states["tls"], states["login"], states["topics"]), (encrypted, login, "ok"), listener)
        failed(checked(served, kafka_over("sasl", password="wrong")), "login", "refused the login", "sasl.password")
        pem = pathlib.Path(os.environ["SLUICE_POSTGRES_CA"]).read_text(encoding="utf-8")
        failed(checked(served, kafka_over("tls", **{"ssl.ca.pem": pem})), "tls", "certificate", "ssl.ca.pem")
        failed(checked(served, kafka_over("tls", **{"security.protocol": "plaintext"})), "tls", "security.protocol")
        failed(checked(served, kafka_over("plain", **{"bootstrap.servers": "127.0.0.1:1"})), "tcp", "refused")


@test
def bad_input():
    with Served() as served, Database() as db:
        good = postgres_connection(db)

        def refused(body, *paths):
            problem = served.post(CONNECTIONS, body).expect(422, "invalid").json
            found = [field["path"] for field in problem["fields"]]
            for path in paths:
                check(path in found, f"{path} is not in {found}")

        refused({}, "name", "type", "parameters")
        refused({**good, "name": "1x"}, "name")
        refused({**good, "name": "x" * 65}, "name")
        refused({**good, "name": "a'; DROP TABLE connection; --"}, "name")
        refused({**good, "name": "<b>x</b>"}, "name")
        refused({**good, "type": "mysql"}, "type")
        refused({**good, "description": "x" * 129}, "description")
        refused({**good, "description": "a\u0000b"}, "description")
        refused({**good, "more": 1}, "more")
        refused({**good, "parameters": []}, "parameters")
        refused({**good, "secrets": {}}, "secrets.password")
        refused({**good, "secrets": {"password": 1}}, "secrets.password")
        for member, values in {"host": ["", 1, "/tmp", "@x", "a b", "x" * 1025], "port": [0, 65536, "5432", 1.5],
                               "user": ["", None, "a\nb"], "database": ["", "x" * 64, 1], "sslmode": ["allow", 1],
                               "ca_certificate": ["x", "-----BEGIN PRIVATE KEY-----"], "connect_timeout": [1, "1"],
                               "pooler": ["session"], "options": ["-c x"], "service": ["x"], "passfile": ["/x"],
                               "sslkey": ["/x"], "sslcert": ["/x"], "sslrootcert": ["/x"], "hostaddr": ["::1"]}.items():
            for value in values:
                refused({**good, "parameters": {**good["parameters"], member: value}}, f"parameters.{member}")
        kafka = kafka_connection()
        for name in ("ssl.ca.location", "plugin.library.paths", "sasl.kerberos.kinit.cmd", "ssl.key.location",
                     "sasl.password", "group.id", "no.such"):
            refused(kafka_connection(**{name: "/etc/passwd"}), f"parameters.properties.{name}")
        refused(kafka_connection(**{"bootstrap.servers": ""}), "parameters.properties.bootstrap.servers")
        refused({**kafka, "secrets": {"password": "x"}}, "secrets.password")
        served.post(CONNECTIONS, b"{").expect(400, "bad_json")
        check_equal(served.get(CONNECTIONS).json["total"], 0)
        for path in ("?type=", "?type=mysql", "?status=", "?limit=0", "?sort=no", "?no=1", "?cursor=00"):
            served.get(CONNECTIONS + path).expect(*{"?cursor=00": (400, "bad_cursor")}.get(
                path, (422, "invalid")))
        served.post(f"{CONNECTIONS}/conn-none/check").expect(404, "not_found")
        served.patch(f"{CONNECTIONS}/conn-none", {}).expect(404, "not_found")
        served.delete(f"{CONNECTIONS}/%00").expect(404, "not_found")
        check("/etc/passwd" not in served.log, "a refused value was logged")


@test
def lists_names_and_quota():
    with Served(environment={"SLUICE_LIMITS_SAVED_CONNECTIONS": "5"}) as served, Database() as db:
        for number in (3, 1, 2, 5, 4):
            served.post(CONNECTIONS, {**(postgres_connection(db) if number % 2 else kafka_connection()),
                                      "name": f"n{number}", "description": f"the {number}% one"}).expect(201)
        served.post(CONNECTIONS, postgres_connection(db, "n6")).expect(409, "quota_reached")
        first = served.get(f"{CONNECTIONS}?limit=1&search=n3").json["items"][0]
        served.delete(f"{CONNECTIONS}/{first['id']}").expect(204)
        served.post(CONNECTIONS, postgres_connection(db, "n1")).expect(409, "name_taken")
        served.post(CONNECTIONS, postgres_connection(db, "n3")).expect(201)
        check("quota.reached" in served.get("/api/v1/events").body.decode(), "no event of the quota")
        for sort, expected in (("name", "n1 n2 n3 n4 n5"), ("-name", "n5 n4 n3 n2 n1"), ("created_at", "n1 n2 n5 n4 n3"),
                               ("-created_at", "n3 n4 n5 n2 n1"), ("type", None)):
            names, cursor = [], ""
            while cursor is not None:
                page = served.get(f"{CONNECTIONS}?limit=2&sort={sort}{cursor and '&cursor=' + cursor}").expect(200).json
                check_equal(page["total"], 5)
                names += [item["name"] for item in page["items"]]
                cursor = page["next_cursor"]
            check_equal(" ".join(names) if expected else sorted(names), expected or ["n1", "n2", "n3", "n4", "n5"], sort)
        check_equal([item["name"] for item in served.get(f"{CONNECTIONS}?type=kafka").json["items"]], ["n2", "n4"])
        check_equal(served.get(f"{CONNECTIONS}?search=4%25").json["total"], 1)
        eventually(lambda: served.get(f"{CONNECTIONS}?status=ready").json["total"] == 5, "all are ready", 30)
        one = served.get(f"{CONNECTIONS}/{served.get(CONNECTIONS).json['items'][0]['id']}").expect(200)
        place = f"{CONNECTIONS}/{one.json['id']}"
        served.patch(place, {"name": "n2"}).expect(409, "name_taken")
        edited = served.patch(place, {"name": "other"}, headers=served.with_header("If-Match", one.etag)).expect(200)
        check_equal((edited.json["name"], edited.json["status"]), ("other", "ready"))
        served.patch(place, {"name": "n9"}, headers=served.with_header("If-Match", one.etag)).expect(412, "stale")
        served.delete(place, headers=served.with_header("If-Match", one.etag)).expect(412, "stale")
        problem = served.patch(place, {"parameters": {"host": "elsewhere"}}).expect(422, "invalid").json
        check("new connection" in problem["detail"], problem["detail"])


@test
def check_streams_its_steps():
    with Served() as served, Database() as db:
        connection = checked(served, postgres_connection(db))
        place = f"{CONNECTIONS}/{connection['id']}/check"
        messages = list(served.stream(place, method="POST"))
        check_equal([message["event"] for message in messages], ["step"] * len(POSTGRES_STEPS) + ["end"])
        check_equal([json.loads(message["data"])["step"] for message in messages[:-1]], POSTGRES_STEPS)
        check_equal(json.loads(messages[-1]["data"])["status"], "ready")
        check_equal(served.post(place).expect(202).json["status"], "checking")
        check_equal(until_checked(served, connection["id"])["status"], "ready")


@test
def looked_at_again_in_the_background():
    with Served() as served, Database() as db, role() as user:
        connection = checked(served, {**postgres_connection(db, user=user), "secrets": {"password": PASSWORD}})
        Database.server(f"ALTER ROLE {user} NOLOGIN")
        served.control.sql("UPDATE sluice_control.connection SET checked_at = now() - interval '1 hour'")
        place = f"{CONNECTIONS}/{connection['id']}"
        eventually(lambda: served.get(place).json["status"] == "failed", "it is found failed", 60)
        failed(served.get(place).json, "login", "may not log in", "ALTER ROLE")
        events = served.get("/api/v1/events?type=connection.failed").json["items"]
        check_equal((len(events), events[0]["data"]["step"]), (1, "login"))
        served.control.sql("UPDATE sluice_control.connection SET checked_at = now() - interval '1 hour'")
        eventually(lambda: served.get(place).json["checked_at"] > events[0]["at"], "it is looked at again", 60)
        check_equal(len(served.get("/api/v1/events?type=connection.failed").json["items"]), 1, "events of one failure")


@test
def what_is_behind_postgres():
    with Served() as served, Database() as db:
        db.sql("CREATE SCHEMA shop; CREATE TABLE shop.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
               " code varchar(9) NOT NULL DEFAULT 'x' UNIQUE, total numeric(9,2), twice numeric GENERATED ALWAYS AS"
               " (total * 2) STORED); COMMENT ON COLUMN shop.orders.total IS 'in 元';"
               " CREATE VIEW shop.seen AS SELECT 1 AS one")
        db.sql("".join(f'CREATE TABLE shop."t{n:02}" (a int);' for n in range(25)))
        connection = checked(served, postgres_connection(db))
        place = f"{CONNECTIONS}/{connection['id']}"
        name = connection["parameters"]["database"]
        check(name in [item["name"] for item in served.get(f"{place}/databases?search={name}").expect(200).json["items"]],
              "its own database is not listed")
        check_equal([item["name"] for item in served.get(f"{place}/schemas").json["items"]], ["public", "shop"])
        names, cursor = [], ""
        while cursor is not None:
            page = served.get(f"{place}/tables?schema=shop&limit=10{cursor and '&cursor=' + cursor}").expect(200).json
            check_equal(page["total"], 27)
            names += [item["name"] for item in page["items"]]
            cursor = page["next_cursor"]
        check_equal(names, ["orders", "seen"] + [f"t{n:02}" for n in range(25)])
        found = served.get(f"{place}/tables?search=ORD").json
        check_equal([(item["schema"], item["name"], item["kind"]) for item in found["items"]], [("shop", "orders", "table")])
        table = served.get(f"{place}/table?schema=shop&name=orders").expect(200).json
        columns = {column["name"]: column for column in table["columns"]}
        check_equal((columns["id"]["identity"], columns["id"]["key"], columns["id"]["type"]), ("always", "primary", "bigint"))
        check_equal((columns["code"]["nullable"], columns["code"]["key"], columns["code"]["type"]),
                    (False, "unique", "character varying(9)"))
        check("'x'" in columns["code"]["default"], columns["code"]["default"])
        check_equal((columns["total"]["comment"], columns["total"]["nullable"], columns["twice"]["generated"]),
                    ("in 元", True, True))
        check_equal([index["columns"] for index in table["unique_indexes"]], [["id"], ["code"]])
        problem = served.get(f"{place}/table?schema=shop&name=order").expect(404, "not_found").json
        check("orders" in problem["detail"] + problem["advice"], str(problem))
        served.get(f"{place}/table?schema=shop").expect(422, "invalid")
        served.get(f"{place}/tables?database=no-such").expect(404, "not_found")
        served.get(f"{place}/tables?cursor=00").expect(400, "bad_cursor")
        served.get(f"{place}/topics").expect(404, "not_found")
        served.get(f"{place}/tables?search=%27%3B%20DROP").expect(200)
        db.sql("CREATE SCHEMA later")
        check_equal(served.get(f"{place}/schemas").json["total"], 2, "kept for some seconds")
        check_equal(served.get(f"{place}/schemas?fresh=true").json["total"], 3)
        check_equal(served.get(f"{place}/schemas").json["total"], 3)


@test
def what_is_behind_kafka():
    topic, _ = Topic(3), Topic()
    with Served() as served:
        topic.produce([{"n": n} for n in range(30)])
        connection = checked(served, kafka_connection())
        place = f"{CONNECTIONS}/{connection['id']}"
        found = served.get(f"{place}/topics?search={topic.name}").expect(200).json
        check_equal(found["items"], [{"name": topic.name, "partitions": 3}])
        check(served.get(f"{place}/topics?limit=1").json["next_cursor"], "one page for all topics")
        shown = served.get(f"{place}/topics/{topic.name}").expect(200).json
        check_equal((shown["messages"], len(shown["partitions"])), (30, 3))
        check_equal(sum(one["end"] - one["low"] for one in shown["partitions"]), 30)
        served.get(f"{place}/topics/no-such-topic").expect(404, "not_found")
        served.get(f"{place}/topics/%5E.%2A").expect(404, "not_found")
        import confluent_kafka  # the kit's own consumer leaves no group behind
        group = unique("group")
        consumer = confluent_kafka.Consumer({**kafka_settings(), "group.id": group, "enable.auto.commit": False})
        consumer.subscribe([topic.name])
        eventually(lambda: consumer.poll(0.1) is not None or consumer.assignment(), "the group has its partitions", 30)
        consumer.commit(offsets=[confluent_kafka.TopicPartition(topic.name, 0, 0)], asynchronous=False)
        groups = served.get(f"{place}/groups?search={group}").expect(200).json
        check_equal([item["name"] for item in groups["items"]], [group])
        one = served.get(f"{place}/groups/{group}").expect(200).json
        check_equal((one["state"], len(one["members"]), len(one["members"][0]["partitions"])), ("Stable", 1, 3))
        check_equal([(row["partition"], row["committed"], row["lag"]) for row in one["partitions"]],
                    [(0, 0, one["partitions"][0]["end"])])
        consumer.close()
        served.get(f"{place}/groups/no-such-group").expect(404, "not_found")
        served.get(f"{place}/databases").expect(404, "not_found")


@test
def in_use_and_edited_with_its_tasks():
    topic = Topic()
    with Served() as served, Database() as db, role() as user:
        db.sql("CREATE TABLE t (id bigint PRIMARY KEY, v text); CREATE SCHEMA sluice")
        db.sql(f"GRANT ALL ON t TO {user}; GRANT ALL ON SCHEMA sluice TO {user}; GRANT {user} TO CURRENT_USER",
               superuser=True)
        try:
            kafka = checked(served, kafka_connection())
            target = checked(served, {**postgres_connection(db, user=user), "secrets": {"password": PASSWORD}})
            document = {"name": "orders", "source": {"connection": kafka["name"], "topics": [topic.name]},
                        "target": {"connection": target["name"], "database": target["parameters"]["database"],
                                   "table": "public.t"},
                        "sync": {"mode": "mapping", "write": "upsert", "primary_key": ["id"]}}
            task = served.post("/api/v1/tasks", {"document": document}).expect(201).json
            served.until_state(task["id"], "running")
            place = f"{CONNECTIONS}/{target['id']}"
            problem = served.delete(place).expect(409, "in_use").json
            check_equal([(one["name"], one["role"]) for one in problem["tasks"]], [("orders", "target")])
            served.patch(place, {"name": "renamed"}).expect(409, "in_use")
            tasks = served.get(f"{CONNECTIONS}/{kafka['id']}/tasks").expect(200).json
            check_equal([(one["id"], one["role"]) for one in tasks["items"]], [(task["id"], "source")])
            check_equal(served.get(place).json["tasks"], 1)
            Database.server(f"ALTER ROLE {user} PASSWORD 'newer'")
            pids = "SELECT array_agg(pid) FROM pg_stat_activity WHERE usename = %s"
            before = db.value(pids, [user])
            edited = served.patch(place, {"secrets": {"password": "newer"}, "restart_tasks": True}).expect(200).json
            check_equal([one["id"] for one in edited["restarted_tasks"]], [task["id"]])
            check_equal(until_checked(served, target["id"])["status"], "ready")
            topic.produce([{"id": 1, "v": "after"}])
            eventually(lambda: db.sql("SELECT v FROM t") == [("after",)], "the task goes on with the new password", 60)
            check(not set(before or []) & set(db.value(pids, [user]) or []), "the task kept its old session")
            served.delete(f"/api/v1/tasks/{task['id']}?ledger=true")
            eventually(lambda: served.get(f"{CONNECTIONS}/{target['id']}/tasks").json["total"] == 0, "the task is gone", 60)
            served.delete(place).expect(204)
        finally:
            db.sql(f"DROP OWNED BY {user} CASCADE", superuser=True)


# ---- what disturbs all others: last --------------------------------------------------------------------------------------


@test
def hosts_refused_and_tls_off():
    with Served() as served, Database() as db:
        body = postgres_connection(db)
        name = body["parameters"]["database"]
        control = served.control.uri.rsplit("/", 1)[1].split("?")[0]
        own = f"host {control} sluice 127.0.0.1/32 scram-sha-256"
        with db.host_rules(own, f"hostssl {name} sluice 127.0.0.1/32 scram-sha-256"):
            failed(checked(served, renamed(body, sslmode="disable")), "login", "pg_hba.conf", "sslmode=require")
            check_equal(checked(served, renamed(body, sslmode="require"))["status"], "ready")
        with db.host_rules(own):
            failed(checked(served, {**renamed(body), "type": "warehouse_postgresql"}), "login", "127.0.0.1",
                   f"hostssl {name} sluice 127.0.0.1/32", "9.0.0.0/8", "30.0.0.0/8", "11.0.0.0/8", "allowlist")
        try:
            Database.server("ALTER SYSTEM SET ssl = off")
            Database.server("SELECT pg_reload_conf()")

            def refused():
                answer = checked(served, renamed(body, sslmode="require"))
                return answer if answer["status"] == "failed" else None

            failed(eventually(refused, "TLS is off", 20), "tls", "TLS")
            plain = checked(served, renamed(body, sslmode="prefer"))
            check_equal((plain["status"], plain["steps"][2]["status"]), ("ready", "warning"), str(plain["steps"]))
        finally:
            Database.server("ALTER SYSTEM RESET ssl")
            Database.server("SELECT pg_reload_conf()")


main()
