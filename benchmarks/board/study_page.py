"""The page of studies: what the channels do, from `results/study/` alone, beside the five channels that the paper prints."""

from __future__ import annotations

from pathlib import Path

from benchmarks.board import recurrence
from benchmarks.board.collect import Collection
from benchmarks.board.study_plot import Bar, Line, channels_plot, growth_plot
from benchmarks.board.study_tables import agreement, constants, counts, curves, extremes, growth, name, printed_table
from benchmarks.board.text import code, escape, markdown
from benchmarks.board.units import unit
from benchmarks.errors import InvalidRecord
from benchmarks.files import sha256
from benchmarks.study_records import EXAMPLES, MAPS, StudyRecord, read

PAGE, CHANNELS, GROWTH = "study.md", "study-channels.svg", "study-growth.svg"
TITLE = "Channels"
LINE = "What single channels do, how the gain grows with the number of pairs, masks and feature maps"
ABOUT = (
    "The paper's table 1 and its figures 3, 4 and 5, measured for every channel and with intervals. What is chosen is chosen on the "
    "search images alone; what it does on the test images stands beside it."
)
COLOURS = {"best pairs": "#e69f00", "one pair a channel": "#009e73"}
LOOKS = {
    EXAMPLES: "the test images on which the swap gains most, middling, and least, with what is wrong in each mask outlined",
    MAPS: "feature maps of channels that the search replaces, shows in their place, and misses most when they are zero",
}


def collect(results: Path) -> tuple[list[StudyRecord], list[str]]:
    """The records under `results/study` in a fixed order, and a line for each file that is not shown."""
    found, faults = [], []
    for path in sorted((Path(results) / "study").glob("*.json")):
        try:
            record = read(path)
        except InvalidRecord as error:
            faults.append(f"{path.name}: {str(error).removeprefix(f'{path}: ')}")
            continue
        if record.file_name == path.name:
            found.append(record)
        else:
            faults.append(f"{path.name}: the record in it belongs in {record.file_name}")
    return sorted(found, key=lambda r: (r.backbone, r.dataset, r.method, r.seed, r.file_name)), faults


def pages(results: Path, found: Collection) -> dict[str, list[str] | str]:
    """The page's parts and its two plots, by file name; none where nothing was studied."""
    records, faults = collect(results)
    if not records and not faults:
        return {}
    parts = ["# What the channels do", "[All pages, and how to read the numbers](README.md)", ABOUT]
    parts += ["## The paper's five channels", markdown(printed_table(results, records))]
    if records:
        parts += ["## Each channel set to zero", f"![Gain of setting each channel to zero, a panel a dataset]({CHANNELS})"]
        parts += [markdown(counts(records)), markdown(agreement(records)), *(markdown(extremes(record)) for record in records)]
        parts += ["## A swap, or a constant", markdown(constants(records))]
        parts += ["## Gain over the number of pairs", f"![Gain over the number of pairs, a panel a dataset]({GROWTH})", _WAYS]
        for record in records:
            summary = f"<summary>{escape(name(record))}: the swap of each number of pairs</summary>"
            parts += [f"<details>{summary}", markdown(growth(record)), "</details>"]
        parts += [
            "## Channels that come back from task to task",
            _CHANCE,
            markdown(recurrence.alike(records)),
            markdown(recurrence.table(found, records)),
        ]
        parts += ["## Masks and maps", _LOOK]
        for record in records:
            parts += [f"### {escape(name(record))}", *_pictures(results, record), code([record.command])]
    if faults:
        parts += ["## Files that are not shown", "\n".join(f"- {escape(fault)}" for fault in faults)]
    made: dict[str, list[str] | str] = {PAGE: parts}
    if records:
        made[CHANNELS] = channels_plot(
            [(f"{name(r)}: {unit(r.metric).label} gained without a channel, points", bars(r)) for r in records]
        )
        made[GROWTH] = growth_plot([(f"{name(r)}: gain, points", lines(r)) for r in records])
    return made


_WAYS = (
    "The paper's figure 4 shows more pairs helping, with a peak at six on COCO. Two ways to choose them are shown. *Best pairs*: "
    "subsets of the ten best single pairs, as the search combines them; these mostly overwrite the same one or two channels, and a set "
    "that overwrites a channel twice cannot stand, which ends the curve. *One pair a channel*: subsets of the best pairs of the ten "
    "channels that are best to replace, of which any number can stand. Of each number the best by the search set is shown; the search gains are what was maximised, the "
    "test gains what came of it. (The scale is that of square roots, here and above.)"
)
_CHANCE = (
    "The paper names channel 19 effective, and 20, 98, 162 and 226 redundant, across domains. First, whether two tasks "
    "order all channels alike by what zeroing gains on their test sets. Then a set of channels for each task: "
    "those that the swaps of the verified records replace or show (of all seeds), and those that a study calls harmful or useful by "
    "zeroing (test set). *By chance* is how many channels would be in two sets or more if each task drew as many as its set has at "
    "random; *p* the probability of at least as many as were found, *corrected* for the number of rows (Holm). The embedded tasks share "
    "a model, and its channels have other numbers than SAM's. That a channel recurs says that it matters to this model, not what it means."
)
_LOOK = (
    "Of each dataset the test images with the largest, the median and the smallest difference of the method with its swap to the method "
    "alone: the best and the worst are extremes by choice, not what to expect. The maps are of the same images, before any swap."
)


def bars(record: StudyRecord) -> list[Bar]:
    by = unit(record.metric).scale
    return [
        Bar(k, by * c.test.value, by * c.test.low, by * c.test.high, c.test_label, by * c.search.value)
        for k, c in enumerate(record.channels)
    ]


def lines(record: StudyRecord) -> list[Line]:
    by = unit(record.metric).scale
    return [
        Line(
            kind,
            COLOURS[kind],
            tuple(by * s.search_gain for s in curve.sizes),
            tuple((by * s.test.value, by * s.test.low, by * s.test.high) for s in curve.sizes),
        )
        for kind, curve in curves(record).items()
    ]


def _pictures(results: Path, record: StudyRecord) -> list[str]:
    """Links to the pictures that are there as the record states them. Their names cannot leave the folder, see the schema."""
    parts = []
    for kind, about in LOOKS.items():
        picture = record.picture(kind)
        if picture is None:
            continue
        path = Path(results) / "study" / picture.file
        if path.is_file() and sha256(path) == picture.sha256:
            parts.append(f"![{escape(name(record))}: {about}](../results/study/{picture.file})")
            if kind == EXAMPLES:
                parts.append(_scores(record))
        else:
            parts.append(f"The picture {escape(picture.file)} is not there, or not the one that the record states.")
    return parts


def _scores(record: StudyRecord) -> str:
    shown = unit(record.metric)
    lines = []
    for e in record.examples:
        scores = ", ".join(f"{escape(n)} {shown.show(value)}" for n, value in e.scores.items())
        lines.append(f"- {e.place}, {escape(e.image)}: {scores}")
    return "\n".join(lines)
