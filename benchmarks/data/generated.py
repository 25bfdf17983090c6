"""The embedded datasets: generated once, kept, and held against the sha256 in their manifest."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from benchmarks.catalog import CLASSIFICATION, DATASETS, DEPTH, TASKS
from benchmarks.data import synthetic_classes, synthetic_depth
from benchmarks.data.drawing import SIZE
from benchmarks.data.manifests import manifest
from benchmarks.data.samples import DepthSample, LabelSample, Sample
from benchmarks.data.synthetic import GENERATOR_VERSION, scene
from benchmarks.errors import MissingData
from benchmarks.files import home, write_atomically
from benchmarks.progress import progress

log = logging.getLogger(__name__)


class Generated(Sequence):
    """Samples of a split, decoded from two packed arrays. `kind` is the task's."""

    def __init__(self, kind: str, names: list[str], images: np.ndarray, truths: np.ndarray):
        self._kind, self._names, self._images, self._truths = kind, names, images, truths

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, k: int) -> Sample | DepthSample | LabelSample:
        name, image, truth = self._names[k], self._images[k], self._truths[k]
        if self._kind == DEPTH:
            return DepthSample(name, image, truth.astype(np.float32) / 1000)
        if self._kind == CLASSIFICATION:
            return LabelSample(name, image, int(truth))
        return Sample(name, image, np.unpackbits(truth).reshape(SIZE, SIZE).astype(bool))


def digest(images: np.ndarray, truths: np.ndarray) -> str:
    """The sha256 of a split: all image bytes, then all truths as `generate` gives them, 16-bit numbers low byte first."""
    total = hashlib.sha256(images.tobytes())
    total.update(truths.astype(truths.dtype.newbyteorder("<")).tobytes())
    return total.hexdigest()


def load(dataset: str, split: str, wanted: list[str]) -> Generated:
    """The samples of `wanted` ids. The whole split is generated at the first call, about 20 ms a picture.

    Raises MissingData where this machine generates other bytes than the manifest states: its numbers would not compare.
    """
    images, truths = _arrays(dataset, split)
    rows = [int(name.removeprefix(f"{split}-")) for name in wanted]
    return Generated(_kind(dataset), list(wanted), images[rows], truths[rows])


def prepare(dataset: str, split: str) -> None:
    """Generate a split that is not kept yet, so that no stage is timed with it. Raises MissingData as `load` does."""
    path = _path(dataset, split)
    if path not in _prepared and not path.is_file():
        _arrays(dataset, split)
    _prepared.add(path)


_prepared: set[Path] = set()  # where nothing can be kept, a split is not generated before each stage


def _path(dataset: str, split: str) -> Path:
    return home() / "data" / f"{dataset}-{split}-v{GENERATOR_VERSION}.npz"


def _arrays(dataset: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    entry, path = manifest(dataset)["splits"][split], _path(dataset, split)
    arrays = _read(path, entry["sha256"], _forms(_kind(dataset), entry["images"]))
    if arrays is None:
        arrays = generate(dataset, split, entry["images"])
        if digest(*arrays) != entry["sha256"]:
            raise MissingData(
                f"{dataset}/{split}: this machine generates other images than datasets/{dataset}/manifest.json states; "
                "compare NumPy and SciPy versions with those of `python -m benchmarks doctor` elsewhere"
            )
        buffer = BytesIO()
        np.savez(buffer, images=arrays[0], masks=arrays[1])
        try:
            write_atomically(path, buffer.getvalue())
        except OSError as error:
            log.warning("the generated images could not be kept (%s); they are made again next time", error)
    return arrays


def generate(dataset: str, split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 128, 128, 3) uint8 of a split, and the truths: packed masks (n, 2048) uint8, depths (n, 128, 128) uint16 in
    millimetres, or classes (n,) uint8."""
    kind, domain = _kind(dataset), dataset.removesuffix("-mini")
    images, truths = [], []
    with progress(f"generate {dataset} {split}", count, "images") as bar:
        for k in range(count):
            if kind == DEPTH:
                image, truth = synthetic_depth.picture(split, k)
            elif kind == CLASSIFICATION:
                image, label = synthetic_classes.picture(split, k)
                truth = np.uint8(label)
            else:
                made = scene(domain, split, k)
                image, truth = made.image, np.packbits(made.target)
            images.append(image)
            truths.append(truth)
            bar.step()
    return np.stack(images), np.stack(truths)


def _kind(dataset: str) -> str:
    return TASKS.get(DATASETS.get(dataset).task).kind


def _forms(kind: str, count: int) -> list[tuple[tuple[int, ...], type]]:
    """Shape and type of the images and of the truths of a split, as `generate` makes them."""
    truths = {DEPTH: ((count, SIZE, SIZE), np.uint16), CLASSIFICATION: ((count,), np.uint8)}
    return [((count, SIZE, SIZE, 3), np.uint8), truths.get(kind, ((count, SIZE * SIZE // 8), np.uint8))]


def _read(path: Path, expected: str, forms: list[tuple[tuple[int, ...], type]]) -> tuple[np.ndarray, np.ndarray] | None:
    try:
        with np.load(path) as kept:
            arrays = kept["images"], kept["masks"]  # NumPy gives the bytes of what does not begin as an array
        whole = all(isinstance(a, np.ndarray) and (a.shape, a.dtype) == form for a, form in zip(arrays, forms))
        whole = whole and digest(*arrays) == expected  # which knows nothing of shapes
    except FileNotFoundError:
        return None
    except Exception as error:  # a damaged zip raises half a dozen kinds
        log.warning("%s is damaged (%s); generating its images again", path, error)
        return None
    if not whole:
        log.warning("%s is damaged; generating its images again", path)
        return None
    return arrays
