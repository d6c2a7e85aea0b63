"""The contract between ./test and the Python programs of tests/: which tests there are, and how one is reported.

A program decorates functions with @test and ends with main(). It prints one line a test, `ok NAME` or `FAIL NAME: why`,
and last `N passed, N failed`; it exits 1 if one failed. Arguments: -k TEXT (only names that contain it), --seed N.
Nothing outside the standard library is imported here: the lint tier runs where no client of Kafka is installed.
"""

import argparse
import random
import sys
import time
import traceback
from typing import Callable, List, NoReturn, Tuple

_tests: List[Tuple[str, Callable[[], None]]] = []
_seed = 0


class Failure(AssertionError):
    """A test found something wrong; the text says what, and needs no stack trace."""


def test(function=None, *, name: str = ""):
    """Registers a function without parameters; its name, with - for _, is the test's unless one is given."""

    def register(body: Callable[[], None]) -> Callable[[], None]:
        add(name or body.__name__.replace("_", "-"), body)
        return body

    return register(function) if function else register


def add(name: str, body: Callable[[], None]) -> None:
    """Registers a test that is made at run time, such as one for each file of a folder."""
    if any(name == other for other, _ in _tests):
        raise ValueError(f"two tests are named {name}")
    _tests.append((name, body))


def rng(salt: str = "") -> random.Random:
    """Random numbers that --seed repeats; another salt gives another sequence."""
    return random.Random(f"{_seed}/{salt}")


def seed() -> int:
    return _seed


def _run(name: str, body: Callable[[], None]) -> bool:
    started = time.monotonic()
    try:
        body()
    except Failure as failure:
        print(f"FAIL {name}: {failure}", flush=True)
        return False
    except Exception as error:  # pylint: disable=broad-except
        where = traceback.extract_tb(error.__traceback__)[-1]
        print(f"FAIL {name}: {type(error).__name__}: {error} ({where.filename.rsplit('/', 1)[-1]}:{where.lineno})")
        traceback.print_exc()
        sys.stderr.flush()
        sys.stdout.flush()
        return False
    took = time.monotonic() - started
    print(f"ok {name}" + (f" ({took:.1f} s)" if took >= 1 else ""), flush=True)
    return True


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(sys.modules["__main__"].__doc__ or "").split("\n", 1)[0])
    parser.add_argument("-k", metavar="TEXT", default="", help="only tests whose name contains TEXT")
    parser.add_argument("--seed", type=int, help="repeat the random choices of an earlier run")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    return parser.parse_args()


def selected(name: str) -> bool:
    """Whether -k lets this name through, for programs that prepare work for many tests at once."""
    return _arguments().k in name


def main() -> NoReturn:
    """Runs what -k selects, in the order of registration, and ends the program."""
    global _seed
    arguments = _arguments()
    chosen = [(name, body) for name, body in _tests if arguments.k in name]
    if arguments.list:
        print("\n".join(name for name, _ in chosen))
        sys.exit(0)
    _seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 31)
    failed = 0
    for name, body in chosen:
        failed += not _run(name, body)
    if failed and arguments.seed is None:
        print(f"repeat with --seed {_seed}")
    print(f"{len(chosen) - failed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed else 0)
