"""A .case file: what it says, and how its expectations are rewritten. The format is described in README.md.

No I/O but reading and writing that one file; nothing here knows of Kafka or PostgreSQL.
"""

import dataclasses
import pathlib
import re
from typing import Any, Dict, List, Optional, Sequence, Tuple

import yaml

NULL = "∅"


class CaseError(Exception):
    """The file is not in the format; the text names file and line."""


# Dates stay text: the task document reads them itself.
class _Loader(yaml.SafeLoader):
    pass


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()}


@dataclasses.dataclass
class Record:
    """One message as the file writes it."""

    value: Optional[bytes]
    key: Optional[bytes] = None
    topic: str = ""  # one of Case.topics
    partition: Optional[int] = None  # None: the runner may choose
    timestamp_ms: int = 0  # 0: now
    headers: List[Tuple[str, Optional[bytes]]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Directive:
    """`! begin`, `! commit` and the like, between messages."""

    word: str


DIRECTIVES = ("begin", "commit", "abort", "await-compaction")


@dataclasses.dataclass
class Section:
    """`--- NAME: ARGUMENT` and the lines below it."""

    name: str
    argument: str
    body: List[str]
    line: int  # of its first line of the body, from 0

    @property
    def text(self) -> str:
        return "\n".join(self.body)


@dataclasses.dataclass
class Phase:
    """Prepare, send, run, compare. Most cases have one; `--- then` begins the next."""

    sql: List[Tuple[bool, str]] = dataclasses.field(default_factory=list)  # as superuser?
    task: Dict[str, Any] = dataclasses.field(default_factory=dict)
    items: List[Any] = dataclasses.field(default_factory=list)  # Record or Directive
    meanwhile: Optional[Tuple[str, str]] = None  # regex in the output, SQL
    arguments: List[str] = dataclasses.field(default_factory=list)
    rows: List[Section] = dataclasses.field(default_factory=list)
    dead: Optional[Section] = None
    halt: Optional[Section] = None
    exit_section: Optional[Section] = None
    output: List[str] = dataclasses.field(default_factory=list)
    end_line: int = 0  # where another section could be inserted

    @property
    def exit_code(self) -> int:
        if self.exit_section is not None:
            return int(self.exit_section.argument)
        return 3 if self.halt is not None else 0


HEADERS = ("tags", "partitions", "topics", "topic-config", "only", "not")
SECTIONS = ("sql", "task", "messages", "meanwhile", "arguments", "rows", "dead", "halt", "exit", "output", "then")


@dataclasses.dataclass
class Case:
    """What a file says."""

    name: str
    file: pathlib.Path
    description: str
    tags: List[str]
    partitions: Optional[int]  # None: one, or as many as the setting wants
    topics: List[str]  # suffixes; "" is {topic} itself
    topic_config: Dict[str, str]
    only: List[str]
    never: List[str]
    phases: List[Phase]
    lines: List[str]

    @property
    def core(self) -> bool:
        return "core" in self.tags

    @property
    def sends_once(self) -> bool:
        """Its messages are all there before the first run, so that several runs may read one topic."""
        return all(not phase.items for phase in self.phases[1:])


# ---- messages ---------------------------------------------------------------------------------------------------------

_ATTRIBUTE = re.compile(r'@([a-z]+(?::[^\s="]+)?)(?:=("(?:[^"\\]|\\.)*"|[^\s"]\S*))?(?:\s+|$)')
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|\{(\d+):((?:[^}\\]|\\.)*)\}|(.))", re.DOTALL)
_PLAIN_ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"\\": b"\\", b"}": b"}", b'"': b'"', b"@": b"@"}


def unescape(text: str) -> bytes:
    r"""\xHH, \n, \t, \r, \\, \" and \{N:TEXT}, which is TEXT N times."""

    def replace(match: "re.Match[bytes]") -> bytes:
        byte, count, repeated, plain = match.groups()
        if byte:
            return bytes([int(byte, 16)])
        if count:
            return _ESCAPE.sub(replace, repeated) * int(count)
        if plain not in _PLAIN_ESCAPES:
            raise ValueError(f"unknown escape \\{plain.decode(errors='replace')}")
        return _PLAIN_ESCAPES[plain]

    return _ESCAPE.sub(replace, text.encode())


def _attribute_bytes(text: str) -> bytes:
    return unescape(text[1:-1] if text.startswith('"') else text)


def parse_message(line: str) -> List[Record]:
    """The records of one line: several with @times."""
    record = Record(value=None)
    raw = empty = False
    times = 1
    rest = line
    key: Optional[str] = None
    while rest.startswith("@"):
        match = _ATTRIBUTE.match(rest)
        if match is None:
            raise ValueError(f"not an attribute: {rest[:40]}")
        name, value = match.group(1), match.group(2)
        rest = rest[match.end():]
        if name == "raw" and value is None:
            raw = True
        elif name == "empty" and value is None:
            empty = True
        elif name == "partition" and value:
            record.partition = int(value)
        elif name == "topic" and value:
            record.topic = value
        elif name == "ts" and value:
            record.timestamp_ms = int(value)
        elif name == "times" and value:
            times = int(value)
        elif name == "key" and value is not None:
            key = value
        elif name.startswith("header:"):
            header = None if value is None else _attribute_bytes(value)
            record.headers.append((name[len("header:"):], header))
        else:
            raise ValueError(f"unknown attribute @{name}" + ("" if value is None else f"={value}"))
    if empty:
        if rest.strip():
            raise ValueError("@empty has no value behind it")
    elif not rest:
        raise ValueError(f"no value; {NULL} is a null one (a tombstone), @empty one of zero bytes")
    records = []
    for number in range(1, times + 1):
        numbered = (lambda text, n=number: text.replace("{n}", str(n))) if times > 1 else (lambda text: text)
        value_text = numbered(rest)
        if empty:
            bytes_ = b""
        elif value_text == NULL:
            bytes_ = None
        else:
            bytes_ = unescape(value_text) if raw else value_text.encode()
        records.append(dataclasses.replace(record, value=bytes_,
                                           key=None if key is None else _attribute_bytes(numbered(key))))
    return records


# ---- the file ---------------------------------------------------------------------------------------------------------


def parse(file: pathlib.Path, name: str) -> Case:
    return parse_text(file.read_text(encoding="utf-8"), file, name)


def parse_text(text: str, file: pathlib.Path, name: str) -> Case:
    lines = text.split("\n")
    if lines and lines[-1] == "":
        lines.pop()

    def wrong(line: int, what: str) -> CaseError:
        return CaseError(f"{file}:{line + 1}: {what}")

    description: List[str] = []
    headers: Dict[str, str] = {}
    sections: List[Section] = []
    for number, line in enumerate(lines):
        if line.startswith("--- "):
            section_name, _, argument = line[4:].partition(":")
            section_name = section_name.strip()
            if section_name.split(" ")[0] not in SECTIONS:
                raise wrong(number, f"unknown section '{section_name}'; there are {', '.join(SECTIONS)}")
            sections.append(Section(section_name, argument.strip(), [], number + 1))
        elif sections:
            sections[-1].body.append(line)
        elif line.startswith("#"):
            description.append(line.lstrip("# "))
        elif line.strip():
            key, colon, value = line.partition(":")
            if not colon or key not in HEADERS:
                raise wrong(number, f"expected a comment, a section, or one of {', '.join(HEADERS)}: {line}")
            headers[key] = value.strip()
    if not description:
        raise wrong(0, "a case begins with a comment that says what it shows")
    for section in sections:
        while section.body and not section.body[-1].strip():
            section.body.pop()

    case = Case(name, file, " ".join(description), headers.get("tags", "").split(),
                int(headers["partitions"]) if "partitions" in headers else None, headers.get("topics", "").split() or [""],
                dict(pair.split("=", 1) for pair in headers.get("topic-config", "").split()),
                headers.get("only", "").split(), headers.get("not", "").split(), [Phase()], lines)
    for section in sections:
        if section.name == "then":
            case.phases.append(Phase())
            continue
        try:
            _add_section(case, case.phases[-1], section)
        except (ValueError, yaml.YAMLError) as error:
            raise wrong(section.line - 1, f"section {section.name}: {error}") from None
        case.phases[-1].end_line = section.line + len(section.body)
    for phase in case.phases:
        if not phase.rows and phase.dead is None and phase.halt is None and phase.exit_section is None:
            raise wrong(len(lines), "a phase that expects nothing: give it rows, dead, halt or exit")
    return case


def _add_section(case: Case, phase: Phase, section: Section) -> None:
    if section.name in ("sql", "sql as superuser"):
        phase.sql.append((section.name != "sql", section.text))
    elif section.name == "task":
        phase.task = yaml.load(section.text, _Loader) or {}
        if not isinstance(phase.task, dict):
            raise ValueError("the task is no map")
    elif section.name == "messages":
        for line in section.body:
            if line.startswith("! "):
                if line[2:] not in DIRECTIVES:
                    raise ValueError(f"'{line}': there are {', '.join(DIRECTIVES)}")
                phase.items.append(Directive(line[2:]))
            elif line and not line.startswith("# "):
                try:
                    phase.items += parse_message(line)
                except ValueError as error:
                    raise ValueError(f"'{line[:60]}': {error}") from None
        for item in phase.items:
            if isinstance(item, Record):
                item.topic = item.topic or case.topics[0]
                if item.topic not in case.topics:
                    raise ValueError(f"topic {item.topic} is not in the line `topics:`")
                if item.partition is not None and item.partition >= (case.partitions or 0):
                    raise ValueError(f"@partition={item.partition} needs `partitions: {item.partition + 1}`")
    elif section.name == "meanwhile":
        re.compile(section.argument)
        phase.meanwhile = (section.argument, section.text)
    elif section.name == "arguments":
        phase.arguments = section.argument.split()
    elif section.name == "rows":
        if not section.argument:
            raise ValueError("`--- rows: SELECT ...` needs its query")
        phase.rows.append(section)
    elif section.name == "dead":
        phase.dead = section
    elif section.name == "halt":
        phase.halt = section
    elif section.name == "exit":
        int(section.argument)
        phase.exit_section = section
    elif section.name == "output":
        re.compile(section.argument)
        phase.output.append(section.argument)
    else:
        raise ValueError("unknown")


# ---- accept -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Rewrite:
    """New text for lines [first, last) of the file."""

    first: int
    last: int
    lines: Sequence[str]


def body_rewrite(section: Section, body: Sequence[str]) -> Rewrite:
    return Rewrite(section.line, section.line + len(section.body), body)


def argument_rewrite(section: Section, argument: str) -> Rewrite:
    return Rewrite(section.line - 1, section.line, [f"--- {section.name}: {argument}"])


def new_section(phase: Phase, line: str, body: Sequence[str]) -> Rewrite:
    return Rewrite(phase.end_line, phase.end_line, [line, *body])


def rewritten(lines: Sequence[str], rewrites: Sequence[Rewrite]) -> str:
    result = list(lines)
    for rewrite in sorted(rewrites, key=lambda rewrite: rewrite.first, reverse=True):
        result[rewrite.first:rewrite.last] = rewrite.lines
    return "\n".join(result) + "\n"
