"""BUSI: `Dataset_BUSI_with_GT/{benign,malignant,normal}/X (n).png`, `X (n)_mask.png`, and `X (n)_mask_1.png` where there are more.

The masks of one image are united. Normal images, and any whose masks are all empty, are left out. Split as Kvasir-SEG's.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from benchmarks.data import decode
from benchmarks.data.readers.kvasir import split_of
from benchmarks.data.readers.pairs import Pairing, PairReader, Scan
from benchmarks.errors import MissingData

FOLDER = "Dataset_BUSI_with_GT"
KINDS = ("benign", "malignant")
_MASK = re.compile(r"(.+)_mask(_\d+)?$")


def make(name: str, sizes: dict[str, int]) -> PairReader:
    return Busi(name, sizes)


class Busi(PairReader):
    own_split = staticmethod(split_of)
    keeps_empty = False

    def folders(self, root: Path) -> list[Path]:
        return [root / FOLDER / kind for kind in KINDS]

    def extras(self, root: Path) -> list[Path]:
        return [*super().extras(root), root / FOLDER / "normal"]

    def pairings(self, root: Path) -> list[Pairing]:
        return []

    def scan(self, root: Path) -> Scan:
        """The masks are decoded, once a process, to leave out empty ones."""
        scan = super().scan(root)
        for folder in self.folders(root):
            files = scan.by_stem(folder)
            masks: dict[str, list[Path]] = {}
            for stem, file in files.items():
                if match := _MASK.match(stem):
                    masks.setdefault(match[1], []).append(file)
            for stem, file in files.items():
                if _MASK.match(stem):
                    continue
                split, own = split_of(stem), tuple(masks.pop(stem, ()))
                if not own:
                    scan.unmasked[split][folder / f"{stem}_mask"] = file
                elif any(_filled(m, m.stat().st_mtime_ns, m.stat().st_size) for m in own):
                    scan.items[split][f"{split}/{stem}"] = file, own
            for stem, rest in masks.items():
                scan.imageless[folder / stem], *more = rest
                scan.lone += more
        return scan


@lru_cache(maxsize=4096)
def _filled(path: Path, changed: int, size: int) -> bool:
    """Whether a mask shows anything. One that cannot be read is not left out: whoever reads its sample is told."""
    try:
        return bool(decode.mask(path).any())
    except MissingData:
        return True
