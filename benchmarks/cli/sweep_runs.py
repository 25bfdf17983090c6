"""The runs that the flags of `sweep` ask for: cells of a grid, and the plan of each."""

from __future__ import annotations

import logging

from benchmarks.cli import common
from benchmarks.errors import MissingData, UsageError, count

log = logging.getLogger("benchmarks")


def cells_of(args) -> tuple[list, str | None]:
    """The cells of the grid, or of the shard of it, and the strategy of their searches."""
    from benchmarks import grid_file
    from benchmarks.engines.shards import share
    from benchmarks.grid import Grid, expand

    grid = grid_file.read(args.grid) if args.grid else Grid()
    given = {
        name: getattr(args, name) for name in ("tasks", "datasets", "backbones", "methods", "protocols") if getattr(args, name)
    }
    if args.seeds is not None:
        given["seeds"] = ["all"] if args.seeds == "all" else common.seeds(args.seeds, ())
    grid = grid.model_copy(update=given)
    cells = expand(grid)
    if args.shard:
        mine = share(((cell.model, " ".join(cell.model)) for cell in cells), common.part(args.shard))
        cells = [cell for cell in cells if cell.model in mine]
    strategy = args.strategy or grid.strategy
    if strategy is not None:
        from benchmarks.protocols import STRATEGIES

        if strategy not in STRATEGIES[:-1]:
            raise UsageError(f"unknown strategy {strategy!r}; choose from: {', '.join(STRATEGIES[:-1])}")
    return cells, strategy


def planned(args, cells: list, strategy: str | None, ray: tuple | None) -> list:
    """The runs of the cells. What cannot be run is said; it is an error with --strict, and where it is all there is."""
    from benchmarks.plan import Request
    from benchmarks.protocol_choice import choose_protocol
    from benchmarks.sweep import plans_of

    asked, elsewhere = args.device, bool(args.address)
    if elsewhere:
        on_gpu = asked == "cuda" or (asked == "auto" and bool(ray and ray[0].has_gpus))
        if on_gpu and ray and not ray[0].has_gpus:
            raise UsageError("the cluster has no GPU; use --device cpu")
        asked = "cuda:0" if on_gpu else "cpu"
    request = Request(
        "", "", limit=args.limit, device=asked, precision=args.precision, options=common.options(args), strategy=strategy,
        decoding=common.decoding(args), deterministic=args.deterministic, elsewhere=elsewhere,
    )  # fmt: skip
    plans, unready = plans_of(cells, request)
    for protocol in {p.protocol.name: p for p in plans}.values():
        why = "named in the grid"
        if not (args.protocols or args.grid):
            named = args.datasets or args.backbones
            why = "what is named belongs to it" if named else choose_protocol(protocol.task, "auto", None, None)[1]
        log.info("%s", common.first_line(protocol, why))
    for line in _reasons(unready):
        log.warning("cannot run: %s", line)
    if unready and (args.strict or not plans):
        kind = MissingData if all(u.missing for u in unready) else UsageError
        what = "nothing can be run" if not plans else f"{count(len(unready), 'run')} of {len(cells):,} cannot be run"
        cure = "leave --strict out to do the others" if plans else "see: python -m benchmarks doctor"
        raise kind(f"{what}: {_reasons(unready)[0]}; mend that, or {cure}")
    return plans


def _reasons(unready: list) -> list[str]:
    """A line a reason, with what it keeps from running."""
    by_reason: dict[str, list] = {}
    for u in unready:
        by_reason.setdefault(u.reason, []).append(u.cell)
    lines = []
    for reason, cells in by_reason.items():
        what = [" ".join(dict.fromkeys(getattr(c, axis) for c in cells)) for axis in ("dataset", "backbone", "method")]
        what = [
            names if names.count(" ") < 3 else f"{names.count(' ') + 1} {axis}s"
            for names, axis in zip(what, ("dataset", "backbone", "method"))
        ]
        lines.append(f"{', '.join(what)} ({count(len(cells), 'run')}): {reason}")
    return lines
