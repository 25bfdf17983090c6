"""Names and what they stand for: tasks, datasets, backbones, methods, protocols. Nothing here imports torch."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from benchmarks.errors import UsageError

T = TypeVar("T")


class Registry(Generic[T]):
    """Entries by name, in the order they were added. A value given as "module:attribute" is imported when first asked for."""

    def __init__(self, kind: str):
        self.kind = kind
        self._entries: dict[str, T | str] = {}

    def add(self, name: str, entry: T | str) -> None:
        """Raises ValueError where the name is taken: two entries of one name would make a record ambiguous."""
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry

    def get(self, name: str) -> T:
        """The entry, or UsageError with the nearest names."""
        if name not in self._entries:
            near = difflib.get_close_matches(name.lower(), self._entries, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(self._entries)}."
            raise UsageError(f"unknown {self.kind} {name!r}; {hint} See: python -m benchmarks list")
        entry = self._entries[name]
        if isinstance(entry, str):
            module, attribute = entry.split(":")
            entry = self._entries[name] = getattr(importlib.import_module(module), attribute)
        return entry

    @contextmanager
    def temporarily(self, name: str, entry: T | str) -> Iterator[None]:
        """An entry, new or in place of another, inside a `with` block: for trials. After it the registry is as it was."""
        before = dict(self._entries)
        self._entries[name] = entry
        try:
            yield
        finally:
            self._entries = before

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def items(self) -> Iterator[tuple[str, T]]:
        return ((name, self.get(name)) for name in self._entries)
