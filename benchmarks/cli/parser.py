"""The parser of the command line: its errors are a line each, with the nearest name that exists and where help is."""

from __future__ import annotations

import argparse
import difflib
import re
import sys

from benchmarks.errors import UsageError
from benchmarks.plain import printable

_CHOICE = re.compile(r"^argument (.+): invalid choice: '(.*)' \(choose from (.*)\)$", re.S)


class Parser(argparse.ArgumentParser):
    """argparse prints the whole usage before an error, twenty lines for `run`; here what is wrong is all that is said.

    The parsers of subcommands are of this class too, as argparse makes them of their parent's.
    """

    def parse_known_args(self, args=None, namespace=None):
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:  # said here, by the parser of the subcommand, which alone knows what may stand after it
            self.error(f"there is no argument {' '.join(unknown)}{self._near(unknown[0])}")
        return namespace, unknown

    def error(self, message: str):
        """Ends the process with the exit code of a UsageError."""
        if choice := _CHOICE.match(message):
            argument, given, known = choice.groups()
            names = known.replace("'", "").split(", ")
            what = (
                f"{argument} cannot be" if argument.startswith("-") else "unknown command" if argument == "COMMAND" else "unknown"
            )
            message = f"{what} {given!r}{_meant(given, names) or '; choose from: ' + ', '.join(names)}"
        else:
            message = message.replace("the following arguments are required: ", "missing: ")
        print(printable(f"error: {message}{'' if message.endswith('?') else '.'} See: {self.prog} --help"), file=sys.stderr)
        raise SystemExit(UsageError.exit_code)

    def _near(self, given: str) -> str:
        flags = [flag for action in self._actions for flag in action.option_strings if flag.startswith("--")]
        return _meant(given.split("=")[0], flags) if given.startswith("-") else ""


def _meant(given: str, names: list[str]) -> str:
    near = difflib.get_close_matches(given.lower(), names, n=2)
    return f"; did you mean {' or '.join(near)}?" if near else ""
