"""A run's workbench that tells its tracker what a stage gave. Needs torch, as the workbench does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import store
from benchmarks.records import Search
from benchmarks.stages.workbench import Workbench
from benchmarks.tracking import Tracker


@dataclass
class TrackedWorkbench(Workbench):
    tracker: Tracker | None = None
    _told: tuple[str, ...] = ()

    def stage(self, name: str, job: store.Job, work: Callable[[], dict], files: tuple[str, ...] = ()) -> store.Kept:
        kept = super().stage(name, job, work, files)
        if name not in self._told:  # stages are read again by those that follow
            self._told += (name,)
            if name == "train":
                self.tracker.losses(kept.result["training"]["losses"])
            elif name == "search":
                self.tracker.search(Search.model_validate(kept.result))
        return kept
