"""The page of search strategies: what each spends and what it gains, from `results/search/*.json` alone."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from statistics import mean, median

import numpy as np
import pandas as pd

from benchmarks.board.collect import Collection
from benchmarks.board.search_plot import Point, plot
from benchmarks.board.text import Table, code, escape, markdown
from benchmarks.board.units import unit
from benchmarks.errors import InvalidRecord
from benchmarks.metrics.intervals import Estimate, paired
from benchmarks.search_records import PAPER, SearchRecord, Trial, read

PAGE = "search.md"
PICTURE = "search.svg"
TITLE = "Search"
LINE = "Ways to find a swap: what each spends and what it gains"
ABOUT = (
    "Ways to find a swap, beside the paper's: all pairs, then all subsets of the best ten. What counts is regret: the test gain "
    "that a strategy loses against the paper's procedure on the same draw of search images, paired by image. Nothing but the "
    "search images decides what a strategy finds and when it stops."
)
MEANS = {
    "exhaustive": "all pairs on all search images, then all subsets of the best ten: the paper's procedure",
    "random": "one pair in twenty, drawn at random, then all subsets of the best ten: the control",
    "halving": "all pairs on two images, the best fifth of them on five times as many, and so on; then all subsets of the best ten",
    "taylor": "the tenth of the pairs that the slope of a soft IoU thinks best, through halving; then all subsets of the best ten",
    "greedy": "one channel at a time: slopes around the swap so far, the best twentieth through halving, the best taken if it "
    "gains more than its standard error, else stop",
    "greedy-wide": "greedy on four times the search images, with half the share of pairs looked at",
}
FEW = 0.05  # of the paper's evaluations: what an answer that is better may cost to be called cheap
TRIED = (
    "Tried besides, and left out because the search or the test score said no: flips of an image and other clicks on its object as "
    "further views of the search set; clipping the slopes of single images; ranking pairs by a lower confidence bound, by a clipped mean "
    "or by a mean smoothed along a channel's row; slopes of the plain logits instead of sharpened ones, which do not agree with the gains at "
    "all. No record of these is kept, so no number is given."
)


def collect(results: Path) -> tuple[list[SearchRecord], list[str]]:
    """The records under `results/search` in a fixed order, and a line for each file that is not shown."""
    found, faults = [], []
    for path in sorted((Path(results) / "search").glob("*.json")):
        try:
            found.append(read(path))
        except InvalidRecord as error:
            faults.append(f"{path.name}: {str(error).removeprefix(f'{path}: ')}")
    return sorted(found, key=lambda r: (r.backbone, r.dataset, r.environment.device)), faults


def pages(results: Path, found: Collection) -> dict[str, list[str] | str]:
    """The page's parts and its picture, by file name; none where no search was ever measured."""
    records, faults = collect(results)
    if not records and not faults:
        return {}
    parts = ["# Search: gain over cost", "[All pages, and how to read the numbers](README.md)", ABOUT]
    parts += [f"![Test gain over decoder passes, one panel a dataset]({PICTURE})"] if records else []
    parts += ["\n".join(f"- **{name}**: {text}." for name, text in MEANS.items())]
    if records:
        parts += ["## A better answer for less?", markdown(better(records)), TRIED]
    for record in records:
        parts += [f"## {escape(record.dataset)}, {escape(record.backbone)}", markdown(table(record))]
        parts += ["### What was found", markdown(swaps(record)), code([record.command])]
    if faults:
        parts += ["## Files that are not shown", "\n".join(f"- {escape(fault)}" for fault in faults)]
    return {PAGE: parts} | ({PICTURE: plot([(r.dataset, points(r)) for r in records])} if records else {})


def table(record: SearchRecord) -> Table:
    """A row for each strategy over its seeds, the paper's first."""
    groups, shown = grouped(record), unit(record.metric)
    whole = mean(t.evaluations for t in groups[PAPER]) if PAPER in groups else None
    rows = []
    for name, trials in groups.items():
        spent = mean(t.evaluations for t in trials)
        # What the one-by-one loop would take for the paper's evaluations, against what this strategy took.
        faster = [whole * record.literal_ms / 1000 / t.seconds for t in trials if t.seconds > 0] if whole else []
        gain, lost = _gain(record, trials), _regret(record, trials)
        rows.append(
            {
                "strategy": name,
                "evaluations": f"{spent:,.0f}",
                "share": f"{100 * spent / whole:.1f} %" if whole else "",
                "slopes": f"{mean(t.gradients for t in trials):,.0f}",
                "seconds": f"{median(t.seconds for t in trials):.1f}",
                "times faster": f"{median(faster):,.0f}" if faster else "",
                "seeds": str(len(trials)),
                f"search gain, {shown.name}": shown.show(mean(t.search_gain for t in trials), True),
                f"test gain, {shown.name} (95 %)": _shown(gain, shown),
                f"regret, {shown.name} (95 %)": "" if lost is None else _shown(lost, shown),
            }
        )
    env, threads = record.environment, record.environment.threads
    caption = (
        f"{record.dataset}, {record.backbone}, protocol {record.protocol} {record.protocol_hash[:8]}, {len(record.base)} test images, "
        f"{env.device}, {threads} thread{'s' if threads > 1 else ''}. {shown.title} in {shown.name}."
    )
    notes = [
        "Regret: test gain of the paper's procedure minus the strategy's; below 0 the strategy is better.",
        f"Times faster: the literal loop over the library's own decoder would take {record.literal_ms:.2f} ms for each of the paper's "
        f"evaluations, as timed in the same call on {record.literal_passes} passes and extrapolated.",
        "Evaluations are decoder passes of one candidate on one image; slopes are backward passes beside them.",
    ]
    if env.dirty is not False:
        notes += ["Measured with uncommitted changes of the code, or from a tree of which that is not known."]
    short = {f"search gain, {shown.name}": "search", f"test gain, {shown.name} (95 %)": "test gain (95 %)"}
    short |= {f"regret, {shown.name} (95 %)": "regret (95 %)"}
    return Table(caption, pd.DataFrame(rows), tuple(notes), short=short)


def better(records: list[SearchRecord]) -> Table:
    """A row for each strategy that spends little, a column for each dataset: its test gain over that of the paper's procedure."""
    rows, wins = defaultdict(dict), defaultdict(int)
    for record in records:
        groups, shown = grouped(record), unit(record.metric)
        whole = mean(t.evaluations for t in groups[PAPER]) if PAPER in groups else None
        for name, trials in groups.items():
            share = mean(t.evaluations for t in trials) / whole if whole else 1
            lost = _regret(record, trials) if whole else None
            if lost is None or share > FEW:
                continue
            won = Estimate(-lost.value, -lost.high, -lost.low, lost.p)
            rows[name][record.dataset] = f"{_shown(won, shown)}, at {100 * share:.1f} %"
            wins[name] += won.low > 0
    table = [{"strategy": name} | cells for name, cells in rows.items()]
    best = [name for name in rows if wins[name] >= 2]
    verdict = (
        f"Better than the paper's procedure on at least two datasets, interval above zero: {', '.join(best)}."
        if best
        else "No strategy is better than the paper's procedure on two datasets with an interval above zero."
    )
    caption = (
        f"Test gain over that of the paper's procedure with the same seeds, where at most {100 * FEW:.0f} % of its evaluations are "
        f"spent (above 0 is better, in points or the metric's unit, 95 % interval). {verdict}"
    )
    return Table(caption, pd.DataFrame(table).fillna("spends more"), (), "No strategy spends so little.")


def swaps(record: SearchRecord) -> Table:
    """A row for each search."""
    shown, base, rows = unit(record.metric), np.array(record.base), []
    for name, trials in grouped(record).items():
        for t in trials:
            rows.append(
                {
                    "strategy": name,
                    "seed": str(t.seed),
                    "pairs": ", ".join(f"{r}<-{e}" for r, e in t.pairs) or "none",
                    f"search gain, {shown.name}": shown.show(t.search_gain, True),
                    f"test gain, {shown.name}": shown.show(float((np.array(t.scores) - base).mean()), True),
                    "evaluations": f"{t.evaluations:,}",
                    "seconds": f"{t.seconds:.1f}",
                }
            )
    return Table("", pd.DataFrame(rows))


def points(record: SearchRecord) -> list[Point]:
    shown = unit(record.metric)
    found = []
    for name, trials in grouped(record).items():
        gain = _gain(record, trials)
        value, low, high = (shown.scale * x for x in (gain.value, gain.low, gain.high))
        found.append(Point(name, mean(t.evaluations for t in trials), value, low, high))
    return found


def grouped(record: SearchRecord) -> dict[str, list[Trial]]:
    """Trials by strategy, in the order of the record, the seeds in theirs. Images are named where they are not the protocol's."""
    groups = defaultdict(list)
    for trial in record.trials:
        groups[trial.strategy if trial.images == record.search_images else trial.name].append(trial)
    return {name: sorted(trials, key=lambda t: t.seed) for name, trials in groups.items()}


def _gain(record: SearchRecord, trials: list[Trial]) -> Estimate:
    found = np.array([t.scores for t in trials])
    return paired(found, np.broadcast_to(record.base, found.shape))


def _regret(record: SearchRecord, trials: list[Trial]) -> Estimate | None:
    """None for the paper's own, and where it has no trial of the same seeds."""
    theirs = {t.seed: t for t in grouped(record).get(PAPER, [])}
    if any(t.seed not in theirs or t is theirs[t.seed] for t in trials):
        return None
    return paired([theirs[t.seed].scores for t in trials], [t.scores for t in trials])


def _shown(estimate: Estimate, shown) -> str:
    low, high = shown.show(estimate.low, True), shown.show(estimate.high, True)
    return f"{shown.show(estimate.value, True)} ({low} to {high})" + (" tie" if estimate.tie else "")
