#!/usr/bin/python3
"""sync.mode: mirror against a model: sequences of change events by chance, applied by tasks with settings by chance; each table must be
what the oracle of changes.py makes of its sequence. What fails is made shorter and printed, so that it can be put into FOUND.

Rounds take turns: one table by one task, and a table for each of many topics by one task. SLUICE_MODEL_ROUNDS=N runs N rounds; -k round-7
with the same --seed repeats one.
"""

import concurrent.futures
import copy
import os
import pathlib
import queue
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import
from registry import seed  # noqa: E402 pylint: disable=wrong-import-position
from changes import KEY_COLUMNS, SHAPE, P, Invalid, Oracle, Source, columns_of, message_of  # noqa: E402 pylint: disable=wrong-import-position

ROUNDS = int(os.environ.get("SLUICE_MODEL_ROUNDS", "16"))
SHRINK_S = float(os.environ.get("SLUICE_MODEL_SHRINK_S", "120"))
TABLES = 24  # of a round with many
# A task and what happens to it, as they are unless a round says otherwise.
SETTINGS = {
    "many": False,  # target.table is a template
    "batch_rows": 20000,
    "copy_format": "auto",
    "lanes": 1,
    "pooler": "none",
    "on_failure": "retain",
    "on_delete": "delete",
    "on_missing_row": "insert",
    "write": None,
    "portions": 1,  # the events come in so many, each to the end
    "trouble": None,  # SLUICE_FAIL_POINT, or a number: seconds until kill -9; in each portion
}
POINTS = ("after_poll", "in_copy", "before_ledger", "after_ledger", "before_commit", "after_commit_before_answer",
          "after_commit_before_group_offset")


# ---- a case: settings, and tables with their events -----------------------------------------------------------------------


def table(events, **shape):
    return {"shape": {**SHAPE, **shape}, "events": events}


def play(*tables, **settings):
    """Fails if a table is not what its events make of it."""
    trouble = failure_of({"settings": {**SETTINGS, **settings}, "tables": list(tables)})
    check(not trouble, trouble)


def shown(case):
    """As it can be written into FOUND."""
    lines = ["    lambda: play("]
    for each in case["tables"]:
        shape = "".join(f", {name}={value!r}" for name, value in each["shape"].items() if value != SHAPE[name])
        lines += ["        table([", *(f"            {event!r}," for event in each["events"]), f"        ]{shape}),"]
    settings = ", ".join(f"{name}={value!r}" for name, value in case["settings"].items() if value != SETTINGS[name])
    return "\n".join([*lines, f"        {settings}),"])


# ---- run it ----------------------------------------------------------------------------------------------------------------


class Topics:
    """Those of one worker, used again and again: a task begins where the last one's messages end."""

    def __init__(self):
        self._kept = {}
        self._ends = {}
        self._producer = confluent_kafka.Producer({**kafka_settings(), "linger.ms": 1, "acks": "all", "log_level": 2})

    def take(self, partitions):
        """A topic for each number of partitions, none twice."""
        missing = [number for number in set(partitions) for _ in range(partitions.count(number) - len(self._kept.get(number, [])))]
        with concurrent.futures.ThreadPoolExecutor(8) as workers:
            for topic in workers.map(lambda number: Topic(partitions=number), missing):
                self._kept.setdefault(topic.partitions, []).append(topic)
                self._ends[topic.name] = dict.fromkeys(range(topic.partitions), 0)
        left = {number: iter(each) for number, each in self._kept.items()}
        return [next(left[number]) for number in partitions]

    def starts(self, topics):
        return {topic.name: dict(self._ends[topic.name]) for topic in topics}

    def send(self, topics, sequences):
        """A message of each in turn, so that batches mix them."""
        for turn in range(max(map(len, sequences), default=0)):
            for topic, messages in zip(topics, sequences):
                if turn < len(messages):
                    each = messages[turn]
                    self._producer.produce(topic.name, value=each.bytes(), key=each.key, partition=each.partition, headers=list(each.headers))
                    self._ends[topic.name][each.partition] += 1
        check(not self._producer.flush(30), "messages were not sent")


_topics: "queue.LifoQueue[Topics]" = queue.LifoQueue()


def ddl(name, each, settings):
    shape = each["shape"]
    kinds = {"id": "int", "code": "text", "region": "text", "no": "int", "num": "numeric"}
    keys = [f"{column} {kinds[column]}" for column in KEY_COLUMNS[shape["key"]]]
    columns = [*keys, "n int", "s text", f"big {shape['big']}", "doc text"] + (["u int UNIQUE"] if shape["unique"] else [])
    if settings["on_delete"] == "mark" and shape["key"] != "none":
        columns.append("_gone boolean")
    columns.append("_op text")
    if settings["write"] == "history":
        columns.append("seq bigserial")
    elif shape["key"] != "none":
        columns.append(f"PRIMARY KEY ({', '.join(KEY_COLUMNS[shape['key']])})")
    return f'CREATE TABLE public."{name}" ({", ".join(columns)})'


def document_of(case, db, topics, starts):
    settings = case["settings"]
    sync = {"mode": "mirror", "on_missing_row": settings["on_missing_row"], "metadata": {"_op": "op"},
            "on_delete": {"mark": "_gone"} if settings["on_delete"] == "mark" else settings["on_delete"]}
    if any(each["shape"]["key"] == "numeric" for each in case["tables"]):
        sync["units"] = {"num": "text"}
    if settings["write"]:
        sync["write"] = settings["write"]
    if all(each["shape"]["form"] == "envelope" for each in case["tables"]):
        sync["format"] = "debezium"
    document = task_for(topics, db, "public.{topic}" if settings["many"] else f'public."{topics[0].name}"', sync=sync,
                        on_failure=settings["on_failure"], breaker={"share": 1},
                        tuning={name: settings[name] for name in ("batch_rows", "copy_format", "lanes")})
    if not settings["write"]:
        document["sync"].pop("write")
    document["target"].update(pooler=settings["pooler"])
    document["source"]["start"] = {"offsets": starts}
    document["source"]["kafka"].update({**QUICK_SESSION, "fetch.wait.max.ms": "50"})
    return document


def run_to_end(document, settings, code):
    trouble = settings["trouble"]
    if isinstance(trouble, float):
        with Sluice(document, "--until-end") as sluice:
            with contextlib.suppress(Failure):
                sluice.wait(trouble)
            sluice.signal(signal.SIGKILL)
    elif trouble:
        with Sluice(document, "--until-end", environment={"SLUICE_FAIL_POINT": trouble}) as sluice:
            ended = sluice.wait()
            if ended.code != -signal.SIGKILL:
                return ended.expect(code)
    return until_end(document, code=code)


def compare(db, name, each, settings, oracle):
    wanted = oracle.found()
    exists = db.value("SELECT to_regclass(%s) IS NOT NULL", (f'public."{name}"',))
    if not exists:
        check(each["shape"]["made"] and not wanted, "the table is not there")
        return
    ordered = settings["write"] == "history" and not each["shape"]["made"]
    names = ", ".join(oracle.names())
    found = db.rows(f'SELECT {names} FROM public."{name}"' + (" ORDER BY seq" if ordered else ""))
    if not ordered:
        found, wanted = sorted(found, key=repr_of), sorted(wanted, key=repr_of)
    if found != wanted:
        surplus, missing = [row for row in found if row not in wanted], [row for row in wanted if row not in found]
        raise Failure(f"({names}): found {surplus}, expected {missing} (of {len(found)} and {len(wanted)} rows)")


def repr_of(row):
    return [(value is None, str(value)) for value in row]


def portion(events, number, portions):
    return events[len(events) * number // portions:len(events) * (number + 1) // portions]


def failure_of(case):
    """What is wrong; empty if nothing is. Invalid if the source cannot have had these events."""
    settings, tables = case["settings"], case["tables"]
    oracles = [Oracle(each["shape"], settings) for each in tables]
    try:
        pool = _topics.get_nowait()
    except queue.Empty:
        pool = Topics()
    try:
        topics = pool.take([each["shape"]["partitions"] for each in tables])
        with Database() as db:
            for topic, each in zip(topics, tables):
                if not each["shape"]["made"]:
                    db.sql(ddl(topic.name, each, settings))
            document = document_of(case, db, topics, pool.starts(topics))
            for number in range(settings["portions"]):
                parts = [portion(each["events"], number, settings["portions"]) for each in tables]
                stops = False
                for oracle, events in zip(oracles, parts):
                    for event in events:
                        if settings["on_failure"] == "retain" and event[0].startswith("bad"):
                            stops = True  # of the only table
                            break
                        oracle.apply(event)
                pool.send(topics, [[message_of(each["shape"], event) for event in events] for each, events in zip(tables, parts)])
                run_to_end(document, settings, 3 if stops else 0)
                for topic, each, oracle in zip(topics, tables, oracles):
                    try:
                        compare(db, topic.name, each, settings, oracle)
                    except Failure as failure:
                        return f"table {topics.index(topic)}, portion {number}: {failure}"
                if settings["on_failure"] == "deliver":
                    dead = db.rows("SELECT topic, message_offset, code, message FROM sluice.dead_letter")
                    if len(dead) != sum(oracle.bad for oracle in oracles):
                        return f"dead letters: {len(dead)}, expected {sum(oracle.bad for oracle in oracles)}: {dead[:2]}"
                if stops:
                    break
        return ""
    except Failure as failure:
        return str(failure)
    finally:
        _topics.put(pool)


# ---- shorter ---------------------------------------------------------------------------------------------------------------


class Shrinker:
    """Delta debugging: leaves out what the failure does not need, as long as there is time."""

    def __init__(self, case, trouble):
        self.case, self.trouble, self.tries = case, trouble, 0
        self._end = time.monotonic() + SHRINK_S

    def _attempt(self, change):
        """Keeps the change if it still fails; a kill at a random moment may need luck."""
        case = copy.deepcopy(self.case)
        change(case)
        if case == self.case or not case["tables"]:
            return False
        for _ in range(3 if isinstance(case["settings"]["trouble"], float) else 1):
            if time.monotonic() > self._end:
                return False
            self.tries += 1
            try:
                trouble = failure_of(case)
            except Invalid:
                return False
            if trouble.split(" ")[0] == self.trouble.split(" ")[0]:  # not another failure
                self.case, self.trouble = case, trouble
                return True
        return False

    def _list(self, of):
        """Leaves out chunks, of half the list at first."""
        size = max(1, len(of(self.case)) // 2)
        while True:
            at = len(of(self.case)) - size
            while at > -size:
                begin = max(at, 0)

                def cut(case, begin=begin, end=at + size):
                    del of(case)[begin:end]

                if of(self.case)[begin:at + size]:
                    self._attempt(cut)
                at -= size
            if size == 1:
                return
            size //= 2

    def _simpler(self):
        for name, value in SETTINGS.items():
            if name != "many" and not (name == "on_failure" and "bad" in repr(self.case["tables"])):
                self._attempt(lambda case, name=name, value=value: case["settings"].update({name: value}))
        if len(self.case["tables"]) == 1:
            self._attempt(lambda case: case["settings"].update(many=False))
        for index, each in enumerate(self.case["tables"]):
            for name, value in SHAPE.items():
                if name not in ("key", "unique") and each["shape"]["key"] != "none":
                    self._attempt(lambda case, index=index, name=name, value=value: case["tables"][index]["shape"].update({name: value}))
            if each["shape"]["key"] in ("text", "pair"):
                self._attempt(lambda case, index=index: case["tables"][index]["shape"].update(key="int"))

    def shrink(self):
        if len(self.case["tables"]) > 1 and self.trouble.startswith("table "):
            index = int(self.trouble[6:self.trouble.index(",")])
            self._attempt(lambda case: case.update(tables=[case["tables"][index]]))
        if len(self.case["tables"]) > 1:
            self._list(lambda case: case["tables"])
        self._attempt(lambda case: case["settings"].update(trouble=None))
        before = None
        while before != self.case and time.monotonic() < self._end:
            before = copy.deepcopy(self.case)
            for index in range(len(self.case["tables"])):
                self._list(lambda case, index=index: case["tables"][index]["events"])
            self._simpler()
        return self


# ---- by chance ---------------------------------------------------------------------------------------------------------------


def settings_of(random, many):
    settings = {**SETTINGS, "many": many, "batch_rows": random.choice([1, 2, 3, 5, 8, 13, 50, 20000, 20000]),
                "copy_format": random.choice(["auto", "text", "binary"]), "lanes": random.randint(1, 3),
                "pooler": random.choice(["none", "none", "transaction"]), "on_failure": random.choice(["retain", "discard", "deliver"]),
                "on_delete": random.choice(["delete"] * 4 + ["ignore", "mark"]), "on_missing_row": random.choice(["insert", "insert", "ignore"]),
                "portions": random.choice([1, 1, 1, 2, 4])}
    if random.random() < 0.1:
        settings.update(write="history", on_delete="delete", portions=1)
    if random.random() < 0.4:
        point = f"{random.choice(POINTS)}:{random.randint(1, 6)}"
        if not point.startswith("after_poll") and random.random() < 0.4:
            point += ":disconnect"
        settings["trouble"] = random.choice([point, point, round(random.uniform(0.1, 1.5), 2)])
    return settings


def shape_of(random, settings):
    history, marked = settings["write"] == "history", settings["on_delete"] == "mark"
    shape = {**SHAPE, "key": random.choice(["int"] * 3 + ["text", "pair", "numeric"] + ["none"] * (not marked)),
             "form": random.choice(["envelope"] * 3 + ["flat", "flat with op"]), "schema": random.random() < 0.4,
             "big": random.choice(["text", "text", "text DEFAULT 'dflt'", "text NOT NULL DEFAULT 'dflt'"]),
             "full": random.random() < 0.3, "message_key": random.random() < 0.85, "tombstone": random.choice([None, None, "null"])}
    keyed = shape["key"] != "none"
    shape["unique"] = keyed and not history and random.random() < 0.25
    if keyed and not history and not shape["unique"] and random.random() < 0.2:
        shape["partitions"] = random.choice([2, 3])
    if shape["schema"] and shape["key"] != "numeric" and not shape["unique"] and (shape["message_key"] or not keyed):
        if random.random() < 0.3:
            shape.update(made=True, big="text")
    return shape


def case_of(random, many):
    settings = settings_of(random, many)
    tables = []
    for _ in range(TABLES if many else 1):
        shape = shape_of(random, settings)
        bad = 0
        if settings["on_failure"] != "retain":
            bad = random.choice([0, 0, 0, 1, 3])
        elif not many and shape["partitions"] == 1:
            bad = int(random.random() < 0.2)
        length = random.choice([5, 15, 40, 120]) if not many else random.randint(3, 40)
        tables.append({"shape": shape, "events": Source(random, shape, settings).sequence(length, bad)})
    return {"settings": settings, "tables": tables}


def run_round(number):
    case = case_of(rng(f"model-{number}"), number % 2 == 1)
    trouble = failure_of(case)
    if trouble:
        shrinker = Shrinker(case, trouble).shrink()
        raise Failure(f"{trouble}\n  seed {seed()}, round {number}; after {shrinker.tries} attempts to make it shorter:\n"
                      f"  {shrinker.trouble}\n{shown(shrinker.case)}")


# ---- what was found once -----------------------------------------------------------------------------------------------------

FOUND = {
    "an-update-without-key-keeps-what-was-not-sent": lambda: play(
        table([
            ("c", 1, {"n": 1, "s": "a", "big": "b", "doc": "c"}),
            ("u", 1, {"n": 2, "s": "a", "big": P, "doc": P}, {"n": 1, "s": "a", "big": "b", "doc": "c"}),
        ], key="none")),
    "an-update-without-key-of-a-row-that-is-not-there-makes-none": lambda: play(
        table([
            ("u", 1, {"n": 2, "s": "a", "big": P, "doc": "c"}, {"n": 1, "s": "a", "big": "b", "doc": "c"}),
        ], key="none"),
        on_missing_row="ignore"),
    "new-rows-do-not-overtake-other-spellings-of-their-keys": lambda: play(
        table([
            ("u", 2, {"n": 1, "s": "a", "big": "b", "doc": "c"}, {}),
            ("c", 8, {"n": 2, "s": "d", "big": "e", "doc": "f"}),
        ], key="numeric")),
    "other-spellings-of-a-key-do-not-overtake-updates-of-new-rows": lambda: play(
        table([
            ("c", 2, {"n": 1, "s": "a", "big": "b", "doc": "c"}),
            ("u", 8, {"n": 2, "s": "d", "big": "e", "doc": "f"}, {}),
            ("u", 2, {"n": 3, "s": "g", "big": "h", "doc": "i"}, {}),
        ], key="numeric")),
    "a-row-that-comes-again-in-another-spelling-is-not-marked": lambda: play(
        table([
            ("d", 0, {}),
            ("c", 6, {"n": 1, "s": "a", "big": "b", "doc": "c"}),
        ], key="numeric"),
        on_delete="mark"),
    "a-text-null-deletes-though-its-topic-was-not-seen": lambda: play(
        table([
            ("c", 4, {"n": 1, "s": "a", "big": "b", "doc": "c"}),
            ("tomb", 4),
        ], tombstone="null"),
        many=True, portions=2),
    "an-update-that-makes-no-row-gives-nothing-to-one-that-does": lambda: play(
        table([
            ("u", 1, {"n": 1, "s": "a", "big": "b", "doc": P}, {}),
            ("into", 1, {"n": 2, "s": "c", "big": P, "doc": "d"}, 2),
            ("u", 3, {"n": 1, "s": "a", "big": "b", "doc": P}, {}),
            ("c", 3, {"n": 2, "big": "c", "doc": "d"}),
        ]),
        on_missing_row="ignore"),
}

for called, body in FOUND.items():
    concurrent_test(body, called)
for turn in range(ROUNDS):
    concurrent_test(lambda number=turn: run_round(number), f"round-{turn}")

if __name__ == "__main__":
    main()
