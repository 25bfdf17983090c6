"""Work in a process of its own, stopped before it takes the machine's memory. Imports no torch.

A kernel that runs out of memory chooses whom it ends, and that may be the user's session. So the parent looks at the child's
resident memory many times a second and ends the child itself.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

RESERVE = 2 * 2**30  # bytes left to everybody else, and for what a child grows by between two looks
EVERY = 0.05  # seconds between two looks; a core touches at most a few GB of new memory a second
LEAVING = 30  # seconds that a child gets to go by itself once it is done; torch takes a moment


@dataclass(frozen=True)
class Ended:
    """How a child ended. `parts`: what it handed over, in order. `peak`: most resident memory seen, bytes. `stopped`: why the
    parent ended it, None where it did not. `exit_code`: the child's, negative for the signal that ended it."""

    parts: tuple[Any, ...]
    peak: int
    stopped: str | None
    exit_code: int | None


def available() -> int | None:
    """Bytes of memory that can be had without swapping, also within a container's limit. None where the system does not tell."""
    try:
        with open("/proc/meminfo") as file:
            free = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
    try:
        limit, used, stat = (_read(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current", "stat"))
        cached = next(int(line.split()[1]) for line in stat.splitlines() if line.startswith("inactive_file "))
        return min(free, int(limit) - int(used) + cached)
    except (OSError, StopIteration, ValueError):  # no such file, or the limit is "max"
        return free


def resident(pid: int) -> int | None:
    """Resident memory of a process, bytes. None where it is gone or the system does not tell."""
    try:
        return int(_read(f"/proc/{pid}/statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        pass
    if os.path.isdir("/proc/self"):  # the process is gone
        return None
    try:
        done = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, timeout=10)
        return int(done.stdout) * 1024
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def limit_now(reserve: int = RESERVE) -> int | None:
    """Bytes that a child may take: what is available less the reserve. None where the system does not tell."""
    free = available()
    return None if free is None else max(0, free - reserve)


def collect(work: Callable[..., Iterator[Any]], args: tuple, limit: int | None = None, reserve: int = RESERVE) -> Ended:
    """Iterate over `work(*args)` in a new interpreter and collect what it yields; what it yields must be picklable.

    The child is ended when its resident memory passes `limit` bytes, or when less than half the `reserve` is left on the
    machine whoever took it. What it yielded before counts. An exception in `work` ends the child with exit code 1. An exception
    here (KeyboardInterrupt) ends it too.
    """
    context = multiprocessing.get_context("spawn")  # torch's threads and a GPU do not survive a fork
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(theirs, work, args), daemon=True)
    child.start()
    theirs.close()  # so that the child's end closes with the child
    parts, peak, stopped = [], 0, None
    try:
        while stopped is None:
            if ours.poll(EVERY):
                try:
                    parts.append(ours.recv())
                except EOFError:  # the child has nothing more to hand over, or is dead
                    child.join(LEAVING)
                    break
            taken = resident(child.pid) or 0
            peak = max(peak, taken)
            stopped = _too_much(taken, limit, reserve)
    finally:
        child.kill()  # does nothing to one that is gone
        child.join()
        ours.close()
    return Ended(tuple(parts), peak, stopped, child.exitcode)


def _too_much(taken: int, limit: int | None, reserve: int) -> str | None:
    if limit is not None and taken > limit:
        return f"stopped at {taken / 2**30:.1f} GiB of memory, {limit / 2**30:.1f} GiB could be had"
    free = available()
    if free is not None and free < reserve // 2:
        return f"stopped at {taken / 2**30:.1f} GiB of memory, because the machine had {free / 2**30:.1f} GiB left"
    return None


def _child(pipe, work: Callable[..., Iterator[Any]], args: tuple) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to every process of the terminal; the parent ends this one
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")  # should the kernel have to choose all the same, then this process: see proc(5)
    except OSError:
        pass
    end_with_parent()
    for part in work(*args):
        pipe.send(part)
    pipe.close()


def end_with_parent() -> None:
    """In a process that multiprocessing started: end it as soon as the one that started it is gone, however that ended."""

    def leave() -> None:
        wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()
