#!/usr/bin/python3
"""A module includes only what the table in cmake/SluiceModule.cmake allows it, and third parties stay in their module."""

import re
from typing import Dict, List, Set

import lint
from registry import Failure, main, test  # found through lint

TABLE = lint.root / "cmake" / "SluiceModule.cmake"
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')

# Third-party headers that one module hides from all others: which module, and what the headers look like.
HIDDEN = {
    "client": re.compile(r"^curl/"),
    "kafka": re.compile(r"^(librdkafka/|rdkafka)"),
    "mariadb": re.compile(r"^(mysql\.h|mysql/|mariadb/mysql)"),
    "postgres": re.compile(r"^(libpq-fe\.h|libpq/|postgresql/|postgres_ext\.h|pg_config)"),
}


def allowed(text: str) -> Dict[str, Set[str]]:
    """The table: what each module may use, itself included."""
    table = {}
    for line in text.splitlines():
        match = re.match(r"sluice_allow\(([^)]*)\)", line)
        if match:
            module, *uses = match.group(1).split()
            table[module] = {module, *uses}
    if not table:
        raise Failure(f"{lint.shown(TABLE)} has no line sluice_allow(MODULE USES...)")
    return table


def private_headers(files: Dict[str, str]) -> Dict[str, str]:
    """Headers, as "MODULE/FILE", that show third-party types, themselves or through another one: header -> what it shows.

    No other module may include these.
    """
    includes = {path[len("src/"):]: [match.group(2) for line in text.splitlines() if (match := INCLUDE.match(line))]
                for path, text in files.items() if path.endswith(".h")}
    private: Dict[str, str] = {}
    grown = True
    while grown:
        grown = False
        for header, names in includes.items():
            if header in private:
                continue
            for name in names:
                shows = private.get(name) or next((name for pattern in HIDDEN.values() if pattern.match(name)), None)
                if shows:
                    private[header] = shows
                    grown = True
                    break
    return private


def findings(path: str, text: str, table: Dict[str, Set[str]], private: Dict[str, str]) -> List[str]:
    """What is wrong with the includes of src/MODULE/FILE, as FILE:LINE: why."""
    parts = path.split("/")
    if len(parts) != 3 or parts[0] != "src":
        return [f"{path}: sources live in src/MODULE/, not deeper and not beside"]
    module = parts[1]
    if module not in table:
        return [f"{path}: module {module} is not in the table of cmake/SluiceModule.cmake"]
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quote, name = match.groups()
        where = f"{path}:{number}"
        for owner, pattern in HIDDEN.items():
            if pattern.match(name) and module != owner:
                found.append(f"{where}: <{name}> belongs to module {owner} alone")
        if quote == "<":
            continue
        used = name.split("/")[0]
        if "/" not in name or used not in table:
            found.append(f'{where}: "{name}": write "MODULE/FILE"; modules: {", ".join(sorted(table))}')
        elif used not in table[module]:
            found.append(f"{where}: module {module} may not use {used}; it may use: "
                         f"{', '.join(sorted(table[module] - {module})) or 'nothing'}")
        elif used != module and name in private:
            found.append(f"{where}: {name} shows types of <{private[name]}>: it is private to module {used}")
    return found


@test
def includes_of_all_sources():
    table = allowed(TABLE.read_text(encoding="utf-8"))
    files = {lint.shown(file): file.read_text(encoding="utf-8") for file in lint.sources()}
    if not files:
        raise Failure("no sources found below src/")
    private = private_headers(files)
    found = [problem for path, text in files.items() for problem in findings(path, text, table, private)]
    if found:
        raise Failure("; ".join(found))


@test
def includes_checker_finds_every_kind_of_mistake():
    table = allowed("sluice_allow(base)\nsluice_allow(kafka base)\nsluice_allow(postgres base)\n"
                    "sluice_allow(sink base postgres)\n")
    private = private_headers({
        "src/postgres/native.h": "#include <libpq-fe.h>\n",
        "src/postgres/inner.h": '#include "postgres/native.h"\n',
        "src/postgres/connection.h": '#include "base/result.h"\n',
        "src/postgres/connection.cc": '#include "postgres/native.h"\n'})
    if private != {"postgres/native.h": "libpq-fe.h", "postgres/inner.h": "libpq-fe.h"}:
        raise Failure(f"private headers: {private}")
    mistakes = {
        ("src/base/a.h", '#include "kafka/consumer.h"'): "may not use kafka; it may use: nothing",
        ("src/sink/a.cc", '  #  include "kafka/consumer.h"'): "may not use kafka; it may use: base, postgres",
        ("src/sink/a.cc", '#include "neighbour.h"'): 'write "MODULE/FILE"',
        ("src/sink/a.cc", '#include "control/x.h"'): 'write "MODULE/FILE"',
        ("src/sink/a.cc", "#include <libpq-fe.h>"): "belongs to module postgres alone",
        ("src/sink/a.cc", "#include <librdkafka/rdkafka.h>"): "belongs to module kafka alone",
        ("src/sink/a.cc", '#include "postgres/inner.h"'): "it is private to module postgres",
        ("src/stray/a.cc", ""): "not in the table",
        ("src/a.cc", ""): "src/MODULE/",
    }
    for (path, text), expected in mistakes.items():
        found = findings(path, text, table, private)
        if len(found) != 1 or expected not in found[0]:
            raise Failure(f"{path} with {text!r}: found {found}, expected one with '{expected}'")
    fine = {"src/sink/a.cc": '#include "sink/a.h"\n#include <vector>\n// #include "kafka/x.h"\n'
                             '#include "postgres/connection.h"\n',
            "src/postgres/a.cc": '#include <libpq-fe.h>\n#include "postgres/inner.h"\n'}
    for path, text in fine.items():
        if findings(path, text, table, private):
            raise Failure(f"good includes are refused: {findings(path, text, table, private)}")


@test
def includes_table_has_no_cycle():
    table = allowed(TABLE.read_text(encoding="utf-8"))
    seen: Set[str] = set()
    for module, uses in table.items():  # in the order of the file: lowest first
        later = uses - seen - {module}
        if later:
            raise Failure(f"{module} uses {', '.join(sorted(later))}, which is not above it in the table")
        seen.add(module)


main()
