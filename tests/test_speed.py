"""Speed: the batch that is found by trying, the record of a measurement, its page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from benchmarks import speed_records
from benchmarks.board import speed_page
from benchmarks.board.collect import Collection
from benchmarks.cli import main
from benchmarks.errors import InvalidRecord
from chanswap import Scorer, fastest_batch, score

ROOT = Path(__file__).parents[1]


class Device:
    """A device whose clock the test turns: a call costs `overhead` and `each` a version, and more than `fits` do not fit."""

    def __init__(self, overhead: float, each: float, fits: int = 10**9, crowded: int = 10**9):
        self.now, self.overhead, self.each, self.fits, self.crowded = 0.0, overhead, each, fits, crowded
        self.scorer = Scorer([torch.randn(6, 2)], self.evaluate)

    def evaluate(self, versions, image):
        if len(versions) > self.fits:
            raise torch.OutOfMemoryError("full")
        self.now += self.overhead + self.each * len(versions) * (3 if len(versions) > self.crowded else 1)
        return versions.sum((1, 2))


CANDIDATES = torch.tensor([[[k % 6, (k + 1) % 6]] for k in range(2048)])


@pytest.mark.parametrize(
    "device, best",
    [
        (Device(1.0, 1.0), 64),  # 128 are 1.4 % faster a candidate: less than what is taken for a measuring error
        (Device(100.0, 1.0), 1024),
        (Device(0.0, 1.0), 8),  # nothing to gain: the smallest
        (Device(100.0, 1.0, fits=100), 64),  # memory ends it
        (Device(10.0, 1.0, crowded=128), 128),  # larger ones no longer fit into the cache
    ],
)
def test_the_fastest_batch_is_found(device, best):
    assert fastest_batch(device.scorer, CANDIDATES, clock=lambda: device.now) == best


def test_where_not_even_the_smallest_batch_fits_that_is_said():
    device = Device(1.0, 1.0, fits=4)
    with pytest.raises(torch.OutOfMemoryError):
        fastest_batch(device.scorer, CANDIDATES, clock=lambda: device.now)


def test_a_batch_is_halved_in_scoring_but_not_where_its_size_is_being_tried():
    device = Device(1.0, 1.0, fits=4)
    assert score(device.scorer, CANDIDATES[:20]).shape == (1, 20)
    with pytest.raises(torch.OutOfMemoryError):
        score(device.scorer, CANDIDATES[:20], halve=False)


# The record and the page


def way(name: str, milliseconds: float, **more) -> dict:
    ratio = 8.0 / milliseconds
    found = {
        "name": name,
        "precision": "float32",
        "batch": 32,
        "milliseconds": milliseconds,
        "ratio": ratio,
        "lowest": ratio - 0.5,
    }
    return found | {"highest": ratio + 0.5, "difference": 0.001, "differing": 3} | more


def made(**more) -> speed_records.SpeedRecord:
    environment = {"python": "3", "platform": "x", "device": "A <GPU>", "precision": "float32", "threads": 2, "packages": {}}
    value = {
        "subject": "mask decoder",
        "backbone": "sam-vit-b",
        "weights": "random",
        "channels": 256,
        "code": "c",
        "candidates": 100,
        "images": 2,
        "rounds": 3,
        "rates": {"float32": 1000.0},
        "ways": [way("literal", 8.0, differing=0, difference=0), way("bfloat16", 0.02, mflop=800.0, share=0.4, best_kept=9, peak_gpu_mb=5000)],
        "whole": {"way": "bfloat16", "pairs": 65280, "images": 50, "seconds": 70.0, "peak_gpu_mb": 6000},
        "environment": environment,
        "command": "python -m benchmarks bench",
    }  # fmt: skip
    return speed_records.SpeedRecord.model_validate(value | more)


def test_the_table_tells_what_was_measured_from_what_was_extrapolated(tmp_path):
    record = made()
    frame = speed_page.table(record).frame.set_index("way")
    assert record.passes == 50 * (256 * 255 + 1)
    assert frame.loc["literal", "all pairs, 50 images"] == "7.25 h"  # 8 ms a pass
    assert frame.loc["bfloat16", "all pairs, 50 images"] == "70 s, measured"
    assert (
        frame.loc["bfloat16", "times faster"] == "400 (400 to 400)" and frame.loc["bfloat16", "of the product's rate"] == "40 %"
    )
    assert frame.loc["bfloat16", "differ by more than 1e-4"] == "3 of 200"
    assert "peak GPU memory 6,000 MB" in speed_page.table(record).caption


def test_the_page_shows_records_and_names_what_it_does_not(tmp_path):
    folder = tmp_path / "speed"
    folder.mkdir()
    speed_records.write(made(), folder / "a.json")
    (folder / "b.json").write_text("{}")
    (page,) = speed_page.pages(tmp_path, Collection((), ())).values()
    text = "\n".join(page)
    assert "A &lt;GPU&gt;" in text and "<GPU>" not in text and "b.json" in text
    assert speed_page.pages(tmp_path / "none", Collection((), ())) == {}


@pytest.mark.parametrize("change", [{"ways": [way("float32", 1.0)]}, {"ways": [way("literal", 1.0)] * 2}, {"whole": {"way": "x", "pairs": 1, "images": 1, "seconds": 1}}])  # fmt: skip
def test_a_record_without_its_literal_loop_is_refused(tmp_path, change):
    value = made().model_dump(mode="json") | change
    (tmp_path / "r.json").write_text(json.dumps(value))
    with pytest.raises(InvalidRecord, match="measure again"):
        speed_records.read(tmp_path / "r.json")


def test_the_schema_beside_the_records_is_that_of_the_code():
    assert (ROOT / "results" / "speed-v1.schema.json").read_text() == speed_records.schema()


def test_the_committed_records_are_shown():
    records, faults = speed_page.collect(ROOT / "results")
    assert records and not faults


@pytest.mark.parametrize(
    "call",
    [
        ["scorer", "--pairs", "20", "--images", "1", "--rounds", "1", "--ways", "float32,bfloat16"],
        ["scorer", "--backbone", "sam2-mini", "--random-weights", "--pairs", "12", "--images", "1", "--rounds", "1"],
    ],
)
def test_bench_times_what_it_says_and_keeps_it(tmp_path, capsys, call):
    assert main(["bench", *call, "--threads", "1", "--device", "cpu", "--save", "--results", str(tmp_path / "results")]) == 0
    shown = capsys.readouterr().out
    (path,) = (tmp_path / "results" / "speed").glob("*.json")
    record = speed_records.read(path)
    assert record.candidates == int(call[call.index("--pairs") + 1]) and record.literal.ratio == 1
    (batched,) = (w for w in record.ways if w.name == "float32")
    assert batched.differing <= 1 and batched.mflop > 1 and 0 < batched.share
    assert f"{batched.milliseconds:,.4g}" in shown
    assert re.search(r"\bms a pass\b", (tmp_path / "leaderboard" / "speed.md").read_text())


@pytest.mark.parametrize("call, error", [(["heads", "--backbone", "sam-mini"], "bench scorer"), (["scorer", "--backbone", "dinov2-vit-b"], "bench heads"), (["--ways", "float8"], "unknown way")])  # fmt: skip
def test_what_cannot_be_timed_is_said(call, error, capsys):
    assert main(["bench", *call]) == 2
    assert error in capsys.readouterr().err
