"""The board: golden pages from small example records, every number of a page derived again, and hostile input."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from benchmarks.board.build import build, check, render, site
from benchmarks.board.collect import EMBEDDED, Kept, boards, collect
from benchmarks.board.front import front
from benchmarks.board.overview import overview
from benchmarks.board.pool import difference, metrics_of, ordered, pool, reference
from benchmarks.board.stage_costs import stage_costs
from benchmarks.board.tables import cost, headline, missing_seeds, other_metrics, search_table, summary, unit
from benchmarks.board.text import MARK, Table, escape, markdown, plain, terminal
from benchmarks.columns import WIDTH
from benchmarks.errors import MissingData, UsageError
from benchmarks.hashes import hash_of
from benchmarks.metrics.intervals import paired
from benchmarks.records import Record, dump
from tests.make_example_results import CAMO, GOLDEN, IMAGES, MINI, MINI_OTHER, RESULTS, example, examples, measured

AGAIN = "run `python tests/make_example_results.py --golden`, and read the difference before committing it"


def changed(record: Record, **parts) -> Record:
    """A copy with other top-level fields, checked again."""
    return Record.model_validate(record.model_dump() | parts)


def with_scores(record: Record, name: str, scores: list[float], images: list[str] | None = None) -> Record:
    """A copy in which the evaluation `name` is the only one and has these scores."""
    found = record.evaluation(name).model_dump() | {"scores": {"miou": scores}, "metrics": {}}
    return changed(record, evaluations=[found], images=images or record.images, comparisons=[], search=None)


def put(record: Record, path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dump(record), encoding="utf-8")


def rows_below(page: str, heading: str) -> list[dict[str, str]]:
    """The first Markdown table below a heading, a dict per row."""
    lines = page[page.index(heading) :].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    table = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return [dict(zip(table[0], row, strict=True)) for row in table[2:]]


@pytest.fixture(scope="module")
def pages():
    return render(RESULTS)


@pytest.fixture(scope="module")
def found():
    return collect(RESULTS)


def test_example_records_are_what_their_script_writes():
    on_disk = {p.relative_to(RESULTS).as_posix(): p.read_text(encoding="utf-8") for p in RESULTS.rglob("*.json")}
    assert on_disk == examples(), AGAIN


def test_golden_pages(pages):
    # The HTML page says the same again in another form: tests/test_html.py derives it, and no golden copy is kept.
    golden = {p.name: p.read_text(encoding="utf-8") for p in GOLDEN.iterdir()}
    drawn = {name for name in pages if name.endswith(".svg")}
    # Of the pictures those of a few boards are kept.
    assert golden == {name: text for name, text in pages.items() if name in golden or name not in drawn}, AGAIN
    assert drawn & set(golden) == {name for name in drawn if name.startswith("mini-v1-camo-")}


def test_rendering_is_repeatable_and_independent_of_the_place(pages, tmp_path):
    shutil.copytree(RESULTS, tmp_path / "elsewhere")
    assert render(tmp_path / "elsewhere") == pages
    assert not any(str(tmp_path) in text or str(RESULTS) in text for text in pages.values())


def test_every_record_is_on_a_board_or_dropped_with_its_reason(found):
    assert len(found.kept) + len(found.dropped) == sum(not name.startswith("cost/") for name in examples())
    reasons = {d.path.rsplit("/", 1)[1]: d.reason for d in found.dropped}
    assert sorted(reasons.values()) == ["duplicate", "failed", "failed", "invalid", "limited", "marked", "not verified"]
    assert all(d.detail and "\n" not in plain(d.detail) for d in found.dropped)
    assert reasons["cut-off.json"] == "invalid"
    older = next(d for d in found.dropped if d.reason == "duplicate")
    assert older.path.endswith("-older.json") and "is newer" in older.detail  # by time, over two time zones


def test_boards_keep_tiers_and_protocol_versions_apart(found):
    groups = boards(found.kept)
    assert {(b.tier, b.protocol_hash) for b in groups if b.dataset == "camo" and b.protocol == "mini-v1"} == {
        ("verified", hash_of(MINI)),
        ("verified", hash_of(MINI_OTHER)),
        ("community", hash_of(MINI)),
    }
    for board, records in groups.items():
        assert {(r.protocol_hash, r.spec.dataset, r.spec.backbone) for r in records} == {
            (board.protocol_hash, board.dataset, board.backbone)
        }
    with pytest.raises(ValueError, match="2 boards"):
        summary([example("base", 0), example("base", 0, protocol=MINI_OTHER)])


def test_every_score_and_difference_of_a_page_derived_again(pages):
    """From the JSON alone: means by hand, differences within the one record that holds both sides."""
    version = hash_of(MINI)
    raw = [
        json.loads(text)
        for name, text in examples().items()
        if name.startswith("verified/mini-v1/camo/") and "-older" not in name
    ]
    raw = [
        r
        for r in raw
        if r["protocol_hash"] == version
        and r["status"] == "done"
        and not r["marks"]
        and r["spec"]["limit"] is None
        and r["environment"]["dirty"] is False
    ]
    rows = rows_below(pages["mini-v1-camo.md"], f"version {version[:8]}\n")
    assert [r["evaluation"].split(" ")[0] for r in rows] == [
        "base",
        "base+best-of-three",
        "base+swap",
        "base+random-swap",
        "dora",
        "dora+swap",
        "dora+random-swap",
    ]
    compared = {
        "base+best-of-three": "base",
        "base+swap": "base",
        "base+random-swap": "base",
        "dora": "base",
        "dora+swap": "dora",
        "dora+random-swap": "dora",
    }
    for row in rows:
        name = row["evaluation"].split(" ")[0]
        held = [(r["spec"]["seed"], {e["name"]: e["scores"]["miou"] for e in r["evaluations"]}) for r in raw]
        of_seed = {seed: scores for seed, scores in held if name in scores}
        assert row["seeds"] == str(len(of_seed)) == "3"
        assert row["mIoU, points"] == f"{round(100 * sum(sum(s[name]) / 6 for s in of_seed.values()) / 3, 9):.2f}"
        assert row["compared with"] == compared.get(name, "")
        cell = row["difference, points (95 % interval)"]
        if name == "base":
            assert cell == ""
            continue
        gaps = np.array([np.subtract(of_seed[s][name], of_seed[s][compared[name]]) for s in sorted(of_seed)])
        interval = paired(gaps, np.zeros_like(gaps))
        shown = f"{100 * gaps.mean():+.2f} ({100 * interval.low:+.2f} to {100 * interval.high:+.2f})"
        assert cell == shown + (" tie" if interval.low <= 0 <= interval.high else "")
    by_name = {r["evaluation"]: r for r in rows}
    assert by_name["dora"]["trained parameters"] == "4,096 + 191,292 mask_decoder"
    assert by_name["base+swap"]["trained parameters"] == "0"


def test_captions_say_prompt_and_mask(pages):
    for name, text in pages.items():
        assert MARK in text.splitlines()[: 1 + name.endswith(".svg")]
        if re.fullmatch(r"(mini|paper)-v1-.*\.md", name):
            assert text.count("prompt: ") == text.count("mask choice: single") == text.count("; mask choice")
            assert text.count("mask choice: single") + text.count("; head: lin") == text.count("Test images: 6") >= 1
    assert "prompt: interior point" in pages["mini-v1-camo.md"] and "prompt: centroid" in pages["mini-v1-camo.md"]


def test_embedded_numbers_are_headed_plainly(pages):
    assert EMBEDDED in pages["mini-v1-camo.md"] and EMBEDDED in pages["README.md"]
    assert EMBEDDED not in pages["paper-v1-cod10k.md"]


def test_nothing_from_a_record_becomes_markup(pages):
    for name, text in pages.items():
        if name.endswith(".svg"):
            ElementTree.fromstring(text)
            continue
        prose = re.sub(r"```sh\n.*?```", "", text, flags=re.S)
        assert "<script>" not in prose and "](http" not in prose
        for table in re.findall(r"(?:^\|.*\n)+", prose, re.M):
            assert len({line.count("|") for line in table.splitlines()}) == 1  # no bar from a record adds a cell
    assert escape("a|`b`<i>&[x](y)\n\x1b[31m$z$") == ("a&#124;&#96;b&#96;&lt;i&gt;&amp;&#91;x&#93;(y) &#91;31m&#36;z&#36;")
    assert "\x1b" not in plain("\x1b[2J") and len(plain("x" * 1000)) == 300


@pytest.mark.parametrize(
    "sent, shown",
    [
        ("python -m benchmarks run --seeds 0", "python -m benchmarks run --seeds 0"),
        ("python -m benchmarks run; rm -rf $HOME", "python -m benchmarks 'run;' rm -rf '$HOME'"),
        ("rm -rf /", "# base, seed 0: not a command of ours"),
        ("python -m benchmarks run \n```\n<script>", "# base, seed 0: not a command of ours"),
        ("python -m benchmarks 'run", "# base, seed 0: not a command of ours"),
    ],
)
def test_a_command_can_be_pasted_and_cannot_leave_its_block(tmp_path, sent, shown):
    put(changed(example("base", 0), command=sent), tmp_path / "results/verified/a.json")
    assert f"```sh\n{shown}\n```" in render(tmp_path / "results")["mini-v1-camo.md"]


def test_hostile_names_give_safe_distinct_files(tmp_path):
    put(example("base", 0, dataset="../../etc/x"), tmp_path / "results/community/a.json")
    put(example("base", 0, dataset="CAMO"), tmp_path / "results/community/b.json")
    put(example("base", 0, dataset="camo"), tmp_path / "results/community/c.json")
    names = list(render(tmp_path / "results"))
    assert len({n.lower() for n in names}) == 4 and all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*\.md", n) for n in names)
    build(tmp_path / "results", tmp_path / "board")
    assert {p.name for p in tmp_path.rglob("*.md")} == set(names)


def test_rows_and_references():
    assert ordered(
        ["dora+random-swap", "lora", "dora+swap", "base+random-swap", "dora", "base+swap", "base", "base+best-of-three"]
    ) == ["base", "base+best-of-three", "base+swap", "base+random-swap", "dora", "dora+swap", "dora+random-swap", "lora"]
    assert [reference(n) for n in ("base", "base+best-of-three", "base+swap", "dora", "dora+swap", "dora+random-swap")] == [
        None,
        "base",
        "base",
        "base",
        "dora",
        "dora",
    ]


def test_only_shared_seeds_are_paired():
    records = [example("dora", s, held=["dora"]) for s in (0, 1, 2)] + [example("base", s) for s in (1, 2, 3)]
    assert difference(pool(records, "miou"), "dora", "base").seeds == (1, 2)
    cell = summary(records).frame.set_index("evaluation").filter(like="difference").loc["dora"].item()
    assert cell.endswith(", 2 of 3 seeds")
    apart = [example("dora", 0, held=["dora"]), example("base", 1)]
    assert difference(pool(apart, "miou"), "dora", "base").reason == "not paired: no seed in common with base"


def test_images_are_paired_by_id_not_by_place():
    base, dora = example("base", 0, held=["base"]), example("dora", 0, held=["dora"])
    turned = with_scores(dora, "dora", dora.evaluation("dora").scores["miou"][::-1], IMAGES[::-1])
    straight = difference(pool([base, dora], "miou"), "dora", "base")
    found = difference(pool([base, turned], "miou"), "dora", "base")
    assert found.estimate.value == pytest.approx(straight.estimate.value, abs=1e-12)
    assert found.estimate.low == pytest.approx(straight.estimate.low, abs=2e-4)  # the draws fall on other places


def test_other_test_images_are_not_paired():
    base = example("base", 0, held=["base"])
    other = example("dora", 0, held=["dora"], images=[*IMAGES[1:], "camo-6"])
    assert difference(pool([base, other], "miou"), "dora", "base").reason == "not paired: different test images"
    seeds = summary([base, example("base", 1, held=["base"], images=[*IMAGES[1:], "camo-6"])]).frame
    assert seeds["95 % interval"].item() == "none: the seeds have different test images"


def test_a_swap_is_compared_with_the_weights_that_it_was_searched_for():
    """Another training of its method, on another device, would make a gain of what is none."""
    swapped = measured("camo", "dora+swap", 1)
    scores = [max(0.0, x - 0.05) for x in swapped.evaluation("dora").scores["miou"]]
    other = with_scores(measured("camo", "dora+swap", 1), "dora", scores)
    spec = other.spec.model_dump() | {"method": "dora"}
    other = changed(other, spec=spec, spec_hash=hash_of(spec))
    for records in ([other, swapped], [swapped, other]):
        joined = pool(records, "miou")
        gap = difference(joined, "dora+swap", "dora")
        assert gap.estimate.value == pytest.approx(swapped.search.test_gain) and joined.holders["dora"] == [swapped]
        assert joined.notes[0].startswith("dora, seed 1: scores differ by up to 0.05 between records")
    kept = tuple(Kept(f"community/{k}.json", "community", record) for k, record in enumerate((other, swapped)))
    rows = front(kept, {board: summary(records) for board, records in boards(kept).items()})["rows"]
    (row,) = [row for row in rows if row["name"] == "dora"]
    assert row["runs"][0]["by"] == "dora+swap"


def test_records_that_disagree_on_one_evaluation_are_noted():
    base, dora = example("base", 0), example("dora", 0)
    assert summary([base, dora]).notes == ()
    scores = base.evaluation("base").scores["miou"]
    moved = with_scores(dora, "base", [scores[0] + 0.01, *scores[1:]])
    assert summary([base, moved]).notes == ("base, seed 0: scores differ by up to 0.01 between records; one was taken",)
    assert "differ by up to" in terminal(summary([base, moved])) and "differ by up to" in markdown(summary([base, moved]))


def test_a_swap_that_changes_nothing_is_a_tie():
    record = example("base+swap", 0)
    same = record.evaluation("base").scores["miou"]
    evaluations = [
        record.evaluation("base").model_dump(),
        record.evaluation("base+swap").model_dump() | {"scores": {"miou": same}, "metrics": {}},
    ]
    cell = summary([changed(record, evaluations=evaluations, comparisons=[])]).frame.iloc[1, 5]
    assert cell == "+0.00 (+0.00 to +0.00) tie"


@pytest.mark.parametrize(
    "dirty, why",
    [
        (True, "it ran with uncommitted changes"),
        (None, "it is unknown whether its tree was clean"),
    ],
)
def test_verified_wants_a_tree_known_to_be_clean(tmp_path, dirty, why):
    for tier in ("verified", "community"):
        put(example("base", 0, dirty=dirty), tmp_path / tier / "a.json")
        put(example("base", 1), tmp_path / tier / "b.json")
    found = collect(tmp_path)
    assert [k.path for k in found.kept] == ["community/a.json", "community/b.json", "verified/b.json"]
    assert [(d.path, d.reason, d.detail) for d in found.dropped] == [("verified/a.json", "not verified", why)]
    assert f"- verified/a.json: not verified: {why}\n" in render(tmp_path)["README.md"]


def test_a_verified_board_names_the_seeds_it_lacks(tmp_path):
    for tier in ("verified", "community"):
        for record in (example("base", 0), example("base", 1), example("base", 2), example("base+swap", 1)):
            put(record, tmp_path / tier / f"{record.spec.method}{record.spec.seed}.json")
    page, index = (render(tmp_path)[name] for name in ("mini-v1-camo.md", "README.md"))
    note = "- Note: of the protocol's 3 seeds, missing: 0, 2, for base+swap, base+random-swap\n"
    assert page.count(note) == 1 and page.index(note) < page.index("## Community")
    assert "| verified (seeds missing) |" in index
    (tmp_path / "verified/base+swap1.json").unlink()
    assert "missing:" not in render(tmp_path)["mini-v1-camo.md"] and "seeds missing" not in render(tmp_path)["README.md"]


@pytest.mark.parametrize("seeds", [None, 3, "012", [None, "0", [1], True], {"a": 1}])
def test_seeds_of_a_protocol_that_are_no_numbers_lack_nothing(seeds):
    assert missing_seeds([example("base", 0, protocol=MINI | {"seeds": seeds})]) == [] == missing_seeds([])


def test_precisions_stand_apart(found):
    assert {b.precision for b in boards(found.kept) if b.tier == "community" and b.dataset == "camo"} == {"float32", "bfloat16"}
    with pytest.raises(ValueError, match="2 boards"):
        summary([example("base", 0), example("base", 0, precision="bfloat16")])
    assert "Precision bfloat16." in summary([example("base", 0, precision="bfloat16")]).caption


def test_a_random_swap_is_a_control_whatever_its_record_says():
    record = example("base+swap", 0)
    evaluations = [e.model_dump() | {"role": "method"} for e in record.evaluations]
    names = summary([changed(record, evaluations=evaluations)]).frame["evaluation"]
    assert list(names) == ["base", "base+best-of-three", "base+swap", "base+random-swap (control)"]


def test_a_terminal_gets_one_caption_and_at_most_110_columns(found):
    for records in boards(found.kept).values():
        others = [table] if (table := other_metrics(records)) else []
        for table in (summary(records, further=False), *others, search_table(records), *cost(records)):
            text = terminal(table)
            assert max(map(len, text.splitlines())) <= WIDTH == 110
            words = sorted(w for cell in table.frame.to_numpy().ravel() for w in cell.split())
            body = sorted(text.split())
            assert all(body.count(w) >= words.count(w) for w in set(words))  # wrapped, never cut
            assert text.startswith(table.caption[:40]) and text.count("Task camo") == table.caption.count("Task camo")
    header = terminal(summary([example("dora+swap", s) for s in range(3)])).splitlines()[3]
    assert re.split("  +", header) == ["evaluation", "mIoU", "95 % interval", "seeds", "vs", "difference (95 %)", "trained"]
    long = Table("", pd.DataFrame([{"a": "x" * 200, "b": "y z"}]))
    assert "x" * 200 in terminal(long)  # a word is never broken


def test_notes_of_a_record_that_stands_on_no_board():
    notes = summary([example("dora", 0, limit=2), example("dora", 1, marks=["dirty tree"])]).notes
    assert notes == (
        "dora, seed 0: limited to 2 test images, so it stands on no board",
        "dora, seed 1: kept off the boards: dirty tree",
    )
    failed = summary([example("dora", 0, error="out of memory")])
    assert failed.frame.empty and "failed: out of memory" in terminal(failed) and "Nothing was evaluated." in terminal(failed)
    assert summary([]).frame.empty


def test_further_metrics_are_shown_and_lower_may_be_better():
    record = example("base", 0, held=["base"])
    evaluation = record.evaluation("base").model_dump()
    evaluation["scores"]["mae"] = [0.1] * 6
    table = summary([changed(record, evaluations=[evaluation])]).frame
    assert table["MAE (lower is better)"].item() == "0.100"
    assert unit("rmse").show(0.45) == "0.450" and unit("unknown").header == "unknown, points"
    assert unit("miou").show(0.58245) == unit("miou").show(0.58245 - 1e-16)
    assert unit("miou").show(-0.000001) == "0.00" and unit("miou").show(-0.000001, True) == "+0.00"


def test_where_lower_is_better_the_best_is_the_lowest_and_gains_point_up():
    records = [measured("depth", method, seed) for method in ("base+swap", "dora+swap") for seed in range(3)]
    assert metrics_of(records) == ["mse", "abs_rel", "rmse", "delta1"]  # the records name another one first
    frame = summary(records, further=False).frame.set_index("evaluation")
    head, gap = "MSE, m² (lower is better)", "difference, m² (95 % interval; below 0 is better)"
    by_hand = {
        name: np.mean([np.mean(r.evaluation(name).scores["mse"]) for r in records if r.evaluation(name)])
        for name in ("base", "base+swap", "dora", "dora+swap")
    }
    assert {name: frame.loc[name, head] for name in by_hand} == {name: f"{value:.4f}" for name, value in by_hand.items()}
    assert frame.loc["base+swap", gap].startswith(f"{by_hand['base+swap'] - by_hand['base']:+.4f} (-")
    line = headline(records)
    assert line["metric"] == head and line["best method"] == f"dora+swap: {min(by_hand.values()):.4f}"
    swaps = search_table(records)
    assert swaps.frame["test gain, m²"][0] == f"{by_hand['base'] - by_hand['base+swap']:+.4f}"
    assert swaps.caption.endswith("A gain is how much the MSE falls.") and "head passes" in swaps.frame
    seen = overview({"depth-mini": records, "camo-mini": [measured("camo", "base+swap", 0)]})
    assert f"depth-mini ({head})" in seen.frame and seen.caption.endswith("A difference of MSE below 0 is a gain.")


def test_other_metrics_stand_in_a_table_of_their_own():
    records = [measured("camo", "dora+swap", seed) for seed in range(3)]
    frame = other_metrics(records).frame
    assert list(frame["method"]) == ["base", "dora", "dora+swap"]  # controls do not count
    names = ("dice", "s_measure", "e_adaptive", "e_mean", "e_max", "weighted_f", "mae")
    assert list(frame)[1:] == [unit(name).header for name in names]
    dice = np.mean([np.mean(r.evaluation("dora").scores["dice"]) for r in records])
    assert frame["Dice, points"][1] == f"{100 * dice:.2f}"
    assert not set(frame) & set(summary(records, further=False).frame)
    assert other_metrics([example("base+swap", 0)]) is None is other_metrics([])


def test_a_search_of_another_score_has_no_difference_to_the_test_gain():
    record = measured("depth", "base+swap", 0)
    other = changed(record, search=record.search.model_dump() | {"objective": "abs_rel <b>"})
    row = search_table([other]).frame.iloc[0]
    assert row["search gain, m²"] == "+0.06" and row["search gain - test gain"] == "another score"
    assert "The search scored abs_rel <b>." in search_table([other]).caption


@pytest.mark.parametrize("ranked", [None, 3, ["miou"], {"a": 1}, "unmeasured"])
def test_a_protocol_that_names_no_measured_metric_ranks_by_the_first(ranked):
    record = example("base", 0, metrics=("dice", "miou"))
    protocol = CAMO | {"metric": ranked}
    odd = changed(record, protocol=protocol, protocol_hash=hash_of(protocol))
    assert metrics_of([odd]) == ["dice", "miou"] and metrics_of([]) == []
    assert headline([odd])["metric"] == "Dice, points"


def test_how_to_read_speaks_of_the_metrics_at_hand(tmp_path):
    put(example("base", 0), tmp_path / "a" / "verified" / "a.json")
    put(measured("depth", "base+swap", 0), tmp_path / "b" / "verified" / "b.json")
    masks, depth = (render(tmp_path / name)["README.md"] for name in "ab")
    assert "**Points.** mIoU" in masks and not any(w in masks for w in ("**MSE.**", "**Lower is better**", "**Other metrics**"))
    assert all(w in depth for w in ("**MSE.**", "**Lower is better**", "**Other metrics**")) and "**Points.**" not in depth


def test_times_of_two_devices_never_share_a_table():
    tables = cost([example("dora", 0), example("dora", 1), example("dora", 2, device="gpu: example")])
    assert [t.caption for t in tables] == [
        "Cost of each stage, median over runs, on cpu: two cores.",
        "Cost of each stage, on gpu: example.",
    ]
    assert list(tables[0].frame["seconds"]) == ["30.50", "1.25"] and list(tables[1].frame["seconds"]) == ["32.00", "1.25"]
    assert list(cost([example("dora+swap", 0)])[0].frame["from cache"]) == ["yes", "no", "no"]


def test_a_stage_that_a_method_and_its_swap_share_counts_once():
    (table,) = stage_costs([example("dora+swap", 0), example("dora", 0), example("dora", 1)])
    (row,) = table.frame.to_dict("records")
    assert (row["method"], row["seeds"], row["train, s"]) == ("dora", "2", "30.5")  # of seeds 0 and 1
    two = stage_costs([example("dora", 0), example("dora", 2, device="gpu: example")])
    assert [t.caption.rpartition(", on ")[2] for t in two] == ["cpu: two cores.", "gpu: example."]
    assert "base" not in set(two[0].frame["method"])  # another's evaluation, carried along


def test_the_figures_of_who_computed_a_stage_count():
    record = example("base", 0)
    stage = record.stages[0].model_dump()
    later = changed(record, stages=[stage | {"cached": True, "seconds": 99.0}])
    for records in ([record, later], [later, record]):
        (table,) = stage_costs(records)
        assert table.frame["evaluate, s"].item() == f"{stage['seconds']:.1f}"


def mean_of(records: list[Record], name: str) -> str:
    return f"{100 * np.mean([np.mean(r.evaluation(name).scores['miou']) for r in records]):.2f}"


def test_overview_has_a_row_a_method_and_its_numbers_are_those_of_the_pages():
    seeds = [example(name, seed) for name in ("base+swap", "dora", "dora+swap") for seed in range(3)]
    other = [example("base", 0, dataset="other")]
    frame = overview({"camo": seeds, "other": other}).frame
    assert list(frame["method"]) == ["base", "dora"]
    full = summary(seeds).frame.set_index("evaluation")
    for method in ("base", "dora"):
        row = frame.set_index("method").loc[method]
        assert row["camo"] == full.loc[method, "mIoU, points"]
        assert row["+swap, camo"] == full.loc[f"{method}+swap", "difference, points (95 % interval)"]
    assert list(frame["+swap, other"]) == ["", ""] and frame["other"][0] and not frame["other"][1]
    assert overview({}).frame.empty


def test_the_index_sets_datasets_side_by_side(tmp_path):
    for seed in range(2):
        put(example("dora+swap", seed), tmp_path / "verified" / f"a{seed}.json")
        put(example("dora+swap", seed, dataset="other"), tmp_path / "verified" / f"b{seed}.json")
    put(example("dora+swap", 0, dataset="third", precision="bfloat16"), tmp_path / "verified" / "c.json")
    index = render(tmp_path)["README.md"]
    (row,) = (r for r in rows_below(index, "### Verified: sam-mini") if r["method"] == "dora")
    assert row["camo"] == row["other"] == mean_of([example("dora+swap", s) for s in range(2)], "dora")
    assert "third" not in row and index.count("### Verified: ") == 1  # one dataset alone has its page


def test_two_versions_of_a_method_from_outside_are_never_one_row(tmp_path):
    """Its newest run says which version counts; the records of the other are listed with the reason."""
    for seed, digit, hour in ((0, "a", 10), (1, "b", 12), (2, "b", 11)):
        record = example("dora", seed, started=f"2026-01-02T{hour}:00:00+00:00")
        origin = {"place": "my.py:Mine", "sha256": 64 * digit}
        put(changed(record, origin=origin), tmp_path / "community" / f"{seed}.json")
    pages = render(tmp_path)
    (row,) = (r for r in rows_below(pages["mini-v1-camo.md"], "## Community") if r["evaluation"] == "dora")
    assert row["seeds"] == "2"
    assert "community/0.json: other version: community/1.json is newer" in pages["README.md"]


def test_commands_that_differ_by_the_seed_are_one(tmp_path):
    for seed in (2, 0, 10):
        words = f"python -m benchmarks run --task camo --method base --seeds {seed} --precision float32"
        put(changed(example("base", seed), command=words), tmp_path / "verified" / f"{seed}.json")
    page = render(tmp_path)["mini-v1-camo.md"]
    assert "python -m benchmarks run --task camo --method base --seeds 0,2,10 --precision float32\n```" in page


def test_a_seed_of_thousands_of_digits_stops_no_page(tmp_path):
    words = f"python -m benchmarks run --task camo --method base --seeds {'9' * 5000}"
    put(changed(example("base", 0), command=words), tmp_path / "community" / "0.json")
    assert "python -m benchmarks run --task camo" in render(tmp_path)["mini-v1-camo.md"]


def test_search_table():
    frame = search_table([example("dora+swap", 1), example("dora", 1)]).frame
    row = frame.iloc[0]
    assert row["decoder passes"] == "960"
    assert (
        len(frame) == 1 and row["pairs (redundant<-effective)"] == "3<-7, 6<-1" and row["combinations that cannot stand"] == "10"
    )
    gaps = [float(row[c]) for c in ("search gain, points", "test gain, points", "search gain - test gain")]
    assert gaps[2] == pytest.approx(gaps[0] - gaps[1], abs=0.011)
    empty = example("dora+swap", 0).search.model_dump() | {"pairs": [], "test_gain": None}
    row = search_table([changed(example("dora+swap", 0), search=empty)]).frame.iloc[0]
    assert row["pairs (redundant<-effective)"] == "none: no pair helped" and row["test gain, points"] == "not measured"


def test_collect_survives_any_file(tmp_path):
    folder = tmp_path / "verified"
    folder.mkdir()
    nothing = example("base", 0, held=["base"]).model_dump(mode="json")
    nothing |= {"images": []}
    nothing["evaluations"][0]["scores"] = {"miou": []}
    contents = {
        "empty": b"",
        "bytes": b"\xff\xfe\x00",
        "list": b"[1]",
        "deep": b"[" * 100_000,
        "none": b"null",
        "no-images": json.dumps(nothing).encode(),
        "hollow": json.dumps(example("base", 0).model_dump(mode="json") | {"evaluations": []}).encode(),
    }
    for name, content in contents.items():
        (folder / f"{name}.json").write_bytes(content)
    (folder / "folder.json").mkdir()
    (folder / "gone.json").symlink_to(tmp_path / "nowhere")
    found = collect(tmp_path)
    assert not found.kept and len(found.dropped) == len(contents) + 2
    assert all(d.reason == "invalid" and d.detail and str(tmp_path) not in d.detail for d in found.dropped)
    assert "No record yet." in render(tmp_path)["README.md"]


def test_build_writes_what_changed_and_removes_only_its_own(tmp_path):
    results, out = tmp_path / "results", tmp_path / "board"
    shutil.copytree(RESULTS, results)
    names = list(site(results))
    assert sorted(check(results, out)) == sorted(f"missing: {name}" for name in names)
    assert sorted(p.name for p in build(results, out)) == sorted(names)
    assert check(results, out) == [] and build(results, out) == []
    (out / "notes.md").write_text("by hand\n")
    (out / "old.md").write_text(f"{MARK}\n\n# Old\n")
    (out / "old.html").write_text(f"<!doctype html>\n{MARK}\n")
    (out / "mine.html").write_text("<!doctype html>\n<title>by hand</title>\n")
    for name in ("mini-v1-camo.md", "index.html"):
        with (out / name).open("a") as file:
            file.write("altered\n")
    faults = ["differs: index.html", "differs: mini-v1-camo.md", "stale: old.html", "stale: old.md"]
    assert sorted(check(results, out)) == faults
    assert build(results, out) == [out / name for name in ("index.html", "mini-v1-camo.md", "old.html", "old.md")]
    assert check(results, out) == [] and {"notes.md", "mine.html"} < {p.name for p in out.iterdir()}
    assert not (out / "old.md").exists() and not (out / "old.html").exists()


def test_build_does_not_overwrite_a_page_written_by_hand(tmp_path):
    (tmp_path / "README.md").write_text("by hand\n")
    with pytest.raises(UsageError, match="move it away"):
        build(RESULTS, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["README.md"]


def test_no_results_folder_is_an_error_that_can_be_mended(tmp_path):
    with pytest.raises(MissingData, match="python -m benchmarks run"):
        render(tmp_path / "nowhere")


def test_the_board_imports_nothing_heavy():
    heavy = ("torch", "peft", "transformers", "timm")
    program = f"import sys, benchmarks.board.build; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
