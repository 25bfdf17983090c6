"""What `run` and `sweep` have in common: flags of a computation, where records go, what is shown after."""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import suppress
from pathlib import Path

from benchmarks.columns import fill
from benchmarks.errors import UsageError, count

log = logging.getLogger("benchmarks")


def add_flags(p) -> None:
    """Flags of how, not of what."""
    p.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N, mps")
    p.add_argument("--precision", default="float32", choices=("float32", "bfloat16"), help="default: float32")
    p.add_argument(
        "--micro-batch",
        type=int,
        metavar="N",
        help="images whose gradient is computed at once (default: 2); the batch is accumulated",
    )
    p.add_argument(
        "--activation-checkpointing", action="store_true", help="train in less memory: compute the encoder's blocks twice"
    )
    p.add_argument("--loaders", type=int, default=0, metavar="N", help="processes that read training images ahead (default: 0)")
    p.add_argument(
        "--no-shortcuts",
        action="store_true",
        help="score by the library's own decoder on features replaced in full: slow, for checks",
    )
    p.add_argument("--compile", action="store_true", help="compile the search's decoder (torch.compile; CUDA graphs on a GPU)")
    p.add_argument(
        "--deterministic",
        action="store_true",
        help="the same numbers to the bit each time on one machine: on a GPU slower, with batches of fixed size",
    )
    p.add_argument("--threads", type=int, help="default: the cores that nobody else keeps busy")
    p.add_argument(
        "--log",
        action="append",
        default=[],
        choices=("tensorboard", "wandb"),
        help="also write scalars for it, under $CHANSWAP_HOME/logs (repeatable; needs that package; can fail no run)",
    )
    p.add_argument("--offline", action="store_true", help="let no library reach for the network")
    p.add_argument("--force", action="store_true", help="do every stage again, kept or not")
    p.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    p.add_argument("--verified", action="store_true", help="write into results/verified: clean tree and full test set only")
    p.add_argument("--results", type=Path, help="results folder (default: the checkout's); the pages go beside it")
    p.add_argument(
        "--leaderboard",
        type=Path,
        help="folder of the pages (default: leaderboard beside the results folder, so /tmp/leaderboard for --results /tmp/X)",
    )


def prepare(args) -> None:
    """Before anything imports torch. Raises UsageError for flags that do not go together, and for a home that cannot be used."""
    from benchmarks import threads
    from benchmarks.deterministic import before_torch
    from benchmarks.files import make_home

    threads.wait_passively()
    if getattr(args, "deterministic", False):  # not every command that computes has the flag
        before_torch()
    if args.offline:
        os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    if args.threads is not None and args.threads < 1:
        raise UsageError(f"--threads must be at least 1, got {args.threads}")
    if not args.dry_run:
        make_home()


def options(args):
    from benchmarks.options import Options

    return Options(
        Options.micro_batch if args.micro_batch is None else args.micro_batch, args.activation_checkpointing, args.loaders
    )


def folders(args, plans: list) -> tuple[Path, Path, Path]:
    """(results, the tier's folder in it, leaderboard). Raises UsageError where --verified is not to be had."""
    from benchmarks.environment import changes, project_root
    from benchmarks.files import try_to_write

    results = args.results or project_root() / "results"
    if args.verified and args.limit is not None:
        raise UsageError("--verified wants the full test set; leave --limit out")
    if args.verified and (outside := sorted({p.method for p in plans if p.origin})):
        raise UsageError(f"--verified is for the suite's own methods; leave it out for {', '.join(outside)}")
    if args.verified and changes() != "":
        raise UsageError("--verified wants a clean git checkout; commit your changes first")
    tier = results / ("verified" if args.verified else "community")
    if not args.dry_run:  # now, and not when the work is done
        try_to_write(tier, "name a folder for the records with --results")
    return results, tier, args.leaderboard or results.parent / "leaderboard"


def decoding(args):
    from benchmarks.options import Decoding

    return Decoding(shortcuts=not args.no_shortcuts, compiled=args.compile)


def part(text: str) -> tuple[int, int]:
    """(i, n), 0-based, of "I/N", 1-based. Raises UsageError."""
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise UsageError(f"a part or shard is given as I/N, from 1/N to N/N, such as 1/4; got {text!r}")
    return int(number) - 1, int(of)


def seeds(text: str, own: tuple[int, ...]) -> list[int]:
    """The seeds that --seeds means; `own` are the protocol's."""
    if text == "all":
        return list(own)
    try:
        chosen = [int(x) for x in text.split(",")]
    except ValueError:
        raise UsageError(f'--seeds takes whole numbers such as 0,1,2, or "all"; got {text!r}') from None
    if len(set(chosen)) != len(chosen) or min(chosen) < 0:
        raise UsageError(f"--seeds must differ and be 0 or more; got {text!r}")
    return chosen


def tables(done: list, beside: list = ()) -> None:
    """Print the comparison of finished records of one board, the swaps of `done`, and what their stages cost."""
    from benchmarks.board import tables
    from benchmarks.board.text import terminal

    print(terminal(tables.summary([*done, *beside], further=False)))
    if (others := tables.other_metrics([*done, *beside])) is not None:
        print()
        print(terminal(others))
    if any(r.search for r in done):
        print()
        print(terminal(tables.search_table(done)))
    for record in done:
        for table in tables.cost([record]):
            print()
            print(terminal(table))


def logs(args) -> tuple[str, ...]:
    """The names of --log whose packages are here; of each other one it is said once, and the runs go on without it."""
    import importlib.util

    names = dict.fromkeys(args.log)
    for name in [n for n in names if importlib.util.find_spec(n) is None]:
        log.warning("--log %s: not logged, the package is not installed; pip install %s for the next time", name, name)
        del names[name]
    return tuple(names)


def say_logs(names: tuple[str, ...]) -> None:
    """Where the logs of this call are, and what looks at them."""
    from benchmarks.tracking import folder

    look = {"tensorboard": "tensorboard --logdir {}", "wandb": "wandb sync --sync-all, in {}"}
    for name in names:
        if folder(name).is_dir():
            log.info("logged: %s", look[name].format(folder(name)))


def first_line(plan, why: str | None = None) -> str:
    """Which protocol, why (the plan's own reason, or another), and what it is."""
    line = f"Protocol {plan.protocol.name}: {why or plan.why}. It is {plan.protocol.summary}"
    return fill(line + ("; its numbers never stand in for the paper's." if plan.protocol.name == "mini-v1" else "."))


def pages_due(leaderboard: Path) -> bool:
    """Whether pages must be made even where every record was there: none are, or a call that was to make them was killed."""
    return not leaderboard.exists() or _unmade(leaderboard).exists()


def pages_begun(leaderboard: Path) -> None:
    """Remember, in the home, that records may come which the pages do not show yet; `pages_done` forgets it."""
    with suppress(OSError):  # a full disk: the run will say so
        _unmade(leaderboard).parent.mkdir(parents=True, exist_ok=True)
        _unmade(leaderboard).touch()


def pages_done(leaderboard: Path) -> None:
    _unmade(leaderboard).unlink(missing_ok=True)


def _unmade(leaderboard: Path) -> Path:
    from benchmarks.files import home

    return home() / "pages" / hashlib.sha256(str(leaderboard.resolve()).encode()).hexdigest()[:24]


def refresh(results: Path, leaderboard: Path) -> None:
    """Make the pages again. That they cannot be written costs no run."""
    from benchmarks.board.build import build

    try:
        pages = build(results, leaderboard)
    except OSError as error:
        log.warning("the pages in %s were not refreshed (%s); run: python -m benchmarks board build", leaderboard, error.strerror)
        return
    pages_done(leaderboard)
    log.info("leaderboard: %s changed in %s", count(len(pages), "page"), near(leaderboard))


def near(path: Path) -> str:
    """A path as short as it can be said from here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
