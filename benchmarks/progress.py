"""Progress of long stages: a bar with rate and time left on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

log = logging.getLogger("benchmarks")
EVERY = 5.0  # seconds between two plain lines: readable in a log file, and a sign of life


class _Lines:
    def __init__(self, name: str, total: int, unit: str):
        self._name, self._total, self._unit = name, total, unit
        self._begun = self._said = time.monotonic()
        self._done = self._skipped = 0

    def step(self, count: int = 1) -> None:
        self.to(self._done + count)

    def to(self, done: int, total: int | None = None) -> None:
        """Say that `done` units are behind. The first call's are those that an earlier run left, which cost no time."""
        self._total = total or self._total
        if self._done == 0:
            self._skipped = done if total else 0
        self._done = done
        now = time.monotonic()
        if now - self._said >= EVERY and done < self._total:
            self._said = now
            self._say(now)

    def _say(self, now: float) -> None:
        rate = (self._done - self._skipped) / max(now - self._begun, 1e-9)
        left = f", {(self._total - self._done) / rate:.0f} s left" if rate > 0 else ""
        share = 100 * self._done // max(self._total, 1)
        log.info(
            "%s %s/%s %s (%d %%), %s/s%s",
            self._name,
            f"{self._done:,}",
            f"{self._total:,}",
            self._unit,
            share,
            f"{rate:,.1f}",
            left,
        )

    def close(self) -> None:
        now = time.monotonic()
        log.info("%s %s %s in %.1f s", self._name, f"{self._done:,}", self._unit, now - self._begun)

    def stop(self) -> None:
        """It ended early: what was done is no success to be told, and the error says the rest."""


class _Bar:
    def __init__(self, name: str, total: int, unit: str):
        from tqdm import tqdm

        # A terminal that does not tell its size would hide the bar; get_terminal_size then says 80 x 24.
        size = shutil.get_terminal_size()
        shape = {"ncols": min(size.columns, 110), "nrows": size.lines}
        self._bar = tqdm(total=total, desc=name, unit=f" {unit}", file=sys.stderr, smoothing=0.1, **shape)

    def step(self, count: int = 1) -> None:
        self._bar.update(count)

    def to(self, done: int, total: int | None = None) -> None:
        if total and total != self._bar.total:
            self._bar.total = total
        if total and self._bar.n == 0 and done:
            self._bar.initial = done  # left by an earlier run: not part of the rate
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        self._bar.close()

    stop = close


class _Silent:
    def step(self, count: int = 1) -> None:
        pass

    def to(self, done: int, total: int | None = None) -> None:
        pass

    def close(self) -> None:
        pass

    stop = close


_silent = False


@contextmanager
def silent() -> Iterator[None]:
    """Inside, nothing is shown: for a process among several on one terminal."""
    global _silent
    before, _silent = _silent, True
    try:
        yield
    finally:
        _silent = before


_listener: Callable[[str, int, int], None] | None = None


@contextmanager
def heard(listener: Callable[[str, int, int], None]) -> Iterator[None]:
    """Inside, `listener(name, done, total)` hears of every step of every display, shown or silent. It must not raise."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


class _Heard:
    """A display that also tells a listener."""

    def __init__(self, shown: _Lines | _Bar | _Silent, tell: Callable[[str, int, int], None], name: str, total: int):
        self._shown, self._tell, self._name, self._total, self._done = shown, tell, name, total, 0

    def step(self, count: int = 1) -> None:
        self._shown.step(count)
        self._hear(self._done + count)

    def to(self, done: int, total: int | None = None) -> None:
        self._shown.to(done, total)
        self._total = total or self._total
        self._hear(done)

    def _hear(self, done: int) -> None:
        self._done = done
        self._tell(self._name, done, self._total)

    def close(self) -> None:
        self._shown.close()

    def stop(self) -> None:
        self._shown.stop()


@contextmanager
def progress(name: str, total: int, unit: str) -> Iterator[_Lines | _Bar | _Silent | _Heard]:
    """A progress display with `step(count)` and `to(done, total)`, closed at the end of the block."""
    shown = _Silent() if _silent else _Bar(name, total, unit) if sys.stderr.isatty() else _Lines(name, total, unit)
    shown = _Heard(shown, _listener, name, total) if _listener else shown
    try:
        yield shown
    except BaseException:
        shown.stop()
        raise
    shown.close()


@contextmanager
def progress_by_stage(name: str, unit: str) -> Iterator[Callable[[str, int, int], None]]:
    """A callback (stage, done, total) that shows one display after another, each closed when the next stage begins."""
    with ExitStack() as last:
        current: dict[str, _Lines | _Bar] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in current:
                last.close()
                current.clear()
                current[stage] = last.enter_context(progress(f"{name}: {stage}", total, unit))
            current[stage].to(done, total)

        yield show
