"""Many small records for the tests of speed: invented numbers in the form in which runs leave them.

python tests/many_records.py FOLDER [COUNT]     write them, 10,000 without a COUNT, below FOLDER
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout that is not installed

from benchmarks.hashes import hash_of  # noqa: E402
from benchmarks.records import digest_of  # noqa: E402
from tests.make_example_results import CAMO, DEPTH, PAPER, example  # noqa: E402

# Forty boards: five datasets, four backbones, two tiers. On each 25 methods, without and with swap, of five seeds.
MASKS = {"metric": "miou"}
DATASETS = (
    ("camo-mini", CAMO, "camo"),
    ("natural-mini", CAMO, "natural"),
    ("depth-mini", DEPTH, "depth"),
    ("kvasir", PAPER | MASKS, "medical"),
    ("cod10k", PAPER | MASKS, "camo"),
)
BACKBONES = ("sam-mini", "sam2-mini", "sam-vit-b", "sam2.1-hiera-t")
TIERS, SEEDS, IMAGES = ("verified", "community"), 5, 6
METRICS = {"camo": ("miou", "dice"), "depth": ("mse", "abs_rel"), "medical": ("miou", "dice"), "natural": ("miou",)}


def write_many(folder: Path, count: int) -> None:
    """`count` records, at most 10,000 of which are of the first 25 methods."""
    shape = example("dora+swap", 0).model_dump(mode="json")
    for k, (number, swap, seed, (dataset, protocol, task), backbone, tier) in enumerate(
        itertools.product(range(count), ("", "+swap"), range(SEEDS), DATASETS, BACKBONES, TIERS)
    ):
        if k == count:
            return
        record, family = dict(shape), "base" if number == 0 else f"m{number:03}"
        names = list(dict.fromkeys(["base", family] + ([f"{family}+swap", f"{family}+random-swap"] if swap else [])))
        record["evaluations"] = [_evaluation(name, seed, METRICS[task]) for name in names]
        record["comparisons"], record["protocol"], record["protocol_hash"] = [], protocol, hash_of(protocol)
        spec = {"task": task, "dataset": dataset, "backbone": backbone, "method": family + swap, "protocol": protocol["name"]}
        record["spec"] = shape["spec"] | spec | {"seed": seed}
        record["spec_hash"] = hash_of(record["spec"])
        record["search"] = shape["search"] | {"objective": protocol["metric"], "test_gain": 0.01} if swap else None
        record["weights"] = {backbone: "0" * 64}
        record["command"] = f"python -m benchmarks run {' '.join(f'--{k} {v}' for k, v in spec.items())} --seeds {seed}"
        place = folder / tier / protocol["name"] / dataset / f"{family}{swap}-{backbone}-seed{seed}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        record["digest"] = digest_of(record)
        place.write_text(json.dumps(record), encoding="utf-8")


def _evaluation(name: str, seed: int, metrics: tuple[str, ...]) -> dict:
    fixed = np.random.default_rng([sum(map(ord, name)), seed])  # one evaluation is the same in every record that holds it
    scores = {metric: [round(float(x), 6) for x in fixed.uniform(0.2, 0.8, IMAGES)] for metric in metrics}
    means = {metric: sum(found) / IMAGES for metric, found in scores.items()}
    role = "base" if name == "base" else "control" if name.endswith("+random-swap") else "method"
    shown = {metric: {"value": mean, "low": mean - 0.01, "high": mean + 0.01} for metric, mean in means.items()}
    return {"name": name, "role": role, "metrics": shown, "scores": scores}


if __name__ == "__main__":
    write_many(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10_000)
