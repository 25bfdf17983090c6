"""One run: from a plan to its record, written whatever happens."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import backbones, records, store
from benchmarks.catalog import BEST_OF_THREE, SWAP
from benchmarks.deterministic import deterministic
from benchmarks.environment import environment
from benchmarks.errors import BenchmarkError, InvalidRecord, MissingData, UsageError
from benchmarks.files import NO_ROOM, REFUSED
from benchmarks.hashes import hash_of
from benchmarks.metrics.intervals import bootstrap, paired
from benchmarks.metrics.names import METRICS
from benchmarks.options import LEANER
from benchmarks.plan import Plan
from benchmarks.protocols import SHARED
from benchmarks.records import Comparison, Evaluation, MethodOrigin, Metric, Record, Trainable, Training
from benchmarks.remote import remote

if TYPE_CHECKING:
    from benchmarks.stages.workbench import Workbench

log = logging.getLogger("benchmarks")


def cached(p: Plan, path: Path) -> Record | None:
    """The finished record of this very run, if its file is there or the shared store has it: same spec, protocol, weights, images,
    code and device kind."""
    found = None
    if path.exists():
        try:
            found = records.read(path)
        except InvalidRecord as error:
            log.warning("%s; the run is done again", error)
    if found and _is_of(found, p):
        return found
    if (shared := remote()) and (content := shared.record(path)):
        found, faults = records.faults(content)
        if found is None or faults:  # as a file here would be judged, its digest included: what is written below gets a new one
            log.warning("%s holds no valid record of %s; the run is done again", shared.url, path.name)
            return None
        if _is_of(found, p):
            records.write(found, path)
            return found
    return None


def _is_of(record: Record, p: Plan) -> bool:
    """Whether a record is the finished one of this very run."""
    same = record.spec == p.spec and record.protocol_hash == p.protocol.hash and record.weights == {p.backbone.name: p.weights}
    same = same and record.data == p.data and record.code == p.code and record.origin == _origin(p)
    same = same and record.environment.device.startswith("CPU") == (p.device == "cpu")
    return same and record.status == "done"


def run(p: Plan, path: Path, threads: int, workbench: Callable[..., Workbench] | None = None) -> Record:
    """Do a run and write its record to `path`, a failed one too. `workbench` makes the run's own, where it is to be another.

    KeyboardInterrupt leaves no record: finished stages, the last epoch and the search's journal are kept, and the same call
    goes on from them. MissingData leaves none either: what is missing is said, and the same call goes on when it is there.
    Raises OSError where the record cannot be written.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    where = environment(p.device, p.precision, threads)  # before the work: of the code that did it

    def leave(**parts) -> Record:
        record = Record(
            spec=p.spec,
            spec_hash=hash_of(p.spec.model_dump()),
            protocol=p.protocol.resolved(),
            protocol_hash=p.protocol.hash,
            weights={p.backbone.name: p.weights},
            marks=list(p.marks),
            data=p.data,
            code=p.code,
            origin=_origin(p),
            environment=where,
            started=started,
            command=p.command,
            **parts,
        )
        written = failure_path(path) if record.status == "failed" else path
        records.write(record, written)
        if shared := remote():
            shared.push_record(written)
        return record

    try:
        with deterministic(p.deterministic):
            parts = _work(p, threads, workbench)
    except MissingData:
        raise
    except OSError as error:
        if error.errno in (*NO_ROOM, *REFUSED):
            raise  # no record can be written either
        return leave(status="failed", error=f"{type(error).__name__}: {error}".splitlines()[0])
    except Exception as error:
        full = type(error).__name__ == "OutOfMemoryError"  # torch's, which is not imported for its name
        text = str(error) if isinstance(error, BenchmarkError) else f"{type(error).__name__}: {error}"
        if full:
            text = f"the GPU's memory ran out ({str(error).partition('. ')[0]}); {LEANER}, or end what else runs on it"
        elif not isinstance(error, BenchmarkError):  # the caller says the error in a line
            log.error("the run failed", exc_info=error)
        return leave(status="failed", error=text.splitlines()[0] if text else "unknown")
    return leave(status="done", **parts)


def failure_path(path: Path) -> Path:
    """Where the record of a failure goes: a failure never overwrites a finished run."""
    return path.with_suffix(".failed.json") if path.exists() else path


def _origin(p: Plan) -> MethodOrigin | None:
    return MethodOrigin(place=p.origin.shown, sha256=p.origin.sha256) if p.origin else None


def search_part(p: Plan, part: tuple[int, int], threads: int) -> None:
    """The share of worker i of n, `part` = (i, n), 0-based, of a run's search, with the stages that it needs; no record.

    Once all parts are done, `run` merges what they left and ends with the same record as without them. Raises UsageError for a run
    whose search cannot be split, and what the stages raise.
    """
    if not p.swap or p.protocol.strategy not in SHARED:
        why = f"strategy {p.protocol.strategy} is short, and its next step depends on the last" if p.swap else "it has no search"
        raise UsageError(f"the search of {p.method_name} cannot be split: {why}; leave --part out")
    from benchmarks.stages import search

    with deterministic(p.deterministic):
        search.search_part(_prepared(p, threads, None)[0], part)


def prepare(p: Plan, threads: int) -> None:
    """The stages that stand before a run's search: the trained weights and the features of the search images."""
    _prepared(p, threads, None)


def _prepared(p: Plan, threads: int, workbench: Callable[..., Workbench] | None) -> tuple[Workbench, dict]:
    """The workbench of a run with all done that its search and its evaluation need, and what training gave."""
    import torch

    from benchmarks.stages import embed, head, train
    from benchmarks.stages.workbench import Workbench

    torch.set_num_threads(1 if p.device == "cpu" else threads)  # the workers are the threads, see benchmarks.parallel
    weights, _ = backbones.verified_checkpoint(p.backbone)
    bench = (workbench or Workbench)(p, threads, weights)
    if "head" in p.jobs:
        head.fitted(bench)
        _discard_stale(p, bench, "head")
    trained = train.trained(bench).result if p.method != "base" else {"trainable": {"method": 0}}
    _discard_stale(p, bench, "train")
    if p.swap:
        embed.features(bench)
    return bench, trained


def _work(p: Plan, threads: int, workbench: Callable[..., Workbench] | None) -> dict:
    from benchmarks.stages import evaluate, search

    bench, trained = _prepared(p, threads, workbench)
    found = search.found(bench) if p.swap else None
    scores, ranked = evaluate.evaluated(bench), METRICS[p.protocol.metric]
    roles = {"base": "base", BEST_OF_THREE: "control", f"{p.method}+random-swap": "control"}
    order = ["base", BEST_OF_THREE, p.method, f"{p.method}{SWAP}", f"{p.method}+random-swap"]
    evaluations = []
    for name in dict.fromkeys(order):
        if name in scores:
            shown = {metric: Metric(**_interval(values)) for metric, values in scores[name].items()}
            evaluations.append(Evaluation(name=name, role=roles.get(name, "method"), metrics=shown, scores=scores[name]))
    comparisons = [
        _compare(metric, a, b, scores)
        for a, b in _pairs(p)
        if a in scores and b in scores
        for metric in scores[a]
        if metric in scores[b]
    ]
    if found:
        swapped = (c for c in comparisons if (c.a, c.b, c.metric) == (f"{p.method}{SWAP}", p.method, ranked.name))
        found = found.model_copy(update={"test_gain": ranked.sign * next(swapped).difference})
    return {
        "images": p.test_ids,
        "evaluations": evaluations,
        "comparisons": comparisons,
        "search": found,
        "trainable": Trainable(**trained["trainable"]),
        "training": Training(**trained["training"]) if "training" in trained else None,
        "stages": sorted(bench.costs, key=lambda c: list(p.jobs).index(c.name)),
    }


def _discard_stale(p: Plan, bench: Workbench, stage: str) -> None:
    """Where a stage was done now, remove what is kept of each job that reads its result, or reads one that does: it was made of
    weights that were lost or damaged, and is never mixed with the new ones."""
    if not any(c.name == stage and not c.cached for c in bench.costs):
        return
    stale = {p.jobs[stage].key}
    for job in p.jobs.values():  # in their order: readers come after what they read
        if stale & {value for value in job.inputs.values() if isinstance(value, str)}:
            stale.add(job.key)
            store.discard(job)


def _interval(values: list[float]) -> dict[str, float]:
    e = bootstrap(values)
    return {"value": e.value, "low": e.low, "high": e.high}


def _pairs(p: Plan) -> list[tuple[str, str]]:
    """Which differences a record states: (a, b) for a - b."""
    swapped = f"{p.method}{SWAP}"
    pairs = [(BEST_OF_THREE, "base"), (swapped, p.method), (f"{p.method}+random-swap", p.method)]
    return pairs + ([(p.method, "base"), (swapped, "base")] if p.method != "base" else [])


def _compare(metric: str, a: str, b: str, scores: dict[str, dict[str, list[float]]]) -> Comparison:
    e = paired(scores[a][metric], scores[b][metric])
    return Comparison(a=a, b=b, metric=metric, difference=e.value, low=e.low, high=e.high, p=e.p)
