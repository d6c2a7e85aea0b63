"""Replays of captured change events: what the tests of sync.mode mirror share, one for each kind of source database.

tests/captures/debezium-SOURCE.tar.xz holds a folder for each setting of the connector (a variant) with one file for each topic,
and the folder `oracle` with the source's tables as they were at the end.
"""

import contextlib
import json
import pathlib
import tarfile
import tempfile
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from engine import Database, Ended, Message, Sluice, Topic, check, task_for

# What differs: its table, key, column and how it is and should be. "row" as column: whether there is such a row at all; "rows": of a
# table without key; "letter": a dead letter, its code and message.
Difference = Tuple[str, Any, str, Any, Any]
# Variants, tables, columns, whether such a difference is the one meant, and why it is there.
Rule = Tuple[Sequence[str], Sequence[str], Sequence[str], Callable[[Any, Any], bool], str]


@contextlib.contextmanager
def unpacked(source: str) -> Iterator[pathlib.Path]:
    """The folder of a source's captures, until the end of `with`."""
    archive = pathlib.Path(__file__).resolve().parents[1] / "captures" / f"debezium-{source}.tar.xz"
    with tempfile.TemporaryDirectory() as folder, tarfile.open(archive) as files:
        files.extractall(folder)
        yield pathlib.Path(folder) / source


def messages_of(file: pathlib.Path) -> List[Message]:
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").rstrip("\n").split("\n")]
    return [Message(value=record["value"], key=record["key"], timestamp_ms=record["timestamp"],
                    headers=[(name, None if text is None else text.encode()) for name, text in (record.get("headers") or {}).items()])
            for record in records]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def replay(db: Database, file: pathlib.Path, table: str, batch_rows: int = 20000, **sync: Any) -> Tuple[Ended, List[Tuple[str, str]]]:
    """One topic into a table that is there: how the run ended, and the dead letters with their codes and messages."""
    topic = Topic(partitions=1)
    topic.produce(messages_of(file))
    document = task_for(topic, db, table, sync={"mode": "mirror", **sync}, on_failure="deliver", tuning={"batch_rows": batch_rows},
                        breaker={"share": 1})
    document["sync"].pop("write", None)
    document["target"]["ledger_schema"] = f"ledger_{len(table)}_{sum(table.encode())}"
    result = Sluice.run(document, "--until-end").expect(0)
    return result, db.sql(f"SELECT code, message FROM {document['target']['ledger_schema']}.dead_letter", superuser=True)


# ---- tables as texts -------------------------------------------------------------------------------------------------------


def columns_of(db: Database, name: str) -> Dict[str, str]:
    """A table's columns and their types, in their order."""
    return dict(db.sql("SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
                       "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum", (name,), superuser=True))


def key_of(db: Database, name: str) -> List[str]:
    """The columns of its unique indexes, the primary key's first; [] if it has none."""
    found = db.sql("SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) "
                   "WHERE i.indrelid = %s::regclass AND i.indisunique ORDER BY i.indisprimary DESC, a.attnum", (name,), superuser=True)
    return list(dict.fromkeys(column for column, in found))


def texts_of(db: Database, name: str, columns: Sequence[str]) -> List[Tuple[Optional[str], ...]]:
    texts = ", ".join(f"{quoted(column)}::text" for column in columns)
    return db.sql(f"SELECT {texts} FROM {name}", superuser=True)


def differences(table: str, columns: Sequence[str], key: Sequence[str], got: List[Tuple[Any, ...]],
                wanted: List[Tuple[Any, ...]]) -> List[Difference]:
    """Between two lists of rows; row by row where the key is not all that a row has."""
    if not key or len(key) == len(columns):
        got, wanted = (sorted(each, key=repr) for each in (got, wanted))
        return [] if got == wanted else [(table, "", "rows", got, wanted)]
    at = [list(columns).index(name) for name in key]
    is_, should = ({tuple(row[i] for i in at): row for row in each} for each in (got, wanted))
    found: List[Difference] = [(table, each, "row", each in is_, each in should) for each in sorted(is_.keys() ^ should.keys(), key=repr)]
    for each in sorted(is_.keys() & should.keys(), key=repr):
        found += [(table, each, column, *pair) for column, *pair in zip(columns, is_[each], should[each]) if pair[0] != pair[1]]
    return found


def check_explained(rules: Sequence[Rule], variant: str, replayed: Sequence[str], found: Sequence[Difference]) -> None:
    """Each difference has a rule, and each rule for these tables a difference: one that nothing needs would hide what comes."""
    mine = [rule for rule in rules if variant in rule[0] and not set(replayed).isdisjoint(rule[1])]
    used, left = set(), []
    for difference in found:
        table, _, column, is_, should = difference
        first = next((at for at, (_, tables, columns, judge, _) in enumerate(mine)
                      if table in tables and column in columns and judge(is_, should)), None)
        if first is None:
            left.append(difference)
        used.add(first)
    check(not left, f"{len(left)} differences in {variant}: {left[:5]}")
    idle = [(tables, columns, why) for at, (_, tables, columns, _, why) in enumerate(mine) if at not in used]
    check(not idle, f"nothing differs so in {variant}: {idle}")
