"""Stage train: the weights that a method trains."""

from __future__ import annotations

from dataclasses import asdict, replace

import torch

from benchmarks import data, store
from benchmarks.backbones.model import Model
from benchmarks.catalog import METHODS
from benchmarks.errors import RunFailed, some
from benchmarks.files import write_atomically
from benchmarks.methods import trainable
from benchmarks.progress import progress
from benchmarks.stages import feature_file
from benchmarks.stages.attached import attached
from benchmarks.stages.workbench import Workbench
from benchmarks.train import train
from benchmarks.train_state import TrainState

WEIGHTS = "weights.safetensors"


def trained(bench: Workbench) -> store.Kept:
    """Train the method, or read what an earlier run trained."""
    job = bench.plan.jobs["train"]
    kept = bench.stage("train", job, lambda: _train(bench, job), (WEIGHTS,))
    _state(job).remove()  # only now: a kill before would have cost every epoch
    return kept


def adapted(bench: Workbench) -> Model:
    """The run's model with its trained weights loaded."""
    from safetensors.torch import load_file

    model, attachment = attached(bench, bench.plan.method)
    if attachment.names:
        weights = load_file(trained(bench).files[WEIGHTS])
        parameters = dict(model.network.named_parameters())
        with torch.no_grad():
            for name in attachment.names:
                parameters[name].copy_(weights[name])
    return model


def _train(bench: Workbench, job: store.Job) -> dict:
    from safetensors.torch import save

    p = bench.plan
    bench.models.pop(p.method, None)  # never go on from weights that were trained already
    model, attachment = attached(bench, p.method)
    if not attachment.names:
        raise RunFailed(f"method {p.method} declares nothing to train; return the names of its parameters from attach")
    samples = data.load(p.dataset, "train", p.train_ids)
    job.folder.mkdir(parents=True, exist_ok=True)
    state, features, options = _state(job), None, p.options
    before = state.seconds()
    if not METHODS.get(p.method).trains_encoder:
        path = job.folder / "train.features"
        features = feature_file.read_or_written(bench, model, samples, path, p.train_ids, job.key)
        options = replace(options, activation_checkpointing=False)  # the encoder is not run
    sizes = [options.micro_batch]
    with progress(f"train {p.method}", p.protocol.training.epochs * len(samples), "images") as bar:
        losses = train(
            model, samples, p.protocol.training, p.seed, features, bar.step, bench.workers, options, state,
            sizes.append, p.deterministic,
        )  # fmt: skip
    options = replace(options, micro_batch=min(sizes))  # where memory ran out, the smallest that a step was made of
    named = dict(model.network.named_parameters())
    if lost := [n for n in attachment.names if not named[n].isfinite().all()]:  # the last step's; a loss before it was finite
        raise RunFailed(f"training {p.method} ended with NaN or infinity in {some(lost)}; lower the learning rate")
    artefact = job.folder / WEIGHTS
    write_atomically(artefact, save({n: named[n].detach().cpu().contiguous() for n in attachment.names}))
    features = None  # some systems remove no file that is mapped
    (job.folder / "train.features").unlink(missing_ok=True)
    own, besides = trainable(model.network, attachment)
    return {
        "seconds_before": before,  # of epochs that a call before this one did
        "trainable": {"method": own, "besides": besides},
        "training": {**asdict(options), "losses": losses, "artefact_bytes": artefact.stat().st_size},
    }


def _state(job: store.Job) -> TrainState:
    return TrainState(job.folder / "epoch.safetensors", job.key)
