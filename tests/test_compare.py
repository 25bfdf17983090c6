"""`compare`: its numbers are the board's, what may not be compared is refused with the reason, and a picture is well-formed."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from benchmarks.board import tables
from benchmarks.board.collect import boards, collect
from benchmarks.board.pool import difference, mean, pool, reference
from benchmarks.cli import main
from benchmarks.compare import AFTER, NOTHING, rows
from benchmarks.compare.plot import plot
from benchmarks.compare.sides import Wanted, pairs
from benchmarks.errors import UsageError
from benchmarks.hashes import hash_of
from benchmarks.metrics.intervals import holm, two_sided
from benchmarks.records import Record, write
from tests.make_example_results import CAMO, RESULTS, example, few, measured

ROOT = Path(__file__).parents[1]


def put(folder: Path, *records: Record) -> Path:
    for k, record in enumerate(records):
        write(record, folder / f"{k}.json")
    return folder


def changed(record: Record, **parts) -> Record:
    return Record.model_validate(record.model_dump() | {"digest": None} | parts)


def compare(capsys, *words: str, results: Path = RESULTS) -> dict:
    assert main(["--quiet", "compare", *words, "--json", "--results", str(results)]) == 0
    return json.loads(capsys.readouterr().out)


def test_numbers_are_those_of_the_boards_own_tables(capsys):
    """On the verified records: every board that has them, a swap with its method and with base, a method with base."""
    every = boards(collect(ROOT / "results").kept)
    groups = {b: records for b, records in every.items() if any(r.spec.method == "dora+swap" for r in records)}
    made = compare(capsys, "dora+swap", "dora", "base", "--all-pairs", results=ROOT / "results")["comparisons"]
    assert len(groups) >= 3 and len(made) == 3 * len(groups)
    for row, (board, records) in zip(made, [*groups.items()] * 3):
        a, b, pooled = row["a"], row["b"], pool(records, "miou")
        assert row["dataset"] == board.dataset and row["seeds"] == [0, 1, 2]
        expected = difference(pooled, a, b).estimate
        # Tables of one shape are resampled together, so that the last bit depends on how many they are.
        shown = (expected.value, expected.low, expected.high)
        assert (row["difference"], row["low"], row["high"]) == pytest.approx(shown, abs=1e-13)
        assert (row["mean_a"], row["mean_b"]) == pytest.approx((mean(pooled, a), mean(pooled, b)), abs=1e-12)
        if b == reference(a):  # the text of the page's table; of few records, for those of nine methods take their time
            frame = tables.summary([r for r in records if r.spec.method == a]).frame.set_index("evaluation")
            (shown,) = (v[a] for k, v in frame.items() if k.startswith("difference"))
            assert shown.startswith(f"{100 * row['difference']:+.2f} ({100 * row['low']:+.2f} to {100 * row['high']:+.2f})")
        values = [np.stack([s.values for s in pooled.scores[name].values()]) for name in (a, b)]
        gaps = (values[0] - values[1]).mean(0)
        assert (row["better"], row["worse"]) == ((gaps > 5e-7).sum(), (gaps < -5e-7).sum())
        assert row["images"] == 500 == row["better"] + row["alike"] + row["worse"]
        assert row["p"] == two_sided(values[0] - values[1])


def test_p_values_are_corrected_for_all_that_is_printed(capsys):
    some = compare(capsys, "base+swap", "base", "dora", "--dataset", "camo-mini", results=few())
    assert [(r["a"], r["b"]) for r in some["comparisons"]] == [("base+swap", "base"), ("base+swap", "dora")]
    every = compare(capsys, "base+swap", "base", "dora", "--all-pairs", "--dataset", "camo-mini", results=few())
    assert [(r["a"], r["b"]) for r in every["comparisons"]][2:] == [("base", "dora")] and every[
        "correction"
    ] == "Holm, 3 comparisons"
    for made in (some, every):
        assert [r["p_corrected"] for r in made["comparisons"]] == holm([r["p"] for r in made["comparisons"]])
    assert [r["p"] for r in some["comparisons"]] == [r["p"] for r in every["comparisons"]][:2]


def test_less_is_better_where_it_is(capsys):
    (row,) = compare(capsys, "dora+swap", "base", "--dataset", "depth-mini")["comparisons"]
    assert row["metric"] == "mse" and not row["higher_is_better"] and row["difference"] < 0
    assert row["better"] == 6 and row["result"] == "dora+swap is better"
    (other,) = compare(capsys, "dora+swap", "base", "--dataset", "depth-mini", "--metric", "delta1")["comparisons"]
    assert other["metric"] == "delta1" and other["difference"] > 0 and other["result"] == "dora+swap is better"


def _pair(folder: Path, gaps: np.ndarray) -> list:
    """dora+swap and dora of one seed whose scores differ by `gaps`."""
    images, base = [f"camo-{k}" for k in range(len(gaps))], np.full(len(gaps), 0.5)
    made = []
    for name, values in (("dora", base), ("lora", base + gaps)):
        values = [round(float(v), 6) for v in values]
        e = {"name": name, "role": "method", "scores": {"miou": values}}
        e["metrics"] = {"miou": {"value": sum(values) / len(values), "low": 0.0, "high": 1.0}}
        record = example(name, 0, held=[name], images=images)
        made.append(str(put(folder / name, changed(record, evaluations=[e])) / "0.json"))
    return pairs(made, RESULTS, Wanted())[0]


def test_what_no_difference_means(tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.1, 60)
    (row,) = rows(_pair(tmp_path / "noise", noise - noise.mean()))
    assert row.verdict == NOTHING and row.p > 0.9 and row.estimate.tie
    (row,) = rows(_pair(tmp_path / "sure", noise - noise.mean() - 0.1))
    assert row.verdict.endswith("lora/0.json is better") is False and row.verdict.endswith("dora/0.json is better")
    (row,) = rows(_pair(tmp_path / "same", np.zeros(60)))
    assert row.verdict == NOTHING and (row.better, row.alike, row.worse, row.p) == (0, 60, 0, 1.0)
    barely = noise - noise.mean() + 2.4 * noise.std(ddof=1) / 60**0.5  # p near 0.02
    ours = _pair(tmp_path / "barely", barely)
    (row,) = rows(ours)
    assert row.shown and 0.01 < row.p < 0.04
    many = rows(ours * 5)
    assert all(r.verdict == AFTER and r.holm == pytest.approx(5 * r.p) for r in many)


def test_the_terminal_says_it_in_words(capsys):
    assert main(["--quiet", "compare", "dora+swap", "dora", "--results", str(ROOT / "results")]) == 0
    shown = capsys.readouterr().out
    assert all(len(line) <= 110 for line in shown.splitlines())
    words = " ".join(shown.split())
    assert "3 comparisons of this call" in words and "dora+swap is better" not in words and "Seeds 0, 1, 2." in words


ORIGINAL = example("dora", 0, protocol=CAMO)
OTHERS = {
    "protocol": (
        {"protocol": CAMO | {"prompt": "centroid"}, "protocol_hash": hash_of(CAMO | {"prompt": "centroid"})},
        r'protocol versions differ \(mini-v1 \w{8} and mini-v1 \w{8}: prompt "interior point" and "centroid"\)',
    ),
    "weights": ({"weights": {"sam-mini": "1" * 64}}, r"weights differ \(sam-mini 00000000 and sam-mini 11111111\)"),
    "images": ({"data": "abc"}, r"images differ \(data  ?and abc\)"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_may_not_be_compared_is_refused_with_the_reason(what, tmp_path):
    parts, reason = OTHERS[what]
    one = put(tmp_path / "one", ORIGINAL) / "0.json"
    other = put(tmp_path / "other", changed(ORIGINAL, **parts)) / "0.json"
    with pytest.raises(UsageError, match=f"may not be compared: .*{reason}"):
        pairs([str(one), str(other)], RESULTS, Wanted())


def test_other_precisions_images_seeds_and_metrics_are_refused(tmp_path):
    one = str(put(tmp_path / "one", ORIGINAL) / "0.json")
    half = str(put(tmp_path / "half", example("dora", 0, protocol=CAMO, precision="bfloat16")) / "0.json")
    with pytest.raises(UsageError, match=r"precisions differ \(float32 and bfloat16\)"):
        pairs([one, half], RESULTS, Wanted())
    fewer = str(put(tmp_path / "fewer", example("lora", 0, protocol=CAMO, held=["lora"], images=ORIGINAL.images[:5])) / "0.json")
    with pytest.raises(UsageError, match="cannot be paired: different test images"):
        rows(pairs([one, fewer], RESULTS, Wanted())[0])
    later = str(put(tmp_path / "later", example("lora", 1, protocol=CAMO, held=["lora"])) / "0.json")
    with pytest.raises(UsageError, match="cannot be paired: no seed in common"):
        rows(pairs([one, later], RESULTS, Wanted())[0])
    with pytest.raises(UsageError, match="has no dice; choose --metric from: miou"):
        rows(pairs([one, str(put(tmp_path / "again", ORIGINAL) / "0.json")], RESULTS, Wanted())[0], "dice")


def test_files_of_two_tiers_are_compared_and_the_table_says_so(tmp_path, capsys):
    verified = put(tmp_path / "results" / "verified", *(example("dora", s, protocol=CAMO) for s in range(3)))
    community = put(tmp_path / "results" / "community", *(example("lora", s, protocol=CAMO, held=["lora"]) for s in (1, 2, 5)))
    with pytest.raises(UsageError, match="tiers differ .*compared only where the records are named by path"):
        pairs(["lora", "dora"], tmp_path / "results", Wanted())
    assert main(["compare", str(community), "dora", "--results", str(tmp_path / "results")]) == 0
    shown = capsys.readouterr().out
    assert "tier community against verified" in shown and "Seeds 1, 2." in shown
    assert re.search(r"seeds\s+that\s+the\s+other\s+lacks\s+are\s+left\s+out:\s+5", shown)
    assert re.search(r"seeds\s+that\s+the\s+other\s+lacks\s+are\s+left\s+out:\s+0", shown)
    assert main(["compare", f"{verified}:base", f"{community}:lora", "--json"]) == 0


def test_names_that_mean_nothing_or_too_much(tmp_path, capsys):
    for words, said in (
        (["dorra", "base"], "did you mean dora"),
        (["base"], "two names or more"),
        (["base", "base"], "stands twice"),
        (["dora", "nowhere/x.json"], "there is no record or folder nowhere/x.json"),
        (["dora", "lora", "--tier", "verified"], "lora is on no board that the flags leave; it is on: cod10k (community"),
        (["dora", "lora"], "have no board in common"),
        ([str(RESULTS / "verified/mini-v1/depth-mini"), "base"], "holds base+swap, dora+swap; say which, such as "),
        ([str(tmp_path), "base"], "there is no record in"),
        (["dora", "base", "--plot", "x.png"], "--plot writes SVG; name it x.svg"),
    ):
        assert main(["compare", *words, "--results", str(RESULTS)]) == 2
        assert said in capsys.readouterr().err
    put(tmp_path / "verified", *(example("base", s) for s in range(2)))
    put(tmp_path / "community", *(example("base", s) for s in range(2)))
    mine = put(tmp_path / "mine", example("dora", 0)) / "0.json"
    assert main(["compare", str(mine), "base", "--results", str(tmp_path)]) == 2
    assert "in several tiers: community, verified; add --tier" in capsys.readouterr().err
    assert main(["compare", str(mine), "base", "--results", str(tmp_path), "--tier", "verified"]) == 0
    failed = put(tmp_path / "failed", example("dora", 0, error="out of \x1b[31mmemory")) / "0.json"
    assert main(["compare", str(failed), "base"]) == 2
    assert "\x1b" not in (said := capsys.readouterr().err) and "has nothing to compare: out of" in said


def test_a_name_is_a_name_though_a_folder_is_called_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "dora", example("lora", 0, held=["lora"]))
    put(tmp_path / "results" / "verified", example("dora", 0))
    (found,), _ = pairs(["dora", "base"], tmp_path / "results", Wanted())
    assert not found.a.files
    (found,), _ = pairs(["./dora", "dora"], tmp_path / "results", Wanted())
    assert found.a.files and found.a.name == "lora"


def _made(capsys, *words: str) -> dict:
    capsys.readouterr()
    assert main(["--quiet", "compare", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_picture_is_well_formed_and_holds_every_image(tmp_path, capsys):
    picture = tmp_path / "out.svg"
    words = ["base+swap", "base", "--results", str(ROOT / "results"), "--dataset", "camo-mini", "--plot", str(picture)]
    assert main(["--quiet", "compare", *words]) == 0
    root = ElementTree.parse(picture).getroot()
    space = "{http://www.w3.org/2000/svg}"
    paths = [p.get("d") for p in root.iter(f"{space}path")]
    assert sum(d.count("h0") for d in paths) == 500  # dots
    (row,) = _made(capsys, *words[:-2])["comparisons"]
    assert sum(d.count("V") for d in paths) == row["better"] + row["worse"]
    texts = [t.text for t in root.iter(f"{space}text")]
    assert "0" in texts and any("no difference shown" in t or "is better" in t for t in texts)
    size = [float(x) for x in root.get("viewBox").split()]
    for mark in root.iter(f"{space}circle"):
        assert 0 <= float(mark.get("cx")) <= size[2] and 0 <= float(mark.get("cy")) <= size[3]


def test_hostile_names_are_inert_in_picture_and_terminal(tmp_path, capsys):
    bad = "ev<il>&\"'\x1b[2J"
    e = example("dora", 0).evaluation("dora").model_dump() | {"name": bad}
    record = example("dora", 0)
    put(tmp_path / "community", changed(record, evaluations=[x.model_dump() for x in record.evaluations] + [e]))
    found = rows(pairs(["dora", bad], tmp_path, Wanted())[0])
    text = plot(found)
    ElementTree.fromstring(text)
    assert "\x1b" not in text and "<il>" not in text
    assert main(["compare", bad, "dora", "--results", str(tmp_path)]) == 0
    assert "\x1b" not in capsys.readouterr().out
    assert main(["compare", bad + "x", "dora", "--results", str(tmp_path)]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_all_alike_and_large_numbers_make_a_picture_too(tmp_path):
    for task in ("depth", "classification"):
        put(tmp_path / "verified", *(measured(task, "dora+swap", s) for s in range(3)))
        text = plot(rows(pairs(["dora+swap", "dora"], tmp_path, Wanted())[0]))
        ElementTree.fromstring(text)
        assert "nan" not in text and "inf" not in text.replace("interval", "")
    ElementTree.fromstring(plot(rows(_pair(tmp_path / "same", np.zeros(5)))))
