"""The rows of the one page's table, and what a reader may open behind each: plain data, ready for JSON.

Nothing is worked out here: means, intervals and differences are the cells of the tables that the Markdown pages show.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from statistics import fmean, median
from typing import Any
from urllib.parse import quote

from benchmarks.board.collect import Board, Kept, embedded
from benchmarks.board.commands import commands
from benchmarks.board.pool import RANDOM, SWAP, family, head_of, metrics_of, ordered, pool
from benchmarks.board.swaps import scores_metric
from benchmarks.board.text import Table, plain
from benchmarks.board.units import Unit, unit
from benchmarks.records import Record

_ADAPT = ("train", "embed", "search")  # stages that make an adapted model; what its evaluation takes is the same for all
_LONGEST = 20_000  # characters of one protocol's rules: anyone may send one
# As `tables.show_difference` writes it.
_GAP = re.compile(r"([+-][\d.]+) \(([+-][\d.]+) to ([+-][\d.]+)\)( tie)?(?:, \d+ of \d+ seeds)?")


def front(kept: tuple[Kept, ...], summaries: dict[Board, Table]) -> dict[str, Any]:
    """Boards, rows, rules and environments. `summaries` holds for each board of `kept` its table of results.

    A row names its board by index, its runs name their rules and environment by index. Order is that of the Markdown pages.
    """
    groups: dict[Board, list[Kept]] = defaultdict(list)
    for item in sorted(kept, key=lambda k: k.path):
        groups[item.board].append(item)
    boards, rows, environments = [], [], _Environments()
    for board, table in summaries.items():
        items = groups[board]
        records = [item.record for item in items]
        metric = (metrics_of(records) or ["score"])[0]
        rows += _rows(board, len(boards), items, table, metric, environments)
        boards.append(_board(board, records, table, unit(metric)))
    return {"boards": boards, "rows": rows, "environments": environments.values}


class _Environments:
    """What many runs share, each kept once."""

    def __init__(self) -> None:
        self.values: list[list[list[str]]] = []
        self._known: dict[tuple, int] = {}

    def number(self, record: Record) -> int:
        """The place in `values` of a record's environment."""
        e = record.environment
        facts = (e.device, e.threads, e.precision, e.platform, e.python, e.commit, e.dirty, record.code, *e.packages.items())
        if facts not in self._known:
            shown = _environment(record)
            if shown not in self.values:
                self.values.append(shown)
            self._known[facts] = self.values.index(shown)
        return self._known[facts]


def _board(board: Board, records: list[Record], table: Table, shown: Unit) -> dict[str, Any]:
    first = records[0]
    return {
        "tier": board.tier,
        "embedded": embedded(board.protocol),
        "task": plain(board.task),
        "protocol": plain(board.protocol),
        "version": board.protocol_hash[:8],
        "hash": board.protocol_hash,
        "dataset": plain(board.dataset),
        "backbone": plain(board.backbone),
        "precision": plain(board.precision),
        "inputs": board.inputs,
        "metric": plain(shown.header),
        "unit": plain(shown.name),
        "lower": not shown.higher,
        "caption": plain(table.caption),
        "notes": [plain(note) for note in table.notes],
        "rules": _rules(first),
        "weights": {plain(name): plain(digest) for name, digest in first.weights.items()},
        "data": plain(first.data),
    }


def _rules(record: Record) -> list[list[str]]:
    """The protocol as pairs of words, those that a reader asks for first in front."""
    asked = ("prompt", "mask", "metric", "image_size", "seeds")
    rules = sorted(record.protocol.items(), key=lambda rule: asked.index(rule[0]) if rule[0] in asked else len(asked))
    if head := head_of(record):
        rules = [("head", head), *rules]
    made = [[plain(k), plain(v if isinstance(v, str) else json.dumps(v, ensure_ascii=False))] for k, v in rules]
    total = 0
    for k, (name, value) in enumerate(made):
        total += len(name) + len(value)
        if total > _LONGEST:
            return [*made[:k], ["and more", "see the record"]]
    return made


def _rows(board: Board, number: int, items: list[Kept], table: Table, metric: str, environments: _Environments) -> list[dict]:
    if not len(table.frame):
        return []
    records = [item.record for item in items]
    holders, of = pool(records, metric).holders, {id(item.record): item for item in items}
    held = Counter(e.name for r in records for e in r.evaluations if metric in e.scores and r.images)
    by_method = defaultdict(list)
    for record in records:
        by_method[record.spec.method].append(record)
    shown, rows = unit(metric), []
    for name, values in zip(ordered(holders), table.frame.values.tolist(), strict=True):  # names as the table has them
        cells = dict(zip(table.frame.columns, values))
        used = [of[id(record)] for record in holders[name]]
        runs = [_run(name, item, metric, shown, environments) for item in used]
        own = by_method[name]
        gap = cells[shown.gap]
        rows.append(
            {
                "id": _identity(board, name),
                "board": number,
                "name": plain(name),
                "method": plain(family(name)),
                "swap": name.endswith((SWAP, RANDOM)),
                "control": cells["evaluation"] != name,
                "score": cells[shown.header],
                "interval": cells["95 % interval"],
                "seeds": cells["seeds"],
                "versus": plain(cells["compared with"]),
                "gap": plain(gap),
                "ends": _ends(gap),
                "verdict": _verdict(gap, shown),
                "trained": plain(cells["trained parameters"]),
                "count": max((r.trainable.method for r in own if r.trainable), default=0 if family(name) == "base" else None),
                "search": _mean_gain(own, metric, shown, "search_gain"),
                "test": _mean_gain(own, metric, shown, "test_gain"),
                "strategy": ", ".join(sorted({plain(r.search.strategy) for r in own if r.search})),
                "times": _times(name, own),
                "devices": sorted({_device(item.record) for item in used}),
                "runs": runs,
                "others": held[name] - len(used),
                "commands": commands([item.record for item in used]),
            }
        )
    return rows


def _run(name: str, item: Kept, metric: str, shown: Unit, environments: _Environments) -> dict[str, Any]:
    record = item.record
    scores = record.evaluation(name).scores[metric]
    run = {
        "path": plain(f"results/{item.path}"),
        "link": "../results/" + quote(item.path, errors="surrogateescape"),
        "seed": record.spec.seed,
        "value": shown.show(fmean(scores)),
        "images": len(scores),
        "started": plain(record.started),
        "environment": environments.number(record),
    }
    if record.spec.method != name:
        run["by"] = plain(record.spec.method)
    if record.origin:
        run["origin"] = f"{plain(record.origin.place)}, sha256 {plain(record.origin.sha256)}"
    if record.search and record.spec.method == name:
        found, alike = record.search, scores_metric(record.search.objective, metric)
        run |= {
            "pairs": [list(pair) for pair in found.pairs],
            "channels": found.channels,
            "search": shown.show(found.search_gain, True) if alike else f"{found.search_gain:+.4g}, of {plain(found.objective)}",
            "test": "not measured" if found.test_gain is None else shown.show(found.test_gain, True),
            "effort": f"{plain(found.strategy)}, {found.evaluations:,} passes on {len(found.images)} images",
        }
    return run


def _environment(record: Record) -> list[list[str]]:
    e = record.environment
    known = [
        ("device", e.device),
        ("threads", e.threads),
        ("precision", e.precision),
        ("platform", e.platform),
        ("python", e.python),
        ("commit", "not known" if e.commit is None else e.commit + {True: ", with changes", False: ", clean"}.get(e.dirty, "")),
        ("code", record.code or "not recorded"),
        ("packages", ", ".join(f"{name} {version or '?'}" for name, version in e.packages.items())),
    ]
    return [[name, plain(value)] for name, value in known]


def _device(record: Record) -> str:
    """What times are comparable on: the device, and the threads of the stages that are counted."""
    threads = sorted({s.threads for s in record.stages if s.name in _ADAPT}) or [record.environment.threads]
    return f"{plain(record.environment.device)}, {' and '.join(map(str, threads))} thread{'s' * (threads != [1])}"


def _times(name: str, own: list[Record]) -> dict[str, str]:
    """Seconds of training, embedding and search, median over the seeds, by device. `own` are records of this very method."""
    seconds = defaultdict(list)
    for record in own:
        counted = [s for s in record.stages if s.name in _ADAPT]
        if any(s.device for s in counted):  # one was computed elsewhere
            continue
        if counted or name == "base":  # nothing is done to base
            seconds[_device(record)].append(sum(s.seconds for s in counted))
    return {device: f"{median(values):,.1f}" for device, values in sorted(seconds.items())}


def _mean_gain(own: list[Record], metric: str, shown: Unit, which: str) -> str:
    """Mean over seeds of a gain of the search; empty without a swap, and where a search scored something else than the metric."""
    found = [r.search for r in own if r.search]
    gains = [getattr(s, which) for s in found if which == "test_gain" or scores_metric(s.objective, metric)]
    return shown.show(fmean(gains), True) if gains and len(gains) == len(found) and None not in gains else ""


def _ends(gap: str) -> list[float] | None:
    """A difference and its interval as numbers, for sorting and drawing; None where a cell says why there is none."""
    found = _GAP.fullmatch(gap)
    return [float(found[k]) for k in (1, 2, 3)] if found else None


def _verdict(gap: str, shown: Unit) -> str:
    """tie, gain or loss; empty where there is no difference, and where one that is no tie is too small for its digits."""
    found = _GAP.fullmatch(gap)
    if not found or not (found[4] or float(found[1])):
        return ""
    return "tie" if found[4] else "gain" if (float(found[1]) > 0) == shown.higher else "loss"


def _identity(board: Board, name: str) -> str:
    """Ten hex digits that name a row for as long as its board has records."""
    return hashlib.sha256(repr((board, name)).encode(errors="surrogateescape")).hexdigest()[:10]
