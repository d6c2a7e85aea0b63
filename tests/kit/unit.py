#!/usr/bin/python3
"""Runs the unit tests of a build folder (ctest, label unit) and counts every GoogleTest test in them.

Usage: unit.py BUILD_FOLDER [-k TEXT] [--seed N]. Output as tests/kit/registry.py says, with one line for each program
that passed and one for each test that failed.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree


def programs(build):
    """Name and command of every test with the label unit."""
    listing = subprocess.run(["ctest", "--test-dir", build, "-L", "unit", "--show-only=json-v1"], check=True,
                             stdout=subprocess.PIPE)
    return [(test["name"], test["command"]) for test in json.loads(listing.stdout)["tests"]]


def run(name, command, arguments):
    """Runs one program; returns how many tests passed, and the failures as (name, why)."""
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.xml"
        environment = dict(os.environ, GTEST_OUTPUT=f"xml:{report}", GTEST_BRIEF="1", GTEST_COLOR="no")
        if arguments.k:
            environment["GTEST_FILTER"] = f"*{arguments.k}*"
        if arguments.seed is not None:
            environment["RC_PARAMS"] = f"seed={arguments.seed}"
        try:
            done = subprocess.run(command, cwd=arguments.build, env=environment, timeout=600, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
            output, code = done.stdout, done.returncode
        except subprocess.TimeoutExpired as late:
            output, code = (late.stdout or b"").decode(errors="replace"), "time-out after 600 s"
        passed, failures = 0, []
        if report.exists():
            for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
                if case.get("status") != "run" or case.get("result") == "skipped":
                    continue
                problem = case.find("failure")
                if problem is None:
                    passed += 1
                else:
                    why = (problem.get("message") or "").strip().replace("\n", " | ")
                    failures.append((f"{name}/{case.get('classname')}.{case.get('name')}", why[:400]))
        if code != 0 and not failures:  # a crash, a sanitizer, a leak at the end
            failures.append((name, f"exit code {code}"))
        if failures:
            print(output[-20000:])
        return passed, failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("build")
    parser.add_argument("-k", metavar="TEXT", default="")
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    total = failed = 0
    tests = programs(arguments.build)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for (name, _), (passed, failures) in zip(tests, pool.map(lambda test: run(*test, arguments), tests)):
            total += passed
            failed += len(failures)
            if passed and not failures:
                print(f"ok {name} ({passed} tests)", flush=True)
            for test, why in failures:
                print(f"FAIL {test}: {why}", flush=True)
    print(f"{total} passed, {failed} failed", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
