"""A submission: records that were examined, in their places, with a page that says what they are. Written whole, or not at all."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import validation
from benchmarks.board.collect import Board, board_of
from benchmarks.board.commands import commands
from benchmarks.board.tables import search_table, summary
from benchmarks.board.text import code, escape, markdown, plain
from benchmarks.errors import UsageError, count
from benchmarks.files import sha256, write_atomically
from benchmarks.records import MethodOrigin, Record, dump
from benchmarks.validation import Fault, Note, Report
from benchmarks.validation.inputs import names_of

NAME = re.compile("[a-z0-9][a-z0-9-]{0,39}")  # goes into file names and a branch's name
TIER = "community"


@dataclass(frozen=True)
class Submission:
    """`files` are the texts to write, by path below the folder; `report` is of the records that were examined."""

    name: str
    report: Report
    files: dict[str, bytes]


def prepare(paths: list[Path], name: str, existing: list[Path], sources: list[Path]) -> Submission:
    """Examine records and lay out the folder for a pull request; nothing is written. With faults it has no files.

    `paths`: record files, folders of them, or results folders, of which the community tier is meant. `existing`: results folders in which
    no record may be overwritten. `sources`: files of methods from outside; else they are looked for where they ran. Raises UsageError
    for a name that cannot be one, and for paths without a record.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"--name is of small letters, digits and dashes, 40 at most, such as ssf-on-camo; got {plain(name)}")
    report = validation.examine([p / TIER if (p / TIER).is_dir() else p for p in paths])
    faults, files = [*report.faults], {}
    for path, record in report.records.items():
        if record.status != "done":
            continue
        place = f"results/{TIER}/{names_of(record)[0]}"
        text = dump(record).encode()
        faults += _taken(path, place, text, existing, files)
        files[place] = text
    found, more = _sources(report, sources)
    faults += more
    folder = f"results/{TIER}/submissions/{name}"
    files |= {f"{folder}/{file.name}": content for file, content in found.values()}
    report = replace(report, faults=tuple(faults))
    if faults:
        return Submission(name, report, {})
    files[f"{folder}/README.md"] = _page(name, report, {digest: file.name for digest, (file, _) in found.items()}).encode()
    return Submission(name, report, files)


def write(submission: Submission, out: Path) -> list[Path]:
    """Write the files below `out`; return those that are new. Raises UsageError where one is there with another content."""
    targets = {out / name: content for name, content in submission.files.items()}
    for path, content in targets.items():
        if path.exists() and path.read_bytes() != content and path.name != "README.md":
            raise UsageError(f"{plain(path)} is there already and is another; name an empty folder with --out")
    new = [path for path, content in targets.items() if not path.exists() or path.read_bytes() != content]
    for path in new:
        write_atomically(path, targets[path])
    return new


def steps(submission: Submission, out: Path) -> list[str]:
    """What to do next, as commands in a checkout of the repository."""
    branch, folder = f"submit-{submission.name}", shlex.quote(str(out / "results"))
    return [
        f"git switch -c {branch}",
        f"cp -R {folder} .",
        f"python -m benchmarks validate results/{TIER}",
        "python -m benchmarks board build",
        f"git add results/{TIER} leaderboard",
        f"git commit -m 'Community records: {submission.name}'",
        f"git push -u origin {branch}",
    ]


def _taken(path: str, place: str, text: bytes, existing: list[Path], files: dict[str, bytes]) -> list[Fault]:
    cure = "leave it out: what stands is never overwritten; a better reason than a better number is for the pull request's text"
    if place in files:
        return [Fault("name", f"the same run as another of the submission, {plain(place)}", "leave one of them out", path)]
    for results in existing:
        there = results.parent / place if results.name == "results" else results / place.removeprefix("results/")
        if there.is_file() and there.resolve() != Path(path).resolve() and there.read_bytes() != text:
            return [Fault("name", f"{plain(there)} is there already, of another run of the same", cure, path)]
    return []


def _sources(report: Report, given: list[Path]) -> tuple[dict[str, tuple[Path, bytes]], list[Fault]]:
    """Source files of methods from outside, by their sha256, and what is missing. A package's code stays where it is published."""
    found: dict[str, tuple[Path, bytes]] = {}
    missing: list[Fault] = []
    for path, record in report.records.items():
        origin = record.origin
        if origin is None or ".py:" not in origin.place or origin.sha256 in found:
            continue
        stated = Path(origin.place.rpartition(":")[0])
        beside = [folder / stated.name for folder in (Path(path).parent, Path.cwd())]
        file = next((f for f in [*given, stated, *beside] if f.is_file() and sha256(f) == origin.sha256), None)
        if file is None:
            what = f"the source {plain(origin.place)} that ran (sha256 {plain(origin.sha256[:12])}...) is not here"
            missing.append(
                Fault(
                    "source",
                    what,
                    "name it: --source path/to/file.py; a source that was edited since is another: run again",
                    path,
                )
            )
            continue
        if not re.fullmatch(r"[A-Za-z0-9_.-]+\.py", file.name) or file.name in {f.name for f, _ in found.values()}:
            missing.append(
                Fault("source", f"its source is named {plain(file.name)}", "name it plainly, and each source otherwise", path)
            )
            continue
        found[origin.sha256] = (file, file.read_bytes())
    return found, missing


def _page(name: str, report: Report, sources: dict[str, str]) -> str:
    records = list(report.records.values())
    groups: dict[Board, list[Record]] = defaultdict(list)
    for record in records:
        groups[board_of(record, TIER)].append(record)
    parts = [
        f"# Submission {escape(name)}",
        f"{count(len(records), 'record')} of the {TIER} tier, examined by `python -m benchmarks validate` without a fault before they were "
        "sent. The tables are made of the records alone, by the leaderboard's own code.",
    ]
    origins = {r.spec.method.removesuffix("+swap"): r.origin for r in records if r.origin is not None}
    if origins:
        parts += ["## Methods from outside", "\n".join(_origin(m, o, sources) for m, o in sorted(origins.items()))]
    for board, of_board in sorted(groups.items(), key=lambda g: g[0].order):
        parts += [
            f"## {escape(board.dataset)}, {escape(board.backbone)}, protocol {escape(board.protocol)}",
            markdown(summary(of_board, further=False)),
        ]
        if any(r.search for r in of_board):
            parts.append(markdown(search_table(of_board)))
    made = sorted({(r.environment.commit or "unknown", r.environment.device) for r in records})
    parts += ["## Made", "\n".join(f"- commit {escape(commit)}, on {escape(device)}" for commit, device in made)]
    notes = sorted({(n.check, n.what) for n in report.notes if isinstance(n, Note)})
    parts += (
        ["## Notes of the examination", "\n".join(f"- {escape(check)}: {escape(what)}" for check, what in notes)] if notes else []
    )
    return "\n\n".join([*parts, "## Again", code(commands(records))]) + "\n"


def _origin(method: str, origin: MethodOrigin, sources: dict[str, str]) -> str:
    file = sources.get(origin.sha256)
    where = f"source [{escape(file)}]({file})" if file else "of an installed package, whose source is not in this folder"
    return f"- **{escape(method)}**: {escape(origin.place)}, {where}, sha256 {escape(origin.sha256)}"
