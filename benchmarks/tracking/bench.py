"""A run's workbench that tells its tracker what a stage gave. Needs torch, as the workbench does."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import store
from benchmarks.records import Search
from benchmarks.stages import Workbench
from benchmarks.tracking import Tracker


@dataclass
class TrackedWorkbench(Workbench):
    tracker: Tracker | None = None
    _told: tuple[str, ...] = ()

    def trained(self) -> store.Kept:
        kept = super().trained()
        if self._first("train"):
            self.tracker.losses(kept.result["training"]["losses"])
        return kept

    def found(self) -> Search:
        found = super().found()
        if self._first("search"):
            self.tracker.search(found)
        return found

    def _first(self, stage: str) -> bool:
        """Stages are read again by those that follow."""
        first = stage not in self._told
        self._told += (stage,) if first else ()
        return first
