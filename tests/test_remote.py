"""The shared store: stages and records by key, over a file system and over memory; nothing from it is believed unseen."""

from __future__ import annotations

import json

import fsspec
import pytest

from benchmarks import store
from benchmarks.errors import UsageError
from benchmarks.remote import Remote, remote

JOB = store.Job("embed", {"seed": 0})


@pytest.fixture(params=["file", "memory"])
def shared(request, tmp_path, monkeypatch):
    """Two homes and a store: goes to the home that is called."""
    url = (tmp_path / "shared").as_uri() if request.param == "file" else f"memory://{tmp_path.name}"
    monkeypatch.setenv("CHANSWAP_STORE", url)

    def at(name: str):
        monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path / name))
        return remote()

    return at


def _keep() -> None:
    JOB.folder.mkdir(parents=True)
    (JOB.folder / "search.features").write_bytes(b"numbers")
    store.keep(JOB, {"images": 2}, {"seconds": 1.0}, ("search.features",))


def test_a_stage_of_one_machine_is_read_on_another(shared):
    shared("one")
    _keep()
    shared("two")
    assert not JOB.folder.exists() and store.there(JOB)
    found = store.kept(JOB)
    assert found.result == {"images": 2} and found.files["search.features"].read_bytes() == b"numbers"
    assert [p.name for p in JOB.folder.iterdir() if p.name.startswith(".")] == []


def test_a_discarded_stage_does_not_come_back(shared):
    shared("one")
    _keep()
    store.discard(JOB)
    assert store.kept(JOB) is None and not store.there(JOB)


@pytest.mark.parametrize("fault", ["torn", "damaged", "another's", "a way out"])
def test_what_the_store_holds_is_checked(fault, shared, tmp_path, caplog):
    there = shared("one")
    _keep()
    fs, path = there._at(f"stages/embed/{JOB.key[:24]}")
    value = json.loads(fs.cat_file(f"{path}/stage.json"))
    if fault == "torn":
        fs.pipe_file(f"{path}/stage.json", fs.cat_file(f"{path}/stage.json")[:40])
    elif fault == "damaged":
        fs.pipe_file(f"{path}/search.features", b"Numbers")
    elif fault == "another's":
        fs.pipe_file(f"{path}/stage.json", json.dumps({**value, "key": "0" * 64}).encode())
    else:
        fs.pipe_file(f"{path}/stage.json", json.dumps({**value, "files": {"../../../stolen": "0"}}).encode())
    shared("two")
    assert store.kept(JOB) is None and "it is done here" in caplog.text
    assert not list(tmp_path.glob("**/stolen")) and not (JOB.folder / "stage.json").exists()


def test_a_stage_that_is_damaged_here_is_fetched_again(shared):
    shared("one")
    _keep()
    (JOB.folder / "search.features").write_bytes(b"")
    assert store.kept(JOB).files["search.features"].read_bytes() == b"numbers"


def test_parts_of_a_split_search_come_together(shared):
    there = shared("one")
    JOB.folder.mkdir(parents=True)
    (JOB.folder / "journal.screen.part-0-of-2").write_bytes(b"left")
    there.push_parts(JOB)
    there = shared("two")
    JOB.folder.mkdir(parents=True)
    (JOB.folder / "journal.screen.part-1-of-2").write_bytes(b"right")
    there.pull_parts(JOB)
    assert {p.name[-6:]: p.read_bytes() for p in JOB.folder.iterdir()} == {"0-of-2": b"left", "1-of-2": b"right"}
    store.keep(JOB, {}, {})  # merged: nobody wants them any more
    assert not any("/parts/" in path for path in there._at("")[0].find(there._at("")[1]))


def test_a_store_that_cannot_be_used_is_said_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    for url in ("nosuch://bucket", f"file://{tmp_path}/file/below"):
        with pytest.raises(UsageError, match="cannot be"):
            Remote(url).usable()
    Remote(f"memory://{tmp_path.name}").usable()
    assert not fsspec.filesystem("memory").find(f"/{tmp_path.name}")


def test_a_store_that_is_lost_costs_no_stage(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path / "home"))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CHANSWAP_STORE", f"file://{tmp_path}/file/below")
    _keep()
    assert store.kept(JOB).result == {"images": 2} and "stays here" in caplog.text
