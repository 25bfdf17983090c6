"""Methods from outside the suite: a class in a file, `path/to/file.py:MyMethod`, or an entry point of an installed package."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from benchmarks.errors import UsageError
from benchmarks.files import RESERVED
from benchmarks.methods import Method
from benchmarks.registry import Registry

GROUP = "chanswap.methods"  # of entry points: `ssf = "my_package.ssf:Ssf"` under [project.entry-points."chanswap.methods"]
NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,39}")  # goes into file names, commands and tables


@dataclass(frozen=True)
class Origin:
    """Where a method from outside came from. `place` finds it again on this machine, `shown` is what a record may tell of it
    (no folder of the user's), `sha256` is of the file, or of all Python files of the package."""

    place: str
    shown: str
    sha256: str


class Methods(Registry[type[Method]]):
    """The methods by name: the suite's own, those of installed packages, and those of files, known once they are asked for."""

    def __init__(self):
        super().__init__("method")
        self._origins: dict[str, Origin] = {}

    def get(self, name: str) -> type[Method]:
        """The class. `name` is a name or FILE.py:CLASS. Raises UsageError where there is none, or it is no method."""
        path, colon, attribute = name.rpartition(":")
        if colon and path.endswith(".py"):
            return self._from_file(Path(path), attribute)
        if name.endswith(".py"):
            raise UsageError(f"name the class too: {name}:MyMethod")
        if name not in self._entries and name in self._installed:
            return self._from_package(self._installed[name])
        if colon and name not in self._entries:
            raise UsageError(f"{path} is no Python file; write --method path/to/file.py:MyMethod")
        return super().get(name)

    def origin(self, name: str) -> Origin | None:
        """Where a method came from; None for the suite's own."""
        return self._origins.get(name)

    def __contains__(self, name: str) -> bool:
        return super().__contains__(name) or name in self._installed

    def __iter__(self) -> Iterator[str]:
        yield from self._entries
        yield from (name for name in self._installed if name not in self._entries)

    @cached_property
    def _installed(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=GROUP)}

    def _from_file(self, path: Path, attribute: str) -> type[Method]:
        path = path.expanduser().resolve()
        try:
            source = path.read_bytes()
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}; write --method path/to/file.py:MyMethod") from None
        digest = hashlib.sha256(source).hexdigest()
        module = f"chanswap_outside_{digest[:16]}"
        if module not in sys.modules:
            spec = importlib.util.spec_from_file_location(module, path)
            sys.modules[module] = loaded = importlib.util.module_from_spec(spec)
            try:
                spec.loader.exec_module(loaded)
            except BaseException as error:
                del sys.modules[module]
                if isinstance(error, Exception):
                    raise UsageError(f"{path.name} does not import: {_brief(error)}; mend the file") from error
                raise
        found = getattr(sys.modules[module], attribute, None)
        if found is None:
            there = [n for n, c in vars(sys.modules[module]).items() if _is_method(c) and c is not Method]
            raise UsageError(f"{path.name} has no {attribute!r}; its methods are: {', '.join(there) or 'none'}")
        return self._admit(found, Origin(f"{path}:{attribute}", f"{_near(path)}:{attribute}", digest))

    def _from_package(self, point: EntryPoint) -> type[Method]:
        try:
            found = point.load()
            digest = _digest_of_package(found)
        except Exception as error:
            raise UsageError(
                f"method {point.name} of {point.value} does not import: {_brief(error)}; mend or uninstall the package"
            ) from error
        if getattr(found, "name", None) != point.name:
            named = getattr(found, "name", None)
            raise UsageError(f"the entry point {point.name} is a method named {named!r}; give both one name")
        return self._admit(found, Origin(point.name, point.value, digest))

    def _admit(self, method: type, origin: Origin) -> type[Method]:
        if not _is_method(method):
            raise UsageError(f"{origin.shown} is not a subclass of benchmarks.methods.Method; make it one")
        name = getattr(method, "name", None)
        if not isinstance(name, str) or not NAME.fullmatch(name) or RESERVED.match(name):
            raise UsageError(
                f'{origin.shown} needs a name of small letters, digits and dashes, such as name = "ssf"; has {name!r}'
            )
        if name in self._entries and name not in self._origins:
            raise UsageError(f"{origin.shown} is named {name!r} as one of the suite's own methods is; give it another name")
        known = self._origins.get(name)
        if known and known.place != origin.place:
            raise UsageError(f"{known.shown} and {origin.shown} are both named {name!r}; give one of them another name")
        self._entries[name], self._origins[name] = method, origin
        return method


def _digest_of_package(method: type) -> str:
    """Of every Python file of the package that a class is in: its layers may be in another file than the class."""
    top = sys.modules[method.__module__.partition(".")[0]]
    files = [file for folder in getattr(top, "__path__", []) for file in sorted(Path(folder).rglob("*.py"))]
    total = hashlib.sha256()
    for file in files or [Path(inspect.getsourcefile(method))]:
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def _is_method(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, Method)


def _near(path: Path) -> str:
    """Relative to the working folder where the file is below it, else its name alone: a record names no user's folder."""
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.name


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
