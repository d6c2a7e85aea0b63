#!/usr/bin/python3
"""Who may do what: log-in and its lock, cookies and CSRF, tokens, roles, accounts, events and audit of `sluice serve`."""

import concurrent.futures
import contextlib
import json
import pathlib
import re
import sys
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from kit import *
from served import *

ROLES = ("viewer", "operator", "admin")
PASSWORD = "correct horse battery"
# Texts that must neither break anything nor be taken for more than text.
ODD = ("<script>alert(1)</script>", "'; DROP TABLE account; --", "a\" OR \"1\"=\"1", "${HOME}$(id)", "%s%n{}", "连接 — ünïcode")


class Browser:
    """A log-in by cookie."""

    def __init__(self, served, user, password):
        self.answer = served.request("POST", "/api/v1/login", {"user": user, "password": password}, headers={})
        self.answer.expect(200)
        self.cookie = self.answer.headers["set-cookie"].split(";")[0]
        self.csrf = self.answer.json["csrf_token"]
        self.read = {"Cookie": self.cookie}
        self.change = {"Cookie": self.cookie, "X-CSRF-Token": self.csrf}


def make_account(served, name, role="viewer", password=PASSWORD):
    return served.post("/api/v1/accounts", {"name": name, "role": role, "password": password}).expect(201).json


def make_token(served, browser, role, **more):
    return served.post("/api/v1/tokens", {"name": f"{role} token", "role": role, **more},
                       headers=browser.change).expect(201).json


def bearer(token):
    return {"Authorization": "Bearer " + token}


def log_in(served, user, password):
    return served.request("POST", "/api/v1/login", {"user": user, "password": password}, headers={})


def account_named(served, name):
    return next(item for item in served.get("/api/v1/accounts?limit=100").expect(200).json["items"]
                if item["name"] == name)


def fields_of(answer):
    return {field["path"] for field in answer.json.get("fields", [])}


# ---- log-in -----------------------------------------------------------------------------------------------------------


@test
def log_in_by_cookie():
    with Served() as served:
        browser = Browser(served, "admin", served.password)
        cookie = browser.answer.headers["set-cookie"]
        for part in ("HttpOnly", "SameSite=Strict", "Path=/"):
            check(part in cookie, f"{part} is missing in {cookie.split(';', 1)[1]}")
        check("Secure" not in cookie, "Secure without TLS: the browser would never send it back")
        check(browser.answer.json["expires_in"] > 0, "it lives for a time")
        check_equal(browser.answer.json["account"]["role"], "admin")
        check(browser.answer.json["account"]["last_login_at"], "this log-in counts")
        me = served.get("/api/v1/me", headers=browser.read).expect(200).json
        check_equal((me["name"], me["role"], me["by"]), ("admin", "admin", "session"))
        check_equal(me["csrf_token"], browser.csrf, "told again to a page that was loaded anew")
        check("csrf_token" not in served.get("/api/v1/me").expect(200).json, "a token has none")

        for headers, code in ((browser.read, "bad_csrf_token"), ({**browser.read, "X-CSRF-Token": "x" * 64}, "bad_csrf_token"),
                              ({**browser.read, "X-CSRF-Token": ""}, "bad_csrf_token")):
            served.post("/api/v1/logout", headers=headers).expect(403, code)
        served.get("/api/v1/me", headers=browser.read).expect(200)
        ended = served.post("/api/v1/logout", headers=browser.change).expect(204)
        check("Max-Age=0" in ended.headers["set-cookie"], "the browser forgets the cookie")
        served.get("/api/v1/me", headers=browser.read).expect(401, "not_logged_in")
        served.post("/api/v1/logout").expect(400, "bad_request")  # by token


@test
def nothing_is_open_without_log_in():
    with Served() as served:
        for headers in ({}, bearer("slc_" + "A" * 43), bearer(""), bearer("x"), {"Authorization": "Basic YWRtaW46eA=="},
                        {"Cookie": "sluice_session="}, {"Cookie": "sluice_session=" + "A" * 43},
                        {"Cookie": "other=1; sluice_session=' OR 1=1"}, bearer("slc_" + "é" * 20)):
            headers = {name: value.encode().decode("latin-1") for name, value in headers.items()}
            for path in ("/api/v1/me", "/api/v1/accounts", "/api/v1/events", "/api/v1/operations", "/api/v1/events/stream"):
                answer = served.get(path, headers=headers).expect(401, "not_logged_in")
                check("www-authenticate" in answer.headers, "says how to log in")


@test
def a_lock_grows_and_tells_nothing():
    with Served() as served:
        make_account(served, "ann")
        # The same answers for a name that there is and for one that there is not.
        seen = {}
        for name in ("ann", "nobody-here"):
            answers = []
            for _ in range(6):
                answer = log_in(served, name, "a wrong password")
                answers.append((answer.status, answer.json["code"], answer.json["detail"], answer.json["advice"]))
            locked = log_in(served, name, PASSWORD).expect(429, "locked_out")
            check_equal(locked.headers["retry-after"], "1")
            check_equal(locked.json["retry_after"], 1)
            seen[name] = (answers, {**locked.json, "request_id": ""})
        check_equal(seen["ann"], seen["nobody-here"])
        check_equal({status for status, *_ in seen["ann"][0]}, {401})
        check_equal({code for _, code, *_ in seen["ann"][0]}, {"login_refused"})

        # Each further one doubles; what is tried while locked does not count.
        for seconds in (2, 4):
            eventually(lambda: log_in(served, "ann", "a wrong password").status == 401, "the lock ends")
            waits = int(log_in(served, "ann", PASSWORD).expect(429, "locked_out").headers["retry-after"])
            check(seconds / 2 < waits <= seconds, f"{waits} s of {seconds} s")
        locked = served.get("/api/v1/events?type=account.locked").expect(200).json["items"]
        check_equal([event["data"]["seconds"] for event in locked], [4, 2, 1], "one event a lock; none of unknown names")
        check_equal(locked[0]["subject"]["name"], "ann")
        check_equal(locked[0]["severity"], "warning")
        check(account_named(served, "ann")["locked_until"], "the account says it")
        # The right password ends it all.
        eventually(lambda: log_in(served, "ann", PASSWORD).status == 200, "log-in after the lock")
        check_equal(account_named(served, "ann")["locked_until"], None)
        for _ in range(5):
            log_in(served, "ann", "a wrong password").expect(401, "login_refused")
        log_in(served, "ANN", PASSWORD).expect(200)  # names have no case


@test
def a_password_of_the_administrator_unlocks():
    with Served() as served:
        ann = make_account(served, "ann")
        for _ in range(6):
            log_in(served, "ann", "a wrong password").expect(401)
        log_in(served, "ann", PASSWORD).expect(429)
        served.patch(f"/api/v1/accounts/{ann['id']}", {"password": "another good one"}).expect(200)
        log_in(served, "ann", "another good one").expect(200)
        log_in(served, "ann", PASSWORD).expect(401)


@test
def an_address_has_its_share_of_wrong_log_ins():
    with Served() as served:
        # Each of another name, so no lock: fifty at once, then one a second.
        def attempt(i):
            answer = log_in(served, f"user{i}", "a wrong password")
            return answer.json["code"], answer.headers.get("retry-after")

        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            codes = list(pool.map(attempt, range(75)))
        check_equal({code for code, _ in codes}, {"login_refused", "too_many_requests"})
        check_equal({wait for code, wait in codes if code == "too_many_requests"}, {"1"})
        check(sum(code == "login_refused" for code, _ in codes) >= 50, "fifty at once")
        served.get("/api/v1/me").expect(200)  # who is in goes on
        eventually(lambda: log_in(served, "admin", served.password).status == 200, "it refills")


@test
def a_time_limit_ends_log_ins():
    with Served() as served:
        browser = Browser(served, "admin", served.password)
        schema = "sluice_control"
        for column in ("seen_at", "expires_at"):
            served.get("/api/v1/me", headers=browser.read).expect(200)
            served.control.sql(f"UPDATE {schema}.session SET {column} = {column} - interval '13 hours'")
            served.get("/api/v1/me", headers=browser.read).expect(401, "not_logged_in")
            browser = Browser(served, "admin", served.password)
        # Seen anew, though not with every request.
        served.control.sql(f"UPDATE {schema}.session SET seen_at = now() - interval '59 minutes'")
        served.get("/api/v1/me", headers=browser.read).expect(200)
        idle = f"SELECT max(seen_at) > now() - interval '1 minute' FROM {schema}.session"
        check_equal(served.control.rows(idle), [(True,)])


@test
def a_secret_is_nowhere_in_the_database():
    with Served() as served:
        browser = Browser(served, "admin", served.password)
        ann = make_account(served, "ann", "operator")
        token = make_token(served, browser, "viewer")
        served.patch(f"/api/v1/accounts/{ann['id']}", {"password": "another good one"}).expect(200)
        log_in(served, "a wrong name", "a wrong password")
        secrets = [PASSWORD, "another good one", served.password, token["token"], browser.csrf,
                   browser.cookie.split("=", 1)[1], served.headers["Authorization"].split()[1], "a wrong password", "a wrong name"]
        texts = [served.log]
        for (table,) in served.control.rows("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
                                            " WHERE schemaname = 'sluice_control'"):
            texts += [row[0] for row in served.control.rows(f"SELECT t::text FROM {table} AS t")]
        check(len(texts) > 10, "there are rows")
        for secret in secrets:
            check(not any(secret in text for text in texts), "a secret is kept or logged")


# ---- roles ------------------------------------------------------------------------------------------------------------


@test
def every_operation_refuses_each_lower_role():
    with Served() as served:
        tokens = {}
        for role in ROLES:
            make_account(served, f"a-{role}", role)
            tokens[role] = bearer(make_token(served, Browser(served, f"a-{role}", PASSWORD), role)["token"])
        operations = served.get("/api/v1/operations").expect(200).json["items"]
        check(len(operations) > 30, f"only {len(operations)} operations")
        check_equal(len({(item["method"], item["path"]) for item in operations}), len(operations), "each once")
        check_equal(len({item["name"] for item in operations}), len(operations), "each name once")
        open_ones = {item["name"] for item in operations if item["role"] == "nobody"}
        check(open_ones <= {"logIn", "healthz", "readyz", "metrics"}, f"open without log-in: {open_ones}")
        before = served.get("/api/v1/audit").expect(200).json["total"]
        for item in operations:
            path = re.sub(r"\{[^}]*\}", "nothing", item["path"])
            if item["role"] == "nobody":
                continue
            served.request(item["method"], path, headers={}).expect(401, "not_logged_in")
            for role in ROLES[:ROLES.index(item["role"])]:
                served.request(item["method"], path, headers=tokens[role]).expect(403, "not_allowed")
        check_equal(served.get("/api/v1/audit").expect(200).json["total"], before, "nothing was done")
        for role in ROLES:
            for item in served.get("/api/v1/operations", headers=tokens[role]).expect(200).json["items"]:
                allowed = item["role"] == "nobody" or ROLES.index(role) >= ROLES.index(item["role"])
                check_equal(item["allowed"], allowed, f"{item['name']} for {role}")
        # What reads without an id is answered to the least role that may.
        for item in operations:
            if item["method"] != "GET" or "{" in item["path"] or item["role"] == "nobody" or "stream" in item["name"].lower():
                continue
            served.get(item["path"], headers=tokens[item["role"]]).expect(200)


# ---- tokens -----------------------------------------------------------------------------------------------------------


@test
def a_token_lives_and_ends():
    with Served() as served:
        make_account(served, "ann", "operator")
        ann = Browser(served, "ann", PASSWORD)
        made = make_token(served, ann, "viewer", expires_in_days=1)
        check(re.fullmatch(r"slc_[A-Za-z0-9_-]{43}", made["token"]), "its form")
        check_equal((made["role"], made["account"]["name"], made["expired"], made["used_at"]), ("viewer", "ann", False, None))
        me = served.get("/api/v1/me", headers=bearer(made["token"])).expect(200).json
        check_equal((me["name"], me["role"], me["by"], me["token_id"]), ("ann", "viewer", "token", made["id"]))
        listed = served.get("/api/v1/tokens", headers=ann.read).expect(200).json
        check_equal([item["id"] for item in listed["items"]], [made["id"]])
        check(listed["items"][0]["used_at"], "when it was used")
        check("token" not in listed["items"][0], "shown once")
        check_equal(make_token(served, ann, "viewer", expires_in_days=None)["expires_at"], None)
        check(make_token(served, ann, "viewer")["expires_at"], "without a word: 90 days")

        # Not above its maker, and not for longer.
        served.post("/api/v1/tokens", {"name": "x", "role": "admin"}, headers=ann.change).expect(422, "invalid")
        served.post("/api/v1/tokens", {"name": "x", "role": "operator"}, headers=bearer(made["token"])).expect(422, "invalid")
        for days in (2, None):
            refused = served.post("/api/v1/tokens", {"name": "x", "role": "viewer", "expires_in_days": days},
                                  headers=bearer(made["token"])).expect(422, "invalid")
            check_equal(fields_of(refused), {"expires_in_days"})

        child = served.post("/api/v1/tokens", {"name": "x", "role": "viewer"}, headers=bearer(made["token"])).expect(201).json
        check_equal(child["expires_at"], made["expires_at"], "what is not asked for ends with its maker")
        served.control.sql(f"UPDATE sluice_control.token SET expires_at = now() WHERE id = '{made['id']}'")
        expired = served.get("/api/v1/me", headers=bearer(made["token"])).expect(401, "not_logged_in")
        check("expired" in expired.json["detail"], "says that it has expired")
        other = make_token(served, ann, "operator")
        served.delete(f"/api/v1/tokens/{other['id']}", headers=ann.change).expect(204)
        served.get("/api/v1/me", headers=bearer(other["token"])).expect(401, "not_logged_in")
        served.delete(f"/api/v1/tokens/{other['id']}", headers=ann.change).expect(404, "not_found")


@test
def tokens_are_ones_own():
    with Served() as served:
        make_account(served, "ann", "operator")
        make_account(served, "bob", "operator")
        ann, bob = Browser(served, "ann", PASSWORD), Browser(served, "bob", PASSWORD)
        token = make_token(served, ann, "viewer")
        check_equal(served.get("/api/v1/tokens", headers=bob.read).expect(200).json["total"], 0)
        served.delete(f"/api/v1/tokens/{token['id']}", headers=bob.change).expect(404, "not_found")
        served.get("/api/v1/me", headers=bearer(token["token"])).expect(200)
        everybody = served.get("/api/v1/tokens").expect(200).json
        check(token["id"] in [item["id"] for item in everybody["items"]], "an administrator sees it")
        served.delete(f"/api/v1/tokens/{token['id']}").expect(204)
        served.get("/api/v1/me", headers=bearer(token["token"])).expect(401)


@test
def a_token_acts_at_most_as_its_account():
    with Served() as served:
        ann = make_account(served, "ann", "admin")
        browser = Browser(served, "ann", PASSWORD)
        token = bearer(make_token(served, browser, "admin")["token"])
        served.get("/api/v1/accounts", headers=token).expect(200)
        path = f"/api/v1/accounts/{ann['id']}"
        served.patch(path, {"role": "viewer"}).expect(200)
        served.get("/api/v1/me", headers=browser.read).expect(401)
        served.get("/api/v1/accounts", headers=token).expect(403, "not_allowed")
        check_equal(served.get("/api/v1/me", headers=token).expect(200).json["role"], "viewer")
        served.patch(path, {"disabled": True}).expect(200)
        served.get("/api/v1/me", headers=token).expect(401, "not_logged_in")
        log_in(served, "ann", PASSWORD).expect(401, "login_refused")
        served.patch(path, {"disabled": False}).expect(200)
        served.get("/api/v1/me", headers=token).expect(200)
        served.delete(path).expect(204)
        served.get("/api/v1/me", headers=token).expect(401, "not_logged_in")


@test
def a_token_is_never_answered_twice():
    with Served() as served:
        headers = served.with_header("Idempotency-Key", "once")
        first = served.post("/api/v1/tokens", {"name": "x", "role": "viewer"}, headers=headers).expect(201)
        second = served.post("/api/v1/tokens", {"name": "x", "role": "viewer"}, headers=headers)
        check_equal(second.expect(201).json, {**first.json, "token": None}, "the secret is not kept for it")
        check_equal(served.get("/api/v1/tokens?search=x").expect(200).json["total"], 1, "and there is one")


# ---- accounts ---------------------------------------------------------------------------------------------------------


@test
def accounts_are_made_and_changed():
    with Served() as served:
        answer = served.post("/api/v1/accounts", {"name": "ann", "role": "viewer", "password": PASSWORD}).expect(201)
        ann = answer.json
        path = f"/api/v1/accounts/{ann['id']}"
        check_equal(answer.headers["location"], path)
        check_equal((ann["role"], ann["disabled"], ann["version"], ann["last_login_at"]), ("viewer", False, 1, None))
        check("password" not in json.dumps(ann), "nothing of the password")
        shown = served.get(path).expect(200)
        check_equal(shown.json, ann)
        check_equal(shown.etag, '"1"')
        for name in ("ann", "ANN", "Ann"):
            served.post("/api/v1/accounts", {"name": name, "role": "viewer", "password": PASSWORD}).expect(409, "name_taken")
        changed = served.patch(path, {"role": "operator"}, headers=served.with_header("If-Match", '"1"')).expect(200)
        check_equal((changed.json["role"], changed.etag), ("operator", '"2"'))
        served.patch(path, {"role": "admin"}, headers=served.with_header("If-Match", '"1"')).expect(412, "stale")
        served.delete(path, headers=served.with_header("If-Match", '"1"')).expect(412, "stale")
        served.patch(path, {"role": "admin"}, headers=served.with_header("If-Match", "7")).expect(400, "bad_request")
        same = served.patch(path, {"role": "operator"}).expect(200)
        check_equal(same.etag, '"2"', "what changes nothing is no change")
        served.delete(path).expect(204)
        for method in ("GET", "DELETE"):
            served.request(method, path).expect(404, "not_found")
        served.patch(path, {"role": "viewer"}).expect(404, "not_found")
        make_account(served, "ann")  # the name is free


@test
def the_last_administrator_stays():
    with Served() as served:
        admin = account_named(served, "admin")
        path = f"/api/v1/accounts/{admin['id']}"
        make_account(served, "ann", "operator")
        other = make_account(served, "root", "admin")
        served.patch(f"/api/v1/accounts/{other['id']}", {"disabled": True}).expect(200)  # does not count
        for refused in (served.patch(path, {"role": "viewer"}), served.patch(path, {"disabled": True}), served.delete(path),
                        served.patch(path, {"role": "operator", "password": PASSWORD})):
            refused.expect(409, "last_admin")
            check("admin" in refused.json["detail"], "names it")
        check_equal(served.get(path).expect(200).json["version"], admin["version"], "nothing changed")
        served.get("/api/v1/accounts").expect(200)


@test
def two_administrators_cannot_take_each_other():
    with Served() as served:
        ids = [account_named(served, "admin")["id"], make_account(served, "root", "admin")["id"]]
        for attempt in range(8):
            tokens = [served.headers, bearer(make_token(served, Browser(served, "root", PASSWORD), "admin")["token"])]

            def demote(i):
                return served.patch(f"/api/v1/accounts/{ids[1 - i]}", {"role": "viewer"}, headers=tokens[i]).status

            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                codes = sorted(pool.map(demote, (0, 1)))
            check(codes in ([200, 403], [200, 409]), f"attempt {attempt}: {codes}")
            admins = served.control.rows("SELECT id FROM sluice_control.account WHERE role = 'admin' AND NOT disabled")
            check_equal(len(admins), 1, "one is left")
            served.control.sql("UPDATE sluice_control.account SET role = 'admin'")


@test
def ones_own_password():
    with Served() as served:
        make_account(served, "ann")
        here, there = Browser(served, "ann", PASSWORD), Browser(served, "ann", PASSWORD)
        path = "/api/v1/me/password"
        new = "a new and good one"
        served.request("PUT", path, {"current_password": "a wrong password", "new_password": new},
                       headers=here.change).expect(401, "login_refused")
        for bad in ("short", "x" * 129, PASSWORD, "a\u0000b password", 1, None):
            refused = served.request("PUT", path, {"current_password": PASSWORD, "new_password": bad},
                                     headers=here.change).expect(422, "invalid")
            check_equal(fields_of(refused), {"new_password"})
        served.request("PUT", path, {"current_password": PASSWORD, "new_password": new}, headers=here.change).expect(204)
        served.get("/api/v1/me", headers=here.read).expect(200)
        served.get("/api/v1/me", headers=there.read).expect(401)
        log_in(served, "ann", PASSWORD).expect(401)
        log_in(served, "ann", new).expect(200)


@test
def init_again_gives_a_new_password():
    with Served() as served:
        browser = Browser(served, "admin", served.password)
        old = served.password
        for _ in range(7):
            log_in(served, "admin", "a wrong password")
        served.init()
        check(served.password != old, "another password")
        Browser(served, "admin", served.password)  # unlocked
        served.get("/api/v1/me", headers=browser.read).expect(401)
        log_in(served, "admin", old).expect(401)


@test
def lists_go_by_cursor():
    with Served() as served:
        names = [f"user-{i:02}" for i in range(7)]
        for name in names:
            make_account(served, name)

        def walk(query):
            found, cursor = [], ""
            while True:
                page = served.get(f"/api/v1/accounts?limit=3&{query}{cursor}").expect(200).json
                check_equal(page["total"], 7 if "search" in query else 8)
                found += [item["name"] for item in page["items"]]
                if page["next_cursor"] is None:
                    return found
                check_equal(len(page["items"]), 3)
                cursor = "&cursor=" + page["next_cursor"]

        check_equal(walk(""), ["admin"] + names)
        check_equal(walk("sort=-name"), names[::-1] + ["admin"])
        check_equal(walk("search=USER-"), names)
        check_equal(served.get("/api/v1/accounts?search=%25").expect(200).json["total"], 0, "a percent sign is one")
        cursor = served.get("/api/v1/accounts?limit=1").expect(200).json["next_cursor"]
        served.get(f"/api/v1/accounts?sort=-name&cursor={cursor}").expect(400, "bad_cursor")
        served.get("/api/v1/accounts?cursor=zz").expect(400, "bad_cursor")


# ---- bad input --------------------------------------------------------------------------------------------------------


@test
def bad_bodies_are_refused():
    with Served() as served:
        good = {"name": "ann", "role": "viewer", "password": PASSWORD}
        bad = {"name": (None, "", "x" * 65, 1, True, [], {}, "1a", "a b", "a\u0000b", "a\nb", *ODD),
               "role": (None, "", "root", "Admin", 1, [], "admin\u0000"),
               "password": (None, "", "short", "x" * 129, 1, [], "with a \u0000 in it", "line\nbreak in it"),
               }
        total = served.get("/api/v1/audit").expect(200).json["total"]
        for field, values in bad.items():
            for value in values:
                refused = served.post("/api/v1/accounts", {**good, field: value}).expect(422, "invalid")
                check_equal(fields_of(refused), {field}, repr(value))
                if isinstance(value, str) and field == "password" and value:
                    check(value not in refused.body.decode(), "a password is not said again")
            refused = served.post("/api/v1/accounts", {key: good[key] for key in good if key != field}).expect(422, "invalid")
            check_equal(fields_of(refused), {field})
        check_equal(fields_of(served.post("/api/v1/accounts", {**good, "id": "acct-1", "disabled": True}).expect(422)),
                    {"id", "disabled"})
        check_equal(fields_of(served.post("/api/v1/accounts", {}).expect(422)), {"name", "role", "password"})
        check_equal(fields_of(served.post("/api/v1/accounts", {**good, "name": PASSWORD.replace(" ", "-"),
                                                               "password": PASSWORD.replace(" ", "-").upper()}).expect(422)),
                    {"password"})
        admin = account_named(served, "admin")
        for body, fields in (({"role": "root"}, {"role"}), ({"disabled": "true"}, {"disabled"}), ({"name": "other"}, {"name"}),
                             ({"password": "short"}, {"password"}), ({"version": 2}, {"version"})):
            check_equal(fields_of(served.patch(f"/api/v1/accounts/{admin['id']}", body).expect(422, "invalid")), fields)
        for body, fields in (({"name": "", "role": "viewer"}, {"name"}), ({"name": "x" * 65, "role": "viewer"}, {"name"}),
                             ({"name": "a\u0007", "role": "viewer"}, {"name"}), ({"name": "x", "role": 1}, {"role"}),
                             ({"name": "x", "role": "viewer", "expires_in_days": 0}, {"expires_in_days"}),
                             ({"name": "x", "role": "viewer", "expires_in_days": 3651}, {"expires_in_days"}),
                             ({"name": "x", "role": "viewer", "expires_in_days": 1.5}, {"expires_in_days"}),
                             ({"name": "x", "role": "viewer", "expires_in_days": 1e99}, {"expires_in_days"}),
                             ({"name": "x", "role": "viewer", "expires_in_days": "1"}, {"expires_in_days"})):
            check_equal(fields_of(served.post("/api/v1/tokens", body).expect(422, "invalid")), fields)
        for body, fields in (({}, {"user", "password"}), ({"user": "x", "password": ""}, {"password"}),
                             ({"user": "x" * 65, "password": "y"}, {"user"}), ({"user": "a\u0000", "password": "y"}, {"user"}),
                             ({"user": ["x"], "password": {"y": 1}}, {"user", "password"}),
                             ({"user": "x", "password": "y" * 129}, {"password"}), ({"user": "x", "password": "y", "z": 1}, {"z"})):
            check_equal(fields_of(served.request("POST", "/api/v1/login", body, headers={}).expect(422, "invalid")), fields)
        check_equal(served.get("/api/v1/audit").expect(200).json["total"], total, "nothing was done")


@test
def what_is_no_json_is_refused():
    with Served() as served:
        path = "/api/v1/login"
        json_type = {"Content-Type": "application/json"}
        for body, status, code in ((b"{", 400, "bad_json"), (b"[]", 400, "bad_json"), (b"null", 400, "bad_json"),
                                   (b'{"user": "\xff", "password": "x"}', 400, "bad_json"),
                                   (b'{"user": "\\ud800", "password": "x"}', 400, "bad_json"),
                                   (b'{"a":' * 40 + b"1" + b"}" * 40, 400, "bad_json"), (b"\xef\xbb\xbf{}", 400, "bad_json"),
                                   (b'{"user": "admin", "password": "x"} x', 400, "bad_json")):
            served.request("POST", path, body, headers=json_type).expect(status, code)
        served.request("POST", path, b"x", headers={**json_type, "Content-Length": "2000000"}).expect(413, "body_too_large")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        served.request("POST", path, b"user=admin&password=x", headers=form).expect(415, "media_type")
        served.request("POST", path, headers={}).expect(415, "media_type")
        served.request("PUT", path, {}, headers={}).expect(405, "method_not_allowed")
        served.get("/api/v1/nothing").expect(404, "not_found")
        served.request("POST", "/api/v1/logout", {"x": 1}).expect(400, "bad_request")


@test
def odd_texts_stay_texts():
    with Served() as served:
        for text in ODD:
            made = served.post("/api/v1/tokens", {"name": text, "role": "viewer"}).expect(201).json
            check_equal(made["name"], text)
            found = served.get("/api/v1/tokens?search=" + urllib.parse.quote(text)).expect(200).json["items"]
            check_equal([item["name"] for item in found], [text])
            log_in(served, text, text).expect(401, "login_refused")
            quoted = urllib.parse.quote(text, safe="")
            served.get(f"/api/v1/accounts/{quoted}").expect(404, "not_found")
            served.delete(f"/api/v1/tokens/{quoted}").expect(404, "not_found")
            for path in ("events", "audit", "tokens", "accounts"):
                served.get(f"/api/v1/{path}?{quoted}=1").expect(422, "invalid")
            for query in ("subject=", "search="):
                served.get(f"/api/v1/events?{query}{quoted}").expect(200)
        audited = served.get("/api/v1/audit?operation=token.create&limit=100").expect(200).json["items"]
        check(set(ODD) <= {entry["subject"] for entry in audited}, "the audit has them as they are")


@test
def bad_parameters_are_refused():
    with Served() as served:
        for query, field in (("limit=0", "?limit"), ("limit=101", "?limit"), ("limit=x", "?limit"), ("limit=", "?limit"),
                             ("limit=99999999999999999999", "?limit"), ("type=nothing", "?type"), ("severity=bad", "?severity"),
                             ("kind=x", "?kind"), ("since=yesterday", "?since"), ("until=2026-02-30T00:00:00Z", "?until"),
                             ("search=%00", "?search"), ("search=%ff", "?search"), ("search=%ED%A0%80", "?search"),
                             ("subject=%0a", "?subject"), ("search=" + "x" * 1025, "?search"), ("unknown=1", "?unknown"),
                             ("limit=1&limit=2", "?limit")):
            check_equal(fields_of(served.get(f"/api/v1/events?{query}").expect(422, "invalid")), {field}, query)
        for query in ("cursor=zz", "cursor=", "cursor=5b5d", "cursor=" + json.dumps(["-id", "x", "x"]).encode().hex(),
                      "cursor=" + json.dumps(["-id", "1", "1; DROP TABLE event"]).encode().hex()):
            served.get(f"/api/v1/events?{query}").expect(400, "bad_cursor")
            served.get(f"/api/v1/audit?{query}").expect(400, "bad_cursor")
        served.get("/api/v1/accounts?sort=password_hash").expect(422, "invalid")
        for path in ("events/0", "events/-1", "events/x", "events/99999999999999999999", "events/999999", "accounts/%00",
                     "accounts/%ff", "accounts/conn-1", "tokens/%2e%2e"):
            method = "DELETE" if path.startswith("tokens") else "GET"
            served.request(method, f"/api/v1/{path}").expect(404, "not_found")
        served.get("/api/v1/events/stream?after=-1").expect(422, "invalid")
        served.get("/api/v1/events/stream?limit=1").expect(422, "invalid")
        served.get("/api/v1/events/stream", headers=served.with_header("Last-Event-ID", "x")).expect(400, "bad_request")
        served.get("/api/v1/events?" + "x" * 5000).expect(414, "uri_too_long")


# ---- events and audit -------------------------------------------------------------------------------------------------


@test
def events_are_listed_and_filtered():
    with Served() as served:
        ann = make_account(served, "ann")
        bob = make_account(served, "bob", "operator")
        served.patch(f"/api/v1/accounts/{ann['id']}", {"role": "operator"}).expect(200)
        served.delete(f"/api/v1/accounts/{bob['id']}").expect(204)

        def listed(query=""):
            answer = served.get(f"/api/v1/events?{query}").expect(200).json
            check(answer["total"] >= len(answer["items"]), "total")
            return answer["items"]

        everything = listed("limit=100")
        ids = [event["id"] for event in everything]
        check_equal(ids, sorted(ids, reverse=True), "newest first")
        check_equal([event["type"] for event in listed(f"subject={ann['id']}")], ["account.changed", "account.created"])
        check_equal([event["type"] for event in listed(f"subject={bob['id']}&type=account.deleted")], ["account.deleted"])
        check_equal({event["subject"]["kind"] for event in listed("kind=account")}, {"account"})
        check_equal(listed("kind=connection"), [])
        check_equal(listed("severity=error"), [])
        check_equal([event["subject"]["name"] for event in listed("search=DELETED")], ["bob"])
        changed = listed(f"subject={ann['id']}&type=account.changed")[0]
        check_equal(changed["data"], {"keys": ["role"]})
        check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", changed["at"]), changed["at"])
        check_equal(served.get(f"/api/v1/events/{changed['id']}").expect(200).json, changed)
        check_equal(listed(f"until={everything[-1]['at']}"), [])
        since = [event["id"] for event in listed(f"since={changed['at']}")]
        check(changed["id"] in since, "since takes the moment itself")
        check(ids[-1] not in since or everything[-1]["at"] == changed["at"], "and nothing before")

        walked, cursor = [], ""
        while cursor is not None:
            page = served.get(f"/api/v1/events?limit=2{cursor and '&cursor=' + cursor}").expect(200).json
            walked += [event["id"] for event in page["items"]]
            check_equal(page["total"], len(ids))
            cursor = page["next_cursor"]
        check_equal(walked, ids)


@test
def the_catalogue_of_events_is_in_two_languages():
    with Served() as served:
        english = served.get("/api/v1/event-types").expect(200).json["items"]
        chinese = served.get("/api/v1/event-types", headers=served.with_header("Accept-Language", "zh-CN,zh;q=0.9,en;q=0.5"))
        chinese = chinese.expect(200).json["items"]
        check_equal([item["type"] for item in english], [item["type"] for item in chinese])
        check(all(item["title"].isascii() for item in english), "English")
        check(not any(item["title"].isascii() for item in chinese), "Chinese")
        page = (root / "docs/reference/events.md").read_text(encoding="utf-8")
        check(all(f"`{item['type']}`" in page for item in english), "each in the reference")
        refused = served.get("/api/v1/nothing", headers={"Accept-Language": "zh"}).expect(404)
        check(not refused.json["title"].isascii() and not refused.json["advice"].isascii(), "problems, too")


@test
def events_stream_and_go_on():
    with Served() as served:
        def next_of(stream):
            while True:
                message = next(stream)
                if message["event"] == "event":
                    return message, json.loads(message["data"])

        with contextlib.closing(served.stream("/api/v1/events/stream?type=account.created")) as stream:
            start = next(stream)
            check_equal(start["event"], "start")
            ann = make_account(served, "ann")
            served.patch(f"/api/v1/accounts/{ann['id']}", {"role": "operator"}).expect(200)  # filtered out
            make_account(served, "bob")
            first, event = next_of(stream)
            check_equal(event["subject"]["name"], "ann")
            check_equal(first["id"], str(event["id"]))
            check_equal(next_of(stream)[1]["subject"]["name"], "bob")
        make_account(served, "carl")
        path = "/api/v1/events/stream?type=account.created&after=0"
        for headers, query, names in (({"Last-Event-ID": first["id"]}, "", ["bob", "carl"]),
                                      ({}, f"?after={first['id']}&kind=account&search=made account", ["bob", "carl"]),
                                      ({"Last-Event-ID": start["id"]}, path.partition("stream")[2], ["ann", "bob", "carl"])):
            address = "/api/v1/events/stream" + query.replace(" ", "%20")
            with contextlib.closing(served.stream(address, headers=headers)) as stream:
                found = []
                while len(found) < len(names):
                    event = next_of(stream)[1]
                    if event["type"] == "account.created":
                        found.append(event["subject"]["name"])
                check_equal(found, names)


@test
def a_stream_misses_nothing_of_many_writers():
    """Ids are given before transactions commit: a stream that goes on behind the last one it saw must still see all."""
    with Served() as served:
        with contextlib.closing(served.stream("/api/v1/events/stream?type=token.created", deadline_s=60)) as stream:
            next(stream)

            def write(i):
                return [served.post("/api/v1/tokens", {"name": f"t{i}", "role": "viewer"}).expect(201).json["id"] for _ in range(15)]

            with concurrent.futures.ThreadPoolExecutor(6) as pool:
                made = sum(pool.map(write, range(6)), [])
            seen = []
            while len(seen) < len(made):
                message = next(stream)
                if message["event"] == "event":
                    seen.append(json.loads(message["data"])["data"]["token"])
            check_equal(sorted(seen), sorted(made))


@test
def a_stream_ends_with_its_right():
    with Served() as served:
        make_account(served, "ann")
        browser = Browser(served, "ann", PASSWORD)
        token = make_token(served, browser, "viewer")
        stream = served.stream("/api/v1/events/stream", headers=bearer(token["token"]), deadline_s=40)
        check_equal(next(stream)["event"], "start")
        served.delete(f"/api/v1/tokens/{token['id']}").expect(204)
        rest = list(stream)  # ends by itself
        check(len(rest) < 10, f"{len(rest)} messages")


@test
def the_audit_says_who_changed_what():
    with Served() as served:
        headers = served.with_header("X-Request-Id", "my-request-1")
        ann = served.post("/api/v1/accounts", {"name": "ann", "role": "viewer", "password": PASSWORD}, headers=headers)
        ann = ann.expect(201).json
        path = f"/api/v1/accounts/{ann['id']}"
        served.patch(path, {"role": "operator", "password": "another good one"}).expect(200)
        browser = Browser(served, "ann", "another good one")
        served.request("PUT", "/api/v1/me/password", {"current_password": "another good one", "new_password": PASSWORD},
                       headers=browser.change).expect(204)
        served.post("/api/v1/logout", headers=browser.change).expect(204)
        served.delete(path).expect(204)
        entries = served.get(f"/api/v1/audit?subject={ann['id']}").expect(200).json["items"]
        check_equal([entry["operation"] for entry in entries],
                    ["account.delete", "account.log_out", "account.change_password", "account.log_in", "account.edit",
                     "account.create"])
        by = {entry["operation"]: entry for entry in entries}
        create, edit = by["account.create"], by["account.edit"]
        check_equal((create["account"], create["address"], create["request_id"], create["subject"]),
                    ("admin", "127.0.0.1", "my-request-1", "ann"))
        check(create["token_id"], "by a token")
        check_equal(by["account.log_out"]["token_id"], None, "by a log-in")
        plain = {"name": "ann", "role": "viewer", "disabled": False}
        check_equal((create["before"], create["after"]), (None, plain))
        check_equal((edit["before"], edit["after"]), (plain, {**plain, "role": "operator", "password": "changed"}))
        check_equal(by["account.delete"]["before"], {**plain, "role": "operator"})
        text = json.dumps(served.get("/api/v1/audit?limit=100").expect(200).json)
        check(PASSWORD not in text and "another good one" not in text and "argon2" not in text and "slc_" not in text,
              "no secret")
        ours = served.get("/api/v1/audit?account=ann&limit=2").expect(200).json
        check_equal((ours["total"], len(ours["items"])), (3, 2))
        rest = served.get(f"/api/v1/audit?account=ann&limit=2&cursor={ours['next_cursor']}").expect(200).json
        check_equal([entry["operation"] for entry in rest["items"]], ["account.log_in"])


main()
