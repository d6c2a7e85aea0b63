"""What the programs of the lint tier share: which files are the project's own, and the contract of tests/kit."""

import pathlib
import subprocess
import sys
from typing import List

root = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(root / "tests" / "kit"))


def own_files() -> List[pathlib.Path]:
    """Every file that git tracks, or would track: new ones are checked before they are committed."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root, check=True,
                            stdout=subprocess.PIPE).stdout.decode().split("\0")
    return [root / name for name in sorted(set(listed)) if name and (root / name).is_file()]


def sources() -> List[pathlib.Path]:
    """The C++ files of src/."""
    return [file for file in own_files() if file.suffix in (".h", ".cc") and root / "src" in file.parents]


def shown(file: pathlib.Path) -> str:
    return str(file.relative_to(root))
