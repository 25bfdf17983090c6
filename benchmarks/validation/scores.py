"""Numbers that follow from others: every mean, interval, difference and p-value of a record, made anew from its scores."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.board.pool import RANDOM
from benchmarks.board.text import plain
from benchmarks.errors import some
from benchmarks.metrics.intervals import LEVEL, resampled_means
from benchmarks.metrics.names import METRICS
from benchmarks.records import Comparison, Record
from benchmarks.validation.findings import EDITED, Fault, Found

EXACT = 1e-12  # sums in another order differ by less; one changed digit of one score of 100,000 images by more
DIGITS = 6  # of a score, as a run writes it


def scores(record: Record) -> Iterator[Found]:
    """Whether each score is one that its metric can take."""
    for e in record.evaluations:
        for metric, values in e.scores.items():
            where = f"{plain(e.name)}, {plain(metric)}"
            if metric not in METRICS:
                yield Fault("scores", f"{where}: no such metric", EDITED)
                continue
            column, about = np.array(values, dtype=np.float64), METRICS[metric]
            highest = np.inf if about.highest is None else about.highest
            # Rounding to six decimals may step over an end by nothing; a mean of 255 greys by one unit in the last place.
            yield from _each(where, record, (column < 0) | (column > highest), f"outside 0 to {highest:g}")
            yield from _each(where, record, column != np.round(column, DIGITS), f"with more than {DIGITS} decimals")
            if metric == "accuracy" and not e.name.endswith(RANDOM):
                yield from _each(where, record, (column != 0) & (column != 1), "neither right (1) nor wrong (0)")
        yield from _related(record, e.name, {m: np.array(v, dtype=np.float64) for m, v in e.scores.items()})


def _related(record: Record, name: str, by_metric: dict[str, np.ndarray]) -> Iterator[Found]:
    """Metrics of one image that bind each other."""
    if len({len(v) for v in by_metric.values()}) > 1:
        return  # said already
    if {"mse", "rmse"} <= by_metric.keys():
        mse, rmse = by_metric["mse"], by_metric["rmse"]
        slack, where = 1e-6 * (1 + 2 * rmse), f"{plain(name)}, rmse"
        if name.endswith(RANDOM):  # each a mean over draws, and a mean of roots is at most the root of the mean
            yield from _each(where, record, rmse**2 - mse > slack, "above the root of mse")
        else:
            yield from _each(where, record, abs(rmse**2 - mse) > slack, "that are not the root of mse")
    for low, high in (("delta1", "delta2"), ("delta2", "delta3")):
        if {low, high} <= by_metric.keys():
            yield from _each(f"{plain(name)}, {low}", record, by_metric[low] > by_metric[high], f"above {high}")


def _each(where: str, record: Record, wrong: np.ndarray, how: str) -> Iterator[Found]:
    if wrong.any():
        ids = [plain(record.images[k]) if k < len(record.images) else f"number {k}" for k in np.flatnonzero(wrong)]
        yield Fault("scores", f"{where}: {wrong.sum()} of {len(wrong)} scores {how} ({some(ids, 3)})", EDITED)


def derived(record: Record) -> Iterator[Found]:
    """Whether means, intervals, comparisons and the search's test gain are those of the scores, by the bootstrap's own draws."""
    columns = {(e.name, m): v for e in record.evaluations for m, v in e.scores.items() if len(v) == len(record.images) > 0}
    if not columns:
        return
    table = np.array(list(columns.values()), dtype=np.float64).T
    place, drawn = {key: k for k, key in enumerate(columns)}, resampled_means(table.T[:, None]).T
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    for e in record.evaluations:
        for metric, shown in e.metrics.items():
            if (k := place.get((e.name, metric))) is not None:
                made = {"value": table[:, k].mean(), "low": low[k], "high": high[k]}
                yield from _differing(f"{plain(e.name)}, {plain(metric)}", vars(shown), made)
    for c in record.comparisons:
        a, b = place.get((c.a, c.metric)), place.get((c.b, c.metric))
        if a is not None and b is not None:
            yield from _comparison(c, table[:, a] - table[:, b], drawn[:, a] - drawn[:, b])
    yield from _test_gain(record, table, place)


def _comparison(c: Comparison, gaps: np.ndarray, means: np.ndarray) -> Iterator[Found]:
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    where = f"{plain(c.a)} against {plain(c.b)}, {plain(c.metric)}"
    yield from _differing(where, vars(c), {"difference": gaps.mean(), "low": low, "high": high})
    # A draw whose mean is zero up to rounding counts on one side, or on both: p may lie anywhere between.
    most, least = (
        min(1.0, 2 * (1 + min(int((means <= slack).sum()), int((means >= -slack).sum()))) / (len(means) + 1))
        for slack in (EXACT, -EXACT)
    )
    if not least - EXACT <= c.p <= most + EXACT:
        yield Fault("derived", f"{where}: p is {c.p:.6g}, from the scores {least:.6g}", EDITED)


def _test_gain(record: Record, table: np.ndarray, place: dict) -> Iterator[Found]:
    method, metric = record.spec.method, record.protocol.get("metric")
    a, b = place.get((method, metric)), place.get((method.removesuffix("+swap"), metric))
    if record.search is None or record.search.test_gain is None or a is None or b is None or metric not in METRICS:
        return
    gain = METRICS[metric].sign * (table[:, a] - table[:, b]).mean()
    yield from _differing("search", {"test_gain": record.search.test_gain}, {"test_gain": gain})


def _differing(where: str, stated: dict, made: dict) -> Iterator[Found]:
    wrong = [name for name, value in made.items() if not abs(stated[name] - value) <= EXACT * max(1.0, abs(value))]
    if wrong:
        said = "; ".join(f"{name} is {stated[name]:.10g}, from the scores {made[name]:.10g}" for name in wrong)
        yield Fault("derived", f"{where}: {said}", EDITED)
