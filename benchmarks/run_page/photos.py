"""The test images on which a run was best, in the middle and worst, each with its truth; or why they are not shown."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np

from benchmarks.board.text import plain
from benchmarks.board.units import unit
from benchmarks.errors import BenchmarkError
from benchmarks.records import Record
from benchmarks.run_page.blocks import Paragraph, Photo, Photos
from benchmarks.run_page.content import compared, gains, ranked, scores

LONGEST = 384  # pixels of a side: a page stays below a megabyte
EACH = 2  # images of each kind


def photos(record: Record) -> Photos | Paragraph:
    """Pictures of the images of which the record speaks, or a sentence that says what is missing and which command gets it."""
    try:
        return _photos(record)
    except BenchmarkError as error:
        return Paragraph(f"The images themselves are not shown: {error}")


def picked(values: np.ndarray) -> list[tuple[str, int]]:
    """(best, middle or worst; place of the image). No image twice; equal ones in the record's order."""
    order, found, seen = np.argsort(-values, kind="stable"), [], set()
    middle = len(order) // 2
    for word, places in (("best", order[:EACH]), ("middle", order[middle : middle + EACH]), ("worst", order[-EACH:])):
        for place in places:
            if int(place) not in seen:
                seen.add(int(place))
                found.append((word, int(place)))
    return found


def _photos(record: Record) -> Photos | Paragraph:
    from benchmarks import data
    from benchmarks.catalog import DATASETS
    from benchmarks.protocols import rules_of

    if record.spec.dataset not in DATASETS:
        return Paragraph("The images themselves are not shown: this suite knows no dataset of that name.")
    dataset = DATASETS.get(record.spec.dataset)
    if reason := data.lacking(dataset):
        return Paragraph(f"The images themselves are not shown: {reason}; then make this page again.")
    known = set(data.ids(dataset, "test", rules_of(dataset)))
    if data.identity(dataset) != record.data or not known.issuperset(record.images):
        return Paragraph("The images themselves are not shown: the record is of other images than those that are here.")
    (own, other), found = compared(record), gains(record)
    mine, theirs, shown = scores(record, own), scores(record, other), unit(ranked(record))
    values = found if found is not None else mine * (1 if shown.higher else -1)
    made = []
    places = picked(values)
    samples = data.load(dataset, "test", [record.images[k] for _, k in places])
    for (word, k), sample in zip(places, samples):
        text = f"{word}: {record.images[k]}, {own} {shown.show(mine[k])}"
        text += f", {other} {shown.show(theirs[k])}: {shown.show(float(mine[k] - theirs[k]), True)}" if theirs is not None else ""
        made.append(Photo(f"{word}-{len(made)}", _png(sample), plain(text)))
    return Photos(tuple(made))


def _png(sample) -> bytes:
    """The image, and beside it its truth."""
    from PIL import Image

    # By its private name: what is kept of every stage goes by the code of benchmarks/data, and would be made again for another.
    from benchmarks.data.look import _shown

    small = _fitted(sample)
    truth = Image.fromarray(_shown(small)).resize(small.image.shape[1::-1])
    both = np.concatenate([small.image, np.asarray(truth)], axis=1)
    file = io.BytesIO()
    Image.fromarray(both).save(file, "PNG", optimize=True)
    return file.getvalue()


def _fitted(sample):
    """The sample at a size for a page: shrunk before its outline is drawn, so that the line stays."""
    from PIL import Image

    height, width = sample.image.shape[:2]
    scale = min(1.0, LONGEST / max(height, width))
    if scale == 1.0:
        return sample
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    parts = {"image": np.asarray(Image.fromarray(sample.image).resize(size, Image.Resampling.BILINEAR))}
    for name in ("mask", "depth"):
        if (truth := getattr(sample, name, None)) is not None:
            parts[name] = np.asarray(Image.fromarray(truth).resize(size, Image.Resampling.NEAREST))
    return replace(sample, **parts)
