"""The headline: its picture says what the pairing says, losses and falling metrics stand on their side, the README's block is kept."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from benchmarks.board.build import build, check
from benchmarks.board.collect import boards, collect
from benchmarks.board.headline import BEGIN, END, Panel, block, panels, picture, pictures, refreshed
from benchmarks.board.pool import difference, pool
from benchmarks.board.units import unit
from benchmarks.errors import UsageError
from benchmarks.metrics.intervals import Estimate
from tests.make_example_results import RESULTS, example, few, measured
from tests.test_board import put

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Verified records of one seed: camouflage, and depth, whose metric falls."""
    results = tmp_path_factory.mktemp("headline") / "results"
    for task in ("camo", "depth"):
        for method in ("base+swap", "dora+swap"):
            put(measured(task, method, 0), results / f"verified/{task}-{method}.json")
    return results


def dots(svg: str) -> dict[str, tuple[float, bool]]:
    """Each dot's place on its panel and whether it is full, by the words of its title."""
    found = {}
    for circle in ElementTree.fromstring(svg).iter(f"{SVG}circle"):
        if (title := circle.find(f"{SVG}title")) is not None:
            found[title.text] = float(circle.get("cx")), circle.get("fill") != "none"
    return found


def test_the_picture_says_what_the_pairing_says(small):
    groups = boards(collect(small).kept)
    drawn = dots(pictures(groups)["headline.svg"])
    expected = set()
    for board, records in groups.items():
        metric = "miou" if board.task == "camo" else "mse"
        pooled, shown = pool(records, metric), unit(metric)
        for name in ("base", "dora"):
            e = difference(pooled, f"{name}+swap", name).estimate
            value, low, high = (e.value, e.low, e.high) if shown.higher else (-e.value, -e.high, -e.low)
            words = f"{name}: {shown.show(value, True)} ({shown.show(low, True)} to {shown.show(high, True)})"
            expected.add(words + (" tie" if e.tie else ""))
    assert set(drawn) == expected
    assert all(full != words.endswith(" tie") for words, (_, full) in drawn.items())


def test_gains_stand_right_of_zero_and_ties_are_hollow():
    gains = {
        "base": Estimate(0.05, 0.04, 0.06, 0.001),
        "dora": Estimate(-0.02, -0.03, -0.01, 0.001),
        "lora": Estimate(0.01, -0.01, 0.03, 0.3),
    }
    svg = picture([Panel("x", unit("miou"), gains)])
    (zero,) = [
        float(line.get("x1")) for line in ElementTree.fromstring(svg).iter(f"{SVG}line") if line.get("stroke-opacity") == "1"
    ]
    found = {words.split(":")[0]: place for words, place in dots(svg).items()}
    assert found["base"][0] > found["lora"][0] > zero > found["dora"][0]
    assert (found["base"][1], found["dora"][1], found["lora"][1]) == (True, True, False)


def test_panels_of_one_unit_share_a_scale_and_no_gain_at_all_is_drawn():
    wide, narrow = Estimate(0.1, -0.2, 0.3, 0.5), Estimate(0.1, 0.09, 0.11, 0.01)
    svg = picture(
        [
            Panel("a", unit("miou"), {"base": wide}),
            Panel("b", unit("miou"), {"base": narrow}),
            Panel("c", unit("mse"), {"base": narrow}),
        ]
    )
    places = [x for x, _ in dots(svg).values()]
    assert (
        len(places) == 3
        and [float(c.get("cx")) for c in ElementTree.fromstring(svg).iter(f"{SVG}circle") if len(c)][:2] == [places[0]] * 2
    )
    ElementTree.fromstring(picture([Panel("a", unit("miou"), {"base": Estimate(0.0, 0.0, 0.0, 1.0)})]))


def test_community_and_paper_records_stay_out_of_the_embedded_picture(tmp_path):
    put(measured("camo", "base+swap", 0), tmp_path / "results/community/a.json")
    assert pictures(boards(collect(tmp_path / "results").kept)) == {} and "No verified record" in block(
        collect(tmp_path / "results"), ()
    )
    assert set(pictures(boards(collect(few()).kept))) == {"headline.svg"}  # its paper-v1 record is a community one


def test_two_versions_of_a_dataset_are_told_apart():
    titles = [p.title for p in panels(boards(collect(few()).kept))]
    assert len(titles) == len(set(titles)) and sum(t.startswith("camo, sam-mini") for t in titles) >= 2


def test_hostile_names_stay_text(tmp_path):
    record = example("base+swap", 0, dataset='"><script>alert(1)</script>\x00')
    put(record, tmp_path / "results/verified/a.json")
    svg = pictures(boards(collect(tmp_path / "results").kept))["headline.svg"]
    assert {e.tag for e in ElementTree.fromstring(svg).iter()} <= {
        SVG + t for t in ("svg", "g", "text", "line", "circle", "title")
    }
    assert "<script" not in block(collect(tmp_path / "results"), ["headline.svg"])


def test_the_block_is_refreshed_and_checked_and_the_rest_is_left(small, tmp_path):
    readme, out = tmp_path / "README.md", tmp_path / "leaderboard"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter | $1 \\1\n")
    build(small, out)
    assert check(small, out, tmp_path) == ["differs: README.md"] and check(small, out) == []
    assert build(small, out, tmp_path) == [readme]
    assert check(small, out, tmp_path) == [] and build(small, out, tmp_path) == []
    text = readme.read_text()
    assert text.startswith(f"before\n{BEGIN}\n") and text.endswith(f"{END}\nafter | $1 \\1\n") and "old" not in text
    assert "](leaderboard/headline.svg)" in text and re.search(r"^\| dora ", text, re.M)


@pytest.mark.parametrize("text", [f"{END}{BEGIN}", BEGIN, f"{BEGIN}{BEGIN}{END}"])
def test_markers_that_are_no_pair_are_an_error(text):
    with pytest.raises(UsageError, match="mend that"):
        refreshed(text, collect(RESULTS), ())


def test_a_readme_without_markers_is_left_alone():
    assert refreshed("mine", collect(RESULTS), ()) == "mine"
