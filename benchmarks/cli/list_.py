"""`list`: everything that has a name."""

from __future__ import annotations


def register(commands) -> None:
    p = commands.add_parser("list", help="tasks, datasets, backbones, methods, protocols")
    p.set_defaults(call=call)


def call(args) -> int:
    from tabulate import tabulate

    from benchmarks import backbones, cells, data
    from benchmarks.catalog import BACKBONES, DATASETS, METHODS, SWAP, TASKS
    from benchmarks.errors import UsageError
    from benchmarks.protocols import PROTOCOLS

    def state(reason: str | None) -> str:
        return "ready" if reason is None else "not prepared"

    def summary(name: str) -> str:
        try:
            return METHODS.get(name).summary
        except UsageError as error:  # of an installed package, which must not cost the list
            return str(error)

    sections = {
        "tasks": [(t.name, t.summary, ", ".join(t.metrics)) for _, t in TASKS.items()],
        "datasets": [(d.name, d.task, d.protocol, d.summary, state(data.lacking(d))) for _, d in DATASETS.items()],
        "backbones": [(b.name, b.protocol, b.summary, state(backbones.lacking(b))) for _, b in BACKBONES.items()],
        "methods (each also as NAME+swap)": [(name, summary(name)) for name in METHODS],
        "protocols": [(name, p.summary) for name, p in PROTOCOLS.items()],
    }
    for title, rows in sections.items():
        print(f"{title}\n{tabulate(rows, tablefmt='plain')}\n")
    for table, what in ((2, "backbones"), (3, "methods on SAM ViT-B"), (5, "DINOv2")):
        print(f"the paper's table {table}: {what}, each without and with +swap")
        print(f"{tabulate(cells.matrix(table), headers='keys', tablefmt='plain')}\n")
    print(
        "ok: can be run now. d: needs its data (data fetch NAME). w: needs its weights (weights fetch NAME). A cell is a run, such as"
    )
    print(f"  {next(c for c in cells.cells() if c.table == 2 and c.method.endswith(SWAP)).command}\n")
    print("One of them closely: python -m benchmarks show NAME. What is missing and how to get it: python -m benchmarks doctor")
    return 0
