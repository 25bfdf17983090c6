"""The stages of a run: each takes a plan, does its work or reads what is kept, and leaves a file under its job's key."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from benchmarks import backbones, data, heads, store
from benchmarks.backbones.anatomy import encoder_names
from benchmarks.backbones.model import Encoded, Model
from benchmarks.catalog import METHODS, SEGMENTATION, SWAP
from benchmarks.cost import measured
from benchmarks.device import synchronise
from benchmarks.encoded_cache import EncodedCache
from benchmarks.errors import MissingData, RunFailed, some
from benchmarks.files import write_atomically
from benchmarks.memory import halving
from benchmarks.methods import Attachment, freeze, trainable
from benchmarks.metrics.names import finish
from benchmarks.options import LEANER
from benchmarks.parallel import each
from benchmarks.plan import Plan
from benchmarks.progress import progress, progress_by_stage
from benchmarks.records import ScreenedPair, Search, Stage
from benchmarks.train import train
from benchmarks.train_state import TrainState
from chanswap import CacheError, Scorer, Screen, Swap, fastest_batch, random_swap, search, search_part
from chanswap.batching import SIZES
from chanswap.scoring import BLOCK
from chanswap.screening import every_pair
from chanswap.writing import clear

log = logging.getLogger("benchmarks")
TEST_BATCH = 8  # images that are evaluated together
TEST_PIXELS = 3 * 1024 * 1024  # numbers that go through the encoder together: one image of SAM's size, all eight small ones
REMEMBERED = 2**30  # bytes of test features held between the evaluations of one run; a larger test set is encoded again
REMEMBERED_PAIRS = 2**20  # of a screening, 24 MB: more than any backbone here has
SCREEN = "screen.safetensors"  # pairs (P, 2) and gains (P,) of a search
T = TypeVar("T")
Scores = dict[str, dict[str, list[float]]]  # by variant, then by metric: one an image


@dataclass
class Workbench:
    """What the stages of one run share: the plan, the threads, models built so far, and the cost of each stage."""

    plan: Plan
    threads: int
    weights: Path | None
    costs: list[Stage] = field(default_factory=list)
    _encoded: dict[tuple[str, int], Encoded] = field(default_factory=dict)
    _models: dict[str, tuple[Model, Attachment]] = field(default_factory=dict)
    _seen: set[bytes] | None = None
    _most: dict[str, int] = field(default_factory=dict)  # the largest batches that a GPU's memory held, where it ran out

    def model(self, method: str) -> tuple[Model, Attachment]:
        """The backbone with a method attached, frozen but for what the method trains; built once."""
        if method not in self._models:
            sam = self._network()
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
            self._models[method] = self._as_model(sam), attachment
        return self._models[method]

    def _as_model(self, network) -> Model:
        p = self.plan
        return backbones.as_model(p.backbone, network, p.task, p.protocol, p.device, p.precision, p.decoding)

    def build(self) -> torch.nn.Module:
        """The backbone with its weights, new. Random ones are the same each time."""
        if self.weights is None:
            torch.manual_seed(0)
        return backbones.build(self.plan.backbone, self.weights)

    def _network(self) -> torch.nn.Module:
        """The backbone with its weights, and with its trained head where the task has one. Nothing is attached."""
        p = self.plan
        network = self.build()
        if p.task.kind != SEGMENTATION:
            from safetensors.torch import load_file

            heads.attach(network, p.task, p.protocol, p.dataset.classes)
            network.head.load_state_dict(load_file(self.head().files["head.safetensors"]))
        return network

    def adapted(self) -> Model:
        """The run's model with its trained weights loaded."""
        model, attachment = self.model(self.plan.method)
        if attachment.names:
            _load(model.network, attachment, self.trained())
        return model

    def head(self) -> store.Kept:
        """The linear head of the bare backbone, trained once for all methods and seeds, or read."""
        return self.stage("head", self.plan.jobs["head"], self._head, ("head.safetensors",))

    def _head(self) -> dict:
        from safetensors.torch import save

        p, job = self.plan, self.plan.jobs["head"]
        network = self.build()
        heads.attach(network, p.task, p.protocol, p.dataset.classes)
        freeze(network, Attachment())
        model, samples = self._as_model(network), data.load(p.dataset, "train", p.train_ids)
        job.folder.mkdir(parents=True, exist_ok=True)
        path = job.folder / "head.features"
        features = self._embed(model, samples, path, p.train_ids, job.key)
        state = heads.fit(model, features.sites, samples, p.protocol)
        tensors = {name: part.detach().cpu().contiguous() for name, part in state.items()}
        write_atomically(job.folder / "head.safetensors", save(tensors))
        features = None  # some systems remove no file that is mapped
        path.unlink(missing_ok=True)
        return {"images": len(samples)}

    def stage(self, name: str, job: store.Job, work: Callable[[], dict], files: tuple[str, ...] = ()) -> store.Kept:
        """Do a stage or read the kept one; note its cost either way."""
        with store.alone(job):  # another process that is at it is waited for, and its result read
            if found := store.kept(job):
                self._note(name, found.cost, cached=True)
                return found
            data.prepare(self.plan.dataset, "test" if job.stage == "evaluate" else "train")  # before the clock runs
            clear(job.folder)  # what a killed call was writing
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
        from safetensors.torch import save

        p = self.plan
        self._models.pop(p.method, None)  # never go on from weights that were trained already
        model, attachment = self.model(p.method)
        if not attachment.names:
            raise RunFailed(f"method {p.method} declares nothing to train; return the names of its parameters from attach")
        samples = data.load(p.dataset, "train", p.train_ids)
        job.folder.mkdir(parents=True, exist_ok=True)
        state, features, options = _state(job), None, p.options
        before = state.seconds()
        if not METHODS.get(p.method).trains_encoder:
            features = self.embedded(model, samples, job.folder / "train.features", p.train_ids, job.key)
            options = replace(options, activation_checkpointing=False)  # the encoder is not run
        sizes = [options.micro_batch]
        with progress(f"train {p.method}", p.protocol.training.epochs * len(samples), "images") as bar:
            losses = train(
                model, samples, p.protocol.training, p.seed, features, bar.step, self.workers, options, state,
                sizes.append, p.deterministic,
            )  # fmt: skip
        options = replace(options, micro_batch=min(sizes))  # where memory ran out, the smallest that a step was made of
        named = dict(model.network.named_parameters())
        if lost := [n for n in attachment.names if not named[n].isfinite().all()]:  # the last step's; a loss before it was finite
            raise RunFailed(f"training {p.method} ended with NaN or infinity in {some(lost)}; lower the learning rate")
        artefact = job.folder / "weights.safetensors"
        write_atomically(artefact, save({n: named[n].detach().cpu().contiguous() for n in attachment.names}))
        features = None  # some systems remove no file that is mapped
        (job.folder / "train.features").unlink(missing_ok=True)
        own, besides = trainable(model.network, attachment)
        return {
            "seconds_before": before,  # of epochs that a call before this one did
            "trainable": {"method": own, "besides": besides},
            "training": {**asdict(options), "losses": losses, "artefact_bytes": artefact.stat().st_size},
        }

    def embedded(self, model: Model, samples: Sequence, path: Path, names: list[str], key: str) -> EncodedCache:
        """Encoder features of some images in a file of a stage at work; `key` says of what weights and images they are. A stage that
        was killed reads its own."""
        try:
            found = EncodedCache(path)
            if found.ids == names and found.key == key:
                return found
            log.warning("%s is of other images or weights; embedding again", path)
        except FileNotFoundError:
            pass
        except CacheError as error:
            log.warning("%s; embedding again", error)
        return self._embed(model, samples, path, names, key)

    @property
    def workers(self) -> int:
        """Images that are worked on at once: one a thread on the CPU, one on any other device."""
        return self.threads if self.plan.device == "cpu" else 1

    def _embed(self, model: Model, samples: Sequence, path: Path, names: list[str], key: str = "") -> EncodedCache:
        """Features of samples in a file, one image at a time; `key` says of what weights and images they are."""

        def encode(k: int) -> tuple[Tensor, tuple[Tensor, ...]]:
            with torch.inference_mode():
                return self.encode(model, [model.pixels(samples[k].image)]).of(0)

        def features():
            for name, feature in zip(names, each(encode, range(len(names)), self.workers)):
                yield name, feature
                bar.step()

        with progress("embed", len(names), "images") as bar:
            return EncodedCache.write(path, features(), key)

    def features(self) -> tuple[EncodedCache, Sequence]:
        """The encoder's features of the search images, computed once and kept."""
        p, job = self.plan, self.plan.jobs["embed"]
        samples = data.load(p.dataset, "train", p.search_ids)
        path = job.folder / "search.features"

        def work() -> dict:
            self._embed(self.adapted(), samples, path, p.search_ids, job.key)
            return {"images": len(samples)}

        self.stage("embed", job, work, (path.name,))
        try:
            return EncodedCache(path), samples
        except CacheError as error:  # checksums agree, so another version wrote it
            log.warning("%s; embedding again", error)
            store.discard(job)
            return EncodedCache(self.stage("embed", job, work, (path.name,)).files[path.name]), samples

    def found(self) -> Search:
        """The swap that the search set asks for. What workers of `search_part` left is read."""
        p = self.plan

        def work() -> dict:
            scorer, objective = self._scorer()
            with progress_by_stage("search", "passes") as show:
                best = search(scorer, keep=p.protocol.keep, progress=show, remember=REMEMBERED_PAIRS, **self._how())
            _save_screen(best.screen, p.jobs["search"].folder / SCREEN)
            kept = [ScreenedPair(redundant=r, effective=e, gain=gain) for (r, e), gain in best.kept]
            return Search(
                strategy=p.protocol.strategy,
                objective=objective,
                images=p.search_ids,
                channels=scorer.channels,
                pairs=list(best.swap.pairs),
                kept=kept,
                evaluations=best.evaluations,
                gradients=best.gradients,
                combinations=best.tried,
                conflicts=best.conflicts,
                base_score=best.base,
                search_gain=best.gain,
            ).model_dump(mode="json")

        return Search.model_validate(self.stage("search", p.jobs["search"], work, (SCREEN,)).result)

    def screened(self) -> Screen:
        """Every pair that the search screened to the end, with its gain; `greedy` screens none."""
        from safetensors.torch import load_file

        base, job = self.found().base_score, self.plan.jobs["search"]
        table = load_file(job.folder / SCREEN)
        return Screen(table["pairs"], table["gains"], base, len(table["gains"]))

    def search_part(self, part: tuple[int, int]) -> None:
        """The share of worker i of n, `part` = (i, n), of the search's screening, left beside the search's journal. Nothing where the
        search is done. Raises ValueError for a strategy that cannot be split."""
        if not store.kept(self.plan.jobs["search"]):
            scorer, _ = self._scorer()
            with progress_by_stage("search", "passes") as show:
                search_part(scorer, part, progress=show, **self._how())

    def _scorer(self) -> tuple[Scorer, str]:
        """The scorer of the search images, and what its scores are."""
        cache, samples = self.features()
        model = self.adapted()
        items = [model.item(sample, cache[k][1]) for k, sample in enumerate(samples)]
        scorer = model.scorer(cache.sites, items, self.workers)
        # On a CPU the model's own batch is the best that was measured, and results repeat to the digit.
        if self.plan.device != "cpu" and not self.plan.deterministic:
            scorer = replace(scorer, batch=self._batch(scorer))
        return replace(scorer, halves=not self.plan.deterministic), model.objective

    def _batch(self, scorer: Scorer) -> int:
        """How many versions the search scores at a time: found once, and kept beside its journal for whoever goes on with it."""
        path = self._how()["journal"].with_name("batch")
        try:
            return max(1, int(path.read_text()))
        except (FileNotFoundError, ValueError):
            some = every_pair(scorer.channels)[: 2 * BLOCK, None]
            try:
                size = fastest_batch(scorer, some, wait=lambda: synchronise(self.plan.device))
            except torch.OutOfMemoryError:  # not even the smallest that is tried fits; the scorer halves it on
                size = SIZES[0] // 2
            write_atomically(path, f"{size}\n")
            return size

    def _how(self) -> dict:
        p, job = self.plan, self.plan.jobs["search"]
        job.folder.mkdir(parents=True, exist_ok=True)
        return {
            "strategy": p.protocol.strategy,
            "budget": p.protocol.rules.get("search_budget"),
            "seed": p.seed,
            "journal": job.folder / "journal",
            "key": job.key,
        }

    def evaluated(self) -> Scores:
        """Per-image scores of every variant of the run, in the order of the plan's test images."""
        p = self.plan
        scores: Scores = {}
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

    def _evaluate(self, name: str, method: str, swaps: list[tuple[str, Swap]]) -> Scores:
        """One pass over the test set. Without swaps, the plain model (and the controls for base)."""
        p = self.plan
        model = self.model("base")[0] if method == "base" else self.adapted()
        samples = data.load(p.dataset, "test", p.test_ids)
        known = self._known()
        columns: dict[str, dict[str, list]] = {}

        def scores(start: int) -> list[dict[str, dict[str, Tensor]]]:
            batch = [samples[k] for k in range(start, min(start + TEST_BATCH, len(samples)))]
            for sample in batch:
                if _content(sample) in known:
                    self._same(sample.id)
            with torch.inference_mode():
                encoded = self._encoded.get((method, start))
                if encoded is None:
                    encoded = self.encode(model, [model.pixels(s.image) for s in batch])
                    if len(samples) * sum(part[0].nbytes for part in (encoded.site, *encoded.rest)) <= REMEMBERED:
                        self._encoded[method, start] = encoded
                return [self._variants(model, sample, encoded.of(k), method, swaps) for k, sample in enumerate(batch)]

        with progress(name, len(samples), "images") as bar:
            for batch in each(scores, range(0, len(samples), TEST_BATCH), self.workers):
                for image in batch:
                    for variant, values in image.items():
                        for metric, value in values.items():
                            columns.setdefault(variant, {}).setdefault(metric, []).append(value.tolist())
                bar.step(len(batch))
        finished = {variant: finish(values) for variant, values in columns.items()}
        # float32 knows no more than six digits
        return {
            variant: {metric: [round(float(x), 6) for x in column] for metric, column in values.items()}
            for variant, values in finished.items()
        }

    def encode(self, model: Model, pixels: list[Tensor]) -> Encoded:
        """The encoder on images of one batch, smaller ones where they are large (a batch of eight at 1024 takes gigabytes) or where
        memory runs out."""
        size = max(1, min(len(pixels), self._most.get("encoder", len(pixels)), TEST_PIXELS // pixels[0].numel()))
        parts = self._fitting(
            "encoder",
            lambda some: [model.encode(torch.stack(pixels[k : k + some])) for k in range(0, len(pixels), some)],
            size,
            "images in the encoder",
        )
        return Encoded.joined(parts)

    def _fitting(self, name: str, work: Callable[[int], T], size: int, what: str) -> T:
        """`work` of the largest batch that a GPU's memory holds, `size` or less, see `halving`; what does not fit once is not tried
        again."""
        made, fits = halving(work, size, what, f"{LEANER}, or end what else runs on the GPU", self.plan.deterministic)
        if fits < size:
            self._most[name] = fits
            self._encoded.clear()  # kept to save time, where there is room
        return made

    def _same(self, name: str) -> None:
        """A test image whose pixels also stand in the training split: a fault of a folder that the user can mend; official
        datasets have some, which are named and left as they are."""
        p = self.plan
        if p.dataset.source != "official":
            raise MissingData(f"{p.dataset.name}: test image {name} also stands in the training split; remove it from one")
        log.warning(
            "%s: test image %s also stands in the training split; it is left in, as the dataset has it", p.dataset.name, name
        )

    def _known(self) -> set[bytes]:
        """Contents of the images that this run, or its linear head, was trained on or that it searched on. Ids cannot tell a copy
        under another name."""
        if self._seen is None:
            p = self.plan
            trains = p.method != "base" or p.task.kind != SEGMENTATION
            seen = (p.train_ids if trains else []) + (p.search_ids if p.swap else [])
            self._seen = set(each(_content, data.load(p.dataset, "train", seen), self.workers)) if seen else set()
        return self._seen

    def _variants(
        self, model: Model, sample, features: tuple[Tensor, tuple[Tensor, ...]], method: str, swaps: list[tuple[str, Swap]]
    ) -> dict[str, dict[str, Tensor]]:
        site, rest = features
        item = model.item(sample, rest)
        if not swaps:
            found = {method: model.measures(site[None], item)}
            found |= model.controls(site[None], item) if method == "base" else {}
        else:
            chosen, *drawn = (swap(site, axis=0) for _, swap in swaps)
            found = {f"{method}{SWAP}": model.measures(chosen[None], item)}
            if drawn:
                random = self._measured(model, torch.stack(drawn), item)
                mean = {metric: values.double().mean(0, keepdim=True) for metric, values in random.items()}
                found[f"{method}+random-swap"] = mean
        return {variant: {metric: v[0].double().cpu() for metric, v in values.items()} for variant, values in found.items()}

    def _measured(self, model: Model, versions: Tensor, item) -> dict[str, Tensor]:
        """The first metrics of versions (B, C, ...) of one image, in smaller batches where memory runs out."""
        size = min(len(versions), self._most.get("decoder", len(versions)))
        parts = self._fitting(
            "decoder",
            lambda some: [model.measures(part, item, all_metrics=False) for part in versions.split(some)],
            size,
            "versions of an image's features",
        )
        return {metric: torch.cat([part[metric] for part in parts]) for metric in parts[0]}


def _save_screen(screen: Screen | None, path: Path) -> None:
    from safetensors.torch import save

    pairs, gains = (screen.pairs, screen.gains) if screen else (torch.empty(0, 2, dtype=torch.long), torch.empty(0).double())
    write_atomically(path, save({"pairs": pairs.contiguous(), "gains": gains.contiguous()}))


def _state(job: store.Job) -> TrainState:
    return TrainState(job.folder / "epoch.safetensors", job.key)


def _content(sample) -> bytes:
    return hashlib.sha256(sample.image.tobytes()).digest()


def _load(sam, attachment: Attachment, kept: store.Kept) -> None:
    from safetensors.torch import load_file

    trained = load_file(kept.files["weights.safetensors"])
    state = dict(sam.named_parameters())
    with torch.no_grad():
        for name in attachment.names:
            state[name].copy_(trained[name])
