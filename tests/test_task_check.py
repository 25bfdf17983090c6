"""Every dataset's own file layout, through the small models, to a record that no board takes."""

from __future__ import annotations

import pytest

from benchmarks import records, task_check
from benchmarks.catalog import BACKBONES, DATASETS, TASKS, family_fits
from benchmarks.cli import main
from benchmarks.errors import UsageError
from benchmarks.task_check import Cell, cells, chosen, examine


def test_the_cells_are_every_fitting_pair():
    assert len(cells()) == 11 * 9 + 2 * 3 + 2 * 3 + 1 * 2
    for cell in cells():
        dataset, backbone = DATASETS.get(cell.dataset), BACKBONES.get(cell.backbone)
        assert dataset.protocol == backbone.protocol and family_fits(TASKS.get(dataset.task), backbone)
    assert {c.dataset for c in cells(small=True)} == {n for n, d in DATASETS.items() if d.source == "official"}
    assert [c.name for c in chosen(["camo:sam-vit-b"])] == ["camo:sam-vit-b"] and len(chosen(["nyuv2"])) == 2
    with pytest.raises(UsageError, match="no cell 'cammo'"):
        chosen(["cammo"])
    with pytest.raises(UsageError, match="classes-mini is not among the --small cells"):
        chosen(["classes-mini"], small=True)


@pytest.mark.parametrize("backbone", ["sam-mini", "sam2-mini", "dino-mini"])
def test_every_dataset_runs_with_the_small_models(backbone, tmp_path):
    wanted = chosen([backbone], small=True)
    found = list(examine(wanted, 1, tmp_path))
    assert [(o.cell.name, o.fault) for o in found] == [(c.name, None) for c in wanted]
    written = [records.read(path) for path in sorted(tmp_path.rglob("*.json"))]
    assert {r.spec.dataset for r in written} == {c.dataset for c in wanted}
    for record in written:
        task = TASKS.get(record.spec.task)
        assert task_check.FIXTURE in record.marks and len(record.images) == task_check.LIMIT
        assert set(record.evaluation("base").scores) == set(record.evaluation("base+swap").scores) == set(task.metrics)


def test_random_weights_are_marked(tmp_path):
    found = list(examine([Cell("cifar10", "dinov2-vit-s"), Cell("cifar10", "dinov2-vit-b")], 1, tmp_path))
    assert [o.fault for o in found] == [None, None]
    made = {r.spec.backbone: r for r in map(records.read, tmp_path.rglob("*.json"))}
    for name, record in made.items():
        assert record.weights == {name: f"random weights, seed 0, {name}"} and "random weights, seed 0" in record.marks
        assert not any(stage.cached for stage in record.stages)  # one backbone's stages are never taken for another's
    assert len(made) == 2


def test_check_task_on_the_command_line(capsys):
    assert main(["check", "task", "kvasir:sam-mini", "--small", "--threads", "1"]) == 0
    assert "1 of 1 cell left a valid record that no board takes" in capsys.readouterr().out
    assert main(["check", "task", "nothing"]) == 2
