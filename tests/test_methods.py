"""The contract of every registered method; and that the contract can fail: a method that breaks one clause is told so."""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from benchmarks.backbones import checkpoint, sam_mini
from benchmarks.backbones.sam import Segmenter
from benchmarks.catalog import BACKBONES, METHODS, SWAP, split_method
from benchmarks.cli import main
from benchmarks.contract import FAILED, OK, SKIPPED, Finding, examine
from benchmarks.contract.clauses import CLAUSES, IDLE, disjoint
from benchmarks.contract.trial import Broken, Trial
from benchmarks.data.samples import Sample
from benchmarks.data.synthetic import scene
from benchmarks.errors import UsageError
from benchmarks.methods import Attachment, Method, freeze
from benchmarks.plan import Request, plan
from benchmarks.protocols import Training
from benchmarks.small import place
from benchmarks.train import train

NAMES = [clause.name for clause in CLAUSES]
TRAINED = pytest.mark.parametrize("name", [name for name in METHODS if name != "base"])


@cache
def findings(name: str) -> dict[str, Finding]:
    return {finding.clause.name: finding for finding in examine(name)}


@pytest.mark.parametrize("clause", NAMES)
@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_keeps_the_contract(name, clause):
    finding = findings(name)[clause]
    elsewhere = clause == "start" and not METHODS.get(name).starts_as_base
    untrained = clause == "repeats" and name == "base"
    assert finding.outcome == (SKIPPED if elsewhere or untrained else OK), finding.detail


# A method of one layer behind the neck, which keeps the contract, and what becomes of it when one thing is wrong.


class Scaled(nn.Module):
    """x (1 + scale), a scale for each of the features' 64 channels."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(64, 1, 1))

    def forward(self, x):
        return x * (1 + self.scale)


class Scale(Method):
    name, summary = "scale", "a factor for every channel of the features"
    layer, own, size = Scaled, ("scale",), 64

    def attach(self, model) -> Attachment:
        model.image_encoder.neck.append(self.layer())
        return Attachment(tuple(f"image_encoder.neck.4.{name}" for name in self.own))

    def count(self, model) -> int:
        return self.size


class StartsElsewhere(Scale):
    class layer(Scaled):
        def __init__(self):
            super().__init__()
            nn.init.constant_(self.scale, 0.1)


class CountsWhatItMade(Scale):
    def count(self, model):
        return sum(p.numel() for name, p in model.named_parameters() if name == "image_encoder.neck.4.scale")


class DeclaresWhatItDoesNotUse(Scale):
    own, size = ("scale", "spare"), 67

    class layer(Scaled):
        def __init__(self):
            super().__init__()
            self.spare = nn.Parameter(torch.zeros(3))


class CountsItsSteps(Scale):
    class layer(Scaled):
        def __init__(self):
            super().__init__()
            self.register_buffer("steps", torch.zeros(1), persistent=False)

        def forward(self, x):
            self.steps += 1
            return super().forward(x)


class Normalises(Scale):
    class layer(Scaled):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(64)

        def forward(self, x):
            self.norm.train()
            return super().forward(x) + 0 * self.norm(x)


class TrainsWithNoise(Scale):
    class layer(Scaled):
        def forward(self, x):
            return super().forward(x + 0.01 * torch.randn_like(x) if torch.is_grad_enabled() else x)


class StaysInTraining(Scale):
    class layer(Scaled):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.0)

        def forward(self, x):
            return self.drop.train()(super().forward(x))


class HidesAParameter(Scale):
    class layer(Scaled):
        def __init__(self):
            super().__init__()
            self.others = [nn.Parameter(torch.ones(64, 1, 1))]

        def forward(self, x):
            return super().forward(x) * self.others[0]


class TrainsOnTheSly(Scale):
    class layer(Scaled):
        def __init__(self):
            super().__init__()
            self.sly = nn.Parameter(torch.zeros(64, 1, 1))

        def forward(self, x):
            return super().forward(x) + self.sly.requires_grad_(True)


class DrawsWhatItDoesNotKeep(Scale):
    class layer(Scaled):
        def __init__(self):
            super().__init__()
            self.register_buffer("drawn", 1 + torch.rand(64, 1, 1))

        def forward(self, x):
            return x * (1 + self.drawn * self.scale)


class KeepsHooks(Scale):
    def attach(self, model):
        encoder = model.image_encoder
        register = encoder.register_forward_hook

        def keeping(hook):
            register(hook)
            return RemovableHandle(OrderedDict())

        encoder.register_forward_hook = keeping
        return super().attach(model)


class LooksAcrossTheBatch(Scale):
    class layer(Scaled):
        def forward(self, x):
            return super().forward(x) + 0.5 * (x.mean(0) - x)


class WantsFloat32(Scale):
    class layer(Scaled):
        def forward(self, x):
            near_one = torch.full((1, 1), 0.999) @ torch.ones(1, 1)  # in bfloat16 it is one
            return super().forward(x) + 0 / (1 - near_one)


@pytest.fixture
def adding():
    """Examines a class as a method for the time of the test."""

    def outcomes(method: type[Method], clauses=NAMES) -> dict[str, Finding]:
        with METHODS.temporarily("scale", method):
            found = examine("scale", [clause for clause in CLAUSES if clause.name in clauses])
            return {finding.clause.name: finding for finding in found}

    before = list(METHODS)
    yield outcomes
    assert list(METHODS) == before


@pytest.mark.parametrize(
    "method, broken",
    [
        (StartsElsewhere, {"start": "features by up to .*, mask logits by up to .*starts_as_base = False"}),
        (CountsWhatItMade, {"declared": "count says 0 of the bare model, .* hold 64 parameters: image_encoder.neck.4.scale 64"}),
        (DeclaresWhatItDoesNotUse, {"gradients": r"no gradient there in 11 images: image_encoder.neck.4.spare; use it"}),
        (CountsItsSteps, {"gradients": "training changes what is not declared: image_encoder.neck.4.steps;"}),
        (TrainsWithNoise, {"repeats": "gives other weights the second time: image_encoder.neck.4.scale; .*no random numbers"}),
        (StaysInTraining, {"frozen": "in training mode while the method is trained: image_encoder.neck.4.drop;"}),
        (HidesAParameter, {"frozen": r"not declared: an unregistered tensor of shape \(64, 1, 1\);"}),
        (TrainsOnTheSly, {"frozen": "gradients reach what is not declared: image_encoder.neck.4.sly;"}),
        (DrawsWhatItDoesNotKeep, {"artefact": "features of the loaded model differ by up to .* at random"}),
        (KeepsHooks, {"swap": "these stay different: features, mask logits, predicted IoU; a hook"}),
        (LooksAcrossTheBatch, {"scores": r"scale, test/0000\d: the record says 0.\d+, the image by itself gives 0.\d+;"}),
        (WantsFloat32, {"precision": "bfloat16: RunFailed: the loss is nan"}),
        (
            Normalises,
            {
                "gradients": r"image_encoder.neck.4.norm.running_mean, image_encoder.neck.4.norm.running_var;",
                "frozen": "image_encoder.neck.4.norm;",
                "swap": "the swap leaves the state changed: image_encoder.neck.4.norm.num_batches_tracked",
            },
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_clause_is_named_and_no_other(method, broken, adding):
    # The clause of the scores waits for a search, half of all the time: only where it is the one that is broken.
    found = adding(method, NAMES if "scores" in broken else [name for name in NAMES if name != "scores"])
    assert {name for name, finding in found.items() if finding.outcome != OK} == set(broken)
    for name, reason in broken.items():
        assert found[name].outcome == FAILED
        assert re.search(reason, found[name].detail), found[name].detail
        assert "\n" not in found[name].detail


def test_a_method_may_start_elsewhere_if_it_says_so(adding):
    class SaysSo(StartsElsewhere):
        starts_as_base = False

    found = adding(SaysSo, ["start"])
    assert (found["start"].outcome, found["start"].detail) == (SKIPPED, "the method says starts_as_base = False")


@pytest.mark.parametrize(
    "attachment, reason",
    [
        (Attachment(("image_encoder.neck.4.scales",)), "the model has no parameter of that name: image_encoder.neck.4.scales$"),
        (Attachment(("image_encoder.neck.4.scale",) * 2), "declared twice, in `own` or `besides`: image_encoder.neck.4.scale$"),
        (
            Attachment(("image_encoder.neck.4.scale",), {"neck": ("image_encoder.neck.4.scale",)}),
            "declared twice, in `own` or `besides`: image_encoder.neck.4.scale$",
        ),
        (Attachment((), {"neck": ("image_encoder.neck.4.scale",)}), "count says 64 of the bare model.* there are none"),
        (Attachment(("prompt_encoder.no_mask_embed.weight",)), "ValueError: the prompt encoder is never trained"),
        (None, "attach returns NoneType; return an Attachment"),
    ],
)
def test_what_is_declared_must_be_there_once_and_be_counted(attachment, reason, adding):
    class Declares(Scale):
        def attach(self, model):
            super().attach(model)
            return attachment

    found = adding(Declares, ["declared"])
    assert found["declared"].outcome == FAILED
    assert re.search(reason, found["declared"].detail), found["declared"].detail


def test_nothing_declared_is_for_base_alone(adding):
    class Idle(Scale):
        own, size = (), 0

    found = adding(Idle, ["declared", "gradients"])
    assert [finding.outcome for finding in found.values()] == [OK, FAILED]
    assert "only base may do without" in found["gradients"].detail


def test_a_frozen_encoder_must_not_be_declared(adding):
    """Trained on features from memory, a layer of the encoder is never reached: `trains_encoder` False is then a mistake."""

    class SaysFrozen(Scale):
        trains_encoder = False

        def attach(self, model):
            kept = super().attach(model)
            return Attachment(kept.own, {"mask_decoder": ("mask_decoder.mask_tokens.weight",)})

    found = adding(SaysFrozen, ["gradients"])
    assert "no gradient there in 11 images: image_encoder.neck.4.scale;" in found["gradients"].detail


def test_the_list_of_idle_tensors_holds_no_entry_that_is_not_needed(adding, monkeypatch):
    (gradients,) = (clause for clause in CLAUSES if clause.name == "gradients")
    monkeypatch.setitem(IDLE, "image_encoder.neck.4.*", "a layer that is not idle at all")
    stale = adding(Scale, ["gradients"])["gradients"]
    assert stale.outcome == FAILED and "take 'image_encoder.neck.4.*' out" in stale.detail
    monkeypatch.delitem(IDLE, "image_encoder.neck.4.*")
    for entry, culprit in (
        ("mask_decoder.output_hypernetworks_mlps.[123].*", "mask_decoder.output_hypernetworks_mlps.1.layers.0.weight"),
        ("mask_decoder.iou_prediction_head.*", "mask_decoder.iou_prediction_head.layers.0.weight"),
        ("mask_decoder.*.k_proj.bias", "mask_decoder.transformer.layers.0.self_attn.k_proj.bias"),
    ):
        with monkeypatch.context() as without:
            without.delitem(IDLE, entry)
            (finding,) = examine("decoder", [gradients])
        assert finding.outcome == FAILED and f"no gradient there in 11 images: {culprit}" in finding.detail


def test_a_record_that_misses_an_image_or_mixes_two_up_is_found_out():
    (scores,) = (clause for clause in CLAUSES if clause.name == "scores")
    backbone = BACKBONES.get("sam-mini")
    with place() as here, here.inside():
        trial = Trial("base", here, backbone, checkpoint(backbone))
        true, ids = trial.record, trial.plan.test_ids
        assert scores.examine(trial).startswith("10 images in 4 evaluations")
        assert len(set(true.evaluation("base").scores["miou"])) == len(ids) == 10

        def told(name: str, change) -> str:
            """What the clause says of the record with one evaluation's scores changed."""
            parts = [
                e.model_copy(update={"scores": {"miou": change(e.scores["miou"])}} if e.name == name else {})
                for e in true.evaluations
            ]
            trial.record = true.model_copy(update={"evaluations": parts})
            with pytest.raises(Broken) as fault:
                scores.examine(trial)
            return str(fault.value)

        for name in ("base+best-of-three", "base+random-swap"):
            assert told(name, lambda s: [s[1], s[0], *s[2:]]).startswith(f"{name}, test/00000: the record says 0.")
        assert told("base+swap", lambda s: [*s[:8], s[7], s[9]]).startswith("base+swap, test/00008: the record says 0.")
        assert told("base", lambda s: s[:-1]) == "base: 9 scores for 10 images"
        trial.record = true.model_copy(update={"images": ids[::-1]})
        with pytest.raises(Broken, match="10 images, the plan 10, or in another order"):
            scores.examine(trial)
        trial.record = true.model_copy(update={"evaluations": true.evaluations[:-1]})
        with pytest.raises(Broken, match=r"but not both: base\+random-swap"):
            scores.examine(trial)


def test_an_id_in_two_sets_is_named():
    p = plan(Request("camo", "decoder", "mini-v1", device="cpu"), 1)
    assert disjoint([p, p]) == "2 plans: camo-mini"
    for wrong, reason in (
        (replace(p, test_ids=[*p.test_ids, p.train_ids[3]]), f"{p.train_ids[3]} stands in the training and the test set"),
        (replace(p, test_ids=[*p.test_ids, p.search_ids[3]]), f"{p.search_ids[3]} stands in the search and the test set"),
        (replace(p, train_ids=[*p.train_ids, p.search_ids[0]]), f"{p.search_ids[0]} stands in the training and the search set"),
        (replace(p, test_ids=[*p.test_ids, p.test_ids[0]]), f"{p.test_ids[0]} stands in the test and the test set"),
    ):
        with pytest.raises(Broken, match=f"camo-mini, seed 1: {reason}"):
            disjoint([p, wrong])


# The command.


def test_check_method_prints_a_line_a_clause_and_leaves_nothing_behind(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))
    with METHODS.temporarily("scale", Scale):
        assert main(["check", "method", "scale+swap"]) == 0
    shown = capsys.readouterr()
    assert re.findall(r"^  ok +(\w+) ", shown.out, re.M) == NAMES
    assert "64 parameters of its own" in shown.out and "scale+swap keeps the contract" in shown.out
    assert "10 images in 5 evaluations" in shown.out
    assert shown.err == ""
    assert os.environ["CHANSWAP_HOME"] == str(tmp_path) and list(tmp_path.iterdir()) == []


def test_check_method_goes_on_after_an_exception_and_says_where_it_came_from(capsys):
    class Raises(Scale):
        def attach(self, model):
            raise ZeroDivisionError("of\nno use")

    line = Raises.attach.__code__.co_firstlineno + 1
    with METHODS.temporarily("scale", Raises):
        assert main(["check", "method", "scale"]) == 1
    shown = capsys.readouterr().out
    failed = re.findall(r"^  FAILED +(\w+) .*ZeroDivisionError: of", shown, re.M)
    assert failed == [name for name in NAMES if name != "disjoint"]
    assert f"ZeroDivisionError: of no use ({Path(__file__).name}, line {line})" in shown
    assert f"scale breaks {len(NAMES) - 1} of {len(NAMES)} clauses: start, declared" in shown


@pytest.mark.parametrize("words", [[], ["lora", "--all"], ["lora", "doora"], ["lora+swop"]])
def test_check_method_wants_names_that_exist_or_all(words, capsys):
    assert main(["check", "method", *words]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and len(shown.err.splitlines()) == 1


def test_a_method_that_is_not_for_sam_is_not_checked_on_it(adding):
    class ForOthers(Scale):
        skips = {"sam": "it wants tokens"}

    with pytest.raises(UsageError, match="scale is not for sam-mini, on which methods are checked: it wants tokens"):
        adding(ForOthers)


# What a run asks of methods beside the contract.


def attached(name: str) -> tuple[Segmenter, Attachment]:
    torch.manual_seed(0)
    sam = sam_mini.build()
    attachment = METHODS.get(name)().attach(sam)
    freeze(sam, attachment)
    return Segmenter(sam), attachment


@TRAINED
def test_frozen_encoder_may_be_read_from_memory(name):
    """Training on kept features gives the very weights that training through the frozen encoder gives."""
    if METHODS.get(name).trains_encoder:
        pytest.skip("this method trains the encoder, so its features change with every step")
    made = [scene("camo", "train", k) for k in range(3)]
    samples = [Sample(f"train-{k:05d}", m.image, m.target) for k, m in enumerate(made)]
    training = Training(epochs=2, batch=2, learning_rate=1e-3, weight_decay=0.0)
    weights = []
    for kept in (False, True):
        segmenter, attachment = attached(name)
        with torch.no_grad():
            features = [segmenter.encode(segmenter.pixels(s.image)[None]).of(0) for s in samples] if kept else None
        train(segmenter, samples, training, seed=0, features=features)
        weights.append({n: p.detach() for n, p in segmenter.network.named_parameters() if n in attachment.names})
    for n in weights[0]:
        torch.testing.assert_close(weights[0][n], weights[1][n], atol=1e-4, rtol=1e-3)


def test_swap_is_a_suffix_of_every_method_and_nothing_else_is():
    for name in METHODS:
        assert split_method(name + SWAP) == (name, True)
        assert split_method(name) == (name, False)
    for wrong in ("dora+swop", "dora+swap+swap", "dora+", "+swap"):
        with pytest.raises(UsageError):
            split_method(wrong)
    with pytest.raises(UsageError, match="did you mean dora"):
        split_method("doora+swap")


def test_what_a_run_could_not_obey_is_refused():
    sam = sam_mini.build()
    with pytest.raises(ValueError, match="prompt encoder is never trained"):
        freeze(sam, Attachment(own=("prompt_encoder.no_mask_embed.weight",)))
    with pytest.raises(ValueError, match="attach declares no.such.parameter"):
        freeze(sam, Attachment(own=("no.such.parameter",)))
    sam.mask_decoder.register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="own forward is not called"):
        freeze(sam, Attachment())
    patched, subclassed = sam_mini.build(), sam_mini.build()
    patched.mask_decoder.predict_masks = lambda *_: None
    subclassed.mask_decoder.__class__ = type("Mine", (type(subclassed.mask_decoder),), {"__module__": "mine"})
    for changed in (patched, subclassed):
        with pytest.raises(ValueError, match="own forward is not called"):
            freeze(changed, Attachment())


def test_a_temporary_entry_is_gone_after_the_block_and_one_that_it_hid_is_back():
    known, lora = list(METHODS), METHODS.get("lora")
    with pytest.raises(ZeroDivisionError), METHODS.temporarily("lora", Scale), METHODS.temporarily("scale", Scale):
        assert METHODS.get("lora") is METHODS.get("scale") is Scale
        raise ZeroDivisionError
    assert list(METHODS) == known and METHODS.get("lora") is lora
