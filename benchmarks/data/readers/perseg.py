"""PerSeg: `Images/OBJECT/NN.jpg` and `Annotations/OBJECT/NN.png`, below the archive's folder "data 3" or at the root.

Images 00 and 01 of each object are the training split, the others the test split.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.data.readers.base import is_note, walk
from benchmarks.data.readers.pairs import Pairing, PairReader, Scan

OBJECTS = 40
_TRAIN = (0, 1)


def make(name: str, sizes: dict[str, int]) -> PairReader:
    return PerSeg(name, sizes)


class PerSeg(PairReader):
    threshold = 0  # its masks are drawn in one colour on black; as in the authors' own evaluation, not black is the object

    def folders(self, root: Path) -> list[Path]:
        base = root / "data 3" if (root / "data 3").is_dir() else root
        return [base / "Images", base / "Annotations"]

    def needed(self, root: Path) -> list[Path]:
        return self.folders(root) + [f for p in self.pairings(root) for f in (p.images, p.masks) if f.parent.is_dir()]

    def pairings(self, root: Path) -> list[Pairing]:
        images, masks = self.folders(root)
        names = sorted({d.name for part in (images, masks) if part.is_dir() for d in part.iterdir() if d.is_dir()})
        return [Pairing(images / n, masks / n, _split, f"{n}/") for n in names]

    def scan(self, root: Path) -> Scan:
        scan = super().scan(root)
        scan.stray += [f for part in self.folders(root) for f in walk(part) if f.parent == part and not is_note(f)]
        return scan

    def structure(self, root: Path) -> list[str]:
        found = len(self.pairings(root))
        return super().structure(root) + (
            [] if found == OBJECTS else [f"perseg: {found} objects, the official set has {OBJECTS}"]
        )


def _split(stem: str) -> str:
    return "train" if stem.isdigit() and int(stem) in _TRAIN else "test"
