#!/usr/bin/python3
"""clang-format-19 leaves every source as it is."""

import re
import subprocess
import tempfile

import lint
from registry import Failure, main, test  # found through lint

COMMAND = ["clang-format-19", "--dry-run", "-Werror", f"--style=file:{lint.root / '.clang-format'}"]


def refused(files):
    """The places that would change, as FILE:LINE:COLUMN."""
    done = subprocess.run([*COMMAND, *map(str, files)], stderr=subprocess.PIPE, text=True, check=False)
    places = re.findall(r"^(\S+?:\d+:\d+): error", done.stderr, re.MULTILINE)
    if done.returncode != 0 and not places:
        raise Failure(f"clang-format-19 failed: {done.stderr[:400]}")
    return places


@test
def format_of_all_sources():
    files = lint.sources()
    if not files:
        raise Failure("no sources found below src/")
    places = refused(files)
    if places:
        names = sorted({place.split(":")[0].replace(f"{lint.root}/", "") for place in places})
        raise Failure(f"{len(places)} places; run: clang-format-19 -i {' '.join(names)}")


@test
def format_checker_finds_a_bad_file():
    with tempfile.NamedTemporaryFile("w", suffix=".cc") as file:
        file.write("int  main( ) {return 0;}\n")
        file.flush()
        if not refused([file.name]):
            raise Failure("a badly formatted file passes")


main()
