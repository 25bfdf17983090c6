"""`doctor`: what is installed, which device, what is prepared, what is missing and what mends it."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  python -m benchmarks doctor              about ten seconds: the weights that are here are held against their sha256
  python -m benchmarks doctor --report     text for a bug report"""


def register(commands) -> None:
    p = commands.add_parser(
        "doctor",
        help="what works on this machine, and what mends the rest",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "--report",
        action="store_true",
        help="print what a bug report needs instead: versions, device, settings, what is prepared, the last failed runs; without your "
        "name, your machine's or your folders",
    )
    p.add_argument("--results", type=Path, help="with --report: results folder with the failed runs (default: the checkout's)")
    p.set_defaults(call=call)


def call(args) -> int:
    if args.report:
        from benchmarks.environment import project_root
        from benchmarks.report import report

        print(report(args.results or project_root() / "results"))
        return 0
    import platform

    from benchmarks import threads
    from benchmarks.columns import fill
    from benchmarks.errors import count
    from benchmarks.files import home

    mends: list[str] = []

    def line(good: bool, what: str, mend: str = "") -> None:
        print(fill(f"{'ok  ' if good else 'MISS'}  {what}", " " * 6))
        if not good and mend:
            mends.append(mend)

    print(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    print(f"      {count(threads.usable_cores(), 'core')}, {threads.busy_cores():.1f} of them busy with other work")
    _packages(line)
    _device(line)
    _folders(line)
    _weights(line)
    _datasets(line)
    if mends:
        print("\nto mend:")
        for mend in mends:
            print(fill(f"  - {mend}", " " * 4))
        print(
            fill(f"Weights go to {home() / 'weights'}, data to {home() / 'data'}/NAME; set CHANSWAP_HOME to keep them elsewhere.")
        )
    return 0


def _packages(line) -> None:
    from benchmarks.environment import versions

    found = versions()
    line(True, ", ".join(f"{package} {version}" for package, version in found.items() if version))
    for package in (p for p, version in found.items() if version is None):
        line(False, f"{package} is not installed", f"pip install {package}")


def _device(line) -> None:
    import os

    try:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import torch

        gpus = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
        line(True, f"device: {', '.join(gpus) or 'CPU, no GPU found (mini-v1 needs none)'}")
        import torchvision  # noqa: F401
    except Exception as error:
        line(False, f"torch or torchvision does not import: {error}", "pip install --upgrade torch torchvision")


def _folders(line) -> None:
    import os
    import shutil

    from benchmarks.environment import git, project_root
    from benchmarks.errors import UsageError
    from benchmarks.files import make_home

    try:
        folder = make_home()
        free = shutil.disk_usage(folder).free / 2**30
        line(free > 1, f"{folder}: {free:.0f} GB free", f"make room in {folder}, or set CHANSWAP_HOME to another folder")
    except UsageError as error:
        line(False, str(error), "set CHANSWAP_HOME to a folder that can be written")
    results = project_root() / "results"
    line(
        os.access(results if results.exists() else project_root(), os.W_OK),
        f"results: {results}",
        "name a folder that can be written with --results",
    )
    line(
        git("rev-parse", "HEAD") is not None,
        "git: records carry the commit",
        "records will not carry the commit; install git and run from a clone",
    )


def _weights(line) -> None:
    """A line for all that are verified, one for all that are not here, one each for what is damaged."""
    from benchmarks import backbones
    from benchmarks.catalog import BACKBONES
    from benchmarks.errors import MissingData

    good, gone = [], []
    for name, backbone in BACKBONES.items():
        try:
            backbones.verified_checkpoint(backbone)
            good.append(name)
        except MissingData as error:
            if backbone.weights.shipped or backbones.lacking(backbone) is None:
                line(False, f"backbone {name}: its weights cannot be used", str(error))
            else:
                gone.append(name)
    if good:
        line(True, f"backbones, weights verified: {', '.join(good)}")
    if gone:
        cure = f"weights of a backbone: python -m benchmarks weights fetch NAME, such as {gone[0]}; or: weights add NAME PATH"
        line(False, f"backbones without weights: {', '.join(gone)}", cure)


def _datasets(line) -> None:
    """As `_weights`, with a line each for what a count finds incomplete."""
    from benchmarks import data, readiness
    from benchmarks.catalog import DATASETS

    states = {name: readiness.of_dataset(dataset) for name, dataset in DATASETS.items()}
    good, gone = ([name for name in states if states[name] == state] for state in (readiness.READY, readiness.MISSING))
    if good:
        line(True, f"datasets: {', '.join(good)}")
    for name in (name for name in states if name not in (*good, *gone)):
        line(False, f"dataset {name}: {states[name]}", f"what {name} lacks: python -m benchmarks data verify {name}")
    if gone:
        cure = f"images of a dataset: python -m benchmarks data fetch NAME, such as {gone[0]}; or: data add NAME PATH"
        line(False, f"datasets not prepared: {', '.join(gone)}", cure)
    for name in gone:
        if DATASETS.get(name).source == "folder":
            line(False, f"dataset {name}", data.lacking(DATASETS.get(name)))
