"""What earlier records of a device tell of the time and memory that runs will take. Imports no torch.

Records are read for their figures alone and not checked against the schema: a plan of thousands of runs is to be quick, and a record
that is none tells nothing.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.catalog import SWAP
from benchmarks.plan import Plan, passes

TIERS = ("verified", "community")


def kind(p: Plan, name: str) -> str:
    """A stage as its time depends on it: a search's strategy, the plain or the swapped evaluation."""
    if name == "search":
        return f"search {p.protocol.strategy}"
    if name.startswith("evaluate "):
        return "evaluate base" if name == "evaluate base" else f"evaluate {SWAP}" if name.endswith(SWAP) else "evaluate"
    return name


def units(p: Plan, name: str) -> int:
    """How much work a stage is: images times epochs, decoder passes (at most), or images."""
    if name == "train":
        return len(p.train_ids) * p.protocol.training.epochs
    if name == "head":
        return len(p.train_ids)
    if name == "embed":
        return len(p.search_ids)
    return passes(p) if name == "search" else len(p.test_ids)


@dataclass(frozen=True)
class Measured:
    """`rates`: seconds a unit times threads (of a GPU: seconds a unit), by (backbone, stage kind, method, dataset), method and dataset
    None for any. `memory`: most MB of a GPU by (backbone, method). `records` of this device and precision that were read."""

    rates: dict[tuple, float]
    memory: dict[tuple[str, str], float]
    records: int

    def seconds(self, p: Plan, name: str) -> float | None:
        """Of a stage on one thread, or on one GPU. None where no record tells."""
        about = (p.backbone.name, kind(p, name))
        for key in ((*about, p.method, p.dataset.name), (*about, p.method, None), (*about, None, None)):
            if key in self.rates and (key[3] is not None or name != "head"):
                return self.rates[key] * units(p, name)
        return None

    def peak(self, p: Plan) -> float | None:
        """MB that a group took of a GPU, at most. None where none was measured."""
        return self.memory.get((p.backbone.name, p.method))


def measured(results: Path, plans: Iterable[Plan], device: str | None) -> Measured:
    """From the records under `results` of the plans' backbones. `device` by its own name; None for any GPU, whose memory is then
    told and whose times are not."""
    samples: dict[tuple, list[float]] = defaultdict(list)
    memory: dict[tuple[str, str], float] = {}
    plans = list(plans)
    trained = {p.dataset.name: len(p.train_ids) for p in plans}
    precision, found = plans[0].precision if plans else "float32", 0
    for backbone in sorted({p.backbone.name for p in plans}):
        for path in (f for tier in TIERS for f in sorted((results / tier).glob(f"*/*/*-{backbone}-seed*.json"))):
            try:
                record = json.loads(path.read_bytes())
                told = _read(record, backbone, precision, device, trained, samples, memory)
            except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
                continue
            found += told
    _costs(results, memory)
    return Measured({key: median(values) for key, values in samples.items()}, memory, found)


def _read(record: dict, backbone: str, precision: str, device: str | None, trained: dict, samples: dict, memory: dict) -> bool:
    spec, where = record["spec"], record["environment"]
    if spec["backbone"] != backbone or record["status"] != "done":
        return False
    method, dataset = spec["method"].removesuffix(SWAP), spec["dataset"]
    for stage in record["stages"]:
        if stage.get("peak_gpu_mb"):
            memory[backbone, method] = max(memory.get((backbone, method), 0.0), float(stage["peak_gpu_mb"]))
    if where["device"] != device or where["precision"] != precision or spec["limit"] is not None:
        return False
    threads = "CPU" in where["device"]
    amounts = {"head": trained.get(dataset), "train": None, "embed": None, "search": None}
    if record.get("training") and dataset in trained:
        amounts["train"] = trained[dataset] * len(record["training"]["losses"])
    if search := record.get("search"):
        amounts |= {"embed": len(search["images"]), "search": search["evaluations"]}
    for stage in record["stages"]:
        name, of = stage["name"], method
        amount = len(record["images"]) if name.startswith("evaluate ") else amounts.get(name)
        if not amount or stage["cached"] or stage.get("device"):  # who computed it tells
            continue
        about = name
        if name == "search":
            about = f"search {search['strategy']}"
        elif name == "evaluate base":
            about, of = name, "base"
        elif name.startswith("evaluate "):
            about = f"evaluate {SWAP}" if name.endswith(SWAP) else "evaluate"
        rate = float(stage["seconds"]) * (stage["threads"] if threads else 1) / amount
        for key in ((of, dataset), (of, None), (None, None)):
            samples[(backbone, about, *key)].append(rate)
    return True


def _costs(results: Path, memory: dict[tuple[str, str], float]) -> None:
    """GPU memory of the cost records, which measure a training step of each method; of base+swap two inferences."""
    for path in sorted((results / "cost").glob("*.json")):
        try:
            record = json.loads(path.read_bytes())
            for row in record["rows"]:
                if record["device_kind"] == "cuda" and row["status"] == "done":
                    key = record["backbone"], row["method"].removesuffix(SWAP)
                    memory[key] = max(memory.get(key, 0.0), float(row["peak_reserved_mib"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
