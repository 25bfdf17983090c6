"""Grids: from flags and from YAML, what goes together, and errors that say what to mend."""

from __future__ import annotations

import pytest

from benchmarks import grid_file
from benchmarks.cli import main
from benchmarks.errors import UsageError
from benchmarks.grid import Grid, expand
from benchmarks.plan import Request
from benchmarks.sweep import plans_of


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))


def read(tmp_path, text: str) -> Grid:
    (tmp_path / "grid.yaml").write_text(text)
    return grid_file.read(tmp_path / "grid.yaml")


def names(cells, *axes: str) -> set:
    return {tuple(getattr(c, a) for a in axes) for c in cells}


def test_the_default_is_every_method_on_the_first_dataset_of_each_task():
    cells = expand(Grid())
    assert len(cells) == 5 * 18 * 3
    assert {c.dataset for c in cells} == {"natural-mini", "medical-mini", "camo-mini", "depth-mini", "classes-mini"}


def test_all_is_what_goes_together_and_nothing_else():
    cells = expand(Grid(datasets=["all"], backbones=["all"], methods=["base"], protocols=["all"], seeds=[0]))
    masks, tokens = 9 * 11, 3 * 2  # paper-v1: SAM's three and SAM 2's eight backbones, DINOv2's two
    assert len(cells) == masks + tokens + 3 * 2 + 2 * 1  # and mini-v1
    assert ("kvasir", "dinov2-vit-s") not in names(cells, "dataset", "backbone")
    assert ("camo-mini", "sam-vit-b") not in names(cells, "dataset", "backbone")


def test_datasets_and_backbones_bring_their_task_and_protocol():
    cells = expand(Grid(datasets=["kvasir", "camo-mini"], methods=["base"], seeds=[0]))
    found = {("paper-v1", "medical", "kvasir", "sam-vit-b"), ("mini-v1", "camo", "camo-mini", "sam-mini")}
    assert names(cells, "protocol", "task", "dataset", "backbone") == found
    cells = expand(Grid(backbones=["dinov2-vit-b"], methods=["base"], seeds=[0]))
    assert names(cells, "task", "dataset") == {("depth", "nyuv2"), ("classification", "cifar100")}


def test_a_file_with_all_that_it_can_say(tmp_path):
    grid = read(
        tmp_path,
        """
        tasks: [camo, medical]
        methods: [base, dora, dora+swap]
        seeds: [0, 1]
        strategy: taylor
        include:
          - {tasks: depth, methods: lora+swap, seeds: 7}
          - seeds: 5
            methods: base
        exclude:
          - {methods: "dora*", datasets: medical-*, seeds: 1}
        """,
    )
    cells = expand(grid)
    assert len(cells) == 2 * 3 * 2 - 2 + 1 + 2 and len(set(cells)) == len(cells) and grid.strategy == "taylor"
    assert names([c for c in cells if c.seed == 7], "dataset", "method") == {("depth-mini", "lora+swap")}
    assert names([c for c in cells if c.seed == 5], "dataset", "method") == {("camo-mini", "base"), ("medical-mini", "base")}
    assert names([c for c in cells if c.dataset == "medical-mini" and c.seed == 1], "method") == {("base",)}


@pytest.mark.parametrize(
    "text, fault",
    [
        ("task: camo", r"unknown key 'task'; did you mean tasks"),
        ("tasks: camo\nexclude:\n  - {method: base}", r"unknown key 'exclude.0.method'; did you mean methods\?"),
        ("zzz: 1", r"unknown key 'zzz'; known: tasks, datasets"),
        ("tasks: [camo", r"line \d: expected"),
        ("tasks: camo\ntasks: natural", r"line 2: tasks is given twice"),
        ("seeds: [0, x]", r"seeds.1: .*, got 'x'"),
        ("seeds: -1", r"greater than or equal to 0, got '-1'"),
        ("seeds: true", r"seeds.0: .*, got 'True'"),
        ("tasks: 3", r"tasks.0: .*string, got '3'"),
        ("tasks: []", r"tasks: .*at least 1 item"),
        ("include: {tasks: camo}", r"include: .*list"),
        ("- camo", r"expected keys such as tasks"),
        ("", r"expected keys such as tasks"),
        ("tasks: !!python/object/apply:os.getcwd []", r"mend the YAML"),
    ],
)
def test_a_fault_of_a_file_is_one_line_that_names_it(text, fault, tmp_path):
    with pytest.raises(UsageError, match=fault) as raised:
        read(tmp_path, text)
    assert str(raised.value).startswith(str(tmp_path / "grid.yaml")) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "axes, fault",
    [
        ({"tasks": ["camoo"]}, "did you mean camo"),
        ({"datasets": ["kvasirr"]}, "did you mean kvasir"),
        ({"backbones": ["sam-vit-x"]}, "did you mean sam-vit-"),
        ({"methods": ["doraa"]}, "did you mean dora"),
        ({"protocols": ["paper-v2"]}, "did you mean paper-v1"),
        ({"tasks": ["camo"], "datasets": ["kvasir", "camo"]}, "kvasir of datasets goes with nothing else .*task medical"),
        ({"tasks": ["depth"], "backbones": ["sam-vit-b"]}, "depth of tasks goes with nothing"),
        ({"protocols": ["mini-v1"], "backbones": ["sam-vit-b"]}, "sam-vit-b of backbones goes with nothing .*protocol paper-v1"),
        ({"exclude": [{"methods": ["mobile*"]}]}, "entry 1 of exclude matches no cell"),
        ({"exclude": [{}]}, "names no axis"),
        ({"exclude": [{"tasks": ["all"]}]}, "the grid is empty"),
    ],
)
def test_names_that_do_not_go_together_are_refused(axes, fault):
    with pytest.raises(UsageError, match=fault):
        expand(Grid.model_validate(axes))


def test_cells_that_cannot_run_are_told_from_those_that_can():
    cells = expand(Grid(tasks=["depth"], methods=["base", "sam-parser"], seeds=[0])) + expand(
        Grid(datasets=["kvasir"], seeds=[0])
    )
    plans, unready = plans_of(cells, Request("", ""))
    assert [(p.dataset.name, p.method_name) for p in plans] == [("depth-mini", "base")]
    assert [(u.cell.dataset, u.missing) for u in unready] == [("depth-mini", False)] + [("kvasir", True)] * 18
    assert "no convolutional neck" in unready[0].reason and "data fetch kvasir" in unready[1].reason


# The command line, plans alone


def test_what_cannot_run_is_listed_first_and_an_error_where_it_is_strict(capsys):
    call = ["sweep", "--datasets", "camo-mini,kvasir", "--methods", "base", "--dry-run"]
    assert main(call) == 0
    shown = capsys.readouterr()
    assert "cannot run: kvasir, sam-vit-b, base (3 runs): kvasir: " in shown.err and "3 runs of 3 models" in shown.err
    assert main([*call, "--strict"]) == 3
    assert "error: 3 runs of 6 cannot be run: kvasir" in capsys.readouterr().err
    assert main(["sweep", "--datasets", "kvasir", "--methods", "base"]) == 3
    assert "nothing can be run" in capsys.readouterr().err


def test_flags_go_before_what_the_file_says(tmp_path, capsys):
    (tmp_path / "grid.yaml").write_text("tasks: [camo, natural]\nmethods: base\nseeds: all\n")
    assert main(["sweep", str(tmp_path / "grid.yaml"), "--dry-run"]) == 0
    assert "6 runs" in capsys.readouterr().err
    assert main(["sweep", str(tmp_path / "grid.yaml"), "--seeds", "4", "--tasks", "natural", "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert "1 run of 1 model" in shown.err and "natural-mini     base                 seed 4" in shown.out
    assert main(["sweep", str(tmp_path / "nothere.yaml")]) == 2
    assert "nothere.yaml: No such file" in capsys.readouterr().err


def test_shards_of_a_call_are_the_call(capsys):
    call = ["sweep", "--tasks", "camo", "--dry-run"]

    def lines(*more: str) -> list[str]:
        assert main([*call, *more]) == 0
        out = capsys.readouterr().out.splitlines()
        return [line[:44] for line in out if " seed " in line]  # up to the seed

    parts = [lines("--shard", f"{i}/4") for i in (1, 2, 3, 4)]
    assert sorted(sum(parts, [])) == sorted(lines()) and len(set(sum(parts, []))) == 54
    for part in parts:  # a method stays with its swap
        assert {p.replace("+swap", "     ") for p in part if "+swap" in p} == {p for p in part if "+swap" not in p}
    assert main(["sweep", "--tasks", "camo", "--methods", "base", "--seeds", "0", "--shard", "2/50"]) == 0
    assert "holds no run" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more, fault",
    [
        (["--shard", "5/4"], "from 1/N to N/N"),
        (["--jobs", "0"], "--jobs must be at least 1"),
        (["--parts", "0"], "--parts must be at least 1"),
        (["--retries", "-1"], "--retries must be 0 or more"),
        (["--address", "auto"], "add --engine ray"),
        (["--seeds", "0,0"], "--seeds must differ"),
        (["--store", "nosuch://bucket"], "nosuch://bucket cannot be opened"),
    ],
)
def test_flags_that_cannot_be_are_refused_before_anything_runs(more, fault, capsys, monkeypatch):
    monkeypatch.delenv("CHANSWAP_STORE", raising=False)
    assert main(["sweep", "--tasks", "camo", "--methods", "base", *more]) == 2
    assert fault in capsys.readouterr().err
