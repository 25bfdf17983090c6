"""Kept files that are cut short, of another version or of other weights: named, done again, and never used."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
import torch

from benchmarks import records, store
from benchmarks.cli import main
from benchmarks.encoded_cache import EncodedCache
from benchmarks.plan import Request, plan
from benchmarks.protocols import PROTOCOLS
from chanswap import CacheError, FeatureCache, Journal
from tests.small import few, small
from tests.undisturbed import timeless


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run of a method whose encoder's features are kept: its folder, its home, its record."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("whole")
        patch.setenv("CHANSWAP_HOME", str(place / "home"))
        patch.setattr("benchmarks.data.generated.manifest", few)
        patch.setitem(PROTOCOLS._entries, "mini-v1", small())
        assert run(place) == 0
        yield place


@pytest.fixture
def place(whole, tmp_path, monkeypatch):
    """A copy of it whose record is gone, so that the next call looks at its stages."""
    shutil.copytree(whole, tmp_path / "place")
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path / "place" / "home"))
    monkeypatch.setattr("benchmarks.data.generated.manifest", few)
    monkeypatch.setitem(PROTOCOLS._entries, "mini-v1", small())
    shutil.rmtree(tmp_path / "place" / "results")
    return tmp_path / "place"


def run(place: Path, method: str = "decoder+swap") -> int:
    call = ["run", "--task", "camo", "--threads", "1", "--device", "cpu", "--strategy", "taylor", "--method", method]
    return main([*call, "--results", str(place / "results")])


def record(place: Path) -> records.Record:
    (path,) = (place / "results").rglob("decoder+swap-*.json")
    return records.read(path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, emptied])
@pytest.mark.parametrize(
    "stage, file",
    [("train", "stage.json"), ("train", "weights.safetensors"), ("embed", "search.features"), ("search", "stage.json")],
)
def test_a_stage_that_is_cut_short_is_named_and_done_again(whole, place, capsys, stage, file, damage):
    (victim,) = (place / "home" / "stages" / stage).glob(f"*/{file}")
    before = victim.read_bytes()
    damage(victim)
    assert run(place) == 0
    said = capsys.readouterr().err
    assert f"the kept stage {stage} in {victim.parent} is damaged; it is done again" in said
    assert timeless(record(place)) == timeless(record(whole))
    (again,) = [s for s in record(place).stages if s.name == stage]
    assert not again.cached and (file == "stage.json" or victim.read_bytes() == before)


def test_a_stage_of_other_weights_in_its_place_is_never_used(whole, place, capsys):
    """The right files, whole and with right checksums, of another key."""
    mine = plan(Request("camo", "decoder+swap", device="cpu", strategy="taylor"), 0).jobs["train"]
    assert store.kept(mine)
    other = store.Job("train", {**mine.inputs, "weights": "0" * 64})
    shutil.copytree(mine.folder, other.folder)
    with pytest.MonkeyPatch.context() as patch:
        said = []
        patch.setattr(store.log, "warning", lambda text, *more: said.append(text % more))
        assert store.kept(other) is None and not other.folder.exists()
    assert said == [f"the kept stage train in {other.folder} is damaged; it is done again"]


def test_features_to_train_on_of_other_weights_are_named_and_made_again(whole, place, capsys):
    """A killed training leaves its features; those of other weights may have the same images."""
    job = plan(Request("camo", "decoder+swap", device="cpu", strategy="taylor"), 0).jobs["train"]
    names = plan(Request("camo", "decoder+swap", device="cpu", strategy="taylor"), 0).train_ids
    for key, says in (("another", "is of other images or weights; embedding again"), (job.key, "")):
        store.discard(job)
        job.folder.mkdir(parents=True)
        path = job.folder / "train.features"
        EncodedCache.write(path, [(name, (torch.full((64, 16, 16), 9.0), ())) for name in names], key)
        assert run(place) == 0
        said = capsys.readouterr().err
        losses = record(place).training.losses
        if says:
            assert f"{path} {says}" in said and losses == record(whole).training.losses
        else:  # what bears the right key is used, or this test would show nothing
            assert "embedding again" not in said and losses != record(whole).training.losses
        shutil.rmtree(place / "results")


@pytest.mark.parametrize("damage", ["cut", "version", "not a cache"])
def test_features_to_train_on_that_cannot_be_read_are_named_and_made_again(whole, place, capsys, damage):
    p = plan(Request("camo", "decoder+swap", device="cpu", strategy="taylor"), 0)
    store.discard(p.jobs["train"])
    path = p.jobs["train"].folder / "train.features"
    EncodedCache.write(path, [(name, (torch.full((64, 16, 16), 9.0), ())) for name in p.train_ids], p.jobs["train"].key)
    data = path.read_bytes()
    path.write_bytes(
        {"cut": data[:-1], "version": data.replace(b"features-2\n", b"features-1\n", 1), "not a cache": b"x" * 99}[damage]
    )
    assert run(place) == 0
    assert f"{path}: " in (said := capsys.readouterr().err) and "; embedding again" in said
    assert timeless(record(place)) == timeless(record(whole))


def test_features_of_another_version_are_said_to_be(tmp_path):
    path = tmp_path / "f"
    FeatureCache.write(path, [("a", torch.zeros(2, 2))])
    path.write_bytes(path.read_bytes().replace(b"features-2\n", b"features-3\n", 1))
    for cache in (FeatureCache, EncodedCache):
        with pytest.raises(CacheError, match="not a feature cache of this version"):
            cache(path)


@pytest.mark.parametrize(
    "change, says, counts",
    [
        (lambda data: data[:-3], "what follows 1 whole blocks is cut short or damaged, and is scored again", 1),
        (
            lambda data: data.replace(b"journal-1 ", b"journal-0 "),
            "is of another job, another version or damaged; it is begun anew",
            0,
        ),
        (lambda data: data[:30], "is of another job, another version or damaged; it is begun anew", 0),
    ],
)
def test_a_journal_that_does_not_count_is_named(tmp_path, caplog, change, says, counts):
    path = tmp_path / "journal"
    journal = Journal(path, "key")
    journal.load()
    for k in range(2):
        journal.append(k, 0, torch.ones(5))
    journal.close()
    path.write_bytes(change(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        journal = Journal(path, "key")
        assert len(journal.load()) == counts
    journal.close()
    assert caplog.messages == [f"{path}{':' if counts else ''} {says}"]
    caplog.clear()
    Journal(path, "key").load()  # mended: nothing more is said
    assert not caplog.messages


def test_a_journal_of_another_job_leaves_no_block_behind_the_new_head(tmp_path, monkeypatch):
    """A kill between the new head and the first new block: the old job's blocks would have the very place of the new one's."""
    path = tmp_path / "journal"
    journal = Journal(path, "one")
    journal.load()
    journal.append(0, 0, torch.ones(5))
    journal.close()
    monkeypatch.setattr("chanswap.journal.Journal.close", lambda self: None)
    other = Journal(path, "other")
    other.load()
    assert Journal(path, "other").load() == {}  # what a reader finds at that moment


def test_a_swap_cut_short_is_refused(tmp_path):
    from chanswap import Swap, SwapError

    Swap([(0, 1)], channels=4).save(tmp_path / "s.json")
    cut(tmp_path / "s.json")
    with pytest.raises(SwapError, match=f"^{tmp_path / 's.json'}: not JSON"):
        Swap.load(tmp_path / "s.json")
