"""Every operation of api/openapi.yaml, called by schemathesis with what fits the description and with what does not: no
answer is a fault of the server (5xx) or of another form than described, and nothing that the description refuses is taken.

The seed is the same each time, so that nobody's change fails by chance. For longer runs by hand:
SLUICE_SCHEMATHESIS_EXAMPLES, so many calls of each operation by chance (5 unless said), and SLUICE_SCHEMATHESIS_SEED."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from kit import Database, Failure, Topic, check_equal, eventually, main, root, test
from served import Served, kafka_connection, postgres_connection

CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
          "response_schema_conformance", "negative_data_rejection", "missing_required_header", "unsupported_method",
          "allow_header_conformance", "ignored_auth")
# Not among the checks: positive_data_acceptance (names must be free, connections must exist, texts must be no control
# characters: more than a schema says), use_after_free and ensure_resource_availability (a task that is deleted is there
# until it has stopped).
LEFT_OUT = {
    "logIn": "wrong passwords lock the user and the address",
    "changePassword": "wrong passwords lock the user",
    "logOut": "needs a cookie",
    "editAccount": "could disable the account that calls",
    "deleteAccount": "could delete the account that calls",
    "revokeToken": "could revoke the token that calls",
    "streamEvents": "has no end",
    "streamTaskFigures": "has no end",
    "checkConnection": "has an answer that is a stream",
}
# Operations that ask servers elsewhere, or are refused while too many do: these 5xx are what they should answer.
ELSEWHERE = ("listDatabases", "listSchemas", "listTables", "getTable", "listTopics", "getTopic", "listGroups", "getGroup",
             "restartTask", "createTask")


def configuration(ids) -> str:
    """What is given by hand: ids of things that are there, so that calls come further than 404."""
    lines = ['[checks]',
             # 413, 414 and 431: what is too long by its schema may be too long for the server, too.
             "negative_data_rejection.expected-statuses = "
             "['400', '401', '403', '404', '405', '409', '413', '414', '415', '422', '431']"]
    for operation in ELSEWHERE:
        lines += ["[[operations]]", f'include-operation-id = "{operation}"',
                  'checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "502", "503"]']
    for prefix, value in ids.items():
        lines += ["[[operations]]", f'include-path-regex = "^{prefix}"', f'parameters = {{ id = "{value}" }}']
    return "\n".join(lines) + "\n"


@test
def schemathesis_finds_nothing():
    tool = subprocess.run([root / "dev/schemathesis"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    with Served() as served, Database() as db, tempfile.TemporaryDirectory(prefix="schemathesis_") as folder:
        db.sql("CREATE TABLE public.t (id int PRIMARY KEY)")
        topic = Topic()
        ids = {}
        for body in (kafka_connection(), postgres_connection(db), kafka_connection("spare")):
            made = served.post("/api/v1/connections", body).expect(201).json
            ids[body["name"]] = made["id"]
            eventually(lambda: served.get(f"/api/v1/connections/{made['id']}").json["status"] == "ready", "it is checked")
        task = served.post("/api/v1/tasks", {"document": {
            "name": "orders", "source": {"connection": "kafka", "topics": [topic.name]},
            "target": {"connection": "warehouse", "table": "public.t"},
            "sync": {"columns": [{"field": "id", "column": "id"}]}}}).expect(201).json
        served.until_state(task["id"], "running")
        config = pathlib.Path(folder) / "schemathesis.toml"
        config.write_text(configuration({
            "/api/v1/tasks/": task["id"], "/api/v1/connections/[{]id[}]$": ids["spare"],
            "/api/v1/connections/[{]id[}]/(topics|groups)": ids["kafka"],
            "/api/v1/connections/[{]id[}]/(databases|schemas|table|tables|tasks)": ids["warehouse"]}), encoding="utf-8")
        left_out = [argument for name in LEFT_OUT for argument in ("--exclude-operation-id", name)]
        done = subprocess.run(
            [tool, "--config-file", config, "run", root / "api/openapi.yaml", "--url", f"http://127.0.0.1:{served.port}",
             "-H", f"Authorization: {served.headers['Authorization']}", "--checks", ",".join(CHECKS),
             "--max-examples", os.environ.get("SLUICE_SCHEMATHESIS_EXAMPLES", "5"),
             "--seed", os.environ.get("SLUICE_SCHEMATHESIS_SEED", "1"),
             "--generation-database", "none", "--no-shrink", "--continue-on-failure", "--no-color", "--warnings", "off",
             *left_out],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1800, check=False)
        if done.returncode != 0:
            raise Failure(f"schemathesis (exit code {done.returncode}):\n{done.stdout[-60000:]}")
        print("    " + "\n    ".join(done.stdout.splitlines()[-12:]))
        check_equal(served.get("/api/v1/me").expect(200).json["name"], "admin", "the caller is still somebody")
        served.get("/readyz").expect(200)


if __name__ == "__main__":
    main()
