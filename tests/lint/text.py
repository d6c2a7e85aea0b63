#!/usr/bin/python3
"""Rules about plain text: width of lines, white space, and nothing that belongs to one machine only."""

import re

import lint
from registry import Failure, main, test  # found through lint

WIDE = 100
RAW_STRING = re.compile(r'R"(\w*)\((.*?)\)\1"', re.DOTALL)
# Folders of one machine, and hosts that packages come from: neither helps a reader elsewhere. Written so that this file
# does not find itself.
MACHINE = re.compile(r"(?<![\w.\-/$}])/(?:work|root|home)" + r"/\w")
HOSTS = re.compile("|".join([r"registry\.npm" + r"js\.org", r"repo1?\.maven\." + r"(apache\.)?org",
                             r"deb\.debian\." + r"org", r"files\.python" + r"hosted", r"static\.crates\." + r"io"]))
BINARY = (".png", ".jpg", ".gif", ".ico", ".gz", ".xz", ".bin", ".woff2")


def texts():
    for file in lint.own_files():
        if file.suffix not in BINARY:
            yield file, file.read_text(encoding="utf-8", errors="surrogateescape")


def wide(text: str):
    # A string literal may be better whole; clang-format breaks everything else.
    text = RAW_STRING.sub(lambda raw: '""' + "\n" * raw.group(0).count("\n"), text)
    return [number for number, line in enumerate(text.splitlines(), 1) if len(line) > WIDE and '"' not in line]


def refuse(found):
    if found:
        raise Failure("; ".join(found[:20]) + (f"; and {len(found) - 20} more" if len(found) > 20 else ""))


@test
def text_sources_are_at_most_100_columns_wide():
    refuse([f"{lint.shown(file)}:{number}: more than {WIDE} columns"
            for file in lint.sources() for number in wide(file.read_text(encoding="utf-8"))])


@test
def text_sources_are_shorter_than_600_lines():
    refuse([f"{lint.shown(file)}: {count} lines; split it by what its parts are for" for file in lint.sources()
            if (count := len(file.read_text(encoding="utf-8").splitlines())) > 600])


@test
def text_names_no_machine_and_no_package_host():
    refuse([f"{lint.shown(file)}:{number}: {match.group(0)}" for file, text in texts()
            for number, line in enumerate(text.splitlines(), 1) for pattern in (MACHINE, HOSTS)
            if (match := pattern.search(line))])


@test
def text_has_no_trailing_space_or_tab_or_conflict():
    pattern = re.compile(r"[ \t]+$|^(<<<<<<<|>>>>>>>) ")
    skip = ("tests/cases/",)  # there white space may be the case
    refuse([f"{lint.shown(file)}:{number}: {line[-40:]!r}" for file, text in texts()
            if not lint.shown(file).startswith(skip)
            for number, line in enumerate(text.split("\n"), 1) if pattern.search(line)])


@test
def text_headers_have_pragma_once():
    refuse([lint.shown(file) for file in lint.sources()
            if file.suffix == ".h" and "#pragma once\n" not in file.read_text(encoding="utf-8")])


@test
def text_checks_find_what_they_look_for():
    for bad in ("cd /wo" + "rk/main", "see /ro" + "ot/x", '"/ho' + 'me/jdoe/x"'):
        if not MACHINE.search(bad):
            raise Failure(f"not found: {bad}")
    for good in ("a/work/x", "$HOME/root/x", "tests/work/x", "/worked"):
        if MACHINE.search(good):
            raise Failure(f"refused: {good}")
    if not HOSTS.search("https://registry.npm" + "js.org/x"):
        raise Failure("a package host is not found")
    if wide("x" * 100) or wide("ü" * 100) or wide("x" * 101) != [1]:
        raise Failure("the width of a line is counted wrongly")


main()
