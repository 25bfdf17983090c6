"""`doctor`: what is installed, which device, what is prepared, what is missing and what mends it."""

from __future__ import annotations


def register(commands) -> None:
    p = commands.add_parser("doctor", help="what works on this machine, and what mends the rest")
    p.set_defaults(call=call)


def call(args) -> int:
    import os
    import platform
    import shutil

    from benchmarks import backbones, data, threads
    from benchmarks.catalog import BACKBONES, DATASETS
    from benchmarks.environment import git, project_root, versions
    from benchmarks.errors import MissingData
    from benchmarks.files import home

    mends: list[str] = []

    def line(good: bool, what: str, mend: str = "") -> None:
        print(f"{'ok  ' if good else 'MISS'}  {what}")
        if not good and mend:
            mends.append(mend)

    print(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    for package, version in versions().items():
        line(version is not None, f"{package} {version or 'is not installed'}", f"pip install {package}")
    print(f"      {threads.usable_cores()} cores, {threads.busy_cores():.1f} of them busy with other work")
    try:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import torch

        gpus = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
        line(True, f"device: {', '.join(gpus) or 'CPU, no GPU found (mini-v1 needs none)'}")
        import torchvision  # noqa: F401
    except Exception as error:
        line(False, f"torch or torchvision does not import: {error}", "pip install --upgrade torch torchvision")
    folder = home()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free / 2**30
        line(
            free > 1 and os.access(folder, os.W_OK),
            f"{folder}: {free:.0f} GB free",
            f"make room in {folder}, or set CHANSWAP_HOME to another folder",
        )
    except OSError as error:
        line(False, f"{folder}: {error.strerror}", "set CHANSWAP_HOME to a folder that can be written")
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
    for name, backbone in BACKBONES.items():
        try:
            backbones.verified_checkpoint(backbone)
            line(True, f"backbone {name}: weights verified")
        except MissingData as error:
            line(False, f"backbone {name}", str(error))
    for name, dataset in DATASETS.items():
        reason = data.lacking(dataset)
        get = f"python -m benchmarks data fetch {name}"
        # A reader's reason may name the command itself.
        mend = reason if reason is None or get in reason or dataset.source != "official" else f"dataset {name}: {get} ({reason})"
        line(reason is None, f"dataset {name}", mend or "")
    if mends:
        print("\nto mend:")
        for mend in mends:
            print(f"  - {mend}")
    return 0
