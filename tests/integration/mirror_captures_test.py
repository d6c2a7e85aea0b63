"""sync.mode: mirror on real change events: every PostgreSQL table and form of Debezium's that was captured.

tests/captures/debezium-postgres.tar.xz holds what Debezium 3.6 wrote for one PostgreSQL in eleven settings of its converters, and
that server's tables as they were at the end: the oracle. Each topic is replayed into an empty table of the same form, which then
must equal it, column by column, as text. What the wire has lost is written down in EXPECTED, with the reason.
"""

import csv
import functools
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import

CAPTURES = pathlib.Path(__file__).resolve().parents[1] / "captures" / "debezium-postgres.tar.xz"
# Tables whose form changes in mid-stream, or that are one of several: not for a table that is there before.
LEFT_OUT = {"public.ddl_t", "public.late_t", "public.later_t", "public.metrics", "message", "transaction", "public.odd_types"}

# What sync.units must say of a variant: what its schemas do not.
UNITS = {
    "strings": {"all_types": {"c_bytea": "hex", "c_bytea_arr": "hex"}, "key_types": {"k_bytea": "hex"}, "toast_t": {"big_bytea": "hex"}},
    "isostring": {"all_types": {"c_bytea": "base64", "c_bytea_arr": "base64"}, "key_types": {"k_bytea": "base64"}},
    "micros": {"all_types": {"c_time3": "us", "c_ts0": "us", "c_ts3": "us"}, "ext_temporal": {"ts3": "us"}, "toast_t": {}},
}
ALL = ("schema", "plain", "flat", "flatplain", "flattomb", "flatrwt", "strings", "srctype", "isostring", "micros", "txmeta")
FLAT = ("flat", "flatplain", "flattomb", "flatrwt")
FILLED = ("schema", "plain", "flat", "srctype")  # replace.null.with.default is true
WITHOUT = tuple(name for name in ALL if name not in ("strings", "isostring"))

# What the wire has lost: variants, table, column ("row": the row itself, "letter": a dead letter), what is there instead, why.
EXPECTED = (
    (FLAT, ("orders", "order_items", "metrics_2025"), "row", lambda is_, should: is_, "the transform drops TRUNCATE"),
    (FLAT, ("nopk",), "rows", lambda is_, should: True, "the transform drops `before`: nobody can say which row was changed"),
    (FLAT, ("nopk",), "letter", lambda is_, should: is_ == "no_identity", "the same"),
    (FILLED, ("customers",), ("name", "balance", "created"), lambda is_, should: should is None, "a NULL is sent as the default"),
    (ALL, ("all_types",), "c_name", lambda is_, should: is_ is None, "the connector does not send type name"),
    (ALL, ("all_types", "ext_temporal"), ("c_timetz", "ttz"), lambda is_, should: True, "timetz is sent in UTC, and 24:00 as 00:00"),
    (WITHOUT + ("isostring",), ("all_types", "ext_temporal"), ("c_interval", "iv"), lambda is_, should: True,
     "months are sent as 30.4375 days, and within 64 bits of microseconds"),
    (ALL, ("all_types", "ext_numeric"), ("c_num", "n", "a"), lambda is_, should: is_ is not None and number(is_) == number(should),
     "zeros behind the point are not sent"),
    (ALL, ("ext_numeric",), ("n", "n38", "a"), lambda is_, should: is_ is None, "NaN and infinities are sent as null"),
    (("strings",), ("all_types",), ("c_time", "c_ts", "c_ts_arr"), lambda is_, should: should.startswith(is_[:-2]), "milliseconds"),
    (("isostring", "micros"), ("all_types",), ("c_num_38_10", "c_num", "c_num_unc_arr"), lambda is_, should: True, "decimals as doubles"),
    (("isostring", "micros"), ("all_types",), "letter", lambda is_, should: "c_num_38_10" in should,
     "rounded to a double, the number has one digit too many"),
    (("isostring", "micros"), ("all_types",), "row", lambda is_, should: not is_, "the same"),
    (("isostring",), ("ext_temporal",), "t", lambda is_, should: is_ == "00:00:00", "24:00 is sent as 00:00"),
    (WITHOUT + ("strings",), ("ext_temporal",), "letter", lambda is_, should: is_ == "bad_timestamp",
     "the highest timestamp does not fit into 64 bits"),
    (WITHOUT + ("strings",), ("ext_temporal",), "row", lambda is_, should: not is_, "the same"),
)


def number(text):
    return [float(part) for part in text.strip("{}").split(",")]


def is_expected(name, table, column, is_, should):
    return any(name in variants and table in tables and (column == columns or column in columns if isinstance(columns, tuple) else column == columns)
               and judge(is_, should) for variants, tables, columns, judge, _ in EXPECTED)


def messages_of(lines):
    for line in lines.rstrip("\n").split("\n"):
        record = json.loads(line)
        yield Message(value=record["value"], key=record["key"], timestamp_ms=record["timestamp"],
                      headers=[(name, None if text is None else text.encode()) for name, text in (record.get("headers") or {}).items()])


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def oracle(db, folder):
    """The source's tables in their own schemas, with their rows; empty ones of the same form in schema mirror."""
    subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", db.super_uri, "-f", str(folder / "oracle" / "schema.sql")], check=True,
                   stdout=subprocess.DEVNULL)
    db.sql("DROP PUBLICATION IF EXISTS dbz_pub; CREATE SCHEMA mirror AUTHORIZATION sluice; GRANT USAGE ON SCHEMA public TO sluice; SET search_path = public", superuser=True)
    for file in sorted((folder / "oracle").glob("*.csv")):
        schema, table = file.stem.split(".", 1)
        name = f"{quoted(schema)}.{quoted(table)}"
        if table == "metrics":
            continue
        db.sql(f"CREATE TABLE mirror.{quoted(table)} (LIKE {name} INCLUDING ALL); "
               f"ALTER TABLE mirror.{quoted(table)} OWNER TO sluice", superuser=True)
        if table == "gen_cols":
            db.sql("ALTER TABLE public.gen_cols ALTER area DROP EXPRESSION", superuser=True)
        with open(file, encoding="utf-8", newline="") as lines:
            header = ", ".join(quoted(column) for column in next(csv.reader(lines)))
        subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", db.super_uri, "-c",
                        f"\\copy {name} ({header}) from '{file}' with (format csv, header)"], check=True)


def differences(db, schema, table):
    """What differs: (key, column, is, should be)."""
    target, source = f"mirror.{quoted(table)}", f"{quoted(schema)}.{quoted(table)}"
    columns = [name for name, in db.sql(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        (source,), superuser=True)]
    key = [name for name, in db.sql(
        "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) "
        "WHERE i.indrelid = %s::regclass AND i.indisunique ORDER BY i.indisprimary DESC, a.attnum", (source,), superuser=True)]
    texts = ", ".join(f"{quoted(name)}::text" for name in columns)

    def rows(name):
        return sorted(db.sql(f"SELECT {texts} FROM {name}", superuser=True), key=repr)

    got, wanted = rows(target), rows(source)
    if not key or len(key) == len(columns):
        return [] if got == wanted else [("", "rows", got, wanted)]
    at = [columns.index(name) for name in dict.fromkeys(key)]
    got, wanted = ({tuple(row[i] for i in at): row for row in each} for each in (got, wanted))
    found = [(each, "row", each in got, each in wanted) for each in sorted(got.keys() ^ wanted.keys())]
    for each in sorted(got.keys() & wanted.keys()):
        found += [(each, column, is_, should) for column, is_, should in zip(columns, got[each], wanted[each]) if is_ != should]
    return found


def replay(db, folder, variant, file):
    name = file.stem
    schema, table = name.split(".", 1)
    table = {"Order_Items.v2": "Order Items.v2"}.get(table, table)
    schema = {"Mixed_Schema": "Mixed Schema"}.get(schema, schema)
    topic = Topic(partitions=1)
    topic.produce(list(messages_of(file.read_text(encoding="utf-8"))))
    placeholder = {"unavailable_value": "__my_placeholder"} if variant == "micros" else {}
    units = UNITS.get(variant, {}).get(table, {})
    document = task_for(topic, db, f"mirror.{quoted(table)}", sync={"mode": "mirror", **({"units": units} if units else {}), **placeholder},
                        on_failure="deliver", tuning={"batch_rows": 3 if variant == "plain" else 20000}, breaker={"share": 1})
    document["sync"].pop("write", None)
    document["target"]["ledger_schema"] = f"ledger_{len(table)}_{sum(table.encode())}"
    result = Sluice.run(document, "--until-end")
    if result.code != 0:
        return table, schema, result, []
    letters = db.sql(f"SELECT code, message FROM {document['target']['ledger_schema']}.dead_letter", superuser=True)
    return table, schema, result, letters


def replay_variant(name):
    """Every table of the variant; what differs and nobody has written down."""
    with tempfile.TemporaryDirectory() as temporary, Database() as db:
        with tarfile.open(CAPTURES) as archive:
            archive.extractall(temporary)
        folder = pathlib.Path(temporary) / "postgres"
        oracle(db, folder)
        found = []
        tables = [file for file in sorted((folder / name).glob("*.jsonl")) if file.stem not in LEFT_OUT]
        check(len(tables) >= 2, f"{len(tables)} tables of {name}")
        for file in tables:
            table, schema, result, letters = replay(db, folder, name, file)
            result.expect(0)
            found += [(table, "", "letter", *letter) for letter in letters]
            found += [(table, *each) for each in differences(db, schema, table)]
        unexpected = [each for each in found if not is_expected(name, each[0], *each[2:])]
        check(not unexpected, f"{len(unexpected)} differences in {name}: {unexpected[:5]}")


for each_name in ALL:
    add(f"captures-{each_name}", functools.partial(replay_variant, each_name))


if __name__ == "__main__":
    main()
