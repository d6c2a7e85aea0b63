"""The rows of the benchmarks: each once as keyed messages, for the topic, and once as CSV, for psql.

They are the same in every run (a fixed seed), are written once, and are kept in var/bench.
"""

import base64
import dataclasses
import json
import os
import pathlib
import random
from typing import Callable, Tuple

from kit import root

CACHE = pathlib.Path(os.environ.get("SLUICE_VAR", str(root / "var"))) / "bench"
SEED = 20260101

# A row number and chance become a key, the JSON text of the message and the line of CSV.
Line = Callable[[int, random.Random], Tuple[str, str, str]]


@dataclasses.dataclass(frozen=True)
class Shape:
    """A table, and how its n-th row looks on both sides. The first column is `id`, the number of the row."""

    name: str
    columns: str  # as CREATE TABLE has them
    line: Line

    def create(self, table: str) -> str:
        # Nothing of the server's own may run during one side and not during the other.
        return f"CREATE TABLE {table} ({self.columns}) WITH (autovacuum_enabled = off)"


@dataclasses.dataclass(frozen=True)
class Data:
    """The files of a number of rows of a shape."""

    shape: Shape
    rows: int

    @property
    def csv(self) -> pathlib.Path:
        return CACHE / f"{self.shape.name}-{self.rows}.csv"

    @property
    def messages(self) -> pathlib.Path:
        """Lines of key, tab, value: what kcat -K '\\t' takes."""
        return CACHE / f"{self.shape.name}-{self.rows}.tsv"

    def write(self) -> "Data":
        """Makes both files unless they are there; an interrupted run leaves neither under its name."""
        if self.csv.exists() and self.messages.exists():
            return self
        CACHE.mkdir(parents=True, exist_ok=True)
        rng = random.Random(SEED)
        parts = [pathlib.Path(f"{file}.part") for file in (self.messages, self.csv)]
        with open(parts[0], "w", encoding="utf-8") as messages, open(parts[1], "w", encoding="utf-8") as csv:
            for number in range(self.rows):
                key, message, line = self.shape.line(number, rng)
                messages.write(f"{key}\t{message}\n")
                csv.write(f"{line}\n")
        parts[0].rename(self.messages)
        parts[1].rename(self.csv)
        return self


# ---- narrow: 5 columns, about 107 bytes of JSON ------------------------------------------------------------------------


def narrow_fields(number: int, rng: random.Random) -> Tuple[str, float, str, str]:
    name = f"customer-{rng.randrange(1_000_000):06d}"
    amount = rng.randrange(1, 1_000_000) / 100
    at = f"2026-{number % 12 + 1:02d}-{number % 28 + 1:02d}T{number % 24:02d}:{number % 60:02d}:{number % 59:02d}Z"
    return name, amount, at, "true" if number % 3 else "false"


def _narrow_json(number: int, name: str, amount: float, at: str, active: str) -> str:
    return f'{{"id":{number},"name":"{name}","amount":{amount},"at":"{at}","active":{active}}}'


def _narrow(number: int, rng: random.Random) -> Tuple[str, str, str]:
    name, amount, at, active = narrow_fields(number, rng)
    return str(number), _narrow_json(number, name, amount, at, active), f"{number},{name},{amount},{at},{active}"


NARROW_COLUMNS = ("id bigint PRIMARY KEY, name text, amount double precision, at timestamptz, active boolean")
NARROW = Shape("narrow", NARROW_COLUMNS, _narrow)


# ---- the same with one message in 1,000 bad, by turns unparsable and breaking the constraint --------------------------


def _narrow_bad(number: int, rng: random.Random) -> Tuple[str, str, str]:
    name, amount, at, active = narrow_fields(number, rng)
    message = _narrow_json(number, name, -amount if number % 2000 == 1999 else amount, at, active)
    if number % 2000 == 999:
        message = message[:60]  # cut off in the middle of a value
    return str(number), message, f"{number},{name},{amount},{at},{active}"


CHECKED_COLUMNS = f"{NARROW_COLUMNS}, CONSTRAINT amount_is_positive CHECK (amount > 0)"
CHECKED = Shape("narrow", CHECKED_COLUMNS, _narrow)
CHECKED_BAD = Shape("narrow-bad", CHECKED_COLUMNS, _narrow_bad)


# ---- the same in the envelope with a schema that the sinks of Kafka Connect ask for -----------------------------------

_SCHEMA = json.dumps({"type": "struct", "name": "narrow", "fields": [
    {"field": "id", "type": "int64"},
    {"field": "name", "type": "string"},
    {"field": "amount", "type": "double"},
    {"field": "at", "type": "string", "name": "io.debezium.time.ZonedTimestamp", "version": 1},
    {"field": "active", "type": "boolean"}]}, separators=(",", ":"))


def _enveloped(number: int, rng: random.Random) -> Tuple[str, str, str]:
    key, message, line = _narrow(number, rng)
    return key, f'{{"schema":{_SCHEMA},"payload":{message}}}', line


ENVELOPED = Shape("narrow-enveloped", NARROW_COLUMNS, _enveloped)
ENVELOPED_FIELDS = [{"field": f"$.payload.{name}", "column": name} for name in ("id", "name", "amount", "at", "active")]


# ---- wide: 30 columns, about 930 bytes of JSON -------------------------------------------------------------------------

_WIDE = [
    ("id", "bigint PRIMARY KEY"), ("order_no", "text"), ("customer_id", "bigint"), ("customer_name", "text"),
    ("customer_email", "text"), ("customer_phone", "text"), ("shipping_country", "text"), ("shipping_city", "text"),
    ("shipping_street", "text"), ("shipping_postcode", "text"), ("status", "text"), ("channel", "text"),
    ("currency", "text"), ("quantity", "integer"), ("positions", "integer"), ("unit_price", "double precision"),
    ("discount", "double precision"), ("tax", "double precision"), ("total_amount", "numeric(12,2)"), ("weight", "real"),
    ("paid", "boolean"), ("gift", "boolean"), ("created_at", "timestamptz"), ("updated_at", "timestamptz"),
    ("shipped_at", "timestamptz"), ("due", "date"), ("warehouse", "smallint"), ("session_id", "uuid"),
    ("campaign_code", "text"), ("delivery_note", "text"),
]
_NOTES = ("please leave the parcel with the neighbour on the second floor if nobody is at home; ring twice; "
          "the dog does not bite, but it barks at everybody who wears a hat. Invoice by post, not by mail. ") * 2


def _wide(number: int, rng: random.Random) -> Tuple[str, str, str]:
    day, month = number % 28 + 1, number % 12 + 1
    at = [f"2026-{month:02d}-{day:02d}T{(number + hours) % 24:02d}:{number % 60:02d}:{number % 59:02d}.{number % 1000:03d}Z"
          for hours in (0, 1, 7)]
    cents = rng.randrange(100, 1_000_000)
    customer = rng.randrange(1_000_000)
    begin = rng.randrange(100)
    values = [
        number, f"A-2026-{number:09d}", customer, f"customer-{customer:06d}", f"customer-{customer:06d}@example.com",
        f"+49 30 {rng.randrange(10_000_000):07d}", "DE", f"city-{customer % 977}", f"street {customer % 7919} b",
        f"{customer % 99_999:05d}", ("new", "paid", "packed", "shipped")[number % 4], ("web", "app", "shop")[number % 3],
        "EUR", rng.randrange(1, 50), number % 9 + 1, cents / 100, rng.randrange(3000) / 100, cents * 19 // 100 / 100,
        f"{cents // 100 * 3}.{cents % 100:02d}", rng.randrange(1, 40_000) / 1000, number % 4 != 0, number % 10 == 0,
        at[0], at[1], at[2] if number % 4 == 3 else None, f"2026-{month:02d}-{day:02d}", rng.randrange(1, 40),
        f"{rng.getrandbits(32):08x}-{rng.getrandbits(16):04x}-4{rng.getrandbits(12):03x}-8{rng.getrandbits(12):03x}-"
        f"{rng.getrandbits(48):012x}", f"campaign-{number % 313}", _NOTES[begin:begin + 195 + number % 20]]
    fields = []
    cells = []
    for (name, kind), value in zip(_WIDE, values):
        if value is None:
            text = cell = ""
        elif isinstance(value, bool):
            text = cell = "true" if value else "false"
        elif isinstance(value, str):
            cell = f'"{value}"' if "," in value or '"' in value else value
            text = value if kind.startswith("numeric") else f'"{value}"'
        else:
            text = cell = str(value)
        fields.append(f'"{name}":{text or "null"}')
        cells.append(cell)
    return str(number), "{" + ",".join(fields) + "}", ",".join(cells)


WIDE = Shape("wide", ", ".join(f"{name} {kind}" for name, kind in _WIDE), _wide)


# ---- big: messages of 1 MB ----------------------------------------------------------------------------------------------

BIG_COLUMNS = "id bigint PRIMARY KEY, body text"


def big_message(number: int, size: int = 1_000_000) -> bytes:
    """A text that no compression makes small: what is fetched takes as much room as what is parsed."""
    rng = random.Random(SEED + number)
    body = base64.b64encode(rng.randbytes(size * 3 // 4)).decode()
    return f'{{"id":{number},"body":"{body}"}}'.encode()
