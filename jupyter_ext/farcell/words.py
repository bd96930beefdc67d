"""The words of a magic's line, and their parsers; what is wrong with them is a UsageError."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Sequence
from typing import Any

from IPython.core.error import UsageError


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise UsageError(f"{self.prog}: {message}")


def parse(
    command: str, words: list[str], *, target: bool = False, names: bool = False, lines: bool = False, fetch: bool = False
) -> argparse.Namespace:
    parser = Parser(prog=f"%remote {command}", add_help=False)
    if target:
        parser.add_argument("target", nargs="?")
    if names:
        parser.add_argument("names", nargs="+")
        parser.add_argument("--target")
    if lines:
        parser.add_argument("--lines", type=int)
    if fetch:
        parser.add_argument("--fetch", action=argparse.BooleanOptionalAction)
    return parser.parse_args(words)


def split_words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"%remote {line}: {error}.") from None


def parse_copy(command: str, words: list[str]) -> argparse.Namespace:
    parser = Parser(prog=f"%remote {command}", add_help=False)
    parser.add_argument("path")
    parser.add_argument("place", nargs="?")
    parser.add_argument("-t", "--target")
    parser.add_argument("--exclude", action="append", default=[], metavar="GLOB")
    parser.add_argument("--overwrite", action="store_true")
    if command == "put":
        parser.add_argument("--yes", action="store_true")
    return parser.parse_intermixed_args(words)


def split_names(values: Sequence[str]) -> list[str]:
    """`["a,b", "c"]` -> names; UsageError for what cannot be one."""
    names = [name for value in values for name in re.split(r"[,\s]+", value) if name]
    for name in names:
        if not name.isidentifier():
            raise UsageError(f"{name!r} is not a variable name. Give names separated by commas, without spaces.")
    return names
