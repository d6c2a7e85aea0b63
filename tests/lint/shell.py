#!/usr/bin/python3
"""shellcheck has nothing to say about any shell script; every script can be executed; Python files compile."""

import ast
import os
import subprocess

import lint
from registry import Failure, main, test  # found through lint


def scripts():
    found = []
    for file in lint.own_files():
        with open(file, "rb") as stream:
            first = stream.readline(100)
        if first.startswith((b"#!/usr/bin/env bash", b"#!/bin/bash", b"#!/bin/sh", b"# shellcheck shell=")):
            found.append(file)
    return found


@test
def shell_scripts_pass_shellcheck():
    files = scripts()
    if len(files) < 5:
        raise Failure(f"only {len(files)} scripts found")
    done = subprocess.run(["shellcheck", "-x", "-f", "gcc", *[lint.shown(file) for file in files]], cwd=lint.root,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise Failure(done.stdout.strip().replace("\n", "; ")[:2000])


@test
def shell_scripts_can_be_executed():
    bad = [lint.shown(file) for file in lint.own_files()
           if file.read_bytes()[:2] == b"#!" and not os.access(file, os.X_OK)]
    if bad:
        raise Failure(f"chmod +x {' '.join(bad)}")


@test
def shell_python_files_compile():
    for file in lint.own_files():
        if file.suffix == ".py" or file.read_bytes()[:17] == b"#!/usr/bin/python":
            try:
                ast.parse(file.read_text(encoding="utf-8"), str(file))
            except SyntaxError as error:
                raise Failure(f"{lint.shown(file)}:{error.lineno}: {error.msg}") from None


main()
