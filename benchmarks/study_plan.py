"""A study before it is done: what can be studied, and its stage. Imports no torch."""

from __future__ import annotations

from benchmarks import code, store
from benchmarks.catalog import SEGMENTATION, SWAP, TASKS
from benchmarks.errors import UsageError
from benchmarks.plan import Plan
from benchmarks.store import Job

CURVES = 2  # ways to choose pairs for the gain over their number


def check(p: Plan) -> None:
    """Raises UsageError for what cannot be studied."""
    if p.task.kind != SEGMENTATION:
        fitting = ", ".join(name for name, task in TASKS.items() if task.kind == SEGMENTATION)
        raise UsageError(f"study looks at masks, and task {p.task.name} has none; choose from: {fitting}")


def job_of(p: Plan) -> Job:
    """The stage of a study, after those of the run of METHOD+swap that it builds on."""
    tested = p.jobs[f"evaluate {p.method}{SWAP}"].key
    return Job("study", {"search": p.jobs["search"].key, "tested": tested, "code": code.digest("benchmarks/study_measure.py")})


def said(p: Plan) -> str:
    """The stage in a line, as `benchmarks.plan.describe` says the others."""
    c, n, images = p.backbone.channels, p.protocol.keep, len(p.search_ids)
    passes = (c + 1) * (images + len(p.test_ids)) + CURVES * (2**n * images + (n + 1) * len(p.test_ids))
    state = "kept, will be read" if store.kept(job_of(p)) else "to do"
    return f"  {'study':<22} {f'{c} channels, at most {passes:,} decoder passes':<52} {state}"
