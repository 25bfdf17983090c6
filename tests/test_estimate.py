"""What a plan says that it costs: stages once, whoever shares them; times of the same device alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import small, store
from benchmarks.estimate import estimate, lines, table
from benchmarks.measured import measured
from benchmarks.plan import passes


@pytest.fixture(scope="module")
def place() -> Iterator[small.Place]:
    with small.place() as made, made.inside():
        yield made


def record(root: Path, method: str, stages: list[dict], device: str = "CPU X", tier: str = "community", **more) -> None:
    """A record of few-mini by sam-mini, with what its reader looks at."""
    value = {
        "spec": {"backbone": "sam-mini", "method": method, "dataset": "few-mini", "limit": None},
        "environment": {"device": device, "precision": "float32"},
        "status": "done",
        "images": ["a"] * 10,
        "stages": [{"threads": 1, "cached": False, **s} for s in stages],
        **more,
    }
    path = root / tier / "mini-v1" / "few-mini" / f"{method}-sam-mini-seed0-{len(list(root.rglob('*.json')))}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def of(plans, root: Path, device: str | None = "CPU X", kept=lambda p: False):
    known = measured(root, plans, device)
    return (*estimate(plans, kept, known), known)


def test_what_runs_share_counts_once(place, tmp_path):
    plans = [place.plan(m) for m in ("dora", "dora+swap", "base", "base+swap")]
    blocks, total, _, known = of(plans, tmp_path)
    assert (total.runs, total.trainings, total.embeddings, total.searches) == (4, 1, 2, 2)
    assert total.passes == 2 * passes(plans[1]) and total.evaluations == 10 * len({"base", "base+swap", "dora", "dora+swap"})
    (key,) = blocks
    assert key == ("mini-v1", "few-mini", "sam-mini") and blocks[key].passes == total.passes
    assert total.seconds == 0 and "not known" in table(blocks, total) and "not known" in lines(total, 0, known, 1, 1, "CPU X")[-1]


def test_what_is_kept_costs_nothing(place, tmp_path, monkeypatch):
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "data").symlink_to(place.folder / "data")
    plans = [place.plan(m) for m in ("dora", "dora+swap")]
    job = plans[0].jobs["train"]
    job.folder.mkdir(parents=True)
    store.keep(job, {}, {})
    assert of(plans, tmp_path)[1].trainings == 0
    _, total, longest, known = of(plans, tmp_path, kept=lambda p: True)
    assert total.kept == 2 and total.passes == 0 and lines(total, longest, known, 1, 1, None) == ["every record is there already"]


def test_times_are_those_of_earlier_records_of_the_device_by_the_work_of_each_stage(place, tmp_path):
    swap, plain = place.plan("dora+swap"), place.plan("dora")
    work = {"training": {"losses": [1.0]}, "search": {"strategy": "exhaustive", "images": ["a"] * 4, "evaluations": 1000}}
    stages = [
        {"name": "train", "seconds": 22.0, "threads": 2},
        {"name": "embed", "seconds": 8.0},
        {"name": "search", "seconds": 5.0},
        {"name": "evaluate base", "seconds": 999.0, "cached": True},  # who computed it tells
        {"name": "evaluate dora", "seconds": 1.0},
        {"name": "evaluate dora+swap", "seconds": 2.0},
    ]
    record(tmp_path, "dora+swap", stages, **work)
    record(tmp_path, "dora+swap", [{**s, "seconds": 1e6} for s in stages], device="NVIDIA Y", **work)
    _, total, longest, known = of([plain, swap], tmp_path)
    assert known.records == 1 and total.unknown == 1  # of the bare model none tells
    expected = 44.0 + 8.0 / 4 * len(swap.search_ids) + 5.0 / 1000 * passes(swap) + 1.0 + 2.0
    assert total.seconds == pytest.approx(expected) and longest == pytest.approx(expected)
    assert (
        f"about {expected:.0f} s, by 1 earlier record of CPU X; 1 stage of which"
        in lines(total, longest, known, 4, 1, "CPU X")[-1]
    )
    assert of([place.plan("lora")], tmp_path)[1].seconds == pytest.approx(44.0 + 1.0)  # another method's, for want of its own


def test_memory_is_what_a_gpu_was_seen_to_give(place, tmp_path):
    record(tmp_path, "dora+swap", [{"name": "train", "seconds": 1.0, "peak_gpu_mb": 900.0}], device="NVIDIA Y")
    record(
        tmp_path, "dora", [{"name": "evaluate dora", "seconds": 1.0, "peak_gpu_mb": 400.0}], device="NVIDIA Y", tier="verified"
    )
    (tmp_path / "cost").mkdir()
    row = {"method": "base+swap", "status": "done", "peak_reserved_mib": 11000.0}
    (tmp_path / "cost" / "x.json").write_text(json.dumps({"backbone": "sam-mini", "device_kind": "cuda", "rows": [row]}))
    plans = [place.plan(m) for m in ("dora", "base", "lora")]
    assert [measured(tmp_path, plans, None).peak(p) for p in plans] == [900.0, 11000.0, None]


def test_what_is_no_record_tells_nothing(place, tmp_path):
    folder = tmp_path / "verified" / "mini-v1" / "few-mini"
    folder.mkdir(parents=True)
    for k, text in enumerate(("", "[]", "{}", '{"spec": 1}', '{"spec": {"backbone": "sam-mini"}}')):
        (folder / f"dora-sam-mini-seed0-{k}.json").write_text(text)
    assert measured(tmp_path, [place.plan("dora")], "CPU X").records == 0
