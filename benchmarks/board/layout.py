"""The rows and columns of the paper's tables 2, 3 and 5, and of the same tables on the embedded suite."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.board.evidence import Place
from benchmarks.catalog import BACKBONES, DATASETS, SWAP, TASKS, family_fits
from benchmarks.cells import cells

TITLES = {
    2: "SAM and SAM 2 without training",
    3: "fine-tuned SAM",
    4: "what training costs",
    5: "DINOv2: depth and classification",
}
METRICS = {"depth": ("mse", "abs_rel", "delta1"), "classification": ("accuracy",)}  # of table 5; the others print mIoU


@dataclass(frozen=True)
class Row:
    """`title` as a reader sees it; `printed` is the backbone's name in `results/reference/`, "" where nothing is printed."""

    title: str
    backbone: str
    method: str
    printed: str = ""


@dataclass(frozen=True)
class Column:
    """`printed` is the dataset's name in `results/reference/`."""

    dataset: str
    metric: str
    printed: str = ""


@dataclass(frozen=True)
class Layout:
    """`averaged`: whether the table has the mean of each row, and the gain of each swap in it."""

    table: int
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    averaged: bool

    def place(self, row: Row, column: Column) -> Place:
        return Place(column.dataset, row.backbone, row.method, column.metric)


def paper(table: int) -> Layout:
    """Rows as the paper prints them, each without and with swap. The paper does not say which release of SAM 2 it ran, nor which
    of the two CIFARs: `first_release` and a column each."""
    here = [c for c in cells() if c.table == table]
    rows = dict.fromkeys((c.row, c.backbone, c.method) for c in here)
    datasets = dict.fromkeys(c.dataset for c in here)
    return Layout(
        table,
        tuple(Row(_title(name, method), b, method, b.replace("sam2.1-", "sam2-")) for name, b, method in rows),
        tuple(
            Column(d, metric, "cifar" if d.startswith("cifar") else d)
            for d in datasets
            for metric in METRICS.get(DATASETS.get(d).task, ("miou",))
        ),
        averaged=table != 5,
    )


def first_release(row: Row) -> Row | None:
    """The same row of SAM 2 with the weights of the first release; None for other backbones."""
    name = row.backbone.replace("sam2.1-", "sam2-")
    if name == row.backbone:
        return None
    return replace(row, title=_title(f"{row.title.removesuffix(' ' + SWAP)}, first release", row.method), backbone=name)


def embedded(table: int) -> Layout:
    """The same rows on the embedded suite: its backbones and datasets in the place of the paper's, nothing printed."""
    printed = paper(table)
    tasks = list(dict.fromkeys(DATASETS.get(c.dataset).task for c in printed.columns))
    datasets = [d for t in tasks for d in TASKS.get(t).datasets["mini-v1"]]
    columns = tuple(Column(d, metric) for d in datasets for metric in METRICS.get(DATASETS.get(d).task, ("miou",)))
    if table == 3:  # on one backbone, which its heading names
        backbone = TASKS.get(tasks[0]).backbones["mini-v1"]
        rows = [replace(row, backbone=backbone, printed="") for row in printed.rows]
    else:
        fitting = [n for n, b in BACKBONES.items() if b.protocol == "mini-v1" and family_fits(TASKS.get(tasks[0]), b)]
        methods = dict.fromkeys(row.method for row in printed.rows)
        rows = [Row(_title(name, method), name, method) for name in fitting for method in methods]
    return Layout(table, tuple(rows), columns, printed.averaged)


def _title(name: str, method: str) -> str:
    return f"{name} {SWAP}" if method.endswith(SWAP) else name
