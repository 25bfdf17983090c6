"""CAMO, COD10K and CHAMELEON: `{train,test}/{Imgs,GT}`, or the bundle that SINet-V2 published.

The bundle: `TrainDataset` (or `TrainValDataset`)`/{Imgs,GT}`, in which file names tell COD10K from CAMO, and
`TestDataset/{CAMO,COD10K,CHAMELEON}/{Imgs,GT}`. CHAMELEON has no training part: its "train" split is that of `cod10k` and `camo`
beside its folder, whichever are there.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.data.readers.pairs import Pairing, PairReader

IMAGES, MASKS = "Imgs", "GT"
_PREFIX = {"camo": "camourflage_", "cod10k": "cod10k-cam"}  # the publishers' own spelling, in lower case
_TRAIN, _TEST = ("TrainDataset", "TrainValDataset"), "TestDataset"
_BUNDLE = (*_TRAIN, _TEST)
_TRAINERS = ("cod10k", "camo")


def make(name: str, sizes: dict[str, int]) -> PairReader:
    return Camouflage(name, sizes)


class Camouflage(PairReader):
    def absent(self, root: Path) -> list[str]:
        absent = super().absent(root)
        if self.name == "chameleon" and not _beside(root):
            absent.append(
                f"chameleon: its training images are those of cod10k and camo, and both are missing in {root.parent}; get one: `python -m benchmarks data fetch cod10k`, or `python -m benchmarks data add camo PATH`"
            )
        return absent

    def extras(self, root: Path) -> list[Path]:
        """The bundle has folders of other datasets and of other kinds of truth; a copy of it has its checksums beside."""
        bundle = [f for base in _bases(root) for top in _BUNDLE for f in (base / top, *(base / top).glob("*"))]
        bundle += [f for base in _bases(root) for f in (base / _TEST / self.name.upper()).glob("*")]
        own = {p for f in self.folders(root) for p in (f, *f.parents)}
        return [*super().extras(root), *root.glob("SHA256SUMS*"), *(f for f in bundle if f.is_dir() and f not in own)]

    def folders(self, root: Path) -> list[Path]:
        found = [f for p in self.pairings(root) for f in (p.images, p.masks)]
        return list(dict.fromkeys(found))

    def pairings(self, root: Path) -> list[Pairing]:
        if self.name == "chameleon":
            return [_test(self.name, root)] + [_train(n, root.parent / n, f"{n}/") for n in _beside(root)]
        return [_train(self.name, root, ""), _test(self.name, root)]

    def place(self) -> str:
        return f" in {MASKS}"


def _beside(root: Path) -> list[str]:
    found = {n: _train(n, root.parent / n, "") for n in _TRAINERS}
    return [n for n, p in found.items() if p.images.is_dir() or p.masks.is_dir()]


def _bases(root: Path) -> tuple[Path, Path]:
    """Where the bundle's folders may lie."""
    return root, root / "Dataset"


def _bundle(root: Path, *folders: str) -> Path | None:
    found = [base / f for base in _bases(root) for f in folders]
    return next((f for f in found if f.is_dir()), None)


def _train(name: str, root: Path, prefix: str) -> Pairing:
    bundle = None if (root / "train").is_dir() else _bundle(root, *_TRAIN)
    if bundle:
        start = _PREFIX[name]
        return Pairing(bundle / IMAGES, bundle / MASKS, lambda s: "train" if s.lower().startswith(start) else None, prefix)
    return Pairing(root / "train" / IMAGES, root / "train" / MASKS, lambda s: "train", prefix)


def _test(name: str, root: Path) -> Pairing:
    bundle = None if (root / "test").is_dir() else _bundle(root, f"{_TEST}/{name.upper()}")
    folder = bundle or root / "test"
    return Pairing(folder / IMAGES, folder / MASKS, lambda s: "test")
