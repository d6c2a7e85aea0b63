"""sync.mode: mirror on real change events: every PostgreSQL table and form of Debezium's that was captured.

tests/captures/debezium-postgres.tar.xz holds what Debezium 3.6 wrote for one PostgreSQL in eleven settings of its converters, and
that server's tables as they were at the end: the oracle. Each topic is replayed into an empty table of the same form, which then
must equal it, column by column, as text. What the wire has lost is written down in EXPECTED, with the reason.
"""

import csv
import functools
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import
from captures import check_explained, columns_of, differences, key_of, quoted, replay, texts_of, unpacked  # noqa: E402 pylint: disable=wrong-import-position

# Tables whose form changes in mid-stream, or that are one of several: not for a table that is there before.
LEFT_OUT = {"public.ddl_t", "public.late_t", "public.later_t", "public.metrics", "message", "transaction"}

# What sync.units must say of a variant: what its schemas do not.
ODD = ("c_box", "c_line", "c_lseg", "c_path", "c_polygon", "c_circle", "c_comp", "c_multirange", "c_tsquery", "c_jsonpath", "c_pg_lsn", "c_xid8",
       "c_regclass")
UNITS = {
    "strings": {"odd_types": {name: "hex" for name in ODD}, "all_types": {"c_bytea": "hex", "c_bytea_arr": "hex"}, "key_types": {"k_bytea": "hex"}, "toast_t": {"big_bytea": "hex"}},
    "isostring": {"all_types": {"c_bytea": "base64", "c_bytea_arr": "base64"}, "key_types": {"k_bytea": "base64"}},
    "micros": {"all_types": {"c_time3": "us", "c_ts0": "us", "c_ts3": "us"}, "ext_temporal": {"ts3": "us"}, "toast_t": {}},
}
ALL = ("schema", "plain", "flat", "flatplain", "flattomb", "flatrwt", "strings", "srctype", "isostring", "micros", "txmeta")
FLAT = ("flat", "flatplain", "flattomb", "flatrwt")
FILLED = ("schema", "plain", "flat", "srctype")  # replace.null.with.default is true
WITHOUT = tuple(name for name in ALL if name not in ("strings", "isostring"))

# What the wire has lost: variants, table, column ("row": the row itself, "letter": a dead letter), what is there instead, why.
EXPECTED = (
    (FLAT, ("orders", "order_items", "metrics_2025"), ("row",), lambda is_, should: is_, "the transform drops TRUNCATE"),
    (WITHOUT, ("odd_types",), ODD, lambda is_, should: is_ is None, "the connector leaves types out that it does not know"),
    (ALL, ("odd_types",), ("c_enum_arr_null",), lambda is_, should: is_ is None, "an array of an enum is sent as null where one element is"),
    (FLAT, ("nopk",), ("rows",), lambda is_, should: True, "the transform drops `before`: nobody can say which row was changed"),
    (("flat", "flatplain"), ("nopk",), ("letter",), lambda is_, should: is_ == "no_identity", "the same, where `op` is there to say so"),
    (FILLED, ("customers",), ("name", "balance", "created"), lambda is_, should: should is None, "a NULL is sent as the default"),
    (WITHOUT + ("isostring",), ("all_types",), ("c_name",), lambda is_, should: is_ is None, "the connector does not send type name"),
    (ALL, ("all_types", "ext_temporal"), ("c_timetz", "ttz"), lambda is_, should: True, "timetz is sent in UTC, and 24:00 as 00:00"),
    (WITHOUT + ("isostring",), ("all_types", "ext_temporal"), ("c_interval", "iv"), lambda is_, should: True,
     "months are sent as 30.4375 days, and within 64 bits of microseconds"),
    (WITHOUT + ("isostring",), ("all_types", "ext_numeric"), ("c_num", "n", "a"), lambda is_, should: is_ is not None and number(is_) == number(should),
     "zeros behind the point are not sent"),
    (ALL, ("ext_numeric",), ("n", "n38", "a"), lambda is_, should: is_ is None, "NaN and infinities are sent as null"),
    (("strings",), ("all_types",), ("c_time", "c_ts", "c_ts_arr"), lambda is_, should: should.startswith(is_[:-2]), "milliseconds"),
    (("isostring", "micros"), ("all_types",), ("c_num_38_10", "c_num", "c_num_unc_arr"), lambda is_, should: True, "decimals as doubles"),
    (("isostring", "micros"), ("all_types",), ("letter",), lambda is_, should: is_ == "22003" and "c_money" in should,
     "rounded to a double, the lowest and the highest money is beyond the type"),
    (("isostring", "micros"), ("all_types",), ("row",), lambda is_, should: not is_, "the same"),
    (("isostring",), ("ext_temporal",), ("t",), lambda is_, should: is_ == "00:00:00", "24:00 is sent as 00:00"),
    (WITHOUT + ("strings",), ("ext_temporal",), ("letter",), lambda is_, should: is_ == "bad_timestamp",
     "the highest timestamp does not fit into 64 bits"),
    (WITHOUT + ("strings",), ("ext_temporal",), ("row",), lambda is_, should: not is_, "the same"),
)


def number(text):
    return [float(part) for part in text.strip("{}").split(",")]


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


def replay_table(db, variant, file):
    schema, table = file.stem.split(".", 1)
    table = {"Order_Items.v2": "Order Items.v2"}.get(table, table)
    schema = {"Mixed_Schema": "Mixed Schema"}.get(schema, schema)
    target, source = f"mirror.{quoted(table)}", f"{quoted(schema)}.{quoted(table)}"
    placeholder = {"unavailable_value": "__my_placeholder"} if variant == "micros" else {}
    units = UNITS.get(variant, {}).get(table, {})
    _, letters = replay(db, file, target, batch_rows=3 if variant == "plain" else 20000, **({"units": units} if units else {}), **placeholder)
    columns = list(columns_of(db, source))
    return [(table, "", "letter", *letter) for letter in letters] + differences(
        table, columns, key_of(db, source), texts_of(db, target, columns), texts_of(db, source, columns))


def replay_variant(name):
    """Every table of the variant; what differs and nobody has written down."""
    with unpacked("postgres") as folder, Database() as db:
        oracle(db, folder)
        tables = [file for file in sorted((folder / name).glob("*.jsonl")) if file.stem not in LEFT_OUT]
        check(len(tables) >= 2, f"{len(tables)} tables of {name}")
        found = [each for file in tables for each in replay_table(db, name, file)]
        check_explained(EXPECTED, name, [file.stem.split(".", 1)[1] for file in tables], found)


for each_name in ALL:
    add(f"captures-{each_name}", functools.partial(replay_variant, each_name))


if __name__ == "__main__":
    main()
