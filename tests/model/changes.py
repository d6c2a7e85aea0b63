"""Change events as tuples: what they are as messages, what they leave behind in a table (the oracle), and sequences of them by chance.

    ("c", key, values) ("r", key, values)   a new row, a row of a snapshot; `values`: the columns beside the key that the event names
    ("u", key, values, before)              an update; `before`: the row as it was, by which it is found in a table without key
    ("d", key, before) ("tomb", key)        a delete, a tombstone
    ("move", old, new) ("movetomb", old, new) ("into", new, values, old)       the three messages of a change of the key
    ("t",)                                  a TRUNCATE
    ("bad", key) ("bad value", key, values) no JSON; a value that its column does not take

Each event has one meaning, whatever came before it, so that any part of a sequence is one, too. A key is a number that stands for one
of KEYS, in the spelling of the table's kind of key. P in an update, or in the row behind a change of the key, is a value that was not sent.
"""

import copy
import json
from typing import Any, Dict, List, Tuple

from kit import Message

P = "__debezium_unavailable_value"
KEYS = 6
COLUMNS = ("n", "s", "big", "doc")
TEXTS = ("", "a", "b", "null", "\\N", "\t", "\\", "\n", "ä€🚲", "'", "x" * 30)
# A table and its messages, as they are unless a sequence says otherwise.
SHAPE = {
    "key": "int",  # text, pair, numeric (of two spellings) or none
    "form": "envelope",  # or flat (rows with __deleted), flat with op (__op too)
    "schema": False,  # messages are in {"schema", "payload"}
    "made": False,  # the table is made by the task
    "big": "text",  # DDL of the column big
    "unique": False,  # one more column, u, that is UNIQUE
    "full": False,  # REPLICA IDENTITY FULL: `before` is the whole row
    "message_key": True,  # messages have a key
    "tombstone": None,  # what stands for null
    "partitions": 1,
}
KEY_COLUMNS = {"int": ["id"], "text": ["code"], "pair": ["region", "no"], "numeric": ["num"], "none": ["id"]}
KEY_TEXTS = ("a", "B", "", "it's", "\\N", "ü\t")


class Invalid(Exception):
    """The source cannot have had this event: its own constraints forbid it."""


def columns_of(shape: Dict[str, Any]) -> List[str]:
    return [*COLUMNS, *(["u"] if shape["unique"] else [])]


def key_values(shape: Dict[str, Any], key: int) -> Tuple[Any, ...]:
    """What stands in the table."""
    number = key % KEYS
    return {"text": (KEY_TEXTS[number],), "pair": (KEY_TEXTS[number % 2], number // 2)}.get(shape["key"], (number,))


def key_fields(shape: Dict[str, Any], key: int) -> Dict[str, Any]:
    values = key_values(shape, key)
    if shape["key"] == "numeric":
        values = (str(values[0]) + (".0" if key >= KEYS else ""),)
    return dict(zip(KEY_COLUMNS[shape["key"]], values))


# ---- as messages -----------------------------------------------------------------------------------------------------------


def _row_schema(shape: Dict[str, Any], name: str, columns: List[str], **more: Any) -> Dict[str, Any]:
    texts = {"code", "region", "num", "s", "big", "doc", "__deleted", "__op"}
    fields = [{"type": "string" if column in texts else "int32", "field": column,
               "optional": column not in KEY_COLUMNS[shape["key"]] or shape["key"] == "none"} for column in columns]
    return {"type": "struct", "name": name, "fields": fields, **more}


def _in_schema(shape: Dict[str, Any], payload: Dict[str, Any]) -> Dict[str, Any]:
    rows = [*KEY_COLUMNS[shape["key"]], *columns_of(shape)]
    if shape["form"] == "envelope":
        fields = [_row_schema(shape, "Value", rows, optional=True, field="before"), _row_schema(shape, "Value", rows, optional=True, field="after"),
                  {"type": "string", "optional": False, "field": "op"}, {"type": "int64", "optional": True, "field": "ts_ms"}]
        return {"schema": {"type": "struct", "name": "Envelope", "fields": fields}, "payload": payload}
    added = ["__deleted"] + (["__op"] if shape["form"] == "flat with op" else [])
    return {"schema": _row_schema(shape, "Value", rows + added), "payload": payload}


def message_of(shape: Dict[str, Any], event: Tuple[Any, ...], in_order: bool = True) -> Message:
    kind, key = event[0], event[1] if len(event) > 1 else 0
    fields = key_fields(shape, key)
    names = columns_of(shape)
    message = Message(partition=key % KEYS % shape["partitions"])
    if shape["message_key"] and shape["key"] != "none" and kind != "t":
        schema = _row_schema(shape, "Key", list(fields))
        message.key = json.dumps({"schema": schema, "payload": fields} if shape["schema"] else fields)
    if kind in ("move", "movetomb"):
        message.headers = [("__debezium.newkey", json.dumps(key_fields(shape, event[2])).encode())]
    elif kind == "into":
        message.headers = [("__debezium.oldkey", json.dumps(key_fields(shape, event[3])).encode())]
    if kind == "bad":
        message.value = '{"op": "c", "after": {'
        return message
    if kind in ("tomb", "movetomb"):
        message.value = shape["tombstone"]
        return message
    op = {"move": "d", "into": "c", "bad value": "c"}.get(kind, kind)
    old = event[3] if kind == "u" else event[2] if kind == "d" else None
    whole = shape["full"] or not shape["message_key"] or shape["key"] == "none"
    after = before = None
    if op == "d" or (kind == "u" and whole):
        before = {**fields, **(old if whole and old is not None else dict.fromkeys(names))}
    if op in ("c", "r", "u"):
        after = {**fields, **event[2], **({"n": "x7"} if kind == "bad value" else {})}
    if shape["form"] == "envelope":
        payload: Dict[str, Any] = {"before": before, "after": after, "op": op, "ts_ms": 1}
        if not shape["schema"]:
            payload["source"] = {"snapshot": "false"}
    else:
        payload = {**((after if op != "d" else before) or {}), "__deleted": "true" if op == "d" else "false"}
        if shape["form"] == "flat with op":
            payload["__op"] = op
    message.value = _in_schema(shape, payload) if shape["schema"] else payload
    return message


# ---- what they mean --------------------------------------------------------------------------------------------------------


class Oracle:
    """A table, as docs/reference/change-events.md says that it becomes; one event after the other."""

    def __init__(self, shape: Dict[str, Any], settings: Dict[str, Any]):
        self.shape, self.settings = shape, settings
        self.rows: Dict[int, Dict[str, Any]] = {}  # by key
        self.list: List[Dict[str, Any]] = []  # without key, and of a history
        self.bad = 0
        self._made = not shape["made"]
        self.history = settings["write"] == "history"
        self.keyed = shape["key"] != "none" and not self.history
        self._defaults = {**dict.fromkeys(columns_of(shape)), "big": "dflt" if "DEFAULT" in shape["big"] else None}

    def apply(self, event: Tuple[Any, ...]) -> None:
        kind = event[0]
        self._made = self._made or kind in ("c", "r", "u", "into")
        if kind.startswith("bad"):
            self.bad += 1
        elif not self._made:
            if self.history:
                raise Invalid(event)  # it is no row if the table is yet to be made, and one if the run before had made it
        elif self.history:
            self._append(event)
        elif kind == "t":
            self._truncate()
        elif kind in ("c", "r", "u", "into"):
            (self._write if self.keyed else self._write_equal)(event)
        elif not self.keyed:
            if kind == "d" and self.settings["on_delete"] == "delete" and (found := self._equal(event[1], event[2])) is not None:
                self.list.remove(found)
        elif kind in ("d", "tomb"):
            self._delete(event[1] % KEYS)
        else:
            self._move(event[1] % KEYS, event[2] % KEYS)
        used = [row["u"] for row in self.rows.values() if row.get("u") is not None]
        if len(used) > len(set(used)):
            raise Invalid(event)

    def _op(self, kind: str) -> Any:
        return None if self.shape["form"] == "flat" else "c" if kind == "into" else kind

    def _sent(self, kind: str, values: Dict[str, Any]) -> Dict[str, Any]:
        partial = self.shape["form"] == "flat" or kind in ("u", "into")
        return {name: value for name, value in values.items() if not (partial and value == P)}

    def _write(self, event: Tuple[Any, ...]) -> None:
        kind, key, values = event[:3]
        key %= KEYS
        sent = self._sent(kind, values)
        if key not in self.rows:
            if self._op(kind) == "u" and len(sent) < len(values) and self.settings["on_missing_row"] == "ignore":
                return
            self.rows[key] = dict(self._defaults)
        self.rows[key].update(sent, _gone=False, _op=self._op(kind))

    def _delete(self, key: int) -> None:
        if self.settings["on_delete"] == "mark":
            if key in self.rows:
                self.rows[key].update(_gone=True, _op="d")
        elif self.settings["on_delete"] == "delete":
            self.rows.pop(key, None)

    def _move(self, old: int, new: int) -> None:
        if old in self.rows:
            row = self.rows.pop(old)
            self.rows.setdefault(new, row)

    def _truncate(self) -> None:
        if self.settings["on_delete"] == "mark":
            for row in self.rows.values():
                row["_gone"] = True
        else:
            self.rows.clear()
            self.list.clear()

    def _equal(self, key: int, values: Dict[str, Any]) -> Any:
        wanted = {"key": key % KEYS, **values}
        return next((row for row in self.list if all(row[name] == value for name, value in wanted.items())), None)

    def _write_equal(self, event: Tuple[Any, ...]) -> None:
        kind, key, values = event[:3]
        found = self._equal(key, event[3]) if kind == "u" else None
        sent = self._sent(kind, values)
        if found is None:
            if kind == "u" and len(sent) < len(values) and self.settings["on_missing_row"] == "ignore":
                return
            found = dict(self._defaults)
            self.list.append(found)
        found.update(sent, key=key % KEYS)

    def _append(self, event: Tuple[Any, ...]) -> None:
        kind = event[0]
        if kind in ("tomb", "movetomb"):
            return
        if kind in ("c", "r", "u", "into"):
            row = {**self._defaults, **self._sent(kind, event[2]), "key": event[1] % KEYS, "_op": self._op(kind)}
        else:
            row = {name: value if "NOT NULL" in self.shape["big"] else None for name, value in self._defaults.items()}
            row.update(key=None if kind == "t" else event[1] % KEYS, _op="t" if kind == "t" else "d")
            if kind == "d" and (self.shape["key"] == "none" or not self.shape["message_key"]):
                row.update(event[2])
        self.list.append(row)

    def found(self) -> List[Tuple[Any, ...]]:
        """As names() are selected from the table; of a history in its order."""
        rows = [{**row, "key": key} for key, row in self.rows.items()] if self.keyed else self.list
        nothing = (None,) * len(KEY_COLUMNS[self.shape["key"]])
        result = []
        for row in rows:
            key = nothing if row["key"] is None else key_values(self.shape, row["key"])
            result.append((*key, *(row[name] for name in self.names()[len(nothing):])))
        return result

    def names(self) -> List[str]:
        """The columns that are compared. Which of several equal rows of a table without key is changed, nobody can tell."""
        beside = ["_gone"] if self.keyed and self.settings["on_delete"] == "mark" else []
        if self.keyed or self.history:
            beside.append("_op")
        return [*KEY_COLUMNS[self.shape["key"]], *columns_of(self.shape), *beside]


# ---- by chance ---------------------------------------------------------------------------------------------------------------


class Source:
    """Makes up a sequence: mostly what a source would send, and now and then what it would not."""

    def __init__(self, random: Any, shape: Dict[str, Any], settings: Dict[str, Any]):
        self.random, self.shape, self.settings = random, shape, settings
        self.oracle = Oracle(shape, settings)
        # Of a history, and of marked rows, what the source has.
        self.rows = Oracle(shape, {**settings, "write": None, "on_delete": "delete"})
        self.events: List[Tuple[Any, ...]] = []
        self.flat = shape["form"] != "envelope"
        self.keyed = shape["key"] != "none"
        self.names = columns_of(shape)
        self.tombstones = shape["message_key"] and self.keyed and not (self.flat and settings["write"] == "history")

    def sequence(self, length: int, bad: int) -> List[Tuple[Any, ...]]:
        while len(self.events) < length:
            self._some()
        # A value that a later event of the batch replaces is not looked at.
        sees_all = self.settings["batch_rows"] == 1 or self.settings["write"] == "history" or not self.keyed
        for _ in range(bad):
            event = ("bad", self._key())
            if sees_all and self.random.random() < 0.5:
                event = ("bad value", self._key(), self._values())
            self.events.insert(self.random.randint(0, len(self.events)), event)
        return self.events

    def _add(self, *events: Tuple[Any, ...]) -> None:
        """All or none: the constraints of the source hold after each."""
        oracle, rows = copy.deepcopy(self.oracle), copy.deepcopy(self.rows)
        try:
            for event in events:
                oracle.apply(event)
                rows.apply(event)
        except Invalid:
            return
        self.oracle, self.rows = oracle, rows
        self.events += copy.deepcopy(list(events))

    def _key(self, there: Any = None) -> int:
        known = {row["key"] for row in self.rows.list} if not self.keyed else self.rows.rows.keys()
        chosen = [key for key in range(KEYS) if there is None or (key in known) == there] or list(range(KEYS))
        return self.random.choice(chosen) + (KEYS if self.shape["key"] == "numeric" and self.random.random() < 0.5 else 0)

    def _value(self, name: str) -> Any:
        random = self.random
        if name in ("n", "u"):
            return random.choice([None, *range(8)])
        value = random.choice([None, *TEXTS] if random.random() < 0.7 else [None, "y", "z"])
        return "w" if value is None and name == "big" and "NOT NULL" in self.shape["big"] else value

    def _values(self, unsent: float = 0.0) -> Dict[str, Any]:
        values = {name: self._value(name) for name in self.names}
        for name in ("big", "doc"):
            if self.random.random() < unsent:
                values[name] = P
        if self.keyed and not self.shape["schema"] and self.random.random() < 0.1:
            del values[self.random.choice(self.names)]  # a column that the event does not name
        return values

    def _before(self, key: int) -> Dict[str, Any]:
        """The row as it is, or another one: what the task cannot know of."""
        rows = [row for row in self.rows.list if row["key"] == key % KEYS] if not self.keyed else [self.rows.rows.get(key % KEYS)]
        row = self.random.choice(rows) if rows else None
        if row is None or self.random.random() < 0.05:
            row = {name: self._value(name) for name in self.names}
        return {name: row[name] for name in self.names}

    def _some(self) -> None:
        random = self.random
        kinds = {"insert": 8, "again": 2, "snapshot": 2, "update": 10, "missing": 1, "delete": 4, "gone": 1, "repeat": 2}
        if self.shape["partitions"] == 1:
            if not self.flat:
                kinds["truncate"] = 1
            if self.keyed and self.shape["message_key"]:
                kinds["move"] = 4
        if self.shape["unique"]:
            kinds["swap"] = 4
        if self.flat and not self.keyed:
            del kinds["update"], kinds["missing"]
        kind = random.choices(list(kinds), list(kinds.values()))[0]
        getattr(self, "_" + kind)()

    def _insert(self) -> None:
        self._add(("c", self._key(False), self._values(0.05)))

    def _again(self) -> None:
        self._add(("c", self._key(True), self._values(0.05)))

    def _snapshot(self) -> None:
        self._add(("r", self._key(), self._values(0.05)))

    def _update(self, there: bool = True) -> None:
        key = self._key(there)
        self._add(("u", key, self._values(0.3 if self.keyed else 0.05), self._before(key)))

    def _missing(self) -> None:
        self._update(False)

    def _delete(self, there: bool = True) -> None:
        key = self._key(there)
        tombstones = [("tomb", key)] if self.tombstones and self.random.random() < 0.6 else []
        deletes = [("d", key, self._before(key))]
        if self.flat and tombstones and self.random.random() < 0.2:
            deletes = []
        self._add(*deletes, *tombstones)

    def _gone(self) -> None:
        self._delete(False)

    def _truncate(self) -> None:
        self._add(("t",))

    def _move(self) -> None:
        old, new = self._key(self.random.random() < 0.9), self._key()
        if old % KEYS != new % KEYS:
            free = [] if new % KEYS not in self.rows.rows or self.random.random() < 0.1 else [("d", new, self._before(new))]
            tombstones = [("movetomb", old, new)] if self.tombstones and self.random.random() < 0.6 else []
            self._add(*free, ("move", old, new), *tombstones, ("into", new, self._values(0.5), old))

    def _repeat(self) -> None:
        """What the connector had not noted as sent."""
        if self.events:
            self._add(*self.events[-self.random.randint(1, 12):])

    def _swap(self) -> None:
        """Two rows exchange what is unique: at no moment both have the same."""
        rows = sorted(self.rows.rows)
        if len(rows) < 2:
            return
        one, two = self.random.sample(rows, 2)
        first, second = self.rows.rows[one]["u"], self.rows.rows[two]["u"]
        last = ("c", one, {**self._values(), "u": second})
        update = ("u", two, {**self._values(0.3), "u": first}, self._before(two))
        if self.random.random() < 0.5:
            self._add(("d", one, self._before(one)), update, last)
        elif self.random.random() < 0.5:
            self._add(("d", one, self._before(one)), ("d", two, self._before(two)), ("c", two, {**self._values(), "u": first}), last)
        else:
            self._add(("u", one, {**self._values(0.3), "u": None}, self._before(one)), update,
                      ("u", one, {**self._values(0.3), "u": second}, self._before(one)))
