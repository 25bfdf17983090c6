"""Protocols: the named, versioned, hashed rules of a run. Any change of a value is a new hash, and records of the old one stop
joining the new ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace

from benchmarks.catalog import CLASSIFICATION, DEPTH, SEGMENTATION, TASKS, Dataset, Task
from benchmarks.errors import UsageError
from benchmarks.hashes import hash_of
from benchmarks.registry import Registry

# Versions of the stages that make numbers. Raise one when its result changes: cached stages and records of the old one stop
# being used and stop joining the new ones.
STAGE_VERSIONS = {"train": 1, "embed": 1, "search": 1, "evaluate": 1}

STRATEGIES = ("exhaustive", "halving", "taylor", "greedy", "random")  # of `chanswap.search`, the first the paper's
SHARED = ("exhaustive", "random")  # those whose screening can be split over workers, as `chanswap.SHARED`


@dataclass(frozen=True)
class Training:
    """How a method is trained.

    loss: "dice+ce", of the decoder's low-resolution mask of token 0, whatever `Protocol.mask` counts in a test; of a linear head's
    answer "silog" for depth and "cross-entropy" for classes. The head itself is trained by other rules, see `Protocol.for_task`.
    """

    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float
    loss: str = "dice+ce"
    optimiser: str = "adam"


@dataclass(frozen=True)
class Protocol:
    """The rules of a run.

    prompt: where the one positive point stands (interior: the mask's pixel farthest from its border). mask: which of the
    decoder's masks counts (single: token 0; of SAM 2 see `for_family`). train_images: size of the training split, None for all that there is. search_images
    are drawn from it by the run's seed; held_out: no method trains on them, since the gain of a swap on images that the weights
    have been fitted to would say little. epoch: which epoch's weights are tested; no test image has a say in it. random_draws:
    random swaps whose mean is the control. rules: what further a task asks for, see `for_task`.
    """

    name: str
    summary: str
    image_size: int
    training: Training
    train_images: int | None = None
    test_images: int | None = None
    search_images: int = 50
    held_out: bool = True
    epoch: str = "last"
    keep: int = 10
    strategy: str = "exhaustive"
    prompt: str | None = "interior"
    mask: str | None = "single"
    metric: str = "miou"
    empty_union: float | None = 1.0
    random_draws: int = 5
    seeds: tuple[int, ...] = (0, 1, 2)
    stage_versions: dict[str, int] = field(default_factory=lambda: dict(STAGE_VERSIONS))
    rules: dict[str, str | int | float | None] = field(default_factory=dict)

    def resolved(self) -> dict:
        """Every rule as a JSON value: what a record carries and the protocol's hash is made of. A rule that the task has no use
        for is left out."""
        value = {**asdict(self), "seeds": list(self.seeds)}
        return {name: v for name, v in value.items() if name not in _OF_SOME_TASKS or v not in (None, {})}

    def for_task(self, task: Task) -> Protocol:
        """The protocol with what it says of one task. A depth or classification task has a linear head, trained once a backbone
        by the rules that start with "head_"; `search_pool` n: every n-th training image is kept for search sets, and neither
        the head nor a method ever trains on one.
        """
        rules = {**_RULES.get((self.name, task.kind), {}), **_RULES.get((self.name, task.name), {}), **self.rules}
        changed = {k: rules.pop(k) for k in ("image_size", "train_images") if k in rules}
        if task.kind == SEGMENTATION:
            return replace(self, rules=rules, **changed)
        training = replace(self.training, loss=LOSSES[task.kind])
        return replace(
            self, prompt=None, mask=None, empty_union=None, metric=task.metrics[0], training=training, rules=rules, **changed
        )

    def for_family(self, family: str) -> Protocol:
        """The protocol with what it says of a family of backbones: asked for the single mask, each answers in its own way."""
        return replace(self, mask=SINGLE_MASK[family]) if self.mask == "single" else self

    @property
    def hash(self) -> str:
        return hash_of(self.resolved())


LOSSES = {SEGMENTATION: "dice+ce", DEPTH: "silog", CLASSIFICATION: "cross-entropy"}
# `SAM2ImagePredictor` asks for one mask, and SAM 2's decoder then looks at token 0 first ("dynamic multimask via stability").
SINGLE_MASK = {"sam": "single", "sam2": "single, best-scored of three where unstable"}
_OF_SOME_TASKS = ("prompt", "mask", "empty_union", "rules")
_DEPTH_HEAD = {
    "head": "lin.1",  # of DINOv2's depth evaluation: last tokens with CLS, bilinear x4, one linear layer to bins
    "head_upsample": 4,
    "head_loss": "silog",
    "head_optimiser": "adamw",
}
_LINEAR_PROBE = {"head": "linear on CLS", "head_loss": "cross-entropy + l2 of the weights", "head_optimiser": "lbfgs"}
_RULES: dict[tuple[str, str], dict] = {
    ("paper-v1", "natural"): {"object": "coco, voc: the largest instance of the image that is no crowd; perseg: the mask"},
    ("paper-v1", DEPTH): {
        "image_size": 640,  # the longer side of NYU's images, which are not resized
        "input": "as it is, padded around to a multiple of 14",
        "min_depth": 1e-3,
        "max_depth": 10.0,
        "crop": "eigen",
        "search_pool": 5,
        **_DEPTH_HEAD,
        "head_bins": 256,
        "head_epochs": 25,
        "head_batch": 8,
        "head_learning_rate": 1e-3,
        "head_weight_decay": 1e-2,
    },
    ("mini-v1", DEPTH): {
        "train_images": 500,
        "input": "as it is",
        "min_depth": 1e-3,
        "max_depth": 10.0,
        "crop": "none",
        "search_pool": 5,
        **_DEPTH_HEAD,
        "head_bins": 32,  # a thirty-second of the range is finer than what the small model sees
        "head_epochs": 25,
        "head_batch": 8,
        "head_learning_rate": 1e-3,
        "head_weight_decay": 1e-2,
    },
    ("paper-v1", CLASSIFICATION): {
        "image_size": 224,
        "input": "resized, bicubic",
        "search_pool": 5,
        **_LINEAR_PROBE,
        "head_l2": 1.0,
    },
    ("mini-v1", CLASSIFICATION): {"train_images": 500, "input": "as it is", "search_pool": 5, **_LINEAR_PROBE, "head_l2": 1.0},
}

PROTOCOLS: Registry[Protocol] = Registry("protocol")
PROTOCOLS.add(
    "paper-v1",
    Protocol(
        "paper-v1",
        "the paper's: 1024 x 1024, real images, real weights",
        1024,
        Training(epochs=25, batch=1, learning_rate=1e-4, weight_decay=5e-5),
    ),
)
PROTOCOLS.add(
    "mini-v1",
    Protocol(
        "mini-v1",
        "the embedded default: 128 x 128, generated images, a small checkpoint, a laptop's CPU",
        128,
        # A model of 1/60 the size takes a larger rate, and two epochs leave a laptop time for the search.
        Training(epochs=2, batch=4, learning_rate=5e-4, weight_decay=5e-5),
        train_images=250,
        test_images=500,
    ),
)


def rules_of(dataset: Dataset) -> Protocol:
    """The protocol that a dataset belongs to, as it is for the dataset's task."""
    return PROTOCOLS.get(dataset.protocol).for_task(TASKS.get(dataset.task))


def choose(name: str, prepared: dict[str, str | None]) -> tuple[Protocol, str]:
    """The protocol of a run and why, as a sentence. `prepared` maps a protocol to None, or to what it lacks.

    "auto" takes paper-v1 where its data and weights are on this machine, else mini-v1. Raises UsageError where a protocol
    named outright does not know the task.
    """
    if name != "auto":
        protocol = PROTOCOLS.get(name)
        if name not in prepared:
            raise UsageError(f"{name} has no data for this task; choose from: {', '.join(prepared)}")
        return protocol, "named on the command line"
    for candidate in ("paper-v1", "mini-v1"):
        if candidate in prepared and prepared[candidate] is None:
            lacking = prepared.get("paper-v1")
            if candidate == "paper-v1":
                return PROTOCOLS.get(candidate), "its data and weights are prepared on this machine"
            reason = "paper-v1 has no data for this task yet"
            if lacking:
                reason = f"paper-v1 still needs {lacking} (where to put them: python -m benchmarks doctor)"
            return PROTOCOLS.get(candidate), reason
    raise UsageError("no protocol is prepared for this task; see: python -m benchmarks doctor")
