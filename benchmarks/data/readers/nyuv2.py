"""NYU Depth v2, labelled part: `nyu_depth_v2_labeled.mat` with `splits.mat`, or unpacked `{train,test}/{rgb,depth}/NNNN.png`.

Depth is in metres, float32, 0 where unknown; unpacked it is a 16-bit PNG of millimetres. The .mat file is HDF5, read by h5py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.data import decode
from benchmarks.data.readers.base import SPLITS, Reader
from benchmarks.data.samples import DepthSample
from benchmarks.errors import MissingData, some

DATA, LISTS = "nyu_depth_v2_labeled.mat", "splits.mat"
_NAMES = {"train": "trainNdxs", "test": "testNdxs"}


def make(name: str, sizes: dict[str, int]) -> Reader:
    return NyuV2(name, sizes)


class NyuV2(Reader):
    def lacking(self, root: Path) -> str | None:
        if not (root / DATA).is_file() and (root / "train").is_dir():
            gone = [f for s in SPLITS for f in self._folders(root, s) if not f.is_dir()]
            return self.missing(gone[0]) if gone else None
        for file in (DATA, LISTS):
            if not (root / file).is_file():
                return self.missing(root / file)
        try:
            import h5py  # noqa: F401
        except ImportError:
            return f"nyuv2: {DATA} is an HDF5 file, and h5py is not installed: pip install h5py"
        return None

    def parts(self, root: Path) -> list[Path]:
        if (root / DATA).is_file():
            return [root / DATA, root / LISTS]
        return [f for s in SPLITS for f in self._folders(root, s)]

    def ids(self, root: Path, split: str) -> list[str]:
        if reason := self.lacking(root):
            raise MissingData(reason)
        if (root / DATA).is_file():
            return [f"{split}/{k:04d}" for k in self._numbers(root, split)]
        images, depths = ({f.stem for f in folder.glob("*.png")} for folder in self._folders(root, split))
        if alone := sorted(images - depths):
            raise MissingData(f"{len(alone)} images of nyuv2/{split} have no depth: {some(alone, 10)}; {self.remedy()}")
        return [f"{split}/{stem}" for stem in sorted(images)]

    def sample(self, root: Path, split: str):
        def from_mat(name: str) -> DepthSample:
            import h5py

            k = int(name.rpartition("/")[2]) - 1  # MATLAB counts from 1
            try:
                with h5py.File(root / DATA, "r") as file:  # MATLAB stores columns first: (n, 3, W, H) and (n, W, H)
                    image, depth = np.asarray(file["images"][k]).transpose(2, 1, 0), np.asarray(file["depths"][k]).T
            except (OSError, KeyError, IndexError, ValueError) as error:
                raise MissingData(f"{root / DATA} cannot be read ({error}); {self.remedy()}") from None
            return DepthSample(name, np.ascontiguousarray(image), np.ascontiguousarray(depth, np.float32))

        def from_files(name: str) -> DepthSample:
            stem = name.removeprefix(f"{split}/")
            images, depths = self._folders(root, split)
            image, depth = decode.image(images / f"{stem}.png"), decode.depth(depths / f"{stem}.png")
            if depth.shape != image.shape[:2]:
                raise MissingData(
                    f"{depths / stem}.png: depth of {depth.shape[::-1]} for an image of {image.shape[1::-1]} pixels"
                )
            return DepthSample(name, image, depth)

        return from_mat if (root / DATA).is_file() else from_files

    def structure(self, root: Path) -> list[str]:
        if (root / DATA).is_file():
            return []
        faults = []
        for split in SPLITS:
            images, depths = ({f.stem for f in folder.glob("*.png")} for folder in self._folders(root, split))
            faults += [f"{split}/rgb/{s}.png: image without depth" for s in sorted(images - depths)]
            faults += [f"{split}/depth/{s}.png: depth without image" for s in sorted(depths - images)]
        return faults

    def _folders(self, root: Path, split: str) -> list[Path]:
        return [root / split / part for part in ("rgb", "depth")]

    def _numbers(self, root: Path, split: str) -> list[int]:
        from scipy.io import loadmat

        try:
            return sorted(int(k) for k in loadmat(root / LISTS)[_NAMES[split]].ravel())
        except Exception as error:  # scipy raises half a dozen kinds on a damaged file
            raise MissingData(f"{root / LISTS} cannot be read ({error}); {self.remedy()}") from None
