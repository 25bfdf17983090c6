"""The comparison of strategies: its record, its page and picture, and a real one, small."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import search_records
from benchmarks.bench_search import VARIANTS, measure, tasks
from benchmarks.board import search_page
from benchmarks.board.axes import LETTER
from benchmarks.board.build import build, check
from benchmarks.board.search_plot import Point, plot
from benchmarks.cli import main
from benchmarks.errors import InvalidRecord
from benchmarks.metrics.intervals import paired
from benchmarks.search_records import SearchRecord, Trial, read, write

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {
    "python": "3.11", "platform": "Linux", "device": "CPU X", "precision": "float32", "threads": 2, "packages": {}, "dirty": False,
}  # fmt: skip


def record(seeds=(0, 1), **changes) -> SearchRecord:
    draw = np.random.default_rng(0)
    base = draw.uniform(0.4, 0.9, 40).round(6)

    def trial(strategy: str, seed: int, gain: float, spent: int, images: int = 50) -> Trial:
        scores = (base + gain + draw.normal(0, 0.01, 40)).round(6).tolist()
        return Trial(
            strategy=strategy, seed=seed, images=images, pairs=[(1, 2)], evaluations=spent, gradients=0, seconds=spent / 1000,
            base_score=0.6, search_gain=2 * gain, scores=scores,
        )  # fmt: skip

    made = [trial("exhaustive", s, 0.01, 200_000) for s in seeds] + [trial("greedy", s, 0.03, 5_000) for s in seeds]
    made.append(trial("greedy", 0, 0.02, 6_000, images=200))
    value = dict(
        task="camo", dataset="camo-mini", backbone="sam-mini", protocol="mini-v1", protocol_hash="ab" * 32, metric="miou",
        search_images=50, code="c", weights="w", test_images=[f"t{k}" for k in range(40)], base=base.tolist(), literal_ms=2.0,
        literal_passes=128, trials=[t.model_dump() for t in made], environment=ENVIRONMENT,
    )  # fmt: skip
    return SearchRecord.model_validate(value | changes)


def test_every_cell_comes_from_the_record():
    made = record()
    frame = search_page.table(made).frame
    assert list(frame["strategy"]) == ["exhaustive", "greedy", "greedy, 200 images"]
    row = frame.iloc[1]
    assert row["evaluations"] == "5,000" and row["share"] == "2.5 %"
    assert row["times faster"] == "80"  # 200,000 passes of 2 ms against 5 s
    theirs, ours = ([t.scores for t in made.trials if t.strategy == s and t.images == 50] for s in ("exhaustive", "greedy"))
    lost = paired(theirs, ours)
    shown = f"{100 * lost.value:+.2f} ({100 * lost.low:+.2f} to {100 * lost.high:+.2f})"
    assert row["regret, points (95 %)"] == shown + (" tie" if lost.tie else "")
    assert frame.iloc[0]["regret, points (95 %)"] == "" and float(frame.iloc[2]["regret, points (95 %)"].split()[0]) < 0


def test_a_cheap_strategy_is_called_better_only_on_two_datasets_with_an_interval_above_zero():
    four = (0, 1, 2, 3)
    one = record(four)
    theirs, ours = ([t.scores for t in one.trials if t.strategy == s and t.images == 50] for s in ("exhaustive", "greedy"))
    won = paired(ours, theirs)
    assert won.low > 0
    few = search_page.better([one])
    assert few.caption.endswith("No strategy is better than the paper's procedure on two datasets with an interval above zero.")
    cell = f"{100 * won.value:+.2f} ({100 * won.low:+.2f} to {100 * won.high:+.2f}), at 2.5 %"
    assert few.frame.set_index("strategy").loc["greedy", "camo-mini"] == cell
    two = search_page.better([one, record(four, dataset="medical-mini")])
    assert "above zero: greedy" in two.caption
    dear = [t.model_dump() | ({"evaluations": 11_000} if t.name == "greedy, 50 images" else {}) for t in one.trials]
    spent = search_page.better([one, record(four, dataset="medical-mini", trials=dear)])
    assert spent.frame.set_index("strategy").loc["greedy", "medical-mini"] == "spends more"
    assert spent.caption.endswith("interval above zero: greedy, 200 images.")  # the other one spends too much on one of them


@pytest.mark.parametrize("spent", [5_000, 60_000, 200_000, 3_000_000])
def test_no_label_of_the_picture_reaches_beyond_it(spent):
    point = Point("exhaustive", float(spent), 1.0, -0.5, 2.0)
    picture = ElementTree.fromstring(plot([("camo-mini", [point]), ("natural-mini", [point])]))
    width, space = float(picture.get("width")), "{http://www.w3.org/2000/svg}"
    for panel in picture.iter(f"{space}g"):
        at = float(panel.get("transform").split("(")[1].split()[0])
        for text in panel.iter(f"{space}text"):
            share = {"middle": 0.5, "end": 0.0}.get(text.get("text-anchor"), 1.0)
            assert at + float(text.get("x")) + share * LETTER * len(text.text) <= width, text.text


def test_the_page_is_built_checked_and_taken_away(tmp_path):
    write(record(), tmp_path / "results" / "search" / record().file_name)
    (tmp_path / "results" / "search" / "broken.json").write_text("{")
    out = tmp_path / "pages"
    build(tmp_path / "results", out)
    assert check(tmp_path / "results", out) == []
    page, picture = (out / "search.md").read_text(), (out / "search.svg").read_text()
    assert "broken.json" in page and "](search.svg)" in page and "](search.md)" in (out / "README.md").read_text()
    assert len(ElementTree.fromstring(picture).findall(".//{http://www.w3.org/2000/svg}title")) == 3  # a point a strategy
    for file in (tmp_path / "results" / "search").iterdir():
        file.unlink()
    build(tmp_path / "results", out)
    assert not (out / "search.md").exists() and not (out / "search.svg").exists()


def test_a_record_that_contradicts_itself_is_refused(tmp_path):
    for name, change in {"test images": {"base": [0.5]}, "two trials": {"trials": [record().trials[0].model_dump()] * 2}}.items():
        with pytest.raises(ValueError, match=name):
            record(**change)
    write(record(), tmp_path / "r.json")
    assert read(tmp_path / "r.json") == record()
    (tmp_path / "r.json").write_text((tmp_path / "r.json").read_text().replace('"seconds"', '"minutes"', 1))
    with pytest.raises(InvalidRecord, match="r.json"):
        read(tmp_path / "r.json")


def test_the_schema_beside_the_records_is_that_of_the_code():
    assert (ROOT / "results" / "search-v1.schema.json").read_text() == search_records.schema()


def test_committed_records_are_whole():
    for path in (ROOT / "results" / "search").glob("*.json"):
        found = read(path)
        assert found.file_name == path.name and found.environment.dirty is False
        assert all(t.strategy in VARIANTS for t in found.trials)


def test_two_strategies_measured_on_a_real_task():
    (task,), said = list(tasks("camo")), []
    made = measure(task, [VARIANTS["taylor"], VARIANTS["greedy"]], [0], "cpu", 1, said.append)
    assert len(said) == 2 and len(made.base) == 500 and made.literal_ms > 0
    for trial in made.trials:
        assert 0 < trial.evaluations < 12_000 and trial.gradients >= 50 and len(trial.pairs) >= 1
        assert trial.search_gain > 0 and np.mean(trial.scores) > np.mean(made.base)


def test_calls_that_cannot_be_say_what_to_choose(capsys):
    for words, said in {
        "--tasks depth": "choose from: natural, medical, camo",
        "--strategies greedy": "name it too",
        "--strategies exhaustive,clever": "choose from: exhaustive",
    }.items():
        assert main(["bench", "search", *words.split()]) == 2
        assert said in capsys.readouterr().err
