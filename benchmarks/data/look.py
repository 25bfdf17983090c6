"""Looking at a dataset: a contact sheet, an export in the Hugging Face format, a check against the manifest."""

from __future__ import annotations

import numpy as np

from benchmarks import data
from benchmarks.catalog import CLASSIFICATION, DEPTH, TASKS, Dataset
from benchmarks.data.samples import DepthSample, LabelSample, interior_point
from benchmarks.progress import progress
from benchmarks.protocols import rules_of

COLUMNS = 8
CELL = 128  # pixels: the embedded images' own size
_OUTLINE, _CLICK = (255, 0, 255), (255, 255, 0)


def sheet(dataset: Dataset, split: str, count: int):
    """A PIL image of the first `count` samples: each as it is, and below it with the truth outlined and the click marked."""
    from PIL import Image

    names = data.ids(dataset, split, rules_of(dataset))[:count]
    cells = []
    for sample in data.load(dataset, split, names):
        pair = [np.asarray(Image.fromarray(a).resize((CELL, CELL))) for a in (sample.image, _shown(sample))]
        cells.append(np.concatenate(pair))
    blank = np.full_like(cells[0], 255)
    cells += [blank] * (-len(cells) % COLUMNS)
    rows = [np.concatenate(cells[k : k + COLUMNS], axis=1) for k in range(0, len(cells), COLUMNS)]
    return Image.fromarray(np.concatenate(rows))


def _shown(sample) -> np.ndarray:
    """The truth as a picture (H, W, 3) uint8: the object outlined and clicked, depth from near (bright) to far, the class's number."""
    from scipy import ndimage

    if isinstance(sample, DepthSample):
        near = 255 * (1 - sample.depth / max(float(sample.depth.max()), 1e-3))
        return np.repeat(near.astype(np.uint8)[..., None], 3, axis=2)
    if isinstance(sample, LabelSample):
        from PIL import Image, ImageDraw

        blank = Image.new("RGB", (CELL, CELL), "white")
        ImageDraw.Draw(blank).text((CELL // 2 - 8, CELL // 2 - 8), str(sample.label), fill="black")
        return np.asarray(blank)
    truth = sample.image.copy()
    truth[sample.mask & ~ndimage.binary_erosion(sample.mask)] = _OUTLINE
    x, y = interior_point(sample.mask)
    truth[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = _CLICK
    return truth


def export(dataset: Dataset):
    """The dataset as a Hugging Face `DatasetDict` with columns id, image and mask (0 or 255), depth (mm) or label."""
    from PIL import Image as Picture

    from datasets import Dataset as Table
    from datasets import DatasetDict, Features, Image, Value

    truth = {DEPTH: {"depth": Image()}, CLASSIFICATION: {"label": Value("int64")}}.get(
        TASKS.get(dataset.task).kind, {"mask": Image()}
    )
    columns = Features({"id": Value("string"), "image": Image(), **truth})

    def rows(split: str):
        for sample in data.load(dataset, split, data.ids(dataset, split, rules_of(dataset))):
            row = {"id": sample.id, "image": Picture.fromarray(sample.image)}
            if isinstance(sample, DepthSample):
                yield {**row, "depth": Picture.fromarray(np.round(sample.depth * 1000).astype(np.uint16))}
            elif isinstance(sample, LabelSample):
                yield {**row, "label": sample.label}
            else:
                yield {**row, "mask": Picture.fromarray(sample.mask.astype(np.uint8) * 255)}

    return DatasetDict({split: Table.from_list(list(rows(split)), features=columns) for split in ("train", "test")})


def verify(dataset: Dataset) -> list[str]:
    """Every fault, one line each, all at once: what differs from the manifest, is missing, is astray or cannot be read.

    Generated images are generated again. Of official data the reader's structural faults come first; then every sample of both
    splits that is there is decoded, whatever else is missing.
    """
    if dataset.source == "generated":
        return _verify_generated(dataset)
    from benchmarks.data.obtain import place
    from benchmarks.data.readers import reader
    from benchmarks.data.readers.base import SPLITS

    reads, root = reader(dataset.name), place(dataset.name)
    faults = list(reads.faults(root))
    for split in SPLITS:
        if not (names := reads.present(root, split)):
            continue
        check = reads.checks(root, split)
        with progress(f"{dataset.name}/{split}", len(names), "images") as shown:
            for name in names:
                faults += check(name)
                shown.step()
    return list(dict.fromkeys(faults))  # the reader and the decoder may name one file in the same words


def _verify_generated(dataset: Dataset) -> list[str]:
    from benchmarks.data.generated import digest, generate
    from benchmarks.data.manifests import manifest

    faults = []
    for split, entry in manifest(dataset.name)["splits"].items():
        if (found := digest(*generate(dataset.name, split, entry["images"]))) != entry["sha256"]:
            faults.append(f"{dataset.name}/{split}: sha256 {found}, the manifest states {entry['sha256']}")
    return faults
