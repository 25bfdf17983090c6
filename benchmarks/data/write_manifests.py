"""Write the manifests of the embedded datasets: `python -m benchmarks.data.write_manifests`. For a new generator version."""

from __future__ import annotations

import json

from benchmarks.catalog import CLASSIFICATION, DATASETS, DEPTH, TASKS
from benchmarks.data.drawing import SIZE
from benchmarks.data.generated import digest, generate
from benchmarks.data.manifests import cards
from benchmarks.data.synthetic import GENERATOR_VERSION
from benchmarks.protocols import PROTOCOLS

_MASK = f"mask ({SIZE}, {SIZE}) bool"
_TRUTHS = {DEPTH: f"depth ({SIZE}, {SIZE}) in whole millimetres", CLASSIFICATION: "class, a whole number from 0"}


def main() -> None:
    for name, dataset in DATASETS.items():
        if dataset.source != "generated":
            continue
        task = TASKS.get(dataset.task)
        protocol = PROTOCOLS.get(dataset.protocol).for_task(task)
        splits = {"train": protocol.train_images, "test": protocol.test_images}
        value = {
            "name": name,
            "source": f"benchmarks.data.synthetic, generator version {GENERATOR_VERSION}",
            "licence": "Apache-2.0",
            "layout": f"image ({SIZE}, {SIZE}, 3) uint8, {_TRUTHS.get(task.kind, _MASK)}; ids SPLIT-00000 and up",
            "splits": {s: {"images": n, "sha256": digest(*generate(name, s, n))} for s, n in splits.items()},
        }
        (cards() / name).mkdir(exist_ok=True)
        (cards() / name / "manifest.json").write_text(json.dumps(value, indent=2) + "\n")


if __name__ == "__main__":
    main()
