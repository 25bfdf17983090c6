"""The boards as a Hugging Face model index: the `model-index` of a model card's front matter, a model for each method and backbone."""

from __future__ import annotations

from collections import defaultdict

from benchmarks.board.collect import Board
from benchmarks.board.text import plain
from benchmarks.board.units import Unit, unit
from benchmarks.catalog import CLASSIFICATION, DEPTH, SEGMENTATION, TASKS
from benchmarks.export.rows import Row, rows
from benchmarks.metrics.intervals import Estimate
from benchmarks.records import Record

# The Hub's names of the tasks, https://huggingface.co/tasks.
HUB_TASKS = {SEGMENTATION: "image-segmentation", DEPTH: "depth-estimation", CLASSIFICATION: "image-classification"}


def model_index(boards: dict[Board, list[Record]]) -> str:
    """The block as YAML, to be pasted into the front matter of a card. Controls are no models and are left out."""
    from huggingface_hub.utils import yaml_dump

    return yaml_dump({"model-index": models(boards)}, sort_keys=False)


def models(boards: dict[Board, list[Record]], only: str | None = None) -> list[dict]:
    """The block as data, of the evaluation `only` where one is named. Values are those of the pages: mIoU in points. Nothing says "verified", which the Hub keeps for itself."""
    from huggingface_hub.repocard_data import eval_results_to_model_index

    found: dict[str, list] = defaultdict(list)
    for board, records in boards.items():
        by_name: dict[str, list[Row]] = defaultdict(list)
        for row in rows(records, only):
            if row.role != "control":
                by_name[row.evaluation].append(row)
        for name, measured in by_name.items():
            precision = f", {board.precision}" if board.precision != "float32" else ""
            model = plain(f"{board.backbone}, {name}{precision}")
            # One board at a time: the Hub's own grouping does not look at the protocol.
            (made,) = eval_results_to_model_index(model, [_result(board, row) for row in measured])
            found[model] += made["results"]
    return [{"name": model, "results": results} for model, results in found.items()]


def _result(board: Board, row: Row):
    from huggingface_hub.repocard_data import EvalResult

    shown = unit(row.metric)
    details = {"seeds": list(row.seeds), "images": row.images}
    if row.estimate:
        details["interval_95"] = _range(row.estimate, shown)
    if found := row.against.estimate:
        details["difference"] = {
            "to": plain(row.compared),
            "value": _number(found.value, shown),
            "interval_95": _range(found, shown),
            "tie": found.tie,
        }
    return EvalResult(
        task_type=HUB_TASKS[TASKS.get(board.task).kind] if board.task in TASKS else "other",
        task_name=plain(board.task),
        dataset_type=plain(board.dataset),
        dataset_name=plain(board.dataset),
        dataset_split="test",
        dataset_args={"protocol": plain(board.protocol), "version": board.protocol_hash[:8], "tier": board.tier},
        metric_type=plain(row.metric),
        metric_name=plain(shown.header),
        metric_value=_number(row.mean, shown),
        metric_args=details,
    )


def _number(value: float, shown: Unit) -> float:
    return float(shown.show(value))


def _range(estimate: Estimate, shown: Unit) -> list[float]:
    return [_number(estimate.low, shown), _number(estimate.high, shown)]
