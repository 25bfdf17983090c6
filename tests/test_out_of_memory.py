"""A GPU whose memory runs out, acted by a forward that raises above a size: smaller parts, the same answer, and a record that says so."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import records
from benchmarks.backbones import sam_mini
from benchmarks.backbones.sam import Segmenter
from benchmarks.catalog import METHODS
from benchmarks.cli import main
from benchmarks.data.samples import Sample
from benchmarks.data.synthetic import scene
from benchmarks.errors import RunFailed
from benchmarks.memory import halving
from benchmarks.methods import freeze
from benchmarks.options import Options
from benchmarks.protocols import PROTOCOLS, Training
from benchmarks.train import train
from benchmarks.train_state import TrainState
from tests.small import few, small

TRAINING = Training(epochs=2, batch=4, learning_rate=1e-3, weight_decay=1e-3)
FULL = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB"


class Card:
    """Memory for `most` images or versions at a time, from the `after`-th call on."""

    def __init__(self, most: int, after: int = 0):
        self.most, self.after, self.calls, self.sizes = most, after, 0, []

    def take(self, size: int) -> None:
        self.calls += 1
        if self.calls > self.after and size > self.most:
            raise torch.OutOfMemoryError(FULL)
        self.sizes.append(size)

    def guard(self, monkeypatch, holder, *names: str) -> None:
        for name in names:
            original = getattr(holder, name)

            def guarded(model, batch, *args, original=original, **kwargs):
                self.take(len(batch))
                return original(model, batch, *args, **kwargs)

            monkeypatch.setattr(holder, name, guarded)


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    made = [scene("camo", "train", k) for k in range(6)]
    return [Sample(f"train-{k:05d}", m.image, m.target) for k, m in enumerate(made)]


def trained(samples: list[Sample], micro_batch: int, training: Training = TRAINING, **how) -> tuple[list[float], dict, Segmenter]:
    torch.manual_seed(0)
    sam = sam_mini.build()
    freeze(sam, METHODS.get("lora")().attach(sam))
    model = Segmenter(sam)
    losses = train(model, samples, training, 7, options=Options(micro_batch=micro_batch), **how)
    return losses, {n: p.detach().clone() for n, p in sam.named_parameters() if p.requires_grad}, model


def test_a_step_is_done_again_in_smaller_parts_to_the_same_weights(samples, monkeypatch, caplog):
    losses, weights, _ = trained(samples, 1)
    card, sizes = Card(1), []
    card.guard(monkeypatch, Segmenter, "encode")
    with caplog.at_level(logging.WARNING):
        again, same, _ = trained(samples, 4, halved=sizes.append)
    assert again == losses and all(torch.equal(same[n], weights[n]) for n in weights)  # nothing of the failed tries is left
    assert sizes == [1] and card.sizes == [1] * 12  # it is not tried again in every step
    assert [r.getMessage().split("; ")[1] for r in caplog.records] == [
        "it goes on with 2 at a time",
        "it goes on with 1 at a time",
    ]


def test_gradients_of_a_step_in_smaller_parts_are_those_of_the_batch(samples, monkeypatch):
    once = replace(TRAINING, epochs=1, batch=6)
    wanted = {n: p.grad for n, p in trained(samples, 6, once)[2].network.named_parameters() if p.grad is not None}
    Card(2).guard(monkeypatch, Segmenter, "encode")
    found = {n: p.grad for n, p in trained(samples, 6, once)[2].network.named_parameters() if p.grad is not None}
    assert found.keys() == wanted.keys() != set()
    for name, gradient in wanted.items():
        assert (found[name] - gradient).norm() <= 1e-3 * gradient.norm() + 1e-6, name


def test_memory_that_goes_on_the_way_back_halves_too(samples, monkeypatch):
    original, sizes = torch.autograd.grad, []

    def grad(loss, *args, **kwargs):
        sizes.append(1)
        if len(sizes) == 2:  # the second part of the first step, when the first has its gradients
            raise torch.OutOfMemoryError(FULL)
        return original(loss, *args, **kwargs)

    losses, weights, _ = trained(samples, 1)
    monkeypatch.setattr(torch.autograd, "grad", grad)
    again, same, _ = trained(samples, 2)
    assert again == losses and all(torch.equal(same[n], weights[n]) for n in weights)


def test_a_killed_training_goes_on_with_the_parts_it_had_come_to(samples, monkeypatch, tmp_path):
    losses, weights, _ = trained(samples, 1)
    state, sizes = TrainState(tmp_path / "state", "key"), []
    with monkeypatch.context() as patch:
        Card(1).guard(patch, Segmenter, "encode")
        trained(samples, 4, state=state)
    assert state.micro_batch() == 1 and TrainState(state.path, "another").micro_batch() is None
    again, same, _ = trained(samples, 4, state=state, halved=sizes.append)  # now there would be room
    assert again == losses and sizes == [1] and all(torch.equal(same[n], weights[n]) for n in weights)


def test_one_that_does_not_fit_is_said_and_so_is_a_size_that_is_fixed(samples, monkeypatch):
    Card(0).guard(monkeypatch, Segmenter, "encode")
    with pytest.raises(RunFailed, match=r"micro-batches of training, 1 at a time \(CUDA out of memory\); try --micro-batch 1, "):
        trained(samples, 2)
    with pytest.raises(RunFailed, match="2 at a time"):
        trained(samples, 2, fixed=True)


def test_halving_calls_with_ever_smaller_sizes():
    tried = []

    def work(size):
        tried.append(size)
        if size > 2:
            raise torch.OutOfMemoryError
        return "done"

    assert halving(work, 9, "x", "y") == ("done", 2) and tried == [9, 4, 2]


# Whole runs


@pytest.fixture
def place(tmp_path, tmp_path_factory, monkeypatch):
    images = tmp_path_factory.getbasetemp() / "images-of-memory"
    images.mkdir(exist_ok=True)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "data").symlink_to(images)
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(PROTOCOLS._entries, "mini-v1", small())
    monkeypatch.setattr("benchmarks.data.generated.manifest", few)
    return tmp_path


def run(place: Path, folder: str, *words: str) -> tuple[int, records.Record]:
    call = ["run", "--task", "camo", "--threads", "1", "--device", "cpu", "--force", "--results", str(place / folder / "results")]
    code = main([*call, *words])
    (path,) = (place / folder / "results").rglob("*.json")
    return code, records.read(path)


def test_a_run_in_too_little_memory_comes_to_the_same_and_its_record_says_how(place, monkeypatch, capsys):
    words = ("--method", "lora+swap")
    _, wanted = run(place, "plain", *words, "--micro-batch", "1")
    capsys.readouterr()
    card = Card(1)
    card.guard(monkeypatch, Segmenter, "encode", "measures")
    code, found = run(place, "full", *words)
    said = capsys.readouterr().err
    assert code == 0 and found.training.micro_batch == 1 and max(card.sizes) == 1
    for what in ("micro-batches of training", "images in the encoder", "versions of an image's features"):
        assert f"the GPU's memory ran out in {what}; it goes on with " in said
    assert found.training.losses == wanted.training.losses and found.search.pairs == wanted.search.pairs
    for mine, other in zip(found.evaluations, wanted.evaluations, strict=True):
        assert mine.name == other.name
        for metric, scores in other.scores.items():
            assert mine.scores[metric] == pytest.approx(scores, abs=2e-3), (mine.name, metric)
        assert mine.metrics["miou"].value == pytest.approx(other.metrics["miou"].value, abs=1e-4)


@pytest.mark.parametrize("words, says", [((), "1 at a time"), (("--deterministic",), "2 at a time")])
def test_a_run_that_cannot_fit_fails_in_a_line(place, monkeypatch, capsys, words, says):
    Card(0 if not words else 1).guard(monkeypatch, Segmenter, "encode")
    code, record = run(place, "none", "--method", "lora", *words)
    said = capsys.readouterr().err
    assert code == 1 and record.status == "failed" and "Traceback" not in said
    assert record.error.startswith(f"the GPU's memory does not hold micro-batches of training, {says} (CUDA out of memory); try ")


def test_memory_that_runs_out_anywhere_else_is_said_in_a_line_too(place, monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.stages.train.train", lambda *a, **k: (_ for _ in ()).throw(torch.OutOfMemoryError(FULL)))
    code, record = run(place, "else", "--method", "lora")
    assert code == 1 and "Traceback" not in capsys.readouterr().err
    assert record.error.startswith("the GPU's memory ran out (CUDA out of memory); try --micro-batch 1, ")


def test_a_batch_of_which_not_even_the_smallest_fits_leaves_the_rest_to_the_scorer(place, monkeypatch):
    from benchmarks.plan import Request, plan
    from benchmarks.stages import search
    from benchmarks.stages.workbench import Workbench
    from chanswap import Scorer, score

    def evaluate(versions, image):
        if len(versions) > 2:
            raise torch.OutOfMemoryError(FULL)
        return versions.flatten(1).mean(1)

    bench = Workbench(plan(Request("camo", "base+swap", device="cpu"), 0), 1, None)
    scorer = Scorer([torch.rand(64, 2, 2)], evaluate)
    size = search._batch(bench, scorer)
    assert size == 4 and search._batch(bench, scorer) == 4  # kept
    assert score(replace(scorer, batch=size), torch.tensor([[[0, 1]]] * 9)).shape == (1, 9)
    with pytest.raises(torch.OutOfMemoryError):
        score(replace(scorer, batch=size, halves=False), torch.tensor([[[0, 1]]] * 9))
