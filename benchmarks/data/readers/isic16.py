"""ISIC 2016 task 1: `ISBI2016_ISIC_Part1_{Training,Test}_Data/*.jpg`, `..._GroundTruth/*_Segmentation.png`."""

from __future__ import annotations

from pathlib import Path

from benchmarks.data.readers.pairs import Pairing, PairReader

FOLDER = "ISBI2016_ISIC_Part1_{}_{}"
PARTS = {"train": "Training", "test": "Test"}
ENDING = "_Segmentation"


def make(name: str, sizes: dict[str, int]) -> PairReader:
    return Isic16(name, sizes)


class Isic16(PairReader):
    def folders(self, root: Path) -> list[Path]:
        return [root / FOLDER.format(part, kind) for part in PARTS.values() for kind in ("Data", "GroundTruth")]

    def pairings(self, root: Path) -> list[Pairing]:
        return [
            Pairing(
                root / FOLDER.format(part, "Data"), root / FOLDER.format(part, "GroundTruth"), lambda _, s=split: s, ending=ENDING
            )
            for split, part in PARTS.items()
        ]
