"""Small example records for the tests of the board, the same bytes on every machine.

    python tests/make_example_results.py            write tests/example_results/
    python tests/make_example_results.py --golden   also write tests/golden_board/, the pages that they must give

The numbers are invented. Look at the golden pages after writing them: they are what the tests then hold to be right.
"""

from __future__ import annotations

import atexit
import json
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
RESULTS, GOLDEN = HERE / "example_results", HERE / "golden_board"
REFERENCE = HERE.parent / "results" / "reference"  # the paper's own numbers, which no example may invent
if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))  # a checkout that is not installed

from benchmarks.catalog import BACKBONES, DATASETS, TASKS  # noqa: E402
from benchmarks.cost_records import CostRecord  # noqa: E402
from benchmarks.hashes import hash_of  # noqa: E402
from benchmarks.metrics.intervals import bootstrap, paired  # noqa: E402
from benchmarks.metrics.names import METRICS  # noqa: E402
from benchmarks.protocols import rules_of  # noqa: E402
from benchmarks.records import Record, dump  # noqa: E402

IMAGES = [f"camo-{i}" for i in range(6)]
MINI = {"name": "mini-v1", "prompt": "interior point", "mask": "single", "search_images": 4, "seeds": [0, 1, 2]}
MINI_OTHER = MINI | {"prompt": "centroid"}  # the same name with another rule: another version
PAPER = {"name": "paper-v1", "prompt": "interior point", "mask": "single", "search_images": 50, "seeds": [0, 1, 2]}
CAMO = MINI | {"metric": "miou"}
_HEADED = {k: v for k, v in MINI.items() if k not in ("prompt", "mask")}
DEPTH = _HEADED | {"metric": "mse", "rules": {"head": "lin.1"}}
CLASSES = _HEADED | {"metric": "accuracy", "rules": {"head": "linear on CLS"}}
# The metrics of a task's records, each of one image's mIoU-like score; where only mIoU is named, it is the score itself.
MEASURED = {
    "camo": {
        "miou": lambda s: s,
        "dice": lambda s: 2 * s / (1 + s),
        "s_measure": lambda s: 0.4 + s / 2,
        "e_adaptive": lambda s: 0.35 + s / 2,
        "e_mean": lambda s: 0.3 + s / 2,
        "e_max": lambda s: 0.45 + s / 2,
        "weighted_f": lambda s: 0.9 * s,
        "mae": lambda s: (1 - s) / 5,
    },
    # Not the ranked one first: the protocol says which it is.
    "depth": {
        "abs_rel": lambda s: 0.4 * (1 - s),
        "mse": lambda s: (1 - s) ** 2,
        "rmse": lambda s: 1 - s,
        "delta1": lambda s: 0.1 + s,
    },
    "classification": {"accuracy": lambda s: float(s > 0.6), "cross_entropy": lambda s: 2 * (1 - s)},
}
OBJECTIVES = {
    "mse": "-mse",
    "accuracy": "accuracy, ties broken by cross-entropy: correct - 0.0001 cross-entropy",
}
LIFT = {
    "base": 0.0,
    "base+best-of-three": 0.01,
    "base+swap": 0.05,
    "base+random-swap": -0.002,
    "dora": 0.09,
    "dora+swap": 0.12,
    "dora+random-swap": 0.085,
    "lora": 0.07,
    "decoder|<script>alert(1)</script>": 0.04,
    "decoder": 0.06,
    "decoder+swap": 0.075,
    "decoder+random-swap": 0.055,
    "encoder": 0.08,
    "encoder+swap": 0.08,
    "encoder+random-swap": 0.06,
}
HELD = {
    "base": ["base", "base+best-of-three"],
    "base+swap": ["base", "base+best-of-three", "base+swap", "base+random-swap"],
    "dora": ["base", "base+best-of-three", "dora"],
    "dora+swap": ["base", "base+best-of-three", "dora", "dora+swap", "dora+random-swap"],
    "decoder+swap": ["base", "base+best-of-three", "decoder", "decoder+swap", "decoder+random-swap"],
    "encoder+swap": ["base", "base+best-of-three", "encoder", "encoder+swap", "encoder+random-swap"],
}
TRAINED = {"base": (0, {}), "dora": (4096, {"mask_decoder": 191292}), "lora": (2048, {})}


def scores(name: str, seed: int, images: list[str], place: str = "") -> list[float]:
    """Per-image scores in [0, 1]; base does not depend on the seed, because nothing is trained. Each `place` has its own."""
    drawn = [len(name), sum(map(ord, name)), 0 if name.startswith("base") else seed]
    rng = np.random.default_rng(drawn + [sum(k * ord(c) for k, c in enumerate(place, 1))] * bool(place))
    level = np.linspace(0.45, 0.7, len(images)) + (rng.uniform(-0.1, 0.1) if place else 0)
    return [round(float(x), 6) for x in level + LIFT[name] + rng.normal(0, 0.012, len(images))]


def example(
    method: str,
    seed: int,
    *,
    protocol=MINI,
    dataset="camo",
    device="cpu: two cores",
    held=None,
    images=IMAGES,
    started="2026-01-02T10:00:00+00:00",
    limit=None,
    marks=(),
    error=None,
    dirty=False,
    precision="float32",
    task="camo",
    backbone="sam-mini",
    metrics=("miou",),
    place="",
) -> Record:
    """One record as a run leaves it. `held` names its evaluations (default: as the method does); `error` makes it failed.
    `metrics` are keys of MEASURED[task], in the order in which the record names them."""
    spec = {
        "task": task,
        "dataset": dataset,
        "backbone": backbone,
        "method": method,
        "protocol": protocol["name"],
        "seed": seed,
        "precision": precision,
        "limit": limit,
    }
    images = images[:limit]
    family = method.split("+")[0]
    roles = {"base": "base"} | {name: "control" for name in LIFT if name.endswith(("+random-swap", "+best-of-three"))}
    evaluations = []
    for name in [] if error else held or HELD[method]:
        plain = scores(name, seed, images, place)
        found = {m: plain if m == "miou" else [round(MEASURED[task][m](s), 6) for s in plain] for m in metrics}
        evaluations.append(
            {
                "name": name,
                "role": roles.get(name, "method"),
                "metrics": {m: _interval(values) for m, values in found.items()},
                "scores": found,
            }
        )
    ranked = protocol.get("metric", "miou")
    sign = METRICS[ranked].sign
    by_name = {e["name"]: e["scores"][ranked] for e in evaluations}
    search = comparison = None
    if method.endswith("+swap") and not error:
        gain = paired(by_name[method], by_name[family])
        comparison = {
            "a": method,
            "b": family,
            "metric": ranked,
            "difference": gain.value,
            "low": round(gain.low, 12),  # machines differ in the last bits
            "high": round(gain.high, 12),
            "p": gain.p,
        }
        search = {
            "strategy": "exhaustive",
            "objective": OBJECTIVES.get(ranked, ranked),
            "images": [f"search-{i}" for i in range(4)],
            "channels": 16,
            "pairs": [(3, 7), (5 + seed, 1)],
            "kept": [{"redundant": 3, "effective": 7, "gain": 0.02}],
            "evaluations": 16 * 15 * 4,
            "combinations": 1023,
            "conflicts": 10 * seed,
            "base_score": 0.5,
            "search_gain": 0.06,
            "test_gain": sign * gain.value,
        }
    trained = TRAINED.get(family, (512, {}))
    trained = trained if "mask" in protocol else (trained[0], {})  # a head is nothing that a method trains
    stage = {"threads": 2, "peak_memory_mb": 400.0 + seed}
    stages = [stage | {"name": "train", "seconds": 30.0 + seed, "cached": method.endswith("+swap")}] if trained[0] else []
    stages += [stage | {"name": "search", "seconds": 12.5 + seed}] if search else []
    stages += [stage | {"name": "evaluate", "seconds": 1.25}]
    return Record.model_validate(
        {
            "status": "failed" if error else "done",
            "error": error,
            "spec": spec,
            "spec_hash": hash_of(spec),
            "protocol": protocol,
            "protocol_hash": hash_of(protocol),
            "weights": {backbone: "0" * 64},
            "marks": list(marks),
            "images": [] if error else images,
            "evaluations": evaluations,
            "comparisons": [comparison] if comparison else [],
            "search": search,
            "trainable": {"method": trained[0], "besides": trained[1]},
            "stages": [] if error else stages,
            "environment": {
                "commit": "0" * 40,
                "dirty": dirty,
                "python": "3.11.7",
                "platform": "Linux",
                "device": device,
                "precision": precision,
                "threads": 2,
                "packages": {"torch": "2.9.0"},
            },
            "started": started,
            "command": f"python -m benchmarks run --task {task} --dataset {dataset} --method '{method}' --protocol {protocol['name']}",
        }
    )


def _interval(values: list[float]) -> dict[str, float]:
    mean = bootstrap(values)
    return {"value": sum(values) / len(values), "low": round(mean.low, 12), "high": round(mean.high, 12)}


def measured(task: str, method: str, seed: int) -> Record:
    """A record with every metric of MEASURED[task]; depth and classification are of a backbone with a linear head."""
    if task == "camo":
        return example(method, seed, protocol=CAMO, dataset="camo-mini", metrics=tuple(MEASURED[task]))
    protocol, dataset = {"depth": (DEPTH, "depth-mini"), "classification": (CLASSES, "classes-mini")}[task]
    return example(
        method,
        seed,
        protocol=protocol,
        dataset=dataset,
        images=[f"{task}-{i}" for i in range(6)],
        held=[name for name in HELD[method] if name != "base+best-of-three"],
        task=task,
        backbone="dino-mini",
        metrics=tuple(MEASURED[task]),
    )


def cell(dataset: str, backbone: str, method: str, seed: int, **others) -> Record:
    """A record under the installed rules of the dataset's own protocol, as a cell of the paper's tables asks for."""
    known, family = DATASETS.get(dataset), BACKBONES.get(backbone).family
    masks = known.task not in ("depth", "classification")
    held = None if masks else [name for name in HELD[method] if name != "base+best-of-three"]
    return example(
        method,
        seed,
        dataset=dataset,
        images=[f"{dataset}-{i}" for i in range(6)],
        task=known.task,
        backbone=backbone,
        metrics=("miou",) if masks else tuple(MEASURED[known.task]),
        place=f"{dataset} {backbone}",
        **{"held": held, "protocol": rules_of(known).for_family(family).resolved(), **others},
    )


def cells() -> list[tuple[str, Record]]:
    """Records, with their tier, that fill cells of tables 2, 3 and 5 and of their embedded likenesses."""
    masks = [d for t in ("natural", "medical", "camo") for d in TASKS.get(t).datasets["paper-v1"]]
    mini = [d for t in ("natural", "medical", "camo") for d in TASKS.get(t).datasets["mini-v1"]]
    made = [cell(d, "sam-vit-b", "base+swap", seed) for d in masks for seed in (0, 1)]  # a whole row
    made += [cell(d, "sam-mini", "base+swap", seed) for d in mini for seed in (0, 1)]
    made += [cell("kvasir", "sam-vit-b", "decoder+swap", seed) for seed in (0, 1)]
    made += [cell("cod10k", "sam-vit-b", "encoder+swap", 0)]  # where the paper prints a dash
    made += [cell("isic16", "sam-vit-b", "dora+swap", 0, error="CUDA out of memory | <b>")]
    made += [cell("busi", "sam2-hiera-t", "base+swap", 0), cell("voc", "sam-vit-l", "base+swap", 0, precision="bfloat16")]
    made += [cell("nyuv2", "dinov2-vit-s", "base+swap", seed) for seed in (0, 1)]
    made += [cell("cifar100", "dinov2-vit-s", "base+swap", 0), cell("depth-mini", "dino-mini", "base+swap", 0)]
    sent = [cell("kvasir", "sam2.1-hiera-t", "base+swap", 0, dirty=True), cell("camo", "sam-vit-b", "base+swap", 0, dirty=None)]
    return [("verified", r) for r in made] + [("community", r) for r in sent]


def cost() -> CostRecord:
    """A cost record in the paper's way: two methods measured, one that did not fit."""
    row = {"threads": 4, "random_weights": False, "started": "2026-01-02T10:00:00+00:00", "parameters": 93_735_472}
    fits = row | {"status": "done", "seconds_per_step": 0.75}
    rows = [
        fits | {"method": "base+swap", "trainable": {"method": 0}, "peak_allocated_mib": 9000.0, "peak_reserved_mib": 10240.0},
        fits
        | {"method": "decoder", "trainable": {"method": 4_058_340}, "peak_allocated_mib": 11000.0, "peak_reserved_mib": 13000.0},
        row
        | {
            "method": "encoder",
            "trainable": {"method": 89_670_912},
            "status": "out of memory",
            "reason": "tried to have 2 GiB | <b>",
        },
    ]
    where = {
        "python": "3.11.7",
        "platform": "Linux",
        "device": "GPU Example",
        "precision": "float32",
        "threads": 4,
        "packages": {},
    }
    return CostRecord.model_validate(
        {
            "backbone": "sam-vit-b",
            "image_size": 1024,
            "device_kind": "cuda",
            "batch": 4,
            "precision": "float32",
            "micro_batch": 4,
            "activation_checkpointing": False,
            "code": "example",
            "rows": rows,
            "environment": where | {"dirty": False},
        }
    )


def examples() -> dict[str, str]:
    """Every example file, by its path under the results folder."""
    files = {}

    def add(tier: str, record: Record, suffix: str = "") -> None:
        spec = record.spec
        method = spec.method.split("|")[0]
        both = hash_of([record.spec_hash, record.protocol_hash])  # two protocol versions must not share a file
        name = f"{method}-{spec.backbone}-seed{spec.seed}-{both[:8]}{suffix}.json"
        files[f"{tier}/{spec.protocol}/{spec.dataset}/{name}"] = dump(record)

    for seed in range(3):
        for method in ("base", "base+swap", "dora", "dora+swap"):
            add("verified", example(method, seed, device="gpu: example" if seed == 2 else "cpu: two cores"))
    add("verified", example("dora", 1, started="2026-01-01T09:00:00+02:00"), "-older")
    add("verified", example("dora", 0, limit=2, marks=["limited to 2 test images"]))
    add("verified", example("dora", 4, marks=["the test images were changed by hand"]))
    add("verified", example("dora", 6, dirty=True))
    add("verified", example("dora+swap", 5, error="out of memory | <script>alert(1)</script>\n`![x](http://example.org)`"))
    add("verified", example("base+swap", 0, protocol=MINI_OTHER))
    add("community", example("base", 0, dirty=True))
    add("community", example("base", 0, precision="bfloat16"))
    add(
        "community",
        example(
            "decoder|<script>alert(1)</script>",
            0,
            held=["decoder|<script>alert(1)</script>"],
            images=[*IMAGES[:5], "camo-another"],
        ),
    )
    add("community", example("lora", 0, protocol=PAPER, dataset="cod10k", held=["lora"]))  # its base was never evaluated
    for task in MEASURED:
        for seed in range(3):
            for method in ("base+swap", "dora+swap"):
                add("verified", measured(task, method, seed))
    for tier, record in cells():
        add(tier, record)
    files[f"cost/{cost().file_name}"] = json.dumps(cost().model_dump(mode="json"), indent=1) + "\n"
    files["community/mini-v1/camo/cut-off.json"] = '{"schema_version": 1, "status": "do'
    return files


def write_examples(folder: Path) -> None:
    for name, text in examples().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    shutil.copytree(REFERENCE, folder / "reference", dirs_exist_ok=True)


@cache
def few() -> Path:
    """A results folder of the example records of invented protocols alone: those of installed ones, which fill cells of the paper's
    tables, are left out, so that a test can say what it expects of a page."""
    kept = tempfile.TemporaryDirectory(prefix="few-")
    atexit.register(kept.cleanup)
    folder = Path(kept.name) / "results"
    for path in RESULTS.rglob("*.json"):
        name = path.relative_to(RESULTS)
        text = path.read_text(encoding="utf-8")
        if name.parts[0] in ("verified", "community") and '"training": {' not in text.partition('"protocol_hash"')[0]:
            (folder / name.parent).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)
    return folder


if __name__ == "__main__":
    shutil.rmtree(RESULTS, ignore_errors=True)
    write_examples(RESULTS)
    if "--golden" in sys.argv[1:]:
        from benchmarks.board import html
        from benchmarks.board.build import build

        shutil.rmtree(GOLDEN, ignore_errors=True)
        build(RESULTS, GOLDEN)
        (GOLDEN / html.PAGE).unlink()  # too large to be read in a difference
        for picture in GOLDEN.glob("*.svg"):
            if not picture.name.startswith("mini-v1-camo-"):  # those of a few boards say enough
                picture.unlink()
