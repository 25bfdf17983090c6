"""What the suite knows by name: every task, dataset, backbone and method, and how they go together."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.errors import UsageError
from benchmarks.outside import Methods
from benchmarks.registry import Registry

SEGMENTATION, DEPTH, CLASSIFICATION = "segmentation", "depth", "classification"
FAMILIES = {SEGMENTATION: ("sam", "sam2"), DEPTH: ("dinov2",), CLASSIFICATION: ("dinov2",)}


@dataclass(frozen=True)
class Task:
    """A problem with its metrics, the first the one that methods are ranked and swaps are chosen by. `kind` says what a sample
    is; `datasets` are the data of the task under each protocol, the first the default, and `backbones` its default backbone."""

    name: str
    kind: str
    summary: str
    metrics: tuple[str, ...]
    datasets: dict[str, tuple[str, ...]]
    backbones: dict[str, str]


@dataclass(frozen=True)
class Dataset:
    """`source` is "generated" (drawn by this package), "official" (files that `data fetch` or `data add` put in place, see
    `benchmarks.data.readers`) or "folder" (plain folders of images and masks). `classes` of a classification."""

    name: str
    task: str
    protocol: str
    source: str
    summary: str
    classes: int = 0


@dataclass(frozen=True)
class Weights:
    """A pinned checkpoint. `shipped` names a file that comes with the package; otherwise `url` says where to get it. `bytes` is
    None where the publisher's size is not known for certain; the sha256 decides. `random` asks outright for random weights, which
    only `check task` does; a record of them says so and stands on no board."""

    file: str
    sha256: str | None
    bytes: int | None = None
    url: str | None = None
    shipped: bool = False
    random: bool = False


@dataclass(frozen=True)
class Backbone:
    """A frozen model with its decoder, or with a linear head that is trained once.

    `family` (sam, sam2, dinov2) says whose classes it is made of. `build` names a function that makes the network with random
    weights, called with `config` where there is one. `channels` is the width C of the site; `grid` its (square) tokens a side at
    `size` pixels a side. `printed` is its name in the paper's tables, "" where it is not in them.
    """

    name: str
    family: str
    summary: str
    protocol: str
    build: str
    size: int
    channels: int
    grid: int
    weights: Weights
    config: str = ""
    printed: str = ""


TASKS: Registry[Task] = Registry("task")
DATASETS: Registry[Dataset] = Registry("dataset")
BACKBONES: Registry[Backbone] = Registry("backbone")
METHODS = Methods()

_MASKS = ("miou", "dice")
_SAM = {"paper-v1": "sam-vit-b", "mini-v1": "sam-mini"}
_DINO = {"paper-v1": "dinov2-vit-s", "mini-v1": "dino-mini"}
for _task in (
    Task(
        "natural",
        SEGMENTATION,
        "objects in everyday scenes, some with parts",
        _MASKS,
        {"paper-v1": ("coco", "voc", "perseg"), "mini-v1": ("natural-mini",)},
        _SAM,
    ),
    Task(
        "medical",
        SEGMENTATION,
        "lesions in ultrasound, skin and endoscopy pictures",
        _MASKS,
        {"paper-v1": ("isic16", "busi", "kvasir"), "mini-v1": ("medical-mini",)},
        _SAM,
    ),
    Task(
        "camo",
        SEGMENTATION,
        "objects that look like their background",
        (*_MASKS, "s_measure", "e_adaptive", "e_mean", "e_max", "weighted_f", "mae"),
        {"paper-v1": ("camo", "cod10k", "chameleon"), "mini-v1": ("camo-mini",)},
        _SAM,
    ),
    Task(
        "depth",
        DEPTH,
        "metres from the camera, for each pixel",
        ("mse", "rmse", "abs_rel", "delta1", "delta2", "delta3"),
        {"paper-v1": ("nyuv2",), "mini-v1": ("depth-mini",)},
        _DINO,
    ),
    Task(
        "classification",
        CLASSIFICATION,
        "which of some classes an image shows",
        ("accuracy", "cross_entropy"),
        {"paper-v1": ("cifar100", "cifar10"), "mini-v1": ("classes-mini",)},
        _DINO,
    ),
):
    TASKS.add(_task.name, _task)

for _dataset in (
    Dataset("coco", "natural", "paper-v1", "official", "COCO 2017, the largest object of each image"),
    Dataset("voc", "natural", "paper-v1", "official", "Pascal VOC 2012 segmentation, the largest object of each image"),
    Dataset("perseg", "natural", "paper-v1", "official", "PerSeg: 40 objects, a few images each"),
    Dataset("isic16", "medical", "paper-v1", "official", "ISIC 2016 task 1: skin lesions, 900 training and 379 test images"),
    Dataset("busi", "medical", "paper-v1", "official", "BUSI: breast ultrasound, the 647 images with a lesion"),
    Dataset("kvasir", "medical", "paper-v1", "official", "Kvasir-SEG: 1,000 polyps in endoscopy"),
    Dataset("camo", "camo", "paper-v1", "official", "CAMO, 1,000 training and 250 test images"),
    Dataset("cod10k", "camo", "paper-v1", "official", "COD10K, 3,040 training and 2,026 test images"),
    Dataset("chameleon", "camo", "paper-v1", "official", "CHAMELEON, 76 test images; trained and searched on COD10K and CAMO"),
    Dataset("nyuv2", "depth", "paper-v1", "official", "NYU Depth v2, labelled part: 795 training and 654 test images"),
    Dataset("cifar100", "classification", "paper-v1", "official", "CIFAR-100, 50,000 training and 10,000 test images", 100),
    Dataset("cifar10", "classification", "paper-v1", "official", "CIFAR-10, 50,000 training and 10,000 test images", 10),
    Dataset("natural-mini", "natural", "mini-v1", "generated", "generated scenes of coloured objects"),
    Dataset("medical-mini", "medical", "mini-v1", "generated", "generated lesions: low contrast, speckle, blurred border"),
    Dataset("camo-mini", "camo", "mini-v1", "generated", "generated objects in their background's texture"),
    Dataset("depth-mini", "depth", "mini-v1", "generated", "rendered rooms and bodies with exact depth"),
    Dataset("classes-mini", "classification", "mini-v1", "generated", "generated objects by shape and texture", 15),
):
    DATASETS.add(_dataset.name, _dataset)

_FB = "https://dl.fbaipublicfiles.com"


def _sam(size: str, millions: str, file: str, sha256: str, count: int | None) -> Backbone:
    url = f"{_FB}/segment_anything/{file}"
    return Backbone(
        f"sam-vit-{size}",
        "sam",
        f"SAM ViT-{size.upper()}, {millions} M parameters at 1024 px, by segment-anything",
        "paper-v1",
        f"segment_anything:build_sam_vit_{size}",
        1024,
        256,
        64,
        Weights(file, sha256, count, url),
        printed=f"SAM ViT-{size.upper()}",
    )


def _sam2(size: str, config: str, millions: str, part: str, sha256: str, count: int | None = None) -> Backbone:
    version, folder = ("2.1", "092824") if config.startswith("sam2.1") else ("2.0", "072824")
    words = {"t": "tiny", "s": "small", "b+": "base_plus", "l": "large"}
    file = f"{config}_{words[size]}.pt"
    return Backbone(
        f"sam{version.removesuffix('.0')}-hiera-{size}",
        "sam2",
        f"SAM {version} Hiera-{size.upper()}, {millions} M parameters at 1024 px, by sam2",
        "paper-v1",
        "benchmarks.backbones.sam2_build:build",
        1024,
        256,
        64,
        Weights(file, sha256, count, f"{_FB}/segment_anything_2/{folder}/{file}"),
        config=f"configs/{part}/{config}_{size}.yaml",
        printed=f"SAM2 Hiera-{size.upper()}" if version == "2.1" else "",
    )


def _dinov2(size: str, word: str, millions: str, channels: int, sha256: str, count: int) -> Backbone:
    file = f"dinov2_vit{size}14_pretrain.pth"
    return Backbone(
        f"dinov2-vit-{size}",
        "dinov2",
        f"DINOv2 ViT-{size.upper()}/14, {millions} M parameters, by timm, with a linear head trained once",
        "paper-v1",
        "benchmarks.backbones.dinov2_build:build",
        518,
        channels,
        37,
        Weights(file, sha256, count, f"{_FB}/dinov2/dinov2_vit{size}14/{file}"),
        config=f"vit_{word}_patch14_dinov2.lvd142m",
        printed=f"ViT-{size.upper()}",
    )


for _backbone in (
    _sam("b", "93.7", "sam_vit_b_01ec64.pth", "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912", 375_042_383),
    _sam("l", "312", "sam_vit_l_0b3195.pth", "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622", None),
    _sam("h", "641", "sam_vit_h_4b8939.pth", "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e", 2_564_550_879),
    *(
        _sam2(size, config, millions, part, sha256, count)
        for config, part, rows in (
            (
                "sam2.1_hiera",
                "sam2.1",
                (
                    ("t", "38.9", "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69", 156_008_466),
                    ("s", "46", "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38", None),
                    ("b+", "80.8", "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5", None),
                    ("l", "224", "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318", 898_083_611),
                ),
            ),
            (
                "sam2_hiera",
                "sam2",
                (
                    ("t", "38.9", "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125", None),
                    ("s", "46", "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3", None),
                    ("b+", "80.8", "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071", None),
                    ("l", "224", "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b", 897_952_466),
                ),
            ),
        )
        for size, millions, sha256, count in rows
    ),
    _dinov2("s", "small", "22.1", 384, "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9", 88_283_115),
    _dinov2("b", "base", "86.6", 768, "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73", 346_378_731),
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
    Backbone(
        "sam2-mini",
        "sam2",
        "SAM 2 (Hiera) of under 2 M parameters at 128 px, of sam2's classes, trained on generated natural scenes",
        "mini-v1",
        "benchmarks.backbones.sam2_mini:build",
        128,
        64,
        16,
        Weights("sam2-mini.safetensors", None, shipped=True),
    ),
    Backbone(
        "dino-mini",
        "dinov2",
        "a timm ViT of under 2 M parameters at 128 px, trained on generated scenes, with a linear head trained once",
        "mini-v1",
        "benchmarks.backbones.dino_mini:build",
        128,
        128,
        8,
        Weights("dino-mini.safetensors", None, shipped=True),
    ),
):
    BACKBONES.add(_backbone.name, _backbone)

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
BEST_OF_THREE = "base+best-of-three"  # the control beside `base`: the best-scored of three masks for one click


def family_fits(task: Task, backbone: Backbone) -> bool:
    """Whether a backbone has what a task needs: a mask decoder, or tokens for a linear head."""
    return backbone.family in FAMILIES[task.kind]


def split_method(name: str) -> tuple[str, bool]:
    """("dora", True) of "dora+swap", ("ssf", False) of "my/file.py:Ssf", whose class is named so.

    Raises UsageError for a name that is no method, or a suffix other than +swap.
    """
    plain = name.removesuffix(SWAP)
    if "+" in plain and ":" not in plain:
        raise UsageError(f"unknown method {name!r}; the only suffix is +swap. See: python -m benchmarks list")
    return METHODS.get(plain).name, plain != name
