"""The format itself: what case_file reads, refuses, and rewrites."""

import pathlib
from typing import Callable, Iterator, List, Tuple

from case_file import CaseError, Record, body_rewrite, parse_message, parse_text, rewritten

SMALL = """# Shows nothing much.
tags: core
--- sql
CREATE TABLE t (id int);
--- messages
{"id": 1}
--- rows: SELECT * FROM t
1
"""


def _parse(text: str):
    return parse_text(text, pathlib.Path("some.case"), "some")


def _refused(text: str, *parts: str) -> None:
    try:
        _parse(text)
    except CaseError as error:
        for part in parts:
            assert part in str(error), f"'{part}' is not in: {error}"
    else:
        raise AssertionError(f"taken: {text}")


def _bad_line(line: str) -> None:
    try:
        parse_message(line)
    except ValueError:
        return
    raise AssertionError(f"taken: {line}")


def format_sections() -> None:
    case = _parse(SMALL + "\n--- then\n--- sql as superuser\nSELECT 1;\n--- task\nsync: {start: 2026-01-01T00:00:00Z}\n"
                  "--- halt: 1 not_json\n")
    assert case.core and case.description == "Shows nothing much." and len(case.phases) == 2
    assert case.phases[0].sql == [(False, "CREATE TABLE t (id int);")]
    assert case.phases[0].rows[0].argument == "SELECT * FROM t" and case.phases[0].rows[0].body == ["1"]
    assert case.phases[0].exit_code == 0 and case.phases[1].exit_code == 3
    assert case.phases[1].sql == [(True, "SELECT 1;")]
    assert case.phases[1].task == {"sync": {"start": "2026-01-01T00:00:00Z"}}, "a date is left to the program"
    assert case.sends_once


def format_refuses_mistakes() -> None:
    _refused("--- sql\n", "comment")
    _refused(SMALL.replace("--- rows:", "--- row:"), "unknown section 'row'", "some.case:7")
    _refused(SMALL.replace("tags:", "tag:"), "some.case:2")
    _refused(SMALL.replace("--- rows: SELECT * FROM t\n1\n", ""), "expects nothing")
    _refused(SMALL.replace('{"id": 1}', '@what {"id": 1}'), "unknown attribute @what")
    _refused(SMALL.replace('{"id": 1}', '@partition=1 {"id": 1}'), "partitions: 2")
    _refused(SMALL.replace('{"id": 1}', '@topic=b {"id": 1}'), "topics:")
    _refused(SMALL.replace('{"id": 1}', "! beginn"), "await-compaction")


def format_messages() -> None:
    def one(line: str) -> Record:
        records = parse_message(line)
        assert len(records) == 1
        return records[0]

    assert one('{"a": "\\u0000"}') == Record(b'{"a": "\\u0000"}'), "JSON is taken as it is"
    assert one("null").value == b"null" and one("∅").value is None and one("@empty").value == b""
    assert one("[1, 2]").value == b"[1, 2]"
    assert one('@raw \\x00\\xff\\n\\\\"').value == b'\x00\xff\n\\"'
    assert one("@raw a\\{3:[}b\\{2:x\\x00}").value == b"a[[[bx\x00x\x00"
    assert one('@partition=2 @key="a b\\x00" @ts=5 @header:h=v @header:n {}') == Record(
        b"{}", b"a b\x00", "", 2, 5, [("h", b"v"), ("n", None)])
    assert one('@key="" ∅').key == b"" and one("∅").key is None
    assert [(r.key, r.value) for r in parse_message('@times=2 @key=k{n} {"id": {n}}')] == [
        (b"k1", b'{"id": 1}'), (b"k2", b'{"id": 2}')]
    assert one('{"id": {n}}').value == b'{"id": {n}}', "only @times counts"
    for line in ("@key {}", "@raw=1 {}", "@raw \\q", "@empty x", "@key=a", "@times=x {}", "@header: {}"):
        _bad_line(line)


def format_accept() -> None:
    case = _parse(SMALL)
    again = rewritten(case.lines, [body_rewrite(case.phases[0].rows[0], ["2", "3"])])
    assert again == SMALL.replace("\n1\n", "\n2\n3\n"), again
    assert rewritten(case.lines, []) == SMALL


def tests() -> Iterator[Tuple[str, Callable[[], None]]]:
    bodies: List[Callable[[], None]] = [format_sections, format_refuses_mistakes, format_messages, format_accept]
    for body in bodies:
        yield body.__name__.replace("_", "-"), body
