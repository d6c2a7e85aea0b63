"""What Sluice is compared with: psql on the same rows, as somebody who knows PostgreSQL would write it by hand."""

import pathlib
import subprocess
from typing import List, Sequence

from data import Data
from kit import check

LANES = 2  # as many as Sluice starts by itself for a backlog
BATCH = 10_000


def _wait_all(commands: List[List[str]]) -> None:
    processes = [subprocess.Popen(["psql", "-X", "-q", *command]) for command in commands]
    check(not any([process.wait() for process in processes]), "psql failed; what it said is above")


def copy(uri: str, loads: Sequence[Data], tables: Sequence[str], at_once: bool = True) -> None:
    """`\\copy` from CSV, one psql for each table, all at once or one after the other."""
    commands = [[uri, "-c", f"\\copy public.{table} from '{data.csv}' with (format csv)"]
                for data, table in zip(loads, tables)]
    if at_once:
        _wait_all(commands)
    else:
        for command in commands:
            _wait_all([command])


def staged(uri: str, data: Data, table: str, columns: Sequence[str]) -> None:
    """The hand-written upsert, LANES of psql at once; _script() says what each does."""
    scripts = [_script(data, table, columns, share) for share in range(LANES)]
    _wait_all([[uri, "-f", str(script)] for script in scripts])


def prepare_staged(data: Data, table: str, columns: Sequence[str]) -> None:
    """Writes the scripts, so that no time is lost for it later."""
    for share in range(LANES):
        _script(data, table, columns, share)


def run_scripts(uri: str, scripts: Sequence[pathlib.Path]) -> None:
    """All at once."""
    _wait_all([[uri, "-f", str(script)] for script in scripts])


def prepare_changes(data: Data, table: str, columns: Sequence[str]) -> List[pathlib.Path]:
    """Scripts that replay changes, LANES of them, each with the keys of its share.

    The CSV has number, op (c, u, d) and the row. BATCH changes at a time go by COPY into a temporary stage; of each key the
    last one counts: deletes first, then INSERT ... ON CONFLICT.
    """
    scripts = [data.csv.with_name(f"changes-{data.csv.stem}-{share}.sql") for share in range(LANES)]
    if all(script.exists() for script in scripts):
        return scripts
    names = ", ".join(columns)
    sets = ", ".join(f"{column} = excluded.{column}" for column in columns[1:])
    last = f"(SELECT DISTINCT ON ({columns[0]}) * FROM stage ORDER BY {columns[0]}, number DESC) s"
    for share, script in enumerate(scripts):
        part = pathlib.Path(f"{script}.part")
        with open(data.csv, encoding="utf-8") as lines, open(part, "w", encoding="utf-8") as out:
            out.write("\\set ON_ERROR_STOP on\nCREATE TEMPORARY TABLE stage AS SELECT 0::bigint AS number, ''::text AS op, *"
                      f" FROM public.{table} LIMIT 0;\n")

            def write(batch: List[str]) -> None:
                out.write("BEGIN;\nTRUNCATE stage;\nCOPY stage FROM STDIN WITH (FORMAT csv);\n")
                out.writelines(batch)
                out.write(f"\\.\nDELETE FROM public.{table} t USING {last} WHERE s.op = 'd' AND t.{columns[0]} = s.{columns[0]};\n"
                          f"INSERT INTO public.{table} ({names}) SELECT {names} FROM {last} WHERE op <> 'd'"
                          f" ON CONFLICT ({columns[0]}) DO UPDATE SET {sets};\nCOMMIT;\n")

            batch: List[str] = []
            for line in lines:
                if int(line.split(",", 3)[2]) % LANES != share:
                    continue
                batch.append(line)
                if len(batch) == BATCH:
                    write(batch)
                    batch = []
            if batch:
                write(batch)
        part.rename(script)
    return scripts


def _script(data: Data, table: str, columns: Sequence[str], share: int) -> pathlib.Path:
    """Every LANES-th batch of the CSV by COPY into a temporary stage, then INSERT ... ON CONFLICT, a transaction each."""
    script = data.csv.with_name(f"staged-{data.csv.stem}-{share}.sql")
    if script.exists():
        return script
    names = ", ".join(columns)
    sets = ", ".join(f"{column} = excluded.{column}" for column in columns[1:])
    part = pathlib.Path(f"{script}.part")
    with open(data.csv, encoding="utf-8") as lines, open(part, "w", encoding="utf-8") as out:
        out.write(f"\\set ON_ERROR_STOP on\nCREATE TEMPORARY TABLE stage (LIKE public.{table});\n")

        def write(batch: List[str]) -> None:
            out.write("BEGIN;\nTRUNCATE stage;\nCOPY stage FROM STDIN WITH (FORMAT csv);\n")
            out.writelines(batch)
            out.write(f"\\.\nINSERT INTO public.{table} ({names}) SELECT {names} FROM stage"
                      f" ON CONFLICT ({columns[0]}) DO UPDATE SET {sets};\nCOMMIT;\n")

        batch: List[str] = []
        number = 0
        for line in lines:
            batch.append(line)
            if len(batch) == BATCH:
                if number % LANES == share:
                    write(batch)
                batch, number = [], number + 1
        if batch and number % LANES == share:
            write(batch)
    part.rename(script)
    return script
