"""What a run worked on and with: weights, images, code, place, times."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from benchmarks import backbones, code, data
from benchmarks.board.collect import TIERS
from benchmarks.board.text import plain
from benchmarks.catalog import Dataset
from benchmarks.environment import git
from benchmarks.errors import BenchmarkError, count, some
from benchmarks.options import Decoding, Options
from benchmarks.protocols import PROTOCOLS, Protocol
from benchmarks.record_name import file_name
from benchmarks.records import Record
from benchmarks.validation.findings import AGAIN, EDITED, Fault, Found, Note
from benchmarks.validation.known import Known

LONGEST = timedelta(days=30).total_seconds()  # of one stage; the paper's longest search is hours
EARLIEST = datetime(2025, 4, 11, tzinfo=UTC)  # when the paper was first sent: nothing of it was run before
A_DAY = timedelta(days=1)  # by which clocks of two machines may differ
# What `Plan.command` writes, and nothing else: a command stands on pages, to be pasted.
_VALUED = (
    "task",
    "method",
    "dataset",
    "backbone",
    "protocol",
    "seeds",
    "strategy",
    "limit",
    "precision",
    "micro-batch",
    "loaders",
)
_BARE = ("activation-checkpointing", "no-shortcuts", "compile", "deterministic")


def status(record: Record) -> Iterator[Found]:
    if record.status == "failed":
        yield Fault("status", f"the run failed: {plain(record.error)}", "mend that, and run it again")
    if record.spec.limit is not None:
        yield Fault("status", f"limited to {record.spec.limit} test images", "run it again without --limit")
    for mark in record.marks:
        if record.spec.limit is None or not mark.startswith("limited to"):
            yield Fault("status", f"kept off the boards: {plain(mark)}", "run it again without what the mark says")


def weights(record: Record, about: Known) -> Iterator[Found]:
    try:
        pinned = {about.backbone.name: backbones.pinned_sha256(about.backbone)}
    except OSError:
        yield Note("weights", f"the card of {about.backbone.name}'s weights is missing here, so they were not compared")
        return
    if record.weights != pinned and about.current:
        yield Fault(
            "weights",
            f"they are not the pinned ones of {about.backbone.name}",
            f"{backbones.command(about.backbone)}, then run it again",
        )
    elif record.weights != pinned:
        yield Note("weights", "of an earlier checkpoint")


@lru_cache(maxsize=64)
def _here(dataset: Dataset, protocol_key: str) -> tuple[str, dict[str, list[str]]] | None:
    """Identity and ids of a dataset that is on this machine, as one version of a protocol has it; None where it is not."""
    if data.lacking(dataset) is not None:
        return None
    protocol = _PROTOCOLS[protocol_key]
    return data.identity(dataset), {split: data.ids(dataset, split, protocol) for split in ("train", "test")}


_PROTOCOLS: dict[str, Protocol] = {}  # by hash: a protocol holds a dict, which no cache takes as a key


def here(about: Known) -> tuple[str, dict[str, list[str]]] | None:
    _PROTOCOLS[about.protocol.hash] = about.protocol
    try:
        return _here(about.dataset, about.protocol.hash)
    except BenchmarkError:
        return None


def images(record: Record, about: Known) -> Iterator[Found]:
    """The test images against the dataset's own list, or, where its files are not here, against its manifest's count."""
    found, name = here(about), about.dataset.name
    if found is None:
        yield Note("data", f"the images of {name} are not on this machine: only their number was compared with the manifest")
        stated = _stated(about.dataset, about.protocol)
        if stated is not None and len(record.images) != stated:
            yield Fault(
                "test split", f"{len(record.images):,} test images; {name} has {stated:,}", "run it on the whole test split"
            )
        return
    identity, ids = found
    if record.data != identity:
        what = f"the images were others than those of {name} here"
        if about.current:
            yield Fault("data", what, f"python -m benchmarks data verify {name}, then run it again")
        else:
            yield Note("data", what)
    if record.images != ids["test"]:
        missing, more = set(ids["test"]) - set(record.images), set(record.images) - set(ids["test"])
        said = [f"{len(missing):,} missing ({some(sorted(missing), 3)})"] if missing else []
        said += [f"{len(more):,} that are none of its ({plain(some(sorted(more), 3))})"] if more else []
        said = said or ["in another order, or one twice"]
        yield Fault(
            "test split", f"of {name}'s {len(ids['test']):,} test images: {'; '.join(said)}", "run it on the whole test split"
        )


def _stated(dataset: Dataset, protocol: Protocol) -> int | None:
    from benchmarks.data.manifests import manifest

    number = manifest(dataset.name).get("splits", {}).get("test", {}).get("images")
    return min(number, protocol.test_images or number) if isinstance(number, int) else None


def tree(record: Record) -> Iterator[Found]:
    """Clean tree, known commit, the installed code."""
    on = record.environment
    if on.dirty is not False:
        what = "it ran with uncommitted changes" if on.dirty else "it is unknown whether its tree was clean"
        yield Fault("code", what, "commit or undo them in a git checkout, then run it again")
    if not re.fullmatch("[0-9a-f]{40}", on.commit or ""):
        yield Fault("code", "its commit is unknown", "run it again in a git checkout")
    elif not _in_history(on.commit):
        yield Note("code", f"commit {on.commit[:8]} is not in this checkout's history (a fork, or a shallow clone)")
    if not re.fullmatch("[0-9a-f]{16}", record.code):
        yield Fault("code", "the digest of its code is missing", AGAIN)
    elif record.code != code.digest():
        yield Note(
            "code", f"made by other code or libraries than installed here, at commit {plain((on.commit or 'unknown')[:8])}"
        )
    if on.precision != record.spec.precision:
        yield Fault(
            "code",
            f"the environment's precision is {plain(on.precision)}, the specification's {plain(record.spec.precision)}",
            EDITED,
        )


@lru_cache(maxsize=256)
def _in_history(commit: str) -> bool:
    return git("rev-parse", "HEAD") is None or git("cat-file", "-e", f"{commit}^{{commit}}") is not None


def times(record: Record) -> Iterator[Found]:
    for stage in record.stages:
        wrong = [f"{stage.seconds:g} seconds"] if not 0 <= stage.seconds <= LONGEST else []
        wrong += [count(stage.threads, "thread")] if not 1 <= stage.threads <= 4096 else []
        for peak in (stage.peak_memory_mb, stage.peak_gpu_mb):
            wrong += [f"{peak:g} MB"] if peak is not None and not 0 <= peak <= 2**24 else []
        if wrong:
            yield Fault("times", f"stage {plain(stage.name)}: {', '.join(wrong)}", EDITED)
    if record.stages and not sum(stage.seconds for stage in record.stages) > 0:
        yield Fault("times", "no stage took any time", EDITED)
    if not 1 <= record.environment.threads <= 4096:
        yield Fault("times", f"{record.environment.threads} threads", EDITED)
    try:
        moment = datetime.fromisoformat(record.started)
        late = moment.tzinfo is not None and moment > datetime.now(UTC) + A_DAY
        early = moment.tzinfo is not None and moment < (_committed(record.environment.commit) or EARLIEST) - A_DAY
    except (ValueError, OverflowError):
        moment, late, early = None, False, False
    if moment is None or moment.tzinfo is None:
        yield Fault("times", f"it started {plain(record.started)}, which is no moment with a time zone", EDITED)
    elif late:
        yield Fault("times", f"it started {plain(record.started)}, in the future", "set the machine's clock, then run it again")
    elif early:
        what = f"it started {plain(record.started)}, before the code that it names was there"
        yield Fault("times", what, "set the machine's clock, then run it again")


@lru_cache(maxsize=256)
def _committed(commit: str | None) -> datetime | None:
    """When a commit of this checkout was made; None where it is not here."""
    if not re.fullmatch("[0-9a-f]{40}", commit or ""):  # what git would take for an option
        return None
    said = git("show", "--no-patch", "--format=%ct", commit)
    return datetime.fromtimestamp(int(said), UTC) if said and said.isdecimal() else None


def command(record: Record, about: Known) -> Iterator[Found]:
    """Whether the command, which pages print, asks for this very run. It is read, never executed."""
    spec = record.spec
    expected = {
        "task": spec.task,
        "dataset": spec.dataset,
        "backbone": spec.backbone,
        "protocol": spec.protocol,
        "seeds": str(spec.seed),
    }
    usual = PROTOCOLS.get(spec.protocol).strategy
    expected |= {"strategy": about.protocol.strategy} if about.protocol.strategy != usual else {}
    expected |= {"limit": str(spec.limit)} if spec.limit else {}
    expected |= {"precision": spec.precision} if spec.precision != "float32" else {}
    try:
        words = shlex.split(record.command)
    except ValueError:
        words = []
    given = {w[2:]: words[k + 1] for k, w in enumerate(words[:-1]) if w.startswith("--")}
    wrong = [f"--{name} {value}" for name, value in expected.items() if given.get(name) != value]
    if record.origin is None and given.get("method") != spec.method:
        wrong.append(f"--method {spec.method}")
    wrong += [f"no --{name}" for name in ("strategy", "limit", "precision") if name in given and name not in expected]
    wrong += [f"no {word}" for word in _strange(words[4:])]
    if words[:4] != ["python", "-m", "benchmarks", "run"] or not record.command.isprintable():
        wrong = ["python -m benchmarks run"]
    if wrong:
        yield Fault("command", f"it does not make this record; it lacks: {plain(', '.join(wrong))}", EDITED)


def _strange(words: list[str]) -> Iterator[str]:
    """Words that no run writes into its command, or writes once."""
    rest, had = iter(words), set()
    for word in rest:
        name = word.removeprefix("--")
        if word in had or word == name or name not in (*_VALUED, *_BARE):
            yield word
        elif name in _VALUED:
            value = next(rest, "")
            if name in ("micro-batch", "loaders") and not re.fullmatch("[0-9]{1,9}", value):
                yield value
        had.add(word)


def names_of(record: Record) -> tuple[str, ...]:
    """Where a run of this record would have put it, below a tier's folder; of several the usual first. A method whose encoder features are
    kept is trained without activation checkpointing, asked for or not, so that the record alone does not tell."""
    (digest,) = record.weights.values() if len(record.weights) == 1 else (json.dumps(record.weights),)
    on, how = record.environment.device, record.training
    kind = "cpu" if on.startswith("CPU") else "mps" if on.startswith("Apple") else "cuda"
    given = Options(max(1, how.micro_batch), how.activation_checkpointing) if how else Options()
    both = dict.fromkeys((given, replace(given, activation_checkpointing=True)))
    words = record.command.split()
    decoding = Decoding(shortcuts="--no-shortcuts" not in words, compiled="--compile" in words)
    origin = (record.origin.place, record.origin.sha256) if record.origin else None
    made_of = record.protocol_hash, digest, record.data, kind
    return tuple(file_name(record.spec, *made_of, options, decoding, origin, "--deterministic" in words) for options in both)


def place(record: Record, path: Path) -> Iterator[Found]:
    """Of a record in a tier's folder, whether it is where, and named as, a run would write it."""
    parts = path.resolve().parts
    tiers = [k for k, part in enumerate(parts) if part in TIERS]
    if not tiers:
        return
    stands, belongs = "/".join(parts[tiers[-1] + 1 :]), names_of(record)
    if stands not in belongs:
        yield Fault("place", "it is not where a run would write it", f"move it to {parts[tiers[-1]]}/{plain(belongs[0])}")
    if parts[tiers[-1]] == "verified" and record.origin is not None:
        yield Fault("place", "a method from outside is never verified", "move it to results/community")
