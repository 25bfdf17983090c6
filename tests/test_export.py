"""Exports: every number derived again from the records, the formats judged by their own readers, hostile names inert."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from dataclasses import dataclass

import numpy as np
import pytest
import yaml

from benchmarks.board.collect import boards, collect
from benchmarks.cli import main
from benchmarks.errors import MissingData
from benchmarks.export.latex import escape, latex
from benchmarks.export.model_index import model_index
from benchmarks.export.rows import Choice, chosen
from benchmarks.export.tidy import COLUMNS, tidy
from benchmarks.metrics.intervals import bootstrap, paired
from benchmarks.records import Record
from tests.make_example_results import example, few
from tests.test_board import changed, put

HOSTILE = r'=HYPERLINK("http://x"),\input{/etc/passwd}%$&_#{}~^<b>|`a` --- ñ € 日本'


@dataclass(frozen=True)
class Parsed:
    rows: list[dict[str, str]]

    def one(self, **wanted) -> dict[str, str]:
        (found,) = [r for r in self.rows if all(r[k] == v for k, v in wanted.items())]
        return found


@pytest.fixture(scope="module")
def every():
    return chosen(few(), Choice(tier="all"))


@pytest.fixture(scope="module")
def table(every) -> Parsed:
    return Parsed(list(csv.DictReader(io.StringIO(tidy(every)))))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Boards of records whose every free word is an attack."""
    results = tmp_path_factory.mktemp("hostile") / "results"
    for k, dataset in enumerate((HOSTILE, "camo")):
        record = example("base", 0, dataset=dataset, backbone=HOSTILE)
        evaluations = [e.model_dump() | {"name": n, "role": "method"} for e, n in zip(record.evaluations, ("base", HOSTILE))]
        protocol = record.protocol | {"prompt": HOSTILE}
        from benchmarks.hashes import hash_of

        parts = {"evaluations": evaluations, "protocol": protocol, "protocol_hash": hash_of(protocol)}
        put(changed(record, **parts), results / f"community/{k}.json")
    return boards(collect(results).kept)


def test_the_csv_holds_what_the_records_say(table, every):
    assert set(table.rows[0]) == set(COLUMNS)
    keys = [
        (r["tier"], r["protocol_version"], r["dataset"], r["precision"], r["inputs"], r["evaluation"], r["metric"])
        for r in table.rows
    ]
    assert len(set(keys)) == len(keys)  # tidy: one row each
    board, records = next((b, r) for b, r in every.items() if b.dataset == "camo-mini")
    held = {r.spec.seed: r for r in records if r.spec.method == "dora+swap"}
    stack = lambda name: np.array([held[s].evaluation(name).scores["miou"] for s in sorted(held)])  # noqa: E731
    row = table.one(dataset="camo-mini", evaluation="dora+swap", metric="miou")
    whole, gap = bootstrap(stack("dora+swap")), paired(stack("dora+swap"), stack("dora"))
    found = [float(row[k]) for k in ("mean", "low", "high", "difference", "difference_low", "difference_high")]
    assert found == pytest.approx([whole.value, whole.low, whole.high, gap.value, gap.low, gap.high], abs=1e-9)
    assert (row["seeds"], row["compared_with"], row["unit"], row["higher_is_better"]) == ("0 1 2", "dora", "fraction", "true")
    assert row["tie"] == ("true" if gap.tie else "false") and row["images"] == "6" and row["prompt"] == "interior point"


def test_the_csv_says_which_way_is_up_and_why_there_is_no_difference(table):
    assert table.one(dataset="depth-mini", evaluation="base", metric="mse")["higher_is_better"] == "false"
    assert table.one(dataset="depth-mini", evaluation="base", metric="mse")["prompt"] == ""  # a linear head takes none
    lone = table.one(dataset="cod10k", evaluation="lora")
    assert (lone["difference"], lone["reason"]) == ("", "not paired: base was not evaluated")


def test_no_cell_of_the_csv_starts_a_formula(hostile):
    text = tidy(hostile)
    rows = list(csv.reader(io.StringIO(text)))
    assert len({len(row) for row in rows}) == 1
    cells = [cell for row in rows[1:] for cell in row]
    assert any("HYPERLINK" in cell for cell in cells)
    assert not any(re.match(r"[=+@]|-(?!\d)", cell) for cell in cells)


def test_latex_marks_the_best_and_its_ties(every):
    camo = {b: r for b, r in every.items() if b.dataset == "camo-mini"}
    lines = {line.split(" & ")[0]: line for line in latex(camo).splitlines() if " & " in line}
    assert lines["dora+swap"].count(r"\textbf{") == 1 and sum(line.count(r"\textbf{") for line in lines.values()) == 1
    random = next(name for name in lines if "dora+random-swap" in name)
    assert random == r"\textit{dora+random-swap}" and r"\underline" not in lines[random]
    depth = {b: r for b, r in every.items() if b.dataset == "depth-mini"}
    rows = [line.split(" & ") for line in latex(depth).splitlines() if " & " in line][1:]
    plain = {name: float(re.sub(r"\\textbf\{|\\underline\{|\}|\\\\", "", cell)) for name, cell in rows if "random" not in name}
    assert r"\textbf{" in dict(rows)[min(plain, key=plain.get)]  # the lower the better


def test_latex_underlines_exactly_what_the_pairing_calls_a_tie(tmp_path):
    shift = lambda record, name, by: [round(s + by * (-1) ** k, 6) for k, s in enumerate(record.evaluation(name).scores["miou"])]  # noqa: E731
    record = example("dora", 0)
    evaluations = []
    for e in record.evaluations:
        scores = shift(record, "dora", 0.01) if e.name == "base" else e.scores["miou"]  # of one mean, no image alike
        evaluations.append(e.model_dump() | {"scores": {"miou": scores}, "metrics": {}})
    put(changed(record, evaluations=evaluations), tmp_path / "results/verified/a.json")
    text = latex(chosen(tmp_path / "results", Choice()))
    assert text.count(r"\textbf{") == 1 and text.count(r"\underline{") == 1


def test_versions_tiers_and_precisions_have_tables_of_their_own(every):
    text = latex(every)
    alike = {(b.tier, b.protocol_hash, b.backbone, b.precision) for b in every}
    assert text.count(r"\begin{table}") == len(alike) == len(set(re.findall(r"\\label\{(.*?)\}", text)))
    assert all(v[:8] in text for _, v, _, _ in alike)
    assert text.count("never stand in") == sum(b[1] != _paper(every) for b in alike)


def _paper(every) -> str:
    return next(b.protocol_hash for b in every if b.protocol == "paper-v1")


def test_latex_of_hostile_names_is_text(hostile):
    text = latex(hostile)
    body = text.split("\n", 1)[1]
    assert r"\input" not in body and not re.search(r"(?<!\\)[%#~^]", re.sub(r"\$\^\{\\ast\}\$", "", body))
    assert text.isprintable() or set(c for c in text if not c.isprintable()) == {"\n"}
    assert escape("a--b---c") == "a-{}-b-{}-{}-c" and escape("€") == "?" and escape("é") == "é"
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", text):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_latex_compiles(every, hostile, tmp_path):
    frame = "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs}\\begin{document}\n%s\n\\end{document}\n"
    (tmp_path / "t.tex").write_text(frame % (latex(every, intervals=True) + latex(hostile)), encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "-no-shell-escape", "t.tex"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]


def test_the_model_index_is_read_by_the_hubs_own_classes(every):
    from huggingface_hub import ModelCard

    card = ModelCard(f"---\nlicense: apache-2.0\n{model_index(every)}---\n# x\n")
    raw = yaml.safe_load(model_index(every))["model-index"]
    assert len(card.data.eval_results) == sum(len(r["metrics"]) for m in raw for r in m["results"])
    named = {(m["name"], r["dataset"]["name"], r["dataset"]["args"]["version"]) for m in raw for r in m["results"]}
    assert not any("random" in name or "best-of-three" in name for name, _, _ in named)
    assert all("verified" not in metric for m in raw for r in m["results"] for metric in r["metrics"])
    (mse,) = [
        e
        for e in card.data.eval_results
        if (e.dataset_name, e.metric_type) == ("depth-mini", "mse") and "difference" not in e.metric_args
    ]
    assert mse.task_type == "depth-estimation" and mse.metric_args["seeds"] == [0, 1, 2]
    assert "lower is better" in mse.metric_name


def test_two_versions_of_a_protocol_are_two_results(every):
    raw = yaml.safe_load(model_index({b: r for b, r in every.items() if (b.dataset, b.tier) == ("camo", "verified")}))[
        "model-index"
    ]
    (base,) = [m for m in raw if m["name"] == "sam-mini, base"]
    versions = [r["dataset"]["args"]["version"] for r in base["results"]]
    assert len(versions) == len(set(versions)) == 2


def test_a_hostile_name_stays_a_string_of_the_yaml(hostile):
    raw = yaml.safe_load(model_index(hostile))
    assert list(raw) == ["model-index"] and any("HYPERLINK" in m["name"] for m in raw["model-index"])


def test_the_command_writes_prints_and_says_what_there_is(tmp_path, capsys):
    results = ["--results", str(few())]
    assert main(["export", "--format", "csv", "--dataset", "camo-mini", *results, "--out", str(tmp_path / "a.csv")]) == 0
    assert main(["export", "--format", "csv", "--dataset", "camo-mini", *results]) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "a.csv").read_text() and "camo-mini" in printed and ",camo," in printed
    assert main(["export", "--format", "latex", "--dataset", "nowhere", *results]) == 3
    assert "there are verified: camo, camo, sam-mini" in capsys.readouterr().err
    assert main(["export", "--format", "csv", "--intervals", *results]) == 2


def test_the_tier_is_verified_unless_said_otherwise():
    assert {b.tier for b in chosen(few(), Choice())} == {"verified"}
    assert {b.tier for b in chosen(few(), Choice(tier="community"))} == {"community"}
    with pytest.raises(MissingData):
        chosen(few(), Choice(dataset="cod10k"))  # community alone
    assert isinstance(next(iter(chosen(few(), Choice()).values()))[0], Record)
