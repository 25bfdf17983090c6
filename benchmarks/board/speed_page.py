"""The page of speed: scorers of swaps beside the literal loop, from `results/speed/*.json` alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.board.collect import Collection
from benchmarks.board.text import Table, code, escape, markdown
from benchmarks.errors import InvalidRecord, count
from benchmarks.speed_records import SpeedRecord, read

PAGE = "speed.md"
TITLE = "Speed"
LINE = "What scoring a swap takes, beside the loop that runs the library's decoder once for each"
ABOUT = (
    "A search scores every pair of channels on every search image. The literal loop replaces the channel and runs the library's own "
    "decoder (or head), one pair on one image at a time; all other ways give the same scores, up to what the last columns say. Both "
    "sides of a ratio were timed in one call on one device; the ratio is taken round by round, its median shown with the lowest and "
    "the highest. Nothing here depends on what the weights know, so random ones serve where it says so."
)


def collect(results: Path) -> tuple[list[SpeedRecord], list[str]]:
    """The records under `results/speed` in a fixed order, and a line for each file that is not shown."""
    found, faults = [], []
    for path in sorted((Path(results) / "speed").glob("*.json")):
        try:
            found.append(read(path))
        except InvalidRecord as error:
            faults.append(f"{path.name}: {str(error).removeprefix(f'{path}: ')}")
    return sorted(found, key=lambda r: (r.subject, r.backbone, r.environment.device)), faults


def pages(results: Path, found: Collection) -> dict[str, list[str]]:
    """The page's parts, by file name; none where no speed was ever measured."""
    records, faults = collect(results)
    if not records and not faults:
        return {}
    parts = ["# Speed of scoring", "[All pages, and how to read the numbers](README.md)", ABOUT]
    for record in records:
        weights = "random weights" if record.weights == "random" else f"weights {record.weights[:8]}"
        parts += [f"## {escape(record.backbone)} on {escape(record.environment.device)}: {escape(record.subject)}"]
        parts += [escape(f"{record.channels} channels, {weights}."), markdown(table(record)), code([record.command])]
    if faults:
        parts += ["## Files that are not shown", "\n".join(f"- {escape(fault)}" for fault in faults)]
    return {PAGE: parts}


def table(record: SpeedRecord) -> Table:
    """A row a way of scoring. Columns that no way of the record has are left out."""
    rows = [
        {
            "way": way.name,
            "ms a pass": f"{way.milliseconds:,.4g}",
            "times faster": "1" if way is record.literal else f"{way.ratio:,.3g} ({way.lowest:,.3g} to {way.highest:,.3g})",
            "batch": str(way.batch),
            "all pairs, 50 images": _all(record, way.name, way.milliseconds),
            "MFLOP a pass": "" if way.mflop is None else f"{way.mflop:,.4g}",
            "of the product's rate": "" if way.share is None else f"{100 * way.share:.0f} %",
            "peak GPU memory, MB": "" if way.peak_gpu_mb is None else f"{way.peak_gpu_mb:,.0f}",
            "largest difference": "" if way is record.literal else f"{way.difference:.1e}",
            "differ by more than 1e-4": ""
            if way is record.literal
            else f"{way.differing:,} of {record.candidates * record.images:,}",
            "of the best ten": "" if way.best_kept is None else f"{way.best_kept} of 10",
        }
        for way in record.ways
    ]
    frame = pd.DataFrame(rows)
    frame = frame[[column for column in frame if (frame[column] != "").any()]]
    about = (
        f"{record.candidates:,} candidates on {record.images} images, {count(record.rounds, 'round')}, {count(record.environment.threads, 'thread')}. "
        f"All pairs: {record.passes:,} passes"
    )
    whole = record.whole
    if whole:
        about += f", measured from end to end for {whole.way} ({whole.pairs:,} pairs on {whole.images} images"
        about += f", peak resident memory {whole.peak_memory_mb:,.0f} MB" if whole.peak_memory_mb else ""
        about += f", peak GPU memory {whole.peak_gpu_mb:,.0f} MB" if whole.peak_gpu_mb else ""
        about += "), else extrapolated from the sample."
    else:
        about += ", extrapolated from the sample."
    if record.rates:
        rates = " and ".join(f"{rate:,.3g} GFLOP/s in {precision}" for precision, rate in record.rates.items())
        each = " on one thread, which is what a worker has" if record.environment.device.startswith("CPU") else ""
        about += f" A large matrix product ran at {rates}{each}."
    short = {"largest difference": "largest diff.", "differ by more than 1e-4": "differ"}
    return Table(about, frame, (), "Nothing was timed.", short)


def _all(record: SpeedRecord, name: str, milliseconds: float) -> str:
    if record.whole and record.whole.way == name:
        return f"{_time(record.whole.seconds)}, measured"
    return _time(record.passes * milliseconds / 1000)


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"
