"""The tables of the paper and of the embedded suite: every number derived again from the JSON of the records, and each reason."""

from __future__ import annotations

import csv
import html
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks.board.build import render
from benchmarks.board.grid_page import UNVERIFIED
from benchmarks.board.paper_page import UNMEASURED
from benchmarks.catalog import BACKBONES, DATASETS
from benchmarks.hashes import hash_of
from benchmarks.metrics.intervals import bootstrap, paired
from benchmarks.printed import printed
from benchmarks.protocols import rules_of
from tests.make_example_results import REFERENCE, RESULTS, cell, cost
from tests.test_board import put

SCALE = {"miou": (100, 2), "accuracy": (100, 2), "mse": (1, 4), "abs_rel": (1, 3), "delta1": (1, 3)}
LABEL = {"MSE": "mse", "AbsRel": "abs_rel", "delta1": "delta1", "accuracy": "accuracy", "mIoU": "miou"}
SIZES = {"T": "t", "S": "s", "B+": "b+", "L": "l"}
BACKBONE = (
    {f"SAM ViT-{s}": f"sam-vit-{s.lower()}" for s in "BLH"}
    | {f"SAM2 Hiera-{s}": f"sam2.1-hiera-{t}" for s, t in SIZES.items()}
    | {f"SAM2 Hiera-{s}, first release": f"sam2-hiera-{t}" for s, t in SIZES.items()}
    | {f"ViT-{s}": f"dinov2-vit-{s.lower()}" for s in "SB"}
    | {name: name for name in ("sam-mini", "sam2-mini", "dino-mini")}
)
METHOD = {
    "Decoder": "decoder", "Encoder": "encoder", "MedSAM": "medsam", "SAMed": "lora", "SAM-COBOT": "cobot",
    "SAM-Adapter": "adapter", "SAM-PARSER": "sam-parser", "DoRA": "dora",
}  # fmt: skip


@pytest.fixture(scope="module")
def pages():
    return render(RESULTS)


@pytest.fixture(scope="module")
def raw():
    """(tier, record) of what may stand on a board, read with json alone, the newest of equal runs."""
    newest = {}
    for path in sorted(RESULTS.glob("*/*/*/*.json")):
        try:
            record = json.loads(path.read_text())
        except ValueError:
            continue
        tier = path.relative_to(RESULTS).parts[0]
        sound = record["status"] == "done" and not record["marks"] and record["spec"]["limit"] is None
        if sound and (tier == "community" or record["environment"]["dirty"] is False):
            same = (tier, record["spec_hash"], record["protocol_hash"], str(record["weights"]), record["data"])
            newest[same] = max(
                newest.get(same, record), record, key=lambda r: np.datetime64(r["started"][:19])
            )  # all but one in UTC
    return [(key[0], record) for key, record in newest.items()]


def scores(raw, tier, dataset, backbone, method, metric) -> np.ndarray | None:
    """(seeds, images) of a cell: the installed protocol, float32; images by id in the order of the first record."""
    version = rules_of(DATASETS.get(dataset)).for_family(BACKBONES.get(backbone).family).hash
    found, order = {}, None
    for where, r in raw:
        spec = r["spec"]
        here = (where, spec["dataset"], spec["backbone"], spec["precision"]) == (tier, dataset, backbone, "float32")
        if here and r["protocol_hash"] == version:
            for e in r["evaluations"]:
                if e["name"] == method and metric in e["scores"]:
                    order = order or r["images"]
                    by_image = dict(zip(r["images"], e["scores"][metric]))
                    found.setdefault(spec["seed"], [by_image[i] for i in order])
    return np.array([found[s] for s in sorted(found)]) if found else None


def tables(page: str, heading: str) -> list[list[dict[str, str]]]:
    """The tables of a section, each a list of rows. Cells are unescaped."""
    level = heading.split(" ")[0]
    rest = page[page.index(f"\n{heading}\n") + len(heading) + 2 :]
    section = re.split(rf"\n#{{1,{len(level)}}} ", rest)[0]
    found = []
    for block in re.findall(r"(?:^\|.*\n?)+", section, re.M):
        lines = [[c.strip() for c in line.strip().strip("|").split("|")] for line in block.splitlines()]
        lines = [[html.unescape(c) for c in line] for line in lines]
        found.append([dict(zip(lines[0], line, strict=True)) for line in lines[2:]])
    return found


def show(value: float, metric: str, sign: str = "") -> str:
    scale, places = SCALE[metric]
    return f"{round(round(value * scale, 9), places) + 0.0:{sign}.{places}f}"


def span(e, metric: str, sign: str = "") -> str:
    value, low, high = e if isinstance(e, tuple) else (e.value, e.low, e.high)
    tie = " tie" if sign and low <= 0 <= high else ""
    return f"{show(value, metric, sign)} ({show(low, metric, sign)} to {show(high, metric, sign)}){tie}"


def whole(several) -> tuple[float, float, float]:
    value = np.mean([e.value for e in several])
    low = value - np.sqrt(np.sum([(e.value - e.low) ** 2 for e in several])) / len(several)
    return value, low, value + np.sqrt(np.sum([(e.high - e.value) ** 2 for e in several])) / len(several)


def row_of(title: str) -> tuple[str, str]:
    """Backbone and method of a row's title."""
    plain, swap = title.removesuffix(" +swap"), "+swap" if title.endswith(" +swap") else ""
    return (BACKBONE[plain], f"base{swap}") if plain in BACKBONE else ("sam-vit-b", METHOD[plain] + swap)


def column_of(head: str) -> tuple[str, str]:
    dataset, _, label = head.partition(": ")
    return dataset, LABEL[re.split(",| \\(", label)[0]] if label else "miou"


def paper_rows(table: int) -> dict[tuple[str, str, str, str], str]:
    with (REFERENCE / f"table{table}.csv").open() as file:
        return {(r["backbone"], r["method"], r["dataset"], r["metric"]): r["value"] or "-" for r in csv.DictReader(file)}


@pytest.mark.parametrize("table", [2, 3, 5])
def test_every_number_of_the_papers_tables_derived_again(pages, raw, table):
    page, paper, numbers, seen = pages[f"paper-table{table}.md"], paper_rows(table), 0, set()
    legend = {r[""]: r["no number, because"] for r in tables(page, "## Why cells have no number")[0]}
    for tier in ("verified", "community"):
        if f"No cell is measured in the {tier} tier." in page:
            assert tier == "community"
            continue
        grid, long = tables(page, f"## {tier.capitalize()}")
        long = {(r["row"], r["dataset"], r["metric"]): r for r in long}
        for line in grid:
            backbone, method = row_of(line[""])
            key = backbone.replace("sam2.1", "sam2"), method
            plain, found, gaps = method.removesuffix("+swap"), [], []
            for head in [h for h in line if h not in ("", "average", "gain")]:
                dataset, metric = column_of(head)
                there = "cifar" if dataset.startswith("cifar") else dataset
                theirs, ours = line[head].split(" / ")
                seen.add((*key, there, metric))
                assert theirs == paper[*key, there, metric]
                mine = scores(raw, tier, dataset, backbone, method, metric)
                if mine is None:
                    assert ours in legend
                    found.append(None)
                    continue
                numbers += 1
                assert ours == show(mine.mean(), metric)
                full = next(
                    long.pop(k) for k in list(long) if k[:2] == (line[""], dataset) and column_of(f": {k[2]}")[1] == metric
                )
                e = bootstrap(mine)
                assert (full["printed"], full["measured"], full["seeds"]) == (theirs, ours, str(len(mine)))
                assert full["95 % interval"] == f"{show(e.low, metric)} to {show(e.high, metric)}"
                scale = SCALE[metric][0]
                gap, inside = ("", "") if theirs == "-" else (show(mine.mean() - float(theirs) / scale, metric, "+"), None)
                if inside is None:
                    inside = "yes" if e.low * scale <= float(theirs) <= e.high * scale else "no"
                assert (full["measured - printed"], full["printed inside"]) == (gap, inside)
                gain = "" if plain == method else paired(mine, scores(raw, tier, dataset, backbone, plain, metric))
                assert full["gain of the swap (95 %)"] == (gain and span(gain, metric, "+"))
                found.append(e)
                gaps.append(gain)
            if table != 5:
                theirs, ours = line["average"].split(" / ")
                assert theirs == paper[*key, "average", "miou"] and (ours in legend) == (None in found)
                gained = line["gain"].split(" / ") if method != plain else [""]
                assert gained[0] == paper.get((*key, "gain", "miou"), "")
                if None not in found:
                    numbers += 1
                    full, value = long.pop((line[""], "average", "mIoU, points")), whole(found)
                    assert ours == full["measured"] == show(value[0], "miou")
                    assert full["95 % interval"] == f"{show(value[1], 'miou')} to {show(value[2], 'miou')}"
                    assert full["measured - printed"] == show(value[0] - float(theirs) / 100, "miou", "+")
                    if method != plain:
                        assert gained[1] == show(whole(gaps)[0], "miou", "+")
                        assert full["gain of the swap (95 %)"] == span(whole(gaps), "miou", "+")
        assert not long  # nothing stands in it that the grid has not
    if table != 5:
        seen |= {key for key in paper if key[2] in ("average", "gain")}
    assert seen == set(paper) and numbers > 3


@pytest.mark.parametrize("table", [2, 3, 5])
def test_every_number_of_the_embedded_tables_derived_again(pages, raw, table):
    page, numbers = pages[f"embedded-table{table}.md"], 0
    legend = {r[""]: r["no number, because"] for r in tables(page, "## Why cells have no number")[0]}
    (grid,) = tables(page, "## Verified")
    for line in grid:
        backbone, method = row_of(line[""])
        backbone = "sam-mini" if table == 3 else backbone
        found, gaps, plain = [], [], method.removesuffix("+swap")
        for head in [h for h in line if h not in ("", "average", "gain in the average")]:
            dataset, metric = column_of(head)
            mine = scores(raw, "verified", dataset, backbone, method, metric)
            if mine is None:
                assert line[head] in legend
                found.append(None)
                continue
            numbers += 1
            found.append(bootstrap(mine))
            gaps += [paired(mine, scores(raw, "verified", dataset, backbone, plain, metric))] if plain != method else []
            assert line[head] == f"{span(found[-1], metric)}, {len(mine)} seed{'s' if len(mine) > 1 else ''}"
        if table != 5:
            assert line["average"] == (span(whole(found), "miou") if None not in found else line["average"])
            assert (line["average"] in legend) == (None in found)
            if plain != method and None not in found:
                assert line["gain in the average"] == span(whole(gaps), "miou", "+")
    assert numbers >= (0 if table == 3 else 6)
    values = {value for t in (2, 3, 5) for value in paper_rows(t).values()} - {"-"}
    assert not any(f" / {value}" in page or f"{value} / " in page for value in values)


def test_table_4_derived_again(pages):
    rows = {r["method"]: r for r in tables(pages["paper-table4.md"], "## GPU Example, batch 4, float32")[0]}
    paper, measured = paper_rows(4), {r["method"]: r for r in cost().model_dump()["rows"]}
    assert set(rows) == set(METHOD.values()) | {"base+swap"}
    for method, row in rows.items():
        known = [paper.get(("sam-vit-b", method, "", what), "not printed") for what in ("gpu_memory_gb", "trainable_params_k")]
        assert [row["printed, GB"], row["printed, K parameters"]] == known
        if (ours := measured.get(method)) is None:
            assert (row["measured, GiB"], row["measured, parameters"]) == ("not in this record", "not measured")
        else:
            held = ours["peak_reserved_mib"]
            assert row["measured, GiB"] == ("did not fit" if held is None else f"{held / 1024:.2f}")
            assert row["measured, parameters"] == f"{ours['trainable']['method']:,}"
    assert "GPU" not in pages["embedded-table4.md"]  # none of an embedded backbone was measured


def test_the_index_of_tables_counts_what_they_show(pages):
    (rows,) = tables(pages["paper.md"], "# The paper's tables")
    found = {re.search(r"\]\(paper-table(\d)", r["table"])[1]: (r["numbers printed"], r["measured"]) for r in rows}
    plain = {t: sum(k[2] not in ("average", "gain") for k in paper_rows(int(t))) for t in found}
    assert {t: int(n) for t, (n, _) in found.items()} == plain
    for t in "23":
        long = {
            tier: sum(
                r["dataset"] != "average" and "release" not in r["row"]
                for r in (tables(pages[f"paper-table{t}.md"], f"## {tier}") + [[], []])[1]
            )
            for tier in ("Verified", "Community")
        }
        first = 2 if t == "2" else 0  # the first release of SAM 2 fills the printed numbers of 2.1, which is not run here
        assert found[t][1] == f"{long['Verified'] + first} verified, {long['Community']} community"
    assert found["5"][1] == "8 verified, 0 community" and found["4"][1] == "5"


def reason(folder: Path, table: int, row: str, dataset: str) -> str:
    page = render(folder)[f"paper-table{table}.md"]
    # No heading "Verified" over what the paper alone prints.
    heading = f"## {UNVERIFIED}" if page.split("Measured: ")[1].startswith("0 of ") else "## Verified"
    line = next(r for r in tables(page, heading)[0] if r[""] == row)
    legend = {r[""]: r["no number, because"] for r in tables(page, "## Why cells have no number")[0]}
    return legend[line[dataset].split(" / ")[1]]


@pytest.mark.parametrize(
    "change, why",
    [
        ({}, None),
        ({"error": "out of memory"}, "failed, seed 0: out of memory"),
        ({"dirty": True}, "records that stand on no board: in the verified tier, but not from a tree that is known to be clean"),
        ({"marks": ["edited"]}, "records that stand on no board: marked by the runner as not comparable"),
        ({"precision": "bfloat16"}, "records of another precision alone (bfloat16)"),
        ({"protocol": {"name": "paper-v1", "prompt": "centroid"}}, "records of another version of paper-v1 alone"),
        ({"protocol": {"name": "mini-v1"}}, "no verified record under paper-v1"),
    ],
)
def test_a_cell_without_a_number_says_why(tmp_path, change, why):
    shutil.copytree(REFERENCE, tmp_path / "reference")
    put(cell("kvasir", "sam-vit-b", "base+swap", 0, **change), tmp_path / "verified" / "a.json")
    if why is None:
        with pytest.raises(KeyError):
            reason(tmp_path, 2, "SAM ViT-B +swap", "kvasir")
    else:
        assert reason(tmp_path, 2, "SAM ViT-B +swap", "kvasir").startswith(why)
    assert reason(tmp_path, 2, "SAM ViT-B +swap", "voc") == "no verified record under paper-v1"


def test_tiers_and_suites_never_mix(tmp_path):
    shutil.copytree(REFERENCE, tmp_path / "reference")
    put(cell("kvasir", "sam-vit-b", "base+swap", 0, dirty=True), tmp_path / "community" / "a.json")
    put(cell("camo-mini", "sam-mini", "base+swap", 0), tmp_path / "verified" / "b.json")
    made = render(tmp_path)
    page = made["paper-table2.md"]
    assert "Measured: 0 of 126 cells." in page and "Measured: 2 of 126 cells." in page and "mini" not in page
    assert page.index(f"## {UNVERIFIED}") < page.index("## Community") and "## Verified" not in page
    assert UNMEASURED not in made["paper.md"]
    (tmp_path / "community" / "a.json").unlink()
    assert UNMEASURED in render(tmp_path)["paper.md"]
    assert "> Embedded suite" in made["embedded-table2.md"] and "kvasir" not in made["embedded-table2.md"]


def test_without_the_papers_numbers_there_are_no_pages_of_them(tmp_path):
    put(cell("camo-mini", "sam-mini", "base+swap", 0), tmp_path / "verified" / "b.json")
    assert not any("table" in name or name == "paper.md" for name in render(tmp_path))


def test_a_dataset_called_like_a_page_does_not_take_its_place(tmp_path):
    shutil.copytree(REFERENCE, tmp_path / "reference")
    record = cell("camo-mini", "sam-mini", "base+swap", 0, protocol={"name": "paper"})
    spec = record.spec.model_copy(update={"dataset": "table2"})
    hostile = record.model_copy(update={"spec": spec, "spec_hash": hash_of(spec.model_dump())})
    put(hostile, tmp_path / "community" / "a.json")
    made = render(tmp_path)
    assert made["paper-table2.md"].startswith("<!--") and "Printed in the paper" in made["paper-table2.md"]
    assert any(re.fullmatch(r"paper-table2-[0-9a-f]{8}\.md", name) for name in made)


def test_the_reference_beside_the_examples_is_the_papers():
    for path in REFERENCE.iterdir():
        assert (RESULTS / "reference" / path.name).read_bytes() == path.read_bytes()
    assert printed(REFERENCE.parent, "table3")["sam-vit-b", "encoder+swap", "cod10k", "miou"] == "-"


def test_printed_gains_and_averages_agree_with_the_printed_cells():
    """The reference is typed from the paper; a slip would show here. The paper takes a row without swap where it prints a dash."""
    for table in (2, 3):
        paper = paper_rows(table)
        for backbone, method in {key[:2] for key in paper}:
            plain = method.removesuffix("+swap")
            row = {d: v for (b, m, d, _), v in paper.items() if (b, m) == (backbone, method) and d not in ("average", "gain")}
            row = {d: float(paper[backbone, plain, d, "miou"] if v == "-" else v) for d, v in row.items()}
            average = float(paper[backbone, method, "average", "miou"])
            assert len(row) == 9 and abs(np.mean(list(row.values())) - average) < 0.0101
            if method != plain:
                gain = float(paper[backbone, method, "gain", "miou"])
                assert abs(average - float(paper[backbone, plain, "average", "miou"]) - gain) < 0.0101
