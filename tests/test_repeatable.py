"""The same command, the same numbers: to the bit on one machine, within stated bounds on another device; and the versions that made them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from benchmarks import records
from benchmarks.board.lock import NAME, lock
from benchmarks.cli import main
from benchmarks.errors import MissingData
from benchmarks.plan import Request, plan
from tests.small import home
from tests.undisturbed import timeless

ROOT = Path(__file__).parents[1]
SMALL = "from tests.undisturbed import shrink; shrink(); import sys; from benchmarks.cli import main; sys.exit(main())"


def cold(place: Path, images: Path, method: str, *words: str) -> records.Record:
    """The record of a run in an empty home and a process of its own."""
    env = home(place / "home", images)
    call = [sys.executable, "-c", SMALL, "run", "--task", "camo", "--method", method, "--results", str(place / "results"), *words]
    done = subprocess.run(call, env=env, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = (place / "results").rglob("*.json")
    return records.read(path)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("images")


def numbers(record: records.Record) -> dict:
    value = timeless(record)
    value["environment"].pop("threads")
    return value


def test_two_cold_runs_are_equal_to_the_bit_whatever_the_threads(tmp_path, images):
    words = ("--deterministic", "--device", "cpu")
    one = cold(tmp_path / "one", images, "lora+swap", *words, "--threads", "1")
    two = cold(tmp_path / "two", images, "lora+swap", *words, "--threads", "2")
    assert one.environment.threads == 1 and two.environment.threads == 2
    assert numbers(one) == numbers(two) and one.training.losses == two.training.losses
    assert one.command.endswith(" --deterministic")
    weights = [next((tmp_path / name / "home").rglob("weights.safetensors")).read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1]


def test_nothing_is_shared_with_runs_that_are_not_deterministic(tmp_path, monkeypatch):
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))
    plain, exact = (plan(Request("camo", "lora+swap", device="cpu", deterministic=d), 0) for d in (False, True))
    assert not {job.key for job in plain.jobs.values()} & {job.key for job in exact.jobs.values()}
    assert plain.file_name != exact.file_name and plain.spec == exact.spec
    assert "--deterministic" not in plain.command


def test_what_it_sets_is_set_inside_alone(monkeypatch):
    import torch

    from benchmarks.deterministic import deterministic

    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    torch.backends.cudnn.benchmark = True
    try:
        with deterministic(False):
            assert not torch.are_deterministic_algorithms_enabled() and "CUBLAS_WORKSPACE_CONFIG" not in os.environ
        with pytest.raises(ZeroDivisionError), deterministic(True):
            assert torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.benchmark
            assert torch.backends.cudnn.deterministic and os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
            raise ZeroDivisionError
        assert not torch.are_deterministic_algorithms_enabled() and torch.backends.cudnn.benchmark
    finally:
        torch.backends.cudnn.benchmark = False


def test_on_a_gpu_the_batch_is_the_models_own(tmp_path, monkeypatch):
    """Acted by a plan for a GPU whose model is on the CPU: the batch is tried where times may decide, and not where they must not."""
    import torch

    from benchmarks.stages import embed, search, train
    from benchmarks.stages.workbench import Workbench

    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))
    tried = []
    monkeypatch.setattr(search, "fastest_batch", lambda *a, **k: tried.append(1) or 512)
    for deterministic in (False, True):
        p = plan(Request("camo", "base+swap", device="cpu", deterministic=deterministic), 0)
        object.__setattr__(p, "device", "cuda:0")
        bench = Workbench(p, 1, None)

        class Model:
            objective = "miou"

            def scorer(self, sites, items, workers):
                from chanswap import Scorer

                return Scorer([torch.zeros(64, 1, 1)], None, batch=32)

        monkeypatch.setattr(embed, "features", lambda bench: (type("Cache", (), {"sites": None})(), []))
        monkeypatch.setattr(train, "adapted", lambda bench: Model())
        scorer, _ = search._scorer(bench)
        assert (scorer.batch, scorer.halves, len(tried)) == ((32, False, 1) if deterministic else (512, True, 1))


# Bounds on another device: float32 differs in its last digits, a mask in a few pixels at its border, training amplifies it.
SCORE, MEAN, TRAINED = 0.02, 0.002, 0.01


def _no_gpu() -> bool:
    return not shutil.which("nvidia-smi") or subprocess.run(["nvidia-smi", "-L"], capture_output=True).returncode != 0


@pytest.mark.gpu
@pytest.mark.skipif(_no_gpu(), reason="this machine has no GPU")
@pytest.mark.parametrize("method, bound", [("base+swap", MEAN), ("lora+swap", TRAINED)])
def test_a_gpu_comes_to_what_a_cpu_does_within_bounds(tmp_path, images, method, bound):
    cpu = cold(tmp_path / "cpu", images, method, "--device", "cpu", "--deterministic")
    gpu, again = (cold(tmp_path / name, images, method, "--device", "cuda", "--deterministic") for name in ("gpu", "again"))
    assert numbers(gpu) == numbers(again)
    same = gpu.search.pairs == cpu.search.pairs
    for name in ("base", *([method.removesuffix("+swap")] if bound == TRAINED else []), *([method] if same else [])):
        mine, other = gpu.evaluation(name), cpu.evaluation(name)
        assert mine.metrics["miou"].value == pytest.approx(other.metrics["miou"].value, abs=bound), name
        if name == "base":
            assert mine.scores["miou"] == pytest.approx(other.scores["miou"], abs=SCORE)
    assert gpu.search.base_score == pytest.approx(cpu.search.base_score, abs=bound)


# Versions


def test_the_list_of_versions_is_what_the_verified_records_say():
    assert (ROOT / NAME).read_text() == lock(ROOT / "results"), "run: python -m benchmarks board lock"


def test_the_versions_of_most_records_are_listed_and_the_others_counted(tmp_path, capsys):
    paths = sorted((ROOT / "results" / "verified").rglob("*.json"))[:3]
    for k, path in enumerate(paths):
        record = records.read(path)
        if k == 2:
            on = record.environment
            packages = {**on.packages, "numpy": "1.26.0", "peft": None}
            record = record.model_copy(update={"environment": on.model_copy(update={"packages": packages})})
        records.write(record, tmp_path / "results" / "verified" / f"{k}.json")
    words = ["board", "lock", "--results", str(tmp_path / "results")]
    assert main([*words, "--check"]) == 1 and main(words) == 0 and main([*words, "--check"]) == 0
    text = (tmp_path / NAME).read_text()
    numpy = records.read(paths[0]).environment.packages["numpy"]
    assert f"numpy=={numpy}\n" in text and "2 verified records" in text and "; 1 record of other versions." in text
    for path in (tmp_path / "results" / "verified").glob("[01].json"):
        path.unlink()
    assert "numpy==1.26.0\n" in lock(tmp_path / "results") and "peft" not in lock(tmp_path / "results")
    (tmp_path / "results" / "verified" / "2.json").unlink()
    with pytest.raises(MissingData, match="holds no verified record"):
        lock(tmp_path / "results")


def test_every_version_listed_is_one_that_the_package_allows():
    from packaging.requirements import Requirement

    with open(ROOT / "pyproject.toml", "rb") as file:
        wanted = {r.name: r for r in map(Requirement, tomllib.load(file)["project"]["dependencies"])}
    listed = dict(line.split("==") for line in (ROOT / NAME).read_text().splitlines() if not line.startswith("#"))
    for name, version in listed.items():
        assert name in wanted and wanted[name].specifier.contains(version), name
