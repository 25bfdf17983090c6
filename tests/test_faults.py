"""Faults that a run survives: kills, full disks, folders that cannot be written, clocks that jump. Kills at random moments, many of
them: `python -m tests.kills`."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
import torch

from benchmarks import cost_records, files, records, search_records, speed_records, store
from benchmarks.board.build import build
from benchmarks.cli import main
from benchmarks.encoded_cache import EncodedCache
from benchmarks.fetch import download
from benchmarks.pins import Pin
from benchmarks.train_state import TrainState
from benchmarks.unpack import unpack
from chanswap import FeatureCache, Journal, Swap
from chanswap.writing import UNFINISHED, clear, whole
from tests.small import few
from tests.undisturbed import KILLED, Home, begin, end, faults, halves, prepared, timeless

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks itself")


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """The generated images, made once for all runs."""
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, images) -> Callable[[str], dict]:
    """The timeless record of a method's undisturbed run."""

    @cache
    def of(method: str) -> dict:
        place = prepared(tmp_path_factory.mktemp(method) / "whole", images)
        assert end(begin(place, *method.split())) == 0, (place.folder / "said").read_text()
        made = timeless(place.record())
        assert not faults(place, made)
        return made

    return of


@pytest.fixture
def place(tmp_path, images) -> Home:
    return prepared(tmp_path / "place", images)


# Kills


def die(*_, **__) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(place: str, name: str, number: int) -> None:
    """Kill this process when `name` of a module or class is called for the `number`-th time, from 1."""
    module, _, of = place.partition(":")
    holder = sys.modules[module] if not of else getattr(sys.modules[module], of)
    original, calls = getattr(holder, name), []

    def counted(*args, **kwargs):
        calls.append(1)
        if len(calls) == number:
            die()
        return original(*args, **kwargs)

    setattr(holder, name, counted)


def half_written(path: str) -> None:
    """Kill this process when a file whose path holds `path` is written but for its second half."""
    original = os.fsync

    def cut(handle):
        if path in os.readlink(f"/proc/self/fd/{handle}"):
            os.ftruncate(handle, os.fstat(handle).st_size // 2)
            die()
        original(handle)

    os.fsync = cut


def torn_block() -> None:
    """Kill this process within the third block of a search."""
    original, blocks = Journal.append, []

    def torn(self, image, start, scores):
        blocks.append(1)
        if len(blocks) == 3:
            original(self, image, start, scores)
            os.ftruncate(self._file.fileno(), self._file.tell() - 100)
            die()
        original(self, image, start, scores)

    Journal.append = torn


KILLS = {  # moment: method, what is done to the process, what must lie there after the kill
    "training": ("decoder+swap", lambda: at_call("torch.optim:Adam", "step", 5), "epoch.safetensors"),
    "searching": ("decoder+swap", torn_block, "journal.combine"),
    "evaluating": ("decoder+swap", lambda: at_call("benchmarks.stages.evaluate", "_variants", 15), "stage.json"),
    "the record": ("decoder+swap", lambda: half_written("/results/"), UNFINISHED),
    "pages": ("decoder+swap", lambda: half_written("/leaderboard/"), UNFINISHED),
}
MORE = {
    "training an encoder": ("lora+swap", lambda: at_call("torch.optim:Adam", "step", 5), "epoch.safetensors"),
    "an epoch's file": ("decoder+swap", lambda: half_written("epoch.safetensors"), UNFINISHED),
    "the weights": ("lora+swap", lambda: half_written("weights.safetensors"), UNFINISHED),
    "searching all pairs": ("decoder+swap --strategy exhaustive", torn_block, "journal.screen"),
    "features to train on": ("decoder+swap", lambda: half_written("train.features"), UNFINISHED),
    "features to search on": ("decoder+swap", lambda: half_written("search.features"), UNFINISHED),
    "a stage": ("base+swap", lambda: half_written("stage.json"), UNFINISHED),
}


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks at its own files in /proc")
@pytest.mark.parametrize("moment", [*KILLS, *(pytest.param(moment, marks=pytest.mark.slow) for moment in MORE)])
def test_a_killed_run_ends_as_an_undisturbed_one(place, undisturbed, moment):
    method, meddle, left = (KILLS | MORE)[moment]
    assert end(begin(place, *method.split(), meddle=meddle)) == KILLED, (place.folder / "said").read_text()
    assert any(left in p.name for p in place.files()), "it was not killed where it should be"
    assert not halves(place)
    assert end(begin(place, *method.split())) == 0, (place.folder / "said").read_text()
    assert not faults(place, undisturbed(method))


def test_what_a_killed_writer_left_goes_and_what_is_being_written_stays(tmp_path):
    pytest.importorskip("fcntl", reason="without locks nothing is cleared")
    pid = os.fork()
    if not pid:
        with whole(tmp_path / "a") as file:
            file.write(b"half")
            file.flush()
            die()
    os.waitpid(pid, 0)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".a.") and left.name.endswith(UNFINISHED)
    with whole(tmp_path / "b") as file:
        file.write(b"b")
        clear(tmp_path)
        (own,) = tmp_path.iterdir()  # the dead one is gone
        assert own.name.startswith(".b.")
    assert [p.name for p in tmp_path.iterdir()] == ["b"] and (tmp_path / "b").read_bytes() == b"b"


# Full disks


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file of this process can grow beyond `size` bytes: the kernel itself writes a part, and refuses the rest."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _first(folder: str):
    return next(iter(sorted((ROOT / "results" / folder).rglob("*.json"))))


def _features(count: int = 3):
    return [(str(k), torch.arange(64.0).view(8, 8) + k) for k in range(count)]


def _state(path: Path) -> None:
    parameter = torch.nn.Parameter(torch.ones(50))
    optimiser = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimiser.step()
    TrainState(path, "key").save({"w": parameter}, optimiser, [0.5])


def _journal(path: Path) -> None:
    journal = Journal(path, "key")
    found = journal.load()
    try:
        for k in (k for k in range(4) if (k, 0) not in found):
            journal.append(k, 0, torch.arange(20.0))
    finally:
        journal.close()


def _picture(path: Path) -> None:
    from PIL import Image

    with whole(path) as file:
        Image.effect_noise((40, 40), 50).save(file, "png")


WRITERS: dict[str, Callable[[Path], object]] = {
    "record": lambda path: records.write(records.read(_first("verified")), path),
    "cost record": lambda path: cost_records.write(cost_records.read(_first("cost")), path),
    "search record": lambda path: search_records.write(search_records.read(_first("search")), path),
    "speed record": lambda path: speed_records.write(speed_records.read(_first("speed")), path),
    "training's state": _state,
    "features": lambda path: FeatureCache.write(path, _features()),
    "encoded features": lambda path: EncodedCache.write(path, [(name, (site, (site,))) for name, site in _features()]),
    "swap": lambda path: Swap([(k, k + 1) for k in range(40)], channels=64).save(path, note="x" * 200),
    "weights, pages and the rest": lambda path: files.write_atomically(path, b"x" * 1000),
    "picture": _picture,
}


@pytest.mark.parametrize("before", [None, b"an earlier file"], ids=["new", "replacing"])
@pytest.mark.parametrize("size", [0, 100])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_leaves_every_file_as_it_was_and_is_said_in_a_line(tmp_path, monkeypatch, writer, size, before):
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))
    path = tmp_path / "file"
    if before:
        path.write_bytes(before)
    with pytest.raises(OSError) as caught, room(size):
        WRITERS[writer](path)
    assert caught.value.errno == errno.EFBIG and caught.value.filename == str(path)
    said = files.said(caught.value)
    assert said.startswith("no room (") and f"{path} is not written" in said and "set CHANSWAP_HOME" in said and "\n" not in said
    assert [p.name for p in tmp_path.iterdir()] == (["file"] if before else [])
    assert before is None or path.read_bytes() == before
    WRITERS[writer](path)
    assert path.stat().st_size > 100


def test_a_full_disk_outside_the_home_is_said_too(tmp_path, monkeypatch):
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path / "home"))
    said = files.said(OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "results" / "x.json")))
    assert "make room there" in said and "CHANSWAP_HOME" not in said


def test_a_journal_on_a_full_disk_keeps_its_whole_blocks(tmp_path, caplog):
    path = tmp_path / "journal"
    for size, wanted in ((0, 0), (50, 0), (250, 1), (300, 2)):
        with pytest.raises(OSError) as caught, room(size):
            _journal(path)
        assert caught.value.errno == errno.EFBIG and caught.value.filename == str(path)
        found = Journal(path, "key")
        assert len(found.load()) == wanted
        found.close()
    assert "is cut short or damaged, and is scored again" in caplog.text
    _journal(path)
    found = Journal(path, "key")
    assert [int(image) for image, _ in found.load()] == [0, 1, 2, 3]
    found.close()


def test_a_stage_on_a_full_disk_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))
    job = store.Job("train", {"seed": 0})
    with pytest.raises(OSError) as caught, room(50):
        store.keep(job, {"x": 1}, {"seconds": 2.0})
    assert caught.value.filename == str(job.folder / "stage.json")
    assert store.kept(job) is None and not [p for p in tmp_path.rglob("*") if p.is_file()]
    store.keep(job, {"x": 1}, {"seconds": 2.0})
    assert store.kept(job).result == {"x": 1}


def test_pages_on_a_full_disk_stay_whole(tmp_path):
    results, out = tmp_path / "results", tmp_path / "pages"
    records.write(records.read(_first("verified")), results / "verified" / "x.json")
    build(results, out)
    before = {p: p.read_bytes() for p in out.rglob("*")}
    records.write(records.read(sorted((ROOT / "results" / "verified").rglob("*.json"))[-1]), results / "verified" / "y.json")
    with pytest.raises(OSError, match=r"\.md"), room(500):
        build(results, out)
    assert {p: p.read_bytes() for p in out.rglob("*")} == before
    assert build(results, out)


def test_a_download_on_a_full_disk_goes_on_when_there_is_room(tmp_path, monkeypatch):
    import threading

    from tests.test_fetch import DATA, SHA256, Server

    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        target = tmp_path / "data.zip"
        with pytest.raises(OSError) as caught, room(1_500_000):
            download(server.url, target, Pin(len(DATA), SHA256))
        assert caught.value.errno == errno.EFBIG and caught.value.filename == f"{target}.part" and not target.exists()
        assert (tmp_path / "data.zip.part").stat().st_size == 1_500_000
        assert download(server.url, target, Pin(len(DATA), SHA256)).read_bytes() == DATA
        assert server.asked == [None, "bytes=1500000-"]
    finally:
        server.shutdown()


def test_unpacking_on_a_full_disk_leaves_the_folder_as_it_was(tmp_path):
    import zipfile

    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").write_text("old")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("small", "x")
        archive.writestr("large", "x" * 10_000)
    with pytest.raises(OSError) as caught, room(1000):
        unpack(tmp_path / "a.zip", folder)
    assert caught.value.errno == errno.EFBIG and caught.value.filename.endswith("/large")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "folder"] and os.listdir(folder) == ["old"]
    assert unpack(tmp_path / "a.zip", folder) == ["small", "large"]


def limited(size: int) -> None:
    """In a fork: as `room`, for good."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_run_on_a_full_disk_says_so_in_a_line_and_goes_on(place, undisturbed):
    """More room with each call: each stops at another file."""
    stopped = []
    for size in (2_000, 100_000, 1_200_000):
        assert end(begin(place, "decoder+swap", meddle=lambda size=size: limited(size))) == 1
        said = (place.folder / "said").read_text()
        assert "Traceback" not in said and said.count("error: no room (File too large)") == 1
        line = next(line for line in said.splitlines() if line.startswith("error: "))
        stopped.append(re.search(r"\): (\S+) is not written\.", line)[1])
        assert f"delete what you can spare in {place.home}, or set CHANSWAP_HOME" in line
        assert not halves(place) and not [p for p in place.files() if p.name.endswith(UNFINISHED)]
        assert not place.results.exists() or not [*place.results.rglob("*.json")]
    assert len({Path(p).name for p in stopped}) >= 2, stopped
    assert end(begin(place, "decoder+swap")) == 0
    assert not faults(place, undisturbed("decoder+swap"))


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A disk in memory. Skips where this user cannot mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_run_on_a_disk_that_is_really_full(tmp_path, images, undisturbed):
    """As above, with disks of so many kilobytes that grow between the calls."""
    place = Home(tmp_path / "place")
    with mounted(place.folder, "size=16k"):
        place.home.mkdir(parents=True)
        (place.home / "data").symlink_to(images)
        for size in (200, 600, 1_500, 3_000, 6_000):
            subprocess.run(["mount", "-o", f"remount,size={size}k", str(place.folder)], check=True)
            code = end(begin(place, "decoder+swap"))
            said = (place.folder / "said").read_text()
            assert not halves(place) and not [p for p in place.files() if p.name.endswith(UNFINISHED)]
            if code == 0:
                break
            assert code == 1 and "Traceback" not in said
            assert len(re.findall(r"^error: no room \(No space left on device\): \S+ is not written\.", said, re.M)) == 1, said
        subprocess.run(["mount", "-o", "remount,size=64m", str(place.folder)], check=True)
        assert end(begin(place, "decoder+swap")) == 0
        assert not faults(place, undisturbed("decoder+swap"))


@pytest.mark.slow
def test_folders_that_are_really_read_only(tmp_path, images):
    place = prepared(tmp_path / "place", images)
    with mounted(place.results, "ro"):
        assert end(begin(place, "base")) == 2
        assert (
            "cannot be written (Read-only file system); name a folder for the records with --results"
            in (place.folder / "said").read_text()
        )
    with mounted(tmp_path / "second" / "home", "ro"):
        second = Home(tmp_path / "second")
        assert end(begin(second, "base")) == 2
        assert "set CHANSWAP_HOME to a folder that can be written" in (second.folder / "said").read_text()


def test_images_and_pages_that_find_no_room_cost_no_run(tmp_path, monkeypatch, caplog):
    from benchmarks.cli.common import pages_due, refresh
    from benchmarks.data import generated

    monkeypatch.setattr("benchmarks.data.generated.manifest", few)
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path / "home"))
    with room(1000):
        assert len(generated.load("camo-mini", "test", ["test-00000", "test-00003"])) == 2
    assert "the generated images could not be kept" in caplog.text
    records.write(records.read(_first("verified")), tmp_path / "results" / "verified" / "x.json")
    with room(500):
        refresh(tmp_path / "results", tmp_path / "leaderboard")
    assert "were not refreshed (File too large); run: python -m benchmarks board build" in caplog.text
    assert not [p for p in tmp_path.rglob("*.md")] and pages_due(tmp_path / "other")


# Folders and clocks


@pytest.fixture
def refusing(monkeypatch) -> list[str]:
    """Folders in which nothing can be made; even root is refused."""
    import tempfile

    refused: list[str] = []
    original = tempfile.TemporaryFile

    def trying(*args, dir=None, **kwargs):
        if dir is not None and any(Path(dir).is_relative_to(folder) for folder in refused):
            raise PermissionError(errno.EACCES, "Permission denied", str(dir))
        return original(*args, dir=dir, **kwargs)

    monkeypatch.setattr(tempfile, "TemporaryFile", trying)
    return refused


def test_results_that_cannot_be_written_are_said_before_the_work(tmp_path, monkeypatch, refusing, capsys):
    monkeypatch.setattr("benchmarks.data.generated.manifest", few)
    (tmp_path / "results").mkdir()
    refusing.append(str(tmp_path / "results"))
    monkeypatch.setattr("benchmarks.stages.workbench.Workbench", None)  # nothing is begun
    for command in (["run", "--method", "base", "--task", "camo"], ["sweep", "--methods", "base", "--tasks", "camo"]):
        assert main([*command, "--device", "cpu", "--results", str(tmp_path / "results")]) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.endswith("cannot be written (Permission denied); name a folder for the records with --results")
    assert (
        main(
            ["run", "--method", "base", "--task", "camo", "--device", "cpu", "--results", str(tmp_path / "results"), "--dry-run"]
        )
        == 0
    )


def test_a_home_that_cannot_be_written_or_is_none_is_said(tmp_path, monkeypatch, refusing, capsys):
    refusing.append(str(tmp_path))
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path / "home"))
    assert main(["run", "--method", "base", "--task", "camo", "--results", str(tmp_path / "results")]) == 2
    assert "(Permission denied); set CHANSWAP_HOME to a folder that can be written" in capsys.readouterr().err
    monkeypatch.delenv("CHANSWAP_HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(
        Path, "expanduser", lambda self: (_ for _ in ()).throw(RuntimeError("Could not determine home directory."))
    )
    assert main(["run", "--method", "base", "--task", "camo", "--results", str(tmp_path / "results")]) == 2
    assert "this user has no home folder; set CHANSWAP_HOME" in capsys.readouterr().err


def test_clocks_that_jump_back_make_no_negative_duration(place, undisturbed):
    def meddle() -> None:
        now = [2e9]

        def back() -> float:
            now[0] -= 3600
            return now[0]

        time.time = back

    assert end(begin(place, "decoder", meddle=meddle)) == 0, (place.folder / "said").read_text()
    record = place.record()
    assert all(stage.seconds >= 0 for stage in record.stages)
    assert [e.model_dump(mode="json") for e in record.evaluations] == undisturbed("decoder+swap")["evaluations"][:3]


def test_of_two_records_of_one_run_the_later_stands_and_of_one_moment_the_last_by_name(tmp_path):
    from benchmarks.board.collect import collect

    value = json.loads(_first("verified").read_text())
    moments = {
        "a": "2026-01-02T00:00:00+00:00",
        "b": "2026-01-02T01:00:00+01:00",
        "c": "2026-01-01T00:00:00+00:00",
        "d": "no time",
    }
    for name, started in moments.items():  # a and b started at one moment; c's clock was set back
        records.write(records.Record.model_validate(value | {"started": started}), tmp_path / "verified" / f"{name}.json")
    found = collect(tmp_path)
    assert [k.path for k in found.kept] == ["verified/b.json"]
    assert sorted((d.path, d.reason) for d in found.dropped) == [(f"verified/{n}.json", "duplicate") for n in "acd"]
