"""Reading a grid from a YAML file. Imports no torch."""

from __future__ import annotations

import difflib
from pathlib import Path

import yaml
from pydantic import ValidationError

from benchmarks.errors import UsageError
from benchmarks.grid import Axes, Grid


class _Loader(yaml.SafeLoader):
    """Plain YAML that refuses a key given twice: the first of them would be lost without a word."""


def _mapping(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict:
    seen: set = set()
    for key, _ in node.value:
        name = loader.construct_object(key, deep=True)
        if isinstance(name, str):
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{name} is given twice", key.start_mark)
            seen.add(name)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, lambda loader, node: _mapping(loader, node, deep=True))


def read(path: Path) -> Grid:
    """The grid of a file. Raises UsageError, one line that names the file and what is wrong in it."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        value = yaml.load(text, Loader=_Loader)  # a subclass of the safe loader
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name a YAML file, see docs/sweeps.md") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}:" if mark else ""
        raise UsageError(f"{path}:{where} {getattr(error, 'problem', None) or error}; mend the YAML") from None
    if not isinstance(value, dict):
        raise UsageError(f"{path}: expected keys such as tasks, methods and seeds; see docs/sweeps.md")
    return checked(value, str(path))


def checked(value: dict, where: str) -> Grid:
    """A grid of plain values. Raises UsageError for the first fault; an unknown key with the nearest ones."""
    try:
        return Grid.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        known = list((Axes if len(place) > 1 else Grid).model_fields)
        near = difflib.get_close_matches(place[-1].lower(), known, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}."
        raise UsageError(f"{where}: unknown key {'.'.join(place)!r}; {hint}")
    numbers = [part for part in place if not part.startswith(("constrained-", "function-"))]
    given = str(first.get("input"))[:60]
    raise UsageError(f"{where}: {'.'.join(numbers[:4])}: {first['msg'].lower()}, got {given!r}; see docs/sweeps.md")
