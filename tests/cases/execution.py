"""One case under one setting: prepare, send, run, compare."""

import copy
import dataclasses
import io
import random
import re
from typing import Any, Dict, List, Optional, Set, Tuple
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg2

from case_file import NULL, Case, Phase, Record, Rewrite, argument_rewrite, body_rewrite, new_section
from servers import Broker, Database, Databases, Failure, Topics

from kit import Sluice, kafka_settings, root  # servers has put the kit on the path

DEADLINE_S = 60
SESSION_TIMEOUT_MS = "1000"  # a killed member holds its partitions that long


@dataclasses.dataclass(frozen=True)
class Setting:
    """What must not change the result."""

    name: str
    tuning: Tuple[Tuple[str, Any], ...] = ()
    spread: int = 1  # partitions of a case that does not say how many
    fail_point: str = ""
    action: str = "kill"
    target: Tuple[Tuple[str, Any], ...] = ()


def fail_points() -> List[str]:
    """The names in src/base/fail_point.h: the list that the program itself has."""
    text = (root / "src/base/fail_point.h").read_text(encoding="utf-8")
    match = re.search(r"kFailPoints\[\] = \{(.*?)\};", text, re.DOTALL)
    names = re.findall(r'"(\w+)"', match.group(1)) if match else []
    if not names:
        raise Failure("src/base/fail_point.h: no kFailPoints found")
    return names


def all_settings() -> List[Setting]:
    settings = [
        Setting("default"),
        Setting("one-a-batch", (("batch_rows", 1),)),
        Setting("lanes", (("lanes", 4),), spread=4),
        Setting("text", (("copy_format", "text"),)),
        Setting("binary", (("copy_format", "binary"),)),
        Setting("postgresql_9_4", (("lanes", 1),), target=(("level", "postgresql_9_4"),)),
    ]
    for point in fail_points():
        settings.append(Setting(f"kill-{point}", (("batch_rows", 2),), fail_point=point))
        settings.append(Setting(f"disconnect-{point}", (("batch_rows", 2),), fail_point=point, action="disconnect"))
    return settings


def allows(case: Case, setting: Setting) -> bool:
    def named(names: List[str]) -> bool:
        return any(setting.name == name or setting.name.startswith(name + "-") for name in names)
    return (not case.only or named(case.only)) and not named(case.never)


def merged(base: Dict[str, Any], more: Dict[str, Any]) -> Dict[str, Any]:
    result = copy.deepcopy(base)
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


class Execution:
    """A run of a case; a new one for each setting."""

    def __init__(self, case: Case, setting: Setting, topics: Topics, broker: Broker, databases: Databases,
                 rng: random.Random, accept: bool = False):
        self.case = case
        self.setting = setting
        self.topics = topics
        self.broker = broker
        self.databases = databases
        self.rng = rng
        self.accept = accept
        self.rewrites: List[Rewrite] = []
        self.reached: Set[str] = set()  # fail points that did kill
        self.database: Any = None
        self._session: Any = None  # the connection that reads the rows
        self._output = ""

    def run(self) -> None:
        self.database = self.databases.take()
        try:
            task: Dict[str, Any] = {}
            for index, phase in enumerate(self.case.phases):
                task = merged(task, self._filled(phase.task))
                try:
                    self._run_phase(index, phase, task)
                except Failure as failure:
                    where = f"phase {index + 1}: " if len(self.case.phases) > 1 else ""
                    raise Failure(f"{where}{failure}") from None
        finally:
            if self._session is not None:
                self._session.close()
            self.databases.give_back(self.database)

    # ---- before ------------------------------------------------------------------------------------------------------

    def _filled(self, value: Any) -> Any:
        """{topic} and {database} in texts."""
        if isinstance(value, str):
            return value.replace("{topic}", self.topics.prefix).replace("{database}", self.database.name)
        if isinstance(value, dict):
            return {self._filled(key): self._filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        return value

    def _sql(self, text: str, superuser: bool) -> None:
        try:
            self.database.sql(self._filled(text), superuser=superuser)
        except psycopg2.Error as error:
            raise Failure(f"the case's own SQL fails: {str(error).strip()}") from None

    def _document(self, task: Dict[str, Any]) -> Dict[str, Any]:
        document = merged({
            "name": "case",
            "source": {
                "kafka": {**kafka_settings(), "session.timeout.ms": SESSION_TIMEOUT_MS, "heartbeat.interval.ms": "300",
                          "fetch.wait.max.ms": "50", "topic.metadata.refresh.interval.ms": "1000"},
                "topics": self.topics.names()},
            "target": {"postgres": self.database.uri, "table": "t"},
        }, task)
        role = document["target"].pop("as", None)
        if role:
            parts = urlsplit(self.database.uri)
            login = f"{quote(role)}:{quote(role)}"
            document["target"]["postgres"] = urlunsplit(
                parts._replace(netloc=f"{login}@{parts.hostname}:{parts.port}"))
        document["target"].update(self.setting.target)
        tuning = dict(self.setting.tuning)
        if self.setting.fail_point and "batch_rows" in document.get("tuning", {}):
            del tuning["batch_rows"]  # the case has several batches as it is
        document["tuning"] = {**document.get("tuning", {}), **tuning}
        return document

    # ---- one phase ---------------------------------------------------------------------------------------------------

    def _run_phase(self, index: int, phase: Phase, task: Dict[str, Any]) -> None:
        for superuser, text in phase.sql:
            self._sql(text, superuser)
        if index == 0:
            self.broker.fill(self.topics)
        else:
            self.broker.send(self.topics, phase.items)
        code = self._run_program(phase, self._document(task))
        if self.accept:
            self._accept(phase, code)
            return
        if code != phase.exit_code:
            raise Failure(f"exit code {code}, expected {phase.exit_code}: {self._tail()}")
        for pattern in phase.output:
            if not re.search(pattern, self._output):
                raise Failure(f"the output has no match for /{pattern}/: {self._tail()}")
        if phase.halt is not None:
            self._compare("halt", [self._halt()], [phase.halt.argument])
        dead = self._dead_letters(code)
        if phase.dead is not None and phase.dead.argument:
            self._compare("number of dead letters", [str(len(dead or []))], [phase.dead.argument])
        elif dead is not None and "breaker" not in self.case.tags:
            self._compare("dead letters", dead, phase.dead.body if phase.dead is not None else [])
        for section in phase.rows:
            self._compare(f"rows of {section.argument}", self._rows(section.argument), section.body)
        if code == 0:
            self._check_ledger()

    def _run_program(self, phase: Phase, document: Dict[str, Any]) -> int:
        """The exit code of the last run: after each death by a fail point it is started again."""
        arguments = ["--until-end", *phase.arguments]
        if self.setting.fail_point:
            deaths = 2 if self.setting.action == "kill" and self.rng.random() < 0.2 else 1
            for _ in range(deaths):
                point = f"{self.setting.fail_point}:{self.rng.choice((1, 1, 2, 3))}:{self.setting.action}"
                code = self._start(phase, document, arguments, {"SLUICE_FAIL_POINT": point})
                if code != -9:
                    return code
                self.reached.add(self.setting.name)
        return self._start(phase, document, arguments, {})

    def _start(self, phase: Phase, document: Dict[str, Any], arguments: List[str], environment: Dict[str, str]) -> int:
        with Sluice(document, *arguments, environment=environment) as sluice:
            if phase.meanwhile is not None:
                pattern, sql = phase.meanwhile
                regex = re.compile(pattern)
                sluice.wait_for(lambda: regex.search(sluice.out + sluice.err), f"/{pattern}/ in the output", DEADLINE_S)
                self._sql(sql, False)
            ended = sluice.wait(DEADLINE_S)
        self._output = ended.out + ended.err
        for mark in ("Sanitizer", "runtime error:"):
            if mark in self._output:
                at = self._output.index(mark)
                raise Failure(f"a sanitizer found something: {self._output[max(0, at - 100):at + 2500]}")
        return ended.code

    def _tail(self) -> str:
        return " / ".join(line.strip() for line in self._output.strip().splitlines()[-12:])[-1800:]

    # ---- after -------------------------------------------------------------------------------------------------------

    def _query(self, sql: str) -> List[Tuple[Any, ...]]:
        with self._reader().cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()

    def _reader(self) -> Any:
        """A session whose output does not depend on what the case set for its role or database."""
        if self._session is None:
            self._session = self.database.connect(superuser=True)
            with self._session.cursor() as cursor:
                cursor.execute("SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC';"
                               "SET extra_float_digits = 1; SET bytea_output = 'hex'; SET xmloption = 'content';"
                               "SET statement_timeout = 0; SET client_encoding = 'UTF8'; SET row_security = off")
        return self._session

    def _rows(self, query: str) -> List[str]:
        out = io.StringIO()
        try:
            with self._reader().cursor() as cursor:
                cursor.copy_expert(f"COPY ({self._filled(query)}) TO STDOUT (DELIMITER '|', NULL '{NULL}')", out)
        except psycopg2.Error as error:
            raise Failure(f"the query {query} fails: {str(error).strip()}") from None
        return out.getvalue().split("\n")[:-1]

    def _compare(self, what: str, found: List[str], expected: List[str]) -> None:
        if found == expected:
            return
        first = next((n for n, pair in enumerate(zip(found, expected)) if pair[0] != pair[1]), min(len(found), len(expected)))
        show = lambda lines: repr(lines[first]) if first < len(lines) else "the end"  # noqa: E731
        raise Failure(f"{what}: line {first + 1} is {show(found)[:300]}, expected {show(expected)[:300]} "
                      f"({len(found)} lines, expected {len(expected)}); the program said: {self._tail()}")

    def _ledger_schema(self) -> str:
        return next((phase.task["target"]["ledger_schema"] for phase in self.case.phases
                     if "ledger_schema" in phase.task.get("target", {})), "sluice")

    def _dead_letters(self, code: int) -> Optional[List[str]]:
        """`NUMBER CODE [COLUMN]` in the order of the messages. None: there is no ledger (the task was refused)."""
        schema = '"' + self._ledger_schema().replace('"', '""') + '"'
        if not self._query(f"SELECT to_regclass($${schema}.dead_letter$$) IS NOT NULL")[0][0]:
            if code == 0:
                raise Failure(f"there is no table {schema}.dead_letter")
            return None
        letters = self._query(
            "SELECT topic, partition, message_offset, code, coalesce(column_name, ''), key, value, header_names,"
            f" header_values, (extract(epoch FROM message_timestamp) * 1000)::bigint FROM {schema}.dead_letter")
        lines = []
        for topic, partition, offset, reason, column, key, value, names, values, timestamp in letters:
            number = self.topics.sent.number(topic, partition, offset)
            record = self.topics.sent.records[number - 1]
            self._compare_letter(number, record, key, value, list(zip(names, values)), timestamp)
            lines.append((number, f"{number} {reason} {column}".rstrip()))
        return [line for _, line in sorted(lines)]

    @staticmethod
    def _compare_letter(number: int, record: Record, key: Any, value: Any, headers: List[Any], timestamp: Any) -> None:
        def plain(data: Any) -> Any:
            return None if data is None else bytes(data)
        if (plain(key), plain(value)) != (record.key, record.value):
            raise Failure(f"the dead letter of message {number} has another key or value than the message")
        if [(name, plain(data)) for name, data in headers] != record.headers:
            raise Failure(f"the dead letter of message {number} has headers {headers}, not {record.headers}")
        if timestamp is None or (record.timestamp_ms and timestamp != record.timestamp_ms):
            raise Failure(f"the dead letter of message {number} has timestamp {timestamp}, not {record.timestamp_ms}")

    def _halt(self) -> str:
        rows = self._query(f'SELECT halt_reason, halt_topic, halt_partition, halt_offset FROM "{self._ledger_schema()}".task')
        if not rows or rows[0][0] is None:
            raise Failure(f"the task has no halt; the program said: {self._tail()}")
        reason, topic, partition, offset = rows[0]
        return f"{self.topics.sent.number(topic, partition, offset)} {reason.split(' ')[-1]}"

    def _check_ledger(self) -> None:
        """What holds for every run that ends well: each position is at its end, each message is counted once."""
        sent = self.topics.sent
        positions = {(topic, partition): offset for topic, partition, offset in self._query(
            f'SELECT topic, partition, next_offset FROM "{self._ledger_schema()}".ledger')}
        for place, end in sent.ends().items():
            found = positions.get(place, 0)
            if (found != end) if sent.certain else (found < end and not sent.hidden):
                raise Failure(f"the ledger has {place[0]}/{place[1]} at {found}, its end is {end}")
        if "uncounted" in self.case.tags:
            return
        counted = self._query('SELECT coalesce(sum(applied + discarded + dead), 0)::bigint, coalesce(sum(dead), 0)::bigint,'
                              f' (SELECT count(*) FROM "{self._ledger_schema()}".dead_letter)'
                              f' FROM "{self._ledger_schema()}".ledger')[0]
        visible = len(sent.records) - sent.hidden
        if counted[0] != visible:
            raise Failure(f"the ledger counts {counted[0]} messages, there are {visible}")
        if counted[1] != counted[2]:
            raise Failure(f"the ledger counts {counted[1]} dead letters, there are {counted[2]}")

    # ---- accept ------------------------------------------------------------------------------------------------------

    def _accept(self, phase: Phase, code: int) -> None:
        halted = code == 3
        if code != phase.exit_code or (phase.exit_section is not None and not halted):
            if phase.exit_section is not None:
                self.rewrites.append(argument_rewrite(phase.exit_section, str(code)))
            elif code not in (0, 3):
                self.rewrites.append(new_section(phase, f"--- exit: {code}", []))
        if halted:
            line = self._halt()
            self.rewrites.append(argument_rewrite(phase.halt, line) if phase.halt is not None
                                 else new_section(phase, f"--- halt: {line}", []))
        dead = self._dead_letters(code) or []
        if phase.dead is not None and phase.dead.argument:
            self.rewrites.append(argument_rewrite(phase.dead, str(len(dead))))
        elif phase.dead is not None:
            self.rewrites.append(body_rewrite(phase.dead, dead))
        elif dead:
            self.rewrites.append(new_section(phase, "--- dead", dead))
        for section in phase.rows:
            self.rewrites.append(body_rewrite(section, self._rows(section.argument)))
