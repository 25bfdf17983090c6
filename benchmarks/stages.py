"""The stages of a run: each takes a plan, does its work or reads what is kept, and leaves a file under its job's key."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import backbones, data, store
from benchmarks.backbones.anatomy import encoder_names
from benchmarks.backbones.sam import Segmenter
from benchmarks.catalog import METHODS, SWAP
from benchmarks.cost import measured
from benchmarks.data.samples import Sample
from benchmarks.errors import MissingData, RunFailed
from benchmarks.methods import Attachment, freeze, trainable
from benchmarks.parallel import each
from benchmarks.plan import Plan
from benchmarks.progress import progress, progress_by_stage
from benchmarks.records import ScreenedPair, Search, Stage
from benchmarks.train import train
from benchmarks.train_state import TrainState
from chanswap import CacheError, FeatureCache, Scorer, Swap, random_swap, search

log = logging.getLogger("benchmarks")
SEARCH_BATCH = 32  # versions of one image at a time: 32 x 64 x 16 x 16 floats stay in a core's second-level cache
TEST_BATCH = 8  # images that go through the encoder together
REMEMBERED = 2**30  # bytes of test features held between the evaluations of one run; a larger test set is encoded again
BEST_OF_THREE = "base+best-of-three"


@dataclass
class Workbench:
    """What the stages of one run share: the plan, the threads, models built so far, and the cost of each stage."""

    plan: Plan
    threads: int
    weights: Path
    costs: list[Stage] = field(default_factory=list)
    _encoded: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    _models: dict[str, tuple[Segmenter, Attachment]] = field(default_factory=dict)
    _seen: set[bytes] | None = None

    def model(self, method: str) -> tuple[Segmenter, Attachment]:
        """The backbone with a method attached, frozen but for what the method trains; built once."""
        if method not in self._models:
            sam = backbones.build(self.plan.backbone, self.weights)
            torch.manual_seed(self.plan.seed)  # the adapter's own random start belongs to the seed
            chosen = METHODS.get(method)()
            attachment = chosen.attach(sam)
            freeze(sam, attachment)
            if not chosen.trains_encoder and (lost := sorted(set(attachment.names) & set(encoder_names(sam)))):
                raise RunFailed(
                    f"method {method} says trains_encoder = False but declares {', '.join(lost)}; leave out one of both"
                )
            own, _ = trainable(sam, attachment)
            if own != chosen.count(sam):
                raise RunFailed(f"method {method} trains {own:,} parameters of its own but declares {chosen.count(sam):,}")
            self._models[method] = Segmenter(sam, self.plan.device, self.plan.precision), attachment
        return self._models[method]

    def adapted(self) -> Segmenter:
        """The run's model with its trained weights loaded."""
        segmenter, attachment = self.model(self.plan.method)
        if attachment.names:
            _load(segmenter.sam, attachment, self.trained())
        return segmenter

    def stage(self, name: str, job: store.Job, work: Callable[[], dict], files: tuple[str, ...] = ()) -> store.Kept:
        """Do a stage or read the kept one; note its cost either way."""
        with store.alone(job):  # another process that is at it is waited for, and its result read
            if found := store.kept(job):
                self._note(name, found.cost, cached=True)
                return found
            with measured(self.plan.device) as cost:
                result = work()
            spent = {
                "seconds": round(cost.seconds + result.pop("seconds_before", 0.0), 3),
                "threads": self.threads,
                "peak_memory_mb": cost.peak_memory_mb,
                "peak_gpu_mb": cost.peak_gpu_mb,
            }
            self._note(name, spent, cached=False)
            return store.keep(job, result, spent, files)

    def _note(self, name: str, cost: dict, cached: bool) -> None:
        if name not in {c.name for c in self.costs}:
            self.costs.append(Stage(name=name, cached=cached, **cost))

    def trained(self) -> store.Kept:
        """Train the method, or read what an earlier run trained."""
        job = self.plan.jobs["train"]
        kept = self.stage("train", job, lambda: self._train(job), ("weights.safetensors",))
        _state(job).remove()  # only now: a kill before would have cost every epoch
        return kept

    def _train(self, job: store.Job) -> dict:
        from safetensors.torch import save_file

        p = self.plan
        self._models.pop(p.method, None)  # never go on from weights that were trained already
        segmenter, attachment = self.model(p.method)
        if not attachment.names:
            raise RunFailed(f"method {p.method} declares nothing to train; return the names of its parameters from attach")
        samples = data.load(p.dataset, "train", p.train_ids)
        job.folder.mkdir(parents=True, exist_ok=True)
        state, features, options = _state(job), None, p.options
        before = state.seconds()
        if not METHODS.get(p.method).trains_encoder:
            features = self._train_features(segmenter, samples, job.folder / "train.features")
            options = replace(options, activation_checkpointing=False)  # the encoder is not run
        with progress(f"train {p.method}", p.protocol.training.epochs * len(samples), "images") as bar:
            losses = train(segmenter, samples, p.protocol.training, p.seed, features, bar.step, self.workers, options, state)
        named = dict(segmenter.sam.named_parameters())
        artefact = job.folder / "weights.safetensors"
        save_file({n: named[n].detach().cpu().contiguous() for n in attachment.names}, artefact)
        features = None  # some systems remove no file that is mapped
        (job.folder / "train.features").unlink(missing_ok=True)
        own, besides = trainable(segmenter.sam, attachment)
        return {
            "seconds_before": before,  # of epochs that a call before this one did
            "trainable": {"method": own, "besides": besides},
            "training": {**asdict(options), "losses": losses, "artefact_bytes": artefact.stat().st_size},
        }

    def _train_features(self, segmenter: Segmenter, samples: Sequence[Sample], path: Path) -> FeatureCache:
        """Encoder features of the training images, for a method that leaves the encoder alone. A killed training reads its own."""
        try:
            found = FeatureCache(path)
            if found.ids == self.plan.train_ids:
                return found
        except (FileNotFoundError, CacheError):
            pass
        return self._embed(segmenter, samples, path, self.plan.train_ids)

    @property
    def workers(self) -> int:
        """Images that are worked on at once: one a thread on the CPU, one on any other device."""
        return self.threads if self.plan.device == "cpu" else 1

    def _embed(self, segmenter: Segmenter, samples: Sequence[Sample], path: Path, names: list[str]) -> FeatureCache:
        def encode(k: int) -> Tensor:
            with torch.inference_mode():
                return segmenter.encode(segmenter.pixels(samples[k].image)[None])[0]

        def features():
            for name, feature in zip(names, each(encode, range(len(names)), self.workers)):
                yield name, feature
                bar.step()

        with progress("embed", len(names), "images") as bar:
            return FeatureCache.write(path, features())

    def features(self) -> tuple[FeatureCache, Sequence[Sample]]:
        """The encoder's features of the search images, computed once and kept."""
        p, job = self.plan, self.plan.jobs["embed"]
        samples = data.load(p.dataset, "train", p.search_ids)
        path = job.folder / "search.features"

        def work() -> dict:
            self._embed(self.adapted(), samples, path, p.search_ids)
            return {"images": len(samples)}

        self.stage("embed", job, work, (path.name,))
        try:
            return FeatureCache(path), samples
        except CacheError as error:  # checksums agree, so another version wrote it
            log.warning("%s; embedding again", error)
            store.discard(job)
            return FeatureCache(self.stage("embed", job, work, (path.name,)).files[path.name]), samples

    def found(self) -> Search:
        """The swap that the search set asks for."""
        p, job = self.plan, self.plan.jobs["search"]

        def work() -> dict:
            cache, samples = self.features()
            segmenter = self.adapted()
            items = [segmenter.item(sample) for sample in samples]
            scorer = Scorer(
                cache,
                lambda versions, image: segmenter.score(versions, items[image]),
                batch=SEARCH_BATCH,
                workers=self.workers,
                device=p.device,
                evaluate_pairs=segmenter.pair_scorer(cache, items, self.workers),
            )
            job.folder.mkdir(parents=True, exist_ok=True)
            with progress_by_stage("search", "passes") as show:
                best = search(
                    scorer,
                    keep=p.protocol.keep,
                    strategy=p.protocol.strategy,
                    journal=job.folder / "journal",
                    key=job.key,
                    progress=show,
                )
            kept = [ScreenedPair(redundant=r, effective=e, gain=gain) for (r, e), gain in best.kept]
            return Search(
                strategy=p.protocol.strategy,
                images=p.search_ids,
                channels=scorer.channels,
                pairs=list(best.swap.pairs),
                kept=kept,
                evaluations=best.evaluations,
                combinations=best.tried,
                conflicts=best.conflicts,
                base_score=best.base,
                search_gain=best.gain,
            ).model_dump(mode="json")

        return Search.model_validate(self.stage("search", job, work).result)

    def evaluated(self) -> dict[str, list[float]]:
        """Per-image scores of every variant of the run, in the order of the plan's test images."""
        p = self.plan
        scores: dict[str, list[float]] = {}
        swap_job = f"evaluate {p.method}{SWAP}"
        variants: list[tuple[str, Swap]] = []
        if p.swap:
            chosen = Swap(self.found().pairs, channels=p.backbone.channels)
            variants = [("chosen", chosen)]
            variants += [
                (f"random {k}", random_swap(p.backbone.channels, len(chosen), 1000 * p.seed + k))
                for k in range(p.protocol.random_draws)
            ]
        wanted = {"evaluate base": ("base", []), f"evaluate {p.method}": (p.method, [])}
        if p.swap:
            wanted[swap_job] = (p.method, variants)
        for name, (method, swaps) in wanted.items():
            job = p.jobs[name]
            kept = self.stage(name, job, lambda m=method, s=swaps, n=name: self._evaluate(n, m, s))
            scores.update(kept.result)
        return scores

    def _evaluate(self, name: str, method: str, swaps: list[tuple[str, Swap]]) -> dict[str, list[float]]:
        """One pass over the test set. Without swaps, the plain model (and the best-of-three control for base)."""
        p = self.plan
        segmenter = self.model("base")[0] if method == "base" else self.adapted()
        samples = data.load(p.dataset, "test", p.test_ids)
        known = self._known()
        columns: dict[str, list[float]] = {}

        def scores(start: int) -> list[dict[str, float]]:
            batch = [samples[k] for k in range(start, min(start + TEST_BATCH, len(samples)))]
            for sample in batch:
                if _content(sample) in known:
                    raise MissingData(
                        f"{p.dataset.name}: test image {sample.id} also stands in the training split; remove it from one"
                    )
            with torch.inference_mode():
                features = self._encoded.get((method, start))
                if features is None:
                    features = segmenter.encode(torch.stack([segmenter.pixels(s.image) for s in batch]))
                    if len(samples) * features[0].nbytes <= REMEMBERED:
                        self._encoded[method, start] = features
                return [self._variants(segmenter, sample, f, method, swaps) for sample, f in zip(batch, features)]

        with progress(name, len(samples), "images") as bar:
            for batch in each(scores, range(0, len(samples), TEST_BATCH), self.workers):
                for values in batch:
                    for column, value in values.items():
                        columns.setdefault(column, []).append(round(value, 6))  # float32 knows no more
                bar.step(len(batch))
        return columns

    def _known(self) -> set[bytes]:
        """Contents of the images that this run trained on or searched on. Ids cannot tell a copy under another name."""
        if self._seen is None:
            p = self.plan
            seen = (p.train_ids if p.method != "base" else []) + (p.search_ids if p.swap else [])
            self._seen = set(each(_content, data.load(p.dataset, "train", seen), self.workers)) if seen else set()
        return self._seen

    def _variants(self, segmenter: Segmenter, sample: Sample, features: Tensor, method: str, swaps: list) -> dict[str, float]:
        item = segmenter.item(sample)
        if not swaps:
            values = {method: float(segmenter.score(features[None], item)[0])}
            if method == "base":
                values[BEST_OF_THREE] = float(segmenter.best_of_three(features[None], item)[0])
            return values
        scores = segmenter.score(torch.stack([swap(features, axis=0) for _, swap in swaps]), item).cpu().double()
        return {f"{method}{SWAP}": float(scores[0]), f"{method}+random-swap": float(scores[1:].mean())}


def _state(job: store.Job) -> TrainState:
    return TrainState(job.folder / "epoch.safetensors", job.key)


def _content(sample: Sample) -> bytes:
    return hashlib.sha256(sample.image.tobytes()).digest()


def _load(sam, attachment: Attachment, kept: store.Kept) -> None:
    from safetensors.torch import load_file

    trained = load_file(kept.files["weights.safetensors"])
    state = dict(sam.named_parameters())
    with torch.no_grad():
        for name in attachment.names:
            state[name].copy_(trained[name])
