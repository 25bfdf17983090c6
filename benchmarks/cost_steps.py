"""Two real steps of a method at a given batch, measured: what its process does. Imports torch inside the calls."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.catalog import METHODS, SWAP, Backbone, split_method
from benchmarks.device import synchronise
from benchmarks.options import Options
from benchmarks.watched import resident

STEPS = 2  # the optimiser's moments exist from the first step on, so the second has the peak and the usual time
PAIRS = 10  # of the swap: as many as the paper's search keeps; a swap is one gather whatever their number
# How torch's allocator on a CPU (Linux, Windows), a CUDA call and cuBLAS say that memory is gone, in a plain RuntimeError.
SHORT = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


@dataclass(frozen=True)
class Subject:
    """What is measured, and how: `weights` None is random weights of true size, `options.micro_batch` images are one graph."""

    backbone: Backbone
    method: str
    weights: Path | None
    batch: int
    precision: str
    options: Options
    device: str
    threads: int


def measure(subject: Subject) -> Iterator[dict]:
    """Fields of a cost row, in two parts: parameters as soon as the method is attached, then memory and seconds.

    Meant for a process of its own: peaks are the process's. A method that does not fit yields status and reason instead.
    """
    from benchmarks import threads

    threads.choose(subject.threads)
    import torch

    torch.set_num_threads(subject.threads)
    try:
        yield from _measure(subject)
    except (torch.OutOfMemoryError, MemoryError) as error:
        yield {"status": "out of memory", "reason": _worded(subject.device, error)}
    except Exception as error:
        short = isinstance(error, RuntimeError) and any(words in str(error) for words in SHORT)
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        yield {"status": "out of memory" if short else "failed", "reason": text}


def _worded(device: str, error: BaseException) -> str:
    import torch

    if not device.startswith("cuda"):
        return f"{type(error).__name__}: {error}".splitlines()[0]
    whole = torch.cuda.get_device_properties(device).total_memory
    held = torch.cuda.max_memory_reserved(device)
    return f"wanted more when {held / 2**30:.1f} GiB of the GPU's {whole / 2**30:.1f} GiB were reserved"


def _measure(s: Subject) -> Iterator[dict]:
    import torch

    from benchmarks import backbones
    from benchmarks.backbones.sam import Segmenter
    from benchmarks.cost import measured
    from benchmarks.errors import RunFailed
    from benchmarks.methods import freeze, trainable

    plain, swapped = split_method(s.method)
    torch.manual_seed(0)
    sam = backbones.build(s.backbone, s.weights)
    method = METHODS.get(plain)()
    attachment = method.attach(sam)
    freeze(sam, attachment)
    own, besides = trainable(sam, attachment)
    if own != method.count(sam):
        raise RunFailed(f"method {plain} trains {own:,} parameters of its own but declares {method.count(sam):,}")
    yield {
        "trainable": {"method": own, "besides": besides},
        "parameters": sum(p.numel() for p in sam.parameters()),
    }
    segmenter = Segmenter(sam, s.device, s.precision)
    samples = pictures(s.backbone.size, s.batch)
    before = resident(os.getpid())
    with measured(s.device) as cost:
        seconds = _swapped(segmenter, samples, s) if swapped else _trained(segmenter, samples, s)
    done = {"status": "done", "seconds_per_step": round(seconds, 4), "peak_resident_mib": cost.peak_memory_mb}
    done["resident_before_mib"] = None if before is None else round(before / 2**20, 1)
    if cost.peak_gpu_mb is not None:
        reserved = torch.cuda.max_memory_reserved(s.device) / 2**20
        done |= {"peak_allocated_mib": cost.peak_gpu_mb, "peak_reserved_mib": round(reserved, 1)}
    yield done


def _trained(segmenter, samples: list, s: Subject) -> float:
    """Seconds of the last of STEPS epochs of one batch, by the suite's own loop; the encoder runs in each, frozen or not."""
    from benchmarks.protocols import PROTOCOLS
    from benchmarks.train import train

    ends: list[float] = []

    def end(images: int) -> None:
        synchronise(s.device)
        ends.append(time.perf_counter())

    training = replace(PROTOCOLS.get("paper-v1").training, epochs=STEPS, batch=s.batch)
    train(segmenter, samples, training, seed=0, step=end, options=s.options)
    return ends[-1] - ends[-2]


def _swapped(segmenter, samples: list, s: Subject) -> float:
    """Seconds of the last of STEPS inferences: the batch through the encoder, swapped, and each image's mask decoded."""
    import torch

    from chanswap import random_swap

    swap = random_swap(s.backbone.channels, min(PAIRS, s.backbone.channels // 2), 0)
    items = [segmenter.item(sample) for sample in samples]
    size = s.options.micro_batch
    with torch.inference_mode():
        for _ in range(STEPS):
            begun = time.perf_counter()
            for k in range(0, len(samples), size):
                pixels = torch.stack([segmenter.pixels(sample.image) for sample in samples[k : k + size]])
                features = segmenter.encode(pixels).site
                for feature, item in zip(swap(features, axis=1), items[k : k + size]):
                    segmenter.score(feature[None], item)
            synchronise(s.device)
    return time.perf_counter() - begun


def pictures(size: int, count: int) -> list:
    """`count` samples of noise, size x size pixels, a disc each as the object: the cost does not depend on what they show."""
    import numpy as np

    from benchmarks.data.samples import Sample

    rng = np.random.default_rng(0)
    y, x = np.ogrid[:size, :size]
    disc = (y - size // 2) ** 2 + (x - size // 2) ** 2 < (size // 4) ** 2
    images = (rng.integers(0, 256, (size, size, 3), dtype=np.uint8) for _ in range(count))
    return [Sample(f"noise-{k}", image, disc) for k, image in enumerate(images)]


def rows_of_all() -> list[str]:
    """Every row of the table: nothing trained but a swap ("Ours" of the paper), then each method that trains."""
    return [f"base{SWAP}", *(name for name in METHODS if name != "base")]


def free_on(device: str) -> Iterator[tuple[int, int]]:
    """(free, all) bytes of a GPU's memory, for a process of its own: asking makes a context, which takes some of it."""
    import torch

    yield torch.cuda.mem_get_info(device)
