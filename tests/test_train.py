"""Training: the loss, its options, and going on after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from benchmarks.backbones import sam_mini
from benchmarks.backbones.sam import Segmenter
from benchmarks.catalog import METHODS
from benchmarks.data.samples import Sample
from benchmarks.data.synthetic import scene
from benchmarks.errors import RunFailed, UsageError
from benchmarks.losses import dice_ce
from benchmarks.memory import checkpointed
from benchmarks.methods import freeze
from benchmarks.options import Options
from benchmarks.protocols import Training
from benchmarks.train import loaded, orders, train
from benchmarks.train_state import TrainState
from tests.small import home

ROOT = Path(__file__).parents[1]
TRAINING = Training(epochs=3, batch=2, learning_rate=1e-3, weight_decay=1e-3)


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    made = [scene("camo", "train", k) for k in range(5)]
    return [Sample(f"train-{k:05d}", m.image, m.target) for k, m in enumerate(made)]


def attached(name: str) -> Segmenter:
    torch.manual_seed(0)
    sam = sam_mini.build()
    freeze(sam, METHODS.get(name)().attach(sam))
    return Segmenter(sam)


def trained(name: str, samples: list[Sample], training: Training = TRAINING, **how) -> tuple[list[float], dict]:
    segmenter = attached(name)
    losses = train(segmenter, samples, training, 7, **how)
    return losses, {n: p.detach().clone() for n, p in segmenter.network.named_parameters() if p.requires_grad}


def gradients(name: str, samples: list[Sample], **how) -> dict[str, torch.Tensor]:
    """Of one step with all samples in its batch."""
    segmenter = attached(name)
    train(segmenter, samples, replace(TRAINING, epochs=1, batch=len(samples)), 7, **how)
    return {n: p.grad for n, p in segmenter.network.named_parameters() if p.grad is not None}


def assert_close(found: dict, wanted: dict) -> None:
    assert found.keys() == wanted.keys() != set()
    for name, gradient in wanted.items():
        assert (found[name] - gradient).norm() <= 1e-3 * gradient.norm() + 1e-6, name


def test_the_loss_by_hand():
    logits, truth = torch.randn(3, 4, 5), torch.randint(0, 2, (3, 4, 5)).float()
    wanted = 0.0
    for x, t in zip(logits, truth):
        p = 1 / (1 + (-x).exp())
        entropy = -(t * p.log() + (1 - t) * (1 - p).log()).mean()
        wanted += (entropy + 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)) / 3
    torch.testing.assert_close(dice_ce(logits, truth), wanted)
    assert dice_ce(100 * (2 * truth - 1), truth) < 1e-6  # a perfect mask costs nothing
    assert dice_ce(torch.full((1, 4, 4), -100.0), torch.zeros(1, 4, 4)) < 1e-6  # nor does an empty one of an empty truth


def test_an_epochs_order_does_not_depend_on_those_that_follow():
    assert orders(3, 9, 2) == orders(3, 9, 5)[:2]
    assert all(sorted(turn) == list(range(9)) for turn in orders(3, 9, 4)) and orders(3, 9, 2) != orders(4, 9, 2)


@pytest.mark.parametrize("name", ["decoder", "dora", "medsam", "sam-parser"])
def test_accumulated_gradients_are_those_of_the_batch(samples, name):
    whole = gradients(name, samples, options=Options(micro_batch=5))
    for micro in (1, 2, 3):  # 3 and 2: the last part is smaller, and counts for less
        assert_close(gradients(name, samples, options=Options(micro_batch=micro)), whole)


@pytest.mark.parametrize("name", ["lora", "encoder", "adapter"])
def test_activation_checkpointing_gives_the_same_gradients(samples, name):
    lean = Options(micro_batch=5, activation_checkpointing=True)
    assert_close(gradients(name, samples, options=lean), gradients(name, samples, options=Options(micro_batch=5)))


def test_activation_checkpointing_remembers_less():
    segmenter = attached("encoder")
    image = torch.randn(1, 3, 128, 128)

    def remembered() -> int:
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.nbytes) or t, lambda t: t):
            segmenter.network.image_encoder(image).sum()
        return sum(sizes)

    plain = remembered()
    with checkpointed(segmenter.network):
        assert remembered() < plain / 4
    assert remembered() == plain
    with pytest.raises(ZeroDivisionError), checkpointed(segmenter.network):
        raise ZeroDivisionError
    assert not any("forward" in vars(m) for m in segmenter.network.modules())
    block = segmenter.network.image_encoder.blocks[0]
    block.forward = mine = lambda x: x  # as a method may have it
    with checkpointed(segmenter.network):
        assert block.forward is not mine
    assert block.forward is mine


@pytest.mark.parametrize("how", [{"workers": 2}, {"options": Options(loaders=2)}, {"workers": 2, "options": Options(loaders=1)}])
def test_workers_and_loaders_change_no_bit(samples, how):
    losses, weights = trained("dora", samples)
    again, same = trained("dora", samples, **how)
    assert again == losses and all(torch.equal(same[n], weights[n]) for n in weights)


def test_loaders_read_in_order(samples):
    batches = [[4, 0], [2], [1, 3]]
    for loaders in (0, 2):
        read = [[(k, sample.id) for k, sample in batch] for batch in loaded(samples, batches, loaders)]
        assert read == [[(k, samples[k].id) for k in batch] for batch in batches]


def test_frozen_parts_stay_in_eval_mode_and_out_of_the_graph(samples):
    segmenter, seen = attached("decoder"), []
    segmenter.network.image_encoder.register_forward_hook(
        lambda module, _, out: seen.append((module.training, out.requires_grad))
    )
    train(segmenter, samples, TRAINING, 0, step=lambda _: seen.append((segmenter.network.training, False)))
    assert len(seen) == 3 * (3 + 3) and set(seen) == {(False, False)}


class Killed(Exception):
    pass


@pytest.mark.parametrize("name", ["dora", "decoder", "cobot"])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_killed_training_goes_on_to_the_same_weights(samples, tmp_path, name, after):
    """Stopped in epoch `after`, counted from nought: the epochs before it are kept, its own steps are done again."""
    losses, weights = trained(name, samples)
    state, told = TrainState(tmp_path / "state", "key"), []

    def stop(done: int) -> None:
        told.append(done)
        if sum(told) > 5 * after + 2:
            raise Killed

    with pytest.raises(Killed):
        trained(name, samples, state=state, step=stop)
    assert state.path.exists() == (after > 0)
    steps = []
    again, same = trained(name, samples, state=state, step=steps.append)
    assert again == losses and all(torch.equal(same[n], weights[n]) for n in weights)
    assert sum(steps) == 15 and (steps[0] == 5 * after if after else steps[0] == 2)


def test_the_seconds_of_kept_epochs_are_kept(samples, tmp_path):
    state = TrainState(tmp_path / "state", "key")
    assert state.seconds() == 0.0
    begun = time.perf_counter()
    trained("decoder", samples, state=state)
    first = state.seconds()
    assert 0 < first < time.perf_counter() - begun
    trained("decoder", samples, state=state)  # goes on after the second of three epochs
    assert state.seconds() == first  # the last epoch is not kept: its weights are the result
    assert TrainState(state.path, "another").seconds() == 0.0
    state.path.write_bytes(b"rubbish")
    assert state.seconds() == 0.0


@pytest.mark.parametrize("damage", ["cut", "rubbish", "other key", "other parameters", "without moments"])
def test_what_cannot_be_gone_on_from_is_begun_anew(samples, tmp_path, damage, caplog):
    losses, weights = trained("lora", samples)
    state = TrainState(tmp_path / "state", "key")
    if damage == "other parameters":
        trained("decoder", samples, state=state)
    elif damage == "other key":
        trained("lora", samples, state=TrainState(state.path, "another"))
    else:
        trained("lora", samples, state=state)
        whole = state.path.read_bytes()
        if damage == "without moments":  # another version of torch names them otherwise
            whole = whole.replace(b"exp_avg_sq ", b"exp_avg_xx ")
        state.path.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"rubbish" if damage == "rubbish" else whole)
    again, same = trained("lora", samples, state=state)
    assert again == losses and all(torch.equal(same[n], weights[n]) for n in weights)


def test_a_loss_that_is_not_finite_says_where(samples):
    broken = [*samples[:2], Sample("train-bad", samples[2].image, samples[2].mask), *samples[3:]]
    segmenter = attached("decoder")
    features = [(torch.full((64, 16, 16), torch.inf if s.id == "train-bad" else 0.1), ()) for s in broken]
    with pytest.raises(RunFailed, match="^the loss is nan in epoch 1 on .*train-bad.*; look at these images"):
        train(segmenter, broken, TRAINING, 7, features=features)


def test_a_gradient_that_is_not_finite_stops_it_too(samples, monkeypatch):
    """The loss of the last step may be fine and the weights after it not."""

    def loss(logits, truth):
        return dice_ce(logits, truth) + (logits - logits).sum().abs().sqrt()  # nought, but its gradient is not a number

    monkeypatch.setattr("benchmarks.backbones.sam.dice_ce", loss)
    segmenter = attached("decoder")
    before = {n: p.clone() for n, p in segmenter.network.named_parameters()}
    segmenter.precision = "bfloat16"
    with pytest.raises(
        RunFailed, match="^the gradient of mask_decoder.* is not finite in epoch 1 on train-.*; try --precision float32"
    ):
        train(segmenter, samples, TRAINING, 7)
    assert all(torch.equal(p, before[n]) for n, p in segmenter.network.named_parameters())


def test_with_features_at_hand_each_image_is_read_once(samples):
    class Counted(list):
        read = 0

        def __getitem__(self, k):
            Counted.read += 1
            return super().__getitem__(k)

    segmenter = attached("decoder")
    with torch.no_grad():
        features = [segmenter.encode(segmenter.pixels(s.image)[None]).of(0) for s in samples]
    losses = train(segmenter, Counted(samples), TRAINING, 7, features)
    assert Counted.read == 5
    assert losses == train(attached("decoder"), samples, TRAINING, 7, features, options=Options(loaders=1))


def test_options_that_cannot_be():
    for wrong in ({"micro_batch": 0}, {"loaders": -1}):
        with pytest.raises(UsageError, match="--micro-batch must be at least 1"):
            Options(**wrong)


def test_targets_cover_what_the_mask_covers(samples):

    segmenter = attached("base")
    mask = torch.zeros(60, 100, dtype=torch.bool)
    mask[10:40, 30:90] = True
    item = segmenter.item(Sample("a", torch.zeros(60, 100, 3, dtype=torch.uint8).numpy(), mask.numpy()))
    made = segmenter.target(item)
    assert made.shape == (64, 64) and float(made.min()) == 0 and float(made.max()) == 1
    # 100 x 60 becomes 128 x 77 pixels and 64 x 38.5 tokens' pixels; what lies below is padding.
    assert float(made[39:].abs().sum()) == 0
    assert float(made.sum()) == pytest.approx(float(mask.float().sum()) * 0.64**2, rel=0.02)
    assert float(F.interpolate(made[None, None], (128, 128))[0, 0, 40, 70]) == 1


SLOWLY = """
import sys
from dataclasses import replace
from benchmarks.protocols import PROTOCOLS
from tests.small import small
p = small()
PROTOCOLS._entries["mini-v1"] = replace(p, training=replace(p.training, epochs=4))
from benchmarks.cli import main
sys.exit(main(["run", "--task", "camo", "--method", "dora", "--threads", "1", "--results", sys.argv[1]]))
"""


def test_a_run_killed_while_it_trains_ends_with_the_same_weights(tmp_path):
    """By SIGKILL, in a process of its own, once its first epoch is on disk."""

    def start(place: Path) -> subprocess.Popen:
        words = [sys.executable, "-c", SLOWLY, str(place / "results")]
        return subprocess.Popen(words, env=home(place), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    first, other = start(killed), start(whole)
    until = time.monotonic() + 240
    while not list(killed.glob("stages/train/*/epoch.safetensors")):
        assert first.poll() is None and time.monotonic() < until, first.communicate()[1]
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert not list(killed.glob("stages/train/*/weights.safetensors"))
    again = start(killed)
    said = again.communicate()[1]
    assert again.returncode == 0 and "training goes on after epoch" in said, said
    assert other.wait(240) == 0
    (found,), (wanted,) = (list(h.glob("stages/train/*/weights.safetensors")) for h in (killed, whole))
    found, wanted = load_file(found), load_file(wanted)
    assert found.keys() == wanted.keys() and all(torch.equal(found[n], wanted[n]) for n in wanted)
    assert not list(killed.glob("stages/train/*/epoch.safetensors"))
