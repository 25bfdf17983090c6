"""A run small enough to look at closely: the code paths of `mini-v1` on a few images, in a folder of its own."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchmarks.catalog import DATASETS, Dataset
from benchmarks.data.folder import IMAGES, MASKS
from benchmarks.data.samples import Sample
from benchmarks.data.synthetic import scene
from benchmarks.plan import Plan, Request, plan
from benchmarks.progress import silent
from benchmarks.protocols import PROTOCOLS, Protocol

# In the layout of an image folder: of an embedded dataset all 750 images would have to be generated, ten seconds' work.
_DATASET = Dataset("few-mini", "camo", "mini-v1", "folder", "a few generated images, as files")


def small() -> Protocol:
    """`mini-v1` with a few images of each kind and one epoch.

    Ten images to train on in batches of four are three steps; ten to test on are more than one batch of the evaluation. The number
    of training images is also among the `rules`, which count for every task: some ask for more than the protocol itself.
    """
    protocol, images = PROTOCOLS.get("mini-v1"), 12
    return replace(
        protocol,
        training=replace(protocol.training, epochs=1, batch=4),
        train_images=images,
        test_images=10,
        search_images=2,
        keep=4,
        random_draws=2,
        rules={"train_images": images},
    )


@dataclass(frozen=True)
class Place:
    """A home folder of its own, and by id the images in it as they were drawn."""

    folder: Path
    images: dict[str, Sample]

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Inside, the suite's home is this folder, and neither logs nor progress are shown."""
        before, log = os.environ.get("CHANSWAP_HOME"), logging.getLogger("benchmarks")
        level = log.level
        os.environ["CHANSWAP_HOME"] = str(self.folder)
        log.setLevel(logging.CRITICAL + 1)
        try:
            with silent():
                yield
        finally:
            log.setLevel(level)
            if before is None:
                del os.environ["CHANSWAP_HOME"]
            else:
                os.environ["CHANSWAP_HOME"] = before

    def plan(self, method: str) -> Plan:
        """The small run of a method, with or without +swap, seed 0, on the CPU. To be asked inside."""
        request = Request("camo", method, "mini-v1", _DATASET.name, device="cpu")
        protocol = replace(small(), search_images=1)  # 4,033 passes an image, most of the run's time
        with PROTOCOLS.temporarily("mini-v1", protocol), DATASETS.temporarily(_DATASET.name, _DATASET):
            return plan(request, 0)


@contextmanager
def place() -> Iterator[Place]:
    """A place that is gone after the block."""
    from PIL import Image

    with tempfile.TemporaryDirectory(prefix="chanswap-") as name:
        root, images = Path(name) / "data" / _DATASET.name, {}
        for split, count in (("train", small().train_images), ("test", small().test_images)):
            for part in (IMAGES, MASKS):
                (root / split / part).mkdir(parents=True)
            for sample in _drawn(split, count):
                file, images[sample.id] = f"{Path(sample.id).name}.png", sample
                Image.fromarray(sample.image).save(root / split / IMAGES / file, compress_level=1)
                Image.fromarray(np.uint8(255) * sample.mask).save(root / split / MASKS / file, compress_level=1)
        yield Place(Path(name), images)


@lru_cache
def _drawn(split: str, count: int) -> list[Sample]:
    """The first scenes of a split, 15 ms each: drawn once for all methods that are looked at in turn."""
    scenes = [scene("camo", split, k) for k in range(count)]
    return [Sample(f"{split}/{k:05d}", made.image, made.target.astype(bool)) for k, made in enumerate(scenes)]
