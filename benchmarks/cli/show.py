"""`show`: one name, or one record, closely."""

from __future__ import annotations

import argparse
import difflib
import os
from dataclasses import asdict, is_dataclass
from pathlib import Path

from benchmarks.cli import common

EXAMPLES = """examples:
  python -m benchmarks show mini-v1
  python -m benchmarks show dora
  python -m benchmarks show results/verified/mini-v1/camo-mini/*.json"""


def register(commands) -> None:
    p = commands.add_parser(
        "show", help="one entry or one record closely", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("names", nargs="+", metavar="NAME", help="a task, dataset, backbone, method, protocol, or a record's file")
    p.set_defaults(call=call)


def call(args) -> int:
    for name in args.names:
        _record(Path(name)) if name.endswith(".json") else _entry(name)
    return 0


def nearest(path: Path) -> str:
    """What to do about a record's file that is not there: the most like it among those that are."""
    from benchmarks.environment import project_root

    if path.is_dir():
        return f"it is a folder; name files in it, such as {common.near(next(iter(sorted(path.rglob('*.json'))), path / 'RECORD.json'))}"
    results = project_root() / "results"
    every = {p.name: p for tier in ("community", "verified") for p in sorted((results / tier).rglob("*.json"))}
    begun = [name for name in every if name.startswith(path.stem)]
    if near := begun or difflib.get_close_matches(path.name, every, n=1):
        return f"did you mean {common.near(every[near[0]])}?"
    return "a run says where its record is; they lie in results/verified and results/community"


def _entry(name: str) -> None:
    from benchmarks.catalog import BACKBONES, DATASETS, FAMILIES, METHODS, SWAP, TASKS
    from benchmarks.columns import fill
    from benchmarks.errors import UsageError
    from benchmarks.protocols import PROTOCOLS
    from benchmarks.registry import Registry

    registries = (TASKS, DATASETS, BACKBONES, METHODS, PROTOCOLS)
    plain = name.removesuffix(SWAP)
    found = [(r.kind, r.get(plain)) for r in registries if plain in r]
    if not found:
        if os.path.exists(name):  # not Path.exists, which raises where a name is too long
            raise UsageError(f"{name} is no record; {nearest(Path(name))}")
        every: Registry = Registry("name")
        for registry in registries:
            for known in registry:
                if known not in every:
                    every.add(known, None)
        every.get(plain)
        raise UsageError(f"unknown name {name!r}")
    for kind, entry in found:
        print(f"{kind} {plain}")
        for key, value in _fields(kind, entry).items():
            if key != "name" and value not in (None, "", {}, [], ()):
                print(fill(f"  {key}: {_said(value)}", " " * 4))
        if kind == "protocol":
            for task in TASKS:
                for family in FAMILIES[TASKS.get(task).kind]:
                    of = entry.for_task(TASKS.get(task)).for_family(family)
                    mask = f", mask {of.mask}" if of.mask else ""
                    says = f"metric {of.metric}, loss {of.training.loss}{mask}{'; ' if of.rules else ''}{_said(of.rules)}"
                    print(fill(f"  {task} with {family}: hash {of.hash[:8]}, {says}", " " * 4))
        print()


def _said(value) -> str:
    """For a reader: "epochs 2, batch 4" of a mapping, "0, 1, 2" of a list."""
    if isinstance(value, dict):
        between = "; " if any(isinstance(v, (list, tuple)) for v in value.values()) else ", "
        return between.join(f"{k} {_said(v)}" for k, v in value.items())
    return ", ".join(map(_said, value)) if isinstance(value, (list, tuple)) else str(value)


def _fields(kind: str, entry) -> dict:
    """What is worth saying of an entry, by its label."""
    if kind == "dataset":
        return _dataset(entry)
    if kind == "backbone":
        return _backbone(entry)
    return asdict(entry) if is_dataclass(entry) else _method(entry)


def _dataset(dataset) -> dict:
    from benchmarks import data, readiness
    from benchmarks.data.manifests import cards, manifest

    stated = manifest(dataset.name)
    counts = {split: about["images"] for split, about in stated["splits"].items() if about["images"]}
    counts = counts or ({"in all": stated["images"]} if "images" in stated else {})
    state = readiness.of_dataset(dataset)
    return asdict(dataset) | {
        "classes": dataset.classes or None,
        "images": ", ".join(f"{number:,} {split}" for split, number in counts.items()),
        "layout": stated["layout"],
        "licence": stated["licence"],
        "citation": stated.get("citation"),
        "card": common.near(cards() / dataset.name / "README.md"),
        "state": f"{state}: {data.lacking(dataset)}" if state == readiness.MISSING else state,
    }


def _backbone(backbone) -> dict:
    from benchmarks import backbones, readiness
    from benchmarks.board.checkpoint_cards import card

    weights, state = backbone.weights, readiness.of_backbone(backbone)
    fields = {key: value for key, value in asdict(backbone).items() if key != "weights"}
    size = f", {weights.bytes / 1e6:,.0f} MB" if weights.bytes else ""
    whence = "with the package" if weights.shipped else weights.url
    return fields | {
        "weights": f"{weights.file}{size}, {whence}",
        "sha256": None if weights.shipped and state == readiness.MISSING else backbones.pinned_sha256(backbone),
        "licence": "Apache-2.0, like the code" if weights.shipped else "Apache-2.0, as its publisher's README says",
        "card": common.near(card(backbone)) if weights.shipped else None,
        "state": f"{state}: {backbones.lacking(backbone)}" if state == readiness.MISSING else state,
    }


def _method(method) -> dict:
    import inspect

    return {
        "summary": method.summary,
        "encoder": "changed by the method, and run in every step"
        if method.trains_encoder
        else "left as it is: its features are kept",
        "not for": "; ".join(f"{family}: {reason}" for family, reason in method.skips.items()),
        "file": common.near(Path(inspect.getfile(method))),
        "licence": "Apache-2.0, like the code" if method.__module__.startswith("benchmarks.") else None,
        "state": "ready",
    }


def _record(path: Path) -> None:
    from benchmarks import records
    from benchmarks.errors import UsageError, count
    from benchmarks.plain import printable

    if not path.is_file():
        raise UsageError(f"there is no record {path}; {nearest(path)}")
    record = records.read(path)
    on = record.environment
    for line in (
        f"{record.spec.method} on {record.spec.dataset} with {record.spec.backbone}, seed {record.spec.seed}: {record.status}, {record.started}",
        f"  commit {on.commit or 'unknown'}{' with uncommitted changes' if on.dirty else ''}, {on.device}, {count(on.threads, 'thread')}, {on.precision}",
        f"  again: {record.command}",
    ):
        print(printable(line))
    print()
    if record.status == "failed":
        print(printable(f"  error: {record.error}"))
        return
    common.tables([record])
    if record.training:
        how = record.training
        print(
            f"\ntrained: mean loss of each epoch {', '.join(f'{x:.4f}' for x in how.losses)}; artefact {how.artefact_bytes:,} bytes; "
            f"micro-batches of {how.micro_batch}, {'with' if how.activation_checkpointing else 'without'} activation checkpointing, "
            f"{how.loaders} loaders"
        )
