"""Whole runs of the tasks with a linear head, on a small protocol: depth and classification."""

from __future__ import annotations

import pytest

from benchmarks import data, records
from benchmarks.cli import main
from benchmarks.plan import Request, plan
from benchmarks.protocols import PROTOCOLS
from tests.small import few, small

METRICS = {
    "depth": ["mse", "rmse", "abs_rel", "delta1", "delta2", "delta3"],
    "classification": ["accuracy", "cross_entropy"],
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty home and an empty results folder, the small protocol, and few images of the embedded datasets."""
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(PROTOCOLS._entries, "mini-v1", small())
    monkeypatch.setattr("benchmarks.data.generated.manifest", few)
    return tmp_path


def run(place, task: str, method: str) -> int:
    words = ["run", "--task", task, "--method", method, "--threads", "1", "--device", "cpu"]
    return main([*words, "--results", str(place / "results")])


def found(place) -> records.Record:
    (path,) = (place / "results").rglob("*.json")
    return records.read(path)


@pytest.mark.parametrize("task", METRICS)
def test_a_task_with_a_head_from_end_to_end(place, task, capsys):
    assert run(place, task, "lora+swap") == 0
    record = found(place)
    assert [e.name for e in record.evaluations] == ["base", "lora", "lora+swap", "lora+random-swap"]
    first = METRICS[task][0]
    for evaluation in record.evaluations:
        assert list(evaluation.metrics) == (METRICS[task] if "random" not in evaluation.name else list(evaluation.metrics))
        assert len(evaluation.scores[first]) == 10
    stages = ["head", "train", "embed", "search", "evaluate base", "evaluate lora", "evaluate lora+swap"]
    assert [s.name for s in record.stages] == stages and not any(s.cached for s in record.stages)
    assert record.trainable.method > 0 and record.search.channels == 128
    assert record.search.evaluations >= (128 * 127 + 1) * 2
    assert not set(record.search.images) & set(record.images)
    assert "mask" not in record.protocol and "prompt" not in record.protocol
    (page,) = (place / "leaderboard").glob("mini-v1-*.md")
    assert "lora+swap" in page.read_text() and "head:" in capsys.readouterr().out


def test_a_head_that_is_trained_again_takes_all_that_read_it_with_it(place):
    assert run(place, "classification", "lora+swap") == 0
    before = found(place)
    (head,) = (place / "home" / "stages").rglob("head.safetensors")
    head.write_bytes(head.read_bytes()[:-1] + b"?")
    for path in (place / "results").rglob("*.json"):
        path.unlink()
    assert run(place, "classification", "lora+swap") == 0
    again = found(place)
    assert [s.name for s in again.stages] == [s.name for s in before.stages]
    assert not [s.name for s in again.stages if s.cached]
    assert again.evaluations == before.evaluations


def test_a_test_image_that_the_head_was_trained_on_is_found_by_its_content(place, monkeypatch, capsys):
    original = data.load

    def leaking(dataset, split, wanted):
        samples = list(original(dataset, split, wanted))
        if split == "test":
            (copied,) = original(dataset, "train", plan(Request("classification", "base", device="cpu"), 0).train_ids[:1])
            samples[3] = type(copied)(samples[3].id, copied.image, copied.label)
        return samples

    monkeypatch.setattr(data, "load", leaking)
    assert run(place, "classification", "base") == 3
    assert "test image test-00003 also stands in the training split" in capsys.readouterr().err
