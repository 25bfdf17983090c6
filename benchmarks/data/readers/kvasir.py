"""Kvasir-SEG: `Kvasir-SEG/{images,masks}/*.jpg`. No official split: a fifth is the test split, by the hash of the file's name."""

from __future__ import annotations

import hashlib
from pathlib import Path

from benchmarks.data.readers.pairs import Pairing, PairReader


def make(name: str, sizes: dict[str, int]) -> PairReader:
    return Kvasir(name, sizes)


def split_of(stem: str) -> str:
    """ "test" for a fifth of all stems, "train" for the others; it does not depend on which other files there are."""
    return "test" if int(hashlib.sha256(stem.encode()).hexdigest(), 16) % 5 == 0 else "train"


class Kvasir(PairReader):
    own_split = staticmethod(split_of)

    def folders(self, root: Path) -> list[Path]:
        return [root / "Kvasir-SEG" / part for part in ("images", "masks")]

    def extras(self, root: Path) -> list[Path]:
        return [*super().extras(root), root / "Kvasir-SEG" / "kavsir_bboxes.json"]  # the archive's own spelling

    def pairings(self, root: Path) -> list[Pairing]:
        return [Pairing(*self.folders(root), split_of)]
