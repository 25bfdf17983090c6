"""Small datasets written in the official layouts, so that what reads a layout can be tried without the dataset."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.catalog import CLASSIFICATION, DEPTH
from benchmarks.data import rle
from benchmarks.data.readers import coco, isic16
from benchmarks.data.readers.base import AnySample
from benchmarks.data.readers.cifar import FILES, FOLDER, LABELS
from benchmarks.data.readers.kvasir import split_of
from benchmarks.data.samples import DepthSample, LabelSample, Sample
from benchmarks.errors import UsageError


def write(name: str, root: Path, train: Sequence[AnySample], test: Sequence[AnySample]) -> None:
    """Write these samples as dataset `name` at `root`, in its official layout, each in its split, in this order.

    Ids are replaced by names of the layout. Images are PNG where the layout allows it (busi, nyuv2, cifar), else JPEG of quality
    95; masks are exact but for kvasir's, which are JPEG. Masks must not be empty for coco and busi, which leave those out.
    For chameleon the training samples go to camo, the first half, and cod10k beside `root`. Raises UsageError for an unknown name.
    """
    if name not in _WRITERS:
        raise UsageError(f"no fixture of {name}; known: {', '.join(_WRITERS)}")
    _WRITERS[name](name, Path(root), {"train": train, "test": test})


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=95)


def _mask(path: Path, mask: np.ndarray) -> None:
    _save(path, mask.astype(np.uint8) * 255)


def _hashed(split: str, count: int, pattern: str) -> list[str]:
    """The first names of a pattern that the hash rule puts into a split."""
    names, k = [], 1
    while len(names) < count:
        if split_of(pattern.format(k)) == split:
            names.append(pattern.format(k))
        k += 1
    return sorted(names)


def _camouflage(name: str, root: Path, splits: dict) -> None:
    for split, samples in splits.items():
        for k, sample in enumerate(samples):
            place, own = root, name
            if name == "chameleon" and split == "train":
                own = ("camo", "cod10k")[k >= (len(samples) + 1) // 2]
                place = root.parent / own
            stem = {"camo": "camourflage_{:05d}", "cod10k": "COD10K-CAM-1-Aquatic-1-{:05d}", "chameleon": "animal-{:d}"}[
                own
            ].format(k)
            _save(place / split / "Imgs" / f"{stem}.jpg", sample.image)
            _mask(place / split / "GT" / f"{stem}.png", sample.mask)


def _coco(name: str, root: Path, splits: dict) -> None:
    for split, samples in splits.items():
        images, entries = [], []
        for k, sample in enumerate(samples, 1 if split == "test" else 500_001):
            file, (height, width) = f"{k:012d}.jpg", sample.mask.shape
            _save(root / coco.FOLDERS[split] / file, sample.image)
            images.append({"id": k, "file_name": file, "height": height, "width": width})
            code = {"size": [height, width], "counts": rle.to_runs(sample.mask)}
            area = int(sample.mask.sum())
            entries.append({"id": k, "image_id": k, "iscrowd": 0, "area": area, "category_id": 1, "segmentation": code})
        path = coco.annotations(root, split)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"images": images, "annotations": entries}))


def _voc(name: str, root: Path, splits: dict) -> None:
    base = root / "VOCdevkit" / "VOC2012"
    (base / "ImageSets" / "Segmentation").mkdir(parents=True, exist_ok=True)
    for split, samples in splits.items():
        names = [f"{2007 + (split == 'test')}_{k:06d}" for k in range(len(samples))]
        for stem, sample in zip(names, samples):
            _save(base / "JPEGImages" / f"{stem}.jpg", sample.image)
            for part in ("SegmentationObject", "SegmentationClass"):
                (base / part).mkdir(exist_ok=True)
                picture = Image.fromarray(sample.mask.astype(np.uint8))
                picture.putpalette([0, 0, 0, 128, 0, 0])
                picture.save(base / part / f"{stem}.png")
        listed = {"train": "train.txt", "test": "val.txt"}[split]
        (base / "ImageSets" / "Segmentation" / listed).write_text("".join(f"{n}\n" for n in names))


def _perseg(name: str, root: Path, splits: dict) -> None:
    for split, samples in splits.items():
        each = 2 if split == "train" else 3  # images of an object in this split
        for k, sample in enumerate(samples):
            stem = f"object{k // each:02d}/{k % each + (0 if split == 'train' else 2):02d}"
            _save(root / "Images" / f"{stem}.jpg", sample.image)
            _save(root / "Annotations" / f"{stem}.png", sample.mask[..., None] * np.uint8([128, 0, 0]))
    for part in ("Images", "Annotations"):
        (root / part).mkdir(parents=True, exist_ok=True)


def _isic16(name: str, root: Path, splits: dict) -> None:
    for split, samples in splits.items():
        folders = [root / isic16.FOLDER.format(isic16.PARTS[split], kind) for kind in ("Data", "GroundTruth")]
        for k, sample in enumerate(samples):
            stem = f"ISIC_{k + (0 if split == 'train' else 10_000):07d}"
            _save(folders[0] / f"{stem}.jpg", sample.image)
            _mask(folders[1] / f"{stem}{isic16.ENDING}.png", sample.mask)


def _busi(name: str, root: Path, splits: dict) -> None:
    base = root / "Dataset_BUSI_with_GT"
    for kind in ("benign", "malignant", "normal"):
        (base / kind).mkdir(parents=True, exist_ok=True)
    for split, samples in splits.items():
        for stem, sample in zip(_hashed(split, len(samples), "benign ({})"), samples):
            _save(base / "benign" / f"{stem}.png", sample.image)
            _mask(base / "benign" / f"{stem}_mask.png", sample.mask)


def _kvasir(name: str, root: Path, splits: dict) -> None:
    for split, samples in splits.items():
        for stem, sample in zip(_hashed(split, len(samples), "cju{:06d}"), samples):
            _save(root / "Kvasir-SEG" / "images" / f"{stem}.jpg", sample.image)
            _mask(root / "Kvasir-SEG" / "masks" / f"{stem}.jpg", sample.mask)


def _nyuv2(name: str, root: Path, splits: dict) -> None:
    k = 0
    for split, samples in splits.items():
        for sample in samples:
            k += 1
            _save(root / split / "rgb" / f"{k:04d}.png", sample.image)
            _save(root / split / "depth" / f"{k:04d}.png", np.rint(sample.depth * 1000.0).astype(np.uint16))


def _cifar(name: str, root: Path, splits: dict) -> None:
    folder = root / FOLDER[name]
    folder.mkdir(parents=True, exist_ok=True)
    for split, samples in splits.items():
        files = FILES[name][split]
        parts = np.array_split(np.arange(len(samples)), len(files))
        width = samples[0].image.size if len(samples) else 3072
        for file, rows in zip(files, parts):
            data = [samples[k].image.transpose(2, 0, 1).ravel() for k in rows]
            content = {b"data": np.array(data, np.uint8).reshape(-1, width), LABELS[name]: [int(samples[k].label) for k in rows]}
            (folder / file).write_bytes(pickle.dumps(content, protocol=4))


_WRITERS = {
    "coco": _coco,
    "voc": _voc,
    "perseg": _perseg,
    "isic16": _isic16,
    "busi": _busi,
    "kvasir": _kvasir,
    "camo": _camouflage,
    "cod10k": _camouflage,
    "chameleon": _camouflage,
    "nyuv2": _nyuv2,
    "cifar100": _cifar,
    "cifar10": _cifar,
}


def drawn(kind: str, count: int, classes: int = 0, first: int = 0) -> list[Sample | DepthSample | LabelSample]:
    """`count` drawn samples of a task's kind, from number `first` on, in the sizes of real ones."""
    from PIL import Image

    from benchmarks.data import synthetic_depth
    from benchmarks.data.synthetic import scene

    found = []
    for k in range(first, first + count):
        if kind == DEPTH:
            image, depth = synthetic_depth.picture("test", k)
            large = np.asarray(Image.fromarray(image).resize((640, 480)))
            rows, columns = np.arange(480) * 128 // 480, np.arange(640) * 128 // 640
            found.append(DepthSample(str(k), large, depth[rows][:, columns].astype(np.float32) / 1000))
            continue
        made = scene("natural", "test", k)
        if kind == CLASSIFICATION:
            found.append(LabelSample(str(k), np.asarray(Image.fromarray(made.image).resize((32, 32))), k % classes))
        else:
            image = np.asarray(Image.fromarray(made.image).resize((512, 384)))
            mask = np.asarray(Image.fromarray(made.target.astype(np.uint8)).resize((512, 384), Image.NEAREST)) > 0
            found.append(Sample(str(k), image, mask))
    return found
