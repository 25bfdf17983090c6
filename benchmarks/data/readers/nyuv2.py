"""NYU Depth v2, labelled part: `nyu_depth_v2_labeled.mat` with `splits.mat`, or unpacked `{train,test}/{rgb,depth}/NNNN.png`.

Depth is in metres, float32, 0 where unknown; unpacked it is a 16-bit PNG of millimetres. The .mat file is HDF5, read by h5py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.data import decode
from benchmarks.data.readers import matlab
from benchmarks.data.readers.base import SPLITS, Reader, is_note, unreadable, walk
from benchmarks.data.samples import DepthSample
from benchmarks.errors import MissingData, some

DATA, LISTS = "nyu_depth_v2_labeled.mat", "splits.mat"
_NAMES = {"train": "trainNdxs", "test": "testNdxs"}


def make(name: str, sizes: dict[str, int]) -> Reader:
    return NyuV2(name, sizes)


class NyuV2(Reader):
    def needed(self, root: Path) -> list[Path]:
        if not (root / DATA).is_file() and any((root / s).is_dir() for s in SPLITS):
            return [f for s in SPLITS for f in self._folders(root, s)]
        return [root / DATA, root / LISTS]

    def absent(self, root: Path) -> list[str]:
        absent = super().absent(root)
        if (root / DATA).is_file():
            try:
                import h5py  # noqa: F401
            except ImportError:
                absent.append(f"nyuv2: {DATA} is an HDF5 file, and h5py is not installed: pip install h5py")
        return absent

    def parts(self, root: Path) -> list[Path]:
        return self.needed(root)

    def ids(self, root: Path, split: str) -> list[str]:
        if reason := self.lacking(root):
            raise MissingData(reason)
        if (root / DATA).is_file():
            return [f"{split}/{k:04d}" for k in self._numbers(root, split)]
        images, depths = self._stems(root, split)
        if alone := sorted(images - depths):
            raise MissingData(f"{len(alone)} images of nyuv2/{split} have no depth: {some(alone, 10)}; {self.remedy()}")
        return [f"{split}/{stem}" for stem in sorted(images)]

    def present(self, root: Path, split: str) -> list[str]:
        if not (root / DATA).is_file():
            images, depths = self._stems(root, split)
            return [f"{split}/{stem}" for stem in sorted(images & depths)]
        try:
            return self.ids(root, split)
        except MissingData:
            return []

    def sample(self, root: Path, split: str):
        def from_mat(name: str) -> DepthSample:
            import h5py

            k = int(name.rpartition("/")[2]) - 1  # MATLAB counts from 1
            try:
                with h5py.File(root / DATA, "r") as file:  # MATLAB stores columns first: (n, 3, W, H) and (n, W, H)
                    images, depths = file["images"], file["depths"]
                    if wrong := _wrong(images, depths):
                        raise ValueError(wrong)
                    image, depth = np.asarray(images[k]).transpose(2, 1, 0), np.asarray(depths[k]).T
            except Exception as error:  # h5py raises half a dozen kinds on a damaged file
                raise MissingData(f"{root / DATA} cannot be read ({_brief(error)}); {self.remedy()}") from None
            return DepthSample(name, np.ascontiguousarray(image), np.ascontiguousarray(depth, np.float32))

        def from_files(name: str) -> DepthSample:
            stem = name.removeprefix(f"{split}/")
            images, depths = self._folders(root, split)
            image, depth = decode.image(images / f"{stem}.png"), decode.depth(depths / f"{stem}.png")
            if depth.shape != image.shape[:2]:
                raise MissingData(
                    f"{depths / stem}.png: depth of {depth.shape[::-1]} for an image of {image.shape[1::-1]} pixels, "
                    f"{images / stem}.png; replace one of them"
                )
            return DepthSample(name, image, depth)

        return from_mat if (root / DATA).is_file() else from_files

    def causes(self, root: Path, split: str):
        if (root / DATA).is_file():
            return super().causes(root, split)
        return lambda name: unreadable(f / f"{name.removeprefix(f'{split}/')}.png" for f in self._folders(root, split))

    def extras(self, root: Path) -> list[Path]:
        return [*super().extras(root), root / LISTS]  # what the unpacked folders were made with

    def structure(self, root: Path) -> list[str]:
        if (root / DATA).is_file():
            return self._data_faults(root) + self._lists_faults(root)
        faults = []
        for split in SPLITS:
            folders = self._folders(root, split)
            with_image, with_depth = self._stems(root, split)
            for stem in sorted(with_image ^ with_depth):
                image, depth = (folder / f"{stem}.png" for folder in folders)
                there, gone = (image, depth) if image.is_file() else (depth, image)
                if gone.parent.is_dir():
                    faults.append(f"{gone} is missing; replace it, or remove {there}")
                faults += unreadable([there])  # no sample will show that it is damaged
            for folder in folders:
                odd = [f for f in walk(folder) if f.parent != folder or f.suffix != ".png"]
                faults += [f"{f}: stray" for f in odd if not is_note(f)]
        return faults

    def _data_faults(self, root: Path) -> list[str]:
        """Whether the .mat file can be opened and holds as many depths as images, of one size."""
        try:
            import h5py

            with h5py.File(root / DATA, "r") as file:
                wrong = _wrong(file["images"], file["depths"])
        except ImportError:
            return []  # named as absent
        except Exception as error:  # as above
            return [f"{root / DATA} cannot be read ({_brief(error)}); {self.remedy()}"]
        return [f"{root / DATA}: {wrong}; {self.remedy()}"] if wrong else []

    def _lists_faults(self, root: Path) -> list[str]:
        """Of the lists, one line for each that is damaged, and for images that stand in both. Nothing where the file is missing."""
        faults, numbers = [], {}
        for split in SPLITS if (root / LISTS).is_file() else ():
            try:
                numbers[split] = set(self._numbers(root, split))
            except MissingData as error:
                faults.append(str(error))
        if twice := numbers.get("train", set()) & numbers.get("test", set()):
            faults.append(f"{root / LISTS}: {len(twice)} images stand in both splits; replace the file")
        return list(dict.fromkeys(faults))

    def _stems(self, root: Path, split: str) -> tuple[set[str], set[str]]:
        """Of the images, and of the depths."""
        images, depths = ({f.stem for f in folder.glob("[!.]*.png")} for folder in self._folders(root, split))
        return images, depths

    def _folders(self, root: Path, split: str) -> list[Path]:
        return [root / split / part for part in ("rgb", "depth")]

    def _numbers(self, root: Path, split: str) -> list[int]:
        try:
            found = [(int(k), k) for k in matlab.read(root / LISTS)[_NAMES[split]].tolist()]
            if not all(whole == k and whole >= 1 for whole, k in found) or len(dict(found)) != len(found):
                raise ValueError(f"{_NAMES[split]} are not numbers of images, counted from 1, each once")
            return sorted(whole for whole, _ in found)
        except (OSError, ValueError, OverflowError, KeyError) as error:  # infinity is no whole number either
            raise MissingData(f"{root / LISTS} cannot be read ({_brief(error)}); {self.remedy()}") from None


def _wrong(images, depths) -> str | None:
    """What is wrong with the arrays of the .mat file, by their headers: shapes that do not go together, numbers of another kind."""
    shape = getattr(images, "shape", None), getattr(depths, "shape", None)
    if None in shape or len(shape[0]) != 4 or (shape[0][0], *shape[0][2:]) != shape[1] or shape[0][1] != 3:
        return f"depths of {shape[1]} for images of {shape[0]}"
    if images.dtype != np.uint8 or depths.dtype.kind != "f":
        return f"images of {images.dtype} and depths of {depths.dtype}, official are uint8 and float32"
    if shape[1][1] * shape[1][2] > decode.MOST_PIXELS:
        return f"images of {shape[1][1]:,} x {shape[1][2]:,} pixels, more than the {decode.MOST_PIXELS:,} that are read"
    return None


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
