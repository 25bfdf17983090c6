"""What several records say together: seeds, runs that stand twice, and evaluations that must agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np

from benchmarks.board.collect import Board, board_of
from benchmarks.board.pool import TOLERANCE
from benchmarks.board.text import plain
from benchmarks.catalog import BEST_OF_THREE
from benchmarks.errors import some
from benchmarks.records import Record
from benchmarks.validation.findings import EDITED, Fault, Found, Note
from benchmarks.validation.known import Known

MANY = 10  # different scores: a few zeros and ones may well agree between two seeds
SEEDLESS = ("base", BEST_OF_THREE)  # nothing of theirs is drawn by the run's seed

Group = list[tuple[str, Record, Known]]  # path, record, what it speaks of


def together(records: Group, beside: Group) -> Iterator[Found]:
    """Faults of the records, each at its file. `beside`: others that count for seeds and agreement but are not looked at."""
    boards: dict[Board, Group] = defaultdict(list)
    mine = {path for path, _, _ in records}
    for item in [*records, *(b for b in beside if b[0] not in mine)]:
        boards[board_of(item[1], "")].append(item)
    for group in boards.values():
        if any(path in mine for path, _, _ in group):
            found = [*_seeds(group, mine), *_twice(group), *_copied(group), *_agree(group), *_retrained(group)]
            yield from (f for f in found if f.path in mine)


def _seeds(group: Group, mine: set[str]) -> Iterator[Found]:
    """The fault is said once for each method, at its first file that is looked at."""
    had: dict[str, dict[int, str]] = defaultdict(dict)
    for path, record, _ in group:
        had[record.spec.method].setdefault(record.spec.seed, path)
    wanted = group[0][2].protocol.seeds
    for path, record, _ in group:
        if record.spec.seed not in wanted:
            what = f"seed {record.spec.seed} is none of the protocol's, {', '.join(map(str, wanted))}"
            yield Fault("seeds", what, "leave it out", path)
    for method, paths in had.items():
        missing = [s for s in wanted if s not in paths]
        if missing and (first := min((p for p in paths.values() if p in mine), default=None)):
            said = ", ".join(map(str, missing))
            yield Fault(
                "seeds",
                f"of {plain(method)}, seeds are missing: {said}",
                f"run it with --seeds {said.replace(' ', '')}, and give its record too",
                first,
            )


def _twice(group: Group) -> Iterator[Found]:
    runs: dict[str, list[str]] = defaultdict(list)
    origins: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path, record, about in group:
        runs[record.spec_hash].append(path)
        origins[about.method][record.origin.sha256 if record.origin else ""].append(path)
    for paths in runs.values():
        for path in paths[1:]:
            yield Fault(
                "seeds",
                f"the same run as {plain(paths[0])}: a board takes one",
                "leave one out; not the worse one for being worse",
                path,
            )
    for method, versions in origins.items():
        if len(versions) > 1:
            for path in [p for paths in list(versions.values())[1:] for p in paths]:
                yield Fault(
                    "seeds",
                    f"of another version of {plain(method)} than the other records",
                    "run all seeds with one version of the source",
                    path,
                )


def _copied(group: Group) -> Iterator[Found]:
    """Trainings under several seeds that came to the same to the last digit: one run under several names. The seed draws the order
    of the images, so that two seeds share neither a loss nor all scores."""
    alike: dict[tuple, list[tuple[str, int]]] = defaultdict(list)
    for path, record, about in group:
        e = record.evaluation(about.method)
        if record.training is None or e is None:
            continue
        alike[about.method, "losses", tuple(record.training.losses)].append((path, record.spec.seed))
        if any(len(set(values)) > MANY for values in e.scores.values()):
            columns = tuple((metric, *values) for metric, values in sorted(e.scores.items()))
            alike[about.method, "scores", columns].append((path, record.spec.seed))
    for (method, what, _), items in alike.items():
        if len(seeds := sorted({seed for _, seed in items})) > 1:
            said = f"the {what} of {plain(method)} are the same to the last digit under seeds {', '.join(map(str, seeds))}"
            for path, _ in items:
                yield Fault("seeds", said, "run each seed; one run under several names is none of them", path)


def _agree(group: Group) -> Iterator[Found]:
    """Evaluations of one name and seed (of base: of any seed) that the same code made on the same device."""
    same: dict[tuple, list[tuple[str, dict[str, np.ndarray], tuple]]] = defaultdict(list)
    for path, record, _ in group:
        machine = _machine(record)
        for e in record.evaluations:
            if any(len(v) != len(record.images) for v in e.scores.values()):
                continue  # said already
            order = np.argsort(np.array(record.images))
            columns = {m: np.array(v, dtype=np.float64)[order] for m, v in e.scores.items()}
            seed = None if e.name in SEEDLESS else record.spec.seed
            same[e.name, seed, machine].append((path, columns, tuple(np.array(record.images)[order])))
    for (name, seed, _), items in same.items():
        images = Counter(ids for _, _, ids in items).most_common(1)[0][0]
        items = [item for item in items if item[2] == images]
        for metric in {m for _, columns, _ in items for m in columns}:
            yield from _odd(
                name, seed, metric, [(path, columns[metric]) for path, columns, _ in items if metric in columns], images
            )


def _retrained(group: Group) -> Iterator[Note]:
    """A method whose own record and whose swap's, of one seed, were made by other code or devices and scored otherwise: there were
    two trainings, and a swap's gain is that over its own."""
    plain_runs = {(r.spec.method, r.spec.seed): (path, r) for path, r, _ in group}
    for path, record, about in group:
        other = plain_runs.get((about.method, record.spec.seed))
        mine, theirs = record.evaluation(about.method), other and other[1].evaluation(about.method)
        if not about.swap or mine is None or not theirs or record.images != other[1].images:
            continue
        gaps = [
            max(abs(x - y) for x, y in zip(values, theirs.scores[metric], strict=True))
            for metric, values in mine.scores.items()
            if len(theirs.scores.get(metric, ())) == len(values) > 0
        ]
        if max(gaps, default=0.0) > TOLERANCE and _machine(record) != _machine(other[1]):
            said = f"{plain(about.method)}, seed {record.spec.seed}, was trained anew for its swap, by other code or on another device, and scores differ by up to {max(gaps):.3g}"
            yield Note("agreement", said, path)


def _machine(record: Record) -> tuple:
    on = record.environment
    return record.code, on.device, on.platform, str(record.origin)


def _odd(name: str, seed: int | None, metric: str, columns: list[tuple[str, np.ndarray]], images: tuple) -> Iterator[Found]:
    """Those that differ from what most records say; where there is no majority, all of them."""
    said = Counter(values.tobytes() for _, values in columns).most_common()
    if len(said) < 2:
        return
    most = np.frombuffer(said[0][0]) if said[0][1] > said[1][1] else None
    for path, values in columns:
        others = [most] if most is not None else [other for p, other in columns if p != path]
        gap = max((abs(values - other) for other in others), key=np.max)
        if (worst := float(gap.max())) > TOLERANCE:
            wrong = [plain(images[k]) for k in np.flatnonzero(gap > TOLERANCE)]
            of = plain(name) + ("" if seed is None else f", seed {seed}")
            what = f"{of}: {len(wrong)} scores of {plain(metric)} differ by up to {worst:.3g} from those in other records of it ({some(wrong, 3)})"
            yield Fault("agreement", what, EDITED, path)
        elif worst > 0:
            yield Note("agreement", f"{plain(name)}: scores differ by rounding between records", path)
