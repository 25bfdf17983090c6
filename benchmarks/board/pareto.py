"""Quality over cost: what each method of a board takes, which of them nobody beats, and a picture of each kind of cost."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from statistics import median

import pandas as pd

from benchmarks.board.axes import BLUE, GREEN, Label, dot, grid, labels, line, linear, picture, text
from benchmarks.board.axes import costs as scale_of
from benchmarks.board.pool import SWAP, Pool, family, interval, mean, metrics_of, ordered, pool
from benchmarks.board.text import Table
from benchmarks.board.units import Unit, unit
from benchmarks.records import Record, Stage

PARAMETERS, SECONDS, GPU, RESIDENT = "trained parameters", "seconds", "peak GPU memory, MB", "peak resident memory, MB"
WIDTH, HEIGHT = 720, 440  # pixels
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 36, 66
NAMED = 24  # of more methods only those on the front, and base, are named by words


@dataclass(frozen=True)
class Point:
    """A method: a cost, and its quality with the interval, in the metric's own unit."""

    name: str
    cost: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Costs:
    """What each method took on one device, by kind of cost; medians over seeds. Parameters are the same on every device."""

    device: str
    known: dict[str, dict[str, float]]

    @property
    def memory(self) -> str:
        """GPU memory where any was recorded, else resident memory: the two never share a picture."""
        return GPU if self.known.get(GPU) else RESIDENT


def costs(records: list[Record], names: list[str]) -> list[Costs]:
    """The costs of the methods `names` of one board, by device and number of threads."""
    runs: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        threads = record.environment.threads
        runs[f"{record.environment.device}, {threads} thread{'s' if threads != 1 else ''}"].append(record)
    return [_costs(device, runs[device], names) for device in sorted(runs)]


def _costs(device: str, records: list[Record], names: list[str]) -> Costs:
    known: dict[str, dict[str, float]] = defaultdict(dict)
    by_method = defaultdict(list)
    for record in records:
        by_method[record.spec.method].append(record)
    for name in names:
        # A run with swap evaluates its method without it too, and any run evaluates base.
        own = by_method.get(name) or by_method.get(name + SWAP) or (records if name == "base" else [])
        found = defaultdict(list)
        for record in own:
            if stages := _stages(record, name):
                found[SECONDS].append(sum(s.seconds for s in stages))
                for kind, peaks in ((GPU, [s.peak_gpu_mb for s in stages]), (RESIDENT, [s.peak_memory_mb for s in stages])):
                    if told := [p for p in peaks if p is not None]:
                        found[kind].append(max(told))
            if record.trainable is not None and family(record.spec.method) == family(name):
                found[PARAMETERS].append(record.trainable.method + sum(record.trainable.besides.values()))
        if name == "base":
            found[PARAMETERS] = [0]
        for kind, values in found.items():
            known[kind][name] = float(median(values))
    return Costs(device, dict(known))


def _stages(record: Record, name: str) -> list[Stage]:
    """The stages that `name` needs of a run: training, with swap also embedding and search, and its own evaluation. None where
    the evaluation was not timed by itself, a search is missing, or one was computed on another device."""
    plain = name.removesuffix(SWAP)
    wanted = {f"evaluate {name}"} | ({"evaluate"} if record.spec.method == name else set())
    evaluated = [s for s in record.stages if s.name in wanted]
    needed = {"train"} if plain != "base" else set()
    needed |= {"embed", "search"} if name != plain else set()
    made = [s for s in record.stages if s.name in needed]
    if any(s.device for s in (*made, *evaluated)):  # it was computed elsewhere
        return []
    whole = bool(evaluated) and (name == plain or any(s.name == "search" for s in made))
    return [*made, *evaluated] if whole else []


def points(pooled: Pool, known: dict[str, float]) -> list[Point]:
    """Of the methods whose cost is known; without an interval where the seeds have different test images."""
    found = []
    for name in known:
        value, estimate = mean(pooled, name), interval(pooled, name)
        found.append(Point(name, known[name], value, estimate.low if estimate else value, estimate.high if estimate else value))
    return found


def front(several: list[Point], higher: bool) -> list[Point]:
    """Those that no other beats: none is at least as good and as cheap, and better in one of the two. By rising cost."""
    best, kept = None, []
    sign = 1 if higher else -1
    for p in sorted(several, key=lambda p: (p.cost, -sign * p.value, p.name)):
        if best is None or sign * p.value > sign * best.value or (p.value == best.value and p.cost == best.cost):
            kept.append(p)
            best = p
    return kept


def methods(records: list[Record]) -> tuple[Pool, list[str]] | None:
    """The scores of a board and its methods, controls left out; None where there are fewer than two."""
    metrics = metrics_of(records)
    pooled = pool(records, metrics[0]) if metrics else None
    names = ordered(n for n in pooled.scores if pooled.roles[n] != "control") if pooled else []
    return (pooled, names) if len(names) > 1 else None


def table(pooled: Pool, names: list[str], found: Costs) -> Table:
    """A row a method of one device: its quality, its costs, and the pictures on whose front it is."""
    u = unit(pooled.metric)
    kinds = (PARAMETERS, found.memory, SECONDS)
    fronts = {k: {p.name for p in front(points(pooled, found.known.get(k, {})), u.higher)} for k in kinds}
    rows = []
    for name in names:
        if not any(name in values for values in found.known.values()):
            continue
        row = {"method": name, u.header: u.show(mean(pooled, name))}
        for kind in kinds:
            value = found.known.get(kind, {}).get(name)
            row[kind] = "not recorded" if value is None else f"{value:,.1f}" if kind == SECONDS else f"{value:,.0f}"
        row["nobody beats it in"] = ", ".join(_short(k) for k in kinds if name in fronts[k])
        rows.append(row)
    notes = []
    if found.memory == GPU and (lack := [n for n in found.known.get(RESIDENT, {}) if n not in found.known[GPU]]):
        notes = [f"without a figure of GPU memory, and so left out of its picture: {', '.join(lack)}"]
    return Table(
        f"On {found.device}. Quality over all seeds of the board; costs are medians over the seeds that ran there.",
        pd.DataFrame(rows),
        tuple(notes),
    )


def plot(several: list[Point], kind: str, where: str, u: Unit) -> str:
    """The picture of one kind of cost. `where` is the device, "" for parameters."""
    x = scale_of([p.cost for p in several], LEFT, WIDTH - RIGHT)
    y = linear([u.scale * v for p in several for v in (p.low, p.high)], HEIGHT - BOTTOM, TOP)
    title = u.header + (f", on {where}" if where else "")
    parts = grid(x, y, title, kind)
    best = front(several, u.higher)
    path = ""
    for p in best:  # from one to the next nobody pays more for the same: first to the side, then up
        path += f"H{x(p.cost):.1f}V{y(u.scale * p.value):.1f}" if path else f"M{x(p.cost):.1f} {y(u.scale * p.value):.1f}"
    parts.append(f'<path d="{path}H{x.end:.1f}" fill="none" stroke="{GREEN}" stroke-width="1.5"/>')
    on = {p.name for p in best}
    for p in several:
        at, colour = x(p.cost), GREEN if p.name in on else BLUE
        about = f"{p.name}: {u.show(p.value)} ({u.show(p.low)} to {u.show(p.high)}), {kind} {p.cost:,.1f}"
        parts.append(line(at, y(u.scale * p.low), at, y(u.scale * p.high), colour, ' stroke-width="1.4" stroke-opacity="0.5"'))
        parts.append(dot(at, y(u.scale * p.value), colour, about))
    named = [p for p in several if len(several) <= NAMED or p.name in on or p.name == "base"]
    where_labels = [Label(x(p.cost), y(u.scale * p.value), p.name) for p in named]
    parts += labels(where_labels, (LEFT, TOP - 8, WIDTH - 4, HEIGHT - BOTTOM))
    base = HEIGHT - 10
    parts += [line(LEFT, base - 4, LEFT + 24, base - 4, GREEN, ' stroke-width="1.5"')]
    parts += [text(LEFT + 30, base, "nobody is as good for less; bars: 95 % intervals")]
    if len(named) < len(several):
        parts += [text(WIDTH - RIGHT, base, f"{len(several) - len(named)} more methods are named in the table", "end")]
    return picture(WIDTH, HEIGHT, f"{u.label} over {kind}", parts)


def pictures(pooled: Pool, devices: list[Costs]) -> dict[str, tuple[str, str]]:
    """What is drawn of a board, by a short name for its file: what it shows in words, and the file's text. Parameters stand once;
    memory and seconds once a device."""
    u, made = unit(pooled.metric), {}
    parameters = {name: value for found in devices for name, value in found.known.get(PARAMETERS, {}).items()}
    if len(parameters) > 1:
        made["parameters"] = (f"{u.label} over trained parameters", plot(points(pooled, parameters), PARAMETERS, "", u))
    for k, found in enumerate(devices):
        place = re.sub(r"[^a-z0-9]+", "-", found.device.lower()).strip("-")[:40]
        place = f"{place}-{k}" if len(devices) > 1 else place
        for kind in (found.memory, SECONDS):
            if len(known := found.known.get(kind, {})) > 1:
                about = f"{u.label} over {kind}, on {found.device}"
                made[f"{_short(kind)}-{place}"] = (about, plot(points(pooled, known), kind, found.device, u))
    return made


def _short(kind: str) -> str:
    return {PARAMETERS: "parameters", SECONDS: "seconds"}.get(kind, "memory")
