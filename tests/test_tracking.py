"""Logging of runs: what is logged is what the record says, and nothing that a logger does changes a run or its record."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import records
from benchmarks.cli import main
from benchmarks.plan import Request, plan
from benchmarks.protocols import PROTOCOLS
from benchmarks.tracking import folder
from benchmarks.tracking.backends import BACKENDS
from tests.small import few, small
from tests.test_run import RUN, timeless


@contextmanager
def small_world(home: Path) -> Iterator[Path]:
    """The small protocol on the first images of each split, and a home where nothing is kept."""
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROTOCOLS._entries, "mini-v1", small())
        for module in ("benchmarks.data.manifests", "benchmarks.data.generated"):
            patch.setattr(f"{module}.manifest", few)
        patch.setenv("CHANSWAP_HOME", str(home))
        yield home


@pytest.fixture
def fresh(tmp_path):
    with small_world(tmp_path / "home") as home:
        yield home


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory):
    """A home in which a run without a log left its stages, and that run's record."""
    place = tmp_path_factory.mktemp("plain")
    with small_world(place / "home") as home:
        yield home, run(place)


@pytest.fixture
def plain(lived_in) -> records.Record:
    """The record of a run without a log; its stages are kept where this test runs."""
    return lived_in[1]


def run(place: Path, *more: str) -> records.Record:
    # A search of seconds: what it finds is not the question here.
    assert main([*RUN, "--method", "lora+swap", "--strategy", "taylor", "--results", str(place / "results"), *more]) == 0
    (record,) = [records.read(p) for p in (place / "results").rglob("*.json")]
    return record


def said(capsys) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("--log")]


class Hostile:
    """A backend that raises at every call, as soon as it is there."""

    name = "tensorboard"
    calls: list[str] = []
    error: BaseException = RuntimeError("the disk of the logs\nis full")

    def __init__(self, folder, run):
        pass

    def _fail(self, *words):
        Hostile.calls.append("called")
        raise Hostile.error

    scalar = summary = close = _fail


class Unopened(Hostile):
    def __init__(self, folder, run):
        self._fail()


class Keeping(Hostile):
    """A backend that keeps what it is told."""

    told: list[tuple] = []

    def _keep(self, *words):
        Keeping.told.append(words)

    scalar = summary = close = _keep


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    monkeypatch.setattr(Hostile, "calls", [])
    monkeypatch.setattr(Keeping, "told", [])


def test_a_backend_that_raises_at_every_call_changes_nothing(fresh, lived_in, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(BACKENDS, "tensorboard", Hostile)
    record, plain = run(tmp_path, "--log", "tensorboard"), lived_in[1]
    assert timeless(record) == timeless(plain) and record.status == "done"
    assert [(s.name, s.cached) for s in record.stages] == [(s.name, s.cached) for s in plain.stages]
    (line,) = said(capsys)
    assert "the run goes on" in line and "the disk of the logs is full" in line
    assert Hostile.calls == ["called"]  # it is dropped at its first fault


@pytest.mark.parametrize(
    "backend, error",
    [
        (Hostile, SystemExit(3)),
        (Unopened, OSError("no network")),
        (Unopened, ImportError("No module named 'tensorboard'")),
    ],
)
def test_neither_does_one_that_ends_the_process_or_cannot_be_opened(plain, tmp_path, monkeypatch, capsys, backend, error):
    monkeypatch.setitem(BACKENDS, "tensorboard", backend)
    monkeypatch.setattr(Hostile, "error", error)
    assert timeless(run(tmp_path, "--log", "tensorboard")) == timeless(plain)
    (line,) = said(capsys)
    assert "the run goes on" in line and ("pip install" in line) == isinstance(error, ImportError)


def test_an_interrupt_inside_a_backend_is_still_the_users(plain, tmp_path, monkeypatch):
    monkeypatch.setitem(BACKENDS, "tensorboard", Hostile)
    monkeypatch.setattr(Hostile, "error", KeyboardInterrupt())
    words = [
        *RUN,
        "--method",
        "lora+swap",
        "--strategy",
        "taylor",
        "--results",
        str(tmp_path / "results"),
        "--log",
        "tensorboard",
    ]
    assert main(words) == 130


def test_one_backend_that_fails_takes_no_other_with_it(plain, tmp_path, monkeypatch):
    monkeypatch.setitem(BACKENDS, "tensorboard", Hostile)
    monkeypatch.setitem(BACKENDS, "wandb", Keeping)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)  # as if it were installed
    record = run(tmp_path, "--log", "tensorboard", "--log", "wandb")
    *scalars, (settings, metrics), closed = Keeping.told
    assert closed == () and settings["method"] == "lora+swap" and settings["seed"] == 0
    assert metrics["test/lora+swap/miou"] == record.evaluation("lora+swap").metrics["miou"].value
    assert {"train/loss", "search/gain"} <= {tag for tag, _, _ in scalars}


def test_tensorboard_holds_what_the_record_says(fresh, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    record = run(tmp_path, "--log", "tensorboard")
    (made,) = folder("tensorboard").iterdir()
    events = EventAccumulator(str(made)).Reload()
    assert [(e.step, pytest.approx(e.value)) for e in events.Scalars("train/loss")] == list(enumerate(record.training.losses, 1))
    (gain,) = events.Scalars("search/gain")
    assert gain.value == pytest.approx(record.search.search_gain) and gain.step == record.search.evaluations
    assert [e.value for e in events.Scalars("search/gain of kept pair")] == [pytest.approx(p.gain) for p in record.search.kept]
    for e in record.evaluations:
        for metric, shown in e.metrics.items():
            assert events.Scalars(f"test/{e.name}/{metric}")[-1].value == pytest.approx(shown.value)
    shares = [e.value for e in events.Scalars("progress/evaluate lora")]
    assert shares == sorted(shares) and shares[-1] == 1
    assert any(tag.startswith("progress/search: ") for tag in events.Tags()["scalars"])
    hparams = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"lora+swap" in hparams and record.protocol_hash[:8].encode() in hparams


def test_wandb_offline_or_absent(plain, tmp_path, monkeypatch, capsys):
    """With the package a run is left for `wandb sync`; without it one line says so. Either way the record is the same."""
    monkeypatch.delenv("WANDB_MODE", raising=False)
    assert timeless(run(tmp_path, "--log", "wandb")) == timeless(plain)
    if importlib.util.find_spec("wandb") is None:
        (line,) = said(capsys)
        assert "pip install" in line
    else:
        assert said(capsys) == [] and list(folder("wandb").glob("wandb/offline-run-*/*.wandb"))


def test_the_runs_of_a_sweep_are_logged(plain, tmp_path, monkeypatch):
    from benchmarks.sweep import _group

    monkeypatch.setitem(BACKENDS, "tensorboard", Keeping)
    request = Request("camo", "lora+swap", device="cpu", strategy="taylor")
    ((status, _, error),) = _group([plan(request, 0)], tmp_path / "results/community", 1, False, ("tensorboard",))
    assert (status, error) == ("done", None) and Keeping.told[-1] == () and Keeping.told[-2][0]["status"] == "done"


def test_a_run_that_fails_closes_its_log(plain, tmp_path, monkeypatch):
    monkeypatch.setitem(BACKENDS, "tensorboard", Keeping)
    (tmp_path / "bad.py").write_text(
        "from benchmarks.methods import Method\nclass Bad(Method):\n    name = 'bad'\n"
        "    def attach(self, model):\n        raise RuntimeError('no place')\n    def count(self, model):\n        return 1\n"
    )
    words = [*RUN, "--method", f"{tmp_path / 'bad.py'}:Bad", "--results", str(tmp_path / "results"), "--log", "tensorboard"]
    assert main(words) == 1
    assert Keeping.told[-1] == () and Keeping.told[-2][0]["status"] == "failed" and Keeping.told[-2][1] == {}
