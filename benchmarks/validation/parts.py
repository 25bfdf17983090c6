"""What a finished record must hold: evaluations, stages, the search, what was trained."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from benchmarks import data
from benchmarks.board.text import plain
from benchmarks.catalog import BEST_OF_THREE, SEGMENTATION, SWAP
from benchmarks.errors import some
from benchmarks.metrics.names import METRICS
from benchmarks.records import Record, Search
from benchmarks.validation.findings import AGAIN, EDITED, Fault, Found, Note
from benchmarks.validation.inputs import here
from benchmarks.validation.known import Known

ROUNDING = 1e-4  # of a gain that two ways of scoring gave, see `bench`; a search's scores are not rounded
PAIRWISE = ("exhaustive", "halving", "taylor", "random")  # strategies that combine what they kept
_HEADER = 2**20  # bytes: names and shapes in a file of weights


def expected(about: Known) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Evaluations that a run leaves, with role and metrics. Controls are measured by the protocol's metric alone."""
    ranked, every = (about.protocol.metric,), about.task.metrics
    found = {"base": ("base", every)}
    if about.task.kind == SEGMENTATION:
        found[BEST_OF_THREE] = ("control", ranked)
    found.setdefault(about.method, ("method", every))
    if about.swap:
        found[f"{about.method}{SWAP}"] = ("method", every)
        if about.protocol.random_draws:
            found[f"{about.method}+random-swap"] = ("control", ranked)
    return found


def complete(record: Record, about: Known) -> Iterator[Found]:
    """Evaluations with their roles and metrics, comparisons, stages: none missing, none more."""
    wanted, has = expected(about), {e.name: e for e in record.evaluations}
    for name in [n for n in wanted if n not in has]:
        what = "control" if wanted[name][0] == "control" else "evaluation"
        yield Fault("complete", f"the {what} {plain(name)} is missing", AGAIN)
    if more := [n for n in has if n not in wanted]:
        yield Fault("complete", f"evaluations that no run of {plain(record.spec.method)} makes: {plain(some(more))}", EDITED)
    for name, (role, metrics) in wanted.items():
        if (e := has.get(name)) is None:
            continue
        if e.role != role:
            yield Fault("complete", f"{plain(name)} has the role {e.role}, not {role}", EDITED)
        if set(e.metrics) != set(e.scores):
            yield Fault("complete", f"{plain(name)}: metrics and scores are not of the same names", EDITED)
        if about.protocol.metric not in e.scores:
            yield Fault("complete", f"{plain(name)} lacks the protocol's metric, {about.protocol.metric}", AGAIN)
        elif lacking := [m for m in metrics if m not in e.scores]:
            yield Note("complete", f"made before {some(lacking, 8)} were measured")
    yield from _comparisons(record, about)
    yield from _stages(record, about)


def _comparisons(record: Record, about: Known) -> Iterator[Found]:
    swapped, method = f"{about.method}{SWAP}", about.method
    pairs = [(BEST_OF_THREE, "base"), (swapped, method), (f"{method}+random-swap", method)]
    pairs += [(method, "base"), (swapped, "base")] if method != "base" else []
    has = {e.name: e.scores for e in record.evaluations}
    wanted = [(a, b, m) for a, b in pairs if a in has and b in has for m in has[a] if m in has[b]]
    stated = Counter((c.a, c.b, c.metric) for c in record.comparisons)
    for a, b, metric in wanted:
        if stated[a, b, metric] != 1:
            how = "missing" if not stated[a, b, metric] else "there more than once"
            yield Fault("complete", f"the comparison of {plain(a)} with {plain(b)} by {plain(metric)} is {how}", EDITED)
    for a, b, metric in stated.keys() - set(wanted):
        yield Fault("complete", f"a comparison that no run makes: {plain(a)} with {plain(b)} by {plain(metric)}", EDITED)


def _stages(record: Record, about: Known) -> Iterator[Found]:
    wanted = ["head"] if about.task.kind != SEGMENTATION else []
    wanted += ["train"] if about.method != "base" else []
    wanted += ["embed", "search"] if about.swap else []
    wanted += ["evaluate base"] + ([f"evaluate {about.method}"] if about.method != "base" else [])
    wanted += [f"evaluate {about.method}{SWAP}"] if about.swap else []
    has = [s.name for s in record.stages]
    if has != wanted and sorted(has) == sorted(wanted):
        return  # another order is none of a reader's business
    if missing := [n for n in wanted if n not in has]:
        yield Fault("complete", f"stages without their cost: {some(missing, 8)}", AGAIN)
    if more := [n for n in has if n not in wanted or has.count(n) > 1]:
        yield Fault("complete", f"stages that this run has not, or not twice: {plain(some(more, 8))}", EDITED)


def searched(record: Record, about: Known) -> Iterator[Found]:
    """The search set and the swap, and whatever of the search's counts follows from them."""
    s = record.search
    if s is None and about.swap:
        yield Fault("search", "it is missing", AGAIN)
    if s is not None and not about.swap:
        yield Fault("search", f"{plain(record.spec.method)} has none", EDITED)
    if s is None:
        return
    wrong = (
        list(_search_set(s, record, about)) + list(_pairs(s, about)) + list(_counts(s, about)) + list(_gains(s, record, about))
    )
    yield from (Fault("search", text, EDITED) for text in wrong)


def _search_set(s: Search, record: Record, about: Known) -> Iterator[str]:
    wanted = about.protocol.search_images
    if len(s.images) != wanted:
        yield f"{len(s.images)} search images; the protocol asks for {wanted}"
    if len(set(s.images)) != len(s.images):
        yield "a search image is listed twice"
    if (found := here(about)) is None:
        return
    train, pool = found[1]["train"], about.protocol.rules.get("search_pool")
    drawn = data.search_ids(train[::pool] if pool else train, wanted, record.spec.seed)
    if strange := sorted(set(s.images) - set(train)):
        yield f"{len(strange)} search images are not of the training split ({plain(some(strange, 3))})"
    elif s.images != drawn:
        yield f"the search images are not those that seed {record.spec.seed} draws"


def _pairs(s: Search, about: Known) -> Iterator[str]:
    channels = about.backbone.channels
    if s.channels != channels:
        yield f"{s.channels} channels; {about.backbone.name} has {channels}"
    kept = [(p.redundant, p.effective) for p in s.kept]
    for what, pairs in (("the swap", s.pairs), ("the kept pairs", kept)):
        if strange := [f"{i}<-{j}" for i, j in pairs if not (0 <= i < channels and 0 <= j < channels)]:
            yield f"{what}: {some(strange)} outside 0 to {channels - 1}"
    redundant = [i for i, _ in s.pairs]
    if len(set(redundant)) < len(redundant) or any(i == j for i, j in s.pairs):
        yield "the swap overwrites a channel twice, or by itself"
    if s.strategy in PAIRWISE:
        if len(set(kept)) < len(kept) or any(i == j for i, j in kept):
            yield "a kept pair stands twice, or shows a channel by itself"
        if strange := [f"{i}<-{j}" for i, j in s.pairs if (i, j) not in kept]:
            yield f"the swap is not made of the kept pairs: {some(strange)}"


def _counts(s: Search, about: Known) -> Iterator[str]:
    images, channels = len(s.images), about.backbone.channels
    if s.strategy != about.protocol.strategy:
        yield f"its strategy is {plain(s.strategy)}, the protocol's {about.protocol.strategy}"
    if min(s.evaluations, s.gradients, s.combinations, s.conflicts) < 0:
        yield "a count is below zero"
    if s.strategy in ("exhaustive", "halving", "random") and s.gradients:
        yield f"{s.gradients} backward passes, where {s.strategy} makes none"
    if s.strategy not in PAIRWISE:
        if len(s.kept) > about.protocol.keep or s.conflicts:
            yield f"{len(s.kept)} steps and {s.conflicts} conflicts; at most {about.protocol.keep} steps and none"
        return
    if len(s.kept) != min(about.protocol.keep, channels * (channels - 1)):
        yield f"{len(s.kept)} kept pairs; the protocol keeps {about.protocol.keep}"
    # Of pairs that overwrite one channel at most one can stand: (1 + n) choices for a channel with n of them, less the empty set.
    standing = math.prod(1 + n for n in Counter(p.redundant for p in s.kept).values()) - 1
    if (s.combinations, s.conflicts) != (standing, 2 ** len(s.kept) - 1 - standing):
        yield f"{s.combinations} combinations and {s.conflicts} conflicts; of the kept pairs {standing} can stand and {2 ** len(s.kept) - 1 - standing} cannot"
    passes = images * (channels * (channels - 1) + 1 + s.combinations + 1)  # each time with no swap beside
    if s.strategy == "exhaustive" and s.evaluations != passes:
        yield f"{s.evaluations} decoder passes; these images, pairs and combinations take {passes}"


def _gains(s: Search, record: Record, about: Known) -> Iterator[str]:
    metric = METRICS[about.protocol.metric]
    if not s.objective.removeprefix("-").startswith(metric.name):
        yield f"the search scored {plain(s.objective)}, not {metric.name}"
    if s.test_gain is None and record.status == "done":
        yield "its test gain is missing"
    gains = [p.gain for p in s.kept]
    if s.strategy in PAIRWISE:
        if gains != sorted(gains, reverse=True):
            yield "the kept pairs are not in the order of their gains"
        best = max([0.0, *gains])
        if s.strategy == "exhaustive" and s.search_gain < best - ROUNDING:
            yield f"the search gain {s.search_gain:.6g} is below that of the best pair, {best:.6g}"
        alone = [p.gain for p in s.kept if [(p.redundant, p.effective)] == [tuple(pair) for pair in s.pairs]]
        if s.strategy == "exhaustive" and alone and abs(alone[0] - s.search_gain) > ROUNDING:
            yield f"the search gain {s.search_gain:.6g} is not that of its one pair, {alone[0]:.6g}"
    if s.search_gain < 0 or (not s.pairs and s.search_gain != 0):
        yield f"a search gain of {s.search_gain:.6g} by {len(s.pairs)} pairs"
    if metric.higher_is_better and metric.highest and not (-ROUNDING <= s.base_score <= metric.highest + ROUNDING):
        yield f"the score without swap is {s.base_score:.6g}"
    most = 0.0 if s.objective.startswith("-") else metric.highest
    best = s.base_score + max([s.search_gain, *gains] if s.strategy in PAIRWISE else [s.search_gain])
    if most is not None and best > most + ROUNDING:
        yield f"its gains lead from {s.base_score:.6g} to {best:.6g}; no score is above {most:g}"
    plain_, swapped = (record.evaluation(n) for n in (about.method, f"{about.method}{SWAP}"))
    if not s.pairs and plain_ and swapped and plain_.scores != swapped.scores:
        yield "no pair is swapped, but the scores with and without swap differ"


def trained(record: Record, about: Known) -> Iterator[Found]:
    """What was trained, by the method's own formula, and how."""
    t, how = record.trainable, record.training
    if t is None:
        yield Fault("trainable", "the number of trained parameters is missing", AGAIN)
        return
    if about.method == "base":
        if (t.method, t.besides) != (0, {}) or how is not None:
            yield Fault("trainable", "base trains nothing, but parameters or a training are stated", EDITED)
        return
    if record.origin is not None:
        yield Note("trainable", "a method from outside: its code is not run here, so its parameters were not counted")
        if t.method < 1:
            yield Fault("trainable", f"{t.method} trained parameters of its own", EDITED)
    elif (counted := _counted(about)) is None:
        yield Note("trainable", f"{about.backbone.name} could not be built here, so trained parameters were not counted")
    elif counted != (t.method, t.besides):
        yield Fault("trainable", f"{_said(t.method, t.besides)}; the method trains {_said(*counted)}", EDITED)
    if how is None:
        yield Fault("training", "how it was trained is missing", AGAIN)
        return
    if len(how.losses) != about.protocol.training.epochs:
        yield Fault("training", f"{len(how.losses)} losses of {about.protocol.training.epochs} epochs", EDITED)
    if any(loss < 0 for loss in how.losses) or how.micro_batch < 1 or how.loaders < 0:
        yield Fault("training", "a loss below 0, a micro-batch below 1 or loaders below 0", EDITED)
    least = 4 * (t.method + sum(t.besides.values()))  # float32, whatever the run computed in
    if not least <= how.artefact_bytes <= least + _HEADER:
        yield Fault(
            "training",
            f"the trained weights take {how.artefact_bytes:,} bytes; so many parameters take {least:,} and a header",
            EDITED,
        )


def _said(own: int, besides: dict[str, int]) -> str:
    return plain(" + ".join([f"{own:,}", *(f"{n:,} {part}" for part, n in besides.items())]))


def _counted(about: Known) -> tuple[int, dict[str, int]] | None:
    from benchmarks.validation.counts import counted

    return counted(about)
