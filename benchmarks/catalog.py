"""What the suite knows by name: every task, dataset, backbone and method, and how they go together."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.errors import UsageError
from benchmarks.outside import Methods
from benchmarks.registry import Registry


@dataclass(frozen=True)
class Task:
    """A problem with its metrics. `datasets` are the data of the task under each protocol, the first the default."""

    name: str
    summary: str
    metrics: tuple[str, ...]
    datasets: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Dataset:
    """`source` is "generated" (drawn by benchmarks.data.synthetic) or "folder" (images and masks that the user has)."""

    name: str
    task: str
    protocol: str
    source: str
    summary: str


@dataclass(frozen=True)
class Weights:
    """A pinned checkpoint. `shipped` names a file that comes with the package; otherwise `url` says where to get it."""

    file: str
    sha256: str | None
    bytes: int | None = None
    url: str | None = None
    shipped: bool = False


@dataclass(frozen=True)
class Backbone:
    """A frozen model with its decoder. `family` (sam, sam2, dinov2) says whose classes it is made of. `channels` and `grid` are the shape (C, h, w) of the site; `size` pixels a side."""

    name: str
    family: str
    summary: str
    protocol: str
    build: str
    size: int
    channels: int
    grid: int
    weights: Weights


TASKS: Registry[Task] = Registry("task")
DATASETS: Registry[Dataset] = Registry("dataset")
BACKBONES: Registry[Backbone] = Registry("backbone")
METHODS = Methods()

for _task in (
    Task("natural", "objects in everyday scenes, some with parts", ("miou",), {"mini-v1": ("natural-mini",)}),
    Task("medical", "lesions in ultrasound, skin and endoscopy pictures", ("miou",), {"mini-v1": ("medical-mini",)}),
    Task("camo", "objects that look like their background", ("miou",), {"paper-v1": ("camo",), "mini-v1": ("camo-mini",)}),
):
    TASKS.add(_task.name, _task)

for _dataset in (
    Dataset("natural-mini", "natural", "mini-v1", "generated", "generated scenes of coloured objects"),
    Dataset("medical-mini", "medical", "mini-v1", "generated", "generated lesions: low contrast, speckle, blurred border"),
    Dataset("camo-mini", "camo", "mini-v1", "generated", "generated objects in their background's texture"),
    Dataset("camo", "camo", "paper-v1", "folder", "CAMO (Le 2019), 1,000 training and 250 test images"),
):
    DATASETS.add(_dataset.name, _dataset)

BACKBONES.add(
    "sam-mini",
    Backbone(
        "sam-mini",
        "sam",
        "SAM of 1.5 M parameters at 128 px, of segment_anything's classes, trained on generated natural scenes",
        "mini-v1",
        "benchmarks.backbones.sam_mini:build",
        128,
        64,
        16,
        Weights("sam-mini.safetensors", None, shipped=True),
    ),
)
BACKBONES.add(
    "sam-vit-b",
    Backbone(
        "sam-vit-b",
        "sam",
        "SAM ViT-B, 93.7 M parameters at 1024 px, by segment-anything",
        "paper-v1",
        "segment_anything:build_sam_vit_b",
        1024,
        256,
        64,
        Weights(
            "sam_vit_b_01ec64.pth",
            "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
            375_042_383,
            "https://dl.fbaipublicfiles.com/segment_anything/sam_vit_b_01ec64.pth",
        ),
    ),
)

METHODS.add("base", "benchmarks.methods.base:Base")
METHODS.add("decoder", "benchmarks.methods.decoder:Decoder")
METHODS.add("encoder", "benchmarks.methods.encoder:Encoder")
METHODS.add("medsam", "benchmarks.methods.medsam:MedSam")
METHODS.add("adapter", "benchmarks.methods.adapter:Adapter")
METHODS.add("lora", "benchmarks.methods.low_rank:Lora")
METHODS.add("dora", "benchmarks.methods.low_rank:Dora")
METHODS.add("cobot", "benchmarks.methods.cobot:Cobot")
METHODS.add("sam-parser", "benchmarks.methods.sam_parser:SamParser")

SWAP = "+swap"


def split_method(name: str) -> tuple[str, bool]:
    """("dora", True) of "dora+swap", ("ssf", False) of "my/file.py:Ssf", whose class is named so.

    Raises UsageError for a name that is no method, or a suffix other than +swap.
    """
    plain = name.removesuffix(SWAP)
    if "+" in plain and ":" not in plain:
        raise UsageError(f"unknown method {name!r}; the only suffix is +swap. See: python -m benchmarks list")
    return METHODS.get(plain).name, plain != name
