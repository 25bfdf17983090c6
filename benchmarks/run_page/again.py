"""The commands that do a run again and set others beside it."""

from __future__ import annotations

import shlex

from benchmarks.board.commands import commands
from benchmarks.catalog import SWAP
from benchmarks.records import Record


def again(record: Record) -> tuple[str, ...]:
    """The record's own command, as a reader may paste it."""
    return tuple(commands([record]))


def others(record: Record) -> tuple[str, ...]:
    """The same call for the protocol's other seeds, for base, and for the method with a swap; none where the command is not ours."""
    (line,) = again(record)
    words = shlex.split(line, comments=True)  # a command that is not ours is a comment
    if words[3:4] != ["run"]:
        return ()
    methods = dict.fromkeys(("base", f"{record.spec.method.removesuffix(SWAP)}{SWAP}"))
    lines = [altered(words, "--seeds", "all"), *(altered(words, "--method", m) for m in methods if m != record.spec.method)]
    return tuple(lines)


def altered(words: list[str], option: str, value: str) -> str:
    """A command with another value of one of its options, which is added where it has none."""
    words = list(words)
    if option in words[:-1]:
        words[words.index(option) + 1] = value
    else:
        words += [option, value]
    return shlex.join(words)
