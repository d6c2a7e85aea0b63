"""sync.mode: mirror on real change events of MariaDB: every table and form of Debezium's that was captured.

tests/captures/debezium-mariadb.tar.xz holds what Debezium 3.5 wrote for one MariaDB 10.11 in four settings of its connector and
converters, and that server's tables as they were at the end: the oracle. Each topic is replayed into a table made by hand, as one
maps the types of MariaDB; what is then there must be what PostgreSQL makes of the oracle's values in these types, as text. What the
wire has lost is written down in EXPECTED, with the reason.
"""

import functools
import pathlib
import re
import struct
import sys

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import
from captures import check_explained, columns_of, differences, key_of, messages_of, quoted, replay, texts_of, unpacked  # noqa: E402 pylint: disable=wrong-import-position

TABLES = r'''
CREATE TABLE my_types (
  id integer PRIMARY KEY,
  c_tiny smallint, c_tinyu smallint, c_tiny1 smallint, c_bool smallint, c_small smallint, c_smallu integer, c_medium integer,
  c_mediumu integer, c_int integer, c_intu bigint, c_intz bigint, c_big bigint, c_bigu numeric(20),
  c_dec numeric(12,4), c_decu numeric(10,2), c_dec65 numeric(65,30), c_dec0 numeric(20,0),
  c_float real, c_float53 double precision, c_floatmd real, c_double double precision, c_doublemd double precision,
  c_bit1 bit(1), c_bit8 bit(8), c_bit20 bit(20), c_bit64 bit(64),
  c_date date, c_dt timestamp(0), c_dt3 timestamp(3), c_dt6 timestamp(6), c_ts timestamptz(0), c_ts3 timestamptz(3), c_ts6 timestamptz(6),
  c_time interval, c_time3 interval, c_time6 interval, c_year smallint,
  c_char char(5), c_varchar varchar(50), c_vlatin varchar(50), c_vbin varchar(20) COLLATE "C",
  c_tinytext text, c_text text, c_mediumtext text, c_longtext text,
  c_binary bytea, c_varbinary bytea, c_tinyblob bytea, c_blob bytea, c_mediumblob bytea, c_longblob bytea,
  c_enum text, c_set text, c_json jsonb, c_uuid uuid, c_point point, c_geom bytea, c_poly bytea);
CREATE TABLE my_ext (id integer PRIMARY KEY, d date, d_nn date NOT NULL, dt timestamp(0), dt_nn timestamp(0) NOT NULL, ts timestamptz,
  t interval, y integer, note varchar(50));
CREATE TABLE orders (region varchar(8), order_no numeric(20), customer varchar(100), status varchar(16) NOT NULL DEFAULT 'new',
  amount numeric(12,2), qty integer DEFAULT 1, created_at timestamp DEFAULT current_timestamp, changed_at timestamptz NOT NULL,
  PRIMARY KEY (region, order_no));
CREATE TABLE order_items (region varchar(8), order_no numeric(20), line integer, sku varchar(20) NOT NULL, price numeric(12,2) NOT NULL,
  PRIMARY KEY (region, order_no, line));
CREATE TABLE nopk (a integer, b varchar(20), c numeric(8,2));
CREATE TABLE uniq_only (code varchar(10) NOT NULL UNIQUE, val varchar(20));
CREATE TABLE "Order Items.v2" ("Id" integer PRIMARY KEY, "order" integer, "select" varchar(20), "first name" varchar(20),
  "a.b" varchar(20), "say ""hi""" varchar(20), "tick`s" varchar(20), "ünïcode" varchar(20), "UPPER" varchar(20));
CREATE TABLE customers (id numeric(20) PRIMARY KEY, email varchar(100) NOT NULL, name varchar(100) DEFAULT 'n/a',
  active boolean NOT NULL DEFAULT true, balance numeric(10,2) DEFAULT 0);
CREATE TABLE like_t (LIKE customers INCLUDING ALL);
CREATE TABLE copy_t (id numeric(20), email varchar(100));
CREATE TABLE later_t (id bigint PRIMARY KEY, v integer, w varchar(10) NOT NULL);
CREATE TABLE gen_cols (id integer PRIMARY KEY, w integer, h integer, area_s integer GENERATED ALWAYS AS (w * h) STORED,
  area_v integer GENERATED ALWAYS AS (w + h) STORED, note varchar(20), hidden integer DEFAULT 5);
CREATE TABLE parent (id integer PRIMARY KEY, name varchar(20));
CREATE TABLE child (id integer PRIMARY KEY, parent_id integer, v varchar(20));
CREATE SCHEMA clock;
CREATE TABLE clock.my_types (LIKE my_types INCLUDING ALL);
ALTER TABLE clock.my_types ALTER c_time TYPE time(0) USING NULL, ALTER c_time3 TYPE time(3) USING NULL, ALTER c_time6 TYPE time(6) USING NULL;
CREATE TABLE clock.my_ext (LIKE my_ext INCLUDING ALL);
ALTER TABLE clock.my_ext ALTER t TYPE time USING NULL;
'''
GEOMETRIES = ("c_geom", "c_poly")
# Tables whose form changes in mid-stream, and the topic of changes of schemas: they have tests of their own.
LEFT_OUT = {"ddl_m", "late_t", "_schema_changes"}

# What sync.units must say: in `options` 64 bits without sign are decimals, and bytes are texts in hex; elsewhere they have a sign.
UNSIGNED = {"my_types": {"c_bigu": "unsigned"}, "orders": {"order_no": "unsigned"}, "order_items": {"order_no": "unsigned"},
            "customers": {"id": "unsigned"}, "like_t": {"id": "unsigned"}, "copy_t": {"id": "unsigned"}}
# MariaDB's TIME is in microseconds at any precision; without a schema that is to be said where the column has up to three digits.
CLOCK = {"my_types": {"c_time": "us", "c_time3": "us"}}
HEX = {"my_types": {name: "hex" for name in ("c_binary", "c_varbinary", "c_tinyblob", "c_blob", "c_mediumblob", "c_longblob")}}
ALL = ("schema", "plain", "options", "flat")

FILLED = ("schema", "plain", "flat")  # replace.null.with.default is true, in `flat` that of the transform
BARE = ("plain", "flat")
TYPES = ("public.my_types", "clock.my_types")
EXT = ("public.my_ext", "clock.my_ext")
TIMES = ("c_time", "c_time3", "c_time6", "t")


def seconds(interval):
    """Of "-34 days -22:59:59.999" or "-838:59:59.999"."""
    total = 0.0
    for days, sign, hours, minutes, rest in re.findall(r"(-?\d+) days?|(-?)(\d+):(\d+):([\d.]+)", interval):
        total += float(days) * 86400 if days else (-1 if sign else 1) * (int(hours) * 3600 + int(minutes) * 60 + float(rest))
    return total


def is_of_a_day(time):
    return not time.startswith("-") and int(time.split(":")[0]) < 24


def is_zero(date):
    return "-00" in date


EXPECTED = (
    (ALL, ("public.child",), ("row",), lambda is_, should: is_, "ON DELETE CASCADE is not in the binlog"),
    (ALL, ("public.child",), ("parent_id",), lambda is_, should: (is_, should) == ("2", "22"), "nor is ON UPDATE CASCADE"),
    (FILLED, ("public.customers",), ("name", "balance"), lambda is_, should: should is None, "a NULL is sent as the default"),
    (FILLED, ("public.orders",), ("qty", "created_at"), lambda is_, should: should is None, "a NULL is sent as the default"),
    (ALL, EXT, ("d", "dt"), lambda is_, should: is_ is None and is_zero(should), "dates with a part that is zero are sent as null"),
    (ALL, EXT, ("d_nn", "dt_nn"), lambda is_, should: is_.startswith("2001-01-01") and is_zero(should), "or, in NOT NULL columns, as the default"),
    (ALL, EXT, ("ts",), lambda is_, should: is_.startswith("1970-01-01 00:00:00") and is_zero(should), "or as 1970"),
    (ALL, EXT, ("d", "d_nn", "dt"), lambda is_, should: is_[4:] == should[4:] and (is_[:4], should[:4]) == ("2001", "0001"),
     "years below 100 are taken for those of 1970 to 2069 (enable.time.adjuster)"),
    (ALL, EXT, ("y",), lambda is_, should: (is_, should) == ("1900", "0"), "YEAR 0 is sent as 1900"),
    (ALL, TYPES, ("c_float",), lambda is_, should: f"{float(is_):.6g}" == f"{float(should):.6g}", "the oracle has 6 digits of a FLOAT"),
    (BARE, TYPES, ("c_enum",), lambda is_, should: is_.replace("\\,", ",") == should,
     "the commas of labels have a backslash, and without a schema it could be the label's own"),
    (("plain",), TYPES + EXT, TIMES, lambda is_, should: seconds(is_) == seconds(should), "without a schema it is an interval of days and hours"),
    (("schema", "plain"), ("clock.my_types", "clock.my_ext"), ("letter",),
     lambda is_, should: is_ == "bad_type" and "a time below 0 or beyond 24 hours" in should, "type time has no such values"),
    (("schema", "plain"), ("clock.my_types", "clock.my_ext"), ("row",), lambda is_, should: not is_, "the same"),
    (("options", "flat"), TYPES + EXT, TIMES, lambda is_, should: is_ is None and not is_of_a_day(should),
     "times below 0 and beyond 24 hours are sent as null"),
    (("flat",), TYPES, ("c_time6",), lambda is_, should: (is_, should) == ("00:00:00", "24:00:00"), "24:00 is sent as 00:00"),
    (("options",), TYPES, ("c_dt6", "c_time6"), lambda is_, should: should.startswith(is_), "milliseconds"),
    (("flat",), ("public.later_t", "public.order_items"), ("row",), lambda is_, should: is_, "the transform drops TRUNCATE"),
    (("flat",), ("public.nopk",), ("rows",), lambda is_, should: True, "the transform drops `before`: nobody can say which row was changed"),
    (("flat",), ("public.nopk",), ("letter",), lambda is_, should: is_ == "no_identity", "the same"),
)


def value_of(text, column, type_):
    """A value of the oracle as a literal of PostgreSQL."""
    if text == "NULL":
        return None
    if column in GEOMETRIES:
        return "\\x" + text[2:][8:]  # MariaDB puts the SRID before the WKB
    if type_ == "bytea":
        return "\\x" + text[2:]
    if type_ == "point":
        return str(struct.unpack("<dd", bytes.fromhex(text[2:])[9:]))
    if type_.startswith("bit("):
        return f"{int(text, 16):0{type_[4:-1]}b}"
    return text


def printed(db, value, type_):
    """As PostgreSQL prints it in a type; as it is where the type does not have it."""
    try:
        return db.value(f"SELECT CAST(%s AS {type_})::text", (value,))
    except psycopg2.DataError:
        return value


def oracle(db, folder, name, columns):
    """The rows as PostgreSQL prints them in these types."""
    lines = (folder / "oracle" / f"{name}.tsv").read_text(encoding="utf-8").split("\n")[:-1]
    rows = [[re.sub(r"\\(.)", lambda escape: {"t": "\t", "n": "\n"}.get(escape[1], escape[1]), cell) for cell in line.split("\t")] for line in lines]
    if rows:
        check_equal(rows[0], list(columns), f"the columns of {name}")
    return [tuple(printed(db, value_of(text, *column), column[1]) for text, column in zip(row, columns.items())) for row in rows[1:]]


def replay_table(db, folder, variant, file, schema="public"):
    table = {"Order_Items.v2": "Order Items.v2"}.get(file.stem, file.stem)
    target = f"{schema}.{quoted(table)}"
    units = dict((HEX if variant == "options" else UNSIGNED).get(table, {}))
    if (variant, schema) == ("plain", "clock"):
        units.update(CLOCK.get(table, {}))
    # The tables stay as they are: a FLOAT(7,3) is called a double by its schema, and is none.
    _, letters = replay(db, file, target, batch_rows=3 if variant == "plain" else 20000, schema_changes="warn",
                        **({"units": units} if units else {}))
    columns = columns_of(db, target)
    return [(f"{schema}.{table}", "", "letter", *letter) for letter in letters] + differences(
        f"{schema}.{table}", list(columns), key_of(db, target), texts_of(db, target, list(columns)), oracle(db, folder, table, columns))


def replay_variant(name):
    """Every table of the variant; what differs and nobody has written down."""
    with unpacked("mariadb") as folder, Database() as db:
        db.sql(TABLES)
        if name == "flat":  # decimal.handling.mode double: rounded, the longest ones have a digit too many for numeric(65,30)
            for table in TYPES:
                db.sql(f"ALTER TABLE {table} ALTER c_dec65 TYPE double precision, ALTER c_dec0 TYPE double precision")
        files = {file.stem: file for file in sorted((folder / name).glob("*.jsonl")) if file.stem not in LEFT_OUT}
        check(len(files) >= 4, f"{len(files)} tables of {name}")
        todo = [("public", table) for table in files] + [("clock", "my_types"), ("clock", "my_ext")]
        found = [each for schema, table in todo for each in replay_table(db, folder, name, files[table], schema)]
        check_explained(EXPECTED, name, [f"{schema}.{table}" for schema, table in todo], found)


def replay_schema_changes(name):
    """The topic of changes of schemas holds no rows, whatever table it is taken for."""
    with unpacked("mariadb") as folder, Database() as db:
        db.sql(TABLES)
        file = folder / name / "_schema_changes.jsonl"
        result, letters = replay(db, file, "public.parent")
        check_equal(letters, [], "dead letters")
        check_equal(db.rows("SELECT * FROM parent"), [], "rows")
        check_equal(result.summary["ignored"], len(file.read_text(encoding="utf-8").splitlines()), "messages that are ignored")


# ---- tables whose form changes, made by the task


def replay_into_nothing(db, folder, variant, table):
    """All of a topic into a table that is not there; at another key the SQL that is said is run, and the task goes on."""
    topic = Topic()
    topic.produce(messages_of(folder / variant / f"{table}.jsonl"))
    document = task_for(topic, db, f"public.{table}", sync={"mode": "mirror", "schema_changes": "apply_all"})
    document["sync"].pop("write", None)
    ended = Sluice.run(document, "--until-end")
    sql = re.search(r'ALTER TABLE "public"\."\w+" DROP CONSTRAINT "\w+", ADD PRIMARY KEY \([^)]*\)', ended.err)
    if ended.code != 0:
        check(sql, f"{variant}: the SQL that helps is said: {ended.err[-1500:]}")
        db.sql(sql.group(0))
        Sluice.run(document, "--until-end").expect(0)
    return columns_of(db, f"public.{table}")


DDL = ("id", "a2", "g", "b_new", "c", "e", "f", "h", "i", "j", "k2")
BOTH = ("schema", "options")
DDL_EXPECTED = (
    (BOTH, ("ddl_m",), ("a2", "b_new"), lambda is_, should: is_ is None, "renamed: no event says so, and what none repeats stays under the old name"),
    (BOTH, ("ddl_m",), ("c", "e"), lambda is_, should: should.startswith(is_) and not should[len(is_):].strip("0"), "the same, with fewer zeros"),
    (BOTH, ("ddl_m",), ("f",), lambda is_, should: (is_, should) == ("f3", "0"), "MODIFY of a text to INT gives no event for the rows that are there"),
    (("schema",), ("ddl_m",), ("h", "i", "j"), lambda is_, should: should is None, "a NULL is sent as the default"),
    (BOTH, ("ddl_m",), ("j",), lambda is_, should: (is_, should) == ("dflt''q", "dflt'q"), "the first event says the default so, with two quotes"),
)


@test
def ddl_of_mariadb_is_followed():
    """Columns added with defaults, dropped, renamed, moved and widened, and another key; with schemas, and with types of the source."""
    for variant in BOTH:
        with unpacked("mariadb") as folder, Database() as db:
            types = replay_into_nothing(db, folder, variant, "ddl_m")
            length = {"b": "character varying(10)", "b_new": "character varying(50)", "j": "character varying(20)", "c": "numeric",
                      "e": "timestamp(3) without time zone"} if variant == "options" else {
                          "b": "text", "b_new": "text", "j": "text", "c": "numeric(10,4)", "e": "timestamp without time zone"}
            check_equal(types, {"id": "integer", "a": "bigint", "a2": "bigint", "d": "text", "f": "text", "g": "integer",
                                "h": "timestamp(3) without time zone", "i": "numeric(8,3)", "k2": "integer", **length}, variant)
            in_oracle = ["a2", "id", *(name for name in DDL if name not in ("a2", "id"))]
            wanted = oracle(db, folder, "ddl_m", dict.fromkeys(in_oracle, "text"))
            check_explained(DDL_EXPECTED, variant, ["ddl_m"],
                            differences("ddl_m", in_oracle, ["id"], texts_of(db, "ddl_m", in_oracle), wanted))


@test
def a_table_of_mariadb_that_was_made_again_goes_on():
    """Dropped, and made again with a larger key, without a column and with another: what the old one held stays."""
    with unpacked("mariadb") as folder, Database() as db:
        types = replay_into_nothing(db, folder, "schema", "late_t")
        check_equal(types, {"id": "bigint", "v": "text", "e": "text", "w": "text"})
        check_equal(db.rows("SELECT id, v, e, w FROM late_t ORDER BY id"), [(1, "2", "y", "w1"), (2, "b", "y", None), (3, "c", "z", None)])


for each_name in ALL:
    add(f"mariadb-{each_name}", functools.partial(replay_variant, each_name))
for each_name in ("schema", "plain"):
    add(f"mariadb-schema-changes-{each_name}", functools.partial(replay_schema_changes, each_name))


if __name__ == "__main__":
    main()
