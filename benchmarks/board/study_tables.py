"""Tables of studies: what single channels do, what a swap adds to a constant, how the gain grows with the number of pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks.board.text import Table
from benchmarks.board.units import Unit, unit
from benchmarks.printed import DASH, printed
from benchmarks.study_records import Curve, Effect, StudyRecord
from chanswap.multiple import ALPHA, HARMFUL, REDUNDANT, USEFUL

NEAR = 0.005  # half a point of mIoU: what is surely smaller is called so
EXTREMES = 5


def printed_table(results: Path, records: Sequence[StudyRecord]) -> Table:
    """The paper's table 1, as printed, with the difference of its two rows."""
    rows, numbers = [], printed(results, "table1")
    for (backbone, method, dataset, metric), value in numbers.items():
        base = numbers.get((backbone, "base", dataset, metric))
        if method.startswith("zero-") and base is not None and DASH not in (base, value):
            rows.append(
                {
                    "channel": method.removeprefix("zero-"),
                    "backbone": backbone,
                    "as it is": base,
                    "channel set to zero": value,
                    "difference": f"{float(value) - float(base):+.1f}",
                }
            )
    caption = "Printed in the paper's table 1: mIoU on PerSeg, in points. The last column is computed here."
    here = any((record.dataset, record.backbone) == ("perseg", "sam-vit-b") for record in records)
    notes = (
        "Five of 256 channels, which the paper chose; it states neither how, nor an interval, nor whether channels count from 0 or 1.",
        "Its own conditions have a study below."
        if here
        else "Not measured here yet: what is below is of other models and images.",
    )
    return Table(caption, pd.DataFrame(rows), notes, "results/reference/table1.csv is not there.")


def counts(records: Sequence[StudyRecord]) -> Table:
    """How many channels are harmful, redundant and useful: a row for each set of images of each study."""
    rows = []
    for record in records:
        for part, images in (("test", record.test_images), ("search", record.search_images)):
            number = Counter(getattr(c, f"{part}_label") for c in record.channels)
            found = [getattr(c, part) for c in record.channels]
            rows.append(
                {
                    "dataset": name(record),
                    "set": part,
                    "images": str(len(images)),
                    "channels": str(len(record.channels)),
                    **{label: str(number[label]) for label in (HARMFUL, REDUNDANT, USEFUL)},
                    "surely within 0.5 points": str(sum(-NEAR < e.low and e.high < NEAR for e in found)),
                    "beyond zero, not corrected": str(sum(e.p < ALPHA for e in found)),
                }
            )
    notes = (
        "Harmful: the score rises when the channel is set to zero. Useful: it falls. Redundant: no difference was shown, which does "
        "not mean that there is none; how many channels surely change less than half a point stands beside it.",
        "By p-values of a bootstrap over images, corrected for the number of channels (Holm): the chance that any channel of a set is "
        "wrongly called harmful or useful is at most 5 %. More images show more differences.",
    )
    short = {"surely within 0.5 points": "within 0.5", "beyond zero, not corrected": "not corrected"}
    return Table("Channels set to zero, one at a time.", pd.DataFrame(rows), notes, short=short)


def agreement(records: Sequence[StudyRecord]) -> Table:
    """Whether the search set tells what the test set will say, and what goes with the loss."""
    rows = []
    for record in records:
        search, test = ([getattr(c, part).value for c in record.channels] for part in ("search", "test"))
        rows.append(
            {
                "dataset": name(record),
                "rank correlation, search and test gain": number(ranks(search, test)),
                "harmful on the search set: on the test set": _then(record, HARMFUL),
                "useful on the search set: on the test set": _then(record, USEFUL),
                "rank correlation, zeroing and best replacement, search gains": number(
                    ranks(search, [c.replacement_gain for c in record.channels])
                ),
                "rank correlation, level and test gain": number(ranks([abs(c.level) for c in record.channels], test)),
            }
        )
    notes = (
        "Best replacement: what a channel gains when the best of all others is shown in its place, as the search does.",
        "Level: how far a channel's mean over the search images is from zero. Near -1, the channels far from zero would be those that "
        "are missed, because zero is no neutral value for them; near 0, that does not decide it.",
    )
    short = {"rank correlation, search and test gain": "search~test", "rank correlation, level and test gain": "level~test"}
    short |= {"rank correlation, zeroing and best replacement, search gains": "zeroed~replaced"}
    short |= {f"{label} on the search set: on the test set": f"{label} on search: on test" for label in (HARMFUL, USEFUL)}
    return Table("", pd.DataFrame(rows), notes, short=short)


def _then(record: StudyRecord, label: str) -> str:
    found = Counter(c.test_label for c in record.channels if c.search_label == label)
    return ", ".join(f"{found[then]} {then}" for then in (HARMFUL, REDUNDANT, USEFUL) if found[then]) or "none"


def extremes(record: StudyRecord) -> Table:
    """The channels whose zeroing gains and loses most on the search set, with what it does on the test set."""
    shown = unit(record.metric)
    order = sorted(range(len(record.channels)), key=lambda c: (-record.channels[c].search.value, c))
    chosen = list(dict.fromkeys([*order[:EXTREMES], *order[-EXTREMES:]]))
    rows = []
    for c in chosen:
        channel = record.channels[c]
        rows.append(
            {
                "channel": str(c),
                f"zeroed: search gain, {shown.name}": shown.show(channel.search.value, True),
                f"zeroed: test gain, {shown.name} (95 %)": effect(channel.test, shown),
                "on the test set": channel.test_label,
                f"best replacement: search gain, {shown.name}": f"{shown.show(channel.replacement_gain, True)} by {channel.best_replacement}",
                "level (spread)": f"{channel.level:+.2f} ({channel.spread:.2f})",
            }
        )
    caption = (
        f"{name(record)}: the {EXTREMES} channels that are best and worst to zero, chosen on the search set. {shown.title} is "
        f"{shown.show(record.search_base)} on it and {shown.show(record.test_base)} on the test set."
    )
    short = {f"zeroed: search gain, {shown.name}": "search gain", f"zeroed: test gain, {shown.name} (95 %)": "test gain (95 %)"}
    short |= {f"best replacement: search gain, {shown.name}": "replaced", "on the test set": "test label"}
    return Table(caption, pd.DataFrame(rows), short=short)


def constants(records: Sequence[StudyRecord]) -> Table:
    """Each study's swap beside the same with one number in the place of each map."""
    rows = []
    for record in records:
        shown = unit(record.metric)
        rows.append(
            {
                "dataset": name(record),
                "swap": pairs(record.swap),
                f"search gain, {shown.name}": shown.show(record.swap_search_gain, True),
                f"swap: test gain, {shown.name} (95 %)": effect(record.swap_test, shown),
                f"zero instead: test gain, {shown.name} (95 %)": effect(record.zeroed_test, shown),
                f"a constant instead: test gain, {shown.name} (95 %)": effect(record.constant_test, shown),
                f"swap - constant, {shown.name} (95 %)": effect(record.map_test, shown),
            }
        )
    notes = (
        "Zero, or a constant instead: each replaced channel is set to zero, or to one number, the mean over the search images of the "
        "channel that the swap shows there. Swap - constant is what the map of that channel adds; a tie says that no addition was shown.",
    )
    return Table("", pd.DataFrame(rows), notes)


def growth(record: StudyRecord) -> Table:
    """The best swap of each number of pairs."""
    shown, rows = unit(record.metric), []
    for kind, curve in curves(record).items():
        for number, size in enumerate(curve.sizes, 1):
            rows.append(
                {
                    "chosen from": kind,
                    "pairs": str(number),
                    f"search gain, {shown.name}": shown.show(size.search_gain, True),
                    f"test gain, {shown.name} (95 %)": effect(size.test, shown),
                    "scored": f"{size.tried:,}",
                    "cannot stand": f"{size.conflicts:,}",
                    "swap": pairs(size.pairs),
                }
            )
    return Table(f"{name(record)}: the best swap of exactly so many pairs, by the search set.", pd.DataFrame(rows))


def curves(record: StudyRecord) -> dict[str, Curve]:
    """The ways to choose pairs, by what a page calls them."""
    return {"best pairs": record.best_pairs, "one pair a channel": record.one_a_channel}


def name(record: StudyRecord) -> str:
    """A study among others, in a few words."""
    words = [record.dataset, record.backbone, *([record.method] if record.method != "base" else [])]
    words += [f"seed {record.seed}"] if record.seed else []
    return ", ".join(words + ([f"the first {record.limit} test images"] if record.limit else []))


def pairs(swap: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"{r}<-{e}" for r, e in swap) or "none: no pair helped"


def effect(e: Effect, shown: Unit) -> str:
    tie = e.low <= 1e-12 and e.high >= -1e-12
    return f"{shown.show(e.value, True)} ({shown.show(e.low, True)} to {shown.show(e.high, True)})" + (" tie" if tie else "")


def ranks(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Spearman's rank correlation; None where one of both does not vary."""
    first, second = pd.Series(a).rank(), pd.Series(b).rank()
    return None if first.nunique() < 2 or second.nunique() < 2 else float(first.corr(second))


def number(value: float | None) -> str:
    """A correlation in a table."""
    return "" if value is None else f"{round(value, 9):+.2f}"
