"""The commands of records, as a reader may paste them into a shell."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from functools import lru_cache

from benchmarks.board.text import plain
from benchmarks.records import Record

_PLAIN = re.compile(r"[\w@%+=:,./ -]+", re.ASCII)  # letters that mean nothing to a shell, and blanks
_SEED = re.compile("[0-9]{1,18}")  # of thousands of digits Python makes no number


@lru_cache(maxsize=1 << 17)  # a command is on its page and behind its row
def _words(command: str) -> tuple[str, ...]:
    """What a shell would make of a command; nothing of one whose quotation does not end."""
    if _PLAIN.fullmatch(command):  # as most are, and shlex reads letter by letter
        return tuple(command.split())
    try:
        return tuple(shlex.split(command))
    except ValueError:
        return ()


def commands(records: list[Record]) -> list[str]:
    """The records' commands, each once, those that differ by the seed as one. Readers paste them into a shell, and anyone may
    send a record: only calls of this program are shown, quoted anew so that nothing in them is more than an argument."""
    shown, seeds = set(), defaultdict(set)
    for record in records:
        words = _words(record.command)
        ours = words[:3] == ("python", "-m", "benchmarks") and "`" not in record.command and record.command.isprintable()
        if not ours:
            shown.add(plain(f"# {record.spec.method}, seed {record.spec.seed}: not a command of ours"))
        elif "--seeds" in words[:-1] and _SEED.fullmatch(words[(place := words.index("--seeds") + 1)]):
            seeds[(*words[:place], *words[place + 1 :]), place].add(int(words[place]))
        else:
            shown.add(shlex.join(words))
    for (words, place), numbers in seeds.items():
        shown.add(shlex.join([*words[:place], ",".join(map(str, sorted(numbers))), *words[place:]]))
    return sorted(shown)
