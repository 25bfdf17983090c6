"""One search split over workers: their parts merge to the answer of one worker alone, whoever is lost on the way."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import torch

import chanswap
from benchmarks import protocols, records
from benchmarks.cli import main
from benchmarks.errors import UsageError
from chanswap import Journal, Scorer, exhaustive, score, scoring, screening, search, search_part
from tests.test_run import RUN, images, place, timeless  # noqa: F401 - fixtures

CHANNELS, IMAGES = 9, 5


class Toy:
    """Scores that depend on every channel, and a count of the passes."""

    def __init__(self):
        draw = torch.Generator().manual_seed(3)
        self.features = list(torch.randn(IMAGES, CHANNELS, 4, generator=draw))
        self.weights = torch.randn(IMAGES, CHANNELS, 4, generator=draw)
        self.passes = 0

    def evaluate(self, versions, image):
        self.passes += len(versions)
        return (versions * self.weights[image]).sum((1, 2)).tanh()

    def scorer(self, **more):
        return Scorer(self.features, self.evaluate, batch=4, **more)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(scoring, "BLOCK", 8)
    monkeypatch.setattr(screening, "CHUNK", 24)  # the 73 candidates are four chunks


@pytest.mark.parametrize("strategy, budget", [("exhaustive", None), ("random", 40)])
@pytest.mark.parametrize("workers", [1, 2, 3, 7, 200])
def test_parts_are_disjoint_and_merge_to_the_answer_of_one_worker(tmp_path, strategy, budget, workers):
    alone, shared = Toy(), Toy()
    how = {"strategy": strategy, "budget": budget, "seed": 4}
    wanted = search(alone.scorer(), keep=4, **how)
    for i in range(workers):
        search_part(shared.scorer(), (i, workers), journal=tmp_path / "j", key="k", **how)
    screened = shared.passes
    assert screened == IMAGES * (1 + (budget or CHANNELS * (CHANNELS - 1)))  # nothing twice, nothing left out
    found = search(shared.scorer(), keep=4, journal=tmp_path / "j", key="k", **how)
    assert found == wanted and shared.passes - screened == alone.passes - screened  # the combinations alone were left
    assert os.listdir(tmp_path) == []


def test_what_a_lost_worker_did_not_do_is_done_at_the_merge(tmp_path):
    toy = Toy()
    search_part(toy.scorer(), (0, 3), journal=tmp_path / "j", key="k")
    search_part(toy.scorer(), (2, 3), journal=tmp_path / "j", key="k")
    (file, *_) = sorted(tmp_path.glob("j.screen.part-2-of-3"))
    file.write_bytes(file.read_bytes()[:-3])  # killed while it wrote
    assert search(toy.scorer(), keep=4, journal=tmp_path / "j", key="k") == search(Toy().scorer(), keep=4)


def test_parts_of_another_model_are_not_merged(tmp_path):
    other, toy = Toy(), Toy()
    other.weights = other.weights.neg()
    for i in range(2):
        search_part(other.scorer(), (i, 2), journal=tmp_path / "j", key="other")
    assert search(toy.scorer(), keep=4, journal=tmp_path / "j", key="k") == search(Toy().scorer(), keep=4)


def test_a_part_that_is_called_again_goes_on(tmp_path):
    toy = Toy()
    search_part(toy.scorer(), (1, 2), journal=tmp_path / "j", key="k")
    before = toy.passes
    search_part(toy.scorer(), (1, 2), journal=tmp_path / "j", key="k")
    assert toy.passes == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_workers_at_once_one_of_them_killed(tmp_path):
    toy = Toy()

    def slow(versions, image):
        time.sleep(0.004)
        return toy.evaluate(versions, image)

    workers = []
    for i in range(3):
        if (process := os.fork()) == 0:
            try:
                search_part(Scorer(toy.features, slow, batch=4), (i, 3), journal=tmp_path / "j", key="k")
            finally:
                os._exit(0)
        workers.append(process)
    time.sleep(0.06)
    os.kill(workers[1], signal.SIGKILL)
    codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in workers]
    assert codes == [0, -signal.SIGKILL, 0]
    assert search(toy.scorer(), keep=4, journal=tmp_path / "j", key="k") == search(Toy().scorer(), keep=4)
    assert 0 < toy.passes < IMAGES * 73 + 400  # the merge did not begin anew: the two that lived left two thirds


def test_the_best_alone_are_remembered_and_they_are_the_best():
    every, few = exhaustive(Toy().scorer()), exhaustive(Toy().scorer(), most=6)
    assert len(few.pairs) == 6 and few.best(6) == every.best(6) and few.evaluations == every.evaluations
    assert few.base == every.base


def test_progress_of_all_chunks_is_one_bar(tmp_path):
    seen = []
    search(Toy().scorer(), keep=2, progress=lambda *state: seen.append(state))
    screened = [(done, total) for stage, done, total in seen if stage.startswith("screen")]
    assert {stage for stage, _, _ in seen} == {"screen", "combine"}
    assert screened == sorted(screened) and screened[-1] == (IMAGES * 73, IMAGES * 73)


@pytest.mark.parametrize("part", [(2, 2), (-1, 2), (0, 0)])
def test_a_part_that_is_none_is_refused(part, tmp_path):
    with pytest.raises(ValueError, match="part must be"):
        search_part(Toy().scorer(), part, journal=tmp_path / "j", key="k")
    with pytest.raises(ValueError, match="part must be"):
        score(Toy().scorer(), torch.zeros(2, 1, 2, dtype=torch.long), part=part)


@pytest.mark.parametrize("strategy", sorted(set(chanswap.STRATEGIES) - set(chanswap.SHARED)))
def test_a_strategy_whose_steps_depend_on_each_other_is_not_split(strategy, tmp_path):
    with pytest.raises(ValueError, match="cannot be split"):
        search_part(Toy().scorer(), (0, 2), strategy=strategy, journal=tmp_path / "j", key="k")


def test_the_suite_names_the_strategies_that_can_be_split_as_the_library_does():
    assert protocols.SHARED == chanswap.SHARED


def test_a_journal_reads_the_files_of_its_workers(tmp_path):
    for i in range(2):
        part = Journal(tmp_path / "j", "k", (i, 2))
        part.load()
        part.append(i, 0, torch.tensor([float(i)]))
        part.close()
    whole = Journal(tmp_path / "j", "k")
    assert {name: block.item() for name, block in whole.load().items()} == {(0, 0): 0.0, (1, 0): 1.0}
    whole.discard()
    assert os.listdir(tmp_path) == []


# Whole runs


def test_a_run_whose_search_was_split_leaves_the_record_of_one_that_was_not(place, monkeypatch, capsys):  # noqa: F811
    call = [*RUN, "--method", "base+swap"]
    for part in ("1/2", "2/2"):
        assert main([*call, "--part", part]) == 0
    assert not (place / "results").exists()
    parts = list(Path(os.environ["CHANSWAP_HOME"]).rglob("journal.screen.part-*"))
    assert {p.name[-6:] for p in parts} == {"0-of-2", "1-of-2"}
    spent = [float(p.read_text()) for p in Path(os.environ["CHANSWAP_HOME"]).rglob("journal.seconds.part-*")]
    assert len(spent) == 2 and min(spent) > 0
    assert main([*call, "--results", str(place / "results")]) == 0
    assert not list(Path(os.environ["CHANSWAP_HOME"]).rglob("journal*"))
    monkeypatch.setenv("CHANSWAP_HOME", str(place / "other"))
    (place / "other").mkdir()
    (place / "other" / "data").symlink_to((place / "home" / "data").resolve())
    assert main([*call, "--results", str(place / "alone")]) == 0
    (merged,), (alone,) = ([records.read(p) for p in (place / d).rglob("*.json")] for d in ("results", "alone"))
    assert timeless(merged) == timeless(alone)
    (search,) = [s for s in merged.stages if s.name == "search"]
    assert search.seconds > sum(spent)  # what the workers took is part of what the search took


@pytest.mark.parametrize(
    "method, more, error", [("base", [], "it has no search"), ("base+swap", ["--strategy", "taylor"], "is short")]
)
def test_a_run_without_a_search_to_split_says_so(place, method, more, error, capsys):  # noqa: F811
    assert main([*RUN, "--method", method, "--part", "1/2", *more]) == 2
    assert error in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_a_part_is_written_as_one_of_so_many(text):
    from benchmarks.cli.common import part

    with pytest.raises(UsageError, match="I/N"):
        part(text)
