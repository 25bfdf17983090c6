"""docs/sweeps.md: its commands parse, its grid is one, and its arithmetic follows from the catalogue, the manifests and the cost record."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.catalog import BACKBONES
from benchmarks.cells import PRINTED_METHODS, cells
from benchmarks.cli import parser
from benchmarks.data.manifests import manifest
from benchmarks.grid import expand
from benchmarks.grid_file import read
from benchmarks.protocols import PROTOCOLS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "sweeps.md").read_text()
WORDS = " ".join(TEXT.split())
PAPER = PROTOCOLS.get("paper-v1")
ENCODER = 972e9  # FLOP of ViT-B's encoder, measured
DATASETS = list(dict.fromkeys(c.dataset for c in cells() if c.table == 2))
OWN = {"busi": (518, 129), "kvasir": (800, 200), "perseg": (80, 160)}  # no official split: four fifths, and assumed


def counts(dataset: str) -> tuple[int, int]:
    splits = manifest(dataset)["splits"]
    return OWN.get(dataset) or (splits["train"]["images"], splits["test"]["images"])


@pytest.mark.parametrize("line", re.findall(r"python -m benchmarks ([^`\n]*)", TEXT))
def test_every_command_is_one(line):
    parser().parse_args(re.split(r"\s{2,}", line.replace('"', ""))[0].split())


def test_the_grid_is_one(tmp_path, monkeypatch):
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))
    (text,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.S)
    (tmp_path / "grid.yaml").write_text(text)
    assert len(expand(read(tmp_path / "grid.yaml"))) == 2 * 4 * 3 - 2 * 2 + 2 * 3 + 3


def test_the_sizes_of_the_tables():
    seeds = len(PAPER.seeds)
    swaps = {t: {c for c in cells() if c.table == t and c.method.endswith("+swap")} for t in (2, 3, 5)}
    found = [len(swaps[t]) * seeds for t in (2, 3, 5)]
    assert found == [189, 216, 18] and len(PRINTED_METHODS) * 9 * seeds == 216
    assert "189 + 216 = **405 searches** and 216 trainings" in WORDS and "18 searches" in WORDS


def test_the_arithmetic():
    seeds, images, peaks = len(PAPER.seeds), PAPER.search_images, (165e12, 312e12, 989e12)
    c = BACKBONES.get("sam-vit-b").channels
    passes = (c * (c - 1) + 1 + 2**PAPER.keep) * images
    assert f"{passes:,} decoder passes" in WORDS and f"{405 * passes / 1e9:.2f} G passes" in WORDS
    steps = sum(PAPER.training.epochs * (counts(d)[0] - images) for d in DATASETS)
    coco = PAPER.training.epochs * (counts("coco")[0] - images) / steps
    assert f"{steps / 1e6:.2f} M image-steps" in WORDS and f"{100 * coco:.0f} % of them COCO's" in WORDS
    rows = json.loads((ROOT / "results" / "cost" / "sam-vit-b-cpu-amd-epyc-batch1.json").read_text())["rows"]
    took = {row["method"]: row["seconds_per_step"] for row in rows}
    factors = {m: took[m] / took["base+swap"] for m in PRINTED_METHODS.values() if m != "decoder"}
    for method, factor in factors.items():
        assert f"{method} {factor:.1f}" in WORDS
    decoder = steps * 3 * 3.62e9 + steps / PAPER.training.epochs * ENCODER
    training = seeds * (steps * sum(factors.values()) * ENCODER + decoder)
    assert f"{training / seeds / 1e18:.1f} EFLOP a seed, **{training / 1e18:.0f} EFLOP**" in WORDS
    tests = sum(counts(d)[1] for d in DATASETS)
    sizes = {
        "b": 972,
        "l": 972 * 308 / 91,
        "h": 972 * 636 / 91,
        "t": 292,
        "s": 292 * 46 / 39,
        "b+": 292 * 81 / 39,
        "hl": 292 * 224 / 39,
    }
    encoders = sum(sizes.values()) * 1e9
    two = encoders * tests * (1 + seeds)
    testing = two + ENCODER * tests * 8 * 2 * seeds + images * 9 * seeds * (encoders + 8 * ENCODER)
    assert f"{tests:,} test images" in WORDS and f"**{testing / 1e18:.2f} EFLOP**" in WORDS

    def hours(flop: float, share: float) -> list[float]:
        return [flop / (peak * share) / 3600 for peak in peaks]

    def row(name: str) -> list[float]:
        (line,) = re.findall(rf"^\| {re.escape(name)} \|(.*)\|$", TEXT, re.M)
        return [float(re.search(r"[\d.,]+", cell)[0].replace(",", "")) for cell in line.split("|")]

    searches, train, test = hours(405 * passes * 1.6e9, 0.15), hours(training, 0.3), hours(testing, 0.3)
    without = [t * (1 - coco) for t in train]
    near = {"rel": 0.03}
    assert row("one search, re-associated") == pytest.approx([3600 * h / 405 for h in searches], **near)
    assert row("405 searches") == pytest.approx(searches, **near)
    assert row("trainings of table 3") == pytest.approx(train, **near)
    assert row("of these without COCO") == pytest.approx(without, **near)
    assert row("tests and embeddings") == pytest.approx(test, rel=0.06)
    assert row("**tables 2 and 3**") == pytest.approx([a + b + c for a, b, c in zip(searches, train, test)], **near)
    assert row("without training on COCO") == pytest.approx([a + b + c for a, b, c in zip(searches, without, test)], **near)
    alone = [a + b for a, b in zip(hours(189 * passes * 1.6e9, 0.15), hours(two, 0.3))]
    assert row("table 2 alone") == pytest.approx(alone, **near)
