"""What a bug report needs of a machine, without names or folders of whoever sends it. Nothing here may fail the report."""

from __future__ import annotations

import getpass
import os
import platform
import re
import socket
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from benchmarks.errors import InvalidRecord

SETTINGS = re.compile(r"^(CHANSWAP_|OMP_|KMP_|MKL_|CUDA_|CUBLAS_|PYTORCH_|TORCH_|HF_(HUB_OFFLINE|DATASETS_OFFLINE)|NO_COLOR|CI$)")
SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSWORD|URL", re.I)
BESIDE = ("safetensors", "pydantic", "pillow", "h5py", "tabulate", "tqdm", "chanswap")  # packages that no record names
FAILED = 5  # the last failed runs that are told
# The folders of a path that begins at the root, at a drive or at a home. They may hold spaces; what then is lost of the text behind
# is the smaller harm. The address of a web page and a relative path are left.
_NAME = r"""(?:[^/\\'"<>:|\n]|(?<=\w)'(?=\w))+"""
_FOLDERS = re.compile(rf"""(?<![\w.:/<>-])(?:~[/\\]|(?:/|[A-Za-z]:\\)(?={_NAME}[/\\]))(?:{_NAME}[/\\])*""")


def report(results: Path) -> str:
    """The report, plain text for a bug tracker. `results` is looked through for failed runs."""
    parts = [
        ("system", _system),
        ("versions", _versions),
        ("device", _device),
        ("code", _code),
        ("settings", _settings),
        ("prepared", _prepared),
        (f"last failed runs (at most {FAILED})", lambda: _failed(results)),
    ]
    return anonymous("\n".join(line for title, made in parts for line in (f"[{title}]", *_safe(made), "")))


def anonymous(text: str) -> str:
    """The text without this user's folders, name and host name: the checkout, the homes and every other absolute path's folders are
    replaced, then the names wherever they stand by themselves."""
    for folder, shown in _folders():
        text = re.sub(re.escape(folder) + r"(?![\w.-])", lambda _, shown=shown: shown, text)
    text = _FOLDERS.sub("<folder>/", text)
    for name, shown in _names():
        text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", lambda _, shown=shown: shown, text, flags=re.I)
    return text


def _folders() -> list[tuple[str, str]]:
    """Folders and what stands for them, the longest first: one may lie in another."""
    from benchmarks.environment import project_root
    from benchmarks.files import home

    found = {}
    for shown, place in (("~", Path.home), ("<folder>", Path.cwd), ("<CHANSWAP_HOME>", home), ("<checkout>", project_root)):
        try:
            for folder in {str(place()), str(place().resolve())}:
                found[folder] = shown
        except Exception:  # a user without a home, a working folder that is gone
            pass
    return sorted(((f, s) for f, s in found.items() if len(f) > 1), key=lambda item: -len(item[0]))


def _names() -> list[tuple[str, str]]:
    """Names that tell who it is; those that everybody's machine has tell nothing, and words of one letter would eat the text."""
    found = {}
    for shown, name in (
        ("<user>", getpass.getuser),
        ("<user>", lambda: os.environ.get("USER", "")),
        ("<user>", lambda: os.environ.get("LOGNAME", "")),
        ("<user>", lambda: Path.home().name),
        ("<host>", socket.gethostname),
        ("<host>", lambda: socket.gethostname().partition(".")[0]),
        ("<host>", platform.node),
    ):
        try:
            found.setdefault(name(), shown)
        except Exception:  # no such user in the system's list
            pass
    found = {name: shown for name, shown in found.items() if len(name) > 1 and name.lower() not in _USUAL}
    return sorted(found.items(), key=lambda item: -len(item[0]))


_USUAL = {
    "root",
    "user",
    "home",
    "localhost",
    "runner",
    "docker",
    "ubuntu",
    "cpu",
    "cuda",
    "linux",
    "darwin",
    "windows",
    "python",
}


def _safe(made: Callable[[], list[str]]) -> list[str]:
    try:
        return made() or ["none"]
    except Exception as error:  # a part that cannot be had is said, and the others stand
        return [f"not to be had: {type(error).__name__}: {error}".splitlines()[0]]


def _system() -> list[str]:
    from benchmarks import threads

    busy = threads.busy_cores()
    return [
        f"Python {platform.python_version()} on {platform.system()} {platform.release()} {platform.machine()}",
        f"{threads.usable_cores()} usable cores of {os.cpu_count()}, {busy:.1f} busy with other work",
    ]


def _versions() -> list[str]:
    from benchmarks.environment import versions

    found = versions()
    for name in BESIDE:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return [f"{name} {version or 'not installed'}" for name, version in found.items()]


def _device() -> list[str]:
    from benchmarks import device

    lines = [device.name("cpu")]
    import torch

    lines.append(f"torch with CUDA {torch.version.cuda}, {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        lines.append(f"cuDNN {torch.backends.cudnn.version()}")
        for k in range(torch.cuda.device_count()):
            lines.append(f"cuda:{k} {torch.cuda.get_device_name(k)}, {torch.cuda.get_device_properties(k).total_memory >> 20} MB")
    if torch.backends.mps.is_available():
        lines.append(device.name("mps"))
    return lines


def _code() -> list[str]:
    from benchmarks import code
    from benchmarks.environment import changes, git

    changed = changes()
    state = "it is unknown whether it is changed" if changed is None else "changed" if changed else "unchanged"
    # Which files, not what they say; those of the suite alone.
    return [
        f"commit {git('rev-parse', 'HEAD') or 'unknown'}, {state}",
        f"digest {code.digest()}",
        *(line.strip() for line in (changed or "").splitlines()),
    ]


def _settings() -> list[str]:
    found = {name: value for name, value in sorted(os.environ.items()) if SETTINGS.match(name)}
    return [f"{name}={'<not shown>' if SECRET.search(name) else value}" for name, value in found.items()]


def _prepared() -> list[str]:
    from benchmarks import readiness
    from benchmarks.catalog import BACKBONES, DATASETS

    states = [(f"backbone {name}", readiness.of_backbone(backbone)) for name, backbone in BACKBONES.items()]
    states += [(f"dataset {name}", readiness.of_dataset(dataset)) for name, dataset in DATASETS.items()]
    return [f"{name}: {state}" for name, state in states if state != readiness.MISSING]


def _failed(results: Path) -> list[str]:
    """The last failed runs' commands and errors, the newest first."""
    from benchmarks.records import read

    found = []
    for path in results.rglob("*.json"):
        if not {"verified", "community"} & set(path.relative_to(results).parts[:1]):
            continue
        try:
            record = read(path)
        except InvalidRecord as error:
            found.append(("", f"not a valid record: {error}"))
            continue
        if record.status == "failed":
            on = f"{record.environment.device}, {record.environment.threads} threads"
            found.append((record.started, f"{record.command}\n  {record.started}, {on}, code {record.code}\n  {record.error}"))
    return [text for _, text in sorted(found, reverse=True)[:FAILED]]
