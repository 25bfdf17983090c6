"""Studies: the record and its schema, the tables and plots made of it, hostile records, and one from end to end on a few images."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from itertools import combinations
from math import comb
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from benchmarks import study_pictures, study_records
from benchmarks.board import recurrence, study_page, study_tables
from benchmarks.board.build import build, check
from benchmarks.board.collect import Collection
from benchmarks.cli import main
from benchmarks.errors import InvalidRecord
from benchmarks.protocols import PROTOCOLS
from benchmarks.study_records import StudyRecord, read, write
from chanswap.multiple import labels
from tests.small import few, small

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {
    "python": "3.11", "platform": "Linux", "device": "CPU X", "precision": "float32", "threads": 1, "packages": {}, "dirty": False,
}  # fmt: skip
C = 8


def record(seed: int = 0, **changes) -> StudyRecord:
    draw = np.random.default_rng(seed)

    def effect(value: float, p: float) -> dict:
        half = float(draw.uniform(0.001, 0.004))
        return {"value": value, "low": value - half, "high": value + half, "p": p}

    values = {part: draw.normal(0, 0.01, C).round(6).tolist() for part in ("search", "test")}
    chances = {part: [0.0001, 0.004, 0.03, 0.2, 0.5, 0.001, 0.9, 1.0] for part in values}
    named = {part: labels(values[part], chances[part]) for part in values}
    channels = [
        {
            **{part: effect(values[part][c], chances[part][c]) for part in values},
            **{f"{part}_label": named[part][c] for part in values},
            "best_replacement": (c + 1) % C, "replacement_gain": 0.01 * c, "level": c - 3.0, "spread": 0.5,
        }
        for c in range(C)
    ]  # fmt: skip

    def curve(pairs: list, gains: list[float]) -> dict:
        sizes = [
            {"pairs": pairs[: n + 1], "search_gain": gain, "test": effect(gain / 2, 0.01), "tried": 3, "conflicts": n}
            for n, gain in enumerate(gains)
        ]
        return {"candidates": pairs, "sizes": sizes}

    value = dict(
        task="camo", dataset="camo-mini", backbone="sam-mini", method="base", protocol="mini-v1", protocol_hash="ab" * 32,
        metric="miou", seed=0, code="c", weights="w", data="d", search_images=["s0", "s1"],
        test_images=[f"t{k}" for k in range(5)], search_base=0.7, test_base=0.65, channels=channels, swap=[(1, 2)],
        swap_search_gain=0.03, swap_test=effect(0.02, 0.01), constant_test=effect(0.001, 0.7),
        zeroed_test=effect(-0.01, 0.01), map_test=effect(0.0005, 0.7),
        best_pairs=curve([(1, 2), (3, 4)], [0.03, 0.02]), one_a_channel=curve([(1, 2), (3, 4), (5, 6)], [0.03, 0.04, -0.1]),
        examples=[
            {"place": place, "image": f"t{k}", "scores": {"base": 0.5, "base+swap": 0.5 + k / 10}}
            for k, place in enumerate(("worst", "median", "best"))
        ],
        maps={"images": ["t0"], "replaced": [1], "shown": [2], "useful": [3]}, pictures=[], stages=[], environment=ENVIRONMENT,
    )  # fmt: skip
    return StudyRecord.model_validate(value | changes)


def kept(folder: Path, made: StudyRecord, content: bytes = b"") -> StudyRecord:
    """The record in a results folder, with a picture where content is given."""
    if content:
        pictures = [
            {"kind": kind, "file": f"{kind}.png", "sha256": hashlib.sha256(content).hexdigest(), "width": 1, "height": 1}
            for kind in ("examples", "maps")
        ]
        made = StudyRecord.model_validate(made.model_dump() | {"pictures": pictures})
        for picture in made.pictures:
            (folder / "study").mkdir(parents=True, exist_ok=True)
            (folder / "study" / picture.file).write_bytes(content)
    write(made, folder / "study" / made.file_name)
    return made


def signed(value: float) -> str:
    return f"{round(100 * value, 2) + 0.0:+.2f}"


def interval(e) -> str:
    tie = " tie" if e.low <= 0 <= e.high else ""
    return f"{signed(e.value)} ({signed(e.low)} to {signed(e.high)}){tie}"


def test_every_number_of_the_page_comes_from_the_record():
    made = record()
    counts = study_tables.counts([made]).frame
    assert list(counts["set"]) == ["test", "search"] and list(counts["images"]) == ["5", "2"]
    for _, row in counts.iterrows():
        found = [getattr(c, row["set"]) for c in made.channels]
        named = labels([e.value for e in found], [e.p for e in found])
        assert [row[x] for x in ("harmful", "redundant", "useful")] == [
            str(named.count(x)) for x in ("harmful", "redundant", "useful")
        ]
        assert int(row["harmful"]) + int(row["useful"]) == 3  # of the five smallest p-values these stand Holm's correction
        assert row["beyond zero, not corrected"] == "4"
        assert row["surely within 0.5 points"] == str(sum(-0.005 < e.low and e.high < 0.005 for e in found))
    frame = study_tables.extremes(made).frame
    order = sorted(range(C), key=lambda c: -made.channels[c].search.value)
    assert list(frame["channel"]) == [str(c) for c in order]
    for _, row in frame.iterrows():
        channel = made.channels[int(row["channel"])]
        assert row["zeroed: search gain, points"] == signed(channel.search.value)
        assert row["zeroed: test gain, points (95 %)"] == interval(channel.test)
        assert row["on the test set"] == channel.test_label
        assert row["best replacement: search gain, points"] == f"{signed(channel.replacement_gain)} by {channel.best_replacement}"
        assert row["level (spread)"] == f"{channel.level:+.2f} (0.50)"
    (row,) = study_tables.constants([made]).frame.to_dict("records")
    assert list(row.values())[1:] == [
        "1<-2", "+3.00", *(interval(e) for e in (made.swap_test, made.zeroed_test, made.constant_test, made.map_test)),
    ]  # fmt: skip
    grown = study_tables.growth(made).frame
    sizes = [*made.best_pairs.sizes, *made.one_a_channel.sizes]
    assert list(grown["pairs"]) == ["1", "2", "1", "2", "3"]
    assert list(grown["search gain, points"]) == [signed(s.search_gain) for s in sizes]
    assert list(grown["test gain, points (95 %)"]) == [interval(s.test) for s in sizes]
    (row,) = study_tables.agreement([made]).frame.to_dict("records")
    ranks = [np.argsort(np.argsort([getattr(c, part).value for c in made.channels])) for part in ("search", "test")]
    assert row["rank correlation, search and test gain"] == f"{np.corrcoef(*ranks)[0, 1]:+.2f}"


def test_plots_show_every_channel_and_every_number_of_pairs():
    made = [record(k, dataset=f"d{k}") for k in range(4)]
    name = "{http://www.w3.org/2000/svg}title"
    titles = [
        t.text
        for t in ElementTree.fromstring(study_page.channels_plot([(r.dataset, study_page.bars(r)) for r in made])).iter(name)
    ]
    assert len(titles) == 4 * C
    first = made[0].channels[0]
    about = f"channel 0: test {100 * first.test.value:+.2f} ({100 * first.test.low:+.2f} to {100 * first.test.high:+.2f})"
    assert titles[[t.split(":")[0] for t in titles].index("channel 0")].startswith(about)
    plot = ElementTree.fromstring(study_page.growth_plot([(r.dataset, study_page.lines(r)) for r in made]))
    assert len(list(plot.iter(name))) == 4 * 5
    assert float(plot.get("height")) > 2 * 240  # four panels stand in two rows


def test_the_page_is_built_checked_and_taken_away(tmp_path):
    results, out = tmp_path / "results", tmp_path / "pages"
    made = kept(results, record(), b"a picture")
    (results / "study" / "broken.json").write_text("{")
    write(record(seed=1), results / "study" / "elsewhere.json")
    build(results, out)
    assert check(results, out) == []
    page = (out / "study.md").read_text()
    for word in ("broken.json", "elsewhere.json: the record in it belongs in", "](study-channels.svg)", "](study-growth.svg)"):
        assert word in page
    assert "](../results/study/examples.png)" in page and made.command in page
    assert "](study.md)" in (out / "README.md").read_text()
    assert "table1.csv is not there" in page  # no printed numbers in this folder, none on the page
    (results / "study" / "maps.png").write_bytes(b"another picture")
    build(results, out)
    page = (out / "study.md").read_text()
    assert "](../results/study/maps.png)" not in page and "maps.png is not there, or not the one" in page
    for file in (results / "study").iterdir():
        file.unlink()
    build(results, out)
    assert not any(out.glob("study*"))


def test_the_five_printed_channels_are_the_paper_s():
    frame = study_tables.printed_table(ROOT / "results", []).frame
    assert dict(zip(frame["channel"], frame["channel set to zero"])) == {
        "6": "50.6", "216": "52.7", "175": "48.7", "19": "48.4", "189": "47.9",
    }  # fmt: skip
    assert set(frame["as it is"]) == {"50.6"} and list(frame["difference"]) == ["+0.0", "+2.1", "-1.9", "-2.2", "-2.7"]


HOSTILE = "x](http://evil)<script>|`$(rm -rf ~)`\n# Title\u202e"


def test_a_hostile_record_is_inert(tmp_path):
    results = tmp_path / "results"
    draw = record()
    examples = [e.model_dump() | {"image": HOSTILE, "scores": {HOSTILE: 0.5}} for e in draw.examples]
    made = record(
        dataset=HOSTILE, backbone=HOSTILE, method=HOSTILE, protocol=HOSTILE, place=HOSTILE, examples=examples, metric=HOSTILE
    )
    assert re.fullmatch(r"[a-z0-9._+-]+\.json", made.file_name)
    kept(results, made, b"p")
    build(results, tmp_path / "pages")
    text = (tmp_path / "pages" / "study.md").read_text()
    outside = re.sub(r"```sh\n.*?\n```", "", text, flags=re.S)
    assert "<script" not in outside and "](http://evil)" not in outside and "\n# Title" not in text and "\u202e" not in text
    for line in re.findall(r"```sh\n(.*?)\n```", text, re.S):
        assert line.startswith("python -m benchmarks study --dataset 'x](http") and "`" not in line
    for picture in (tmp_path / "pages").glob("study*.svg"):
        tags = {e.tag.split("}")[1] for e in ElementTree.fromstring(picture.read_text()).iter() if isinstance(e.tag, str)}
        assert tags <= {"svg", "g", "text", "line", "circle", "polyline", "title"}


@pytest.mark.parametrize("file", ["../../x.png", "a/b.png", "a.png)![x", "A.svg", "-x.png", "a.png\n"])
def test_a_picture_s_name_cannot_leave_its_folder(file):
    with pytest.raises(ValueError, match="pattern"):
        record(pictures=[{"kind": "maps", "file": file, "sha256": "a" * 64, "width": 1, "height": 1}])


def test_a_record_that_contradicts_itself_is_refused(tmp_path):
    good = record().model_dump()
    wrong = [dict(c) for c in good["channels"]]
    wrong[7] = wrong[7] | {"test_label": "harmful"}
    twice = good["best_pairs"] | {"sizes": [good["best_pairs"]["sizes"][1]]}
    upside = good["swap_test"] | {"low": 1.0, "high": 0.0}
    picture = {"kind": "maps", "file": "a.png", "sha256": "a" * 64, "width": 1, "height": 1}
    for said, change in {
        "labels on the test set": {"channels": wrong},
        "overlap": {"search_images": ["t0"]},
        "named twice": {"test_images": ["t0", "t0"]},
        "do not have": {"swap": [(1, C)]},
        "of 1 pairs": {"best_pairs": twice},
        "upside down": {"swap_test": upside},
        "two pictures": {"pictures": [picture, picture]},
    }.items():
        with pytest.raises(ValueError, match=said):
            record(**change)
    write(record(), tmp_path / "r.json")
    assert read(tmp_path / "r.json") == record()
    (tmp_path / "r.json").write_text((tmp_path / "r.json").read_text().replace('"level"', '"height"', 1))
    with pytest.raises(InvalidRecord, match="r.json"):
        read(tmp_path / "r.json")


def test_the_schema_beside_the_records_is_that_of_the_code():
    assert (ROOT / "results" / "study-v1.schema.json").read_text() == study_records.schema()


def test_recurrence_by_chance_is_what_drawing_gives():
    """Against every possible draw: sets of 2, 2 and 3 of 5 channels."""
    found = recurrence.recurrence([frozenset({0, 1}), frozenset({0, 2}), frozenset({0, 3, 4})], 5)
    assert found.found == {0: 3} and found.sizes == (2, 2, 3)
    shared = []
    for a in combinations(range(5), 2):
        for b in combinations(range(5), 2):
            for c in combinations(range(5), 3):
                shared.append(sum(((n in a) + (n in b) + (n in c)) > 1 for n in range(5)))
    assert found.expected == pytest.approx(np.mean(shared))
    assert found.p == pytest.approx(np.mean(np.array(shared) >= 1))
    same = recurrence.recurrence([frozenset(range(6))] * 2, 64)
    assert len(same.found) == 6 and same.p == pytest.approx(1 / comb(64, 6))
    with pytest.raises(ValueError, match="0..4"):
        recurrence.recurrence([frozenset({5})], 5)


def test_recurrence_joins_what_may_stand_together():
    studies = [record(k, dataset=f"d{k}") for k in range(3)]
    nothing = Collection((), ())
    frame = recurrence.table(nothing, studies).frame
    assert list(frame["channels that are"]) == ["harmful, by zeroing", "useful, by zeroing"]
    for what in ("harmful", "useful"):
        (row,) = frame[frame["channels that are"] == f"{what}, by zeroing"].to_dict("records")
        sets = [{c for c, x in enumerate(r.channels) if x.test_label == what} for r in studies]
        assert row["of each task"] == ", ".join(f"d{k}: {len(s)}" for k, s in enumerate(sets))
        assert row["in two tasks or more"] == str(sum(sum(c in s for s in sets) > 1 for c in range(C)))
    frame = recurrence.alike(studies).frame
    assert list(frame["tasks"]) == ["d0, d1", "d0, d2", "d1, d2"] and set(frame["by chance (95 %)"]) == {"-0.74 to +0.74"}
    ranks = [np.argsort(np.argsort([c.test.value for c in r.channels])) for r in studies]
    assert frame["rank correlation of the test gains of zeroing"][0] == f"{np.corrcoef(ranks[0], ranks[1])[0, 1]:+.2f}"
    others = [studies[0], record(1, dataset="d1", weights="others"), record(2, dataset="d2", method="lora")]
    assert len(recurrence.table(nothing, others).frame) == 0 and len(recurrence.alike(others).frame) == 0
    assert len(recurrence.table(nothing, [studies[0], record(1, dataset="d1", limit=3)]).frame) == 0


def test_pictures_outline_errors_and_do_not_fill_them():
    image = np.full((64, 64, 3), 100, np.uint8)
    truth, answer = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    truth[8:40, 8:24], answer[8:40, 24:48] = True, True
    row = study_pictures.Row("best", image, truth, (16, 24), (study_pictures.Column("base", answer, "IoU 0.0"),))
    drawn = np.asarray(study_pictures.examples([row]))
    column = drawn[:, study_pictures.EDGE + 2 * (study_pictures.TILE + study_pictures.GAP) :][: study_pictures.TILE + 40]
    for colour in (study_pictures.FALSE_POSITIVE, study_pictures.FALSE_NEGATIVE):
        # Three times as large: a border of two pixels around 96 x 72 and 96 x 48 is about 600 of some 6,000.
        assert 300 < (column == colour).all(2).sum() < 1000
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (150, 200, 3), np.uint8))
    assert study_pictures.encoded(noise, largest=100_000)[1] == (200, 150)
    content, size = study_pictures.encoded(noise, largest=15_000)
    assert len(content) <= 15_000 and size[0] < 200


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHANSWAP_HOME", str(folder / "home"))
        patch.setitem(PROTOCOLS._entries, "mini-v1", replace(small(), search_images=1))  # 4,033 passes an image, most of the time
        patch.setattr("benchmarks.data.generated.manifest", few)
        yield folder


CALL = ["study", "--task", "camo", "--threads", "1", "--device", "cpu", "--results"]


def test_a_study_from_end_to_end(place, capsys):
    results = place / "results"
    assert main([*CALL, str(results), "--dry-run"]) == 0
    assert re.search(r"study +64 channels, .* to do", capsys.readouterr().out) and not results.exists()
    assert main([*CALL, str(results), "--limit", "6"]) == 0
    shown = capsys.readouterr().out
    (path,) = (results / "study").glob("*.json")
    found = read(path)
    assert path.name == found.file_name and found.limit == 6 and len(found.test_images) == 6 and len(found.channels) == 64
    assert "harmful" in shown and f"{found.test_base * 100:.2f}" in shown
    first = found.best_pairs.sizes[0], found.one_a_channel.sizes[0]
    assert first[0].pairs == first[1].pairs and first[0].search_gain == first[1].search_gain
    best = max(found.channels, key=lambda c: c.replacement_gain)
    assert best.replacement_gain == pytest.approx(first[0].search_gain, abs=1e-6)
    assert max(s.search_gain for s in found.best_pairs.sizes) == pytest.approx(found.swap_search_gain, abs=1e-6)
    assert [len(s.pairs) for s in found.one_a_channel.sizes] == [1, 2, 3, 4]
    # The swap's gain is also a size's, from other features: those of one batch, and these of one image each.
    (same,) = [s for s in found.best_pairs.sizes if s.pairs == found.swap] or [None]
    assert same is None or same.test.value == pytest.approx(found.swap_test.value, abs=2e-3)
    added = found.swap_test.value - found.constant_test.value
    assert found.map_test.value == pytest.approx(added, abs=2e-3)
    if len(found.swap) == 1:
        assert found.zeroed_test.value == pytest.approx(found.channels[found.swap[0][0]].test.value, abs=1e-6)
    assert [e.place for e in found.examples] == ["best", "median", "worst"]
    gaps = [e.scores["base+swap"] - e.scores["base"] for e in found.examples]
    assert gaps == sorted(gaps, reverse=True)
    for picture in found.pictures:
        content = (results / "study" / picture.file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == picture.sha256 and len(content) < 150_000
        assert Image.open(results / "study" / picture.file).size == (picture.width, picture.height)
    assert len(found.pictures) == 2 and "](../results/study/" in (place / "leaderboard" / "study.md").read_text()
    # A second call reads what is kept and leaves the same numbers and pictures.
    assert main([*CALL, str(results), "--limit", "6"]) == 0
    again = read(path)
    assert all(s.cached for s in again.stages) and again.pictures == found.pictures and again.channels == found.channels


def test_calls_that_cannot_be_say_what_to_do(place, capsys):
    for words, said in {
        "--task depth": "choose from: natural, medical, camo",
        "--task camo --method base+swap": "write --method base",
        "--task camo --dataset natural-mini": "leave --task out",
        "--task camo --seed -1": "0 or more",
        "--task cmao": "camo",
    }.items():
        assert main(["study", *words.split()]) == 2
        assert said in capsys.readouterr().err


def test_committed_studies_are_whole():
    found, faults = study_page.collect(ROOT / "results")
    assert not faults
    named = set()
    for made in found:
        assert made.environment.dirty is False and made.limit is None and len(made.pictures) == 2
        for picture in made.pictures:
            content = (ROOT / "results" / "study" / picture.file).read_bytes()
            assert hashlib.sha256(content).hexdigest() == picture.sha256 and len(content) < 150_000
            named.add(picture.file)
    assert named == {path.name for path in (ROOT / "results" / "study").glob("*.png")}
