"""Stage head: the linear head of the bare backbone, for tasks that have one."""

from __future__ import annotations

from benchmarks import data, heads, store
from benchmarks.files import write_atomically
from benchmarks.methods import Attachment, freeze
from benchmarks.stages import feature_file
from benchmarks.stages.workbench import Workbench

WEIGHTS = "head.safetensors"


def fitted(bench: Workbench) -> store.Kept:
    """The head, trained once for all methods and seeds, or read."""
    return bench.stage("head", bench.plan.jobs["head"], lambda: _fit(bench), (WEIGHTS,))


def _fit(bench: Workbench) -> dict:
    from safetensors.torch import save

    p, job = bench.plan, bench.plan.jobs["head"]
    network = bench.build()
    heads.attach(network, p.task, p.protocol, p.dataset.classes)
    freeze(network, Attachment())
    model, samples = bench.as_model(network), data.load(p.dataset, "train", p.train_ids)
    job.folder.mkdir(parents=True, exist_ok=True)
    path = job.folder / "head.features"
    features = feature_file.written(bench, model, samples, path, p.train_ids, job.key)
    state = heads.fit(model, features.sites, samples, p.protocol)
    tensors = {name: part.detach().cpu().contiguous() for name, part in state.items()}
    write_atomically(job.folder / WEIGHTS, save(tensors))
    features = None  # some systems remove no file that is mapped
    path.unlink(missing_ok=True)
    return {"images": len(samples)}
