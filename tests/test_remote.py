"""The shared store: stages and records by key, over a file system and over memory; nothing from it is believed unseen."""

from __future__ import annotations

import json
from types import SimpleNamespace

import fsspec
import pytest

from benchmarks import records, store
from benchmarks.errors import UsageError
from benchmarks.remote import Remote, remote
from benchmarks.runner import cached
from tests.make_example_results import example

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


def test_a_record_that_was_altered_in_the_store_is_not_taken(shared, tmp_path, caplog):
    """Taken, it would be written here with a new digest, and nothing would tell any more."""
    there, made = shared("one"), example("dora+swap", 0)
    path = tmp_path / "results" / "community" / "mini-v1" / "camo-mini" / "r.json"
    records.write(made, path)
    there.push_record(path)
    ((name, digest),) = made.weights.items()
    asked = SimpleNamespace(
        spec=made.spec, protocol=SimpleNamespace(hash=made.protocol_hash), backbone=SimpleNamespace(name=name), weights=digest,
        data=made.data, code=made.code, origin=None, device="cpu" if made.environment.device.startswith("CPU") else "cuda",
    )  # fmt: skip
    path.unlink()
    assert cached(asked, path).model_dump(exclude={"digest"}) == made.model_dump(exclude={"digest"})
    path.unlink()
    fs, place = there._at("results/community/mini-v1/camo-mini/r.json")
    value = json.loads(fs.cat_file(place))
    value["stages"][0]["seconds"] += 1.0
    fs.pipe_file(place, json.dumps(value).encode())
    assert cached(asked, path) is None and not path.exists() and "no valid record" in caplog.text
