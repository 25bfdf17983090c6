"""The clauses of a method's contract: a sentence each, and what examines it."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch

from benchmarks.catalog import BACKBONES, METHODS, SWAP, TASKS
from benchmarks.contract.trial import Broken, Trial
from benchmarks.errors import some
from benchmarks.plan import Plan, Request, plan
from benchmarks.protocols import PROTOCOLS
from benchmarks.stages import train
from benchmarks.stages.attached import attached

# Outputs at the start: one product split into three, as in LoRA's q, k and v, adds in another order.
ROUNDING = {"atol": 1e-5, "rtol": 1e-5}
# Part of the largest gradient of all; below it a gradient is what rounding leaves of zero. Of the methods here, rounding leaves
# at most 3e-8 (on a bias of keys) and the smallest true one is 3e-6 (cobot's gammas).
NO_GRADIENT = 3e-7
# Pixels of a mask that may fall on the other side: their logit is zero but for rounding, and two implementations round twice.
BORDER_PIXELS = 2

# Parameters of the mask decoder that the training loss, which is of the single mask, does not move. An entry whose tensors
# do receive a gradient is a fault of this list.
IDLE = {
    "mask_decoder.output_hypernetworks_mlps.[123].*": "networks of the three ambiguity masks",
    "mask_decoder.iou_prediction_head.*": "the IoU head",
    "mask_decoder.*.k_proj.bias": "a bias on keys shifts all scores of a query alike, which softmax does not see",
}


class Inapplicable(Exception):
    """A clause asks nothing of this method. The text says why."""


@dataclass(frozen=True)
class Clause:
    """One sentence of the contract. `examine` returns what it found, or raises: Broken, Inapplicable, or what a method raises."""

    name: str
    says: str
    examine: Callable[[Trial], str]


def _start(trial: Trial) -> str:
    if not trial.method.starts_as_base:
        raise Inapplicable("the method says starts_as_base = False")
    found = trial.outputs(trial.attached()[0])
    far = []
    for what, wanted in trial.base.items():
        if found[what].shape != wanted.shape:
            raise Broken(f"{what} are of shape {tuple(found[what].shape)}, those of base of {tuple(wanted.shape)}")
        if not torch.allclose(found[what], wanted, **ROUNDING):
            far.append(f"{what} by up to {_distance(found[what], wanted):.2g}")
    if far:
        raise Broken(
            f"outputs differ from those of base: {', '.join(far)}; let what attach adds start at zero, or say "
            "starts_as_base = False"
        )
    return f"largest difference {max(_distance(found[what], wanted) for what, wanted in trial.base.items()):.1g}"


def _declared(trial: Trial) -> str:
    before = trial.method.count(trial.bare())
    segmenter, attachment = trial.attached()
    names = attachment.names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Broken(f"declared twice, in `own` or `besides`: {some(twice)}")
    asking = {name for name, p in segmenter.network.named_parameters() if p.requires_grad}
    if wrong := sorted(asking ^ set(names)):
        raise Broken(f"declared or asking for a gradient, but not both: {some(wrong)}")
    sizes = {name: p.numel() for name, p in segmenter.network.named_parameters()}
    own = sum(sizes[name] for name in attachment.own)
    for counted, model in ((before, "the bare model"), (trial.method.count(segmenter.network), "the model it is attached to")):
        if counted != own:
            raise Broken(
                f"count says {counted:,} of {model}, but the {len(attachment.own)} tensors of `own` hold {own:,} parameters: "
                f"{some(f'{name} {sizes[name]:,}' for name in attachment.own) or 'there are none'}"
            )
    besides = ", ".join(f"{sum(sizes[n] for n in part):,} besides in {where}" for where, part in attachment.besides.items())
    return f"{own:,} parameters of its own{f', {besides}' if besides else ''}"


def _gradients(trial: Trial) -> str:
    seen = trial.training
    if seen.changed:
        raise Broken(
            f"training changes what is not declared: {some(seen.changed)}; declare it, or let the forward pass leave it alone"
        )
    if not seen.largest:
        if trial.name != "base":
            raise Broken("nothing is declared, so nothing can be trained; only base may do without")
        return "nothing is trained, and nothing changes"
    floor = NO_GRADIENT * max(seen.largest.values())
    idle = {name: entry for name in seen.largest for entry in IDLE if fnmatchcase(name, entry)}
    if silent := [name for name, size in seen.largest.items() if size <= floor and name not in idle]:
        raise Broken(
            f"declared, but the loss sends no gradient there in {len(trial.plan.train_ids)} images: {some(silent)}; "
            "use it in the forward pass, or do not declare it"
        )
    heard = [name for name in idle if seen.largest[name] > floor]
    if heard and METHODS.origin(trial.name) is None:  # one from outside may well bring them into the loss
        raise Broken(f"IDLE in {__name__} is out of date: {some(heard)} does receive a gradient; take {idle[heard[0]]!r} out")
    return f"all {len(seen.largest)} tensors" + (f" but {len(idle)} that the single mask's loss does not move" if idle else "")


def _repeats(trial: Trial) -> str:
    if not trial.training.weights:
        raise Inapplicable("nothing is trained")
    segmenter, attachment = trial.attached()
    torch.manual_seed(torch.initial_seed() + 1)  # training may not depend on where a generator of the process stands
    trial.fit(segmenter, trial.plan.train_ids)
    now = dict(segmenter.network.named_parameters())
    if wrong := [name for name, tensor in trial.training.weights.items() if not torch.equal(tensor, now[name])]:
        raise Broken(
            f"the same training gives other weights the second time: {some(wrong)}; a killed run could not go on to the same "
            "result. Draw no random numbers in the forward pass, and keep no state between two passes"
        )
    return f"{len(trial.training.weights)} tensors, bit for bit"


def _frozen(trial: Trial) -> str:
    seen, (_, attachment) = trial.training, trial.attached()
    if seen.in_training:
        raise Broken(f"in training mode while the method is trained: {some(seen.in_training)}; leave it in eval mode")
    declared = set(attachment.names)
    if extra := [name for name in dict.fromkeys([*trial.leaves, *seen.asking]) if name not in declared]:
        raise Broken(
            f"gradients reach what is not declared: {some(extra)}; declare it, register it as a parameter or a buffer of its "
            "module, or leave its requires_grad alone"
        )
    return "no module in training mode, no other tensor in the graph"


def _artefact(trial: Trial) -> str:
    from safetensors.torch import load_file

    if "train" not in trial.plan.jobs:
        if trial.plain_record.training is not None or trial.plain_record.trainable.method:
            raise Broken("base was trained")
        return "nothing is trained, and nothing is kept"
    segmenter, attachment = attached(trial.workbench, trial.name)
    kept = train.trained(trial.workbench)
    path, trained = kept.files["weights.safetensors"], dict(segmenter.network.named_parameters())
    saved = load_file(path)
    if wrong := sorted(saved.keys() ^ set(attachment.names)):
        raise Broken(f"in the artefact or declared, but not both: {some(wrong)}")
    if wrong := [name for name, tensor in saved.items() if not torch.equal(tensor, trained[name])]:
        raise Broken(f"not as it was trained: {some(wrong)}")
    # Not the run's seed: what the artefact lacks, another random start does not bring back.
    again = trial.restored(seed=2)
    found = trial.outputs(again)
    for what, wanted in trial.outputs(segmenter).items():
        if not torch.equal(found[what], wanted):
            raise Broken(
                f"{what} of the loaded model differ by up to {_distance(found[what], wanted):.2g} from those of the trained one; "
                "what attach draws at random and does not declare must not depend on the random state, nor may a forward pass "
                "leave anything behind"
            )
    noted, size = trial.plain_record.training.artefact_bytes, path.stat().st_size
    if not noted == kept.result["training"]["artefact_bytes"] == size:
        raise Broken(f"the record says {noted:,} bytes, the file has {size:,}")
    return f"{len(saved)} tensors, {size:,} bytes"


def _swap(trial: Trial) -> str:
    from chanswap import SAM, Swap, applied, apply, remove

    segmenter, _ = trial.attached()
    sam, swap = segmenter.network, Swap([(0, 1), (5, 9)], channels=trial.backbone.channels)
    state = {name: tensor.clone() for name, tensor in sam.state_dict().items()}
    plain = trial.outputs(segmenter)

    def off(how: str) -> None:
        found = trial.outputs(segmenter)
        if wrong := [what for what in plain if not torch.equal(found[what], plain[what])]:
            raise Broken(
                f"{how}, these stay different: {', '.join(wrong)}; a hook or a state of the forward pass outlives the swap"
            )

    def on() -> None:
        found = trial.outputs(segmenter)
        if not torch.equal(found["features"], swap(plain["features"])):
            raise Broken("with a swap on, the features are not the swapped ones; let image_encoder return what the decoder reads")
        if torch.equal(found["mask logits"], plain["mask logits"]):
            raise Broken("a swap changes no mask; the decoder must read what image_encoder returns")

    with applied(sam, swap, SAM):
        on()
    off("after the block of `applied`")
    apply(sam, swap, SAM)
    on()
    if (count := remove(sam)) != 1:
        raise Broken(f"`remove` took {count} swaps off where one was put on")
    off("after `remove`")
    now = sam.state_dict()
    if wrong := sorted(
        n for n in state.keys() | now.keys() if n not in state or n not in now or not torch.equal(state[n], now[n])
    ):
        raise Broken(f"the swap leaves the state changed: {some(wrong)}")
    return "outputs and state bit-identical"


def _scores(trial: Trial) -> str:
    record, ids = trial.record, trial.plan.test_ids
    if record.images != ids:
        raise Broken(f"the record lists {len(record.images)} images, the plan {len(ids)}, or in another order")
    wanted = trial.scores
    if wrong := sorted(wanted.keys() ^ {e.name for e in record.evaluations}):
        raise Broken(f"in the record or wanted, but not both: {some(wrong)}")
    worst = 0.0
    for evaluation in record.evaluations:
        scores = evaluation.scores[record.protocol["metric"]]
        if len(scores) != len(ids):
            raise Broken(f"{evaluation.name}: {len(scores)} scores for {len(ids)} images")
        for image, score, (value, union) in zip(ids, scores, wanted[evaluation.name]):
            if abs(score - value) > BORDER_PIXELS / max(union, 1) + 1e-6:  # a record keeps six digits
                raise Broken(
                    f"{evaluation.name}, {image}: the record says {score:.4f}, the image by itself gives {value:.4f}; an output "
                    "may depend on nothing but its own image and the weights: not on its batch, nor on what went before"
                )
            worst = max(worst, abs(score - value))
    return f"{len(ids)} images in {len(record.evaluations)} evaluations, each scored once; largest difference {worst:.1g}"


def _disjoint(trial: Trial) -> str:
    protocol = PROTOCOLS.get("mini-v1")
    plans = [
        plan(Request(task, trial.name + SWAP, protocol.name, device="cpu"), seed)
        for task, of in TASKS.items()
        if BACKBONES.get(of.backbones[protocol.name]).family not in trial.method.skips
        for seed in protocol.seeds
    ]
    return disjoint(plans)


def disjoint(plans: Iterable[Plan]) -> str:
    """That no id stands twice in the training, search and test sets of a plan. Raises Broken naming one that does."""
    plans = list(plans)
    for p in plans:
        sets = {"training": p.train_ids, "search": p.search_ids, "test": p.test_ids}
        seen: dict[str, str] = {}
        for role, ids in sets.items():
            for name in ids:
                if name in seen:
                    raise Broken(f"{p.dataset.name}, seed {p.seed}: {name} stands in the {seen[name]} and the {role} set")
                seen[name] = role
    return f"{len(plans)} plans: {', '.join(dict.fromkeys(p.dataset.name for p in plans))}"


def _precision(trial: Trial) -> str:
    said = []
    for precision in ("float32", "bfloat16"):
        segmenter, attachment = trial.attached(precision=precision)
        try:
            losses = trial.fit(segmenter, trial.plan.train_ids[: trial.plan.protocol.training.batch]) if attachment.names else []
            found = {**trial.outputs(segmenter), "score": trial.score(segmenter)}
        except Exception as error:
            raise Broken(f"{precision}: {in_a_line(error, trial.name)}") from error
        if wrong := [name for name, p in segmenter.network.named_parameters() if not torch.isfinite(p).all()]:
            raise Broken(f"{precision}: not finite after a step: {some(wrong)}")
        if wrong := [what for what, value in found.items() if not torch.isfinite(value).all()]:
            raise Broken(f"{precision}: not finite: {', '.join(wrong)}")
        said.append(f"{precision}{f' loss {losses[0]:.3f}' if losses else ''}")
    return ", ".join(said)


def in_a_line(error: Exception, method: str) -> str:
    """An exception and where in the method's own file it came from."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
    file = getattr(getattr(METHODS.get(method).attach, "__code__", None), "co_filename", None)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{text} ({os.path.basename(file)}, line {lines[-1]})" if lines else text


def _distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


CLAUSES = (
    Clause("start", "right after attach, features and all masks are those of base", _start),
    Clause("declared", "what is trained, and how much of it, is as declared", _declared),
    Clause("gradients", "all that is declared receives a gradient, and training changes nothing else", _gradients),
    Clause("repeats", "the same training gives the same weights", _repeats),
    Clause("frozen", "all else stays in eval mode and out of the autograd graph", _frozen),
    Clause("artefact", "the file that training leaves holds what was trained, and brings the very outputs back", _artefact),
    Clause("swap", "a swap put on and taken off leaves the model bit-identical", _swap),
    Clause("scores", "each test image is scored once in each evaluation, by the metric", _scores),
    Clause("disjoint", "training, search and test images are disjoint", _disjoint),
    Clause("precision", "training and evaluation are finite in float32 and in bfloat16 autocast", _precision),
)
