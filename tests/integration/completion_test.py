#!/usr/bin/python3
"""`sluice completion`: what a real bash offers, and that the other shells know every command."""

import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from kit import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import

SLUICE = os.environ["SLUICE_BIN"]


def printed(shell, code=0):
    done = subprocess.run([SLUICE, "completion", shell], capture_output=True, text=True, timeout=60, check=False)
    check_equal(done.returncode, code, done.stderr)
    return done


def completed(line, folder="."):
    """What a real bash offers at the end of the line."""
    words = line.split(" ")
    script = (f'source <("{SLUICE}" completion bash)\nCOMP_WORDS=({" ".join(map(repr, words))})\n'
              f'COMP_CWORD={len(words) - 1}\n_sluice\nprintf "%s\\n" "${{COMPREPLY[@]}}"\n')
    done = subprocess.run(["bash", "--norc", "-euo", "pipefail", "-c", script], capture_output=True, text=True,
                          timeout=60, cwd=folder, check=False)
    check_equal(done.stderr, "", f"errors of bash for {line}")
    return done.stdout.split("\n")[:-1]


@test
def bash_completes_commands_options_and_files():
    check_equal(completed("sluice re"), ["rehearse"])
    check("run" in completed("sluice ") and "import" in completed("sluice "), "all commands")
    check_equal(completed("sluice dead-letters re"), ["replay"])
    check_equal(completed("sluice run --unt"), ["--until-end"])
    check_equal(completed("sluice task pa"), ["pause"])
    check_equal(completed("sluice connection browse --sch"), ["--schema"])
    check_equal(completed("sluice dead-letters purge --al"), ["--all"])
    check_equal(completed("sluice completion z"), ["zsh"])
    check_equal(completed("sluice rehearse --until"), [""])
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "or ders.yaml").touch()
        check_equal(completed("sluice run or", folder), ["or ders.yaml"])
        check_equal(completed("sluice import x --output or", folder), ["or ders.yaml"])
        check_equal(completed("sluice task create or", folder), ["or ders.yaml"])
        check_equal(completed("sluice task show or", folder), [""])


@test
def the_other_shells_have_every_command():
    commands = [line for line in completed("sluice ") if not line.startswith("-")]
    for shell in ("zsh", "fish"):
        script = printed(shell).stdout
        for command in commands:
            check(command in script, f"{command} in {shell}")
        check("until-end" in script, shell)
    check("tcsh" in printed("tcsh", code=2).stderr, "an unknown shell is named")


if __name__ == "__main__":
    main()
