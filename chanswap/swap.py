"""`Swap`: a set of channel replacements, as pairs or as one gather index."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from chanswap.writing import whole

FORMAT = "chanswap/swap"
VERSION = 1


class SwapError(ValueError):
    """A swap that cannot be: a channel out of range, one channel overwritten twice, a file that is no swap."""


@dataclass(frozen=True)
class Swap:
    """Pairs (redundant, effective): channel `redundant` is overwritten by channel `effective`. 0-based.

    All replacements read the ORIGINAL features, X'[:, c] = X[:, source[c]]: chains do not cascade, so the order of the
    pairs has no meaning and they are kept sorted. `channels` is the width C that the swap belongs to. Eq. 2 of
    arXiv 2504.08915. Raises SwapError for a pair out of range, a channel replaced by itself, or one overwritten twice.

    >>> Swap([(0, 2), (1, 0)], channels=3).source
    (2, 0, 2)
    """

    pairs: tuple[tuple[int, int], ...]
    channels: int

    def __init__(self, pairs: Iterable[tuple[int, int]] = (), *, channels: int):
        channels = _whole(channels, "channels")
        if channels < 1:
            raise SwapError(f"channels must be at least 1, got {channels}")
        checked: dict[int, int] = {}
        for pair in pairs:
            try:
                redundant, effective = pair
            except (TypeError, ValueError):
                raise SwapError(f"a pair is (redundant, effective), got {_brief(pair)}") from None
            redundant, effective = _whole(redundant, "a channel"), _whole(effective, "a channel")
            for channel in (redundant, effective):
                if not 0 <= channel < channels:
                    raise SwapError(f"pair {redundant}<-{effective}: channel {channel} is not in 0..{channels - 1}")
            if redundant == effective:
                raise SwapError(f"pair {redundant}<-{effective} replaces a channel by itself; leave it out")
            if checked.setdefault(redundant, effective) != effective:
                raise SwapError(f"channel {redundant} is overwritten twice, by {checked[redundant]} and by {effective}")
        object.__setattr__(self, "pairs", tuple(sorted(checked.items())))
        object.__setattr__(self, "channels", channels)

    @classmethod
    def from_source(cls, source: Iterable[int]) -> Swap:
        """The swap of a gather index: `source[c]` is the channel that is read for channel c."""
        source = [_whole(c, "a channel") for c in source]
        return cls([(c, s) for c, s in enumerate(source) if c != s], channels=len(source))

    @property
    def source(self) -> tuple[int, ...]:
        """The gather index of length C: which original channel each channel shows."""
        index = list(range(self.channels))
        for redundant, effective in self.pairs:
            index[redundant] = effective
        return tuple(index)

    def index(self, device=None):
        """The gather index as a tensor (C,) of int64 on `device`."""
        import torch

        return torch.tensor(self.source, dtype=torch.long, device=device)

    def __call__(self, features, axis: int = 1):
        """Swap the channels of a tensor along `axis`. A new tensor, the input is untouched; the empty swap copies nothing.

        Raises SwapError if the axis does not have `channels` entries.
        """
        if not -features.ndim <= axis < features.ndim:
            raise SwapError(f"channel axis {axis} does not exist in features of shape {tuple(features.shape)}")
        if features.shape[axis] != self.channels:
            raise SwapError(
                f"this swap is for {self.channels} channels, axis {axis} of {tuple(features.shape)} has {features.shape[axis]}"
            )
        return features.index_select(axis, self.index(features.device)) if self.pairs else features

    def __or__(self, other: Swap) -> Swap:
        """Both swaps at once, each reading the original. Raises SwapError where they overwrite one channel differently."""
        self._same_width(other)
        return Swap((*self.pairs, *other.pairs), channels=self.channels)

    def then(self, other: Swap) -> Swap:
        """The one swap that equals applying `self` and after it `other` (which reads what `self` left)."""
        self._same_width(other)
        return Swap.from_source(self.source[c] for c in other.source)

    def conflicts(self, other: Swap) -> bool:
        """True where the two cannot stand in one swap: they overwrite a channel differently."""
        self._same_width(other)
        mine = dict(self.pairs)
        return any(mine.get(r, e) != e for r, e in other.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __str__(self) -> str:
        return ", ".join(f"{r}<-{e}" for r, e in self.pairs) or "no pairs"

    def to_json(self, **about) -> str:
        """The swap as JSON text. `about` is free text or numbers kept beside it (model, site, data, gain)."""
        value = {"format": FORMAT, "version": VERSION, "channels": self.channels, "pairs": self.pairs}
        return json.dumps({**value, "about": about} if about else value) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Swap:
        """Read a swap back. Raises SwapError, in one line, for anything that is not a swap of a known version."""
        try:
            value = json.loads(text, object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            raise error if isinstance(error, SwapError) else SwapError(f"not JSON: {error}") from None
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise SwapError(f'not a swap: expected an object with "format": "{FORMAT}"')
        version = value.get("version")
        if type(version) is not int or version != VERSION:  # True and 1.0 are equal to 1
            raise SwapError(f"swap version {_brief(version)} is not known here (this is version {VERSION}); update chanswap")
        if unknown := value.keys() - {"format", "version", "channels", "pairs", "about"}:
            raise SwapError(f"unknown fields in a swap: {_brief(sorted(unknown))}")
        if not isinstance(value.get("pairs"), list) or "channels" not in value:
            raise SwapError('a swap needs "channels" and a list of "pairs"')
        return cls(value["pairs"], channels=value["channels"])

    def save(self, path: str | Path, **about) -> None:
        """Write `to_json` to a file, whole or not at all. Raises OSError, and an earlier file is then as it was."""
        with whole(path) as file:
            file.write(self.to_json(**about).encode())

    @classmethod
    def load(cls, path: str | Path) -> Swap:
        """Read a file that `save` wrote. Raises SwapError naming the file, OSError if it cannot be read."""
        try:
            return cls.from_json(Path(path).read_bytes())
        except SwapError as error:
            raise SwapError(f"{path}: {error}") from None

    def _same_width(self, other: Swap) -> None:
        if self.channels != other.channels:
            raise SwapError(f"swaps of different widths: {self.channels} and {other.channels} channels")


def _whole(value, what: str) -> int:
    """An int from an int-like (NumPy and torch integers included), never from a bool, a float or a string."""
    is_bool = isinstance(value, bool) or str(getattr(value, "dtype", "")) == "torch.bool"  # whose __index__ torch allows
    if is_bool or not hasattr(value, "__index__"):
        raise SwapError(f"{what} must be a whole number, got {_brief(value)}")
    try:
        return value.__index__()
    except TypeError:
        raise SwapError(f"{what} must be a whole number, got {_brief(value)}") from None


def _once(items: list[tuple[str, object]]) -> dict:
    """A JSON object whose keys all differ: of two "pairs" nobody could tell which is meant."""
    value = dict(items)
    if len(value) != len(items):
        raise SwapError("a field stands twice in one object")
    return value


def _brief(value) -> str:
    """A value in an error message: one line, cut where it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."
