#!/usr/bin/python3
"""clang-tidy-19 finds nothing in any source (tests excepted). Results are kept by content, so a second run takes seconds.

Needs build/dev/compile_commands.json (`./test tidy` makes it). The key of a result is everything that can change it: the
file, every header of src/ that it reaches, the command, .clang-tidy and the version. Only clean results are kept.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess

import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lint"))
import lint  # noqa: E402
from registry import Failure, add, main, selected, test  # found through lint

TIDY = "clang-tidy-19"
JOBS = 2
COMMANDS = lint.root / "build" / "dev" / "compile_commands.json"
CACHE = pathlib.Path(os.environ.get("SLUICE_CACHE") or
                     pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "sluice") / "tidy"
INCLUDE = re.compile(rb'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


def reached(file, seen):
    """The file and every own header that it includes, directly or not."""
    if file in seen or not file.is_file():
        return seen
    seen.add(file)
    for name in INCLUDE.findall(file.read_bytes()):
        reached(lint.root / "src" / name.decode(), seen)
    return seen


def key(file, command, version):
    digest = hashlib.sha256()
    own = command.replace(str(lint.root), "")  # the same in every clone
    digest.update("\0".join([version, own, (lint.root / ".clang-tidy").read_text(encoding="utf-8")]).encode())
    for each in sorted(reached(file, set())):
        digest.update(lint.shown(each).encode() + b"\0" + hashlib.sha256(each.read_bytes()).digest())
    return digest.hexdigest()


def flags(command):
    """Of GCC's command what decides how the file reads: includes, macros and the language; the rest clang may not know."""
    words = iter(shlex.split(command)[1:])
    kept = []
    for word in words:
        if word in ("-isystem", "-I", "-D", "-include"):
            kept += [word, next(words)]
        elif word.startswith(("-I", "-D", "-std=")):
            kept.append(word)
    return kept


def examine(file, command):
    """Runs clang-tidy on one file; returns what it found, or ''."""
    done = subprocess.run([TIDY, "--quiet", str(file), "--", "-x", "c++", *flags(command)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, cwd=lint.root, check=False)
    if done.returncode == 0:
        return ""
    places = [line.replace(f"{lint.root}/", "") for line in done.stdout.splitlines() if ": error:" in line]
    return "; ".join(dict.fromkeys(places)) or (done.stdout + done.stderr)[-600:]


class Examiner:
    """Examines files in the background, JOBS at a time; the first result that is asked for starts it."""

    def __init__(self, chosen):
        self._entries = chosen
        self._version = ""
        self._results = {}
        self._pool = concurrent.futures.ThreadPoolExecutor(JOBS)

    def result(self, file):
        if not self._results:
            self._version = subprocess.run([TIDY, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
            self._results = {each: self._pool.submit(self._examine, each, command)
                             for each, command in self._entries.items()}
        return self._results[file].result()

    def _examine(self, file, command):
        mark = CACHE / key(file, command, self._version)
        if mark.exists():
            return ""
        found = examine(file, command)
        if not found:
            CACHE.mkdir(parents=True, exist_ok=True)
            mark.touch()
        return found


def entries():
    if not COMMANDS.exists():
        raise SystemExit("build/dev/compile_commands.json is missing; run: ./test lint")
    found = {}
    for entry in json.loads(COMMANDS.read_text(encoding="utf-8")):
        file = pathlib.Path(entry["file"])
        if lint.root / "src" in file.parents and not file.name.endswith("_test.cc") and file.exists():
            found[file] = entry["command"]
    return found


@test
def tidy_finds_a_bad_file():
    folder = lint.root / "build" / "dev"
    bad = folder / "tidy_self_test.cc"
    bad.write_text("#include <string>\nint* nothing() { return 0; }\nclass lower {};\n", encoding="utf-8")
    try:
        found = examine(bad, "g++ -std=c++20")
    finally:
        bad.unlink()
    for check in ("modernize-use-nullptr", "readability-identifier-naming"):
        if check not in found:
            raise Failure(f"{check} does not find its mistake: {found}")


def name_of(file):
    return f"tidy {lint.shown(file)}"


_all = entries()
_examiner = Examiner({file: command for file, command in _all.items() if selected(name_of(file))})


def _check(file):
    found = _examiner.result(file)
    if found:
        raise Failure(found)


for _file in sorted(_all):
    add(name_of(_file), lambda file=_file: _check(file))

main()
