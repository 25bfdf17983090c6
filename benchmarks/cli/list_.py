"""`list`: everything that has a name."""

from __future__ import annotations

import argparse

ABOUT = """Everything that has a name, what of it is prepared on this machine, and which cells of the paper's tables can be run here.
One of them closely: python -m benchmarks show NAME"""


def register(commands) -> None:
    p = commands.add_parser(
        "list",
        help="tasks, datasets, backbones, methods, protocols",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.set_defaults(call=call)


def call(args) -> int:
    from benchmarks import cells, readiness
    from benchmarks.catalog import BACKBONES, DATASETS, METHODS, SWAP, TASKS
    from benchmarks.columns import fill, grid
    from benchmarks.errors import UsageError
    from benchmarks.protocols import PROTOCOLS

    def summary(name: str) -> str:
        try:
            return METHODS.get(name).summary
        except UsageError as error:  # of an installed package, which must not cost the list
            return str(error)

    states = {name: readiness.of_dataset(dataset) for name, dataset in DATASETS.items()}
    sections = {
        "tasks": [(t.name, t.summary, ", ".join(t.metrics)) for _, t in TASKS.items()],
        "datasets": [(d.name, d.task, d.protocol, d.summary, states[d.name]) for _, d in DATASETS.items()],
        "backbones": [(b.name, b.protocol, b.summary, readiness.of_backbone(b)) for _, b in BACKBONES.items()],
        "methods (each also as NAME+swap)": [(name, summary(name)) for name in METHODS],
        "protocols": [(name, p.summary) for name, p in PROTOCOLS.items()],
    }
    for title, rows in sections.items():
        print(f"{title}\n{grid(rows)}\n")
    for table, what in ((2, "backbones"), (3, "methods on SAM ViT-B"), (5, "DINOv2")):
        print(f"the paper's table {table}: {what}, each without and with +swap")
        matrix = [{d: _cell(lacks, states.get(d, "")) for d, lacks in row.items()} for row in cells.matrix(table)]
        print(f"{grid([row.values() for row in matrix], list(matrix[0]))}\n")
    keys = "ok: can be run now. d: needs its data (data fetch NAME). w: needs its weights (weights fetch NAME)."
    keys += " i: its data are here, but incomplete (data verify NAME)." if any(_partial(s) for s in states.values()) else ""
    print(fill(f"{keys} A cell is a run, such as"))
    print(f"  {next(c for c in cells.cells() if c.table == 2 and c.method.endswith(SWAP)).command}\n")
    print("One of them closely: python -m benchmarks show NAME")
    print("What is missing and how to get it: python -m benchmarks doctor")
    return 0


def _partial(state: str) -> bool:
    from benchmarks import readiness

    return state not in ("", readiness.READY, readiness.MISSING)


def _cell(lacks: str, state: str) -> str:
    """A cell of a table of the paper: "ok" or what is lacking, with an i where the dataset is here in part."""
    return "i" + lacks.removeprefix("ok") if _partial(state) else lacks
