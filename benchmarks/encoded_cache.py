"""Features of many images on disk: of each the site, which a search reads, and what else the decoder reads beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from chanswap import CacheError, FeatureCache

Parts = tuple[Tensor, tuple[Tensor, ...]]  # site (C, ...), rest


class EncodedCache(Sequence):
    """(site, rest) of each image: views of a `FeatureCache`, which keeps an image's parts one after the other."""

    def __init__(self, path: Path):
        """Raises FileNotFoundError, CacheError for a damaged file."""
        self._cache = FeatureCache(path)
        shapes = self._cache.about.get("shapes")
        if not (isinstance(shapes, list) and shapes and all(map(_shape, shapes))):
            raise CacheError(f"{path}: it does not say the shapes of its parts")
        if sum(map(math.prod, shapes)) != self._cache.shape.numel():
            raise CacheError(f"{path}: its parts do not fill its features")
        self._shapes = [tuple(shape) for shape in shapes]

    @property
    def ids(self) -> list[str]:
        return self._cache.ids

    @property
    def key(self) -> str:
        """What they were made of, as the writer named it."""
        return self._cache.about.get("key", "")

    def __len__(self) -> int:
        return len(self._cache)

    def __getitem__(self, k: int) -> Parts:
        parts = self._cache[k].split([math.prod(shape) for shape in self._shapes])
        site, *rest = (part.view(shape) for part, shape in zip(parts, self._shapes))
        return site, tuple(rest)

    @property
    def sites(self) -> Sequence[Tensor]:
        return _Sites(self)

    @classmethod
    def write(cls, path: Path, features: Iterable[tuple[str, Parts]], key: str = "") -> EncodedCache:
        """Write (id, (site, rest)) items, one at a time in memory; `key` says of what they were made. Raises as
        `FeatureCache.write` does."""
        shapes: list[list[int]] = []

        def flat() -> Iterator[tuple[str, Tensor]]:
            for name, (site, rest) in features:
                shapes[:] = [list(part.shape) for part in (site, *rest)]
                yield name, torch.cat([part.flatten() for part in (site, *rest)])

        FeatureCache.write(path, flat(), shapes=shapes, key=key)  # written after the features, when the list is filled
        return cls(path)


class _Sites(Sequence):
    def __init__(self, cache: EncodedCache):
        self._cache = cache

    def __len__(self) -> int:
        return len(self._cache)

    def __getitem__(self, k: int) -> Tensor:
        return self._cache[k][0]


def _shape(value: object) -> bool:
    return isinstance(value, list) and all(type(n) is int and n >= 1 for n in value)
