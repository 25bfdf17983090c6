"""Whether what a record says goes together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchmarks.hashes import hash_of
from benchmarks.metrics.names import METRICS

if TYPE_CHECKING:
    from benchmarks.records import Comparison, Record


def inconsistencies(record: Record) -> Iterator[str]:
    """What in a record does not go together, a line each: all that can be said without recomputing an interval."""
    names = [e.name for e in record.evaluations]
    if len(set(names)) != len(names):
        yield "two evaluations have the same name"
    if len(set(record.images)) != len(record.images):
        yield "a test image is listed twice"
    for e in record.evaluations:
        for metric, scores in e.scores.items():
            if len(scores) != len(record.images):
                yield f"{e.name}: {len(scores)} {metric} scores for {len(record.images)} images"
        for metric, shown in e.metrics.items():
            if not e.scores.get(metric) or abs(shown.value - _mean(e.scores[metric])) > 1e-9:
                yield f"{e.name}: {metric} is not the mean of its scores"
            if shown.low > shown.high:
                yield f"{e.name}: the interval of {metric} is upside down"
        for metric, scores in e.scores.items():
            if (known := METRICS.get(metric)) and not known.fits(scores):
                between = "0 or more" if known.highest is None else f"between 0 and {known.highest:g}"
                yield f"{e.name}: a {metric} score is not {between}"
    for c in record.comparisons:
        yield from _of_comparison(record, c)
    if record.status == "done" and not record.evaluations:
        yield "a finished record without evaluations"
    if record.search and set(record.search.images) & set(record.images):
        yield "search and test images overlap"
    if record.status == "failed" and not record.error:
        yield "a failed record without its error"
    if hash_of(record.spec.model_dump()) != record.spec_hash:
        yield "spec_hash does not belong to the spec"
    if hash_of(record.protocol) != record.protocol_hash:
        yield "protocol_hash does not belong to the protocol"


def _of_comparison(record: Record, c: Comparison) -> Iterator[str]:
    a, b = record.evaluation(c.a), record.evaluation(c.b)
    if a is None or b is None:
        yield f"a comparison of {c.a} and {c.b}, which were not both evaluated"
    elif not abs(c.difference - (_mean(a.scores.get(c.metric)) - _mean(b.scores.get(c.metric)))) <= 1e-9:  # NaN too
        yield f"the difference of {c.a} and {c.b} is not that of their scores"
    if c.low > c.high:
        yield f"the interval of {c.a} and {c.b} is upside down"
    swapped = record.search and record.spec.method == c.a and c.a == f"{c.b}+swap"
    swapped = swapped and c.metric == record.protocol.get("metric", c.metric) and record.search.test_gain is not None
    sign = METRICS[c.metric].sign if c.metric in METRICS else 1
    if swapped and abs(record.search.test_gain - sign * c.difference) > 1e-9:
        yield f"the search's test gain is not the difference of {c.a} and {c.b}"


def check_swap(pairs: list[tuple[int, int]], channels: int | None = None) -> None:
    """Raise ValueError where pairs (redundant, effective) are no swap: `chanswap.Swap`'s rules, which would import torch."""
    if len({redundant for redundant, _ in pairs}) != len(pairs):
        raise ValueError("a swap overwrites one channel twice")
    for pair in pairs:
        if min(pair) < 0 or (channels is not None and max(pair) >= channels):
            raise ValueError(f"pair {pair[0]}<-{pair[1]} is not of channels 0 to {'...' if channels is None else channels - 1}")
        if pair[0] == pair[1]:
            raise ValueError(f"pair {pair[0]}<-{pair[1]} replaces a channel by itself")


def _mean(scores: list[float] | None) -> float:
    return sum(scores) / len(scores) if scores else float("nan")
