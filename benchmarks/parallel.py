"""Work on several cores without barriers: worker threads, each with one intra-op thread.

Torch's own threads meet after every operation. On small tensors that costs more than it saves, and beside a busy process
it collapses. Whole images share nothing, so each worker takes its own. Results do not depend on the number of workers:
every operation runs on one thread, whatever the machine has free.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def each(work: Callable[[T], R], things: Iterable[T], workers: int) -> Iterator[R]:
    """`work` of each thing, in order, at most 2 x workers ahead of the reader. What `work` raises is raised here."""
    if workers <= 1:
        yield from map(work, things)
        return
    things = iter(things)
    pool = ThreadPoolExecutor(workers)
    try:
        waiting = deque(pool.submit(work, thing) for thing in islice(things, 2 * workers))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(work, thing) for thing in islice(things, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
